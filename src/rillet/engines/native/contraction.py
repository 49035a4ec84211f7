"""Every contraction: C[batch, m, n] = sum over k of A[batch, m, k] * B[batch, k, n].

One call writes one kernel:

    info = contraction(module, "name", host(), a, b, c)

adds `void name(ptr operands, i64 begin, i64 end)` to `module` (and private functions whose names begin with
"name."); the runtime calls it with any division of the tasks 0..info.tasks-1. Tasks are independent, and results are
the same bits however tasks are divided and for how many `workers` the kernel was written.

The operands a and b are `Strided` (they lie in memory) or `Computed` (a callback emits code that gives elements):

    a = Strided(0, "float", rows=((M, K),), columns=((K, 1),))            # A[m, k], row major
    a = Strided(0, "float", rows=((M, 1),), columns=((K, M),))            # A transposed in memory
    b = Strided(1, "float", rows=((K, N),), columns=((N, 1),))
    c = Strided(2, "float", rows=((M, N),), columns=((N, 1),))

`Strided.operand` is the number of the buffer in the table of operands. Each of batch, rows and columns is a tuple of
(extent, stride in elements) pairs, outermost first; the element's place is `offset` plus the sum of index * stride.
A 3x3 convolution over a padded image of Hp x Wp x channels is

    a = Strided(0, "float", rows=((images, Hp*Wp*Ci), (H, Wp*Ci), (W, Ci)), columns=((3, Wp*Ci), (3, Ci), (Ci, 1)))
    b = Strided(1, "float", rows=((9 * Ci, Co),), columns=((Co, 1),))
    c = Strided(2, "float", rows=((images * H * W, Co),), columns=((Co, 1),))

The lists of two operands for one axis may be cut differently as long as one cut refines the other. Strides may be 0
(broadcasting) or negative in a and b. An operand that all of a batch shares is better told as one whose rows (or
whose columns) are those of the whole batch. All extents are at least 1: a contraction without elements, or over
nothing, is the caller's (the result of the latter is 0).

    Computed(load, rows=M, columns=K, batch=1, along="columns")
    load(b, batch, row, column, lanes) -> Value

`load` returns `lanes` elements (vector(element, lanes); element is `accumulator(a, b)`) that start at the given
indices (i64 Values; linear in each of batch, rows, columns) and follow each other along the axis named by `along`.
It may be asked for 1 lane or for any number up to a vector's, and for an element more than once: each task that uses
one computes it anew, so what costs much is better computed once by a kernel of its own.

Storage is float, double, bfloat or half; bfloat and half are computed with as float, and as soon as one operand is
double so is the sum.

Without `store`, results are rounded to c's element and stored. With it, `store(b, batch, m, n, value, lanes)` is
called where `lanes` finished results for row m and columns n, n + 1 ... are in `value`; it emits what becomes of
them. Its code runs once for each result, but is written several times; `lanes` may be any number up to the rows or
columns of a tile in registers, and differ from call to call. In both callbacks `b` is the builder of whatever function
is being written, and b.parameters["operands"] the table of operands.

c may be left out where there is a `store`. Where it is given besides, and its element is the accumulator's type,
partial sums may be kept there until `store` is called for that place, which saves scratch memory; so nothing that
`store` or another task reads may lie there.

`announce(b, batch, m, n)` may be given with `store`. It is called some time before the results of row m from column n on
are, for each row of a tile and each line of cache in it, and emits prefetches of what `store` will want there.

Scratch memory: info.scratch_bytes in all, with any content, in the buffer whose number in the table is `scratch`; 0
where none is needed. A kernel also takes up to the size of the first data cache of its caller's stack.
"""

from __future__ import annotations

from dataclasses import dataclass

from rillet.engines.native.contraction_kernel import ContractionKernel
from rillet.engines.native.contraction_operands import Announce, Computed, Operand, Problem, Store, Strided, accumulator
from rillet.engines.native.contraction_plan import plan_contraction
from rillet.engines.native.llvm import Module
from rillet.engines.native.target import Target

__all__ = ["Computed", "KernelInfo", "Strided", "accumulator", "contraction"]


@dataclass(frozen=True)
class KernelInfo:
    """name: the function's; tasks: how many there are; scratch_bytes: of all of them together."""

    name: str
    tasks: int
    scratch_bytes: int


def contraction(
    module: Module,
    name: str,
    target: Target,
    a: Operand,
    b: Operand,
    c: Strided | None = None,
    store: Store | None = None,
    scratch: int | None = None,
    workers: int = 2,
    announce: Announce | None = None,
) -> KernelInfo:
    """Adds the kernel `name` to the module: see the module's text.

    workers: how many there will be tasks for, if there is work for so many.
    Raises ValueError if the extents of the operands do not fit together, or if neither c nor store is given.
    """
    plan = plan_contraction(target, Problem.of(a, b, c, store, announce), workers)
    ContractionKernel(module, name, target, plan, scratch).write()
    return KernelInfo(name, plan.tasks, plan.task_scratch * plan.tasks)
