"""The compiler's passes, in the order in which they run: from a Function to kernels that can be written.

    Function --prune, lower--> Lowered (arrays) --needed ... align--> Schedule (groups) --> rillet.engines.native.pipeline

Each form has a text (function_text.py, arrays_text.py) and rules that are checked (verify.py). Passes without `run` are done
on the way by the pass that they are `within`: folding needs the values, and simplification the expressions, that lowering
comes by as it goes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rillet.compiler.arrays import Array, Arrays, Source
from rillet.compiler.lower import Lowering
from rillet.compiler.lowered import Lowered, separate
from rillet.compiler.passes import Pass, observe, run_passes
from rillet.compiler.schedule import Schedule, align, choose_stores, find_needed, group, name
from rillet.core.execution import ExecutionContext, VariableState
from rillet.core.function import Function

LOWERING = (
    Pass(
        "prune",
        "operations that no result and no effect needs are left out",
        "first: what is cut off costs nothing later. It is done when the Function is cut out of its graph",
        within="Function.cut",
    ),
    Pass(
        "lower",
        "operations become arrays, each by the rule of its type (lowering/), or by tracing its NumPy formula",
        "as soon as the shapes of what is given are known: arrays have shapes that are numbers",
        run=lambda given: given.lowered(),
    ),
    Pass(
        "inline",
        "functions that are called, and the branches and turns that are known to be taken, are lowered in place",
        "on the way: what is known of the arguments is known inside",
        within="lower",
    ),
    Pass(
        "fold",
        "what is made of constants alone is computed now, by the reference kernels",
        "on the way: rules need the values of shapes and axes",
        within="lower",
        optional=True,
    ),
    Pass(
        "cse",
        "an operation on the same arrays with the same attributes as one before it is that one",
        "on the way: then arrays are the same if they are the same object",
        within="lower",
        optional=True,
    ),
    Pass(
        "state",
        "variables are followed as values: an assignment gives a new one, a read takes the present one",
        "on the way, in the order in which the operations would run",
        within="lower",
    ),
    Pass(
        "simplify",
        "expressions, views and reductions are made in their simplest form (rewrites.py has the table)",
        "as they are made: nothing has to be found and replaced later",
        within="lower",
        optional=True,
    ),
    Pass(
        "separate",
        "results that are old values of variables that change are copied",
        "before scheduling: the copy is one more array to be computed",
        separate,
    ),
)

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
    Pass(
        "recompute",
        "what is cheap is computed anew by each of its readers, if that takes no more memory traffic than reading it",
        "it is the choice which arrays get a name",
        within="name",
        optional=True,
    ),
    Pass(
        "group",
        "named arrays are put into kernels, and these in an order",
        "when all names are known: a kernel reads what has a name",
        group,
    ),
    Pass(
        "fuse",
        "an array joins the kernel of what it reads, or one that reads the same",
        "it is the choice among the kernels that there are",
        within="group",
        optional=True,
    ),
    Pass(
        "stores",
        "what other kernels read comes to memory",
        "only complete kernels tell what they read",
        choose_stores,
    ),
    Pass(
        "align",
        "loops that go together are merged, and those whose variables are divided are split",
        "last: the expressions of all members have a say",
        align,
        optional=True,
    ),
)


@dataclass
class Given:
    """A Function and what it is called with. values: for each input the array or variable that stands for it; inputs: the
    same, but for those whose values are known and need not be passed."""

    function: Function
    values: Sequence[Any]
    inputs: Sequence[Source | VariableState]
    context: ExecutionContext
    program: Arrays

    def lowered(self) -> Lowered:
        lowering = Lowering(self.function, self.values, self.context, self.program)
        result = Lowered(self.function.name, self.program, self.inputs, lowering.outputs)
        result.variables, result.updates = dict(lowering.variables), lowering.updates
        return result


def lower(given: Given) -> Lowered:
    """The Function in arrays. Failed, NeedsValue or NotInitialized where it has no such form (see Lowering)."""
    observe(given.function, "prune")
    result: Lowered = run_passes(LOWERING, given, given.program.off)
    return result


def schedule(lowered: Lowered) -> Schedule:
    """The kernels that compute a program, in an order of execution."""
    start = Schedule(lowered.program, lowered.results, lowered.in_place, lowered=lowered)
    result: Schedule = run_passes(SCHEDULING, start, lowered.program.off)
    return result


def schedule_region(
    program: Arrays, results: Sequence[Array], updates: Sequence[tuple[Source, Array]], inside: Collection[int]
) -> Schedule:
    """The kernels of a region of a program; see Schedule."""
    result: Schedule = run_passes(SCHEDULING, Schedule(program, results, updates, inside), program.off)
    return result
