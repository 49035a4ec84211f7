"""The passes behind rillet.compiler.pipeline: from a schedule to a native program."""

from __future__ import annotations

from dataclasses import replace

from rillet.compiler.lowered import Lowered
from rillet.compiler.passes import Pass, problems_of, run_passes, text_of
from rillet.compiler.pipeline import LOWERING, SCHEDULING, Given, lower, schedule
from rillet.core.execution import ExecutionContext
from rillet.engines.native.assembly import (
    Assembly,
    Plan,
    arrange,
    assign,
    compile_all,
    compose,
    link,
    number_kernels,
    place,
    write,
)
from rillet.engines.native.regions import Branching, RegionKernels

ASSEMBLING = (
    Pass(
        "arrange",
        "the regions of loops and branches are scheduled too, and everything stands in waves",
        "when the order is known: a wave is a run of kernels in it",
        arrange,
    ),
    Pass(
        "waves",
        "kernels that do not depend on each other run at the same time",
        "it is the choice where a wave ends",
        within="arrange",
        optional=True,
    ),
    Pass(
        "in_place",
        "what is read for the last time is written over: by updates of variables, scatters, the states of loops",
        "needs the order, which tells who reads last; decides what has to be copied",
        within="arrange, assign and compose",
        optional=True,
    ),
    Pass("write", "kernels are written in LLVM IR", "before compiling; nothing depends on slots yet", write),
    Pass(
        "share_kernels",
        "groups of the same structure (the layers of a network) are written and compiled once",
        "before writing: the second costs nothing",
        within="write",
        optional=True,
    ),
    Pass(
        "compile",
        "kernels become machine code, on all cores, or are found in the cache",
        "as soon as there is text",
        compile_all,
    ),
    Pass(
        "assign",
        "inputs, variables and results get slots, and memory that is not the arena's",
        "before steps name slots",
        assign,
    ),
    Pass(
        "compose", "the steps of the program are put in order", "notes, as it goes, when each slot is in use", compose
    ),
    Pass(
        "place",
        "what is temporary gets its place in the arena",
        "when it is known how long each thing is in use",
        place,
    ),
    Pass(
        "share_memory",
        "what is not in use at the same time may lie in the same place",
        "it is the choice of places",
        within="place",
        optional=True,
    ),
    Pass("link", "steps and tables become a callable", "last", link),
)


# The same for a program that is not to run here: its kernels are compiled together, when all steps are known.
AHEAD = tuple(
    replace(each, run=number_kernels) if each.name == "compile" else each for each in ASSEMBLING if each.name != "link"
)

OPTIONAL = frozenset(each.name for each in (*LOWERING, *SCHEDULING, *ASSEMBLING) if each.optional)


def compile_function(given: Given) -> Plan:
    """The native program of a Function. Failed, NeedsValue or NotInitialized where it has none (see Lowering); ValueError if
    a pass is switched off that is not optional."""
    wrong = given.program.off - OPTIONAL
    if wrong:
        raise ValueError(
            f"RILLET_PASSES: {', '.join(sorted(wrong))} cannot be switched off, but {', '.join(sorted(OPTIONAL))}"
        )
    return build(lower(given), given.context)


def build(lowered: Lowered, context: ExecutionContext) -> Plan:
    """The native program that computes a program in arrays."""
    return assemble(Assembly(schedule(lowered), context))


def assemble(assembly: Assembly) -> Plan:
    """The native program of a schedule."""
    result: Assembly = run_passes(ASSEMBLING, assembly, assembly.schedule.program.off)
    assert result.plan is not None
    return result.plan


# ---- text and rules -------------------------------------------------------------------------------------------------


@text_of.register
def assembly_text(assembly: Assembly) -> str:
    """What the passes have made so far: waves, then the text of the kernels, then slots, then the steps."""
    if assembly.plan is not None:
        return assembly.plan.program.describe()
    if assembly.steps:
        return "\n".join([*_slots(assembly), *_steps(assembly), *_places(assembly)])
    if assembly.inputs or assembly.variables or assembly.outputs:
        return "\n".join(_slots(assembly))
    if assembly.codes:
        texts = len({id(kernel.text) for kernel in assembly.kernels})
        return f"kernels: {len(assembly.kernels)}, texts written: {texts}, functions: {len(set(assembly.codes))}"
    if assembly.kernels:
        return "\n".join(
            f"; {kernel.name}: {kernel.tasks} tasks\n{kernel.text.rstrip()}" for kernel in assembly.kernels
        )
    return "\n".join(_waves(assembly.region)) if assembly.region is not None else ""


def _slots(assembly: Assembly) -> list[str]:
    lines = [f"input in slot {given.slot}: {given.dtype}{list(given.shape)}" for given in assembly.inputs]
    for variable in assembly.variables:
        about = f"{variable.mode.name.lower()} {variable.dtype}{list(variable.shape)}"
        lines.append(f"variable {variable.state.name} in slot {variable.slot}: {about}")
    for output in assembly.outputs:
        source = output.source
        where = f"in slot {source}" if isinstance(source, int) else f"{source[0].name.lower()} {source[1]}"
        lines.append(f"result {where}: {output.dtype}{list(output.shape)}")
    return lines + [f"at the end, copied to slot {slot}: {array.bytes} bytes" for slot, array in assembly.copies]


def _steps(assembly: Assembly) -> list[str]:
    return [f"{number:5} {step}" for number, step in enumerate(assembly.steps)]


def _places(assembly: Assembly) -> list[str]:
    if assembly.plan is None and not assembly.places:
        return []
    memory = assembly.memory
    places = [f"slot {slot} lies at {offset} of the arena" for slot, offset in sorted(assembly.places)]
    return [*places, f"arena of {memory.size} bytes, of which {memory.needed} are in use at the same time"]


def _waves(region: RegionKernels) -> list[str]:
    lines: list[str] = []
    for step in region.steps:
        if isinstance(step, Branching):
            for inner in step.regions:
                lines += [f"{step.control.name} {{", *[f"  {line}" for line in _waves(inner)], "}"]
        else:
            lines.append(f"wave: {', '.join(f'group {group.position} ({group.name})' for group in step.groups)}")
        lines += [f"  {array!r} begins as {source!r}" for array, source in step.copies]
    return lines


@problems_of.register
def assembly_problems(assembly: Assembly) -> list[str]:
    """What is read has been computed; what lies in the arena at the same time lies apart."""
    problems = [] if assembly.region is None else assembly.region.problems()
    return problems + [f"slots {slot} and {other} overlap" for slot, other in assembly.memory.overlaps(assembly.places)]
