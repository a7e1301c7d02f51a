"Score tables split by a column: the worst group first, none dropped, none guessed"

import warnings

import numpy as np
import pandas as pd
import pytest

from misas.analysis.augmentation import suggest_augmentation
from misas.analysis.cohort import rank_cases, spread_scores
from misas.analysis.groups import FEWEST_CASES, shared_columns, split_by
from misas.analysis.summary import summarise, verdicts
from misas.eval.table import COLUMNS, concat_scores

VALUES = (-20, 0, 20)


def table(drops, neutral=0.9, metric="dice", model="m", label="LV"):
    "A case for each drop: the score falls by it at both ends"
    rows = []
    for i, drop in enumerate(drops):
        for value in VALUES:
            score = neutral - drop * (value != 0)
            rows.append((model, f"case {i}", "rotation", "deg", value, label, metric, score))
    return pd.DataFrame(rows, columns=COLUMNS)


def split(drops, scanners, **more):
    "The table with a scanner for each case"
    scores = table(drops, **more)
    return scores.assign(scanner=scores.case.map({f"case {i}": s for i, s in enumerate(scanners)}))


MANY = split([0.1] * 6 + [0.3] * 6 + [0.2] * 6, "A" * 6 + "B" * 6 + "C" * 6)


def quiet(function, *args, **options):
    "What a function gives without a word of warning"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args, **options)


def test_worst_group_is_first_everywhere():
    for found in (summarise(MANY, by="scanner"), spread_scores(MANY, by="scanner"), rank_cases(MANY, by="scanner")):
        assert list(dict.fromkeys(found.scanner)) == ["B", "C", "A"]
        assert found.columns[0] == "scanner"


def test_each_group_has_what_it_has_alone():
    whole = quiet(summarise, MANY, by="scanner", resamples=50)
    for scanner, rows in MANY.groupby("scanner"):
        alone = summarise(rows, resamples=50)
        own = whole[whole.scanner == scanner].reset_index(drop=True)
        # guarantees of all groups hold together, so that each has less than it would have alone
        measured = [name for name in alone if name not in ("correction", "patients_needed", "guarantee")]
        pd.testing.assert_frame_equal(own[measured], alone[measured], check_dtype=False)
        assert own.correction[0] == "bonferroni (3 statements)" and own.guarantee[0].startswith(f"scanner {scanner}: ")
    drops = whole.set_index("scanner")["drop"]
    assert np.allclose(drops[["B", "C", "A"]], [0.3, 0.2, 0.1])


def test_several_columns_make_groups_of_what_occurs_together():
    two = MANY.assign(sex=MANY.case.map(lambda case: "fm"[int(case.split()[1]) % 2]))
    found = summarise(two, by=["scanner", "sex"], resamples=0)
    assert list(found.columns[:2]) == ["scanner", "sex"] and len(found) == 6
    assert found.cases.tolist() == [3] * 6


def test_a_distance_is_worst_where_it_is_largest():
    far = split([-10.0, -10, -2, -2], "ABBA"[:4], neutral=1.0, metric="hd95")
    far.attrs["metrics"] = dict(hd95=dict(unit="mm", better="lower"))
    far = far.assign(scanner=far.case.map({"case 0": "far", "case 1": "far", "case 2": "near", "case 3": "near"}))
    assert [group.entries["scanner"] for group in split_by(far, "scanner")] == ["far", "near"]
    assert summarise(far, dict(hd95=1), by="scanner", resamples=0).scanner.tolist() == ["far", "near"]


def test_infinite_means_are_ordered_by_their_number():
    far = split([0.0] * 6, "AAABBB", neutral=1.0, metric="hd95")
    far.attrs["metrics"] = dict(hd95=dict(unit="mm", better="lower"))
    far.loc[far.case.isin(["case 0", "case 3", "case 4"]), "score"] = np.inf
    assert [group.entries["scanner"] for group in split_by(far, "scanner")] == ["B", "A"]


def test_metrics_of_different_scales_count_alike():
    both = concat_scores([MANY, MANY.assign(metric="iou", score=MANY.score / 1000)])
    assert [group.entries["scanner"] for group in split_by(both, "scanner")] == ["B", "C", "A"]


def test_a_small_group_is_named_and_stays():
    small = split([0.1] * 6 + [0.3], "A" * 6 + "B")
    with pytest.warns(UserWarning, match=r"too few in scanner B \(1 case\): one case has no bounds"):
        found = summarise(small, by="scanner")
    assert found.scanner.tolist() == ["B", "A"] and found.cases.tolist() == [1, 6]
    assert "drop_lower" not in found or np.isnan(found.drop_lower[0])
    with pytest.warns(UserWarning, match=r"scanner B \(1 case\)"):
        assert spread_scores(small, "sd", by="scanner").low[:3].isna().all()


def test_few_cases_are_named_where_there_is_a_bootstrap():
    few = split([0.1] * 4 + [0.2] * 4, "A" * 4 + "B" * 4)
    assert FEWEST_CASES == 5
    with pytest.warns(UserWarning, match=r"scanner B \(4 cases\); scanner A \(4 cases\)"):
        summarise(few, by="scanner")
    quiet(summarise, few, by="scanner", resamples=0)
    quiet(spread_scores, few, "quartiles", by="scanner")


def test_each_case_as_a_group_is_no_warning():
    assert len(quiet(summarise, MANY, by="case")) == 18


@pytest.mark.parametrize("nothing", [None, np.nan, "", "  ", pd.NA])
def test_what_is_not_stated_is_a_group_with_a_warning(nothing):
    column = {f"case {i}": "A" for i in range(6)} | {"case 6": nothing, "case 7": nothing}
    scores = table([0.1] * 8)
    scores = scores.assign(scanner=pd.Series([column[case] for case in scores.case], dtype=object))
    with pytest.warns(UserWarning, match="2 cases \\('case 6', 'case 7'\\) are in the group 'not stated'"):
        found = summarise(scores, by="scanner", resamples=0)
    assert sorted(found.scanner) == ["A", "not stated"] and sorted(found.cases) == [2, 6]


def test_a_column_without_any_entry_is_one_group():
    with pytest.warns(UserWarning, match="18 cases .* and 13 more"):
        found = summarise(MANY.assign(scanner=None), by="scanner", resamples=0)
    assert found.scanner.tolist() == ["not stated"]


def test_numbers_are_groups_up_to_a_dozen():
    twelve = MANY.assign(site=MANY.case.map(lambda case: int(case.split()[1]) % 12))
    with pytest.warns(UserWarning, match="too few in site 6"):
        found = summarise(twelve, by="site", resamples=0)
    assert sorted(found.site) == list(range(12)) and found.site.dtype.kind == "i"
    thirteen = MANY.assign(age=MANY.case.map(lambda case: 40.0 + int(case.split()[1]) % 13))
    with pytest.raises(ValueError, match="at most 12 different numbers, got 13 in 'age'.*pandas.cut"):
        summarise(thirteen, by="age")
    as_text = thirteen.assign(age=thirteen["age"].astype(str))
    with pytest.warns(UserWarning, match="too few in age 46.0"):
        assert len(summarise(as_text, by="age", resamples=0)) == 13
    binned = thirteen.assign(age=pd.cut(thirteen["age"], 4))
    assert len(summarise(binned, by="age", resamples=0)) == 4


def test_a_number_is_one_group_however_it_is_written():
    mixed = table([0.1] * 4)
    site = {"case 0": 1, "case 1": 1.0, "case 2": "1", "case 3": 2}
    mixed = mixed.assign(site=pd.Series([site[case] for case in mixed.case], dtype=object))
    with pytest.warns(UserWarning, match="site 2"):
        assert sorted(summarise(mixed, by="site", resamples=0).cases) == [1, 3]


@pytest.mark.parametrize(
    "by, error, words",
    [
        ("scaner", ValueError, "by must be one of .*got 'scaner' .did you mean 'scanner'"),
        (["scanner", "sx"], ValueError, "got 'sx'"),
        ([], ValueError, "at least one column"),
        (["scanner", "scanner"], ValueError, "each once"),
        ("score", ValueError, "by must be one of"),
        ("value", ValueError, "by must be one of"),
        (3, TypeError, "by must be the name of a column"),
        ([3], TypeError, "by must be the name of a column"),
        (dict(scanner=1), TypeError, "by must be the name of a column"),
    ],
)
def test_bad_columns(by, error, words):
    for function in (summarise, spread_scores, rank_cases, split_by):
        with pytest.raises(error, match=words):
            function(MANY, by=by)


def test_a_table_without_columns_says_how_to_get_one():
    with pytest.raises(ValueError, match="scores have no columns of cases: scores.assign"):
        summarise(table([0.1]), by="scanner")


def test_a_column_called_like_one_of_the_result_is_an_error_with_a_way_out():
    odd = MANY.assign(cases=MANY.scanner)
    with pytest.raises(
        ValueError, match="by must not be a column that the result has itself, got 'cases': scores.rename"
    ):
        summarise(odd, by="cases", resamples=0)
    assert len(summarise(odd.rename(columns={"cases": "cases_group"}), by="cases_group", resamples=0)) == 3


def test_columns_of_every_table_split_too():
    two = concat_scores([MANY, MANY.assign(model="n", score=MANY.score - 0.3)])
    assert rank_cases(two, by="model").model.tolist() == ["n"] * 18 + ["m"] * 18
    labels = concat_scores([MANY, table([0.5] * 6, label="RV")])
    assert summarise(labels, by="label", resamples=0).label.tolist() == ["RV", "LV"]


def test_facts_are_those_of_the_group():
    "The neutral size of a group whose images all have one size is known, though the table has none for all"
    rows = [("m", f"case {i}", "resize", "px", v, "LV", "dice", 0.9 - 0.1 * (v != 64 * (i // 2 + 1)))
            for i in range(4) for v in (64, 128)]  # fmt: skip
    scores = pd.DataFrame(rows, columns=COLUMNS)
    neutral = {f"case {i}": 64 * (i // 2 + 1) for i in range(4)}
    facts = dict(param="px", unit="px", neutral=None, log=True, categorical=False, neutral_by_case=neutral)
    scores.attrs["transforms"] = dict(resize=facts)
    scores = scores.assign(site=scores.case.map({"case 0": "a", "case 1": "a", "case 2": "b", "case 3": "b"}))
    scores.attrs["transforms"] = dict(resize=facts)
    found = summarise(scores, by="site", resamples=0).set_index("site")
    assert found.neutral.to_dict() == dict(a=64, b=128)


def test_an_unknown_transform_warns_once():
    strange = MANY.assign(transform="wobble", param="amount")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        summarise(strange, by="scanner", resamples=0)
    assert sum("wobble" in str(w.message) for w in said) == 1


def test_reference_of_groups():
    two = concat_scores([MANY, MANY.assign(model="n", score=1 - (1 - MANY.score) / 2)])
    found = summarise(two, by="scanner", reference="m", resamples=0)
    assert np.allclose(found[found.model == "n"].corruption_error, 0.5)


def test_verdicts_name_group_and_number():
    summary = summarise(MANY, by="scanner", resamples=0)
    assert verdicts(summary)[0].startswith("scanner B (6 cases), rotation, LV: tolerates")
    assert verdicts(summary, by="scanner") == verdicts(summary)
    with pytest.raises(ValueError, match="got 'scaner' .did you mean 'scanner'"):
        verdicts(summary, by="scaner")
    with pytest.raises(ValueError, match=r"summarise\(scores, by='scanner'\) makes one"):
        verdicts(summarise(MANY, resamples=0), by="scanner")
    two = summarise(MANY.assign(sex="f"), by=["scanner", "sex"], resamples=0)
    with pytest.raises(ValueError, match="all columns by which summary was split"):
        verdicts(two, by="sex")


def test_advice_is_for_one_group():
    summary = summarise(MANY, by="scanner", resamples=0)
    with pytest.raises(ValueError, match="summary must be of one group"):
        suggest_augmentation(summary)
    assert len(suggest_augmentation(summary[summary["scanner"] == "B"]).numbers) == 1


def test_old_name_of_the_order_still_works():
    with pytest.warns(DeprecationWarning, match="order='worst'"):
        old = rank_cases(MANY, by="worst")
    pd.testing.assert_frame_equal(old, rank_cases(MANY, "worst"))


def arms():
    "Two arms of three runs over six cases; run r of an arm is lower by 0.01 r"
    parts = []
    for arm, loss in (("transfer", 0.0), ("scratch", 0.2)):
        for run in (1, 2, 3):
            part = MANY.assign(model=f"{arm} {run}", arm=arm, run=run)
            parts.append(part.assign(score=part.score - loss - 0.01 * run))
    return pd.concat(parts, ignore_index=True)


def test_spread_of_runs_by_hand():
    found = spread_scores(arms(), "range", over="runs")
    at_0 = found[found.value == 0].set_index("model")
    assert np.allclose(at_0.loc["transfer", ["centre", "low", "high"]].astype(float), [0.88, 0.87, 0.89])
    assert np.allclose(at_0.loc["scratch", ["centre", "low", "high"]].astype(float), [0.68, 0.67, 0.69])
    assert (found.cases == 3).all()
    split_up = spread_scores(arms(), "range", by=["arm", "scanner"], over="runs")
    assert split_up[["arm", "scanner"]].iloc[0].tolist() == ["scratch", "B"] and len(split_up) == 18


def test_spread_of_runs_needs_arms_and_more_than_one_run():
    with pytest.raises(ValueError, match="columns arm and run for over='runs', got no 'arm'"):
        spread_scores(MANY, over="runs")
    with pytest.raises(ValueError, match="over must be one of 'cases', 'runs'"):
        spread_scores(MANY, over="models")
    one = arms().query("run == 1")
    with pytest.warns(UserWarning, match=r"arm scratch \(1 run\)"):
        assert spread_scores(one, "sd", by="arm", over="runs").low.isna().all()
    with pytest.raises(ValueError, match="one model for run 1 of arm"):
        spread_scores(arms().assign(run=1), over="runs")


def test_a_column_of_one_table_is_taken_over():
    a, b = shared_columns(MANY, MANY.drop(columns="scanner"), "scanner")
    assert (b.scanner == a.scanner).all()
    with pytest.raises(ValueError, match="A in scores_a and Z in scores_b for case 'case 0'"):
        shared_columns(MANY, MANY.assign(scanner="Z"), "scanner")
    with pytest.raises(ValueError, match="got A, B of case 'case 0' in scores_a"):
        shared_columns(MANY.assign(scanner=["A", "B"] * (len(MANY) // 2)), MANY, "scanner")


def test_files_keep_the_groups(tmp_path):
    summary = summarise(MANY, by="scanner", resamples=0)
    summary.to_csv(tmp_path / "summary.csv", index=False)
    assert verdicts(pd.read_csv(tmp_path / "summary.csv")) == verdicts(summary)
