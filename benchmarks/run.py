"""Measure misas against the bare model and against misas 0.1.1, and write RESULTS.md.

    python benchmarks/run.py

Every figure is a ratio measured in one run: the two sides take turns, at least five times, and the medians are divided.
The bare loops run in processes of their own, for misas sets how memory is allocated in the process that it runs in.
misas 0.1.1 gets a virtual environment of its own (.bench/, kept for the next run) with the same torch, Pillow and matplotlib.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from itertools import cycle
from pathlib import Path
from statistics import median

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
from jobs import SIZE, STEPS, trained, unet

from misas.all import *

HERE = Path(__file__).parent
LABELS = ["bg", "LV", "MY", "RV"]


# ---- taking turns


def clock(job) -> float:
    "Seconds that a job takes; one that answers with seconds was timed elsewhere"
    start = time.perf_counter()
    answer = job()
    return answer if isinstance(answer, float) else time.perf_counter() - start


def turns(jobs: dict, rounds: int) -> dict:
    "Median seconds of each job; the jobs take turns, after one warm-up each"
    for job in jobs.values():
        job()
    times = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].append(clock(job))
    return {name: median(t) for name, t in times.items()}


class Other:
    "One side of a comparison, in a process of its own"

    def __init__(self, python, script, image, mask, threads):
        self.data = tempfile.NamedTemporaryFile(suffix=".npz")
        np.savez(self.data, image=image, mask=mask)
        self.data.flush()
        self.process = subprocess.Popen(
            [python, HERE / script, self.data.name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, name, **options) -> float:
        "Seconds that a job took there"
        print(json.dumps(dict(name=name, **options)), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


class InTurn:
    "Several processes that do the same, one after the other: by chance the C library lays out memory better in one than in the next"

    def __init__(self, name, others):
        self.name, self.others = name, cycle(others)
        for other in others:
            other(name, n=9)  # warm

    def __call__(self, **options) -> float:
        return next(self.others)(self.name, **options)


def environment() -> Path:
    "Python of an environment that has misas 0.1.1 and, for the rest, the libraries of this one"
    folder = HERE.parent / ".bench"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "misas==0.1.1"], check=True)
        site = subprocess.run(
            [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
        ).stdout.strip()
        Path(site, "zz_shared.pth").write_text(str(Path(np.__file__).parents[1]))
    return python


# ---- jobs


def model_of(net, size=None):
    "The network as misas takes it, with pictures from 0 to 255 and, where it must be, of one size"
    prepare = None if size is None else lambda case: Resize()(case, size) if max(case.shape) != size else case
    return as_model(net, preprocess=lambda x: x / 255, prepare=prepare)


def workflow(model, case, folder):
    "Overlays, a GIF, Dice, precision and recall of each label, for five transforms"
    for name in ("rotation", "zoom", "brightness", "contrast", "spike"):
        series = get_series(model, case, name, STEPS[name][0])
        plot_series(series[:: max(1, len(series) // 8)][:9]).savefig(folder / f"{name}.png")
        gif_series(series, folder / f"{name}.gif")
        score(series, ["dice", "precision", "recall"], LABELS)


def against_bare(case, bare, rounds) -> list:
    "(a) and (b): evaluate against the bare loop of as many forwards, as users write it and at its best"
    net, rows = unet(), []
    eager, best = InTurn("eager", bare), InTurn("best", bare)
    for name in ("rotation", "brightness", "spike"):
        values = [v + 1e-3 * k for k in range(1, 10) for v in STEPS[name][0]][
            :72
        ]  # all different and none neutral: 72 forwards for everyone
        t = turns(
            {
                "evaluate": lambda: evaluate(model_of(net), case, name, values, labels=LABELS),
                "eager": lambda: eager(n=72),
                "best": lambda: best(n=72),
            },
            rounds,
        )
        rows.append((name, t["evaluate"] / t["eager"], t["evaluate"] / t["best"], t["evaluate"]))
    return rows


def same_labels(case) -> float:
    "Share of pixels to which evaluate's engine and the plain eager forward give the same label"
    net = unet()
    series = get_series(model_of(net), case, "rotation", list(range(0, 360, 5)))
    with torch.no_grad():
        plain = torch.cat([net(s.image[None] / 255).argmax(1) for s in series])
    return (torch.stack([s.pred for s in series]) == plain).float().mean().item()


def against_old(case, old, rounds) -> list:
    "(c): every transform that both have"
    model, rows = model_of(unet(), SIZE), []
    for name, (values, *_) in STEPS.items():
        t = turns(
            {
                "misas": lambda: evaluate(model, case, name, values, labels=LABELS),
                "misas 0.1.1": lambda: old(name),
                "misas 0.1.1, cheap argmax": lambda: old(name, cheap=True),
            },
            rounds,
        )
        rows.append((name, len(values), t["misas 0.1.1"] / t["misas"], t["misas 0.1.1, cheap argmax"] / t["misas"]))
        print(rows[-1], flush=True)
    return rows


def workflows(case, old, rounds) -> dict:
    "(d) and (e), with a trained network; the animation also with the speckled masks of one that is not"
    model, result = model_of(trained(), SIZE), {}
    series = {
        name: get_series(model_of(net), case, "rotation", list(range(0, 360, 10)))
        for name, net in {"gif": trained(), "noisy gif": unet()}.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        jobs = {"workflow": lambda: workflow(model, case, Path(folder))} | {
            name: lambda s=s: gif_series(s, Path(folder) / "x.gif") for name, s in series.items()
        }
        for name, job in jobs.items():
            t = turns({"misas": job, "misas 0.1.1": lambda: old(name)}, rounds)
            result[name] = t["misas 0.1.1"] / t["misas"], t["misas"]
    return result


def bfloat16(rounds) -> dict:
    "What `autocast=torch.bfloat16` costs in Dice and saves in time, with the demo model on 20 phantoms"
    cases = [phantom((192, 192), seed=s) for s in range(900, 920)]
    models = {"float32": as_model(demo_model()), "bfloat16": as_model(demo_model(), autocast=torch.bfloat16)}
    job = {
        k: lambda m=m: evaluate(m, cases, "rotation", [-20, 0, 20], labels={1: "LV", 2: "MY", 3: "RV"}, progress=False)
        for k, m in models.items()
    }
    scores, t = {k: j().score for k, j in job.items()}, turns(job, rounds)
    return dict(
        mean=scores["bfloat16"].mean() - scores["float32"].mean(),
        largest=(scores["bfloat16"] - scores["float32"]).abs().max(),
        time=t["bfloat16"] / t["float32"],
    )


# ---- memory, import, growth: each in a fresh process

CHILD = """
import os, sys; os.environ["TQDM_DISABLE"] = "1"; sys.path[:0] = [{here!r}]
import torch; torch.set_num_threads({threads})
from jobs import unet
from misas.all import *
# a volume of noise: making a phantom of that size would take more memory than the sweep
case = phantom({shape}, seed=0) if len({shape}) == 2 else Case(torch.rand(1, *{shape}), truth=(4 * torch.rand({shape})).int(), spacing=(1.2, 1, 1))
net = unet() if case.ndim == 2 else (lambda x: x[0] > .5)
evaluate(net, case, "rotation" if case.ndim == 2 else Rotate3D(axis=(1, 2, .5)), [k * 360 / {steps} for k in range({steps})])
# not getrusage: its maximum is handed down from the process that started this one
print(int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) / 1024)
"""


def peak(shape, steps, threads) -> float:
    "Peak resident memory in MB of a process that evaluates so many rotations"
    code = CHILD.format(here=str(HERE), threads=threads, shape=shape, steps=steps)
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def import_seconds(what, rounds) -> float:
    "Median wall seconds of a fresh process that imports it"
    return median(
        clock(lambda: subprocess.run([sys.executable, "-c", f"import {what}"], check=True)) for _ in range(rounds)
    )


def growth(rounds) -> list:
    "(h): seconds of evaluate as one thing grows"
    net, rows = unet(), []

    def seconds(n=256, steps=24, labels=4, cases=1):
        several = [phantom((n, n), seed=s) for s in range(cases)]
        return median(
            clock(
                lambda: evaluate(
                    net, several, "rotation", [k + 0.5 for k in range(steps)], labels={i: str(i) for i in range(labels)}
                )
            )
            for _ in range(rounds)
        )

    for what, sizes in dict(steps=(12, 24, 48, 96), n=(128, 256, 512), labels=(2, 8, 32), cases=(1, 2, 4)).items():
        rows += [(what, size, seconds(**{what: size})) for size in sizes]
    return rows


# ---- report


def table(head, rows) -> str:
    cells = [[f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *cells])


def machine(threads) -> str:
    cpu = (
        next(
            (
                l.split(":")[1].strip()
                for l in Path("/proc/cpuinfo").read_text().splitlines()
                if l.startswith("model name")
            ),
            platform.processor(),
        )
        if Path("/proc/cpuinfo").exists()
        else platform.processor()
    )
    return (
        f"{cpu}, {threads} threads, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often the sides take turns")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    heart = phantom((SIZE, SIZE), seed=0)
    image, mask = (heart.image[0] * 255).byte().numpy(), heart.truth.byte().numpy()
    case = load_case(image, mask)
    bare, old = (
        [Other(sys.executable, "bare.py", image, mask, args.threads) for _ in range(args.rounds)],
        Other(environment(), "old.py", image, mask, args.threads),
    )
    ab, same = against_bare(case, bare, args.rounds), same_labels(case)
    print(ab, same, flush=True)
    c, de = against_old(case, old, args.rounds), workflows(case, old, args.rounds)
    print(de, flush=True)
    b16 = bfloat16(args.rounds)
    print(b16, flush=True)
    few, many = peak((512, 512), 36, args.threads), peak((512, 512), 360, args.threads)
    deep = peak((160, 256, 256), 12, args.threads), peak((160, 256, 256), 90, args.threads)
    imports = {what: import_seconds(what, args.rounds) for what in ("torch", "torch, misas", "misas.all")}
    h = growth(args.rounds)
    (HERE / "RESULTS.md").write_text(report(args, ab, same, c, de, b16, (few, many), deep, imports, h))
    draw(ab, c, h)


def report(args, ab, same, c, de, b16, flat, deep, imports, h) -> str:
    return "\n\n".join(
        [
            "# Benchmarks",
            f"Made by `python benchmarks/run.py`; {machine(args.threads)}. Each ratio is of medians of {args.rounds} turns taken in one run. The network is a U-Net with 16-32-64-128 channels, the image a phantom of {SIZE} × {SIZE} pixels.",
            "## evaluate against the bare model, 72 images",
            "A ratio of 1 is the cost of the forwards alone. *Eager*: float32, NCHW, `argmax(1)`, as most users write it. *Best*: channels_last, inference mode, `max(1).indices`. Both run in processes of their own, each turn in another one, which leave memory to the C library; misas keeps what one image frees for the next one (`misas.allocation`), so that its ratio can be below 1.",
            table(["transform", "evaluate / eager", "evaluate / best", "evaluate, s"], ab),
            f"Same label as the eager forward: {same:.4%} of pixels.",
            "## Faster than misas 0.1.1, times",
            table(["transform", "steps", "wrapper as documented", "wrapper with cheap argmax"], c),
            f"Workflow (rotation, zoom, brightness, contrast, spike; each with overlays, a GIF, and Dice, precision and recall of four labels; the network that ships with misas): {de['workflow'][0]:.1f} times. "
            f"GIF of 36 frames: {de['gif'][0]:.1f} times ({de['gif'][1]:.2f} s); with the speckled masks of an untrained network {de['noisy gif'][0]:.1f} times ({de['noisy gif'][1]:.2f} s).",
            f"bfloat16 (`as_model(net, autocast=torch.bfloat16)`, off by default): Dice changes by {b16['mean']:+.4f} on average and by at most {b16['largest']:.4f}, and the sweep takes {b16['time']:.2f} times as long as in float32.",
            "## Memory and import",
            f"Peak memory of `evaluate` at 512 × 512: {flat[0]:.0f} MB for 36 steps, {flat[1]:.0f} MB for 360 (ratio {flat[1] / flat[0]:.3f}). A volume of 160 × 256 × 256 (image and truth together 84 MB), rotated about an oblique axis, its model a threshold: {deep[0]:.0f} MB for 12 steps, {deep[1]:.0f} MB for 90 (ratio {deep[1] / deep[0]:.3f}).",
            f"Import, fresh process: torch {imports['torch']:.2f} s, torch and misas {imports['torch, misas']:.2f} s, `misas.all` {imports['misas.all']:.2f} s.",
            "## Growth",
            table(["what grows", "to", "seconds"], h),
            "![Speed-ups and growth](results.png)",
            "",
        ]
    )


def draw(ab, c, h):
    from matplotlib.figure import Figure

    fig = Figure(figsize=(11, 4), layout="constrained")
    left, right = fig.subplots(1, 2)
    left.barh([r[0] for r in c], [r[2] for r in c], color="#0072B2")
    left.axvline(1, color="black", lw=0.8)
    left.set(title="Faster than misas 0.1.1", xlabel="times")
    left.invert_yaxis()
    called = dict(steps="steps", n="pixels along each side", labels="labels", cases="cases")
    for (what, name), colour, marker in zip(called.items(), OKABE_ITO, "osD^"):
        xs, ys = zip(*[(x, y) for w, x, y in h if w == what])
        right.plot([x / xs[0] for x in xs], [y / ys[0] for y in ys], marker=marker, color=colour, label=name)
    right.set(title="Growth of cost", xlabel="times as many", ylabel="times as long", xscale="log", yscale="log")
    right.legend(loc="center right", bbox_to_anchor=(1, 0.32))
    fig.savefig(HERE / "results.png", dpi=90)


if __name__ == "__main__":
    main()
