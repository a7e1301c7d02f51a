"What the README says works"

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def blocks(language):
    "(line number, text) of the README's code blocks in `language`"
    text = README.read_text(encoding="utf-8")
    return [
        (text[: m.start(1)].count("\n"), m[1]) for m in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    ]


def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    assert blocks("python")
    # blank lines in front make a traceback show the README's own line numbers
    for line, block in blocks("python"):
        exec(compile("\n" * line + block, str(README), "exec"), namespace)


def test_table_of_transforms():
    import misas.all

    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| [\w-]+ \| `\w+\(", line)
    ]
    rows = [r for r in rows if len(r) == 6]  # those of models have three columns
    assert len(rows) == 10
    for name, python, param, unit, neutral, values in rows:
        transform = eval(python.strip("`"), vars(misas.all))
        assert (transform.name, transform.unit) == (name, unit)
        assert param.startswith(f"`{transform.param}`")
        if re.fullmatch(r"[\d.]+", neutral) or not neutral:
            assert transform.neutral == (float(neutral) if neutral else None)
        if ends := re.fullmatch(r"([-\d.]+) … ([-\d.]+)", values):
            assert (transform.values[0], transform.values[-1]) == tuple(map(float, ends.groups()))
