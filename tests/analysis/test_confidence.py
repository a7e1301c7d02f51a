"Confidence without truth, and what it is worth: closed forms, brute force, held-out rates, bad input"

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta, spearmanr
from sklearn.metrics import f1_score, roc_auc_score

from misas.analysis.confidence import agreement, confidence_table, soft_dice_confidence
from misas.analysis.consensus import get_answers
from misas.analysis.referral import (
    augrc,
    aurc,
    confidence_quality,
    referral_rates,
    referral_threshold,
    risk_coverage,
)
from misas.data.phantoms import phantom
from misas.metrics.fusion import majority
from misas.models.demo import demo_model
from misas.models.ensemble import Ensemble
from misas.transforms.basic import Rotate

OPTIONS = dict(labels={1: "LV"}, progress=False)


@pytest.mark.parametrize("shape", [(9, 11), (5, 7, 9)])
def test_soft_dice_is_its_formula(shape):
    maps = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)).softmax(0)
    mask = maps.argmax(0).int()
    found = soft_dice_confidence(maps, mask, [1, 2])
    for label in (1, 2):
        p, y = maps[label].numpy().astype(float), (mask == label).numpy()
        assert found[label] == pytest.approx(2 * (p * y).sum() / (p.sum() + y.sum()), abs=1e-9)
    hard = torch.stack([(mask == k).float() for k in range(3)])
    assert soft_dice_confidence(hard, mask, [1, 2]) == {1: 1, 2: 1}
    nothing = torch.zeros(2, *shape), torch.zeros(shape, dtype=torch.int32)
    assert np.isnan(soft_dice_confidence(*nothing, [1])[1])


def test_soft_dice_of_calibrated_probabilities_is_the_mean_dice():
    rng = np.random.default_rng(0)
    p = torch.tensor(rng.beta(0.3, 0.3, (60, 60)))
    mask = (p > 0.5).int()
    confidence = soft_dice_confidence(torch.stack([1 - p, p]), mask, [1])[1]
    dice = [f1_score((rng.random(p.shape) < p.numpy()).ravel(), mask.numpy().ravel()) for _ in range(50)]
    assert confidence == pytest.approx(np.mean(dice), abs=0.003)


def test_agreement_is_mean_dice_with_the_majority():
    rng = np.random.default_rng(1)
    masks = [torch.tensor(rng.integers(0, 3, (12, 13)), dtype=torch.int32) for _ in range(4)]
    most = majority(masks)
    for label in (1, 2):
        expected = np.mean([f1_score((most == label).flatten(), (m == label).flatten()) for m in masks])
        assert agreement(masks, [label])[label] == pytest.approx(expected)
    with pytest.raises(ValueError, match="masks must be two masks or more"):
        agreement(masks[:1], [1])


def test_table_of_each_method():
    cases = [phantom((48, 49), seed=seed) for seed in range(2)]
    net = demo_model()
    for method in ("probabilities", "agreement"):
        table = confidence_table(
            net, cases, ["noise", Rotate()], {"noise": [0, 0.2], "rotation": [10]}, method, **OPTIONS
        )
        assert len(table) == 2 * 3 and table.confidence.between(0, 1).all() and table.score.between(0, 1).all()
        assert table["transform"].tolist() == ["noise", "noise", "rotation"] * 2
    answers = get_answers(net, cases[0].replace(truth=None), Rotate(), [-6, -3, 3, 6])
    assert len(answers) == 5
    own = confidence_table(net, cases[0], method="agreement", **OPTIONS)
    assert own.confidence[0] == pytest.approx(agreement(list(answers.values()), [1])[1])

    def low(image):
        return image > 0.3

    def high(image):
        return image > 0.5

    together = confidence_table(Ensemble([low, high, high]), cases, method="ensemble", **OPTIONS)
    listed = confidence_table([low, high, high], cases, method="ensemble", **OPTIONS)
    assert together.confidence.tolist() == listed.confidence.tolist()
    masks = [torch.tensor(f(cases[0].image[0].numpy()).astype(np.int32)) for f in (low, high, high)]
    assert together.confidence[0] == pytest.approx(agreement(masks, [1])[1])


def test_without_truth_and_in_3d():
    volume = phantom((6, 32, 32), seed=1).replace(truth=None)
    table = confidence_table(lambda image: image > 0.4, volume, method="agreement", progress=False)
    assert table.score.isna().all() and table.confidence.between(0, 1).all()
    with pytest.raises(ValueError, match="at least one row with confidence and score"):
        confidence_quality(table)


def test_risk_by_brute_force():
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.2])
    risk = np.array([0.1, 0.0, 0.4, 0.8, 0.3])
    selective, generalised = [], []
    for order in permutations([1, 2, 3]):  # equal confidence: in any order
        total = np.cumsum(risk[[0, *order, 4]])
        selective.append(np.mean(total / np.arange(1, 6)))
        steps = np.concatenate([[0], total]) / 5
        generalised.append(np.sum((steps[1:] + steps[:-1]) / 2) / 5)
    assert aurc(confidence, risk) == pytest.approx(np.mean(selective))
    assert augrc(confidence, risk) == pytest.approx(np.mean(generalised))
    curve = risk_coverage(confidence, risk)
    assert curve.coverage.tolist() == [0.2, 0.4, 0.6, 0.8, 1] and curve.risk.iloc[-1] == pytest.approx(risk.mean())


@pytest.mark.parametrize("seed", range(3))
def test_augrc_of_failures_has_a_closed_form(seed):
    rng = np.random.default_rng(seed)
    confidence, failed = rng.random(80).round(1), rng.random(80) < 0.3
    good = 1 - failed.mean()
    expected = (1 - roc_auc_score(~failed, confidence)) * good * (1 - good) + (1 - good) ** 2 / 2
    assert augrc(confidence, failed) == pytest.approx(expected)


def made(n, noise, seed=0):
    "A table of known quality"
    rng = np.random.default_rng(seed)
    score = np.clip(rng.normal(0.85, 0.1, n), 0, 1)
    confidence = score + rng.normal(0, noise, n)
    columns = dict(model="net", case=[f"c{i}" for i in range(n)], transform="unchanged", value=None, label="LV")
    return pd.DataFrame(columns | dict(confidence=confidence, score=score))


def test_quality():
    perfect = confidence_quality(made(50, 0)).iloc[0]
    assert perfect.aurc == pytest.approx(perfect.aurc_best) and perfect.correlation == pytest.approx(1)
    table = made(80, 0.1)
    row = confidence_quality(table).iloc[0]
    assert row.correlation == pytest.approx(spearmanr(table.confidence, table.score)[0])
    assert row.aurc_best < row.aurc < row.aurc_random
    same = confidence_quality(made(80, 0.1).assign(score=0.9)).iloc[0]
    assert np.isnan(same.correlation) and same.aurc == pytest.approx(0.1)


def test_along_sweeps():
    rows = []
    for case, signs in (("a", 1), ("b", 1), ("c", -1)):
        for value, score in zip([0, 1, 2], [0.9, 0.7, 0.5]):
            rows.append(("net", case, "noise", value, "LV", 0.5 + signs * score / 10, score))
    rows += [("net", "d", "noise", value, "LV", 0.5, 0.9) for value in (0, 1)]  # nothing moves
    columns = ["model", "case", "transform", "value", "label", "confidence", "score"]
    row = confidence_quality(pd.DataFrame(rows, columns=columns)).iloc[0]
    assert row.along_sweeps == pytest.approx(1 / 3) and row.follows == pytest.approx(2 / 3)


def test_threshold_and_rates():
    table = pd.concat([made(400, 0.05, seed=1)])
    threshold = referral_threshold(table, least=0.8, caught=0.9)
    failed = table.score < 0.8
    assert (table[failed].confidence <= threshold).mean() >= 0.9
    below = table[failed].confidence.sort_values()
    assert (below < threshold).mean() < 0.9  # the lowest such threshold
    other = made(300, 0.05, seed=2)
    rates = referral_rates(other, threshold, least=0.8)
    bad, sent = other.score < 0.8, other.confidence <= threshold
    assert rates.rate["sent"] == pytest.approx(sent.mean())
    assert rates.rate["caught"] == pytest.approx((sent & bad).sum() / bad.sum())
    assert rates.rate["missed"] == pytest.approx((~sent & bad).sum() / (~sent).sum())
    assert rates.rate["needless"] == pytest.approx((sent & ~bad).sum() / sent.sum())
    k, n = rates.k["caught"], rates.n["caught"]
    assert rates.low["caught"] == pytest.approx(beta.ppf(0.025, k, n - k + 1))
    assert rates.high["caught"] == pytest.approx(beta.ppf(0.975, k + 1, n - k))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: risk_coverage([1, 2], [1]), "length of risk must be"),
        (lambda: risk_coverage([], []), "confidence must be a list of one or more"),
        (lambda: aurc([1, np.nan], [0, 1]), "confidence must be finite"),
        (lambda: confidence_quality(pd.DataFrame()), "table must be the table that confidence_table makes"),
        (lambda: referral_threshold(made(10, 0).assign(score=1.0)), "table must have failures"),
        (lambda: referral_threshold(made(30, 0), caught=0), "caught must be"),
        (lambda: confidence_table(lambda x: x > 0, phantom((32, 32)), **OPTIONS), "gives no probabilities"),
        (lambda: confidence_table(demo_model(), phantom((32, 32)), method="ensemble", **OPTIONS), "model must be"),
        (lambda: confidence_table([demo_model()] * 2, phantom((32, 32)), **OPTIONS), "model must be one model"),
        (lambda: confidence_table(demo_model(), phantom((32, 32)), method="mcdropout"), "method must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_few_failures_are_said():
    table = made(30, 0).assign(score=[0.5, *[0.9] * 29])
    with pytest.warns(UserWarning, match="rests on 1 failure, which is few"):
        referral_threshold(table)
