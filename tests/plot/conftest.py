"What the tests of pictures draw"

import numpy as np
import pytest
import torch

from misas.core.sweeps import get_series
from misas.data.phantoms import phantom
from misas.models.demo import demo_model
from misas.transforms.basic import Brightness, Dihedral, Resize, Rotate


def bright(image):
    "A model that works on images of any size"
    return np.asarray(image > 0.4, int)


@pytest.fixture(scope="session")
def case():
    "An image"
    return phantom((128, 128), seed=3, spacing=1.5, noise=0.005)


@pytest.fixture(scope="session")
def stubborn(case):
    "A model that finds the heart only where it used to be"
    where = case.truth.clone()

    def predict(image):  # `(H, W)`
        blood = torch.as_tensor(image) > 0.38
        return torch.where((where == 2) == blood, 0, where).int()

    return predict


@pytest.fixture(scope="session")
def series(case, stubborn):
    "Four rotations of the image"
    return get_series(stubborn, case, Rotate(), values=range(0, 91, 30), progress=False)


@pytest.fixture(scope="session")
def turned(case):
    "An image that is not square, and after a quarter turn"
    oblong = case.replace(image=case.image[:, 20:, :90], truth=case.truth[20:, :90])
    return get_series(bright, oblong, Dihedral(), values=[0, 2], progress=False)


@pytest.fixture(scope="session")
def resized(case):
    "An image in two sizes"
    return get_series(bright, case, Resize(), values=[32, 128], progress=False)


@pytest.fixture(scope="session")
def without_truth(case):
    "A single step, with neither truth nor names"
    unknown = case.replace(truth=None, labels=None)
    return get_series(bright, unknown, Resize(), values=[32], progress=False)


@pytest.fixture(scope="session")
def deep():
    "A volume whose affine is not known"
    volume = phantom((6, 48, 48), seed=3)
    return get_series(lambda x: np.digitize(x, [0.5, 2]), volume, Brightness(), values=[0.5, 1, 2], progress=False)


@pytest.fixture(scope="session")
def standing():
    "The same volume, its slices from the feet to the head"
    affine = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [8, 0, 0, 0], [0, 0, 0, 1.0]])
    upright = phantom((6, 48, 48), seed=3).replace(affine=affine)
    return get_series(lambda x: np.digitize(x, [0.5, 2]), upright, Brightness(), values=[0.5, 1, 2], progress=False)


@pytest.fixture(scope="session")
def stack():
    "An oblique short-axis stack"
    affine = np.eye(4)
    directions = np.array([[-0.71, 0.1, -0.69], [0.53, -0.57, -0.63], [-0.46, -0.81, 0.35]])
    affine[:3, :3] = directions * (8, 2.5, 2.5)  # columns: base to apex, down the screen, across it
    return phantom((12, 72, 64), seed=3, spacing=(8, 2.5, 2.5)).replace(affine=affine)


@pytest.fixture(scope="session")
def by_slices():
    "A model that segments a volume slice by slice"
    net = demo_model()

    def predict(volume):  # `(D, H, W)`
        with torch.inference_mode():
            return net(torch.as_tensor(volume)[:, None]).argmax(1)

    return predict


@pytest.fixture(scope="session")
def stack_series(stack, by_slices):
    "The stack, darker and brighter"
    return get_series(by_slices, stack, Brightness(), values=[0.25, 1, 4], progress=False)


@pytest.fixture(scope="session")
def finer(stack):
    "The stack in three sizes"
    return get_series(lambda x: x > 1, stack, Resize(axes=(-2, -1)), values=[36, 72, 144], progress=False)
