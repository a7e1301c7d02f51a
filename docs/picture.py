"""Draw the picture at the top of the README: docs/images/sweep.png

python docs/picture.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
from palette import with_palette

from misas.all import *

SWEEPS = {
    Rotate(): [-90, -45, 0, 45, 90],
    Brightness(): [0.25, 0.5, 1, 2, 4],
    Spike(position=(0.45, 0.55)): [0, 0.25, 0.5, 0.75, 1],
}
NAMES = {1: "LV", 2: "MY", 3: "RV"}


def draw_sweep(figure, model, case, transform, values):
    "One row: overlays at `values`, and the curve of Dice over the transform's own values"
    *panels, curve = figure.subplots(1, len(values) + 1, width_ratios=[1] * len(values) + [1.7])
    for ax, step in zip(panels, get_series(model, case, transform, values, progress=False)):
        ax.imshow(overlay(step.image, step.pred, step.truth, window=case.scale))
        ax.set_title(value_text(transform, step.value), fontsize=11)
        ax.axis("off")
    scores = evaluate(model, [case], [transform], labels=NAMES, progress=False)
    for colour, (label, rows) in zip(label_colours(len(NAMES) + 1)[1:], scores.groupby("label", sort=False)):
        curve.plot(rows.value, rows.score, ".-", color=colour, label=label)
    curve.axvline(transform.neutral, color="grey", lw=1, ls=":")
    if transform.log:
        curve.set_xscale("log", base=2)
        curve.xaxis.set_major_formatter("{x:g}")
    curve.set(ylim=(-0.03, 1.03), xlabel=f"{transform.name} ({transform.unit or transform.param})", ylabel="Dice")
    curve.spines[["top", "right"]].set_visible(False)
    return curve


def main():
    case, model = phantom((192, 192), seed=5025), as_model(demo_model())
    figure = plt.figure(figsize=(11, 5.9), layout="constrained")
    rows = figure.subfigures(len(SWEEPS), 1)
    curves = [draw_sweep(row, model, case, t, v) for row, (t, v) in zip(rows, SWEEPS.items())]
    curves[0].legend(frameon=False, loc="lower right", ncols=3)
    path = Path(__file__).parent / "images" / "sweep.png"
    figure.savefig(path, dpi=110)
    path.write_bytes(with_palette(path.read_bytes()))


if __name__ == "__main__":
    main()
