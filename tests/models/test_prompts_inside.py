"Prompts reach a model inside of what brings images to a size, or slices volumes"

import numpy as np
import pytest
import torch

import misas as ms

SHAPE = (20, 26)
DISC = (np.indices(SHAPE)[0] - 9) ** 2 + (np.indices(SHAPE)[1] - 12) ** 2 < 26
BAR = np.zeros(SHAPE, bool)
BAR[14:17, 3:20] = True
TRUTH = DISC + 2 * (BAR & ~DISC)
IMAGE = np.where(TRUTH > 0, 0.5, 0.1).astype(np.float32)


class Filler:
    "Fills the box that it is given, and remembers it"

    def __init__(self, kind="box"):
        self.kind, self.seen = kind, []

    def predict(self, image, prompt):
        self.seen.append((image.shape, tuple(map(float, prompt))))
        mask = np.zeros(image.shape[:2], bool)
        if self.kind == "box":
            x0, y0, x1, y1 = np.rint(prompt).astype(int)
            mask[y0 : y1 + 1, x0 : x1 + 1] = True
        else:
            x, y = np.rint(prompt).astype(int)
            mask[y, x] = True
        return mask


def model(kind="box", **options):
    filler = Filler(kind)
    return filler, ms.PromptModel(filler.predict, kind=kind, name="filler", **options)


CASE = ms.Case(IMAGE, TRUTH, "plane", (1, 1), scale=(0, 1))


@pytest.mark.parametrize("size", [ms.PadTo(16), ms.CropTo((18, 26)), ms.CropTo((30, 30)), ms.ResizeTo((40, 52))])
def test_boxes_follow_the_image_to_its_size(size):
    _, plain = model()
    filler, inside = model()
    sized = ms.as_model(inside, size=size)
    ready = sized.prepare(CASE)
    expected = plain(plain.prepare(CASE).image[None], plain.prepare(CASE))[0]
    assert torch.equal(sized(ready.image[None], ready)[0], expected)
    # what it was told is the box around the same pixels of the image that it saw
    shape, first = filler.seen[0]
    mask = torch.from_numpy((TRUTH == 1).astype(np.float32))[None, None]
    rows, columns = np.nonzero(size.apply(mask, torch.zeros(1))[0, 0].numpy() > 0.5)
    assert shape == tuple(size.apply(mask, torch.zeros(1)).shape[2:])
    assert np.allclose(first, (columns.min(), rows.min(), columns.max(), rows.max()), atol=0.51)


def test_boxes_scaled_by_hand():
    prompt = ms.Prompt(boxes={1: (2, 4, 5, 9)}, clicks={1: [(2, 4), (19, 25)]})
    filler, inside = model()
    sized = ms.as_model(inside, size=ms.ResizeTo((40, 52)))
    sized(CASE.image[None], CASE.replace(prompt=prompt.only("box")))
    assert filler.seen == [((40, 52), (8, 4, 19, 11))]  # pixels 4 to 9 are 8 to 19 of twice as many
    filler, inside = model("click")
    sized = ms.as_model(inside, size=ms.CropTo((10, 26)))
    sized(CASE.image[None], CASE.replace(prompt=ms.Prompt(clicks={1: [(2, 4), (9, 12)]})))
    assert filler.seen == [((10, 26), (12, 4))]  # the other one is cropped away


def volume():
    truth = np.stack([np.zeros_like(TRUTH), TRUTH, DISC.astype(int), np.where(TRUTH == 2, 2, 0)])
    image = np.where(truth > 0, 0.5, 0.1).astype(np.float32)
    return ms.load_case(image, truth, "volume", (3, 1, 1), scale=(0, 1), channels="none")


def of_slices(kind, case, axis=0, **options):
    "Each slice by itself"
    masks = []
    for own in ms.slices_of(case, axis):
        if not (own.truth > 0).any():
            masks.append(torch.zeros_like(own.truth))
            continue
        _, plain = model(kind, **options)
        ready = plain.prepare(own)
        masks.append(plain(ready.image[None], ready)[0])
    return torch.stack(masks, axis)


@pytest.mark.parametrize("kind", ["box", "click"])
@pytest.mark.parametrize("axis", [0, 1])
def test_slices_have_prompts_of_their_own(kind, axis):
    case = volume()
    _, inside = model(kind)
    sliced = ms.SliceWise(inside, axis=axis)
    ready = sliced.prepare(case)
    assert torch.equal(sliced(ready.image[None], ready)[0], of_slices(kind, case, axis))
    assert ready.prompt == sliced.prompt_for(case).only(kind)
    series = ms.get_series(sliced, case, ms.Rotate(), [0, 180], progress=False)
    turned = torch.flip(series[0].truth, (1, 2))
    assert torch.equal(series[1].truth, turned) and series[1].prompt != series[0].prompt


def test_slices_in_another_size_and_only_some_labels():
    case = volume()
    _, inside = model(prompted=[2])
    sliced = ms.SliceWise(ms.as_model(inside, size=ms.PadTo(16)))
    ready = sliced.prepare(case)
    found = sliced(ready.image[None], ready)[0]
    assert set(found.unique().tolist()) == {0, 2} and not found[2].any() and not found[0].any()
    box = np.zeros(SHAPE, bool)
    rows, columns = np.nonzero(TRUTH == 2)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    assert torch.equal(found[1] > 0, torch.from_numpy(box))


def test_box_of_a_user_reaches_the_slices_that_it_meets():
    case = volume().replace(prompt=ms.Prompt(boxes={1: (1, 2, 3, 2, 6, 8)}))
    filler, inside = model()
    sliced = ms.SliceWise(inside)
    ready = sliced.prepare(case)
    found = sliced(ready.image[None], ready)[0]
    assert len(filler.seen) == 2 and all(seen == (SHAPE, (3, 2, 8, 6)) for seen in filler.seen)
    assert found.flatten(1).any(1).tolist() == [False, True, True, False]


def test_transforms_of_prompts_stay_within_slices():
    case = volume()
    _, inside = model()
    sliced = ms.SliceWise(inside)
    table = ms.evaluate(sliced, case, [ms.BoxShift(), ms.BoxGrowth()], [0, 3], labels={1: "disc"}, progress=False)
    scores = table.set_index(["transform", "value"]).score
    assert scores["box-shift", 0] == scores["box-growth", 0]
    series = ms.get_series(sliced, case, ms.BoxGrowth(), [3], progress=False)
    boxes = [box for _, _, box in series[0].prompt.places("box")]
    assert all(box[0] == box[3] for box in boxes)  # one slice thick, as before
    assert scores["box-growth", 3] < scores["box-growth", 0] and scores["box-shift", 3] < scores["box-shift", 0]
    with pytest.raises(ValueError, match="axis of .*box-shift.* must be one within slices"):
        ms.evaluate(sliced, case, ms.BoxShift(axis=0), [3], progress=False)
    missing = ms.get_series(sliced, case, ms.MissingBoxes(), [1], progress=False)[0]
    assert not missing.pred.any()


def test_slices_of_sam_like_models_are_drawn_with_their_boxes():
    case = volume()
    _, inside = model()
    series = ms.get_series(ms.SliceWise(inside), case, ms.BoxShift(), [0, 4], progress=False)
    view = ms.series_view(series, index=1)
    with_boxes = view(series[0], 4)
    bare = view(
        ms.get_series(lambda image: np.zeros(np.shape(image), int), case, ms.Brightness(), [1], progress=False)[0], 4
    )
    assert with_boxes.shape == bare.shape and (with_boxes != bare).any()
