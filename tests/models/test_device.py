"The way of the data with a model on an accelerator, tested with one that only counts (see `devices`)"

import pytest
import torch
from models.devices import accelerator, moved, on_device

from misas.all import *

LABELS = {1: "LV", 2: "MY", 3: "RV"}


def network(ndim):
    "A small network for images of `ndim` axes, always the same"
    convolution, norm = {2: (torch.nn.Conv2d, torch.nn.BatchNorm2d), 3: (torch.nn.Conv3d, torch.nn.BatchNorm3d)}[ndim]
    torch.manual_seed(0)
    return torch.nn.Sequential(convolution(1, 8, 3, padding=1), norm(8), torch.nn.ReLU(), convolution(8, 4, 1)).eval()


def models(ndim):
    "The network here, and on the device"
    here = as_model(network(ndim), output="logits", name="net")
    with accelerator():
        return here, as_model(moved(network(ndim)), output="logits", name="net")


CASES = {2: phantom((48, 57), seed=0), 3: phantom((5, 24, 29), seed=0)}
# numbers drawn here, so that a seed means the same everywhere, or a library that computes on arrays
HAS_TO_CROSS = {
    "anisotropy",
    "blur",
    "noise",
    "rician-noise",
    "swap",
    "quantum-noise",
    "dose",
    "rings",
    "metal-streaks",
    "sparse-view",
    "shot-noise",
    "impulse-noise",
    "speckle-noise",
    "jpeg",
    "pixelate",
    "elastic",
    "motion",
    "motion-shift",
    "ultrasound-speckle",
    "acoustic-shadow",
    "depth-gain",
    "specular-highlights",
    "smoke",
    "haze",
    "contrast-phase",
    "tissue-contrast",
    "snr",
    "field-strength",
}
COLOUR_ONLY = {"stain-concentration", "stain-rotation"}


def large(copies, case):
    return [n for n in copies if n >= case.truth.numel()]


def few(transform, case):
    values = list(transform.values_for(case))
    return [values[0], values[len(values) // 2], values[-1]]


# other tests make transforms of their own
OURS = [
    name
    for name, kind in known_transforms().items()
    if kind.__module__.startswith("misas.") and not kind.needs_model  # attacks run many times: see test_adversarial
]


@pytest.mark.filterwarnings("ignore:.*(HU|width of window-level)")
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", OURS)
def test_every_transform_works_on_the_device(name, ndim):
    "Same answer as here; images stay there"
    case, transform = CASES[ndim], as_transform(name)
    here, there = models(ndim)
    if name in ("rotation-3d", "reorientation") and ndim == 2:
        pytest.skip("for volumes only")
    if name in COLOUR_ONLY:
        pytest.skip("for red, green and blue only")
    wanted = [s.pred for s in sweep(here, case, transform, few(transform, case), batch_size=1, progress=False)]
    with accelerator() as border:
        steps = list(sweep(there, case, transform, few(transform, case), batch_size=1, progress=False))
        crossed = large(border.there, case), large(border.back, case)
        assert all(on_device(s.image) and on_device(s.truth) and on_device(s.pred) for s in steps)
        assert all(torch.equal(s.pred.cpu(), w) for s, w in zip(steps, wanted))
    if name not in HAS_TO_CROSS:
        assert [len(c) for c in crossed] == [2, 0]  # image and truth, once


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_evaluate_brings_back_only_counts(ndim, batch_size):
    case = CASES[ndim]
    here, there = models(ndim)
    settings = dict(values=dict(rotation=[-20, 0, 20, 40, 90], brightness=[0.5, 1, 2]), labels=LABELS, progress=False)
    wanted = evaluate(here, case, ["rotation", "brightness"], metrics=["dice", "recall"], **settings)
    with accelerator() as border:
        found = evaluate(
            there, case, ["rotation", "brightness"], metrics=["dice", "recall"], batch_size=batch_size, **settings
        )
    assert found.equals(wanted)
    # a few times image and truth, however many steps
    assert large(border.back, case) == [] and len(large(border.there, case)) <= 6


def test_kept_series_distances_and_probabilities():
    case = CASES[2]
    here, there = models(2)
    with accelerator():
        series = get_series(there, case, "zoom", [0.8, 1, 1.2], progress=False)
        maps = there.probabilities_of(there.scores(there.inputs(case.image[None])))
        assert not any(on_device(x) for s in series for x in (s.image, s.truth, s.pred)) and on_device(maps)
        assert torch.allclose(maps.cpu(), here.probabilities(case.image[None], case), atol=1e-6)
    wanted = get_series(here, case, "zoom", [0.8, 1, 1.2], progress=False)
    assert score(series, ["dice", "hd95"], LABELS).equals(score(wanted, ["dice", "hd95"], LABELS))


def test_wrappers_work_on_the_device():
    "Sizes, slices, ensembles, a case without a truth"
    case, volume = CASES[2], CASES[3]
    here, there = models(2)
    wrappers = (
        (lambda m: as_model(m, size=PadTo(16)), case),
        (lambda m: as_model(m, size=ResizeTo((32, 32))), case),
        (SliceWise, volume),
        (lambda m: Ensemble([m, m]), case),
        (lambda m: m, case.replace(truth=None)),
    )
    with accelerator():
        for wrap, c in wrappers:
            got = evaluate(wrap(there), c, "rotation", [0, 30], progress=False)
            want = evaluate(wrap(here), c, "rotation", [0, 30], progress=False)
            assert got.score.equals(want.score)


def test_the_device_is_strict():
    "What makes the tests above worth something: mixing sides is an error, as on a real one"
    with accelerator() as border:
        there = torch.ones(3).to("lazy")
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError):
            there.numpy()
        assert (there * 2).cpu().tolist() == [2] * 3 and (border.there, border.back) == ([3], [3])
