"""An accelerator that is none: tensors say that they are on it, and the processor computes.

What a real one would refuse is refused here: operations that mix tensors of both sides, and reading memory of the
device as if it were one's own. What crosses the border is counted. So the way of the data can be tested anywhere.
"""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("lazy")  # the one of torch's devices that needs neither hardware nor a build of its own
COPIES = {"_to_copy", "copy_", "_local_scalar_dense"}


class Remote(torch.Tensor):
    "A tensor on the device; `held` is where its numbers really are"

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )
        made.held = held
        return made

    def __repr__(self):
        return f"Remote({self.held!r})"

    def tolist(self):
        border.back.append(self.numel())
        return self.held.tolist()  # allowed on a real one, too

    def __deepcopy__(self, memo):
        return Remote(self.held.clone())

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return run(op, args, kwargs or {})


def on_device(x) -> bool:
    return isinstance(x, torch.Tensor) and x.device.type == DEVICE.type


def held_by(x):
    "The numbers of a tensor on the device; all else as it is"
    return x.held if isinstance(x, Remote) else x


class Border:
    "What crossed it: number of tensors, and their elements, each way"

    def __init__(self):
        self.there, self.back = [], []


border = Border()


def run(op, args, kwargs):
    "Run an operation as the device would"
    name = op.overloadpacket.__name__
    wanted = kwargs.get("device")
    flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    here = [x for x in flat if not on_device(x) and x.ndim > 0]
    there = [x for x in flat if on_device(x)]
    if name not in COPIES and here and there:
        shapes = f"{[tuple(x.shape) for x in there]} there and {[tuple(x.shape) for x in here]} here"
        raise RuntimeError(f"Expected all tensors to be on the same device: {op} of {shapes}")
    given = {id(x.held): x for x in there if isinstance(x, Remote)}
    if wanted is not None and torch.device(wanted).type == DEVICE.type:
        kwargs = kwargs | dict(device=torch.device("cpu"))
    kwargs.pop("pin_memory", None)
    result = op(*tree_map(held_by, args), **tree_map(held_by, kwargs))
    to_device = torch.device(wanted).type == DEVICE.type if wanted is not None else bool(there)
    if name == "copy_":
        to_device = on_device(args[0])
    count(name, args, there, wanted)

    def placed(x):
        if not isinstance(x, torch.Tensor) or not to_device:
            return x
        return given[id(x)] if id(x) in given else Remote(x)

    return tree_map(placed, result)


def count(name, args, there, wanted):
    "Note a copy over the border"
    if name == "_local_scalar_dense":
        border.back.append(1)
        return
    if name == "copy_" and on_device(args[0]) != on_device(args[1]):
        (border.there if on_device(args[0]) else border.back).append(args[1].numel())
    if name != "_to_copy" or wanted is None:
        return
    target = torch.device(wanted).type == DEVICE.type
    if target != bool(there):
        (border.there if target else border.back).append(args[0].numel())


class Accelerator(TorchDispatchMode):
    "Catches what makes tensors on the device out of others, or out of nothing"

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        return run(op, args, kwargs or {})


@contextmanager
def accelerator():
    "While this lasts, there is a device `lazy`; gives what crosses its border"
    global border
    border = Border()
    with Accelerator():
        yield border


def moved(net: torch.nn.Module) -> torch.nn.Module:
    "The network, in place, on the device"
    for m in net.modules():
        for k, p in m._parameters.items():
            if p is not None:
                m._parameters[k] = torch.nn.Parameter(Remote(p.data), requires_grad=False)
        for k, b in m._buffers.items():
            if b is not None:
                m._buffers[k] = Remote(b)
    return net
