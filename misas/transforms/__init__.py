"""Controlled changes of an image"""

from .spatial import *
from .basic import *
from .geometry import *
from .kspace import *
from .mri import *
from .ct import *
from .photo import *

from . import basic, ct, geometry, kspace, mri, photo, spatial

__all__ = [
    *spatial.__all__,
    *basic.__all__,
    *geometry.__all__,
    *kspace.__all__,
    *mri.__all__,
    *ct.__all__,
    *photo.__all__,
]
