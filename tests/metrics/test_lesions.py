"Lesions: numbers of panoptica, matching rules, absent labels, bad input"

import numpy as np
import pytest
import torch

from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.metrics.base import as_metrics, measure
from misas.metrics.lesions import find_lesions, lesion_recall

METRICS = ["rq", "sq", "pq", "lesion_f1", "lesion_recall", "lesion_precision", "missed_lesions", "invented_lesions"]

# seed, shape, least IoU, and TP, FP, FN, SQ, PQ as panoptica 2.1 counts them with cc3d and its naive matching
PANOPTICA = [
    (0, (41, 47), 0.5, 2, 2, 4, 0.684705882353, 0.273882352941),
    (0, (41, 47), 0.1, 3, 1, 3, 0.584130162703, 0.350478097622),
    (0, (23, 27, 25), 0.5, 1, 5, 4, 0.612903225806, 0.111436950147),
    (0, (23, 27, 25), 0.1, 4, 2, 1, 0.411679016192, 0.299402920867),
    (1, (41, 47), 0.5, 1, 5, 6, 0.714285714286, 0.10989010989),
    (1, (41, 47), 0.1, 6, 0, 1, 0.349412408244, 0.322534530687),
    (1, (23, 27, 25), 0.5, 0, 5, 4, 0, 0),
    (1, (23, 27, 25), 0.1, 2, 3, 2, 0.255406866721, 0.113514162987),
    (2, (41, 47), 0.5, 1, 5, 5, 0.783783783784, 0.130630630631),
    (2, (41, 47), 0.1, 5, 1, 1, 0.383661518662, 0.319717932218),
    (2, (23, 27, 25), 0.5, 0, 5, 5, 0, 0),
    (2, (23, 27, 25), 0.1, 2, 3, 3, 0.283930331909, 0.113572132764),
    (3, (41, 47), 0.5, 0, 4, 4, 0, 0),
    (3, (41, 47), 0.1, 2, 2, 2, 0.180555555556, 0.0902777777778),
    (3, (23, 27, 25), 0.5, 0, 6, 5, 0, 0),
    (3, (23, 27, 25), 0.1, 4, 2, 1, 0.216376551012, 0.157364764372),
    (4, (41, 47), 0.5, 1, 6, 4, 0.545454545455, 0.0909090909091),
    (4, (41, 47), 0.1, 4, 3, 1, 0.452795431519, 0.301863621013),
    (4, (23, 27, 25), 0.5, 0, 4, 4, 0, 0),
    (4, (23, 27, 25), 0.1, 3, 1, 1, 0.29219791904, 0.21914843928),
    (5, (41, 47), 0.5, 1, 5, 4, 0.55, 0.1),
    (5, (41, 47), 0.1, 4, 2, 1, 0.286206896552, 0.208150470219),
    (5, (23, 27, 25), 0.5, 1, 5, 3, 0.518518518519, 0.103703703704),
    (5, (23, 27, 25), 0.1, 3, 3, 1, 0.386366168999, 0.231819701399),
]  # fmt: skip


def blobs(seed, shape):
    "Random balls in both masks, some of them moved, missing or spurious"
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    truth, pred = np.zeros(shape, bool), np.zeros(shape, bool)
    for _ in range(8):
        centre, radius = rng.integers(0, shape), rng.uniform(1.5, 4)
        kind = rng.random()
        if kind < 0.8:
            truth |= ((grid - centre) ** 2).sum(-1) <= radius**2
        if kind > 0.2:
            moved = centre + rng.integers(-2, 3, len(shape))
            pred |= ((grid - moved) ** 2).sum(-1) <= (radius * rng.uniform(0.8, 1.2)) ** 2
    return truth, pred


def scores(truth, pred, metrics, absent=np.nan):
    truth, pred = (torch.as_tensor(np.asarray(mask).astype(np.int32)) for mask in (truth, pred))
    found = measure(truth, pred, [1], metrics, absent, (1,) * truth.ndim)
    return {name: score.item() for name, score in found.items()}


@pytest.mark.parametrize("seed, shape, least, tp, fp, fn, sq, pq", PANOPTICA)
def test_as_panoptica(seed, shape, least, tp, fp, fn, sq, pq):
    found = scores(*blobs(seed, shape), [f"{name}@{least}" for name in METRICS])
    found = {name.partition("@")[0]: score for name, score in found.items()}
    assert (found["missed_lesions"], found["invented_lesions"]) == (fn, fp)
    assert found["sq"] == pytest.approx(sq, abs=1e-9) and found["pq"] == pytest.approx(pq, abs=1e-9)
    assert found["rq"] == found["lesion_f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert found["lesion_recall"] == pytest.approx(tp / (tp + fn))
    assert found["lesion_precision"] == pytest.approx(tp / (tp + fp))
    if least == 0.5:
        plain = scores(*blobs(seed, shape), METRICS)
        assert plain == found


def test_any_overlap_takes_several_parts():
    truth, pred = np.zeros((2, 9, 20), bool)
    truth[4, 2:9] = True  # one lesion, two predicted parts
    pred[4, 2:4] = pred[4, 7:9] = True
    truth[1, 12:14] = truth[1, 16:18] = True  # two lesions, one predicted part
    pred[1, 12:18] = True
    found = scores(truth, pred, ["lesion_recall@any", "lesion_precision@any", "lesion_f1@any", "sq@0.3"])
    assert list(found.values()) == [1, 1, 1, pytest.approx(2 / 6)]
    assert scores(truth, pred, "lesion_recall@0.1")["lesion_recall@0.1"] == pytest.approx(2 / 3)


def test_corners_hang_together():
    for ndim in (2, 3):
        mask = np.eye(5, dtype=bool) if ndim == 2 else np.einsum("ij,jk->ijk", np.eye(5), np.eye(5)).astype(bool)
        (own,) = find_lesions(torch.as_tensor(mask.astype(np.int32)), torch.zeros(mask.shape, dtype=torch.int32), [1])
        assert own.truth.tolist() == [5]


def test_volume_recall():
    truth, pred = np.zeros((2, 7, 9, 11), bool)
    truth[1:3, 1:4, 1:5] = pred[1:3, 1:4, 1:5] = True  # 24 voxels, found
    truth[5, 7, 7:10] = True  # 3 voxels, missed
    assert scores(truth, pred, "lesion_volume_recall")["lesion_volume_recall"] == pytest.approx(24 / 27)
    assert scores(truth, pred, "dice")["dice"] > 0.9 and scores(truth, pred, "lesion_recall")["lesion_recall"] == 0.5


def test_nothing_there():
    some, none = np.ones((5, 5), bool), np.zeros((5, 5), bool)
    assert all(np.isnan(score) for score in scores(none, none, METRICS).values())
    assert set(scores(none, none, METRICS, absent=1).values()) == {1}
    for truth, pred, missed, invented in ((some, none, 1, 0), (none, some, 0, 1)):
        found = scores(truth, pred, METRICS)
        assert (found.pop("missed_lesions"), found.pop("invented_lesions")) == (missed, invented)
        assert set(found.values()) == {0}


def test_labels_are_apart_and_ignored_pixels_are_none():
    truth = torch.zeros(9, 9, dtype=torch.int32)
    truth[1:3, 1:3], truth[1:3, 3:5] = 1, 2
    found = measure(truth, truth, [1, 2, 3], ["lesion_f1"], spacing=(1, 1))["lesion_f1"]
    assert found[:2].tolist() == [1, 1] and np.isnan(found[2])
    pred = truth.clone()
    pred[6:8, 6:8] = 1
    assert measure(truth, pred, [1], "invented_lesions", spacing=(1, 1))["invented_lesions"] == 1
    truth[5:, 5:] = 255
    assert measure(truth, pred, [1], "invented_lesions", spacing=(1, 1), ignore=255)["invented_lesions"] == 0


def test_along_a_sweep():
    case = phantom((48, 48))
    table = evaluate(
        lambda image: image > 0.5, case, "rotation", [0, 5], ["lesion_f1", "missed_lesions"], progress=False
    )
    assert table.metric.nunique() == 2 and table.score.notna().all()
    assert table.attrs["metrics"]["missed_lesions"] == dict(unit="lesions", better="lower")


@pytest.mark.parametrize("name", ["lesion_f1@0", "lesion_f1@1.5", "lesion_f1@half", "lesion_f2"])
def test_bad_names(name):
    with pytest.raises(ValueError, match="metrics must be"):
        as_metrics(name)


def test_bad_input():
    with pytest.raises(TypeError, match="lesions must be a list of Lesions"):
        lesion_recall(3)
