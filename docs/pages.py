"""Sphinx extension: the pages that are made at build time

The notebooks without directives and hidden cells, a page for each package ("How it works"), a page of reference for
each module, the gallery of transforms, and the pictures of the guide.
"""

import functools
import importlib
import inspect
import json
import re
import shutil
from pathlib import Path

import nbformat

DOCS = Path(__file__).resolve().parent
NBS = DOCS.parent / "nbs"
PACKAGE = DOCS.parent / "misas"

# in the order in which a reader meets them; what holds the rest together comes last
PACKAGES = ("transforms", "metrics", "eval", "analysis", "plot", "report", "data", "models", "core", "compat")
TOP_LEVEL = ("options", "commands", "cli")

HOW = """# {package}

{about}.

{listed}

```{{toctree}}
:hidden:

{pages}
```
"""

INDEX = """# API

Every public name, made from the docstrings and from the comments beside the parameters. All of them are in `misas`
(`import misas as ms`), and `from misas.all import *` brings them into a notebook.

{listed}

```{{toctree}}
:hidden:

{pages}
```
"""

PACKAGE_PAGE = """# misas.{package}

{about}.

{listed}

```{{toctree}}
:hidden:

{pages}
```
"""

PAGE = """# misas.{module}

{about}. Each part is explained and shown in [its notebook](/notebooks/{notebook}.ipynb).

```{{eval-rst}}
.. automodule:: misas.{module}
   :members:
```
"""


def source_of(notebook: Path) -> str:
    "All code of a notebook, as text"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def module_of(notebook: Path) -> str | None:
    "The module that a notebook exports, such as `transforms.kspace`, if any"
    made = re.search(r"^#\| ?default_exp ([\w.]+)", source_of(notebook), re.M)
    return made and made[1]


@functools.cache
def modules() -> dict:
    "Module to the path of the notebook that makes it (below nbs/, without its ending), package by package"
    made = {}
    for folder in [*PACKAGES, "."]:
        for notebook in sorted((NBS / folder).glob("*.ipynb")):
            made[module_of(notebook)] = notebook.relative_to(NBS).with_suffix("").as_posix()
    return {module: stem for module, stem in made.items() if module not in (None, "all")}


def modules_of(package: str) -> dict:
    "Those of one package"
    return {module: stem for module, stem in modules().items() if module.startswith(f"{package}.")}


@functools.cache
def public() -> dict:
    "Public name to the module that defines it"
    names = {}
    for module in modules():
        made = importlib.import_module(f"misas.{module}")
        for name in getattr(made, "__all__", ()):
            defined_here = getattr(getattr(made, name), "__module__", None) == made.__name__
            # where two modules have a name, it is the first one's: `compat` has those of an older misas
            if defined_here and name not in names:
                names[name] = module
    return names


def shown(cell):
    "A notebook's cell as the site shows it, or None if it shows nothing"
    if cell.cell_type == "raw":
        return None
    if cell.cell_type != "code":
        cell.source = re.sub(r"^- skip_\w+: .*\n?", "", cell.source, flags=re.M)  # directives of nbdev
        return cell
    lines = cell.source.split("\n")
    matches = [re.match(r"#\| ?([\w-]+)", line) for line in lines]
    flags = {m[1] for m in matches if m}
    cell.source = "\n".join(line for line, m in zip(lines, matches) if not m).strip("\n")
    if "hide" in flags or not cell.source:
        return None
    if flags & {"export", "exports", "exporti"}:
        cell.metadata["tags"] = ["export"]
    for output in cell.outputs:
        show_chart(output, cell.id)
    return cell


def vega_spec(data: dict):
    "The specification of the Vega-Lite chart in a cell's output, if there is one"
    for kind, value in data.items():
        if kind.startswith("application/vnd.vegalite"):
            return value
    # what altair shows by default: a page that fetches vega from the network and hands it the specification
    page = data.get("text/html", "")
    inside = re.search(r"\}\)\((\{.*\}), \{[^{}]*\}\);\s*</script>", page, re.S)
    return inside and json.loads(inside[1])


CHART = """<div id="vis-{name}"></div><script>window.addEventListener("load", () =>
vegaEmbed("#vis-{name}", {spec}, {{actions: false}}))</script>"""


def show_chart(output, name: str):
    "A Vega-Lite chart becomes HTML that uses the site's own copy of vega: interactive, and no network is needed"
    spec = vega_spec(output.get("data", {}))
    if spec:
        output["data"] = {"text/html": CHART.format(name=name, spec=json.dumps(spec).replace("<", "\\u003c"))}


def write(path: Path, text: str):
    "Write only what changed, so that an unchanged page is not built again"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def write_notebooks():
    "nbs/ as docs/notebooks/, without directives and hidden cells"
    kept = set()
    for source in NBS.rglob("*.ipynb"):
        if ".ipynb_checkpoints" in source.parts:
            continue
        notebook = nbformat.read(source, as_version=4)
        notebook.cells = [cell for cell in map(shown, notebook.cells) if cell]
        target = DOCS / "notebooks" / source.relative_to(NBS)
        write(target, nbformat.writes(notebook))
        kept.add(target)
    for old in (DOCS / "notebooks").rglob("*.ipynb"):
        if old not in kept:
            old.unlink()


def about(module: str) -> str:
    "The first line of a module's or package's docstring"
    name = f"misas.{module}"
    return (inspect.getdoc(importlib.import_module(name)) or "").split("\n")[0].rstrip(".")


def write_how():
    "docs/how/: a page for each package, with its notebooks"
    shutil.rmtree(DOCS / "how", ignore_errors=True)
    for package in PACKAGES:
        own = modules_of(package)
        listed = "".join(f"[{m.split('.')[1]}](/notebooks/{stem}.ipynb)\n: {about(m)}\n\n" for m, stem in own.items())
        pages = "\n".join(f"{m.split('.')[1]} </notebooks/{stem}>" for m, stem in own.items())
        text = HOW.format(package=package, about=about(package), listed=listed, pages=pages)
        write(DOCS / "how" / f"{package}.md", text)


def names_of(module: str) -> str:
    "The public names of a module, as code"
    return ", ".join(f"`{name}`" for name, where in public().items() if where == module)


def has_reference(module: str) -> bool:
    "Plumbing without a public name has a notebook, and no page of reference"
    return module in public().values() or module in TOP_LEVEL


def write_reference():
    "docs/api/: a page for each module, one for each package, and one that lists them all"
    shutil.rmtree(DOCS / "api", ignore_errors=True)
    overview = ""
    for package in PACKAGES:
        own = {m: stem for m, stem in modules_of(package).items() if has_reference(m)}
        listed = ""
        for module, notebook in own.items():
            short = module.split(".")[1]
            listed += f"[misas.{module}]({package}/{short}.md)\n: {about(module)}.  \n  {names_of(module)}\n\n"
            write(
                DOCS / "api" / package / f"{short}.md",
                PAGE.format(module=module, about=about(module), notebook=notebook),
            )
        pages = "\n".join(f"{package}/{m.split('.')[1]}" for m in own)
        text = PACKAGE_PAGE.format(package=package, about=about(package), listed=listed, pages=pages)
        write(DOCS / "api" / f"{package}.md", text)
        overview += f"## {package}\n\n{about(package)}.\n\n{listed}"
    top_level = [module for module in TOP_LEVEL if module in modules() and has_reference(module)]
    for module in top_level:
        text = PAGE.format(module=module, about=about(module), notebook=modules()[module])
        write(DOCS / "api" / f"{module}.md", text)
    pages = "\n".join([*PACKAGES, *top_level])
    write(DOCS / "api" / "index.md", INDEX.format(listed=overview, pages=pages))


def write_study_keys():
    "docs/guide/made/study_keys.md: every key of a study file, as the code that reads it has them"
    import dataclasses

    from misas.report.studyfile import StudyFile

    table = "| key | what is allowed | without it |\n|---|---|---|\n"
    for key in dataclasses.fields(StudyFile):
        made = key.default_factory() if key.default is dataclasses.MISSING and callable(key.default_factory) else None
        default = made if key.default is dataclasses.MISSING else key.default
        without = "nothing" if default in (None, "", [], {}) else json.dumps(default)
        if key.default is dataclasses.MISSING and key.default_factory is dataclasses.MISSING:
            without = "an error: it must be there"
        example = key.metadata.get("example")
        allowed = key.metadata["allowed"] + (f"; `{example}`" if example else "")
        table += f"| `{key.name}` | {allowed} | {without} |\n"
    write(DOCS / "guide" / "made" / "study_keys.md", table)


def reference_page(module: str) -> str:
    "The document that describes a module"
    return f"api/{module.replace('.', '/')}"


def write_vega():
    "The one copy of vega, vega-lite and vega-embed that all charts of the site use"
    import vl_convert

    # in a function of its own, so that its names do not meet those of other scripts
    write(DOCS / "_static" / "vega.js", f"(() => {{{vl_convert.javascript_bundle()}\n}})();")


def load_vega(app, pagename, templatename, context, doctree):
    "Only pages with charts load vega"
    if "vegaEmbed(" in context.get("body", ""):
        app.add_js_file("vega.js")


def prepare(app):
    import gallery
    import snippets

    write_notebooks()
    write_how()
    write_reference()
    write_study_keys()
    gallery.write_gallery()
    snippets.write_all_pictures()
    write_vega()


def setup(app):
    app.connect("config-inited", lambda app, config: prepare(app))
    app.connect("html-page-context", load_vega)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
