"Limits of tolerance with few calls: the same as on a dense grid, conventions, bad input"

import numpy as np
import pytest
from lines import line_case, marked, scored_by

from misas.analysis.limits import tolerance
from misas.analysis.summary import summarise
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.transforms.basic import Crop, Dihedral, Zoom
from misas.transforms.kspace import SpikePosition

CURVES = {
    "falls": lambda v: 0.95 - 0.002 * abs(v),
    "one side": lambda v: 0.9 - 0.01 * max(v - 40, 0),
    "all": lambda v: 0.9,
    "wave": lambda v: 0.9 - 0.06 * np.sin(np.radians(v)) ** 2,
    "dip": lambda v: 0.9 - 0.3 * np.exp(-(((v + 70) / 12) ** 2)),
    "cliff": lambda v: 0.9 if abs(v) < 1.5 else 0.3,
    "at once": lambda v: 0.9 if v == 0 else 0.8,
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("delta", [0.04])
def test_as_on_the_dense_grid(name, delta):
    model, transform, case = scored_by(CURVES[name]), marked(), line_case()
    found = tolerance(model, case, transform, delta, labels={1: "line"}).iloc[0]
    scores = evaluate(model, case, transform, range(-180, 181), labels={1: "line"}, progress=False)
    dense = summarise(scores, delta=delta, resamples=0).iloc[0]
    assert (found.low, found.high) == pytest.approx((dense.tolerance_low, dense.tolerance_high), abs=1e-9)
    assert (found.low_cut, found.high_cut) == (dense.tolerance_low_cut, dense.tolerance_high_cut)
    assert found.neutral_score == pytest.approx(dense.neutral_score)
    assert found.calls <= 361 / 6


def test_six_curves_cost_a_sixth():
    rng = np.random.default_rng(0)
    calls, errors = [], []
    for _ in range(6):
        width, slope, amount = rng.uniform(20, 160), rng.uniform(0.0005, 0.01), rng.uniform(0, 0.02)

        def curve(v, width=width, slope=slope, amount=amount):
            return 0.92 - slope * max(0, abs(v) - width) - amount * np.sin(v / 15) ** 2

        found = tolerance(scored_by(curve), line_case(), marked(), labels={1: "line"}).iloc[0]
        scores = evaluate(scored_by(curve), line_case(), marked(), range(-180, 181), labels={1: "line"}, progress=False)
        dense = summarise(scores, resamples=0).iloc[0]
        errors += [abs(found.low - dense.tolerance_low), abs(found.high - dense.tolerance_high)]
        calls.append(found.calls)
    assert max(errors) < 1 and np.mean(calls) <= 361 / 6


def test_factors_and_whole_numbers():
    transform = marked("gain", neutral=1, values=(0.25, 4), log=True)
    model = scored_by(lambda v: 0.9 - 0.1 * abs(np.log2(v)), neutral=1)
    found = tolerance(model, line_case(), transform, resolution=0.05, labels={1: "line"}).iloc[0]
    assert found.low == pytest.approx(2**-0.5, rel=0.02) and found.high == pytest.approx(2**0.5, rel=0.02)
    case = phantom((64, 64))
    found = tolerance(lambda image: image > 0.4, case, Crop(), resolution=2, labels={1: "LV"}, delta=0.1)
    tried = found.attrs["scores"].value
    assert tried.map(lambda value: isinstance(value, int)).all() and (tried % 2 == 0).all()
    with pytest.raises(ValueError, match="resolution must be a whole number for crop"):
        tolerance(lambda image: image > 0.4, case, Crop(), resolution=0.5)


def test_several_cases_together_and_each():
    cases = [line_case("a"), line_case("b")]
    model = scored_by(CURVES["falls"])
    mean = tolerance(model, cases, marked(), labels={1: "line"})
    assert mean.case.tolist() == ["mean of 2"] and mean.attrs["scores"].case.nunique() == 2
    each = tolerance(model, cases, marked(), labels={1: "line"}, per="case")
    assert each.case.tolist() == ["a", "b"] and each.high.tolist() == pytest.approx([mean.high[0]] * 2)


def test_metrics_with_units_and_labels_that_are_not_found():
    case = phantom((64, 64), seed=1)
    found = tolerance(
        lambda image: image > 0.4,
        case,
        Zoom(),
        delta={"dice": 0.05, "hd95": 2},
        resolution=0.1,
        values=(0.7, 1.4),
        metrics=["dice", "hd95"],
        labels={1: "LV", 9: "none"},
    )
    assert set(zip(found.label, found.metric)) == {(a, b) for a in ("LV", "none") for b in ("dice", "hd95")}
    assert found[found.label == "none"][["low", "high"]].isna().all(axis=None)


def test_a_budget_is_kept_and_said():
    with pytest.warns(UserWarning, match="budget of 4 values is used up"):
        found = tolerance(scored_by(CURVES["falls"]), line_case(), marked(), labels={1: "line"}, budget=4).iloc[0]
    assert found.calls == 5 and not found.resolved
    exact = tolerance(scored_by(CURVES["falls"]), line_case(), marked(), labels={1: "line"}).iloc[0]
    assert -180 < found.low < 0 < found.high < 180 and found.low == pytest.approx(exact.low, abs=15)


@pytest.mark.parametrize("transform", [Dihedral(), SpikePosition()])
def test_without_amounts(transform):
    with pytest.raises(ValueError, match="transform must be one with a neutral value"):
        tolerance(lambda image: image > 0.4, phantom((32, 32)), transform)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(resolution=0), "resolution must be"),
        (dict(delta=-1), "delta must be"),
        (dict(values=(10, 20)), "values must be a range around the neutral value 0"),
        (dict(values=("a", "b")), "values must be the lowest and the highest"),
        (dict(per="label"), "per must be"),
        (dict(budget=0), "budget must be"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tolerance(lambda image: image > 0.4, phantom((32, 32)), "rotation", **options)
