"""Makes the picture's model of what is to be drawn: nodes for operations and leaves, edges for tensors, with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.autodiff.backprop import is_differentiable
from rillet.autodiff.isolated import known_value
from rillet.core import dtypes
from rillet.core.graph import Operation
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.draw.algebra import Expression
from rillet.draw.derivatives import Derivatives, differentiate
from rillet.draw.formula import partial_formulas
from rillet.draw.model import Drawing, Edge, Kind, Node, Output, Partial
from rillet.draw.names import Unique
from rillet.draw.notation import symbol
from rillet.draw.numbers import number, shape_text
from rillet.draw.subject import Subject, captured_name, is_variable, reads_variable

_LONGEST_ATTRIBUTE = 60
_SELDOM_TOLD = (
    "T",
    "dtype",
    "shape",
    "value",
    "Tidx",
    "Tshape",
    "Tpaddings",
    "Tperm",
    "Tdim",
    "container",
    "shared_name",
)


class Builder:
    """Turns a subject into a Drawing. Afterwards `expressions` has the partial derivatives by (key of the node, place of
    the input), and `place_of` the node and output of each tensor, by its id."""

    def __init__(self, subject: Subject, title: str = "", show_constants: bool = False) -> None:
        self.subject = subject
        self.derivatives: Derivatives = differentiate(subject)
        self.drawing = Drawing({}, [], title=title, notes=[*subject.notes, *self.derivatives.notes])
        self.place_of: dict[int, tuple[int, int]] = {}
        self.operations: dict[int, Operation] = {}  # by the key of a node
        self.expressions: dict[tuple[int, int], Expression] = {}
        self._key_of: dict[int, int] = {}  # the node of an operation, by its sequence
        self._show_constants = show_constants
        self._tensors: dict[int, Tensor] = {}
        self._unique = Unique(_names_used(subject))
        self._named: set[str] = set()
        self._made = {id(tensor) for operation in subject.operations for tensor in operation.outputs}
        self._folded = set() if show_constants else self._structural(subject.operations)

    def build(self) -> Drawing:
        for operation in self.subject.operations:
            if operation.sequence not in self._folded:
                self._add(operation)
        for operation in self.subject.operations:
            if operation.sequence in self._key_of:
                self._connect(operation)
        self._move_leaves()
        targets = [self.place_of[id(tensor)][0] for tensor in self.subject.targets if id(tensor) in self.place_of]
        for key in targets:
            self.drawing.nodes[key].is_target = True
        self.drawing.targets = [self.drawing.nodes[key].label for key in dict.fromkeys(targets)]
        return self.drawing

    def _structural(self, operations: Sequence[Operation]) -> set[int]:
        """What says how operations work, such as axes and shapes, whether written or computed from shapes: it is told at
        the operations that take it."""
        targets = {id(tensor) for tensor in self.subject.targets}
        found: set[int] = set()
        for operation in operations:
            is_known = operation.type == "Const" or operation.definition.fold is not None
            from_known = operation.inputs and all(
                isinstance(tensor, SymbolicTensor) and tensor.op.sequence in found for tensor in operation.inputs
            )
            if (is_known or from_known) and not any(
                is_differentiable(tensor.dtype) or id(tensor) in targets for tensor in operation.outputs
            ):
                found.add(operation.sequence)
        return found

    # ---- nodes -----------------------------------------------------------------------------------------------------

    def _add(self, operation: Operation) -> None:
        if reads_variable(operation):
            key = self._leaf(operation.inputs[0])
            node = self.drawing.nodes[key]
            self._place(operation.outputs[0], key, 0)
            name = self.subject.names.get(id(operation.outputs[0]))
            if name and node.label not in self._named:
                node.label = name
            self._merge(node.outputs[0], operation.outputs[0])
            return
        for place, tensor in enumerate(operation.inputs):
            is_structural = not self._show_constants and not is_differentiable(tensor.dtype) and place > 0
            if id(tensor) not in self._made and not (is_structural and isinstance(tensor, EagerTensor)):
                self._leaf(tensor)
        if len(operation.outputs) == 1 and is_variable(operation.outputs[0]) and not operation.inputs:
            self._leaf(operation.outputs[0])
            return
        kind = _kind_of(operation)
        key = self._key_of[operation.sequence] = len(self.drawing.nodes)
        self.operations[key] = operation
        path = operation.name
        node = Node(key, kind, operation.type, self._label(operation), path, scope=_scope(path))
        node.symbol = symbol(operation.type) if kind is Kind.OPERATION else ""
        node.attributes = self._attributes(operation)
        node.location = str(operation.location or "")
        node.outputs = [self._output(tensor) for tensor in operation.outputs]
        differentiable = [place for place, tensor in enumerate(operation.outputs) if is_differentiable(tensor.dtype)]
        node.main = differentiable[0] if differentiable else 0
        node.is_named = any(id(tensor) in self.subject.names for tensor in operation.outputs)
        self.drawing.nodes[key] = node
        for place, tensor in enumerate(operation.outputs):
            self._place(tensor, key, place)

    def _place(self, tensor: Tensor, key: int, output: int) -> None:
        self._tensors[id(tensor)] = tensor  # kept, so that its id stays its own
        self.place_of[id(tensor)] = (key, output)

    def _label(self, operation: Operation) -> str:
        for tensor in operation.outputs:
            name = self.subject.names.get(id(tensor))
            if name and name not in self._named:
                self._named.add(name)
                return name
        if operation.name:
            return self._unique(operation.name.rpartition("/")[2])
        return self._unique(operation.type.lower().removesuffix("v2"))

    def _leaf(self, tensor: Tensor) -> int:
        """The node of a tensor that no operation here makes: a variable, or what a tape found to be there."""
        if id(tensor) in self.place_of:
            return self.place_of[id(tensor)][0]
        key = len(self.drawing.nodes)
        variable = is_variable(tensor)
        name = self.subject.names.get(id(tensor), "")
        path = captured_name(tensor) or (tensor.op.name if isinstance(tensor, SymbolicTensor) else "")
        watched = id(tensor) in self.derivatives.on_path
        kind = Kind.VARIABLE if variable else Kind.PLACEHOLDER if watched else Kind.CONSTANT
        output = self._output(tensor)
        if name and name not in self._named:
            self._named.add(name)
            label = name
        else:
            label = self._unique(path.rpartition("/")[2] or ("x" if watched else "constant"))
        node = Node(key, kind, "Variable" if variable else "Tensor", label, path, scope=_scope(path))
        node.outputs = [output]
        node.is_named = bool(name)
        node.location = str(getattr(tensor, "location", None) or "")
        self.drawing.nodes[key] = node
        self._place(tensor, key, 0)
        return key

    def _output(self, tensor: Tensor) -> Output:
        value = self.subject.values.get(id(tensor))
        array = None if value is None or tensor.dtype.base_dtype is dtypes.variant else value._array
        array = getattr(array, "value", None) if is_variable(tensor) else array
        array = known_value(tensor) if array is None and isinstance(tensor, SymbolicTensor) else array
        shape = tensor.shape.dimensions if array is None or not hasattr(array, "shape") else array.shape
        dtype = tensor.dtype.base_dtype.name
        return Output(
            dtype, "" if is_variable(tensor) else shape_text(shape), array, self.derivatives.totals.get(id(tensor))
        )

    def _merge(self, output: Output, tensor: Tensor) -> None:
        """Takes over what is known of one reading of a variable: its value, and its share of the derivative."""
        read = self._output(tensor)
        output.dtype, output.shape = read.dtype, read.shape
        output.value = read.value if output.value is None else output.value
        if read.total is not None:
            output.total = read.total if output.total is None else output.total + read.total

    def _attributes(self, operation: Operation) -> dict[str, str]:
        told: dict[str, str] = {}
        arguments = [argument.name for argument in operation.definition.signature.inputs]
        for place, tensor in enumerate(operation.inputs):
            is_folded = isinstance(tensor, SymbolicTensor) and tensor.op.sequence in self._folded
            if is_folded or (
                isinstance(tensor, EagerTensor) and id(tensor) not in self.place_of and id(tensor) not in self._made
            ):
                array = self._known(tensor)
                name = arguments[place] if place < len(arguments) else f"input {place}"
                if array is not None:
                    told[name] = _attribute_text(np.asarray(array).tolist())
        for name, attribute in operation.definition.signature.attributes.items():
            value = operation.attrs.get(name)
            if (
                attribute.kind != "type"
                and name not in _SELDOM_TOLD
                and value is not None
                and value != attribute.default
            ):
                told[name] = _attribute_text(value)
        return told

    def _move_leaves(self) -> None:
        """Variables and constants stand in the innermost scope of those that read them."""
        nodes = self.drawing.nodes
        readers: dict[int, list[tuple[str, ...]]] = {}
        for edge in self.drawing.edges:
            readers.setdefault(edge.source, []).append(nodes[edge.target].scope)
        for key, scopes in readers.items():
            if nodes[key].kind in (Kind.VARIABLE, Kind.CONSTANT):
                nodes[key].scope = _shared(scopes)

    # ---- edges -----------------------------------------------------------------------------------------------------

    def _connect(self, operation: Operation) -> None:
        target = self._key_of[operation.sequence]
        formulas = self._formulas(operation)
        for place, tensor in enumerate(operation.inputs):
            if id(tensor) not in self.place_of:
                continue
            source, output = self.place_of[id(tensor)]
            edge = Edge(source, target, output, place)
            value = self.derivatives.partials.get((operation.sequence, place))
            if value is not None or place in formulas or self._is_on_path(tensor, operation):
                edge.partial = Partial(formulas[place].text() if place in formulas else "", value)
            self.drawing.edges.append(edge)
        for other in operation.control_inputs:
            if other.sequence in self._key_of:
                self.drawing.edges.append(Edge(self._key_of[other.sequence], target, is_control=True))

    def _is_on_path(self, tensor: Tensor, operation: Operation) -> bool:
        on_path = self.derivatives.on_path
        return id(tensor) in on_path and any(id(result) in on_path for result in operation.outputs)

    def _formulas(self, operation: Operation) -> dict[int, Expression]:
        on_path = self.derivatives.on_path
        wanted = [place for place, tensor in enumerate(operation.inputs) if id(tensor) in on_path]
        if not any(self._is_on_path(tensor, operation) for tensor in operation.inputs):
            return {}
        names = [self._name_in_formula(tensor) for tensor in operation.inputs]
        result = self.drawing.nodes[self._key_of[operation.sequence]].label
        found = partial_formulas(operation, names, result, self._known)
        formulas = {place: expression for place, expression in found.items() if place in wanted}
        for place, expression in formulas.items():
            self.expressions[self._key_of[operation.sequence], place] = expression
        return formulas

    def _name_in_formula(self, tensor: Tensor) -> str:
        place = self.place_of.get(id(tensor))
        if place is None:
            return ""
        node = self.drawing.nodes[place[0]]
        return "" if node.kind is Kind.CONSTANT and np.size(node.value) == 1 and node.value is not None else node.label

    def _known(self, tensor: Tensor) -> Any:
        value = self.subject.values.get(id(tensor))
        if value is not None:
            return value._array
        return known_value(tensor)


def _names_used(subject: Subject) -> list[str]:
    tensors = (tensor for operation in subject.operations for tensor in (*operation.inputs, *operation.outputs))
    return [subject.names[id(tensor)] for tensor in tensors if id(tensor) in subject.names]


def _shared(scopes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The innermost scope that all are in."""
    first, last = min(scopes), max(scopes)
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return first[:depth]


def _kind_of(operation: Operation) -> Kind:
    if operation.type == "Const":
        return Kind.CONSTANT
    return Kind.PLACEHOLDER if operation.type.startswith("Placeholder") else Kind.OPERATION


def _scope(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")[:-1])


def _attribute_text(value: Any) -> str:
    text = number(value) if isinstance(value, float) else str(value.decode() if isinstance(value, bytes) else value)
    return text if len(text) <= _LONGEST_ATTRIBUTE else text[: _LONGEST_ATTRIBUTE - 1] + "…"
