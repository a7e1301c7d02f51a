"""Adapters: any framework in the batched form"""
from . import arrays, demo, ensemble, fast, fastai, hub, keras, loading, nnunet, onnx, orientation, pytorch, remote, sizes, tensorflow, windows
from .fast import *
from .demo import *
from .pytorch import *
from .loading import *
from .orientation import *
from .remote import *
from .ensemble import *
from .arrays import *
from .fastai import *
from .nnunet import *
from .keras import *
from .tensorflow import *
from .onnx import *
from .hub import *
from .sizes import *
from .windows import *

__all__ = [*fast.__all__, *demo.__all__, *pytorch.__all__, *loading.__all__, *orientation.__all__, *remote.__all__, *ensemble.__all__, *arrays.__all__, *fastai.__all__, *nnunet.__all__, *keras.__all__, *tensorflow.__all__, *onnx.__all__, *hub.__all__, *sizes.__all__, *windows.__all__]
