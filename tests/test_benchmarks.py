"The smoke benchmark of CI: what makes it fail, and what does not"

import time
from pathlib import Path

import pytest


@pytest.fixture
def smoke(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import smoke

    return smoke


def busy(*seconds):
    "A job that keeps the processor busy so long, the last time from then on"
    left = list(seconds)

    def work():
        until = time.process_time() + (left.pop(0) if len(left) > 1 else left[0])
        while time.process_time() < until:
            pass

    return work


@pytest.mark.parametrize("expected, code", [(3.0, 0), (1.0, 1)])
def test_only_gross_regressions_fail(smoke, monkeypatch, capsys, expected, code):
    # misas takes three times as long as the other side
    made = {"a path": (lambda: (busy(0.03), busy(0.01)), expected)}
    monkeypatch.setattr(smoke, "comparisons", lambda folder: made)
    assert smoke.main() == code
    said = capsys.readouterr()
    assert "a path" in said.out
    assert ("far slower than expected: a path" in said.err) == bool(code)


def test_slow_paths_are_measured_again(smoke):
    # warm-up and three turns on a busy machine, then five on a quiet one
    slow = busy(*[0.2] * 4, 0.01)
    assert smoke.measured(lambda: (slow, busy(0.01)), 1.0) < 2


def test_the_other_side_of_each_comparison_gives_what_misas_gives(smoke, tmp_path):
    ours, theirs = smoke.distances_and_scipy()
    assert ours() == pytest.approx([theirs()])
    ours, theirs = smoke.reopened_and_parquet(tmp_path, n=3)
    assert ours().case.nunique() == 3
