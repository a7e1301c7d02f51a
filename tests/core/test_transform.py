"Transforms: values, neutral ones, names, and functions made into transforms"

import math
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from misas.core.cases import Case, Source
from misas.core.checks import same_value
from misas.core.fingerprint import checksum
from misas.core.transform import Function, Intensity, Transform, _is_finite, as_transform, known_transforms


@pytest.fixture
def case():
    image = np.random.default_rng(0).random((7, 9)).astype("float32")
    return Case(image, truth=(image > 0.5).astype(int), name="noise")


@dataclass(frozen=True)
class Add(Intensity):
    times: int = 1
    param, neutral, values = "amount", 0, (0, 1, 2)

    def change(self, image, value, case):
        return image + self.times * value


@dataclass(frozen=True)
class Invert(Intensity):
    name = "inversion-of-a-test"

    def change(self, image, value, case):
        return case.scale[0] + case.scale[1] - image


# values


@pytest.mark.parametrize(
    "a, b",
    [
        (np.arange(0.6, 1.5, 0.1)[4].item(), 1),
        (np.arange(-1, 1, 0.1)[10].item(), 0),
        ((0, 1 - 1e-16), (0, 1)),
        ("a", "a"),
    ],
)
def test_values_that_differ_by_rounding_noise_are_the_same(a, b):
    assert same_value(a, b)


@pytest.mark.parametrize(
    "a, b",
    [
        (1, 1 + 1e-9),
        ((0, 1), (0, 2)),
        ((0, 1), (0,)),
        ((0,), 0),
        ("a", "b"),
        (None, 0),
        (math.nan, math.nan),
        ("0", 0),
    ],
)
def test_other_values_are_not_the_same(a, b):
    assert not same_value(a, b)


def test_finite_images():
    assert _is_finite(torch.full((1, 2, 2), 3e38))
    assert not _is_finite(torch.tensor([math.inf, -math.inf]))
    assert not _is_finite(torch.tensor([0, math.nan]))


@pytest.mark.parametrize("bad", [math.nan, "1", None])
def test_values_outside_of_the_domain(case, bad):
    with pytest.raises(ValueError, match=f"amount of add must be a finite number, got {bad!r}"):
        Add()(case, bad)


def test_rounding_noise_is_no_change(case):
    assert Add()(case, 0) is case
    assert Add()(case, 1e-16) is case
    assert Add()(case, 1e-9) is not case


@pytest.mark.parametrize("one", [np.float32(1), np.array(1), torch.tensor(1)], ids=["numpy", "array", "tensor"])
def test_numbers_of_libraries_are_plain_numbers(case, one):
    assert Add()(case, one).image.dtype == torch.float32
    assert type(Add().check(one)) in (int, float)


def test_intensities_that_are_not_finite(case):
    with pytest.raises(
        ValueError, match="amount of add must be a value that keeps all intensities finite, got 1e[+]300"
    ):
        Add()(case, 1e300)


def test_an_intensity_transform_leaves_the_mask_alone(case):
    added = Add()(case, 2)
    assert torch.equal(added.image, case.image + 2)
    assert added.truth is case.truth


# names


def test_fields_that_differ_from_the_default_are_in_the_name():
    assert str(Add()) == "add"
    assert str(Add(times=2)) == "add(times=2)"


def test_transforms_with_a_name_of_their_own_are_known():
    known = known_transforms()
    assert known["inversion-of-a-test"] is Invert
    assert as_transform("inversion-of-a-test") == Invert()
    assert "add" not in known
    assert Function not in known.values()


def test_the_nearest_name_is_suggested():
    with pytest.raises(ValueError, match="must be a known name, got 'rotatoin' .did you mean 'rotation'"):
        as_transform("rotatoin")


OWN = """
from misas.core.transform import Intensity, known_transforms

class Mine(Intensity):
    name = "rotation"

assert known_transforms()["rotation"] is Mine
"""


@pytest.mark.parametrize("first", ["", "import misas.transforms\n"], ids=["before misas.transforms", "after it"])
def test_a_transform_of_the_user_replaces_one_of_the_same_name(first):
    subprocess.run([sys.executable, "-c", first + OWN], check=True)


# functions


def test_a_function_becomes_a_transform(case):
    blur = as_transform(gaussian_filter, param="sigma", unit="px", neutral=0, values=(0, 1, 2))
    assert str(blur) == "gaussian_filter"
    assert (blur.param, blur.unit, blur.neutral, blur.values) == ("sigma", "px", 0, (0, 1, 2))
    assert torch.allclose(blur(case, 1).image[0], torch.from_numpy(gaussian_filter(case.image[0].numpy(), 1)))
    assert torch.equal(blur(case, 1).truth, case.truth)
    assert blur(case, 0) is case


def test_a_function_of_colour_images_gets_channels_last():
    rgb = Case(torch.rand(3, 4, 5), source=Source("array", "float32", "last"))
    assert torch.allclose(as_transform(lambda x, v: x[..., ::-1], name="bgr")(rgb, 1).image, rgb.image.flip(0))


def test_without_a_neutral_value_nothing_is_neutral(case):
    assert as_transform(lambda x, v: x + 1, categorical=True)(case, None) is not case


def test_images_of_a_function_are_checked(case):
    with pytest.raises(ValueError, match="NaN or infinite .* what <lambda> makes at value = 1"):
        as_transform(lambda x, v: x * np.nan)(case, 1)


def test_masks_of_a_function_are_checked(case):
    flip = as_transform(lambda x, v: x[::-1], mask=lambda m, v: m[::-1], name="flip")
    assert torch.equal(flip(case, 1).image, case.image.flip(1))
    assert torch.equal(flip(case, 1).truth, case.truth.flip(0))
    with pytest.raises(ValueError, match="invents"):
        as_transform(lambda x, v: x, mask=lambda m, v: m * 5)(case, 1)


class RandomMotion:
    __module__ = "torchio.transforms.augmentation"

    def __call__(self, image):
        return image


@pytest.mark.parametrize(
    "bad, message",
    [
        (3, "transform must be a Transform such as Rotate.*, got 3"),
        (Add, "transform must be a Transform such as Rotate.*, got <class.*call it: Add"),
        ([Add(), Add(2)], r"transform must be one transform, got a list of 2 .*\*common_corruptions\(\)"),
        (
            RandomMotion(),
            r"got RandomMotion of torchio, which takes no value; .* as_transform\(lambda image, .*name='RandomMotion'",
        ),
    ],
    ids=["number", "class", "list", "torchio"],
)
def test_what_is_no_transform(bad, message):
    with pytest.raises(TypeError, match=message):
        as_transform(bad)


# cache keys


def test_all_that_changes_results_is_in_the_cache_key():
    def key(function=gaussian_filter, **settings):
        return checksum(as_transform(function, **settings).fingerprint())

    keys = [
        key(),
        key(name="other"),
        key(neutral=0),
        key(values=[1]),
        key(mask=lambda m, v: m),
        key(function=lambda x, v: x, name="gaussian_filter"),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    assert checksum(Add().fingerprint()) != checksum(Add(2).fingerprint())
    assert issubclass(Add, Transform)
