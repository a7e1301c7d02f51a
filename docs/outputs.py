"""Make what notebooks store small, and visible where no script runs

python docs/outputs.py           rewrites the notebooks whose outputs can be smaller or lack a picture
python docs/outputs.py --check   only names them, and fails if there are any

A chart is stored as its specification and as a picture; a picture larger than 60 kB is stored with a palette.
"""

import base64
import json
import sys
from pathlib import Path

import pages
from palette import with_palette

ROOT = Path(__file__).resolve().parents[1]
SPECIFICATION = "application/vnd.vegalite.v5+json"
LARGE = 80_000  # characters of a picture in a notebook


def encoded(png: bytes) -> str:
    return base64.b64encode(png).decode()


def picture_of(spec: dict) -> bytes:
    "A chart as a PNG"
    import vl_convert

    version = spec.get("$schema", "v5").rpartition("/v")[2].removesuffix(".json")
    major = ".".join(version.split(".")[:2])
    known = vl_convert.get_vegalite_versions()
    return vl_convert.vegalite_to_png(spec, vl_version=major if major in known else known[-1])


def smaller(data: dict) -> dict:
    "The data of an output, as they should be stored"
    spec = pages.vega_spec({kind: "".join(v) if isinstance(v, list) else v for kind, v in data.items()})
    if spec and "image/png" not in data:
        plain = data.get("text/plain", "Chart")
        return {SPECIFICATION: spec, "image/png": encoded(with_palette(picture_of(spec))), "text/plain": plain}
    if len(data.get("image/png", "")) > LARGE:
        return data | {"image/png": encoded(with_palette(base64.b64decode("".join(data["image/png"]))))}
    return data


def rewritten(path: Path) -> str:
    "The text of a notebook with its outputs as they should be stored"
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "data" in output:
                output["data"] = smaller(output["data"])
    return json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def main(check: bool) -> bool:
    "Rewrite the notebooks, or only name those that would change; is all well?"
    stale = False
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        wanted = rewritten(path)
        if wanted == path.read_text(encoding="utf-8"):
            continue
        stale = True
        print(f"{path.relative_to(ROOT)}: outputs {'are larger than need be' if check else 'made smaller'}")
        if not check:
            path.write_text(wanted, encoding="utf-8")
    return not (check and stale)


if __name__ == "__main__":
    sys.exit(not main("--check" in sys.argv[1:]))
