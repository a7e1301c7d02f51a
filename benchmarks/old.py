"""Runs jobs with misas 0.1.1 in its own environment: one line of JSON in, one out."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"
# misas 0.1.1 prints progress bars, whatever it is told
replies = sys.stdout
sys.stdout = open(os.devnull, "w")
sys.path.append(str(Path(__file__).parent))  # behind the environment's own misas

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import misas.mri as mri
import numpy as np
import torch
from jobs import STEPS, Wrapper, trained, unet
from PIL import Image

import misas.core as core

LABELS = ["bg", "LV", "MY", "RV"]


SHOW = {
    "rotation": "get_rotation_series",
    "zoom": "get_zoom_series",
    "brightness": "get_brightness_series",
    "contrast": "get_contrast_series",
    "spike": "get_spike_series",
}
METRICS = (core.dice_by_component, core.precision_by_component, core.recall_by_component)


def evaluate(model, image, mask, name):
    "Dice of each label at all steps"
    _, function, arguments = STEPS[name]
    job = getattr(core, function, None) or getattr(mri, function)
    job(image, mask, model, components=LABELS, **arguments)


def workflow(model, image, mask, folder):
    "Overlays, a GIF, Dice, precision and recall of each label, for five transforms"
    for name, show in SHOW.items():
        _, function, arguments = STEPS[name]
        module = mri if name == "spike" else core
        linear = dict(log_steps=False) if name in ("brightness", "contrast") else {}
        series = getattr(module, show)(image, model, **arguments, **linear)
        core.plot_series(series[:: max(1, len(series) // 8)][:9], nrow=3)
        plt.savefig(folder / f"{name}.png")
        plt.close("all")
        core.gif_series(series, folder / f"{name}.gif")
        for metric in METRICS:
            getattr(module, function)(image, mask, model, components=LABELS, eval_function=metric, **arguments)


def main():
    torch.set_num_threads(int(sys.argv[2]))
    data = np.load(sys.argv[1])
    image = Image.fromarray(data["image"]).convert("RGB")
    mask = Image.fromarray(data["mask"])
    models = {cheap: Wrapper(unet(), cheap) for cheap in (False, True)}
    pictured = Wrapper(trained())
    turn = dict(start=0, end=360, step=10)
    series = {
        "gif": core.get_rotation_series(image, pictured, **turn),
        "noisy gif": core.get_rotation_series(image, models[True], **turn),
    }
    for line in sys.stdin:
        job = json.loads(line)
        model = models[job.get("cheap", False)]
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            if job["name"] == "workflow":
                workflow(pictured, image, mask, Path(folder))
            elif job["name"] in series:
                core.gif_series(series[job["name"]], Path(folder) / "x.gif")
            else:
                evaluate(model, image, mask, job["name"])
            print(json.dumps(time.perf_counter() - start), file=replies, flush=True)


main()
