"Which pixels are right and which are wrong"

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from misas.metrics import error_map

SHAPES = [(1, 1), (7, 5), (3, 4, 5), (1, 9, 2)]
DTYPES = [np.uint8, np.int16, np.uint16, np.int64, np.float32]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label", [0, 1, 2, 3])
def test_counts_of_a_label_are_those_of_scikit_learn(shape, dtype, label):
    truth, pred = np.random.default_rng(0).integers(0, 4, (2, *shape)).astype(dtype)
    kinds = error_map(truth, pred, label)
    counts = confusion_matrix((truth == label).ravel(), (pred == label).ravel(), labels=[False, True])
    (tn, fp), (fn, tp) = counts
    assert [int((kinds == k).sum()) for k in range(4)] == [tn, tp, fp, fn]
    assert kinds.shape == shape and kinds.dtype == np.int8


def test_any_wrong_label_by_hand():
    truth = [0, 0, 1, 1, 1, 2, 2]
    pred = [0, 1, 1, 2, 0, 2, 1]
    assert error_map(truth, pred).tolist() == [0, 2, 1, 3, 3, 1, 3]


@pytest.mark.parametrize("ignore", [255, -1, 3, 2**31 + 5])
def test_what_is_not_annotated_is_none_of_the_four(ignore):
    truth = np.array([[ignore, 0], [1, ignore]], dtype=np.int64)
    assert error_map(truth, np.ones((2, 2), int), ignore=ignore).tolist() == [[-1, 2], [1, -1]]
    assert error_map(truth, np.ones((2, 2), int), label=2, ignore=ignore).tolist() == [[-1, 0], [0, -1]]


def test_a_tensor_gives_a_tensor():
    kinds = error_map(torch.tensor([[0, 1]], dtype=torch.uint8), torch.tensor([[True, True]]))
    assert isinstance(kinds, torch.Tensor) and kinds.tolist() == [[2, 1]]
    assert isinstance(error_map([[0]], [[0]]), np.ndarray)


def test_masks_are_not_changed():
    truth, pred = np.array([0, 1, 255]), np.array([1, 1, 1])
    error_map(truth, pred, ignore=255)
    assert truth.tolist() == [0, 1, 255] and pred.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([[0, 1]], [[0]]), "shape of pred must be that of truth"),
        (([[0.5]], [[0]]), "truth must have labels that are integers >= 0, got 0.5"),
        (([[0]], [[-1]]), "pred must have labels that are integers >= 0, got the negative label -1"),
        (([[0]], [[0]], -1), "label must be an integer >= 0"),
        (([[0]], [[0]], 1.5), "label must be an integer"),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words):
        error_map(*arguments)
