"Signal-to-noise ratio: Rician statistics in closed form, and the noise that is found"

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from misas import CaseFile, evaluate, load_case
from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.transforms.snr import SNR, FieldStrength, noise_in_air, noise_in_tissue


def magnitude(signal, sigma, shape=(256, 256), seed=0):
    rng = np.random.default_rng(seed)
    return np.hypot(signal + rng.normal(0, sigma, shape), rng.normal(0, sigma, shape))


def scan(signal, sigma, **options):
    return Case(magnitude(signal, sigma, **options)[None].astype(np.float32), name="scan", scale=(0, 1000))


@pytest.mark.parametrize("ratio", [0.8, 0.5, 0.1])
@pytest.mark.parametrize("signal", [0, 1, 4, 60])
def test_magnitudes_are_those_of_a_scan_with_that_noise(signal, ratio):
    changed = SNR(sigma=2, seed=5)(scan(signal, 2), ratio).image.flatten().double().numpy()
    rice = stats.rice(signal * ratio / 2, scale=2 / ratio)
    assert stats.kstest(changed, rice.cdf).pvalue > 0.01
    assert abs(changed.mean() - rice.mean()) < 4 * rice.std() / 256
    assert abs(changed.var() / rice.var() - 1) < 0.04


@pytest.mark.parametrize("ratio", [0.7, 0.5, 0.3])
def test_the_measured_ratio_is_the_one_asked_for(ratio):
    before = scan(200, 2).image
    after = SNR(sigma=2)(scan(200, 2), ratio).image
    snr = [image.mean() / image.std() for image in (before, after)]
    assert abs(snr[1] / snr[0] / ratio - 1) < 0.02


def test_variances_add():
    before = scan(500, 3)
    added = (SNR(sigma=3)(before, 0.6).image - before.image).double()
    assert abs(added.std() / np.sqrt((3 / 0.6) ** 2 - 3**2) - 1) < 0.01


def test_noise_only_becomes_stronger():
    weak, strong = (SNR(sigma=2)(scan(500, 2), r).image - scan(500, 2).image for r in (0.9, 0.3))
    assert np.corrcoef(weak.flatten(), strong.flatten())[0, 1] > 0.999


def test_two_steps_are_one():
    twice = SNR(sigma=4, seed=1)(SNR(sigma=2)(scan(10, 2), 0.5), 0.5).image.flatten().numpy()
    assert stats.kstest(twice, stats.rice(10 / 8, scale=8).cdf).pvalue > 0.01


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_noise_of_phantoms_is_found(seed, noise):
    for shape in ((128, 128), (8, 96, 96)):
        found = SNR().noise_level(phantom(shape, seed=seed, noise=noise))
        assert abs(found.item() / noise - 1) < 0.12


def test_noise_of_a_disc_in_air_is_found_by_both():
    row, col = np.indices((128, 128)) - 63.5
    image = magnitude(np.where(np.hypot(row, col) < 45, 100, 0), 5, (128, 128))
    assert abs(noise_in_air(image) / 5 - 1) < 0.05 and abs(noise_in_tissue(image) / 5 - 1) < 0.1


def test_with_noise_in_air_the_ratio_halves():
    row, col = np.indices((160, 160)) - 79.5
    inside = np.hypot(row, col) < 55
    case = Case(magnitude(np.where(inside, 100, 0), 4, (160, 160))[None].astype(np.float32), scale=(0, 150))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = SNR()(case, 0.5).image[0].numpy()
    before = case.image[0].numpy()
    ratios = [image[inside].mean() / image[inside].std() for image in (before, after)]
    assert abs(ratios[1] / ratios[0] / 0.5 - 1) < 0.06


def test_channels_have_noise_of_their_own():
    pair = Case(np.stack([magnitude(0, 2), magnitude(0, 6, seed=1)]).astype(np.float32), scale=(0, 100))
    assert np.allclose(SNR().noise_level(pair), [2, 6], rtol=0.03)
    assert SNR(sigma=3).noise_level(pair).tolist() == [3, 3]


@pytest.mark.parametrize("make", [lambda: SNR(), lambda: FieldStrength(own=3)])
def test_without_air_it_is_said_how_noise_is_estimated(make):
    body = scan(200, 3, shape=(64, 64))
    with pytest.warns(UserWarning, match="case 'scan': there is no air at the border, so its noise is estimated from"):
        found = make().noise_level(body)
    assert abs(found.item() / 3 - 1) < 0.1


def test_a_border_that_was_filled_is_no_air():
    image = np.zeros((1, 96, 96), np.float32)
    image[0, 12:-12, 12:-12] = magnitude(100, 4, (72, 72))
    assert noise_in_air(image[0].astype(float)) is None
    with pytest.warns(UserWarning, match="no air at the border"):
        assert abs(SNR().noise_level(Case(image)).item() / 4 - 1) < 0.15


@pytest.mark.parametrize("image", [torch.zeros(1, 9, 9), torch.full((1, 20, 20), 3.0), torch.ones(1, 1, 1)])
def test_no_noise_to_be_found(image):
    case = Case(image, name="flat")
    with pytest.raises(ValueError, match="sigma of snr must be given for case 'flat': no noise is found in its image"):
        SNR()(case, 0.5)
    assert SNR(sigma=1)(case, 0.5).image.isfinite().all()  # the remedy
    assert torch.equal(SNR()(case, 1).image, image)


def test_field_strength_is_a_ratio():
    heart = phantom((64, 64), seed=1)
    for own, tesla in ((3, 1.5), (7, 3), (1.5, 0.55)):
        assert torch.equal(FieldStrength(own=own)(heart, tesla).image, SNR()(heart, tesla / own).image)
    assert FieldStrength(own=3)(heart, 3) is heart


def test_the_field_of_the_table_of_cases():
    heart = phantom((64, 64), seed=1)
    told = heart.replace(columns={"MagneticFieldStrength": "1.5"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(FieldStrength()(told, 0.75).image, SNR()(heart, 0.5).image)
    assert FieldStrength().neutral_for(told) == 1.5 and FieldStrength(own=3).neutral_for(told) == 3
    assert FieldStrength().values_for(told)[0] == 1.5 and max(FieldStrength().values_for(told)) == 1.5
    wrong = heart.replace(columns={"MagneticFieldStrength": "strong"})
    with pytest.raises(
        ValueError, match="MagneticFieldStrength of case 'phantom-1' must be a number > 0, in tesla, got"
    ):
        FieldStrength()(wrong, 1)


def test_an_unknown_field_is_said():
    heart = phantom((64, 64), seed=1)
    with pytest.warns(
        UserWarning, match="case 'phantom-1': nothing says at which field strength it was made, .* 3 T is"
    ):
        FieldStrength()(heart, 1.5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SNR(sigma=0), "sigma must be a number > 0"),
        (lambda: SNR()(scan(9, 1), 1.5), "ratio of snr must be a number > 0 and <= 1, got 1.5"),
        (lambda: SNR()(scan(9, 1), 0), "ratio of snr must be a number > 0 and <= 1, got 0"),
        (lambda: FieldStrength(own=-3), "own must be a number > 0"),
        (
            lambda: FieldStrength(own=1.5)(scan(9, 1), 3),
            "at most 1.5, the scan's own, as noise cannot be removed, got 3",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def mr_file(path, **tags):
    "A small DICOM slice of MR"
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    pixels = magnitude(300, 20, (32, 32))
    pixels[:6] = magnitude(0, 20, (6, 32), seed=1)
    d = Dataset()
    values = dict(
        Modality="MR", PatientName="Secret^Name", PatientID="4711", InstitutionName="Hospital", StationName="MR7",
        Rows=32, Columns=32, PixelSpacing=[1, 1], SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=0,
        PixelData=pixels.astype(np.uint16).tobytes(),
    )  # fmt: skip
    for name, value in (values | tags).items():
        setattr(d, name, value)
    d.SOPClassUID, d.SOPInstanceUID = MRImageStorage, generate_uid()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.file_meta.MediaStorageSOPClassUID, d.file_meta.MediaStorageSOPInstanceUID = d.SOPClassUID, d.SOPInstanceUID
    d.save_as(path, enforce_file_format=True)
    return path


def test_the_field_of_a_dicom_header(tmp_path):
    path = mr_file(tmp_path / "a.dcm", MagneticFieldStrength=1.5)
    case = load_case(path)
    assert dict(case.columns) == {"MagneticFieldStrength": 1.5}  # and nothing of the patient or the place
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*field strength")
        changed = FieldStrength(sigma=20)(case, 0.75)
    assert FieldStrength().neutral_for(case) == 1.5
    assert torch.equal(changed.image, SNR(sigma=20)(case, 0.5).image)
    table = evaluate(lambda image: image > 150, (path, np.ones((32, 32), int)), FieldStrength(sigma=20), progress=False)
    assert table.value.max() == 1.5 and set(table.columns) & {"PatientName", "PatientID"} == set()
    # what the user's table says stands before it, an empty cell does not
    for cell, tesla in (("3", "3"), ("", 1.5)):
        told = load_case(CaseFile(path, columns={"MagneticFieldStrength": cell}))
        assert told.columns["MagneticFieldStrength"] == tesla


@pytest.mark.parametrize("tags", [{}, dict(MagneticFieldStrength=15000), dict(MagneticFieldStrength=0)])
def test_a_header_without_a_field_in_tesla(tmp_path, tags):
    case = load_case(mr_file(tmp_path / "a.dcm", **tags))
    assert not case.columns
    with pytest.warns(UserWarning, match="neither its header nor a column MagneticFieldStrength .* 3 T is assumed"):
        FieldStrength(sigma=20)(case, 1.5)


def test_a_series_of_one_field(tmp_path):
    for k, tesla in enumerate((3, 3)):
        place = dict(
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, 2 * k], InstanceNumber=k + 1
        )
        mr_file(tmp_path / f"{k}.dcm", MagneticFieldStrength=tesla, SeriesInstanceUID="1.2.3.4.5.6", **place)
    case = load_case(tmp_path)
    assert case.ndim == 3 and case.columns["MagneticFieldStrength"] == 3


def test_kept_results_are_those_of_the_field(tmp_path):
    heart = phantom((64, 64), seed=1)
    kept = {}
    for tesla in ("1.5", "3", "1.5"):
        told = heart.replace(columns={"MagneticFieldStrength": tesla})
        options = dict(values=[0.5], store=tmp_path, progress=False)
        scores = evaluate(lambda image: image > 0.5, told, FieldStrength(), **options).score.tolist()
        assert kept.setdefault(tesla, scores) == scores
    assert kept["1.5"] != kept["3"]
