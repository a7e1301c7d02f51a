"Boundary IoU and centre lines: OpenCV, closed forms, conventions"

import numpy as np
import pytest
import torch

from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.metrics.base import measure
from misas.metrics.boundaries import boundary_iou
from misas.transforms.basic import Rotate

NAMES = ["boundary_iou", "cldice", "centreline_recall", "centreline_precision"]


def scores(truth, pred, metrics, **options):
    truth, pred = (torch.as_tensor(np.asarray(mask).astype(np.int32)) for mask in (truth, pred))
    found = measure(truth, pred, [1], metrics, spacing=(1,) * truth.ndim, **options)
    return {name: score.item() for name, score in found.items()}


@pytest.mark.parametrize("shape", [(41, 60), (64, 64), (33, 127)])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_boundary_iou_as_with_opencv(shape, width):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(width)

    def boundary(mask):
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
        return mask - eroded[1:-1, 1:-1]

    y, x = np.mgrid[: shape[0], : shape[1]]
    masks = []
    for _ in range(2):
        row, column = rng.uniform(0.3, 0.7, 2) * shape
        masks.append((((y - row) / 14) ** 2 + ((x - column) / 20) ** 2 < 1).astype(np.uint8))
    truth, pred = map(boundary, masks)
    expected = (truth & pred).sum() / (truth | pred).sum()
    assert scores(*masks, f"boundary_iou@{width}px")[f"boundary_iou@{width}px"] == pytest.approx(expected, abs=1e-12)
    if width == max(1, round(0.02 * np.hypot(*shape))):
        assert scores(*masks, "boundary_iou")["boundary_iou"] == pytest.approx(expected, abs=1e-12)


def test_boundary_of_a_cube():
    truth = np.zeros((20, 21, 23), bool)
    truth[4:14, 4:14, 4:14] = True
    inner = truth.copy()
    inner[5:13, 5:13, 5:13] = False
    pred = truth.copy()
    pred[8, 8, 8] = False  # a hole of one voxel: its 26 neighbours become boundary
    found = scores(truth, pred, "boundary_iou@1px")["boundary_iou@1px"]
    assert found == pytest.approx(inner.sum() / (inner.sum() + 26))


@pytest.mark.parametrize("ndim", [2, 3])
def test_centre_line_of_a_straight_vessel(ndim):
    shape = (9, 60) if ndim == 2 else (9, 9, 60)
    vessel = np.zeros(shape, bool)
    vessel[(slice(3, 6),) * (ndim - 1) + (slice(5, 55),)] = True
    half = vessel.copy()
    half[..., 30:] = False
    found = scores(vessel, half, NAMES)
    assert found["centreline_precision"] == 1
    assert found["centreline_recall"] == pytest.approx(0.5, abs=0.03)
    r, p = found["centreline_recall"], found["centreline_precision"]
    assert found["cldice"] == pytest.approx(2 * r * p / (r + p))
    thick = vessel | np.roll(vessel, 1, 0) | np.roll(vessel, -1, 0)
    assert scores(vessel, thick, "cldice")["cldice"] > 0.9


def test_cldice_is_its_formula():
    from skimage.morphology import skeletonize

    rng = np.random.default_rng(0)
    from scipy.ndimage import gaussian_filter

    for shape in ((40, 51), (20, 23, 25)):
        truth, pred = (gaussian_filter(rng.normal(size=shape), 2) > 0.05 for _ in range(2))
        precision = (skeletonize(pred).astype(bool) & truth).sum() / skeletonize(pred).astype(bool).sum()
        recall = (skeletonize(truth).astype(bool) & pred).sum() / skeletonize(truth).astype(bool).sum()
        assert scores(truth, pred, "cldice")["cldice"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_equal_missing_spurious_absent():
    some, none = np.zeros((2, 30, 31), bool)
    some[5:20, 5:25] = True
    assert set(scores(some, some, NAMES).values()) == {1}
    assert set(scores(some, none, NAMES).values()) == set(scores(none, some, NAMES).values()) == {0}
    assert all(np.isnan(score) for score in scores(none, none, NAMES).values())
    assert set(scores(none, none, NAMES, absent=1).values()) == {1}


def test_along_a_sweep():
    table = evaluate(lambda image: image > 0.5, phantom((48, 49)), Rotate(), [0, 5], NAMES, progress=False)
    assert set(table.metric) == set(NAMES) and table.score.between(0, 1).all()


@pytest.mark.parametrize("name", ["boundary_iou@0px", "boundary_iou@2mm", "boundary_iou@1.5", "cldice@2"])
def test_bad_names(name):
    with pytest.raises(ValueError, match="metrics must be"):
        scores(np.ones((5, 5)), np.ones((5, 5)), name)


def test_bad_input():
    with pytest.raises(TypeError, match="masks must be a list of LabelMasks"):
        boundary_iou(np.ones((3, 3)))
