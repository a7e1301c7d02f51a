"""The contracts: cases, models, transforms and the sweep that brings them together"""

from .checks import *
from .registry import *
from .memory import *
from .fingerprint import *
from .packing import *
from .cases import *
from .prompts import *
from .reference import *
from .segments import *
from .model import *
from .wrapper import *
from .thresholds import *
from .transform import *
from .sweeps import *

from . import (
    cases,
    checks,
    fingerprint,
    memory,
    model,
    packing,
    prompts,
    reference,
    registry,
    segments,
    sweeps,
    thresholds,
    transform,
    wrapper,
)

__all__ = [
    *checks.__all__,
    *registry.__all__,
    *memory.__all__,
    *fingerprint.__all__,
    *packing.__all__,
    *cases.__all__,
    *prompts.__all__,
    *reference.__all__,
    *segments.__all__,
    *model.__all__,
    *wrapper.__all__,
    *thresholds.__all__,
    *transform.__all__,
    *sweeps.__all__,
]
