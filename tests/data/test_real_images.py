"""The main job on real cardiac MR images, with the three kinds of model that most users have."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from misas.all import *

LABELLED = ["sax"] + ["transversal_train_example"] + [f"transversal_val_example_{i}" for i in range(3)]
DICOM = ["IM-0901-0009", "IM-10444-0011", "IM-1133-0029", "IM-12007-0002", "IM-2831-0017", "IM-4562-0014", "sax_117"]
TRIED = dict(rotation=[-30, 0, 30], brightness=[0.5, 1, 2], resize=[100, 256], crop=[0, 10], dihedral=[0, 3])


class PictureModel:
    "As in the paper: PIL in, PIL out, in the size that it wants"

    def prepareSize(self, item):
        return item.resize((128, 128))

    def predict(self, image):
        assert isinstance(image, Image.Image) and image.size == (128, 128)
        return Image.fromarray((np.asarray(image.convert("L")) > 90).astype(np.uint8))


class ArrayModel:
    "Bright or not, relative to the image"

    def predict(self, image):
        return image > image.mean() + image.std()


def learner(folder):
    from fastai.vision.all import CrossEntropyLossFlat, DataBlock, ImageBlock, Learner, MaskBlock, Resize

    for i in range(2):
        case = phantom((64, 64), seed=i)
        Image.fromarray((case.image[0] * 255).byte().numpy()).save(folder / f"{i}.png")
        Image.fromarray(case.truth.byte().numpy()).save(folder / f"{i}_mask.png")
    block = DataBlock(
        (ImageBlock, MaskBlock(codes=["bg", "LV", "MY", "RV"])),
        get_items=lambda _: [folder / "0.png", folder / "1.png"],
        get_y=lambda f: folder / f"{f.stem}_mask.png",
        item_tfms=Resize(64, method="squish"),
    )
    torch.manual_seed(0)
    return Learner(
        block.dataloaders(folder, bs=1, num_workers=0),
        torch.nn.Conv2d(3, 4, 3, padding=1),
        loss_func=CrossEntropyLossFlat(axis=1),
    )


@pytest.fixture(scope="module", params=["plain class", "torch module", "fastai learner"])
def model(request, tmp_path_factory):
    if request.param == "plain class":
        return None
    return demo_model() if request.param == "torch module" else learner(tmp_path_factory.mktemp("fastai"))


@pytest.mark.parametrize("name", LABELLED)
def test_labelled(data, name, model):
    image, mask = data / "cardiac" / f"{name}_image.png", data / "cardiac" / f"{name}_mask.png"
    case = load_case(image, mask)
    truth = np.asarray(Image.open(mask))
    assert np.array_equal(case.truth, truth) and case.scale == (0, 255) and case.image.max() > 200
    scores = evaluate(
        model or PictureModel(), case, list(TRIED), values=TRIED, metrics=["dice", "recall"], progress=False
    )
    assert scores.score.dropna().between(0, 1).all() and scores["transform"].nunique() == 5
    assert set(scores.label) >= set(map(str, np.unique(truth))) or {"LV", "MY"} <= set(scores.label)


@pytest.mark.parametrize("name", DICOM)
def test_dicom_without_truth(data, name, model):
    case = load_case(data / "dicom" / f"{name}.dcm")
    assert case.truth is None and case.spacing[0] > 0.5 and case.source.dtype == "uint16" and case.image.max() > 200
    scores = evaluate(model or ArrayModel(), case, list(TRIED), values=TRIED, progress=False)
    assert (scores.query("transform == 'rotation' and value == 0").score.dropna() == 1).all()  # consistent with itself
    assert (scores.query("transform == 'dihedral' and value == 0").score.dropna() == 1).all()


def test_demo_model_finds_the_heart(data):
    "A model that has seen nothing but phantoms, on a real short-axis image"
    case = load_case(
        data / "cardiac" / "sax_image.png", data / "cardiac" / "sax_mask.png", labels=("bg", "LV", "MY", "RV")
    )
    found = score(get_series(demo_model(), case, "rotation", [0], progress=False)).set_index("label").score
    assert found["bg"] > 0.95 and found["LV"] > 0.5, found


def test_pictures_of_a_dicom(data, tmp_path):
    case = load_case(data / "dicom" / "sax_117.dcm")
    series = get_series(demo_model(), case, "brightness", [0.5, 1, 2], progress=False)
    plot_series(series).savefig(tmp_path / "series.png")
    gif_series(series, tmp_path / "series.gif")
    with Image.open(tmp_path / "series.gif") as gif:
        assert gif.n_frames == 3
    assert np.asarray(Image.open(tmp_path / "series.png")).std() > 10


@pytest.mark.parametrize(
    "image, mask", [("cardiac/sax_image.png", "cardiac/sax_mask.png"), ("dicom/sax_117.dcm", None)]
)
def test_command_line(data, tmp_path, image, mask):
    args = [
        "run",
        "--image",
        data / image,
        "--model",
        "demo",
        "--transforms",
        "rotation,spike",
        "--values",
        "rotation=-20,0,20",
        "--out",
        tmp_path / "out",
        "--no-progress",
    ]
    args += ["--mask", data / mask] if mask else []
    done = subprocess.run([sys.executable, "-m", "misas", *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pictures = {f"{t}.{e}" for t in ("rotation", "spike") for e in ("png", "gif", "html")}
    assert pictures | {"scores.csv", "report.html"} <= {p.name for p in (tmp_path / "out").iterdir()}
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert list(table)[:8] == ["model", "case", "transform", "param", "value", "label", "metric", "score"]
    text = "".join(p.read_text(errors="ignore") for p in (tmp_path / "out").glob("*.[ch]*"))
    assert "NDSB" not in text  # the patient's name in the DICOM header


def test_verdict_and_advice_on_a_real_image(data):
    "The paper's first case study: the image is too large for the model, which is found and mended"
    case = load_case(
        data / "cardiac" / "sax_image.png", data / "cardiac" / "sax_mask.png", labels=("bg", "LV", "MY", "RV")
    )
    model = as_model(demo_model(), name="demo")
    summary = summarise(
        evaluate(
            model,
            case,
            ["rotation", "zoom"],
            dict(rotation=[-30, 0, 30], zoom=[0.5, 1, 2]),
            labels={1: "LV", 3: "RV"},
            progress=False,
        )
    )
    assert (
        set(summary.label) == {"LV", "RV"}
        and (summary.tolerance_low <= summary.tolerance_high).all()
        and len(verdicts(summary)) == len(summary)
    )
    large = Resize()(case, 480)
    advice = suggest_preparation(model, large, orientations=[0], sizes=[180, 240, 480], progress=False)
    assert advice.after > advice.before + 0.1 and "scale to" in str(advice), str(advice)
