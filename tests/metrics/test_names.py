"Names of metrics that people type, against scikit-learn; truths without the label"

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from misas.core.sweeps import get_series
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate, score
from misas.metrics.base import METRICS, as_metrics, measure
from misas.metrics.overlap import with_empty_truth

RNG = np.random.default_rng(0)
TRUTH, PRED = RNG.integers(0, 2, (2, 40, 41)).astype(np.int32)
FLAT = TRUTH.ravel(), PRED.ravel()
INVERSE = 1 - FLAT[0], 1 - FLAT[1]

EXPECTED = {
    ("dice", "f1", "f1_score", "dsc", "dice_score"): sk.f1_score(*FLAT),
    ("iou", "jaccard", "jaccard_index"): sk.jaccard_score(*FLAT),
    ("recall", "sensitivity", "tpr", "true_positive_rate"): sk.recall_score(*FLAT),
    ("specificity", "tnr", "true_negative_rate"): sk.recall_score(*INVERSE),
    ("precision", "ppv", "positive_predictive_value"): sk.precision_score(*FLAT),
    ("npv", "negative_predictive_value"): sk.precision_score(*INVERSE),
    ("fpr", "false_positive_rate"): 1 - sk.recall_score(*INVERSE),
    ("fnr", "false_negative_rate"): 1 - sk.recall_score(*FLAT),
    ("accuracy",): sk.accuracy_score(*FLAT),
    ("auroc", "balanced_accuracy"): sk.roc_auc_score(*FLAT),
}


@pytest.mark.parametrize("names", EXPECTED)
def test_as_scikit_learn(names):
    found = measure(torch.tensor(TRUTH), torch.tensor(PRED), [1], list(names), spacing=(1, 1))
    assert list(found) == list(names)
    for name in names:
        assert found[name].item() == pytest.approx(EXPECTED[names])
        assert METRICS[name].better == ("lower" if names[0] in ("fpr", "fnr") else "higher")


def test_they_go_through_a_sweep_under_the_name_that_was_typed():
    table = evaluate(
        lambda image: image > 0.4, phantom((32, 32)), "rotation", [0, 10], ["sensitivity", "fpr"], progress=False
    )
    assert table.metric.unique().tolist() == ["sensitivity", "fpr"]
    assert table.attrs["metrics"]["fpr"]["better"] == "lower"


def test_an_empty_truth():
    truth, pred = torch.zeros(9, 9, dtype=torch.int32), torch.zeros(9, 9, dtype=torch.int32)
    pred[2:4, 2:4] = 1
    names = ["dice", "f1", "iou", "recall", "sensitivity", "precision", "specificity", "fpr", "auroc", "fnr"]

    def scores(value):
        found = measure(truth, pred, [1], with_empty_truth(as_metrics(names), value), spacing=(1, 1))
        return {name: score.item() for name, score in found.items()}

    plain = scores(None)
    assert [plain[name] for name in names[:6]] == [0] * 6
    assert plain["fpr"] == pytest.approx(4 / 81) and np.isnan(plain["auroc"]) and np.isnan(plain["fnr"])
    undefined = scores(float("nan"))
    assert np.isnan(measure(truth, pred, [1], ["f1"], spacing=(1, 1), empty_truth=float("nan"))["f1"]).all()
    assert measure(truth, pred, [1], ["jaccard"], spacing=(1, 1), empty_truth=0)["jaccard"] == 0
    assert all(np.isnan(undefined[name]) for name in names[:5])
    assert all(undefined[name] == plain[name] for name in ("precision", "specificity", "fpr"))
    assert scores(1)["dice"] == 1
    nowhere = measure(truth, truth, [1], with_empty_truth(as_metrics("dice"), 0), absent=1, spacing=(1, 1))
    assert nowhere["dice"] == 1  # in neither mask: that is another argument


def test_empty_truth_of_evaluate_and_score(tmp_path):
    case = phantom((32, 32)).replace(truth=torch.zeros(32, 32, dtype=torch.int32))

    def model(image):
        return image > 0.4

    options = dict(labels={1: "LV"}, progress=False)
    assert evaluate(model, case, "rotation", [0], store=tmp_path, **options).score[0] == 0
    undefined = evaluate(model, case, "rotation", [0], store=tmp_path, empty_truth=float("nan"), **options)
    assert undefined.score.isna().all()  # the store tells the conventions apart
    assert evaluate(model, case, "rotation", [0], store=tmp_path, **options).score[0] == 0
    series = get_series(model, case, "rotation", [0], progress=False)
    assert score(series, labels={1: "LV"}, empty_truth=float("nan")).score.isna().all()
    with pytest.raises((ValueError, TypeError), match="empty_truth must be"):
        evaluate(model, case, "rotation", [0], empty_truth=2, **options)
