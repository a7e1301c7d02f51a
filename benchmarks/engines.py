"""Measure `evaluate` in each engine against the best bare torch forward.

    python benchmarks/engines.py [--rounds 7] [--threads 1]

All sides take turns, and the median of the ratios of each turn counts. The bare loop runs in a process of its own, as
misas keeps memory for the next image in the process that it runs in. Engines are exported before the first turn; what
that takes is given apart, in forwards of the best bare torch loop.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from functools import partial
from statistics import median

os.environ["TQDM_DISABLE"] = "1"

import torch
from jobs import unet

from misas import as_model, evaluate, phantom

LABELS = {1: "LV", 2: "MY", 3: "RV"}
ENGINES = ("torch", "onnx", "openvino", "auto")
# network, image, and how many values of the sweep
NETWORKS = {
    "2D, 16-32-64-128": (dict(), (256, 256), 72),
    "2D, 32-64-128-256": (dict(widths=(32, 64, 128, 256)), (256, 256), 24),
    "3D, 8-16-32": (dict(widths=(8, 16, 32), dims=3), (48, 64, 64), 24),
}


def seconds(job) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def bare(name, threads):
    "The fastest way to write it: channels last, inference mode, cheap argmax; so many images for each line of input"
    torch.set_num_threads(threads)
    options, shape, _ = NETWORKS[name]
    layout = torch.channels_last if len(shape) == 2 else torch.channels_last_3d
    net, image = unet(**options).to(memory_format=layout), phantom(shape, seed=0).image
    for line in sys.stdin:
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in range(int(line)):
                _ = net(image[None].contiguous(memory_format=layout)).max(1).indices
        print(time.perf_counter() - start, flush=True)


class Bare:
    "The bare loop in a process of its own"

    def __init__(self, name, threads):
        command = [sys.executable, __file__, "--bare", name, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, n) -> float:
        "Seconds for so many images"
        print(n, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def measured(name, rounds, threads) -> dict:
    "Ratio to the bare forward, by engine, and what the export takes"
    options, shape, n = NETWORKS[name]
    case = phantom(shape, seed=0)
    values = [0.5 + k / 50 for k in range(n)]
    models = {engine: as_model(unet(**options), engine=engine, name=engine) for engine in ENGINES}
    jobs = {
        engine: partial(evaluate, model, case, "brightness", values, labels=LABELS, progress=False)
        for engine, model in models.items()
    }
    best = Bare(name, threads)
    best(3)
    first = {engine: seconds(job) for engine, job in jobs.items()}
    turns = [dict(bare=best(n)) | {engine: seconds(job) for engine, job in jobs.items()} for _ in range(rounds)]
    best.process.stdin.close()
    best.process.wait()
    ratios = {name: median(turn[name] / turn["bare"] for turn in turns) for name in jobs}
    forward = median(turn["bare"] for turn in turns) / n
    usual = {name: median(turn[name] for turn in turns) for name in jobs}
    export = {f"export to {name}": (first[name] - usual[name]) / forward for name in ("onnx", "openvino")}
    used = {name: model.engine_used for name, model in models.items()}
    return dict(ratios=ratios, export=export, used=used, forward=forward)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often the sides take turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bare", choices=NETWORKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        return bare(args.bare, args.threads)
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    print("| network | " + " | ".join(ENGINES) + " | export, in forwards |")
    print("| --- |" + " --- |" * (len(ENGINES) + 1))
    for name in NETWORKS:
        result = measured(name, args.rounds, args.threads)
        cells = [f"{result['ratios'][e]:.2f} ({result['used'][e]})" for e in ENGINES]
        export = ", ".join(f"{e.removeprefix('export to ')} {n:.0f}" for e, n in result["export"].items())
        print(f"| {name}, {1000 * result['forward']:.0f} ms | " + " | ".join(cells) + f" | {export} |", flush=True)


if __name__ == "__main__":
    main()
