"""What converted code calls in place of Python's own functions, where an argument is a symbolic tensor."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import SymbolicTensor
from rillet.frontend.autograph.context import CONTEXT
from rillet.frontend.autograph.elements import Delayed, Numbered, Rows, Together, elements_of
from rillet.frontend.printing import print_v2
from rillet.frontend.variable import Variable
from rillet.ops.order import sort

_SUBSTITUTES: dict[Any, Callable[..., Any]] = {}


def substitute(function: Any) -> Any:
    """The substitute of a builtin function; None for any other."""
    try:
        return _SUBSTITUTES.get(function)
    except TypeError:  # not hashable
        return None


def _for(function: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(replacement: Callable[..., Any]) -> Callable[..., Any]:
        _SUBSTITUTES[function] = replacement
        return replacement

    return register


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, SymbolicTensor)


@_for(print)
def _print(*values: Any, **options: Any) -> Any:
    """Python's print shows what there is while a function is traced; with Feature.BUILTIN_FUNCTIONS, values when it runs."""
    if "BUILTIN_FUNCTIONS" not in CONTEXT.features or not any(_is_symbolic(value) for value in values):
        return builtins.print(*values, **options)
    ours = {"sep": options.get("sep") or " ", "end": options.get("end") or "\n"}
    return print_v2(*values, **ours, output_stream=options.get("file") or sys.stdout)


@_for(len)
def _len(value: Any) -> Any:
    if not _is_symbolic(value) or value.shape.rank == 0:
        return builtins.len(value)
    size = None if value.shape.rank is None else value.shape.dimensions[0]
    return apply_op(REGISTRY["Shape"], (value,))[0] if size is None else size


@_for(range)
def _range(*values: Any) -> Any:
    if not any(_is_symbolic(value) or isinstance(value, Variable) for value in values):
        return builtins.range(*values)
    start, limit, delta = (0, *values, 1) if len(values) == 1 else (*values, 1)[:3]
    dtype = next(value.dtype.base_dtype for value in values if hasattr(value, "dtype"))
    return apply_op(REGISTRY["Range"], tuple(convert_to_tensor(value, dtype) for value in (start, limit, delta)))


@_for(int)
def _int(*values: Any, **options: Any) -> Any:
    return _cast(builtins.int, dtypes.int32, values, options)


@_for(float)
def _float(*values: Any) -> Any:
    return _cast(builtins.float, dtypes.float32, values, {})


def _cast(function: Any, dtype: dtypes.DType, values: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if len(values) != 1 or not _is_symbolic(values[0]):
        return function(*values, **options)
    value = values[0]
    if value.dtype.base_dtype is dtypes.string:
        return apply_op(REGISTRY["StringToNumber"], (value,), {"out_type": dtype})
    return apply_op(REGISTRY["Cast"], (value,), {"DstT": dtype})


@_for(enumerate)
def _enumerate(iterable: Any, start: Any = 0) -> Any:
    elements = elements_of(iterable)
    return builtins.enumerate(iterable, start) if elements is None else Delayed(Numbered(elements, start))


@_for(zip)
def _zip(*iterables: Any, **options: Any) -> Any:
    parts = [elements_of(iterable) for iterable in iterables]
    if not any(part is not None for part in parts):
        return builtins.zip(*iterables, **options)
    ready = [
        Rows(convert_to_tensor(iterable)) if part is None else part
        for iterable, part in zip(iterables, parts, strict=True)
    ]
    return Delayed(Together(ready))


@_for(sorted)
def _sorted(iterable: Any, **options: Any) -> Any:
    if not _is_symbolic(iterable):
        return builtins.sorted(iterable, **options)
    return sort(iterable, direction="DESCENDING" if options.get("reverse") else "ASCENDING")
