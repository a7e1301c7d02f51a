"Pixels that are not annotated count in no metric, no table and no picture"

import numpy as np
import pytest
import torch

import misas as ms
from misas.metrics.base import METRICS, measure

NAMES = sorted(METRICS.keys() - {"volume_difference"}) + ["nsd@2mm"]


def masks():
    "A truth with a square that is not annotated, a prediction, and one that is wrong in that square only"
    rows, columns = np.ogrid[:40, :40]
    truth = ((rows - 18) ** 2 + (columns - 18) ** 2 < 120).astype(np.int32)
    truth[30:36, 4:10] = 2
    pred = np.roll(truth, 2, 1)
    truth[14:24, 22:34] = 255
    wrong = pred.copy()
    wrong[14:24, 22:34] = 2 - pred[14:24, 22:34]
    wrong[16:20, 24:28] = 3
    return truth, pred, wrong


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("ignore", [255, -1, 2**31 + 5])
def test_a_wrong_prediction_where_nothing_is_annotated_changes_no_score(metric, ignore):
    truth, pred, wrong = masks()
    truth = np.where(truth == 255, ignore, truth.astype(np.int64))
    options = dict(spacing=(1, 2), metrics=metric, ignore=ignore)
    right, other = (measure(truth, mask, [1, 2], **options)[metric] for mask in (pred, wrong))
    np.testing.assert_array_equal(right, other)


def test_the_same_holds_for_volumes():
    truth, pred, wrong = (np.stack([mask] * 3) for mask in masks())
    options = dict(spacing=(2, 1, 1), metrics=["dice", "hd95", "volume_difference", "nsd@1mm"], ignore=255)
    right, other = (measure(truth, mask, [1, 2], **options) for mask in (pred, wrong))
    for name in right:
        np.testing.assert_array_equal(right[name], other[name])


def models():
    _, pred, wrong = masks()
    return [ms.as_model(lambda image, mask=mask: mask, name="m") for mask in (pred, wrong)]


@pytest.fixture
def case():
    truth, _, _ = masks()
    image = np.where(truth == 255, 0, truth) * 50.0
    return ms.Case(image, truth, "square", (1, 1), ignore=255)


def test_tables_of_sweeps_and_what_is_made_of_them(case):
    a, b = (
        ms.evaluate(m, [case], "brightness", [1, 1.2], ["dice", "hd95", "cldice"], progress=False) for m in models()
    )
    assert a.equals(b) and 3 not in b.label.tolist()


def test_confusion(case):
    a, b = (ms.get_series(m, case, "brightness", [1, 1.2], progress=False) for m in models())
    assert (ms.get_confusion(a, 4) == ms.get_confusion(b, 4)).all()
    assert ms.get_confusion(a, 4)[0].sum() == (case.truth != 255).sum()


def test_best_masks_and_losses_of_a_vote(case):
    _, pred, wrong = masks()
    found = [
        ms.best_mask(case.truth, torch.from_numpy(mask), torch.from_numpy(pred), 1, ignore=255)
        for mask in (pred, wrong)
    ]
    assert found[0].candidates.equals(found[1].candidates)


class Fixed(ms.Model):
    "Gives the same probabilities for each image"

    def __init__(self, maps):
        self.maps = maps

    def predict(self, images, template):
        return self.maps.argmax(0)[None].expand(len(images), *self.maps.shape[1:])

    def probabilities(self, images, template):
        return self.maps[None].expand(len(images), *self.maps.shape)


def test_probabilities(case):
    torch.manual_seed(0)
    maps = torch.rand(3, 40, 40).softmax(0)
    other = maps.clone()
    other[:, 14:24, 22:34] = maps[:, 14:24, 22:34].flip(0)
    a, b = Fixed(maps), Fixed(other)
    for table in (ms.reliability, ms.threshold_scores, ms.probability_table):
        found = [table(m, [case], progress=False) for m in (a, b)]
        np.testing.assert_array_equal(*(f.select_dtypes("number").to_numpy() for f in found))


@pytest.mark.parametrize("pred", ["fill", "contour", "errors"])
def test_pictures_hatch_what_is_not_annotated(case, pred):
    series = ms.get_series(models()[0], case, "brightness", [1], progress=False)
    style = dict(colours="paper") if pred == "errors" else dict(colours=["red", "blue", "green"])
    view = ms.series_view(series, pred=pred, window=(0, 255), **style)
    picture = view(series[0], scale=4)
    unknown = np.kron(case.truth.numpy() == 255, np.ones((4, 4), bool))
    grey = (picture == 128).all(-1)
    assert 0.2 < grey[unknown].mean() < 0.5 and not grey[~unknown].any()


def test_errors_are_none_where_nothing_is_annotated(case):
    right, wrong = (ms.get_series(m, case, "brightness", [1], progress=False) for m in models())
    view = ms.series_view(right, pred="errors")
    assert (view(right[0], scale=4) == view(wrong[0], scale=4)).all()


@pytest.mark.parametrize("inside", [False, True])
def test_nnunets_own_ignore_label_is_read_and_said(tmp_path, inside):
    import json

    from PIL import Image

    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    truth, pred, _ = masks()
    truth = np.where(truth == 255, 3, truth).astype(np.uint8)
    Image.fromarray(truth * 50).save(tmp_path / "imagesTr" / "a_0000.png")
    Image.fromarray(truth).save(tmp_path / "labelsTr" / "a.png")
    labels = {"background": 0, "one": 1, "two": 2, "ignore": 3}
    (tmp_path / "dataset.json").write_text(json.dumps(dict(labels=labels)))
    with pytest.warns(UserWarning, match="dataset.json' calls label 3 of the truths ignore"):
        if inside:
            cases = ms.find_cases(tmp_path / "imagesTr", masks=tmp_path / "labelsTr")
        else:
            cases = ms.find_cases(tmp_path)
    assert [case.ignore for case in cases] == [3]
    table = ms.evaluate(lambda image: pred, cases, progress=False)
    assert sorted(table.label) == ["0", "1", "2"]
