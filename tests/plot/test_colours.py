import doctest

import numpy as np
import pytest

import misas.plot.colours
from misas.plot.colours import LABEL_COLOURS, OKABE_ITO, label_colour_scale, label_colours, label_rgb


def test_docstring_examples():
    assert doctest.testmod(misas.plot.colours) == (0, 1)


def test_colours_come_in_any_number_from_lists_and_colormaps():
    assert len(label_colours(5, "tab10")) == len(label_colours(5, "viridis")) == 5
    assert label_colours(1).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("bad", ["no-map", [], ["no-colour"]])
def test_colours_that_do_not_exist_are_rejected(bad):
    with pytest.raises(ValueError):
        label_colours(3, bad)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "two", None])
def test_there_is_at_least_the_background(bad):
    with pytest.raises(ValueError, match="n must be an integer >= 1, got"):
        label_colours(bad)


def test_rgb_lists_are_as_long_as_their_source():
    assert label_rgb(None, 99).shape == (len(LABEL_COLOURS), 3)
    assert label_rgb("turbo", 1000).shape == (255, 3)
    assert label_rgb("turbo", 0).shape == (1, 3)
    assert label_rgb(None, 1).dtype == np.float32


def test_curves_have_the_colours_of_their_labels():
    orange, sky, green = (c.lower() for c in OKABE_ITO[:3])
    assert label_colour_scale(["bg", "LV"]) == {"bg": "#999999", "LV": orange}
    assert label_colour_scale(["LV", "MY"]) == {"LV": orange, "MY": sky}
    assert label_colour_scale(["MY"], ("bg", "LV", "MY")) == {"MY": sky}
    assert label_colour_scale(["3", "1"]) == {"3": green, "1": orange}
    assert label_colour_scale(["MY", "mean"], ["bg", "LV", "MY"])["mean"] == green
    assert label_colour_scale(["8"])["8"] not in (orange, green)


def test_colours_of_curves_repeat_like_those_of_labels():
    scale = label_colour_scale(["1", "15"])
    assert scale["1"] == scale["15"]
