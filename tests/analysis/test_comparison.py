"Paired comparison of two models, against scipy, statsmodels and scikit-learn"

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from misas.analysis.armtests import mood_p
from misas.analysis.comparison import (
    _describe,
    _normality,
    _value_key,
    _wilcoxon,
    auroc_of_mask,
    compare,
    keyed_scores,
    pair_scores,
    scores_per_case,
)
from misas.eval.table import COLUMNS


def table(model, scores, value=0, transform="rotation", label="LV", metric="dice"):
    "One score per case, a, b, c ..."
    rows = [(model, chr(97 + i), transform, "deg", value, label, metric, s) for i, s in enumerate(scores)]
    return pd.DataFrame(rows, columns=COLUMNS)


A, B = table("A", [0.9, 0.8, 0.7, np.nan]), table("B", [0.8, 0.8, 0.75, 0.5])
FAR_A, FAR_B = table("A", [np.inf, np.inf, 2, 4], metric="hd95"), table("B", [5, np.inf, 5, 3], metric="hd95")


def study(model, better_at, seed):
    "Scores of 20 cases, two transforms and two labels; better by 0.1 where the transform is `better_at`"
    hard, rng = np.random.default_rng(0), np.random.default_rng(seed)
    parts = []
    for transform, values in (("rotation", [-20, 0, 20]), ("brightness", [0.5, 1, 1.2, 1.4])):
        for label in ("core", "ring"):
            for value in values:
                scores = hard.normal(0.7, 0.08, 20) + rng.normal(0, 0.02, 20) + 0.1 * (transform == better_at)
                parts.append(table(model, scores, value, transform, label))
    return pd.concat(parts, ignore_index=True)


FIRST, SECOND = study("first", "brightness", 1), study("second", "", 2)


@pytest.mark.parametrize("value, key", [(np.int64(30), 30), ("30.0", 30), ("sharp", "sharp"), ((1, 2), "(1, 2)")])
def test_values_are_found_again_after_a_file(value, key):
    assert _value_key(value) == key


def test_differences_with_a_sign_are_compared_by_size():
    assert keyed_scores(table("m", [1, -2, np.inf]), "scores_a").score.tolist() == [1, -2, np.inf]
    assert keyed_scores(table("m", [1, -2], metric="volume_difference"), "scores_a").score.tolist() == [1, 2]


@pytest.mark.parametrize(
    "bad, word",
    [
        (pd.concat([table("m", [1]), table("n", [1])]), "scores_a must be .* one model, got the models m, n"),
        (
            pd.concat([table("m", [1])] * 2),
            "scores_a must have one score for case 'a', transform 'rotation', value 0, .* got several",
        ),
        (table("m", []), "scores_a: scores "),
        (table("m", [1]).drop(columns="label"), "scores_a: scores .*'label'"),
    ],
    ids=["two models", "two scores", "empty", "no label"],
)
def test_tables_that_cannot_be_matched(bad, word):
    with pytest.raises(ValueError, match=word):
        keyed_scores(bad, "scores_a")


def test_pairs_do_not_depend_on_order_or_on_a_file():
    pairs = pair_scores(A, B.iloc[::-1])
    assert np.allclose(pairs.delta, [0.1, 0, -0.05, np.nan], equal_nan=True)
    assert pairs.attrs["models"] == ("A", "B")
    from_file = pd.read_csv(io.StringIO(B.to_csv(index=False)))
    assert np.allclose(pair_scores(A, from_file).delta, pairs.delta, equal_nan=True)


@pytest.mark.parametrize(
    "other, word",
    [
        (B[:2], "scores_b has no case 'c', 'd', which scores_a has"),
        (B.assign(label="RV"), "scores_b has no label 'LV', which scores_a has; scores_a has no label 'RV'"),
        (B.assign(value=[0, 0, 0, 5]), "scores_a has no value 5, which scores_b has"),
        (B.assign(metric="iou"), "no metric 'dice'"),
        (B.assign(transform="zoom"), "no transform 'rotation'"),
    ],
    ids=["cases", "labels", "values", "metrics", "transforms"],
)
def test_error_says_what_one_table_lacks(other, word):
    with pytest.raises(ValueError, match=word):
        pair_scores(A, other)


def test_error_names_a_single_row_that_one_table_lacks():
    row = "scores_b has no case 'd', transform 'rotation', value 5, label 'LV', metric 'dice', which"
    with pytest.raises(ValueError, match=row):
        pair_scores(pd.concat([A, A.assign(value=5)]), pd.concat([B, B[:3].assign(value=5)]))


def test_inner_join_warns_and_keeps_what_both_have():
    with pytest.warns(UserWarning, match="scores_b has no case 'c', 'd', which scores_a has: only what both"):
        assert len(pair_scores(A, B[:2], join="inner")) == 2


def test_unknown_join_and_nothing_in_common_are_errors():
    with pytest.raises(ValueError, match="join must be one of 'strict', 'inner', got 'left'"):
        pair_scores(A, B, join="left")
    with pytest.raises(ValueError, match="no row in common"), pytest.warns(UserWarning):
        pair_scores(A, B.assign(label="RV"), join="inner")


def test_scores_are_averaged_over_values_where_both_models_have_one():
    twice_a = pd.concat([A, A.assign(value=5, score=0.5)])
    twice_b = pd.concat([B, B.assign(value=5, score=[0.3, 0.3, np.nan, 0.3])])
    averaged = scores_per_case(pair_scores(twice_a, twice_b), "mean")
    assert np.allclose(averaged.a, [0.7, 0.65, 0.7, 0.5])
    assert np.allclose(averaged.b, [0.55, 0.55, 0.75, 0.3])
    assert averaged.missing.tolist() == [0, 0, 1, 1]


def test_each_value_keeps_its_rows():
    each = scores_per_case(pair_scores(A, B), "each")
    assert len(each) == 4 and "value" in each


def test_counts_and_moments_by_hand():
    cases = pd.DataFrame(dict(a=[0.95, 0.9, 0.5, 0.7], b=[0.85, 0.9, 0.52, 0.1]))
    d = _describe(cases.assign(delta=(cases.a - cases.b).round(12)), 0.05, 0.9)
    counts = [d[k] for k in ("positive", "zero", "negative", "clearly_a", "clearly_b", "good_a", "good_b")]
    assert counts == [2, 1, 1, 2, 0, 2, 1]
    assert np.isclose(d["grand_median"], (0.7 + 0.85) / 2)
    assert np.isclose(d["mean_a"], 0.7625)
    assert np.isclose(d["sd_a"], np.std(cases.a, ddof=1))
    assert np.isclose(d["delta_median"], 0.05)


def test_normality_is_that_of_scipy():
    skewed = pd.Series(np.random.default_rng(0).exponential(0.2, 40))
    found = _normality(skewed)
    assert (
        np.isclose(found["delta_shapiro_p"], stats.shapiro(skewed).pvalue, rtol=1e-6)
        and found["delta_shapiro_p"] < 0.001
    )
    again = stats.shapiro(stats.yeojohnson(skewed)[0]).pvalue
    assert np.isclose(found["delta_shapiro_p_transformed"], again, rtol=1e-6) and again > 0.05


@pytest.mark.parametrize("delta", [[0.1, 0.2], [0.1] * 5, [0.0] * 5, [0.1, 0.2, 0.4, np.inf]], ids=str)
def test_normality_is_undefined(delta):
    assert np.isnan(list(_normality(pd.Series(delta)).values())).all()


LOW, HIGH = pd.Series([1.0, 2, 3, 4]), pd.Series([5.0, 6, 7, 8])


def test_median_test_by_hand():
    row = compare(table("A", LOW), table("B", HIGH), difference=1).iloc[0]
    assert (row.above_a, row.above_b) == (0, 4)
    assert np.isclose(row.mood_p, stats.chi2.sf(4.5, 1), rtol=1e-9) and row.mood_p == mood_p(LOW, HIGH)


def test_median_test_where_nothing_can_be_told_apart():
    assert mood_p(LOW, LOW) == 1
    row = compare(table("A", [1.0, 1]), table("B", [1.0, 1])).iloc[0]
    assert (row.above_a, row.above_b, row.mood_p) == (0, 0, 1)


def test_ranks_need_no_finite_numbers():
    assert mood_p(LOW, HIGH.replace(8, np.inf)) == mood_p(LOW, HIGH)
    assert np.isclose(_wilcoxon(pd.Series([0.1, np.inf, 0.3, np.inf, 0.5])), 2 / 2**5)


def test_signed_rank_test_by_hand():
    assert np.isclose(_wilcoxon(pd.Series([0.1, 0.2, 0.3, 0.4, 0.5])), 2 / 2**5)
    assert _wilcoxon(pd.Series([0.0, 0, 0])) == 1
    assert _wilcoxon(pd.Series([0.1])) == 1


def test_verdicts_find_the_transform_at_which_models_differ():
    verdict = compare(FIRST, SECOND)
    assert len(verdict) == 2 * 2 and (verdict.cases == 20).all()
    assert verdict[["positive", "zero", "negative"]].sum(axis=1).eq(20).all()
    brightness = verdict["transform"] == "brightness"
    assert (verdict[brightness].wilcoxon_holm < 0.001).all() and (verdict[brightness].delta_median > 0.05).all()
    assert (verdict[~brightness].delta_median.abs() < 0.05).all()


def test_verdicts_are_those_of_scipy():
    verdict = compare(FIRST, SECOND)
    mine = verdict[(verdict["transform"] == "rotation") & (verdict.label == "ring")].iloc[0]

    def means(t):
        return t[(t["transform"] == "rotation") & (t.label == "ring")].groupby("case").score.mean()

    a, b = means(FIRST), means(SECOND)
    assert np.isclose(mine.wilcoxon_p, stats.wilcoxon(a, b).pvalue)
    assert np.isclose(mine.mood_p, stats.median_test(a, b).pvalue)
    assert np.isclose(mine.delta_shapiro_p, stats.shapiro(a - b).pvalue)
    assert np.isclose(mine.delta_mean, (a - b).mean())
    assert np.isclose(mine.delta_sd, (a - b).std())
    assert np.isclose(mine.grand_median, np.median([a, b]))


def test_correction_is_that_of_holm():
    ranked = compare(FIRST, SECOND).sort_values("wilcoxon_p").reset_index()
    by_hand = np.maximum.accumulate(np.minimum(1, ranked.wilcoxon_p * np.arange(4, 0, -1)))
    assert np.allclose(ranked.wilcoxon_holm, by_hand)
    assert np.allclose(ranked.wilcoxon_holm, multipletests(ranked.wilcoxon_p, method="holm")[1])


def test_exchanging_the_models_exchanges_the_signs():
    verdict, other = compare(FIRST, SECOND), compare(SECOND, FIRST)
    assert (other.positive == verdict.negative).all()
    assert np.allclose(other.delta_median, -verdict.delta_median)
    assert np.allclose(other.wilcoxon_p, verdict.wilcoxon_p)
    assert (other.clearly_b == verdict.clearly_a).all()


def test_row_for_each_value_is_what_that_value_gives_alone():
    each = compare(FIRST, SECOND, values="each")
    assert len(each) == (3 + 4) * 2 and (each.wilcoxon_holm >= each.wilcoxon_p).all()
    single = compare(*(t[(t["transform"] == "rotation") & (t.value == 0)] for t in (FIRST, SECOND)))
    here = each[(each["transform"] == "rotation") & (each.value == 0)]
    pd.testing.assert_series_equal(single.wilcoxon_p, here.wilcoxon_p.reset_index(drop=True))


def test_one_case():
    one = compare(table("A", [0.9]), table("B", [0.8])).iloc[0]
    assert (one.cases, one.positive, one.mood_p, one.wilcoxon_p) == (1, 1, 1, 1)
    assert one[["sd_a", "delta_sd", "delta_shapiro_p", "shapiro_p_a"]].isna().all()


def test_equal_scores():
    same = compare(table("A", [0.8, 0.9, 0.7]), table("B", [0.8, 0.9, 0.7])).iloc[0]
    assert (same.zero, same.mood_p, same.wilcoxon_p, same.wilcoxon_holm) == (3, 1, 1, 1)
    assert not same.wilcoxon_significant and np.isnan(same.delta_shapiro_p)
    equal = compare(table("A", [1.0] * 4), table("B", [1.0] * 4)).iloc[0]
    assert (equal.mood_p, equal.wilcoxon_p, equal.good_a, equal.sd_a) == (1, 1, 4, 0)


def test_missing_scores_are_left_out_and_counted():
    holes = compare(A, B).iloc[0]
    assert (holes.cases, holes.missing, holes.positive, holes.zero, holes.negative) == (3, 1, 1, 1, 1)
    empty = compare(A.assign(score=np.nan), B).iloc[0]
    assert (empty.cases, empty.missing, empty.positive) == (0, 4, 0)
    assert np.isnan(empty.wilcoxon_holm) and not empty.wilcoxon_significant


def test_row_without_pairs_does_not_count_in_the_correction():
    nothing = pd.concat([A, A.assign(label="RV", score=np.nan)])
    verdict = compare(nothing, pd.concat([B, B.assign(label="RV")]))
    assert verdict.wilcoxon_holm[0] == verdict.wilcoxon_p[0]


def test_infinite_distances_by_hand():
    distant = compare(FAR_A, FAR_B, difference=2, good=5).iloc[0]
    counts = [distant[k] for k in ("positive", "zero", "negative", "clearly_a", "clearly_b", "missing", "better")]
    assert counts == [2, 1, 1, 1, 1, 0, "lower"]
    assert (distant.good_a, distant.good_b) == (2, 3)
    assert (distant.median_a, distant.mean_a, distant.delta_median) == (np.inf, np.inf, 0.5)
    assert np.isnan(distant.shapiro_p_a)


def test_metrics_of_different_units():
    both = compare(pd.concat([FAR_A, A]), pd.concat([FAR_B, B]), difference=dict(hd95=2))
    assert both.metric.tolist() == ["hd95", "dice"]
    assert both.clearly_a.tolist() == [1, 1]
    assert np.isnan(both.good_a[0]) and both.good_a[1] == 1


def test_signed_differences_are_compared_by_size():
    metric = "volume_difference"
    signed = compare(table("A", [-2, 1], metric=metric), table("B", [1, -1], metric=metric), difference=0.5).iloc[0]
    assert (signed.positive, signed.zero, signed.mean_a) == (1, 1, 1.5)


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(), "difference .*hd95"),
        (dict(difference=dict(hd=1)), "did you mean 'hd95'"),
        (dict(difference=1, good=dict(hd=1)), "good .*'hd'"),
    ],
    ids=["none", "misspelt", "good"],
)
def test_distances_need_a_difference_in_mm(bad, word):
    with pytest.raises(ValueError, match=word):
        compare(FAR_A, FAR_B, **bad)


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(values="max"), "values must be one of 'mean', 'each', got 'max'"),
        (dict(alpha=5), "alpha must be a number >= 0 and <= 1, got 5"),
        (dict(difference=-1), "difference .*-1"),
        (dict(good="high"), "good .*'high'"),
    ],
)
def test_bad_arguments(bad, word):
    with pytest.raises(ValueError, match=word):
        compare(A, B, **bad)


def test_file_name_instead_of_a_table_is_an_error():
    with pytest.raises(TypeError, match="scores_b: scores "):
        compare(A, "b.csv")


def test_auroc_of_a_mask_is_that_of_scikit_learn():
    truth, pred = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0]), np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0])
    assert np.isclose(auroc_of_mask(truth, pred), (3 / 4 + 5 / 6) / 2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, pred = rng.random((2, 5, 6, 7)) > rng.random((2, 1, 1, 1))
        if 0 < truth.sum() < truth.size:
            assert np.isclose(auroc_of_mask(truth, pred), roc_auc_score(truth.ravel(), pred.ravel()))


def test_auroc_of_a_mask_is_undefined_where_the_truth_is_empty_or_full():
    truth, pred = np.random.default_rng(0).random((2, 5, 6, 7)) > 0.5
    assert np.isnan(auroc_of_mask(truth & False, pred)) and np.isnan(auroc_of_mask(truth | True, pred))
    with pytest.raises(ValueError, match="pred must have the shape of the truth"):
        auroc_of_mask(truth, pred[0])


def of_runs(arms, **columns):
    "A score table of {arm: array (runs, images)}"
    parts = []
    for arm, runs in arms.items():
        for run, scores in enumerate(runs, 1):
            parts.append(table(f"{arm} {run}", scores).assign(arm=arm, run=run, **columns))
    return pd.concat(parts, ignore_index=True)


def test_normality_is_that_of_each_model_and_can_differ_from_that_of_the_differences():
    rng = np.random.default_rng(5)
    hard = rng.exponential(0.1, 40)
    a, b = 0.9 - hard + rng.normal(0, 0.02, 40), 0.88 - hard + rng.normal(0, 0.02, 40)
    names = [f"i{k}" for k in range(40)]
    row = compare(table("A", a).assign(case=names), table("B", b).assign(case=names)).iloc[0]
    for arm, scores in (("a", a), ("b", b)):
        assert np.isclose(row[f"shapiro_p_{arm}"], stats.shapiro(scores).pvalue) and row[f"shapiro_p_{arm}"] < 0.05
        again = stats.shapiro(stats.yeojohnson(scores)[0]).pvalue
        assert np.isclose(row[f"shapiro_p_transformed_{arm}"], again)
    assert row.delta_shapiro_p > 0.05  # the opposite verdict
    assert "shapiro_p" not in row


def test_the_test_that_applies():
    rng = np.random.default_rng(0)
    names = [f"i{k}" for k in range(30)]
    a, b = rng.normal(0.8, 0.03, 30), rng.normal(0.76, 0.05, 30)
    row = compare(table("A", a).assign(case=names), table("B", b).assign(case=names)).iloc[0]
    assert row.test == "Welch" and np.isclose(row.p_value, stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert row.significant == (row.p_value < 0.05)


def test_the_dagger_is_of_the_medians_and_not_of_the_differences():
    row = compare(table("A", [0.9, 0.5, 0.6]), table("B", [0.5, 0.52, 0.61])).iloc[0]
    assert np.isclose(row.median_difference, 0.6 - 0.52) and np.isclose(row.delta_median, -0.01)
    assert row.dagger == "a"
    assert compare(table("A", [0.9, 0.5, 0.6]), table("B", [0.5, 0.52, 0.61]), difference=0.08).dagger[0] == ""
    assert compare(FAR_A[2:], FAR_B[2:].assign(score=[9, 8]), difference=1).dagger[0] == "a"  # less is better


GROUPS = dict(zip("abcdefghijkl", ["north"] * 5 + ["south"] * 6 + ["east"]))
HARD = np.array([0.9, 0.92, 0.88, 0.91, 0.9, 0.6, 0.62, 0.58, 0.61, 0.6, 0.59, 0.8])


def grouped(model, shift):
    scores = table(model, HARD + shift)
    return scores.assign(**{"clinical label": scores.case.map(GROUPS)})


def test_groups_are_compared_each_by_itself_worst_first():
    with pytest.warns(UserWarning, match="fewer than 5 images in clinical label east: too few"):
        split = compare(grouped("A", 0.02), grouped("B", 0), by="clinical label")
    assert split["clinical label"].tolist() == ["south", "east", "north"]
    assert split.cases.tolist() == [6, 1, 5]
    south = [case for case, group in GROUPS.items() if group == "south"]
    alone = compare(*(t[t.case.isin(south)] for t in (grouped("A", 0.02), grouped("B", 0))))
    same = ["positive", "median_a", "median_b", "wilcoxon_p", "mood_p", "p_value", "dagger"]
    pd.testing.assert_frame_equal(split[same].iloc[[0]], alone[same])
    assert split.wilcoxon_holm[0] == min(1, 3 * alone.wilcoxon_p[0])


def test_groups_of_one_table_hold_for_both_and_must_agree():
    plain = grouped("B", 0).drop(columns="clinical label")
    with pytest.warns(UserWarning, match="too few"):
        split = compare(plain, grouped("A", 0.02), by=["clinical label"])
    assert split["clinical label"].tolist() == ["south", "east", "north"]
    other = grouped("B", 0).assign(**{"clinical label": "north"})
    with pytest.raises(
        ValueError, match="both tables, got clinical label south in scores_a and north in scores_b for case 'f'"
    ):
        compare(grouped("A", 0), other, by="clinical label")
    with pytest.raises(ValueError, match="'clinical label'.*got 'clinical labl'.*did you mean 'clinical label'"):
        compare(grouped("A", 0), plain, by="clinical labl")
    with pytest.raises(ValueError, match="there are: none.*got 'site'"):
        compare(A, B, by="site")
    with pytest.raises(ValueError, match="column that the result has itself, got 'delta': rename it"):
        compare(A.assign(delta=1), B, by="delta")


def test_groups_by_the_label_of_the_mask():
    both = [pd.concat([t, t.assign(label="RV", score=t.score - 0.3)]) for t in (grouped("A", 0.02), grouped("B", 0))]
    split = compare(*both, by="label")
    assert split.label.tolist() == ["RV", "LV"]
    plain = compare(*both).sort_values("label", ascending=False, ignore_index=True)
    pd.testing.assert_frame_equal(split[plain.columns], plain)


def test_cases_of_no_group_are_a_group():
    lacking = grouped("A", 0.02)
    lacking.loc[lacking.case == "a", "clinical label"] = None
    plain = grouped("B", 0).drop(columns="clinical label")
    with pytest.warns(UserWarning) as said:
        split = compare(lacking, plain, by="clinical label")
    assert "clinical label is not stated for 1 images, such as 'a'" in str(said[0].message)
    assert set(split["clinical label"]) == {"north", "south", "east", "not stated"}


def test_one_table_of_two_models_or_two_arms():
    pd.testing.assert_frame_equal(compare(pd.concat([A, B])), compare(A, B))
    arms = {"x": [[0.9, 0.8, 0.5], [0.7, 0.6, 0.6], [0.8, 0.7, 0.1]], "y": [[0.7, 0.75, 0.4]]}
    medians = table("x", [0.8, 0.7, 0.5]), table("y", arms["y"][0])
    pd.testing.assert_frame_equal(compare(of_runs(arms)), compare(*medians))
    scores = of_runs(arms)
    apart = compare(scores[scores.arm == "x"], scores[scores.arm == "y"])
    assert (apart.model_a[0], apart.model_b[0]) == ("x", "y 1")  # one run is a model by itself
    pd.testing.assert_frame_equal(apart.assign(model_b="y"), compare(*medians))
    with pytest.raises(ValueError, match="two models or two arms without scores_b, got A: pick"):
        compare(A)
    three = pd.concat([A, B, B.assign(model="C")])
    with pytest.raises(ValueError, match=r"got A, B, C: pick with scores\[scores.model.isin"):
        compare(three)
    assert len(compare(three[three.model.isin(["A", "C"])])) == 1


def test_what_is_good_where_less_is_better_is_not_guessed():
    low = compare(table("A", [0.1, 0.2], metric="fpr"), table("B", [0.3, 0.4], metric="fpr")).iloc[0]
    assert "good_a" not in low and low.dagger == "a"
    said = compare(table("A", [0.1, 0.2], metric="fpr"), table("B", [0.3, 0.4], metric="fpr"), good=0.1).iloc[0]
    assert (said.good_a, said.good_b) == (1, 0)
