"What a network takes is read from it, and an image is changed only where nothing gets lost"

import numpy as np
import pytest
import torch

from misas.core.cases import Case, Source
from misas.models.inputs import (
    exported_shape,
    first_convolution,
    groups_of,
    input_channels,
    match_channels,
    to_eight_bits,
)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_the_first_convolution_is_found():
    assert first_convolution(torch.nn.Conv3d(2, 4, 3)) == (2, 3)
    assert first_convolution(torch.jit.script(torch.nn.Conv2d(3, 4, 3))) == (3, 2)
    assert first_convolution(torch.nn.ReLU()) == (None, None)
    assert input_channels(torch.nn.Conv3d(2, 4, 3)) == 2 and input_channels(torch.nn.ReLU()) is None


def test_grey_becomes_colour_and_back():
    grey3 = torch.rand(2, 1, 4, 4).expand(-1, 3, 4, 4)
    assert match_channels(grey3, 1).shape == (2, 1, 4, 4)
    assert match_channels(grey3[:, :1], 3).shape == (2, 3, 4, 4)
    assert match_channels(grey3, None) is grey3 and match_channels(grey3, 3) is grey3


def test_different_channels_are_never_lost():
    with pytest.raises(ValueError, match="3 different channels"):
        match_channels(torch.rand(2, 3, 4, 4), 1)
    with pytest.raises(ValueError, match=r"as_model\(..., channels=2\)"):
        match_channels(torch.rand(2, 2, 4, 4), 3)


def test_eight_bits():
    stored = Case(torch.tensor([[[0.0, 100.4, 300.0]]]), source=Source("pil", "uint8", "none"))
    assert to_eight_bits(stored, 1).tolist() == [[0, 100, 255]]
    scaled = Case(torch.tensor([[[-1.0, 0.0, 1.0]]]), scale=(-1.0, 1.0))
    assert to_eight_bits(scaled, 1).tolist() == [[0, 128, 255]]
    coloured = to_eight_bits(scaled, 3)
    assert coloured.shape == (1, 3, 3) and coloured.dtype == np.uint8
    assert to_eight_bits(scaled.replace(scale=(2.0, 2.0)), 1).dtype == np.uint8  # no division by zero


def test_exported_programs_tell_their_shape():
    convolution = torch.nn.Conv2d(1, 2, 3, padding=1).eval()
    images = torch.rand(2, 1, 8, 8)
    any_size = torch.export.Dim.AUTO
    fixed = torch.export.export(convolution, (images,)).module()
    free = torch.export.export(convolution, (images,), dynamic_shapes=({0: any_size, 2: any_size, 3: any_size},))
    assert exported_shape(fixed) == (2, 1, 8, 8)
    assert exported_shape(free.module()) == (None, 1, None, None)
    assert exported_shape(convolution) is None


def test_groups_are_filled_up():
    x = torch.rand(5, 1, 8, 8)
    assert [len(g) for g in groups_of(x, 2)] == [2, 2, 2]
    assert torch.equal(torch.cat(groups_of(x, 2))[:5], x)
    assert torch.equal(groups_of(x, 2)[-1][1], x[-1])
    assert groups_of(x, None) == [x] and groups_of(x, 5) == [x]
    assert [len(g) for g in groups_of(x, 8)] == [8]
