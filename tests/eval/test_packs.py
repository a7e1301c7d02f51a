"Many small results in few files: nothing is lost, nothing changes"

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from misas.core.transform import as_transform
from misas.data.phantoms import phantom
from misas.eval.packs import PACKED, Packs, pack
from misas.eval.scoring import evaluate
from misas.eval.store import open_store
from misas.eval.table import make_table
from misas.metrics.base import as_metrics
from misas.transforms.basic import Compose, Rotate, Zoom


def table_of(seed, transform, values):
    case = phantom((16, 16), seed=seed)
    rows = pd.DataFrame(
        dict(value=values, label="LV", metric="dice", score=np.linspace(0, 1 / (seed + 2), len(values)))
    )
    return make_table(rows, "m", case, transform, as_metrics("dice"))


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "results", "threshold")


@pytest.fixture
def written(store):
    "Tables of several kinds, and where they are"
    # values that are integers, floats, pairs and texts
    kinds = [
        (Rotate(), [0, 90]),
        (Zoom(), [0.5, 1.0, 1.25]),
        (Compose(Rotate(), Zoom()), pd.Series([(0, 1.0), (10, 1.2)])),
        (as_transform(lambda image, value: image, name="kind", values=["a", "b"]), ["a", "b"]),
    ]
    tables = {}
    for seed in range(3):
        for transform, values in kinds:
            path = store.folder / f"{seed}.{transform}.parquet"
            tables[path] = table_of(seed, transform, values)
            store.write(path, tables[path])
    return tables


def packs_in(store):
    return sorted(store.folder.glob(f"*{PACKED}"))


def test_tables_come_out_of_packs_as_they_went_in(store, written):
    before = {path: store.read(path) for path in written}
    store.pack(least=13)
    assert len(list(store.folder.iterdir())) == 12
    store.pack(least=12)
    # one for integers, one for floats, one for all others
    assert len(packs_in(store)) == len(list(store.folder.iterdir())) == 3
    for path, table in written.items():
        again = store.read(path)
        pd.testing.assert_frame_equal(again, table)
        pd.testing.assert_frame_equal(again, before[path])
        assert again.attrs == table.attrs
        assert [type(v) for v in again.value] == [type(v) for v in before[path].value]


def test_a_part_may_be_changed_and_the_pack_stays(store, written):
    store.pack(least=1)
    path, table = next(iter(written.items()))
    part = store.read(path)
    part.loc[:, "score"] = -1
    part.attrs.clear()
    pd.testing.assert_frame_equal(store.read(path), table)
    assert store.read(path).attrs == table.attrs


def test_a_run_that_was_killed_between_pack_and_removal_loses_nothing(store, written):
    files = {path: path.read_bytes() for path in written}
    store.pack(least=1)
    for path, data in files.items():
        path.write_bytes(data)
    # both are there; the next one to bring them together removes one of them
    pd.testing.assert_frame_equal(store.read(path), written[path])
    store.pack(least=1)
    assert len(list(store.folder.iterdir())) == 3


def test_what_another_run_packs_meanwhile_is_found(store, written, monkeypatch):
    path, table = next(iter(written.items()))
    other = open_store(store.folder, "threshold")
    assert other.read(store.folder / "none.parquet") is None
    store.pack(least=1)
    monkeypatch.setattr("misas.eval.packs._OLD", 0)
    pd.testing.assert_frame_equal(other.read(path), table)


def test_a_table_that_another_run_removed_meanwhile_is_left_out(store, written):
    paths = list(written)
    paths[0].unlink()
    pack(store.folder, paths)
    assert store.read(paths[0]) is None
    pd.testing.assert_frame_equal(store.read(paths[1]), written[paths[1]])


def test_a_damaged_table_is_not_packed(store, written):
    path = next(iter(written))
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    store.pack(least=1)
    assert path.exists()
    with pytest.warns(UserWarning, match="damaged"):
        assert store.read(path) is None


def test_a_damaged_pack_is_named_and_its_tables_are_computed_again(store, written):
    store.pack(least=1)
    for damaged in packs_in(store):
        data = bytearray(damaged.read_bytes())
        data[10] ^= 1
        damaged.write_bytes(data)
    with pytest.warns(UserWarning, match=rf"{PACKED} in the store is damaged, and its tables are computed again"):
        assert all(store.read(path) is None for path in written)


def test_a_pack_without_its_end_is_named(store, written):
    store.pack(least=1)
    for damaged in packs_in(store):
        damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="is damaged"):
        assert Packs(store.folder).find(next(iter(written)).name) is None


def test_a_folder_that_can_only_be_read_is_left_as_it_is(store, written, monkeypatch):
    monkeypatch.setattr(type(store), "can_be_written", False)
    store.pack(least=1)
    assert not packs_in(store) and len(list(store.folder.iterdir())) == len(written)


def above_half(image):
    return image > 0.5


def test_many_cases_make_few_files_and_are_found_again(tmp_path):
    cases = [phantom((16, 16), seed=seed).replace(name=f"case {seed}") for seed in range(4)]
    cases = [case.replace(name=f"{case.name}.{k}") for k in range(150) for case in cases]
    settings = dict(values=[0.5, 1.0], labels={1: "LV"}, progress=False)
    fresh = evaluate(above_half, cases, "brightness", **settings)
    first = evaluate(above_half, cases, "brightness", store=tmp_path, **settings)
    assert len(list(tmp_path.iterdir())) < 10
    again = evaluate(above_half, cases, "brightness", store=tmp_path, **settings)
    for table in (first, again):
        pd.testing.assert_frame_equal(table, fresh)
        assert table.attrs == fresh.attrs
    # another process finds them, too
    two = evaluate(above_half, cases[:8], "brightness", store=tmp_path, n_jobs=2, **settings)
    pd.testing.assert_frame_equal(two, fresh[: len(two)])
    assert len(list(tmp_path.iterdir())) < 10


PACKING = """
import sys, time
import misas.eval.packs as packs
from misas.eval.store import open_store

write = packs.atomic_path
def slow(path):
    print("packing", flush=True)
    time.sleep(0.05)
    return write(path)
packs.atomic_path = slow
store = open_store(sys.argv[1], "threshold")
store.pack(least=1)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("delay", [0.0, 0.06, 0.12])
def test_killed_while_packing(store, written, delay):
    process = subprocess.Popen([sys.executable, "-c", PACKING, str(store.folder)], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    fresh = open_store(store.folder, "threshold")
    for path, table in written.items():
        pd.testing.assert_frame_equal(fresh.read(path), table)
    fresh.pack(least=1)
    for path, table in written.items():
        pd.testing.assert_frame_equal(fresh.read(path), table)
