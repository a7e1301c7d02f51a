"""How long do summaries, comparisons and charts of large score tables take, and how large are they?

    python benchmarks/tables.py [ROWS] [SHAPE ...]

prints for score tables of so many rows (usually 1,000,000) the seconds, those of the processor (fewer where other
programs run) and the GB of memory that each of them takes (of the whole process, table and imports included), and the
MB of each chart. Tables of several shapes: many of everything
("even"), many cases, values, labels, transforms or models, and values that are names.
"""

import os
import resource
import sys
import time

import altair as alt
import numpy as np
import pandas as pd

import misas as ms
from misas.eval.table import COLUMNS

# how many names there are; of cases, as many as it takes
SHAPES = dict(
    even=dict(model=1, transform=10, value=40, label=5, metric=5),
    cases=dict(model=1, transform=1, value=20, label=1, metric=1),
    values=dict(model=1, transform=1, value=1000, label=2, metric=1),
    labels=dict(model=1, transform=2, value=20, label=120, metric=2),
    transforms=dict(model=1, transform=400, value=10, label=3, metric=2),
    models=dict(model=20, transform=3, value=20, label=3, metric=2),
    names=dict(model=1, transform=5, value=12, label=5, metric=2),
)


def table(rows: int, shape: str, model: str = "m") -> pd.DataFrame:
    "A score table: 1 at the value 0, less at others"
    counts = SHAPES[shape]
    cases = max(2, rows // int(np.prod(list(counts.values()))))
    entries = {name: [f"{name} {i}" for i in range(n)] for name, n in dict(counts, case=cases).items()}
    entries["model"] = [f"{model} {i}" for i in range(counts["model"])]
    numbers = np.arange(counts["value"]) - counts["value"] // 2
    names = shape == "names"
    entries["value"] = numbers.astype(float)
    scores = pd.MultiIndex.from_product(entries.values(), names=entries).to_frame(index=False)
    noise = np.random.default_rng(len(model)).uniform(0.2, 0.8, len(scores))
    scores = scores.assign(score=1 - abs(scores.value) / counts["value"] * noise, param="x")[COLUMNS]
    if names:
        scores["value"] = scores.value.map({v: f"setting {v:g}" for v in entries["value"]}).astype(object)
    neutral = "setting 0" if names else 0.0
    facts = dict(param="x", unit="" if names else "°", neutral=neutral, log=False, categorical=names)
    scores.attrs["transforms"] = {name: facts for name in entries["transform"]}
    scores.attrs["metrics"] = {name: dict(unit="", better="higher") for name in entries["metric"]}
    return scores


def told(job) -> str:
    "Seconds and GB of a job, and the MB of the chart that it makes"
    start, before = time.perf_counter(), time.process_time()
    result = job()
    took, worked = time.perf_counter() - start, time.process_time() - before
    size = f" {len(result.to_json()) / 1e6:5.1f} MB" if isinstance(result, alt.TopLevelMixin) else ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return f"{took:6.1f} s {worked:6.1f} s of the processor {peak:4.1f} GB{size}"


def in_own_process(job) -> str:
    "What is told of a job that another process does: its memory is its own"
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            text = told(job)
        except ValueError as error:
            text = f"  not of such a table: {str(error)[:100]}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read) as f:
        text = f.read()
    os.wait()
    return text


def jobs(a: pd.DataFrame, b: pd.DataFrame) -> dict:
    limits = {name: 0.1 for name in a.metric.unique()}
    parts = [part for _, part in a.groupby("case", sort=False)]
    summary = ms.summarise(a, delta=limits)
    return dict(
        summarise=lambda: ms.summarise(a, delta=limits),
        verdicts=lambda: ms.verdicts(summary),
        compare=lambda: ms.compare(a, b, difference=limits),
        pair_scores=lambda: ms.pair_scores(a, b),
        concat_scores=lambda: ms.eval.concat_scores(parts),
        rank_cases=lambda: ms.rank_cases(a),
        spread_scores=lambda: ms.spread_scores(a),
        suggest_augmentation=lambda: ms.suggest_augmentation(summary),
        plot_scores=lambda: ms.plot_scores(a),
        plot_spread=lambda: ms.plot_spread(a),
        plot_boxes=lambda: ms.plot_boxes(a),
        plot_ranked=lambda: ms.plot_ranked(a),
        plot_summary=lambda: ms.plot_summary(summary),
        plot_compare=lambda: ms.plot_compare(a, b),
        plot_deltas=lambda: ms.plot_deltas(a, b, difference=limits),
    )


def main():
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    names = [a for a in sys.argv[1:] if not a.isdigit()]
    ms.plot_scores(table(1000, "even"))  # what is imported once
    ms.plot_compare(table(1000, "even"), table(1000, "even", "other"))
    for shape in names or SHAPES:
        a = table((numbers or [1_000_000])[0], shape)
        b = table(len(a), shape, "other")
        print(f"{shape}: {len(a)} rows, {a.case.nunique()} cases", flush=True)
        start = time.perf_counter()
        todo = jobs(a, b)
        print(f"  (made in {time.perf_counter() - start:.1f} s)")
        for name, job in todo.items():
            print(f"  {name:22}", in_own_process(job), flush=True)


if __name__ == "__main__":
    main()
