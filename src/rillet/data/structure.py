"""Structures of elements: what is a part of one, what describes it, and functions of elements as bodies of graphs.

Tuples, named tuples and dicts are structure; lists become tensors. A leaf is a tensor or a dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rillet.core import context, dtypes, nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph, Function
from rillet.core.shapes import TensorShape
from rillet.core.sparse_tensor import SparseTensor
from rillet.core.tensor import Tensor
from rillet.frontend.autograph.context import converting
from rillet.frontend.autograph.conversion import home_of, traced_form
from rillet.frontend.function import TensorSpec
from rillet.frontend.variable import Variable


@public("data.DatasetSpec", v1=["data.experimental.DatasetStructure"])
class DatasetSpec:
    """A dataset as a part of an element. element_spec: what its own elements are."""

    dtype = dtypes.variant
    shape = TensorShape(())

    def __init__(self, element_spec: Any, dataset_shape: Any = ()) -> None:
        self.element_spec = element_spec
        self.dataset_shape = TensorShape(dataset_shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatasetSpec) and other.element_spec == self.element_spec

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"DatasetSpec({self.element_spec!r}, {self.dataset_shape!r})"


def normalized(value: Any) -> Any:
    """The value with tensors as leaves. TypeError for what is no tensor and can't be made one."""
    if isinstance(value, Mapping):
        made = {key: normalized(child) for key, child in value.items()}
        return made if type(value) is dict else type(value)(made)  # type: ignore[call-arg]
    if nest.is_namedtuple(value):
        return type(value)(*map(normalized, value))
    if type(value) is tuple:
        return tuple(map(normalized, value))
    if isinstance(value, SparseTensor):
        raise TypeError(
            "datasets of sparse tensors are not supported: give the indices, the values and the shape instead"
        )
    if isinstance(value, Tensor) or hasattr(value, "_variant_tensor"):
        return value
    return convert_to_tensor(value.read_value() if isinstance(value, Variable) else value)


def spec_of(value: Any) -> Any:
    """What describes a leaf: a TensorSpec or a DatasetSpec."""
    if hasattr(value, "_variant_tensor"):
        return DatasetSpec(value.element_spec)
    return TensorSpec(value.shape, value.dtype)


@dataclass(frozen=True)
class Structure:
    """What elements are like. spec: a nest of TensorSpecs and DatasetSpecs; flat: its leaves, in order."""

    spec: Any
    flat: tuple[Any, ...]

    @staticmethod
    def of(spec: Any) -> Structure:
        return Structure(spec, tuple(nest.flatten(spec)))

    @staticmethod
    def of_values(values: Any) -> Structure:
        return Structure.of(nest.map_structure(spec_of, values))

    def attributes(self) -> dict[str, Any]:
        """output_types and output_shapes, as ops have them."""
        return {
            "output_types": tuple(spec.dtype for spec in self.flat),
            "output_shapes": tuple(spec.shape for spec in self.flat),
        }

    def packed(self, tensors: Sequence[Any], dataset: Callable[[Any, Any], Any]) -> Any:
        """An element made of the tensors of its leaves. dataset: makes one of a tensor and the spec of its elements."""
        if self.spec.__class__ is TensorSpec:
            return tensors[0]
        leaves = [
            dataset(tensor, spec.element_spec) if isinstance(spec, DatasetSpec) else tensor
            for tensor, spec in zip(tensors, self.flat, strict=True)
        ]
        return nest.pack_sequence_as(self.spec, leaves)


def tensors_of(value: Any) -> list[Any]:
    """The leaves of a normalized value as tensors."""
    return [getattr(leaf, "_variant_tensor", leaf) for leaf in nest.flatten(value)]


# ---- functions of elements ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traced:
    """A function of elements as a body: its Function, the tensors it has captured, and what it returns."""

    function: Function
    captured: list[Any]
    returns: Structure


def traced(
    function: Callable[..., Any],
    takes: Sequence[Structure],
    dataset: Callable[[Any, Any], Any],
    name: str,
    returns: Callable[[Any], Any] = normalized,
) -> Traced:
    """Traces `function`, whose arguments are elements of these structures.

    A single element that is a tuple is given as several arguments. returns: makes of what the function returned what its
    results are. Raises what the function raises.
    """
    graph = FuncGraph(name)
    graph.may_create_variables = False
    with graph.as_default(), context.without_recording(), converting(True, home_of(function)):
        form = traced_form(function, True)
        arguments = []
        for structure in takes:
            inputs = [graph.add_input(spec.dtype, spec.shape) for spec in structure.flat]
            arguments.append(structure.packed(inputs, dataset))
        result = returns(form(*_spread(arguments)))
        graph.outputs = [graph.capture(tensor) for tensor in tensors_of(result)]
    return Traced(graph.function(), graph.external_captures, Structure.of_values(result))


def _spread(arguments: list[Any]) -> Iterator[Any]:
    """A single element that is a tuple is several arguments."""
    if len(arguments) == 1 and type(arguments[0]) is tuple:
        return iter(arguments[0])
    return iter(arguments)
