"Structures that overlap: one mask of bits, through cases, models, transforms, scores and pictures"

import math

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms
from misas.core.packing import IGNORED, structures_present
from misas.metrics.base import METRICS, measure

ROTATE, SHAPE = ms.Rotate(), (48, 48)


def ball(centre, radius, shape=SHAPE):
    return sum((i - c) ** 2 for i, c in zip(np.ogrid[tuple(map(slice, shape))], centre)) < radius**2


@pytest.fixture
def two():
    masks = np.stack([ball((22, 18), 10), ball((22, 29), 8)])
    return ms.Case(masks.sum(0) * 50.0, masks, "two", (1, 1), overlapping=True, labels=["none", "A", "B"])


def both(image):
    return np.stack([image > 20, image > 70])


def test_packing_and_unpacking_give_the_same_masks():
    masks = torch.rand(31, 5, 6, 7) > 0.5
    packed = ms.pack_structures(masks)
    assert packed.dtype == torch.int32 and packed.min() >= 0
    assert torch.equal(ms.unpack_structures(packed, 31), masks)
    assert structures_present(torch.tensor([[0, 5], [IGNORED, 2]])) == {0, 1, 2, 3}


@pytest.mark.parametrize("bad", [np.ones((32, 2, 2), bool), np.ones((2, 2), bool), np.ones((0, 2, 2), bool)])
def test_packing_says_which_shapes_it_takes(bad):
    with pytest.raises(ValueError, match="masks must be"):
        ms.pack_structures(bad)
    with pytest.raises(TypeError, match="masks > 0.5"):
        ms.pack_structures(np.full((2, 3, 3), 0.5))


@pytest.mark.parametrize("ndim", [2, 3])
def test_dice_of_overlapping_balls_is_the_closed_form(ndim):
    r, d, size = 20, 14, 96
    centre = [size // 2] * ndim
    shifted = [*centre[:-1], centre[-1] + d]
    mask = ms.pack_structures(np.stack([ball(c, r, (size,) * ndim) for c in (centre, shifted)]))
    swapped = ms.pack_structures(np.stack([ball(c, r, (size,) * ndim) for c in (shifted, centre)]))
    found = measure(mask, swapped, [1, 2], "dice", spacing=(1,) * ndim, overlapping=True)["dice"]
    if ndim == 2:
        lens = 2 * r**2 * math.acos(d / 2 / r) - d / 2 * math.sqrt(4 * r**2 - d**2)
        expected = lens / (math.pi * r**2)
    else:
        expected = (4 * r + d) * (2 * r - d) ** 2 / (16 * r**3)
    assert found == pytest.approx([expected] * 2, abs=0.01)


@pytest.mark.parametrize("metric", sorted(METRICS.keys() - {"volume_difference"}) + ["nsd@2mm"])
@pytest.mark.parametrize("ignored", [False, True])
def test_each_metric_is_that_of_the_structure_alone(metric, ignored):
    truth = np.stack([ball((22, 18), 10), ball((22, 29), 8)]).astype(np.int32)
    pred = np.stack([ball((24, 19), 9), ball((20, 27), 9)])
    if ignored:
        truth[:, 10:20, 15:30] = -1
    ignore = -1 if ignored else None
    packed = ms.Case(np.zeros(SHAPE), truth, overlapping=True, ignore=ignore).truth
    options = dict(spacing=(1, 2), metrics=metric)
    found = measure(packed, ms.pack_structures(pred), [1, 2], overlapping=True, ignore=ignore, **options)[metric]
    alone = [measure(t, p.astype(int), [1], ignore=ignore, **options)[metric] for t, p in zip(truth, pred)]
    np.testing.assert_array_equal(found, np.concatenate(alone))


@pytest.mark.parametrize(
    "transform", [ROTATE, ms.Zoom(), ms.Crop(), ms.Dihedral(), ms.Resize(), ms.Brightness()], ids=str
)
def test_a_sweep_is_that_of_each_structure_alone(two, transform):
    values = {
        "rotation": [-20, 45],
        "zoom": [0.8, 1.5],
        "crop": [5],
        "dihedral": [1, 6],
        "resize": [32],
        "brightness": [1.5],
    }
    values = values[str(transform)]
    together = ms.evaluate(
        ms.as_model(both, overlapping=True), [two], transform, values, "hd95 dice".split(), progress=False
    )
    for k, name in enumerate("AB"):
        mask = ms.unpack_structures(two.truth, 2)[k].int()
        case = ms.Case(two.image, mask, "two", (1, 1), labels=["none", name])
        model = ms.as_model(lambda image, k=k: both(image)[k].astype(int))
        alone = ms.evaluate(model, [case], transform, values, ["hd95", "dice"], progress=False)
        ours, theirs = (t[t.label == name].score.tolist() for t in (together, alone))
        assert ours == theirs and len(ours) >= 2


def test_masks_that_do_not_overlap_are_scored_as_labels(two):
    masks = np.stack([ball((15, 12), 8), ball((22, 33), 8)])
    image = (masks * np.array([50, 100])[:, None, None]).sum(0)
    names = ["none", "A", "B"]
    apart = ms.Case(image, masks, "c", (1, 1), labels=names, overlapping=True)
    plain = ms.Case(image, masks[0] + 2 * masks[1], "c", (1, 1), labels=names)
    metrics = ["dice", "hd95", "area_difference"]
    options = dict(values=[0, 20, 90], metrics=metrics, progress=False)
    kept = ms.as_model(lambda i: np.stack([(i > 20) & (i < 70), i >= 70]), overlapping=True, name="m")
    labels = ms.as_model(lambda i: ((i > 20) & (i < 70)) + 2 * (i >= 70), name="m")
    tables = [ms.evaluate(m, [c], ROTATE, **options) for m, c in ((kept, apart), (labels, plain))]
    assert tables[0].equals(tables[1])


class TwoSigmoids(torch.nn.Module):
    def __init__(self, ndim=2):
        super().__init__()
        self.conv = (torch.nn.Conv2d if ndim == 2 else torch.nn.Conv3d)(1, 2, 1)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.conv.bias.copy_(torch.tensor([-20.0, -70.0]))

    def forward(self, x):
        return self.conv(x)


def test_a_network_with_a_sigmoid_for_each_structure(two, tmp_path):
    net = ms.as_model(TwoSigmoids(), overlapping=True, name="m")
    plain = ms.as_model(both, overlapping=True, name="m")
    options = dict(transforms=ROTATE, values=[0, 30], progress=False)
    expected = ms.evaluate(plain, [two], **options)
    first = ms.evaluate(net, [two], store=tmp_path, **options)
    assert first.equals(expected) and ms.evaluate(net, [two], store=tmp_path, **options).equals(expected)
    other = ms.Case(two.image, two.truth > 0, "other", (1, 1))
    with pytest.raises(ValueError, match="one kind"):
        ms.evaluate(net, [other], **options)


def test_thresholds_are_those_of_each_structure(two):
    class Probable(torch.nn.Module):
        def forward(self, x):
            return torch.sigmoid(torch.cat([torch.zeros_like(x), torch.zeros_like(x) + 1], 1))

    model = ms.as_model(Probable(), overlapping=True, output="probabilities", threshold=[0.4, 0.8])
    assert model(two.image[None], two).unique().tolist() == [1]
    assert (
        ms.as_model(Probable(), overlapping=True, threshold=0.4, output="probabilities")(two.image[None])
        .unique()
        .item()
        == 3
    )


def test_processes_and_one_table(two):
    net = ms.as_model(TwoSigmoids(), overlapping=True)
    cases = [two, two.replace(name="again")]
    one, both_ = (ms.evaluate(net, cases, ROTATE, [0, 30], n_jobs=n, progress=False) for n in (1, 2))
    assert one.equals(both_)


def test_a_case_without_truth_is_compared_with_the_models_own_structures(two):
    with pytest.warns(UserWarning, match="no truth"):
        table = ms.evaluate(
            ms.as_model(both, overlapping=True), [two.replace(truth=None)], ROTATE, [0, 90], progress=False
        )
    assert set(table.label) == {"none", "A", "B"} and (table[table.value == 0].score == 1).all()


def test_masks_of_two_kinds_are_an_error_that_names_the_remedy(two):
    with pytest.raises(ValueError, match=r"case 'two' must have masks of one kind.*overlapping=True"):
        ms.get_series(lambda image: image > 0, two, ROTATE, [0], progress=False)
    plain = ms.Case(two.image, two.truth, "plain")
    with pytest.raises(ValueError, match="with_regions"):
        ms.evaluate(ms.as_model(both, overlapping=True), [plain], ROTATE, [0], progress=False)


def test_what_needs_one_label_for_each_pixel_says_so(two):
    model = ms.as_model(both, overlapping=True)
    series = ms.get_series(model, two, ROTATE, [0, 10], progress=False)
    why = "one label for each pixel, got structures that overlap"
    for call in (
        lambda: ms.get_confusion(series),
        lambda: ms.plot_confusion(series[0]),
        lambda: ms.Ensemble([model, model]),
        lambda: ms.as_model(model, relabel={1: 2}),
        lambda: ms.consensus_case([model], two),
        lambda: ms.with_regions(two, {"x": 1}),
        lambda: ms.best_masks([two], model, model, progress=False),
        lambda: ms.confidence_table(model, [two], method="agreement", progress=False),
    ):
        with pytest.raises(ValueError, match=why):
            call()


def test_regions_of_labels_and_pixels_that_are_not_annotated():
    truth = np.array([[0, 1, 2, 4, 255]])
    case = ms.with_regions(ms.Case(np.zeros((1, 5)), truth, ignore=255), {"WT": (1, 2, 4), "TC": [1, 4], "ET": 4})
    assert case.truth.tolist() == [[0, 3, 1, 7, -1]] and case.ignore == -1
    assert case.labels == ("background", "WT", "TC", "ET")
    for bad in ({}, {"WT": 0}, {"WT": ()}, {1: 1}, {"WT": "1"}):
        with pytest.raises((ValueError, TypeError), match="regions must be"):
            ms.with_regions(ms.Case(np.zeros((1, 5)), truth, ignore=255), bad)


@pytest.mark.parametrize("ignore", [255, -1])
def test_ignored_pixels_do_not_count_in_any_structure(two, ignore):
    truth = ms.unpack_structures(two.truth, 2).int()
    truth[:, :20] = ignore
    case = ms.Case(two.image, truth, "two", (1, 1), overlapping=True, ignore=ignore)
    wrong = ms.as_model(lambda image: both(image) | (np.arange(48) < 20)[None, :, None], overlapping=True)
    right = ms.as_model(both, overlapping=True)
    tables = [ms.evaluate(m, [case], metrics=["dice", "hd95"], progress=False).score for m in (wrong, right)]
    assert tables[0].equals(tables[1])
    with pytest.raises(ValueError, match="in all structures or none"):
        truth[0, :20] = 0
        ms.Case(two.image, truth, overlapping=True, ignore=ignore)


def test_truths_from_lists_and_files(two, tmp_path):
    masks = ms.unpack_structures(two.truth, 2).numpy()
    paths = []
    for name, mask in zip("AB", masks):
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    image = two.image[0].numpy().astype(np.uint8)
    for truth in (paths, dict(zip("AB", masks)), masks, torch.from_numpy(masks)):
        case = ms.load_case(image, truth, overlapping=True)
        assert torch.equal(case.truth, two.truth) and case.overlapping
    assert ms.load_case(image, paths, overlapping=True).labels == ("background", "A", "B")
    with pytest.raises(ValueError, match="structure 'A' must be a mask of 0 and one other value"):
        ms.load_case(image, {"A": masks[0] + 2 * masks[1]}, overlapping=True)
    with pytest.raises(ValueError, match="boolean, or 0 and 1"):
        ms.load_case(image, np.stack([masks[0] * 2, masks[1]]), overlapping=True)
    with pytest.raises(ValueError, match="image's shape"):
        ms.load_case(image, masks[:, :-1], overlapping=True)


def test_pictures_show_every_structure(two):
    flat = np.zeros(SHAPE)
    masks = ms.unpack_structures(two.truth, 2).numpy()
    options = dict(colours=["red", "blue"], alpha=0.5, scale=1, window=(0, 1))
    picture = ms.overlay(flat, pred=masks, overlapping=True, **options).astype(int)
    only_a, only_b, shared = masks[0] & ~masks[1], masks[1] & ~masks[0], masks.all(0)
    colours = [np.unique(picture[where], axis=0).tolist() for where in (only_a, only_b, shared)]
    assert colours == [[[128, 0, 0]], [[0, 0, 128]], [[64, 0, 128]]]
    edges = ms.overlay(flat, truth=masks, overlapping=True, **options)
    assert (edges[shared] == [255, 0, 0]).all(-1).any() and (edges[shared] == [0, 0, 255]).all(-1).any()
    series = ms.get_series(ms.as_model(both, overlapping=True), two, ROTATE, [0, 30], progress=False)
    view = ms.series_view(series, pred="errors", label="A", colours="paper", alpha=1)
    assert (view(series[0], scale=1)[masks[0]] == [0, 192, 0]).all()
    ms.plot_series(series), ms.plot_frame(series[1])


def test_volumes_are_drawn_and_scored(tmp_path):
    masks = np.stack([ball((6, 18, 18), 6, (12, 32, 32)), ball((6, 18, 23), 5, (12, 32, 32))])
    case = ms.Case(masks.sum(0)[None] * 50.0, masks, "volume", (2, 1, 1), overlapping=True)
    model = ms.as_model(TwoSigmoids(3), overlapping=True)
    series = ms.get_series(model, case, ROTATE, [0, 30], progress=False)
    assert (ms.score(series, "dice").query("value == 0").score < 1).any()
    ms.gif_series(series, tmp_path / "x.gif")
    ms.save_viewer(series, tmp_path / "x.html")
    ms.plot_planes(series[0])


@pytest.mark.parametrize("ignore, packed", [(None, [0, 1, 0]), (False, [0, 1, 0]), (0, [-1, 1, 0]), (255, [0, 1, -1])])
def test_regions_keep_what_is_not_annotated(ignore, packed):
    mask = np.array([0, 1, 255])
    assert ms.pack_regions(mask, {"lesion": 1}, ignore).tolist() == packed
    with pytest.raises(ValueError, match="ignore must be .* 64 bits at most, got 1000"):
        ms.pack_regions(mask, {"lesion": 1}, 10**30)
