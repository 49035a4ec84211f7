"""Where values enter a graph: constants, placeholders, and the ops that only pass values on."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import context, convert, dtypes, opdef
from rillet.core.buffers import aligned_copy
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.export import export, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import Tensor
from rillet.errors import InvalidArgumentError
from rillet.ops.arrays import size_of
from rillet.ops.families import same_shape


def _constant_kernel(*, value: Any) -> Any:
    return value


define(
    "Const", "-> output: dtype", "value: tensor, dtype: type",
    reference=_constant_kernel,
    shape=lambda op: TensorShape(np.shape(op.attrs["value"])),
    fold=lambda op: op.attrs["value"],
    gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["constant"])
def constant(value: Any, dtype: Any = None, shape: Any = None, name: str = "Const") -> Any:
    """A tensor with the given value.

    value: a number, string, bool, NumPy array or nested lists. dtype: element type (inferred when None).
    shape: the result's shape; a value with one element is repeated to fill it.
    Raises TypeError when the value has elements that don't fit `dtype`, or does not fill `shape`.
    """
    return _constant(value, dtype, shape, name, allow_broadcast=True)


@public(v1=["constant"])
def constant_v1(
    value: Any, dtype: Any = None, shape: Any = None, name: str = "Const", verify_shape: bool = False
) -> Any:
    """As tf.constant; a value shorter than `shape` is filled up with its last element, unless `verify_shape`."""
    if verify_shape and shape is not None and np.shape(value) != tuple(shape):
        raise TypeError(f"Expected Tensor's shape: {tuple(shape)}, but got {np.shape(value)}.")
    return _constant(value, dtype, shape, name, allow_broadcast=not verify_shape)


def _constant(value: Any, dtype: Any, shape: Any, name: str, allow_broadcast: bool) -> Any:
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(value, Tensor) or hasattr(value, "__tf_tensor__"):
        tensor = convert_to_tensor(value, wanted, name)
        return tensor if shape is None else apply_op(opdef.REGISTRY["Reshape"], (tensor, list(TensorShape(shape))))
    graph = graph_for((value,))
    try:
        array, found = convert.to_array(value, wanted)
    except TypeError:
        if graph is not None and wanted is not None:
            _name_misfit(value, wanted)
        raise
    if shape is not None:
        array = _fill_shape(np.asarray(array), tuple(TensorShape(shape).as_list()), graph is not None)  # type: ignore[arg-type]
    if isinstance(array, np.ndarray):
        array = aligned_copy(array)
    return constant_in(graph, array, found, name)


def _name_misfit(value: Any, wanted: dtypes.DType) -> None:
    """TypeError that names the first element of `value` which is none of dtype `wanted`."""
    for element in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(element, (list, tuple)):
            _name_misfit(element, wanted)
            continue
        try:
            convert.to_array(element, wanted)
        except TypeError:
            kind = type(element).__name__
            raise TypeError(f"Expected {wanted.name}, but got {element!r} of type '{kind}'.") from None


def _fill_shape(array: Any, shape: tuple[int, ...], in_graph: bool) -> Any:
    """`array` in another shape; one element is repeated, and in a graph the last one where there are too few."""
    size = size_of(shape)
    if array.size == size:
        return array.reshape(shape)
    if array.size == 1:
        return np.full(shape, array.reshape(()), array.dtype)
    if in_graph and array.size > size:
        raise ValueError(f"Too many elements provided. Takes at most {size}, but got {array.size}")
    if in_graph and array.size:
        padded = np.concatenate([array.ravel(), np.full(size - array.size, array.ravel()[-1], array.dtype)])
        return padded.reshape(shape)
    raise TypeError(
        f"Eager execution of tf.constant with unsupported shape. Tensor {array.tolist()} (converted from the value) has "
        f"{array.size} elements, but got `shape` {TensorShape(shape)} with {size} elements)."
    )


def _unfed(*, dtype: Any, shape: Any, context: Any, node: Any) -> Any:
    kernel_name = {"float32": "float", "float64": "double", "float16": "half"}.get(dtype.name, dtype.name)
    known = (
        ""
        if shape.rank is None
        else f" and shape [{','.join('?' if size is None else str(size) for size in shape.dimensions)}]"
    )
    raise InvalidArgumentError(
        None,
        node,
        f"You must feed a value for placeholder tensor '{node.name}' with dtype {kernel_name}{known}\n"
        f"    [[node {node.name} (Placeholder), made at {node.location}]]\n"
        f"    Try: session.run(..., feed_dict={{{node.name.rpartition('/')[2]}: value}})",
    )


define(
    "Placeholder", "-> output: dtype", "dtype: type, shape: shape",
    reference=_unfed,
    shape=lambda op: op.attrs["shape"],
    gradient=NO_GRADIENT,
)  # fmt: skip


@public(v1=["placeholder"])
def placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> Any:
    """A tensor whose value is given when the graph runs: session.run(..., feed_dict={placeholder: value}).

    dtype: of the fed value. shape: None takes any shape; a None entry takes any size.
    """
    graph = outer = context.get_default_graph()
    while isinstance(outer, FuncGraph):  # in a branch or loop of TensorFlow 1 it belongs to the graph around that
        if outer.keeps_effects or outer.outer_graph is None:
            raise RuntimeError("tf.placeholder() is not compatible with tf.function: pass the value as an argument.")
        outer = outer.outer_graph
    attrs = {"dtype": dtypes.as_dtype(dtype), "shape": TensorShape(shape)}
    with context.use_graph(outer):
        result = outer.create_operation(opdef.REGISTRY["Placeholder"], (), attrs, name).outputs[0]
    return graph.capture(result)


define(
    "PlaceholderWithDefault", "input: dtype -> output: dtype", "dtype: type, shape: shape",
    reference=lambda value, *, context: value,  # it wants the context: then nobody takes the default for the value
    shape=lambda op: op.attrs["shape"],
    gradient=lambda op, dy: [dy],
)  # fmt: skip


@public(v1=["placeholder_with_default"])
def placeholder_with_default(input: Any, shape: Any, name: str | None = None) -> Any:
    """A tensor that passes `input` on when no value is fed. `shape` may be less specific than the input's."""
    graph = context.get_default_graph()
    with context.use_graph(graph):
        return apply_op(opdef.REGISTRY["PlaceholderWithDefault"], (input,), {"shape": TensorShape(shape)}, name)


def _refuse_gradient(op: Operation, dy: Any) -> Any:
    raise LookupError(f"Gradient explicitly disabled. Reason: {op.attrs['message']!r}")


IDENTITY = define(
    "Identity", "input: T -> output: T", "T: type",
    reference=lambda value: value,
    shape=same_shape,
    gradient=lambda op, dy: dy,
    shape_value=lambda op: constant_value_as_shape(op.inputs[0]),
    passes_reference=True,
)  # fmt: skip
IDENTITY_N = define(
    "IdentityN", "input: T... -> output: T...", "T: list(type)",
    reference=lambda *values: values,
    shape=lambda op: [tensor.shape for tensor in op.inputs],
    gradient=lambda op, *dys: list(dys),
)  # fmt: skip
STOP_GRADIENT = define(
    "StopGradient", "input: T -> output: T", "T: type",
    reference=lambda value: value, shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "DeepCopy", "x: T -> y: T", "T: type",
    reference=lambda value: np.array(value), shape=same_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
define(
    "PreventGradient", "input: T -> output: T", "T: type, message: string = ''",
    reference=lambda value: value, shape=same_shape, gradient=_refuse_gradient, elementwise=True,
)  # fmt: skip
define(
    "GuaranteeConst", "input: T -> output: T", "T: type",
    reference=lambda value: value, shape=same_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
define(
    "Snapshot", "input: T -> output: T", "T: type",
    reference=lambda value: value, shape=same_shape, gradient=NO_GRADIENT, elementwise=True,
)  # fmt: skip
NO_OP = define("NoOp", "->", reference=lambda: (), shape=lambda op: [], gradient=NO_GRADIENT)


@public("identity")
def identity(input: Any, name: str | None = None) -> Any:
    """A tensor with the value of `input`, made after the control dependencies in force."""
    return apply_op(IDENTITY, (input,), name=name)


@public("identity_n")
def identity_n(input: Any, name: str | None = None) -> Any:
    """`identity` of each tensor in the list `input`, together: all are computed before any is passed on."""
    return apply_op(IDENTITY_N, (list(input),), name=name)


@public("stop_gradient")
def stop_gradient(input: Any, name: str | None = None) -> Any:
    """`input`, taken as a constant by differentiation."""
    return apply_op(STOP_GRADIENT, (input,), name=name)


@public("no_op")
def no_op(name: str | None = None) -> Any:
    """An operation that does nothing: a point for control dependencies to meet in."""
    return apply_op(NO_OP, (), name=name)


@public("guarantee_const")
def guarantee_const(input: Any, name: str | None = None) -> Any:
    """`input`, of which the caller promises that it is the same in every run. (Nothing is made of the promise.)"""
    return apply_op(opdef.REGISTRY["GuaranteeConst"], (input,), name=name)


# ---- checks ---------------------------------------------------------------------------------------------------------


def _check_numerics(value: Any, *, message: str) -> Any:
    array = np.asarray(value)
    has_nan, has_inf = bool(np.isnan(array).any()), bool(np.isinf(array).any())
    if has_nan or has_inf:
        found = "Inf and NaN" if has_nan and has_inf else "NaN" if has_nan else "Inf"
        raise InvalidArgumentError(None, None, f"{message} : Tensor had {found} values [Op:CheckNumerics]")
    return value


def _check_numerics_v2(value: Any, *, message: str) -> Any:
    array = np.asarray(value)
    infinite = np.isinf(array)
    checks = {"-Inf": infinite & (array < 0), "+Inf": infinite & (array > 0), "NaN": np.isnan(array)}
    found = [label for label, where in checks.items() if where.any()]
    if found:
        listed = found[0] if len(found) == 1 else " and ".join(found) if len(found) == 2 else "-Inf, +Inf, and NaN"
        raise InvalidArgumentError(None, None, f"{message} : Tensor had {listed} values [Op:CheckNumericsV2]")
    return value


def _check_gradient(op: Operation, dy: Any) -> Any:
    return check_numerics(
        dy, "Not a number (NaN) or infinity (Inf) values detected in gradient. " + _as_text(op.attrs["message"])
    )


def _as_text(message: Any) -> str:
    return message.decode() if isinstance(message, bytes) else str(message)


for _suffix, _kernel in (("", _check_numerics), ("V2", _check_numerics_v2)):
    define(
        f"CheckNumerics{_suffix}", "tensor: T -> output: T", "T: floating, message: string",
        reference=_kernel, shape=same_shape, gradient=_check_gradient, is_stateful=True,
    )  # fmt: skip


@public("debugging.check_numerics", v1=["check_numerics"])
def check_numerics(tensor: Any, message: str, name: str | None = None) -> Any:
    """`tensor` (floating), known to hold no NaN and no Inf when it is used.

    Raises InvalidArgumentError, starting with `message`, when it runs and finds one.
    """
    return apply_op(opdef.REGISTRY["CheckNumerics"], (tensor,), {"message": message}, name)


@public("get_static_value", v1=["contrib.util.constant_value"])
def get_static_value(tensor: Any, partial: bool = False) -> Any:
    """The value of `tensor` as an array if it is known while the graph is being built, else None."""
    value = constant_value(tensor)
    if value is None and partial and isinstance(tensor, Tensor) and tensor.shape.rank == 1:
        shape = constant_value_as_shape(tensor)
        return None if shape.dimensions is None else list(shape.dimensions)
    return value


export(convert_to_tensor, "convert_to_tensor")
