"Mean curves over cases: what a search, tolerance and a summary take for the same curve"

import numpy as np
import pandas as pd
import pytest

from misas.analysis.measures import mean_curve
from misas.eval.meancurves import mean_curves, mean_of_curves, seen_of
from misas.eval.valuegrids import Grid

GRID = Grid((0, -1, -2), (0, 1, 2))
NAN = np.nan
FACTS = dict(dice=dict(unit="", better="higher"), hd95=dict(unit="mm", better="lower"))


def table(scores, case="a", metric="dice"):
    return pd.DataFrame(dict(case=case, value=list(scores), label="line", metric=metric, score=list(scores.values())))


def test_the_mean_change_of_cases_with_both_scores():
    tables = [
        table({-1: 0.5, 0: 0.9, 2: NAN}),
        table({-1: NAN, 0: 0.5, 2: 0.4}, "b"),
        table({-1: 1, 0: NAN, 2: 1}, "c"),
    ]
    curves = mean_curves(tables, FACTS, GRID, [-1, 0, 2])
    assert curves["line", "dice"] == pytest.approx([0.7 - 0.4, 0.7, 0.7 - 0.1])
    seen = seen_of(curves, FACTS, {"dice": 0.2}, GRID, [-1, 0, 2])
    assert seen.margins[:, 0] == pytest.approx([-1, 1, 0.5]) and seen.points.tolist() == [-1, 0, 2]
    matrix = np.array([[0.5, 0.9, NAN], [NAN, 0.5, 0.4], [1, NAN, 1]])
    assert (mean_curve(matrix, neutral=1) == mean_of_curves(matrix, np.ones(3), 1)).all()


def test_rounds_of_a_search_are_one_curve():
    tables = [table({0: 0.9, 2: 0.8}), table({1: 0.85}), table({0: 1, 1: 2, 2: 3}, metric="hd95")]
    curves = mean_curves(tables, FACTS, GRID, [0, 1, 2])
    assert curves["line", "dice"].tolist() == [0.9, 0.85, 0.8]
    assert curves["line", "hd95"].tolist() == [-1, -2, -3]  # more is better


@pytest.mark.parametrize("scores", [{0: 0.05, 1: 0.5}, {0: NAN, 1: 0.5}])
def test_curves_that_are_not_followed(scores):
    curves = mean_curves([table(scores)], FACTS, GRID, [0, 1])
    assert not list(seen_of(curves, FACTS, {"dice": 0.1}, GRID, [0, 1]).curves())


def test_a_distance_that_is_infinite_when_unchanged_is_not_followed():
    curves = mean_curves([table({0: np.inf, 1: 3}, metric="hd95")], FACTS, GRID, [0, 1])
    assert not list(seen_of(curves, FACTS, {"hd95": 1}, GRID, [0, 1]).curves())
