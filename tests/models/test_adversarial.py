"Attacks: against closed forms, inside their ball and scale, and what helps where there is no gradient"

import numpy as np
import pytest
import torch

from misas.all import *
from misas.core.sweeps import sweep
from misas.models.attacks import sea_stages
from misas.models.gradients import differentiable_scores
from misas.models.logits import NoGradientError

GRADIENTS = ("pgd", "segpgd", "cospgd", "apgd", "sea")
SHAPES = {2: (9, 11), 3: (5, 6, 7)}


def linear(ndim, channels=2, classes=1):
    "A network whose scores are a linear function of each pixel by itself"
    torch.manual_seed(3)
    return {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[ndim](channels, classes, 1)


def coloured(ndim, channels=2, **facts):
    "An image far from black and white, and a random truth"
    rng = np.random.default_rng(ndim)
    image = 0.4 + 0.2 * rng.random((channels, *SHAPES[ndim]), dtype=np.float32)
    return Case(image, rng.integers(0, 2, SHAPES[ndim]), scale=(0, 1), **facts)


def worst_by_hand(case, weights, epsilon):
    "Lower scores where the truth is 1, higher ones where it is 0"
    towards = 1 - 2 * case.truth.float()
    sides = [1] * case.ndim
    return case.image + epsilon * towards * torch.as_tensor(weights).sign().reshape(-1, *sides)


@pytest.mark.parametrize("attack", GRADIENTS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_linear_network_of_pytorch(ndim, attack):
    net, case = linear(ndim), coloured(ndim)
    step = next(sweep(as_model(net, output="logits"), case, Adversarial(attack=attack), [0.05], progress=False))
    expected = worst_by_hand(case, net.weight.detach().flatten(), 0.05)
    assert (step.image - expected).abs().max() < 1e-6


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_linear_network_with_two_classes(ndim):
    net, case = linear(ndim, classes=2), coloured(ndim)
    step = next(sweep(as_model(net, output="logits"), case, Adversarial(), [0.05], progress=False))
    expected = worst_by_hand(case, (net.weight[1] - net.weight[0]).detach().flatten(), 0.05)
    assert (step.image - expected).abs().max() < 1e-6


@pytest.mark.parametrize("attack", GRADIENTS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_linear_network_of_keras(ndim, attack):
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[ndim]
    net = keras.Sequential([keras.Input((*SHAPES[ndim], 2)), convolution(1, 1, activation="sigmoid")])
    case = coloured(ndim)
    step = next(sweep(net, case, Adversarial(attack=attack), [0.05], progress=False))
    expected = worst_by_hand(case, np.asarray(net.get_weights()[0]).flatten(), 0.05)
    assert (step.image - expected).abs().max() < 1e-6


def test_keras_preprocess_on_tensors_and_on_arrays():
    keras = pytest.importorskip("keras")
    net = keras.Sequential([keras.Input((9, 11, 2)), keras.layers.Conv2D(2, 1, activation="softmax")])
    case = coloured(2)
    found = [
        get_series(as_model(net, preprocess=f), case, Adversarial(), [0.05], progress=False)[0].image
        for f in (None, lambda x: 3 * x)
    ]
    assert torch.allclose(*found, atol=1e-6)
    with pytest.raises(NoGradientError, match=r"preprocess .*Adversarial\(attack='square'\)"):
        get_series(as_model(net, preprocess=lambda x: np.sort(x, 0)), case, Adversarial(), [0.05], progress=False)


def test_a_network_that_is_certain():
    "Gradients too small for single precision still have a sign"
    net, case = linear(2), coloured(2)
    with torch.no_grad():
        net.weight.mul_(100)
    step = next(sweep(as_model(net, output="logits"), case, Adversarial(), [0.05], progress=False))
    assert (step.image - worst_by_hand(case, net.weight.detach().flatten(), 0.05)).abs().max() < 1e-6


def test_l2_on_a_linear_network():
    "Of the margin, the worst is along the gradient"
    net, case = linear(2), coloured(2)
    attack = Adversarial(attack="pgd", loss="margin", norm="l2", steps=60)
    change = next(sweep(as_model(net, output="logits"), case, attack, [0.02], progress=False)).image - case.image
    assert change.square().mean().sqrt() == pytest.approx(0.02, rel=1e-5)
    gradient = (1 - 2 * case.truth.float()) * net.weight.detach().reshape(-1, 1, 1)
    assert torch.cosine_similarity(change.flatten(), gradient.flatten(), 0) > 0.998


@pytest.mark.parametrize("scale", [(0, 1), (0, 255), (-1000, 3000)], ids=str)
@pytest.mark.parametrize("attack", [*GRADIENTS, "square"])
def test_inside_of_the_ball_and_the_scale(attack, scale):
    low, high = scale
    case = phantom((32, 32), seed=1)
    case = Case(case.image * (high - low) + low, case.truth, scale=scale)
    for step in sweep(demo_model(), case, Adversarial(attack=attack, steps=5), [0, 0.01, 0.2], progress=False):
        change = (step.image - case.image).abs().max() / (high - low)
        assert change <= step.value + 1e-6 and (step.value == 0.01 or (step.value == 0) == (change == 0))
        assert step.image.min() >= low and step.image.max() <= high


@pytest.mark.parametrize("transform", [Adversarial(steps=3), Adversarial(norm="l2", steps=3), AdversarialBias(steps=3)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_conforms_once_the_model_is_known(transform, ndim):
    model = as_model(linear(ndim, 1, 4), output="logits")
    shape = {2: (16, 17), 3: (8, 16, 17)}[ndim]
    conforms(transform.for_model(model), phantom(shape, seed=0))
    states = torch.get_rng_state()
    transform.for_model(model)(phantom(shape, seed=0), 0.1)
    assert torch.equal(states, torch.get_rng_state())


def test_the_model_must_be_known():
    with pytest.raises(ValueError, match=r"the model of adversarial must be known \(.*for_model\(model\)\)"):
        Adversarial()(phantom((16, 16), seed=0), 0.01)
    assert Compose(Rotate(), Adversarial()).needs_model and not Rotate().needs_model


def test_field_is_smooth_and_bounded():
    "With one class to lose, a linear network wants the field at its edge everywhere"
    net = torch.nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        net.weight.fill_(2), net.bias.fill_(-0.5)
    case = Case(torch.full((1, 20, 21), 0.5), np.ones((20, 21)), scale=(0, 1))
    for attack in ("pgd", "segpgd", "apgd", "square"):
        transform = AdversarialBias(attack=attack, steps=40)
        found = next(sweep(as_model(net, output="logits"), case, transform, [0.3], progress=False)).image
        log_field = (found / case.image).log()
        assert log_field.abs().max() <= 0.3 + 1e-6
        if attack != "square":
            assert torch.allclose(log_field, torch.tensor(-0.3), atol=1e-5)


def test_bias_in_a_series_of_the_demo_model():
    case = phantom((64, 64), seed=2)
    for step in sweep(demo_model(), case, AdversarialBias(steps=4), [0.2, 0.5], progress=False):
        bright = case.image > 0.1
        field = (step.image / case.image)[bright & (step.image < 1)].log()
        assert field.abs().max() <= step.value + 1e-4


def gradient_of(model, case):
    image = case.image[None].clone().requires_grad_()
    scores = differentiable_scores(as_model(model), image, case)
    return torch.autograd.grad(scores[:, -1].sum(), image)[0]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: as_model(m, size=PadTo(16)),
        lambda m: SlidingWindow(m, 8),
        lambda m: as_model(m, relabel={1: 2}),
        lambda m: Thresholded(m, 0.3),
    ],
)
def test_gradients_pass_through_wrappers(wrap):
    net = linear(2, 1, 2)
    case = Case(torch.rand(1, 13, 14))
    expected = net.weight.detach()[1, 0].expand(1, 1, 13, 14)
    assert torch.allclose(gradient_of(wrap(as_model(net, output="logits")), case), expected, atol=1e-5)


def test_slices_and_axes_of_a_volume():
    net = linear(2, 1, 2)
    case = phantom((6, 16, 17), seed=0)
    model = as_model(net, output="logits")
    for wrapped in (SliceWise(model), SliceWise(model, axis=2), Oriented(SliceWise(model), "RAS")):
        assert torch.allclose(gradient_of(wrapped, case), net.weight.detach()[1, 0], atol=1e-5)


def test_relabelled_scores():
    model = as_model(linear(2, 1, 3), output="logits", relabel={1: 2, 2: 1})
    case = Case(torch.rand(1, 4, 4))
    scores = differentiable_scores(model, case.image[None].requires_grad_(), case)
    plain = differentiable_scores(model.model, case.image[None].requires_grad_(), case)
    assert torch.equal(scores, plain[:, [0, 2, 1]])


@pytest.mark.parametrize(
    "model, why",
    [
        (lambda image: image > 0.5, "it is a PlainModel"),
        (as_model(demo_model(), preprocess=lambda x: torch.from_numpy(x.numpy())), "its preprocess works on arrays"),
        (as_model(demo_model(), prepare=lambda c: Resize()(c, 32)), "its prepare changes the image"),
        (Ensemble([demo_model(), demo_model()]), "it is a Ensemble|it is an Ensemble"),
    ],
)
def test_no_gradient_names_what_works(model, why):
    case = phantom((24, 24), seed=0)
    with pytest.raises(NoGradientError, match=f"{why}.*attack='square'.*worst_case"):
        get_series(model, case, Adversarial(), [0.01], progress=False)
    if "prepare changes" not in why:
        get_series(model, case, Adversarial(attack="square", steps=2), [0.01], progress=False)


def test_evaluate_store_and_processes(tmp_path):
    cases = [phantom((32, 32), seed=s) for s in (0, 1)]
    attack = Adversarial(attack="pgd", steps=3)
    settings = dict(values=[0, 2 / 255], labels={1: "LV"}, progress=False)
    first = evaluate(demo_model(), cases, attack, store=tmp_path, **settings)
    (path,) = tmp_path.iterdir()
    kept = path.read_bytes()
    assert evaluate(demo_model(), cases, attack, store=tmp_path, n_jobs=2, **settings).equals(first)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == kept
    evaluate(demo_model(), cases, Adversarial(attack="pgd", steps=4), store=tmp_path, **settings)
    assert len(path.read_bytes()) > len(kept)
    assert list(first["transform"].unique()) == ["adversarial(attack='pgd', steps=3)"] and set(first.param) == {
        "epsilon"
    }
    assert evaluate(demo_model(), cases, attack, n_jobs=2, **settings).equals(first)


def test_the_cache_key_knows_model_and_settings():
    one, other = as_model(linear(2)), as_model(linear(2, 1))
    keys = [repr(t.fingerprint()) for t in (Adversarial(), Adversarial(seed=1), AdversarialBias())]
    assert len(set(keys)) == 3
    from misas.core.fingerprint import checksum

    bound = [checksum(Adversarial().for_model(m).fingerprint()) for m in (one, one, other)]
    assert bound[0] == bound[1] != bound[2]


def test_a_case_without_truth_is_compared_with_the_model_itself():
    case = phantom((32, 32), seed=1).replace(truth=None)
    series = get_series(demo_model(), case, Adversarial(steps=5), [0, 0.05], progress=False)
    assert torch.equal(series[0].pred, series[0].reference) and not torch.equal(series[1].pred, series[1].reference)


def test_what_is_not_annotated_does_not_count():
    net, case = linear(2), coloured(2)
    truth = case.truth.clone()
    truth[:4] = 255
    step = next(
        sweep(as_model(net, output="logits"), case.replace(truth=truth, ignore=255), Adversarial(), [0.05], None, False)
    )
    expected = worst_by_hand(case, net.weight.detach().flatten(), 0.05)
    assert (step.image - expected).abs()[:, 4:].max() < 1e-6


def test_one_label_is_harmed():
    case = phantom((64, 64), seed=3)
    names = {1: "LV", 2: "MY", 3: "RV"}
    scores = [
        evaluate(demo_model(), case, Adversarial(label=label), [4 / 255], labels=names, progress=False)
        for label in ("RV", 3, None)
    ]
    by_name, by_number, of_all = (s.set_index("label").score for s in scores)
    assert by_name.equals(by_number) and by_name["RV"] <= of_all["RV"] + 0.02
    with pytest.raises(ValueError, match="label must be one of .* in case 'phantom-3', got 'RW'"):
        get_series(demo_model(), case, Adversarial(label="RW"), [0.1], progress=False)
    with pytest.raises(ValueError, match="label must be one of the model's labels, 0 to 3, got 9"):
        get_series(demo_model(), case, Adversarial(label=9), [0.1], progress=False)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(attack="seg-pgd"), "attack must be one of .*did you mean 'segpgd'"),
        (dict(steps=0), "steps must be an integer >= 1"),
        (dict(restarts=1.5), "restarts must be an integer >= 1"),
        (dict(step=-1), "step must be a number > 0 or None"),
        (dict(loss="ce"), "loss must be one of"),
        (dict(norm="l1"), "norm must be one of 'linf', 'l2', got 'l1'"),
        (dict(seed=-1), "seed must be"),
        (dict(label=[]), "label must be"),
        (dict(label=-1), "label must be"),
        (dict(attack="sea", loss="dice"), "loss must be None for 'sea'"),
        (dict(attack="apgd", step=0.1), "step must be None for 'apgd'"),
        (dict(loss="dice"), "loss must be one of single pixels for 'segpgd'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Adversarial(**settings)


@pytest.mark.parametrize("value", [-0.1, 1.5, "a", np.nan])
def test_bad_epsilon(value):
    with pytest.raises(ValueError, match="epsilon of adversarial must be a number >= 0 and <= 1"):
        get_series(demo_model(), phantom((16, 16), seed=0), Adversarial(), [value], progress=False)


def test_losses_that_are_not_cross_entropy():
    case = phantom((48, 48), seed=1)
    before = evaluate(demo_model(), case, progress=False).score.mean()
    for loss in ("dice", "margin", "jensen_shannon", "masked_cross_entropy"):
        found = evaluate(demo_model(), case, Adversarial(attack="pgd", loss=loss), [4 / 255], progress=False)
        assert found.score.mean() < before - 0.03, loss


def test_more_restarts_and_more_attacks_harm_no_less():
    case = phantom((48, 48), seed=1)
    model = as_model(demo_model())

    def harm(**settings):
        return Adversarial(**settings).for_model(model).search(case, 2 / 255)[0].harm

    assert harm(restarts=3) >= harm()
    assert harm(attack="sea") >= harm(attack="square", steps=20)


def test_schedule_of_sea():
    assert sea_stages(100) == [(30, 2.0), (30, 1.5), (40, 1.0)] and sea_stages(1) == [(1, 1.0)]


class Misled(torch.autograd.Function):
    "The identity, with the gradient of something else"

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, weights):
        return -weights


class Masked(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(Misled.apply(x))


def test_masked_gradients_are_found_out():
    net, case = linear(2, 1, 2), coloured(2, 1)
    with torch.no_grad():
        net.weight.mul_(20)
        net.bias.copy_(-net.weight[:, 0, 0, 0] * 0.5)
        case = case.replace(truth=net(case.image[None]).argmax(1)[0])
    honest = check_gradients(as_model(net, output="logits"), case, 0.05, restarts=2)
    assert not honest.masked and "no sign of masked gradients" in honest.text
    found = check_gradients(as_model(Masked(net), output="logits"), case, 0.05, restarts=2)
    assert found.masked and "a search without them does more harm" in str(found)
    assert list(found.table.columns) == ["search", "dice", "cross_entropy", "answers"] and len(found.table) == 5
    assert found.table.search[4] == "square, without gradients"


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(epsilon=0), "epsilon must be"),
        (dict(restarts=1), "restarts must be"),
        (dict(queries=0), "queries must be"),
        (dict(attack=Adversarial(attack="square")), "attack must be one that uses gradients"),
        (dict(attack=Rotate()), "attack must be an Adversarial"),
        (dict(margin=2), "margin must be"),
    ],
)
def test_bad_arguments_of_the_check(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        check_gradients(demo_model(), phantom((16, 16), seed=0), **settings)


def test_the_check_needs_gradients():
    with pytest.raises(NoGradientError, match="worst_case"):
        check_gradients(lambda image: image > 0.5, phantom((16, 16), seed=0))


def test_what_an_attacked_network_looks_at():
    case = phantom((32, 32), seed=1)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 1))
    found = activation_series(net, case, Adversarial(steps=3), [0, 0.05], label=1, layer="0", progress=False)
    expected = next(sweep(net, case, Adversarial(steps=3), [0.05], progress=False))
    assert torch.equal(found.steps[1].image, expected.image)
