"Contours: filled by the even-odd rule, voxel by voxel, and brought onto the grid of an image"

import numpy as np
import pydicom
import pytest
from scans import ring, write_rtstruct
from skimage.draw import polygon2mask

from misas.data.files import InvalidImageError
from misas.data.rtstruct import Region, _filled, contours_on, listed_names, named_rois, read_rois

SHAPE = (41, 45)
ROWS, COLUMNS = np.mgrid[:41, :45]
DISTANCE = np.hypot(ROWS - 20, COLUMNS - 22)


def box(a, b):
    return np.array([[a, a], [a, b], [b, b], [b, a]], float)


def test_names():
    assert list(named_rois([("LV", 1), ("MY", 2), ("LV", 3)])) == ["LV", "MY", "LV (2)"]
    assert listed_names("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 others"
    assert listed_names("ab") == "'a', 'b'"


# ---- what is inside


def test_discs_holes_islands_and_keyholes():
    assert np.array_equal(_filled([ring(13.3)], SHAPE) == 2, DISTANCE < 13.3)
    shell = (DISTANCE < 13.3) & (DISTANCE > 6.7)
    assert np.array_equal(_filled([ring(13.3), ring(6.7)], SHAPE) == 2, shell)
    assert np.array_equal(_filled([ring(13.3), ring(6.7)[::-1]], SHAPE) == 2, shell)  # whichever way the hole turns
    island = _filled([ring(13.3), ring(6.7), ring(2.4)], SHAPE)
    assert np.array_equal(island == 2, (DISTANCE < 13.3) & ~((DISTANCE < 6.7) & (DISTANCE > 2.4)))
    keyhole = np.concatenate([ring(13.3), ring(13.3)[:1], ring(6.7)[::-1][-1:], ring(6.7)[::-1]])
    assert np.array_equal(_filled([keyhole], SHAPE) == 2, shell)


def test_the_area_of_a_disc():
    assert abs((_filled([ring(190.3, (200, 200))], (400, 400)) > 0).sum() / (np.pi * 190.3**2) - 1) < 1e-3


def test_contours_at_and_beyond_the_border():
    assert np.array_equal(_filled([ring(13.3, (2, 43))], SHAPE) == 2, np.hypot(ROWS - 2, COLUMNS - 43) < 13.3)
    assert not _filled([ring(9, (-30, 22)), ring(9, (20, 99)), ring(9, (20, -50))], SHAPE).any()


def test_contours_through_centres_belong():
    levels = _filled([box(3, 9), box(5, 7)], (12, 12))
    assert (levels > 0).sum() == 49 - 1 and (levels == 2).sum() == 25 - 9
    assert levels[6, 6] == 0  # the outline of the hole belongs, its inside does not
    assert np.argwhere(_filled([box(4, 4)], (12, 12))).tolist() == [[4, 4]]  # one voxel
    assert _filled([np.array([[2, 1], [2, 5.0]])], (9, 9)).sum() == 5  # a row


def test_contours_between_centres():
    levels = _filled([box(2.5, 9.5), box(4.5, 7.5)], (12, 12))
    assert (levels == 2).sum() == 49 - 9 and not (levels == 1).any()


def touching(star):
    "Which centres of 30 x 31 lie on an edge, in integers"
    grid = np.mgrid[:30, :31].reshape(2, -1, 1)
    start = star.T.astype(int)
    end = np.roll(star, -1, 0).T.astype(int)
    along, across = end - start
    y, x = grid - start[:, None]
    on_the_line = along * x == across * y
    position = along * y + across * x
    return (on_the_line & (position.clip(0, along**2 + across**2) == position)).any(1).reshape(30, 31)


@pytest.mark.parametrize("n", [3, 5, 9, 40])
def test_stars_that_cross_themselves(n):
    generator = np.random.default_rng(n)
    star = generator.uniform(-3, 33, (n, 2)).round(3)  # vertices off the centres
    assert np.array_equal(_filled([star], (30, 31)) > 0, polygon2mask((30, 31), star))
    star = generator.integers(-3, 33, (n, 2)) * 1.0  # and on them
    levels = _filled([star], (30, 31))
    on = touching(star)
    assert np.array_equal(levels == 1, on)
    assert np.array_equal((levels == 2)[~on], polygon2mask((30, 31), star)[~on])


# ---- reading


def test_rois_are_read_with_names_worlds_and_kinds(tmp_path):
    circle = np.column_stack([ring(13.3, (0, 0)), np.full(400, 5.0)])
    rois = {
        "heart": [circle, circle * 0.5 + [0, 0, 2.5]],
        "isocentre": [("POINT", [[0, 0, 0]])],
        "heart ": [("CLOSED_PLANAR", [])],
        "": [("OPEN_PLANAR", circle[:30])],
    }
    found = read_rois(pydicom.dcmread(write_rtstruct(tmp_path / "rt.dcm", rois)))
    assert list(found) == ["heart", "isocentre", "heart (2)", "ROI 13"]
    assert np.allclose(found["heart"].parts[0], circle * (-1, -1, 1), atol=1e-6)
    assert found["heart"].world == "1.2.826.0.1.99"
    assert [len(r.parts) for r in found.values()] == [2, 0, 0, 0]
    assert found["isocentre"].others == ("POINT",)


def test_a_contour_needs_three_numbers_for_each_point(tmp_path):
    with pytest.raises(InvalidImageError, match="got a contour of 2 numbers"):
        read_rois(pydicom.dcmread(write_rtstruct(tmp_path / "short.dcm", {"heart": [[1, 2]]})))


# ---- onto the grid of an image

TURN = np.array([[0, 0, -1.0], [0, -1, 0], [1, 0, 0]]) @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
AFFINE = np.block([[TURN * (4, 0.8, 1.1), np.array([[10.0], [-20], [30]])], [np.array([0, 0, 0, 1])]])


def in_patient(k, points, order=(0, 1, 2)):
    return np.column_stack([np.full(len(points), k), points])[:, order] @ AFFINE[:3, :3].T + AFFINE[:3, 3]


def rasterized(contours, shape=(6, *SHAPE), flat=False):
    (region,) = contours_on({"LV": Region(contours)}, AFFINE, shape, flat)
    return region


def test_contours_belong_to_the_closest_slice():
    drawn = [(1, 13.3), (1.04, 6.7), (2.3, 9.1), (4.6, 5.2), (5.6, 4), (-3, 9)]
    region = rasterized([in_patient(k, ring(r)) for k, r in drawn])
    expected = [
        DISTANCE < 0,
        (DISTANCE < 13.3) & (DISTANCE > 6.7),
        DISTANCE < 9.1,
        DISTANCE < 0,
        DISTANCE < 0,
        DISTANCE < 5.2,
    ]
    assert np.array_equal(region.levels == 2, expected) and (region.missed, region.gaps) == (2, 2)


def test_contours_across_another_axis():
    region = rasterized([in_patient(17, ring(13.3), order=(1, 2, 0))], (41, 45, 30))
    assert np.array_equal(region.levels[:, :, 17] == 2, DISTANCE < 13.3)
    assert region.levels.sum() == 2 * (DISTANCE < 13.3).sum()


def test_of_two_planes_within_a_slice_the_closest_counts():
    region = rasterized([in_patient(k, ring(r)) for k, r in [(2.9, 9.1), (3.3, 6.7)]])
    assert np.array_equal(region.levels[3] == 2, DISTANCE < 9.1)


def test_slanted_contours_are_an_error():
    with pytest.raises(InvalidImageError, match="'LV' has contours that cross slices"):
        rasterized([in_patient(1, ring(9)) + np.linspace(-9, 9, 400)[:, None] * TURN[:, 0]])


def test_of_two_views_a_plane_takes_its_own():
    views = [in_patient(10, ring(9), order=(1, 0, 2)), in_patient(0, ring(9.1))]
    assert np.array_equal(rasterized(views, (1, *SHAPE), True).levels[0] == 2, DISTANCE < 9.1)
