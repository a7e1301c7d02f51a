"Charts of several parameters at once"

import numpy as np
import pandas as pd
import pytest

from misas.analysis.explore import global_sensitivity, grid, worst_case
from misas.data.phantoms import phantom
from misas.plot.explore import plot_grid, plot_sensitivity, plot_worst
from misas.transforms.basic import Brightness, Crop, Dihedral, Rotate

SMALL = phantom((40, 40), seed=1)


def bright(image):
    return (image > 0.4).astype(int) * 2


PAIRS = grid(bright, SMALL, Rotate(), Brightness(), [0, 20], [0.5, 1, 2], labels={2: "MY"}, progress=False)
LOST = PAIRS.assign(metric="hd95", score=[3.0, 8, 12, 5, 40, np.inf])


def test_distances_are_reversed_and_infinite_ones_black():
    chart = plot_grid(LOST)
    tiles, black, words = chart.to_dict()["concat"][0]["layer"][:3]
    shade = tiles["encoding"]["color"]["condition"]
    assert shade["title"] == "hd95 [mm]" and shade["scale"]["reverse"]
    assert black["mark"]["color"] == "black"
    assert words["encoding"]["text"]["field"] == "text"
    assert "Infinity" not in chart.to_json()
    texts = {row["text"] for rows in chart.to_dict()["datasets"].values() for row in rows}
    assert texts == {"3.00", "8.00", "12.00", "5.00", "40.00", "∞"}


@pytest.mark.parametrize(
    "table",
    [
        PAIRS.assign(score=np.where(PAIRS.value_a == 0, np.nan, PAIRS.score)),
        PAIRS[:1],
        PAIRS.assign(score=30 * PAIRS.score),
        pd.concat([PAIRS, PAIRS.assign(case="b")]),
        grid(bright, SMALL, Dihedral(), Crop(), [0, 5], [0, 3], progress=False),
    ],
    ids=["holes", "one cell", "distance", "two cases", "names"],
)
def test_grids_that_say_little(table):
    assert plot_grid(table).to_dict()["concat"]


def test_missing_scores_have_no_text():
    chart = plot_grid(PAIRS.assign(score=np.nan)).to_dict()
    assert {row["text"] for rows in chart["datasets"].values() for row in rows} == {""}


@pytest.mark.parametrize(
    "table, word",
    [
        (PAIRS.drop(columns="score"), "no column score"),
        (pd.concat([PAIRS, PAIRS.assign(model="other")]), "2 different entries in model"),
    ],
    ids=["no score", "two models"],
)
def test_other_tables_are_an_error(table, word):
    with pytest.raises(ValueError, match=word):
        plot_grid(table)


@pytest.mark.parametrize("method, kinds", [("sobol", ["alone", "with interactions"]), ("morris", ["mean effect"])])
def test_bars_of_influence(method, kinds):
    ranges = {Rotate(): (-30, 30), Brightness(): (0.5, 2)}
    table = global_sensitivity(bright, SMALL, ranges, method=method, n=4, label="MY", progress=False)
    drawn = plot_sensitivity(table)
    rows = pd.concat([pd.DataFrame(rows) for rows in drawn.to_dict()["datasets"].values()])
    assert set(kinds) <= set(rows.kind)
    assert rows.name.str.contains("rotation −30 … 30 °").any()
    if method == "sobol":
        assert rows[["value", "low", "high"]].stack().between(0, 1).all()


def test_worst_case_is_drawn_beside_the_unchanged_image():
    found = worst_case(bright, SMALL, {Brightness(): (0.5, 2)}, budget=6, label="MY", progress=False)
    before, after = plot_worst(found).axes
    assert before.get_title().startswith("unchanged: dice") and after.get_title().startswith("worst: dice")
