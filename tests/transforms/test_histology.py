"Stains: the same as scikit-image's colour deconvolution, and what it cannot do"

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import combine_stains, hed2rgb, rgb2hed, separate_stains

from misas.core.cases import Case
from misas.data.loading import load_case
from misas.transforms.histology import HED_VECTORS, STAINS, StainConcentration, StainRotation, stain_matrix

PAIR = HED_VECTORS[:2]


def section(matrix=None, shape=(40, 50)):
    "A picture of random concentrations, none of them negative"
    stains = np.random.default_rng(0).random((*shape, 3)) * (0.06, 0.06, 0.02) + 0.001
    rgb = hed2rgb(stains) if matrix is None else combine_stains(stains, matrix)
    return Case(np.moveaxis(rgb, -1, 0).astype(np.float32), scale=(0, 1)), stains


def pixels(case):
    return case.image.movedim(0, -1).double().numpy()


@pytest.mark.parametrize("factor", [0, 0.5, 1.3, 2.5])
@pytest.mark.parametrize("stain", STAINS)
def test_concentrations_as_by_scikit_image(stain, factor):
    case, _ = section()
    stains = rgb2hed(pixels(case))
    stains[..., STAINS.index(stain)] *= factor
    assert np.abs(pixels(StainConcentration(stain)(case, factor)) - hed2rgb(stains)).max() < 2e-6


@pytest.mark.parametrize("stain", STAINS)
def test_a_real_section_by_the_concentrations_of_scikit_image(stain):
    rgb = np.ascontiguousarray(data.immunohistochemistry()[::2, ::2])
    k = STAINS.index(stain)
    # what scikit-image calls 1 is an optical density of -ln(1e-6)
    added = 0.5 * rgb2hed(rgb)[..., k, None] * -np.log(1e-6) * HED_VECTORS[k]
    expected = np.maximum(rgb / 255, 1e-6) * np.exp(-added)
    assert np.abs(pixels(StainConcentration(stain)(load_case(rgb), 1.5)) / 255 - expected).max() < 2e-6


@pytest.mark.parametrize("stain", STAINS)
def test_own_vectors_and_the_perpendicular_residual(stain):
    matrix = stain_matrix(PAIR)
    assert np.allclose(matrix @ matrix[2], [0, 0, 1])
    case, _ = section(matrix)
    stains = separate_stains(pixels(case), np.linalg.inv(matrix))
    stains[..., STAINS.index(stain)] *= 1.6
    changed = pixels(StainConcentration(stain, PAIR)(case, 1.6))
    possible = (pixels(case) < 1).all(-1)  # the perpendicular vector has negative absorbances
    assert possible.mean() > 0.8
    assert np.abs(changed - combine_stains(stains, matrix))[possible].max() < 5e-6


def test_there_and_back():
    case, _ = section()
    back = StainConcentration()(StainConcentration()(case, 2), 0.5)
    assert torch.allclose(back.image, case.image, atol=1e-6)


def test_a_turned_stain_is_as_concentrated_as_before():
    case, stains = section()
    for stain, k, deg in (("haematoxylin", 0, 15), ("eosin", 1, 10), ("haematoxylin", 0, -8)):
        transform = StainRotation(stain)
        matrix = np.array(HED_VECTORS)
        matrix[k] = transform.other_vector(matrix.copy(), k, deg)
        found = separate_stains(pixels(transform(case, deg)), np.linalg.inv(matrix))
        assert np.abs(found - stains).max() < 1e-5


def test_angles():
    matrix = stain_matrix(HED_VECTORS)
    for k, name in enumerate(STAINS[:2]):
        turned = StainRotation(name).other_vector(matrix, k, 12)
        own, other = matrix[k], matrix[1 - k]
        assert abs(np.linalg.norm(turned) - np.linalg.norm(own)) < 1e-9
        assert abs(_angle(turned, own) - 12) < 1e-6 and abs(_angle(turned, other) - (_angle(own, other) - 12)) < 1e-6
    assert (StainRotation("eosin").other_vector(matrix, 1, -80) >= 0).all()


def _angle(a, b):
    return math.degrees(math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def test_scales_and_volumes():
    case, _ = section()
    wide = case.replace(image=case.image * 65535, scale=(0.0, 65535.0))
    assert torch.allclose(
        StainConcentration()(wide, 1.7).image / 65535, StainConcentration()(case, 1.7).image, atol=1e-6
    )
    stack = case.replace(image=torch.stack([case.image] * 2, 1))
    assert torch.equal(StainRotation()(stack, 8).image[:, 1], StainRotation()(case, 8).image)


def test_white_is_glass_and_black_is_finite():
    white = Case(torch.ones(3, 4, 4), scale=(0, 1))
    assert torch.equal(StainConcentration()(white, 3).image, white.image)
    black = Case(torch.zeros(3, 4, 4), scale=(0, 1))
    assert StainConcentration()(black, 0.5).image.isfinite().all()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: StainConcentration("h"), "stain must be one of 'haematoxylin', 'eosin', 'residual', got 'h'"),
        (lambda: StainConcentration(vectors=((1, 0, 0),)), "vectors must be two or three vectors"),
        (lambda: StainConcentration(vectors=((1, 0, 0), (2, 0, 0))), "vectors must be two or three vectors"),
        (lambda: StainConcentration(vectors=((1, 0), (0, 1))), "vectors must be two or three vectors"),
        (lambda: StainConcentration(vectors="HED"), "vectors must be two or three vectors"),
        (lambda: StainConcentration()(section()[0], -1), "factor of stain-concentration must be a number >= 0"),
        (lambda: StainRotation()(np.ones((5, 5)), 3), "must have 3 channels .red, green, blue., got 1"),
    ],
)
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
