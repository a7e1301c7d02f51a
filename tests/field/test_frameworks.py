"Networks and files of frameworks: recognised by what they have, finite or refused, and never run unasked"

import os
import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from misas.core.checks import plain_message, without_control
from misas.core.model import Model, as_model
from misas.core.segments import merge_objects, objects_in
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.models.ensemble import Ensemble
from misas.models.loading import load_model
from misas.models.windows import SliceWise, SlidingWindow

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
NAMES = ("bg", "a", "b", "c")
LABELS = dict(id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)})


def seeded(make):
    "A network with the same random weights each time"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


@pytest.fixture(scope="module")
def heart():
    return phantom((64, 64), seed=1)


@pytest.fixture(scope="module")
def picture():
    return load_case((np.random.default_rng(0).random((64, 64, 3)) * 255).astype(np.uint8))


@pytest.fixture
def net():
    return seeded(lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Conv2d(8, 4, 1)))


def rgb_of(case):
    return case.image.permute(1, 2, 0).numpy().astype(np.uint8)


# ---- lists of objects


def test_objects_of_labels_with_scores():
    "The object with the highest score is on top; booleans, 0 and 255 and probabilities are masks"
    left, top, dot = np.zeros((3, 4, 4), bool)
    left[:, :2] = top[:2] = dot[3, 3] = True
    answer = [
        dict(label="b", mask=Image.fromarray(left.astype(np.uint8) * 255), score=0.9),
        dict(label="a", mask=top, score=0.5),
        dict(label="c", segmentation=torch.tensor(dot * 0.7), score=None),
    ]
    merged, doubt = merge_objects(objects_in(answer), (4, 4), NAMES)
    assert merged.tolist() == [[2, 2, 1, 1], [2, 2, 1, 1], [2, 2, 0, 0], [2, 2, 0, 3]]
    assert doubt == ""


def test_objects_of_a_detector():
    "What torchvision's Mask R-CNN gives for one image"
    masks = torch.zeros(2, 1, 3, 3)
    masks[0, 0, 0] = masks[1, 0, :, 0] = 0.8
    answer = dict(boxes=torch.zeros(2, 4), labels=torch.tensor([2, 5]), scores=torch.tensor([0.9, 0.6]), masks=masks)
    assert merge_objects(objects_in(answer), (3, 3))[0].tolist() == [[2, 2, 2], [5, 0, 0], [5, 0, 0]]
    model = as_model(lambda image: answer)
    assert model(torch.zeros(1, 1, 3, 3))[0].tolist() == [[2, 2, 2], [5, 0, 0], [5, 0, 0]]


def generator(image):
    left, top = np.zeros((2, *image.shape[:2]), bool)
    left[:, :2] = top[:2] = True
    return [dict(segmentation=left, area=1, predicted_iou=0.9), dict(segmentation=top, area=1, predicted_iou=0.8)]


def test_generator_of_masks_warns_once():
    small = load_case(np.zeros((8, 8)))
    model = as_model(generator)
    with pytest.warns(UserWarning, match="model 'generator': .* masks without labels") as warned:
        masks = [model(small.image[None], small) for _ in range(3)]
    assert len(warned) == 1
    assert masks[0].sum() == 28
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_model(lambda image: generator(image)[:1])(small.image[None], small).sum() == 16
        assert as_model(lambda image: [])(torch.zeros(1, 1, 8, 8)).sum() == 0


@pytest.mark.parametrize(
    "answer, error",
    [
        ([dict(segmentation=dict(size=[8, 8], counts="x"))], "got run lengths: use output_mode='binary_mask'"),
        ([dict(mask=np.zeros((4, 4)), label=1)], r"must be of the image's shape \(8, 8\)"),
        ([dict(mask=np.zeros((8, 8)), label="d")], "names for .*, got 'd'"),
        ([dict(mask=np.zeros((8, 8)), label="liver")], r"as_model\(..., labels=\[...\]\)"),
    ],
)
def test_objects_that_are_none(answer, error):
    labels = None if "liver" in str(answer) else NAMES
    with pytest.raises(ValueError, match=error):
        as_model(lambda image: answer, labels=labels)(torch.zeros(1, 1, 8, 8))


# ---- transformers


@pytest.fixture(scope="module")
def t():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def swin(t):
    stages = [f"stage{i}" for i in range(1, 5)]
    return t.SwinConfig(
        embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, image_size=64, out_features=stages
    )


@pytest.fixture(scope="module")
def segformer(t):
    config = t.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[4, 2],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        **LABELS,
    )
    net = seeded(lambda: t.SegformerForSemanticSegmentation(config))
    generator = torch.Generator().manual_seed(3)
    for p in net.parameters():
        if p.ndim > 1:
            torch.nn.init.xavier_normal_(p.data, 1.5, generator)
    return net


def eomt(t):
    config = t.EomtConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=64,
        patch_size=16,
        num_blocks=1,
        num_upscale_blocks=2,
        num_queries=6,
        num_register_tokens=1,
        **LABELS,
    )
    return t.EomtForUniversalSegmentation(config)


@pytest.mark.parametrize("split, width", [(True, 96), (True, 64), (False, 64)])
def test_eomt(t, split, width):
    "Also where its processor cuts the image into patches"
    if not hasattr(t, "EomtConfig"):
        pytest.skip("transformers is too old")
    net = seeded(lambda: eomt(t))
    size = {"shortest_edge": 64, "longest_edge": None if split else 64}
    processor = t.EomtImageProcessor(size=size, do_split_image=split, do_pad=False)
    case = load_case((np.random.default_rng(1).random((64, width, 3)) * 255).astype(np.uint8))
    inputs = processor(images=[rgb_of(case)], return_tensors="pt")
    offsets = inputs.pop("patch_offsets", None)
    with torch.no_grad():
        output = net(**inputs)
    output.patch_offsets = offsets
    expected = processor.post_process_semantic_segmentation(output, [case.shape])[0]
    model = as_model(net, processor=processor)
    assert torch.equal(model(case.image[None], case)[0], expected.int())
    assert torch.allclose(model.probabilities(case.image[None], case).sum(1), torch.ones(()), atol=1e-5)


class TaskProcessor:
    "Writes a task as tokens, as `OneFormerProcessor` does with its tokenizer"

    def __call__(self, images, task_inputs, return_tensors, **options):
        assert set(task_inputs) == {"semantic"}
        pixels = torch.stack([torch.as_tensor(np.asarray(i)).permute(2, 0, 1).float() / 255 for i in images])
        tokens = torch.arange(77)[None].expand(len(images), -1) % 50
        return {"pixel_values": pixels, "task_inputs": tokens, "pixel_mask": torch.ones(len(images), 64, 64)}


def test_oneformer(t, picture):
    config = t.OneFormerConfig(
        backbone_config=swin(t),
        num_queries=6,
        hidden_dim=32,
        mask_dim=32,
        conv_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        dim_feedforward=16,
        num_attention_heads=2,
        query_dec_layers=1,
        task_seq_len=77,
        is_training=False,
        **LABELS,
    )
    net = seeded(lambda: t.OneFormerForUniversalSegmentation(config))
    model = as_model(net, processor=TaskProcessor())
    inputs = TaskProcessor()([rgb_of(picture)], ["semantic"], "pt")
    with torch.no_grad():
        output = net(inputs["pixel_values"], inputs["task_inputs"])
    classes = output.class_queries_logits.softmax(-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", classes, output.masks_queries_logits.sigmoid())
    expected = torch.nn.functional.interpolate(scores, (64, 64), mode="bilinear", align_corners=False).argmax(1)
    assert (model(picture.image[None], picture) == expected).float().mean() > 0.999
    with pytest.raises(ValueError, match="processor must be a OneFormerProcessor"):
        as_model(net)


def test_sam_gives_its_best_mask(t):
    vision = t.SamVisionConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        output_channels=16,
        mlp_dim=16,
        global_attn_indexes=[1],
        window_size=2,
        num_pos_feats=8,
    )
    prompts = t.SamPromptEncoderConfig(hidden_size=16, image_size=64, patch_size=16)
    decoder = t.SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=16, num_attention_heads=2, attention_downsample_rate=2, iou_head_hidden_dim=16
    )
    config = t.SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    net = seeded(lambda: t.SamModel(config))
    processor = t.SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    case = load_case((np.random.default_rng(1).random((48, 32, 3)) * 255).astype(np.uint8))
    inputs = processor(images=[rgb_of(case)], return_tensors="pt")
    with torch.no_grad():
        output = net(pixel_values=inputs["pixel_values"])
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    masks = processor.post_process_masks(output.pred_masks, *sizes)[0][0]
    expected = masks[output.iou_scores[0, 0].argmax()]
    assert torch.equal(as_model(net, processor=processor)(case.image[None], case)[0].bool(), expected)


def test_shifted_labels_are_undone(t, segformer, picture):
    "With do_reduce_labels the network's 0 is label 1 of the truth, and the truth's 0 is never given"
    options = dict(size={"height": 64, "width": 64})
    plain = as_model(segformer, processor=t.SegformerImageProcessor(**options))
    model = as_model(segformer, processor=t.SegformerImageProcessor(do_reduce_labels=True, **options))
    labels = plain(picture.image[None], picture)
    assert torch.equal(model(picture.image[None], picture), labels + 1)
    assert len(labels.unique()) > 1
    assert model.labels == ["background", *NAMES]
    maps = model.probabilities(picture.image[None], picture)
    assert maps.shape[1] == 5 and maps[:, 0].max() < 1e-30
    assert torch.allclose(maps[:, 1:], plain.probabilities(picture.image[None], picture), atol=1e-6)
    assert torch.equal(
        as_model(segformer, reduce_labels=True)(picture.image[None]), as_model(segformer)(picture.image[None]) + 1
    )
    assert model.cache_key() != plain.cache_key()


@pytest.mark.parametrize("reduced", [False, True])
def test_pipeline_gives_what_its_network_gives(t, segformer, picture, reduced):
    processor = t.SegformerImageProcessor(size={"height": 64, "width": 64}, do_reduce_labels=reduced)
    pipeline = t.pipeline("image-segmentation", model=segformer, image_processor=processor)
    model = as_model(pipeline)
    assert torch.equal(
        model(picture.image[None], picture), as_model(segformer, processor=processor)(picture.image[None], picture)
    )
    assert list(model.labels) == (["background", *NAMES] if reduced else list(NAMES))
    grey = picture.replace(image=picture.image[:1])
    assert model(grey.image[None], grey).shape == (1, 64, 64)


def test_folders_of_save_pretrained(t, segformer, picture, tmp_path):
    "The processor that was saved beside the network is used, too; nothing in the folder is run"
    processor = t.SegformerImageProcessor(size={"height": 32, "width": 32}, do_reduce_labels=True)
    segformer.save_pretrained(tmp_path / "small")
    processor.save_pretrained(tmp_path / "small")
    expected = as_model(segformer, processor=processor)(picture.image[None], picture)
    for model in (load_model(tmp_path / "small"), as_model(str(tmp_path / "small"))):
        assert torch.equal(model(picture.image[None], picture), expected)
        assert model.name == "small"
    config = tmp_path / "small/config.json"
    config.write_text(
        config.read_text().replace('"architectures"', '"auto_map": {"AutoModel": "evil.Net"}, "architectures"')
    )
    (tmp_path / "small/evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    load_model(tmp_path / "small")
    assert not (tmp_path / "owned").exists()
    config.write_text('{"hello": 1}')
    with pytest.raises(ValueError, match="config.json must be that of transformers or of segmentation-models-pytorch"):
        load_model(tmp_path / "small")


def test_folder_of_smp(heart, tmp_path):
    smp = pytest.importorskip("segmentation_models_pytorch")
    net = seeded(lambda: smp.Unet("resnet18", encoder_weights=None, decoder_channels=(8,) * 5, classes=3))
    net.save_pretrained(str(tmp_path / "unet"))
    assert torch.equal(load_model(tmp_path / "unet")(heart.image[None]), as_model(net)(heart.image[None]))


# ---- where the channels and the pixels stand


class Laid(torch.nn.Module):
    "A network whose output is laid out in another way"

    def __init__(self, net, lay):
        super().__init__()
        self.net = net
        self.lay = lay

    def forward(self, x):
        return self.lay(self.net(x))


def channels_last(scores):
    return scores.movedim(1, -1)


def pixels_in_a_row(scores):
    return scores.flatten(2).movedim(1, 2)


def flat(scores):
    return scores.flatten(2)


@pytest.mark.parametrize("lay", [channels_last, pixels_in_a_row, flat])
@pytest.mark.parametrize("shape", [(24, 20), (6, 10, 8)])
def test_layouts_of_torch(lay, shape):
    conv = torch.nn.Conv2d if len(shape) == 2 else torch.nn.Conv3d
    net = seeded(lambda: conv(1, 4, 3, padding=1))
    images = torch.rand(3, 1, *shape)
    model = as_model(Laid(net, lay))
    with model.session():
        assert torch.equal(model(images), as_model(net)(images))
    assert torch.allclose(model.probabilities(images, None), as_model(net).probabilities(images, None))


@pytest.mark.parametrize("flat_labels", [False, True])
def test_layouts_of_keras(heart, flat_labels):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    image = keras.Input((64, 64, 1))
    scores = layers.Conv2D(4, 3, padding="same")(image)
    rows = layers.Softmax()(layers.Reshape((64 * 64, 4))(scores))
    plain = keras.Model(image, layers.Softmax()(scores))
    assert torch.equal(as_model(keras.Model(image, rows))(heart.image[None]), as_model(plain)(heart.image[None]))


# ---- finite, wherever the scores come from


class Broken(torch.nn.Module):
    "Scores that are NaN in three pixels of each image"

    def __init__(self, axes=2):
        super().__init__()
        self.conv = (torch.nn.Conv2d if axes == 2 else torch.nn.Conv3d)(1, 3, 1)

    def forward(self, x):
        scores = self.conv(x)
        scores[:, 1].flatten(1)[:, :3] = torch.nan
        return scores


class Maps(Model):
    "Probabilities that are NaN"

    name = "maps"

    def predict(self, images, template):
        return images[:, 0] > 0.5

    def probabilities(self, images, template):
        return torch.full((len(images), 2, *images.shape[2:]), torch.nan)


def bundle_of(net):
    from misas.models.hub import Bundle

    return Bundle(net, lambda images, net: net(images))


def nets_of_the_user():
    good = seeded(lambda: torch.nn.Conv2d(1, 3, 1))
    return {
        "network": Broken(),
        "mean of networks": Ensemble([good, as_model(Broken(), name="broken")], "mean"),
        "mean of maps": Ensemble([Maps(), Maps()], "mean"),
        "majority": Ensemble([good, Broken()]),
        "windows": SlidingWindow(Broken(), 16),
        "windows of maps": SlidingWindow(Maps(), 16),
        "channels last": Laid(Broken(), channels_last),
        "bundle": bundle_of(Broken()),
    }


@pytest.mark.parametrize("kind", nets_of_the_user())
def test_nan_is_an_error(kind):
    pytest.importorskip("monai")
    model = as_model(nets_of_the_user()[kind], name="mine")
    with pytest.raises(ValueError, match=r"model 'mine' failed.*finite numbers.*\d+ (of|in) "):
        model(torch.rand(1, 1, 32, 32))


def test_nan_in_one_slice_is_an_error():
    with pytest.raises(ValueError, match="finite numbers, got NaN"):
        SliceWise(Broken())(torch.rand(1, 1, 4, 32, 32))


def test_member_of_an_ensemble_is_named():
    model = Ensemble([torch.nn.Conv2d(1, 3, 1), as_model(Broken(), name="broken")], "mean")
    with pytest.raises(ValueError, match="failed.*of model 'broken' must be finite numbers.* of 3072 "):
        model(torch.rand(1, 1, 32, 32))
    with pytest.raises(ValueError, match="must have the same number of labels.*3 of model.*4 of model"):
        Ensemble([torch.nn.Conv2d(1, 3, 1), torch.nn.Conv2d(1, 4, 1)], "mean")(torch.rand(1, 1, 8, 8))


def test_nan_of_keras():
    keras = pytest.importorskip("keras")
    net = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 1, activation="softmax")])
    net.layers[0].set_weights([np.full((1, 1, 1, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match="finite numbers, got NaN or infinite ones in 64 of 64 places"):
        as_model(net)(torch.rand(1, 1, 8, 8))


# ---- programs are not data


class Owned:
    "A pickle that makes a file when it is opened"

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


class Writes(torch.nn.Module):
    "A network that writes a file when it is loaded, in TorchScript itself"

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.path)


def pickled(folder):
    torch.save({"state_dict": {}, "extra": Owned(folder / "owned")}, folder / "net.pth")


def old_pickle(folder):
    torch.save(Owned(folder / "owned"), folder / "net.pth", _use_new_zipfile_serialization=False)


def plain_pickle(folder):
    (folder / "net.pth").write_bytes(pickle.dumps(Owned(folder / "owned")))


def learner(folder):
    pickled(folder)
    (folder / "net.pth").rename(folder / "net.pkl")


def scripted(folder):
    torch.jit.script(torch.nn.Conv2d(1, 2, 1)).save(folder / "net.ts")


def scripted_to_write(folder):
    torch.jit.script(Writes(str(folder / "owned"))).save(folder / "net.bin")


def exported(folder):
    program = torch.export.export(torch.nn.Conv2d(1, 2, 1), (torch.rand(1, 1, 4, 4),))
    torch.export.save(program, folder / "net.pt2")


def bundle(folder):
    (folder / "net/configs").mkdir(parents=True)
    expression = f"$__import__('os').mkdir({str(folder / 'owned')!r})"
    (folder / "net/configs/inference.json").write_text(f'{{"network": "{expression}"}}')


def nnunet(folder):
    (folder / "net").mkdir()
    (folder / "net/plans.json").write_text("{}")


def saved_model(folder):
    (folder / "net").mkdir()
    (folder / "net/saved_model.pb").write_bytes(b"")


PROGRAMS = [
    pickled,
    old_pickle,
    plain_pickle,
    learner,
    scripted,
    scripted_to_write,
    exported,
    bundle,
    nnunet,
    saved_model,
]


@pytest.mark.parametrize("make", PROGRAMS)
def test_programs_need_trust(tmp_path, make):
    make(tmp_path)
    path = next(tmp_path.glob("net*"))
    for load in (load_model, as_model):
        with pytest.raises(ValueError, match="can bring code that runs when it is loaded; .*trust=True, or --trust"):
            load(path)
    assert not (tmp_path / "owned").exists()


def test_scripts_do_write(tmp_path):
    "What trust is asked for"
    scripted_to_write(tmp_path)
    load_model(tmp_path / "net.bin", trust=True)
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_lambda_layers_need_trust(tmp_path, ending):
    keras = pytest.importorskip("keras")
    layer = keras.layers.Lambda(lambda x: x * 2, output_shape=(8, 8, 1))
    net = keras.Sequential([keras.Input((8, 8, 1)), layer, keras.layers.Conv2D(3, 1, activation="softmax")])
    net.save(tmp_path / f"net{ending}")
    with pytest.raises(ValueError, match="a Keras model with .*Lambda.* can bring code.*trust=True"):
        load_model(tmp_path / f"net{ending}")
    model = load_model(tmp_path / f"net{ending}", trust=True)
    assert torch.equal(model(torch.ones(1, 1, 8, 8)), as_model(net)(torch.ones(1, 1, 8, 8)))


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_layers_of_ones_own_are_asked_for(tmp_path, ending):
    keras = pytest.importorskip("keras")

    class Double(keras.layers.Layer):
        def call(self, x):
            return x * 2

    def squashed(x):
        return keras.activations.softmax(x)

    convolution = keras.layers.Conv2D(3, 1, activation=squashed)
    net = keras.Sequential([keras.Input((8, 8, 1)), Double(), convolution])
    path = tmp_path / f"net{ending}"
    net.save(path)
    with pytest.raises(ValueError, match="custom_object_scope.*'Double': Double, 'squashed': squashed"):
        load_model(path)
    with keras.saving.custom_object_scope({"Double": Double, "squashed": squashed}):
        model = load_model(path, output="probabilities")
    same = as_model(net, output="probabilities")
    assert torch.equal(model(torch.ones(1, 1, 8, 8)), same(torch.ones(1, 1, 8, 8)))


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_keras_with_all_kinds_of_layers(tmp_path, ending):
    "A U-Net with what such networks have needs no trust"
    keras = pytest.importorskip("keras")
    layers = keras.layers
    image = keras.Input((16, 16, 1))
    regular = dict(kernel_regularizer=keras.regularizers.L2(1e-4), kernel_initializer="he_normal", padding="same")
    first = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(4, 3, **regular)(image)))
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.DepthwiseConv2D(3, padding="same"), layers.LeakyReLU()])
    lower = layers.SpatialDropout2D(0.1)(inner(layers.MaxPooling2D()(first)))
    upper = layers.Conv2DTranspose(4, 2, 2, activation="swish")(lower)
    joined = layers.Concatenate()([layers.Add()([first, upper]), layers.Multiply()([first, upper]), first + upper])
    net = keras.Model(image, layers.Conv2D(3, 1, activation=keras.activations.softmax)(joined), name="unet")
    if ending == ".h5":
        plain = layers.Concatenate()([layers.Add()([first, upper]), first])  # no operators in this format
        net = keras.Model(image, layers.Conv2D(3, 1, activation="softmax", dtype="float32")(plain))
    net.save(tmp_path / f"net{ending}")
    picture = torch.rand(1, 1, 16, 16)
    assert torch.equal(load_model(tmp_path / f"net{ending}")(picture), as_model(net)(picture))


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.bin", "net"])
def test_keras_by_content(tmp_path, name):
    keras = pytest.importorskip("keras")
    net = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 1, activation="softmax")])
    for ending in (".keras", ".h5") if "." not in name or "bin" in name else (name[3:],):
        net.save(tmp_path / f"saved{ending}")
        (tmp_path / f"saved{ending}").rename(tmp_path / name)
        assert torch.equal(load_model(tmp_path / name)(torch.ones(1, 1, 8, 8)), as_model(net)(torch.ones(1, 1, 8, 8)))
    net.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ValueError, match=r"holds weights, no network: make the network, and then net.load_weights\("):
        load_model(tmp_path / "net.weights.h5")


# ---- weights are no network, and the remedy works


def remedy_in(error) -> str:
    "The code that an error tells the user to run, without what depends on the network"
    code = str(error.value).partition("and then ")[2]
    return code.replace(" if the names in net.state_dict() do not begin so", "").rstrip(")") + ")"


def save_safetensors(content, path):
    from safetensors.torch import save_file

    save_file(content, path)


CHECKPOINTS = {
    "net.pth": lambda w: w,
    "net.ckpt": lambda w: {"epoch": 3, "state_dict": w, "pytorch-lightning_version": "2.0"},
    "net.tar": lambda w: {"model_state_dict": w, "optimizer_state_dict": {"state": {}, "param_groups": []}},
    "net.bin": lambda w: {"model": {f"module.{name}": value for name, value in w.items()}},
    "net.safetensors": lambda w: w,
    "weights": lambda w: w,
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_alone(tmp_path, net, name):
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    save = save_safetensors if "safetensors" in name else torch.save
    save(CHECKPOINTS[name](weights), tmp_path / name)
    with pytest.raises(ValueError, match="no network: .*and then weights = ") as error:
        load_model(tmp_path / name)
    again = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Conv2d(8, 4, 1))
    import safetensors

    scope = dict(torch=torch, safetensors=safetensors, net=again, as_model=as_model)
    exec(remedy_in(error), scope)
    assert torch.equal(again.state_dict()["1.bias"], weights["1.bias"])


def test_network_in_a_pickle_of_python(tmp_path, net):
    (tmp_path / "net.pt").write_bytes(pickle.dumps(net))
    model = load_model(tmp_path / "net.pt", trust=True)
    assert torch.equal(model(torch.ones(1, 1, 8, 8)), as_model(net)(torch.ones(1, 1, 8, 8)))


def test_network_in_a_checkpoint(tmp_path, net):
    torch.save({"epoch": 3, "net": net}, tmp_path / "net.pth")
    model = load_model(tmp_path / "net.pth", trust=True)
    assert torch.equal(model(torch.ones(1, 1, 8, 8)), as_model(net)(torch.ones(1, 1, 8, 8)))
    torch.save({"net": net, "ema": net}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"several networks \('net', 'ema'\): choose one"):
        load_model(tmp_path / "net.pth", trust=True)


@pytest.mark.parametrize(
    "content, error",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS.*git lfs pull"),
        (b"PK\x03\x04 the rest got lost", "not what torch saves, or only a part of it"),
        (b"<html>", "not what torch saves, or only a part of it"),
        (b"", "not what torch saves, or only a part of it"),
    ],
)
def test_files_that_hold_no_model(tmp_path, content, error):
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(ValueError, match=error):
        load_model(tmp_path / "net.pt")


@pytest.mark.parametrize(
    "path", [r"C:\models\net.pt", "C:/models/net.pt", "C:net.pt", "net.pt", "models/net", "x.keras"]
)
def test_paths_of_nothing(path):
    for load in (load_model, as_model):
        with pytest.raises(ValueError, match="does not exist") as error:
            load(path)
        assert "No module" not in str(error.value)


def test_python_path_is_as_before(tmp_path, monkeypatch):
    import sys

    monkeypatch.chdir(tmp_path)
    (tmp_path / "of_mine.py").write_text("def bright(image): return image > .5")
    before = list(sys.path)
    assert load_model("of_mine:bright").name == "bright"
    assert sys.path == before
    sys.modules.pop("of_mine")


# ---- what a framework says


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "Exception encountered when calling Conv2D.call().\n\n\x1b[1mNo such axis\x1b[0m\n\n"
            "Arguments received by Conv2D.call():\n  • inputs=x",
            "No such axis",
        ),
        (
            'Graph execution error:\n\nDetected at node f defined at (most recent call last):\n  File "a.py", line 1'
            "\n\nIncompatible shapes: [1] vs. [2]\n\t [[{{node f}}]] [Op:__inference_1]",
            "Incompatible shapes: [1] vs. [2]",
        ),
        (
            "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript (most recent "
            'call last):\n  File "m.py", line 2, in forward\n        return f(x)\n               ~ <--- HERE\n'
            "RuntimeError: no channels",
            "RuntimeError: no channels",
        ),
        (
            'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "a". ',
            'Missing key(s) in state_dict: "a".',
        ),
        ("[ONNXRuntimeError] : 2 : FAIL : Got 9\n index: 2 Got: 9 Expected: 8\n Please fix either the inputs", None),
        ("one line", "one line"),
        ("", ""),
    ],
)
def test_useful_line_is_kept(text, said):
    said = "[ONNXRuntimeError] : 2 : FAIL : Got 9 index: 2 Got: 9 Expected: 8" if said is None else said
    assert plain_message(RuntimeError(text)) == said


def test_terminals_obey_nobody():
    shown = without_control("a\x1b]0;title\x07b\x1b[31mred\x1b[0m\u202eevil\rx\x9b31m\x1bcy\x1b")
    assert shown == "abred evil x 31my"


def test_failing_networks_of_torch_say_why():
    script = torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()))
    with pytest.raises(ValueError, match="to have 3 channels") as error:
        as_model(script, channels=2)(torch.rand(1, 2, 8, 8))
    assert "Traceback" not in str(error.value)
