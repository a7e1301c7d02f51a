"""Measure a whole study against the pipeline of ROOD-MRI: a volume, eight transforms at five severities, Dice and HD95.

    python benchmarks/roodmri.py [--rounds 3]

ROOD-MRI (arXiv 2203.06060) is in no package registry. Its pipeline stands here as a plain loop after the paper:
dictionary transforms of MONAI and torchio, one for each transform and severity, a data loader of one volume at a time,
the network, one-hot predictions, MONAI's metrics for each sample, a table. The transforms do the same, or nearly so;
elastic deformation is left out, as that of misas is invertible and another one.

Both sides ask the same model, take turns on one thread, and the seconds of the processor are compared, which other
programs disturb less: with a 3D U-Net, and with a model that costs nearly nothing.
"""

import argparse
import os
import time
import warnings
from statistics import median

os.environ |= dict(OMP_NUM_THREADS="1", TQDM_DISABLE="1")

import numpy as np
import pandas as pd
import torch
import torchio as tio
from jobs import unet
from monai.data import DataLoader, Dataset
from monai.metrics import compute_dice, compute_hausdorff_distance
from monai.networks.utils import one_hot
from monai.transforms import Compose, GaussianSmoothd, RandRicianNoised

import misas as ms

SHAPE = (32, 64, 64)
LABELS = {1: "LV", 2: "MY", 3: "RV"}
SEVERITIES = {
    "rotation": [6, 12, 18, 24, 30],
    "gamma": [1.2, 1.4, 1.8, 2.4, 3],
    "rician-noise": [0.05, 0.1, 0.2, 0.4, 0.8],
    "blur": [0.8, 1.6, 2.4, 3.2, 4],
    "biasfield": [0.1, 0.2, 0.3, 0.4, 0.5],
    "ghosting": [0.2, 0.4, 0.6, 0.8, 1],
    "motion": [1, 2, 3, 4, 5],
    "anisotropy": [2, 3, 4, 6, 8],
}
OURS = [
    *(ms.Rotate(), ms.Gamma(), ms.RicianNoise(), ms.Blur(), ms.BiasField()),
    *(ms.Ghosting(axis=-2, num_ghosts=4), ms.Motion(), ms.Anisotropy(axis=0)),
]


def theirs(name: str, value: float):
    "The transform of torchio or MONAI, of a dictionary with image and truth"
    keys = dict(include=["image", "truth"])
    if name == "rician-noise":
        return RandRicianNoised("image", prob=1, mean=0, std=value, relative=False, sample_std=False)
    if name == "blur":
        return GaussianSmoothd("image", sigma=value)
    if name == "rotation":
        return tio.Affine(scales=(1, 1, 1), degrees=(value, 0, 0), translation=(0, 0, 0), **keys)
    if name == "gamma":
        return tio.Gamma(value, include=["image"])
    if name == "biasfield":
        return tio.BiasField([value] * 20, 3, include=["image"])
    if name == "ghosting":
        return tio.Ghosting(4, 1, value, 0, include=["image"])
    if name == "motion":
        times, degrees = np.array([0.45, 0.55]), np.array([[-value, 0, 0], [value, 0, 0]])
        return tio.Motion(degrees, np.zeros((2, 3)), times, "linear", include=["image"])
    return tio.RandomAnisotropy(axes=(0,), downsampling=(value, value), include=["image", "truth"])


class AsSubject:
    "A transform of torchio, for a dictionary of tensors"

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, sample: dict) -> dict:
        image, truth = tio.ScalarImage(tensor=sample["image"]), tio.LabelMap(tensor=sample["truth"])
        changed = self.transform(tio.Subject(image=image, truth=truth))
        return dict(image=changed.image.data, truth=changed.truth.data)


def pipeline(net, sample: dict) -> pd.DataFrame:
    "Transform, predict, measure each sample, write it down"
    rows = []
    for name, severities in SEVERITIES.items():
        for value in severities:
            transform = theirs(name, value)
            own = transform if isinstance(transform, (RandRicianNoised, GaussianSmoothd)) else AsSubject(transform)
            for batch in DataLoader(Dataset([sample], Compose([own])), batch_size=1):
                with torch.no_grad():
                    labels = net(batch["image"].float()).argmax(1, keepdim=True)
                y_pred, y = one_hot(labels, 4), one_hot(batch["truth"], 4)
                dice = compute_dice(y_pred, y, include_background=False)[0]
                hd95 = compute_hausdorff_distance(y_pred, y, percentile=95, spacing=[1.0, 1.0, 1.0])[0]
                for label, d, h in zip(LABELS.values(), dice.tolist(), hd95.tolist()):
                    rows.append(dict(transform=name, value=value, label=label, dice=d, hd95=h))
    return pd.DataFrame(rows)


def with_misas(net, case: ms.Case, metrics=("dice", "hd95")) -> pd.DataFrame:
    "The same as one call"
    names = dict(zip(SEVERITIES, OURS))
    values = {str(names[name]): severities for name, severities in SEVERITIES.items()}
    return ms.evaluate(net, case, OURS, values, metrics=metrics, labels=LABELS, progress=False)


class Grey(torch.nn.Module):
    "A model that goes by the grey value of each voxel"

    def forward(self, x):
        return torch.cat([-abs(x - grey) for grey in (0.1, 0.35, 0.6, 0.9)], 1)


def seconds(job, *arguments) -> float:
    start = time.process_time()
    job(*arguments)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often the sides take turns")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    case = ms.phantom(SHAPE, seed=0).replace(spacing=(1, 1, 1))
    sample = dict(image=case.image, truth=case.truth[None].int())
    for name, net in {"3D U-Net": unet(widths=(8, 16, 32), dims=3), "grey values": Grey()}.items():
        table, scores = pipeline(net, sample), with_misas(net, case)
        assert len(scores) == 2 * len(table)
        turns = [(seconds(pipeline, net, sample), seconds(with_misas, net, case)) for _ in range(options.rounds)]
        ratios = [theirs / ours for theirs, ours in turns]
        print(f"{name}: misas is {median(ratios):.2f} times as fast", end=" ")
        print(f"({min(ratios):.2f} to {max(ratios):.2f} in {options.rounds} turns)", flush=True)


if __name__ == "__main__":
    main()
