"Pictures of activation maps: colours by hand, one scale, panels, GIF and viewer"

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms
from misas.plot.explain import HeatView, heat_colours, heat_views, only_label


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@pytest.fixture(scope="module")
def case():
    return ms.phantom((64, 64), seed=1)


@pytest.fixture(scope="module")
def turning(case):
    return quietly(ms.activation_series, ms.demo_model(), case, ms.Rotate(), [0, 45, 90], "LV", progress=False)


@pytest.fixture(scope="module")
def volume():
    model, case = ms.SliceWise(ms.demo_model()), ms.phantom((6, 48, 40), seed=1)
    return quietly(ms.activation_series, model, case, "brightness", [0.5, 1], "LV", "deep", "truth", progress=False)


# ---------------------------------------------------------------- colours


def test_where_a_map_is_zero_the_image_is_seen_as_it_is(turning):
    (look, _) = heat_views(turning, 0.6, None, None, pred=None)
    plain = ms.View(pred=None, truth=None, window=look.window)
    step = turning[0]
    heated, grey = look.levels(step), plain.levels(step)
    nothing = step.maps[0].numpy() == 0
    assert (heated[nothing] == grey[nothing][:, None]).all() and (heated[~nothing] != grey[~nothing][:, None]).any()


def test_colour_of_a_pixel_by_hand():
    import matplotlib

    case = ms.Case(torch.full((1, 2, 2), 100.0), scale=(0, 255))
    maps = torch.tensor([[[0.0, 0.5], [1.0, 2.0]]])
    step = ms.ExplainedStep(None, case.image, None, torch.zeros(2, 2, dtype=torch.int32), maps=maps)
    look = HeatView(pred=None, truth=None, window=(0, 255), scale=2.0, heat=0.6, colourmap="viridis")
    viridis = matplotlib.colormaps["viridis"]
    # opacity: 0.6 from a third of the scale on, less below
    for (i, j), opacity in {(0, 1): 0.6 * 0.25 * 3, (1, 0): 0.6, (1, 1): 0.6}.items():
        colour = np.array(viridis(float(maps[0, i, j]) / 2)[:3]) * 255
        assert np.allclose(look.levels(step)[i, j], 100 + opacity * (colour - 100), atol=1)
    assert look.levels(step)[0, 0].tolist() == [100] * 3


def test_negative_numbers_have_a_scale_with_two_ends():
    middle = heat_colours(np.zeros(1), True)
    assert (middle > 240).all() and (heat_colours(np.array([-1.0, 1]), True).min(1) < 60).all()


def test_only_the_label_is_drawn(turning):
    shown = only_label(turning)
    assert all(set(step.pred.unique().tolist()) <= {0, 1} for step in shown)
    assert set(turning[0].pred.unique().tolist()) == {0, 1, 2, 3}


# ---------------------------------------------------------------- panels


def texts(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def test_one_image_shows_itself_and_each_layer(case):
    figure = ms.plot_explanation(ms.activation_map(ms.demo_model(), case, "LV"))
    assert texts(figure) == ["image", "deep", "up.1"]
    assert isinstance(figure.explanation, ms.Explanation)


def test_a_sweep_has_a_row_and_one_colour_bar_for_each_layer(turning):
    figure = ms.plot_explanation(turning)
    assert texts(figure) == ["deg = 0°", "deg = 45°", "deg = 90°"] * 2
    bars = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert [b.replace("\n", " ") for b in bars] == [
        "deep: activation for LV (logits)",
        "up.1: activation for LV (logits)",
    ]
    limits = [ax.get_ylim()[1] for ax in figure.axes if ax.get_ylabel()]
    assert limits == pytest.approx(turning.scales)


def test_scale_may_be_given(turning):
    figure = ms.plot_explanation(turning, scale=[1, 2])
    assert [ax.get_ylim()[1] for ax in figure.axes if ax.get_ylabel()] == [1, 2]
    for scale in (0, -1, [1], [1, 2, 3], "one", float("nan")):
        with pytest.raises((ValueError, TypeError), match="scale must be one number > 0, or 2"):
            ms.plot_explanation(turning, scale=scale)


def test_explain_series_draws_and_keeps_the_maps(case):
    figure = quietly(
        ms.explain_series, ms.demo_model(), case, ms.Rotate(), [0, 30], label="LV", layer="deep", progress=False
    )
    assert texts(figure) == ["deg = 0°", "deg = 30°"] and figure._repr_png_()[:4] == b"\x89PNG"
    assert figure.explanation.values == [0, 30] and figure.explanation.layers == ("deep",)


def test_explain_series_takes_a_few_of_the_transform_s_values(case):
    figure = quietly(ms.explain_series, ms.demo_model(), case, ms.Rotate(), label="LV", layer="deep", progress=False)
    assert len(figure.explanation) <= 8 and 0 in figure.explanation.values


def test_explain_series_by_occlusion(case):
    options = dict(method="occlusion", options=dict(patch=32, stride=32), progress=False)
    figure = ms.explain_series(lambda image: image > 0.5, case, "brightness", [1, 2], 1, **options)
    assert figure.explanation.method == "occlusion"
    assert "loss of Dice" in " ".join(ax.get_ylabel() for ax in figure.axes)


def test_bad_arguments(case, turning):
    with pytest.raises(ValueError, match="method must be one of 'gradients', 'occlusion', got 'gradient'"):
        ms.explain_series(ms.demo_model(), case, ms.Rotate(), [0], "LV", method="gradient")
    with pytest.raises(ValueError, match="options must be None for method='gradients'"):
        ms.explain_series(ms.demo_model(), case, ms.Rotate(), [0], "LV", options=dict(patch=3))
    with pytest.raises(ValueError, match="occlusion_map"):
        ms.explain_series(lambda image: image > 0.5, case, ms.Rotate(), [0], 1)
    with pytest.raises(TypeError, match="explanation must be an Explanation"):
        ms.plot_explanation(case)
    with pytest.raises(ValueError, match="heat must be"):
        ms.plot_explanation(turning, heat=2)
    with pytest.raises(ValueError, match="colourmap must be the name of a matplotlib colormap, got 'jett'"):
        ms.plot_explanation(turning, colourmap="jett")


def test_volumes_are_cut(volume):
    figure = ms.plot_explanation(volume, axis=1)
    assert texts(figure) == ["factor = 0.5×", "factor = 1×"]


def test_figure_of_arms(case):
    cases = [case, ms.phantom((64, 64), seed=2)]
    arms = dict(A=ms.demo_model(), B=[ms.demo_model(), ms.demo_model()])
    figure = quietly(ms.plot_activations, arms, cases, ["bg", "LV"])
    row = ["A: bg", "A: LV", "B: bg", "B: LV"]
    assert texts(figure) == ["phantom-1", *row, "phantom-2", *row]
    bars = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert bars == ["share of the arm's\nlargest activation"]
    whole = quietly(ms.plot_activations, arms, cases, ["bg", "LV"], scale="all")
    (bar,) = [ax for ax in whole.axes if ax.get_ylabel()]
    top = max(quietly(ms.activation_map, arms["A"], c, k, "deep").scales[0] for c in cases for k in (0, 1))
    assert bar.get_ylabel() == "activation (logits)" and bar.get_ylim()[1] == pytest.approx(top)


def test_figure_of_arms_with_bad_arguments(case):
    with pytest.raises(ValueError, match="models must be at least one arm"):
        ms.plot_activations({}, case)
    with pytest.raises(ValueError, match="layer must be one layer, or None"):
        ms.plot_activations(ms.demo_model(), case, layer=["deep", "up.1"])
    with pytest.raises(ValueError, match="labels must be at least one in a list"):
        ms.plot_activations(ms.demo_model(), case, labels=[])


# ---------------------------------------------------------------- GIF and viewer


def test_gif(turning, tmp_path):
    path = ms.gif_explanation(turning, tmp_path / "looks.gif")
    made = Image.open(path)
    assert made.n_frames == 3 and made.size[0] > made.size[1]
    figure = ms.plot_explanation(turning)
    again = ms.gif_explanation(figure, tmp_path / "again.gif")
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="ends with .gif"):
        ms.gif_explanation(turning, tmp_path / "looks.png")
    with pytest.raises(ValueError, match="limit must be"):
        ms.gif_explanation(turning, tmp_path / "large.gif", limit=0.01)


def test_gif_of_a_volume(volume, tmp_path):
    assert Image.open(ms.gif_explanation(volume, tmp_path / "volume.gif", axis=2)).n_frames == 2


def picture(box):
    import io

    return np.asarray(Image.open(io.BytesIO(box.children[0].children[0].value)))


def test_viewer(turning):
    pytest.importorskip("ipywidgets")
    box = ms.view_explanation(turning, size=128)
    controls = {c.description: c for c in box.children[1].children}
    first = picture(box)
    controls["layer"].value = 1
    second = picture(box)
    controls["value"].value = 2
    assert "deg = 90°" in box.children[0].children[1].value
    controls["opacity"].value = 0
    third = picture(box)
    assert not np.array_equal(first, second) and not np.array_equal(second, third)
    assert controls["across"].layout.display == "none"


def test_viewer_of_a_volume(volume):
    pytest.importorskip("ipywidgets")
    box = ms.view_explanation(volume, axis=1)
    controls = {c.description: c for c in box.children[1].children}
    assert controls["slice"].max == 47
    controls["across"].value = 0
    assert controls["slice"].max == 5 and "slice" in box.children[0].children[1].value
