"The package as a whole: light to import, in order, its metadata in one place"

import ast
import json
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import entry_points, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "matplotlib",
    "altair",
    "torchio",
    "pandas",
    "fastai",
    "tensorflow",
    "keras",
    "onnx",
    "onnxruntime",
    "monai",
    "transformers",
    "ipywidgets",
    "httpx",
}
PUBLIC = """load_case as_model Rotate Zoom Crop Brightness Contrast Dihedral Resize Spike SpikePosition BiasField Compose
    sweep get_series evaluate score plot_series plot_frame gif_series plot_scores plot_confusion plot_confusion_series plot_transform""".split()

settings = ConfigParser(delimiters=["="], interpolation=None)
settings.read(ROOT / "settings.ini", encoding="utf-8")


def imported_by(statement):
    "Names of all modules that a fresh Python has loaded after `statement`"
    code = f"{statement}\nimport json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_light():
    assert not HEAVY & imported_by("import misas")


def test_core_draws_nothing():
    assert not HEAVY & imported_by("import misas.core")


def test_everything_needs_no_training_framework():
    assert not {
        "fastai",
        "tensorflow",
        "keras",
        "onnx",
        "onnxruntime",
        "monai",
        "transformers",
        "segmentation_models_pytorch",
        "nnunetv2",
        "ipywidgets",
        "httpx",
    } & imported_by("from misas.all import *")


def test_public_names():
    namespace = {}
    exec("from misas.all import *", namespace)
    assert [name for name in PUBLIC if name not in namespace] == []


def modules():
    "(module, path) in the order of the notebooks that make them"
    for notebook in sorted((ROOT / "nbs").glob("*.ipynb")):
        if made := re.search(r"#\| ?default_exp (\w+)", notebook.read_text(encoding="utf-8")):
            yield made[1], ROOT / "misas" / f"{made[1]}.py"


def misas_imports(path):
    "Names of the modules of misas that the module at `path` imports, wherever in it"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [f"misas.{node.module or a.name}" for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"misas.{a.name}" for a in node.names] if node.module == "misas" else [node.module]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("misas."))


def test_modules_import_only_modules_above_them():
    above, wrong = set(), []
    for name, path in modules():
        wrong += [f"{name} imports {other}" for other in misas_imports(path) if other not in above]
        above.add(name)
    assert above and wrong == []


def test_metadata_comes_from_settings():
    installed, meta = metadata("misas"), settings["DEFAULT"]
    assert installed["Summary"] == meta["description"]
    assert installed["Requires-Python"] == f">={meta['python']}"
    assert set(installed.get_all("Provides-Extra")) == {name for name in settings["extras"] if name not in meta}
    assert f"Repository, {meta['repository']}" in installed.get_all("Project-URL")
    assert [script.value for script in entry_points(group="console_scripts") if script.name == "misas"] == [
        "misas.cli:main"
    ]


def test_links_are_made_from_settings():
    done = subprocess.run([sys.executable, ROOT / "docs" / "links.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def texts():
    "Every file that could hold an address of the project"
    files = [ROOT / name for name in ("README.md", "CITATION.cff", "pyproject.toml", "setup.py", ".ci/run")]
    for folder, suffixes in dict(
        nbs=".ipynb", misas=".py", docs=".md .py .css", tests=".py", **{".github": ".yml"}
    ).items():
        files += [p for p in (ROOT / folder).rglob("*") if p.suffix and p.suffix in suffixes.split()]
    return [p for p in files if p.exists()]


@pytest.mark.parametrize("kind", ["github.com/", "colab.research.google.com/github/"])
def test_no_other_address_of_the_project(kind):
    slug = settings["DEFAULT"]["repository"].removeprefix("https://github.com/")
    pattern = re.compile(re.escape(kind) + r"([\w.-]+/misas)\b", re.I)
    found = {
        (p.relative_to(ROOT).as_posix(), m[1]) for p in texts() for m in pattern.finditer(p.read_text(encoding="utf-8"))
    }
    assert [(where, other) for where, other in sorted(found) if other != slug] == []
