"Corruptions against the package `imagecorruptions`, on a photograph of 8 bits and three channels"

import sys
from types import ModuleType

import numpy as np
import pytest
from skimage import data
from skimage.filters import gaussian

from misas.data.loading import load_case
from misas.transforms.photo import SEVERITIES, Defocus

photo = np.ascontiguousarray(data.astronaut()[20:151, 130:299])  # odd, not square
grey = np.repeat(photo[..., 1:2], 3, -1)
LEVELS = range(1, 6)


def gaussian_as_before(x, sigma, multichannel):
    "scikit-image has renamed an argument since"
    return gaussian(x, sigma, channel_axis=-1)


def without_pkg_resources():
    "setuptools has it no longer; the package takes from it where pictures of frost are"
    stub = ModuleType("pkg_resources")
    stub.resource_filename = lambda package, name: name
    return stub


@pytest.fixture(scope="module")
def theirs():
    "Function (name, severity, picture) -> picture `(3, H, W)` of `imagecorruptions`"
    with pytest.MonkeyPatch.context() as patch:
        if "pkg_resources" not in sys.modules:
            patch.setitem(sys.modules, "pkg_resources", without_pkg_resources())
        package = pytest.importorskip("imagecorruptions")
        patch.setattr("imagecorruptions.corruptions.gaussian", gaussian_as_before)

        def corrupt(name, severity, picture=photo):
            return np.moveaxis(package.corrupt(picture, severity, name), -1, 0).astype(float)

        state = np.random.get_state()
        np.random.seed(0)
        yield corrupt
        np.random.set_state(state)


def ours(name, severity, picture=photo, transform=None):
    "The same by misas, `(3, H, W)`"
    own, values = SEVERITIES[name]
    return (transform or own)(load_case(picture), values[severity - 1]).image.double().numpy()


def furthest(a, b):
    return np.abs(a - b).max()


@pytest.mark.parametrize("severity", LEVELS)
def test_jpeg_is_equal(theirs, severity):
    assert furthest(ours("jpeg_compression", severity), theirs("jpeg_compression", severity)) < 1e-4


@pytest.mark.parametrize("severity", LEVELS)
def test_grey_jpeg_is_equal(theirs, severity):
    single = np.ascontiguousarray(grey[..., 0])
    assert furthest(ours("jpeg_compression", severity, single)[0], theirs("jpeg_compression", severity, single)) < 1e-4


# the package cuts decimals off
@pytest.mark.parametrize("severity", LEVELS)
@pytest.mark.parametrize("name", ["brightness", "pixelate"])
def test_equal_up_to_rounding(theirs, name, severity):
    assert furthest(ours(name, severity), theirs(name, severity)) < 1.01


@pytest.mark.parametrize("severity", LEVELS)
def test_contrast_of_grey_is_equal_up_to_rounding(theirs, severity):
    assert furthest(ours("contrast", severity, grey), theirs("contrast", severity, grey)) < 1.01


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_saturation_is_equal_up_to_rounding(theirs, severity):
    assert furthest(ours("saturate", severity), theirs("saturate", severity)) < 1.01


@pytest.mark.parametrize("severity", LEVELS)
def test_defocus_is_equal_up_to_rounding(theirs, severity, monkeypatch):
    import cv2
    from imagecorruptions import corruptions

    radius, soft = [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)][severity - 1]
    disk = corruptions.disk  # softens its last two within themselves, so that they sum to more than 1

    def roomy(radius, alias_blur):
        return cv2.GaussianBlur(np.pad(disk(radius, 1e-6), 3), ksize=(5, 5), sigmaX=alias_blur)

    assert abs(disk(radius, soft).sum() - [1, 1, 1, 1.013, 1.011][severity - 1]) < 1e-3
    assert abs(roomy(radius, soft).sum() - 1) < 1e-5
    monkeypatch.setattr(corruptions, "disk", roomy)
    got = ours("defocus_blur", severity, transform=Defocus(soft=soft))
    assert furthest(got, theirs("defocus_blur", severity)) < 1.05
    # the first severity of the package is hardly softened
    assert furthest(ours("defocus_blur", severity), got) < (6 if severity == 1 else 1e-9)


@pytest.mark.parametrize("severity", LEVELS)
def test_gaussian_blur_is_equal_inside(theirs, severity):
    margin = 4 * SEVERITIES["gaussian_blur"][1][severity - 1]
    inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
    assert furthest(ours("gaussian_blur", severity)[inside], theirs("gaussian_blur", severity)[inside]) < 1.6


@pytest.mark.parametrize("severity", LEVELS)
@pytest.mark.parametrize("name", ["shot_noise", "speckle_noise", "impulse_noise", "gaussian_noise"])
def test_noise_has_the_same_statistics(theirs, name, severity):
    clean = np.moveaxis(photo, -1, 0).astype(float)
    a = np.floor(ours(name, severity).clip(0, 255)) - clean
    b = theirs(name, severity) - clean
    for level in (clean < 60, (clean >= 60) & (clean < 180), clean >= 180):  # in the dark, in between, in the light
        assert abs(a[level].mean() - b[level].mean()) < 5 * b[level].std() * (2 / level.sum()) ** 0.5
        # standard error of a standard deviation, relative; a rare impulse makes it large
        kurtosis = ((b[level] - b[level].mean()) ** 4).mean() / b[level].var() ** 2
        error = ((kurtosis - 1) / (2 * level.sum())) ** 0.5
        assert abs(a[level].std() / b[level].std() - 1) < 4 * error + 0.005
