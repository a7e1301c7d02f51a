"""The code on the pages of the guide: it runs, and makes the pictures that stand below it

The blocks of Python of a page run one after the other. Where an image of the folder `made` follows a block, the block's
last line is a figure or a chart, and the image is a picture of it.

python docs/snippets.py guide/questions    runs a page and writes its pictures, as the site does
"""

import ast
import contextlib
import hashlib
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

from palette import with_palette

DOCS = Path(__file__).resolve().parent
LIMIT = 80_000  # bytes of a picture
# a block, a comment with code that makes what the page takes as given, or a picture
PART = re.compile(r"^(?:```python|<!-- setup)\n(.*?)^(?:```|-->)$|^!\[[^\]]*\]\(made/([\w.-]+)\)", re.M | re.S)
NEEDS = re.compile(r"^<!-- needs: (.+) -->$", re.M)


def parts(page: Path):
    "(line number, code, name of a picture) of a page, one of the last two each, in their order"
    text = page.read_text(encoding="utf-8")
    for m in PART.finditer(text):
        yield text[: m.start()].count("\n") + 1, m[1], m[2]


def needs(page: Path) -> list[str]:
    "The packages that a page says it needs"
    said = NEEDS.search(page.read_text(encoding="utf-8"))
    return said[1].split(", ") if said else []


def run_block(code: str, page: Path, line: int, namespace: dict):
    "Run a block, and give the value of its last line if that is an expression"
    # blank lines in front make a traceback show the page's own line numbers
    tree = ast.parse("\n" * line + code, str(page))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(page), "exec"), namespace)
    return last and eval(compile(ast.Expression(last.value), str(page), "eval"), namespace)


def save_picture(shown, path: Path):
    "A figure of matplotlib or a chart of Altair as a small PNG; a file as it is"
    import matplotlib.pyplot as plt

    path.parent.mkdir(exist_ok=True)
    if isinstance(shown, Path):
        path.write_bytes(shown.read_bytes())
    elif hasattr(shown, "savefig"):
        shown.savefig(path, dpi=70, facecolor="white", bbox_inches="tight", pad_inches=0.05)
    else:
        shown.save(str(path), ppi=85)
    plt.close("all")
    if path.suffix == ".png":
        path.write_bytes(with_palette(path.read_bytes()))
    if path.stat().st_size > LIMIT:
        raise ValueError(
            f"{path.name} must have at most {LIMIT} bytes, got {path.stat().st_size}: fewer or smaller panels"
        )


def check_picture(shown, name: str):
    "Can it be saved as a picture?"
    if not (isinstance(shown, Path) or hasattr(shown, "savefig") or hasattr(shown, "save")):
        raise TypeError(f"{name}: the block above it must end with a figure, a chart or a path, got {shown!r}")


def run_page(page: Path, folder: Path | None = None, setup=None):
    "Run all blocks of a page in an empty working directory, after `setup`; pictures go to `folder`, if there is one"
    namespace = {"__name__": page.stem}
    shown = None
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        if setup:
            setup()
        for line, code, picture in parts(page):
            if picture:
                check_picture(shown, picture)
                if folder:
                    save_picture(shown, folder / picture)
            else:
                shown = run_block(code, page, line, namespace)


def write_pictures(page: Path):
    "The pictures of a page, made again where its code or its pictures changed"
    wanted = list(parts(page))
    names = [picture for _, _, picture in wanted if picture]
    if not names:
        return
    folder = page.parent / "made"
    stamp = folder / f"{page.stem}.txt"
    key = hashlib.sha256(repr([w[1:] for w in wanted]).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == key and all((folder / name).exists() for name in names):
        return
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("TQDM_DISABLE", "1")
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        run_page(page, folder)
    stamp.write_text(key)


def pages() -> list[Path]:
    "The pages with code"
    return [page for folder in ("guide", "frameworks") for page in sorted((DOCS / folder).glob("*.md"))]


def write_all_pictures():
    for page in pages():
        write_pictures(page)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_pictures(DOCS / f"{name}.md")
