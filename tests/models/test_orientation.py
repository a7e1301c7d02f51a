"Volumes in the axes of a network, and back"

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.core.model import Model, as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.models.orientation import Oriented, _steps_to
from misas.transforms.geometry import Translate

ALL = ["".join(p) for letters in product("LR", "AP", "SI") for p in permutations(letters)]


class Told(Model):
    "Remembers what it is told, and says what is bright"

    def predict(self, images, template):
        self.spacing, self.shape = template.spacing, tuple(images.shape[2:])
        return (images[:, 0] > 50).int()

    def probabilities(self, images, template):
        return torch.cat([1 - images / 100, images / 100], 1)


@pytest.fixture
def stored():
    return np.random.default_rng(0).integers(0, 100, (7, 9, 5)).astype(np.float32)


@pytest.fixture
def case(tmp_path, stored):
    nib.save(nib.Nifti1Image(stored, np.diag([2.0, 1, 3, 1])), tmp_path / "ras.nii.gz")
    return load_case(tmp_path / "ras.nii.gz")


@pytest.mark.parametrize("bad", ["RA", "RAL", "xyz", "RAR", "RASL", 3, None, ["R", "A", "S"]])
def test_axes_that_are_none(bad):
    with pytest.raises(ValueError, match="axes must be three letters"):
        _steps_to(bad)


def test_there_are_48_orders():
    assert len(set(ALL)) == 48
    assert nib.aff2axcodes(np.diag([1, 1, 1, 1])) == ("R", "A", "S")


@pytest.mark.parametrize("axes", ALL)
def test_there_and_back_is_the_same(axes, case):
    model = Oriented(lambda x: x, axes)
    assert torch.equal(model._back(model._there(case.image)), case.image)
    assert model._spacing_back(model._spacing_there(case.spacing)) == case.spacing


def test_ras_is_the_order_of_the_file(case, stored):
    model = Oriented(lambda x: x, "RAS")
    assert torch.equal(model._there(case.image)[0], torch.from_numpy(stored))


def test_the_model_is_told_the_spacing_of_its_axes(case):
    told = Told()
    assert case.spacing == (3, 1, 2)
    assert torch.equal(Oriented(told)(case.image[None], case), told(case.image[None], case))
    Oriented(told, "ASL")(case.image[None], case)
    assert told.spacing == (1, 3, 2) and told.shape == (9, 5, 7)
    assert torch.equal(Oriented(told).probabilities(case.image[None], case)[:, 1], case.image / 100)
    assert Oriented(lambda x: x).probabilities(case.image[None], case) is None


def test_an_image_in_2d_stays_as_it_is():
    flat, told = Case(torch.rand(6, 5) * 100), Told()
    assert torch.equal(Oriented(told)(flat.image[None], flat), told(flat.image[None], flat))
    assert torch.equal(Oriented(told).probabilities(flat.image[None], flat)[:, 1], flat.image / 100)


def test_a_sweep():
    assert len(get_series(Oriented(Told()), phantom((4, 16, 16), seed=0), Translate(), [0, 5], progress=False)) == 2


def test_what_prepares_images_sees_the_axes_of_the_model(case):
    def first_half(case):
        n = case.shape[0] // 2
        truth = None if case.truth is None else case.truth[:n]
        return case.replace(image=case.image[:, :n], truth=truth)

    net = torch.nn.Conv3d(1, 2, 1)
    case = case.replace(truth=(case.image[0] > 50).int())
    ready = Oriented(as_model(net, prepare=first_half), "RAS").prepare(case)
    # R comes first there; here it is the last axis, which leads to the left
    assert torch.equal(ready.image, case.image[..., -3:]) and torch.equal(ready.truth, case.truth[..., -3:])
    assert ready.spacing == case.spacing
    assert Oriented(net).prepare(case) is case


def test_name_labels_and_session_are_those_of_the_model():
    inner = as_model(torch.nn.Conv3d(1, 2, 1), name="net", labels=["a", "b"])
    model = Oriented(inner)
    assert (model.name, model.labels, model.device) == ("net", ("a", "b"), inner.device)
    with model.session():
        assert inner._sessions._open
    assert not inner._sessions._open
    assert Oriented(inner).fingerprint() != Oriented(inner, "LPS").fingerprint()
