"The examples in docstrings run, and say what they claim to"

import doctest
import importlib
import sys
from pathlib import Path

import pytest

import misas as ms

# what a user calls first
FIRST = (
    "load_case",
    "as_model",
    "get_series",
    "evaluate",
    "score",
    "summarise",
    "compare",
    "plot_series",
    "gif_series",
    "plot_scores",
    "suggest_preparation",
)
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
DOCS = Path(__file__).parents[1] / "docs"


def example_of(name):
    "The doctest of a public function"
    function = getattr(ms, name)
    return doctest.DocTestParser().get_doctest(function.__doc__ or "", {}, name, None, None)


@pytest.mark.parametrize("name", FIRST)
def test_example(name, tmp_path, monkeypatch):
    example = example_of(name)
    if not example.examples:
        pytest.skip(f"{name} has no example yet")
    monkeypatch.chdir(tmp_path)  # examples may write files
    said = []
    failed, _ = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(example, out=said.append)
    assert failed == 0, "".join(said)


def test_examples_stay_as_they_are_in_the_documentation(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(DOCS)
    for module in ("docments", "pages"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    docments = importlib.import_module("docments")
    lines = ["Calls `f` with *args", "", ">>> f(*[`a`])", "a_b", "", "and `g`"]
    made = docments.as_rst_lines(lines)
    assert made[2:4] == lines[2:4]
    assert made[1] == made[4] == ""
    assert made[0] == r"Calls \ ``f``\  with \*args"
    assert made[5] == "and \\ ``g``\\ "
