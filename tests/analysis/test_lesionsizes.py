"Lesions by volume: by hand, matching rules, along a sweep, bad input"

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta

from misas.analysis.lesionsizes import lesion_table, recall_by_volume
from misas.core.cases import Case
from misas.core.model import as_model
from misas.metrics.base import measure
from misas.plot.lesioncharts import plot_recall_by_volume


def bright(image):
    return image > 0.5


def three(spacing=(1, 1), unit="mm"):
    truth = torch.zeros(40, 40, dtype=torch.int32)
    truth[2:4, 2:4], truth[10:14, 10:14], truth[20:30, 20:30] = 1, 1, 1
    image = truth[None].float()
    image[0, 2:4, 2:4] = 0.2
    return Case(image, truth, name="three", spacing=spacing)


def test_by_hand():
    table = lesion_table(bright, three((0.5, 2)), progress=False)
    assert table.volume.tolist() == [4, 16, 100] and set(table.unit) == {"mm²"}
    assert table.found.tolist() == [False, True, True]
    found = recall_by_volume(table, [0, 10, 200])
    assert found.lesions.tolist() == [1, 2] and found.recall.tolist() == [0, 1]
    assert found.low[1] == pytest.approx(beta.ppf(0.025, 2, 1)) and found.high[1] == 1


def test_recall_is_the_metric():
    case = three()
    for least in (0.5, None):
        table = lesion_table(bright, case, least=least, progress=False)
        name = "lesion_recall" if least else "lesion_recall@any"
        metric = measure(case.truth, (case.image[0] > 0.5).int(), [1], name, np.nan, (1, 1))[name][0].item()
        assert table.found.mean() == pytest.approx(metric)


def test_along_a_sweep_and_in_3d():
    truth = torch.zeros(10, 20, 20, dtype=torch.int32)
    truth[2:5, 2:5, 2:5], truth[6:9, 10:18, 10:18] = 1, 1
    case = Case(0.6 * truth[None].float(), truth, name="volume", spacing=(2, 1, 1), scale=(0, 1))
    table = lesion_table(bright, case, transforms="brightness", values=[0.5, 1], progress=False)
    assert table.groupby("value").found.mean().tolist() == [0, 1] and set(table.unit) == {"mm³"}
    assert set(table.volume) == {54, 384}
    found = recall_by_volume(table)
    assert len(found) == 4
    spec = plot_recall_by_volume(table).to_dict()
    assert "one line for each value" in str(spec)


def test_bad_input():
    table = lesion_table(bright, three(), progress=False)
    with pytest.raises(ValueError, match="edges must be two or more numbers that rise"):
        recall_by_volume(table, [5, 1])
    with pytest.raises(ValueError, match="edges must be classes in which there are lesions"):
        recall_by_volume(table, [500, 600])
    with pytest.raises(ValueError, match="table must be the table that lesion_table makes"):
        recall_by_volume(pd.DataFrame())
    with pytest.raises(ValueError, match="at least one lesion"):
        recall_by_volume(table[:0])
    with pytest.raises(ValueError, match="volumes of one unit"):
        recall_by_volume(pd.concat([table, table.assign(unit="px²")]))
    with pytest.raises(ValueError, match="case 'three' must have a truth"):
        lesion_table(bright, three().replace(truth=None), progress=False)
    with pytest.raises(ValueError, match="least must be"):
        lesion_table(bright, three(), least=2, progress=False)
    with pytest.raises(ValueError, match="size must be"):
        plot_recall_by_volume(table, size=0)


def test_label_by_its_name():
    case = three().replace(labels=("background", "metastasis"))
    named = lesion_table(bright, case, label="metastasis", progress=False)
    assert set(named.label) == {"metastasis"}
    pd.testing.assert_frame_equal(named, lesion_table(bright, case, progress=False))
    model = as_model(bright, labels=["none", "lesion"])
    assert set(lesion_table(model, case, label="lesion", progress=False).label) == {"lesion"}
    # a name of the case counts, too, where the model has none of it
    assert len(lesion_table(model, case, label="metastasis", progress=False)) == 3
    with pytest.raises(ValueError, match="label must be one of 'background', 'metastasis', got 'metastases'"):
        lesion_table(bright, case, label="metastases", progress=False)
    with pytest.raises(TypeError, match="label must be"):
        lesion_table(bright, case, label=1.5, progress=False)


def test_what_is_not_annotated_is_no_lesion():
    case = three()
    truth = case.truth.clone()
    truth[18:] = 255  # the largest one
    known = lesion_table(bright, case.replace(truth=truth, ignore=255), progress=False)
    assert known.volume.tolist() == [4, 16]
    truth[10:12, 10:14] = 255  # half of the second one
    half = lesion_table(bright, case.replace(truth=truth, ignore=255), progress=False)
    assert half.volume.tolist() == [4, 8] and half.found.tolist() == [False, True]
