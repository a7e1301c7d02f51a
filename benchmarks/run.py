"""Measure misas against the bare model and against misas 0.1.1, and write SWEEPS.md.

    python benchmarks/run.py            # an hour
    python benchmarks/run.py --quick    # a minute: rotation against misas 0.1.1, printed only

Every figure is a ratio measured in one run: the two sides take turns, at least five times, and the medians are divided.
The bare loops run in processes of their own, as misas keeps memory for the next image in the process that it runs in.
misas 0.1.1 gets a virtual environment of its own (.bench/, kept for the next run) with the same torch, Pillow and
matplotlib.
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
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
from jobs import SIZE, STEPS, trained, unet

from misas import (
    Resize,
    as_model,
    demo_model,
    evaluate,
    get_series,
    gif_series,
    load_case,
    phantom,
    plot_series,
    score,
)
from misas.plot.colours import OKABE_ITO

HERE = Path(__file__).parent
LABELS = ["bg", "LV", "MY", "RV"]


# ---- taking turns


def clock(job) -> float:
    "Seconds that a job takes; one that returns seconds was timed elsewhere"
    start = time.perf_counter()
    result = job()
    return result if isinstance(result, float) else time.perf_counter() - start


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
        command = [python, HERE / script, self.data.name, str(threads)]
        # a misas that PYTHONPATH finds would stand before the one of the other environment
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own)

    def __call__(self, name, **options) -> float:
        "Seconds that a job took there"
        print(json.dumps(dict(name=name, **options)), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


class InTurn:
    "Several processes that do the same, one after the other: memory is laid out better in one than in the next"

    def __init__(self, name, others):
        self.name = name
        self.others = cycle(others)
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
        find_site = [python, "-c", "import site; print(site.getsitepackages()[0])"]
        site = subprocess.run(find_site, capture_output=True, text=True, check=True).stdout.strip()
        Path(site, "zz_shared.pth").write_text(str(Path(np.__file__).parents[1]))
    return python


# ---- jobs


def model_of(net, size=None):
    "The network as misas takes it, with pictures from 0 to 255 and, where it must be, of one size"

    def resized(case):
        return Resize()(case, size) if max(case.shape) != size else case

    return as_model(net, preprocess=lambda x: x / 255, prepare=None if size is None else resized)


def workflow(model, case, folder):
    "Overlays, a GIF, Dice, precision and recall of each label, for five transforms"
    for name in ("rotation", "zoom", "brightness", "contrast", "spike"):
        series = get_series(model, case, name, STEPS[name][0])
        plot_series(series[:: max(1, len(series) // 8)][:9]).savefig(folder / f"{name}.png")
        gif_series(series, folder / f"{name}.gif")
        score(series, ["dice", "precision", "recall"], LABELS)


def different_values(name) -> list:
    "72 values of which no two are equal and none is neutral: as many forwards for everyone"
    values = [v + 1e-3 * k for k in range(1, 10) for v in STEPS[name][0]]
    return values[:72]


def evaluate_anew(net, case, name, values):
    "With a model made for this call"
    evaluate(model_of(net), case, name, values, labels=LABELS)


def against_bare(case, bare, rounds) -> list:
    "(a) and (b): evaluate against the bare loop of as many forwards, as users write it and at its best"
    net = unet()
    eager = InTurn("eager", bare)
    best = InTurn("best", bare)
    rows = []
    for name in ("rotation", "brightness", "spike"):
        jobs = {
            "evaluate": partial(evaluate_anew, net, case, name, different_values(name)),
            "eager": partial(eager, n=72),
            "best": partial(best, n=72),
        }
        t = turns(jobs, rounds)
        rows.append((name, t["evaluate"] / t["eager"], t["evaluate"] / t["best"], t["evaluate"]))
    return rows


def same_labels(case) -> float:
    "Share of pixels to which evaluate's engine and the plain eager forward give the same label"
    net = unet()
    series = get_series(model_of(net), case, "rotation", list(range(0, 360, 5)))
    with torch.no_grad():
        plain = torch.cat([net(s.image[None] / 255).argmax(1) for s in series])
    return (torch.stack([s.pred for s in series]) == plain).float().mean().item()


def against_old(case, old, rounds, names=(*STEPS,)) -> list:
    "(c): every transform that both have"
    model = model_of(unet(), SIZE)
    rows = []
    for name in names:
        values = STEPS[name][0]
        jobs = {
            "misas": partial(evaluate, model, case, name, values, labels=LABELS),
            "misas 0.1.1": partial(old, name),
            "misas 0.1.1, cheap argmax": partial(old, name, cheap=True),
        }
        t = turns(jobs, rounds)
        rows.append((name, len(values), t["misas 0.1.1"] / t["misas"], t["misas 0.1.1, cheap argmax"] / t["misas"]))
        print(rows[-1], flush=True)
    return rows


def workflows(case, old, rounds) -> dict:
    "(d) and (e), with a trained network; the animation also with the speckled masks of one that is not"
    angles = list(range(0, 360, 10))
    trained_model = model_of(trained(), SIZE)
    smooth = get_series(trained_model, case, "rotation", angles)
    speckled = get_series(model_of(unet(), SIZE), case, "rotation", angles)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        gif = Path(folder) / "x.gif"
        jobs = {
            "workflow": partial(workflow, trained_model, case, Path(folder)),
            "gif": partial(gif_series, smooth, gif),
            "noisy gif": partial(gif_series, speckled, gif),
        }
        for name, job in jobs.items():
            t = turns({"misas": job, "misas 0.1.1": partial(old, name)}, rounds)
            result[name] = t["misas 0.1.1"] / t["misas"], t["misas"]
    return result


def bfloat16(rounds) -> dict:
    "What `autocast=torch.bfloat16` costs in Dice and saves in time, with the demo model on 20 phantoms"
    cases = [phantom((192, 192), seed=s) for s in range(900, 920)]
    models = {"float32": as_model(demo_model()), "bfloat16": as_model(demo_model(), autocast=torch.bfloat16)}
    labels = {1: "LV", 2: "MY", 3: "RV"}
    jobs = {
        name: partial(evaluate, model, cases, "rotation", [-20, 0, 20], labels=labels, progress=False)
        for name, model in models.items()
    }
    scores = {name: job().score for name, job in jobs.items()}
    change = scores["bfloat16"] - scores["float32"]
    t = turns(jobs, rounds)
    return dict(mean=change.mean(), largest=change.abs().max(), time=t["bfloat16"] / t["float32"])


# ---- memory, import, growth: each in a fresh process

CHILD = """
import os, sys
os.environ["TQDM_DISABLE"] = "1"
sys.path[:0] = [{here!r}]
import torch
torch.set_num_threads({threads})
from jobs import unet
from misas import Case, Rotate, Rotate3D, evaluate, phantom

shape = {shape}
if len(shape) == 2:
    case = phantom(shape, seed=0)
    model = unet()
    transform = Rotate()
else:
    # noise: making a phantom of that size would take more memory than the sweep
    case = Case(torch.rand(1, *shape), truth=(4 * torch.rand(shape)).int(), spacing=(1.2, 1, 1))
    model = lambda x: x[0] > 0.5
    transform = Rotate3D(axis=(1, 2, 0.5))
evaluate(model, case, transform, [k * 360 / {steps} for k in range({steps})])
# not getrusage: its maximum is handed down from the process that started this one
status = open("/proc/self/status").read()
print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""


def peak(shape, steps, threads) -> float:
    "Peak resident memory in MB of a process that evaluates so many rotations"
    code = CHILD.format(here=str(HERE), threads=threads, shape=shape, steps=steps)
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def import_seconds(what, rounds) -> float:
    "Median wall seconds of a fresh process that imports it"
    command = [sys.executable, "-c", f"import {what}"]
    return median(clock(partial(subprocess.run, command, check=True)) for _ in range(rounds))


def growth(rounds) -> list:
    "(h): seconds of evaluate as one thing grows"
    net = unet()
    rows = []

    def seconds(n=256, steps=24, labels=4, cases=1):
        several = [phantom((n, n), seed=s) for s in range(cases)]
        angles = [k + 0.5 for k in range(steps)]
        names = {i: str(i) for i in range(labels)}
        return median(clock(partial(evaluate, net, several, "rotation", angles, labels=names)) for _ in range(rounds))

    for what, sizes in dict(steps=(12, 24, 48, 96), n=(128, 256, 512), labels=(2, 8, 32), cases=(1, 2, 4)).items():
        rows += [(what, size, seconds(**{what: size})) for size in sizes]
    return rows


# ---- report


def table(head, rows) -> str:
    cells = [[f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *cells])


def cpu_name() -> str:
    "What Linux says of the processor, or Python"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def machine(threads) -> str:
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{cpu_name()}, {threads} threads, {platform.system()}, {versions}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often the sides take turns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="only rotation against misas 0.1.1")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    heart = phantom((SIZE, SIZE), seed=0)
    image = (heart.image[0] * 255).byte().numpy()
    mask = heart.truth.byte().numpy()
    case = load_case(image, mask)
    old = Other(environment(), "old.py", image, mask, args.threads)
    if args.quick:
        against_old(case, old, args.rounds, ["rotation"])
        return
    bare = [Other(sys.executable, "bare.py", image, mask, args.threads) for _ in range(args.rounds)]
    results = dict(ab=against_bare(case, bare, args.rounds), same=same_labels(case))
    print(results, flush=True)
    results["c"] = against_old(case, old, args.rounds)
    results["de"] = workflows(case, old, args.rounds)
    print(results["de"], flush=True)
    results["b16"] = bfloat16(args.rounds)
    print(results["b16"], flush=True)
    results["flat"] = [peak((512, 512), steps, args.threads) for steps in (36, 360)]
    results["deep"] = [peak((160, 256, 256), steps, args.threads) for steps in (12, 90)]
    results["imports"] = {what: import_seconds(what, args.rounds) for what in ("torch", "torch, misas", "misas.all")}
    results["h"] = growth(args.rounds)
    (HERE / "SWEEPS.md").write_text(report(args, **results))
    draw(results["ab"], results["c"], results["h"])


def report(args, ab, same, c, de, b16, flat, deep, imports, h) -> str:
    "SWEEPS.md"
    paragraphs = [
        "# Sweeps against the bare model and against misas 0.1.1",
        f"Made by `python benchmarks/run.py`; {machine(args.threads)}. "
        f"Each ratio is of medians of {args.rounds} turns taken in one run. "
        f"The network is a U-Net with 16-32-64-128 channels, the image a phantom of {SIZE} × {SIZE} pixels.",
        "## evaluate against the bare model, 72 images",
        "A ratio of 1 is the cost of the forwards alone. *Eager*: float32, NCHW, `argmax(1)`, as most users write it. "
        "*Best*: channels_last, inference mode, `max(1).indices`. "
        "Both run in processes of their own, each turn in another one, which leave memory to the C library; "
        "misas keeps what one image frees for the next one (`misas.core.memory`), so that its ratio can be below 1.",
        table(["transform", "evaluate / eager", "evaluate / best", "evaluate, s"], ab),
        f"Same label as the eager forward: {same:.4%} of pixels.",
        "## Faster than misas 0.1.1, times",
        table(["transform", "steps", "wrapper as documented", "wrapper with cheap argmax"], c),
        "Workflow (rotation, zoom, brightness, contrast, spike; each with overlays, a GIF, and Dice, precision and "
        f"recall of four labels; the network that ships with misas): {de['workflow'][0]:.1f} times. "
        f"GIF of 36 frames: {de['gif'][0]:.1f} times ({de['gif'][1]:.2f} s); with the speckled masks of an untrained "
        f"network {de['noisy gif'][0]:.1f} times ({de['noisy gif'][1]:.2f} s).",
        "bfloat16 (`as_model(net, autocast=torch.bfloat16)`, off by default): "
        f"Dice changes by {b16['mean']:+.4f} on average and by at most {b16['largest']:.4f}, "
        f"and the sweep takes {b16['time']:.2f} times as long as in float32.",
        "## Memory and import",
        f"Peak memory of `evaluate` at 512 × 512: {flat[0]:.0f} MB for 36 steps, {flat[1]:.0f} MB for 360 "
        f"(ratio {flat[1] / flat[0]:.3f}). A volume of 160 × 256 × 256 (image and truth together 84 MB), "
        f"rotated about an oblique axis, its model a threshold: {deep[0]:.0f} MB for 12 steps, "
        f"{deep[1]:.0f} MB for 90 (ratio {deep[1] / deep[0]:.3f}).",
        f"Import, fresh process: torch {imports['torch']:.2f} s, torch and misas {imports['torch, misas']:.2f} s, "
        f"`misas.all` {imports['misas.all']:.2f} s.",
        "## Growth",
        table(["what grows", "to", "seconds"], h),
        "![Speed-ups and growth](sweeps.png)",
        "",
    ]
    return "\n\n".join(paragraphs)


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
    fig.savefig(HERE / "sweeps.png", dpi=90)


if __name__ == "__main__":
    main()
