"Lines that processes add to a folder: nothing is lost, nothing changes, nothing of others is touched"

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest

import misas.eval.journal
from misas.core.transform import as_transform
from misas.data.phantoms import phantom
from misas.eval.journal import Journal
from misas.eval.rows import joined_rows, make_rows, rows_from_text, rows_to_text
from misas.eval.scoring import evaluate
from misas.eval.table import joined_tables
from misas.metrics.base import as_metrics
from misas.transforms.basic import Compose, Resize, Rotate, Zoom

LOCKS = pytest.mark.skipif(os.name != "posix", reason="needs locks of POSIX")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def lines(folder):
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


# ---------------------------------------------------------------- lines


def test_a_line_is_json_and_is_found_by_its_name(tmp_path):
    journal = Journal(tmp_path)
    journal.add("brain.rotation.1", '{"a": "\\u00fc"}')
    journal.add("ü.rotation.2", "[1, NaN]")
    (first, second) = lines(tmp_path)
    assert (first[0], first[2], second[0]) == ("brain.rotation.1", {"a": "ü"}, "ü.rotation.2")
    for again in (journal, Journal(tmp_path), pickle.loads(pickle.dumps(journal))):
        assert again.find("brain.rotation.1") == b'{"a": "\\u00fc"}'
        assert again.find("ü.rotation.2") == b"[1, NaN]"
        assert again.find("none") is None


def test_the_line_that_was_added_last_counts(tmp_path):
    journal = Journal(tmp_path)
    for text in ("1", "2"):
        journal.add("a", text)
    assert journal.find("a") == Journal(tmp_path).find("a") == b"2"


def test_lines_of_any_length_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(misas.eval.journal, "_BLOCK", 50)
    journal = Journal(tmp_path)
    texts = {f"n{k}": json.dumps("x" * (7 * k)) for k in range(40)}
    for name, text in texts.items():
        journal.add(name, text)
    for again in (journal, Journal(tmp_path)):
        for name in [*texts, *reversed(texts)]:
            assert again.find(name) == texts[name].encode()


# ---------------------------------------------------------------- files


@LOCKS
def test_a_file_is_used_again_and_never_by_two(tmp_path):
    Journal(tmp_path).add("a", "1")
    Journal(tmp_path).add("b", "2")
    assert names(tmp_path) == ["misas-scores-1.jsonl"]
    first, second = Journal(tmp_path), Journal(tmp_path)
    for k, journal in enumerate((first, second, first, second)):
        journal.add(f"c{k}", "3")
    assert names(tmp_path) == ["misas-scores-1.jsonl", "misas-scores-2.jsonl"]
    assert [line[0] for line in lines(tmp_path)] == ["a", "b", "c0", "c2", "c1", "c3"]


def test_what_others_add_meanwhile_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(misas.eval.journal, "_OLD", 0)
    first, second = Journal(tmp_path), Journal(tmp_path)
    assert second.find("a") is None
    first.add("a", "1")
    assert second.find("a") == b"1"
    first.add("b", "2")
    assert second.find("b") == b"2"


def without_locks(monkeypatch, error):
    def refuse(descriptor):
        raise error

    monkeypatch.setattr(misas.eval.journal, "_is_mine", refuse)


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), ImportError("fcntl")], ids=type)
def test_without_locks_each_process_has_a_new_file(tmp_path, monkeypatch, error):
    without_locks(monkeypatch, error)
    for k in range(2):
        journal = Journal(tmp_path)
        journal.add(f"a{k}", "1")
        journal.add(f"b{k}", "2")
    assert sorted(line[0] for line in lines(tmp_path)) == ["a0", "a1", "b0", "b1"]
    assert Journal(tmp_path).find("b1") == b"2"


@LOCKS
def test_a_file_of_somebody_else_stays_as_it_is(tmp_path):
    texts = {"misas-scores-1.jsonl": "mine, without an end", "misas-scores-2.jsonl": '{"mine": 1}\n'}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    journal = Journal(tmp_path)
    with pytest.warns(UserWarning, match=r"misas-scores-2.jsonl in the store: line 1 is damaged"):
        journal.add("a", "1")
        assert Journal(tmp_path).find("a") == b"1"
    assert names(tmp_path) == [*texts, "misas-scores-3.jsonl"]
    assert all((tmp_path / name).read_text() == text for name, text in texts.items())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions")
def test_a_file_that_cannot_be_read_is_named(tmp_path):
    Journal(tmp_path).add("a", "1")
    (tmp_path / "misas-scores-1.jsonl").chmod(0)
    with pytest.warns(UserWarning, match=r"misas-scores-1.jsonl in the store cannot be read"):
        assert Journal(tmp_path).find("a") is None


def test_files_that_were_removed_are_empty(tmp_path):
    journal = Journal(tmp_path)
    journal.add("a", "1")
    other = Journal(tmp_path)
    assert other.find("a") == b"1"
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert Journal(tmp_path).find("a") is None


def test_a_file_with_other_content_gives_nothing_wrong(tmp_path):
    reader = Journal(tmp_path)
    Journal(tmp_path).add("a", "1")
    assert reader._look() is None
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b" 1]", b" 2]"))
    assert reader.find("a") is None


# ---------------------------------------------------------------- damage


def damaged(path, number):
    "One wrong bit in a line"
    kept = path.read_bytes().splitlines(keepends=True)
    kept[number] = kept[number][:-4] + bytes([kept[number][-4] ^ 1]) + kept[number][-3:]
    path.write_bytes(b"".join(kept))


def test_a_damaged_line_is_named_until_it_is_there_again(tmp_path):
    for k in range(3):
        Journal(tmp_path).add(f"a{k}", f"[{k}0]")
    path = tmp_path / "misas-scores-1.jsonl"
    damaged(path, 1)
    again = Journal(tmp_path)
    said = r"misas-scores-1.jsonl in the store: line 2 is damaged, and is computed again if it is needed"
    with pytest.warns(UserWarning, match=said):
        assert again.find("a1") is None
    assert again.find("a0") == b"[00]" and again.find("a2") == b"[20]"
    again.add("a1", "[10]")
    del again
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Journal(tmp_path).find("a1") == b"[10]"


@LOCKS
def test_half_a_line_is_cut_off_by_the_next_process(tmp_path):
    Journal(tmp_path).add("a", "1")
    path = tmp_path / "misas-scores-1.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    journal = Journal(tmp_path)
    assert journal.find("a") == b"1"
    assert path.read_bytes() == whole + whole[:20]
    journal.add("b", "2")
    assert [line[0] for line in lines(tmp_path)] == ["a", "b"]


def test_what_does_not_fit_is_not_there_at_all(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.add("a", "1")
    write = os.write
    room = [20]

    def write_what_fits(descriptor, line):
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = write(descriptor, line[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write_what_fits)
    with pytest.raises(OSError, match="No space left"):
        journal.add("b", "2")
    monkeypatch.undo()
    journal.add("c", "3")
    assert [line[0] for line in lines(tmp_path)] == ["a", "c"]
    assert journal.find("b") is None and journal.find("c") == b"3"


ADDING = """
import sys
from pathlib import Path
from misas.eval.journal import Journal
journal = Journal(Path(sys.argv[1]))
for k in range(1_000_000):
    journal.add(f"{sys.argv[2]}-{k}", "[" + ", ".join(["0.25"] * 1000) + "]")
    print(k, flush=True)
"""


@LOCKS
def test_killed_at_any_moment(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    promised = []
    for run in range(4):
        command = [sys.executable, "-c", ADDING, str(folder), str(run)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = [process.stdout.readline()]
        time.sleep(0.05 + 0.03 * run)
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
        process.wait()
        promised += [f"{run}-{int(k)}" for k in said if k.endswith("\n")]
    journal = Journal(folder)
    assert len(promised) > 4
    assert all(journal.find(name) is not None for name in promised)
    assert names(folder) == ["misas-scores-1.jsonl"]
    journal.add("after", "1")
    assert Journal(folder).find("after") == b"1"


# ---------------------------------------------------------------- rows


def rows_of(seed, transform, values, scores=None):
    scores = scores or [1 / (k + seed + 2) for k in range(len(values))]
    columns = dict(value=values, label=["LV"] * len(values), metric=["dice"] * len(values), score=scores)
    return make_rows(columns, "m", phantom((16 + seed, 16), seed=seed), transform, as_metrics("dice"))


KINDS = [
    (Rotate(), [0, 90]),
    (Zoom(), [0.5, 1.0, 1.25]),
    (Compose(Rotate(), Zoom()), [(0, 1.0), (10, 1.2)]),
    (as_transform(lambda image, value: image, name="kind", values=["a", "b"]), ["a", "b"]),
    (as_transform(lambda image, value: image, name="none", values=[None, True]), [None, True, 1.5]),
    (Resize(), [16, 32]),
]


def test_rows_come_back_from_text_as_they_were():
    for transform, values in KINDS:
        rows = rows_of(1, transform, values, [0.1 + 0.2, float("inf"), 1e-300][: len(values)])
        again = rows_from_text(rows_to_text(rows))
        assert again == rows
        assert [type(value) for value in again.own["value"]] == [type(value) for value in values]


def test_rows_joined_at_once_are_their_tables_joined():
    parts = [rows_of(seed, transform, values) for seed in range(3) for transform, values in KINDS]
    parts[0] = parts[0].with_columns(dict(scanner="A", age=3))
    parts[2] = parts[2].with_columns(dict(age=None, site="x"))
    parts[5] = parts[5].with_unchanged(dict(label=["LV"], metric=["dice"], score=[0.5]))
    at_once, by_table = joined_rows(parts), joined_tables([rows.table() for rows in parts])
    pd.testing.assert_frame_equal(at_once[by_table.columns], by_table)
    assert at_once.attrs == by_table.attrs
    assert list(at_once)[8:] == ["unchanged", "scanner", "age", "site"]


def above_half(image):
    return image > 0.5


def test_many_cases_make_one_file_and_are_found_again(tmp_path):
    cases = [phantom((16, 16), seed=seed) for seed in range(4)]
    cases = [case.replace(name=f"{case.name}.{k}") for k in range(150) for case in cases]
    settings = dict(values=[0.5, 1.0], labels={1: "LV"}, progress=False)
    fresh = evaluate(above_half, cases, "brightness", **settings)
    first = evaluate(above_half, cases, "brightness", store=tmp_path, **settings)
    assert len(names(tmp_path)) == 1
    again = evaluate(above_half, cases, "brightness", store=tmp_path, **settings)
    for table in (first, again):
        pd.testing.assert_frame_equal(table, fresh)
        assert table.attrs == fresh.attrs
    # other processes find them, and add theirs
    two = evaluate(above_half, cases[:8], ["brightness", "contrast"], store=tmp_path, n_jobs=2, **settings)
    assert len(two) == 2 * len(evaluate(above_half, cases[:8], "brightness", **settings))
    assert len(names(tmp_path)) <= 3
    assert len(lines(tmp_path)) == 600 + 8


def test_a_journal_in_a_folder_that_is_not_there(tmp_path):
    assert Journal(Path(tmp_path / "none")).find("a") is None
    with pytest.raises(FileNotFoundError):
        Journal(Path(tmp_path / "none")).add("a", "1")
