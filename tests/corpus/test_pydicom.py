"Every file that the installed pydicom carries: read as two other libraries read it, or refused in words that help"

import re
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.pixels import apply_color_lut, apply_modality_lut

from misas.data.loading import load_case, load_cine

ROOT = Path(pydicom.__file__).parent / "data"
FILES = sorted(p for p in ROOT.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc"))

# what is not read, by the end of its path, and words of the reason; the first match counts
REFUSED = [
    (r"README.*|FileInfo\.txt|.*\.json|.*\.dump|crayons\.icc", "cannot be read"),
    (r"zipMR\.gz", "compressed file; unpack it first"),
    (r"DICOMDIR.*", "list of files .DICOMDIR."),
    (r"palettes/.*\.dcm", "Color Palette Storage"),
    (r"rtplan.*\.dcm", "no image .its kind is RTPLAN, RT Plan Storage"),
    (r"ExplVR_(Big|Lit)EndNoMeta\.dcm", "no image .its kind is RTPLAN, RT Ion Plan Storage"),
    (r"rtstruct\.dcm", "no image .its kind is RTSTRUCT.*can only be the truth"),
    (r"(test-SR|reportsi.*)\.dcm", "no image .its kind is SR, .*SR Storage"),
    (r"waveform_ecg\.dcm", "no image .its kind is ECG, 12-lead ECG Waveform"),
    (r"TINY_ALPHA/.*/IM\w+", "its pixel data are missing; its kind is CT"),
    (r"chr(Jap|Korean)Multi.*\.dcm", "its pixel data are missing; its kind is CR"),
    (r"(chrSQ|UN_seq|empty_charset|no_meta_group|priv_SQ).*\.dcm", "no image .its kind is unknown"),
    (r"(meta_missing_tsyntax|nested_priv_SQ)\.dcm", "its header must have Rows, .* for its pixels to be read"),
    (r"liver.*\.dcm", "segments .SEG., which can only be the truth"),
    (r"no_meta\.dcm", "does not begin as one"),
    (r"badVR\.dcm", "its NumberOfFrames must be an integer"),
    (r"MR_truncated\.dcm", "cannot be decoded .*less than expected .8130 vs 8192 bytes"),
    (r"JPEG2000-embedded-sequence-delimiter\.dcm", "compressed .JPEG 2000 .* damaged"),
    (r".*_2frame\.dcm|examples_ybr_color\.dcm", "load_cine reads a film"),
]
# what is read with a warning, likewise
WARNED = [
    (r"dicomdirtests/77654033/CR\d/\d+", "spacing of 0.1 x 0.1 mm is that of the detector"),
    (r"examples_palette\.dcm", "ultrasound regions without mm"),
    (r"SC_rgb_rle_32bit\.dcm", "single precision rounds"),
]
NO_MM = (
    r"ExplVR_BigEnd|GDCMJ2K_TextGBR|JPEGLSNearLossless_\d+|SC_jpeg_no_color_transform(_2)?|SC_rgb_jls_lossy_\w+|"
    r"SC_rgb_jpeg(_app14_dcmd|_dcmd)?|examples_(jpeg2k|rgb_color)|image_dfl|chr\w+"
)
# where SimpleITK is no second opinion: 8 bits for a palette of 16, wrong bytes in RLE, no scaling of doses
NOT_BY_SIMPLEITK = r"examples_palette|SC_rgb_rle_(16|32)bit|rtdose.*"


def verdict(path, table):
    "The words of the first line that matches the end of a path"
    return next((words for pattern, words in table if re.search(rf"(^|/){pattern}$", path.as_posix())), None)


def secrets_of(path):
    "What a file says of a patient, as far as it has more than three letters"
    keys = ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    try:
        header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        texts = [str(header.get(k) or "") for k in keys]
    except Exception:
        return []
    return [t for t in texts if len(t) > 3 and t not in str(path)]


def by_others(path):
    "Real values by pydicom, where it decodes them, and by SimpleITK"
    header = pydicom.dcmread(path, force=True)
    found = []
    try:
        array = header.pixel_array
        if header.PhotometricInterpretation == "PALETTE COLOR":
            array = apply_color_lut(array, header)
        elif header.SamplesPerPixel == 1:
            array = apply_modality_lut(array, header) * float(header.get("DoseGridScaling") or 1)
        if header.PhotometricInterpretation == "MONOCHROME1":
            array = array.max() - (array - array.min())
        found.append(array)
    except RuntimeError:
        pass  # no decoder
    if not re.fullmatch(NOT_BY_SIMPLEITK, path.stem) and header.PhotometricInterpretation != "MONOCHROME1":
        found.append(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_each_file(path):
    words = verdict(path, REFUSED)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            case = load_case(path)
            text = None
        except ValueError as e:
            text = str(e)
    texts = [str(w.message) for w in caught]
    for secret in secrets_of(path):
        assert not any(secret in t for t in (*texts, text or ""))
    assert (text is None) == (words is None), text
    if text is not None:
        assert re.search(words, text) and path.name in text and "force=True" not in text and not texts
        return
    expected = [w for w in (verdict(path, WARNED),) if w]
    if re.fullmatch(NO_MM, path.stem):
        expected.append("does not say how far apart its pixels are")
    assert case.unit == ("px" if "does not say how far apart its pixels are" in expected else "mm")
    assert len(texts) == len(expected) and all(w in t and path.name in t for w, t in zip(expected, texts)), texts
    pixels = np.moveaxis(case.image.numpy(), 0, -1) if len(case.image) == 3 else case.image[0].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others = by_others(path)
    assert others
    for array in others:
        assert np.allclose(array.reshape(pixels.shape), pixels, rtol=1e-6)


@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "SC_rgb_rle_16bit_2frame.dcm", "examples_ybr_color.dcm"])
@pytest.mark.filterwarnings("ignore")
def test_films(name):
    path = ROOT / "test_files" / name
    frames = pydicom.dcmread(path).pixel_array
    film = load_cine(path)
    assert len(film) == len(frames)
    assert all(np.array_equal(np.moveaxis(c.image.numpy(), 0, -1), f) for c, f in zip(film, frames))
