"Preparations: intensity scales, and the search for the one that serves a model best"

import numpy as np
import pytest
import torch

from misas.analysis.preparation import INTENSITIES, Normalise, Preparation, suggest_preparation
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.transforms.basic import Dihedral

GREY = load_case((np.random.default_rng(0).random((40, 40)) * 200 + 20).astype(np.uint8))
MADE = {scale: Normalise()(GREY, scale).image for scale in INTENSITIES}
LV = phantom((64, 64), seed=0, noise=0)
PLAIN = load_case(LV.image[0], LV.image[0] > 0.4)


def test_scales_by_fixed_numbers():
    assert torch.equal(MADE["as is"], GREY.image)
    assert torch.equal(MADE["/255"], GREY.image / 255)


@pytest.mark.parametrize("scale", ["0..1", "1st..99th percentile"])
def test_scales_from_0_to_1(scale):
    assert (MADE[scale].min(), MADE[scale].max()) == (0, 1)


def test_scale_to_255():
    assert abs(MADE["0..255"].max() - 255) < 1e-3


def test_z_score_has_mean_0_and_standard_deviation_1():
    assert abs(MADE["z-score"].mean()) < 1e-6 and abs(MADE["z-score"].std() - 1) < 1e-6


def test_scaled_image_is_one_of_fractions():
    assert Normalise()(GREY, "0..1").source.dtype == "float32"


def test_image_of_one_grey_stays_finite():
    assert Normalise()(load_case(np.ones((4, 4), np.float32)), "z-score").image.isfinite().all()


def test_misspelt_scale():
    with pytest.raises(ValueError, match="did you mean 'z-score'"):
        Normalise()(GREY, "zscore")


def test_preparation_in_words():
    assert str(Preparation(2, 256)) == "rotate by 90°, scale to 256 pixels"
    assert str(Preparation()) == "as it is"
    assert Preparation(2, 256).changes == 2


def test_preparation_changes_image_and_truth():
    ready = Preparation(2, 48, "z-score")(phantom((64, 96)))
    assert ready.shape == (48, 32) == ready.truth.shape
    assert abs(ready.image.mean()) < 1e-6


@pytest.fixture(scope="module")
def stubborn_case():
    person = phantom((192, 192), seed=3)
    return load_case((person.image[0].numpy() * 255).astype(np.uint8), person.truth, name="upright")


@pytest.fixture(scope="module")
def stubborn(stubborn_case):
    heart = Preparation(2, 128)(stubborn_case).truth

    def model(image):
        if image.shape != (128, 128) or image.max() > 1.5:
            return np.zeros(image.shape, int)
        return heart

    return model


def test_all_three_choices_together_make_a_stubborn_model_work(stubborn, stubborn_case):
    found = suggest_preparation(stubborn, stubborn_case, progress=False)
    assert found.best == Preparation(2, 128, "/255")
    assert found.before == 0 and found.after == 1
    assert found.calls == 8 * 5 * 6


@pytest.mark.parametrize(
    "orientations, sizes, intensities",
    [(range(8), [None], ["as is"]), ([0], [128], ["as is"]), ([0], [None], ["/255"])],
    ids=["orientation", "size", "intensity"],
)
def test_none_of_the_three_choices_helps_alone(orientations, sizes, intensities, stubborn, stubborn_case):
    tried = dict(orientations=orientations, sizes=sizes, intensities=intensities, progress=False)
    assert suggest_preparation(stubborn, stubborn_case, **tried).after == 0


def test_score_is_that_of_evaluate_and_small_images_are_enlarged():
    network, small = demo_model(), [phantom((56, 56), seed=k) for k in range(3)]
    tried = dict(sizes=(None, 96, 128, 192), orientations=(0, 2, 4, 6), intensities=("as is", "0..1"))
    found = suggest_preparation(network, small, **tried, keep=6, progress=False)
    prepared = [found.best(c) for c in small]
    labels = {1: "LV", 2: "MY", 3: "RV"}
    by_evaluate = evaluate(network, prepared, Dihedral(), values=[0], labels=labels, progress=False)
    assert found.after == pytest.approx(by_evaluate.groupby("case").score.mean().mean())
    assert found.best.intensity == "as is"
    assert found.after > found.before
    assert found.calls <= 4 * 4 * 2 + 7 * 2
    assert set(found.table.cases) == {1, 3}


def fussy(image):
    if image.shape[0] % 64:
        raise RuntimeError("sizes must be multiples of 64")
    return image > 0.4


def test_candidate_on_which_the_model_fails_has_no_score():
    tried = dict(sizes=(None, 100, 128), intensities=["as is", "0..1"], progress=False)
    found = suggest_preparation(fussy, PLAIN, **tried)
    assert str(found) == "as it is: dice 1.00"
    assert found.table.error.str.contains("multiples of 64").sum() == 8 * 2
    assert np.isnan(found.table.score.iloc[-1])


def test_model_that_fails_on_the_images_as_they_are():
    part = LV.image[0, :50, :50]
    tried = dict(orientations=[0], intensities=["as is"], sizes=[64], progress=False)
    found = suggest_preparation(fussy, load_case(part, part > 0.4), **tried)
    assert str(found).startswith("scale to 64 pixels: dice none → ")


def broken(image):
    raise RuntimeError("no weights")


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(cases=PLAIN.replace(truth=None)), "'case', which has no truth"),
        (dict(cases=[]), "cases must be at least one case"),
        (dict(cases=PLAIN.replace(truth=torch.zeros(64, 64).int())), "nothing but background"),
        (dict(sizes=[0]), "pixels of resize .*0"),
        (dict(orientations=[8]), "k of dihedral .*8"),
        (dict(intensities=["0.1"]), "did you mean '0..1'"),
        (dict(screen=0), "screen must be an integer >= 1, got 0"),
        (dict(keep=1.5), "keep must be an integer >= 1, got 1.5"),
        (dict(metrics="dise"), "did you mean 'dice'"),
        (dict(metrics="hd95"), "metrics must be metrics of which more is better"),
        (dict(model=broken), "no score with any preparation.*no weights"),
    ],
    ids=lambda x: x if isinstance(x, str) else next(iter(x)),
)
def test_bad_arguments(bad, word):
    with pytest.raises(ValueError, match=word):
        suggest_preparation(**dict(model=fussy, cases=PLAIN, sizes=[None], progress=False) | bad)
