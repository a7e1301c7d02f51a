"Guarantees: p values of other libraries, least numbers of patients, coverage, patients, words, bad input"

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from misas.analysis.guarantees import _ordered_range, binomial_p, guarantee, hoeffding_bentkus_p


def table(losses, values, transform="rotation", label="LV", metric="dice", clean=0.9):
    "A score table of losses `(cases, values)`; the neutral value is 0"
    losses = np.asarray(losses, float)
    at = list(values).index(0)
    scores = clean - losses
    scores[:, at] = clean
    rows = [
        ("net", f"case {i}", transform, "deg", value, label, metric, scores[i, j])
        for i in range(len(losses))
        for j, value in enumerate(values)
    ]
    columns = ["model", "case", "transform", "param", "value", "label", "metric", "score"]
    return pd.DataFrame(rows, columns=columns)


def test_p_values_are_those_of_scipy():
    for n in (1, 7, 36, 100):
        for k in {0, 1, n // 3, n} & set(range(n + 1)):
            assert binomial_p(k, n, 0.1) == pytest.approx(binomtest(k, n, 0.1, "less").pvalue, rel=1e-12)


def test_p_values_of_means_are_those_of_mapie():
    methods = pytest.importorskip("mapie.risk_control.methods")
    means = np.linspace(0, 1, 41)
    for n in (5, 40, 300):
        reference = methods.compute_hoeffding_bentkus_p_value(means, n, 0.15)
        assert np.allclose(hoeffding_bentkus_p(means, n, 0.15), np.minimum(reference[:, 0], 1), rtol=1e-9)


@pytest.mark.parametrize("share, one, two", [(0.1, 29, 36), (0.2, 14, 17), (0.05, 59, 72)])
def test_least_number_of_patients(share, one, two):
    for values, needed in (([0, 5, 10], one), ([-5, 0, 5], two)):
        enough = guarantee(table(np.zeros((needed, 3)), values), share=share).iloc[0]
        assert enough.holds and enough.needed == needed and enough.lacking == 0
        assert (enough.low, enough.high) == (min(values), max(values))
        few = guarantee(table(np.zeros((needed - 1, 3)), values), share=share).iloc[0]
        assert not few.holds and few.lacking == 1 and few.low == few.high == 0
        assert f"{needed} without a failure are needed, 1 more" in few.sentence


def test_the_walk_ends_at_the_first_failure():
    losses = np.zeros((60, 7))
    losses[:30, 1] = 0.2  # at -20; what is beyond does not count
    losses[:2, 5] = 0.2  # at 20: two failures of 60, p = 0.053
    row = guarantee(table(losses, [-30, -20, -10, 0, 10, 20, 30])).iloc[0]
    assert binomial_p(2, 60, 0.1) > 0.025
    assert (row.low, row.high) == (-10, 10) and not row.low_cut and not row.high_cut
    row = guarantee(table(losses, [-30, -20, -10, 0, 10, 20, 30]), share=0.2).iloc[0]
    assert (row.low, row.high, row.failures) == (-10, 30, 2) and row.high_cut
    assert row.p == pytest.approx(binomtest(2, 60, 0.2, "less").pvalue)
    assert (
        "at most 20 % of such patients lose more than 0.05 dice of LV anywhere tested between −10° and 30°"
        in row.sentence
    )


def test_a_loss_of_just_delta_is_tolerated():
    row = guarantee(table(np.full((40, 2), 0.05), [0, 10])).iloc[0]
    assert row.high == 10
    assert guarantee(table(np.full((40, 2), 0.051), [0, 10])).high[0] == 0


def test_patients_count_once_and_fail_with_one_of_their_images():
    losses = np.zeros((80, 3))
    losses[0, 2] = losses[1, 2] = losses[2, 2] = 1
    scores = table(losses, [-5, 0, 5])
    scores["patient"] = [int(name.split()[1]) // 2 for name in scores.case]
    row = guarantee(scores).iloc[0]
    assert row.patients == 40
    each = guarantee(scores.drop(columns="patient")).iloc[0]
    assert each.patients == 80
    assert guarantee(scores.rename(columns={"patient": "who"}), patient="who").patients[0] == 40
    two = guarantee(scores, share=0.3).iloc[0]  # patients 0 (both images) and 1 (one of them)
    assert two.high == 5 and two.failures == 2


def test_a_lost_score_is_a_failure_and_a_case_without_one_says_nothing():
    losses = np.zeros((40, 2))
    losses[:20, 1] = np.nan
    row = guarantee(table(losses, [0, 5])).iloc[0]
    assert not row.holds and row.patients == 40 and "too many lose it" in row.sentence
    scores = table(np.zeros((40, 2)), [0, 5])
    scores.loc[scores.case == "case 3", "score"] = np.nan
    row = guarantee(scores).iloc[0]
    assert row.patients == 39 and row.unjudged == 1 and row.holds
    scores["score"] = np.nan
    row = guarantee(scores).iloc[0]
    assert row.patients == 0 and "no case has a score" in row.sentence


def test_distances_rise():
    scores = table(-np.ones((40, 2)) * 3, [0, 5], metric="hd95", clean=2)
    row = guarantee(scores, delta=2).iloc[0]
    assert not row.holds
    row = guarantee(scores, delta=3).iloc[0]
    assert row.holds and "rise by more than 3 mm hd95" in row.sentence


def test_several_statements_are_corrected():
    scores = pd.concat([table(np.zeros((40, 3)), [-5, 0, 5], label=label) for label in ("LV", "MY", "RV")])
    found = guarantee(scores)
    assert not found.holds.any() and set(found.correction) == {"bonferroni (3 statements)"}
    assert found.level.tolist() == pytest.approx([0.05 / 3 / 2] * 3)
    assert found.needed.unique().tolist() == [int(np.ceil(np.log(0.05 / 6) / np.log(0.9)))]
    alone = guarantee(scores, correction=None)
    assert alone.holds.all() and set(alone.correction) == {"none"}


def test_names_share_the_level():
    losses = np.zeros((60, 4))
    losses[:30, 2] = 0.3
    scores = table(losses, [1, 2, 3, 0], transform="dihedral")
    scores["param"] = "k"
    row = guarantee(scores).iloc[0]
    assert np.isnan(row.low) and row.accepted.count(",") == 2 and "3" not in row.accepted.split(", ")
    assert row.level == pytest.approx(0.05 / 3)


def test_mean_loss():
    rng = np.random.default_rng(0)
    losses = rng.uniform(0, 0.02, (400, 3))
    row = guarantee(table(losses, [-5, 0, 5]), delta=0.05, risk="mean").iloc[0]
    assert (row.low, row.high) == (-5, 5) and "lose at most 0.05 dice of LV in the mean" in row.sentence
    assert not guarantee(table(losses[:20], [-5, 0, 5]), delta=0.05, risk="mean").holds[0]


@pytest.mark.parametrize("truth", ["limit", "beyond", "steps"])
def test_coverage(truth):
    "In 10,000 studies with known shares of failures, a range that is too wide is found in at most 5 %"
    studies, n, share = 10_000, 60, 0.1
    values = np.arange(-4, 5) * 5.0
    rng = np.random.default_rng(1)
    shares = dict(
        limit=np.full(9, share + 1e-9),
        beyond=np.where(abs(values) > 10, share + 0.001, 0.02),
        steps=np.array([0.3, 0.02, 0.101, 0.03, 0, 0.03, 0.08, 0.101, 0.01]),  # not monotone
    )[truth]
    threshold = rng.uniform(size=(studies, n, 1))
    depend = threshold < shares  # the same patients fail at all values: as dependent as can be
    free = rng.uniform(size=(studies, n, 9)) < shares
    for failed in (depend, free):
        failures = failed.sum(1)
        failures[:, 4] = 0
        p = binomial_p(failures, n, share)
        bad = 0
        for own in p:
            held = _ordered_range(values, 4, own, 0.05)["held"]
            bad += any(shares[i] > share for i in held if i != 4)
        assert bad / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(share=0), "share must be"),
        (dict(share=1), "share must be"),
        (dict(confidence=1), "confidence must be"),
        (dict(delta=-1), "delta must be"),
        (dict(patient="patiant"), "patient must be"),
        (dict(correction="holm"), "correction must be"),
        (dict(risk="worst"), "risk must be"),
    ],
)
def test_bad_input(arguments, message):
    scores = table(np.zeros((3, 2)), [0, 5]).assign(patient=1)
    with pytest.raises((ValueError, TypeError), match=message):
        guarantee(scores, **arguments)


def test_other_bad_tables():
    scores = table(np.zeros((3, 2)), [0, 5])
    with pytest.raises(ValueError, match="a row at the neutral value 0"):
        guarantee(scores[scores.value != 0])
    with pytest.raises(ValueError, match="one patient for each case"):
        guarantee(scores.assign(patient=range(6)))
    with pytest.raises(ValueError, match="a transform with a neutral value"):
        guarantee(scores.assign(transform="spike-position", param="position"))
    with pytest.raises(ValueError, match="risk must be 'share' for 'hd95'"):
        guarantee(table(np.zeros((3, 2)), [0, 5], metric="hd95"), delta=0.5, risk="mean")


def test_patients_with_nothing_to_lose_are_said():
    scores = table(np.zeros((40, 3)), [-5, 0, 5])
    scores.loc[scores.case.isin(["case 1", "case 2"]), "score"] = 0.01
    row = guarantee(scores).iloc[0]
    assert row.nothing_to_lose == 2 and row.holds
    assert row.sentence.endswith("(40 patients, of which 2 have nothing to lose: at most 0.05 unchanged)")
    assert guarantee(table(np.zeros((40, 3)), [-5, 0, 5], metric="hd95", clean=0), delta=1).nothing_to_lose[0] == 0
