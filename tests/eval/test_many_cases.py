"Many cases: an interrupted run goes on, and a cluster gives what one process gives"

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest

from misas.all import *
from misas.eval.workers import Shared

CASES, TRANSFORMS, VALUES = 6, ["rotation", "brightness"], dict(rotation=[0, 45, 90], brightness=[0.5, 1, 2])

RUN = """
import sys, time
from misas.all import *
def slow(image):
    with open(sys.argv[2], "a") as log: log.write("x")
    time.sleep(float(sys.argv[3]))
    return image > .5
cases = [phantom((32, 32), seed=s) for s in range(6)]
values = dict(rotation=[0, 45, 90], brightness=[.5, 1, 2])
scores = evaluate(slow, cases, ["rotation", "brightness"], values, store=sys.argv[1], progress=False)
save_scores(scores, sys.argv[1] + ".csv")
"""


def command(tmp_path, pause):
    return [sys.executable, "-c", RUN, str(tmp_path / "store"), str(tmp_path / "log"), str(pause)]


def names_in(store):
    "Names of what is finished, in the order in which it was"
    whole = [path.read_text().rpartition("\n")[0] for path in store.glob("*.jsonl")]
    return [json.loads(line)[0] for text in whole for line in text.splitlines()]


def test_a_killed_run_goes_on(tmp_path):
    store, log = tmp_path / "store", tmp_path / "log"
    process = subprocess.Popen(command(tmp_path, 0.4))
    deadline = time.time() + 120
    while len(names_in(store)) < 5 and time.time() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = names_in(store)
    assert 5 <= len(finished) < 12
    assert not Path(f"{store}.csv").exists()
    before = len(log.read_text())
    subprocess.run(command(tmp_path, 0), check=True)
    assert names_in(store)[: len(finished)] == finished
    assert len(set(names_in(store))) == len(names_in(store)) == 12
    # two predictions per unfinished transform, and one of the unchanged image per case that has any
    per_case = Counter(name.split(".")[0] for name in finished)
    open_cases = CASES - sum(n == 2 for n in per_case.values())
    assert len(log.read_text()) - before == 2 * (12 - len(finished)) + open_cases
    table = read_scores(f"{store}.csv")
    assert len(table) == len(table.drop_duplicates(["case", "transform", "value", "label", "metric"]))
    fresh = evaluate(bright, [phantom((32, 32), seed=s) for s in range(CASES)], TRANSFORMS, VALUES, progress=False)
    assert np.allclose(table.score, fresh.score, equal_nan=True)
    assert table.case.tolist() == fresh.case.tolist()


def bright(image):
    return image > 0.5


def test_a_cluster_gives_the_same():
    distributed = pytest.importorskip("dask.distributed")
    cases = [phantom((48, 48), seed=s) for s in range(4)]

    def table():
        return evaluate(demo_model(), cases, TRANSFORMS, VALUES, n_jobs=-1, progress=False)

    alone = evaluate(demo_model(), cases, TRANSFORMS, VALUES, progress=False)
    for workers in (1, 2):
        with (
            distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster),
            joblib.parallel_config(backend="dask"),
        ):
            assert table().equals(alone), f"{workers} workers"


RAY = """
import joblib, ray
import misas as ms
from ray.util.joblib import register_ray

ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
register_ray()
cases = [ms.phantom((48, 48), seed=seed) for seed in range(4)]
settings = dict(transforms=["rotation", "brightness"], values=dict(rotation=[0, 90], brightness=[0.5, 1]))
settings |= dict(progress=False)
alone = ms.evaluate(ms.demo_model(), cases, **settings)
with joblib.parallel_config(backend="ray"):
    together = ms.evaluate(ms.demo_model(), cases, n_jobs=-1, **settings)
assert together.equals(alone) and together.attrs == alone.attrs

# what a task carries is where Ray keeps the model, and no model
from misas.eval.workers import Shared

shared = Shared(bytes(8_000_000))
shared.put_into_ray()
assert len(ray.cloudpickle.dumps(shared)) < 10_000
assert ray.get(ray.remote(lambda sent: len(sent.get())).remote(shared)) == 8_000_000
"""


@pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed")
def test_a_ray_cluster_gives_the_same():
    # in a process of its own: Ray leaves threads behind
    subprocess.run([sys.executable, "-c", RAY], check=True, timeout=300)


class Counted:
    "A model that notes in a file that a process got it"

    name = "counted"

    def __init__(self, log):
        self.log = str(log)
        self.weights = np.zeros(1_000_000)

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\n")

    def predict(self, image):
        return np.asarray(image) > 0.5


def test_each_worker_of_a_cluster_gets_the_model_once(tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    cases = [phantom((16, 16), seed=s) for s in range(12)]
    model = Counted(tmp_path / "log")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        evaluate(model, cases, "brightness", [0.5, 1], n_jobs=-1, progress=False)
    processes = (tmp_path / "log").read_text().split()
    assert 1 <= len(processes) <= 2 and len(set(processes)) == len(processes)
    # joblib sends what is larger than 1 kB once to each worker of dask, instead of with each case
    assert sys.getsizeof(Shared(model)) > 8_000_000


def test_two_processes_give_the_same():
    cases = [phantom((48, 48), seed=s) for s in range(3)]
    assert evaluate(demo_model(), cases, TRANSFORMS, VALUES, n_jobs=2, progress=False).equals(
        evaluate(demo_model(), cases, TRANSFORMS, VALUES, progress=False)
    )


class Picture:
    def predict(self, image):
        return np.asarray(image.convert("L")) > 127


def test_a_folder_of_real_images(data, tmp_path):
    settings = dict(values=[0.5, 1], labels={1: "LV"}, store=tmp_path, progress=False)
    scores = evaluate(Picture(), data / "cardiac", "brightness", **settings)
    assert scores.case.nunique() == 5
    assert scores.case.str.startswith("transversal").sum() == 8
    assert scores.attrs["errors"] == []
    # the short-axis image has colours, which this function does not expect: it fails alone
    with pytest.warns(UserWarning, match=r"1 of 5 cases failed, the first one 'sax'.*\(256, 230, 3\)"):
        scores = evaluate(bright, data / "cardiac", "brightness", **settings)
    assert scores.case.nunique() == 4 and scores.attrs["errors"][0]["case"] == "sax"


def test_relative_paths_reach_other_processes(tmp_path, monkeypatch):
    "Processes that were started elsewhere find the images and the store"
    from PIL import Image

    (tmp_path / "images").mkdir()
    for seed in (0, 1):
        pixels = (phantom((32, 32), seed=seed).image[0] * 255).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / "images" / f"{seed}.png")
    monkeypatch.chdir(tmp_path.parent)
    # starts the processes
    evaluate(bright, [phantom((32, 32), seed=s) for s in (0, 1)], "brightness", [1], n_jobs=2, progress=False)
    monkeypatch.chdir(tmp_path)
    scores = evaluate(Picture(), "images", "brightness", [0.5, 1], store="results", n_jobs=2, progress=False)
    assert scores.case.unique().tolist() == ["0", "1"]
    assert len(names_in(tmp_path / "results")) == 2


def test_tasks_of_a_job_array_share_a_store(tmp_path, monkeypatch):
    "Each takes every third case; what reads the whole computes nothing"
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for k in range(7):
        Image.fromarray(rng.integers(0, 255, (16, 16)).astype(np.uint8)).save(f"{k}.png")
        Image.fromarray(rng.integers(0, 2, (16, 16)).astype(np.uint8)).save(f"{k}_mask.png")
    lines = [f"{k}.png,{k}_mask.png" for k in range(7)]
    Path("cases.csv").write_text("\n".join(["image,truth", *lines]))

    class Above:
        name = "above"

        def predict(self, image):
            with open("calls", "a") as file:
                file.write("x")
            return np.asarray(image) > 127

    def count():
        return len(Path("calls").read_text())

    model = as_model(Above())
    settings = dict(transforms="brightness", values=[0.5, 1], labels={1: "LV"}, store="results", progress=False)
    for task in range(3):
        evaluate(model, read_cases("cases.csv")[task::3], **settings)
    assert count() == 14
    whole = evaluate(model, read_cases("cases.csv"), **settings)
    assert count() == 14
    assert whole.case.unique().tolist() == list("0123456")
