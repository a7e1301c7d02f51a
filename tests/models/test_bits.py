"Engines in fewer bits: by name only, the same everywhere, and what they cost is said"

import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(package, exc_type=ImportError)

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.metrics.counts import label_counts
from misas.metrics.overlap import dice
from misas.models import engines, pytorch
from misas.models.bits import _MOST_IMAGES, MOST_CASES, Calibration, Cost, measured_cost
from misas.models.demo import demo_model
from misas.models.engines import INEXACT, candidates
from misas.models.ensemble import Ensemble
from misas.models.sizes import PadTo
from misas.models.windows import SliceWise
from misas.transforms.basic import Brightness

NAMES = ["bg", "LV", "MY", "RV"]
VALUES = [0.5, 1.0, 1.3]
CASES = [phantom((64, 64), seed=seed) for seed in range(3)]
OPTIONS = dict(labels=NAMES, name="net")


def said_of(model, job):
    "What a job gives, and warnings about this model"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = job(model)
    return made, [str(w.message) for w in said if "engine=" in str(w.message) or "autocast=" in str(w.message)]


def series_of(model, case=CASES[0], **options):
    return get_series(model, case, Brightness(), VALUES, progress=False, **options)


def scores_of(model, cases=CASES, **options):
    return evaluate(model, cases, ["brightness"], [0.7, 1.3], progress=False, **options)


def small():
    "A network that is exported in no time, and gives all labels"
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))
    return net.eval()


def made(engine, net=None, **options):
    return as_model(net or small(), engine=engine, **(OPTIONS | options))


def volume_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.Conv3d(8, 3, 3, padding=1))
    return net.eval()


# ---- what it costs


@pytest.mark.parametrize("engine", INEXACT)
def test_the_cost_is_said_once_and_kept(engine):
    model = made(engine, demo_model())
    assert model.engine_cost is None
    series, said = said_of(model, series_of)
    _, again = said_of(model, lambda m: series_of(m, CASES[1]))
    assert model.engine_used == engine and len(said) == 1 and not again
    cost = model.engine_cost
    assert said[0].startswith(f"model 'net': engine='{engine}' changes predictions: its masks agree with torch's with")
    assert f"Dice {cost.mean_dice:.3f} (LV: {cost.dice['LV']:.3f}, MY: " in said[0]
    assert f"probabilities differ by up to {cost.probability:.2g}" in said[0]
    assert ("on which it was calibrated" in said[0]) == engine.endswith("int8")
    assert 0.9 < cost.mean_dice <= 1 and 0 < cost.probability < 0.5


@pytest.mark.parametrize("engine", INEXACT)
def test_the_cost_is_that_of_the_predictions(engine):
    case, net = CASES[0], demo_model()
    model = made(engine, net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.calibrate(case)
        found, maps = model(case.image[None], case)[0], model.probabilities(case.image[None], case)
    with torch.no_grad():
        expected = net(case.image[None]).softmax(1)
    labels = expected.argmax(1)[0]
    scores = dict(zip(NAMES[1:], dice(label_counts(labels, found, [1, 2, 3]))))
    assert model.engine_cost.dice == pytest.approx(scores, abs=1e-12)
    assert model.engine_cost.mean_dice == pytest.approx(np.mean(list(scores.values())), abs=1e-12)
    assert model.engine_cost.differing == pytest.approx(float((found != labels).float().mean()), abs=1e-7)
    assert model.engine_cost.probability == pytest.approx(float((maps - expected).abs().max()), abs=1e-5)


def test_the_cost_of_autocast_is_said_once_and_kept():
    model = as_model(demo_model(), autocast=torch.bfloat16, fast=False, **OPTIONS)
    _, said = said_of(model, lambda m: m(CASES[0].image[None], CASES[0]))
    _, again = said_of(model, scores_of)
    assert len(said) == 1 and not again
    assert "autocast=torch.bfloat16 changes predictions: its masks agree with torch's with Dice " in said[0]
    with torch.no_grad():
        exact = demo_model()(CASES[0].image[None]).softmax(1)
        with torch.autocast("cpu", torch.bfloat16):
            bits = demo_model()(CASES[0].image[None]).float().softmax(1)
    assert model.engine_cost.probability == pytest.approx(float((exact - bits).abs().max()), rel=1e-3)


def test_autocast_of_a_network_that_draws_is_compared_with_the_same_numbers():
    class Draws(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Conv2d(1, 3, 1)

        def forward(self, x):
            return self.head(x) + 10 * torch.rand(3, *x.shape[2:])

    torch.manual_seed(0)
    model = as_model(Draws(), autocast=torch.bfloat16, name="draws")
    _, said = said_of(model, series_of)
    assert len(said) == 1 and model.engine_cost.mean_dice > 0.98


def test_a_cost_that_cannot_be_found_is_said_once(monkeypatch):
    def fails(*_):
        raise MemoryError("too little memory for 32 bits")

    monkeypatch.setattr(pytorch, "measured_cost", fails)
    for model in (as_model(small(), autocast=torch.bfloat16), made("openvino-bf16")):
        _, said = said_of(model, series_of)
        assert len(said) == 1 and model.engine_cost is None
        assert "what it costs in Dice cannot be shown: MemoryError: too little memory for 32 bits" in said[0]


def test_without_autocast_and_with_exact_engines_nothing_is_said():
    for options in (dict(), dict(engine="onnx"), dict(autocast=torch.float32)):
        model = as_model(small(), **options)
        assert said_of(model, series_of)[1] == [] and model.engine_cost is None


def cost_of(found, expected, **options):
    "The cost of labels in place of others"
    turn = iter([expected, found])
    maps = dict(labels_of=lambda x: x, probabilities_of=lambda x: None)
    return measured_cost(lambda _: found, lambda _: next(turn, expected), torch.zeros(1), **maps, **options)


def test_dice_of_labels_by_hand():
    found, expected = torch.tensor([[0, 1, 1, 2, 7]]), torch.tensor([[0, 1, 2, 2, 0]])
    cost = cost_of(found, expected, names=["bg", "a"])
    assert cost.dice == {"a": 2 / 3, "2": 2 / 3, "7": 0.0} and cost.differing == pytest.approx(0.4)
    assert cost.mean_dice == pytest.approx(4 / 9)
    assert str(cost).startswith(
        "its masks agree with torch's with Dice 0.444 (a: 0.667, 2: 0.667, 7: 0.000) on the first image, and it "
    )


def test_dice_of_structures_that_overlap():
    found, expected = torch.tensor([[0, 1, 3, 2]]), torch.tensor([[0, 3, 3, 0]])  # bits
    assert cost_of(found, expected, packs=True).dice == {"1": 1.0, "2": 0.5}


def test_words_for_the_cost():
    nothing = cost_of(torch.zeros(1, 4), torch.zeros(1, 4))
    assert np.isnan(nothing.mean_dice) and "neither finds a structure, so Dice says nothing" in str(nothing)
    many = Cost({str(k): 0.5 for k in range(10)}, 0.1, 0.25, 0.5, images=8)
    assert str(many) == (
        "its masks agree with torch's with Dice 0.500 (mean of 10 labels) on the first image, one of 8 it was "
        "calibrated on, probabilities differ by up to 0.25, and it takes about 2.0 times as long"
    )
    assert "about 123.4 times as fast" in str(Cost({}, 0.0, None, 123.4))


# ---- the same predictions everywhere


@pytest.mark.parametrize("engine", INEXACT)
def test_every_image_runs_in_the_engine(engine):
    model = made(engine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.calibrate(CASES)
        single = [model.probabilities(case.image[None], case) for case in CASES]  # outside of a sweep
        assert model.engine_used == engine
        with model.session():
            inside = [model.probabilities(case.image[None], case) for case in CASES]
        again = pickle.loads(pickle.dumps(model))
        sent = [again.probabilities(case.image[None], case) for case in CASES[::-1]][::-1]
        assert again.engine_used == engine and again.engine_cost == model.engine_cost
    assert all(map(torch.equal, single, inside)) and all(map(torch.equal, single, sent))


def test_processes_give_what_one_gives(tmp_path):
    cases = [*CASES, phantom((48, 80), seed=9)]  # one of another shape, which only a worker sees
    models = [made("onnx-int8"), made("openvino-bf16", name="other")]
    found = []
    for n in (1, 2):
        fresh = pickle.loads(pickle.dumps(models))
        found.append(said_of(fresh, lambda m, n=n: scores_of(m, cases, n_jobs=n, store=tmp_path / str(n))))
    (one, said), (two, said_too) = found
    assert one.equals(two)
    assert len(said) == len(said_too) == 2  # once for each model


def test_calibration_comes_before_the_first_value_and_from_cases_as_they_are():
    dark_first, bright_first = (
        said_of(made("onnx-int8"), lambda m, v=v: get_series(m, CASES[0], Brightness(), v, progress=False))[0]
        for v in ([0.1, 1.0, 2.0], [2.0, 1.0, 0.1])
    )
    for a, b in zip(dark_first, list(bright_first)[::-1]):
        assert torch.equal(a.pred, b.pred)


def test_calibrated_by_hand_is_the_same_network():
    cases = [phantom((64, 64), seed=seed) for seed in range(20)]
    by_hand, of_itself = made("onnx-int8"), made("onnx-int8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert by_hand.calibrate(cases) is by_hand
        mine, theirs = scores_of(by_hand, cases), scores_of(of_itself, cases)
    assert mine.equals(theirs) and by_hand.cache_key() == of_itself.cache_key()
    assert len(by_hand._engines.calibration.images) == MOST_CASES


def test_models_in_a_list_keep_what_was_found():
    models = [made("torch", name="exact"), made("onnx-int8", name="int8")]
    _, said = said_of(models, scores_of)
    _, again = said_of(models, lambda m: scores_of(m, CASES[::-1]))
    assert len(said) == 1 and not again
    assert models[1].engine_cost and len(models[1]._engines.calibration.images) == 3
    other, said = said_of(models[1].with_threshold(0.3), series_of)
    assert len(said) == 1 and "one of 3 it was calibrated on" in said[0]


def test_what_cannot_be_calibrated():
    model = made("onnx-int8")
    said_of(model, series_of)
    for each in (model, made("onnx"), as_model(lambda image: image > 0.5, name="plain")):
        with pytest.raises(ValueError, match="must be a model in 8 bits that has not run yet, .*to be calibrated"):
            each.calibrate(CASES)
    with pytest.raises(ValueError, match="cases must be at least one, got none"):
        made("onnx-int8").calibrate([])


def test_a_case_that_fails_is_not_calibrated_on():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small()

        def forward(self, x):
            if x.shape[-1] == 50:
                raise RuntimeError("no such size")
            return self.net(x)

    bad = phantom((50, 50), seed=5)
    model = made("onnx-int8", Picky())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = scores_of(model, [bad, *CASES])
    assert len(table.attrs["errors"]) == 1
    kept = model._engines.calibration.images
    assert len(kept) == 3 and all(torch.equal(a[0], case.image) for a, case in zip(kept, CASES))
    with pytest.raises(ValueError, match="no such size"):
        made("onnx-int8", Picky()).calibrate([bad])


def test_images_that_are_kept_are_spread_evenly():
    calibration = Calibration()
    with calibration.looking():
        for k in range(100):
            calibration.add(torch.tensor([0.0, k]).reshape(1, 1, 1, 2))  # the first one has no contrast
    kept = [int(image.max()) for image in calibration.images]
    assert kept == list(range(1, 100, 8)) and len(kept) <= _MOST_IMAGES
    with pytest.raises(RuntimeError), calibration.looking():
        calibration.add(torch.rand(40, 1, 1, 2))
        raise RuntimeError
    assert [int(image.max()) for image in calibration.images] == kept


# ---- stores


def test_a_store_tells_models_apart(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables = {engine: scores_of(made(engine), store=tmp_path) for engine in ("torch", *INEXACT)}
        again = scores_of(made("onnx-int8"), store=tmp_path)
        plain = scores_of(made("onnx-int8"))
        others = [made("onnx-int8").calibrate(cases).cache_key() for cases in (CASES[:1], CASES[1:2], CASES[:1])]
    assert tables["onnx-int8"].equals(again) and again.equals(plain)
    assert not tables["torch"].equals(tables["onnx-int8"])
    keys = {engine: made(engine).cache_key() for engine in ("torch", "onnx", *INEXACT)}
    assert keys["torch"] == keys["onnx"] and len(set(keys.values())) == 4
    assert others[0] == others[2] != others[1]


# ---- where torch runs


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x):
        return self.head(x) if x.mean() > 0.3 else -self.head(x)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_cannot_be_exported_runs_in_torch_under_its_key(n_jobs):
    torch.manual_seed(0)
    net = Branches()
    model = as_model(net, engine="onnx-int8", name="net")
    table, said = said_of(model, lambda m: scores_of(m, n_jobs=n_jobs))
    assert len(said) == 1 and "engine='onnx-int8' is not used, and torch runs: " in said[0]
    exact = as_model(net, name="net")
    assert table.equals(scores_of(exact)) and model.engine_cost is None
    assert model.cache_key() == exact.cache_key()


def test_quantisation_that_fails(monkeypatch):
    def fails(*_):
        raise RuntimeError("no such layer in 8 bits")

    monkeypatch.setattr(engines, "to_int8", fails)
    model = made("openvino-int8")
    _, said = said_of(model, series_of)
    assert len(said) == 1 and "torch runs: RuntimeError: no such layer in 8 bits" in said[0]
    assert model.engine_used == "torch"


def test_scores_that_are_not_finite(monkeypatch):
    monkeypatch.setitem(engines.OPENERS, "onnx-int8", lambda *_: lambda images: np.full((1, 4, 64, 64), np.nan))
    model = made("onnx-int8")
    _, said = said_of(model, series_of)
    assert "torch runs: its scores are not all finite" in said[0] and model.engine_used == "torch"


def test_a_blank_image_is_no_basis():
    model = made("onnx-int8")
    blank = phantom((64, 64), seed=0)
    blank = blank.replace(image=torch.zeros_like(blank.image))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model(blank.image[None], blank)
        assert model.engine_used == "torch" and not model._engines.calibration.images
        model(CASES[0].image[None], CASES[0])
        assert model.engine_used == "onnx-int8"


def test_auto_never_takes_them():
    assert not set(candidates("auto")) & set(INEXACT)


@pytest.mark.parametrize(
    "engine, package, extra",
    [
        ("onnx-int8", "onnxruntime", "onnx"),
        ("openvino-bf16", "openvino", "openvino"),
        ("openvino-int8", "onnxruntime", "onnx"),
    ],
)
def test_what_is_not_installed(engine, package, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=re.escape(f"misas[{extra}]")):
        made(engine)


def test_a_name_that_is_not_known():
    with pytest.raises(ValueError, match="engine must be .*'onnx-int8'.*got 'onnx-int4'.*did you mean"):
        made("onnx-int4")


# ---- images and networks of all kinds


def check(model, case, inside=None, **options):
    "A sweep in the engine, near to torch's"
    inside = inside or model
    series, said = said_of(model, lambda m: series_of(m, case, **options))
    assert inside.engine_used == inside.engine and len(said) == 1, said
    return series


@pytest.mark.parametrize("engine", INEXACT)
def test_volumes(engine):
    case = phantom((15, 17, 21), seed=0)
    net = volume_net()
    series = check(as_model(net, engine=engine), case)
    expected = series_of(as_model(net), case)
    same = [float((a.pred == b.pred).float().mean()) for a, b in zip(series, expected)]
    assert min(same) > 0.9


@pytest.mark.parametrize("engine", ["onnx-int8", "openvino-bf16"])
def test_batches_of_odd_images(engine):
    case = phantom((49, 37), seed=0)
    alone = check(made(engine), case)
    together = check(made(engine, batch_size=2), case)
    same = [float((a.pred == b.pred).float().mean()) for a, b in zip(alone, together)]
    assert min(same) > 0.99


def test_slices_of_a_volume_and_sizes():
    volume = phantom((6, 30, 30), seed=0)
    inside = made("onnx-int8", size=PadTo(16))
    check(SliceWise(inside), volume, inside.model)
    assert len(inside.model._engines.calibration.images) == 6


def test_an_ensemble():
    members = [made("onnx-int8", name="a"), made("openvino-bf16", name="b"), made("torch", name="c")]
    model = Ensemble(members)
    assert model.cases_wanted == MOST_CASES
    _, said = said_of(model, lambda m: scores_of(m))
    assert len(said) == 2 and model.cases_wanted == 0
    assert [m.engine_used for m in members] == ["onnx-int8", "openvino-bf16", "torch"]


def test_networks_of_labels_and_structures():
    class Labels(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small()

        def forward(self, x):
            return self.net(x).argmax(1)

    model = as_model(Labels(), engine="onnx-int8")
    check(model, CASES[0])
    assert model.engine_cost.probability is None and model.engine_cost.dice
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Sigmoid())
    model = as_model(net, engine="onnx-int8", overlapping=True, threshold=0.45)
    case = CASES[0].replace(truth=None)
    check(model, case)
    assert model.engine_cost.dice and model.engine_cost.dice.keys() <= {"1", "2"}


def test_a_network_that_was_changed_costs_something_else():
    net = small()
    model = made("onnx-int8", net)
    _, said = said_of(model, series_of)
    net[0].weight.data.mul_(1.01)
    _, said_too = said_of(model, series_of)
    assert len(said) == len(said_too) == 1 and len(model._engines.costs) == 2
    assert model.engine_used == "onnx-int8"
