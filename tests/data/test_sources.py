"What users hold: where channels are, who reads what, masks, and whether image and truth lie in one place"

import numpy as np
import pytest
import torch
from PIL import Image

from misas.data.files import Raw, reordered_axes
from misas.data.sources import find_channels, on_same_grid, read_mask, read_source

GREY = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))


@pytest.mark.parametrize(
    "shape, kind, truth, expected",
    [
        ((8, 8), "array", None, "none"),
        ((8, 8, 3), "array", None, "last"),
        ((8, 8, 9), "array", None, "none"),
        ((8, 8, 1), "array", None, "last"),
        ((8, 8, 1), "array", (8, 8, 1), "last"),
        ((1, 8, 9), "array", (1, 8, 9), "first"),
        ((1, 8, 9), "array", None, "first"),
        ((8, 9, 1), "tensor", None, "last"),
        ((1, 5, 8, 9), "array", None, "first"),
        ((5, 8, 9, 1), "tensor", None, "last"),
        ((5, 8, 9), "array", (5, 8, 9), "none"),
        ((2, 8, 9), "array", (8, 9), "first"),
        ((3, 8, 9), "tensor", None, "first"),
        ((9, 8, 9), "tensor", None, "none"),
        ((2, 5, 8, 9), "tensor", None, "first"),
        ((5, 8, 9, 2), "array", None, "last"),
    ],
)
def test_where_the_channels_are(shape, kind, truth, expected):
    assert find_channels(shape, kind, truth) == expected


@pytest.mark.parametrize(
    "shape, kind, truth",
    [
        ((8, 8, 3), "array", (8, 8, 3)),
        ((8, 9, 4), "array", (8, 9, 4)),
        ((8, 8, 8), "array", (8, 8)),
        ((3, 8, 9), "tensor", (3, 8, 9)),
    ],
)
def test_two_answers_are_an_error(shape, kind, truth):
    with pytest.raises(ValueError, match="channels must be said"):
        find_channels(shape, kind, truth)


def test_half_precision_of_tensors_is_read():
    assert read_source(torch.ones(3, 4, dtype=torch.bfloat16), "image").array.dtype == np.float32
    assert read_source([[0, 1], [2, 3]], "image").array.tolist() == [[0, 1], [2, 3]]  # numbers, not files


# ---- errors


def test_what_is_no_file_and_no_image():
    with pytest.raises(ValueError, match="image must be a file that exists.* got 'nowhere.png'"):
        read_source("nowhere.png", "image")
    with pytest.raises(TypeError, match="image must be a path.* got 3"):
        read_source(3, "image")


def test_files_that_cannot_be_read_are_named(tmp_path):
    Image.effect_noise((40, 40), 50).save(tmp_path / "noise.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "noise.png").read_bytes()[:600])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.nii").write_bytes(b"\x00" * 100)
    for name in ("cut.png", "notes.txt", "cut.nii"):
        with pytest.raises(ValueError, match=f"{name}', which cannot be read"):
            read_source(tmp_path / name, "image")


def test_a_file_that_could_run_code_is_not_loaded(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_source(tmp_path / "evil.npy", "image")


def test_a_single_file_has_no_series(tmp_path):
    GREY.save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match="grey.png': series must be None .* got 1"):
        read_source(tmp_path / "grey.png", "image", 1)


def test_odd_sources_are_named():
    for odd, words in (([[1, 2], [3]], "lists of different lengths"), ("a" * 5000, "a file that exists")):
        with pytest.raises(ValueError, match=f"image.* must be .*{words}"):
            read_source(odd, "image")
    assert read_mask(np.zeros((0, 0), int)).array.shape == (0, 0)


# ---- masks

LABELS = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
PALETTE = LABELS.copy()
PALETTE.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])


@pytest.mark.parametrize(
    "picture",
    [LABELS, PALETTE, LABELS.convert("I"), Image.fromarray(np.array(LABELS).astype(np.uint16)), LABELS.convert("RGB")],
    ids=lambda p: p.mode,
)
def test_a_mask_is_read_as_numbers_in_every_mode(picture, tmp_path):
    assert read_mask(picture).array.tolist() == [[0, 1], [2, 3]]
    picture.save(tmp_path / "mask.tif")
    assert read_mask(tmp_path / "mask.tif").array.tolist() == [[0, 1], [2, 3]]


def test_one_bit_is_a_mask_and_colours_are_none():
    assert read_mask(Image.fromarray(np.eye(2, dtype=bool))).array.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="coloured"):
        read_mask(PALETTE.convert("RGB"))


# ---- one place


def test_a_mask_is_flipped_and_transposed_but_never_moved():
    flat = np.arange(6).reshape(2, 3)
    place = np.diag([1.0, 2, 3, 1])
    image = Raw(flat, channels="none", affine=place)
    assert on_same_grid(Raw(flat), image) is flat
    assert np.array_equal(on_same_grid(Raw(flat, affine=place), image), flat)
    turned, there = reordered_axes(flat[None], place, (0, 2, 1), (1, -1, 1))
    assert np.array_equal(on_same_grid(Raw(turned[0], affine=there), image), flat)
    for wrong in (np.diag([1, 2, 3.01, 1]), place + np.eye(4)[[1]].T @ [[0, 0, 0, 0.01]]):
        with pytest.raises(ValueError, match="truth lies elsewhere"):
            on_same_grid(Raw(flat, affine=wrong), image)
