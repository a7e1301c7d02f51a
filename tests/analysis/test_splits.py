"Plans: which cases to train with and which to test with"

import pandas as pd
import pytest

from misas.analysis.splits import check_plan, depletion, partitions, random_splits, split_balance, split_overlap
from misas.data.phantoms import phantom


def make(n, **columns):
    "n small cases, with columns {name: function of the number}"
    one = phantom((16, 16), seed=0)
    return [one.replace(name=f"c{i}", columns={name: value(i) for name, value in columns.items()}) for i in range(n)]


CASES = make(20)


def parts(plan, part):
    return {entry: set(rows.case[rows.part == part]) for entry, rows in plan.groupby("entry", sort=False)}


def test_five_random_splits_of_80_to_20():
    plan = random_splits(CASES)
    train, test = parts(plan, "train"), parts(plan, "test")
    assert list(train) == [f"split {i}" for i in range(1, 6)]
    assert all(len(train[e]) == 16 and len(test[e]) == 4 and not train[e] & test[e] for e in train)
    assert len(set(map(frozenset, test.values()))) == 5
    assert random_splits(CASES).equals(plan) and not random_splits(CASES, seed=1).equals(plan)
    assert random_splits(CASES, n=2).equals(plan[plan.run <= 2])  # more splits leave the first as they are


def test_depletion_is_nested_and_moves_cases_to_the_test_set():
    plan = depletion(CASES, runs=3)
    for _, run in plan.groupby("run"):
        train, test = parts(run, "train"), parts(run, "test")
        assert [len(s) for s in train.values()] == [16, 12, 8, 4, 2]
        sets = list(train.values())
        assert all(small < large for large, small in zip(sets, sets[1:]))
        assert all(train[e] | test[e] == {c.name for c in CASES} and not train[e] & test[e] for e in train)
    assert plan.share.unique().tolist() == [0.8, 0.6, 0.4, 0.2, 0.1]


def test_partitions_are_disjoint_with_the_same_test_set():
    plan = partitions(make(40))
    train, test = parts(plan, "train"), parts(plan, "test")
    assert len(set(map(frozenset, test.values()))) == 1 and len(test["N"]) == 8
    for k in range(5):
        names = ["N"] if k == 0 else [f"N/{2**k}, part {i}" for i in range(1, 2**k + 1)]
        assert [len(train[name]) for name in names] == [32 // 2**k] * 2**k
        assert set.union(*(train[name] for name in names)) == train["N"]
    assert plan[plan.n_train == 2].run.max() == 16


def test_a_test_set_can_be_named():
    plan = partitions(CASES, test=["c3", "c7"], halvings=1)
    assert parts(plan, "test")["N"] == {"c3", "c7"}
    with pytest.raises(ValueError, match="test must name cases, got 'c77'"):
        partitions(CASES, test=["c77"])


PATIENTS = make(24, patient=lambda i: i % 6)  # four images each


@pytest.mark.parametrize(
    "plan",
    [random_splits(PATIENTS, share=0.5), depletion(PATIENTS, shares=(0.7, 0.3)), partitions(PATIENTS, halvings=2)],
)
def test_patients_stay_together(plan):
    for _, rows in plan.groupby("entry"):
        own = rows.groupby("part").patient.agg(set)
        assert not own.train & own.test
        assert (rows.groupby("patient").part.nunique() == 1).all()
    check_plan(plan)


def test_patients_in_a_column_of_another_name_or_not_at_all():
    subjects = make(8, subject=lambda i: i // 2)
    plan = random_splits(subjects, share=0.5, patient="subject")
    assert (plan.groupby(["entry", "subject"]).part.nunique() == 1).all()
    with pytest.raises(ValueError, match="patient must be one of the cases' columns, 'subject', got 'subjct'"):
        random_splits(subjects, patient="subjct")
    lacking = [*subjects, phantom((16, 16), seed=1)]
    with pytest.raises(ValueError, match="case 'phantom-1' has none there"):
        random_splits(lacking, patient="subject")
    independent = random_splits(make(8, patient=lambda i: i // 2), n=20, share=0.5, patient=None)
    assert (independent.groupby(["entry", "patient"]).part.nunique() > 1).any()


def test_balance_of_groups_counts_by_hand():
    cases = make(10, scanner=lambda i: "rare" if i == 0 else "A" if i < 6 else None)
    plan = random_splits(cases, n=1)
    table = split_balance(plan, "scanner")
    assert len(table) == 3 and table.train.sum() == 8 and table.test.sum() == 2
    for row in table.itertuples():
        own = plan[plan.scanner.isna()] if pd.isna(row.scanner) else plan[plan.scanner == row.scanner]
        assert row.train == (own.part == "train").sum() and row.test == (own.part == "test").sum()
        assert row.train_share == row.train / 8 and row.difference == row.test / 2 - row.train / 8
    rare = table[table.scanner == "rare"].iloc[0]
    assert rare.note in ("none to test with", "none to train with")
    with pytest.raises(ValueError, match="by must be one of 'scanner', got 'scaner'"):
        split_balance(plan, "scaner")
    with pytest.raises(ValueError, match="they have none"):
        split_balance(random_splits(CASES), "scanner")


def test_overlap_of_test_sets():
    plan = random_splits(CASES, n=4)
    test = parts(plan, "test")
    table = split_overlap(plan)
    assert all(table.loc[a, b] == len(test[a] & test[b]) for a in test for b in test)
    assert (split_overlap(plan, share=True) == table / 4).all(axis=None)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: partitions(CASES, halvings=5), "halvings must be at most 4: 32 parts of 16 cases"),
        (lambda: random_splits(CASES[:1]), "cases must be enough"),
        (lambda: depletion(CASES[:4]), "cases must be enough to train with 10%"),
        (lambda: depletion(CASES, shares=(0.2, 0.4)), "each smaller than the one before"),
        (lambda: depletion(CASES, shares=(0.8, 0.79)), "different numbers of cases"),
        (lambda: random_splits(CASES, share=1), "cases must be enough to train with 100%"),
        (lambda: random_splits([]), "at least one case"),
        (lambda: random_splits(make(3, part=str)), "must not have the name 'part'"),
    ],
)
def test_bad_plans_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_plans_of_ones_own_are_checked():
    plan = random_splits(CASES, n=1)
    with pytest.raises(TypeError, match="plan must be a table"):
        check_plan([1])
    with pytest.raises(ValueError, match="without 'part'"):
        check_plan(plan.drop(columns="part"))
    with pytest.raises(ValueError, match="at least one entry"):
        check_plan(plan[:0])
    with pytest.raises(ValueError, match="a case to test with, got none"):
        check_plan(plan[plan.part == "train"])
    both = pd.concat([plan, plan[:1].assign(part="test")])
    with pytest.raises(ValueError, match="must not train and test with the same case"):
        check_plan(both)
    with pytest.raises(ValueError, match="images of the same patient"):
        check_plan(plan.assign(patient="p1"))
