"Truths of structures that may overlap: from files, folders, tables, DICOM"

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import misas as ms
from misas.data.folders import as_cases

SHAPE = (24, 30)
A = np.zeros(SHAPE, bool)
A[4:14, 5:18] = True
B = np.zeros(SHAPE, bool)
B[8:20, 12:25] = True
PIXELS = (40 + 60 * A + 60 * B).astype(np.uint8)
PACKED = torch.from_numpy(A + 2 * B.astype(np.int32))


def both(image):
    return np.stack(
        [(image > 70) & (np.arange(image.shape[1]) < 18), (image > 70) & (np.arange(image.shape[0]) > 7)[:, None]]
    )


def picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)
    return path


def has_both(case):
    assert case.overlapping and torch.equal(case.truth, PACKED)
    return case


@pytest.fixture
def files(tmp_path):
    picture(tmp_path / "a.png", PIXELS)
    picture(tmp_path / "A.png", A * 255)
    picture(tmp_path / "B.png", B * 255)
    return tmp_path


def test_several_mask_files_of_one_image(files):
    case = ms.CaseFile(files / "a.png", {"heart": files / "A.png", "liver": files / "B.png"})
    assert case.overlapping and case.structures == ("heart", "liver")
    assert has_both(ms.load_case(case)).labels == ("background", "heart", "liver")
    assert len(case.files) == 3 and case.resolved().truth == case.truth and hash(case)
    plain = ms.CaseFile(files / "a.png", [files / "A.png", files / "B.png"])
    assert has_both(ms.load_case(plain)).labels == ("background", "A", "B")
    with pytest.raises(ValueError, match="structures must be a name for each of 2 structures, no two alike"):
        ms.CaseFile("a.png", ["x/A.png", "y/A.png"])
    with pytest.raises(ValueError, match="structures must be None where truth is not several paths"):
        ms.CaseFile("a.png", "b.png", structures=("A",))
    with pytest.raises(ValueError, match="truth must be a path"):
        ms.CaseFile("a.png", [])


def test_tables_have_a_column_for_each_structure(files):
    (files / "c.csv").write_text("image,truth: heart,truth: liver,scanner\na.png,A.png,B.png,S1\n")
    (case,) = ms.read_cases(files / "c.csv")
    assert has_both(ms.load_case(case)).labels[1:] == ("heart", "liver") and dict(case.columns) == {"scanner": "S1"}
    model = ms.as_model(both, overlapping=True)
    scores = ms.evaluate(model, files / "c.csv", ms.Rotate(), [0, 90], progress=False, store=files / "store")
    assert set(scores.label) >= {"heart", "liver"} and set(scores.scanner) == {"S1"}
    again = ms.evaluate(model, has_both(ms.load_case(case)), ms.Rotate(), [0, 90], progress=False)
    assert scores.score.tolist() == again.score.tolist() and scores.score.iloc[0] > 0.8
    table = pd.DataFrame(
        [dict(image=str(files / "a.png"), truth={"heart": str(files / "A.png"), "liver": str(files / "B.png")})]
    )
    has_both(ms.load_case(ms.read_cases(table)[0]))
    (files / "c.json").write_text(json.dumps([dict(image="a.png", label=["A.png", "B.png"])]))
    has_both(ms.load_case(ms.read_cases(files / "c.json")[0]))


@pytest.mark.parametrize(
    "text, message",
    [
        ("image,truth:x,truth:y\na.png,A.png,\n", "a mask for each structure of a case, .* got none for 'y' in row 2"),
        ("image,truth:x,mask:x\na.png,A.png,B.png\n", "one column for each structure, got 'truth:x' and 'mask:x'"),
        ("image,truth,truth:x\na.png,A.png,B.png\n", "one column of truths, or one for each structure"),
    ],
)
def test_tables_that_cannot_be_meant(files, text, message):
    (files / "c.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        ms.read_cases(files / "c.csv")


def test_case_without_any_mask_has_no_truth(files):
    picture(files / "b.png", PIXELS)
    (files / "c.csv").write_text("image,truth:x,truth:y\na.png,A.png,B.png\nb.png,,\n")
    first, second = ms.read_cases(files / "c.csv")
    assert first.overlapping and second.truth is None and not second.overlapping


@pytest.mark.parametrize("by", ["structure", "case"])
def test_folders_of_masks(tmp_path, by):
    for name in ("p1", "p2"):
        picture(tmp_path / "images" / f"{name}.png", PIXELS)
        for structure, mask in (("heart", A), ("liver", B)):
            place = f"{structure}/{name}" if by == "structure" else f"{name}/{structure}"
            picture(tmp_path / "masks" / f"{place}.png", mask * 255)
    with pytest.warns(
        UserWarning, match=r"several masks for each image \(heart, liver\).*overlapping=True of find_cases"
    ):
        found = as_cases(tmp_path)
    assert [case.name for case in found] == ["p1", "p2"]
    for case in found:
        assert has_both(ms.load_case(case)).labels == ("background", "heart", "liver")
    (tmp_path / "masks" / ("liver/p2.png" if by == "structure" else "p2/liver.png")).unlink()
    with pytest.warns(
        UserWarning, match="case 'p2' is left out, .* no mask of it for 'liver': .* an empty mask says so"
    ):
        assert [case.name for case in ms.find_cases(tmp_path, overlapping=True)] == ["p1"]


def test_channels_of_files(files):
    np.save(files / "both.npy", np.stack([A, B]))
    Image.fromarray(A.astype(np.uint8)).save(
        files / "both.tif", save_all=True, append_images=[Image.fromarray(B.astype(np.uint8))]
    )
    for name in ("both.npy", "both.tif"):
        has_both(ms.load_case(files / "a.png", files / name, overlapping=True))
    (files / "c.csv").write_text("image,truth\na.png,both.npy\n")
    (case,) = ms.read_cases(files / "c.csv", overlapping=True)
    has_both(ms.load_case(case))
    has_both(ms.load_case(files / "a.png", np.stack([A, B]), overlapping=True))
    one = ms.load_case(files / "a.png", files / "A.png", overlapping=True)
    assert torch.equal(one.truth, torch.from_numpy(A.astype(np.int32)))
    with pytest.raises(ValueError, match="structure '1' must be a mask of 0 and one other value"):
        ms.load_case(files / "a.png", picture(files / "labels.png", A + 2 * B), overlapping=True)
    np.save(files / "many.npy", np.zeros((32, *SHAPE), bool))
    with pytest.raises(ValueError, match="at most 31 structures .* got 32 channels: .*many.npy"):
        ms.load_case(files / "a.png", files / "many.npy", overlapping=True)
    np.save(files / "wrong.npy", np.zeros((2, 5, 5), bool))
    with pytest.raises(ValueError, match="image's shape"):
        ms.load_case(files / "a.png", files / "wrong.npy", overlapping=True)


def test_four_dimensional_nifti_is_turned_with_its_image(tmp_path):
    affine = np.diag([-2.0, 3, 4, 1])  # columns and rows run otherwise than in a case
    masks = np.random.default_rng(0).random((5, 6, 7, 2)) > 0.5
    image = masks.sum(-1).astype(np.float32)
    for name, array in (("image", image), ("truth", masks.astype(np.uint8))):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    paths = (tmp_path / "image.nii.gz", tmp_path / "truth.nii.gz")
    for truth in (paths[1], nib.load(paths[1])):
        case = ms.load_case(paths[0], truth, overlapping=True)
        assert torch.equal(ms.unpack_structures(case.truth, 2).sum(0).float(), case.image[0])
    with pytest.raises(ValueError, match="got 2 channels; .*overlapping=True keeps them apart"):
        ms.load_case(*paths)


def item(**tags):
    d = Dataset()
    for name, value in tags.items():
        setattr(d, name, value)
    return d


def saved(d, path, kind):
    d.SOPClassUID, d.SOPInstanceUID = kind, generate_uid()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.file_meta.MediaStorageSOPClassUID, d.file_meta.MediaStorageSOPInstanceUID = kind, d.SOPInstanceUID
    d.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def scan(tmp_path):
    "A CT slice with positions, and a volume of two of them"
    world, series = generate_uid(), generate_uid()
    (tmp_path / "ct").mkdir()
    for k in range(2):
        d = item(
            Modality="CT", FrameOfReferenceUID=world, SeriesInstanceUID=series, InstanceNumber=k + 1,
            Rows=SHAPE[0], Columns=SHAPE[1], PixelSpacing=[1, 1], SliceThickness=2,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, 2 * k], SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
            BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=0, RescaleSlope=1, RescaleIntercept=0,
            PixelData=PIXELS.astype(np.uint16).tobytes(),
        )  # fmt: skip
        saved(d, tmp_path / "ct" / f"{k}.dcm", pydicom.uid.CTImageStorage)
    return tmp_path, world


def corners(mask, z):
    "A contour around a rectangle, through the edges of its pixels"
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low, high = (columns[0] - 0.5, rows[0] - 0.5), (columns[-1] + 0.5, rows[-1] + 0.5)
    points = [(low[0], low[1], z), (high[0], low[1], z), (high[0], high[1], z), (low[0], high[1], z)]
    return item(
        ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=4, ContourData=[f"{x:g}" for p in points for x in p]
    )


def rtstruct(scan):
    folder, world = scan
    rois = {"heart": A, "liver": B}
    d = item(
        Modality="RTSTRUCT",
        StructureSetROISequence=[
            item(ROINumber=i, ROIName=name, ReferencedFrameOfReferenceUID=world) for i, name in enumerate(rois, 1)
        ],
        ROIContourSequence=[
            item(ReferencedROINumber=i, ContourSequence=[corners(mask, 0), corners(mask, 2)])
            for i, mask in enumerate(rois.values(), 1)
        ],
    )
    return saved(d, folder / "rt.dcm", pydicom.uid.RTStructureSetStorage)


def segmentation(scan):
    folder, world = scan
    frames = [(i, k, mask) for i, mask in enumerate((A, B), 1) for k in range(2)]
    bits = np.packbits(np.stack([mask for *_, mask in frames]).ravel(), bitorder="little")
    d = item(
        Modality="SEG", FrameOfReferenceUID=world, SegmentationType="BINARY", Rows=SHAPE[0], Columns=SHAPE[1],
        NumberOfFrames=len(frames), SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=1,
        BitsStored=1, HighBit=0, PixelRepresentation=0,
        SegmentSequence=[item(SegmentNumber=i, SegmentLabel=name) for i, name in ((1, "heart"), (2, "liver"))],
        SharedFunctionalGroupsSequence=[item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=2, SpacingBetweenSlices=2)],
        )],
        PerFrameFunctionalGroupsSequence=[item(
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 2 * k])],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=i)],
        ) for i, k, _ in frames],
        PixelData=bits.tobytes() + b"\0" * (len(bits) % 2),
    )  # fmt: skip
    return saved(d, folder / "seg.dcm", pydicom.uid.SegmentationStorage)


@pytest.mark.parametrize("write", [rtstruct, segmentation])
def test_structures_of_dicom_that_overlap(scan, write):
    folder, _ = scan
    path = write(scan)
    with pytest.raises(ValueError, match="its structures overlap: 'heart' and 'liver'"):
        ms.load_case(folder / "ct", path)
    case = ms.load_case(folder / "ct", path, overlapping=True)
    assert case.labels == ("background", "heart", "liver") and case.overlapping
    for plane in case.truth:
        assert torch.equal(plane, PACKED)
    turned = ms.load_case(folder / "ct", path, overlapping=True, rois={"liver": 1, "heart": 2})
    assert turned.labels == ("background", "liver", "heart")
    assert torch.equal(ms.unpack_structures(turned.truth, 2), ms.unpack_structures(case.truth, 2).flip(0))
    joined = ms.load_case(folder / "ct", path, overlapping=True, rois={"liver": 1, "heart": 1})
    assert joined.labels == ("background", "heart + liver") or joined.labels == ("background", "liver + heart")
    assert torch.equal(joined.truth, (case.truth > 0).int())
    with pytest.raises(ValueError, match="labels of rois must be 1 to 1 where overlapping=True"):
        ms.load_case(folder / "ct", path, overlapping=True, rois={"liver": 2})
    unread = ms.CaseFile(folder / "ct", path, rois=["heart"], overlapping=True)
    assert ms.load_case(unread).labels == ("background", "heart")
    (folder / "c.csv").write_text(f"image,truth\nct,{path.name}\n")
    (told,) = ms.read_cases(folder / "c.csv", overlapping=True)
    assert torch.equal(ms.load_case(told).truth, case.truth)


def test_study_of_structures_that_overlap(files, tmp_path):
    (files / "c.csv").write_text("image,truth:heart,truth:liver\na.png,A.png,B.png\n")
    found = ms.study(
        ms.as_model(both, overlapping=True, name="both"), files / "c.csv", ["rotation"], dict(rotation=[0, 10]),
        out=tmp_path / "out", floor=False, guarantee=False, preparation=False, augmentation=False, progress=False,
    )  # fmt: skip
    assert set(found.scores.label) >= {"heart", "liver"}
