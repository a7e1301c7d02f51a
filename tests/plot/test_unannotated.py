"Pixels that are not annotated are hatched in every picture, and are no error in any"

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms
from misas.plot.overlays import UNKNOWN

SHAPE = (40, 40)
ROWS, COLUMNS = np.indices(SHAPE)
TRUTH = ((ROWS - 20) ** 2 + (COLUMNS - 14) ** 2 < 80).astype(np.int32)
UNKNOWN_HERE = COLUMNS > 24
ROTATE = ms.Rotate()


def wrong(image):
    "Right where the truth is known, and everything where it is not"
    shape = np.shape(image)
    columns = np.broadcast_to(COLUMNS, shape)
    return np.where(columns > 24, 1, np.broadcast_to(TRUTH, shape))


def both(image):
    mask = np.squeeze(wrong(image)) > 0
    return np.stack([mask, mask])


def made(overlapping=False, volume=False):
    "A case, and a model that is wrong where nothing is annotated and nowhere else"
    truth = np.where(UNKNOWN_HERE, 255, TRUTH)
    image = np.full(SHAPE, 0.3, np.float32)
    spacing: tuple = (1, 1)
    if volume:
        truth, image, spacing = np.stack([truth] * 4), np.stack([image] * 4)[None], (3, 1, 1)
    masks = np.stack([truth, truth]) if overlapping else truth
    case = ms.Case(image, masks, "case", spacing, scale=(0, 1), overlapping=overlapping, ignore=255)
    model = ms.as_model(both, overlapping=True, name="m") if overlapping else ms.as_model(wrong, name="m")
    return model, case


def series(overlapping=False, volume=False):
    model, case = made(overlapping, volume)
    return ms.get_series(model, case, ms.Brightness(), [1, 1.2], progress=False)


def near(picture, colour):  # bool `(H, W)`
    return (np.abs(np.asarray(picture)[..., :3].astype(int) - colour) <= 12).all(-1)


def has_no_error_but_hatching(picture):
    picture = np.asarray(picture)[..., :3].astype(int)
    red_not_blue = (picture[..., 0] > picture[..., 2] + 60) & (picture[..., 1] < picture[..., 0] - 40)
    return not red_not_blue.any() and near(picture, UNKNOWN).any()


@pytest.mark.parametrize("overlapping, volume", [(False, False), (True, False), (True, True)])
def test_animations(tmp_path, overlapping, volume):
    several = series(overlapping, volume)
    path = tmp_path / "a.gif"
    ms.gif_series(several, path, pred="errors")
    with Image.open(path) as gif:
        frame = gif.convert("RGB")
    # legends below the picture have the colour of errors
    side = min(frame.size)
    picture = np.asarray(frame)[: int(side * 0.8)]
    assert has_no_error_but_hatching(picture)
    ms.gif_series(several, path)
    with Image.open(path) as gif:
        assert near(gif.convert("RGB"), UNKNOWN).any()
    if volume:
        ms.gif_volume(several, path)
        with Image.open(path) as gif:
            assert near(gif.convert("RGB"), UNKNOWN).any()


@pytest.mark.parametrize(
    "overlapping, volume, pred", [(False, True, "fill"), (True, False, "fill"), (True, True, "errors")]
)
def test_pages_say_it_and_hatch(tmp_path, overlapping, volume, pred):
    path = tmp_path / "page.html"
    ms.save_viewer(series(overlapping, volume), path, pred=pred)
    assert "not annotated" in path.read_text()


def said(picture):
    "All that a figure says"
    figure = getattr(picture, "figure", picture)
    texts = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return " ".join(texts)


@pytest.mark.parametrize("overlapping", [False, True])
def test_figures_say_it(overlapping):
    model, case = made(overlapping)
    _, volume = made(overlapping, True)
    flat, deep = series(overlapping), series(overlapping, True)
    for picture in (
        ms.plot_series(flat),
        ms.plot_series(flat, pred="errors"),
        ms.plot_series(flat, pred="errors", label=1),
        ms.plot_frame(flat[1:]),
        ms.plot_transform(case, ms.Brightness(), [1, 1.2]),
        ms.plot_planes(deep),
        ms.plot_montage(deep[1:]),
        ms.plot_gallery([case, volume.replace(name="v")], model),
        ms.plot_cases([case], {"A": model, "B": model}),
    ):
        assert "not annotated" in said(picture)


def test_gallery_and_cases_judge_what_is_known():
    for overlapping in (False, True):
        model, case = made(overlapping)
        assert "dice 1" in said(ms.plot_gallery([case], model))
        assert said(ms.plot_cases([case], {"A": model, "B": model})).count("dice 1") == 2


def test_best_mask_and_explanations():
    model, case = made()
    assert "not annotated" in said(ms.plot_best_mask([case], model, model))
    net = ms.demo_model()
    phantom = ms.phantom((64, 64), seed=0)
    truth = phantom.truth.clone()
    truth[:, 32:] = 255
    unknown = phantom.replace(truth=truth, ignore=255)
    explained = ms.activation_map(net, unknown, label="MY")
    assert "not annotated" in said(ms.plot_explanation(explained, truth="contour"))
    hidden = ms.activation_map(net, unknown.replace(truth=torch.full_like(truth, 255)), label="MY")
    assert torch.equal(explained[0].maps, hidden[0].maps)


@pytest.mark.parametrize("ignore", [None, 255])
def test_report_hatches_worst_cases(tmp_path, ignore):
    model, case = made()
    if ignore:  # the study says it, and the case does not
        case = case.replace(ignore=None)
    found = ms.study(
        model, [case], ["brightness"], dict(brightness=[1, 1.2]), out=tmp_path, ignore=ignore, floor=False,
        guarantee=False, preparation=False, augmentation=False, progress=False,
    )  # fmt: skip
    page = next(tmp_path.glob("*.html")).read_text()
    assert found.scores[found.scores.label != "0"].score.min() == 1
    assert "not annotated" in page
