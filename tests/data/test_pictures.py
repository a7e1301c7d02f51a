"Pictures: every bit depth, kind of number, page, orientation and transparency, against what was written"

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tifffile
from pictures import chunk, labels, palette, write_png
from PIL import Image, ImageOps

from misas.data.files import InvalidImageError, Raw, Reading
from misas.data.loading import load_case, load_cine
from misas.data.pictures import about_labels, from_picture, from_picture_file, upright
from misas.data.sources import read_mask, read_source

MASK = Reading(labels=True)
RNG = np.random.default_rng(0)


def silent(function, *args, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args, **settings)


# ---- modes of Pillow


@pytest.mark.parametrize(
    "mode, channels",
    [
        *(("L", "none"), ("RGB", "last"), ("RGBA", "last"), ("P", "none"), ("1", "none"), ("LA", "none")),
        *(("I", "none"), ("F", "none"), ("CMYK", "last")),
    ],
)
def test_a_grey_picture_keeps_its_values_in_every_mode(mode, channels):
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    raw = from_picture(grey.convert(mode))
    assert raw.channels == channels
    if mode == "1":
        assert raw.array.max() == 255
    else:
        assert np.array_equal(raw.array.reshape(16, 16, -1)[..., 0].astype(int), np.asarray(grey))


def test_transparency_is_left_out_with_a_word():
    half = Image.new("RGBA", (4, 4), (200, 100, 0, 127))
    raw = from_picture(half)
    assert raw.array[0, 0].tolist() == [200, 100, 0] and "alpha channel" in raw.remarks[0]
    half.putalpha(255)
    assert not from_picture(half).remarks
    with pytest.warns(UserWarning, match="case 'case': image has an alpha channel"):
        load_case(Image.new("LA", (4, 4), (7, 3)))


# ---- PNG

GREY = [(bits, labels(2 ** min(bits, 8)) * (257 if bits == 16 else 1)) for bits in (1, 2, 4, 8, 16)]


@pytest.mark.parametrize("bits, stored", GREY)
def test_a_png_mask_has_the_samples_of_the_file(bits, stored, tmp_path):
    path = write_png(tmp_path / "mask.png", stored, bits)
    for x in (path, str(path), Image.open(path)):
        assert np.array_equal(read_mask(x).array, stored)


@pytest.mark.parametrize("bits, stored", GREY)
def test_a_png_image_has_the_range_of_its_bits(bits, stored, tmp_path):
    raw = from_picture_file(write_png(tmp_path / "image.png", stored, bits))
    highest = 65535 if bits == 16 else 255
    assert np.array_equal(raw.array, stored * (highest // (2**bits - 1)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_is_colours_in_an_image_and_indices_in_a_mask(bits, tmp_path):
    n = 2**bits
    stored, colours = labels(n), RNG.integers(0, 256, (n, 3))
    path = write_png(tmp_path / "p.png", stored, bits, 3, [palette(*colours)])
    assert np.array_equal(silent(from_picture_file, path).array, colours[stored])
    assert np.array_equal(silent(read_mask, path).array, stored)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour, channels", [(2, 3), (4, 2), (6, 4)])
def test_colours_keep_all_their_bits(bits, colour, channels, tmp_path):
    stored = RNG.integers(0, 2**bits, (7, 5, channels))
    path = write_png(tmp_path / "deep.png", stored, bits, colour)
    raw = from_picture_file(path)
    expected = stored[..., 0] if channels == 2 else stored[..., :3]
    assert np.array_equal(raw.array, expected) and raw.array.dtype == f"uint{bits}"
    assert bool(raw.remarks) == (channels != 3)
    stored[..., -1] = 2**bits - 1  # opaque
    if channels != 3:
        assert not from_picture_file(write_png(path, stored, bits, colour)).remarks
    same = np.stack([labels(4)] * 3, -1)
    assert np.array_equal(read_mask(write_png(path, same, bits, 2)).array, labels(4))
    with pytest.raises(ValueError, match="deep.png'.* got a coloured picture"):
        read_mask(write_png(path, stored[..., :1] * [1, 0, 0], bits, 2))


def test_a_palette_of_greys_has_two_answers(tmp_path):
    shuffled = write_png(tmp_path / "p.png", labels(3), 8, 3, [palette(*[[v] * 3 for v in (0, 200, 100)])])
    with pytest.warns(
        UserWarning,
        match=r"its labels are the indices, .* 0 .0., 1 .200., 2 .100.",
    ):
        case = load_case(np.zeros((16, 18)), shuffled)
    assert np.array_equal(case.truth, labels(3))
    same = write_png(tmp_path / "q.png", labels(3), 8, 3, [palette(*[[v] * 3 for v in range(3)])])
    assert np.array_equal(silent(load_case, np.zeros((16, 18)), same).truth, labels(3))


def test_transparent_entries_of_a_palette(tmp_path):
    path = write_png(tmp_path / "p.png", labels(2), 8, 3, [palette([9, 8, 7], [1, 2, 3]), (b"tRNS", b"\0")])
    raw = from_picture_file(path)
    assert raw.array[0, 0].tolist() == [9, 8, 7] and "alpha" in raw.remarks[0]
    assert np.array_equal(silent(read_mask, path).array, labels(2))


# ---- TIFF

NUMBERS = [*"?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_tiff_keeps_every_number(kind, order, tmp_path):
    dtype = np.dtype(kind)
    stored = RNG.normal(0, 50, (9, 11)) if dtype.kind == "f" else RNG.integers(0, 2, (9, 11))
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        stored = RNG.integers(max(info.min, -(2**40)), min(info.max, 2**40), (9, 11))
    stored = stored.astype(dtype)
    tifffile.imwrite(tmp_path / "t.tif", stored, byteorder=order)
    raw = silent(from_picture_file, tmp_path / "t.tif")
    # tifffile has white as 0 in one bit
    assert np.array_equal(raw.array, 255 - stored * 255 if kind == "?" else stored)
    assert np.array_equal(from_picture_file(tmp_path / "t.tif", MASK).array, stored)
    assert from_picture_file(tmp_path / "t.tif").array.dtype.isnative


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_tiff_of_few_bits(bits, tmp_path):
    stored = RNG.integers(0, 2**bits, (9, 11)).astype("u1" if bits < 8 else "u2")
    tifffile.imwrite(tmp_path / "t.tif", stored, bitspersample=bits, photometric="minisblack")
    assert np.array_equal(from_picture_file(tmp_path / "t.tif", MASK).array, stored)
    shown = stored * (255 // (2**bits - 1)) if bits < 8 else stored
    assert np.array_equal(from_picture_file(tmp_path / "t.tif").array, shown)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize(
    "layout",
    [
        dict(compression="lzw"),
        dict(compression="deflate", predictor=True),
        dict(tile=(16, 16)),
        dict(planarconfig="separate"),
        dict(bigtiff=True),
        dict(rowsperstrip=3),
    ],
    ids=lambda x: "-".join(x),
)
def test_tiff_colours_in_every_layout(layout, dtype, tmp_path):
    stored = RNG.integers(0, 255, (20, 30, 3)).astype(dtype)
    written = np.moveaxis(stored, -1, 0) if "planarconfig" in layout else stored
    tifffile.imwrite(tmp_path / "t.tif", written, photometric="rgb", **layout)
    raw = from_picture_file(tmp_path / "t.tif")
    assert raw.channels == "last" and np.array_equal(raw.array, stored)


def test_tiff_where_white_is_nothing(tmp_path):
    stored = labels(4).astype(np.uint8)
    tifffile.imwrite(tmp_path / "w.tif", stored, photometric="miniswhite")
    assert np.array_equal(from_picture_file(tmp_path / "w.tif").array, 255 - stored)
    with pytest.warns(UserWarning, match="says that 0 is white"):
        assert np.array_equal(load_case(np.zeros((16, 18)), tmp_path / "w.tif").truth, stored)


def test_tiff_palette_alpha_and_extra_channels(tmp_path):
    stored, table = labels(4).astype(np.uint8), RNG.integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "p.tif", stored, photometric="palette", colormap=table)
    assert np.array_equal(from_picture_file(tmp_path / "p.tif").array, np.moveaxis(table[:, stored] >> 8, 0, -1))
    assert np.array_equal(from_picture_file(tmp_path / "p.tif", MASK).array, stored)
    four = RNG.integers(0, 255, (20, 30, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="rgb", extrasamples=["unassalpha"])
    raw = from_picture_file(tmp_path / "a.tif")
    assert np.array_equal(raw.array, four[..., :3]) and "alpha" in raw.remarks[0]
    tifffile.imwrite(tmp_path / "x.tif", four, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(from_picture_file(tmp_path / "x.tif").array, four)


def test_tiff_colours_that_are_not_read(tmp_path):
    tifffile.imwrite(tmp_path / "lab.tif", np.zeros((8, 9, 3), np.uint8), photometric="cielab")
    with pytest.raises(ValueError, match="lab.tif': its colours are CIELAB"):
        load_case(tmp_path / "lab.tif")
    Image.new("CMYK", (9, 8), (255, 0, 0, 0)).save(tmp_path / "cmyk.tif")
    with pytest.warns(UserWarning, match="image 'cmyk.tif' has the colours CMYK"):
        assert load_case(tmp_path / "cmyk.tif").image[:, 0, 0].tolist() == [0, 255, 255]
    with pytest.raises(ValueError, match="its colours are SEPARATED"):
        read_mask(tmp_path / "cmyk.tif")


def test_lzw_without_imagecodecs(tmp_path):
    stored = labels(4).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    tifffile.imwrite(tmp_path / "int8.tif", stored.astype(np.int8), compression="lzw")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "import numpy as np\nfrom pathlib import Path\nfrom misas.data.pictures import from_tiff\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, from_tiff(Path({str(tmp_path / 'lzw.tif')!r})).array)\n"
        f"from_tiff(Path({str(tmp_path / 'int8.tif')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert np.array_equal(np.load(tmp_path / "out.npy"), stored)
    assert "pip install imagecodecs" in done.stderr.splitlines()[-1]


def test_pyramids_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "slide.tif") as tif:
        tif.write(np.zeros((64, 64), np.uint8), subifds=1)
        tif.write(np.zeros((32, 32), np.uint8), subfiletype=1)
    with pytest.raises(ValueError, match="slide.tif': it is a whole-slide picture .* tifffile.imread"):
        load_case(tmp_path / "slide.tif")


# ---- which way is up


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_orientation_of_image_and_mask_alike(orientation, ending, tmp_path):
    stored = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"turned.{ending}"
    settings = dict(quality=100) if ending == "jpg" else dict(lossless=True) if ending == "webp" else {}
    Image.fromarray(stored).save(path, exif=exif, **settings)
    turned = Image.fromarray(stored)
    turned.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned))
    for raw in (from_picture_file(path), from_picture_file(path, MASK), from_picture(Image.open(path))):
        assert np.array_equal(raw.array[..., 0] if raw.array.ndim == 3 else raw.array, expected)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*JPEG")
        warnings.filterwarnings("error", message=".*orientation")
        assert np.array_equal(load_case(path, path).truth, expected)


def test_a_tag_that_only_one_of_them_has(tmp_path):
    square = Image.fromarray(labels(4, (12, 12)).astype(np.uint8))
    exif = Image.Exif()
    exif[274] = 3
    square.save(tmp_path / "turned.png", exif=exif)
    square.save(tmp_path / "plain.png")
    with pytest.warns(UserWarning, match="image 'turned.png' is turned as its orientation tag says .*truth has none"):
        load_case(tmp_path / "turned.png", tmp_path / "plain.png")
    silent(load_case, tmp_path / "turned.png")


def test_upright_of_stacks_and_colours():
    block = RNG.integers(0, 9, (2, 3, 4, 3))
    for orientation in range(1, 9):
        whole = upright(block, orientation, 1)
        assert np.array_equal(whole[1], upright(block[1], orientation))


# ---- pages


@pytest.fixture
def films(tmp_path):
    "The same pages in every format that has some"
    pages = [np.full((8, 10), v, np.uint8) for v in (10, 20, 30)]
    pictures = [Image.fromarray(page) for page in pages]
    for ending, settings in dict(gif={}, png={}, tif={}, webp=dict(lossless=True)).items():
        path = tmp_path / f"film.{ending}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], **settings)
    return tmp_path, np.stack(pages)


@pytest.mark.parametrize("ending", ["gif", "png", "tif", "webp"])
def test_pages_are_chosen(films, ending):
    folder, pages = films
    path = folder / f"film.{ending}"
    for truth in (None, path):
        with pytest.raises(ValueError, match=f"film.{ending}': it has 3 pages .frames.; choose one with page=0 to"):
            load_case(path if truth is None else pages[0], truth)
    chosen = load_case(path, pages[0], page=2)
    assert (chosen.image == 30).all() and chosen.shape == (8, 10)
    assert (load_case(pages[0], path, page=1).truth == 20).all()
    whole = load_case(path, path, page="all")
    assert whole.shape == (3, 8, 10) and np.array_equal(whole.truth, pages) and np.array_equal(whole.image[0], pages)
    assert whole.unit == "px"
    with pytest.raises(ValueError, match=r"page must be an integer from 0 to 2, \"all\" or None, got 3"):
        load_case(path, page=3)
    cases = load_cine(path)
    assert [int(case.image.max()) for case in cases] == [10, 20, 30]


@pytest.mark.parametrize("page", ["first", -1, True, 1.0, [0], np.array([0, 1])])
def test_what_is_no_page(page):
    with pytest.raises(ValueError, match='page must be an integer >= 0, "all" or None'):
        load_case(np.zeros((3, 4)), page=page)


def test_a_mask_of_one_page_beside_an_image_of_several(films):
    folder, pages = films
    Image.fromarray(pages[0]).save(folder / "one.png")
    assert (load_case(folder / "film.tif", folder / "one.png", page=2).image == 30).all()


def test_a_gif_has_the_greys_it_was_made_of(tmp_path):
    stored = np.where(labels(2), 200, 90).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "m.gif")
    with pytest.warns(UserWarning, match="its labels are the greys, in brackets behind the indices: 0 .90., 1 .200."):
        assert np.array_equal(load_case(np.zeros((16, 18)), tmp_path / "m.gif").truth, stored)


def test_a_picture_that_was_opened_at_a_page(films):
    folder, _ = films
    for ending in ("gif", "tif"):
        with Image.open(folder / f"film.{ending}") as film:
            with pytest.raises(ValueError, match="image: it has 3 pages"):
                read_source(film, "image")
            film.seek(1)
            assert (from_picture(film).array == 20).all() and film.tell() == 1


def test_pages_of_several_shapes_and_axes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as tif:
        tif.write(np.zeros((8, 9), np.uint8))
        tif.write(np.ones((4, 5), np.uint8))
    with pytest.raises(ValueError, match="2 pages .frames. of 2 shapes"):
        load_case(tmp_path / "mixed.tif")
    assert load_case(tmp_path / "mixed.tif", page=1).shape == (4, 5)
    with pytest.raises(ValueError, match="mixed.tif': its pages must have one shape"):
        load_case(tmp_path / "mixed.tif", page="all")
    hyper = np.arange(2 * 3 * 8 * 9, dtype=np.uint16).reshape(2, 3, 8, 9)
    tifffile.imwrite(tmp_path / "hyper.tif", hyper, imagej=True, metadata=dict(axes="ZCYX"))
    with pytest.raises(ValueError, match=r"6 pages .frames. along the axes ZCYX"):
        load_case(tmp_path / "hyper.tif")
    assert np.array_equal(load_case(tmp_path / "hyper.tif", page=4).image[0], hyper[1, 1])
    colours = RNG.integers(0, 255, (2, 8, 9, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    assert np.array_equal(load_case(tmp_path / "rgb.tif", page="all").image, np.moveaxis(colours, -1, 0))


# ---- other formats


@pytest.mark.parametrize("highest", [3, 15, 100, 255, 4095, 65535])
@pytest.mark.parametrize("plain", [False, True])
def test_levels_of_a_graymap(highest, plain, tmp_path):
    stored = labels(4)
    stored[0, 0] = highest
    kind = b"P2" if plain else b"P5"
    text = " ".join(map(str, stored.ravel())).encode()
    pixels = text if plain else stored.astype(">u2" if highest > 255 else "u1").tobytes()
    (tmp_path / "m.pgm").write_bytes(kind + b"\n18 16\n%d\n" % highest + pixels)
    assert np.array_equal(from_picture_file(tmp_path / "m.pgm", MASK).array, stored)
    if highest > 255:
        assert np.array_equal(from_picture_file(tmp_path / "m.pgm").array, stored)


def test_what_pillow_would_round(tmp_path):
    (tmp_path / "c.ppm").write_bytes(b"P6\n2 1\n65535\n" + bytes(12))
    with pytest.raises(ValueError, match="c.ppm': its 16 bit colours would lose half"):
        load_case(tmp_path / "c.ppm")
    deep = Image.fromarray(np.full((32, 32), 3000, np.uint16))
    deep.save(tmp_path / "deep.jp2")
    with pytest.raises(ValueError, match="deep.jp2': it is JPEG 2000 of other than 8 bits"):
        load_case(tmp_path / "deep.jp2")
    grey = Image.fromarray(labels(4).astype(np.uint8))
    grey.save(tmp_path / "grey.jp2", irreversible=False)
    assert np.array_equal(load_case(tmp_path / "grey.jp2").image[0], labels(4))


# ---- smeared masks


def test_masks_that_lost_their_labels_get_a_word(tmp_path):
    disk = (np.hypot(*np.mgrid[-40:40, -40:40]) < 25).astype(np.uint8) * 255
    Image.fromarray(disk).save(tmp_path / "disk.jpg", quality=60)
    with pytest.warns(UserWarning) as said:
        load_case(disk, tmp_path / "disk.jpg")
    texts = [str(w.message) for w in said]
    assert any("truth 'disk.jpg' is a JPEG" in t for t in texts) and any("only along borders" in t for t in texts)
    soft = Image.fromarray(disk).resize((64, 64), Image.Resampling.BILINEAR)
    soft.save(tmp_path / "soft.png")
    with pytest.warns(UserWarning, match=r"truth 'soft.png' has \d+ labels, \d+ of them only along borders"):
        load_case(np.zeros((64, 64)), tmp_path / "soft.png")


@pytest.mark.parametrize("n", [2, 12, 117, 500])
def test_many_labels_alone_are_no_fault(n):
    cells = np.kron(np.arange(n * 7).reshape(7, n) % n, np.ones((5, 5), int))
    assert not about_labels(cells) and not about_labels(np.stack([cells] * 3))


# ---- sizes and broken files


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "tif", "jpg"])
def test_a_picture_that_claims_to_be_huge(ending, tmp_path):
    small = io.BytesIO()
    Image.new("L", (30, 20)).save(small, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()))
    data = bytearray(small.getvalue())
    side = 60000
    if ending == "png":
        header = chunk(b"IHDR", side.to_bytes(4, "big") * 2 + bytes(data[24:29]))
        data[8:33] = header
    elif ending == "bmp":
        data[18:26] = side.to_bytes(4, "little") * 2
    elif ending == "gif":
        data[6:10] = side.to_bytes(2, "little") * 2
    elif ending == "jpg":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = side.to_bytes(2, "big") * 2
    else:
        tifffile.imwrite(tmp_path / "huge.tif", shape=(100, 100), dtype="u1")
        data = bytearray((tmp_path / "huge.tif").read_bytes())
        for tag in (b"\0\1", b"\1\1"):
            at = max(data.find(tag + b"\3\0"), data.find(tag + b"\4\0")) + 8
            data[at : at + 2] = side.to_bytes(2, "little")
    (tmp_path / f"huge.{ending}").write_bytes(data)
    with pytest.raises(ValueError, match=rf"huge.{ending}': it holds .* numbers, .* say max_pixels=\d+"):
        load_case(tmp_path / f"huge.{ending}")


def test_a_word_lifts_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("misas.data.files.MAX_PIXELS", 100)
    write_png(tmp_path / "a.png", labels(4))
    with pytest.raises(ValueError, match="a.png': it holds 1 x 16 x 18 x 1 = 288 numbers, .*say max_pixels=288"):
        load_case(tmp_path / "a.png")
    assert load_case(tmp_path / "a.png", max_pixels=288).shape == (16, 18)
    with pytest.raises(ValueError, match="max_pixels must be an integer >= 1"):
        load_case(tmp_path / "a.png", max_pixels=0)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "gif", "bmp", "webp"])
def test_a_broken_file_is_named(ending, tmp_path):
    path = tmp_path / f"broken.{ending}"
    Image.fromarray(RNG.integers(0, 255, (60, 60, 3)).astype(np.uint8)).save(path)
    whole = path.read_bytes()
    for keep in (0.5, 0.1):
        path.write_bytes(whole[: int(len(whole) * keep)])
        with pytest.raises(ValueError, match=f"broken.{ending}"):
            load_case(path)


def test_programs_are_not_started(tmp_path):
    (tmp_path / "evil.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(ValueError, match="evil.png', which cannot be read: it is PostScript, a program"):
        load_case(tmp_path / "evil.png")


def test_what_a_picture_may_be_handed_on_as(tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((8, 9, 3), np.uint16))
    assert from_picture_file(tmp_path / "deep.tif").kind == "array"
    assert from_picture_file(write_png(tmp_path / "a.png", labels(4))).kind == "pil"
    assert isinstance(from_picture(Image.new("L", (3, 4))), Raw)
    with pytest.raises(InvalidImageError, match="CIELAB"):
        from_picture(Image.new("LAB", (3, 4)))
