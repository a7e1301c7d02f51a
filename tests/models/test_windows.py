"Slices and windows give what the model gives for each of them"

import numpy as np
import pytest
import torch

from misas.core.model import as_model
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.models.demo import demo_model
from misas.models.sizes import PadTo
from misas.models.windows import SliceWise, SlidingWindow, _slice_of


@pytest.fixture(scope="module")
def volume():
    return phantom((6, 48, 40), seed=1)


@pytest.fixture(scope="module")
def flat():
    return as_model(demo_model(), name="demo")


def nearly(a, b):
    "Equal but for pixels where two classes tie"
    return a.shape == b.shape and (a == b).float().mean() > 0.999


def test_slices_are_cases(volume):
    piece = _slice_of(volume, 0, 2)
    assert torch.equal(piece.image, volume.image[:, 2]) and torch.equal(piece.truth, volume.truth[2])
    assert piece.spacing == volume.spacing[1:] and piece.scale == volume.scale
    assert _slice_of(volume, 1, 5).shape == (6, 40) and _slice_of(volume, 2, 5).spacing == volume.spacing[:2]


@pytest.mark.parametrize("axis", range(3))
def test_slices_of_the_prediction_are_predictions_for_slices(volume, flat, axis):
    model = SliceWise(flat, axis, batch_size=4)
    mask = model(volume.image[None], volume)[0]
    maps = model.probabilities(volume.image[None], volume)[0]
    for k in range(0, volume.shape[axis], 5):
        piece = _slice_of(volume, axis, k)
        assert nearly(mask.select(axis, k), flat(piece.image[None], piece)[0])
        expected = flat.probabilities(piece.image[None], piece)[0]
        assert torch.allclose(maps.select(axis + 1, k), expected, atol=1e-4)
    assert mask.shape == volume.shape and maps.shape == (4, *volume.shape)


def test_several_volumes_and_single_slices(volume, flat):
    two = torch.stack([volume.image, volume.image.flip(1)])
    model = SliceWise(flat)
    assert nearly(model(two, volume)[1], model(two[1:], volume)[0])
    assert (model.name, model.labels, model.batch_size) == ("demo", flat.labels, 1)
    piece = _slice_of(volume, 2, 5)
    assert torch.equal(model(piece.image[None], piece), flat(piece.image[None], piece))  # a slice is a slice
    assert model.probabilities(piece.image[None], piece).shape == (1, 4, *piece.shape)
    assert SliceWise(lambda image: image > 0.5).probabilities(volume.image[None], volume) is None


def test_a_2d_network_alone_says_what_to_do(volume, flat):
    with pytest.raises(ValueError, match="SliceWise"):
        flat(volume.image[None], volume)


def test_settings_of_slices(flat):
    with pytest.raises(ValueError, match="axis must be one of 0, 1, 2, got 3"):
        SliceWise(flat, 3)
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1 or None, got 0"):
        SliceWise(flat, batch_size=0)
    assert "SliceWise" not in str(as_model(SliceWise(flat)).name)


def test_at_once_is_now_batch_size(flat):
    with pytest.warns(DeprecationWarning, match="at_once of .*SliceWise.* is now called batch_size"):
        old = SliceWise(flat, at_once=3)
    with pytest.warns(DeprecationWarning, match="at_once is now called slices_at_once"):
        assert old.at_once == 3
    assert old.slices_at_once == 3
    assert old.cache_key() == SliceWise(flat).cache_key()  # how many at once is no matter for results
    assert old.cache_key() != SliceWise(flat, 1).cache_key()


def test_a_plain_function_gets_slices_in_the_form_of_the_source(volume):
    seen = []

    def bright(image):
        seen.append((image.shape, image.dtype))
        return image > 100

    stored = (volume.image[0] * 255).round().numpy().astype(np.uint8)
    grey = load_case(stored)
    assert SliceWise(bright)(grey.image[None], grey).shape == (1, *volume.shape)
    assert set(seen) == {((48, 40), np.dtype("uint8"))}
    seen.clear()
    coloured = load_case(np.stack([stored] * 3, -1))
    model = SliceWise(lambda image: bright(image)[..., 0], 2)
    assert model(coloured.image[None], coloured).shape == (1, *volume.shape)
    assert set(seen) == {((6, 48, 3), np.dtype("uint8"))}


class Halved:
    def prepareSize(self, item):
        return item[::2, ::2]

    def predict(self, image):
        return image > 100


def test_each_slice_is_prepared(volume, flat):
    stored = (volume.image[0] * 255).round().numpy().astype(np.uint8)
    case = load_case(stored, volume.truth.numpy())
    ready = SliceWise(Halved()).prepare(case)
    assert ready.shape == (6, 24, 20) and ready.spacing == (1, 2, 2)
    assert torch.equal(ready.image, case.image[:, :, ::2, ::2]) and torch.equal(ready.truth, case.truth[:, ::2, ::2])
    assert torch.equal(SliceWise(Halved())(ready.image[None], ready)[0], (ready.image[0] > 100).int())
    assert SliceWise(flat).prepare(case) is case
    side = SliceWise(Halved(), 2).prepare(case.replace(spacing=(3.0, 2.0, 1.0)))
    assert side.shape == (3, 24, 40) and side.spacing == (6, 4, 1)


# ---- windows


def unet(dims, classes):
    nets = pytest.importorskip("monai.networks.nets")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nets.UNet(dims, 1, classes, (4, 8, 16), (2, 2), norm="batch").eval()


@pytest.fixture(scope="module")
def plane():
    return phantom((70, 52), seed=2)


@pytest.mark.parametrize("classes, mode, overlap", [(3, "gaussian", 0.25), (1, "constant", 0.5)])
@pytest.mark.parametrize("shape, roi", [((70, 52), (32, 32)), ((70, 52), 128), ((9, 40, 36), (8, 24, 24))])
def test_windows_are_those_of_monai(shape, roi, classes, mode, overlap):
    inferers = pytest.importorskip("monai.inferers")
    case = phantom(shape, seed=2)
    net, images = unet(len(shape), classes), torch.stack([case.image, case.image.flip(-1)])
    with torch.no_grad():
        theirs = inferers.SlidingWindowInferer(roi, 3, overlap, mode)(images, net)
    model = SlidingWindow(net, roi, overlap, mode, sw_batch_size=3)
    labels = theirs.argmax(1) if classes > 1 else theirs[:, 0] > 0
    assert nearly(model(images, case), labels.int())
    maps = theirs.softmax(1) if classes > 1 else torch.cat([1 - theirs.sigmoid(), theirs.sigmoid()], 1)
    assert torch.allclose(model.probabilities(images, case), maps, atol=1e-5) and model.name == "UNet"


def test_a_window_as_large_as_the_image(plane):
    net, images = unet(2, 3), plane.image[None, :, :48, :48]
    assert nearly(SlidingWindow(net, 48)(images), as_model(net)(images))


def test_preprocess_sees_the_whole_image(plane):
    net, images = unet(2, 3), plane.image[None, :, :48, :48]
    whole = SlidingWindow(as_model(net, preprocess=lambda x: (x - x.mean()) / x.std()), 32)(images)
    assert nearly(whole, SlidingWindow(net, 32)((images - images.mean()) / images.std()))


class Counting(torch.nn.Module):
    "Remembers how many pixels it was given at once"

    def __init__(self):
        super().__init__()
        self.most = 0

    def forward(self, x):
        self.most = max(self.most, x.numel())
        return torch.cat([1 - x, x], 1)


def test_no_more_windows_at_once_than_allowed():
    pytest.importorskip("monai")
    counting = Counting()
    SlidingWindow(as_model(counting, fast=False), 32, sw_batch_size=2)(torch.rand(1, 1, 300, 200))
    assert counting.most == 2 * 32 * 32


def test_probabilities_of_other_models_are_averaged(plane):
    average = SlidingWindow(as_model(unet(2, 3), size=PadTo(16)), 32)
    maps = average.probabilities(plane.image[None], plane)
    assert torch.equal(average(plane.image[None], plane), maps.argmax(1).int())
    assert torch.allclose(maps.sum(1), torch.ones(()), atol=1e-5)
    maps.mul_(2)  # one's own


@pytest.mark.parametrize(
    "make",
    [
        lambda: lambda image: image > 0.5,
        lambda: as_model(torch.nn.Hardtanh(0, 1), output="labels", preprocess=torch.round),
    ],
)
def test_labels_alone_cannot_be_averaged(plane, make):
    pytest.importorskip("monai")
    with pytest.raises(ValueError, match="gives labels only"):
        SlidingWindow(make(), 32)(plane.image[None], plane)


@pytest.mark.parametrize(
    "wrong, error",
    [
        (dict(roi_size=0), "roi_size must be .*got 0"),
        (dict(overlap=1), "overlap must be .*got 1"),
        (dict(mode="round"), "mode must be one of .*got 'round'"),
        (dict(sw_batch_size=0), "sw_batch_size must be .*got 0"),
    ],
)
def test_settings_of_windows(wrong, error):
    pytest.importorskip("monai")
    with pytest.raises(ValueError, match=error):
        SlidingWindow(torch.nn.Conv2d(1, 2, 1), **{"roi_size": 32} | wrong)


def test_as_many_sides_as_the_image_has(plane):
    pytest.importorskip("monai")
    with pytest.raises(ValueError, match=r"roi_size must be .*got \(8, 8, 8\)"):
        SlidingWindow(torch.nn.Conv2d(1, 2, 1), (8, 8, 8))(plane.image[None], plane)


def test_windows_of_slices(volume):
    assert SliceWise(SlidingWindow(unet(2, 3), 32))(volume.image[None], volume).shape == (1, *volume.shape)


def test_windows_share_what_the_model_has():
    pytest.importorskip("monai")
    inner = as_model(torch.nn.Conv2d(1, 2, 1), name="net", labels=["a", "b"])
    inner.batch_size = 32
    model = SlidingWindow(inner, 32, sw_batch_size=2)
    assert (model.name, model.labels, model.batch_size, model.device.type) == ("net", ("a", "b"), 1, "cpu")
    assert SlidingWindow(inner, 32, stitch="meta").device.type == "meta"
    assert model.cache_key() == SlidingWindow(inner, 32, sw_batch_size=4, stitch="cpu").cache_key()
    assert model.cache_key() != SlidingWindow(inner, 32, overlap=0.5).cache_key()
