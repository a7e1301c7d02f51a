"Scoring: labels, references, stores, processes, errors"

import json
import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import misas.eval.jobs
from misas.core.checks import chosen_labels
from misas.core.model import as_model
from misas.core.sweeps import Series, get_series
from misas.core.transform import as_transform
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.jobs import Job, evaluate_case, store_of
from misas.eval.scoring import evaluate, get_confusion, score
from misas.eval.steps import labels_present
from misas.eval.table import COLUMNS
from misas.eval.workers import _portable
from misas.metrics.base import as_metrics
from misas.transforms.basic import Brightness, Compose, Crop, Dihedral, Resize, Rotate, Zoom
from misas.transforms.kspace import Spike, SpikePosition

PICTURE = (np.random.default_rng(0).random((9, 9)) * 255).astype(np.uint8)


def threshold(image):
    return (image > 0.4) * 1


def bright(image):
    return image > 0.5


@pytest.fixture
def case():
    return phantom((64, 64), seed=0, noise=0).replace(labels=None)


@pytest.fixture
def series(case):
    return get_series(threshold, case, Rotate(), [0, 90], progress=False)


@pytest.fixture
def blind(case):
    "A series without truth"
    return get_series(threshold, case.replace(truth=None), Rotate(), [0, 90], progress=False)


@pytest.fixture
def halves():
    "A model whose images are half as large, and that could not prepare a truth"
    return as_model(torch.nn.Conv2d(1, 2, 1), prepare=lambda c: c.replace(image=c.image[:, ::2, ::2]))


def quiet(*arguments, **options):
    return evaluate(*arguments, **options, progress=False)


# labels


def test_labels_to_score():
    assert chosen_labels(["bg", "LV"]) == {0: "bg", 1: "LV"}
    assert chosen_labels({3: "RV"}) == {3: "RV"}
    assert chosen_labels(None) is None
    for bad in ([], {-1: "a"}, "LV", 3, ["LV", "LV"]):
        with pytest.raises(ValueError, match="labels must be"):
            chosen_labels(bad)


def test_labels_that_occur():
    mask = torch.tensor([[0, 3], [3, 7]])
    assert labels_present(mask) == {0, 3, 7}
    assert labels_present(mask * 100_000) == {0, 300_000, 700_000}
    assert labels_present(mask[:0]) == set()


# a kept series


def test_the_table_of_a_series(series):
    table = score(series)
    assert list(table) == COLUMNS
    assert len(table) == 2 * 4
    assert set(table.label) == {"0", "1", "2", "3"}
    assert np.allclose(table[table.value == 0].score, table[table.value == 90].score)


def test_names_of_labels(series):
    named = score(series, ["dice", "specificity"], ["bg", "LV", "MY", "RV"])
    assert list(named.label.unique()) == ["bg", "LV", "MY", "RV"]
    assert len(named) == 16
    assert list(score(series, labels={1: "LV"}).label.unique()) == ["LV"]
    # the case knows them
    known = get_series(threshold, phantom((64, 64)), Rotate(), [0], progress=False)
    assert list(score(known).label) == ["bg", "LV", "MY", "RV"]
    with pytest.raises(ValueError, match="labels must be a name for each label up to 3, .*, got .'bg', 'LV'."):
        score(series, labels=["bg", "LV"])


def test_without_truth_a_model_is_compared_with_itself(blind):
    table = score(blind)
    assert (table.score == 1).all()
    assert set(table.label) == {"0", "1"}
    assert (score(blind[1:]).value == 90).all()


def test_a_series_without_truth_and_reference_cannot_be_scored(case, blind, halves):
    looked_at = get_series(halves, case.replace(truth=None), Rotate(), [0], progress=False)
    without = Series(tuple(replace(s, reference=None) for s in blind), blind.transform, blind.case)
    for series in (looked_at, without):
        with pytest.raises(ValueError, match="series must have a truth, or a reference in each step"):
            score(series)


def test_distances_are_in_mm(case, series):
    in_mm = score(series, "hd95", {1: "LV"})
    pixels = get_series(threshold, case.replace(spacing=(1, 1)), Rotate(), [0], progress=False)
    in_pixels = score(pixels, "hd95", {1: "LV"}).score.item()
    assert np.isclose(in_mm[in_mm.value == 0].score.item(), in_pixels * case.spacing[0])
    with pytest.raises(ValueError, match="metrics must be 'area_difference' .* where masks have 2 axes"):
        score(series, "volume_difference")


def test_a_label_that_appears_at_some_values_is_scored_at_all_of_them(case):
    appearing = get_series(lambda x: (x > 0.8) * 9, case, Brightness(), [0.5, 1, 8], progress=False)
    nine = score(appearing, ["dice", "specificity"]).query("label == '9'")
    assert nine.query("metric == 'dice'").score.isna().sum() >= 1
    assert nine.query("metric == 'specificity' and value == .5").score.item() == 1
    assert score(appearing, absent=1).query("label == '9' and value == .5").score.item() == 1


# evaluate


def test_evaluate_gives_the_table_of_a_series(case, series, blind):
    assert quiet(threshold, case, "rotation", values=[0, 90]).equals(score(series))
    assert quiet(threshold, [case.replace(truth=None)], Rotate(), values=[0, 90]).equals(score(blind))


def test_values_for_each_transform(case):
    scores = quiet(
        threshold,
        [case, phantom((64, 64), seed=1)],
        [Rotate(), Brightness(), Spike()],
        values=dict(rotation=[0, 90], brightness=[0.5, 1, 2]),
        metrics=["dice", "iou", "precision", "recall", "specificity"],
        labels=["bg", "LV", "MY", "RV"],
    )
    assert len(scores) == 2 * (2 + 3 + 11) * 4 * 5
    assert scores.case.unique().tolist() == ["phantom-0", "phantom-1"]


def test_cases_come_in_many_forms(case):
    def over(image):
        return image > 99

    assert len(quiet(over, PICTURE, [Crop()]))
    assert len(quiet(over, [(PICTURE, PICTURE > 99)], lambda x, v: x + v, values=[0, 1])) == 4
    # a tuple of two is a pair, a list are two images
    pair = (PICTURE, PICTURE > 99)
    alone, listed, loaded = (quiet(over, c, Crop()) for c in (pair, [pair], load_case(*pair)))
    assert alone.equals(listed)
    assert alone.equals(loaded)
    assert quiet(over, [PICTURE, PICTURE], Crop()).case.unique().tolist() == ["case", "case-2"]
    assert quiet(threshold, (case, case.replace(name="b")), Crop()).case.nunique() == 2


def test_values_may_be_generators(case):
    cases = [case, case.replace(name="b")]
    given = quiet(threshold, cases, Rotate(), (v for v in (0, 90)))
    assert given.equals(quiet(threshold, cases, Rotate(), dict(rotation=iter([0, 90]))))


def test_what_is_neutral_for_all_transforms_is_predicted_once(case):
    runs = []

    def counting(image):
        runs.append(1)
        return image > 0.5

    quiet(counting, case, ["rotation", "zoom", "spike"], values=dict(rotation=[0, 90], zoom=[1, 2], spike=[0, 1]))
    assert len(runs) == 1 + 3


def test_a_transform_without_a_neutral_value(case):
    assert quiet(threshold, case, SpikePosition()).score.notna().any()


def test_all_cases_run_in_one_session_of_the_model(case, monkeypatch):
    model = as_model(threshold)
    depths = [0]  # of nested sessions, over time

    @contextmanager
    def session():
        depths.append(depths[-1] + 1)
        try:
            yield model
        finally:
            depths.append(depths[-1] - 1)

    monkeypatch.setattr(model, "session", session)
    quiet(model, [case, case.replace(name="b")], ["rotation", "zoom"], values=[1, 2])
    # cases and sweeps open sessions within that of the whole
    assert depths.count(0) == 1 + 1
    assert depths[-1] == 0


def test_freed_memory_is_kept_while_a_case_runs_unless_it_is_switched_off(case, monkeypatch):
    entered = []

    @contextmanager
    def reused_memory():
        entered.append(1)
        yield

    monkeypatch.setattr(misas.eval.jobs, "reused_memory", reused_memory)
    kept = quiet(threshold, case, ["rotation", "zoom"], values=[1, 2])
    assert len(entered) == 1
    assert quiet(threshold, case, ["rotation", "zoom"], values=[1, 2], keep_memory=False).equals(kept)
    assert len(entered) == 1


# warnings


def test_labels_that_model_and_truth_call_differently(case):
    model = as_model(threshold, labels=["bg", "MY"])
    with pytest.warns(UserWarning, match="e.g. 1 is 'MY' and 'LV'; scores go by the numbers"):
        quiet(model, case.replace(labels=("background", "LV")), Rotate(), [0])


def test_a_model_that_finds_nothing(case):
    with pytest.warns(
        UserWarning,
        match="none of the truth's labels .1, 2, 3. in an unchanged image, but background only: check which",
    ):
        quiet(lambda x: x * 0 > 1, case, Rotate(), [0])
    with pytest.warns(UserWarning, match="labels .255. in .* but the labels .1.: divide the truth by 255"):
        quiet(threshold, case.replace(truth=(case.truth == 1) * 255), Rotate(), [0])


# errors


def test_a_model_without_truth_needs_a_prepare_that_takes_a_truth(case, halves):
    with pytest.raises(ValueError, match="'Conv2d'"):
        quiet(halves, case.replace(truth=None), Rotate(), [0])


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(cases=[]), "cases must be at least one case"),
        (dict(transforms=[]), "transforms must be at least one transform"),
        (dict(transforms=["rotatoin"]), "did you mean 'rotation'"),
        (dict(values=[]), "values"),
        (dict(metrics=["dise"]), "did you mean 'dice'"),
        (dict(values={"zoom": [1]}), "key of values must be one of 'rotation', got 'zoom'"),
        (dict(transforms=[Rotate(), Rotate()]), "transforms must be transforms of different names"),
        (dict(store=__file__), "store must be the path of a folder, not of a file"),
        (dict(store=5), "store must be a string, a path or None, got 5"),
        (dict(n_jobs=0), "n_jobs must be an integer from 1 to 1024"),
        (dict(absent="x"), "absent must be a number, such as 0 or NaN, got 'x'"),
        (dict(absent=True), "absent must be a number, such as 0 or NaN, got True"),
        (dict(batch_size=2.5), "batch_size must be an integer >= 1 or None, got 2.5"),
        (dict(labels=3), "labels must be a list of names"),
        (dict(metrics=5), "metrics must be a name, a function"),
        (dict(values=[0, 0]), "values for rotation must differ from one another, got 0 twice"),
    ],
)
def test_bad_arguments_are_errors(case, bad, message):
    with pytest.raises((ValueError, TypeError), match=message):
        quiet(**(dict(model=threshold, cases=case, transforms=[Rotate()]) | bad))


# one case is one piece of work


@pytest.fixture
def job():
    return Job(as_model(threshold), (as_transform("rotation"),), [0, 90], as_metrics("dice"), progress=False)


def test_each_setting_has_its_own_results(job, tmp_path):
    changes = [
        dict(model=as_model(threshold, name="other")),
        dict(absent=1.0),
        dict(labels=["bg"]),
        dict(metrics=as_metrics("iou")),
    ]
    settings = {store_of(tmp_path, replace(job, **change)).settings for change in changes}
    assert len(settings | {store_of(tmp_path, job).settings}) == 5


def test_what_is_in_the_store_needs_no_model(job, case, tmp_path):
    store = store_of(tmp_path, job)
    job = replace(job, transforms=(Rotate(), Zoom()), values=None)
    found, error = evaluate_case(job, case, store)
    assert error is None
    assert len(found) == 2
    again, error = evaluate_case(replace(job, model=None), case, store)
    assert error is None
    assert again == found


def test_an_error_is_the_result_of_a_case_and_noted_in_the_store(job, case, tmp_path):
    tables, error = evaluate_case(replace(job, values=[math.inf]), case, store_of(tmp_path, job))
    assert not tables
    assert isinstance(error, ValueError)
    assert "inf" in json.loads(next(tmp_path.glob("*.error.json")).read_text())["error"]


def test_errors_can_be_sent_to_another_process():
    class Two(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")

    assert repr(_portable(ValueError("a"))) == "ValueError('a')"
    assert repr(_portable(Two(1, 2))) == "RuntimeError('Two: 1 and 2')"


# stores and processes


def test_an_interrupted_run_goes_on_and_a_case_that_fails_stops_no_other(tmp_path):
    cases = [phantom((32, 32), seed=seed) for seed in range(3)]
    log = tmp_path / "runs"
    log.touch()

    def counting(image):
        with log.open("a") as file:
            file.write(".")
        return image > 0.5

    settings = dict(transforms="rotation", values=[0, 90], store=tmp_path / "results")
    first = quiet(counting, cases[:2], **settings)
    assert log.stat().st_size == 4
    assert quiet(counting, cases, **settings).iloc[: len(first)].equals(first)
    assert log.stat().st_size == 6
    wrong = cases[1].replace(truth=cases[1].truth[:-1])
    with pytest.warns(UserWarning, match="1 of 3 cases failed, the first one 'phantom-1'"):
        partly = quiet(counting, [cases[0], wrong, cases[2]], **settings)
    assert partly.case.unique().tolist() == ["phantom-0", "phantom-2"]
    assert partly.attrs["errors"][0]["case"] == "phantom-1"


def test_two_processes_give_the_same():
    cases = [phantom((32, 32), seed=seed) for seed in range(3)]
    assert quiet(bright, cases, "rotation", [0, 90], n_jobs=2).equals(quiet(bright, cases, "rotation", [0, 90]))


def test_values_that_are_tuples_and_fields_that_are_lists(case, tmp_path):
    settings = dict(
        transforms=[Compose(Rotate(), Zoom()), Rotate(axes=[-2, -1])],
        values={"rotation+zoom": [(0, 1), (10, 1.2)], "rotation": [0, 90]},
        store=tmp_path,
    )
    first = quiet(threshold, case, **settings)
    second = quiet(threshold, case, **settings)
    assert first.value.tolist() == second.value.tolist()
    assert first.score.equals(second.score)


def test_functions_of_one_name_with_other_code_are_told_apart(case, tmp_path):
    tables = []
    for factor in (1, 9):

        def f(image, value, factor=factor):
            return image * factor + value

        tables.append(quiet(threshold, case, as_transform(f), [0, 1], store=tmp_path))
    assert not tables[0].score.equals(tables[1].score)


def test_many_small_tables_become_one(monkeypatch):
    cases = [phantom((16, 16), seed=seed) for seed in range(3)]
    whole = quiet(bright, cases, "rotation", [0])
    parts = [quiet(bright, case, "rotation", [0]) for case in cases]
    assert whole.equals(pd.concat(parts, ignore_index=True))


# closed form


@pytest.fixture(scope="module")
def disc():
    return np.hypot(*(np.indices((257, 257)) - 128)) <= 50


@pytest.fixture(scope="module")
def plain(disc):
    return load_case(np.where(disc, 0.8, 0.2).astype(np.float32), disc)


def test_dice_of_a_model_that_always_predicts_the_same_disc(disc):
    same = quiet(lambda x: disc, load_case(disc.astype(np.float32), disc), [Zoom()], labels={1: "disc"})
    expected = 2 * np.minimum(same.value**2, 1) / (1 + same.value**2)
    assert np.abs(same.score - expected).max() < 0.005


def test_a_threshold_tolerates_a_known_range_of_brightness(plain):
    tolerated = quiet(bright, plain, Brightness(), [0.62, 0.624, 0.626, 1, 2.49, 2.51, 3], labels={1: "disc"})
    assert (tolerated.score == 1).tolist() == [False, False, True, True, True, False, False]


def test_turns_and_sizes_lose_nothing(plain):
    for transform, values in ((Dihedral(), range(8)), (Rotate(), [0, 90, 180, -90])):
        assert (quiet(bright, plain, transform, values).score == 1).all()
    assert (quiet(bright, plain, Resize()).score > 0.95).all()


def test_a_resized_image_has_other_pixels_and_the_same_anatomy(plain):
    def area(truth, pred, spacing):
        return truth.sum() * np.prod(spacing)

    areas = quiet(bright, plain, Resize(), metrics=[area], labels={1: "disc"}).score
    assert np.allclose(areas, np.pi * 50**2, rtol=0.02)


def test_distances_and_areas_are_those_of_the_anatomy():
    far = np.hypot(*(np.indices((129, 129)) - 64) * 2)  # pixels of 2 mm
    image = np.where(far <= 50, 0.9, np.where(far <= 60, 0.7, 0.1)).astype(np.float32)
    rings = load_case(image, far <= 50, spacing=(2, 2))
    settings = dict(metrics=["hausdorff", "hd95", "assd", "area_difference"], labels={1: "disc"})
    for transform, values in ((Resize(), [65, 129, 258]), (Dihedral(), range(8)), (Rotate(), [0, 90])):
        found = quiet(bright, rings, transform, values, **settings)
        found = found.pivot(index="value", columns="metric", values="score")
        assert np.allclose(found[["hausdorff", "hd95", "assd"]], 10, atol=2.5), transform
        assert np.allclose(found.area_difference, np.pi * 11, rtol=0.1), transform
    zoomed = quiet(bright, rings, Zoom(), [1, 2], **settings).pivot(index="value", columns="metric", values="score")
    assert np.allclose(zoomed.hd95, [10, 20], atol=1)
    assert np.allclose(zoomed.area_difference, [np.pi * 11, np.pi * 44], rtol=0.1)


# confusion


def test_confusion_of_a_step_and_of_a_series(series):
    matrices = get_confusion(series)
    assert matrices.shape == (2, 4, 4)
    assert (matrices.sum((1, 2)) == 64 * 64).all()
    assert np.array_equal(get_confusion(series[0]), matrices[0][:4, :4])
    with pytest.raises(ValueError, match="steps must be of a case with truth"):
        get_confusion(replace(series[0], truth=None))


def test_models_of_one_name_are_numbered_around_the_names_of_others(case):
    named = [as_model(threshold, name=name) for name in ("a", "a", "a-2")]
    assert quiet(named, case, Crop()).model.unique().tolist() == ["a", "a-3", "a-2"]
