"Activation maps whose right values follow from a formula, along sweeps and through wrappers"

import warnings

import pytest
import torch
from torch import nn

import misas as ms


def linear(ndim, factor=2.0, bias=0.3):
    "Logit of label 1: factor * intensity + bias; of label 0: 0"
    conv = nn.Conv2d if ndim == 2 else nn.Conv3d
    net = nn.Sequential(conv(1, 1, 1, bias=False), nn.Identity(), conv(1, 2, 1))
    net[0].weight.data.fill_(1.0)
    net[2].weight.data.copy_(torch.tensor([0.0, factor]).reshape(2, *[1] * (ndim + 1)))
    net[2].bias.data.copy_(torch.tensor([0.0, bias]))
    return net


def image(*shape, seed=0):
    return ms.Case(torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)), scale=(0, 1))


def explained(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


@pytest.mark.parametrize("shape", [(8, 8), (7, 11), (5, 6, 7)])
@pytest.mark.parametrize("pixels", ["all", "point"])
def test_map_is_the_logit_without_bias_over_the_number_of_positions(shape, pixels):
    "Whatever the pixels are: the mean of the gradient over positions is 1 / positions"
    case = image(*shape)
    chosen = torch.ones(shape, dtype=torch.bool) if pixels == "all" else tuple(n // 2 for n in shape)
    found = explained(ms.activation_map, linear(len(shape)), case, 1, "0", chosen)[0].maps[0]
    assert torch.allclose(found, 2 * case.image[0] / found.numel(), atol=1e-7)


def test_brightness_scales_the_map_and_one_scale_shows_it():
    case = image(8, 8)
    series = explained(
        ms.activation_series, linear(2), case, ms.Brightness(), [0.25, 0.5, 1], 1, "0", (4, 4), progress=False
    )
    tops = [float(m.max()) for m in series.normalised()]
    assert tops == pytest.approx([0.25, 0.5, 1])


def test_turning_the_image_turns_the_map():
    case = image(9, 9)
    inside = torch.zeros(9, 9, dtype=torch.bool)
    inside[1:4, 2:7] = True
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    series = explained(ms.activation_series, net, case, ms.Rotate(), [0, 90, 180], 1, "1", inside, progress=False)
    for turns, step in enumerate(series):
        assert torch.equal(step.pixels, inside.rot90(turns))
        assert torch.allclose(step.maps[0], series[0].maps[0].rot90(turns), atol=1e-7)


def test_wrapped_in_a_turned_and_a_padded_model():
    case = image(5, 6, 7)
    everywhere = torch.ones(5, 6, 7, dtype=torch.bool)
    turned = explained(ms.activation_map, ms.Oriented(linear(3), "RAS"), case, 1, "0", everywhere)[0].maps[0]
    assert torch.allclose(turned, 2 * case.image[0] / 210, atol=1e-7)
    # in a padded image there are 8 * 8 * 8 positions
    padded = explained(ms.activation_map, ms.as_model(linear(3), size=ms.PadTo(8)), case, 1, "0", everywhere)
    assert torch.allclose(padded[0].maps[0], 2 * case.image[0] / 512, atol=1e-7)


def test_replicates_with_opposite_weights_do_not_cancel():
    "The mean is of maps after ReLU, so what speaks for the label in one run is kept"
    case = image(8, 8)
    options = dict(label=1, layer="0", pixels=(4, 4))
    both = explained(ms.activation_map, [linear(2), linear(2, -2.0)], case, **options)[0].maps[0]
    assert torch.allclose(both, 2 * case.image[0] / 64 / 2, atol=1e-7)


def test_what_one_may_do_with_a_figure(tmp_path):
    case = image(16, 16)
    figure = explained(
        ms.explain_series, linear(2), case, "brightness", [0.5, 1], 1, "0", pixels=(4, 4), progress=False
    )
    assert figure.explanation.label == 1 and ms.gif_explanation(figure, tmp_path / "a.gif").exists()
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
