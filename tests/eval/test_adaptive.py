"Adaptive values: the limits of a dense sweep with few calls, shared values, budgets, stores, what cannot be refined"

import warnings

import numpy as np
import pandas as pd
import pytest
from lines import line_case, marked, scored_by

from misas.analysis.arms import describe_arms, replicate_medians
from misas.analysis.armtests import compare_arms
from misas.analysis.comparison import compare
from misas.analysis.guarantees import guarantee
from misas.analysis.limits import tolerance
from misas.analysis.papertables import arm_table, difference_table
from misas.analysis.summary import summarise, verdicts
from misas.core.transform import as_transform
from misas.data.phantoms import phantom
from misas.eval.adaptive import placed_transforms
from misas.eval.files import read_scores, save_scores
from misas.eval.refining import Seen, brackets, first_points, hidden_chance, next_points, suspects
from misas.eval.scoring import evaluate
from misas.eval.table import concat_scores
from misas.plot.comparison import plot_compare, plot_deltas
from misas.transforms.basic import Brightness, Crop, Dihedral, Resize, Rotate, Zoom

LINE = dict(labels={1: "line"}, progress=False)
ADAPTIVE = dict(values="adaptive", resolution=1, **LINE)

# each has its limits, for a drop of 0.05, in closed form
CURVES = {
    "falls": (lambda v: 0.95 - 0.002 * abs(v), -25, 25),
    "one side": (lambda v: 0.9 - 0.01 * max(v - 40, 0), -180, 45),
    "all": (lambda v: 0.9, -180, 180),
    "wave": (lambda v: 0.9 - 0.1 * np.sin(np.radians(v)) ** 2, -45, 45),
    "dip": (lambda v: 0.9 - 0.3 * (abs(v + 70) < 12), -58, 180),
    "narrow valley": (lambda v: 0.9 - 0.02 * max(0, 10 - abs(v - 100)), -180, 92.5),
    "cliff": (lambda v: 0.9 if abs(v) < 1.5 else 0.3, -1, 1),
}


def limits(scores, delta=0.05):
    row = summarise(scores, delta=delta, resamples=0).iloc[0]
    return row.tolerance_low, row.tolerance_high


@pytest.mark.parametrize("name", CURVES)
def test_limits_in_closed_form_with_a_sixth_of_the_calls(name):
    curve, low, high = CURVES[name]
    calls = []
    ask = scored_by(curve)

    def model(image):
        calls.append(1)
        return ask(image)

    scores = evaluate(model, line_case(), marked(), budget=60, **ADAPTIVE)
    dense = evaluate(scored_by(curve), line_case(), marked(), range(-180, 181), **LINE)
    assert len(calls) == scores.value.nunique() == len(scores) <= 60
    assert limits(scores) == pytest.approx(limits(dense), abs=1e-9)
    assert limits(scores) == pytest.approx((low, high), abs=1)
    assert scores.value.is_monotonic_increasing and scores.value.min() == -180 and scores.value.max() == 180
    both = scores.merge(dense, on="value", suffixes=("", "_dense"))
    assert len(both) == len(scores) and (both.score == both.score_dense).all()


@pytest.mark.filterwarnings("ignore:model '<lambda>'. a nearer limit")
def test_two_labels_and_metrics_share_the_values():
    case = phantom((64, 64), seed=1)
    scores = evaluate(
        lambda image: (image > 0.4).astype(int),
        case,
        [Zoom(), Brightness()],
        "adaptive",
        resolution={"zoom": 0.02, "brightness": 0.05},
        metrics=["dice", "hd95"],
        labels={1: "LV", 2: "MY"},
        delta={"dice": 0.05, "hd95": 2},
        progress=False,
    )
    for _, own in scores.groupby("transform"):
        assert own.groupby(["label", "metric"]).value.apply(lambda column: tuple(column)).nunique() == 1
    zooms = scores[scores["transform"] == "zoom"].value.unique()
    steps = np.log(zooms) / np.log(1.02)
    inner = steps[1:-1]
    assert inner == pytest.approx(np.round(inner), abs=1e-6) and 1 in zooms
    assert len(summarise(scores, {"dice": 0.05, "hd95": 2})) == 8


def test_cases_share_the_values_and_the_mean_decides():
    cases = [line_case(name) for name in "abc"]
    scores = evaluate(scored_by(CURVES["falls"][0]), cases, marked(), **ADAPTIVE)
    tried = scores.groupby("case").value.apply(tuple)
    assert tried.nunique() == 1 and len(scores) == 3 * len(tried.iloc[0])
    assert scores.case.drop_duplicates().tolist() == ["a", "b", "c"]
    assert limits(scores) == pytest.approx((-25, 25), abs=1)


def test_what_is_told_of_uneven_values():
    curve = CURVES["wave"][0]
    cases = [line_case(str(k)) for k in range(40)]
    scores = evaluate(scored_by(curve), cases, marked(), **ADAPTIVE)
    with pytest.warns(UserWarning, match="values of tilt were placed by looking at the scores of these patients"):
        row = summarise(scores, resamples=20).iloc[0]
    fine = np.arange(-180, 181)
    curve_mean = np.trapezoid([curve(v) for v in fine], fine) / 360 / 0.9
    assert row.area == pytest.approx(curve_mean, abs=0.01)  # weighted by the distance of the values
    plain = scores.score.mean() / 0.9
    assert abs(plain - curve_mean) > abs(row.area - curve_mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = verdicts(summarise(scores, resamples=0))[0]
        found = guarantee(scores).iloc[0]
    assert "tolerates −45" in told and told.endswith("(40 patients, 95 % confidence, at values placed by their scores)")
    tried = np.sort(scores.value.unique())
    assert found.holds and {found.low, found.high} <= set(tried)
    assert found.high == tried[tried <= limits(scores)[1]].max()


def as_kept(scores, kind, folder):
    path = folder / f"scores.{kind}"
    save_scores(scores, path)
    return read_scores(path)


def test_that_values_were_placed_is_known_of_files_and_joined_tables(tmp_path):
    model = scored_by(CURVES["falls"][0])
    options = dict(resolution=1, **LINE)
    chosen = {"tilt": "adaptive", "lean": [-10, 0, 10]}
    both = evaluate(model, line_case(), [marked(), marked("lean")], chosen, **options)
    others = evaluate(model, line_case("b"), marked(), [-10, 0, 10], **LINE)
    assert placed_transforms(both) == ["tilt"] and placed_transforms(others) == []
    assert list(both) == list(others) and "values_placed" not in both.attrs["transforms"]["lean"]
    for kind in ("csv", "parquet"):
        kept = as_kept(both, kind, tmp_path)
        assert placed_transforms(kept) == ["tilt"] and kept.equals(both)
        assert kept.attrs["transforms"]["tilt"] == both.attrs["transforms"]["tilt"]
        assert placed_transforms(as_kept(others, kind, tmp_path)) == []
    assert placed_transforms(pd.read_csv(tmp_path / "scores.csv")) == []
    as_kept(both, "csv", tmp_path)
    assert placed_transforms(pd.read_csv(tmp_path / "scores.csv")) == ["tilt"]
    for tables in ([both, others], [others, both]):
        assert placed_transforms(as_kept(concat_scores(tables), "csv", tmp_path)) == ["tilt"]
    assert placed_transforms(both[both.value == 0]) == ["tilt"]
    cases = [phantom((32, 32), seed=seed) for seed in (0, 1)]
    options = dict(budget=4, labels={1: "LV"}, progress=False)
    for way in (dict(store=tmp_path / "store"), dict(store=tmp_path / "store"), dict(n_jobs=2)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = evaluate(bright, cases, Brightness(), "adaptive", **options, **way)
        assert placed_transforms(found) == ["brightness"]
    found = tolerance(model, line_case(), marked(), labels={1: "line"})
    assert placed_transforms(found.attrs["scores"]) == ["tilt"]


def test_a_case_cannot_have_a_column_of_that_name():
    with pytest.raises(ValueError, match="columns of case 'line' must have .*got 'values_placed': rename it"):
        evaluate(bright, line_case().replace(columns={"values_placed": "x"}), marked(), [0], **LINE)


def test_a_guarantee_says_that_its_values_were_placed_and_the_remedy_works():
    model = scored_by(CURVES["falls"][0])
    patients, others = ([line_case(f"{name}{k}") for k in range(40)] for name in "ab")
    scores = evaluate(model, patients, marked(), **ADAPTIVE)
    with pytest.warns(
        UserWarning, match="so the confidence .* may be less than stated: .* score other patients"
    ) as said:
        found = guarantee(scores)
    assert len(said) == 1 and found.sentence[0].endswith("(40 patients; the values were placed by their scores)")
    strict = evaluate(model, others, marked(), sorted(scores.value.unique()), **LINE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = guarantee(strict)
        assert not summarise(scores[scores.case.isin(["a0", "a1"])], resamples=0).guaranteed[
            0
        ]  # and nothing to warn of
    assert (found.values_placed[0], again.values_placed[0]) == ("adaptive", "")
    assert again.sentence[0] == found.sentence[0].replace("; the values were placed by their scores", "")


def test_a_comparison_at_values_of_one_model_is_not_fair():
    cases = [line_case(name) for name in "abcdef"]
    scores = evaluate(scored_by(CURVES["falls"][0]), cases, marked(), **ADAPTIVE)
    values = sorted(scores.value.unique())
    other = evaluate({"other": scored_by(CURVES["wave"][0])}, cases, marked(), values, **LINE)
    with pytest.warns(UserWarning, match="values of tilt were placed where scores of these cases fall"):
        compare(scores, other)
    even = evaluate(scored_by(CURVES["falls"][0]), cases, marked(), values, **LINE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(even, other)


def of_arms(placed):
    "Scores of an arm of two runs and of one of a single run, at the same values: placed for the first, or listed"
    cases = [line_case(name) for name in "abcdef"]
    model = scored_by(CURVES["falls"][0])
    first = evaluate(model, cases, marked(), **ADAPTIVE)
    values = sorted(first.value.unique())
    if not placed:
        first = evaluate(model, cases, marked(), values, **LINE)
    again = [first.assign(model=f"run {k}", arm="falls", run=k) for k in (1, 2)]
    other = evaluate({"other": scored_by(CURVES["wave"][0])}, cases, marked(), values, **LINE)
    return concat_scores([*again, other.assign(arm="wave", run=1)])


OF_ARMS = [replicate_medians, describe_arms, compare_arms, arm_table, difference_table, compare]


@pytest.mark.parametrize("function", OF_ARMS, ids=lambda function: function.__name__)
def test_arms_say_once_that_values_were_placed_and_the_remedy_works(function):
    scores = of_arms(placed=True)
    with pytest.warns(UserWarning, match="values of tilt were placed where scores of these cases fall, so") as said:
        found = function(scores)
    assert len(said) == 1 and "score all models at values chosen without looking at scores" in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = function(of_arms(placed=False))
    pd.testing.assert_frame_equal(found, again, check_exact=True)


def test_differences_in_the_mean_over_placed_values_are_said_to_be_so():
    scores = of_arms(placed=True)
    a, b = scores[scores.model == "run 1"], scores[scores.model == "other"]
    with pytest.warns(UserWarning, match="so these places weigh most, and chance may look like a difference") as said:
        plot_deltas(a, b)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_compare(a, b)  # each value on its own


def test_a_guarantee_names_all_values_that_were_placed():
    falls, never = CURVES["falls"][0], lambda v: 0.9 - 0.8 * (v != 0)
    patients = [line_case(f"a{k}") for k in range(50)]
    parts = [
        evaluate(scored_by(curve), patients, marked(name), **ADAPTIVE)
        for curve, name in ((falls, "tilt"), (never, "lean"))
    ]
    both = concat_scores([part.assign(model="m") for part in parts])
    with pytest.warns(UserWarning, match="values of tilt, lean were placed by looking at the scores of these patients"):
        found = guarantee(both)
    assert found.holds.tolist().count(True) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not guarantee(parts[1]).holds.any()  # and nothing to warn of


def test_budgets_are_kept_and_doubts_are_said():
    def rough(v):
        return 0.9 - 0.02 * (hash(str(v)) % 2) - 0.02 * (int(v) % 3 == 1)

    for budget in (3, 10, 30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = evaluate(scored_by(CURVES["falls"][0]), line_case(), marked(), budget=budget, **ADAPTIVE)
        assert scores.value.nunique() <= budget and 0 in set(scores.value)
    with pytest.warns(UserWarning, match=r"2 of the limits of tilt are known less exactly .*a larger budget="):
        evaluate(scored_by(CURVES["falls"][0]), line_case(), marked(), budget=10, **ADAPTIVE)
    with pytest.warns(UserWarning, match="a nearer limit of tilt may hide .chance about .* %"):
        evaluate(scored_by(lambda v: rough(v) if v else 0.9), line_case(), marked(), budget=40, **ADAPTIVE)


def test_a_store_brings_it_back(tmp_path):
    log, stop = tmp_path / "calls", tmp_path / "stop"
    ask = scored_by(CURVES["dip"][0])

    def model(image):
        with log.open("a") as file:
            file.write(".")
        if log.stat().st_size == 35 and stop.exists():
            raise KeyboardInterrupt
        return ask(image)

    options = dict(ADAPTIVE, store=tmp_path / "store")
    stop.touch()
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, line_case(), marked(), **options)
    stop.unlink()
    first = evaluate(model, line_case(), marked(), **options)
    done = log.stat().st_size
    again = evaluate(model, line_case(), marked(), **options)
    assert log.stat().st_size == done < 35 + first.value.nunique()  # the first rounds came from the store
    plain = evaluate(model, line_case(), marked(), **ADAPTIVE)
    assert first.equals(again) and first.equals(plain)
    assert again.attrs["transforms"] == plain.attrs["transforms"]


def bright(image):
    return (np.asarray(image) > 0.4).astype(int)


def test_processes_give_the_same_table():
    cases = [phantom((48, 48), seed=seed) for seed in (0, 1)]
    options = dict(values="adaptive", resolution=0.1, labels={1: "LV"}, progress=False)
    one = evaluate(bright, cases, "brightness", **options)
    two = evaluate(bright, cases, "brightness", n_jobs=2, **options)
    assert one.equals(two)


def test_other_transforms_keep_their_values():
    case = phantom((48, 48), seed=0)
    values = {"rotation": ("adaptive", -20, 20), "dihedral": [0, 3, 1]}
    scores = evaluate(bright, case, [Rotate(), Dihedral(), Zoom()], values, resolution=2, progress=False)
    tried = {name: own.value.unique().tolist() for name, own in scores.groupby("transform")}
    assert tried["dihedral"] == [0, 3, 1] and tried["zoom"] == list(Zoom().values)
    assert min(tried["rotation"]) == -20 and max(tried["rotation"]) == 20


def test_labels_that_occur_at_some_values_only():
    def model(image):
        corner = float(np.asarray(image)[..., 0, 0].squeeze())
        mask = np.ones((2, 400), np.int32)
        if corner == 180:
            mask[0, :9] = 7
        return mask

    scores = evaluate(model, line_case(), marked(), "adaptive", resolution=1, progress=False)
    counts = scores.groupby("label").value.nunique()
    assert set(scores.label) >= {"1", "7"} and counts.nunique() == 1
    seven = scores[scores.label == "7"].set_index("value").score
    assert seven[180] == 0 and np.isnan(seven.drop(180)).all()


def test_without_truth_the_unchanged_image_is_looked_at_once_more():
    calls = []

    def model(image):
        calls.append(1)
        return bright(image)

    case = phantom((48, 48), seed=0).replace(truth=None)
    with pytest.warns(UserWarning, match="no truth is given"):
        scores = evaluate(model, case, "rotation", "adaptive", resolution=5, progress=False)
    assert len(calls) == scores.value.nunique() + 1 and (scores[scores.value == 0].score.dropna() == 1).all()


def test_whole_numbers_and_neutral_values_that_depend_on_the_image():
    case = phantom((64, 64), seed=0)
    for transform in (Crop(), Resize()):
        scores = evaluate(bright, case, transform, "adaptive", resolution=2, progress=False)
        assert scores.value.dtype.kind == "i"
        assert transform.neutral_for(case) in set(scores.value)
        summarise(scores)
    with pytest.raises(ValueError, match="one neutral value of resize.*64 for 'phantom-0' and 48 for 'phantom-1'"):
        evaluate(bright, [case, phantom((48, 48), seed=1)], Resize(), "adaptive", resolution=2, progress=False)


def test_cases_that_fail_are_left_out(tmp_path):
    def model(image):
        if np.asarray(image).shape[-1] != 400:
            raise RuntimeError("another size")
        return scored_by(CURVES["falls"][0])(image)

    cases = [line_case("a"), phantom((48, 48), seed=0)]
    with pytest.warns(UserWarning, match="1 of 2 cases failed, the first one 'phantom-0'"):
        scores = evaluate(model, cases, marked(), **ADAPTIVE)
    assert scores.case.unique().tolist() == ["a"] and limits(scores) == pytest.approx((-25, 25), abs=1)
    with pytest.raises(ValueError, match="another size"):
        evaluate(model, cases[1], marked(), **ADAPTIVE)
    no_truth = pytest.warns(UserWarning, match="no truth is given")
    with pytest.raises(ValueError, match="image must be a file that exists"), no_truth:
        evaluate(bright, [tmp_path / "no.png"], "resize", "adaptive", progress=False)


def test_a_resolution_that_was_not_given():
    assert limits(evaluate(scored_by(CURVES["falls"][0]), line_case(), marked(), "adaptive", **LINE)) == pytest.approx(
        (-25, 25), abs=1
    )


def test_several_models_each_find_their_own():
    models = {"falls": scored_by(CURVES["falls"][0]), "wave": scored_by(CURVES["wave"][0])}
    found = summarise(evaluate(models, line_case(), marked(), **ADAPTIVE), resamples=0).set_index("model")
    assert found.tolerance_high["falls"] == pytest.approx(25, abs=1)
    assert found.tolerance_high["wave"] == pytest.approx(45, abs=1)


@pytest.mark.parametrize(
    "transforms, options, message",
    [
        (Dihedral(), {}, "got 'dihedral, whose values are names"),
        (as_transform(lambda image, value: image, name="same", values=[1, 2]), {}, "ones with a neutral value"),
        (Rotate(), dict(resolution=0), "resolution must be a number > 0"),
        (Rotate(), dict(resolution="1"), "resolution must be a number, a dict or None, got '1'"),
        (Rotate(), dict(resolution={"zoom": 1}), "resolution must be a number, or a dict by the names rotation"),
        (Rotate(), dict(resolution=1e-9), "resolution must be so large"),
        (Crop(), dict(resolution=0.5), "resolution must be a whole number for crop"),
        (Rotate(), dict(budget=2), "budget must be an integer >= 3"),
        (Rotate(), dict(delta=-1), "delta must be"),
        (Rotate(), dict(metrics="hd95"), "delta must have a number in mm for 'hd95'"),
        (Rotate(), dict(values=("adaptive", 10, 20)), "values must be a range around the neutral value 0"),
        (Rotate(), dict(values=("adaptive", 10)), "values must be 'adaptive', or"),
        (Rotate(), dict(values=[0, 1], resolution=1), "resolution must be None where no values are 'adaptive'"),
        (Rotate(), dict(values=None, budget=9), "budget must be None where no values are 'adaptive'"),
    ],
)
def test_bad_input(transforms, options, message):
    options = dict(values="adaptive") | options
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate(bright, phantom((32, 32)), transforms, progress=False, **options)


# ---------------------------------------------------------------- points


def seen_of(curves, points):
    return Seen(np.array(sorted(points)), np.array([curves(point) for point in sorted(points)], float))


@pytest.mark.parametrize("low, high", [(-180, 180), (0, 9), (-1, 0), (0, 0), (-500, 3)])
@pytest.mark.parametrize("most", [None, 3, 12])
def test_first_points(low, high, most):
    points = first_points(low, high, most)
    assert points[0] == 0 and len(set(points)) == len(points) and {low, high} <= set(points)
    assert all(low <= point <= high for point in points) and (most is None or len(points) <= most)


def test_gaps_with_a_limit_are_halved_until_nothing_is_between():
    def curve(point):
        return [1 - point / 37.5]

    looked = {0, 180}
    while points := next_points(seen_of(curve, looked), None, 0, shape=False):
        assert len(points) == 1
        looked |= set(points)
    assert {37, 38} <= looked and len(looked) <= 2 + 8


def test_calls_that_are_too_few_for_halving_are_used():
    near = Seen(np.array([0, 10, 20, 30]), np.array([[1], [0.3], [0.4], [1]], float))
    assert next_points(near, 2, 2, shape=False) == [15]  # to halve it would take four
    assert len(next_points(near, 9, 9, shape=False)) == 2
    assert next_points(near, 0, 0, shape=False) == []


def test_chances_of_what_is_hidden():
    calm = Seen(np.array([0, 10, 20, 30]), np.array([[1], [1], [1], [1]], float))
    assert not brackets(calm) and not suspects(calm)
    near = Seen(np.array([0, 10, 20, 30]), np.array([[1], [0.3], [0.4], [1]], float))
    found = suspects(near)
    # at 10 the curve is 0.4 off the line: a variance of 0.4 ** 2 * (1 / 10 + 1 / 10) for each step
    assert found[1] == pytest.approx(np.exp(-2 * 0.3 * 0.4 / (0.032 * 10)) * (1 - np.exp(-2 * 0.3 / (0.032 * 10))))
    assert hidden_chance(near) == pytest.approx(1 - (1 - np.exp(-1.875)) * (1 - np.exp(-0.75)) * (1 - np.exp(-6.4)))
    assert suspects(Seen(calm.points, calm.margins, widest=9)) == {0: 0.5, 1: 0.25, 2: 0.125}
    straight = Seen(np.array([0, 10, 20, 30]), np.array([[1], [0.7], [0.4], [0.1]]))
    assert not suspects(straight)
    lost = Seen(np.array([0, 10]), np.array([[np.nan], [np.nan]]))
    assert not brackets(lost) and not suspects(lost) and not next_points(lost, None, None, shape=True)


def test_missing_scores_are_failures():
    seen = Seen(np.array([-8, 0, 8]), np.array([[-np.inf], [1], [np.nan]]))
    assert seen.stretch(seen.margins[:, 0]) == (1, 1) and brackets(seen) == {0, 1}


@pytest.mark.parametrize("values", [[-20, 0, 20], "adaptive"])
def test_half_a_character_in_a_name_does_not_hide_what_was_placed(values):
    options = dict(values=values, progress=False)
    if values == "adaptive":
        options |= dict(resolution=10, budget=12, delta=0.1)
    scores = evaluate(lambda image: image > 0.35, phantom((32, 32)), Rotate(), labels={1: "LV"}, **options)
    (facts,) = scores.attrs["transforms"].values()
    scores["transform"] = pd.Series(["\ud800x"] * len(scores), dtype=object)
    scores.attrs["transforms"] = {"\ud800x": facts}
    placed = placed_transforms(scores)
    assert len(placed) == (values == "adaptive")
    assert all(name.isprintable() for name in placed)
