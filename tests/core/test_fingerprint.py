"Cache keys: what must have another key, and what must have the same"

import collections
import functools
import inspect
import io
import logging
import os
import subprocess
import sys
import types
import warnings
from threading import RLock

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial import cKDTree
from sklearn.ensemble import RandomForestClassifier

from misas.core import fingerprint
from misas.core.fingerprint import checksum

HERE = globals()


def differ(make, *settings):
    "Has each setting its own key, and the same key when the thing is made again?"
    keys = [checksum(make(s)) for s in settings]
    again = [checksum(make(s)) for s in settings]
    return len(set(keys)) == len(settings) and keys == again


@pytest.fixture(autouse=True)
def no_warnings_of_checksum():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="checksum cannot look into")
        yield


# numbers, texts and what holds them


def test_kinds_of_numbers_and_texts_are_told_apart():
    assert checksum(1) == checksum(1) != checksum(1.0) != checksum("1")
    assert checksum(b"a") == checksum(b"a") != checksum("a") != checksum(b"b")
    assert differ(str, "<a at 0x12>", "<a at 0x13>")


def test_nesting_counts():
    assert checksum([1, 2]) != checksum((1, 2)) != checksum(1, 2)
    assert checksum([[1], 2]) != checksum([1, [2]])
    assert differ(lambda pairs: dict(pairs), [("a", [1]), ("b", [2])], [("a", [2]), ("b", [1])])


def test_order_of_a_set_does_not_count():
    assert checksum({"b", "a"}) == checksum({"a", "b"})


def test_arrays():
    assert checksum(np.arange(3)) == checksum(np.arange(3)) != checksum(np.arange(3.0))
    assert checksum(np.zeros((2, 3))) != checksum(np.zeros((3, 2)))
    assert differ(lambda m: np.ma.masked_array([1, 2], [0, m]), 0, 1)
    assert differ(lambda x: np.array([x, None]), "a", "b")


def test_tensors():
    counted = torch.arange(6).reshape(2, 3)
    assert checksum(counted.T) == checksum(torch.tensor([[0, 3], [1, 4], [2, 5]])) != checksum(counted)
    assert checksum(torch.ones(2).bfloat16()) != checksum(torch.ones(2).half())
    assert checksum(torch.tensor(3.0)) != checksum(torch.tensor(4.0))
    assert differ(lambda n: (torch.eye(99) * n).to_sparse(), 1, 2)


def test_quantized_tensors():
    def quantized(n):
        numbers = torch.arange(20_000.0).index_fill(0, torch.tensor(5000), n)
        return torch.quantize_per_tensor(numbers, 1.0, 0, torch.qint32)

    with pytest.warns(UserWarning, match="quantize"):
        assert differ(quantized, 3, 4)


def test_things_that_hold_themselves():
    circle = []
    circle.append(circle)
    assert checksum(circle) == checksum(circle)
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert checksum(deep) == checksum(deep)


def test_one_thing_is_told_from_two_that_are_alike():
    a, b = [[1]], [[1]]
    assert checksum([a, b, a]) == checksum([b, a, b]) != checksum([a, b, b])


# functions


def over(n):
    return lambda x: x / n


def helper(x):
    return x + 1


weights = np.ones(3)


def weighted(x):
    return helper(x) * weights


def test_functions_of_one_line_are_told_apart():
    halves = [lambda x: x / 2, lambda x: x / 3]
    assert checksum(halves[0]) == checksum(halves[0]) != checksum(halves[1])


def test_what_a_function_encloses_counts():
    assert checksum(over(2)) == checksum(over(2)) != checksum(over(3))
    assert checksum(functools.partial(over, 2)) != checksum(functools.partial(over, 3))


def test_defaults_count():
    def least(x, t=0.5):
        return x > t

    first = checksum(least)
    least.__defaults__ = (0.6,)
    assert checksum(least) != first


def test_kinds_of_arguments_and_exceptions_count():
    def plain(a, b):
        return a, b

    def named(a, *, b):
        return a, b

    named.__name__ = plain.__name__
    assert checksum(plain) != checksum(named)


def test_globals_count(monkeypatch):
    first = checksum(weighted)
    monkeypatch.setitem(HERE, "weights", np.array([2.0, 1, 1]))
    second = checksum(weighted)
    monkeypatch.setitem(HERE, "helper", lambda x: x + 2)
    assert len({first, second, checksum(weighted)}) == 3


def test_functions_of_libraries_are_told_apart():
    assert checksum(np.median) == checksum(np.median) != checksum(np.mean)
    assert checksum(inspect.signature) != checksum(inspect.getfile)


def test_what_a_function_of_a_library_encloses_counts():
    namespace = {"__name__": "scipy.made"}
    exec("def make(n):\n    return lambda x: x + n", namespace)
    assert differ(namespace["make"], 1, 2)


def test_modules_of_the_users_are_followed(monkeypatch):
    mine = types.ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", mine)

    def through(x):
        return mine.shift(x)

    def shift_by(n):
        mine.shift = lambda x: x + n
        return through

    assert differ(shift_by, 1, 2)
    assert differ(lambda n: (shift_by(n), mine)[1], 1, 2)


def test_modules_imported_within_a_function_are_followed(tmp_path, monkeypatch):
    def predict(image):
        from mine_in_a_file import shift

        return shift(image)

    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    for n in (1, 2, 1):
        # another length each time, or the compiled file would be taken for the new one
        (tmp_path / "mine_in_a_file.py").write_text(f"def shift(x):\n    return x + {n}" + "\n" * len(keys))
        monkeypatch.delitem(sys.modules, "mine_in_a_file", raising=False)
        keys.append(checksum(predict))
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]


# objects


class Threshold:
    def __init__(self, least):
        self.least, self.net = least, torch.nn.Conv2d(1, 1, 1)

    def predict(self, image):
        return self.cut(image)

    def cut(self, image):
        return image > self.least


@pytest.fixture
def alike():
    "Two objects that do the same"
    one, other = Threshold(0.5), Threshold(0.5)
    other.net.load_state_dict(one.net.state_dict())
    return one, other


def test_weights_count():
    one, other = Threshold(0.5), Threshold(0.5)
    assert checksum(one.predict) == checksum(one.predict) != checksum(other.predict)
    other.net.load_state_dict(one.net.state_dict())
    assert checksum(one) == checksum(other)
    assert checksum(one.predict) == checksum(other.predict)


def test_attributes_count(alike):
    one, other = alike
    other.least = 0.6
    assert checksum(one) != checksum(other)
    other.least = 0.5
    assert checksum(one.predict) == checksum(other.predict)


def test_training_does_not_count_and_a_stride_does(alike):
    one, other = alike
    other.net.train(not one.net.training)
    assert checksum(one) == checksum(other)
    other.net.stride = (2, 2)
    assert checksum(one) != checksum(other)


def test_a_replaced_method_counts(alike, monkeypatch):
    one, _ = alike
    first = checksum(one.predict)
    monkeypatch.setattr(Threshold, "cut", lambda self, image: image >= self.least)
    assert checksum(one.predict) != first


def test_a_replaced_method_of_a_library_counts(alike, monkeypatch):
    one, _ = alike
    first = checksum(one)
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda self, x: x)
    assert checksum(one) != first


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class Both(Slotted):
    def __init__(self, a):
        super().__init__(a)
        self.b = 1


class Hidden:
    __slots__ = ("__a",)

    def __init__(self, a):
        self.__a = a


class Silent:
    "Leaves out what matters"

    def __init__(self, a):
        self.a = a

    def __getstate__(self):
        return {}


class Table(dict):
    def __init__(self, least):
        self.least = least


class Late:
    def __init__(self, t):
        self.table, self.threshold = {f"word {i}": (i, [i]) for i in range(5_000)}, t


class Long:
    def __init__(self, t):
        self.words, self.threshold = {f"word {i}": i for i in range(60_000)}, t


class Fixed:
    threshold = 0.5

    def predict(self, image):
        return image > self.threshold


class Computed:
    def __init__(self, t):
        self.t = t

    @functools.cached_property
    def least(self):
        return self.t


@pytest.mark.parametrize(
    "make", [Slotted, Both, Hidden, Silent, Table, Late, Long, Computed, collections.deque, np.poly1d]
)
def test_what_an_object_holds_counts(make):
    make_one = make if make is not collections.deque else lambda t: collections.deque(t)
    assert differ(make_one, [0.5], [0.9])


def test_an_attribute_of_a_class_counts(monkeypatch):
    def fixed(t):
        monkeypatch.setattr(Fixed, "threshold", t)
        return Fixed().predict

    assert differ(fixed, [0.5], [0.9])


def test_a_property_counts(monkeypatch):
    first = checksum(Computed(1))
    changed = functools.cached_property(lambda self: 2 * self.t)
    changed.__set_name__(Computed, "least")
    monkeypatch.setattr(Computed, "least", changed)
    assert checksum(Computed(1)) != first


def test_things_of_the_same_kind_without_a_state_are_the_same():
    assert checksum(object()) == checksum(object())
    assert checksum(np.random.default_rng(0)) == checksum(np.random.default_rng(0))


def test_things_of_libraries():
    x = np.random.default_rng(0).random((50, 2))

    def forest(axis):
        return RandomForestClassifier(3, random_state=0).fit(x, x[:, axis] > 0.5)

    assert differ(forest, 0, 1)
    assert differ(lambda axis: forest(axis).predict, 0, 1)
    assert differ(lambda n: pd.DataFrame(dict(a=[1.0, n], b=["x", "y"])), 2, 3)
    assert differ(np.random.default_rng, 1, 2)
    assert differ(lambda seed: torch.Generator().manual_seed(seed), 1, 2)
    assert checksum(cKDTree(x)) != checksum(cKDTree(x + 1))


def test_looking_into_a_table_makes_no_difference():
    table = pd.DataFrame(dict(a=[1, 2]))
    first = checksum(table)
    assert table["a"].sum() == 3
    assert table.loc[0, "a"] == 1
    assert checksum(table) == first


# networks


class Scaled(torch.nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return self.by * x


class Shifted(Scaled):
    def __init__(self, by):
        super().__init__(1)
        self._by = by
        self.register_buffer("shift", torch.tensor(by), persistent=False)


def equal_weights(net):
    for p in net.parameters():
        torch.nn.init.constant_(p, 0.1)
    return net


def replaced(k):
    net = equal_weights(torch.nn.Conv2d(1, 1, 1))
    net.forward = lambda x: x * k
    return net


def hooked(k):
    net = equal_weights(torch.nn.Conv2d(1, 1, 1))
    net.register_forward_hook(lambda net, x, y: y * k)
    return net


def test_settings_of_layers_count():
    def upsample(align):
        return torch.nn.Sequential(torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=align))

    assert differ(Scaled, 2, 3)
    assert differ(upsample, True, False)
    assert differ(lambda n: equal_weights(torch.nn.MultiheadAttention(8, n)), 2, 4)
    assert differ(lambda a: equal_weights(torch.nn.TransformerEncoderLayer(8, 2, activation=a)), "relu", "gelu")


def test_a_replaced_forward_hooks_and_buffers_count():
    assert differ(replaced, 1, 2)
    assert differ(hooked, 1, 2)
    assert differ(Shifted, 1.0, 2.0)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_traced_networks():
    assert differ(lambda k: torch.jit.trace(Scaled(k), torch.ones(2)), 2, 3)
    assert differ(lambda k: torch.fx.symbolic_trace(Scaled(k)), 2, 3)


@pytest.mark.parametrize(
    "net, shape",
    [
        (torch.nn.LSTM(3, 4), (2, 1, 3)),
        (torch.nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 1, 8, 8)),
        (torch.nn.MultiheadAttention(4, 2), None),
    ],
)
def test_running_a_network_makes_no_difference(net, shape):
    net.eval()
    first = checksum(net)
    images = [torch.rand(shape)] if shape else [torch.rand(2, 1, 4)] * 3
    with torch.inference_mode():
        net(*images)
    assert checksum(net) == first


class OfLibrary(torch.nn.Conv2d):
    __module__ = "scipy.layers"

    def forward(self, x):
        self._has_run = True
        return super().forward(x)


def test_a_private_flag_of_a_librarys_layer_is_a_note_of_having_run(monkeypatch):
    layer = OfLibrary(1, 1, 1)
    layer._secret = 1
    first = checksum(layer)
    layer(torch.rand(1, 1, 2, 2))
    assert checksum(layer) == first
    layer._secret = 2
    assert checksum(layer) != first


def test_compiling_makes_no_difference():
    net = torch.nn.Conv2d(1, 1, 1)
    first = checksum(net)
    assert checksum(torch.compile(net)) == first
    net.compile()
    assert checksum(net) == first


# what cannot be seen


class Broken:
    __module__ = "scipy.broken"

    def __reduce_ex__(self, protocol):
        raise RuntimeError("gone")


class Shy:
    def __init__(self, a):
        self.a = a

    @property
    def __dict__(self):
        raise RuntimeError("gone")


def test_attributes_are_seen_though_they_are_hidden():
    assert differ(Shy, 1, 2)


@pytest.mark.parametrize("make, why", [(lambda: memoryview(b"a"), "cannot pickle"), (Broken, "gone")])
def test_what_cannot_be_seen_is_never_the_same(make, why):
    with pytest.warns(UserWarning, match=f"cannot look into a .*{why}"):
        assert checksum(make()) != checksum(make())


def test_an_open_file_cannot_be_seen(tmp_path):
    with open(tmp_path / "log", "w") as file, pytest.warns(UserWarning, match="cannot look into a _io.TextIOWrapper"):
        assert checksum([file]) != checksum([file])


def test_a_version_stands_for_what_cannot_be_seen():
    assert checksum(memoryview(b"a"), version="1") == checksum(memoryview(b"b"), version="1")
    assert checksum(memoryview(b"a"), version="1") != checksum(memoryview(b"a"), version="2")
    assert checksum([memoryview(b"a"), 1], version="1") != checksum([memoryview(b"a"), 2], version="1")
    assert checksum(1) != checksum(1, version="1")


def test_more_than_anyone_would_look_at(monkeypatch):
    monkeypatch.setattr(fingerprint, "_ENOUGH", 10)
    with pytest.warns(UserWarning, match="more than 10 things"):
        assert checksum(Late(1)) != checksum(Late(1))
    assert checksum(Late(1), version="1") == checksum(Late(1), version="1")


class Carries:
    def __init__(self, t):
        self.lock = RLock()
        self.log = logging.getLogger("a")
        self.file = io.StringIO("a")
        self.rest = (i for i in range(3))
        self.t = t


def test_what_is_carried_along_does_no_harm():
    assert differ(Carries, 1, 2)
    ring = Carries(1)
    ring.self = ring
    assert checksum(ring) == checksum(ring)


def test_what_a_generator_or_a_file_in_memory_holds_counts():
    assert differ(io.StringIO, "a", "b")
    assert differ(lambda n: (i for i in range(n)), 1, 2)


# versions and processes


def test_the_version_of_misas_counts(monkeypatch):
    first = checksum(1)
    monkeypatch.setattr(fingerprint, "__version__", "0.0.0")
    assert checksum(1) != first


CODE = """
import logging, re, threading, torch, numpy as np, pandas as pd
from sklearn.ensemble import RandomForestClassifier
from functools import partial
from misas.core.fingerprint import checksum

class A:
    allowed = {"x", "y", "z"}

    def __init__(self):
        self.names = {"b", "a", "c"}
        self.least = np.float32(0.5)
        self.net = torch.nn.Linear(2, 2)
        self.lock = threading.Lock()
        self.log = logging.getLogger("a")
        self.tables = pd.DataFrame(dict(a=[1]))

    def predict(self, x):
        return [y for y in x if y in self.names and y != {"p", "q"}]

torch.manual_seed(0)
forest = RandomForestClassifier(3, random_state=0).fit(np.eye(4), [0, 1, 0, 1])
things = (
    A().predict,
    lambda x: np.median(x),
    {"a": (1, 2)},
    torch.arange(3),
    partial(print, 3),
    forest,
    re.compile("a+"),
    object(),
    torch.nn.MultiheadAttention(4, 2),
    np.add,
)
print(checksum(*things), *map(checksum, things))
"""


def test_the_same_in_every_process():
    "Texts have another hash there, and everything lies elsewhere"
    keys = {
        subprocess.run(
            [sys.executable, "-W", "error::UserWarning:misas", "-c", CODE],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in "01"
    }
    assert len(keys) == 1
    assert {len(key) for key in keys.pop().split()} == {16}
