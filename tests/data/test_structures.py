"RTSTRUCT and SEG as masks: in every direction, which regions, and what is said"

import warnings

import numpy as np
import pydicom
import pytest
from scans import RIGHT_HANDED, WORLD, affine_of, item, ring, rotated, to_dicom_world, write_rtstruct, write_seg

from misas.data.files import InvalidImageError, Raw, raw_volume
from misas.data.structures import (
    _label_names,
    _segments,
    _set_voxels,
    chosen_rois,
    read_truth,
    roi_names,
    structure_file,
)

AFFINE = affine_of(RIGHT_HANDED, (3, 1, 1))
K, ROW, COLUMN = np.mgrid[:6, :24, :27]
FAR = np.hypot(ROW - 11, COLUMN - 12)
IMAGE = Raw(np.zeros((6, 24, 27)), channels="none", affine=AFFINE, world=WORLD)


def on(k, points, affine=AFFINE):
    "A contour in slice `k`"
    return to_dicom_world(np.column_stack([np.full(len(points), k), points]), affine)


def quietly(path, rois=None, image=IMAGE):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_truth(path, image, rois)


# ---- reading segments

PART = np.zeros((5, 6))
PART[1:3, 2:5] = 1


@pytest.fixture
def seg(tmp_path):
    frames = [
        (2, PART, (0, 0, 8)),
        (1, PART.T[:5, :5].repeat(2, 1)[:, :6], (0, 0, 0)),
        (2, PART * 0, (0, 0, 4)),
    ]
    return write_seg(tmp_path / "seg.dcm", ["LV", "MY", "RV"], frames, (6, 1, 2))


PLACED = Raw(np.zeros((3, 5, 6)), affine=np.eye(4))


def test_segments_by_name_and_place(seg):
    found = _segments(pydicom.dcmread(seg), PLACED)
    assert {n: len(r.parts) for n, r in found.items()} == dict(LV=1, MY=1, RV=0) and found["LV"].world == WORLD
    ((pixels, place),) = found["MY"].parts
    assert pixels.shape == (2, 3) and pixels.all()
    # 4 mm apart, though 6 mm thick
    assert place.tolist() == [[0, 0, -2, -4], [0, -1, 0, -1], [4, 0, 0, 8], [0, 0, 0, 1]]


def test_of_fractions_a_half_is_inside(tmp_path):
    shades = PART * [[0], [127], [128], [255], [0]]
    frames = [(1, shades, (0, 0, 8))]
    path = write_seg(tmp_path / "f.dcm", ["LV"], frames, (4, 1, 1), "FRACTIONAL", MaximumFractionalValue=255)
    ((pixels, _),) = _segments(pydicom.dcmread(path))["LV"].parts
    assert pixels.shape == (1, 3)  # 127 of 255 is less than a half


@pytest.mark.parametrize("padding, background", [(0, "zero"), (7, "seven")])
def test_a_label_map_has_a_background(padding, background, tmp_path):
    numbers = PART.copy()
    numbers[4, 0] = 300
    numbers[0] = 7
    names = {0: "zero", 1: "LV", 7: "seven", 300: "RV"}
    frames = [(None, numbers, (0, 0, 8))]
    path = tmp_path / "map.dcm"
    write_seg(path, names, frames, (4, 1, 1), "LABELMAP", bits=16, PixelPaddingValue=padding)
    found = _segments(pydicom.dcmread(path))
    assert list(found) == [n for n in names.values() if n != background]
    assert found["RV"].parts[0][0].shape == (1, 1)


def test_what_is_no_segmentation(tmp_path):
    with pytest.raises(InvalidImageError, match="its segments are surfaces"):
        _segments(item(Modality="SEG"))
    path = write_seg(tmp_path / "lost.dcm", ["LV"], [(None, PART, (0, 0, 8))], (4, 1, 1))
    with pytest.raises(InvalidImageError, match="frame 1 of 1 does not say of which segment"):
        _segments(pydicom.dcmread(path))


def test_a_frame_on_another_grid():
    image = np.diag([4.0, 1, 1, 1])
    levels = np.zeros((3, 5, 6), np.uint8)
    turned = image @ [[1, 0, 0, 1], [0, 0, 1, 4], [0, -1, 0, 3], [0, 0, 0, 1]]
    assert _set_voxels(levels, np.ones((2, 2), bool), turned, image)
    assert np.argwhere(levels).tolist() == [[1, 4, 2], [1, 4, 3]]  # partly outside
    outside = image @ [[1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert not _set_voxels(levels, np.ones((2, 2), bool), outside, image) and levels.sum() == 4


# ---- which file, and which regions


def test_names_of_a_file_and_of_a_folder_that_holds_nothing_else(seg, tmp_path):
    assert roi_names(seg) == ["LV", "MY", "RV"]
    (tmp_path / "alone").mkdir()
    seg.rename(tmp_path / "alone/seg.dcm")
    assert roi_names(tmp_path / "alone")[0] == "LV"
    assert structure_file(str(tmp_path)) is None and structure_file(np.eye(2)) is None
    with pytest.raises(ValueError, match="path must be an RTSTRUCT or SEG file"):
        roi_names(tmp_path)


def test_rois_are_chosen_by_name_list_or_dict():
    assert chosen_rois("LV") == (("LV", 1),)
    assert chosen_rois(["MY", "LV"]) == (("MY", 1), ("LV", 2))
    pairs = chosen_rois({"MY": 2, "LV": 1})
    assert pairs == (("MY", 2), ("LV", 1)) == chosen_rois(pairs)
    assert chosen_rois(None) is None
    assert _label_names(chosen_rois({"left": 1, "cord": 3, "right": 1})) == ("background", "left + right", "2", "cord")


@pytest.mark.parametrize("bad", [[], {}, "", 3, ["LV", "LV"], {"LV": 0}, {"LV": 1.5}, [3], {"LV": True}], ids=repr)
def test_rois_that_are_none(bad):
    with pytest.raises(ValueError, match="rois must be a name, a list"):
        chosen_rois(bad)


# ---- in every direction

STORED = dict(
    axial=(RIGHT_HANDED, (3, 1, 1)),
    descending=(RIGHT_HANDED * (-1, 1, 1), (2.5, 0.9, 0.7)),
    sagittal=([[1, 0, 0], [0, 0, -1], [0, -1, 0]], (4, 1.2, 0.8)),
    coronal=([[0, 0, -1], [1, 0, 0], [0, -1, 0]], (1, 2, 1.1)),
    oblique=(rotated(15, -20, 35) @ RIGHT_HANDED, (5, 0.7, 1.3)),
    flipped=(RIGHT_HANDED * (1, -1, -1), (3, 1, 1)),
    thin=(RIGHT_HANDED, (0.5, 2, 2)),
)
RADII = [0, 4.3, 6.2, 7.7, 5.1, 0]  # of a ring on each slice; its hole has half of that


def ring_and_disc():
    "`(D, H, W)` labels"
    r = np.array(RADII)[K]
    disc = np.where(np.hypot(ROW - 20, COLUMN - 20) < r / 3, 2, 0)
    return np.where((FAR < r) & (FAR > r / 2), 1, disc)


@pytest.mark.parametrize("name", STORED)
def test_contours_and_segments_are_where_the_image_shows_them(name, tmp_path):
    directions, spacing = STORED[name]
    affine = affine_of(directions, spacing)
    drawn = ring_and_disc()
    image = raw_volume(drawn, affine)
    rings = [on(k, ring(x, (11, 12)), affine) for k, r in enumerate(RADII) if r for x in (r, r / 2)]
    discs = [on(k, ring(r / 3, (20, 20)), affine) for k, r in enumerate(RADII) if r]
    contours = write_rtstruct(tmp_path / "rt.dcm", dict(ring=rings, disc=discs[::-1]))
    mask = read_truth(contours, image)
    assert mask.labels == ("background", "ring", "disc") and mask.array.dtype == np.int32
    assert np.array_equal(mask.array, image.array)

    frames = [
        (label, drawn[k] == label, to_dicom_world(np.array([[k, 0, 0.0]]), affine)[0])
        for k in (3, 1, 4, 2)
        for label in (2, 1)
    ]
    along_rows, along_columns = (affine[:3, i] * (-1, -1, 1) / spacing[i] for i in (2, 1))
    orientation = [*along_rows, *along_columns]
    segments = write_seg(tmp_path / "seg.dcm", ["ring", "disc"], frames, spacing, orientation=orientation)
    assert np.array_equal(read_truth(segments, image).array, image.array)

    for k in (0, 2, 4):  # a single slice as it is stored
        place = np.column_stack([affine[:, :3], affine @ [k, 0, 0, 1]])
        plane = Raw(drawn[k], channels="none", affine=place)
        for file in (contours, segments):
            mask = read_truth(file, plane)
            assert np.array_equal(mask.array, drawn[k]) and mask.labels == ("background", "ring", "disc")


# ---- one label for each voxel


@pytest.fixture
def nested(tmp_path):
    outer = [on(k, ring(8.3, (11, 12))) for k in (1, 2, 3)]
    inner = [on(k, ring(4.2, (11, 12))) for k in (1, 2, 3)]
    rois = {"epicardium": outer, "LV": inner, "isocentre": [("POINT", outer[0][:1])]}
    return write_rtstruct(tmp_path / "nested.dcm", rois)


SMALL, LARGE = ((FAR < x) & (K >= 1) & (K <= 3) for x in (4.2, 8.3))


def test_overlaps_must_be_chosen(nested):
    with pytest.raises(ValueError, match="structures overlap: 'epicardium' and 'LV' .*choose with rois="):
        quietly(nested)


def test_the_later_ones_lie_on_top(nested):
    mask = quietly(nested, ["epicardium", "LV"])
    assert np.array_equal(mask.array, np.where(SMALL, 2, LARGE)) and mask.labels == ("background", "epicardium", "LV")
    mask = quietly(nested, {"epicardium": 2, "LV": 1})
    assert np.array_equal(mask.array, np.where(SMALL, 1, 2 * LARGE))
    assert mask.labels == ("background", "LV", "epicardium")
    assert np.array_equal(quietly(nested, ["LV", "epicardium"]).array, 2 * LARGE)
    assert np.array_equal(quietly(nested, "LV").array, SMALL)
    assert np.array_equal(quietly(nested, {"LV": 1, "epicardium": 1}).array, LARGE)


def test_what_is_not_there_or_not_in_place_is_an_error(nested):
    with pytest.raises(ValueError, match="rois must be among epicardium, LV, isocentre, got 'lv'"):
        quietly(nested, ["lv"])
    with pytest.raises(ValueError, match="got 'LV ' .did you mean 'LV'"):
        quietly(nested, ["LV "])
    with pytest.raises(ValueError, match="rois must be None, as truth is no RTSTRUCT"):
        read_truth(np.zeros((2, 2)), IMAGE, "LV")
    elsewhere = Raw(IMAGE.array, channels="none", affine=AFFINE, world="1.2.826.0.1.98")
    with pytest.raises(ValueError, match="belongs to another frame of reference"):
        quietly(nested, "LV", elsewhere)
    with pytest.raises(ValueError, match="it says in mm where structures lie, and image does not"):
        quietly(nested, "LV", Raw(np.zeros((9, 9)), channels="none"))


def test_contours_that_enclose_nothing_are_said(nested):
    words = "nested.dcm': 'isocentre' has contours that enclose nothing .POINT., which are left out"
    with pytest.warns(UserWarning, match=words):
        assert read_truth(nested, IMAGE, ["isocentre", "LV"]).labels == ("background", "isocentre", "LV")


def test_structures_that_share_an_outline_do_not_overlap(tmp_path):
    west = [on(2, np.array([[4, 3], [4, 9], [12, 9], [12, 3.0]]))]
    east = [on(2, np.array([[4, 9], [4, 15], [12, 15], [12, 9.0]]))]
    touching = quietly(write_rtstruct(tmp_path / "touching.dcm", dict(west=west, east=east))).array[2]
    assert (touching == 1).sum() == 9 * 6 and (touching == 2).sum() == 9 * 7 and (touching[4:13, 9] == 2).all()


# ---- what is said


def noted(rois, message, folder):
    with pytest.warns(UserWarning) as said:
        mask = read_truth(write_rtstruct(folder / "noted.dcm", rois), IMAGE)
    assert any(message in str(w.message) for w in said)
    return mask.array


def test_slices_between_contours_stay_empty(tmp_path):
    every_second = dict(LV=[on(k, ring(4.2, (11, 12))) for k in (0, 2, 4)])
    mask = noted(every_second, "slices between others have no contour and stay empty: 'LV (2)'", tmp_path)
    assert mask.any((1, 2)).tolist() == [True, False] * 3


def test_of_planes_closer_than_slices_the_closest_counts(tmp_path):
    drawn = dict(LV=[on(k, ring(4.2 + k, (11, 12))) for k in np.arange(1, 3.01, 0.25)])
    fine = quietly(write_rtstruct(tmp_path / "fine.dcm", drawn)).array
    assert all(np.array_equal(fine[k] > 0, FAR[k] < 4.2 + k) for k in (1, 2, 3)) and not fine[[0, 4, 5]].any()


def test_contours_outside_of_the_image_are_left_out(tmp_path):
    drawn = dict(LV=[on(k, ring(4.2, (11, 12))) for k in (-2, -0.6, -0.4, 5.4, 5.6)])
    mask = noted(drawn, "3 of 5 contours or frames lie outside of the image and are left out: 'LV'", tmp_path)
    assert mask.any((1, 2)).tolist() == [True, False, False, False, False, True]
    inner = [on(k, ring(4.2, (11, 12))) for k in (1, 2)]
    assert noted(dict(LV=[inner[0], inner[1] + [99, 0, 0]]), "1 of 2 contours", tmp_path).sum() == SMALL[1].sum()


INNER = on(1, ring(4.2, (11, 12)))


@pytest.mark.parametrize(
    "rois, words",
    [
        (dict(LV=[INNER + [0, 0, 99]]), "all of it lies outside of the image"),
        (dict(LV=[INNER @ rotated(40, 0, 0)]), "'LV' has contours that cross slices of the image"),
        (dict(a=[("POINT", INNER[:1])]), "contours of the kinds POINT"),
        ({}, "it has no structures"),
    ],
)
def test_structures_that_make_no_mask(rois, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        quietly(write_rtstruct(tmp_path / "wrong.dcm", rois))


def test_single_slices_that_overlap_take_their_own_contours(nested):
    for k in range(6):  # 8 mm thick, 3 mm apart
        affine = np.column_stack([AFFINE[:, :3] * [8 / 3, 1, 1], AFFINE @ [k, 0, 0, 1]])
        plane = Raw(np.zeros((24, 27)), channels="none", affine=affine)
        assert np.array_equal(quietly(nested, "LV", plane).array, SMALL[k])


# ---- segments on another grid


def test_coarse_segments_are_resampled_to_the_nearest(tmp_path):
    coarse = affine_of(RIGHT_HANDED, (6, 1.5, 1.5), (-30.8, 46.4, 119.2))
    blocks = np.random.default_rng(0).integers(0, 2, (4, 14, 16))
    frames = [(1, b, to_dicom_world(np.array([[k, 0, 0.0]]), coarse)[0]) for k, b in enumerate(blocks)]
    mask = quietly(write_seg(tmp_path / "coarse.dcm", ["LV"], frames, (6, 1.5, 1.5))).array
    grid = np.stack([K, ROW, COLUMN, np.ones_like(K)])
    voxel = np.floor(np.einsum("ab,bkji->akji", np.linalg.inv(coarse) @ AFFINE, grid)[:3] + 0.5).astype(int)
    valid = (voxel >= 0).all(0) & (voxel < np.reshape(blocks.shape, (3, 1, 1, 1))).all(0)
    assert np.array_equal(mask, np.where(valid, blocks[tuple(np.where(valid, voxel, 0))], 0))
    assert mask.any((1, 2)).all()


def test_segments_that_overlap_must_be_chosen(tmp_path):
    frames = [(i, np.pad(np.ones((2, 4)), ((5 + i, 6 - i), (5, 5))), (31.3, -47.1, 123.9)) for i in (1, 2)]
    path = write_seg(tmp_path / "both.dcm", ["LV", "MY"], frames, (3, 1, 1))
    with pytest.raises(ValueError, match="structures overlap: 'LV' and 'MY' .4 voxels"):
        quietly(path)
    assert np.bincount(quietly(path, ["MY", "LV"]).array[1].ravel())[1:].tolist() == [4, 8]
