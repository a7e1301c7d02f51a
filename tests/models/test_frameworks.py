"Networks of the PyTorch family on real images: misas says what the framework itself says, pixel by pixel"

import contextlib
import copy
import io
import json
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from misas.all import *

LABELS = ("bg", "LV", "MY", "RV")


@pytest.fixture(scope="module")
def case(data):
    "The heart in a real short-axis image, 8 bits, 96 x 96 pixels"
    case = load_case(data / "cardiac" / "sax_image.png", data / "cardiac" / "sax_mask.png", labels=LABELS)
    small = Resize()(case, 128)
    small = small.replace(image=small.image[:, 16:112, 10:106], truth=small.truth[16:112, 10:106])
    return load_case(small.image[0].round().clamp(0, 255).numpy().astype(np.uint8), small.truth.numpy(), labels=LABELS)


@pytest.fixture(scope="module")
def volume(data):
    "Slices of real images, one upon the other"
    cases = [
        load_case(data / "dicom" / f"{name}.dcm")
        for name in ("sax_117", "IM-4562-0014", "IM-12007-0002", "IM-2831-0017")
    ]
    slices = [Resize()(c.replace(image=c.image / c.image.max()), 64).image[0] for c in cases]
    h, w = (min(s.shape[i] for s in slices) for i in (0, 1))
    slices = [s[: h - h % 16, : w - w % 16] for s in slices]
    return Case(torch.stack(slices + slices[::-1])[None], name="stack", spacing=(8.0, 1.5, 1.5))


def seeded(make):
    "A network with the same random weights each time"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def settled(net, images):
    "A network whose batch norms have seen images, so that its answer is not the same everywhere"
    norms = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for m in norms:
        m.momentum = None
    with torch.no_grad():
        net.train()(torch.cat([images, images.flip(-1), images.flip(-2)]))
    return net.eval()


def in_colour(case):
    return case.image.expand(1, 3, *case.shape) / 255


def divided(images):
    return images / 255


def same_labels(model, case, scores):
    "Labels and probabilities of a model are those of the scores `(1, K, *S)`"
    expected = scores.max(1).indices if scores.shape[1] > 1 else scores[:, 0] > 0
    exact = copy.copy(model)
    exact.fast = False
    assert (exact(case.image[None], case) == expected).float().mean() > 0.9999  # but where two scores are the same
    with model.session():
        assert (model(case.image[None], case) == expected).float().mean() > 0.999  # the fast copy rounds differently
    maps = model.probabilities(case.image[None], case)
    theirs = scores.softmax(1) if scores.shape[1] > 1 else torch.cat([1 - scores.sigmoid(), scores.sigmoid()], 1)
    assert torch.allclose(maps, theirs, atol=1e-4)
    assert len(expected.unique()) > 1


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
def test_torchvision(case, name):
    models = pytest.importorskip("torchvision").models.segmentation
    net = seeded(lambda: getattr(models, name)(weights=None, weights_backbone=None, num_classes=4))
    settled(net, in_colour(case))
    heads = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.out_channels == 4]
    with torch.no_grad():
        heads[-1].bias.sub_(net(in_colour(case))["out"].mean((0, 2, 3)))  # no class wins everywhere
    with torch.no_grad():
        same_labels(as_model(net, preprocess=divided, fast=False), case, net(in_colour(case))["out"])
    model = as_model(net, preprocess=divided, labels=LABELS)
    with torch.no_grad():
        theirs = net(in_colour(case))["out"].argmax(1)
    with model.session():
        # the fast copy rounds differently where classes tie
        assert (model(case.image[None], case) == theirs).float().mean() > 0.999
    assert set(evaluate(model, case, ["rotation"], dict(rotation=[0, 20]), progress=False).label) >= {"LV", "MY"}


@pytest.mark.parametrize(
    "name, classes, activation",
    [("Unet", 4, None), ("FPN", 4, "softmax2d"), ("MAnet", 1, None), ("DeepLabV3Plus", 1, "sigmoid")],
)
def test_segmentation_models(case, name, classes, activation):
    smp = pytest.importorskip("segmentation_models_pytorch")
    net = seeded(lambda: getattr(smp, name)("resnet18", encoder_weights=None, classes=classes, activation=activation))
    settled(net, in_colour(case))
    with torch.no_grad():
        scores = net(in_colour(case))
    if activation:
        scores = scores.logit() if classes == 1 else scores.log()
    same_labels(as_model(net, preprocess=divided), case, scores)
    odd = case.replace(image=case.image[:, :90, :70], truth=None)
    assert as_model(net, preprocess=divided, size=PadTo(32))(odd.image[None], odd).shape == (1, 90, 70)


def test_monai_networks(case, volume):
    nets = pytest.importorskip("monai.networks.nets")
    flat = case.replace(image=case.image / 255)
    made = [
        (flat, nets.UNet(2, 1, 4, (4, 8, 16), (2, 2))),
        (flat, nets.SegResNet(2, 8, 1, 1)),
        (flat, nets.SwinUNETR(1, 4, feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2), spatial_dims=2)),
        (volume, nets.SegResNet(3, 8, 1, 4)),
        (volume, nets.UNETR(1, 4, volume.shape, 4, 24, 24, 2))
        if volume.shape[0] % 16 == 0
        else (volume, nets.UNet(3, 1, 1, (4, 8), (2,))),
    ]
    for c, net in made:
        with torch.no_grad():
            same_labels(as_model(net.eval()), c, net(c.image[None]))


def test_windows_and_slices(case, volume):
    monai = pytest.importorskip("monai")
    for c, dims, roi in ((case.replace(image=case.image / 255), 2, (64, 48)), (volume, 3, (4, 32, 32))):
        net = seeded(lambda dims=dims: monai.networks.nets.UNet(dims, 1, 4, (4, 8), (2,)))
        with torch.no_grad():
            scores = monai.inferers.SlidingWindowInferer(roi, 4, 0.5, "gaussian")(c.image[None], net)
        same_labels(SlidingWindow(net, roi, 0.5), c, scores)
    flat = seeded(lambda: monai.networks.nets.UNet(2, 1, 4, (4, 8), (2,)))
    with torch.no_grad():
        scores = flat(volume.image.transpose(0, 1)).transpose(0, 1)[None]  # its slices as a batch
    same_labels(SliceWise(flat), volume, scores)
    with pytest.raises(ValueError, match="SliceWise"):
        as_model(flat)(volume.image[None], volume)


def test_transformers(case):
    tf = pytest.importorskip("transformers")
    names = dict(id2label=dict(enumerate(LABELS)), label2id={n: i for i, n in enumerate(LABELS)})
    swin = tf.SwinConfig(
        embed_dim=8,
        depths=[1] * 4,
        num_heads=[1, 1, 2, 2],
        window_size=4,
        image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    segformer = seeded(
        lambda: tf.SegformerForSemanticSegmentation(
            tf.SegformerConfig(
                num_encoder_blocks=2,
                depths=[1, 1],
                sr_ratios=[4, 2],
                hidden_sizes=[8, 16],
                patch_sizes=[7, 3],
                strides=[4, 2],
                num_attention_heads=[1, 2],
                mlp_ratios=[2, 2],
                decoder_hidden_size=16,
                **names,
            )
        )
    )
    mask2former = seeded(
        lambda: tf.Mask2FormerForUniversalSegmentation(
            tf.Mask2FormerConfig(
                backbone_config=swin,
                feature_size=32,
                mask_feature_size=32,
                hidden_dim=32,
                encoder_feedforward_dim=16,
                dim_feedforward=16,
                encoder_layers=1,
                decoder_layers=2,
                num_attention_heads=2,
                num_queries=6,
                **names,
            )
        )
    )
    rgb = np.repeat(case.image[0].numpy().astype(np.uint8)[..., None], 3, -1)
    for net, processor in (
        (segformer, tf.SegformerImageProcessor(size={"height": 96, "width": 96})),
        (mask2former, tf.Mask2FormerImageProcessor(size={"shortest_edge": 128, "longest_edge": 128}, ignore_index=255)),
    ):
        with torch.no_grad():
            for p in net.parameters():
                if p.ndim > 1:
                    p.mul_(8)
            answer = net(**processor(images=rgb, return_tensors="pt"))
        expected = processor.post_process_semantic_segmentation(answer, [case.shape])[0]
        model = as_model(net, processor=processor, name="hub")
        assert torch.equal(model(case.image[None], case)[0], expected.int()) and tuple(model.labels) == LABELS
        series = get_series(model, case, "rotation", [0, 15], progress=False)
        assert torch.equal(series[0].pred, expected.int()) and tuple(series.labels) == tuple(LABELS)


def test_torchscript_and_export(case, tmp_path):
    net = seeded(
        lambda: torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
            torch.nn.Tanh(),
            torch.nn.Conv2d(8, 4, 3, padding=1),
        )
    )
    image = case.image[None] / 255
    any_size = torch.export.Dim.AUTO
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, and still used
        torch.jit.script(net).save(tmp_path / "scripted.pt")
    torch.export.save(torch.export.export(net, (image,)), tmp_path / "fixed.pt2")
    torch.export.save(
        torch.export.export(
            net, (image.expand(2, -1, -1, -1),), dynamic_shapes=({0: any_size, 2: any_size, 3: any_size},)
        ),
        tmp_path / "free.pt2",
    )
    with torch.no_grad():
        scores = net(image)
    for name in ("scripted.pt", "fixed.pt2", "free.pt2"):
        model = load_model(tmp_path / name, trust=True, preprocess=divided, labels=LABELS)
        same_labels(model, case, scores)
        assert len(evaluate(model, case, ["brightness"], dict(brightness=[1, 1.5]), progress=False))
    smaller = case.replace(image=case.image[:, :80], truth=None)
    assert load_model(tmp_path / "free.pt2", trust=True)(smaller.image[None], smaller).shape == (1, *smaller.shape)
    with pytest.raises(ValueError, match="network was exported"):
        load_model(tmp_path / "fixed.pt2", trust=True)(smaller.image[None], smaller)


def test_fastai(case, tmp_path):
    vision = pytest.importorskip("fastai.vision.all")
    Image.fromarray(case.image[0].numpy().astype(np.uint8)).convert("RGB").save(tmp_path / "heart.png")
    Image.fromarray(case.truth.numpy().astype(np.uint8)).save(tmp_path / "heart_mask.png")
    file = tmp_path / "heart.png"
    block = vision.DataBlock(
        (vision.ImageBlock, vision.MaskBlock(codes=list(LABELS))),
        get_items=lambda _: [file] * 2,
        get_y=lambda f: f.with_name("heart_mask.png"),
        splitter=vision.IndexSplitter([1]),
        item_tfms=vision.Resize(96, method="squish"),
        batch_tfms=vision.Normalize.from_stats(*vision.imagenet_stats),
    )
    with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng():
        torch.manual_seed(0)
        learn = vision.unet_learner(
            block.dataloaders(tmp_path, bs=1, num_workers=0), vision.resnet18, pretrained=False, n_out=4, path=tmp_path
        )
        with learn.no_bar(), learn.no_logging():
            theirs = learn.predict(file)
    read, said = load_case(file, tmp_path / "heart_mask.png"), io.StringIO()
    learn.export(tmp_path / "learner.pkl")
    with pytest.raises(ValueError, match="trust=True"):
        load_model(tmp_path / "learner.pkl")
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        models = as_model(learn), load_model(tmp_path / "learner.pkl", trust=True)
        for model in models:
            ready = model.prepare(read)
            assert (
                torch.equal(model(ready.image[None], ready)[0], theirs[1].int().as_subclass(torch.Tensor))
                and len(theirs[1].unique()) > 1
            )
            assert torch.allclose(
                model.probabilities(ready.image[None], ready)[0], theirs[2].as_subclass(torch.Tensor), atol=1e-5
            ) and list(model.labels) == list(LABELS)
            assert len(get_series(model, read, "rotation", [0, 10], progress=False)) == 2
    assert said.getvalue() == ""


def nnunet_folder(folder, dims, reader, ending):
    "What a training of nnU-Net leaves behind, with random weights"
    networks = pytest.importorskip("nnunetv2.utilities.get_network_from_plans")

    def resampling(order, seg):
        return dict(is_seg=seg, order=order, order_z=0, force_separate_z=None)

    to_shape, torch_nn = "resample_data_or_seg_to_shape", "torch.nn.modules"
    architecture = dict(
        network_class_name="dynamic_network_architectures.architectures.unet.PlainConvUNet",
        _kw_requires_import=["conv_op", "norm_op", "dropout_op", "nonlin"],
        arch_kwargs=dict(
            n_stages=2,
            features_per_stage=[4, 8],
            conv_op=f"{torch_nn}.conv.Conv{dims}d",
            kernel_sizes=[[3] * dims] * 2,
            strides=[[1] * dims, [2] * dims],
            n_conv_per_stage=[1, 1],
            n_conv_per_stage_decoder=[1],
            conv_bias=True,
            norm_op=f"{torch_nn}.instancenorm.InstanceNorm{dims}d",
            norm_op_kwargs=dict(eps=1e-5, affine=True),
            dropout_op=None,
            dropout_op_kwargs=None,
            nonlin="torch.nn.LeakyReLU",
            nonlin_kwargs=dict(inplace=True),
        ),
    )
    configuration = dict(
        data_identifier="tiny",
        preprocessor_name="DefaultPreprocessor",
        batch_size=2,
        patch_size=([8] * (dims - 2)) + [48, 48],
        median_image_size_in_voxels=[48] * dims,
        spacing=([6.0] * (dims - 2)) + [1.0, 1.0],
        normalization_schemes=["ZScoreNormalization"],
        use_mask_for_norm=[False],
        architecture=architecture,
        batch_dice=True,
        resampling_fn_data=to_shape,
        resampling_fn_seg=to_shape,
        resampling_fn_probabilities=to_shape,
        resampling_fn_data_kwargs=resampling(3, False),
        resampling_fn_seg_kwargs=resampling(1, True),
        resampling_fn_probabilities_kwargs=resampling(1, False),
    )
    plans = dict(
        dataset_name="Dataset001_Tiny",
        plans_name="nnUNetPlans",
        original_median_spacing_after_transp=[1] * 3,
        original_median_shape_after_transp=[48] * 3,
        image_reader_writer=reader,
        transpose_forward=[0, 1, 2],
        transpose_backward=[0, 1, 2],
        configurations={"tiny": configuration},
        experiment_planner_used="ExperimentPlanner",
        label_manager="LabelManager",
        foreground_intensity_properties_per_channel={
            "0": dict(mean=0.5, std=0.2, percentile_00_5=0.0, percentile_99_5=1.0)
        },
    )
    dataset = dict(
        channel_names={"0": "MR"},
        labels=dict(zip(("background", *LABELS[1:]), range(4))),
        numTraining=2,
        file_ending=ending,
    )
    net = seeded(
        lambda: networks.get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            1,
            4,
            deep_supervision=False,
        )
    )
    (folder / "fold_0").mkdir(parents=True)
    torch.save(
        dict(
            trainer_name="nnUNetTrainer",
            init_args=dict(configuration="tiny"),
            inference_allowed_mirroring_axes=tuple(range(dims)),
            network_weights=net.state_dict(),
        ),
        folder / "fold_0" / "checkpoint_final.pth",
    )
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


def test_nnunet(case, volume, tmp_path):
    pytest.importorskip("nnunetv2")
    import nibabel as nib

    Image.fromarray(case.image[0].numpy().astype(np.uint8)).save(tmp_path / "heart_0000.png")
    nib.save(
        nib.Nifti1Image(volume.image[0].numpy().transpose(2, 1, 0), np.diag([-1.5, -1.5, 8, 1])),
        tmp_path / "stack_0000.nii.gz",
    )
    for file, dims, reader in (
        (tmp_path / "heart_0000.png", 2, "NaturalImage2DIO"),
        (tmp_path / "stack_0000.nii.gz", 3, "SimpleITKIO"),
    ):
        folder = nnunet_folder(tmp_path / str(dims), dims, reader, file.name[len(file.name.split(".")[0]) :])
        with pytest.raises(ValueError, match="trust=True"):
            load_model(folder)
        model, read = load_model(folder, trust=True), load_case(file)
        with contextlib.redirect_stdout(io.StringIO()):
            labels, maps = model.predictor.predict_from_files_sequential([[str(file)]], None, save_probabilities=True)[
                0
            ]
        assert (
            np.array_equal(model(read.image[None], read)[0], labels.reshape(read.shape)) and len(np.unique(labels)) > 1
        )
        assert np.allclose(model.probabilities(read.image[None], read)[0], maps.reshape(4, *read.shape), atol=1e-5)
        scores = evaluate(model, read, ["rotation"], dict(rotation=[0, 15]), progress=False)
        assert {"background"} < set(scores.label) <= {"background", *LABELS[1:]}


def test_monai_bundle(case, tmp_path):
    monai = pytest.importorskip("monai")
    for name in ("configs", "models"):
        (tmp_path / "heart" / name).mkdir(parents=True)
    Image.fromarray(case.image[0].numpy().astype(np.uint8)).save(tmp_path / "heart.png")
    config = dict(
        network_def={
            "_target_": "UNet",
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 4,
            "channels": [4, 8],
            "strides": [2],
        },
        inferer={"_target_": "SlidingWindowInferer", "roi_size": [64, 64], "overlap": 0.5},
        preprocessing={
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "ScaleIntensityd", "keys": "image"},
            ],
        },
        postprocessing={
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
    )
    (tmp_path / "heart" / "configs" / "inference.json").write_text(json.dumps(config))
    channels = {str(i): n for i, n in enumerate(LABELS)}
    (tmp_path / "heart" / "configs" / "metadata.json").write_text(
        json.dumps(dict(network_data_format=dict(outputs=dict(pred=dict(channel_def=channels)))))
    )
    net = seeded(lambda: monai.networks.nets.UNet(2, 1, 4, (4, 8), (2,)))
    torch.save(net.state_dict(), tmp_path / "heart" / "models" / "model.pt")
    parser = monai.bundle.ConfigParser(config)  # the bundle's own way, from the file
    data = parser.get_parsed_content("preprocessing")({"image": str(tmp_path / "heart.png")})
    with torch.no_grad():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], net)[0]
    theirs = parser.get_parsed_content("postprocessing")(data)["pred"][0].T  # MONAI sees columns first
    model, read = load_model(tmp_path / "heart", trust=True), load_case(tmp_path / "heart.png")
    assert (
        torch.equal(model(read.image[None], read)[0], theirs.int().as_subclass(torch.Tensor))
        and len(theirs.unique()) > 1
        and tuple(model.labels) == LABELS
    )
    with pytest.raises(ValueError, match="trust=True"):
        load_model(tmp_path / "heart")


def test_missing_framework(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "monai.inferers", None)
    with pytest.raises(ImportError, match=r"pip install 'misas\[monai\]'"):
        SlidingWindow(torch.nn.Conv2d(1, 2, 1), 32)
    monkeypatch.setitem(sys.modules, "fastai.learner", None)
    (tmp_path / "learner.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pip install 'misas\[fastai\]'"):
        load_model(tmp_path / "learner.pkl", trust=True)
    monkeypatch.setitem(sys.modules, "nnunetv2.inference.predict_from_raw_data", None)
    (tmp_path / "plans.json").write_text("{}")
    with pytest.raises(ValueError, match=r"pip install 'misas\[nnunet\]'"):
        load_model(tmp_path, trust=True)
