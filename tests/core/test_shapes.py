"""Static shapes and TensorFlow 1's dimensions."""

import operator
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rillet.core import shapes
from rillet.core.shapes import Dimension, TensorShape, broadcast_static_shape


def label(value):
    """A test id without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


partial, unknown, full, scalar = TensorShape([2, None, 4]), TensorShape(None), TensorShape([2, 3]), TensorShape([])
NOT_A_SIZE = "Dimension value must be integer or None or have an __index__ method, got value '{}' with type '{}'"

partial_shapes = st.none() | st.lists(st.none() | st.integers(0, 3), max_size=4).map(tuple)


@pytest.fixture
def v1_behavior():
    shapes.disable_v2_tensorshape()
    yield
    shapes.enable_v2_tensorshape()


def message_of(error, function, *arguments):
    with pytest.raises(error) as caught:
        function(*arguments)
    return str(caught.value)


class Test_construction_and_printing:
    @pytest.mark.parametrize(
        ("dims", "dimensions", "text", "representation"),
        [
            (None, None, "<unknown>", "TensorShape(None)"),
            ([], (), "()", "TensorShape([])"),
            ((3,), (3,), "(3,)", "TensorShape([3])"),
            ([2, None], (2, None), "(2, None)", "TensorShape([2, None])"),
            ((2, None), (2, None), "(2, None)", "TensorShape([2, None])"),
            (5, (5,), "(5,)", "TensorShape([5])"),
            (np.int64(4), (4,), "(4,)", "TensorShape([4])"),
            (np.array([1, 2]), (1, 2), "(1, 2)", "TensorShape([1, 2])"),
            (np.array(3), (3,), "(3,)", "TensorShape([3])"),
            ([np.int32(2)], (2,), "(2,)", "TensorShape([2])"),
            (range(3), (0, 1, 2), "(0, 1, 2)", "TensorShape([0, 1, 2])"),
            (iter([1, 2]), (1, 2), "(1, 2)", "TensorShape([1, 2])"),
            ([Dimension(3), Dimension(None)], (3, None), "(3, None)", "TensorShape([3, None])"),
            (Dimension(3), (3,), "(3,)", "TensorShape([3])"),
            (TensorShape([1, None]), (1, None), "(1, None)", "TensorShape([1, None])"),
            ([10**20], (10**20,), "(100000000000000000000,)", "TensorShape([100000000000000000000])"),
        ],
        ids=label,
    )
    def test_accepted(self, dims, dimensions, text, representation):
        shape = TensorShape(dims)
        assert shape.dimensions == dimensions
        assert all(size is None or type(size) is int for size in shape.dimensions or ())
        assert str(shape) == f"{shape}" == text
        assert repr(shape) == representation

    def test_no_argument_is_unknown(self):
        assert TensorShape().dimensions is None

    @pytest.mark.parametrize("dims", [[2.0], [2.5], ["a"], [[1]], (1, "a"), [scalar]], ids=label)
    def test_a_size_that_is_no_whole_number(self, dims):
        bad = dims[-1]
        assert message_of(TypeError, TensorShape, dims) == NOT_A_SIZE.format(repr(bad), type(bad))

    @pytest.mark.parametrize("dims", [2.5, float("nan")], ids=label)
    def test_a_single_size_that_is_no_whole_number(self, dims):
        assert message_of(TypeError, TensorShape, dims) == NOT_A_SIZE.format(dims, float)

    @pytest.mark.parametrize(("dims", "element"), [("ab", "a"), ({"a": 1}, "a")], ids=label)
    def test_an_iterable_of_something_else(self, dims, element):
        assert message_of(TypeError, TensorShape, dims) == (
            f"Failed to convert '{dims!r}' to a shape: '{element!r}'could not be converted to a dimension. "
            "A shape should either be single dimension (e.g. 10), or an iterable of dimensions (e.g. [1, 10, None])."
        )

    @pytest.mark.parametrize("dims", [[-1], -1, (2, -1), np.array([-1]), [np.int64(-1)]], ids=label)
    def test_a_negative_size(self, dims):
        assert message_of(ValueError, TensorShape, dims) == "Dimension -1 must be >= 0"

    @given(partial_shapes)
    def test_copies(self, dims):
        shape = TensorShape(dims)
        assert TensorShape(shape) == shape == pickle.loads(pickle.dumps(shape)) == TensorShape.from_dimensions(dims)
        assert hash(shape) == hash(dims)

    def test_as_shape_keeps_a_shape(self):
        assert shapes.as_shape(partial) is partial
        assert shapes.as_shape([2]) == TensorShape([2])
        assert shapes.unknown_shape() is shapes.UNKNOWN
        assert shapes.unknown_shape(2).dimensions == (None, None)
        assert shapes.SCALAR.dimensions == ()


class Test_what_is_known:
    def test_rank(self):
        assert [shape.rank for shape in (partial, unknown, full, scalar)] == [3, None, 2, 0]
        assert [shape.ndims for shape in (partial, unknown, full, scalar)] == [3, None, 2, 0]

    def test_num_elements(self):
        assert [shape.num_elements() for shape in (partial, unknown, full, scalar)] == [None, None, 6, 1]
        assert TensorShape([0, 3]).num_elements() == 0

    def test_is_fully_defined(self):
        assert [shape.is_fully_defined() for shape in (partial, unknown, full, scalar)] == [False, False, True, True]
        assert message_of(ValueError, partial.assert_is_fully_defined) == "Shape (2, None, 4) is not fully defined"
        assert message_of(ValueError, unknown.assert_is_fully_defined) == "Shape <unknown> is not fully defined"
        full.assert_is_fully_defined()

    def test_dims(self):
        assert repr(partial.dims) == "[Dimension(2), Dimension(None), Dimension(4)]"
        assert unknown.dims is None

    def test_as_a_sequence(self):
        assert partial.as_list() == list(partial) == [2, None, 4]
        assert len(partial) == 3
        assert 2 in full
        assert [bool(shape) for shape in (partial, unknown, full, scalar)] == [True, False, True, True]
        assert np.zeros(full).shape == (2, 3)

    def test_an_unknown_shape_is_no_sequence(self):
        assert message_of(ValueError, unknown.as_list) == "as_list() is not defined on an unknown TensorShape."
        assert message_of(ValueError, len, unknown) == "Cannot take the length of shape with unknown rank."
        assert message_of(ValueError, list, unknown) == "Cannot iterate over a shape with unknown rank."


class Test_indexing:
    def test_sizes(self):
        assert (partial[0], partial[1], partial[-1], partial[np.int64(0)]) == (2, None, 4, 2)
        assert unknown[7] is None
        with pytest.raises(IndexError):
            partial[5]
        with pytest.raises(TypeError):
            partial["a"]

    @given(
        st.lists(st.none() | st.integers(0, 9), max_size=4).map(tuple),
        st.slices(5),
    )
    def test_a_slice_is_the_shape_of_the_slice(self, dims, part):
        assert TensorShape(dims)[part] == TensorShape(dims[part])

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            (slice(1, None), None),
            (slice(None, 1), (None,)),
            (slice(1, 2), (None,)),
            (slice(None, -1), None),
            (slice(-1, None), None),
            (slice(-3, -1), None),
            (slice(2, -1), None),
            (slice(-1, 2), None),
            (slice(None, 2), (None, None)),
            (slice(0, 0), ()),
            (slice(3, 1), ()),
            (slice(None), None),
        ],
        ids=label,
    )
    def test_a_slice_of_an_unknown_shape(self, part, expected):
        assert unknown[part].dimensions == expected

    def test_steps_in_an_unknown_shape(self):
        with pytest.raises(ValueError, match="Steps are not yet handled"):
            unknown[::2]


class Test_equality:
    @pytest.mark.parametrize(
        ("shape", "other"),
        [
            (full, [2, 3]),
            (full, (2, 3)),
            (TensorShape([3]), 3),
            (TensorShape([3]), Dimension(3)),
            (TensorShape([None]), [None]),
            (TensorShape([None]), TensorShape([None])),
            (unknown, None),
            (unknown, TensorShape(None)),
        ],
        ids=label,
    )
    def test_with_what_converts_to_a_shape(self, shape, other):
        assert operator.eq(shape, other) is True
        assert operator.eq(other, shape) is True
        assert operator.ne(shape, other) is False

    def test_an_array(self):
        assert operator.eq(full, np.array([2, 3])) is True

    @pytest.mark.parametrize("other", [None, [2, 3, 4], "x", 3, 2.5, object, [-1], unknown, ["a"]], ids=label)
    def test_unequal_never_raises(self, other):
        assert operator.eq(full, other) is False
        assert operator.ne(full, other) is True

    def test_hash_is_that_of_the_tuple(self):
        assert {full: 1}[TensorShape((2, 3))] == 1
        assert hash(full) == hash((2, 3))


class Test_combination:
    def test_concatenation(self):
        for left, right, expected in [
            (partial, [1], (2, None, 4, 1)),
            ([1], full, (1, 2, 3)),
            ((5,), full, (5, 2, 3)),
            (full, 3, (2, 3, 3)),
            (3, full, (3, 2, 3)),
            (full, None, None),
            (None, full, None),
            (unknown, full, None),
        ]:
            assert operator.add(left, right).dimensions == expected
        assert full.concatenate(Dimension(3)).dimensions == (2, 3, 3)
        with pytest.raises(TypeError, match="Failed to convert"):
            operator.add(full, "a")

    def test_merge_with(self):
        assert partial.merge_with([2, 9, 4]).dimensions == (2, 9, 4)
        assert partial.merge_with(None) == partial
        assert unknown.merge_with([2, None]).dimensions == (2, None)
        assert message_of(ValueError, partial.merge_with, [2, None]) == (
            "Shapes (2, None, 4) and (2, None) are not compatible"
        )
        assert message_of(ValueError, full.merge_with, (2, 4)) == "Shapes (2, 3) and (2, 4) are not compatible"

    def test_compatibility(self):
        assert partial.is_compatible_with([2, 3, 4])
        assert partial.is_compatible_with(None)
        assert not partial.is_compatible_with([2, 3])
        assert not partial.is_compatible_with([3, 3, 4])
        assert message_of(ValueError, partial.assert_is_compatible_with, [2, 5]) == (
            "Shapes (2, None, 4) and [2, 5] are incompatible"
        )
        full.assert_is_compatible_with([2, None])

    def test_ranks(self):
        assert partial.with_rank(3) == partial.with_rank(None) == partial
        assert unknown.with_rank(2).dimensions == (None, None)
        assert message_of(ValueError, partial.with_rank, 2) == "Shape (2, None, 4) must have rank 2"
        assert message_of(ValueError, scalar.with_rank_at_least, 3) == "Shape () must have rank at least 3"
        assert message_of(ValueError, full.with_rank_at_most, 1) == "Shape (2, 3) must have rank at most 1"
        assert full.with_rank_at_least(2) == full.with_rank_at_most(2) == full
        assert unknown.with_rank_at_least(9) == unknown.with_rank_at_most(1) == unknown
        assert message_of(ValueError, full.assert_has_rank, 3) == "Shape (2, 3) must have rank 3"
        assert message_of(ValueError, scalar.assert_same_rank, [1, 2]) == (
            "Shapes () and (1, 2) must have the same rank"
        )
        unknown.assert_has_rank(3)
        scalar.assert_same_rank(None)

    def test_subtypes(self):
        assert full.is_subtype_of(TensorShape([None, None]))
        assert full.is_subtype_of(unknown)
        assert not partial.is_subtype_of(TensorShape([2, 3, 4]))
        assert not unknown.is_subtype_of(full)
        assert not full.is_subtype_of([2, 3])

    def test_supertypes(self):
        assert full.most_specific_compatible_shape([5, 3]).dimensions == (None, 3)
        assert full.most_specific_compatible_shape([5]).rank is None
        assert full.most_specific_compatible_shape(None).rank is None
        assert full.most_specific_common_supertype([TensorShape([4, 3]), full]).dimensions == (None, 3)
        assert full.most_specific_common_supertype([[2, 3]]) is None

    @given(partial_shapes, partial_shapes)
    def test_both_are_subtypes_of_their_supertype(self, left, right):
        first, second = TensorShape(left), TensorShape(right)
        common = first.most_specific_compatible_shape(second)
        assert first.is_subtype_of(common)
        assert second.is_subtype_of(common)

    @given(partial_shapes, partial_shapes)
    def test_a_merged_shape_is_a_subtype_of_both(self, left, right):
        first, second = TensorShape(left), TensorShape(right)
        if first.is_compatible_with(second):
            assert first.merge_with(second).is_subtype_of(first)
            assert first.merge_with(second).is_subtype_of(second)
        else:
            with pytest.raises(ValueError, match="not compatible"):
                first.merge_with(second)


class Test_broadcasting:
    @given(st.lists(st.integers(0, 3), max_size=4).map(tuple), st.lists(st.integers(0, 3), max_size=4).map(tuple))
    def test_known_shapes_broadcast_as_numpys(self, left, right):
        try:
            expected = np.broadcast_shapes(left, right)
        except ValueError:
            with pytest.raises(ValueError, match="Incompatible shapes for broadcasting"):
                broadcast_static_shape(left, right)
        else:
            assert broadcast_static_shape(left, right) == expected

    @pytest.mark.parametrize(
        ("left", "right", "expected"),
        [
            (partial, [None], (2, None, 4)),
            (partial, [1, 1, 1], (2, None, 4)),
            (partial, [5, 1], (2, 5, 4)),
            (partial, None, None),
            ([None], [1], (None,)),
            ([None], [7], (7,)),
            ([None], [0], (None,)),
            ([None], [], (None,)),
        ],
        ids=label,
    )
    def test_partly_known_shapes(self, left, right, expected):
        assert broadcast_static_shape(left, right).dimensions == expected
        assert broadcast_static_shape(right, left).dimensions == expected

    def test_the_error_names_both_shapes(self):
        assert message_of(ValueError, broadcast_static_shape, [2], [3]) == (
            "Incompatible shapes for broadcasting: (2,) and (3,)"
        )


class Test_v1_behavior:
    def test_elements_are_dimensions(self, v1_behavior):
        assert not shapes.v2_tensorshape_enabled()
        assert repr(partial[0]) == "Dimension(2)"
        assert repr(list(partial)) == "[Dimension(2), Dimension(None), Dimension(4)]"
        assert repr(unknown[2]) == "Dimension(None)"
        assert repr(partial[1:]) == "TensorShape([Dimension(None), Dimension(4)])"
        assert partial.as_list() == [2, None, 4]

    def test_printing(self, v1_behavior):
        assert [str(shape) for shape in (partial, unknown, full, scalar)] == ["(2, ?, 4)", "<unknown>", "(2, 3)", "()"]
        assert str(TensorShape([None])) == "(?,)"
        assert repr(TensorShape([3, None])) == "TensorShape([Dimension(3), Dimension(None)])"
        assert message_of(ValueError, partial.with_rank, 2) == "Shape (2, ?, 4) must have rank 2"

    def test_equality_and_arithmetic_of_shapes_are_the_same(self, v1_behavior):
        assert full == (2, 3)
        assert full != TensorShape(None)
        assert partial == TensorShape([2, None, 4])
        assert full.concatenate([4]).dimensions == (2, 3, 4)
        assert full.num_elements() == 6

    def test_the_default_is_v2(self):
        assert shapes.v2_tensorshape_enabled()
        assert full[0] == 2
        assert type(full[0]) is int


class Test_dimension:
    def test_value_and_printing(self):
        assert (str(Dimension(3)), repr(Dimension(3)), Dimension(3).value) == ("3", "Dimension(3)", 3)
        assert (str(Dimension(None)), repr(Dimension(None)), Dimension(None).value) == ("?", "Dimension(None)", None)
        assert Dimension(Dimension(3)).value == 3
        assert Dimension(np.int64(4)).value == 4

    @pytest.mark.parametrize("value", ["a", "3", 2.5, 2.0, [1]], ids=label)
    def test_no_size(self, value):
        assert message_of(TypeError, Dimension, value) == NOT_A_SIZE.format(repr(value), type(value))

    def test_a_negative_size(self):
        assert message_of(ValueError, Dimension, -1) == "Dimension -1 must be >= 0"
        assert message_of(ValueError, lambda: Dimension(3) - 5) == "Dimension -2 must be >= 0"

    @pytest.mark.parametrize(
        ("result", "expected"),
        [
            (Dimension(3) + 1, 4),
            (1 + Dimension(3), 4),
            (Dimension(3) - 1, 2),
            (5 - Dimension(3), 2),
            (Dimension(3) * 2, 6),
            (2 * Dimension(3), 6),
            (Dimension(3) // 2, 1),
            (7 // Dimension(3), 2),
            (Dimension(3) % 2, 1),
            (7 % Dimension(3), 1),
            (Dimension(3) + None, None),
            (None + Dimension(3), None),
            (Dimension(3) * Dimension(None), None),
            (5 // Dimension(None), None),
            (Dimension(None) - 1, None),
        ],
    )
    def test_arithmetic(self, result, expected):
        assert type(result) is Dimension
        assert result.value == expected

    def test_arithmetic_with_something_else(self):
        for function in (lambda: Dimension(3) + "a", lambda: Dimension(3) * 2.5, lambda: Dimension(3) - "a"):
            assert message_of(TypeError, function).startswith("unsupported operand type(s) for ")
        assert message_of(TypeError, lambda: Dimension(3) / 2) == (
            "unsupported operand type(s) for /: 'Dimension' and 'int', please use // instead"
        )
        assert message_of(TypeError, lambda: 6 / Dimension(3)) == (
            "unsupported operand type(s) for /: 'int' and 'Dimension', please use // instead"
        )

    def test_comparison(self):
        assert Dimension(3) == 3
        assert Dimension(3) == Dimension(3)
        assert Dimension(3) != 4
        assert (Dimension(3) < 4, Dimension(3) <= 3, Dimension(3) > 3, Dimension(3) >= 4) == (True, True, False, False)
        assert operator.eq(Dimension(3), "x") is False
        assert operator.eq(Dimension(3), -1) is False
        with pytest.raises(TypeError, match="must be integer"):
            _ = Dimension(3) < "a"

    def test_comparison_with_an_unknown_is_none(self):
        unknown = Dimension(None)
        for result in (unknown == 3, unknown == unknown, unknown != 3, Dimension(3) == None, unknown < 3):  # noqa: E711
            assert result is None

    def test_a_known_one_serves_as_an_int(self):
        assert [10, 11, 12, 13][Dimension(3)] == 13
        assert range(Dimension(3)) == range(3)
        assert int(Dimension(3)) == 3
        assert float(Dimension(3)) == 3.0
        assert np.zeros((Dimension(3), 2)).shape == (3, 2)
        assert hash(Dimension(3)) == hash(3)
        assert [bool(Dimension(value)) for value in (3, 0, None)] == [True, False, False]

    def test_an_unknown_one_does_not(self):
        assert message_of(TypeError, int, Dimension(None)) == "__int__ returned non-int (type NoneType)"
        assert message_of(TypeError, range, Dimension(None)) == "__index__ returned non-int (type NoneType)"

    def test_merging(self):
        assert Dimension(3).merge_with(None).value == Dimension(None).merge_with(3).value == 3
        assert Dimension(3).is_compatible_with(None)
        assert not Dimension(3).is_compatible_with(4)
        assert message_of(ValueError, Dimension(3).merge_with, 4) == "Dimensions 3 and 4 are not compatible"

    def test_pickle(self):
        assert pickle.loads(pickle.dumps(Dimension(None))).value is None

    def test_helpers(self):
        assert [shapes.dimension_value(value) for value in (Dimension(3), Dimension(None), 7, None)] == [
            3,
            None,
            7,
            None,
        ]
        assert shapes.dimension_at_index(partial, -1).value == 4
        assert shapes.dimension_at_index(unknown, 9).value is None
        assert shapes.as_dimension(3).value == 3
        with pytest.raises(IndexError):
            shapes.dimension_at_index(partial, 9)
