"Artefacts in MR images, against torchio, scipy and Rice's distribution"

import math

import numpy as np
import pytest
import torch
import torchio
from scipy.ndimage import gaussian_filter
from scipy.special import ive

from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.transforms.mri import (
    BiasField,
    Blur,
    Gamma,
    Noise,
    RicianNoise,
    Swap,
    _sum_of_monomials,
    _through_torchio,
    normal_pattern,
)

HEART = phantom((128, 128), seed=3)
VOLUME = phantom((6, 64, 48), seed=1)


# Bias field


@pytest.mark.parametrize("shape", [(1, 9, 12), (6, 9, 7), (1, 16, 16)], ids=str)
@pytest.mark.parametrize("order", range(5))
def test_bias_field_is_torchios(shape, order):
    terms = sum(1 for p in np.ndindex(*(order + 1,) * 3) if sum(p) <= order)
    theirs = torchio.BiasField.generate_bias_field(torch.zeros(1, *shape), order, [0.3] * terms)
    assert np.allclose((0.3 * _sum_of_monomials(shape, order)).exp(), theirs, rtol=1e-4)


def test_monomials_up_to_an_order():
    x, y = torch.linspace(-1, 1, 5)[:, None], torch.linspace(-1, 1, 4)[None]
    assert torch.allclose(_sum_of_monomials((5, 4), 2), 1 + x + y + x * y + x**2 + y**2, atol=1e-6)
    assert torch.allclose(_sum_of_monomials((1, 5, 4), 3), _sum_of_monomials((5, 4), 3))  # one slice is a picture


def test_bias_field_brightens_and_darkens_and_honours_the_order():
    bright = BiasField()(HEART, 0.2).image
    dark = BiasField()(HEART, -0.2).image
    assert bright.mean() > HEART.image.mean() > dark.mean()
    assert not torch.equal(BiasField(order=2)(HEART, 0.2).image, bright)
    assert str(BiasField(order=2)) == "biasfield(order=2)"


@pytest.mark.parametrize("order", [-1, 1.5])
def test_order_of_bias_field(order):
    with pytest.raises(ValueError, match=f"order must be an integer >= 0, got {order}"):
        BiasField(order=order)


# torchio


@pytest.mark.parametrize("case", [HEART, VOLUME], ids=["picture", "volume"])
def test_torchio_takes_no_random_number_of_the_users(case):
    state = torch.get_rng_state()
    flipped = _through_torchio(case.image, case.spacing, torchio.Flip(2))
    assert torch.equal(flipped, case.image.flip(-1))
    assert torch.equal(state, torch.get_rng_state())


# Blur


@pytest.mark.parametrize(
    "shape,spacing",
    [
        ((1, 9, 12), (1, 1)),
        ((3, 20, 17), (0.7, 2.0)),
        ((2, 6, 16, 15), (8, 1.5, 1)),
        ((1, 1, 9, 7), (5, 1, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("std", [0.5, 3])
def test_blur_is_scipys_in_mm(shape, spacing, std):
    case = Case(torch.randn(shape) * 100, spacing=spacing)
    expected = [gaussian_filter(c.numpy(), std / np.array(spacing)) for c in case.image]
    assert np.allclose(Blur()(case, std).image, np.stack(expected), rtol=1e-5, atol=1e-3)


def test_blur_spreads_a_point_as_far_along_either_axis():
    image = torch.zeros(1, 65, 65)
    image[0, 32, 32] = 1
    point = Case(image, spacing=(2, 0.5))
    spread = Blur()(point, 3).image[0]
    distance = torch.arange(65.0) - 32
    for axis, mm in enumerate(point.spacing):
        std = (spread.sum(1 - axis) * (mm * distance) ** 2).sum().sqrt()
        assert abs(std - 3) < 0.05


def test_blur_is_not_negative():
    with pytest.raises(ValueError, match="std of blur must be a number >= 0, got -1"):
        Blur()(HEART, -1)


# Noise


def test_pattern_of_a_seed():
    colours = torch.rand(3, 30, 40)
    assert normal_pattern(colours, 1).shape == (1, 3, 30, 40)
    assert normal_pattern(HEART.image.expand(3, -1, -1), 1, 2).shape == (2, 1, 128, 128)
    assert torch.equal(normal_pattern(colours, 1), normal_pattern(colours * 2, 1))
    assert not torch.equal(normal_pattern(colours, 1), normal_pattern(colours, 2))


@pytest.mark.parametrize(
    "case",
    [
        HEART,
        VOLUME,
        Case(np.full((90, 80), 128, np.uint8)),
        Case(torch.rand(3, 60, 70) * 4000 - 1000, scale=(-1000, 3000)),
    ],
    ids=["heart", "volume", "8 bit", "three channels"],
)
def test_noise_has_its_standard_deviation_and_one_pattern(case):
    span = case.scale[1] - case.scale[0]
    added = [(Noise()(case, v).image - case.image) / (v * span) for v in (0.1, 0.3)]
    assert torch.allclose(*added, atol=1e-4)
    assert abs(added[0].std() - 1) < 0.02 and abs(added[0].mean()) < 0.02
    assert not torch.allclose(Noise(seed=1)(case, 0.1).image, Noise()(case, 0.1).image, atol=0.01)


def test_noise_keeps_grey_grey_and_colours_apart():
    grey = Case(HEART.image.expand(3, -1, -1))
    assert torch.equal(Noise()(grey, 0.1).image, Noise()(HEART, 0.1).image.expand(3, -1, -1))
    colours = Case(torch.rand(2, 40, 40))
    added = (Noise()(colours, 0.1).image - colours.image).flatten(1)
    assert abs(np.corrcoef(added)[0, 1]) < 0.1


def test_seed_of_noise():
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        Noise(seed=-1)


def rice(signal, std):
    "Mean and standard deviation of Rice's distribution"
    h = (signal / std) ** 2 / 4
    mean = std * math.sqrt(math.pi / 2) * ((1 + 2 * h) * ive(0, h) + 2 * h * ive(1, h))
    return mean, math.sqrt(signal**2 + 2 * std**2 - mean**2)


@pytest.mark.parametrize("signal", [0, 2, 10, 60, 200])
@pytest.mark.parametrize("black", [0, -1024])
@pytest.mark.parametrize("std", [0.02, 0.25])
def test_rician_noise_follows_rices_distribution(signal, black, std):
    flat = Case(torch.full((1, 250, 240), float(black + signal)), scale=(black, black + 200))
    seen = RicianNoise()(flat, std).image - black
    mean, spread = rice(signal, 200 * std)
    assert abs(seen.mean() - mean) < 0.01 * mean
    assert abs(seen.std() - spread) < 0.015 * spread


def test_rician_noise_in_its_two_limits():
    none, much = (
        RicianNoise()(Case(torch.full((1, 250, 240), signal), scale=(0, 1)), 0.1).image.mean() for signal in (0.0, 1.0)
    )
    assert abs(none / (0.1 * math.sqrt(math.pi / 2)) - 1) < 0.01
    assert abs((much - 1) / (0.1**2 / 2) - 1) < 0.2


def test_rician_noise_is_a_kind_of_noise():
    assert RicianNoise().values == Noise.values and str(RicianNoise(seed=2)) == "rician-noise(seed=2)"


# Gamma


@pytest.mark.parametrize("gamma", [0.3, 0.5, 2, 3])
def test_gamma_is_a_power_and_torchios(gamma):
    ramp = Case(torch.linspace(-1000, 3000, 35).reshape(1, 5, 7), scale=(-1000, 3000))
    expected = (ramp.image / 4000 + 0.25) ** gamma * 4000 - 1000
    assert torch.allclose(Gamma()(ramp, gamma).image, expected, atol=0.01)
    theirs = torchio.Gamma(gamma)(HEART.image[:, None])[:, 0]
    assert torch.allclose(Gamma()(HEART, gamma).image, theirs, atol=1e-6)
    signed = Case(torch.randn(2, 4, 9, 5), scale=(0, 1))
    assert torch.allclose(Gamma()(signed, gamma).image, torchio.Gamma(gamma)(signed.image), atol=1e-5)


def test_gamma_keeps_black_and_white():
    ramp = Case(torch.linspace(-1000, 3000, 35).reshape(1, 5, 7), scale=(-1000, 3000))
    assert Gamma()(ramp, 2).image.flatten()[[0, -1]].tolist() == [-1000, 3000] and 1 in Gamma.values
    constant = torch.full((1, 4, 4), -5.0)
    assert torch.equal(Gamma()(Case(constant), 2).image, constant)
    with pytest.raises(ValueError, match="gamma of gamma must be a number > 0, got 0"):
        Gamma()(ramp, 0)


# Swap


@pytest.mark.parametrize("shape", [(2, 16, 24), (1, 9, 11), (1, 6, 17, 8), (3, 1, 9), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("swaps", [1, 7])
def test_swaps_permute_the_pixels_of_each_channel(shape, swaps):
    case = Case(torch.rand(shape))
    swapped = Swap()(case, swaps).image
    assert torch.equal(swapped.flatten(1).sort()[0], case.image.flatten(1).sort()[0])
    for before, after in zip(case.image, swapped):
        assert set(before.flatten().tolist()) == set(after.flatten().tolist())


def test_one_swap_is_two_patches():
    one = (Swap()(HEART, 1).image != HEART.image)[0]
    assert one.sum() <= 2 * 16**2  # of 16 x 16 pixels
    assert one.any(1).sum() in (16, 32) and one.any(0).sum() in (16, 32)


def test_more_swaps_continue_where_fewer_ended():
    two = Swap()(HEART, 2).image
    three = Swap()(HEART, 3).image
    assert (three != two).sum() <= 2 * 16**2
    assert not torch.equal(Swap(seed=1)(HEART, 3).image, three)


@pytest.mark.parametrize("bad", [dict(size=0), dict(size=0.7), dict(seed=1.5)], ids=str)
def test_arguments_of_swap(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        Swap(**bad)


def test_swaps_are_integers():
    with pytest.raises(ValueError, match="swaps of swap must be an integer >= 0 and <= 10000, got 1.5"):
        Swap()(HEART, 1.5)
