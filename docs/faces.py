"""Write the stub of the front door, misas/__init__.pyi, from the public names of all modules

python docs/faces.py           writes it
python docs/faces.py --check   only tells whether it would change, and fails if it would
"""

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "misas"
PACKAGES = ("core", "data", "transforms", "metrics", "models", "eval", "analysis", "plot", "report")
HEAD = '''"""misas: model interpretation through sensitivity analysis for segmentation

Made by docs/faces.py. The front door imports a module the first time that one of its names is used.
"""

from . import analysis as analysis
from . import cli as cli
from . import compat as compat
from . import core as core
from . import data as data
from . import eval as eval
from . import metrics as metrics
from . import models as models
from . import plot as plot
from . import report as report
from . import transforms as transforms
'''


def public_names(
    module: Path,  # a file
) -> list[str]:
    "What the module says in `__all__`"
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return ast.literal_eval(node.value)
    return []


def stub() -> str:
    "The text of misas/__init__.pyi"
    lines = [HEAD]
    names = []
    for package in PACKAGES:
        for module in sorted((PACKAGE / package).glob("[a-z]*.py")):
            own = sorted(public_names(module))
            if own:
                listed = "".join(f"    {name},\n" for name in own)
                lines.append(f"from .{package}.{module.stem} import (\n{listed})\n")
                names += own
    listed = "".join(f'    "{name}",\n' for name in sorted(names))
    lines.append(f"\n__version__: str\n__all__ = [\n{listed}]\n")
    return "".join(lines)


def main(check: bool) -> bool:
    "Write the stub, or only compare it; is all well?"
    path = PACKAGE / "__init__.pyi"
    text = stub()
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return True
    print(f"{path} {'is out of date: python docs/faces.py' if check else 'written'}")
    if not check:
        path.write_text(text, encoding="utf-8")
    return not check


if __name__ == "__main__":
    sys.exit(not main("--check" in sys.argv[1:]))
