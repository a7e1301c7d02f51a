"One thing with two parameters, turns in words, units of several values, the map of a field, the unchanged score"

from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image

import misas as ms
from misas.plot.overlays import series_view
from misas.plot.text import shown_value_text, value_text

HEART = ms.phantom((48, 40), seed=0)


def threshold(image):
    return image > 0.4


def spike_by_hand(image: np.ndarray, frequency: tuple, intensity: float) -> np.ndarray:
    "Add a pair of points to k-space, half of the strength each"
    kspace = np.fft.fft2(image.astype(float))
    most = abs(kspace).max()
    down, across = frequency
    kspace[down, across] += intensity * most / 2
    kspace[-down, -across] += intensity * most / 2
    return np.fft.ifft2(kspace).real


def dice(truth: np.ndarray, pred: np.ndarray) -> float:
    return 2 * (truth & pred).sum() / (truth.sum() + pred.sum())


def test_grid_of_position_and_intensity_has_one_spike():
    places, strengths = [0.3, 0.45], [0, 0.5, 2]
    table = ms.grid(
        threshold, HEART, ms.SpikePosition(), ms.Spike(), places, strengths, labels={1: "LV"}, progress=False
    )
    truth = HEART.truth.numpy() == 1
    for row in table.itertuples():
        across = int(row.value_a * 40) - 20
        image = spike_by_hand(HEART.image[0].numpy(), (0, across), row.value_b)
        assert row.score == pytest.approx(dice(truth, image > 0.4), abs=5e-3)
    assert table.attrs["unchanged"] == [(0.3, 0), (0.45, 0)]


@pytest.mark.parametrize("turned", [False, True])
def test_the_order_of_the_two_does_not_matter(turned):
    members = [ms.SpikePosition(across=0.4), ms.Spike()]
    value = (0.3, 1.5)
    both = ms.Joint(*members[::-1]) if turned else ms.Joint(*members)
    image = both(HEART, value[::-1] if turned else value).image
    assert torch.equal(image, ms.Spike(position=(0.4, 0.3))(HEART, 1.5).image)


@pytest.mark.parametrize("order", permutations(range(3)))
def test_row_column_and_intensity_are_one_spike_in_any_order(order):
    parts = [(ms.SpikePosition(axis=-2), 0.3), (ms.SpikePosition(axis=-1), 0.6), (ms.Spike(), 1.2)]
    members, values = zip(*(parts[i] for i in order))
    image = ms.Joint(*members)(HEART, values).image
    assert torch.equal(image, ms.Spike(position=(0.3, 0.6))(HEART, 1.2).image)


def test_compose_still_applies_both():
    both = ms.Compose(ms.SpikePosition(), ms.Spike())
    first = ms.SpikePosition()(HEART, 0.3)
    assert torch.equal(both(HEART, (0.3, 1)).image, ms.Spike()(first, 1).image)
    assert both.fingerprint() != ms.Joint(*both.members).fingerprint()


def test_worst_case_and_influence_vary_one_spike():
    ranges = {ms.SpikePosition(): (0.3, 0.45), ms.Spike(): (0.0, 2.0)}
    worst = ms.worst_case(threshold, HEART, ranges, budget=12, label=1, progress=False)
    place, strength = worst.values.values()
    expected = ms.Spike(position=(0.5, place))(HEART, strength).image
    assert torch.allclose(worst.step.image, expected)
    found = ms.global_sensitivity(threshold, HEART, ranges, n=4, label=1, progress=False)
    assert set(found["transform"]) == {"spike", "spike-position"}


@pytest.mark.parametrize("level", [40, None])
def test_level_and_width_are_one_window(level):
    hu = np.linspace(-160, 240, 41, dtype=np.float32).reshape(1, -1).repeat(3, 0)
    if level is None:
        case = ms.load_case((hu + 160) / 400, scale=(0, 1))
        both = ms.Joint(ms.WindowWidth(), ms.WindowLevel(width=400))
        seen = both(case, (2, 60)).image[0].numpy()
        inside = (hu > -160) & (hu < 240)
    else:
        case = ms.load_case(hu, scale=(-1000, 1000))
        both = ms.Joint(ms.WindowWidth(level=40), ms.WindowLevel(level=40))
        seen = (both(case, (2, 60)).image[0].numpy() + 160) / 400
        inside = np.ones_like(hu, bool)
    wanted = ((hu - 100) / 800 + 0.5).clip(*((0, 1) if level is None else (-9, 9)))  # the window 100 ± 400
    assert np.allclose(seen[inside], wanted[inside], atol=1e-5)


def test_a_movement_turns_and_shifts():
    late = dict(times=(0.999,))
    both = ms.Joint(ms.Motion(**late), ms.MotionShift(**late))
    assert torch.allclose(both(HEART, (0, 0)).image, HEART.image, atol=1e-6)
    other = ms.Joint(ms.Motion(times=(0.4,)), ms.MotionShift(times=(0.6,)))
    turned = ms.Motion(times=(0.4,))(HEART, 5)
    assert torch.equal(other(HEART, (5, 3)).image, ms.MotionShift(times=(0.6,))(turned, 3).image)


TURNS = {
    0: ("unchanged", []),
    1: ("mirrored", ["FLIP_LEFT_RIGHT"]),
    2: ("90° counter-clockwise", ["ROTATE_90"]),
    3: ("90° counter-clockwise, mirrored", ["ROTATE_90", "FLIP_LEFT_RIGHT"]),
    4: ("180°", ["ROTATE_180"]),
    5: ("180°, mirrored", ["ROTATE_180", "FLIP_LEFT_RIGHT"]),
    6: ("90° clockwise", ["ROTATE_270"]),
    7: ("90° clockwise, mirrored", ["ROTATE_270", "FLIP_LEFT_RIGHT"]),
}


@pytest.mark.parametrize("k", range(8))
def test_words_of_a_turn_are_what_pillow_does(k):
    words, steps = TURNS[k]
    assert value_text(ms.Dihedral(), k) == words
    picture = Image.fromarray(HEART.image[0].numpy())  # Pillow turns counter-clockwise
    for step in steps:
        picture = picture.transpose(Image.Transpose[step])
    assert np.array_equal(np.asarray(picture), ms.Dihedral()(HEART, k).image[0].numpy())


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("swapped", [False, True])
def test_words_of_a_turn_are_as_a_volume_is_shown(signs, swapped):
    rng = np.random.default_rng(0)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[3, 3] = 3, 1
    down, across = (0, 1) if swapped else (1, 0)
    affine[down, 1], affine[across, 2] = signs
    volume = ms.Case(torch.tensor(rng.random((1, 2, 5, 5)), dtype=torch.float32), affine=affine, spacing=(3, 1, 1))
    series = ms.get_series(lambda x: x > 0.5, volume, ms.Dihedral(), range(8), progress=False)
    view = series_view(series, index=0)
    before = view.cut(volume.image)[0].numpy()
    for step in series:
        text = shown_value_text(ms.Dihedral(), step.value, view).partition(" as shown")[0]
        (k,) = [k for k, (words, _) in TURNS.items() if words == text]
        turned = np.rot90(before, k // 2)
        assert np.array_equal(view.cut(step.image)[0].numpy(), turned[:, ::-1] if k % 2 else turned)


def test_panels_of_turned_images_are_even():
    figure = ms.plot_transform(HEART, ms.Dihedral())
    figure.draw_without_rendering()
    assert len({tuple(np.round(ax.get_window_extent().size)) for ax in figure.axes}) == 1
    heights = [np.ptp(ax.get_ylim()) / np.ptp(ax.images[0].get_extent()[2:]) for ax in figure.axes]
    assert np.allclose(heights[:2] + heights[2:4], [1, 1, 48 / 40, 48 / 40])
    assert figure.axes[6].get_title() == "90° clockwise"


def test_images_in_true_size():
    figure = ms.plot_transform(HEART, ms.Resize(), [12, 24, 48], true_size=True)
    shown = [np.ptp(ax.images[0].get_extent()[2:]) / np.ptp(ax.get_ylim()) for ax in figure.axes]
    assert np.allclose(shown, [0.25, 0.5, 1])
    same = ms.plot_transform(HEART.replace(spacing=(1, 1), unit="mm"), ms.Resize(), [12, 48], true_size="mm")
    shown = [np.ptp(ax.images[0].get_extent()[2:]) / np.ptp(ax.get_ylim()) for ax in same.axes]
    assert np.allclose(shown, 1)
    with pytest.raises(ValueError, match="true_size must be True .size in pixels., \"mm\" or False, got 'cm'"):
        ms.plot_transform(HEART, ms.Resize(), [12], true_size="cm")


def test_several_values_have_their_own_units():
    both = ms.Compose(ms.Rotate(), ms.Zoom(), ms.Translate())
    assert value_text(both, (-30, 1.5, 4)) == "deg = −30°, factor = 1.5×, shift = 4 mm"
    pairs = [(0, 0), (20, 3)]
    scores = ms.evaluate(threshold, HEART, ms.Compose(ms.Rotate(), ms.Translate()), pairs, progress=False)
    text = ms.plot_scores(scores).to_json()
    assert "deg [°], shift [mm]" in text
    assert "20°, 3 mm" in text
    spikes = ms.Compose(ms.Rotate(), ms.Spike())
    assert value_text(spikes, (20, 3)) == "deg = 20°, intensity = 3"


def test_field_is_what_multiplies_the_image():
    torchio = pytest.importorskip("torchio")
    field = ms.BiasField(order=2).field(HEART, 0.3)
    theirs = torchio.BiasField.generate_bias_field(torch.zeros(1, 1, *HEART.shape), 2, [0.3] * 10)
    assert np.allclose(field, theirs[0], rtol=1e-4)
    changed = ms.BiasField(order=2)(HEART, 0.3).image[0]
    assert np.allclose(changed, HEART.image[0] * field, rtol=1e-5)
    assert np.allclose(ms.BiasField().field(HEART, 0), 1)


def test_map_of_a_field_has_a_colour_bar():
    figure = ms.plot_field(HEART, ms.BiasField(), 0.2)
    drawn = figure.axes[1].images[0]
    assert np.allclose(drawn.get_array(), ms.BiasField().field(HEART, 0.2))
    assert drawn.colorbar.ax.get_ylabel() == "factor"
    with pytest.raises(ValueError, match="transform must be one that has a field, such as BiasField"):
        ms.plot_field(HEART, "rotation", 3)


def test_panel_of_two_parameters():
    places = [k / 8 for k in range(1, 8)]
    figure = ms.plot_grid_images(HEART, ms.SpikePosition(axis=-2), ms.SpikePosition(), places, places, panel=0.6)
    assert len(figure.axes) == 49
    assert [ax.get_title() for ax in figure.axes[:3]] == ["0.125", "0.25", "0.375"]
    assert [ax.texts[0].get_text() for ax in figure.axes[::7]][:2] == ["0.125", "0.25"]
    with_model = ms.plot_grid_images(HEART, "rotation", "brightness", [0, 30], [1, 2], model=threshold)
    assert "prediction" in [text.get_text() for text in with_model.legends[0].get_texts()]
    with pytest.raises(ValueError, match="transform must have one parameter, got rotation"):
        ms.plot_grid_images(HEART, ms.Compose(ms.Rotate(), ms.Zoom()), "spike", [(0, 1)], [1])


def test_unchanged_score_of_a_transform_without_a_neutral_value(tmp_path):
    cases = [ms.phantom((48, 48), seed=s) for s in (0, 1)]
    model = ms.demo_model()
    settings = dict(labels={1: "LV"}, progress=False)
    alone = ms.evaluate(model, cases, **settings)
    scores = ms.evaluate(model, cases, [ms.SpikePosition(), ms.Rotate()], {"rotation": [0, 9]}, **settings)
    assert scores[scores["transform"] == "rotation"].unchanged.isna().all()
    spikes = scores[scores["transform"] == "spike-position"]
    assert dict(zip(spikes.case, spikes.unchanged)) == dict(zip(alone.case, alone.score))
    for ending in ("csv", "parquet"):
        path = tmp_path / f"scores.{ending}"
        ms.save_scores(scores, path)
        assert np.allclose(ms.read_scores(path).unchanged, scores.unchanged, equal_nan=True)
    summary = ms.summarise(spikes, resamples=20)
    assert summary.neutral_score.item() == pytest.approx(alone.score.mean())
    assert f"dice {alone.score.mean():.2f} →" in ms.verdicts(summary)[0]
    assert "dashed: unchanged image" in ms.plot_scores(spikes).to_json()


def fragile(image):
    "Finds the object only where it is bright at the left"
    return (image > 0.5) & (image[:, :1].mean() > 0.5)


def verdict(case: ms.Case, transform, values=None) -> str:
    scores = ms.evaluate(fragile, case, transform, values, labels={1: "a"}, progress=False)
    return ms.verdicts(ms.summarise(scores))[0]


def test_verdicts_of_names():
    image = np.zeros((20, 30), np.float32)
    image[:, :8] = 1
    case = ms.load_case(image, image.astype(int), scale=(0, 1))
    assert "tolerates only as it is with" in verdict(case, ms.Dihedral(), [0, 1, 4])
    assert "tolerates all but mirrored with" in verdict(case, ms.Dihedral(), [0, 1, 5])
    names = dict(categorical=True, values=["axial", "coronal", "oblique"])
    view = ms.as_transform(lambda image, value: image * (value != "coronal"), name="view", neutral="axial", **names)
    assert "tolerates all but coronal with" in verdict(case, view)
