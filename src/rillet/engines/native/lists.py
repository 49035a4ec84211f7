"""Lists of tensors are values of the compiler: what hands them on to each other must be compiled together, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rillet.core import dtypes
from rillet.core.function import Function
from rillet.core.graph import Operation


def connected_by_lists(function: Function) -> list[tuple[list[Operation], bool]]:
    """The operations that hand lists on to each other, directly or not; and whether one comes from outside of the
    function or leaves it."""
    leader: dict[Any, Any] = {}

    def find(item: Any) -> Any:
        while leader.setdefault(item, item) is not item:
            leader[item] = item = leader[leader[item]]
        return item

    outside = object()
    given = {id(tensor) for tensor in function.inputs}
    for operation in function.operations:
        tensor: Any
        for tensor in operation.inputs:
            if _is_list(tensor):
                leader[find(operation)] = find(outside if id(tensor) in given else tensor.op)
        for tensor in operation.outputs:
            if _is_list(tensor):
                find(operation)
    for tensor in function.outputs:
        if _is_list(tensor) and id(tensor) not in given:
            leader[find(tensor.op)] = find(outside)
    groups: dict[Any, list[Operation]] = {}
    for item in list(leader):
        groups.setdefault(find(item), [])
        if item is not outside:
            groups[find(item)].append(item)
    return [(members, outside in leader and found is find(outside)) for found, members in groups.items()]


def _is_list(tensor: Any) -> bool:
    return tensor.dtype.base_dtype is dtypes.variant


def lists_outside(function: Function, is_native: Callable[[Operation], bool]) -> set[int]:
    """The operations (by id) that handle lists which something handles that has no compiled form."""
    refused: set[int] = set()
    for members, crosses in connected_by_lists(function):
        if crosses or not all(is_native(operation) for operation in members):
            refused.update(map(id, members))
    return refused


def lists_between(function: Function, segment: Mapping[int, int], refused: Sequence[int] | frozenset[int]) -> set[int]:
    """The operations (by id) that hand lists on from one segment to another. segment: by the id of the operation."""
    found: set[int] = set()
    for members, _ in connected_by_lists(function):
        places = {segment[id(operation)] for operation in members if id(operation) in segment}
        if len(places) > 1 and not all(id(operation) in refused for operation in members):
            found.update(map(id, members))
    return found
