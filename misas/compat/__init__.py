"""Notebooks written for misas 0.1.1 run with one changed import: `from misas.compat import *`"""

from .pictures import *
from .series import *
from .plots import *
from .batches import *
from .learner import *

from . import batches, learner, pictures, plots, series
from .plots import COLORMAPS, masked_colormap

__all__ = [
    *pictures.__all__,
    *series.__all__,
    *plots.__all__,
    *batches.__all__,
    *learner.__all__,
    *COLORMAPS,
]


def __getattr__(name: str):
    "A colormap, which is made when it is first used: matplotlib is imported for it"
    if name in COLORMAPS:
        return masked_colormap(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
