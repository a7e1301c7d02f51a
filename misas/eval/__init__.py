"""Score tables: swept, scored and kept"""

from .table import *
from .files import *
from .store import *
from .steps import *
from .jobs import *
from .scoring import *

from . import files, jobs, scoring, steps, store, table

__all__ = [
    *table.__all__,
    *files.__all__,
    *store.__all__,
    *steps.__all__,
    *jobs.__all__,
    *scoring.__all__,
]
