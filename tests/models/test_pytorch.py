"PyTorch networks give through misas what they give themselves, and stay as they were"

import gc
import pickle
import threading
import time
import types
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from misas.core.cases import Case
from misas.core.model import as_model
from misas.core.sweeps import get_series, sweep
from misas.models import fast
from misas.models.fast import evaluation_mode
from misas.models.pytorch import TorchModel
from misas.transforms.basic import Brightness

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")


class Threshold(torch.nn.Module):
    def forward(self, x):
        return torch.cat([torch.full_like(x, 100), x], 1)


class Above(torch.nn.Module):
    "What is above a threshold"

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1, bias=False)
        self.th = 0.3
        self.settings = {"th": 0.3}
        self.config = types.SimpleNamespace(th=0.3)
        self.mean = torch.zeros(1)
        self.last = torch.nn.Identity()
        torch.nn.init.ones_(self.conv.weight)

    def forward(self, x):
        threshold = self.th + self.settings["th"] + self.config.th + self.mean.to(x) - 0.6
        return self.last((self.conv(x) - threshold) * 10)


class Answer(torch.nn.Module):
    "Two convolutions and a last step"

    def __init__(self, classes, last, conv=torch.nn.Conv2d):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(classes)
            self.body = torch.nn.Sequential(conv(1, 4, 3, padding=1), torch.nn.Tanh(), conv(4, classes, 3, padding=1))
        self.last = last

    def forward(self, x):
        return self.last(self.body(x))


def folded_network():
    "A network whose copy is folded"
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1)
    )
    net(torch.rand(4, 1, 16, 16))
    return net.eval()


@pytest.fixture
def x():
    return torch.tensor([[[[0.0, 50], [150, 200]]]])


@pytest.fixture
def even():
    return torch.linspace(0, 1, 100).reshape(1, 1, 10, 10)


def swept(model, images):
    "The mask of a sweep with one step"
    return get_series(model, Case(images[0]), Brightness(), [1], progress=False)[0].pred


# ---- what a network gives


def test_several_classes_and_one(x):
    assert TorchModel(Threshold())(x).tolist() == [[[0, 0], [1, 1]]]
    assert TorchModel(Threshold()).probabilities(x, None).shape == (1, 2, 2, 2)
    assert as_model(Threshold(), labels=["bg", "fg"]).labels == ("bg", "fg")
    binary = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(binary.weight, 1)
    torch.nn.init.constant_(binary.bias, -100)
    assert TorchModel(binary)(x).tolist() == [[[0, 0], [1, 1]]]
    assert TorchModel(binary)(x.expand(-1, 3, -1, -1)).sum() == 2  # grey in three channels


def test_preprocess_and_prepare(x):
    assert TorchModel(Threshold(), preprocess=lambda x: 2 * x)(x).sum() == 2
    cropping = TorchModel(Threshold(), prepare=lambda c: c.replace(image=c.image[:, :1]))
    assert cropping.prepare(Case(torch.rand(4, 4))).shape == (1, 4)


STEPS = {
    1: (torch.sigmoid, lambda x: x > 0, lambda x: (x > 0)[:, 0]),
    3: (torch.nn.Softmax(1), lambda x: x.argmax(1), lambda x: x.argmax(1, keepdim=True)),
}
SHAPES = [((2, 1, 17, 20), torch.nn.Conv2d), ((2, 1, 5, 9, 8), torch.nn.Conv3d)]


@pytest.mark.parametrize("classes", STEPS)
@pytest.mark.parametrize("shape, conv", SHAPES)
def test_logits_probabilities_and_labels_agree(shape, conv, classes):
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    squash, *decide = STEPS[classes]
    logits = as_model(Answer(classes, torch.nn.Identity(), conv))
    probable = as_model(Answer(classes, squash, conv))
    assert logits(noise).shape == (2, *shape[2:]) and logits(noise).float().mean() > 0
    assert torch.equal(logits(noise), probable(noise))
    maps = probable.probabilities(noise, None)
    assert torch.allclose(logits.probabilities(noise, None), maps, atol=1e-6)
    assert torch.allclose(maps.sum(1), torch.ones(()))
    for d in decide:
        given = as_model(Answer(classes, d, conv))
        assert torch.equal(given(noise).mul_(1), logits(noise)) and given.probabilities(noise, None) is None
        floats = as_model(Answer(classes, lambda x, d=d: d(x).float(), conv), output="labels")
        assert torch.equal(floats(noise), logits(noise))


@pytest.mark.parametrize("classes", STEPS)
def test_one_name_for_each_class(classes):
    noise = torch.randn((2, 1, 17, 20), generator=torch.Generator().manual_seed(0))
    net = Answer(classes, torch.nn.Identity())
    n = max(2, classes)
    with pytest.raises(ValueError, match=rf"labels must be {n} names, .*got 5 names \(a, b, c, d, e\)"):
        as_model(net, labels=list("abcde"))(noise)
    assert torch.equal(as_model(net, labels=list("abc")[:n])(noise), as_model(net)(noise))


def test_a_dict_of_names_may_leave_classes_out():
    noise = torch.randn((2, 1, 17, 20), generator=torch.Generator().manual_seed(0))
    named = as_model(Answer(3, torch.nn.Identity()), labels={1: "ring"})
    assert named(noise).max() == 2 and named.labels == ("0", "ring")
    with pytest.raises(ValueError, match=r"labels must be 3 names, .*got 4 names"):
        as_model(named.net, labels={3: "?"})(noise)


def test_output_is_taken_at_its_word():
    with pytest.raises(ValueError, match="integers"):
        as_model(Answer(2, torch.nn.Softmax(1)), output="labels")(torch.rand(1, 1, 4, 4))
    with pytest.raises(ValueError, match="output must be one of None, 'logits', .*got 'scores'"):
        as_model(Threshold(), output="scores")
    noise = torch.randn((2, 1, 17, 20), generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="output='probabilities'"):
        as_model(Answer(1, lambda x: x.sigmoid() * 1.0))(noise)


class WholeAndCore(torch.nn.Module):
    def forward(self, x):
        return torch.sigmoid(20 * torch.cat([x - 0.3, x - 0.7], 1))


class Regions(torch.nn.Module):
    def forward(self, x):
        return (WholeAndCore()(x) > 0.5).sum(1)


def test_overlapping_regions_are_warned_of_once(even):
    tumour = as_model(WholeAndCore())
    advice = r"2 channels add up to .* overlap.*output='multilabel'.*output='probabilities'"
    with pytest.warns(UserWarning, match=advice) as caught:
        wrong = tumour(even)
        tumour(even)
        swept(tumour, even)
    assert len(caught) == 1 and not wrong.any()  # the whole is always the larger one
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_model(Regions())(even).flatten().bincount().tolist() == [30, 40, 30]
        assert torch.equal(as_model(WholeAndCore(), output="probabilities")(even), wrong)
        for last in (torch.nn.Softmax(1), lambda x: torch.sigmoid(torch.cat([x, -x], 1)[:, :2])):
            as_model(torch.nn.Sequential(Answer(2, last)))(even)


class Coarse(torch.nn.Module):
    "Scores on a grid that is coarser by a factor, or smaller by some pixels"

    def __init__(self, factor=1, cut=0):
        super().__init__()
        self.body, self.factor, self.cut = Answer(3, torch.nn.Identity()).body, factor, cut

    def forward(self, x):
        return [torch.nn.functional.avg_pool2d(self.body(x), self.factor)[..., self.cut :, :], None]


@pytest.fixture
def noise():
    return torch.randn((3, 1, 24, 16), generator=torch.Generator().manual_seed(1))


def test_coarser_grids(noise):
    with torch.no_grad():
        scores = torch.nn.functional.interpolate(Coarse(4)(noise)[0], (24, 16), mode="bilinear", align_corners=False)
    assert torch.equal(as_model(Coarse(4))(noise), scores.argmax(1).int())
    with pytest.raises(ValueError, match=r"\(22, 16\)"):
        as_model(Coarse(cut=2))(noise)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtypes(noise, dtype):
    net = Answer(3, torch.nn.Identity()).to(dtype)
    with torch.no_grad():
        expected = net(noise.to(dtype)).argmax(1).int()
    for fast_too in (False, True):
        model = as_model(net, fast=fast_too)
        assert torch.equal(model(noise), expected) and next(net.parameters()).dtype == dtype
        assert model.probabilities(noise, None).dtype == torch.float32
        with model.session():
            assert (model(noise) == expected).float().mean() > 0.99


def programs(net, noise):
    every, free = torch.export.Dim.AUTO, (0, 2, 3)
    return {
        "scripted": lambda: torch.jit.script(net.body),
        "frozen": lambda: torch.jit.freeze(torch.jit.script(net.body)),
        "traced": lambda: torch.jit.trace(net, noise),
        "exported for 1": lambda: torch.export.export(net, (noise[:1],)),
        "exported for 2": lambda: torch.export.export(net, (noise[:2],)).module(),
        "exported for any": lambda: torch.export.export(
            net, (noise,), dynamic_shapes=({a: every for a in free},)
        ).module(),
    }


@pytest.mark.parametrize(
    "name", ["scripted", "frozen", "traced", "exported for 1", "exported for 2", "exported for any"]
)
def test_programs(noise, name):
    net = Answer(3, torch.nn.Identity()).eval()
    with torch.no_grad():
        expected = net(noise).argmax(1).int()
    model = as_model(programs(net, noise)[name]())
    assert (model(noise) == expected).float().mean() > 0.999
    with model.session():
        assert (model(noise) == expected).float().mean() > 0.999
    if name == "exported for any":
        assert model(noise[..., :11]).shape == (3, 24, 11)
    if name == "exported for 1":
        with pytest.raises(ValueError, match=r"must be \(24, 16\), for which the network was exported, got \(24, 11\)"):
            model(noise[..., :11])


def test_probabilities_that_are_resized_at_the_end(noise):
    net = Answer(3, torch.nn.Identity()).eval()

    class Resized(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(net(x).softmax(1), (24, 16), mode="bilinear")

    with torch.no_grad():
        assert torch.allclose(as_model(Resized()).probabilities(noise, None), Resized()(noise), atol=1e-6)


def compiled_in_place(net):
    net.compile(backend="eager")
    return net


@pytest.mark.parametrize("compiled", [lambda net: torch.compile(net, backend="eager"), compiled_in_place])
def test_compiled_networks(noise, compiled):
    net = Answer(3, torch.nn.Identity()).eval()
    with torch.no_grad():
        expected = net(noise).argmax(1).int()
    model = as_model(compiled(torch.nn.Sequential(net, torch.nn.Softmax(1))))
    for _ in range(2):
        assert torch.equal(model(noise), expected)
    with model.session():
        for _ in range(2):
            assert torch.equal(model(noise), expected)
        assert torch.allclose(model.probabilities(noise, None).sum(1), torch.ones(()))


def test_images_of_the_wrong_dimension():
    net = Answer(3, torch.nn.Identity())
    with pytest.raises(ValueError, match="2D convolutions, and the image has 3 axes; SliceWise"):
        as_model(net, output="logits")(torch.rand(1, 1, 4, 8, 8))
    with pytest.raises(ValueError, match="3D convolutions, and the image has 2 axes"):
        as_model(torch.nn.Conv3d(1, 2, 3, padding=1))(torch.rand(1, 1, 8, 8))


def test_channels_of_a_network_whose_first_convolution_does_not_see_the_image():
    folded = torch.nn.Sequential(torch.nn.PixelUnshuffle(2), torch.nn.Conv2d(12, 8, 1), torch.nn.PixelShuffle(2))
    for channels in (1, 3):
        assert as_model(folded)(torch.rand(1, channels, 8, 8)).shape == (1, 8, 8)
    with pytest.raises(ValueError, match="must have 3 channels, .*got 2 different channels"):
        as_model(folded)(torch.rand(1, 2, 8, 8))
    for channels in (1, 3):
        assert as_model(folded, channels=3)(torch.rand(1, channels, 8, 8)).shape == (1, 8, 8)
    with pytest.raises(ValueError, match="channels must be"):
        as_model(folded, channels=0)


class Odd(torch.nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


@pytest.mark.parametrize(
    "output, error",
    [
        (torch.zeros(1, 2, 5), "shape"),
        (torch.zeros(3, 2, 4, 4), "shape"),
        ({"mask": 1, "label": 2}, "dict"),
        (torch.full((1, 2, 2, 2), torch.nan), "NaN"),
    ],
)
def test_output_that_is_none(x, output, error):
    with pytest.raises(ValueError, match=error):
        TorchModel(Odd(output))(x)


def test_lazy_layers():
    with pytest.raises(ValueError, match="net must be .*lazy layers.*run once.*got 'Sequential'"):
        as_model(torch.nn.Sequential(torch.nn.LazyConv2d(2, 3)))


# ---- the network stays the user's


def test_modes_are_counted():
    both = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.Dropout().eval())
    with evaluation_mode(both):
        with evaluation_mode(both[0]):
            assert not both.training and not both[0].training
        assert not both[0].training  # it still is evaluated
    assert both.training and both[0].training and not both[1].training and not fast._evaluated


@pytest.mark.parametrize("fast_too", [True, False])
def test_modes_statistics_and_gradients_are_left_alone(fast_too):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)).train()
    net[1].eval()
    before = net[1].running_mean.clone()
    model = TorchModel(net, fast=fast_too)
    model(torch.rand(2, 1, 4, 4))
    swept(model, torch.rand(1, 1, 4, 4))
    assert net.training and net[0].training and not net[1].training and torch.equal(before, net[1].running_mean)
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_images_are_left_alone():
    def darkened(x):
        x -= 0.5
        return x

    many = torch.rand(2, 1, 16, 16)
    kept = many.clone()
    TorchModel(folded_network(), preprocess=darkened)(many)
    in_place = TorchModel(torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Conv2d(1, 2, 1)))
    in_place(many - 1)
    with in_place.session():
        in_place(many)
    assert torch.equal(many, kept)


class Ramp(torch.nn.Module):
    "Keeps a tensor that it made"

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 1)
        self.norm = torch.nn.BatchNorm2d(2)
        self.drop = torch.nn.Dropout()
        self.ramp = None

    def forward(self, x):
        if self.ramp is None:
            self.ramp = torch.linspace(0, 1, x.shape[-1])
        x = self.conv(x)
        time.sleep(0.001 + 0.004 * bool(x[0, 0, 0, 0] > 0))
        return (self.drop(self.norm(x)) * self.ramp).softmax(1)


@pytest.mark.parametrize("fast_too", [True, False])
def test_training_goes_on_afterwards_and_threads_agree(fast_too):
    many = torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    net = Ramp()
    model = as_model(net, fast=fast_too)
    model(many)
    net(many).sum().backward()
    model(many).mul_(2)
    model.probabilities(many, None).mul_(2)
    labels, mean = model(many), net.norm.running_mean.clone()
    with ThreadPoolExecutor(4) as threads:
        found = torch.cat(list(threads.map(model, many[:, None])))
    assert torch.equal(found, labels)
    with model.session(), ThreadPoolExecutor(4) as threads:
        found = torch.cat(list(threads.map(model, many[:, None])))
    assert (found == labels).float().mean() > 0.99
    assert net.training and net.norm.training and net.drop.training and torch.equal(net.norm.running_mean, mean)


def test_a_model_that_was_used_is_pickled_as_one_that_was_not():
    many = torch.rand(2, 1, 16, 16)
    model = as_model(folded_network())
    fresh = pickle.dumps(model)
    model(many)
    with model.session():
        model(many)
        assert pickle.dumps(model) == fresh
    assert pickle.dumps(model) == fresh
    assert torch.equal(pickle.loads(fresh)(many), model(many))


def test_autocast_changes_little():
    many, net = torch.rand(2, 1, 16, 16), folded_network()
    half = TorchModel(net, autocast=torch.bfloat16)
    assert (half(many) == TorchModel(net)(many)).float().mean() > 0.9
    with half.session():
        assert (half(many) == TorchModel(net)(many)).float().mean() > 0.9


class Small(torch.nn.Module):
    "A network for which three images are too much"

    def __init__(self, alive):
        super().__init__()
        self.alive, self.used = alive, []

    def forward(self, x):
        self.alive.append(sum(r() is not None for r in self.used))
        large = x * 2
        self.used.append(weakref.ref(large))
        if len(x) > 2:
            raise torch.OutOfMemoryError("too much")
        return torch.cat([x, 1 - x], 1)


def test_a_batch_that_is_too_large_is_halved():
    alive = []
    tight = TorchModel(Small(alive))
    tight.batch_size = 8
    assert tight(torch.rand(7, 1, 4, 4)).shape == (7, 4, 4)
    assert tight.batch_size == 2
    assert len(alive) == 7 and not any(alive)  # each attempt finds the memory of the one before it free


# ---- sessions


def averaged(net):
    for p in net.parameters():
        p.data.lerp_(torch.zeros_like(p), 0.5)


def set_forward(net):
    net.forward = lambda x: net.conv(x) - 0.7


CHANGES = {
    "attribute": (lambda net: setattr(net, "th", 0.7), 30),
    "entry of a dict": (lambda net: net.settings.update(th=0.7), 30),
    "configuration": (lambda net: setattr(net.config, "th", 0.7), 30),
    "tensor that is no buffer": (lambda net: net.mean.data.add_(0.4), 30),
    "forward": (set_forward, 30),
    "hook": (lambda net: net.conv.register_forward_hook(lambda m, x, y: y - 0.4), 30),
    "sigmoid": (lambda net: setattr(net, "last", torch.nn.Sigmoid()), 70),
    "other data": (lambda net: setattr(net.conv.weight, "data", net.conv.weight.data / 2), 40),
    "write through .data": (lambda net: net.conv.weight.data.div_(2), 40),
    "one element through .data": (lambda net: net.conv.weight.data[0, 0, 0, 0].div_(2), 40),
    "write through numpy": (lambda net: net.conv.weight.detach().numpy().__itruediv__(2), 40),
    "moving average": (averaged, 40),
    "vector to parameters": (
        lambda net: torch.nn.utils.vector_to_parameters(torch.tensor([0.5]), net.parameters()),
        40,
    ),
    "in place": (lambda net: torch.nn.init.constant_(net.conv.weight, 0.5), 40),
    "double": (lambda net: net.double(), 70),
    "labels": (lambda net: setattr(net, "forward", lambda x: (x[:, 0] > 0.5).long()), 50),
    "parametrization": (lambda net: torch.nn.utils.parametrizations.weight_norm(net.conv), 70),
}


@pytest.mark.parametrize("fast_too", [True, False])
@pytest.mark.parametrize("name", CHANGES)
def test_the_next_sweep_and_the_next_call_see_a_change(name, fast_too, even):
    change, after = CHANGES[name]
    net = Above()
    model = as_model(net, fast=fast_too)
    assert model(even).sum() == 70 and swept(model, even).sum() == 70
    change(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert swept(model, even).sum() == after
        assert model(even).sum() == after
        assert as_model(net)(even).sum() == after


def test_a_hook_that_listens_hears_every_run(even):
    net, seen = Above(), []
    model = as_model(net)
    swept(model, even)
    net.conv.register_forward_hook(lambda m, x, y: seen.append(y))
    model(even)
    heard = len(seen)
    swept(model, even)
    assert heard == 1 and len(seen) > 1


def test_half_precision_is_seen(even):
    net = Above()
    model = as_model(net)
    model(even)
    net.half()
    assert model.dtype == torch.float16 and 69 <= model(even).sum() <= 71
    net.conv.register_forward_hook(lambda *a: None)
    model(even)


def test_statistics_are_seen_by_the_next_session():
    net, many = folded_network(), torch.rand(2, 1, 16, 16)
    model = as_model(net)
    for _ in range(2):
        with model.session():
            assert (model(many) == as_model(net, fast=False)(many)).float().mean() > 0.99
        net[1].running_mean.data.add_(1)
    for _ in range(2):
        net[1].running_var.mul_(2)
        with model.session():
            assert (model(many) == as_model(net, fast=False)(many)).float().mean() > 0.99


def copies_of(monkeypatch):
    "A list that grows by one with each copy that is made"
    made = []
    original = fast.fast_copy

    def counting(net):
        made.append(net)
        return original(net)

    monkeypatch.setattr(fast, "fast_copy", counting)
    return made


def test_a_copy_is_made_at_the_first_batch_and_dropped_at_the_end(monkeypatch):
    made, many = copies_of(monkeypatch), torch.rand(2, 1, 16, 16)
    model = as_model(folded_network())
    with model.session():
        assert made == []
        model(many)
        with model.session():
            model(many)
        model(many)
        assert len(made) == 1
        copy = weakref.ref(model._sessions._shared.net)
    gc.collect()
    assert copy() is None
    model(many)
    assert len(made) == 1  # outside of a session there is none
    with model.session():
        model(many)
    assert len(made) == 2


def test_no_copy_unless_fast(monkeypatch):
    made, many = copies_of(monkeypatch), torch.rand(2, 1, 16, 16)
    model = as_model(folded_network(), fast=False)
    with model.session():
        model(many)
    assert made == []


def test_a_session_ends_with_an_error():
    model = as_model(folded_network())
    with pytest.raises(KeyError), model.session():
        model(torch.rand(2, 1, 16, 16))
        raise KeyError
    assert model._sessions._shared is None and not model._sessions._open


def test_the_kind_of_output_is_found_once_in_a_session(even):
    class Counting(fast.torch.nn.Module):
        def forward(self, x):
            modes.append(torch.utils._python_dispatch._get_current_dispatch_mode() is not None)
            return x - 0.5

    modes = []
    model = as_model(Counting())
    for _ in range(2):
        model(even)
    assert modes == [True, True]
    modes.clear()
    with model.session():
        for _ in range(3):
            model(even)
    assert modes == [True, False, False]


def test_threads_share_a_copy(monkeypatch):
    made = copies_of(monkeypatch)
    many = torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    net = Ramp()
    model = as_model(net)
    expected, together = model(many), threading.Barrier(4)

    def run(part):
        with model.session():
            together.wait()
            found = [model(image[None]) for image in part]
            together.wait()
        return torch.cat(found)

    with ThreadPoolExecutor(4) as threads:
        found = torch.cat(list(threads.map(run, many.split(4))))
    assert len(made) == 1 and (found == expected).float().mean() > 0.99
    assert net.training and net.norm.training and model._sessions._shared is None


def test_an_unfinished_sweep_does_not_keep_an_old_copy(even):
    net = Above()
    model = as_model(net)
    steps = sweep(model, Case(even[0]), Brightness(), [0.9, 1, 1.1], batch_size=1, progress=False)
    next(steps)
    with torch.no_grad():
        net.conv.weight.div_(2)
    assert swept(model, even).sum() == 40
    del steps
    gc.collect()
    assert not model._sessions._open


def test_the_same_call_twice_gives_the_same():
    many, net = torch.rand(2, 1, 16, 16), folded_network()
    model = as_model(net)
    assert torch.equal(model.probabilities(many, None), model.probabilities(many, None))
    with model.session():
        maps = model.probabilities(many, None)
        assert torch.equal(model.probabilities(many, None), maps)
    with model.session():
        assert torch.equal(model.probabilities(many, None), maps)
    assert torch.allclose(model.probabilities(many, None), maps, atol=1e-6)
