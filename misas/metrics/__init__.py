"""How well a prediction agrees with the truth"""
from . import base, counts, distance, fusion, overlap
from .counts import *
from .base import *
from .fusion import *
from .overlap import *
from .distance import *

__all__ = [*counts.__all__, *base.__all__, *fusion.__all__, *overlap.__all__, *distance.__all__]
