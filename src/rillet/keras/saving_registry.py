"""Objects by name: custom objects, registered classes, and the one form in which configurations hold objects.

The public tables (core.export) are the list of what rillet itself has: "keras.layers.Dense" is found there.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.export import V2, export, public
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor

_GLOBAL: dict[str, Any] = {}  # what the program registered for good
_REGISTERED_NAMES: dict[Any, str] = {}
_ROOT = "keras."


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[Mapping[str, Any]] = []


_SCOPES = _Scopes()


@public("keras.utils.get_custom_objects", "keras.saving.get_custom_objects")
def get_custom_objects() -> dict[str, Any]:
    """The table of custom objects that counts everywhere; programs may add to it."""
    return _GLOBAL


@public(
    "keras.utils.custom_object_scope", "keras.utils.CustomObjectScope", "keras.saving.custom_object_scope",
    "keras.saving.CustomObjectScope",
)  # fmt: skip
@contextlib.contextmanager
def custom_object_scope(*args: Mapping[str, Any]) -> Iterator[None]:
    """Inside, the names in the given dictionaries stand for the objects there."""
    before = len(_SCOPES.stack)
    _SCOPES.stack.extend(args)
    try:
        yield
    finally:
        del _SCOPES.stack[before:]


@public("keras.utils.register_keras_serializable", "keras.saving.register_keras_serializable")
def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """A decorator: the class or function is known as "package>name" when configurations are read.

    Raises ValueError for a class without get_config, and for a name that is taken.
    """

    def decorate(value: Any) -> Any:
        registered = f"{package}>{name or value.__name__}"
        if inspect.isclass(value) and not hasattr(value, "get_config"):
            raise ValueError("Cannot register a class that does not have a get_config() method.")
        _GLOBAL[registered] = value
        _REGISTERED_NAMES[value] = registered
        return value

    return decorate


@public("keras.utils.get_registered_name", "keras.saving.get_registered_name")
def get_registered_name(obj: Any) -> str:
    """The name `obj` was registered by; its own name where it was not."""
    name: str = _REGISTERED_NAMES.get(obj) or obj.__name__
    return name


@public("keras.utils.get_registered_object", "keras.saving.get_registered_object")
def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """What `name` stands for among custom objects, then in `module_objects`; None where nothing does."""
    for table in (*reversed(_SCOPES.stack), _GLOBAL, custom_objects or {}, module_objects or {}):
        if name in table:
            return table[name]
    return None


# ---- rillet's own names ---------------------------------------------------------------------------------------------


def own_objects(module: str) -> dict[str, Any]:
    """{name: object} of what is public in `module` ("keras.layers")."""
    prefix = module + "."
    return {
        name[len(prefix) :]: value
        for name, value in V2.items()
        if name.startswith(prefix) and "." not in name[len(prefix) :]
    }


_PLACES: dict[Any, tuple[str, str]] = {}


def _place(value: Any) -> tuple[str, str] | None:
    """(module, name) under which a class or function of rillet's is public under its own name."""
    if not _PLACES or value not in _PLACES:
        for dotted, found in V2.items():
            module, _, name = dotted.rpartition(".")
            if dotted.startswith(_ROOT) and getattr(found, "__name__", None) == name:
                _PLACES.setdefault(found, (module, name))
    return _PLACES.get(value)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Did you mean 'x'?, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def unexpected_arguments(owner: str, given: Iterable[str], allowed: Iterable[str]) -> TypeError:
    """The error for keyword arguments that `owner` does not have."""
    names = list(given)
    return TypeError(
        f"{owner}() got an unexpected keyword argument {names[0]!r}."
        f"{suggestion(names[0], [name for name in allowed if name not in ('self', 'args', 'kwargs')])}"
    )


def reject_unknown(owner: Any, given: Mapping[str, Any]) -> None:
    """TypeError where `given`, the arguments that the constructor of `owner` did not name, holds anything."""
    if given:
        allowed = {
            name
            for cls in type(owner).__mro__
            if "__init__" in vars(cls)
            for name in inspect.signature(vars(cls)["__init__"]).parameters
            if cls is not object
        } | set(inspect.signature(type(owner)).parameters)
        raise unexpected_arguments(type(owner).__name__, given, allowed)


# ---- the form of objects in configurations --------------------------------------------------------------------------


@public("keras.utils.serialize_keras_object", "keras.saving.serialize_keras_object")
def serialize_keras_object(obj: Any) -> Any:
    """`obj` in plain data: {"module", "class_name", "config", "registered_name"} for an object with get_config."""
    if isinstance(obj, np.generic):
        return obj.item()
    if obj is None or isinstance(obj, (str, bytes, bool, int, float)):
        return obj
    if isinstance(obj, (list, tuple)):
        return type(obj)(serialize_keras_object(part) for part in obj) if type(obj) in (list, tuple) else list(obj)
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, dtypes.DType):
        return obj.name
    if isinstance(obj, TensorShape):
        return obj.as_list()
    if isinstance(obj, (np.ndarray, EagerTensor)):
        array = np.asarray(obj)
        kind = "__numpy__" if isinstance(obj, np.ndarray) else "__tensor__"
        return {"class_name": kind, "config": {"value": array.tolist(), "dtype": array.dtype.name}}
    if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType)) and not hasattr(obj, "get_config"):
        return {"module": "builtins", "class_name": "function", "config": get_registered_name(obj),
                "registered_name": "function"}  # fmt: skip
    if hasattr(obj, "get_config"):
        return _with_config(obj)
    if hasattr(obj, "__name__"):
        return obj.__name__
    raise ValueError(f"Cannot serialize {obj!r}: it is no plain value and has no get_config().")


def _with_config(obj: Any) -> dict[str, Any]:
    cls = type(obj)
    place = _place(cls)
    config = {key: serialize_keras_object(value) for key, value in obj.get_config().items()}
    if place is not None:
        return {"module": place[0], "class_name": cls.__name__, "config": config, "registered_name": None}
    registered = get_registered_name(cls)
    module = None if cls in _REGISTERED_NAMES else cls.__module__
    return {"module": module, "class_name": cls.__name__, "config": config, "registered_name": registered}


@public("keras.utils.deserialize_keras_object", "keras.saving.deserialize_keras_object")
def deserialize_keras_object(config: Any, custom_objects: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
    """The object of which `config` is the serialized form. kwargs: safe_mode, accepted.

    Raises ValueError where a name in it stands for nothing.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(deserialize_keras_object(part, custom_objects) for part in config)
    if not isinstance(config, dict):
        found = get_registered_object(config, custom_objects) if isinstance(config, str) else None
        return config if found is None else found
    if "class_name" not in config or "config" not in config:
        return {key: deserialize_keras_object(value, custom_objects) for key, value in config.items()}
    name, inner = config["class_name"], config["config"]
    if name in ("__numpy__", "__tensor__"):
        return np.array(inner["value"], inner["dtype"])
    if name == "function":
        return _function(inner, custom_objects)
    cls = find_class(name, config.get("module"), config.get("registered_name"), custom_objects)
    return from_config(cls, inner, custom_objects)


def _function(name: str, custom_objects: Mapping[str, Any] | None) -> Any:
    found = get_registered_object(name, custom_objects)
    for module in ("keras.activations", "keras.losses", "keras.metrics"):
        found = found or V2.get(f"{module}.{name}")
    if found is None:
        raise ValueError(f"Could not locate function '{name}'. Make sure it is registered: custom_objects={{...}}.")
    return found


def find_class(
    name: str, module: str | None, registered_name: str | None, custom_objects: Mapping[str, Any] | None
) -> Any:
    """The class that a serialized form names. ValueError where there is none."""
    custom = get_registered_object(registered_name or name, custom_objects)
    custom = get_registered_object(name, custom_objects) if custom is None else custom
    if custom is not None:
        return custom
    modules = [module] if module else []
    modules += ["keras", *sorted({dotted.rpartition(".")[0] for dotted in V2 if dotted.startswith(_ROOT)})]
    for place in modules:
        found = V2.get(f"{place.replace('tf_keras', 'keras')}.{name}")
        if found is not None:
            return found
    raise ValueError(
        f"Unknown class {name!r}. Make sure it is registered: put it in `custom_objects`, or decorate it with "
        "`tf.keras.utils.register_keras_serializable`."
    )


def from_config(cls: Any, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """cls.from_config(config), with `custom_objects` in force."""
    with custom_object_scope(custom_objects or {}):
        if not hasattr(cls, "from_config"):
            return cls(**config)
        if "custom_objects" in inspect.signature(cls.from_config).parameters:
            return cls.from_config(config, custom_objects=custom_objects)
        return cls.from_config(config)


class Family:
    """What tf.keras.losses.get, serialize and deserialize have in common with those of optimizers, metrics ...

    module: "keras.losses". noun: what messages call such an object. aliases: further names, as programs write them.
    lower: whether names are found in any capitalisation ("adam", "RMSprop").
    """

    def __init__(self, module: str, noun: str, aliases: Mapping[str, str] | None = None, lower: bool = False) -> None:
        self.module = module
        self.noun = noun
        self.aliases = dict(aliases or {})
        self.lower = lower

    def find(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The class or function called `name`. ValueError where there is none."""
        custom = get_registered_object(name, custom_objects)
        if custom is not None:
            return custom
        own = own_objects(self.module)
        wanted = self.aliases.get(name.lower() if self.lower else name, name)
        if wanted not in own and self.lower:
            wanted = {key.lower(): key for key in own}.get(wanted.lower(), wanted)
        if wanted in own and wanted not in ("get", "serialize", "deserialize"):
            return own[wanted]
        known = [key.lower() if self.lower else key for key in (*own, *self.aliases)]
        raise ValueError(
            f"Unknown {self.noun}: {name!r}.{suggestion(name, known)} Please ensure you are using a "
            "`keras.utils.custom_object_scope` and that this object is included in the scope."
        )

    def serialize(self, value: Any) -> Any:
        return serialize_keras_object(value)

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """An object from its serialized form, or from its name (a class is called without arguments)."""
        if isinstance(config, str):
            found = self.find(config, custom_objects)
            return found() if inspect.isclass(found) else found
        if config.get("class_name") == "function":
            return _function(config["config"], custom_objects)
        name = config["class_name"]
        inner = config.get("config") or {}
        placed = V2.get(f"{config.get('module')}.{name}")
        own = own_objects(self.module).get(name) if placed is None else placed
        if own is not None and config.get("registered_name") in (None, name) and not self._custom(name, custom_objects):
            return from_config(own, inner, custom_objects)
        try:
            cls = find_class(name, config.get("module"), config.get("registered_name"), custom_objects)
        except ValueError:
            cls = self.find(name, custom_objects)
        return from_config(cls, inner, custom_objects)

    def _custom(self, name: str, custom_objects: Mapping[str, Any] | None) -> bool:
        return get_registered_object(name, custom_objects) is not None

    def get(self, identifier: Any) -> Any:
        """None, an object as it is, a name, or a configuration, as an object. ValueError for anything else."""
        if identifier is None:
            return None
        if isinstance(identifier, (str, dict)):
            return self.deserialize(identifier)
        if inspect.isclass(identifier):
            return identifier()
        if callable(identifier):
            return identifier
        raise ValueError(f"Could not interpret {self.noun} identifier: {identifier}")

    def export(self) -> None:
        """Makes get, serialize and deserialize public in the module."""
        for function in (self.get, self.serialize, self.deserialize):
            export(function, f"{self.module}.{function.__name__}")
