"""The pool of worker threads, native: they run shares of kernels' tasks, never touch Python, and sleep while idle.

One word holds how many shares of the current job nobody has taken yet (low half) and how many of the taken ones workers are
still busy with (high half). A thread takes a share by changing the word in one atomic step, so the thread that posted a
job waits for shares in progress and for nothing else: a worker that never got the processor is not missed.
"""

from __future__ import annotations

from rillet.engines.native.layout import FRAME, LANE, NULL, POOL, SHARE, STATE, STEP, Record, Writer, function
from rillet.engines.native.llvm import Module, Value

GRAIN_NANOSECONDS = 20_000  # a share is worth at least this
SHARES_EACH = 8  # at most so many shares a thread and kernel: enough to even out threads of different speed
SPIN_NANOSECONDS = 5_000  # how long a thread looks for work, or for the end of it, before it sleeps
PAUSES = 8  # between two looks at the clock

OUT_OF_MEMORY = -1  # the error of a kernel whose scratch memory could not be had

_REMAINING = 0xFFFFFFFF
_ACTIVE = 1 << 32
ZERO, ONE, NO = Value("0", "i64"), Value("1", "i64"), Value("0", "i32")


def _atomic_load(b: Writer, record: Record, field: str) -> Value:
    return b.value("i64", f"load atomic i64, {record.address(field)} seq_cst, align 8")


def _atomic_store(b: Writer, record: Record, field: str, value: Value) -> None:
    b.line(f"store atomic {value}, {record.address(field)} seq_cst, align 8")


def _atomic_add(b: Writer, record: Record, field: str, number: int) -> Value:
    """Adds; returns the new value."""
    before = b.value("i64", f"atomicrmw add {record.address(field)}, i64 {number} seq_cst")
    return b.add(before, b.i64(number))


def _exchange(b: Writer, record: Record, field: str, expected: Value, new: Value) -> tuple[Value, Value]:
    """Puts `new` where `expected` stands: (what stood there, whether it was that)."""
    both = b.value("{ i64, i1 }", f"cmpxchg {record.address(field)}, {expected}, {new} seq_cst seq_cst")
    return b.value("i64", f"extractvalue {both}, 0"), b.value("i1", f"extractvalue {both}, 1")


def _least(b: Writer, x: Value, y: Value) -> Value:
    return b.select(b.compare("slt", x, y), x, y)


def _most(b: Writer, x: Value, y: Value) -> Value:
    return b.select(b.compare("sgt", x, y), x, y)


def emit_run_tasks(module: Module) -> None:
    """`run_tasks`: calls a step's kernel on tasks begin..end-1. One that wants scratch memory gets its operands copied to
    the start of the thread's own, with the address of the rest of it as one operand more."""
    b, (address, operands, begin, end, scratch) = function(
        module, "run_tasks", "ptr step, ptr operands, i64 begin, i64 end, ptr scratch", attributes="alwaysinline"
    )
    step = b.record(STEP, address)
    code = b.load(step.address("a"), "ptr")
    plain, common = b.label(), b.label()
    b.goto_when(b.compare("eq", step.get("f"), ZERO), plain)
    count = step.get("c")
    with b.loop(ZERO, count) as loop:
        b.set_item(scratch, loop.index, b.item(operands, loop.index))
    after = b.add(b.mul(count, b.i64(8)), b.i64(8 + 63))
    rest = b.offset(scratch, b.binary("and", after, b.i64(-64)), "i8")
    b.set_item(scratch, count, rest)
    b.call("void", code.text, scratch, begin, end)
    b.jump(common)
    b.start(plain)
    b.call("void", code.text, operands, begin, end)
    b.jump(common)
    b.start(common)
    b.ret()


def emit_run_share(module: Module) -> None:
    """`run_share`: runs share number `number` of the job whose kernels `shares` lists."""
    b, (frame, shares, number, scratch) = function(
        module, "run_share", "ptr frame, ptr shares, i64 number, ptr scratch"
    )
    kernel, first = b.local("i64", ZERO), b.local("i64", ZERO)
    with b.forever() as (_, leave):
        last = b.element(SHARE, shares, kernel.get()).get("end")
        b.goto_when(b.compare("slt", number, last), leave)
        first.set(last)
        kernel.set(b.add(kernel.get(), ONE))
    share = b.element(SHARE, shares, kernel.get())
    step, chunk = b.record(STEP, share.get("step")), share.get("chunk")
    begin = b.mul(b.sub(number, first.get()), chunk)
    end = _least(b, b.add(begin, chunk), step.get("d"))
    operands = b.offset(b.record(FRAME, frame).get("operands"), step.get("b"), "ptr")
    b.call("void", "@run_tasks", step.pointer, operands, begin, end, scratch)
    b.ret()


def emit_take_share(module: Module) -> None:
    """`take_share`: the number of a share that is now the calling thread's, or -1. `active` counts it as in progress."""
    b, (address, active) = function(module, "take_share", "ptr pool, i64 active", "i64")
    pool = b.record(POOL, address)
    word = b.local("i64", _atomic_load(b, pool, "word"))
    with b.forever() as (again, _):
        before = word.get()
        remaining = b.binary("and", before, b.i64(_REMAINING))
        b.return_when(b.compare("eq", remaining, ZERO), b.i64(-1))
        stood, taken = _exchange(b, pool, "word", before, b.add(b.sub(before, ONE), active))
        word.set(stood)
        b.goto_when(b.negate(taken), again)
        b.ret(b.sub(pool.get("total"), remaining))
    b.line("unreachable")


def emit_spin(module: Module, pause: str) -> None:
    """`spin`: waits a few microseconds for `word & mask` to be zero (or, if `wanted`, not zero); whether it came to that."""
    b, (address, mask, wanted) = function(module, "spin", "ptr pool, i64 mask, i1 wanted", "i1")
    pool = b.record(POOL, address)
    deadline = b.add(b.call("i64", "@clock"), b.i64(SPIN_NANOSECONDS))
    if pause:
        module.declare(pause, f"void @{pause}({'i32' if 'hint' in pause else ''})")
    with b.forever():
        bits = b.binary("and", _atomic_load(b, pool, "word"), mask)
        reached = b.compare("eq", b.compare("ne", bits, ZERO), wanted)
        b.return_when(reached, Value("true", "i1"))
        for _ in range(PAUSES if pause else 0):
            b.line(f"call void @{pause}({'i32 1' if 'hint' in pause else ''})")
        b.return_when(b.compare("sgt", b.call("i64", "@clock"), deadline), Value("false", "i1"))
    b.line("unreachable")


def emit_worker(module: Module) -> None:
    """`worker`: what a thread of the pool runs."""
    b, (lane_address,) = function(module, "worker", "ptr lane", "ptr")
    lane = b.record(LANE, lane_address)
    pool = b.record(POOL, lane.get("pool"))
    mutex = pool.address("mutex")
    leave = b.label()
    with b.forever() as (again, _):
        with b.forever() as (_, idle):
            number = b.call("i64", "@take_share", pool.pointer, b.i64(_ACTIVE))
            b.goto_when(b.compare("slt", number, ZERO), idle)
            b.call("void", "@work", lane_address, number)
            now = _atomic_add(b, pool, "word", -_ACTIVE)
            finished = b.compare("eq", now, ZERO)
            awaited = b.compare("ne", _atomic_load(b, pool, "waiting"), ZERO)
            with b.when(b.binary("and", finished, awaited)):
                b.invoke("i32", "pthread_mutex_lock", mutex)
                b.invoke("i32", "pthread_mutex_unlock", mutex)
                b.invoke("i32", "pthread_cond_signal", pool.address("done"))
        b.goto_when(b.call("i1", "@spin", pool.pointer, b.i64(_REMAINING), Value("true", "i1")), again)
        b.invoke("i32", "pthread_mutex_lock", mutex)
        _atomic_add(b, pool, "sleepers", 1)
        with b.forever() as (_, wake):
            remaining = b.binary("and", _atomic_load(b, pool, "word"), b.i64(_REMAINING))
            b.goto_when(b.compare("ne", remaining, ZERO), wake)
            b.goto_when(b.compare("ne", _atomic_load(b, pool, "stop"), ZERO), wake)
            b.invoke("i32", "pthread_cond_wait", pool.address("work"), mutex)
        _atomic_add(b, pool, "sleepers", -1)
        b.invoke("i32", "pthread_mutex_unlock", mutex)
        b.goto_when(b.compare("ne", _atomic_load(b, pool, "stop"), ZERO), leave)
    b.line("unreachable")
    b.start(leave)
    b.invoke("void", "free", lane.get("scratch"))
    b.invoke("void", "free", lane_address)
    b.ret(NULL)


def emit_work(module: Module) -> None:
    """`work`: a worker's share, with the worker's scratch memory, which grows to what jobs need."""
    b, (lane_address, number) = function(module, "work", "ptr lane, i64 number")
    lane = b.record(LANE, lane_address)
    pool = b.record(POOL, lane.get("pool"))
    needed = pool.get("scratch")
    with b.when(b.compare("sgt", needed, lane.get("scratch_bytes"))):
        b.invoke("void", "free", lane.get("scratch"))
        size = b.binary("and", b.add(needed, b.i64(63)), b.i64(-64))
        memory = b.invoke("ptr", "aligned_alloc", b.i64(64), size)
        lane.set("scratch", memory)
        lane.set("scratch_bytes", b.select(b.is_null(memory), ZERO, size))
    frame = pool.get("frame")
    with b.when(b.compare("sgt", needed, lane.get("scratch_bytes"))):
        b.store(Value(str(OUT_OF_MEMORY), "i32"), b.record(FRAME, frame).address("error"))
        b.ret()
    b.call("void", "@run_share", frame, pool.get("shares"), number, lane.get("scratch"))
    b.ret()


def emit_grow(module: Module, set_mask: int) -> None:
    """`grow`: starts the workers that are missing, with all signals blocked, for they are the main thread's. Where the
    system has no more threads, fewer will do."""
    b, (address,) = function(module, "grow", "ptr pool", attributes="noinline cold")
    pool = b.record(POOL, address)
    every, before, thread = b.alloca("i64", 16), b.alloca("i64", 16), b.alloca("i64", 1)
    how = Value(str(set_mask), "i32")
    b.invoke("i32", "sigfillset", every)
    b.invoke("i32", "pthread_sigmask", how, every, before)
    with b.forever() as (again, leave):
        started = pool.get("started")
        b.goto_when(b.compare("sge", started, pool.get("helpers")), leave)
        failed, unused = b.label(), b.label()
        lane_address = b.invoke("ptr", "calloc", ONE, b.i64(LANE.size))
        b.goto_when(b.is_null(lane_address), failed)
        b.record(LANE, lane_address).set("pool", address)
        code = b.invoke("i32", "pthread_create", thread, NULL, Value("@worker", "ptr"), lane_address)
        b.goto_when(b.compare("ne", code, NO), unused)
        b.invoke("i32", "pthread_detach", b.load(thread, "ptr"))
        pool.set("started", b.add(started, ONE))
        b.jump(again)
        b.start(unused)
        b.invoke("void", "free", lane_address)
        b.jump(failed)
        b.start(failed)
        pool.set("helpers", started)
    b.invoke("i32", "pthread_sigmask", how, before, NULL)
    b.ret()


def emit_wake(module: Module) -> None:
    """`wake`: as many sleeping workers as there are shares for."""
    b, (address, shares) = function(module, "wake", "ptr pool, i64 shares")
    pool = b.record(POOL, address)
    sleepers = _atomic_load(b, pool, "sleepers")
    with b.when(b.compare("sgt", _least(b, sleepers, shares), ZERO)):
        mutex, work = pool.address("mutex"), pool.address("work")
        b.invoke("i32", "pthread_mutex_lock", mutex)  # who is about to sleep is asleep when this succeeds
        b.invoke("i32", "pthread_mutex_unlock", mutex)
        with b.when(b.compare("sge", shares, sleepers)):
            b.invoke("i32", "pthread_cond_broadcast", work)
            b.ret()
        with b.loop(ZERO, shares):
            b.invoke("i32", "pthread_cond_signal", work)
    b.ret()


def emit_wait(module: Module) -> None:
    """`wait`: until no share of the job is in progress any more."""
    b, (address,) = function(module, "wait", "ptr pool")
    pool = b.record(POOL, address)
    with b.when(b.call("i1", "@spin", address, b.i64(-1), Value("false", "i1"))):
        b.ret()
    mutex = pool.address("mutex")
    b.invoke("i32", "pthread_mutex_lock", mutex)
    _atomic_store(b, pool, "waiting", ONE)
    with b.forever() as (_, leave):
        b.goto_when(b.compare("eq", _atomic_load(b, pool, "word"), ZERO), leave)
        b.invoke("i32", "pthread_cond_wait", pool.address("done"), mutex)
    _atomic_store(b, pool, "waiting", ZERO)
    b.invoke("i32", "pthread_mutex_unlock", mutex)
    b.ret()


def emit_plan(module: Module) -> None:
    """`plan`: cuts the kernels of a wave into shares and gathers their operands. Puts the job into the pool; returns how many
    shares it has."""
    b, (program, frame_address, first, count, pool_address) = function(
        module, "plan", "ptr program, ptr frame, ptr step, i64 count, ptr pool", "i64"
    )
    frame, pool = b.record(FRAME, frame_address), b.record(POOL, pool_address)
    shares = frame.get("shares")
    most = b.mul(b.add(pool.get("helpers"), ONE), b.i64(SHARES_EACH))
    total, scratch = b.local("i64", ZERO), b.local("i64", ZERO)
    with b.loop(ZERO, count) as loop:
        step = b.element(STEP, first, loop.index)
        b.call("ptr", "@gather", program, frame_address, step.pointer)
        tasks = step.get("d")
        worth = b.binary("udiv", step.get("ticks"), b.i64(GRAIN_NANOSECONDS))
        pieces = _most(b, _least(b, _least(b, worth, most), tasks), ONE)
        chunk = _most(b, _divide_up(b, tasks, pieces), ONE)
        total.set(b.add(total.get(), _divide_up(b, tasks, chunk)))
        scratch.set(_most(b, scratch.get(), step.get("f")))
        share = b.element(SHARE, shares, loop.index)
        share.set("step", step.pointer)
        share.set("chunk", chunk)
        share.set("end", total.get())
    pool.set("frame", frame_address)
    pool.set("shares", shares)
    pool.set("total", total.get())
    pool.set("scratch", scratch.get())
    b.ret(total.get())


def _divide_up(b: Writer, x: Value, y: Value) -> Value:
    return b.binary("udiv", b.sub(b.add(x, y), ONE), y)


def emit_wave(module: Module) -> None:
    """`alone`: a wave's kernels one after the other. `wave`: a wave's kernels on all threads of the pool, or alone where
    another thread is using the pool."""
    b, (program, frame_address, first, count) = function(
        module, "alone", "ptr program, ptr frame, ptr step, i64 count", attributes="noinline"
    )
    scratch = b.record(FRAME, frame_address).get("scratch")
    with b.loop(ZERO, count) as loop:
        step = b.element(STEP, first, loop.index)
        operands = b.call("ptr", "@gather", program, frame_address, step.pointer)
        b.call("void", "@run_tasks", step.pointer, operands, ZERO, step.get("d"), scratch)
    b.ret()

    b, (program, frame_address, first, count) = function(
        module, "wave", "ptr program, ptr frame, ptr step, i64 count", attributes="noinline"
    )
    frame = b.record(FRAME, frame_address)
    pool = b.record(POOL, b.record(STATE, b.service("state")).get("pool"))
    alone = b.label()
    b.goto_when(b.compare("eq", pool.get("helpers"), ZERO), alone)
    _, mine = _exchange(b, pool, "busy", ZERO, ONE)
    b.goto_when(b.negate(mine), alone)
    with b.when(b.compare("slt", pool.get("started"), pool.get("helpers"))):
        b.call("void", "@grow", pool.pointer)
    total = b.call("i64", "@plan", program, frame_address, first, count, pool.pointer)
    _atomic_store(b, pool, "word", total)
    b.call("void", "@wake", pool.pointer, _least(b, b.sub(total, ONE), pool.get("helpers")))
    with b.forever() as (_, leave):
        number = b.call("i64", "@take_share", pool.pointer, ZERO)
        b.goto_when(b.compare("slt", number, ZERO), leave)
        b.call("void", "@run_share", frame_address, frame.get("shares"), number, frame.get("scratch"))
    b.call("void", "@wait", pool.pointer)
    _atomic_store(b, pool, "busy", ZERO)
    b.ret()
    b.start(alone)
    b.call("void", "@alone", program, frame_address, first, count)
    b.ret()


def emit_pool(module: Module, pause: str, set_mask: int) -> None:
    """pause: the intrinsic that a waiting thread calls, or "". set_mask: the system's SIG_SETMASK."""
    emit_run_tasks(module)
    emit_run_share(module)
    emit_take_share(module)
    emit_spin(module, pause)
    emit_work(module)
    emit_worker(module)
    emit_grow(module, set_mask)
    emit_wake(module)
    emit_wait(module)
    emit_plan(module)
    emit_wave(module)
