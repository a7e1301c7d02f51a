"What people lost, or were not told, in long runs: stores, processes, the command line, names in files"

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import misas.all as ms
from misas.eval.journal import Journal
from misas.eval.store import Store

CASES = [ms.phantom((32, 32), seed=seed) for seed in range(2)]
VALUES = dict(rotation=[0, 45], brightness=[0.5, 1])
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def bright(image):
    return image > 0.5


def quiet(model=bright, cases=CASES, transforms=("rotation", "brightness"), values=VALUES, **options):
    return ms.evaluate(model, cases, list(transforms), values, progress=False, **options)


def parts(store):
    "All lines of a store, each as a list: name, checksum, rows"
    return [json.loads(line) for path in sorted(Path(store).glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def left_behind(folder):
    return [path.name for path in Path(folder).rglob("*") if ".part" in path.name]


# ---------------------------------------------------------------- everything that is computed can be kept


def named(values, **options):
    "A transform whose values are what they are"
    return ms.as_transform(lambda image, value: image, name="named", categorical=True, values=values, **options)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [0.1 + 0.2, 1e-300],
        [1, 2.5],
        ["axial", "3", "", "null", "=1+1", "'x", "ü\n\t"],
        [None, "a"],
        [None, 1],
        [True, False],
        [True, "True"],
        [(0, 1.5), (1, None)],
        [("a", (1, 2)), 3],
        [10**30, -(2**63)],
        [np.float32(0.1), np.float32(2)],
        [np.int64(3), np.uint8(4)],
        [np.bool_(True), np.bool_(False)],
        [float("inf"), float("-inf")],
    ],
    ids=repr,
)
def test_values_come_back_from_the_store_as_they_were(tmp_path, values):
    runs = [quiet(transforms=[named(values)], values=None, store=store) for store in (None, tmp_path, tmp_path)]
    for kept in runs[1:]:
        pd.testing.assert_frame_equal(kept, runs[0])
        assert kept.attrs == runs[0].attrs
    assert [type(value) for value in runs[2].value] == [type(value) for value in runs[0].value]


@pytest.mark.parametrize(
    "value", [object(), 1j, {1: 2}, [0, 1], np.zeros(2), b"x", frozenset([1])], ids=lambda v: type(v).__name__
)
def test_what_cannot_be_kept_is_an_error_before_the_first_prediction(tmp_path, value):
    runs = []
    with pytest.raises(TypeError, match="values for named must be numbers, texts, True, False, None or tuples"):
        quiet(lambda image: runs.append(1), transforms=[named([])], values=[value], store=tmp_path)
    assert not runs
    assert not parts(tmp_path)


def test_facts_of_any_kind_of_number_can_be_kept(tmp_path):
    def misses(truth, pred):
        return (truth & ~pred).sum()

    misses.unit, misses.better = np.str_("px"), "lower"
    dim = ms.as_transform(
        lambda image, value: image * float(value),
        name="dim",
        neutral=np.float32(1),
        log=np.bool_(True),
        values=np.array([1, 2], np.int16),
    )
    runs = [quiet(transforms=[dim], values=None, metrics=["dice", misses], store=s) for s in (None, tmp_path, tmp_path)]
    assert all(run.equals(runs[0]) and run.attrs == runs[0].attrs for run in runs)
    assert ms.transform_facts(runs[2], "dim")["neutral"] == 1
    with pytest.raises(TypeError, match="metrics must be a dict .* whose names are strings"):
        quiet(metrics={1: "dice"})


def test_a_resumed_run_has_the_rows_of_a_run_in_one_go(tmp_path):
    both = ms.Compose(ms.Rotate(), ms.Zoom())
    options = dict(transforms=[both], values=[(90, 0.6), (0, 1), (10, 1.5)])
    quiet(cases=CASES[1:], store=tmp_path, **options)
    resumed = quiet(store=tmp_path, **options)
    at_once = quiet(**options)
    pd.testing.assert_frame_equal(resumed, at_once)
    pd.testing.assert_series_equal(ms.summarise(resumed)["drop"], ms.summarise(at_once)["drop"])


# ---------------------------------------------------------------- damage


def test_wrong_bits_are_noticed_and_named(tmp_path):
    chance = random.Random(0)
    fresh = quiet(cases=CASES[0], store=tmp_path)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for _ in range(60):
        bad = bytearray(good)
        # without the end of the last line the file looks as if its run had been killed
        bad[chance.randrange(len(bad) - 1)] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        with pytest.warns(UserWarning, match=r"misas-scores-1.jsonl in the store: line . is damaged, and is computed"):
            assert quiet(cases=CASES[0], store=tmp_path).equals(fresh)
        assert len(path.read_bytes()) > len(good)


@pytest.mark.parametrize("damage", [b"", b"x", b"PAR1", bytes(5000)], ids=len)
def test_what_is_no_part_is_computed_again(tmp_path, damage):
    fresh = quiet(store=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert quiet(store=tmp_path).equals(fresh)
    assert len(list(tmp_path.iterdir())) == 1 + (damage != b"")


def test_a_damaged_table_is_one_clear_error(tmp_path):
    path = tmp_path / "scores.parquet"
    ms.save_scores(quiet(), path)
    good = path.read_bytes()
    chance = random.Random(1)
    for _ in range(60):
        bad = bytearray(good)
        bad[chance.randrange(len(bad) - 60)] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="path must be a file with a whole score table, got .*scores.parquet"):
            ms.read_scores(path)
    # other programs read it, and may write it without a checksum
    path.write_bytes(good)
    pd.read_parquet(path).to_parquet(path)
    assert ms.read_scores(path).equals(quiet())


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
def test_a_full_disk_loses_nothing(tmp_path):
    fresh = quiet(store=tmp_path / "enough")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.warns(
            UserWarning, match="cannot be written to the store .*: its scores are returned, but not kept"
        ):
            assert quiet(store=tmp_path / "full").equals(fresh)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not left_behind(tmp_path)
    assert not parts(tmp_path / "full")
    assert quiet(store=tmp_path / "full").equals(fresh)
    assert len(parts(tmp_path / "full")) == 4


def test_a_complete_store_needs_not_be_written_to(tmp_path, monkeypatch):
    fresh = quiet(store=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    def refuse(*arguments):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Store, "can_be_written", False)
    monkeypatch.setattr(Journal, "add", refuse)
    assert quiet(store=tmp_path).equals(fresh)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    runs = []
    with pytest.raises(OSError, match="store must be a folder that can be written to, as results are missing in it"):
        quiet(lambda image: runs.append(1), store=tmp_path)
    assert not runs


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    quiet(store=tmp_path)
    old, young = (tmp_path / f".a.{i}.0123456789abcdef.part.parquet" for i in range(2))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    quiet(store=tmp_path)
    assert left_behind(tmp_path) == [young.name]  # it may still be written


def test_threads_and_processes_share_a_store(tmp_path):
    fresh = quiet()
    results = []
    threads = [threading.Thread(target=lambda: results.append(quiet(store=tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.append(quiet(store=tmp_path, n_jobs=2))
    assert len(results) == 5
    assert all(result.equals(fresh) for result in results)
    assert len({name for name, _, _ in parts(tmp_path)}) == 4
    assert not left_behind(tmp_path)


def test_results_go_along_with_the_files(tmp_path):
    "Keys are made of the content of files: the place and the time do not matter, a single pixel does"
    runs = []

    class Counting:
        def predict(self, image):
            with (tmp_path / "log").open("a") as log:
                log.write("x")
            return np.asarray(image) > 100

    def count():
        before = len((tmp_path / "log").read_text()) if (tmp_path / "log").exists() else 0
        table = quiet(Counting(), str(tmp_path / runs[-1] / "a.png"), ["brightness"], [1, 2], store=tmp_path / "store")
        return len((tmp_path / "log").read_text()) - before, table

    pixels = (np.random.default_rng(0).random((16, 16)) * 255).astype(np.uint8)
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png", compress_level=0)
    os.utime(tmp_path / "there" / "a.png", (1, 1))
    runs.append("here")
    assert count()[0] > 0
    runs.append("there")
    assert count()[0] == 0
    pixels[0, 0] ^= 255
    before = (tmp_path / "there" / "a.png").stat()
    Image.fromarray(pixels).save(tmp_path / "there" / "a.png", compress_level=0)
    os.utime(tmp_path / "there" / "a.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (tmp_path / "there" / "a.png").stat().st_size == before.st_size
    assert count()[0] > 0


# ---------------------------------------------------------------- runs that are stopped

RUN = """
import sys, time
from misas.all import *
def slow(image):
    time.sleep(.1)
    return image > .5
cases = [phantom((32, 32), seed=seed) for seed in range(2)]
print("ready", flush=True)
scores = evaluate(slow, cases, ["rotation", "brightness"], dict(rotation=[0, 45], brightness=[.5, 1]),
                  store=sys.argv[1], n_jobs=2, progress=False)
save_scores(scores, sys.argv[1] + ".csv")
"""


def alive(mark):
    "Processes with a mark in their environment"
    found = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += mark.encode() in path.read_bytes()
        except OSError:
            pass
    return found


@LINUX
def test_killed_runs_lose_nothing_and_leave_no_process(tmp_path):
    chance = random.Random(2)
    done = 0
    for n, kind in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)):
        mark = f"MISAS_TEST_RUN={tmp_path.name}-{n}"
        environment = os.environ | dict([mark.split("=")])
        command = [sys.executable, "-c", RUN, str(tmp_path / "store")]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        run.stdout.readline()
        time.sleep(chance.uniform(0.2, 4))
        run.send_signal(kind)
        run.wait(60)
        assert len(parts(tmp_path / "store")) >= done
        done = len(parts(tmp_path / "store"))
        deadline = time.time() + 60
        while alive(mark) and time.time() < deadline:
            time.sleep(0.2)
        assert alive(mark) == 0
    subprocess.run([sys.executable, "-c", RUN, str(tmp_path / "store")], check=True, stdout=subprocess.DEVNULL)
    assert ms.read_scores(tmp_path / "store.csv").score.equals(quiet().score)
    assert not left_behind(tmp_path)


# ---------------------------------------------------------------- processes


def nothing(image):
    warnings.warn("a word of the model's own", RuntimeWarning, stacklevel=1)
    return image < -1


def heard(n_jobs, action):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter(action)
        quiet(nothing, n_jobs=n_jobs)
    return sorted({(w.category.__name__, str(w.message)[:50]) for w in said}), len(said)


def test_warnings_of_other_processes_reach_the_session():
    alone, shared = heard(1, "always"), heard(2, "always")
    assert shared[0] == alone[0]
    assert shared[1] == len(shared[0]) == 2  # once each
    assert heard(2, "ignore") == ([], 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(RuntimeWarning, match="a word of the model's own"):
            quiet(nothing, n_jobs=2)


def test_a_warning_of_another_process_points_to_the_users_line():
    with pytest.warns(UserWarning, match="finds none of the truth's labels") as said:
        quiet(nothing, n_jobs=2)
    assert __file__ in {w.filename for w in said}


def failing(image):
    return {}["a key that is not there"]


def test_an_error_of_another_process_says_where_it_arose():
    with pytest.raises(ValueError, match="a key that is not there") as error:
        quiet(failing, n_jobs=2)
    note = "\n".join(error.value.__notes__)
    assert 'return {}["a key that is not there"]' in note
    assert Path(__file__).name in note


class Heavy:
    "A model that notes in which process it is unpickled"

    def __init__(self, log):
        self.log = log

    def __setstate__(self, state):
        vars(self).update(state)
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\n")

    def predict(self, image):
        return np.asarray(image) > 0.5


def test_a_model_is_sent_once_to_each_process(tmp_path):
    model = Heavy(str(tmp_path / "log"))
    cases = [ms.phantom((16, 16), seed=seed) for seed in range(8)]
    options = dict(transforms=["brightness"], values=[1, 2])
    assert quiet(model, cases, n_jobs=2, **options).equals(quiet(model, cases, **options))
    processes = (tmp_path / "log").read_text().split()
    assert 1 <= len(processes) == len(set(processes)) <= 2
    assert str(os.getpid()) not in processes


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_run_leaves_the_session_as_it_was(tmp_path, n_jobs):
    def state():
        numbers = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()
        return numbers, warnings.filters[:], dict(os.environ), os.umask(os.umask(0o22)), sys.path[:], os.getcwd()

    os.umask(0o22)
    before = state()
    quiet(store=tmp_path, n_jobs=n_jobs)
    assert state() == before


# ---------------------------------------------------------------- several models, wrong objects


def test_several_models_are_rows_of_one_table(tmp_path):
    low, high = (ms.as_model(lambda image, t=t: image > t, name=f"over {t}") for t in (0.4, 0.6))
    table = quiet([low, high], store=tmp_path)
    assert table.equals(ms.concat_scores([quiet(low), quiet(high)]))
    assert quiet((high,)).equals(quiet(high))
    assert quiet([bright, bright]).model.unique().tolist() == ["bright", "bright-2"]
    # one of several that is meant as one is said so
    assert quiet(ms.Ensemble([low, high])).model.nunique() == 1


def test_a_model_that_fails_stops_no_other():
    with pytest.warns(UserWarning, match="2 of 4 cases failed, the first one 'phantom-0' with model 'failing'"):
        table = quiet([failing, bright])
    assert table.model.unique().tolist() == ["bright"]
    assert [(e["model"], e["case"]) for e in table.attrs["errors"]] == [
        ("failing", "phantom-0"),
        ("failing", "phantom-1"),
    ]


def test_without_a_transform_the_unchanged_images_are_scored(tmp_path):
    unchanged = ms.evaluate(bright, CASES, progress=False, store=tmp_path)
    assert unchanged["transform"].unique().tolist() == ["unchanged"]
    turned = quiet(transforms=["rotation"], values=[0])
    assert unchanged.score.equals(turned.score)


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(model=ms.demo_model), r"function of one image, got demo_model.*: as_model\(demo_model\(\)\)"),
        (dict(model=[]), "model must be at least one model"),
        (dict(model=[bright, None]), "model must be"),
        (dict(transforms=[ms.Rotate]), r"transform must be a Transform such as Rotate.*call it: Rotate\(\)"),
        (dict(transforms=[("rotation", [0, 30])]), "transform must be one transform, .*values={'rotation': .0, 30.}"),
        (dict(transforms=["rotatoin"]), r"transform must be a known name, got 'rotatoin' \(did you mean 'rotation'"),
        (dict(values="0,30"), "values for rotation: deg of rotation must be a finite number, got '0,30'"),
        (dict(cases="nofolder"), "cases must be a folder, a CSV file or an image that exists, .* got 'nofolder'"),
        (dict(cases=[]), "cases must be at least one case"),
        (dict(store=""), "store must be the path of a folder"),
        (dict(store=True), "store must be a string, a path or None"),
        (dict(progress=None), "progress must be True or False"),
        (dict(keep_memory=np.array([1, 0])), "keep_memory must be True or False"),
        *[(dict(n_jobs=n), "n_jobs must be an integer from 1 to 1024") for n in (10**30, True, 0, 1.5, "2", None)],
    ],
)
def test_a_wrong_argument_is_one_clear_error(bad, message):
    usual = dict(model=bright, cases=CASES, transforms=["rotation"], values=None, progress=False)
    with pytest.raises((TypeError, ValueError), match=message):
        ms.evaluate(**usual | bad)


def test_wrong_objects_are_named():
    table = quiet()
    for bad in (table, None, [1]):
        with pytest.raises(TypeError, match="series must be a Series"):
            ms.score(bad)
        with pytest.raises(TypeError, match="steps must be a Step or a Series"):
            ms.get_confusion(bad)
    for wrong in (5, None, ["a.csv"]):
        with pytest.raises(TypeError, match="path must be a string or a path"):
            ms.read_scores(wrong)
    with pytest.raises(TypeError, match="scores must be a pandas table"):
        ms.save_scores(None, "a.csv")
    with pytest.raises(FileNotFoundError, match="path must be in a folder that exists, got 'nofolder/a.csv'"):
        ms.save_scores(table, "nofolder/a.csv")
    with pytest.raises(TypeError, match="tables must be a list"):
        ms.concat_scores(5)


# ---------------------------------------------------------------- names are data

NAMES = ["=1+1", "+a", "-a", "@SUM(A1)", "\t=1", "＝1", "'=1", "''x", "'", "-5", "+1e3", 'a"b,c;d', "a\nb", "=\r1", "ü"]


def test_cells_of_csv_are_no_formulas_and_come_back(tmp_path):
    rows = [dict(model=n, case=n, transform="t", param="p", value=n, label=n, metric="m", score=-0.5) for n in NAMES]
    table = pd.DataFrame(rows).assign(**{"=site": NAMES, "shift": -1.5})
    ms.save_scores(table, tmp_path / "a.csv")
    plain = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    for column in plain:
        texts = plain[column].iloc[[i for i, name in enumerate(NAMES) if name not in ("-5", "+1e3")]]
        if column not in ("score", "shift"):
            assert not texts.str.match(r"[=+\-@\t\r\n＝＋－＠]").any(), column
    assert plain.score.unique().tolist() == ["-0.5"]
    assert not any(head.startswith("=") for head in plain)
    again = ms.read_scores(tmp_path / "a.csv")
    for column in ("model", "case", "label", "value", "=site"):
        assert again[column].tolist() == NAMES, column
    assert again["shift"].tolist() == [-1.5] * len(NAMES)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b\\c:d", "心" * 300, "x" * 5000, "\udcff\udc80", "a\0b", "CON", "*?<>|"],
    ids=len,
)
def test_a_case_of_any_name_is_kept(tmp_path, name):
    case = CASES[0].replace(name=name)
    first, again = (quiet(cases=case, store=tmp_path) for _ in range(2))
    assert again.equals(first)
    assert len(parts(tmp_path)) == 2
    assert all(len(path.name.encode()) <= 255 for path in tmp_path.iterdir())
    for ending in ("csv", "parquet"):
        ms.save_scores(first, tmp_path / f"all.{ending}")
        if "\0" not in name:
            assert ms.read_scores(tmp_path / f"all.{ending}").case.tolist() == first.case.tolist()


# ---------------------------------------------------------------- the command line

MODEL = """
import time
def slow(image):
    time.sleep(.3)
    return (image > 128).astype(int)
def quick(image):
    with open("log", "a") as log:
        log.write("x")
    return (image > 128).astype(int)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = (np.random.default_rng(0).random((40, 40)) * 255).astype(np.uint8)
    Image.fromarray(pixels).save("a.png")
    Path("mine.py").write_text(MODEL)
    Path("tmp").mkdir()
    return tmp_path


def command(*words, image="a.png", model="mine:quick"):
    return [sys.executable, "-m", "misas", "run", "--image", image, "--model", model, "--no-progress", *words]


def run(*words, **options):
    done = subprocess.run(command(*words, **options), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


TWO = ["--transforms", "brightness,contrast", "--values", "brightness=1,2", "--values", "contrast=1,2"]


@pytest.mark.parametrize("kind, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_a_stopped_command_has_finished_is_kept(folder, kind, code):
    many = ["--transforms", "brightness,contrast", "--values", "brightness=1,2"]
    many += ["--values", "contrast=" + ",".join(map(str, range(1, 200))), "--out", "o"]
    process = subprocess.Popen(
        command(*many, model="mine:slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | dict(TMPDIR=str(folder / "tmp")),
    )
    while "brightness: 2 steps" not in (line := process.stdout.readline()) and line:
        pass
    time.sleep(1)
    process.send_signal(kind)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == code
    assert f"stopped by {kind.name}" in said
    assert "1 of 2 transforms are finished, and kept in o" in said
    assert sorted(path.name for path in Path("o").iterdir()) == [
        *(f"brightness.{kind}" for kind in ("gif", "html", "png")),
        "scores.csv",
    ]
    assert ms.read_scores("o/scores.csv")["transform"].unique().tolist() == ["brightness"]
    assert not [path for path in Path("tmp").iterdir() if path.name.startswith("tmp")]


def test_a_command_with_a_store_goes_on(folder):
    assert run(*TWO[:4], "--out", "first", "--store", "s", "--transforms", "brightness")[0] == 0
    before = len(Path("log").read_text())
    code, said = run(*TWO, "--out", "second", "--store", "s")
    assert code == 0, said
    # contrast and the unchanged image; then pictures: two of the case for each transform, and two of where it loses
    # most, each with the unchanged image as the reference
    assert len(Path("log").read_text()) - before <= 3 + 3 * 3
    before = len(Path("log").read_text())
    assert run(*TWO, "--out", "third", "--store", "s")[0] == 0
    assert len(Path("log").read_text()) == before
    assert ms.read_scores("third/scores.csv").equals(ms.read_scores("second/scores.csv"))
    assert sorted(os.listdir("third")) == sorted(os.listdir("second"))
    assert run(*TWO, "--out", "plain")[0] == 0
    assert ms.read_scores("plain/scores.csv").equals(ms.read_scores("third/scores.csv"))


def test_who_reads_may_stop_reading(folder):
    for words in (["transforms"], command(*TWO, "--out", "o")[3:]):
        line = " ".join([sys.executable, "-m", "misas", *words])
        shell = f"{line} | head -1; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
        assert done.stderr == ""
        assert done.stdout.split()[-1] == "0"
    assert Path("o/scores.csv").exists()


def test_paths_of_windows_are_paths(folder):
    for path in ("C:\\models\\net.pt", "d:/net.pt"):
        code, said = run("--out", "o", model=path)
        assert code == 2
        assert "No module named" not in said
        assert "does not exist" in said or "model must be" in said


def test_a_file_whose_name_is_no_text(folder):
    name = os.fsdecode(b"\xff\x1b[31m" + "心".encode() * 60 + b".png")
    os.rename("a.png", name)
    code, said = run(*TWO, "--out", "o", image=name)
    assert code == 0, said
    assert "\x1b" not in said
    assert len(ms.read_scores("o/scores.csv")) > 0
