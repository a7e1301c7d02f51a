"DICOM: values, places, series, films, and that errors say nothing of a patient"

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scans import RIGHT_HANDED, affine_of, rotated, write_dicom, write_enhanced, write_series

from misas.data.dicom import _frames, from_dicom, read_film
from misas.data.files import InvalidImageError, from_nifti
from misas.data.headers import frame_facts

STORED = np.array([[0, 100], [40000, 65535]])
TALL = np.zeros((6, 4, 5))
AXIAL = affine_of(RIGHT_HANDED, (2, 1, 1), (0, 0, 0))
DIRECTIONS = dict(
    axial=RIGHT_HANDED,
    sagittal=RIGHT_HANDED[[2, 1, 0]] * [1, 1, -1],
    coronal=RIGHT_HANDED[[0, 2, 1]] * [1, 1, -1],
    oblique=rotated(70, -35, 50) @ RIGHT_HANDED,
)
OBLIQUE = affine_of(DIRECTIONS["oblique"], (3.3, 1.25, 0.75), (-12.5, 30, 44))
HERE = dict(PixelSpacing=[1, 1], ImagePositionPatient=[0, 0, 9], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])


@pytest.fixture
def block():
    "Voxels with one that is marked"
    voxels = np.zeros((3, 4, 5), np.int16)
    voxels[1, 2, 4] = 100
    voxels[0, 0, 0] = 7
    return voxels


# ---- one frame


def test_values_as_they_are_stored(tmp_path):
    tags = dict(PixelSpacing=[1.5, 0.75], WindowCenter=[100, 5], WindowWidth=[50, 7])
    raw = from_dicom(write_dicom(tmp_path / "plain.dcm", STORED, **tags))
    assert raw.array.dtype == np.uint16 and raw.array.tolist() == STORED.tolist()
    assert raw.spacing == (1.5, 0.75) and raw.window == (100, 50) and raw.affine is None


def test_rescaled_and_inverted_values(tmp_path):
    ct = from_dicom(write_dicom(tmp_path / "ct.dcm", STORED, RescaleSlope=2, RescaleIntercept=-1024))
    assert ct.array.tolist() == (STORED * 2 - 1024).tolist()
    inverted = from_dicom(write_dicom(tmp_path / "m1.dcm", STORED, PhotometricInterpretation="MONOCHROME1"))
    assert inverted.array.tolist() == (65535 - STORED).tolist()


def test_the_place_of_a_frame_and_nothing_of_a_patient(tmp_path):
    place = dict(ImagePositionPatient=[10, 20, 30], ImageOrientationPatient=[0, 1, 0, 0, 0, -1], SliceThickness=8)
    path = write_dicom(tmp_path / "placed.dcm", STORED, PixelSpacing=[1.5, 0.75], **place)
    # sagittal: columns to the back, rows down
    assert from_dicom(path).affine.tolist() == [[8, 0, 0, -10], [0, 0, -0.75, -20], [0, -1.5, 0, 30], [0, 0, 0, 1]]
    known = set().union(*map(set, frame_facts(pydicom.dcmread(path))))
    assert not [k for k in known if k.startswith("Patient") or "Date" in k]
    assert [k for k in known if "UID" in k] == ["SOPInstanceUID"]  # by which segments name a frame; never shown


def test_a_dose_is_in_gray_and_its_planes_are_apart():
    dose = pydicom.dcmread(Path(pydicom.__file__).parent / "data/test_files/rtdose.dcm")
    planes = _frames(dose.filename)
    assert float(dose.DoseGridScaling) == 1e-6 and len(planes) == 15
    assert np.allclose([p for p, _ in planes], dose.pixel_array * 1e-6, rtol=1e-6)
    first = float(dose.ImagePositionPatient[2])
    assert [f["ImagePositionPatient"][2] for _, f in planes] == [first + 5 * i for i in range(15)]
    with pytest.raises(InvalidImageError, match="holds no image .its kind is RTPLAN"):
        _frames(dose.filename.replace("rtdose", "rtplan"))


def test_a_spacing_that_is_none_is_said_and_not_used(tmp_path):
    raw = from_dicom(write_dicom(tmp_path / "thin.dcm", STORED, PixelSpacing=[0, 1]))
    assert raw.spacing is None and "spacing that is none (PixelSpacing '0" in raw.remarks[0]


# ---- a series


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_series_is_as_the_nifti_file_of_the_same_patient(name, block, tmp_path):
    affine = affine_of(DIRECTIONS[name], (3.3, 1.25, 0.75), (-12.5, 30, 44))
    series = from_dicom(write_series(tmp_path / "series", block, affine))
    nib.save(nib.Nifti1Image(block.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]), tmp_path / "same.nii")
    nifti = from_nifti(tmp_path / "same.nii")
    assert np.array_equal(series.array, nifti.array) and series.spacing == nifti.spacing
    assert np.allclose(series.affine, nifti.affine, atol=2e-3)
    marked = [*np.argwhere(series.array == 100)[0], 1]
    assert np.allclose(series.affine @ marked, affine @ [1, 2, 4, 1], atol=2e-3)
    turned = series.array.shape != block.shape or not np.array_equal(series.array, block)
    assert turned == (name != "axial")


def test_simpleitk_agrees_where_a_voxel_lies(block, tmp_path):
    series = from_dicom(write_series(tmp_path / "oblique", block, OBLIQUE))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "oblique")))
    theirs = reader.Execute()
    spot = np.argwhere(sitk.GetArrayFromImage(theirs) == 100)[0][::-1].tolist()
    point = np.multiply(theirs.TransformIndexToPhysicalPoint(spot), [-1, -1, 1])
    assert np.allclose(point, series.affine[:3] @ [*np.argwhere(series.array == 100)[0], 1], atol=2e-3)


CORONAL = dict(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
OTHER_SERIES = dict(SeriesInstanceUID="1.2.826.0.1.78", SeriesNumber=3, Modality="CT", **CORONAL)


@pytest.mark.parametrize(
    "words, tags, also",
    [
        ("different directions", {}, (TALL[0], CORONAL)),
        ("must have one size", {}, (np.zeros((7, 7)), {})),
        ("lie where another one does.*load_cine", {}, (TALL[0], dict(ImagePositionPatient=[0, 0, 4]))),
        ("different pixel spacings", {}, (TALL[0], dict(PixelSpacing=[1, 2]))),
        ("do not say where they are", dict(ImageOrientationPatient=None), None),
        ("series=1: CT coronal, 1 x 4 x 5", dict(Modality="MR"), (TALL[0], OTHER_SERIES)),
        ("slices 6 and 7 of 7 are 3.606 mm apart", {}, (TALL[0], dict(ImagePositionPatient=[-3, 0, 12]))),
    ],
)
def test_what_is_no_even_block_is_an_error_that_says_nothing_of_the_patient(words, tags, also, tmp_path):
    write_series(tmp_path / "series", TALL, AXIAL, **tags)
    if also:
        extra, changes = also
        write_dicom(tmp_path / "series" / "also.dcm", extra, **HERE | changes)
    with pytest.raises(InvalidImageError, match=words) as e:
        from_dicom(tmp_path / "series")
    assert not any(secret in str(e.value) for secret in ("Doe", "4711", "1970", "1.2.826"))


def test_a_missing_slice_is_an_error(tmp_path):
    for path in sorted(write_series(tmp_path / "gap", TALL, AXIAL).iterdir()):
        if pydicom.dcmread(path).ImagePositionPatient[2] == 6:
            path.unlink()
    with pytest.raises(InvalidImageError, match="slices 3 and 4 of 5 are 4 mm apart and others 2 mm"):
        from_dicom(tmp_path / "gap")


def test_one_of_several_series_is_chosen(tmp_path):
    write_series(tmp_path / "several", TALL, AXIAL, Modality="MR")
    write_dicom(tmp_path / "several" / "also.dcm", TALL[0], **HERE | OTHER_SERIES)
    assert from_dicom(tmp_path / "several", series=0).array.shape == (6, 4, 5)
    assert from_dicom(tmp_path / "several", series=1).array.shape == (4, 5)
    with pytest.raises(InvalidImageError, match="series must be one of series=0: MR.*, got 2"):
        from_dicom(tmp_path / "several", series=2)


def test_a_gantry_tilt_is_kept_and_said(tmp_path):
    tilted = AXIAL + np.eye(4)[[0]].T @ [[1, 0, 0, 0]]
    raw = from_dicom(write_series(tmp_path / "tilt", TALL, tilted))
    assert np.allclose(raw.spacing, [5**0.5, 1, 1])
    assert "slanted by 26.6 degrees (gantry tilt): volumes in mm are too large by 11.80%" in raw.remarks[0]


# ---- one file with several frames


def test_an_enhanced_file_is_as_the_series(block, tmp_path):
    series = from_dicom(write_series(tmp_path / "series", block, OBLIQUE))
    raw = from_dicom(write_enhanced(tmp_path / "enhanced.dcm", block, OBLIQUE, (2, 0, 1)))
    assert np.array_equal(raw.array, series.array) and np.array_equal(raw.affine, series.affine)
    assert raw.array.dtype == np.uint16


def test_slopes_may_differ_from_frame_to_frame(tmp_path):
    path = write_enhanced(tmp_path / "pet.dcm", np.ones((3, 2, 2)), AXIAL, (1, 2, 0), slopes=[20, 30, 10])
    pet = from_dicom(path)
    assert pet.array[:, 0, 0].tolist() == [10, 20, 30] and pet.array.dtype == np.float32


@pytest.mark.parametrize(
    "told",
    [
        dict(GridFrameOffsetVector=[0, -4, -8]),
        dict(GridFrameOffsetVector=[50, 46, 42]),
        dict(SpacingBetweenSlices=-4),
    ],
)
def test_frames_of_a_plain_file_from_the_head_down(told, block, tmp_path):
    place = dict(PixelSpacing=[2, 1], ImagePositionPatient=[0, 0, 50], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    raw = from_dicom(write_dicom(tmp_path / "dose.dcm", block, **place | told))
    assert raw.spacing == (4, 2, 1) and np.array_equal(raw.array, block[::-1]) and raw.affine[2, 3] == 42


def test_a_series_is_inverted_as_one(tmp_path):
    stored = np.array([[[0, 5], [1, 2]], [[10, 20], [3, 4]]])
    low = write_series(tmp_path / "m1", stored, AXIAL, PhotometricInterpretation="MONOCHROME1")
    assert from_dicom(low).array.tolist() == [[[20, 15], [19, 18]], [[10, 0], [17, 16]]]


# ---- films

BEAT = np.arange(5)[:, None, None] * 100 + np.arange(12).reshape(3, 4)  # five times


def test_a_film_of_files_is_in_the_order_of_time(tmp_path):
    place = dict(PixelSpacing=[2, 1], ImagePositionPatient=[0, 0, 5], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for k, delay in enumerate([40, 0, 160, 80, 120]):
        write_dicom(tmp_path / "beat" / f"{k}.dcm", BEAT[delay // 40], TriggerTime=delay, InstanceNumber=k, **place)
    film = read_film(tmp_path / "beat")
    assert [raw.array.tolist() for raw in film] == BEAT.tolist()
    assert all(raw.affine is not None and raw.spacing == (2, 1) for raw in film)


def test_a_film_in_one_file_is_in_the_order_of_its_frames(tmp_path):
    path = write_dicom(tmp_path / "cine.dcm", BEAT)
    assert [raw.array.tolist() for raw in read_film(path)] == BEAT.tolist()
    with pytest.raises(InvalidImageError, match="load_cine reads a film"):
        from_dicom(path)


def test_a_film_of_volumes(tmp_path):
    folder = tmp_path / "moving"
    for t in range(2):
        write_series(folder, TALL + t, AXIAL, TriggerTime=t)
        for path in sorted(folder.glob("*.dcm")):
            path.rename(folder / f"t{t}-{path.stem}.ima")
    assert [(raw.array.shape, raw.array.max()) for raw in read_film(folder)] == [((6, 4, 5), 0), ((6, 4, 5), 1)]
    with pytest.raises(InvalidImageError, match="load_cine"):
        from_dicom(folder)
    sorted(folder.iterdir())[0].unlink()
    with pytest.raises(InvalidImageError, match="different numbers of frames, 1, 2"):
        read_film(folder)
