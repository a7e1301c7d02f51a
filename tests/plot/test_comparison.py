"Charts that compare two models"

import numpy as np
import pandas as pd
import pytest

from misas.analysis.comparison import KEY_COLUMNS, pair_scores
from misas.eval.table import COLUMNS
from misas.plot.comparison import _paired_rows, _told_apart, plot_compare, plot_deltas


def table(model, scores, value=0, transform="rotation", label="LV", metric="dice"):
    "One score per case, a, b, c ..."
    rows = [(model, chr(97 + i), transform, "deg", value, label, metric, s) for i, s in enumerate(scores)]
    return pd.DataFrame(rows, columns=COLUMNS)


A, B = table("A", [0.9, 0.8, 0.7, np.nan]), table("B", [0.8, 0.8, 0.75, 0.5])
FAR_A, FAR_B = table("A", [np.inf, np.inf, 2, 4], metric="hd95"), table("B", [5, np.inf, 5, 3], metric="hd95")
ONE_CASE_LESS = B[B.case != B.case.iloc[0]]


def distances(model, lost_at):
    "Two cases, one of which is lost from some angle on"

    def at(v):
        return table(model, [3 + v + lost_at / 5, np.inf if v >= lost_at else 5 + v], metric="hd95", value=v)

    return pd.concat([at(v) for v in range(0, 50, 5)])


def test_curves_have_a_panel_for_each_transform():
    first = pd.concat([A, A.assign(transform="brightness", param="factor")])
    second = pd.concat([B, B.assign(transform="brightness", param="factor")])
    assert len(plot_compare(first, second).to_dict()["concat"]) == 2


def test_triangles_say_which_model_missed():
    panel = plot_compare(distances("A", 30), distances("B", 20)).to_dict()["concat"][0]
    first_line, models = panel["title"]["subtitle"]
    assert first_line.startswith("infinit") and models == "▲ A, △ B"
    triangles = [layer for layer in panel["layer"] if layer["mark"].get("shape") == "triangle-up"]
    found = [(t["encoding"]["y"]["value"], t["mark"]["filled"]) for t in triangles]
    assert found == [(4.5, True), (13.5, False)]


def test_model_can_be_compared_with_itself():
    assert len(plot_compare(A, A, cases=True).to_dict()["concat"]) == 1
    assert {t.model.iloc[0] for t in _told_apart(A, A)} == {"A (A)", "A (B)"}
    assert A.model.unique().tolist() == ["A"]  # the tables stay as they were


def test_tables_that_do_not_match_are_an_error():
    with pytest.raises(ValueError, match="scores_b has no case .*join='inner'"):
        plot_compare(A, ONE_CASE_LESS)


def test_inner_join_draws_what_both_have():
    with pytest.warns(UserWarning, match="only what both tables have"):
        drawn = str(plot_compare(A, ONE_CASE_LESS, join="inner", cases=True).to_dict())
    assert ",a," not in drawn and ",b," in drawn


def test_score_of_one_model_alone_is_not_drawn():
    hole = B.assign(score=B.score.where(B.case != B.case.iloc[0]))
    for pair in ((A, hole), (hole, A.assign(model="C"))):
        paired = [_paired_rows(t, pair_scores(*pair).set_index(KEY_COLUMNS)) for t in pair]
        assert [t.score.isna().tolist() for t in paired] == [[True, False, False, True]] * 2  # the last one A has not


def test_deltas_of_few_rows():
    assert len(plot_deltas(A, A).to_dict()["concat"]) == 1
    assert len(plot_deltas(A[:1], B[:1]).to_dict()["concat"]) == 1


def test_deltas_without_any_pair_are_an_error():
    with pytest.raises(ValueError, match="no pair"):
        plot_deltas(A.assign(score=np.nan), B)


@pytest.mark.parametrize("bad, word", [(dict(columns=0), "columns must be"), (dict(width="wide"), "width must be")])
def test_bad_arguments_of_deltas(bad, word):
    with pytest.raises(ValueError, match=word):
        plot_deltas(A, B, **bad)


def test_infinite_differences_lie_at_the_edge():
    chart = plot_deltas(pd.concat([FAR_A, A]), pd.concat([FAR_B, B]), difference=dict(hd95=2))
    far, near = chart.to_dict()["concat"]
    assert "Infinity" not in chart.to_json()
    assert "at the edge" in str(far["title"]) and "at the edge" not in str(near["title"])
    assert far["layer"][2]["encoding"]["x"]["axis"]["labelFlush"] is False


def test_title_says_where_which_model_is_better():
    chart = plot_deltas(pd.concat([FAR_A, A]), pd.concat([FAR_B, B]), difference=dict(hd95=2)).to_dict()
    titles = [p["layer"][2]["encoding"]["x"]["title"] for p in chart["concat"]]
    assert titles == ["Δ hd95 [mm]:  ← A better  |  B better →", "Δ dice:  ← B better  |  A better →"]


def test_all_differences_infinite():
    first, second = table("A", [np.inf], metric="hd95"), table("B", [1], metric="hd95")
    assert "NaN" not in plot_deltas(first, second, difference=2).to_json()


def test_median_of_zero_and_infinity_lies_at_the_edge():
    first, second = table("A", [1.0, np.inf], metric="hd95"), table("B", [1.0, 1.0], metric="hd95")
    half = plot_deltas(first, second, difference=2).to_dict()
    layers = half["concat"][0]["layer"]
    (median,) = half["datasets"][layers[3]["data"]["name"]]
    assert median["delta"] == layers[2]["encoding"]["x"]["scale"]["domain"][1]
