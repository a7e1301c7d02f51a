"Severity: scikit-image, closed forms, equal steps, bad input"

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import normalized_mutual_information, structural_similarity

from misas.analysis.severity import equal_severity, image_severity, severities, severity_preset, with_severity
from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.transforms.basic import Brightness, Crop, Dihedral, Resize, Rotate
from misas.transforms.kspace import SpikePosition
from misas.transforms.mri import Noise


@pytest.mark.parametrize("shape", [(40, 41), (9, 20, 21)])
def test_as_scikit_image(shape):
    case = phantom(shape, seed=1)
    changed = Noise()(case, 0.1)
    a, b = case.image[0].double().numpy(), changed.image[0].double().numpy()
    assert image_severity(case, changed) == pytest.approx(1 - structural_similarity(a, b, data_range=1))
    assert image_severity(case, changed, "nmi") == pytest.approx(2 - normalized_mutual_information(a, b))


def test_channels_and_scale():
    image = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0)) * 255
    case = Case(image, scale=(0, 255))
    changed = Brightness()(case, 0.5)
    pairs = zip(case.image.double().numpy(), changed.image.double().numpy())
    expected = 1 - np.mean([structural_similarity(a, b, data_range=255) for a, b in pairs])
    assert image_severity(case, changed) == pytest.approx(expected)


def test_small_images():
    for side, works in ((5, True), (3, True), (2, False)):
        case = Case(torch.rand(1, side, side, generator=torch.Generator().manual_seed(0)))
        if works:
            assert image_severity(case, case) == 0
        else:
            with pytest.raises(ValueError, match="at least 3 pixels"):
                image_severity(case, case)


def test_other_grids():
    case = phantom((64, 64), seed=1)
    assert image_severity(case, Resize()(case, 64)) == 0
    small, smaller = (image_severity(case, Resize()(case, n)) for n in (48, 16))
    assert 0 < small < smaller
    assert np.isnan(image_severity(case, case.replace(image=case.image[:, :32], truth=None)))


def test_scores_get_a_column():
    case = phantom((48, 48))
    table = severities(
        [case, phantom((48, 48), seed=1)], ["rotation", "dihedral"], {"rotation": [0, 10], "dihedral": [0, 4]}
    )
    assert table.cases.eq(2).all() and table.severity[[0, 2]].eq(0).all() and (table.severity[[1, 3]] > 0).all()
    scores = evaluate(lambda x: x > 0.4, case, ["rotation", "crop"], [0, 10], labels={1: "LV"}, progress=False)
    found = with_severity(scores, table)
    assert found.attrs == scores.attrs
    assert found[found["transform"] == "rotation"].severity.tolist() == table.severity[:2].tolist()
    assert found[found["transform"] == "crop"].severity.isna().all()


def test_equal_steps():
    case = phantom((48, 48))
    values = equal_severity(case, Rotate(), [0.1, 0.2], towards=-40)
    assert all(value < 0 for value in values)
    assert [image_severity(case, Rotate()(case, value)) for value in values] == pytest.approx([0.1, 0.2], abs=0.01)
    with pytest.warns(UserWarning, match="rotation has a severity of .* at 1, less than 0.9"):
        found = equal_severity(case, Rotate(), [0.01, 0.9], towards=1)
    assert np.isfinite(found[0]) and np.isnan(found[1])


def test_presets_are_equally_severe():
    cases = [phantom((48, 48), seed=seed) for seed in range(2)]
    with pytest.warns(UserWarning, match="noise has a severity of"):
        preset = severity_preset(cases, ["rotation", Noise(), "crop"], [0.1, 0.8], towards=dict(crop=20))
    assert [len(values) for values in preset.values()] == [3, 2, 3]
    assert preset["rotation"][0] == 0 and preset["noise"][0] == 0
    table = severities(cases, list(preset), preset)
    low = table.groupby("transform").severity.nth(1)
    assert low.tolist() == pytest.approx([0.1] * 3, abs=0.03)  # crops are whole pixels
    scores = evaluate(lambda x: x > 0.4, cases, list(preset), preset, labels={1: "LV"}, progress=False)
    assert set(with_severity(scores, table, name="ssim").ssim.notna()) == {True}
    with pytest.raises(ValueError, match="name must be a new name"):
        with_severity(scores, table, name="score")
    with pytest.raises(ValueError, match="towards must be"):
        severity_preset(cases, ["rotation"], [0.1], towards=dict(crop=20))


@pytest.mark.parametrize("transform", [Dihedral(), SpikePosition()])
def test_without_amounts(transform):
    with pytest.raises(ValueError, match="transform must be one with a neutral value, and with numbers"):
        equal_severity(phantom((32, 32)), transform)


def test_bad_input():
    case = phantom((32, 32))
    with pytest.raises(ValueError, match="measure must be"):
        image_severity(case, case, "psnr")
    with pytest.raises(ValueError, match="cases must be at least one"):
        severities([], Crop())
    with pytest.raises(ValueError, match="targets must be"):
        equal_severity(case, Rotate(), [0])
    with pytest.raises((TypeError, ValueError), match="scores must have"):
        with_severity(pd.DataFrame(), severities(case, "rotation", [0]))
    scores = evaluate(lambda x: x > 0.4, case, "rotation", [0, 10], labels={1: "LV"}, progress=False)
    with pytest.raises(ValueError, match="table must be what severities makes"):
        with_severity(scores, scores)
