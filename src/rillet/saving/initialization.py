"""tf.train.init_from_checkpoint: variables of a graph that begin with values of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rillet.core import context
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.frontend.collections import GraphKeys
from rillet.frontend.partitioned import PartitionedVariable
from rillet.frontend.variable import ReferenceVariable, Variable
from rillet.saving.checkpoint_ops import RESTORE
from rillet.saving.checkpoints import load_checkpoint


@public(v1=["train.init_from_checkpoint"])
def init_from_checkpoint(ckpt_dir_or_file: Any, assignment_map: Any) -> None:
    """The initializers of the variables named give them values of a checkpoint.

    ckpt_dir_or_file: a prefix, or a folder (its latest checkpoint). assignment_map: {name in the checkpoint: variable or its
    name}, {"scope/": "scope/"} for all variables in a scope, or a list of (name, variable) pairs.
    Raises ValueError for a name that one side lacks, or a shape that differs.
    """
    reader = load_checkpoint(ckpt_dir_or_file)
    prefix = reader._reader.prefix
    shapes = reader.get_variable_to_shape_map()
    pairs = assignment_map.items() if isinstance(assignment_map, Mapping) else assignment_map
    for old, new in pairs:
        for name, variable in _named(old, new, shapes, prefix):
            _initialize(variable, name, prefix, shapes)


def _named(old: str, new: Any, shapes: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """(name in the checkpoint, variable) for one entry of a map."""
    if not isinstance(new, str):
        yield old, new
        return
    known = {variable.name.partition(":")[0]: variable for variable in _variables()}
    if new in known:
        yield old, known[new]
        return
    if not new.endswith("/") and new:
        raise ValueError(
            f"Assignment map with scope only name {new} should map to scope only {old}. Should be 'scope/': 'other_scope/'."
        )
    for name, variable in known.items():
        if name.startswith(new):
            full = old.rstrip("/") + "/" + name.removeprefix(new) if old not in ("", "/") else name.removeprefix(new)
            if full not in shapes:
                raise ValueError(f"Tensor {full} ({name} in {new}) is not found in {prefix} checkpoint")
            yield full, variable


def _variables() -> list[Any]:
    graph = context.get_default_graph()
    return graph.get_collection(GraphKeys.GLOBAL_VARIABLES)


def _initialize(variable: Any, name: str, prefix: str, shapes: Mapping[str, Any]) -> None:
    if isinstance(variable, (list, tuple, PartitionedVariable)):
        for part in variable:
            _initialize(part, name, prefix, shapes)
        return
    if not isinstance(variable, Variable):
        raise TypeError(f"Argument is not a variable: {variable}")
    part = getattr(variable, "save_slice", None)
    shape = variable.shape.as_list() if part is None else list(part[1])
    if name not in shapes:
        raise ValueError(f"Tensor {name} is not found in {prefix} checkpoint {dict(shapes)}")
    if list(shapes[name]) != shape:
        raise ValueError(
            f"Shape of variable {variable.name} ({shape}) doesn't match with shape of tensor {name} ({shapes[name]}) from "
            "checkpoint reader."
        )
    _set_initializer(variable, name, prefix, part)


def _set_initializer(variable: Any, name: str, prefix: str, part: Any) -> None:
    where = (
        ""
        if part is None
        else f"{' '.join(map(str, part[1]))} {':'.join(f'{o},{n}' for o, n in zip(part[2], part[3], strict=True))}"
    )
    graph = variable.graph
    with context.use_graph(graph), graph.name_scope("checkpoint_initializer"), graph.control_dependencies(None):
        attrs = {"dtypes": (variable.dtype.base_dtype,)}
        value = apply_op(RESTORE, (prefix, [name], [where]), attrs)[0]
        value.set_shape(variable.shape)
        if isinstance(variable, ReferenceVariable):
            variable._initializer = apply_op(REGISTRY["Assign"], (variable.handle, value)).op
        else:
            variable._initializer = apply_op(REGISTRY["AssignVariableOp"], (variable.handle, value))
    variable._initial_value = value
