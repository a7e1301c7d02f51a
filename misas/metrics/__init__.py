"""How well a prediction agrees with the truth"""

from .counts import *
from .base import *
from .overlap import *
from .distance import *
from .fusion import *
from .errors import *
from .lesions import *
from .boundaries import *

from . import base, boundaries, counts, distance, errors, fusion, lesions, overlap

__all__ = [
    *counts.__all__,
    *base.__all__,
    *overlap.__all__,
    *distance.__all__,
    *fusion.__all__,
    *errors.__all__,
    *lesions.__all__,
    *boundaries.__all__,
]
