"""Assertions about tensors: tf.debugging.Assert and the tf.debugging.assert_* functions.

What is known while a graph is built is checked then; the rest becomes an Assert operation, which is returned (None
eagerly). In TensorFlow 1's graphs it runs when somebody runs it or waits for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.export import export, public
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.errors import InvalidArgumentError
from rillet.frontend.control import cond_v1, with_dependencies
from rillet.ops.families import all_axes
from rillet.ops.printing import ASSERT
from rillet.ops.shape import shape_of


@contextlib.contextmanager
def _scope(graph: Graph | None, name: str) -> Iterator[None]:
    if graph is None:
        yield
    else:
        with context.use_graph(graph), graph.name_scope(name):
            yield


# ---- Assert ---------------------------------------------------------------------------------------------------------


@public("debugging.Assert", "Assert")
def assert_true(condition: Any, data: Any, summarize: int | None = None, name: str | None = None) -> Any:
    """Fails with InvalidArgumentError, showing `data`, unless `condition` (a boolean scalar) is true.

    data: a list of tensors and values. summarize: how many elements of each are shown (3).
    """
    graph = graph_for((condition, data))
    if graph is None:
        if not condition:
            shown = "\n".join(_data_text(value, summarize) for value in data)
            raise InvalidArgumentError(None, None, f"Expected '{condition!s}' to be true. Summarized data: {shown}")
        return None
    attrs = {"summarize": 3 if summarize is None else summarize}
    with _scope(graph, name or "Assert"):
        condition = convert_to_tensor(condition)
        tensors = [convert_to_tensor(value) for value in data]

        def check() -> Any:
            return apply_op(ASSERT, (condition, list(data)), attrs, "Assert")

        if all(tensor.dtype in (dtypes.string, dtypes.int32) for tensor in tensors):
            return check()
        guarded = cond_v1(condition, _nothing, check, name="AssertGuard")
        return guarded if isinstance(guarded, Operation) else guarded.op


def _nothing() -> Any:
    return apply_op(REGISTRY["NoOp"], ())


def _data_text(value: Any, summarize: int | None) -> str:
    """A value in an eager assertion's message."""
    if isinstance(value, (EagerTensor, np.ndarray)) or hasattr(value, "numpy"):
        return ", ".join(_elements(value, summarize))
    return str(value.encode() if isinstance(value, str) else value)


def _elements(value: Any, summarize: int | None) -> list[str]:
    flat = np.ravel(value.numpy() if hasattr(value, "numpy") else value)
    count = 3 if summarize is None else flat.size if summarize < 0 else summarize
    shown = [str(element) for element in flat[:count].tolist()]
    return [*shown, "..."] if flat.size > count else shown


# ---- comparisons of two tensors -------------------------------------------------------------------------------------


def _label(name: str, tensor: Any) -> str:
    """`name` with what the user knows the tensor by."""
    if isinstance(tensor, SymbolicTensor):
        return f"{name} ({tensor.name}) = "
    return f"{name} (shape={tensor.shape} dtype={tensor.dtype.name}) = "


def _compare(
    sign: str, op_type: str, name: str, x: Any, y: Any, message: str | None, data: Any, summarize: int | None
) -> Any:
    """The assertion x `sign` y, element by element, as an operation in a scope called `name`."""
    graph = graph_for((x, y))
    with _scope(graph, name):
        x = convert_to_tensor(x)
        y = convert_to_tensor(y, x.dtype.base_dtype if not isinstance(y, Tensor) else None)
        condition = apply_op(REGISTRY[op_type], (x, y))
        if graph is None:
            if not np.all(condition.numpy()):
                raise InvalidArgumentError(None, None, _difference(sign, x, y, condition, message, data, summarize))
            return None
        if data is None:
            head = [] if message is None else [message]
            data = [*head, f"Condition x {sign} y did not hold element-wise:", _label("x", x), x, _label("y", y), y]
        elif message is not None:
            data = [message, *data]
        return _assert_all(condition, data, summarize)


def _assert_all(condition: Any, data: list[Any], summarize: int | None) -> Any:
    """Asserts all elements of a condition in a graph; where its value is known and false this raises now."""
    total = apply_op(REGISTRY["All"], (condition, all_axes(condition)), {"keep_dims": False})
    known = constant_value(total)
    if known is not None and not known:
        raise InvalidArgumentError(None, None, "\n".join(str(_known(value)) for value in data))
    return assert_true(total, data, summarize)


def _known(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    known = constant_value(value)
    return value if known is None else known


def _difference(
    sign: str, x: Any, y: Any, condition: Any, message: str | None, data: Any, summarize: int | None
) -> str:
    head = "" if message is None else f"{message}\n"
    if data is not None:
        return head + "\n".join(str(part if isinstance(part, str) else _elements(part, summarize)) for part in data)
    count = 3 if summarize is None else np.size(x._array) + np.size(y._array) if summarize < 0 else summarize
    lines = [f"{head}Condition x {sign} y did not hold."]
    left, right = np.asarray(x._array), np.asarray(y._array)
    if left.shape == right.shape and left.ndim:
        wrong = np.argwhere(~np.asarray(condition._array))[:count]
        at = tuple(wrong.T)
        lines.append(f"Indices of first {len(wrong)} different values:\n{wrong}")
        lines.append(f"Corresponding x values:\n{left[at]}\nCorresponding y values:\n{right[at]}")
    for name, array in (("x", left), ("y", right)):
        flat = array.ravel()[:count]
        lines.append(f"First {flat.size} elements of {name}:\n{flat}")
    return "\n".join(lines)


def _define_comparison(name: str, sign: str, op_type: str, is_top_level: bool) -> None:
    """tf.debugging.<name>, for both argument orders."""

    def check(x: Any, y: Any, message: str | None = None, summarize: int | None = None, name: str | None = None) -> Any:
        return check_v1(x, y, None, summarize, message, name)

    def check_v1(
        x: Any,
        y: Any,
        data: Any = None,
        summarize: int | None = None,
        message: str | None = None,
        name: str | None = None,
    ) -> Any:
        _reserve_name(own_name, name, x, y)
        return _compare(sign, op_type, name or own_name, x, y, message, data, summarize)

    own_name = name
    check.__name__ = check_v1.__name__ = name
    check.__doc__ = check_v1.__doc__ = (
        f"Asserts x {sign} y for all elements, broadcast. InvalidArgumentError, showing `message` and the first `summarize` "
        "elements (3; -1: all), where it does not hold."
    )
    export(check, v2=[f"debugging.{name}", *([name] if is_top_level else [])])
    export(check_v1, v1=[name, f"debugging.{name}"])


def _reserve_name(own_name: str, name: str | None, x: Any, y: Any) -> None:
    """TensorFlow opens the scope of assert_equal twice."""
    graph = graph_for((x, y))
    if own_name == "assert_equal" and graph is not None:
        graph.unique_name(name or own_name)


_define_comparison("assert_equal", "==", "Equal", True)
_define_comparison("assert_none_equal", "!=", "NotEqual", False)
_define_comparison("assert_less", "<", "Less", True)
_define_comparison("assert_less_equal", "<=", "LessEqual", False)
_define_comparison("assert_greater", ">", "Greater", True)
_define_comparison("assert_greater_equal", ">=", "GreaterEqual", False)


def _near(
    x: Any, y: Any, rtol: Any, atol: Any, data: Any, summarize: int | None, message: str | None, name: str | None
) -> Any:
    graph = graph_for((x, y))
    with _scope(graph, name or "assert_near"):
        x = convert_to_tensor(x, name="x")
        y = convert_to_tensor(y, x.dtype.base_dtype, name="y")
        epsilon = 10 * np.finfo(x.dtype.real_dtype.as_numpy_dtype).eps
        dtype = x.dtype.real_dtype
        rtol = convert_to_tensor(epsilon if rtol is None else rtol, dtype, name="rtol")
        atol = convert_to_tensor(epsilon if atol is None else atol, dtype, name="atol")
        absolute = REGISTRY["ComplexAbs" if x.dtype.is_complex else "Abs"]
        bound = atol + rtol * apply_op(absolute, (y,))
        condition = apply_op(REGISTRY["Less"], (apply_op(absolute, (x - y,)), bound))
        if data is None:
            head = f"{message}.  " if message else ""
            tolerance = f"x and y not equal to tolerance rtol = {rtol!s}, atol = {atol!s}"
            data = [head, tolerance, _label("x", x), x, _label("y", y), y]
        if graph is not None:
            return _assert_all(condition, data, summarize)
        total = apply_op(REGISTRY["All"], (condition, all_axes(condition)), {"keep_dims": False})
        return assert_true(total, data, summarize)


@public(v2=["debugging.assert_near"])
def assert_near(
    x: Any, y: Any, rtol: Any = None, atol: Any = None, message: str | None = None, summarize: int | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """Asserts |x - y| < atol + rtol * |y| for all elements; the tolerances are ten times the dtype's epsilon by default."""
    return _near(x, y, rtol, atol, None, summarize, message, name)


@public(v1=["assert_near", "debugging.assert_near"])
def assert_near_v1(
    x: Any, y: Any, rtol: Any = None, atol: Any = None, data: Any = None, summarize: int | None = None,
    message: str | None = None, name: str | None = None,
) -> Any:  # fmt: skip
    """As tf.debugging.assert_near, with TensorFlow 1's argument order."""
    return _near(x, y, rtol, atol, data, summarize, message, name)


# ---- signs ----------------------------------------------------------------------------------------------------------


def _define_sign(name: str, sign: str, op_type: str, inner: str, zero_first: bool) -> None:
    """tf.debugging.<name>: a comparison with zero."""

    def check(x: Any, message: str | None = None, summarize: int | None = None, name: str | None = None) -> Any:
        return check_v1(x, None, summarize, message, name)

    def check_v1(
        x: Any, data: Any = None, summarize: int | None = None, message: str | None = None, name: str | None = None
    ) -> Any:
        graph = graph_for((x,))
        with _scope(graph, name or own_name):
            x = convert_to_tensor(x, name="x")
            if data is None:
                head = f"{message}.  " if message else ""
                data = [head, f"Condition x {sign} 0 did not hold element-wise:", _label("x", x), x]
            zero = convert_to_tensor(0, x.dtype.base_dtype)
            pair = (zero, x) if zero_first else (x, zero)
            return _compare(sign, op_type, inner, *pair, None, data, summarize)

    own_name = name
    check.__name__ = check_v1.__name__ = name
    check.__doc__ = check_v1.__doc__ = (
        f"Asserts x {sign} 0 for all elements. InvalidArgumentError where it does not hold."
    )
    export(check, v2=[f"debugging.{name}"])
    export(check_v1, v1=[name, f"debugging.{name}"])


_define_sign("assert_negative", "<", "Less", "assert_less", False)
_define_sign("assert_positive", ">", "Less", "assert_less", True)
_define_sign("assert_non_negative", ">=", "LessEqual", "assert_less_equal", True)
_define_sign("assert_non_positive", "<=", "LessEqual", "assert_less_equal", False)

# ---- ranks and shapes -----------------------------------------------------------------------------------------------


def _tensor_name(tensor: Any) -> str:
    return tensor.name if isinstance(tensor, SymbolicTensor) else ""


def _check_rank(
    x: Any, ranks: Sequence[Any], fits: Callable[[int, Sequence[int]], bool], op_type: str, words: str, own_name: str,
    data: Any, summarize: int | None, message: str | None, name: str | None,
) -> Any:  # fmt: skip
    """Asserts something about the rank of x. ValueError where it is known and wrong."""
    graph = graph_for((x, *ranks))
    with _scope(graph, name or own_name):
        x = x if isinstance(x, Tensor) else convert_to_tensor(x)
        wanted = [convert_to_tensor(rank, name="rank") for rank in ranks]
        head = f"{message}.  " if message else ""
        shape = shape_of(x) if graph is not None else x.shape
        for rank in wanted:
            if rank.shape.rank not in (0, None):
                raise ValueError("Rank must be a scalar.")
            assert_type(rank, dtypes.int32)
        known = [constant_value(rank) for rank in wanted]
        if x.shape.rank is not None and all(value is not None for value in known):
            numbers = [int(value) for value in known]
            if fits(x.shape.rank, numbers):
                return None if graph is None else apply_op(REGISTRY["NoOp"], (), name="static_checks_determined_all_ok")
            shown = numbers[0] if len(numbers) == 1 and "in" not in words.split() else tuple(numbers)
            raise ValueError(
                f"{head}Tensor {_tensor_name(x)} must have rank{words} {shown}.  Received rank {x.shape.rank}, shape {x.shape}"
            )
        rank = apply_op(REGISTRY["Rank"], (x,))
        condition = _any_rank(rank, wanted, op_type)
        if data is None:
            data = [head, f"Tensor {_tensor_name(x)} must have rank{words}", *wanted, "Received shape: ", shape]
        return assert_true(condition, data, summarize)


def _any_rank(rank: Any, wanted: Sequence[Any], op_type: str) -> Any:
    if op_type != "LogicalOr":
        return apply_op(REGISTRY[op_type], (rank, wanted[0]))
    conditions = [apply_op(REGISTRY["Equal"], (number, rank)) for number in wanted]
    result = conditions[0]
    for other in conditions[1:]:
        result = apply_op(REGISTRY["LogicalOr"], (result, other))
    return result


def _same_rank(found: int, wanted: Sequence[int]) -> bool:
    return found == wanted[0]


def _rank_at_least(found: int, wanted: Sequence[int]) -> bool:
    return found >= wanted[0]


def _rank_in(found: int, wanted: Sequence[int]) -> bool:
    return found in wanted


@public(v2=["debugging.assert_rank", "assert_rank"])
def assert_rank(x: Any, rank: Any, message: str | None = None, name: str | None = None) -> Any:
    """Asserts that `x` has that rank. ValueError where it is known and another."""
    return assert_rank_v1(x, rank, None, None, message, name)


@public(v1=["debugging.assert_rank", "assert_rank"])
def assert_rank_v1(
    x: Any,
    rank: Any,
    data: Any = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Any:
    """As tf.debugging.assert_rank, with TensorFlow 1's argument order."""
    return _check_rank(x, [rank], _same_rank, "Equal", "", "assert_rank", data, summarize, message, name)


@public(v2=["debugging.assert_rank_at_least"])
def assert_rank_at_least(x: Any, rank: Any, message: str | None = None, name: str | None = None) -> Any:
    """Asserts that `x` has at least that rank. ValueError where it is known and less."""
    return assert_rank_at_least_v1(x, rank, None, None, message, name)


@public(v1=["debugging.assert_rank_at_least", "assert_rank_at_least"])
def assert_rank_at_least_v1(
    x: Any,
    rank: Any,
    data: Any = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Any:
    """As tf.debugging.assert_rank_at_least, with TensorFlow 1's argument order."""
    return _check_rank(
        x, [rank], _rank_at_least, "GreaterEqual", " at least", "assert_rank_at_least", data, summarize, message, name
    )


@public(v2=["debugging.assert_rank_in"])
def assert_rank_in(x: Any, ranks: Any, message: str | None = None, name: str | None = None) -> Any:
    """Asserts that `x` has one of these ranks. ValueError where its rank is known and another."""
    return assert_rank_in_v1(x, ranks, None, None, message, name)


@public(v1=["debugging.assert_rank_in", "assert_rank_in"])
def assert_rank_in_v1(
    x: Any,
    ranks: Any,
    data: Any = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Any:
    """As tf.debugging.assert_rank_in, with TensorFlow 1's argument order."""
    return _check_rank(x, list(ranks), _rank_in, "LogicalOr", " in", "assert_rank_in", data, summarize, message, name)


@public(v2=["debugging.assert_scalar"])
def assert_scalar(tensor: Any, message: str | None = None, name: str | None = None) -> Any:
    """`tensor`, which must be known to be a scalar. ValueError otherwise."""
    tensor = tensor if isinstance(tensor, Tensor) else convert_to_tensor(tensor)
    if tensor.shape.rank == 0:
        return None if isinstance(tensor, EagerTensor) else tensor
    head = f"{message}.  " if message else ""
    of = "" if isinstance(tensor, EagerTensor) else f" for {tensor.name}"
    raise ValueError(f"{head}Expected scalar shape{of}, saw shape: {tensor.shape}.")


@public(v1=["debugging.assert_scalar", "assert_scalar"])
def assert_scalar_v1(tensor: Any, name: str | None = None, message: str | None = None) -> Any:
    """As tf.debugging.assert_scalar, with TensorFlow 1's argument order."""
    return assert_scalar(tensor, message, name)


# ---- shapes with symbols --------------------------------------------------------------------------------------------


@public(v2=["debugging.assert_shapes"])
def assert_shapes(
    shapes: Any, data: Any = None, summarize: int | None = None, message: str | None = None, name: str | None = None
) -> Any:
    """Asserts that tensors have shapes that fit together.

    shapes: a list of (tensor, shape) or a dict. A shape is a list of sizes: a number; None or "." for any; a symbol (a
        string), which stands for the same size everywhere. A leading "..." or "*" stands for any axes in front.
    Raises ValueError where it is known that they don't fit.
    """
    return _assert_shapes(shapes, data, summarize, message, name)


@public(v1=["debugging.assert_shapes"])
def assert_shapes_v1(
    shapes: Any, data: Any = None, summarize: int | None = None, message: str | None = None, name: str | None = None
) -> Any:
    """As tf.debugging.assert_shapes."""
    return _assert_shapes(shapes, data, summarize, message, name)


class _Expected:
    """What is asserted of one tensor: sizes (None: any), and whether more axes may stand in front."""

    def __init__(self, tensor: Any, sizes: Any) -> None:
        self.tensor = tensor if isinstance(tensor, Tensor) else convert_to_tensor(tensor)
        if isinstance(sizes, str):
            sizes = [part for part in sizes.replace("(", "").replace(")", "").split(",") if part.strip()]
        elif not hasattr(sizes, "__iter__"):
            raise ValueError(
                f"{_described(self.tensor)}.  Specified shape must be an iterable.  An iterable has the attribute `__iter__` or "
                f"`__getitem__`.  Received specified shape: {sizes}"
            )
        parts = [_size(part) for part in sizes]
        self.open = bool(parts) and parts[0] in ("...", "*") and len(parts) > 1
        self.sizes = [None if part == "." else part for part in (parts[1:] if self.open else parts)]


def _size(part: Any) -> Any:
    if not isinstance(part, str):
        return part
    text = part.strip()
    return int(text) if text.isdecimal() else text


def _described(tensor: Any) -> str:
    if isinstance(tensor, SymbolicTensor):
        return f"Tensor {tensor.name}"
    return f"Tensor shape={tensor.shape} dtype={tensor.dtype.name}"


def _assert_shapes(shapes: Any, data: Any, summarize: int | None, message: str | None, name: str | None) -> Any:
    pairs = list(shapes.items()) if isinstance(shapes, dict) else list(shapes)
    graph = graph_for([tensor for tensor, _ in pairs])
    with _scope(graph, name or "assert_shapes"):
        expected = [_Expected(tensor.deref() if hasattr(tensor, "deref") else tensor, sizes) for tensor, sizes in pairs]
        checks = []
        for each in expected:
            check = assert_rank_at_least_v1 if each.open else assert_rank_v1
            checks.append(check(each.tensor, len(each.sizes), data, summarize, message))
        sizes: dict[str, tuple[Any, str]] = {}
        for each in expected:
            checks += _size_checks(each, sizes, data, summarize, message)
        if graph is None:
            return None
        with graph.control_dependencies([check for check in checks if check is not None]):
            return apply_op(REGISTRY["NoOp"], ())


def _size_checks(
    each: _Expected, sizes: dict[str, tuple[Any, str]], data: Any, summarize: int | None, message: str | None
) -> list[Any]:
    checks = []
    for place, wanted in enumerate(each.sizes):
        if wanted is None:
            continue
        axis = place - len(each.sizes)
        found = _size_at(each.tensor, axis)
        shown_axis = axis if each.open else place
        if isinstance(wanted, str):
            if wanted not in sizes:
                named = _described(each.tensor).removeprefix("Tensor ")
                sizes[wanted] = found, f"Specified by tensor {named} dimension {shown_axis}"
                continue
            expected, origin = sizes[wanted]
        else:
            expected, origin = wanted, "Specified explicitly"
        checks.append(_same_size(each.tensor, shown_axis, found, expected, origin, data, summarize, message))
    return checks


def _size_at(tensor: Any, axis: int) -> Any:
    """A size as a number where it is known, else as a tensor."""
    dimensions = tensor.shape.dimensions
    if dimensions is not None and dimensions[axis] is not None:
        return dimensions[axis]
    return apply_op(REGISTRY["Shape"], (tensor,))[axis]


def _same_size(
    tensor: Any,
    axis: int,
    found: Any,
    expected: Any,
    origin: str,
    data: Any,
    summarize: int | None,
    message: str | None,
) -> Any:
    head = f"{message}.  " if message else ""
    if isinstance(found, int) and isinstance(expected, int):
        if found != expected:
            raise ValueError(
                f"{head}{origin}.  {_described(tensor)} dimension {axis} must have size {expected}.  Received size {found}, "
                f"shape {tensor.shape}"
            )
        return None
    if data is None:
        shape = apply_op(REGISTRY["Shape"], (tensor,))
        words = [origin, f"{_described(tensor)} dimension", axis, "must have size", expected, "Received shape: ", shape]
        data = [head, *words]
    return assert_true(apply_op(REGISTRY["Equal"], (found, expected)), data, summarize)


# ---- dtypes ---------------------------------------------------------------------------------------------------------


@public("debugging.assert_type", v1=["assert_type"])
def assert_type(tensor: Any, tf_type: Any, message: str | None = None, name: str | None = None) -> Any:
    """Asserts that `tensor` has dtype `tf_type`. TypeError otherwise."""
    wanted = dtypes.as_dtype(tf_type)
    tensor = tensor if hasattr(tensor, "dtype") else convert_to_tensor(tensor)
    graph = graph_for((tensor,))
    with _scope(graph, name or "assert_type"):
        if tensor.dtype is not wanted:
            head = f"{message}.  " if message else ""
            label = tensor.name if isinstance(tensor, SymbolicTensor) else "tensor"
            raise TypeError(f"{head}{label} must be of type {wanted!r}; got {tensor.dtype!r}")
        return None if graph is None else apply_op(REGISTRY["NoOp"], (), name="statically_determined_correct_type")


@public("debugging.assert_integer", v1=["assert_integer"])
def assert_integer(x: Any, message: str | None = None, name: str | None = None) -> Any:
    """Asserts that `x` has an integer dtype. TypeError otherwise."""
    x = x if isinstance(x, Tensor) else convert_to_tensor(x)
    graph = graph_for((x,))
    with _scope(graph, name or "assert_integer"):
        if not x.dtype.is_integer:
            head = f"{message}.  " if message else ""
            label = x.name if isinstance(x, SymbolicTensor) else "tensor"
            raise TypeError(f'{head}Expected "x" to be integer type.  Found: {label} of dtype {x.dtype}')
        return None if graph is None else apply_op(REGISTRY["NoOp"], (), name="statically_determined_was_integer")


@public("debugging.assert_proper_iterable", v1=["assert_proper_iterable"])
def assert_proper_iterable(values: Any) -> None:
    """Asserts that `values` is iterable, and no tensor, array or string. TypeError otherwise."""
    if isinstance(values, (Tensor, np.ndarray, bytes, str)) or hasattr(values, "_flatten_components"):
        raise TypeError(f'Expected argument "values" to be a "proper" iterable.  Found: {type(values)}')
    if not isinstance(values, Iterable):
        raise TypeError(f'Expected argument "values" to be iterable.  Found: {type(values)}')


@public("debugging.assert_same_float_dtype", v1=["assert_same_float_dtype"])
def assert_same_float_dtype(tensors: Any = None, dtype: Any = None) -> dtypes.DType:
    """The one floating dtype of all tensors (float32 where there are none). ValueError where they differ."""
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    first = None
    for tensor in tensors or ():
        found = tensor.dtype.base_dtype
        if wanted is None:
            wanted, first = found, tensor
        elif found is not wanted:
            as_what = "" if first is None else f" as {first!s}"
            raise ValueError(f"{tensor!s}, type={found}, must be of the same type ({wanted}){as_what}.")
    wanted = dtypes.float32 if wanted is None else wanted
    if not wanted.is_floating:
        raise ValueError(f"Expected floating point type, got {wanted}.")
    return wanted


@public("debugging.is_numeric_tensor", v1=["is_numeric_tensor"])
def is_numeric_tensor(tensor: Any) -> bool:
    """Whether `tensor` is a tensor of numbers."""
    return isinstance(tensor, Tensor) and tensor.dtype.base_dtype in dtypes.NUMERIC


# ---- finiteness -----------------------------------------------------------------------------------------------------


@public(v2=["debugging.assert_all_finite"])
def assert_all_finite(x: Any, message: str, name: str | None = None) -> Any:
    """`x`, which must have no nan and no infinity. InvalidArgumentError with `message` otherwise."""
    graph = graph_for((x,))
    with _scope(graph, name or "VerifyFinite"):
        x = convert_to_tensor(x, name="x")
        check = apply_op(REGISTRY["CheckNumerics"], (x,), {"message": message})
        return x if graph is None else with_dependencies([check], x)


@public(v1=["verify_tensor_all_finite", "debugging.assert_all_finite"])
def verify_tensor_all_finite(
    t: Any = None, msg: str | None = None, name: str | None = None, x: Any = None, message: str | None = None
) -> Any:
    """As tf.debugging.assert_all_finite; `t` and `msg` are old names of `x` and `message`."""
    return assert_all_finite(t if x is None else x, str(msg if message is None else message), name)
