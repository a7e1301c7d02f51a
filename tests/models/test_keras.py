"Keras networks: Keras' own labels, pixel by pixel, in any layout, dimension, dtype and kind of output"

import os
import pickle
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from winning import assert_winning

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
keras = pytest.importorskip("keras", exc_type=ImportError)

from keras import layers, ops

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.keras import _channels_wanted, _input_of, _is_keras, _kind_of_scores
from misas.models.loading import load_model
from misas.models.sizes import PadTo, ResizeTo
from misas.transforms.basic import Brightness, Rotate

BACKEND = keras.backend.backend()
LABELS = ["bg", "LV", "MY", "RV"]


def convolutions(classes=4, activation=None, shape=(None, None, 1), **kwargs):
    "A network of two convolutions"
    conv = {3: layers.Conv2D, 4: layers.Conv3D}[len(shape)]
    return keras.Sequential(
        [
            layers.Input(shape),
            conv(8, 3, padding="same", activation="relu", **kwargs),
            layers.Dropout(0.5),
            conv(classes, 3, padding="same", activation=activation, **kwargs),
        ]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = convolutions()
        self.head = layers.Conv2D(3, 1)

    def call(self, x):
        return self.head(self.block(x))


class Scaled(keras.Model):
    def __init__(self, by):
        super().__init__()
        self.layer = layers.Conv2D(2, 1, kernel_initializer="ones")
        self.by = by

    def call(self, x):
        return self.layer(x) * self.by


def scaled(by):
    net = Scaled(by)
    net(np.zeros((1, 8, 8, 1)))
    return net


def pointwise(activation):
    conv = layers.Conv2D(2, 1, activation=activation, kernel_initializer="ones")
    return keras.Sequential([layers.Input((8, 8, 1)), conv])


def pooling_net(width=4):
    "A network with two poolings, whose sides must be multiples of 4"
    x = layers.Input((None, None, 1))
    fine = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    coarse = layers.Conv2D(width, 3, padding="same")(layers.MaxPool2D(4)(fine))
    both = layers.Concatenate()([layers.UpSampling2D(4)(coarse), fine])
    return keras.Model(x, layers.Conv2D(4, 1, activation="softmax")(both))


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(0)


@pytest.fixture
def heart():
    return phantom((64, 64), seed=100)


@pytest.fixture
def odd():
    return phantom((61, 66), seed=100)


@pytest.fixture
def eight(odd):
    return load_case((odd.image[0] * 255).round().numpy().astype(np.uint8))


@pytest.fixture
def volume():
    return phantom((6, 20, 17), seed=1)


def assert_same(net, case, reference, **options):
    "The labels through misas are those of `reference`, a function on the network's output"
    model = as_model(net, **options)
    array = case.image.numpy() if model.channels == "first" else np.moveaxis(case.image.numpy(), 0, -1)
    if model.in_channels == 3:
        array = np.repeat(array, 3, -1)
    expected = reference(net.predict_on_batch(np.stack([array] * 2)))
    assert np.array_equal(model(torch.stack([case.image] * 2), case)[1], expected[1])
    assert len(np.unique(expected)) > 1


def best(output):
    return output.argmax(-1)


def test_layers_tell_where_the_channels_stand():
    assert _channels_wanted(convolutions()) == ("last", 1)
    assert _channels_wanted(convolutions(shape=(1, 8, 8), data_format="channels_first")) == ("first", 1)
    assert _channels_wanted(convolutions(shape=(8, 9, 10, 2))) == ("last", 2)
    assert _channels_wanted(Subclassed()) == ("last", 1)


def test_input_tells_shape_and_dtype():
    assert _input_of(convolutions()) == ((None, None, None, 1), "float32")
    assert _input_of(Subclassed()) == (None, "float32")


def test_only_models_of_keras_are_taken():
    assert _is_keras(Subclassed())
    assert not _is_keras(layers.Conv2D(1, 1))
    assert not _is_keras(torch.nn.Identity())


def softmax_layer(x):
    return layers.Softmax()(layers.Conv2D(2, 1)(x))


def softmax_function(x):
    return ops.softmax(layers.Conv2D(2, 1)(x))


LAST = {
    "convolution": (lambda: layers.Conv2D(2, 1), "logits"),
    "convolution with softmax": (lambda: layers.Conv2D(2, 1, activation="softmax"), "probabilities"),
    "softmax": (lambda: softmax_layer, "probabilities"),
    "sigmoid": (lambda: layers.Activation("sigmoid"), "probabilities"),
    "function softmax": (lambda: softmax_function, "probabilities"),
    "function sigmoid": (lambda: ops.sigmoid, "probabilities"),
    "convolution with relu": (lambda: layers.Conv2D(2, 1, activation="relu"), None),
    "normalization": (lambda: layers.BatchNormalization(), None),
    "relu": (lambda: layers.ReLU(), None),
}


@pytest.mark.parametrize("last", LAST)
def test_last_operation_tells_what_the_scores_are(last):
    make, expected = LAST[last]
    x = layers.Input((8, 8, 1))
    net = keras.Model(x, make()(x))
    nested = keras.Model(x, net(x))
    assert _kind_of_scores(net, None) == expected
    assert _kind_of_scores(nested, None) == expected


def test_each_output_has_its_own_kind():
    x = layers.Input((8, 8, 1))
    softmax = layers.Conv2D(2, 1, activation="softmax", name="mask")
    two = keras.Model(x, [layers.Conv2D(2, 1, name="deep")(x), softmax(x)])
    for deep in ("deep", 0):
        assert _kind_of_scores(two, deep) == "logits"
    for mask in ("mask", 1, -1):
        assert _kind_of_scores(two, mask) == "probabilities"
    assert _kind_of_scores(Subclassed(), None) is None


def test_outputs_in_a_dict_keep_their_names():
    x = layers.Input((8, 8, 1))
    outputs = {"z": layers.Conv2D(2, 1)(x), "a": layers.Conv2D(2, 1, activation="softmax")(x)}
    swapped = keras.Model(x, outputs)  # Keras sorts the names
    assert _kind_of_scores(swapped, "z") == "logits"
    assert _kind_of_scores(swapped, "a") == "probabilities"
    assert swapped.predict_on_batch(np.zeros((1, 8, 8, 1)))["a"].min() > 0


def global_state():
    return (
        keras.config.floatx(),
        keras.config.image_data_format(),
        keras.config.dtype_policy().name,
        keras.backend.backend(),
    )


def test_labels_are_those_of_keras_and_nothing_global_changes(heart):
    net = pooling_net()
    before = global_state()
    weights = net.get_weights()
    random_state = np.random.get_state()[1].copy()
    model = as_model(net)
    for step in get_series(net, heart, Rotate(), range(-90, 91, 30), progress=False):
        direct = net.predict(step.image.numpy().transpose(1, 2, 0)[None], verbose=0).transpose(0, 3, 1, 2)
        assert_winning(step.pred, direct[0])
        assert np.allclose(model.probabilities(step.image[None], heart), direct, atol=1e-6)
    assert global_state() == before
    assert all(map(np.array_equal, weights, net.get_weights()))
    assert np.array_equal(random_state, np.random.get_state()[1])


def test_size_that_does_not_fit_is_refused_with_a_remedy(odd, volume):
    net = pooling_net()
    with pytest.raises(ValueError, match=r"size=PadTo\(4\)"):
        as_model(net)(odd.image[None], odd)
    assert as_model(net, size=PadTo(4))(odd.image[None], odd).shape == (1, 61, 66)
    fixed = convolutions(shape=(32, 32, 1))
    with pytest.raises(ValueError, match=r"size=ResizeTo\(\(32, 32\)\)"):
        as_model(fixed)(odd.image[None], odd)
    assert as_model(fixed, size=ResizeTo((32, 32)))(odd.image[None], odd).shape == (1, 61, 66)
    with pytest.raises(ValueError, match="must have 4 axes .*, got 5"):
        as_model(net)(volume.image[None], volume)


def test_several_classes(odd, volume):
    assert_same(convolutions(), odd, best)
    assert_same(convolutions(activation="softmax"), odd, best)
    assert_same(convolutions(shape=(None, None, 3)), odd, best)
    assert_same(convolutions(shape=(None, None, None, 1)), volume, best)


def test_single_channel(odd):
    assert_same(convolutions(1), odd, lambda y: y[..., 0] > 0)
    normalized = keras.Sequential([convolutions(1), layers.BatchNormalization()])
    assert_same(normalized, odd, lambda y: y[..., 0] > 0, output="logits")
    half = as_model(convolutions(1, "sigmoid"))
    assert half.output == "probabilities"
    assert half.probabilities(odd.image[None], odd).shape == (1, 2, 61, 66)
    assert_same(half.net, odd, lambda y: y[..., 0] > 0.5)
    assert (as_model(half.net, output="logits")(odd.image[None]) == 1).all()  # what the user says counts


def test_labels(odd):
    x = layers.Input((None, None, 1))
    labelled = keras.Model(x, ops.argmax(layers.Conv2D(3, 3, padding="same")(x), -1))
    assert_same(labelled, odd, lambda y: y)
    assert as_model(labelled).probabilities(odd.image[None], odd) is None
    as_floats = keras.Model(x, ops.cast(ops.expand_dims(labelled(x), -1), "float32"))
    assert_same(as_floats, odd, lambda y: y[..., 0], output="labels")


def test_subclassed_network(odd):
    assert_same(Subclassed(), odd, best)
    assert as_model(Subclassed()).in_channels == 1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_any_precision(odd, policy):
    net = convolutions(dtype=keras.DTypePolicy(policy))
    assert_same(net, odd, lambda y: y.astype(np.float32).argmax(-1))
    assert as_model(net).probabilities(odd.image[None], odd).dtype == torch.float32


def test_8_bit_images(eight):
    x = layers.Input((None, None, 1), dtype="uint8")
    bytewise = keras.Model(x, layers.Conv2D(3, 3, padding="same")(layers.Rescaling(1 / 255)(x)))
    assert as_model(bytewise).dtype == "uint8"
    assert_same(bytewise, eight, best)
    model = as_model(convolutions(), preprocess=lambda images: images / 255)
    direct = model.net.predict_on_batch(eight.image.numpy()[..., None] / 255)[0]
    assert np.array_equal(model(eight.image[None], eight)[0], direct.argmax(-1))


def test_channels_first(odd):
    "TensorFlow computes such convolutions on a GPU only; dense layers show the way it goes"
    dense = [layers.Permute((2, 3, 1)), layers.Dense(5, bias_initializer="normal"), layers.Permute((3, 1, 2))]
    first = keras.Sequential([layers.Input((1, None, None)), *dense])
    assert as_model(first).channels == "first"
    assert_same(first, odd, lambda y: y.argmax(1), output="logits")
    conv = layers.Conv2D(3, 3, padding="same")
    turned = keras.Sequential([layers.Input((1, None, None)), layers.Permute((2, 3, 1)), conv])
    assert_same(turned, odd, best, channels="first")  # first in the input, last inside


def two_outputs():
    x = layers.Input((None, None, 1))
    mask = layers.Conv2D(4, 3, padding="same", name="mask", activation="softmax")
    return x, keras.Model(x, [layers.Conv2D(2, 1, name="deep")(x), mask(x)])


def test_several_outputs(odd):
    x, two = two_outputs()
    for mask in ("mask", 1, -1):
        assert_same(two, odd, lambda y: y[1].argmax(-1), mask=mask)
        assert as_model(two, mask=mask).output == "probabilities"
    named = keras.Model(x, {"pred": ops.argmax(two(x)[1], -1), "prob": two(x)[1]})
    both = as_model(named, mask="pred", probabilities="prob")
    assert np.array_equal(both.probabilities(odd.image[None], odd).argmax(1), both(odd.image[None], odd))
    assert_same(named, odd, lambda y: y["pred"], mask="pred")
    for wrong in (None, "maks"):
        with pytest.raises(ValueError, match=f"mask must be one of 'deep', 'mask', got {wrong!r}"):
            as_model(two, mask=wrong)


def test_outputs_that_are_no_masks_are_refused(heart, odd):
    with pytest.raises(ValueError, match="labels must be 4 names"):
        as_model(convolutions(), labels=["bg", "heart"])(heart.image[None])
    with pytest.raises(ValueError, match="output must be 'logits' or 'probabilities'"):
        as_model(keras.Sequential([convolutions(1), layers.BatchNormalization()]))(odd.image[None])
    with pytest.raises(ValueError, match=r"shape of the network's output .*\(1, 59, 64, 2\)"):
        as_model(keras.Sequential([layers.Input((None, None, 1)), layers.Conv2D(2, 3)]))(odd.image[None])
    broken = convolutions()
    broken.set_weights([w * np.nan for w in broken.get_weights()])
    with pytest.raises(ValueError, match="scores must be finite numbers"):
        as_model(broken)(odd.image[None])


def test_two_inputs_are_refused():
    x = layers.Input((None, None, 1))
    with pytest.raises(ValueError, match="number of the network's inputs must be 1, got 2"):
        as_model(keras.Model([x, layers.Input((None, None, 1), name="other")], x))


def test_another_process_gets_the_same_network(heart):
    model = as_model(pooling_net(), labels=LABELS)
    again = pickle.loads(pickle.dumps(model))
    assert again.fingerprint() == model.fingerprint()
    assert torch.equal(again(heart.image[None], heart), model(heart.image[None], heart))


def test_cache_key_knows_weights_and_options():
    net = pooling_net()
    key = as_model(net).fingerprint()[1:]
    assert as_model(pooling_net()).fingerprint()[1:] != key
    assert as_model(net, output="logits").fingerprint()[1:] != key


@pytest.mark.parametrize("build, a, b", [(scaled, 1, 2), (pointwise, "relu", "softmax")], ids=["setting", "activation"])
def test_cache_key_knows_settings_beside_the_weights(build, a, b):
    key = as_model(build(a)).fingerprint()[-1]
    assert as_model(build(a)).fingerprint()[-1] == key
    assert as_model(build(b)).fingerprint()[-1] != key


def test_evaluation(heart):
    model = as_model(pooling_net(), labels=LABELS, name="U-Net")
    values = dict(rotation=[0, 20], brightness=[1, 2])
    scores = evaluate(model, heart, [Rotate(), Brightness()], values, progress=False)
    assert set(scores.label) == set(LABELS)
    assert set(scores.model) == {"U-Net"}


def test_file_with_code_needs_trust(heart, tmp_path):
    net = pooling_net()
    net.save(tmp_path / "net.keras")
    assert torch.equal(load_model(tmp_path / "net.keras")(heart.image[None]), as_model(net)(heart.image[None]))
    assert load_model(tmp_path / "net.keras").name == "net"
    keras.Sequential([keras.Input((None, None, 1)), layers.Lambda(lambda x: x)]).save(tmp_path / "net.keras")
    with pytest.raises(ValueError, match="net.keras"):
        load_model(tmp_path / "net.keras")


# Keras has one backend in each process.
ON_A_BACKEND = """
import sys

import keras
import numpy as np
from keras import layers

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.models.keras import KerasModel
from misas.transforms.basic import Rotate

FRAMEWORKS = {"tensorflow", "torch", "jax"}
image, folder, backend = sys.argv[1:]
assert keras.backend.backend() == backend
keras.utils.set_random_seed(0)


def network(data_format, classes=4, activation=None):
    shape, axis = ((None, None, 1), -1) if data_format == "channels_last" else ((1, None, None), 1)
    same = dict(padding="same", data_format=data_format)
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(8, 3, activation="relu", **same),
            layers.BatchNormalization(axis),
            layers.Dropout(0.5),
            layers.Conv2D(classes, 3, activation=activation, **same),
        ]
    )


def scores_of(net, grey, channels):
    "What Keras itself says of an image, (H, W, K)"
    batch = grey[None, :, :, None] if channels == "last" else grey[None, None]
    scores = keras.ops.convert_to_numpy(net(batch, training=False))
    return np.moveaxis(scores, 1, -1)[0] if channels == "first" else scores[0]


case = load_case(image)
assert case.shape == (256, 230)
assert len(case.image) == 3
state = np.random.get_state()[1].copy()
last = "channels_last"
tried = [(last, 4, None), (last, 4, "softmax"), (last, 1, None), (last, 1, "sigmoid")]
if backend != "tensorflow":
    tried.append(("channels_first", 4, None))  # TensorFlow has these on a GPU only
for data_format, classes, activation in tried:
    what = (data_format, classes, activation)
    net = network(*what)
    net.save(f"{folder}/net.keras")
    net = keras.models.load_model(f"{folder}/net.keras")
    frameworks = FRAMEWORKS & set(sys.modules)
    model = as_model(net, preprocess=lambda images: images / 255)
    assert isinstance(model, KerasModel)
    assert model.channels == data_format.removeprefix("channels_")
    assert model.output == ("probabilities" if activation else "logits")
    for step in get_series(model, case, Rotate(), [-30, 0, 10], progress=False):
        grey = step.image[0].numpy() / np.float32(255)
        scores = scores_of(net, grey, model.channels)
        expected = scores.argmax(-1) if classes > 1 else scores[..., 0] > (0.5 if activation else 0)
        assert (step.pred.numpy() == expected).mean() > 0.9999, what  # two scores may differ by rounding only
        assert len(np.unique(expected)) > 1, what
        if activation:
            maps = model.probabilities(step.image[None], case)
            assert np.allclose(maps[0, -1], scores[..., -1], atol=1e-6), what
    assert frameworks == FRAMEWORKS & set(sys.modules)
assert keras.config.floatx() == "float32"
assert keras.config.image_data_format() == "channels_last"
assert np.array_equal(np.random.get_state()[1], state)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_each_backend_on_a_real_image(data, tmp_path, backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", ON_A_BACKEND, data / "cardiac" / "sax_image.png", tmp_path, backend],
        capture_output=True,
        text=True,
        env=os.environ | dict(KERAS_BACKEND=backend),
    )
    assert done.returncode == 0, done.stderr
