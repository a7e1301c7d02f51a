"Spread of many cases, and their order from worst to best"

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from misas.analysis.cohort import _bootstrap_intervals, rank_cases, spread_scores
from misas.eval.table import COLUMNS


def table(values, **changes):
    "One score per case"
    rows = [("m", f"case {i}", "rotation", "deg", 0, "LV", "dice", s) for i, s in enumerate(values)]
    return pd.DataFrame(rows, columns=COLUMNS).assign(**changes)


SMALL = table([0.1, 0.5, 0.6, 0.7, 0.8, np.nan])
MARKED = pd.concat([table([0.9, 0.2, 0.6, np.nan]), table([0.1, 0.4, 0.8, np.nan], value=30, label="RV")])


def ends(spread, of=SMALL):
    return spread_scores(of, spread)[["cases", "centre", "low", "high"]].iloc[0].tolist()


def test_spreads_by_hand():
    sd = np.sqrt(0.073)  # (.44² + .04² + .06² + .16² + .26²) / 4
    assert np.allclose(ends("quartiles"), [5, 0.6, 0.5, 0.7])
    assert np.allclose(ends("range"), [5, 0.6, 0.1, 0.8])
    assert np.allclose(ends("sd"), [5, 0.54, 0.54 - sd, 0.54 + sd])


def test_interval_lies_around_the_mean_and_is_reproducible():
    cases, centre, low, high = ends("ci")
    assert cases == 5 and centre == pytest.approx(0.54, abs=1e-12)
    assert 0.1 < low < 0.54 < high < 0.8
    assert ends("ci") == ends("ci")


def test_single_case_has_no_spread_and_no_case_has_no_centre():
    one, none = (spread_scores(table(x)).iloc[0] for x in ([0.5], [np.nan]))
    assert (one.cases, one.centre) == (1, 0.5) and np.isnan(one.low)
    assert np.isnan(ends("sd", table([0.5]))[2:]).all()
    assert none.cases == 0 and np.isnan(none.centre)


def test_equal_scores_have_no_width():
    assert spread_scores(table([0.5, 0.5, 0.5])).iloc[0][["low", "high"]].tolist() == [0.5, 0.5]


def test_infinite_scores_count():
    far = table([1.0, 2.0, 3.0, 4.0, np.inf])
    assert ends("range", far) == [5, 3, 1, np.inf]
    assert ends("quartiles", far) == [5, 3, 2, 4]
    for spread in ("ci", "sd"):
        cases, centre, low, high = ends(spread, far)
        assert centre == np.inf and np.isnan([low, high]).all()


def test_unknown_spread_is_an_error():
    with pytest.raises(ValueError, match="spread must be one of 'ci', 'sd', 'quartiles', 'range', got 'iqr'"):
        spread_scores(SMALL, "iqr")


def test_groups_together_have_the_intervals_that_each_has_alone():
    few_cases = np.random.default_rng(0).random((250, 20))
    alone = np.concatenate([_bootstrap_intervals(row[None], 0) for row in few_cases])
    assert np.allclose(_bootstrap_intervals(few_cases, 0), alone, atol=1e-12)


@pytest.mark.parametrize("cases", [2, 7, 5000])
def test_intervals_are_those_of_scipy(cases):
    x = np.random.default_rng(1).random((3, cases))
    options = dict(axis=1, n_resamples=1000, method="percentile", rng=0)
    interval = scipy.stats.bootstrap((x,), np.mean, **options).confidence_interval
    assert np.allclose(_bootstrap_intervals(x, 0), np.column_stack([interval.low, interval.high]), atol=1e-12)


def test_infinite_score_has_no_interval():
    assert np.isnan(_bootstrap_intervals(np.array([[1, np.inf]]), 0)).all()


def test_ranking_by_mean():
    ranked = rank_cases(MARKED)
    assert ranked.case.tolist() == ["case 1", "case 0", "case 2", "case 3"]
    assert np.allclose(ranked.score[:3], [0.3, 0.5, 0.7])
    assert ranked["rank"].tolist() == [1, 2, 3, 4]
    assert ranked.missing.tolist() == [0, 0, 0, 2]
    assert ranked.worst_transform.isna().tolist() == [False] * 3 + [True]


def test_ranking_by_worst_score_says_where_it_is():
    ranked = rank_cases(MARKED, "worst")
    assert ranked.case.tolist() == ["case 0", "case 1", "case 2", "case 3"]
    found = ranked[["worst", "best", "worst_transform", "worst_value", "worst_label"]].iloc[0].tolist()
    assert found == [0.1, 0.9, "rotation", 30, "RV"]


def test_ranking_where_less_is_better():
    assert rank_cases(MARKED, lower_is_better="dice").case.tolist() == ["case 2", "case 0", "case 1", "case 3"]
    assert rank_cases(MARKED, "worst", ["dice"]).worst[0] == 0.9


def test_difference_with_a_sign_is_ranked_by_its_size():
    signed = table([-0.5, 0.1, 0.3], metric="volume_difference")
    assert rank_cases(signed).case.tolist() == ["case 0", "case 2", "case 1"]


def test_models_and_metrics_are_ranked_apart():
    several = pd.concat([MARKED, MARKED.assign(model="n"), MARKED.assign(metric="iou")])
    assert rank_cases(several)["rank"].tolist() == [1, 2, 3, 4] * 3


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(order="median"), "order must be one of 'mean', 'worst', got 'median'"),
        (dict(lower_is_better=["hd"]), "lower_is_better must be one of 'dice', got 'hd'"),
    ],
)
def test_bad_arguments_of_ranking(bad, word):
    with pytest.raises(ValueError, match=word):
        rank_cases(MARKED, **bad)
