"""The flat modules of misas 1.0 under their old names, for one minor version

`from misas.phantom import phantom` finds the name in the packages that took its place, with a DeprecationWarning.
"""

import importlib
import importlib.abc
import importlib.util
import sys
import types
import warnings

OLD = (
    "advice allocation arrays artefacts cases checksums cohort compare confusion consensus consistency copies "
    "corruptions ct curves demo directions distances ensemble explore files geometry graphs hub keras_models mri "
    "networks nnunet onnx_models orientation overlay page phantom planes probability remote rtstruct scans "
    "sensitivity sizes sources spatial store structures summary viewer volumes windows"
).split()


class _OldModule(types.ModuleType):
    "Gives the public names of misas under the name of a module that is gone"

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return importlib.import_module("misas")._attribute(name)

    def __call__(self, *args, **kwargs):
        # once imported, `misas.phantom` is this module: the function of that name is still what is called
        name = self.__name__.rpartition(".")[2]
        return importlib.import_module("misas")._attribute(name)(*args, **kwargs)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    "Finds the old modules, and nothing else"

    def find_spec(self, fullname, path=None, target=None):
        package, _, module = fullname.rpartition(".")
        if package != "misas" or module not in OLD:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def create_module(self, spec):
        return _OldModule(spec.name)

    def exec_module(self, module):
        message = f"module {module.__name__} is gone: its names are in misas, as in `import misas as ms`"
        warnings.warn(message, DeprecationWarning, stacklevel=2)


def install() -> None:
    "Have Python find the old modules, after all others"
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
