"""Measure a sweep over a volume against the loop that a user would write with torchio's transforms and MONAI's metrics.

    python benchmarks/volumes.py [--quick]

Four values each of rotation, spike, bias field and motion; Dice and HD95 of three labels; one thread. Both sides ask
the same model, whose predictions are smooth or fragmented, take turns in one run, and their medians are divided:
figures are ratios, how many times as fast misas is; "whole" is one call for all transforms against all of the loop.
`--quick` takes a smaller volume and fewer rounds (less than four minutes).
"""

import argparse
import os
import time
import warnings
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
import torchio as tio
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy.ndimage import gaussian_filter

from misas import BiasField, Case, Motion, Rotate, Spike, evaluate

LABELS = [1, 2, 3]
VALUES = {
    "rotation": [-20, -7, 7, 20],
    "spike": [0.25, 0.5, 1, 2],
    "biasfield": [-0.4, -0.2, 0.2, 0.4],
    "motion": [2, 4, 6, 8],
}
THRESHOLDS = (0.2, 0.45, 0.7)


def volume(shape: tuple, noise: float) -> tuple:
    "An image of nested organs and its mask"
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    rng = np.random.default_rng(0)
    bumps = gaussian_filter(rng.normal(size=shape), 10)
    radius = np.sqrt(sum((1.4 * a) ** 2 for a in axes)) + bumps / bumps.std() * 0.05
    truth = (radius < 0.9).astype(np.int32) + (radius < 0.65) + (radius < 0.4)
    image = np.array([0.1, 0.33, 0.57, 0.85])[truth] + rng.normal(size=shape) * noise
    return image.clip(0, 1).astype(np.float32), truth.astype(np.int32)


def levels(image: torch.Tensor) -> torch.Tensor:  # `(*S)`
    "How many thresholds each pixel is above"
    return sum((image > t).to(torch.uint8) for t in THRESHOLDS)


def fragmented(image) -> torch.Tensor:  # image `(1, *S)`
    "A model that looks at single pixels"
    return levels(torch.as_tensor(image)[0])


def smooth(image) -> torch.Tensor:  # image `(1, *S)`
    "A model that looks at blocks of 4 x 4 x 4 pixels"
    coarse = levels(torch.nn.functional.avg_pool3d(torch.as_tensor(image), 4)[0])
    for axis in range(3):
        coarse = coarse.repeat_interleave(4, axis)
    return coarse


def torchio_transform(name: str, value: float):
    "The transform of torchio that does the same, or nearly so"
    if name == "rotation":
        return tio.Affine(scales=(1, 1, 1), degrees=(value, 0, 0), translation=(0, 0, 0))
    if name == "spike":
        return tio.Spike(np.array([[0.5, 0.45, 0.55]]), value)
    if name == "biasfield":
        return tio.BiasField([value] * 20, 3)
    return tio.Motion(np.array([[-value, 0, 0], [value, 0, 0]]), np.zeros((2, 3)), np.array([0.45, 0.55]), "linear")


def one_hot(mask: torch.Tensor) -> torch.Tensor:  # `(1, 3, *S)`
    return torch.stack([mask == label for label in LABELS])[None]


def users_loop(image: np.ndarray, truth: np.ndarray, model, name: str, metrics: tuple) -> list:
    "Transform, predict, measure: once for each value"
    subject = tio.Subject(
        image=tio.ScalarImage(tensor=torch.from_numpy(image)[None]),
        truth=tio.LabelMap(tensor=torch.from_numpy(truth)[None]),
    )
    scores = []
    for value in VALUES[name]:
        changed = torchio_transform(name, value)(subject)
        y_pred, y = one_hot(model(changed.image.data)), one_hot(changed.truth.data[0])
        scores.append([compute_dice(y_pred, y)])
        if "hd95" in metrics:
            options = dict(include_background=True, percentile=95, spacing=[1.0, 1.0, 1.0])
            scores[-1].append(compute_hausdorff_distance(y_pred, y, **options))
    return scores


def with_misas(image: np.ndarray, truth: np.ndarray, model, names: list, metrics: tuple):
    "The same as one call, for several transforms"
    case = Case(image[None], truth, spacing=(1, 1, 1))
    transforms = {"rotation": Rotate(), "spike": Spike(), "biasfield": BiasField(), "motion": Motion()}
    labels = {label: str(label) for label in LABELS}
    values = {name: VALUES[name] for name in names}
    return evaluate(
        model, case, [transforms[n] for n in names], values, metrics=list(metrics), labels=labels, progress=False
    )


def seconds(job, *arguments) -> float:
    start = time.perf_counter()
    job(*arguments)
    return time.perf_counter() - start


def ratios(shape: tuple, rounds: int, metrics: tuple, noise: float, model) -> dict:
    "How many times as fast misas is, for each transform and for all of them"
    image, truth = volume(shape, noise)
    loop = {name: [] for name in VALUES}
    ours = {name: [] for name in [*VALUES, "whole"]}
    for _ in range(rounds):
        for name in VALUES:
            loop[name].append(seconds(users_loop, image, truth, model, name, metrics))
            ours[name].append(seconds(with_misas, image, truth, model, [name], metrics))
        ours["whole"].append(seconds(with_misas, image, truth, model, list(VALUES), metrics))
    loop["whole"] = [sum(times) for times in zip(*loop.values())]
    return {name: median(loop[name]) / median(times) for name, times in ours.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller volume, fewer rounds")
    parser.add_argument("--rounds", type=int, help="how often the sides take turns (5; 2 with --quick)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    shape = (48, 112, 112) if options.quick else (96, 160, 160)
    rounds = options.rounds or (2 if options.quick else 5)
    print(f"{shape}, {rounds} rounds; how many times as fast as the loop misas is")
    print(f"{'prediction':<12}{'metrics':<12}" + "".join(f"{name:>11}" for name in [*VALUES, "whole"]))
    # the first calls of both sides load their libraries
    ratios((16, 32, 32), 1, ("dice", "hd95"), 0.02, smooth)
    for model, noise in ((smooth, 0.02), (fragmented, 0.15)):
        for metrics in (("dice",), ("dice", "hd95")):
            found = ratios(shape, rounds, metrics, noise, model)
            print(f"{model.__name__:<12}{'+'.join(metrics):<12}" + "".join(f"{x:>11.1f}" for x in found.values()))


if __name__ == "__main__":
    main()
