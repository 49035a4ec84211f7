"""The messages, and that they load when they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rillet as tf
from rillet.core import dtypes
from rillet.core.export import LATE, V1, V2
from rillet.saving import messages

LOADED = """
import sys
import rillet as tf
assert not [name for name in sys.modules if name.startswith(("google.protobuf", "rillet.saving", "rillet.summary"))]
tf.constant(1.0)
graph = tf.Graph()
with graph.as_default():
    tf.constant(1.0)
print(len(graph.as_graph_def().node), tf.train.Example, tf.GraphDef is tf.compat.v1.GraphDef)
"""


def test_protobuf_loads_when_it_is_needed() -> None:
    run = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=False)
    assert run.stdout == "1 <class 'Example'> True\n", run.stderr


def test_every_name_of_the_rooms_opens_them() -> None:
    assert tf.train.Saver and tf.summary.FileWriter  # opened by now
    for dotted, value in {**V1, **V2}.items():
        module = getattr(value, "__module__", "") or ""
        if module.startswith(("rillet.saving", "rillet.summary")):
            assert any(f"{dotted}.".startswith(path + ".") for path in LATE), f"LATE has no way to {dotted}"


def test_types() -> None:
    kinds = messages.enumeration("DataType")
    assert (kinds.Value("DT_FLOAT"), kinds.Value("DT_HALF"), kinds.Value("DT_BFLOAT16_REF")) == (1, 19, 114)
    assert all(kinds.Name(dtype.as_datatype_enum) for dtype in dtypes.ALL)
    with pytest.raises(KeyError):
        messages.get("Nothing")


def test_oneofs_maps_and_nested_messages() -> None:
    value = messages.get("AttrValue")(i=1)
    value.s = b"\xff"
    assert value.WhichOneof("value") == "s" and not value.HasField("i")
    node = messages.get("NodeDef")(name="n")
    node.attr["shapes"].list.shape.add().dim.add(size=-1)
    assert messages.get("NodeDef").FromString(node.SerializeToString()) == node
    assert messages.get("Summary.Value")(tag="a").tag == "a"
