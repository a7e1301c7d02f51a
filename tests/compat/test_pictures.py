"The transforms of misas 0.1.1 on pictures"

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from misas.compat import (
    biasfieldTransform,
    brightnessTransform,
    contrastTransform,
    cropTransform,
    dihedralTransform,
    resizeTransform,
    rotationTransform,
    spikePosTransform,
    spikeTransform,
    zoomTransform,
)
from misas.compat.pictures import is_mask


def difference(a, b):
    return np.abs(np.asarray(a, int) - np.asarray(b, int))


@pytest.mark.parametrize(
    "function, value",
    [
        (rotationTransform, 12.5),
        (cropTransform, 7),
        (brightnessTransform, 2),
        (contrastTransform, 0.5),
        (zoomTransform, 0.3),
        (dihedralTransform, 4),
        (spikeTransform, 1),
        (spikePosTransform, 0.2),
        (biasfieldTransform, -0.3),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_size_mode_and_labels_stay(image, mask, function, value):
    assert function(image, value).size == image.size
    assert function(image, value).mode == "RGB"
    assert set(np.unique(function(mask, value))) <= {0, 1, 2, 3}


def test_final_size(image, mask):
    assert resizeTransform(image, 30).size == (24, 30)
    assert cropTransform(image, 0, finalSize=(32, 32)).size == (32, 32)
    assert zoomTransform(mask, 0.5, (32, 32)).size == (32, 32)


def test_rotation_is_that_of_pillow_at_right_angles(image):
    square = image.crop((0, 0, 48, 48))
    assert np.array_equal(rotationTransform(square, 90), square.rotate(90))


def test_brightness_is_that_of_pillow(image):
    expected = ImageEnhance.Brightness(image).enhance(1.7)
    assert difference(brightnessTransform(image, 1.7), expected).max() <= 1


def test_masks_are_told_from_images(grey, mask):
    dark = Image.fromarray(grey // 16)  # no value above 15, and yet an image
    assert is_mask(mask)
    assert not is_mask(dark)
    assert is_mask(dark.convert("P"))
    assert len(np.unique(rotationTransform(dark, 20))) > 4


def test_zoom_cuts_off_a_fraction(image):
    middle = image.crop((12, 14, 36, 46)).resize((48, 60), Image.BILINEAR)
    assert zoomTransform(image, 0).tobytes() == image.tobytes()
    assert difference(zoomTransform(image, 0.5), middle)[2:-2, 2:-2].max() <= 1
