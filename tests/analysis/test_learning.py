"Training by a plan, what fewer images cost, and the power law: against values by hand and scipy"

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import curve_fit

from misas.analysis.learning import evaluate_plan, fewest_images, learning_table, learning_tolerance
from misas.analysis.scaling import fit_power_law, learning_fits
from misas.analysis.splits import depletion, partitions
from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.eval.files import read_scores, save_scores
from misas.eval.scoring import evaluate
from misas.eval.table import COLUMNS
from misas.transforms.basic import Brightness

IMAGE = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
CASES = [Case(IMAGE + i / 100, (IMAGE > 0.5) * 1, f"c{i}", scale=(0, 1)) for i in range(10)]
PLAN = partitions(CASES, halvings=2)


class Trainer:
    "Remembers what it was asked for; the model is a threshold"

    def __init__(self, fails_at=None):
        self.asked, self.fails_at = [], fails_at

    def __call__(self, cases, seed):
        if len(self.asked) == self.fails_at:
            raise KeyboardInterrupt
        self.asked.append(([case.name for case in cases], seed))
        low = 0.5 + 1 / (10 * len(cases))
        return lambda image: image > low


def test_each_entry_is_trained_with_its_cases_and_seed_and_tested_with_the_others():
    train = Trainer()
    scores = evaluate_plan(train, CASES, PLAN, labels={1: "LV"}, seed=10, version="1", progress=False)
    assert len(train.asked) == 7
    for (names, seed), (entry, rows) in zip(train.asked, PLAN.groupby("entry", sort=False)):
        assert names == list(rows.case[rows.part == "train"]) and seed == 10 + rows.run.iloc[0]
        own = scores[scores.entry == entry]
        tested = [case for case in CASES if case.name in set(rows.case[rows.part == "test"])]
        model = Trainer()(CASES[: len(names)], 0)
        expected = evaluate(model, tested, labels={1: "LV"}, progress=False).set_index("case").score
        assert np.allclose(own.score, expected[own.case])
        assert (own.n_train == len(names)).all() and (own.seed == seed).all() and (own.run == rows.run.iloc[0]).all()


def test_what_train_uses_is_part_of_the_key_but_not_its_log(tmp_path):
    log, names, low = [], set(), 0.5

    def train(cases, seed):
        log.append(seed)
        names.add(cases[0].name)
        return lambda image: image > low

    options = dict(labels={1: "LV"}, store=tmp_path, progress=False)
    evaluate_plan(train, CASES, PLAN, **options)
    first = evaluate_plan(train, CASES, PLAN, **options)
    assert len(log) == 7
    low = 0.9
    second = evaluate_plan(train, CASES, PLAN, **options)
    assert len(log) == 14 and second.score.mean() < first.score.mean()


def train_again(cases, seed):
    TRAINED.append(seed)
    return lambda image: image > 0.5


TRAINED: list = []


def test_an_interrupted_run_goes_on_with_the_next_entry(tmp_path):
    first = Trainer(fails_at=3)
    options = dict(labels={1: "LV"}, store=tmp_path, version="1", progress=False)

    with pytest.raises(KeyboardInterrupt):
        evaluate_plan(dict(net=first), CASES, PLAN, **options)
    assert len(first.asked) == 3
    second = Trainer()
    scores = evaluate_plan(dict(net=second), CASES, PLAN, **options)
    assert len(second.asked) == 4 and scores.entry.nunique() == 7
    third = Trainer()
    again = evaluate_plan(dict(net=third), CASES, PLAN, **options)
    assert third.asked == []
    pd.testing.assert_frame_equal(again, scores)
    evaluate_plan(dict(net=third), CASES, PLAN, **(options | dict(version="2")))
    assert len(third.asked) == 7


def test_other_images_are_trained_again(tmp_path):
    TRAINED.clear()
    options = dict(labels={1: "LV"}, store=tmp_path, progress=False)
    evaluate_plan(train_again, CASES, PLAN, **options)
    evaluate_plan(train_again, CASES, PLAN, **options)
    assert len(TRAINED) == 7
    changed = [case if case.name != "c0" else Case(case.image + 1, case.truth, "c0") for case in CASES]
    evaluate_plan(train_again, changed, PLAN, **options)
    assert len(TRAINED) > 7


@pytest.mark.parametrize(
    "train, error, words",
    [
        (lambda cases, seed: None, TypeError, "train must return a model, got None"),
        (lambda cases, seed: 3, TypeError, "train must return a model, got 3"),
        ("net", TypeError, "train must be a function"),
        ({}, ValueError, "train must be a function"),
        (dict(a=3), TypeError, "train must be a function"),
        (lambda cases, seed: lambda image: "nothing", (TypeError, ValueError), "predict|mask|model"),
    ],
)
def test_train_that_is_none(train, error, words):
    with pytest.raises(error, match=words):
        evaluate_plan(train, CASES, PLAN, progress=False)


def test_an_error_in_training_says_where():
    def train(cases, seed):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory") as caught:
        evaluate_plan(dict(net=train), CASES, PLAN, progress=False)
    assert "net, N" in caught.value.__notes__[0]


def test_cases_without_truth_or_without_what_the_plan_names():
    with pytest.raises(ValueError, match="case 'c3': a case must have a truth"):
        evaluate_plan(Trainer(), [c.replace(truth=None) if c.name == "c3" else c for c in CASES], PLAN)
    with pytest.raises(ValueError, match="have no 'c"):
        evaluate_plan(Trainer(), CASES[:5], PLAN)
    with pytest.raises(ValueError, match="same patient"):
        evaluate_plan(Trainer(), CASES, PLAN.assign(patient="p"))
    with pytest.raises(ValueError, match="metric"):
        evaluate_plan(Trainer(0), CASES, PLAN, metrics=["dcie"])


def table(curves, metric="dice", arm="net"):
    "{n: list of runs, each a list of scores of the images a, b, c ...} as a score table"
    rows = []
    for n, runs in curves.items():
        for run, scores in enumerate(runs, 1):
            entry = f"{n}, {run}"
            for i, score in enumerate(scores):
                case = chr(97 + i)
                rows.append((f"{arm} {entry}", case, "brightness", "factor", 1, "LV", metric, score, arm, entry, n))
    return pd.DataFrame(rows, columns=[*COLUMNS, "arm", "entry", "n_train"])


A = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97]


def test_medians_over_runs_then_over_images_and_mood():
    low = [[a - 0.3 for a in A], [a - 0.2 for a in A], [a - 0.4 for a in A]]
    curves = {80: [A], 40: [[a - 0.04 for a in A]], 20: low, 10: [[a - 0.01 for a in A]]}
    found = learning_table(table(curves)).set_index("n_train")
    assert np.allclose(found["median"].loc[[80, 40, 20, 10]], [0.935, 0.895, 0.635, 0.925])
    assert np.allclose(found["mean"].loc[20], np.mean(A) - 0.3) and np.isclose(found.sd[20], np.std(A, ddof=1))
    assert np.allclose(found.loss.loc[[80, 40, 20, 10]], [0, 0.04, 0.3, 0.01]) and found.runs[20] == 3
    expected = stats.median_test(A, low[0]).pvalue
    assert np.isclose(found.mood_p[20], expected) and found.mark[20] == "*" and found.mark[80] == ""
    assert found.within.loc[[80, 40, 20, 10]].tolist() == [True, True, False, True]
    few = fewest_images(table(curves)).iloc[0]
    # 10 is within the limit by chance: from 40 on all are
    assert (few.fewest, few.best) == (40, 80)
    assert np.isclose(few["median"], 0.895) and np.isclose(few.best_median, 0.935)
    assert fewest_images(table(curves), delta=0.03).fewest[0] == 80
    assert fewest_images(table(curves), delta=0.5).fewest[0] == 10


def test_lower_is_better_for_distances():
    curves = {40: [[2.0, 3, 4]], 20: [[2.5, 3.5, 4.5]], 10: [[7.0, 8, 9]]}
    few = fewest_images(table(curves, "hd95"), delta=1).iloc[0]
    assert (few.fewest, few.best, few.best_median) == (20, 40, 3)


def test_scores_that_are_no_number_are_left_out():
    curves = {40: [[0.9, np.nan, 0.8]], 20: [[np.nan, np.nan, 0.8]], 10: [[np.nan] * 3]}
    found = learning_table(table(curves)).set_index("n_train")
    assert found.cases.loc[[40, 20, 10]].tolist() == [2, 1, 0] and np.isnan(found["median"][10])
    assert not found.within[10]


def test_one_size_only_and_other_tables():
    with pytest.raises(ValueError, match="at least two numbers of training images, got \\[40\\]"):
        fewest_images(table({40: [A]}))
    with pytest.raises(ValueError, match="at least 3 different numbers"):
        learning_fits(table({40: [A], 20: [A]}), resamples=0)
    with pytest.raises(ValueError, match="the column 'entry'"):
        learning_table(table({40: [A]}).drop(columns="entry"))
    with pytest.raises(ValueError, match="delta must be"):
        learning_table(table({40: [A]}), delta=-1)


def test_the_power_law_is_that_of_scipy():
    sizes = np.array([5, 5, 10, 20, 40, 80, 80])
    rng = np.random.default_rng(0)
    errors = 0.1 + 0.9 * sizes**-0.6 + rng.normal(0, 0.01, len(sizes))

    def law(n, alpha, eta, gamma):
        return alpha + eta * n**gamma

    expected, _ = curve_fit(law, sizes, errors, p0=[0.1, 1, -0.5], bounds=([0, 0, -5], [np.inf, np.inf, 0]))
    found = fit_power_law(sizes, errors, resamples=0)
    assert np.allclose([found.alpha, found.eta, found.gamma], expected, rtol=0.02)
    assert np.allclose(found.error(sizes), law(sizes, *expected), atol=1e-4)


def test_bounds_hold_the_truth_as_often_as_they_say():
    sizes = np.array([5] * 8 + [10] * 6 + [20] * 4 + [40] * 4 + [80] * 4)
    rng = np.random.default_rng(1)
    inside = 0
    for trial in range(6):
        errors = 0.1 + 0.9 * sizes[:, None] ** -0.7 + rng.normal(0, 0.01, (len(sizes), 1)) + rng.normal(0, 0.02, 10)
        law = fit_power_law(sizes, errors, resamples=60, seed=trial)
        low, high = law.bounds(law.errors_drawn(160))
        inside += low <= 0.1 + 0.9 * 160**-0.7 <= high
    assert inside >= 4


def test_fits_say_what_twice_the_data_would_bring():
    curves = {n: [[1 - 0.05 - 2 / n] * 3] for n in (10, 20, 40, 80)}
    row = learning_fits(table(curves), resamples=20).iloc[0]
    assert np.allclose([row.alpha, row.eta, row.gamma], [0.05, 2, -1], rtol=1e-3)
    assert row.twice == 160 and np.isclose(row.error_twice, 0.05 + 2 / 160, atol=1e-5)
    assert np.isclose(row.gain, 2 / 80 - 2 / 160, atol=1e-5)
    assert row.gain_low <= row.gain + 1e-6 and row.gain_high >= row.gain - 1e-6
    with pytest.raises(ValueError, match="errors must be finite"):
        learning_fits(table({n: [[1.0, np.inf]] for n in (1, 2, 3)}, "hd95"), resamples=0)


def test_patients_are_drawn_together():
    rng = np.random.default_rng(0)
    sizes = np.repeat([5, 10, 20, 40], 3)
    shift = np.repeat(rng.normal(0, 0.1, 5), 6)  # six images of a patient have the same difficulty
    errors = 0.2 + sizes[:, None] ** -0.5 + shift
    alone = fit_power_law(sizes, errors, resamples=60)
    together = fit_power_law(sizes, errors, np.repeat(list("abcde"), 6), resamples=60)

    def width(law):
        low, high = law.bounds(law.errors_drawn(40))
        return high - low

    assert width(together) > 1.4 * width(alone)
    with pytest.raises(ValueError, match="units must be 30 names"):
        fit_power_law(sizes, errors, ["a"])


def bright(cases, seed):
    return lambda image: image > 0.3 + 0.01 * len(cases)


def test_tolerance_of_each_entry_is_that_of_summarise(tmp_path):
    from misas.analysis.summary import summarise

    cases = [phantom((32, 32), seed=s) for s in range(10)]
    plan = depletion(cases, shares=(0.8, 0.4), runs=2)
    scores = evaluate_plan(bright, cases, plan, Brightness(), [0.5, 0.8, 1, 1.2, 2], labels={1: "LV"}, progress=False)
    found = learning_tolerance(scores, delta=0.02)
    assert found.entry.tolist() == list(plan.entry.unique()) and found.n_train.tolist() == [8, 4, 8, 4]
    for row in found.itertuples():
        alone = summarise(scores[scores.entry == row.entry], delta=0.02, resamples=0).iloc[0]
        assert np.isclose(row.low, alone.tolerance_low) and np.isclose(row.high, alone.tolerance_high)
    for name in ("scores.csv", "scores.parquet"):
        save_scores(scores, tmp_path / name)
        again = read_scores(tmp_path / name)
        pd.testing.assert_frame_equal(learning_tolerance(again, delta=0.02), found, check_dtype=False)
