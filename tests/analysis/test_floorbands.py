"The noise floor in every curve and every summary"

import io

import numpy as np
import pandas as pd
import pytest

import misas as ms
from misas.analysis.noise import floor_band, floor_curves

CASES = [ms.phantom((48, 48), seed=k) for k in range(4)]
VALUES = dict(rotation=[-20, 0, 20])


@pytest.fixture(scope="module")
def model():
    return ms.as_model(ms.demo_model(), name="m")


@pytest.fixture(scope="module")
def scores(model):
    return ms.evaluate(model, CASES, "rotation", VALUES, labels={1: "LV"}, progress=False)


@pytest.fixture(scope="module")
def floor(model):
    return ms.noise_floor(model, CASES, "rotation", VALUES, labels={1: "LV"}, progress=False)


def test_floor_of_some_cases_is_measured_against_these(model, scores, floor):
    half = floor[floor.case.isin(["phantom-0", "phantom-1"])]
    half.attrs.update(floor.attrs)
    found = ms.with_floor(ms.summarise(scores), half).iloc[0]
    own = half[half["transform"] == "rotation"].groupby("value").score.mean()
    again = half[(half["transform"] == "again") & (half.value == 1)].score.mean()
    assert found.resampling == pytest.approx(max(0, again - own[found.worst_value]))
    # of all cases it is the same as before: their unchanged score is that of the curve
    whole = ms.with_floor(ms.summarise(scores), floor).iloc[0]
    back = floor[(floor["transform"] == "rotation") & (floor.value == whole.worst_value)].score.mean()
    assert whole.resampling == pytest.approx(max(0, whole.neutral_score - back))


def test_summary_chart_says_how_much_is_resampling(scores, floor):
    summary = ms.summarise(scores)
    text = str(ms.plot_summary(summary, floor=floor).to_dict())
    assert "resampling alone" in text and "resampling alone" not in str(ms.plot_summary(summary).to_dict())
    assert text == str(ms.plot_summary(ms.with_floor(summary, floor)).to_dict())
    with pytest.raises(TypeError, match="floor must be"):
        ms.plot_summary(summary, floor=3)


def bands(chart):
    "The rows of each band"
    whole = chart.to_dict()
    layers = [layer for panel in whole["concat"] for layer in panel["layer"] if layer["mark"].get("type") == "area"]
    texts = [layer["data"].get("values") or whole["datasets"][layer["data"]["name"]] for layer in layers]
    return [pd.read_csv(io.StringIO(text)) for text in texts]


def test_comparison_has_a_band_under_each_curve(scores, floor):
    other = scores.assign(score=scores.score * 0.9)
    (rows,) = bands(ms.plot_compare(scores, other, floor=floor))
    assert set(rows.model) == {"m (A)", "m (B)"}
    clean = scores[scores.value == 0].score.mean()
    assert rows[rows.model == "m (A)"].high.tolist() == pytest.approx([clean] * 3)
    assert rows[rows.model == "m (B)"].high.tolist() == pytest.approx([0.9 * clean] * 3)
    assert not bands(ms.plot_compare(scores, other))
    named = bands(ms.plot_compare(scores, other.assign(model="n"), floor=floor))
    assert set(named[0].model) == {"m"}  # nothing was measured of the other


def test_a_common_axis_has_no_floor(model, floor):
    scores = ms.evaluate(model, CASES[:1], "rotation", VALUES, progress=False).assign(severity=0.1)
    with pytest.raises(ValueError, match="floor must be None where x is 'severity'"):
        ms.plot_scores(scores, x="severity", floor=floor)


def test_report_has_band_and_column(model, tmp_path):
    found = ms.study(
        model, CASES, ["rotation", "brightness"], VALUES | dict(brightness=[0.9, 1, 1.1]), labels={1: "LV"},
        out=tmp_path, guarantee=False, preparation=False, augmentation=False, pictures=False, progress=False,
    )  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert "grey: noise floor (resampling, asking again)" in page and "of which resampling" in page
    summary = pd.read_csv(tmp_path / "summary.csv").set_index("transform")
    expected = ms.with_floor(ms.summarise(found.scores), found.floor).set_index("transform")
    assert summary.resampling["rotation"] == pytest.approx(expected.resampling["rotation"], nan_ok=True)
    assert np.isnan(summary.resampling["brightness"]) and summary.repeated["brightness"] == 0
    rows = found.scores[found.scores["transform"] == "rotation"]
    band = floor_band(rows, 0, "higher", floor_curves(found.floor), "median")
    assert band.high.tolist() == pytest.approx([rows[rows.value == 0].score.median()] * 3)
    means = found.floor.groupby(["transform", "value"]).score.mean()
    lost = [max(0, means["again", 1] - means["rotation", value]) for value in (-20, 0, 20)]
    assert (band.high - band.low).tolist() == pytest.approx(lost) and max(lost) > 0.01
