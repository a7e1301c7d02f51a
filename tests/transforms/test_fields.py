"Random fields and the field of view"

import numpy as np
import pytest
import torch
from skimage.segmentation import clear_border

from misas.transforms.fields import cloud_field, connected_to_border, gaussian_field, outside_view


def test_gaussian_fields_have_the_autocorrelation_of_two_gaussians():
    field = gaussian_field((300, 400), (2, 5), 1)[0].astype(float)
    power = abs(np.fft.fft2(field)) ** 2
    correlation = np.fft.ifft2(power).real / power.mean()
    for d in (1, 2, 4):
        assert abs(correlation[d, 0] - np.exp(-(d**2) / (4 * 2**2))) < 0.05
        assert abs(correlation[0, d] - np.exp(-(d**2) / (4 * 5**2))) < 0.05
    assert abs(field.std() - 1) < 0.05 and abs(field.mean()) < 0.1


def test_draws_differ_and_seeds_repeat():
    a, b = gaussian_field((30, 20), (1, 1), 7, 2)
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.2
    assert np.array_equal(gaussian_field((30, 20), (1, 1), 7, 2)[0], a)
    assert not np.array_equal(gaussian_field((30, 20), (1, 1), 8)[0], a)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (3, 4, 5), (1, 1, 1)])
def test_fields_of_any_shape(shape):
    assert gaussian_field(shape, (50,) * len(shape), 0).shape == (1, *shape)
    assert cloud_field(shape, 0).shape == shape
    assert np.isfinite(cloud_field(shape, 0)).all()


def test_clouds_of_slices_are_independent():
    a, b = cloud_field((2, 64, 64), 3)
    assert abs(a.mean()) < 1e-5 and not np.allclose(a, b)


def test_connected_as_by_scikit_image():
    dark = np.random.default_rng(0).random((40, 50)) < 0.45
    inner = clear_border(_labels(dark)) > 0
    assert np.array_equal(connected_to_border(torch.from_numpy(dark)).numpy(), dark & ~inner)


def _labels(dark):
    from skimage.measure import label

    return label(dark, connectivity=1)


def test_slices_are_looked_at_one_by_one():
    dark = torch.zeros(3, 5, 5, dtype=torch.bool)
    dark[0] = True
    dark[1, 2, 2] = True  # below what is outside in the slice above
    assert connected_to_border(dark).sum() == 25


def test_a_picture_without_black_is_all_view():
    assert not outside_view(torch.full((3, 4, 5), 0.06)).any()
    assert outside_view(torch.full((3, 4, 5), 0.04)).all()
    one_channel = torch.zeros(3, 4, 5)
    one_channel[2] = 1
    assert not outside_view(one_channel).any()
