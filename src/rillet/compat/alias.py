"""The names `tensorflow` and `keras` for one process: imports of them are answered from rillet's namespaces.

`import tensorflow.X.Y` gives what the namespace has under `X.Y`. Two kinds of path lie outside the public names:
TensorFlow's private modules (`tensorflow.python...`, see private_paths) and what it carried beside them
(`tensorflow.examples...`, see BESIDE). A path that stands for nothing is a ModuleNotFoundError that says so.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from rillet.compat import private_paths
from rillet.datasets import mnist_input_data

NAMESPACES = {"v1": "rillet.v1", "v2": "rillet"}
TOP_LEVEL = {"tensorflow": "", "keras": "keras"}  # an imported name, and where it lies in the namespace
BESIDE = {"examples.tutorials.mnist.input_data": mnist_input_data}


def install(api: str) -> None:
    """Makes `tensorflow` and `keras` mean rillet for the rest of this process.

    api: "v1" for TensorFlow 1.15's names and lazy default, "v2" for TensorFlow 2's.

    Raises ImportError when a real TensorFlow or Keras is imported already, ValueError for another `api`.
    """
    if api not in NAMESPACES:
        raise ValueError(f"there is no API {api!r}; choose one of {', '.join(NAMESPACES)}")
    uninstall()
    for name in TOP_LEVEL:
        if name in sys.modules:
            where = getattr(sys.modules[name], "__file__", None) or "an unknown place"
            raise ImportError(
                f"{name} is imported already (from {where}), and rillet does not mix with it in one process.\n"
                f"    Try: import rillet as tf, which can live beside {name}; or start the program with rillet run.",
                name=name,
            )
    # An import hook: the namespace is imported when the program first asks for it, and not before.
    sys.meta_path.insert(0, AliasFinder(lambda: importlib.import_module(NAMESPACES[api])))


def uninstall() -> None:
    """Takes the names back that `install` gave; objects that the program holds stay as they are."""
    for finder in [finder for finder in sys.meta_path if isinstance(finder, AliasFinder)]:
        sys.meta_path.remove(finder)
        for name in finder.answered:
            sys.modules.pop(name, None)


class AliasFinder(importlib.abc.MetaPathFinder):
    """Answers imports of TensorFlow's names out of one namespace."""

    def __init__(self, namespace: Callable[[], ModuleType]) -> None:
        self._namespace = namespace
        self.answered: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Raises ModuleNotFoundError for a path that stands for nothing: no other finder may look into the
        namespace's folder and load one of rillet's own modules a second time."""
        top, _, rest = fullname.partition(".")
        if top not in TOP_LEVEL:
            return None
        module = find_module(self._namespace(), ".".join(filter(None, (TOP_LEVEL[top], rest))))
        if module is None:
            raise ModuleNotFoundError(f"rillet has no module {fullname}", name=fullname)
        self.answered.append(fullname)
        return importlib.machinery.ModuleSpec(fullname, _ExistingModule(module), is_package=True)


def find_module(namespace: ModuleType, path: str) -> ModuleType | None:
    """The module that stands at the dotted `path`, or None."""
    if path.partition(".")[0] == private_paths.ROOT:
        return private_paths.find_module(namespace, path)
    if path in BESIDE:
        return BESIDE[path]
    if any(inner.startswith(path + ".") for inner in BESIDE):
        return ModuleType(f"tensorflow.{path}", "A folder of TensorFlow 1.")
    found = private_paths.attribute(namespace, path)
    return found if isinstance(found, ModuleType) else None


class _ExistingModule(importlib.abc.Loader):
    """Hands out a module that exists. The import system writes its own spec on it; the module's is put back."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        self._spec: Any = self._module.__spec__
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        if self._spec is not None:
            module.__spec__ = self._spec
