"Artefacts in k-space: what they do to known images, and beside torchio, MONAI and scipy"

import math

import numpy as np
import pytest
import scipy.signal
import scipy.special
import torch
import torchio

from misas.core.cases import Case
from misas.data.phantoms import phantom
from misas.transforms.kspace import (
    Ghosting,
    Gibbs,
    Motion,
    MotionShift,
    PartialFourier,
    Spike,
    SpikePosition,
    Undersampling,
    WrapAround,
    _axis_from_end,
    _frequency_at,
    _image_of_lines,
    _kspace_maximum,
    _line_frequencies,
    _plane_wave,
    black_level,
)

HEART = phantom((128, 128), seed=3)
VOLUME = phantom((6, 64, 48), seed=1)


def above_black(case, image=None):
    "Signal, 0 where it is black"
    return (case.image if image is None else image) - black_level(case.image, case)


# Spikes


def test_one_bright_point_of_kspace_is_one_wave():
    kspace = np.zeros((8, 9), complex)
    kspace[6, 1] = 72
    wave = np.fft.ifftn(np.fft.ifftshift(kspace)).real
    assert np.allclose(_plane_wave((6 - 4, 1 - 4), (8, 9)), wave, atol=1e-6)


def test_positions_of_kspace():
    assert _frequency_at((0.5, 0.5), (8, 9)) == (0, 0)
    assert _frequency_at((0, 1), (8, 9)) == (-4, 4)


@pytest.mark.parametrize("image", [torch.rand(2, 8, 9), torch.rand(2, 5, 4, 3) - 0.5], ids=["positive", "signed"])
def test_largest_of_kspace(image):
    theirs = torch.fft.fftn(image, dim=list(range(1, image.ndim))).abs().flatten(1).amax(1)
    assert torch.allclose(_kspace_maximum(image), theirs, rtol=1e-5)


def torchio_spikes(image, positions, intensity):
    "`(C, *S)` with `S` of three axes"
    spikes = torchio.Spike({"t1": np.array(positions)}, {"t1": intensity})
    return torch.stack([spikes.add_artifact(c, np.array(positions), intensity) for c in image])


SPIKES = [  # shape, positions
    ((2, 9, 12), [(0.2, 0.9)]),
    ((1, 16, 16), [(0.45, 0.55), (0, 0.99)]),
    ((1, 5, 8, 7), [(0.1, 0.3, 0.8)]),
    ((2, 4, 8, 7), [(0.5, 0.3, 0.8), (0, 0, 0)]),
]


@pytest.mark.parametrize("draw", [torch.rand, torch.randn], ids=["positive", "signed"])
@pytest.mark.parametrize("shape,positions", SPIKES, ids=str)
def test_spikes_are_torchios(shape, positions, draw):
    if draw is torch.randn and len(positions) > 1:
        pytest.skip("torchio measures a second spike against the first")
    image = draw(shape)
    position = positions[0] if len(positions) == 1 else tuple(positions)
    ours = Spike(position=position)(Case(image), 0.7).image
    as_volume = image.reshape(shape[0], -1, *shape[-2:])
    full = [(0,) * (3 - len(p)) + p for p in positions]
    theirs = torchio_spikes(as_volume, full, 0.7).reshape(shape)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_positions_of_spikes_are_in_kspace():
    with pytest.raises(ValueError, match=r"position must be numbers from 0 to 1 .*, got \(0.5, 1.2\)"):
        Spike(position=(0.5, 1.2))
    with pytest.raises(ValueError, match="position must be numbers from 0 to 1 for each of at most 2 axes"):
        Spike(position=(0.1, 0.2, 0.3))(HEART, 1)


def test_spike_position_is_a_spike():
    moved = SpikePosition(0.7, across=0.3)(HEART, 0.2)
    assert torch.equal(moved.image, Spike(position=(0.3, 0.2))(HEART, 0.7).image)
    along_rows = SpikePosition(axis=-2)(VOLUME, 0.2)
    assert torch.equal(along_rows.image, Spike(position=(0.5, 0.2, 0.5))(VOLUME, 0.5).image)


@pytest.mark.parametrize("position", [-0.1, 1.1])
def test_spike_position_is_in_kspace(position):
    message = f"position of spike-position must be a number >= 0 and <= 1, got {position}"
    with pytest.raises(ValueError, match=message):
        SpikePosition()(HEART, position)


@pytest.mark.parametrize("bad", [dict(axis=0), dict(across=2), dict(intensity=-1)], ids=str)
def test_arguments_of_spike_position(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        SpikePosition(**bad)


# Lines


@pytest.mark.parametrize("shape,axis", [((2, 8, 9), -1), ((2, 8, 9), -2), ((1, 5, 6, 7), -3)], ids=str)
def test_weighted_lines_of_several_images(shape, axis):
    x = torch.rand(shape) * 9 - 4
    f = _line_frequencies(x, axis)
    black = black_level(x, Case(x))
    assert torch.allclose(_image_of_lines([(x, torch.ones(len(f)))], axis, black), x, atol=1e-5)  # all lines
    mean = _image_of_lines([(x, (f == 0).float())], axis, black)  # the central line
    assert torch.allclose(mean, x.mean(axis, keepdim=True).expand(shape), atol=1e-5)
    parts = [(x, (f % 2).float()), (2 * x, (f % 2 == 0).float())]
    two = _image_of_lines(parts, axis, torch.zeros(len(x), *[1] * (x.ndim - 1)))
    weights = np.fft.ifftshift(np.where(f % 2, 1, 2)).reshape(-1, *[1] * (-1 - axis))
    theirs = np.abs(np.fft.ifft(np.fft.fft(x, axis=axis) * weights, axis=axis))
    assert np.allclose(two, theirs, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_half_of_kspace_says_what_all_of_it_does(n):
    "For any weights, not only for those that are the same at both sides of the centre"
    generator = torch.Generator().manual_seed(n)
    x, weights = torch.rand(2, 2, 5, n, 6, generator=generator), torch.randn(2, n, generator=generator)
    black = torch.full((2, 1, 1, 1), -0.5)
    ours = _image_of_lines(list(zip(x, weights)), -2, black)
    columns = np.fft.ifftshift(weights.numpy(), axes=1)[:, None, None, :, None]
    kspace = (np.fft.fft((x - black).double().numpy(), axis=-2) * columns).sum(0)
    assert np.allclose(ours, np.abs(np.fft.ifft(kspace, axis=-2)) - 0.5, atol=2e-6)


def test_axes_are_counted_from_the_end():
    assert _axis_from_end(0, 2) == -2 and _axis_from_end(0, 3) == -3 and _axis_from_end(-1, 3) == -1


def test_axis_from_the_front_and_from_the_back_are_the_same():
    for case in (HEART, VOLUME):
        for axis in range(case.ndim):
            assert torch.equal(Gibbs(axis)(case, 0.5).image, Gibbs(axis - case.ndim)(case, 0.5).image)
    assert torch.equal(WrapAround(axis=0)(HEART, 0.2).truth, WrapAround()(HEART, 0.2).truth)
    assert torch.equal(WrapAround(axis=0)(VOLUME, 0.4).image, WrapAround(axis=-3)(VOLUME, 0.4).image)
    assert torch.equal(Motion(0, 0.3)(VOLUME, 5).image, Motion(-3, (0.3,))(VOLUME, 5).image)
    assert torch.equal(MotionShift(1, along=0)(HEART, 5).image, MotionShift(-1, along=-2)(HEART, 5).image)


PICTURE_HAS_NOT = [Gibbs(2), Gibbs(-3), Undersampling(axis=-3), WrapAround(axis=-3)]


@pytest.mark.parametrize("transform", PICTURE_HAS_NOT, ids=repr)
def test_axis_that_a_picture_has_not(transform):
    with pytest.raises(ValueError, match=f"axis must be a spatial axis from -2 to 1, got {transform.axis}"):
        transform(HEART, 0.5 if "kept" in transform.param else transform.values[2])


# Gibbs ringing


@pytest.mark.parametrize("kept", [1 / 8, 1 / 32])
def test_edge_overshoots_by_nine_percent(kept):
    rising = (torch.arange(4096) >= 2048).float()
    edge = Case(rising.reshape(1, -1, 1).expand(1, -1, 2), scale=(0, 1))
    ringing = Gibbs()(edge, kept).image[0, 2048 : 2048 + 1024, 0]
    overshoot = scipy.special.sici(math.pi)[0] / math.pi - 0.5
    assert abs(ringing.max() - 1 - overshoot) < 0.002
    assert abs(ringing.argmax() + 0.5 - 1 / kept) < 1


@pytest.mark.parametrize("n", [7, 8])
def test_gibbs_leaves_outer_lines_out(n):
    x = torch.rand(1, n, 5) + 9
    lines = np.fft.fft(x, axis=1)
    lines[:, np.abs(np.fft.fftfreq(n)) > 0.6 / 2] = 0
    assert np.allclose(Gibbs()(Case(x), 0.6).image, np.fft.ifft(lines, axis=1).real, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.4, 0.6, 0.9])
def test_gibbs_is_monais_along_one_axis(alpha):
    monai = pytest.importorskip("monai.transforms")
    image = torch.rand(2, 61, 1) + 9
    theirs = np.asarray(monai.GibbsNoise(alpha)(image))
    assert np.allclose(Gibbs()(Case(image), (1 - alpha) * 2**0.5).image, theirs, atol=1e-4)


@pytest.mark.parametrize("kept", [0, 1.1])
def test_kept_is_a_fraction(kept):
    with pytest.raises(ValueError, match=f"kept of gibbs must be a number > 0 and <= 1, got {kept}"):
        Gibbs()(HEART, kept)


# Undersampling


@pytest.mark.parametrize(
    "case,axis",
    [(HEART, -1), (HEART, -2), (VOLUME, -2), (VOLUME, -3), (Case(torch.randn(3, 8, 12)), -1)],
    ids=["columns", "rows", "rows of a volume", "slices", "signed"],
)
def test_every_second_line_lays_two_copies_over_each_other(case, axis):
    above = above_black(case)
    copies = sum(above.roll(k * above.shape[axis] // 2, axis) for k in (0, 1)) / 2
    folded = Undersampling(axis, centre=0)(case, 2).image
    assert torch.allclose(above_black(case, folded), copies, atol=1e-5)


def test_every_fourth_line_lays_four_copies_over_each_other():
    four = sum(HEART.image.roll(32 * k, 1) for k in range(4)) / 4
    assert torch.allclose(Undersampling(centre=0)(HEART, 4).image, four, atol=1e-6)


LINES = torch.arange(200) - 100


@pytest.mark.parametrize("acceleration", [2, 3, 4, 8])
def test_random_lines(acceleration):
    lines = Undersampling(seed=3).weights(LINES, acceleration)
    assert lines.sum() == 200 // acceleration + (acceleration == 3)
    assert lines[92:109].all()  # 17 central lines
    assert (lines <= Undersampling(seed=3).weights(LINES, acceleration - 1)).all()  # taken away, not moved
    assert not torch.equal(lines, Undersampling(seed=4).weights(LINES, acceleration))


def test_central_lines_are_always_measured():
    assert Undersampling(seed=3).weights(LINES, 50).sum() == 17
    assert Undersampling(centre=0, seed=1).weights(LINES, 200).nonzero().tolist() == [[100]]


@pytest.mark.parametrize("bad", [dict(axis=3), dict(axis=-4), dict(axis=0.5), dict(centre=2), dict(seed=-1)], ids=str)
def test_arguments_of_undersampling(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        Undersampling(**bad)


# Partial Fourier


@pytest.mark.parametrize("shape", [(1, 9, 4), (2, 33, 5)], ids=str)
def test_half_of_kspace_is_the_analytic_signal(shape):
    x = torch.rand(shape)
    analytic = scipy.signal.hilbert(x.numpy(), axis=1)
    expected = np.abs(analytic + x.numpy().mean(1, keepdims=True)) / 2
    assert np.allclose(PartialFourier()(Case(x), 0.5).image, expected, atol=1e-6)


@pytest.mark.parametrize("n", [8, 9, 10])
@pytest.mark.parametrize("kept", [0.5, 0.6, 0.7, 1])
def test_partial_fourier_measures_from_one_end(n, kept):
    weights = PartialFourier().weights(torch.arange(n) - n // 2, kept).flip(0).tolist()
    count = math.ceil(n * kept - 1e-9)
    assert weights == [1] * count + [0] * (n - count)


def test_partial_fourier_needs_half():
    with pytest.raises(ValueError, match="kept of partial-fourier must be a number >= 0.5 and <= 1, got 0.4"):
        PartialFourier()(HEART, 0.4)


# Ghosting


GHOSTS = [  # case, axis, number of ghosts
    (HEART, -2, 4),
    (HEART, -1, 2),
    (VOLUME, -2, 8),
    (VOLUME, -3, 2),
    (Case(torch.randn(3, 9, 4), scale=(-9, 9)), -2, 3),
]


@pytest.mark.parametrize("intensity", [0.4, 1])
@pytest.mark.parametrize("case,axis,n", GHOSTS, ids=[f"{c.name}{a}x{n}" for c, a, n in GHOSTS])
def test_ghosts_are_copies(case, axis, n, intensity):
    above = above_black(case)
    size = above.shape[axis]
    copies = sum(above.roll(j * size // n, axis) for j in range(n))
    expected = above - intensity / n * copies + intensity * above.mean(axis, keepdim=True)
    ghosts = above_black(case, Ghosting(axis, num_ghosts=n)(case, intensity).image)
    assert torch.allclose(ghosts, expected.abs(), atol=1e-4)
    if size // 2 % n:
        return  # torchio counts lines from the edge
    as_volume = above.reshape(len(above), -1, *above.shape[-2:])
    theirs = torchio.Ghosting(num_ghosts=n, axis=3 + axis, intensity=intensity, restore=None)(as_volume)
    assert torch.allclose(ghosts, theirs.reshape(above.shape).abs(), atol=1e-5)


def test_ghosts_of_a_bar():
    bar = Case(torch.zeros(1, 120, 3).index_fill(1, torch.tensor([60]), 1.0))
    peaks = Ghosting(num_ghosts=5)(bar, 1).image[0, :, 0]
    assert (peaks > 0.15).nonzero().flatten().tolist() == [12, 36, 60, 84, 108]  # every 24 rows


def test_two_ghosts_at_least():
    with pytest.raises(ValueError, match="num_ghosts must be an integer >= 2, got 1"):
        Ghosting(num_ghosts=1)


# Motion


def framed(shape, seed=0):
    "An image in the middle of nothing, its real part told apart from its magnitude by a black far below"
    image = torch.zeros(shape)
    inner = tuple(slice(n // 4, n - n // 4) if n > 8 else slice(None) for n in shape[1:])
    inside = image[(slice(None), *inner)]
    inside.copy_(torch.rand(inside.shape, generator=torch.Generator().manual_seed(seed)))
    return Case(image, scale=(-300, 1))


def torchio_motion(case, times, degrees=(0, 0, 0), shift=(0, 0, 0)):
    "The same movement forth and back by torchio, which puts the first movement at the centre of k-space"
    volume = case.image.reshape(len(case.image), -1, *case.shape[-2:])
    affine = np.eye(4)
    affine[:3, 3] = [(1 - n) / 2 for n in volume.shape[1:]]
    motion = torchio.Motion(
        degrees=np.array([degrees, degrees]) * [[-1], [1]],
        translation=np.array([shift, shift]) * [[-1], [1]],
        times=np.array(times),
        image_interpolation="linear",
    )
    return motion(torchio.ScalarImage(tensor=volume, affine=affine)).data.reshape(case.image.shape)


@pytest.mark.parametrize("shape", [(1, 64, 61), (2, 40, 48), (1, 3, 40, 50)], ids=str)
@pytest.mark.parametrize("times", [(0.3, 0.7), (0.45, 0.55)], ids=str)
def test_motion_is_torchios(shape, times):
    case = framed(shape)
    turned = Motion(-1, times)(case, 4).image
    either_way = [torchio_motion(case, times, degrees=(sign * 4, 0, 0)) for sign in (-1, 1)]
    assert min((theirs - turned).abs().max() for theirs in either_way) < 1e-3
    assert (turned - case.image).abs().max() / 50 > 1e-3
    for along, shift in [(-1, (0, 0, 2)), (-2, (0, 2, 0))]:
        moved = MotionShift(-1, times, along=along)(case, 2).image
        either_way = [torchio_motion(case, times, shift=np.multiply(shift, sign)) for sign in (-1, 1)]
        assert min((theirs - moved).abs().max() for theirs in either_way) < 1e-3


MOVES = [((1, 64, 61), -2, -2), ((2, 40, 47), -1, -2), ((1, 12, 40, 36), -2, -3), ((1, 12, 40, 36), -3, -1)]


@pytest.mark.parametrize("shape,axis,along", MOVES, ids=str)
def test_motion_takes_lines_from_each_pose(shape, axis, along):
    case = framed(shape)

    def lines(pixels):
        return np.fft.fftshift(np.fft.fft(case.image.roll(pixels, along) + 300, axis=axis), axis)

    edges = [int(t * case.shape[axis]) for t in (0.3, 0.7)]
    pieces = [np.split(lines(pixels), edges, axis)[i] for i, pixels in enumerate((-2, 0, 2))]
    kspace = np.fft.ifftshift(np.concatenate(pieces, axis), axis)
    expected = np.abs(np.fft.ifft(kspace, axis=axis)) - 300
    moved = MotionShift(axis, (0.3, 0.7), along)(case.replace(spacing=(1.5,) * case.ndim), 3)  # 3 mm are 2 pixels
    assert np.allclose(moved.image, expected, atol=1e-3)


def test_motion_happens_in_each_slice():
    slices = framed((1, 4, 32, 40))
    for i, turned in enumerate(Motion()(slices, 5).image[0]):
        alone = Motion()(Case(slices.image[:, i], scale=slices.scale), 5).image[0]
        assert torch.allclose(turned, alone, atol=1e-3)


@pytest.mark.parametrize("times", [(0,), (1,), (0, 1)], ids=str)
def test_motion_before_the_first_line_or_after_the_last(times):
    assert torch.allclose(Motion(times=times)(HEART, 9).image, HEART.image, atol=1e-6)


def test_order_of_times_does_not_matter():
    a, b = (Motion(times=times)(HEART, 5).image for times in [(0.2, 0.7), (0.7, 0.2)])
    assert torch.allclose(a, b)


def test_more_motion_more_artefact():
    strength = [(Motion()(HEART, v).image - HEART.image).square().mean() for v in Motion.values]
    assert strength == sorted(strength)


def test_real_part_hides_half_of_the_artefact():
    seen, real = (Motion(times=(0.6,))(HEART.replace(scale=(black, 1)), 5).image for black in (0, -300))
    hidden = (seen.square() - real.square()).mean()
    shown = (real - HEART.image).square().mean()
    assert 0.9 < hidden / shown < 1.1


@pytest.mark.parametrize("bad", [dict(times=()), dict(times=(0.5, 2)), dict(axis=3), dict(axes=0)], ids=str)
def test_arguments_of_motion(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        Motion(**bad)(HEART, 2)


def test_axes_of_motion():
    with pytest.raises(ValueError, match="along must be"):
        MotionShift(along=3)
    with pytest.raises(ValueError, match="along must be a spatial axis from -2 to 1, got -3"):
        MotionShift(along=-3)(HEART, 2)
    with pytest.raises(ValueError, match="axes must be"):
        Motion(axes=(0, 2))(HEART, 2)


def test_motion_is_the_same_however_it_is_written():
    assert {Motion(times=t) for t in (0.3, [0.3], np.array([0.3]))} == {Motion(times=(0.3,))}
    assert {Motion(axes=[-2, -1]), MotionShift(times=[0.45, 0.55])} == {Motion(), MotionShift()}


# Fold-over


def test_what_lies_outside_folds_in():
    rows = Case(torch.arange(1.0, 11).reshape(1, 10, 1), truth=np.arange(10)[:, None], scale=(0, 10))
    assert WrapAround()(rows, 0.4).image.flatten().tolist() == [0, 0, 3 + 9, 4 + 10, 5, 6, 7 + 1, 8 + 2, 0, 0]
    assert WrapAround()(rows, 0.4).truth.flatten().tolist() == [0, 0, 2, 3, 4, 5, 6, 7, 0, 0]


FOLDS = [(HEART, -1), (HEART, -2), (VOLUME, -2), (VOLUME, -3), (Case(torch.randn(3, 9, 12), scale=(-7, 7)), -1)]


@pytest.mark.parametrize("case,axis", FOLDS, ids=[f"{c.name}{a}" for c, a in FOLDS])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_nothing_is_lost_in_folding(case, axis, fraction):
    signal = above_black(case, WrapAround(axis)(case, fraction).image)
    assert torch.allclose(signal.sum(axis), above_black(case).sum(axis), rtol=1e-4)


@pytest.mark.parametrize("case,axis", FOLDS, ids=[f"{c.name}{a}" for c, a in FOLDS])
def test_half_of_the_field_of_view_is_every_second_line(case, axis):
    above = above_black(case).numpy()
    n = above.shape[axis]
    signal = above_black(case, WrapAround(axis)(case, 0.5).image)
    every_second = np.fft.fft(above, axis=axis).take(range(0, n, 2), axis)
    inside = np.fft.ifft(every_second, axis=axis).real
    quarter = n // 2 // 2
    assert np.allclose(np.roll(inside, -quarter, axis), signal.narrow(axis, quarter, n // 2), atol=1e-4)


def test_fraction_of_fold_over():
    with pytest.raises(ValueError, match="fraction of wrap-around must be a number >= 0 and <= 0.5, got 0.6"):
        WrapAround()(HEART, 0.6)
