"A model is compared with itself, on the pixels of the image"

from contextlib import contextmanager

import pytest
import torch
from torch.nn.functional import pad

from misas.core.cases import Case
from misas.core.model import Model
from misas.core.reference import AlignmentError, _origins, unchanged_prediction, with_own_reference

LARGE = Case(torch.rand(1, 300, 301, generator=torch.Generator().manual_seed(0)))  # three digits


class Sized(Model):
    "A threshold that wants images prepared"

    name = "sized"

    def __init__(self, change):
        self.change = change

    def prepare(self, case):
        truth = None if case.truth is None else self.change(case.truth[None])[0]
        return case.replace(image=self.change(case.image), truth=truth)

    def predict(self, images, template):
        return (images[:, 0] > 0.5).int()


class Unprepared(Sized):
    def __init__(self):
        super().__init__(None)

    def prepare(self, case):
        return case


def every_other(x):
    return x[:, ::2, ::3]


def middle(x):
    return x[:, 1:-1, 2:-2].flip(2)


def padded(x):
    return pad(x, (1, 2, 3, 4))


def twice(x):
    return x.repeat_interleave(2, 1).repeat_interleave(3, 2)


COUNTED = Case(torch.arange(35.0).reshape(1, 5, 7))
NUMBERS = torch.arange(300 * 301).reshape(1, 300, 301)


def test_origins_of_small_images():
    assert _origins(Unprepared(), COUNTED).tolist() == COUNTED.image[0].tolist()
    assert _origins(Sized(every_other), COUNTED).tolist() == [[0, 3, 6], [14, 17, 20], [28, 31, 34]]
    assert _origins(Sized(middle), COUNTED).tolist() == [[11, 10, 9], [18, 17, 16], [25, 24, 23]]
    assert torch.equal(_origins(Sized(padded), COUNTED), padded(COUNTED.image + 1)[0].long() - 1)
    assert _origins(Unprepared(), Case(torch.rand(1, 1, 1))).tolist() == [[0]]


def test_origins_of_images_with_more_pixels_than_labels():
    assert torch.equal(_origins(Sized(every_other), LARGE), every_other(NUMBERS)[0])


@pytest.mark.parametrize("model", [Unprepared(), Sized(padded), Sized(twice)], ids=["unprepared", "padded", "twice"])
def test_the_prediction_goes_back_to_its_pixels(model):
    assert with_own_reference(model, LARGE).truth.equal((LARGE.image[0] > 0.5).int())


def test_pixels_that_were_left_out_get_the_label_of_the_nearest():
    blocks = Case(torch.kron(torch.rand(1, 9, 8), torch.ones(3, 5)))  # of 3 x 5 pixels, of which the middle is seen
    reference = with_own_reference(Sized(lambda x: x[:, 1::3, 2::5]), blocks).truth
    assert reference.equal((blocks.image[0] > 0.5).int())


def test_pixels_of_a_volume_that_were_left_out():
    volume = Case(torch.kron(torch.rand(1, 3, 4, 5), torch.ones(3, 2, 7)))
    reference = with_own_reference(Sized(lambda x: x[:, 1::3, :, 3::7]), volume).truth
    assert reference.equal((volume.image[0] > 0.5).int())


def test_what_was_cut_off_is_background():
    seen = with_own_reference(Sized(middle), LARGE).truth
    inner = seen[1:-1, 2:-2]
    assert inner.equal((LARGE.image[0, 1:-1, 2:-2] > 0.5).int())
    assert seen.sum() == inner.sum()


@pytest.mark.parametrize("truth", [lambda t: t[::2] * 0, lambda t: None, lambda t: t], ids=["empty", "lost", "unmoved"])
def test_what_does_not_prepare_a_truth_alike(truth):
    class Wrong(Unprepared):
        def prepare(self, case):
            return case.replace(image=case.image[:, ::2], truth=None if case.truth is None else truth(case.truth))

    with pytest.raises(AlignmentError, match="case 'case' must have a truth, or model 'sized' a `prepare` that moves"):
        with_own_reference(Wrong(), LARGE)


def test_the_model_runs_in_a_session():
    class Watched(Unprepared):
        opened = 0

        @contextmanager
        def session(self):
            self.opened += 1
            yield self
            self.opened -= 1

        def predict(self, images, template):
            assert self.opened
            return super().predict(images, template)

    model = Watched()
    unchanged_prediction(model, LARGE)
    with_own_reference(model, LARGE)
    assert model.opened == 0


def test_the_image_is_not_modified():
    class Destroys(Unprepared):
        def predict(self, images, template):
            images.zero_()
            return images[:, 0].int()

    before = LARGE.image.clone()
    unchanged_prediction(Destroys(), LARGE)
    assert torch.equal(LARGE.image, before)
