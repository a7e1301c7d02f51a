"What is drawn: labels in the colours of their legend, arrays of any layout, what is not annotated, names that are data"

import html
import re
import shutil
import subprocess
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms
from misas.plot.colours import label_rgb
from misas.plot.text import _font_files as known_fonts

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = [
    "</script><script>document.documentElement.lang='ran'</script>",
    "<img src=x onerror=\"document.documentElement.lang='ran'\">",
    "\"'&amp;<b>`${1}",
    '" onmouseover="document.documentElement.lang=\'ran\'" x="',
    "javascript:document.documentElement.lang='ran'",
    "</title><svg onload=document.documentElement.lang='ran'>",
    "<!--<script>",
    "@DATA@@LEGEND@",
    "two\nlines\r\x1b[31mred\x07\u2028\u202e",
    "x" * 300,
    "\ud800",
    "漢字 العربية 😀",
    "$\\frac{1}{$ 100 % _a \\",
]


def nothing(image):
    return np.zeros(np.shape(image), int)


# ---------------------------------------------------------------- colours of many labels


def tiles(labels, columns: int = 8) -> np.ndarray:
    "A square of 16 pixels for each label"
    labels = np.pad(np.asarray(labels), (0, -len(labels) % columns))
    return labels.reshape(-1, columns).repeat(16, 0).repeat(16, 1)


def series_of(truth):
    shades = np.tile(np.linspace(0, 255, truth.shape[1]).astype(np.uint8), (len(truth), 1))
    model = ms.as_model(lambda image: truth, name="m")
    return ms.get_series(model, ms.load_case(shades, truth), ms.Brightness(), [1.0, 1.5], progress=False)


def colours_of_tiles(picture, n: int, top: int = 0) -> list:
    "The colour in the middle of each of n tiles, 12 in a row, each 32 pixels wide"
    left = (picture.shape[1] - 384) // 2
    return [tuple(picture[top + i // 12 * 32 + 16, left + i % 12 * 32 + 16]) for i in range(n)]


@pytest.mark.parametrize("labels", [range(1, 41), range(1, 121), range(2, 255, 9), [2, 41, 1001, 2035, 70000, 2**30]])
def test_each_label_of_a_gif_has_its_own_colour_exactly(labels, tmp_path):
    truth = tiles(list(labels), 12)
    series = series_of(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = ms.gif_series(series, tmp_path / "a.gif", colours="turbo", alpha=1.0, truth=None, size=384)
        picture = ms.series_view(series, colours="turbo", alpha=1.0, truth=None)(series[0], 2)
        with Image.open(path) as gif:
            found = colours_of_tiles(np.asarray(gif.convert("RGB")), len(labels), top=24)
    assert len(set(found)) == len(labels)
    assert found == colours_of_tiles(picture, len(labels))


def test_a_legend_has_the_colours_of_the_picture_and_every_label():
    figure = ms.plot_series(series_of(tiles(range(1, 41))), colours="turbo", alpha=1.0, truth=None)
    (legend,) = figure.legends
    patches = [patch.get_facecolor()[:3] for patch in legend.get_patches()[:40]]
    assert np.allclose(np.multiply(patches, 255), label_rgb("turbo", 40))
    assert [text.get_text() for text in legend.get_texts()][:40] == [str(k) for k in range(1, 41)]


@pytest.mark.parametrize("colours", [None, ["red", "lime"], "tab10"])
def test_lists_that_are_too_short_say_so(colours, tmp_path):
    series = series_of(tiles(range(1, 41)))
    with pytest.warns(UserWarning, match="have the same colour; colours='turbo'"):
        ms.plot_series(series, colours=colours)
    with pytest.warns(UserWarning, match="have the same colour; colours='turbo'"):
        ms.gif_series(series, tmp_path / "a.gif", colours=colours)


def test_shades_of_a_small_label_survive_beside_many_colours(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)
    mask = np.zeros((96, 96), int)
    mask[40:44, 40:44] = 1
    case = ms.load_case(image, mask, channels="last")
    series = ms.get_series(lambda x: mask, case, ms.Brightness(), [1.0], progress=False)
    with Image.open(ms.gif_series(series, tmp_path / "a.gif", colours=["#ff0000"], alpha=1.0)) as gif:
        frame = np.asarray(gif.convert("RGB"))
    assert ((frame == (255, 0, 0)).all(-1)).sum() >= 16 * 16 + 100  # the label, and its square in the legend


# ---------------------------------------------------------------- layouts and what is not annotated


def test_arrays_of_every_layout_are_drawn_alike():
    grey = np.random.default_rng(1).random((40, 50)).astype(np.float32)
    mask = (grey > 0.7).astype(np.uint8)
    plain = ms.overlay(grey, mask, scale=1)
    for image in (grey[..., None], grey[None], torch.from_numpy(grey)[..., None], np.dstack([grey] * 3)):
        assert np.array_equal(ms.overlay(image, mask, scale=1), plain)
    opaque = np.dstack([grey] * 3 + [np.ones_like(grey)])
    for image in (opaque, (opaque * 255).astype(np.uint8), Image.fromarray((opaque * 255).astype(np.uint8))):
        assert np.abs(ms.overlay(image, mask[..., None], scale=1).astype(int) - plain).max() <= 1
    few_rows = np.dstack([grey[:3]] * 3)  # (3, 50, 3): the mask says which axis is which
    assert np.array_equal(ms.overlay(few_rows, mask[:3], scale=1), ms.overlay(grey[:3], mask[:3], scale=1))


def test_colours_below_transparency_are_drawn_as_they_are_stored():
    rgba = np.zeros((8, 9, 4), np.uint8)
    rgba[..., 0] = 200
    with pytest.warns(UserWarning, match="drawn in its first three channels"):
        assert (ms.overlay(rgba, scale=1) == (200, 0, 0)).all()
    palette = Image.fromarray(rgba[..., :3]).quantize(4)
    assert (ms.overlay(palette, scale=1) == (200, 0, 0)).all()


@pytest.mark.parametrize("bad", [np.zeros((3, 4)), np.zeros((4, 3, 2)), np.full((4, 3), 0.5), -np.ones((4, 3)), "x"])
def test_masks_that_do_not_belong_to_the_image_are_refused(bad):
    with pytest.raises((ValueError, TypeError), match="truth must"):
        ms.overlay(np.zeros((4, 3)), truth=bad)


@pytest.fixture
def partly():
    "A case whose right half is not annotated"
    truth = np.zeros((32, 32), np.uint8)
    truth[4:20, 4:12] = 1
    truth[:, 16:] = 255
    case = ms.Case(np.zeros((32, 32), np.float32), truth, ignore=255, scale=(0, 1), labels=["bg", "heart"])
    return ms.get_series(ms.as_model(lambda x: np.ones((32, 32), int)), case, ms.Brightness(), [1.0], progress=False)


def test_what_is_not_annotated_is_hatched_and_is_no_label(partly, tmp_path):
    figure = ms.plot_series(partly, pred=None)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["heart", "truth", "not annotated"]
    picture = ms.series_view(partly, pred=None)(partly[0], 8)
    colours = {tuple(c) for c in picture[:, 128:].reshape(-1, 3)}
    assert colours == {(0, 0, 0), (128, 128, 128)}
    assert not (picture[:, :128] == 128).all(-1).any()
    page = ms.save_viewer(partly, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "hatched: not annotated" in page and "255</p>" not in page
    assert np.array_equal(
        ms.overlay(np.zeros((32, 32)), truth=partly[0].truth, ignore=255, window=(0, 1), scale=8), picture
    )


def test_confusion_counts_only_what_is_annotated_and_knows_names_of_a_step(partly):
    for what in (partly[0], partly):
        (ax, *_) = ms.plot_confusion(what, normalise=None).axes
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["bg", "heart"]
        assert [text.get_text() for text in ax.texts] == ["0", str(16 * 32 - 16 * 8), "0", str(16 * 8)]
    assert ms.plot_confusion(partly[0], series=partly).axes[0].get_title() == "factor = 1×"


# ---------------------------------------------------------------- names in pictures


def test_names_are_drawn_letter_by_letter(tmp_path):
    names = ["bg", "_hidden", "$x^2$", "$\\frac{1}", "100 %", "a\nb", "\x1b[31mred", "\ud800"]
    series = series_of(tiles(range(1, 8)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = ms.plot_series(series, labels=names)
        figure.savefig(tmp_path / "a.png")
        ms.gif_series(series, tmp_path / "a.gif", labels=names)
        ms.plot_confusion(series[:1], labels=names).savefig(tmp_path / "b.png")
    texts = figure.legends[0].get_texts()
    assert [t.get_text() for t in texts][:7] == [*names[1:5], r"a\nb", r"\x1b[31mred", r"\ud800"]
    assert not any(t.get_parse_math() for t in texts)


def test_a_name_is_as_wide_as_its_letters_and_not_as_a_formula():
    series = series_of(tiles([1]))
    widths = []
    for name in ("$x^2$", "Sx^2S"):
        text = ms.plot_series(series, labels=["bg", name]).legends[0].get_texts()[0]
        widths.append(text.get_window_extent().width)
    assert abs(widths[0] / widths[1] - 1) < 0.1


@pytest.fixture
def no_fonts(monkeypatch):
    "A computer without any font but the one that comes with matplotlib"
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    known_fonts.cache_clear()
    yield
    known_fonts.cache_clear()


def test_boxes_stand_for_letters_that_no_font_has_and_are_told_of_once(no_fonts, tmp_path):
    series = series_of(tiles([1, 2]))
    unknown = "漢"
    for draw in (ms.plot_series, lambda s, labels: ms.gif_series(s, tmp_path / "a.gif", labels=labels)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            figure = draw(series, labels=["bg", f"heart {unknown}", f"{unknown} lung"])
            if figure != tmp_path / "a.gif":
                figure.savefig(tmp_path / "a.png")
        assert ["boxes stand for them" in str(w.message) for w in caught] == [True]
    assert figure.exists()


def test_letters_of_other_scripts_are_not_all_the_same_box(tmp_path):
    from matplotlib.font_manager import findSystemFonts
    from matplotlib.ft2font import FT2Font

    if not any(FT2Font(path).get_char_index(ord("漢")) for path in findSystemFonts()):
        pytest.skip("no font here has Chinese letters")
    series = series_of(tiles([1]))
    pictures = []
    for name in ("漢漢漢", "字字字"):
        ms.gif_series(series, tmp_path / "a.gif", labels=["bg", name])
        with Image.open(tmp_path / "a.gif") as gif:
            gif_picture = np.asarray(gif.convert("L"))
        pictures.append((gif_picture, ms.plot_series(series, labels=["bg", name])._repr_png_()))
    assert not np.array_equal(pictures[0][0], pictures[1][0])
    assert pictures[0][1] != pictures[1][1]


def test_a_long_name_leaves_room_for_the_picture():
    series = series_of(tiles([1]))
    figure = ms.plot_series(series, labels=["bg", "x" * 300])
    assert figure.get_figwidth() < 8
    assert len(figure.legends[0].get_texts()[0].get_text()) == 60


@pytest.mark.parametrize("name", ["\ud800.gif", "a\0.gif", "é" * 200 + ".gif", ".", "folder.gif", 3, None, b"a.gif"])
def test_paths_that_no_file_can_have_are_refused_before_the_work(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises((ValueError, TypeError), match="path must be"):
        ms.gif_series(series_of(tiles([1])), name)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.gif"]


# ---------------------------------------------------------------- names in pages


@dataclass(frozen=True)
class Odd(ms.Intensity):
    "A transform whose words are hostile"

    text: str = ""
    values = (0.5, 1.0)
    neutral = 1.0

    @property
    def param(self):
        return self.text

    @property
    def unit(self):
        return self.text

    def change(self, image, value, case):
        return image * value

    def __str__(self):
        return self.text


def hostile_series(text: str):
    case = ms.Case(torch.rand(1, 24, 24), np.eye(24, dtype=int), name=text, labels=["bg", text])
    model = ms.as_model(lambda x: np.eye(24, dtype=int), name=text)
    steps = ms.get_series(model, case, ms.Brightness(), [0.5, 1.0], progress=False)
    return ms.Series(steps.steps, Odd(text), case, text, ["bg", text])


def dom_of(path) -> str:
    "The page after its scripts have run"
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking".split()
    profile = f"--user-data-dir={path.parent / 'profile'}"
    call = [CHROMIUM, *flags, profile, "--virtual-time-budget=2000", "--dump-dom", path.as_uri()]
    return subprocess.run(call, capture_output=True, timeout=120, check=True).stdout.decode("utf-8", "replace")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_name_is_markup_or_script(text, tmp_path):
    one = hostile_series(text)
    path = ms.save_viewer([one, one], tmp_path / "a.html", size=48)
    page = path.read_text(encoding="utf-8")
    assert page.count("<script>") == page.count("</script>") == 1
    assert not re.search(r"<(img src=x|svg|b>)", page)
    assert "unsafe-inline'; script" not in page.replace("style-src 'unsafe-inline'", "")
    assert "@" not in re.sub('base64,[^"]*|@media|@DATA@@LEGEND@', "", page)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_no_hostile_name_runs_in_a_browser_and_the_page_works(tmp_path):
    several = [hostile_series(text) for text in HOSTILE]
    first = several[0]
    of_one_case = [ms.Series(s.steps, s.transform, first.case, s.model, s.labels) for s in several]
    pages = [ms.save_viewer(of_one_case, tmp_path / "all.html", size=48, labels=["bg", HOSTILE[1]])]
    for i, series in enumerate(several[1:6]):
        pages.append(ms.save_viewer(series, tmp_path / f"{i}.html", size=48))
    # escaping holds without the policy that lets no other script run
    bare = re.sub("<meta http-equiv[^>]*>", "", pages[0].read_text(encoding="utf-8"))
    (tmp_path / "bare.html").write_text(bare, encoding="utf-8")
    for page in [*pages, tmp_path / "bare.html"]:
        dom = dom_of(page)
        assert 'lang="en"' in dom and 'lang="ran"' not in dom
        assert 'id="image" alt="" src="data:image/webp' in dom
        assert re.search('<output id="caption">.+</output>', dom)
    assert dom_of(pages[0]).count("<option") == len(several)
    title = re.search("<title>(.*?)</title>", dom_of(pages[0]), re.S)[1]
    assert html.unescape(title) == HOSTILE[0]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_what_the_viewer_hands_to_a_notebook_is_escaped(tmp_path):
    pytest.importorskip("ipywidgets")
    parts = []
    for text in HOSTILE:
        picture, caption, legend = ms.view(hostile_series(text), size=48).children[0].children
        parts += [caption.value, legend.value]
    path = tmp_path / "cells.html"
    path.write_text('<!DOCTYPE html><html lang="en"><meta charset="utf-8">' + "<p>".join(parts), encoding="utf-8")
    dom = dom_of(path)
    assert 'lang="en"' in dom and 'lang="ran"' not in dom and "<img" not in dom


# ---------------------------------------------------------------- wrong arguments and sizes


@pytest.mark.parametrize(
    "argument, value",
    [
        *(("colours", v) for v in (0, 1.5, "nope", "red", [], ["nope"], {1: "red"}, [(1, 2, 3)], True, np.array(1))),
        *(("window", v) for v in (1.5, (1,), (1, 0), "ab", (0, np.inf), (np.nan, 1), {0, 1, 2})),
        *(("alpha", v) for v in (2, -1, np.nan, "x", None, True)),
        *(("pred", v) for v in ("line", 3, True, np.zeros(3))),
        *(("channel", v) for v in (-1, 0.5, "x", None)),
        *(("axis", v) for v in (3, -1, "x", None)),
        *(("columns", v) for v in (0, -1, 1.5, "two", np.nan)),
        *(("panel", v) for v in (0, -1, np.nan, np.inf, "x", 1e6, 1e30)),
        *(("labels", v) for v in ("LV", 3, [], {1, 2}, {"a": 1})),
    ],
)
def test_a_wrong_argument_is_named(argument, value):
    with pytest.raises((ValueError, TypeError), match=rf"^{argument} must be"):
        ms.plot_series(series_of(tiles([1])), **{argument: value})


@pytest.mark.parametrize("draw", [ms.plot_series, ms.plot_confusion_series, lambda s: ms.gif_series(s, "a.gif")])
def test_what_is_no_series_is_not_printed(draw):
    series = series_of(tiles([1]))
    table = ms.score(series)
    for other in (table, series.case, series[0], [series], None, np.zeros((99, 99)), torch.zeros(99, 99)):
        with pytest.raises(TypeError, match="series must be a Series") as caught:
            draw(other)
        assert len(str(caught.value)) < 320
        assert "brightness" not in str(caught.value) or other is not table
    with pytest.raises(ValueError, match="series must have at least one step"):
        draw(series[:0])


def test_pictures_beyond_a_size_need_a_word_before_memory_is_taken(tmp_path):
    series = series_of(tiles([1]))
    with pytest.raises(ValueError, match="limit must be at least .* for 2 frames .* a smaller size or fewer values"):
        ms.gif_series(series, tmp_path / "a.gif", size=50_000)
    with pytest.raises(ValueError, match="limit must be at least .* a smaller scale needs less"):
        ms.overlay(np.zeros((8, 8)), scale=1e9)
    assert ms.overlay(np.zeros((8, 8)), scale=2, limit=0.001).shape == (16, 16, 3)
    with pytest.raises(ValueError, match="limit must be at least 0.000256"):
        ms.overlay(np.zeros((8, 8)), scale=2, limit=0.0001)
    volume = ms.phantom((6, 32, 32), seed=0)
    with pytest.raises(ValueError, match="limit must be at least"):
        ms.gif_volume(volume, tmp_path / "a.gif", size=50_000)
    for show in (
        lambda **size: ms.view(volume, **size),
        lambda **size: ms.save_viewer(volume, tmp_path / "a.html", **size),
    ):
        with pytest.raises(ValueError, match="size must give a picture of at most 100 million pixels"):
            show(size=10**6)
    with pytest.raises(ValueError, match="size must be so small that"):
        ms.plot_frame(series[0], size=10_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("duration", [0, -1, np.nan, np.inf, 1e9, "slow"])
def test_a_frame_lasts_as_long_as_a_gif_can_say(duration, tmp_path):
    with pytest.raises(ValueError, match="duration must be"):
        ms.gif_series(series_of(tiles([1])), tmp_path / "a.gif", duration=duration)
