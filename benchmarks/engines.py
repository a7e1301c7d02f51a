"""Measure `evaluate` in each engine against the best bare torch forward.

    python benchmarks/engines.py [--rounds 7] [--threads 1] [--bits]

All sides take turns, and the median of the ratios of each turn counts. The bare loop runs in a process of its own, as
misas keeps memory for the next image in the process that it runs in. Engines are exported before the first turn; what
that takes is given apart, in forwards of the best bare torch loop.

With --bits: engines in fewer bits than 32, and what they cost. The networks learn from phantoms for a minute first.
Dice is that of sweeps over other phantoms, with their truth; agreement is Dice between masks and those of torch in
32 bits.
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
BITS = {
    "torch": dict(),
    "openvino": dict(engine="openvino"),
    "torch, autocast=bfloat16": dict(autocast=torch.bfloat16),
    "openvino-bf16": dict(engine="openvino-bf16"),
    "openvino-int8": dict(engine="openvino-int8"),
    "onnx-int8": dict(engine="onnx-int8"),
}
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


def measured(name, rounds, threads, ways, net=None) -> dict:
    "Ratio to the bare forward, by engine, and what the export takes"
    options, shape, n = NETWORKS[name]
    case = phantom(shape, seed=0)
    values = [0.5 + k / 50 for k in range(n)]
    models = {way: as_model(net or unet(**options), name=way, **own) for way, own in ways.items()}
    jobs = {
        way: partial(evaluate, model, case, "brightness", values, labels=LABELS, progress=False)
        for way, model in models.items()
    }
    best = Bare(name, threads)
    best(3)
    first = {way: seconds(job) for way, job in jobs.items()}
    turns = [dict(bare=best(n)) | {way: seconds(job) for way, job in jobs.items()} for _ in range(rounds)]
    best.process.stdin.close()
    best.process.wait()
    ratios = {name: median(turn[name] / turn["bare"] for turn in turns) for name in jobs}
    forward = median(turn["bare"] for turn in turns) / n
    usual = {name: median(turn[name] for turn in turns) for name in jobs}
    exported = [name for name in ("onnx", "openvino") if name in jobs]
    export = {f"export to {name}": (first[name] - usual[name]) / forward for name in exported}
    used = {name: model.engine_used for name, model in models.items()}
    return dict(ratios=ratios, export=export, used=used, forward=forward)


def taught(name, seconds_to_learn=60) -> torch.nn.Module:
    "A network that has learned from phantoms for a minute, as an untrained one has no masks that would tell anything"
    options, shape, _ = NETWORKS[name]
    net = unet(**options).train()
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    side = 128 if len(shape) == 2 else 32
    cases = [phantom((side,) * len(shape), seed=seed) for seed in range(64)]
    loss, start, step = torch.nn.CrossEntropyLoss(), time.perf_counter(), 0
    while time.perf_counter() - start < seconds_to_learn:
        batch = [cases[(4 * step + k) % len(cases)] for k in range(4)]
        optimiser.zero_grad()
        images, truth = (torch.stack([getattr(case, part) for case in batch]) for part in ("image", "truth"))
        loss(net(images), truth.long()).backward()
        optimiser.step()
        step += 1
    return net.eval()


def costs(name, net) -> dict:
    "Dice of sweeps, its worst change by a single score, and agreement with torch, by engine"
    side = 128 if len(NETWORKS[name][1]) == 2 else 32
    cases = [phantom((side,) * len(NETWORKS[name][1]), seed=seed) for seed in range(100, 112)]
    sweeps = dict(rotation=[-30, 0, 30], brightness=[0.7, 1, 1.3])
    models = [as_model(net, name=way, **own) for way, own in BITS.items()]
    table = evaluate(models, cases, list(sweeps), sweeps, labels=LABELS, progress=False)
    scores = {way: own.reset_index(drop=True).score for way, own in table.groupby("model", sort=False, observed=True)}
    # masks of torch in place of the truth
    exact = [case.replace(truth=models[0](case.image[None], case)[0]) for case in cases]
    same = evaluate(models, exact, labels=LABELS, progress=False).groupby("model", observed=True).score.mean()
    return {
        way: dict(
            dice=own.mean(), change=(own - scores["torch"]).mean(), worst=(own - scores["torch"]).min(), same=same[way]
        )
        for way, own in scores.items()
    }


def show_bits(rounds, threads):
    "A table for each network"
    for name in NETWORKS:
        net = taught(name)
        found, cost = measured(name, rounds, threads, BITS, net), costs(name, net)
        print(f"\n{name}: best bare torch forward {1000 * found['forward']:.0f} ms\n")
        print("| engine | time / bare forward | time / torch | Dice | change of Dice, worst | agreement with torch |")
        print("| --- |" + " --- |" * 5)
        for way, ratio in found["ratios"].items():
            own = cost[way]
            cells = [f"{ratio:.2f}", f"{ratio / found['ratios']['torch']:.2f}", f"{own['dice']:.4f}"]
            cells += [f"{own['change']:+.4f}, {own['worst']:+.3f}", f"{own['same']:.4f}"]
            print(f"| {way} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often the sides take turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bits", action="store_true", help="engines in fewer bits, and what they cost in Dice")
    parser.add_argument("--bare", choices=NETWORKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        return bare(args.bare, args.threads)
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    if args.bits:
        return show_bits(args.rounds, args.threads)
    print("| network | " + " | ".join(ENGINES) + " | export, in forwards |")
    print("| --- |" + " --- |" * (len(ENGINES) + 1))
    for name in NETWORKS:
        result = measured(name, args.rounds, args.threads, {engine: dict(engine=engine) for engine in ENGINES})
        cells = [f"{result['ratios'][e]:.2f} ({result['used'][e]})" for e in ENGINES]
        export = ", ".join(f"{e.removeprefix('export to ')} {n:.0f}" for e, n in result["export"].items())
        print(f"| {name}, {1000 * result['forward']:.0f} ms | " + " | ".join(cells) + f" | {export} |", flush=True)


if __name__ == "__main__":
    main()
