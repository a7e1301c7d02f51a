"Curves on a common axis, the noise floor under curves, guarantees under bars, who is sent to a human"

import io

import numpy as np
import pandas as pd
import pytest

from misas.analysis.summary import summarise
from misas.eval.table import case_columns
from misas.plot.curves import plot_scores
from misas.plot.summary import plot_summary
from misas.plot.trust import plot_referral


def made(transform="rotation", values=(-10, 0, 10), score=lambda v: 0.9 - abs(v) / 100, cases=3, param="deg"):
    rows = [("net", f"c{i}", transform, param, v, "LV", "dice", score(v)) for i in range(cases) for v in values]
    columns = ["model", "case", "transform", "param", "value", "label", "metric", "score"]
    return pd.DataFrame(rows, columns=columns)


def test_all_transforms_share_the_axis():
    scores = pd.concat([made(), made("noise", (0, 0.1), param="std"), made("dihedral", (0, 4), param="k")])
    scores["severity"] = [abs(float(value)) / 20 for value in scores.value]
    spec = plot_scores(scores, x="severity").to_dict()
    assert len(spec["concat"]) == 1 and spec["concat"][0]["encoding"]["x"]["title"] == "severity (0: unchanged)"
    rows = pd.concat([pd.DataFrame(own) for own in spec["datasets"].values()])
    assert set(rows["transform"]) == {"rotation", "noise", "dihedral"}
    lines = rows[rows["transform"] == "rotation"].groupby("line").x.apply(list)
    assert sorted(map(sorted, lines)) == [[0, 0.5], [0, 0.5]]  # one for each side, both from the unchanged image
    assert "severity" in case_columns(scores)
    with pytest.raises(ValueError, match="x must be one of 'value', 'severity', got 'severty'"):
        plot_scores(scores, x="severty")
    with pytest.raises(ValueError, match="x must be a column with numbers"):
        plot_scores(scores.assign(severity="much"), x="severity")


def test_a_band_for_the_noise_floor():
    floor = pd.concat([made(score=lambda v: 0.9 - abs(v) / 200), made("again", (1, 2), lambda v: 0.9)])
    spec = plot_scores(made(), floor=floor).to_dict()
    text = str(spec)
    assert "noise floor" in text and "'type': 'area'" in text
    assert "noise floor" not in str(plot_scores(made()).to_dict())
    lossless = made(score=lambda v: 0.9)
    assert "noise floor" not in str(plot_scores(made(), floor=lossless).to_dict())
    area = next(layer for layer in spec["concat"][0]["layer"] if layer["mark"]["type"] == "area")
    rows = pd.read_csv(io.StringIO(spec["datasets"][area["data"]["name"]]))
    assert np.allclose(rows.high, 0.9) and np.allclose(rows.low, [0.85, 0.9, 0.85])


def test_guarantees_lie_under_the_bars():
    held = str(plot_summary(summarise(made(score=lambda v: 0.9, cases=40), resamples=20)).to_dict())
    assert "blue line: guaranteed for 90 % of such patients, 95 % confidence (40 patients)" in held
    assert "#0072b2" in held
    few = str(plot_summary(summarise(made(cases=3), resamples=20)).to_dict())
    assert "no range is guaranteed with 95 % confidence: 3 patients, 36 are needed or more" in few
    assert "#0072b2" not in few
    alone = str(plot_summary(summarise(made(cases=1))).to_dict())
    assert "no range is guaranteed" not in alone and "blue line" not in alone


def test_who_is_sent():
    columns = dict(model="net", case=list("abcd"), transform="unchanged", param="", value=None, label="LV")
    table = pd.DataFrame(columns | dict(confidence=[0.9, 0.5, 0.5, 0.95], score=[0.9, 0.9, 0.3, 0.2]))
    spec = plot_referral(table, 0.7).to_dict()
    assert spec["hconcat"][0]["title"]["subtitle"] == "1 accepted, 1 needless, 1 caught, 1 missed"
    with pytest.raises(ValueError, match="least must be"):
        plot_referral(table, 0.7, least=2)
