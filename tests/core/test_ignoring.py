"Conventions that say which pixels of a truth are not annotated"

import numpy as np
import pandas as pd
import pytest
import torch

import misas as ms
from misas.core.ignoring import checked_ignore

IMAGE = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
VOID_IDS = (-1, 0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)  # `ignoreInEval` in Cityscapes' labels.py
CLASSES = [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]


def test_ids_of_cityscapes_are_ignored_as_its_benchmark_does():
    truth = np.resize([*VOID_IDS, *CLASSES], IMAGE.shape)
    case = ms.Case(IMAGE, truth, ignore="cityscapes")
    assert case.ignore == 255
    assert np.array_equal(case.truth.numpy() == 255, np.isin(truth, VOID_IDS))
    assert sorted(set(case.truth.unique().tolist()) - {255}) == CLASSES
    assert len(CLASSES) == 19  # classes of the benchmark


def test_train_ids_of_cityscapes_keep_the_small_numbers():
    truth = np.resize([0, 1, 5, 18, 255], IMAGE.shape).astype(np.uint8)
    for made in (ms.Case(IMAGE, truth, ignore="cityscapes"), ms.load_case(IMAGE, truth, ignore="cityscapes-trainIds")):
        assert made.ignore == 255 and sorted(made.truth.unique().tolist()) == [0, 1, 5, 18, 255]
    assert ms.Case(IMAGE, truth - 250 * (truth == 255), ignore="cityscapes-labelIds").truth.unique().tolist() == [255]


def test_what_may_be_either_is_said():
    with pytest.warns(UserWarning, match="case 'case': .* train ids of Cityscapes.*cityscapes-labelIds"):
        ms.Case(IMAGE, np.full(IMAGE.shape, 7), ignore="cityscapes")
    with pytest.raises(ValueError, match="truth of case 'case' must have ids .* got 26001"):
        ms.Case(IMAGE, np.full(IMAGE.shape, 26001), ignore="cityscapes")


@pytest.mark.parametrize("made", [np.asarray, torch.tensor, np.float32, lambda t: np.ma.masked_equal(t, 8)])
def test_truths_of_all_kinds(made):
    truth = made(np.resize([7, 8, 4, 26], IMAGE.shape))
    case = ms.Case(IMAGE, truth, ignore="cityscapes")
    assert set(case.truth.unique().tolist()) <= {7, 8, 26, 255, case.ignore}
    assert (case.truth == 4).sum() == 0


def test_names_of_labels_say_it():
    truth = np.resize([0, 1, 2], IMAGE.shape)
    codes = ["Sky", "Car", "Void"]
    assert ms.Case(IMAGE, truth, ignore="fastai", labels=codes).ignore == 2
    assert ms.Case(IMAGE, truth, ignore="fastai", labels=["Void", "Car", "Sky"]).ignore == 0
    assert ms.load_case(IMAGE, truth, ignore="nnunet", labels=["background", "tumour", "ignore"]).ignore == 2
    with pytest.raises(ValueError, match="'ignore' must be the highest.* got 1 of case 'case', .* is 2; ignore=1"):
        ms.load_case(IMAGE, truth, ignore="nnunet", labels=["background", "ignore", "tumour"])
    for convention, labels in (("fastai", None), ("fastai", ["a", "b"]), ("nnunet", codes)):
        with pytest.raises(ValueError, match=f"ignore='{convention}' needs one label called"):
            ms.Case(IMAGE, truth, ignore=convention, labels=labels)


def sky(image):
    return (image > 0.5).astype(int)


def test_scores_are_those_without_the_void():
    truth = np.where(IMAGE > 0.5, 1, 0)
    truth[:, ::3] = 2
    case = ms.Case(IMAGE, truth, spacing=(1, 1), labels=["Sky", "Car", "Void"], scale=(0, 1))
    options = dict(values=[1, 1.3], progress=False)
    expected = ms.evaluate(sky, case, ms.Brightness(), ignore=2, **options)
    assert ms.evaluate(sky, case, ms.Brightness(), ignore="fastai", **options).equals(expected)
    series = ms.get_series(sky, case, ms.Brightness(), [1, 1.3], progress=False)
    assert ms.score(series, ignore="fastai").equals(expected)
    void = ms.Case(IMAGE, np.where(truth == 2, 255, truth), spacing=(1, 1), scale=(0, 1), ignore=255)
    plain = ms.evaluate(sky, void, ms.Brightness(), **options)
    assert plain.score.tolist() == expected.score.tolist()


def test_several_values_of_a_series_are_ignored_at_once():
    truth = np.where(IMAGE > 0.5, 26, 7)
    truth[:, ::3] = 4
    truth[:2] = 30
    series = ms.get_series(
        sky, ms.Case(IMAGE, truth, spacing=(1, 1), ignore=False), ms.Brightness(), [1], progress=False
    )
    table = ms.score(series, ignore="cityscapes", labels={26: "car"})
    case = ms.Case(IMAGE, truth, spacing=(1, 1), ignore="cityscapes")
    direct = ms.score(ms.get_series(sky, case, ms.Brightness(), [1], progress=False), labels={26: "car"})
    assert table.score.equals(direct.score)


def test_model_may_know_the_names():
    case = ms.Case(IMAGE, np.resize([0, 1, 2], IMAGE.shape), spacing=(1, 1))
    model = ms.as_model(sky, labels=["Sky", "Car", "Void"])
    table = ms.evaluate(model, case, ms.Brightness(), [1], ignore="fastai", progress=False)
    assert "Void" not in set(table.label)


@pytest.mark.parametrize(
    "bad, kind",
    [("city", ValueError), ("Cityscape", ValueError), ("255", TypeError), (True, TypeError), ([0], TypeError)],
)
def test_unknown_names(bad, kind):
    for take in (
        checked_ignore,
        lambda ignore: ms.Case(IMAGE, ignore=ignore),
        lambda ignore: ms.load_case(IMAGE, IMAGE > 0.5, ignore=ignore),
        lambda ignore: ms.CaseFile("a.png", "b.png", ignore=ignore),
        lambda ignore: ms.evaluate(
            sky, ms.Case(IMAGE, IMAGE > 0.5), ms.Brightness(), [1], ignore=ignore, progress=False
        ),
    ):
        with pytest.raises(kind, match="ignore must be .*('cityscapes', .*'fastai', 'nnunet'|a string)"):
            take(bad)


def test_structures_that_overlap_take_a_value_only():
    with pytest.raises(TypeError, match="ignore must be the value of pixels"):
        ms.Case(IMAGE, np.zeros((2, *IMAGE.shape), bool), overlapping=True, ignore="cityscapes")


def shaped(array, ndim):
    "A picture, or the same in a volume of two slices"
    return array if ndim == 2 else np.stack([array, array])


ORDERS = {"last": ["Sky", "Car", "Void"], "first": ["Void", "Sky", "Car"], "between": ["Sky", "Void", "Car"]}


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_list_names_the_void_and_a_dict_leaves_it_out(ndim, order, by_name):
    codes = ORDERS[order]
    sky, car, void = map(codes.index, ("Sky", "Car", "Void"))
    truth = np.where(IMAGE > 0.5, car, sky)
    truth[:, ::3] = void
    image = IMAGE if ndim == 2 else shaped(IMAGE, 3)[None]
    ignore = "fastai" if by_name else void
    case = ms.Case(image, shaped(truth, ndim), "c", spacing=(1,) * ndim, labels=codes, scale=(0, 1), ignore=ignore)

    def model(image):
        return np.where(np.asarray(image) > 0.6, car, sky).reshape(case.shape)

    options = dict(progress=False, values=[1, 1.3])
    some = {sky: "Sky", car: "Car"}
    expected = ms.evaluate(model, case, ms.Brightness(), labels=some, **options)
    assert set(expected.label) == {"Sky", "Car"} and (expected.score > 0.5).any()
    by_list = ms.evaluate(model, case, ms.Brightness(), labels=codes, **options)
    pd.testing.assert_frame_equal(by_list, expected)
    series = ms.get_series(model, case, ms.Brightness(), [1, 1.3], progress=False)
    assert ms.score(series, labels=codes).score.tolist() == expected.score.tolist()
    plain = case.replace(ignore=None)
    assert ms.evaluate(model, plain, ms.Brightness(), labels=codes, ignore=ignore, **options).equals(expected)
    assert "Void" in set(ms.evaluate(model, case, ms.Brightness(), labels=codes, ignore=False, **options).label)


def test_a_dict_that_asks_for_the_void_is_told_a_remedy_that_works():
    truth = np.where(IMAGE > 0.5, 1, 0)
    truth[:, ::3] = 2
    case = ms.Case(IMAGE, truth, "c", spacing=(1, 1), scale=(0, 1), ignore=2)
    options = dict(labels={0: "Sky", 1: "Car", 2: "Void"}, progress=False)
    with pytest.raises(ValueError, match="labels other than 2, which is ignored .*case 'c' .ignore=False counts it"):
        ms.evaluate(sky, case, **options)
    assert set(ms.evaluate(sky, case, ignore=False, **options).label) == {"Sky", "Car", "Void"}
    with pytest.raises(ValueError, match="labels must be more than the label that is ignored in the truth of case 'c'"):
        ms.evaluate(
            sky, case.replace(truth=torch.zeros(6, 8, dtype=torch.int32), ignore=0), labels=["Void"], progress=False
        )


def best_masks_of_one(model, case, **options):
    return ms.best_masks(case, model, model, **options)


@pytest.mark.parametrize("function", [ms.threshold_scores, ms.confidence_table, best_masks_of_one])
def test_other_functions_of_labels_leave_the_void_out(function):
    net, case = ms.demo_model(), ms.phantom((64, 64), seed=0)
    truth = case.truth.clone()
    truth[:, ::3] = 3
    case = case.replace(truth=truth, ignore=3, labels=None)
    codes = ["none", "LV", "MY", "Void"]
    found = function(net, case, labels=codes, progress=False)
    assert found.equals(function(net, case, labels=dict(enumerate(codes[:3])), progress=False))
    assert "LV" in set(found.label) and "Void" not in set(found.label)
    assert set(ms.prominence_table(case, labels=codes, progress=False).label) == {"LV", "MY"}
