"""How does the time of a summary, a comparison and a chart grow with the score table?

    python benchmarks/tables.py [ROWS ...]

prints seconds for tables of 10,000, 100,000 and 1,000,000 rows, made of 10 transforms, 40 values, 5 labels, 5 metrics
and as many cases as it takes.
"""

import sys
import time

import numpy as np
import pandas as pd

from misas import compare, concat_scores, plot_boxes, plot_scores, plot_spread, rank_cases, spread_scores, summarise
from misas.eval.table import COLUMNS

FACTS = dict(param="x", unit="°", neutral=0.0, log=False, categorical=False)


def table(rows: int, model: str = "m") -> pd.DataFrame:
    "A score table: 1 at the value 0, less at others"
    cases = max(1, rows // (10 * 40 * 5 * 5))
    names = {name: [f"{name} {i}" for i in range(n)] for name, n in dict(case=cases, transform=10).items()}
    names["value"] = np.arange(40) - 20.0
    names |= {name: [f"{name} {i}" for i in range(5)] for name in ("label", "metric")}
    scores = pd.MultiIndex.from_product(names.values(), names=names).to_frame(index=False)
    noise = np.random.default_rng(0).uniform(0.2, 0.8, len(scores))
    scores = scores.assign(score=1 - abs(scores.value) / 40 * noise, model=model, param="x")[COLUMNS]
    scores.attrs["transforms"] = {name: FACTS for name in names["transform"]}
    scores.attrs["metrics"] = {name: dict(unit="", better="higher") for name in names["metric"]}
    return scores


def seconds(job) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def main():
    sizes = [int(n) for n in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    summarise(table(10_000))  # what is imported once
    for rows in sizes:
        a = table(rows)
        b = table(rows, "other")
        parts = [part for _, part in a.groupby("case", sort=False)]
        limits = {name: 0.1 for name in a.metric.unique()}
        jobs = dict(
            summarise=lambda a=a, limits=limits: summarise(a, delta=limits),
            compare=lambda a=a, b=b, limits=limits: compare(a, b, difference=limits),
            concat_scores=lambda parts=parts: concat_scores(parts),
            rank_cases=lambda a=a: rank_cases(a),
            spread_scores=lambda a=a: spread_scores(a),
            plot_scores=lambda a=a: plot_scores(a),
            plot_spread=lambda a=a: plot_spread(a),
            plot_boxes=lambda a=a: plot_boxes(a),
        )
        print(f"{len(a):>9} rows:", *(f"{name} {seconds(job):.1f} s," for name, job in jobs.items()), flush=True)


if __name__ == "__main__":
    main()
