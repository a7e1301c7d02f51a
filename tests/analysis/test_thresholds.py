"Best thresholds of validation cases, what it costs to miss them, and prominence in training cases"

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import f1_score
from torch import nn

from misas.analysis.probability import (
    optimal_thresholds,
    probability_table,
    prominence,
    prominence_correlation,
    threshold_scores,
)
from misas.analysis.thresholds import best_thresholds, prominence_table, threshold_losses
from misas.core.cases import Case
from misas.core.model import Model, as_model
from misas.core.thresholds import Thresholds
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate

GRID = [k / 20 for k in range(1, 20)]


class Noisy(nn.Module):
    "Logits of K labels: what the image says in its channels, which hold them"

    def forward(self, x):
        return x


def drawn(seed, k=3, shift=0.0):
    "A case whose image holds logits, and a truth that they tell with errors"
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, (24, 20))
    image = rng.normal(size=(k, 24, 20)) + 1.5 * (np.arange(k)[:, None, None] == truth)
    image[1:] += shift
    return Case(torch.as_tensor(image, dtype=torch.float32), truth, f"case {seed}")


VALIDATION = [drawn(s, shift=-0.7) for s in range(4)]
TEST = [drawn(s, shift=-0.7) for s in range(10, 14)]
NET = as_model(Noisy(), name="net", output="logits")


def best_by_hand(cases, label, maps=lambda case: case.image.softmax(0)):
    "The threshold with the highest mean F1 over cases, of those with the same score the one nearest to .5"
    means = [
        np.mean([f1_score(case.truth.flatten() == label, maps(case)[label].flatten() > t) for case in cases])
        for t in np.float32(GRID)
    ]
    ties = np.array(GRID)[np.isclose(means, max(means), rtol=0, atol=1e-12)]
    return ties[np.abs(ties - 0.5).argmin()]


def test_softmax_against_sklearn():
    found = best_thresholds(NET, VALIDATION, thresholds=GRID, progress=False)
    assert found == {label: best_by_hand(VALIDATION, label) for label in (1, 2)}
    assert found.cases == tuple(case.name for case in VALIDATION)
    before = evaluate(NET, TEST, progress=False, labels={1: "a", 2: "b"}).score.mean()
    after = evaluate(as_model(NET, threshold=found), TEST, progress=False, labels={1: "a", 2: "b"}).score.mean()
    assert after > before + 0.02


def test_the_mask_of_one_label_is_scored_as_was_found():
    "With one channel no other label is in the way: the score on the same cases is the one at the best threshold"
    cases = [
        c.replace(image=c.image[1:2], truth=(c.truth == 1).int(), name=f"{i}")
        for i, c in enumerate(drawn(s, 2, -1) for s in range(3))
    ]
    net = as_model(Noisy(), output="logits")
    found = best_thresholds(net, cases, progress=False)
    best = optimal_thresholds(threshold_scores(net, cases, labels={1: "x"}, progress=False), pooled=True)
    assert found[1] == best.threshold.item()
    with pytest.warns(UserWarning, match="thresholds were found on case '0', '1', '2'"):
        scores = evaluate(as_model(net, threshold=found), cases, labels={1: "x"}, progress=False)
    assert np.isclose(scores.score.mean(), best.best.item())


def test_one_threshold_for_all_labels():
    found = best_thresholds(NET, VALIDATION, thresholds=GRID, per_label=False, progress=False)
    means = []
    for t in np.float32(GRID):
        of_labels = [
            np.mean([f1_score(c.truth.flatten() == l, c.image.softmax(0)[l].flatten() > t) for c in VALIDATION])
            for l in (1, 2)
        ]
        means.append(np.mean(of_labels))
    assert found == dict.fromkeys([1, 2], GRID[int(np.argmax(means))])


def overlapping(seed):
    "Two structures of their own, the second inside the first and covering it"
    rng = np.random.default_rng(seed)
    whole = np.zeros((30, 30), bool)
    whole[5:25, 5:25] = True
    core = np.zeros_like(whole)
    core[10:18, 10:18] = True
    image = np.stack([np.where(whole, 1.2, -2.5), np.where(core, 0.5, -2.5)]) + rng.normal(size=(2, 30, 30))
    return Case(torch.as_tensor(image, dtype=torch.float32), whole.astype(int) + core, f"case {seed}")


def test_structures_that_overlap():
    "The first one's own probability counts, where the second one does not cover it"
    cases = [overlapping(s) for s in range(3)]
    net = as_model(Noisy(), output="multilabel", name="net")
    found = best_thresholds(net, cases, thresholds=GRID, progress=False)

    def f1(label, t):
        known = [c.truth <= label for c in cases]
        own = [c.image[label - 1].sigmoid() > t for c in cases]
        return np.mean([f1_score(c.truth[k] == label, o[k]) for c, k, o in zip(cases, known, own)])

    for label in (1, 2):
        means = [f1(label, t) for t in np.float32(GRID)]
        assert np.isclose(means[GRID.index(found[label])], max(means))
    half = evaluate(net, cases, labels={1: "whole", 2: "core"}, progress=False).score.mean()
    with pytest.warns(UserWarning, match="found on"):
        better = evaluate(as_model(net, threshold=found), cases, labels={1: "whole", 2: "core"}, progress=False)
    assert better.score.mean() > half


def test_a_label_that_never_scores_gets_half_and_that_is_said():
    cases = [c.replace(truth=torch.where(c.truth == 2, 0, c.truth)) for c in VALIDATION]
    with pytest.warns(UserWarning, match="model 'net': label '2' scores 0 at every threshold.*0.5 is taken"):
        found = best_thresholds(NET, cases, thresholds=GRID, progress=False)
    assert found[2] == 0.5


def test_cases_of_validation_among_those_of_test():
    found = best_thresholds(NET, VALIDATION, thresholds=GRID, progress=False)
    chosen = as_model(NET, threshold=found, name="chosen")
    with pytest.warns(UserWarning, match="model 'chosen'.*found on case 'case 0', which is among.*too good"):
        evaluate([NET, chosen], [VALIDATION[0], *TEST], progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate([NET, chosen], TEST, progress=False)
        evaluate(as_model(NET, threshold=dict(found)), VALIDATION, progress=False)


@pytest.mark.parametrize("thresholds", [[0, 0.5], [0.5, 1], []], ids=str)
def test_thresholds_to_try(thresholds):
    with pytest.raises(ValueError, match="thresholds must be"):
        best_thresholds(NET, VALIDATION, thresholds=thresholds, progress=False)


def test_bad_input():
    with pytest.raises(ValueError, match="at least one case"):
        best_thresholds(NET, [], progress=False)
    with pytest.raises(ValueError, match="gives no probabilities"):
        best_thresholds(lambda image: image[0] > 0, VALIDATION, progress=False)
    with pytest.raises(ValueError, match="more is better"):
        best_thresholds(NET, VALIDATION, metric="hd95", thresholds=[0.5], progress=False)


LOSSES = pd.DataFrame(
    dict(
        model="m",
        label=["LV", "LV", "LV", "RV", "RV"],
        site=["a", "b", "a", "a", "b"],
        threshold=[0.4, 0.6, 0.5, 0.2, np.nan],
        loss_below=[0.1, 0.3, np.nan, 0.5, np.nan],
        loss_above=[0.2, 0.6, 0.1, np.nan, np.nan],
    )
)


def test_median_loss_by_hand():
    table = threshold_losses(LOSSES)
    assert table.label.tolist() == ["RV", "LV"]  # the largest loss first
    lv = table[table.label == "LV"].iloc[0]
    assert lv.cases == 3 and np.isclose(lv.threshold, 0.5)
    assert np.allclose([lv.loss, lv.loss_below, lv.loss_above], [0.2, 0.2, 0.2])
    assert table.loss[0] == 0.5 and np.isnan(table.loss_above[0]) and table.cases[0] == 1
    whole = threshold_losses(LOSSES, by="model")
    assert np.isclose(whole.loss.item(), np.median([0.1, 0.3, 0.5, 0.2, 0.6, 0.1]))
    sites = threshold_losses(LOSSES, by=["site", "label"])
    assert list(sites.columns[:2]) == ["site", "label"] and len(sites) == 3


def test_median_loss_of_a_known_curve():
    "A tent with slope 2 around its top loses .1 of 1, a steeper one .2"
    value = np.arange(0, 101) / 100
    tents = [
        pd.DataFrame(
            dict(model="m", case=c, transform="threshold", label="LV", metric="dice", value=value)
            | dict(score=1 - slope * np.abs(value - top), scanner=scanner)
        )
        for c, slope, top, scanner in (("a", 2, 0.3, "x"), ("b", 4, 0.5, "y"), ("c", 4, 0.7, "y"))
    ]
    best = optimal_thresholds(pd.concat(tents))
    assert np.isclose(threshold_losses(best).loss.item(), 0.2)
    by = threshold_losses(best, by="scanner")  # columns of the cases stay
    assert by.scanner.tolist() == ["y", "x"] and np.allclose(by.loss, [0.2, 0.1])


def test_losses_bad_input():
    with pytest.raises(ValueError, match="by must be one or more of the columns"):
        threshold_losses(LOSSES, by="scanner")
    with pytest.raises(ValueError, match="by must be"):
        threshold_losses(LOSSES, by=[])
    with pytest.raises(ValueError, match="table must be the table that probability_table makes"):
        threshold_losses(LOSSES.drop(columns="loss_below"))
    with pytest.raises(ValueError, match="thresholds lie too far apart"):
        threshold_losses(LOSSES.assign(loss_below=np.nan, loss_above=np.nan))


HEARTS = [phantom((48, 48), seed=s) for s in (1, 2, 3)]


def test_prominence_of_training_cases():
    table = prominence_table(HEARTS, progress=False)
    assert len(table) == 9 and set(table.label) == {"LV", "MY", "RV"}
    row = table[(table.case == "phantom-2") & (table.label == "MY")].iloc[0]
    assert dict(row[["size", "contrast", "prominence"]]) == prominence(HEARTS[1], 2)
    assert set(prominence_table(HEARTS, {1: "ventricle"}, progress=False).label) == {"ventricle"}
    with pytest.raises(ValueError, match="case 'phantom-1' must have a truth"):
        prominence_table(HEARTS[0].replace(truth=None))
    with pytest.raises(ValueError, match="other than the background"):
        prominence_table(HEARTS[0].replace(truth=torch.zeros(48, 48, dtype=torch.int32)))


def of_structures(n):
    labels = [f"s{k}" for k in range(n)]
    rng = np.random.default_rng(0)
    training = pd.DataFrame(
        dict(case=["a"] * n + ["b"] * n, label=labels * 2)
        | {m: rng.random(2 * n) for m in ("size", "contrast", "prominence")}
    )
    best = pd.DataFrame(dict(model="m", case="t", label=labels, threshold=rng.random(n)))
    return training, best


@pytest.mark.parametrize("n", [4, 12])
def test_correlation_with_training_masks(n):
    training, best = of_structures(n)
    table = prominence_correlation(best, training).set_index("measure")
    for measure in ("size", "contrast", "prominence"):
        mean = training.groupby("label", sort=False)[measure].mean()
        test = pearsonr(mean[best.label], best.threshold)
        row = table.loc[measure]
        assert np.allclose([row.r, row.p_value], [test.statistic, test.pvalue]) and row.structures == n
        assert np.allclose([row.low, row.high], test.confidence_interval(0.95))
        assert ("few" in row.verdict) == (n < 10)
    # prominence of the training cases, not of the test cases
    again = prominence_correlation(best.assign(size=1.0, contrast=1.0, prominence=1.0), training)
    assert np.allclose(again.r, table.r)


def test_other_labels_in_training():
    training, best = of_structures(4)
    with pytest.raises(ValueError, match="training must have the labels of table, s0, s1, s2, s3, got xs0"):
        prominence_correlation(best, training.assign(label="x" + training.label))
    with pytest.raises(ValueError, match="at least 3 structures"):
        prominence_correlation(best, training[training.label.isin(["s0", "s1"])])


class Soft(Model):
    "Probabilities that are given"

    name = "soft"

    def probabilities(self, images, template):
        return torch.stack([1 - images[:, 0], images[:, 0]], 1)

    def predict(self, images, template):
        return images[:, 0] > 0.5


def test_models_of_any_kind():
    rng = np.random.default_rng(1)
    truth = rng.random((20, 20)) < 0.4
    image = np.clip(0.2 * truth + 0.3 * rng.random((20, 20)), 0, 1)
    case = Case(torch.as_tensor(image, dtype=torch.float32), truth, "x")
    found = best_thresholds(Soft(), case, progress=False)
    assert isinstance(found, Thresholds)
    scores = evaluate(as_model(Soft(), threshold=dict(found)), case, labels={1: "x"}, progress=False)
    table = probability_table(Soft(), case, labels={1: "x"}, progress=False)
    assert np.isclose(scores.score.item(), table.dice.item()) and table.threshold.item() == found[1]


def test_columns_of_cases_go_along():
    cases = [case.replace(columns=dict(scanner=s)) for case, s in zip(VALIDATION, "aabb")]
    curves = threshold_scores(NET, cases, GRID, labels={1: "x"}, progress=False)
    best = optimal_thresholds(curves)
    whole = probability_table(NET, cases, GRID, labels={1: "x"}, progress=False)
    for table in (curves, best, whole, prominence_table(HEARTS[0].replace(columns=dict(scanner="a")))):
        assert "scanner" in table
    assert best.scanner.tolist() == whole.scanner.tolist() == list("aabb")
    assert "scanner" not in optimal_thresholds(curves, pooled=True)
    for table in (best, whole):
        assert set(threshold_losses(table, by=["scanner", "label"]).scanner) == {"a", "b"}
    with pytest.raises(ValueError, match="columns of case 'case 0' must have other names .*'auroc': rename it"):
        probability_table(NET, VALIDATION[0].replace(columns=dict(auroc=1)), GRID, progress=False)


def test_tables_that_are_not_of_thresholds():
    scores = evaluate(NET, TEST[0], "brightness", [1, 2], labels={1: "a"}, progress=False)
    with pytest.raises(
        ValueError, match="scores must be a table from threshold_scores, got one of other transforms: brig"
    ):
        optimal_thresholds(scores)


def test_thresholds_are_a_dict_with_names_of_cases():
    with pytest.raises(TypeError, match="thresholds must be a dict"):
        Thresholds(0.3)
    with pytest.raises(TypeError, match="cases must be a list of names"):
        Thresholds({1: 0.3}, "case 0")
