"Saved models and graphs of TensorFlow 1: TensorFlow's own labels, pixel by pixel"

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from winning import assert_winning

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
tf = pytest.importorskip("tensorflow", exc_type=ImportError)

from misas.core.checks import import_optional
from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.loading import load_model
from misas.models.sizes import PadTo, ResizeTo
from misas.models.tensorflow import GraphModel, SavedModel
from misas.transforms.basic import Rotate

v1 = tf.compat.v1
IMAGE = tf.TensorSpec((None, None, None, 1), tf.float32, name="image")
TRAINING = tf.TensorSpec((), tf.bool, name="training")
TENSORS = dict(input="image:0", mask="pred:0", probabilities="prob:0", feed={"training:0": False}, trust=True)


@pytest.fixture
def heart():
    return phantom((61, 66), seed=3)


class Network(tf.Module):
    "Two outputs, and a switch between training and inference"

    def __init__(self, seed=0):
        self.weights = tf.Variable(tf.random.stateless_normal((3, 3, 1, 4), (seed, 0)))

    @tf.function(input_signature=[IMAGE, TRAINING])
    def two(self, image, training):
        scores = tf.nn.conv2d(tf.where(training, -image, image), self.weights, 1, "SAME")
        return {"pred": tf.argmax(scores, -1), "prob": tf.nn.softmax(scores)}

    @tf.function(input_signature=[IMAGE])
    def one(self, image):
        return {"prob": self.two(image, False)["prob"]}


@pytest.fixture(scope="module")
def network():
    return Network()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, network):
    "Saved models with one signature, with two, and with two outputs"
    folder = tmp_path_factory.mktemp("saved")
    tf.saved_model.save(network, str(folder / "two"), signatures=network.two)
    tf.saved_model.save(network, str(folder / "several"), signatures=dict(one=network.one, two=network.two))
    tf.saved_model.save(network, str(folder / "one"), signatures=network.one)
    other = Network(1)
    tf.saved_model.save(other, str(folder / "other"), signatures=other.one)
    return folder


def loaded(path):
    return tf.saved_model.load(str(path))


OFF = dict(feed=dict(training=False))
SAVED = {
    "folder": lambda folder: SavedModel(folder / "one", trust=True, output="probabilities"),
    "loaded": lambda folder: as_model(loaded(folder / "one"), output="probabilities"),
    "signature": lambda folder: SavedModel(folder / "several", "one", trust=True, output="probabilities"),
    "scores": lambda folder: SavedModel(folder / "two", trust=True, **OFF, mask="prob", output="probabilities"),
    "labels": lambda folder: as_model(loaded(folder / "two"), **OFF, mask="pred", probabilities="prob"),
}


@pytest.mark.parametrize("kind", SAVED)
def test_saved_model_gives_tensorflows_labels(heart, network, folder, kind):
    model = SAVED[kind](folder)
    assert isinstance(model, SavedModel)
    assert model.channels == "last"
    assert model.in_channels == 1
    for step in get_series(model, heart, Rotate(), [0, 20, 40], progress=False):
        direct = network.one(step.image.numpy()[..., None])["prob"].numpy().transpose(0, 3, 1, 2)
        assert_winning(step.pred, direct[0])
        assert np.allclose(model.probabilities(step.image[None], heart), direct, atol=1e-6)
    assert len(step.pred.unique()) > 1


def test_other_inputs_are_fed(heart, folder):
    trained = SavedModel(folder / "two", trust=True, feed=dict(training=True), mask="pred")
    model = SavedModel(folder / "two", trust=True, **OFF, mask="pred")
    assert not torch.equal(trained(heart.image[None]), model(heart.image[None]))
    assert trained.probabilities(heart.image[None], heart) is None


def test_programs_need_trust(folder, graphs):
    "A graph may read and write files"
    with pytest.raises(ValueError, match="a SavedModel can bring code.*trust=True"):
        SavedModel(folder / "one")
    for file in ("FCN.pb", "FCN.meta"):
        with pytest.raises(ValueError, match="a graph of TensorFlow can bring code.*trust=True"):
            GraphModel(graphs / "0" / file, "image", "pred")


def test_saved_model_needs_names_where_there_are_several(folder):
    with pytest.raises(ValueError, match="signature must be one of 'one', 'two', got None"):
        SavedModel(folder / "several", trust=True)
    with pytest.raises(ValueError, match="input must be one of 'image', 'training', got None"):
        SavedModel(folder / "two", trust=True)
    with pytest.raises(ValueError, match="mask must be one of 'pred', 'prob', got None"):
        SavedModel(folder / "two", trust=True, **OFF)


def test_saved_model_refuses_what_does_not_fit(heart, folder):
    with pytest.raises(ValueError, match="source must be the folder of a saved model, got 'nowhere'"):
        SavedModel("nowhere")
    with pytest.raises(ValueError, match="labels must be 4 names"):
        as_model(loaded(folder / "one"), labels=["bg", "LV", "RV"])(heart.image[None])
    with pytest.raises(ValueError, match="output must be 'logits' or 'probabilities'.*4 channels"):
        as_model(loaded(folder / "one")).probabilities(heart.image[None], heart)


def test_saved_model_is_opened_again_in_another_process(heart, folder):
    model = SavedModel(folder / "one", trust=True, output="probabilities")
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(heart.image[None]), model(heart.image[None]))
    assert again.fingerprint() == model.fingerprint() == SAVED["folder"](folder).fingerprint()
    with pytest.raises(TypeError, match="holds a _UserObject, which no other process can get"):
        pickle.dumps(as_model(loaded(folder / "one")))


def test_cache_keys_of_saved_models_differ(folder):
    models = [
        SavedModel(folder / "one", trust=True),
        SavedModel(folder / "other", trust=True),
        as_model(loaded(folder / "one"), name="model"),
        as_model(loaded(folder / "other"), name="model"),
    ]
    assert len({model.fingerprint() for model in models}) == 4


def test_saved_model_from_a_path_needs_trust(folder):
    "A graph may read and write files"
    with pytest.raises(ValueError, match="trust=True"):
        load_model(folder / "one")
    assert load_model(folder / "one", trust=True).name == "one"


def test_exported_keras_model(data, tmp_path):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here")
    keras.utils.set_random_seed(0)
    conv = keras.layers.Conv2D(4, 3, padding="same", activation="softmax")
    net = keras.Sequential([keras.layers.Input((None, None, 1)), conv])
    net.export(tmp_path / "saved", verbose=False)
    case = load_case(data / "cardiac" / "sax_image.png")
    model = SavedModel(tmp_path / "saved", trust=True, output="probabilities")
    saved = loaded(tmp_path / "saved")
    for step in get_series(model, case, Rotate(), [0, 30], progress=False):
        image = step.image[:1].numpy()[..., None]
        direct = saved.serve(image).numpy()
        assert_winning(step.pred, direct[0].transpose(2, 0, 1))
        assert np.allclose(direct, net.predict(image, verbose=0), atol=1e-5)


def build(seed):
    "A graph with the tensors of the ukbb_cardiac networks; its sides must be multiples of 16"
    image = v1.placeholder(tf.float32, (None, None, None, 1), "image")
    training = v1.placeholder(tf.bool, (), "training")
    weights = v1.get_variable("weights", initializer=tf.random.stateless_normal((5, 5, 1, 4), (seed, 0)))
    fine = tf.nn.conv2d(v1.nn.dropout(image, rate=tf.where(training, 0.5, 0.0)), weights, 1, "SAME")
    context = tf.repeat(tf.repeat(tf.nn.avg_pool2d(fine, 16, 16, "VALID"), 16, 1), 16, 2)
    prob = tf.nn.softmax(fine - context, name="prob")
    tf.argmax(prob, -1, output_type=tf.int32, name="pred")


def save_graph(folder, seed=0):
    "The graph as a checkpoint and as a frozen graph"
    folder.mkdir(exist_ok=True)
    with v1.Graph().as_default() as graph, v1.Session() as session:
        build(seed)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "FCN"))
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["pred", "prob"])
    (folder / "FCN.pb").write_bytes(frozen.SerializeToString())
    return frozen


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    "A folder with two graphs, whose tensors have the same names"
    folder = tmp_path_factory.mktemp("graphs")
    for seed in range(2):
        save_graph(folder / str(seed), seed)
    return folder


@pytest.fixture(scope="module")
def frozen(graphs):
    definition = v1.GraphDef()
    definition.ParseFromString((graphs / "0/FCN.pb").read_bytes())
    return definition


def restored(folder):
    "A session as somebody opens it by hand"
    session = v1.Session(graph=v1.Graph())
    with session.graph.as_default():
        v1.train.import_meta_graph(str(folder / "FCN.meta")).restore(session, str(folder / "FCN"))
    return session


@pytest.fixture
def session(graphs):
    session = restored(graphs / "0")
    yield session
    session.close()


@pytest.fixture
def image():
    return phantom((48, 64), seed=5).image[None]


def rescaled(image):
    "Intensities from the 1st to the 99th percentile as 0 to 1"
    low, high = np.percentile(image, (1, 99))
    return ((np.clip(image, low, high) - low) / (high - low)).astype(np.float32)


def prepare(case):
    return case.replace(image=torch.from_numpy(rescaled(case.image.numpy())), scale=(0.0, 1.0))


def by_hand(session, image):
    "Labels and probabilities `(K, H, W)` of an image `(H, W)`, as the network's own program finds them"
    image = rescaled(image)
    h, w = image.shape
    top, left = -h % 16 // 2, -w % 16 // 2
    padded = np.pad(image, ((top, -h % 16 - top), (left, -w % 16 - left)))
    pred, prob = session.run(["pred:0", "prob:0"], {"image:0": padded[None, ..., None], "training:0": False})
    inside = slice(top, top + h), slice(left, left + w)
    return pred[0][inside], prob[0][inside].transpose(2, 0, 1)


@pytest.mark.parametrize("kind", ["checkpoint", "frozen file", "GraphDef", "session"])
@pytest.mark.parametrize("size", [(61, 66), (48, 64)])
def test_graph_gives_its_own_labels(graphs, frozen, session, kind, size):
    path = str(graphs / "0/FCN.pb")
    sources = {"checkpoint": graphs / "0/FCN.meta", "frozen file": path, "GraphDef": frozen, "session": session}
    model = as_model(GraphModel(sources[kind], **TENSORS, prepare=prepare), size=PadTo(16, fill=0))
    case = phantom(size, seed=5)
    ready = model.prepare(case)
    batch = torch.stack([ready.image] * 3)
    pred, prob = by_hand(session, case.image[0].numpy())
    assert len(np.unique(pred)) > 1
    for labels in model(batch, ready):
        assert_winning(labels, prob)
    assert np.allclose(model.probabilities(batch, ready)[1], prob, atol=1e-6)


def test_sweep_of_a_graph(graphs, session, heart):
    model = GraphModel(graphs / "0/FCN.meta", **TENSORS, prepare=prepare, name="FCN", labels=["bg", "LV", "MY", "RV"])
    padded = as_model(model, size=PadTo(16, fill=0))
    for step in get_series(padded, heart, Rotate(), [-20, 0, 20], progress=False):
        assert step.image.min() == 0  # it has been prepared
        assert step.image.max() == 1
        assert step.pred.shape == heart.shape
        assert_winning(step.pred, by_hand(session, Rotate()(heart, step.value).image[0].numpy())[1])


def test_session_is_a_model(session):
    assert isinstance(as_model(session, **TENSORS), GraphModel)


def test_two_graphs_stay_apart_and_nothing_global_changes(graphs, image):
    before = v1.get_default_graph()
    state = np.random.get_state()[1].copy()
    a, b = (GraphModel(graphs / name / "FCN.pb", **TENSORS) for name in "01")
    first = a(image)
    assert not torch.equal(b(image), first)
    assert torch.equal(a(image), first)  # turn by turn
    assert tf.executing_eagerly()
    assert v1.get_default_graph() is before
    assert not before.get_operations()
    assert np.array_equal(state, np.random.get_state()[1])
    assert a.net.graph is not b.net.graph
    assert a.channels == "last"
    assert a.in_channels == 1


def test_size_that_does_not_fit_is_refused_with_a_remedy(graphs, heart):
    with pytest.raises(ValueError, match=r"size=PadTo\(16\)"):
        GraphModel(graphs / "0/FCN.pb", **TENSORS)(heart.image[None], heart)


def test_unknown_tensors_are_refused_with_a_hint(frozen):
    with pytest.raises(ValueError, match="input must be .*, got 'imgae:0' .did you mean 'image:0'"):
        GraphModel(frozen, "imgae:0", "pred:0")
    with pytest.raises(ValueError, match="mask must be .*'pred:0'.*, got 'prediction'"):
        GraphModel(frozen, "image", "prediction")
    with pytest.raises(ValueError, match="feed must be .*, got 'train' .did you mean 'training:0'"):
        GraphModel(frozen, "image", "pred", {"train": False})


ONLY = dict(input="image", probabilities="prob", feed={"training": False}, trust=True)


@pytest.mark.parametrize("kind", ["checkpoint", "frozen file", "GraphDef", "session"])
def test_probabilities_are_enough(graphs, frozen, session, image, kind):
    sources = {
        "checkpoint": graphs / "0/FCN.meta",
        "frozen file": graphs / "0/FCN.pb",
        "GraphDef": frozen,
        "session": session,
    }
    only, both = (GraphModel(sources[kind], **given) for given in (ONLY, TENSORS))
    assert len(both(image).unique()) > 1
    assert torch.equal(only(image), both(image))
    assert torch.equal(only.probabilities(image, None), both.probabilities(image, None))
    assert only.fingerprint() != both.fingerprint()


def test_mask_or_probabilities_must_be_named(frozen):
    with pytest.raises(ValueError, match="mask must be the name of a tensor, or None where probabilities .*, got None"):
        GraphModel(frozen, "image")
    with pytest.raises(ValueError, match="probabilities must be .*, got 'probs' .did you mean 'prob:0'"):
        GraphModel(frozen, "image", probabilities="probs")
    with pytest.raises(ValueError, match="output must be 'probabilities' where there is no mask .*, got 'logits'"):
        GraphModel(frozen, **ONLY, output="logits")


def test_remedy_for_a_tensor_of_logits(frozen, image):
    "What the error names works"
    given = dict(input="image", feed={"training": False})
    labels = GraphModel(frozen, **given, mask="prob:0", output="logits")(image)
    assert torch.equal(labels, GraphModel(frozen, **ONLY)(image))
    selected = GraphModel(frozen, **given, select="prob:0", output="probabilities")
    assert torch.equal(selected(image), labels)


def published_extractor():
    "A frozen graph of volumes, whose mask depends on the program that read the training data"
    with v1.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, (None, 8, 8, 8, 1), "img")
        training = v1.placeholder(tf.bool, (), "training")
        handle = v1.placeholder(tf.string, (), "handle")
        batch = v1.data.Iterator.from_string_handle(handle, tf.float32, (None, 8, 8, 8, 1)).get_next()
        prob = tf.sigmoid(tf.where(training, -1.0, 1.0) * (20 * image - 10), name="prob")
        tf.greater(prob, 0.5 * tf.ones_like(batch), name="pred")
        return graph.as_graph_def()


def test_graph_whose_mask_cannot_be_run():
    "One channel of probabilities: label 1 is what has more than one half"
    given = dict(input="img:0", feed={"training:0": False}, labels=["background", "brain"])
    volume = torch.rand(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="You must feed a value for placeholder"):
        GraphModel(published_extractor(), **given, mask="pred:0")(volume)
    model = GraphModel(published_extractor(), **given, probabilities="prob:0")
    assert torch.equal(model(volume), (volume[:, 0] > 0.5).long())
    expected = torch.sigmoid(20 * volume - 10)
    assert torch.allclose(model.probabilities(volume, None), torch.cat([1 - expected, expected], 1), atol=1e-6)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(volume), model(volume))
    case = phantom((8, 16, 16), seed=1)
    whole = as_model(model, size=ResizeTo((8, 8, 8)))
    assert whole(case.image[None], case).shape == (1, 8, 16, 16)


def test_files_that_hold_no_graph_are_refused(graphs, tmp_path):
    with pytest.raises(ValueError, match="graph must be a frozen graph .*, got 'FCN', which does not exist"):
        GraphModel("FCN", "image", "pred")
    (tmp_path / "no.pb").write_text("no graph")
    (tmp_path / "lonely.meta").write_bytes((graphs / "0/FCN.meta").read_bytes())
    for bad in ("no.pb", "lonely.meta"):
        with pytest.raises(ValueError, match=f"{bad}', which cannot be opened"):
            GraphModel(tmp_path / bad, "image", "pred", trust=True)
    with pytest.raises(TypeError, match=r"graph must be a frozen graph .*, got \[\]"):
        GraphModel([], "image", "pred")


def test_graph_refuses_what_does_not_fit(frozen, image):
    with pytest.raises(ValueError, match="labels must be .* or more names"):
        GraphModel(frozen, **TENSORS, labels=["bg", "LV"])(image)
    with pytest.raises(ValueError, match="You must feed a value for placeholder"):
        GraphModel(frozen, "image", "pred")(image)


@pytest.mark.parametrize("kind", ["checkpoint", "frozen file", "GraphDef"])
def test_graph_is_opened_again_in_another_process(graphs, frozen, image, kind):
    sources = {"checkpoint": graphs / "0/FCN.meta", "frozen file": graphs / "0/FCN.pb", "GraphDef": frozen}
    model = GraphModel(sources[kind], **TENSORS)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(image), model(image))
    assert again.fingerprint() == model.fingerprint() == GraphModel(sources[kind], **TENSORS).fingerprint()


def test_session_cannot_go_to_another_process(session):
    with pytest.raises(TypeError, match="holds a Session, which no other process can get"):
        pickle.dumps(as_model(session, **TENSORS))


def test_cache_keys_of_graphs_differ(graphs, session):
    assert as_model(session, **TENSORS).fingerprint() == as_model(session, **TENSORS).fingerprint()
    models = [
        GraphModel(graphs / "0/FCN.pb", **TENSORS),
        GraphModel(graphs / "1/FCN.pb", **TENSORS),
        GraphModel(graphs / "1/FCN.meta", **TENSORS),
        as_model(session, **TENSORS, name="model"),
    ]
    assert len({model.fingerprint() for model in models}) == 4


@pytest.mark.parametrize("file", ["FCN.meta", "FCN.pb"])
def test_graph_on_a_real_image(data, graphs, session, file):
    case = load_case(data / "cardiac" / "sax_image.png")  # 256 x 230
    model = as_model(GraphModel(graphs / "0" / file, **TENSORS, prepare=prepare), size=PadTo(16, fill=0))
    for step in get_series(model, case, Rotate(), [-30, 0, 10], progress=False):
        image = rescaled(Rotate()(case, step.value).image.numpy())[0]
        padded = np.pad(image, ((0, 0), (5, 5)))[None, ..., None]
        pred, prob = session.run(["pred:0", "prob:0"], {"image:0": padded, "training:0": False})
        prob = prob[0, :, 5:235].transpose(2, 0, 1)
        assert_winning(step.pred, prob)
        assert len(np.unique(pred)) > 1
        assert np.allclose(model.probabilities(step.image[None], case)[0], prob, atol=1e-6)
    assert tf.executing_eagerly()
    assert not v1.get_default_graph().get_operations()


def test_two_graphs_in_other_processes(graphs):
    "A path is opened again by each process; two graphs with tensors of the same names stay apart"
    models = [GraphModel(graphs / str(seed) / "FCN.meta", **TENSORS, name=f"FCN {seed}") for seed in range(2)]
    cases = [phantom((32, 48), seed=s) for s in range(2)]
    options = dict(cases=cases, transforms=Rotate(), values=[0, 90], progress=False)
    a, b = (evaluate(m, **options) for m in models)
    shared = evaluate(models[0], **options, n_jobs=2)
    assert np.allclose(shared.score, a.score, atol=1e-3, equal_nan=True)
    assert shared.drop(columns="score").equals(a.drop(columns="score"))
    assert not np.allclose(a.score, b.score, equal_nan=True)


USES_A_GRAPH = """
from misas.models.tensorflow import GraphModel
GraphModel(sys.argv[1], 'image', 'pred', {'training': False}, trust=True)(torch.ones(1, 1, 16, 16))
import torch._dynamo
"""


@pytest.mark.parametrize("first", ["import tensorflow", USES_A_GRAPH], ids=["import", "graph"])
def test_beside_pytorch(graphs, first):
    "A network of PyTorch works in a process where TensorFlow is at work"
    code = f"""
import sys, torch
{first}
from misas.core.model import as_model
from misas.models.demo import demo_model
print(as_model(demo_model())(torch.rand(1, 1, 32, 32)).shape, 'tensorflow' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, graphs / "0/FCN.pb"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "torch.Size([1, 32, 32]) True"


def test_missing_framework(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (tmp_path / "net.pb").write_bytes(b"")
    with pytest.raises(ImportError, match=r"tensorflow.*: pip install 'misas\[tensorflow\]'"):
        import_optional("tensorflow", "tensorflow")
    with pytest.raises(ImportError, match=r"pip install 'misas\[tensorflow\]'"):
        GraphModel(tmp_path / "net.pb", "image", "pred", trust=True)
    with pytest.raises(ImportError, match=r"pip install 'misas\[tensorflow\]'"):
        SavedModel(tmp_path, trust=True)
