"One mask of several: votes and STAPLE, their formulas, conventions and errors"

import numpy as np
import pytest
import torch

from misas.data.phantoms import phantom
from misas.metrics.fusion import _as_masks, _staple_label, majority, staple

# three raters: A draws a square of 2 by 2, B forgets a pixel of it, C adds one
A = np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
B = np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
C = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])


def in_3d(mask, n):
    return np.stack([mask] * n)


def test_masks_go_by_the_names_of_their_raters():
    assert list(_as_masks([A, B])) == ["0", "1"]
    assert list(_as_masks(dict(Ann=A))) == ["Ann"]
    assert _as_masks([A])["0"].dtype == torch.int32


@pytest.mark.parametrize(
    "bad, message",
    [
        ([], "masks must be at least one mask"),
        (dict(Ann=A, Bob=A.T), r"shape of mask 'Bob' must be that of 'Ann', \(2, 4\), got \(4, 2\)"),
        ([A[0]], r"shape of mask '0' must be \(H, W\) or \(D, H, W\), got \(4,\)"),
        ([A * 0.5], "mask '0'.*integers"),
        ([-A], "mask '0'"),
    ],
)
def test_bad_masks_are_errors(bad, message):
    with pytest.raises(ValueError, match=message):
        _as_masks(bad)


def test_a_single_array_is_no_list_of_masks():
    with pytest.raises(TypeError, match="masks must be a list of masks .*, got a ndarray"):
        _as_masks(A)


def test_votes():
    assert np.array_equal(majority([A, B, C]), A)
    assert majority([A, B], undecided=9).tolist() == [[1, 1, 0, 0], [1, 9, 0, 0]]
    assert np.array_equal(majority([A, B]), B)
    assert majority([A * 1, A * 2, A * 3]).sum() == 0
    assert np.array_equal(majority([A * 300]), A * 300)
    assert np.array_equal(majority([in_3d(m, 3) for m in (A, B, C)]), in_3d(A, 3))


@pytest.mark.parametrize("bad", [-1, True, 2**31, 0.5])
def test_a_bad_label_of_undecided_pixels_is_an_error(bad):
    with pytest.raises(ValueError, match="undecided must be an integer >= 0"):
        majority([A], bad)


@pytest.fixture(scope="module")
def raters():
    "What four raters of known reliability draw of a square, `(4, *S)`"
    rng = np.random.default_rng(0)
    square = np.pad(np.ones((40, 40), bool), 40)
    p = np.array([0.95, 0.9, 0.8, 0.7])
    q = np.array([0.99, 0.9, 0.95, 0.85])
    drawn = [np.where(square, rng.random(square.shape) < a, rng.random(square.shape) > b) for a, b in zip(p, q)]
    return square, np.stack(drawn), p, q


def e_step(drawn, p, q):
    "The probability of each pixel, by the formula in the notebook"
    gamma = drawn.mean()
    p, q = (np.clip(x, 0, 1)[:, None, None] for x in (p, q))
    inside = gamma * np.where(drawn, p, 1 - p).prod(0)
    outside = (1 - gamma) * np.where(drawn, 1 - q, q).prod(0)
    return inside / (inside + outside)


def test_staple_by_hand():
    probability, sensitivity, specificity = _staple_label(np.stack([A, B, C]) > 0, 100)
    assert np.allclose(probability, A, atol=1e-6)
    assert np.allclose(sensitivity, [1, 0.75, 1], atol=1e-6)
    assert np.allclose(specificity, [1, 1, 0.75], atol=1e-6)


def test_staple_finds_the_reliability_of_raters_and_both_formulas_hold(raters):
    square, drawn, p, q = raters
    weights, p_found, q_found = _staple_label(drawn, 1000)
    assert np.abs(p_found - p).max() < 0.04
    assert np.abs(q_found - q).max() < 0.01
    assert np.abs(weights - e_step(drawn, p_found, q_found)).max() < 1e-4
    assert np.allclose(p_found, (weights * drawn).sum((1, 2)) / weights.sum(), atol=1e-4)
    assert np.allclose(q_found, ((1 - weights) * ~drawn).sum((1, 2)) / (1 - weights).sum(), atol=1e-4)
    wrong, wrong_votes = (((m > 0.5) != square).sum() for m in (weights, drawn.mean(0)))
    assert wrong < wrong_votes


def test_of_two_labels_the_numbers_are_those_of_simpleitk(raters):
    sitk = pytest.importorskip("SimpleITK")
    own = sitk.STAPLEImageFilter()
    _, drawn, _, _ = raters
    direct = sitk.GetArrayFromImage(own.Execute([sitk.GetImageFromArray(m.astype(np.uint8)) for m in drawn]))
    result = staple(list(drawn))
    inside = result.raters[result.raters.label == "1"]
    assert np.allclose(result.probabilities[1], direct)
    assert np.array_equal(result.mask, direct > 0.5)
    assert torch.allclose(result.probabilities.sum(0), torch.ones(()), atol=1e-4)
    assert np.allclose(inside.sensitivity, own.GetSensitivity())
    assert np.allclose(inside.specificity, own.GetSpecificity())


def noisy(truth, wrong, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(truth.shape) < wrong, rng.integers(0, 4, truth.shape), truth)


def test_with_several_labels_it_agrees_with_simpleitk_and_trusts_those_less_who_err_more():
    sitk = pytest.importorskip("SimpleITK")
    truth = phantom((64, 64), seed=1, spacing=3).truth.numpy()
    drawn = [noisy(truth, wrong, seed) for seed, wrong in enumerate((0.02, 0.05, 0.1, 0.2, 0.3))]
    several = staple(drawn, ["bg", "LV", "MY", "RV"])
    theirs = sitk.GetArrayFromImage(sitk.MultiLabelSTAPLE([sitk.GetImageFromArray(d.astype(np.uint8)) for d in drawn]))
    assert (several.mask.numpy() == theirs).mean() > 0.99
    assert (several.mask.numpy() == truth).mean() > 0.97
    assert (several.raters.groupby("rater").sensitivity.mean().diff().dropna()[:3] < 0).all()


def test_labels_and_dtype_of_a_consensus():
    agreed = staple(dict(Ann=A, Bob=B, Cid=C), ["bg", "heart"])
    assert np.array_equal(agreed.mask, A)
    assert agreed.labels == (0, 1)
    assert agreed.mask.dtype == torch.int32
    assert staple([A * 7, B * 7, C * 300]).labels == (0, 7, 300)
    assert staple([A + 1, A + 1], {2: "two"}).mask.unique().tolist() == [0, 2]


def test_one_rater_is_right_by_definition():
    alone = staple([A])
    assert np.array_equal(alone.mask, A)
    assert (alone.raters[["sensitivity", "specificity"]] == 1).all(axis=None)


def test_what_nobody_drew_and_what_all_drew_everywhere_has_no_estimate():
    nobody = staple([A * 0, A * 0], {1: "heart"})
    heart = nobody.raters.query("label == 'heart'")
    assert nobody.mask.sum() == 0
    assert heart.sensitivity.isna().all()
    assert (heart.specificity == 1).all()
    everybody = staple([A * 0 + 1] * 2)
    assert (everybody.mask == 1).all()
    assert everybody.raters.query("label == '1'").specificity.isna().all()


def test_volumes():
    volume = staple([in_3d(m, 2) for m in (A, B, C)])
    flat = staple([A, B, C])
    assert np.array_equal(volume.mask, [A, A])
    assert np.allclose(volume.raters.sensitivity, flat.raters.sensitivity, atol=1e-3)


@pytest.mark.parametrize("bad", [0, True, 1.5, None])
def test_a_bad_number_of_iterations_is_an_error(bad):
    with pytest.raises(ValueError, match="max_iterations must be an integer >= 1"):
        staple([A], max_iterations=bad)
