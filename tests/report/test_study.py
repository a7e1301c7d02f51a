"Studies: one call from models and cases to a report, whatever happens in between"

import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import misas as ms
from misas.cli import app

QUICK = dict(floor=False, preparation=False, augmentation=False, pictures=False, progress=False)
QUICK_WORDS = ["--no-floor", "--no-preparation", "--no-augmentation", "--no-pictures", "--no-progress"]
TABLES = ("scores", "summary", "verdicts")
MODELS = """
import os, time
import numpy as np

class Bright:
    limit = 100
    def predict(self, image):
        time.sleep(float(os.environ.get("SLOW", 0)))
        if "LOG" in os.environ:
            open(os.environ["LOG"], "a").write("x")
        return (np.asarray(image) > self.limit).astype(np.uint8)

class Brighter(Bright):
    limit = 140

class Fails(Bright):
    def predict(self, image):
        raise RuntimeError("no memory")
"""


def bright(image):
    return image > 0.4


def hearts(number, size=24):
    return [ms.phantom((size, size), seed=seed) for seed in range(number)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "The current folder: six images with masks, a table of scanners, and models"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    rows = "image,mask,scanner,patient,secret\n"
    for k, case in enumerate(hearts(6)):
        Image.fromarray((case.image[0] * 255).numpy().astype(np.uint8)).save(f"images/h{k}.png")
        Image.fromarray((case.truth > 0).numpy().astype(np.uint8)).save(f"masks/h{k}.png")
        rows += f"images/h{k}.png,masks/h{k}.png,{'AB'[k % 2]},Doe{k},secretword\n"
    (tmp_path / "cases.csv").write_text(rows)
    (tmp_path / "mine.py").write_text(MODELS)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    return tmp_path


def invoke(*args):
    "(exit code, what is printed, errors)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = CliRunner().invoke(app, [str(arg) for arg in args])
    return done.exit_code, done.stdout, done.stderr


BASE = ["study", "--model", "mine:Bright", "--cases", "cases.csv", "--transforms", "rotation", *QUICK_WORDS]
VALUES = ["--values", "rotation=-20,-10,0,10,20"]


def same_tables(a, b, names=TABLES):
    for name in names:
        pd.testing.assert_frame_equal(pd.read_parquet(a / f"{name}.parquet"), pd.read_parquet(b / f"{name}.parquet"))
        assert (a / f"{name}.csv").read_bytes() == (b / f"{name}.csv").read_bytes()


# ---------------------------------------------------------------- what is found


def test_one_call(tmp_path):
    cases = [case.replace(columns={"scanner": "AB"[k % 2]}) for k, case in enumerate(hearts(6))]
    models = {"low": bright, "high": lambda image: image > 0.6}
    found = ms.study(
        models, cases, ["rotation", "brightness"], {"rotation": [-20, 0, 20]}, by="scanner", out=tmp_path / "o",
        labels={1: "LV"}, progress=False, pictures=False, title="Two limits",
    )  # fmt: skip
    assert set(found.scores.model) == {"low", "high"}
    # every summary says how much of a drop is resampling
    pd.testing.assert_frame_equal(found.summary, ms.with_floor(ms.summarise(found.scores), found.floor))
    assert found.verdicts.sentence.tolist() == ms.verdicts(found.summary)
    assert set(found.comparison["transform"]) == {"rotation", "brightness"}
    assert set(found.groups["scanner"].scanner) == {"A", "B"}
    assert "again" in set(found.floor["transform"])
    assert set(found.preparation) == {"low", "high"} == set(found.augmentation)
    assert all(advice.calls <= 70 for advice in found.preparation.values())
    assert found.guarantees is None
    assert "29 patients" in found.facts["left_out"]["guarantees"]
    names = {path.name for path in (tmp_path / "o").iterdir()}
    both = {f"{n}.{e}" for n in (*TABLES, "comparison", "floor", "summary_by_scanner") for e in ("csv", "parquet")}
    assert names == {"report.html", "study.toml", "answer.json", "store", *both}
    answer = json.loads((tmp_path / "o" / "answer.json").read_text())
    assert (answer["format"], answer["version"], answer["status"]) == ("misas answer", 1, "done")
    assert answer["title"] == "Two limits"
    assert answer["cases"] == 6
    assert [model["name"] for model in answer["models"]] == ["low", "high"]
    assert len(answer["verdicts"]) == len(found.summary)
    assert set(answer["files"]) | {"answer.json", "store"} == names
    pd.testing.assert_frame_equal(ms.read_scores(tmp_path / "o" / "scores.csv"), found.scores, check_dtype=False)


def test_guarantee_with_enough_cases(tmp_path):
    found = ms.study(bright, hearts(30, 16), "brightness", [0.9, 1, 1.1], labels={1: "LV"}, out=tmp_path, **QUICK)
    assert found.guarantees.patients.tolist() == [30]
    assert (tmp_path / "guarantees.csv").exists()


def test_values_of_requirements_are_tried(tmp_path):
    wanted = "rotation ±7° loses ≤ 0.9 dice"
    found = ms.study(
        bright, hearts(2), "rotation", [-20, 20], labels={1: "LV"}, out=tmp_path, fail_under=wanted, **QUICK
    )
    assert found.scores.value.unique().tolist() == [-20, -7, 0, 7, 20]
    (row,) = found.requirements.to_dict("records")
    assert row["requirement"] == wanted
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["requirements"][0]["passed"] == row["passed"]
    assert answer["status"] == ("done" if row["passed"] else "failed")


# ---------------------------------------------------------------- command line


def test_study_on_the_command_line_and_again_from_its_file(folder):
    code, printed, errors = invoke(*BASE, *VALUES, "--by", "scanner", "--out", "o", "--labels", "bg,heart")
    assert code == 0, errors
    assert "scores: 1 model × 6 cases × 1 transform" in printed
    assert "wrote o/report.html" in printed
    again = (folder / "o" / "study.toml").read_text()
    assert 'cases = "../cases.csv"' in again
    code, _, errors = invoke("study", "o/study.toml", "--out", "p", "--no-progress")
    assert code == 0, errors
    same_tables(folder / "o", folder / "p", (*TABLES, "summary_by_scanner"))
    # from its own folder, too, and what is kept is used
    code, _, errors = invoke("study", "p/study.toml", "--no-progress")
    assert code == 0, errors
    same_tables(folder / "o", folder / "p", (*TABLES, "summary_by_scanner"))


def test_python_gives_the_same_tables(folder):
    assert invoke(*BASE, *VALUES, "--out", "o")[0] == 0
    ms.study(ms.load_model("mine:Bright"), "cases.csv", "rotation", [-20, -10, 0, 10, 20], out="p", **QUICK)
    same_tables(folder / "o", folder / "p")


def test_options_stand_in_for_the_file(folder):
    (folder / "study.toml").write_text(
        'models = "mine:Bright"\ncases = "cases.csv"\ntransforms = ["rotation"]\nvalues.rotation = [0, 10]\n'
        "floor = false\npreparation = false\naugmentation = false\npictures = false\n"
    )
    code, _, errors = invoke("study", "study.toml", "--values", "rotation=0,5", "--by", "scanner", "--no-progress")
    assert code == 0, errors
    table = pd.read_csv("misas-study/scores.csv")
    assert table.value.unique().tolist() == [0, 5]
    assert "scanner" in table


def test_fail_under(folder):
    hard, easy = "brightness 0.5..1× loses <= 0.01 dice for heart", "brightness .99..1 loses ≤ 0.2 dice for heart"
    options = [*BASE, "--transforms", "brightness", "--labels", "bg,heart", "--out", "o"]
    code, printed, _ = invoke(*options, "--fail-under", hard, "--fail-under", easy)
    assert code == 1
    assert f"FAILED {hard}: Bright, heart: loses 0." in printed
    assert "too much" in printed
    assert f"met    {easy}: Bright, heart: loses 0." in printed
    assert (folder / "o" / "report.html").exists()
    assert invoke(*options, "--fail-under", easy)[0] == 0
    code, _, errors = invoke(*options, "--fail-under", "brightness ±15 looses ≤ 1 dice")
    assert code == 2
    assert "at character 16" in errors


def test_several_models(folder):
    models = ["--model", "mine:Brighter", "--model", "third=mine:Bright", "--size", "pad:8"]
    code, _, errors = invoke(*BASE, *VALUES, *models, "--out", "o")
    assert code == 0, errors
    assert set(pd.read_csv("o/comparison.csv").model_a) == {"Bright", "Brighter"}
    assert set(pd.read_csv("o/scores.csv").model) == {"Bright", "Brighter", "third"}
    assert '[models.third]\nspec = "mine:Bright"\nsize = "pad:8"' in (folder / "o" / "study.toml").read_text()


def test_init_and_study(folder):
    os.remove("cases.csv")
    code, printed, errors = invoke("init")
    assert code == 0, errors
    assert "misas study study.toml" in printed
    code, _, errors = invoke("study", "study.toml", "--model", "mine:Bright", *BASE[5:], *VALUES)
    assert code == 0, errors
    assert invoke("init")[0] == 2
    assert invoke("init", "--force")[0] == 0


@pytest.mark.parametrize(
    "change, words",
    [
        (["--transforms", "rotatoin"], "did you mean 'rotation'"),
        (["--cases", "none"], "cases must be a folder"),
        (["--cases", "empty"], "folder must be a folder with images"),
        (["--model", "mine:None"], "mine:None"),
        (["--by", "scaner"], "by must be a column of the table of cases.*did you mean 'scanner'"),
        (["--patient", "pat"], "patient must be a column"),
        (["--labels", "9=liver"], "labels must be labels that occur in a truth or a prediction, got \"'liver'\""),
        (["--labels", "1=a,b"], "LABEL=NAME"),
        (["--metrics", "dise"], "did you mean 'dice'"),
        (["--jobs", "0"], "jobs must be an integer"),
        (["--out", "mine.py"], "out must be a folder"),
        (["--delta", "0"], "delta must be a number > 0"),
        (["--store", "s", "--no-resume"], "store must be None where resume is False"),
    ],
)
def test_errors_in_one_line(folder, change, words):
    (folder / "empty").mkdir()
    code, _, errors = invoke(*BASE, *VALUES, *change)
    assert code == 2
    (line,) = [line for line in errors.splitlines() if line.startswith("misas: ")]
    assert pd.Series([line]).str.contains(words).all(), line


def test_neither_file_nor_model():
    code, _, errors = invoke("study")
    assert code == 2
    assert "misas init writes one" in errors


# ---------------------------------------------------------------- stopped and killed


def begin(folder, out, slow, *more, **options):
    "A study in a process of its own"
    words = [sys.executable, "-m", "misas", *BASE, *VALUES, "--out", out, *more]
    env = os.environ | dict(SLOW=str(slow), LOG=str(folder / f"{out}.log"))
    return subprocess.Popen(words, cwd=folder, env=env, text=True, **options)


def wait_for(folder, number, process):
    "Until so many results are kept"
    for _ in range(600):
        if sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl")) >= number:
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError("nothing was kept")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_study_goes_on_to_the_same_numbers(folder, number):
    process = begin(folder, "o", 0.06, stderr=subprocess.PIPE)
    wait_for(folder / "o" / "store", 2, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 143)
    if number == signal.SIGTERM:
        assert "what was finished is kept in o/store; the same command goes on from there" in errors
    assert not (folder / "o" / "report.html").exists()
    assert not [path for path in (folder / "o").rglob("*.part*") if number != signal.SIGKILL]
    before = len((folder / "o.log").read_text())
    code, _, errors = invoke("study", "o/study.toml", "--no-progress")
    assert code == 0, errors
    assert invoke(*BASE, *VALUES, "--out", "whole")[0] == 0
    same_tables(folder / "o", folder / "whole")
    assert before >= 10
    os.environ["LOG"] = str(folder / "second.log")
    try:
        assert invoke("study", "o/study.toml", "--no-progress")[0] == 0
    finally:
        del os.environ["LOG"]
    assert not (folder / "second.log").exists(), "all was kept, and no model was asked again"


def test_without_resume_all_is_computed_again(folder, monkeypatch):
    assert invoke(*BASE, *VALUES, "--out", "o")[0] == 0
    monkeypatch.setenv("LOG", str(folder / "log"))
    assert invoke(*BASE, *VALUES, "--out", "o")[0] == 0
    assert not (folder / "log").exists()
    assert invoke(*BASE, *VALUES, "--out", "o", "--no-resume")[0] == 0
    assert len((folder / "log").read_text()) >= 30


def test_a_pipe_that_nobody_reads_is_no_error(folder):
    process = begin(folder, "o", 0.01, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 0, errors
    assert "Traceback" not in errors
    assert (folder / "o" / "report.html").exists()


def test_a_full_disk_leaves_no_half_file(folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    process = begin(
        folder, "o", 0, stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1])),
    )  # fmt: skip
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "misas: " in errors
    assert "Traceback" not in errors
    assert not list((folder / "o").rglob("*.part*"))
    assert (folder / "o" / "study.toml").exists()
    assert invoke(*BASE, *VALUES, "--out", "o")[0] == 0


# ---------------------------------------------------------------- bad input


def test_no_truth(tmp_path):
    cases = [case.replace(truth=None) for case in hearts(3)]
    options = QUICK | dict(preparation=True)
    with pytest.warns(UserWarning, match="no truth is given"):
        found = ms.study(bright, cases, "rotation", [0, 10], out=tmp_path, **options)
    assert found.facts["without_truth"] == [case.name for case in cases]
    assert "no case has a truth" in found.facts["left_out"]["preparation"]
    assert any("own prediction" in text for text in found.facts["warnings"])
    assert json.loads((tmp_path / "answer.json").read_text())["without_truth"] == 3


def sometimes(image):
    if round(float(image.sum()) * 1000) % 2:
        raise RuntimeError("cannot read '/home/anna/Doe John/heart.nii'")
    return image > 0.4


def test_one_model_failing_on_some_cases(tmp_path):
    cases = hearts(8)
    with pytest.warns(UserWarning, match="cases failed"):
        found = ms.study({"good": bright, "bad": sometimes}, cases, "brightness", [1], out=tmp_path, **QUICK,
                         fail_under="brightness dice ≥ 0", labels={1: "LV"})  # fmt: skip
    failed = [error["case"] for error in found.errors]
    assert 0 < len(failed) < 8
    assert {error["model"] for error in found.errors} == {"bad"}
    assert "Doe" not in json.dumps(found.errors)
    assert found.comparison.cases.tolist() == [8 - len(failed)]
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert [error["case"] for error in answer["failed_cases"]] == failed
    assert answer["status"] == "failed", "nothing is known of the cases that failed"
    assert any("the model fails on" in row["reason"] for row in answer["requirements"])


def test_all_cases_failing(folder):
    code, _, errors = invoke("study", "--model", "mine:Fails", *BASE[3:], "--out", "o")
    assert code == 2
    assert "all 6 cases failed" in errors
    assert "no memory" in errors
    answer = json.loads((folder / "o" / "answer.json").read_text())
    assert answer["status"] == "error"
    assert len(answer["failed_cases"]) == 6
    assert not (folder / "o" / "report.html").exists()


def test_a_name_with_html(tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    cases = [case.replace(name=name) for case, name in zip(hearts(3), (evil, "=cmd()", "b"))]
    found = ms.study({evil: bright}, cases, "rotation", [0, 10], out=tmp_path, **QUICK | dict(pictures=True))
    assert evil in set(found.scores.case)
    assert "<img src=x" not in (tmp_path / "report.html").read_text()
    assert "'=cmd()" in (tmp_path / "scores.csv").read_text()


def test_neither_paths_nor_other_columns_are_written(folder):
    options = dict(by="scanner", out=folder / "o", title="private") | QUICK | dict(pictures=True)
    ms.study(ms.load_model("mine:Bright"), folder / "cases.csv", "rotation", [0, 10], patient="patient", **options)
    for path in (folder / "o").iterdir():
        if path.is_file():
            content = path.read_bytes()
            assert str(folder).encode() not in content, path.name
            assert b"secretword" not in content, path.name
            assert b"Doe" not in content, path.name
    table = pd.read_csv(folder / "o" / "scores.csv")
    assert "secret" not in table
    assert table.patient.unique().tolist() == [1, 2, 3, 4, 5, 6]


def test_what_python_had_in_its_memory_cannot_be_run_again(tmp_path):
    ms.study(bright, hearts(2), "rotation", [0, 10], out=tmp_path, **QUICK)
    with pytest.raises(ValueError, match="models must be named by the study file.*package.module:object"):
        ms.run_study(tmp_path / "study.toml")


def test_a_changed_model_is_said(folder):
    assert invoke(*BASE, *VALUES, "--out", "o")[0] == 0
    (folder / "mine.py").write_text(MODELS.replace("limit = 100", "limit = 90"))
    sys.modules.pop("mine", None)
    with pytest.warns(UserWarning, match="model 'Bright' is not the one of the run that wrote the study file"):
        ms.run_study("o/study.toml", progress=False)


@pytest.mark.parametrize(
    "options, error, words",
    [
        (dict(models=[]), ValueError, "models must be at least one model"),
        (dict(cases=[]), ValueError, "cases must be at least one case"),
        (dict(transforms=[]), ValueError, "transforms must be at least one transform"),
        (dict(transforms="rotatoin"), ValueError, "did you mean 'rotation'"),
        (dict(by="scanner"), ValueError, "by must be none, as no table tells of cases"),
        (dict(metrics=["dice", "hd95"]), ValueError, "delta must be a dict"),
        (dict(seed=-1), ValueError, "seed must be an integer >= 0"),
        (dict(floor="no"), TypeError, "floor must be True or False"),
        (dict(fail_under=[3]), TypeError, "fail_under must be"),
        (dict(out=3), TypeError, "out must be"),
    ],
)
def test_wrong_arguments(tmp_path, options, error, words):
    given = dict(models=bright, cases=hearts(1), transforms="rotation", values=[0], out=tmp_path / "o") | options
    with pytest.raises(error, match=words):
        ms.study(**given)
    assert not Path(tmp_path / "o").exists()


def test_adaptive_values_reach_every_part(tmp_path):
    cases = [ms.phantom((48, 48), seed=seed) for seed in (0, 1)]
    chosen = dict(labels={1: "LV"}, preparation=False, augmentation=False, pictures=False, progress=False)
    adaptive = dict(values={"brightness": ["adaptive", 0.5, 4]}, resolution=0.1, budget=12)
    model = ms.as_model(lambda image: image > 0.4, name="threshold")
    found = ms.study(model, cases, ["brightness", "rotation"], out=tmp_path, **adaptive, **chosen)
    tried = found.scores[found.scores["transform"] == "brightness"].groupby("case").value.apply(tuple)
    assert tried.nunique() == 1 and 3 < len(tried.iloc[0]) <= 12 and max(tried.iloc[0]) == 4
    said = ms.read_study_file(tmp_path / "study.toml")
    assert said.values == {"brightness": ["adaptive", 0.5, 4]} and (said.resolution, said.budget) == (0.1, 12)
    with pytest.raises(ValueError, match="fail_under must be about transforms whose values are listed"):
        ms.study(
            model, cases, "brightness", out=tmp_path, fail_under="brightness loses ≤ 0.1 dice", **adaptive, **chosen
        )


def test_what_several_parts_say_of_placed_values_is_said_once(tmp_path):
    cases = [ms.phantom((32, 32), seed=seed).replace(columns=dict(scanner="AB"[seed % 2])) for seed in range(80)]
    models = {f"{share}": lambda image, share=share: image > share * image.max() for share in (0.5, 0.52, 0.55)}
    chosen = dict(values="adaptive", budget=4, labels={1: "LV"}, delta=0.5, by="scanner", out=tmp_path)
    off = dict(preparation=False, augmentation=False, pictures=False, floor=False, progress=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = ms.study(models, cases, "brightness", **chosen, **off)
    told = [str(warning.message) for warning in said if "were placed" in str(warning.message)]
    # of the summary, of each group and of the guarantees; of three comparisons
    assert len(told) == 2 and "the confidence of what is guaranteed" in told[0] and "look like a difference" in told[1]
    assert [text for text in found.facts["warnings"] if "were placed" in text] == told
