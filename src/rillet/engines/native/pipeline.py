"""The passes behind rillet.compiler.pipeline: from a schedule to a native program."""

from __future__ import annotations

from rillet.compiler.lowered import Lowered
from rillet.compiler.passes import Pass, problems_of, run_passes, text_of
from rillet.compiler.pipeline import Given, lower, schedule
from rillet.core.execution import ExecutionContext
from rillet.engines.native.assembly import (
    Assembly,
    Plan,
    arrange,
    assign,
    compile_all,
    compose,
    link,
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


def compile_function(given: Given) -> Plan:
    """The native program of a Function. Failed, NeedsValue or NotInitialized where it has none (see Lowering)."""
    return build(lower(given), given.context)


def build(lowered: Lowered, context: ExecutionContext) -> Plan:
    """The native program that computes a program in arrays."""
    result: Assembly = run_passes(ASSEMBLING, Assembly(schedule(lowered), context), lowered.program.off)
    assert result.plan is not None
    return result.plan


# ---- text and rules -------------------------------------------------------------------------------------------------


@text_of.register
def assembly_text(assembly: Assembly) -> str:
    """What the passes have made so far: waves, then the text of the kernels, then the steps."""
    if assembly.plan is not None:
        return assembly.plan.program.describe()
    if assembly.steps:
        places = [f"slot {slot} at {offset}" for slot, offset in assembly.places]
        return "\n".join([*[f"{number:5} {step}" for number, step in enumerate(assembly.steps)], *places])
    if assembly.codes:
        return f"{len(set(assembly.codes))} functions for {len(assembly.kernels)} kernels"
    if assembly.kernels:
        return "\n".join(f"; {kernel.name}\n{kernel.text}" for kernel in assembly.kernels)
    return "\n".join(_waves(assembly.region)) if assembly.region is not None else ""


def _waves(region: RegionKernels) -> list[str]:
    lines: list[str] = []
    for step in region.steps:
        if isinstance(step, Branching):
            for inner in step.regions:
                lines += [f"{step.control.name} {{", *[f"  {line}" for line in _waves(inner)], "}"]
        else:
            lines.append(f"wave: {', '.join(f'group {group.position} ({group.name})' for group in step.groups)}")
    return lines


@problems_of.register
def assembly_problems(assembly: Assembly) -> list[str]:
    """What lies in the arena at the same time lies apart."""
    return [f"slots {slot} and {other} overlap" for slot, other in assembly.memory.overlaps(assembly.places)]
