"""misas: model interpretation through sensitivity analysis for segmentation

Made by docs/faces.py. The front door imports a module the first time that one of its names is used.
"""

from . import analysis as analysis
from . import cli as cli
from . import compat as compat
from . import core as core
from . import data as data
from . import eval as eval
from . import metrics as metrics
from . import models as models
from . import plot as plot
from . import report as report
from . import transforms as transforms
from .core.cases import (
    Case,
    READERS,
    Source,
    as_case,
    to_source,
)
from .core.checks import (
    Domain,
    progress_bar,
    same_value,
)
from .core.model import (
    ADAPTERS,
    Model,
    PlainModel,
    adapter,
    as_model,
)
from .core.packing import (
    pack_regions,
    pack_structures,
    unpack_structures,
    with_regions,
)
from .core.prompts import (
    Prompt,
    prompt_of,
)
from .core.sweeps import (
    Series,
    Step,
    get_series,
    sweep,
)
from .core.thresholds import (
    Thresholded,
    Thresholds,
)
from .core.transform import (
    Function,
    Intensity,
    Transform,
    as_transform,
    known_transforms,
)
from .core.wrapper import (
    Relabelled,
    Wrapper,
)
from .data.casefile import (
    CaseFile,
)
from .data.casetables import (
    read_cases,
)
from .data.files import (
    InvalidImageError,
    Raw,
    save_image,
    save_mask,
)
from .data.folders import (
    find_cases,
)
from .data.loading import (
    load_case,
    load_cine,
    slices_of,
)
from .data.phantoms import (
    LABELS,
    TISSUES,
    draw_tissues,
    heart_mask,
    phantom,
)
from .data.structures import (
    roi_names,
)
from .transforms.basic import (
    Brightness,
    Compose,
    Contrast,
    Crop,
    Dihedral,
    Fixed,
    Resize,
    Rotate,
    Zoom,
)
from .transforms.contract import (
    conforms,
)
from .transforms.ct import (
    CalibrationShift,
    Dose,
    QuantumNoise,
    WindowLevel,
    WindowWidth,
)
from .transforms.endoscopy import (
    Smoke,
    SpecularHighlights,
    UnevenLight,
)
from .transforms.fundus import (
    Haze,
)
from .transforms.geometry import (
    Anisotropy,
    Elastic,
    FieldOfView,
    Flip,
    Rotate3D,
    Scale,
    Shear,
    Translate,
)
from .transforms.grids import (
    AXIS_CODES,
    Reorient,
    Respace,
    axis_codes,
)
from .transforms.histology import (
    Stain,
    StainConcentration,
    StainRotation,
)
from .transforms.joint import (
    Joint,
)
from .transforms.kspace import (
    Ghosting,
    Gibbs,
    KSpaceLines,
    Motion,
    MotionShift,
    PartialFourier,
    Spike,
    SpikePosition,
    Undersampling,
    WrapAround,
)
from .transforms.mri import (
    BiasField,
    Blur,
    Gamma,
    Noise,
    RicianNoise,
    Swap,
)
from .transforms.phase import (
    ContrastPhase,
)
from .transforms.photo import (
    Corruption,
    Defocus,
    ImpulseNoise,
    JPEG,
    Lightness,
    MotionBlur,
    Pixelate,
    SEVERITIES,
    Saturation,
    ShotNoise,
    SpeckleNoise,
    common_corruptions,
)
from .transforms.projections import (
    MetalStreaks,
    Rings,
    SparseView,
)
from .transforms.prompts import (
    BoxGrowth,
    BoxJitter,
    BoxShift,
    ClickJitter,
    MissingBoxes,
    OfPrompt,
)
from .transforms.roundtrip import (
    RoundTrip,
)
from .transforms.snr import (
    FieldStrength,
    SNR,
)
from .transforms.spatial import (
    Spatial,
)
from .transforms.tissues import (
    TissueContrast,
)
from .transforms.ultrasound import (
    AcousticShadow,
    DepthGain,
    Echoes,
    UltrasoundSpeckle,
)
from .metrics.base import (
    METRICS,
    Masks,
    Metric,
    as_metrics,
    known_metric,
    measure,
    register_metric,
)
from .metrics.boundaries import (
    LabelMasks,
    boundary_iou,
    centreline_precision,
    centreline_recall,
    cldice,
    label_masks,
)
from .metrics.counts import (
    confusion,
)
from .metrics.distance import (
    Distances,
    assd,
    hausdorff,
    hd95,
    masd,
    nsd,
    surface_dice,
    surface_distances,
)
from .metrics.errors import (
    ERROR_NAMES,
    error_map,
)
from .metrics.fusion import (
    Consensus,
    majority,
    staple,
)
from .metrics.lesions import (
    Lesions,
    find_lesions,
    invented_lesions,
    lesion_f1,
    lesion_precision,
    lesion_recall,
    lesion_volume_recall,
    missed_lesions,
)
from .metrics.overlap import (
    OVERLAP,
    accuracy,
    area_difference,
    dice,
    fnr,
    fpr,
    iou,
    npv,
    precision,
    recall,
    specificity,
    volume_difference,
    volume_difference_percent,
    with_empty_truth,
)
from .models.adversarial import (
    Adversarial,
    AdversarialBias,
    Attack,
)
from .models.arrays import (
    FileModel,
    NumpyModel,
)
from .models.attacks import (
    ATTACKS,
    ATTACK_LOSSES,
)
from .models.demo import (
    UNet,
    demo_model,
)
from .models.ensemble import (
    Ensemble,
    VOTES,
)
from .models.fastai import (
    FastaiModel,
)
from .models.hub import (
    Bundle,
    BundleModel,
    PipelineModel,
    TransformersModel,
    load_bundle,
)
from .models.keras import (
    KerasModel,
)
from .models.layers import (
    layer_names,
)
from .models.loading import (
    LOADERS,
    load_model,
    model_loader,
    model_specs,
)
from .models.masking import (
    GradientCheck,
    check_gradients,
)
from .models.nnunet import (
    NNUNetModel,
    load_nnunet,
)
from .models.onnx import (
    OnnxModel,
)
from .models.orientation import (
    Oriented,
)
from .models.outputs import (
    OUTPUTS,
)
from .models.prompted import (
    PromptModel,
    PromptSAM,
)
from .models.pytorch import (
    TorchModel,
)
from .models.remote import (
    RemoteModel,
    serve,
)
from .models.sizes import (
    CropTo,
    InSize,
    PadTo,
    ResizeTo,
    Size,
)
from .models.tensorflow import (
    GraphModel,
    SavedModel,
)
from .models.windows import (
    SliceWise,
    SlidingWindow,
)
from .eval.files import (
    read_scores,
    save_scores,
)
from .eval.jobs import (
    Job,
    with_reference,
)
from .eval.scoring import (
    evaluate,
    get_confusion,
    score,
)
from .eval.table import (
    COLUMNS,
    concat_scores,
    metric_facts,
    transform_facts,
)
from .analysis.arms import (
    describe_arms,
    replicate_medians,
    with_arms,
)
from .analysis.armtests import (
    compare_arms,
)
from .analysis.augmentation import (
    AUGMENTERS,
    Augmentation,
    suggest_augmentation,
)
from .analysis.cohort import (
    SPREADS,
    rank_cases,
    spread_scores,
)
from .analysis.comparison import (
    auroc_of_mask,
    compare,
    pair_scores,
)
from .analysis.confidence import (
    agreement,
    confidence_table,
    soft_dice_confidence,
)
from .analysis.conformal import (
    conformal_threshold,
    missed_shares,
)
from .analysis.consensus import (
    can_undo,
    consensus_case,
    get_answers,
    undo,
)
from .analysis.expected import (
    expected_dice,
    fit_temperature,
)
from .analysis.explanation import (
    ExplainedStep,
    Explanation,
    activation_map,
    activation_series,
)
from .analysis.explore import (
    GRID_COLUMNS,
    Worst,
    global_sensitivity,
    grid,
    worst_case,
)
from .analysis.features import (
    FeatureMap,
    feature_map,
    feature_path,
    image_features,
)
from .analysis.floor import (
    noise_floor,
    with_floor,
)
from .analysis.groups import (
    split_by,
)
from .analysis.grouptest import (
    interaction,
)
from .analysis.guarantees import (
    guarantee,
)
from .analysis.learning import (
    evaluate_plan,
    fewest_images,
    learning_table,
    learning_tolerance,
)
from .analysis.lesionsizes import (
    lesion_table,
    recall_by_volume,
)
from .analysis.limits import (
    tolerance,
)
from .analysis.measures import (
    bootstrap_curves,
    corruption_error,
    degradation,
    local_slope,
    mean_curve,
    normalised_area,
    tolerance_interval,
    worst_score,
)
from .analysis.occlusion import (
    Occlude,
    occlusion_map,
    occlusion_series,
)
from .analysis.papertables import (
    arm_table,
    difference_table,
    table_text,
)
from .analysis.preparation import (
    INTENSITIES,
    Normalise,
    Preparation,
    PreparationAdvice,
    suggest_preparation,
)
from .analysis.probability import (
    THRESHOLDS,
    Threshold,
    auroc,
    calibration_error,
    optimal_thresholds,
    pool_reliability,
    probability_maps,
    probability_table,
    prominence,
    prominence_correlation,
    reliability,
    threshold_counts,
    threshold_scores,
)
from .analysis.referral import (
    augrc,
    aurc,
    confidence_quality,
    referral_rates,
    referral_threshold,
    risk_coverage,
)
from .analysis.sanity import (
    SanityReport,
    check_explanation,
)
from .analysis.scaling import (
    PowerLaw,
    fit_power_law,
    learning_fits,
    power_laws,
)
from .analysis.selection import (
    BestMask,
    CANDIDATES,
    arm_mask,
    best_mask,
    best_masks,
)
from .analysis.severity import (
    equal_severity,
    image_severity,
    severities,
    severity_preset,
    with_severity,
)
from .analysis.splits import (
    depletion,
    partitions,
    random_splits,
    split_balance,
    split_overlap,
)
from .analysis.summary import (
    MEASURES,
    summarise,
    verdicts,
)
from .analysis.thresholds import (
    best_thresholds,
    prominence_table,
    threshold_losses,
)
from .plot.animation import (
    gif_series,
)
from .plot.boxes import (
    plot_boxes,
)
from .plot.casefigures import (
    plot_best_mask,
    plot_cases,
)
from .plot.colours import (
    ERROR_COLOURS,
    LABEL_COLOURS,
    OKABE_ITO,
    label_colours,
)
from .plot.comparison import (
    plot_compare,
    plot_deltas,
)
from .plot.confusion import (
    plot_confusion,
    plot_confusion_series,
)
from .plot.curves import (
    plot_scores,
)
from .plot.directions import (
    direction_letters,
)
from .plot.distributions import (
    plot_histogram,
    plot_qq,
)
from .plot.explain import (
    explain_series,
    plot_activations,
    plot_explanation,
)
from .plot.explain_views import (
    gif_explanation,
    view_explanation,
)
from .plot.explore import (
    plot_grid,
    plot_sensitivity,
    plot_worst,
)
from .plot.features import (
    plot_feature_map,
)
from .plot.figures import (
    Picture,
)
from .plot.gallery import (
    plot_gallery,
)
from .plot.gridimages import (
    plot_field,
    plot_grid_images,
)
from .plot.learning import (
    plot_learning,
    plot_learning_tolerance,
    plot_plan,
)
from .plot.lesioncharts import (
    plot_recall_by_volume,
)
from .plot.live_widgets import (
    explore_live,
)
from .plot.overlays import (
    View,
    intensity_window,
    overlay,
    series_view,
)
from .plot.page import (
    save_viewer,
)
from .plot.planes import (
    plane_letters,
)
from .plot.probability import (
    plot_calibration,
    plot_prominence,
    plot_thresholds,
)
from .plot.ranked import (
    plot_ranked,
)
from .plot.series import (
    plot_frame,
    plot_series,
    plot_transform,
)
from .plot.spread import (
    plot_spread,
)
from .plot.summary import (
    plot_summary,
)
from .plot.text import (
    value_text,
)
from .plot.trust import (
    plot_confidence,
    plot_guarantee,
    plot_referral,
    plot_risk_coverage,
)
from .plot.viewer import (
    view,
)
from .plot.volumes import (
    gif_volume,
    plot_montage,
    plot_planes,
)
from .report.findings import (
    Findings,
    ReportPicture,
)
from .report.grades import (
    read_grades,
    with_grades,
)
from .report.livepage import (
    serve_live,
)
from .report.page import (
    save_report,
)
from .report.pictures import (
    make_pictures,
)
from .report.requirements import (
    Requirement,
    check_requirements,
    parse_requirement,
)
from .report.sections import (
    known_sections,
    remove_section,
    section,
)
from .report.starting import (
    init_study,
)
from .report.studies import (
    run_study,
    study,
)
from .report.studyfile import (
    StudyFile,
    read_study_file,
    write_study_file,
)
from .report.worst import (
    worst_cases,
)

__version__: str
__all__ = [
    "ADAPTERS",
    "ATTACKS",
    "ATTACK_LOSSES",
    "AUGMENTERS",
    "AXIS_CODES",
    "AcousticShadow",
    "Adversarial",
    "AdversarialBias",
    "Anisotropy",
    "Attack",
    "Augmentation",
    "BestMask",
    "BiasField",
    "Blur",
    "BoxGrowth",
    "BoxJitter",
    "BoxShift",
    "Brightness",
    "Bundle",
    "BundleModel",
    "CANDIDATES",
    "COLUMNS",
    "CalibrationShift",
    "Case",
    "CaseFile",
    "ClickJitter",
    "Compose",
    "Consensus",
    "Contrast",
    "ContrastPhase",
    "Corruption",
    "Crop",
    "CropTo",
    "Defocus",
    "DepthGain",
    "Dihedral",
    "Distances",
    "Domain",
    "Dose",
    "ERROR_COLOURS",
    "ERROR_NAMES",
    "Echoes",
    "Elastic",
    "Ensemble",
    "ExplainedStep",
    "Explanation",
    "FastaiModel",
    "FeatureMap",
    "FieldOfView",
    "FieldStrength",
    "FileModel",
    "Findings",
    "Fixed",
    "Flip",
    "Function",
    "GRID_COLUMNS",
    "Gamma",
    "Ghosting",
    "Gibbs",
    "GradientCheck",
    "GraphModel",
    "Haze",
    "INTENSITIES",
    "ImpulseNoise",
    "InSize",
    "Intensity",
    "InvalidImageError",
    "JPEG",
    "Job",
    "Joint",
    "KSpaceLines",
    "KerasModel",
    "LABELS",
    "LABEL_COLOURS",
    "LOADERS",
    "LabelMasks",
    "Lesions",
    "Lightness",
    "MEASURES",
    "METRICS",
    "Masks",
    "MetalStreaks",
    "Metric",
    "MissingBoxes",
    "Model",
    "Motion",
    "MotionBlur",
    "MotionShift",
    "NNUNetModel",
    "Noise",
    "Normalise",
    "NumpyModel",
    "OKABE_ITO",
    "OUTPUTS",
    "OVERLAP",
    "Occlude",
    "OfPrompt",
    "OnnxModel",
    "Oriented",
    "PadTo",
    "PartialFourier",
    "Picture",
    "PipelineModel",
    "Pixelate",
    "PlainModel",
    "PowerLaw",
    "Preparation",
    "PreparationAdvice",
    "Prompt",
    "PromptModel",
    "PromptSAM",
    "QuantumNoise",
    "READERS",
    "Raw",
    "Relabelled",
    "RemoteModel",
    "Reorient",
    "ReportPicture",
    "Requirement",
    "Resize",
    "ResizeTo",
    "Respace",
    "RicianNoise",
    "Rings",
    "Rotate",
    "Rotate3D",
    "RoundTrip",
    "SEVERITIES",
    "SNR",
    "SPREADS",
    "SanityReport",
    "Saturation",
    "SavedModel",
    "Scale",
    "Series",
    "Shear",
    "ShotNoise",
    "Size",
    "SliceWise",
    "SlidingWindow",
    "Smoke",
    "Source",
    "SparseView",
    "Spatial",
    "SpeckleNoise",
    "SpecularHighlights",
    "Spike",
    "SpikePosition",
    "Stain",
    "StainConcentration",
    "StainRotation",
    "Step",
    "StudyFile",
    "Swap",
    "THRESHOLDS",
    "TISSUES",
    "Threshold",
    "Thresholded",
    "Thresholds",
    "TissueContrast",
    "TorchModel",
    "Transform",
    "TransformersModel",
    "Translate",
    "UNet",
    "UltrasoundSpeckle",
    "Undersampling",
    "UnevenLight",
    "VOTES",
    "View",
    "WindowLevel",
    "WindowWidth",
    "Worst",
    "WrapAround",
    "Wrapper",
    "Zoom",
    "accuracy",
    "activation_map",
    "activation_series",
    "adapter",
    "agreement",
    "area_difference",
    "arm_mask",
    "arm_table",
    "as_case",
    "as_metrics",
    "as_model",
    "as_transform",
    "assd",
    "augrc",
    "aurc",
    "auroc",
    "auroc_of_mask",
    "axis_codes",
    "best_mask",
    "best_masks",
    "best_thresholds",
    "bootstrap_curves",
    "boundary_iou",
    "calibration_error",
    "can_undo",
    "centreline_precision",
    "centreline_recall",
    "check_explanation",
    "check_gradients",
    "check_requirements",
    "cldice",
    "common_corruptions",
    "compare",
    "compare_arms",
    "concat_scores",
    "confidence_quality",
    "confidence_table",
    "conformal_threshold",
    "conforms",
    "confusion",
    "consensus_case",
    "corruption_error",
    "degradation",
    "demo_model",
    "depletion",
    "describe_arms",
    "dice",
    "difference_table",
    "direction_letters",
    "draw_tissues",
    "equal_severity",
    "error_map",
    "evaluate",
    "evaluate_plan",
    "expected_dice",
    "explain_series",
    "explore_live",
    "feature_map",
    "feature_path",
    "fewest_images",
    "find_cases",
    "find_lesions",
    "fit_power_law",
    "fit_temperature",
    "fnr",
    "fpr",
    "get_answers",
    "get_confusion",
    "get_series",
    "gif_explanation",
    "gif_series",
    "gif_volume",
    "global_sensitivity",
    "grid",
    "guarantee",
    "hausdorff",
    "hd95",
    "heart_mask",
    "image_features",
    "image_severity",
    "init_study",
    "intensity_window",
    "interaction",
    "invented_lesions",
    "iou",
    "known_metric",
    "known_sections",
    "known_transforms",
    "label_colours",
    "label_masks",
    "layer_names",
    "learning_fits",
    "learning_table",
    "learning_tolerance",
    "lesion_f1",
    "lesion_precision",
    "lesion_recall",
    "lesion_table",
    "lesion_volume_recall",
    "load_bundle",
    "load_case",
    "load_cine",
    "load_model",
    "load_nnunet",
    "local_slope",
    "majority",
    "make_pictures",
    "masd",
    "mean_curve",
    "measure",
    "metric_facts",
    "missed_lesions",
    "missed_shares",
    "model_loader",
    "model_specs",
    "noise_floor",
    "normalised_area",
    "npv",
    "nsd",
    "occlusion_map",
    "occlusion_series",
    "optimal_thresholds",
    "overlay",
    "pack_regions",
    "pack_structures",
    "pair_scores",
    "parse_requirement",
    "partitions",
    "phantom",
    "plane_letters",
    "plot_activations",
    "plot_best_mask",
    "plot_boxes",
    "plot_calibration",
    "plot_cases",
    "plot_compare",
    "plot_confidence",
    "plot_confusion",
    "plot_confusion_series",
    "plot_deltas",
    "plot_explanation",
    "plot_feature_map",
    "plot_field",
    "plot_frame",
    "plot_gallery",
    "plot_grid",
    "plot_grid_images",
    "plot_guarantee",
    "plot_histogram",
    "plot_learning",
    "plot_learning_tolerance",
    "plot_montage",
    "plot_plan",
    "plot_planes",
    "plot_prominence",
    "plot_qq",
    "plot_ranked",
    "plot_recall_by_volume",
    "plot_referral",
    "plot_risk_coverage",
    "plot_scores",
    "plot_sensitivity",
    "plot_series",
    "plot_spread",
    "plot_summary",
    "plot_thresholds",
    "plot_transform",
    "plot_worst",
    "pool_reliability",
    "power_laws",
    "precision",
    "probability_maps",
    "probability_table",
    "progress_bar",
    "prominence",
    "prominence_correlation",
    "prominence_table",
    "prompt_of",
    "random_splits",
    "rank_cases",
    "read_cases",
    "read_grades",
    "read_scores",
    "read_study_file",
    "recall",
    "recall_by_volume",
    "referral_rates",
    "referral_threshold",
    "register_metric",
    "reliability",
    "remove_section",
    "replicate_medians",
    "risk_coverage",
    "roi_names",
    "run_study",
    "same_value",
    "save_image",
    "save_mask",
    "save_report",
    "save_scores",
    "save_viewer",
    "score",
    "section",
    "series_view",
    "serve",
    "serve_live",
    "severities",
    "severity_preset",
    "slices_of",
    "soft_dice_confidence",
    "specificity",
    "split_balance",
    "split_by",
    "split_overlap",
    "spread_scores",
    "staple",
    "study",
    "suggest_augmentation",
    "suggest_preparation",
    "summarise",
    "surface_dice",
    "surface_distances",
    "sweep",
    "table_text",
    "threshold_counts",
    "threshold_losses",
    "threshold_scores",
    "to_source",
    "tolerance",
    "tolerance_interval",
    "transform_facts",
    "undo",
    "unpack_structures",
    "value_text",
    "verdicts",
    "view",
    "view_explanation",
    "volume_difference",
    "volume_difference_percent",
    "with_arms",
    "with_empty_truth",
    "with_floor",
    "with_grades",
    "with_reference",
    "with_regions",
    "with_severity",
    "worst_case",
    "worst_cases",
    "worst_score",
    "write_study_file",
]
