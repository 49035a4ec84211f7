"""Writing kernels: each group by the writer of its kind."""

from __future__ import annotations

from rillet.compiler.groups import Group, MiddleGroup, OpaqueGroup, RowsGroup
from rillet.engines.native.kernel import Kernel
from rillet.engines.native.middle import write_middle
from rillet.engines.native.opaque import write_opaque
from rillet.engines.native.product import write_product
from rillet.engines.native.rows import write_rows
from rillet.engines.native.target import Target


class KernelWriter:
    """Writes the kernels of one program; `kernels` are those that were written, in order."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.kernels: list[Kernel] = []

    def kernel(self, group: Group, one_task: bool = False) -> Kernel:
        """The group's kernel. one_task: it is not to be divided."""
        kernel = write(group, self.target, one_task)
        self.kernels.append(kernel)
        return kernel


def write(group: Group, target: Target, one_task: bool = False) -> Kernel:
    if isinstance(group, OpaqueGroup):
        return write_opaque(group.opaque, target)
    if isinstance(group, MiddleGroup):
        return write_middle(group, target)
    assert isinstance(group, RowsGroup)
    return write_product(group, target) if group.contraction is not None else write_rows(group, target, one_task)
