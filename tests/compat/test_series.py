"Series and score tables as misas 0.1.1 had them"

import inspect

import numpy as np
import pytest
from PIL import Image

import misas.compat as compat
from misas.compat import *

NAMES = "rotation crop brightness contrast zoom dihedral resize spike spike_pos biasfield".split()
STEPS = dict(
    rotation=7, crop=3, brightness=11, contrast=11, zoom=11, dihedral=8, resize=7, spike=6, spike_pos=9, biasfield=4
)


def get_function(name):
    return getattr(compat, f"get_{name}_series")


def eval_function(name):
    return getattr(compat, f"eval_{name.replace('brightness', 'bright')}_series")


def test_scores_of_a_label():
    a = np.array([[1, 1, 0, 2]])
    b = np.array([[1, 0, 0, 1]])
    assert (dice_by_component(a, b), precision_by_component(a, b), recall_by_component(a, b)) == (0.5, 0.5, 0.5)
    assert dice_by_component(a, b, component=3) == 1
    assert recall_by_component(a, b, component=2) == 0
    assert precision_by_component(b, a, component=2) == 0


def test_series_of_a_transform(series):
    assert [step[0] for step in series] == [0, 30, 60, 90]
    assert all(picture.size == (64, 64) for step in series for picture in step[1:])
    assert series[0][1].mode == "RGB"


def test_series_of_a_function(image, model):
    def mirror(picture, value):
        return picture.transpose(Image.FLIP_LEFT_RIGHT)

    mirrored = get_generic_series(image, model, mirror, end=1, step=1)
    assert [step[3] for step in mirrored] == [None, None]
    assert np.array_equal(mirrored[0][1], mirror(image, 0).resize((64, 64)))


def test_truth_stays_unless_it_is_to_move(image, mask, model):
    series = get_generic_series(image, model, rotationTransform, truth=mask, end=90)
    assert np.array_equal(series[3][3], mask.resize((64, 64), Image.NEAREST))


def test_score_table(image, mask, model):
    options = dict(mask_transform_function=rotationTransform, components=["bg", "bright"], param_name="deg")
    table = eval_generic_series(image, mask, model, rotationTransform, end=90, step=30, **options)
    assert list(table.columns) == ["deg", "bg", "bright"]
    assert len(table) == 4
    assert ((0 <= table) & (table <= 90)).all(axis=None)
    prediction = model.predict(model.prepareSize(image))
    assert table.bright[0] == dice_by_component(prediction, mask.resize((64, 64), Image.NEAREST))


def test_score_table_of_a_mask_that_is_prepared_already(image, mask, model):
    ready = mask.resize((64, 64), Image.NEAREST)
    options = dict(end=0, eval_function=lambda p, t, component: component, mask_prepareSize=False)
    table = eval_generic_series(image, ready, model, rotationTransform, **options)
    assert table.values.tolist() == [[0, 0, 1, 2]]


@pytest.mark.parametrize("name", NAMES)
def test_each_transform_has_its_series(image, mask, model, name):
    series = get_function(name)(image, model, truth=mask)
    assert len(series) == STEPS[name]
    for _, shown, pred, truth in series:
        assert shown.size == pred.size == truth.size == (64, 64)
        assert set(np.unique(truth)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("name", NAMES)
def test_each_transform_has_its_score_table(image, mask, model, name):
    small = dict(end=220) if name == "resize" else {}
    table = eval_function(name)(image, mask, model, components=["bg", "c1", "c2", "c3"], **small)
    assert list(table.columns)[1:] == ["bg", "c1", "c2", "c3"]
    assert table.notna().all(axis=None)


def test_defaults_are_those_of_misas_0_1_1(image, mask, model):
    turned = eval_rotation_series(image, mask, model, 30)  # the fourth argument is the step
    assert list(turned.deg) == list(range(0, 361, 30))
    assert get_dihedral_series(image, model)[-1][0] == 7
    assert list(eval_bright_series(image, mask, model).brightness.round(2))[-1] == 0.95
    contrast = eval_contrast_series(image, mask, model).contrast
    assert np.allclose(contrast, [2 ** (k / 2) for k in range(-4, 7)])
    assert get_crop_series(image, model, finalSize=(40, 40))[0][1].size == (64, 64)


def test_arguments_can_be_seen():
    arguments = inspect.signature(get_zoom_series).parameters
    assert list(arguments) == ["image", "model", "start", "end", "step", "finalSize", "kwargs"]
    assert arguments["step"].default == 0.1
