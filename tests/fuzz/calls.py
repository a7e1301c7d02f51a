"A call that works for every public function, and what is said when one of its arguments is replaced by something else"

import contextlib
import inspect
import io
import re
import signal
import traceback
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from PIL import Image

import misas as ms
from misas.metrics.counts import counts
from misas.metrics.distance import surface_distances

PACKAGE = str(Path(ms.__file__).parent)

# Records that functions hand back, protocols to be subclassed, registries of extensions: no function of theirs checks.
RECORDS = set(
    """Augmentation Bundle CaseFile Consensus Counts Distances Fixed Function Intensity Job KSpaceLines
    Lightness Masks ExplainedStep Explanation Metric Model Picture PreparationAdvice Raw SanityReport Series
    Size Source Spatial Step Transform UNet Worst Wrapper Corruption Normalise Threshold InvalidImageError
    adapter heart_mask model_loader register_metric progress_bar FeatureMap GradientCheck Prompt Requirement
    StudyFile Echoes Stain Findings ReportPicture section known_sections""".split()
)
# New ones that have no call below yet, or are not clear yet about each wrong argument: to be emptied.
WAITING = set(
    """Attack BestMask ExplainedStep Explanation InvalidImageError LabelMasks Lesions Occlude OfPrompt PipelineModel
    PowerLaw PromptSAM Relabelled SanityReport Wrapper concat_scores read_scores save_scores
    init_study read_study_file remove_section run_study save_report serve_live study write_study_file""".split()
)
# Adapters that need a framework's own object; `as_model` and `load_model` make them.
ADAPTERS = set(
    """BundleModel FastaiModel FileModel GraphModel KerasModel NNUNetModel NumpyModel OnnxModel PipelineModel PlainModel
    RemoteModel SavedModel TorchModel TransformersModel InSize""".split()
)


@cache
def things() -> SimpleNamespace:
    "What the calls are made of, as small as possible"
    rng = np.random.default_rng(0)
    image = rng.random((12, 14)).astype(np.float32)
    image[3:8, 4:10] += 1
    truth = (image > 0.9).astype(np.uint8)
    case = ms.load_case(image, truth, name="square", spacing=(1, 1))
    volume = ms.load_case(rng.random((5, 12, 14)), np.stack([truth] * 5), name="block", spacing=(2, 1, 1))
    options = dict(values=[1, 1.5], labels=["bg", "square"], progress=False)
    dim = ms.Case(case.image * 0.9, case.truth, "dim", (1, 1))
    scores = ms.evaluate(threshold, [case, dim], "brightness", **options)
    others = scores.assign(model="other", score=scores.score * 0.9)
    series = ms.get_series(threshold, case, "brightness", [1, 1.5], progress=False)
    return SimpleNamespace(
        case=case,
        volume=volume,
        scores=scores,
        others=ms.concat_scores([others]),
        series=series,
        films=ms.get_series(threshold, volume, "brightness", [1], progress=False),
        counts=counts(ms.confusion(case.truth, case.truth, 2), range(2), (1, 1)),
        distances=surface_distances(case.truth, case.truth, [1], (1, 1)),
    )


def threshold(image):
    return (np.asarray(image) > 0.9).astype(np.uint8)


class Soft(ms.Model):
    "A model that also gives probabilities"

    name = "soft"

    def predict(self, images, template):
        return (images[:, 0] > 0.9).int()

    def probabilities(self, images, template):
        inside = (images[:, 0] / 2).clip(0, 1)
        return torch.stack([1 - inside, inside], 1)


@cache
def by_name() -> dict:
    "Good values of required arguments, by the name of the argument"
    t = things()
    grid = np.array([0.0, 1, 2, 3])
    matrix = np.array([[0.9, 0.8, 0.7, 0.6], [0.8, 0.8, 0.5, 0.4]])
    return dict(
        absent=0.0,
        c=t.counts,
        case=t.case,
        cases=[t.case],
        d=t.distances,
        errors={"brightness": [0.1, 0.2]},
        image=t.case.image,
        inside=t.case.truth > 0,
        label=1,
        labels=["bg", "square"],
        mask=t.case.truth,
        masks=[t.case.truth, t.case.truth],
        matrix=matrix,
        members=ms.Rotate(),
        metric="dice",
        metrics=["dice"],
        model=threshold,
        models=[threshold, threshold],
        n=2,
        neutral=1,
        obj=threshold,
        p=t.case.image[0].clip(0, 1),
        path="out",
        pred=t.case.truth,
        progress=False,
        ranges={"brightness": (0.5, 2)},
        reference={"brightness": [0.2, 0.4]},
        scores=t.scores,
        scores_a=t.scores,
        scores_b=t.others,
        series=t.series,
        step=t.series[0],
        steps=t.series[0],
        tables=[t.scores, t.others],
        thresholds=[0.25, 0.5],
        tolerance=1.0,
        transform=ms.Brightness(),
        transform_a="brightness",
        transform_b="contrast",
        transforms="brightness",
        truth=t.case.truth,
        value=1.0,
        values=grid,
        volume=t.volume,
        x=t.case.image.numpy(),
    )


@cache
def own() -> dict:
    "Arguments of single functions, where the name does not say enough or the default takes too long"
    t = things()
    curve = dict(values=np.array([0.0, 1, 2, 3]), scores=np.array([0.5, 0.9, 0.7, 0.2]))
    soft = dict(model=Soft(), cases=[t.case], thresholds=[0.25, 0.5])
    explained = dict(model=net(), case=t.case, label=1, pixels="truth")
    return dict(
        Case=dict(image=t.case.image, truth=t.case.truth),
        Compose=dict(members=ms.Rotate()),
        Domain=dict(low=0, high=1),
        Ensemble=dict(models=[threshold, threshold]),
        Oriented=dict(model=threshold),
        CropTo=dict(shape=8),
        Relabelled=dict(model=threshold, relabel={1: 2}),
        ResizeTo=dict(shape=8),
        SliceWise=dict(model=threshold),
        SlidingWindow=dict(model=Soft(), roi_size=8),
        View={},
        as_case=dict(x=t.case.image.numpy()),
        as_model=dict(obj=threshold),
        as_transform=dict(obj=lambda image, value: image * value),
        auroc_of_mask=dict(truth=t.case.truth.numpy(), pred=t.case.truth.numpy()),
        bootstrap_curves=dict(matrix=by_name()["matrix"], resamples=20),
        calibration_error=dict(table=_table(ms.reliability, model=Soft(), cases=[t.case])),
        common_corruptions={},
        corruption_error=dict(errors=[0.1, 0.2], reference=[0.2, 0.4]),
        compare=dict(scores_a=t.scores, scores_b=t.others),
        conforms=dict(transform=ms.Brightness(), case=t.case, values=[1, 2]),
        degradation=dict(**curve, neutral=1),
        direction_letters=dict(direction=np.array([1.0, 0, 0])),
        draw_tissues=dict(rng=np.random.default_rng(0)),
        parse_requirement=dict(fail_under="rotation ±10° loses ≤ 0.05 dice"),
        check_requirements=dict(scores=t.scores, requirements="brightness dice ≥ 0.5"),
        evaluate=dict(model=threshold, cases=[t.case], transforms="brightness", values=[1, 2], progress=False),
        find_cases=dict(folder="images"),
        get_answers=dict(models=[threshold], case=t.case),
        get_series=dict(model=threshold, case=t.case, transform="brightness", values=[1, 2], progress=False),
        gif_series=dict(series=t.series, path="out.gif", size=64),
        gif_volume=dict(volume=t.volume, path="out.gif", index=[1, 2], size=64),
        global_sensitivity=sensitivity_call(),
        grid=grid_call(),
        known_metric=dict(name="dice"),
        load_bundle=dict(folder="bundle"),
        load_case=dict(image=t.case.image.numpy(), truth=t.case.truth.numpy()),
        load_cine=dict(images=t.volume.image[0].numpy()),
        load_model=dict(spec="demo"),
        load_nnunet=dict(folder="nnunet"),
        local_slope=dict(**curve, neutral=1),
        measure=dict(truth=t.case.truth, pred=t.case.truth, labels=[1]),
        metric_facts=dict(scores=t.scores, metric="dice"),
        model_loader=dict(keys=".new"),
        normalised_area=dict(**curve, neutral=1),
        optimal_thresholds=dict(scores=_table(ms.threshold_scores, **soft)),
        pair_scores=dict(scores_a=t.scores, scores_b=t.others),
        phantom=dict(shape=(16, 16)),
        plane_letters=dict(series=t.films, step=t.films[0]),
        plot_calibration=dict(table=_table(ms.reliability, model=Soft(), cases=[t.case])),
        plot_confusion=dict(matrix=np.eye(2)),
        plot_frame=dict(step=t.series[0], series=t.series, size=1),
        plot_grid=dict(table=_table(ms.grid, **grid_call())),
        plot_montage=dict(volume=t.volume, n=2, panel=0.5),
        plot_planes=dict(volume=t.volume, panel=0.5),
        plot_sensitivity=dict(table=_table(ms.global_sensitivity, **sensitivity_call())),
        plot_series=dict(series=t.series, panel=0.5),
        plot_summary=dict(summary=ms.summarise(t.scores, resamples=20)),
        plot_transform=dict(case=t.case, transform="brightness", values=[1, 2], panel=0.5),
        plot_worst=dict(worst=ms.worst_case(**worst_call())),
        pool_reliability=dict(table=_table(ms.reliability, model=Soft(), cases=[t.case])),
        probability_maps=dict(model=Soft(), case=t.case),
        probability_table=soft | dict(progress=False),
        prominence=dict(case=t.case, label=1),
        prompt_of=dict(case=t.case),
        PromptModel=dict(predict=lambda image, prompt: image > 0.5),
        prominence_correlation=dict(table=_structures(_table(ms.probability_table, **soft))),
        read_cases=dict(csv="cases.csv"),
        read_scores=dict(path="scores.csv"),
        reliability=dict(model=Soft(), cases=[t.case], bins=3, progress=False),
        roi_names=dict(path="roi.dcm"),
        same_value=dict(a=1, b=2),
        save_image=dict(image=t.volume.image[0].numpy(), case=t.volume, path="out.nii.gz"),
        save_mask=dict(mask=t.volume.truth.numpy(), case=t.volume, path="out.nii.gz"),
        save_scores=dict(scores=t.scores, path="out.csv"),
        save_viewer=dict(series=t.series, path="out.html", size=64),
        serve=dict(model=threshold),
        suggest_augmentation=dict(summary=ms.summarise(t.scores, resamples=20)),
        suggest_preparation=dict(
            model=threshold, cases=[t.case], sizes=[None], intensities=["as is"], orientations=[0, 1], progress=False
        ),
        split_by=dict(scores=t.scores, by="case"),
        summarise=dict(scores=t.scores, resamples=20),
        surface_distances=dict(truth=t.case.truth, pred=t.case.truth, labels=[1]),
        sweep=dict(model=threshold, case=t.case, transform="brightness", values=[1, 2], progress=False),
        threshold_scores=soft | dict(progress=False),
        slices_of=dict(case=t.volume),
        to_source=dict(image=t.case.image, source=t.case.source),
        tolerance_interval=dict(**curve, neutral=1),
        transform_facts=dict(scores=t.scores, transform=t.scores["transform"].iloc[0]),
        volume_difference=dict(c=counts(ms.confusion(t.volume.truth, t.volume.truth, 2), range(2), (2, 1, 1))),
        undo=dict(transform=ms.Rotate(), mask=t.case.truth, value=90, case=t.case),
        value_text=dict(transform=ms.Rotate(), value=90),
        verdicts=dict(summary=ms.summarise(t.scores, resamples=20)),
        view=dict(series=t.series, size=64),
        explore_live=dict(model=threshold, cases=[t.case], transforms="brightness", size=64),
        activation_map=explained,
        activation_series=explained | dict(transform="brightness", values=[1, 2], progress=False),
        check_gradients=dict(model=net(), case=t.case, restarts=2, queries=3),
        check_explanation=explained | dict(layer="0", progress=False),
        explain_series=explained | dict(transform="brightness", values=[1], progress=False),
        gif_explanation=dict(explanation=explanation(), path="out.gif", size=64),
        layer_names=dict(model=net(), case=t.case),
        occlusion_map=dict(model=threshold, case=t.case, label=1, patch=6, progress=False),
        occlusion_series=dict(
            model=threshold, case=t.case, transform="brightness", values=[1], label=1, patch=6, progress=False
        ),
        plot_activations=dict(models=net(), cases=t.case, layer="0"),
        plot_explanation=dict(explanation=explanation()),
        view_explanation=dict(explanation=explanation(), size=64),
        worst_case=worst_call(),
        worst_score=curve,
        agreement=dict(masks=[t.case.truth, t.case.truth], labels=[1]),
        arm_mask=dict(masks=[t.case.truth, t.case.truth]),
        arm_table=dict(scores=arms()),
        augrc=dict(confidence=[0.9, 0.5], risk=[0.1, 0.4]),
        aurc=dict(confidence=[0.9, 0.5], risk=[0.1, 0.4]),
        best_mask=dict(truth=t.case.truth, a=t.case.truth, b=t.case.truth, label=1),
        best_masks=dict(cases=[t.case], model_a=threshold, model_b=threshold, progress=False),
        compare_arms=dict(scores=arms()),
        confidence_quality=dict(table=confidence()),
        confidence_table=dict(model=Soft(), cases=[t.case], labels={1: "square"}, progress=False),
        depletion=dict(cases=_many(), runs=1),
        describe_arms=dict(scores=arms()),
        difference_table=dict(scores=arms()),
        conformal_threshold=dict(model=Soft(), cases=[t.case] * 12, missed=0.2),
        expected_dice=dict(
            maps=torch.stack([1 - t.case.truth.float(), t.case.truth.float()]), mask=t.case.truth, labels=[1]
        ),
        fit_temperature=dict(model=Soft(), cases=[t.case]),
        interaction=dict(scores=_grouped(), by="scanner", resamples=99),
        lesion_table=dict(model=threshold, cases=[t.case], progress=False),
        missed_shares=dict(model=Soft(), cases=[t.case]),
        plot_recall_by_volume=dict(table=_lesions()),
        plot_referral=dict(table=confidence(), threshold=0.5),
        recall_by_volume=dict(table=_lesions()),
        severity_preset=dict(cases=[t.case], transforms=["brightness"], targets=[0.1]),
        equal_severity=dict(cases=[t.case], transform="brightness", targets=[0.1]),
        error_map=dict(truth=t.case.truth, pred=t.case.truth),
        pack_structures=dict(masks=np.ones((2, 3, 4), bool)),
        unpack_structures=dict(mask=t.case.truth, n=1),
        pack_regions=dict(mask=t.case.truth, regions={"square": [1]}, ignore=255),
        with_regions=dict(case=t.case, regions={"square": [1]}),
        find_lesions=dict(truth=t.case.truth, pred=t.case.truth, labels=[1]),
        fit_power_law=dict(sizes=[2, 4, 8, 16], errors=[0.4, 0.3, 0.22, 0.2], resamples=5),
        guarantee=dict(scores=t.scores),
        image_severity=dict(case=t.case, changed=t.case),
        label_masks=dict(truth=t.case.truth, pred=t.case.truth, labels=[1]),
        make_pictures=dict(models=threshold, cases=[t.case], transforms=["brightness"], scores=t.scores, most_values=3),
        with_grades=dict(scores=t.scores, grades=pd.DataFrame(dict(case=["square"], grade=["pass"]))),
        worst_cases=dict(scores=t.scores),
        noise_floor=dict(model=threshold, cases=[t.case], transforms="rotation", values=[0, 5], progress=False),
        partitions=dict(cases=_many(), halvings=1),
        plot_best_mask=dict(cases=[t.case], model_a=threshold, model_b=threshold, label=1, panel=0.6),
        plot_cases=dict(cases=[t.case], models=threshold, panel=0.6),
        plot_confidence=dict(table=confidence()),
        plot_gallery=dict(cases=[t.case], model=threshold, panel=0.6),
        plot_grid_images=dict(
            case=t.case, transform_a="brightness", transform_b="contrast", values_a=[1], values_b=[1, 2], panel=0.6
        ),
        plot_field=dict(case=t.case, transform=ms.BiasField(), value=0.2, panel=0.6),
        plot_guarantee=dict(found=_table(ms.guarantee, scores=t.scores)),
        plot_histogram=dict(scores=t.scores),
        plot_plan=dict(plan=_table(ms.random_splits, cases=_many(), n=2)),
        plot_qq=dict(scores=t.scores),
        plot_risk_coverage=dict(table=confidence()),
        random_splits=dict(cases=_many(), n=2),
        referral_rates=dict(table=confidence(), threshold=0.5),
        referral_threshold=dict(table=confidence().assign(score=0.5)),
        replicate_medians=dict(scores=arms()),
        risk_coverage=dict(confidence=[0.9, 0.5], risk=[0.1, 0.4]),
        severities=dict(cases=[t.case], transforms="brightness", values=[1, 2]),
        soft_dice_confidence=dict(
            maps=torch.stack([1 - t.case.truth.float(), t.case.truth.float()]), mask=t.case.truth, labels=[1]
        ),
        split_balance=dict(plan=_table(ms.random_splits, cases=_many(), n=2), by="scanner"),
        split_overlap=dict(plan=_table(ms.random_splits, cases=_many(), n=2)),
        table_text=dict(table=pd.DataFrame(dict(a=["x"])), format="html"),
        tolerance=dict(
            model=threshold, cases=[t.case], transform="brightness", resolution=0.5, values=(0.5, 2), labels={1: "s"}
        ),
        with_arms=dict(scores=t.scores, arms={"a": t.scores.model.unique().tolist()}),
        with_empty_truth=dict(metrics=dict(dice=ms.known_metric("dice")), empty_truth=0.0),
        with_floor=dict(summary=ms.summarise(t.scores, resamples=20), floor=_floor()),
        evaluate_plan=dict(train=_train, cases=_many(), plan=ms.partitions(_many(), halvings=1), progress=False),
        fewest_images=dict(scores=learned()),
        learning_fits=dict(scores=learned(), resamples=5),
        learning_table=dict(scores=learned()),
        learning_tolerance=dict(scores=_plan_sweep()),
        plot_learning=dict(scores=learned(), resamples=5),
        plot_learning_tolerance=dict(scores=_plan_sweep()),
        power_laws=dict(scores=learned(), resamples=5),
        best_thresholds=dict(model=Soft(), cases=[t.case], thresholds=[0.25, 0.5], progress=False),
        feature_map=dict(model=net(), cases=_many(), layer="0", progress=False),
        image_features=dict(model=net(), cases=_many(), layer="0", progress=False),
        Thresholded=dict(model=Soft(), threshold=0.4),
        Thresholds=dict(thresholds={1: 0.4}),
        feature_path=dict(table=feature_table(), case=t.case, transform="brightness", values=[1], progress=False),
        plot_feature_map=dict(table=feature_table()),
        plot_prominence=dict(table=structures()),
        prominence_table=dict(cases=[t.case], progress=False),
        threshold_losses=dict(table=_table(ms.probability_table, **soft)),
        plot_thresholds=dict(scores=_table(ms.threshold_scores, **soft)),
        with_severity=dict(scores=t.scores, table=_severities()),
        **{name: dict(lesions=ms.find_lesions(t.case.truth, t.case.truth, [1])) for name in LESION_METRICS},
        **{name: dict(masks=ms.label_masks(t.case.truth, t.case.truth, [1])) for name in MASK_METRICS},
        spread_scores=dict(scores=t.scores),
    )


LESION_METRICS = """lesion_f1 lesion_recall lesion_precision lesion_volume_recall missed_lesions
    invented_lesions""".split()
MASK_METRICS = "boundary_iou centreline_precision centreline_recall cldice".split()


def arms():
    "A score table of two arms"
    t = things()
    both = {"a": [threshold, threshold], "b": [threshold]}
    return _table(ms.evaluate, model=both, cases=[t.case, t.volume], labels={1: "square"}, progress=False)


def confidence():
    return _table(ms.confidence_table, model=Soft(), cases=[things().case], labels={1: "square"}, progress=False)


def _lesions():
    return _table(ms.lesion_table, model=threshold, cases=[things().case], progress=False)


def _grouped():
    return _table(
        ms.evaluate,
        model=threshold,
        cases=_many(),
        transforms="brightness",
        values=[1, 2],
        labels={1: "s"},
        progress=False,
    )


def _many() -> list:
    "Cases with columns"
    case = things().case
    return [case.replace(name=f"c{i}", columns=dict(scanner="AB"[i % 2])) for i in range(10)]


def learned():
    "Scores of a plan of trainings"
    cases = _many()
    plan = ms.partitions(cases, halvings=2)
    return _table(ms.evaluate_plan, train=_train, cases=cases, plan=plan, labels={1: "square"}, progress=False)


def _train(cases, seed):
    return threshold


def _plan_sweep():
    cases = _many()
    sweep = dict(transforms="brightness", values=[0.5, 1, 2], labels={1: "square"}, progress=False)
    return _table(ms.evaluate_plan, train=_train, cases=cases, plan=ms.partitions(cases, halvings=2), **sweep)


def _floor():
    return _table(ms.noise_floor, model=threshold, cases=[things().case], transforms="brightness", progress=False)


def _severities():
    return _table(ms.severities, cases=[things().case], transforms="brightness", values=[1, 1.5])


@cache
def net() -> torch.nn.Module:
    "A small network with a gradient"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(3, 2, 1)
        ).eval()


@cache
def feature_table() -> ms.FeatureMap:
    return _table(ms.feature_map, model=net(), cases=_many(), layer="0", progress=False)


def structures() -> pd.DataFrame:
    "A table of several structures"
    table = pd.DataFrame(dict(model="m", label=list("abc"), size=[0.1, 0.2, 0.4], threshold=[0.2, 0.3, 0.7]))
    return table.assign(contrast=table["size"], prominence=table["size"] ** 2)


def explanation() -> ms.Explanation:
    return _table(ms.activation_map, model=net(), case=things().case, label=1, layer="0", pixels="truth")


def grid_call() -> dict:
    return dict(
        model=threshold,
        case=things().case,
        transform_a="brightness",
        transform_b="contrast",
        values_a=[1, 2],
        values_b=[1, 2],
        progress=False,
    )


def sensitivity_call() -> dict:
    ranges = {"brightness": (0.5, 2), "contrast": (0.5, 2)}
    return dict(model=threshold, case=things().case, ranges=ranges, n=2, progress=False)


def worst_call() -> dict:
    return dict(model=threshold, case=things().case, ranges={"brightness": (0.5, 2)}, budget=10, progress=False)


def _structures(table):
    "The rows of one structure as those of three"
    parts = [
        table.assign(label=f"part {k}", prominence=0.1 * k, size=0.1 * k, contrast=0.2 * k, threshold=0.5 - 0.1 * k**2)
        for k in (1, 2, 3)
    ]
    return pd.concat(parts, ignore_index=True)


def _table(function, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(**arguments)


# where no small file lies at hand, the error of a missing one is all that can be seen
ONLY = dict(
    check_gradients=("model", "case", "epsilon", "attack", "margin", "seed"),
    load_bundle=("folder",),
    load_nnunet=("folder",),
    roi_names=("path",),
)


@dataclass(frozen=True)
class Call:
    "A public function with arguments that it takes"

    name: str
    function: object
    arguments: dict  # good values of the required ones, and of those whose default takes too long
    open: tuple  # names of the arguments that may be replaced


@cache
def calls() -> dict[str, Call]:
    "By the public name"
    found = {}
    for name in sorted(ms.__all__):
        function = getattr(ms, name)
        if not callable(function) or name in RECORDS | ADAPTERS | WAITING:
            continue
        parameters = inspect.signature(function).parameters.values()
        usual = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        required = [p.name for p in usual if p.default is p.empty]
        if name not in own() and not set(required) <= set(by_name()):
            continue  # `without_call` tells
        arguments = own()[name] if name in own() else {argument: by_name()[argument] for argument in required}
        found[name] = Call(name, function, arguments, ONLY.get(name, tuple(p.name for p in usual)))
        if isinstance(function, type) and issubclass(function, ms.Transform):
            found[f"{name}.__call__"] = Call(f"{name}.__call__", *_applied(function))
    return found


def without_call() -> list:
    "Public functions that should have a call, and have none"
    known = RECORDS | ADAPTERS | WAITING | set(calls())
    return [name for name in sorted(ms.__all__) if callable(getattr(ms, name)) and name not in known]


def _applied(kind) -> tuple:
    "A transform's own call, with the first case that it takes and a good value"
    transform = kind(ms.Rotate()) if issubclass(kind, (ms.Compose, ms.RoundTrip)) else kind()
    if issubclass(kind, ms.Attack):
        transform = kind(steps=2).for_model(net())
    flat = things().case
    coloured = flat.replace(image=flat.image[:1].repeat(3, 1, 1))
    for case in (flat, things().volume, coloured):
        with contextlib.suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = list(transform.values_for(case) or [0])[0]
            transform(case, value)
            break
    return transform, dict(case=case, value=value), ("case", "value")


def run(call: Call, arguments: dict):
    "Call it, and take what is lazy out of what comes back"
    if call.name == "Compose":
        result = call.function(*arguments.values())
    else:
        result = call.function(**arguments)
    if inspect.isgenerator(result):
        result = list(result)
    if isinstance(result, contextlib.AbstractContextManager) and call.name == "serve":
        with result:
            pass
    if hasattr(result, "to_dict") and hasattr(result, "mark_line"):
        result.to_dict()
    return result


def write_files():
    "What `own` names, in the working directory"
    Path("images").mkdir(exist_ok=True)
    for name in ("a", "b"):
        Image.fromarray((things().case.image[0].numpy() * 100).astype(np.uint8)).save(f"images/{name}.png")
    Path("cases.csv").write_text("image,mask\nimages/a.png,images/b.png\n")
    things().scores.to_csv("scores.csv", index=False)


class TooLong(Exception):
    "A call did not come back in time"


@contextlib.contextmanager
def time_limit(seconds: float):
    def stop(*_):
        raise TooLong(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# other words for an argument that a message may use
ALSO = {
    "obj": ["model", "transform"],
    "x": ["image", "case"],
    "c": ["Counts"],
    "d": ["Distances"],
    "p": ["probabilit"],
    "cases": ["case", "image", "folder", "file"],
    "case": ["image", "truth"],
    "models": ["model"],
    "transforms": ["transform"],
    "transform_a": ["transform"],
    "transform_b": ["transform"],
    "scores_a": ["scores"],
    "scores_b": ["scores"],
    "values_a": ["values"],
    "values_b": ["values"],
    "members": ["member", "transform"],
    "tables": ["scores", "table"],
    "csv": ["table", "file", "folder"],
    "folder": ["file"],
    "path": ["file", "folder"],
    "spec": ["model"],
    "images": ["image"],
    "volume": ["image", "case"],
    "value": ["corner", *{transform.param for transform in ms.known_transforms().values()}],
    "values": [*{transform.param for transform in ms.known_transforms().values()}],
}


def names_argument(message: str, argument: str) -> bool:
    "Does the message speak of this argument?"
    words = [argument, argument.removesuffix("s"), *ALSO.get(argument, ())]
    return any(re.search(rf"(?<![a-z]){re.escape(word)}", message, re.IGNORECASE) for word in words)


def fault(call: Call, replaced: dict, seconds: float = 20) -> str | None:
    "What is wrong with the answer to such a call; None where it works or a clear error says why not"
    before = warnings.filters[:]
    try:
        with time_limit(seconds), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(call, call.arguments | replaced)
    except (ValueError, TypeError, OSError, ImportError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error}"
        if not frame.filename.startswith(PACKAGE):
            return f"not raised by misas but in {Path(frame.filename).name}:{frame.lineno}: {text[:300]}"
        if not any(names_argument(str(error), name) for name in replaced):
            return f"names none of {sorted(replaced)}: {text[:300]}"
        if len(text) > 2000:
            return f"an error of {len(text)} characters: {text[:100]}"
    except Exception as error:  # anything else is what this test looks for
        return f"{type(error).__name__}: {str(error)[:300]}"
    if warnings.filters != before:
        return "left other filters of warnings behind"
    return None
