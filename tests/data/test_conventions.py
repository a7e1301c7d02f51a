"Files of data sets that say which pixels are not annotated"

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import misas as ms
from misas.data.folders import as_cases

MASK = np.resize(np.array([0, 1, 2, 3], np.uint8), (8, 8))


def picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def camvid(tmp_path):
    "A data set as fastai has it: images, labels, codes.txt"
    picture(tmp_path / "images" / "a.png", MASK * 60)
    picture(tmp_path / "labels" / "a_P.png", MASK)
    (tmp_path / "codes.txt").write_text("Sky\nCar\nVoid\nRoad\n")
    return tmp_path


def test_codes_of_camvid(camvid):
    files = (camvid / "images" / "a.png", camvid / "labels" / "a_P.png")
    case = ms.load_case(*files, ignore="fastai")
    assert case.ignore == 2 and case.labels == ("Sky", "Car", "Void", "Road")
    unread = ms.CaseFile(*map(str, files), ignore="fastai")
    assert ms.load_case(unread).ignore == 2
    assert camvid / "codes.txt" in unread.files
    (camvid / "cases.csv").write_text("image,truth\nimages/a.png,labels/a_P.png\n")
    (found,) = ms.read_cases(camvid / "cases.csv", ignore="fastai")
    assert ms.load_case(found).labels[2] == "Void"
    (camvid / "codes.txt").write_text("Sky\nCar\n")
    with pytest.raises(ValueError, match=r"in the labels of '.*codes.txt', .*got none among Sky, Car"):
        ms.load_case(*files, ignore="fastai")
    (camvid / "codes.txt").unlink()
    with pytest.raises(ValueError, match="or in the codes.txt beside its truth, got no names"):
        ms.load_case(*files, ignore="fastai")


def nnunet(folder, labels):
    for place, array in (("imagesTr/a_0000", MASK * 60.0), ("labelsTr/a", MASK)):
        path = folder / f"{place}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.stack([array] * 3, -1).astype(np.float32), np.eye(4)), path)
    (folder / "dataset.json").write_text(json.dumps(dict(labels=labels, channel_names={"0": "CT"})))
    return folder


def test_folder_of_nnunet_says_it_by_itself(tmp_path):
    folder = nnunet(tmp_path, {"background": 0, "liver": [1, 2], "tumour": 2, "ignore": 3})
    with pytest.warns(UserWarning, match="calls label 3 of the truths ignore"):
        (found,) = as_cases(folder)
    assert found.ignore == 3 and ms.load_case(found).ignore == 3
    truth = folder / "labelsTr" / "a.nii.gz"
    assert ms.load_case(folder / "imagesTr" / "a_0000.nii.gz", truth, ignore="nnunet").ignore == 3
    assert ms.load_case(ms.CaseFile(found.image, found.truth, ignore="nnunet")).ignore == 3
    (found,) = as_cases([(found.image[0] if isinstance(found.image, tuple) else found.image, found.truth)], "nnunet")
    assert ms.load_case(found).ignore == 3


@pytest.mark.parametrize("labels", [{"background": 0, "ignore": 1, "tumour": 2}, {"a": [1, 3], "ignore": 3}])
def test_label_that_nnunet_ignores_is_the_highest(tmp_path, labels):
    folder = nnunet(tmp_path, {"background": 0} | labels)
    with pytest.raises(ValueError, match="dataset.json': the label 'ignore' must be the highest"):
        as_cases(folder)
    with pytest.raises(ValueError, match="the label 'ignore' must be the highest"):
        ms.load_case(folder / "imagesTr" / "a_0000.nii.gz", folder / "labelsTr" / "a.nii.gz", ignore="nnunet")


def test_dataset_without_ignore(tmp_path):
    folder = nnunet(tmp_path, {"background": 0, "tumour": 1})
    with pytest.raises(ValueError, match="a label called 'ignore' where ignore='nnunet'"):
        ms.load_case(folder / "imagesTr" / "a_0000.nii.gz", folder / "labelsTr" / "a.nii.gz", ignore="nnunet")
    assert as_cases(folder)[0].ignore is None


def test_cityscapes_from_files(tmp_path):
    ids = np.resize(np.array([7, 11, 26, 4, 30], np.uint8), (8, 8))
    image = picture(tmp_path / "images" / "a.png", MASK * 60)
    truth = picture(tmp_path / "masks" / "a.png", ids)
    case = ms.load_case(image, truth, ignore="cityscapes")
    assert np.array_equal(case.truth.numpy() == 255, np.isin(ids, [4, 30])) and case.ignore == 255

    def road(image):
        return np.full(image.shape[:2], 7)

    table = ms.evaluate(road, tmp_path, ms.Brightness(), [1], ignore="cityscapes", progress=False)
    # 7 is right in its own pixels, wrong in those of 11 and 26, and nothing else is judged
    n = [int((ids == label).sum()) for label in (7, 11, 26)]
    dice = table[table.label == "7"].score.iloc[0] if "7" in set(table.label) else table[table.label == 7].score.iloc[0]
    assert dice == pytest.approx(2 * n[0] / (2 * n[0] + n[1] + n[2]))
