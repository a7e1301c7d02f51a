"A model from a hub"

import numpy as np

from misas.compat import Fastai2_model, get_rotation_series

HUBCONF = """
import torch

def bright():
    net = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.ones_(net.weight)
    torch.nn.init.constant_(net.bias, -110)
    return net
"""


def test_model_from_a_local_folder(image, tmp_path):
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    hub = Fastai2_model(str(tmp_path), "bright")
    prepared = hub.prepareSize(image)
    assert np.array_equal(hub.predict(prepared), np.asarray(prepared)[..., 0] > 110)
    assert len(get_rotation_series(image, hub, end=120)) == 3
