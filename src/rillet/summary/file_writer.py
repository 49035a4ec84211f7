"""tf.summary.FileWriter: writes summaries, graphs and events of a TensorFlow 1 program to an event file."""

from __future__ import annotations

import threading
from typing import Any

from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.saving import messages
from rillet.saving.events import EventFile
from rillet.saving.graph_export import graph_def as message_of
from rillet.saving.tensors import as_bytes


@public(v1=["summary.FileWriter", "train.SummaryWriter"])
class FileWriter:
    """Writes to a new event file in folder `logdir`, which is made where it is missing.

    graph: a graph to add at once. max_queue, flush_secs: how many events, how many seconds may pass before they reach the
    file. filename_suffix: of the file's name.
    """

    def __init__(
        self,
        logdir: Any,
        graph: Any = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        graph_def: Any = None,
        filename_suffix: str | None = None,
        session: Any = None,
    ) -> None:
        self._file = EventFile(logdir, filename_suffix or "", max_queue, flush_secs)
        self._described: set[str] = set()
        self._closed = False
        if graph is not None or graph_def is not None:
            self.add_graph(graph=graph, graph_def=graph_def)

    def get_logdir(self) -> str:
        return self._file.folder

    def add_summary(self, summary: Any, global_step: Any = None) -> None:
        """Adds a Summary, or what running a summary op returns."""
        if isinstance(summary, (bytes, str)) or not hasattr(summary, "SerializeToString"):
            summary = messages.get("Summary").FromString(as_bytes(summary))
        else:
            summary = messages.get("Summary").FromString(summary.SerializeToString())
        for value in summary.value:
            if value.HasField("metadata"):  # what a tag is about is said once
                if value.tag in self._described:
                    value.ClearField("metadata")
                self._described.add(value.tag)
        self._add(messages.get("Event")(summary=summary), global_step)

    def add_graph(self, graph: Any, global_step: Any = None, graph_def: Any = None) -> None:
        """Adds a graph with its static shapes. ValueError unless `graph` is one (or `graph_def` a GraphDef)."""
        if graph_def is None and hasattr(graph, "SerializeToString"):
            graph_def = graph
        if graph_def is None:
            if not isinstance(graph, Graph):
                raise ValueError("The passed graph must be an instance of `Graph` or the deprecated `GraphDef`")
            graph_def = message_of(graph, add_shapes=True)
        self._add(messages.get("Event")(graph_def=graph_def.SerializeToString()), global_step)

    def add_meta_graph(self, meta_graph_def: Any, global_step: Any = None) -> None:
        """Adds a MetaGraphDef."""
        self._add(messages.get("Event")(meta_graph_def=meta_graph_def.SerializeToString()), global_step)

    def add_session_log(self, session_log: Any, global_step: Any = None) -> None:
        """Adds a SessionLog."""
        event = messages.get("Event")()
        event.session_log.ParseFromString(session_log.SerializeToString())
        self._add(event, global_step)

    def add_run_metadata(self, run_metadata: Any, tag: str, global_step: Any = None) -> None:
        """Adds what a run reported, under a tag. rillet's runs report nothing."""
        data = run_metadata.SerializeToString() if hasattr(run_metadata, "SerializeToString") else b""
        event = messages.get("Event")()
        event.tagged_run_metadata.tag, event.tagged_run_metadata.run_metadata = tag, data
        self._add(event, global_step)

    def add_event(self, event: Any) -> None:
        """Adds an Event."""
        if not self._closed:
            self._file.add(messages.get("Event").FromString(event.SerializeToString()))

    def _add(self, event: Any, global_step: Any) -> None:
        if global_step is not None:
            event.step = int(global_step)
        if not self._closed:
            self._file.add(event)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Writes what remains. Events added after that are dropped, until reopen()."""
        self._file.close()
        self._closed = True

    def reopen(self) -> None:
        self._closed = False

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


@public(v1=["summary.FileWriterCache"])
class FileWriterCache:
    """One FileWriter a folder."""

    _writers: dict[str, FileWriter] = {}  # noqa: RUF012
    _lock = threading.RLock()

    @classmethod
    def get(cls, logdir: str) -> FileWriter:
        """The writer for a folder, made on first use."""
        with cls._lock:
            if logdir not in cls._writers:
                cls._writers[logdir] = FileWriter(logdir)
            return cls._writers[logdir]

    @classmethod
    def clear(cls) -> None:
        """Closes all writers."""
        with cls._lock:
            for writer in cls._writers.values():
                writer.close()
            cls._writers.clear()
