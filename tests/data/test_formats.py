"NumPy, ITK and nibabel's formats, and every format that is refused, by its first bytes and by its ending"

import itertools
import zipfile

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scans import affine_of, rotated

from misas.data.files import from_nifti
from misas.data.formats import _ENDINGS, _SIGNS
from misas.data.loading import load_case, load_cine

RNG = np.random.default_rng(0)
BLOCK = RNG.integers(-99, 99, (5, 6, 7)).astype(np.int16)  # z, y, x


def itk_image(array=BLOCK, angles=(10, -20, 30), is_vector=False):
    "A volume that lies obliquely"
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    if image.GetDimension() == 3:
        image.SetDirection(rotated(*angles).ravel().tolist())
        image.SetSpacing((0.7, 1.3, 4))
        image.SetOrigin((-31.5, 20, 7))
    return image


# ---- NumPy


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", ">f4", "f2", "f8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_order(dtype, order, tmp_path):
    stored = np.asarray(RNG.integers(0, 2, (6, 9)), dtype, order=order)
    np.save(tmp_path / "a.npy", stored)
    np.savez_compressed(tmp_path / "a.npz", stored)
    for name in ("a.npy", "a.npz"):
        case = load_case(tmp_path / name, tmp_path / name)
        assert np.array_equal(case.image[0], stored * (255 if dtype == "?" else 1))
        assert np.array_equal(case.truth, stored) and case.unit == "px"


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_an_array_that_claims_to_be_huge(name, tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        header = dict(descr="<f4", fortran_order=False, shape=(100_000, 100_000))
        np.lib.format.write_array_header_1_0(file, header)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(tmp_path / "a.npy", "image.npy")
    with pytest.raises(ValueError, match=f"{name}': it holds 100000 x 100000 = .*say max_pixels=10000000000"):
        load_case(tmp_path / name)


@pytest.mark.parametrize("dtype", [object, [("a", object)], "U4", "datetime64[s]", "c8", [("a", "f4")]])
def test_arrays_of_what_are_no_numbers(dtype, tmp_path):
    np.save(tmp_path / "odd.npy", np.zeros((3, 4), dtype), allow_pickle=True)
    np.savez(tmp_path / "odd.npz", np.zeros((3, 4), dtype), allow_pickle=True)
    for name in ("odd.npy", "odd.npz"):
        with pytest.raises((ValueError, TypeError), match=name):
            load_case(tmp_path / name)


def test_which_array_of_several(tmp_path):
    np.savez(tmp_path / "two.npz", scan=np.ones((3, 4)), mask=np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"two.npz': it holds 2 arrays .scan, mask.*numpy.load.path.\['scan'\]"):
        load_case(tmp_path / "two.npz")
    assert load_case(np.load(tmp_path / "two.npz")["scan"]).image.mean() == 1
    np.savez(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="none.npz': it holds 0 arrays"):
        load_case(tmp_path / "none.npz")


# ---- ITK


@pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd", "nii.gz"])
@pytest.mark.parametrize("angles", [(0, 0, 0), (10, -20, 30), (90, 0, 0), (0, 180, 90)])
def test_a_volume_is_where_itk_has_it(ending, angles, tmp_path):
    image = itk_image(angles=angles)
    sitk.WriteImage(image, tmp_path / f"scan.{ending}")
    sitk.WriteImage(image, tmp_path / "scan.nii")
    expected = from_nifti(tmp_path / "scan.nii")
    for x in (tmp_path / f"scan.{ending}", image):
        case = load_case(x)
        assert np.array_equal(case.image[0], expected.array) and case.unit == "mm"
        assert np.allclose(case.spacing, expected.spacing) and np.allclose(case.affine, expected.affine, atol=1e-4)
    spot = np.argwhere(case.image[0].numpy() == BLOCK[1, 2, 3]).tolist()
    place = np.multiply(image.TransformIndexToPhysicalPoint((3, 2, 1)), (-1, -1, 1))
    assert any(np.allclose(case.affine @ [*s, 1], [*place, 1], atol=1e-3) for s in spot)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_itk_keeps_every_number(dtype, tmp_path):
    stored = RNG.integers(0, 100, (4, 5, 6)).astype(dtype)
    sitk.WriteImage(sitk.GetImageFromArray(stored), tmp_path / "a.nrrd", useCompression=True)
    case = load_case(tmp_path / "a.nrrd", tmp_path / "a.nrrd")
    assert case.source.dtype == np.dtype(dtype).name and np.array_equal(case.truth, stored)


def test_planes_channels_and_times_of_itk(tmp_path):
    colours = RNG.integers(0, 255, (8, 9, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), tmp_path / "c.mha")
    assert np.array_equal(load_case(tmp_path / "c.mha").image, np.moveaxis(colours, -1, 0))
    with pytest.raises(ValueError, match="truth '.*c.mha': .*coloured picture"):
        load_case(colours, tmp_path / "c.mha")
    times = RNG.integers(0, 255, (6, 3, 8, 9)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(times, isVector=False), tmp_path / "t.nrrd")
    with pytest.warns(UserWarning, match="image 't.nrrd' has a fourth dimension of 6, taken as channels"):
        assert np.array_equal(load_case(tmp_path / "t.nrrd").image, times)
    assert np.array_equal(load_cine(tmp_path / "t.nrrd")[4].image[0], times[4])


def nrrd(path, *fields):
    text = "\n".join(("NRRD0005", "type: uint8", "dimension: 3", "sizes: 4 5 6", "encoding: raw", *fields))
    path.write_bytes(text.encode() + b"\n\n" + bytes(120))
    return path


SPACED = "space directions: (2,0,0) (0,3,0) (0,0,4)"


@pytest.mark.parametrize(
    "fields, spacing",
    [
        (["space: left-posterior-superior", SPACED], (4, 3, 2)),
        (["space: left-posterior-superior", SPACED, 'space units: "mm" "mm" "mm"'], (4, 3, 2)),
        (["space: left-posterior-superior", SPACED, 'space units: "um" "um" "um"'], (0.004, 0.003, 0.002)),
        (["space: left-posterior-superior", SPACED, 'space units: "furlong" "furlong" "furlong"'], None),
        (["spacings: 2 3 4"], (4, 3, 2)),
        ([], None),
        (["spacings: nan nan nan"], None),
    ],
)
def test_units_of_nrrd(fields, spacing, tmp_path, recwarn):
    case = load_case(nrrd(tmp_path / "a.nrrd", *fields))
    assert (case.unit, case.spacing) == (("mm", spacing) if spacing else ("px", (1, 1, 1)))
    assert any("spacing=" in str(w.message) for w in recwarn) == (spacing is None)


def test_a_metaimage_without_spacing(tmp_path):
    text = "ObjectType = Image\nNDims = 3\nDimSize = 4 5 6\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(text.encode() + bytes(120))
    with pytest.warns(UserWarning, match="image 'a.mha' does not say how far apart its voxels are"):
        assert load_case(tmp_path / "a.mha").unit == "px"
    assert load_case(tmp_path / "a.mha", spacing=(1, 2, 3)).unit == "mm"


def test_itk_files_that_are_huge_or_broken(tmp_path):
    nrrd(tmp_path / "a.nrrd").write_bytes(
        (tmp_path / "a.nrrd").read_bytes().replace(b"sizes: 4 5 6", b"sizes: 9999 9999 9999")
    )
    with pytest.raises(ValueError, match="a.nrrd': it holds .* say max_pixels=999700029999"):
        load_case(tmp_path / "a.nrrd")
    nrrd(tmp_path / "b.nrrd").write_bytes((tmp_path / "b.nrrd").read_bytes()[:-30])
    with pytest.raises(ValueError, match="b.nrrd"):
        load_case(tmp_path / "b.nrrd")


# ---- nibabel's others


def test_freesurfer_and_pairs(tmp_path):
    voxels = RNG.integers(0, 99, (3, 4, 5)).astype(np.int16)
    affine = affine_of(rotated(5, 10, 15), (0.9, 1.1, 3.3), (1, 2, 3))
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "a.nii")
    nib.save(nib.MGHImage(voxels, affine), tmp_path / "a.mgz")
    nib.save(nib.Nifti1Pair(voxels, affine), tmp_path / "pair.img")
    expected = load_case(tmp_path / "a.nii")
    for name in ("a.mgz", "pair.img", "pair.hdr"):
        case = load_case(tmp_path / name)
        assert np.array_equal(case.image, expected.image) and np.allclose(case.affine, expected.affine, atol=2e-3)
    nib.save(nib.AnalyzeImage(voxels, None), tmp_path / "old.img")
    with pytest.raises(ValueError, match="old.img', which cannot be read: .*Analyze, which does not say which side"):
        load_case(tmp_path / "old.img")


# ---- what is refused


@pytest.mark.parametrize("sign, what, helps", _SIGNS)
def test_a_format_is_known_by_its_first_bytes(sign, what, helps, tmp_path):
    (tmp_path / "some.file").write_bytes(sign + bytes(500))
    with pytest.raises(ValueError, match=r"some.file', which cannot be read: it is ") as error:
        load_case(tmp_path / "some.file")
    assert what in str(error.value) and helps in str(error.value)


@pytest.mark.parametrize("ending", itertools.chain(*(endings for endings, _, _ in _ENDINGS)))
def test_a_format_is_known_by_its_ending(ending, tmp_path):
    (tmp_path / f"some{ending}").write_bytes(b"some bytes")
    for argument, pair in (("image", (tmp_path / f"some{ending}",)), ("truth", (BLOCK, tmp_path / f"some{ending}"))):
        with pytest.raises(
            ValueError, match=f"{argument} must be a file .*some{ending}', which cannot be read: it is "
        ):
            load_case(*pair)


def test_formats_with_signs_further_in(tmp_path):
    (tmp_path / "photo").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (tmp_path / "film").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "noise").write_bytes(bytes(RNG.integers(1, 255, 1000).astype(np.uint8)))
    for name, words in dict(photo="HEIC", film="a film", empty="it is empty", noise="its format is not known").items():
        path = next(tmp_path.glob(f"{name}*"))
        with pytest.raises(ValueError, match=f"{path.name}', which cannot be read: .*{words}"):
            load_case(path)
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / ".zarray").write_text("{}")
    with pytest.raises(ValueError, match="a.zarr', which cannot be read: it is Zarr"):
        load_case(tmp_path / "a.zarr")


def test_contents_come_before_endings(tmp_path):
    nib.save(nib.Nifti1Image(BLOCK, np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "scan").write_bytes((tmp_path / "a.nii").read_bytes())
    with pytest.raises(ValueError, match="it is NIfTI without its ending; call it .nii"):
        load_case(tmp_path / "scan")
    (tmp_path / "array").write_bytes(b"")
    np.save(tmp_path / "b.npy", BLOCK)
    (tmp_path / "array").write_bytes((tmp_path / "b.npy").read_bytes())
    assert load_case(tmp_path / "array").shape == BLOCK.shape
    Image.new("L", (3, 4), 7).save(tmp_path / "c.png")
    (tmp_path / "picture.dat").write_bytes((tmp_path / "c.png").read_bytes())
    assert (load_case(tmp_path / "picture.dat").image == 7).all()
    (tmp_path / "lie.nii.gz").write_bytes((tmp_path / "c.png").read_bytes())
    with pytest.raises(ValueError, match="lie.nii.gz"):
        load_case(tmp_path / "lie.nii.gz")
