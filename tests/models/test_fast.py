"A fast copy gives what the network gives, whatever the network does with its layers"

import functools

import pytest
import torch

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.phantoms import phantom
from misas.models import fast
from misas.models.fast import fast_copy, to_channels_last
from misas.transforms.basic import Brightness


def block(i, o):
    return torch.nn.Sequential(torch.nn.Conv2d(i, o, 3, padding=1), torch.nn.BatchNorm2d(o), torch.nn.ReLU())


def trained(net, channels=1):
    "`net` in evaluation mode, with statistics that matter"
    net.train()
    for seed in range(3):
        net(torch.randn((4, channels, 16, 16), generator=torch.Generator().manual_seed(seed)) * 3)
    return net.eval()


@pytest.fixture
def x():
    return torch.rand((2, 1, 16, 16), generator=torch.Generator().manual_seed(9))


def calls_of(module):
    "A list that grows by one with each call"
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.fixture
def net():
    return trained(torch.nn.Sequential(block(1, 8), block(8, 4)))


def test_batch_norms_are_folded(net, x):
    copy = fast_copy(net)
    norms = [calls_of(copy[0][1]), calls_of(copy[1][1])]
    with torch.no_grad():
        found = copy(to_channels_last(x))
        assert not torch.equal(found, net(x)) and torch.allclose(found, net(x), atol=1e-6)
    assert norms == [[], []]


def test_the_network_is_left_alone(net, x):
    before = {name: t.clone() for name, t in net.state_dict().items()}
    modes = [m.training for m in net.train().modules()]
    fast_copy(net)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())
    assert not any("forward" in vars(m) for m in net.modules())


def test_a_batch_norm_without_statistics_is_not_folded(net, x):
    net[0][1].running_mean = net[0][1].running_var = None
    assert [fast._can_be_folded(s[0], s[1]) for s in net] == [False, True]
    with torch.no_grad():
        assert torch.allclose(fast_copy(net)(x), net(x), atol=1e-5)


def test_a_layer_that_is_used_elsewhere_too_stays_what_it_was(x):
    shared = torch.nn.Conv2d(1, 1, 1)
    twice = trained(torch.nn.Sequential(shared, torch.nn.BatchNorm2d(1), shared))
    with torch.no_grad():
        assert torch.allclose(fast_copy(twice)(x), twice(x), atol=1e-6)


class Taps(torch.nn.Module):
    "Keeps what comes out of one of its layers"

    def __init__(self, at):
        super().__init__()
        self.features = torch.nn.Sequential(*block(1, 4), *block(4, 4))
        self.head = torch.nn.Conv2d(4, 3, 1)
        self.at = at

    def forward(self, x):
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i == self.at:
                tapped = x
        return self.head(tapped + x)


class Part(torch.nn.Module):
    "Uses a block as a whole, and its convolution alone"

    def __init__(self, whole):
        super().__init__()
        self.block, self.whole = block(1, 4), whole

    def forward(self, x):
        return self.block[0](x) + (self.block(x) if self.whole else 0)


class Sliced(torch.nn.Module):
    "Uses slices of a block"

    def __init__(self):
        super().__init__()
        self.block = block(1, 4)

    def forward(self, x):
        return self.block[:1](x) + self.block[:2](x) + self.block(x)


class Mixed(torch.nn.Module):
    "Slices, then depth"

    def __init__(self):
        super().__init__()
        self.flat, self.deep = block(1, 4), torch.nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x):
        return self.deep(self.flat(x)[:, None])[:, 0]


class Stubborn(torch.nn.Module):
    "Keeps batch norm in training mode"

    def __init__(self):
        super().__init__()
        self.block = block(1, 4)

    def train(self, mode=True):
        super().train(mode)
        self.block[1].train()
        return self

    def forward(self, x):
        return self.block(x)


def with_own_forward():
    net = block(1, 4)
    net[0].forward = functools.partial(torch.nn.Conv2d.forward, net[0])
    return net


NETWORKS = {
    "taps a convolution": lambda: Taps(0),
    "taps a batch norm": lambda: Taps(1),
    "taps the second convolution": lambda: Taps(3),
    "a block, and its convolution alone": lambda: Part(True),
    "only the convolution of a block": lambda: Part(False),
    "slices of a block": Sliced,
    "2D and 3D": Mixed,
    "batch norm in training mode": Stubborn,
    "a layer with its own forward": with_own_forward,
    "a convolution after a batch norm": lambda: torch.nn.Sequential(block(1, 4), Taps(0).features[1:3]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_gives_what_the_network_gives(name, x):
    net = trained(NETWORKS[name]())
    copy = fast_copy(net)
    for m in net.modules():
        m.training = False
    with torch.no_grad():
        assert torch.allclose(copy(to_channels_last(x)), net(x), atol=1e-5)


def test_the_last_of_these_is_folded_where_it_can_be(x):
    copy = fast_copy(trained(NETWORKS["a convolution after a batch norm"]()))
    first, second = calls_of(copy[0][1]), calls_of(copy[1][0])
    with torch.no_grad():
        copy(x)
    assert first == [] and second == [1]


def hooked():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    net[0].register_forward_hook(lambda *a: None)
    return net


def pre_hooked():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    net.register_forward_pre_hook(lambda *a: None)
    return net


def patched():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    net.forward = lambda x: net[0](x)
    return net


def closed():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    net.last = (lambda net: lambda x: net[0](x))(net)
    return net


def parametrized():
    return torch.nn.Sequential(torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(1, 1, 1)))


def compiled():
    return torch.compile(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)), backend="eager")


def compiled_in_place():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    net[0].compile(backend="eager")
    return net


def uncopyable():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))
    net.generator = (i for i in range(3))
    return net


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "make",
    [
        hooked,
        pre_hooked,
        patched,
        closed,
        parametrized,
        compiled,
        compiled_in_place,
        uncopyable,
        lambda: torch.jit.script(torch.nn.Conv2d(1, 1, 1)),
        lambda: torch.export.export(torch.nn.Conv2d(1, 1, 1), (torch.rand(1, 1, 4, 4),)).module(),
    ],
)
def test_networks_that_are_not_copied(make):
    net = make()
    assert fast_copy(net) is net


class _KeepsFunctions(torch.nn.Module):
    "A network that holds functions which know its layers, in a list or as a default"

    def __init__(self, how):
        super().__init__()
        self.bn = torch.nn.BatchNorm2d(1)
        if how == "list":
            self.steps = [lambda x: self.bn(x)]
        elif how == "dict":
            self.steps = {"norm": lambda x: self.bn(x)}
        else:
            self.steps = [lambda x, layer=self: layer.bn(x)]

    def forward(self, x):
        step = self.steps["norm"] if isinstance(self.steps, dict) else self.steps[0]
        x = step(x)
        return torch.cat([x, -x], 1)


@pytest.mark.parametrize("how", ["list", "dict", "default"])
def test_functions_that_know_the_network_never_run_it_in_training_mode(how):

    net = _KeepsFunctions(how).train()
    case = phantom((16, 16), seed=1)
    get_series(as_model(net), case, Brightness(), [0.5, 2], progress=False)
    assert net.training
    assert net.bn.num_batches_tracked == 0
    assert net.bn.running_mean == 0
