"Axes, rules, strips and runs that charts are made of"

import numpy as np
import pandas as pd
import pytest

from misas.plot.charts import (
    _at_left,
    _first_panels,
    _ticks,
    alt,
    chart_field,
    chart_mark,
    chart_png,
    check_panel_size,
    displayed,
    infinite_part,
    infinity_marks,
    inline_data,
    line_style,
    neutral_line,
    score_axis,
    score_domain,
    value_axis,
    value_runs,
)

ROW = dict(model="m", case="a", transform="rotation", param="deg", value=5, label="LV", metric="dice", score=0.5)
NOISE = pd.DataFrame(dict(value=[0.0, 0.05, 0.1]))


def rows_of(scores: dict) -> pd.DataFrame:
    "Rows of cases: {case: scores at the values 0, 1, 2 ...}"
    return pd.DataFrame(
        [ROW | dict(case=case, value=v, score=s) for case, own in scores.items() for v, s in enumerate(own)]
    )


def test_a_layer_is_what_altairs_methods_make():
    dots = (
        alt.Chart(alt.InlineData(values=[dict(a=1, b="x")]))
        .mark_point(filled=True)
        .encode(alt.X("a:Q", title="A"), color=alt.value("red"), tooltip=["a:Q", "b:N"])
        .transform_filter(alt.datum.b == "x")
    )
    encoding = dict(
        x=chart_field("a:Q", title="A"),
        color=alt.value("red"),
        tooltip=[chart_field("a:Q"), chart_field("b:N")],
    )
    data = dict(values=[dict(a=1, b="x")])
    assert chart_mark(data, "point", encoding, "(datum.b === 'x')", filled=True).to_dict() == dots.to_dict()


@pytest.mark.parametrize(
    "scores, domain",
    [([0.2, 0.9], [0, 1]), ([np.nan, 12.0, np.inf], [0, 12]), ([np.nan], [0, 1]), ([-3.0, 2.0], [-3, 2])],
)
def test_scores_range_from_0_to_1_or_as_far_as_they_reach(scores, domain):
    assert score_domain(pd.Series(scores)) == domain


@pytest.mark.parametrize(
    "ends, ticks",
    [
        ((0.25, 8), [0.25, 0.5, 1, 2, 4, 8]),
        ((0.01, 1000), [0.01, 0.1, 1, 10, 100, 1000]),
        ((3, 3.5), [3, 3.5]),
    ],
)
def test_ticks_are_powers(ends, ticks):
    assert _ticks(*ends) == ticks


@pytest.mark.parametrize("neutral, baseline", [(0, "top"), (0.05, "bottom"), (0.1, "bottom")])
def test_text_of_the_rule_stands_where_there_is_room(neutral, baseline):
    facts = dict(neutral=neutral, param="sd", unit="", log=False)
    x = value_axis(NOISE, facts, False).to_dict()
    assert neutral_line(NOISE, facts, x, False, [0, 1])[1].to_dict()["mark"]["baseline"] == baseline


def test_left_end_of_names_and_of_logarithmic_axes():
    assert _at_left("0", NOISE.assign(value=["0", "1", "2"]), {}, True)
    assert not _at_left(1.0, NOISE.assign(value=[0.1, 1, 10]), dict(log=True), False)


def test_strip_takes_its_share_of_the_axis():
    assert score_axis("hd95 [mm]", [0, 30], 0.25)("score")["scale"] == dict(domain=[0, 40], nice=False)


def test_csv_says_what_is_a_number():
    table = rows_of(dict(a=[1, 2]))
    kinds = inline_data(table, names=False)["format"]["parse"]
    assert kinds == {c: "number" if c in ("value", "score") else "string" for c in table}


def test_models_differ_by_dashes_and_shapes():
    one = rows_of(dict(a=[1]))
    both = pd.concat([one, one.assign(model="n")])
    colours = dict(LV="#e69f00")
    assert list(line_style(one, colours, {True, False})) == ["color"]
    assert list(line_style(both, colours, {True})) == ["color", "strokeDash"]
    titles = [encoding["title"] for encoding in list(line_style(both, {}, {True, False}).values())[1:]]
    assert titles == ["model (lines)", "model (dots)"]  # not two of the same name


def test_runs_are_of_the_same_cases():
    ragged = rows_of(dict(a=[1, 1, np.nan, 1, np.nan], b=[1, 1, 1, 1, np.nan]))
    expected = [[2, 2, 1], [2, 2, 1], [1, 2, 2], [2, 2, 3], [0, 2, 4]]
    assert value_runs(ragged)[["cases", "of", "run"]].values.tolist() == expected


def test_infinite_scores_have_a_row_for_each_label_and_model():
    rows = []
    for model in "mn":
        for case in "ab":
            for label in ("LV", "MY"):
                for value in (0, 5):
                    is_lost = (value == 5 and label == "LV") or model + case == "na"
                    rows.append(
                        ROW | dict(model=model, case=case, label=label, value=value, score=np.inf if is_lost else 2.0)
                    )
    missed = pd.DataFrame(rows)
    assert infinite_part(missed).infinite.tolist() == ["2 of 2", "1 of 2", "2 of 2", "1 of 2", "1 of 2"]
    marks = infinity_marks(infinite_part(missed), chart_field("value:Q"), ["m", "n"], 9, False, "hd95")
    places = [(m["encoding"]["y"]["value"], m["mark"]["filled"]) for m in (mark.to_dict() for mark in marks)]
    assert places == [(4.5, True), (13.5, False), (22.5, False)]
    assert not len(infinite_part(rows_of(dict(a=[1, 2]))))


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(columns=0), "columns must be an integer >= 1 or None, got 0"),
        (dict(columns=1.5), "columns must be an integer >= 1 or None, got 1.5"),
        (dict(columns="two"), "columns must be an integer >= 1 or None, got 'two'"),
        (dict(width=0), "width must be a number >= 1, got 0"),
        (dict(height="high"), "height must be a number >= 1, got 'high'"),
    ],
)
def test_sizes_of_panels_are_checked(bad, message):
    with pytest.raises(ValueError, match=message):
        check_panel_size(**dict(columns=None, width=240, height=180) | bad)


def dot():
    return displayed(alt.Chart(alt.InlineData(values=[dict(a=1)])).mark_point().encode(x="a:Q"))


def test_a_chart_shows_itself_without_a_network():
    bundle = dot()._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "image/png", "text/plain"}
    assert "<script" not in str(bundle)


def test_the_picture_of_very_many_panels_shows_the_first():
    chart = displayed(alt.concat(*[dot() for _ in range(70)], columns=10, title="70 cases"))
    few = _first_panels(chart)
    assert len(few.concat) == 60
    assert few.title.text == ["70 cases", "This picture shows the first 60 of 70 panels; the live chart has all"]
    assert len(chart.concat) == len(chart._repr_mimebundle_()["application/vnd.vegalite.v5+json"]["concat"]) == 70
    assert _first_panels(few) is few


def test_a_renderer_that_the_user_chose_is_used():
    with alt.renderers.enable("json"):
        bundle = dot()._repr_mimebundle_()
    kinds = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/json" in kinds
    assert "image/png" not in kinds


def test_copies_and_combinations_are_charts_still():
    chart = dot()
    assert "image/png" in chart.properties(width=50)._repr_mimebundle_()
    assert len((chart | chart).to_dict()["hconcat"]) == 2
    assert len((chart + chart).to_dict()["layer"]) == 2
    assert chart_png(chart).startswith(b"\x89PNG")
