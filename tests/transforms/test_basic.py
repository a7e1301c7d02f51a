"Rotation, zoom, crop, brightness, contrast, dihedral, resize, composition: what each must get right"

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from misas.core.cases import Case
from misas.core.sweeps import checked_values, get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.transforms.basic import Brightness, Compose, Contrast, Crop, Dihedral, Fixed, Resize, Rotate, Zoom

HEART = phantom((128, 128), seed=3)
SQUARE = Case(torch.rand(2, 6, 6), truth=np.arange(36).reshape(6, 6) % 4)
OBLONG = Case(torch.rand(1, 5, 8), truth=np.arange(40).reshape(5, 8) % 4)
CUBE = Case(torch.rand(1, 5, 5, 5), truth=np.arange(125).reshape(5, 5, 5) % 3)
VOLUME = Case(torch.rand(2, 5, 7, 6), truth=np.arange(210).reshape(5, 7, 6) % 5, spacing=(8, 1.5, 1.5))
PLACED = VOLUME.replace(affine=np.array([[0, 0.5, 1.4, 3], [0, 1.4, -0.5, 1], [8, 0, 0, -9], [0, 0, 0, 1.0]]))
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 11), dtype=np.uint8))


@pytest.mark.parametrize("case", [SQUARE, HEART], ids=["square", "heart"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_quarter_turns_are_exact_and_counter_clockwise(case, k):
    turned = Rotate()(case, 90 * k)
    assert torch.equal(turned.image, torch.rot90(case.image, k, (1, 2)))
    assert torch.equal(turned.truth, torch.rot90(case.truth, k, (0, 1)))


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2), (2, 0)], ids=str)
def test_quarter_turns_in_each_plane_of_a_cube(axes):
    assert np.array_equal(Rotate(axes=axes)(CUBE, 90).image[0], np.rot90(CUBE.image[0], 1, axes))
    assert np.array_equal(Rotate(axes=axes)(CUBE, -90).truth, np.rot90(CUBE.truth, -1, axes))


def test_full_turn_is_exact_and_fractions_count():
    assert torch.equal(Rotate()(SQUARE, 360).image, SQUARE.image)
    assert not torch.equal(Rotate()(HEART, 0.4).image, HEART.image)


def test_rotation_is_one_in_mm():
    bar = np.zeros((41, 21), int)
    bar[20, 6:15] = 1  # 9 pixels of 2 mm
    flat = Case(bar.astype("float32"), bar, spacing=(1, 2))
    assert Rotate()(flat, 90).truth.nonzero()[:, 0].unique().numel() in (17, 18)  # rows of 1 mm


@pytest.mark.parametrize("axes", [(0, 2), (0, -2), (1, -1)], ids=str)
def test_axes_that_this_image_has_not(axes):
    with pytest.raises(ValueError, match="axes must be different spatial axes from -2 to 1, got"):
        Rotate(axes=axes)(SQUARE, 90)


@pytest.mark.parametrize("axes", [(0, 0), (1,), 1, None, (0, 5), (0, 0.5), "ab", ()], ids=str)
def test_axes_that_no_image_has(axes):
    with pytest.raises(ValueError, match="axes must be two different spatial axes, integers from -3 to 2, got"):
        Rotate(axes=axes)


def test_axes_are_the_same_however_they_are_written():
    assert {Rotate(axes=a) for a in ([-2, -1], np.array([-2, -1]), (-2.0, -1.0))} == {Rotate()}
    assert torch.equal(Rotate(axes=(0.0, 1.0))(SQUARE, 90).image, Rotate()(SQUARE, 90).image)
    assert {Crop(axes=1), Crop(axes=[1])} == {Crop(axes=(1,))}
    assert torch.equal(Crop(axes=1)(OBLONG, 2).truth[:, 2:-2], OBLONG.truth[:, 2:-2])


@pytest.mark.parametrize("fill", [math.nan, "black"], ids=str)
def test_fill_is_a_finite_number(fill):
    with pytest.raises(ValueError, match="fill must be a finite number, or None"):
        Rotate(fill=fill)


def disc(radius, n=129):
    return np.hypot(*(np.indices((n, n)) - (n - 1) / 2)) <= radius


@pytest.mark.parametrize("factor", [0.5, 2, 1.37])
def test_zoom_means_what_it_says(factor):
    zoomed = Zoom()(Case(disc(20).astype("float32"), disc(20)), factor)
    assert abs(math.sqrt(zoomed.truth.sum() / math.pi) - 20 * factor) < 0.5  # the radius, from the area
    assert 1 in Zoom.values


def test_zoom_by_nothing():
    with pytest.raises(ValueError, match="factor of zoom must be a number > 0, got 0"):
        Zoom()(SQUARE, 0)
    with pytest.raises(ValueError, match="zoom: matrix is singular"):
        Zoom()(SQUARE, 1e-320)


def test_rounding_noise_is_neutral():
    neutral = [Zoom()._is_neutral(v, SQUARE) for v in np.arange(0.9, 1.15, 0.1).tolist()]
    assert neutral == [False, True, False]
    assert Zoom()(SQUARE, 1 - 1e-16) is SQUARE


def test_crop_blacks_the_border_and_keeps_the_size():
    cut = Crop()(OBLONG, 1)
    assert cut.shape == (5, 8) and torch.equal(cut.image[:, 1:-1, 1:-1], OBLONG.image[:, 1:-1, 1:-1])
    assert cut.image[:, [0, -1]].sum() == 0 and cut.truth[:, [0, -1]].sum() == 0
    assert torch.equal(Crop()(VOLUME, 2).truth[:, 2:-2, 2:-2], VOLUME.truth[:, 2:-2, 2:-2])
    assert Crop()(VOLUME, 3).truth.sum() == VOLUME.truth[:, 3:-3, 3:-3].sum()
    assert Crop()(OBLONG, 4).image.max() == 0  # nothing is left
    ct = Case(torch.rand(1, 4, 4) * 100, scale=(-1024, 3000))
    assert Crop()(ct, 1).image[0, 0, 0] == -1024  # black is what the scale says


def test_crop_goes_to_half_of_the_shorter_side():
    assert Crop().values_for(HEART) == (0, 10, 20, 30, 40, 50, 60)
    assert Crop().values_for(OBLONG) == (0, 1, 2)


@pytest.mark.parametrize("pixels", [-1, 1.5])
def test_crop_takes_integers(pixels):
    with pytest.raises(ValueError, match="pixels of crop"):
        Crop()(OBLONG, pixels)


@pytest.mark.parametrize("axes", [(0, 5), (), (0, 0), (0.5,)], ids=str)
def test_crop_along_axes_that_no_image_has(axes):
    with pytest.raises(ValueError, match="axes must be different spatial axes, integers from -3 to 2, got"):
        Crop(axes=axes)


@pytest.mark.parametrize("use", [lambda t: t(OBLONG, 1), lambda t: t.values_for(OBLONG)], ids=["call", "values_for"])
def test_crop_along_an_axis_that_this_image_has_not(use):
    with pytest.raises(ValueError, match=r"axes must be different spatial axes from -2 to 1, got \(2,\)"):
        use(Crop(axes=2))


INTENSITY = [(Brightness(), ImageEnhance.Brightness), (Contrast(), ImageEnhance.Contrast)]


@pytest.mark.parametrize("factor", [0.3, 1.7, 4])
@pytest.mark.parametrize("transform,enhance", INTENSITY, ids=["brightness", "contrast"])
def test_intensity_is_pillows(transform, enhance, factor):
    theirs = np.asarray(enhance(PICTURE).enhance(factor), float)
    ours = transform(load_case(PICTURE), factor).image[0].numpy()
    assert np.abs(ours - theirs).max() <= 1 + abs(1 - factor) / 2  # Pillow rounds the mean and the result


@pytest.mark.parametrize("top,dtype", [(65535, np.uint16), (1.0, np.float32), (3000.0, np.float32)], ids=str)
@pytest.mark.parametrize("transform", [Brightness(), Contrast()], ids=str)
def test_intensity_means_the_same_on_any_scale(transform, top, dtype):
    same = load_case((np.asarray(PICTURE) / 255 * top).astype(dtype), scale=(0, top))
    expected = transform(load_case(PICTURE), 1.7).image / 255
    assert np.allclose(transform(same, 1.7).image / top, expected, atol=2e-5)


def test_brightness_counts_from_black():
    ct = Case(torch.tensor([[[-1000.0, 0, 3000]]]))
    assert Brightness()(ct, 0.5).image.flatten().tolist() == [-1000, -500, 1000]  # black is -1000
    with pytest.raises(ValueError, match="factor of brightness must be a number >= 0, got -1"):
        Brightness()(ct, -1)
    with pytest.raises(ValueError, match="finite"):
        Brightness()(Case(torch.zeros(1, 2, 2)), 1e300)


def test_dihedrals_are_all_different():
    seen = {tuple(Dihedral()(SQUARE, k).image.flatten().tolist()) for k in range(8)}
    assert len(seen) == 8


@pytest.mark.parametrize("k", range(8))
def test_dihedral_loses_nothing_and_is_pillows(k):
    put = Dihedral()(OBLONG, k)
    assert sorted(put.image.flatten().tolist()) == sorted(OBLONG.image.flatten().tolist())
    assert put.shape == ((8, 5) if k // 2 % 2 else (5, 8))
    theirs = PICTURE.rotate(90 * (k // 2), expand=True)
    if k % 2:
        theirs = theirs.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert np.array_equal(Dihedral()(load_case(PICTURE), k).image[0], np.asarray(theirs))


@pytest.mark.parametrize("k", range(8))
def test_dihedral_leaves_every_pixel_where_it_was_in_the_world(k):
    index = np.indices(PLACED.shape).reshape(3, -1)
    world = PLACED.affine[:3, :3] @ index + PLACED.affine[:3, 3:]
    where = torch.from_numpy(world.reshape(3, *PLACED.shape)).float()
    put = Dihedral()(PLACED.replace(image=where, truth=None), k)
    found = put.affine[:3, :3] @ np.indices(put.shape).reshape(3, -1) + put.affine[:3, 3:]
    assert np.allclose(found, put.image.flatten(1), atol=1e-4)


def test_dihedral_swaps_spacing():
    assert Dihedral()(VOLUME.replace(spacing=(8, 1, 2)), 2).spacing == (8, 2, 1)


def test_resize_keeps_the_object_in_its_place():
    big = Resize()(PLACED, 14)
    lengths = np.linalg.norm(PLACED.affine[:3, :3], axis=0)
    assert np.allclose(np.linalg.norm(big.affine[:3, :3], axis=0), lengths / 2)
    within = Resize(axes=(-2, -1))(PLACED, 14)
    assert np.allclose(np.linalg.norm(within.affine[:3, :3], axis=0), lengths / [1, 2, 2])
    centres = [c.affine @ [*(np.array(c.shape) - 1) / 2, 1] for c in (big, PLACED)]
    assert np.allclose(*centres)


def test_resize_keeps_the_aspect():
    half = Resize()(OBLONG, 4)  # 5 x 8 pixels of 1 mm
    assert half.shape == (2, 4) and half.truth.shape == (2, 4) and half.spacing == (2.5, 2)
    assert Resize()(VOLUME, 14).shape == (10, 14, 12)
    assert Resize(axes=(-2, -1))(VOLUME, 14).shape == (5, 14, 12)


def test_resize_values_include_the_images_own_size():
    assert 128 in Resize().values_for(HEART) and Resize().values_for(HEART)[0] == 32
    assert Resize()(OBLONG, 8) is OBLONG


def test_resize_keeps_a_constant_image():
    assert torch.allclose(Resize()(Case(torch.full((1, 9, 9), 7.0)), 5).image, torch.tensor(7.0))


def test_resize_to_nothing():
    with pytest.raises(ValueError, match="pixels of resize must be an integer >= 1, got 0"):
        Resize()(OBLONG, 0)


BOTH = Compose(Rotate(), Zoom())
STILL = Compose(Rotate(), Fixed("zoom", 1))


def test_composition_is_one_after_the_other():
    assert str(BOTH) == "rotation+zoom" and BOTH.param == "deg, factor" and BOTH.neutral == (0, 1)
    assert torch.equal(BOTH(HEART, (0, 1)).image, HEART.image)
    assert torch.equal(BOTH(SQUARE, (90, 1)).image, Rotate()(SQUARE, 90).image)
    assert torch.equal(BOTH(SQUARE, (90, 1)).truth, Rotate()(SQUARE, 90).truth)
    half = Resize()(OBLONG, 4)
    assert torch.equal(Compose(Resize(), Dihedral())(OBLONG, (4, 2)).image, torch.rot90(half.image, 1, (1, 2)))


def test_composition_is_resampled_once():
    there = Compose(Rotate(), Fixed(Rotate(), -30))
    assert (there(HEART, 30).image - HEART.image).abs().max() < 1e-5  # forth and back is nowhere
    assert there.param == "deg" and str(there) == "rotation+rotation=-30"
    assert there.values_for(HEART) == Rotate.values


def test_composition_has_no_neutral_value_where_a_fixed_member_changes_the_image():
    dark = Compose(Fixed(Brightness(), 0.5), Rotate())
    assert torch.allclose(dark(HEART, 0).image, HEART.image * 0.5)
    assert dark.neutral is None and dark.neutral_for(HEART) is None  # no angle undoes it


def test_composition_is_neutral_where_all_members_are():
    assert STILL.neutral == STILL.neutral_for(HEART) == 0
    assert STILL(HEART, 0) is HEART
    assert BOTH(HEART, (1e-16, 1)) is HEART
    assert BOTH(HEART, (0, 2)) is not HEART


def test_fixed_takes_names_and_functions():
    assert torch.allclose(Fixed(lambda x, v: x * v, 0.9)(HEART, None).image, HEART.image * 0.9)
    assert Compose(Rotate(), Fixed("zoom", 2))(HEART, 0).image.equal(Zoom()(HEART, 2).image)
    with pytest.raises(ValueError, match="factor of zoom must be a number > 0, got 0"):
        Fixed(Zoom(), 0)
    with pytest.raises(ValueError, match="transform must be a known name, got 'zom' .did you mean 'zoom'"):
        Fixed("zom", 2)


ROWS = np.array([[0, 1], [10, 1.1]])


@pytest.mark.parametrize("kind", [lambda x: x, torch.from_numpy, np.ndarray.tolist, lambda x: zip(*x.T)])
def test_values_of_a_composition_are_rows(kind):
    assert checked_values(BOTH, kind(ROWS), HEART) == [(0, 1), (10, 1.1)]


@pytest.mark.parametrize("value", [3, (1,), (1, 0), np.zeros(3), np.array(3)], ids=str)
def test_value_of_a_composition_is_a_tuple(value):
    with pytest.raises(ValueError, match="zoom|value of rotation"):
        BOTH(HEART, value)


def test_empty_composition():
    with pytest.raises(ValueError, match="members must be at least one transform, got none"):
        Compose()
    with pytest.raises(ValueError, match="members must include one that isn't Fixed, got rotation=3"):
        Compose(Fixed("rotation", 3))


def test_composition_is_swept_over_the_free_member():
    larger = get_series(lambda x: x > 0.5, HEART, Compose(Rotate(), Fixed(Zoom(), 1.5)), [0, 10], progress=False)
    assert larger.values == [0, 10]
    assert larger[0].truth.equal(Zoom()(HEART, 1.5).truth)
    assert not larger[0].truth.equal(larger[1].truth)
