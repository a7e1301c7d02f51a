"""Score tables: swept, scored and kept"""

from .table import *
from .store import *
from .scoring import *

from . import scoring, store, table

__all__ = [
    *table.__all__,
    *store.__all__,
    *scoring.__all__,
]
