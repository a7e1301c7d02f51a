"Requirements of models: one line of text, checked on a score table"

import numpy as np
import pandas as pd
import pytest

import misas as ms
from misas.report.requirements import check_about, with_required_values

HEADS = ["model", "case", "transform", "param", "value", "label", "metric", "score"]


def scores_of(curves, label="LV", model="m", metric="dice"):  # {case: [score at -10, 0, 10]}
    rows = [
        (model, case, "rotation", "deg", value, label, metric, score)
        for case, scores in curves.items()
        for value, score in zip((-10, 0, 10), scores)
    ]
    return pd.DataFrame(rows, columns=HEADS)


@pytest.mark.parametrize(
    "text, low, high, kind, limit, metric, label",
    [
        ("rotation ±10° loses ≤ 0.05 dice", -10, 10, "loses", 0.05, "dice", None),
        ("rotation +-10 loses <= .05 dice", -10, 10, "loses", 0.05, "dice", None),
        ("rotation ± 10 deg loses ≤ 0.05 dice for LV", -10, 10, "loses", 0.05, "dice", "LV"),
        ("rotation −5..15 dice ≥ 0.8 for my label", -5, 15, "at least", 0.8, "dice", "my label"),
        ("rotation -5°..15° dice >= 0.8", -5, 15, "at least", 0.8, "dice", None),
        ("rotation hd95 ≤ 5 mm", None, None, "at most", 5, "hd95", None),
        ("rotation ±10 loses ≤ 2 mm hd95", -10, 10, "loses", 2, "hd95", None),
        ("brightness 0.8..1.2× nsd@2mm ≥ 0.8", 0.8, 1.2, "at least", 0.8, "nsd@2mm", None),
        ("rotation±10° loses≤0.05 dice", -10, 10, "loses", 0.05, "dice", None),
    ],
)
def test_text(text, low, high, kind, limit, metric, label):
    found = ms.parse_requirement(text)
    assert (found.low, found.high, found.kind, found.limit, found.metric, found.label) == (
        low, high, kind, limit, metric, label,
    )  # fmt: skip
    assert str(found) == text


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "at character 1 must stand the name of a transform.*there is nothing"),
        ("rotation ±10° looses ≤ 0.05 dice", "at character 15 must stand 'loses ≤'.*'looses' .did you mean 'loses'"),
        ("rotation ±10° loses 0.05 dice", "at character 21 must stand '≤' or '<=', and there is '0.05'"),
        ("rotation ±10° loses ≤ five dice", "must stand a number.*there is 'five'"),
        ("rotation ±10mm loses ≤ 0.05 dice", "must stand the unit '°' or none, and there is 'mm'"),
        ("rotation ±10° loses ≤ 0.05", "must stand the name of a metric.*there is nothing"),
        ("rotation ±10° loses ≤ 0.05 dice of LV", "must stand 'for LABEL' or nothing more, and there is 'of'"),
        ("rotation ±10° loses ≤ 0.05 dice for", "must stand the name of a label"),
        ("rotation 10 dice ≥ 0.8", "must stand '..' between the ends"),
        ("rotation 15..-5 dice ≥ 0.8", "the lower end before the higher one"),
        ("rotation dice ≤ 0.8", "must be '≥', as more is better"),
        ("rotation hd95 ≥ 5", "must be '≤', as less is better"),
        ("rotation loses ≤ 0 dice", "must be a number > 0"),
    ],
)
def test_an_error_points_at_what_cannot_be_read(text, words):
    with pytest.raises(ValueError, match=words):
        ms.parse_requirement(text)


def test_mean_loss_by_hand():
    # unchanged mean 0.85; at -10: 0.80, at 10: 0.78
    table = scores_of(dict(a=[0.85, 0.9, 0.8], b=[0.75, 0.8, 0.76]))
    row = ms.check_requirements(table, "rotation ±10° loses ≤ 0.05 dice").iloc[0]
    assert not row.passed
    assert row.value == 10
    assert row.found == pytest.approx(0.07)
    assert row.excess == pytest.approx(0.02)
    assert row.unchanged == pytest.approx(0.85)
    assert row.reason == "loses 0.070 dice at deg = 10° (0.850 → 0.780), 0.020 too much"
    # -10 alone loses exactly 0.05
    assert ms.check_requirements(table, "rotation -10..0 loses ≤ 0.05 dice").passed.all()
    assert ms.check_requirements(table, "rotation ±10 dice ≥ 0.78").passed.all()
    row = ms.check_requirements(table, "rotation ±10 dice ≥ 0.8").iloc[0]
    assert row.reason == "dice 0.780 at deg = 10°, short by 0.020"


def test_less_is_better():
    table = scores_of(dict(a=[4.0, 2.0, 7.0]), metric="hd95")
    assert ms.check_requirements(table, ["rotation hd95 ≤ 7", "rotation loses ≤ 5 hd95"]).passed.all()
    checks = ms.check_requirements(table, ["rotation hd95 ≤ 6", "rotation loses ≤ 4 hd95"])
    assert checks.excess.tolist() == pytest.approx([1, 1])
    assert not checks.passed.any()


def test_each_model_and_label_has_to_fulfil_it():
    tables = [scores_of(dict(a=[0.9, 0.9, 0.9])), scores_of(dict(a=[0.5, 0.9, 0.9]), label="MY", model="other")]
    table = ms.concat_scores(tables)
    checks = ms.check_requirements(table, "rotation loses ≤ 0.05 dice")
    assert checks[["model", "label", "passed"]].values.tolist() == [["m", "LV", True], ["other", "MY", False]]
    assert ms.check_requirements(table, "rotation loses ≤ 0.05 dice for LV").passed.tolist() == [True]


def test_what_is_never_passed_over():
    nothing = scores_of(dict(a=[0.0, 0.01, 0.0]))
    assert "nothing to lose" in ms.check_requirements(nothing, "rotation loses ≤ 0.05 dice").reason[0]
    missing = scores_of(dict(a=[np.nan, 0.9, 0.9]))
    assert "no case has a score at deg = −10°" in ms.check_requirements(missing, "rotation loses ≤ 0.05 dice").reason[0]
    other = ms.check_requirements(nothing, "rotation loses ≤ 0.05 dice for RV")
    assert not other.passed[0]
    assert "label: LV" in other.reason[0]
    outside = ms.check_requirements(nothing, "rotation 20..30 dice ≥ 0")
    assert outside.reason[0] == "no swept value is in the range"
    failing = scores_of(dict(a=[0.9, 0.9, 0.9]))
    failing.attrs["errors"] = [dict(model="m", case="b", error="ValueError: no")]
    checks = ms.check_requirements(failing, "rotation loses ≤ 0.05 dice")
    assert checks.passed.tolist() == [True, False]
    assert checks.reason[1] == "the model fails on 1 case, of which nothing is known"


def test_ends_and_neutral_value_are_tried():
    rotation = ms.as_transform("rotation")
    wanted = [ms.parse_requirement("rotation -5..15 loses ≤ 0.05 dice")]
    assert with_required_values(rotation, [-20, 20], wanted) == [-20, -5, 0, 15, 20]
    assert with_required_values(rotation, [20, -20], wanted) == [20, -20, -5, 15, 0]
    assert with_required_values(ms.as_transform("zoom"), None, wanted) is None
    factor = [ms.parse_requirement("brightness ±0.2 dice ≥ 0.5")]
    assert with_required_values(ms.as_transform("brightness"), [1], factor) == [0.8, 1, 1.2]
    size = [ms.parse_requirement("resize ±10 dice ≥ 0.5")]
    with pytest.raises(ValueError, match="LOW..HIGH for resize, which has no neutral value"):
        with_required_values(ms.as_transform("resize"), None, size)
    with pytest.raises(ValueError, match="deg of rotation must be|factor of brightness must be"):
        with_required_values(ms.as_transform("brightness"), [1], [ms.parse_requirement("brightness -1..1 dice ≥ 0.5")])


def test_a_range_of_amounts_around_no_number_is_an_error():
    dihedral = ms.parse_requirement("dihedral dice ≥ 0.5")
    assert with_required_values(ms.as_transform("dihedral"), None, [dihedral]) == list(range(8))


@pytest.mark.parametrize(
    "text, words",
    [
        ("rotatoin loses ≤ 0.05 dice", "transform in fail_under .*did you mean 'rotation'"),
        ("rotation loses ≤ 0.05 iou", "metric in fail_under .* got 'iou'"),
        ("rotation loses ≤ 0.05 dice for LVV", "label in fail_under .*did you mean 'LV'"),
    ],
)
def test_what_is_not_measured_is_an_error(text, words):
    with pytest.raises(ValueError, match=words):
        check_about([ms.parse_requirement(text)], [ms.Rotate()], ["dice"], ["LV"])


def test_wrong_kinds():
    with pytest.raises(TypeError, match="requirements must be texts"):
        ms.check_requirements(scores_of(dict(a=[1, 1, 1])), [3])
    with pytest.raises(TypeError, match="fail_under must be a string"):
        ms.parse_requirement(3)
