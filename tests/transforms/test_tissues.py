"Random contrast between tissues: classes of brightness, and what is moved where"

import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.transforms.tissues import TissueContrast, _drawn, brightness_classes

HEART = phantom((96, 96), seed=3)
BLIND = HEART.replace(truth=None)


def test_classes_are_those_of_k_means():
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.normal(m, 4, n) for m, n in ((10, 4000), (60, 1500), (110, 3000), (180, 1000))])
    found = brightness_classes(pixels, 4)
    theirs = np.sort(kmeans2(pixels[:, None], found[:, None].copy(), minit="matrix")[0].ravel())
    assert np.abs(found - theirs).max() < 1.5


@pytest.mark.parametrize(
    "pixels", [[3.0] * 9, [0.0, 1.0] * 5, [1.0, 2.0, 5.0, 9.0], [0.0] * 999 + [1.0, 2.0, 7.0, 8.0, 9.0]]
)
def test_few_intensities_are_few_classes(pixels):
    found = brightness_classes(np.array(pixels), 4)
    assert 1 <= len(found) <= 4 and (np.diff(found) > 0).all() and np.isfinite(found).all()


def test_a_label_moves_to_its_brightness():
    white = np.percentile(HEART.image, 99)
    for seed in range(6):
        changed = TissueContrast(seed=seed)(HEART, 1).image[0]
        muscle = HEART.truth == 2
        if _drawn(seed, 0, 2) > 0.3:  # nothing is cut off at black
            assert abs(changed[muscle].mean() - white * _drawn(seed, 0, 2)) < 1e-5
            assert abs(changed[muscle].std() - HEART.image[0][muscle].std()) < 1e-5


def test_a_label_has_the_same_brightness_in_each_image():
    other = phantom((96, 96), seed=8)
    goal = [
        TissueContrast(seed=1)(c, 1).image[0][c.truth == 2].median() / np.percentile(c.image, 99)
        for c in (HEART, other)
    ]
    assert abs(goal[0] - goal[1]) < 0.05


def test_shift_is_in_proportion_to_strength():
    half, whole = (TissueContrast(seed=4)(BLIND, s).image for s in (0.5, 1))
    free = whole > 0
    assert torch.allclose(half[free], ((whole + HEART.image) / 2)[free], atol=1e-6)


def test_air_stays():
    for seed in range(4):
        changed = TissueContrast(seed=seed)(BLIND, 1).image
        assert (changed - HEART.image)[0, :5, :5].abs().max() < 0.05


def test_seeds_are_sequences():
    means = [
        [TissueContrast(seed=s)(HEART, 1).image[0][HEART.truth == k].mean().item() for k in (1, 2)] for s in range(20)
    ]
    contrast = np.diff(means).ravel()
    assert (contrast > 0.1).sum() > 3 and (contrast < -0.1).sum() > 3  # blood is darker or brighter than muscle


def test_channels():
    two = HEART.replace(image=torch.cat([HEART.image, HEART.image.flip(-1)]))
    first, second = TissueContrast()(two, 1).image
    grey = TissueContrast()(HEART.replace(image=HEART.image.expand(3, -1, -1)), 1).image
    assert torch.equal(first, TissueContrast()(HEART, 1).image[0]) and torch.equal(grey[2], grey[0])
    assert not torch.allclose(second.flip(-1), first, atol=0.05)


def test_what_is_not_annotated_has_no_label():
    truth = HEART.truth.clone()
    truth[HEART.truth == 2] = 255
    unknown = Case(HEART.image, truth, spacing=HEART.spacing, scale=(0, 1), ignore=255)
    dropped = Case(HEART.image, truth.masked_fill(truth == 255, 0), spacing=HEART.spacing, scale=(0, 1))
    assert torch.equal(TissueContrast()(unknown, 1).image, TissueContrast()(dropped, 1).image)


@pytest.mark.parametrize("image", [torch.zeros(1, 9, 9), torch.full((1, 9, 9), 3.0), torch.rand(1, 1, 1)])
def test_nothing_to_change(image):
    case = Case(image)
    assert torch.equal(TissueContrast()(case, 1).image, image)


@pytest.mark.parametrize(
    "options, message", [(dict(classes=6), "classes must be an integer >= 2 and <= 5"), (dict(seed=0.5), "seed")]
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        TissueContrast(**options)
    with pytest.raises(ValueError, match="strength of tissue-contrast must be a number >= 0 and <= 1, got 2"):
        TissueContrast()(HEART, 2)
