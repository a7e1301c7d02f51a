"Reports of readers that were believed too easily: geometry, axes and labels, against closed forms and second libraries"

import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import affine_transform

from misas.core.cases import as_labels
from misas.data.files import save_mask
from misas.data.loading import load_case, load_cine

RNG = np.random.default_rng(7)
IMAGE = RNG.integers(0, 900, (8, 9, 10)).astype(np.int16)  # x, y, z
MASK = np.zeros(IMAGE.shape, np.uint8)
MASK[2:5, 3:7, 1:8] = 1
MASK[3, 4:6, 2:5] = 2
LPS = np.diag([-1.5, -2, 4, 1])  # what SimpleITK's arrays and ours have in one direction
RAS = np.diag([1.5, 2, 4, 1.0])


def nifti(path, voxels, affine=RAS, **header):
    volume = nib.Nifti1Image(voxels, affine)
    for name, value in header.items():
        volume.header[name] = value
    nib.save(volume, path)
    return path


def said(function, *args, **settings):
    "What it gives, and the warnings of misas"
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        result = function(*args, **settings)
    return result, [str(w.message) for w in heard if str(w.message).startswith("case ")]


# ---- axes that are not at right angles (nnU-Net 756, TotalSegmentator 461)


@pytest.mark.parametrize("shear", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("at", [(0, 1), (1, 0), (0, 2), (2, 1)])
def test_a_sheared_volume_is_named_with_its_error(shear, at, tmp_path):
    affine = np.eye(4)
    affine[at] = shear
    case, texts = said(load_case, nifti(tmp_path / "i.nii", IMAGE, affine), nifti(tmp_path / "m.nii", MASK, affine))
    excess = np.prod(case.spacing) / abs(np.linalg.det(affine[:3, :3])) - 1
    degrees = np.degrees(np.arctan(shear))
    assert len(texts) == 1 and "not at right angles" in texts[0] and "image 'i.nii'" in texts[0]
    assert f"sheared by {degrees:.2g}°" in texts[0] and f"{excess:.2%}" in texts[0]


def test_the_remedy_for_a_sheared_volume_helps(tmp_path):
    from nibabel.processing import resample_to_output

    affine = np.eye(4)
    affine[0, 1] = 0.5
    pair = [resample_to_output(nib.load(nifti(tmp_path / "a.nii", a, affine)), order=0) for a in (IMAGE, MASK)]
    case, texts = said(load_case, *pair)
    assert not texts and case.spacing == (1, 1, 1) and set(case.truth.unique().tolist()) <= {0, 1, 2}
    assert abs(int((case.truth > 0).sum()) - (MASK > 0).sum()) < 12


def test_rotated_axes_are_no_shear(tmp_path):
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * (0.7, 1.1, 5)
    _, texts = said(load_case, nifti(tmp_path / "i.nii", IMAGE, affine))
    assert not texts


# ---- arrays beside files (nnU-Net 1951, SSL4MIS 54)


@pytest.mark.parametrize("affine", [RAS, LPS, RAS[[1, 0, 2, 3]] * [[1], [-1], [1], [1]]])
@pytest.mark.parametrize("shape", [(8, 8, 8), (8, 9, 8), (8, 9, 10)])
def test_an_array_beside_a_file_is_right_or_gets_a_word(affine, shape, tmp_path):
    image = RNG.integers(0, 99, shape).astype(np.int16)
    mask = (RNG.random(shape) > 0.5).astype(np.uint8)
    path, truth = nifti(tmp_path / "i.nii", image, affine), nifti(tmp_path / "m.nii", mask, affine)
    right = load_case(path, truth).truth
    for array in (nib.load(truth).get_fdata(), nib.load(truth).get_fdata().T, right.numpy(), right):
        try:
            case, texts = said(load_case, path, array)
        except ValueError as error:
            assert "i.nii" in str(error) and "nibabel.Nifti1Image(array, affine)" in str(error)
            continue
        assert torch.equal(case.truth, right) or "truth is taken with the axes of the case" in texts[0]
    helped = nib.Nifti1Image(nib.load(truth).get_fdata(), nib.load(path).affine)  # as the words say
    case, texts = said(load_case, path, helped)
    assert torch.equal(case.truth, right) and not texts


def test_an_image_that_is_an_array_beside_a_mask_that_is_a_file(tmp_path):
    cube, mask = IMAGE[:8, :8, :8], MASK[:8, :8, :8]
    path = nifti(tmp_path / "m.nii", mask)
    _, texts = said(load_case, cube, path)
    assert len(texts) == 1 and "image is taken with the axes of the case" in texts[0]


def test_pictures_beside_planes_of_dicom_are_as_they_are_seen():
    from misas.data.files import Raw
    from misas.data.sources import about_axes

    seen = Raw(np.zeros((8, 8)), channels="none", affine=np.eye(4))
    assert not about_axes(Raw(np.zeros((8, 8))), seen)


def test_the_advice_for_a_truth_elsewhere_does_not_cause_the_fault(tmp_path):
    import torchio

    moved = RAS.copy()
    moved[0, 3] = 0.4
    image, truth = nifti(tmp_path / "i.nii", IMAGE), nifti(tmp_path / "m.nii", MASK, moved)
    with pytest.raises(ValueError, match="i.nii.*m.nii.*torchio.Resample.image..label_map.") as error:
        load_case(image, truth)
    assert "array" not in str(error.value)
    scalar, label = torchio.ScalarImage(image), torchio.LabelMap(truth)
    case = load_case(scalar, torchio.Resample(scalar)(label))
    assert torch.equal(case.truth, load_case(image, nifti(tmp_path / "right.nii", MASK)).truth)


# ---- labels that were stored with a slope (spinal cord toolbox 3232, nibabel 1001)


@pytest.mark.parametrize("dtype", ["i2", "u1", "u2"])
@pytest.mark.parametrize("top", [3, 7, 117])
def test_labels_that_were_rounded_are_themselves(dtype, top, tmp_path):
    mask = MASK.astype(float)
    mask[7, 7, 7] = top
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    nib.save(nib.Nifti1Image(mask, RAS, header), tmp_path / "m.nii")
    exact = nifti(tmp_path / "e.nii", mask.astype(np.uint8))
    image = nifti(tmp_path / "i.nii", IMAGE)
    stored = nib.load(tmp_path / "m.nii").get_fdata()
    if np.abs(stored - mask).max() < 1e-3:
        assert torch.equal(load_case(image, tmp_path / "m.nii").truth, load_case(image, exact).truth)
    else:
        with pytest.raises(ValueError, match="m.nii.*integers"):
            load_case(image, tmp_path / "m.nii")


def test_how_much_is_rounding():
    assert as_labels(np.array([0.9991, 2.0009, -0.0002]), "m").tolist() == [1, 2, 0]
    for bad in (0.5, 0.998, 1.0011, np.nan, np.inf):
        with pytest.raises(ValueError, match="integers"):
            as_labels(np.array([0, 1, bad]), "m")


# ---- what a NIfTI header says


@pytest.mark.parametrize("unit, mm", [("meter", 1000), ("mm", 1), ("micron", 0.001), ("unknown", 1)])
def test_units_of_length(unit, mm, tmp_path):
    volume = nib.Nifti1Image(IMAGE, RAS)
    volume.header.set_xyzt_units(unit)
    nib.save(volume, tmp_path / "u.nii")
    case, texts = said(load_case, tmp_path / "u.nii")
    assert np.allclose(case.spacing, np.multiply((4, 2, 1.5), mm)) and case.unit == "mm" and not texts


@pytest.mark.parametrize("slope, intercept", [(2.0, -1024.0), (0.5, 0.0), (1.0, 32768.0), (0.0, 0.0), (1.0, 0.0)])
def test_slope_and_intercept(slope, intercept, tmp_path):
    path = nifti(tmp_path / "s.nii", IMAGE)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([slope, intercept], "<f4").tobytes()
    path.write_bytes(data)
    expected = IMAGE * (slope or 1) + (intercept if slope else 0)
    turned = expected.transpose(2, 1, 0)[:, ::-1, ::-1]
    assert np.array_equal(load_case(path).image[0], turned.astype(np.float32))


def test_where_nothing_is_said_of_mm(tmp_path):
    nib.save(nib.Nifti1Image(IMAGE, None), tmp_path / "n.nii")
    for x in (tmp_path / "n.nii", nib.load(tmp_path / "n.nii"), nib.Nifti1Image(IMAGE, None)):
        case, texts = said(load_case, x)
        assert case.unit == "px" and case.spacing == (1, 1, 1) and case.affine is None
        assert len(texts) == 1 and "does not say how far apart its voxels are" in texts[0]
    case, texts = said(load_case, tmp_path / "n.nii", spacing=(4, 2, 1.5))
    assert case.unit == "mm" and case.spacing == (4, 2, 1.5) and not texts
    volume = nib.Nifti1Image(IMAGE, None)
    volume.header.set_zooms((1.5, 2, 4))
    case, texts = said(load_case, volume)
    assert case.unit == "mm" and case.spacing == (4, 2, 1.5) and "which side is left is not known" in texts[0]


def test_two_places_in_one_header(tmp_path):
    volume = nib.Nifti1Image(IMAGE, RAS)
    volume.set_qform(np.diag([1.5, 2, 5, 1]), 1)
    volume.set_sform(RAS, 2)
    nib.save(volume, tmp_path / "two.nii")
    case, texts = said(load_case, tmp_path / "two.nii")
    assert case.spacing == (4, 2, 1.5)
    assert len(texts) == 1 and "an sform and a qform that disagree, by 0.25 voxels: its sform is taken" in texts[0]
    volume.set_qform(np.diag([1.5, 2, 5, 1]), 0)
    nib.save(volume, tmp_path / "pixdim.nii")
    _, texts = said(load_case, tmp_path / "pixdim.nii")
    assert "has two spacings: (1.5, 2.0, 4.0) in its sform, which is taken, and (1.5, 2.0, 5.0)" in texts[0]
    volume.set_qform(RAS, 1)
    nib.save(volume, tmp_path / "one.nii")
    assert not said(load_case, tmp_path / "one.nii")[1]


@pytest.mark.parametrize("kind", ["RGB", "RGBA"])
def test_colours_in_nifti(kind, tmp_path):
    colours = RNG.integers(0, 255, (4, 5, 6, len(kind))).astype(np.uint8)
    fields = np.dtype([(c, "u1") for c in kind])
    nib.save(nib.Nifti1Image(colours.view(fields)[..., 0], LPS), tmp_path / "c.nii")
    image = load_case(tmp_path / "c.nii").image
    assert np.array_equal(image, colours.transpose(3, 2, 1, 0))
    with pytest.raises(ValueError, match="truth '.*c.nii': "):
        load_case(IMAGE, tmp_path / "c.nii")


def test_vectors_complex_numbers_and_surfaces(tmp_path):
    vectors = RNG.normal(size=(4, 5, 6, 1, 3)).astype(np.float32)
    volume = nib.Nifti1Image(vectors, LPS)
    volume.header.set_intent("vector")
    nib.save(volume, tmp_path / "v.nii")
    assert np.array_equal(load_case(tmp_path / "v.nii").image, vectors[:, :, :, 0].transpose(3, 2, 1, 0))
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.complex64), LPS), tmp_path / "k.nii")
    with pytest.raises(ValueError, match="k.nii': its voxels must be real numbers"):
        load_case(tmp_path / "k.nii")
    axis = nib.cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 2)), "thalamus_left", np.eye(4))
    scalars = nib.cifti2.ScalarAxis(["a"])
    nib.save(nib.Cifti2Image(np.zeros((1, 8)), (scalars, axis)), tmp_path / "a.dscalar.nii")
    for x in (tmp_path / "a.dscalar.nii", nib.load(tmp_path / "a.dscalar.nii")):
        with pytest.raises(ValueError, match="it is CIFTI-2"):
            load_case(x)


def test_four_dimensions(tmp_path):
    times = RNG.integers(0, 99, (4, 5, 6, 12)).astype(np.int16)
    case, texts = said(load_case, nifti(tmp_path / "t.nii", times, LPS))
    assert len(case.image) == 12 and "fourth dimension of 12, taken as channels (load_cine" in texts[0]
    cases, texts = said(load_cine, tmp_path / "t.nii")
    assert not texts and np.array_equal(cases[5].image[0], times[..., 5].T)
    with pytest.raises(ValueError, match="t.nii': it must have one label for each pixel, got 12 channels"):
        load_case(IMAGE, tmp_path / "t.nii")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_files_with_nan_are_named_and_the_remedy_helps(bad, tmp_path):
    hole = IMAGE.astype(np.float32)
    hole[0, 0, 0] = bad
    path = nifti(tmp_path / "hole.nii", hole)
    with pytest.raises(ValueError, match="hole.nii': image must be finite, got 1 pixels.*numpy.nan_to_num.array."):
        load_case(path)
    volume = nib.load(path)
    load_case(nib.Nifti1Image(np.nan_to_num(volume.get_fdata(dtype=np.float32), posinf=0, neginf=0), volume.affine))


def test_headers_that_lie(tmp_path):
    path = nifti(tmp_path / "i.nii", IMAGE)
    data = bytearray(path.read_bytes())
    huge = data.copy()
    huge[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(huge)
    with pytest.raises(ValueError, match="i.nii': it holds 30000 x 30000 x 30000 = .*say max_pixels="):
        load_case(path)
    path.write_bytes(data[:-100])
    with pytest.raises(ValueError, match="i.nii', which cannot be read"):
        load_case(path)
    path.write_bytes(data[:300])
    with pytest.raises(ValueError, match="i.nii', which cannot be read"):
        load_case(path)


def test_what_is_written_says_its_place(tmp_path):
    case = load_case(nifti(tmp_path / "i.nii", IMAGE), nifti(tmp_path / "m.nii", MASK))
    saved = save_mask(case.truth, case, tmp_path / "s.nii.gz")
    again, texts = said(load_case, tmp_path / "i.nii", saved)
    assert torch.equal(again.truth, case.truth) and not texts


def test_volumes_of_a_second_library_lie_where_ours_do(tmp_path):
    "A mask that scipy resamples into the turned grid is the one that is read"
    turn = np.linalg.qr(np.array([[1, 0.2, 0.1], [-0.2, 1, 0.3], [0, -0.3, 1]]))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * (1.5, 2, 4)
    path = nifti(tmp_path / "m.nii", MASK, affine)
    case = load_case(IMAGE.transpose(2, 1, 0), channels="none")
    turned = load_case(path)
    to_file = np.linalg.inv(affine) @ turned.affine
    mine = affine_transform(MASK, to_file[:3, :3], to_file[:3, 3], output_shape=turned.shape, order=0)
    assert np.array_equal(turned.image[0], mine) and case.shape == (10, 9, 8)


# ---- arrays with channels behind (Keras, matplotlib)

BLOB = np.exp(-((np.mgrid[:16, :18][0] - 5) ** 2 + (np.mgrid[:16, :18][1] - 9) ** 2) / 12).astype(np.float32)
INSIDE = (BLOB > 0.4).astype(np.uint8)


@pytest.mark.parametrize("image", [BLOB[..., None], BLOB[None], torch.from_numpy(BLOB)[None], BLOB])
@pytest.mark.parametrize("truth", [INSIDE[..., None], INSIDE[None], torch.from_numpy(INSIDE)[None], INSIDE, None])
def test_one_channel_is_grey_wherever_it_stands(image, truth):
    case, texts = said(load_case, image, truth)
    assert case.shape == (16, 18) and np.array_equal(case.image[0], BLOB) and not texts
    assert truth is None or np.array_equal(case.truth, INSIDE)


def test_four_channels_are_colours_where_they_are():
    opaque = np.dstack([BLOB] * 3 + [np.ones_like(BLOB)])
    case, texts = said(load_case, opaque, INSIDE)
    assert len(case.image) == 3 and not texts
    bytes_ = (np.dstack([BLOB] * 4) * 255).astype(np.uint8)
    case, texts = said(load_case, bytes_)
    assert len(case.image) == 3 and "alpha channel" in texts[0] and "channels='last' keeps" in texts[0]
    assert len(load_case(bytes_, channels="last").image) == 4
    sequences = np.dstack([BLOB, BLOB * 2, BLOB * 3, BLOB * 4])
    case, texts = said(load_case, sequences)
    assert len(case.image) == 4 and "taken as four channels" in texts[0]


def test_colours_are_no_truth():
    colours = np.zeros((16, 18, 3), np.uint8)
    colours[4:9, 4:9, 0] = 200
    for truth in (colours, Image.fromarray(colours)):
        for image in (BLOB, Image.fromarray(colours)):
            with pytest.raises(ValueError, match="truth|coloured picture"):
                load_case(image, truth)
    with pytest.raises(ValueError, match="channels must be said"):
        load_case(colours, colours)
    with pytest.raises(ValueError, match="coloured picture"):
        load_case(colours, colours, channels="last")
    helped = (colours == (200, 0, 0)).all(-1) * 1  # as the words say
    assert load_case(Image.fromarray(colours), helped).truth.sum() == 25
    grey = np.dstack([INSIDE] * 3)
    assert np.array_equal(load_case(Image.fromarray(grey), grey).truth, INSIDE)


@pytest.mark.parametrize("shape", [(3, 16, 18), (2, 16, 18), (16, 18, 2)])
def test_a_volume_that_may_be_channels_gets_a_word(shape):
    case, texts = said(load_case, RNG.random(shape))
    assert case.shape == shape and "channels= says otherwise" in texts[0]
    assert not said(load_case, RNG.random(shape), channels="none")[1]


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", "<f8", "f2", "u4", "i8"])
def test_numbers_of_any_kind_and_order(dtype):
    stored = RNG.integers(0, 100, (6, 7)).astype(dtype)
    case = load_case(stored, stored)
    assert np.array_equal(case.image[0], stored) and np.array_equal(case.truth, stored)


def test_numbers_that_single_precision_rounds_get_a_word():
    case, texts = said(load_case, np.array([[2**24, 2**24 + 1], [0, 5]], np.int64))
    assert "beyond 2**24" in texts[0] and case.image[0, 1, 1] == 5
    assert not said(load_case, np.array([[3_000_000_000, 0], [0, 5]], np.uint32))[1]


def test_masked_and_complex_arrays():
    masked = np.ma.masked_equal(np.arange(12.0).reshape(3, 4), 5)
    with pytest.raises(ValueError, match="image must have no masked pixels"):
        load_case(masked)
    case = load_case(np.zeros((3, 4)), np.ma.masked_equal(np.arange(12).reshape(3, 4) % 3, 2))
    assert int((case.truth == case.ignore).sum()) == 4
    with pytest.raises(TypeError, match="image must be of real numbers, got complex"):
        load_case(np.ones((3, 4), complex))


def test_torchio_says_no_mm_where_it_knows_none(tmp_path):
    import torchio

    grey = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    grey.save(tmp_path / "grey.png")
    for image in (torchio.ScalarImage(tensor=torch.rand(1, 4, 5, 6)), torchio.ScalarImage(tmp_path / "grey.png")):
        assert load_case(image).unit == "px"
    assert load_case(torchio.ScalarImage(nifti(tmp_path / "i.nii", IMAGE))).unit == "mm"
