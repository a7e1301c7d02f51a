"Metrics with pixels that are not annotated, with labels of any value and number, and in pixels"

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from sklearn import metrics as sk

from misas.core.cases import Case
from misas.core.sweeps import get_series
from misas.eval.scoring import evaluate, get_confusion
from misas.metrics.base import measure
from misas.metrics.counts import confusion, label_counts
from misas.metrics.distance import surface_distances
from misas.metrics.fusion import majority, staple
from misas.plot.confusion import plot_confusion

SHAPES = ((31, 40), (7, 18, 20))


def blobs(shape, n, seed):
    "Labels in smooth patches"
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.normal(size=shape), 2) for _ in range(n)]
    return torch.from_numpy(np.argmax(fields, 0).astype(np.int32))


@pytest.fixture(params=SHAPES, ids=("2D", "3D"))
def masks(request):
    "Truth, prediction, and where nothing is annotated"
    truth, pred, void = (blobs(request.param, n, seed) for seed, n in enumerate((4, 4, 3)))
    return truth, pred, void == 2


# ---- pixels that are not annotated


@pytest.mark.parametrize("ignore", (255, -1, -100, 65535))
def test_overlaps_as_scikit_learn_has_them_without_the_void(masks, ignore):
    truth, pred, void = masks
    names = ["dice", "iou", "precision", "recall", "specificity"]
    found = measure(truth.masked_fill(void, ignore), pred, range(4), names, ignore=ignore)
    t, p = truth[~void].numpy(), pred[~void].numpy()
    assert np.allclose(found["dice"], sk.f1_score(t, p, average=None))
    assert np.allclose(found["iou"], sk.jaccard_score(t, p, average=None))
    assert np.allclose(found["precision"], sk.precision_score(t, p, average=None))
    assert np.allclose(found["recall"], sk.recall_score(t, p, average=None))
    assert np.allclose(found["specificity"], [sk.recall_score(t != k, p != k) for k in range(4)])
    matrix = confusion(truth.masked_fill(void, ignore), pred, 4, ignore)
    assert np.array_equal(matrix, sk.confusion_matrix(t, p))


def test_dice_as_monai_has_it_where_the_void_is_cut_out(masks):
    monai = pytest.importorskip("monai.metrics")
    truth, pred, void = masks
    found = measure(truth.masked_fill(void, 255), pred, [1, 2, 3], ignore=255)["dice"]
    cut = [torch.where(void, 0, mask) for mask in (pred, truth)]
    hot = [torch.nn.functional.one_hot(mask.long(), 4).movedim(-1, 0)[None].float() for mask in cut]
    assert np.allclose(found, monai.compute_dice(*hot, include_background=False)[0])


def test_as_torchmetrics_has_it_with_ignore_index(masks):
    classification = pytest.importorskip("torchmetrics.classification")
    truth, pred, void = masks
    found = measure(truth.masked_fill(void, 255), pred, range(4), ["dice", "recall"], ignore=255)
    for name, metric in (("dice", "MulticlassF1Score"), ("recall", "MulticlassRecall")):
        theirs = getattr(classification, metric)(4, average=None, ignore_index=255)
        assert np.allclose(found[name], theirs(pred, truth.masked_fill(void, 255)).numpy())


def test_distances_take_the_void_as_a_region_of_both(masks):
    truth, pred, void = masks
    spacing = (2.0, 0.7, 1.3)[-truth.ndim :]
    found = measure(truth.masked_fill(void, 255), pred, [1, 2], ["hausdorff", "assd"], spacing=spacing, ignore=255)
    for i, label in enumerate((1, 2)):
        a, b = (((mask == label) & ~void).numpy() for mask in (truth, pred))
        edges = [m & ~binary_erosion(m) for m in (a, b)]
        there = distance_transform_edt(~edges[1], spacing)[edges[0]]
        back = distance_transform_edt(~edges[0], spacing)[edges[1]]
        assert np.isclose(found["hausdorff"][i], max(there.max(), back.max()))
        assert np.isclose(found["assd"][i], np.concatenate([there, back]).mean())


def test_what_is_only_in_the_void_is_nowhere():
    truth = torch.tensor([[0, 0, 255, 255]], dtype=torch.int32)
    pred = torch.tensor([[0, 0, 3, 0]], dtype=torch.int32)
    found = measure(truth, pred, [3], ["dice", "hd95", "volume_difference_percent"], spacing=(1, 1), ignore=255)
    assert all(np.isnan(scores[0]) for scores in found.values())
    everything = measure(torch.full((2, 3), 255), torch.ones(2, 3), [1], ["dice", "specificity"], ignore=255)
    assert all(np.isnan(scores[0]) for scores in everything.values())


def test_custom_metrics_see_no_void():
    def accuracy(truth, pred, ignored):
        return (truth == pred)[~ignored].mean()

    truth = np.array([[1, 1, 0, 255]])
    pred = np.array([[1, 0, 0, 1]])
    assert measure(truth, pred, [1], accuracy, ignore=255)["accuracy"] == 2 / 3
    assert measure(truth, pred, [1], accuracy)["accuracy"] == 2 / 4


def test_a_step_leaves_out_what_was_predicted_in_the_void():
    truth = np.zeros((8, 9), int)
    truth[:4] = -1
    case = Case(np.zeros((8, 9)), truth, spacing=(1, 1), ignore=-1)
    scores = evaluate(lambda image: np.where(truth < 0, 5, 0), case, "brightness", [1.0], progress=False)
    assert scores.label.tolist() == ["0"]
    assert scores.score.tolist() == [1]


# ---- votes


def test_votes_leave_out_what_a_rater_has_not_annotated():
    a, b, c = [[1, 1, 0, 255]], [[1, 255, 0, 255]], [[255, 2, 2, 255]]
    assert majority([a, b, c], undecided=9, ignore=255).tolist() == [[1, 9, 0, 255]]
    assert majority([[[-1, 1]], [[2, 1]]], ignore=-1).tolist() == [[2, 1]]


def test_staple_of_the_pixels_that_all_have_annotated(masks):
    truth, pred, void = masks
    raters = [truth, pred, torch.where(truth == 2, 1, truth)]
    cut = staple([rater.masked_fill(void, 255) for rater in raters], ignore=255)
    alone = staple([rater[~void][None] for rater in raters])
    assert (cut.mask[void] == 255).all()
    assert torch.equal(cut.mask[~void], alone.mask[0])
    assert cut.probabilities[:, void].isnan().all()
    assert cut.raters.equals(alone.raters)


# ---- labels of any value, and many of them


def test_large_labels_cost_no_more_than_small_ones():
    small = blobs((60, 60), 4, 0)
    ids = torch.tensor([0, 997, 614454277, 2**31 - 1], dtype=torch.int32)
    large = ids[small.long()]
    moved, far = small.roll(2, 0), large.roll(2, 0)
    metrics = ["dice", "specificity", "hd95"]
    found = measure(large, far, [2**31 - 1, 997, 614454277], metrics, spacing=(1, 1))
    expected = measure(small, moved, [3, 1, 2], metrics, spacing=(1, 1))
    assert all(np.array_equal(found[name], expected[name]) for name in metrics)
    assert majority([large, large, far.clone()]).equal(large)


def test_many_labels_need_no_matrix_of_all_pairs():
    n = 20_000
    truth = torch.arange(n, dtype=torch.int32).repeat(4).reshape(200, -1)
    pred = truth.roll(1, 1)
    counts = label_counts(truth, pred, list(range(n)))
    assert counts.tp.sum() == (truth == pred).sum()
    few = label_counts(truth, pred, [5, 17])
    for name in ("tp", "fp", "fn", "tn"):
        assert getattr(counts, name)[[5, 17]].tolist() == getattr(few, name).tolist()
    assert len(surface_distances(truth, truth, list(range(n)))) == n


def test_confusion_of_an_atlas():
    truth = np.array([[0, 997, 614454277, 5]])
    case = Case(np.zeros((1, 4)), truth, labels={997: "root", 614454277: "SSp"})
    series = get_series(lambda image: np.array([[0, 997, 997, 5]]), case, "brightness", [1.0], progress=False)
    with pytest.raises(ValueError, match="labels must be the values of some labels where .* 614454277"):
        get_confusion(series)
    assert get_confusion(series, labels=[997, 614454277]).tolist() == [[[1, 0], [1, 0]]]
    names = [text.get_text() for text in plot_confusion(series).axes[0].get_yticklabels()]
    assert names == ["0", "5", "root", "SSp"]
    scores = evaluate(lambda image: truth, case, "brightness", [1.0], labels={614454277: "SSp"}, progress=False)
    assert scores.label.tolist() == ["SSp"]


def test_masks_of_other_dtypes_are_checked():
    good = torch.zeros(2, 2, dtype=torch.int32)
    for bad in (torch.full((2, 2), 2**32 + 1), torch.full((2, 2), 0.5), torch.full((2, 2), -1)):
        with pytest.raises(ValueError, match="pred must have labels that are integers >= 0"):
            measure(good, bad, [1])
    assert measure(np.array([[0, 1]]), np.array([[0, 1]], np.uint8), [1])["dice"] == 1


# ---- mm, or pixels


def test_measure_says_that_nobody_told_the_spacing():
    mask = torch.zeros(4, 6, 6, dtype=torch.int32)
    mask[1:3, 1:4, 1:4] = 1
    with pytest.warns(UserWarning, match="spacing is not given, so these are in pixels: volume_difference, nsd@2mm"):
        found = measure(mask, mask * 0, [1], ["dice", "volume_difference", "nsd@2mm"])
    assert found["volume_difference"] == -18
    assert measure(mask, mask * 0, [1], ["volume_difference"], spacing=(1, 1, 1))["volume_difference"] == -0.018
    in_pixels = measure(mask, mask * 0, [1, 9], ["volume_difference"], absent=5, spacing=(2, 1, 1), unit="px")
    assert in_pixels["volume_difference"].tolist() == [-36, 5]
