"Charts of score tables that are split by a column"

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from misas.analysis.summary import summarise
from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.plot.boxes import plot_boxes
from misas.plot.comparison import plot_compare, plot_deltas
from misas.plot.curves import plot_scores
from misas.plot.distributions import plot_histogram, plot_qq
from misas.plot.ranked import plot_ranked
from misas.plot.spread import plot_spread
from misas.plot.summary import plot_summary
from misas.transforms.basic import Brightness, Dihedral, Rotate

CHARTS = [plot_scores, plot_spread, plot_boxes, plot_ranked, plot_histogram, plot_qq]


@pytest.fixture(scope="module")
def scores():
    "Two labels, two runs of one arm, three transforms, six cases of two scanners, as `evaluate` makes them"
    cases = []
    for seed in range(6):
        case = phantom((32, 32), seed=seed)
        cases.append(
            Case(case.image, case.truth, f"p{seed}", columns=dict(scanner="AB"[seed % 2], sex="fm"[seed // 3]))
        )
    arms = {"demo": [demo_model(), demo_model()]}
    warnings.simplefilter("ignore")  # the demo network finds little in images of 32 pixels
    options = dict(values=dict(rotation=[-30, 0, 30], brightness=[0.5, 1, 2], dihedral=[0, 1]), progress=False)
    found = evaluate(arms, cases, [Rotate(), Brightness(), Dihedral()], labels={1: "LV", 2: "MY"}, **options)
    # with scores that are known: scanner B is worse
    number = found.case.str[1:].astype(int)
    known = 0.8 - 0.3 * (found.scanner == "B") - 0.02 * number - 0.01 * found.groupby("transform").cumcount() % 0.1
    return found.assign(score=known)


def texts(chart) -> str:
    "All that a chart says"
    return json.dumps(chart.to_dict(), ensure_ascii=False)


@pytest.mark.parametrize("plot", CHARTS)
def test_each_group_is_drawn_worst_first(scores, plot):
    said = texts(plot(scores, by="scanner"))
    assert 0 < said.index("scanner B") < said.index("scanner A")
    assert "scanner" not in texts(plot(scores))


@pytest.mark.parametrize("plot", CHARTS)
def test_groups_of_two_columns_and_bad_ones(scores, plot):
    assert "scanner B, sex f" in texts(plot(scores, by=["scanner", "sex"]))
    with pytest.raises(ValueError, match="did you mean 'scanner'"):
        plot(scores, by="scaner")
    with pytest.raises(TypeError, match="by must be the name of a column"):
        plot(scores, by=3)


@pytest.mark.parametrize("plot", CHARTS)
def test_a_group_of_one_case_and_one_without_name_are_drawn_and_named(scores, plot):
    odd = scores.assign(scanner=scores.scanner.where(scores.case != "p0", "C").where(scores.case != "p1", None))
    with pytest.warns(UserWarning, match=r"scanner C \(1 case\)"):
        said = texts(plot(odd, by="scanner"))
    assert "scanner C" in said and "scanner not stated" in said


def test_panels_of_scores_hold_the_rows_of_their_group(scores):
    chart = plot_scores(scores[scores["transform"] == "rotation"], by="scanner").to_dict()
    assert len(chart["concat"]) == 2
    titles = [panel["title"]["subtitle"][0] for panel in chart["concat"]]
    assert titles == ["scanner B (3 cases)", "scanner A (3 cases)"]
    for panel, scanner in zip(chart["concat"], "BA"):
        drawn = chart["datasets"][panel["data"]["name"]] if "name" in panel["data"] else panel["data"]["values"]
        of = set(scores.case[scores.scanner == scanner])
        assert all((case in drawn) == (case in of) for case in scores.case.unique())


def test_many_groups_of_a_spread_are_the_worst_ones(scores):
    many = pd.concat([scores[scores.case == "p0"].assign(case=f"q{i}", site=f"s{i}") for i in range(14)])
    many = many.assign(score=many.score * many.site.str[1:].astype(int) / 14)
    many = pd.concat([many, many.assign(case=many.case + "b")])
    said = texts(plot_spread(many, by="site"))
    assert "the 6 worst of 14 groups" in said and "site s0 (" in said and "site s9 (" not in said


def test_runs_spread_in_a_chart(scores):
    runs = scores.assign(score=(scores.score - 0.05 * (scores.run.astype(int) == 2)).clip(0))
    said = texts(plot_spread(runs, "range", over="runs", by="arm"))
    assert "2 runs: line median" in said and "arm demo (2 runs)" in said
    with pytest.raises(ValueError, match="columns arm and run"):
        plot_spread(scores.drop(columns="run"), over="runs")


def test_rows_of_infinite_scores_leave_room(scores):
    rows = []
    for model in range(9):
        part = scores[(scores["transform"] == "rotation") & (scores.model == "demo 1")]
        rows.append(part.assign(model=f"m{model}", metric="hd95", score=np.where(part.value == 30, np.inf, 3.0)))
    chart = plot_spread(pd.concat(rows)).to_dict()
    axis = next(
        layer["encoding"]["y"] for layer in chart["concat"][0]["layer"] if "scale" in layer["encoding"].get("y", {})
    )
    low, high = axis["scale"]["domain"]
    assert low == 0 and 3 < high < 10


def test_summary_has_a_bar_for_each_group(scores):
    one = scores[scores.run.astype(int) == 1]
    summary = summarise(one, by="scanner", resamples=0)
    said = texts(plot_summary(summary))
    assert "LV · scanner B (3 cases)" in said and "LV · scanner A (3 cases)" in said
    assert said == texts(plot_summary(summary, by="scanner")) or "scanner A" in texts(
        plot_summary(summary, by="scanner")
    )
    with pytest.raises(ValueError, match="did you mean 'scanner'"):
        plot_summary(summary, by="scaner")


def test_comparisons_take_groups(scores):
    a, b = scores[scores.model == "demo 1"], scores[scores.model == "demo 2"].drop(columns=["scanner", "sex"])
    for plot in (plot_compare, plot_deltas):
        said = texts(plot(a, b, by="scanner"))
        assert 0 < said.index("scanner B (3 cases)") < said.index("scanner A (3 cases)")
        with pytest.raises(ValueError, match="did you mean 'scanner'"):
            plot(a, b, by="scaner")
