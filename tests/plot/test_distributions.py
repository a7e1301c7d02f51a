"Histogram and normal quantile plot: what is counted, and what is drawn"

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from misas.eval.table import COLUMNS
from misas.plot.distributions import plot_histogram, plot_qq


def table(scores, model="m", metric="dice", **more):
    "One score for each case"
    rows = [(model, f"c{i}", "unchanged", "", 0, "LV", metric, s) for i, s in enumerate(scores)]
    return pd.DataFrame(rows, columns=COLUMNS).assign(**more)


SCORES = np.random.default_rng(0).beta(8, 2, 30)


def rows_of(chart, panel=0, layer=0) -> pd.DataFrame:
    "The data of a layer"
    spec = chart.to_dict()
    data = spec["concat"][panel]["layer"][layer]["data"]
    return pd.DataFrame(spec["datasets"][data["name"]] if "name" in data else data["values"])


def said(chart, panel=0) -> list:
    "What stands above a panel"
    title = chart.to_dict()["concat"][panel]["title"]
    return [title["text"], *title["subtitle"]]


def test_counts_are_those_of_numpy():
    drawn = rows_of(plot_histogram(table(SCORES)))
    counts, edges = np.histogram(SCORES, np.linspace(0, 1, 21))
    assert np.allclose(drawn.low, edges[:-1][counts > 0]) and drawn.cases.tolist() == counts[counts > 0].tolist()
    drawn = rows_of(plot_histogram(table(SCORES), bins=[0.5, 0.75, 1]))
    assert drawn.cases.sum() == ((SCORES >= 0.5) & (SCORES <= 1)).sum()
    assert rows_of(plot_histogram(table(SCORES * 50, metric="hd95"), bins=4)).cases.sum() == 30


def test_median_and_test_are_said():
    chart = plot_histogram(table(SCORES))
    assert rows_of(chart, layer=1).low[0] == pytest.approx(np.median(SCORES))
    assert f"n = 30, Shapiro–Wilk p = {stats.shapiro(SCORES).pvalue:.3f}" in said(chart)


def test_scores_outside_of_the_bins_and_not_drawn_are_counted():
    odd = table([0.2, 0.6, 0.7, 0.8, np.nan, np.inf])
    words = said(plot_histogram(odd, bins=[0.5, 1]))
    assert "1 outside the bins" in words and "not drawn: 1 infinite, 1 without a score" in words
    assert "n = 4, Shapiro–Wilk p" in words[2]


def test_quantiles_are_those_of_scipy():
    drawn = rows_of(plot_qq(table(SCORES)), layer=1)
    (normal, ordered), (slope, intercept, _) = stats.probplot(SCORES)
    assert np.allclose(drawn.normal, normal) and np.allclose(drawn.score, ordered)
    assert drawn.case.tolist() == [f"c{i}" for i in np.argsort(SCORES)]
    line = rows_of(plot_qq(table(SCORES)), layer=0)
    assert np.allclose(line.score, intercept + slope * line.normal)


def test_yeo_johnson_is_that_of_scipy():
    chart = plot_qq(table(SCORES), yeo_johnson=True)
    bent, power = stats.yeojohnson(SCORES)
    assert np.allclose(rows_of(chart, layer=1).score, np.sort(stats.zscore(bent, ddof=1)))
    words = said(chart)
    assert f"Yeo–Johnson λ = {power:.3g}" in words
    assert f"n = 30, Shapiro–Wilk p = {stats.shapiro(bent).pvalue:.3f}" in words


def test_an_arm_counts_each_case_once_with_the_median_of_its_runs():
    arm = [table(SCORES + shift, f"a {r}", arm="a", run=r) for r, shift in ((1, -0.1), (2, 0.0), (3, 0.3))]
    other = table(SCORES / 2, "b 1", arm="b", run=1)
    chart = plot_qq(pd.concat([*arm, other]))
    assert np.allclose(rows_of(chart, 0, 1).score, np.sort(SCORES))
    assert np.allclose(rows_of(chart, 1, 1).score, np.sort(SCORES / 2))
    assert [said(chart, k)[0] for k in (0, 1)] == ["a: LV", "b: LV"]


def test_values_of_a_transform_are_averaged():
    swept = pd.concat([table(SCORES), table(SCORES - 0.2, value=1)])
    assert np.allclose(rows_of(plot_qq(swept), layer=1).score, np.sort(SCORES - 0.1))


@pytest.mark.parametrize(
    "scores, words",
    [
        ([0.5], "n = 1, too few cases for a test"),
        ([0.5, 0.6], "n = 2, too few cases for a test"),
        ([0.5, 0.5, 0.5], "n = 3, all scores are equal"),
        ([np.nan, np.inf, 0.5], "n = 1, too few cases for a test"),
    ],
)
def test_few_and_equal_scores_are_said(scores, words):
    for chart in (plot_histogram(table(scores)), plot_qq(table(scores)), plot_qq(table(scores), yeo_johnson=True)):
        assert words in said(chart)


def test_an_extreme_power_is_not_used():
    "With λ far below 0 the transformed scores differ by rounding only, and a test of them says nothing"
    tight = 0.3 + np.array([0.0, 1, 2, 3, 30]) * 1e-4
    bent, _ = stats.yeojohnson(tight)
    words = said(plot_qq(table(tight), yeo_johnson=True))
    degenerate = np.ptp(bent) <= 1e-9 * np.abs(bent).max()
    assert ("no Yeo–Johnson: scores as they are" in words) == degenerate


def test_no_score_is_an_error():
    for plot in (plot_histogram, plot_qq):
        with pytest.raises(ValueError, match="at least one score that is a finite number"):
            plot(table([np.nan, np.inf]))


@pytest.mark.parametrize("bins", [0, -1, 2.5, True, [1], [1, 0], [0, np.inf], ["a", "b"], "many"])
def test_bad_bins(bins):
    with pytest.raises((TypeError, ValueError), match="bins must be"):
        plot_histogram(table(SCORES), bins=bins)


def test_bad_flag_and_sizes():
    with pytest.raises(TypeError, match="yeo_johnson must be True or False"):
        plot_qq(table(SCORES), yeo_johnson="yes")
    with pytest.raises((TypeError, ValueError), match="width must be"):
        plot_histogram(table(SCORES), width=0)


def test_units_are_at_the_axes():
    chart = plot_histogram(table(SCORES * 10, metric="hd95")).to_dict()
    encoding = chart["concat"][0]["layer"][0]["encoding"]
    assert encoding["x"]["title"] == "hd95 [mm]" and encoding["y"]["title"] == "number of cases"
    assert "[SD]" in plot_qq(table(SCORES)).to_dict()["concat"][0]["layer"][1]["encoding"]["x"]["title"]
