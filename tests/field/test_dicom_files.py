"DICOM of many scanners: tags that change numbers or geometry, each with its right value or the words of its refusal"

import gzip
import struct
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pack_bits
from scans import (
    PATIENT,
    RIGHT_HANDED,
    affine_of,
    item,
    saved,
    write_dicom,
    write_enhanced,
    write_rtstruct,
    write_seg,
    write_series,
)

from misas.data.loading import load_case, load_cine

RAMP = np.tile(np.arange(0, 4000, 100), (8, 1))
FLAT = np.arange(48).reshape(6, 8)
BLOCK = np.arange(4 * 6 * 8).reshape(4, 6, 8)
AXIAL = affine_of(RIGHT_HANDED, (2, 1, 1), (0, 0, 0))
HERE = dict(ImagePositionPatient=[0, 0, 9], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
MM = dict(PixelSpacing=[1, 1])


def said(*args, **kwargs):
    "A case, and the warnings that it came with"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case = load_case(*args, **kwargs)
    texts = [str(w.message) for w in caught]
    assert all(text.startswith(f"case {case.name!r}: ") or text.startswith("truth ") for text in texts), texts
    return case, texts


def refused(path, *words, **kwargs):
    "The error of a file that is not read; it names the file, and nothing of the patient"
    with pytest.raises(ValueError) as e:
        load_case(path, **kwargs)
    text = str(e.value)
    assert path.name in text and all(word in text for word in words), text
    assert not any(secret in text for secret in (*PATIENT.values(), "1.2.826", "force=True"))
    return text


# ---- spacing


def region(down, right, units=3, form=1, **tags):
    return item(
        RegionSpatialFormat=form,
        PhysicalUnitsXDirection=units,
        PhysicalUnitsYDirection=units,
        PhysicalDeltaX=right,
        PhysicalDeltaY=down,
        **tags,
    )


def ultrasound(*regions, **tags):
    return dict(Modality="US", SequenceOfUltrasoundRegions=list(regions), **tags)


DETECTOR = dict(Modality="DX", ImagerPixelSpacing=[0.3, 0.2])


@pytest.mark.parametrize(
    "tags, spacing, unit, words",
    [
        (dict(PixelSpacing=[0.3, 0.2]), (0.3, 0.2), "mm", None),
        # ultrasound: cm, of whatever sign
        (ultrasound(region(0.03, 0.02)), (0.3, 0.2), "mm", None),
        (ultrasound(region(-0.03, 0.02)), (0.3, 0.2), "mm", None),
        (ultrasound(region(0.03, 0.02), region(0.03, 0.02)), (0.3, 0.2), "mm", None),
        (ultrasound(region(0.03, 0.02), region(0.01, 0.01)), (1, 1), "px", "regions of different spacings"),
        (ultrasound(region(0.03, 0.02), region(0.5, 0.004, 4, 3)), (0.3, 0.2), "mm", "regions without mm"),
        (ultrasound(region(0.5, 0.004, 4, 3)), (1, 1), "px", "does not say how far apart"),
        (ultrasound(region(0.03, 0.02), PixelSpacing=[1, 1]), (0.3, 0.2), "mm", "two spacings"),
        # projections
        (DETECTOR, (0.3, 0.2), "mm", "that of the detector"),
        (DETECTOR | dict(EstimatedRadiographicMagnificationFactor=1.25), (0.24, 0.16), "mm", "magnification of 1.25"),
        (DETECTOR | dict(EstimatedRadiographicMagnificationFactor=0), (0.3, 0.2), "mm", "that of the detector"),
        (DETECTOR | dict(PixelSpacing=[0.3, 0.2]), (0.3, 0.2), "mm", "that of the detector"),
        (DETECTOR | dict(PixelSpacing=[0.2, 0.1]), (0.2, 0.1), "mm", None),  # calibrated
        (dict(NominalScannedPixelSpacing=[0.3, 0.2]), (0.3, 0.2), "mm", "scanned from a film"),
        # a ratio
        (dict(PixelAspectRatio=[2, 1]), (2, 1), "px", "2 times as high as wide"),
        (dict(PixelAspectRatio=[5, 10]), (0.5, 1), "px", "0.5 times as high"),
        (dict(PixelAspectRatio=[1, 1]), (1, 1), "px", "does not say how far apart"),
        (dict(PixelAspectRatio=[0, 1]), (1, 1), "px", "spacing that is none"),
        ({}, (1, 1), "px", "does not say how far apart"),
    ],
)
def test_where_mm_come_from(tags, spacing, unit, words, tmp_path):
    path = write_dicom(tmp_path / "x.dcm", FLAT, **tags)
    case, texts = said(path)
    assert case.spacing == pytest.approx(spacing) and case.unit == unit
    assert len(texts) == (words is not None)
    assert words is None or words in texts[0] and "'x.dcm'" in texts[0] and "spacing=" in texts[0]
    case, texts = said(path, spacing=(0.7, 0.5))
    assert case.spacing == (0.7, 0.5) and case.unit == "mm" and not texts


@pytest.mark.parametrize("raw", ["0\\0", "0.2\\0\\0.2", "0.5", "-1\\1", "0,5\\0,5", "nan\\1", "1\\", "abc\\1"])
@pytest.mark.parametrize("tag", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"])
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_spacing_that_is_none_does_not_stand_before_the_users(tag, raw, tmp_path):
    path = write_dicom(tmp_path / "x.dcm", FLAT, **HERE)
    header = pydicom.dcmread(path)
    number, written = pydicom.tag.Tag(tag), raw.encode().ljust(len(raw) + len(raw) % 2)
    header._dict[number] = pydicom.dataelem.RawDataElement(number, "DS", len(written), written, 0, False, True)
    header.save_as(path)
    case, texts = said(path)
    assert case.unit == "px" and len(texts) == 1 and "spacing that is none" in texts[0] and "abc" not in texts[0]
    case, texts = said(path, spacing=(0.2, 0.2))
    assert case.spacing == (0.2, 0.2) and case.unit == "mm" and not texts


def test_a_series_without_pixel_spacing_is_in_order_and_in_pixels(tmp_path):
    folder = write_series(tmp_path / "s", BLOCK, AXIAL, PixelSpacing=["0", "0"])
    case, texts = said(folder)
    assert np.array_equal(case.image[0], BLOCK) and case.unit == "px" and case.affine is None and len(texts) == 1
    assert said(folder, spacing=(2, 1, 1))[0].spacing == (2, 1, 1)


# ---- numbers


@pytest.mark.parametrize("first, signed", [(0, 0), (100, 0), (65516, 1)])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_table_maps_stored_values(first, signed, bits, tmp_path):
    stored = np.arange(-40 if signed else 0, 160, 4).reshape(5, -1).astype(np.int16 if signed else np.uint16)
    entries = np.arange(50) ** 2 % 251
    data = entries.astype(f"<u{bits // 8}").tobytes()
    table = item()
    table.add_new("LUTDescriptor", "US", [50, first, bits])
    table.add_new("LUTData", "OW", data)
    path = write_dicom(tmp_path / "x.dcm", stored.view(np.uint16), PixelRepresentation=signed, **MM)
    header = pydicom.dcmread(path)
    header.ModalityLUTSequence = [table]
    header.save_as(path)
    start = first - 65536 if signed and first > 32767 else first
    expected = entries[np.clip(stored.astype(int) - start, 0, 49)]
    assert np.array_equal(load_case(path).image[0], expected)
    if bits == 16 and first < 32768:
        assert np.array_equal(apply_modality_lut(header.pixel_array, header), expected)


def test_the_window_of_inverted_values(tmp_path):
    tags = dict(PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=400, **MM)
    path = write_dicom(tmp_path / "m1.dcm", RAMP, **tags)
    shown = load_case(path, window=True).image[0].numpy()
    displayed = apply_voi_lut(RAMP.astype(np.uint16), pydicom.dcmread(path)).astype(float)
    displayed = displayed.max() - displayed
    inside = (displayed > displayed.min()) & (displayed < displayed.max())
    assert np.array_equal((shown > shown.min()) & (shown < shown.max()), inside) and inside.any()
    assert load_case(path, window=True).scale == (3900 - 1200, 3900 - 800)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_inverted_values_do_not_wrap(dtype, tmp_path):
    ends = np.iinfo(dtype)
    stored = np.array([[ends.min, 0], [1, ends.max]], dtype)
    tags = dict(PhotometricInterpretation="MONOCHROME1", PixelRepresentation=int(dtype == np.int16), **MM)
    case = load_case(write_dicom(tmp_path / "x.dcm", stored.view(np.uint16), **tags))
    assert case.image[0].tolist() == (float(ends.min) + ends.max - stored.astype(float)).tolist()


def test_several_windows_and_none(tmp_path):
    several = write_dicom(tmp_path / "x.dcm", RAMP, WindowCenter=[100, 200], WindowWidth=[50, 70], **MM)
    case, texts = said(several, window=True)
    assert case.scale == (75, 125) and "recommends 2 windows, of which the first (100, 50)" in texts[0]
    assert not said(several)[1] and not said(several, window=(100, 50))[1]
    skipped = write_dicom(tmp_path / "y.dcm", RAMP, WindowCenter=[100, 200], WindowWidth=[0, 70], **MM)
    assert load_case(skipped, window=True).scale == (165, 235)
    zero = write_dicom(tmp_path / "z.dcm", RAMP, WindowCenter=100, WindowWidth=0, **MM)
    assert not said(zero)[1]
    refused(zero, "names no window", window=True)


def test_windows_of_frames_that_differ_are_said(tmp_path):
    path = write_enhanced(tmp_path / "x.dcm", BLOCK, AXIAL, range(4))
    header = pydicom.dcmread(path)
    for i, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        group.FrameVOILUTSequence = [item(WindowCenter=100 + i, WindowWidth=50)]
    header.save_as(path)
    case, texts = said(path, window=True)
    assert case.scale == (75, 125) and "different windows for its frames" in texts[0]


def test_padding_is_said_and_is_not_inverted(tmp_path):
    stored = np.array([[0, 500], [600, 900]])
    dark = write_dicom(tmp_path / "ct.dcm", stored, PixelPaddingValue=0, RescaleIntercept=-2000, RescaleSlope=1, **MM)
    case, texts = said(dark)
    assert case.image[0].tolist() == (stored - 2000.0).tolist() and "has padding of -2000" in texts[0]
    assert not said(dark, scale=(-1024, 1000))[1] and not said(dark, window=(0, 100))[1]
    tags = dict(PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, **MM)
    assert load_case(write_dicom(tmp_path / "dx.dcm", stored, **tags)).image[0].tolist() == [[500, 900], [800, 500]]


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_that_are_not_used_say_nothing(signed, tmp_path):
    values = np.arange(-24, 24).reshape(6, 8) if signed else np.arange(48).reshape(6, 8)
    words = (values & 0xFFF) | 0xA000  # rubbish, or overlays, above the twelve bits of a pixel
    tags = dict(BitsStored=12, HighBit=11, PixelRepresentation=signed, **MM)
    assert np.array_equal(load_case(write_dicom(tmp_path / "x.dcm", words, **tags)).image[0], values)
    tags = dict(BitsStored=12, HighBit=15, PixelRepresentation=signed, **MM)
    shifted = write_dicom(tmp_path / "y.dcm", (values & 0xFFF) << 4 | 5, **tags)
    assert np.array_equal(load_case(shifted).image[0], values)


@pytest.mark.parametrize("name, dtype", [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_pixels_that_are_fractions(name, dtype, tmp_path):
    values = np.linspace(-1, 1, 48).reshape(6, 8)
    header = pydicom.dcmread(write_dicom(tmp_path / "x.dcm", FLAT, **MM))
    del header.PixelData
    header.BitsAllocated = 8 * int(dtype[-1])
    setattr(header, name, values.astype(dtype).tobytes())
    header.save_as(tmp_path / "x.dcm")
    assert np.array_equal(load_case(tmp_path / "x.dcm").image[0], values.astype(np.float32))
    values[0, 0] = np.nan
    setattr(header, name, values.astype(dtype).tobytes())
    header.save_as(tmp_path / "x.dcm")
    refused(tmp_path / "x.dcm", "must be finite, got 1")


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_in_both_orders_of_bytes(little, bits, tmp_path):
    index = np.arange(48).reshape(6, 8) % 5 + 3
    tables = [np.array([1, 2, 3, 4, 250]) * (257 if bits == 16 else 1) // k for k in (1, 2, 3)]
    order = "<" if little else ">"
    plain = pydicom.dcmread(write_dicom(tmp_path / "x.dcm", FLAT, **MM))
    d = Dataset()
    d.update({e.tag: e for e in plain})
    d.file_meta = plain.file_meta
    d.PhotometricInterpretation = "PALETTE COLOR"
    for colour, table in zip(("Red", "Green", "Blue"), tables):
        d.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [5, 3, bits])
        data = table.astype(f"{order}u{bits // 8}").tobytes()
        data += b"\0" * (len(data) % 2)
        if bits == 8 and not little:
            data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
        d.add_new(f"{colour}PaletteColorLookupTableData", "OW", data)
    d.PixelData = index.astype(f"{order}u2").tobytes()
    syntax = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
    d.file_meta.TransferSyntaxUID = syntax
    d.save_as(tmp_path / "x.dcm", implicit_vr=False, little_endian=little, enforce_file_format=True)
    expected = np.stack([table[index - 3] for table in tables])
    assert np.array_equal(load_case(tmp_path / "x.dcm").image, expected)


def test_a_slope_of_zero_is_said(tmp_path):
    case, texts = said(write_dicom(tmp_path / "x.dcm", FLAT, RescaleSlope=0, RescaleIntercept=5, **MM))
    assert np.array_equal(case.image[0], FLAT + 5) and "RescaleSlope that is none ('0" in texts[0]


def test_slices_of_different_units_are_no_volume(tmp_path):
    folder = write_series(tmp_path / "pet", BLOCK, AXIAL, Units="BQML")
    odd = sorted(folder.iterdir())[0]
    header = pydicom.dcmread(odd)
    header.Units = "CNTS"
    header.save_as(odd)
    refused(folder, "one unit of intensity, got BQML, CNTS")


# ---- how pixels are stored


@pytest.mark.parametrize("syntax", ["DeflatedExplicitVRLittleEndian", "ImplicitVRLittleEndian", "RLELossless"])
def test_plain_syntaxes(syntax, tmp_path):
    header = pydicom.dcmread(write_dicom(tmp_path / "x.dcm", RAMP, **MM))
    uid = getattr(pydicom.uid, syntax)
    if uid.is_encapsulated:
        header.compress(uid)
    header.file_meta.TransferSyntaxUID = uid
    header.save_as(tmp_path / "y.dcm", enforce_file_format=True)
    assert np.array_equal(load_case(tmp_path / "y.dcm").image[0], RAMP)


@pytest.mark.parametrize(
    "syntax, words",
    [
        ("HTJ2K", ["High-Throughput JPEG 2000", "pip install 'misas[dicom]'"]),
        ("JPEG2000", ["JPEG 2000 Image Compression", "damaged"]),
        ("MPEG4HP41", ["a video", "MPEG-4", "ffmpeg"]),
        ("unknown", ["no decoder is known for it; write it uncompressed"]),
    ],
)
def test_what_cannot_be_decoded_is_named(syntax, words, tmp_path):
    if pydicom.pixels.get_decoder(pydicom.uid.HTJ2K).is_available and syntax == "HTJ2K":
        pytest.skip("a decoder is installed")
    header = pydicom.dcmread(write_dicom(tmp_path / "x.dcm", RAMP, **MM))
    header.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
    header["PixelData"].VR = "OB"
    header.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax, pydicom.uid.JPEG2000)
    header.save_as(tmp_path / "x.dcm")
    if syntax == "unknown":
        written = (tmp_path / "x.dcm").read_bytes().replace(b"1.2.840.10008.1.2.4.91", b"1.2.840.10008.1.2.4.99")
        (tmp_path / "x.dcm").write_bytes(written)
    refused(tmp_path / "x.dcm", *words)


def test_fewer_or_more_frames_than_the_header_says(tmp_path):
    refused(write_dicom(tmp_path / "x.dcm", BLOCK, **MM, NumberOfFrames=5), "cannot be decoded", "Explicit VR Little")
    path = write_enhanced(tmp_path / "y.dcm", BLOCK, AXIAL, range(4))
    header = pydicom.dcmread(path)
    del header.PerFrameFunctionalGroupsSequence[0]
    header.save_as(path)
    refused(path, "describe each of its 4 frames, but describes 3")


# ---- files without the mark


@pytest.mark.parametrize("implicit, little", [(True, True), (False, True), (False, False)])
def test_files_without_the_mark(implicit, little, tmp_path):
    def bare(path):
        header = pydicom.dcmread(path)
        header.preamble = None
        if not little:
            header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()
        plain = Dataset()
        plain.update({e.tag: e for e in header})
        path.unlink()
        plain.save_as(path.with_suffix(""), implicit_vr=implicit, little_endian=little)
        return path.with_suffix("")

    path = bare(write_dicom(tmp_path / "one.dcm", RAMP, **MM))
    assert np.array_equal(load_case(path).image[0], RAMP)
    folder = write_series(tmp_path / "s", BLOCK, AXIAL)
    for file in sorted(folder.iterdir()):
        bare(file)
    assert np.array_equal(load_case(folder).image[0], BLOCK)


def test_structures_without_the_mark(tmp_path):
    folder = write_series(tmp_path / "s", BLOCK, AXIAL)
    square = np.array([(1.2, 1.2, 2), (5.2, 1.2, 2), (5.2, 4.2, 2), (1.2, 4.2, 2)])
    path = write_rtstruct(tmp_path / "rt.dcm", {"a": [square]})
    with_mark = load_case(folder, path).truth
    path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(load_case(folder, path).truth, with_mark)


def test_what_only_looks_like_dicom(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"hello world" * 50)
    refused(tmp_path / "x.dcm", "does not begin as one")
    folder = write_series(tmp_path / "s", BLOCK, AXIAL)
    (folder / "bad.dcm").write_bytes(b"")
    refused(folder, "its file 'bad.dcm'")


@pytest.mark.parametrize(
    "kind, modality, words",
    [
        (pydicom.uid.EncapsulatedPDFStorage, "DOC", "Encapsulated PDF"),
        (pydicom.uid.BasicTextSRStorage, "SR", "Basic Text SR"),
        (pydicom.uid.TwelveLeadECGWaveformStorage, "ECG", "12-lead ECG"),
        (pydicom.uid.GrayscaleSoftcopyPresentationStateStorage, "PR", "Presentation State"),
    ],
)
def test_what_is_no_image_is_named(kind, modality, words, tmp_path):
    refused(saved(item(Modality=modality), tmp_path / "x.dcm", kind), "holds no image", words)


# ---- geometry


def test_a_vendors_private_position_stands_for_nothing(tmp_path):
    path = write_enhanced(tmp_path / "x.dcm", BLOCK, AXIAL, range(4))
    header = pydicom.dcmread(path)
    header.SOPClassUID = pydicom.uid.EnhancedMRImageStorage
    for group in header.PerFrameFunctionalGroupsSequence:
        elsewhere = item(ImagePositionPatient=[9.5, 19.5, 30], PixelSpacing=[7, 7])
        group.add_new(0x20050014, "LO", "SOME VENDOR")
        group.add_new(0x2005140F, "SQ", [elsewhere])
    header.save_as(path, enforce_file_format=True)
    case = load_case(path)
    theirs = sitk.ReadImage(str(path))
    assert np.allclose((case.affine @ [0, 0, 0, 1])[:3] * (-1, -1, 1), theirs.GetOrigin())
    assert case.spacing == pytest.approx(theirs.GetSpacing()[::-1]) and np.array_equal(case.image[0], BLOCK)


def csa(**elements):
    "A private header of Siemens, in its second form"
    data = b"SV10\4\3\2\1" + struct.pack("<II", len(elements), 77)
    for name, (kind, values) in elements.items():
        head = (name.encode(), len(values), kind.encode(), 0, len(values), 77)
        data += struct.pack("<64si4siii", *head)
        for value in values:
            text = str(value).encode() + b"\0"
            data += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4)
    return data


def write_mosaic(path, block, private=True, **tags):
    n, height, width = block.shape
    across = int(np.ceil(np.sqrt(n)))
    picture = np.zeros((across * height, across * width), int)
    for k, tile in enumerate(block):
        row, column = divmod(k, across)
        picture[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    first = np.array([-20.0, -30, 40]) - [2 * (across - 1) * width / 2, 1 * (across - 1) * height / 2, 0]
    place = dict(ImagePositionPatient=first.tolist(), ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 2])
    write_dicom(path, picture, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"], SpacingBetweenSlices=3, **place | tags)
    if private:
        header = pydicom.dcmread(path)
        header.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
        normal = dict(SliceNormalVector=("FD", ["0.0", "0.0", "1.0"]))
        header.add_new(0x00291010, "OB", csa(NumberOfImagesInMosaic=("US", [n]), **normal))
        header.save_as(path)
    return path


def test_a_mosaic_is_split_into_its_slices(tmp_path):
    block = np.arange(7 * 4 * 6).reshape(7, 4, 6)
    case = load_case(write_mosaic(tmp_path / "m.dcm", block))
    assert np.array_equal(case.image[0], block) and case.spacing == (3, 1, 2)
    assert np.allclose(case.affine @ [0, 0, 0, 1], [20, 30, 40, 1])
    for t in range(2):
        write_mosaic(tmp_path / "film" / f"{t}.dcm", block + t, InstanceNumber=t)
    assert [np.array_equal(c.image[0], block + t) for t, c in enumerate(load_cine(tmp_path / "film"))] == [True, True]
    refused(write_mosaic(tmp_path / "a.dcm", block, private=False), "mosaic", "CSA", "dcm2niix")


@pytest.mark.parametrize("name", ["siemens_dwi_0", "siemens_dwi_1000", "philips_mprage"])
@pytest.mark.filterwarnings("ignore")
def test_mosaics_and_enhanced_files_of_scanners_lie_where_nibabel_says(name, tmp_path):
    from nibabel.nicom import dicomwrappers

    packed = Path(nib.__file__).parent / f"nicom/tests/data/{name}.dcm.gz"
    path = tmp_path / "x.dcm"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    case = load_case(path)
    theirs = dicomwrappers.wrapper_from_file(str(path))
    voxels = np.stack([np.random.default_rng(0).integers(0, n, 500) for n in case.shape] + [np.ones(500, int)])
    there = (np.linalg.solve(np.diag([-1, -1, 1, 1]) @ theirs.affine, case.affine) @ voxels)[:3]
    assert np.abs(there - there.round()).max() < 2e-3
    found = np.asarray(theirs.get_data())[tuple(there.round().astype(int))]
    assert np.allclose(found, case.image[0].numpy()[tuple(voxels[:3])], rtol=1e-5)


def test_tiles_of_a_whole_slide_are_refused_with_what_helps(tmp_path):
    hd = pytest.importorskip("highdicom", reason="highdicom is not installed")
    tiled = dict(DimensionOrganizationType="TILED_FULL", TotalPixelMatrixColumns=16, TotalPixelMatrixRows=12)
    text = refused(write_dicom(tmp_path / "wsi.dcm", BLOCK, **tiled), "tiles of a whole slide")
    assert "get_total_pixel_matrix()" in text and callable(hd.imread) and hasattr(hd.Image, "get_total_pixel_matrix")


def test_a_gantry_tilt_is_said_by_name(tmp_path):
    tilted = AXIAL + np.eye(4)[[1]].T @ [[1, 0, 0, 0]]
    case, texts = said(write_series(tmp_path / "tilt", BLOCK, tilted))
    excess = np.prod(case.spacing) / abs(np.linalg.det(case.affine[:3, :3])) - 1
    assert len(texts) == 1 and "slanted by 26.6 degrees" in texts[0] and f"{excess:.2%}" in texts[0]


def test_files_that_do_not_belong_are_named(tmp_path):
    folder = write_series(tmp_path / "s", BLOCK, AXIAL)
    scout = dict(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    write_dicom(folder / "scout.dcm", BLOCK[0], **MM, **scout)
    refused(folder, "different directions", "'scout.dcm'")
    write_dicom(folder / "scout.dcm", BLOCK[0, :4], **MM | HERE)
    refused(folder, "must have one size", "'scout.dcm'")
    copied = sorted(folder.glob("0*.dcm"))[0]
    (folder / "scout.dcm").write_bytes(copied.read_bytes())
    refused(folder, "are one", "'scout.dcm'", repr(copied.name))
    write_series(tmp_path / "echo", BLOCK, AXIAL, EchoTime=10)
    for file in sorted((tmp_path / "echo").iterdir()):
        header = pydicom.dcmread(file)
        header.EchoTime, header.SOPInstanceUID = 20, pydicom.uid.generate_uid()
        header.save_as(file.with_name(f"b{file.name}"))
    refused(tmp_path / "echo", "lie where another one does", "different EchoTime")
    for n, file in enumerate(sorted((tmp_path / "echo").iterdir())):
        header = pydicom.dcmread(file)
        header.InstanceNumber = n
        header.save_as(file)
    with pytest.warns(UserWarning, match="different EchoTime, which are taken for times"):
        assert len(load_cine(tmp_path / "echo")) == 2


def test_slices_that_are_nearly_even_are_said(tmp_path):
    folder = write_series(tmp_path / "s", np.zeros((9, 6, 8)), AXIAL)
    for file in sorted(folder.iterdir()):
        header = pydicom.dcmread(file)
        z = float(header.ImagePositionPatient[2])
        header.ImagePositionPatient = [0, 0, z * 1.045 if z < 9 else 8.36 + (z - 8)]
        header.save_as(file)
    assert "not quite evenly spaced" in said(folder)[1][0]


@pytest.mark.parametrize("absolute", [False, True])
def test_offsets_of_a_dose_as_distances_and_as_heights(absolute, tmp_path):
    place = dict(ImagePositionPatient=[0, 0, 50], ImageOrientationPatient=[1, 0, 0, 0, -1, 0], **MM)  # normal downwards
    offsets = [50, 47, 44, 41] if absolute else [0, 3, 6, 9]
    tags = dict(Modality="RTDOSE", DoseGridScaling=0.5, GridFrameOffsetVector=offsets)
    case = load_case(write_dicom(tmp_path / "dose.dcm", BLOCK, **place, **tags))
    assert case.spacing == (3, 1, 1) and np.array_equal(case.image[0], BLOCK[::-1, ::-1] / 2)
    assert case.affine[2, 3] == 41


def test_frames_in_time_are_no_slices(tmp_path):
    film = dict(SpacingBetweenSlices=3, FrameTime=40, FrameIncrementPointer=0x00181063)
    path = write_dicom(tmp_path / "cine.dcm", BLOCK, **MM, **film)
    refused(path, "load_cine")
    assert len(load_cine(path)) == 4
    slices = load_case(write_dicom(tmp_path / "nm.dcm", BLOCK, SpacingBetweenSlices=3, **MM))
    assert slices.spacing == (3, 1, 1)


def test_a_volume_of_ultrasound_has_a_world_of_its_own(tmp_path):
    path = write_enhanced(tmp_path / "us.dcm", BLOCK, AXIAL, (2, 0, 3, 1))
    header = pydicom.dcmread(path)
    for group in header.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        del group.PlanePositionSequence
        group.PlanePositionVolumeSequence = [item(ImagePositionVolume=list(position))]
    shared = header.SharedFunctionalGroupsSequence[0]
    del shared.PlaneOrientationSequence
    shared.PlaneOrientationVolumeSequence = [item(ImageOrientationVolume=[1, 0, 0, 0, 1, 0])]
    header.save_as(path)
    case = load_case(path)
    assert np.array_equal(case.image[0], BLOCK) and case.spacing == (2, 1, 1) and case.affine is None


# ---- segments


def write_seg_of(path, source, pixels, frame=None, **tags):
    "Segments that name the image that they were drawn on, and have no place"
    frames = [(1, p, (0, 0, 0)) for p in pixels]
    write_seg(path, ["LV"], frames, (1, 1, 1), **tags)
    header = pydicom.dcmread(path)
    del header.SharedFunctionalGroupsSequence
    for i, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        del group.PlanePositionSequence
        named = item(ReferencedSOPInstanceUID=pydicom.dcmread(source).SOPInstanceUID)
        if frame:
            named.ReferencedFrameNumber = frame[i]
        group.DerivationImageSequence = [item(SourceImageSequence=[named])]
    header.save_as(path)
    return path


def test_segments_by_reference_to_an_image_without_positions(tmp_path):
    image = write_dicom(tmp_path / "dx.dcm", FLAT)
    mask = FLAT > 20
    path = write_seg_of(tmp_path / "seg.dcm", image, [mask])
    case, _ = said(image, path)
    assert np.array_equal(case.truth, mask) and case.labels == ("background", "LV")
    other = write_dicom(tmp_path / "other.dcm", FLAT)
    with pytest.raises(ValueError, match="seg.dcm.*drawn on another image"):
        load_case(other, path)
    header = pydicom.dcmread(image)
    header.Rows, header.PixelData = 5, FLAT[:5].astype(np.uint16).tobytes()
    header.save_as(tmp_path / "cut.dcm")
    with pytest.raises(ValueError, match=r"must have the shape of image, \(5, 8\), got \(6, 8\)"):
        load_case(tmp_path / "cut.dcm", path)
    for group in (placeless := pydicom.dcmread(path)).PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    placeless.save_as(tmp_path / "lost.dcm")
    with pytest.raises(ValueError, match="lost.dcm.*do not say where they are"):
        load_case(image, tmp_path / "lost.dcm")
    placed = write_seg(tmp_path / "mm.dcm", ["LV"], [(1, mask, (0, 0, 0))], (1, 1, 1))
    with pytest.raises(ValueError, match="mm.dcm.*says in mm where structures lie, and image does not"):
        load_case(image, placed)


def test_segments_by_reference_to_frames_of_a_film(tmp_path):
    film = write_dicom(tmp_path / "cine.dcm", BLOCK, **MM)
    masks = [BLOCK[k] % 5 == 0 for k in (2, 0)]
    path = write_seg_of(tmp_path / "seg.dcm", film, masks, frame=[3, 1])
    cases = load_cine(film, [path, None, path, None])
    assert np.array_equal(cases[0].truth, masks[1]) and np.array_equal(cases[2].truth, masks[0])


def test_segments_by_reference_to_slices_with_positions(tmp_path):
    folder = write_series(tmp_path / "s", BLOCK, AXIAL)
    second = next(f for f in folder.iterdir() if pydicom.dcmread(f).ImagePositionPatient[2] == 2)
    case = load_case(folder, write_seg_of(tmp_path / "seg.dcm", second, [FLAT > 20]))
    assert np.array_equal(case.truth[1], FLAT > 20) and not case.truth[[0, 2, 3]].any()


def test_fractions_are_said_where_they_are_none_of_two_numbers(tmp_path):
    folder = write_series(tmp_path / "s", BLOCK, AXIAL)
    tags = dict(kind="FRACTIONAL", MaximumFractionalValue=200, SegmentationFractionalType="PROBABILITY")
    soft = write_seg(tmp_path / "soft.dcm", ["LV"], [(1, FLAT * 4, (0, 0, 2))], (2, 1, 1), **tags)
    case, texts = said(folder, soft)
    assert np.array_equal(case.truth[1], FLAT * 4 >= 100) and "fractions (probability), of which a half" in texts[0]
    hard = write_seg(tmp_path / "hard.dcm", ["LV"], [(1, (FLAT > 9) * 200, (0, 0, 2))], (2, 1, 1), **tags)
    assert not said(folder, hard)[1]


def test_segments_are_no_image(tmp_path):
    path = write_seg(tmp_path / "seg.dcm", ["LV"], [(1, FLAT > 9, (0, 0, 2))], (2, 1, 1))
    refused(path, "segments (SEG), which can only be the truth")
    assert pack_bits(np.array([1, 0, 1, 0, 0, 0, 0, 0], np.uint8))[0] == 5
