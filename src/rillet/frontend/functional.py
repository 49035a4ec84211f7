"""tf.map_fn, tf.scan, tf.foldl, tf.foldr: functions of the rows of tensors, one row after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rillet.core import context, dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import UNKNOWN, TensorShape, as_shape
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.frontend.control import body_graph, tracing, while_loop
from rillet.frontend.tensor_array import TensorArray


class _Rows:
    """The rows of a nest of tensors."""

    def __init__(self, elems: Any) -> None:
        self.structure = elems
        self.tensors = [convert_to_tensor(elem, name="elem") for elem in nest.flatten(elems)]
        for tensor in self.tensors:
            if tensor.shape.rank == 0:
                raise ValueError("Elements in elems must be 1+ dimensional Tensors, not scalars")
        self.count = self._count()
        self.static_count = _merged_size([_first_size(tensor) for tensor in self.tensors])
        self.arrays = [
            TensorArray(tensor.dtype.base_dtype, self.count, infer_shape=False, element_shape=_row_shape(tensor), clear_after_read=False)
            .unstack(tensor)
            for tensor in self.tensors
        ]  # fmt: skip

    def _count(self) -> Any:
        first = self.tensors[0]
        if isinstance(first, EagerTensor):
            return len(first)
        return apply_op(REGISTRY["Shape"], (first,))[0]

    def at(self, index: Any) -> Any:
        return nest.pack_sequence_as(self.structure, [array.read(index) for array in self.arrays])


def _first_size(tensor: Any) -> int | None:
    return tensor.shape.dimensions[0] if tensor.shape.dimensions else None


def _merged_size(sizes: Sequence[int | None]) -> int | None:
    known = None
    for size in sizes:
        if known is not None and size is not None and known != size:
            raise ValueError(f"Dimensions {known} and {size} are not compatible")
        known = size if known is None else known
    return known


def _row_shape(tensor: Any) -> TensorShape:
    return UNKNOWN if tensor.shape.dimensions is None else TensorShape(tensor.shape.dimensions[1:])


@contextlib.contextmanager
def _scope(elems: Any, others: Any, name: str) -> Iterator[Graph | None]:
    graph = graph_for([*nest.flatten(elems), *nest.flatten(others)])
    if graph is None:
        yield None
    else:
        with context.use_graph(graph), graph.name_scope(name):
            yield graph


def _check(fn: Any, elems: Any) -> None:
    if not callable(fn):
        raise TypeError(f"fn must be callable, not {fn!r}")
    if not nest.flatten(elems):
        raise ValueError(
            f"elems must be a Tensor or (possibly nested) sequence of Tensors. Got {elems}, which does not contain any Tensors."
        )


def _stacked(arrays: Sequence[TensorArray], size: int | None) -> list[Any]:
    """The arrays' entries, with what is known of their number."""
    results = [array.stack() for array in arrays]
    for result in results:
        if isinstance(result, SymbolicTensor) and result.shape.rank is not None:
            result.set_shape(TensorShape([size, *result.shape.dimensions[1:]]))  # type: ignore[index]
    return results


# ---- map ------------------------------------------------------------------------------------------------------------


class _Outputs:
    """What a mapped function returns, declared before it is called: a structure of dtypes and shapes."""

    def __init__(self, signature: Any) -> None:
        self.structure = signature
        leaves = nest.flatten(signature)
        self.dtypes = [dtypes.as_dtype(getattr(leaf, "dtype", leaf)) for leaf in leaves]
        self.shapes = [as_shape(getattr(leaf, "shape", None)) for leaf in leaves]

    def arrays(self, size: Any, infer_shape: bool) -> list[TensorArray]:
        return [
            TensorArray(dtype, size, infer_shape=infer_shape, element_shape=shape)
            for dtype, shape in zip(self.dtypes, self.shapes, strict=True)
        ]

    def flat(self, result: Any) -> list[Any]:
        nest.assert_same_structure(self.structure, result)
        return nest.flatten(result)


@public("map_fn")
def map_fn(
    fn: Callable[..., Any],
    elems: Any,
    dtype: Any = None,
    parallel_iterations: int | None = None,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    name: str | None = None,
    fn_output_signature: Any = None,
) -> Any:
    """fn of each row, the results stacked.

    elems: a tensor or a nest of tensors with equally many rows; fn gets the same nest of their rows.
    fn_output_signature (or dtype): the structure and dtypes of what fn returns, as dtypes or TensorSpecs; where it is
        left out they are those of elems. infer_shape: whether all results have one shape.
    Raises ValueError for scalars, for different numbers of rows, or where fn returns another structure.
    """
    _check(fn, elems)
    signature = dtype if fn_output_signature is None else fn_output_signature
    with _scope(elems, (), name or "map"):
        rows = _Rows(elems)
        outputs = _Outputs(
            nest.map_structure(lambda tensor: convert_to_tensor(tensor).dtype, elems)
            if signature is None
            else signature
        )
        start = convert_to_tensor(0)
        arrays = outputs.arrays(rows.count, infer_shape)

        def step(index: Any, arrays: Any) -> Any:
            results = outputs.flat(fn(rows.at(index)))
            return index + 1, [array.write(index, result) for array, result in zip(arrays, results, strict=True)]

        _, arrays = while_loop(
            lambda index, _: index < rows.count,
            step,
            (start, arrays),
            parallel_iterations=parallel_iterations or 10,
            back_prop=back_prop,
            maximum_iterations=rows.count,
        )
        return nest.pack_sequence_as(outputs.structure, _stacked(arrays, rows.static_count))


@public("vectorized_map")
def vectorized_map(fn: Callable[..., Any], elems: Any, fallback_to_while_loop: bool = True, warn: bool = True) -> Any:
    """As tf.map_fn, for a function whose results needn't be declared. Tensors with a single row go with every row.

    Raises ValueError where numbers of rows differ otherwise.
    """
    _check(fn, elems)
    with _scope(elems, (), "vectorized_map") as graph:
        tensors = [convert_to_tensor(elem) for elem in nest.flatten(elems)]
        sizes = {_first_size(tensor) for tensor in tensors}
        single = [_first_size(tensor) == 1 and sizes != {1} for tensor in tensors]
        several = [tensor for tensor, one in zip(tensors, single, strict=True) if not one]
        rows = _Rows(several)

        def call(row: Sequence[Any]) -> Any:
            remaining = iter(row)
            parts = [tensor[0] if one else next(remaining) for tensor, one in zip(tensors, single, strict=True)]
            return nest.map_structure(convert_to_tensor, fn(nest.pack_sequence_as(elems, parts)))

        if graph is None:
            results = [call(rows.at(index)) for index in range(rows.count)]
            return nest.map_structure(lambda *parts: apply_op(REGISTRY["Pack"], (list(parts),)), *results)
        signature = _traced_signature(graph, call, rows)
        flat = map_fn(
            lambda row: nest.flatten(call(row)),
            several,
            fn_output_signature=[leaf.dtype for leaf in nest.flatten(signature)],
        )
        return nest.pack_sequence_as(signature, flat)


def _traced_signature(graph: Graph, call: Callable[..., Any], rows: _Rows) -> Any:
    """What `call` returns for a row, as symbolic tensors of a graph that is thrown away."""
    draft = body_graph("draft", graph)
    with tracing(draft, ""):
        return call([draft.add_input(tensor.dtype, _row_shape(tensor)) for tensor in rows.tensors])


# ---- scan and fold --------------------------------------------------------------------------------------------------


def _flat_like(structure: Any, value: Any) -> list[Any]:
    nest.assert_same_structure(structure, value)
    return nest.flatten(value)


@public("scan")
def scan(
    fn: Callable[..., Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str | None = None,
) -> Any:
    """All intermediate results of folding the rows: result[i] = fn(result[i-1], row[i]), stacked.

    initializer: what comes before the first row, in the structure that fn returns; where it is None, the first row is
        the first result. reverse: begins with the last row.
    Raises ValueError for scalars and for different numbers of rows.
    """
    _check(fn, elems)
    with _scope(elems, initializer, name or "scan"):
        rows = _Rows(elems)
        last = rows.count - 1
        first = last if reverse else 0
        if initializer is None:
            structure, state, done = elems, nest.flatten(rows.at(first)), 1
        else:
            structure, done = initializer, 0
            state = [convert_to_tensor(leaf) for leaf in nest.flatten(initializer)]
        arrays = [
            TensorArray(
                part.dtype.base_dtype,
                rows.count,
                infer_shape=infer_shape,
                element_shape=part.shape if infer_shape else None,
            )
            for part in state
        ]
        if done:
            arrays = [array.write(first, part) for array, part in zip(arrays, state, strict=True)]

        def step(index: Any, state: Any, arrays: Any) -> Any:
            result = _flat_like(structure, fn(nest.pack_sequence_as(structure, state), rows.at(index)))
            written = [array.write(index, part) for array, part in zip(arrays, result, strict=True)]
            return index - 1 if reverse else index + 1, result, written

        _, _, arrays = while_loop(
            (lambda index, *_: index >= 0) if reverse else (lambda index, *_: index < rows.count),
            step,
            (last - done if reverse else done, state, arrays),
            parallel_iterations=parallel_iterations,
            back_prop=back_prop,
            maximum_iterations=rows.count,
        )
        return nest.pack_sequence_as(structure, _stacked(arrays, rows.static_count))


@public("foldl")
def foldl(
    fn: Callable[..., Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """Folds the rows from the first to the last: fn(...fn(fn(initializer, row[0]), row[1])...).

    initializer: of the structure that fn returns; where it is None, the first row takes its place.
    """
    return _fold(fn, elems, initializer, parallel_iterations, back_prop, name or "foldl", False)


@public("foldr")
def foldr(
    fn: Callable[..., Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """Folds the rows from the last to the first. See tf.foldl."""
    return _fold(fn, elems, initializer, parallel_iterations, back_prop, name or "foldr", True)


def _fold(
    fn: Callable[..., Any],
    elems: Any,
    initializer: Any,
    parallel_iterations: int,
    back_prop: bool,
    name: str,
    reverse: bool,
) -> Any:
    _check(fn, elems)
    with _scope(elems, initializer, name):
        rows = _Rows(elems)
        if initializer is None:
            start = rows.count - 1 if reverse else convert_to_tensor(0)
            state, start = rows.at(start), start if reverse else convert_to_tensor(1)
        else:
            state, start = initializer, rows.count if reverse else convert_to_tensor(0)

        def forwards(index: Any, state: Any) -> Any:
            return index + 1, fn(state, rows.at(index))

        def backwards(index: Any, state: Any) -> Any:
            before = index - 1
            return before, fn(state, rows.at(before))

        _, state = while_loop(
            (lambda index, _: index > 0) if reverse else (lambda index, _: index < rows.count),
            backwards if reverse else forwards,
            (start, state),
            parallel_iterations=parallel_iterations,
            back_prop=back_prop,
            maximum_iterations=rows.count,
        )
        return state
