"Endoscopy: highlights, smoke, uneven light"

import numpy as np
import pytest
import torch

from misas.core.cases import Case
from misas.transforms.endoscopy import Smoke, SpecularHighlights, UnevenLight

row, col = np.indices((60, 71))
waves = np.stack([np.sin(row / 7), np.cos(col / 9), np.sin(row / 5 + col / 6)]).astype(np.float32)
TISSUE = Case(0.3 + 0.2 * waves, scale=(0, 1))
ROUND = TISSUE.replace(image=torch.where(torch.from_numpy((row - 30) ** 2 + (col - 35) ** 2 < 29**2), TISSUE.image, 0))


def saturated(case, area, **options):
    return (SpecularHighlights(**options)(case, area).image == 1).all(0)


@pytest.mark.parametrize("area", [0.001, 0.01, 0.1, 0.6, 1])
def test_the_area_is_what_is_saturated(area):
    assert saturated(TISSUE, area).sum() == round(area * 60 * 71)
    view = int((ROUND.image > 0).any(0).sum())
    found = saturated(ROUND, area)
    assert found.sum() == round(area * view) and not found[(ROUND.image == 0).all(0)].any()


def test_highlights_grow():
    steps = [saturated(TISSUE, area) for area in (0.01, 0.03, 0.1, 0.4)]
    assert all((small <= large).all() for small, large in zip(steps, steps[1:]))
    changed = [SpecularHighlights()(TISSUE, area).image for area in (0.01, 0.03, 0.1)]
    assert all((a <= b + 1e-6).all() for a, b in zip(changed, changed[1:]))
    assert not torch.equal(saturated(TISSUE, 0.1), saturated(TISSUE, 0.1, seed=4))


def test_highlights_are_rather_where_it_is_bright():
    half = TISSUE.replace(image=torch.where(torch.from_numpy(col < 35), 0.1, 0.6).expand(3, -1, -1).float())
    found = [saturated(half, 0.05, seed=seed) for seed in range(10)]
    assert sum(int(f[:, 35:].sum()) for f in found) > 2 * sum(int(f[:, :35].sum()) for f in found)


def test_spots_have_their_size():
    even = TISSUE.replace(image=torch.full((1, 200, 200), 0.5))
    edges = [saturated(even, 0.1, size=size).float().diff().abs().sum() for size in (0.01, 0.05)]
    assert edges[0] > 2 * edges[1]


def passed(thickness, **options):
    "The light that arrives, from two pictures"
    smoke = Smoke(airlight=0.6, **options)
    dim, white = (smoke(TISSUE.replace(image=torch.full((3, 60, 71), g)), thickness).image[0] for g in (0.2, 1.0))
    return (white - dim).double() / 0.8


def test_smoke_obeys_beer_and_lambert():
    once, twice = passed(0.4), passed(0.8)
    assert torch.allclose(twice, once**2, atol=1e-5)
    assert abs(-once.log().mean() - 0.4) < 1e-4
    assert (-once.log()).std() > 0.1  # in swathes
    assert not torch.allclose(passed(0.4, seed=1), once)


def test_smoke_scatters_the_airlight():
    thick = Smoke(airlight=0.7)(TISSUE, 1e4).image
    assert torch.allclose(thick, torch.tensor(0.7))
    same = Smoke(airlight=0.5)(TISSUE.replace(image=torch.full((3, 9, 9), 0.5)), 1).image
    assert torch.allclose(same, torch.tensor(0.5))


def test_black_around_the_picture_stays():
    outside = (ROUND.image == 0).all(0)
    smoky = Smoke()(ROUND, 1).image
    assert not smoky[:, outside].any() and (smoky[:, ~outside] != ROUND.image[:, ~outside]).all()
    black = TISSUE.replace(image=torch.zeros(3, 9, 9))
    assert torch.equal(Smoke()(black, 1).image, black.image)
    assert torch.equal(SpecularHighlights()(black, 0.5).image, black.image)


def test_light_falls_with_the_square_of_the_distance():
    white = TISSUE.replace(image=torch.ones(2, 41, 81))
    light = UnevenLight(centre=(0, 0.5))(white, 0.5).image
    assert light[0, 0, 40] == 1 and abs(light[1, 40, 80] - 0.5) < 1e-6
    assert abs(light[0, 0, 60] - (1 - 0.5 * 20**2 / (40**2 + 40**2))) < 1e-6
    volume = UnevenLight(centre=(0, 0.5))(white.replace(image=torch.ones(1, 3, 41, 81)), 0.5).image
    assert torch.equal(volume[0, 2], light[0])


@pytest.mark.parametrize("transform, value", [(SpecularHighlights(), 0.1), (Smoke(), 1), (UnevenLight(), 0.5)])
def test_any_scale_and_any_channels(transform, value):
    wide = TISSUE.replace(image=TISSUE.image * 255, scale=(0.0, 255.0))
    assert torch.allclose(transform(wide, value).image / 255, transform(TISSUE, value).image, atol=1e-4)
    grey = TISSUE.replace(image=TISSUE.image[:1].repeat(4, 1, 1))
    changed = transform(grey, value).image
    assert all(torch.equal(changed[0], c) for c in changed[1:])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SpecularHighlights(size=0), "size must be a number > 0"),
        (
            lambda: SpecularHighlights()(TISSUE, 1.2),
            "area of specular-highlights must be a number >= 0 and <= 1",
        ),
        (lambda: Smoke(airlight=-1), "airlight must be"),
        (lambda: Smoke()(TISSUE, -1), "thickness of smoke must be a number >= 0, got -1"),
        (lambda: UnevenLight(centre=(1,)), "centre must be two numbers"),
        (lambda: UnevenLight(centre="ab"), "centre must be two numbers"),
    ],
)
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
