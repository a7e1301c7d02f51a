"Pictures, NIfTI and frameworks' images: pixels, places, and back to disk"

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from scans import affine_of, orientations, rotated

import misas.data
from misas.core.cases import Case
from misas.data.files import (
    InvalidImageError,
    _checked_affine,
    from_monai,
    from_nifti,
    from_torchio,
    raw_volume,
    save_image,
    save_mask,
)

LPS = np.diag([-2, -3, 5, 1.0])  # x to the left, y to the back
VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)  # x, y, z
OBLIQUE = affine_of(rotated(12, 25, -33), (0.9, 1.1, 3.3), (-81.7, 40.25, 11.3))


@pytest.fixture
def block():
    "Voxels with one that is marked"
    voxels = np.zeros((3, 4, 5), np.int16)
    voxels[1, 2, 4] = 100
    voxels[0, 0, 0] = 7
    return voxels


def write_nifti(path, voxels, affine, **header):
    "A file; `header` is written as it is, where nibabel would mend it"
    nib.save(nib.Nifti1Image(voxels, affine), path)
    if not header:
        return path
    with open(path, "r+b") as file:
        changed = nib.Nifti1Header.from_fileobj(file, check=False)
        for name, value in header.items():
            changed[name] = value
        file.seek(0)
        file.write(changed.binaryblock)
    return path


# ---- where a voxel lies


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, -20, 30), (45, 0, 0), (0, 45, 45), (30, 50, -40)])
def test_all_48_orientations_of_a_block_are_one(angles, block):
    affine = affine_of(rotated(*angles), (0.7, 1.3, 5), (-31.4, 20.05, 7))
    place = affine @ [1, 2, 4, 1]
    read = [raw_volume(*stored) for stored in orientations(block, affine.astype(np.float32).astype(float))]
    for raw in read:
        assert np.array_equal(raw.array, read[0].array) and raw.spacing == read[0].spacing
        assert raw.affine.tobytes() == read[0].affine.tobytes()
        assert np.allclose(raw.affine @ [*np.argwhere(raw.array == 100)[0], 1], place, atol=1e-3)
    assert sorted(read[0].spacing) == [0.7, 1.3, 5]


def test_a_block_as_nifti_orders_it(block):
    straight = raw_volume(block, LPS)
    assert straight.array.shape == (5, 4, 3) and straight.spacing == (5, 3, 2)
    assert straight.affine.tolist() == [[0, 0, -2, 0], [0, -3, 0, 0], [5, 0, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_block_of_one_slice_is_a_plane(thin):
    marked = np.arange(12, dtype=np.uint8).reshape(3, 4)
    affine = np.diag([-1, -2, 4, 1.0])
    plane = raw_volume(np.expand_dims(marked, thin), affine)
    assert plane.array.shape == (4, 3) and len(plane.spacing) == 2
    assert plane.array[0 if thin == 2 else -1, 0] == 0
    row, column = np.argwhere(plane.array == 11)[0]
    assert np.allclose(plane.affine @ [0, row, column, 1], affine @ [*np.insert([2, 3], thin, 0), 1])


@pytest.mark.parametrize(
    "bad, words",
    [
        (np.diag([1, 0, 1, 1.0]), "its spacing must be numbers > 0"),
        (np.diag([1, np.nan, 1, 1.0]), "its spacing must be numbers > 0"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "its axes must be three independent"),
    ],
)
def test_an_affine_must_span_space(bad, words):
    with pytest.raises(InvalidImageError, match=words):
        _checked_affine(bad)


# ---- NIfTI


def test_nifti_in_other_orders_dtypes_and_units(tmp_path):
    lps = from_nifti(write_nifti(tmp_path / "lps.nii.gz", VOXELS, LPS))
    right_front = np.array([[2.0, 0, 0, -2], [0, 3, 0, -6], [0, 0, 5, 0], [0, 0, 0, 1]])
    ras = from_nifti(write_nifti(tmp_path / "ras.nii", VOXELS[::-1, ::-1], right_front))
    assert lps.array.shape == (4, 3, 2) and lps.spacing == (5, 3, 2) and lps.array.dtype == np.int16
    assert np.array_equal(lps.array, VOXELS.transpose(2, 1, 0))
    assert np.array_equal(ras.array, lps.array) and np.array_equal(ras.affine, lps.affine)
    flat = from_nifti(write_nifti(tmp_path / "flat.nii", VOXELS[:, :, :1].astype(np.float32), LPS))
    assert flat.array.shape == (3, 2) and flat.spacing == (3, 2) and flat.array.dtype == np.float32
    several = from_nifti(write_nifti(tmp_path / "several.nii", np.stack([VOXELS, VOXELS + 100], 3), LPS))
    assert several.channels == "last" and np.array_equal(several.array[..., 1], lps.array + 100)
    tiny = write_nifti(tmp_path / "tiny.nii", VOXELS, LPS, xyzt_units=3)  # micrometres
    assert from_nifti(tiny).spacing == (0.005, 0.003, 0.002)


def test_all_48_orientations_of_a_file_are_one(block, tmp_path):
    reference = from_nifti(write_nifti(tmp_path / "way.nii", block, OBLIQUE))
    for stored in orientations(block, OBLIQUE):
        raw = from_nifti(write_nifti(tmp_path / "way.nii", *stored))
        assert np.array_equal(raw.array, reference.array) and raw.spacing == reference.spacing
        assert raw.affine.tobytes() == reference.affine.tobytes()


@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_both_versions_of_nifti_are_read(version, ending, tmp_path):
    nib.save(version(VOXELS, LPS), tmp_path / f"v{ending}")
    assert np.array_equal(from_nifti(tmp_path / f"v{ending}").array, VOXELS.transpose(2, 1, 0))


NO_WORLD = dict(sform_code=0, qform_code=0)


@pytest.mark.parametrize(
    "shape, header, words",
    [
        ((2, 3, 4, 1, 3), {}, "its shape must be of 2 to 4 dimensions"),
        ((2, 3, 4), dict(srow_x=[0, 0, 0, 0]), "its spacing must be"),
    ],
)
def test_nifti_that_makes_no_image(shape, header, words, tmp_path):
    with pytest.raises(InvalidImageError, match=words):
        from_nifti(write_nifti(tmp_path / "bad.nii", np.zeros(shape, np.uint8), np.eye(4), **header))


@pytest.mark.parametrize("spacing", [(1, 0, 1), (1, 1, -2), (1, 1, 1), (0, 0, 0), (np.nan, 1, 1)])
def test_a_spacing_that_is_none_is_not_known(spacing, tmp_path):
    header = NO_WORLD | dict(pixdim=[1, *spacing, 1, 1, 1, 1])
    raw = from_nifti(write_nifti(tmp_path / "bad.nii", VOXELS, np.eye(4), **header))
    assert raw.spacing is None and raw.affine is None and "spacing=" in raw.remarks[-1]


# ---- frameworks


def monai_read(reader, path):
    "As MONAI's LoadImage does"
    from monai.data import MetaTensor

    return MetaTensor.ensure_torch_and_prune_meta(*reader.get_data(reader.read(path)))


def test_volumes_of_torchio_and_monai_are_as_the_file(block, tmp_path):
    torchio = pytest.importorskip("torchio")
    reader = pytest.importorskip("monai.data").NibabelReader
    path = write_nifti(tmp_path / "oblique.nii", block, OBLIQUE)
    expected = from_nifti(path)
    for raw in (
        from_torchio(torchio.ScalarImage(path)),
        from_monai(monai_read(reader(), path)[None]),
        from_monai(monai_read(reader(), path)),
    ):
        assert np.array_equal(raw.array[0], expected.array) and raw.channels == "first"
        assert raw.affine.tobytes() == expected.affine.tobytes() and raw.spacing == expected.spacing


def test_planes_of_torchio_and_monai(tmp_path):
    torchio = pytest.importorskip("torchio")
    monai = pytest.importorskip("monai.data")
    path = write_nifti(tmp_path / "flat.nii", VOXELS[:, :, :1].astype(np.float32), LPS)
    flat = from_nifti(path)
    affine = torch.diag(torch.tensor([-2.0, -3, 1]))
    for raw in (
        from_torchio(torchio.ScalarImage(path)),
        from_monai(monai_read(monai.NibabelReader(), path)[None]),
        from_monai(monai.MetaTensor(torch.tensor(VOXELS[None, :, :, 0]), affine=affine)),
    ):
        assert np.array_equal(raw.array, flat.array[None]) and raw.spacing == (3, 2)
    array = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert from_torchio(torchio.ScalarImage(tensor=array, affine=np.diag([1, 2, 3, 1.0]))).array.shape == (1, 4, 3, 2)


def test_pictures_of_torchio_and_monai_keep_rows_and_columns(tmp_path):
    torchio = pytest.importorskip("torchio")
    monai = pytest.importorskip("monai.data")
    oblong = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    oblong.save(tmp_path / "oblong.png")
    for raw in (
        from_monai(monai_read(monai.PILReader(), tmp_path / "oblong.png")[None]),
        from_torchio(torchio.ScalarImage(tmp_path / "oblong.png")),
    ):
        assert np.array_equal(raw.array[0], oblong)
    plain = monai.MetaTensor(torch.rand(1, 3, 4))
    assert np.array_equal(from_monai(plain).array, plain.numpy()) and from_monai(plain).affine is None


# ---- writing back


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_mask_lies_where_its_image_does(ending, block, tmp_path):
    path = write_nifti(tmp_path / "oblique.nii", block, OBLIQUE)
    expected = from_nifti(path)
    case = Case(expected.array[None], spacing=expected.spacing, affine=expected.affine)
    place = nib.load(path).affine @ [*np.argwhere(block == 100)[0], 1]
    saved = save_mask(expected.array == 100, case, tmp_path / f"mask{ending}")
    volume = nib.load(saved)
    assert volume.get_data_dtype() == np.uint8
    assert np.allclose(volume.affine @ [*np.argwhere(volume.get_fdata())[0], 1], place, atol=1e-3)
    again = from_nifti(saved)
    assert np.array_equal(again.array, expected.array == 100)
    assert again.affine.tobytes() == expected.affine.tobytes()
    theirs = sitk.ReadImage(str(saved))
    index = np.argwhere(sitk.GetArrayFromImage(theirs))[0][::-1].tolist()
    assert np.allclose(np.multiply(theirs.TransformIndexToPhysicalPoint(index), [-1, -1, 1]), place[:3], atol=1e-3)


@pytest.mark.parametrize("shape, spacing", [((3, 4), (2, 0.5)), ((5, 3, 4), (8, 2, 0.5))])
def test_what_is_written_is_read_again(shape, spacing, tmp_path):
    case = Case(np.zeros((1, *shape), np.float32), spacing=spacing)
    for top, dtype in [(255, np.uint8), (256, np.uint16), (2**17, np.int32)]:
        labels = np.arange(np.prod(shape)).reshape(shape)
        labels[-1] = top
        again = from_nifti(save_mask(torch.tensor(labels), case, tmp_path / "labels.nii.gz"))
        assert np.array_equal(again.array, labels) and again.array.dtype == dtype and again.spacing == spacing
    colours = np.random.default_rng(0).random((3, *shape)).astype(np.float32)
    many = from_nifti(save_image(colours, case, tmp_path / "image.nii"))
    assert np.array_equal(many.array, np.moveaxis(colours, 0, -1))
    assert np.array_equal(from_nifti(save_image(colours[0], case, tmp_path / "image.nii")).array, colours[0])


@pytest.mark.parametrize("shape", [(3, 4), (5, 3, 4)])
def test_a_wrong_argument_touches_no_file(shape, tmp_path):
    case = Case(np.zeros((1, *shape), np.float32))
    labels = np.zeros(shape, int)
    save_mask(labels, case, tmp_path / "labels.nii.gz")
    before = ((tmp_path / "labels.nii.gz").read_bytes(), sorted(tmp_path.iterdir()))
    for write, bad, path, words in [
        (save_mask, np.zeros((3, 3)), "labels.nii.gz", "shape of mask must be that of the case"),
        (save_mask, labels + 0.5, "labels.nii.gz", "mask"),
        (save_mask, labels, "labels.jpg", "path must be a file"),
        (save_mask, labels, "nowhere/labels.nii", "path must be a file"),
        (save_image, np.zeros((3, 3)), "labels.nii.gz", "shape of image must be"),
    ]:
        with pytest.raises(ValueError, match=words):
            write(bad, case, tmp_path / path)
    assert ((tmp_path / "labels.nii.gz").read_bytes(), sorted(tmp_path.iterdir())) == before


@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz", "patient.7.mask.nii.gz"])
def test_a_write_that_fails_leaves_nothing(name, tmp_path, monkeypatch):
    case = Case(np.zeros((1, 3, 4), np.float32))
    save_mask(np.zeros((3, 4), int), case, tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def half(volume, path):
        assert str(path).endswith(".nii.gz" if name.endswith(".gz") else ".nii")
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nib, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_mask(np.ones((3, 4), int), case, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [name]


def test_compressed_files_are_compressed(tmp_path):
    case = Case(np.zeros((1, 3, 4), np.float32))
    with gzip.open(save_mask(np.zeros((3, 4), int), case, tmp_path / "mask.nii.gz")) as file:
        assert len(file.read()) > 348
    assert (tmp_path / "mask.nii.gz").stat().st_size < save_mask(
        np.zeros((3, 4), int), case, tmp_path / "m.nii"
    ).stat().st_size


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_files_have_the_permissions_of_any_new_file(tmp_path):
    case = Case(np.zeros((1, 3, 4), np.float32))
    (tmp_path / "plain").write_text("")
    for path in (
        save_mask(np.zeros((3, 4), int), case, tmp_path / "mask.nii.gz"),
        save_image(np.zeros((3, 4)), case, tmp_path / "image.nii"),
    ):
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


# ---- names of earlier versions


def test_the_old_name_of_the_error_still_works():
    with pytest.warns(DeprecationWarning, match="Unfit is now called InvalidImageError"):
        assert misas.data.Unfit is InvalidImageError
    assert "Unfit" not in misas.data.__all__
    with pytest.raises(AttributeError, match="Unfitting"):
        misas.data.Unfitting  # noqa: B018
