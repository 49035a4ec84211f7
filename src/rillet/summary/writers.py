"""Summaries of TensorFlow 2: tf.summary.scalar(...) writes to the default writer at once, or when its tf.function runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.frontend.control import cond
from rillet.frontend.python_call import numpy_function
from rillet.frontend.scopes import eager_name_scope, use_eager_name_scope
from rillet.saving import messages
from rillet.saving.events import EventFile
from rillet.saving.graph_export import graph_def
from rillet.summary import graph_ops, values
from rillet.summary.png import png


class _State(threading.local):
    """What is in force in a thread."""

    def __init__(self) -> None:
        self.writer: Any = None
        self.step: Any = None
        self.record: Any = True


_STATE = _State()

_UNKNOWN, _SCALAR, _TENSOR, _BLOBS = range(4)  # classes of data


# ---- writers --------------------------------------------------------------------------------------------------------


@public(v2=["summary.SummaryWriter"])
class SummaryWriter:
    """Where summaries go. Made by tf.summary.create_file_writer."""

    def __init__(self, file: EventFile | None) -> None:
        self._file = file
        self._resource = EagerTensor(self, dtypes.resource)
        self._closed = file is None

    @contextlib.contextmanager
    def as_default(self, step: Any = None) -> Iterator[SummaryWriter]:
        """Inside the block summaries go here. step: the step in force there."""
        saved = _STATE.writer, _STATE.step
        self.set_as_default(step)
        try:
            yield self
        finally:
            _STATE.writer, _STATE.step = saved
            self.flush()

    def set_as_default(self, step: Any = None) -> None:
        """From here on summaries go here."""
        if self._closed and self._file is not None:
            raise RuntimeError("SummaryWriter is already closed")
        _STATE.writer = self
        if step is not None:
            _STATE.step = step

    def init(self) -> None:
        """Nothing is left to do: a writer is ready when it is made."""

    def flush(self) -> None:
        """Hands all events to the system."""
        if self._file is not None and not self._closed:
            self._file.flush()

    def close(self) -> None:
        """Writes what remains. Summaries for a closed writer are dropped."""
        if self._file is not None and not self._closed:
            self._file.close()
        self._closed = True

    def add(self, event: Any) -> None:
        if self._file is not None and not self._closed:
            self._file.add(event)


@public(v2=["summary.create_file_writer"])
def create_file_writer(
    logdir: Any,
    max_queue: int | None = None,
    flush_millis: int | None = None,
    filename_suffix: str | None = None,
    name: str | None = None,
    experimental_trackable: bool = False,
) -> SummaryWriter:
    """A writer to a new event file in folder `logdir`.

    max_queue, flush_millis: how many events, how much time may pass before they reach the file (10; two minutes).
    filename_suffix: of the file's name (".v2" always is a part of it).
    """
    queue = 10 if max_queue is None else int(max_queue)
    seconds = 120 if flush_millis is None else int(flush_millis) / 1000
    return SummaryWriter(EventFile(str(logdir), filename_suffix or "", queue, seconds, is_v2=True))


@public(v2=["summary.create_noop_writer"])
def create_noop_writer() -> SummaryWriter:
    """A writer that drops everything: as default, it turns summaries off."""
    return SummaryWriter(None)


@public(v2=["summary.flush"])
def flush(writer: Any = None, name: str | None = None) -> None:
    """Hands the events of `writer` (the default one when None) to the system."""
    chosen = writer or _STATE.writer
    if chosen is not None:
        chosen.flush()


@public(v2=["summary.experimental.set_step"], v1=["summary.experimental.set_step"])
def set_step(step: Any) -> None:
    """The step of summaries that name none: an integer, or a variable, whose value then counts."""
    _STATE.step = step


@public(v2=["summary.experimental.get_step"], v1=["summary.experimental.get_step"])
def get_step() -> Any:
    return _STATE.step


@public(v2=["summary.record_if"])
@contextlib.contextmanager
def record_if(condition: Any) -> Iterator[None]:
    """Inside, summaries are written where `condition` is true: a bool, a boolean tensor, or a function that returns one."""
    saved, _STATE.record = _STATE.record, condition
    try:
        yield
    finally:
        _STATE.record = saved


@public(v2=["summary.should_record_summaries"])
def should_record_summaries() -> Any:
    """Whether summaries are written now: there is a writer, and the condition is true."""
    if _STATE.writer is None:
        return False
    return _STATE.record() if callable(_STATE.record) else _STATE.record


# ---- writing --------------------------------------------------------------------------------------------------------


def _write(writer: Any, step: Any, tensor: Any, tag: Any, summary_metadata: Any) -> tuple[()]:
    event = messages.get("Event")(step=int(step))
    value = event.summary.value.add(tag=graph_ops._text(tag), tensor=values.tensor(tensor))
    value.metadata.ParseFromString(np.asarray(summary_metadata, object).item())
    writer.add(event)
    return ()


WRITE = define(
    "WriteSummary", "writer: resource, step: int64, tensor: T, tag: string, summary_metadata: string ->", "T: type",
    reference=_write, shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


@public(v2=["summary.write"])
def write(tag: str, tensor: Any, step: Any = None, metadata: Any = None, name: str | None = None) -> Any:
    """Writes a tensor, or what a function without arguments returns, under `tag`. Returns whether it was written.

    step: the step (that of set_step when None; ValueError where there is none). metadata: a SummaryMetadata.
    """
    writer = _STATE.writer
    condition = should_record_summaries()
    if condition is False or writer is None:
        return convert_to_tensor(False)
    chosen = _STATE.step if step is None else step
    if chosen is None:
        raise ValueError(
            "No step set. Please specify one either through the `step` argument or through tf.summary.experimental.set_step()"
        )
    serialized = b"" if metadata is None else metadata.SerializeToString()

    def record() -> Any:
        value = tensor() if callable(tensor) else tensor
        number = convert_to_tensor(chosen)
        number = apply_op(REGISTRY["Cast"], (number,), {"DstT": dtypes.int64})
        operation = apply_op(WRITE, (writer._resource, number, value, tag, serialized))
        graph = context.state().graph
        if graph is None or operation is None:
            return convert_to_tensor(True)
        with graph.control_dependencies([operation]):
            return apply_op(REGISTRY["Identity"], (convert_to_tensor(True),))

    if isinstance(condition, Tensor):
        return cond(condition, record, lambda: convert_to_tensor(False))
    return record() if condition else convert_to_tensor(False)


@contextlib.contextmanager
def _scope(name: str) -> Iterator[str]:
    """A scope called `name`; yields the tag, which has the outer scopes in it."""
    graph = context.state().graph
    if graph is None:
        tag = eager_name_scope() + name
        with use_eager_name_scope(name):
            yield tag
    else:
        outer = graph.get_name_scope()
        with graph.name_scope(graph_ops._cleaned(name)):
            yield f"{outer}/{name}" if outer else name


def _lazily() -> Graph | None:
    """The graph that a program of TensorFlow 1 builds, where no writer is in force: a summary is an op of that."""
    graph = context.state().graph
    return graph if graph is not None and not isinstance(graph, FuncGraph) and _STATE.writer is None else None


def _computed(function: Callable[..., Any], data: Any, dtype: dtypes.DType) -> Callable[[], Any]:
    """function(array of data) as a tensor, now or when the graph runs."""

    def compute() -> Any:
        tensor = convert_to_tensor(data)
        if isinstance(tensor, SymbolicTensor):
            return numpy_function(function, [tensor], dtype)
        return convert_to_tensor(function(np.asarray(tensor._array)), dtype)

    return compute


@public(v2=["summary.scalar"])
def scalar(name: str, data: Any, step: Any = None, description: str | None = None) -> Any:
    """Writes a number. ValueError where there is no step, InvalidArgumentError for what is no scalar."""
    if _lazily() is not None:
        return graph_ops.scalar(name, data)
    metadata = values.metadata("scalars", _SCALAR, description=description)

    def value() -> Any:
        tensor = convert_to_tensor(data)
        if tensor.shape.rank not in (None, 0):
            raise ValueError(f"a scalar summary takes a scalar, not a tensor of shape {tensor.shape}")
        return apply_op(REGISTRY["Cast"], (tensor,), {"DstT": dtypes.float32})

    with _scope(name) as tag:
        return write(tag, value, step, metadata)


@public(v2=["summary.histogram"])
def histogram(
    name: str, data: Any, step: Any = None, buckets: int | None = None, description: str | None = None
) -> Any:
    """Writes how the elements of a tensor are distributed, over `buckets` (30) of equal width."""
    if _lazily() is not None:
        return graph_ops.histogram(name, data)
    metadata = values.metadata("histograms", _TENSOR, description=description)
    count = 30 if buckets is None else int(buckets)
    with _scope(name) as tag:
        return write(tag, _computed(lambda array: _buckets(array, count), data, dtypes.float64), step, metadata)


def _buckets(array: Any, count: int) -> Any:
    """Rows of left edge, right edge, number of elements."""
    flat = array.astype(np.float64).ravel()
    if not flat.size or not count:
        return np.zeros((count, 3))
    low, high = flat.min(), flat.max()
    if low == high:
        edges = np.full(count + 1, low)
        numbers = np.zeros(count)
        numbers[-1] = flat.size
    else:
        edges = np.linspace(low, high, count + 1)
        places = np.minimum(((flat - low) / ((high - low) / count)).astype(np.int64), count - 1)
        numbers = np.bincount(places, minlength=count).astype(np.float64)
    return np.stack([edges[:-1], edges[1:], numbers], axis=1)


@public(v2=["summary.image"])
def image(name: str, data: Any, step: Any = None, max_outputs: int = 3, description: str | None = None) -> Any:
    """Writes the first `max_outputs` of a batch of images [n, height, width, 1 to 4 channels]: uint8, or floats from 0 to 1."""
    if _lazily() is not None:
        return graph_ops.image(name, data, max_outputs)
    metadata = values.metadata("images", _BLOBS, description=description)
    with _scope(name) as tag:
        return write(tag, _computed(lambda array: _pictures(array, max_outputs), data, dtypes.string), step, metadata)


def _pictures(array: Any, count: int) -> Any:
    """Width and height as text, then the PNG files."""
    if array.ndim != 4:
        raise ValueError(
            f"an image summary takes a batch of images [n, height, width, channels], not shape {array.shape}"
        )
    if array.dtype not in (np.uint8, np.uint16):
        is_float = array.dtype.kind in "fV"
        array = np.clip(array.astype(np.float64) * (255.0 if is_float else 1.0) + (0.5 if is_float else 0), 0, 255)
        array = array.astype(np.uint8)
    files = [png(picture) for picture in array[:count]]
    result = np.empty(2 + len(files), object)
    result[:] = [str(array.shape[2]).encode(), str(array.shape[1]).encode(), *files]
    return result


@public(v2=["summary.text"])
def text(name: str, data: Any, step: Any = None, description: str | None = None) -> Any:
    """Writes strings, shown as Markdown."""
    if _lazily() is not None:
        return graph_ops.text(name, data)
    metadata = values.metadata("text", _TENSOR, description=description)
    with _scope(name) as tag:
        return write(tag, lambda: convert_to_tensor(data, dtypes.string), step, metadata)


@public(v2=["summary.graph"])
def graph(graph_data: Any) -> bool:
    """Writes a graph (a Graph, or a GraphDef) to the default writer. Returns whether there is one.

    Raises TypeError for anything else.
    """
    if isinstance(graph_data, Graph):
        graph_data = graph_def(graph_data, add_shapes=True)
    if not hasattr(graph_data, "SerializeToString"):
        raise TypeError(f"'graph_data' must be a tf.Graph or a GraphDef, not {type(graph_data)}")
    if not should_record_summaries():
        return False
    _STATE.writer.add(messages.get("Event")(graph_def=graph_data.SerializeToString()))
    return True
