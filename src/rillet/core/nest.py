"""Nested structures: TensorFlow's `tf.nest`.

A structure is a leaf or a container of structures. Containers are sequences (lists, tuples, named tuples, but not
strings), mappings (in the order of their sorted keys), attrs classes and classes with `__tf_flatten__` and
`__tf_unflatten__`. Everything else is a leaf: None, arrays, tensors, sets, plain dataclasses.

With `expand_composites=True` an object with the methods `_flatten_components() -> list` and
`_pack_components(list) -> object` counts as the container of its components.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, MappingView, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

Structure = Any
Path = tuple[Any, ...]


class _Kind(NamedTuple):
    """How one kind of container is taken apart and put together."""

    children: Callable[[Any], Collection[Any]]
    """The parts, in the order of flattening."""
    paths: Callable[[Any], list[Path]]
    """For each part, the path that leads to it."""
    rebuild: Callable[[Any, list[Any]], Any]
    """(container, new parts) -> a container like it."""


def _positions(container: Any) -> list[Path]:
    return [(index,) for index in range(len(container))]


def _rebuild_sequence(container: Any, parts: list[Any]) -> Any:
    return type(container)(parts)


def _rebuild_as_list(container: Any, parts: list[Any]) -> Any:
    return parts


def _namedtuple_paths(container: Any) -> list[Path]:
    return [(field,) for field in container._fields]


def _rebuild_namedtuple(container: Any, parts: list[Any]) -> Any:
    return type(container)(*parts)


def _mapping_children(container: Mapping[Any, Any]) -> list[Any]:
    return [container[key] for key in sorted(container)]


def _mapping_paths(container: Mapping[Any, Any]) -> list[Path]:
    return [(key,) for key in sorted(container)]


def _rebuild_mapping(container: Mapping[Any, Any], parts: list[Any]) -> Any:
    by_key = dict(zip(sorted(container), parts, strict=True))
    if type(container) is dict:
        return {key: by_key[key] for key in container}
    if isinstance(container, dict):
        # A copy keeps what the class adds: a default factory, the order, attributes.
        result = copy.copy(container)
        for key, part in by_key.items():  # not update(): a Counter's adds
            result[key] = part
        return result
    constructor: Any = type(container)
    try:
        return constructor((key, by_key[key]) for key in container)
    except TypeError as error:
        raise TypeError(
            f"Error creating an object of type {type(container)} like {container}. Note that it must accept a single "
            "positional argument representing an iterable of key-value pairs, in addition to self. "
            f"Cause: {error}"
        ) from error


def _attrs_children(container: Any) -> list[Any]:
    return [getattr(container, attribute.name) for attribute in type(container).__attrs_attrs__]


def _attrs_paths(container: Any) -> list[Path]:
    return [(attribute.name,) for attribute in type(container).__attrs_attrs__]


def _rebuild_attrs(container: Any, parts: list[Any]) -> Any:
    # A copy with its fields set works whatever the constructor takes, and for frozen classes.
    result = copy.copy(container)
    for attribute, part in zip(type(container).__attrs_attrs__, parts, strict=True):
        object.__setattr__(result, attribute.name, part)
    return result


def _custom_children(container: Any) -> list[Any]:
    return list(container.__tf_flatten__()[1])


def _custom_paths(container: Any) -> list[Path]:
    return _positions(_custom_children(container))


def _rebuild_custom(container: Any, parts: list[Any]) -> Any:
    metadata = container.__tf_flatten__()[0]
    return type(container).__tf_unflatten__(metadata, tuple(parts))


def _composite_children(container: Any) -> list[Any]:
    return list(container._flatten_components())


def _composite_paths(container: Any) -> list[Path]:
    return [(type(container).__name__, index) for index in range(len(_composite_children(container)))]


def _rebuild_composite(container: Any, parts: list[Any]) -> Any:
    return container._pack_components(parts)


_SEQUENCE = _Kind(lambda container: container, _positions, _rebuild_sequence)
_LIST_LIKE = _Kind(list, _positions, _rebuild_as_list)
_NAMEDTUPLE = _Kind(lambda container: container, _namedtuple_paths, _rebuild_namedtuple)
_MAPPING = _Kind(_mapping_children, _mapping_paths, _rebuild_mapping)
_ATTRS = _Kind(_attrs_children, _attrs_paths, _rebuild_attrs)
_CUSTOM = _Kind(_custom_children, _custom_paths, _rebuild_custom)
_COMPOSITE = _Kind(_composite_children, _composite_paths, _rebuild_composite)

_KindOf = Callable[[type], _Kind | None]


def _classify(cls: type) -> _Kind | None:
    """The kind of container that instances of `cls` are; None for leaves."""
    if issubclass(cls, str | bytes):
        return None
    if hasattr(cls, "__tf_flatten__") and hasattr(cls, "__tf_unflatten__"):
        return _CUSTOM
    if hasattr(cls, "__attrs_attrs__"):
        return _ATTRS
    if issubclass(cls, Mapping):
        return _MAPPING
    if issubclass(cls, range | MappingView):
        return _LIST_LIKE
    if _is_namedtuple_class(cls):
        return _NAMEDTUPLE
    return _SEQUENCE if issubclass(cls, Sequence) else None


def _classify_with_composites(cls: type) -> _Kind | None:
    if hasattr(cls, "_flatten_components") and hasattr(cls, "_pack_components"):
        return _COMPOSITE
    return _classify(cls)


# Flattening is on the path of every call of a compiled function: a class is looked at once.
_kind_of = cast(_KindOf, lru_cache(maxsize=4096)(_classify))
_kind_with_composites = cast(_KindOf, lru_cache(maxsize=4096)(_classify_with_composites))


def _chooser(expand_composites: bool) -> _KindOf:
    return _kind_with_composites if expand_composites else _kind_of


def _is_namedtuple_class(cls: type) -> bool:
    fields = getattr(cls, "_fields", None)
    return issubclass(cls, tuple) and isinstance(fields, tuple) and all(isinstance(field, str) for field in fields)


def is_nested(structure: Structure) -> bool:
    """Whether `structure` is a container, empty or not."""
    return _kind_of(type(structure)) is not None


def is_nested_or_composite(structure: Structure) -> bool:
    """Whether `structure` is a container or an object that `expand_composites=True` would expand."""
    return _kind_with_composites(type(structure)) is not None


def is_namedtuple(structure: Structure) -> bool:
    """Whether `structure` is an instance of a named tuple class."""
    return _is_namedtuple_class(type(structure))


def flatten(structure: Structure, expand_composites: bool = False) -> list[Any]:
    """The leaves, in order; `[structure]` for a leaf. TypeError if a mapping's keys can't be sorted."""
    leaves: list[Any] = []
    _collect_leaves(structure, _chooser(expand_composites), leaves)
    return leaves


def _collect_leaves(structure: Structure, kind_of: _KindOf, leaves: list[Any]) -> None:
    kind = kind_of(type(structure))
    if kind is None:
        leaves.append(structure)
        return
    for child in kind.children(structure):
        _collect_leaves(child, kind_of, leaves)


def pack_sequence_as(structure: Structure, flat_sequence: Any, expand_composites: bool = False) -> Structure:
    """A structure like `structure` with the elements of `flat_sequence` for leaves: the inverse of `flatten`.

    Raises TypeError if `flat_sequence` is not a sequence, ValueError if it has not one element for each leaf.
    """
    flat_kind = _kind_of(type(flat_sequence))
    if flat_kind is None or flat_kind is _MAPPING:
        raise TypeError(
            f"Attempted to pack value:\n  {flat_sequence}\ninto a structure, "
            f"but found incompatible type `{type(flat_sequence)}` instead."
        )
    kind_of = _chooser(expand_composites)
    values = list(flat_kind.children(flat_sequence))
    if kind_of(type(structure)) is None:
        return _pack_leaf(structure, flat_sequence, values)
    leaf_count = len(flatten(structure, expand_composites))
    if leaf_count != len(values):
        raise ValueError(
            f"Could not pack sequence. Structure had {leaf_count} atoms, but flat_sequence had {len(values)} items.  "
            f"Structure: {structure}, flat_sequence: {flat_sequence}."
        )
    return _pack(structure, iter(values), kind_of)


def _pack_leaf(structure: Any, flat_sequence: Any, values: list[Any]) -> Any:
    if len(values) != 1:
        raise ValueError(
            f"The target structure is of type `{type(structure)}`\n  {structure}\n"
            f"However the input is a sequence ({type(flat_sequence)}) of length {len(values)}.\n  {flat_sequence}\n"
            "nest cannot guarantee that it is safe to map one to the other."
        )
    return values[0]


def _pack(structure: Structure, values: Iterator[Any], kind_of: _KindOf) -> Structure:
    kind = kind_of(type(structure))
    if kind is None:
        return next(values)
    return kind.rebuild(structure, [_pack(child, values, kind_of) for child in kind.children(structure)])


def map_structure(
    func: Callable[..., Any],
    *structures: Structure,
    check_types: bool = True,
    expand_composites: bool = False,
    **unknown: object,
) -> Structure:
    """`func` of the corresponding leaves of all structures, packed like the first one.

    Raises TypeError if `func` is not callable or, with `check_types`, if containers differ in type; ValueError if the
    structures differ, if there are none, or for an unknown keyword.
    """
    if not callable(func):
        raise TypeError(f"func must be callable, got: {func}")
    if not structures:
        raise ValueError("Must provide at least one structure")
    if unknown:
        names = "`, `".join(unknown)
        raise ValueError(f"Only valid keyword arguments are `check_types` and `expand_composites`, not: `{names}`")
    first, *others = structures
    for other in others:
        assert_same_structure(first, other, check_types, expand_composites)
    leaves = [flatten(structure, expand_composites) for structure in structures]
    results = [func(*arguments) for arguments in zip(*leaves, strict=True)]
    return _pack(first, iter(results), _chooser(expand_composites))


class _Mismatch(Exception):
    """Two structures differ: the error to raise, and in which words."""

    def __init__(self, error_type: type[Exception], explanation: str) -> None:
        super().__init__(explanation)
        self.error_type = error_type


def assert_same_structure(
    nest1: Structure, nest2: Structure, check_types: bool = True, expand_composites: bool = False
) -> None:
    """Nothing if the structures have the same containers in the same places, whatever the leaves.

    With `check_types` containers must be of the same type (mappings of any type are alike, and need the same keys; so
    are subclasses of list; named tuples need the same name and fields): TypeError. Other differences: ValueError.
    """
    try:
        _compare(nest1, nest2, check_types, _chooser(expand_composites))
    except _Mismatch as mismatch:
        message = (
            "The two structures don't have the same nested structure.\n\n"
            f"First structure: {_describe(nest1)}\n\nSecond structure: {_describe(nest2)}\n\n"
            f"More specifically: {mismatch}\n"
            f"Entire first structure:\n{_outline(nest1)}\nEntire second structure:\n{_outline(nest2)}"
        )
        raise mismatch.error_type(message) from None


def _compare(first: Structure, second: Structure, check_types: bool, kind_of: _KindOf) -> None:
    first_kind, second_kind = kind_of(type(first)), kind_of(type(second))
    if first_kind is None and second_kind is None:
        return
    if first_kind is None or second_kind is None:
        container, leaf = (first, second) if second_kind is None else (second, first)
        raise _Mismatch(
            ValueError,
            f'Substructure "{_describe(container)}" is a sequence, while substructure "{_describe(leaf)}" is not',
        )
    if first_kind is _COMPOSITE and second_kind is _COMPOSITE:
        _compare_composites(first, second)
    elif check_types:
        _compare_containers(first, second)
    first_children, second_children = first_kind.children(first), second_kind.children(second)
    for first_child, second_child in zip(first_children, second_children, strict=False):
        _compare(first_child, second_child, check_types, kind_of)
    if len(first_children) != len(second_children):
        raise _Mismatch(
            ValueError,
            "The two structures don't have the same number of elements. "
            f"First structure: {_describe(first)}. Second structure: {_describe(second)}",
        )


def _compare_composites(first: Any, second: Any) -> None:
    if type(first) is not type(second):
        raise _Mismatch(
            ValueError, f"Incompatible CompositeTensor TypeSpecs: {_describe(first)} vs. {_describe(second)}"
        )


def _compare_containers(first: Any, second: Any) -> None:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            raise _Mismatch(
                ValueError,
                "The two dictionaries don't have the same set of keys. "
                f"First structure has keys {_describe(list(first))}, "
                f"while second structure has keys {_describe(list(second))}",
            )
    elif not _same_sequence_type(first, second):
        raise _Mismatch(
            TypeError,
            "The two namedtuples don't have the same sequence type. "
            f"First structure {_describe(first)} has type {type(first).__name__}, "
            f"while second structure {_describe(second)} has type {type(second).__name__}",
        )


def _same_sequence_type(first: Any, second: Any) -> bool:
    if type(first) is type(second) or (isinstance(first, list) and isinstance(second, list)):
        return True
    return _same_namedtuple(first, second)


def _same_namedtuple(first: Any, second: Any) -> bool:
    if not (is_namedtuple(first) and is_namedtuple(second)):
        return False
    return type(first).__name__ == type(second).__name__ and bool(first._fields == second._fields)


def _describe(structure: Structure) -> str:
    return f"type={type(structure).__name__} str={structure}"


class _Dot:
    def __repr__(self) -> str:
        return "."


def _outline(structure: Structure) -> str:
    """The structure as text, with a dot for each leaf."""
    return str(map_structure(lambda leaf: _Dot(), structure))


def assert_shallow_structure(
    shallow_tree: Structure, input_tree: Structure, check_types: bool = True, expand_composites: bool = False
) -> None:
    """Nothing if `input_tree` has all the containers of `shallow_tree`; leaves of the latter match anything.

    Raises TypeError if a container meets a leaf or, with `check_types`, a container of another type; ValueError if
    containers differ in length or keys.
    """
    _collect_up_to(shallow_tree, input_tree, check_types, _chooser(expand_composites), [])


def flatten_up_to(
    shallow_tree: Structure, input_tree: Structure, check_types: bool = True, expand_composites: bool = False
) -> list[Any]:
    """The parts of `input_tree` in the places of the leaves of `shallow_tree`, in order.

    Raises TypeError and ValueError as `assert_shallow_structure` does.
    """
    parts: list[Any] = []
    _collect_up_to(shallow_tree, input_tree, check_types, _chooser(expand_composites), parts)
    return parts


def _collect_up_to(shallow: Structure, tree: Structure, check_types: bool, kind_of: _KindOf, parts: list[Any]) -> None:
    kind = kind_of(type(shallow))
    if kind is None:
        parts.append(tree)
        return
    tree_kind = kind_of(type(tree))
    if tree_kind is None:
        raise TypeError(
            f"If shallow structure is a sequence, input must also be a sequence. Input has type: {type(tree)}."
        )
    if check_types:
        _check_shallow_type(shallow, tree)
    shallow_children, tree_children = kind.children(shallow), tree_kind.children(tree)
    if len(shallow_children) != len(tree_children):
        raise ValueError(
            "The two structures don't have the same sequence length. "
            f"Input structure has length {len(tree_children)}, "
            f"while shallow structure has length {len(shallow_children)}."
        )
    if kind is _MAPPING:
        _check_shallow_keys(shallow, tree)
    for shallow_child, child in zip(shallow_children, tree_children, strict=True):
        _collect_up_to(shallow_child, child, check_types, kind_of, parts)


def _check_shallow_type(shallow: Any, tree: Any) -> None:
    alike = (
        isinstance(tree, type(shallow))
        or (isinstance(shallow, list) and isinstance(tree, list))
        or (isinstance(shallow, Mapping) and isinstance(tree, Mapping))
        or _same_namedtuple(shallow, tree)
    )
    if not alike:
        raise TypeError(
            "The two structures don't have the same sequence type. "
            f"Input structure has type {type(tree)}, while shallow structure has type {type(shallow)}."
        )


def _check_shallow_keys(shallow: Mapping[Any, Any], tree: Any) -> None:
    # Lengths are equal by now, so that the same keys sort to the same places.
    missing = [key for key in shallow if not (isinstance(tree, Mapping) and key in tree)]
    if missing:
        raise ValueError(
            "The shallow_tree's keys are not a subset of the input_tree's keys. "
            f"The shallow_tree has the following keys that are not in the input_tree: {sorted(missing)}."
        )


def map_structure_up_to(
    shallow_tree: Structure,
    func: Callable[..., Any],
    *inputs: Structure,
    check_types: bool = True,
    expand_composites: bool = False,
) -> Structure:
    """`func` of the parts of all inputs in the places of the leaves of `shallow_tree`, packed like it.

    Raises ValueError without inputs, and TypeError and ValueError as `assert_shallow_structure` does.
    """
    if not inputs:
        raise ValueError("Cannot map over no sequences")
    parts = [flatten_up_to(shallow_tree, tree, check_types, expand_composites) for tree in inputs]
    results = [func(*arguments) for arguments in zip(*parts, strict=True)]
    return _pack(shallow_tree, iter(results), _chooser(expand_composites))


def yield_flat_paths(structure: Structure, expand_composites: bool = False) -> Iterator[Path]:
    """For each leaf, in the order of `flatten`, the tuple of positions, keys and field names that leads to it."""
    return _paths(structure, (), _chooser(expand_composites))


def _paths(structure: Structure, prefix: Path, kind_of: _KindOf) -> Iterator[Path]:
    kind = kind_of(type(structure))
    if kind is None:
        yield prefix
        return
    for step, child in zip(kind.paths(structure), kind.children(structure), strict=True):
        yield from _paths(child, prefix + step, kind_of)


def flatten_with_tuple_paths(structure: Structure, expand_composites: bool = False) -> list[tuple[Path, Any]]:
    """(path, leaf) for each leaf; see `yield_flat_paths`."""
    paths = yield_flat_paths(structure, expand_composites)
    return list(zip(paths, flatten(structure, expand_composites), strict=True))


def flatten_with_joined_string_paths(
    structure: Structure, separator: str = "/", expand_composites: bool = False
) -> list[tuple[str, Any]]:
    """(path, leaf) for each leaf, the path's steps joined to one string: 'layers/0/kernel'."""
    pairs = flatten_with_tuple_paths(structure, expand_composites)
    return [(_join(path, separator), leaf) for path, leaf in pairs]


def _join(path: Path, separator: str) -> str:
    return separator.join(map(str, path))


def map_structure_with_tuple_paths(
    func: Callable[..., Any],
    structure: Structure,
    *structures: Structure,
    check_types: bool = True,
    expand_composites: bool = False,
) -> Structure:
    """`func(path, *leaves)` for the leaves of `structure` and what the others have in their places, packed like it."""
    trees = (structure, *structures)
    parts = [flatten_up_to(structure, tree, check_types, expand_composites) for tree in trees]
    paths = yield_flat_paths(structure, expand_composites)
    results = [func(*arguments) for arguments in zip(paths, *parts, strict=True)]
    return _pack(structure, iter(results), _chooser(expand_composites))


def map_structure_with_paths(
    func: Callable[..., Any],
    structure: Structure,
    *structures: Structure,
    check_types: bool = True,
    expand_composites: bool = False,
) -> Structure:
    """`map_structure_with_tuple_paths` with each path as one string, joined by '/'."""

    def with_string_path(path: Path, *leaves: Any) -> Any:
        return func(_join(path, "/"), *leaves)

    return map_structure_with_tuple_paths(
        with_string_path, structure, *structures, check_types=check_types, expand_composites=expand_composites
    )
