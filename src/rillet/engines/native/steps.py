"""The steps that a program is made of. Their operands are numbers of slots unless they say otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rillet.engines.native.jit import Code


@dataclass(frozen=True)
class Kernel:
    """Runs `code(operands, 0, tasks)`: `void kernel(ptr operands, i64 begin, i64 end)`.

    operands: slot numbers. cost: nanoseconds that all tasks take on one thread, roughly. same_wave: independent of the
    kernel step before it (and of all others of that one's wave). scratch: bytes of memory, aligned to 64, that the kernel
    gets as one operand more, after the others: each thread has its own, and its contents are undefined.
    """

    code: Code | int
    operands: Sequence[int]
    tasks: int = 1
    cost: int = 0
    same_wave: bool = False
    name: str = "kernel"
    scratch: int = 0

    @property
    def scratch_block(self) -> int:
        """Bytes of a thread's scratch memory: a copy of the operands, and what the kernel asks for after them."""
        return -(-8 * (len(self.operands) + 1) // 64) * 64 + self.scratch if self.scratch else 0

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.operands))}) tasks={self.tasks} cost={self.cost / 1000:.1f}us"


@dataclass(frozen=True)
class Callback:
    """Calls `callbacks[number](frame)` with the GIL; an exception stops the program.

    replaces_variables: it may give variables new values; the arrays of those that the program reads are looked up again.
    The values of `OUT` variables are set when the run ends, so a callback sees their old ones.
    """

    number: int
    replaces_variables: bool = False

    def __str__(self) -> str:
        return f"callback {self.number}"


@dataclass(frozen=True)
class Jump:
    target: int

    def __str__(self) -> str:
        return f"jump to {self.target}"


@dataclass(frozen=True)
class Branch:
    """Goes to `target` where the bool in `slot` is false."""

    slot: int
    target: int

    def __str__(self) -> str:
        return f"unless {self.slot} jump to {self.target}"


@dataclass(frozen=True)
class Swap:
    """Exchanges the addresses in two slots, which must both be places in the arena."""

    first: int
    second: int

    def __str__(self) -> str:
        return f"swap {self.first}, {self.second}"


@dataclass(frozen=True)
class Address:
    """slot[destination] = slot[base] + stride bytes * index; an index outside 0 <= index < limit stops the program."""

    destination: int
    base: int
    index: int
    index_is_64: bool
    stride: int
    limit: int

    def __str__(self) -> str:
        return f"{self.destination} = {self.base} + {self.stride} * [{self.index}] below {self.limit}"


@dataclass(frozen=True)
class Copy:
    destination: int
    source: int
    bytes: int

    def __str__(self) -> str:
        return f"copy {self.source} to {self.destination}, {self.bytes} bytes"


@dataclass(frozen=True)
class Halt:
    """The end of the program; one is added after the last step."""

    def __str__(self) -> str:
        return "halt"


Step = Kernel | Callback | Jump | Branch | Swap | Address | Copy | Halt
