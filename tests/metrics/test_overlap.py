"Overlaps and volumes: conventions for what is missing, spurious and absent"

import numpy as np
import pytest
import torch

from misas.metrics.base import METRICS, register_metric
from misas.metrics.counts import confusion, counts, label_counts
from misas.metrics.overlap import (
    OVERLAP,
    area_difference,
    dice,
    iou,
    precision,
    recall,
    specificity,
    volume_difference,
    volume_difference_percent,
)


@pytest.fixture
def cube():
    cube = torch.zeros(12, 12, 12, dtype=torch.int32)
    cube[1:11, 1:11, 1:11] = 1
    return cube


@pytest.fixture
def half(cube):
    half = cube.clone()
    half[6:] = 0
    return half


def test_overlaps_are_those_of_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, pred = (torch.from_numpy(rng.integers(0, 4, (7, 9, 5))) for _ in range(2))
    c = counts(confusion(truth, pred, 4))
    t = truth.flatten().numpy()
    p = pred.flatten().numpy()
    assert np.allclose(dice(c), sk.f1_score(t, p, average=None))
    assert np.allclose(iou(c), sk.jaccard_score(t, p, average=None))
    assert np.allclose(precision(c), sk.precision_score(t, p, average=None))
    assert np.allclose(recall(c), sk.recall_score(t, p, average=None))
    assert np.allclose(specificity(c), [sk.recall_score(t != k, p != k) for k in range(4)])


def test_missing_and_spurious_labels_score_0_and_absent_ones_are_a_choice():
    edge = counts(confusion(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 0]), 4))
    for metric in (dice, iou, precision, recall):
        assert metric(edge)[1] == metric(edge)[2] == 0
        assert np.isnan(metric(edge)[3])
        assert metric(edge, absent=1)[3] == 1


def test_specificity_is_absent_where_a_label_fills_the_truth():
    edge = counts(confusion(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 0]), 4))
    ones = torch.ones(3).int()
    assert specificity(edge)[3] == 1
    assert np.isnan(specificity(counts(confusion(ones, ones, 2)))[1])


def test_differences_of_volume_and_area_have_a_sign(cube, half):
    c = label_counts(cube, half, [1, 2], (2, 1, 1))
    assert volume_difference(c)[0] == -1
    assert volume_difference_percent(c)[0] == -50
    assert np.isnan(volume_difference(c)[1])
    assert volume_difference(c, absent=0)[1] == 0
    assert volume_difference(label_counts(half, cube, [1], (2, 1, 1))) == 1
    assert area_difference(label_counts(half[2], cube[2] * 0, [1], (10, 10))) == -100


def test_volumes_of_missing_and_spurious_structures(cube):
    missing = label_counts(cube, cube * 0, [1], (1, 1, 1))
    spurious = label_counts(cube * 0, cube, [1], (1, 1, 1))
    assert volume_difference(missing) == -1
    assert volume_difference_percent(missing) == -100
    assert volume_difference(spurious) == 1
    assert volume_difference_percent(spurious) == np.inf


def test_volumes_need_three_axes_and_areas_two(cube, half):
    with pytest.raises(
        ValueError,
        match="metrics must be 'area_difference' or 'volume_difference_percent' where masks have 2 axes, "
        "got 'volume_difference'",
    ):
        volume_difference(label_counts(cube[0], cube[0], [1], (1, 1)))
    with pytest.raises(ValueError, match="metrics must be 'volume_difference' .* 3 axes, got 'area_difference'"):
        area_difference(label_counts(cube, half, [1, 2], (2, 1, 1)))


def test_the_metrics_of_counts_alone_do_not_depend_on_what_else_was_registered(monkeypatch):
    assert list(OVERLAP) == ["dice", "iou", "precision", "recall", "specificity"]
    assert all(OVERLAP[name] is METRICS[name] for name in OVERLAP)

    @register_metric(label_counts)
    def other(c, absent=np.nan):
        return dice(c, absent)

    monkeypatch.delitem(METRICS, "other")
    assert "other" not in OVERLAP
