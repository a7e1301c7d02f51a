"""Studies and reports"""

from .findings import *
from .worst import *
from .pictures import *
from .sections import *
from .page import *
from .grades import *
from .requirements import *
from .studyfile import *
from .studies import *
from .starting import *
from .livepage import *

from . import findings, grades, livepage, page, pictures, requirements, sections, starting, studies, studyfile, worst

__all__ = [
    *findings.__all__,
    *worst.__all__,
    *pictures.__all__,
    *sections.__all__,
    *page.__all__,
    *grades.__all__,
    *requirements.__all__,
    *studyfile.__all__,
    *studies.__all__,
    *starting.__all__,
    *livepage.__all__,
]
