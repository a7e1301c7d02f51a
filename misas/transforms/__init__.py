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
from .ultrasound import *
from .endoscopy import *
from .histology import *
from .fundus import *
from .phase import *
from .tissues import *
from .snr import *
from .contract import *
from .roundtrip import *
from .prompts import *
from .grids import *

from . import (
    basic,
    contract,
    ct,
    endoscopy,
    fundus,
    geometry,
    grids,
    histology,
    joint,
    kspace,
    mri,
    phase,
    photo,
    projections,
    prompts,
    roundtrip,
    snr,
    spatial,
    tissues,
    ultrasound,
)

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
    *ultrasound.__all__,
    *endoscopy.__all__,
    *histology.__all__,
    *fundus.__all__,
    *phase.__all__,
    *tissues.__all__,
    *snr.__all__,
    *contract.__all__,
    *roundtrip.__all__,
    *prompts.__all__,
    *grids.__all__,
]
