"""misas: model interpretation through sensitivity analysis for segmentation

    import misas as ms
    scores = ms.evaluate(model, cases, [ms.Rotate(), ms.Brightness()])

A module is imported the first time that one of its names is used; the names stand in `__init__.pyi`.
"""

import lazy_loader

__version__ = "1.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
