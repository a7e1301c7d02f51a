"""The contracts: cases, models, transforms, sweeps"""
from . import cases, checks, fingerprint, memory, model, reference, sweeps, transform
from .memory import *
from .checks import *
from .fingerprint import *
from .cases import *
from .reference import *
from .model import *
from .transform import *
from .sweeps import *

__all__ = [*memory.__all__, *checks.__all__, *fingerprint.__all__, *cases.__all__, *reference.__all__, *model.__all__, *transform.__all__, *sweeps.__all__]
