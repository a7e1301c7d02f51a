"Score tables in files: values, order, types and facts are those of before"

import io

import numpy as np
import pandas as pd
import pytest

from misas.analysis.summary import summarise
from misas.core.transform import as_transform
from misas.data.phantoms import phantom
from misas.eval.files import read_scores, save_scores
from misas.eval.rows import make_rows
from misas.eval.scoring import evaluate
from misas.eval.table import concat_scores, metric_facts, transform_facts
from misas.metrics.base import as_metrics
from misas.transforms.basic import Compose, Resize, Rotate, Zoom

FILES = pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
DELTA = dict(dice=0.05, hd95=3, misses=5)


def misses(truth, pred):
    "A custom metric: pixels of the truth that were not found"
    return (truth & ~pred).sum()


misses.unit, misses.better = "px", "lower"


@pytest.fixture(scope="module")
def scores():
    "dice, hd95 and a custom metric; rotation, resize and a custom transform; images of two sizes"
    fade = as_transform(lambda image, v: image * (1 - v), name="fade", param="share", unit="%", neutral=np.float64(0))
    cases = [phantom((64, 64), seed=0), phantom((48, 48), seed=1)]
    values = dict(rotation=[0, 90], resize=[48, 64], fade=[0, 0.5])
    return evaluate(
        lambda image: image > 0.4,
        cases,
        [Rotate(), Resize(), fade],
        values,
        metrics=["dice", "hd95", misses],
        labels={1: "LV"},
        progress=False,
    )


def saved(scores, path):
    save_scores(scores, path)
    return read_scores(path)


def one_row(**changes):
    usual = dict(model="m", case="a", transform="mine", param="x", value=5, label="LV", metric="own", score=0.5)
    return pd.DataFrame([usual | changes])


@FILES
def test_values_order_and_types_are_kept(scores, tmp_path, name):
    again = saved(scores, tmp_path / name)
    pd.testing.assert_frame_equal(again, scores)
    for column in scores:
        assert [type(v) for v in again[column]] == [type(v) for v in scores[column]], column


@FILES
def test_facts_are_kept(scores, tmp_path, name):
    again = saved(scores, tmp_path / name)
    for transform in scores["transform"].unique():
        assert transform_facts(again, transform) == transform_facts(scores, transform)
    for metric in scores.metric.unique():
        assert metric_facts(again, metric) == metric_facts(scores, metric)
    assert transform_facts(again[again.case == "phantom-1"], "resize")["neutral"] == 48


@FILES
def test_the_summary_is_the_same(scores, tmp_path, name, recwarn):
    pd.testing.assert_frame_equal(
        summarise(saved(scores, tmp_path / name), delta=DELTA), summarise(scores, delta=DELTA)
    )
    assert not recwarn.list


def test_a_csv_file_can_be_read_by_any_program(scores, tmp_path, recwarn):
    save_scores(scores, tmp_path / "scores.csv")
    foreign = pd.read_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(summarise(foreign, delta=DELTA), summarise(scores, delta=DELTA), check_dtype=False)
    again = pd.read_csv(io.StringIO(foreign.to_csv(index=False)))
    assert metric_facts(pd.concat([again, again]), "misses")["better"] == "lower"
    assert not recwarn.list


@FILES
def test_tables_from_files_can_be_joined(scores, tmp_path, name):
    parts = [saved(rows, tmp_path / name) for _, rows in scores.groupby("transform", sort=False)]
    whole = concat_scores(parts)
    assert transform_facts(whole, "fade") == transform_facts(scores, "fade")
    pd.testing.assert_frame_equal(
        summarise(whole, delta=DELTA).sort_values(["transform", "metric"], ignore_index=True),
        summarise(scores, delta=DELTA).sort_values(["transform", "metric"], ignore_index=True),
    )


@FILES
@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [1.0, 2.5],
        [0.1 + 0.2, 1e-12],
        ["axial", "3"],
        [(0, 1), (10, 1.2)],
        [("a", 1), ("b", 2)],
        [1, "a"],
        [(1, 2), 3],
        [True, False],
    ],
    ids=str,
)
def test_values_of_any_kind(tmp_path, name, values):
    rows = pd.DataFrame(dict(value=pd.Series(values), label="LV", metric="dice", score=1 / 3))
    table = make_rows(rows, "m", phantom((16, 16)), Compose(Rotate(), Zoom()), as_metrics("dice")).table()
    again = saved(table, tmp_path / name)
    assert again.value.tolist() == table.value.tolist() == values
    assert [type(v) for v in again.value.tolist()] == [type(v) for v in values]
    assert [type(part) for v in again.value if isinstance(v, tuple) for part in v] == [
        type(part) for v in values if isinstance(v, tuple) for part in v
    ]
    assert again.score.tolist() == table.score.tolist()
    assert transform_facts(again, "rotation+zoom")["neutral"] == (0, 1)


@FILES
def test_names_that_look_like_something_else(tmp_path, name):
    table = pd.concat([one_row(model="01", case="NA", label="nan"), one_row(model="True", case="", label="None")])
    again = saved(table.reset_index(drop=True), tmp_path / name)
    for column in ("model", "case", "label"):
        assert again[column].tolist() == table[column].tolist()


@FILES
def test_scores_that_are_missing_or_infinite(tmp_path, name):
    table = pd.concat([one_row(score=s, value=i) for i, s in enumerate([np.nan, np.inf, -np.inf, 0.1 + 0.2])])
    again = saved(table, tmp_path / name)
    assert np.array_equal(again.score, table.score, equal_nan=True)


@FILES
def test_columns_of_the_users_own(tmp_path, name):
    table = pd.concat([one_row(value=i).assign(site="Bonn", scanner=i) for i in range(2)], ignore_index=True)
    again = saved(table, tmp_path / name)
    assert again.site.tolist() == ["Bonn", "Bonn"]
    assert again.scanner.tolist() == [0, 1]


@FILES
def test_what_nobody_knows_is_not_made_up(tmp_path, name):
    again = saved(one_row(), tmp_path / name)
    with pytest.warns(UserWarning, match="nothing about the transform 'mine'"):
        transform_facts(again, "mine")
    with pytest.warns(UserWarning, match="nothing about the metric 'own'"):
        metric_facts(again, "own")


def test_failed_cases_are_kept_in_parquet(scores, tmp_path):
    table = scores.copy()
    table.attrs["errors"] = [dict(case="x", error="ValueError: too small")]
    assert saved(table, tmp_path / "scores.parquet").attrs["errors"] == table.attrs["errors"]


def test_bad_files_and_tables_are_errors(scores, tmp_path):
    for path in ("scores.xlsx", "scores"):
        with pytest.raises(ValueError, match="path must be the name of a file that ends with .csv or .parquet"):
            save_scores(scores, tmp_path / path)
        with pytest.raises(ValueError, match="path must be the name of a file that ends with .csv or .parquet"):
            read_scores(tmp_path / path)
    with pytest.raises(TypeError, match="scores must be a pandas table"):
        save_scores([1], tmp_path / "scores.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="scores must have the columns"):
        read_scores(tmp_path / "other.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["other.csv"]
