"""The real TensorBoard shows what was written, where it is installed."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf

v1 = tf.compat.v1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed"),
]


def write(folder: Path) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        y = tf.nn.relu(tf.matmul(x, tf.ones([3, 2])), name="y")
        v1.summary.scalar("largest", tf.reduce_max(y))
        v1.summary.histogram("h", y)
        v1.summary.image("i", tf.reshape(y, [1, 2, 2, 1]), max_outputs=1)
        merged = v1.summary.merge_all()
        with v1.summary.FileWriter(str(folder / "lazy"), graph) as writer:
            for step in range(3):
                writer.add_summary(session.run(merged, {x: np.full((2, 3), step)}), step)
    with tf.summary.create_file_writer(str(folder / "eager")).as_default(step=2):
        tf.summary.scalar("s", 0.5)
        tf.summary.histogram("h", [1.0, 2.0])
        tf.summary.text("t", "# title")
        tf.summary.trace_on()
        tf.function(lambda x: tf.multiply(x, 2.0, name="doubled"))(tf.constant(1.0))
        tf.summary.trace_export("trace")


class Server:
    """A TensorBoard of a folder, asked over HTTP."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._log = log
        arguments = ["--logdir", str(folder), "--port", "0", "--load_fast=false", "--bind_all"]
        with log.open("w") as output:
            command = [sys.executable, "-m", "tensorboard.main", *arguments]
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self.address = self._wait_for(lambda: re.search(r"at (http://\S+:\d+)/", log.read_text())).group(1)
        self._wait_for(lambda: len(self.get("runs")) == 2)

    def _wait_for(self, found: Any) -> Any:
        deadline = time.monotonic() + 60
        while not (result := found()):
            assert time.monotonic() < deadline and self.process.poll() is None, self._log.read_text()
            time.sleep(0.2)
        return result

    def text(self, path: str, **query: str) -> str:
        port = self.address.rpartition(":")[2]
        question = f"?{urllib.parse.urlencode(query)}" if query else ""
        with urllib.request.urlopen(f"http://localhost:{port}/data/{path}{question}", timeout=30) as answer:
            return str(answer.read().decode())

    def get(self, path: str, **query: str) -> Any:
        return json.loads(self.text(path, **query))


def test_tensorboard(tmp_path: Path) -> None:
    write(tmp_path / "logs")
    server = Server(tmp_path / "logs", tmp_path / "log.txt")
    try:
        largest = server.get("plugin/scalars/scalars", run="lazy", tag="largest")
        assert [(step, value) for _, step, value in largest] == [(0, 0), (1, 3), (2, 6)]
        assert server.get("plugin/scalars/scalars", run="eager", tag="s")[0][1:] == [2, 0.5]
        assert server.get("plugin/histograms/histograms", run="lazy", tag="h")[2][1] == 2
        assert server.get("plugin/histograms/histograms", run="eager", tag="h")[0][1] == 2
        assert list(server.get("plugin/images/tags")["lazy"]) == ["i/image"]
        assert "<h1>title</h1>" in server.get("plugin/text/text", run="eager", tag="t")[0]["text"]
        assert server.get("plugin/graphs/info")["lazy"]["run_graph"]
        graph = server.text("plugin/graphs/graph", run="lazy", conceptual="false")
        assert 'name: "y"' in graph and "_output_shapes" in graph
        assert server.get("plugin/graphs/info")["eager"]["tags"]["trace"]["op_graph"]
        assert 'name: "doubled"' in server.text("plugin/graphs/graph", run="eager", tag="trace", conceptual="false")
    finally:
        server.process.terminate()
        server.process.wait()
