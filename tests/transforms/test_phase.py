"Contrast medium: which pixels are enhanced, and by how much"

import warnings

import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.transforms.phase import ContrastPhase

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 4, (20, 30))
HU = Case(
    rng.normal(40, 300, (1, 20, 30)).astype(np.float32), LABELS, "scan", labels=("other", "liver", "spleen", "aorta")
)


def added(transform, value, case=HU):
    return (transform(case, value).image - case.image)[0].numpy()


@pytest.mark.parametrize("tissues", [["liver", "aorta"], [1, 3], dict(liver=1, aorta=1), {1: 1.0, 3: 1}, ("liver", 3)])
def test_labels_by_name_and_number(tissues):
    expected = 80.0 * np.isin(LABELS, (1, 3))
    assert np.allclose(added(ContrastPhase(tissues=tissues), 80), expected, atol=1e-4)


def test_one_label():
    assert np.allclose(added(ContrastPhase(tissues="spleen"), 80), 80.0 * (LABELS == 2), atol=1e-4)
    assert np.allclose(added(ContrastPhase(tissues=2), 80), 80.0 * (LABELS == 2), atol=1e-4)


def test_shares_of_the_value():
    changed = added(ContrastPhase(tissues=dict(liver=0.25, aorta=-1)), -40)
    assert np.allclose(changed, -40 * np.choose(LABELS, (0, 0.25, 0, -1)), atol=1e-4)


@pytest.mark.parametrize(
    "hu, share", [(-100, 0), (20, 0), (25, 0.5), (30, 1), (50, 1), (70, 1), (76, 0.4), (80, 0), (900, 0)]
)
def test_the_window_has_soft_ends(hu, share):
    even = Case(torch.full((2, 3, 6, 5), float(hu)), scale=(-1000, 1000))
    assert torch.allclose(ContrastPhase(window=(30, 70))(even, 60).image - hu, torch.tensor(60.0 * share), atol=1e-4)


def test_noise_stays_what_it_was():
    noisy = Case(torch.from_numpy(rng.normal(50, 12, (1, 200, 200))).float(), scale=(-1000, 1000))
    change = added(ContrastPhase(window=(20, 80)), 100, noisy)
    assert change.mean() > 99 and abs((noisy.image[0].numpy() + change).std() - 12) < 0.5


def test_labels_within_a_window():
    case = HU.replace(image=torch.where(torch.arange(30) < 15, 50.0, 400.0).expand(1, 20, 30).contiguous())
    change = added(ContrastPhase(tissues=["liver"], window=(30, 70)), 10, case)
    assert np.allclose(change[:, :14], 10 * (LABELS == 1)[:, :14], atol=1e-4) and not change[:, 16:].any()


def test_the_guess_is_said():
    with pytest.warns(
        UserWarning, match="case 'scan': contrast-phase enhances all that has 30 to 70 HU, muscle among it"
    ):
        guessed = ContrastPhase()(HU, 50).image
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = ContrastPhase(window=(30, 70))(HU, 50).image
    assert torch.equal(guessed, told)
    with pytest.warns(UserWarning, match="takes HU, in which air is -1000"):
        ContrastPhase(window=(0, 1))(Case(torch.rand(1, 5, 5)), 5)


def test_names_are_kept_as_a_plain_tuple():
    assert str(ContrastPhase(tissues=["liver"])) == "contrast-phase(tissues=(('liver', 1.0),))"
    assert ContrastPhase(tissues=ContrastPhase(tissues=["liver"]).tissues) == ContrastPhase(tissues="liver")
    assert hash(ContrastPhase(tissues={1: 0.5}, window=[0, 50]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ContrastPhase(tissues=[]), "tissues must be a list of labels"),
        (lambda: ContrastPhase(tissues=[-1]), "tissues must be a list of labels"),
        (lambda: ContrastPhase(tissues={1: "a"}), "tissues must be a list of labels"),
        (lambda: ContrastPhase(tissues=1.5), "tissues must be a list of labels"),
        (lambda: ContrastPhase(window=(70, 30)), "window must be two numbers .low, high."),
        (lambda: ContrastPhase(window=30), "window must be two numbers .low, high."),
        (
            lambda: ContrastPhase(tissues=["hepar"])(HU, 5),
            "names of labels of case 'scan' .other, liver, spleen, aorta.",
        ),
        (lambda: ContrastPhase(tissues=["liver"])(HU.replace(truth=None), 5), "case 'scan' must have a truth"),
    ],
)
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_the_remedies_work():
    blind = HU.replace(truth=None)
    assert ContrastPhase(window=(30, 70))(blind, 5).image.isfinite().all()
    nameless = HU.replace(labels=None)
    with pytest.raises(ValueError, match="case 'scan' .none., or their numbers, got 'liver'"):
        ContrastPhase(tissues=["liver"])(nameless, 5)
    assert np.allclose(added(ContrastPhase(tissues=[1]), 5, nameless), 5 * (LABELS == 1), atol=1e-4)
