"The noise floor: round trips, closed forms, the same image again, what of a drop is resampling"

import numpy as np
import pandas as pd
import pytest
import torch

from misas.analysis.floor import noise_floor, with_floor
from misas.analysis.limits import tolerance
from misas.analysis.summary import summarise, verdicts
from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.metrics.base import measure
from misas.transforms.basic import Brightness, Compose, Resize, Rotate, Zoom
from misas.transforms.contract import conforms
from misas.transforms.geometry import Elastic, Rotate3D, Shear, Translate
from misas.transforms.roundtrip import RoundTrip

OPTIONS = dict(labels={1: "LV"}, progress=False)


def bright(image):
    return image > 0.4


@pytest.mark.parametrize("shape", [(33, 32), (7, 21, 20)])
@pytest.mark.parametrize("transform", [Rotate(), Zoom(), Shear(), Translate(), Resize()])
def test_round_trips_keep_the_promises(transform, shape):
    case = phantom(shape, seed=2)
    conforms(RoundTrip(transform), case)
    assert torch.equal(RoundTrip(transform)(case, transform.values_for(case)[0]).truth, case.truth)


def test_half_a_pixel_there_and_back_is_a_filter():
    image = torch.rand(1, 9, 20, generator=torch.Generator().manual_seed(0))
    trip = RoundTrip(Translate())(Case(image, spacing=(1, 1)), 0.5).image
    filtered = image[..., :-2] / 4 + image[..., 1:-1] / 2 + image[..., 2:] / 4
    assert torch.allclose(trip[..., 1:-1], filtered, atol=1e-6)
    assert torch.equal(trip[..., -1], image[..., -1])  # lost on the way: as it was


def test_exact_moves_cost_nothing():
    case = phantom((32, 32), seed=1)
    for transform, value in ((Rotate(), 90), (Rotate(), -180), (Translate(), 4 * case.spacing[1])):
        assert torch.allclose(RoundTrip(transform)(case, value).image, case.image, atol=1e-6)
    volume = phantom((16, 16, 16), seed=1)
    assert torch.allclose(RoundTrip(Rotate3D())(volume, 0).image, volume.image)


@pytest.mark.parametrize("transform", [Brightness(), Elastic(), Compose(Rotate(), Brightness())])
def test_no_way_back(transform):
    with pytest.raises(ValueError, match="transform must be one that interpolates and has an inverse"):
        RoundTrip(transform)


def test_scores_are_those_of_the_round_trip():
    case = phantom((48, 47), seed=3)
    floor = noise_floor(bright, case, [Rotate(), Brightness()], {"rotation": [0, 12], "brightness": [1, 2]}, **OPTIONS)
    assert floor["transform"].unique().tolist() == ["again", "rotation"]  # brightness interpolates nothing
    again = floor[floor["transform"] == "again"].score
    assert again.nunique() == 1 and len(again) == 2
    turned = Rotate().warp(case, Rotate().matrix(12, 2))
    back = Rotate().warp(turned, Rotate().matrix(-12, 2))
    inside = torch.zeros(48, 47, dtype=torch.bool)
    inside[10:38, 10:37] = True  # the heart; nothing of it is lost
    image = torch.where(inside, back.image, case.image)
    expected = measure(case.truth * inside, bright(image[0]).int() * inside, [1], spacing=(1, 1))["dice"]
    trip = RoundTrip(Rotate())(case, 12)
    own = measure(case.truth * inside, bright(trip.image[0]).int() * inside, [1], spacing=(1, 1))["dice"]
    assert own == pytest.approx(expected)
    whole = measure(case.truth, bright(trip.image[0]).int(), [1], spacing=(1, 1))["dice"].item()
    assert floor[(floor["transform"] == "rotation") & (floor.value == 12)].score.item() == pytest.approx(whole)
    assert floor.attrs["transforms"]["rotation"]["unit"] == "°"


def test_a_model_that_changes_its_mind():
    rng = np.random.default_rng(0)

    def moody(image):
        return image > 0.4 + 0.1 * rng.random()

    cases = [phantom((48, 48), seed=seed) for seed in range(3)]
    floor = noise_floor(moody, cases, repeats=5, **OPTIONS)
    means = floor.groupby("value").score.mean()
    assert len(means) == 5 and np.ptp(means) > 0
    summary = summarise(evaluate(bright, cases, "brightness", [1, 1.5], **OPTIONS))
    found = with_floor(summary.assign(model="moody"), floor).iloc[0]
    assert found.repeated == pytest.approx(np.ptp(means)) and np.isnan(found.resampling)
    assert found.beyond_floor == pytest.approx(max(0, found["drop"] - np.ptp(means)))


def test_beside_a_summary():
    rows = []
    for transform, values, scores in (
        ("rotation", [-10, 0, 10], [0.7, 0.9, 0.85]),
        ("again", [1, 2], [0.9, 0.89]),
    ):
        rows += [("net", "a", transform, "deg", v, "LV", "dice", s) for v, s in zip(values, scores)]
    columns = ["model", "case", "transform", "param", "value", "label", "metric", "score"]
    floor = pd.DataFrame(rows, columns=columns)
    scores = floor[floor["transform"] == "rotation"].assign(score=[0.5, 0.9, 0.8])
    found = with_floor(summarise(scores), floor).iloc[0]
    assert (found["drop"], found.worst_value) == (pytest.approx(0.4), -10)
    assert found.resampling == pytest.approx(0.2) and found.repeated == pytest.approx(0.01)
    assert found.beyond_floor == pytest.approx(0.19)
    distances = scores.assign(metric="hd95", score=[5, 2, 3])
    far = floor.assign(metric="hd95", score=[4, 2, 3, 2, 2.5])
    found = with_floor(summarise(distances, delta=1), far).iloc[0]
    assert (found["drop"], found.resampling, found.repeated, found.beyond_floor) == (3, 2, 0.5, 0.5)


def made(transform, values, scores, metric="dice"):
    rows = [("net", "a", transform, "deg", v, "LV", metric, s) for v, s in zip(values, scores)]
    columns = ["model", "case", "transform", "param", "value", "label", "metric", "score"]
    return pd.DataFrame(rows, columns=columns)


def test_a_drop_inside_the_floor_is_none():
    scores = made("rotation", [-10, 0, 10, 20], [0.8, 0.9, 0.82, 0.7])
    floor = pd.concat([made("rotation", [-10, 0, 10], [0.79, 0.9, 0.88]), made("again", [1, 2], [0.9, 0.9])])
    bare, own = summarise(scores).iloc[0], summarise(scores, floor=floor).iloc[0]
    assert bare.tolerance_low == pytest.approx(-5) and own.tolerance_low == -10  # 0.1 is lost, 0.11 by resampling alone
    assert own.tolerance_high == bare.tolerance_high == pytest.approx(6.25)  # 0.08 is lost, 0.02 by resampling
    assert own["drop"] == bare["drop"] and np.isnan(own.resampling)  # not measured at 20
    known = with_floor(summarise(scores), floor).iloc[0]
    assert (known.resampling, known.repeated) == (pytest.approx(own.resampling, nan_ok=True), own.repeated)


def test_words_on_the_floor():
    floor = pd.concat([made("rotation", [-10, 0], [0.78, 0.9]), made("again", [1, 2], [0.9, 0.9])])
    inside = verdicts(summarise(made("rotation", [-10, 0], [0.8, 0.9]), floor=floor))[0]
    assert inside == (
        "rotation, LV: tolerates −10° to 0° (all tried) with a loss of at most 0.05; dice 0.90 → 0.80 at −10°; "
        "no drop beyond resampling alone, which costs 0.12"
    )
    beyond = verdicts(summarise(made("rotation", [-10, 0], [0.6, 0.9]), floor=floor))[0]
    assert beyond.endswith("dice 0.90 → 0.60 at −10°; of which resampling alone: 0.12")
    assert "resampling" not in verdicts(summarise(made("rotation", [-10, 0], [0.6, 0.9])))[0]


def test_names_and_distances_have_a_floor():
    again = made("again", [1, 2, 3], [0.9, 0.8, 0.9])
    turned = made("dihedral", [0, 1, 4], [0.9, 0.82, 0.6]).assign(param="k")
    row = summarise(turned, floor=again).iloc[0]
    assert row.failed == "4" and row.passed == "1"  # 0.08 is lost, 0.1 by asking again
    assert summarise(turned).failed[0] == "1, 4"
    far = made("rotation", [0, 10], [2, 5], "hd95")
    floor = made("rotation", [0, 10], [2, 5.5], "hd95")
    assert summarise(far, delta=1).tolerance_high[0] == pytest.approx(10 / 3)
    assert summarise(far, delta=1, floor=floor).tolerance_high[0] == 10


def test_limits_know_the_floor():
    image = torch.linspace(0, 0.35, 40).repeat(1, 40, 1)
    image[0, 10:20, 10:20] = 0.6
    case = Case(image, (image[0] > 0.5).int(), name="square", scale=(0, 1))
    chosen = dict(resolution=0.2, values=(1, 2), labels={1: "LV"})
    bare = tolerance(bright, case, "brightness", **chosen)
    noise = evaluate(bright, case, "brightness", [1, 1.2, 1.44, 1.728, 2], **OPTIONS)  # as if all of it were noise
    lifted = tolerance(bright, case, "brightness", floor=noise, **chosen)
    assert bare.high[0] < lifted.high[0] == 2
    with pytest.raises(ValueError, match="floor must have scores of each case, got none of 'square'"):
        tolerance(bright, case, "brightness", floor=noise.assign(case="other"), **chosen)


def test_bad_input():
    with pytest.raises(ValueError, match="floor must|floor: scores must|scores must have"):
        summarise(made("rotation", [0, 1], [1, 1]), floor=pd.DataFrame(dict(a=[1])))
    with pytest.raises(ValueError, match="repeats must be"):
        noise_floor(bright, phantom((32, 32)), repeats=0)
    with pytest.raises((ValueError, TypeError), match="summary must be"):
        with_floor(pd.DataFrame(), pd.DataFrame())
