"compare, prepare, view and explore, as a user would type them; the live page in a browser, where there is one"

import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from browser import CHROMIUM
from PIL import Image
from typer.testing import CliRunner

import misas as ms
from misas.cli import app
from misas.plot.live import Live, live_legend, live_pictures, make_knob, slice_count
from misas.report.livepage import public_message, scores_html

HEART = ms.phantom((48, 48), seed=0)
BRIGHT = """
import numpy as np

class Bright:
    def predict(self, image):
        image = np.asarray(image)
        if image.mean() > 100:
            raise RuntimeError("no weights in /home/me/secret/net.pt")
        return (image > 100).astype(np.uint8)
"""


def threshold(image):
    return image > 0.4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "The current folder, with an image, its mask, a model, two score tables and a file that is nothing of that"
    monkeypatch.chdir(tmp_path)
    Image.fromarray((HEART.image[0].numpy() * 255).astype(np.uint8)).save("image.png")
    Image.fromarray(HEART.truth.numpy().astype(np.uint8)).save("mask.png")
    np.save("volume.npy", ms.phantom((4, 32, 32)).image[0].numpy())
    (tmp_path / "mine.py").write_text(BRIGHT)
    (tmp_path / "file.csv").write_text("x\n1\n")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    cases = [ms.phantom((32, 32), seed=seed).replace(columns=dict(site="AB"[seed % 2])) for seed in range(8)]
    for name, level in dict(low=0.35, high=0.6).items():
        model = {name: lambda x, level=level: x > level}
        table = ms.evaluate(model, cases, ms.Rotate(), [0, 20], labels={1: "LV"}, progress=False)
        ms.save_scores(table, f"{name}.csv")
    (tmp_path / "study").mkdir()
    ms.save_scores(table, "study/scores.parquet")
    return tmp_path


def invoke(*args):
    "(exit code, what is printed, errors)"
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    return done.exit_code, done.stdout, done.stderr


# ---------------------------------------------------------------- compare


def test_compare_says_what_compare_finds(folder):
    code, printed, errors = invoke("compare", "low.csv", "study", "--out", "both")
    assert code == 0, errors
    row = ms.compare(ms.read_scores("low.csv"), ms.read_scores("high.csv")).iloc[0]
    assert "A: low (low.csv); B: high (study)" in printed
    assert f"rotation, LV, dice: median A {row.median_a:.3f}, B {row.median_b:.3f}" in printed
    assert f"A higher in {row.positive}, lower in {row.negative}, the same in {row.zero} of 8 cases" in printed
    assert len(pd.read_csv("both/comparison.csv")) == 1
    assert "vega" in (folder / "both" / "comparison.html").read_text()


def test_compare_by_a_column(folder):
    code, printed, errors = invoke("compare", "low.csv", "high.csv", "--by", "site")
    assert code == 0, errors
    assert "site A" in printed and "site B" in printed
    assert printed.count("too few cases to exclude chance") == 2


@pytest.mark.parametrize(
    "args, word",
    [
        (["low.csv", "gone.csv"], "B must be a score table or the folder of a study, got 'gone.csv'"),
        (["low.csv", "."], "B must be a folder with scores.parquet or scores.csv"),
        (["file.csv", "low.csv"], "file.csv"),
        (["low.csv", "high.csv", "--by", "scanner"], "scanner"),
        (["low.csv", "high.csv", "--model-b", "medium"], "model-b must be one of the models high, got 'medium'"),
        (["low.csv", "high.csv", "--out", "file.csv"], "which is a file"),
    ],
    ids=lambda x: x[-1] if isinstance(x, list) else "",
)
def test_compare_mistakes_are_one_line(folder, args, word):
    code, _, errors = invoke("compare", *args)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert word in errors


# ---------------------------------------------------------------- prepare, view


def test_prepare_prints_an_answer_and_code(folder):
    small = ["--image", "image.png", "--mask", "mask.png", "--no-progress", "--top", "3"]
    code, printed, errors = invoke("prepare", "--model", "mine:Bright", *small)
    assert code == 0, errors
    assert "tried" in printed
    assert len(re.findall(r"^  (\d\.\d{3}|fails)  ", printed, re.M)) == 3


@pytest.mark.parametrize(
    "args, word",
    [
        (["--image", "gone.png", "--mask", "mask.png"], "gone.png"),
        ([], "give either --image"),
        (["--cases", "nowhere"], "cases must be a folder or a file that exists, got 'nowhere'"),
        (["--image", "image.png", "--mask", "mask.png", "--top", "0"], "top must be an integer >= 1"),
    ],
    ids=str,
)
def test_prepare_mistakes_are_one_line(folder, args, word):
    code, _, errors = invoke("prepare", "--model", "mine:Bright", "--no-progress", *args)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert word in errors


def test_view_writes_one_page(folder):
    options = ["--image", "image.png", "--mask", "mask.png", "--no-progress", "--out", "seen.html"]
    sweeps = ["--transform", "rotation,spike", "--values", "rotation=0,20"]
    code, printed, errors = invoke("view", *options, "--model", "mine:Bright", *sweeps)
    assert code == 0, errors
    assert "wrote seen.html: open it in a browser" in printed
    page = (folder / "seen.html").read_text()
    assert "deg = 20" in page
    assert str(folder) not in page
    assert invoke("view", *options)[0] == 0


@pytest.mark.parametrize(
    "change, word",
    [
        (["--transform", "rotaton"], "did you mean 'rotation'"),
        (["--out", "page.txt"], ".html"),
        (["--image", "gone.png"], "gone.png"),
        (["--values", "zoom=1"], "name in values"),
        (["--transform", "brightness", "--values", "brightness=8"], "no weights in"),
    ],
    ids=str,
)
def test_view_mistakes_are_one_line(folder, change, word):
    code, _, errors = invoke("view", "--image", "image.png", "--model", "mine:Bright", "--no-progress", *change)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert word in errors
    assert not (folder / "misas-view.html").exists()


# ---------------------------------------------------------------- what a live page computes


def test_knobs_have_the_neutral_value_exactly():
    for name, transform in ms.known_transforms().items():
        try:
            knob = make_knob(transform(), HEART, None)
        except ValueError as e:
            assert "values for" in str(e) or name == "reorientation", name
            continue
        if knob.neutral is not None:
            assert knob.values[knob.start] == knob.neutral, name
        assert list(knob.values) == sorted(knob.values) or transform.categorical, name
        assert all(value in transform.domain for value in knob.values if not isinstance(value, str)), name
        assert len(knob.values) <= 800, name


def test_given_values_are_those_of_the_slider():
    knob = make_knob(ms.Rotate(), HEART, {"rotation": [30, -30]})
    assert knob.values == (-30, 0, 30)
    assert knob.about == "−30° to 30°, neutral 0°"


def test_a_setting_is_what_evaluate_computes():
    transforms = [ms.Spike(), ms.SpikePosition(axis=-2), ms.SpikePosition(axis=-1)]
    live = Live(threshold, HEART, transforms, metrics=["dice", "hd95"])
    setting = (1.0, 0.4, 0.6)
    rows = live.rows(live.step(setting))
    again = ms.evaluate(threshold, HEART, ms.Joint(*transforms), [setting], ["dice", "hd95"], progress=False)
    assert rows[again.columns].equals(again)
    changes = live.changes(live.step(setting))
    assert np.array_equal(changes.score, again.score, equal_nan=True)
    assert np.array_equal(changes.unchanged, again.unchanged, equal_nan=True)
    assert (changes.worse == np.where(changes.metric == "dice", changes.change < 0, changes.change > 0)).all()


def test_pictures_are_those_of_the_viewer():
    live = Live(threshold, HEART, ms.Rotate(), size=96)
    step = live.step((20,))
    pictures = live_pictures(live, step)
    series = ms.get_series(threshold, HEART, ms.Rotate(), [20], progress=False)
    masks = ms.overlay(step.image, step.pred, step.truth, window=(0, 1), scale=2)
    assert (pictures["prediction"] == masks).all()
    errors = ms.overlay(step.image, step.pred, step.truth, window=(0, 1), scale=2, errors=True)
    assert (pictures["errors"] == errors).all()
    assert torch.equal(series[0].pred, step.pred)
    assert "true positive" in live_legend(live, "errors")


def test_volume_has_slices():
    volume = ms.phantom((5, 32, 32))
    live = Live(threshold, volume, ms.Brightness())
    assert slice_count(live) == 5
    step = live.step((1.5,))
    assert (live_pictures(live, step, 0, 0)["image"] != live_pictures(live, step, 0, 3)["image"]).any()


def test_errors_tell_no_folder():
    assert public_message(RuntimeError("no weights in /home/me/secret/net.pt")) == "RuntimeError: no weights in net.pt"
    assert "secret" not in public_message(OSError(r"cannot open C:\users\secret\net.pt"))


def test_labels_are_no_markup():
    changes = pd.DataFrame(
        [("<b>", "dice", 0.5, 1.0, -0.5, True)], columns="label metric score unchanged change worse".split()
    )
    assert "&lt;b&gt;" in scores_html(changes)
    assert 'class="live-worse"' in scores_html(changes)
    assert "−0.500" in scores_html(changes)


# ---------------------------------------------------------------- explore


@pytest.mark.parametrize(
    "args, word",
    [
        (["--transforms", "rotation,rotaton"], "did you mean 'rotation'"),
        (["--transforms", "rotation,rotation"], None),  # each once
        (["--image", "gone.png"], "gone.png"),
        (
            ["--image", "image.png", "--mask", "mask.png", "--mask", "mask.png"],
            "mask must be given once for each image",
        ),
        (["--model", "demoo"], "'demo'"),
        (["--port", "0"], "port must be an integer >= 1"),
        (["--metrics", "dise"], "did you mean 'dice'"),
    ],
    ids=str,
)
def test_explore_mistakes_are_one_line(folder, args, word, monkeypatch):
    nicegui = pytest.importorskip("nicegui")
    monkeypatch.setattr(nicegui.ui, "run", lambda *args, **options: None)
    code, _, errors = invoke("explore", "--no-open", *args)
    assert (code, errors.count("\n")) == ((2, 1) if word else (0, 0)), errors
    assert (word or "") in errors


def test_a_port_in_use_is_named(folder):
    pytest.importorskip("nicegui")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code, _, errors = invoke("explore", "--no-open", "--port", port)
    assert code == 2
    assert f"port must be free, got {port}, which cannot be used" in errors


@pytest.fixture
def served(folder):
    "A live page of a process of its own, and where it is"
    pytest.importorskip("nicegui")
    command = [sys.executable, "-m", "misas", "explore", "--no-open", "--transforms", "rotation,brightness"]
    command += ["--model", "mine:Bright", "--image", "image.png", "--mask", "mask.png"]
    # NiceGUI behaves otherwise where it believes to be under test
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process = subprocess.Popen(command, env=environment, **pipes)
    said = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert address, said + process.stdout.read()
    for _ in range(600):
        with socket.socket() as knock:
            if not knock.connect_ex(("127.0.0.1", int(address[0].rpartition(":")[2]))):
                break
        time.sleep(0.1)
    yield process, address[0]
    process.kill()


def test_another_name_for_this_computer_is_refused_and_ctrl_c_ends_it(served):
    import httpx

    process, address = served
    assert httpx.get(address, timeout=30).status_code == 200
    assert httpx.get(address, headers=dict(host="evil.example"), timeout=30).status_code == 400
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(60) == 0
    assert "live page: closed" in rest
    assert "Traceback" not in rest


def test_the_live_page_in_a_browser(served, folder):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium to open the page in")
    _, address = served
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(accept_downloads=True)
        said, elsewhere = [], []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: elsewhere.append(r.url) if not r.url.startswith((address, "data:")) else None)
        page.goto(address)
        page.wait_for_function("document.querySelector('#picture-errors')?.src.startsWith('data:')")

        def seen():
            return page.get_attribute("#picture-prediction", "src"), page.inner_text("#scores")

        def move(knob, key, times=1):
            before = seen()
            moved = "document.querySelector('#picture-prediction').src != b"
            page.focus(knob)
            for _ in range(times):
                page.keyboard.press(key)
            page.wait_for_function(f"b => {moved} || document.querySelector('#error').innerText", arg=before[0])
            page.wait_for_timeout(300)

        start = seen()
        assert "+0.000" in start[1]
        move("#knob-0", "ArrowRight", 30)
        assert page.inner_text("#value-0") == "30°"
        assert seen()[0] != start[0] and seen()[1] != start[1]
        page.get_by_text("Keep row").click()
        page.wait_for_function("document.querySelector('#saved').innerText.startsWith('1 setting')")
        with page.expect_download() as download:
            page.get_by_text("Save rows (CSV)").click()
        download.value.save_as("rows.csv")
        with page.expect_download() as download:
            page.get_by_text("Save picture (PNG)").click()
        download.value.save_as("picture.png")

        move("#knob-1", "End")  # as bright as it gets: the model fails
        assert "RuntimeError: no weights in net.pt" in page.inner_text("#error")
        page.get_by_text("Keep row").click()
        page.wait_for_function("document.querySelector('#saved').innerText.startsWith('nothing is kept')")
        assert str(folder) not in page.content() and "secret" not in page.content()
        page.get_by_text("Reset all").click()
        page.wait_for_function("document.querySelector('#scores').innerText.includes('+0.000')")
        assert seen() == start
        assert page.inner_text("#error") == ""
        assert page.inner_text("#value-0") == "0°"
        assert page.input_value("#knob-0") == "180"
        assert (said, elsewhere) == ([], [])
        browser.close()
    rows = ms.read_scores("rows.csv")
    assert set(rows.value) == {(30, 1)}
    assert set(rows["transform"]) == {"rotation*brightness"}
    assert Image.open("picture.png").width == 3 * Image.open("picture.png").height
