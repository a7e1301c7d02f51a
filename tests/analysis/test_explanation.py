"Activation maps of cases and sweeps: pixels, labels, replicates, scale, warnings"

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import misas as ms
from misas.analysis.explanation import shared_activation


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 1)).eval()


@pytest.fixture(scope="module")
def case():
    return ms.phantom((64, 64), seed=1)


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


# ---------------------------------------------------------------- pixels


def test_pixels_are_those_of_the_unchanged_prediction(case):
    model = ms.as_model(ms.demo_model())
    inside = model(case.image[None], case)[0] == 1
    series = quietly(ms.activation_series, model, case, "brightness", [0.01, 1, 3], "LV", progress=False)
    assert all(torch.equal(step.pixels, inside) for step in series)
    black = quietly(ms.activation_series, model, case, ms.Spike(), [20], "LV", progress=False)[0]
    assert (
        not torch.equal(black.pred == 1, inside) and torch.equal(black.pixels, inside) and black.maps.isfinite().all()
    )


def test_pixels_follow_the_anatomy_or_stay(case):
    model = ms.as_model(ms.demo_model())
    inside = model(case.image[None], case)[0] == 1
    turned = quietly(ms.activation_series, model, case, ms.Rotate(), [90], "LV", progress=False)[0]
    assert torch.equal(turned.pixels, inside.rot90())
    fixed = quietly(ms.activation_series, model, case, ms.Rotate(), [90], "LV", follow=False, progress=False)[0]
    assert torch.equal(fixed.pixels, inside) and torch.equal(fixed.image, turned.image)
    with pytest.raises(ValueError, match="follow must be True where the size of the image changes"):
        quietly(ms.activation_series, model, case, ms.Resize(), [32], "LV", follow=False, progress=False)
    small = quietly(ms.activation_series, model, case, ms.Resize(), [32], "LV", progress=False)[0]
    assert small.maps.shape == (2, 32, 32) == (2, *small.pixels.shape)


def test_other_sets_of_pixels(case, net):
    truth = ms.activation_map(ms.demo_model(), case, "LV", "deep", "truth")[0]
    assert torch.equal(truth.pixels, case.truth == 1)
    whole = torch.ones(64, 64, dtype=torch.bool)
    by_mask = ms.activation_map(net, case, 1, "1", whole)[0]
    assert torch.equal(by_mask.maps, ms.activation_map(net, case, 1, "1", whole.numpy())[0].maps)
    points = ms.activation_map(net, case, 1, "1", (10, 20))[0].pixels
    assert points.nonzero().tolist() == [[10, 20]]
    largest = ms.activation_map(ms.demo_model(), case, "LV", "deep", "component")[0].pixels
    assert largest.any() and not (largest & (ms.as_model(ms.demo_model())(case.image[None], case)[0] != 1)).any()


@pytest.mark.parametrize(
    "pixels, message",
    [
        ("prediktion", r"pixels must be one of 'prediction'.*did you mean 'prediction'"),
        ((64, 0), r"pixels must be a point of 2 integers from 0 to \(63, 63\) in case 'phantom-1', got \(64, 0\)"),
        ((1, 2, 3), "a point of 2 integers"),
        (
            np.ones((3, 3), bool),
            r"a mask of True and False of the shape \(64, 64\) of case 'phantom-1', got shape \(3, 3\)",
        ),
        (np.full((64, 64), 2), "a mask of True and False"),
        (3, "pixels must be one of"),
        (None, "pixels must be one of"),
    ],
)
def test_other_pixels_are_an_error(case, net, pixels, message):
    with pytest.raises(ValueError, match=message):
        ms.activation_map(net, case, 1, "1", pixels)


def test_truth_that_is_not_there(net, case):
    bare = ms.Case(case.image, name="bare")
    with pytest.raises(ValueError, match="case 'bare' must have a truth for pixels='truth'"):
        ms.activation_map(net, bare, 1, pixels="truth")


def test_label_that_is_predicted_nowhere_has_a_map_of_zeros(net):
    never = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1))
    never[2].bias.data = torch.tensor([100.0, -100.0])
    case = ms.Case(torch.rand(1, 8, 8), name="empty")
    with pytest.warns(
        UserWarning, match=r"case 'empty': label '1' is predicted nowhere, so its map is 0.*pixels='truth'"
    ):
        found = ms.activation_map(never, case, 1, layer="1")[0]
    assert found.maps.shape == (1, 8, 8) and not found.maps.any() and not found.pixels.any()


def test_pixels_that_leave_the_image_are_said_once(case):
    shift = ms.as_transform(
        lambda image, n: np.roll(image, n, -1), mask=lambda mask, n: mask * (n == 0), param="n", neutral=0
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        series = ms.activation_series(ms.demo_model(), case, shift, [0, 1, 2], "LV", "deep", progress=False)
    lost = [str(w.message) for w in said if "are left in the image" in str(w.message)]
    assert len(lost) == 1 and "at n = 1, 2 none" in lost[0]
    assert series[0].maps.any() and not series[1].maps.any()


# ---------------------------------------------------------------- labels


def test_labels_by_name_and_number(case):
    model = ms.demo_model()
    by_name = ms.activation_map(model, case, "MY", "deep")
    assert by_name.label == 2 and by_name.label_name == "MY"
    assert torch.equal(by_name[0].maps, ms.activation_map(model, case, 2, "deep")[0].maps)
    with pytest.raises(
        ValueError, match=r"label must be one of 'bg', 'LV', 'MY', 'RV', got 'LVV' \(did you mean 'LV'\?\)"
    ):
        ms.activation_map(model, case, "LVV")
    with pytest.raises(ValueError, match="label must be the name or number of a label, got None; known are 'bg'"):
        ms.activation_map(model, case)
    with pytest.raises(ValueError, match="label must be a name, or a number >= 0 and < 2"):
        ms.activation_map(model, case, -1)
    with pytest.raises(TypeError, match="label must be the name or the number"):
        ms.activation_map(model, case, 1.5)


def test_only_label_of_a_binary_network(net, case):
    model = ms.as_model(net, labels=["bg", "organ"])
    assert quietly(ms.activation_map, model, case).label == 1


# ---------------------------------------------------------------- replicates and scale


def test_mean_over_replicates_comes_before_normalising(case):
    torch.manual_seed(1)
    nets = [nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 1)) for _ in range(3)]
    nets[1][2].weight.data *= 10
    whole = torch.ones(64, 64, dtype=torch.bool)
    maps = [ms.activation_map(n, case, 1, "0", whole)[0].maps for n in nets]
    expected = torch.stack(maps).mean(0)
    for several in (nets, dict(enumerate(nets)), ms.Ensemble(nets, "mean")):
        found = ms.activation_map(several, case, 1, "0", whole)
        assert torch.allclose(found[0].maps, expected) and found.runs == 3
        assert torch.allclose(found.normalised()[0], expected / expected.max())


def test_each_replicate_has_its_own_pixels_and_an_ensemble_has_shared_ones(case):
    a, b = ms.demo_model(), ms.demo_model()
    b.head.bias.data[1] += 3
    own = [ms.activation_map(n, case, "LV", "deep")[0] for n in (a, b)]
    both = ms.activation_map([a, b], case, "LV", "deep")[0]
    assert torch.allclose(both.maps, (own[0].maps + own[1].maps) / 2)
    shared = ms.activation_map(ms.Ensemble([a, b], "intersection"), case, "LV", "deep")[0]
    assert torch.equal(shared.pixels, own[0].pixels & own[1].pixels)


def test_scale_is_kept_along_a_sweep(net, case):
    series = quietly(ms.activation_series, net, case, "brightness", [0.5, 1, 2], 1, "1", (30, 30), progress=False)
    tops = [float(step.maps.max()) for step in series]
    assert series.scales == (max(tops),)
    assert [float(m.max()) for m in series.normalised()] == pytest.approx([t / max(tops) for t in tops])
    assert len(set(tops)) == 3


def test_slices_of_an_explanation_are_explanations(net, case):
    series = quietly(ms.activation_series, net, case, "brightness", [0.5, 1, 2], 1, "1", (30, 30), progress=False)
    part = series[1:]
    assert isinstance(part, ms.Explanation) and part.values == [1, 2] and part.layers == ("1",)
    assert isinstance(series, ms.Series) and ms.plot_series(part) is not None


def test_truth_is_kept(case):
    step = quietly(ms.activation_series, ms.demo_model(), case, ms.Rotate(), [90], "LV", progress=False)[0]
    assert torch.equal(step.truth, case.truth.rot90())


def test_empty_lists_of_models(case):
    with pytest.raises(ValueError, match="model must be at least one model"):
        ms.activation_map([], case, 1)


# ---------------------------------------------------------------- warnings


def test_layers_that_disagree_are_named(case):
    class Two(nn.Module):
        "The first layer sees the left, the second the right"

        def __init__(self):
            super().__init__()
            self.left, self.right, self.head = nn.ReLU(), nn.ReLU(), nn.Conv2d(1, 2, 1)

        def forward(self, x):
            side = torch.linspace(-1, 1, x.shape[-1])
            return self.head(self.left(x.clamp(min=0) * (side < 0)) + self.right(x.clamp(min=0) * (side > 0)) * 2)

    net = Two()
    net.head.weight.data = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
    options = dict(label=1, layer=["left", "right"], pixels=torch.ones(64, 64, dtype=torch.bool))
    image = ms.Case(torch.rand(1, 64, 64) + 0.1, name="halves")
    said = r"case 'halves': layers 'left' and 'right' look at different places for label '1' \(0% of their activation"
    with pytest.warns(UserWarning, match=said):
        ms.activation_map(net, image, **options)


def test_shared_activation_by_hand():
    a, b = torch.zeros(2, 2), torch.zeros(2, 2)
    a[0] = torch.tensor([3.0, 1.0])
    b[0, 0] = b[1, 1] = 5
    # 3/4 and 1/4 against 1/2 and 1/2
    assert shared_activation(a, b, (2, 2)) == 0.5
    assert np.isnan(shared_activation(a, torch.zeros(2, 2), (2, 2)))


def test_a_usual_map_warns_of_nothing(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ms.activation_map(ms.demo_model(), case, "LV")
