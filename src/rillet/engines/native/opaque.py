"""Kernels that write whole arrays in their own way: scattering, sorting, running sums.

A lowering rule gives an `Opaque` a function that writes the kernel's body:

    def emit(w: Writer) -> None:
        with w.b.loop(w.begin, w.end) as loop: ...

for the tasks from w.begin to w.end. `w.inputs[i]` and `w.outputs[j]` are addresses (ptr Values), in the order of the
Opaque's inputs and outputs.
"""

from __future__ import annotations

from rillet.compiler.arrays import Opaque
from rillet.engines.native.expressions import ERROR, Expressions
from rillet.engines.native.kernel import Kernel, begin_kernel
from rillet.engines.native.llvm import Builder, Value
from rillet.engines.native.target import Target


class Writer:
    """What the body of an opaque kernel is written with."""

    def __init__(self, b: Builder, expressions: Expressions, opaque: Opaque, target: Target) -> None:
        self.b = b
        self.expressions = expressions
        self.target = target
        self.inputs = [expressions.pointer(array) for array in opaque.inputs]
        self.outputs = [expressions.pointer(array) for array in opaque.outputs]
        self.begin, self.end = b.parameters["begin"], b.parameters["end"]

    def fail(self, condition: Value) -> None:
        """Sets the program's error where the condition (i1) holds."""
        b = self.b
        place = self.expressions.pointer(ERROR)
        b.store(b.binary("or", b.load(place, "i32"), b.convert("zext", condition, "i32")), place)


def write_opaque(opaque: Opaque, target: Target) -> Kernel:
    b = begin_kernel()
    expressions = Expressions(b, target)
    opaque.emit(Writer(b, expressions, opaque, target))
    b.ret()
    return Kernel(opaque.name, str(b.module), expressions.operands, opaque.tasks, opaque.work)
