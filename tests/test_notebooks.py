"Every notebook runs from top to bottom, each in a process of its own"

import subprocess
import sys
from pathlib import Path

import pytest
from nbdev.frontmatter import nb_frontmatter
from nbdev.process import NBProcessor

NBS = Path(__file__).parents[1] / "nbs"
NOTEBOOKS = sorted(p for p in NBS.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
RUN = "import sys; from nbdev.test import test_nb; sys.exit(not test_nb(sys.argv[1])[0])"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.relative_to(NBS).with_suffix("").as_posix() for p in NOTEBOOKS])
def test_notebook(path):
    if str(nb_frontmatter(NBProcessor(path).nb).get("skip_exec", False)).lower() == "true":
        pytest.skip("marked skip_exec")
    done = subprocess.run([sys.executable, "-c", RUN, path], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{done.stdout}\n{done.stderr}", pytrace=False)
