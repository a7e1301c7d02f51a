"Many cases: folders, tables, lists"

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scans import WORLD, write_dicom, write_rtstruct

from misas.data.casefile import CaseFile
from misas.data.casetables import read_cases
from misas.data.files import save_mask
from misas.data.folders import as_cases, as_list, find_cases
from misas.data.loading import load_case
from misas.data.naming import distinct_names

PICTURE = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.fixture
def put(tmp_path):
    "A function that puts small pictures into the folder"

    def put(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PICTURE).save(tmp_path / name)

    return put


def put_series(folder):
    "Two slices"
    for k in (1, 0):
        place = dict(
            PixelSpacing=[1, 1], ImagePositionPatient=[0, 0, k * 5], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]
        )
        write_dicom(folder / f"{k}.dcm", np.eye(4) * 100, FrameOfReferenceUID=WORLD, **place)
    return folder


# ---- folders


def test_images_and_masks_side_by_side(put, tmp_path):
    put("side/a_image.png", "side/a_mask.png", "side/b.png", "side/b_seg.png", "side/c.png", "side/d_mask.png")
    with pytest.warns(UserWarning, match="c.png, d_mask.png"):
        side = find_cases(tmp_path / "side")
    assert [(c.name, Path(c.truth).name) for c in side] == [("a", "a_mask.png"), ("b", "b_seg.png")]
    assert load_case(side[0]).truth.max() == 255 and load_case(side[0]).name == "a"


def test_folders_of_nnunet_images_alone_and_masks_elsewhere(put, tmp_path):
    put("nn/imagesTr/x_0000.png", "nn/labelsTr/x.png", "only/x.png", "only/y.png")
    image, mask = (str(tmp_path / name) for name in ("nn/imagesTr/x_0000.png", "nn/labelsTr/x.png"))
    assert find_cases(tmp_path / "nn") == [CaseFile(image, mask, "x")]
    assert [c.truth for c in find_cases(tmp_path / "only")] == [None, None]
    with pytest.warns(UserWarning, match="y.png"):
        assert [c.name for c in find_cases(tmp_path / "only", tmp_path / "nn/labelsTr")] == ["x"]


def test_a_folder_must_exist_and_have_images(put, tmp_path):
    (tmp_path / "empty").mkdir()
    for bad in ("nowhere", "empty"):
        with pytest.raises(ValueError, match="folder must be a folder"):
            find_cases(tmp_path / bad)
    with pytest.raises(ValueError, match="masks must be a folder that exists"):
        find_cases(tmp_path, tmp_path / "nowhere")


def test_two_files_of_one_name_are_an_error(put, tmp_path):
    put("x.png", "x_image.png")
    with pytest.raises(ValueError, match="folder must have one file for 'x', got two: x.png and x_image.png"):
        find_cases(tmp_path)


def test_numbered_files_are_channels_or_frames(put, tmp_path):
    put(*(f"several/imagesTr/{c}_000{i}.png" for c in "xy" for i in range(3)))
    put("several/labelsTr/x.png", "several/labelsTr/y.png")
    x, _ = find_cases(tmp_path / "several")
    assert x.name == "x" and [Path(p).name for p in x.image] == ["x_0000.png", "x_0001.png", "x_0002.png"]
    assert load_case(x).image.shape == (3, 16, 16) and len(x.files) == 4 and x.resolved().paths == x.paths
    assert [len(c.image) for c in find_cases(tmp_path / "several/imagesTr")] == [3, 3]
    put("frames/images/f_0000.png", "frames/images/f_0001.png", "frames/masks/f_0000.png", "frames/masks/f_0001.png")
    assert [c.name for c in find_cases(tmp_path / "frames")] == ["f_0000", "f_0001"]


def test_subfolders_with_dicom_files_are_series(tmp_path):
    (tmp_path / "study/masks").mkdir(parents=True)
    for name in ("p1", "p2"):
        case = load_case(put_series(tmp_path / f"study/images/{name}"))
        save_mask(case.image[0] > 0, case, tmp_path / f"study/masks/{name}.nii.gz")
    study = find_cases(tmp_path / "study")
    assert [c.name for c in study] == ["p1", "p2"] and len(study[0].files) == 3
    assert load_case(study[1]).shape == (2, 4, 4) and load_case(study[1]).truth.sum() == 8
    assert len(find_cases(tmp_path / "study/images")) == 2


def test_series_below_patients_and_studies(tmp_path):
    for patient in ("anna", "bert"):
        put_series(tmp_path / patient / "study1" / "CT")
        square = [[(-1, -1, 0), (1.5, -1, 0), (1.5, 1.5, 0), (-1, 1.5, 0)]]
        write_rtstruct(tmp_path / patient / "study1" / "RS" / "drawn.dcm", dict(body=square))
    with pytest.warns(UserWarning, match=r"do not say in which series they were drawn: 'drawn.dcm', 'drawn.dcm' \(a t"):
        found = find_cases(tmp_path)
    assert [case.name for case in found] == ["anna_study1_CT", "bert_study1_CT"]
    assert load_case(found[0]).shape == (2, 4, 4)


@pytest.fixture
def plans(tmp_path):
    "A folder of a series and its structures"
    put_series(tmp_path / "images/anna")
    square = [[(-1, -1, z), (1.5, -1, z), (1.5, 1.5, z), (-1, 1.5, z)] for z in (0, 5)]
    corner = [[(-1, -1, 0), (0.5, -1, 0), (0.5, 0.5, 0), (-1, 0.5, 0)]]
    write_rtstruct(tmp_path / "masks/anna.dcm", dict(body=square, LV=corner))
    return tmp_path


def test_structures_of_a_folder_are_chosen(plans):
    (plan,) = find_cases(plans, rois={"body": 1, "LV": 2})
    assert plan == CaseFile(str(plans / "images/anna"), str(plans / "masks/anna.dcm"), "anna", {"body": 1, "LV": 2})
    assert plan.rois == (("body", 1), ("LV", 2))
    assert np.bincount(load_case(plan.resolved()).truth.ravel()).tolist() == [24, 7, 1]
    assert load_case(plan, rois="LV").truth.max() == 1


# ---- tables


def test_a_table_of_cases(put, tmp_path):
    put("side/a_image.png", "side/a_mask.png", "side/c.png")
    put_series(tmp_path / "study/p1")
    (tmp_path / "cases.csv").write_text("image,mask\nside/a_image.png,side/a_mask.png\nside/c.png,\nstudy/p1,\n")
    rows = read_cases(tmp_path / "cases.csv")
    assert rows[0] == CaseFile(str(tmp_path / "side/a_image.png"), str(tmp_path / "side/a_mask.png"), "a_image")
    assert rows[1].truth is None and rows[2].name == "p1" and load_case(rows[2]).shape == (2, 4, 4)
    (tmp_path / "named.csv").write_text("name,truth,image\nfirst,,side/c.png\n,,side/c.png\n")
    assert [c.name for c in read_cases(tmp_path / "named.csv")] == ["first", "c"]


def test_a_table_must_exist_and_have_its_columns(tmp_path):
    (tmp_path / "wrong.csv").write_text("file\nx.png\n")
    with pytest.raises(ValueError, match="must have a column .image., got the columns .file."):
        read_cases(tmp_path / "wrong.csv")
    with pytest.raises(ValueError, match="csv must be a file that exists"):
        read_cases(tmp_path / "nowhere.csv")


def test_structures_of_a_table_are_chosen(plans):
    (plans / "plans.csv").write_text("image,mask\nimages/anna,masks/anna.dcm\nimages/anna,\n")
    rows = read_cases(plans / "plans.csv", ["body", "LV"])
    assert load_case(rows[0]).truth.max() == 2 and load_case(rows[1]).truth is None


# ---- any of them as a list


def test_names_are_told_apart():
    assert distinct_names(["a", "a", "a-2", "b", "a"]) == ["a", "a-3", "a-2", "b", "a-4"]
    assert distinct_names(["a"] * 3) == ["a", "a-2", "a-3"]


def test_one_thing_or_several():
    assert as_list("rotation", str) == ["rotation"] and as_list(("rotation", "zoom"), str) == ["rotation", "zoom"]
    assert len(as_list(PICTURE, str)) == 1 and len(as_list(dict(a=1), str)) == 1 and as_list(len, str) == [len]
    assert as_list((x for x in "ab"), str) == ["a", "b"]


def test_cases_of_every_kind(put, tmp_path):
    put("x_image.png", "x_mask.png", "y_image.png", "y_mask.png")
    (tmp_path / "cases.csv").write_text("image,mask\nx_image.png,x_mask.png\n")
    case = load_case(PICTURE, PICTURE > 99)
    assert [c.name for c in as_cases(tmp_path)] == ["x", "y"]
    assert [c.name for c in as_cases(str(tmp_path / "cases.csv"))] == ["x_image"]
    assert as_cases(case) == [case] and as_cases([case]) == [case]
    (pair,) = as_cases((PICTURE, PICTURE > 99))  # a tuple of two is a pair
    assert pair.truth.sum() == case.truth.sum()
    assert [c.name for c in as_cases([PICTURE, PICTURE])] == ["case", "case-2"]  # a list are two images
    assert [c.name for c in as_cases((case, case))] == ["case", "case-2"]
    (files,) = as_cases((tmp_path / "x_image.png", tmp_path / "x_mask.png"))
    assert files == CaseFile(str(tmp_path / "x_image.png"), str(tmp_path / "x_mask.png"))


def test_relative_paths_are_made_whole(put, tmp_path, monkeypatch):
    put("x.png")
    monkeypatch.chdir(tmp_path)
    assert as_cases(["x.png"]) == [CaseFile(str(tmp_path / "x.png"), name="x")]


def test_data_is_light_to_import():
    heavy = ["pandas", "pydicom", "nibabel", "matplotlib", "torchio", "monai", "scipy.ndimage", "skimage"]
    code = f"import sys, misas.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- a table beside the images


def test_participants_as_in_bids(put, tmp_path):
    put("sub-1_T1w.png", "sub-1_2_T1w.png", "sub-10_T1w.png", "sub-3.png", "other.png")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-1\t31\nsub-10\tn/a\nsub-3\t5\nsub-1_2\t40\n")
    with pytest.warns(UserWarning, match="participants.tsv' says nothing of 'other'"):
        cases = find_cases(tmp_path)
    ages = {case.name: dict(case.columns or {}).get("age") for case in cases}
    assert ages == {"sub-1_T1w": "31", "sub-1_2_T1w": "40", "sub-10_T1w": "", "sub-3": "5", "other": None}
    assert dict(cases[1].columns)["participant_id"]


def test_a_table_of_cases_in_a_folder_reaches_the_scores(put, tmp_path):
    from misas.eval.scoring import evaluate

    put("images/a.png", "images/b.png", "masks/a.png", "masks/b.png")
    (tmp_path / "cases.csv").write_text("image,mask,scanner,age\nimages/a.png,x,A,31\nimages/b.png,x,,\n")
    scores = evaluate(lambda image: image > 9, tmp_path, labels={255: "LV"}, progress=False)
    assert list(scores)[8:] == ["scanner", "age"]
    assert scores.scanner[0] == "A" and scores.age[0] == 31 and scores[["scanner", "age"]].iloc[1].isna().all()


def test_tables_of_cases_that_do_not_fit(put, tmp_path):
    put("a.png")
    (tmp_path / "cases.csv").write_text("case,site\na,1\na,2\n")
    with pytest.raises(ValueError, match="cases.csv' must have one row for each case, got 'a' again in row 3"):
        find_cases(tmp_path)
    (tmp_path / "cases.csv").write_text("who,site\na,1\n")
    with pytest.warns(UserWarning, match="no column names the cases: participant_id, case"):
        assert find_cases(tmp_path) == [CaseFile(str(tmp_path / "a.png"), name="a")]
