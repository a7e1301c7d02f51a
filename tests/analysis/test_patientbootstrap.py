"Bounds by drawing patients, and corrections that are named"

import numpy as np
import pandas as pd
import pytest

import misas as ms
from misas.analysis.measures import bootstrap_curves

VALUES = [0, 10, 20]


def table(losses, patients=None, labels=("LV",)):
    "One case for each row of losses at 10 and 20"
    rows = []
    for label in labels:
        for k, (first, second) in enumerate(losses):
            for value, score in zip(VALUES, (0.9, 0.9 - first, 0.9 - second)):
                row = dict(model="m", case=f"c{k}", transform="rotation", param="deg", value=value, label=label)
                rows.append(
                    row | dict(metric="dice", score=score) | ({} if patients is None else dict(patient=patients[k]))
                )
    return pd.DataFrame(rows)


RNG = np.random.default_rng(0)
OF_PATIENT = RNG.uniform(0, 0.2, 10)
LOSSES = np.repeat(OF_PATIENT, 4)[:, None] * [0.5, 1] + RNG.normal(0, 0.005, (40, 2))
PATIENTS = np.repeat([f"p{k}" for k in range(10)], 4)


def width(summary):
    return (summary.drop_upper - summary.drop_lower).iloc[0]


def test_images_of_a_patient_are_drawn_together():
    by_case = ms.summarise(table(LOSSES))
    by_patient = ms.summarise(table(LOSSES, PATIENTS))
    assert (by_case.attrs["resampled"], by_patient.attrs["resampled"]) == ("cases", "patients")
    assert by_case["drop"].equals(by_patient["drop"])
    # 4 images of a patient that lose alike count once: bounds are about twice as wide
    assert 1.6 < width(by_patient) / width(by_case) < 2.4
    means = LOSSES[:, 1].reshape(10, 4).mean(1)
    alone = ms.summarise(table(np.column_stack([means / 2, means])))
    assert width(by_patient) == pytest.approx(width(alone), rel=0.1)
    named = ms.summarise(table(LOSSES, PATIENTS).rename(columns=dict(patient="person")), patient="person")
    pd.testing.assert_frame_equal(named, by_patient)


def test_patients_of_one_image_change_nothing():
    by_case = ms.summarise(table(LOSSES))
    each = ms.summarise(table(LOSSES, [f"p{k}" for k in range(40)]))
    pd.testing.assert_frame_equal(each, by_case)
    assert each.attrs["resampled"] == "patients"


def test_draws_are_numpys():
    curves = RNG.uniform(0, 1, (6, 3))
    patient = np.array([0, 0, 1, 1, 1, 2])
    times = np.random.default_rng(3).multinomial(3, np.full(3, 1 / 3), size=50)[:, patient]
    expected = times @ curves / times.sum(1, keepdims=True)
    assert np.allclose(bootstrap_curves(curves, 50, 3, patient=patient), expected)


def test_one_patient_has_no_bounds():
    found = ms.summarise(table(LOSSES[:4], ["p"] * 4)).iloc[0]
    assert np.isnan(found.drop_lower) and found.cases == 4 and found["drop"] > 0


def test_corrections_are_named_and_depend_on_the_rows():
    losses = np.zeros((40, 2))
    one, three = (table(losses, labels=labels) for labels in (("LV",), ("LV", "MY", "RV")))
    for make in (ms.summarise, ms.guarantee):
        alone, together = make(one), make(three)
        assert alone.attrs["correction"] == {"m": "none"}
        assert together.attrs["correction"] == {"m": "bonferroni (3 statements)"}
        assert set(together.correction) == {"bonferroni (3 statements)"}
    assert ms.summarise(one).patients_needed.iloc[0] < ms.summarise(three).patients_needed.iloc[0]


def test_a_study_draws_the_patients_of_its_column(tmp_path):
    cases = [ms.phantom((48, 48), seed=k) for k in range(4)]
    cases = [case.replace(columns=dict(person=f"p{k // 2}")) for k, case in enumerate(cases)]
    found = ms.study(
        ms.demo_model(), cases, ["brightness"], dict(brightness=[0.6, 1]), labels={1: "LV"}, patient="person",
        out=tmp_path, floor=False, preparation=False, augmentation=False, pictures=False, progress=False,
    )  # fmt: skip
    pd.testing.assert_frame_equal(found.summary, ms.summarise(found.scores, patient="person"))
    assert "a bootstrap over patients" in (tmp_path / "report.html").read_text()
