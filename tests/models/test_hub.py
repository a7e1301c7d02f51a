"Networks that people download: what the framework itself says, pixel by pixel"

import json
import subprocess
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
from winning import assert_winning

from misas.core.cases import Case
from misas.core.fingerprint import checksum
from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.models.hub import Bundle, BundleModel, TransformersModel, _bundle_labels, _query_scores, _to_monai
from misas.models.loading import load_model
from misas.models.sizes import PadTo
from misas.models.windows import SliceWise, SlidingWindow
from misas.transforms.basic import Rotate

NAMES = ("bg", "LV", "MY", "RV")

pytestmark = pytest.mark.filterwarnings("ignore")


def seeded(make):
    "A network with the same random weights each time"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


@pytest.fixture(scope="module")
def heart():
    return phantom((64, 64), seed=1)


@pytest.fixture(scope="module")
def odd():
    return phantom((60, 70), seed=2)


@pytest.fixture(scope="module")
def volume():
    return phantom((16, 32, 32), seed=1)


@pytest.fixture(scope="module")
def picture(heart):
    return load_case((heart.image[0] * 255).round().numpy().astype(np.uint8))


def in_colour(case):
    return case.image.expand(1, 3, -1, -1)


# ---- torchvision, segmentation-models-pytorch, MONAI


def torchvision_net(name):
    models = pytest.importorskip("torchvision.models.segmentation")
    return seeded(lambda: getattr(models, name)(weights=None, weights_backbone=None, num_classes=4))


def smp_net(name, classes=4, activation=None, **options):
    smp = pytest.importorskip("segmentation_models_pytorch")
    make = getattr(smp, name)
    return seeded(lambda: make("resnet18", encoder_weights=None, classes=classes, activation=activation, **options))


def monai_net(name, *args, **kwargs):
    nets = pytest.importorskip("monai.networks.nets")
    return seeded(lambda: getattr(nets, name)(*args, **kwargs))


COLOUR_NETS = {
    "lraspp": lambda: torchvision_net("lraspp_mobilenet_v3_large"),
    "deeplabv3": lambda: torchvision_net("deeplabv3_mobilenet_v3_large"),
    "fcn": lambda: torchvision_net("fcn_resnet50"),
    "smp Unet": lambda: smp_net("Unet", decoder_channels=(32, 16, 8, 8, 8)),
    "smp FPN": lambda: smp_net("FPN", activation="softmax2d"),
    "smp Linknet": lambda: smp_net("Linknet", 1, "sigmoid"),
}
SMALL = dict(in_channels=1, out_channels=4)
SWIN = dict(feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2), spatial_dims=2)
FLAT_NETS = {
    "UNet": lambda: monai_net("UNet", 2, 1, 4, (4, 8, 16), (2, 2)),
    "SegResNet": lambda: monai_net("SegResNet", 2, 8, **SMALL),
    "AttentionUnet": lambda: monai_net("AttentionUnet", 2, 1, 4, (4, 8), (2,)),
    "DynUNet": lambda: monai_net("DynUNet", 2, 1, 4, (3, 3, 3), (1, 2, 2), (2, 2), (4, 8, 16), deep_supervision=True),
    "UNETR": lambda: monai_net("UNETR", 1, 4, 64, 4, 24, 24, 2, spatial_dims=2),
    "SwinUNETR": lambda: monai_net("SwinUNETR", 1, 4, **SWIN),
}
DEEP_NETS = {
    "UNet": lambda: monai_net("UNet", 3, 1, 4, (4, 8, 16), (2, 2)),
    "SegResNet": lambda: monai_net("SegResNet", 3, 8, **SMALL),
    "BasicUNet": lambda: monai_net("BasicUNet", 3, 1, 4, (4, 4, 8, 8, 8, 4)),
    "UNETR": lambda: monai_net("UNETR", 1, 4, (16, 32, 32), 4, 24, 24, 2),
}


def scores_of(net, image):
    "What the network says, `(K, *S)`, one channel of probabilities as two"
    with torch.no_grad():
        scores = net(image)
    scores = (scores["out"] if isinstance(scores, dict) else scores)[0]
    return torch.cat([1 - scores, scores]) if len(scores) == 1 else scores


@pytest.mark.parametrize("name", COLOUR_NETS)
def test_colour_networks_give_their_own_labels_to_grey_images(heart, name):
    net = COLOUR_NETS[name]()
    model = as_model(net)
    scores = scores_of(net, in_colour(heart))
    labels = model(heart.image[None], heart)
    assert_winning(labels[0], scores)
    maps = model.probabilities(heart.image[None], heart)
    assert torch.allclose(maps.sum(1), torch.ones(()), atol=1e-5)
    assert_winning(maps[0].argmax(0), scores)


@pytest.mark.parametrize("name", FLAT_NETS)
def test_networks_of_monai_in_2d(heart, name):
    net = FLAT_NETS[name]()
    assert_winning(as_model(net)(heart.image[None], heart)[0], scores_of(net, heart.image[None]))


@pytest.mark.parametrize("name", DEEP_NETS)
def test_networks_of_monai_in_3d(volume, name):
    net = DEEP_NETS[name]()
    assert_winning(as_model(net)(volume.image[None], volume)[0], scores_of(net, volume.image[None]))


def test_networks_have_their_own_names():
    assert as_model(COLOUR_NETS["smp Unet"]()).name == "u-resnet18"


def test_size_that_does_not_fit_is_refused_with_a_remedy(odd):
    net = COLOUR_NETS["smp FPN"]()
    with pytest.raises(ValueError, match=r"multiples of 32: as_model\(..., size=PadTo\(32\)\)"):
        as_model(net)(odd.image[None], odd)
    assert as_model(net, size=PadTo(32))(odd.image[None], odd).shape == (1, 60, 70)


def test_networks_that_take_any_size(odd):
    assert as_model(COLOUR_NETS["smp Unet"]())(odd.image[None], odd).shape == (1, 60, 70)
    model = as_model(COLOUR_NETS["lraspp"](), labels=NAMES)
    assert len(get_series(model, odd, Rotate(), [0, 30], progress=False)) == 2


def test_windows_and_slices(volume):
    large = phantom((20, 40, 36), seed=2)
    unetr = DEEP_NETS["UNETR"]()  # a transformer that takes one size
    assert SlidingWindow(unetr, (16, 32, 32))(large.image[None], large).shape == (1, 20, 40, 36)
    assert SliceWise(FLAT_NETS["UNet"]())(volume.image[None], volume).shape == (1, *volume.shape)


# ---- transformers


def test_scores_of_queries_are_summed_up():
    classes = torch.tensor([[[9.0, -9, -9], [-9, 9, -9]]])
    masks = torch.tensor([[[[9.0, -9]], [[-9, 9]]]])
    assert torch.allclose(_query_scores(classes, masks)[0, :, 0], torch.eye(2), atol=1e-3)
    assert _query_scores(classes, masks, (4, 4)).shape == (1, 2, 4, 4)


LABELS = dict(id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)})
STAGES = [f"stage{i}" for i in range(1, 5)]
TINY = dict(
    image_size=64, patch_size=8, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16
)


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
    return t.SegformerForSemanticSegmentation(config)


def swin(t):
    return t.SwinConfig(
        embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, image_size=64, out_features=STAGES
    )


def mask2former(t):
    config = t.Mask2FormerConfig(
        backbone_config=swin(t),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=6,
        **LABELS,
    )
    return t.Mask2FormerForUniversalSegmentation(config)


def maskformer(t):
    decoder = t.DetrConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=6,
    )
    config = t.MaskFormerConfig(
        backbone_config=swin(t), fpn_feature_size=32, mask_feature_size=32, decoder_config=decoder, **LABELS
    )
    return t.MaskFormerForInstanceSegmentation(config)


def upernet(t):
    backbone = t.ConvNextConfig(hidden_sizes=[4, 8, 8, 16], depths=[1] * 4, out_features=STAGES)
    config = t.UperNetConfig(
        backbone_config=backbone,
        hidden_size=8,
        pool_scales=[1, 2],
        auxiliary_channels=4,
        auxiliary_in_channels=8,
        **LABELS,
    )
    return t.UperNetForSemanticSegmentation(config)


def beit(t):
    config = t.BeitConfig(out_indices=[0, 1, 2, 3], pool_scales=[1, 2], auxiliary_channels=8, **TINY, **LABELS)
    return t.BeitForSemanticSegmentation(config)


def dpt(t):
    config = t.DPTConfig(
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8] * 4, fusion_hidden_size=8, **TINY, **LABELS
    )
    return t.DPTForSemanticSegmentation(config)


def mobilevit(t):
    config = t.MobileViTConfig(
        hidden_sizes=[8] * 3,
        neck_hidden_sizes=[4] * 4 + [8] * 3,
        num_attention_heads=2,
        aspp_out_channels=8,
        image_size=64,
        **LABELS,
    )
    return t.MobileViTForSemanticSegmentation(config)


QUERIES = dict(size={"shortest_edge": 64, "longest_edge": 64}, ignore_index=255)
SQUARE = dict(size={"height": 64, "width": 64})
TRANSFORMERS = {
    "Segformer": (segformer, "SegformerImageProcessor", SQUARE),
    "Mask2Former": (mask2former, "Mask2FormerImageProcessor", QUERIES),
    "MaskFormer": (maskformer, "MaskFormerImageProcessor", QUERIES),
    "UperNet": (upernet, "SegformerImageProcessor", SQUARE),
    "BEiT": (beit, "BeitImageProcessor", SQUARE),
    "DPT": (dpt, "DPTImageProcessor", SQUARE),
    "MobileViT": (mobilevit, "SegformerImageProcessor", SQUARE),
}


@pytest.fixture(scope="module")
def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def standard(images):
    return (images - images.mean()) / images.std()


def lively(net):
    "Larger weights than transformers begins with, and classes that are equally likely: masks have several labels"
    generator = torch.Generator().manual_seed(3)
    for p in net.parameters():
        if p.ndim > 1:
            torch.nn.init.xavier_normal_(p.data, 1.5, generator)
    heads = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.out_channels == 4 and m.bias is not None]
    with torch.no_grad():
        output = net(standard(in_colour(phantom((64, 64), seed=1))))
        if "logits" in output:
            heads[-1].bias.sub_(output.logits.mean((0, 2, 3)))
    return net


@pytest.fixture(scope="module")
def small_segformer(transformers):
    return lively(seeded(lambda: segformer(transformers)))


def as_rgb(picture):
    "The picture as an array `(H, W, 3)`"
    return np.repeat(picture.image[0].numpy().astype(np.uint8)[..., None], 3, -1)


def assert_own_labels(model, case, processor, output):
    "Labels and probabilities are those that the image processor makes of the network's output"
    expected = processor.post_process_semantic_segmentation(output, [(64, 64)])[0]
    labels = model(case.image[None], case)[0]
    assert (labels == expected).float().mean() > 0.999
    maps = model.probabilities(case.image[None], case)
    assert maps.shape == (1, 4, 64, 64)
    assert (maps[0].amax(0) - maps[0].gather(0, expected[None])).max() < 1e-6
    assert torch.allclose(maps.sum(1), torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_give_the_labels_of_their_processor(transformers, heart, picture, name):
    make, processor, options = TRANSFORMERS[name]
    net = lively(seeded(lambda: make(transformers)))
    processor = getattr(transformers, processor)(**options)
    with torch.no_grad():
        output = net(standard(in_colour(heart)))
        processed = net(**processor(images=as_rgb(picture), return_tensors="pt"))
    model = as_model(net, preprocess=standard)
    with_processor = as_model(net, processor=processor)
    assert_own_labels(model, heart, processor, output)
    assert_own_labels(with_processor, picture, processor, processed)
    assert isinstance(model, TransformersModel)
    assert len(model(heart.image[None], heart).unique()) > 1
    assert tuple(model.labels) == NAMES
    assert not net.training


def test_processor_makes_a_difference(transformers, heart, picture):
    different = 0
    for make, processor, options in TRANSFORMERS.values():
        net = lively(seeded(lambda make=make: make(transformers)))
        model = as_model(net, preprocess=standard)
        with_processor = as_model(net, processor=getattr(transformers, processor)(**options))
        different += not torch.equal(model(heart.image[None], heart), with_processor(picture.image[None], picture))
    assert different >= 5


def test_processor_gets_8_bits(transformers, small_segformer, heart, picture):
    model = as_model(small_segformer, processor=transformers.SegformerImageProcessor(**SQUARE))
    assert torch.equal(model(heart.image[None], heart), model(picture.image[None], picture))


def test_processor_may_change_the_size(transformers, small_segformer, picture):
    processor = transformers.SegformerImageProcessor(size={"height": 32, "width": 48})
    model = as_model(small_segformer, processor=processor)
    with torch.no_grad():
        output = small_segformer(**processor(images=as_rgb(picture), return_tensors="pt"))
    expected = processor.post_process_semantic_segmentation(output, [(64, 64)])[0]
    assert (model(picture.image[None], picture)[0] == expected).float().mean() > 0.999


def test_any_size_in_the_same_size_out(small_segformer, odd, volume):
    assert as_model(small_segformer)(odd.image[None], odd).shape == (1, 60, 70)
    assert SliceWise(small_segformer)(volume.image[None], volume).shape == (1, *volume.shape)
    assert SlidingWindow(small_segformer, 32)(odd.image[None], odd).shape == (1, 60, 70)
    assert len(get_series(as_model(small_segformer, name="Segformer"), odd, Rotate(), [0, 30], progress=False)) == 2


def test_transformers_refuse_what_does_not_fit(transformers, small_segformer, heart, volume):
    with pytest.raises(ValueError, match="the image must have 2 axes, got 3; SliceWise"):
        as_model(small_segformer)(volume.image[None], volume)
    with pytest.raises(ValueError, match="labels .*2 names|labels .*'a', 'b'"):
        as_model(small_segformer, labels=("a", "b"))(heart.image[None], heart)
    classifier = seeded(lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**TINY)))
    with pytest.raises(ValueError, match="shape"):
        as_model(classifier)(heart.image[None], heart)


def test_cache_key_knows_the_processor(transformers, small_segformer):
    first, second = (transformers.SegformerImageProcessor(size={"height": s, "width": s}) for s in (32, 64))
    keys = [checksum(as_model(small_segformer, processor=p).fingerprint()) for p in (first, second, first)]
    assert keys[0] == keys[2] != keys[1]


# ---- MONAI bundles


@pytest.fixture
def monai():
    return pytest.importorskip("monai")


def test_axes_and_affine_of_monai(monai):
    box = Case(torch.rand(1, 4, 5, 6), spacing=(3, 2, 1))
    converted = _to_monai(box.image, box)
    assert converted.shape == (1, 6, 5, 4)
    assert torch.equal(converted[0, 5, 1, 2], box.image[0, 2, 1, 5])
    assert converted.affine.tolist() == [[-1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]
    placed = box.replace(affine=np.diag([9.0, 9, 9, 1])[[2, 1, 0, 3]])
    assert _to_monai(box.image, placed).pixdim.tolist() == [1, 2, 3]
    assert _to_monai(box.image[:, 0], Case(box.image[:, 0])).shape == (1, 6, 5)


def test_labels_in_the_output_of_a_bundle():
    assert _bundle_labels(torch.tensor([[[0.2, 0.9]], [[0.8, 0.1]]])).tolist() == [[1, 0]]
    assert _bundle_labels(torch.tensor([[[0.0, 2]]])).tolist() == [[0, 2]]
    with pytest.raises(ValueError, match="must be one label for each pixel, got 3 regions that overlap"):
        _bundle_labels(torch.ones(3, 2, 2))


def test_bundle_without_steps_is_its_network(monai, heart):
    network = monai_net("UNet", 2, 1, 1, (4, 8), (2,))
    model = as_model(Bundle(network, lambda images, net: net(images)), labels=("bg", "fg"))
    square = heart.image[None].transpose(2, 3).contiguous()  # MONAI sees columns first
    expected = as_model(network)(square).transpose(1, 2)
    assert (model(heart.image[None], heart) == expected).float().mean() > 0.999
    assert model.labels == ("bg", "fg")


BEFORE = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.0, 2.0], "mode": "bilinear"},
    {"_target_": "NormalizeIntensityd", "keys": "image"},
]
AFTER = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
        "to_tensor": True,
    },
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "$@bundle_root + '/eval'",
        "print_log": False,
        "separate_folder": False,
    },
]
CONFIG = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "dataset_dir": "to be told",
    "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
    "device": "$torch.device('cpu')",
    "network_def": {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        "channels": [4, 8],
        "strides": [2],
        "norm": "batch",
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {"_target_": "Compose", "transforms": BEFORE},
    "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 16], "sw_batch_size": 4, "overlap": 0.5},
    "postprocessing": {"_target_": "Compose", "transforms": AFTER},
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
    },
}
CHANNELS = {"0": "background", "1": "spleen", "2": "liver"}


@pytest.fixture
def folder(monai, tmp_path):
    "A bundle as they are published, small and with random weights"
    folder = tmp_path / "spleen_tiny"
    for sub in ("configs", "models"):
        (folder / sub).mkdir(parents=True)
    meta = {"network_data_format": {"outputs": {"pred": {"channel_def": CHANNELS}}}}
    (folder / "configs/inference.json").write_text(json.dumps(CONFIG))
    (folder / "configs/metadata.json").write_text(json.dumps(meta))
    network = monai_net("UNet", 3, 1, 3, (4, 8), (2,), norm="batch")
    torch.save({"model": network.state_dict()}, folder / "models/model.pt")
    return folder


def run_by_monai(folder, scans):
    "The mask that the configuration itself makes of the one file in `scans`"
    from monai.bundle import ConfigParser
    from monai.data import decollate_batch

    parser = ConfigParser(json.loads((folder / "configs/inference.json").read_text()))
    parser["bundle_root"] = str(folder)
    parser["dataset_dir"] = str(scans)
    net = parser.get_parsed_content("network")
    net.load_state_dict(torch.load(folder / "models/model.pt", weights_only=True)["model"])
    net.eval()
    for batch in parser.get_parsed_content("dataloader"):  # what an evaluator of MONAI does
        with torch.no_grad():
            batch["pred"] = parser.get_parsed_content("inferer")(batch["image"], net)
        for one in decollate_batch(batch):
            parser.get_parsed_content("postprocessing")(one)
    return next((folder / "eval").glob("*.nii.gz"))


def test_bundle_does_what_its_configuration_says(folder, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    scan = phantom((14, 36, 40), seed=4).image[0].numpy()
    # from (i, j, k), oblique, rows and columns exchanged
    turned = np.array([[0, 1.8, 0.2, -20], [-1.5, 0, 0, 30], [0, -0.3, 3, 5], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(scan.transpose(1, 2, 0), turned), scans / "scan.nii.gz")
    case = load_case(scans / "scan.nii.gz", run_by_monai(folder, scans))  # their mask as the truth
    model = load_model(folder, trust=True)
    ours = model(case.image[None], case)[0]
    assert (ours == case.truth).float().mean() > 0.9999
    assert set(ours.unique().tolist()) == {0, 1, 2}
    assert len(get_series(model, case, Rotate(), [0, 20], progress=False)) == 2


def test_bundle_needs_trust(folder):
    with pytest.raises(ValueError, match="configuration of a MONAI bundle.*trust=True"):
        load_model(folder)


def test_bundle_has_the_names_of_its_metadata(folder):
    model = load_model(folder, trust=True)
    assert isinstance(model, BundleModel)
    assert model.name == "spleen_tiny"
    assert model.labels == ("background", "spleen", "liver")
    assert load_model(folder, trust=True, name="mine", labels=list("abc")).name == "mine"


def key_of(folder, change=lambda config: None):
    "Cache key of the bundle with a changed configuration"
    config = json.loads(json.dumps(CONFIG))
    change(config)
    (folder / "configs/inference.json").write_text(json.dumps(config))
    return checksum(load_model(folder, trust=True).fingerprint())


PRINT_KEY = """
import sys
from misas.core.fingerprint import checksum
from misas.models.loading import load_model
print(checksum(load_model(sys.argv[1], trust=True).fingerprint()))
"""


def test_cache_key_is_the_same_for_the_same_bundle(folder, volume):
    known = key_of(folder)
    assert key_of(folder) == known
    model = load_model(folder, trust=True)
    model(volume.image[None], volume)
    assert checksum(model.fingerprint()) == known  # also after it was run
    command = [sys.executable, "-c", PRINT_KEY, str(folder)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split()[-1] == known  # and in another process


def test_cache_key_knows_every_part_of_a_bundle(folder):
    changes = [
        lambda c: None,
        lambda c: c["inferer"].update(overlap=0.25),
        lambda c: c["preprocessing"]["transforms"][3].update(pixdim=[2.0, 2, 3]),
        lambda c: c["postprocessing"]["transforms"][1].update(nearest_interp=True),
    ]
    keys = [key_of(folder, change) for change in changes]
    weights = torch.load(folder / "models/model.pt", weights_only=True)["model"]
    torch.save({"model": {name: 2 * weight for name, weight in weights.items()}}, folder / "models/model.pt")
    assert len({*keys, key_of(folder)}) == 5
