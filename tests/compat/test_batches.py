"Many images, and charts of their scores"

from functools import partial

import pytest

from misas.compat import *


def test_chart_of_scores(results):
    shown = {row["variable"] for row in plot_eval_series(results).data.to_dict("records")}
    assert shown == {"LV", "MY", "RV"}
    assert plot_eval_series(results, "point", ["bg"]).to_dict()["mark"]["type"] == "point"
    with pytest.raises(ValueError, match="chart_type must be one of 'line', 'point', got 'bar'"):
        plot_eval_series(results, "bar")


@pytest.fixture
def paths(image, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        image.save(path)
    return paths


@pytest.fixture
def batch(paths, mask, model, tmp_path):
    masks = [tmp_path / f"{i}_mask.png" for i in range(2)]
    for path in masks:
        mask.save(path)
    functions = {"Rotation": partial(eval_rotation_series, step=45), "Spike": eval_spike_series}
    return batch_results(paths, model, functions, masks)


def test_a_table_for_each_function(batch):
    assert [len(table) for table in batch] == [18, 52]
    assert list(batch[0].columns) == ["deg", "bg", "LV", "MY", "RV", "File", "Transformation"]


def test_prediction_is_the_truth_where_there_is_none(paths, model):
    functions = {"Rotation": partial(eval_rotation_series, step=180)}
    table = batch_results(paths[:1], model, functions, components=["bg", "bright"])[0]
    assert (table.loc[table.deg == 0, ["bg", "bright"]] == 1).all(axis=None)


@pytest.mark.parametrize(
    "plot",
    [
        plot_avg_and_dots,
        partial(plot_avg_and_dots, draw_line=False, dots="average"),
        plot_avg_and_errorbars,
        plot_boxplot,
    ],
    ids=["dots", "means", "errorbars", "boxplot"],
)
def test_charts_show_every_label_but_the_first(batch, plot):
    assert set(plot(batch[0]).data.variable) == {"LV", "MY", "RV"}
    assert plot(batch[0]).to_dict()


def test_unknown_dots_are_refused(batch):
    with pytest.raises(ValueError, match="dots must be one of 'single_values', 'average', got 'all'"):
        plot_avg_and_dots(batch[0], dots="all")


def test_a_chart_for_each_table(batch):
    assert len(plot_batch(batch)) == 2
