import io

import numpy as np
import pytest
import torch
from PIL import Image

from misas.core.cases import Case
from misas.core.sweeps import Step, get_series
from misas.data.phantoms import phantom
from misas.plot.figures import Picture
from misas.plot.series import plot_series
from misas.plot.volumes import (
    _slices_through_foreground,
    _write_letters,
    gif_volume,
    plot_montage,
    plot_planes,
)
from misas.transforms.basic import Brightness, Dihedral, Rotate


def shapes(figure):
    return [ax.images[0].get_array().shape[:2] for ax in figure.axes]


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def letters(ax):
    return [t.get_text() for t in ax.texts]


@pytest.fixture(scope="module")
def turning(stack, by_slices):
    return get_series(by_slices, stack, Rotate(), values=[0, 45, 90], progress=False)


@pytest.fixture(scope="module")
def quarter(stack):
    "A volume whose voxels have three different sides, and after a quarter turn"
    squeezed = stack.replace(spacing=(8, 2, 1), affine=None)
    return get_series(lambda x: x > 1, squeezed, Dihedral(), values=[0, 2], progress=False)


@pytest.fixture(scope="module")
def odd_series(stack, by_slices):
    "No truth, no foreground, volumes as thin as a pixel, many channels"
    few = dict(values=[1, 2], progress=False)
    unknown = stack.replace(truth=None)
    odd = [
        get_series(by_slices, unknown, Brightness(), **few),
        get_series(lambda x: np.zeros(x.shape, int), unknown, Brightness(), **few),
    ]
    for shape in ((1, 32, 32), (12, 32, 1), (1, 1, 40), (3, 3, 3)):
        image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1))
        odd.append(get_series(lambda x: x[-1] > 0.5, Case(image, spacing=(8, 2.5, 1)), Brightness(), **few))
    for channels in (2, 3, 5):
        many = Case(torch.rand(channels, 6, 16, 20), torch.ones(6, 16, 20))
        odd.append(get_series(lambda x: x[1] > 0.5, many, Brightness(), **few))
    return odd


def test_slices_go_through_the_foreground_of_truth_and_prediction(stack, stack_series):
    step = stack_series[1]
    filled = sorted(set(torch.nonzero(stack.truth + step.pred)[:, 0].tolist()))
    assert _slices_through_foreground(step, 0, 30) == filled


def test_without_foreground_slices_go_through_the_whole_volume(stack):
    empty = Step(1, stack.image, None, torch.zeros(12, 72, 64))
    assert _slices_through_foreground(empty, 0, 5) == [0, 3, 6, 8, 11]
    assert _slices_through_foreground(Step(1, stack.image, stack.truth * 0, None), 1, 1) == [35]


def test_a_montage_says_which_slices_it_shows(stack_series):
    figure = plot_montage(stack_series[:1], panel=1.5)
    assert len(figure.axes) == 8
    assert titles(figure)[:2] == ["slice 0 · 0 mm", "slice 2 · 16 mm"]
    assert figure.legends[0].get_title().get_text() == "factor = 0.25×, slices along axis 0"
    assert letters(figure.axes[0]) == ["RA", "LP", "SA", "IP"]


def test_a_quarter_turn_exchanges_the_sides_of_a_pixel(quarter):
    assert shapes(plot_montage(quarter[0], index=[4])) == [(432, 192)]
    assert shapes(plot_montage(quarter[1], index=[4])) == [(192, 432)]
    assert shapes(plot_series(quarter, index=4)) == [(432, 192), (192, 432)]
    # 96 mm x 64 mm, and 96 mm x 144 mm, each enlarged as it can be
    assert shapes(plot_series(quarter, axis=1, index=30)) == [(480, 320), (288, 432)]
    planes = [(432, 192), (288, 192), (288, 432), (192, 432), (288, 432), (288, 192)]
    assert shapes(plot_planes(quarter)) == planes


def width_of_letter(letter, dx, dy):
    "Width of its bright pixels, when it is drawn between pixels"
    page = Picture(0.5, 0.5)
    page.set(layout_engine="none", facecolor="black")
    ax = page.add_axes([dx / 50, dy / 50, 1, 1], frameon=False, xticks=[], yticks=[])
    _write_letters(ax, (letter, "", "", ""), (99, 99))
    buffer = io.BytesIO()
    page.savefig(buffer, format="png", dpi=100)
    bright = np.asarray(Image.open(buffer).convert("L")) > 128
    return np.ptp(np.flatnonzero(bright.any(0))) + 1


def test_an_l_is_never_read_as_an_i():
    "Left is not inferior: the letter keeps its foot wherever it lies between two pixels"
    for dx in (0, 0.5):
        for dy in np.arange(10) / 10:
            assert width_of_letter("L", dx, dy) / width_of_letter("I", dx, dy) > 1.8


def test_a_case_alone_shows_its_truth(stack):
    figure = plot_montage(stack, axis=1, n=3, panel=2)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["LV", "MY", "RV", "truth"]


def test_a_montage_of_anything_can_be_drawn(odd_series, stack, stack_series):
    for odd in odd_series:
        channel = len(odd.case.image) - 1
        for axis in range(3):
            figure = plot_montage(odd[:1], axis, n=3, channel=channel, colours="viridis")
            figure.draw_without_rendering()
    plot_montage(stack.replace(truth=None), colours="viridis").draw_without_rendering()
    assert len(plot_montage(stack_series[1], index=[4, 2], columns=1, panel=1).axes) == 2
    assert len(plot_montage(stack_series[1], index=3).axes) == 1


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(axis=3), "axis must be an integer >= 0 and <= 2, got 3"),
        (dict(index=[12]), r"index must be one or several integers from 0 to 11, got \[12\]"),
        (dict(index=[]), "index must be one or several integers"),
        (dict(index=[1, 1.5]), r"index must be .* got \[1, 1.5\]"),
        (dict(index=True), "index must be .* got True"),
        (dict(n=0), "n must be an integer >= 1, got 0"),
        (dict(n=2.5), "n must be an integer >= 1, got 2.5"),
        (dict(n="two"), "n must be an integer >= 1, got 'two'"),
        (dict(alpha=3), "alpha must be a number >= 0 and <= 1, got 3"),
        (dict(pred="line"), "pred must be one of"),
        (dict(columns=1.5), "columns must be an integer >= 1 or None, got 1.5"),
    ],
)
def test_bad_arguments_of_a_montage_are_named(stack_series, bad, message):
    with pytest.raises(ValueError, match=message):
        plot_montage(stack_series[1], **bad)


def test_misspelt_arguments_are_rejected(stack):
    with pytest.raises(TypeError, match="windw"):
        plot_montage(stack, windw=(0, 1))
    with pytest.raises(TypeError, match="axis"):
        plot_planes(stack, axis=1)
    with pytest.raises(ValueError, match="panel must be a number > 0, got 0"):
        plot_planes(stack, panel=0)


def test_planes_are_drawn_in_mm_and_cross_each_other(stack_series):
    figure = plot_planes(stack_series[::2], panel=1.9)
    assert len(figure.axes) == 6
    assert titles(figure)[:4] == ["slice 4 · 32 mm", "slice 29 · 72.5 mm", "slice 31 · 77.5 mm", ""]
    assert figure.axes[3].get_ylabel() == "factor = 4×\naxis 1 (mm)"
    assert figure.axes[4].get_xlabel() == "axis 2 (mm)"
    extents = [tuple(ax.images[0].get_extent()) for ax in figure.axes[:3]]
    assert extents == [(-1.25, 158.75, 178.75, -1.25), (-1.25, 158.75, 92, -4), (-1.25, 178.75, 92, -4)]
    crossings = [ax.lines[0].get_xdata()[0] for ax in figure.axes[:3]]
    assert crossings == [77.5, 77.5, 72.5]


def marked(ends):
    """A volume whose axes lead to these ends, with one bright voxel at the superior, anterior, left corner

    5 voxels of 6 mm from below, 9 of 4 mm from back to front, 14 of 2 mm from right to left
    """
    ways = [next(i for i, pair in enumerate(("RL", "AP", "SI")) if end in pair) for end in ends]
    spacing = [(2, 4, 6)[w] for w in ways]
    shape = [(14, 9, 5)[w] for w in ways]
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, ways] * [1 if end in "RAS" else -1 for end in ends] * spacing
    at = tuple(1 if end in "RPI" else n - 2 for end, n in zip(ends, shape))  # one voxel from the corner
    volume = torch.zeros(shape)
    volume[at] = 1
    return Case(volume[None], volume, spacing=spacing, affine=affine), at


def quadrant(picture):
    "Where the bright pixels of a picture are"
    rows, columns = np.nonzero(picture[..., 0] > 128)
    row = "top" if rows.mean() < picture.shape[0] / 2 else "bottom"
    column = "left" if columns.mean() < picture.shape[1] / 2 else "right"
    return f"{row} {column}"


def quadrant_of_crosshair(ax):
    on_screen = ax.transData.transform((ax.lines[0].get_xdata()[0], ax.lines[1].get_ydata()[0]))
    x, y = ax.transAxes.inverted().transform(on_screen)
    return f"{'top' if y > 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}"


# by the ends of the axis that is cut across: where the mark is, the letters, height / width
PLANES = {
    "SI": ("top right", "RLAP", 36 / 28),
    "AP": ("top right", "RLSI", 30 / 28),
    "RL": ("top left", "APSI", 30 / 36),
}


@pytest.mark.parametrize("ends", ["SPL", "SAR", "SPR", "IAR", "RAS", "LPS", "LAS", "ASL"])
def test_a_head_is_shown_the_same_way_however_it_is_stored(ends):
    head, at = marked(ends)
    looked = get_series(lambda x: x > 2, head, Brightness(), values=[1], progress=False)
    for axis, ax in enumerate(plot_planes(looked, at=at, truth=None).axes):
        place, borders, aspect = next(plane for pair, plane in PLANES.items() if ends[axis] in pair)
        picture = ax.images[0].get_array()
        assert quadrant(picture) == quadrant_of_crosshair(ax) == place, axis
        assert "".join(letters(ax)) == borders
        assert abs(picture.shape[0] / picture.shape[1] - aspect) < 0.02
        (montage,) = plot_montage(looked, axis, index=at[axis], truth=None).axes
        assert quadrant(montage.images[0].get_array()) == place
        assert "".join(letters(montage)) == borders


def test_without_an_affine_a_volume_is_shown_as_stored():
    head, at = marked("SPR")  # at the index 3 of 5, 1 of 9, 1 of 14
    figure = plot_planes(head.replace(affine=None), at=at, truth=None)
    pictures = [ax.images[0].get_array() for ax in figure.axes]
    assert [quadrant(picture) for picture in pictures] == ["top left", "bottom left", "bottom left"]


def test_letters_turn_with_the_patient(turning):
    figure = plot_planes(turning[::2], pred="contour", panel=1.8)
    assert letters(figure.axes[0]) == ["RA", "LP", "SA", "IP"]
    assert letters(figure.axes[3]) == ["SA", "IP", "LP", "RA"]


def test_planes_of_anything_can_be_drawn(odd_series, stack, finer):
    for odd in odd_series:
        plot_planes(odd, channel=len(odd.case.image) - 1, colours="viridis").draw_without_rendering()
    assert len(plot_planes(stack, at=(0, 71, 63), crosshair=False).axes[0].lines) == 0
    middle = [ax.get_title() for ax in plot_planes(finer).axes[1::3]]
    assert middle == ["slice 14 · 70 mm", "slice 29 · 72.5 mm", "slice 59 · 73.75 mm"]


def test_several_steps_become_an_animation_of_three_planes(turning, tmp_path):
    path = gif_volume(turning, tmp_path / "planes.gif", size=150, duration=600)
    with Image.open(path) as animation:
        assert animation.n_frames == 3
        assert animation.info["duration"] == 600
        assert animation.info["loop"] == 0
        assert animation.size == (128 + 128 + 144 + 24, 144 + 24 + 48)


def test_one_step_becomes_an_animation_of_its_slices(stack_series, tmp_path):
    with Image.open(gif_volume(stack_series[1:2], tmp_path / "slices.gif", size=150)) as animation:
        assert animation.n_frames == 12
    assert [p.name for p in tmp_path.iterdir()] == ["slices.gif"]


def test_the_head_is_up_in_an_animation(tmp_path):
    head, at = marked("SPL")
    for axis, place in enumerate(("top right", "top right", "top left")):
        path = gif_volume(head, tmp_path / "head.gif", axis=axis, index=at[axis], truth=None, size=200)
        with Image.open(path) as animation:
            assert quadrant(np.asarray(animation.convert("RGB"))[24:]) == place


def test_all_that_can_be_drawn_can_be_animated(odd_series, finer, stack, stack_series, tmp_path):
    for odd in (*odd_series, finer, stack, stack_series[1]):
        with Image.open(gif_volume(odd, tmp_path / "odd.gif", size=100)) as animation:
            assert animation.n_frames <= 12
    some = dict(axis=2, index=[5, 9, 20], truth=None, colours=["magenta"])
    with Image.open(gif_volume(stack_series[1], tmp_path / "odd.gif", **some)) as animation:
        assert animation.n_frames == 3


def test_bad_arguments_of_an_animation_are_named(stack_series, tmp_path):
    path = tmp_path / "a.gif"
    with pytest.raises(ValueError, match="duration must be a number >= 10, got 0"):
        gif_volume(stack_series, path, duration=0)
    with pytest.raises(ValueError, match="path must be a name that ends with .gif"):
        gif_volume(stack_series, tmp_path / "a.png")
    with pytest.raises(ValueError, match="axis must be an integer >= 0 and <= 2, got 4"):
        gif_volume(stack_series[0], path, axis=4)
    with pytest.raises(ValueError, match=r"volume must have images \(C, D, H, W\)"):
        gif_volume(phantom((32, 32)), path)
    assert not list(tmp_path.iterdir())
