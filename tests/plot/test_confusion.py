import doctest
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import misas.plot.confusion
from misas.core.sweeps import Step, get_series
from misas.plot.confusion import (
    _cell_side,
    _cell_text,
    _cell_texts,
    _counts,
    _draw_confusion,
    _HeatMap,
    _is_slanted,
    _shares,
    plot_confusion,
    plot_confusion_series,
)
from misas.transforms.basic import Rotate

CHAMBERS = ["background", "left ventricle", "myocardium", "right ventricle"]


def texts(figure):
    return [t.get_text() for t in figure.axes[0].texts]


@pytest.fixture(scope="module")
def alone(case, stubborn):
    "A series without a truth"
    return get_series(stubborn, case.replace(truth=None), Rotate(), values=[0, 30], progress=False)


def test_docstring_examples():
    assert doctest.testmod(misas.plot.confusion).failed == 0


def test_a_row_or_column_without_pixels_has_no_share():
    assert np.array_equal(_shares(np.array([[3, 1], [0, 0]]), "truth"), [[0.75, 0.25], [np.nan] * 2], equal_nan=True)
    assert np.array_equal(_shares(np.array([[3, 1], [1, 0]]), "pred"), [[0.75, 1], [0.25, 0]])


def test_labels_that_occur_are_counted(case):
    step = Step(0, case.image, torch.tensor([0, 255, 255]), torch.tensor([0, 255, 7]))
    (counts,), names = _counts([step], None)
    assert names == ["0", "7", "255"]
    assert counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]


def test_shares_are_rounded_but_never_to_nothing_or_all():
    shown = [_cell_text(7, share, "truth", False) for share in (0, 0.001, 0.3, 0.999, 1, np.nan)]
    assert shown == ["0 %", "< 1 %", "30 %", "> 99 %", "100 %", "–"]
    assert _cell_text(1234, 0.5, "truth", True) == "50 %\n1,234"
    assert _cell_text(1234, 1234, None, True) == "1,234"
    assert _cell_texts(np.array([[3, 1], [0, 0]]), "truth", False) == ["75 %", "25 %", "–", "–"]


def test_cells_are_as_large_as_their_numbers():
    assert _is_slanted(["bg", "myocardium"], 0.5)
    assert not _is_slanted(["bg", "LV"], 0.5)
    assert _cell_side(["12"]) == 0.5 < _cell_side(["50 %\n123,456,789"]) < 0.9


def test_colours_mean_the_same_in_all_matrices():
    ax = Figure().subplots()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = _draw_confusion(ax, np.eye(2), _HeatMap(["a", "b"], "truth", 1, 1))
    assert image.get_clim() == (0, 1)
    assert len(ax.texts) == 4
    assert matplotlib.colors.to_hex(image.cmap.get_bad()) == "#dddddd"


def test_numbers_without_room_are_left_out():
    ax = Figure().subplots()
    _draw_confusion(ax, np.eye(2), _HeatMap(["a", "b"], "truth", 1, 0.1))
    assert not ax.texts


def test_shares_and_counts_are_written():
    figure = plot_confusion([[900, 20, 0], [10, 80, 0], [0, 0, 0]], ["bg", "LV", "MY"])
    assert texts(figure) == ["98 %\n900", "2 %\n20", "0 %\n0", "11 %\n10", "89 %\n80", "0 %\n0", "–", "–", "–"]
    assert texts(plot_confusion(torch.tensor([[0]]))) == ["–"]


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(matrix=[[1, 2]]), r"matrix must have a shape \(n, n\), got \(1, 2\)"),
        (dict(matrix=[[-1]]), "matrix must hold counts >= 0, got -1"),
        (dict(matrix=[[1]], labels=["a", "b"]), "labels must be 1 names, one for each row"),
        (dict(matrix=[[1]], normalise="row"), "normalise must be one of 'truth', 'pred', None, got 'row'"),
    ],
)
def test_bad_matrices_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        plot_confusion(**bad)


def test_a_matrix_needs_one_step_with_a_truth(case, series):
    with pytest.raises(ValueError, match="step must be of a case with a truth"):
        plot_confusion(Step(0, case.image, None, case.truth))
    with pytest.raises(ValueError, match="got a Series of 4 steps"):
        plot_confusion(series)


def test_a_step_is_drawn_with_what_its_series_knows(series):
    ax = Figure().subplots()
    assert plot_confusion(series[1], ax=ax) is ax
    assert plot_confusion(series[1:2], normalise=None).axes[0].get_title() == "deg = 30°"
    assert plot_confusion(series[1:2], normalise="pred").axes[0].get_xticklabels()[1].get_text() == "LV"


def overlapping(figure):
    "Pairs of numbers that touch, and texts outside of the figure"
    figure.draw_without_rendering()
    pairs, outside = [], []
    for ax in figure.axes:
        cells = [t.get_window_extent() for t in ax.texts]
        pairs += [(a, b) for i, a in enumerate(cells) for b in cells[:i] if a.overlaps(b)]
        named = (*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title, ax.xaxis.label, ax.yaxis.label)
        for text in (*ax.texts, *named):
            box = text.get_window_extent()
            is_inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
            if text.get_text() and text.get_visible() and not is_inside:
                outside.append(text.get_text())
    return pairs, outside


def test_names_end_below_their_column(series):
    figure = plot_confusion(series[1:2], CHAMBERS)
    figure.draw_without_rendering()
    ends = [t.get_window_extent().x1 for t in figure.axes[0].get_xticklabels()]
    columns = figure.axes[0].transData.transform([(k, 0) for k in range(4)])[:, 0]
    assert np.abs(ends - columns).max() < 0.25 * np.diff(columns)[0]


def test_in_one_matrix_nothing_overlaps_or_is_cut_off(series):
    numbers = np.random.default_rng(0).integers(0, 10**9, (12, 12))
    assert overlapping(plot_confusion(series[1:2], CHAMBERS)) == ([], [])
    assert overlapping(plot_confusion(numbers, [f"name {k}" for k in range(12)])) == ([], [])
    assert overlapping(plot_confusion(numbers, normalise=None)) == ([], [])
    assert overlapping(plot_confusion([[1]])) == ([], [])


def test_in_a_series_nothing_overlaps_or_is_cut_off(series, alone):
    assert overlapping(plot_confusion_series(series[:2], CHAMBERS)) == ([], [])
    assert overlapping(plot_confusion_series(series, CHAMBERS, columns=3)) == ([], [])
    assert overlapping(plot_confusion_series(series, CHAMBERS, None)) == ([], [])
    assert overlapping(plot_confusion_series(series[:1], CHAMBERS, panel=1.5)) == ([], [])
    assert overlapping(plot_confusion_series(alone)) == ([], [])
    assert overlapping(plot_confusion_series(series[:2], [f"name {k}" for k in range(12)])) == ([], [])


def test_a_series_has_a_matrix_for_each_step_and_one_colour_bar(series):
    figure = plot_confusion_series(series)
    assert len(figure.axes) == 5
    assert len({ax.images[0].get_clim() for ax in figure.axes[:4]}) == 1
    for normalise in ("pred", None):
        assert len(plot_confusion_series(series[:1], normalise=normalise).axes) == 2
    assert not plt.get_fignums()


def test_without_a_truth_the_prediction_for_the_unchanged_image_takes_its_place(alone):
    figure = plot_confusion_series(alone)
    assert figure.axes[0].get_ylabel() == "prediction, unchanged image"
    assert texts(figure)[5] == "100 %"


def test_names_take_nothing_from_the_matrices(series):
    figure = plot_confusion_series(series[:2], CHAMBERS)
    figure.draw_without_rendering()
    sides = [ax.get_window_extent().width / figure.dpi for ax in figure.axes[:2]]
    assert np.ptp(sides) < 0.02
    assert abs(sides[0] - 4 * 0.57) < 0.3


@pytest.mark.parametrize(
    "bad, allowed",
    [
        (dict(columns=0), "an integer >= 1 or None"),
        (dict(columns=1.5), "an integer >= 1 or None"),
        (dict(panel=0), "a number > 0 or None"),
        (dict(panel="wide"), "a number > 0 or None"),
    ],
)
def test_bad_sizes_are_named(series, bad, allowed):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name} must be {allowed}, got {value!r}"):
        plot_confusion_series(series, **bad)
