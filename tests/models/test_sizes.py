"Images brought to a size, and back"

import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.core.model import Model, as_model
from misas.data.phantoms import phantom
from misas.models.sizes import CropTo, InSize, PadTo, ResizeTo, centred_slice
from misas.transforms.basic import resize_mask


class Halves(Model):
    "Takes multiples of 4 only, and remembers the shapes that it saw"

    seen = ()

    def predict(self, images, template):
        if any(n % 4 for n in images.shape[2:]):
            raise RuntimeError("sizes of tensors must match")
        self.seen += (tuple(images.shape),)
        return (images[:, 0] > 0.5).int()

    def probabilities(self, images, template):
        return torch.stack([1 - images[:, 0], images[:, 0]], 1).clamp(0, 1)


class Same(Model):
    def predict(self, images, template):
        return images[:, 0].int()


@pytest.fixture
def case():
    case = phantom((45, 38), seed=1)
    return Case(case.image / case.image.max(), case.truth, spacing=(2, 1))


@pytest.fixture
def bright(case):
    return (case.image > 0.5).int()


@pytest.fixture
def volume():
    return Case(torch.stack([torch.rand(5, 6, 7), torch.rand(5, 6, 7) + 100]))


@pytest.mark.parametrize("a, b", [(7, 10), (6, 11), (5, 5)])
def test_there_and_back_loses_nothing_that_fits(a, b):
    assert torch.equal(centred_slice(centred_slice(torch.arange(a), (b,)), (a,)), torch.arange(a))


def test_padding_is_undone(case, bright):
    model = as_model(Halves(), size=PadTo(4))
    assert torch.equal(model(case.image[None], case), bright) and model.model.seen == ((1, 1, 48, 40),)
    assert torch.equal(model.probabilities(case.image[None], case)[:, 1], case.image.clamp(0, 1))
    assert as_model(Same(), size=PadTo(4)).probabilities(case.image[None], case) is None


def test_volumes_channels_and_sides_of_different_multiples(volume):
    padded = PadTo((1, 8, 4)).apply(volume.image[None], volume.background)
    assert padded.shape == (1, 2, 5, 8, 8)
    assert torch.allclose(padded[0, 1, :, 0, 0], volume.background[1])
    assert (padded[0, 0] < 1).all()
    assert torch.equal(PadTo((1, 8, 4)).undo_scores(padded, (5, 6, 7))[0], volume.image)


def test_each_image_is_padded_with_its_own_background():
    both = torch.stack([torch.zeros(1, 5, 6), torch.ones(1, 5, 6)])
    seen = PadTo(8).apply(both, torch.stack([Case(b).background for b in both]))
    assert not seen[0].any() and seen[1].all()
    assert torch.equal(as_model(Same(), size=CropTo(9))(both, Case(both[0])), both[:, 0].int())


def test_a_fill_of_ones_own():
    image = torch.zeros(1, 1, 5, 6)
    assert PadTo(8, fill=3).apply(image, torch.zeros(1)).max() == 3


def test_what_was_cropped_is_background(case, bright):
    cropped = as_model(Halves(), size=CropTo((24, 60)))
    found, inside = cropped(case.image[None], case)[0], torch.zeros(case.shape, dtype=torch.bool)
    inside[10:34] = True
    assert torch.equal(found[inside], bright[0][inside]) and not found[~inside].any()
    assert (cropped.probabilities(case.image[None], case).sum(1) == 1).all()


@pytest.mark.parametrize("size", [ResizeTo(64), ResizeTo((64, 32)), ResizeTo(64, keep_aspect=True)])
def test_resizing(case, size):
    heart = Case((case.truth > 0).float(), case.truth)
    model = as_model(Halves(), size=size)
    found = model(heart.image[None], heart)
    overlap = 2 * (found[0] & (heart.truth > 0)).sum() / (found.sum() + (heart.truth > 0).sum())
    assert model.model.seen[0][2:] == ((64, 64) if size.shape == 64 else (64, 32))
    assert found.shape == (1, 45, 38) and overlap > 0.93
    assert torch.allclose(model.probabilities(heart.image[None], heart).sum(1), torch.ones(()), atol=1e-5)


def test_an_integer_multiple_and_back_loses_nothing(case, volume):
    enlarged = resize_mask(case.truth, (90, 76))[None]
    assert torch.equal(ResizeTo((90, 76)).undo_labels(enlarged, case.shape)[0], case.truth)
    assert ResizeTo((10, 12, 14)).apply(volume.image[None], volume.background).shape == (1, 2, 10, 12, 14)


def test_the_model_inside_is_told_the_spacing(case):
    class Told(Same):
        def predict(self, images, template):
            self.spacing = template.spacing
            return super().predict(images, template)

    for size, spacing in ((ResizeTo((90, 19)), (1, 2)), (PadTo(16), (2, 1)), (CropTo(16), (2, 1))):
        model = as_model(Told(), size=size)
        model(case.image[None], case)
        assert model.model.spacing == spacing


@pytest.mark.parametrize(
    "bad, word",
    [
        (lambda: PadTo(0), "multiple must be integers >= 1.*got 0"),
        (lambda: PadTo(fill=np.nan), "fill .*nan"),
        (lambda: ResizeTo((3, 2.5)), "shape must be"),
        (lambda: CropTo(()), "shape must be"),
        (lambda: ResizeTo((8, 8)).apply(torch.rand(1, 2, 5, 6, 7), torch.zeros(2)), "one or 3 integers"),
    ],
)
def test_sizes_that_are_none(bad, word):
    with pytest.raises(ValueError, match=word):
        bad()


def test_all_else_is_that_of_the_model_inside():
    inner = as_model(torch.nn.Conv2d(1, 2, 1), name="net", labels=["a", "b"])
    inner.batch_size = 7
    model = as_model(inner, size=PadTo(16))
    assert isinstance(model, InSize)
    assert (model.name, model.labels, model.batch_size) == ("net", ("a", "b"), 7)
    with model.session():
        assert inner._sessions._open
    assert model.cache_key() != as_model(inner, size=PadTo(32)).cache_key()
    assert model.cache_key() == as_model(inner, size=PadTo(16)).cache_key()
