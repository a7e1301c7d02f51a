"""Images and masks from every source"""
from . import dicom, files, folders, loading, phantoms, rtstruct, sources, structures
from .files import *
from .phantoms import *
from .rtstruct import *
from .dicom import *
from .sources import *
from .structures import *
from .loading import *
from .folders import *

__all__ = [*files.__all__, *phantoms.__all__, *rtstruct.__all__, *dicom.__all__, *sources.__all__, *structures.__all__, *loading.__all__, *folders.__all__]
