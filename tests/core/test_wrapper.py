"A model around a model hands on all that it does not change"

from contextlib import contextmanager

import torch

from misas.core.cases import Case
from misas.core.model import Model
from misas.core.wrapper import Wrapper


class Inner(Model):
    name = "inner"
    labels = ("background", "heart")
    batch_size = 4

    def __init__(self, limit=0.5):
        self.limit = limit
        self.sessions = 0

    @contextmanager
    def session(self):
        self.sessions += 1
        yield self
        self.sessions -= 1

    def prepare(self, case):
        return case.replace(image=case.image * 2)

    def predict(self, images, template):
        return images[:, 0] > self.limit

    def probabilities(self, images, template):
        return torch.cat([1 - images, images], 1)


class Negative(Wrapper):
    def __init__(self, model, strength=1):
        super().__init__(model)
        self.strength = strength


def test_everything_is_handed_on():
    case = Case(torch.rand(1, 3, 4))
    images = case.image[None]
    inner = Inner()
    model = Wrapper(inner)
    assert (model.name, model.labels, model.batch_size) == ("inner", ("background", "heart"), 4)
    assert model.device == torch.device("cpu")
    assert torch.equal(model(images), inner(images))
    assert torch.equal(model.probabilities(images, case), inner.probabilities(images, case))
    assert torch.equal(model.prepare(case).image, case.image * 2)
    assert Wrapper(lambda image: image > 0.5).probabilities(images, case) is None


def test_own_name_and_labels():
    model = Wrapper(Inner(), name="outer", labels=("a", "b"))
    assert (model.name, model.labels) == ("outer", ("a", "b"))


def test_what_changes_in_the_model_inside_is_seen():
    inner = Inner()
    model = Wrapper(inner)
    inner.batch_size = 2
    inner.device = torch.device("meta")
    assert model.batch_size == 2
    assert model.device == torch.device("meta")


def test_a_session_is_one_of_the_model_inside():
    inner = Inner()
    model = Wrapper(Wrapper(inner))
    with model.session() as opened:
        assert opened is model
        assert inner.sessions == 1
        with model.session():
            assert inner.sessions == 2
    assert inner.sessions == 0


def test_cache_key_is_of_the_wrapper_and_of_the_model_inside():
    keys = [
        Inner().cache_key(),
        Wrapper(Inner()).cache_key(),
        Wrapper(Inner(0.6)).cache_key(),
        Negative(Inner()).cache_key(),
        Negative(Inner(), 2).cache_key(),
        Wrapper(Inner(), name="outer").cache_key(),
    ]
    assert len(set(keys)) == len(keys)
    assert Negative(Inner(), 2).cache_key() == keys[4]


def test_a_version_of_the_model_inside_counts():
    first, second = Inner(), Inner()
    second.version = "2"
    assert Wrapper(first).cache_key() != Wrapper(second).cache_key()


def test_a_version_stands_for_what_is_inside_too():
    class Connected(Model):
        name = "connected"

        def __init__(self):
            self.file = open(__file__)

        def predict(self, images, template):
            return images[:, 0] > 0.5

    keys = {_versioned(Connected()) for _ in range(2)}
    assert len(keys) == 1


def _versioned(model) -> str:
    wrapped = Wrapper(model)
    wrapped.version = "1"
    key = wrapped.cache_key()
    model.file.close()
    return key
