"Occlusion sensitivity of models that are known exactly"

import numpy as np
import pytest
import torch

import misas as ms
from misas.analysis.occlusion import patch_grid


def bright(image):
    return np.asarray(image) > 0.5


def two_points(*shape):
    image = torch.zeros(1, *shape)
    image[0][(0,) * len(shape)] = image[0][tuple(n - 1 for n in shape)] = 1
    return ms.Case(image)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4)])
def test_threshold_model_by_hand(shape):
    # half of the foreground is lost: Dice 2 * 1 / (1 + 2)
    losses = ms.occlusion_map(bright, two_points(*shape), 1, patch=2, stride=2, progress=False)[0].maps[0]
    expected = torch.zeros(shape)
    first, last = (slice(0, 2),) * len(shape), (slice(2, 4),) * len(shape)
    expected[first] = expected[last] = 1 / 3
    assert torch.allclose(losses, expected)


def test_overlapping_patches_are_averaged():
    image = torch.zeros(1, 1, 4)
    image[0, 0, 0] = 1
    losses = ms.occlusion_map(bright, ms.Case(image), 1, patch=(1, 2), stride=1, fill=0, progress=False)[0].maps[0]
    # patches at 0, 1, 2 lose 1, 0, 0
    assert losses.tolist() == [[1, 0.5, 0, 0]]


def test_fill_is_the_mean_unless_given():
    image = torch.full((1, 2, 2), 0.6)
    image[0, 0, 0] = 1
    keeps = ms.occlusion_map(bright, ms.Case(image), 1, patch=1, progress=False)[0].maps[0]
    loses = ms.occlusion_map(bright, ms.Case(image), 1, patch=1, fill=0, progress=False)[0].maps[0]
    assert not keeps.any() and torch.allclose(loses, torch.full((2, 2), 1 - 6 / 7))


def test_truth_may_be_compared_with_and_a_patch_may_help():
    image = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    case = ms.Case(image, torch.tensor([[1, 0, 0, 0]]))
    losses = ms.occlusion_map(bright, case, 1, patch=1, fill=0, pixels="truth", progress=False)
    # Dice 2/3 at first; 0 without the first pixel, 1 without the second
    assert torch.allclose(losses[0].maps[0], torch.tensor([[2 / 3, -1 / 3, 0, 0]]))
    assert losses.unit == "loss of Dice" and losses.method == "occlusion"


def test_mean_probability_by_hand():
    net = torch.nn.Conv2d(1, 1, 1)
    net.weight.data.fill_(2.0)
    net.bias.data.fill_(-1.0)
    image = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(0))
    inside = torch.ones(3, 3, dtype=torch.bool)
    options = dict(patch=1, fill=0, score="probability", pixels=inside, progress=False)
    found = ms.occlusion_map(ms.as_model(net, output="logits"), ms.Case(image), 1, **options)
    expected = ((2 * image[0] - 1).sigmoid() - torch.tensor(-1.0).sigmoid()) / 9
    assert torch.allclose(found[0].maps[0], expected, atol=1e-6) and found.unit == "loss of mean probability"


def test_batches_make_no_difference():
    case = ms.phantom((48, 48), seed=1)
    maps = [
        ms.occlusion_map(ms.demo_model(), case, "LV", patch=12, batch_size=n, progress=False)[0].maps for n in (1, 7)
    ]
    assert torch.allclose(*maps) and maps[0].max() > 0


def test_grid_covers_all_of_the_image():
    for shape in ((10, 7), (64, 50), (5, 9, 12)):
        sides, corners = patch_grid(shape, None, None)
        covered = np.zeros(shape, bool)
        for corner in corners:
            covered[tuple(slice(k, k + n) for k, n in zip(corner, sides))] = True
            assert all(k + n <= m for k, n, m in zip(corner, sides, shape))
        assert covered.all()


def test_sweeps():
    case = ms.phantom((48, 48), seed=1)
    series = ms.occlusion_series(ms.demo_model(), case, ms.Rotate(), [0, 90], "LV", patch=16, progress=False)
    assert series.values == [0, 90] and all(step.maps.shape == (1, 48, 48) for step in series)
    assert torch.equal(series[1].pixels, series[0].pixels.rot90())


def test_model_with_its_own_size():
    class Sized:
        def prepareSize(self, item):
            return item.resize((20, 20))

        def predict(self, image):
            return (np.asarray(image) > 128).astype(np.uint8)

    from PIL import Image

    picture = np.zeros((40, 40), np.uint8)
    picture[10:30, 10:30] = 255
    found = ms.occlusion_map(Sized(), Image.fromarray(picture), 1, patch=5, stride=5, fill=0, progress=False)[0]
    assert found.maps.shape == (1, 20, 20) and found.maps[0, 5, 5] > 0 and not found.maps[0, 0, 19]


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(patch=0), "patch must be integers >= 1"),
        (dict(patch=4, stride=5), r"stride must be at most the patch, \(4, 4\), so that every pixel is covered, got 5"),
        (dict(score="iou"), "score must be one of 'dice', 'probability'"),
        (dict(score="probability"), "must give probabilities for score='probability', got none; score='dice'"),
        (dict(fill=float("nan")), "fill must be a number >= -3e"),
        (dict(batch_size=0), "batch_size must be"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ms.occlusion_map(bright, two_points(8, 8), 1, progress=False, **options)


def test_label_that_is_nowhere():
    with pytest.warns(UserWarning, match="label '2' is predicted nowhere, so its map is 0"):
        assert not ms.occlusion_map(bright, two_points(8, 8), 2, progress=False)[0].maps.any()
