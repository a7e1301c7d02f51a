"From probabilities to labels: one threshold, or one for each label"

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from misas.core.model import Model, as_model
from misas.core.thresholds import (
    Thresholded,
    Thresholds,
    cases_of_threshold,
    checked_threshold,
    labels_above,
    structure_probabilities,
    thresholds_of_labels,
)
from misas.models.ensemble import Ensemble
from misas.models.sizes import PadTo

RNG = np.random.default_rng(0)
IMAGES = torch.as_tensor(RNG.random((2, 1, 6, 7)), dtype=torch.float32)
LOGITS = torch.as_tensor(3 * RNG.normal(size=(2, 4, 6, 7)), dtype=torch.float32)
NAMES = ["bg", "LV", "MY", "RV"]


class Gives(nn.Module):
    "A network that always says the same"

    def __init__(self, scores, last=None):
        super().__init__()
        self.scores = scores
        self.last = last or nn.Identity()

    def forward(self, x):
        return self.last(self.scores[: len(x)])


class Maps(Model):
    "A model of no framework that misas knows"

    labels = NAMES

    def __init__(self, maps):
        self.maps = maps

    def predict(self, images, template):
        return self.maps.argmax(1)

    def probabilities(self, images, template):
        return self.maps


def by_rule(p, thresholds):
    "Pixel by pixel: the most probable of the labels that exceed their threshold"
    out = np.zeros((len(p), *p.shape[2:]), int)
    for place in np.ndindex(out.shape):
        own = p[(place[0], slice(None), *place[1:])]
        exceeding = [k for k in range(1, len(own)) if own[k] > thresholds[k - 1]]
        out[place] = max(exceeding, key=lambda k: own[k]) if exceeding else 0
    return out


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(1)])
@pytest.mark.parametrize("threshold", [0.2, [0.1, 0.3, 0.6], [None, 0.1, 0.3, 0.6], {"LV": 0.1, "MY": 0.3, 3: 0.6}])
def test_softmax(last, threshold):
    each = (0.2,) * 3 if threshold == 0.2 else (0.1, 0.3, 0.6)
    p = LOGITS.softmax(1)
    wanted = by_rule(p.numpy(), each)
    assert len(np.unique(wanted)) == 4
    model = as_model(Gives(LOGITS, last), threshold=threshold, labels=NAMES)
    assert np.array_equal(model(IMAGES), wanted)
    assert np.array_equal(as_model(Maps(p), threshold=threshold)(IMAGES), wanted)
    assert np.array_equal(Ensemble([Maps(p), Maps(p)], "mean").with_threshold(threshold)(IMAGES), wanted)


@pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5)], ids=["2D", "3D"])
@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
def test_one_channel(shape, last):
    scores = torch.as_tensor(RNG.normal(size=(2, 1, *shape)), dtype=torch.float32)
    images = torch.zeros(2, 1, *shape)
    wanted = (scores[:, 0].sigmoid() > 0.3).int()
    for threshold in (0.3, [0.3], [None, 0.3], {1: 0.3}, {"LV": 0.3}):
        model = as_model(
            Gives(scores, last), threshold=threshold, labels=["bg", "LV"], output=None if last else "logits"
        )
        assert torch.equal(model(images), wanted)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
def test_structures_of_their_own(last):
    scores = LOGITS[:, :3]
    p = scores.sigmoid().numpy()
    for threshold, each in ((0.3, (0.3,) * 3), ([0.2, 0.5, 0.8], (0.2, 0.5, 0.8)), ({3: 0.8, 2: 0.5, "LV": 0.2}, None)):
        wanted = np.zeros((2, 6, 7), int)
        for k, t in enumerate(each or (0.2, 0.5, 0.8)):
            wanted[p[:, k] > t] = k + 1  # the later one covers
        model = as_model(Gives(scores, last), output="multilabel", threshold=threshold, labels=NAMES)
        assert np.array_equal(model(IMAGES), wanted)
        again = Thresholded(as_model(Gives(scores, last), output="multilabel", labels=NAMES), threshold)
        assert np.array_equal(again(IMAGES), wanted)


def test_half_is_what_the_highest_gives_where_any_is_above():
    p = (3 * LOGITS).softmax(1)
    labels = labels_above(p, (0.5,) * 3)
    sure = p.amax(1) > 0.5
    assert torch.equal(labels[sure], p.argmax(1)[sure]) and (labels[~sure] == 0).all()


def test_probability_of_a_structure_is_found_again():
    there = torch.as_tensor(RNG.random((3, 50)), dtype=torch.float64)
    there[:, :3] = torch.tensor([[1, 0, 1], [0, 0, 1], [0.5, 1, 0]], dtype=torch.float64)
    none_left = (1 - there).flip(0).cumprod(0).flip(0)
    later = torch.cat([none_left[1:], torch.ones_like(there[:1])])
    maps = torch.cat([none_left[:1], there * later])
    found = structure_probabilities(maps)
    seen = maps.cumsum(0)[1:] > 0
    assert torch.allclose(found[1:][seen], there[seen]) and torch.equal(found[0], maps[0])


@pytest.mark.parametrize(
    "threshold, error, words",
    [
        (0, ValueError, "threshold must be a number > 0 and < 1, got 0"),
        (1.0, ValueError, "> 0 and < 1"),
        (float("nan"), ValueError, "> 0 and < 1"),
        (True, TypeError, "threshold must be"),
        ("high", TypeError, "threshold must be"),
        ([], TypeError, "threshold must be"),
        ({}, TypeError, "threshold must be"),
        ([0.2, None], TypeError, "threshold must be"),
        ({1.5: 0.2}, TypeError, "keys are labels"),
        ({-1: 0.2}, TypeError, "keys are labels"),
        ({1: 2}, ValueError, "> 0 and < 1"),
    ],
    ids=str,
)
def test_what_is_no_threshold(threshold, error, words):
    with pytest.raises(error, match=words):
        as_model(Gives(LOGITS), threshold=threshold)


@pytest.mark.parametrize(
    "threshold, words",
    [
        ([0.2, 0.3], "threshold must be 3 numbers, one for each label of model 'net' but the background, got 2"),
        ({1: 0.2}, "given for each label of model 'net', 'MY', 'RV' among them"),
        ({"LV": 0.2, "MYO": 0.3, "RV": 0.4}, r"did you mean 'MY'\?"),
        ({1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2}, "key of threshold must be one of 0, 1, 2, 3"),
        ({1: 0.2, "LV": 0.2, 2: 0.2, 3: 0.2}, "'LV' has two"),
    ],
    ids=str,
)
def test_thresholds_that_do_not_fit_the_labels(threshold, words):
    with pytest.raises(ValueError, match=words):
        as_model(Gives(LOGITS), threshold=threshold, labels=NAMES, name="net")(IMAGES)
    with pytest.raises(ValueError, match=words):
        thresholds_of_labels(checked_threshold(threshold), 4, NAMES, "net")


def test_names_need_names():
    with pytest.raises(ValueError, match="labels= that name them"):
        as_model(Gives(LOGITS), threshold={"LV": 0.2})(IMAGES)


def test_background_has_no_threshold():
    with pytest.warns(UserWarning, match="threshold of the background, 0.9, is not used"):
        labels = as_model(Gives(LOGITS), threshold=[0.9, 0.2, 0.2, 0.2])(IMAGES)
    assert torch.equal(labels, as_model(Gives(LOGITS), threshold=0.2)(IMAGES))


def test_masks_have_no_threshold():
    with pytest.raises(ValueError, match="must give probabilities, for a threshold"):
        as_model(lambda image: image > 0.5, threshold=0.3)(IMAGES)
    with pytest.raises(ValueError, match="threshold must be None, since the network gives labels"):
        as_model(Gives(LOGITS.argmax(1)), threshold=0.3)(IMAGES)


def test_a_model_gets_other_thresholds_and_keeps_its_own():
    first = as_model(Gives(LOGITS), threshold=0.2)
    second = as_model(first, threshold=[0.1, 0.3, 0.6], name="second")
    assert second.name == "second" and first.threshold == 0.2
    assert np.array_equal(first(IMAGES), by_rule(LOGITS.softmax(1).numpy(), (0.2,) * 3))
    assert np.array_equal(second(IMAGES), by_rule(LOGITS.softmax(1).numpy(), (0.1, 0.3, 0.6)))
    third = as_model(as_model(Maps(LOGITS.softmax(1)), threshold=0.2), threshold=0.7)
    assert np.array_equal(third(IMAGES), by_rule(LOGITS.softmax(1).numpy(), (0.7,) * 3))


def test_in_another_size_and_with_other_labels():
    one = Gives(LOGITS[:, :1, :4, :4])
    padded = as_model(one, threshold=0.2, size=PadTo(4))
    assert torch.equal(padded(IMAGES[..., :3, :3]), (LOGITS[:, 0, :3, :3].sigmoid() > 0.2).int())
    merged = LOGITS.softmax(1)[:, 1:].sum(1) > 0.6
    for threshold in (0.6, [0.6], {"heart": 0.6}):
        model = as_model(Maps(LOGITS.softmax(1)), relabel={2: 1, 3: 1}, labels=["bg", "heart"])
        assert torch.equal(model.with_threshold(threshold)(IMAGES), merged.int())
    net = as_model(Gives(LOGITS), threshold={"heart": 0.6}, relabel={2: 1, 3: 1}, labels=["bg", "heart"])
    assert torch.equal(net(IMAGES), merged.int())


def test_cache_keys_and_cases():
    p = LOGITS.softmax(1)
    found = Thresholds({1: 0.1, 2: 0.3, 3: 0.6}, ["a", "b"])
    assert found == {1: 0.1, 2: 0.3, 3: 0.6} and pickle.loads(pickle.dumps(found)).cases == ("a", "b")
    for model in (as_model(Gives(LOGITS)), Maps(p)):
        chosen = as_model(model, threshold=found)
        same = as_model(model, threshold=dict(found))
        assert chosen.cache_key() == same.cache_key() != as_model(model, threshold=0.2).cache_key()
        assert chosen.cache_key() != model.cache_key()
        assert cases_of_threshold(chosen) == ("a", "b") and cases_of_threshold(same) == ()
        assert cases_of_threshold(Ensemble([model, chosen])) == ("a", "b")
        assert torch.equal(pickle.loads(pickle.dumps(chosen))(IMAGES), chosen(IMAGES))
