"Whatever is in a summary is drawn"

import io

import numpy as np
import pandas as pd
import pytest

from misas.analysis.summary import summarise
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.plot.summary import plot_summary
from misas.transforms.basic import Rotate, Zoom
from misas.transforms.kspace import SpikePosition


@pytest.fixture(scope="module")
def cases():
    return [phantom((64, 64), seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def scores(cases):
    values = dict(rotation=range(-90, 91, 30), zoom=[0.5, 0.7, 1, 1.4, 2])
    return evaluate(demo_model(), cases, [Rotate(), Zoom()], values=values, labels={1: "LV"}, progress=False)


def panels_of(chart) -> list:
    return chart.to_dict()["vconcat"]


def test_each_unit_has_panels_of_its_own(scores):
    turns = scores[scores["transform"] == "rotation"]
    other = turns.assign(model="half", score=turns.score / 2)
    two = summarise(pd.concat([turns, other, turns.assign(metric="iou")]), resamples=50)
    assert len(panels_of(plot_summary(two))) == 2
    back = pd.read_csv(io.StringIO(two.to_csv(index=False)))
    for column in ("unit", "metric_unit"):
        back[column] = back[column].astype(object).fillna("")
    assert len(panels_of(plot_summary(back))) == 2


def test_scores_that_are_missing_or_alone_are_drawn(scores):
    zoomed = scores[scores["transform"] == "zoom"]
    tables = [
        zoomed.assign(score=0.8),
        zoomed.assign(score=np.nan, label="none"),
        zoomed[zoomed.value == 1].assign(label="one"),
    ]
    odd = pd.concat([summarise(table, resamples=50) for table in tables])
    assert len(panels_of(plot_summary(odd))) == 1


def test_a_transform_without_neutral_value_says_so(cases):
    places = evaluate(demo_model(), cases[0], SpikePosition(), values=[0.4, 0.5, 0.6], labels={1: "LV"}, progress=False)
    assert "no neutral value" in plot_summary(summarise(places, resamples=50)).to_json()


def test_infinite_rises_are_drawn_darkest(scores):
    turns = scores[scores["transform"] == "rotation"]
    far = np.where(turns.value.abs() > 60, np.inf, turns.value.abs() / 10)
    lost = summarise(turns.assign(metric="hd95", score=far), delta=2, resamples=50)
    text = plot_summary(lost).to_json()
    assert "Infinity" not in text
    assert "NaN" not in text


def test_json_holds_no_number_that_json_has_not(scores):
    nothing = summarise(scores.assign(score=0.0), resamples=50)
    assert nothing["drop"].isna().all()
    assert "NaN" not in plot_summary(nothing).to_json()


def test_bad_arguments_are_named(scores):
    with pytest.raises(TypeError, match="summary"):
        plot_summary([1])
    with pytest.raises(ValueError, match="summary"):
        plot_summary(scores)
    with pytest.raises(ValueError, match="width must be a number >= 1, got 0"):
        plot_summary(summarise(scores, resamples=50), width=0)
