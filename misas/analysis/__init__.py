"""What score tables say: summaries, comparisons, advice"""

from .measures import *
from .summary import *
from .comparison import *
from .cohort import *
from .probability import *
from .explore import *
from .consensus import *
from .augmentation import *
from .preparation import *

from . import augmentation, cohort, comparison, consensus, explore, measures, preparation, probability, summary

__all__ = [
    *measures.__all__,
    *summary.__all__,
    *comparison.__all__,
    *cohort.__all__,
    *probability.__all__,
    *explore.__all__,
    *consensus.__all__,
    *augmentation.__all__,
    *preparation.__all__,
]
