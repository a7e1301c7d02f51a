"Augmentations: which are needed, and that torchio does the same with the same numbers"

import io

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
import torch
import torchio as tio

from misas.analysis.augmentation import _affine, _degrees, _Need, _orientation, _own_fields, suggest_augmentation
from misas.analysis.summary import summarise
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.transforms.basic import Brightness, Compose, Dihedral, Rotate, Zoom
from misas.transforms.geometry import Anisotropy, Elastic, Flip, Scale, Translate
from misas.transforms.kspace import Ghosting, Motion, MotionShift, Spike, SpikePosition, WrapAround
from misas.transforms.mri import BiasField, Blur, Gamma, Noise
from misas.transforms.spatial import Spatial

VOLUME = phantom((24, 48, 48), seed=1, noise=0).replace(spacing=(1.0,) * 3)
FLAT = phantom((64, 64), seed=3, noise=0).replace(spacing=(1.0, 1.0))


def to_tio(image, spacing=(1, 1, 1)):
    "An image `(C, *S)` in torchio's order of axes"
    tensor = image.permute(0, *range(image.ndim - 1, 0, -1))
    if image.ndim == 3:
        tensor = tensor[..., None]
    mm = [*(1, *spacing)[-3:][::-1], 1]
    return tio.ScalarImage(tensor=tensor, affine=np.diag(mm))


def from_tio(image, ndim):
    return image.data.permute(0, 3, 2, 1) if ndim == 3 else image.data[..., 0].permute(0, 2, 1)


def alike(a, b):
    "Equal away from the border, which torchio fills with the minimum"
    inner = (..., *[slice(8, -8)] * (a.ndim - 1))
    return (a - b)[inner].abs().max() < 1e-4


def need(transform, low, high=None):
    return _Need(str(transform), transform.name, _own_fields(transform), low, low if high is None else high)


def through_torchio(needs, case, ndim=None):
    return from_tio(_affine(needs, 1, ndim)(to_tio(case.image)), case.ndim)


def moved(case, axis, shift):
    matrix = np.column_stack([np.eye(case.ndim), shift * np.eye(case.ndim)[axis]])
    return Spatial(fill=0.0).warp(case, matrix).image


@pytest.mark.parametrize("axes", [(-2, -1), (-1, -2), (0, 1), (0, 2), (2, 0)], ids=str)
def test_rotation_about_each_axis(axes):
    turn = tio.RandomAffine(scales=0, degrees=_degrees(20, 20, 3, axes))
    ours = Rotate(axes=axes, fill=0.0)(VOLUME, 20).image
    assert alike(from_tio(turn(to_tio(VOLUME.image)), 3), ours)


def test_rotation_and_zoom_in_one_go():
    theirs = through_torchio([need(Rotate(), 30), need(Zoom(), 1.5)], FLAT)
    assert alike(theirs, Compose(Rotate(), Zoom())(FLAT, (30, 1.5)).image)
    assert alike(through_torchio([need(Zoom(), 1.5)], FLAT), Zoom()(FLAT, 1.5).image)


def test_axes_of_a_picture_counted_from_the_front_are_rows_and_columns():
    assert alike(through_torchio([need(Rotate(axes=(0, 1)), 30)], FLAT, 2), Rotate()(FLAT, 30).image)


@pytest.mark.parametrize("case, axis", [(c, a) for c in (VOLUME, FLAT) for a in range(-c.ndim, c.ndim)])
def test_translation_along_each_axis(case, axis):
    assert alike(through_torchio([need(Translate(axis=axis), 3)], case, case.ndim), moved(case, axis, 3))


def test_axis_counted_from_the_front_needs_the_number_of_axes():
    with pytest.raises(ValueError, match="ndim must be 2 or 3"):
        _affine([need(Translate(axis=0), 3)], 1, None)


@pytest.mark.parametrize("k", range(1, 8))
def test_orientations(k):
    assert alike(from_tio(_orientation(k)(to_tio(FLAT.image)), 2), Dihedral()(FLAT, k).image)


@pytest.mark.parametrize(
    "transform, fields",
    [
        (BiasField(order=2), dict(order=2)),
        (Spike(position=(0.1, 0.5)), dict(position=(0.1, 0.5))),
        (Zoom(), {}),
    ],
    ids=str,
)
def test_fields_that_are_not_the_defaults(transform, fields):
    assert _own_fields(transform) == fields


@pytest.fixture(scope="module")
def scores():
    cases = [phantom((96, 96), seed=k) for k in range(2)]
    values = dict(
        rotation=[-90, -45, -15, 0, 30, 60],
        zoom=[0.5, 0.7, 1, 1.4],
        brightness=[0.25, 1, 4],
        spike=[0, 0.5, 1],
        biasfield=[-0.01, 0, 0.01],
        dihedral=range(8),
    )
    transforms = [Rotate(), Zoom(), Brightness(), Spike(), BiasField(), Dihedral()]
    labels = {1: "LV", 2: "MY", 3: "RV"}
    return evaluate(demo_model(), cases, transforms, values=values, labels=labels, progress=False)


@pytest.fixture(scope="module")
def summary(scores):
    return summarise(scores, delta=0.02, resamples=0)


@pytest.fixture(scope="module")
def advice(summary):
    return suggest_augmentation(summary, limits=dict(rotation=(-45, 45)))


def test_what_is_not_tolerated_is_trained_over_the_range_tried(advice):
    told = advice.numbers.set_index("transform")
    assert told.loc["rotation", ["low", "high"]].tolist() == [-45, 45]
    assert told.loc["zoom", ["low", "high"]].tolist() == [0.5, 1.4]
    assert not told.needed["biasfield"] and np.isnan(told.low["biasfield"])
    by = told.by.to_dict() | dict(dihedral="")
    assert by == dict(
        rotation="RandomAffine",
        zoom="RandomAffine",
        brightness="no torchio augmentation known",
        spike="RandomSpike",
        biasfield="",
        dihedral="",
    )


def test_torchio_transform_has_these_numbers_and_runs(advice):
    affine = advice.compose.transforms[0]
    assert affine.degrees[4:] == (-45, 45) and tuple(affine.scales[:2]) == (0.5, 1.4)
    assert advice.compose(picture()).image.shape == (1, 96, 96, 1)


def picture():
    case = phantom((96, 96), seed=0)
    return tio.Subject(image=to_tio(case.image), truth=tio.LabelMap(tensor=case.truth.T[None, ..., None]))


def test_tolerant_model_needs_nothing(scores):
    tolerant = suggest_augmentation(summarise(scores.assign(score=0.9)))
    assert not tolerant.numbers.needed.any() and len(tolerant.compose.transforms) == 0


def test_nothing_is_said_where_no_value_is_neutral(summary):
    assert suggest_augmentation(summary.assign(drop=np.nan)).numbers.needed.isna().all()


def test_summary_from_a_file(summary):
    failed = ["1, 4, 6" if c else "" for c in summary.categorical]
    text = summary.assign(drop=1.0, failed=failed).to_csv(index=False)
    everything = suggest_augmentation(pd.read_csv(io.StringIO(text)))
    assert everything.numbers.needed.all()
    kinds = {type(t).__name__ for t in everything.compose.transforms}
    assert kinds == {"RandomAffine", "RandomSpike", "RandomBiasField", "OneOf"}
    assert everything.compose(picture()).image.data.isfinite().all()


@pytest.mark.parametrize(
    "bad, word",
    [
        (dict(limits=dict(rotatoin=(0, 1))), "did you mean 'rotation'"),
        (dict(limits=dict(rotation=(1, 0))), "low <= high"),
        (dict(p=2), "p must be a number >= 0 and <= 1, got 2"),
        (dict(ndim=4), "ndim must be one of None, 2, 3, got 4"),
    ],
    ids=str,
)
def test_bad_arguments(bad, word, summary):
    with pytest.raises(ValueError, match=word):
        suggest_augmentation(**dict(summary=summary) | bad)


def test_summary_of_two_models_is_an_error(summary):
    with pytest.raises(ValueError, match="2 models"):
        suggest_augmentation(pd.concat([summary, summary.assign(model="b")]))


def made(rows, summary):
    "A summary in which nothing is tolerated; rows: {transform or its name: (low, high), or the values that failed}"
    parts = []
    for transform, r in rows.items():
        named = isinstance(r, str)
        low, high = (np.nan, np.nan) if named else r
        row = dict(transform=str(transform), tried_low=low, tried_high=high, failed=r if named else "")
        parts.append(summary.iloc[0].to_dict() | dict(drop=1.0, param="", unit="", categorical=named) | row)
    return pd.DataFrame(parts)


def suggested(rows, summary, **options):
    transforms = [t for t in rows if not isinstance(t, str)]
    return suggest_augmentation(made(rows, summary), transforms=transforms, **options)


KNOWN = {
    "translation": (-9, 9),
    Translate(axis=-2): (0, 5),
    Scale(axes=(-1, -2)): (0.5, 2),
    "flip": "1",
    Elastic(points=(8, 6)): (0, 0.02),
    Anisotropy(axis=-2): (1, 4),
    "blur": (0, 2),
    "noise": (0, 0.25),
    "gamma": (0.5, 2),
    Ghosting(num_ghosts=3): (0, 1),
    Motion(times=(0.3,)): (0, 9),
    MotionShift(): (0, 9),
}
UNKNOWN = {
    WrapAround(): (0, 0.4),
    "jpeg": (7, 25),
    SpikePosition(): (0.1, 0.9),
    Compose(Translate(axis=0), Zoom()): (0, 1),
    "scales": "z-score",
}
VOLUMES = {
    "scale": (0.5, 2),
    "anisotropy": (1, 4),
    Flip(axis=0): "1",
    Rotate(axes=(0, 2)): (0, 9),
    "elastic": (0, 1),
}


def test_what_torchio_has_is_in_compose_and_the_rest_in_the_table(summary):
    full = suggested(KNOWN | UNKNOWN, summary, p=1)
    names = ["RandomAffine"] * 3 + ["RandomFlip", "RandomElasticDeformation", "RandomAnisotropy", "RandomBlur"]
    names += ["RandomNoise", "RandomGamma", "RandomGhosting", "RandomMotion", "RandomMotion"]
    assert full.numbers.by.tolist() == names + ["no torchio augmentation known"] * 5
    assert len(full.compose.transforms) == 11


def test_axes_of_volumes_are_those_of_torchio(summary):
    pieces = suggested(VOLUMES, summary, ndim=3).compose.transforms
    assert pieces[1].scales == (1, 1, 1, 1, 0.5, 2)
    assert pieces[2].axes == (2,) == pieces[4].axes


@pytest.mark.parametrize("kind", ["picture", "volume", "volume, axes from the front"])
def test_each_piece_runs(kind, summary):
    if kind == "picture":
        subject, advised = tio.Subject(image=to_tio(FLAT.image)), suggested(KNOWN | UNKNOWN, summary, p=1)
    else:
        rows, ndim = (VOLUMES, 3) if kind.endswith("front") else (KNOWN | UNKNOWN, None)
        truth = tio.LabelMap(tensor=VOLUME.truth.permute(2, 1, 0)[None])
        subject = tio.Subject(image=to_tio(VOLUME.image, VOLUME.spacing), truth=truth)
        advised = suggested(rows, summary, p=1, ndim=ndim)
    for piece in advised.compose.transforms:
        image = piece(subject).image
        assert image.data.isfinite().all() and image.shape == subject.image.shape, piece


def test_family_that_counts_from_the_front_needs_the_number_of_axes(summary):
    with pytest.raises(ValueError, match="ndim must be 2 or 3"):
        suggested({"anisotropy": (1, 4)}, summary)


def test_fields_are_not_read_off_a_name(summary):
    rows = made({BiasField(order=2): (-0.1, 0.1)}, summary)
    with pytest.raises(ValueError, match=r"transforms must have biasfield\(order=2\)"):
        suggest_augmentation(rows)
    (piece,) = suggest_augmentation(rows, transforms=BiasField(order=2)).compose.transforms
    assert piece.order == 2
    assert not suggest_augmentation(rows.assign(drop=0.0)).numbers.needed.any()  # tolerated: its fields do not matter


# images from 0 to 1 whose pixels are not square
UNEVEN = [
    case.replace(image=case.image / case.image.max(), spacing=spacing)
    for case, spacing in ((FLAT, (2.0, 1.5)), (VOLUME, (3.0, 2.0, 1.5)))
]


def done(transform, value, case, summary, ndim=None):
    "The image, changed by torchio with a fixed value; None: the mirrored one"
    rows = {transform: "1" if value is None else (value, value)}
    (piece,) = suggested(rows, summary, p=1, ndim=ndim).compose.transforms
    return from_tio(piece(to_tio(case.image, case.spacing)), case.ndim)


def ghosts(case, lines, intensity):
    "Every so many rows of k-space, weaker; the centre is measured as it is"
    kspace, rows = torch.fft.fft(case.image, dim=-2), torch.arange(case.shape[-2])
    weaker = ((rows % lines == 0) & (rows > 0)).float()
    return torch.fft.ifft(kspace * (1 - intensity * weaker)[:, None], dim=-2).real


@pytest.mark.parametrize("case", UNEVEN, ids=["2D", "3D"])
def test_intensities_are_changed_by_the_same_numbers(case, summary):
    blurred = scipy.ndimage.gaussian_filter(case.image[0], [2 / s for s in case.spacing])
    assert np.allclose(done(Blur(), 2, case, summary), blurred, atol=1e-5)
    assert torch.allclose(done(Gamma(), 1.7, case, summary), case.image**1.7, atol=1e-5)
    assert abs((done(Noise(), 0.2, case, summary) - case.image).std() - 0.2) < 0.01
    assert torch.allclose(done(Ghosting(), 0.7, case, summary), ghosts(case, 4, 0.7), atol=1e-4)


@pytest.mark.parametrize("case, axis", [(c, a) for c in UNEVEN for a in range(-c.ndim, c.ndim)])
def test_anatomy_is_moved_by_the_same_numbers(case, axis, summary):
    n = case.ndim
    flipped = case.image.flip(axis + 1 if axis >= 0 else axis)
    assert torch.equal(done(Flip(axis=axis), None, case, summary, n), flipped)
    assert alike(done(Translate(axis=axis), 3, case, summary, n), moved(case, axis, 3))
    factors = [1.3 if a == axis % n else 1 for a in range(n)]
    scaled = Spatial(fill=0.0).warp(case, np.diag(factors)).image
    assert alike(done(Scale(axes=(axis,)), 1.3, case, summary, n), scaled)


@pytest.mark.parametrize("transform, axis", [(Anisotropy(), 1), (Anisotropy(axis=1), 2), (Anisotropy(axis=-1), 3)])
def test_slices_are_as_thick_along_the_axis(transform, axis, summary):
    volume = UNEVEN[1]
    bends = done(transform, 4, volume, summary, 3).diff(n=2, dim=axis).abs()
    bends = bends.amax([a for a in range(4) if a != axis]) > 1e-4
    # straight lines between every fourth slice, which lies between two pixels
    assert 0 < bends.sum() <= volume.shape[axis - 1] // 2
