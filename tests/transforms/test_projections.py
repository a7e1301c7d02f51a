"Artefacts of CT in projections: against scikit-image; sparse views, rings, metal"

import numpy as np
import pytest
import torch
from chest import chest
from skimage.transform import iradon, radon, warp_polar

from misas.transforms import projections as module
from misas.transforms.projections import (
    _WATER,
    MetalStreaks,
    Rings,
    SparseView,
    _count_detectors,
    _coverage,
    _measured,
    _opposite,
    _project,
    _reconstruct,
    _resampled,
    _shadow,
    _square_grid,
)

BODY = chest()
PAIR = BODY.replace(
    image=torch.stack([BODY.image, BODY.image.flip(-1)], 1),
    truth=torch.stack([BODY.truth, BODY.truth.flip(-1)]),
    spacing=(5, 3, 3),
)  # a volume of two slices


# Projections


def blob(shape):
    row, col = np.indices(shape) - np.array(shape)[:, None, None] // 2
    return torch.from_numpy(np.exp(-((row - shape[0] / 8) ** 2 + (col + shape[1] / 6) ** 2) / 40)).float()


@pytest.mark.parametrize("shape", [(64, 64), (41, 64), (64, 41), (33, 32), (1, 9), (5, 1), (1, 1)], ids=str)
def test_projection_and_reconstruction_are_linear(shape):
    planes = blob(shape)
    projections = _project(torch.stack([planes, 2 * planes]), 90)
    back = _reconstruct(projections, shape)
    assert projections.shape == (2, 90, _count_detectors(shape)) and back.shape == (2, *shape)
    assert torch.allclose(projections[1], 2 * projections[0])
    assert torch.allclose(back[1], 2 * back[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (41, 64), (64, 41), (33, 32)], ids=str)
def test_projection_and_reconstruction_are_scikit_images(shape):
    plane = blob(shape)
    projections = _project(plane[None], 90)[0]
    back = _reconstruct(projections[None], shape)[0]
    assert np.allclose(projections.sum(1), plane.sum(), rtol=1e-3)  # every view sees all of it
    assert (back - plane).abs().max() < 0.02  # in its place, at its size
    theirs = radon(plane.double().numpy(), np.arange(90) * 2, circle=False)
    assert abs(projections.numpy().T - theirs).max() < 1e-3 * theirs.max()
    side = max(shape)
    square = iradon(theirs, np.arange(90) * 2, output_size=side, circle=False)
    top, left = (side // 2 - n // 2 for n in shape)
    assert abs(back.numpy() - square[top : top + shape[0], left : left + shape[1]]).max() < 1e-3


def test_slices_are_divided_into_squares():
    assert _square_grid((7, 40, 30), (5, 1, 2)) == (1, (40, 60))
    assert _resampled(torch.rand(2, 3, 4, 5), (4, 10)).shape == (6, 4, 10)


# Sparse views


def test_fewer_views_more_streaks():
    error = {v: (SparseView()(BODY, v).image - BODY.image).square().mean().sqrt().item() for v in (30, 60, 180)}
    assert error[30] > error[60] > error[180] and error[180] < 10  # HU
    direct = _reconstruct(_project(BODY.image + 1000, 30), BODY.shape) - 1000
    ours = SparseView()(BODY, 30).image
    assert np.corrcoef((direct - BODY.image).numpy().ravel(), (ours - BODY.image).numpy().ravel())[0, 1] > 0.7


def test_sparse_views_slice_by_slice_and_on_any_scale():
    ours = SparseView()(BODY, 30).image
    assert torch.allclose(SparseView()(PAIR, 30).image[:, 0], ours, atol=1e-2)
    tenth = BODY.replace(image=BODY.image / 10, scale=(-100, 150))
    assert torch.allclose(SparseView()(tenth, 30).image, ours / 10, atol=1e-2)


def test_padding_below_air_makes_no_streaks():
    padded = BODY.replace(image=BODY.image.index_fill(1, torch.arange(5), -3024), scale=(-3024, 1500))
    with_padding = SparseView()(padded, 30).image - padded.image
    without = SparseView()(BODY, 30).image - BODY.image
    assert torch.allclose(with_padding[:, 5:], without[:, 5:], atol=1e-2)


def test_nothing_stale_where_an_image_is_changed_in_place():
    changing = BODY.replace(image=BODY.image.clone())
    first = SparseView()(changing, 60).image
    changing.image.add_(500 * (changing.truth == 2))
    second = SparseView()(changing, 60).image
    module._last_scan.clear()
    assert torch.equal(SparseView()(changing, 60).image, second)
    assert torch.equal(SparseView()(BODY, 60).image, first)
    assert len(module._last_scan) == 1


def test_sparse_views_of_pixels_that_are_not_square():
    flat = BODY.replace(image=BODY.image.reshape(1, 48, 2, 96).mean(2), spacing=(8, 4))  # rows twice as high
    fine, coarse = ((SparseView()(c, 30).image - c.image)[0].numpy() for c in (BODY, flat))
    assert np.corrcoef(fine.reshape(48, 2, 96).mean(1).ravel(), coarse.ravel())[0, 1] > 0.85


def test_one_view_at_least():
    with pytest.raises(ValueError, match="views of sparse-view must be an integer >= 1 and <= 360, got 0"):
        SparseView()(BODY, 0)


# Rings


def test_opposite_detectors():
    assert _opposite(np.arange(5)).tolist() == [4, 3, 2, 1, 0]
    assert _opposite(np.arange(6)).tolist() == [0, 5, 4, 3, 2, 1]


def rings_of_one_percent():
    return Rings()(BODY.replace(image=torch.zeros(1, 96, 96)), 1).image[0].numpy()


def test_rings_do_not_depend_on_what_is_in_the_slice():
    assert np.allclose(Rings()(BODY, 2).image - BODY.image, 2 * rings_of_one_percent(), atol=1e-2)


def test_rings_are_closed_and_round():
    turns = warp_polar(rings_of_one_percent(), (48, 48), radius=43)  # rows are angles, columns radii
    assert turns.mean(0).std() > 4 * turns[:, 4:].std(0).mean()


def test_rings_projected_again_have_the_error_that_was_put_in():
    gains = np.random.default_rng(0).standard_normal(_count_detectors((96, 96))) / 100
    wrong = -(gains + _opposite(gains)) / 2
    attenuation = torch.from_numpy(rings_of_one_percent()[None] / 1000 * _WATER * 4)
    back = _project(attenuation)[0].mean(0).numpy()
    middle = slice(len(back) // 2 - 40, len(back) // 2 + 41)
    coarse = [np.convolve(x, np.ones(5) / 5, "same")[middle] for x in (wrong, back)]
    assert np.corrcoef(*coarse)[0, 1] > 0.98 and abs(np.polyfit(*coarse, 1)[0] - 1) < 0.1


# Metal


@pytest.mark.parametrize("n,radius", [(60, 10), (61, 3.3), (60, 0.4)])
def test_coverage_is_a_disc_in_its_place(n, radius):
    cover = _coverage((n, n + 5), [(0.25, 0.5)], (radius, radius))
    assert abs(cover.sum() / (np.pi * radius**2) - 1) < 0.08
    centre = [(np.indices(cover.shape)[k] * cover).sum() / cover.sum() for k in (0, 1)]
    assert np.allclose(centre, [0.25 * (n - 1), 0.5 * (n + 4)], atol=0.15)


def test_counts_have_the_variance_of_photons():
    normal = torch.from_numpy(np.random.default_rng(0).standard_normal(20000))
    found = _measured(torch.full((20000,), 2.0), 1e4, normal)
    assert abs(found.mean() - 2) < 1e-3 and abs(found.var() / (np.exp(2) / 1e4) - 1) < 0.05  # e^p / photons
    starved = _measured(torch.full((9,), 40.0), 1e4, normal[:9])
    assert torch.allclose(starved, torch.tensor(1e4).log().double())  # no photon arrives, one is counted


@pytest.mark.parametrize(
    "shape,square,pieces",
    [((40, 40), (40, 40), [(0.5, 0.3)]), ((20, 41), (40, 41), [(0.2, 0.9), (0.6, 0.1)])],
    ids=["one", "two"],
)
def test_shadow_is_that_of_what_is_covered(shape, square, pieces):
    covered = _coverage(shape, np.array(pieces), (4 * shape[0] / square[0], 4))
    cover = _project(_resampled(torch.from_numpy(covered).float(), square))[0]
    shadow = _shadow(shape, np.array(pieces), 4, square, "cpu")
    assert (cover[shadow] > 0).all() and cover[shadow].mean() > 5
    assert cover[~shadow].max() < 2.5 * len(pieces)  # no more than pixels that are covered in part


def away_from_the_metal(radius):
    return torch.from_numpy(_coverage(BODY.shape, [(0.5, 0.3)], (radius, radius))) == 0


def test_no_streaks_with_many_photons_or_hardly_any_metal():
    free = away_from_the_metal(1)
    bright = MetalStreaks(photons=1e7)(BODY, 4).image
    small = MetalStreaks()(BODY, 0.1).image
    assert (bright - BODY.image)[0, free].abs().max() < 40
    assert (small - BODY.image)[0, free].abs().max() < 10


def test_more_metal_more_streaks():
    free = away_from_the_metal(4)
    wrong = [(MetalStreaks()(BODY, r).image - BODY.image)[0, free].square().mean().sqrt() for r in (4, 8, 12, 16)]
    assert wrong == sorted(wrong) and wrong[-1] > 5 * wrong[0]


def test_dark_band_between_two_pieces():
    both = MetalStreaks(position=((0.5, 0.25), (0.5, 0.75)))(BODY, 12).image[0]
    assert both[47:49, 36:60].mean() < BODY.image[0, 47:49, 36:60].mean() - 200
    assert both.max() <= 3071 and both.min() >= -1024


def test_positions_are_the_same_however_they_are_written():
    single = {MetalStreaks(position=p) for p in ([0.2, 0.3], np.array([0.2, 0.3]))}
    assert single == {MetalStreaks(position=(0.2, 0.3))}
    several = MetalStreaks(position=[[0.2, 0.3], [0.5, 0.6]])
    assert {several} == {MetalStreaks(position=((0.2, 0.3), (0.5, 0.6)))}


@pytest.mark.parametrize(
    "bad",
    [
        dict(position=(0.5, 2)),
        dict(position=(0.1, 0.2, 0.3)),
        dict(position=0.5),
        dict(position=()),
        dict(photons=0),
        dict(attenuation=-1),
    ],
    ids=str,
)
def test_arguments_of_metal_streaks(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        MetalStreaks(**bad)
