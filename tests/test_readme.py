"What the README says works"
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def blocks(language):
    "(line number, text) of the README's code blocks in `language`"
    text = README.read_text(encoding="utf-8")
    return [(text[:m.start(1)].count("\n"), m[1]) for m in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    assert blocks("python")
    # blank lines in front make a traceback show the README's own line numbers
    for line, block in blocks("python"): exec(compile("\n" * line + block, str(README), "exec"), namespace)
