"""Score tables: sweep, score, keep"""
from . import scoring, store, table
from .store import *
from .table import *
from .scoring import *

__all__ = [*store.__all__, *table.__all__, *scoring.__all__]
