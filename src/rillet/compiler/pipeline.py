"""The compiler's passes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rillet.compiler.arrays import Array, Arrays, Source
from rillet.compiler.passes import Pass, run_passes
from rillet.compiler.schedule import Schedule, align, choose_stores, find_needed, group, name

SCHEDULING = (
    Pass(
        "needed",
        "arrays that no result is made of are left out",
        "before all that costs time for each array",
        find_needed,
    ),
    Pass(
        "name",
        "arrays that are dear to compute again get a place; the others are computed where they are read",
        "before grouping, which takes expressions down to what has a name",
        name,
    ),
    Pass("group", "named arrays are put into kernels", "needs the names; the kernels then stand in an order", group),
    Pass("stores", "what other kernels read comes to memory", "only complete kernels tell what they read", choose_stores),
    Pass("align", "loops are split and merged", "the last word on a kernel's loops, when its members are known", align),
)


def schedule(
    program: Arrays,
    results: Sequence[Array],
    updates: Sequence[tuple[Source, Array]] = (),
    inside: Collection[int] | None = None,
) -> Schedule:
    """The kernels that compute `results` and `updates`, in an order of execution; see Schedule."""
    start = Schedule(program, list(results), list(updates), inside)
    result: Schedule = run_passes(SCHEDULING, start, program.off)
    return result
