"Grids, global sensitivity and the worst case, against functions whose result is known"

import numpy as np
import pandas as pd
import pytest
import torch

from misas.analysis.explore import (
    GRID_COLUMNS,
    _axes,
    _axis,
    _label_values,
    _morris,
    _Scorer,
    _sobol,
    few_values,
    global_sensitivity,
    grid,
    worst_case,
)
from misas.core.cases import Case
from misas.core.model import as_model
from misas.core.transform import as_transform
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.transforms.basic import Brightness, Compose, Crop, Dihedral, Fixed, Resize, Rotate, Zoom

SMALL = phantom((40, 40), seed=1)


def bright(image):
    return (image > 0.4).astype(int) * 2


PAIRS = grid(bright, SMALL, Rotate(), Brightness(), [0, 20], [0.5, 1, 2], labels={2: "MY"}, progress=False)


def test_grid_has_all_pairs_in_order():
    assert PAIRS.columns.tolist() == GRID_COLUMNS
    assert PAIRS[["value_a", "value_b"]].values.tolist() == [[a, b] for a in (0, 20) for b in (0.5, 1, 2)]


def test_pair_is_what_both_transforms_do_by_hand():
    changed = Brightness()(Rotate()(SMALL, 20), 2)
    pred, truth = bright(changed.image[0].numpy()) == 2, changed.truth.numpy() == 2
    by_hand = 2 * (pred & truth).sum() / (pred.sum() + truth.sum())
    assert np.isclose(PAIRS.query("value_a == 20 and value_b == 2").score.item(), by_hand)


def test_row_of_a_grid_is_a_sweep():
    row = evaluate(bright, SMALL, Brightness(), [0.5, 1, 2], labels={2: "MY"}, progress=False)
    assert np.allclose(PAIRS[PAIRS.value_a == 0].score, row.score, rtol=1e-12)


def testfew_values_are_even_and_hold_the_neutral_one():
    assert few_values(Rotate(), None, SMALL) == [-180, -135, -90, -45, 0, 45, 90, 135, 180]
    assert 40 in few_values(Resize(), None, SMALL)
    factors = few_values(Brightness(), None, SMALL)
    steps = np.diff(np.log(factors))
    assert np.allclose(steps, steps[0], rtol=0.01)  # equal steps look equal
    assert {0.25, 1, 8} <= set(factors)


def test_values_given_twice_are_tried_once():
    assert few_values(Dihedral(), [3, 3], SMALL) == [3]


def test_grid_without_truth_compares_with_the_own_prediction():
    unknown = grid(bright, SMALL.replace(truth=None), "dihedral", "zoom", values_b=[1.0], progress=False)
    assert set(unknown.query("value_a == 0").score) == {1.0}


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(transform_a=Compose(Rotate(), Zoom())), "has 2 parameters"),
        (dict(transform_b=Fixed(Zoom(), 2)), "has 0 parameters"),
        (dict(values_a=[]), "values .*(empty|at least one)"),
        (dict(metric=["dice", "iou"]), "metric must be one metric"),
        (dict(transform_a="zom"), "did you mean 'zoom'"),
    ],
    ids=str,
)
def test_bad_arguments_of_grid(bad, word):
    with pytest.raises(ValueError, match=word):
        grid(**(dict(model=bright, case=SMALL, transform_a=Rotate(), transform_b=Zoom()) | bad))


def test_range_is_even_in_value_or_in_its_logarithm():
    assert [_axis(Rotate(), (-30, 30)).at(u) for u in (0, 0.5, 1)] == [-30, 0, 30]
    assert np.allclose([_axis(Zoom(), (0.5, 2)).at(u) for u in (0, 0.5, 1)], [0.5, 1, 2])


def test_integers_of_a_range_are_equally_likely():
    pixels = [_axis(Crop(), (2, 4)).at(u) for u in np.linspace(0, 1, 301)]
    assert {k: pixels.count(k) for k in set(pixels)} == {2: 100, 3: 100, 4: 101}
    assert {type(k) for k in pixels} == {int}
    assert type(_axis(Resize(), (20, 80)).at(0.5)) is int


@pytest.mark.parametrize(
    "bad, word",
    [
        ({}, "ranges must be .* at least one"),
        ({Rotate(): (5, 5)}, "low < high"),
        ({Rotate(): (5, -5)}, "low < high"),
        ({Rotate(): 5}, "two numbers"),
        ({Rotate(): ()}, "two numbers"),
        ({Zoom(): (0, 1)}, "> 0"),
        ({Brightness(): (0, 1)}, "low > 0"),
        ({Dihedral(): (0, 7)}, "names"),
        ({"rotatoin": (0, 1)}, "did you mean"),
        ({Rotate(): (0, np.nan)}, "finite"),
        ({Rotate(): (0, 1), "rotation": (0, 2)}, "same name"),
        ({Crop(): (0.5, 3)}, "an integer >= 0"),
    ],
    ids=str,
)
def test_bad_ranges(bad, word):
    with pytest.raises(ValueError, match=word):
        _axes(bad)


def test_ranges_in_a_list_are_an_error():
    with pytest.raises(TypeError, match="ranges must be a dict"):
        _axes([Rotate()])


def test_scorer_agrees_with_evaluate():
    scorer = _Scorer(bright, SMALL, _axes({Rotate(): (-30, 30)}), "dice", 2, 1.0)
    scores = [scorer.score(s) for s in scorer.steps([(0.0,), (20.0,)])]
    swept = evaluate(bright, SMALL, Rotate(), [0, 20], labels={2: "MY"}, progress=False)
    assert np.allclose(scores, swept.score, rtol=1e-12)


def test_labels_by_number_name_or_all():
    assert _label_values(None, as_model(bright), SMALL) == [1, 2, 3]
    assert _label_values("MY", as_model(bright), SMALL) == [2]


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(label="MYO"), "did you mean 'MY'"),
        (dict(label=-1), "label must be .* got -1"),
        (dict(label=1.5), "label must be .* got 1.5"),
        (dict(case=SMALL.replace(truth=SMALL.truth * 0)), "nothing but background"),
    ],
    ids=["misspelt", "negative", "fraction", "background"],
)
def test_bad_labels(bad, word):
    with pytest.raises(ValueError, match=word):
        _label_values(**(dict(label=None, model=as_model(bright), case=SMALL) | bad))


# Ishigami & Homma 1990
B = 0.1
VARIANCE = 0.5 + 49 / 8 + B * np.pi**4 / 5 + B**2 * np.pi**8 / 18
V1, V2, V13 = 0.5 * (1 + B * np.pi**4 / 5) ** 2, 49 / 8, 8 * B**2 * np.pi**8 / 225
KNOWN = pd.DataFrame(dict(S1=np.array([V1, V2, 0]) / VARIANCE, ST=np.array([V1 + V13, V2, V13]) / VARIANCE))


def ishigami(x):
    return np.sin(x[..., 0]) + 7 * np.sin(x[..., 1]) ** 2 + B * x[..., 2] ** 4 * np.sin(x[..., 0])


def on_cube(u):
    return ishigami(np.pi * (2 * u - 1))


def test_sobol_indices_of_ishigami():
    found = _sobol(on_cube, 3, 4096, seed=0)
    assert np.abs(found[["S1", "ST"]] - KNOWN).max(axis=None) < 0.02


def test_indices_of_a_sum():
    a = np.array([4, 2, 0, 1])
    shares = _sobol(lambda u: u @ a, 4, 1024, seed=0)[["S1", "ST"]]
    assert np.abs(shares.sub(a**2 / (a**2).sum(), axis=0)).max(axis=None) < 0.02
    line = _morris(lambda u: u @ a, 4, 10, seed=0)
    assert np.allclose(line.mu_star, a) and np.allclose(line.sigma, 0) and np.allclose(line.mu, a)


@pytest.mark.parametrize("method", [_sobol, _morris])
def test_indices_of_a_constant_are_zero(method):
    assert (method(lambda u: np.ones(len(u)), 2, 8, seed=0) == 0).all(axis=None)


def writer(i):
    def write(image, value):
        image[0, i] = value
        return image

    return as_transform(write, name=f"x{i + 1}", neutral=0.0)


def model_of(f):
    "A model that finds the share `f` of the truth, of three numbers in the image"

    def model(image):
        mask = np.zeros(image.shape, int)
        mask.flat[: round(mask.size * float(f(image[0, :3])))] = 1
        return mask

    return model


BLANK = Case(torch.zeros(50, 50), torch.ones(50, 50), scale=(-4, 4))
X1, X2, X3 = map(writer, range(3))
CUBE = {t: (-np.pi, np.pi) for t in (X1, X2, X3)}


@model_of
def found_share(x):
    return (ishigami(x) + 11) / 29


def test_indices_through_images_are_those_of_the_function():
    indices = global_sensitivity(found_share, BLANK, CUBE, n=256, metric="recall", progress=False)
    assert indices["transform"].tolist() == ["x1", "x2", "x3"] and indices.attrs["calls"] == 256 * 5
    without_images = _sobol(on_cube, 3, 256, seed=0)
    assert np.abs(indices[["S1", "ST"]] - without_images[["S1", "ST"]]).max(axis=None) < 0.002
    assert np.abs(indices.ST - KNOWN.ST).max() < 0.05
    assert (np.abs(indices.ST - KNOWN.ST) < indices.ST_conf).all()


def test_same_seed_gives_the_same_indices():
    options = dict(n=16, metric="recall", seed=3, progress=False)
    first, second = (global_sensitivity(found_share, BLANK, CUBE, **options) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_elementary_effects_of_one_parameter():
    model = model_of(lambda x: (x[1] + 4) / 8)
    effects = global_sensitivity(model, BLANK, CUBE, method="morris", n=6, metric="recall", progress=False)
    assert effects["transform"][0] == "x2"
    assert np.isclose(effects.mu_star[0], 2 * np.pi / 8, atol=1e-3)
    assert (effects.mu_star[1:] == 0).all()
    assert effects.attrs["calls"] == 6 * 4


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(method="sobel"), "did you mean 'sobol'"),
        (dict(n=100), "n must be a power of two"),
        (dict(n=1, method="morris"), "n must be an integer >= 2"),
        (dict(ranges={X1: (0, 1)}), "two or more"),
        (dict(metric=lambda truth, pred: np.nan), "finite scores"),
        (dict(metric="recal"), "did you mean 'recall'"),
    ],
    ids=["method", "sobol n", "morris n", "one range", "nan", "metric"],
)
def test_bad_arguments_of_global_sensitivity(bad, word):
    good = dict(model=model_of(lambda x: 0.5), case=BLANK, ranges=CUBE, n=8, progress=False)
    with pytest.raises(ValueError, match=word):
        global_sensitivity(**(good | bad))


def dent(x):
    "Recall falls to 0.1 around x1 = 1, x2 = -2, away from corners and centre"
    return 1 - 0.9 * np.exp(-((x[0] - 1) ** 2 + (x[1] + 2) ** 2) / 4)


def slope(x):
    return 0.5 + (x[0] - x[1]) / 8


PLANE = {X1: (-np.pi, np.pi), X2: (-np.pi, np.pi)}


@pytest.mark.parametrize("budget", [2, 3, 17, 200])
@pytest.mark.parametrize("method", ["differential_evolution", "dual_annealing", "direct"])
def test_search_comes_near_the_worst_point_and_keeps_its_budget(method, budget):
    runs = []

    def counted(x):
        runs.append(1)
        return dent(x)

    found = worst_case(model_of(counted), BLANK, PLANE, budget, method, metric="recall", progress=False)
    assert len(runs) == found.calls <= budget
    if budget == 200:
        assert found.score < 0.13
        assert np.allclose([found.values["x1"], found.values["x2"]], [1, -2], atol=0.4)
        assert np.isclose(found.unchanged, 1 - 0.9 * np.exp(-5 / 4), atol=1e-3)
        assert (found.step.pred == 1).float().mean().item() == pytest.approx(found.score)


def test_worst_corner_is_found():
    corner = worst_case(model_of(slope), BLANK, {X1: (0, 1), X2: (0, 2)}, 60, metric="recall", progress=False)
    assert corner.values == {"x1": 0.0, "x2": 2.0}
    assert np.isclose(corner.score, 0.25, atol=1e-3)


def test_search_over_integers_ends_when_all_were_tried():
    border = worst_case(bright, SMALL, {Crop(): (0, 12)}, 100, label=2, progress=False)
    every = evaluate(bright, SMALL, Crop(), range(13), labels={2: "MY"}, absent=1, progress=False).score
    assert border.calls <= 1 + 13
    assert border.score == pytest.approx(every.min(), rel=1e-12)
    assert every[border.values["crop"]] == pytest.approx(every.min(), rel=1e-12)


def test_large_score_of_a_custom_metric_can_be_the_worst():
    def missed(truth, pred):
        return (truth & ~pred).sum()

    ranges = {X1: (0, 1), X2: (0, 2)}
    options = dict(metric=missed, lower_is_better=True, progress=False)
    far = worst_case(model_of(slope), BLANK, ranges, 60, **options)
    assert (far.score, far.metric) == (1875, "missed")
    assert far.values == {"x1": 0.0, "x2": 2.0}


def test_unchanged_image_is_one_of_those_inside_the_ranges():
    rising = model_of(lambda x: 0.5 + abs(x[0]) / 8)
    upright = worst_case(rising, BLANK, {X1: (-1, 1)}, 30, metric="recall", progress=False)
    assert upright.values == {"x1": 0.0}
    assert upright.score == upright.unchanged


def test_same_seed_finds_the_same():
    options = dict(metric="recall", seed=4, progress=False)
    first, second = (worst_case(model_of(dent), BLANK, PLANE, 50, **options) for _ in range(2))
    assert first.values == second.values


def broken(image):
    raise RuntimeError("no more")


@pytest.mark.parametrize("method", ["differential_evolution", "direct"])
@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(method="differential_evolutoin"), "did you mean 'differential_evolution'"),
        (dict(budget=1), "budget must be an integer >= 2, got 1"),
        (dict(ranges={X1: (1, 0)}), "low < high"),
        (dict(ranges={}), "at least one"),
        (dict(model=broken), "no more"),
        (dict(metric=lambda t, p: np.nan), "finite"),
    ],
    ids=["method", "budget", "range", "no range", "model", "nan"],
)
def test_bad_arguments_of_the_search(bad, word, method):
    good = dict(model=model_of(dent), case=BLANK, ranges=PLANE, method=method, progress=False)
    with pytest.raises(ValueError, match=word):
        worst_case(**(good | bad))
