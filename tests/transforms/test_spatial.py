"Resampling: exact where positions are pixels, as scipy and torch elsewhere, the same for slabs of any size"

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch.nn.functional import interpolate

from misas.core.cases import Case
from misas.transforms import spatial
from misas.transforms.spatial import (
    Spatial,
    as_tuples,
    has_matrix,
    resize_image,
    resize_mask,
    resolve_axes,
    resolve_axis,
    sample_linear,
    sample_nearest,
    sampling_positions,
)

TURN = np.array([[0.0, -1], [1, 0]])  # counter-clockwise, rows pointing down


@dataclass(frozen=True)
class Shift(Spatial):
    param, unit, neutral, values = "shift", "mm", 0, (-2, 0, 2)

    def matrix(self, mm, ndim):
        return np.c_[np.eye(ndim), np.full(ndim, mm)]


@dataclass(frozen=True)
class Shrink(Spatial):
    def matrix(self, factor, ndim):
        return factor * np.eye(ndim)


def test_lists_and_arrays_become_tuples():
    assert as_tuples([0.5, np.float32(0.25), [np.arange(2)]]) == (0.5, 0.25, ((0, 1),))
    assert as_tuples(7) == 7


def test_axes_are_counted_from_the_front():
    assert resolve_axes((0, -1), 3) == [0, 2]
    assert resolve_axes((0.0, 1.0), 2) == [0, 1]
    assert resolve_axis(-1, 2, "axis") == 1


@pytest.mark.parametrize("axes", [(), (0, 0), (0, -2), (2,), (0.5,)], ids=str)
def test_axes_that_no_picture_has(axes):
    with pytest.raises(ValueError, match="axes must be different spatial axes from -2 to 1, got"):
        resolve_axes(axes, 2)


def test_axis_that_no_volume_has():
    with pytest.raises(ValueError, match="axis must be a spatial axis from -3 to 2, got 3"):
        resolve_axis(3, 3)


@pytest.mark.parametrize("size", [7, 8])
def test_quarter_turn_is_exact(size):
    image = torch.rand(2, size, size)
    where = sampling_positions(TURN, image.shape[1:], (1, 1))
    assert torch.equal(sample_linear(image, where, torch.zeros(2)), torch.rot90(image, 1, (1, 2)))
    assert torch.equal(sample_nearest(image[0], where), torch.rot90(image[0], 1, (0, 1)))
    transposed = image.transpose(1, 2)  # not in the order of memory
    assert torch.equal(sample_linear(transposed, where, torch.zeros(2)), torch.rot90(transposed, 1, (1, 2)))


def oblique(shape):
    "Image, matrix with a shift, spacing"
    n = len(shape)
    matrix = np.eye(n, n + 1) + np.random.default_rng(0).normal(0, 0.2, (n, n + 1))
    return torch.rand(1, *shape), matrix, (2.0, 1.0, 0.7)[:n]


@pytest.mark.parametrize("shape", [(9, 12), (5, 9, 8)], ids=str)
def test_interpolation_is_scipys(shape):
    image, matrix, spacing = oblique(shape)
    where = sampling_positions(matrix, shape, spacing)
    theirs = map_coordinates(
        image[0].double().numpy(), np.stack([w.numpy() for w in where]), order=1, mode="grid-constant", cval=-3
    )
    ours = sample_linear(image, where, torch.tensor([-3.0]))[0].numpy()
    assert np.abs(ours - theirs).max() < 1e-4  # positions are float32 in torch


@pytest.mark.parametrize("shape", [(9, 12), (5, 9, 8)], ids=str)
def test_matrix_takes_a_point_to_its_pixel(shape):
    _, matrix, spacing = oblique(shape)
    n = len(shape)
    where = sampling_positions(matrix, shape, spacing)
    pixel = (3,) * n
    old = (np.array([w[pixel].item() for w in where]) - (np.array(shape) - 1) / 2) * spacing
    new = (np.array(pixel) - (np.array(shape) - 1) / 2) * spacing
    assert np.allclose(matrix[:, :n] @ old + matrix[:, n], new, atol=1e-4)


def test_slabs_hold_a_row_or_slice_at_least():
    assert spatial._slabs((512, 512)) == [range(512)]
    assert spatial._slabs((40, 256, 256)) == [range(16), range(16, 32), range(32, 40)]
    assert spatial._slabs((2, 2000, 2000)) == [range(1), range(1, 2)]


def test_positions_of_rows_are_part_of_all_positions():
    shape = (5, 9, 8)
    _, matrix, spacing = oblique(shape)
    whole = sampling_positions(matrix, shape, spacing)
    first = sampling_positions(matrix, shape, spacing, rows=range(2))
    last = sampling_positions(matrix, shape, spacing, rows=range(2, 5))
    for w, a, b in zip(whole, first, last):
        assert torch.equal(torch.cat([a, b]), w)


@pytest.mark.parametrize("mm", [1, 0.37])
@pytest.mark.parametrize(
    "case",
    [
        Case(torch.rand(2, 7, 6, 5), truth=np.arange(210).reshape(7, 6, 5) % 4, spacing=(3, 1, 1.2)),
        Case(torch.rand(3, 9, 8).transpose(1, 2), truth=np.arange(72).reshape(8, 9) % 5),
    ],
    ids=["volume", "transposed"],
)
def test_slabs_of_any_size_give_the_same(case, mm, monkeypatch):
    whole = Shift()(case, mm)
    for size in (1, 40, 100):
        monkeypatch.setattr(spatial, "_SLAB", size)
        parts = Shift()(case, mm)
        assert torch.equal(parts.image, whole.image) and torch.equal(parts.truth, whole.truth)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (5, 0.7, 1.3)], ids=str)
@pytest.mark.parametrize("slab", [50, 2**20])
@pytest.mark.parametrize(
    "within", [[[0.8, -0.6, 0], [0.6, 0.8, 0]], [[1, 0, 2.3], [0, 1, -1]], [[0, -1, 0], [1, 0, 0]]], ids=str
)
def test_slices_that_stay_are_resampled_as_a_volume(channels, spacing, slab, within, monkeypatch):
    matrix = np.eye(3, 4)
    matrix[1:, 1:] = within
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(channels, 6, 23, 31, generator=generator)
    truth = torch.randint(0, 4, (6, 23, 31), generator=generator)
    case = Case(image, truth.numpy(), spacing=spacing)
    monkeypatch.setattr(spatial, "_SLAB", slab)
    slices = Spatial(fill=-1).warp(case, matrix)
    monkeypatch.setattr(spatial, "_stays_in_slice", lambda matrix: False)
    volume = Spatial(fill=-1).warp(case, matrix)
    assert torch.equal(slices.truth, volume.truth)
    # a position along the slices is rounded only where it is computed
    torch.testing.assert_close(slices.image, volume.image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (0, 3), (1, 0), (2, 0)], ids=str)
def test_what_moves_between_slices(place):
    matrix = np.eye(3, 4)
    assert spatial._stays_in_slice(matrix) and spatial._stays_in_slice(matrix[:, :3])
    matrix[place] += 0.1
    assert not spatial._stays_in_slice(matrix)


def test_shift_moves_image_and_mask_and_fills():
    case = Case(torch.arange(9.0).reshape(1, 3, 3), truth=np.eye(3, dtype=int), spacing=(1, 1))
    moved = Shift(fill=0)(case, 1)
    assert moved.image[0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 3, 4]]
    assert moved.truth.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert Shift(fill=7)(Case(torch.zeros(1, 3, 3)), -1).image[0, -1].tolist() == [7, 7, 7]
    volume = Case(torch.zeros(1, 3, 4, 5), truth=np.ones((3, 4, 5), int))
    assert Shift()(volume, 1).truth.sum() == 2 * 3 * 4
    assert Shift(fill=np.float32(7)).fill == 7


@pytest.mark.parametrize("fill", [math.nan, math.inf, "black", True, (1, 2)], ids=str)
def test_fill_is_a_finite_number(fill):
    with pytest.raises(ValueError, match="fill must be a finite number, or None for the image's own background, got"):
        Shift(fill=fill)


@pytest.mark.parametrize("factor", [0, 1e-320])
def test_singular_matrix_is_named(factor):
    with pytest.raises(ValueError, match=f"shrink: matrix is singular: .*{factor}.*"):
        Shrink()(Case(torch.rand(1, 3, 3), truth=np.eye(3, dtype=int)), factor)


def test_tiny_but_regular_matrix_leaves_no_label():
    assert not Shrink()(Case(torch.ones(1, 4, 4), truth=np.ones((4, 4), int)), 1e-300).truth.any()


def test_has_matrix_only_without_an_apply_of_its_own():
    @dataclass(frozen=True)
    class Own(Shift):
        def apply(self, case, value):
            return case

    assert has_matrix(Shift()) and not has_matrix(Own())


def triangle(old, new):
    "Weights of the old pixels in each of the new ones"
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    weight = np.clip(1 - np.abs(np.arange(old) - centres[:, None]) / max(1, old / new), 0, None)
    return torch.from_numpy(weight / weight.sum(1, keepdims=True)).float()


def nearest_exact(mask, shape):
    "torch's nearest neighbours"
    return interpolate(mask.float()[None, None], shape, mode="nearest-exact")[0, 0]


@pytest.mark.parametrize("shape", [(5, 9), (40, 61), (20, 20), (1, 1), (20, 7)], ids=str)
def test_picture_is_resized_by_triangles(shape):
    image = torch.rand(2, 20, 31)
    expected = triangle(20, shape[0]) @ image @ triangle(31, shape[1]).T
    assert (resize_image(image, shape) - expected).abs().max() < 1e-5
    mask = (image[0] * 9).int()
    assert torch.equal(resize_mask(mask, shape).float(), nearest_exact(mask, shape))


@pytest.mark.parametrize("shape", [(4, 9, 5), (20, 6, 7), (7, 6, 8), (7, 12, 8)], ids=str)
def test_volume_is_resized_by_triangles(shape):
    image = torch.rand(2, 7, 6, 8)
    ours = resize_image(image, shape)
    theirs = torch.einsum("cijk,ai,bj,dk->cabd", image, *(triangle(o, n) for o, n in zip((7, 6, 8), shape)))
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < 1e-5
    mask = (image[0] * 9).int()
    assert torch.equal(resize_mask(mask, shape).float(), nearest_exact(mask, shape))
