"Charts of trust: what they hold, and bad input"

import numpy as np
import pandas as pd
import pytest

from misas.analysis.guarantees import guarantee
from misas.plot.trust import plot_confidence, plot_guarantee, plot_risk_coverage


def made(n=30, values=(None,), transform="unchanged", models=("net",)):
    rng = np.random.default_rng(0)
    rows = [
        (model, f"c{i}", transform, "std", value, label, rng.random(), rng.random())
        for model in models
        for i in range(n)
        for value in values
        for label in ("LV", "MY")
    ]
    columns = ["model", "case", "transform", "param", "value", "label", "confidence", "score"]
    return pd.DataFrame(rows, columns=columns)


def test_a_point_for_each_case_or_lines_along_a_sweep():
    spec = plot_confidence(made()).to_dict()
    kinds = [layer["mark"]["type"] for layer in spec["hconcat"][0]["layer"]]
    assert kinds == ["line", "circle"] and "unchanged" in str(spec["hconcat"][0]["title"])
    spec = plot_confidence(made(3, (0, 0.1, 0.2), "noise", ("a", "b"))).to_dict()
    assert [panel["title"]["text"] for panel in spec["hconcat"]] == ["a, noise", "b, noise"]
    assert spec["hconcat"][0]["encoding"]["x"]["title"] == "std"
    assert spec["hconcat"][0]["encoding"]["x"]["type"] == "quantitative"


def test_many_cases_are_thinned():
    size = len(plot_confidence(made(20_000)).to_json())
    assert size < 5_000_000
    assert len(plot_risk_coverage(made(20_000)).to_json()) < 5_000_000


def test_risk_ends_at_the_mean():
    table = made()
    spec = plot_risk_coverage(table).to_dict()
    rows = pd.DataFrame(next(iter(spec["datasets"].values())))
    ends = rows[(rows.coverage == 1) & (rows.label == "LV")]
    assert ends.risk.tolist() == pytest.approx([1 - table[table.label == "LV"].score.mean()] * 3)


def test_guaranteed_ranges():
    rows = [
        ("net", f"c{i}", "rotation", "deg", value, "LV", "dice", 0.9 - (value == 10))
        for i in range(40)
        for value in (-5, 0, 5, 10)
    ]
    columns = ["model", "case", "transform", "param", "value", "label", "metric", "score"]
    found = guarantee(pd.DataFrame(rows, columns=columns))
    spec = plot_guarantee(found).to_dict()
    drawn = pd.DataFrame(next(iter(spec["datasets"].values())))
    assert (drawn.low[0], drawn.high[0], drawn.neutral[0], drawn.text[0]) == (-5, 5, 0, "40 patients")
    assert "95 % confidence" in str(spec) and "deg in °" in str(spec)


def test_bad_input():
    for draw in (plot_confidence, plot_risk_coverage):
        with pytest.raises((ValueError, TypeError), match="table must be"):
            draw(pd.DataFrame())
        with pytest.raises(ValueError, match="at least one row with confidence and score"):
            draw(made().assign(score=np.nan))
        with pytest.raises(ValueError, match="size must be"):
            draw(made(), size=0)
    with pytest.raises((ValueError, TypeError), match="found must be"):
        plot_guarantee(made())
