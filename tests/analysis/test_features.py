"Features of layers against hooks, maps against umap-learn itself, and paths of sweeps in a map"

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from misas.analysis import features as module
from misas.analysis import umap_process as process
from misas.analysis.features import FeatureMap, feature_map, feature_path, image_features
from misas.core.cases import Case
from misas.core.model import as_model
from misas.core.transform import as_transform
from misas.data.phantoms import phantom
from misas.metrics.base import measure
from misas.models.demo import demo_model
from misas.models.ensemble import Ensemble
from misas.models.sizes import PadTo
from misas.models.windows import SliceWise
from misas.transforms.basic import Brightness, Rotate

NET = demo_model()
CASES = [phantom((32, 32), seed=s).replace(columns=dict(site="ab"[s % 2])) for s in range(10)]


def hooked(net, name, inputs):
    "What a layer gives"
    seen = []
    hook = net.get_submodule(name).register_forward_hook(lambda m, given, out: seen.append(out.detach()))
    with torch.no_grad():
        net(inputs)
    hook.remove()
    return seen[-1]


def pooled(name, images, net=NET):
    maps = [hooked(net, name, image[None]) for image in images]
    return np.stack([m[0].flatten(1).mean(1).numpy() for m in maps])


@pytest.mark.parametrize("name", ["deep", "down.1", "up.0.3"])
def test_features_are_means_of_maps(name):
    found = image_features(NET, CASES[:3], name, progress=False)
    assert np.allclose(found, pooled(name, [c.image for c in CASES[:3]]), atol=1e-6)
    assert list(found.index) == [c.name for c in CASES[:3]] and found.columns.name == name


def test_default_is_the_deepest_and_a_module_will_do():
    default = image_features(NET, CASES[:2], progress=False)
    assert default.columns.name == "deep" and default.shape == (2, 128)
    assert np.array_equal(default, image_features(NET, CASES[:2], NET.deep, progress=False))


class Volume(nn.Module):
    "A network of volumes, which needs no gradient: it answers by labels"

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv3d(1, 5, 3, padding=1, stride=2)
        self.last = nn.Conv3d(5, 2, 1)

    def forward(self, x):
        y = self.last(torch.relu(self.first(x)))
        return nn.functional.interpolate(y, x.shape[2:]).argmax(1)


def test_volumes_and_networks_that_give_labels():
    volumes = [phantom((6, 16, 16), seed=s) for s in range(2)]
    net = Volume()
    assert np.allclose(
        image_features(net, volumes, "first", progress=False),
        pooled("first", [v.image for v in volumes], net),
        atol=1e-6,
    )
    assert image_features(net, volumes, progress=False).columns.name in ("first", "last")


def test_what_stands_around_a_network():
    case = CASES[0].replace(image=CASES[0].image[:, :30, :30], truth=CASES[0].truth[:30, :30])
    square = as_model(NET, size=PadTo(32))
    ready, _ = square._resized(case.image[None], case)
    assert ready.shape[-2:] == (32, 32)
    assert np.allclose(image_features(square, case, progress=False), pooled("deep", ready), atol=1e-6)
    # preprocessing
    bright = as_model(NET, preprocess=lambda x: 3 * x**2)
    assert np.allclose(
        image_features(bright, CASES[0], "down.0", progress=False),
        pooled("down.0", [3 * CASES[0].image ** 2]),
        atol=1e-5,
    )
    # slices: their mean
    volume = phantom((3, 32, 32), seed=1)
    own = pooled("deep", list(volume.image.movedim(1, 0)))
    assert np.allclose(image_features(SliceWise(NET), volume, progress=False), own.mean(0), atol=1e-5)
    named = as_model(NET, relabel={3: 1}, name="x")
    assert np.allclose(image_features(named, CASES[0], progress=False), pooled("deep", [CASES[0].image]), atol=1e-6)


def test_the_network_is_left_as_it_was():
    net = demo_model().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    image_features(net, CASES[:2], progress=False)
    assert net.training and not net.deep._forward_hooks
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    "layer, error, words",
    [
        ("deeep", ValueError, r"layer must be one that gives a map: 'deep'.*did you mean 'deep'\?"),
        (nn.Conv2d(1, 1, 1), ValueError, "a Conv2d that is none of them"),
        (["deep", "up"], TypeError, "layer must be the name of a layer"),
        ([], TypeError, "layer must be the name of a layer"),
    ],
    ids=str,
)
def test_no_such_layer(layer, error, words):
    with pytest.raises(error, match=words):
        image_features(NET, CASES[:1], layer, progress=False)


def test_models_without_layers():
    with pytest.raises(ValueError, match="must be a network of PyTorch or Keras.*got a PlainModel"):
        image_features(lambda image: image > 0.5, CASES[:1], progress=False)
    with pytest.raises(ValueError, match="got a Ensemble"):
        image_features(Ensemble([NET, NET]), CASES[:1], progress=False)
    script = torch.jit.trace(NET, CASES[0].image[None])
    with pytest.raises(ValueError, match="TorchScript"):
        image_features(script, CASES[:1], progress=False)
    with pytest.raises(ValueError, match="at least one case"):
        image_features(NET, [], progress=False)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        self.layer(x / 0)
        return x


def test_features_that_are_no_numbers():
    with pytest.raises(ValueError, match="features of case 'phantom-0' at layer 'layer' must be finite"):
        image_features(as_model(Broken(), output="logits"), CASES[0], "layer", progress=False)


# ---------------------------------------------------------------- maps


@pytest.fixture(scope="module", autouse=True)
def uncompiled():
    "For a handful of images UMAP is faster as plain Python than it is compiled; what is tested holds for both"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        process._end(process._started())  # one that compiles
        yield
        process._end(process._started())


@pytest.fixture(scope="module")
def table():
    return feature_map(NET, CASES, progress=False)


REFERENCE = """
import pickle, sys, warnings
sys.modules["tensorflow"] = None
import umap
warnings.simplefilter("ignore")
features, rows, settings = pickle.load(sys.stdin.buffer)
reducer = umap.UMAP(**settings)
places = reducer.fit_transform(features)
further = [reducer.transform(row[None])[0] for row in rows]
sys.stdout.buffer.write(pickle.dumps((places, further)))
"""


def reference(features, rows=(), **settings):
    "What umap-learn itself gives, in a process of its own: other tests may have loaded TensorFlow"
    settings = dict(n_neighbors=5, min_dist=0.01, random_state=0) | settings
    given = pickle.dumps((features, list(rows), settings))
    done = subprocess.run([sys.executable, "-c", REFERENCE], input=given, capture_output=True, check=True)
    return pickle.loads(done.stdout)


def test_map_is_that_of_umap_learn(table):
    features = pooled("deep", [c.image for c in CASES])
    places, _ = reference(features)
    assert np.allclose(table[["x", "y"]], places, atol=1e-4)
    assert table.case.tolist() == [c.name for c in CASES] and table.site.tolist() == list("ab" * 5)
    pred = as_model(NET)(CASES[3].image[None], CASES[3])[0]
    assert np.isclose(table.dice[3], np.mean(measure(CASES[3].truth, pred, [1, 2, 3])["dice"]))


def test_threads_are_as_many_as_before(table):
    threads = torch.get_num_threads()
    feature_path(table, CASES[1], Brightness(), [2], progress=False)
    assert torch.get_num_threads() == threads


def test_same_seed_same_map(table):
    again = feature_map(NET, CASES, progress=False)
    assert np.array_equal(again[["x", "y"]], table[["x", "y"]])
    other = feature_map(NET, CASES[:6], seed=1, progress=False)
    assert not np.allclose(other[["x", "y"]], feature_map(NET, CASES[:6], progress=False)[["x", "y"]])


def test_arguments_reach_umap():
    found = feature_map(NET, CASES, "down.1", n_neighbors=3, min_dist=0.5, metric="cosine", seed=7, progress=False)
    features = image_features(NET, CASES, "down.1", progress=False).to_numpy()
    places, _ = reference(features, random_state=7, n_neighbors=3, min_dist=0.5, metric="cosine")
    assert np.allclose(found[["x", "y"]], places, atol=1e-4)
    assert "down.1" in str(found.fitted) and "cosine" in str(found.fitted)


def test_what_is_in_the_map_stays_and_else_umap_places_it(table):
    path = feature_path(table, CASES[4], Brightness(), [1, 3], progress=False)
    assert path.value.tolist() == [1, 3]
    assert path.x[0] == table.x[4] and path.y[0] == table.y[4] and path.distance[0] == 0 and not path.outside[0]
    images = [Brightness()(CASES[4], v).image for v in (3,)]
    features = pooled("deep", images)
    of_map = pooled("deep", [c.image for c in CASES])
    _, further = reference(image_features(NET, CASES, progress=False).to_numpy(), features)
    assert np.allclose(path[["x", "y"]][1:], further, atol=1e-3)
    near = cdist(of_map, of_map) + np.diag([np.inf] * len(of_map))
    wanted = cdist(features, of_map).min(1)
    assert np.allclose(path.distance[1:], wanted, atol=1e-5)
    assert np.allclose(path.ratio[1:], wanted / np.median(near.min(1)), atol=1e-4)
    assert path.outside[1:].tolist() == (wanted > near.min(1).max()).tolist()
    # the place of a step does not depend on the others
    alone = feature_path(table, CASES[4], Brightness(), [3], progress=False)
    assert np.array_equal(alone[["x", "y"]].iloc[0], path[["x", "y"]].iloc[1])


def test_a_case_that_is_not_in_the_map(table):
    stranger = phantom((32, 32), seed=99)
    path = feature_path(table, stranger, Rotate(), [0, 90], progress=False)
    assert (path.distance > 0).all() and path.dice.notna().all() and (path.case == "phantom-99").all()
    without = feature_path(table, Case(stranger.image, name="n"), as_transform(lambda x, v: x * v), [1], progress=False)
    assert "dice" not in without


def test_the_table_keeps_its_map(table):
    for part in (table[table.site == "a"], table.assign(group=1), table.copy(), table.sort_values("x")):
        assert isinstance(part, FeatureMap) and part.fitted is table.fitted
    from_file = module.pd.DataFrame(table.to_dict("list"))
    with pytest.raises(ValueError, match="does not know its map"):
        feature_path(from_file, CASES[0], Rotate(), [0], progress=False)
    assert pickle.loads(pickle.dumps(table)).equals(table)


def test_cases_without_truth_and_columns():
    bare = [Case(c.image, name=c.name) for c in CASES[:7]]
    found = feature_map(NET, bare, progress=False)
    assert list(found) == ["case", "x", "y"]
    mixed = feature_map(NET, [*CASES[:6], bare[6]], progress=False)
    assert np.isnan(mixed.dice[6]) and mixed.site.isna().tolist() == [False] * 6 + [True]
    with pytest.raises(
        ValueError, match="case 'phantom-0' must have columns of other names than case, x, y, dice.*'x'"
    ):
        feature_map(NET, [c.replace(columns=dict(x=1)) for c in CASES], progress=False)


def test_too_few_cases():
    with pytest.raises(ValueError, match="cases must be more cases than n_neighbors = 5.*got 5"):
        feature_map(NET, CASES[:5], progress=False)
    assert len(feature_map(NET, CASES[:6], progress=False)) == 6


@pytest.mark.parametrize(
    "bad, words",
    [
        (dict(n_neighbors=1), "n_neighbors must be"),
        (dict(n_neighbors=2.5), "n_neighbors must be"),
        (dict(min_dist=-1), "min_dist must be"),
        (dict(metric="euclid"), "metric must be one of.*did you mean 'euclidean'"),
        (dict(seed=-1), "seed must be"),
        (dict(seed=None), "seed must be"),
    ],
    ids=str,
)
def test_bad_settings(bad, words):
    with pytest.raises((ValueError, TypeError), match=words):
        feature_map(NET, CASES, progress=False, **bad)


def test_umap_stays_in_a_process_of_its_own(table):
    "Neither its compiler nor TensorFlow comes into this one, and one process serves all maps"
    child = process._started()
    feature_path(table, CASES[2], Brightness(), [2], progress=False)
    assert process._started() is child and child.poll() is None
    code = """
import sys
from misas.analysis import umap_process
umap_process.umap_result("fit", __import__("numpy").random.rand(7, 3).astype("f4"),
    dict(n_neighbors=5, min_dist=0.1, metric="euclidean", seed=0))
print(sorted(sys.modules))
"""
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'numpy'" in modules and not any(f"'{name}'" in modules for name in ("umap", "numba", "tensorflow"))


def test_a_process_that_fails_says_so_and_is_replaced(table):
    with pytest.raises(RuntimeError, match="UMAP failed: KeyError: 'seed'"):
        process.umap_result("fit", np.zeros((7, 3), np.float32), {})
    process._end(process._started())
    path = feature_path(table, CASES[2], Brightness(), [2], progress=False)
    assert np.isfinite(path[["x", "y"]]).all(axis=None)
