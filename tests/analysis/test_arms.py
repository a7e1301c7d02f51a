"Arms of several runs: medians, tests, tables; scipy and numbers found by hand; bad input"

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from misas.analysis.arms import describe_arms, replicate_medians, with_arms
from misas.analysis.armtests import chosen_test, compare_arms, shapiro_of
from misas.analysis.papertables import arm_table, difference_table, table_text
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate

COLUMNS = ["model", "case", "transform", "param", "value", "label", "metric", "score"]


def made(arms, metric="dice", **columns):
    "A score table from {arm: array (runs, images)}; `columns`: {name: entry of each image}"
    rows = [
        (f"{arm} {run}", f"i{image}", "unchanged", "value", 0, "LV", metric, score, arm, run)
        + tuple(entries[image] for entries in columns.values())
        for arm, scores in arms.items()
        for run, of_run in enumerate(np.asarray(scores, float), 1)
        for image, score in enumerate(of_run)
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "arm", "run", *columns])


A = [[0.9, 0.8, 0.95, 0.4], [0.7, 0.85, 0.97, 0.5], [0.8, 0.6, 0.99, 0.3]]  # medians .8 .8 .97 .4
B = [[0.9, 0.8, 0.9, 0.6], [0.9, 0.8, 0.9, 0.6], [0.9, 0.8, 0.9, 0.6]]


def test_medians_over_runs_by_hand():
    medians = replicate_medians(made({"a": A, "b": B}))
    assert medians[medians.arm == "a"].score.tolist() == [0.8, 0.8, 0.97, 0.4]
    assert medians.runs.eq(3).all() and medians.scored.eq(3).all()


def test_an_arm_by_hand():
    row = describe_arms(made({"a": A})).iloc[0]
    of_images = [0.8, 0.8, 0.97, 0.4]
    assert (row.grand_median, row.mean_of_medians) == (0.8, pytest.approx(np.mean(of_images)))
    assert row.sd == pytest.approx(np.std(of_images, ddof=1))
    assert (row.good, row.good_share, row.images, row.runs) == (1, 0.25, 4, 3)
    low = describe_arms(made({"a": A}, "fpr"), good=0.8).iloc[0]
    assert low.good == 3  # less is better


def test_differences_by_hand():
    row = compare_arms(made({"a": A, "b": B})).iloc[0]
    assert (row.positive, row.zero, row.negative) == (25, 25, 50)  # .97 > .9; .8 = .8; the other two
    assert (row.median_a, row.median_b) == (0.8, pytest.approx(0.85))
    assert row.delta_median == pytest.approx(-0.05)  # of -.1, 0, .07, -.2: not the difference of the medians
    assert row.better == ""  # .05 is not more than .05
    assert compare_arms(made({"a": A, "b": B}), margin=0.04).better[0] == "b"
    assert compare_arms(made({"a": A, "b": B}), relative=True).better[0] == "b"  # .05 > .05 of .85
    assert compare_arms(made({"a": A, "b": B}), arms=("b", "a")).positive[0] == 50
    far = compare_arms(made({"a": A, "b": B}, "hd95"), margin={"hd95": 0.01}).iloc[0]
    assert far.better == "a"  # a distance


def test_the_test_that_applies():
    rng = np.random.default_rng(3)
    normal, other = rng.normal(0.7, 0.05, 40), rng.normal(0.75, 0.08, 40)
    found = chosen_test(normal, other)
    assert found["test"] == "Welch"
    assert found["p_value"] == stats.ttest_ind(normal, other, equal_var=False).pvalue
    assert found["shapiro_p_a"] == stats.shapiro(normal).pvalue
    skewed = np.exp(rng.normal(0, 1, 60))
    wide = np.exp(rng.normal(0.3, 1, 60))
    found = chosen_test(skewed, wide)
    assert found["test"] == "Welch, Yeo–Johnson" and found["shapiro_p_a"] < 0.05 < found["shapiro_p_transformed_a"]
    power = stats.yeojohnson_normmax(np.concatenate([skewed, wide]))
    both = stats.yeojohnson(skewed, power), stats.yeojohnson(wide, power)
    assert found["p_value"] == stats.ttest_ind(*both, equal_var=False).pvalue
    lumps = rng.integers(0, 2, 40) / 2 + 0.001 * rng.random(40)
    found = chosen_test(lumps, normal)
    assert found["test"] == "Mood" and found["p_value"] == stats.median_test(lumps, normal).pvalue
    assert found["mood_p"] == found["p_value"]


def test_shapiro_of_what_does_not_vary():
    for scores in ([0.5, 0.5, 0.5], [0.1, 0.2], [0.1, np.inf, 0.2]):
        assert all(np.isnan(number) for number in shapiro_of(scores).values())
    assert chosen_test(np.full(5, 0.8), np.full(5, 0.8))["p_value"] == 1


def test_one_run_is_an_arm():
    scores = made({"a": A[:1], "b": B[:1]})
    assert describe_arms(scores).runs.tolist() == [1, 1]
    plain = scores.drop(columns=["arm", "run"])
    assert describe_arms(plain).grand_median.tolist() == describe_arms(scores).grand_median.tolist()
    assert "| 1 |" in arm_table(scores, format="markdown")


def test_arms_that_are_stated():
    plain = made({"a": A, "b": B}).drop(columns=["arm", "run"])
    stated = with_arms(plain, {"x": ["a 1", "a 2", "a 3"], "y": ["b 1", "b 2", "b 3"]})
    assert list(stated)[8:10] == ["arm", "run"]
    assert describe_arms(stated).grand_median.tolist() == describe_arms(made({"a": A, "b": B})).grand_median.tolist()
    with pytest.raises(ValueError, match="arms must name every model of scores, got none for 'b 1', 'b 2', 'b 3'"):
        with_arms(plain, {"x": ["a 1", "a 2", "a 3"]})
    with pytest.raises(ValueError, match="got 'a 4'.*did you mean 'a"):
        with_arms(plain, {"x": ["a 4"]})
    with pytest.raises(ValueError, match="each model once, got 'a 1' twice"):
        with_arms(plain, {"x": ["a 1"], "y": "a 1"})


def test_arms_with_different_images():
    scores = made({"a": A, "b": B})
    fewer = scores[~((scores.arm == "b") & (scores.case == "i0"))]
    with pytest.raises(ValueError, match="arm 'b' has no scores of 'i0', which others have .join='inner'"):
        describe_arms(fewer)
    with pytest.warns(UserWarning, match="only the 3 images that all arms have"):
        assert describe_arms(fewer, join="inner").images.tolist() == [3, 3]
    apart = scores.assign(case=scores.case.where(scores.arm == "a", "other " + scores.case))
    with pytest.raises(ValueError, match="no image is common to all arms"):
        compare_arms(apart, join="inner")


def test_runs_without_a_score():
    scores = made({"a": A, "b": B})
    scores.loc[(scores.model == "a 1") & (scores.case == "i0"), "score"] = np.nan
    with pytest.warns(UserWarning, match="1 medians rest on some of the runs only, .* 'i0' by 2 of 3 runs of 'a'"):
        medians = replicate_medians(scores)
    assert medians[(medians.arm == "a") & (medians.case == "i0")].score.item() == 0.75
    scores.loc[scores.case == "i0", "score"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare_arms(scores).missing[0] == 1 and describe_arms(scores).images.tolist() == [3, 3]
    scores["score"] = np.nan
    row = compare_arms(scores).iloc[0]
    assert row.images == 0 and np.isnan(row.p_value) and not row.significant
    assert "–" in difference_table(scores, format="markdown")


def test_infinite_distances_stay_infinite():
    medians = replicate_medians(made({"a": [[1, np.inf], [np.inf, np.inf]]}, "hd95"))
    assert medians.score.tolist() == [np.inf, np.inf]
    assert describe_arms(made({"a": [[1.0, np.inf, 2, 3]]}, "hd95")).grand_median[0] == 2.5


def test_groups_worst_first():
    rng = np.random.default_rng(0)
    groups = ["good"] * 6 + ["bad"] * 6 + ["few"]
    level = np.where([g == "bad" for g in groups], 0.5, 0.9) + rng.normal(0, 0.02, 13)
    scores = made({"a": [level, level + 0.01], "b": [level - 0.1, level - 0.1]}, scanner=groups)
    with pytest.warns(UserWarning, match="fewer than 5 images in scanner few"):
        table = describe_arms(scores, by="scanner")
    assert table.scanner.drop_duplicates().iloc[0] == "bad" and table.images.tolist()[:2] == [6, 6]
    with pytest.warns(UserWarning, match="fewer than 5 images"):
        compared = compare_arms(scores, by=["scanner"])
    assert compared.scanner.iloc[0] == "bad" and compared.positive.eq(100).all()
    with pytest.raises(ValueError, match="by must be a column of the cases .*'scanner'.*, got 'scaner'.*did you mean"):
        describe_arms(scores, by="scaner")
    lacking = scores.assign(scanner=scores.scanner.where(scores.scanner != "few", None))
    with pytest.warns(UserWarning, match="scanner is not stated for 1 images"):
        assert "not stated" in describe_arms(lacking, by="scanner").scanner.tolist()


def test_tables_in_all_formats():
    arms = {"tl <b>": A, "a|b_c%": B}
    scores = made(arms, scanner=["x", "y", "x", "y"])
    frame = difference_table(scores)
    assert frame.equals(compare_arms(scores))
    lines = arm_table(scores, format="markdown").splitlines()
    bars = [len(re.findall(r"(?<!\\)\|", line)) for line in lines[:4]]
    assert len(lines) == 6 and len(set(bars)) == 1
    page = difference_table(scores, format="html")
    assert "<b>" not in page and "tl &lt;b&gt;" in page
    columns = page.count("<th ")
    assert page.count("<td>") == columns and page.count("<tr>") == 2
    tex = difference_table(scores, format="latex")
    assert r"a|b\_c\%" in tex and tex.count("&") == 2 * (columns - 1) and r"\Delta" in tex
    assert "0.850 †" in difference_table(scores, margin=0.04, format="markdown")
    with pytest.raises(ValueError, match="format must be"):
        arm_table(scores, format="pdf")
    with pytest.raises(ValueError, match="format must be"):
        table_text(frame, "frame")


def test_three_arms():
    scores = made({"a": A, "b": B, "c": B})
    with pytest.raises(ValueError, match="arms must name two arms .*'a', 'b', 'c'.*got None"):
        compare_arms(scores)
    assert compare_arms(scores, arms=("b", "c")).zero[0] == 100
    with pytest.raises(ValueError, match="arms must be arms of scores .*got 'd'"):
        compare_arms(scores, arms=("a", "d"))


def test_from_models_to_tables_and_along_a_sweep():
    cases = [phantom((32, 32), seed=i) for i in range(6)]
    arms = {"low": [lambda x: x > 0.3, lambda x: x > 0.35], "high": [lambda x: x > 0.5]}
    scores = evaluate(arms, cases, "rotation", [0, 20], labels={1: "LV"}, metrics=["dice", "f1"], progress=False)
    table = arm_table(scores)
    assert len(table) == 2 * 2 * 2 and table.value.tolist()[:2] == [0, 0]
    dice = scores[(scores.arm == "low") & (scores.metric == "dice") & (scores.value == 20)]
    row = table[(table.arm == "low") & (table.metric == "dice") & (table.value == 20)].iloc[0]
    assert row.grand_median == pytest.approx(dice.groupby("case").score.median().median())
    assert "value" in arm_table(scores, format="markdown").splitlines()[0]


def test_what_is_good_and_what_is_apart_need_a_number_where_it_has_a_unit():
    row = describe_arms(made({"a": A}, "fpr")).iloc[0]
    assert np.isnan(row.good) and np.isnan(row.good_share)  # 0.9 says nothing where less is better
    far = describe_arms(made({"a": [[1, 4, 6, 9]]}, "hd95"), good={"hd95": 5}).iloc[0]
    assert (far.good, far.good_share) == (2, 0.5)
    assert np.isnan(describe_arms(made({"a": [[1, 4]]}, "hd95")).good[0])
    apart = made({"a": [[1.0, 2, 3]], "b": [[4.0, 5, 6]]}, "hd95")
    assert compare_arms(apart).better[0] == ""
    assert compare_arms(apart, margin=2).better[0] == "a" == compare_arms(apart, relative=True).better[0]
    for call, argument in ((describe_arms, "good"), (compare_arms, "margin")):
        with pytest.raises(ValueError, match=f"key of {argument} must be .*hd95"):
            call(apart, **{argument: {"hd59": 1}})
        with pytest.raises(ValueError, match="metrics of different units"):
            call(pd.concat([apart, made({"a": [[0.1] * 3], "b": [[0.2] * 3]})]), **{argument: 0.5})


def test_arms_stated_by_a_function():
    plain = made({"a": A, "b": B}).drop(columns=["arm", "run"])
    stated = with_arms(plain, lambda model: model.split()[0])
    assert stated[["arm", "run"]].equals(made({"a": A, "b": B})[["arm", "run"]])


def test_groups_by_the_label_of_the_mask():
    scores = pd.concat([made({"a": A, "b": B}), made({"a": A, "b": B}).assign(label="RV", score=0.1)])
    with pytest.warns(UserWarning, match="fewer than 5 images in label"):
        assert describe_arms(scores, by="label").label.tolist() == ["RV", "RV", "LV", "LV"]
    with pytest.warns(UserWarning, match="fewer than 5 images in label"):
        assert compare_arms(scores, by=["label", "metric"]).label.tolist() == ["RV", "LV"]
    with pytest.warns(UserWarning, match="fewer than 5 images in label"):
        assert arm_table(scores, by="label", format="markdown").startswith("| label | metric | arm |")
