"A gallery of many cases, worst first"

import numpy as np
import pytest

import misas as ms

TRUTH = np.zeros((20, 20), np.int32)
TRUTH[:, :10] = 1


def case_of(width, name, **options):
    "Its image says how wide the prediction will be"
    return ms.Case(np.full((1, 20, 20), width, np.float32), TRUTH, name=name, **options)


def model(image):
    width = int(np.asarray(image).max())
    pred = np.zeros((20, 20), np.int32)
    pred[:, :width] = 1
    return pred


CASES = [case_of(w, f"c{w}") for w in (10, 5, 20, 8)]  # Dice 1, .667, .667, .889


def captions(figure):
    return [ax.get_title() for ax in figure.axes if ax.images]


def test_worst_first():
    assert captions(ms.plot_gallery(CASES, model)) == [
        "c5\ndice 0.667",
        "c20\ndice 0.667",
        "c8\ndice 0.889",
        "c10\ndice 1",
    ]
    order = [title.split("\n")[0] for title in captions(ms.plot_gallery(CASES, model, metric="hd95"))]
    assert order == ["c20", "c5", "c8", "c10"]
    area = ms.plot_gallery(CASES, model, metric="volume_difference_percent")
    assert [title.split("\n")[1].split()[-1] for title in captions(area)] == ["100", "−50", "−20", "0"]


def test_without_a_metric_in_the_order_of_the_cases():
    assert captions(ms.plot_gallery(CASES, model, metric=None)) == ["c10", "c5", "c20", "c8"]
    without = [case.replace(truth=None) for case in CASES]
    assert captions(ms.plot_gallery(without, model, metric=None)) == ["c10", "c5", "c20", "c8"]


def test_pages():
    cases = [case_of(1 + i % 10, f"case {i}") for i in range(23)]
    pages = [captions(ms.plot_gallery(cases, model, most=10, page=k, columns=4)) for k in (1, 2, 3)]
    assert [len(page) for page in pages] == [10, 10, 3]
    assert len({title for page in pages for title in page}) == 23
    scores = [float(title.split()[-1]) for page in pages for title in page]
    assert scores == sorted(scores)
    figure = ms.plot_gallery(cases, model, most=10, page=3)
    title = figure.legends[0].get_title().get_text()
    assert title == "cases 21 to 23 of 23, page 3 of 3, worst first: dice (mean of labels)"
    with pytest.raises(ValueError, match="page must be an integer from 1 to 3"):
        ms.plot_gallery(cases, model, most=10, page=4)


def test_groups_worst_first():
    scanners = dict(c10="B", c5="A", c20=None, c8="B")
    cases = [case.replace(columns=dict(scanner=scanners[case.name])) for case in CASES]
    figure = ms.plot_gallery(cases, model, by="scanner")
    headings = [ax.texts[0].get_text() for ax in figure.axes if not ax.images]
    assert headings == [
        "scanner = A: 1 case, median dice 0.667",
        "scanner = not stated: 1 case, median dice 0.667",
        "scanner = B: 2 cases, median dice 0.944",
    ]
    both = ms.plot_gallery(cases, model, by=["scanner"], metric=None)
    assert sum(not ax.images for ax in both.axes) == 3
    with pytest.raises(ValueError, match="by must be a column of the cases .*'scanner'.*got 'site'"):
        ms.plot_gallery(cases, model, by="site")


def test_errors_and_true_size():
    cases = [case_of(10, "a", spacing=(1, 1)), case_of(5, "b", spacing=(2, 2))]
    figure = ms.plot_gallery(cases, model, pred="errors", label=1, colours="paper", alpha=1, true_size=True)
    b, a = figure.axes
    assert a.get_xlim() == b.get_xlim() == (-20, 20) and a.images[0].get_extent() == [-10, 10, 10, -10]
    colours = {tuple(c) for c in np.asarray(b.images[0].get_array()).reshape(-1, 3).tolist()}
    assert {(0, 192, 0), (255, 255, 0)} <= colours and (255, 0, 0) not in colours
    assert "errors: 1" in [t.get_text() for t in figure.legends[0].get_texts()]


def test_nothing_to_score_comes_last():
    empty = ms.Case(np.zeros((1, 20, 20), np.float32), np.zeros((20, 20), int), name="empty")
    assert captions(ms.plot_gallery([empty, *CASES], model))[-1] == "empty\ndice –"


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(metric="dise"), "did you mean 'dice'"),
        (dict(most=0), "most must be an integer >= 1"),
        (dict(columns=1.5), "columns must be an integer"),
        (dict(label="LV"), "label must be the number of a label"),
        (dict(pred="line"), "pred must be one of"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        ms.plot_gallery(CASES, model, **options)


def test_a_case_without_truth_is_named():
    cases = [*CASES, case_of(3, "blind").replace(truth=None)]
    with pytest.raises(ValueError, match="got none for case 'blind'.*metric=None"):
        ms.plot_gallery(cases, model)
    with pytest.raises(ValueError, match="got none for case 'blind'"):
        ms.plot_gallery(cases, model, metric=None, pred="errors")
