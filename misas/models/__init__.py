"""Models of any framework in one batched form"""

# In this order: an adapter that is registered later is asked first.
from .fast import *
from .inputs import *
from .outputs import *
from .preprocessing import *
from .logits import *
from .pytorch import *
from .loading import *
from .fastai import *
from .demo import *
from .sizes import *
from .windows import *
from .orientation import *
from .ensemble import *
from .arrays import *
from .keras import *
from .tape import *
from .layers import *
from .activations import *
from .randomised import *
from .gradients import *
from .attacks import *
from .adversarial import *
from .masking import *
from .prompted import *
from .tensorflow import *
from .onnx import *
from .hub import *
from .remote import *
from .nnunet import *

from . import (
    activations,
    adversarial,
    arrays,
    attacks,
    demo,
    ensemble,
    fast,
    fastai,
    gradients,
    hub,
    inputs,
    keras,
    layers,
    loading,
    logits,
    masking,
    nnunet,
    onnx,
    orientation,
    outputs,
    preprocessing,
    prompted,
    pytorch,
    randomised,
    remote,
    sizes,
    tape,
    tensorflow,
    windows,
)

__all__ = [
    *fast.__all__,
    *inputs.__all__,
    *outputs.__all__,
    *preprocessing.__all__,
    *pytorch.__all__,
    *loading.__all__,
    *fastai.__all__,
    *demo.__all__,
    *sizes.__all__,
    *windows.__all__,
    *orientation.__all__,
    *ensemble.__all__,
    *arrays.__all__,
    *keras.__all__,
    *tensorflow.__all__,
    *onnx.__all__,
    *hub.__all__,
    *remote.__all__,
    *nnunet.__all__,
    *logits.__all__,
    *tape.__all__,
    *layers.__all__,
    *activations.__all__,
    *randomised.__all__,
    *gradients.__all__,
    *attacks.__all__,
    *adversarial.__all__,
    *masking.__all__,
    *prompted.__all__,
]
