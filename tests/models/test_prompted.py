"Boxes and clicks: made of the truth, changed, carried along, drawn, and given to SAM as one would by hand"

import pickle

import numpy as np
import pytest
import torch
from scipy import ndimage

from misas.all import *
from misas.core.fingerprint import checksum
from misas.core.sweeps import sweep
from misas.plot.overlays import series_view

BOXES = [BoxShift(), BoxGrowth(), BoxJitter(), MissingBoxes()]
TRANSFORMS = [*BOXES, ClickJitter()]


def fill(image, prompt):
    "All that is in the box"
    low, high = prompt.reshape(2, -1)[:, ::-1]
    mask = np.zeros(image.shape[-len(low) :], bool)
    mask[tuple(slice(round(float(a)), round(float(b)) + 1) for a, b in zip(low, high))] = True
    return mask


def dot(image, prompt):
    mask = np.zeros(image.shape[-len(prompt) :], bool)
    mask[tuple(int(round(float(p))) for p in prompt[::-1])] = True
    return mask


def squares(*shape):
    "Label 1 in rows 3 to 7 and columns 4 to 9, label 2 apart from it, at one pixel"
    shape = shape or (20, 30)
    truth = np.zeros(shape, int)
    truth[..., 3:8, 4:10] = 1
    truth[..., 15, 20] = 2
    return Case(np.where(truth, 0.8, 0.2).astype(np.float32)[None], truth, scale=(0, 1))


def test_prompt_by_hand():
    prompt = prompt_of(squares())
    assert prompt.boxes == {1: ((3, 4, 7, 9),), 2: ((15, 20, 15, 20),)}
    assert prompt.clicks[2] == ((15, 20),) and prompt.labels == [1, 2]
    truth = squares().truth.numpy()
    depth = ndimage.distance_transform_edt(truth == 1)
    place = tuple(int(p) for p in prompt.clicks[1][0])
    assert depth[place] == depth.max()


def test_prompt_in_mm_and_in_3d():
    truth = np.zeros((7, 20, 20), int)
    truth[2:5, 4:15, 4:15] = 1
    case = Case(np.zeros((1, *truth.shape), np.float32), truth, spacing=(10, 1, 1))
    assert prompt_of(case).boxes[1] == ((2, 4, 4, 4, 14, 14),)
    depth = ndimage.distance_transform_edt(np.pad(truth, 1), sampling=(10, 1, 1))[1:-1, 1:-1, 1:-1]
    assert depth[tuple(int(p) for p in prompt_of(case).clicks[1][0])] == depth.max()


def test_a_click_is_away_from_the_edge_of_the_image():
    assert prompt_of(Case(np.zeros((1, 9, 9)), np.ones((9, 9)))).clicks[1] == ((4, 4),)


def test_one_prompt_for_each_part():
    truth = np.zeros((9, 9), int)
    truth[1:3, 1:3] = truth[5:8, 6] = 4
    case = Case(np.zeros((1, 9, 9)), truth)
    assert prompt_of(case).boxes == {4: ((1, 1, 7, 6),)}
    assert prompt_of(case, components=True).boxes == {4: ((1, 1, 2, 2), (5, 6, 7, 6))}
    model = PromptModel(fill, components=True)
    series = get_series(model, case, MissingBoxes(), [0, 0.5, 1], progress=False)
    assert torch.equal(series[0].pred, case.truth) and not series[2].pred.any()
    assert series[1].pred.sum() in (16, 12)


def test_what_is_not_annotated_makes_no_prompt():
    case = squares()
    truth = case.truth.clone()
    truth[0, 0] = 255
    assert prompt_of(case.replace(truth=truth, ignore=255)) == prompt_of(case)


@pytest.mark.parametrize(
    "transform, value, box",
    [
        (BoxShift(), 5, (3, 9, 7, 14)),
        (BoxShift(axis=0), -2, (1, 4, 5, 9)),
        (BoxShift(), -6, (3, 0, 7, 3)),
        (BoxShift(units="mm"), 5, (3, 6.5, 7, 11.5)),
        (BoxGrowth(), 2, (1, 2, 9, 11)),
        (BoxGrowth(), 100, (0, 0, 19, 29)),
        (BoxGrowth(), -1, (4, 5, 6, 8)),
        (BoxGrowth(), -9, (5, 6.5, 5, 6.5)),
        (BoxGrowth(units="mm"), 2, (2.0, 3, 8.0, 10)),
    ],
    ids=str,
)
def test_boxes_by_hand(transform, value, box):
    case = squares().replace(spacing=(2.0, 2.0), unit="mm")
    if value in (-9, 100, -6):
        case = case.replace(truth=(case.truth == 1).int())
    assert transform(case, value).prompt.boxes[1] == (box,)


def test_jitter_is_bounded_seeded_and_grows_the_same_way():
    case = squares()
    before = np.array(prompt_of(case).boxes[1][0])
    small, large = (np.array(BoxJitter()(case, v).prompt.boxes[1][0]) - before for v in (1, 2))
    assert np.abs(small).max() <= 1 and np.allclose(2 * small, large) and small.any()
    assert BoxJitter()(case, 1).prompt == BoxJitter()(case, 1).prompt != BoxJitter(seed=1)(case, 1).prompt
    clicks = [np.array(prompt_of(ClickJitter()(case, v)).clicks[1][0]) for v in (0, 1, 2)]
    case_click = np.array(prompt_of(case).clicks[1][0])
    assert np.allclose(clicks[2] - case_click, 2 * (clicks[1] - case_click))
    assert np.isclose(np.linalg.norm(clicks[1] - case_click), 1)


def test_missing_boxes_are_nested():
    truth = np.zeros((40, 40), int)
    for k in range(1, 9):
        truth[4 * k, 4 * k] = k
    case = Case(np.zeros((1, 40, 40)), truth)
    left = [set(prompt_of(MissingBoxes()(case, v)).boxes) for v in (0, 0.25, 0.5, 1)]
    assert [len(s) for s in left] == [8, 6, 4, 0] and left[3] <= left[2] <= left[1] <= left[0]
    assert len(MissingBoxes()(case, 0.25).prompt.clicks) == 8


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
@pytest.mark.parametrize("shape", [(64, 60), (8, 48, 50)], ids=str)
def test_conforms(transform, shape):
    case = phantom(shape, seed=1)
    conforms(transform, case)
    changed = transform(case, transform.values[-1])
    assert torch.equal(changed.image, case.image) and torch.equal(changed.truth, case.truth)
    assert changed.prompt != prompt_of(case)


def test_a_sweep_of_a_model_that_fills_its_box():
    case = squares()
    series = get_series(PromptModel(fill, prompted=[1]), case, BoxShift(), [0, 2, 6], progress=False, batch_size=3)
    table = score(series, labels={1: "a"})
    assert table.score.tolist() == pytest.approx([1, 4 / 6, 0])
    assert [s.prompt.boxes[1][0][1] for s in series] == [4, 6, 10]
    found = evaluate(PromptModel(fill), case, [BoxShift(), BoxGrowth()], {"box-shift": [0, 2], "box-growth": [0, 1]})
    assert found[(found.label == "1") & (found.value == 2)].score.item() == pytest.approx(4 / 6)
    assert found[(found.label == "1") & (found.param == "growth") & (found.value == 1)].score.item() == (
        pytest.approx(60 / (30 + 56))
    )


def test_store_and_cache_keys(tmp_path):
    cases = [phantom((48, 48), seed=s) for s in (0, 1)]
    model = PromptModel(fill, name="fill")
    settings = dict(values=[0, 4], progress=False, store=tmp_path)
    first = evaluate(model, cases, BoxShift(), **settings)
    assert evaluate(model, cases, BoxShift(), **settings).equals(first)
    assert pickle.loads(pickle.dumps(model)).cache_key() == model.cache_key()
    keys = [m.cache_key() for m in (model, PromptModel(fill, "click", "fill"), PromptModel(fill, name="fill"))]
    assert keys[0] == keys[2] != keys[1]
    assert len({checksum(t.fingerprint()) for t in (*TRANSFORMS, BoxShift(axis=0), BoxJitter(seed=1))}) == 7


@pytest.mark.parametrize("transform, value", [(Rotate(), 30), (Zoom(), 1.3), (Dihedral(), 3), (Resize(), 96)], ids=str)
def test_a_prompt_of_the_truth_moves_with_the_anatomy(transform, value):
    step = next(sweep(PromptModel(fill), phantom((64, 64), seed=1), transform, [value], progress=False))
    for label in (1, 2, 3):
        rows, columns = np.nonzero((step.truth == label).numpy())
        assert step.prompt.boxes[label] == ((rows.min(), columns.min(), rows.max(), columns.max()),)


@pytest.mark.parametrize(
    "transform, value, box",
    [
        (Dihedral(), 1, (3, 20, 7, 25)),
        (Brightness(), 2, (3, 4, 7, 9)),
        (Resize(), 60, (6, 8, 15, 19)),
        (Compose(Dihedral(), Fixed(Resize(), 60)), 1, (6, 40, 15, 51)),
        (Compose(Rotate(), Zoom()), (180, 1), (12, 20, 16, 25)),
        (Compose(BoxShift(), Dihedral()), (5, 1), (3, 15, 7, 20)),
    ],
    ids=str,
)
def test_a_prompt_that_is_given_is_carried_along(transform, value, box):
    case = squares().replace(truth=None, prompt=Prompt({1: (3, 4, 7, 9)}, {1: (5, 6)}))
    step = next(sweep(PromptModel(fill), case, transform, [value], progress=False))
    assert step.prompt.boxes[1] == (box,)


def test_a_click_that_is_given_is_carried_along():
    case = squares().replace(prompt=Prompt(clicks={1: (5, 6)}))
    assert Dihedral()(case, 1).prompt.clicks[1] == ((5, 23),)
    assert Crop()(case, 8).prompt.clicks == {}
    series = get_series(PromptModel(dot, "click"), case, Dihedral(), [0, 1], progress=False)
    assert series[1].pred[5, 23] == 1 and series[1].pred.sum() == 1


def test_models_that_take_a_prompt_are_recognised():
    def one(image, prompt):
        return fill(image, prompt)

    class Two:
        def predict(self, image, prompt):
            return fill(image, prompt)

    for obj in (one, Two()):
        model = as_model(obj, labels=["bg", "a", "b"])
        assert isinstance(model, PromptModel) and model.labels == ("bg", "a", "b")
        assert model(squares().image[None], squares()).sum() == 30 + 2
    assert as_model(one, kind="click").prompt_kinds == ("click",)
    with pytest.raises(TypeError, match="function of one image"):
        as_model(lambda a, b: a)


def test_the_more_certain_mask_counts():
    def soft(image, prompt):
        return np.full(image.shape[-2:], 0.9 if prompt[0] > 10 else 0.6, np.float32)

    case = squares()
    assert (PromptModel(soft)(case.image[None], case) == 2).all()
    assert (PromptModel(lambda image, prompt: image > -1)(case.image[None], case) == 1).all()


def small_sam():
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    vision = dict(hidden_size=16, output_channels=8, num_hidden_layers=2, num_attention_heads=2, image_size=64)
    vision |= dict(patch_size=8, window_size=4, global_attn_indexes=[1], num_pos_feats=4, mlp_dim=32)
    prompts = dict(hidden_size=8, image_size=64, patch_size=8, mask_input_channels=4)
    decoder = dict(hidden_size=8, mlp_dim=16, num_attention_heads=2, iou_head_hidden_dim=8)
    net = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)).eval()
    torch.manual_seed(5)  # with this one, masks are neither empty nor full
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return net


@pytest.fixture(scope="module")
def sam():
    pytest.importorskip("transformers")
    return small_sam()


def place_of(kind):
    return range(4 if kind == "box" else 2)


@pytest.mark.parametrize("kind", ["box", "click"])
def test_sam_as_by_hand(sam, kind):
    "MedSAM's way: intensities from 0 to 1, three channels, scaled to the square"
    case = phantom((48, 40), seed=1)
    image = case.image[None]
    square = torch.nn.functional.interpolate(
        image.expand(1, 3, 48, 40), (64, 64), mode="bicubic", antialias=True, align_corners=False
    )
    square = ((square - image.min()) / (image.max() - image.min())).clamp(0, 1)
    rows, columns = np.nonzero((case.truth == 1).numpy())
    if kind == "box":
        box = [columns.min() * 64 / 40, rows.min() * 64 / 48, columns.max() * 64 / 40, rows.max() * 64 / 48]
        given = dict(input_boxes=torch.tensor([[box]], dtype=torch.float32))
    else:
        row, column = prompt_of(case).clicks[1][0]
        given = dict(
            input_points=torch.tensor([[[[column * 64 / 40, row * 64 / 48]]]], dtype=torch.float32),
            input_labels=torch.ones(1, 1, 1),
        )
    with torch.no_grad():
        logits = sam(pixel_values=square, multimask_output=False, **given).pred_masks[0]
    by_hand = torch.nn.functional.interpolate(logits.sigmoid(), (48, 40), mode="bilinear", align_corners=False)[0, 0]
    model = PromptSAM(sam, kind, prompted=[1])
    found = model(image, case)[0]
    assert torch.equal(found, (by_hand > 0.5).int())
    place = next(iter(given.values())).flatten().numpy() * np.tile([40 / 64, 48 / 64], len(place_of(kind)) // 2)
    assert torch.allclose(model.object_mask(case.image, place, case), by_hand, atol=1e-6)
    assert 0 < found.sum() < found.numel()


def test_sam_with_its_processor(sam):
    transformers = pytest.importorskip("transformers")
    images = transformers.SamImageProcessor(size=dict(longest_edge=64), pad_size=dict(height=64, width=64))
    processor = transformers.SamProcessor(images)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 40, 3), dtype=np.uint8)
    truth = np.zeros((48, 40), int)
    truth[10:30, 8:21] = 1
    case = load_case(picture, truth)
    inputs = processor(images=picture, input_boxes=[[[8.0, 10.0, 20.0, 29.0]]], return_tensors="pt")
    with torch.no_grad():
        answer = sam(
            pixel_values=inputs["pixel_values"],
            input_boxes=inputs["input_boxes"].float(),
            multimask_output=False,
        )
    sizes = inputs["original_sizes"].tolist(), inputs["reshaped_input_sizes"].tolist()
    masks = processor.image_processor.post_process_masks(answer.pred_masks, *sizes)
    expected = torch.as_tensor(np.asarray(masks[0])).reshape(48, 40)
    found = PromptSAM(sam, processor=processor)(case.image[None], case)[0]
    assert torch.equal(found.bool(), expected.bool()) and 0 < found.sum() < found.numel()


def test_a_sweep_of_sam_looks_once_at_an_image(sam, monkeypatch):
    calls = []
    embed = sam.get_image_embeddings
    monkeypatch.setattr(sam, "get_image_embeddings", lambda pixels: calls.append(1) or embed(pixels))
    case = phantom((48, 48), seed=1)
    scores = evaluate(PromptSAM(sam), case, BoxShift(), [-8, 0, 8], progress=False)
    assert len(calls) <= 2 and len(scores) in (9, 12)
    get_series(PromptSAM(sam), case, Rotate(), [0, 30], progress=False)


def test_sam_takes_pictures_only(sam):
    volume = phantom((4, 32, 32), seed=0)
    with pytest.raises(ValueError, match="slices_of"):
        get_series(PromptSAM(sam), volume, BoxShift(), [0], progress=False)
    with pytest.raises(TypeError, match="net must be a SamModel"):
        PromptSAM(torch.nn.Conv2d(1, 1, 1))
    assert sam.training is False


def test_without_truth_and_prompt():
    case = squares().replace(truth=None)
    for run in (
        lambda: get_series(PromptModel(fill), case, BoxShift(), [0], progress=False),
        lambda: evaluate(PromptModel(fill), case, "box-shift", [0, 1], progress=False),
        lambda: BoxShift()(case, 1),
    ):
        with pytest.raises(ValueError, match=r"case .case. must have a truth to make a prompt of.*Prompt\("):
            run()


def test_an_empty_label():
    case = squares()
    with pytest.raises(ValueError, match="truth of case 'case' must have label 3, to make a prompt of it, got labels"):
        get_series(PromptModel(fill, prompted=[1, 3]), case, BoxShift(), [0], progress=False)
    empty = case.replace(truth=torch.zeros_like(case.truth))
    with pytest.raises(ValueError, match="must have any label but the background, .* got none"):
        BoxGrowth()(empty, 1)


def test_a_box_off_the_image():
    with pytest.raises(ValueError, match="the box of label 1 in case 'case', at shift = 40 .* must be on the image"):
        get_series(PromptModel(fill), squares(), BoxShift(), [0, 40], progress=False)
    case = squares().replace(prompt=Prompt({1: (50, 50, 60, 60)}))
    with pytest.raises(ValueError, match="box of label 1 in case 'case' must be on the image"):
        get_series(PromptModel(fill), case, "rotation", [0], progress=False)
    case = squares().replace(prompt=Prompt(clicks={1: (50, 5)}))
    with pytest.raises(ValueError, match="click of label 1 in case 'case' must be on the image"):
        get_series(PromptModel(dot, "click"), case, "rotation", [0], progress=False)
    case = squares().replace(prompt=Prompt({1: (1, 2, 3, 4, 5, 6)}))
    with pytest.raises(ValueError, match="must have 4 numbers, as the image has 2 axes"):
        get_series(PromptModel(fill), case, "rotation", [0], progress=False)


def test_a_model_that_takes_no_prompt_or_another_one():
    with pytest.raises(ValueError, match="must take a box, for box-shift, and it takes none"):
        get_series(lambda image: image > 0.5, squares(), BoxShift(), [0, 1], progress=False)
    with pytest.raises(ValueError, match="must take a click, for click-jitter, and it takes boxes only"):
        get_series(PromptModel(fill), squares(), ClickJitter(), [0, 1], progress=False)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Prompt([1, 2, 3, 4]), TypeError, "boxes must be a dict"),
        (lambda: Prompt({0: (1, 2, 3, 4)}), ValueError, "labels >= 1"),
        (lambda: Prompt({1: (1, 2, 3)}), ValueError, "boxes must be a dict"),
        (lambda: Prompt({1: (5, 2, 3, 4)}), ValueError, "box of label 1 must be its lowest corner"),
        (lambda: Prompt(clicks={1: (1, np.nan)}), ValueError, "clicks must be"),
        (lambda: Case(np.zeros((1, 9, 9)), prompt=(1, 2, 3, 4)), TypeError, "prompt must be a Prompt"),
        (lambda: PromptModel(3), TypeError, "predict must be a function"),
        (lambda: PromptModel(fill, "point"), ValueError, "kind must be one of 'box', 'click'"),
        (lambda: BoxShift("cm"), ValueError, "units must be one of 'px', 'mm'"),
        (lambda: BoxShift(axis=7), ValueError, "axis must be"),
        (lambda: BoxJitter(seed=-1), ValueError, "seed must be"),
        (lambda: MissingBoxes()(squares(), 1.2), ValueError, "missing of missing-boxes must be"),
        (lambda: prompt_of("a"), TypeError, "case must be a case"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_masks_that_are_none():
    case = squares()
    with pytest.raises(ValueError, match="booleans, integers or probabilities from 0 to 1, got numbers from -3 to 3"):
        PromptModel(lambda image, prompt: np.linspace(-3, 3, image.size).reshape(image.shape))(case.image[None], case)


def test_prompts_are_drawn():
    case = squares()
    series = get_series(PromptModel(fill), case, BoxShift(), [0, 5], progress=False)
    view = series_view(series)
    plain = [view(s) for s in get_series(lambda image: image > 2, case, Rotate(), [0], progress=False)]
    first, second = (view(s) for s in series)
    scale = first.shape[1] // 30
    assert (first[:, 4 * scale] == 255).any() and (second[:, 9 * scale] == 255).any()
    assert not (plain[0] == 255).all(-1).any() or (first == 255).all(-1).sum() > (plain[0] == 255).all(-1).sum()
    volume = squares(3, 20, 30)
    for axis in (0, 1, 2):
        plot_series(get_series(PromptModel(fill), volume, BoxShift(), [0, 5], progress=False), axis=axis)
