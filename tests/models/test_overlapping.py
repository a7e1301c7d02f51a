"Models around models of structures that may overlap"

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms
from misas.core.packing import IGNORED

SHAPE = (24, 30)
A, B = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
A[4:14, 5:18] = True
B[8:20, 12:25] = True
PIXELS = (0.2 * A + 0.4 * B).astype(np.float32)
CASE = ms.Case(PIXELS, np.stack([A, B]), "two", (1, 1), scale=(0, 1), overlapping=True)


class TwoSigmoids(torch.nn.Module):
    "Logits of two structures, by intensity: A has .2 or .6, B .4 or .6"

    def __init__(self, ndim=2):
        super().__init__()
        kind = torch.nn.Conv2d if ndim == 2 else torch.nn.Conv3d
        self.first = kind(1, 1, 1)

    def forward(self, x):
        a = 8 - 60 * torch.minimum((x - 0.2).abs(), (x - 0.6).abs())
        b = 60 * (x - 0.3)
        return torch.cat([a, b], 1)


def net(ndim=2, **options):
    return ms.as_model(TwoSigmoids(ndim), overlapping=True, output="logits", name="two", **options)


def dice_of(model, case, transform="rotation", values=(0, 20)):
    table = ms.evaluate(model, case, transform, list(values), labels={1: "A", 2: "B"}, progress=False)
    return table.score.to_numpy()


@pytest.mark.parametrize("size", [ms.PadTo(16), ms.ResizeTo((48, 60)), ms.CropTo((22, 28)), ms.CropTo((32, 40))])
def test_sizes_keep_structures_apart(size):
    plain = net()
    sized = ms.as_model(plain, size=size)
    assert sized.packs
    assert torch.equal(plain(CASE.image[None], CASE)[0], CASE.truth)
    if not size.rescales:  # which blurs what the network tells by intensity
        assert torch.equal(sized(CASE.image[None], CASE)[0], CASE.truth)
    assert dice_of(sized, CASE)[:2].min() >= (0.8 if size.rescales else 1)
    # a threshold about the wrapper is that of each structure
    strict = sized.with_threshold([0.9999999, 0.5])(CASE.image[None], CASE)[0]
    masks = ms.unpack_structures(strict, 2)
    assert not masks[0].any() and masks[1].any() and (size.rescales or torch.equal(masks[1], torch.from_numpy(B)))


def test_slices_keep_structures_apart():
    image = np.stack([PIXELS, PIXELS[::-1]])[None]
    masks = np.stack([np.stack([m, m[::-1]]) for m in (A, B)])
    volume = ms.Case(image, masks, "v", (2, 1, 1), scale=(0, 1), overlapping=True)
    sliced = ms.SliceWise(net())
    assert torch.equal(sliced(volume.image[None], volume)[0], volume.truth)
    slices = ms.slices_of(volume, 0)
    assert all(c.overlapping for c in slices) and torch.equal(slices[0].truth, CASE.truth)
    assert dice_of(sliced, volume)[:2].tolist() == [1, 1]


def test_windows_keep_structures_apart():
    pytest.importorskip("monai")
    direct = ms.SlidingWindow(net(), 16)
    sized = ms.as_model(direct, size=ms.PadTo(16))
    for model in (direct, sized, direct.with_threshold(0.5)):
        assert torch.equal(model(CASE.image[None], CASE)[0], CASE.truth)
    with pytest.raises(ValueError, match="put SlidingWindow around the network itself"):
        ms.SlidingWindow(ms.as_model(net(), size=ms.PadTo(16)), 16)


class Halved:
    "prepareSize makes pictures half as large"

    def prepareSize(self, item):
        return item.resize((item.width // 2, item.height // 2), Image.Resampling.NEAREST)

    def predict(self, image):
        return image


@pytest.mark.parametrize("n", [2, 12])
def test_prepared_size_of_many_structures(n):
    masks = np.stack([np.roll(A, k, 1) for k in range(n)])
    known = masks.astype(int)
    known[:, :4, :6] = IGNORED
    picture = Image.fromarray((PIXELS * 255).astype(np.uint8))
    case = ms.load_case(picture, known, spacing=(1, 1), overlapping=True, ignore=IGNORED)

    def predict(image):
        return np.stack([np.asarray(image) > 20] * n)

    maker = Halved()
    maker.predict = predict
    ready = ms.as_model(maker, overlapping=True).prepare(case)
    assert ready.overlapping and ready.shape == (12, 15)
    there = ms.unpack_structures(ready.truth, n).numpy()
    small = [np.asarray(Image.fromarray(m).resize((15, 12), Image.Resampling.NEAREST)) for m in masks]
    outside = (ready.truth != IGNORED).numpy()
    assert 0 < (~outside).sum() < 20 and np.array_equal(there & outside, np.stack(small) & outside)


def test_prompts_of_structures_are_theirs():
    prompt = ms.prompt_of(CASE)
    assert prompt.boxes == {1: ((4, 5, 13, 17),), 2: ((8, 12, 19, 24),)}

    def filled(image, prompt):
        x0, y0, x1, y1 = map(int, prompt)
        mask = np.zeros(image.shape[:2], bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
        return mask

    model = ms.PromptModel(filled, overlapping=True)
    assert torch.equal(model(CASE.image[None], CASE)[0], CASE.truth)
    assert dice_of(model, CASE, ms.BoxShift(), [0]).tolist() == [1, 1]
    with pytest.raises(ValueError, match="masks of one kind"):
        dice_of(ms.PromptModel(filled), CASE)


def test_contrast_phase_of_structures():
    case = CASE.replace(image=CASE.image * 100, scale=(-1000, 1000))
    changed = ms.ContrastPhase(tissues={1: 1.0})(case, 50)
    assert torch.equal(changed.image[0] - case.image[0] > 49, torch.from_numpy(A))


def test_lesions_of_structures_that_overlap():
    table = ms.lesion_table(net(), CASE, label=2, progress=False)
    assert table.volume.tolist() == [B.sum()] and table.found.all()
    with pytest.raises(ValueError, match="masks of one kind"):
        ms.lesion_table(lambda image: image > 0.3, CASE, progress=False)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: ms.occlusion_map(model, CASE, label=1, progress=False),
        lambda model: ms.evaluate(model, CASE, ms.Adversarial(), [0.01], progress=False),
        lambda model: ms.missed_shares(model, [CASE]),
        lambda model: ms.fit_temperature(model, [CASE]),
        lambda model: ms.Ensemble([model, model]),
        lambda model: ms.plot_confusion(ms.get_series(model, CASE, ms.Rotate(), [0], progress=False)),
        lambda model: ms.probability_maps(model, CASE),
        lambda model: ms.activation_map(model, CASE, label=1),
        lambda model: ms.as_model(model, relabel={1: 2}),
        lambda model: ms.confidence_table(model, [CASE], progress=False),
    ],
)
def test_what_needs_one_label_for_each_pixel_says_so(ask):
    with pytest.raises(ValueError, match="must have one label for each pixel, got structures that overlap"):
        ask(net())


def test_preparation_of_structures():
    found = ms.suggest_preparation(net(), [CASE, CASE.replace(name="b")], progress=False)
    assert found is not None
