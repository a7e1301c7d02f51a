"Pages, colours, folders of any format, paths as people write them; what a network in mm is told"

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms
from misas.data.folders import as_cases
from misas.models.inputs import warn_of_pixels
from misas.models.outputs import channels_second

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def folder(tmp_path):
    "A picture in grey, its mask in red and blue, and a mask of two pages"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (6, 8), dtype=np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros((6, 8, 3), np.uint8)
    mask[1:3], mask[4:5, 2:] = RED, BLUE
    Image.fromarray(mask).save(tmp_path / "a_mask.png")
    pages = [Image.fromarray(np.full((6, 8), k, np.uint8)) for k in (1, 2)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    return tmp_path


LABELS = np.zeros((6, 8), int)
LABELS[1:3], LABELS[4:5, 2:] = 1, 2


@pytest.mark.parametrize("colours", [{RED: 1, BLUE: 2}, {"red": 1, "#0000ff": 2, "black": 0}])
def test_a_truth_in_colours_is_read_by_a_table(folder, colours):
    case = ms.load_case(folder / "a.png", folder / "a_mask.png", colours=colours)
    assert np.array_equal(case.truth, LABELS)


@pytest.mark.parametrize("kind", ["array", "picture", "transparent", "palette", "tiff", "volume"])
def test_whatever_the_truth_is_kept_in(folder, tmp_path, kind):
    picture = Image.open(folder / "a_mask.png")
    array = np.asarray(picture)
    picture.save(tmp_path / "mask.tif")
    kept = dict(
        array=array,
        picture=picture,
        transparent=picture.convert("RGBA"),
        palette=picture.convert("P", palette=Image.Palette.ADAPTIVE),
        tiff=tmp_path / "mask.tif",
        volume=np.stack([array] * 3),
    )
    image = np.ones((3, 6, 8)) if kind == "volume" else folder / "a.png"
    case = ms.load_case(image, kept[kind], colours={RED: 1, BLUE: 2})
    assert np.array_equal(case.truth, np.broadcast_to(LABELS, case.shape))


def test_the_remedy_that_is_named_works(folder):
    with pytest.raises(ValueError, match=r"3 colours \(\(0, 0, 0\), \(0, 0, 255\), \(255, 0, 0\)\)") as error:
        ms.load_case(folder / "a.png", folder / "a_mask.png")
    table = eval(str(error.value).partition("colours=")[2].partition(")")[0] + "): 1}")
    with pytest.raises(ValueError, match=r"got 1 others: \(0, 0, 255\)"):
        ms.load_case(folder / "a.png", folder / "a_mask.png", colours=table)
    assert ms.load_case(folder / "a.png", folder / "a_mask.png", colours=table | {BLUE: 2}).truth.max() == 2


@pytest.mark.parametrize(
    "wrong", [{}, {(1, 2): 1}, {RED: -1}, {RED: "LV"}, {"no colour": 1}, 3, [RED], {(300000, 0, 0): 1}]
)
def test_wrong_tables_of_colours(folder, wrong):
    with pytest.raises((ValueError, TypeError), match="colours"):
        ms.load_case(folder / "a.png", folder / "a_mask.png", colours=wrong)


def test_colours_without_a_truth(folder):
    with pytest.raises(ValueError, match="colours must be None without a truth"):
        ms.load_case(folder / "a.png", colours={RED: 1})


def test_colours_of_folders_tables_and_single_files(folder):
    table = {RED: 1, BLUE: 2}
    (folder / "pages.tif").unlink()
    (folder / "cases.csv").write_text("image,truth\na.png,a_mask.png\n")
    several = [ms.find_cases(folder, colours=table), ms.read_cases(folder / "cases.csv", colours=table)]
    several.append([ms.CaseFile(folder / "a.png", folder / "a_mask.png", colours=table)])
    for cases in several:
        scores = ms.evaluate(lambda image: LABELS, cases, progress=False)
        assert (scores.score == 1).all() and len(scores)


@pytest.mark.parametrize("page", [1, 3])
def test_a_page_that_no_file_has(folder, page):
    with pytest.raises(ValueError, match=f"page of case 'a' must be 0, .* got {page}"):
        ms.load_case(folder / "a.png", page=page)
    with pytest.raises(ValueError, match="page of case 'case' must be 0"):
        ms.load_case(np.ones((6, 8)), page=page)


@pytest.mark.parametrize("page", [0, "all", None])
def test_one_page_is_the_first_and_all(folder, page):
    assert ms.load_case(folder / "a.png", page=page).shape == (6, 8)


def test_the_page_of_a_truth_of_several(folder):
    for page in (0, 1):
        case = ms.load_case(folder / "a.png", folder / "pages.tif", page=page)
        assert case.truth.unique().tolist() == [page + 1]
    file = ms.CaseFile(folder / "a.png", folder / "pages.tif", page=1)
    (case,) = as_cases([file])
    assert ms.load_case(case).truth.unique().tolist() == [2]
    assert ms.load_case(case, page=0).truth.unique().tolist() == [1]


@pytest.mark.parametrize("ending", [".npz", ".npy", ".nrrd", ".mha", ".mhd", ".mgz", ".nii.gz", ".webp", ".bmp"])
def test_folders_of_any_format_that_is_read(tmp_path, ending):
    array = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    if ending in (".webp", ".bmp"):
        Image.fromarray(array[0]).save(tmp_path / f"a{ending}")
    elif ending == ".npz":
        np.savez(tmp_path / "a.npz", array)
    elif ending == ".npy":
        np.save(tmp_path / "a.npy", array)
    elif ending in (".mgz", ".nii.gz"):
        import nibabel

        kind = nibabel.MGHImage if ending == ".mgz" else nibabel.Nifti1Image
        nibabel.save(kind(array, np.eye(4)), tmp_path / f"a{ending}")
    else:
        import SimpleITK

        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), tmp_path / f"a{ending}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (case,) = ms.find_cases(tmp_path)
        assert case.name == "a"
        assert ms.load_case(case).image.max() > 0


def test_the_folder_of_the_user(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "cases.csv").write_text("image,truth\n~/a.png,~/a_mask.png\n")
    (folder / "grey.csv").write_text("image\na.png\n")
    assert ms.load_case("~/a.png").shape == (6, 8)
    (case,) = ms.read_cases("~/cases.csv")
    assert case.paths == (str(folder / "a.png"), str(folder / "a_mask.png"))
    assert len(ms.evaluate(lambda image: LABELS, "~/grey.csv", ["rotation"], [0, 90], progress=False))
    with pytest.warns(UserWarning, match="no partner"):
        assert ms.find_cases("~")[0].name == "a"


def test_what_a_network_in_mm_is_told_of_pixels():
    with pytest.warns(UserWarning, match="case 'square': mm are not known, and the network is told .* 1 x 1 mm"):
        warn_of_pixels(ms.Case(torch.ones(1, 4, 4), name="square"), "the network")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_pixels(ms.Case(torch.ones(1, 4, 4), name="square", spacing=(1, 1)), "the network")


@pytest.mark.parametrize("shape", [(16, 24), (8, 16, 24)])
@pytest.mark.parametrize("last", [True, False])
def test_flat_answers_of_a_coarser_grid(shape, last):
    "Scores in a row for each patch of 4 x 4: a grid of a fourth"
    grid = tuple(n // 4 for n in shape)
    scores = torch.arange(2 * 3 * np.prod(grid)).float().reshape(2, 3, *grid)
    flat = scores.flatten(2)
    assert torch.equal(channels_second(flat.movedim(1, 2) if last else flat, shape), scores)


def test_a_flat_answer_of_no_grid_or_of_several_is_left_alone():
    tokens = torch.zeros(1, 25, 3)  # 4 x 6 patches and a class token
    assert channels_second(tokens, (16, 24)) is tokens
    several = torch.zeros(1, 96, 24)  # 8 x 12 of 24 classes, or 4 x 6 of 96
    assert channels_second(several, (16, 24)) is several


def test_a_transformer_with_flat_scores_of_patches():
    class Patches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(1, 2, 4, 4, bias=False)
            torch.nn.init.constant_(self.stem.weight, 1 / 16)
            with torch.no_grad():
                self.stem.weight[0] = 0

        def forward(self, x):
            return (self.stem(x) - torch.tensor([0.0, 0.5])[:, None, None]).flatten(2).movedim(1, 2)

    image = np.zeros((16, 24), np.float32)
    image[:, 12:] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ms.as_model(Patches(), output="logits")
        series = ms.get_series(model, ms.load_case(image), ms.Brightness(), [1], progress=False)
    pred = series[0].pred.numpy()
    assert (pred[:, :10] == 0).all() and (pred[:, 14:] == 1).all()


def test_select_means_mask():
    from misas.models.arrays import NumpyModel

    class Two(NumpyModel):
        def run(self, array, name):
            return {"a": array > 0.5, "b": array < 0.5}[name].astype(int)

    case = ms.load_case(np.eye(4, dtype=np.float32))
    for options in (dict(mask="b"), dict(select="b")):
        model = Two(channels="none", output="labels", **options)
        assert np.array_equal(model(case.image[None], case)[0], 1 - np.eye(4))
    with pytest.raises(ValueError, match="select must be None where mask is given"):
        Two(channels="none", output="labels", mask="a", select="b")
