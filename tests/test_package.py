"The package as a whole: its rooms, its front door, what an import costs, its metadata"

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
PACKAGE = ROOT / "misas"

# an arrow of imports never runs back: each may import those before it, and itself
ORDER = ["core", "data", "transforms", "metrics", "models", "eval", "analysis", "plot", "report"]
ORDER += ["options", "commands", "cli", "compat", "all"]
SIDE_BY_SIDE = [{"data", "transforms", "metrics"}, {"models", "eval"}, {"cli", "compat", "all"}]

DRAWING = {"matplotlib", "altair.vegalite", "gif"}  # Altair itself is a stand-in until it is used
FRAMEWORKS = {
    "fastai", "tensorflow", "keras", "onnx", "onnxruntime", "monai", "transformers", "segmentation_models_pytorch",
    "nnunetv2", "ipywidgets", "httpx", "torchio", "SimpleITK", "captum",
}  # fmt: skip
LATE = {"scipy.spatial", "scipy.interpolate", "scipy.ndimage", "scipy.stats", "skimage", "sklearn", "joblib", "pydicom"}

settings = ConfigParser(delimiters=["="], interpolation=None)
settings.read(ROOT / "settings.ini", encoding="utf-8")


def run(code: str) -> str:
    "What a fresh Python prints"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported_by(statement: str) -> set:
    "Names of all modules that a fresh Python has loaded after `statement`"
    printed = run(f"{statement}\nimport json, sys; print(json.dumps(list(sys.modules)))")
    return set(json.loads(printed.splitlines()[-1]))


# ---------------------------------------------------------------- what an import costs


def test_front_door_is_light():
    assert not (DRAWING | FRAMEWORKS | LATE | {"torch", "numpy", "pandas"}) & imported_by("import misas")


@pytest.mark.parametrize("statement", ["import misas.core", "import misas.transforms", "import misas.models"])
def test_what_computes_draws_nothing(statement):
    assert not (DRAWING | FRAMEWORKS | LATE | {"pandas"}) & imported_by(statement)


@pytest.mark.parametrize(
    "statement",
    ["import misas as ms; ms.evaluate", "from misas.all import *", "import misas.eval", "import misas.plot"],
)
def test_nothing_is_imported_before_it_is_used(statement):
    assert not (DRAWING | FRAMEWORKS | LATE) & imported_by(statement)


# ---------------------------------------------------------------- names


def test_front_door_and_star_have_the_same_names():
    printed = run(
        "import misas as ms, misas.all as everything; print(sorted(ms.__all__) == sorted(everything.__all__))"
    )
    # the front door also has the packages themselves
    names = set(json.loads(run("import json, misas; print(json.dumps(misas.__all__))")))
    everything = set(json.loads(run("import json, misas.all; print(json.dumps(misas.all.__all__))")))
    assert names - everything <= {*ORDER}, printed
    assert everything <= names


def test_star_brings_no_module():
    code = """
before = set(globals())
from misas.all import *
from types import ModuleType as Module
print([name for name, value in dict(globals()).items() if isinstance(value, Module) and name not in before])
"""
    assert run(code).strip() == "[]"


def test_every_name_of_the_front_door_is_there():
    assert run("import misas as ms; print([n for n in ms.__all__ if not hasattr(ms, n)])").strip() == "[]"


def test_stub_is_up_to_date():
    check = [sys.executable, ROOT / "docs" / "faces.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_public_names_are_those_of_before():
    known = (ROOT / "tests" / "public_names.txt").read_text().split()
    names = set(json.loads(run("import json, misas; print(json.dumps(misas.__all__))")))
    assert sorted(set(known) - names) == []


@pytest.mark.parametrize("first", ["misas.core.model", "misas.models.remote", "misas.plot", "misas.transforms.ct"])
def test_behaviour_does_not_depend_on_what_was_imported_first(first):
    code = f"""
import {first}
import misas as ms, torch
print(type(ms.as_model(torch.nn.Conv2d(1, 2, 1))).__name__, ms.as_transform("motion"))
print(sorted(ms.known_transforms()), sorted(ms.METRICS), len(ms.ADAPTERS), len(ms.LOADERS))
"""
    assert run(code) == run(code.replace(f"import {first}\n", ""))


# ---------------------------------------------------------------- rooms


def modules():
    "(dotted name below misas, its tree) of every module that a notebook makes"
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        if not path.name.startswith("_"):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported_names(module: str, tree):
    "(dotted name below misas, imported name) of all imports of misas, wherever in the module"
    here = module.split(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                start = here[: len(here) - node.level]
                target = ".".join([*start, *([node.module] if node.module else [])])
            elif node.module and node.module.split(".")[0] == "misas":
                target = node.module.partition(".")[2]
            else:
                continue
            for alias in node.names:
                yield target, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("misas."):
                    yield alias.name.partition(".")[2], ""


def package_of(module: str) -> str:
    return module.split(".")[0]


def may_import(importer: str, imported: str) -> bool:
    "Does an import from one package into the other run forwards?"
    if importer == imported:
        return True
    if any({importer, imported} <= group for group in SIDE_BY_SIDE):
        return False
    return ORDER.index(imported) < ORDER.index(importer)


def test_imports_between_packages_run_one_way():
    wrong = []
    for module, tree in modules():
        for target, name in imported_names(module, tree):
            package = package_of(target) or name
            if package in ORDER and not may_import(package_of(module), package):
                wrong.append(f"{module} imports {name} of {target}")
    assert wrong == []


def test_no_circle_of_imports_between_modules():
    known = {name for name, _ in modules()}
    wanted = {}
    for module, tree in modules():
        at_top = ast.Module([n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))], [])
        targets = {t if t in known else f"{t}.{n}" for t, n in imported_names(module, at_top)}
        wanted[module] = targets & known
    import graphlib

    list(graphlib.TopologicalSorter(wanted).static_order())


def test_no_private_name_is_imported_from_another_module():
    wrong = []
    for module, tree in modules():
        for target, name in imported_names(module, tree):
            if name.startswith("_") and not name.startswith("__"):
                wrong.append(f"{module} imports {name} of {target}")
    assert wrong == []


def test_no_module_is_called_like_a_public_name():
    names = set(json.loads(run("import json, misas.all; print(json.dumps(misas.all.__all__))")))
    assert {module.split(".")[-1] for module, _ in modules()} & names == {"confusion"}


def test_notebooks_make_one_module_each_and_are_numbered_once():
    for folder in sorted((ROOT / "nbs").iterdir()):
        if folder.name in ORDER:
            numbers = [path.name.split("_")[0] for path in folder.glob("*.ipynb")]
            assert len(set(numbers)) == len(numbers), folder
    made = []
    for path in (ROOT / "nbs").rglob("*.ipynb"):
        made += re.findall(r'"#\| ?default_exp ([\w.]+)', path.read_text(encoding="utf-8"))
    assert len(set(made)) == len(made)
    assert {name for name, _ in modules()} == set(made)


def test_no_notebook_is_too_large_for_a_web_page():
    large = [p.name for p in (ROOT / "nbs").rglob("*.ipynb") if p.stat().st_size > 1_500_000]
    assert large == []


def test_every_chart_in_a_notebook_has_a_picture():
    blank = []
    for path in (ROOT / "nbs").rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                is_chart = any("vegalite" in kind for kind in data) or "vegaEmbed" in "".join(data.get("text/html", ""))
                if is_chart and "image/png" not in data:
                    blank.append(f"{path.relative_to(ROOT)} {cell['id']}")
    assert blank == []


# ---------------------------------------------------------------- metadata


def test_metadata_comes_from_settings():
    installed, meta = metadata("misas"), settings["DEFAULT"]
    assert installed["Summary"] == meta["description"]
    assert installed["Requires-Python"] == f">={meta['python']}"
    assert set(installed.get_all("Provides-Extra")) == {name for name in settings["extras"] if name not in meta}
    urls = installed.get_all("Project-URL")
    assert f"Repository, {meta['repository']}" in urls
    assert f"Documentation, {meta['documentation']}" in urls
    scripts = [script.value for script in entry_points(group="console_scripts") if script.name == "misas"]
    assert scripts == ["misas.cli:main"]


def test_links_are_made_from_settings():
    check = [sys.executable, ROOT / "docs" / "links.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def texts():
    "Every file that could hold an address of the project"
    files = [ROOT / name for name in ("README.md", "CITATION.cff", "pyproject.toml", "setup.py", ".ci/run")]
    folders = dict(nbs=".ipynb", misas=".py", docs=".md .py .css", tests=".py")
    for folder, suffixes in folders.items():
        files += [p for p in (ROOT / folder).rglob("*") if p.suffix in suffixes.split()]
    files += (ROOT / ".github").rglob("*.yml")
    return [p for p in files if p.exists()]


@pytest.mark.parametrize("kind", ["github.com/", "colab.research.google.com/github/"])
def test_no_other_address_of_the_project(kind):
    slug = settings["DEFAULT"]["repository"].removeprefix("https://github.com/")
    pattern = re.compile(re.escape(kind) + r"([\w.-]+/misas)\b", re.I)
    found = {(p.relative_to(ROOT).as_posix(), m[1]) for p in texts() for m in pattern.finditer(p.read_text("utf-8"))}
    assert [(where, other) for where, other in sorted(found) if other != slug] == []


def test_a_misspelt_name_gets_a_hint():
    import misas as ms

    with pytest.raises(AttributeError, match=r"no attribute 'evalute' \(did you mean 'evaluate'\?\)"):
        ms.evalute  # noqa: B018
    assert not hasattr(ms, "_ipython_canary_method_should_not_exist_")


def test_old_modules_work_for_one_minor_version():
    code = """
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    from misas.networks import TorchModel
    from misas.phantom import phantom
import misas as ms
print(TorchModel is ms.TorchModel, phantom((16, 16)).shape, ms.phantom((16, 16)).shape)
print([w.category.__name__ for w in said if "misas." in str(w.message)])
"""
    assert run(code).split("\n")[:2] == [
        "True (16, 16) (16, 16)",
        "['DeprecationWarning', 'DeprecationWarning']",
    ]
    with pytest.raises(ImportError):
        import misas.never_there  # noqa: F401
