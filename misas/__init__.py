"""misas: model interpretation through sensitivity analysis for segmentation

    import misas as ms
    scores = ms.evaluate(model, cases, [ms.Rotate(), ms.Brightness()])

A module is imported the first time that one of its names is used; the names stand in `__init__.pyi`.
"""

import lazy_loader

from misas import _old_modules

__version__ = "1.1.0"

_old_modules.install()
_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    "A public name, imported now; one that is misspelt gets a hint"
    if name in __all__ or name.startswith("_"):
        return _attribute(name)
    from misas.core.checks import nearest_name

    raise AttributeError(f"module 'misas' has no attribute {name!r}{nearest_name(name, __all__)}")
