"Distances and volumes from the model to the summary: in mm and ml, however large the pixels are"

import numpy as np
import pytest

from misas.analysis.summary import summarise, verdicts
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate, score
from misas.eval.table import metric_facts
from misas.metrics.distance import surface_dice
from misas.transforms.basic import Brightness, Dihedral, Resize, Rotate


def grown(image):
    return image > 0.5


def ringed(spacing=(2, 2)):
    "A disc with a halo that `grown` takes for a part of it: 6 mm too much all around"
    far = np.hypot(*((i - (n - 1) / 2) * s for i, n, s in zip(np.indices((96, 81)), (96, 81), spacing)))
    return load_case(
        np.where(far <= 40, 0.9, np.where(far <= 46, 0.8, 0.1)).astype(np.float32), far <= 40, "disc", spacing
    )


@pytest.mark.parametrize("spacing", ((2, 2), (1.5, 2.5)))
@pytest.mark.parametrize(
    "transform, values", ((Resize(), [41, 81, 96, 192]), (Dihedral(), range(8)), (Rotate(), [0, 90, 180])), ids=str
)
def test_distances_stay_in_mm_when_pixels_change(spacing, transform, values):
    metrics = ["hd95", "assd", "area_difference"]
    scores = evaluate(grown, ringed(spacing), transform, values, metrics, {1: "disc"}, progress=False)
    found = scores.pivot(index="value", columns="metric", values="score")
    assert np.allclose(found.hd95, 6, atol=2.6)
    assert np.allclose(found.assd, 6, atol=1.5)
    assert np.allclose(found.area_difference, np.pi * (46**2 - 40**2) / 100, rtol=0.2)


def test_the_table_is_the_same_from_a_series_several_processes_and_a_store(tmp_path):
    cases = [ringed(), ringed((1, 2)).replace(name="other")]
    options = dict(metrics=["dice", "hd95", surface_dice(7)], labels={1: "disc"}, progress=False)
    tried = dict(transforms="brightness", values=[0.1, 1, 2])
    scores = evaluate(grown, cases, **tried, **options)
    assert np.isinf(scores.query("metric == 'hd95' and value == .1").score).all()
    assert scores.query("metric == 'nsd@7mm' and value == 1").score.min() > 0.9
    directions = {"dice": ("", "higher"), "hd95": ("mm", "lower"), "nsd@7mm": ("", "higher")}
    for name, (unit, better) in directions.items():
        assert metric_facts(scores, name) == dict(unit=unit, better=better)
    series = get_series(grown, cases[0], Brightness(), [0.1, 1, 2], progress=False)
    assert score(series, options["metrics"], options["labels"]).equals(scores[scores.case == "disc"])
    stored = evaluate(grown, cases, **tried, store=tmp_path, n_jobs=2, **options)
    again = evaluate(grown, cases, **tried, store=tmp_path, **options)
    assert stored.equals(scores)
    assert again.equals(scores)
    assert all(metric_facts(again, name) == metric_facts(scores, name) for name in directions)


def test_another_tolerance_is_another_result(tmp_path):
    tried = dict(transforms="brightness", values=[1], labels={1: "disc"}, store=tmp_path, progress=False)
    wide = evaluate(grown, ringed(), metrics=dict(nsd=surface_dice(7)), **tried)
    narrow = evaluate(grown, ringed(), metrics=dict(nsd=surface_dice(1)), **tried)
    assert wide.score.min() > 0.9 > narrow.score.max()


def test_volumes_from_case_to_verdict():
    case = phantom((6, 32, 32), seed=1, noise=0)

    def model(image):
        return image > 0.45

    metrics = ["volume_difference", "volume_difference_percent"]
    scores = evaluate(model, case, Brightness(), [0.5, 1, 2], metrics, {1: "LV"}, progress=False)
    truth = (case.truth == 1).sum().item()
    found = (case.image[0] > 0.45).sum().item()
    voxel = np.prod(case.spacing) / 1000
    at_one = scores[scores.value == 1].set_index("metric").score
    assert np.isclose(at_one.volume_difference, (found - truth) * voxel)
    assert np.isclose(at_one.volume_difference_percent, 100 * (found - truth) / truth)
    summary = summarise(scores, delta=dict(volume_difference=1, volume_difference_percent=5))
    assert (summary["drop"] >= 0).all()
    assert any("rise of at most 1 ml" in v for v in verdicts(summary))
    assert any("rise of at most 5%" in v for v in verdicts(summary))
    with pytest.raises(ValueError, match="delta must have a number in ml for 'volume_difference'"):
        summarise(scores)
