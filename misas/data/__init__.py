"""Images and masks: files, DICOM, NIfTI, structures, folders of cases, and phantoms"""

from .files import *
from .dicom import *
from .rtstruct import *
from .structures import *
from .sources import *
from .casefile import *
from .loading import *
from .casetables import *
from .folders import *
from .phantoms import *

from . import casefile, casetables, dicom, files, folders, loading, phantoms, rtstruct, sources, structures

__all__ = [
    *files.__all__,
    *dicom.__all__,
    *rtstruct.__all__,
    *structures.__all__,
    *sources.__all__,
    *casefile.__all__,
    *loading.__all__,
    *casetables.__all__,
    *folders.__all__,
    *phantoms.__all__,
]


def __getattr__(name):
    "Names of earlier versions"
    if name == "Unfit":
        import warnings

        warnings.warn("Unfit is now called InvalidImageError", DeprecationWarning, stacklevel=2)
        return files.InvalidImageError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
