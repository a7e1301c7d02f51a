"Charts of thresholds and of prominence"

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from misas.plot.colours import label_colour_scale
from misas.plot.probability import plot_prominence, plot_thresholds

VALUE = np.arange(1, 100) / 100


def tent(model, case, label, top, slope=2.0):
    "Scores that fall by `slope` on both sides of a threshold"
    table = dict(transform="threshold", param="probability", value=VALUE, label=label, metric="dice")
    return pd.DataFrame(dict(model=model, case=case) | table | dict(score=1 - slope * np.abs(VALUE - top)))


SCORES = pd.concat([tent("m", c, l, t) for c in "ab" for l, t in (("LV", 0.3), ("RV", 0.6))], ignore_index=True)


def rows_of(layer, chart):
    "The data of a layer"
    rows = chart["datasets"][(layer.get("data") or chart["data"])["name"]]
    return pd.read_csv(StringIO(rows)) if isinstance(rows, str) else pd.DataFrame(rows)


def test_best_threshold_and_what_is_lost_beside_it():
    chart = plot_thresholds(SCORES).to_dict()
    (panel,) = chart["hconcat"]
    rule, thin, mean, thick, dots = panel["layer"]
    assert panel["title"] == "m" and rows_of(rule, chart)["at"].tolist() == [0.5]
    assert rows_of(dots, chart).value.tolist() == [0.3, 0.6]
    found = rows_of(thick, chart)
    lv = found[found.shown.str.startswith("LV")]
    assert np.allclose([lv.value.min(), lv.value.max(), lv.score.min()], [0.25, 0.35, 0.9])
    legend = mean["encoding"]["color"]
    assert legend["title"] == "median loss at the best threshold ± 0.05"
    assert legend["scale"]["domain"] == ["LV: best at 0.30, loss 10.0%", "RV: best at 0.60, loss 10.0%"]


def test_panels_colours_and_labels_without_a_threshold():
    several = pd.concat([SCORES, SCORES.assign(model="other")])
    wanted = list(label_colour_scale(["LV", "RV"], ["bg", "LV", "RV"], ["red", "blue"]).values())
    panels = plot_thresholds(several, labels=["bg", "LV", "RV"], colours=["red", "blue"]).to_dict()["hconcat"]
    assert [p["title"] for p in panels] == ["m", "other"]
    assert all(p["layer"][2]["encoding"]["color"]["scale"]["range"] == wanted for p in panels)
    none = tent("m", "a", "X", 0.5).assign(score=0.0)
    panel = plot_thresholds(pd.concat([SCORES, none])).to_dict()["hconcat"][0]
    assert "X: no best threshold" in panel["layer"][2]["encoding"]["color"]["scale"]["domain"]
    alone = plot_thresholds(none).to_dict()["hconcat"][0]
    assert len(alone["layer"]) == 3  # no dot, and no line beside one


def test_few_thresholds_have_no_loss():
    few = SCORES[SCORES.value.isin([0.3, 0.6])]
    legend = plot_thresholds(few).to_dict()["hconcat"][0]["layer"][2]["encoding"]["color"]["scale"]["domain"]
    assert legend[1].startswith("RV: best at 0.60")


@pytest.mark.parametrize(
    "bad, words",
    [
        (dict(metric="iou"), "metric must be one of 'dice'"),
        (dict(delta=0), "delta must be"),
        (dict(width=0), "width must be"),
        (dict(labels="LV"), "labels must be"),
    ],
    ids=str,
)
def test_thresholds_bad_input(bad, words):
    with pytest.raises((ValueError, TypeError), match=words):
        plot_thresholds(SCORES, **bad)


RNG = np.random.default_rng(0)
LABELS = [f"s{k}" for k in range(5)]
TRAINING = pd.DataFrame(dict(case="a", label=LABELS) | {m: RNG.random(5) for m in ("size", "contrast", "prominence")})
BEST = pd.DataFrame(dict(model="m", case="t", label=LABELS, threshold=RNG.random(5)))


@pytest.mark.parametrize("measure", ["prominence", "size", "contrast"])
def test_prominence_says_r_p_and_n(measure):
    chart = plot_prominence(BEST, TRAINING, measure).to_dict()
    line, dots = chart["layer"]
    r, p = pearsonr(TRAINING[measure], BEST.threshold)
    said = " ".join(chart["title"]["subtitle"])
    assert f"r = {r:.2f}" in said and f"p = {p:.2g}" in said and "n = 5 structures: few" in said
    assert dots["encoding"]["x"]["title"].endswith("mean of the training cases")
    assert np.allclose(rows_of(dots, chart)[measure], TRAINING[measure])
    assert "shape" not in dots["encoding"]
    assert line["transform"] == [{"regression": measure, "on": "threshold"}] or line["transform"][0]["on"] == measure


def test_several_models_have_shapes():
    chart = plot_prominence(pd.concat([BEST, BEST.assign(model="n")]), TRAINING).to_dict()
    assert "shape" in chart["layer"][1]["encoding"]


def test_prominence_bad_input():
    with pytest.raises(ValueError, match="measure must be one of"):
        plot_prominence(BEST, TRAINING, "volume")
    with pytest.raises(ValueError, match="table must be the table that probability_table makes"):
        plot_prominence(BEST)


def test_many_cases():
    many = pd.concat([tent("m", f"case {k}", "LV", 0.3) for k in range(60)])
    chart = plot_thresholds(many).to_dict()
    thin = rows_of(chart["hconcat"][0]["layer"][1], chart)
    assert thin.case.nunique() == 20 and len(thin) == 20 * len(VALUE)
