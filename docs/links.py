"""Write every link to the project from the address in settings.ini

python docs/links.py           rewrites README.md, CITATION.cff and the notebooks
python docs/links.py --check   only tells what would change, and fails if anything would
"""

import json
import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def repository() -> str:
    "The repository's public address"
    settings = ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    return settings["DEFAULT"]["repository"].rstrip("/")


def linked(
    text: str,
    path: str,  # of the file that holds it, from the repository's root
    address: str,  # https://host/owner/name
) -> str:
    "`text` with every link to the project made from `address`"
    owner_name = address.split("/", 3)[3]
    here = path if path.endswith(".ipynb") else None
    colab = lambda m: f"https://colab.research.google.com/github/{owner_name}/blob/main/{here or m[1]}"
    text = re.sub(
        r"https://colab\.research\.google\.com/github/[^/\s]+/[^/\s]+/blob/main/([\w./-]+\.ipynb)", colab, text
    )
    text = re.sub(r"https://[^\s()\[\]]+(?=/actions/workflows/)", address, text)
    text = re.sub(r"https://(?!colab\.)[^\s()\[\]]+(?=/blob/main/)", address, text)
    owner, name = owner_name.split("/")
    text = re.sub(r"(?<=[^!]\[documentation\]\()[^)\s]+", f"https://{owner}.github.io/{name}/", text)
    text = re.sub(r"(?<=git\+)https://[\w./-]+", address, text)
    return re.sub(r"(?<=^repository-code: ).*$", address, text, flags=re.M)


def linked_file(path: Path, address: str) -> str:
    "The text of the file at `path`, links made from `address`; in a notebook only sources are touched"
    text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    if path.suffix != ".ipynb":
        return linked(text, name, address)
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        source = cell["source"]
        cell["source"] = (
            linked(source, name, address)
            if isinstance(source, str)
            else [linked(line, name, address) for line in source]
        )
    # as nbdev-clean writes notebooks
    return json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def main(check: bool) -> bool:
    "Rewrite, or only name, the files whose links are not made from the address; is all well?"
    stale = False
    for path in [ROOT / "README.md", ROOT / "CITATION.cff", *sorted((ROOT / "nbs").rglob("*.ipynb"))]:
        wanted = linked_file(path, repository())
        if wanted == path.read_text(encoding="utf-8"):
            continue
        stale = True
        print(f"{path.relative_to(ROOT)}: links {'differ from' if check else 'now made from'} {repository()}")
        if not check:
            path.write_text(wanted, encoding="utf-8")
    return not (check and stale)


if __name__ == "__main__":
    sys.exit(not main("--check" in sys.argv[1:]))
