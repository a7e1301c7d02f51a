"The page with sliders shows what the library draws, and holds nothing else"

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from misas.core.cases import Case
from misas.core.model import as_model
from misas.core.sweeps import Series, get_series
from misas.data.phantoms import phantom
from misas.models.demo import demo_model
from misas.plot.overlays import overlay, series_view
from misas.plot.page import _filled_page, _padded, _page_colours, _step_layers, save_viewer
from misas.plot.planes import plane_of, plane_pixels, plane_zoom
from misas.plot.viewer import step_picture
from misas.transforms.basic import Brightness, Dihedral, Resize, Rotate

AFFINE = np.eye(4)
AFFINE[:3, :3] = np.array([[-0.71, 0.1, -0.69], [0.53, -0.57, -0.63], [-0.46, -0.81, 0.35]]) * (8, 2.5, 2.5)


@pytest.fixture(scope="module")
def case():
    return phantom((12, 72, 64), seed=3, spacing=(8, 2.5, 2.5)).replace(affine=AFFINE)


@pytest.fixture(scope="module")
def by_slices():
    net = demo_model()

    def predict(volume):  # `(D, H, W)`
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


def data_of(path) -> dict:
    "What the script of a page is told"
    return json.loads(re.search("const data = (.*);", path.read_text(encoding="utf-8"))[1])


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def stacked(data, series, i, k):
    "What the browser puts together"
    places = data["series"][series]["steps"][i]["layers"][k]
    image, *masks = [decoded(data["pictures"][place]).convert("RGBA") for place in places if place >= 0]
    picture = np.asarray(image, np.float32)[..., :3].copy()
    in_order = sorted(zip(masks, data["styles"].values()), key=lambda mask: mask[1], reverse=True)
    for mask, style in in_order:
        mask = np.asarray(mask, np.float32)
        opacity = data["alpha"] if style == "fill" else 1
        picture += (mask[..., 3:] > 0) * opacity * (mask[..., :3] - picture)
    return np.rint(picture).astype(np.uint8)


def test_masks_cover_what_overlay_paints(plain):
    filled = series_view(plain, index=4)
    outlined = series_view(plain, index=4, pred="contour")
    for view, style in ((filled, "fill"), (outlined, "contour")):
        layer = _step_layers(plain[0], view, 2, (180, 160), _page_colours(view, [1, 2, 3]))[1]
        black = np.zeros((72, 64))
        painted = overlay(black, plain[0].pred[4], window=(0, 1), alpha=1, pred_as=style, scale=5).any(-1)
        assert np.array_equal(layer > 0, painted)


def test_padding_puts_an_array_in_the_middle():
    assert _padded(np.ones((1, 2)), (3, 4)).tolist() == [[0] * 4, [0, 1, 1, 0], [0] * 4]
    assert _padded(np.ones((1, 1, 3)), (1, 2)).shape == (1, 2, 3)


def test_no_text_ends_the_script():
    page = _filled_page(dict(x="</script>", series="°"), NAME="a &lt; b", WIDTH=3)
    assert "<h1>a &lt; b</h1>" in page
    assert '{"x":"\\u003c/script>","series":"\\u00b0"}' in page
    assert page.count("</script>") == 1


def test_page_starts_at_the_unchanged_image_and_the_fullest_slice(bright, turning, tmp_path):
    data = data_of(save_viewer([bright, turning], tmp_path / "viewer.html"))
    assert [p.name for p in tmp_path.iterdir()] == ["viewer.html"]
    assert [s["start"] for s in data["series"]] == [2, 0]
    assert data["start"] == 4


def test_layers_give_the_picture_of_overlay_bit_by_bit(plain, tmp_path):
    data = data_of(save_viewer([plain, plain], tmp_path / "b.htm", quality=None, size=300))
    for i, k in ((0, 4), (1, 0), (1, 11)):
        assert np.array_equal(stacked(data, 1, i, k), step_picture(plain, plain[i], series_view(plain), 0, k, 300))


def test_contours_are_dashed_as_in_overlay(case, bright, tmp_path):
    path = save_viewer(bright, tmp_path / "b.html", quality=None, size=300, axis=2, pred="contour", slices=3)
    data = data_of(path)
    view = series_view(bright, pred="contour")
    zoom = plane_zoom(case, 300, 2)
    for k, index in enumerate((0, 32, 63)):
        picture = plane_pixels(plane_of(view, bright[1], case, 2, index), bright[1], zoom)
        assert np.array_equal(stacked(data, 0, 1, k), picture)


def test_losses_of_images_are_small(case, bright, tmp_path):
    data = data_of(save_viewer(bright, tmp_path / "b.html"))
    picture = plane_pixels(plane_of(series_view(bright), bright[2], case, 0, 4), bright[2], plane_zoom(case, 384, 0))
    assert np.abs(stacked(data, 0, 2, 4).astype(float) - picture).mean() < 2


def test_head_is_up_where_the_volume_knows_how_it_lay(case, plain, tmp_path):
    # to the head, to the back, to the left
    upright = np.array([[0, 0, -2.5, 0], [0, -2.5, 0, 0], [8, 0, 0, 0], [0, 0, 0, 1.0]])
    heads = Series(plain.steps, plain.transform, case.replace(affine=upright), plain.model)
    options = dict(quality=None, size=300, axis=1, slices=3)
    coronal = data_of(save_viewer(heads, tmp_path / "a.html", **options))
    stored = data_of(save_viewer(plain, tmp_path / "b.html", **options))
    first, first_stored = (data["series"][0]["steps"][0] for data in (coronal, stored))
    assert first["letters"] == list("RLSI")
    assert first_stored["letters"] is None
    for layer, mirrored in zip(first["layers"][1], first_stored["layers"][1]):
        here = np.asarray(decoded(coronal["pictures"][layer]).convert("RGBA"))
        there = np.asarray(decoded(stored["pictures"][mirrored]).convert("RGBA"))
        assert here.any()
        assert np.abs(here[::-1].astype(int) - there).mean() < 3  # contours may be a pixel off


def white_sizes(series, folder) -> list:
    "Height and width of the white part of each step's picture"
    data = data_of(save_viewer(series, folder / "b.html", quality=None, size=80))
    sizes = []
    for step in data["series"][0]["steps"]:
        picture = np.asarray(decoded(data["pictures"][step["layers"][0][0]]).convert("L"))
        sizes.append(tuple(np.ptp(np.argwhere(picture == 255), axis=0) + 1))
    return sizes


def test_each_value_is_shown_in_its_own_proportions_in_mm(tmp_path):
    flat = Case(torch.ones(1, 40, 50), spacing=(2, 1), scale=(0, 1))  # 80 mm high, 50 mm wide
    turned = get_series(lambda x: x > 2, flat, Dihedral(), values=[0, 2], progress=False)
    assert white_sizes(turned, tmp_path) == [(80, 50), (50, 80)]
    coarse = as_model(lambda x: x > 2, prepare=lambda x: x[..., ::2, ::2])
    assert white_sizes(get_series(coarse, flat, Brightness(), values=[1], progress=False), tmp_path) == [(80, 50)]


def test_nothing_is_loaded_from_outside_and_the_name_is_all_that_is_told(case, bright, turning, tmp_path):
    page = save_viewer([bright, turning], tmp_path / "a.html").read_text(encoding="utf-8")
    texts = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", page)
    assert not re.search(r"https?:|//\w|@[A-Z]+@|import |fetch", texts)
    assert "default-src 'none'" in texts
    assert case.name in texts


def test_names_are_data(case, tmp_path):
    odd = case.replace(name="<script>alert(1)</script>", truth=None)
    series = get_series(lambda x: x > 0.5, odd, Brightness(), values=[1], progress=False)
    page = save_viewer(series, tmp_path / "odd.html", labels=["a", "</script>"]).read_text(encoding="utf-8")
    assert page.count("<script>") == page.count("</script>") == 1
    assert "&lt;/script&gt;" in page
    assert '"styles":{"prediction":"fill"}' in page


def test_a_case_alone_is_shown_with_its_truth(case, tmp_path):
    path = save_viewer(case, tmp_path / "case.html", slices=4)
    data = data_of(path)
    first = data["series"][0]["steps"][0]
    assert data["styles"] == {"truth": "contour"}
    assert "model" not in re.search("<small>(.*)</small>", path.read_text(encoding="utf-8"))[1]
    assert first["captions"][1] == "slice 4 · 32 mm"
    assert all(image >= 0 > prediction for image, prediction, truth in first["layers"])


def test_images_and_volumes_of_any_kind_are_shown(case, tmp_path):
    sizes = get_series(lambda x: x > 0.4, case, Resize(), values=[18, 36, 72], progress=False)
    small = get_series(lambda x: x > 0.4, phantom((40, 50)), Resize(), values=[25, 50], progress=False)
    channels = Case(torch.rand(5, 4, 16, 20, generator=torch.Generator().manual_seed(0)))
    untold = get_series(lambda x: x[1] > 0.5, channels, Brightness(), values=[1], progress=False)
    for series in (small, sizes, untold, phantom((40, 50))):
        assert save_viewer(series, tmp_path / "odd.html", slices=None, channel=0).stat().st_size < 1e6


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(slices=0), "slices must be an integer >= 1 or None, got 0"),
        (dict(slices=2.5), "slices must be an integer >= 1 or None, got 2.5"),
        (dict(alpha=3), "alpha"),
        (dict(quality=0), "quality must be an integer >= 1 and <= 100 or None, got 0"),
        (dict(limit=0.01), "limit must be larger than 0.01 MB"),
        (dict(limit="x"), "limit must be a number > 0, got 'x'"),
        (dict(size="x"), "size"),
        (dict(axis=3), "axis"),
    ],
)
def test_bad_arguments_are_named_and_leave_no_file(bright, tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        save_viewer(bright, tmp_path / "none.html", **bad)
    assert list(tmp_path.iterdir()) == []


def test_path_ends_with_html_in_a_folder_that_exists(bright, tmp_path):
    with pytest.raises(ValueError, match="path must be a name that ends with .html"):
        save_viewer(bright, "a.png")
    with pytest.raises(ValueError, match="path must be in a folder that exists"):
        save_viewer(bright, tmp_path / "none" / "a.html")
