"Summaries: conventions, bounds, references, errors, words"

import io

import numpy as np
import pandas as pd
import pytest

from misas.analysis.casecurves import case_curves, coded_table, neutral_column
from misas.analysis.measures import degradation, tolerance_interval
from misas.analysis.summary import (
    _amount_text,
    _curves_of,
    _fewest,
    _judged,
    _measured,
    _measures,
    _relative_error,
    _summary_row,
    summarise,
    verdicts,
)
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.transforms.basic import Dihedral, Resize, Rotate, Zoom
from misas.transforms.kspace import SpikePosition

LINEAR = dict(log=False, categorical=False)


@pytest.fixture
def rows():
    "Two cases, of which one has no scores"
    table = pd.DataFrame(dict(case=["a", "a", "b", "b"], value=[0, 5, 0, 5], score=[1, 0.5, np.nan, np.nan]))
    return table.assign(label="LV", transform="rotation")


@pytest.fixture
def other(rows):
    return rows.assign(score=[1, 0.75, 1, 0.75])


@pytest.fixture(scope="module")
def cases():
    return [phantom((96, 96), seed=k) for k in range(4)]


@pytest.fixture(scope="module")
def scores(cases):
    tried = dict(rotation=range(-90, 91, 15), dihedral=range(8))
    labels = {1: "LV", 2: "MY", 3: "RV"}
    return evaluate(demo_model(), cases, [Rotate(), Dihedral()], tried, labels=labels, progress=False)


@pytest.fixture(scope="module")
def lv(scores):
    return scores[(scores["transform"] == "rotation") & (scores.label == "LV")]


@pytest.fixture(scope="module")
def zoomed():
    "A model that always predicts the same disc"
    disc = np.hypot(*(np.indices((257, 257)) - 128)) <= 50
    case = load_case(disc.astype(np.float32), disc)
    tried = 2 ** np.linspace(-0.5, 0.5, 33)
    return evaluate(lambda x: disc, case, Zoom(), tried, labels={1: "disc"}, progress=False)


def from_file(table):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


# one curve


def curve_of(rows):
    "All rows as one curve"
    return case_curves(coded_table(rows), np.arange(len(rows)), names=False)


def test_a_case_without_scores_does_not_count(rows):
    both, other = curve_of(rows), curve_of(rows[2:])
    assert both.scores[_judged(both, None)[0]].tolist() == [[1, 0.5]]
    assert other.scores[_judged(other, None)[0]].shape == (0, 2)


def test_a_case_has_one_row_at_each_value_and_one_at_the_neutral_value(rows):
    assert neutral_column(curve_of(rows), 0.0, "rotation") == 0
    with pytest.raises(ValueError, match="one row of case 'a' at 0 of rotation, label 'LV', got two rows"):
        curve_of(pd.concat([rows, rows]))
    with pytest.raises(ValueError, match="neutral value 0 of rotation for each case, got none for 'a': add it to the"):
        neutral_column(curve_of(rows[1:]), 0, "rotation")


def test_values_in_several_forms_are_one_value(rows):
    mixed = rows.assign(value=pd.Series([0, 5.0, "0", "5"], dtype=object))
    assert curve_of(mixed).values == [0.0, 5.0]
    assert curve_of(rows.assign(value=["0", "5", "0", "5"])).values == [0, 5]
    assert case_curves(coded_table(mixed), np.arange(4), names=True).values == ["0", "5"]


def test_measures_without_a_neutral_value():
    assert _measures([0, 5], np.array([1, 0.5]), None, 0.1, {}) == dict(worst_score=0.5)


def test_a_label_that_is_hardly_found_has_nothing_to_lose():
    two = _measures([0, 5], np.array([[0, 0], [1, 0.5]]), 0, 0.1, LINEAR | dict(starts_at_0=True))
    assert two["tolerance_high_cut"].tolist() == [False, False]
    assert np.allclose(two["tolerance_high"], [np.nan, 1], equal_nan=True)
    assert np.allclose(two["drop"], [np.nan, 0.5], equal_nan=True)


def test_0_is_not_always_the_least_score():
    assert _measures([0, 5], np.array([0, -0.5]), 0, 0.1, LINEAR | dict(starts_at_0=True))["drop"] == 0.5
    assert _measures([0, 5], np.zeros(2), 0, 0.1, LINEAR)["drop"] == 0


def test_corruption_errors_are_of_the_same_cases_and_values(rows, other):
    assert _relative_error(rows, other, 0, "higher") == pytest.approx(2)
    assert np.isnan(_relative_error(rows, other[:0], 0, "higher"))
    assert _relative_error(rows, other, 0, "lower") == pytest.approx(2 / 3)
    assert _relative_error(rows.assign(score=-rows.score), other, 0, "zero") == pytest.approx(2 / 3)
    assert _relative_error(rows, other.assign(score=[1, 0.75, 1, 0]), 0, "higher") == pytest.approx(2)
    assert np.isnan(_relative_error(rows, other[2:], 0, "higher"))


def test_one_row(rows):
    facts = LINEAR | dict(param="deg", neutral=0, unit="°")
    table = rows.assign(model="m", metric="dice")
    metrics = dict(dice=dict(unit="", better="higher"))
    (curve,) = _curves_of(table, dict(rotation=facts), metrics, dict(dice=0.1), table[:0])
    row = _summary_row(curve, *_measured([curve], 0.95, 100, 0))
    assert (row["fewest_cases"], row["fewest_value"]) == (1, None)
    assert row["drop"] == 0.5
    assert row["tolerance_high"] == pytest.approx(1)
    assert row["cases"] == 1
    assert "drop_lower" not in row
    assert row["worst_value"] == 5


def test_where_the_fewest_cases_have_a_score():
    scores = np.array([[1, 2, np.nan, np.nan], [1, np.nan, np.nan, 1]])
    assert _fewest([0, 1, 2, 3], scores) == dict(fewest_cases=1, fewest_value=1)


# the table


def test_a_tolerance_interval_in_closed_form(zoomed):
    row = summarise(zoomed, delta=0.1).iloc[0]
    expected = np.sqrt(0.9 / 1.1)
    assert abs(row.tolerance_low - expected) < 0.005
    assert abs(row.tolerance_high - 1 / expected) < 0.005
    assert row.cases == 1
    assert row.log
    assert row.neutral_score == 1
    assert row.worst_score == pytest.approx(2 / 3, abs=0.01)
    assert row.worst_value in (2**-0.5, 2**0.5)


def test_a_table_from_a_file_has_the_same_summary(zoomed, scores):
    pd.testing.assert_frame_equal(summarise(from_file(zoomed), delta=0.1), summarise(zoomed, delta=0.1))
    pd.testing.assert_frame_equal(summarise(from_file(scores)), summarise(scores))


def test_values_that_are_names(scores):
    summary = summarise(scores)
    turned = summary[summary["transform"] == "dihedral"].iloc[0]
    assert turned.categorical
    assert np.isnan([turned.tolerance_low, turned.degradation, turned.area, turned.slope]).all()
    assert turned.neutral == "0"
    assert (turned["drop"] > 0.05) == (turned.worst_value in turned.failed.split(", "))


def test_where_no_value_is_neutral_worst_and_unchanged_score_are_known_but_no_interval(cases):
    settings = dict(labels={1: "LV"}, progress=False)
    position = summarise(evaluate(demo_model(), cases[0], SpikePosition(), [0.4, 0.5, 0.6], **settings)).iloc[0]
    unchanged = evaluate(demo_model(), cases[0], **settings).score.item()
    assert position.neutral_score == unchanged
    assert position["drop"] == unchanged - position.worst_score
    assert np.isnan(position.tolerance_low)
    assert position.worst_score >= 0
    assert position.worst_value in (0.4, 0.5, 0.6)
    # two sizes: none is neutral for both
    sizes = [cases[0], phantom((64, 80), seed=5)]
    pixels = summarise(evaluate(demo_model(), sizes, Resize(), [48, 96], **settings)).iloc[0]
    assert np.isnan(pixels["drop"])
    assert pixels.cases == 2


def test_where_all_scores_are_equal(zoomed):
    flat = summarise(zoomed.assign(score=0.8)).iloc[0]
    assert (flat["drop"], flat.slope, flat.degradation) == (0, 0, 0)
    assert flat.tolerance_low_cut
    assert flat.tolerance_high_cut
    assert flat.area == pytest.approx(1)


def test_where_all_scores_are_missing(zoomed):
    missing = summarise(zoomed.assign(score=np.nan)).iloc[0]
    assert missing.cases == 0
    assert np.isnan(missing["drop"])
    assert np.isnan(missing.tolerance_low)
    assert missing.worst_value is None


def test_labels_that_only_some_cases_have(scores):
    rotated = scores[scores["transform"] == "rotation"]
    some = rotated[~((rotated.label == "RV") & (rotated.case == "phantom-0"))]
    assert summarise(some).set_index("label").cases.to_dict() == dict(LV=4, MY=4, RV=3)


def test_where_lower_is_better_the_curve_is_measured_upside_down(zoomed):
    row = summarise(zoomed, delta=0.1).iloc[0]
    both = pd.concat([zoomed, zoomed.assign(score=100 * (1 - zoomed.score), metric="distance")])
    summary = summarise(both, delta=dict(dice=0.1, distance=10), lower_is_better=["distance"]).set_index("metric")
    dice, distance = summary.loc["dice"], summary.loc["distance"]
    assert np.allclose(summary.tolerance_low, row.tolerance_low)
    assert distance["worst_score"] == pytest.approx(100 * dice["drop"])
    assert distance["slope"] == pytest.approx(-100 * dice["slope"])
    assert distance["drop"] == pytest.approx(100 * dice["drop"])


# bounds


def test_bounds_are_those_of_resampling_by_hand(lv):
    curves = lv.pivot(index="case", columns="value", values="score")
    rng = np.random.default_rng(5)
    by_hand = []
    for _ in range(2000):
        mean = curves.iloc[rng.integers(4, size=4)].mean()
        by_hand.append(degradation(mean.index, mean, 0))
    own = summarise(lv).iloc[0]
    bounds = [own.degradation_lower, own.degradation_upper]
    assert np.allclose(np.quantile(by_hand, [0.025, 0.975]), bounds, atol=0.01)
    assert own.degradation_lower <= own.degradation <= own.degradation_upper
    # sums in another order differ by rounding
    assert own.degradation == pytest.approx(degradation(curves.columns, curves.mean(), 0), rel=1e-9)
    assert own.tolerance_high == pytest.approx(tolerance_interval(curves.columns, curves.mean(), 0)[1], rel=1e-9)


def test_one_case_and_no_resamples_give_no_bounds(lv):
    alone = summarise(lv[lv.case == "phantom-0"])
    assert alone.filter(regex="_(lower|upper)$").isna().all(axis=None)
    assert summarise(lv, resamples=0).drop_lower.isna().all()


# references


def test_corruption_errors(lv):
    halved = lv.assign(model="better", score=1 - (1 - lv.score) / 2)
    both = summarise(pd.concat([lv, halved]), reference="UNet").set_index("model").corruption_error
    assert both["UNet"] == pytest.approx(1)
    assert both["better"] == pytest.approx(0.5)
    assert summarise(halved, reference=lv).corruption_error[0] == pytest.approx(0.5)
    assert summarise(lv, reference=lv.assign(label="RV")).corruption_error.isna().all()


# errors


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(delta=0), "delta must be a number > 0, got 0"),
        (dict(delta=dict(dcie=0.1)), r"delta must be about the metrics dice, got 'dcie' \(did you mean 'dice'\?\)"),
        (dict(delta=dict(dice="a")), "delta must be a number > 0, got 'a'"),
        (dict(confidence=1), "confidence must be a number > 0 and < 1, got 1"),
        (dict(resamples=-1), r"resamples must be an integer >= 0 and <= 1e\+06, got -1"),
        (dict(seed="a"), "seed must be an integer >= 0, got 'a'"),
        (dict(seed=-1), "seed must be an integer >= 0, got -1"),
        (dict(seed=0.5), "seed must be an integer >= 0, got 0.5"),
        (dict(seed=None), "seed must be an integer >= 0, got None"),
        (dict(lower_is_better=["dcie"]), r"lower_is_better must be about .*dice, got 'dcie' \(did you mean 'dice'\?\)"),
        (dict(lower_is_better="dice"), "lower_is_better must be a list of metrics, of dice, got 'dice'"),
        (dict(lower_is_better=None), "lower_is_better must be a list of metrics"),
        (dict(reference="gpt"), "reference must be a score table, or one of the models 'UNet', got 'gpt'"),
    ],
)
def test_bad_arguments_are_errors(lv, bad, message):
    with pytest.raises(ValueError, match=message):
        summarise(lv, **bad)


def test_tables_that_cannot_be_summarised_are_errors(lv):
    halved = lv.assign(model="better", score=1 - (1 - lv.score) / 2)
    distances = lv.assign(metric="hd95")
    for bad, message in [
        (dict(scores=distances), "delta must have a number in mm for 'hd95', got none: delta={'hd95': ...}"),
        (dict(scores=pd.concat([lv, distances]), delta=1), r"different units \(dice, hd95 in mm\)"),
        (dict(reference=pd.concat([lv, halved])), "reference must be a score table of one model, got 2 models"),
        (dict(scores=lv[:0]), "scores must have at least one row"),
        (dict(scores=lv.drop(columns="label")), "'label'"),
        (dict(scores=lv[lv.value != 0]), "neutral value 0 of rotation.*add it"),
        (dict(scores=pd.concat([lv, lv])), "two rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            summarise(**dict(scores=lv) | bad)


def test_lower_is_better_and_numbers_come_in_many_forms(lv):
    assert summarise(lv, lower_is_better=("dice",)).better[0] == "lower"
    assert summarise(lv, lower_is_better={"dice"}, seed=np.int64(1), resamples=50.0).better[0] == "lower"


# words


def test_amounts():
    assert _amount_text(-25.0, "°") == "−25°"
    assert _amount_text(256, "px") == "256 px"
    assert _amount_text("3") == "3"
    assert _amount_text(2**-0.5, "×") == "0.707×"


def test_verdicts(zoomed, scores):
    assert verdicts(summarise(zoomed.assign(score=0.8))) == [
        "zoom, disc: tolerates 0.707× to 1.41× (all tried) with a loss of at most 0.05; dice 0.80 → 0.80 at 1×"
    ]
    assert "tolerates" not in verdicts(summarise(zoomed.assign(score=np.nan)))[0]
    summary = summarise(scores)
    assert verdicts(from_file(summary)) == verdicts(summary)


def test_what_is_no_summary_is_an_error(rows):
    with pytest.raises(ValueError, match="summary must be .*, got one without the columns 'model'"):
        verdicts(rows)
    with pytest.raises(TypeError, match="summary must be the table that summarise makes, got a list"):
        verdicts([])
