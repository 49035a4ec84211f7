"""The messages that programs make and read by name: tf.train.Example, tf.GraphDef ..."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.export import export
from rillet.saving import messages


class _WithTruthValues(type):
    """The class of a class that stands for a message with whole numbers, and takes truth values for such, as older releases
    of protobuf do."""

    message: Any

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        return cls.message(
            *args,
            **{
                name: [int(each) if _is_truth_value(each) else each for each in value] for name, value in fields.items()
            },
        )

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, cls.message)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.message, name)


def _is_truth_value(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


class Int64List(metaclass=_WithTruthValues):
    """A list of whole numbers."""

    message = messages.get("Int64List")


export(Int64List, "train.Int64List")
for _name in (
    "BytesList", "Example", "Feature", "FeatureList", "FeatureLists", "Features", "FloatList", "SequenceExample",
):  # fmt: skip
    export(messages.get(_name), f"train.{_name}")
for _name in (
    "AttrValue", "Event", "GraphDef", "HistogramProto", "LogMessage", "MetaGraphDef", "NameAttrList", "NodeDef",
    "SessionLog", "Summary", "SummaryMetadata", "TensorInfo",
):  # fmt: skip
    export(messages.get(_name), v1=[_name])
export(messages.get("SaverDef"), v1=["train.SaverDef"])
for _name in ("Event", "SessionLog", "Summary", "SummaryDescription", "TaggedRunMetadata"):
    export(messages.get(_name), v1=[f"summary.{_name}"])
