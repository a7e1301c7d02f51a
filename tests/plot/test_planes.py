import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.core.sweeps import Series, Step, get_series
from misas.core.transform import as_transform
from misas.data.phantoms import phantom
from misas.plot.overlays import overlay
from misas.plot.planes import (
    _turn,
    as_volumes,
    checked_position,
    index_along,
    lettered,
    one_volume,
    plane_letters,
    plane_look,
    plane_of,
    plane_pixels,
    plane_zoom,
    slice_number_text,
    step_value_text,
    structure_centre,
)
from misas.transforms.basic import Brightness, Compose, Dihedral, Fixed, Resize, Rotate, Zoom


@pytest.fixture(scope="module")
def upright(stack):
    "The stack, its axes along those of the patient"
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, -2], [0, -2, 0], [5, 0, 0]]
    return stack.replace(affine=affine)


def letters(case, transform, value, axis=0):
    "The letters of a case that was changed"
    changed = transform(case, value)
    step = Step(value, changed.image, None, changed.image[0], changed.spacing)
    return plane_letters(Series((step,), transform, case), step, axis)


def test_cases_steps_and_series_are_volumes(stack, stack_series):
    assert as_volumes(stack_series) is stack_series
    assert len(as_volumes(stack)) == len(one_volume(stack_series[1])) == 1
    assert one_volume(stack_series[1:2])[0].value == 1


def test_a_case_alone_has_no_prediction_to_draw(stack, stack_series):
    assert plane_look(stack_series).pred == "fill"
    assert plane_look(as_volumes(stack), window=(0, 0.5)).pred is None


def test_images_are_no_volumes(stack_series):
    flat = phantom((32, 32))
    steps = get_series(lambda x: x > 0.5, flat, Brightness(), values=[1], progress=False)
    for wrong in (flat, steps):
        with pytest.raises(ValueError, match=r"got one of shape \(1, 32, 32\); plot_series and plot_frame draw"):
            as_volumes(wrong)
    with pytest.raises(ValueError, match="volume must be one step, such as .* got a Series of 3 steps"):
        one_volume(stack_series)


def test_the_same_place_is_found_in_steps_of_any_size(stack, stack_series, finer):
    assert [index_along(stack_series[0], stack, 0, k) for k in range(12)] == list(range(12))
    assert [index_along(s, stack, 2, 30) for s in finer] == [15, 30, 61]
    assert [index_along(s, stack, 2, 63) for s in finer] == [31, 63, 127]
    assert [index_along(s, stack, 0, 11) for s in finer] == [11, 11, 11]


def test_planes_have_true_proportions(stack, finer):
    planes = [plane_of(plane_look(finer), s, stack, 1, 20) for s in finer]
    assert [plane.spacing for plane in planes] == [(8, 5), (8, 2.5), (8, 1.25)]
    # one place, one size, however many pixels
    assert {plane_pixels(plane, s, 3).shape for plane, s in zip(planes, finer)} == {(288, 480, 3)}


def test_zoom_is_in_pixels_per_mm(stack):
    assert plane_zoom(stack, 480, axis=1) == 7 / 2.5
    assert plane_zoom(stack, 480) == 6 / 2.5
    assert plane_zoom(phantom((16, 960), spacing=1), 480) == 0.5


def test_without_an_affine_a_plane_is_shown_as_stored(stack_series):
    unplaced = replace(stack_series, case=stack_series.case.replace(affine=None))
    step = stack_series[1]
    plane = plane_of(plane_look(unplaced), step, unplaced.case, 1, 20)
    wanted = overlay(step.image[:, :, 20], step.pred[:, 20], step.truth[:, 20], (0, 1), spacing=(8, 2.5))
    assert np.array_equal(plane_pixels(plane, step, 2.8), wanted)


def test_titles_say_slice_and_value(stack, stack_series):
    assert slice_number_text(7, 8.0) == "slice 7 · 56 mm"
    assert slice_number_text(10, 0.703125) == "slice 10 · 7.031 mm"
    assert step_value_text(stack_series, stack_series[0]) == "factor = 0.25×"
    assert step_value_text(as_volumes(stack), as_volumes(stack)[0]) == ""


def test_the_centre_is_that_of_the_truth_else_of_a_prediction_else_of_the_volume():
    ball = torch.zeros(9, 20, 30)
    ball[2:5, 4:9, 20:27] = 1
    found = get_series(lambda x: x[0] > 0, Case(ball[None]), Brightness(), values=[1], progress=False)
    assert structure_centre(as_volumes(Case(ball[None], ball))) == (3, 6, 23)
    assert structure_centre(found) == (3, 6, 23)
    assert structure_centre(as_volumes(Case(ball[None]))) == (4, 10, 15)


@pytest.mark.parametrize("bad", [(1, 2), (12, 0, 0), (0, -1, 0), (0, 0.5, 0), 3])
def test_a_position_lies_in_the_volume(stack_series, bad):
    with pytest.raises(ValueError, match=r"at must be three indices .* to \(11, 71, 63\), got"):
        checked_position(stack_series, bad)


def test_transforms_with_a_matrix_turn_as_it_says(stack):
    assert np.array_equal(_turn(Rotate(), 30, stack), Rotate().matrix(30, 3))
    assert np.array_equal(_turn(Fixed(Rotate(), 30), None, stack), Rotate().matrix(30, 3))


def test_transforms_of_the_intensity_turn_nothing(stack):
    assert np.array_equal(_turn(Brightness(), 2, stack), np.eye(3))
    assert np.array_equal(_turn(as_transform(lambda x, v: x), 1, stack), np.eye(3))


def test_of_other_transforms_only_the_neutral_value_is_known(stack):
    assert np.array_equal(_turn(Dihedral(), 0, stack), np.eye(3))
    assert _turn(Dihedral(), 3, stack) is None
    assert _turn(as_transform(lambda x, v: x, mask=lambda m, v: m), 1, stack) is None


def test_composed_transforms_turn_one_after_the_other(stack):
    composed = Compose(Rotate(), Brightness(), Zoom(), Fixed(Rotate(), 30))
    assert np.allclose(_turn(composed, (20, 2, 3), stack), 3 * Rotate().matrix(50, 3))
    assert _turn(Compose(Dihedral(), Brightness()), (1, 2), stack) is None
    assert np.array_equal(_turn(Compose(Brightness()), 2, stack), np.eye(3))


def test_letters_are_those_of_books_on_anatomy(upright):
    assert letters(upright, Brightness(), 2) == ("R", "L", "A", "P")
    assert letters(upright, Zoom(), 2) == ("R", "L", "A", "P")
    assert letters(upright, Brightness(), 2, axis=1) == ("R", "L", "S", "I")
    assert letters(upright, Brightness(), 2, axis=2) == ("A", "P", "S", "I")


def test_letters_turn_with_the_patient(upright):
    assert letters(upright, Rotate(), 90) == ("A", "P", "L", "R")
    assert letters(upright, Rotate(), 180) == ("L", "R", "P", "A")
    assert letters(upright, Rotate(), 10) == ("R", "L", "A", "P")
    assert letters(upright, Rotate(), 30) == ("RA", "LP", "AL", "PR")
    assert letters(upright, Rotate(axes=(0, 1)), 90, axis=1) == ("R", "L", "A", "P")


def test_no_letters_are_better_than_wrong_ones(upright):
    assert letters(upright, Dihedral(), 1) is None
    assert letters(upright, Resize(), 36) is None
    assert letters(upright.replace(affine=None), Brightness(), 2) is None


def test_an_image_has_letters_too(upright):
    flat = phantom((32, 32)).replace(affine=upright.affine)
    assert letters(flat, Brightness(), 2) == ("R", "L", "A", "P")
    assert letters(flat, Rotate(), 90) == ("A", "P", "L", "R")


def test_what_was_on_the_left_is_at_the_border_that_says_so(upright):
    marked = upright.replace(image=torch.zeros(1, 12, 64, 64), truth=None)
    marked.image[:, :, 30:34, 60:] = 1  # at the right border of the picture, where L stands
    turned = Rotate()(marked, 90).image[0, 6]
    assert turned[:4].sum() > 10
    assert turned[4:].sum() == 0
    assert letters(marked, Rotate(), 90)[2] == "L"


def test_the_top_of_a_head_is_at_the_border_that_says_so(upright):
    affine = upright.affine * [0.4, 1, 1, 1]
    top = upright.replace(image=torch.zeros(1, 64, 64, 64), truth=None, spacing=(2, 2, 2), affine=affine)
    top.image[:, 60:, 24:40, 24:40] = 1
    seen = 0
    for plane, angle, axis in itertools.product(((0, 1), (0, 2), (1, 2)), (0, 90, 180, 270), range(3)):
        rotation = Rotate(axes=plane)
        step = Step(angle, rotation(top, angle).image, None, torch.zeros(64, 64, 64), top.spacing)
        turning = Series((step,), rotation, top, None)
        shown = plane_of(plane_look(turning), step, top, axis, 32).cut(step.image)[0]
        borders = [border.sum() > 30 for border in (shown[:, :4], shown[:, -4:], shown[:4], shown[-4:])]
        assert [letter == "S" for letter in plane_letters(turning, step, axis)] == borders
        seen += sum(borders)
    assert seen == 24


def test_all_orientations_of_a_volume_give_the_same_letters(stack):
    wanted = dict(S="RLAP", I="RLAP", A="RLSI", P="RLSI", R="APSI", L="APSI")
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3) * signs)[:, list(order)] * (5, 2, 2)
        placed, ends = stack.replace(affine=affine), nib.aff2axcodes(affine)
        for axis in range(3):
            assert "".join(letters(placed, Brightness(), 1, axis)) == wanted[ends[axis]]


def test_letters_are_drawn_where_there_is_room():
    black = np.zeros((40, 60, 3), np.uint8)
    assert np.array_equal(lettered(black, None), black)
    assert lettered(black, ("R", "L", "A", "P"))[:, :14].any()
    assert not lettered(black, ("", "L", "A", "P"))[:, :14].any()
    assert not lettered(black[:39], ("R", "L", "A", "P")).any()
