"""What a picture shows, whatever it is written as: nodes, the tensors between them, values and derivatives."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Kind(enum.Enum):
    """What a node stands for."""

    OPERATION = "operation"
    PLACEHOLDER = "placeholder"
    VARIABLE = "variable"
    CONSTANT = "constant"


@dataclass
class Output:
    """One tensor that a node makes.

    shape: text, "" for a scalar. value: the array, where it is known.
    total: the derivative of what is drawn with respect to this tensor, where it was asked for.
    """

    dtype: str
    shape: str
    value: Any = None
    total: Any = None


@dataclass
class Node:
    """An operation, or what a graph gets from outside.

    key: unique in the drawing. label: its short name. path: its whole name, or "". op: the op's type.
    symbol: how the op is written. scope: the name scopes around it, outermost first. is_named: whether the program gave it
    its name. main: the output that is shown first.
    """

    key: int
    kind: Kind
    op: str
    label: str
    path: str = ""
    symbol: str = ""
    scope: tuple[str, ...] = ()
    outputs: list[Output] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    location: str = ""
    is_target: bool = False
    is_named: bool = False
    main: int = 0

    @property
    def value(self) -> Any:
        return self.outputs[self.main].value if self.outputs else None

    @property
    def total(self) -> Any:
        return self.outputs[self.main].total if self.outputs else None


@dataclass
class Partial:
    """The derivative of an operation's result with respect to one of its inputs.

    formula: in the names of the drawing, "" where it can't be told shortly. `δ` in it is the derivative with respect to
        the result, for ops that do more than multiply it element by element.
    value: the number; elementwise the array of the derivatives; else the Jacobian, [*result.shape, *input.shape]; or None.
    """

    formula: str = ""
    value: Any = None


@dataclass
class Edge:
    """A tensor on its way from the node that makes it to one that takes it."""

    source: int
    target: int
    output: int = 0
    place: int = 0
    is_control: bool = False
    partial: Partial | None = None


@dataclass
class Drawing:
    """A graph as it is drawn.

    targets: the labels of what was asked for. notes: what could not be shown, a sentence each.
    """

    nodes: dict[int, Node]
    edges: list[Edge]
    targets: Sequence[str] = ()
    title: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def has_values(self) -> bool:
        return any(output.value is not None for node in self.nodes.values() for output in node.outputs)

    @property
    def target_name(self) -> str:
        return self.targets[0] if len(self.targets) == 1 else "(" + " + ".join(self.targets) + ")"
