import doctest

import numpy as np
import pytest
import torch
from PIL import Image

import misas.plot.animation
from misas.core.sweeps import get_series
from misas.plot.animation import (
    _frames,
    _needed,
    _text_strip,
    _wrapped,
    centre_on_canvas,
    gif_palette,
    gif_series,
    indexed,
    used_colours,
)
from misas.plot.colours import label_rgb
from misas.plot.overlays import View, fit_size, series_view
from misas.plot.series import plot_series
from misas.transforms.basic import Dihedral, Resize, Rotate

NAMES = ("bg", "LV", "MY", "RV")
PARTS = [("LV", (230, 159, 0)), ("MY", (86, 180, 233)), ("deg = 30°", None)]


def test_docstring_examples():
    assert doctest.testmod(misas.plot.animation).failed == 0


def test_a_strip_is_as_wide_as_its_text_needs():
    strip = _text_strip(PARTS, round(_needed(PARTS)))
    assert strip.any(0).any(-1).argmax() == 4  # a little room at both ends


def test_texts_that_do_not_fit_go_to_the_next_line():
    assert _wrapped(PARTS, 100) == [PARTS[:2], PARTS[2:]]
    assert _wrapped(PARTS, 1) == [[part] for part in PARTS]
    assert _wrapped([], 9) == []


def test_a_picture_stands_in_the_middle_of_its_canvas():
    assert centre_on_canvas(np.ones((1, 2, 3)), 3, 4)[..., 0].tolist() == [[0] * 4, [0, 1, 1, 0], [0] * 4]


def test_frames_have_room_for_their_text(series):
    view = series_view(series)
    assert {f.shape for f in _frames(series, view, [1, 2, 3], NAMES, 256)} == {(24 + 256 + 48, 256, 3)}
    (small,) = {f.shape for f in _frames(series, view, [1, 2, 3], NAMES, 128)}
    assert small[0] == 24 + 128 + 48
    assert 128 < small[1] < 256
    many = _frames(series, view, range(1, 15), [f"label {k}" for k in range(15)], 256)
    assert many[0].shape[0] > 24 + 256 + 48  # many labels take more lines


def test_the_head_is_up_in_a_frame(standing):
    view = series_view(standing, axis=1)
    frame = _frames(standing, view, [1, 2], None, 256)[1]
    body = view(standing[1], fit_size(view.cut(standing[1].image).shape[-2:], 256, view.spacing))
    left = (frame.shape[1] - body.shape[1]) // 2
    assert np.array_equal(frame[24 : 24 + body.shape[0], left : left + body.shape[1]], body)


def test_frames_have_one_size_where_the_image_changes_its_own(resized):
    assert len({f.shape for f in _frames(resized, series_view(resized), [1], None, 100)}) == 1


def test_all_steps_are_drawn_to_one_scale_in_mm(case):
    flat = case.replace(image=case.image[:, :96], truth=None, spacing=(2, 1))  # 192 mm x 128 mm

    def bright(image):
        return np.asarray(image > 0.4, int)

    quarter = get_series(bright, flat, Dihedral(), values=[0, 2], progress=False)
    resized = get_series(bright, flat, Resize(), values=[32, 96, 128], progress=False)
    shapes = [ax.images[0].get_array().shape[:2] for ax in plot_series(quarter).axes]
    assert shapes == [(384, 256), (256, 384)]
    for steps, shapes in ((quarter, [(192, 128), (128, 192)]), (resized, [(192, 128)] * 3)):
        # the image is white, what is around it black
        frames = _frames(steps, series_view(steps, pred=None, window=(-1, 0)), [], None, 192)
        white = [np.argwhere((f[24:] == 255).all(-1)[:192]) for f in frames]
        assert [tuple(np.ptp(w, axis=0) + 1) for w in white] == shapes


def test_256_colours_are_enough(series):
    frames = _frames(series, series_view(series), [1, 2, 3], NAMES, 256)
    rgb = used_colours(View(), [1, 2, 3])
    assert np.array_equal(rgb, label_rgb(None, 3)[:3])
    assert np.array_equal(used_colours(View(), [1, 15]), rgb[:1])  # they repeat
    palette = gif_palette(frames, rgb)
    assert len(palette) <= 256
    assert set(map(tuple, rgb)) <= set(map(tuple, palette))
    for frame, image in zip(frames, indexed(frames, palette)):
        off = np.abs(np.asarray(image.convert("RGB"), float) - frame)
        assert off.mean() < 2
        assert off.max() < 60  # grey levels, fills and contours keep their colour
        for colour in rgb:
            assert (off[(frame == colour).all(-1)] == 0).all()


def test_a_gif_runs_forever_at_the_speed_wanted(case, stubborn, tmp_path):
    turning = get_series(stubborn, case, Rotate(), values=range(0, 360, 10), progress=False)
    path = gif_series(turning, tmp_path / "rotation.gif", size=256)
    with Image.open(path) as animation:
        assert animation.n_frames == 36
        assert animation.size == (256, 328)
        assert animation.info["duration"] == 150
        assert animation.info["loop"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["rotation.gif"]


def test_all_that_can_be_drawn_can_be_animated(series, deep, resized, turned, without_truth, tmp_path):
    for odd in (series[:1], deep, resized, turned, without_truth):
        assert gif_series(odd, tmp_path / "odd.GIF").stat().st_size > 500
    with Image.open(gif_series(turned, str(tmp_path / "odd.gif"))) as animation:
        assert animation.n_frames == 2


def test_coloured_images_keep_their_colours(case, tmp_path):
    red = case.replace(image=torch.cat([case.image, case.image * 0.5, case.image * 0.2]))
    reds = get_series(lambda x: np.zeros((128, 128), int), red, Rotate(), values=[0, 10], progress=False)
    with Image.open(gif_series(reds, tmp_path / "red.gif", truth=None)) as animation:
        levels = np.asarray(animation.convert("RGB"))[24:-24].reshape(-1, 3).max(0)
    assert levels[0] > 1.5 * levels[1] > 2 * levels[2]


@pytest.mark.parametrize(
    "bad, allowed",
    [
        (dict(size=0), "a number >= 1"),
        (dict(size="big"), "a number >= 1"),
        (dict(duration="slow"), "a number >= 10"),
        (dict(duration=0), "a number >= 10"),
    ],
)
def test_bad_numbers_are_named(series, tmp_path, bad, allowed):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name} must be {allowed}, got {value!r}"):
        gif_series(series, tmp_path / "a.gif", **bad)
    assert not list(tmp_path.iterdir())


def test_bad_paths_are_named(series, tmp_path):
    with pytest.raises(ValueError, match="path must be a name that ends with .gif, got 'a.png'"):
        gif_series(series, "a.png")
    with pytest.raises(ValueError, match="path must be in a folder that exists"):
        gif_series(series, tmp_path / "none" / "a.gif")


def test_nothing_half_written_stands_under_the_name(series, tmp_path, monkeypatch):
    path = gif_series(series[:2], tmp_path / "a.gif", size=64)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        gif_series(series, path, size=64)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]
