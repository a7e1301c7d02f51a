"Features of Keras networks, and a map beside TensorFlow"

import os

import numpy as np
import pytest
import torch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
keras = pytest.importorskip("keras", exc_type=ImportError)

from misas.analysis.features import feature_map, image_features
from misas.core.cases import Case


def network(dims):
    "Two convolutions with a name"
    conv = keras.layers.Conv2D if dims == 2 else keras.layers.Conv3D
    keras.utils.set_random_seed(0)
    given = keras.Input((8,) * dims + (1,))
    inner = conv(5, 3, padding="same", strides=2, activation="relu", name="inner")(given)
    up = (keras.layers.UpSampling2D if dims == 2 else keras.layers.UpSampling3D)(2, name="up")(inner)
    return keras.Model(given, conv(3, 1, name="scores", activation="softmax")(up))


@pytest.mark.parametrize("dims", [2, 3])
def test_features_are_means_of_maps(dims):
    rng = np.random.default_rng(0)
    images = rng.random((3, *(8,) * dims)).astype(np.float32)
    cases = [Case(torch.from_numpy(image[None]), name=f"{k}") for k, image in enumerate(images)]
    net = network(dims)
    part = keras.Model(net.inputs, net.get_layer("inner").output)
    wanted = np.asarray(part(images[..., None])).reshape(3, -1, 5).mean(1)
    for layer in (None, "inner", net.get_layer("inner")):
        found = image_features(net, cases, layer, progress=False)
        assert np.allclose(found, wanted, atol=1e-6) and found.columns.name == "inner"
    with pytest.raises(ValueError, match="layer must be one that gives a map: 'inner'"):
        image_features(net, cases, "iner", progress=False)


def test_map_beside_tensorflow(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # as fast, for so few images
    rng = np.random.default_rng(1)
    cases = [Case(torch.from_numpy(rng.random((1, 8, 8), np.float32)), name=f"{k}") for k in range(7)]
    table = feature_map(network(2), cases, progress=False)
    assert table.shape == (7, 3) and np.isfinite(table[["x", "y"]]).all(axis=None)
