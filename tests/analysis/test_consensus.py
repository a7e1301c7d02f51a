"Predictions moved back, and their consensus as a truth"

import numpy as np
import pytest
import torch

from misas.analysis.consensus import can_undo, consensus_case, get_answers, undo
from misas.data.phantoms import phantom
from misas.metrics.base import measure
from misas.transforms.basic import Brightness, Compose, Crop, Dihedral, Rotate, Zoom

PERSON = phantom((48, 64), seed=3, spacing=(3, 4))
VOLUME = phantom((6, 48, 48), seed=3, spacing=(8, 4, 4))
UNKNOWN = PERSON.replace(truth=None)


def bright(image):
    return (image > 0.35) * 1


def heart(low):
    "A model with a threshold of its own"

    def model(image):
        rows, columns = np.indices(image.shape)
        near = np.hypot(rows - image.shape[0] / 2, columns - image.shape[1] / 2) < 16
        return near * (image > low)

    return model


MODELS = [heart(t) for t in (0.2, 0.3, 0.35, 0.4, 0.6)]


class Halved:
    "Sees only every other pixel"

    def predict(self, image):
        return (np.asarray(image) > 0.35) * 1

    def prepareSize(self, item):
        return np.asarray(item)[..., ::2, ::2]


@pytest.mark.parametrize("case", [PERSON, VOLUME], ids=["2D", "3D"])
@pytest.mark.parametrize("k", range(8))
def test_orientations_are_undone_without_loss(case, k):
    assert torch.equal(undo(Dihedral(), Dihedral()(case, k).truth, k, case), case.truth)


@pytest.mark.parametrize(
    "transform, value, least",
    [
        (Rotate(), 180, 1),
        (Rotate(), 30, 0.9),
        (Rotate(), -12.5, 0.9),
        (Zoom(), 1.4, 0.95),
        (Brightness(), 2, 1),
        (Rotate(), 0, 1),
    ],
    ids=str,
)
def test_what_has_a_matrix_is_undone_with_little_loss(transform, value, least):
    back = undo(transform, transform(PERSON, value).truth, value, PERSON)
    assert measure(PERSON.truth, back, [1, 2, 3])["dice"].min() >= least


def test_volume_is_rotated_back():
    back = undo(Rotate(), Rotate()(VOLUME, 20).truth, 20, VOLUME)
    assert measure(VOLUME.truth, back, [1, 2, 3])["dice"].min() > 0.85


def test_crop_cannot_be_undone():
    assert not can_undo(Crop()) and not can_undo(Compose(Rotate(), Crop()))
    with pytest.raises(ValueError, match="transform must be one that can be undone .*, got crop"):
        undo(Crop(), PERSON.truth, 3, PERSON)
    with pytest.raises(ValueError, match="can be undone"):
        get_answers(bright, PERSON, Crop())


def test_predictions_by_name_and_value():
    found = get_answers(bright, PERSON, Rotate(), [-20, 0, 20, 45])
    assert list(found) == ["bright", "bright, rotation -20", "bright, rotation 20", "bright, rotation 45"]
    assert {m.shape for m in found.values()} == {(48, 64)}
    plain = found["bright"]
    assert all(measure(plain, m, [1])["dice"] > 0.8 for m in found.values())
    assert torch.equal(found["bright, rotation 45"][:6, :6], plain[:6, :6])  # a corner that was lost


def test_model_that_ignores_direction_predicts_the_same_in_all_orientations():
    found = get_answers(bright, PERSON, "dihedral")
    assert len(found) == 8
    assert all(torch.equal(m, found["bright"]) for m in found.values())


def test_models_of_the_same_name_are_numbered():
    assert list(get_answers([bright, bright], PERSON)) == ["bright", "bright-2"]


def test_function_that_leaves_anatomy_in_place_can_be_undone():
    def shifted(image, value):
        return image + value

    assert list(get_answers(bright, PERSON, shifted, [0.1])) == ["bright", "bright, shifted 0.1"]


def test_consensus_has_the_shape_of_the_case_and_leaves_it_alone():
    assert consensus_case(MODELS, UNKNOWN).truth.shape == PERSON.shape
    assert UNKNOWN.truth is None


def test_middle_threshold_wins_a_vote():
    voted = consensus_case(MODELS, UNKNOWN, method="majority").truth
    assert torch.equal(voted, torch.from_numpy(MODELS[2](PERSON.image[0].numpy()).astype(np.int32)))


def test_consensus_of_one_model_in_several_positions():
    plain = get_answers(bright, PERSON)["bright"]
    turned = consensus_case(bright, UNKNOWN, Rotate(), range(-30, 31, 10))
    assert measure(turned.truth, plain, [1])["dice"] > 0.95


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(method="mean"), "method must be one of 'staple', 'majority', got 'mean'"),
        (dict(models=[]), "models must be at least one model"),
        (dict(transform="crop"), "can be undone"),
        (dict(models=[bright, Halved()]), "different sizes"),
    ],
)
def test_bad_arguments(bad, word):
    with pytest.raises(ValueError, match=word):
        consensus_case(**(dict(models=MODELS, case=UNKNOWN) | bad))


def test_consensus_is_in_the_size_that_the_model_needs():
    assert consensus_case(Halved(), UNKNOWN).shape == (24, 32)
