"Charts of feature maps"

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from misas.analysis.features import FeatureMap, FittedMap
from misas.models.layers import Layer
from misas.plot.features import plot_feature_map

RNG = np.random.default_rng(0)
CASES = [f"case {k}" for k in range(10)]


def map_of(**columns):
    "A map that was not fitted"
    table = FeatureMap(dict(case=CASES, x=np.arange(10.0), y=RNG.random(10), dice=RNG.random(10)) | columns)
    pictures = {name: np.full((6, 5), 100, np.uint8) for name in CASES[:9]}
    settings = dict(n_neighbors=5, min_dist=0.01, metric="euclidean", seed=3)
    layer = Layer("deep.1", None, 64, (4, 4))
    model = type("Named", (), dict(name="net"))()
    places = table[["x", "y"]].to_numpy()
    table.fitted = FittedMap(model, layer, RNG.random((10, 64)), places, settings, None, 1.0, 2.0, pictures)
    return table


TABLE = map_of(scanner=["A"] * 5 + ["B"] * 4 + [None])
PATH = pd.DataFrame(
    dict(case="case 0", transform="rotation", param="deg", value=[0, 10, 20], x=[0.0, 0, 9], y=[0.0, 1, 1])
    | dict(dice=[0.9, 0.8, 0.1], distance=[0, 1, 5.0], ratio=[0, 1, 5.0], outside=[False, False, True])
)


def values(layer, chart):
    "Rows of a layer"
    return chart["datasets"][(layer.get("data") or chart["data"])["name"]]


def test_points_by_dice_with_what_the_mouse_shows():
    chart = plot_feature_map(TABLE).to_dict()
    (points,) = chart["layer"]
    encoding = points["encoding"]
    assert encoding["color"]["title"] == "dice" and encoding["color"]["scale"]["scheme"] == "viridis"
    assert encoding["color"]["scale"]["domain"] == [TABLE.dice.min(), TABLE.dice.max()]
    assert [t["title"] for t in encoding["tooltip"][:-1]] == ["case", "dice", "scanner"]
    assert encoding["tooltip"][-1]["field"] == "image"
    rows = values(points, chart)
    assert [row["_case"] for row in rows] == CASES and np.allclose([row["x"] for row in rows], TABLE.x)
    png = base64.b64decode(rows[0]["image"].partition(",")[2])
    assert (np.asarray(Image.open(io.BytesIO(png))) == 100).all()
    assert rows[9].get("image") is None
    assert "layer deep.1 of net (64 features)" in chart["title"]["subtitle"]
    assert "UMAP: 5 neighbours, min_dist 0.01, euclidean, seed 3" in chart["title"]["subtitle"]
    assert encoding["x"]["axis"]["labels"] is False  # the axes have no unit


def test_groups_and_empty_entries():
    encoding = plot_feature_map(TABLE, "scanner", pictures=False).to_dict()["layer"][0]["encoding"]
    assert encoding["color"]["scale"]["domain"] == ["A", "B", "(none)"]
    assert len(set(encoding["color"]["scale"]["range"])) == 3
    assert all(tip["field"] != "image" for tip in encoding["tooltip"])
    plain = plot_feature_map(pd.DataFrame(dict(case=CASES, x=TABLE.x, y=TABLE.y))).to_dict()["layer"][0]["encoding"]
    assert "value" in plain["color"]
    flags = plot_feature_map(map_of(ill=[True, False] * 5), "ill").to_dict()["layer"][0]["encoding"]
    assert flags["color"]["scale"]["domain"] == ["True", "False"]
    same = plot_feature_map(TABLE.assign(dice=0.5)).to_dict()["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert same == [0, 1]


def test_path_has_arrows_values_and_hollow_steps():
    chart = plot_feature_map(TABLE, path=PATH).to_dict()
    points, way, arrows, inside, outside, halo, words = chart["layer"]
    assert [row["order"] for row in values(way, chart)] == [0, 1, 2]
    assert way["encoding"]["order"]["field"] == "order"
    angles = [row["angle"] for row in values(arrows, chart)]
    assert np.allclose(angles, [0, 90])  # up, then to the right
    assert inside["mark"]["filled"] and not outside["mark"]["filled"]
    assert [row["_value"] for row in values(outside, chart)] == ["20"]
    assert [row["text"] for row in values(words, chart)] == ["0", "10", "20"]
    assert chart["title"]["text"] == "10 images; rotation of case 0"
    assert "hollow" in chart["title"]["subtitle"][-1]
    # points and steps have one scale
    low, high = inside["encoding"]["color"]["scale"]["domain"]
    assert low == min(TABLE.dice.min(), 0.1) and high == max(TABLE.dice.max(), 0.9)


def test_several_paths_and_a_group():
    other = PATH.assign(transform="zoom", value=[1.0, 1.5, 2.0], outside=False)
    chart = plot_feature_map(TABLE, "scanner", [PATH, other]).to_dict()
    assert chart["title"]["text"].endswith("rotation of case 0, zoom of case 0")
    assert sum(layer["mark"]["type"] == "line" for layer in chart["layer"]) == 2
    one_table = plot_feature_map(TABLE, "scanner", pd.concat([PATH, other])).to_dict()
    assert len(one_table["layer"]) == len(chart["layer"])


@pytest.mark.parametrize(
    "bad, words",
    [
        (dict(colour="site"), "colour must be one of 'case', 'dice', 'scanner'"),
        (dict(path=3), "path"),
        (dict(path=PATH.drop(columns="x")), r"path must be the table that feature_path makes, got one without \['x'\]"),
        (dict(path=PATH[:0]), "without rows"),
        (dict(width=0), "width must be"),
        (dict(pictures=2), "pictures must be True or False"),
        (dict(table=TABLE.drop(columns="x")), "table must be the table that feature_map makes"),
    ],
    ids=str,
)
def test_bad_input(bad, words):
    with pytest.raises((ValueError, TypeError), match=words):
        plot_feature_map(**(dict(table=TABLE) | bad))


@pytest.mark.parametrize("same, ends", [(0.9, [0, 1]), (1, [0, 1]), (0, [0, 1]), (3.5, [3, 4]), (-2, [-2.5, -1.5])])
def test_a_colour_for_equal_scores_stays_within_what_a_score_can_be(same, ends):
    chart = plot_feature_map(map_of(dice=[same] * len(CASES)), "dice").to_dict()
    assert chart["layer"][0]["encoding"]["color"]["scale"]["domain"] == ends
