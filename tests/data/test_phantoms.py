"The phantom: bad arguments, every shape, and what of it is public"

import numpy as np
import pytest

import misas.data.phantoms
from misas.data.phantoms import phantom, phantom_arrays


@pytest.mark.parametrize(
    "bad, name",
    [
        (dict(shape=(8, 256)), "shape"),
        (dict(shape=256), "shape"),
        (dict(shape=(64.0, 64)), "shape"),
        (dict(seed=-1), "seed"),
        (dict(noise=-0.1), "noise"),
        (dict(spacing=0), "spacing"),
        (dict(spacing=(1, 1, 1)), "spacing"),
        (dict(phase=1.5), "phase"),
        (dict(level=0.5, shape=(4, 64, 64)), "level"),
        (dict(texture=None), "texture"),
        (dict(tissue=dict(gold=1)), "tissue must be one of .* got 'gold'"),
        (dict(tissue=dict(blood="bright")), "tissue"),
        (dict(centre=0.5), "centre"),
        (dict(shading="strong"), "shading"),
        (dict(rotation=np.nan), "rotation"),
    ],
)
def test_bad_arguments_are_named(bad, name):
    with pytest.raises(ValueError, match=f"^(names in )?{name}"):
        phantom_arrays(**bad)


@pytest.mark.parametrize("seed", range(40))
def test_the_heart_stays_inside_every_shape(seed):
    shape = [(64, 64), (65, 97), (128, 50)][seed % 3]
    image, mask, spacing = phantom_arrays(shape, seed)
    assert image.shape == mask.shape == shape and len(spacing) == 2
    assert image.dtype == np.float32 and mask.dtype == np.uint8
    assert 0 <= image.min() and image.max() <= 1
    assert np.unique(mask).tolist() == [0, 1, 2, 3]
    assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()
    assert np.median(image[mask == 1]) > 1.5 * np.median(image[mask == 2])  # blood and muscle


def test_the_same_seed_is_the_same_person():
    assert np.array_equal(phantom_arrays((64, 64), 3)[0], phantom_arrays((64, 64), 3)[0])
    assert not np.array_equal(phantom_arrays((64, 64), 3)[0], phantom_arrays((64, 64), 4)[0])


def test_spacing_of_one_number_or_one_per_axis():
    assert phantom((64, 64), spacing=3).spacing == (3, 3)
    assert phantom((4, 64, 64), spacing=(9, 3, 2)).spacing == (9, 3, 2)


def test_only_five_names_are_public():
    assert sorted(misas.data.phantoms.__all__) == ["LABELS", "TISSUES", "draw_tissues", "heart_mask", "phantom"]
