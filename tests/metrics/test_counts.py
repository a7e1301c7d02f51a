"Counts of pixels: scikit-learn counts the same, whatever the labels"

import numpy as np
import pytest
import torch

from misas.metrics.counts import confusion, counts, label_counts

FIELDS = ("tp", "fp", "fn", "tn")


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.integers(0, 4, (7, 9, 5))) for _ in range(2)]


def test_confusion_is_that_of_scikit_learn(masks):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, pred = masks
    assert np.array_equal(confusion(truth, pred, 4), metrics.confusion_matrix(truth.flatten(), pred.flatten()))


def test_labels_that_do_not_occur_have_rows_and_columns_of_zeros():
    zeros = torch.zeros(3, 3, dtype=int)
    assert confusion(zeros, zeros + 1, 3).tolist() == [[0, 9, 0], [0, 0, 0], [0, 0, 0]]


def test_masks_of_different_shapes_and_labels_beyond_n_are_errors(masks):
    truth, pred = masks
    with pytest.raises(ValueError, match=r"shape of pred must be that of truth, \(7, 9, 5\), got \(9, 5\)"):
        confusion(truth, pred[0], 4)
    with pytest.raises(ValueError, match="n must be greater than the highest label, 3, got 3"):
        confusion(truth, pred, 3)
    with pytest.raises(ValueError, match="shape of pred must be that of truth"):
        label_counts(truth, pred[0], [1])


def test_counts_are_those_of_masks(masks):
    truth, pred = masks
    c = counts(confusion(truth, pred, 4))
    assert c.tp[2] == ((truth == 2) & (pred == 2)).sum()
    assert c.fp[2] == ((truth != 2) & (pred == 2)).sum()
    assert c.fn[2] == ((truth == 2) & (pred != 2)).sum()
    assert c.tn[2] == ((truth != 2) & (pred != 2)).sum()


def test_labels_of_interest_may_be_any_in_any_order(masks):
    truth, pred = masks
    every = counts(confusion(truth, pred, 4))
    some = label_counts(truth * 5000, pred * 5000, [15000, 5000])
    for field in FIELDS:
        assert np.array_equal(getattr(some, field), getattr(every, field)[[3, 1]]), field
