"Ultrasound: statistics of speckle, geometry of beams, decibels"

import numpy as np
import pytest
import torch
from scipy import stats

from misas.core.cases import Case
from misas.transforms.ultrasound import AcousticShadow, DepthGain, UltrasoundSpeckle, beam_coordinates

EVEN = Case(torch.full((1, 256, 256), 100.0), scale=(0, 1e6))  # an envelope


def white(**options):
    return UltrasoundSpeckle(size=(0, 0), dynamic_range=None, **options)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8, 1])
def test_envelopes_are_rician_and_keep_their_power(share):
    envelope = white()(EVEN, share).image.flatten().double().numpy() / 100
    scale = np.sqrt(share / 2)
    rice = stats.rice(np.sqrt(1 - share) / scale, scale=scale)
    assert stats.kstest(envelope, rice.cdf).pvalue > 0.01
    assert abs(envelope.mean() - rice.mean()) < 5 * rice.std() / 256
    assert abs((envelope**2).mean() - 1) < 0.02


def test_fully_developed_speckle_in_decibels():
    compressed = Case(torch.full((1, 256, 256), 0.0), scale=(-1000, 1000))
    changed = UltrasoundSpeckle(size=(0, 0), dynamic_range=2000)(compressed, 1).image.double()
    # 10 log10 of an exponential number: mean -10 gamma / ln 10, standard deviation 10 pi / sqrt(6) / ln 10
    assert abs(changed.mean() + 10 * np.euler_gamma / np.log(10)) < 0.1
    assert abs(changed.std() - 10 * np.pi / np.sqrt(6) / np.log(10)) < 0.1


@pytest.mark.parametrize("axis", [-2, -1])
def test_size_is_the_width_of_the_autocovariance_of_the_intensity(axis):
    speckle = UltrasoundSpeckle(axis=axis, dynamic_range=None, size=(6, 12))
    intensity = speckle(EVEN, 1).image[0].double().numpy() ** 2
    intensity -= intensity.mean()
    covariance = np.fft.ifft2(abs(np.fft.fft2(intensity)) ** 2).real
    along, across = (covariance[:, 0], covariance[0]) if axis == -2 else (covariance[0], covariance[:, 0])
    # at half of the width, the covariance is half of its maximum
    assert abs(along[3] / along[0] - 0.5) < 0.08 and abs(across[6] / across[0] - 0.5) < 0.08


def test_speckles_of_planes():
    volume = Case(torch.full((1, 8, 64, 64), 100.0), scale=(0, 1e6))
    apart = UltrasoundSpeckle(dynamic_range=None)(volume, 1).image[0].flatten(1).numpy()
    together = UltrasoundSpeckle(dynamic_range=None, size=(8, 2, 4))(volume, 1).image[0].flatten(1).numpy()
    assert abs(np.corrcoef(apart)[0, 1]) < 0.2 and np.corrcoef(together)[0, 1] > 0.7


def test_one_pattern_at_each_value():
    weak, strong = (white()(EVEN, share).image.flatten().numpy() for share in (0.05, 0.5))
    assert stats.spearmanr(weak, strong).statistic > 0.8
    steps = [white()(EVEN, share).image for share in np.linspace(0.2, 0.3, 11)]
    assert max((b - a).abs().max() for a, b in zip(steps, steps[1:])) < 10
    assert not torch.equal(white(seed=1)(EVEN, 0.5).image, white()(EVEN, 0.5).image)


@pytest.mark.parametrize("transform, value", [(UltrasoundSpeckle(), 0.5), (AcousticShadow(), 12), (DepthGain(), 9)])
def test_the_same_in_other_greys(transform, value):
    unit = Case(torch.rand(2, 40, 50) * 0.8 + 0.1, scale=(0, 1))
    other = unit.replace(image=unit.image * 255 - 7, scale=(-7.0, 248.0))
    assert torch.allclose(transform(unit, value).image * 255 - 7, transform(other, value).image, atol=1e-3)


def test_decibels_of_an_envelope_are_factors():
    envelope = Case(torch.full((1, 11, 4), 3.0), scale=(0, 100))
    assert torch.allclose(
        DepthGain(dynamic_range=None)(envelope, 20).image[0, [0, 5, 10], 0], torch.tensor([3, 3 * 10**0.5, 30])
    )


def test_what_surrounds_a_sector_stays_black_and_black_spots_do_not():
    image = torch.full((1, 21, 21), 0.4)
    image[0, :, :3] = 0
    image[0, 15, 10] = 0
    changed = DepthGain()(Case(image, scale=(0, 1)), 30).image[0]
    assert not changed[:, :3].any() and abs(changed[15, 10] - 0.75 * 0.5) < 1e-6


def test_beams_of_a_linear_probe():
    case = Case(torch.zeros(1, 5, 4), spacing=(2, 3))
    depth, beam = beam_coordinates(case, -2, 0)
    assert depth.flatten().tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert beam.flatten().tolist() == [0.125, 0.375, 0.625, 0.875]


def test_beams_of_a_sector():
    case = Case(torch.zeros(1, 101, 101), spacing=(1, 1))
    depth, beam = beam_coordinates(case, -2, 90)
    assert abs(depth[60, 50] - 0.6) < 1e-6 and abs(beam[60, 50] - 0.5) < 1e-6
    assert torch.allclose(beam[[40, 40], [90, 10]], torch.tensor([1.0, 0.0]), atol=1e-6)  # 45 degrees aside
    assert abs(depth[30, 90] - 0.5) < 1e-6  # 3, 4, 5


def test_a_shadow_lies_behind_its_obstacle():
    case = Case(torch.full((1, 100, 100), 0.9), scale=(0, 1))
    shadow = AcousticShadow(position=0.25, width=0.2, depth=0.5)(case, 24).image[0]
    lost = (0.9 - shadow) * 60
    assert abs(lost[60:, 22:28] - 24).max() < 1e-4
    assert lost[:50].abs().max() < 1e-5 and lost[:, 45:].abs().max() < 1e-5
    across = (lost[80] > 12).sum()
    assert across == 20  # half of it is reached at the flanks
    assert (lost[80, 14:26].diff() >= 0).all()


def test_a_shadow_along_another_axis_is_the_transposed_one():
    image = torch.rand(1, 60, 60) * 0.5 + 0.4
    down = AcousticShadow(sector=50)(Case(image, scale=(0, 1)), 20).image
    aside = AcousticShadow(axis=-1, sector=50)(Case(image.transpose(1, 2), scale=(0, 1)), 20).image
    assert torch.allclose(down, aside.transpose(1, 2), atol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: UltrasoundSpeckle(size=(1, 2, 3, 4)), "size must be two or three numbers"),
        (lambda: UltrasoundSpeckle(size=(1, -2)), "size must be two or three numbers"),
        (lambda: UltrasoundSpeckle(seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda: UltrasoundSpeckle(dynamic_range=0), "dynamic_range must be a number > 0"),
        (lambda: DepthGain(axis=5), "axis must be"),
        (lambda: AcousticShadow(width=0), "width must be a number > 0"),
        (lambda: AcousticShadow(sector=200), "sector must be a number >= 0 and <= 180"),
        (lambda: AcousticShadow()(EVEN, -3), "attenuation of acoustic-shadow must be a number >= 0, got -3"),
        (lambda: DepthGain(axis=-3)(EVEN, 3), "axis must be a spatial axis from -2 to 1, got -3"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
