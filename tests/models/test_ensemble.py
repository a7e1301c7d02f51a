"Votes, and models that vote"

import numpy as np
import pytest
import torch

from misas.core.cases import Case, Source
from misas.core.model import Model, as_model
from misas.data.phantoms import phantom
from misas.metrics.fusion import majority, staple
from misas.models.ensemble import VOTES, Ensemble, _majority, _union


class Sure(Model):
    "Says label 1 with a fixed probability wherever the image is bright"

    def __init__(self, p):
        self.p, self.name, self.labels = p, f"sure {p}", ["bg", "bright"]

    def probabilities(self, images, template):
        p = (images[:, 0] > 120).float() * self.p
        return torch.stack([1 - p, p], 1)

    def predict(self, images, template):
        return self.probabilities(images, template).argmax(1)


def brighter(than):
    return as_model(lambda image: image > than, name=f"> {than}")


@pytest.fixture
def case():
    case = phantom((48, 40), seed=0)
    return Case((case.image[0] / case.image.max() * 255).round(), case.truth)


@pytest.fixture
def members():
    return [brighter(t) for t in (140, 100, 120)]


@pytest.fixture
def many():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 4, (5, 1, 9, 7)))


@pytest.mark.parametrize("method", ["majority", "union", "intersection"])
def test_background_alone(method):
    assert not VOTES[method](torch.zeros(2, 1, 4, dtype=torch.int32)).any()


def test_simpleitk_agrees_where_nothing_ties(many):
    same = majority(list(many[:, 0]), undecided=99)
    assert torch.equal(_majority(many)[0][same != 99].int(), same[same != 99])


def test_votes_are_counted(many):
    counts = torch.stack([(many == k).sum(0) for k in range(4)])
    assert torch.equal(_majority(many), counts.max(0).indices)
    assert torch.equal(_union(many), torch.where(counts[1:].amax(0) > 0, counts[1:].max(0).indices + 1, 0))


def test_large_labels_are_few_labels(many):
    far = many.int() * 700_000_000
    assert torch.equal(_majority(far), _majority(many).int() * 700_000_000)
    assert torch.equal(_union(far), _union(many).int() * 700_000_000)


@pytest.mark.parametrize("method, than", [("union", 100), ("majority", 120), ("intersection", 140)])
def test_thresholds(case, members, method, than):
    assert torch.equal(Ensemble(members, method)(case.image[None], case)[0], (case.image[0] > than).int())


def test_staple(case, members):
    expected = staple([m(case.image[None], case)[0] for m in members]).mask
    assert torch.equal(Ensemble(members, "staple")(case.image[None], case)[0], expected)


def test_names(members):
    assert as_model(members).name == "majority(> 140, > 100, > 120)"
    assert as_model(members, method="union", name="any of them").name == "any of them"


def test_mean_of_probabilities(case):
    pair = Ensemble([Sure(0.9), Sure(0.3)], "mean")
    expected = 0.6 * (case.image > 120).float()
    assert torch.allclose(pair.probabilities(case.image[None], case)[:, 1], expected)
    assert pair(case.image[None], case).any()
    assert not Ensemble([Sure(0.6), Sure(0.3)], "mean")(case.image[None], case).any()
    assert pair.labels == ["bg", "bright"]


def test_volumes():
    volume = phantom((4, 24, 20), seed=1).replace(source=Source("array", "float32", "none"))
    voted = Ensemble([lambda x: x > 0.5] * 3)(volume.image[None], volume)[0]
    assert torch.equal(voted, (volume.image[0] > 0.5).int())


def test_what_cannot_vote(case, members):
    small = as_model(Sure(0.9))
    small.prepare = lambda case: case.replace(image=case.image[:, ::2, ::2])
    with pytest.raises(ValueError, match="method must be one of .*got 'vote'"):
        Ensemble(members, "vote")
    with pytest.raises(ValueError, match="models must be at least one"):
        Ensemble([])
    with pytest.raises(ValueError, match="gives no probabilities"):
        Ensemble(members, "mean")(case.image[None], case)
    with pytest.raises(ValueError, match=r"must have the size of the image, \(48, 40\), got \(24, 20\)"):
        Ensemble([Sure(0.9), small])(case.image[None], case)
    with pytest.raises(ValueError, match="must have the same labels"):
        as_model([Sure(0.9), as_model(lambda x: x > 0, labels=["a", "b"])])


def test_how_is_now_method(case, members):
    with pytest.warns(DeprecationWarning, match="argument how of .*Ensemble.* is now called method"):
        old = Ensemble(members, how="union")
    with pytest.warns(DeprecationWarning, match="how is now called method"):
        assert old.how == "union"
    assert old.method == "union" and old.name == Ensemble(members, "union").name
    with pytest.warns(DeprecationWarning, match="how"):
        assert as_model(members, how="union").method == "union"


def test_sessions_of_all_members():
    nets = [as_model(torch.nn.Conv2d(1, 2, 1), name=str(i)) for i in range(3)]
    with Ensemble(nets).session():
        assert all(net._sessions._open for net in nets)
    assert not any(net._sessions._open for net in nets)
