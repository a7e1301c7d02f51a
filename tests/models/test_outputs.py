"The kind of what a network gives is found, whatever form it has"

import pytest
import torch

from misas.models.outputs import (
    OutputWatch,
    check_finite_scores,
    integer_labels,
    interpolate_scores,
    is_coarser,
    likely_misunderstanding,
    scores_in,
)

X = torch.rand(1, 2, 4, 4)
FORMS = {
    "tensor": X,
    "torchvision": {"out": X, "aux": None},
    "transformers": {"logits": X, "loss": None},
    "a single key": {"mask": X},
    "deep supervision": [X, X[..., :2, :2]],
    "a tuple": (X, torch.zeros(1)),
    "a dict in a tuple": ({"out": X},),
}


@pytest.mark.parametrize("name", FORMS)
def test_scores_are_found(name):
    assert scores_in(FORMS[name]) is X


@pytest.mark.parametrize(
    "output, error", [({"mask": X, "label": X}, "'mask', 'label'"), ("x", "a str"), ([], "a list")]
)
def test_output_without_scores(output, error):
    with pytest.raises(TypeError, match=error):
        scores_in(output)


@pytest.mark.parametrize("shape, wanted", [((8, 8), (32, 32)), ((4, 8), (8, 16)), ((2, 4, 4), (8, 16, 16))])
def test_coarser_by_an_integer(shape, wanted):
    assert is_coarser(shape, wanted)


@pytest.mark.parametrize(
    "shape, wanted",
    [
        ((30, 30), (32, 32)),
        ((8, 16), (32, 32)),
        ((8, 8), (8, 8)),
        ((64, 64), (32, 32)),
        ((1, 1), (32, 32)),
        ((8, 8), (33, 33)),
    ],
)
def test_not_coarser_by_an_integer(shape, wanted):
    assert not is_coarser(shape, wanted)


def test_interpolation_about_the_centres_of_pixels():
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    assert interpolate_scores(ramp, (8, 8))[0, 0, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


class Squashed(torch.nn.Module):
    def __init__(self, squash):
        super().__init__()
        self.conv, self.squash = torch.nn.Conv2d(1, 2, 3, padding=1), squash

    def forward(self, x):
        return self.squash(self.conv(x))[..., :4, :4]


def kind(net):
    with torch.inference_mode(), OutputWatch() as watch:
        return watch.kind_of(net(torch.rand(1, 1, 5, 5)))


LAST_STEPS = {
    "sigmoid layer": (torch.nn.Sigmoid(), "probabilities"),
    "sigmoid": (torch.sigmoid, "probabilities"),
    "softmax layer": (torch.nn.Softmax(1), "probabilities"),
    "softmax": (lambda x: x.softmax(1), "probabilities"),
    "relu": (torch.nn.ReLU(), "logits"),
    "stretched": (lambda x: x.sigmoid() * 4 - 2, "logits"),
    "stretched in place": (lambda x: x.sigmoid().mul_(8).sub_(4), "logits"),
    "another tensor": (lambda x: torch.stack([x.sigmoid(), x])[1], "logits"),
    "log softmax": (torch.nn.LogSoftmax(1), "logits"),
    "argmax": (lambda x: x.argmax(1), "labels"),
    "boolean": (lambda x: x > 0, "labels"),
}


@pytest.mark.parametrize("name", LAST_STEPS)
def test_kind_by_the_last_step(name):
    squash, expected = LAST_STEPS[name]
    assert kind(Squashed(squash)) == expected


AFTERWARDS = {
    "resized": lambda p: torch.nn.functional.interpolate(p, (9, 9), mode="bilinear"),
    "clamped": lambda p: p.clamp(0, 1),
    "cloned": torch.clone,
    "averaged": lambda p: torch.stack([p, p.flip(-1)]).mean(0),
    "joined": lambda p: torch.cat([p]),
    "padded": lambda p: torch.nn.functional.pad(p, (1, 1, 1, 1), mode="replicate"),
    "double": torch.Tensor.double,
    "half": torch.Tensor.half,
    "bfloat16": torch.Tensor.bfloat16,
    "clamped in place": lambda p: p.clamp_(0, 1),
}


@pytest.mark.parametrize("name", AFTERWARDS)
def test_probabilities_that_add_up_whatever_was_done_to_them(name):
    assert kind(Squashed(lambda x: AFTERWARDS[name](x.softmax(1)))) == "probabilities"


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("squash", [torch.nn.Sigmoid(), torch.nn.ReLU()])
def test_programs_have_the_kind_of_their_network(squash):
    net = Squashed(squash).eval()
    example = torch.rand(1, 1, 5, 5)
    assert kind(torch.jit.script(net)) == kind(net)
    assert kind(torch.jit.trace(net, example)) == kind(net)
    assert kind(torch.export.export(net, (example,)).module()) == kind(net)


def test_misunderstandings():
    from_zero_to_one = torch.linspace(0, 1, 4).reshape(1, 1, 4)
    assert "output='probabilities'" in likely_misunderstanding(from_zero_to_one, "logits")
    assert likely_misunderstanding(from_zero_to_one * 2, "logits") == ""
    assert likely_misunderstanding(from_zero_to_one, "probabilities") == ""
    regions = torch.tensor([0.9, 0.2, 0.1]).expand(1, 2, 3)
    assert "overlap" in likely_misunderstanding(regions, "probabilities")
    assert likely_misunderstanding(regions.softmax(1), "probabilities") == ""


def test_labels_are_integers():
    assert integer_labels(torch.tensor([0.0, 2.0])).dtype == torch.int64
    same = torch.tensor([True, False])
    assert integer_labels(same) is same
    with pytest.raises(ValueError, match="integers"):
        integer_labels(torch.tensor([0.5]))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_scores_are_finite(bad):
    check_finite_scores(torch.tensor([60000.0, 60000.0], dtype=torch.float16))  # their sum would not be
    with pytest.raises(ValueError, match="NaN or infinite"):
        check_finite_scores(torch.tensor([1.0, bad]))
