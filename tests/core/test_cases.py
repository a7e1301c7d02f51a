"Cases: what they take, and what their background is"

import numpy as np
import pytest
import torch

from misas.core.cases import Case, Source, _source_of, as_case, as_labels, to_dtype, to_source

IMAGE = np.random.default_rng(0).random((7, 9)).astype("float32")


# forms of an image


def test_to_dtype_never_wraps_around():
    assert to_dtype(np.array([-3.0, 254.6, 300.0]), np.uint8).tolist() == [0, 255, 255]
    assert to_dtype(np.array([4e9]), np.int32).tolist() == [2**31 - 1]


def test_to_source_gives_the_sources_form():
    pixels = torch.tensor([[[0.0, 127.6], [300.0, -5.0]]])
    picture = to_source(pixels, Source("pil", "uint8", "none"))
    assert picture.mode == "L"
    assert np.asarray(picture).tolist() == [[0, 128], [255, 0]]
    assert to_source(pixels.repeat(3, 1, 1), Source("pil", "uint8", "last")).mode == "RGB"
    assert to_source(pixels, Source("array", "float32", "none")).shape == (2, 2)
    assert to_source(pixels, Source("array", "int16", "last")).shape == (2, 2, 1)


def test_bfloat16_which_numpy_does_not_have():
    half = Case(torch.tensor([[0.5, 1.5], [2, 3]], dtype=torch.bfloat16))
    assert half.image.tolist() == [[[0.5, 1.5], [2, 3]]]
    assert to_source(half.image, half.source).tolist() == [[0.5, 1.5], [2, 3]]
    plain = torch.zeros(1, 2, 2)
    assert _source_of(plain) == _source_of(plain.bfloat16()) == Source("tensor", "float32", "first")
    assert as_labels(torch.tensor([0, 2], dtype=torch.bfloat16), "truth").tolist() == [0, 2]


@pytest.mark.parametrize("bad", [[-1, 0], [0.5, 1], [np.nan], [2**31]])
def test_what_is_no_label(bad):
    with pytest.raises(ValueError, match="truth must have labels that are integers >= 0.*, got"):
        as_labels(np.array(bad), "truth")


def test_texts_are_no_labels():
    with pytest.raises(TypeError, match="dtype"):
        as_labels(np.array(["LV"]), "truth")


# Case


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(image=np.array([[1.0, np.nan]])), "NaN"),
        (dict(image=np.ones(3)), "image must have shape"),
        (dict(image=np.ones((0, 3))), "without empty axes"),
        (dict(image=IMAGE, truth=np.zeros((9, 7), int)), r"truth must have the image's shape .* got \(9, 7\)"),
        (dict(image=IMAGE, spacing=(1, 0)), "spacing must be"),
        (dict(image=IMAGE, spacing=2), "spacing must be .* got 2"),
        (dict(image=IMAGE, spacing=0), "spacing must be .* got 0"),
        (dict(image=IMAGE, scale=(2, 1)), "scale must be"),
        (dict(image=IMAGE, scale=3), "scale must be .* got 3"),
        (dict(image=IMAGE, labels="bg"), "labels must be .* got 'bg'"),
        (dict(image=IMAGE, truth=np.full((7, 9), -1)), "negative"),
        (dict(image=IMAGE, truth=np.full((7, 9), 0.5)), "integers"),
        (dict(image=IMAGE, affine=np.eye(3)), "affine must be a 4 x 4 array"),
        (dict(image=IMAGE, affine=np.full((4, 4), np.nan)), "affine must be a 4 x 4 array"),
    ],
)
def test_what_is_no_case(fields, message):
    with pytest.raises(ValueError, match=message):
        Case(**fields)


@pytest.mark.parametrize("bad", [3, None])
def test_a_name_is_a_string(bad):
    with pytest.raises(TypeError, match=f"name must be a string, got {bad}"):
        Case(IMAGE, name=bad)


def test_replace_under_its_old_name():
    case = Case(IMAGE, name="noise")
    with pytest.warns(DeprecationWarning, match="but is now called replace"):
        assert case.but(name="other").name == "other"
    assert case.name == "noise"


def test_a_case_is_a_case():
    case = Case(IMAGE)
    assert as_case(case) is case
    assert as_case((IMAGE, IMAGE > 0.5)).truth.max() == 1


# the background


@pytest.mark.parametrize(
    "air, inside",
    [
        (-1024.0, 50.0),
        (0.0, 4.0),
        (250.0, 20.0),
        (1.0, 0.2),
        (30000.0, 31000.0),
        (1e-6, 1.0),
        (-1e30, 1e30),
    ],
)
def test_rounding_does_not_change_the_background(air, inside):
    step = abs(np.spacing(np.float32(air or 0.1)))
    steps = torch.from_numpy(np.random.default_rng(1).integers(-2, 3, (1, 24, 24)))
    noisy = torch.full((1, 24, 24), air) + steps * step
    noisy[0, 8:16, 8:16] = inside
    assert len(noisy[0, 0].unique()) > 1
    assert abs(Case(noisy).background.item() - air) < 3 * step
    assert Case(noisy).background.dtype == torch.float32


def test_a_small_contrast_counts():
    high = torch.full((1, 20, 20), 30000.0)
    high[:, :, 8:] = 30003.0
    assert Case(high).background.item() == 30000
