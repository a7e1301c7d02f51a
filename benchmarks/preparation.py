"""How many runs of a model `suggest_preparation` needs in stages, and how often it finds what the whole grid finds

    python benchmarks/preparation.py [cases of each kind]

Phantoms are turned, resized and given other intensities at random; a model that knows one frame, one pixel size and
one intensity scale has to be served again, and the demo network, which is less particular. Of a volume the whole grid
of 48 × 6 × 5 combinations is tried as well.
"""

import sys
import warnings

import numpy as np
import pandas as pd

import misas as ms
from misas.transforms.grids import AXIS_CODES

INTENSITIES = {"as is": (1, 0), "8 bit": (255, 0), "offset": (3000, -1000)}


def centred(mask, shape):
    "An array, cropped or padded about its centre"
    for axis, (old, new) in enumerate(zip(mask.shape, shape)):
        at = np.arange(new) - (new - old) // 2
        inside = ((at >= 0) & (at < old)).reshape([-1 if a == axis else 1 for a in range(mask.ndim)])
        mask = np.take(mask, at.clip(0, old - 1), axis=axis) * inside
    return mask


def knows_one_frame(person):
    "A model that expects structures where this person has them, with these intensities, and pixels of this size"
    truth, image = person.truth.numpy(), person.image[0].numpy()
    greys = {label: (image[truth == label].mean(), image[truth == label].std()) for label in (1, 2, 3)}

    def model(x):
        x = np.squeeze(x)
        prior = centred(truth, x.shape)
        found = np.zeros(x.shape, int)
        for label, (mean, spread) in greys.items():
            found[(prior == label) & (abs(x - mean) < 2.5 * spread + 0.02)] = label
        return found

    return model


def distorted(person, rng, sizes):
    "The person as another scanner stores it"
    if len(person.shape) == 3:
        codes = AXIS_CODES[rng.integers(48)]
        orientation = 0 if codes == "SPL" else codes
    else:
        orientation = int(rng.integers(8))
    case = ms.Preparation(orientation, sizes[rng.integers(len(sizes))])(person)
    factor, offset = list(INTENSITIES.values())[rng.integers(3)]
    return case.replace(image=case.image * factor + offset, scale=(offset, offset + factor))


def compared(kind, model, case, **tried):
    "Both searches on one case"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stages = ms.suggest_preparation(model, case, progress=False, **tried)
        grid = ms.suggest_preparation(model, case, progress=False, search="grid", **tried)
    return dict(
        kind=kind,
        calls=stages.calls,
        grid=grid.calls,
        same=stages.best == grid.best,
        as_good=stages.after >= grid.after - 0.01,
        behind=grid.after - stages.after,
    )


def main(count: int):
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(count):
        person = ms.phantom((64, 48), seed=seed)
        case = distorted(person, rng, (None, 48, 96))
        rows.append(compared("picture, one frame", knows_one_frame(person), case, sizes=(None, 48, 64, 96, 128)))
        person = ms.phantom((int(rng.integers(8, 14)), 32, 24), seed=seed)
        case = distorted(person, rng, (None, 40, 48))
        tried = dict(sizes=(None, 24, 32, 48, 64), spacings=[])
        rows.append(compared("volume, one frame", knows_one_frame(person), case, **tried))
        if seed < count // 4:
            case = distorted(ms.phantom((128, 96), seed=seed), rng, (None, 64, 192))
            rows.append(compared("picture, demo network", ms.demo_model(), case, sizes=(None, 64, 96, 128, 192)))
    table = pd.DataFrame(rows)
    found = table.groupby("kind").agg(
        cases=("same", "size"),
        calls_most=("calls", "max"),
        calls_mean=("calls", "mean"),
        grid=("grid", "first"),
        same=("same", "sum"),
        within_least_gain=("as_good", "sum"),
        worst_loss=("behind", "max"),
    )
    print(found.round(3).to_markdown())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
