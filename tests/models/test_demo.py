"The network that ships with misas"

from importlib.resources import files

import numpy as np
import pytest
import torch

from misas.data.phantoms import phantom_arrays
from misas.models.demo import UNet, block, demo_model


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_block_keeps_the_size(dilation):
    assert block(1, 8, dilation=dilation)(torch.zeros(2, 1, 5, 6)).shape == (2, 8, 5, 6)


@pytest.fixture(scope="module")
def untrained():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet().eval()


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (2, 1, 33, 50), (1, 1, 17, 128)])
def test_any_size(untrained, shape):
    assert untrained(torch.rand(shape)).shape == (shape[0], 4, *shape[2:])


def test_any_intensity_scale_and_batch(untrained):
    x = torch.rand(2, 1, 40, 40)
    assert torch.allclose(untrained(x), untrained(50 + 1000 * x), atol=1e-2)
    assert torch.allclose(untrained(x)[:1], untrained(x[:1]), atol=1e-4)
    assert untrained(torch.zeros(1, 1, 32, 32)).isfinite().all()  # a constant image is no division by zero


def test_other_widths():
    net = UNet(widths=(4, 8), labels=("a", "b"))
    assert net.multiple == 2 and net.eval()(torch.rand(1, 1, 9, 7)).shape == (1, 2, 9, 7)


def test_the_weights():
    net = demo_model()
    assert (net.training, net.labels) == (False, ("bg", "LV", "MY", "RV"))
    assert all(p.dtype == torch.float32 and p.requires_grad for p in net.parameters())
    assert not any(t.is_meta for t in net.state_dict().values())
    assert (files("misas.models") / "weights" / "demo.safetensors").stat().st_size <= 2_000_000


def test_the_global_random_numbers_of_torch_do_not_move():
    before = torch.get_rng_state()
    demo_model()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_are_ones_own():
    changed = demo_model()
    with torch.no_grad():
        changed.head.bias.add_(1)
        changed.train()(torch.rand(2, 1, 16, 16))
    fresh = demo_model()
    assert not torch.equal(changed.head.bias, fresh.head.bias)
    assert fresh.down[0][1].num_batches_tracked == changed.down[0][1].num_batches_tracked - 1


def test_the_same_image_gives_the_same():
    image = torch.from_numpy(phantom_arrays((160, 160), 2_000_000)[0][:101, :77])[None, None]
    net = demo_model()
    with torch.no_grad():
        assert torch.equal(net(image), net(image))
        assert torch.equal(demo_model()(image), net(image))
        exported = torch.export.export(net, (image,)).module()
        assert np.allclose(exported(image), net(image), atol=1e-5)
