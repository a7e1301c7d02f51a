"Haze in fundus photographs"

import numpy as np
import pytest
import torch
from skimage import data

from misas.core.cases import Case
from misas.data.loading import load_case
from misas.transforms.fundus import Haze

GREY = Case(torch.full((1, 41, 61), 0.2), scale=(0, 1))
RETINA = load_case(np.ascontiguousarray(data.retina()[::8, ::8]), name="retina")


def test_scattered_light_in_closed_form():
    hazy = Haze(airlight=0.9, centre=(0.5, 0.25), spread=0.2)(GREY, 0.7).image[0]
    for r, c in ((20, 15), (20, 25), (5, 40)):
        share = 0.7 * np.exp(-((r - 20) ** 2 + (c - 15) ** 2) / (2 * (0.2 * 41) ** 2))
        assert abs(hazy[r, c] - (0.2 * (1 - share) + 0.9 * share)) < 1e-6


def test_the_black_around_the_aperture_stays():
    hazy = Haze()(RETINA, 0.9).image
    outside = (RETINA.image < 5).all(0)
    assert outside.sum() > 1000 and torch.equal(hazy[:, outside], RETINA.image[:, outside])
    centre = RETINA.shape[0] // 2, RETINA.shape[1] // 2
    light = torch.tensor(Haze().airlight) * 255
    expected = RETINA.image[:, centre[0], centre[1]] * 0.1 + light * 0.9
    assert torch.allclose(hazy[:, centre[0], centre[1]], expected, atol=1)


def test_a_picture_without_colours_has_grey_haze():
    dense = Haze(spread=1e3)(GREY, 1).image
    assert torch.allclose(dense, torch.tensor(sum(Haze().airlight) / 3))
    four = GREY.replace(image=torch.full((4, 3, 41, 61), 0.2))
    assert torch.allclose(Haze(spread=1e3)(four, 1).image[2], torch.tensor(sum(Haze().airlight) / 3))


def test_contrast_falls_by_the_share():
    hazy = Haze(spread=1e3)(RETINA, 0.6).image
    inside = (RETINA.image > 60).any(0)
    assert abs(hazy[0][inside].std() / RETINA.image[0][inside].std() - 0.4) < 1e-3


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Haze(airlight=(1, 2)), "airlight must be one number from 0 to 1, or three"),
        (lambda: Haze(airlight=2), "airlight must be one number from 0 to 1, or three"),
        (lambda: Haze(centre=(1, 2, 3)), "centre must be two numbers"),
        (lambda: Haze(spread=0), "spread must be a number > 0"),
        (lambda: Haze()(GREY, 2), "share of haze must be a number >= 0 and <= 1, got 2"),
    ],
)
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
