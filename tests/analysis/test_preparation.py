"Preparations: intensity scales, and the search for the one that serves a model best"

import itertools
import warnings

import numpy as np
import pytest
import torch

from benchmarks.preparation import knows_one_frame
from misas.analysis.preparation import INTENSITIES, Normalise, Preparation, suggest_preparation
from misas.core.cases import Case
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
    assert str(Preparation(2, 256)) == "turn by 90° counter-clockwise, scale to 256 pixels"
    assert str(Preparation(6)) == "turn by 90° clockwise"
    assert str(Preparation("RAS -> LIP", spacing=(1, 1, 2.5))) == "turn axes RAS → LIP, resample to 1 × 1 × 2.5 mm"
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
    assert found.calls <= 8 * 5 * 6 / 5
    assert suggest_preparation(stubborn, stubborn_case, search="grid", progress=False).calls == 8 * 5 * 6


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
    assert str(suggest_preparation(fussy, PLAIN, **tried)) == "as it is: dice 1.00"
    found = suggest_preparation(fussy, PLAIN, **tried, search="grid")
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
        (dict(cases=[PLAIN, PLAIN.replace(truth=None, name="bare")]), "all have truths, or none, got 'bare'.*judge="),
        (dict(judge="truth", cases=PLAIN.replace(truth=None)), "'case', which has no truth"),
        (dict(judge="trust"), "did you mean 'truth'"),
        (dict(judge="confidence"), "gives no probabilities.*judge='agreement'"),
        (dict(search="stage"), "did you mean 'stages'"),
        (dict(orientations=["RAP"]), "axis codes.*'RAP'"),
        (dict(sizes=[(64, 64, 64)]), "size must be one number, or 2"),
        (dict(spacings=[-1]), "spacing of respace .*-1"),
        (dict(cases=[PLAIN, phantom((4, 64, 64))]), "all pictures or all volumes"),
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
    ids=lambda x: "" if isinstance(x, str) else next(iter(x)),
)
def test_bad_arguments(bad, word):
    with pytest.raises(ValueError, match=word):
        suggest_preparation(**dict(model=fussy, cases=PLAIN, sizes=[None], progress=False) | bad)


def distorted(person, orientation, intensity, size):
    "The person as another scanner stores it"
    case = Preparation(orientation, size)(person)
    image = case.image
    if intensity == "8 bit":
        image = (image * 255).round()
    elif intensity == "offset":
        image = image * 3000 - 1000
    return Case(image, case.truth, name="distorted", spacing=case.spacing)


PICTURE = phantom((64, 48), seed=3)
STACK = phantom((10, 32, 24), seed=1)
PICTURES = itertools.product([0, 2, 5], ["as is", "8 bit", "offset"], [None, 96])


@pytest.mark.parametrize("setting", PICTURES, ids=str)
def test_stages_find_what_the_grid_finds_in_a_fifth_of_the_calls(setting):
    model, case = knows_one_frame(PICTURE), distorted(PICTURE, *setting)
    tried = dict(sizes=(None, 48, 64, 96, 128), progress=False)
    found = suggest_preparation(model, case, **tried)
    whole = suggest_preparation(model, case, search="grid", **tried)
    assert found.best == whole.best and found.after == whole.after > 0.95
    assert found.calls <= whole.calls / 5 and whole.calls == 240


@pytest.mark.parametrize(
    "setting",
    [(0, "8 bit", None), ("LIP", "as is", 48), ("PRS", "offset", 48), ("IAL", "8 bit", 48)],
    ids=str,
)
def test_a_volume_takes_70_calls_where_the_grid_takes_hundreds(setting):
    model, case = knows_one_frame(STACK), distorted(STACK, *setting)
    tried = dict(sizes=(None, 32, 48), spacings=[], progress=False)
    found = suggest_preparation(model, case, **tried)
    whole = suggest_preparation(model, case, search="grid", **tried)
    assert found.best == whole.best and found.after == whole.after > 0.9
    assert found.calls <= 70 and whole.calls == 48 * 6 * 3
    assert f"{found.calls} of 864 combinations tried" in found.notes[0]


def test_a_search_that_the_budget_ends_says_so_and_how_to_go_on():
    case = distorted(STACK, "PRS", "offset", 48)
    tried = dict(sizes=(None, 24, 32, 48, 64, 96), progress=False)
    found = suggest_preparation(knows_one_frame(STACK), case, **tried)
    assert found.calls == 70 and found.best.orientation
    hint = f"orientations={[found.best.orientation]}"
    assert "the search was not at its end" in found.notes[-1] and hint in found.notes[-1]
    again = suggest_preparation(knows_one_frame(STACK), case, orientations=[found.best.orientation], **tried)
    assert again.after >= found.after and again.calls < 70
    assert hint not in " ".join(again.notes)
    tried["sizes"] = (None, 32)
    short = suggest_preparation(knows_one_frame(STACK), case, orientations=[], **tried, search="grid")
    assert "at its end" not in " ".join(short.notes)


def test_default_of_a_volume_has_48_orientations_and_spacings():
    found = suggest_preparation(knows_one_frame(STACK), distorted(STACK, "LIP", "8 bit", None), progress=False)
    assert found.best.intensity == "/255" and found.best.orientation == "SPL -> ALS" and found.calls <= 70
    assert {1.0, 2.0} <= set(found.table.spacing.dropna())
    assert found.best(distorted(STACK, "LIP", "8 bit", None)).shape == STACK.shape


def test_isotropic_and_own_spacing_of_each_axis():
    fine = STACK.replace(spacing=(8.0, 6.0, 6.0))
    model = knows_one_frame(fine)
    coarse = Preparation(spacing=(8, 12, 12))(fine)
    chosen = dict(orientations=[], sizes=[], intensities=[], progress=False)
    found = suggest_preparation(model, coarse, spacings=[3, 6, (8, 6, 6)], **chosen)
    assert found.best == Preparation(spacing=(8.0, 6.0, 6.0))
    assert str(found).startswith("resample to 8 × 6 × 6 mm: dice ")
    found = suggest_preparation(model, coarse, spacings=[], **chosen | dict(sizes=[32, (10, 32, 24)]))
    assert found.best.size == (10, 32, 24)


def test_without_truth_by_confidence_and_in_words():
    cases = [phantom((56, 56), seed=k).replace(truth=None) for k in range(2)]
    tried = dict(sizes=(None, 96, 128), intensities=["as is"], orientations=[2], labels=[1, 2, 3], progress=False)
    with pytest.warns(UserWarning, match="without truth, by how sure the model is of its own masks"):
        found = suggest_preparation(demo_model(), cases, **tried)
    assert found.metrics == "confidence" and found.after > found.before
    assert "confidence" in str(found) and "without truth" in found.notes[1]


def test_without_truth_or_probabilities_by_agreement():
    case = distorted(PICTURE, 0, "8 bit", None).replace(truth=None)
    tried = dict(sizes=[], orientations=[], progress=False)
    with pytest.warns(UserWarning, match="says the same of an image that is turned by 4°"):
        found = suggest_preparation(knows_one_frame(PICTURE), case, **tried)
    assert found.metrics == "agreement" and found.best.intensity == "/255"
    assert found.calls == 2 * len(found.table)


def test_one_case_is_warned_of_once_and_several_are_not():
    tried = dict(sizes=[None], orientations=[2], intensities=["as is"], progress=False)
    with pytest.warns(UserWarning) as heard:
        suggest_preparation(lambda x: x > 0.4, PLAIN, **tried)
    assert [str(w.message) for w in heard] == [
        "case 'case': this one case decides which preparation is advised; "
        "give several cases to see whether it serves others as well"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        suggest_preparation(lambda x: x > 0.4, [PLAIN, PLAIN.replace(name="other")], **tried)


def test_nothing_found_is_said():
    with pytest.warns(UserWarning, match="nothing was found with any of them: search='grid' tries all"):
        found = suggest_preparation(lambda x: 0 * x.astype(int), [PLAIN] * 2, progress=False)
    assert found.calls <= 48 + 11 and found.best == Preparation()
