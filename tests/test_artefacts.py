"Artefacts: beside MONAI, on real images, and on the device of the image"

import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.transforms.basic import conforms
from misas.transforms.kspace import Ghosting, Gibbs, Motion, MotionShift, PartialFourier, Undersampling, WrapAround
from misas.transforms.mri import Blur, Gamma, Noise, RicianNoise, Swap

OWN = [
    Motion(),
    MotionShift(),
    Ghosting(),
    WrapAround(),
    Undersampling(),
    Undersampling(seed=0),
    PartialFourier(),
    Gibbs(),
    Noise(),
    RicianNoise(),
    Gamma(),
]
TORCHIO = [Blur(), Swap()]


@pytest.mark.parametrize("alpha", [0.4, 0.6, 0.9])
def test_gibbs_is_monais_along_one_axis(alpha):
    monai = pytest.importorskip("monai.transforms")
    image = torch.rand(2, 61, 1) + 9
    theirs = np.asarray(monai.GibbsNoise(alpha)(image))
    assert np.allclose(Gibbs()(Case(image), (1 - alpha) * 2**0.5).image, theirs, atol=1e-4)


@pytest.mark.parametrize("transform", OWN, ids=str)
@pytest.mark.parametrize("shape", [(21, 24), (3, 18, 16)], ids=str)
def test_nothing_is_made_on_another_device(transform, shape):
    case = Case(torch.rand(2, *shape), truth=torch.ones(shape, dtype=torch.int32))
    value = transform.values[3]
    expected = transform(case, value)
    with torch.device("meta"):
        found = transform(case, value)  # what is made without naming the image's device cannot be mixed with it
    assert torch.equal(found.image, expected.image) and torch.equal(found.truth, expected.truth)


@pytest.mark.parametrize("transform", OWN + TORCHIO, ids=str)
def test_real_images(transform, data):
    for path in ("cardiac/sax_image.png", "dicom/IM-2831-0017.dcm"):
        case = load_case(data / path)
        conforms(transform, case)
        strong = transform(case, max(transform.values, key=lambda v: abs(v - transform.neutral))).image
        assert not torch.allclose(strong, case.image, atol=0.02 * (case.scale[1] - case.scale[0]))
        assert all(torch.allclose(strong[0], c, rtol=1e-5, atol=1e-3) for c in strong[1:])  # grey stays grey


def test_the_same_in_the_same_grey():
    "A case in other units gives the same picture in those units"
    case = phantom((48, 40), seed=1)
    other = Case(case.image * 4000 - 1000, scale=(-1000, 3000), spacing=case.spacing)
    for transform in OWN + TORCHIO:
        assert torch.allclose(
            transform(other, transform.values[2]).image,
            transform(case, transform.values[2]).image * 4000 - 1000,
            atol=0.5,
        ), transform
