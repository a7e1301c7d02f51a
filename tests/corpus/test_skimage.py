"Every picture that scikit-image brings: read with the values of its own reader, or refused with words that help"

import warnings
from pathlib import Path

import numpy as np
import pytest
import skimage
from skimage import io

from misas.data.loading import load_case, load_cine

ROOT = Path(skimage.__file__).parent
KINDS = (".png", ".jpg", ".tif", ".gif", ".npy", ".npz", ".txt", ".xml", ".typed")
FILES = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.suffix in KINDS)

# pictures in grey and in colours, some with an alpha channel
WARNED = {"data/horse.png": "has an alpha channel"}
ARRAYS = ("data/lfw_subset.npy", "morphology/ball_decompositions.npy", "morphology/disk_decompositions.npy")
PAGES = {"data/multipage.tif": 2, "data/multipage_rgb.tif": 2, "data/no_time_for_that_tiny.gif": 24}
REFUSED = {
    "data/motorcycle_disp.npz": "must be finite, got 27226 pixels .* numpy.nan_to_num",
    "data/lbpcascade_frontalface_opencv.xml": "a table or text; it has no pixels",
    "data/README.txt": "a table or text; it has no pixels",
    "feature/orb_descriptor_positions.txt": "a table or text; it has no pixels",
    "py.typed": "it is empty",
}
PICTURES = [n for n in FILES if n.endswith((".png", ".jpg")) and n not in PAGES]


def said(path, **settings):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        case = load_case(path, **settings)
    return case, [str(w.message) for w in heard if str(w.message).startswith("case ")]


def test_the_table_knows_every_file():
    known = {*PICTURES, *ARRAYS, *PAGES, *REFUSED}
    unknown = [n for n in FILES if n not in known and not n.endswith(".txt")]
    assert len(PICTURES) > 20 and unknown == []


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_have_the_values_of_scikit_image(name):
    case, texts = said(ROOT / name)
    assert texts == [] if name not in WARNED else WARNED[name] in texts[0]
    theirs = io.imread(ROOT / name)
    theirs = theirs[..., :3] if theirs.ndim == 3 else theirs[..., None]
    pixels = case.image.numpy()
    if name == "data/chessboard_RGB.png":  # 16 bit, of which scikit-image keeps the upper 8
        assert pixels.max() == 65535
        pixels = pixels // 256
    assert np.array_equal(pixels, np.moveaxis(theirs, -1, 0)) and case.unit == "px"


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_as_numpy_has_them(name):
    assert np.array_equal(said(ROOT / name)[0].image[0], np.load(ROOT / name).astype(np.float32))


@pytest.mark.parametrize("name, n", PAGES.items())
def test_pages_are_chosen(name, n):
    with pytest.raises(ValueError, match=f"it has {n} pages"):
        load_case(ROOT / name)
    theirs = io.imread(ROOT / name)
    if theirs.ndim == 4 and theirs.shape[1] == 3:
        theirs = np.moveaxis(theirs, 1, -1)
    for k in (0, n - 1):
        expected = theirs[k][..., :3] if theirs.ndim == 4 else theirs[k][..., None]
        assert np.array_equal(load_case(ROOT / name, page=k).image, np.moveaxis(expected, -1, 0).astype(np.float32))
    assert len(load_cine(ROOT / name)) == n and load_case(ROOT / name, page="all").ndim == 3


@pytest.mark.parametrize("name, words", REFUSED.items())
def test_what_is_refused_is_named(name, words):
    if not (ROOT / name).exists():
        pytest.skip("not in this version of scikit-image")
    with pytest.raises(ValueError, match=words) as error:
        load_case(ROOT / name)
    assert Path(name).name in str(error.value)
