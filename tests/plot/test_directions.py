import itertools

import nibabel as nib
import numpy as np
import pytest

from misas.data.loading import load_case
from misas.plot.directions import axis_directions, direction_letters, plane_sides

# left, right, top, bottom of a plane, by the axis across which it is cut
BORDERS = dict(S="RLAP", I="RLAP", A="RLSI", P="RLSI", R="APSI", L="APSI")


def affines_of_all_orientations(tilt):
    "The 48 ways in which a volume can be stored, of a head that nods, and the ends of their axes"
    nod = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        affine = np.eye(4)
        affine[:3, :3] = (nod * signs)[:, list(order)] * (5, 2, 2)
        yield affine, "".join(nib.aff2axcodes(affine))


def test_each_direction_has_its_letter():
    assert [direction_letters(np.eye(3)[i] * s) for s in (1, -1) for i in range(3)] == list("RASLPI")


def test_oblique_directions_have_several_letters_the_strongest_first():
    assert direction_letters((-2, -1.9, 1.8)) == "LPS"


@pytest.mark.parametrize("degrees", [0, -25, 25])
def test_planes_are_shown_the_same_way_however_a_volume_is_stored(degrees):
    for affine, ends in affines_of_all_orientations(np.deg2rad(degrees)):
        for axis in range(3):
            down, across = (axis_directions(affine)[a] * sign for a, sign in plane_sides(axis, affine))
            shown = "".join(direction_letters(d)[0] for d in (-across, across, -down, down))
            assert shown == BORDERS[ends[axis]], (ends, axis)


# steps down the screen and across it, in the patient
SCREENS = [
    ((0.1, -0.57, -0.81), (-0.69, -0.63, 0.35)),
    ((0, -0.8, -0.6), (-0.85, -0.3, 0.4)),
    ((0.4, 0, -0.9), (-0.35, -0.93, -0.1)),
    ((-0.2, -0.7, -0.65), (-0.75, -0.3, 0.55)),
    ((0, 0, -1), (0, -1, 0)),
]


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("down, across", SCREENS)
def test_slices_of_a_short_axis_stack_from_a_file_are_shown_as_the_scanner_made_them(down, across, way, tmp_path):
    stored = np.arange(24).reshape(2, 3, 4)  # two slices
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([np.cross(down, across) * way * 8, down, across])
    nib.save(nib.Nifti1Image(stored.astype(np.float32), affine), tmp_path / "stack.nii")

    case = load_case(tmp_path / "stack.nii")
    axis = case.shape.index(2)
    (rows, forth), (columns, right) = plane_sides(axis, case.affine)
    first = 0 if case.affine[:3, axis] @ affine[:3, 0] > 0 else 1
    shown = np.take(case.image[0].numpy(), first, axis)[::forth, ::right]
    assert rows < columns
    assert np.array_equal(shown, stored[0])
