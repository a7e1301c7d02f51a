"Volumes, series, films and channels of files: where voxels lie, what is an error, and that no patient's name gets out"

import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from scans import rotated

from misas.data.casetables import read_cases
from misas.data.files import save_image, save_mask
from misas.data.folders import find_cases
from misas.data.loading import load_case, load_cine, slices_of
from misas.eval.scoring import evaluate
from misas.transforms.basic import Brightness

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"  # what the pydicom wheel brings
SECRETS = dict(
    PatientName="Meier^Hildegard",
    PatientID="KIS-20417",
    PatientBirthDate="19330217",
    PatientAddress="Hauptstrasse 9",
    StudyDate="20211105",
    AcquisitionDate="20211106",
    AccessionNumber="ACC88812",
    StudyInstanceUID="1.3.6.1.4.1.9590.100.1.2.11",
    SeriesInstanceUID="1.3.6.1.4.1.9590.100.1.2.22",
    FrameOfReferenceUID="1.3.6.1.4.1.9590.100.1.2.33",
    SeriesDescription="Hildegard's knee",
    InstitutionName="Spital Nord",
    ReferringPhysicianName="Huber^Anton",
    PatientComments="afraid of scanners",
    OtherPatientIDs="OLD-1",
)
WORDS = [w for v in SECRETS.values() for w in v.replace("^", " ").split() if len(w) > 4]


def write_dicom(path, array, **tags):
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    d.Modality, d.SamplesPerPixel, d.PhotometricInterpretation = "MR", 1, "MONOCHROME2"
    d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = (
        *array.shape[-2:],
        16,
        16,
        15,
        0,
    )
    if array.ndim == 3:
        d.NumberOfFrames = len(array)
    for k, v in (SECRETS | tags).items():
        setattr(d, k, v)
    d.PixelData = array.astype(np.uint16).tobytes()
    path.parent.mkdir(exist_ok=True, parents=True)
    d.save_as(path, enforce_file_format=True)
    return path


AXIAL = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]])  # slices go up, rows to the back, columns to the left
TURNS = dict(
    axial=AXIAL,
    coronal=np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    sagittal=np.array([[1, 0, 0], [0, 0, -1], [0, -1, 0]]),
    upside_down=AXIAL * [-1, 1, -1],
    oblique=rotated(15, -20, 35) @ AXIAL,
    double_oblique=rotated(50, 40, -65) @ AXIAL,
    diagonal=rotated(45, 0, 45) @ AXIAL,
)


@pytest.fixture(params=TURNS)
def block(request):
    "7 slices of 9 x 6 with one bright voxel, and their affine, from (slice, row, column) to NIfTI's world"
    voxels = np.random.default_rng(3).integers(0, 500, (7, 9, 6)).astype(np.uint16)
    voxels[5, 2, 4] = 2000
    affine = np.eye(4)
    affine[:3] = np.column_stack([TURNS[request.param] * (4.2, 0.9, 1.3), (-33.25, 12.5, 81)])
    return voxels, affine


def write_series(folder, voxels, affine, **tags):
    lps = np.diag([-1, -1, 1, 1]) @ affine
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    numbers = np.random.default_rng(1).permutation(len(voxels))
    for k, number in enumerate(numbers):
        place = dict(
            ImagePositionPatient=[f"{x:.10g}" for x in lps[:3] @ [k, 0, 0, 1]],
            ImageOrientationPatient=[f"{x:.12g}" for x in [*(lps[:3, 2] / lengths[2]), *(lps[:3, 1] / lengths[1])]],
            PixelSpacing=[float(x) for x in lengths[1:].round(6)],
        )
        write_dicom(
            folder / f"1.3.6.1.4.1.9590.100.1.2.{number}.dcm",
            voxels[k],
            **place | dict(InstanceNumber=int(number)) | tags,
        )
    return folder


def write_nifti(path, voxels, affine):
    nib.save(nib.Nifti1Image(voxels.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]), path)
    return path


def stored_in(path, order, signs):
    "The NIfTI file with its axes in another order and direction"
    volume = nib.load(path)
    other = volume.as_reoriented(np.column_stack([order, signs]))
    target = path.with_name("stored.nii")
    nib.save(other, target)
    return target


def spot(case):
    return case.affine @ [
        *([0] * (3 - case.ndim)),
        *np.argwhere(case.image[0].numpy() == case.image.max().item())[0],
        1,
    ]


def same(a, b):
    return torch.equal(a.image, b.image) and a.spacing == b.spacing and a.affine.tobytes() == b.affine.tobytes()


def test_one_patient_by_every_road(block, tmp_path):
    import torchio
    from monai.transforms import LoadImage

    voxels, affine = block
    nifti, bright = write_nifti(tmp_path / "p.nii.gz", voxels, affine), affine @ [5, 2, 4, 1]
    reference = load_case(nifti)
    assert (
        np.allclose(spot(reference), bright, atol=1e-3)
        and sorted(reference.spacing) == [0.9, 1.3, 4.2]
        and np.allclose(np.linalg.norm(reference.affine[:3, :3], axis=0), reference.spacing)
    )
    main = (np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]]) @ reference.affine[:3, :3] / reference.spacing).diagonal()
    assert (main > 0.49).all()  # towards head, back and left
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monai = LoadImage(image_only=True, ensure_channel_first=True)(nifti)
    for image in (nib.load(nifti), torchio.ScalarImage(nifti), torchio.Subject(x=torchio.ScalarImage(nifti)), monai):
        case = load_case(image)
        assert (
            torch.equal(case.image, reference.image)
            and case.spacing == reference.spacing
            and np.allclose(case.affine, reference.affine, atol=1e-3)
        ), type(image)
    series = load_case(write_series(tmp_path / "series", voxels, affine))
    assert (
        torch.equal(series.image, reference.image)
        and np.allclose(series.affine, reference.affine, atol=1.5e-3)
        and series.spacing == reference.spacing
        and np.allclose(spot(series), bright, atol=2e-3)
    )
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    theirs = reader.Execute()
    index = np.argwhere(sitk.GetArrayFromImage(theirs) == 2000)[0][::-1].tolist()
    assert np.allclose(
        np.multiply(theirs.TransformIndexToPhysicalPoint(index), [-1, -1, 1]), spot(series)[:3], atol=2e-3
    )


def test_all_48_orientations_are_one_case(block, tmp_path):
    path = write_nifti(tmp_path / "p.nii", *block)
    reference = load_case(path)
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        assert same(load_case(stored_in(path, order, signs)), reference), (order, signs)


def test_masks_go_back_where_they_came_from(block, tmp_path):
    voxels, affine = block
    for source in (
        write_series(tmp_path / "series", voxels, affine),
        write_nifti(tmp_path / "p.nii.gz", voxels, affine),
    ):
        case = load_case(source)
        mask = (case.image[0] > 250).int() + (case.image[0] == 2000)
        saved = save_mask(mask, case, tmp_path / "mask.nii.gz")
        volume, theirs = nib.load(saved), sitk.ReadImage(str(saved))
        assert volume.get_data_dtype() == np.uint8 and np.allclose(
            volume.affine @ [*np.argwhere(volume.get_fdata() == 2)[0], 1], affine @ [5, 2, 4, 1], atol=2e-3
        )
        index = np.argwhere(sitk.GetArrayFromImage(theirs) == 2)[0][::-1].tolist()
        assert np.allclose(
            np.multiply(theirs.TransformIndexToPhysicalPoint(index), [-1, -1, 1]),
            (affine @ [5, 2, 4, 1])[:3],
            atol=2e-3,
        )
        for image in (tmp_path / "series", tmp_path / "p.nii.gz"):
            if image.exists():
                assert torch.equal(load_case(image, saved).truth, mask)
        again = load_case(save_image(case.image, case, tmp_path / "image.nii.gz"))
        assert same(again, case)
    planes = slices_of(load_case(tmp_path / "p.nii.gz", saved))
    assert len(planes) == 7 and sum(int((p.truth == 2).sum()) for p in planes) == 1
    for plane in planes:
        if (plane.truth == 2).any():
            assert np.allclose(spot(plane), affine @ [5, 2, 4, 1], atol=2e-3)
        flat = save_mask(plane.truth, plane, tmp_path / "plane.nii")
        found = np.argwhere(nib.load(flat).get_fdata() == 2)
        if len(found):
            assert np.allclose(nib.load(flat).affine @ [*found[0], 1], affine @ [5, 2, 4, 1], atol=2e-3)


def test_planes_in_torchio_and_monai(tmp_path):
    import torchio
    from monai.transforms import LoadImage
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 255, (11, 8)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "p.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monai = LoadImage(image_only=True, ensure_channel_first=True)(tmp_path / "p.png")
    for image in (
        torchio.ScalarImage(tmp_path / "p.png"),
        torchio.Subject(a=torchio.ScalarImage(tmp_path / "p.png"), b=torchio.LabelMap(tmp_path / "p.png")),
        monai,
        tmp_path / "p.png",
    ):
        case = load_case(image)
        assert case.image[0].tolist() == picture.tolist(), type(image)
    assert (
        load_case(
            torchio.Subject(a=torchio.ScalarImage(tmp_path / "p.png"), b=torchio.LabelMap(tmp_path / "p.png"))
        ).truth.tolist()
        == picture.tolist()
    )


def test_real_series():
    folder = SAMPLES / "dicomdirtests" / "98892001" / "CT5N"
    case = load_case(folder)
    theirs = sitk.ReadImage(
        [str(p) for p in sorted(folder.iterdir(), key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2])]
    )
    assert (
        case.name == "CT5N"
        and case.spacing == (2.5, 0.488281, 0.488281)
        and np.allclose(case.image[0], sitk.GetArrayFromImage(theirs))
    )
    assert np.allclose(case.affine[:3, 3], np.multiply(theirs.GetOrigin(), [-1, -1, 1]), atol=1e-3)


@pytest.mark.parametrize(
    "folder, word",
    [
        ("98892001/CT2N", "different directions"),
        ("77654033/CT2", r"slices 1 and 2 of 4 are 202.5 mm apart and others 1.25 mm"),
        ("98892003/MR700", "different directions"),
        ("98892003/MR2", "series=0: MR coronal, 3 x 16 x 16; series=1: MR axial, 3 x 16 x 16"),
        ("77654033", "without DICOM images"),
    ],
)
def test_real_folders_that_are_no_volume(folder, word):
    with pytest.raises(ValueError, match=word) as e:
        load_case(SAMPLES / "dicomdirtests" / folder)
    assert "Doe" not in str(e.value) and not any(
        str(pydicom.dcmread(p).get("SeriesInstanceUID", "?")) in str(e.value)
        for p in (SAMPLES / "dicomdirtests" / folder).iterdir()
        if p.is_file()
    )


def test_real_film():
    frames = load_cine(SAMPLES / "examples_ybr_color.dcm")
    assert (
        len(frames) == 30
        and frames[7].image.shape == (3, 240, 320)
        and frames[29].name == "examples_ybr_color-29"
        and frames[0].scale == (0, 255)
    )
    with pytest.raises(ValueError, match="30 frames do not say where they are .load_cine"):
        load_case(SAMPLES / "examples_ybr_color.dcm")


def test_real_planes():
    case = load_case(SAMPLES / "MR_small_bigendian.dcm")
    assert (
        case.source.dtype == "int16"
        and case.spacing == (0.3125, 0.3125)
        and case.affine[:3, 3].tolist() == [83.9063, 91.2, 6.6406]
    )
    assert torch.equal(case.image, load_case(SAMPLES / "MR_small.dcm").image)
    assert load_case(SAMPLES / "examples_palette.dcm").image.shape == (3, 350, 800)  # colours, not indices


def test_beating_volume(tmp_path):
    "3D + t, as DICOM files in one folder and as NIfTI"
    voxels = np.stack([np.arange(24).reshape(2, 3, 4) + 100 * t for t in range(3)])
    affine = np.diag([0, 0, 0, 1.0])
    affine[:3, :3] = AXIAL * (8, 2, 2)
    (tmp_path / "beat").mkdir()
    for t, prefix in enumerate("bca"):
        for p in write_series(tmp_path / "part", voxels[t], affine, TriggerTime=400 * t).iterdir():
            p.rename(tmp_path / "beat" / f"{prefix}{p.name}")
    nib.save(
        nib.Nifti1Image(voxels.transpose(3, 2, 1, 0).astype(np.int16), affine[:, [2, 1, 0, 3]]),
        tmp_path / "beat.nii.gz",
    )
    for source in ("beat", "beat.nii.gz"):
        cases = load_cine(tmp_path / source)
        assert (
            [c.name for c in cases] == ["beat-00", "beat-01", "beat-02"]
            and all(np.array_equal(c.image[0], v) for c, v in zip(cases, voxels))
            and cases[0].spacing == (8, 2, 2)
            and {c.scale for c in cases} == {(0, 223)}
        )
    assert np.array_equal(load_case(tmp_path / "beat.nii.gz").image, voxels)  # the fourth dimension as channels
    with pytest.raises(ValueError, match="4 of its 6 frames lie where another one does.*load_cine"):
        load_case(tmp_path / "beat")


def test_channels_of_a_case(tmp_path):
    affine = np.eye(4)
    affine[:3] = np.column_stack([TURNS["oblique"] * (3, 1, 1), (1, 2, 3)])
    voxels = np.random.default_rng(0).integers(0, 100, (2, 4, 5, 6)).astype(np.int16)
    (tmp_path / "imagesTr").mkdir()
    both = [write_nifti(tmp_path / "imagesTr" / f"knee_000{c}.nii.gz", voxels[c], affine) for c in range(2)]
    one = load_case(both[0])
    (tmp_path / "labelsTr").mkdir()
    save_mask(one.image[0] > 50, one, tmp_path / "labelsTr" / "knee.nii.gz")
    (found,) = find_cases(tmp_path)
    case = load_case(found)
    assert (
        found.name == case.name == "knee"
        and len(case.image) == 2
        and torch.equal(case.truth, (case.image[0] > 50).int())
        and torch.equal(case.image[1], load_case(both[1]).image[0])
    )
    write_nifti(tmp_path / "other.nii.gz", voxels[0], affine + np.eye(4)[[0]].T @ [[0, 0, 0, 0.1]])
    with pytest.raises(ValueError, match="knee_0000.nii.gz' and '.*other.nii.gz' in image .*lie in different places"):
        load_case([both[0], tmp_path / "other.nii.gz"])
    with pytest.raises(ValueError, match="truth lies elsewhere than image"):
        load_case(tmp_path / "other.nii.gz", tmp_path / "labelsTr" / "knee.nii.gz")
    scores = evaluate(
        lambda image: image[..., 0] > 50, tmp_path, Brightness(), [1], store=tmp_path / "store", progress=False
    )
    assert scores.case.unique().tolist() == ["knee"] and (scores.score == 1).all()


def test_nothing_of_a_patient_gets_out(tmp_path, capsys):
    affine = np.eye(4)
    affine[:3, :3] = AXIAL * (5, 1, 1)
    voxels = np.random.default_rng(0).integers(0, 500, (4, 12, 10))
    folder = write_series(
        tmp_path / "images" / "1.3.6.1.4.1.9590.100.1.2.22", voxels, affine, WindowCenter="250", WindowWidth="500"
    )
    case = load_case(folder, window=True)
    messages = [
        repr(case),
        repr(vars(case)),
        *(repr(vars(c)) for c in load_cine(folder) + slices_of(case) + [load_case(next(folder.iterdir()))]),
    ]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for name, change in dict(
            mixed=dict(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
            twice={},
            gap=dict(ImagePositionPatient=[0, 0, 99]),
            spacing=dict(PixelSpacing=[0, 1]),
            series=dict(SeriesInstanceUID="1.3.6.1.4.1.9590.100.1.2.44"),
        ).items():
            write_series(tmp_path / name, voxels, affine)
            write_dicom(
                tmp_path / name / "more.dcm",
                voxels[0],
                **dict(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 1])
                | change,
            )
            with pytest.raises(ValueError) as e:
                load_case(tmp_path / name)
            messages.append(str(e.value).replace(str(tmp_path), ""))
        broken = write_dicom(tmp_path / "broken" / "1.dcm", voxels[0])
        broken.write_bytes(broken.read_bytes()[:-50])
        with pytest.raises(ValueError) as e:
            load_case(broken.parent)
        messages.append(str(e.value))
    saved = save_mask(case.image[0] > 250, case, tmp_path / "mask.nii")
    with pytest.raises(ValueError) as e:
        load_case(tmp_path / "gap" / "more.dcm", saved)
    scores = evaluate(
        lambda x: x > 250, tmp_path / "images", Brightness(), [1, 2], progress=False, store=tmp_path / "store"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "misas",
            "run",
            "--image",
            folder,
            "--model",
            "demo",
            "--transforms",
            "brightness",
            "--values",
            "brightness=1",
            "--out",
            tmp_path / "out",
            "--no-progress",
        ],
        capture_output=True,
        text=True,
    )
    written = [
        p.read_bytes().decode("latin1")
        for p in [saved, *(tmp_path / "out").rglob("*"), *(tmp_path / "store").rglob("*")]
        if p.is_file()
    ]
    names = [p.name for place in ("out", "store") for p in (tmp_path / place).rglob("*")]
    heard = capsys.readouterr()
    everything = "\n".join(
        [
            *messages,
            str(e.value),
            *(str(w.message) for w in warned),
            scores.to_csv(),
            done.stdout,
            done.stderr.replace(str(folder), ""),
            heard.out,
            heard.err,
            *written,
            *names,
        ]
    )
    assert [word for word in (*WORDS, "1.3.6.1.4.1.9590") if word in everything] == []


def test_csv_with_folders(tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = AXIAL * (5, 1, 1)
    write_series(tmp_path / "scan", np.ones((3, 4, 5)), affine)
    (tmp_path / "cases.csv").write_text("image,name\nscan,first\n")
    (row,) = read_cases(tmp_path / "cases.csv")
    assert load_case(row).shape == (3, 4, 5) and load_case(row).name == "first" and len(row.files) == 3
