"Sanity checks tell maps that say something from maps that do not"

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import misas as ms
from misas.analysis import sanity
from misas.analysis.sanity import alike, curve_areas, failed_tests, random_pairs


@pytest.fixture(scope="module")
def case():
    return ms.phantom((48, 48), seed=1)


@pytest.fixture(scope="module")
def report(case):
    return ms.check_explanation(ms.demo_model(), case, "LV", layer="deep", progress=False)


def test_spearman_and_ssim_are_those_of_scipy_and_scikit_image():
    from scipy.stats import spearmanr
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a, b = rng.random((2, 20, 24))
    spearman, ssim = alike(a, 5 * b)
    assert spearman == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert ssim == pytest.approx(structural_similarity(a / a.max(), b / b.max(), data_range=1, win_size=7))
    assert alike(a, np.zeros_like(a)) == (0, 0)


def test_fifty_pairs_of_different_cases_where_there_are_several():
    maps = [np.eye(8), np.eye(8)[::-1], np.ones((8, 8)) * np.arange(8)]
    found = random_pairs(maps, 50, 0)
    known = [alike(maps[i], maps[j]) for i in range(3) for j in range(3) if i != j]
    assert found.shape == (50, 2) and all(any(np.allclose(row, k) for k in known) for row in found)


def test_a_map_that_is_good_passes(report):
    assert report.passed and report.failed == {"deep": ()}
    text = repr(report)
    assert text.startswith("Map of label 'LV' in case 'phantom-1', layer 'deep': passes")
    assert "with all weights new the map is another one" in text and "lowers Dice faster than random places" in text


def test_cascade_starts_at_the_top_and_ends_with_all_layers(report):
    net = ms.demo_model()
    weighted = sum(any(True for _ in m.parameters(recurse=False)) for m in net.modules())
    assert report.cascade["last"].iloc[0] == "head" and report.cascade["last"].iloc[-1] == "down.0.0"
    assert report.cascade.renewed.tolist() == list(range(1, weighted + 1))
    assert report.cascade[["spearman", "ssim"]].abs().max().max() <= 1


def test_curves_start_and_end_where_they_must(report):
    curves = report.curves[report.curves.order == 0].set_index(["way", "share"]).dice
    assert curves["deletion", 0] == curves["insertion", 1] == 1
    assert curves["deletion", 1] == curves["insertion", 0]
    areas = report.areas["deep", "deletion"]
    own = report.curves.query("order == 0 and way == 'deletion'")
    assert areas[0] == pytest.approx(np.trapezoid(own.dice, own.share))


def test_the_same_seed_gives_the_same_report_and_the_network_is_not_touched(case, report):
    net = ms.demo_model()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.random.get_rng_state()
    again = ms.check_explanation(net, case, "LV", layer="deep", progress=False)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and not net.training
    assert torch.equal(torch.random.get_rng_state(), state)
    pd.testing.assert_frame_equal(again.cascade, report.cascade)
    pd.testing.assert_frame_equal(again.curves, report.curves)


class Blind(nn.Module):
    "Its first layer passes the image on, whatever its weights are"

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.edge = nn.Identity()
        self.head = nn.Conv2d(1, 2, 1)

    def forward(self, x):
        return self.head(self.edge(x.clamp(min=0)) * self.scale.abs().sign())


def test_a_map_that_shows_the_image_fails(monkeypatch):
    "The gradient has one sign only, so new weights change nothing but the size of the map"
    torch.manual_seed(0)
    net = Blind()
    monkeypatch.setattr(
        nn.Conv2d, "reset_parameters", lambda self: self.weight.copy_(torch.tensor([[[[-2.0]]], [[[3.0]]]]))
    )
    net.head.weight.data = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
    case = ms.phantom((48, 48), seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = ms.check_explanation(net, case, 1, layer="edge", pixels=(24, 24), progress=False)
    assert "weights" in report.failed["edge"] and not report.passed
    assert "FAILS (weights" in repr(report) and "stays too much alike (Spearman 1.00, SSIM 1.00" in repr(report)


def test_a_map_of_the_wrong_places_fails_deletion():
    index = pd.MultiIndex.from_product([["deletion", "insertion"], range(21)])
    good = pd.Series([0.1, *[0.5] * 20, 0.9, *[0.5] * 20], index)
    assert failed_tests((0.1, 0.2), 0.3, good) == ()
    assert failed_tests((0.6, 0.2), 0.3, good) == ("weights",) == failed_tests((0.1, 0.4), 0.3, good)
    bad = pd.Series([0.5, *[0.4] * 20, 0.3, *[0.5] * 20], index)
    assert failed_tests((0.1, 0.2), 0.3, bad) == ("deletion", "insertion")


def test_area_by_hand():
    curves = pd.DataFrame(dict(layer="a", way="deletion", order=0, share=[0, 0.5, 1], dice=[1, 0.5, 0]))
    assert curve_areas(curves).tolist() == [0.5]


def test_a_map_of_zeros_shows_nothing(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nowhere = torch.zeros(48, 48, dtype=torch.bool)
        report = ms.check_explanation(ms.demo_model(), case, "LV", layer="deep", pixels=nowhere, progress=False)
    assert report.failed["deep"] == ("empty",) and "the map is 0 everywhere: it shows nothing" in repr(report)


def test_other_cases_make_the_pairs(case):
    others = [ms.phantom((48, 48), seed=n) for n in (2, 3)]
    report = ms.check_explanation(ms.demo_model(), case, "LV", layer="deep", others=others, progress=False)
    assert report.floor.loc["deep"].notna().all()
    with pytest.raises(ValueError, match=r"others must be of the shape \(48, 48\) of the case, got 'phantom-2'"):
        ms.check_explanation(ms.demo_model(), case, "LV", layer="deep", others=[ms.phantom((64, 64), seed=2)])


def test_bad_arguments(case):
    with pytest.raises(ValueError, match="pairs must be an integer >= 20"):
        ms.check_explanation(ms.demo_model(), case, "LV", pairs=3)
    with pytest.raises(ValueError, match="orders must be an integer >= 20"):
        ms.check_explanation(ms.demo_model(), case, "LV", orders=0)
    with pytest.raises(ValueError, match="model must be one network, got 2"):
        ms.check_explanation([ms.demo_model(), ms.demo_model()], case, "LV", layer="deep")
    with pytest.raises(ValueError, match="occlusion_map"):
        ms.check_explanation(lambda image: image > 0, case, 1)
    assert sanity.MOST_SPEARMAN == 0.5
