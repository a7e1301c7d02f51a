"""What a case costs beside the model, and what that means for a million cases.

    python benchmarks/scaling.py --cases 2000

A sweep over many small cases costs, for each case, time in the process that runs the model (`worker`) and time in the
one that gathers the tables (`parent`). With W workers it takes about

    start + cases * max(worker / W, parent)

The two are measured with one process; the formula is then held against a run with two, and put to a million cases.
"""

import argparse
import json
import os
import tempfile
import time

os.environ |= dict(TQDM_DISABLE="1", OMP_NUM_THREADS="1")

import numpy as np

import misas as ms
import misas.eval.scoring as scoring

VALUES = [0.9, 1, 1.1]


class Above:
    "A model of a given time"

    name = "above"

    def __init__(self, seconds):
        self.seconds = seconds

    def predict(self, image):
        until = time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            pass
        return np.asarray(image) > 0.5


def cases(count, side=32):
    rng = np.random.default_rng(0)
    images = rng.random((count, side, side), dtype=np.float32)
    truths = (rng.random((count, side, side)) > 0.5).astype(np.uint8)
    return [ms.load_case(images[k], truths[k], name=f"case {k}") for k in range(count)]


def timed(model, chosen, **settings):
    begin = time.perf_counter()
    table = ms.evaluate(model, chosen, ["brightness"], VALUES, labels={1: "LV"}, progress=False, **settings)
    return time.perf_counter() - begin, table


def time_in_workers():
    "Let `evaluate` add up the time of its cases"
    spent = [0.0]
    own = scoring.evaluate_case

    def evaluate_case(*arguments):
        begin = time.perf_counter()
        try:
            return own(*arguments)
        finally:
            spent[0] += time.perf_counter() - begin

    scoring.evaluate_case = evaluate_case
    return spent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0.005, help="of the model, for one image")
    options = parser.parse_args()
    chosen = cases(options.cases)
    count = len(chosen)

    spent = time_in_workers()
    with tempfile.TemporaryDirectory() as folder:
        whole, first = timed(Above(0), chosen, store=folder)
        files = len(os.listdir(folder))
        worker, parent = spent[0] / count, (whole - spent[0]) / count
        again, second = timed(Above(0), chosen, store=folder)
    assert first.equals(second)
    found = dict(
        worker_ms=worker * 1e3,
        parent_ms=parent * 1e3,
        files=files,
        reopen_10000_cases_s=again / count * 10_000,
    )

    # the processes are started before the clock runs
    timed(Above(options.seconds), chosen[:200], n_jobs=2)
    model = options.seconds * len(VALUES)
    few = chosen[: min(count, 400)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        alone, _ = timed(Above(options.seconds), few, store=one)
        pair, _ = timed(Above(options.seconds), few, store=two, n_jobs=2)
    found["two_processes"] = dict(
        times_as_fast=alone / pair,
        formula=(worker + model + parent) / max((worker + model) / 2, parent),
    )
    for seconds in (0.05, 1.0):
        case = worker + seconds * len(VALUES)
        hours = {str(w): 1e6 * max(case / w, parent) / 3600 for w in (1, 8, 64, 512)}
        found[f"hours_for_a_million_cases_of_{len(VALUES)}_images_at_{seconds:g}_s"] = hours
        found[f"workers_that_one_parent_serves_at_{seconds:g}_s"] = round(case / parent)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
