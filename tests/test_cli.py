"The command line, as a user would run it"

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import misas
from misas.cli import _few_steps, _say_warning, app
from misas.core.sweeps import get_series
from misas.core.transform import known_transforms
from misas.data.phantoms import phantom
from misas.models.sizes import PadTo, ResizeTo, size_for_network
from misas.options import PAPER, numbers_by_name, structures_by_name, transforms_by_name, values_by_name

BRIGHT = """
import numpy as np

class Bright:
    def predict(self, image):
        return (np.asarray(image) > 100).astype(np.uint8)
"""


def test_transforms_by_name():
    assert list(map(str, transforms_by_name("rotation, spike-position"))) == ["rotation", "spike-position"]
    assert len(transforms_by_name(PAPER)) == 10
    for bad, word in [("rotaton", "did you mean 'rotation'"), (" ", "transforms must be")]:
        with pytest.raises(ValueError, match=word):
            transforms_by_name(bad)


def test_values_of_transforms():
    both = transforms_by_name("rotation,zoom")
    assert values_by_name(["rotation=-30,0,1.5"], both) == {"rotation": [-30, 0, 1.5]}
    assert values_by_name(["rotation=0", "rotation=10"], both) == {"rotation": [0, 10]}
    for bad in ("rotation", "zoo=1", "zoom=a"):
        with pytest.raises(ValueError, match="values"):
            values_by_name([bad], both)


def test_numbers_for_all_or_by_name():
    names = ["rotation", "zoom"]
    assert numbers_by_name("resolution", None, names) is None
    assert numbers_by_name("resolution", ["2"], names) == 2
    assert numbers_by_name("resolution", ["rotation=1", "zoom=0.02"], names) == {"rotation": 1, "zoom": 0.02}
    for said, message in [
        (["x"], "resolution must be NUMBER, or NAME=NUMBER, got 'x'"),
        (["rotation="], "resolution must be NUMBER, or NAME=NUMBER, got 'rotation='"),
        (["rotation=0"], "resolution of rotation must be a number > 0, got 0"),
        (["-1"], "resolution must be a number > 0, got -1"),
        (["rotaton=1"], "name in resolution must be one of .*did you mean 'rotation'"),
        (["1", "zoom=2"], "resolution must be one NUMBER for all, or NAME=NUMBER each time, got '1 zoom=2'"),
    ]:
        with pytest.raises(ValueError, match=message):
            numbers_by_name("resolution", said, names)


def test_size():
    assert size_for_network("pad:16") == PadTo(16)
    assert size_for_network("resize:256x224") == ResizeTo((256, 224))
    assert size_for_network(None) is None
    for bad in ("pad", "pad:0", "fit:3", "resize:8x"):
        with pytest.raises(ValueError, match="size must be pad:16"):
            size_for_network(bad)


def test_rois():
    assert structures_by_name("LV, MY") == ["LV", "MY"]
    assert structures_by_name("a=b=1,MY=2") == {"a=b": 1, "MY": 2}
    assert structures_by_name(None) is None
    with pytest.raises(ValueError, match="rois must be NAME,NAME,... or .*, got 'MY='"):
        structures_by_name("LV=1,MY=")


def test_few_steps_of_a_long_series():
    series = get_series(lambda x: x > 0.5, phantom((32, 32)), "rotation", progress=False)
    few = _few_steps(series)
    assert len(few) == 9
    assert 0 in few.values
    assert few.values[0] == -180
    assert few.values[-1] == 180
    assert 0 in _few_steps(series[30:]).values
    assert len(_few_steps(series[:4])) == 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "The current folder, with an image, its mask, a volume, a model and a file that is nothing of that"
    monkeypatch.chdir(tmp_path)
    heart = phantom((48, 40))
    Image.fromarray((heart.image[0].numpy() * 255).astype(np.uint8)).save("image.png")
    Image.fromarray(heart.truth.numpy().astype(np.uint8)).save("mask.png")
    np.save("volume.npy", phantom((4, 32, 32)).image[0].numpy())
    (tmp_path / "mine.py").write_text(BRIGHT)
    (tmp_path / "file").write_text("x")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    return tmp_path


def invoke(*args):
    "(exit code, what is printed, errors)"
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    return done.exit_code, done.stdout, done.stderr


BASE = ["run", "--image", "image.png", "--model", "mine:Bright", "--no-progress", "--transforms", "spike"]


def test_demo(folder):
    choice = ["--transforms", "rotation,dihedral", "--values", "rotation=-30,0,30", "--no-progress"]
    code, printed, errors = invoke("demo", "--out", "demo", *choice)
    assert code == 0, errors
    tables = [f"{name}.{kind}" for name in ("scores", "summary", "verdicts") for kind in ("csv", "parquet")]
    others = ["answer.json", "report.html", "store", "study.toml"]
    assert sorted(path.name for path in (folder / "demo").iterdir()) == sorted([*tables, *others])
    table = pd.read_csv("demo/scores.csv")
    assert set(table["transform"]) == {"rotation", "dihedral"}
    unchanged = table.query("transform == 'rotation' and value == 0 and metric == 'dice' and label == 'LV'")
    assert unchanged.score.item() > 0.8
    assert "scored against the truth" in printed
    assert f"open {Path('demo/report.html')} in a browser" in printed
    code, _, errors = invoke("study", "demo/study.toml", "--out", "again", "--no-progress")
    assert code == 0, errors
    assert (folder / "again" / "scores.csv").read_bytes() == (folder / "demo" / "scores.csv").read_bytes()


def test_demo_with_files(folder):
    code, _, errors = invoke("demo", "--out", "demo", "--transforms", "dihedral", "--no-progress", "--files")
    assert code == 0, errors
    names = {path.name for path in (folder / "demo").iterdir()}
    assert names >= {"dihedral.gif", "dihedral.html", "dihedral.png", "report.html", "scores.csv"}


def test_python_m_misas(folder):
    command = [sys.executable, "-m", "misas", "demo", "--out", "demo", "--transforms", "spike", "--no-progress"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "demo" / "scores.csv").exists()


def test_a_warning_is_one_line(folder):
    command = [sys.executable, "-m", "misas", *"study --model demo --cases images --transforms dihedral".split()]
    cases = folder / "images"
    cases.mkdir()
    for name in ("image", "mask"):
        shutil.copy(folder / f"{name}.png", cases / f"case{'_mask' * (name == 'mask')}.png")
    done = subprocess.run([*command, "--no-progress"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.strip().splitlines()
    assert any(line.startswith("misas: warning: ") for line in lines), done.stderr
    assert ".py:" not in done.stderr and "sys.exit" not in done.stderr


def test_what_two_parts_of_a_command_warn_of_is_said_once(capsys):
    for where in ("first.py", "second.py"):
        _say_warning(UserWarning("a table\nand its chart"), UserWarning, where, 1)
    assert capsys.readouterr().err == "misas: warning: a table and its chart\n"


def test_run_without_truth(folder):
    code, printed, errors = invoke(*BASE, "--out", "mine")
    assert code == 0, errors
    assert (folder / "mine" / "spike.html").exists()
    assert "its own prediction" in printed


def test_run_with_truth(folder):
    code, _, errors = invoke(*BASE, "--out", "mine", "--mask", "mask.png", "--labels", "bg,LV,MY,RV")
    assert code == 0, errors
    assert set(pd.read_csv("mine/scores.csv").label) == {"bg", "LV", "MY", "RV"}


def test_run_in_another_size(folder):
    code, _, errors = invoke(*BASE, "--out", "mine", "--size", "pad:32")
    assert code == 0, errors


PLACED = ["--transforms", "rotation,spike", "--values", "rotation=adaptive,-20,20", "--resolution", "rotation=2"]


@pytest.mark.filterwarnings("ignore:model .*limits? of rotation")
def test_run_with_adaptive_values(folder):
    options = [*BASE, "--mask", "mask.png", *PLACED, "--budget", "8", "--delta", "0.1"]
    code, printed, errors = invoke(*options, "--out", "mine")
    assert code == 0, errors
    table = pd.read_csv("mine/scores.csv")
    tried = table[table["transform"] == "rotation"].value.unique()
    assert len(tried) <= 8 and {-20, 0, 20} <= set(tried) and (tried % 2 == 0).all()
    assert f"rotation: {len(tried)} steps" in printed
    assert (folder / "mine" / "rotation.png").exists() and (folder / "mine" / "rotation.gif").exists()
    said = misas.read_study_file("mine/study.toml")
    assert (said.values, said.budget) == ({"rotation": ["adaptive", -20, 20]}, 8)
    assert (said.resolution, said.delta) == ({"rotation": 2}, 0.1)
    code, _, errors = invoke(*options, "--out", "again", "--store", "kept")
    assert code == 0, errors
    assert (folder / "again" / "scores.csv").read_bytes() == (folder / "mine" / "scores.csv").read_bytes()


@pytest.mark.filterwarnings("ignore:model .*limits? of rotation", "ignore:case 'image'")
def test_study_with_adaptive_values(folder):
    study = ["study", "--model", "mine:Bright", "--cases", "image.png", "--no-floor", "--no-pictures", "--no-progress"]
    limits = ["--budget", "8", "--metrics", "dice,iou", "--delta", "dice=0.1", "--delta", "iou=0.2"]
    code, _, errors = invoke(*study, *PLACED, *limits, "--out", "mine")
    assert code == 0, errors
    said = misas.read_study_file("mine/study.toml")
    assert (said.resolution, said.budget, said.delta) == ({"rotation": 2}, 8, {"dice": 0.1, "iou": 0.2})
    code, _, errors = invoke("study", "mine/study.toml", "--budget", "4", "--out", "again", "--no-progress")
    assert code == 0, errors
    table = pd.read_csv("again/scores.csv")
    assert table[table["transform"] == "rotation"].value.nunique() <= 4


def test_run_slice_by_slice(folder):
    options = ["--slicewise", "--size", "pad:8", "--out", "deep", "--no-progress"]
    sweep = ["--transforms", "brightness", "--values", "brightness=1"]
    code, _, errors = invoke("run", "--image", "volume.npy", "--model", "demo", *options, *sweep)
    assert code == 0, errors
    assert (folder / "deep" / "brightness.png").exists()


@pytest.mark.parametrize(
    "change, word",
    [
        (["--transforms", "rotaton"], "did you mean 'rotation'"),
        (["--image", "none.png"], "none.png"),
        (["--model", "demoo"], "'demo'"),
        (["--mask", "file"], "truth"),
        (["--labels", "bg", "--mask", "mask.png"], "labels"),
        (["--metrics", "dise"], "did you mean 'dice'"),
        (["--values", "spike=-1"], "intensity"),
        (["--out", "file"], "which is a file"),
        (["--out", "file/new"], "'file' is a file"),
        (["--size", "16"], "size must be pad:16"),
        (["--resolution", "1"], "resolution must be left out where no values are 'adaptive'"),
        (["--budget", "9"], "budget must be left out where no values are 'adaptive' (--values NAME=adaptive), got 9"),
        (["--values", "spike=adaptive", "--budget", "2"], "budget must be an integer >= 3 or None, got 2"),
        (["--values", "spike=adaptive", "--resolution", "zoom=1"], "name in resolution must be one of 'spike'"),
        (["--values", "spike=adaptive,1"], "('adaptive', lowest value, highest value)"),
        (["--delta", "0"], "delta must be a number > 0, got 0"),
        (["--delta", "hd95=1"], "name in delta must be one of 'dice', 'precision', 'recall', got 'hd95'"),
    ],
    ids=lambda x: x[0].strip("-") if isinstance(x, list) else "",
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(folder, change, word):
    before = set(folder.rglob("*"))
    code, _, errors = invoke(*BASE, "--out", "new", *change)
    assert code == 2
    assert word in errors
    assert errors.count("\n") == 1
    cached = {folder / "__pycache__", *(folder / "__pycache__").rglob("*")}
    assert set(folder.rglob("*")) <= before | cached


def test_negative_seed_is_refused(folder):
    code, _, errors = invoke("demo", "--seed", "-1")
    assert code == 2
    assert "seed must be an integer >= 0, got -1" in errors


def test_list_of_transforms():
    code, printed, errors = invoke("transforms")
    assert code == 0, errors
    names = [line.split()[0] for line in printed.splitlines()]
    assert names[: 1 + len(PAPER.split(","))] == ["name", *PAPER.split(",")]
    assert set(names[1:]) == set(known_transforms())


def test_version():
    assert invoke("--version")[:2] == (0, f"{misas.__version__}\n")
