"""What score tables say: summaries, comparisons, advice"""

from .measures import *
from .groups import *
from .summary import *
from .arms import *
from .armtests import *
from .papertables import *
from .comparison import *
from .cohort import *
from .probability import *
from .thresholds import *
from .features import *
from .explore import *
from .consensus import *
from .augmentation import *
from .preparation import *
from .selection import *
from .splits import *
from .learning import *
from .scaling import *
from .pixelsets import *
from .explanation import *
from .occlusion import *
from .sanity import *
from .grouptest import *
from .guarantees import *
from .floor import *
from .severity import *
from .expected import *
from .confidence import *
from .referral import *
from .conformal import *
from .lesionsizes import *
from .limits import *

from . import (
    arms,
    armtests,
    augmentation,
    cohort,
    comparison,
    confidence,
    conformal,
    consensus,
    expected,
    explanation,
    explore,
    features,
    floor,
    groups,
    guarantees,
    grouptest,
    learning,
    lesionsizes,
    limits,
    measures,
    occlusion,
    papertables,
    pixelsets,
    preparation,
    probability,
    referral,
    sanity,
    scaling,
    selection,
    severity,
    splits,
    summary,
    thresholds,
)

__all__ = [
    *measures.__all__,
    *groups.__all__,
    *summary.__all__,
    *arms.__all__,
    *armtests.__all__,
    *papertables.__all__,
    *comparison.__all__,
    *cohort.__all__,
    *probability.__all__,
    *thresholds.__all__,
    *features.__all__,
    *explore.__all__,
    *consensus.__all__,
    *augmentation.__all__,
    *preparation.__all__,
    *selection.__all__,
    *splits.__all__,
    *learning.__all__,
    *scaling.__all__,
    *pixelsets.__all__,
    *explanation.__all__,
    *occlusion.__all__,
    *sanity.__all__,
    *grouptest.__all__,
    *guarantees.__all__,
    *floor.__all__,
    *severity.__all__,
    *expected.__all__,
    *confidence.__all__,
    *referral.__all__,
    *conformal.__all__,
    *lesionsizes.__all__,
    *limits.__all__,
]
