"""Score tables: swept, scored and kept"""

from .table import *
from .files import *
from .store import *
from .scoring import *

from . import files, scoring, store, table

__all__ = [
    *table.__all__,
    *files.__all__,
    *store.__all__,
    *scoring.__all__,
]
