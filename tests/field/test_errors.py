"Pictures of errors: every pixel has the colour of what it is, in every kind of picture"

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms

PAPER = {1: (0, 192, 0), 2: (255, 0, 0), 3: (255, 255, 0)}  # true positive, false positive, false negative
WORDS = ["true positive", "false positive", "false negative"]


def series_of(shape, seed=0, **options):
    "Two steps with random masks of the labels 0 to 2 on a black image"
    truth, pred = np.random.default_rng(seed).integers(0, 3, (2, *shape))
    case = ms.Case(np.zeros((1, *shape), np.float32), truth, name="one", labels=("bg", "LV", "MY"), **options)
    return ms.get_series(lambda image: pred, case, lambda image, value: image, values=[0, 1], progress=False)


def expected_colours(truth, pred, label=None):
    "By the definitions, pixel by pixel; the image is black where there is no error"
    picture = np.zeros((*truth.shape, 3), int)
    for at in np.ndindex(truth.shape):
        t, p = int(truth[at]), int(pred[at])
        if label is not None:
            t, p = int(t == label), int(p == label)
        if t and t == p:
            picture[at] = PAPER[1]
        elif t:
            picture[at] = PAPER[3]
        elif p:
            picture[at] = PAPER[2]
    return picture


@pytest.mark.parametrize("label", [None, 1, 2])
@pytest.mark.parametrize("shape", [(9, 9), (5, 13)])
def test_colours_of_an_overlay(shape, label):
    step = series_of(shape)[0]
    got = ms.overlay(
        step.image[0], step.pred, step.truth, window=(0, 1), errors=True, label=label, colours="paper", alpha=1, scale=1
    )
    assert np.array_equal(got, expected_colours(step.truth, step.pred, label))


@pytest.mark.parametrize("name", ["LV", 1])
def test_colours_and_legend_of_a_series(name):
    series = series_of((11, 7))
    figure = ms.plot_series(series, pred="errors", label=name, colours="paper", alpha=1)
    (ax, _) = figure.axes
    picture = np.asarray(ax.images[0].get_array())
    factor = picture.shape[0] // 11
    middle = picture[factor // 2 :: factor, factor // 2 :: factor]
    assert np.array_equal(middle, expected_colours(series[0].truth, series[0].pred, 1))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [*WORDS, "errors: LV"]


def test_the_legend_is_there_also_where_all_is_right():
    case = ms.phantom((32, 32), seed=0)
    series = ms.get_series(lambda image: case.truth, case, ms.Brightness(), values=[1], progress=False)
    figure = ms.plot_frame(series, pred="errors")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [*WORDS, "errors: any wrong label"]


def test_names_of_labels_may_be_given():
    series = series_of((8, 8))
    figure = ms.plot_series(series, labels=["none", "cavity", "wall"], pred="errors", label="wall")
    assert figure.legends[0].get_texts()[-1].get_text() == "errors: wall"
    with pytest.raises(ValueError, match="label must be the number of a label or one of .*'wall'"):
        ms.plot_series(series, labels=["none", "cavity", "wall"], pred="errors", label="LV")


def test_gif_keeps_the_exact_colours(tmp_path):
    path = ms.gif_series(series_of((16, 16)), tmp_path / "e.gif", pred="errors", colours="paper", alpha=1)
    with Image.open(path) as gif:
        colours = {tuple(c) for c in np.asarray(gif.convert("RGB")).reshape(-1, 3).tolist()}
    assert set(PAPER.values()) <= colours


def test_page_and_viewer(tmp_path):
    series = series_of((16, 16))
    page = ms.save_viewer(series, tmp_path / "e.html", pred="errors", label="MY").read_text()
    assert all(word in page for word in [*WORDS, "errors: MY"])
    data = json.loads(re.search(r"const data = (\{.*?\});\n", page)[1])
    assert data["styles"] == {"prediction": "fill"}
    box = ms.view(series, pred="errors", label="MY")
    assert "errors: MY" in box.children[0].children[2].value


def test_a_viewer_can_switch_to_errors_and_back():
    box = ms.view(series_of((16, 16)))
    pred = next(w for w in box.children[1].children if w.description == "prediction")
    legend = box.children[0].children[2]
    pred.value = "errors"
    assert "false positive" in legend.value and "LV" not in legend.value
    pred.value = "fill"
    assert "false positive" not in legend.value and "LV" in legend.value


def test_volumes():
    series = series_of((4, 9, 7), spacing=(3, 1, 1))
    picture = np.asarray(
        ms.plot_series(series, pred="errors", index=2, colours="paper", alpha=1).axes[0].images[0].get_array()
    )
    factor = picture.shape[0] // 9
    middle = picture[factor // 2 :: factor, factor // 2 :: factor]
    assert np.array_equal(middle, expected_colours(series[0].truth[2], series[0].pred[2]))
    for figure in (ms.plot_planes(series, pred="errors"), ms.plot_montage(series[:1], pred="errors", label="LV")):
        assert [t.get_text() for t in figure.legends[0].get_texts()][:3] == WORDS


def test_what_is_not_annotated_is_hatched():
    series = series_of((24, 24))
    case = series.case
    truth = case.truth.clone()
    truth[:12] = 255
    unknown = ms.Case(case.image, truth, ignore=255)
    step = ms.get_series(lambda image: series[0].pred, unknown, ms.Brightness(), values=[1], progress=False)
    figure = ms.plot_frame(step, pred="errors", colours="paper", alpha=1)
    picture = np.asarray(figure.axes[0].images[0].get_array())
    colours = {tuple(c) for c in picture[: len(picture) // 2].reshape(-1, 3).tolist()}
    assert colours == {(0, 0, 0), (128, 128, 128)}
    assert figure.legends[0].get_texts()[-1].get_text() == "not annotated"


@pytest.mark.parametrize(
    "draw",
    [
        ms.plot_series,
        lambda series, **view: ms.gif_series(series, "never.gif", **view),
        lambda series, **view: ms.save_viewer(series, "never.html", **view),
        ms.view,
        lambda series, **view: ms.plot_frame(series[0], series, **view),
    ],
)
def test_without_a_truth_the_error_names_the_case(draw):
    case = series_of((8, 8)).case.replace(truth=None, name="patient 7")
    series = ms.get_series(lambda image: torch.ones(8, 8).int(), case, ms.Brightness(), values=[1], progress=False)
    with pytest.raises(ValueError, match="pred='errors' must have a truth, got none for case 'patient 7'"):
        draw(series, pred="errors")


@pytest.mark.parametrize(
    "view, words",
    [
        (dict(pred="errors", label="LVV"), "'LVV' .*did you mean 'LV'"),
        (dict(pred="errors", label=-1), "label must be an integer >= 0"),
        (dict(label="LV"), "label must be None unless pred='errors'"),
        (dict(pred="errors", colours="papr"), "did you mean 'paper'"),
        (dict(pred="errors", colours=["red", "lime"]), "three colours"),
        (dict(pred="error"), "did you mean 'errors'"),
    ],
)
def test_bad_input(view, words):
    with pytest.raises(ValueError, match=words):
        ms.plot_series(series_of((8, 8)), **view)


def test_an_overlay_needs_both_masks():
    for masks, name in (((None, [[1]]), "pred"), (([[1]], None), "truth")):
        with pytest.raises(ValueError, match=f"{name} must be labels .* where errors=True, got None"):
            ms.overlay([[0.5]], *masks, errors=True)


@pytest.mark.parametrize("highest", [1, 3, 255, 256, 65535])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5)])
def test_png_masks_are_read_again(highest, shape, tmp_path):
    mask = np.arange(np.prod(shape)).reshape(shape) % (highest + 1)
    mask[-1, -1] = highest
    case = ms.Case(np.zeros((1, *shape), np.float32))
    path = ms.save_mask(mask, case, tmp_path / "mask.PNG")
    again = ms.load_case(np.zeros(shape, np.float32), path, ignore=False)
    assert np.array_equal(again.truth, mask)
    with Image.open(path) as file:
        assert file.mode == ("L" if highest <= 255 else "I;16")


def test_png_with_a_palette(tmp_path):
    mask = np.array([[0, 1], [2, 3]])
    case = ms.Case(np.zeros((1, 2, 2), np.float32))
    path = ms.save_mask(mask, case, tmp_path / "mask.png", palette=ms.label_colours(4, ["red", "lime", "blue"]))
    with Image.open(path) as file:
        assert file.mode == "P"
        assert np.asarray(file.convert("RGB")).tolist() == [[[0, 0, 0], [255, 0, 0]], [[0, 255, 0], [0, 0, 255]]]
    assert np.array_equal(ms.load_case(np.zeros((2, 2), np.float32), path).truth, mask)
    with pytest.raises(ValueError, match="palette must have a colour for each of the labels 0 to 3"):
        ms.save_mask(mask, case, path, palette=ms.label_colours(3))
    with pytest.raises(ValueError, match="palette must be None unless path ends in .png"):
        ms.save_mask(mask, case, tmp_path / "mask.nii", palette=ms.label_colours(4))


def test_what_a_png_cannot_hold_is_said(tmp_path):
    volume = ms.Case(np.zeros((1, 2, 3, 4), np.float32), name="thorax")
    with pytest.raises(ValueError, match="a volume .* of case 'thorax'"):
        ms.save_mask(np.zeros((2, 3, 4)), volume, tmp_path / "mask.png")
    with pytest.raises(ValueError, match="labels up to 65535 in a PNG .*got 65536"):
        ms.save_mask(np.full((3, 4), 65536), ms.Case(np.zeros((1, 3, 4), np.float32)), tmp_path / "mask.png")
    known = ms.Case(np.zeros((1, 3, 4), np.float32), name="slice", spacing=(2, 2))
    with pytest.warns(UserWarning, match="case 'slice': a PNG does not keep its spacing"):
        ms.save_mask(np.zeros((3, 4)), known, tmp_path / "mask.png")
    assert [p.name for p in tmp_path.iterdir()] == ["mask.png"]
