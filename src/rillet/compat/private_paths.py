"""TensorFlow's private modules, as far as programs import them: `from tensorflow.python.framework import ops`.

Such a module has no list of names here. It looks a name up in public namespaces: those of its own row in MODULES, else
those of its folder. RENAMED has the few private names that go by another one in public.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

ROOT = "python"
_MISSING = object()
_GENERAL = ("", "math", "nn", "linalg", "random", "strings", "sparse", "io", "image", "debugging", "errors", "train")

# A folder below tensorflow.python -> the public namespaces that its modules show, in order; "" is tf itself.
FOLDERS: dict[str, tuple[str, ...]] = {
    "client": ("", "config"),
    "data": ("data",),
    "data.ops": ("data",),
    "eager": ("", "config", "autodiff"),
    "feature_column": ("feature_column",),
    "framework": _GENERAL,
    "layers": ("layers", ""),
    "lib": (),
    "lib.io": ("io.gfile", "gfile", "io", "python_io"),
    "module": ("",),
    "ops": _GENERAL,
    "ops.losses": ("losses",),
    "ops.signal": ("signal",),
    "platform": ("",),
    "summary": ("summary",),
    "tools": ("graph_util",),
    "training": ("train",),
    "util": ("", "compat"),
}
MODULES: dict[str, tuple[str, ...]] = {
    "framework.errors": ("errors",),
    "framework.errors_impl": ("errors",),
    "framework.graph_util": ("graph_util",),
    "framework.test_util": ("test",),
    "ops.control_flow_ops": ("control_flow_ops", ""),
    "ops.init_ops": ("", "initializers"),
    "ops.lookup_ops": ("lookup", ""),
    "ops.metrics": ("metrics",),
    "ops.rnn_cell": ("nn.rnn_cell",),
    "ops.rnn_cell_impl": ("nn.rnn_cell",),
    "ops.summary_ops_v2": ("summary",),
    "platform.app": ("app",),
    "platform.flags": ("flags", "app.flags"),
    "platform.gfile": ("gfile", "io.gfile"),
    "platform.resource_loader": ("resource_loader",),
    "platform.test": ("test",),
    "platform.tf_logging": ("logging",),
    "util.nest": ("nest", "contrib.framework.nest"),
}

# Folders whose tree is a public one: tensorflow.python.keras.layers is tf.keras.layers.
TREES = {
    "distribute": "distribute",
    "estimator": "estimator",
    "keras": "keras",
    "ops.distributions": "distributions",
    "saved_model": "saved_model",
}

# Private name -> public path.
RENAMED = {
    "client.device_lib.list_local_devices": "config.list_logical_devices",
    "framework.tensor_util.MakeNdarray": "make_ndarray",
    "framework.tensor_util.constant_value": "get_static_value",
}


def find_module(namespace: ModuleType, path: str) -> ModuleType | None:
    """The module at `path`, which begins with `python`, or None where there is nothing to import."""
    inner = path.removeprefix(ROOT).removeprefix(".")
    for folder, public in TREES.items():
        if inner == folder or inner.startswith(folder + "."):
            found = attribute(namespace, public + inner.removeprefix(folder))
            return found if isinstance(found, ModuleType) else None
    if not inner or inner in FOLDERS:
        return Folder(namespace, inner)
    places = MODULES.get(inner) or FOLDERS.get(inner.rpartition(".")[0])
    return PrivateModule(namespace, inner, places) if places else None


def attribute(namespace: ModuleType, path: str) -> Any:
    """What stands at the dotted `path` below `namespace`, else None. The empty path is the namespace itself."""
    found: Any = namespace
    for name in filter(None, path.split(".")):
        found = getattr(found, name, None)
    return found


class Folder(ModuleType):
    """A folder of private modules: `tensorflow.python.framework`, with `ops` as an attribute."""

    def __init__(self, namespace: ModuleType, inner: str = "") -> None:
        super().__init__(f"tensorflow.{ROOT}.{inner}".rstrip("."), "A folder of TensorFlow's private modules.")
        self.__dict__["__path__"] = []
        self._namespace = namespace
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        inner = f"{self._inner}.{name}" if self._inner else name
        found = find_module(self._namespace, f"{ROOT}.{inner}")
        if found is None:
            raise AttributeError(f"rillet has nothing for tensorflow.python.{inner}")
        return found


class PrivateModule(ModuleType):
    """Shows names of public namespaces under the name of a private module."""

    def __init__(self, namespace: ModuleType, inner: str, places: tuple[str, ...]) -> None:
        super().__init__(f"tensorflow.{ROOT}.{inner}", "Public names, as a private module of TensorFlow.")
        self._namespace = namespace
        self._inner = inner
        self._places = places

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for these
            raise AttributeError(name)
        if f"{self._inner}.{name}" in RENAMED:
            return attribute(self._namespace, RENAMED[f"{self._inner}.{name}"])
        for place in self._places:
            found = getattr(attribute(self._namespace, place), name, _MISSING)
            if found is not _MISSING:
                return found
        searched = ", ".join(f"tf.{place}" if place else "tf" for place in self._places)
        raise AttributeError(f"rillet has nothing for tensorflow.python.{self._inner}.{name}: it is not in {searched}")
