"What every transform promises: in 2D and 3D, at odd sizes, with anisotropic spacing, one to four channels, any scale"

import random
from functools import cache

import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.core.sweeps import sweep
from misas.core.transform import as_transform, known_transforms
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.transforms import *

# windows and HU, folds: whether an image is a likely one does not matter here
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# other tests make transforms of their own
OURS = {
    name: kind
    for name, kind in known_transforms().items()
    # attacks and prompts: see models/test_adversarial and models/test_prompted
    if kind.__module__.startswith("misas.") and not kind.needs_model
}
KNOWN = {name: kind() for name, kind in OURS.items()}
VARIANTS = [
    Rotate(fill=0.0),
    Crop(axes=(-1,)),
    Compose(Rotate(), Fixed(Zoom(), 1.5)),
    Compose(Rotate(), Fixed("zoom", 1)),
    Translate(axis=0),
    Scale(axes=(-1, -2)),
    Shear(axes=(0, -1), fill=0.0),
    Flip(axis=0),
    FieldOfView(axes=(0,)),
    Anisotropy(axis=-1, profile="nearest"),
    Elastic(points=5, seed=2),
    Spike(position=((0.1, 0.1), (0.9, 0.2))),
    SpikePosition(axis=-2),
    BiasField(order=1),
    Motion(-1, (0.2, 0.5, 0.8)),
    MotionShift(-1, along=-1),
    Ghosting(-1, 3),
    WrapAround(-1),
    Undersampling(seed=0),
    Undersampling(-1, 0, 5),
    PartialFourier(-1),
    Gibbs(-1),
    Noise(3),
    RicianNoise(3),
    Swap(0.3, 1),
    QuantumNoise(seed=3),
    Dose(reference=30),
    CalibrationShift(air=True),
    WindowLevel(level=40),
    WindowLevel(width=400),
    WindowWidth(level=40),
    MetalStreaks(position=((0.2, 0.2), (0.7, 0.9)), seed=2),
    SpeckleNoise(seed=3),
    Defocus(soft=0),
    MotionBlur(angle=37.0),
    UltrasoundSpeckle(dynamic_range=None, size=(1, 3, 2), seed=2),
    AcousticShadow(sector=60, depth=0),
    DepthGain(-1, None),
    SpecularHighlights(size=0.2, seed=3),
    UnevenLight(centre=(1, 0)),
    StainConcentration("eosin"),
    StainConcentration("residual", ((0.6, 0.7, 0.3), (0.1, 0.9, 0.1))),
    StainRotation("eosin"),
    Haze(airlight=0.5, spread=0.1),
    ContrastPhase(window=(0, 90)),
    ContrastPhase(tissues={1: 1, 3: -0.5}),
    TissueContrast(classes=2, seed=4),
    SNR(sigma=3),
    FieldStrength(own=1.5, sigma=3),
]
VOLUMES_ONLY = [
    Rotate3D(axis=(0, 1, 0)),
    Rotate3D(axis=(1, -2, 0.5)),
    *(kind(axis=-3) for kind in (Motion, Ghosting, WrapAround, Undersampling, PartialFourier, Gibbs)),
]
TRANSFORMS = {**KNOWN, **{str(t): t for t in VARIANTS + VOLUMES_ONLY}}


def labelled(shape, channels):
    "Noise on a slope, with four labels, and spacing that differs between axes"
    rng = np.random.default_rng(sum(shape) + channels)
    image = rng.random((channels, *shape)).astype(np.float32) * 80 + np.linspace(0, 120, shape[-1], dtype=np.float32)
    return Case(image, truth=rng.integers(0, 4, shape), spacing=(5, 1.5, 0.8)[-len(shape) :])


def noise(*shape, low=0, high=1, **kwargs):
    generator = torch.Generator().manual_seed(sum(shape))
    return Case(torch.rand(*shape, generator=generator) * (high - low) + low, **kwargs)


CASES = {
    **{f"square x{c}": labelled((16, 16), c) for c in (1, 3, 4)},
    **{f"oblong x{c}": labelled((17, 23), c) for c in (1, 3, 4)},
    **{f"volume x{c}": labelled((7, 18, 13), c) for c in (1, 3, 4)},
    "heart": phantom((48, 40), seed=3),
    "heart in 3D": phantom((6, 32, 24), seed=1),
    "cube": noise(2, 7, 7, 7, truth=np.arange(343).reshape(7, 7, 7) % 5),
    "row": noise(3, 1, 9, truth=np.ones((1, 9), int)),
    "column": noise(4, 5, 1),
    "pixel": noise(1, 1, 1),
    "slab": noise(1, 1, 9, 8, truth=np.ones((1, 9, 8), int)),
    "tiny volume": noise(1, 1, 3, 2),
    "black": Case(torch.zeros(1, 7, 7)),
    "constant": Case(torch.full((1, 5, 4), -5.0)),
    "8 bit": Case(np.arange(35, dtype=np.uint8).reshape(5, 7), truth=np.full((5, 7), 3)),
    "16 bit": Case((np.arange(35) * 1800).astype(np.uint16).reshape(5, 7), truth=np.full((5, 7), 3)),
    "HU": noise(1, 20, 13, low=-1000, high=2000, truth=np.ones((20, 13), int), spacing=(1.2, 2)),
    "HU in 3D": noise(3, 3, 6, 5, low=-1000, high=3000, truth=np.arange(90).reshape(3, 6, 5) % 4, spacing=(5, 1.2, 2)),
    "signed": noise(4, 12, 13, low=-2, high=2, spacing=(2, 0.7)),
    "signed in 3D": noise(3, 5, 6, 7, low=-2, high=2, spacing=(8, 0.5, 0.5)),
    "clipped": phantom((24, 25), seed=3).replace(scale=(0.2, 0.5)),
}


def has_noise(case) -> bool:
    try:
        return bool(SNR().noise_level(case).min() > 0)
    except ValueError:
        return False


def applies(name, case) -> bool:
    transform = TRANSFORMS[name]
    if isinstance(transform, Stain):
        return len(case.image) == 3
    if isinstance(transform, (SNR, FieldStrength)) and transform.sigma is None:
        return has_noise(case)
    if isinstance(transform, ContrastPhase) and transform.tissues is not None:
        return case.truth is not None
    if TRANSFORMS[name] in VOLUMES_ONLY or name in ("rotation-3d", "reorientation"):
        return case.ndim == 3
    return name != "saturation" or len(case.image) in (1, 3)


@cache
def tried(name, on):
    "A copy of the case from before, and at five of the transform's values: the value, and what two calls give"
    transform, case = TRANSFORMS[name], CASES[on]
    before = case.replace(image=case.image.clone(), truth=None if case.truth is None else case.truth.clone())
    values = transform.values_for(case)
    assert len(values), "no values to try"
    chosen = [values[i] for i in np.unique(np.linspace(0, len(values) - 1, 5).astype(int))]
    return before, [(v, transform(case, v), transform(case, v)) for v in chosen]


def results_of(name):
    "Where, the case from before, the first result and the second: for all cases and values"
    for on, case in CASES.items():
        if applies(name, case):
            before, results = tried(name, on)
            for value, first, second in results:
                yield f"{on} at {value}", before, first, second


each = pytest.mark.parametrize("name", TRANSFORMS)


@each
def test_neutral_value_is_the_identity(name):
    transform = TRANSFORMS[name]
    for on, case in CASES.items():
        if not applies(name, case):
            continue
        neutral = transform.neutral_for(case)
        if neutral is not None:
            same = transform(case, neutral)
            assert torch.equal(same.image, case.image), on
            assert case.truth is None or torch.equal(same.truth, case.truth), on


@each
def test_labels_are_a_subset(name):
    for where, before, changed, _ in results_of(name):
        if before.truth is None:
            assert changed.truth is None, where
            continue
        invented = set(changed.truth.unique().tolist()) - set(before.truth.unique().tolist()) - {0}
        assert not invented, where


@each
def test_image_and_truth_keep_together(name):
    for where, _, changed, _ in results_of(name):
        assert changed.truth is None or changed.truth.shape == changed.shape, where


@each
def test_image_stays_float32_finite_and_has_its_channels(name):
    for where, before, changed, _ in results_of(name):
        assert changed.image.dtype == torch.float32, where
        assert changed.image.isfinite().all(), where
        assert len(changed.image) == len(before.image), where


@each
def test_input_is_not_modified(name):
    for on, case in CASES.items():
        if applies(name, case):
            before, _ = tried(name, on)
            assert torch.equal(case.image, before.image), on
            assert case.truth is None or torch.equal(case.truth, before.truth), on


@each
def test_same_call_same_result(name):
    for where, _, first, second in results_of(name):
        assert torch.equal(first.image, second.image), where
        assert first.truth is None or torch.equal(first.truth, second.truth), where


@pytest.mark.parametrize("on", ["oblong x1", "volume x1"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_batch_gives_what_single_images_give(name, on):
    transform, case = TRANSFORMS[name], CASES[on]
    if not applies(name, case):
        pytest.skip("volumes only")
    values = transform.values_for(case)[:5]
    together = list(sweep(threshold, case, transform, values, batch_size=3, progress=False))
    for value, step in zip(values, together):
        alone = transform(case, value)
        assert torch.equal(step.image, alone.image) and torch.equal(step.truth, alone.truth), value
        assert torch.equal(step.pred, threshold(alone.image)), value


@pytest.mark.parametrize("on", ["oblong x3", "volume x3"])
@pytest.mark.parametrize("name", [n for n, t in TRANSFORMS.items() if isinstance(t, Stain)])
def test_batch_of_stained_sections_gives_what_single_ones_give(name, on):
    transform, case = TRANSFORMS[name], CASES[on]
    values = transform.values_for(case)[:5]
    for value, step in zip(values, sweep(brightest, case, transform, values, batch_size=3, progress=False)):
        alone = transform(case, value)
        assert torch.equal(step.image, alone.image) and torch.equal(step.truth, alone.truth), value
        assert torch.equal(step.pred, brightest(alone.image)), value


def brightest(image):
    return torch.as_tensor(image).argmax(0).int()


def threshold(image):
    return (image > 100).int().reshape(image.shape[1:]) if isinstance(image, torch.Tensor) else image > 100


@pytest.mark.parametrize("on", ["oblong x1", "volume x3"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_conforms_finds_nothing(name, on):
    if not applies(name, CASES[on]):
        pytest.skip("volumes only")
    conforms(TRANSFORMS[name], CASES[on])


@pytest.mark.parametrize("on", ["oblong x1", "cube", "heart"])
def test_composition_conforms(on):
    conforms(Compose(Rotate(), Zoom()), CASES[on], [(0, 1), (10, 2), (-90, 0.5)])


def test_conforms_finds_random_results():
    noisy = as_transform(lambda x, v: x + np.random.rand(*x.shape), name="noisy", values=[1])
    with pytest.raises(AssertionError, match="noisy: at 1 two calls differ"):
        conforms(noisy, CASES["heart"])


def test_conforms_finds_what_is_modified():
    def add(case, value):
        case.image.add_(value)
        return case

    in_place = as_transform(lambda x, v: x, name="in-place", values=[1])
    object.__setattr__(in_place, "apply", add)
    case = CASES["heart"]
    with pytest.raises(AssertionError, match="in-place: at 1 .* was modified"):
        conforms(in_place, case.replace(image=case.image.clone()))


def test_conforms_finds_lost_channels():
    grey = as_transform(lambda x, v: x.mean(-1), name="grey", values=[1])
    picture = load_case(np.zeros((6, 7, 3), np.uint8))
    with pytest.raises(AssertionError, match="grey: at 1 the image lost channels"):
        conforms(grey, picture)


@pytest.mark.parametrize("on", ["heart", "volume x1"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_random_state_is_left_alone(name, on):
    transform, case = TRANSFORMS[name], CASES[on]
    if not applies(name, case):
        pytest.skip("volumes only")
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    transform(case, transform.values_for(case)[-1])
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())


@pytest.mark.parametrize("name", KNOWN)
def test_knows_itself(name):
    transform = KNOWN[name]
    assert transform.param and len(transform.values_for(CASES["volume x1"])) > 1 and str(transform) == name


# Artefacts of MR images


IN_KSPACE = [
    Motion(),
    MotionShift(),
    Ghosting(),
    WrapAround(),
    Undersampling(),
    Undersampling(seed=0),
    PartialFourier(),
    Gibbs(),
]
BY_TORCHIO = [Blur(), Swap()]
ARTEFACTS = [*IN_KSPACE, Noise(), RicianNoise(), Gamma()]


def test_artefacts_are_known_by_name():
    assert {t.name for t in ARTEFACTS + BY_TORCHIO} <= set(KNOWN)


@pytest.mark.parametrize("transform", ARTEFACTS, ids=str)
@pytest.mark.parametrize("shape", [(21, 24), (3, 18, 16)], ids=str)
def test_nothing_is_made_on_another_device(transform, shape):
    case = Case(torch.rand(2, *shape), truth=torch.ones(shape, dtype=torch.int32))
    value = transform.values[3]
    expected = transform(case, value)
    with torch.device("meta"):
        found = transform(case, value)  # what is made without naming the image's device cannot be mixed with it
    assert torch.equal(found.image, expected.image) and torch.equal(found.truth, expected.truth)


@pytest.mark.parametrize("transform", ARTEFACTS + BY_TORCHIO, ids=str)
def test_real_images(transform, data):
    for path in ("cardiac/sax_image.png", "dicom/IM-2831-0017.dcm"):
        case = load_case(data / path)
        conforms(transform, case)
        strongest = max(transform.values, key=lambda v: abs(v - transform.neutral))
        strong = transform(case, strongest).image
        assert not torch.allclose(strong, case.image, atol=0.02 * (case.scale[1] - case.scale[0]))
        assert all(torch.allclose(strong[0], c, rtol=1e-5, atol=1e-3) for c in strong[1:])  # grey stays grey


@pytest.mark.parametrize("transform", ARTEFACTS + BY_TORCHIO, ids=str)
def test_the_same_in_the_same_grey(transform):
    "A case in other units gives the same picture in those units"
    case = phantom((48, 40), seed=1)
    other = Case(case.image * 4000 - 1000, scale=(-1000, 3000), spacing=case.spacing)
    value = transform.values[2]
    assert torch.allclose(transform(other, value).image, transform(case, value).image * 4000 - 1000, atol=0.5)
