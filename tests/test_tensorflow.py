"Keras on each of its backends, saved models and graphs of TensorFlow 1: the framework's own labels, pixel by pixel, on a real image"

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
import torch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# TensorFlow and PyTorch's compiler bring an LLVM each: if TensorFlow is there first, the other one ends the process
if find_spec("triton"):
    import_module("triton")
tf = pytest.importorskip("tensorflow", exc_type=ImportError)

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.arrays import require_package
from misas.models.sizes import PadTo
from misas.models.tensorflow import GraphModel, SavedModel
from misas.transforms.basic import Rotate

v1 = tf.compat.v1
TENSORS = dict(input="image:0", mask="pred:0", probabilities="prob:0", feed={"training:0": False})

# Keras has one backend in each process.
ON_A_BACKEND = """
import sys
import keras, numpy as np
from keras import layers
from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.models.keras import KerasModel
from misas.transforms.basic import Rotate

image, folder, backend = sys.argv[1:]
assert keras.backend.backend() == backend
keras.utils.set_random_seed(0)

def network(data_format, classes=4, activation=None):
    shape, axis = ((None, None, 1), -1) if data_format == "channels_last" else ((1, None, None), 1)
    return keras.Sequential([layers.Input(shape), layers.Conv2D(8, 3, padding="same", activation="relu", data_format=data_format), layers.BatchNormalization(axis),
                             layers.Dropout(.5), layers.Conv2D(classes, 3, padding="same", activation=activation, data_format=data_format)])

case = load_case(image)
assert case.shape == (256, 230) and len(case.image) == 3
state = np.random.get_state()[1].copy()
tried = [("channels_last", 4, None), ("channels_last", 4, "softmax"), ("channels_last", 1, None), ("channels_last", 1, "sigmoid")]
if backend != "tensorflow": tried.append(("channels_first", 4, None))      # TensorFlow has these on a GPU only
for data_format, classes, activation in tried:
    net = network(data_format, classes, activation)
    net.save(f"{folder}/net.keras")
    net = keras.models.load_model(f"{folder}/net.keras")
    frameworks = {"tensorflow", "torch", "jax"} & set(sys.modules)
    model = as_model(net, preprocess=lambda images: images / 255)
    assert isinstance(model, KerasModel) and model.channels == data_format.removeprefix("channels_") and model.output == ("probabilities" if activation else "logits")
    for step in get_series(model, case, Rotate(), [-30, 0, 10], progress=False):
        grey = step.image[0].numpy() / np.float32(255)
        theirs = keras.ops.convert_to_numpy(net(grey[None, :, :, None] if model.channels == "last" else grey[None, None], training=False))
        theirs = np.moveaxis(theirs, 1, -1)[0] if model.channels == "first" else theirs[0]
        expected = theirs.argmax(-1) if classes > 1 else theirs[..., 0] > (.5 if activation else 0)
        assert np.array_equal(step.pred, expected) and len(np.unique(expected)) > 1, (data_format, classes, activation)
        if activation: assert np.allclose(model.probabilities(step.image[None], case)[0, -1], theirs[..., -1], atol=1e-6)
    assert frameworks == {"tensorflow", "torch", "jax"} & set(sys.modules)
assert keras.config.floatx() == "float32" and keras.config.image_data_format() == "channels_last" and np.array_equal(np.random.get_state()[1], state)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_keras(data, tmp_path, backend):
    for module in ("keras", backend):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", ON_A_BACKEND, data / "cardiac" / "sax_image.png", tmp_path, backend],
        capture_output=True,
        text=True,
        env=os.environ | dict(KERAS_BACKEND=backend),
    )
    assert done.returncode == 0, done.stderr


def test_exported_keras_model(data, tmp_path):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here")
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.layers.Input((None, None, 1)), keras.layers.Conv2D(4, 3, padding="same", activation="softmax")]
    )
    net.export(tmp_path / "saved", verbose=False)
    case = load_case(data / "cardiac" / "sax_image.png")
    model, loaded = SavedModel(tmp_path / "saved", output="probabilities"), tf.saved_model.load(str(tmp_path / "saved"))
    for step in get_series(model, case, Rotate(), [0, 30], progress=False):
        theirs = loaded.serve(step.image[:1].numpy()[..., None]).numpy()
        assert np.array_equal(step.pred, theirs[0].argmax(-1)) and np.allclose(
            theirs, net.predict(step.image[:1].numpy()[..., None], verbose=0), atol=1e-5
        )


def save_graph(folder, seed=0):
    "A graph with the tensors of the ukbb_cardiac networks, as a checkpoint and frozen; its sides must be multiples of 16"
    with v1.Graph().as_default() as graph, v1.Session() as session:
        image, training = (
            v1.placeholder(tf.float32, (None, None, None, 1), "image"),
            v1.placeholder(tf.bool, (), "training"),
        )
        weights = v1.get_variable("weights", initializer=tf.random.stateless_normal((5, 5, 1, 4), (seed, 0)))
        fine = tf.nn.conv2d(v1.nn.dropout(image, rate=tf.where(training, 0.5, 0.0)), weights, 1, "SAME")
        context = tf.repeat(tf.repeat(tf.nn.avg_pool2d(fine, 16, 16, "VALID"), 16, 1), 16, 2)
        prob = tf.nn.softmax(fine - context, name="prob")
        tf.argmax(prob, -1, output_type=tf.int32, name="pred")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "FCN"))
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["pred", "prob"])
    (folder / "FCN.pb").write_bytes(frozen.SerializeToString())


def rescaled(image):
    "Intensities from the 1st to the 99th percentile as 0 to 1"
    low, high = np.percentile(image, (1, 99))
    return ((np.clip(image, low, high) - low) / (high - low)).astype(np.float32)


def prepare(case):
    return case.replace(image=torch.from_numpy(rescaled(case.image.numpy())), scale=(0.0, 1.0))


@pytest.mark.parametrize("file", ["FCN.meta", "FCN.pb"])
def test_graph(data, tmp_path, file):
    save_graph(tmp_path)
    case = load_case(data / "cardiac" / "sax_image.png")  # 256 x 230
    model = as_model(GraphModel(tmp_path / file, **TENSORS, prepare=prepare), size=PadTo(16, fill=0))
    series = get_series(model, case, Rotate(), [-30, 0, 10], progress=False)
    with v1.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph(str(tmp_path / "FCN.meta")).restore(session, str(tmp_path / "FCN"))
        for step in series:
            image = rescaled(Rotate()(case, step.value).image.numpy())[0]
            pred, prob = session.run(
                ["pred:0", "prob:0"], {"image:0": np.pad(image, ((0, 0), (5, 5)))[None, ..., None], "training:0": False}
            )
            assert np.array_equal(step.pred, pred[0, :, 5:235]) and len(np.unique(pred)) > 1
            assert np.allclose(
                model.probabilities(step.image[None], case)[0], prob[0, :, 5:235].transpose(2, 0, 1), atol=1e-6
            )
    assert tf.executing_eagerly() and not v1.get_default_graph().get_operations()


def test_two_graphs_in_other_processes(tmp_path):
    "A path is opened again by each process; two graphs with tensors of the same names do not meet"
    for seed in range(2):
        (tmp_path / str(seed)).mkdir()
        save_graph(tmp_path / str(seed), seed)
    models = [GraphModel(tmp_path / str(seed) / "FCN.meta", **TENSORS, name=f"FCN {seed}") for seed in range(2)]
    cases = [phantom((32, 48), seed=s) for s in range(2)]
    options = dict(cases=cases, transforms=Rotate(), values=[0, 90], progress=False)
    a, b = (evaluate(m, **options) for m in models)
    assert evaluate(models[0], **options, n_jobs=2).equals(a) and not np.allclose(a.score, b.score, equal_nan=True)


@pytest.mark.parametrize(
    "first",
    [
        "import tensorflow",
        "from misas.graphs import GraphModel; GraphModel(sys.argv[1], 'image', 'pred', {'training': False})(torch.ones(1, 1, 16, 16)); import torch._dynamo",
    ],
)
def test_beside_pytorch(tmp_path, first):
    "A network of PyTorch is asked in a process where TensorFlow is at work"
    save_graph(tmp_path)
    code = f"import sys, torch; {first}; from misas.all import *; print(as_model(demo_model())(torch.rand(1, 1, 32, 32)).shape, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "FCN.pb"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "torch.Size([1, 32, 32]) True", done.stderr


def test_missing_framework(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (tmp_path / "net.pb").write_bytes(b"")
    with pytest.raises(ImportError, match=r"tensorflow is not installed: pip install misas\[tensorflow\]"):
        require_package("tensorflow", "tensorflow")
    for make in (lambda: GraphModel(tmp_path / "net.pb", "image", "pred"), lambda: SavedModel(tmp_path)):
        with pytest.raises(ImportError, match=r"pip install misas\[tensorflow\]"):
            make()
