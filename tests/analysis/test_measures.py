"Measures of curves: closed forms, conventions for missing and infinite scores, errors"

import numpy as np
import pytest

from misas.analysis.measures import (
    _arranged,
    bootstrap_curves,
    corruption_error,
    degradation,
    interval_bounds,
    local_slope,
    mean_curve,
    normalised_area,
    tolerance_interval,
    worst_score,
)

nan = np.nan
inf = np.inf
TURNS = np.arange(-30, 31, 10)
TRIANGLE = 1 - abs(TURNS) / 100
FIVE = [1, 0.9, 0.8, 0.7, 0.6, 0.5]
WEIGHTS = np.array([2 / 3, 4 / 9, 8 / 27, 16 / 81, 32 / 243])


# curves


def test_values_without_logarithms_have_a_linear_scale():
    assert _arranged([0, 1], [1, 1], 1, log=True)[0].tolist() == [0, 1]


@pytest.mark.parametrize(
    "curve, message",
    [
        (([1, 2], [1], 1), r"shape of scores must be \(\.\.\., 2\)"),
        (([], [], 1), "values must be a list of at least one finite number"),
        (([1, 1], [1, 1], 1), "values must be numbers that differ from one another"),
        (([1, 2], [1, 1], 0), "values must be values with the neutral one, 0, among them"),
        (([1, nan], [1, 1], 1), "values must be a list of at least one finite number"),
    ],
)
def test_what_is_no_curve_is_an_error(curve, message):
    with pytest.raises(ValueError, match=message):
        _arranged(*curve, log=False)


# tolerance interval


def test_tolerance_of_a_triangle():
    assert np.allclose(tolerance_interval(TURNS, TRIANGLE, 0)[:2], [-5, 5])
    one_sided = np.where(TURNS < 0, 1, 1 - TURNS / 100)
    assert tolerance_interval(TURNS, one_sided, 0) == pytest.approx((-30, 5, True, False))


def test_tolerance_on_a_logarithmic_scale():
    assert tolerance_interval([1, 4], [1, 0.9], 1, log=True) == pytest.approx((1, 2, True, False))


def test_what_comes_back_later_is_not_connected():
    assert tolerance_interval([0, 10, 20, 30], [1, 0.8, 1, 1], 0) == pytest.approx((0, 2.5, True, False))


def test_where_all_scores_are_equal_both_ends_are_cut():
    assert tolerance_interval(TURNS, np.ones(7), 0) == (-30, 30, True, True)


def test_a_missing_score_ends_the_interval():
    found = tolerance_interval([-10, 0, 10, 20], [0.5, 1, 1, nan], 0)
    assert found == pytest.approx((-1, 10, False, True))


def test_tolerance_without_a_neutral_score_or_other_values():
    assert np.isnan(tolerance_interval([0, 1], [nan, 1], 0)[0])
    assert tolerance_interval([0], [1.0], 0) == (0, 0, True, True)


def test_tolerance_of_many_curves_at_once():
    assert tolerance_interval([0, 1], [[1, 0.9], [1, 0.8]], 0)[1].tolist() == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize("delta", [0, -1, nan, inf, "small", True, None])
def test_a_bad_delta_is_an_error(delta):
    with pytest.raises(ValueError, match="delta must be a number > 0"):
        tolerance_interval(TURNS, TURNS, 0, delta)


# degradation


def test_degradation_by_hand():
    hand = (WEIGHTS * [0.1, 0.2, 0.3, 0.4, 0.5]).sum() / WEIGHTS.sum()
    assert hand == pytest.approx((0.1 * 162 + 0.2 * 108 + 0.3 * 72 + 0.4 * 48 + 0.5 * 32) / 422)
    assert degradation(range(6), FIVE, 0) == pytest.approx(hand)
    assert degradation(range(6), FIVE, 0, levels=None) == pytest.approx(hand)
    assert degradation(2.0 ** np.arange(6), FIVE, 1, log=True) == pytest.approx(hand)
    # two sides, one of them unharmed
    assert degradation(range(-5, 6), FIVE[:0:-1] + [1] + [1] * 5, 0) == pytest.approx(hand / 2)
    # however fine the sweep
    fine = np.linspace(0, 5, 51)
    assert degradation(fine, np.interp(fine, range(6), FIVE), 0) == pytest.approx(hand)


def test_degradation_without_other_values_is_unknown():
    assert np.isnan(degradation([0], [1.0], 0))


def test_a_severity_without_a_score_is_left_out():
    holes = degradation(range(6), [1, 0.9, nan, 0.7, 0.6, 0.5], 0)
    assert holes == pytest.approx((WEIGHTS * [0.1, 0, 0.3, 0.4, 0.5]).sum() / (WEIGHTS.sum() - 4 / 9))


# area, slope, worst score


def test_area():
    assert normalised_area(TURNS, TRIANGLE, 0) == pytest.approx(0.85)
    assert normalised_area(TURNS, TRIANGLE / 2, 0) == pytest.approx(0.85)
    assert normalised_area([1, 2, 4], [1, 1, 0], 1, log=True) == pytest.approx(0.75)
    assert np.isnan(normalised_area([0, 1], [0, 1], 0))
    assert normalised_area([0, 10, 20, 30], [1, 0.8, nan, 0.2], 0) == pytest.approx(0.9)


def test_slope():
    assert local_slope(TURNS, TRIANGLE, 0) == pytest.approx(-0.01)
    assert local_slope([0.5, 1, 2], [0.9, 1, 0.7], 1, log=True) == pytest.approx(-0.3)
    assert local_slope(TURNS, np.ones(7), 0) == 0
    assert local_slope([0, 1, 2], [1, 1.5, 0], 0) == pytest.approx(0.5)
    assert np.isnan(local_slope([0], [1.0], 0))


def test_worst_score():
    assert worst_score(TURNS, TRIANGLE, 0) in ((0.7, 30), (0.7, -30))
    assert worst_score([0, 60, 120, 180], [1, 0, 0, 0], 0) == (0, 60)
    assert worst_score(list("abc"), [0.5, 0.2, nan]) == (0.2, "b")
    assert worst_score([1], [nan])[1] is None


# infinite distances


def test_a_structure_that_is_missing_from_some_value_on():
    lost = -np.array([inf, 4, 3, 2, 3, 4, inf])
    assert tolerance_interval(TURNS, lost, 0, delta=1.5) == pytest.approx((-15, 15, False, False))
    assert tolerance_interval(TURNS, lost, 0, delta=9) == (-20, 20, False, False)
    assert degradation(TURNS, lost, 0) == inf
    assert normalised_area(TURNS, lost, 0) == inf
    assert local_slope(TURNS, lost, 0) == pytest.approx(-0.1)
    assert worst_score(TURNS, lost, 0)[0] == -inf
    assert degradation([0, 1, 2], [-1, -inf, -inf], 0) == inf
    assert degradation([0, 1], [-1, -2], 0, levels=None) == pytest.approx(1)


def test_nothing_is_relative_to_an_infinite_neutral_score():
    nothing = -np.array([4, 3, inf, 3, inf])
    assert np.isnan(tolerance_interval(range(-2, 3), nothing, 0)[0])
    for measure in (degradation, normalised_area, local_slope):
        assert np.isnan(measure(range(-2, 3), nothing, 0)), measure


# corruption error


def test_corruption_error():
    assert corruption_error([0.1, 0.2, 0.3], [0.2, 0.4, 0.6]) == pytest.approx(0.5)
    assert corruption_error([0.1, nan, 0.3], [0.2, 0.4, 0.6]) == pytest.approx(0.5)
    assert np.isnan(corruption_error([inf], [inf]))
    assert corruption_error([inf], [1]) == inf
    assert corruption_error([1], [inf]) == 0
    assert np.isnan(corruption_error([0.1], [0]))
    assert np.isnan(corruption_error([], []))
    assert corruption_error([0, 0], [0.1, 0.1]) == 0
    with pytest.raises(ValueError, match="shape of reference must be that of errors"):
        corruption_error([0.1], [0.1, 0.2])


# several cases


@pytest.fixture
def matrix():
    return np.random.default_rng(1).normal([0.9, 0.8, 0.5], [0.02, 0.05, 0.2], (40, 3))


def test_bounds_of_a_mean_are_those_of_scipy(matrix):
    stats = pytest.importorskip("scipy.stats")
    own = [interval_bounds(curve, 0.95) for curve in bootstrap_curves(matrix, 9999).T]
    theirs = [
        stats.bootstrap((column,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
        for column in matrix.T
    ]
    assert np.allclose(own, theirs, atol=0.003)


def test_the_same_seed_draws_the_same_cases(matrix):
    assert np.array_equal(bootstrap_curves(matrix), bootstrap_curves(matrix))
    assert not np.array_equal(bootstrap_curves(matrix), bootstrap_curves(matrix, seed=1))


def test_plain_means(matrix):
    assert np.allclose(mean_curve(matrix), matrix.mean(0))
    assert mean_curve([[1, nan, inf], [0, 1, 1]]).tolist() == [0.5, 1, inf]
    assert np.isnan(mean_curve([[nan]])).all()


def test_a_loss_is_that_of_the_cases_that_were_tried():
    apart = np.array([[0.95, nan, 0.95, 0.95, 0.95], [0.55, 0.55, nan, nan, nan]])
    assert np.allclose(mean_curve(apart, neutral=0), 0.75)
    sampled = bootstrap_curves(apart, 50, neutral=0)
    assert np.allclose(sampled.std(1, where=~np.isnan(sampled)), 0)
    assert np.allclose(mean_curve([[0.95, nan, 0.75], [0.55, 0.55, nan]], neutral=0), [0.75, 0.75, 0.55])
    assert degradation(range(5), mean_curve(apart, neutral=0), 0) == pytest.approx(0)
    assert tolerance_interval(range(5), mean_curve(apart, neutral=0), 0)[1] == 4


def test_additive_cases_with_holes_have_the_mean_level_and_the_true_change():
    rng = np.random.default_rng(3)
    levels = rng.uniform(0.6, 0.8, (30, 1))
    change = np.array([-0.2, -0.1, 0, 0.05, -0.3])
    # holes anywhere but at the neutral value
    holes = np.where((rng.random((30, 5)) < 0.6) & (np.arange(5) != 2), nan, levels + change)
    assert np.allclose(mean_curve(holes, neutral=2), levels.mean() + change)
    assert not np.allclose(mean_curve(holes), levels.mean() + change)


def test_without_holes_it_is_the_plain_mean_to_the_last_bit(matrix):
    rng = np.random.default_rng(4)
    with_infinities = np.where(rng.random((9, 6)) < 0.1, -inf, -rng.random((9, 6)) * 9)
    for full in (matrix, rng.random((7, 12)), with_infinities):
        assert np.array_equal(mean_curve(full, neutral=1), mean_curve(full))
        assert np.array_equal(bootstrap_curves(full, 200, neutral=1), bootstrap_curves(full, 200))


@pytest.mark.parametrize(
    "curves, expected",
    [
        ([[0.95, 0], [0.05, nan]], [0.5, 0]),
        ([[0.9, nan], [0.3, 0.9]], [0.6, 1]),
        ([[-9, -1], [-1, nan]], [-5, 0]),
        ([[-0.5, -1], [0.5, nan]], [0, -0.5]),
        ([[0.9, 0.8], [nan, 0]], [0.9, 0.8]),
        ([[-2, -inf], [-4, nan]], [-3, -inf]),  # lost where it was tried
        ([[-inf, -inf, -2], [-4, -5, nan]], [-inf, -inf, -2]),  # lost from the start, found at the last value
        ([[-inf, nan], [-4, -5]], [-inf, -inf]),
    ],
)
def test_means_outside_the_range_without_neutral_score_and_infinite(curves, expected):
    assert mean_curve(curves, neutral=0).tolist() == pytest.approx(expected)


def test_a_value_that_no_case_with_a_neutral_score_has_is_unknown():
    assert np.isnan(mean_curve([[0.9, nan], [nan, 0.5]], neutral=0)[1])
