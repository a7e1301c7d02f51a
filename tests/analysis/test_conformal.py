"Conformal thresholds: MAPIE, closed form, held-out coverage, bad input"

import numpy as np
import pytest
import torch

from misas.analysis.conformal import _TRIED, conformal_threshold, missed_shares
from misas.core.cases import Case
from misas.core.model import Model
from misas.data.phantoms import phantom
from misas.models.demo import demo_model

pytest.importorskip("mapie")


class Own(Model):
    "The image is the probability of label 1"

    name = "own"

    def __call__(self, batch, template=None):
        return (batch[:, 0] > 0.5).int()

    def probabilities(self, batch, template=None):
        return torch.stack([1 - batch[:, 0], batch[:, 0]], 1)


def made(n, seed=0, **more):
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(n):
        image, truth = rng.random((1, 8, 9)), rng.random((8, 9)) < 0.4
        image[0][truth] **= rng.uniform(0.2, 0.8)
        truth = torch.tensor(truth, dtype=torch.int32)
        cases.append(Case(torch.tensor(image, dtype=torch.float32), truth, name=f"c{i}", **more))
    return cases


def test_missed_shares_by_hand():
    case = made(1)[0]
    found = missed_shares(Own(), case, 1, [0.2, 0.5])
    inside = case.image[0][case.truth == 1]
    assert found.loc["c0"].tolist() == pytest.approx([(inside <= t).float().mean().item() for t in (0.2, 0.5)])


def test_as_mapies_controller():
    from mapie.risk_control import SemanticSegmentationController

    cases = made(40)
    maps = np.stack([case.image.numpy() for case in cases]).astype(float)
    truths = np.stack([case.truth.numpy() for case in cases])[:, None]
    for method, sure in (("crc", None), ("rcps", 0.9)):
        controller = SemanticSegmentationController(
            lambda x: x, "recall", method, 0.7, sure, "hoeffding" if sure else None
        )
        controller.calibrate(maps, truths.reshape(40, -1))
        found = conformal_threshold(Own(), cases, missed=0.3, method=method, confidence=sure or 0.95)
        assert found.threshold == pytest.approx(controller.best_predict_param[0])


def test_closed_form_and_words():
    cases = made(30)
    found = conformal_threshold(Own(), cases, missed=0.2)
    risk = missed_shares(Own(), cases, 1).mean()
    upper = (30 * risk + 1) / 31
    assert found.threshold == pytest.approx(_TRIED[(upper < 0.2).to_numpy()].max())
    assert found.bound == pytest.approx(upper.iloc[round(100 * found.threshold)]) and found.cases == 30
    assert found.sentence.endswith("at most 20 % of 1 is missed in the mean over cases like these (30 cases)")


def test_the_mean_is_held_in_new_cases():
    missed = []
    for seed in range(30):
        found = conformal_threshold(Own(), made(20, seed), missed=0.2)
        missed.append(missed_shares(Own(), made(20, 1000 + seed), 1, [found.threshold]).mean().item())
    assert np.mean(missed) <= 0.2 + 3 * np.std(missed) / np.sqrt(30)


def test_cases_without_the_label_and_pixels_that_are_not_annotated():
    cases = made(20, ignore=255)
    truth = cases[1].truth.clone()
    truth[:4] = 255
    cases[0] = cases[0].replace(truth=torch.zeros(8, 9, dtype=torch.int32))
    cases[1] = cases[1].replace(truth=truth)
    found = conformal_threshold(Own(), cases, missed=0.3)
    assert (found.cases, found.left_out) == (19, 1)
    inside = cases[1].image[0][truth == 1]
    assert missed_shares(Own(), cases, 1, [0.5]).loc["c1"].item() == pytest.approx(
        (inside <= 0.5).float().mean().item()
    )


def test_repeated_patients_are_said():
    cases = [case.replace(columns=dict(patient=i // 2)) for i, case in enumerate(made(20))]
    with pytest.warns(UserWarning, match="several cases are of one patient"):
        conformal_threshold(Own(), cases, missed=0.3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: conformal_threshold(Own(), made(9), missed=0.1), "cases must be at least 10 cases"),
        (lambda: conformal_threshold(Own(), made(30), missed=0), "missed must be"),
        (lambda: conformal_threshold(Own(), made(30), missed=1), "missed must be"),
        (lambda: conformal_threshold(Own(), made(30), method="ltt"), "method must be"),
        (lambda: conformal_threshold(Own(), made(30), method="rcps"), "cases must be more cases"),
        (lambda: conformal_threshold(Own(), made(30), label=3), "label must be"),
        (lambda: conformal_threshold(lambda x: x > 0.5, made(3)), "gives no probabilities"),
        (lambda: conformal_threshold(demo_model(), phantom((32, 32)).replace(truth=None)), "truth"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
