"A fastai learner predicts through misas what it predicts itself"

import contextlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

from misas.core.model import as_model
from misas.core.reference import with_own_reference
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.models.fastai import FastaiModel
from misas.models.loading import load_model
from misas.transforms.basic import Rotate

vision = pytest.importorskip("fastai.vision.all")
NORMALIZE = vision.Normalize.from_stats(*vision.imagenet_stats)


def save(folder, seed):
    case = phantom((48, 48), seed=seed)
    Image.fromarray((case.image[0] * 255).byte().numpy()).convert("RGB").save(folder / f"{seed}.png")
    Image.fromarray(case.truth.byte().numpy()).save(folder / f"{seed}_mask.gif")
    return folder / f"{seed}.png"


def mask_of(file):
    return file.with_name(file.stem + "_mask.gif")


def is_valid(file):
    return file.stem in "01"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fastai")


@pytest.fixture(scope="module")
def files(folder):
    return [save(folder, seed) for seed in range(8)]


class Items:
    "The files, as something that can be pickled"

    def __init__(self, files):
        self.files = files

    def __call__(self, _):
        return self.files


def data_block(files, **transforms):
    return vision.DataBlock(
        (vision.ImageBlock, vision.MaskBlock(codes=["bg", "LV", "MY", "RV"])),
        get_items=Items(files),
        get_y=mask_of,
        splitter=vision.FuncSplitter(is_valid),
        batch_tfms=NORMALIZE,
        **transforms,
    )


def quiet(learner):
    stack = contextlib.ExitStack()
    stack.enter_context(learner.no_bar())
    stack.enter_context(learner.no_logging())
    return stack


@pytest.fixture(scope="module")
def learner(folder, files):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 4, 3, padding=1),
        )
        block = data_block(files, item_tfms=vision.Resize(32, method="squish"))
        learner = vision.Learner(
            block.dataloaders(folder, bs=2, num_workers=0), net, loss_func=vision.CrossEntropyLossFlat(axis=1)
        )
        with quiet(learner):
            learner.fit(2, 1e-2)
    return learner


@pytest.fixture(scope="module")
def model(learner):
    return as_model(learner)


def plain(tensor):
    return tensor.as_subclass(torch.Tensor)


def test_labels(learner, model):
    assert isinstance(model, FastaiModel) and model.labels == ["bg", "LV", "MY", "RV"]
    assert as_model(learner, labels=list("abcd")).labels == tuple("abcd")


@pytest.mark.parametrize("i", range(3))
def test_predictions_are_those_of_the_learner(learner, model, files, i):
    case = load_case(files[i], mask_of(files[i]))
    ready = model.prepare(case)
    assert torch.equal(model.prepare(ready).image, ready.image)  # prepared is prepared
    with quiet(learner):
        theirs = learner.predict(files[i])
    expected = plain(theirs[1].int())
    assert torch.equal(model(ready.image[None], ready)[0], expected)
    assert ready.shape == ready.truth.shape == (32, 32)
    assert torch.allclose(model.probabilities(ready.image[None], ready)[0], plain(theirs[2]), atol=1e-5)
    assert set(ready.truth.unique().tolist()) <= {0, 1, 2, 3}
    with model.session():
        assert (model(ready.image[None], ready)[0] == expected).float().mean() > 0.99


def test_images_of_more_than_eight_bits(learner, model, files):
    deep = phantom((48, 48), seed=1)  # floating point from 0 to 1, one channel
    assert len(get_series(learner, deep, Rotate(), [0, 45], progress=False)) == 2
    # the same picture, up to rounding
    assert (model.prepare(load_case(files[1])).image - model.prepare(deep).image).abs().max() <= 1
    wide = model.prepare(deep.replace(spacing=(2.0, 1.0)))
    assert wide.spacing == model.prepare(wide).spacing == (3, 1.5)  # 48 pixels have become 32


def test_cases_that_a_learner_cannot_take(model):
    with pytest.raises(ValueError, match="spatial dimensions.*SliceWise"):
        model.prepare(phantom((4, 32, 32)))
    large = phantom((48, 48), seed=1)
    with pytest.raises(ValueError, match="must be <= 255.*got 300"):
        model.prepare(large.replace(truth=large.truth.clamp(max=0) + 300))


@pytest.mark.parametrize("method", ["crop", "pad"])
def test_crops_and_pads_in_the_middle(learner, folder, files, method):
    oblong = phantom((48, 72), seed=1)
    file = folder / "oblong.png"
    Image.fromarray((oblong.image[0] * 255).byte().numpy()).convert("RGB").save(file)
    cutting = vision.Learner(
        data_block(files, item_tfms=vision.Resize(32, method=method)).dataloaders(folder, bs=2, num_workers=0),
        learner.model,
        loss_func=vision.CrossEntropyLossFlat(axis=1),
    )
    cut = as_model(cutting)
    seen = cut.prepare(load_case(file, oblong.truth))
    with quiet(cutting):
        theirs = cutting.predict(file)
    assert torch.equal(cut(seen.image[None], seen)[0], plain(theirs[1].int()))
    again = cut.prepare(load_case(file, oblong.truth))
    assert torch.equal(again.image, seen.image) and torch.equal(again.truth, seen.truth)
    unchanged = cut.prepare(with_own_reference(cut, load_case(file)))
    # but for what the image's own pixels are too coarse for
    assert (unchanged.truth == plain(theirs[1])).float().mean() > 0.95


class Loud(vision.Callback):
    def before_batch(self):
        raise RuntimeError("a callback ran")


def test_the_loss_function_has_the_last_word_and_nothing_is_printed(learner, model, files):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        binary = torch.nn.Conv2d(3, 1, 3, padding=1)
    loud = vision.Learner(learner.dls, binary, loss_func=vision.BCEWithLogitsLossFlat(thresh=0.9), cbs=Loud())
    with torch.no_grad():
        binary.weight.mul_(20)
    ready = model.prepare(load_case(files[2], mask_of(files[2])))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        ours = as_model(loud)(ready.image[None], ready)[0]
    loud.remove_cb(Loud)
    with quiet(loud):
        theirs = loud.predict(files[2])
    assert said.getvalue() == ""
    assert torch.equal(ours, plain(theirs[1].int())[0]) and 0 < ours.float().mean() < 1
    maps = as_model(loud).probabilities(ready.image[None], ready)
    assert torch.allclose(maps[0, 1], plain(theirs[2])[0], atol=1e-5)
    loud.loss_func = torch.nn.BCEWithLogitsLoss()  # says nothing of labels: more than 50 %
    assert torch.equal(as_model(loud)(ready.image[None], ready)[0], (plain(theirs[2])[0] > 0.5).int())
    with pytest.raises(ValueError, match="finite"):
        with torch.no_grad():
            binary.weight.fill_(np.nan)
        as_model(loud)(ready.image[None], ready)


def test_an_exported_learner_needs_trust(learner, model, files, folder):
    learner.export(folder / "learner.pkl")
    with pytest.raises(ValueError, match="a pickled learner can bring code.*trust=True"):
        load_model(folder / "learner.pkl")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        loaded = load_model(folder / "learner.pkl", trust=True)
    ready = loaded.prepare(load_case(files[0], mask_of(files[0])))
    assert loaded.labels == ["bg", "LV", "MY", "RV"] and loaded.name == "learner" and said.getvalue() == ""
    assert torch.equal(ready.image, model.prepare(load_case(files[0], mask_of(files[0]))).image)
    assert torch.equal(loaded(ready.image[None], ready), model(ready.image[None], ready))


def test_activation_maps_are_those_of_the_network_with_the_learner_s_batches(learner, model, files):
    import misas as ms

    ready = model.prepare(load_case(files[0], mask_of(files[0])))
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:20, 8:20] = True
    found = ms.activation_map(learner, ready, "LV", "0", inside)[0].maps[0]
    batch = model.batch(ready.image[None])[0].clone().requires_grad_()
    net = learner.model.eval().requires_grad_(True)
    features = net[0](batch)
    score = net[1:](features)[0, 1][inside].mean()
    gradient = torch.autograd.grad(score, features)[0]
    expected = (gradient.mean((2, 3), keepdim=True) * features).sum(1).relu()[0]
    assert found.max() > 0 and torch.allclose(found, expected, atol=1e-6)
