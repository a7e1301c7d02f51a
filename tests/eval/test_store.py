"The folder of results: who finds which file"

import json
import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

import misas.core.fingerprint
from misas.core.model import Model, as_model
from misas.core.transform import Intensity
from misas.data.casefile import CaseFile
from misas.data.phantoms import phantom
from misas.eval.rows import make_rows
from misas.eval.scoring import evaluate
from misas.eval.store import case_key, clear_store, file_name, open_store
from misas.metrics.base import Metric, as_metrics
from misas.transforms.basic import Compose, Rotate, Zoom


@pytest.fixture
def case():
    return phantom((16, 16), seed=0)


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "results", "threshold", 1)


def name_of(store, case, transform=None, values=(0, 90)):
    transform = transform or Rotate()
    return store.names(case, [(transform, values)])[str(transform)]


def rows_of(case, transform, values):
    columns = pd.DataFrame(dict(value=values, label="LV", metric="dice", score=1 / 3))
    return make_rows(columns, "m", case, transform, as_metrics("dice"))


# models


def test_models_with_other_preprocessing_or_weights_are_other_models():
    halves = [as_model(torch.nn.Conv2d(1, 2, 1), preprocess=f) for f in (lambda x: x / 2, lambda x: x / 3)]
    halves[1].net.load_state_dict(halves[0].net.state_dict())
    assert halves[0].cache_key() != halves[1].cache_key()
    nets = [torch.nn.Conv2d(1, 2, 1) for _ in range(2)]
    assert as_model(nets[0]).cache_key() != as_model(nets[1]).cache_key()
    assert as_model(nets[0]).cache_key() == as_model(nets[0]).cache_key()
    assert as_model(torch.nn.Conv2d(1, 2, 1).bfloat16()).cache_key()


def test_labels_go_by_their_names_in_the_table():
    net = torch.nn.Conv2d(1, 2, 1)
    assert len({as_model(net, labels=labels).cache_key() for labels in (None, ["bg", "LV"], ["bg", "RV"])}) == 3


def test_a_plain_object_is_known_by_what_it_holds():
    class Cut:
        def __init__(self, least):
            self.least = least

        def predict(self, image):
            return image > self.least

    assert len({as_model(Cut(least), name="cut").cache_key() for least in (0.4, 0.4, 0.5)}) == 2


def test_a_custom_model_is_known_by_what_it_holds():
    class Mine(Model):
        def __init__(self, least):
            self.least, self.name = least, "mine"

        def predict(self, images, template):
            return (images[:, 0] > self.least).int()

    assert len({Mine(least).cache_key() for least in (0.5, 0.9, 0.5)}) == 2


# names


def test_each_setting_has_its_own_name(store, case, tmp_path):
    names = [
        name_of(store, case),
        name_of(store, case, values=[0, 91]),
        name_of(store, case, Rotate(fill=0.0)),
        name_of(store, case.replace(image=case.image + 1)),
        name_of(store, case.replace(name="b")),
        name_of(store, case.replace(labels=("bg", "LV"))),
        name_of(open_store(tmp_path / "results", "threshold", 2), case),
    ]
    assert len(set(names)) == 7
    assert name_of(store, case) == names[0]
    assert names[0].startswith("phantom-0.rotation.")


def test_a_column_that_a_transform_needs_is_part_of_the_name_and_others_are_not(store, case):
    @dataclass(frozen=True)
    class Dosed(Intensity):
        name, param, neutral, values, needs_columns = "dosed", "x", 0, (0, 1), ("dose", "scale")

        def change(self, image, value, case):
            return image * (1 - float(case.columns["dose"]) * value / 2)

    dosed = [case.replace(columns=dict(dose=dose, scanner="A")) for dose in ("0", "1")]
    assert case_key(dosed[0]) != case_key(dosed[1]) == case_key(dosed[1].replace(columns=dict(dose="1", scanner="B")))
    assert case_key(case) == case_key(case.replace(columns=dict(scanner="A"))) == case_key(case.replace(columns={}))
    tesla = [case.replace(columns=dict(MagneticFieldStrength=tesla)) for tesla in ("1.5", "3", 3)]
    assert case_key(tesla[0]) != case_key(tesla[1]) == case_key(tesla[2]) != case_key(case)
    # a column does not hide what a case has of the same name
    scaled = [case.replace(scale=scale, columns=dict(scale="x")) for scale in ((0, 1), (0, 2))]
    assert case_key(scaled[0]) != case_key(scaled[1])
    options = dict(labels={1: "LV"}, progress=False)
    kept = [evaluate(bright, one, Dosed(), store=store.folder, **options).score.tolist() for one in (*dosed, dosed[0])]
    assert kept == [evaluate(bright, one, Dosed(), **options).score.tolist() for one in (*dosed, dosed[0])]
    assert kept[0] == kept[2] != kept[1]


def test_needs_columns_of_another_kind():
    with pytest.raises(TypeError, match="needs_columns of Wrong must be the name of a column, or a list of names, got"):

        class Wrong(Intensity):
            needs_columns = (1,)

    class One(Intensity):
        needs_columns = "dose"

    assert One.needs_columns == ("dose",)


def test_another_version_of_misas_finds_no_old_results(store, case, tmp_path, monkeypatch):
    before = name_of(store, case)
    monkeypatch.setattr(misas.core.fingerprint, "__version__", "99.0")
    assert name_of(store, case) != before
    assert open_store(tmp_path / "results", "threshold", 1).settings != store.settings


def bright(image):
    return image > 0.4


def own_transform(code):
    "A custom transform whose method is written anew"
    space = dict(dataclass=dataclass, Intensity=Intensity, __name__="__main__")
    exec(
        "@dataclass(frozen=True)\n"
        "class Own(Intensity):\n"
        "    name, param, neutral, values = 'own', 'x', 0, (0, 1)\n"
        f"    def change(self, image, value, case): return {code}",
        space,
    )
    return space["Own"]()


def test_a_custom_transform_is_known_by_its_code_too(store, case):
    codes = ("image + value", "image - value", "image + value")
    assert len({name_of(store, case, own_transform(code)) for code in codes}) == 2


# files


def test_rows_are_read_as_they_were_written(store, case):
    name = name_of(store, case)
    rows = rows_of(case, Rotate(), [0, 90])
    assert store.read(name) is None
    store.write(name, rows)
    assert store.read(name) == rows
    pd.testing.assert_frame_equal(store.read(name).table(), rows.table())
    assert [path.name for path in store.folder.iterdir()] == ["misas-scores-1.jsonl"]


def test_fields_that_are_lists_and_values_that_are_tuples(store, case):
    both = Compose(Rotate(), Zoom())
    values = [(0, 1), (10, 1.2)]
    names = store.names(case, [(Rotate(axes=[-2, -1]), None), (both, values)])
    assert len(set(names.values())) == 2
    rows = rows_of(case, both, pd.Series(values))
    store.write(names["rotation+zoom"], rows)
    again = store.read(names["rotation+zoom"])
    assert again == rows
    assert [type(v) for v in again.own["value"][1]] == [int, float]


def test_only_what_a_store_has_written_is_cleared_away(store, case):
    store.write(name_of(store, case), rows_of(case, Rotate(), [0, 90]))
    store.note_error(case, ValueError("too small"))
    (store.folder / "mine.jsonl").write_text("[]")
    clear_store(store.folder)
    assert [path.name for path in store.folder.iterdir()] == ["mine.jsonl"]


def test_why_a_case_failed_is_noted_until_it_succeeds(store, case):
    store.note_error(case, ValueError("too small"))
    noted = list(store.folder.glob("*.error.json"))
    assert [json.loads(p.read_text()) for p in noted] == [dict(case="phantom-0", error="ValueError: too small")]
    store.note_error(case, None)
    store.note_error(case, None)
    assert not list(store.folder.iterdir())


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="store must be the path of a folder, not of a file"):
        open_store(file)


def case_file(folder, value, name="m.npy", time=1):
    folder.mkdir(exist_ok=True)
    np.save(folder / name, np.full((4, 4), value))
    os.utime(folder / name, (time, time))
    return CaseFile(str(folder / name), name="x")


def test_files_are_known_by_their_content(tmp_path):
    keys = [case_key(case_file(tmp_path / reader, reader == "r1")) for reader in ("r1", "r2")]
    # of one name, size and time
    assert keys[0] != keys[1]
    # another folder, name and time
    assert case_key(case_file(tmp_path / "r3", True, "other.npy", time=2)) == keys[0]


def test_a_file_that_is_written_anew_is_another_case_whatever_its_time_says(tmp_path):
    keys = [case_key(case_file(tmp_path / "a", value)) for value in (1, 2, 1)]
    assert keys[0] == keys[2] != keys[1]


def test_a_truth_is_no_second_channel(tmp_path):

    paths = [str(tmp_path / name) for name in ("a.npy", "b.npy")]
    for path in paths:
        np.save(path, np.zeros((4, 4)))
    assert case_key(CaseFile(tuple(paths), None, "x")) != case_key(CaseFile((paths[0],), paths[1], "x"))


def test_names_of_any_script_and_length_fit_into_afile_name():

    assert len(file_name("Ж" * 80).encode()) <= 80
    assert file_name("brain 1/2") == "brain_1_2"
    assert file_name(".hidden") == "hidden"
    assert file_name("\udcff") == file_name("") == "_"


def test_a_metric_of_another_family_or_direction_is_another_metric(tmp_path):

    def shared(truth, pred, labels, spacing):
        return [1.0 for _ in labels]

    def doubled(truth, pred, labels, spacing):
        return [2.0 for _ in labels]

    def score(values, absent):
        return values

    found = []
    for family in (shared, doubled):
        metrics = {"mine": Metric("mine", family, score, better="lower")}
        case = phantom((16, 16), seed=1)
        table = evaluate(lambda x: x > 0.5, case, Rotate(), [0], metrics, store=tmp_path, progress=False)
        found.append(table.score.iloc[0])
    assert found == [1.0, 2.0]
