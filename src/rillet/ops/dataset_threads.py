"""Elements that are made ahead of time, on other threads, where that saves time."""

from __future__ import annotations

import collections
import os
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rillet.ops.dataset_values import Applied, DatasetValue, Element, Mapped

AUTOTUNE = -1

# Handing an element to another thread takes tens of microseconds: what is quicker than this stays where it is.
_WORTH_SECONDS = 2e-4
_TRIALS = 8  # so many elements tell how long one takes


class ParallelMapped(Mapped):
    """A map whose calls run on `workers` threads (AUTOTUNE: as many as there are processors), in order."""

    def __init__(self, source: DatasetValue, function: Applied, workers: int) -> None:
        super().__init__(source, function)
        if workers < 1 and workers != AUTOTUNE:
            raise ValueError(f"num_parallel_calls must be greater than zero, but got {workers}.")
        self.workers = (os.cpu_count() or 1) if workers == AUTOTUNE else workers

    def elements(self) -> Iterator[Element]:
        source = self.source.elements()
        spent = 0.0
        for number, element in enumerate(source, 1):
            begin = time.perf_counter()
            made = self.function(element)
            spent += time.perf_counter() - begin
            yield made
            if number == _TRIALS:
                break
        else:
            return
        if self.workers > 1 and spent > _TRIALS * _WORTH_SECONDS:
            yield from self._on_threads(source)
        else:
            yield from map(self.function, source)

    resumable = Mapped.elements

    def _on_threads(self, source: Iterator[Element]) -> Iterator[Element]:
        pool = ThreadPoolExecutor(self.workers, "rillet-map")
        begun: collections.deque[Future[Element]] = collections.deque()
        try:
            for element in source:
                begun.append(pool.submit(self.function, element))
                if len(begun) > self.workers:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_END = object()


class Prefetched(DatasetValue):
    """Keeps up to `size` elements ready (AUTOTUNE: a few), made by a thread of its own if they take long."""

    def __init__(self, source: DatasetValue, size: int) -> None:
        if size < 0 and size != AUTOTUNE:
            raise ValueError(f"buffer_size must be greater than or equal to zero, but got {size}.")
        self.source, self.size = source, 4 if size == AUTOTUNE else size

    def elements(self) -> Iterator[Element]:
        source = self.source.elements()
        spent, number = 0.0, 0
        while number < _TRIALS:
            begin = time.perf_counter()
            element = next(source, None)
            spent += time.perf_counter() - begin
            if element is None:
                return
            yield element
            number += 1
        if self.size and spent > _TRIALS * _WORTH_SECONDS:
            yield from self._ahead(source)
        else:
            yield from source

    def _ahead(self, source: Iterator[Element]) -> Iterator[Element]:
        ready: queue.Queue[Any] = queue.Queue(self.size)
        stopped = threading.Event()

        def put(item: Any) -> bool:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def work() -> None:
            try:
                for element in source:
                    if not put((element, None)):
                        return
                put((_END, None))
            except BaseException as error:  # it is raised where the element is asked for
                put((_END, error))

        threading.Thread(target=work, daemon=True, name="rillet-prefetch").start()
        try:
            while True:
                element, error = ready.get()
                if error is not None:
                    raise error
                if element is _END:
                    return
                yield element
        finally:
            stopped.set()

    def cardinality(self) -> int:
        return self.source.cardinality()
