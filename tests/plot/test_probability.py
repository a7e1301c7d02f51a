"Charts of calibration"

import numpy as np
import pandas as pd

from misas.plot.probability import plot_calibration


def bins(model, label, frequency):
    "Ten bins of a model and a label"
    low = np.arange(10) / 10
    table = pd.DataFrame(dict(low=low, high=low + 0.1, pixels=np.arange(1, 11), confidence=low + 0.05))
    return table.assign(model=model, case="a", label=label, frequency=frequency(low + 0.05))


def same(p):
    return p


def lower(p):
    return p**2


TABLE = pd.concat([bins(m, l, f) for m, f in (("honest", same), ("too sure", lower)) for l in ("bg", "LV")])


def test_panel_for_each_model_says_what_the_sides_mean():
    panels = plot_calibration(TABLE).to_dict()["hconcat"]
    assert [p["title"]["text"] for p in panels] == ["honest", "too sure"]
    assert "probability too low" in panels[0]["title"]["subtitle"][1]
    assert panels[0]["title"]["subtitle"][0] == "calibration error: bg 0.000, LV 0.000"


def test_no_words_that_lines_could_cross():
    layers = plot_calibration(TABLE).to_dict()["hconcat"][0]["layer"]
    assert {layer["mark"]["type"] for layer in layers} == {"line", "circle"}


def test_bins_of_one_size():
    assert plot_calibration(TABLE.assign(pixels=5)).to_dict()["hconcat"]
