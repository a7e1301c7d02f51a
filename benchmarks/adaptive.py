"""How many calls do adaptive values need to find the limits of a grid of 1° over ±180°, and how exactly?

    python benchmarks/adaptive.py [OUT.md]

Ten models and images: the demo network on two people; three small networks, trained here on upright phantoms only;
brightness where the heart was expected; four models whose score is a known function of the angle (a dip, one that
recovers several times, one that repeats every 90°, a rough one). Each label has two limits, for a loss of 0.05 Dice;
the grid has 361 values. "Missed" are the values of the grid at which the loss is larger, though they lie within the
limits that were found, and by how much at most. Then, for curves that are calm but for one dip of a given width, how
often the dip is found.
"""

import sys
import warnings

import numpy as np
import pandas as pd
import torch
from torch import nn

import misas as ms

BUDGET = 361 // 6
HEART = {1: "LV", 2: "MY", 3: "RV"}


def block(into: int, out: int) -> nn.Sequential:
    layers = (nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU())
    return nn.Sequential(*layers, nn.Conv2d(out, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU())


class Small(nn.Module):
    "A U-Net of two levels"

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second, self.third = block(1, width), block(width, 2 * width), block(2 * width, 4 * width)
        self.back, self.last = block(6 * width, 2 * width), block(3 * width, width)
        self.out = nn.Conv2d(width, 4, 1)
        self.down, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, x):
        first = self.first(x)
        second = self.second(self.down(first))
        deep = self.back(torch.cat([self.up(self.third(self.down(second))), second], 1))
        return self.out(self.last(torch.cat([self.up(deep), first], 1)))


def trained(width: int, seed: int, steps: int = 300):
    "A network that has seen upright phantoms only"
    torch.manual_seed(seed)
    net = Small(width).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    cases = [ms.phantom((96, 96), seed=1000 * (seed + 1) + k, rotation=0) for k in range(40)]
    images = torch.stack([case.image for case in cases])
    truths = torch.stack([case.truth.long() for case in cases])
    for _ in range(steps):
        drawn = torch.randint(len(cases), (8,))
        loss = nn.functional.cross_entropy(net(images[drawn]), truths[drawn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return ms.as_model(net.eval(), name=f"trained upright {seed + 1}")


def expected_place(case):
    "A model that takes what is bright where this person's LV was expected"
    place = case.truth == 1
    near = torch.nn.functional.max_pool2d(place[None].float(), 9, 1, 4)[0] > 0
    return lambda image: (np.asarray(image).squeeze() > 0.4) & near.numpy()


# ---------------------------------------------------------------- scores that are known functions of the angle

PIXELS = 4000


def write_angle(image, angle):
    image[..., 0, 0] = angle
    return image


ANGLE = ms.as_transform(write_angle, name="angle", param="deg", unit="°", neutral=0, values=(-180, 180))


def line_case():
    image = torch.zeros(1, 2, PIXELS)
    return ms.Case(image, torch.tensor([[0], [1]]).expand(2, PIXELS).int(), "line", spacing=(1, 1), scale=(0, 1))


def scored_by(curve):
    "A model whose Dice at each angle is `curve(angle)`"

    def model(image):
        dice = curve(float(np.asarray(image)[..., 0, 0].squeeze()))
        mask = np.zeros((2, PIXELS), np.int32)
        mask[1].flat[: round(PIXELS * dice / (2 - dice))] = 1
        return mask

    return model


def rough(angle):
    noise = np.random.default_rng(int(angle) % 1000).normal(0, 0.008)
    return 0.92 - 0.0006 * abs(angle) + (noise if angle else 0)


CURVES = {
    "a dip, 20° wide": lambda v: 0.93 - 0.0001 * abs(v) - 0.2 * np.exp(-(((v - 97) / 10) ** 2)),
    "recovers": lambda v: 0.9 - 0.055 * np.sin(np.radians(1.7 * v)) ** 2 * (1 + abs(v) / 300),
    "repeats every 90°": lambda v: 0.9 - 0.08 * abs(np.sin(np.radians(2 * v))) ** 0.5,
    "rough": rough,
}


# ---------------------------------------------------------------- both ways


def limits(scores) -> pd.DataFrame:
    return ms.summarise(scores, resamples=0).set_index("label")[["tolerance_low", "tolerance_high"]]


def missed(scores, label: str, low: float, high: float) -> str:
    "How many values within limits lose more than is tolerated"
    own = scores[scores.label == label].set_index("value").score
    losses = own.loc[0] - own[(own.index >= low) & (own.index <= high)] - 0.05
    beyond = losses[losses > 1e-9]
    return f"{len(beyond)} of {len(losses)}, by {beyond.max():.3f}" if len(beyond) else ""


def told(name: str, model, case, transform, labels) -> list[dict]:
    "A row for each label that can lose something"
    options = dict(labels=labels, progress=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = ms.evaluate(model, case, transform, "adaptive", resolution=1, budget=BUDGET, **options)
    doubts = any("may hide" in str(w.message) or "less exactly" in str(w.message) for w in caught)
    scores = ms.evaluate(model, case, transform, range(-180, 181), **options)
    every, few = limits(scores), limits(found)
    rows = []
    for label in every.index[every.tolerance_low.notna()]:
        grid, adaptive = every.loc[label], few.loc[label]
        rows.append(
            {
                "model and image": name,
                "label": label,
                "calls": found.value.nunique(),
                "grid": f"{grid.tolerance_low:.1f} to {grid.tolerance_high:.1f}",
                "adaptive": f"{adaptive.tolerance_low:.1f} to {adaptive.tolerance_high:.1f}",
                "largest error": float(np.abs(grid - adaptive).max()),
                "missed": missed(scores, label, *adaptive),
                "doubts said": "yes" if doubts else "",
            }
        )
    return rows


def found_dips() -> pd.DataFrame:
    "How often a dip of 0.2 in a curve that is level otherwise is found, by its width at the limit"
    rng = np.random.default_rng(0)
    case = line_case()
    rows = []
    for width in (1, 2, 4, 8, 12, 16, 24):
        hits = 0
        spread = width / 2 / np.sqrt(np.log(0.2 / 0.05))
        for _ in range(40):
            place = rng.choice([-1, 1]) * rng.uniform(40, 160)

            def curve(angle, place=place, spread=spread):
                return 0.9 - 0.2 * np.exp(-(((angle - place) / spread) ** 2))

            options = dict(resolution=1, labels={1: "line"}, progress=False)
            scores = ms.evaluate(scored_by(curve), case, ANGLE, "adaptive", **options)
            low, high = limits(scores).iloc[0]
            hits += low > -180 or high < 180
        rows.append({"width of the dip at the limit": f"{width}°", "found": f"{hits} of 40"})
    return pd.DataFrame(rows)


def main(out: str | None) -> None:
    rows = []
    demo = ms.demo_model()
    for size, seed in ((192, 0), (192, 3)):
        rows += told(f"demo network, person {seed}", demo, ms.phantom((size, size), seed=seed), "rotation", HEART)
    for seed, width in enumerate((8, 12, 8)):
        case = ms.phantom((96, 96), seed=seed, rotation=0)
        rows += told(f"trained upright {seed + 1}", trained(width, seed), case, "rotation", HEART)
    case = ms.phantom((192, 192), seed=4, rotation=0)
    rows += told("bright where expected", expected_place(case), case, "rotation", {1: "LV"})
    for name, curve in CURVES.items():
        rows += told(name, scored_by(curve), line_case(), ANGLE, {1: "line"})
    table = pd.DataFrame(rows)
    exact = (table["largest error"] <= 1).sum()
    worst = table.loc[table["largest error"].idxmax()]
    text = table.round(1).to_markdown(index=False)
    text += (
        f"\n\nCalls: at most {table.calls.max()} of 361. Both limits within 1° of the grid's: {exact} of {len(table)} "
    )
    text += f"curves; worst {worst['largest error']:.1f}° ({worst['model and image']}, {worst['label']}).\n"
    text += "\n" + found_dips().to_markdown(index=False) + "\n"
    print(text)
    if out:
        with open(out, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
