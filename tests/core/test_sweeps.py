"Sweeps: lazy, in batches that never show, in a session of the model"

import math
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from misas.core import memory
from misas.core.cases import Case
from misas.core.model import Model
from misas.core.sweeps import checked_values, get_series, sweep
from misas.core.transform import Intensity, as_transform
from misas.data.phantoms import phantom
from misas.transforms.basic import Rotate


@pytest.fixture
def case():
    image = np.random.default_rng(0).random((7, 9)).astype("float32")
    return Case(image, truth=(image > 0.5).astype(int), name="noise")


@dataclass(frozen=True)
class Add(Intensity):
    param, neutral, values = "amount", 0, (0, 1, 2)

    def change(self, image, value, case):
        return image + value


def bright(image):
    return image > 0.5


class Watched(Model):
    "Counts batches and open sessions"

    def __init__(self):
        self.sizes = []
        self.opened = 0
        self.sessions = 0

    @contextmanager
    def session(self):
        self.opened += 1
        self.sessions += self.opened == 1
        try:
            yield self
        finally:
            self.opened -= 1

    def predict(self, images, template):
        assert self.opened
        self.sizes.append(len(images))
        return images[:, 0] > 0.5


def test_steps_of_a_sweep(case):
    steps = list(sweep(bright, case, Add(), progress=False))
    assert [s.value for s in steps] == [0, 1, 2]
    assert torch.equal(steps[0].pred, case.truth)
    assert steps[2].pred.all()
    assert torch.equal(steps[1].image, case.image + 1)


def test_a_sweep_is_lazy(case):
    model = Watched()
    steps = sweep(model, case, Add(), progress=False)
    assert model.sizes == []
    assert next(steps).value == 0
    assert model.sizes == [1]


def test_batches_never_show(case):
    grow = as_transform(lambda x, v: np.pad(x, v // 2), mask=lambda m, v: np.pad(m, v // 2), name="grow", neutral=0)
    model = Watched()
    single, together = (list(sweep(model, case, grow, range(6), batch_size=b, progress=False)) for b in (1, 4))
    assert model.sizes == [1] * 6 + [2, 2, 2]
    for a, b in zip(single, together):
        assert a.value == b.value
        assert torch.equal(a.pred, b.pred)
        assert torch.equal(a.truth, b.truth)


# values


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(values=[]), "values for add must be at least one value"),
        (dict(values=[0, math.inf]), "inf"),
        (dict(values="12"), "amount of add must be a finite number, got '12'"),
        (dict(values=[[1, 2]]), r"amount of add must be .*, got \[1, 2\]"),
        (dict(values=torch.zeros(2, 2)), "amount of add must be .*, got tensor"),
        (dict(batch_size=0), "batch_size must be an integer >= 1 or None, got 0"),
    ],
)
def test_bad_values(case, options, message):
    with pytest.raises(ValueError, match=message):
        sweep(lambda x: x, case, Add(), **options)


@pytest.mark.parametrize("bad", [{1, 2}, {"add": [1]}])
def test_values_must_have_an_order(case, bad):
    with pytest.raises(TypeError, match="values must be one value, or several in an order"):
        sweep(lambda x: x, case, Add(), bad)


@pytest.mark.parametrize(
    "values",
    [
        2,
        [2],
        (2,),
        np.array(2),
        np.array([2]),
        torch.tensor(2),
        torch.tensor([2]),
        range(2, 3),
        (v for v in [2]),
        map(int, "2"),
        {2: "two"}.keys(),
    ],
    ids=lambda values: type(values).__name__,
)
def test_forms_of_values(case, values):
    assert checked_values(Add(), values, case) == [2]


def test_an_error_says_at_which_value(case):
    with pytest.raises(TypeError, match=r"float32.*at amount = 0 of add"):
        list(sweep(lambda x: x, case, Add(), progress=False))


# sessions and memory


def test_a_sweep_has_one_session(case):
    model = Watched()
    list(sweep(model, case, Add(), progress=False))
    assert (model.sessions, model.opened) == (1, 0)


def test_a_sweep_that_is_given_up_ends_its_session(case):
    model = Watched()
    steps = sweep(model, case, Add(), progress=False)
    next(steps)
    assert model.opened == 1
    steps.close()
    assert model.opened == 0


@pytest.mark.parametrize("truth", [True, False], ids=["with truth", "without"])
def test_a_series_has_one_session(case, truth):
    model = Watched()
    get_series(model, case if truth else case.replace(truth=None), Add(), progress=False)
    assert (model.sessions, model.opened) == (1, 0)


def test_a_sweep_leaves_the_settings_of_the_process_alone(case, monkeypatch):
    monkeypatch.setattr(memory, "_keep_freed_memory", lambda: pytest.fail("settings of malloc were changed"))
    assert len(list(sweep(bright, case, Add(), progress=False))) == 3


# series


def test_a_series_is_a_sequence_of_steps(case):
    series = get_series(bright, case, Add(), progress=False)
    assert len(series) == 3
    assert series[1].value == 1
    assert series[1:].values == [1, 2]
    assert series.model == "bright"
    assert [s.value for s in series] == [0, 1, 2]


def test_without_truth_a_step_has_a_reference(case):
    blind = get_series(bright, case.replace(truth=None), Add(), [1, 2], progress=False)
    unchanged = next(sweep(bright, case, Add(), [0], progress=False)).pred
    assert all(s.truth is None and torch.equal(s.reference, unchanged) for s in blind)
    seen = get_series(bright, case.replace(truth=unchanged), Add(), progress=False)
    assert all(s.reference is None for s in seen)


def test_a_step_is_printed_without_its_pixels():
    series = get_series(lambda image: image > 0.5, phantom((16, 18), seed=1), Rotate(), [30], progress=False)
    text = repr(series[0])
    assert text.startswith("Step(value=30, image (1, 16, 18), spacing (")
    assert text.endswith("pred with labels [0, 1])")
    assert len(text) < 200
