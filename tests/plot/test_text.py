import numpy as np
import pytest

from misas.core.checks import Domain, check_number
from misas.core.transform import as_transform
from misas.plot.text import check_label_names, label_name, value_text
from misas.transforms.basic import Brightness, Resize, Rotate


def test_values_have_few_digits_and_a_unit():
    assert value_text(Rotate(), 30) == "deg = 30°"
    assert value_text(Rotate(), -2.5) == "deg = −2.5°"
    assert value_text(Brightness(), 2**0.5) == "factor = 1.41×"
    assert value_text(Resize(), 128) == "pixels = 128 px"


def test_values_may_be_names():
    assert value_text(as_transform(lambda x, v: x, categorical=True), "sharp") == "value = sharp"


def test_numbers_may_be_of_any_kind_or_left_out():
    for value in (np.int64(3), 2.0, None):
        check_number("columns", value, Domain(1, whole=True), optional=True)
    with pytest.raises(ValueError, match="columns must be an integer >= 1 or None, got 1.5"):
        check_number("columns", 1.5, Domain(1, whole=True), optional=True)


def test_labels_without_a_name_go_by_their_number():
    assert [label_name(k, ("bg", "LV")) for k in (1, 2)] == ["LV", "2"]
    assert label_name(3) == "3"


@pytest.mark.parametrize("bad", ["LV", b"LV", 3, {1, 2}])
def test_names_come_in_a_list(bad):
    with pytest.raises(TypeError, match="labels must be a list with the names"):
        check_label_names(bad)
    assert check_label_names(None) is None
    assert check_label_names({1: "LV"}) == ("0", "LV")
