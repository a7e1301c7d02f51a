"Score curves: what is drawn, and what the chart says of it"

import io

import numpy as np
import pandas as pd
import pytest
import torch

from misas.core.sweeps import get_series
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate, score
from misas.eval.table import COLUMNS, has_named_values
from misas.plot.charts import infinite_part
from misas.plot.curves import _far_rows, _notes, _panel_table, plot_scores
from misas.transforms.basic import Brightness, Dihedral, Rotate

ROW = dict(model="m", case="a", transform="rotation", param="deg", value=5, label="LV", metric="dice", score=0.5)


@pytest.fixture(scope="module")
def two():
    known = [("a", 0, 1.0), ("b", 0, 0.5), ("a", 5, np.nan), ("b", 5, 0.4)]
    return pd.DataFrame([ROW | dict(case=c, value=v, score=s) for c, v, s in known])


def overfitted_to(truth):
    "A model that is right on one image, and finds nothing where the heart was elsewhere"

    def predict(image):
        at = truth if image.shape == truth.shape else torch.zeros(image.shape)
        blood = torch.as_tensor(image) > 0.38
        return torch.where((at == 2) == blood, 0, at).int()

    return predict


@pytest.fixture(scope="module")
def scores():
    case = phantom((128, 128), seed=3, spacing=1.5, noise=0.005)
    transforms = [Rotate(), Brightness(), Dihedral()]
    values = dict(rotation=range(-180, 181, 30))
    return evaluate(overfitted_to(case.truth.clone()), case, transforms, values=values, progress=False)


@pytest.fixture(scope="module")
def several():
    "Two models, three cases, one of them turned less far; scores are missing at 30"
    tables = []
    for seed in (3, 5, 8):
        person = phantom((64, 64), seed=seed, spacing=3)
        sure = overfitted_to(person.truth.clone())

        def noisy(image, sure=sure):
            kept = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)) > 0.3
            return torch.where(kept, sure(image), 0)

        for name, model in (("sure", sure), ("noisy", noisy)):
            for transform, values in ((Rotate(), range(-60, 61, 10)), (Dihedral(), None)):
                series = get_series(model, person, transform, values, progress=False)
                tables.append(score(series, ["dice", "hd95"], {1: "LV"}).assign(model=name))
    table = pd.concat(tables)
    table.loc[table.value == 30, "score"] = np.nan
    is_short = (table.case == table.case.iloc[0]) & (table["transform"] == "rotation")
    return table[~(is_short & (table.value.abs() > 40))]


def panels_of(chart) -> list:
    return chart.to_dict()["concat"]


def test_means_are_of_all_or_of_fewer_cases(two):
    drawn = _panel_table(two, names=False)
    assert drawn.several.tolist() == ["cases"] * 4 + ["mean", "fewer"]
    assert drawn.score.tolist()[-2:] == [0.75, 0.4]
    assert drawn.case.tolist()[-1] == "mean of 1 of 2 cases"
    assert _panel_table(two.assign(score=[1, np.inf, 2, 4]), names=False).score.tolist()[-2:] == [np.inf, 3]
    assert len(_panel_table(two[:1], names=False)) == 1


def test_names_stay_names(two):
    assert _panel_table(two, names=True).value.tolist()[:3] == ["0", "0", "5"]
    assert not has_named_values(two, dict(categorical=False))
    assert has_named_values(two, dict(categorical=True))
    assert has_named_values(two.assign(value="sharp"), dict(categorical=False))


def test_lines_break_where_a_case_lacks():
    ragged = dict(a=[1, 1, np.nan, 1, np.nan], b=[1, 1, 1, 1, np.nan])
    table = pd.DataFrame([ROW | dict(case=c, value=v, score=s) for c, own in ragged.items() for v, s in enumerate(own)])
    assert _panel_table(table, False).several.tolist()[10:] == ["mean", "mean", "fewer", "mean", "mean"]


def test_notes_name_the_marks(two):
    drawn = _panel_table(two, names=False)
    lost = two.assign(score=[np.inf, 2.0, 2.0, 2.0])
    far = infinite_part(lost)
    assert _far_rows(lost) == 1
    assert _far_rows(two) == 0
    assert _notes(drawn, far, ["m"]) == ["▲ infinite distance: missing or spurious", "○ mean of fewer cases"]
    assert _notes(drawn, far, ["m", "n"]) == [
        "infinite distance (missing or spurious):",
        "▲ m, △ n",
        "○ mean of fewer cases",
    ]
    assert _notes(drawn[:5], far[:0], ["m"]) == []


def test_a_table_from_a_file_gives_the_same_axes(scores):
    back = pd.read_csv(io.StringIO(scores.to_csv(index=False)))
    kinds = [panel["layer"][-1]["encoding"]["x"].get("type") for panel in panels_of(plot_scores(back))]
    assert kinds == ["quantitative", "quantitative", "nominal"]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table[:1],
        lambda table: table.assign(score=np.nan),
        lambda table: table.assign(score=np.inf),
        lambda table: table.assign(score=table.score * 20),
        lambda table: table.assign(transform="unknown"),
        lambda table: table.assign(label=1),
    ],
    ids=["one row", "missing", "infinite", "large", "unknown transform", "numbers as labels"],
)
def test_whatever_is_in_the_table_is_drawn(scores, change):
    turns = change(scores[scores["transform"] == "rotation"])
    assert len(panels_of(plot_scores(turns))) == 1


def test_more_rows_than_altairs_limit(scores):
    turns = scores[scores["transform"] == "rotation"]
    many = pd.concat([turns.assign(case=str(k)) for k in range(120)])
    assert len(many) > 5000
    assert len(panels_of(plot_scores(many, "point"))) == 1


def test_the_table_is_left_as_it_was(scores):
    plot_scores(scores)
    assert list(scores.columns) == list(COLUMNS)


def test_axes_and_notes_of_several_metrics(scores, several):
    titles = [panel["layer"][-1]["encoding"]["y"].get("title") for panel in panels_of(plot_scores(scores))]
    assert titles == ["dice"] * 3
    panels = panels_of(plot_scores(several))
    assert any("hd95 [mm]" in str(panel) for panel in panels)
    has_lost = []
    for transform in several["transform"].unique():
        for metric in ("dice", "hd95"):
            own = several.score[(several["transform"] == transform) & (several.metric == metric)]
            has_lost.append(np.isinf(own).any())
    assert ["▲" in str(panel["title"]) for panel in panels] == has_lost
    assert [panel["title"]["subtitle"][-1] for panel in panels[:2]] == ["○ mean of fewer cases"] * 2


def test_json_holds_no_number_that_json_has_not(several):
    text = plot_scores(several).to_json()
    assert "Infinity" not in text
    assert "NaN" not in text


def test_each_model_has_a_row_and_a_mark_of_its_own(several):
    panels = [panel for panel in panels_of(plot_scores(several)) if "hd95" in str(panel["layer"])]
    triangles = [
        layer for panel in panels for layer in panel["layer"] if str(layer["mark"].get("shape")).startswith("triangle")
    ]
    assert len({(t["mark"]["filled"], t["encoding"]["y"]["value"]) for t in triangles}) == 2


def test_single_cases_can_be_left_out(several):
    with_cases = panels_of(plot_scores(several))
    without = panels_of(plot_scores(several, cases=False))
    assert all("'cases'" in str(panel["layer"]) for panel in with_cases)
    assert not any("'cases'" in str(panel["layer"]) for panel in without)


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(kind="bar"), "kind must be one of 'line', 'point', got 'bar'"),
        (dict(columns=0), "columns must be"),
        (dict(width=0), "width must be"),
        (dict(height="high"), "height must be"),
    ],
)
def test_bad_arguments_are_named(scores, bad, message):
    with pytest.raises(ValueError, match=message):
        plot_scores(scores, **bad)
