"Corruptions of photographs: statistics of noise, kernels, storage, colours"

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from scipy.ndimage import convolve
from skimage import data
from skimage.color import hsv2rgb, rgb2hsv

from misas.core.cases import Case
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.transforms.photo import (
    JPEG,
    SEVERITIES,
    Defocus,
    ImpulseNoise,
    Lightness,
    MotionBlur,
    Pixelate,
    Saturation,
    ShotNoise,
    SpeckleNoise,
    _convolved,
    _line,
    _Noise,
    _poisson_counts,
    common_corruptions,
)

TISSUE = load_case(np.ascontiguousarray(data.immunohistochemistry()[200:328, 180:308]), name="tissue")
PHOTO = load_case(np.ascontiguousarray(data.astronaut()[40:141, 160:273]))
HEART = phantom((128, 128), seed=3)
GREY = Case(torch.full((1, 200, 300), 0.3), scale=(0, 1))  # the same everywhere: what is added shows
FOUR = TISSUE.replace(image=torch.cat([TISSUE.image, TISSUE.image[:1]]))  # channels


def sixteen_bit(case):
    return case.replace(image=case.image * 65535, scale=(0.0, 65535.0))


def test_tissue_is_a_picture_of_8_bits():
    assert TISSUE.image.shape == (3, 128, 128) and TISSUE.scale == (0, 255)


# Shot noise


@pytest.mark.parametrize("photons", [0, 0.3, 3, 60, 400, 600])
def test_counts_are_scipys(photons):
    u = np.random.default_rng(1).random((100, 100))
    mean = photons * np.random.default_rng(2).random((2, 100, 100))
    assert np.array_equal(_poisson_counts(u[None], mean), stats.poisson.ppf(u, mean))


@pytest.mark.parametrize("mean", [0.01, 60.0, 500.0])
def test_counts_at_both_ends_are_scipys(mean):
    ends = np.array([2.0**-54, 1e-9, 1 - 1e-9, 1 - 2.0**-40])
    assert np.array_equal(_poisson_counts(ends, np.full(4, mean)), stats.poisson.ppf(ends, mean))


def test_counts_of_0_and_1_are_those_next_to_them():
    ends = np.array([2.0**-54, 1 - 2.0**-40])
    counts = _poisson_counts(np.array([0, 1.0]), np.full(2, 60.0))
    assert counts.tolist() == stats.poisson.ppf(ends, 60).tolist()


@pytest.mark.parametrize("photons", [60, 1000])
def test_shot_noise_follows_poissons_distribution(photons):
    noisy = ShotNoise()(GREY, photons).image.double()
    n = noisy.numel()
    assert abs(noisy.mean() - 0.3) < 4 * (0.3 / photons / n) ** 0.5  # mean x
    assert abs(noisy.var() / (0.3 / photons) - 1) < 0.02  # variance x / photons
    counts = np.bincount((noisy * photons).round().int().flatten(), minlength=photons)[:photons]
    assert abs(counts / n - stats.poisson.pmf(np.arange(photons), 0.3 * photons)).max() < 0.004


def test_shot_noise_in_the_dark_and_in_bright_light():
    assert ShotNoise()(GREY.replace(image=GREY.image * 0), 5).image.max() == 0  # no light, no noise
    assert torch.allclose(ShotNoise()(HEART, 1e5).image, HEART.image, atol=0.02)


def test_shot_noise_has_one_pattern_for_a_seed():
    a, b = (ShotNoise()(GREY, n).image.flatten() - 0.3 for n in (60, 50))
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.98
    assert not torch.equal(ShotNoise()(GREY, 60).image, ShotNoise(seed=1)(GREY, 60).image)


def test_arguments_of_shot_noise():
    with pytest.raises(ValueError, match="photons of shot-noise must be a number > 0, got 0"):
        ShotNoise()(HEART, 0)
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        ShotNoise(seed=-1)


# Impulse noise and speckle


@pytest.mark.parametrize("fraction", ImpulseNoise.values)
def test_impulses_are_as_often_black_as_white(fraction):
    noisy = ImpulseNoise()(GREY, fraction).image
    black, white = ((noisy == v).sum().item() for v in (0, 1))
    assert stats.binomtest(black + white, noisy.numel(), fraction).pvalue > 0.01
    assert fraction == 0 or stats.binomtest(black, black + white).pvalue > 0.01
    assert ((noisy == 0.3) | (noisy == 0) | (noisy == 1)).all()


def test_pixels_that_are_lost_stay_lost():
    few, many = (ImpulseNoise()(GREY, f).image for f in (0.03, 0.27))
    assert torch.equal(many[few != 0.3], few[few != 0.3])


def test_speckle_is_normal_and_has_one_pattern():
    factor = SpeckleNoise()(GREY, 0.2).image.double() / 0.3
    assert abs(factor.mean() - 1) < 0.003 and abs(factor.std() - 0.2) < 0.002
    assert stats.kstest((factor.flatten() - 1) / 0.2, "norm").pvalue > 0.01
    once, twice = (SpeckleNoise()(GREY, s).image - 0.3 for s in (0.1, 0.2))
    assert torch.allclose(twice, 2 * once, atol=1e-6)


@pytest.mark.parametrize("noise", [ShotNoise(), ImpulseNoise(), SpeckleNoise()], ids=str)
def test_grey_stays_grey_whatever_it_is_stored_as(noise):
    stored, coloured = (
        noise(HEART.replace(image=torch.cat([HEART.image, HEART.image, HEART.image**k])), noise.values[3]).image
        for k in (1, 2)
    )
    assert torch.equal(stored[0], stored[1]) and torch.equal(stored[0], stored[2])
    assert not torch.equal(coloured[0], coloured[1])


# Blurs


@pytest.mark.parametrize("shape", [(9, 12), (1, 7), (3, 2), (1, 1)], ids=str)
@pytest.mark.parametrize("margin", [1, 3])
def test_convolution_is_scipys_with_mirrored_borders(shape, margin):
    x = torch.rand(2, *shape)
    kernel = np.random.default_rng(0).random((2 * margin + 1, 2 * margin + 1))
    theirs = [convolve(c.numpy().astype(float), kernel, mode="mirror") for c in x]
    assert np.allclose(_convolved(x, kernel), theirs, rtol=1e-4)


def test_volume_is_convolved_slice_by_slice():
    x = torch.rand(2, 5, 9, 12)
    kernel = np.random.default_rng(0).random((7, 7))
    assert torch.equal(_convolved(x, kernel)[:, 3], _convolved(x[:, 3], kernel))


def a_point():
    image = torch.zeros(1, 41, 51)
    image[0, 20, 25] = 1
    return Case(image, scale=(0, 1))


@pytest.mark.parametrize("radius", [3, 4, 6, 8, 10, 2.5])
def test_defocus_turns_a_point_into_a_softened_disk(radius):
    rows, cols = np.indices((41, 51)) - np.array([20, 25])[:, None, None]
    soft = Defocus()(a_point(), radius).image[0].double().numpy()
    hard = Defocus(soft=0)(a_point(), radius).image[0].numpy()
    assert abs(soft.sum() - 1) < 1e-5 and np.array_equal(soft, soft[::-1, ::-1])
    inside = rows**2 + cols**2 <= radius**2
    assert np.array_equal(hard > 0, inside) and np.allclose(hard[inside], 1 / inside.sum())
    # a disk's variance along an axis is r² / 4, and softening adds a Gaussian's, of half a pixel, cut off at two
    assert abs((soft * cols**2).sum() - (hard * cols**2).sum() - 0.25) < 0.05
    assert abs((hard * cols**2).sum() / (radius**2 / 4) - 1) < 0.12


def test_defocus_keeps_the_mean_and_knows_any_scale():
    assert torch.allclose(Defocus()(GREY, 6).image, GREY.image)
    assert torch.allclose(Defocus()(sixteen_bit(HEART), 4).image / 65535, Defocus()(HEART, 4).image, atol=1e-6)


def test_motion_blur_is_exact_along_the_axes():
    path = MotionBlur()(a_point(), 4).image[0]  # 4 pixels, seen by pixels as wide as 1
    assert torch.allclose(path[20, 23:28], torch.tensor([0.125, 0.25, 0.25, 0.25, 0.125]))
    assert abs(path.sum() - 1) < 1e-6 and path.count_nonzero() == 5
    assert torch.allclose(MotionBlur(angle=90)(a_point(), 4).image[0, 18:23, 25], path[20, 23:28])


@pytest.mark.parametrize("length", [6.5, 17, 30])
@pytest.mark.parametrize("angle", [0, 30, 45, -60])
def test_motion_blur_is_a_line_that_moves_nothing(length, angle):
    kernel = _line(length, angle)
    y = len(kernel) // 2 - np.indices(kernel.shape)[0]  # points up
    x = np.indices(kernel.shape)[1] - len(kernel) // 2
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along = x * cos + y * sin
    across = y * cos - x * sin
    assert abs(kernel.sum() - 1) < 1e-12 and abs((kernel * along).sum()) < 1e-9
    assert 0 <= (kernel * along**2).sum() - length**2 / 12 < 0.3  # a line of that length: variance length² / 12
    assert (kernel * across**2).sum() < 0.3
    assert length / 2 - 1 < along[kernel > 0].max() < length / 2 + 1.5


IMAGENET = [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)]  # radius and width of half a Gaussian in ImageNet-C


@pytest.mark.parametrize(
    "radius,width,length,moved",
    [(*kernel, length, moved) for kernel, length, moved in zip(IMAGENET, MotionBlur.values[1:], (2, 4, 6, 9, 11))],
)
def test_motion_blur_spreads_as_much_as_in_imagenet_c(radius, width, length, moved):
    i = np.arange(2 * radius + 1)
    kernel = np.exp(-(i**2) / (2 * width**2))
    kernel /= kernel.sum()
    assert abs((12 * (kernel * (i - kernel @ i) ** 2).sum()) ** 0.5 - length) < 0.3
    assert round(kernel @ i) == moved


def test_motion_blur_is_not_negative():
    with pytest.raises(ValueError, match="length of motion-blur must be a number >= 0 and <= 1000, got -1"):
        MotionBlur()(HEART, -1)


# Storage


@pytest.mark.parametrize("quality", [*JPEG.values, 1, 50, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_is_pillows(mode, quality):
    colours = data.astronaut()[40:141, 160:273]
    picture = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    theirs = np.asarray(Image.open(file))
    if mode == "RGB":
        theirs = np.moveaxis(theirs, -1, 0)
    assert np.array_equal(JPEG()(load_case(picture), quality).image.numpy().squeeze(), theirs)


def test_jpeg_loses_something_even_at_100():
    assert not torch.equal(JPEG()(TISSUE, 100).image, TISSUE.image)


def test_jpeg_of_other_channels_and_of_slices():
    alone = JPEG()(TISSUE.replace(image=TISSUE.image[:1]), 10).image[0]
    assert torch.equal(JPEG()(FOUR, 10).image[3], alone)  # four channels are stored one by one
    deep = TISSUE.replace(image=torch.stack([TISSUE.image, TISSUE.image.flip(-1)], 1), spacing=(1, 1, 1))
    assert torch.equal(JPEG()(deep, 10).image[:, 0], JPEG()(TISSUE, 10).image)


def test_jpeg_on_any_scale():
    assert torch.allclose(JPEG()(sixteen_bit(HEART), 10).image / 65535, JPEG()(HEART, 10).image, atol=1e-6)


def test_quality_of_jpeg():
    with pytest.raises(ValueError, match="quality of jpeg must be an integer >= 1 and <= 100, got 0"):
        JPEG()(HEART, 0)


def test_pixels_are_means():
    blocks = Pixelate()(HEART, 0.25).image[0]
    assert torch.allclose(blocks[::4, ::4], HEART.image[0].reshape(32, 4, 32, 4).mean((1, 3)), atol=1e-6)
    assert torch.equal(blocks, blocks[::4, ::4].repeat_interleave(4, 0).repeat_interleave(4, 1))
    assert torch.allclose(Pixelate()(HEART, 0.001).image, HEART.image.mean(), atol=1e-5)  # one pixel is left


def test_pixels_get_no_more():
    with pytest.raises(ValueError, match="factor of pixelate must be a number > 0 and <= 1, got 1.5"):
        Pixelate()(HEART, 1.5)


# Colour


def by_hsv(change):
    "PHOTO with another hue, saturation, value"
    hsv = rgb2hsv(np.moveaxis(PHOTO.image.double().numpy(), 0, -1) / 255)
    return np.moveaxis(hsv2rgb(change(hsv)), -1, 0) * 255


@pytest.mark.parametrize("offset", [-0.3, 0.1, 0.5])
def test_lightness_adds_to_the_value(offset):
    expected = by_hsv(lambda hsv: np.dstack([hsv[..., :2], (hsv[..., 2] + offset).clip(0, 1)]))
    assert np.allclose(Lightness()(PHOTO, offset).image, expected, atol=1e-2)


def test_lightness_of_grey():
    assert torch.allclose(Lightness()(HEART, 0.2).image, (HEART.image + 0.2).clamp(max=1))


@pytest.mark.parametrize("factor", [0, 0.3, 2, 20])
def test_saturation_is_multiplied(factor):
    expected = by_hsv(lambda hsv: np.dstack([hsv[..., 0], (hsv[..., 1] * factor).clip(0, 1), hsv[..., 2]]))
    assert np.allclose(Saturation()(PHOTO, factor).image, expected, atol=1e-2)


def test_saturation_of_nothing_is_grey_and_grey_stays():
    pale = Saturation()(TISSUE, 0).image
    assert torch.equal(pale[0], pale[1]) and torch.equal(pale[0], pale[2])
    assert torch.equal(Saturation()(HEART, 0.3).image, HEART.image)


def test_saturation_needs_colours():
    with pytest.raises(ValueError, match=r"image for saturation must have 3 channels .* or 1 \(grey\), got 4"):
        Saturation()(FOUR, 0.5)


# Severities


def test_corruptions_at_some_severities():
    transforms, values = common_corruptions([1, 3, 5], ["shot_noise", "pixelate"])
    assert transforms == [ShotNoise(), Pixelate()]
    assert values == {"shot-noise": [60, 12, 3], "pixelate": [1, 0.6, 0.4, 0.25]}


@pytest.mark.parametrize("severity", [2, np.int64(2), np.array([2])], ids=repr)
def test_one_severity_of_one_corruption(severity):
    assert common_corruptions(severity, "saturate")[1] == {"saturation": [1, 0.1]}


def test_all_corruptions():
    everything = common_corruptions(names=list(SEVERITIES))[0]
    assert {str(t) for t, _ in SEVERITIES.values()} == {str(t) for t in everything}
    assert all(len(values) == 5 for _, values in SEVERITIES.values())


def test_arguments_of_common_corruptions():
    with pytest.raises(ValueError, match=r"severities must be an integer >= 1 and <= 5, or several .*, got \[0, 1\]"):
        common_corruptions([0, 1])
    with pytest.raises(ValueError, match="severities must be"):
        common_corruptions([])
    with pytest.raises(ValueError, match="names must be one of .*, got 'pixelated' .did you mean 'pixelate'"):
        common_corruptions(names=["pixelated"])


def test_corruptions_are_evaluated_with_the_clean_image_among_them():
    scores = evaluate(demo_model(), HEART, *common_corruptions(), progress=False)
    dice = scores[scores.label != "bg"].groupby(["transform", "value"], sort=False).score.mean()
    clean = dice["pixelate"][1]
    assert clean > 0.9
    grey = {name: pair for name, pair in SEVERITIES.items() if name != "saturate"}
    for transform, _ in grey.values():
        if transform.neutral is not None:
            assert dice[str(transform)][transform.neutral] == clean  # predicted once
    worst = [dice[str(transform)][values[4]] for transform, values in grey.values()]
    assert sum(score < clean - 0.05 for score in worst) >= 6


# All of them

OWN = [
    ShotNoise(),
    ImpulseNoise(),
    SpeckleNoise(seed=3),
    Defocus(),
    Defocus(soft=0),
    MotionBlur(),
    MotionBlur(angle=37.0),
    JPEG(),
    Pixelate(),
    Lightness(),
    Saturation(),
]
STACK = Case(torch.rand(1, 4, 12, 9, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("transform", [t for t in OWN if not isinstance(t, _Noise)], ids=str)
def test_volumes_slice_by_slice(transform):
    changed = transform(STACK, transform.values[-1]).image
    for k in range(4):
        alone = transform(STACK.replace(image=STACK.image[:, k], spacing=(1, 1)), transform.values[-1])
        assert torch.equal(changed[:, k], alone.image)


@pytest.mark.parametrize("top", [255.0, 65535.0])
@pytest.mark.parametrize("transform", OWN, ids=str)
def test_the_same_on_any_scale(transform, top):
    expected = transform(STACK, transform.values[-1]).image
    scaled = transform(STACK.replace(image=STACK.image * top, scale=(0.0, top)), transform.values[-1]).image / top
    assert (scaled - expected).abs().mean() < 2e-4


@pytest.mark.parametrize("shape", [(5, 7), (31, 200), (1, 1), (9, 8, 3)], ids=str)
def test_small_pictures_and_other_shapes(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    case = load_case(picture, channels="last" if len(shape) == 3 else "none")
    for transform, values in SEVERITIES.values():
        changed = transform(case, values[-1])
        assert changed.shape == shape[:2] and changed.image.isfinite().all()
