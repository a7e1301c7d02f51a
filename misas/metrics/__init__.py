"""How well a prediction agrees with the truth"""

from .counts import *
from .base import *
from .overlap import *
from .distance import *
from .fusion import *

from . import base, counts, distance, fusion, overlap

__all__ = [
    *counts.__all__,
    *base.__all__,
    *overlap.__all__,
    *distance.__all__,
    *fusion.__all__,
]
