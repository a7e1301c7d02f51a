"RTSTRUCT and SEG as truth, written by other libraries or by hand: in every direction, and no patient's name gets out"

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import generate_uid
from scans import rotated
from scipy.ndimage import gaussian_filter
from skimage.measure import find_contours

from misas.data.casefile import CaseFile
from misas.data.files import save_image
from misas.data.folders import find_cases
from misas.data.loading import load_case
from misas.data.structures import roi_names
from misas.eval.scoring import evaluate
from misas.transforms.basic import Brightness

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"  # what the pydicom wheel brings
STUDY, WORLD = "1.3.6.1.4.1.9590.100.1.2.11", "1.3.6.1.4.1.9590.100.1.2.33"
SECRETS = dict(
    PatientName="Meier^Hildegard",
    PatientID="KIS-20417",
    PatientBirthDate="19330217",
    PatientSex="F",
    StudyDate="20211105",
    StudyTime="101112",
    AccessionNumber="ACC88812",
    StudyID="ST-771",
    StudyInstanceUID=STUDY,
    FrameOfReferenceUID=WORLD,
    ReferringPhysicianName="Huber^Anton",
)
WORDS = [w for v in SECRETS.values() for w in v.replace("^", " ").split() if len(w) > 4]
SHAPE = (7, 30, 26)


# from (slice, row, column) to DICOM's world (left, posterior, superior); columns of a matrix, then mm
AXIAL = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
GRIDS = dict(
    axial=(AXIAL, (3, 1, 1)),
    descending=(AXIAL * (-1, 1, 1), (2.5, 0.9765625, 0.9765625)),
    sagittal=(np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]]), (4, 1.2, 0.8)),
    coronal=(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]), (2, 0.7, 0.7)),
    oblique=(rotated(15, -20, 35) @ AXIAL, (5, 0.7, 1.3)),
    double_oblique=(rotated(50, 40, -65) @ AXIAL, (1.5, 2, 2)),
    feet_first=(AXIAL * (-1, 1, -1), (3, 1.5, 1.5)),
)


@pytest.fixture(params=GRIDS)
def affine(request):
    directions, spacing = GRIDS[request.param]
    return np.block([[directions * spacing, np.array([[-31.25], [47.5], [120.75]])], [np.array([0, 0, 0, 1])]])


def in_world(points, affine):
    return (np.column_stack([points, np.ones(len(points))]) @ affine.T)[:, :3]


def saved(d, path, sop_class, **tags):
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = sop_class
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for k, v in (SECRETS | tags).items():
        setattr(d, k, v)
    path.parent.mkdir(exist_ok=True, parents=True)
    d.save_as(path, enforce_file_format=True)
    return path


def write_series(folder, voxels, affine, **tags):
    "One file for each slice, under names without order"
    series, spacing = generate_uid(), np.linalg.norm(affine[:3, :3], axis=0)
    for k, name in enumerate(np.random.default_rng(0).permutation(len(voxels))):
        d = Dataset()
        d.Modality, d.SamplesPerPixel, d.PhotometricInterpretation, d.InstanceNumber, d.SeriesNumber, d.Manufacturer = (
            "MR",
            1,
            "MONOCHROME2",
            k + 1,
            1,
            "Nobody",
        )
        d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = (
            *voxels.shape[1:],
            16,
            16,
            15,
            0,
        )
        d.SeriesInstanceUID, d.PixelSpacing, d.SliceThickness, d.SpacingBetweenSlices = (
            series,
            spacing[1:].tolist(),
            float(spacing[0]),
            float(spacing[0]),
        )
        d.ImageOrientationPatient = [
            f"{x:.10g}" for x in np.concatenate([affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]])
        ]
        d.ImagePositionPatient = [f"{x:.10g}" for x in affine[:3] @ [k, 0, 0, 1]]
        d.PixelData = voxels[k].astype(np.uint16).tobytes()
        saved(d, folder / f"IM{name:04}.dcm", pydicom.uid.MRImageStorage, **tags)
    return folder


def write_rtstruct(path, rois, world=WORLD, digits=6, **tags):
    "`rois`: {name: list of contours `(n, 3)` in mm}"

    def item(**tags):
        d = Dataset()
        for k, v in tags.items():
            setattr(d, k, v)
        return d

    def contours(own):
        return [
            item(
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(c),
                ContourData=[f"{x:.{digits}f}"[:16] for x in np.ravel(c)],
            )
            for c in own
        ]

    d = item(
        Modality="RTSTRUCT",
        StructureSetLabel="plan",
        StructureSetROISequence=[
            item(ROINumber=i, ROIName=n, ReferencedFrameOfReferenceUID=world) for i, n in enumerate(rois, 1)
        ],
        ROIContourSequence=[
            item(ReferencedROINumber=i, ContourSequence=contours(own)) for i, own in enumerate(rois.values(), 1)
        ],
    )
    return saved(d, path, pydicom.uid.RTStructureSetStorage, **tags)


def blobs(shape=SHAPE, seed=0, n=3):
    "Labels with holes, islands and thin parts, different along each axis"
    fields = np.stack(
        [gaussian_filter(np.random.default_rng(seed + i).normal(size=shape), (0.7, 1.5, 1.5)) for i in range(n + 1)]
    )
    labels = fields.argmax(0)
    labels[:, 0] = labels[:, -1] = labels[:, :, 0] = labels[:, :, -1] = 0
    labels[3] = 0  # a slice without any
    return labels


def outlines(mask):  # `(H, W)`
    "Contours between the voxels of a mask and others; a hole has one of its own"
    return [c[:-1] - 1 for c in find_contours(np.pad(mask.astype(float), 1), 0.5)]


def contours_of(labels, affine, label):
    return [
        in_world(np.column_stack([np.full(len(c), k), c]), affine)
        for k, plane in enumerate(labels)
        for c in outlines(plane == label)
    ]


def quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*stay empty")
        return load_case(*args, **kwargs)


def loaded(labels, affine, folder):
    "The labels as they lie in a volume that is read: written as an image of its own"
    return load_case(write_series(folder, labels, affine)).image[0].int()


def test_masks_through_contours_and_back(affine, tmp_path):
    labels = blobs()
    series, expected = (
        write_series(tmp_path / "series", np.arange(np.prod(SHAPE)).reshape(SHAPE), affine),
        loaded(labels, affine, tmp_path / "labels"),
    )
    path = write_rtstruct(
        tmp_path / "rt.dcm", {name: contours_of(labels, affine, i) for i, name in enumerate("abc", 1)}
    )
    case = quietly(series, path)
    assert (
        torch.equal(case.truth, expected)
        and case.labels == ("background", "a", "b", "c")
        and set(expected.unique().tolist()) == {0, 1, 2, 3}
    )
    coarse = write_rtstruct(
        tmp_path / "coarse.dcm", {"a": contours_of(labels, affine, 1)}, digits=2
    )  # as some planning systems round
    assert torch.equal(quietly(series, coarse).truth, (expected == 1).int())
    nifti = save_image(case.image, case, tmp_path / "image.nii.gz")
    assert torch.equal(quietly(nifti, path).truth, load_case(nifti, save_labels(case, tmp_path)).truth)
    for file in sorted(series.iterdir()):  # single slices, as they are stored
        k = pydicom.dcmread(file).InstanceNumber - 1
        assert np.array_equal(load_case(file, path).truth, labels[k]), k


def save_labels(case, folder):
    from misas.data.files import save_mask

    return save_mask(case.truth, case, folder / "truth.nii.gz")


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segmentations_of_highdicom(affine, kind, tmp_path):
    hd = pytest.importorskip("highdicom", reason="highdicom is not installed")
    from pydicom.sr.codedict import codes

    labels = blobs()
    series, expected = (
        write_series(tmp_path / "series", np.arange(np.prod(SHAPE)).reshape(SHAPE), affine),
        loaded(labels, affine, tmp_path / "labels"),
    )
    source = sorted((pydicom.dcmread(f) for f in series.iterdir()), key=lambda d: d.InstanceNumber)
    described = [
        hd.seg.SegmentDescription(i, name, codes.cid7150.Tissue, codes.cid7166.ConnectiveTissue, "MANUAL")
        for i, name in enumerate(["LV", "MY", "RV"], 1)
    ]
    pixels = (
        labels.astype(np.uint8)
        if kind != "FRACTIONAL"
        else np.stack(
            [
                (labels == i) * np.random.default_rng(i).uniform(0.51, 1, SHAPE)
                + (labels != i) * np.random.default_rng(i).uniform(0, 0.49, SHAPE)
                for i in (1, 2, 3)
            ],
            -1,
        )
    )
    seg = hd.seg.Segmentation(
        source,
        pixels,
        kind,
        described,
        generate_uid(),
        5,
        generate_uid(),
        1,
        "Nobody",
        "none",
        "1",
        "0",
        omit_empty_frames=True,
    )
    seg.save_as(tmp_path / "seg.dcm")
    for file in (tmp_path / "seg.dcm", shuffled(tmp_path / "seg.dcm", kind)):
        case = load_case(series, file)
        assert torch.equal(case.truth, expected) and case.labels == ("background", "LV", "MY", "RV") == (
            "background",
            *roi_names(file),
        )
    assert torch.equal(load_case(series, file, rois={"RV": 1}).truth, (expected == 3).int())
    single = next(f for f in series.iterdir() if pydicom.dcmread(f).InstanceNumber == 3)
    assert np.array_equal(load_case(single, file).truth, labels[2])


def shuffled(path, kind):
    "The same segmentation, its frames in another order"
    d = pydicom.dcmread(path)
    order = np.random.default_rng(1).permutation(int(d.NumberOfFrames))
    pixels = d.pixel_array[order]
    d.PerFrameFunctionalGroupsSequence = [d.PerFrameFunctionalGroupsSequence[i] for i in order]
    d.PixelData = pydicom.pixels.pack_bits(pixels) if kind == "BINARY" else pixels.tobytes()
    d.save_as(path.with_name("shuffled.dcm"))
    return path.with_name("shuffled.dcm")


@pytest.mark.parametrize("few_points", [False, True])
def test_contours_of_rt_utils(affine, few_points, tmp_path):
    "This library draws through the centres of the outermost voxels, holes and islands included"
    rt_utils = pytest.importorskip("rt_utils", reason="rt-utils is not installed")
    labels = blobs(n=2)
    affine[:3, 2] *= np.linalg.norm(affine[:3, 1]) / np.linalg.norm(
        affine[:3, 2]
    )  # it takes the two spacings of a pixel for each other
    series, expected = (
        write_series(tmp_path / "series", np.arange(np.prod(SHAPE)).reshape(SHAPE), affine),
        loaded(labels, affine, tmp_path / "labels"),
    )
    written = rt_utils.RTStructBuilder.create_new(str(series))
    numbers = [d.InstanceNumber - 1 for d in written.series_data]
    for i, name in enumerate("ab", 1):
        written.add_roi(mask=(labels[numbers] == i).transpose(1, 2, 0), name=name, approximate_contours=few_points)
    written.save(str(tmp_path / "rt.dcm"))
    assert torch.equal(quietly(series, tmp_path / "rt.dcm").truth, expected)


def test_against_dcmrtstruct2nii(affine, tmp_path, monkeypatch):
    monkeypatch.setattr(pydicom, "read_file", pydicom.dcmread, raising=False)  # its name until pydicom 3
    library = pytest.importorskip("dcmrtstruct2nii", reason="dcmrtstruct2nii is not installed")
    generator = np.random.default_rng(
        1
    )  # no centre lies within a thousandth of a voxel of a contour, where only misas takes it for on the contour

    def star(k, centre, size):
        angle = np.sort(generator.uniform(0, 2 * np.pi, 40))
        radius = size * generator.uniform(0.6, 1, 40)
        return in_world(
            np.column_stack([np.full(40, k), centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)]),
            affine,
        )

    rois = dict(
        outer=[star(k, (14, 12), 11) for k in range(1, 6)],
        ring=[star(k, (14, 12), size) for k in range(2, 5) for size in (10, 5)],
    )
    series = write_series(tmp_path / "series", np.arange(np.prod(SHAPE)).reshape(SHAPE), affine)
    path = write_rtstruct(tmp_path / "rt.dcm", rois)
    library.dcmrtstruct2nii(
        str(path), str(series), str(tmp_path / "out"), mask_foreground_value=1, convert_original_dicom=False
    )
    for name in rois:
        theirs, ours = (
            load_case(series, tmp_path / "out" / f"mask_{name}.nii.gz").truth,
            load_case(series, path, rois=name).truth,
        )
        assert ours.sum() > 200 and torch.equal(ours, theirs)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 0.5, 0.5), (3, 0.8, 1.25)])
def test_volumes_of_solids(spacing, tmp_path):
    "A ball, a shell and a cylinder of 20 mm: voxels times their volume"
    shape = [int(56 / s) for s in spacing]
    affine = np.block([[rotated(10, 20, 30) @ AXIAL * spacing, np.array([[5.0], [6], [7]])], [np.array([0, 0, 0, 1])]])
    middle, angle = np.array([(n - 1) / 2 + 0.21 for n in shape]), np.linspace(0, 2 * np.pi, 720, endpoint=False)

    def circle(k, r):
        return in_world(
            np.column_stack(
                [
                    np.full(720, k),
                    middle[1] + r / spacing[1] * np.sin(angle),
                    middle[2] + r / spacing[2] * np.cos(angle),
                ]
            ),
            affine,
        )

    def radius(k, r):
        return np.sqrt(max(r**2 - ((k - middle[0]) * spacing[0]) ** 2, 0))

    def ball(r):
        return [circle(k, radius(k, r)) for k in range(shape[0]) if radius(k, r) > 0]

    tall = [circle(k, 20) for k in range(shape[0]) if abs((k - middle[0]) * spacing[0]) <= 12]
    path = write_rtstruct(tmp_path / "rt.dcm", dict(ball=ball(20), shell=ball(20) + ball(12), cylinder=tall))
    series = write_series(tmp_path / "series", np.zeros(shape), affine)
    measured = {
        name: float(load_case(series, path, rois=name).truth.sum()) * np.prod(spacing)
        for name in ("ball", "shell", "cylinder")
    }
    exact = dict(
        ball=4 / 3 * np.pi * 20**3,
        shell=4 / 3 * np.pi * (20**3 - 12**3),
        cylinder=np.pi * 20**2 * len(tall) * spacing[0],
    )
    assert {n: measured[n] / exact[n] for n in exact} == pytest.approx(dict.fromkeys(exact, 1), abs=0.01)


def test_area_on_real_images(data, tmp_path):
    for file in sorted((data / "dicom").glob("*.dcm"))[:4]:
        header = pydicom.dcmread(file)
        rows, columns = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        middle = (
            np.array(header.ImagePositionPatient, float)
            + rows * header.PixelSpacing[1] * header.Columns / 2
            + columns * header.PixelSpacing[0] * header.Rows / 2
        )
        angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)[:, None]
        rois = dict(
            ring=[middle + r * (np.cos(angle) * rows + np.sin(angle) * columns) for r in (60, 30)],
            disc=[middle + 25 * (np.cos(angle) * rows + np.sin(angle) * columns)],
        )
        world = header.get("FrameOfReferenceUID", WORLD)
        case = load_case(file, write_rtstruct(tmp_path / f"{file.stem}.dcm", rois, world))
        areas = np.bincount(case.truth.ravel())[1:] * np.prod(case.spacing)
        assert case.labels == ("background", "ring", "disc") and areas == pytest.approx(
            [np.pi * (60**2 - 30**2), np.pi * 25**2], rel=0.02
        )
        where = np.argwhere(case.truth.numpy() == 2).mean(0)
        assert (case.affine @ [0, *where, 1])[:3] * (-1, -1, 1) == pytest.approx(middle, abs=max(case.spacing))


def test_a_real_plan(tmp_path):
    "What pydicom brings: a dose, and structures of a phantom whose isocentres are points"
    header = pydicom.dcmread(SAMPLES / "rtstruct.dcm", force=True)
    header.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    header.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    (roi,) = [r for r in header.ROIContourSequence if r.ReferencedROINumber == 1]
    points = np.concatenate([np.reshape(c.ContourData, (-1, 3)).astype(float) for c in roi.ContourSequence])
    low, high = points.min(0), points.max(0)
    depths = np.unique(points[:, 2])
    affine = np.block([[AXIAL * (np.diff(depths)[0], 5, 5), (low - [20, 20, 0])[:, None]], [np.array([0, 0, 0, 1])]])
    shape = (len(depths), *(int((high[i] - low[i]) / 5) + 8 for i in (1, 0)))
    series = write_series(
        tmp_path / "series",
        np.zeros(shape),
        affine,
        FrameOfReferenceUID=header.StructureSetROISequence[0].ReferencedFrameOfReferenceUID,
    )
    with pytest.warns(
        UserWarning, match="'Isocenter 1', 'Isocenter 2' has contours that enclose nothing .POINT."
    ) as said:
        case = load_case(series, tmp_path / "rt.dcm")
    assert (
        roi_names(tmp_path / "rt.dcm") == ["patient", "Isocenter 1", "Isocenter 2"]
        and case.labels == ("background", "patient")
        and said[0].filename == __file__
    )

    def area(c):
        x, y, _ = np.reshape(c.ContourData, (-1, 3)).astype(float).T
        return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2

    drawn = {round(float(c.ContourData[2]), 3): area(c) for c in roi.ContourSequence}
    assert [float((plane > 0).sum()) * 25 for plane in case.truth] == pytest.approx(
        [drawn[round(z, 3)] for z in depths], rel=0.15
    )
    dose = load_case(SAMPLES / "rtdose.dcm")
    stored = pydicom.dcmread(SAMPLES / "rtdose.dcm")
    assert np.allclose(dose.image[0].max(), stored.pixel_array.max() * float(stored.DoseGridScaling), rtol=1e-6)
    with pytest.raises(ValueError, match="holds no image .its kind is RTSTRUCT.*the truth of an image"):
        load_case(tmp_path / "rt.dcm")


def test_a_folder_with_everything(tmp_path):
    "Planning systems put images and structures into one folder"
    affine = np.block([[AXIAL * (3, 1, 1), np.array([[0.0], [0], [0]])], [np.array([0, 0, 0, 1])]])
    labels = blobs(n=1)
    folder, expected = (
        write_series(tmp_path / "all", np.zeros(SHAPE), affine),
        loaded(labels, affine, tmp_path / "labels"),
    )
    path = write_rtstruct(folder / "RS.dcm", dict(LV=contours_of(labels, affine, 1)), SeriesInstanceUID=generate_uid())
    assert torch.equal(quietly(folder, path).truth, expected)
    path.rename(tmp_path / "RS.dcm")
    (tmp_path / "alone").mkdir()
    (tmp_path / "RS.dcm").rename(tmp_path / "alone" / "RS.dcm")
    assert torch.equal(quietly(folder, tmp_path / "alone").truth, expected) and roi_names(tmp_path / "alone") == ["LV"]


def test_many_cases_and_the_command_line(tmp_path):
    "Files in which the same structures come in another order"
    affine = np.block([[AXIAL * (3, 1, 1), np.array([[0.0], [0], [0]])], [np.array([0, 0, 0, 1])]])
    labels, seen = blobs(n=2), {}
    for name, order in [("anna", (1, 2)), ("ben", (2, 1))]:
        write_series(tmp_path / "images" / name, labels * 100, affine)
        write_rtstruct(tmp_path / "masks" / f"{name}.dcm", {f"roi{i}": contours_of(labels, affine, i) for i in order})

    def model(image):
        seen["called"] = True
        return np.rint(image / 100).astype(int)

    cases = find_cases(tmp_path, rois=["roi1", "roi2"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*stay empty")
        scores = evaluate(model, cases, Brightness(), [1], progress=False, store=tmp_path / "store")
    assert (
        [c.rois for c in cases] == [(("roi1", 1), ("roi2", 2))] * 2
        and (scores.score == 1).all()
        and sorted(scores.label.unique()) == ["background", "roi1", "roi2"]
        and sorted(scores.case.unique()) == ["anna", "ben"]
    )
    assert quietly(CaseFile(cases[1].image, cases[1].truth)).labels == ("background", "roi2", "roi1")
    single = sorted((tmp_path / "images" / "anna").iterdir())[0]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "misas",
            "run",
            "--image",
            single,
            "--mask",
            cases[0].truth,
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
    assert done.returncode == 0 and "scored against the truth" in done.stdout, done.stderr


def test_nothing_of_a_patient_gets_out(tmp_path):
    affine = np.block([[AXIAL * (3, 1, 1), np.array([[0.0], [0], [0]])], [np.array([0, 0, 0, 1])]])
    labels = blobs(n=1)
    series = write_series(tmp_path / "series", np.zeros(SHAPE), affine)
    own = contours_of(labels, affine, 1)
    path = write_rtstruct(tmp_path / "rt.dcm", dict(LV=own, LV2=own))
    case = quietly(series, path, rois="LV")
    messages = [repr(vars(case)), json.dumps(case.labels)]
    for file, settings in [
        (path, {}),
        (path, dict(rois="MY")),
        (write_rtstruct(tmp_path / "world.dcm", dict(LV=own), world="1.2.3"), {}),
        (write_rtstruct(tmp_path / "far.dcm", dict(LV=[c + 500 for c in own])), {}),
    ]:
        with pytest.raises(ValueError) as e:
            load_case(series, file, **settings)
        messages.append(str(e.value).replace(str(tmp_path), ""))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        load_case(series, write_rtstruct(tmp_path / "part.dcm", dict(LV=own + [own[0] + [500, 0, 0]])))
    messages += [str(w.message) for w in said]
    assert len(said) >= 2 and not [word for word in WORDS if word in "\n".join(messages)]
