"""Measure what a second process gains: the small U-Net over 24 pictures, and a network of 130 MB over 12.

    python benchmarks/processes.py [--rounds 3]

Two cores that nobody else uses are needed for a fair answer. The processes are started, and have imported torch, before
the clock runs; the model is sent within the measured time. One thread for each process on both sides; the sides take
turns, and their medians are divided.
"""

import argparse
import os
import time
import warnings
from statistics import median

os.environ |= dict(TQDM_DISABLE="1", OMP_NUM_THREADS="1")

import torch
from jobs import unet

import misas as ms

VALUES = list(range(-60, 60, 10))


def seconds(model, cases: list, n_jobs: int) -> float:
    begin = time.perf_counter()
    ms.evaluate(model, cases, ["rotation"], VALUES, n_jobs=n_jobs, progress=False)
    return time.perf_counter() - begin


def times_as_fast(model, cases: list, rounds: int) -> float:
    "How many times as fast two processes are"
    for n_jobs in (1, 2):
        seconds(model, cases[:2], n_jobs)
    taken = {1: [], 2: []}
    for _ in range(rounds):
        for n_jobs, times in taken.items():
            times.append(seconds(model, cases, n_jobs))
    return median(taken[1]) / median(taken[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # networks that nobody trained find nothing
    cases = [ms.phantom((256, 256), seed=seed) for seed in range(24)]
    small = unet()
    print(f"small network, 24 cases: {times_as_fast(small, cases, rounds):.2f} times as fast", flush=True)
    large = unet(widths=(64, 128, 256, 512, 1024))
    size = sum(weights.nbytes for weights in large.parameters()) / 1e6
    cases = [ms.phantom((64, 64), seed=seed) for seed in range(12)]
    print(f"network of {size:.0f} MB, 12 cases: {times_as_fast(large, cases, rounds):.2f} times as fast")


if __name__ == "__main__":
    main()
