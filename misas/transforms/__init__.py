"""Controlled changes of an image"""

from .spatial import *
from .basic import *
from .geometry import *
from .joint import *
from .kspace import *
from .mri import *
from .ct import *
from .projections import *
from .photo import *
from .contract import *
from .roundtrip import *
from .prompts import *

from . import basic, contract, ct, geometry, joint, kspace, mri, photo, projections, prompts, roundtrip, spatial

__all__ = [
    *spatial.__all__,
    *basic.__all__,
    *geometry.__all__,
    *joint.__all__,
    *kspace.__all__,
    *mri.__all__,
    *ct.__all__,
    *projections.__all__,
    *photo.__all__,
    *contract.__all__,
    *roundtrip.__all__,
    *prompts.__all__,
]
