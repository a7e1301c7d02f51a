"Pictures of series and confusion matrices as misas 0.1.1 drew them"

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from misas.compat import *


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


def test_one_panel(series, tmp_path):
    plot_series(series[:1])
    plt.savefig(tmp_path / "one.png")
    assert Image.open(tmp_path / "one.png").size == (1600, 600)


def test_one_step_as_a_picture(series):
    assert plot_frame(*series[1][:3], param_name="deg", figsize=(4, 3)).size == (400, 300)


def test_animation(series, tmp_path):
    gif_series(series, tmp_path / "x.gif", param_name="deg")
    assert Image.open(tmp_path / "x.gif").n_frames == 4


def test_colormap_of_the_user(series):
    plain = plot_frame(*series[0][:3])
    same = plot_frame(*series[0][:3], cmap=default_cmap)
    other = plot_frame(*series[0][:3], cmap=default_cmap_true_mask)
    assert np.array_equal(plain, same)
    assert not np.array_equal(plain, other)


def test_first_colour_is_transparent():
    for cmap in (default_cmap, default_cmap_true_mask):
        assert cmap(0)[3] == 0
        assert cmap(1.0)[3] == 1


def test_import_draws_nothing():
    code = "import misas.compat, sys; print({'matplotlib', 'altair'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_confusion_counts():
    matrix = get_confusion(np.array([[0, 1, 1]]), np.array([[0, 0, 1]]))
    assert matrix.tolist() == [[1, 0], [1, 1]]
    a = np.array([[1, 1, 0, 2]])
    b = np.array([[1, 0, 0, 1]])
    assert get_confusion(a, b, max_class=4).shape == (5, 5)
    assert plot_confusion(get_confusion(a, b, 4)).get_xlabel() == "truth"


def test_confusion_of_each_step(series):
    figure = plot_confusion_series(series, param_name="deg", components=["bg", "LV", "MY", "RV"])
    assert [ax.get_title() for ax in figure.axes] == ["deg:0", "deg:30", "deg:60", "deg:90"]
    assert plot_confusion_series(series)
