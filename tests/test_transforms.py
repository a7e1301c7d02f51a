"Every transform keeps its promises: in 2D and 3D, at odd sizes, with anisotropic spacing, with one, three and four channels"

import numpy as np
import pytest
import torch

from misas.all import *

pytestmark = pytest.mark.filterwarnings("ignore:.*takes HU")  # the same noise for all of them

SHAPES = {"square": (16, 16), "oblong": (17, 23), "volume": (7, 18, 13)}
SPACING = {2: (1.5, 0.8), 3: (5, 1.2, 0.9)}
TRANSFORMS = known_transforms()
ONLY_3D = {"rotation-3d"}


def case_of(shape, channels):
    "Noise on a slope, with four labels"
    rng = np.random.default_rng(sum(shape) + channels)
    image = rng.random((channels, *shape)).astype(np.float32) * 80 + np.linspace(0, 120, shape[-1], dtype=np.float32)
    return Case(image, truth=rng.integers(0, 4, shape), spacing=SPACING[len(shape)])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_conforms(name, shape, channels):
    case, transform = case_of(SHAPES[shape], channels), TRANSFORMS[name]()
    if name in ONLY_3D and case.ndim == 2:
        pytest.skip("three dimensions only")
    if name == "saturation" and channels == 4:
        pytest.skip("colours only")
    conforms(transform, case)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_random_state_is_left_alone(name):
    case, transform = case_of(SHAPES["volume"], 1), TRANSFORMS[name]()
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    transform(case, transform.values_for(case)[-1])
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_knows_itself(name):
    transform = TRANSFORMS[name]()
    assert transform.param and len(transform.values_for(case_of(SHAPES["volume"], 1))) > 1 and str(transform) == name
