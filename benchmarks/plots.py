"""Draw the pictures of RESULTS.md from the figures in results.json.

python benchmarks/plots.py
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent
# of Okabe and Ito, told apart by people who see few colours; and each has a shape of its own
MARKS = {"torch": ("#0072B2", "o"), "onnx": ("#D55E00", "s"), "openvino": ("#009E73", "^"), "auto": ("#CC79A7", "D")}


def save(fig, name: str) -> None:
    fig.savefig(HERE / name, dpi=80)


def draw_engines(engines: dict) -> None:
    "Time of `evaluate` as a share of the best bare forward"
    fig = Figure(figsize=(7, 2.6), layout="constrained")
    axes = fig.subplots()
    for row, found in enumerate(engines.values()):
        axes.plot([found["goal"]] * 2, [row - 0.35, row + 0.35], color="black", lw=2, label=None if row else "goal")
        for place, (engine, (colour, marker)) in enumerate(MARKS.items()):
            height = row + 0.24 - 0.16 * place
            axes.plot(found[engine], height, marker, color=colour, ms=7, label=None if row else engine)
    axes.axvline(1, color="grey", ls="--", lw=1)
    axes.set(xlim=(0, 1.05), xlabel="time of evaluate / time of the best bare torch forward")
    axes.set_yticks(range(len(engines)), list(engines))
    fig.legend(loc="outside upper center", ncols=5, frameon=False)
    save(fig, "engines.png")


def draw_volumes(volumes: dict) -> None:
    "How many times as fast as the loop of torchio and MONAI"
    fig = Figure(figsize=(7, 3), layout="constrained")
    axes = fig.subplots()
    for (name, times), (colour, marker) in zip(volumes.items(), MARKS.values()):
        axes.plot(list(times), list(times.values()), marker, color=colour, ms=8, label=name)
    for height, text in ((2, "goal of each"), (5, "goal of the whole")):
        axes.axhline(height, color="grey", ls="--", lw=1)
        axes.annotate(text, (2.5, height), ha="center", xytext=(0, 3), textcoords="offset points", fontsize=8)
    axes.set(ylabel="times as fast as the loop", yscale="log", ylim=(1, None), xlim=(-0.5, 4.5))
    axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    fig.legend(loc="outside upper center", ncols=2, frameon=False)
    save(fig, "volumes.png")


def draw_goals(goals: list) -> None:
    "Cost before and after, as a multiple of the cost that was the goal"
    fig = Figure(figsize=(8, 0.42 * len(goals) + 1.2), layout="constrained")
    axes = fig.subplots()
    for row, goal in enumerate(goals):
        after = _cost(goal, goal["after"])
        if goal["before"] is not None:
            before = _cost(goal, goal["before"])
            axes.plot([before, after], [row, row], color="grey", lw=1, zorder=1)
            axes.plot(before, row, "o", mfc="white", mec="#D55E00", ms=8, label=None if row else "before")
        axes.plot(after, row, "D", color="#0072B2", ms=7, label=None if row else "now")
    axes.axvline(1, color="black", lw=1.5)
    axes.set(xscale="log", xlabel="cost / cost that was the goal (left of the line: met)")
    axes.set_yticks(range(len(goals)), [goal["name"] for goal in goals])
    axes.invert_yaxis()
    fig.legend(loc="outside upper center", ncols=2, frameon=False)
    save(fig, "goals.png")


def _cost(goal: dict, value: float) -> float:
    "As a multiple of the goal; of a speed it is the other way round"
    return goal["goal"] / value if goal.get("more_is_better") else value / goal["goal"]


def main():
    results = json.loads((HERE / "results.json").read_text())
    draw_engines(results["engines"])
    draw_volumes(results["volumes"])
    draw_goals(results["goals"])


if __name__ == "__main__":
    main()
