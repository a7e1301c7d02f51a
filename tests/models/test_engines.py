"Networks in other engines: the labels that torch gives, or torch itself"

import pickle
import warnings
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(package, exc_type=ImportError)

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.phantoms import phantom
from misas.models import engines
from misas.models.engines import BOUND, Clock
from misas.transforms.basic import Brightness

VALUES = [0.5, 0.8, 1.0, 1.3]
FLAT, DEEP = phantom((32, 48), seed=0), phantom((16, 16, 24), seed=0)


def seeded(make, seed=0):
    "A network, always the same, whose batch norms have statistics that matter"
    torch.manual_seed(seed)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def conv(i, o, **options):
    return nn.Conv2d(i, o, 3, padding=1, **options)


class UNet(nn.Module):
    "One step down, one step up"

    def __init__(self, dims=2, up="transposed"):
        super().__init__()
        convolution, norm, pool, transposed = {
            2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.ConvTranspose2d),
            3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.ConvTranspose3d),
        }[dims]

        def block(i, o):
            return nn.Sequential(convolution(i, o, 3, padding=1), norm(o), nn.ReLU(inplace=True))

        self.first, self.low, self.last = block(1, 8), block(8, 16), block(24 if up != "transposed" else 16, 8)
        self.pool = pool(2)
        mode = "trilinear" if dims == 3 else "bilinear"
        self.up = transposed(16, 8, 2, stride=2) if up == "transposed" else nn.Upsample(scale_factor=2, mode=mode)
        self.head = convolution(8, 4, 1)

    def forward(self, x):
        x = self.first(x)
        return self.head(self.last(torch.cat([self.up(self.low(self.pool(x))), x], 1)))


class Attends(nn.Module):
    "A transformer on patches, whose scores lie on a coarser grid"

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 16, 4, stride=4)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x):
        x = self.norm(self.embed(x).flatten(2).transpose(1, 2))
        return self.head(x + self.attention(x, x, x, need_weights=False)[0])


class Squeezes(nn.Module):
    "Channels weighted by what the whole image says"

    def __init__(self):
        super().__init__()
        self.first, self.weigh, self.head = conv(1, 8), nn.Linear(8, 8), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        x = nn.functional.silu(self.first(x))
        return self.head(x * torch.sigmoid(self.weigh(x.mean((2, 3))))[:, :, None, None])


class Gives(nn.Module):
    "Scores within an output of another kind"

    def __init__(self, pack, classes=3):
        super().__init__()
        self.body, self.head, self.side = conv(1, 8), nn.Conv2d(8, classes, 1), nn.Conv2d(8, classes, 1)
        self.pack = pack

    def forward(self, x):
        x = torch.relu(self.body(x))
        return self.pack(self.head(x), self.side(x))


class Standardises(nn.Module):
    "Works in place on the image"

    def __init__(self):
        super().__init__()
        self.head = conv(1, 3)

    def forward(self, x):
        x -= x.mean()
        x /= x.std() + 1e-6
        return self.head(x)


NETWORKS = {
    "U-Net": UNet,
    "U-Net, bilinear": lambda: UNet(up="linear"),
    "U-Net, 3D": lambda: UNet(3),
    "U-Net, 3D, trilinear": lambda: UNet(3, "linear"),
    "instance norm": lambda: nn.Sequential(conv(1, 8), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU(), conv(8, 3)),
    "group norm": lambda: nn.Sequential(conv(1, 8), nn.GroupNorm(2, 8), nn.GELU(), conv(8, 3)),
    "dilated": lambda: nn.Sequential(nn.Conv2d(1, 8, 3, padding=4, dilation=4), nn.PReLU(), conv(8, 3)),
    "depthwise": lambda: nn.Sequential(conv(1, 8), conv(8, 8, groups=8), nn.Hardswish(), nn.Conv2d(8, 3, 1)),
    "reflected border": lambda: nn.Sequential(conv(1, 8, padding_mode="reflect"), nn.ELU(), conv(8, 3)),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(1, 12, 4, stride=2, padding=1), nn.PixelShuffle(2)),
    "coarse scores": lambda: nn.Sequential(nn.Conv2d(1, 8, 4, stride=4), nn.Tanh(), nn.Conv2d(8, 3, 1)),
    "attention": Attends,
    "squeeze and excitation": Squeezes,
    "softmax": lambda: nn.Sequential(conv(1, 8), nn.ReLU(), conv(8, 3), nn.Softmax(1)),
    "one channel": lambda: nn.Sequential(conv(1, 8), nn.ReLU(), conv(8, 1)),
    "one probability": lambda: nn.Sequential(conv(1, 8), nn.ReLU(), conv(8, 1), nn.Sigmoid()),
    "labels": lambda: Gives(lambda main, side: main.argmax(1)),
    "a dict": lambda: Gives(lambda main, side: OrderedDict(out=main, aux=side)),
    "deep supervision": lambda: Gives(lambda main, side: [main, nn.functional.avg_pool2d(side, 2)]),
    "channels last": lambda: Gives(lambda main, side: main.movedim(1, -1)),
    "in place": Standardises,
}


def series_of(net, engine, case=FLAT, **options):
    "Predictions of a sweep, and the model; a warning of the engine is an error"
    model = as_model(net, engine=engine, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*engine=")
        return get_series(model, case, Brightness(), VALUES, progress=False), model


def several(make, case):
    "A network that gives this image several labels, and torch's predictions of a sweep"
    for seed in range(50):
        net = seeded(make, seed)
        series, _ = series_of(net, "torch", case)
        if all(len(step.pred.unique()) > 1 for step in series):
            return net, series
    raise AssertionError("no such network")


@pytest.mark.parametrize("name", NETWORKS)
def test_labels_are_those_of_torch(name, monkeypatch):
    export, made = engines.to_onnx, []  # one export serves both
    monkeypatch.setattr(engines, "to_onnx", lambda *first: made[0] if made else made.append(export(*first)) or made[0])
    case = DEEP if "3D" in name else FLAT
    net, expected = several(NETWORKS[name], case)
    for engine in ("onnx", "openvino"):
        found, model = series_of(net, engine, case)
        assert model.engine_used == engine
        for a, b in zip(found, expected):
            assert torch.equal(a.pred, b.pred)


def test_scores_are_those_of_torch():
    net = seeded(UNet)
    model = as_model(net, engine="openvino")
    images = torch.rand((3, 1, 32, 48), generator=torch.Generator().manual_seed(1))
    with model.session():
        found = [model.probabilities(image[None], FLAT) for image in images]
    assert model.engine_used == "openvino"
    with torch.no_grad():
        expected = net(images).softmax(1)
    assert (torch.cat(found) - expected).abs().max() < 1e-5 < BOUND


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_batches(engine):
    net = seeded(UNet)
    expected, _ = series_of(net, "torch")
    found, model = series_of(net, engine, batch_size=3)  # the last group of three is filled up
    assert model.engine_used == engine
    assert all(torch.equal(a.pred, b.pred) for a, b in zip(found, expected))


def test_structures_and_thresholds():
    options = dict(output="multilabel", threshold=0.45)
    net = seeded(lambda: nn.Sequential(conv(1, 8), nn.ReLU(), conv(8, 2), nn.Sigmoid()))
    (expected, _), (found, model) = (series_of(net, engine, **options) for engine in ("torch", "onnx"))
    assert model.engine_used == "onnx"
    assert all(torch.equal(a.pred, b.pred) for a, b in zip(found, expected))


# ---- where torch runs


class Branches(nn.Module):
    "Goes another way for bright images"

    def __init__(self):
        super().__init__()
        self.head = conv(1, 3)

    def forward(self, x):
        return self.head(x) if x.mean() > 0.3 else -self.head(x)


class Counts(nn.Module):
    "Does something else from the third image on"

    def __init__(self):
        super().__init__()
        self.head, self.calls = conv(1, 3), 0

    def forward(self, x):
        self.calls += 1
        return self.head(x) if self.calls < 3 else -self.head(x)


class Draws(nn.Module):
    "Random whenever it runs"

    def __init__(self):
        super().__init__()
        self.head = conv(1, 3)

    def forward(self, x):
        return nn.functional.dropout(self.head(x), 0.1, training=True)


class Numpy(nn.Module):
    "Leaves torch on the way"

    def __init__(self):
        super().__init__()
        self.head = conv(1, 3)

    def forward(self, x):
        return self.head(x * float(x.detach().numpy().mean()))


class Drifts(nn.Module):
    "Adds what Python's random numbers say, which torch does not see"

    def __init__(self):
        super().__init__()
        self.head = conv(1, 3)

    def forward(self, x):
        import random

        return self.head(x) * (1 + random.random())


def hooked():
    net = conv(1, 3)
    net.register_forward_hook(lambda *_: None)
    return net


ONLY_TORCH = {
    "branches": (Branches, "."),
    "counts": (Counts, "changes itself when it runs"),
    "draws": (Draws, "draws random numbers"),
    "leaves torch": (Numpy, "."),
    "drifts": (Drifts, "scores differ from torch's by up to"),
    "has hooks": (hooked, "cannot be copied, as one with hooks"),
    "a script": (lambda: torch.jit.script(conv(1, 3)), "cannot be copied"),
    "double": (lambda: conv(1, 3).double(), "computes in torch.float64"),
}


@pytest.mark.parametrize("name", ONLY_TORCH)
def test_torch_runs_where_the_engine_cannot_and_that_is_said_once(name):
    make, why = ONLY_TORCH[name]
    model = as_model(seeded(make), engine="onnx")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            get_series(model, FLAT, Brightness(), VALUES, progress=False)
    assert model.engine_used == "torch"
    ours = [str(w.message) for w in said if "engine=" in str(w.message)]
    assert len(ours) == 1
    assert "engine='onnx' is not used, and torch runs: " in ours[0] and why in ours[0]


@pytest.mark.parametrize("name", ["branches", "leaves torch"])
def test_labels_are_right_all_the_same(name):
    net = seeded(ONLY_TORCH[name][0])
    expected, _ = series_of(net, "torch")
    with pytest.warns(UserWarning, match="torch runs"):
        found = get_series(as_model(net, engine="openvino"), FLAT, Brightness(), VALUES, progress=False)
    assert all(torch.equal(a.pred, b.pred) for a, b in zip(found, expected))


def test_autocast_is_torchs():
    with pytest.warns(UserWarning, match="computes in torch.bfloat16"):
        model = as_model(seeded(UNet), engine="onnx", autocast=torch.bfloat16)
        get_series(model, FLAT, Brightness(), VALUES, progress=False)


def test_an_engine_that_fails_in_the_middle(monkeypatch):
    def fragile(content, threads):
        run, calls = engines._open_onnx(content, threads), []

        def once(images):
            calls.append(1)
            if len(calls) > 2:
                raise RuntimeError("no memory left")
            return run(images)

        return once

    monkeypatch.setitem(engines.OPENERS, "onnx", fragile)
    net = seeded(UNet)
    expected, _ = series_of(net, "torch")
    model = as_model(net, engine="onnx")
    with pytest.warns(UserWarning, match="torch runs: RuntimeError: no memory left"):
        found = get_series(model, FLAT, Brightness(), VALUES, progress=False)
    assert model.engine_used == "torch"
    assert all(torch.equal(a.pred, b.pred) for a, b in zip(found, expected))


def test_outside_of_a_sweep_the_network_itself_runs():
    model = as_model(seeded(UNet), engine="onnx")
    model(FLAT.image[None])
    assert model.engine_used == "torch"


# ---- what was exported


def exports(monkeypatch):
    "A list that grows with each export"
    calls, export = [], engines.to_onnx
    monkeypatch.setattr(engines, "to_onnx", lambda *args: calls.append(args[2].shape) or export(*args))
    return calls


def test_an_export_serves_later_sweeps_of_its_shape(monkeypatch):
    calls = exports(monkeypatch)
    model = as_model(seeded(UNet), engine="onnx")
    for case in (FLAT, FLAT, phantom((48, 32), seed=1), FLAT):
        get_series(model, case, Brightness(), VALUES, progress=False)
    assert calls == [(1, 1, 32, 48), (1, 1, 48, 32)]


def test_a_network_that_was_changed_is_exported_anew(monkeypatch):
    calls = exports(monkeypatch)
    net, _ = several(UNet, FLAT)
    model = as_model(net, engine="onnx")
    before = get_series(model, FLAT, Brightness(), VALUES, progress=False)
    net.head.weight.data.neg_()
    after = get_series(model, FLAT, Brightness(), VALUES, progress=False)
    expected, _ = series_of(net, "torch")
    assert len(calls) == 2 and model.engine_used == "onnx"
    assert all(torch.equal(a.pred, b.pred) for a, b in zip(after, expected))
    assert not torch.equal(before[0].pred, after[0].pred)


def test_few_engines_are_kept(monkeypatch):
    net = seeded(lambda: conv(1, 3))
    model = as_model(net, engine="onnx")
    monkeypatch.setattr(engines, "to_onnx", lambda *_: b"")
    monkeypatch.setitem(engines.OPENERS, "onnx", lambda *_: lambda images: net(torch.from_numpy(images)).numpy())
    for n in range(16, 28, 2):
        get_series(model, phantom((n, 16), seed=0), Brightness(), [0.5, 1.1], progress=False)
    assert model.engine_used == "onnx" and len(model._engines._open) == engines._MOST


def test_the_network_is_left_alone():
    net = seeded(UNet)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    series_of(net.train(), "onnx")
    assert all(m.training for m in net.modules())
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())


def test_a_model_can_be_sent_to_another_process():
    _, model = series_of(seeded(UNet), "onnx")
    again = pickle.loads(pickle.dumps(model))
    assert again.engine == "onnx" and again.engine_used == "torch"
    get_series(again, FLAT, Brightness(), VALUES, progress=False)
    assert again.engine_used == "onnx"


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_threads_share_an_engine(engine):
    net = seeded(UNet)
    model = as_model(net, engine=engine)
    images = torch.rand((24, 1, 32, 48), generator=torch.Generator().manual_seed(2))
    with model.session():
        model(images[:1], FLAT)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda image: model(image[None], FLAT), images))
    assert torch.equal(torch.cat(found).long(), net(images).argmax(1))


def test_the_same_cache_key():
    net = seeded(UNet)
    assert as_model(net, engine="onnx").fingerprint() == as_model(net).fingerprint()


# ---- auto


def test_auto_runs_torch_until_it_pays():
    _, model = series_of(seeded(UNet), "auto")
    assert model.engine_used == "torch"
    assert model._engines.clock(FLAT.image[None]).runs == len(VALUES)


@pytest.mark.parametrize("best", ["torch", "onnx", "openvino"])
def test_auto_takes_the_fastest(best, monkeypatch):
    monkeypatch.setattr(Clock, "pays", lambda self: self.runs > 1)
    asked = []
    monkeypatch.setattr(engines, "fastest", lambda runs, images: asked.append(sorted(runs)) or best)
    net = seeded(UNet)
    expected, _ = series_of(net, "torch")
    found, model = series_of(net, "auto")
    assert model.engine_used == best and asked == [["onnx", "openvino", "torch"]]
    assert all(torch.equal(a.pred, b.pred) for a, b in zip(found, expected))
    get_series(model, FLAT, Brightness(), VALUES, progress=False)
    assert model.engine_used == best and len(asked) == 1  # decided for good


def test_auto_says_nothing_where_no_engine_can_run(monkeypatch):
    monkeypatch.setattr(Clock, "pays", lambda self: True)
    _, model = series_of(seeded(Branches), "auto")
    assert model.engine_used == "torch"


def test_auto_needs_no_engine(monkeypatch):
    monkeypatch.setattr(Clock, "pays", lambda self: True)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    _, model = series_of(seeded(UNet), "auto")
    assert model.engine_used == "torch"


# ---- arguments


def test_names_of_engines():
    with pytest.raises(ValueError, match="engine must be .*'torch'.*'openvino'.*'auto'.*got 'openvin'.*did you mean"):
        as_model(conv(1, 3), engine="openvin")


@pytest.mark.parametrize("engine, package", [("onnx", "onnxruntime"), ("openvino", "openvino"), ("onnx", "onnxscript")])
def test_what_is_not_installed(engine, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=rf"misas\[{engine}\]"):
        as_model(conv(1, 3), engine=engine)


def test_published_architectures():
    smp = pytest.importorskip("segmentation_models_pytorch")
    net = seeded(lambda: smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=3))
    case = phantom((64, 64), seed=0)
    expected, _ = series_of(net, "torch", case)
    found, model = series_of(net, "openvino", case)
    assert model.engine_used == "openvino"
    assert all(torch.equal(a.pred, b.pred) for a, b in zip(found, expected))
