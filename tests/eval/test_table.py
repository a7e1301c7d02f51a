"Facts of score tables: they survive joining, or a warning says what is missing and what is assumed"

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from misas.analysis.summary import summarise
from misas.core.transform import as_transform, known_transforms
from misas.data.phantoms import phantom
from misas.eval.rows import make_rows
from misas.eval.scoring import evaluate
from misas.eval.table import (
    COLUMNS,
    check_scores,
    concat_scores,
    fact_to_json,
    finite_rows,
    has_named_values,
    metric_facts,
    plain_column,
    score_text,
    transform_facts,
    value_from_text,
    value_to_text,
    with_facts,
    with_unit,
    without_facts,
)
from misas.metrics.base import METRICS, as_metrics
from misas.transforms.basic import Compose, Resize, Rotate, Zoom
from misas.transforms.geometry import Rotate3D


def threshold(image):
    return image > 0.4


def misses(truth, pred):
    "A custom metric: pixels of the truth that were not found"
    return (truth & ~pred).sum()


misses.unit, misses.better = "px", "lower"


def fade(image, value):
    return image * (1 - value)


def custom_transform():
    return as_transform(fade, name="fade", param="share", unit="%", neutral=0, values=(0, 0.5))


def scores_of(transforms, cases, **options):
    every = dict(rotation=[0, 90], fade=[0, 0.5], resize=[32, 48, 64], zoom=[0.5, 1, 2])
    values = {transform.name: every[transform.name] for transform in transforms}
    settings = dict(metrics=["dice", "hd95", misses], labels={1: "LV"}, progress=False)
    return evaluate(threshold, cases, transforms, values, **settings | options)


@pytest.fixture(scope="module")
def cases():
    return [phantom((64, 64), seed=0), phantom((64, 64), seed=1)]


@pytest.fixture(scope="module")
def parts(cases):
    "Tables of the same cases under different transforms: pandas.concat loses what they know"
    return [scores_of([transform], cases) for transform in (Rotate(), Resize(), custom_transform())]


def row(**changes):
    usual = dict(model="m", case="a", transform="rotation", param="deg", value=5, label="LV", metric="dice", score=0.5)
    return pd.DataFrame([usual | changes])


def silent(function, *arguments, **options):
    "What a function returns, and an error where it warns"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*arguments, **options)


def deltas():
    return dict(dice=0.05, hd95=3, misses=5)


# columns


def test_what_is_no_score_table_is_an_error():
    with pytest.raises(
        ValueError, match="scores must have the columns model, .*, got a table without 'metric', 'score'"
    ):
        check_scores(row().drop(columns=["metric", "score"]))
    with pytest.raises(ValueError, match="scores must have at least one row"):
        check_scores(row()[:0])
    with pytest.raises(TypeError, match="scores must be a pandas table, .*, got a list"):
        check_scores([1])


# joining


def test_concat_scores_keeps_all_facts(parts):
    whole = concat_scores(parts)
    assert list(whole) == COLUMNS
    assert len(whole) == sum(map(len, parts))
    for table in parts:
        name = table["transform"].iloc[0]
        assert silent(transform_facts, whole, name) == transform_facts(table, name)
    for metric in ("dice", "hd95", "misses"):
        assert silent(metric_facts, whole, metric) == metric_facts(parts[0], metric)


def test_summaries_are_the_same_before_and_after_concat_scores(parts):
    alone = pd.concat([summarise(table, delta=deltas()) for table in parts])
    joined = silent(summarise, concat_scores(parts), delta=deltas())
    keys = ["transform", "label", "metric"]
    # guarantees of one table hold together: each is corrected for the others
    corrected = [name for name in joined if "guarant" in name or name in ("patients_needed", "correction")]
    joined, alone = (table.sort_values(keys, ignore_index=True).drop(columns=corrected) for table in (joined, alone))
    pd.testing.assert_frame_equal(joined, alone, check_dtype=False)


def test_after_plain_concat_a_warning_names_what_is_lost(parts):
    lost = pd.concat(parts, ignore_index=True)
    with pytest.warns(UserWarning) as said:
        summarise(lost, delta=deltas())
    texts = [str(warning.message) for warning in said]
    assert len(texts) == 3
    assert any("the neutral value of 'resize' depends on the image" in text for text in texts)
    assert any("nothing about the transform 'fade', which misas does not know" in text for text in texts)
    assert any("nothing about the metric 'misses'" in text and "lower_is_better=['misses']" in text for text in texts)
    assert all("concat_scores" in text for text in texts)
    # at the line of the user, not inside of misas
    assert {warning.filename for warning in said} == {__file__}


def test_after_plain_concat_facts_of_misas_are_found_again_by_their_names(parts, cases):
    rotated = parts[0][parts[0].metric != "misses"]
    zoomed = scores_of([Zoom()], cases, metrics=["dice", "hd95"])
    lost = pd.concat([rotated, zoomed], ignore_index=True)
    assert not lost.attrs
    given = dict(dice=0.05, hd95=3)
    expected = summarise(concat_scores([rotated, zoomed]), delta=given)
    pd.testing.assert_frame_equal(silent(summarise, lost, delta=given), expected)
    assert set(expected[expected.metric == "hd95"].better) == {"lower"}


def test_with_lower_is_better_there_is_nothing_to_warn_of():
    lost = pd.concat([row(metric="mine", value=v, score=v) for v in (0, 5)])
    found = silent(summarise, lost, delta=1, lower_is_better=["mine"])
    assert found.better[0] == "lower"
    assert found["drop"][0] == 5


def test_facts_by_names_with_settings():
    about_axis = str(Rotate3D(axis=(0, 0, 1)))
    assert about_axis != Rotate3D.name
    table = row(transform=about_axis, param=Rotate3D.param)
    assert silent(transform_facts, table, about_axis)["unit"] == "°"
    assert silent(transform_facts, row(transform="rotation(fill=0.0)"), "rotation(fill=0.0)")["neutral"] == 0
    assert silent(metric_facts, row(), "nsd@2mm") == dict(unit="", better="higher")
    assert silent(metric_facts, row(), "volume_difference") == dict(unit="ml", better="zero")


def test_every_transform_and_metric_of_misas_is_known_by_its_name():
    of_the_image = ("resize", "field-strength", "reorientation", "respace")  # their neutral value depends on it
    for name, member in known_transforms().items():
        if member.__module__.startswith("misas.transforms") and name not in of_the_image:
            silent(transform_facts, row(transform=name, param=member.param), name)
    for name in METRICS:
        silent(metric_facts, row(metric=name), name)


def test_a_name_of_misas_with_another_parameter_is_another_transform():
    with pytest.warns(UserWarning, match="nothing about the transform 'rotation'"):
        assert transform_facts(row(param="turns"), "rotation")["unit"] == ""


def test_what_the_table_says_counts_more_than_the_name():
    table = row(transform="rotation(fill=0.0)")
    table.attrs["transforms"] = {"rotation(fill=0.0)": dict(unit="mm", neutral=3)}
    expected = dict(param="deg", unit="mm", neutral=3, log=False, categorical=False)
    assert transform_facts(table, "rotation(fill=0.0)") == expected


def test_facts_can_be_stated_in_columns():
    table = row(transform="mine", metric="own").assign(unit="mm", neutral=3, log=False, categorical=False)
    table = table.assign(metric_unit="px", better="lower")
    expected = dict(param="deg", unit="mm", neutral=3, log=False, categorical=False)
    assert silent(transform_facts, table, "mine") == expected
    assert silent(metric_facts, table, "own") == dict(unit="px", better="lower")


def test_columns_that_are_empty_say_nothing():
    described = row(transform="mine").assign(unit="mm", neutral=3, log=True, categorical=False)
    lost = pd.concat([described, row(transform="other")], ignore_index=True)
    assert silent(transform_facts, lost, "mine")["log"] is True
    with pytest.warns(UserWarning, match="nothing about the transform 'other'"):
        transform_facts(lost, "other")


# neutral values that depend on the case


def test_each_image_has_its_own_neutral_size():
    small = scores_of([Resize()], phantom((32, 32), seed=0))
    large = scores_of([Resize()], [phantom((64, 64), seed=1), phantom((64, 64), seed=2)])
    whole = concat_scores([large, small])
    assert transform_facts(whole, "resize")["neutral"] is None
    for case, size in {"phantom-0": 32, "phantom-1": 64, "phantom-2": 64}.items():
        assert transform_facts(whole[whole.case == case], "resize")["neutral"] == size
    assert transform_facts(whole[whole.case != "phantom-0"], "resize")["neutral"] == 64
    # in whatever order they are joined
    again = concat_scores([concat_scores([large, small]), scores_of([Resize()], phantom((32, 32), seed=3))])
    assert transform_facts(again[again.case.isin(["phantom-0", "phantom-3"])], "resize")["neutral"] == 32
    assert transform_facts(again, "resize")["neutral"] is None


def test_two_images_of_one_name_have_no_common_neutral_size():
    tables = [scores_of([Resize()], phantom((n, n), seed=0)) for n in (32, 64)]
    assert transform_facts(concat_scores(tables), "resize")["neutral"] is None


def test_neutral_values_that_are_tuples():
    transform = Compose(Rotate(), Zoom())
    rows = pd.DataFrame(dict(value=[(0, 1)], label="LV", metric="dice", score=[1.0]))
    table = make_rows(rows, "m", phantom((16, 16)), transform, as_metrics("dice")).table()
    assert transform_facts(table, "rotation+zoom")["neutral"] == (0, 1)
    assert transform_facts(concat_scores([table, table]), "rotation+zoom")["neutral"] == (0, 1)


# errors of joining


def test_metrics_that_contradict_each_other_cannot_be_joined():
    tables = []
    for better in ("lower", "higher"):
        table = row(metric="mine")
        table.attrs["metrics"] = dict(mine=dict(unit="", better=better))
        tables.append(table)
    with pytest.raises(ValueError, match="metric 'mine' must be the same in all tables"):
        concat_scores(tables)


def test_bad_tables_are_errors():
    with pytest.raises(TypeError, match="tables must be a list"):
        concat_scores(row())
    with pytest.raises(TypeError, match="tables must be a list"):
        concat_scores(3)
    with pytest.raises(ValueError, match="tables must be at least one"):
        concat_scores([])
    with pytest.raises(ValueError, match="without 'score'"):
        concat_scores([row().drop(columns="score")])


def test_failed_cases_are_joined():
    table = row()
    table.attrs["errors"] = [dict(case="x", error="ValueError: too small")]
    assert concat_scores([table, row(), table]).attrs["errors"] == 2 * table.attrs["errors"]
    assert "errors" not in concat_scores([row(), row()]).attrs


# derived tables


def test_derived_tables_take_facts_along(parts):
    means = parts[2].groupby(["transform", "param", "metric"], as_index=False).score.mean()
    known = with_facts(means, *parts)
    assert metric_facts(known, "misses")["better"] == "lower"
    plain = with_facts(pd.DataFrame(dict(transform=["fade"], param=["share"], case=["a"])), *parts)
    assert transform_facts(plain, "fade")["unit"] == "%"
    assert not without_facts(parts[0]).attrs
    assert parts[0].attrs


# texts


@pytest.mark.parametrize(
    "fact, plain",
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.True_, True),
        (torch.tensor(2), 2),
        ((0, np.float64(1.5)), [0, 1.5]),
        (np.array([1, 2]), [1, 2]),
        ("axial", "axial"),
        (None, None),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_facts_become_what_json_knows(fact, plain):
    assert fact_to_json(fact) == plain
    assert type(fact_to_json(fact)) is type(plain)


@pytest.mark.parametrize(
    "value", [0, 90, -1.5, 1e-12, 0.1 + 0.2, (10, 1.2), ((1, "a"), 2), "axial", "3", "NaN", '"q"', "[1]", "", True]
)
def test_values_survive_as_text(value):
    again = value_from_text(value_to_text(value))
    assert again == value
    assert type(again) is type(value)


def test_values_of_an_axis():
    assert plain_column(2.0) == plain_column("2") == plain_column(2) == "2"
    assert plain_column("axial") == "axial"
    assert finite_rows(pd.Series([1, np.inf, -np.inf])).isna().tolist() == [False, True, True]
    numbers = dict(categorical=False)
    assert not has_named_values(row(value="5"), numbers)
    assert has_named_values(row(value="axial"), numbers)
    assert has_named_values(row(), dict(categorical=True))


def test_numbers_with_units():
    assert [with_unit("5", unit) for unit in ("", "°", "×", "%", "mm")] == ["5", "5°", "5×", "5%", "5 mm"]
    assert score_text(np.inf) == "∞"
    assert score_text(0.456) == "0.46"
