"What people and programs hand over by mistake, and worse"

import io
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fuzz.calls import things
from hypothesis import strategies as st
from PIL import Image

NAMES = [
    "",
    " ",
    "nope",
    "Dice",
    "dice ",
    "rotation",
    "0,30",
    "None",
    "a" * 300,
    "a/b",
    "\x00",
    "\ud800",
    "ü漢",
    "=1+1",
    "<b>",
]
NUMBERS = [0, -1, 1, 2, 3, 255, 10**9, 10**30, 0.5, -0.5, 1.5, 1e300, float("nan"), float("inf"), float("-inf"), 1j]
OTHER_NUMBERS = [np.int64(-3), np.float32(2.5), np.uint8(7), np.bool_(True), Fraction(1, 3), Decimal("0.1")]
ARRAYS = [
    np.array(2),
    np.array([]),
    np.zeros((2, 2)),
    np.zeros((12, 14)),
    np.full((12, 14), np.nan),
    np.zeros((1, 1, 1, 1, 1)),
    np.array(["a", "b"]),
    np.array([None, 1], dtype=object),
    np.ma.masked_array([1, 2], [True, False]),
    np.zeros(3, dtype="M8[s]"),
]
TENSORS = [torch.tensor(1.0), torch.zeros(3), torch.zeros(1, 12, 14), torch.zeros(2, 2, dtype=torch.complex64)]
NOTHING = [None, True, False, (), [], {}, set(), b"", b"x", ...]
LISTS = [[None], ["a"], [1, 2, 3], (1,), (0, 0), (1, -1), [[1, 2], [3]], {1: 2}, {"a": 1}, {"a": "b", 2: None}, {1, 2}]
OBJECTS = [object(), int, len, slice(1), range(3), Path("nowhere"), io.BytesIO(b"x"), Ellipsis, NotImplemented]
TABLES = [pd.DataFrame(), pd.DataFrame({"a": [1]}), pd.Series([1, 2]), pd.DataFrame({"score": ["x"], "value": [None]})]


def library_objects() -> list:
    "Objects of misas, where another of them is meant"
    import misas as ms

    t = things()
    with_gaps = t.scores.assign(score=np.nan)
    first = t.scores.head(1)
    lacking = t.scores.drop(columns="label")
    doubled = pd.concat([t.scores, t.scores])
    tables = [t.scores, t.scores.head(0), first, with_gaps, lacking, doubled]
    return [t.case, t.volume, t.series, t.series[0], ms.Rotate, ms.Rotate(), ms.demo_model, [t.case, t.volume], *tables]


def fixed() -> list:
    "All of the values above"
    pictures = [Image.new("L", (14, 12)), Image.new("RGB", (3, 2))]
    plain = [NAMES, NUMBERS, OTHER_NUMBERS, ARRAYS, TENSORS, NOTHING, LISTS, OBJECTS, TABLES, pictures]
    return [value for group in plain for value in group] + library_objects()


def values() -> st.SearchStrategy:
    "One of the fixed values, or one that hypothesis makes"
    scalars = st.one_of(st.integers(), st.floats(), st.text(max_size=20), st.none(), st.booleans())
    return st.one_of(
        st.sampled_from(fixed()),
        st.sampled_from(fixed()),
        scalars,
        st.lists(scalars, max_size=4),
        st.dictionaries(st.text(max_size=5), scalars, max_size=3),
    )
