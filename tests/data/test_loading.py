"Whatever users hold as a case: bad arguments, one patient by many ways, structures, channels, films, slices"

import doctest
import pickle
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from scans import WORLD, write_dicom, write_rtstruct

import misas.data.loading
from misas.core.cases import Source
from misas.data.casefile import CaseFile
from misas.data.files import save_mask
from misas.data.loading import load_case, load_cine, slices_of
from misas.data.structures import roi_names

GREY = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
SECRETS = dict(
    PatientName="Doe^Jane",
    PatientID="MRN-4711",
    PatientBirthDate="19700102",
    StudyDate="20240131",
    StudyInstanceUID="1.2.826.0.1.4.5",
    SeriesInstanceUID="1.2.826.0.1.4.6",
    SeriesDescription="Jane's heart",
    InstitutionName="Spital",
)


def test_the_example_of_the_docstring_runs():
    found = doctest.DocTestFinder().find(load_case, "load_case", module=misas.data.loading)
    runner = doctest.DocTestRunner()
    for example in found:
        runner.run(example)
    assert runner.tries >= 4 and runner.failures == 0


# ---- names and files


def test_a_case_is_called_as_its_files():
    assert CaseFile("a/b.c.nii.gz").name == "b.c" and CaseFile("x/slice.png", name="s").name == "s"
    assert CaseFile(("p7_t1.nii", "p7_t2.nii.gz")).name == "p7"
    assert CaseFile(("x_0000.nii", "x_0001.nii")).name == "x"
    assert CaseFile(("t1.nii", "t2.nii")).name == "t1"


def test_identifiers_of_patients_become_fingerprints():
    assert re.fullmatch("MR.uid[0-9a-f]{8}", CaseFile("MR.1.2.840.113619.2.5.1762583153.dcm").name)
    assert CaseFile("1.2.840.113619.2.5.17").name != CaseFile("1.2.840.113619.2.5.18").name


def test_paths_of_a_case_on_disk():
    case = CaseFile(("x_0.nii", "x_1.nii"), "y.nii")
    assert case.paths == ("x_0.nii", "x_1.nii", "y.nii")
    x0, x1, y = (str(Path(name).resolve()) for name in case.paths)
    assert case.resolved() == CaseFile((x0, x1), y, "x")
    assert CaseFile("x.nii").resolved() == CaseFile(str(Path("x.nii").resolve()), name="x")
    assert CaseFile("x.nii").files == [Path("x.nii")]


# ---- one image


def test_pictures_arrays_and_lists(tmp_path):
    GREY.save(tmp_path / "grey.png")
    case = load_case(GREY, np.asarray(GREY) > 100)
    assert case.image.shape == (1, 16, 16) and case.truth.sum() == 155 and case.source == Source("pil", "uint8", "none")
    assert load_case(tmp_path / "grey.png").name == "grey" and load_case(str(tmp_path / "grey.png")).scale == (0, 255)
    assert load_case(GREY.convert("RGBA")).image.shape == (3, 16, 16)
    assert load_case(np.zeros((5, 6, 3), np.uint8)).image.shape == (3, 5, 6)
    assert load_case(np.zeros((5, 6, 3)), channels="none").shape == (5, 6, 3)
    assert load_case([[0, 1], [2, 3]]).shape == (2, 2)  # numbers, not files


def test_dicom_keeps_its_values_and_nothing_of_the_patient(tmp_path):
    tags = dict(PixelSpacing=[1.5, 0.75], WindowCenter=[100, 5], WindowWidth=[50, 7])
    stored = np.array([[0, 100], [40000, 65535]])
    case = load_case(write_dicom(tmp_path / "plain.dcm", stored, **SECRETS | tags))
    assert case.image.max() == 65535 and case.spacing == (1.5, 0.75)
    assert case.source == Source("array", "uint16", "none")
    assert not any(str(v) in repr(vars(case)) for v in ("Jane", "Doe", *SECRETS.values()))
    windowed = load_case(tmp_path / "plain.dcm", window=True)
    assert windowed.scale == (75, 125) and windowed.image.flatten().tolist() == [75, 100, 125, 125]
    stored = np.array([[0, 100], [1000, 2000]])
    ct = load_case(write_dicom(tmp_path / "ct.dcm", stored, RescaleSlope=2, RescaleIntercept=-1024))
    assert ct.image.min() == -1024 and ct.scale == (-1024, 2976)


@pytest.mark.parametrize(
    "bad, words",
    [
        (dict(truth=np.zeros((4, 4), int)), "truth"),
        (dict(window=(3, 0)), "window must be .centre, width."),
        (dict(window="brain"), "window must be .*'brain'"),
        (dict(window=(1,)), "window must be"),
        (dict(window=True), "names no window"),
        (dict(spacing=2), "spacing.*2"),
        (dict(spacing=0), "spacing.*0"),
        (dict(labels="bg,LV"), "labels.*'bg,LV'"),
        (dict(channels="middle"), "channels must be one of 'first', 'last', 'none', None, got 'middle'"),
        (dict(image=np.zeros((4, 0))), "shape"),
        (dict(image=np.full((4, 4), np.inf)), "infinite|finite"),
    ],
    ids=lambda x: x if isinstance(x, str) else next(iter(x)),
)
def test_bad_arguments_are_named(bad, words):
    with pytest.raises(ValueError, match=words):
        load_case(**dict(image=GREY) | bad)


def test_an_image_must_be_of_numbers():
    with pytest.raises(TypeError, match="image must be of real numbers"):
        load_case(np.array([["a", "b"]]))


def test_a_truth_that_cannot_be_read_is_named(tmp_path):
    Image.effect_noise((40, 40), 50).save(tmp_path / "noise.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "noise.png").read_bytes()[:600])
    with pytest.raises(ValueError, match="truth must be a file that can be read .*cut.png'"):
        load_case(GREY, tmp_path / "cut.png")


# ---- one patient, many ways

PATIENT = np.random.default_rng(0).integers(0, 900, (4, 6, 5)).astype(np.int16)
PATIENT[3, 1, 2] = 1000
TURN = np.linalg.qr(np.array([[0.2, 0.1, -1], [0.3, -1, 0.1], [1, 0.2, 0.2]]))[0]
TURN = TURN * np.sign([TURN[2, 0], -TURN[1, 1], -TURN[0, 2]])
AFFINE = np.eye(4)
AFFINE[:3] = np.column_stack([TURN * [4, 1.5, 0.75], [-20, 35, 60]])  # from (slice, row, column)
BRIGHT = AFFINE @ [3, 1, 2, 1]


def write_nifti(path, voxels):
    nib.save(nib.Nifti1Image(voxels.transpose(2, 1, 0), AFFINE[:, [2, 1, 0, 3]]), path)
    return path


@pytest.fixture
def patient(tmp_path):
    "A folder with the patient as DICOM series and as NIfTI in two orientations"
    place = np.diag([-1, -1, 1, 1]) @ AFFINE
    orientation = [f"{x:.12g}" for x in [*place[:3, 2] / 0.75, *place[:3, 1] / 1.5]]
    for k, name in enumerate(["c", "a", "d", "b"]):
        position = [f"{x:.9g}" for x in place[:3] @ [k, 0, 0, 1]]
        facts = dict(PixelSpacing=[1.5, 0.75], ImageOrientationPatient=orientation, ImagePositionPatient=position)
        write_dicom(tmp_path / "patient" / f"{name}.dcm", PATIENT[k], **facts)
    nib.save(nib.as_closest_canonical(nib.load(write_nifti(tmp_path / "lps.nii.gz", PATIENT))), tmp_path / "ras.nii.gz")
    return tmp_path


def test_one_patient_is_one_case_by_every_way(patient):
    torchio = pytest.importorskip("torchio")
    MetaTensor = pytest.importorskip("monai.data").MetaTensor
    scalar = torchio.ScalarImage(patient / "ras.nii.gz")
    label = torchio.LabelMap(tensor=(scalar.data == 1000).int(), affine=scalar.affine)
    lps = nib.load(patient / "lps.nii.gz")
    monai = MetaTensor(torch.from_numpy(lps.get_fdata())[None], affine=lps.affine)
    subject = torchio.Subject(mri=scalar, label=label)

    reference = load_case(patient / "lps.nii.gz")
    for image in (
        patient / "patient",
        patient / "ras.nii.gz",
        nib.load(patient / "ras.nii.gz"),
        scalar,
        subject,
        monai,
    ):
        case = load_case(image, None if image is subject else label)
        assert torch.equal(case.image, reference.image) and case.spacing == reference.spacing
        assert np.allclose(case.affine, reference.affine, atol=1e-3)
        spot = np.argwhere(case.image[0].numpy() == 1000)[0]
        assert np.allclose(case.affine @ [*spot, 1], BRIGHT, atol=2e-3)
        assert torch.equal(case.truth, (case.image[0] == 1000).int())


def test_a_spacing_by_hand_changes_the_affine(patient):
    assert load_case(patient / "patient").name == "patient"
    case = load_case(patient / "patient", spacing=(8, 1, 1))
    assert case.spacing == (8, 1, 1)
    assert np.allclose(np.linalg.norm(case.affine[:, :3], axis=0), (8, 1, 1))


def test_a_saved_mask_fits_its_image_and_a_moved_one_does_not(patient):
    reference = load_case(patient / "lps.nii.gz")
    saved = save_mask(reference.image[0] > 500, reference, patient / "truth.nii.gz")
    for image in ("patient", "ras.nii.gz"):
        assert torch.equal(load_case(patient / image, saved).truth, (reference.image[0] > 500).int())
    moved = nib.load(saved)
    shifted = moved.affine.copy()
    shifted[:3, 3] += [0, 0, 2]
    nib.save(nib.Nifti1Image(moved.dataobj, shifted), patient / "moved.nii")
    with pytest.raises(ValueError, match="truth lies elsewhere than image: the first voxels at"):
        load_case(patient / "patient", patient / "moved.nii")
    with pytest.raises(ValueError, match="ras.nii.gz' and '.*moved.nii' in image .* lie in different places"):
        load_case([patient / "ras.nii.gz", patient / "moved.nii"])


def test_a_single_slice_stays_as_the_scanner_made_it(tmp_path):
    # its columns go down, its rows to the back
    place = dict(PixelSpacing=[1, 2], SliceThickness=8, ImageOrientationPatient=[0, 0, -1, 0, 1, 0])
    seen = np.arange(6).reshape(2, 3)
    case = load_case(write_dicom(tmp_path / "sagittal.dcm", seen, **place, ImagePositionPatient=[5, 6, 7]))
    assert case.image[0].tolist() == seen.tolist() and case.affine[:3, 3].tolist() == [-5, -6, 7]
    twin = save_mask(case.image[0].int(), case, tmp_path / "twin.nii")
    assert load_case(twin).image[0].tolist() == seen.T.tolist()  # rows down, columns to the back
    assert load_case(tmp_path / "sagittal.dcm", twin).truth.tolist() == seen.tolist()
    beside = write_dicom(tmp_path / "next.dcm", seen, **place, ImagePositionPatient=[13, 6, 7])
    with pytest.raises(ValueError, match="truth lies elsewhere"):
        load_case(beside, twin)


# ---- structures


def rectangle(z, left, right, front, back):
    return [(left, front, z), (right, front, z), (right, back, z), (left, back, z)]


# mm; to the left, to the back, up
ROIS = dict(
    body=[rectangle(z, -8.5, 11.5, -17, 15) for z in (300, 297, 294)],
    LV=[rectangle(297, -2.5, 3.5, -9, 3)],
)
EXPECTED = np.zeros((5, 20, 24))  # the volume goes up
EXPECTED[2:, 2:18, 2:22] = 1
EXPECTED[3, 6:12, 8:14] = 2


def write_plan(folder):
    "A series from the head down"
    place = dict(PixelSpacing=[2, 1], SliceThickness=3, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for k in range(5):
        position = dict(ImagePositionPatient=[-10, -20, 300 - 3 * k], FrameOfReferenceUID=WORLD)
        write_dicom(folder / f"{k}.dcm", np.full((20, 24), 100 + k), **place | position)
    return folder


@pytest.fixture
def plan(tmp_path):
    "A series and its structures"
    return write_plan(tmp_path / "plan"), write_rtstruct(tmp_path / "plan-rt.dcm", ROIS)


def test_structures_are_chosen(plan):
    series, path = plan
    with pytest.raises(ValueError, match="overlap: 'body' and 'LV' .36 voxels.; .* choose with rois="):
        load_case(series, path)
    case = load_case(series, path, rois=["body", "LV"])
    assert np.array_equal(case.truth, EXPECTED)
    assert case.labels == ("background", "body", "LV") == ("background", *roi_names(path))
    assert case.image[0, :, 0, 0].tolist() == [104, 103, 102, 101, 100]
    exchanged = load_case(series, path, rois={"body": 2, "LV": 1})
    assert np.array_equal(exchanged.truth, np.where(EXPECTED, 3 - EXPECTED, 0))
    assert load_case(series, path, rois="LV", labels=("bg", "heart")).labels == ("bg", "heart")


def test_structures_of_single_slices(plan):
    series, path = plan
    assert np.array_equal(load_case(series / "1.dcm", path, rois=["body", "LV"]).truth, EXPECTED[3])
    assert load_case(series / "4.dcm", path, rois="LV").truth.max() == 0


def test_nothing_of_a_patient_is_kept_with_structures(plan):
    kept = pickle.dumps(load_case(*plan, rois=["body", "LV"]))
    assert b"LV" in kept and not [word for word in (b"Doe", b"Jane", b"MRN", b"4711", b"1.2.826") if word in kept]


def test_structures_of_another_patient_and_alone_are_errors(plan, tmp_path):
    series, path = plan
    with pytest.raises(ValueError, match="another frame of reference"):
        load_case(series, write_rtstruct(tmp_path / "other-rt.dcm", ROIS, "1.2.826.0.1.98"), rois="LV")
    with pytest.raises(ValueError, match="it holds no image .its kind is RTSTRUCT"):
        load_case(path)


def test_a_case_on_disk_keeps_its_rois(plan):
    series, path = map(str, plan)
    case = CaseFile(series, path, "anna", {"body": 1, "LV": 2})
    assert case.rois == (("body", 1), ("LV", 2))
    assert np.array_equal(load_case(case.resolved()).truth, EXPECTED) and load_case(case).name == "anna"
    assert load_case(case, rois="LV").truth.max() == 1


# ---- channels


def test_several_sequences_are_channels(patient):
    reference = load_case(patient / "lps.nii.gz")
    saved = save_mask(reference.image[0] > 500, reference, patient / "truth.nii.gz")
    t1, t2 = (write_nifti(patient / f"p1_t{i + 1}.nii.gz", PATIENT + 1000 * i) for i in range(2))
    both = load_case([t1, str(t2)], saved)
    assert both.image.shape == (2, *reference.shape) and torch.equal(both.image[1], reference.image[0] + 1000)
    assert both.name == "p1" and both.truth is not None and both.source.channels == "last"
    GREY.save(patient / "grey.png")
    assert load_case([patient / "grey.png", patient / "grey.png"]).image.shape == (2, 16, 16)
    with pytest.raises(ValueError, match="ras.nii.gz' and '.*grey.png' in image must have one shape"):
        load_case([patient / "ras.nii.gz", patient / "grey.png"])


def test_images_of_a_subject_are_channels(patient):
    torchio = pytest.importorskip("torchio")
    t1, t2 = (write_nifti(patient / f"p1_t{i + 1}.nii.gz", PATIENT + 1000 * i) for i in range(2))
    subject = torchio.Subject(t1=torchio.ScalarImage(t1), t2=torchio.ScalarImage(t2))
    case = load_case(subject)
    assert torch.equal(case.image, load_case([t1, t2]).image) and case.source.channels == "first"
    other = torchio.ScalarImage(tensor=torch.zeros(1, 2, 2, 2))
    with pytest.warns(UserWarning, match="left out.*: other"):
        assert len(load_case(torchio.Subject(mri=torchio.ScalarImage(t1), other=other)).image) == 1
    with pytest.raises(ValueError, match="image must be a Subject with at least one ScalarImage"):
        load_case(torchio.Subject(label=torchio.LabelMap(t1)))


# ---- films

BEAT = np.stack([np.full((4, 5), 10 * t) for t in range(12)])


@pytest.fixture
def film(tmp_path):
    "A folder with the film as a series, in one file, and as NIfTI"
    place = dict(PixelSpacing=[2, 2], ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for i, t in enumerate(np.random.default_rng(0).permutation(12)):
        write_dicom(tmp_path / "beat" / f"{i}.dcm", BEAT[t], TriggerTime=int(t) * 33.3, **place)
    write_dicom(tmp_path / "beat.dcm", BEAT)
    voxels = BEAT.transpose(2, 1, 0)[:, :, None].astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([-2, -2, 8, 1.0])), tmp_path / "beat.nii.gz")
    return tmp_path


def test_a_film_is_one_by_every_way(film):
    ways = (film / "beat", film / "beat.nii.gz", film / "beat.dcm", BEAT, torch.from_numpy(BEAT), list(BEAT))
    for images in ways:
        cases = load_cine(images, name="heart", labels=("bg", "LV"))
        assert [c.name for c in cases[:2]] == ["heart-00", "heart-01"]
        assert [c.image[0, 0, 0].item() for c in cases] == [10.0 * t for t in range(12)]
        assert {c.shape for c in cases} == {(4, 5)} and cases[0].scale == (0, 110)
    third = load_cine(film / "beat")[3]
    assert third.name == "beat-03" and third.spacing == (2, 2) and third.affine is not None
    assert [v.shape for v in load_cine(np.zeros((2, 3, 4, 5)))] == [(3, 4, 5)] * 2


def test_truths_of_a_film(film):
    diastole = load_cine(film / "beat", [BEAT[0] > 5] + [None] * 11)
    assert diastole[0].truth is not None and diastole[1].truth is None
    assert load_cine(film / "beat.nii.gz", film / "beat.nii.gz")[4].truth.unique().tolist() == [40]
    drawn = write_rtstruct(film / "beat-rt.dcm", dict(LV=[[(-1, -1, 0), (5, -1, 0), (5, 3, 0), (-1, 3, 0)]]))
    cases = load_cine(film / "beat", [drawn] + [None] * 11, rois={"LV": 3})
    assert cases[0].truth.tolist() == [[3, 3, 3, 0, 0]] * 2 + [[0] * 5] * 2
    assert cases[0].labels == ("background", "1", "2", "LV") and cases[1].truth is None


def test_what_is_no_film(film, patient):
    GREY.save(film / "grey.png")
    with pytest.raises(ValueError, match="load_cine reads"):
        load_case(film / "beat")
    with pytest.raises(ValueError, match="rois must be None, as truths is no list with RTSTRUCT"):
        load_cine(film / "beat", rois="LV")
    with pytest.raises(ValueError, match="truths has 3 times"):
        load_cine(BEAT, BEAT[:3])
    for bad in (patient / "lps.nii.gz", film / "grey.png", np.eye(3)):
        with pytest.raises(ValueError, match="no axis of time"):
            load_cine(bad)


# ---- slices


def test_slices_know_their_place_and_are_turned(patient):
    reference = load_case(patient / "lps.nii.gz")
    saved = save_mask(reference.image[0] > 500, reference, patient / "truth.nii.gz")
    whole = load_case(patient / "patient", saved)
    for axis in (0, 1, 2):
        planes = slices_of(whole, axis)
        (shining,) = [c for c in planes if c.image.max() == 1000]
        row, column = np.argwhere(shining.image[0].numpy() == 1000)[0]
        assert np.allclose(shining.affine @ [0, row, column, 1], BRIGHT, atol=2e-3)
        assert len(planes) == whole.shape[axis] and sum(c.truth.sum() for c in planes) == whole.truth.sum()
        assert planes[0].spacing == tuple(np.delete(whole.spacing, axis))
    assert len(slices_of(whole)) == 4 and slices_of(whole)[1].name == "patient-01"
    assert torch.equal(slices_of(whole, 0)[1].image, whole.image[:, 1])
    assert torch.equal(slices_of(whole, 1)[2].image, whole.image[:, :, 2].flip(1))  # a coronal plane, the head above
    lost = slices_of(whole.replace(affine=None), 1)[2]
    assert torch.equal(lost.image, whole.image[:, :, 2]) and lost.affine is None
    with pytest.raises(ValueError, match="case must be a volume"):
        slices_of(planes[0])
    with pytest.raises(ValueError, match="axis must be 0, 1, 2 or None, got 3"):
        slices_of(whole, 3)
