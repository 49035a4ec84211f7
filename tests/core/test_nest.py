"""Nested structures, as tf.nest treats them."""

import collections
import dataclasses
import re
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rillet.core import nest


def label(value):
    """A test id without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


Point = collections.namedtuple("Point", "x y")
SamePoint = collections.namedtuple("Point", "x y")
OtherNames = collections.namedtuple("Point", "x z")
OtherName = collections.namedtuple("Place", "x y")
OrderedDict = collections.OrderedDict


class ListChild(list):
    pass


class TupleChild(tuple):
    pass


class DictChild(dict):
    pass


class PlainMapping(collections.abc.Mapping):
    def __init__(self, *args, **kwargs):
        self.items_ = dict(*args, **kwargs)

    def __getitem__(self, key):
        return self.items_[key]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)

    def __repr__(self):
        return f"PlainMapping({self.items_})"


@dataclasses.dataclass
class Plain:
    a: object
    b: object


@dataclasses.dataclass
class Custom:
    a: object
    b: object
    label: str = "m"

    def __tf_flatten__(self):
        return (self.label,), (self.a, self.b)

    @classmethod
    def __tf_unflatten__(cls, metadata, components):
        return cls(*components, *metadata)


@dataclasses.dataclass
class CustomChild(Custom):
    pass


@dataclasses.dataclass(frozen=True)
class Attribute:
    name: str


class AttrsLike:
    """What attrs makes of a frozen class: its fields are listed, and can't be set."""

    __attrs_attrs__ = (Attribute("a"), Attribute("b"))

    def __init__(self, *, a, b):
        self.__dict__.update(a=a, b=b)

    def __setattr__(self, name, value):
        raise AttributeError("frozen")

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return f"AttrsLike({self.a},{self.b})"


class Composite:
    def __init__(self, *parts):
        self.parts = parts

    def _flatten_components(self):
        return list(self.parts)

    def _pack_components(self, parts):
        return type(self)(*parts)

    def __eq__(self, other):
        return type(self) is type(other) and self.parts == other.parts

    def __repr__(self):
        return f"Composite{self.parts}"


class OtherComposite(Composite):
    pass


structures = st.recursive(
    st.integers() | st.none() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.tuples(inner, inner).map(lambda pair: Point(*pair))
        | st.tuples(inner, inner).map(lambda pair: Custom(*pair))
    ),
    max_leaves=8,
)


def message_of(error, function, *arguments, **keywords):
    with pytest.raises(error) as caught:
        function(*arguments, **keywords)
    return str(caught.value)


@pytest.mark.parametrize(
    ("structure", "leaves"),
    [
        ([1, [2, (3,)], {"b": 4, "a": 5}], [1, 2, 3, 5, 4]),
        (OrderedDict([("b", 1), ("a", 2)]), [2, 1]),
        (Point([1, 2], 3), [1, 2, 3]),
        ({(1,): 2, (0,): 3}, [3, 2]),
        ({None: 1}, [1]),
        (PlainMapping(b=1, a=2), [2, 1]),
        (types.MappingProxyType({"b": 1, "a": 2}), [2, 1]),
        (range(3), [0, 1, 2]),
        (collections.deque([1, 2]), [1, 2]),
        ({"b": 1, "a": 2}.values(), [1, 2]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        ({"b": 1, "a": 2}.items(), ["b", 1, "a", 2]),
        (bytearray(b"ab"), [97, 98]),
        (Custom(1, [2, 3]), [1, 2, 3]),
        (AttrsLike(a=[1, 2], b=3), [1, 2, 3]),
        ([[], (), {}], []),
    ],
    ids=label,
)
def test_containers(structure, leaves):
    assert nest.is_nested(structure)
    assert nest.flatten(structure) == leaves


@pytest.mark.parametrize(
    "leaf",
    [None, 1, "abc", b"abc", {1, 2}, frozenset([1]), Plain(1, 2), np.zeros(2), Point, Custom, AttrsLike],
    ids=label,
)
def test_leaves(leaf):
    assert not nest.is_nested(leaf)
    assert nest.flatten(leaf)[0] is leaf
    assert nest.pack_sequence_as(leaf, [5]) == 5


def test_an_iterator_is_a_leaf():
    assert len(nest.flatten(iter([1, 2]))) == 1


def test_keys_that_have_no_order():
    with pytest.raises(TypeError, match="'<' not supported"):
        nest.flatten({1: 2, "a": 3})


@settings(suppress_health_check=[HealthCheck.too_slow])  # how busy the machine is says nothing
@given(structures)
def test_packing_inverts_flattening(structure):
    leaves = nest.flatten(structure)
    assert nest.pack_sequence_as(structure, leaves) == structure
    assert nest.map_structure(lambda leaf: leaf, structure) == structure
    nest.assert_same_structure(structure, structure)
    assert len(list(nest.yield_flat_paths(structure))) == len(leaves)
    assert nest.flatten_up_to(structure, structure) == leaves


@pytest.mark.parametrize(
    ("structure", "packed"),
    [
        ([1, [2]], [5, [6]]),
        (Point(1, 2), Point(5, 6)),
        (ListChild([1, 2]), ListChild([5, 6])),
        (TupleChild([1, 2]), TupleChild([5, 6])),
        (collections.deque([1, 2]), collections.deque([5, 6])),
        (range(2), [5, 6]),
        ({"b": 1, "a": 2}.values(), [5, 6]),
        ({"b": 1, "a": 2}, {"b": 6, "a": 5}),
        (OrderedDict([("b", 1), ("a", 2)]), OrderedDict([("b", 6), ("a", 5)])),
        (DictChild(b=1, a=2), DictChild(b=6, a=5)),
        (collections.Counter(b=1, a=2), collections.Counter(b=6, a=5)),
        (Custom(1, 2, "label"), Custom(5, 6, "label")),
        (AttrsLike(a=1, b=2), AttrsLike(a=5, b=6)),
    ],
    ids=label,
)
def test_packing_keeps_type_and_order(structure, packed):
    result = nest.pack_sequence_as(structure, (5, 6))
    assert result == packed
    assert type(result) is type(packed)
    assert str(result) == str(packed)


def test_packing_does_not_touch_the_structure():
    for structure in ({"a": 1}, OrderedDict(a=1), AttrsLike(a=1, b=2), Custom(1, 2)):
        before = repr(structure)
        nest.map_structure(lambda leaf: leaf + 10, structure)
        assert repr(structure) == before


def test_packing_a_defaultdict_and_a_plain_mapping():
    packed = nest.pack_sequence_as(collections.defaultdict(list, {"b": 1, "a": 2}), [5, 6])
    assert packed["new"] == []
    assert packed["a"] == 5
    assert repr(nest.pack_sequence_as(PlainMapping(b=1, a=2), [5, 6])) == "PlainMapping({'b': 6, 'a': 5})"
    with pytest.raises(TypeError, match="Error creating an object of type <class 'mappingproxy'> like"):
        nest.pack_sequence_as(types.MappingProxyType({"b": 1}), [5])


@pytest.mark.parametrize(
    ("structure", "flat", "error", "message"),
    [
        (
            [1, [2, 3]],
            [5],
            ValueError,
            "Could not pack sequence. Structure had 3 atoms, but flat_sequence had 1 items.  "
            "Structure: [1, [2, 3]], flat_sequence: [5].",
        ),
        (
            [],
            [1],
            ValueError,
            "Could not pack sequence. Structure had 0 atoms, but flat_sequence had 1 items.  "
            "Structure: [], flat_sequence: [1].",
        ),
        (
            1,
            (5, 6),
            ValueError,
            "The target structure is of type `<class 'int'>`\n  1\nHowever the input is a sequence (<class 'tuple'>) "
            "of length 2.\n  (5, 6)\nnest cannot guarantee that it is safe to map one to the other.",
        ),
        (
            [1, 2],
            "ab",
            TypeError,
            "Attempted to pack value:\n  ab\ninto a structure, but found incompatible type `<class 'str'>` instead.",
        ),
        (
            1,
            2,
            TypeError,
            "Attempted to pack value:\n  2\ninto a structure, but found incompatible type `<class 'int'>` instead.",
        ),
    ],
)
def test_packing_what_does_not_fit(structure, flat, error, message):
    assert message_of(error, nest.pack_sequence_as, structure, flat) == message


def test_map_structure():
    assert nest.map_structure(lambda x: x + 1, [1, {"a": 2}]) == [2, {"a": 3}]
    assert nest.map_structure(lambda x: x + 1, 5) == 6
    assert nest.map_structure(lambda *xs: xs, [1, {"a": 2}], [3, {"a": 4}]) == [(1, 3), {"a": (2, 4)}]
    assert nest.map_structure(lambda *xs: xs, [1], (2,), check_types=False) == [(1, 2)]
    assert nest.map_structure(lambda *xs: sum(xs), {"b": 1, "a": 2}, OrderedDict(a=5, b=10)) == {"b": 11, "a": 7}
    assert nest.map_structure(lambda *xs: sum(xs), Custom(1, 2), Custom(1, 2, "k")) == Custom(2, 4, "m")


def test_map_structure_refuses():
    assert message_of(TypeError, nest.map_structure, 3, [1]) == "func must be callable, got: 3"
    assert message_of(ValueError, nest.map_structure, str) == "Must provide at least one structure"
    assert message_of(ValueError, nest.map_structure, str, [1], z=1, y=2) == (
        "Only valid keyword arguments are `check_types` and `expand_composites`, not: `z`, `y`"
    )
    with pytest.raises(ValueError, match="don't have the same number of elements"):
        nest.map_structure(lambda *xs: xs, [1], [1], [1, 2])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1], [None]),
        ("a", 1),
        ({"a": 1}, OrderedDict(a=2)),
        (PlainMapping(a=1), {"a": 1}),
        (Point(1, 2), SamePoint(1, 2)),
        (ListChild([1]), [1]),
        ([1], ListChild([1])),
        (Custom(1, 2), Custom(3, 4, "other")),
        (AttrsLike(a=1, b=2), AttrsLike(a=3, b=4)),
        ([Composite(1)], [3]),
    ],
    ids=label,
)
def test_same_structures(first, second):
    nest.assert_same_structure(first, second)


SEQUENCE_TYPE = (
    "The two namedtuples don't have the same sequence type. "
    "First structure {} has type {}, while second structure {} has type {}"
)


@pytest.mark.parametrize(
    ("first", "second", "error", "explanation"),
    [
        (
            [1],
            [2, 3],
            ValueError,
            "The two structures don't have the same number of elements. "
            "First structure: type=list str=[1]. Second structure: type=list str=[2, 3]",
        ),
        (
            [1, 2, 3],
            [[1, 2], 3],
            ValueError,
            'Substructure "type=list str=[1, 2]" is a sequence, while substructure "type=int str=1" is not',
        ),
        (
            [1],
            np.array([1]),
            ValueError,
            'Substructure "type=list str=[1]" is a sequence, while substructure "type=ndarray str=[1]" is not',
        ),
        (
            {"b": 1, "a": 3},
            {"c": 2, "d": 4},
            ValueError,
            "The two dictionaries don't have the same set of keys. First structure has keys type=list str=['b', 'a'], "
            "while second structure has keys type=list str=['c', 'd']",
        ),
        (
            {"a": [1]},
            {"a": (1,)},
            TypeError,
            SEQUENCE_TYPE.format("type=list str=[1]", "list", "type=tuple str=(1,)", "tuple"),
        ),
        (
            {"a": 1},
            [1],
            TypeError,
            SEQUENCE_TYPE.format("type=dict str={'a': 1}", "dict", "type=list str=[1]", "list"),
        ),
        (
            (1, 2),
            TupleChild([1, 2]),
            TypeError,
            SEQUENCE_TYPE.format("type=tuple str=(1, 2)", "tuple", "type=TupleChild str=(1, 2)", "TupleChild"),
        ),
    ],
)
def test_structures_that_differ(first, second, error, explanation):
    message = message_of(error, nest.assert_same_structure, first, second)
    assert f"\n\nMore specifically: {explanation}\nEntire first structure:\n" in message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Point(1, 2), OtherName(1, 2)),
        (Point(1, 2), OtherNames(1, 2)),
        (Point(1, 2), (1, 2)),
        ((1, 2), Point(1, 2)),
        (Custom(1, 2), CustomChild(1, 2)),
        (AttrsLike(a=1, b=2), [1, 2]),
        ([], {}),
    ],
    ids=label,
)
def test_structures_that_differ_in_type_alone(first, second):
    with pytest.raises(TypeError, match="don't have the same sequence type"):
        nest.assert_same_structure(first, second)
    nest.assert_same_structure(first, second, check_types=False)


def test_the_message_shows_both_structures_with_dots_for_leaves():
    assert message_of(ValueError, nest.assert_same_structure, [1, {"a": (1,)}], [1, {"a": 1}]) == (
        "The two structures don't have the same nested structure.\n\n"
        "First structure: type=list str=[1, {'a': (1,)}]\n\n"
        "Second structure: type=list str=[1, {'a': 1}]\n\n"
        'More specifically: Substructure "type=tuple str=(1,)" is a sequence, '
        'while substructure "type=int str=1" is not\n'
        "Entire first structure:\n[., {'a': (.,)}]\nEntire second structure:\n[., {'a': .}]"
    )


def test_lengths_are_compared_without_types_too():
    nest.assert_same_structure({"a": 1}, {"b": 2}, check_types=False)
    with pytest.raises(ValueError, match="number of elements"):
        nest.assert_same_structure({"a": 1, "b": 3}, {"a": 2}, check_types=False)


@pytest.mark.parametrize(
    ("shallow", "tree", "parts"),
    [
        ([1, 2], [[1], {"a": 1}], [[1], {"a": 1}]),
        (1, [1, 2], [[1, 2]]),
        ([1], [None], [None]),
        ({"a": 1}, OrderedDict(a=[1, 2]), [[1, 2]]),
        ({"a": 1}, PlainMapping(a=1), [1]),
        (Point(1, 2), SamePoint([1], 2), [[1], 2]),
        ((1, 2), Point([1], 2), [[1], 2]),
        ((1,), TupleChild([1]), [1]),
        (ListChild([1]), [1], [1]),
        (Custom(1, 2), Custom([1], 2), [[1], 2]),
        (AttrsLike(a=1, b=2), AttrsLike(a=[1], b=2), [[1], 2]),
    ],
    ids=label,
)
def test_flatten_up_to(shallow, tree, parts):
    assert nest.flatten_up_to(shallow, tree) == parts
    nest.assert_shallow_structure(shallow, tree)
    assert nest.flatten(nest.map_structure_up_to(shallow, repr, tree)) == [repr(part) for part in parts]


SHALLOW_LENGTH = (
    "The two structures don't have the same sequence length. "
    "Input structure has length {}, while shallow structure has length {}."
)
SHALLOW_KEYS = (
    "The shallow_tree's keys are not a subset of the input_tree's keys. "
    "The shallow_tree has the following keys that are not in the input_tree: {}."
)
SHALLOW_TYPE = (
    "The two structures don't have the same sequence type. "
    "Input structure has type {}, while shallow structure has type {}."
)
SHALLOW_LEAF = "If shallow structure is a sequence, input must also be a sequence. Input has type: {}."


@pytest.mark.parametrize(
    ("shallow", "tree", "error", "message"),
    [
        ([1, 2], [1], ValueError, SHALLOW_LENGTH.format(1, 2)),
        ({"a": 1}, {"a": 1, "b": 2}, ValueError, SHALLOW_LENGTH.format(2, 1)),
        ({"a": 1, "b": 2, "d": 3}, {"a": 1, "c": 2, "e": 3}, ValueError, SHALLOW_KEYS.format(["b", "d"])),
        ({"a": {"d": 1}}, {"a": {"e": 1}}, ValueError, SHALLOW_KEYS.format(["d"])),
        ([1, [2]], [1, 2], TypeError, SHALLOW_LEAF.format(int)),
        ([1, 2], "ab", TypeError, SHALLOW_LEAF.format(str)),
        ([1, 2], (1, 2), TypeError, SHALLOW_TYPE.format(tuple, list)),
        (TupleChild([1]), (1,), TypeError, SHALLOW_TYPE.format(tuple, TupleChild)),
        ({"a": 1}, [1], TypeError, SHALLOW_TYPE.format(list, dict)),
        (Point(1, 2), OtherName(1, 2), TypeError, SHALLOW_TYPE.format(OtherName, Point)),
    ],
)
def test_flatten_up_to_refuses(shallow, tree, error, message):
    assert message_of(error, nest.flatten_up_to, shallow, tree) == message
    assert message_of(error, nest.assert_shallow_structure, shallow, tree) == message


def test_flatten_up_to_without_types():
    assert nest.flatten_up_to([1, 2], (3, [4]), check_types=False) == [3, [4]]
    assert nest.flatten_up_to([1, 2], {0: 5, 1: 6}, check_types=False) == [5, 6]
    with pytest.raises(ValueError, match="keys are not a subset"):
        nest.assert_shallow_structure({"a": 1}, [1], check_types=False)


def test_map_structure_up_to():
    pairs = nest.map_structure_up_to([1, 2], lambda *xs: xs, [[1], 2], [[5, 6], 7])
    assert pairs == [([1], [5, 6]), (2, 7)]
    by_key = nest.map_structure_up_to({"b": 1, "a": 2}, lambda *xs: xs, OrderedDict(b=[1], a=2), {"a": 7, "b": 8})
    assert by_key == {"b": ([1], 8), "a": (2, 7)}
    assert message_of(ValueError, nest.map_structure_up_to, [1], str) == "Cannot map over no sequences"


def test_paths():
    structure = [1, {"b": 2, "a": (3, 4)}, Point(5, 6)]
    assert list(nest.yield_flat_paths(structure)) == [(0,), (1, "a", 0), (1, "a", 1), (1, "b"), (2, "x"), (2, "y")]
    assert list(nest.yield_flat_paths(3)) == [()]
    assert list(nest.yield_flat_paths(AttrsLike(a=1, b=[2]))) == [("a",), ("b", 0)]
    assert list(nest.yield_flat_paths(Custom(1, {"q": 2}))) == [(0,), (1, "q")]
    assert nest.flatten_with_tuple_paths([1, {"b": 2}]) == [((0,), 1), ((1, "b"), 2)]
    assert nest.flatten_with_joined_string_paths([1, {"b": 2}], separator=".") == [("0", 1), ("1.b", 2)]
    assert nest.flatten_with_joined_string_paths(3) == [("", 3)]


def test_map_structure_with_paths():
    def triple(path, *leaves):
        return (path, *leaves)

    assert nest.map_structure_with_paths(triple, [1, {"b": 2}]) == [("0", 1), {"b": ("1/b", 2)}]
    assert nest.map_structure_with_paths(triple, [1], [5]) == [("0", 1, 5)]
    assert nest.map_structure_with_paths(triple, [1], (5,), check_types=False) == [("0", 1, 5)]
    assert nest.map_structure_with_tuple_paths(triple, {"a": [1]}) == {"a": [(("a", 0), 1)]}
    with pytest.raises(ValueError, match="sequence length"):
        nest.map_structure_with_paths(triple, [1], [5, 6])
    with pytest.raises(TypeError, match="sequence type"):
        nest.map_structure_with_paths(triple, [1], (5,))


class Test_composites:
    def test_they_are_leaves_unless_expanded(self):
        structure = [Composite(1, 2), 3]
        assert nest.flatten(structure) == structure
        assert nest.flatten(structure, expand_composites=True) == [1, 2, 3]
        assert nest.pack_sequence_as(structure, [4, 5, 6], expand_composites=True) == [Composite(4, 5), 6]
        assert nest.map_structure(lambda x: -x, Composite(1, Composite(2)), expand_composites=True) == Composite(
            -1, Composite(-2)
        )
        assert not nest.is_nested(structure[0])
        assert nest.is_nested_or_composite(structure[0])

    def test_paths_name_the_class(self):
        paths = list(nest.yield_flat_paths([Composite(1, 2), 3], expand_composites=True))
        assert paths == [(0, "Composite", 0), (0, "Composite", 1), (1,)]

    @pytest.mark.parametrize(
        ("other", "error", "message"),
        [
            (3, ValueError, "is a sequence, while substructure"),
            ([3, 4], TypeError, "don't have the same sequence type"),
            (OtherComposite(1, 2), ValueError, "Incompatible CompositeTensor TypeSpecs"),
            (Composite(1), ValueError, "don't have the same number of elements"),
        ],
        ids=label,
    )
    def test_structures_that_differ(self, other, error, message):
        with pytest.raises(error, match=message):
            nest.assert_same_structure([Composite(1, 2)], [other], expand_composites=True)

    def test_up_to(self):
        composite = Composite(1, 2)
        assert nest.flatten_up_to([0, 0], [composite, 3], expand_composites=True) == [composite, 3]
        assert nest.flatten_up_to([composite], [Composite([3], 4)], expand_composites=True) == [[3], 4]
        assert message_of(TypeError, nest.flatten_up_to, [composite], [[1, 2]], expand_composites=True) == (
            SHALLOW_TYPE.format(list, Composite)
        )
