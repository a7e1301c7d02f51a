"Models in one form: what is checked, prepared and recognised"

import numpy as np
import pytest
import torch
from PIL import Image

from misas.core.cases import Case, Source
from misas.core.model import Model, PlainModel, _palette, _to_multiple, as_model


@pytest.fixture
def small():
    "A bright square of 2 x 2 in a picture of 4 x 4"
    grey = np.zeros((4, 4), np.uint8)
    grey[1:3, 1:3] = 200
    return Case(grey, truth=grey // 200, source=Source("pil", "uint8", "none"))


class Bright:
    def prepareSize(self, item):
        return item.resize((8, 8), Image.NEAREST)

    def predict(self, image):
        return Image.fromarray((np.asarray(image.convert("L")) > 127).astype(np.uint8))


def bright(image):
    return image > 100


# predictions


class Halving(Model):
    "A network that halves its image three times"

    def predict(self, images, template):
        if any(n % 8 for n in images.shape[2:]):
            raise RuntimeError("sizes of tensors must match")
        return images[:, 0] > 0


class Padded(Model):
    def predict(self, images, template):
        return Halving()(_to_multiple(images, 4), template)


def test_sizes_that_work_are_named():
    with pytest.raises(ValueError, match=r"must match. It works where all sides are multiples of 8: .*PadTo\(8\)"):
        Halving()(torch.rand(1, 1, 20, 16))
    assert Halving()(torch.rand(1, 1, 24, 16)).all()


def test_no_size_is_named_where_intensities_are_the_cause():
    def shy(image):
        if image.mean() > 0.5:
            raise RuntimeError("too bright")
        return image > 0

    # padding would make the mean smaller
    with pytest.raises(
        ValueError, match="too bright. It works with an image of this size that is 0 everywhere: [^:]*$"
    ):
        as_model(shy)(torch.ones(1, 1, 18, 18))


def test_a_model_inside_another_says_once_what_is_wrong():
    once = (
        r"^model 'model' failed on an image of shape \(1, 20, 16\): RuntimeError: sizes of tensors must match. "
        r"It works where all sides are multiples of 8: [^:]*$"
    )
    with pytest.raises(ValueError, match=once):
        Padded()(torch.rand(1, 1, 18, 16))


def test_to_multiple_rounds_up_each_side():
    assert _to_multiple(torch.rand(2, 3, 5, 7, 9), 4).shape == (2, 3, 8, 8, 12)


@pytest.mark.parametrize(
    "prediction, error, message",
    [
        (np.zeros((4, 5), int), ValueError, r"prediction of model 'model' must have the image's shape .* got \(4, 5\)"),
        (np.zeros((4, 4)), TypeError, "argmax"),
        (np.full((4, 4), -1), ValueError, "must be labels >= 0, got -1"),
        ("LV", ValueError, r"must be a mask \(PIL image, array or tensor\), got a str"),
    ],
)
def test_what_is_no_prediction(small, prediction, error, message):
    model = PlainModel(lambda image: prediction, kind="array")
    with pytest.raises(error, match=message):
        model(small.image[None], small)


def test_a_prediction_must_be_a_tensor(small):
    class Lists(Model):
        def predict(self, images, template):
            return images[:, 0].int().tolist()

    with pytest.raises(TypeError, match="prediction of model 'model' must be a tensor"):
        Lists()(small.image[None], small)


def test_a_function_that_fails(small):
    def broken(image):
        raise RuntimeError("out of cheese")

    with pytest.raises(ValueError, match="RuntimeError: out of cheese"):
        PlainModel(broken)(small.image[None], small)


def test_template_under_its_old_name(small):
    model = PlainModel(bright, kind="array")
    with pytest.warns(DeprecationWarning, match="argument like of Model.__call__ is now called template"):
        assert model(small.image[None], like=small).sum() == 4


def test_a_session_gives_the_model():
    model = Halving()
    with model.session() as outer, outer.session() as inner:
        assert inner is model


# the plain class


def test_masks_are_handed_over_as_palette_images():
    picture = _palette(np.array([[0, 1], [2, 3]]))
    resized = np.asarray(picture.resize((5, 5)))
    assert picture.mode == "P"
    assert resized.max() == 3
    assert set(np.unique(resized)) <= {0, 1, 2, 3}
    assert np.asarray(_palette(np.array([[0, 300]]))).max() == 300


def test_prepare_size(small):
    model = PlainModel(Bright().predict, Bright().prepareSize)
    ready = model.prepare(small)
    assert ready.image.shape == (1, 8, 8)
    assert ready.truth.unique().tolist() == [0, 1]
    assert model(ready.image[None], ready).sum() == 16
    assert ready.spacing == (0.5, 0.5)


def test_prepare_size_of_a_colour_picture(small):
    colour = small.replace(image=small.image.repeat(3, 1, 1), source=Source("pil", "uint8", "last"))
    model = PlainModel(Bright().predict, Bright().prepareSize)
    assert model.prepare(colour).image.shape == (3, 8, 8)


@pytest.mark.parametrize(
    "prepare, spacing",
    [
        (lambda x: x[4:-4, 3:-3], (2, 1)),
        (lambda x: np.pad(x, ((4, 4), (1, 1))), (2, 1)),
        (lambda x: np.repeat(x, 2, 0), (1, 1)),
        (lambda x: x[::2, ::3], (4, 3)),
    ],
    ids=["cropped", "padded", "enlarged", "shrunk"],
)
def test_spacing_changes_where_the_image_is_scaled(prepare, spacing):
    wide = Case(np.zeros((40, 30), np.uint8), spacing=(2, 1))
    assert PlainModel(None, prepare).prepare(wide).spacing == spacing


def test_prepare_size_must_not_invent_labels(small):
    def smooth(x):
        return np.asarray(Image.fromarray(np.asarray(x, np.float32)).resize((9, 9), Image.BILINEAR))

    with pytest.raises(ValueError, match="integers|invents"):
        PlainModel(None, smooth, kind="array").prepare(small)


def test_prepare_size_must_bring_image_and_truth_to_one_size(small):
    def image_only(x):
        return x[1:] if x.dtype == np.uint8 else x

    with pytest.raises(ValueError, match=r"must bring image and truth to one size, got \(3, 4\) and \(4, 4\)"):
        PlainModel(None, image_only, kind="array").prepare(small)


# as_model


def test_names_and_labels():
    assert as_model(bright).name == "bright"
    assert as_model(Bright()).name == "Bright"
    assert as_model(bright, labels=["bg", "fg"]).labels == ("bg", "fg")
    assert as_model(bright, labels={2: "RV"}).labels == ("0", "1", "RV")


def test_a_function_gets_arrays(small):
    assert as_model(bright)(small.image[None], small).sum() == 4


def test_a_model_stays_what_it_is():
    one = as_model(bright, name="b")
    assert as_model(one) is one
    assert as_model(one, name="c").name == "c"
    assert one.name == "b"
    with pytest.raises(TypeError, match="options of .* must be name, labels, size or version, .* got kind"):
        as_model(one, kind="array")


def test_a_network_is_no_function_on_arrays():
    assert not isinstance(as_model(torch.nn.Conv2d(1, 2, 1)), PlainModel)


@pytest.mark.parametrize("bad", [3, None, np.zeros((900, 900))], ids=["number", "None", "array"])
def test_what_is_no_model(bad):
    with pytest.raises(TypeError, match="model must be an object with predict.*, got .{,250}$"):
        as_model(bad)


@pytest.mark.parametrize("bad", [Bright, torch.nn.Conv2d])
def test_a_class_is_no_model(bad):
    name = bad.__name__
    with pytest.raises(
        TypeError, match=rf"model must be an object, as in as_model\({name}\(...\)\), got the class {name}"
    ):
        as_model(bad)


@pytest.mark.parametrize("bad", [torch.nn.Conv2d(1, 2, 3).state_dict(), dict(weight=0, bias=0)], ids=["state", "dict"])
def test_weights_are_no_model(bad):
    message = r"model must be a network, got a .*[dD]ict with the keys \['weight', 'bias'\]: .* net.load_state_dict"
    with pytest.raises(TypeError, match=message):
        as_model(bad)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(size=16), "size must be PadTo.*, got 16"),
        (dict(preprocess=3), "preprocess must be a function or None, got 3"),
        (dict(version=3), "version must be a string or None, got 3"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(TypeError, match=message):
        as_model(bright, **options)


# cache keys


def test_cache_keys_tell_models_apart():
    def key(*args, **kwargs):
        return as_model(*args, **kwargs).cache_key()

    keys = [key(bright), key(lambda x: x > 99, name="bright"), key(bright, name="b"), key(bright, labels=["a", "b"])]
    assert len(set(keys)) == 4
    assert key(bright) == keys[0]


def test_a_version_is_part_of_the_cache_key():
    keys = [as_model(bright, version=v).cache_key() for v in (None, "1", "2")]
    assert len(set(keys)) == 3
    assert as_model(as_model(bright), version="1").cache_key() == keys[1]
    assert as_model(as_model(bright, version="1")).version == "1"
