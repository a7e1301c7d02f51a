"Networks on numpy arrays: layouts, dtypes, sizes and outputs of all kinds"

import pickle

import numpy as np
import pytest
import torch

from misas.core.checks import import_optional, label_names
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.models.arrays import (
    _CHANNELS,
    FileModel,
    NumpyModel,
    _channels_first,
    _channels_of,
    _labels_of,
    _probabilities_of,
    _to_layout,
    existing_file,
    file_digest,
    pick_output,
)

ANY = (None, 1, None, None)  # an input with one channel first, of any size


def random(*shape):
    return np.random.default_rng(0).random(shape)


def logits_of(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


class Intervals(NumpyModel):
    "The k-th class wins where the brightness is closest to k"

    def run(self, array, name):
        axis = 1 if self.channels == "first" else -1
        self.seen = array
        brightness = np.asarray(array, dtype=np.float64)
        if self.channels != "none":
            brightness = brightness.mean(axis)
        scores = np.stack([-abs(brightness - k) for k in range(4)], axis)
        return scores.argmax(axis) if name == "mask" else scores


def thrice(array):
    return 3 * array


@pytest.fixture
def case():
    return phantom((17, 20), seed=1)


@pytest.fixture
def eight(case):
    return load_case((case.image[0] * 255).round().numpy().astype(np.uint8))


@pytest.fixture
def sixteen(case):
    return load_case((case.image[0] * 255).round().numpy().astype(np.uint16))


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((None, None, None, 1), "last"),
        ((1, 3, 256, 256), "first"),
        ((None, 1, None, None, None), "first"),
        ((4, 12, 16, 3), "last"),
        ((None, 64, 64), "none"),
        ((None,) * 4, None),
        ((1, 4, 4, 4), None),
        ((None, 256, 256, None), None),
        (None, None),
    ],
)
def test_channel_axis_is_the_short_fixed_one(shape, expected):
    assert _channels_of(shape) == expected


def test_unknown_place_of_channels_is_refused():
    with pytest.raises(ValueError, match="channels must be one of 'first', 'last', 'none', got 'middle'"):
        Intervals(ANY, channels="middle")
    with pytest.raises(ValueError, match="channels must be .*, since the network's input of shape .*got None"):
        Intervals((None,) * 4)
    assert _CHANNELS == ("first", "last", "none")


@pytest.mark.parametrize("images", [random(2, 3, 5, 4), random(2, 3, 5, 4, 6)], ids=["2D", "3D"])
def test_output_comes_back_from_every_layout(images):
    size = (2, *images.shape[2:])
    for channels in ("first", "last"):
        for other in ("first", "last"):
            assert np.array_equal(_channels_first(_to_layout(images, channels), size, other), images)
    one = images[:, :1]
    assert np.array_equal(_channels_first(_to_layout(one, "none"), size, "none"), one)


def test_ambiguous_output_has_its_channels_where_the_input_has_them():
    cube = random(1, 4, 4, 4)  # either axis could hold four classes
    assert np.array_equal(_channels_first(cube, (1, 4, 4), "first"), cube)
    assert np.array_equal(_channels_first(cube, (1, 4, 4), "last"), np.moveaxis(cube, -1, 1))


def test_output_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"must be \(2, 5, 5\), or .*, got \(2, 3, 5, 4\)"):
        _channels_first(random(2, 3, 5, 4), (2, 5, 5), "first")


def test_labels_and_probabilities_of_several_channels():
    logits = logits_of(2, 4, 6, 5)
    soft = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for output in (None, "logits"):
        assert np.array_equal(_labels_of(logits, output), logits.argmax(1))
    for output in (None, "probabilities"):
        assert np.array_equal(_labels_of(soft, output), logits.argmax(1))
    assert np.allclose(_probabilities_of(logits, "logits"), soft, atol=1e-6)
    assert np.array_equal(_probabilities_of(soft, "probabilities"), soft)
    assert _labels_of(np.zeros((1, 3, 2, 2), np.float32)).max() == 0  # the first of equal ones


def test_labels_and_probabilities_of_a_single_channel():
    one = logits_of(2, 4, 6, 5)[:, :1]
    sigmoid = 1 / (1 + np.exp(-one))
    assert np.array_equal(_labels_of(one, "logits"), one[:, 0] > 0)
    assert np.array_equal(_labels_of(sigmoid, "probabilities"), one[:, 0] > 0)
    from_logits = _probabilities_of(one, "logits")
    assert np.allclose(from_logits, _probabilities_of(sigmoid, "probabilities"), atol=1e-6)
    assert np.allclose(from_logits.sum(1), 1)


def test_every_dtype_is_read():
    logits = logits_of(2, 4, 6, 5)
    for dtype in (np.float16, np.float32, np.float64):
        assert np.array_equal(_labels_of(logits.astype(dtype)), logits.astype(dtype).argmax(1))
    for dtype in (np.uint8, np.int64, np.float32, bool):
        assert np.array_equal(_labels_of(np.ones((1, 1, 2, 3), dtype), "labels"), np.ones((1, 2, 3)))


def test_integers_are_labels():
    sevens = np.full((1, 1, 2, 3), 7)
    assert np.array_equal(_labels_of(sevens), np.full((1, 2, 3), 7))
    assert _probabilities_of(sevens) is None


def test_scores_that_cannot_be_read_are_refused():
    logits = logits_of(2, 4, 6, 5)
    one = logits[:, :1]
    with pytest.raises(ValueError, match="output must be 'logits' or 'probabilities'.*1 channel"):
        _labels_of(one)
    with pytest.raises(ValueError, match="output must be 'logits' or 'probabilities'.*4 channels"):
        _probabilities_of(logits)
    with pytest.raises(ValueError, match=r"probabilities must be numbers from 0 to 1 .*, got \(-"):
        _labels_of(logits, "probabilities")
    with pytest.raises(ValueError, match="the network gives 4, got 'labels'"):
        _labels_of(logits, "labels")
    with pytest.raises(ValueError, match="integers"):
        _labels_of(one + 0.3, "labels")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_must_be_finite(bad):
    broken = logits_of(2, 4, 6, 5)
    broken[0, 2, 3, 3] = bad
    with pytest.raises(ValueError, match="the network's scores must be finite numbers, .* in 1 of 60 places"):
        _labels_of(broken, "logits")
    with pytest.raises(ValueError, match="the network's scores must be finite numbers"):
        _probabilities_of(broken, "probabilities")


def test_output_is_picked_by_name_or_number():
    assert pick_output(["mask"], None) == "mask"
    for which in ("mask", 1, -1):
        assert pick_output(["deep", "mask"], which) == "mask"
    for bad in (None, "maks", 2):
        with pytest.raises(ValueError, match=f"mask must be one of 'deep', 'mask', got {bad!r}"):
            pick_output(["deep", "mask"], bad)


def shapes_for(ndim):
    "Inputs in every layout"
    n = (None,) * ndim
    shapes = [(None, *n, 1), (None, 1, *n), (None, *n, 3), (3, 1, *n)]
    return shapes + [(None, *n)] if ndim == 2 else shapes


@pytest.mark.parametrize("size", [(17, 20), (5, 16, 18)], ids=["2D", "3D"])
def test_every_layout_gives_the_same_labels(size):
    case = phantom(size, seed=1)
    expected = (3 * case.image[0]).round().int()
    batch = torch.stack([case.image, case.image.flip(-1), case.image.flip(-2), case.image])
    masks = torch.stack([expected, expected.flip(-1), expected.flip(-2), expected])
    for shape in shapes_for(case.ndim):
        model = Intervals(shape, preprocess=thrice, output="logits")
        assert torch.equal(model(batch, case), masks), shape
        maps = model.probabilities(batch, case)
        assert maps.argmax(1).equal(model(batch, case).long())
        assert np.allclose(maps.sum(1), 1)
        assert model.seen.dtype == np.float32
        assert len(model.seen) == (shape[0] or 4)
        assert model.batch_size == (shape[0] or (1 if case.ndim == 3 else 4))


@pytest.mark.parametrize("size", [(17, 20), (5, 16, 18)], ids=["2D", "3D"])
def test_preprocess_may_work_in_place(size):
    case = phantom(size, seed=1)
    shape = (None, *(None,) * case.ndim, 1)
    model = Intervals(shape, preprocess=lambda array: np.multiply(array, 3, out=array))
    assert torch.equal(model(case.image[None], case)[0], (3 * case.image[0]).round().int())
    assert case.image.max() <= 1  # the image stays as it is


@pytest.mark.parametrize("size", [(17, 20), (5, 16, 18)], ids=["2D", "3D"])
def test_labels_and_probabilities_may_be_two_outputs(size):
    case = phantom(size, seed=1)
    shape = (None, *(None,) * case.ndim, 1)
    both = Intervals(shape, preprocess=thrice, mask="mask", probabilities="scores", channels="last")
    assert torch.equal(both(case.image[None])[0], (3 * case.image[0]).round().int())
    with pytest.raises(ValueError, match="probabilities must be numbers from 0 to 1"):
        both.probabilities(case.image[None], case)


def test_sizes_that_do_not_fit_are_refused_with_a_remedy(case):
    remedy = r"must be \(32, 20\), got \(17, 20\); use as_model\(..., size=ResizeTo\(\(32, 20\)\)\)"
    with pytest.raises(ValueError, match=remedy):
        Intervals((None, 1, 32, None))(case.image[None])
    with pytest.raises(ValueError, match=r"must have 5 axes \(None, None, None, None, 1\), got 4"):
        Intervals((None,) * 4 + (1,))(case.image[None])
    with pytest.raises(ValueError, match="3"):
        Intervals(ANY)(torch.rand(1, 3, 8, 8))  # three different channels for one


def test_unknown_kind_of_output_is_refused():
    with pytest.raises(ValueError, match="output must be one of None, 'logits', .*, got 'softmax'"):
        Intervals(ANY, output="softmax")


@pytest.mark.parametrize("names, mask", [(["bg", "heart"], None), (list("abcde"), None), (["bg"], "mask")])
def test_wrong_number_of_names_is_refused(case, names, mask):
    with pytest.raises(ValueError, match="labels must be .* names, one for each label of the network"):
        Intervals(ANY, labels=names, mask=mask, preprocess=thrice)(case.image[None])


def test_labels_that_do_not_occur_may_have_names(case):
    Intervals(ANY, labels=list("abcdefg"), mask="mask")(case.image[None])
    for mask in (None, "mask"):  # a dict need not name all of them
        Intervals(ANY, labels=label_names({1: "wall"}), mask=mask, preprocess=thrice)(case.image[None])
    with pytest.raises(ValueError, match="labels must be 4 names"):
        Intervals(ANY, labels=label_names({7: "wall"}))(case.image[None])


@pytest.mark.parametrize("dtype, highest", [("uint8", 255), ("int32", 999)])
def test_integers_are_clipped_and_never_wrap_around(eight, dtype, highest):
    model = Intervals((None, None, None, 1), dtype)
    assert model(eight.image[None] + 100, eight).max() == 3
    assert model.seen.dtype == dtype
    assert np.array_equal(model.seen[0, ..., 0], np.minimum(eight.image[0].numpy() + 100, highest))


def test_pixels_that_do_not_fit_the_dtype_need_a_preprocess(case, sixteen):
    last = (None, None, None, 1)
    with pytest.raises(ValueError, match="fits into the network's uint8.*got '?uint16"):
        Intervals(last, "uint8")(sixteen.image[None], sixteen)
    with pytest.raises(ValueError, match="fits into the network's int32.*got '?float32"):
        Intervals(last, "int32")(case.image[None], case)
    scaled = Intervals(last, "uint8", preprocess=lambda x: x / 16)
    assert scaled(sixteen.image[None], sixteen).shape == (1, 17, 20)


def test_missing_framework_says_what_to_install():
    with pytest.raises(ImportError, match=r"no_such_framework is not installed: pip install 'misas\[onnx\]'"):
        import_optional("no_such_framework.core", "onnx")


class Factor(FileModel):
    "The file holds a factor"

    @staticmethod
    def open(source):
        return float(source.read_text())

    def run(self, array, name):
        return (self.net * array).round().astype(int)


def test_file_is_opened_again_in_another_process(case, tmp_path):
    (tmp_path / "network.txt").write_text("2.5")
    model = Factor(existing_file(tmp_path / "network.txt", "path", "a text file"), shape=(None, None, None, 1))
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(case.image[None]), model(case.image[None]))
    assert model(case.image[None]).max() == 2


def test_open_network_cannot_go_to_another_process():
    message = r"model 'model' holds a float, which no other process can get; use Factor\(path of the file\)"
    with pytest.raises(TypeError, match=message):
        pickle.dumps(Factor(2.5, 2.5, shape=(None, None, None, 1)))


def test_missing_file_is_named():
    with pytest.raises(ValueError, match="path must be a text file, got 'nowhere.txt', which does not exist"):
        existing_file("nowhere.txt", "path", "a text file")


def test_digest_tells_contents_apart(tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("2.5")
    b.write_text("2.5")
    assert file_digest(a) == file_digest(b) != file_digest(a, b)
    assert file_digest(b"a", np.arange(3)) == file_digest(b"a", np.arange(3)) != file_digest(b"a", np.arange(1, 4))
