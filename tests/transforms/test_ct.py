"Artefacts of CT in the image: warnings, spectra, doses, windows"

import warnings

import numpy as np
import pytest
import torch
from chest import chest

from misas.core.cases import Case
from misas.core.sweeps import get_series
from misas.core.transform import as_transform
from misas.data.loading import load_case
from misas.transforms.basic import Compose
from misas.transforms.ct import CalibrationShift, Dose, QuantumNoise, WindowLevel, WindowWidth, expect_hu
from misas.transforms.projections import MetalStreaks, Rings, SparseView

BODY = chest()
WATER = Case(torch.zeros(1, 200, 220), scale=(-1000, 1000))
PAIR = BODY.replace(
    image=torch.stack([BODY.image, BODY.image.flip(-1)], 1),
    truth=torch.stack([BODY.truth, BODY.truth.flip(-1)]),
    spacing=(5, 3, 3),
)  # a volume of two slices
PHOTO = Case(torch.rand(1, 20, 20), name="photo")  # not in HU
NARROW = load_case(BODY.image[0].numpy(), BODY.truth, window=(40, 400), spacing=(3, 3))


# Hounsfield units

NO_HU = "takes HU, in which air is -1000; case 'photo' has no negative intensities"


def test_warning_where_an_image_is_not_in_hu():
    with pytest.warns(UserWarning, match=f"rings {NO_HU}"):
        expect_hu(PHOTO, "rings")


@pytest.mark.filterwarnings("error")
def test_no_warning_where_an_image_is_in_hu():
    for case in (BODY, WATER, PAIR, load_case(BODY.image[0].numpy(), window=(40, 400))):
        expect_hu(case, "rings")


@pytest.mark.parametrize("transform", [QuantumNoise(), Dose(), CalibrationShift(), Rings(), MetalStreaks()], ids=str)
def test_warning_points_to_the_line_that_called_the_transform(transform):
    with pytest.warns(UserWarning, match=f"{transform} {NO_HU}") as caught:
        transform(PHOTO, transform.values[-1])
    assert caught[0].filename == __file__


@pytest.mark.parametrize("transform,value", [(WindowLevel(), 20), (WindowWidth(), 2)], ids=str)
def test_warning_where_the_level_is_missing(transform, value):
    message = f"level of {transform} is None, but case 'chest' seems to be in HU, from -1024 to 1500; give .* level=40"
    with pytest.warns(UserWarning, match=message) as caught:
        transform(BODY, value)
    assert caught[0].filename == __file__


def test_warning_where_the_width_is_missing():
    message = "width of window-level is None, but case 'photo' goes from 0.* to .*; give .* width=400"
    with pytest.warns(UserWarning, match=message) as caught:
        WindowLevel()(PHOTO, 20)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("error")
def test_no_warning_where_windows_are_as_they_should_be():
    lung = load_case(BODY.image[0].numpy(), window=(-600, 1500))
    picture = Case((window(BODY.image, 40, 400) * 255).round().to(torch.uint8))
    for transform in (WindowLevel(level=40), WindowWidth(level=40)):
        transform(BODY, 1.5)
    for case in (lung, NARROW, picture):
        WindowLevel()(case, 20)
        WindowWidth()(case, 2)
    WindowLevel(width=400)(PHOTO, 20)


BRIGHTER = as_transform(lambda image, value: image * value, name="brighter", neutral=1)


@pytest.mark.parametrize(
    "transform,values",
    [
        (QuantumNoise(), None),
        (WindowLevel(), None),
        (Compose(BRIGHTER, CalibrationShift()), [(1.1, 10), (1.2, 20), (1.3, 30)]),
    ],
    ids=str,
)
def test_one_warning_for_a_sweep(transform, values):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        get_series(lambda x: x > 0.5, PHOTO, transform, values, progress=False)
    assert len(caught) == 1, caught[0]


# Noise


def test_noise_has_its_standard_deviation_and_one_pattern():
    noise = QuantumNoise()(WATER, 20).image[0].double()
    assert abs(noise.mean()) < 1e-4 and abs(noise.std() - 20) < 0.3
    assert torch.allclose(QuantumNoise()(WATER, 40).image, 2 * QuantumNoise()(WATER, 20).image, atol=1e-4)
    assert not torch.equal(QuantumNoise(seed=1)(WATER, 20).image[0].double(), noise)
    assert (noise[:, 1:] * noise[:, :-1]).mean() > 0 > (noise[:, 3:] * noise[:, :-3]).mean()


def test_noise_has_the_spectrum_of_filtered_backprojection():
    spectra = [np.abs(np.fft.fft2(QuantumNoise(seed=s)(WATER, 20).image[0])) ** 2 for s in range(30)]
    power = np.mean(spectra, axis=0) / WATER.image.numel()
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(200), np.fft.fftfreq(220), indexing="ij"))
    theory = f * (0.5 + 0.5 * np.cos(np.pi * f / 0.5)) ** 2 * (f < 0.5)
    theory *= 400 / theory.mean()
    for low in np.arange(0, 0.5, 0.05):  # ring by ring
        ring = (f >= low) & (f < low + 0.05)
        assert abs(power[ring].mean() / theory[ring].mean() - 1) < 0.05, low
    assert power[f >= 0.5].max() < 1e-6


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.01])
def test_variance_goes_with_one_over_the_dose(fraction):
    before = QuantumNoise(seed=9)(WATER, 15)
    after = Dose(reference=15)(before, fraction).image
    assert abs(after.std() / (15 / fraction**0.5) - 1) < 0.02


def test_arguments_of_dose():
    with pytest.raises(ValueError, match="fraction of dose must be a number > 0 and <= 1, got 0"):
        Dose()(BODY, 0)
    with pytest.raises(ValueError, match="reference must be a number >= 0, got -1"):
        Dose(reference=-1)


# Calibration and windows


def test_calibration_shifts_all_or_all_but_air():
    hu = Case(torch.tensor([[[-1000.0, 0, 1000]]]))
    assert CalibrationShift()(hu, 30).image.flatten().tolist() == [-970, 30, 1030]
    assert CalibrationShift(air=True)(hu, 30).image.flatten().tolist() == [-1000, 30, 1060]


def window(x, level, width):
    "What a model sees that applies this window"
    return ((x - level) / width + 0.5).clamp(0, 1)


SMOOTH = Case(torch.linspace(-1000, 1000, 2001).reshape(1, 3, 667))
PICTURE = Case((window(SMOOTH.image, 40, 400) * 255).round().to(torch.uint8))
SHOWN = (SMOOTH.image - 40).abs() < 199  # what the window 40 ± 200 shows


@pytest.mark.parametrize("shift", [-60, 25])
def test_window_level_shows_a_higher_window(shift):
    expected = window(SMOOTH.image, 40 + shift, 400)
    assert torch.allclose(window(WindowLevel(level=40)(SMOOTH, shift).image, 40, 400), expected, atol=1e-6)
    ours = WindowLevel(width=400)(PICTURE, shift).image
    assert (ours - expected * 255)[SHOWN].abs().max() <= 0.51
    assert ((ours == 0) | (ours == 255))[~SHOWN].float().mean() > 0.99
    in_hu = WindowLevel()(NARROW, shift).image  # 400 HU are a width of 400
    assert torch.allclose(WindowLevel(width=400)(NARROW, shift).image, in_hu)


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_window_width_shows_a_wider_window(factor):
    expected = window(SMOOTH.image, 40, 400 * factor)
    assert torch.allclose(window(WindowWidth(level=40)(SMOOTH, factor).image, 40, 400), expected, atol=1e-6)
    ours = WindowWidth()(PICTURE, factor).image
    assert (ours - expected * 255)[SHOWN].abs().max() <= 0.51 / min(factor, 1)


def test_higher_window_is_darker():
    assert WindowLevel()(NARROW, 50).image.mean() < NARROW.image.mean()


@pytest.mark.parametrize("bad", [dict(width=0), dict(level=float("inf")), dict(level=40, width=400)], ids=str)
def test_arguments_of_window_level(bad):
    with pytest.raises(ValueError, match="must be"):
        WindowLevel(**bad)


# All of them


@pytest.mark.parametrize(
    "transform",
    [
        QuantumNoise(),
        QuantumNoise(seed=3),
        Dose(),
        Dose(reference=30),
        CalibrationShift(),
        CalibrationShift(air=True),
        WindowLevel(),
        WindowLevel(level=40),
        WindowLevel(width=400),
        WindowWidth(),
        WindowWidth(level=40),
        SparseView(),
        Rings(),
        MetalStreaks(),
        MetalStreaks(position=((0.2, 0.2), (0.7, 0.9)), seed=2),
    ],
    ids=repr,
)
def test_one_scan_the_same_in_each_channel_but_not_in_each_slice(transform):
    case = Case(torch.zeros(2, 2, 24, 24), spacing=(5, 16, 16), scale=(-1000, 1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether these look like CT does not matter
        two = transform(case, transform.values[-1]).image
    assert torch.equal(two[0], two[1])
    assert not hasattr(transform, "seed") or not torch.equal(two[:, 0], two[:, 1])
