"Score tables of any size and with any names: what they cost, what charts of them hold, and that names are only data"

import io
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from misas.analysis.comparison import compare
from misas.analysis.explore import GRID_COLUMNS
from misas.analysis.summary import summarise, verdicts
from misas.eval.table import COLUMNS, concat_scores, plain_text, transform_facts
from misas.plot.boxes import plot_boxes
from misas.plot.charts import alt, harmless_text
from misas.plot.comparison import plot_compare, plot_deltas
from misas.plot.curves import plot_scores
from misas.plot.explore import plot_grid, plot_sensitivity
from misas.plot.probability import plot_calibration
from misas.plot.ranked import plot_ranked
from misas.plot.spread import plot_spread
from misas.plot.summary import plot_summary

NUMERIC = dict(param="x", unit="°", neutral=0.0, log=False, categorical=False)


def made(cases=1, transforms=1, values=3, labels=1, metrics=1, model="m", **facts):
    "A score table of any size: 1 at the value 0, less at others"
    index = pd.MultiIndex.from_product(
        [
            [f"case {i}" for i in range(cases)],
            [f"t{i}" for i in range(transforms)],
            np.arange(values) - float(values // 2),
            [f"label {i}" for i in range(labels)],
            [f"metric {i}" for i in range(metrics)],
        ],
        names=["case", "transform", "value", "label", "metric"],
    )
    table = index.to_frame(index=False)
    table["score"] = 1 - abs(table.value) / values * np.random.default_rng(0).uniform(0.2, 0.8, len(table))
    table = table.assign(model=model, param="x")[COLUMNS]
    table.attrs["transforms"] = {name: NUMERIC | facts for name in table["transform"].unique()}
    table.attrs["metrics"] = {name: dict(unit="", better="higher") for name in table.metric.unique()}
    return table


def test_many_tables_are_joined_with_what_they_know():
    parts = [made(labels=2, values=5).assign(case=f"case {i}") for i in range(100)]
    for i, part in enumerate(parts):
        part.attrs["errors"] = [dict(case=f"lost {i}", error="cannot be read")] * 20
        part.attrs["transforms"] = dict(t0=NUMERIC | dict(neutral=float(i)))
    whole = concat_scores(parts)
    assert len(whole.attrs["errors"]) == 100 * 20
    assert transform_facts(whole[whole.case == "case 7"], "t0")["neutral"] == 7


def test_a_summary_of_many_curves_is_that_of_each():
    table = made(cases=3, transforms=3, values=5, labels=2, metrics=2)
    table.loc[::7, "score"] = np.nan
    keys = ["transform", "label", "metric"]
    whole = summarise(table, resamples=50).set_index(keys)
    # guarantees of one table hold together: each is corrected for the others
    measures = [name for name in whole if "guarant" not in name and name not in ("patients_needed", "correction")]
    for key, rows in table.groupby(keys):
        alone = summarise(rows, resamples=50).set_index(keys)
        pd.testing.assert_series_equal(whole.loc[key, measures], alone.loc[key, measures], check_names=False)


# what charts hold


BINS = 30_000
BINNED = pd.DataFrame(dict(model="m", case="a", label="x", low=np.arange(BINS) / BINS, pixels=9)).assign(
    high=lambda table: table.low + 1 / BINS, confidence=lambda table: table.low, frequency=lambda table: table.low
)
SIDE = 200
CELLS = pd.MultiIndex.from_product([range(SIDE), range(SIDE)], names=["value_a", "value_b"]).to_frame(index=False)
GRID = CELLS.assign(
    model="m",
    case="a",
    transform_a="s",
    param_a="x",
    transform_b="t",
    param_b="y",
    label="x",
    metric="dice",
    score=0.5,
)[GRID_COLUMNS]

MANY_CASES = made(cases=120, transforms=3, values=20, labels=3)
MANY_VALUES = made(values=90_000)
MANY_PANELS = made(transforms=400, values=5)
MANY_LABELS = made(labels=9_000, values=3)
LONG_NAMES = made(cases=30, values=40, labels=5).assign(model="m" * 300, case=lambda t: t.case + "c" * 300)


@pytest.mark.parametrize("table", [MANY_CASES, MANY_VALUES, MANY_PANELS, MANY_LABELS, LONG_NAMES])
@pytest.mark.parametrize("plot", [plot_scores, plot_spread, plot_boxes, plot_ranked], ids=lambda f: f.__name__)
def test_charts_of_scores_have_at_most_5_mb(plot, table):
    assert len(plot(table).to_json(indent=None)) < 5e6


@pytest.mark.parametrize(
    "chart",
    [
        lambda: plot_scores(MANY_CASES, kind="point"),
        lambda: plot_spread(MANY_CASES, cases=True),
        lambda: plot_ranked(MANY_CASES.assign(case=np.arange(len(MANY_CASES))), n=10**6),
        lambda: plot_compare(MANY_CASES, MANY_CASES.assign(model="n"), cases=True),
        lambda: plot_deltas(MANY_CASES, MANY_CASES.assign(model="n", score=0.5)),
        lambda: plot_deltas(made(cases=7_000), made(cases=7_000, model="n").assign(score=0.5)),
        lambda: plot_summary(summarise(MANY_PANELS, resamples=0)),
        lambda: plot_calibration(BINNED),
        lambda: plot_grid(GRID),
    ],
)
def test_other_charts_have_at_most_5_mb(chart):
    assert len(chart().to_json(indent=None)) < 5e6


def subtitles(chart) -> str:
    return json.dumps([panel["title"] for panel in chart.to_dict()["concat"]], ensure_ascii=False)


def test_a_chart_says_what_it_leaves_out():
    assert "band: middle half of the cases" in subtitles(plot_scores(MANY_CASES))
    assert "band" not in subtitles(plot_scores(MANY_CASES[MANY_CASES.case < "case 11"]))
    title = plot_scores(MANY_VALUES).to_dict()["title"]["text"]
    assert re.match("Too much for one chart, so drawn are: every .* value", title[0])
    assert "the first 250 of 400 panels" in str(plot_scores(MANY_PANELS).to_dict()["title"])
    assert "curves" in str(plot_scores(MANY_LABELS).to_dict()["title"])
    assert "thin lines every 2nd case" in str(plot_spread(MANY_CASES[MANY_CASES.label == "label 0"], cases=True).title)
    assert "the first" in str(plot_summary(summarise(MANY_PANELS, resamples=0)).to_dict()["title"]["subtitle"])
    assert "every" in str(plot_calibration(BINNED).to_dict())
    assert "every 2nd value of both transforms" in str(plot_grid(GRID).to_dict()["title"])
    assert "title" not in plot_scores(made(cases=3)).to_dict()


def drawn_rows(chart) -> pd.DataFrame:
    "The data of the first panel"
    drawn = chart.to_dict()
    data = drawn["concat"][0].get("data") or drawn["data"]  # of one panel it stands above
    values = data["values"] if "values" in data else drawn["datasets"][data["name"]]
    return pd.read_csv(io.StringIO(values)) if isinstance(values, str) else pd.DataFrame(values)


def test_the_band_is_the_middle_half():
    rows = drawn_rows(plot_scores(MANY_CASES))
    first = rows[(rows.label == "label 0") & (rows.value == 3)].iloc[0]
    is_own = (MANY_CASES["transform"] == "t0") & (MANY_CASES.label == "label 0") & (MANY_CASES.value == 3)
    own = MANY_CASES[is_own].score
    assert (first.low, first.high) == pytest.approx(tuple(own.quantile([0.25, 0.75])), abs=1e-6)
    assert first.score == pytest.approx(own.mean(), abs=1e-6)


def test_the_neutral_value_and_the_ends_are_drawn():
    rows = drawn_rows(plot_scores(MANY_VALUES))
    assert {-45_000, 0, 44_999} <= set(rows.value)


def test_the_median_of_differences_stays():
    a, b = made(cases=7_001), made(cases=7_001, model="n").assign(score=0.5)
    rows = drawn_rows(plot_deltas(a, b))
    assert len(rows) < 5_000
    assert np.median(rows.delta) == pytest.approx(compare(a, b).delta_median[0], abs=1e-3)


# names


HOSTILE = [
    "</script><script>document.title='HACKED'</script>",
    "<img src=x onerror=document.title='HACKED'>",
    "\"'&`${document.title='HACKED'}",
    "datum['x'];document.title='HACKED'",
    'back\\"slash\\',
    "a\\b[c].d:e",
    "line\nbreak\r\ttab",
    "x" * 300,
    "心臓の左室",
    "البطين الأيسر",
    "❤️🫀",
    "\ud800lone",
    "<!-- <script>",
    "<svg/onload=document.title='HACKED'>",
    "\u2028line",
    "",
]


def objects(names: list) -> pd.Series:
    "A column that takes half characters, too"
    return pd.Series(names, dtype=object)


def hostile(turn=0, names=False):
    "A table in which each name is hostile"
    table = made(cases=3, transforms=2, values=5, labels=4, metrics=2)
    start = dict(case=0, label=4, transform=8, metric=1, model=2, param=12)
    for column, first in start.items():
        entries = {name: HOSTILE[(first + turn + i) % len(HOSTILE)] for i, name in enumerate(table[column].unique())}
        table[column] = pd.Series([entries[name] for name in table[column]], dtype=object)
    table.attrs["transforms"] = {name: NUMERIC | dict(param="x", unit=HOSTILE[turn]) for name in table["transform"]}
    table.attrs["metrics"] = {name: dict(unit=HOSTILE[turn], better="higher") for name in table.metric}
    table.loc[table.value == 2, "score"] = np.inf
    if names:
        entries = {value: HOSTILE[(turn + i) % len(HOSTILE)] for i, value in enumerate(table.value.unique())}
        table["value"] = pd.Series([entries[value] for value in table.value], dtype=object)
        neutral = HOSTILE[(turn + 2) % len(HOSTILE)]
        table.attrs["transforms"] = {
            name: dict(NUMERIC, neutral=neutral, categorical=True) for name in table["transform"]
        }
    return table


def hostile_grid(turn):
    cells = GRID[(GRID.value_a < 4) & (GRID.value_b < 4)].copy()
    for i, column in enumerate(["model", "transform_a", "param_a", "transform_b", "param_b", "label", "metric"]):
        cells[column] = HOSTILE[(turn + i) % len(HOSTILE)].replace("\ud800", "")
    for column in ("value_a", "value_b"):
        names = [HOSTILE[(turn + k) % len(HOSTILE)].replace("\ud800", "") for k in range(4)]
        cells[column] = [names[k] for k in cells[column]]
    facts = dict(unit=HOSTILE[turn], neutral=HOSTILE[turn], categorical=True)
    cells.attrs = dict(transforms=[facts, facts], metrics={cells.metric.iloc[0]: dict(unit="", better="higher")})
    return cells


def hostile_charts(turn=0, names=False) -> dict:
    "A chart by each function, with nothing but hostile names"
    a = hostile(turn, names)
    b = a.assign(model=objects([HOSTILE[(turn + 7) % len(HOSTILE)]] * len(a)), score=0.5)
    deltas = dict.fromkeys(map(plain_text, a.metric.unique()), 0.1)
    bins = BINNED[:5].assign(model=objects([HOSTILE[turn]] * 5), label=objects([HOSTILE[turn - 1]] * 5))
    names = dict(transform=objects(HOSTILE), unit=objects(HOSTILE))
    influence = pd.DataFrame(names | dict(low=0.0, high=1.0, mu_star=1.0, sigma=1.0))
    influence.attrs = dict(metric=HOSTILE[turn], calls=3, mean=0.5, sd=0.1, worst=0.1, best=0.9)
    return dict(
        scores=plot_scores(concat_scores([a, b])),
        spread=plot_spread(concat_scores([a, b])),
        boxes=plot_boxes(concat_scores([a, b])),
        ranked=plot_ranked(a, n=1),
        compare=plot_compare(a, b),
        deltas=plot_deltas(a, b, difference=deltas),
        summary=plot_summary(summarise(a, delta=deltas, resamples=10)),
        calibration=plot_calibration(bins),
        grid=plot_grid(hostile_grid(turn)),
        sensitivity=plot_sensitivity(influence),
    )


def combined(chart):
    "A combination that the user makes; the chart of a summary has a configuration, which forbids it"
    return chart if chart.config is not alt.Undefined else alt.vconcat(chart, chart)


def has_tag(text: str) -> bool:
    return re.search("<[a-zA-Z/!?]", text) is not None


@pytest.mark.parametrize("names", [False, True], ids=["numbers", "names"])
@pytest.mark.parametrize("turn", [0, 5, 10])
def test_no_tag_and_no_half_character_is_in_a_chart(turn, names):
    for name, chart in hostile_charts(turn, names).items():
        for text in (chart.to_json(), combined(chart).to_json()):
            assert not has_tag(text), name
            assert not re.search(r"(?<!\\)\\ud[89a-f]..(?!\\u)", re.sub(r"\\ud[89ab]..\\ud[c-f]..", "", text)), name


@pytest.mark.parametrize("turn", [0, 3, 6, 11])
def test_charts_with_hostile_names_are_drawn(turn):
    for chart in hostile_charts(turn, names=turn == 3).values():
        assert chart._repr_mimebundle_()["image/png"]


def test_ordinary_names_are_left_as_they_are():
    for name in ("a < b", "LV <= 3", 'patient\'s "heart" \\ 5', "zwei\nZeilen", "心臓"):
        assert harmless_text(name) == name
    assert harmless_text('the "best"\n\\one', title=True) == "the ”best” ∖one"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# touches everything that is drawn, so that tooltips appear and selections are made
TOUCH = """<script>
addEventListener("error", event => document.body.dataset.error = event.message);
addEventListener("load", () => setTimeout(() => {
  const marks = document.querySelectorAll("svg.marks path, svg.marks text, svg.marks rect, svg.marks line");
  const kinds = ["pointerover", "mouseover", "pointermove", "mousemove", "click"];
  [...marks].slice(0, 400).forEach(mark => kinds.forEach(kind => {
    mark.dispatchEvent(new PointerEvent(kind, {bubbles: true}));
  }));
  document.body.dataset.marks = marks.length;
}, 500));
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("turn", [0, 5])
def test_hostile_names_run_nothing_in_a_browser(tmp_path, turn):
    for name, chart in hostile_charts(turn, names=turn == 5).items():
        page = tmp_path / f"{name}.html"
        combined(chart).save(page, inline=True)
        text = page.read_text(encoding="utf-8")
        at = text.rindex("</body>")
        page.write_text(text[:at] + TOUCH + text[at + len("</body>") :], encoding="utf-8")
        flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --dump-dom"
        command = [CHROMIUM, *flags.split(), "--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'user'}"]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=120, check=True)
        dom = done.stdout.decode("utf-8", "replace")
        assert "<title>HACKED" not in dom, name
        assert "data-error" not in dom, name
        assert int(re.search(r'data-marks="(\d+)"', dom)[1]) > 10, name


# words


def test_a_label_without_overlap_is_not_called_missing():
    table = made(cases=2, values=3)
    (sentence,) = verdicts(summarise(table.assign(score=0.0)))
    assert "not found" not in sentence
    assert "no overlap even in the unchanged image" in sentence


def test_a_case_without_overlap_is_named_beside_a_good_mean():
    table = made(cases=4, values=3)
    table.loc[table.case == "case 2", "score"] = 0.0
    summary = summarise(table)
    assert summary.lost_cases.tolist() == [1]
    assert "1 of 4 cases have at most 0.05 unchanged (label missed, or not in the truth)" in verdicts(summary)[0]
    older = summary.drop(columns="lost_cases")
    assert "label missed" not in verdicts(older)[0]
