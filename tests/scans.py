"What scanners and planning systems write, made by hand: directions of grids, DICOM images, contours, segments"

import itertools

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset

from misas.data.files import reordered_axes

WORLD = "1.2.826.0.1.99"  # a frame of reference
PATIENT = dict(PatientName="Doe^Jane", PatientID="MRN-4711", PatientBirthDate="19700102")
RIGHT_HANDED = np.array(
    [[0, 0, -1], [0, -1, 0], [1, 0, 0]]
)  # slices to the head, rows to the back, columns to the left


# ---- grids


def rotated(*degrees):
    "A matrix that turns about the three axes, one after the other"
    matrix = np.eye(3)
    for (p, q), angle in zip([(1, 2), (0, 2), (0, 1)], np.radians(degrees)):
        turn = np.eye(3)
        turn[[p, q], [p, q]] = np.cos(angle)
        turn[p, q] = -np.sin(angle)
        turn[q, p] = np.sin(angle)
        matrix = turn @ matrix
    return matrix


def affine_of(directions, spacing, origin=(-31.3, 47.1, 120.9)):
    "From (slice, row, column) to NIfTI's world"
    affine = np.eye(4)
    affine[:3] = np.column_stack([np.array(directions) * spacing, origin])
    return affine


def orientations(array, affine):
    "The same block, stored in each of the 48 ways"
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield reordered_axes(array, affine, order, signs)


def to_dicom_world(points, affine):
    "Points `(n, 3)` in voxels as mm in DICOM's world"
    return (np.column_stack([points, np.ones(len(points))]) @ affine.T)[:, :3] * (-1, -1, 1)


def ring(radius, centre=(20, 22), n=400, start=0.1):
    "A circle as a polygon, in voxels"
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False) + start
    return np.stack([centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)], 1)


# ---- files


def item(**tags):
    "A DICOM dataset with these tags"
    dataset = Dataset()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def saved(dataset, path, kind, **tags):
    "The dataset as a file of a SOP class"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = kind
    dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    for name, value in (PATIENT | tags).items():
        setattr(dataset, name, value)
    path.parent.mkdir(exist_ok=True, parents=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_dicom(path, array, **tags):
    "An image of unsigned integers of 16 bits; a third axis makes frames"
    dataset = item(
        Rows=array.shape[-2],
        Columns=array.shape[-1],
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        SeriesInstanceUID="1.2.826.0.1.77",
    )
    if array.ndim == 3:
        dataset.NumberOfFrames = len(array)
    dataset.PixelData = array.astype(np.uint16).tobytes()
    return saved(dataset, path, pydicom.uid.MRImageStorage, **tags)


def write_series(folder, array, affine, shuffle=0, **tags):
    "Slices of a block whose affine goes from (slice, row, column) to NIfTI's world, under names without order"
    names = np.random.default_rng(shuffle).permutation(len(array))
    place = np.diag([-1, -1, 1, 1]) @ affine
    lengths = np.linalg.norm(place[:3, :3], axis=0)
    directions = [*(place[:3, 2] / lengths[2]), *(place[:3, 1] / lengths[1])]
    for k, pixels in enumerate(array):
        facts = dict(
            ImagePositionPatient=[f"{x:.9g}" for x in place[:3] @ [k, 0, 0, 1]],
            ImageOrientationPatient=[f"{x:.12g}" for x in directions],
            PixelSpacing=lengths[1:].tolist(),
            InstanceNumber=int(names[k]),
        )
        write_dicom(folder / f"{names[k]:03d}.dcm", pixels, **facts | tags)
    return folder


def write_enhanced(path, array, affine, order, slopes=None, **tags):
    "One file with a header for each frame, the frames in this order"
    place = np.diag([-1, -1, 1, 1]) @ affine
    lengths = np.linalg.norm(place[:3, :3], axis=0)
    directions = [f"{x:.12g}" for x in [*(place[:3, 2] / lengths[2]), *(place[:3, 1] / lengths[1])]]
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=lengths[1:].tolist(), SliceThickness=1)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=directions)],
    )
    frames = []
    for n, k in enumerate(order):
        position = [f"{x:.9g}" for x in place[:3] @ [k, 0, 0, 1]]
        frame = item(
            PlanePositionSequence=[item(ImagePositionPatient=position)],
            FrameContentSequence=[item(FrameAcquisitionNumber=1)],
        )
        if slopes:
            frame.PixelValueTransformationSequence = [item(RescaleSlope=slopes[n], RescaleIntercept=0)]
        frames.append(frame)
    sequences = dict(SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=frames)
    return write_dicom(path, array[list(order)], **sequences, **tags)


def write_rtstruct(path, rois, world=WORLD, **tags):
    "`rois`: {name: list of contours `(n, 3)` in DICOM's world, or of pairs (kind, contour)}; the ROIs in no order"
    names = [item(ROINumber=10 + i, ROIName=name, ReferencedFrameOfReferenceUID=world) for i, name in enumerate(rois)]
    contours = [
        item(ReferencedROINumber=10 + i, ContourSequence=[_contour(c) for c in own])
        for i, own in reversed(list(enumerate(rois.values())))
    ]
    dataset = item(StructureSetROISequence=names, ROIContourSequence=contours)
    return saved(dataset, path, pydicom.uid.RTStructureSetStorage, Modality="RTSTRUCT", **tags)


def _contour(drawn):
    kind, points = drawn if isinstance(drawn, tuple) else ("CLOSED_PLANAR", drawn)
    data = [f"{x:.6f}"[:16] for x in np.ravel(points)]
    return item(ContourGeometricType=kind, NumberOfContourPoints=len(points), ContourData=data)


def write_seg(path, names, frames, spacing, kind="BINARY", orientation=(1, 0, 0, 0, 1, 0), bits=8, **tags):
    "`frames`: triples (number of the segment, or None; pixels; position of the first pixel in DICOM's world)"
    pixels = np.stack([f for _, f, _ in frames])
    n, height, width = pixels.shape
    bits = 1 if kind == "BINARY" else bits
    dataset = item(
        Modality="SEG",
        SegmentationType=kind,
        NumberOfFrames=n,
        Rows=height,
        Columns=width,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelRepresentation=0,
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        FrameOfReferenceUID=WORLD,
    )
    numbered = names.items() if isinstance(names, dict) else enumerate(names, 1)
    dataset.SegmentSequence = [item(SegmentNumber=i, SegmentLabel=name) for i, name in numbered]
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[f"{x:.9g}" for x in orientation])],
            PixelMeasuresSequence=[item(PixelSpacing=list(spacing[1:]), SliceThickness=spacing[0])],
        )
    ]
    groups = []
    for number, _, position in frames:
        groups.append(item(PlanePositionSequence=[item(ImagePositionPatient=[f"{x:.9g}" for x in position])]))
        if number is not None:
            groups[-1].SegmentIdentificationSequence = [item(ReferencedSegmentNumber=number)]
    dataset.PerFrameFunctionalGroupsSequence = groups
    if bits == 1:
        dataset.PixelData = pydicom.pixels.pack_bits(pixels.astype(np.uint8))
    else:
        dataset.PixelData = pixels.astype(f"u{bits // 8}").tobytes()
    return saved(dataset, path, pydicom.uid.SegmentationStorage, **tags)
