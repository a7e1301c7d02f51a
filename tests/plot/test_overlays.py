import doctest

import numpy as np
import pytest
import torch

import misas.plot.overlays
from misas.core.cases import Case
from misas.core.model import as_model
from misas.core.sweeps import Series, Step, get_series
from misas.plot.colours import label_colours
from misas.plot.overlays import (
    View,
    drawn_labels,
    fit_size,
    grey_levels,
    intensity_window,
    mask_edge,
    overlay,
    resize_nearest,
    scaled_size,
    series_view,
)
from misas.transforms.basic import Brightness, Dihedral

BLANK = np.zeros((2, 2))


def test_docstring_examples():
    assert doctest.testmod(misas.plot.overlays) == (0, 2)


def test_a_flat_image_does_not_divide_by_zero():
    assert grey_levels(np.ones((2, 2)), (1, 1), 0).max() == 0
    assert overlay(BLANK, scale=1).max() == 0
    assert intensity_window(Case(np.full((4, 4), 300.0))) == (300, 300)


def test_channels_may_come_first_or_last():
    assert grey_levels(np.zeros((3, 5, 6)), None, 0).shape == (5, 6, 3)
    assert grey_levels(np.zeros((5, 6, 3)), None, 0).shape == (5, 6, 3)


@pytest.mark.parametrize("bad", [2, -1, 0.5, "red"])
def test_a_channel_must_exist(bad):
    with pytest.raises(ValueError, match="channel must be an integer >= 0 and <= 1, got"):
        grey_levels(np.zeros((2, 4, 4)), None, bad)


def test_large_pictures_shrink_and_small_ones_grow_by_an_integer():
    assert fit_size((480, 480), 480) == 1
    assert fit_size((100, 10), 400, spacing=(8, 1)) == 0.5
    assert scaled_size(np.zeros((4, 5, 3), "uint8"), (8, 10)).shape == (8, 10, 3)
    assert resize_nearest(np.arange(4)[None], (1, 2)).tolist() == [[1, 3]]


def test_edges_may_be_wider_than_a_pixel():
    mask = np.zeros((5, 6), int)
    mask[1:4, 1:4] = 1
    mask[1:4, 4:] = 2
    assert mask_edge(mask, 2).sum() == 15
    assert not mask_edge(np.ones((3, 3), int), 2).any()


def test_a_picture_does_not_depend_on_how_the_array_lies_in_memory(series):
    step = series[1]
    transposed = overlay(step.image[0].T, step.pred.T, step.truth.T, scale=1)
    assert np.array_equal(transposed, overlay(step.image, step.pred, step.truth, scale=1).swapaxes(0, 1))


def test_labels_may_be_any_integer():
    picture = overlay(BLANK, pred=np.full((2, 2), 2**31 - 1), alpha=1, scale=1)
    wanted = label_colours()[1 + (2**31 - 2) % 14, :3] * 255
    assert picture[0, 0].tolist() == wanted.astype(int).tolist()
    contour = overlay([[0, 0]], pred=np.array([[0, 2]]), colours=["red"], pred_as="contour", scale=1)
    assert contour.tolist() == [[[0, 0, 0], [255, 0, 0]]]


def test_a_mask_can_be_hidden():
    assert overlay(np.ones((3, 2, 2)), pred=np.ones((2, 2)), pred_as=None, scale=1).min() == 255


def test_contours_lie_on_fills_and_of_two_contours_the_truth_is_dashed():
    mask = np.zeros((40, 40), int)
    mask[10:30, 10:30] = 1
    edge = mask_edge(mask)

    def red(**styles):
        return (overlay(np.zeros((40, 40)), mask, mask, colours=["red"], scale=1, **styles) == (255, 0, 0)).all(-1)

    assert np.array_equal(red(pred_as="contour", truth_as="fill"), edge)
    assert np.array_equal(red(pred_as="fill", truth_as="contour"), edge)
    dashed = red(pred_as=None, truth_as="contour")
    assert np.array_equal(dashed, edge)  # a single contour is not
    truth = np.roll(mask, 5, 0)
    both = overlay(np.zeros((40, 40)), mask, truth, colours=["red"], pred_as="contour", scale=1)
    alone = mask_edge(truth) & ~edge
    drawn = (both == (255, 0, 0)).all(-1) & alone
    assert 0 < drawn.sum() < alone.sum()


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(pred=np.zeros((3, 3))), r"pred must have the image's shape \(2, 2\), got \(3, 3\)"),
        (dict(truth=np.zeros((1, 2))), r"truth must have the image's shape \(2, 2\), got \(1, 2\)"),
        (dict(pred_as="line"), "pred_as must be one of 'fill', 'contour', None, got 'line'"),
        (dict(truth_as=0), "truth_as must be one of"),
        (dict(alpha=2), "alpha must be a number >= 0 and <= 1, got 2"),
        (dict(window=(2, 1)), r"window must be two intensities \(black, white\), black <= white, got \(2, 1\)"),
        (dict(window=(2,)), "window must be two intensities"),
        (dict(window=3), "window must be two intensities"),
    ],
)
def test_bad_arguments_of_an_overlay_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        overlay(BLANK, **bad)


def test_a_volume_is_told_to_be_cut():
    with pytest.raises(ValueError, match="image must be .* slice of a volume, got shape"):
        overlay(np.zeros((1, 3, 4, 4)))


def test_a_view_is_checked_when_it_is_made():
    with pytest.raises(ValueError, match="alpha must be"):
        View(alpha=2)
    with pytest.raises(ValueError, match="pred must be one of"):
        View(pred="line")


def test_axes_of_a_plane_can_be_exchanged_and_reversed():
    block = torch.arange(24).reshape(2, 3, 4)
    wanted = [[8, 4, 0], [9, 5, 1], [10, 6, 2], [11, 7, 3]]
    assert View(index=0, sides=((2, 1), (1, -1))).cut(block[None]).tolist() == [wanted]


def test_of_a_volume_that_is_less_deep_the_last_slice_is_shown(deep):
    truth = deep.case.truth
    assert View(index=9).cut(truth).equal(truth[5])


def test_a_step_may_have_pixels_of_its_own(deep):
    volume = deep.case
    coarse = Step(1, volume.image, None, volume.truth, (4, 2, 1))
    assert [View(index=0, axis=axis).pixel_size(coarse) for axis in range(3)] == [(2, 1), (4, 1), (4, 2)]
    assert View(spacing=(3, 2)).pixel_size(Step(1, None, None, None)) == (3, 2)
    assert View(index=0, sides=((2, 1), (1, -1))).pixel_size(coarse) == (1, 2)
    assert View(index=0, axis=1, truth=None)(coarse, 1).shape == (24, 48, 3)


def test_three_columns_are_not_taken_for_colours():
    narrow = Step(0, torch.rand(5, 6, 3), None, torch.ones(6, 3, dtype=torch.int32))
    assert View(channel=4)(narrow, 1).shape == (6, 3, 3)
    assert View().pixels(narrow).equal(narrow.image[0])


def test_pictures_have_true_proportions_at_each_step():
    oblong = Case(torch.rand(96, 128, generator=torch.Generator().manual_seed(0)), spacing=(2, 1))
    lying = get_series(lambda x: x > 0.5, oblong, Dihedral(), values=[0, 2], progress=False)
    assert [series_view(lying)(s).shape[:2] for s in lying] == [(384, 256), (256, 384)]

    model = as_model(lambda x: x > 0.5, prepare=lambda x: x[..., ::2, ::4])
    small = get_series(model, oblong, Brightness(), values=[1, 2], progress=False)
    assert {s.spacing for s in small} == {(4, 4)}
    shapes = [series_view(small)(s).shape for s in small]
    assert all(height / width == 1.5 for height, width, _ in shapes)


def test_the_slice_with_the_most_foreground_is_shown(deep):
    counts = sum((mask > 0).sum((1, 2)) for step in deep for mask in (step.pred, step.truth))
    assert series_view(deep).index == int(counts.argmax())


def marked(axes):
    "A volume whose axes lead to these ends, with one bright voxel at the superior, anterior, left corner"
    ways = [["RL", "AP", "SI"].index(next(pair for pair in ("RL", "AP", "SI") if end in pair)) for end in axes]
    spacing = [(1, 2, 3)[w] for w in ways]
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, ways] * [1 if end in "RAS" else -1 for end in axes] * spacing
    volume = torch.zeros([(9, 7, 5)[w] for w in ways])  # as long from right to left, front to back, top to bottom
    # where R, P and I lead, the left, the front and the top are at index 0
    volume[tuple(0 if end in "RPI" else -1 for end in axes)] = 1
    return Case(volume[None], volume, spacing=spacing, affine=affine), ways


# by what is cut across (0: right to left): the corner of the mark, shape and spacing of the picture
PLANES = {2: ((0, -1), (7, 9), (2, 1)), 1: ((0, -1), (5, 9), (3, 1)), 0: ((0, 0), (5, 7), (3, 2))}


@pytest.mark.parametrize("plane", [0, 1, 2])
@pytest.mark.parametrize("axes", ["SPL", "SAR", "SAL", "IPR", "RAS", "LPS", "LAS", "ASL"])
def test_a_head_is_shown_the_same_way_however_it_is_stored(axes, plane):
    corner, shape, spacing = PLANES[plane]
    head, ways = marked(axes)
    looked = get_series(lambda x: x > 2, head, Brightness(), values=[1], progress=False)
    axis = ways.index(plane)
    view = series_view(looked, axis=axis, truth=None, index=torch.nonzero(head.truth)[0][axis].item())
    for cut in (view.cut(head.image)[0], view.cut(head.truth)):
        assert cut.shape == shape
        assert cut[corner] == cut.sum() == 1
    assert view.spacing == spacing
    picture = view(looked[0], 4)[..., 0]
    assert picture.shape == tuple(4 * n * s // min(spacing) for n, s in zip(shape, spacing))
    assert picture[corner] == picture.max() == 255


def test_bad_arguments_of_a_view_are_named(series, deep):
    for bad, message in [
        (dict(pred="line"), "pred must be one of"),
        (dict(window=(1, 0)), "window must be two intensities"),
        (dict(colours="no-map"), "colours must be a list of colours"),
        (dict(alpha=-1), "alpha must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            series_view(series, **bad)
    for bad, message in [
        (dict(axis=3), "axis must be an integer >= 0 and <= 2, got 3"),
        (dict(index=6), "index must be an integer >= 0 and <= 5, got 6"),
    ]:
        with pytest.raises(ValueError, match=message):
            series_view(deep, **bad)


def test_a_view_needs_a_series_with_a_step(series):
    with pytest.raises(TypeError, match="series must be a Series, as get_series makes it, got Step"):
        series_view(series[0])
    with pytest.raises(ValueError, match="series must have at least one step"):
        series_view(Series((), series.transform, series.case))


def test_labels_are_found_in_arrays_too(series):
    steps = [Step(0, BLANK, None, BLANK > 0), Step(1, BLANK, None, np.array([[0, 7], [2**20, 0]]))]
    assert drawn_labels(steps, View()) == [7, 2**20]
    assert drawn_labels(series, series_view(series)) == [1, 2, 3]
    assert drawn_labels(series, series_view(series, pred=None, truth=None)) == []
