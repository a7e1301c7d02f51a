"Every file that nibabel brings: read with the values that a second library has, or refused with words that help"

import warnings
from fnmatch import fnmatch
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from misas.data.loading import load_case, load_cine

ROOT = Path(nib.__file__).parent
FOLDERS = ("tests/data", "nicom/tests/data", "gifti/tests/data", "externals/tests/data")
FILES = sorted(
    str(path.relative_to(ROOT))
    for folder in FOLDERS
    for path in (ROOT / folder).glob("*")
    if path.is_file() and path.suffix != ".pyc"
)

# what is read, and the words of warnings that belong to it
READ = {
    "tests/data/anatomical.nii": (),
    "tests/data/standard.nii.gz": (),
    "tests/data/example4d.nii.gz": (),
    "tests/data/example_nifti2.nii.gz": (),
    "tests/data/reoriented_anat_moved.nii": (),
    "tests/data/functional.nii": ("fourth dimension of 20, taken as channels",),
    "tests/data/test.mgz": ("not at right angles, but sheared by 52°",),
    "tests/data/example4d+orig.HEAD": (),
    "tests/data/example4d+orig.BRIK.gz": (),
    "tests/data/scaled+tlrc.HEAD": (),
    "tests/data/scaled+tlrc.BRIK": (),
}
DICOM = ("*/decimal_rescale.dcm", "*/slicethickness_empty_string.dcm")
# what is refused, and the words that say why and what helps
REFUSED = {
    "tests/data/resampled_anat_moved.nii": r"must be finite, got 153 pixels .* numpy.nan_to_num",
    "tests/data/row_major.dconn.nii": "it is CIFTI-2, data on surfaces",
    "tests/data/analyze.hdr": "Analyze, which does not say which side is left.*save it as NIfTI",
    "tests/data/nifti?.hdr": r"header of NIfTI in two files, and nifti\d.img is missing",
    "tests/data/bad_*.HEAD": "cannot be read .AFNI.*Error: ",
    "*.PAR": "PAR/REC of Philips; hand over nibabel.load.path., or save it as NIfTI",
    "*.REC": "PAR/REC of Philips; hand over nibabel.load.path., or save it as NIfTI",
    "*.mnc": "it is MINC; save it as NIfTI, as mnc2nii does",
    "*.v": "it is ECAT; save it as NIfTI",
    "*.trk": "it is streamlines.*it has no grid of voxels",
    "*.tck": "it is streamlines.*it has no grid of voxels",
    "*.gii": "it is GIFTI, a surface; it has no grid of voxels",
    "*.gii.*": "it is GIFTI, a surface; it has no grid of voxels",
    "*.nc": "netCDF; read the part that you mean, and hand over the array",
    "*/[01].dcm": "mosaic of 48 slices .Siemens., and must hold 7 x 7 of one size, got a picture of 256 x 256",
    "*.dcm.gz": "a compressed file; unpack it first",
    "*.bin.gz": "a compressed file; unpack it first",
    "*/csa_slice_norm.dcm": "it holds no image",
    "*.txt": "a table or text; it has no pixels",
    "*.bin": "its format is not known",
    "*.dat": "its format is not known",
    "*.m": "its format is not known",
    "*.py": "its format is not known",
    "*.rst": "its format is not known",
    "*.gitignore": "its format is not known",
}


def said(path):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        case = load_case(path)
    return case, [str(w.message) for w in heard if str(w.message).startswith("case ")]


def words_for(name):
    return next((words for pattern, words in REFUSED.items() if fnmatch(name, pattern)), None)


def test_the_table_knows_every_file():
    unknown = [n for n in FILES if n not in READ and not any(fnmatch(n, d) for d in DICOM) and not words_for(n)]
    assert len(FILES) > 80 and unknown == []


@pytest.mark.parametrize("name", READ)
def test_volumes_have_nibabels_values_where_nibabel_has_them(name):
    case, texts = said(ROOT / name)
    assert len(texts) == len(READ[name]) and all(word in text for word, text in zip(READ[name], texts))
    volume = nib.load(ROOT / name)
    voxels = volume.get_fdata(dtype=np.float32)
    voxels = voxels.reshape(*voxels.shape[:3], -1)
    assert case.image.shape[0] == voxels.shape[3] and sorted(case.shape) == sorted(voxels.shape[:3])
    index = np.stack(np.meshgrid(*map(np.arange, case.shape), indexing="ij"), -1).reshape(-1, 3)
    world = index @ case.affine[:3, :3].T + case.affine[:3, 3]
    inverse = np.linalg.inv(volume.affine)
    back = world @ inverse[:3, :3].T + inverse[:3, 3]
    assert np.abs(back - back.round()).max() < 0.01
    i, j, k = back.round().astype(int).T
    for channel in range(len(case.image)):
        assert np.array_equal(case.image[channel].numpy().ravel(), voxels[i, j, k, channel])
    # the spacing is that of nibabel, in the order of the case
    assert np.allclose(sorted(case.spacing), sorted(np.linalg.norm(volume.affine[:3, :3], axis=0)), rtol=1e-4)
    assert case.unit == "mm"


@pytest.mark.parametrize("name", [n for n in FILES if any(fnmatch(n, d) for d in DICOM)])
def test_dicom_has_the_values_of_simpleitk(name):
    case, _ = said(ROOT / name)
    theirs = sitk.ReadImage(str(ROOT / name))
    assert np.allclose(case.image[0], sitk.GetArrayFromImage(theirs)[0], rtol=1e-5)
    assert np.allclose(case.spacing, theirs.GetSpacing()[1::-1], rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in FILES if words_for(n) and n not in READ])
def test_what_is_refused_is_named(name):
    with pytest.raises(ValueError, match=words_for(name)) as error:
        load_case(ROOT / name)
    assert Path(name).name in str(error.value)


@pytest.mark.parametrize("name", ["phantom_EPI_asc_CLEAR_2_1.PAR", "phantom_varscale.PAR"])
def test_the_remedy_for_philips_helps(name):
    volume = nib.load(ROOT / "tests/data" / name)
    case = load_case(volume)
    assert np.isclose(case.image.double().mean(), volume.get_fdata().mean(), rtol=1e-5) and case.unit == "mm"


def test_times_of_a_function():
    cases = load_cine(ROOT / "tests/data/functional.nii")
    voxels = nib.load(ROOT / "tests/data/functional.nii").get_fdata(dtype=np.float32)
    assert len(cases) == 20 and all(
        np.isclose(case.image.double().mean(), voxels[..., t].mean(dtype=float)) for t, case in enumerate(cases)
    )
