"The viewer shows what overlay draws, and never runs the model"

import io
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from misas.core.cases import Case
from misas.core.sweeps import Series, get_series
from misas.data.phantoms import phantom
from misas.models.demo import demo_model
from misas.plot.figures import legend_entries
from misas.plot.overlays import overlay, series_view
from misas.plot.planes import lettered, plane_look, plane_pixels, plane_zoom, without_prediction
from misas.plot.viewer import (
    all_labels,
    html_legend,
    one_case,
    quick_png,
    series_names,
    start_value,
    step_caption,
    step_picture,
    step_view,
    view,
)
from misas.transforms.basic import Brightness, Resize, Rotate

pytest.importorskip("ipywidgets")

AFFINE = np.eye(4)
AFFINE[:3, :3] = np.array([[-0.71, 0.1, -0.69], [0.53, -0.57, -0.63], [-0.46, -0.81, 0.35]]) * (8, 2.5, 2.5)
CALLS = []


@pytest.fixture(scope="module")
def case():
    return phantom((12, 72, 64), seed=3, spacing=(8, 2.5, 2.5)).replace(affine=AFFINE)


@pytest.fixture(scope="module")
def by_slices():
    net = demo_model()

    def predict(volume):  # `(D, H, W)`
        CALLS.append(1)
        with torch.inference_mode():
            return net(torch.as_tensor(volume)[:, None]).argmax(1)

    return predict


@pytest.fixture(scope="module")
def bright(case, by_slices):
    return get_series(by_slices, case, Brightness(), values=[0.25, 0.5, 1, 2, 4], progress=False)


@pytest.fixture(scope="module")
def turning(case, by_slices):
    return get_series(by_slices, case, Rotate(), values=[0, 15, 30, 45, 90], progress=False)


@pytest.fixture(scope="module")
def plain(case, by_slices):
    return get_series(by_slices, case.replace(affine=None), Brightness(), values=[0.5, 1], progress=False)


@pytest.fixture(scope="module")
def sizes(case):
    return get_series(lambda x: x > 0.4, case, Resize(), values=[18, 36, 72], progress=False)


@pytest.fixture(scope="module")
def small():
    return get_series(lambda x: x > 0.4, phantom((40, 50)), Resize(), values=[25, 50], progress=False)


def parts(box):
    "Picture, caption, legend and the controls by their descriptions"
    return *box.children[0].children, {c.description: c for c in box.children[1].children}


def shown(controls) -> list:
    return [control.description for control in controls.values() if control.layout.display is None]


def expected(series, i, axis, index, **changes):
    changed = replace(series_view(series), **changes)
    return quick_png(step_picture(series, series[i], changed, axis, index, 300))


def test_picture_is_the_overlay_bit_by_bit(plain):
    look = series_view(plain)
    across_rows = overlay(
        plain[1].image[:, :, 20], plain[1].pred[:, 20], plain[1].truth[:, 20], (0, 1), spacing=(8, 2.5)
    )
    assert np.array_equal(step_picture(plain, plain[1], look, 1, 20, 480), across_rows)


def test_all_steps_share_one_canvas(plain, sizes, small):
    look = series_view(plain)
    shapes = {step_picture(sizes, step, look, axis, 4, 300).shape for step in sizes for axis in (0, 2)}
    assert shapes == {(288, 256, 3), (154, 288, 3)}
    assert {step_picture(small, step, series_view(small), 0, None, 100).shape for step in small} == {(80, 100, 3)}


def test_canvas_follows_the_volume_as_it_lay(plain, sizes):
    # to the head, to the right, to the back: axes are exchanged
    affine = np.array([[0, 2.5, 0, 0], [0, 0, -2.5, 0], [8, 0, 0, 0], [0, 0, 0, 1.0]])
    lying = Series(sizes.steps, sizes.transform, sizes.case.replace(affine=affine), None)
    shapes = [step_picture(lying, sizes[2], series_view(plain), axis, 4, 300).shape[:2] for axis in range(3)]
    assert shapes == [(256, 288), (154, 256), (154, 288)]


def test_captions_and_legend(plain, bright, turning, sizes):
    look = series_view(plain)
    assert one_case(bright) == [bright]
    assert series_names([bright, turning]) == ["brightness", "rotation"]
    assert (start_value(bright), start_value(sizes)) == (2, 2)
    assert step_caption(sizes, sizes[0], 1, 36) == "pixels = 18 px · slice 9 · 90 mm"
    assert all_labels([bright, turning], look) == [1, 2, 3]
    legend = html_legend(legend_entries([1], ("bg", "L<V"), look), [("truth", "contour")])
    assert 'background:rgb(230,159,0)"></span> L&lt;V</span> &nbsp; ' in legend
    assert legend.endswith('<span style="display:inline-block">contour: truth</span>')


def test_neutral_value_is_found_in_spite_of_rounding(case):
    values = [0.9, sum([0.1] * 10), 1.1]  # the second is 0.9999999999999999
    series = get_series(lambda x: x > 0.4, case, Brightness(), values=values, progress=False)
    assert start_value(series) == 1


def test_series_are_of_one_case(bright, small):
    with pytest.raises(ValueError, match="series must be of one case, got the cases"):
        one_case([bright, small])
    with pytest.raises(ValueError, match="series must be at least one series"):
        one_case([])
    with pytest.raises(TypeError, match="series"):
        one_case(3)


def test_controls_change_the_picture_and_never_run_the_model(bright, turning):
    CALLS.clear()
    picture, caption, legend, controls = parts(view([bright, turning], size=300))
    controls["value"].value = 4
    assert picture.value == expected(bright, 4, 0, 4)
    assert caption.value == "factor = 4× · slice 4 · 32 mm"
    controls["slice"].value = 7
    assert picture.value == expected(bright, 4, 0, 7)
    assert caption.value == "factor = 4× · slice 7 · 56 mm"
    controls["truth"].value = None
    assert picture.value == expected(bright, 4, 0, 7, truth=None)
    assert "truth" not in legend.value
    controls["prediction"].value = "contour"
    assert picture.value == expected(bright, 4, 0, 7, truth=None, pred="contour")
    controls["prediction"].value = "fill"
    controls["opacity"].value = 0.2
    assert picture.value == expected(bright, 4, 0, 7, truth=None, alpha=0.2)
    controls["across"].value = 2
    assert controls["slice"].max == 63
    assert picture.value == expected(bright, 4, 2, 31, truth=None, alpha=0.2)
    controls["series"].value = 1
    assert caption.value == "deg = 0° · slice 31 · 77.5 mm"
    assert picture.value == expected(turning, 0, 2, 31, truth=None, alpha=0.2)
    controls["value"].value = 4
    assert picture.value == expected(turning, 4, 2, 31, truth=None, alpha=0.2)
    assert not CALLS


def test_picture_in_the_widget_is_the_overlay(plain):
    picture, _, _, controls = parts(view(plain, axis=1))
    controls["value"].value = 0
    controls["slice"].value = 22
    drawn = np.asarray(Image.open(io.BytesIO(picture.value)))
    step = plain[0]
    same = overlay(step.image[:, :, 22], step.pred[:, 22], step.truth[:, 22], (0, 1), spacing=(8, 2.5))
    assert np.array_equal(drawn, same)


def test_a_case_alone_has_no_prediction(case, bright):
    changed = Brightness()(case, 2)
    CALLS.clear()
    picture, caption, legend, controls = parts(view(changed, size=300))
    assert shown(controls) == ["across", "slice", "truth", "opacity"]
    assert legend.value.endswith("contour: truth</span>")
    assert "prediction" not in legend.value
    controls["slice"].value = 7
    alone = Series((replace(bright[3], pred=None),), bright.transform, changed, None)
    assert picture.value == expected(alone, 0, 0, 7, pred=None)
    assert not CALLS
    assert parts(view(phantom((40, 50))))[1].value == ""
    assert parts(view(phantom((40, 50)).replace(truth=None)))[2].value == ""


def test_what_has_nothing_to_choose_is_not_shown(small):
    _, caption, _, controls = parts(view(small))
    assert shown(controls) == ["value", "prediction", "truth", "opacity"]
    assert caption.value == "pixels = 50 px"
    controls["value"].value = 0
    assert caption.value == "pixels = 25 px"


def test_single_steps_and_many_channels():
    channels = Case(torch.rand(5, 4, 16, 20, generator=torch.Generator().manual_seed(0)))
    untold = get_series(lambda x: x[1] > 0.5, channels, Brightness(), values=[1], progress=False)
    *_, controls = parts(view(untold, channel=4, pred="contour", index=3))
    assert controls["truth"].layout.display == "none"
    assert controls["slice"].value == 3
    assert controls["value"].max == 0


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(axis=3), "axis must be one of 0, 1, 2, got 3"),
        (dict(index=12), "index must be an integer >= 0 and <= 11 or None, got 12"),
        (dict(index=1.5), "index must be an integer >= 0 and <= 11 or None, got 1.5"),
        (dict(pred="line"), "pred"),
        (dict(alpha=3), "alpha"),
    ],
)
def test_bad_arguments_are_named(bright, bad, message):
    with pytest.raises(ValueError, match=message):
        view(bright, **bad)


def test_missing_package_is_named(bright, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"pip install 'misas\[viewer\]'"):
        view(bright)


@pytest.mark.parametrize("up, at", [(1, (8, 1, 12)), (-1, (1, 1, 12))])
def test_head_is_up_and_left_is_where_a_radiologist_looks_for_it(up, at):
    # slices go up or down, rows to the back, columns to the left
    affine = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [3 * up, 0, 0, 0], [0, 0, 0, 1.0]])
    image = torch.zeros(1, 10, 12, 14)
    image[0][at] = 1
    placed = Case(image, torch.zeros(10, 12, 14), spacing=(3, 2, 2), affine=affine)
    picture, *_, controls = parts(view(placed, index=at[0], size=120))
    names = (("axis 0 (axial)", 0), ("axis 1 (coronal)", 1), ("axis 2 (sagittal)", 2))
    assert controls["across"].options == names
    for axis, (side, letters) in enumerate((("right", "RLAP"), ("right", "RLSI"), ("left", "APSI"))):
        controls["across"].value = axis
        controls["slice"].value = at[axis]
        drawn = np.asarray(Image.open(io.BytesIO(picture.value)))[..., 0]
        step = without_prediction(placed)
        seen = step_view(plane_look(step), step[0], placed, axis, at[axis])
        unlettered = plane_pixels(seen, step[0], plane_zoom(placed, 120, axis))[..., 0]
        rows, columns = np.nonzero(unlettered > 128)
        assert rows.mean() < len(unlettered) / 2
        assert (columns.mean() < unlettered.shape[1] / 2) == (side == "left")
        in_colour = np.repeat(unlettered[..., None], 3, 2)
        assert np.array_equal(drawn, lettered(in_colour, letters)[..., 0])
