"""What score tables say"""
from . import augmentation, cohort, comparison, consensus, explore, measures, preparation, probability, summary
from .measures import *
from .summary import *
from .cohort import *
from .consensus import *
from .comparison import *
from .augmentation import *
from .probability import *
from .preparation import *
from .explore import *

__all__ = [*measures.__all__, *summary.__all__, *cohort.__all__, *consensus.__all__, *comparison.__all__, *augmentation.__all__, *probability.__all__, *preparation.__all__, *explore.__all__]
