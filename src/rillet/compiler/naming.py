"""Naming: which arrays are computed in one place and come to memory (or to a register of the kernel that makes them).

Sources, reductions, contractions and outputs of opaque kernels always have a name. A map gets one if it is a result, or if
computing it anew for each of its readers would cost more than reading it back. All others are computed where they are read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rillet.compiler.arrays import Array, Constant, Contraction, Map, Output, Reduction
from rillet.compiler.index import Variable, linear, loop_variables
from rillet.compiler.scalar import COSTS, Scalar, loads

# A map that costs this much (in additions) is not computed again for each reader of a broadcast.
_COSTLY = 4
# One that costs no more than this, and is made of one array of its size, is computed by each of its readers: they would
# have to load something of that size anyway.
_RECOMPUTED = 12
# No expression is longer than this many operations, no chain of inlined maps deeper.
_LONGEST, _DEEPEST = 300, 40


@dataclass(slots=True)
class _Formula:
    """What it takes to compute one element from what is named: additions, nested maps, operations; `streams`: the named
    arrays of about the array's own size that it reads; is_known: whether it is made of constants alone."""

    work: int = 0
    depth: int = 0
    length: int = 1
    streams: frozenset[int] = frozenset()
    is_known: bool = False


# Of what is computed around the region that is being named.
_AROUND = _Formula()


def name_arrays(needed: Sequence[Array], kept: Collection[int], off: Collection[str] = ()) -> None:
    """Sets `stored` of the maps that get a name. kept: the numbers of the arrays that must have one. off: passes that are
    switched off: `fuse` (then all that is computed has a name), `recompute` (then what several arrays read has one)."""
    readers: dict[int, list[Array]] = {}
    for array in needed:
        for source in {id(source): source for source in array.reads}.values():
            readers.setdefault(source.number, []).append(array)
    reach = _reach(needed)
    formulas: dict[int, _Formula] = {}
    for array in needed:
        if not isinstance(array, Map):
            formulas[array.number] = _Formula(is_known=isinstance(array, Constant) and array.splat is not None)
            continue
        formula = formulas[array.number] = _formula(array, formulas)
        users = readers.get(array.number, ())
        must = array.number in kept or any(isinstance(user, Output) and _wants_stored(user, array) for user in users)
        is_operand = any(isinstance(user, Contraction) or _is_operand_of(user, array, readers) for user in users)
        always = array.cost > 0 and ("fuse" in off or ("recompute" in off and len(users) > 1))
        worth = always or _worth_naming(array, users, formula, is_operand, reach.get(array.number, 0))
        if must or ((is_operand or not formula.is_known) and worth):
            array.stored = True
            formulas[array.number] = _Formula(is_known=formula.is_known)


def _formula(array: Map, formulas: dict[int, _Formula]) -> _Formula:
    work, length, depth = 0, 0, 0
    known = array.cost <= COSTS["mod"]
    streams: set[int] = set()
    for source in array.reads:
        part = formulas.get(source.number, _AROUND)
        length += part.length
        known = known and part.is_known
        if source.stored:
            if 2 * source.size >= array.size:
                streams.add(source.number)
            continue
        work += part.work
        depth = max(depth, part.depth)
        program = array.program
        streams.update(number for number in part.streams if 2 * program.arrays[number].size >= array.size)
    return _Formula(array.cost + array.repeats * work, 1 + depth, 1 + array.repeats * length, frozenset(streams), known)


def _is_operand_of(view: Array, array: Map, readers: dict[int, list[Array]]) -> bool:
    """Whether a contraction reads the view, and could read `array` itself instead, if that were in memory. (So could others
    that see it in other ways.)"""
    if not isinstance(view, Map) or view.cost:
        return False
    if not any(isinstance(user, Contraction) for user in readers.get(view.number, ())):
        return False
    array.stored = True
    is_plain = _is_plain_view(view)
    array.stored = False
    return is_plain


def _reach(needed: Sequence[Array]) -> dict[int, int]:
    """How many elements the largest reader of each array has that computes something with it, through views as well."""
    reach: dict[int, int] = {}
    for array in reversed(needed):
        if isinstance(array, Reduction):
            continue
        size = array.size
        if isinstance(array, Map):
            size = array.repeats * (max(size, reach.get(array.number, 0)) if array.cost == 0 else size)
        for source in array.reads:
            reach[source.number] = max(size, reach.get(source.number, 0))
    return reach


def _worth_naming(array: Map, users: Sequence[Array], formula: _Formula, is_operand: bool, reach: int) -> bool:
    work = formula.work
    if is_operand:
        return work > 0 or not _is_plain_view(array)
    if formula.length > _LONGEST or formula.depth > _DEEPEST:
        return True
    if array.cost == 0:
        return False
    if work <= _COSTLY and 4 * sum(source.size for source in array.reads) <= array.size:
        return False  # made of little: computing it again costs less than reading it back
    if len(users) > 1 and (len(formula.streams) > 1 or work > _RECOMPUTED):
        return True
    return work >= _COSTLY and reach >= 2 * array.size


def _wants_stored(user: Output, array: Map) -> bool:
    """Whether an opaque kernel wants that input in memory: it reads it there, or would read in it what it changes, or could
    fail over it when it has changed something."""
    changed = [user.opaque.inputs[place] for place in user.opaque.in_place.values()]
    if not user.streams(array):
        return True
    if not changed:
        return False
    expression = array.at(*[linear(v) for v in loop_variables(array.shape)])
    found: list[Scalar] = []
    loads(expression, found.append)
    return expression.can_fail or any(load.data[0] is source for load in found for source in changed)


def _is_plain_view(array: Array) -> bool:
    """Whether each element is one of another array, at a place that is affine in the index."""
    # Not the variables of kernels: what is found here is not to be remembered.
    variables = [Variable("i", extent) for extent in array.shape]
    expression = array.at(*[linear(v) for v in variables])
    if expression.operation != "load" or expression.data[2] is not None:
        return False
    return all(isinstance(atom, Variable) for atom in expression.data[1].terms)
