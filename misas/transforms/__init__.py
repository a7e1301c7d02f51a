"""Controlled changes of an image"""
from . import basic, ct, geometry, kspace, mri, photo, spatial
from .spatial import *
from .basic import *
from .geometry import *
from .ct import *
from .kspace import *
from .mri import *
from .photo import *

__all__ = [*spatial.__all__, *basic.__all__, *geometry.__all__, *ct.__all__, *kspace.__all__, *mri.__all__, *photo.__all__]
