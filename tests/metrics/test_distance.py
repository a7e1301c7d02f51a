"Distances: by hand, on balls, and what other libraries say, in 2D and 3D, whatever the spacing"

import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from misas.core.packing import pack_structures
from misas.metrics import distance, surfaces
from misas.metrics.base import as_metrics, known_metric, measure
from misas.metrics.distance import assd, hausdorff, hd95, masd, nsd, surface_dice, surface_distances
from misas.metrics.surfaces import _edge

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:surface_distance", "ignore::FutureWarning:monai")

GRIDS = [
    ((64, 64), (1, 1)),
    ((45, 70), (0.7, 2.3)),
    ((33, 1), (1, 1)),
    ((17, 40, 31), (5, 1.25, 0.9)),
    ((1, 30, 30), (3, 1, 1)),
]
NAMES = ["hausdorff", "hd95", "assd", "masd", "nsd", "nsd@3mm"]


def blobs(shape, labels, seed):
    "A mask of smooth regions that touch each other and the border"
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(labels, *shape)), (0, *(2.5,) * len(shape)))
    return torch.from_numpy(noise.argmax(0).astype(np.int32))


def pairs():
    for k, (shape, spacing) in enumerate(GRIDS):
        truth = blobs(shape, 3, k)
        # the same regions, with mistakes here and there
        pred = torch.where(blobs(shape, 4, k + 50) == 0, blobs(shape, 3, k + 90), truth)
        yield pytest.param((truth, pred, spacing), id="x".join(map(str, shape)))


@pytest.fixture(params=pairs())
def example(request):
    truth, pred, spacing = request.param
    labels = [l for l in range(3) if (truth == l).any() and (pred == l).any()]
    return truth, pred, spacing, labels, measure(truth, pred, labels, NAMES, spacing=spacing)


def test_monai_says_the_same(example):
    monai = pytest.importorskip("monai.metrics")
    truth, pred, spacing, labels, ours = example
    y, y_pred = (torch.stack([m == l for l in labels])[None] for m in (truth, pred))
    options = dict(include_background=True, spacing=[float(s) for s in spacing])
    assert np.allclose(ours["hausdorff"], monai.compute_hausdorff_distance(y_pred, y, **options)[0], rtol=1e-5)
    assert np.allclose(
        ours["hd95"], monai.compute_hausdorff_distance(y_pred, y, percentile=95, **options)[0], rtol=1e-5
    )
    assert np.allclose(
        ours["assd"], monai.compute_average_surface_distance(y_pred, y, symmetric=True, **options)[0], rtol=1e-5
    )
    for name, tolerance in (("nsd", 1.0), ("nsd@3mm", 3.0)):
        theirs = monai.compute_surface_dice(y_pred, y, [tolerance] * len(labels), **options)[0]
        assert np.allclose(ours[name], theirs, atol=1e-6), name


def test_medpy_says_the_same(example):
    binary = pytest.importorskip("medpy.metric.binary")
    truth, pred, spacing, labels, ours = example
    for i, l in enumerate(labels):
        t, p = ((m == l).numpy() for m in (truth, pred))
        assert np.isclose(ours["hausdorff"][i], binary.hd(p, t, spacing))
        assert np.isclose(ours["assd"][i], binary.assd(p, t, spacing))
        assert np.isclose(ours["masd"][i], (binary.asd(p, t, spacing) + binary.asd(t, p, spacing)) / 2)
        found = surface_distances(truth, pred, [l], spacing)[0]
        # medpy's is of all distances together
        assert np.isclose(np.percentile(found.both, 95), binary.hd95(p, t, spacing))


def test_surface_distance_differs_by_less_than_a_pixel(example):
    library = pytest.importorskip("surface_distance")
    truth, pred, spacing, labels, ours = example
    if min(truth.shape) == 1:
        pytest.skip("surface-distance cuts pixels at their corners, which a single layer does not have")
    for i, l in enumerate(labels):
        found = library.compute_surface_distances((truth == l).numpy(), (pred == l).numpy(), spacing)
        assert abs(library.compute_robust_hausdorff(found, 100) - ours["hausdorff"][i]) <= np.linalg.norm(spacing)
        assert abs(library.compute_robust_hausdorff(found, 95) - ours["hd95"][i]) <= np.linalg.norm(spacing)
        assert abs(np.mean(library.compute_average_surface_distance(found)) - ours["masd"][i]) <= max(spacing) / 2
        assert abs(library.compute_surface_dice_at_tolerance(found, 3) - ours["nsd@3mm"][i]) < 0.15


@pytest.mark.parametrize("ndim", (2, 3))
def test_simpleitk_measures_the_same_volumes_and_hausdorff_distance(ndim):
    sitk = pytest.importorskip("SimpleITK")
    truth, pred, spacing = blobs((24, 20, 15)[:ndim], 2, 1), blobs((24, 20, 15)[:ndim], 2, 2), (2.5, 1.2, 0.8)[:ndim]
    images = [sitk.GetImageFromArray(m.numpy().astype(np.uint8)) for m in (truth, pred)]
    for image in images:
        image.SetSpacing(spacing[::-1])
    sizes = []
    for image in images:
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(image)
        sizes.append(shape.GetPhysicalSize(1))
    name, unit = ("area_difference", 100) if ndim == 2 else ("volume_difference", 1000)
    ours = measure(truth, pred, [1], [name, "volume_difference_percent"], spacing=spacing)
    assert np.isclose(ours[name], (sizes[1] - sizes[0]) / unit)
    assert np.isclose(ours["volume_difference_percent"], 100 * (sizes[1] / sizes[0] - 1))
    # of the regions, not of their surfaces: never larger
    region = sitk.HausdorffDistanceImageFilter()
    region.Execute(*images)
    assert measure(truth, pred, [1], "hausdorff", spacing=spacing)["hausdorff"] >= region.GetHausdorffDistance() - 1e-6


def test_exchanging_the_masks_changes_signs_and_nothing_else(example):
    truth, pred, spacing, labels, ours = example
    other = measure(pred, truth, labels, NAMES, spacing=spacing)
    assert all(np.allclose(other[name], ours[name]) for name in NAMES)
    perfect = measure(truth, truth.clone(), labels, NAMES, spacing=spacing)
    assert all((perfect[name] == (1 if name.startswith("nsd") else 0)).all() for name in NAMES)
    name = {2: "area_difference", 3: "volume_difference"}[truth.ndim]
    assert np.allclose(
        measure(pred, truth, labels, name, spacing=spacing)[name],
        -measure(truth, pred, labels, name, spacing=spacing)[name],
    )


def test_scaling_the_spacing_scales_the_distances(example):
    truth, pred, spacing, labels, ours = example
    tenfold = measure(truth, pred, labels, [*NAMES[:4], "nsd@30mm"], spacing=tuple(10 * s for s in spacing))
    assert all(np.allclose(tenfold[name], 10 * ours[name]) for name in NAMES[:4])
    assert np.allclose(tenfold["nsd@30mm"], ours["nsd@3mm"])


@pytest.mark.parametrize("ndim", (2, 3))
def test_empty_masks(ndim):
    truth, pred = torch.zeros((2, *(9, 8, 7)[:ndim]), dtype=torch.int32)
    truth[2:5, 2:4], pred[5:7, 5:7] = 1, 2  # 1 is missing, 2 is spurious, 3 is nowhere
    size = {2: "area_difference", 3: "volume_difference"}[ndim]
    got = measure(truth, pred, [1, 2, 3], [*NAMES, size, "volume_difference_percent"])
    for name in NAMES[:4]:
        assert got[name][:2].tolist() == [np.inf, np.inf], name
    for name in NAMES[4:]:
        assert got[name][:2].tolist() == [0, 0], name
    assert got[size][0] < 0 < got[size][1] and got["volume_difference_percent"][:2].tolist() == [-100, np.inf]
    assert all(np.isnan(column[2]) for column in got.values())
    assert all(column[2] == 0.5 for column in measure(truth, pred, [1, 2, 3], list(got), absent=0.5).values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_masks_on_a_gpu(example):
    truth, pred, spacing, labels, ours = example
    there = measure(truth.cuda(), pred.cuda(), labels, NAMES, spacing=spacing)
    assert all(np.array_equal(there[name], ours[name]) for name in NAMES)


@pytest.mark.parametrize("shape", [(9, 12), (5, 7, 6), (1, 8), (6, 1, 1), (7,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64, torch.bool], ids=str)
def test_a_surface_is_what_an_erosion_takes_away(shape, dtype):
    "For labels that touch, at the border, and for images that are one pixel thin"
    mask = torch.from_numpy(np.random.default_rng(0).integers(0, 3, shape).repeat(2, 0)).to(dtype)
    edge = _edge(mask)
    for label in mask.unique():
        own = (mask == label).numpy()
        assert np.array_equal(edge & (mask == label), own ^ binary_erosion(own))


def test_surfaces_have_positions_in_mm():
    (points,) = surfaces.points_of_labels(torch.eye(3, dtype=torch.int32)[None], [1])
    assert surfaces.Surface(points, (5, 2, 0.5)).positions.tolist() == [[0, 0, 0], [0, 2, 0.5], [0, 4, 1]]


def from_trees(truth, pred, label, spacing):
    "Distances there and back, as of trees of points"
    there = [((_edge(m) & (m == label)).nonzero().numpy() * np.array(spacing)) for m in (truth, pred)]
    if not all(map(len, there)):
        return [np.full(len(points), np.inf) for points in there]
    return [KDTree(b, leafsize=32).query(a)[0] for a, b in (there, there[::-1])]


def speckle(shape, seed, share=0.3):
    "A mask in fragments"
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(1, 4, shape) * (rng.random(shape) < share)).int()


MASKS = {
    "smooth": lambda shape: (blobs(shape, 4, 1), blobs(shape, 4, 2)),
    "fragments": lambda shape: (blobs(shape, 4, 1), speckle(shape, 2)),
    "few": lambda shape: (speckle(shape, 1, 0.002), speckle(shape, 2, 0.002)),
    "one pixel": lambda shape: ((torch.arange(np.prod(shape)) == 7).int().reshape(shape), speckle(shape, 2)),
    "empty": lambda shape: (torch.zeros(shape, dtype=torch.int32), speckle(shape, 2)),
}


@pytest.mark.parametrize("way", ["map", "tree", "nearby", "cheaper"])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize(
    "shape, spacing, exact",
    [
        ((41, 67), (1, 1), True),
        ((64, 33), (0.5, 0.5), True),
        ((23, 38, 29), (1, 1, 1), True),
        ((16, 31, 40), (5, 1.25, 1.25), True),
        ((23, 38, 29), (3.3, 0.9, 1.7), False),
        ((9, 50), (70, 0.71), False),
        ((1, 30, 31), (3, 0.7, 0.9), False),
        ((5, 1, 40), (3, 1, 1), True),
    ],
    ids=str,
)
def test_maps_and_trees_say_the_same(shape, spacing, exact, kind, way, monkeypatch):
    if way in ("map", "tree"):
        monkeypatch.setattr(surfaces, "_LOOKUPS", 0)
        monkeypatch.setattr(surfaces.Surface, "_map_is_cheaper", lambda *_: way == "map")
    if way == "nearby":
        monkeypatch.setattr(surfaces, "_LOOKUPS", np.inf)
        monkeypatch.setattr(surfaces, "_FEW", 0)
        monkeypatch.setattr(surfaces, "_AT_ONCE", 5000)
    truth, pred = MASKS[kind](shape)
    for pair in ((truth, pred), (pred, truth), (truth, truth.clone())):
        # twice: what is kept of a truth is the same as what is found
        for _ in range(2):
            for label, found in zip((1, 2, 3), surface_distances(*pair, [1, 2, 3], spacing)):
                for own, theirs in zip((found.to_pred, found.to_truth), from_trees(*pair, label, spacing)):
                    # positions in mm, of which a tree makes differences, are rounded
                    rounding = 1e-15 if exact else 1e-13 if way == "tree" else 1e-6
                    np.testing.assert_allclose(own, theirs, rtol=rounding, atol=0)


def by_brute_force(truth, pred, label, spacing):
    "Distances there and back: from every point to every other"
    there = []
    for mask in (truth, pred):
        own = np.asarray(mask) == label
        there.append(np.argwhere(own & ~binary_erosion(own)) * np.array(spacing, dtype=float))
    if not all(map(len, there)):
        return [np.full(len(points), np.inf) for points in there]
    between = cdist(*there)
    return [between.min(axis=1), between.min(axis=0)]


SHAPES = [(13,), (17, 22), (1, 9), (40, 31), (9, 14, 11), (5, 1, 12), (13, 12, 17)]
DTYPES = [torch.int32, torch.uint8, torch.int64, torch.int16, torch.bool]


@pytest.mark.parametrize("seed", range(40))
def test_brute_force_says_the_same(seed):
    "For masks of all kinds and pixels of any size"
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    dtype = DTYPES[seed % len(DTYPES)]
    spacing = (1.0,) * len(shape) if seed % 3 == 0 else tuple(rng.uniform(0.3, 6, len(shape)))
    pair = []
    for _ in range(2):
        width, level = rng.choice([0, 1, 3]), rng.choice([0.02, 0.3, 0.6, 1])
        noise = gaussian_filter(rng.normal(size=(3, *shape)), (0, *(width,) * len(shape)))
        # of some labels there is one pixel, or none
        mask = (noise.argmax(0) + 1) * (rng.random(shape) < level)
        mask.flat[rng.integers(mask.size)] = 4
        pair.append(torch.from_numpy(mask).to(dtype))
    labels = [1] if dtype == torch.bool else [1, 2, 3, 4, 5]
    for label, found in zip(labels, surface_distances(*pair, labels, spacing)):
        to_pred, to_truth = by_brute_force(*pair, label, spacing)
        np.testing.assert_allclose(found.to_pred, to_pred, rtol=2e-7, atol=0)
        np.testing.assert_allclose(found.to_truth, to_truth, rtol=2e-7, atol=0)
        if len(to_pred) and len(to_truth):
            expected = max(np.percentile(to_pred, 95), np.percentile(to_truth, 95))
            assert np.isclose(hd95([found])[0], expected, rtol=2e-7, atol=0)


def test_brute_force_says_the_same_of_what_is_annotated():
    "Where nothing is annotated neither mask has a label, and borders next to it count"
    spacing = (2.0, 0.7, 0.9)
    truth, pred = MASKS["fragments"]((9, 14, 11))
    ignored = speckle(truth.shape, 5, 0.1) > 0
    truth = truth.masked_fill(ignored, 9)
    got = measure(truth, pred, [1, 2, 3], "hd95", spacing=spacing, ignore=9)["hd95"]
    for label, score in zip((1, 2, 3), got):
        there_and_back = by_brute_force(truth, pred.masked_fill(ignored, 9), label, spacing)
        assert np.isclose(score, max(np.percentile(d, 95) for d in there_and_back), rtol=2e-7, atol=0)


def test_brute_force_says_the_same_of_structures_that_overlap():
    spacing = (2.0, 0.7, 0.9)
    several = []
    for mask in MASKS["fragments"]((9, 14, 11)):
        first, second = ((mask == label).numpy() for label in (1, 2))
        several.append([first | second, second])
    packed = [pack_structures(masks) for masks in several]
    got = measure(*packed, [1, 2], "hd95", spacing=spacing, overlapping=True)["hd95"]
    for own, found, score in zip(*several, got):
        there_and_back = by_brute_force(own, found, 1, spacing)
        assert np.isclose(score, max(np.percentile(d, 95) for d in there_and_back), rtol=2e-7, atol=0)


def test_steps_nearby_are_all_there_are_and_begin_with_the_shortest():
    steps, squared = surfaces._steps_nearby((1.0, 2.5))
    assert steps[0].tolist() == [0, 0]
    assert (np.diff(squared) >= 0).all()
    expected = {(i, j) for i in range(-9, 10) for j in range(-9, 10) if i**2 + (2.5 * j) ** 2 <= 64}
    assert set(map(tuple, steps.tolist())) == expected
    assert len(steps) == len(expected)


def test_a_mask_without_labels_leaves_what_is_kept():
    truth, pred = MASKS["fragments"]((20, 30, 25))
    surface_distances(truth, pred, [1])
    kept = distance._LAST[truth]
    surface_distances(torch.zeros(9, 9), torch.ones(9, 9), [1])
    assert distance._LAST[truth] is kept


def test_maps_are_those_of_scipy(monkeypatch):
    monkeypatch.setattr(surfaces, "_LOOKUPS", 0)
    monkeypatch.setattr(surfaces.Surface, "_map_is_cheaper", lambda *_: True)
    truth, pred = MASKS["fragments"]((30, 45, 51))
    for label, found in zip((1, 2, 3), surface_distances(truth, pred, [1, 2, 3], (2.1, 0.8, 1))):
        t, p = ((_edge(m) & (m == label)).numpy() for m in (truth, pred))
        assert np.allclose(found.to_pred, distance_transform_edt(~p, (2.1, 0.8, 1))[t], rtol=1e-6)
        assert np.allclose(found.to_truth, distance_transform_edt(~t, (2.1, 0.8, 1))[p], rtol=1e-6)


@pytest.mark.parametrize("ratio", [10.3, 99.7])
def test_long_pixels_are_right_to_one_part_in_a_million(ratio, monkeypatch):
    monkeypatch.setattr(surfaces, "_LOOKUPS", 0)
    monkeypatch.setattr(surfaces.Surface, "_map_is_cheaper", lambda *_: True)
    truth, pred = speckle((40, 90, 80), 1, 0.0005), speckle((40, 90, 80), 2, 0.02)
    found = surface_distances(truth, pred, [1], (ratio, 0.77, 1))[0]
    for own, theirs in zip((found.to_pred, found.to_truth), from_trees(truth, pred, 1, (ratio, 0.77, 1))):
        np.testing.assert_allclose(own, theirs, rtol=1e-6)


def test_pixels_out_of_all_proportion_go_to_a_tree():
    "Nor are they looked for nearby"
    points = surfaces.points_of_labels(speckle((9, 9, 9), 0), [1])[0]
    for longest, expected in ((100, True), (101, False)):
        surface = surfaces.Surface(points, (longest, 1, 1))
        assert surface._has_grid() == expected


def test_what_is_kept_of_a_truth_is_never_stale():
    truth, pred = MASKS["fragments"]((20, 30, 25))
    surface_distances(truth, pred, [1, 2], None)
    kept = distance._LAST[truth][3]
    surface_distances(truth, pred.clone(), [1, 2], None)
    assert distance._LAST[truth][3] is kept
    # another spacing, other labels, and a mask that was changed in place
    for change in (dict(spacing=(2, 1, 1)), dict(labels=[2, 1]), {}):
        if not change:
            truth.numpy()[3:9] = 1
        options = {"labels": [1, 2], "spacing": (1, 1, 1), **change}
        for label, found in zip(options["labels"], surface_distances(truth, pred, **options)):
            to_pred, to_truth = from_trees(truth, pred, label, options["spacing"])
            np.testing.assert_allclose(found.to_pred, to_pred, rtol=1e-15)
            np.testing.assert_allclose(found.to_truth, to_truth, rtol=1e-15)


def test_memory_of_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(distance, "_KEPT", 1000)
    truth, pred = MASKS["fragments"]((20, 30, 25))
    surface_distances(truth, pred, [1, 2])
    assert all(s.map is None for s in distance._LAST[truth][3])
    # one truth only, and no longer than it lives
    other = truth.clone()
    surface_distances(other, pred, [1, 2])
    assert truth not in distance._LAST
    del other
    assert len(distance._LAST) == 0


@pytest.mark.parametrize(
    "shape, spacing", [((40, 33), (1, 1)), ((31, 50), (0.7, 2.3)), ((9, 21, 20), (5, 1.25, 0.9))], ids=str
)
def test_a_distance_map_of_the_whole_image_says_the_same(shape, spacing):
    rng = np.random.default_rng(0)
    truth, pred = (torch.from_numpy(rng.normal(size=shape).cumsum(-1).cumsum(-2) > 0).int() for _ in range(2))
    for label, found in zip((0, 1), surface_distances(truth, pred, [0, 1], spacing)):
        t, p = (_edge(m).numpy() & (m == label).numpy() for m in (truth, pred))
        assert np.allclose(found.to_pred, distance_transform_edt(~p, spacing)[t])
        assert np.allclose(found.to_truth, distance_transform_edt(~t, spacing)[p])


def test_distances_to_an_empty_mask_are_infinite():
    truth = blobs((20, 20), 2, 0)
    missing, absent = surface_distances(truth, truth * 0, [1, 2])
    assert np.isinf(missing.to_pred).all()
    assert len(missing.to_pred)
    assert len(missing.to_truth) == len(absent.to_pred) == 0
    assert missing.there and not missing.in_both
    assert not absent.there


def test_bad_masks_and_spacings_are_errors():
    truth = blobs((20, 20), 2, 0)
    with pytest.raises(ValueError, match="shape of pred must be that of truth"):
        surface_distances(truth, truth[1:], [1])
    with pytest.raises(ValueError, match="spacing must be 2 numbers > 0"):
        surface_distances(truth, truth, [1], (1, 1, 1))


@pytest.fixture
def line():
    "20 pixels, one above the other"
    line = torch.zeros(30, 30, dtype=torch.int32)
    line[5:25, 8] = 1
    return line


@pytest.fixture
def stray(line):
    "The line, and a pixel ten columns away"
    stray = line.clone()
    stray[10, 18] = 1
    return stray


def test_a_stray_pixel_by_hand(line, stray):
    found = surface_distances(line, stray, [1], (1, 2))
    assert hausdorff(found) == 20
    assert hd95(found) == 0
    assert np.isclose(assd(found), 20 / 41)
    assert np.isclose(masd(found), 20 / 21 / 2)
    assert np.allclose(assd(surface_distances(stray, line, [1], (1, 2))), assd(found))


def test_surface_dice_by_hand(line, stray):
    found = surface_distances(line, stray, [1], (1, 2))
    assert np.isclose(nsd(found), 40 / 41)
    assert surface_dice(20)(found) == 1
    assert np.isclose(surface_dice(19.9)(found), 40 / 41)
    assert nsd(surface_distances(line, line, [1])) == 1


def test_a_distance_of_just_the_tolerance_is_within_it(line, stray):
    # ten columns of 0.1 mm are 1 mm, but for rounding
    fine = surface_distances(line, stray, [1], (1, 0.1))
    assert nsd(fine) == 1
    assert surface_dice(0.99)(fine) < 1


def test_surface_dice_is_known_by_its_tolerance(line, stray):
    found = surface_distances(line, stray, [1], (1, 2))
    assert surface_dice(2).name == "nsd@2mm"
    assert known_metric("nsd@2.5mm").name == "nsd@2.5mm"
    assert known_metric("nsd@2").name == "nsd@2mm"
    assert as_metrics("nsd@2mm")["nsd@2mm"].better == "higher"
    assert known_metric("nsd@2mm")(found) == surface_dice(2)(found)
    assert pickle.loads(pickle.dumps(surface_dice(2)))(found) == surface_dice(2)(found) == nsd(found)


@pytest.mark.parametrize("name", ["nsd@", "nsd@mm", "nsd@-1mm", "nsd@nanmm", "hd95@2mm"])
def test_names_without_a_meaning_are_unknown(name):
    assert known_metric(name) is None
    with pytest.raises(ValueError, match=f"metrics must be .*, got {name!r}"):
        as_metrics(name)


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf, "2"])
def test_a_bad_tolerance_is_an_error(bad):
    with pytest.raises(ValueError, match="tolerance must be a number >= 0, in mm, got "):
        surface_dice(bad)


def test_all_conventions_in_one_call():
    truth, pred = torch.zeros(2, 16, 16, dtype=torch.int32)
    truth[2:6, 2:6] = pred[2:6, 3:7] = 1
    truth[10:14, 2:6], pred[10:14, 10:14] = 2, 3
    found = measure(truth, pred, [1, 2, 3, 4], ["hausdorff", "hd95", "assd", "masd", "nsd", "nsd@2mm"], spacing=(1, 1))
    for name in ("hausdorff", "hd95", "assd", "masd"):
        assert found[name][0] > 0, name
        assert found[name][1] == found[name][2] == np.inf, name
        assert np.isnan(found[name][3]), name
    for name in ("nsd", "nsd@2mm"):
        assert 0 < found[name][0] <= 1, name
        assert found[name][1] == found[name][2] == 0, name
        assert np.isnan(found[name][3]), name
    assert measure(truth, pred, [4], "nsd", absent=1)["nsd"] == 1
