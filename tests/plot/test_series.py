import doctest
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import misas.plot.series
from misas.core.sweeps import get_series
from misas.data.phantoms import phantom
from misas.plot.overlays import overlay, series_view
from misas.plot.series import plot_frame, plot_series, plot_transform, some_values
from misas.transforms.basic import Brightness, Compose, Crop, Dihedral, Resize, Rotate, Zoom


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def legend(figure):
    return [t.get_text() for t in figure.legends[0].get_texts()]


def legend_title(figure):
    return figure.legends[0].get_title().get_text()


def drawn(ax):
    return np.asarray(ax.images[0].get_array())


def test_docstring_examples():
    assert doctest.testmod(misas.plot.series).failed == 0


def test_each_step_has_a_panel_and_each_label_an_entry(series):
    figure = plot_series(series[:3], panel=1.5)
    assert titles(figure) == ["deg = 0°", "deg = 30°", "deg = 60°"]
    assert legend(figure) == ["LV", "MY", "RV", "prediction", "truth"]


def test_what_is_not_drawn_is_not_in_the_legend(case, stubborn):
    brighter = get_series(stubborn, case, Brightness(), values=[0.5, 1, 2], progress=False)
    assert legend(plot_series(brighter, panel=1.5, truth=None)) == ["LV", "MY", "RV", "prediction"]


def test_labels_with_the_same_colour_are_warned_of(case):
    stripes = torch.arange(128).div(8, rounding_mode="floor").int().expand(128, 128).contiguous()
    striped = case.replace(truth=stripes, labels=None)
    many = get_series(lambda x: np.asarray(x > 0.4, int), striped, Brightness(), values=[1], progress=False)
    with pytest.warns(UserWarning, match="labels '1' and '15'") as caught:
        plot_series(many)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_series(many, truth="fill", colours="turbo")


def test_any_number_of_steps_columns_and_sizes(series, turned, resized, without_truth):
    assert len(plot_series(series[1:2]).axes) == 1
    assert len(plot_series(series, columns=3, colours="viridis").axes) == 4
    assert len(plot_series(turned, columns=1).axes) == 2
    assert len({drawn(ax).shape for ax in plot_series(turned).axes}) == 2
    styled = plot_series(resized, labels=["air", "bright"], colours=["magenta"], pred="contour", window=(0, 0.5))
    assert len(styled.axes) == 2
    assert legend(plot_series(without_truth)) == ["1", "prediction"]


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_any_number_of_channels(case, channels):
    many = case.replace(image=case.image.repeat(channels, 1, 1))
    steps = get_series(lambda x: np.zeros((128, 128), int), many, Brightness(), values=[1], progress=False)
    plot_series(steps, channel=1).draw_without_rendering()


@pytest.mark.parametrize(
    "bad, allowed",
    [
        (dict(columns=0), "an integer >= 1 or None"),
        (dict(columns=1.5), "an integer >= 1 or None"),
        (dict(columns="two"), "an integer >= 1 or None"),
        (dict(panel=0), "a number > 0"),
        (dict(panel="wide"), "a number > 0"),
        (dict(panel=None), "a number > 0"),
    ],
)
def test_bad_sizes_are_named(series, bad, allowed):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name} must be {allowed}, got {value!r}"):
        plot_series(series, **bad)


def test_misspelt_arguments_are_rejected(series, case):
    with pytest.raises(TypeError, match="windw"):
        plot_series(series, windw=(0, 1))
    with pytest.raises(TypeError, match="windw"):
        plot_transform(case, Rotate(), windw=(0, 1))


def test_pyplot_holds_no_figure(series):
    plot_series(series)
    assert not plt.get_fignums()


def test_a_volume_is_shown_with_the_head_up(standing, deep):
    figure = plot_series(standing, axis=1)
    view = series_view(standing, axis=1)
    assert legend_title(figure) == f"slice {view.index} along axis 1 (coronal)"
    step = standing[1]
    image, pred, truth = (x.select(-2, view.index).flip(-2) for x in (step.image, step.pred, step.truth))
    assert np.array_equal(drawn(figure.axes[1]), overlay(image, pred, truth, (0, 1), spacing=view.spacing))
    # axial slices are as stored
    assert np.array_equal(drawn(plot_series(standing).axes[1]), drawn(plot_series(deep).axes[1]))


def test_a_step_is_drawn_like_the_step_of_its_series(standing, deep):
    head_up = drawn(plot_series(standing, axis=1).axes[1])
    assert np.array_equal(drawn(plot_frame(standing[1], standing, axis=1).axes[0]), head_up)
    as_stored = drawn(plot_frame(deep[1:2], axis=1).axes[0])
    assert np.array_equal(drawn(plot_frame(standing[1], axis=1).axes[0]), as_stored)


def test_a_step_can_be_drawn_into_an_axes(series):
    ax = Figure().subplots()
    assert plot_frame(series[1], ax=ax) is ax
    assert len(ax.images) == 1


def test_a_frame_needs_one_step(series):
    with pytest.raises(ValueError, match="step must be one step, such as .*, got a Series of 4 steps"):
        plot_frame(series)
    with pytest.raises(TypeError, match="step must be a Step or a Series of one step, got 3"):
        plot_frame(3)
    with pytest.raises(ValueError, match="size must be a number > 0, got 0"):
        plot_frame(series[1], size=0)


def coloured_cases(case):
    "Three channels, in several orders in memory"
    photo = torch.stack([case.image[0] * c for c in (1, 0.7, 0.5)], -1).permute(2, 0, 1)  # as picture files have them
    yield case.replace(image=photo)
    yield case.replace(image=photo.contiguous())
    transposed = photo.transpose(1, 2).contiguous().transpose(1, 2)
    yield case.replace(image=transposed, truth=case.truth.T.contiguous().T)


def test_the_truth_is_outlined_on_coloured_images_however_they_lie_in_memory(case):
    for coloured in coloured_cases(case):
        steps = get_series(lambda x: np.zeros((128, 128), int), coloured, Rotate(), values=[0, 30, 90], progress=False)
        for figure in (plot_transform(coloured, Rotate(), [0, 30, 90]), plot_series(steps)):
            for ax in figure.axes:
                colours = {tuple(c) for c in drawn(ax).reshape(-1, 3).tolist()}
                assert {(230, 159, 0), (86, 180, 233), (0, 158, 115)} <= colours


@pytest.mark.parametrize("transform", [Rotate(), Zoom(), Brightness(), Crop(), Dihedral(), Resize()], ids=str)
def test_a_preview_takessome_values_the_neutral_one_among_them(transform, case):
    for one in (case, phantom((7, 48, 40), seed=3)):
        shown = some_values(transform, one)
        assert 1 < len(shown) <= 8
        assert transform.neutral_for(one) in shown
        assert set(shown) <= set(transform.values_for(one))
        assert len(plot_transform(one, transform).axes) == len(shown)


def test_rotations_are_previewed_in_equal_steps(case):
    assert some_values(Rotate(), case) == list(range(-150, 151, 50))


def test_a_volume_without_truth_shows_its_middle_slice():
    volume = phantom((7, 48, 40), seed=3)
    without = volume.replace(truth=None)
    assert legend_title(plot_transform(without, Rotate(), [0, 9])) == "slice 3 along axis 0"
    assert legend_title(plot_transform(without, Rotate(), [0, 9], axis=2)) == "slice 20 along axis 2"
    assert legend_title(plot_transform(volume, Rotate(), 9, index=6)) == "slice 6 along axis 0"
    with pytest.raises(ValueError, match="axis must be"):
        plot_transform(without, Rotate(), [0, 9], axis=5)


def test_composed_transforms_and_functions_have_a_preview(case):
    composed = plot_transform(case, Compose(Rotate(), Zoom()), [(0, 1), (30, 2)], truth="fill")
    assert len(composed.axes) == 2
    assert len(plot_transform(case, lambda image, value: image * value, [0.5, 1]).axes) == 2


@pytest.mark.parametrize(
    "transform, values, words",
    [
        (Rotate(), [], "values .*rotation"),
        (lambda x, v: x, None, "values"),
        ("rotatoin", None, "did you mean 'rotation'"),
        (Zoom(), [0], "factor of zoom"),
    ],
)
def test_bad_transforms_and_values_are_named(case, transform, values, words):
    with pytest.raises(ValueError, match=words):
        plot_transform(case, transform, values)
