"Sphinx extension: the pages that are made at build time - the notebooks, and one page of reference for each module"

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

INDEX = """# Reference

Every public name, made from the docstrings and from the comments beside the parameters. `from misas.all import *` brings those that one needs for the main job.

{listed}

```{{toctree}}
:hidden:

{pages}
```
"""

PAGE = """# misas.{module}

{about}. Each part is explained and shown in the notebook [{notebook}](../notebooks/{notebook}.ipynb).

```{{eval-rst}}
.. automodule:: misas.{module}
   :members:
```
"""


def module_of(notebook: Path) -> str | None:
    "The module that a notebook exports, if any"
    made = re.search(r"#\| ?default_exp (\w+)", notebook.read_text(encoding="utf-8"))
    return made and made[1]


@functools.cache
def modules() -> dict:
    "Module to the stem of the notebook that makes it, in order; `all` only passes on what the others define"
    made = {module_of(p): p.stem for p in sorted(NBS.glob("*.ipynb"))}
    return {module: stem for module, stem in made.items() if module not in (None, "all")}


@functools.cache
def public() -> dict:
    "Public name to the module that defines it"
    names = {}
    for module in modules():
        made = importlib.import_module(f"misas.{module}")
        # where two modules have a name, it is the first one's: `compat` has those of an older misas
        names = {
            n: module
            for n in getattr(made, "__all__", ())
            if getattr(getattr(made, n), "__module__", None) == made.__name__
        } | names
    return names


def shown(cell):
    "A notebook's cell as the site shows it, or None if it shows nothing"
    if cell.cell_type == "raw":
        return None
    if cell.cell_type != "code":
        cell.source = re.sub(r"^- skip_\w+: .*\n?", "", cell.source, flags=re.M)  # directives of nbdev
        return cell
    lines = cell.source.split("\n")
    flags = {m[1] for line in lines if (m := re.match(r"#\| ?([\w-]+)", line))}
    cell.source = "\n".join(line for line in lines if not re.match(r"#\| ?[\w-]+", line)).strip("\n")
    if "hide" in flags or not cell.source:
        return None
    if flags & {"export", "exports", "exporti"}:
        cell.metadata["tags"] = ["export"]
    for output in cell.outputs:
        chart(output, cell.id)
    return cell


def vega_spec(data: dict):
    "The specification of the Vega-Lite chart in a cell's output, if there is one"
    for kind, value in data.items():
        if kind.startswith("application/vnd.vegalite"):
            return value
    # what altair shows by default: a page that fetches vega from the network and hands it the specification
    inside = re.search(r"\}\)\((\{.*\}), \{[^{}]*\}\);\s*</script>", data.get("text/html", ""), re.S)
    return inside and json.loads(inside[1])


def chart(output, name: str):
    "A Vega-Lite chart becomes HTML that uses the site's own copy of vega: interactive, and no network is needed"
    spec = vega_spec(output.get("data", {}))
    if spec:
        output["data"] = {
            "text/html": f"""<div id="vis-{name}"></div><script>window.addEventListener("load", () => vegaEmbed("#vis-{name}", {json.dumps(spec)}, {{actions: false}}))</script>"""
        }


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


def first_line(obj) -> str:
    return (inspect.getdoc(obj) or "").split("\n")[0]


def write_reference():
    "docs/api/: a page for each module, and one that lists them all"
    shutil.rmtree(DOCS / "api", ignore_errors=True)
    listed, names = "", public()
    for module, notebook in modules().items():
        about = first_line(importlib.import_module(f"misas.{module}"))
        own = ", ".join(f"`{name}`" for name, where in names.items() if where == module)
        listed += f"[misas.{module}]({module}.md)\n: {about}.  \n  {own}\n\n"
        write(DOCS / "api" / f"{module}.md", PAGE.format(module=module, about=about, notebook=notebook))
    write(DOCS / "api" / "index.md", INDEX.format(listed=listed, pages="\n".join(modules())))


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
    write_notebooks()
    write_reference()
    write_vega()


def setup(app):
    app.connect("config-inited", lambda app, config: prepare(app))
    app.connect("html-page-context", load_vega)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
