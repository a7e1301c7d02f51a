"Algorithm 1 of Ghosal and Shah: every branch, against values counted by hand and scikit-learn's"

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from misas.analysis.selection import CANDIDATES, arm_mask, best_mask, best_masks
from misas.core.cases import Case


def mask(*places, n=20):
    "A mask of one row, 1 at these places"
    row = np.zeros((1, n), int)
    row[0, list(places)] = 1
    return row


TRUTH = mask(*range(10))


def chosen(truth, a, b, **options):
    best = best_mask(truth, a, b, **options)
    if best.name is not None:
        assert torch.equal(best.mask, best.masks[best.name])
        assert best.candidates.candidate[best.candidates.chosen].tolist() == [best.name]
    return best


def test_the_candidates_have_the_scores_of_scikit_learn():
    a, b = mask(0, 1, 2, 12), mask(2, 3, 15, 16)
    best = chosen(TRUTH, a, b)
    found = dict(zip(CANDIDATES, (a, b, a | b, a & b)))
    assert list(best.candidates.candidate) == list(CANDIDATES)
    for row in best.candidates.itertuples():
        pred = found[row.candidate][0]
        assert best.masks[row.candidate].tolist() == [pred.tolist()]
        assert np.isclose(row.dice, f1_score(TRUTH[0], pred))
        assert np.isclose(row.auroc, roc_auc_score(TRUTH[0], pred))
        assert np.isclose(row.fpr, pred[10:].sum() / 10)


def test_all_good_highest_auroc_decides_even_against_dice():
    # A lacks one of 10 and has none too many, B lacks none and has 2 too many, of 90 outside
    truth, a = mask(*range(10), n=100), mask(*range(9), n=100)
    b = mask(*range(12), n=100)
    best = chosen(truth, a, b)
    dice = best.candidates.set_index("candidate").dice
    assert np.isclose(dice["A"], 18 / 19) and np.isclose(dice["B"], 20 / 22) and dice["A"] > dice["B"]
    auroc = best.candidates.set_index("candidate").auroc
    assert np.isclose(auroc["A"], 0.95) and np.isclose(auroc["B"], (1 + 88 / 90) / 2)
    assert best.name == "B" and "AUROC" in best.branch  # A∪B is the same as B, and less simple


def test_a_smallest_dice_of_exactly_the_limit_is_good():
    # 9 of 10, one too many: Dice 0.9, AUROC (0.9 + 0.99) / 2; B: Dice 20 / 22 and AUROC (1 + 0.98) / 2
    truth = mask(*range(10), n=110)
    a, b = mask(*range(9), 50, n=110), mask(*range(9), 50, n=110)
    assert "AUROC" in chosen(truth, a, b).branch
    assert "below" in chosen(truth, a, b, good=0.91).branch


@pytest.mark.parametrize(
    "a, b, name, dice",
    [
        (mask(0, 1, 2), mask(3, 4, 5), "A∪B", 12 / 16),
        (mask(0, 1, 2, 12, 13, 14), mask(0, 1, 2, 15, 16, 17), "A∩B", 6 / 13),
        (mask(0, 1, 2, 3), mask(0), "A", 8 / 14),
        (mask(0), mask(0, 1, 2, 3), "B", 8 / 14),
    ],
)
def test_none_good_highest_dice(a, b, name, dice):
    best = chosen(TRUTH, a, b)
    assert best.name == name and "below 0.9" in best.branch
    assert np.isclose(best.candidates.dice.max(), dice)


def test_the_open_case_takes_the_highest_dice():
    best = chosen(TRUTH, mask(*range(5)), mask(*range(5, 10)))
    assert best.name == "A∪B" and "some candidates reach" in best.branch
    assert best.candidates.dice.min() == 0 and best.candidates.dice.max() == 1


def test_no_positives_in_the_truth_lowest_fpr_before_anything_else():
    empty = np.zeros((1, 20), int)
    best = chosen(empty, mask(1, 2), mask(2, 3))
    assert best.name == "A∩B" and "undefined" in best.branch and "FPR" in best.branch
    assert best.candidates.dice.isna().all() and best.candidates.auroc.isna().all()
    assert best.candidates.fpr.tolist() == [0.1, 0.1, 0.15, 0.05]
    assert chosen(empty, empty, mask(1)).name == "A"  # A∩B is empty, too: the simpler one


@pytest.mark.parametrize("pair", [(mask(0, 1), mask(0, 1)), (mask(0, 1), mask(2, 3)), (TRUTH, TRUTH)])
def test_ties_go_to_the_simplest(pair):
    best = chosen(TRUTH, *pair)
    table = best.candidates.set_index("candidate")
    top = table.dice.max()
    assert best.name == next(name for name in CANDIDATES if table.dice[name] == top)


def test_a_truth_that_fills_the_image_has_no_auroc():
    full = np.ones((1, 20), int)
    best = chosen(full, mask(*range(19)), full)
    assert best.name == "B" and "undefined" in best.branch


def test_without_truth_a_human_must_look():
    best = best_mask(None, mask(0, 1), mask(1, 2))
    assert best.name is None and best.mask is None and set(best.masks) == set(CANDIDATES)
    assert "human" in best.branch
    for words in ("somebody who could draw it", "2 of 3 pixels", "false positives", "A∩B", "false negatives", "A∪B"):
        assert words in best.review
    assert "are the same" in best_mask(None, TRUTH, TRUTH).review


def test_labels_are_compared_one_by_one():
    truth, a, b = TRUTH * 2, TRUTH * 2, mask(0, 1) * 2
    assert chosen(truth, a, b).label == 2 and chosen(truth, a, b).mask.max() == 2
    several = truth.copy()
    several[0, 15] = 1
    with pytest.raises(ValueError, match="label must be one of 1, 2"):
        best_mask(several, a, b)
    assert chosen(several, a, b, label=2).name == "A"
    assert "undefined" in chosen(several, a, b, label=3).branch


def test_pixels_that_are_ignored_count_nowhere():
    truth = TRUTH.copy()
    truth[0, 10:] = 255
    best = chosen(truth, mask(*range(10), 12, 13), TRUTH, ignore=255)
    assert best.candidates.dice.tolist() == [1, 1, 1, 1] and best.name == "A"


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ((TRUTH, TRUTH, mask(0, n=21)), ValueError, "shape of b must be that of truth"),
        ((None, TRUTH, mask(0, n=21)), ValueError, "shape of b must be that of a"),
        ((TRUTH * 0.5, TRUTH, TRUTH), ValueError, "truth must have labels"),
        ((TRUTH, "mask", TRUTH), TypeError, "a must have labels"),
        ((TRUTH, TRUTH, TRUTH, "LV"), (TypeError, ValueError), "label must be"),
        ((TRUTH, TRUTH, TRUTH, 1, 1.2), ValueError, "good must be"),
        ((TRUTH, TRUTH, TRUTH, 0), ValueError, "label must be"),
    ],
)
def test_bad_input(arguments, error, words):
    with pytest.raises(error, match=words):
        best_mask(*arguments)


def test_the_final_mask_of_an_arm():
    runs = [np.array([[1, 1, 2, 0]]), np.array([[1, 2, 2, 0]]), np.array([[1, 1, 0, 3]])]
    assert arm_mask(runs).tolist() == [[1, 0, 0, 0]]
    assert arm_mask(runs, "mean").tolist() == [[1, 1, 2, 0]]
    assert arm_mask(runs[:2], "mean").tolist() == [[1, 1, 2, 0]]  # the lower label where two tie
    maps = [np.array([[0.9, 0.4, 0.2]]), np.array([[0.8, 0.8, 0.3]])]
    assert arm_mask(maps, "mean").tolist() == [[1, 1, 0]]
    assert arm_mask(maps).tolist() == [[1, 0, 0]]
    with pytest.raises(ValueError, match="at least one"):
        arm_mask([])
    with pytest.raises(ValueError, match=r"shape of masks\[1\]"):
        arm_mask([TRUTH, mask(0, n=3)])
    with pytest.raises(ValueError, match="method must be one of"):
        arm_mask([TRUTH], "vote")
    with pytest.raises(ValueError, match=r"masks\[0\] must be labels, or probabilities"):
        arm_mask([np.array([[0.5, 1.5]])])


class Counting:
    "A model that finds what is above its threshold, and counts how often it is asked"

    def __init__(self, low):
        self.low, self.asked = low, 0

    def predict(self, image):
        self.asked += 1
        return (np.asarray(image) > self.low) * 1


IMAGE = np.linspace(0, 1, 20, dtype=np.float32)[None]


def test_many_cases_ask_each_model_once():
    cases = [
        Case(IMAGE, (IMAGE > 0.5) * 1, "half", columns=dict(site="A")),
        Case(IMAGE, np.zeros((1, 20), int), "empty"),
        Case(IMAGE, None, "unknown"),
    ]
    a, b = Counting(0.5), Counting(0.3)
    table = best_masks(cases, a, b, labels={1: "LV"}, progress=False)
    assert (a.asked, b.asked) == (3, 3)
    assert list(table.case) == ["half", "empty", "unknown"]
    assert table.chosen.tolist()[:2] == ["A", "A"] and table.chosen.isna().tolist() == [False, False, True]
    assert table.dice.tolist()[0] == 1 and np.isnan(table.dice[1])
    assert "somebody" in table.review[2] and (table.review[:2] == "").all()
    assert table.site[0] == "A" and table.site.isna()[1:].all()


def test_arms_of_several_runs():
    case = Case(IMAGE, (IMAGE > 0.5) * 1, "half")
    arm = [Counting(0.5), Counting(0.2), Counting(0.3)]
    row = best_masks(case, arm, Counting(0.9), progress=False).iloc[0]
    assert row.chosen == "A" and row["dice_A"] == 1
    row = best_masks(case, arm, Counting(0.9), method="mean", progress=False).iloc[0]
    assert np.isclose(row["dice_A"], 20 / 24)
    with pytest.raises(ValueError, match="columns must not have the name 'chosen'"):
        best_masks(case.replace(columns=dict(chosen=1)), arm, arm, progress=False)
