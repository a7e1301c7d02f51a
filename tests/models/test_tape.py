"Activation maps of Keras networks against a tape that is worked by hand"

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import misas as ms

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
layers = keras.layers


@pytest.fixture(scope="module")
def case():
    return ms.Case(torch.rand(1, 16, 18, generator=torch.Generator().manual_seed(0)) * 3)


@pytest.fixture(scope="module")
def mask():
    marked = torch.zeros(16, 18, dtype=torch.bool)
    marked[:, :9] = True
    return marked


def parts(activation=None, classes=3, size=(None, None)):
    keras.utils.set_random_seed(0)
    given = keras.Input((*size, 1))
    down = layers.Conv2D(4, 3, padding="same", activation="relu", name="down")(given)
    deep = layers.Conv2D(6, 3, padding="same", activation="relu", name="deep")(layers.MaxPool2D(2)(down))
    both = layers.Concatenate()([layers.UpSampling2D(2)(deep), down])
    up = layers.Conv2D(5, 3, padding="same", activation="relu", name="up")(both)
    return given, deep, layers.Conv2D(classes, 1, activation=activation, name="head")(up)


def by_hand(model, image, score, shape):
    x = tf.constant(np.moveaxis(image.numpy(), 0, -1)[None])
    with tf.GradientTape() as tape:
        deep, out = model(x)
        total = score(out)
    alpha = tf.reduce_mean(tape.gradient(total, deep), (1, 2), keepdims=True)
    cam = tf.nn.relu(tf.reduce_sum(alpha * deep, -1)).numpy()
    return F.interpolate(torch.from_numpy(cam)[None], shape, mode="bilinear")[0, 0]


def map_of(net, case, label, mask, layer="deep", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ms.activation_map(ms.as_model(net, **options), case, label, layer=layer, pixels=mask)[0].maps[0]


def test_logits(case, mask):
    given, deep, out = parts()
    expected = by_hand(
        keras.Model(given, [deep, out]), case.image, lambda y: tf.reduce_mean(y[0, ..., 2][mask.numpy()]), (16, 18)
    )
    net = keras.Model(given, out)
    found = map_of(net, case, 2, mask)
    assert found.max() > 0 and torch.allclose(found, expected, atol=1e-6)
    assert all("call" not in vars(layer) for layer in net.layers)


def test_softmax_and_sigmoid_are_left_out(case, mask):
    given, _, out = parts()
    given2, _, out2 = parts("softmax")
    logits, probabilities = keras.Model(given, out), keras.Model(given2, out2)
    assert torch.allclose(map_of(probabilities, case, 1, mask), map_of(logits, case, 1, mask), atol=1e-6)
    given, _, out = parts(classes=1)
    given2, _, out2 = parts("sigmoid", 1)
    logit, sigmoid = keras.Model(given, out), keras.Model(given2, out2)
    for label in (0, 1):
        found = map_of(sigmoid, case, label, mask)
        assert torch.allclose(found, map_of(logit, case, label, mask, output="logits"), atol=1e-6)


def test_layers_and_default(case):
    given, _, out = parts()
    net = keras.Model(given, out)
    assert [name for name in ms.layer_names(net, case) if not name.startswith(("max", "up_", "con"))] == [
        "down",
        "deep",
        "up",
        "head",
    ]
    assert ms.activation_map(net, case, 2, pixels=(4, 4)).layers == ("deep", "up")
    with pytest.raises(ValueError, match=r"layer must be one that gives a map: 'deep'.*did you mean 'deep'"):
        map_of(net, case, 1, (4, 4), layer="depe")


def test_nested_and_subclassed_networks(case, mask):
    given, deep, out = parts(size=(16, 18))
    nested = keras.Sequential([keras.Input((16, 18, 1)), keras.Model(given, out)])
    assert torch.allclose(map_of(nested, case, 2, mask), map_of(keras.Model(given, out), case, 2, mask), atol=1e-6)

    class Sub(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Conv2D(3, 3, padding="same", name="first")
            self.last = layers.Conv2D(2, 1, name="last")

        def call(self, x, training=False):
            return self.last(self.first(x))

    found = map_of(Sub(), case, 1, mask, layer="first", output="logits", channels="last")
    assert found.shape == (16, 18)


def test_volumes():
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 8, 1))
    deep = layers.Conv3D(3, 3, strides=2, padding="same", name="deep")(given)
    net = keras.Model(given, layers.Conv3D(2, 1)(layers.UpSampling3D(2)(deep)))
    case = ms.Case(torch.rand(1, 8, 8, 8))
    assert map_of(net, case, 1, (4, 4, 4)).shape == (8, 8, 8)


def test_size_that_is_fixed(case, mask):
    given, _, out = parts(size=(32, 32))
    found = map_of(keras.Model(given, out), case, 2, mask, size=ms.ResizeTo(32))
    assert found.shape == (16, 18) and found.max() > 0


def test_labels_have_no_gradient(case, mask):
    given, _, out = parts()
    net = keras.Model(given, layers.Lambda(lambda y: tf.argmax(y, -1))(out))
    with pytest.raises(ValueError, match="it gives labels, which have no gradient.*occlusion_map"):
        map_of(net, case, 1, mask, output="labels")


def test_sanity_checks_leave_the_network_alone(case, mask):
    given, _, out = parts()
    net = keras.Model(given, out)
    before = [w.copy() for w in net.get_weights()]
    report = ms.check_explanation(net, case, 2, layer="deep", pixels=mask, progress=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights()))
    assert report.cascade["last"].tolist() == ["head", "up", "deep", "down"] and "layer 'deep'" in repr(report)
