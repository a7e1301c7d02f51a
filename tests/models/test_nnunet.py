"nnU-Net: the labels that nnU-Net writes when it predicts from the files itself, pixel by pixel"

import contextlib
import io
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("nnunetv2")

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from misas.core.cases import Case
from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.models.loading import load_model
from misas.models.nnunet import NNUNetModel, _dataset_labels, _spacing_for
from misas.transforms.basic import Rotate

pytestmark = pytest.mark.filterwarnings("ignore")
HEART = dict(background=0, LV=1, MY=2, RV=3)
SPACING = (3, 1.3, 0.9)  # of the volume, which no network was trained with


def architecture_for(dims):
    kernel = [3] * dims
    return dict(
        network_class_name="dynamic_network_architectures.architectures.unet.PlainConvUNet",
        _kw_requires_import=["conv_op", "norm_op", "dropout_op", "nonlin"],
        arch_kwargs=dict(
            n_stages=2,
            features_per_stage=[4, 8],
            conv_op=f"torch.nn.modules.conv.Conv{dims}d",
            kernel_sizes=[kernel] * 2,
            strides=[[1] * dims, [2] * dims],
            n_conv_per_stage=[1, 1],
            n_conv_per_stage_decoder=[1],
            conv_bias=True,
            norm_op=f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            norm_op_kwargs=dict(eps=1e-5, affine=True),
            dropout_op=None,
            dropout_op_kwargs=None,
            nonlin="torch.nn.LeakyReLU",
            nonlin_kwargs=dict(inplace=True),
        ),
    )


def resampling(order, is_seg):
    return dict(is_seg=is_seg, order=order, order_z=0, force_separate_z=None)


def plans_for(dims, reader):
    configuration = dict(
        data_identifier="tiny",
        preprocessor_name="DefaultPreprocessor",
        batch_size=2,
        patch_size=[32] * 2 if dims == 2 else [8, 32, 32],
        median_image_size_in_voxels=[48] * dims,
        spacing=[1.0] * 2 if dims == 2 else [2.0, 1.0, 1.0],
        normalization_schemes=["ZScoreNormalization"],
        use_mask_for_norm=[False],
        architecture=architecture_for(dims),
        batch_dice=True,
        resampling_fn_data="resample_data_or_seg_to_shape",
        resampling_fn_seg="resample_data_or_seg_to_shape",
        resampling_fn_probabilities="resample_data_or_seg_to_shape",
        resampling_fn_data_kwargs=resampling(3, False),
        resampling_fn_seg_kwargs=resampling(1, True),
        resampling_fn_probabilities_kwargs=resampling(1, False),
    )
    intensities = {"0": dict(mean=0.5, std=0.2, percentile_00_5=0.0, percentile_99_5=1.0)}
    return dict(
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
        foreground_intensity_properties_per_channel=intensities,
    )


def save_fold(folder, architecture, heads, dims, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            1,
            heads,
            deep_supervision=False,
        )
    checkpoint = dict(
        trainer_name="nnUNetTrainer",
        init_args=dict(configuration="tiny"),
        inference_allowed_mirroring_axes=tuple(range(dims)),
        network_weights=net.state_dict(),
    )
    folder.mkdir(parents=True)
    torch.save(checkpoint, folder / "checkpoint_final.pth")


def trained(folder, dims, reader, ending, labels, **regions):
    "A folder as training would leave it behind, with two folds"
    plans = plans_for(dims, reader)
    dataset = dict(channel_names={"0": "MR"}, labels=labels, numTraining=2, file_ending=ending, **regions)
    architecture = plans["configurations"]["tiny"]["architecture"]
    heads = len(labels) - 1 if regions else len(labels)
    for fold in range(2):
        save_fold(folder / f"fold_{fold}", architecture, heads, dims, fold)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


@pytest.fixture(scope="module")
def flat_folder(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("nnunet") / "flat", 2, "NaturalImage2DIO", ".png", HEART)


@pytest.fixture(scope="module")
def flat(flat_folder):
    return load_model(flat_folder, trust=True)


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    folder = trained(tmp_path_factory.mktemp("nnunet") / "deep", 3, "SimpleITKIO", ".nii.gz", HEART)
    return load_model(folder, trust=True)


@pytest.fixture
def picture(tmp_path):
    "The path of a picture"
    heart = phantom((50, 61), seed=1)
    Image.fromarray((heart.image[0] * 255).byte().numpy()).save(tmp_path / "heart_0000.png")
    return tmp_path / "heart_0000.png"


def turn_between(axes, others):
    return nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt(axes),
        nib.orientations.axcodes2ornt(others),
    )


def saved_volume(folder, axes):
    "The path of a NIfTI file whose axes run in the directions of `axes`"
    volume = phantom((8, 40, 36), seed=1).image[0].numpy().transpose(2, 1, 0)
    affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1])
    lps = nib.Nifti1Image(volume, affine)
    turn = nib.orientations.ornt_transform(nib.io_orientation(lps.affine), nib.orientations.axcodes2ornt(axes))
    nib.save(lps.as_reoriented(turn), folder / "volume_0000.nii.gz")
    return folder / "volume_0000.nii.gz"


def from_files(model, file):
    "What nnU-Net makes of a file without misas: labels and probabilities"
    with contextlib.redirect_stdout(io.StringIO()):
        return model.predictor.predict_from_files_sequential([[str(file)]], None, save_probabilities=True)[0]


def test_spacing_is_what_the_reader_would_say():
    wide = Case(torch.rand(8, 8), spacing=(0.5, 2))
    assert _spacing_for(wide, "SimpleITKIO") == [1998, 0.5, 2]
    assert _spacing_for(wide, "NaturalImage2DIO") == [999, 1, 1]
    assert _spacing_for(Case(torch.rand(1, 4, 8, 8), spacing=(3, 1, 1)), "SimpleITKIO") == [3, 1, 1]


def test_labels_have_the_names_of_the_dataset():
    assert _dataset_labels(dict(labels=HEART | dict(ignore=4))) == ("background", "LV", "MY", "RV")


def test_folder_needs_trust(flat_folder):
    with pytest.raises(ValueError, match="checkpoint of nnU-Net.*trust=True"):
        load_model(flat_folder)


def test_folder_is_a_model_with_all_its_folds(flat, deep):
    assert isinstance(flat, NNUNetModel)
    assert flat.name == "flat"
    assert deep.labels == ("background", "LV", "MY", "RV")
    assert len(deep.predictor.list_of_parameters) == 2


def test_predictor_without_network_is_refused(flat):
    with contextlib.redirect_stdout(io.StringIO()):
        empty = type(flat.predictor)(device=torch.device("cpu"))
    with pytest.raises(ValueError, match="must have a network, got none yet"):
        as_model(empty)


def test_picture(flat, picture):
    case = load_case(picture)
    labels, maps = from_files(flat, picture)
    assert np.array_equal(flat(case.image[None], case)[0], labels[0])
    assert len(np.unique(labels)) > 1
    assert np.allclose(flat.probabilities(case.image[None], case)[0], maps[:, 0], atol=1e-6)


@pytest.mark.parametrize("axes, orientation", [("LPS", None), ("LPS", "LPS"), ("RAS", "RAS"), ("SPL", "SPL")])
def test_volume_in_any_orientation(deep, tmp_path, axes, orientation):
    file = saved_volume(tmp_path, axes)
    case = load_case(file)
    labels, maps = from_files(deep, file)
    model = as_model(deep.predictor, orientation=orientation, name="deep")
    turn = turn_between(axes, "LPS")

    def as_case(array):
        return nib.orientations.apply_orientation(array.transpose(2, 1, 0), turn).transpose(2, 1, 0)

    assert np.array_equal(model(case.image[None], case)[0], as_case(labels))
    assert len(np.unique(labels)) > 1
    expected = np.stack([as_case(m) for m in maps])
    assert np.allclose(model.probabilities(case.image[None], case)[0], expected, atol=1e-6)


def test_orientation_and_spacing_make_a_difference(deep, tmp_path):
    case = load_case(saved_volume(tmp_path, "SPL"))
    images = case.image[None]
    as_stored = as_model(deep.predictor, orientation="SPL")(images, case)
    assert (as_model(deep.predictor)(images, case) != as_stored).any()
    assert (deep(images, case) != deep(images, case.replace(spacing=(1.0, 2.0, 2.0)))).any()


def test_bad_orientation_is_refused(deep):
    with pytest.raises(ValueError, match="XAR"):
        as_model(deep.predictor, orientation="RAX")


def test_nothing_is_printed_and_the_network_keeps_its_mode(deep, tmp_path):
    case = load_case(saved_volume(tmp_path, "LPS"))
    printed = io.StringIO()
    deep.predictor.network.train()
    deep.predictor.allow_tqdm = True
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        series = get_series(deep, case, Rotate(), [0, 10], progress=False)
    assert printed.getvalue() == ""
    assert len(series) == 2
    assert series.labels == deep.labels
    assert deep.predictor.network.training
    assert deep.predictor.allow_tqdm


def test_regions_become_labels_in_nnunets_own_way(tmp_path, picture):
    labels = dict(background=0, whole=[1, 2], core=[2])
    folder = trained(tmp_path / "regions", 2, "NaturalImage2DIO", ".png", labels, regions_class_order=[1, 2])
    model = load_model(folder, trust=True)
    case = load_case(picture)
    assert model.labels == ("background", "whole", "core")
    assert model.probabilities(case.image[None], case) is None
    assert np.array_equal(model(case.image[None], case)[0], from_files(model, picture)[0][0])
