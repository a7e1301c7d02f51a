"Reorient and Respace: the same object on another array"

import nibabel as nib
import numpy as np
import pytest
import torch

import misas as ms
from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.transforms.grids import AXIS_CODES, Reorient, Respace, axis_codes

VOLUME = Case(torch.rand(2, 4, 5, 6), np.arange(120).reshape(4, 5, 6) % 4, spacing=(3, 2, 1))
TO_MM = np.array([[0, 0, -1.0, 5], [0, -2, 0, 7], [3, 0, 0, -3], [0, 0, 0, 1]])
PLACED = VOLUME.replace(affine=TO_MM)


@pytest.mark.parametrize("codes", AXIS_CODES)
def test_every_orientation_is_that_of_nibabel_and_without_loss(codes):
    turned = Reorient()(PLACED, codes)
    steps = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(TO_MM), nib.orientations.axcodes2ornt(tuple(codes))
    )
    expected = nib.orientations.apply_orientation(PLACED.image[1].numpy(), steps)
    assert np.array_equal(turned.image[1], expected)
    assert np.allclose(turned.affine, TO_MM @ nib.orientations.inv_ornt_aff(steps, PLACED.shape))
    assert np.allclose(turned.spacing, np.linalg.norm(turned.affine[:3, :3], axis=0))
    assert axis_codes(turned) == codes == "".join(nib.aff2axcodes(turned.affine))
    back = Reorient()(turned, "SPL")
    assert torch.equal(back.image, PLACED.image) and torch.equal(back.truth, PLACED.truth)
    assert np.allclose(back.affine, TO_MM) and back.spacing == PLACED.spacing


@pytest.mark.parametrize("value", ["RAS -> LIP", "ras → lip", "RAS->LIP"])
def test_words_for_a_turn(value):
    turned = Reorient()(VOLUME, value)
    assert turned.shape == (4, 6, 5) and turned.spacing == (3, 1, 2)
    assert torch.equal(turned.image, VOLUME.image.flip(1, 2, 3).transpose(2, 3))
    back = Reorient()(turned, "LIP -> RAS")
    assert torch.equal(back.image, VOLUME.image) and torch.equal(back.truth, VOLUME.truth)
    assert Reorient().value_name(value) == "RAS → LIP"


def test_own_axes_come_first_and_change_nothing():
    assert Reorient().values_for(PLACED)[0] == Reorient().neutral_for(PLACED) == "SPL"
    assert len(set(Reorient().values_for(PLACED))) == 48
    assert Reorient()(PLACED, "SPL") is PLACED
    assert axis_codes(VOLUME) == "SPL"


@pytest.mark.parametrize("bad", ["RAP", "RA", "", "RAS -> ", "RAS -> LIP -> SPL", 3, None, "RRA"])
def test_no_axis_codes(bad):
    with pytest.raises(ValueError, match="axes of reorientation must be axis codes"):
        Reorient()(VOLUME, bad)


def test_arrow_that_starts_elsewhere():
    with pytest.raises(ValueError, match="starts from the axes of case 'case', SPL, which its affine gives"):
        Reorient()(PLACED, "RAS -> LIP")


def test_picture_has_no_such_axes():
    with pytest.raises(ValueError, match="3 spatial axes, got 2.*use Dihedral"):
        Reorient()(phantom((32, 32)), "RAS")


def test_sweep_over_orientations():
    plain = Case(torch.rand(4, 5, 6).numpy()[None], np.arange(120).reshape(4, 5, 6) % 2, name="plain")
    scores = ms.evaluate(lambda x: (np.squeeze(x) > 0.5).astype(int), plain, Reorient(), ["SPL", "RAS"], progress=False)
    assert (scores.groupby("label").score.nunique() == 1).all()
    assert list(scores["value"].unique()) == ["SPL", "RAS"]


def test_respace_to_cubes_and_per_axis():
    cubes = Respace()(PLACED, 1)
    assert cubes.shape == (12, 10, 6) and cubes.spacing == (1, 1, 1)
    assert np.allclose(np.linalg.norm(cubes.affine[:3, :3], axis=0), 1)
    centres = [c.affine @ [*(np.array(c.shape) - 1) / 2, 1] for c in (cubes, PLACED)]
    assert np.allclose(*centres)
    assert Respace()(VOLUME, (3, 2, 2)).shape == (4, 5, 3)
    assert Respace()(VOLUME, (3, 2, 1)) is VOLUME


@pytest.mark.parametrize("bad", [0, -1, (1, 0, 1), (1, 2), "1 mm", (), (1, 1, 1e-9), 1e-9])
def test_no_spacing(bad):
    with pytest.raises((ValueError, TypeError), match="spacing of respace must be"):
        Respace()(VOLUME, bad)


def test_zoom_and_resize_take_all_axes_unless_told_otherwise():
    ball = Case(
        torch.zeros(1, 33, 33, 33),
        (np.hypot(np.hypot(*np.indices((33,) * 3)[:2] - 16), np.indices((33,) * 3)[2] - 16) <= 6).astype(int),
    )
    whole, flat = ms.Zoom()(ball, 2).truth, ms.Zoom(axes=(-2, -1))(ball, 2).truth
    assert [int(whole.any(1).any(1).sum()), int(flat.any(1).any(1).sum())] == [26, 13]
    assert ms.Resize()(ball, 66).shape == (66, 66, 66) and ms.Resize(axes=(1, 2))(ball, 66).shape == (33, 66, 66)
