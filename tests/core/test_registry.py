"Whatever part of misas is imported first, it behaves the same"

import subprocess
import sys

import pytest

CODE = """
import numpy as np
import torch
from misas.core.cases import as_case
from misas.core.model import ADAPTERS, as_model
from misas.core.transform import as_transform, known_transforms

print(type(as_model(torch.nn.Conv2d(1, 2, 1))).__name__, as_transform("motion"), as_case(np.zeros((3, 4))))
print(list(known_transforms()))
print([make.__qualname__ for _, make in ADAPTERS])
"""


def said_after(statement):
    "What a fresh Python prints that runs `statement` first"
    done = subprocess.run([sys.executable, "-c", statement + CODE], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def expected():
    said = said_after("from misas.all import *")
    assert said.startswith("TorchModel motion Case(")
    return said


@pytest.mark.parametrize("module", ["misas.core.sweeps", "misas.transforms.mri", "misas.models.windows", "misas.plot"])
def test_the_first_import_makes_no_difference(module, expected):
    assert said_after(f"import {module}") == expected


OWN_ADAPTER = """
from misas.core.model import Model, adapter, as_model

@adapter(callable)
class Mine(Model):
    def __init__(self, obj, **options):
        self.obj = obj

import torch
assert isinstance(as_model(torch.nn.Conv2d(1, 2, 1)), Mine)
"""


@pytest.mark.parametrize("first", ["", "import misas.models"], ids=["before misas.models", "after it"])
def test_an_adapter_of_the_user_is_tried_first(first):
    subprocess.run([sys.executable, "-c", first + OWN_ADAPTER], check=True)
