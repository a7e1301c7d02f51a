"Seg-Grad-CAM against captum, pytorch-grad-cam, closed forms and hand-made tapes, through every wrapper"

import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import misas as ms
from misas.models.activations import layer_maps
from misas.models.layers import chosen_layers, default_layers, network_layers, transposed
from misas.models.logits import LogitWatch


class Small(nn.Module):
    "A U-Net of two levels in 2D or 3D that takes any size"

    def __init__(self, ndim=2, classes=3, channels=1, end=None):
        super().__init__()
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.pool = nn.MaxPool2d(2) if ndim == 2 else nn.MaxPool3d(2)
        self.down = nn.Sequential(conv(channels, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.deep = nn.Sequential(conv(4, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.up = nn.Sequential(conv(12, 5, 3, padding=1), nn.ReLU())
        self.head = conv(5, classes, 1)
        self.end = end or nn.Identity()

    def forward(self, x):
        skip = self.down(x)
        deep = self.deep(self.pool(skip))
        return self.end(self.head(self.up(torch.cat([F.interpolate(deep, skip.shape[2:]), skip], 1))))


def small(*args, seed=0, **kwargs):
    torch.manual_seed(seed)
    return Small(*args, **kwargs).eval()


def case_of(*shape, channels=1, seed=0):
    return ms.Case(torch.rand(channels, *shape, generator=torch.Generator().manual_seed(seed)) * 5)


def half(*shape):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[..., : shape[-1] // 2] = True
    return mask


def by_hand(net, image, layer, label, mask, size=None):
    "Definition, written out: hooks, gradient, mean, ReLU, interpolation"
    kept = []
    hook = dict(net.named_modules())[layer].register_forward_hook(lambda m, i, o: kept.append(o) or o.clone())
    logits = net(image.clone().requires_grad_())
    hook.remove()
    score = logits[0, label][mask].mean()
    gradient = torch.autograd.grad(score, kept[0])[0]
    alpha = gradient.mean(tuple(range(2, gradient.ndim)), keepdim=True)
    cam = (alpha * kept[0]).sum(1, keepdim=True).relu().detach()
    mode = "trilinear" if image.ndim == 5 else "bilinear"
    return F.interpolate(cam, size or image.shape[2:], mode=mode, align_corners=False)[0, 0]


def map_of(model, case, layer, label, pixels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ms.activation_map(model, case, label, layer=layer, pixels=pixels)[0].maps[0]


# ---------------------------------------------------------------- references


@pytest.mark.parametrize("shape", [(16, 16), (15, 21)])
@pytest.mark.parametrize("layer", ["deep", "down", "up", "deep.0"])
def test_definition_in_two_dimensions(shape, layer):
    net, case, mask = small(), case_of(*shape), half(*shape)
    found = map_of(net, case, layer, 2, mask)
    assert torch.allclose(found, by_hand(net, case.image[None], layer, 2, mask), atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 12, 10), (7, 9, 11)])
def test_definition_in_three_dimensions(shape):
    net, case, mask = small(3), case_of(*shape), half(*shape)
    found = map_of(net, case, "deep", 1, mask)
    assert found.shape == shape and found.max() > 0
    assert torch.allclose(found, by_hand(net, case.image[None], "deep", 1, mask), atol=1e-6)


@pytest.mark.parametrize("shape", [(16, 16), (15, 21)])
def test_pytorch_grad_cam(shape):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget

    net, case, mask = small(), case_of(*shape), half(*shape)
    target = SemanticSegmentationTarget(2, mask.numpy().astype(np.float32))
    with GradCAM(model=net, target_layers=[net.deep]) as cam:
        theirs = cam(input_tensor=case.image[None].clone(), targets=[target])[0]
    ours = map_of(net, case, "deep", 2, mask).numpy()
    # theirs is scaled from 0 to 1: the same but for its smallest and its largest number
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99999


def test_captum():
    from captum.attr import LayerGradCam

    net, case, mask = small(), case_of(16, 16), half(16, 16)
    score = lambda x: net(x)[:, 1][:, mask].mean(1)  # noqa: E731
    theirs = LayerGradCam(score, net.deep).attribute(case.image[None].clone().requires_grad_(), relu_attributions=True)
    ours = map_of(net, case, "deep", 1, mask)
    assert torch.allclose(ours, F.interpolate(theirs.detach(), (16, 16), mode="bilinear")[0, 0], atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_last_layer_has_a_closed_form_and_is_said_to_be_of_no_use(ndim):
    shape = (9, 7, 6)[:ndim]
    net, case, mask = small(ndim), case_of(*shape), half(*shape)
    with pytest.warns(UserWarning, match=r"'up' gives nothing new.* ReLU\(logit - bias\) / positions"):
        found = ms.activation_map(net, case, 1, layer="up", pixels=mask)[0].maps[0]
    logit = net(case.image[None])[0, 1].detach()
    assert torch.allclose(found, (logit - net.head.bias[1].detach()).relu() / np.prod(shape), atol=1e-6)


def test_linear_model():
    "One convolution without bias before a linear head: weights by hand"
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False))
    net[0].weight.data = torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1)
    net[1].weight.data = torch.tensor([[0.0, 0.0], [3.0, 0.5]]).reshape(2, 2, 1, 1)
    case = case_of(4, 5)
    # z_1 = 3x - x = 2x; alpha = (3, 0.5) / 20
    assert torch.allclose(map_of(net, case, "0", 1, half(4, 5)), 2 * case.image[0] / 20, atol=1e-6)


def test_one_channel_has_plus_and_minus_the_logit():
    net, case, mask = small(classes=1), case_of(12, 12), half(12, 12)
    plus = by_hand(net, case.image[None], "deep", 0, mask)
    assert torch.allclose(map_of(net, case, "deep", 1, mask), plus, atol=1e-6)
    net.head.weight.data.neg_()
    net.head.bias.data.neg_()
    minus = by_hand(net, case.image[None], "deep", 0, mask)
    net.head.weight.data.neg_()
    net.head.bias.data.neg_()
    assert torch.allclose(map_of(net, case, "deep", 0, mask), minus, atol=1e-6)
    assert plus.max() > 0 or minus.max() > 0


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_logits_are_taken_before_a_softmax(end):
    plain, ended = small(), small(end=end)
    case, mask = case_of(12, 12), half(12, 12)
    assert torch.allclose(map_of(ended, case, "deep", 2, mask), map_of(plain, case, "deep", 2, mask), atol=1e-7)


def test_logits_are_taken_before_a_sigmoid():
    plain, ended = small(classes=1), small(classes=1, end=nn.Sigmoid())
    case, mask = case_of(12, 12), half(12, 12)
    assert torch.allclose(map_of(ended, case, "deep", 1, mask), map_of(plain, case, "deep", 1, mask), atol=1e-7)
    with LogitWatch() as watch:
        out = torch.zeros(2).sigmoid_()
    assert watch.before(out).tolist() == [0, 0]


def test_structures_of_their_own():
    net, case, mask = small(), case_of(12, 12), half(12, 12)
    model = ms.as_model(net, output="multilabel")
    assert torch.allclose(map_of(model, case, "deep", 3, mask), by_hand(net, case.image[None], "deep", 2, mask))


# ---------------------------------------------------------------- through adapters and wrappers


def test_preprocess_and_channels():
    net, mask = small(channels=3), half(16, 16)
    case = case_of(16, 16)
    model = ms.as_model(net, preprocess=lambda x: x / 5 - 0.5)
    inside = (case.image[None] / 5 - 0.5).expand(1, 3, 16, 16)
    assert torch.allclose(map_of(model, case, "deep", 1, mask), by_hand(net, inside, "deep", 1, mask), atol=1e-6)


def test_preprocess_that_scales():
    net, case = small(), case_of(16, 16)
    model = ms.as_model(net, preprocess=lambda x: F.interpolate(x, (32, 32), mode="bilinear"))
    found = map_of(model, case, "deep", 1, torch.ones(16, 16, dtype=torch.bool))
    assert found.shape == (16, 16) and found.max() > 0


def test_padding_is_cut_off_again():
    net, case, mask = small(), case_of(13, 18), half(13, 18)
    model = ms.as_model(net, size=ms.PadTo(16, fill=0))
    inside = torch.zeros(1, 1, 16, 32)
    inside[..., 1:14, 7:25] = case.image
    marked = torch.zeros(16, 32, dtype=torch.bool)
    marked[1:14, 7:25] = mask
    expected = by_hand(net, inside, "deep", 1, marked)[1:14, 7:25]
    assert torch.allclose(map_of(model, case, "deep", 1, mask), expected, atol=1e-6)


def test_cropping_leaves_zeros_outside():
    net, case, mask = small(), case_of(20, 20), half(20, 20)
    found = map_of(ms.as_model(net, size=ms.CropTo(12)), case, "deep", 1, mask)
    assert found[:4].abs().sum() == 0 and found[4:16, 4:16].max() > 0


def test_resizing_asks_for_the_score_on_the_image_s_own_pixels():
    net, case, mask = small(), case_of(15, 11), half(15, 11)
    model = ms.as_model(net, size=ms.ResizeTo((24, 20)))
    resized = F.interpolate(case.image[None], (24, 20), mode="bilinear", antialias=True)
    kept = []
    hook = net.deep.register_forward_hook(lambda m, i, o: kept.append(o) or o.clone())
    logits = F.interpolate(net(resized.requires_grad_()), (15, 11), mode="bilinear", antialias=True)
    hook.remove()
    gradient = torch.autograd.grad(logits[0, 1][mask].mean(), kept[0])[0]
    cam = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).relu().detach()
    cam = F.interpolate(cam, (24, 20), mode="bilinear")
    expected = F.interpolate(cam, (15, 11), mode="bilinear", antialias=True)[0, 0]
    assert torch.allclose(map_of(model, case, "deep", 1, mask), expected, atol=1e-6)


def test_turned_volumes():
    net, case = small(3), case_of(6, 8, 10)
    mask = half(6, 8, 10)
    model = ms.Oriented(net, "RAS")
    there = lambda x: x.permute(2, 1, 0).flip(0, 1)  # noqa: E731  # from SPL to RAS
    expected = by_hand(net, there(case.image[0])[None, None], "deep", 1, there(mask))
    assert torch.allclose(there(map_of(model, case, "deep", 1, mask)), expected, atol=1e-6)


def test_volumes_slice_by_slice():
    net, case = small(), case_of(4, 12, 14)
    mask = torch.zeros(4, 12, 14, dtype=torch.bool)
    mask[1, 2:5, 2:5] = mask[2, 3:9, 3:9] = True
    found = map_of(ms.SliceWise(net), case, "deep", 1, mask)
    assert found[0].abs().sum() == 0 and found[3].abs().sum() == 0
    total = mask.sum()
    for k in (1, 2):
        alone = by_hand(net, case.image[:, k][None], "deep", 1, mask[k]) * mask[k].sum() / total
        assert torch.allclose(found[k], alone, atol=1e-6)


def test_windows():
    pytest.importorskip("monai")
    net, case, mask = small(), case_of(16, 16), half(16, 16)
    # one window that is the whole image
    found = map_of(ms.SlidingWindow(net, 16), case, "deep", 1, mask)
    assert torch.allclose(found, by_hand(net, case.image[None], "deep", 1, mask), atol=1e-6)
    several = map_of(ms.SlidingWindow(net, 8, overlap=0, mode="constant"), case, "deep", 1, mask)
    part = by_hand(net, case.image[None][..., :8, :8], "deep", 1, mask[:8, :8]) * 64 / mask.sum()
    assert torch.allclose(several[:8, :8], part, atol=1e-6) and several[:, 8:].abs().sum() == 0


def test_renumbered_labels():
    net, case, mask = small(), case_of(12, 12), half(12, 12)
    model = ms.as_model(net, relabel={1: 2, 2: 1})
    assert torch.equal(map_of(model, case, "deep", 1, mask), map_of(net, case, "deep", 2, mask))


def test_weights_on_the_other_side():
    back = lambda x: F.interpolate(x, (5, 7), mode="bilinear")  # noqa: E731
    inner, weights = torch.rand(1, 1, 4, 4), torch.rand(1, 5, 7)
    same = (inner[:, 0] * transposed(back, (1, 4, 4), weights)).sum()
    assert torch.isclose((back(inner)[:, 0] * weights).sum(), same)


# ---------------------------------------------------------------- the network stays as it was


@pytest.mark.parametrize("training", [True, False])
def test_state_is_restored(training):
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))
    net.train(training)
    net[1].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    state = torch.random.get_rng_state()
    map_of(net, case_of(8, 8), "0", 1, half(8, 8))
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(not m._forward_hooks and not m._backward_hooks for m in net.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_mode_makes_no_difference():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))
    case, mask = case_of(8, 8), half(8, 8)
    trained = map_of(net.train(), case, "0", 1, mask)
    assert torch.equal(trained, map_of(net.eval(), case, "0", 1, mask))


def test_frozen_weights():
    net, case, mask = small(), case_of(12, 12), half(12, 12)
    expected = map_of(net, case, "deep", 1, mask)
    net.requires_grad_(False)
    with torch.no_grad():
        found = map_of(net, case, "deep", 1, mask)
    assert torch.equal(found, expected) and not any(p.requires_grad for p in net.parameters())


def test_half_precision():
    net, case, mask = small(), case_of(12, 12), half(12, 12)
    expected = map_of(net, case, "deep", 1, mask)
    found = map_of(net.to(torch.bfloat16), case, "deep", 1, mask)
    assert found.dtype == torch.float32 and torch.allclose(found, expected, atol=0.05 * expected.max())


# ---------------------------------------------------------------- layers


def layers_in(net, *shape):
    case = case_of(*shape)
    return network_layers(ms.as_model(net), case.image[None], case)


def test_default_is_the_bottleneck_and_a_level_of_the_decoder():
    assert [layer.name for layer in default_layers(layers_in(ms.demo_model(), 64, 64))] == ["deep", "up.1"]
    assert [layer.name for layer in default_layers(layers_in(small(), 16, 16))] == ["deep", "up"]
    assert [layer.name for layer in default_layers(layers_in(small(3), 8, 8, 8))] == ["deep", "up"]


def test_default_leaves_out_pooled_branches_and_heads():
    torch.manual_seed(0)

    class WithPooling(Small):
        def forward(self, x):
            skip = self.down(x)
            deep = self.deep(self.pool(skip))
            deep = deep * F.adaptive_avg_pool2d(self.deep(self.pool(skip)), 1).sigmoid()
            return self.head(self.up(torch.cat([F.interpolate(deep, skip.shape[2:]), skip], 1)))

    names = [layer.name for layer in default_layers(layers_in(WithPooling().eval(), 16, 16))]
    assert names == ["deep", "up"]
    coarse = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))  # the head at the coarse level
    assert [layer.name for layer in default_layers(layers_in(coarse, 16, 16))] == ["1"]


def test_layer_by_module_and_several():
    net, case = small(), case_of(12, 12)
    explanation = ms.activation_map(net, case, 1, layer=[net.deep, "down"], pixels=half(12, 12))
    assert explanation.layers == ("deep", "down") and explanation[0].maps.shape == (2, 12, 12)


def test_unknown_layer_lists_the_nearest_names():
    with pytest.raises(
        ValueError, match=r"layer must be one that gives a map: 'deep'.*got 'depe' \(did you mean 'deep'"
    ):
        map_of(small(), case_of(12, 12), "depe", 1, half(12, 12))
    with pytest.raises(ValueError, match="got a Conv2d that is none of them"):
        map_of(small(), case_of(12, 12), nn.Conv2d(1, 1, 1), 1, half(12, 12))
    with pytest.raises(ValueError, match="layer must be at least one layer"):
        map_of(small(), case_of(12, 12), [], 1, half(12, 12))
    assert ms.layer_names(small(), case_of(12, 12))[-2:] == ["head", "end"]


def test_layers_without_a_part_in_the_answer_are_none():
    class Idle(Small):
        def forward(self, x):
            self.idle(x)
            return super().forward(x)

    torch.manual_seed(0)
    net = Idle()
    net.idle = nn.Conv2d(1, 2, 1)
    assert "idle" not in ms.layer_names(net.eval(), case_of(12, 12))


# ---------------------------------------------------------------- no gradient


class Argmax(Small):
    def forward(self, x):
        return super().forward(x).argmax(1)


class Detached(Small):
    def forward(self, x):
        return super().forward(x).detach()


class NoGrad(Small):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize("net", [Argmax(), Detached(), NoGrad(), torch.jit.trace(small(), torch.rand(1, 1, 12, 12))])
def test_networks_without_gradient_say_so(net):
    with pytest.raises(ValueError, match=r"must give scores with a gradient, got none .*occlusion_map\(model, case"):
        map_of(net, case_of(12, 12), None, 1, half(12, 12))


def test_other_models_without_gradient_say_so():
    class Plain:
        def predict(self, image):
            return np.asarray(image) > 2

    for model in (Plain(), lambda image: image > 2):
        with pytest.raises(ValueError, match="gradients are known of networks of PyTorch and Keras.*occlusion"):
            map_of(model, case_of(12, 12), None, 1, half(12, 12))


def test_message_without_captum(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.delitem(sys.modules, "captum.attr", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'misas\[explain\]'"):
        map_of(small(), case_of(12, 12), "deep", 1, half(12, 12))


def test_label_that_the_network_does_not_have():
    with pytest.raises(ValueError, match="label must be one of the network's labels, 0 to 2, got 3"):
        map_of(small(), case_of(12, 12), "deep", 3, half(12, 12))


def test_empty_set_gives_zeros():
    case = case_of(8, 8)
    model = ms.as_model(small())
    layers = chosen_layers("deep", network_layers(model, case.image[None], case))
    assert layer_maps(model, case, torch.zeros(8, 8, dtype=torch.bool), 1, layers).abs().sum() == 0


def test_coarse_scores_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        num_channels=3, num_labels=3, depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16
    )
    torch.manual_seed(0)
    net = transformers.SegformerForSemanticSegmentation(config).eval()
    case, mask = case_of(64, 64), half(64, 64)
    name = ms.layer_names(net, case)[-3]
    module = dict(net.named_modules())[name]
    kept = []
    hook = module.register_forward_hook(lambda m, i, o: kept.append(o) or o.clone())
    inside = case.image.expand(1, 3, 64, 64).clone().requires_grad_()
    logits = F.interpolate(net(inside).logits, (64, 64), mode="bilinear")
    hook.remove()
    gradient = torch.autograd.grad(logits[0, 1][mask].mean(), kept[0])[0]
    cam = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).relu().detach()
    expected = F.interpolate(cam, (64, 64), mode="bilinear")[0, 0]
    assert torch.allclose(map_of(net, case, name, 1, mask), expected, atol=1e-6)


def test_a_layer_that_speaks_against_the_label_is_said_to():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    net[0].weight.data.fill_(1.0)
    net[2].weight.data.fill_(-1.0)
    with pytest.warns(UserWarning, match="nothing in layer '1' speaks for label '1': its map is 0 everywhere"):
        ms.activation_map(net, case_of(8, 8), 1, layer="1", pixels=half(8, 8))
