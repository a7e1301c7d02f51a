import inspect
import pickle
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from misas.core.sweeps import Step
from misas.plot.figures import (
    Picture,
    legend_entries,
    legend_handles,
    like_view,
    mask_styles,
    panel_rows,
    style_texts,
    title_size,
)
from misas.plot.overlays import View, series_view
from misas.plot.series import plot_series
from misas.plot.text import text_inches


def test_nothing_of_matplotlib_is_imported_before_something_is_drawn():
    code = """
import sys
from misas.plot import *
heavy = ("matplotlib", "altair.vegalite", "scipy.ndimage", "torchio", "PIL.ImageFont")
print([m for m in heavy if m in sys.modules])
Picture(1, 1)
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True False"]


def test_a_picture_is_a_figure_that_pyplot_does_not_hold():
    picture = Picture(2, 1)
    assert isinstance(picture, Figure)
    assert type(picture).__name__ == "Picture"
    assert picture.get_size_inches().tolist() == [2, 1]
    assert picture._repr_png_()[:4] == b"\x89PNG"
    assert not plt.get_fignums()


def test_a_picture_can_be_pickled():
    picture = Picture(2, 1)
    picture.subplots().set_title("a title")
    again = pickle.loads(pickle.dumps(picture))
    assert type(again) is type(picture)
    assert again.axes[0].get_title() == "a title"
    assert again._repr_png_() == picture._repr_png_()


def test_text_is_as_long_as_it_is_drawn():
    figure = Picture(4, 1)
    text = figure.text(0, 0, "left ventricle", fontsize=9)
    drawn = text.get_window_extent().width / figure.dpi
    assert abs(text_inches("left ventricle", 9) / drawn - 1) < 0.06


def test_titles_shrink_but_stay_legible():
    assert title_size(["deg = 30°"], 2.2) == 10
    assert 10 > title_size(["slice 21 · 42 mm", "slice 0"], 1) > 7
    assert title_size(["a" * 99], 1) == 5


def test_panels_fill_rows_of_four():
    assert panel_rows(1, None) == (1, 1)
    assert panel_rows(9, None) == (3, 4)
    assert panel_rows(9, 2.0) == (5, 2)


def test_a_legend_names_at_most_60_labels(series):
    names = ("bg", "LV", "MY", "RV")
    view = series_view(series, pred="contour")
    assert [text for text, _ in legend_entries([1, 3], names, view)] == ["LV", "RV"]
    many = legend_entries(range(1, 81), None, View(colours="turbo"))
    assert len(many) == 60
    assert many[-1] == ("and 21 more", None)
    assert len(legend_handles(many, [])) == 60
    assert len(legend_entries(range(1, 41), None, View(colours="turbo"))) == 40


def test_labels_that_look_alike_are_warned_of(series):
    view = series_view(series)
    with pytest.warns(UserWarning, match="labels '1' and '15' have the same colour; colours='turbo'"):
        legend_entries(range(1, 31), None, view)
    assert len({tuple(colour) for _, colour in legend_entries(range(1, 15), None, view)}) == 14


def test_two_contours_are_told_apart(series):
    view = series_view(series, pred="contour")
    styles = mask_styles(view, series)
    assert styles == [("prediction", "contour"), ("truth", "contour")]
    assert mask_styles(view, [Step(0, None, None, None)]) == [("prediction", "contour")]
    assert [h.get_linestyle() for h in legend_handles([], styles)] == ["-", "--"]
    assert style_texts(styles) == ["contour: prediction", "dashed contour: truth"]
    assert style_texts([("truth", "contour")]) == ["contour: truth"]


def test_the_signature_shows_the_arguments_of_the_view():
    @like_view
    def draw(series, size=1, **view):
        pass

    parameters = inspect.signature(draw).parameters
    assert list(parameters) == [
        *("series", "size", "pred", "truth", "window", "colours", "alpha", "axis", "index", "channel", "label")
    ]
    assert parameters["pred"].default == "fill"


def test_a_figure_is_saved_by_the_word_that_charts_have(series, tmp_path):
    plot_series(series).save(tmp_path / "series.png")
    assert (tmp_path / "series.png").stat().st_size > 1000
