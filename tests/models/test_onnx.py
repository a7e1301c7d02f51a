"Networks in ONNX files: ONNX Runtime's own labels, pixel by pixel"

import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
from winning import assert_winning

onnxruntime = pytest.importorskip("onnxruntime", exc_type=ImportError)
onnx = pytest.importorskip("onnx")

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.models.loading import load_model
from misas.models.onnx import OnnxModel, _dtype, _shape
from misas.models.sizes import PadTo, ResizeTo
from misas.transforms.basic import Brightness, Rotate

CPU = ["CPUExecutionProvider"]
CONV = "scores = Conv <pads = [1, 1, 1, 1]> (image, w, b)"
FIRST = "first = Transpose <perm = [0, 3, 1, 2]> (image) "
LAST = FIRST + "mid = Conv <pads = [1, 1, 1, 1]> (first, w, b) " + "scores = Transpose <perm = [0, 2, 3, 1]> (mid)"


def network(takes, gives, body, ndim=2, channels=1, classes=4, seed=0):
    "A network written in ONNX' own text form, with a convolution `w`, `b` for it"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> net ({takes}) => ({gives}) {{ {body} }}')
    r = np.random.default_rng(seed)
    dtype = np.float16 if "float16" in takes else np.float32
    weights = dict(w=r.normal(size=(classes, channels, *(3,) * ndim)), b=r.normal(size=classes))
    for name, array in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(dtype), name))
    onnx.checker.check_model(model, full_check=True)
    return model


def free(**options):
    "A network for images of any size"
    return network("float[N, 1, H, W] image", "float[N, 4, H, W] scores", CONV, **options)


@pytest.fixture
def heart():
    return phantom((61, 66), seed=3)


@pytest.fixture
def square():
    return phantom((64, 64), seed=3)


@pytest.fixture
def volume():
    return phantom((6, 20, 17), seed=1)


@pytest.fixture
def eight(heart):
    return load_case((heart.image[0] * 255).round().numpy().astype(np.uint8))


def unchanged(x):
    return x


def channels_last(x):
    return np.moveaxis(x, 1, -1)


def best_first(y):
    return y.argmax(1)


def best_last(y):
    return y.argmax(-1)


def assert_same(net, case, feed, reference, **options):
    "The labels through misas are those of `reference`, a function on the network's first output"
    model = as_model(net, **options)
    images = torch.stack([case.image, case.image.flip(-1), case.image.flip(-2)])
    session = onnxruntime.InferenceSession(net.SerializeToString(), providers=CPU)
    one_by_one = [reference(session.run(None, {"image": feed(i[None].numpy())})[0]) for i in images]
    expected = np.concatenate(one_by_one)
    # a batch may be computed in another order than a single image
    assert (model(images, case).numpy() == expected).mean() > 0.9999
    assert len(np.unique(expected)) > 1


def test_types_and_shapes_are_read():
    names = ("float", "float16", "double", "uint8", "int64")
    assert [_dtype(f"tensor({t})") for t in names] == ["float32", "float16", "float64", "uint8", "int64"]
    assert _shape(["batch", 1, None, 64]) == (None, 1, None, 64)
    assert _shape([]) is None
    for bad in ("tensor(string)", "seq(tensor(float))"):
        with pytest.raises(ValueError, match="the network's input must be a tensor of"):
            _dtype(bad)


def test_channels_first(heart):
    assert_same(free(), heart, unchanged, best_first)


def test_channels_last(heart):
    net = network("float[N, H, W, 1] image", "float[N, H, W, 4] scores", LAST)
    assert_same(net, heart, channels_last, best_last)


def test_channels_last_in_the_input_and_first_in_the_output(heart):
    net = network("float[N, H, W, 1] image", "float[N, 4, H, W] scores", FIRST + CONV.replace("image", "first"))
    assert_same(net, heart, channels_last, best_first)


def test_one_image_at_a_time_of_one_size(square):
    net = network("float[1, 1, 64, 64] image", "float[1, 4, 64, 64] scores", CONV)
    assert_same(net, square, unchanged, best_first)


def test_two_images_at_a_time(heart):
    net = network("float[2, 1, H, W] image", "float[2, 4, H, W] scores", CONV)
    assert_same(net, heart, lambda x: np.repeat(x, 2, 0), lambda y: y.argmax(1)[:1])


def test_three_channels_for_a_grey_image(heart):
    net = network("float[N, 3, H, W] image", "float[N, 4, H, W] scores", CONV, channels=3)
    assert_same(net, heart, lambda x: np.repeat(x, 3, 1), best_first)


def test_volumes(volume):
    body = CONV.replace("1, 1, 1, 1", "1, 1, 1, 1, 1, 1")
    net = network("float[N, 1, D, H, W] image", "float[N, 4, D, H, W] scores", body, ndim=3)
    assert_same(net, volume, unchanged, best_first)


def test_no_axis_for_channels(heart):
    body = "axis = Constant <value_ints = [1]> () x = Unsqueeze(image, axis) " + CONV.replace("image", "x")
    net = network("float[N, H, W] image", "float[N, 4, H, W] scores", body)
    assert_same(net, heart, lambda x: x[:, 0], best_first)


def test_16_bit_floats(heart):
    net = network("float16[N, 1, H, W] image", "float16[N, 4, H, W] scores", CONV)
    assert_same(net, heart, lambda x: x.astype(np.float16), best_first)


def bytewise():
    "A network that takes bytes"
    scaled = "x = Cast <to = 1> (image) c = Constant <value_float = 255.0> () y = Div(x, c) "
    return network("uint8[N, H, W, 1] image", "float[N, H, W, 4] scores", scaled + LAST.replace("(image)", "(y)"))


def test_bytes(heart, eight):
    def rounded(x):
        return (channels_last(x) * 255).round().astype(np.uint8)

    assert_same(bytewise(), eight, lambda x: channels_last(x).astype(np.uint8), best_last)
    assert_same(bytewise(), heart, rounded, best_last, preprocess=lambda x: x * 255)


@pytest.mark.parametrize("keep, shape", [(0, "N, H, W"), (1, "N, 1, H, W")])
def test_labels(heart, keep, shape):
    body = CONV + f" mask = ArgMax <axis = 1, keepdims = {keep}> (scores)"
    net = network("float[N, 1, H, W] image", f"int64[{shape}] mask", body)
    assert_same(net, heart, unchanged, lambda y: y.reshape(1, 61, 66))
    assert as_model(net).probabilities(heart.image[None], heart) is None


def binary():
    "A network with a single channel of probabilities"
    body = CONV + " p = Sigmoid(scores)"
    return network("float[N, 1, H, W] image", "float[N, 1, H, W] p", body, classes=1)


def test_single_channel(heart):
    assert_same(binary(), heart, unchanged, lambda y: y[:, 0] > 0.5, output="probabilities")
    model = as_model(binary(), output="probabilities")
    assert model.probabilities(heart.image[None], heart).shape == (1, 2, 61, 66)


def two_outputs():
    "A network with a switch, which gives labels and probabilities"
    body = (
        "n = Neg(image) x = Where(training, n, image) "
        + CONV.replace("image", "x")
        + " prob = Softmax <axis = 1> (scores) mask = ArgMax <axis = 1, keepdims = 0> (scores)"
    )
    return network("float[N, 1, H, W] image, bool training", "int64[N, H, W] mask, float[N, 4, H, W] prob", body)


def test_several_inputs_and_outputs(heart):
    net = two_outputs()
    images = heart.image[None]
    off, on = (dict(feed=dict(training=np.array(on))) for on in (False, True))
    names = dict(mask="mask", probabilities="prob")
    model = as_model(net, **off, **names)
    labels = model(images)
    assert (labels == as_model(free())(images)).float().mean() > 0.9999
    assert torch.equal(model.probabilities(images, heart).argmax(1), labels.long())
    assert not torch.equal(as_model(net, **on, **names)(images), labels)
    assert torch.equal(as_model(net, **off, mask=1)(images), labels)
    with pytest.raises(ValueError, match="input must be one of 'image', 'training', got None"):
        as_model(net)
    for wrong in (None, "msak", 2):
        with pytest.raises(ValueError, match=f"mask must be one of 'mask', 'prob', got {wrong!r}"):
            as_model(net, **off, **names | dict(mask=wrong))


def test_size_that_does_not_fit_is_refused_with_a_remedy(heart, square, volume):
    small = network("float[1, 1, 64, 64] image", "float[1, 4, 64, 64] scores", CONV)
    size = r"\(64, 64\)"
    message = rf"must be {size}, got \(61, 66\); use as_model\(..., size=ResizeTo\({size}\)\) or CropTo\({size}\)"
    with pytest.raises(ValueError, match=message):
        as_model(small)(heart.image[None], heart)
    assert as_model(small, size=ResizeTo((64, 64)))(heart.image[None], heart).shape == (1, 61, 66)
    padded = as_model(free(), size=PadTo(16))(square.image[None], square)
    assert torch.equal(padded, as_model(free())(square.image[None], square))
    with pytest.raises(ValueError, match="must have 4 axes .*, got 5"):
        as_model(free())(volume.image[None], volume)


def test_images_that_do_not_fit_are_refused(heart):
    with pytest.raises(ValueError, match="3"):
        as_model(free())(torch.rand(1, 3, 8, 8))  # three different channels for one
    with pytest.raises(ValueError, match="fits into the network's uint8.*got '?float32"):
        as_model(bytewise())(heart.image[None], heart)


def test_outputs_that_are_no_masks_are_refused(heart):
    images = heart.image[None]
    with pytest.raises(ValueError, match="output must be 'logits' or 'probabilities'.*1 channel"):
        as_model(binary())(images)
    with pytest.raises(ValueError, match="output must be 'logits' or 'probabilities'.*4 channels"):
        as_model(free()).probabilities(images, heart)
    with pytest.raises(ValueError, match="labels must be 4 names"):
        as_model(free(), labels=["bg", "heart"])(images)
    with pytest.raises(ValueError, match="scores must be finite numbers, got NaN or infinite ones in"):
        as_model(free(), preprocess=lambda x: x * np.nan)(images)
    unpadded = CONV.replace("1, 1, 1, 1", "0, 0, 0, 0")
    smaller = network("float[N, 1, H, W] image", "float[N, 4, I, J] scores", unpadded)
    with pytest.raises(ValueError, match=r"shape of the network's output .*\(1, 4, 59, 64\)"):
        as_model(smaller)(images)


def test_unknown_place_of_channels_has_to_be_said(heart):
    net = network("float[N, C, H, W] image", "float[N, 4, H, W] scores", CONV)
    with pytest.raises(ValueError, match="channels must be 'first', 'last' or 'none', .*, got None"):
        as_model(net)
    assert torch.equal(as_model(net, channels="first")(heart.image[None]), as_model(free())(heart.image[None]))


def test_sources_that_hold_no_network_are_refused(tmp_path):
    (tmp_path / "no.onnx").write_text("no network")
    with pytest.raises(ValueError, match="source must be the path of an .onnx file.*no.onnx', which cannot be opened"):
        OnnxModel(tmp_path / "no.onnx")
    with pytest.raises(ValueError, match="got 'nowhere.onnx', which does not exist"):
        OnnxModel("nowhere.onnx")
    with pytest.raises(TypeError, match="source must be the path of an .onnx file.*, got 3"):
        OnnxModel(3)


def test_paths_bytes_networks_and_sessions_are_the_same(heart, tmp_path):
    net = free()
    onnx.save(net, tmp_path / "net.onnx")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", settings, providers=CPU)
    models = [
        OnnxModel(tmp_path / "net.onnx"),
        OnnxModel(str(tmp_path / "net.onnx")),
        OnnxModel(net),
        OnnxModel(net.SerializeToString()),
        as_model(net),
    ]
    expected = models[0](heart.image[None])
    for model in models:
        assert torch.equal(model(heart.image[None]), expected)
        assert torch.equal(pickle.loads(pickle.dumps(model))(heart.image[None]), expected)
    opened = as_model(session)
    assert (opened(heart.image[None]) == expected).float().mean() > 0.9999
    assert opened.net is session
    assert session.get_session_options().intra_op_num_threads == 2
    message = r"holds a InferenceSession, which no other process can get; use OnnxModel\(path of the file\)"
    with pytest.raises(TypeError, match=message):
        pickle.dumps(opened)


def test_cache_key_knows_the_content(tmp_path):
    onnx.save(free(), tmp_path / "net.onnx")
    onnx.save(free(), tmp_path / "copy.onnx")
    onnx.save(free(seed=1), tmp_path / "other.onnx")
    net, copy, other = (OnnxModel(tmp_path / f"{n}.onnx", name="m").fingerprint() for n in ("net", "copy", "other"))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=CPU)
    assert net == copy == as_model(session, name="m").fingerprint() != other


def test_a_path_is_enough(heart, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(free(), path)
    for model in (as_model(path), as_model(str(path)), load_model(path), load_model(str(path))):
        assert model.name == "net"
        assert torch.equal(model(heart.image[None]), as_model(free())(heart.image[None]))
    assert as_model(str(path), name="mine").name == "mine"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "The demo model, for any size and for 128 x 128 only"
    folder = tmp_path_factory.mktemp("onnx")
    any_size = dict(image={0: "batch", 2: "height", 3: "width"})
    for name, axes in dict(free=any_size, fixed=None).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the exporter's age
            torch.onnx.export(
                demo_model(),
                (torch.rand(1, 1, 128, 128),),
                folder / f"{name}.onnx",
                input_names=["image"],
                output_names=["scores"],
                dynamic_axes=axes,
                dynamo=False,
            )
    return folder


def scores_by_hand(session, image):
    return session.run(None, {"image": image[None, None]})[0][0]


@pytest.mark.parametrize("image", ["cardiac/sax_image.png", "dicom/IM-4562-0014.dcm"])
def test_free_size_on_real_images(data, files, image):
    case = load_case(data / image)
    session = onnxruntime.InferenceSession(files / "free.onnx", providers=CPU)
    model = OnnxModel(files / "free.onnx", output="logits")
    torch_model = as_model(demo_model())
    for transform, values in ((Rotate(), [-30, 0, 10]), (Brightness(), [0.5, 2])):
        for step in get_series(model, case, transform, values, progress=False):
            assert_winning(step.pred, scores_by_hand(session, step.image[0].numpy()), atol=1e-4)
            assert len(step.pred.unique()) > 1
            assert (step.pred == torch_model(step.image[None])[0]).float().mean() > 0.999
            maps = model.probabilities(step.image[None], case)
            assert np.allclose(maps, torch_model.probabilities(step.image[None], case), atol=1e-4)


def test_fixed_size_on_a_real_image(data, files):
    case = load_case(data / "cardiac" / "sax_image.png")
    session = onnxruntime.InferenceSession(files / "fixed.onnx", providers=CPU)
    with pytest.raises(ValueError, match=r"size=ResizeTo\(\(128, 128\)\)"):
        as_model(session)(case.image[None], case)
    size = ResizeTo((128, 128))
    model = as_model(session, size=size)
    for step in get_series(model, case, Rotate(), [-30, 0, 10], progress=False):
        small = size.apply(step.image[None], case.background)[0, 0].numpy()
        labels = torch.from_numpy(scores_by_hand(session, small).argmax(0))
        expected = size.undo_labels(labels[None].int(), case.shape)[0]
        assert (step.pred == expected).float().mean() > 0.9999
        assert step.pred.shape == (256, 230)
    padded = as_model(session, size=PadTo(128))  # 56 x 100 is 128 x 128 then
    assert padded(case.image[None, :1, 100:156, 60:160]).shape == (1, 56, 100)


def test_other_processes(files, tmp_path):
    model = OnnxModel(files / "free.onnx", labels=demo_model().labels)
    cases = [phantom((64, 64), seed=s) for s in range(2)]
    alone, shared = (
        evaluate(model, cases, Rotate(), [0, 30], n_jobs=n, store=tmp_path / str(n), progress=False) for n in (1, 2)
    )
    assert not alone.attrs["errors"]
    assert np.allclose(alone.score, shared.score, atol=1e-3, equal_nan=True)
    assert alone.drop(columns="score").equals(shared.drop(columns="score"))


def test_missing_framework(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(ImportError, match=r"onnxruntime.*: pip install 'misas\[onnx\]'"):
        OnnxModel(tmp_path / "net.onnx")
