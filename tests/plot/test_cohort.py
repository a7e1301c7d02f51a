"Charts of many cases"

import io

import numpy as np
import pandas as pd
import pytest

from misas.analysis.cohort import SPREADS
from misas.eval.table import COLUMNS
from misas.plot.boxes import _box_stats, _box_table, plot_boxes
from misas.plot.cohort import csv_data, panel_rows
from misas.plot.ranked import _short, plot_ranked
from misas.plot.spread import plot_spread


def table(values, **changes):
    "One score per case"
    rows = [("m", f"case {i}", "rotation", "deg", 0, "LV", "dice", s) for i, s in enumerate(values)]
    return pd.DataFrame(rows, columns=COLUMNS).assign(**changes)


SMALL = table([0.1, 0.5, 0.6, 0.7, 0.8, np.nan])
MARKED = pd.concat([table([0.9, 0.2, 0.6, np.nan]), table([0.1, 0.4, 0.8, np.nan], value=30, label="RV")])


def cohort():
    "Eight cases, three transforms, two labels"
    rng = np.random.default_rng(0)
    values = [
        ("rotation", "deg", range(-60, 61, 20)),
        ("brightness", "factor", [0.5, 0.71, 1, 1.41]),
        ("dihedral", "k", range(8)),
    ]
    keys = [(t, p, v, label) for t, p, vs in values for v in vs for label in ("core", "ring")]
    rows = [("fixed", f"case {c}", t, p, v, l, "dice", rng.random()) for c in range(8) for t, p, v, l in keys]
    return pd.DataFrame(rows, columns=COLUMNS)


SCORES = cohort()
BOTH = pd.concat([SCORES, SCORES.assign(model="gentle", score=1 - SCORES.score)])


def distances(model, lost):
    "Five cases; three of them are lost from a certain amount of noise on"

    def at(v):
        scores = [8 + v, 12 + v, *(np.inf if v >= start else 20 + v for start in lost)]
        return table(scores, model=model, transform="noise", param="sd", value=v / 400, metric="hd95")

    return pd.concat([at(v) for v in range(0, 41, 4)])


FAR = pd.concat([distances("A", (12, 24, 32)), distances("B", (40, 99, 99))])


def test_panels_have_labels_side_by_side():
    found = [(p["transform"].iloc[0], p.label.iloc[0]) for p in panel_rows(SCORES)]
    assert found[:3] == [("rotation", "core"), ("rotation", "ring"), ("brightness", "core")]


def test_csv_names_the_kind_of_each_column():
    kinds = ["string"] * 4 + ["number", "string", "string", "number"]
    assert csv_data(SMALL)["format"]["parse"] == dict(zip(COLUMNS, kinds))


def test_a_case_pointed_at_is_seen_in_all_panels():
    drawn = plot_spread(SCORES).to_dict()
    assert len(drawn["concat"]) == 3 * 2
    assert [p["views"] for p in drawn["params"]] == [[f"cases_{i}" for i in range(6)]]
    assert [p["layer"][-1]["name"] for p in drawn["concat"]] == drawn["params"][0]["views"]


def test_values_with_fewer_cases_have_hollow_dots_and_no_line():
    few = SCORES.case.isin([f"case {c}" for c in range(4)])
    half = SCORES[(SCORES["transform"] == "rotation") & ((SCORES.value.map(abs) < 50) | few)]
    drawn = plot_spread(half).to_dict()
    assert drawn["title"]["text"][-1] == "hollow dots: of fewer cases"
    assert len(plot_spread(SCORES).to_dict()["title"]["text"]) == 1
    for panel in drawn["concat"]:
        lines = [layer for layer in panel["layer"] if layer["mark"]["type"] == "line"]
        (bold,) = [layer for layer in lines if layer["mark"].get("strokeWidth") == 2.5]
        assert bold["encoding"]["detail"][1]["field"] == "run"


@pytest.mark.parametrize(
    "scores",
    [
        SMALL,
        table([0.5]),
        table([np.nan, np.nan]),
        table([0.5, np.inf]),
        pd.read_csv(io.StringIO(SCORES.to_csv(index=False))),
        table([3.0, 12.0], metric="distance"),
        table([0.1, 0.2], value="sharp"),
        SCORES[SCORES.value == 0],
    ],
    ids=["nan", "one case", "no score", "infinite", "from a file", "distance", "names", "one value"],
)
def test_spread_of_tables_that_say_little(scores):
    assert len(plot_spread(scores).to_dict()["concat"]) >= 1


@pytest.mark.parametrize("spread", SPREADS)
def test_title_says_which_spread_is_drawn(spread):
    text = plot_spread(SMALL, spread).to_dict()["title"]["text"][0]
    assert text.endswith(f"{SPREADS[spread]}; thin lines single cases")


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(spread="iqr"), "spread must be .*'iqr'"),
        (dict(columns=0), "columns .*0"),
        (dict(columns=1.5), "columns .*1.5"),
        (dict(width="wide"), "width .*'wide'"),
    ],
)
def test_bad_arguments_of_spread(bad, word):
    with pytest.raises(ValueError, match=word):
        plot_spread(SMALL, **bad)


def test_what_is_no_score_table_is_an_error():
    with pytest.raises(TypeError, match="scores"):
        plot_spread({})
    with pytest.raises(ValueError, match="'case'"):
        plot_spread(SMALL.drop(columns="case"))


def test_infinite_quartiles_end_in_the_strip():
    stats = _box_table(_box_stats(FAR[FAR.model == "A"])["noise", "hd95", "LV"], True, 99.0)
    assert stats["median"].tolist() == [20 + v if v < 32 else 99 for v in range(0, 41, 4)]
    assert stats.q3.tolist() == [20 + v if v < 24 else 99 for v in range(0, 41, 4)]


def test_boxes_count_infinite_distances():
    boxes = plot_boxes(FAR).to_dict()
    panel = boxes["concat"][0]["layer"]
    assert "infinite distance" in boxes["title"]["text"][1]
    assert "infinite" not in str(plot_boxes(SCORES).to_dict()["title"])
    axes = [layer["encoding"]["y"] for layer in panel if "encoding" in layer]
    assert {axis["title"] for axis in axes if "title" in axis} == {"hd95 [mm]"}
    assert "Infinity" not in str(boxes)
    inner = [layer for group in panel for layer in group.get("layer", [])]
    counts = [layer["encoding"]["text"]["field"] for layer in inner if layer["mark"]["type"] == "text"]
    assert counts == ["far"] * 2


@pytest.mark.parametrize(
    "scores",
    [
        SMALL,
        table([0.5]),
        table([np.nan, np.nan]),
        SCORES[SCORES["transform"] == "dihedral"],
        pd.concat([table([0.1, 0.9], value=v) for v in range(60)]),
    ],
    ids=["nan", "one case", "no score", "names", "many values"],
)
def test_boxes_of_tables_that_say_little(scores):
    assert plot_boxes(scores).to_dict()["concat"]


def test_boxes_of_three_models_are_an_error():
    with pytest.raises(ValueError, match="scores must be a table of one or two models, got .*'c'"):
        plot_boxes(pd.concat([SMALL.assign(model=m) for m in "abc"]))


@pytest.mark.parametrize(
    "scores",
    [
        SMALL,
        table([0.5]),
        MARKED,
        BOTH,
        SCORES.assign(metric="distance", score=30 * SCORES.score),
        table([0.1, 0.2], value="sharp"),
    ],
    ids=["nan", "one case", "two labels", "two models", "distance", "names"],
)
def test_ranking_of_tables_that_say_little(scores):
    assert plot_ranked(scores, by="worst").to_dict()["vconcat"]


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(n=0), "n must be an integer >= 1, got 0"),
        (dict(n=2.5), "n must be an integer >= 1, got 2.5"),
        (dict(by="x"), "by must be .*'x'"),
    ],
)
def test_bad_arguments_of_ranking(bad, word):
    with pytest.raises(ValueError, match=word):
        plot_ranked(SMALL, **bad)


def test_where_a_case_fared_worst_is_told_whole():
    long = pd.concat(
        [
            table([0.1, 0.9], transform="scanner", param="name", value="scannerB_long"),
            table([0.9, 0.1], transform="noise", param="sd", value=1.5e-05),
        ],
        ignore_index=True,
    )
    drawn = plot_ranked(long).to_json()
    assert "scanner scannerB_long, LV" in drawn and "noise 1.5e-05, LV" in drawn


@pytest.mark.parametrize(
    "value, text",
    [(30, "30"), ("0.70710678", "0.707"), (-150, "−150"), (1234, "1234"), ("a" * 41, "a" * 39 + "…")],
)
def test_values_are_short(value, text):
    assert _short(value) == text


def test_infinite_means_are_triangles_at_the_edge():
    a = FAR[FAR.model == "A"]
    chart = plot_ranked(pd.concat([a, a.assign(label="RV", score=a.score + 3)]))
    drawn = chart.to_json()
    assert "Infinity" not in drawn
    assert "infinite distance" in chart.to_dict()["title"]["text"][1]
    assert drawn.count("triangle-right") == 2
    assert "hd95 [mm]" in drawn


def test_ranking_without_any_score_is_an_error():
    with pytest.raises(ValueError, match="at least one score that is a number"):
        plot_ranked(table([np.nan]))
