"The search for the most likely power, against scipy's"

import warnings

import numpy as np
import pytest
from scipy import stats

from misas.analysis.normality import shapiro_of, shapiro_p, yeo_johnson_power

KINDS = {
    "normal": lambda z: z,
    "positive": abs,
    "negative": lambda z: -abs(z),
    "dice": lambda z: 1 - abs(z) * 0.05,
    "many at 1": lambda z: np.where(z < 1, 1, 1 - z / 10),
    "ties": lambda z: np.round(z),
    "two numbers": lambda z: np.where(z < z.mean(), 0.2, 0.7),
    "skewed": lambda z: np.exp(3 * z),
    "skewed to the left": lambda z: -np.exp(3 * z),
    "far from 0": lambda z: 1e6 + z,
    "tiny": lambda z: 1e-8 * z,
    "tiny spread": lambda z: 0.5 + 1e-13 * z,
    "huge": lambda z: 1e12 * z,
    "huge and positive": lambda z: 1e200 * abs(z),
    "huge and negative": lambda z: -1e200 * abs(z),
    "one far out": lambda z: np.where(z == z.max(), 1e9, z),
    "constant": lambda z: np.full_like(z, 0.8),
    "constant, negative": lambda z: np.full_like(z, -3),
    "0 but for one": lambda z: np.where(z == z.max(), 1.0, 0),
    "all 0": np.zeros_like,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [3, 4, 41, 400])
def test_the_power_is_that_of_scipy(kind, n):
    for seed in range(3):
        scores = KINDS[kind](np.random.default_rng(seed).normal(size=n))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            power = stats.yeojohnson_normmax(scores)
        assert yeo_johnson_power(scores) == pytest.approx(power, rel=1e-6, abs=1e-6)


def test_the_power_by_hand():
    # for three scores that lie evenly, no power is more likely than one that leaves them even
    assert yeo_johnson_power(np.array([-1.0, 0, 1])) == pytest.approx(1, abs=1e-6)
    even = np.linspace(-2, 2, 9)
    assert yeo_johnson_power(np.expm1(even[even >= 0])) == pytest.approx(
        2 - yeo_johnson_power(-np.expm1(even[even >= 0])), abs=1e-6
    )
    assert yeo_johnson_power(np.array([1, 2, 4])) == yeo_johnson_power(np.array([1.0, 2, 4]))


@pytest.mark.parametrize("kind", ["normal", "dice", "ties", "many at 1", "skewed", "two numbers", "one far out"])
def test_shapiro_of_transformed_scores_is_that_of_scipy(kind):
    scores = KINDS[kind](np.random.default_rng(7).normal(size=50))
    bent, power = stats.yeojohnson(scores)
    found = shapiro_of(scores)
    assert found["shapiro_p"] == stats.shapiro(scores).pvalue
    assert found["yeo_johnson_lambda"] == pytest.approx(power, rel=1e-6)
    assert found["shapiro_p_transformed"] == pytest.approx(stats.shapiro(bent).pvalue, rel=1e-4)


@pytest.mark.parametrize("size", [1e200, 1e-310])
def test_no_power_is_one_that_cannot_be_computed_with(size):
    scores = size * np.array([-1, 0.5, 1, 2])
    with pytest.raises(ValueError), np.errstate(over="ignore"):
        stats.yeojohnson_normmax(scores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(yeo_johnson_power(scores))
        found = shapiro_of(scores)
    assert found["shapiro_p"] == pytest.approx(shapiro_p(scores), nan_ok=True)
    assert np.isnan(found["yeo_johnson_lambda"]) and np.isnan(found["shapiro_p_transformed"])
