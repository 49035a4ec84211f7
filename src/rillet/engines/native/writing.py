"""Writing kernels: each group by the writer of its kind, and groups of equal structure once."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import replace

from rillet.compiler.arrays import Array, Source
from rillet.compiler.groups import Group, MiddleGroup, OpaqueGroup, RowsGroup
from rillet.compiler.structure import Structure, structure_of
from rillet.engines.native.kernel import Kernel, Partial
from rillet.engines.native.middle import write_middle
from rillet.engines.native.opaque import write_opaque
from rillet.engines.native.product import write_product
from rillet.engines.native.rows import write_rows
from rillet.engines.native.target import Target


class KernelWriter:
    """Writes the kernels of one program; `kernels` are those that were written, in order. off: passes switched off."""

    def __init__(self, target: Target, off: Collection[str] = ()) -> None:
        self.target = target
        self.kernels: list[Kernel] = []
        self._shares = "share_kernels" not in off
        self._known: dict[Hashable, tuple[Kernel, Structure]] = {}

    def kernel(self, group: Group, one_task: bool = False) -> Kernel:
        """The group's kernel. one_task: it is not to be divided."""
        structure = structure_of(group) if self._shares else None
        key = None if structure is None else (structure.key, one_task)
        if structure is None or key not in self._known:
            kernel = write(group, self.target, one_task)
            if structure is not None:
                self._known[key] = kernel, structure
        else:
            kernel = _on_others(*self._known[key], structure)
        self.kernels.append(kernel)
        return kernel


def _on_others(kernel: Kernel, structure: Structure, other: Structure) -> Kernel:
    """The same kernel on the arrays of another group of equal structure."""
    stands_for = {old.number: new for old, new in zip(structure.arrays, other.arrays, strict=True)}
    partials: list[Partial] = []
    for partial in kernel.partials:
        array, parts = stands_for[partial.array.number], partial.parts
        fresh = Source(parts.program, parts.shape, parts.dtype, parts.kind, array.number)
        stands_for[parts.number] = fresh
        partials.append(Partial(array, fresh, partial.kind))
    operands: list[Array] = [stands_for.get(array.number, array) for array in kernel.operands]
    return replace(kernel, operands=operands, partials=partials, bases=other.bases)


def write(group: Group, target: Target, one_task: bool = False) -> Kernel:
    """The kernel of a group. one_task: it is not to be divided."""
    if isinstance(group, OpaqueGroup):
        return write_opaque(group.opaque, target)
    if isinstance(group, MiddleGroup):
        return write_middle(group, target)
    assert isinstance(group, RowsGroup)
    return write_product(group, target) if group.contraction is not None else write_rows(group, target, one_task)
