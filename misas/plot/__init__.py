"""Overlays, animations, curves, charts and viewers"""

from .colours import *
from .text import *
from .directions import *
from .marks import *
from .overlays import *
from .figures import *
from .series import *
from .gridimages import *
from .animation import *
from .confusion import *
from .planes import *
from .volumes import *
from .viewer import *
from .page import *
from .live_widgets import *
from .panels import *
from .casefigures import *
from .gallery import *
from .charts import *
from .curves import *
from .summary import *
from .comparison import *
from .spread import *
from .boxes import *
from .ranked import *
from .probability import *
from .features import *
from .explore import *
from .learning import *
from .explain import *
from .explain_views import *
from .distributions import *
from .trust import *
from .lesioncharts import *

from . import (
    animation,
    casefigures,
    charts,
    boxes,
    ranked,
    spread,
    colours,
    comparison,
    confusion,
    curves,
    directions,
    distributions,
    explain,
    explain_views,
    explore,
    features,
    figures,
    gallery,
    gridimages,
    learning,
    live_widgets,
    lesioncharts,
    marks,
    overlays,
    page,
    panels,
    planes,
    probability,
    series,
    summary,
    text,
    trust,
    viewer,
    volumes,
)

__all__ = [
    *colours.__all__,
    *text.__all__,
    *directions.__all__,
    *marks.__all__,
    *overlays.__all__,
    *figures.__all__,
    *series.__all__,
    *gridimages.__all__,
    *animation.__all__,
    *confusion.__all__,
    *planes.__all__,
    *volumes.__all__,
    *viewer.__all__,
    *page.__all__,
    *live_widgets.__all__,
    *panels.__all__,
    *casefigures.__all__,
    *gallery.__all__,
    *charts.__all__,
    *curves.__all__,
    *summary.__all__,
    *comparison.__all__,
    *spread.__all__,
    *boxes.__all__,
    *ranked.__all__,
    *probability.__all__,
    *features.__all__,
    *explore.__all__,
    *learning.__all__,
    *explain.__all__,
    *explain_views.__all__,
    *distributions.__all__,
    *trust.__all__,
    *lesioncharts.__all__,
]
