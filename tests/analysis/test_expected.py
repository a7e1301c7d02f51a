"Expected Dice: drawn truths, limits; temperature: found again"

import numpy as np
import pytest
import torch

from misas.analysis.confidence import confidence_table, soft_dice_confidence
from misas.analysis.expected import expected_dice, fit_temperature, tempered
from misas.core.cases import Case
from misas.core.model import Model
from misas.data.phantoms import phantom
from misas.models.demo import demo_model


@pytest.mark.parametrize("shape", [(6, 7), (4, 5, 6)])
def test_as_the_mean_of_drawn_truths(shape):
    rng = np.random.default_rng(0)
    p = torch.tensor(rng.beta(0.4, 0.6, shape))
    maps, mask = torch.stack([1 - p, p]), (p > 0.5).int()
    drawn = torch.tensor(rng.random((20_000, *shape))) < p
    axes = tuple(range(1, p.ndim + 1))
    dice = 2 * (drawn & (mask == 1)).sum(axes) / (drawn.sum(axes) + mask.sum())
    error = abs(expected_dice(maps, mask, [1])[1] - dice.mean().item())
    assert error < 0.002 and error < abs(soft_dice_confidence(maps, mask, [1])[1] - dice.mean().item())


def test_certain_probabilities_and_empty_masks():
    mask = torch.tensor([[0, 1, 1]])
    maps = torch.stack([(mask == k).double() for k in range(3)])
    found = expected_dice(maps, mask, [1, 2])
    assert found[1] == 1 and np.isnan(found[2])


class Sharp(Model):
    "Probabilities of the image, three times as sure as they should be"

    name = "sharp"

    def __call__(self, batch, template=None):
        return self.probabilities(batch).argmax(1).int()

    def probabilities(self, batch, template=None):
        logit = torch.logit(batch[:, 0].double()) * 3
        return torch.stack([1 - torch.sigmoid(logit), torch.sigmoid(logit)], 1).float()


def test_the_temperature_is_found_again():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.95, (4, 1, 60, 60))
    truths = (rng.random(p.shape[0:1] + p.shape[2:]) < p[:, 0]).astype(np.int32)
    cases = [
        Case(torch.tensor(a, dtype=torch.float32), torch.tensor(b), name=str(i))
        for i, (a, b) in enumerate(zip(p, truths))
    ]
    temperature = fit_temperature(Sharp(), cases)
    assert temperature == pytest.approx(3, rel=0.05)
    maps = tempered(Sharp().probabilities(cases[0].image[None])[0], 3)
    assert torch.allclose(maps[1], cases[0].image[0], atol=1e-3)
    table = confidence_table(Sharp(), cases, method="expected", temperature=temperature, progress=False)
    assert (table.confidence - table.score).abs().max() < 0.03
    sure = confidence_table(Sharp(), cases, method="expected", progress=False)
    assert (sure.confidence - sure.score).min() > 0.1


def test_bad_input():
    maps, mask = torch.rand(2, 4, 4), torch.zeros(4, 4, dtype=torch.int32)
    with pytest.raises(ValueError, match="shape of mask must be"):
        expected_dice(maps, mask[:2], [1])
    with pytest.raises(ValueError, match="labels must be"):
        expected_dice(maps, mask, [2])
    with pytest.raises(ValueError, match="cases must be at least one case"):
        fit_temperature(demo_model(), [])
    with pytest.raises(ValueError, match="gives no probabilities"):
        fit_temperature(lambda x: x > 0, phantom((32, 32)))
    with pytest.raises(ValueError, match="temperature must be"):
        confidence_table(demo_model(), phantom((32, 32)), temperature=0, progress=False)
