"Folders as archives hand them out: which images there are, and which contours and segments belong to which"

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from scans import WORLD, item, write_dicom, write_rtstruct, write_seg

from misas.data.folders import find_cases
from misas.data.loading import load_case
from misas.eval.scoring import evaluate

SQUARE = [[(-1, -1, z), (1.5, -1, z), (1.5, 1.5, z), (-1, 1.5, z)] for z in (0, 5)]


def put_series(folder, series, begin=0):
    "Two slices of one series"
    for k in (0, 1):
        place = dict(
            PixelSpacing=[1, 1], ImagePositionPatient=[0, 0, k * 5], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]
        )
        facts = dict(SeriesInstanceUID=series, FrameOfReferenceUID=WORLD, Modality="CT")
        write_dicom(folder / f"{begin + k}.dcm", np.eye(4) * 100, **place, **facts)
    return folder


def put_contours(path, *series, name="body"):
    "Contours that say in which series they were drawn"
    referenced = [item(SeriesInstanceUID=one) for one in series]
    study = item(RTReferencedStudySequence=[item(RTReferencedSeriesSequence=referenced)])
    return write_rtstruct(path, {name: SQUARE}, ReferencedFrameOfReferenceSequence=[study])


def silently(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return find_cases(*arguments, **options)


def truths(cases):
    return {case.name: case.truth and Path(case.truth).name for case in cases}


def test_contours_are_found_wherever_they_lie(tmp_path):
    for number, patient in enumerate(("anna", "bert")):
        put_series(tmp_path / patient / "study" / "CT", f"1.{number}")
        put_contours(tmp_path / patient / "study" / "RS" / f"{patient}.dcm", f"1.{number}")
    cases = silently(tmp_path)
    assert truths(cases) == {"anna_study_CT": "anna.dcm", "bert_study_CT": "bert.dcm"}
    case = load_case(cases[1])
    assert case.labels == ("background", "body") and case.truth.shape == (2, 4, 4)
    assert case.truth[0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("name", ["0 first.dcm", "RS.dcm"])
def test_contours_among_the_slices(tmp_path, name):
    "Planning systems put all files of a patient into one folder; what its first file is does not matter"
    put_series(tmp_path / "anna", "1.0")
    put_contours(tmp_path / "anna" / name, "1.0")
    put_series(tmp_path / "bert" / "deep", "1.1")
    put_contours(tmp_path / "bert" / "deep" / name, "1.1")
    # no patient is left out because another one has a folder less
    assert truths(silently(tmp_path)) == {"anna": name, "bert_deep": name}
    assert truths(silently(tmp_path / "bert")) == {"deep": name}
    assert load_case(silently(tmp_path)[0]).truth.sum() == 8


def test_slices_side_by_side_share_their_contours(tmp_path):
    put_series(tmp_path, "1.0")
    put_contours(tmp_path / "rs.dcm", "1.0")
    cases = silently(tmp_path)
    assert truths(cases) == {"0": "rs.dcm", "1": "rs.dcm"}
    assert load_case(cases[0]).truth.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_segments_belong_to_the_series_that_they_name(tmp_path):
    put_series(tmp_path / "p" / "a", "1.0")
    put_series(tmp_path / "p" / "b", "1.1")
    frames = [(1, np.eye(4, dtype=bool), (0, 0, z)) for z in (0, 5)]
    named = [item(SeriesInstanceUID="1.1")]
    write_seg(tmp_path / "p" / "c" / "s.dcm", ["LV"], frames, (5, 1, 1), ReferencedSeriesSequence=named)
    cases = silently(tmp_path)
    assert truths(cases) == {"p_a": None, "p_b": "s.dcm"}
    assert load_case(cases[1]).truth.sum() == 8
    # beside each other: the folder of segments is no image
    assert truths(silently(tmp_path / "p")) == {"a": None, "b": "s.dcm"}


def test_of_two_readers_none_is_taken(tmp_path):
    put_series(tmp_path / "p" / "CT", "1.0")
    for name in ("first.dcm", "second.dcm"):
        put_contours(tmp_path / "p" / "RS" / name, "1.0")
    said = r"case 'p_CT': 2 files were drawn in it, and none of them is taken for its truth: 'first.dcm', 'second.dcm'"
    with pytest.warns(UserWarning, match=said):
        assert truths(find_cases(tmp_path)) == {"p_CT": None}


def test_what_was_drawn_elsewhere_is_named(tmp_path):
    put_series(tmp_path / "p" / "CT", "1.0")
    put_contours(tmp_path / "p" / "RS" / "other.dcm", "1.9")
    with pytest.warns(UserWarning, match="left out, as they were drawn in no series here: 'other.dcm'"):
        assert truths(find_cases(tmp_path)) == {"p_CT": None}


def test_which_structures_are_wanted_reaches_the_cases(tmp_path):
    put_series(tmp_path / "p" / "CT", "1.0")
    put_contours(tmp_path / "p" / "RS" / "rs.dcm", "1.0", name="LV")
    put_series(tmp_path / "q" / "CT", "1.1")
    one, other = silently(tmp_path, rois={"LV": 7})
    assert load_case(one).truth.max() == 7 and other.rois is None
    assert silently(tmp_path, overlapping=True)[0].overlapping


def test_scores_are_those_of_the_contours(tmp_path):
    put_series(tmp_path / "p" / "CT", "1.0")
    put_contours(tmp_path / "p" / "RS" / "rs.dcm", "1.0")
    table = evaluate(lambda image: np.asarray(image) > 0.5, tmp_path, labels={1: "body"}, progress=False)
    # the diagonal of four pixels meets two of the four in the square
    assert table.score.tolist() == [pytest.approx(2 * 2 / (4 + 4))]


def test_identifiers_are_no_part_of_a_name(tmp_path):
    study, series = "1.3.6.1.4.1.9590.100.1.2.22", "1.3.6.1.4.1.9590.100.1.2.23"
    put_series(tmp_path / "anna" / study / series, "1.0")
    put_series(tmp_path / "bert", "1.1")
    names = [case.name for case in silently(tmp_path)]
    assert names[1] == "bert"
    assert names[0].startswith("anna_uid") and names[0].count("uid") == 2
    assert study not in names[0] and series not in names[0]


def test_series_of_one_name_are_told_apart(tmp_path):
    put_series(tmp_path / "a" / "b_c", "1.0")
    put_series(tmp_path / "a_b" / "c", "1.1")
    assert [case.name for case in silently(tmp_path)] == ["a_b_c", "a_b_c-2"]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_are_followed_but_not_in_circles(tmp_path):
    put_series(tmp_path / "elsewhere" / "CT", "1.0")
    (tmp_path / "study").mkdir()
    for name in ("anna", "bert"):
        (tmp_path / "study" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "study")
    names = [case.name for case in silently(tmp_path / "study")]
    assert [name for name in names if "back" not in name] == ["anna_CT", "bert_CT"]
    assert len(names) == 2


def test_plans_and_doses_are_no_images(tmp_path):
    put_series(tmp_path / "p" / "CT", "1.0")
    write_dicom(tmp_path / "p" / "dose" / "d.dcm", np.ones((4, 4)), Modality="RTDOSE")
    write_dicom(tmp_path / "p" / "plan" / "p.dcm", np.ones((4, 4)), Modality="RTPLAN")
    assert truths(silently(tmp_path)) == {"p_CT": None}
    assert truths(silently(tmp_path / "p")) == {"CT": None}


def test_a_damaged_file_is_said_when_it_is_read(tmp_path):
    put_series(tmp_path / "p" / "CT", "1.0")
    path = tmp_path / "p" / "MR" / "0.dcm"
    path.parent.mkdir()
    path.write_bytes(b"no header at all")
    assert truths(silently(tmp_path)) == {"p_CT": None, "p_MR": None}
