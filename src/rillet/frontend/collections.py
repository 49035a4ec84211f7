"""The names of a graph's standard collections, and the functions that look into them."""

from __future__ import annotations

from typing import Any

from rillet.core import context
from rillet.core.export import public


@public(v1=["GraphKeys"])
class GraphKeys:
    """Standard names of graph collections."""

    GLOBAL_VARIABLES = "variables"
    VARIABLES = "variables"
    LOCAL_VARIABLES = "local_variables"
    METRIC_VARIABLES = "metric_variables"
    MODEL_VARIABLES = "model_variables"
    TRAINABLE_VARIABLES = "trainable_variables"
    SUMMARIES = "summaries"
    QUEUE_RUNNERS = "queue_runners"
    TABLE_INITIALIZERS = "table_initializer"
    ASSET_FILEPATHS = "asset_filepaths"
    MOVING_AVERAGE_VARIABLES = "moving_average_variables"
    REGULARIZATION_LOSSES = "regularization_losses"
    CONCATENATED_VARIABLES = "concatenated_variables"
    SAVERS = "savers"
    WEIGHTS = "weights"
    BIASES = "biases"
    ACTIVATIONS = "activations"
    UPDATE_OPS = "update_ops"
    LOSSES = "losses"
    SAVEABLE_OBJECTS = "saveable_objects"
    RESOURCES = "resources"
    LOCAL_RESOURCES = "local_resources"
    INIT_OP = "init_op"
    LOCAL_INIT_OP = "local_init_op"
    READY_OP = "ready_op"
    READY_FOR_LOCAL_INIT_OP = "ready_for_local_init_op"
    SUMMARY_OP = "summary_op"
    GLOBAL_STEP = "global_step"
    TRAIN_OP = "train_op"
    EVAL_STEP = "eval_step"
    COND_CONTEXT = "cond_context"
    WHILE_CONTEXT = "while_context"
    GLOBAL_VARIABLES_INITIALIZER = "global_variables_initializer"


@public(v1=["get_collection"])
def get_collection(key: Any, scope: str | None = None) -> list[Any]:
    """The items collected under `key` in the default graph; with `scope`, those whose name starts with it."""
    return context.get_default_graph().get_collection(key, scope)


@public(v1=["get_collection_ref"])
def get_collection_ref(key: Any) -> list[Any]:
    return context.get_default_graph().get_collection_ref(key)


@public(v1=["add_to_collection"])
def add_to_collection(name: Any, value: Any) -> None:
    context.get_default_graph().add_to_collection(name, value)


@public(v1=["add_to_collections"])
def add_to_collections(names: Any, value: Any) -> None:
    context.get_default_graph().add_to_collections(names, value)
