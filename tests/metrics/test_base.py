"Metrics by name, and measuring with them"

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from misas.metrics.base import METRICS, Metric, as_metrics, custom_metric, known_metric, measure
from misas.metrics.counts import confusion, counts, label_counts
from misas.metrics.overlap import dice, recall


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.integers(0, 4, (7, 9, 5))) for _ in range(2)]


def jaccard(truth, pred):
    return (truth & pred).sum() / (truth | pred).sum()


def volume_error(truth, pred, spacing):
    return (pred.sum() - truth.sum()) * np.prod(spacing)


def test_every_metric_says_its_unit_and_direction():
    assert {m.unit for m in METRICS.values()} == {"", "mm", "ml", "cm²", "%", "lesions"}
    assert {m.better for m in METRICS.values()} == {"higher", "lower", "zero"}
    assert all(name == m.name for name, m in METRICS.items())


@pytest.mark.parametrize("module", ["counts", "base", "distance", "fusion", "overlap"])
def test_all_metrics_are_known_whichever_module_is_imported_first(module):
    code = f"import misas.metrics.{module}; from misas.metrics.base import METRICS; print(*METRICS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(METRICS)


def test_metrics_come_as_names_functions_and_dicts():
    assert list(as_metrics(["dice", jaccard, METRICS["iou"], recall])) == ["dice", "jaccard", "iou", "recall"]
    assert as_metrics(dict(mine="dice"))["mine"] is METRICS["dice"]
    assert as_metrics(dice) == as_metrics("dice") == as_metrics(as_metrics("dice"))


def test_metrics_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(as_metrics("dice"))) == as_metrics("dice")


def test_unit_and_direction_of_a_custom_metric_are_its_attributes(monkeypatch):
    assert (as_metrics(jaccard)["jaccard"].unit, as_metrics(jaccard)["jaccard"].better) == ("", "higher")
    monkeypatch.setattr(jaccard, "unit", "%", raising=False)
    monkeypatch.setattr(jaccard, "better", "lower", raising=False)
    assert (as_metrics(jaccard)["jaccard"].unit, as_metrics(jaccard)["jaccard"].better) == ("%", "lower")


def test_unknown_names_are_none():
    for name in ("dise", "dice@2", "f@2"):
        assert known_metric(name) is None, name


@pytest.mark.parametrize(
    "bad, message",
    [
        (["dise"], r"got 'dise' \(did you mean 'dice'\?\)"),
        ([], "metrics must be at least one metric"),
        ({}, "metrics must be at least one metric"),
        (["dice@3"], r"got 'dice@3' \(did you mean 'dice'\?\)"),
        (dict(mine="jacard"), "got 'jacard'"),
    ],
)
def test_bad_names_of_metrics_are_errors(bad, message):
    with pytest.raises(ValueError, match=message):
        as_metrics(bad)


@pytest.mark.parametrize("bad", [{"mine": 3}, 3, [3]])
def test_what_is_no_metric_is_a_type_error(bad):
    with pytest.raises(TypeError, match="metrics must be .* function"):
        as_metrics(bad)


def test_measure_gives_each_metric_for_each_label(masks):
    truth, pred = masks
    names = ["dice", "recall", volume_error, "volume_difference"]
    found = measure(truth, pred, [1, 3], names, spacing=(2, 1, 1))
    c = counts(confusion(truth, pred, 4))
    assert list(found) == ["dice", "recall", "volume_error", "volume_difference"]
    assert np.allclose(found["dice"], dice(c)[[1, 3]])
    assert np.allclose(found["recall"], recall(c)[[1, 3]])
    assert found["volume_error"][0] == 2 * ((pred == 1).sum() - (truth == 1).sum())
    assert np.allclose(found["volume_difference"], found["volume_error"] / 1000)


def test_labels_may_be_of_any_size(masks):
    truth, pred = masks
    large = measure(truth * 5000, pred * 5000, [5000, 15000])
    assert np.allclose(large["dice"], measure(truth, pred, [1, 3])["dice"])


def test_a_label_in_neither_mask_is_absent(masks):
    truth, pred = masks
    assert np.isnan(measure(truth, pred, [9], lambda t, p: 3)["<lambda>"][0])
    assert measure(truth, pred, [9], absent=0)["dice"][0] == 0


def test_one_metric_for_one_label(masks):
    truth, pred = masks
    metric = as_metrics(volume_error)["volume_error"]
    expected = measure(truth, pred, [1], volume_error, spacing=(2, 1, 1))["volume_error"][0]
    assert custom_metric(metric, truth, pred, 1, (2, 1, 1), np.nan) == expected


def test_what_a_family_shares_is_computed_once(masks):
    calls = []

    def family(*arguments):
        calls.append(1)
        return label_counts(*arguments)

    assert list(measure(*masks, [1], [Metric(k, family, dice) for k in "ab"])) == ["a", "b"]
    assert len(calls) == 1


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0)])
def test_a_bad_spacing_is_an_error(masks, spacing):
    with pytest.raises(ValueError, match="spacing must be 3 numbers > 0, in mm"):
        measure(*masks, [1], "dice", 0, spacing)


def test_masks_of_different_shapes_are_an_error(masks):
    truth, pred = masks
    with pytest.raises(ValueError, match="shape of pred must be that of truth"):
        measure(truth, pred[0], [1])
