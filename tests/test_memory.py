"Work on a whole volume needs little more memory than the volume"

import tracemalloc

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from misas.analysis.probability import threshold_counts
from misas.core.cases import Case
from misas.transforms.geometry import Elastic, Rotate3D, Translate


def case(*shape):
    return Case(torch.rand(1, *shape), truth=torch.zeros(shape, dtype=torch.int32), spacing=(1.2, 1, 1))


def peak_memory(work):
    """Most MiB of tensors and arrays that `work` holds at once, counted as torch and Python hand them out

    What the operating system says of a process also holds its threads and libraries:
    it differs between machines and runs.
    """
    tracemalloc.start()
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            work()
        arrays = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    now = tensors = 0
    for event in sorted(
        (e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()
    ):
        now += event.nbytes()
        tensors = max(tensors, now)
    return (tensors + arrays) / 2**20


def test_peak_memory_counts_tensors_and_arrays():
    peak_memory(lambda: None)  # what the profiler itself loads at first
    assert peak_memory(lambda: [torch.zeros(2**20), torch.zeros(2**19) + 1][:0]) == pytest.approx(4 + 2 * 2, abs=1)
    assert peak_memory(lambda: torch.zeros(2**20).numpy().copy()) == pytest.approx(8, abs=1)


@pytest.mark.parametrize(
    "transform, value, small", [(Rotate3D(axis=(1, 2, 0.5)), 17, 17), (Elastic(), 5, 0.5), (Translate(), 5, 5)]
)
def test_movements(transform, value, small):
    transform(case(8, 9, 9), small)
    peak_memory(lambda: None)
    volume = case(80, 256, 256)
    # 40 MiB of it are the results; 303 to 309 MiB when volumes are resampled in one piece instead of slab by slab
    assert 40 < peak_memory(lambda: transform(volume, value)) < 220


def test_thresholds():
    peak_memory(lambda: None)
    probabilities = torch.rand(100, 400, 400)
    where = probabilities > 0.8
    assert (
        peak_memory(lambda: threshold_counts(probabilities, where, np.arange(1, 100) / 100)) < 61 / 2
    )  # the map has 61 MiB
