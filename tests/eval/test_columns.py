"Columns of cases and of arms in the score table: from table files to score tables, in stores, processes and files"

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from misas.core.sweeps import get_series
from misas.data.casetables import read_cases
from misas.data.phantoms import phantom
from misas.eval.files import read_scores, save_scores
from misas.eval.scoring import evaluate, score
from misas.eval.table import case_columns, concat_scores, typed_column

OPTIONS = dict(labels={1: "LV"}, progress=False)


def low(image):
    return image > 0.3


def high(image):
    return image > 0.5


def middle(image):
    return image > 0.4


@pytest.fixture
def cases():
    said = [dict(scanner="A", age="61", patient="01"), dict(scanner="B", age="", patient="02"), dict(scanner="A")]
    return [phantom((32, 33), seed=i).replace(columns=columns) for i, columns in enumerate(said)]


def test_columns_follow_the_eight(cases):
    table = evaluate(low, cases, "rotation", [0, 10], **OPTIONS)
    assert list(table)[8:] == case_columns(table) == ["scanner", "age", "patient"]
    assert table.scanner.tolist() == list("AABBAA")
    assert table.age.tolist()[:2] == [61, 61] and table.age[2:].isna().all()
    assert table.patient.tolist()[:4] == ["01", "01", "02", "02"] and table.patient[4:].isna().all()
    plain = evaluate(low, [case.replace(columns={}) for case in cases], "rotation", [0, 10], **OPTIONS)
    assert case_columns(plain) == [] and plain.equals(table[list(plain)]) and plain.attrs == table.attrs


def test_a_kept_series_has_them_too(cases):
    series = get_series(low, cases[0], "rotation", [0, 10], progress=False)
    expected = evaluate(low, cases[0], "rotation", [0, 10], **OPTIONS)
    pd.testing.assert_frame_equal(score(series, labels={1: "LV"}), expected.assign(model=series.model))


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_files_give_them_back(cases, tmp_path, end):
    table = evaluate({"a": [low, high], "b": [middle]}, [*cases, phantom((32, 33), seed=9)], **OPTIONS)
    table["nothing"] = pd.Series([None] * len(table), dtype=object)
    save_scores(table, tmp_path / f"t.{end}")
    back = read_scores(tmp_path / f"t.{end}")
    assert list(back) == list(table) and back.nothing.isna().all()
    pd.testing.assert_frame_equal(back.drop(columns="nothing"), table.drop(columns="nothing"))


def test_stores_and_processes(cases, tmp_path):
    first = evaluate(low, cases, "rotation", [0, 10], store=tmp_path, **OPTIONS)
    others = [case.replace(columns=dict(site="X")) for case in cases]  # the scores are in the store, and still right
    again = evaluate(low, others, "rotation", [0, 10], store=tmp_path, **OPTIONS)
    assert case_columns(again) == ["site"] and again.score.equals(first.score)
    pd.testing.assert_frame_equal(evaluate(low, cases, "rotation", [0, 10], n_jobs=2, **OPTIONS), first)


def test_joined_tables(cases):
    one, other = (evaluate(low, case, "rotation", [0], **OPTIONS) for case in cases[::2])
    assert concat_scores([one, other]).scanner.tolist() == ["A", "A"]
    assert concat_scores([one, other]).age.isna().tolist() == [False, True]


def test_from_a_csv_file_to_the_scores(tmp_path):
    for i in range(2):
        case = phantom((32, 32), seed=i)
        Image.fromarray((case.image[0] * 255).byte().numpy()).save(tmp_path / f"{i}.png")
        Image.fromarray(case.truth.byte().numpy()).save(tmp_path / f"{i}_mask.png")
    (tmp_path / "cases.csv").write_text("image,truth,site,age\n0.png,0_mask.png,North,50\n1.png,1_mask.png,South,\n")
    expected = evaluate(low, tmp_path / "cases.csv", **OPTIONS)
    assert (
        expected.site.tolist() == ["North", "South"] and expected.age.iloc[0] == 50 and np.isnan(expected.age.iloc[1])
    )
    frame = pd.read_csv(tmp_path / "cases.csv").assign(
        image=[str(tmp_path / f"{i}.png") for i in range(2)], truth=[str(tmp_path / f"{i}_mask.png") for i in range(2)]
    )
    pd.testing.assert_frame_equal(evaluate(low, read_cases(frame), **OPTIONS), expected)


def test_arms_have_runs(cases):
    table = evaluate({"deep": [low, high], "flat": middle}, cases, **OPTIONS)
    named = table[["model", "arm", "run"]].drop_duplicates()
    assert named.values.tolist() == [["deep 1", "deep", 1], ["deep 2", "deep", 2], ["flat 1", "flat", 1]]
    assert list(table)[8:10] == ["arm", "run"] and case_columns(table) == ["scanner", "age", "patient"]
    alone = evaluate(middle, cases, **OPTIONS)
    assert table[table.arm == "flat"].score.tolist() == alone.score.tolist()


def test_models_by_name(cases):
    table = evaluate({"l": low, "h": high}, cases, **OPTIONS)
    assert table.model.unique().tolist() == ["l", "h"] and "arm" not in table


@pytest.mark.parametrize("name", ["score", "model", "arm", "run", "unit", "better"])
def test_taken_names(cases, name):
    bad = cases[0].replace(name="first", columns={name: "x"})
    with pytest.raises(
        ValueError, match=f"columns of case 'first' must have a name other than .*, got '{name}': rename"
    ):
        evaluate(low, bad, **OPTIONS)


@pytest.mark.parametrize("model", [{}, {1: low}, {"a": []}])
def test_bad_models(cases, model):
    with pytest.raises((ValueError, TypeError), match="model"):
        evaluate(model, cases, **OPTIONS)


@pytest.mark.parametrize(
    "texts, expected",
    [
        (["1", "2"], [1, 2]),
        (["1.5", "-2", "1e-05"], [1.5, -2, 1e-05]),
        (["01", "2"], ["01", "2"]),
        (["1_000"], ["1_000"]),
        (["nan", "1"], ["nan", "1"]),
        (["inf"], ["inf"]),
        (["True", "False"], [True, False]),
        (["NA", "A"], ["NA", "A"]),
        ([3, 4.5], [3, 4.5]),
    ],
)
def test_types(texts, expected):
    assert typed_column(pd.Series(texts, dtype=object)).tolist() == expected
