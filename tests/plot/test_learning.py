"Charts of learning curves, of tolerance by size, and of plans: what they hold"

import numpy as np
import pandas as pd
import pytest

from misas.analysis.learning import learning_table
from misas.analysis.splits import partitions, random_splits
from misas.core.cases import Case
from misas.eval.table import COLUMNS
from misas.plot.learning import plot_learning, plot_learning_tolerance, plot_plan


def scores(sizes=(5, 10, 20, 40), values=(1,), metric="dice"):
    "Two arms, three runs, six images"
    rng = np.random.default_rng(0)
    rows = []
    for arm in ("scratch", "transfer"):
        for n in sizes:
            for run in (1, 2, 3):
                error = (0.8 if arm == "scratch" else 0.4) * n**-0.5 + rng.normal(0, 0.01)
                for i in range(6):
                    for value in values:
                        score = 0.95 - error - abs(np.log2(value)) * 0.2 - 0.01 * i
                        entry = f"{n}, {run}"
                        row = (f"{arm} {entry}", f"c{i}", "brightness", "factor", value, "LV", metric, score)
                        rows.append((*row, arm, entry, n))
    return pd.DataFrame(rows, columns=[*COLUMNS, "arm", "entry", "n_train"])


def datasets(chart):
    return [pd.DataFrame(rows) for rows in chart.to_dict()["datasets"].values()]


def with_columns(chart, *columns):
    return [table for table in datasets(chart) if set(columns) <= set(table)]


def test_curve_dots_bands_and_law():
    table = scores()
    chart = plot_learning(table, resamples=20)
    curve = with_columns(chart, "median", "low", "high")[0]
    expected = learning_table(table)
    assert np.allclose(curve["median"], expected["median"])
    per_case = table[(table.arm == "scratch") & (table.n_train == 5)].groupby("case").score.median()
    first = curve[(curve.arm == "scratch") & (curve.n_train == 5)].iloc[0]
    assert np.isclose(first.low, per_case.quantile(0.25)) and np.isclose(first.high, per_case.quantile(0.75))
    dots = with_columns(chart, "entry", "score")[0]
    assert len(dots) == 2 * 4 * 3
    law = [t for t in with_columns(chart, "score", "low") if "median" not in t][0]
    assert law.n_train.max() == pytest.approx(80) and (law.low <= law.high).all()


def test_the_law_only_where_three_sizes_are():
    two = scores(sizes=(5, 10))
    assert not [t for t in with_columns(plot_learning(two), "score", "low") if "median" not in t]
    with pytest.raises(ValueError, match="at least 3 different numbers"):
        plot_learning(two, fit=True)
    assert not [t for t in with_columns(plot_learning(scores(), fit=False), "score", "low") if "median" not in t]


def test_distances_have_a_law_of_their_own():
    chart = plot_learning(scores(metric="hd95"), resamples=0)
    law = [t for t in with_columns(chart, "score") if "entry" not in t and "median" not in t][0]
    assert law.score.notna().all()


def test_tolerance_is_drawn_for_each_training():
    table = scores(values=(0.25, 0.5, 1, 2, 4))
    chart = plot_learning_tolerance(table, delta=0.1)
    bars = max(with_columns(chart, "entry", "low", "high"), key=len)
    assert len(bars) == 24 and np.allclose(np.log2(bars.high), 0.5) and np.allclose(np.log2(bars.low), -0.5)
    with pytest.raises(ValueError, match="columns must be"):
        plot_learning_tolerance(table, columns=0)


def test_a_plan_shows_each_case_of_each_entry():
    image = np.zeros((8, 8), np.float32)
    cases = [Case(image, image.astype(int), f"image-{i}", columns=dict(site="AB"[i % 2])) for i in range(12)]
    plan = random_splits(cases, n=2)
    chart = plot_plan(plan)
    assert len(datasets(chart)[0]) == 24
    order = chart.to_dict()["encoding"]["y"]["sort"]
    assert order == [f"image-{i}" for i in range(12)]
    order = plot_plan(plan, by="site").to_dict()["encoding"]["y"]["sort"]
    assert order[:2] == ["A: image-0", "A: image-2"]
    assert not plot_plan(partitions(cases, halvings=1), height=50).to_dict()["encoding"]["y"]["axis"]["labels"]
    with pytest.raises(ValueError, match="by must be a column of plan"):
        plot_plan(plan, by="sit")
