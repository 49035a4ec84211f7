"""What goes into a program and what comes out of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rillet.engines.native.entry import Mode, Source

Shape = tuple[int, ...]
Array = np.ndarray[Any, Any]


class Input(NamedTuple):
    """An argument of a call: an array of exactly this dtype and shape, whose address is put into the slot."""

    slot: int
    dtype: Any
    shape: Shape


class Variable(NamedTuple):
    """state: an object whose attribute `value` is the variable's array, or None before it is initialised.

    A state may be named twice if at least one of the two only reads it; who only reads it sees the value from before the run.
    """

    slot: int
    state: Any
    mode: Mode
    dtype: Any
    shape: Shape


class Constant(NamedTuple):
    """An array that the program keeps."""

    slot: int
    array: Array


class Output(NamedTuple):
    """source: a slot that a fresh array's address is put in; or (Source.INPUT, number), (Source.VARIABLE, number),
    (Source.CONSTANT, number): that very array."""

    source: int | tuple[Source, int]
    dtype: Any
    shape: Shape


class Signature(NamedTuple):
    """Everything that a call checks, finds and makes. `order` is in which order the variables' arrays are looked up."""

    inputs: tuple[Input, ...]
    variables: tuple[Variable, ...]
    constants: tuple[Constant, ...]
    outputs: tuple[Output, ...]
    order: tuple[int, ...]


def signature(inputs: Any, variables: Any, constants: Any, outputs: Any) -> Signature:
    """The tuples as records. ValueError if two variables write the same state."""
    found = tuple(Variable(*variable) for variable in variables)
    written = [id(variable.state) for variable in found if variable.mode != Mode.READ]
    if len(set(written)) != len(written):
        raise ValueError("two variables of the program write the same state")
    # Who only reads a state takes hold of its array first; who writes it then makes a copy of it.
    order = sorted(range(len(found)), key=lambda number: found[number].mode != Mode.READ)
    return Signature(
        tuple(Input(*input_) for input_ in inputs),
        found,
        tuple(Constant(*constant) for constant in constants),
        tuple(Output(*output) for output in outputs),
        tuple(order),
    )
