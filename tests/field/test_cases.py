"What is known of a case, and what is not: mm, pixels without annotation, masks that are not what they seem, tables"

import io
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from misas.compat import get_rotation_series
from misas.core.cases import Case
from misas.core.sweeps import get_series
from misas.data.casetables import read_cases
from misas.data.folders import as_cases
from misas.data.loading import load_case
from misas.eval.scoring import evaluate, get_confusion, score
from misas.eval.table import concat_scores, metric_facts, transform_facts
from misas.plot.series import plot_series
from misas.transforms.basic import Brightness, Compose, Resize, Rotate


def bright(image):
    return image > 0.5


def square(shape=(24, 32), value=1.0, rows=slice(6, 18), columns=slice(8, 20)):
    image = np.zeros(shape, np.float32)
    image[..., rows, columns] = value
    return image


def silent(function, *args, **options):
    "What the function returns, and an error if it warns"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args, **options)


def scores_of(cases, transforms="brightness", values=(1.0,), metrics=("dice",), **options):
    return evaluate(bright, cases, transforms, list(values), list(metrics), progress=False, **options)


# ---- mm, or pixels


def test_the_unit_of_a_case():
    image = square()
    assert Case(image).unit == "px"
    assert Case(image, spacing=(1, 1)).unit == "mm"
    assert Case(image, spacing=(2, 1), unit="px").spacing == (2, 1)
    placed = Case(image, affine=np.diag([5, 0.5, 0.25, 1]))
    assert (placed.unit, placed.spacing) == ("mm", (0.5, 0.25))
    with pytest.raises(ValueError, match="unit must be one of 'mm', 'px', None"):
        Case(image, unit="cm")


def test_the_unit_survives_what_is_done_to_a_case():
    case = load_case(square(), square() > 0, ignore=9)
    for transform, value in ((Resize(), 12), (Rotate(), 30), (Compose(Rotate(), Brightness()), (30, 2))):
        changed = transform(case, value)
        assert (changed.unit, changed.ignore) == ("px", 9)
    assert "12.0 mm" not in repr(get_series(bright, case, Resize(), [12], progress=False)[0])


@pytest.mark.parametrize("metric, unit", (("hd95", "px"), ("area_difference", "px²"), ("nsd@2mm", "")))
def test_pixels_are_said_once(metric, unit):
    cases = [load_case(square(), square() > 0, name) for name in "abcd"]
    with pytest.warns(UserWarning) as found:
        scores = scores_of(cases, values=(0.1, 1, 2), metrics=[metric])
    (warning,) = found
    assert str(warning.message).startswith("case 'a', 'b', 'c' and 1 more: mm are not known")
    assert metric in str(warning.message)
    assert metric_facts(scores, metric)["unit"] == unit


def test_nothing_is_said_where_nobody_needs_mm():
    silent(scores_of, load_case(square(), square() > 0), metrics=["dice", "volume_difference_percent"])
    silent(scores_of, load_case(square(), square() > 0, spacing=(1, 1)), metrics=["hd95"])


def test_volumes_are_voxels():
    image = square((4, 24, 32))
    truth = np.zeros((4, 24, 32), int)
    truth[1:3, 6:18, 8:20] = 1
    with pytest.warns(UserWarning, match="mm are not known"):
        scores = scores_of(load_case(image, truth), metrics=["volume_difference"], labels={1: "x"})
    assert scores.score.tolist() == [2 * 12 * 12]
    assert metric_facts(scores, "volume_difference") == dict(unit="voxels", better="zero")


def test_a_transform_in_mm_moves_by_pixels_and_says_so():
    case = load_case(square(), square() > 0)
    with pytest.warns(UserWarning, match="translation"):
        scores = scores_of(case, "translation", [3.0])
    assert transform_facts(scores, "translation")["unit"] == "px"


def test_cases_with_and_without_mm_in_one_table():
    plain, known = load_case(square(), square() > 0, "plain"), load_case(square(), square() > 0, "known", (2, 2))
    with pytest.warns(UserWarning, match="case 'plain': .* unlike those of the other cases, which are in mm: hd95"):
        scores = scores_of([plain, known], metrics=["hd95"])
    assert metric_facts(scores, "hd95")["unit"] == "mm or px"
    with pytest.warns(UserWarning, match="mm are not known"):
        one = scores_of(plain, metrics=["hd95"])
    with pytest.warns(UserWarning, match="some tables know mm and others do not; .*: hd95"):
        concat_scores([one, scores_of(known, metrics=["hd95"])])


# ---- pixels that are not annotated


def ringed(ring=255, dtype=np.uint8):
    "A square in a ring that nobody annotated; the image fills both"
    truth = np.zeros((40, 40), dtype)
    truth[8:32, 8:32] = ring
    truth[10:30, 10:30] = 1
    return (truth != 0).astype(np.float32), truth


METRICS = ["dice", "iou", "precision", "recall", "specificity", "hausdorff", "assd", "nsd", "volume_difference_percent"]
PERFECT = [1, 1, 1, 1, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("ring, dtype", ((255, np.uint8), (-1, int), (-100, np.int16), (65535, np.uint16), (7, int)))
def test_what_is_ignored_counts_in_no_metric(ring, dtype):
    image, truth = ringed(ring, dtype)
    options = dict(spacing=(1, 1), ignore=ring)
    scores = silent(scores_of, load_case(image, truth, **options), metrics=METRICS)
    assert scores.label.unique().tolist() == ["0", "1"]
    for _, rows in scores.groupby("label"):
        assert rows.score.tolist() == PERFECT


def test_every_way_to_say_it_gives_the_same(tmp_path):
    image, truth = ringed()
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "truth.npy", truth)
    (tmp_path / "cases.csv").write_text("image,truth,name\nimage.npy,truth.npy,case\n")
    case = load_case(image, truth, ignore=255)
    expected = scores_of(case)
    assert expected.score.tolist() == [1, 1]
    plain = load_case(image, truth, ignore=False)
    assert scores_of(plain).label.nunique() == 3
    assert scores_of(plain, ignore=255).equals(expected)
    assert silent(scores_of, (image, truth), ignore=255).equals(expected)
    assert silent(scores_of, tmp_path / "cases.csv", ignore=255).equals(expected)
    assert scores_of(read_cases(tmp_path / "cases.csv", ignore=255)).equals(expected)
    assert scores_of([plain], ignore=255, store=tmp_path / "store").equals(expected)
    assert len(scores_of([plain], store=tmp_path / "store")) == 3  # another result
    series = get_series(bright, plain, Brightness(), [1.0], progress=False)
    assert score(series, ignore=255).equals(expected)
    assert len(score(series)) == 3
    masked = np.ma.masked_equal(truth, 255)
    assert silent(scores_of, (image, masked)).equals(expected)


def test_255_among_class_numbers_is_taken_so_and_said():
    image, truth = ringed()
    with pytest.warns(UserWarning, match="case 'voc': 255 in the truth is taken for pixels that are not annotated"):
        case = load_case(image, truth, "voc")
    assert case.ignore == 255
    assert case.truth.max() == 255
    assert "255 ignored" in repr(case)


@pytest.mark.parametrize("labels", ([0, 255], [0, 128, 255], [0, 85, 170, 255], [0, 2, 41, 251, 252, 255]))
def test_255_is_a_label_elsewhere(labels):
    truth = np.resize(np.array(labels, np.uint8), (8, 9))
    assert silent(load_case, truth * 1.0, truth).ignore is None


def test_255_with_a_name_is_a_label():
    image, truth = ringed()
    assert silent(load_case, image, truth, labels={0: "bg", 1: "disc", 255: "cup"}).ignore is None


def test_255_that_may_be_either_is_said():
    truth = np.resize(np.array([0, 20, 149, 255], np.uint8), (8, 9))
    with pytest.warns(UserWarning, match="255 in the truth is taken as a label"):
        assert load_case(truth * 1.0, truth).ignore is None


def test_an_ignored_label_cannot_be_scored():
    case = load_case(*ringed(), ignore=255)
    with pytest.raises(ValueError, match="labels other than 255, which is ignored in the truth of case 'case'"):
        scores_of(case, labels={1: "disc", 255: "rim"})
    # a list names all labels in order, and has to name the ignored one to go on after it
    assert "255" not in set(scores_of(case, labels=[str(k) for k in range(256)]).label)
    scores_of(case, labels=["background", "disc"])


@pytest.mark.parametrize("bad", (True, "255", 2.5, [255]))
def test_ignore_is_a_label_value(bad):
    with pytest.raises(TypeError, match="ignore must be"):
        load_case(*ringed(), ignore=bad)


def test_a_negative_label_names_the_remedy():
    image, truth = ringed(-1, int)
    with pytest.raises(ValueError, match="got the negative label -1, or ignore=-1 where it marks pixels"):
        load_case(image, truth)
    load_case(image, truth, ignore=-1)


@pytest.mark.parametrize("ring", (255, -1))
def test_confusion_and_pictures_leave_out_what_is_ignored(ring):
    case = load_case(*ringed(ring, int), ignore=ring)
    series = get_series(bright, case, Rotate(), [0], progress=False)
    assert get_confusion(series).tolist() == [[[40 * 40 - 24 * 24, 0], [0, 400]]]
    assert series[0].known_truth.unique().tolist() == [0, 1]
    assert plot_series(series)


class Sized:
    "A model that brings everything to its own size"

    def prepareSize(self, item):
        return item.resize((80, 80))

    def predict(self, image):
        return Image.fromarray((np.asarray(image) > 100).astype(np.uint8))


@pytest.mark.parametrize("ring", (255, -1, 65535))
def test_prepare_size_keeps_what_is_ignored(ring):
    image, truth = ringed(ring, int)
    picture = Image.fromarray((image * 200).astype(np.uint8))
    case = load_case(picture, truth, ignore=ring)
    step = get_series(Sized(), case, Brightness(), [1.0], progress=False)[0]
    assert (step.truth == ring).sum() == 4 * (truth == ring).sum()
    scores = evaluate(Sized(), case, Brightness(), [1.0], progress=False)
    assert scores.score.min() > 0.98


# ---- arrays that are no plain numbers


def test_arrays_that_would_lose_something_are_refused():
    image = square()
    with pytest.raises(ValueError, match=r"image must have no masked pixels, got 144: .* image.filled\(0\)"):
        load_case(np.ma.masked_greater(image, 0.5))
    assert load_case(np.ma.masked_greater(image, 0.5).filled(0)).image.max() == 0
    assert silent(load_case, np.ma.array(image)).image.max() == 1  # nothing is masked
    for bad in (image.astype(complex), torch.ones(2, 2, dtype=torch.complex64)):
        with pytest.raises(TypeError, match="image must be of real numbers, got complex numbers: take np.abs"):
            Case(bad)
    with pytest.raises(TypeError, match="image must be of real numbers, got the dtype object"):
        Case(image.astype(object))
    with pytest.raises(TypeError, match="truth must have labels that are integers >= 0, got complex numbers"):
        Case(image, image.astype(complex))


@pytest.mark.parametrize("label", (2**32 + 1, 2**31, 2**63 - 1))
def test_labels_do_not_wrap_around(label):
    for dtype in (np.int64, np.uint64):
        truth = np.full((4, 4), label, dtype)
        with pytest.raises(ValueError, match=r"< 2\*\*31, got"):
            Case(np.zeros((4, 4)), truth)
    assert Case(np.zeros((4, 4)), truth, ignore=label).ignore == -1


@pytest.mark.parametrize("dtype", (">i2", ">u2", ">f4", ">f8", "uint16", "uint32", "uint64", "float16", "bool"))
def test_any_dtype_of_an_image_keeps_its_numbers(dtype):
    image = np.array([[0, 1], [1, 0]]).astype(dtype)
    assert Case(image).image.tolist() == [[[0, 1], [1, 0]]]


def test_a_mask_stored_as_jpeg_gets_a_word():
    rows, columns = np.mgrid[:128, :128]
    mask = ((np.hypot(rows - 60, columns - 70) < 30) * 255).astype(np.uint8)
    stored = io.BytesIO()
    Image.fromarray(mask).save(stored, "JPEG", quality=80)
    smooth = Image.fromarray(mask).resize((100, 90), Image.BICUBIC)
    for bad in (Image.open(stored), smooth):
        with pytest.warns(UserWarning, match="labels, .* it looks smoothed or compressed with loss"):
            load_case(np.zeros(np.asarray(bad).shape), np.asarray(bad))
    silent(load_case, mask, mask)
    silent(
        load_case, np.zeros((80, 160)), np.kron(np.arange(200, dtype=np.uint8).reshape(10, 20), np.ones((8, 8), int))
    )


# ---- tables of cases


@pytest.fixture
def folder(tmp_path):
    "Two images and their masks"
    for k in range(2):
        Image.fromarray((np.eye(16) * 200).astype(np.uint8)).save(tmp_path / f"a{k}.png")
        Image.fromarray(np.ones((16, 16), np.uint8)).save(tmp_path / f"m{k}.png")
    return tmp_path


def table(folder, text, name="cases.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


@pytest.mark.parametrize(
    "text",
    (
        "image,mask\na0.png,m0.png\n",
        " Image , MASK\r\n a0.png , m0.png\r\n\r\n",
        "\ufeffimage;truth\na0.png;m0.png\n",
        "image\tmask\na0.png\tm0.png\n".encode("utf-16"),
        "sep=;\nimage;mask\na0.png;m0.png\n",
        '"image","mask"\n"a0.png","m0.png"\n',
        ",image,mask\n0,a0.png,m0.png\n",
        "image,mask\n.\\a0.png,.\\m0.png\n",
    ),
)
def test_tables_as_programs_write_them(folder, text):
    (case,) = silent(read_cases, table(folder, text))
    assert (case.name, case.truth, case.columns) == ("a0", str(folder / "m0.png"), None)


@pytest.mark.parametrize("head", ("label", "segmentation", "msk", "ground truth", "truht", "Labels"))
def test_a_truth_is_not_lost_under_another_name(folder, head):
    with pytest.warns(UserWarning, match=f"column '{head}' is taken for 'truth' or 'mask', as it names files"):
        (case,) = read_cases(table(folder, f"image,{head}\na0.png,m0.png\n"))
    assert case.truth == str(folder / "m0.png")


@pytest.mark.parametrize(
    "text, message",
    (
        (
            "image,msk\na0.png,gone.png\n",
            "must have a column 'truth' or 'mask', .*'msk' may be meant, but names no",
        ),
        ("picture,mask\na0.png,m0.png\n", "must have a column 'image', got the columns 'picture', 'mask'"),
        ("image,mask,truth\na0.png,m0.png,m1.png\n", "must have one column of truths, got 'truth' and 'mask'"),
        ("image,label,seg\na0.png,m0.png,m1.png\n", "did you mean 'label' or 'seg'"),
        ("image,mask\nb0.png,m0.png\n", "must name files that exist, but 1 of 2 files do not exist, .*b0.png"),
        ("image,mask\nC:\\data\\a.png,C:\\data\\m.png\n", "must name files that exist"),
        ("image,mask\nhttps://host/a0.png,m0.png\n", "must name files on this computer, .*: download it first"),
        ("image,mask\na0.png,a0.png\n", "must not have an image as its own truth, got .* in row 2"),
        ("image,mask\n,m0.png\n", "must name an image in each row, got none in row 2"),
        ("image,mask\na0.png,m0,x.png\n", "must have as many cells in each row, got 3 cells in row 2"),
        ("image,image,mask\na0.png,a1.png,m0.png\n", "must have different names of columns, got 'image' twice"),
        ("image,mask\n", "must have at least one row, got none"),
        ("", "csv must have a first line"),
    ),
)
def test_tables_that_would_mislead_are_refused(folder, text, message):
    with pytest.raises(ValueError, match=message):
        read_cases(table(folder, text))


@pytest.mark.parametrize(
    "text, message",
    (
        ("image,mask,nmae\na0.png,m0.png,p\n", "column 'nmae' is taken as one more column .did you mean 'name'"),
        ("image,mask\na0.png,m0.png\na1.png,m11.png\n", "1 of 4 files do not exist, .*m11.png' .did you mean 'm1.png'"),
        ("image,mask,name\na0.png,m0.png,x\na1.png,m1.png,x\n", "2 rows have the same name, 'x'"),
        ("image,label\na0.png,cat\n", "column 'label' names no files; without 'truth' or 'mask', cases have no truth"),
        (
            "image,outline\na0.png,m0.png\n",
            "column 'outline' names files, but without 'truth' or 'mask', cases",
        ),
        ("image,mask,ä\na0.png,m0.png,ü\n".encode("cp1252"), "is not in UTF-8, and is read as Windows-1252"),
    ),
)
def test_tables_that_may_mislead_get_a_word(folder, text, message):
    with pytest.warns(UserWarning, match=message):
        assert read_cases(table(folder, text))


def test_other_columns_stay_with_their_case(folder):
    (case,) = silent(read_cases, table(folder, "image,mask,site,age\na0.png,m0.png,A,63\n"))
    assert load_case(case).columns == {"site": "A", "age": "63"}
    assert load_case(case).replace(name="x").columns["site"] == "A"
    assert hash(case)
    (again,) = as_cases(case)
    assert again.columns == case.columns


def test_pandas_tables_and_json(folder, monkeypatch):
    monkeypatch.chdir(folder)
    frame = pd.DataFrame(dict(image=["a0.png", "a1.png"], mask=["m0.png", np.nan], fold=[1, 2]))
    first, second = silent(read_cases, frame)
    assert (first.truth, second.truth, second.columns) == ("m0.png", None, (("fold", 2),))
    assert [case.name for case in as_cases(frame)] == ["a0", "a1"]
    cases = [dict(image="./a0.png", label="./m0.png"), dict(image=["a0.png", "a1.png"], label="m1.png")]
    path = table(folder, json.dumps(dict(training=cases)), "dataset.json")
    single, double = silent(read_cases, path)
    assert load_case(single).truth is not None
    assert load_case(double).image.shape == (2, 16, 16)
    with pytest.raises(ValueError, match="give the folder above imagesTr"):
        read_cases(table(folder, json.dumps(dict(numTraining=2)), "v2.json"))


def test_what_is_scored_without_truth_is_said(folder):
    path = table(folder, "image,mask\na0.png,m0.png\na1.png,\n")
    with pytest.warns(UserWarning, match=r"case 'a1' \(1 of 2\): no truth is given, so scores compare the model"):
        evaluate(bright, path, "brightness", [1.0], progress=False)


# ---- image and truth of different size


def test_prepare_size_brings_image_and_truth_together():
    image, truth = ringed(1)
    picture = Image.fromarray((image * 200).astype(np.uint8))
    larger = Image.fromarray(truth).resize((120, 120), Image.NEAREST)
    with pytest.warns(UserWarning, match=r"prepareSize brings image \(40, 40\) and truth \(120, 120\) to \(80, 80\)"):
        scores = evaluate(Sized(), (picture, larger), Brightness(), [1.0], progress=False)
    assert scores.score.min() > 0.97
    with pytest.raises(ValueError, match=r"truth must have the image's shape \(40, 40\), got \(120, 120\)"):
        evaluate(bright, (picture, larger), Brightness(), [1.0], progress=False)
    steps = get_rotation_series(picture, Sized(), truth=larger, end=90, step=90)
    assert [step[3].size for step in steps] == [(80, 80)] * len(steps)
    for _, _, pred, moved in steps:
        agree = (np.asarray(pred) == np.asarray(moved)).mean()
        assert agree > 0.98
