"Test of interaction: scipy, all orders of small groups, level, patients, bad input"

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal, rankdata

from misas.analysis.grouptest import interaction, kruskal_h, permuted_p
from misas.analysis.guarantees import guarantee
from misas.analysis.summary import summarise, verdicts


def table(losses, groups, label="LV"):
    "Losses `(cases,)` at 10°, of cases in groups"
    rows = [
        ("net", f"c{i}", "rotation", "deg", value, label, "dice", 0.9 - (loss if value else 0), group)
        for i, (loss, group) in enumerate(zip(losses, groups))
        for value in (0, 10)
    ]
    columns = ["model", "case", "transform", "param", "value", "label", "metric", "score", "scanner"]
    return pd.DataFrame(rows, columns=columns)


def test_statistic_is_that_of_scipy():
    rng = np.random.default_rng(0)
    for sizes in ((5, 9), (4, 8, 11)):
        parts = [rng.random(n) for n in sizes]
        group = np.repeat(range(len(sizes)), sizes)
        found = kruskal_h(rankdata(np.concatenate(parts)), group)
        assert found == pytest.approx(kruskal(*parts).statistic)


def test_p_is_that_of_all_orders():
    losses, group = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 0.3]), np.array([0, 0, 0, 1, 1, 1])
    ranks = rankdata(losses)
    own = kruskal_h(ranks, group)
    exact = np.mean([kruskal_h(np.array(order), group) >= own - 1e-9 for order in permutations(ranks)])
    assert permuted_p(losses, group, 20_000, 0) == pytest.approx(exact, abs=0.01)


def test_large_groups_have_the_p_of_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 80), rng.normal(0.35, 1, 80)
    found = permuted_p(np.concatenate([a, b]), np.repeat([0, 1], 80), 9999, 0)
    assert found == pytest.approx(kruskal(a, b).pvalue, abs=0.01)


def test_the_level_is_kept():
    rng = np.random.default_rng(2)
    group = np.repeat([0, 1, 2], [3, 7, 10])
    p = np.array([permuted_p(rng.exponential(size=20), group, 199, seed) for seed in range(600)])
    assert (p <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def test_equal_losses_and_single_groups():
    assert permuted_p(np.zeros(10), np.repeat([0, 1], 5), 99, 0) == 1
    assert np.isnan(permuted_p(np.zeros(5), np.zeros(5, int), 99, 0))
    assert interaction(table(np.zeros(10), "AB" * 5), "scanner").p[0] == 1


def test_the_worst_group_and_holms_correction():
    losses = np.concatenate([np.arange(15) / 1000, 0.1 + np.arange(15) / 1000])
    both = pd.concat(
        [table(losses, "A" * 15 + "B" * 15), table(np.arange(30) % 5 / 100, "A" * 15 + "B" * 15, label="MY")]
    )
    found = interaction(both, "scanner").set_index("label")
    assert found.worst["LV"] == "scanner B" and found.median_loss["LV"] == pytest.approx(0.107)
    assert found.p["LV"] < 0.001 < found.p["MY"] and found.p_holm["LV"] == pytest.approx(2 * found.p["LV"])
    assert (found.patients == 30).all() and (found.groups == 2).all()


def test_patients_count_once():
    scores = table(np.repeat(np.arange(10) / 100, 2), np.repeat(list("AAAAABBBBB"), 2))
    scores["patient"] = [int(case[1:]) // 2 for case in scores.case]
    assert interaction(scores, "scanner").patients[0] == 10
    split = scores.assign(patient=[int(case[1:]) % 10 for case in scores.case])
    with pytest.raises(ValueError, match="by must put all images of a patient into one group"):
        interaction(split, "scanner")
    with pytest.warns(UserWarning, match="a patient is in several groups"):
        assert guarantee(split, by="scanner").interaction_p.isna().all()


def test_guarantees_of_groups():
    scores = table([0] * 60 + [0.2] * 10, ["A"] * 60 + ["B"] * 10)
    found = guarantee(scores, by="scanner")
    assert found.scanner.tolist() == ["B", "A"] and found.patients.tolist() == [10, 60]  # the worst first
    assert set(found.correction) == {"bonferroni (2 statements)"}
    assert found.level.tolist() == pytest.approx([0.025] * 2)
    assert not found.holds[0] and found.holds[1] and found.most_failures.tolist() == [10, 0]
    assert found.sentence[0].startswith("scanner B: net, rotation: nothing is guaranteed")
    assert "36 without a failure are needed, 26 more" in found.sentence[0]  # too small a group is said to be so
    assert (found.interaction_p < 0.001).all()
    one = guarantee(scores[scores.scanner == "A"], by="scanner")
    assert one.interaction_p.isna().all() and one.correction[0] == "none"


def test_summaries_of_groups_have_guarantees_and_the_test():
    scores = table([0] * 60 + [0.2] * 10, ["A"] * 60 + ["B"] * 10)
    found = summarise(scores, by="scanner", resamples=20)
    assert found.scanner.tolist() == ["B", "A"] and (found.interaction_p < 0.001).all()
    assert found.guaranteed.tolist() == [False, True] and found.guaranteed_high.tolist() == [0, 10]
    words = verdicts(found)
    assert words[0].endswith("no guarantee (10 patients, 36 are needed)")
    assert words[1].endswith("guaranteed for 90 % of such patients: 0° to 10° (60 patients, 95 % confidence)")


def test_bad_input():
    scores = table(np.zeros(6), "AAABBB")
    with pytest.raises(ValueError, match="by must be"):
        interaction(scores, "scaner")
    with pytest.raises(ValueError, match="at least two groups"):
        interaction(scores.assign(scanner="A"), "scanner")
    with pytest.raises(ValueError, match="resamples must be"):
        interaction(scores, "scanner", resamples=3)
    with pytest.raises(ValueError, match="patient must be"):
        interaction(scores, "scanner", patient="who")
