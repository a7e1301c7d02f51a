"Networks as people have them: several answers, frameworks' own preprocessing, odd channels and sizes, and left alone"

import threading
import warnings
from collections import deque
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from misas.core.cases import Case, Source
from misas.core.fingerprint import checksum
from misas.core.model import Model, PlainModel, as_model
from misas.core.sweeps import get_series, sweep
from misas.data.loading import load_case
from misas.models.demo import demo_model
from misas.models.ensemble import Ensemble
from misas.models.sizes import PadTo, ResizeTo
from misas.models.windows import SlidingWindow
from misas.transforms.basic import Brightness

RAMP = torch.linspace(0, 1, 256).reshape(1, 1, 16, 16)


def scores(x, threshold):
    "Two classes, darker and brighter than a threshold"
    return torch.cat([threshold - x, x - threshold], 1)


def brighter(threshold):
    return (RAMP[:, 0] > threshold).int()


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Gives(nn.Module):
    "Whatever a function makes of the image"

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


# ---- one of several answers


class TwoHeads(nn.Module):
    "A body and two heads, whose maps come in an order"

    def __init__(self, order, names=("aux", "head")):
        super().__init__()
        self.names, self.order = names, order
        self.body = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.body.weight)
        for name, threshold in zip(names, (0.8, 0.3)):
            head = nn.Conv2d(1, 2, 1)
            head.weight.data[:] = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
            head.bias.data[:] = torch.tensor([threshold, -threshold])
            setattr(self, name, head)

    def forward(self, x):
        maps = {name: getattr(self, name)(self.body(x)) for name in self.names}
        return self.order(maps)


ORDERS = {
    "auxiliary first": lambda m: [m["aux"], m["head"]],
    "auxiliary last": lambda m: (m["head"], m["aux"]),
    "a dict": lambda m: m,
    "out and aux": lambda m: {"aux": m["aux"], "out": m["head"]},
    "a dict in a list": lambda m: [{"aux": m["aux"]}, {"final": m["head"]}],
}


@pytest.mark.filterwarnings("ignore:model")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fast", [True, False])
def test_an_auxiliary_map_is_not_final(order, fast):
    model = as_model(TwoHeads(ORDERS[order]), fast=fast)
    assert torch.equal(model(RAMP), brighter(0.3))
    assert torch.equal(get_series(model, Case(RAMP[0]), Brightness(), [1], progress=False)[0].pred, brighter(0.3)[0])


class Refined(nn.Module):
    "A second map made from the first one"

    def __init__(self, order):
        super().__init__()
        self.first, self.second, self.order = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1, bias=False), order
        self.second.weight.data[:] = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).reshape(2, 2, 1, 1)

    def forward(self, x):
        first = self.first(x)
        return self.order([first, self.second(first)])


@pytest.mark.parametrize("order, place", [(list, 1), (lambda m: m[::-1], 0)])
def test_the_map_that_most_of_the_weights_made_is_final(order, place):
    net = Refined(order)
    model = as_model(net)
    with pytest.warns(UserWarning, match=f"gives 2 maps .* takes {place}.*select={place}") as caught:
        found = model(RAMP)
        model(RAMP)
    assert len(caught) == 1
    with torch.no_grad():
        assert torch.equal(found, net(RAMP)[place].argmax(1).int())
        for other in (0, 1):
            assert torch.equal(as_model(net, select=other)(RAMP), net(RAMP)[other].argmax(1).int())


@pytest.mark.parametrize("order", [lambda m: m, lambda m: m[::-1]])
def test_the_finest_map_is_final(order, silent):
    coarse = nn.AvgPool2d(2)
    net = Gives(lambda x: order([scores(x, 0.3), coarse(scores(x, 0.8)), coarse(coarse(scores(x, 0.9)))]))
    assert torch.equal(as_model(net)(RAMP), brighter(0.3))


def test_maps_and_other_things(silent):
    for other in (torch.zeros(1, 7), torch.zeros(()), None, 3.0):
        assert torch.equal(as_model(Gives(lambda x, o=other: (scores(x, 0.3), o)))(RAMP), brighter(0.3))
        assert torch.equal(as_model(Gives(lambda x, o=other: (o, scores(x, 0.3))))(RAMP), brighter(0.3))


def test_select_takes_keys_indices_names_and_functions(silent):
    net = Gives(lambda x: {"seg": scores(x, 0.3), "edge": scores(x, 0.8)})
    assert torch.equal(as_model(net, select="edge")(RAMP), brighter(0.8))
    assert torch.equal(as_model(net, select=lambda out: out["seg"].flip(1))(RAMP), 1 - brighter(0.3))
    with pytest.raises(ValueError, match=r"got a dict of 'seg', 'edge': as_model\(..., select='seg'\)"):
        as_model(net)(RAMP)
    with pytest.raises(ValueError, match=r"select must be one of \['seg', 'edge'\].*got 'sge'"):
        as_model(net, select="sge")(RAMP)
    with pytest.raises(TypeError, match="select must be"):
        as_model(net, select=1.5)


def test_nested_unet_of_monai():
    nets = pytest.importorskip("monai.networks.nets")
    net = nets.BasicUNetPlusPlus(2, 1, 2, features=(4,) * 6, deep_supervision=True).eval()
    x = torch.rand(1, 1, 32, 32)
    with pytest.warns(UserWarning, match="4 maps"), torch.no_grad():
        assert torch.equal(as_model(net, fast=False)(x), net(x)[-1].argmax(1).int())


# ---- structures of their own


class Structures(nn.Module):
    "Logits of a whole, and of a core within it; there is no channel for the background"

    def forward(self, x):
        return torch.cat([20 * (x - 0.3), 20 * (x - 0.7)], 1)


def test_logits_of_structures_are_no_classes():
    with pytest.warns(UserWarning, match="negative in .* of the pixels.*output='multilabel'.*threshold="):
        as_model(Structures())(RAMP)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
def test_multilabel(last, silent):
    model = as_model(nn.Sequential(Structures(), last), output="multilabel", labels=["bg", "whole", "core"])
    want = brighter(0.3) + brighter(0.7)
    assert torch.equal(model(RAMP), want)
    maps = model.probabilities(RAMP, None)
    assert torch.allclose(maps.sum(1), torch.ones(())) and torch.allclose(
        maps[:, 2], Structures()(RAMP)[:, 1].sigmoid()
    )
    strict = as_model(nn.Sequential(Structures(), last), output="multilabel", threshold=0.9)
    limit = np.log(9) / 20
    assert torch.equal(strict(RAMP), brighter(0.3 + limit) + brighter(0.7 + limit))


def test_a_structure_that_is_hidden_is_said():
    net = Gives(lambda x: Structures()(x).flip(1))
    with pytest.warns(UserWarning, match="channel 0 .* label 1 does not appear.*select="):
        as_model(net, output="multilabel")(RAMP)


def test_ordinary_classes_raise_no_doubt(silent):
    for net in (Gives(lambda x: 10 * scores(x, 0.3)), Gives(lambda x: (10 * scores(x, 0.3)).log_softmax(1))):
        assert torch.equal(as_model(net)(RAMP), brighter(0.3))
    one = Gives(lambda x: x - 0.3)
    assert torch.equal(as_model(one, threshold=0.5)(RAMP), brighter(0.3))
    # of two classes the second one has p = 1 / (1 + exp(2 (0.3 - x)))
    assert torch.equal(
        as_model(Gives(lambda x: scores(x, 0.3)), threshold=0.4)(RAMP), brighter(0.3 + np.log(2 / 3) / 2)
    )
    with pytest.raises(ValueError, match="threshold must be a number > 0"):
        as_model(one, threshold=1)


def test_relabel():
    names = ["bg", "dark", "bright"]
    net = Gives(lambda x: torch.cat([0.2 - x, torch.zeros_like(x), x - 0.8], 1))
    plain, moved = as_model(net, labels=names), as_model(net, labels=["bg", "any"], relabel={2: 1})
    assert torch.equal(moved(RAMP), plain(RAMP).clamp(max=1)) and moved.labels == ("bg", "any")
    shifted = as_model(as_model(net, labels=names), relabel={0: 1, 1: 2, 2: 0})
    assert torch.equal(shifted(RAMP), (plain(RAMP) + 1) % 3) and list(shifted.labels) == ["bright", "bg", "dark"]
    maps = moved.probabilities(RAMP, Case(RAMP[0]))
    assert torch.allclose(maps[:, 1], plain.probabilities(RAMP, Case(RAMP[0]))[:, 1:].sum(1))
    with pytest.raises(ValueError, match="relabel must be a dict"):
        as_model(net, relabel={1: -1})


# ---- preprocess


def picture():
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[6:18, 8:24] = (200, 120, 40)
    pixels[..., 2] += 10
    return pixels


class Keeps(nn.Module):
    "A network that looks at the first channel"

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1)

    def forward(self, x):
        return self.conv(x)


def fed(preprocess, image, channels=3, **options):
    case = load_case(image)
    return as_model(Keeps(channels), preprocess=preprocess, **options).inputs(case.image[None], template=case)[0]


def torchvision_presets():
    T, v2 = pytest.importorskip("torchvision.transforms"), pytest.importorskip("torchvision.transforms.v2")
    from torchvision.transforms._presets import SemanticSegmentation

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return [
        SemanticSegmentation(resize_size=None),
        T.Compose([T.ToTensor(), T.Normalize(mean, std)]),
        v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]),
    ]


@pytest.mark.parametrize("k", range(3))
def test_presets_of_torchvision(k, silent):
    preset = torchvision_presets()[k]
    by_hand = preset(Image.fromarray(picture()))
    assert torch.equal(fed(preset, Image.fromarray(picture())), by_hand)
    assert torch.equal(fed(preset, picture()), by_hand)
    grey = picture()[..., 0]
    assert torch.equal(fed(preset, grey), preset(Image.fromarray(np.stack([grey] * 3, -1))))


def test_a_preset_for_numbers_from_0_to_1_says_what_it_does_not_scale():
    preset = torchvision_presets()[0]
    with pytest.warns(UserWarning, match="torchvision .* 0 to 1, and those of the image go up to 200"):
        fed(preset, picture().astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_sixteen_bits_are_scaled_by_their_own_type(dtype):
    pixels = (picture()[..., 0].astype(np.int32) * 100).astype(dtype)
    T = pytest.importorskip("torchvision.transforms")
    preset = T.ConvertImageDtype(torch.float32)
    found = fed(preset, pixels, 1)[0].double().numpy()
    assert np.allclose(found, pixels / np.iinfo(dtype).max, rtol=1e-6, atol=0)


def test_a_preset_that_resizes_is_undone():
    T = pytest.importorskip("torchvision.transforms")
    net = Gives(lambda x: scores(x[:, :1], 0.4))
    case = load_case(Image.fromarray(picture()))
    model = as_model(net, preprocess=T.Compose([T.ToTensor(), T.Resize((48, 64))]))
    assert torch.equal(model(case.image[None], case)[0], (case.image[0] > 100).int())
    assert model.probabilities(case.image[None], case).shape == (1, 2, 24, 32)
    for crop in (T.CenterCrop(16), T.Pad(8)):
        with pytest.raises(ValueError, match="preprocess must keep the size of the image.*CropTo"):
            as_model(net, preprocess=T.Compose([T.ToTensor(), crop]))(case.image[None], case)


def test_preprocessing_of_smp():
    module = pytest.importorskip("segmentation_models_pytorch.encoders._preprocessing")
    settings = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], input_space="RGB", input_range=[0, 1])
    preprocess = partial(module.preprocess_input, **settings)  # as get_preprocessing_fn gives it
    by_hand = torch.from_numpy(np.moveaxis(preprocess(picture()), -1, 0)).float()
    assert torch.equal(fed(preprocess, picture()), by_hand)
    black = np.ones_like(picture())
    by_hand = torch.from_numpy(np.moveaxis((black / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], -1, 0))
    assert torch.allclose(fed(preprocess, black), by_hand.float())


def test_transforms_of_monai():
    T = pytest.importorskip("monai.transforms")
    scaled = (picture()[..., 0] / 200).astype(np.float32)
    for steps in ([T.ScaleIntensity()], [T.EnsureChannelFirst(), T.ScaleIntensity()]):
        assert np.allclose(fed(T.Compose(steps), picture()[..., 0], 1)[0], scaled)
    by_dict = T.Compose([T.ScaleIntensityd("image"), T.ToTensord("image")])
    assert np.allclose(fed(by_dict, picture()[..., 0], 1)[0], scaled)


def test_processors_of_transformers():
    transformers = pytest.importorskip("transformers")
    processor = transformers.SegformerImageProcessor(size={"height": 24, "width": 32})
    by_hand = processor(images=Image.fromarray(picture()), return_tensors="pt")["pixel_values"][0]
    assert torch.allclose(fed(processor, picture()), by_hand, atol=1e-6)


def test_transforms_of_albumentations():
    def normalise(self, image):
        assert image.dtype == np.uint8 and image.shape == (24, 32, 3)
        return {"image": (image / 255.0).astype(np.float32)}

    # a stand-in with the same way to be called
    Normalize = type("Normalize", (), {"__call__": normalise, "__module__": "albumentations.augmentations"})
    assert np.allclose(fed(Normalize(), picture()), np.moveaxis(picture() / 255, -1, 0))


def test_half_precision_comes_last():
    pixels = np.full((16, 16), 40000, np.uint16)
    pixels[:, 8:] += 12
    case = load_case(pixels)
    net = Gives(lambda x: scores(x, 0))
    net.weight = nn.Parameter(torch.ones((), dtype=torch.float16))
    found = as_model(net, preprocess=lambda x: (x - 40006) / 6)(case.image[None], case)[0]
    assert torch.equal(found, torch.from_numpy((pixels > 40006).astype(np.int32)))


def test_a_preprocess_that_gives_no_images():
    with pytest.raises(
        ValueError, match=r"preprocess .* must be a function that gives images \(B, C, \*S\)|preprocess"
    ):
        as_model(Keeps(1), preprocess=lambda x: x.mean())(RAMP)


# ---- channels and sizes


class HeadFirst(nn.Module):
    "Declares its head before its body"

    def __init__(self, channels):
        super().__init__()
        self.head, self.body = nn.Conv2d(8, 2, 1), nn.Conv2d(channels, 8, 1)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("given, wanted", [(1, 1), (1, 3), (3, 3), (4, 4), (2, 2)])
def test_the_layer_that_runs_first_says_how_many_channels(given, wanted):
    assert as_model(HeadFirst(wanted))(torch.rand(2, given, 8, 8)).shape == (2, 8, 8)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("given, wanted", [(1, 4), (1, 2), (3, 4), (2, 3), (3, 1)])
def test_channels_are_not_invented(given, wanted):
    traced = torch.jit.trace(nn.Conv2d(wanted, 2, 1), torch.rand(1, wanted, 8, 8))
    for net in (HeadFirst(wanted), nn.Conv2d(wanted, 2, 1), traced):
        with pytest.raises(ValueError, match=f"must have {wanted} channels, .*got {given} "):
            as_model(net)(torch.rand(2, given, 8, 8))


class OneSize(nn.Module):
    def forward(self, x):
        if x.shape[2:] != (96, 96):
            raise RuntimeError("positions do not fit")
        return scores(x, 0.5)


class FourAtOnce(nn.Module):
    def forward(self, x):
        return scores(x, 0.5).view(4, 2, *x.shape[2:])


class OneByOne(nn.Module):
    def forward(self, x):
        return scores(x, 0.5).view(1, 2, *x.shape[2:])


def test_the_remedy_named_is_the_one_that_works():
    with pytest.raises(ValueError, match=r"images of \(96, 96\): as_model\(..., size=ResizeTo\(\(96, 96\)\)\)"):
        as_model(OneSize())(RAMP)
    assert as_model(OneSize(), size=ResizeTo((96, 96)))(RAMP).shape == (1, 16, 16)
    with pytest.raises(ValueError, match=r"4 images at a time: as_model\(..., batch_size=4\)"):
        as_model(FourAtOnce())(RAMP)
    many = RAMP * torch.linspace(0.5, 1, 6).reshape(6, 1, 1, 1)
    assert torch.equal(as_model(FourAtOnce(), batch_size=4)(many), (many[:, 0] > 0.5).int())
    with pytest.raises(ValueError, match="one image at a time: batch_size=1"):
        as_model(OneByOne())(many)
    assert as_model(nn.Conv2d(1, 2, 1), size=PadTo(8))(RAMP).shape == (1, 16, 16)


def test_a_fixed_size_is_read_from_the_network():
    nets = pytest.importorskip("monai.networks.nets")
    net = nets.UNETR(1, 3, (80, 80), 4, 24, 24, 2, spatial_dims=2).eval()
    with pytest.raises(ValueError, match=r"ResizeTo\(\(80, 80\)\)"):
        as_model(net)(torch.rand(1, 1, 50, 70))


class Centred(nn.Module):
    "Subtracts the mean of the batch, by a layer or by itself"

    def __init__(self, layer):
        super().__init__()
        self.norm = layer

    def forward(self, x):
        return scores(self.norm(x), 0)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(1, track_running_stats=False), Gives(lambda x: x - x.mean())])
def test_a_batch_is_what_its_images_are(layer):
    many = torch.cat([RAMP, RAMP + 5])
    model = as_model(Centred(layer))
    with pytest.warns(UserWarning, match="depends on the other images"):
        found = model(many)
    assert torch.equal(found, torch.cat([model(image[None]) for image in many]))


def test_instance_norm_goes_in_batches(silent):
    many = torch.cat([RAMP, RAMP + 5])
    assert torch.equal(as_model(Centred(nn.InstanceNorm2d(1)))(many)[0], brighter(0.5)[0])


# ---- finite, integer, in range


class Says(Model):
    "Gives what it was given"

    def __init__(self, labels=None, maps=None):
        self.given, self.maps, self.name = labels, maps, "says"

    def predict(self, images, template):
        return self.given

    def probabilities(self, images, template):
        return self.maps


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -0.5, 2.0])
def test_probabilities_are_checked_for_every_model(bad):
    maps = torch.full((1, 2, 16, 16), 0.5)
    good = Says(maps=maps.clone())
    maps[0, 1, 3, 3] = bad
    wrong = Says(maps=maps)
    case = Case(RAMP[0])
    assert good.probabilities(RAMP, case) is good.maps
    wrapped = [wrong, as_model(wrong, size=PadTo(4)), as_model(wrong, relabel={1: 1}), Ensemble([good, wrong], "mean")]
    for model in wrapped:
        with pytest.raises(ValueError, match="model 'says'"):
            model.probabilities(RAMP, case)
    with pytest.raises(ValueError, match="model 'says'"):
        wrapped[-1](RAMP, case)


def test_scores_that_are_nan_are_no_prediction():
    pytest.importorskip("monai")
    net = Gives(lambda x: torch.where(x > 0.9, torch.nan, scores(x, 0.5)))
    for model in (
        as_model(net),
        SlidingWindow(as_model(net, name="m"), 8),
        Ensemble([as_model(net, name="m")], "mean"),
    ):
        with pytest.raises(ValueError, match="NaN"):
            model(RAMP, Case(RAMP[0]))


@pytest.mark.parametrize("label", [2**31, 2**32 + 1, 2**40])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_labels_fit_32_bits(label, dtype):
    mask = np.full((16, 16), label, dtype)
    with pytest.raises(ValueError, match=rf"labels < 2\*\*31, got {label}"):
        PlainModel(lambda image: mask)(RAMP)
    with pytest.raises(ValueError, match=rf"labels < 2\*\*31, got {label}"):
        Says(torch.from_numpy(mask.astype(np.int64))[None])(RAMP)


def test_unsigned_labels():
    for dtype in (torch.uint16, torch.uint32):
        assert Says(torch.full((1, 16, 16), 300).to(dtype))(RAMP).max() == 300


def test_masked_arrays_keep_their_mask():
    mask = np.ma.masked_greater(np.arange(256).reshape(16, 16), 250)
    with pytest.raises(ValueError, match=r"mask.filled\(0\).*without 5 of them"):
        PlainModel(lambda image: mask)(RAMP)
    assert PlainModel(lambda image: mask.filled(0))(RAMP).max() == 250


# ---- the user's network


def norm_and_dropout(forward):
    torch.manual_seed(0)
    net = nn.Module()
    net.conv, net.norm, net.drop = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout2d(0.5)
    net.block = nn.Sequential(net.conv, net.norm)
    net.norm.running_mean[:] = torch.tensor([0.1, -0.1])
    return forward(net)


def plain(net):
    class Plain(type(net)):
        def forward(self, x):
            return self.drop(self.block(x))

    net.__class__ = Plain
    return net


def in_a_deque(net):
    class InDeque(type(net)):
        def forward(self, x):
            for step in self.steps:
                x = step(x)
            return x

    net.__class__ = InDeque
    net.steps = deque([lambda x: net.block(x), lambda x: net.drop(x)])
    return net


class Holder:
    def __init__(self, function):
        self.function = function


def in_an_object(net):
    class InObject(type(net)):
        def forward(self, x):
            return self.drop(self.held["first"].function(x))

    net.__class__ = InObject
    net.held = {"first": Holder(partial(lambda block, x: net.norm(net.conv(x)), 1))}
    return net


def trains_itself(net):
    class Restless(type(net)):
        def forward(self, x):
            self.norm.train()
            return self.drop(self.block(x))

    net.__class__ = Restless
    return net


def trains_and_rests(net):
    class Rests(type(net)):
        def forward(self, x):
            self.norm.train()
            x = self.block(x)
            self.norm.eval()
            return self.drop(x)

    net.__class__ = Rests
    return net


@pytest.mark.parametrize("make", [plain, in_a_deque, in_an_object, trains_itself, trains_and_rests])
@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("fast", [True, False])
def test_a_network_answers_as_in_evaluation_mode_and_is_left_alone(make, mode, fast):
    twin = norm_and_dropout(make).eval()
    with torch.no_grad():
        want = twin(RAMP).argmax(1).int()
    net = norm_and_dropout(make).train(mode)
    net.conv.weight.grad = torch.ones_like(net.conv.weight)
    before = [t.clone() for t in net.state_dict().values()]
    dice = torch.get_rng_state()
    model = as_model(net, fast=fast)
    for _ in range(3):
        assert torch.equal(model(RAMP), want)
    series = get_series(model, Case(RAMP[0]), Brightness(), [1, 1, 1], batch_size=1, progress=False)
    assert all(torch.equal(step.pred, want[0]) for step in series)
    assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values()))
    assert all(module.training == mode for module in net.modules())
    assert all(p.requires_grad for p in net.parameters()) and net.conv.weight.grad.eq(1).all()
    assert torch.equal(dice, torch.get_rng_state())


def test_a_thread_that_trains_at_the_same_time():
    net = norm_and_dropout(plain).train()
    modes, ready, stop = [], threading.Event(), threading.Event()

    def train():
        while not stop.is_set():
            modes.extend(m.training for m in net.modules())
            net(RAMP).sum().backward()
            ready.set()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        ready.wait(10)
        model = as_model(net)
        for _ in range(20):
            model(RAMP)
        get_series(model, Case(RAMP[0]), Brightness(), progress=False)
    finally:
        stop.set()
        thread.join()
    assert all(modes) and all(m.training for m in net.modules())


@pytest.mark.parametrize("change", [lambda w: w.data[:].neg_(), lambda w: w.detach().numpy().__imul__(-1)])
def test_a_change_while_an_unfinished_sweep_is_kept(change):
    net = nn.Conv2d(1, 2, 1, bias=False)
    net.weight.data[:] = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
    model = as_model(net)
    case = Case(RAMP[0] - 0.5)
    unfinished = sweep(model, case, Brightness(), [1, 1.1, 1.2], batch_size=1, progress=False)
    next(unfinished)
    change(net.weight)
    found = get_series(model, case, Brightness(), [1], progress=False)[0].pred
    assert torch.equal(found, (case.image[0] < 0).int())


def test_dropout_that_was_left_on_is_said():
    net = norm_and_dropout(plain).eval()
    net.drop.train()
    with pytest.warns(UserWarning, match=r"\(drop\).*without dropout"):
        as_model(net)(RAMP)
    assert net.drop.training


def test_random_numbers_are_the_same_ones():
    net = Gives(lambda x: scores(nn.functional.dropout(x, training=True), 0.5))
    model = as_model(net)
    dice = torch.get_rng_state()
    with pytest.warns(UserWarning, match="draws random numbers") as caught:
        first = model(RAMP)
        assert torch.equal(model(RAMP), first)
        series = get_series(model, Case(RAMP[0]), Brightness(), [1, 1], batch_size=1, progress=False)
    assert len(caught) == 1 and torch.equal(series[0].pred, series[1].pred)
    assert torch.equal(dice, torch.get_rng_state())


def test_settings_of_torch_are_left_alone():
    def settings():
        return (
            torch.get_rng_state().tolist(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_num_threads(),
        )

    before = settings()
    model = as_model(demo_model(), autocast=torch.bfloat16)
    model(RAMP)
    get_series(model, Case(RAMP[0]), Brightness(), [1, 2], progress=False)
    with pytest.raises(ValueError):
        as_model(OneSize())(torch.zeros(1, 1, 8, 2000))
    assert settings() == before


class Lies(list):
    def __getstate__(self):
        return {}


class LiesToo(dict):
    def __reduce_ex__(self, protocol):
        return (LiesToo, ())


def test_containers_that_lie_about_their_contents():
    for kind, a, b in ((Lies, [1, 2], [1, 3]), (LiesToo, {"a": 1}, {"a": 2})):
        assert checksum(kind(a)) == checksum(kind(a)) != checksum(kind(b))


# ---- what is often taken for a model


def test_a_function_that_makes_a_model_is_none():
    def make_network(weights=None, *, classes=2):
        return nn.Conv2d(1, classes, 1)

    def make_it():
        return make_network()

    with pytest.raises(TypeError, match=r"function of one image, got make_it\(\): as_model\(make_it\(\)\)"):
        as_model(make_it)
    with pytest.raises(TypeError, match=r"demo_model\(\)"):
        as_model(demo_model)
    with pytest.raises(ValueError, match="prediction must be a mask.*got a Conv2d"):
        as_model(make_network)(RAMP)


def test_pictures_of_eight_bits_stay_so_in_a_sweep():
    T = pytest.importorskip("torchvision.transforms")
    case = Case(torch.full((1, 8, 8), 100.0), source=Source("pil", "uint8", "none"), scale=(0, 255))
    seen = []
    net = Gives(lambda x: seen.append(x.max().item()) or scores(x, 0.5))
    get_series(as_model(net, preprocess=T.ToTensor()), case, Brightness(), [0.5, 1, 2], progress=False)
    assert [round(v * 255) for v in seen][-3:] == [50, 100, 200]
