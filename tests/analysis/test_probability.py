"Probabilities: counts over thresholds, calibration and AUROC, against masks and scikit-learn"

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from misas.analysis.probability import (
    _HALF,
    _band,
    _bins,
    _each_case,
    _rank,
    auroc,
    calibration_error,
    expected_error,
    optimal_thresholds,
    probability_maps,
    probability_table,
    prominence,
    prominence_correlation,
    reliability,
    threshold_counts,
    threshold_scores,
)
from misas.core.cases import Case
from misas.core.model import Model
from misas.data.phantoms import phantom
from misas.metrics.base import measure


class Known(Model):
    "A model whose probabilities are given"

    def __init__(self, maps, name="known"):
        self.maps, self.name = torch.as_tensor(maps)[None], name
        self.calls = 0

    def predict(self, images, template):
        return self.maps.argmax(1)

    def probabilities(self, images, template):
        self.calls += 1
        return self.maps


def one_hot(truth):
    return torch.nn.functional.one_hot(truth.long(), 4).movedim(-1, 0).float()


CASE = phantom((48, 40), seed=1)
NOISE = torch.as_tensor(np.random.default_rng(0).normal(size=(4, 48, 40)), dtype=torch.float32)
LOGITS = NOISE + 1.5 * one_hot(CASE.truth)
MAPS = LOGITS.softmax(0)
GUESS = Known(MAPS)
DEEP = phantom((4, 32, 32), seed=2)
VOLUME = Known(one_hot(DEEP.truth) * 0.6 + 0.1)


def test_maps_are_probabilities():
    ready, maps = probability_maps(GUESS, CASE)
    assert maps.shape == (4, 48, 40) and ready.shape == (48, 40)
    assert torch.allclose(maps.sum(0), torch.ones(48, 40))


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(model=lambda x: x > 0), "gives no probabilities"),
        (dict(model=Known(LOGITS)), "before softmax"),
        (dict(case=CASE.replace(truth=None)), "must have a truth"),
        (dict(model=Known(MAPS * np.nan)), "nan"),
        (dict(model=Known(MAPS[:, 1:])), "of shape"),
    ],
    ids=["masks", "logits", "no truth", "nan", "shape"],
)
def test_what_is_no_probability_is_an_error(bad, word):
    with pytest.raises(ValueError, match=word):
        probability_maps(**(dict(model=GUESS, case=CASE) | bad))


def test_labels_of_each_case_in_order():
    each = _each_case(GUESS, [CASE, CASE], {1: "LV", 3: "RV"}, False)
    walked = [(c.name, part.label, part.name) for c, parts in each for part in parts]
    first, second = (
        [("phantom-1", 1, "LV"), ("phantom-1", 3, "RV")],
        [("phantom-1-2", 1, "LV"), ("phantom-1-2", 3, "RV")],
    )
    assert walked == first + second


@pytest.mark.parametrize("labels", [{4: "?"}, ["a", "b", "c", "d", "e"]], ids=str)
def test_labels_without_a_map_are_an_error(labels):
    with pytest.raises(ValueError, match="labels 0 to 3 only"):
        list(_each_case(GUESS, CASE, labels, False))


def test_counts_over_thresholds_are_those_of_masks():
    rng = np.random.default_rng(0)
    thresholds = [0, 0.1, 0.25, 0.5, 0.9, 1]
    values = [0, 0.1, 0.25, 0.3, 0.5, 0.7, 1]  # many of them on a threshold
    p = torch.as_tensor(rng.choice(values, size=(7, 9, 11)), dtype=torch.float32)
    inside = torch.as_tensor(rng.random(p.shape) < 0.3)
    counted = threshold_counts(p, inside, thresholds)
    for i, t in enumerate(thresholds):
        mask = p > t
        assert counted.tp[i] == (mask & inside).sum() and counted.fp[i] == (mask & ~inside).sum()
        assert counted.fn[i] == (~mask & inside).sum() and counted.tn[i] == (~mask & ~inside).sum()


def test_large_volume_is_counted_in_pieces():
    big = torch.rand((100, 500, 500), generator=torch.Generator().manual_seed(0))
    where = big > 0.8
    counted = threshold_counts(big, where, np.arange(1, 100) / 100)
    assert counted.tp[49] == where.sum() and counted.fn[49] == 0


def test_scores_over_thresholds_are_those_of_masks():
    def spurious(truth, pred):
        return (pred & ~truth).sum() / pred.size

    metrics = ["dice", "recall", spurious]
    scores = threshold_scores(GUESS, CASE, [0.2, 0.5, 0.8], metrics)
    assert list(scores) == ["model", "case", "transform", "param", "value", "label", "metric", "score"]
    assert set(scores["transform"]) == {"threshold"}
    for t in (0.2, 0.5, 0.8):
        for l, name in enumerate(CASE.labels):
            direct = measure((CASE.truth == l).int(), (MAPS[l] > t).int(), [1], metrics)
            found = scores[(scores.value == t) & (scores.label == name)].set_index("metric").score
            assert all(np.isclose(found[m], v[0], rtol=1e-12) for m, v in direct.items())


def test_scores_of_a_volume():
    assert (threshold_scores(VOLUME, [DEEP], [0.05, 0.5, 0.9]).query("value == .5").score == 1).all()


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(thresholds=[]), "thresholds must be at least one number"),
        (dict(thresholds=[1.2]), "a number >= 0 and <= 1"),
        (dict(metrics="dise"), "did you mean 'dice'"),
        (dict(cases=[]), "cases must be at least one case"),
    ],
    ids=str,
)
def test_bad_arguments_of_scores(bad, word):
    with pytest.raises(ValueError, match=word):
        threshold_scores(**(dict(model=GUESS, cases=CASE) | bad))


V = np.arange(0, 101) / 100
TENT = pd.DataFrame(dict(model="m", case="a", transform="threshold", label="LV", metric="dice", value=V))
TENT["score"] = 1 - 2 * np.abs(V - 0.3)


def test_best_threshold_by_hand():
    found = optimal_thresholds(TENT).iloc[0][["threshold", "best", "at_half", "loss_below", "loss_above"]]
    assert np.allclose(found.astype(float), [0.3, 1, 0.6, 0.1, 0.1])


def test_of_a_plateau_the_place_closest_to_a_half_is_best():
    plateau = TENT.assign(score=np.where((V > 0.2) & (V < 0.45), 0.9, 0.1))
    assert optimal_thresholds(plateau).threshold[0] == 0.44


def test_loss_beyond_the_thresholds_is_unknown():
    edge = optimal_thresholds(TENT.assign(score=V)).iloc[0]
    assert edge.threshold == 1 and np.isnan(edge.loss_above) and np.isclose(edge.loss_below, 0.05)


def test_label_without_scores_has_no_best_threshold():
    assert optimal_thresholds(TENT.assign(score=np.nan)).threshold.isna().all()


def test_pooled_threshold_is_that_of_the_mean_curve():
    both = pd.concat([TENT, TENT.assign(case="b", score=1 - 2 * np.abs(V - 0.5))])
    assert optimal_thresholds(both).threshold.tolist() == [0.3, 0.5]
    # the mean of both tents is flat between 0.3 and 0.5
    assert 0.3 <= optimal_thresholds(both, pooled=True).threshold[0] <= 0.5


@pytest.mark.parametrize("bad", [dict(metric="iou"), dict(delta=0)], ids=str)
def test_bad_arguments_of_best_thresholds(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        optimal_thresholds(TENT, **bad)


def test_metric_of_which_less_is_better_has_no_best_threshold():
    with pytest.raises(ValueError, match="metric must be a metric of which more is better, got 'hd95'"):
        optimal_thresholds(TENT.assign(metric="hd95"), metric="hd95")


def test_other_tables_have_no_best_thresholds():
    with pytest.raises(ValueError, match="scores must be a table from threshold_scores.*'metric', 'score'"):
        optimal_thresholds(TENT.drop(columns=["metric", "score"]))
    with pytest.raises(ValueError, match="has the best thresholds already, in its column 'threshold'"):
        optimal_thresholds(probability_table(GUESS, CASE))


SQUARE = np.zeros((40, 50), bool)
SQUARE[10:20, 10:30] = True
CHEQUERED = np.where(SQUARE, 5.0, 1.0) + np.where(np.indices(SQUARE.shape).sum(0) % 2, 1, -1)  # of variance 1


def test_prominence_by_hand():
    stands = prominence(Case(CHEQUERED, SQUARE), 1)
    assert np.isclose(stands["size"], 200 / 2000)
    assert np.isclose(stands["contrast"], 4 / np.sqrt(2))
    assert np.isclose(stands["prominence"], stands["size"] * stands["contrast"])


def test_band_around_a_structure_is_as_wide_in_mm_along_each_axis():
    assert _band(SQUARE, (1, 1)).sum() == 20 * 30 - 200
    assert _band(SQUARE, (8, 1)).sum() == 10 * 30 - 200  # thick slices: within the slice only


def test_background_and_absent_labels_have_no_prominence():
    assert np.isnan(prominence(Case(CHEQUERED, SQUARE), 0)["size"])
    assert np.isnan(prominence(Case(CHEQUERED, SQUARE), 7)["contrast"])
    with pytest.raises(ValueError, match="must have a truth"):
        prominence(Case(CHEQUERED), 1)


def test_calibration_error_by_hand():
    p = torch.tensor([0.0, 0, 0, 0, 0.75, 0.75, 0.75, 0.75])
    eight = _bins(p, torch.tensor([1, 0, 0, 0, 1, 1, 1, 1]).bool(), 10)
    assert np.isclose(expected_error(eight), 0.25, rtol=1e-12)
    assert eight.pixels.tolist() == [4, 0, 0, 0, 0, 0, 0, 4, 0, 0]


def test_bins_hold_both_ends():
    ends = _bins(torch.tensor([0.0, 0.1, 1]), torch.tensor([False, True, True]), 10)
    assert ends.pixels.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]


def half_right():
    p = torch.rand(5000, generator=torch.Generator().manual_seed(1))
    return p, torch.rand(5000, generator=torch.Generator().manual_seed(2)) < p**2


def test_bins_are_those_of_scikit_learn():
    p, inside = half_right()
    ours = _bins(p, inside, 10)
    frequency, confidence = calibration_curve(inside.numpy(), p.numpy(), n_bins=10)
    assert np.allclose(ours.frequency, frequency) and np.allclose(ours.confidence, confidence)


def test_pooling_a_case_with_itself_changes_nothing():
    ours = _bins(*half_right(), 10)
    twice = pd.concat([ours.assign(model="m", case=c, label="x") for c in "ab"])
    assert np.allclose(calibration_error(twice).ece, calibration_error(twice, pooled=True).ece)
    assert np.isclose(calibration_error(twice).ece[0], expected_error(ours))


def test_bad_number_of_bins():
    with pytest.raises(ValueError, match="bins must be an integer >= 1 and <= 100000, got 0"):
        reliability(GUESS, CASE, bins=0)


def test_auroc_by_hand():
    found = auroc(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([False, True, False, True]))
    assert np.isclose(found, 0.75, rtol=1e-12)  # 3 of 4 pairs in order


def test_auroc_is_that_of_scikit_learn():
    theirs = roc_auc_score(CASE.truth.numpy().ravel() == 1, MAPS[1].numpy().ravel())
    assert np.isclose(auroc(MAPS[1], CASE.truth == 1), theirs)


def test_classes_of_probability_keep_the_order():
    small, large = torch.logspace(-30, -0.302, 4000), 1 - torch.logspace(-0.302, -7, 4000)
    ordered = torch.cat([torch.zeros(1), small, large, torch.ones(1)]).sort().values
    assert (_rank(ordered).diff() >= 0).all()
    assert _rank(ordered)[[0, -1]].tolist() == [0, 2 * _HALF]


@pytest.mark.parametrize("sharp", [1, 10])  # also where nearly all are 0 or 1
def test_auroc_of_classes_is_nearly_exact(sharp):
    p = (sharp * torch.randn(200_000, generator=torch.Generator().manual_seed(3))).sigmoid()
    inside = torch.rand(len(p), generator=torch.Generator().manual_seed(4)) < 0.9 * p
    assert abs(auroc(p, inside, exact=0) - auroc(p, inside)) < 1e-6
    assert np.isnan(auroc(p, inside & False)) and np.isnan(auroc(p, inside | True))


def test_table_agrees_with_its_parts_and_runs_the_model_once():
    model = Known(MAPS)
    table = probability_table(model, CASE)
    assert model.calls == 1 and table.label.tolist() == ["bg", "LV", "MY", "RV"]
    alone = optimal_thresholds(threshold_scores(GUESS, CASE))
    assert np.allclose(table[["threshold", "dice", "loss_below"]], alone[["threshold", "best", "loss_below"]])
    assert np.allclose(table.ece, calibration_error(reliability(GUESS, CASE)).ece)


def test_table_of_a_volume():
    assert np.allclose(probability_table(VOLUME, DEEP, progress=False).query("label != 'bg'").auroc, 1)


def test_correlation_with_prominence_is_that_of_scipy():
    made = pd.DataFrame(
        dict(
            model="m",
            case="a",
            label=list("abcde"),
            size=[0.1, 0.2, 0.3, 0.4, 0.5],
            contrast=[1, 1, 1, 1, 1],
            prominence=[0.1, 0.2, 0.3, 0.4, 0.6],
            threshold=[0.2, 0.3, 0.4, 0.5, 0.6],
        )
    )
    r = prominence_correlation(made).set_index("measure").r
    assert np.isclose(r["size"], 1) and np.isnan(r["contrast"])
    assert np.isclose(r["prominence"], pearsonr(made.prominence, made.threshold)[0])
    with pytest.raises(ValueError, match="at least 3"):
        prominence_correlation(made[:2])
