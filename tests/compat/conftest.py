import numpy as np
import pytest
from PIL import Image

from misas.compat import eval_generic_series, get_generic_series, rotationTransform
from misas.data.phantoms import phantom


class Bright:
    "A model as misas 0.1.1 wants it"

    def prepareSize(self, item):
        return item.resize((64, 64))

    def predict(self, image):
        return Image.fromarray((np.asarray(image)[..., 0] > 110).astype(np.uint8))


@pytest.fixture
def model():
    return Bright()


@pytest.fixture
def heart():
    return phantom((60, 48), seed=0)


@pytest.fixture
def grey(heart):
    "An array `(H, W)` of 8 bits"
    return (heart.image[0] / heart.image.max() * 255).round().byte().numpy()


@pytest.fixture
def image(grey):
    return Image.fromarray(grey).convert("RGB")


@pytest.fixture
def mask(heart):
    return Image.fromarray(heart.truth.byte().numpy())


@pytest.fixture
def series(image, mask, model):
    return get_generic_series(image, model, rotationTransform, truth=mask, tfm_y=True, end=90)


@pytest.fixture
def results(image, mask, model):
    "A table of scores"
    options = dict(end=90, step=30, mask_transform_function=rotationTransform, param_name="deg")
    return eval_generic_series(image, mask, model, rotationTransform, **options, components=["bg", "LV", "MY", "RV"])
