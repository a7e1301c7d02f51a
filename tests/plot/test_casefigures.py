"Figures of cases and models, and of Algorithm 1"

import numpy as np
import pytest
import torch

import misas as ms

SHAPES = [(20, 30), (15, 15), (30, 11)]


def mask_of(*box, shape):
    "1 in a box, 0 elsewhere"
    mask = np.zeros(shape, np.int32)
    top, bottom, left, right = box
    mask[top:bottom, left:right] = 1
    return mask


def case_of(truth, name="case", **options):
    return ms.Case(np.zeros((1, *truth.shape), np.float32), truth, name=name, **options)


def columns_of(figure, n):
    return [ax.get_title().split("\n")[0] for ax in figure.axes[:n]]


def test_a_row_for_each_case_and_two_columns_for_each_model():
    cases = [case_of(mask_of(2, 9, 2, 9, shape=shape), f"case {i}") for i, shape in enumerate(SHAPES)]
    figure = ms.plot_cases(cases, {"A": lambda image: image > 0, "B": lambda image: image == 0})
    assert len(figure.axes) == 18
    assert columns_of(figure, 6) == ["image", "truth", "A", "errors of A", "B", "errors of B"]
    names = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert names == ["case 0", "case 1", "case 2"]


def test_scores_above_the_errors():
    truth = mask_of(0, 10, 0, 10, shape=(20, 20))
    pred = mask_of(5, 15, 0, 10, shape=(20, 20))
    figure = ms.plot_cases(case_of(truth), lambda image: pred)
    assert figure.axes[3].get_title().endswith("dice 0.5")
    assert "dice" not in ms.plot_cases(case_of(truth), lambda image: pred, metric=None).axes[3].get_title()
    iou = ms.plot_cases(case_of(truth), lambda image: pred, metric="iou", label=1)
    assert iou.axes[3].get_title().endswith("iou 0.333")


def test_errors_in_the_colours_of_the_paper():
    truth, pred = mask_of(0, 4, 0, 4, shape=(8, 8)), mask_of(0, 4, 2, 6, shape=(8, 8))
    figure = ms.plot_cases(case_of(truth), lambda image: pred, error_colours="paper", alpha=1)
    picture = np.asarray(figure.axes[3].images[0].get_array())
    colour = {place: tuple(picture[int(picture.shape[0] / 16), int(picture.shape[1] * x)]) for place, x in
              dict(missed=0.1, right=0.35, invented=0.6, nothing=0.9).items()}  # fmt: skip
    assert colour == dict(missed=(255, 255, 0), right=(0, 192, 0), invented=(255, 0, 0), nothing=(0, 0, 0))


def test_runs_of_an_arm_are_one_mask():
    truth = mask_of(0, 4, 0, 8, shape=(8, 8))
    runs = [lambda image: mask_of(0, 4, 0, 6, shape=(8, 8)), lambda image: mask_of(0, 4, 2, 8, shape=(8, 8))]
    figure = ms.plot_cases(case_of(truth), {"arm": runs}, metric="recall")
    assert figure.axes[3].get_title().endswith("recall 0.5")
    both = ms.plot_cases(case_of(truth), {"arm": runs}, metric="recall", method="union")
    assert both.axes[3].get_title().endswith("recall 1")


def test_true_size():
    cases = [case_of(np.ones((10, 20), int), "a", spacing=(2, 1)), case_of(np.ones((5, 5), int), "b", spacing=(1, 2))]
    figure = ms.plot_cases(cases, lambda image: image == 0, true_size=True)
    first, second = figure.axes[0], figure.axes[4]
    assert first.get_xlim() == second.get_xlim() == (-10, 10)
    assert second.images[0].get_extent() == [-5, 5, 2.5, -2.5]  # 5 x 10 mm
    unknown = case_of(np.ones((5, 5), int), "no mm")
    with pytest.raises(ValueError, match="true_size must be False where the spacing .*'no mm'"):
        ms.plot_cases([cases[0], unknown], lambda image: image == 0, true_size=True)


def test_volumes_show_the_same_slice_in_all_columns():
    truth = np.zeros((4, 9, 9), np.int32)
    truth[3, 2:7, 2:7] = 1
    figure = ms.plot_cases(
        case_of(truth), {"A": lambda x: x == 0, "B": lambda x: truth}, error_colours="paper", alpha=1
    )
    picture = np.asarray(figure.axes[5].images[0].get_array()).reshape(-1, 3)
    assert {tuple(c) for c in picture.tolist()} == {(0, 0, 0), (0, 192, 0)}


@pytest.mark.parametrize(
    "cases, models, options, words",
    [
        ("no truth", lambda x: x > 0, {}, "truth for their errors, got none for case 'nameless'"),
        ("one", {}, {}, "models must be a model, or a dict"),
        ([], lambda x: x > 0, {}, "cases must be at least one case"),
        ("one", lambda x: x > 0, dict(label="LV"), "label must be the number of a label"),
        ("one", lambda x: x > 0, dict(panel=0), "panel must be a number > 0"),
    ],
)
def test_bad_input(cases, models, options, words):
    known = dict(
        one=case_of(np.ones((8, 8), int)), **{"no truth": case_of(np.ones((8, 8), int), "nameless").replace(truth=None)}
    )
    with pytest.raises(ValueError, match=words):
        ms.plot_cases(known[cases] if isinstance(cases, str) else cases, models, **options)


# ---- Algorithm 1


def framed(figure, row=0):
    return [i for i, ax in enumerate(figure.axes[8 * row : 8 * row + 8]) if ax.patches]


@pytest.mark.parametrize(
    "a, b, place",
    [
        ((0, 10, 0, 9), (0, 10, 0, 4), 2),  # A; the union is the same, and A is simpler
        ((0, 10, 0, 4), (0, 10, 0, 9), 3),  # B
        ((0, 10, 0, 5), (0, 10, 5, 10), 5),  # the union
        ((0, 10, 0, 15), (0, 15, 0, 10), 7),  # the intersection
    ],
)
def test_the_chosen_cell_is_framed(a, b, place):
    shape = (20, 20)
    truth = case_of(mask_of(0, 10, 0, 10, shape=shape))
    figure = ms.plot_best_mask(truth, lambda x: mask_of(*a, shape=shape), lambda x: mask_of(*b, shape=shape))
    assert framed(figure) == [place]
    (frame,) = figure.axes[place].patches
    assert frame.get_linestyle() in ("--", (0, (3, 1.5))) or "dash" in str(frame.get_linestyle())
    assert columns_of(figure, 8)[2:] == ["errors of A", "errors of B", "A∪B", "errors of A∪B", "A∩B", "errors of A∩B"]
    assert figure.legends[0].get_texts()[-1].get_text() == "chosen by Algorithm 1"


def test_undefined_dice_and_no_truth():
    shape = (20, 20)
    empty = case_of(np.zeros(shape, int), "empty")
    unknown = case_of(np.zeros(shape, int), "unknown").replace(truth=None)
    a, b = (lambda x: mask_of(0, 9, 0, 9, shape=shape)), (lambda x: mask_of(5, 14, 5, 14, shape=shape))
    figure = ms.plot_best_mask([empty, unknown], a, b)
    assert framed(figure) == [7] and "FPR 0.04" in figure.axes[7].get_title()  # 16 of 400 pixels
    assert not any(ax.patches for ax in figure.axes[8:]) and len(figure.axes) == 15
    names = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert names == ["empty", "unknown (human review)"]


def test_masks_of_two_shapes_name_the_case():
    case = case_of(mask_of(0, 4, 0, 4, shape=(8, 8)), "odd")
    small = ms.as_model(lambda x: torch.zeros(4, 4).int())
    with pytest.raises(ValueError):
        ms.plot_best_mask(case, lambda x: x == 0, small)
    several = case_of(np.arange(64).reshape(8, 8) % 3, "three")
    with pytest.raises(ValueError, match="case 'three': label must be one of 1, 2"):
        ms.plot_best_mask(several, lambda x: x == 0, lambda x: x == 0)
