"Networks in ONNX files: ONNX Runtime's own labels, pixel by pixel, on real images"

import sys
import warnings

import numpy as np
import pytest
import torch

onnxruntime = pytest.importorskip("onnxruntime", exc_type=ImportError)

from misas.core.model import as_model
from misas.core.sweeps import get_series
from misas.data.loading import load_case
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.demo import demo_model
from misas.models.onnx import OnnxModel
from misas.models.sizes import PadTo, ResizeTo
from misas.transforms.basic import Brightness, Rotate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "The demo model, for any size and for 128 x 128 only"
    pytest.importorskip("onnx")
    folder, free = tmp_path_factory.mktemp("onnx"), dict(image={0: "batch", 2: "height", 3: "width"})
    for name, axes in dict(free=free, fixed=None).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the exporter's age
            torch.onnx.export(
                demo_model(),
                (torch.rand(1, 1, 128, 128),),
                folder / f"{name}.onnx",
                input_names=["image"],
                output_names=["scores"],
                dynamic_axes=axes,
                dynamo=False,
            )
    return folder


def labels_by_hand(session, image):
    return session.run(None, {"image": image[None, None]})[0][0].argmax(0)


@pytest.mark.parametrize("image", ["cardiac/sax_image.png", "dicom/IM-4562-0014.dcm"])
def test_free_size(data, files, image):
    case, session = (
        load_case(data / image),
        onnxruntime.InferenceSession(files / "free.onnx", providers=["CPUExecutionProvider"]),
    )
    model, torch_model = OnnxModel(files / "free.onnx", output="logits"), as_model(demo_model())
    for transform, values in ((Rotate(), [-30, 0, 10]), (Brightness(), [0.5, 2])):
        for step in get_series(model, case, transform, values, progress=False):
            assert (
                np.array_equal(step.pred, labels_by_hand(session, step.image[0].numpy()))
                and len(step.pred.unique()) > 1
            )
            assert (step.pred == torch_model(step.image[None])[0]).float().mean() > 0.999
            assert np.allclose(
                model.probabilities(step.image[None], case),
                torch_model.probabilities(step.image[None], case),
                atol=1e-4,
            )


def test_fixed_size(data, files):
    case, session = (
        load_case(data / "cardiac" / "sax_image.png"),
        onnxruntime.InferenceSession(files / "fixed.onnx", providers=["CPUExecutionProvider"]),
    )
    with pytest.raises(ValueError, match=r"size=ResizeTo\(\(128, 128\)\)"):
        as_model(session)(case.image[None], case)
    model = as_model(session, size=ResizeTo((128, 128)))
    for step in get_series(model, case, Rotate(), [-30, 0, 10], progress=False):
        small = ResizeTo((128, 128)).apply(step.image[None], case.background)[0, 0].numpy()
        expected = ResizeTo((128, 128)).undo_labels(
            torch.from_numpy(labels_by_hand(session, small))[None].int(), case.shape
        )[0]
        assert torch.equal(step.pred, expected) and step.pred.shape == (256, 230)
    padded = as_model(session, size=PadTo(128))  # 56 x 100 is 128 x 128 then
    assert padded(case.image[None, :1, 100:156, 60:160]).shape == (1, 56, 100)


def test_other_processes(files, tmp_path):
    model, cases = (
        OnnxModel(files / "free.onnx", labels=demo_model().labels),
        [phantom((64, 64), seed=s) for s in range(2)],
    )
    alone, shared = (
        evaluate(model, cases, Rotate(), [0, 30], n_jobs=n, store=tmp_path / str(n), progress=False) for n in (1, 2)
    )
    assert alone.equals(shared) and not alone.attrs["errors"]


def test_missing_framework(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(ImportError, match=r"onnxruntime is not installed: pip install misas\[onnx\]"):
        OnnxModel(tmp_path / "net.onnx")
