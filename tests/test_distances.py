"Distances and volumes: what other libraries say, in 2D and 3D, whatever the spacing; and from the model to the summary"

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from misas.analysis.summary import summarise, verdicts
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate, score
from misas.metrics.base import METRICS, measure
from misas.metrics.distance import surface_dice, surface_distances
from misas.transforms.basic import Brightness, Dihedral, Resize, Rotate

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
        assert np.isclose(ours["hausdorff"][i], binary.hd(p, t, spacing)) and np.isclose(
            ours["assd"][i], binary.assd(p, t, spacing)
        )
        assert np.isclose(ours["masd"][i], (binary.asd(p, t, spacing) + binary.asd(t, p, spacing)) / 2)
        found = surface_distances(truth, pred, [l], spacing)[0]
        assert np.isclose(
            np.percentile(np.concatenate([found.to_pred, found.to_truth]), 95), binary.hd95(p, t, spacing)
        )  # of all distances together


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
    assert np.isclose(ours[name], (sizes[1] - sizes[0]) / unit) and np.isclose(
        ours["volume_difference_percent"], 100 * (sizes[1] / sizes[0] - 1)
    )
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
    assert all(np.allclose(tenfold[name], 10 * ours[name]) for name in NAMES[:4]) and np.allclose(
        tenfold["nsd@30mm"], ours["nsd@3mm"]
    )


@pytest.mark.parametrize("ndim", (2, 3))
def test_empty_masks(ndim):
    truth, pred = torch.zeros((2, *(9, 8, 7)[:ndim]), dtype=torch.int32)
    truth[2:5, 2:4], pred[5:7, 5:7] = 1, 2  # 1 is missed, 2 is invented, 3 is nowhere
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


def grown(image):
    return image > 0.5


def ringed(spacing=(2, 2)):
    "A disc with a halo that `grown` takes for a part of it: 6 mm too much all around"
    far = np.hypot(*((i - (n - 1) / 2) * s for i, n, s in zip(np.indices((96, 81)), (96, 81), spacing)))
    return load_case(
        np.where(far <= 40, 0.9, np.where(far <= 46, 0.8, 0.1)).astype(np.float32), far <= 40, "disc", spacing
    )


@pytest.mark.parametrize("spacing", ((2, 2), (1.5, 2.5)))
@pytest.mark.parametrize(
    "transform, values", ((Resize(), [41, 81, 96, 192]), (Dihedral(), range(8)), (Rotate(), [0, 90, 180])), ids=str
)
def test_distances_stay_in_mm_when_pixels_change(spacing, transform, values):
    found = evaluate(
        grown, ringed(spacing), transform, values, ["hd95", "assd", "area_difference"], {1: "disc"}, progress=False
    )
    found = found.pivot(index="value", columns="metric", values="score")
    expected = np.pi * (46**2 - 40**2) / 100
    assert (
        np.allclose(found.hd95, 6, atol=2.6)
        and np.allclose(found.assd, 6, atol=1.5)
        and np.allclose(found.area_difference, expected, rtol=0.2)
    )


def test_the_table_is_the_same_from_a_series_several_processes_and_a_store(tmp_path):
    cases, options = (
        [ringed(), ringed((1, 2)).replace(name="other")],
        dict(metrics=["dice", "hd95", surface_dice(7)], labels={1: "disc"}, progress=False),
    )
    scores = evaluate(grown, cases, "brightness", [0.1, 1, 2], **options)
    assert (
        np.isinf(scores.query("metric == 'hd95' and value == .1").score).all()
        and scores.query("metric == 'nsd@7mm' and value == 1").score.min() > 0.9
    )
    assert scores.attrs["metrics"] == {
        "dice": dict(unit="", better="higher"),
        "hd95": dict(unit="mm", better="lower"),
        "nsd@7mm": dict(unit="", better="higher"),
    }
    series = get_series(grown, cases[0], Brightness(), [0.1, 1, 2], progress=False)
    assert score(series, options["metrics"], options["labels"]).equals(scores[scores.case == "disc"])
    stored = evaluate(grown, cases, "brightness", [0.1, 1, 2], store=tmp_path, n_jobs=2, **options)
    again = evaluate(grown, cases, "brightness", [0.1, 1, 2], store=tmp_path, **options)
    assert stored.equals(scores) and again.equals(scores) and again.attrs["metrics"] == scores.attrs["metrics"]
    # another tolerance is another result
    evaluate(
        grown, cases, "brightness", [0.1, 1, 2], store=tmp_path, **options | dict(metrics=dict(nsd=surface_dice(7)))
    )
    other = evaluate(
        grown, cases, "brightness", [0.1, 1, 2], store=tmp_path, **options | dict(metrics=dict(nsd=surface_dice(1)))
    )
    assert other.query("value == 1").score.max() < 0.9


def test_volumes_from_case_to_verdict():
    case = phantom((6, 32, 32), seed=1, noise=0)

    def model(image):
        return image > 0.45

    scores = evaluate(
        model,
        case,
        Brightness(),
        [0.5, 1, 2],
        ["volume_difference", "volume_difference_percent"],
        {1: "LV"},
        progress=False,
    )
    truth, voxel = (case.truth == 1).sum().item(), np.prod(case.spacing) / 1000
    found = (case.image[0] > 0.45).sum().item()
    at_one = scores[scores.value == 1].set_index("metric").score
    assert np.isclose(at_one.volume_difference, (found - truth) * voxel) and np.isclose(
        at_one.volume_difference_percent, 100 * (found - truth) / truth
    )
    summary = summarise(scores, delta=dict(volume_difference=1, volume_difference_percent=5))
    assert (
        (summary["drop"] >= 0).all()
        and any("rise of at most 1 ml" in v for v in verdicts(summary))
        and any("rise of at most 5%" in v for v in verdicts(summary))
    )
    with pytest.raises(ValueError, match="delta has no entry for 'volume_difference'; allowed is a number in ml"):
        summarise(scores)


def test_every_metric_says_its_unit_and_direction():
    assert {m.unit for m in METRICS.values()} == {"", "mm", "ml", "cm²", "%"} and {
        m.better for m in METRICS.values()
    } == {"higher", "lower", "zero"}
    assert all(name == m.name for name, m in METRICS.items())
