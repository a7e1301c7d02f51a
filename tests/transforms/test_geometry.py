"Movements in mm, against scipy, SimpleITK, torchio and scikit-image"

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torchio
from scipy.ndimage import affine_transform
from skimage.measure import block_reduce
from torch.nn.functional import avg_pool2d, avg_pool3d, pad

from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.transforms.basic import Compose, Crop, Fixed, Rotate, Zoom
from misas.transforms.geometry import (
    Anisotropy,
    Elastic,
    FieldOfView,
    Flip,
    Rotate3D,
    Scale,
    Shear,
    Translate,
    _basis,
    _round_values,
    _slice_weights,
    _spread,
    _thick_slices,
    _unit_field,
)

torch.manual_seed(0)
HEART = phantom((128, 128), seed=3, spacing=1.8)
VOLUME = phantom((24, 80, 64), seed=1, spacing=(4, 2.5, 2.5))
CUBE = Case(torch.rand(2, 7, 7, 7), truth=np.arange(343).reshape(7, 7, 7) % 5)
NOISE = Case(
    torch.rand(1, 12, 17, 14), truth=np.random.default_rng(0).integers(0, 4, (12, 17, 14)), spacing=(3, 1.2, 1.5)
)
BRICK = Case(torch.rand(3, 5, 6, 7), truth=np.arange(210).reshape(5, 6, 7) % 6, spacing=(5, 1.3, 0.7))
PLANES = [((1, 0, 0), (1, 2)), ((0, 1, 0), (2, 0)), ((0, 0, 1), (0, 1))]  # axis, and the plane across it


def itk_image(case, what):
    "A channel or mask `(*S)` as an image of SimpleITK, in mm"
    image = sitk.GetImageFromArray(np.asarray(what))
    image.SetSpacing(case.spacing[::-1])
    return image


def itk_resample(case, transform, what, method=sitk.sitkLinear):
    "SimpleITK counts axes the other way round, and is told where a point comes from"
    image = itk_image(case, what)
    return torch.from_numpy(sitk.GetArrayFromImage(sitk.Resample(image, image, transform, method, -1e3)))


def itk_rotation(case, axis, deg):
    "Axes the other way round turn a right hand into a left one: the angle has our sign"
    middle = [(n - 1) / 2 for n in case.shape[::-1]]
    turn = sitk.VersorRigid3DTransform()
    turn.SetCenter(itk_image(case, case.image[0]).TransformContinuousIndexToPhysicalPoint(middle))
    turn.SetRotation(axis[::-1], math.radians(deg))
    return turn


def scipy_affine(case, matrix):
    n = case.ndim
    spacing = np.diag(case.spacing)
    centre = (np.array(case.shape) - 1) / 2
    back = np.linalg.inv(spacing) @ np.linalg.inv(matrix[:, :n]) @ spacing
    shift = matrix[:, n] if matrix.shape[1] > n else np.zeros(n)
    offset = centre - back @ (centre + np.linalg.inv(spacing) @ shift)
    image = case.image[0].double().numpy()
    return torch.from_numpy(affine_transform(image, back, offset, order=1, mode="constant", cval=-1e3))


def torchio_image(case):
    return torchio.ScalarImage(tensor=case.image, affine=np.diag([*case.spacing, 1]))


def inner(transform, case, value):
    "Where a voxel and all its neighbours come from inside: each library has its own idea of what lies beyond"
    ones = case.replace(image=torch.ones(1, *case.shape), truth=None)
    solid = transform(ones, value).image[0] > 0.999
    pool = avg_pool3d if case.ndim == 3 else avg_pool2d
    return solid & (pool(solid[None].float(), 3, 1, 1)[0] > 0.999)


# Rotate3D


@pytest.mark.parametrize("axis,plane", PLANES, ids=str)
@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 0.7)], ids=str)
def test_quarter_turns_of_a_cube_are_exact(axis, plane, n, spacing):
    block = Case(torch.rand(2, n, n, n), truth=np.arange(n**3).reshape(n, n, n) % 5, spacing=spacing)
    for k in (-1, 1, 2, 3):
        turned = Rotate3D(axis=axis)(block, 90 * k)
        assert torch.equal(turned.image, torch.rot90(block.image, k, tuple(a + 1 for a in plane)))
        assert torch.equal(turned.truth, torch.rot90(block.truth, k, plane))


@pytest.mark.parametrize("axis", [axis for axis, _ in PLANES], ids=str)
def test_half_turns_are_exact_whatever_the_spacing(axis):
    brick = Case(torch.rand(3, 5, 8, 6), truth=np.arange(240).reshape(5, 8, 6) % 7, spacing=(6, 1.3, 2))
    half = Rotate3D(axis=axis)(brick, 180)
    plane = [a for a in range(3) if not axis[a]]
    assert torch.equal(half.truth, brick.truth.flip(plane))
    assert torch.equal(half.image, brick.image.flip([a + 1 for a in plane]))


@pytest.mark.parametrize("axis,plane", PLANES, ids=str)
def test_quarter_turns_are_exact_where_the_plane_is_a_square_of_square_pixels(axis, plane):
    across = axis.index(1)
    spacing = [2.0, 2.0, 2.0]
    spacing[across] = 5  # long voxels across the plane
    shape = [6, 6, 6]
    shape[across] = 4
    brick = Case(torch.rand(1, *shape), truth=np.arange(144).reshape(shape) % 7, spacing=spacing)
    assert torch.equal(Rotate3D(axis=axis)(brick, 90).truth, torch.rot90(brick.truth, 1, plane))


def test_turns_about_diagonals_are_exact():
    third = Rotate3D(axis=(1, 1, 1))(CUBE, 120)
    assert torch.equal(third.truth, CUBE.truth.permute(2, 0, 1))  # slices to rows, rows to columns
    assert torch.equal(third.image, CUBE.image.permute(0, 3, 1, 2))
    assert torch.equal(Rotate3D(axis=(1, 1, 0))(CUBE, 180).truth, CUBE.truth.transpose(0, 1).flip(2))


def test_turn_of_long_voxels_interpolates_every_second_column():
    brick = Case(torch.rand(1, 5, 4, 9), truth=np.arange(180).reshape(5, 4, 9) % 7, spacing=(2, 1, 1))
    turned = Rotate3D(axis=(0, 1, 0))(brick, 90)
    back = Rotate3D(axis=(0, 1, 0))(brick, -90)
    assert torch.equal(turned.truth[:, :, ::2], torch.rot90(brick.truth[:, :, ::2], 1, (2, 0)))
    assert torch.allclose(back.image[..., ::2], torch.rot90(brick.image[..., ::2], -1, (3, 1)), atol=1e-5)
    between = torch.rot90(brick.image[..., ::2], 1, (3, 1))
    assert torch.allclose(turned.image[..., 1::2], (between[..., 1:] + between[..., :-1]) / 2, atol=1e-5)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, -2), (1, 2, -0.5), (0.3, -1, 1)], ids=str)
@pytest.mark.parametrize("deg", [17.3, -64])
def test_rotation_about_any_axis_is_scipys_and_simpleitks(axis, deg):
    turn = Rotate3D(axis=axis, fill=0)
    turned = turn(NOISE, deg)
    here = inner(turn, NOISE, deg)
    assert here.sum() > 200
    assert (turned.image[0] - scipy_affine(NOISE, turn.matrix(deg, 3)))[here].abs().max() < 1e-4
    itk = itk_rotation(NOISE, axis, deg)
    assert (turned.image[0] - itk_resample(NOISE, itk, NOISE.image[0]))[here].abs().max() < 1e-4
    assert not (turned.truth != itk_resample(NOISE, itk, NOISE.truth, sitk.sitkNearestNeighbor))[here].any()
    longer = Rotate3D(axis=tuple(3 * a for a in axis))  # its length does not matter
    assert torch.equal(turned.truth, longer(NOISE, deg).truth)


@pytest.mark.parametrize("axis,plane", PLANES, ids=str)
def test_rotation_about_an_axis_of_the_array_is_rotate_and_torchios(axis, plane):
    turned = Rotate3D(axis=axis)(NOISE, 23)
    flat = Rotate(axes=plane)(NOISE, 23)
    assert torch.equal(turned.truth, flat.truth) and torch.equal(turned.image, flat.image)
    theirs = torchio.Affine((1, 1, 1), tuple(23.0 * a for a in axis), (0, 0, 0), default_pad_value=-1e3)
    here = inner(Rotate3D(axis=axis, fill=0), NOISE, 23)
    assert (turned.image - theirs(torchio_image(NOISE)).data)[0, here].abs().max() < 1e-4


def test_pictures_have_no_third_axis():
    with pytest.raises(ValueError, match=r"case of rotation-3d must have 3 spatial axes, got 2 \(for a picture use"):
        Rotate3D()(HEART, 5)


@pytest.mark.parametrize("axis", [(0, 0, 0), (1, 0), (1, 0, math.nan), (1, 0, 0, 0), 0], ids=str)
def test_axis_of_rotation_is_a_direction(axis):
    with pytest.raises(ValueError, match="axis must be three finite numbers .*, got"):
        Rotate3D(axis=axis)


def test_axis_of_rotation_is_the_same_however_it_is_written():
    assert str(Rotate3D(axis=(0, 1, 0))) == "rotation-3d(axis=(0, 1, 0))"
    assert {Rotate3D(axis=a) for a in ((0, 1, 0), [0, 1, 0], np.array([0, 1, 0]))} == {Rotate3D(axis=(0, 1, 0))}


# Translate


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("k", [1, 2, -1])
def test_translation_by_pixels_is_exact(axis, k):
    a = axis % 3
    moved = Translate(axis=axis, fill=0)(BRICK, k * BRICK.spacing[a])
    come_in = torch.arange(k) if k > 0 else torch.tensor([-1])
    assert torch.equal(moved.truth, torch.roll(BRICK.truth, k, a).index_fill(a, come_in, 0))
    assert torch.equal(moved.image, torch.roll(BRICK.image, k, a + 1).index_fill(a + 1, come_in, 0))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_translation_by_half_a_pixel_is_the_mean(axis):
    a = axis % 3
    half = Translate(axis=axis, fill=0)(BRICK, BRICK.spacing[a] / 2).image.movedim(a + 1, 1)
    before = BRICK.image.movedim(a + 1, 1)
    assert torch.allclose(half[:, 1:], (before[:, 1:] + before[:, :-1]) / 2, atol=1e-5)


def test_translation_to_the_right_and_down():
    assert Translate()(HEART, 18).truth[:, 10:].equal(HEART.truth[:, :-10])  # 10 pixels of 1.8 mm
    assert Translate(axis=-2)(HEART, 18).truth[10:].equal(HEART.truth[:-10])


@pytest.mark.parametrize("axis,shift", [(0, 4.1), (2, -2.3)])
def test_translation_is_simpleitks(axis, shift):
    here = inner(Translate(axis=axis, fill=0), NOISE, shift)
    move = sitk.TranslationTransform(3, [-shift if a == axis else 0.0 for a in (2, 1, 0)])
    theirs = itk_resample(NOISE, move, NOISE.image[0])
    assert (Translate(axis=axis)(NOISE, shift).image[0] - theirs)[here].abs().max() < 1e-4


def test_translation_out_of_sight_leaves_background():
    gone = Translate()(HEART, 1e6)
    assert (gone.truth == 0).all() and (gone.image == HEART.background[0]).all()


# Scale


def test_scale_along_all_axes_is_zoom():
    assert torch.equal(Scale(axes=(0, 1, 2))(NOISE, 1.3).image, Zoom()(NOISE, 1.3).image)


def test_scale_by_two_meets_pixels():
    tall = Case(torch.rand(2, 9, 5), truth=np.arange(45).reshape(9, 5) % 4, spacing=(3, 1))
    small = Scale(fill=0)(tall, 0.5)  # every second row, from the middle on
    assert torch.equal(small.image[:, 2:7], tall.image[:, ::2])
    assert torch.equal(small.truth[2:7], tall.truth[::2])
    assert not small.image[:, [0, 1, 7, 8]].any()
    assert torch.allclose(Scale()(tall, 2).image[:, 2:7:2], tall.image[:, 3:6], atol=1e-6)


@pytest.mark.parametrize("axes,factor", [((0,), 1.4), ((1, 2), 0.8), ((-1,), 2.3)], ids=str)
def test_scale_is_torchios_and_scipys(axes, factor):
    scale = Scale(axes=axes, fill=0)
    here = inner(scale, NOISE, factor)
    scaled = scale(NOISE, factor).image[0]
    factors = tuple(float(f) for f in np.diag(scale.matrix(factor, 3)))
    theirs = torchio.Affine(factors, (0, 0, 0), (0, 0, 0), default_pad_value=-1e3)(torchio_image(NOISE)).data[0]
    assert (scaled - theirs)[here].abs().max() < 1e-4
    assert (scaled - scipy_affine(NOISE, scale.matrix(factor, 3)))[here].abs().max() < 1e-4


@pytest.mark.parametrize("factor", [0, -1])
def test_scale_is_positive(factor):
    with pytest.raises(ValueError, match=f"factor of scale must be a number > 0, got {factor}"):
        Scale()(HEART, factor)


@pytest.mark.parametrize("axes", [2, (2,)], ids=str)
def test_scale_along_an_axis_that_the_image_has_not(axes):
    with pytest.raises(ValueError, match=r"axes must be different spatial axes from -2 to 1, got \(2,\)"):
        Scale(axes=axes)(HEART, 2)


def test_scale_is_the_same_however_axes_are_written():
    assert {Scale(axes=a) for a in (0, np.int64(0), (0,), [0], np.array([0]))} == {Scale()}
    assert str(Scale(axes=1)) == str(Scale(axes=[1])) == "scale(axes=(1,))"
    assert torch.equal(Scale(axes=1)(NOISE, 1.3).image, Scale(axes=(1,))(NOISE, 1.3).image)


# Shear


def test_shear_at_45_degrees_moves_rows_by_pixels():
    square = Case(torch.rand(2, 5, 5), truth=np.arange(25).reshape(5, 5) % 4)
    slanted = Shear(fill=0)(square, 45)
    for row in range(5):
        k = row - 2
        there = slice(max(k, 0), 5 + min(k, 0))
        here = slice(max(-k, 0), 5 + min(-k, 0))
        assert torch.equal(slanted.image[:, row, there], square.image[:, row, here])
        assert torch.equal(slanted.truth[row, there], square.truth[row, here])


def test_shear_is_scipys_and_simpleitks():
    tower = Shear(axes=(0, 2), fill=0)
    here = inner(tower, NOISE, 25)
    sheared = tower(NOISE, 25).image[0]
    assert (sheared - scipy_affine(NOISE, tower.matrix(25, 3)))[here].abs().max() < 1e-4
    push = sitk.AffineTransform(3)
    push.SetCenter(itk_rotation(NOISE, (1, 0, 0), 0).GetCenter())
    push.SetMatrix([1, 0, -math.tan(math.radians(25)), 0, 1, 0, 0, 0, 1])
    assert (sheared - itk_resample(NOISE, push, NOISE.image[0]))[here].abs().max() < 1e-4


@pytest.mark.parametrize("axes", [0, (0,), (0, 0), (0, 2)], ids=str)
def test_shear_takes_two_axes(axes):
    with pytest.raises(ValueError, match="axes must be"):
        Shear(axes=axes)(HEART, 3)


def test_shear_has_a_domain_and_can_be_hashed():
    assert {Shear(axes=[0, -1])} == {Shear(axes=(0, -1))}
    with pytest.raises(ValueError, match="deg of shear must be a number >= -89 and <= 89, got 90"):
        Shear()(HEART, 90)


def test_composition_of_matrices_is_resampled_once():
    there = Compose(
        Rotate3D(axis=(1, 2, 3)),
        Fixed(Translate(axis=0), 4),
        Fixed(Translate(axis=0), -4),
        Fixed(Rotate3D(axis=(1, 2, 3)), -30),
    )
    assert (there(NOISE, 30).image - NOISE.image).abs().max() < 1e-5
    assert torch.equal(there(NOISE, 30).truth, NOISE.truth)


# Flip


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_flip_is_numpys_and_its_own_inverse(axis):
    flipped = Flip(axis=axis)(BRICK, 1)
    assert np.array_equal(flipped.truth, np.flip(BRICK.truth.numpy(), axis))
    assert np.array_equal(flipped.image[1], np.flip(BRICK.image[1].numpy(), axis))
    assert torch.equal(Flip(axis=axis)(flipped, 1).image, BRICK.image)
    assert Flip(axis=axis)(BRICK, 0) is BRICK


@pytest.mark.parametrize("yes,no", [(True, False), (np.True_, np.False_)])
def test_flip_takes_booleans(yes, no):
    assert torch.equal(Flip()(BRICK, yes).image, BRICK.image.flip(-1))
    assert Flip()(BRICK, no) is BRICK


def test_flip_takes_nothing_else():
    with pytest.raises(ValueError, match="mirrored of flip must be an integer >= 0 and <= 1, got 2"):
        Flip()(BRICK, 2)


# FieldOfView


def test_field_of_view_cuts_what_crop_blacks():
    cut = FieldOfView()(HEART, 0.75)
    assert cut.shape == (96, 96) and cut.truth.shape == (96, 96)
    assert cut.spacing == HEART.spacing and cut.scale == HEART.scale
    assert torch.equal(cut.image, HEART.image[:, 16:-16, 16:-16])
    assert torch.equal(cut.truth, HEART.truth[16:-16, 16:-16])
    assert torch.equal(cut.image, Crop()(HEART, 16).image[:, 16:-16, 16:-16])
    theirs = torchio.Crop((16, 16, 16, 16, 0, 0))(torchio.ScalarImage(tensor=HEART.image[..., None])).data[..., 0]
    assert torch.equal(cut.image, theirs)


def test_field_of_view_along_any_axes():
    assert FieldOfView(axes=(0,))(VOLUME, 0.5).shape == (12, 80, 64)
    assert FieldOfView(axes=0)(VOLUME, 0.5).shape == (12, 80, 64)
    assert FieldOfView(axes=(0, 1, 2))(VOLUME, 0.5).shape == (12, 40, 32)
    assert {FieldOfView(axes=a) for a in (0, [0])} == {FieldOfView(axes=(0,))}


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 101])
@pytest.mark.parametrize("fraction", [1e-6, 0.1, 0.33, 0.5, 0.9, 0.999])
def test_field_of_view_keeps_its_centre(n, fraction):
    row = FieldOfView(axes=(1,))(Case(torch.arange(float(n)).reshape(1, 1, n)), fraction)
    kept = row.shape[1]
    assert kept % 2 == n % 2
    assert abs(kept - fraction * n) <= 1 + (fraction * n < 1)
    assert row.image.mean() == (n - 1) / 2


def test_field_of_view_without_truth():
    assert FieldOfView()(HEART.replace(truth=None), 0.5).truth is None


def test_field_of_view_stays_in_its_place_in_the_world():
    world = np.array([[0, 0, 2.0, 10], [0, 3, 0, 20], [4, 0, 0, 30], [0, 0, 0, 1]])  # voxel (k, j, i) to mm
    moved = FieldOfView(axes=(0, 2))(BRICK.replace(affine=world), 0.4)
    assert moved.shape == (3, 6, 3)
    assert np.array_equal(moved.affine @ [0, 0, 0, 1], world @ [1, 0, 2, 1])
    assert np.array_equal(moved.affine[:, :3], world[:, :3])
    assert world[0, 3] == 10  # the affine given is not modified
    flat = FieldOfView()(HEART.replace(affine=world), 0.5)
    assert np.array_equal(flat.affine @ [0, 0, 0, 1], world @ [0, 32, 32, 1])


@pytest.mark.parametrize("fraction", [0, 1.1, -1])
def test_fraction_of_the_field_of_view(fraction):
    with pytest.raises(ValueError, match="fraction of field-of-view must be a number > 0 and <= 1, got"):
        FieldOfView()(HEART, fraction)


def test_field_of_view_along_an_axis_that_the_image_has_not():
    with pytest.raises(ValueError, match="axes must be"):
        FieldOfView(axes=(-3,))(HEART, 0.5)


@pytest.mark.parametrize("transform,value", [(Translate(axis=-3), 5), (Flip(axis=-3), 1)], ids=str)
def test_pictures_have_no_axis_of_slices(transform, value):
    with pytest.raises(ValueError, match="axis must be a spatial axis from -2 to 1, got -3"):
        transform(HEART, value)


# Anisotropy


def test_thick_slices_are_means_and_interpolated_back():
    ramp = torch.arange(12.0).reshape(1, 12, 1, 1).expand(2, 12, 3, 4)
    thick = ramp.reshape(2, 4, 3, 3, 4).mean(2)  # slices 0-2, 3-5, 6-8, 9-11
    got = Anisotropy()(Case(ramp), 3).image
    assert torch.allclose(got[:, 1::3], thick)
    assert torch.allclose(got[:, 1:-1], ramp[:, 1:-1], atol=1e-5)
    assert torch.allclose(got[:, [0, -1]], thick[:, [0, -1]])


def test_weights_of_thick_slices():
    assert np.allclose(_thick_slices(5, 2, "box"), [[0.5, 0.5, 0, 0, 0], [0, 0, 0.5, 0.5, 0], [0, 0, 0, 0, 1]])
    assert np.allclose(_thick_slices(4, 1.5, "box"), np.array([[2, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 3]]) / 3)
    assert np.allclose(_thick_slices(7, 3, "nearest"), np.eye(7)[[1, 4, 6]])


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_thick_slices_are_no_brighter_and_no_darker(n):
    assert torch.equal(_slice_weights(n, 1.0, "box"), torch.eye(n))
    for factor in (1.0, 1.3, 2.5, 4, 50):
        for profile in ("box", "nearest"):
            weights = _slice_weights(n, factor, profile)
            assert (weights >= 0).all() and torch.allclose(weights.sum(1), torch.ones(n), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_thick_slices_along_every_axis_and_each_channel_by_itself(axis):
    colours = Case(torch.rand(3, 5, 8, 6), truth=np.ones((5, 8, 6), int))
    a = axis % 3
    got = Anisotropy(axis=axis)(colours, 2)
    assert got.truth is colours.truth
    weights = _slice_weights(colours.shape[a], 2.0, "box")
    expected = torch.einsum("ij,cj...->ci...", weights, colours.image.movedim(a + 1, 1)).movedim(1, a + 1)
    assert torch.allclose(got.image, expected, atol=1e-6)


def test_thick_slices_at_both_ends_of_the_range():
    assert (Anisotropy()(NOISE, 1.00001).image - NOISE.image).abs().max() < 1e-3  # no jump at the neutral value
    assert Anisotropy()(NOISE, 1e9).image.var(1).max() < 1e-10  # one slice


@pytest.mark.parametrize("n,factor", [(12, 2), (12, 3), (15, 5), (16, 4)])
def test_thick_slices_are_torchios_and_scikit_images(n, factor):
    stack = Case(torch.rand(1, n, 6, 5), spacing=(2, 1, 1))
    theirs = torchio.RandomAnisotropy(axes=0, downsampling=(factor, factor))(torchio_image(stack)).data
    assert torch.allclose(Anisotropy(profile="nearest")(stack, factor).image, theirs, atol=1e-4)
    blocks = block_reduce(stack.image[0].numpy(), (factor, 1, 1), np.mean)
    assert np.allclose(np.tensordot(_thick_slices(n, factor, "box"), stack.image[0], 1), blocks, atol=1e-6)


@pytest.mark.parametrize("factor", [0, 0.5])
def test_slices_get_no_thinner(factor):
    with pytest.raises(ValueError, match=f"factor of anisotropy must be a number >= 1, got {factor}"):
        Anisotropy()(VOLUME, factor)


def test_arguments_of_anisotropy():
    with pytest.raises(ValueError, match="profile must be one of 'box', 'nearest', got 'gauss'"):
        Anisotropy(profile="gauss")
    with pytest.raises(ValueError, match="axis must be a spatial axis from -2 to 1, got 2"):
        Anisotropy(axis=2)(HEART, 2)


# Elastic


@pytest.mark.parametrize("points", [5, 7, 10])
def test_splines_leave_the_border_and_its_slope(points):
    x = np.linspace(0, 1, 61)
    basis = _basis(x, points)
    assert basis.shape == (61, points - 4) and (basis[[0, -1]] == 0).all()
    assert (np.abs(_basis(x[[0, -1]], points, 1)) < 1e-12).all()
    assert np.allclose(np.gradient(basis, x, axis=0)[1:-1], _basis(x, points, 1)[1:-1], atol=0.3)


def test_splines_at_their_centre():
    assert np.isclose(_basis([0.5], 7)[0, 1], 2 / 3)  # the cubic B-spline


def test_spread_is_a_product_along_each_axis():
    a, b, c = torch.rand(4, 3), torch.rand(5, 3), torch.rand(3, 3)
    assert torch.allclose(_spread(c, [a, b]), a @ c @ b.T)


def test_values_are_round():
    assert _round_values(12.3) == (0, 2, 4, 6, 8, 10, 12)
    assert _round_values(0.46) == (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
    assert _round_values(7) == tuple(range(8))
    assert _round_values(math.inf) == (0,)


def displacements(transform, case, value):
    "`(ndim, *S)` in mm"
    pixels = torch.meshgrid(*[torch.arange(n) for n in case.shape], indexing="ij")
    return torch.stack([(p - i) * s for p, i, s in zip(transform.positions(case, value), pixels, case.spacing)])


def smallest_determinant(transform, case, value):
    u = displacements(transform, case, value).numpy()
    gradient = np.stack([np.stack(np.gradient(c, *case.spacing), -1) for c in u], -2)
    return np.linalg.det(np.eye(case.ndim) + gradient).min()


FINE = {
    "phantom": phantom((101, 101), seed=2),
    "volume": Case(torch.rand(1, 41, 53, 50), spacing=(2, 1, 1.2)),
    "microscopy": Case(torch.rand(1, 61, 80), spacing=(0.01, 0.02)),
}


@pytest.mark.parametrize("elastic", [Elastic(), Elastic(points=5), Elastic(points=8, seed=4)], ids=str)
@pytest.mark.parametrize("name", FINE)
def test_elastic_displaces_by_its_value_and_folds_beyond_its_limit(name, elastic):
    case = FINE[name]
    limit = elastic.largest(case)
    u = displacements(elastic, case, limit / 2)
    assert abs(u.norm(dim=0).max() / (limit / 2) - 1) < 0.03  # the value is the largest displacement
    assert (u - 5 * displacements(elastic, case, limit / 10)).abs().max() < 1e-4 * max(case.spacing)  # linear
    assert smallest_determinant(elastic, case, 0.93 * limit) > 0 > smallest_determinant(elastic, case, 1.1 * limit)
    border = [u.movedim(a + 1, 1)[:, end].norm(dim=0).max() for a in range(case.ndim) for end in (0, -1)]
    assert max(border) < 0.002 * limit  # border pixels, half a pixel from the border
    values = elastic.values_for(case)
    assert len(values) >= 5 and values[-1] <= limit


@pytest.mark.parametrize("name", FINE)
def test_elastic_depends_on_its_seed(name):
    half = Elastic().largest(FINE[name]) / 2
    assert not torch.equal(Elastic(seed=1)(FINE[name], half).image, Elastic(seed=0)(FINE[name], half).image)


def test_elastic_leaves_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    _unit_field.cache_clear()
    first = Elastic()(HEART, 9.5)
    assert torch.equal(torch.rand(1), expected)
    _unit_field.cache_clear()
    assert torch.equal(Elastic()(HEART, 9.5).image, first.image)


def test_elastic_moves_nothing_out_of_a_single_slice():
    one_slice = Case(HEART.image[:, None], HEART.truth[None], spacing=(8, 1.8, 1.8))
    u = displacements(Elastic(), one_slice, 5)
    assert not u[0].any() and abs(u.norm(dim=0).max() / 5 - 1) < 0.03


def test_elastic_depends_on_mm_not_on_pixels():
    coarse = phantom((64, 64), seed=3, spacing=4)
    dense = phantom((192, 192), seed=3, spacing=4 / 3)  # the same person
    there = displacements(Elastic(), dense, 10)[:, 1::3, 1::3]
    assert (displacements(Elastic(), coarse, 10) - there).abs().max() < 1e-4


def test_elastic_leaves_a_single_pixel():
    assert Elastic().values_for(Case(torch.rand(1, 1, 1))) == (0,)
    three = torch.full((1, 1, 1), 3.0)
    assert torch.equal(Elastic()(Case(three.clone()), 5).image, three)


def test_elastic_warns_where_it_folds():
    message = "elastic folds 'phantom-3' over itself; without folding, it is displaced by at most 27.6 mm"
    with pytest.warns(UserWarning, match=message) as caught:
        Elastic()(HEART, 50)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("points", [4, (7, 3), 5.5], ids=str)
def test_elastic_needs_control_points_that_move(points):
    with pytest.raises(ValueError, match="points must be an integer >= 5, or one for each axis, got"):
        Elastic(points=points)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_elastic_seed(seed):
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got"):
        Elastic(seed=seed)


def test_elastic_points_for_each_axis():
    with pytest.raises(ValueError, match=r"points must be one number, or 3 of them, got \(7, 5\)"):
        Elastic(points=(7, 5))(VOLUME, 3)
    assert Elastic(points=(5, 7, 7)).largest(VOLUME) != Elastic().largest(VOLUME)
    assert {Elastic(points=p) for p in ([5, 6], np.array([5, 6]))} == {Elastic(points=(5, 6))}
    assert Elastic(points=[5, 6])(HEART, 2).image.isfinite().all()
    assert str(Elastic(points=np.int64(7))) == "elastic"


def test_elastic_value_is_not_negative():
    with pytest.raises(ValueError, match="displacement of elastic must be a number >= 0, got -1"):
        Elastic()(HEART, -1)


def all_points(elastic, case, displacement):
    "Displacements of all control points, with one beyond each border, in mm: `(ndim, *points + 2)`"
    return pad(elastic._field(case)[0] * displacement, [3, 3] * case.ndim).numpy()


def itk_elastic(elastic, case, displacement):
    control = all_points(elastic, case, displacement)[::-1]
    spline = sitk.BSplineTransform(case.ndim, 3)
    spline.SetTransformDomainOrigin([-s / 2 for s in case.spacing[::-1]])
    spline.SetTransformDomainPhysicalDimensions([n * s for n, s in zip(case.shape, case.spacing)][::-1])
    spline.SetTransformDomainMeshSize([p - 3 for p in control.shape[:0:-1]])
    spline.SetParameters(control.ravel())
    return spline


@pytest.mark.parametrize(
    "case,value",
    [
        (NOISE, 2),
        (HEART.replace(image=torch.rand(1, 128, 128)), 12),
        (VOLUME.replace(image=torch.rand(1, 24, 80, 64)), 9),
    ],
    ids=["noise", "heart", "volume"],
)
def test_elastic_is_simpleitks(case, value):
    elastic = Elastic(seed=3, fill=0)
    deformed = elastic(case, value)
    itk = itk_elastic(elastic, case, value)
    here = inner(elastic, case, value)
    assert here.float().mean() > 0.5
    assert (deformed.image[0] - itk_resample(case, itk, case.image[0]))[here].abs().max() < 1e-3
    theirs = itk_resample(case, itk, case.truth, sitk.sitkNearestNeighbor)
    assert (deformed.truth != theirs)[here].float().mean() < 1e-4


def test_elastic_is_torchios():
    "Whose grid is a quarter of a millimetre wider than the image"
    control = np.moveaxis(all_points(Elastic(), VOLUME, 9), 0, -1) * (-1, -1, 1)
    deform = torchio.ElasticDeformation(control_points=np.flip(control, (0, 1)), max_displacement=(1, 1, 1))
    theirs = deform(torchio_image(VOLUME)).data[0]
    apart = (Elastic()(VOLUME, 9).image[0] - theirs)[inner(Elastic(fill=0), VOLUME, 9)].abs()
    assert apart.max() < 0.05 and apart.mean() < 0.001
    assert (VOLUME.image[0] - theirs).abs().mean() > 20 * apart.mean()
