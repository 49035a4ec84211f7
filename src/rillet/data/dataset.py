"""tf.data.Dataset: elements, and what is done with them one after the other."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet import errors
from rillet.core import context, dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.function import Function
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape, as_shape
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.data.elements import DatasetElements, begun
from rillet.data.iterator import (
    GraphIterator,
    NumpyIterator,
    OwnedIterator,
    initializable,
    specs_of,
)
from rillet.data.structure import DatasetSpec, Structure, Traced, normalized, tensors_of, traced
from rillet.frontend.function import TensorSpec
from rillet.frontend.python_call import numpy_function
from rillet.ops import dataset as ops
from rillet.ops import dataset_iterator as nodes
from rillet.ops.dataset_threads import AUTOTUNE
from rillet.ops.dataset_values import INFINITE, UNKNOWN_SIZE, resumable
from rillet.ops.random_seed import get_seed

export(AUTOTUNE, "data.AUTOTUNE", "data.experimental.AUTOTUNE")
export(INFINITE, "data.INFINITE_CARDINALITY", "data.experimental.INFINITE_CARDINALITY")
export(UNKNOWN_SIZE, "data.UNKNOWN_CARDINALITY", "data.experimental.UNKNOWN_CARDINALITY")


def _int64(value: Any, name: str) -> Any:
    return convert_to_tensor(value, dtypes.int64, name=name)


def seeds(seed: int | None) -> tuple[Any, Any]:
    """The seeds of a dataset that is random, as tensors; both 0 where none is set."""
    first, second = get_seed(seed)
    pair = (0 if first is None else first, 0 if second is None else second)
    if pair == (0, 0) and (first, second) != (None, None):
        pair = (0, 2**31 - 1)
    return _int64(pair[0], "seed"), _int64(pair[1], "seed2")


@public("data.Dataset")
class Dataset:
    """A sequence of elements, each a tensor or a structure of tensors. It can be gone through any number of times.

    element_spec: what the elements are.
    """

    def __init__(self, variant_tensor: Any, element_spec: Any) -> None:
        self._variant_tensor = variant_tensor
        self._spec = element_spec
        self._given_options: Any = None

    @classmethod
    def _of(cls, definition: Any, inputs: tuple[Any, ...], spec: Any, name: str | None = None, **attrs: Any) -> Dataset:
        """The dataset that an op makes. spec: of its elements."""
        structure = Structure.of(spec)
        known = definition.signature.attributes
        found = structure.attributes()
        types = {"output_types": found["output_types"], "Toutput_types": found["output_types"]}
        everything = {**attrs, "output_shapes": found["output_shapes"], **types}
        chosen = {key: value for key, value in everything.items() if key in known}
        made: Dataset = _kind_of(definition.name)(apply_op(definition, inputs, chosen, name), spec)
        return made

    def _then(self, definition: Any, *inputs: Any, spec: Any = None, name: str | None = None, **attrs: Any) -> Any:
        """What an op makes of this dataset; of elements like these if no other spec is given."""
        made = Dataset._of(
            definition, (self._variant_tensor, *inputs), self._spec if spec is None else spec, name, **attrs
        )
        made._given_options = self._given_options
        return made

    @property
    def element_spec(self) -> Any:
        return self._spec

    @property
    def _structure(self) -> Structure:
        return Structure.of(self._spec)

    @property
    def output_types(self) -> Any:
        return nest.map_structure(lambda spec: spec.dtype, self._spec)

    @property
    def output_shapes(self) -> Any:
        return nest.map_structure(lambda spec: spec.shape, self._spec)

    def __repr__(self) -> str:
        return f"<_{type(self).__name__.lstrip('_')} element_spec={self._spec!r}>"

    # ---- going through it -------------------------------------------------------------------------------------------

    @property
    def _value(self) -> Any:
        """What the dataset's tensor holds. RuntimeError in a graph."""
        if not isinstance(self._variant_tensor, EagerTensor):
            raise RuntimeError(
                "A dataset that is a node of a graph has no elements yet: use tf.compat.v1.data.make_one_shot_iterator "
                "or make_initializable_iterator, or make the dataset eagerly."
            )
        return self._variant_tensor._array

    def __iter__(self) -> OwnedIterator:
        if context.state().graph is not None:
            raise RuntimeError(
                "`tf.data.Dataset` only supports Python-style iteration in eager mode or within tf.function."
            )
        return OwnedIterator(resumable(self._value), self._structure, Dataset._element)

    def _graph_elements(self) -> DatasetElements:
        """What a loop of a converted tf.function goes through: from the beginning, whenever it runs."""
        return DatasetElements(begun(self._variant_tensor, self._structure), self._structure, Dataset._element)

    @staticmethod
    def _element(tensor: Any, spec: Any) -> Dataset:
        return Dataset(tensor, spec)

    def as_numpy_iterator(self) -> NumpyIterator:
        """Elements with NumPy arrays as leaves."""
        return NumpyIterator(iter(self))

    def __len__(self) -> int:
        """TypeError where the number of elements is infinite, or not known."""
        size = self._value.cardinality()
        if size == INFINITE:
            raise TypeError("The dataset is infinite.")
        if size == UNKNOWN_SIZE:
            raise TypeError("The dataset length is unknown.")
        return int(size)

    def __bool__(self) -> bool:
        return True

    def cardinality(self, name: str | None = None) -> Any:
        return apply_op(ops.CARDINALITY, (self._variant_tensor,), None, name)

    def get_single_element(self, name: str | None = None) -> Any:
        """The only element. InvalidArgumentError if there are none, or several."""
        attrs = self._structure.attributes()
        tensors = apply_op(ops.TO_SINGLE_ELEMENT, (self._variant_tensor,), attrs, name)
        return self._structure.packed(list(tensors), Dataset._element)

    def reduce(self, initial_state: Any, reduce_func: Callable[..., Any], name: str | None = None) -> Any:
        """The state after reduce_func(state, element) for all elements. TypeError if the state changes its structure."""
        start = normalized(initial_state)
        made = _folded(reduce_func, start, self._structure, "reduce_func", lambda result: result)
        state = Structure.of_values(start)
        tensors = apply_op(
            ops.REDUCE,
            (self._variant_tensor, tensors_of(start), made.captured),
            {"f": made.function, **state.attributes()},
            name,
        )
        return state.packed(list(tensors), Dataset._element)

    # ---- where elements come from -----------------------------------------------------------------------------------

    @staticmethod
    def from_tensors(tensors: Any, name: str | None = None) -> Dataset:
        """One element."""
        value = normalized(tensors)
        return Dataset._of(ops.TENSOR, (tensors_of(value),), Structure.of_values(value).spec, name)

    @staticmethod
    def from_tensor_slices(tensors: Any, name: str | None = None) -> Dataset:
        """The rows of tensors with equally many. ValueError if they have not."""
        value = normalized(tensors)
        shapes = [tensor.shape for tensor in tensors_of(value)]
        sizes = [None if shape.rank is None else shape.dimensions[0] if shape.rank else "scalar" for shape in shapes]
        if "scalar" in sizes:
            raise ValueError("Unbatching a tensor is only supported for rank >= 1")
        known = [size for size in sizes if size is not None]
        for size in known[1:]:
            if size != known[0]:
                raise ValueError(f"Dimensions {known[0]} and {size} are not compatible")
        spec = nest.map_structure(lambda tensor: TensorSpec(_row(tensor.shape), tensor.dtype), value)
        return Dataset._of(ops.TENSOR_SLICE, (tensors_of(value),), spec, name)

    @staticmethod
    def range(*args: Any, output_type: Any = dtypes.int64, name: str | None = None) -> Dataset:
        """Numbers, as Python's range has them."""
        if not 1 <= len(args) <= 3:
            raise ValueError(f"Invalid `args`. The length of `args` should be between 1 and 3 but was {len(args)}.")
        start, stop, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
        inputs = _int64(start, "start"), _int64(stop, "stop"), _int64(step, "step")
        return Dataset._of(ops.RANGE, inputs, TensorSpec((), dtypes.as_dtype(output_type)), name)

    @staticmethod
    def from_generator(
        generator: Callable[..., Any],
        output_types: Any = None,
        output_shapes: Any = None,
        args: Any = None,
        output_signature: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """What a Python generator gives; it is called anew for each run, with `args` as NumPy arrays.

        output_signature (or output_types and output_shapes): what the elements are.
        TypeError if they are something else, when that shows.
        """
        if not callable(generator):
            raise TypeError("`generator` must be a Python callable.")
        if output_signature is None and output_types is None:
            raise TypeError("Either `output_signature` or `output_types` must be specified.")
        spec = specs_of(output_types, output_shapes) if output_signature is None else output_signature
        return _generated(generator, spec, [] if args is None else [normalized(arg) for arg in args], name)

    @staticmethod
    def random(seed: int | None = None, rerandomize_each_iteration: Any = None, name: str | None = None) -> Dataset:
        return Dataset._of(ops.RANDOM, seeds(seed), TensorSpec((), dtypes.int64), name)

    @staticmethod
    def counter(start: int = 0, step: int = 1, dtype: Any = dtypes.int64, name: str | None = None) -> Dataset:
        last = np.iinfo(np.int64).max if step >= 0 else np.iinfo(np.int64).min
        return Dataset.range(start, int(last), step, output_type=dtype, name=name)

    @staticmethod
    def list_files(
        file_pattern: Any, shuffle: bool | None = None, seed: int | None = None, name: str | None = None
    ) -> Dataset:
        """The names of the files that patterns match. InvalidArgumentError if there are none."""
        patterns = convert_to_tensor(file_pattern, dtypes.string)
        found = Dataset._of(ops.MATCHING_FILES, (patterns,), TensorSpec((), dtypes.string), name)
        if isinstance(found._variant_tensor, EagerTensor) and next(found._value.elements(), None) is None:
            raise errors.InvalidArgumentError(None, None, f"No files matched pattern: {file_pattern}")
        if shuffle is False:
            return found
        count = sum(1 for _ in found._value.elements()) if isinstance(found._variant_tensor, EagerTensor) else 1 << 16
        return found.shuffle(max(1, count), seed=seed)

    @staticmethod
    def zip(*args: Any, datasets: Any = None, name: str | None = None) -> Dataset:
        """Elements of several datasets together: a nest of datasets gives elements that are such nests."""
        if not args and datasets is None:
            raise TypeError("Must pass at least one dataset to `zip`.")
        structure = datasets if datasets is not None else args[0] if len(args) == 1 else args
        flat = nest.flatten(structure)
        for each in flat:
            if not isinstance(each, Dataset):
                raise TypeError(f"Invalid `datasets`. `datasets` must be a (potentially nested) structure of "
                                f"`tf.data.Dataset` objects, got {each!r}.")  # fmt: skip
        spec = nest.pack_sequence_as(structure, [each.element_spec for each in flat])
        return Dataset._of(ops.ZIP, ([each._variant_tensor for each in flat],), spec, name)

    @staticmethod
    def sample_from_datasets(
        datasets: Sequence[Dataset],
        weights: Any = None,
        seed: int | None = None,
        stop_on_empty_dataset: bool = False,
        rerandomize_each_iteration: Any = None,
    ) -> Dataset:
        """Each element comes from a dataset that is chosen at random, with these probabilities."""
        count = len(datasets)
        shares = np.full(count, 1 / count) if weights is None else np.asarray(weights, np.float64)
        if len(shares) != count:
            raise ValueError("`weights` must have the same length as `datasets`.")
        edges = np.cumsum(shares / shares.sum()) * 2.0**32
        numbers = Dataset.random(seed).map(lambda word: _count_at_most(word, edges[:-1].astype(np.int64)))
        return Dataset.choose_from_datasets(datasets, numbers, stop_on_empty_dataset)

    @staticmethod
    def choose_from_datasets(
        datasets: Sequence[Dataset], choice_dataset: Dataset, stop_on_empty_dataset: bool = True
    ) -> Dataset:
        """Each element comes from the dataset whose number choice_dataset says. TypeError if it says no int64 scalars."""
        if choice_dataset.element_spec != TensorSpec((), dtypes.int64):
            raise TypeError("`choice_dataset` elements must be scalar int64 tensors")
        inputs = (choice_dataset._variant_tensor, [each._variant_tensor for each in datasets])
        return Dataset._of(
            ops.DIRECTED, inputs, _common([each.element_spec for each in datasets]),
            stop_on_empty_dataset=stop_on_empty_dataset,
        )  # fmt: skip

    # ---- fewer, more, others ----------------------------------------------------------------------------------------

    def repeat(self, count: Any = None, name: str | None = None) -> Dataset:
        """The elements `count` times; None or -1: for ever."""
        return self._then(ops.REPEAT, _int64(-1 if count is None else count, "count"), name=name)

    def take(self, count: Any, name: str | None = None) -> Dataset:
        return self._then(ops.TAKE, _int64(count, "count"), name=name)

    def skip(self, count: Any, name: str | None = None) -> Dataset:
        return self._then(ops.SKIP, _int64(count, "count"), name=name)

    def shard(self, num_shards: Any, index: Any, name: str | None = None) -> Dataset:
        """Every num_shards-th element, from number `index` on."""
        return self._then(ops.SHARD, _int64(num_shards, "num_shards"), _int64(index, "index"), name=name)

    def concatenate(self, dataset: Dataset, name: str | None = None) -> Dataset:
        """TypeError if the elements differ in structure or dtype."""
        mine, other = self._structure, dataset._structure
        if [spec.dtype for spec in mine.flat] != [spec.dtype for spec in other.flat]:
            raise TypeError(
                f"Incompatible dataset elements: {self.element_spec} is not compatible with {dataset.element_spec}"
            )
        spec = _common([self.element_spec, dataset.element_spec])
        return self._then(ops.CONCATENATE, dataset._variant_tensor, spec=spec, name=name)

    def unique(self, name: str | None = None) -> Dataset:
        return self._then(ops.UNIQUE, name=name)

    def ignore_errors(self, log_warning: bool = False, name: str | None = None) -> Dataset:
        """Without the elements that fail to be computed."""
        return self._then(ops.IGNORE_ERRORS, log_warning=log_warning, name=name)

    def enumerate(self, start: Any = 0, name: str | None = None) -> Dataset:
        """Pairs of a number (int64) and an element."""
        return Dataset.zip(Dataset.range(start, np.iinfo(np.int64).max), self, name=name)

    def apply(self, transformation_func: Callable[[Dataset], Any]) -> Any:
        return transformation_func(self)

    # ---- functions of elements --------------------------------------------------------------------------------------

    def _traced(self, function: Callable[..., Any], name: str) -> Traced:
        return traced(function, [self._structure], Dataset._element, name)

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: Any = None,
        deterministic: bool | None = None,
        synchronous: bool | None = None,
        use_unbounded_threadpool: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """map_func of each element. It is traced once; its calls run on threads where num_parallel_calls asks for that and
        a call takes long enough."""
        made = self._traced(map_func, "map_func")
        if num_parallel_calls is None:
            return self._then(ops.MAP, made.captured, f=made.function, spec=made.returns.spec, name=name)
        return self._then(
            ops.PARALLEL_MAP, made.captured, _int64(num_parallel_calls, "num_parallel_calls"), f=made.function,
            deterministic="default" if deterministic is None else str(bool(deterministic)).lower(),
            spec=made.returns.spec, name=name,
        )  # fmt: skip

    map_with_legacy_function = map

    def _to_datasets(self, function: Callable[..., Any], name: str) -> Traced:
        made = self._traced(function, name)
        if not isinstance(made.returns.spec, DatasetSpec):
            raise TypeError(f"`{name}` must return a `Dataset` object. Got {made.returns.spec!r}.")
        return made

    def flat_map(self, map_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements of the datasets that map_func makes, one after the other."""
        made = self._to_datasets(map_func, "map_func")
        spec = made.returns.spec.element_spec
        return self._then(ops.FLAT_MAP, made.captured, f=made.function, spec=spec, name=name)

    def interleave(
        self,
        map_func: Callable[..., Any],
        cycle_length: Any = None,
        block_length: Any = None,
        num_parallel_calls: Any = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """As flat_map, but block_length elements in turn of each of cycle_length datasets."""
        made = self._to_datasets(map_func, "map_func")
        cycle = 10 if cycle_length in (None, AUTOTUNE) else cycle_length
        inputs = _int64(cycle, "cycle_length"), _int64(1 if block_length is None else block_length, "block_length")
        spec = made.returns.spec.element_spec
        return self._then(ops.INTERLEAVE, made.captured, *inputs, f=made.function, spec=spec, name=name)

    def _predicate(self, function: Callable[..., Any]) -> Traced:
        made = self._traced(function, "predicate")
        spec = made.returns.spec
        if not isinstance(spec, TensorSpec) or not spec.dtype.is_bool or not spec.shape.is_compatible_with(()):
            raise ValueError(
                "Invalid `predicate`. `predicate` must return a `tf.bool` scalar tensor, but its return type is "
                f"{made.returns.spec!r}."
            )
        return made

    def filter(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        made = self._predicate(predicate)
        return self._then(ops.FILTER, made.captured, predicate=made.function, name=name)

    def filter_with_legacy_function(self, predicate: Callable[..., Any]) -> Dataset:
        return self.filter(predicate)

    def take_while(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        made = self._predicate(predicate)
        return self._then(ops.TAKE_WHILE, made.captured, predicate=made.function, name=name)

    def scan(self, initial_state: Any, scan_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """scan_func(state, element) -> (next state, result): the results."""
        start = normalized(initial_state)
        results: list[Any] = []

        def next_state(result: Any) -> Any:
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError("`scan_func` must return a pair of the new state and the output value.")
            results.append(result[1])
            return result[0]

        made = _folded(scan_func, start, self._structure, "scan_func", next_state, results)
        spec = Structure.of_values(results[0]).spec
        return self._then(ops.SCAN, tensors_of(start), made.captured, f=made.function, spec=spec, name=name)

    def group_by_window(
        self,
        key_func: Callable[..., Any],
        reduce_func: Callable[..., Any],
        window_size: int | None = None,
        window_size_func: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Elements with equal keys (int64) are put together; reduce_func(key, dataset of them) makes a dataset of each
        full group."""
        if (window_size is None) == (window_size_func is None):
            raise ValueError("Either the `window_size` argument or the `window_size_func` argument must be specified.")
        size_of = window_size_func or (lambda key: convert_to_tensor(window_size, dtypes.int64))
        number = Structure.of(TensorSpec((), dtypes.int64))
        group = Structure.of(DatasetSpec(self._spec))
        key = traced(
            key_func, [self._structure], Dataset._element, "key_func", lambda k: convert_to_tensor(k, dtypes.int64)
        )
        reduce = traced(reduce_func, [number, group], Dataset._element, "reduce_func")
        size = traced(size_of, [number], Dataset._element, "window_size_func",
                      lambda s: convert_to_tensor(s, dtypes.int64))  # fmt: skip
        if not isinstance(reduce.returns.spec, DatasetSpec):
            raise TypeError("`reduce_func` must return a `Dataset` object.")
        return self._then(
            ops.GROUP_BY_WINDOW, key.captured, reduce.captured, size.captured, key_func=key.function,
            reduce_func=reduce.function, window_size_func=size.function, spec=reduce.returns.spec.element_spec, name=name,
        )  # fmt: skip

    def bucket_by_sequence_length(
        self,
        element_length_func: Callable[..., Any],
        bucket_boundaries: Sequence[int],
        bucket_batch_sizes: Sequence[int],
        padded_shapes: Any = None,
        padding_values: Any = None,
        pad_to_bucket_boundary: bool = False,
        no_padding: bool = False,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Padded batches of elements of similar length."""
        if len(bucket_batch_sizes) != len(bucket_boundaries) + 1:
            raise ValueError("`len(bucket_batch_sizes)` must equal `len(bucket_boundaries) + 1`.")
        sizes = convert_to_tensor(np.array(bucket_batch_sizes, np.int64))
        edges = np.array(bucket_boundaries, np.int64)

        def bucket(*element: Any) -> Any:
            length = convert_to_tensor(element_length_func(*element))
            return _count_at_most(length, edges)

        def batch(number: Any, group: Dataset) -> Dataset:
            size = sizes[number]
            if no_padding:
                return group.batch(size, drop_remainder)
            shapes = self.output_shapes if padded_shapes is None else padded_shapes
            return group.padded_batch(size, shapes, padding_values, drop_remainder)

        if pad_to_bucket_boundary:
            raise errors.UnimplementedError(None, None, "pad_to_bucket_boundary=True is not there yet")
        return self.group_by_window(bucket, batch, window_size_func=lambda number: sizes[number], name=name)

    # ---- several elements in one, order, time -----------------------------------------------------------------------

    def batch(
        self,
        batch_size: Any,
        drop_remainder: Any = False,
        num_parallel_calls: Any = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """batch_size elements along a new axis 0."""
        size = batch_size if drop_remainder is True and isinstance(batch_size, int) else None

        def batched(spec: Any) -> Any:
            if isinstance(spec, DatasetSpec):
                raise TypeError("Batching datasets is not supported")
            dimensions = spec.shape.dimensions
            return TensorSpec(None if dimensions is None else (size, *dimensions), spec.dtype)

        inputs = _int64(batch_size, "batch_size"), convert_to_tensor(drop_remainder, dtypes.bool, name="drop_remainder")
        return self._then(ops.BATCH, *inputs, spec=nest.map_structure(batched, self._spec), name=name)

    def padded_batch(
        self,
        batch_size: Any,
        padded_shapes: Any = None,
        padding_values: Any = None,
        drop_remainder: Any = False,
        name: str | None = None,
    ) -> Dataset:
        """As batch, of elements that are made equally large first.

        padded_shapes: the shapes, None or -1 where the longest of the batch decides. padding_values: what is put behind,
        0 or empty strings if not given.
        """
        specs = self._structure.flat
        if padded_shapes is None:
            if any(spec.shape.rank is None for spec in specs):
                raise ValueError("You must provide `padded_shapes` argument because component 0 has unknown rank.")
            shapes = [spec.shape for spec in specs]
        else:
            shapes = [_padded_shape(shape) for shape in nest.flatten_up_to(self._spec, padded_shapes)]
        values = [None] * len(specs)
        if padding_values is not None:
            given = (
                nest.flatten_up_to(self._spec, padding_values) if nest.is_nested(padding_values) else [padding_values]
            )
            values = given * len(specs) if len(given) == 1 else given
        fillers = [
            convert_to_tensor(_filler(spec.dtype) if value is None else value, spec.dtype)
            for value, spec in zip(values, specs, strict=True)
        ]
        extents = [
            convert_to_tensor([-1 if extent is None else extent for extent in shape.dimensions or ()], dtypes.int64)
            for shape in shapes
        ]
        size = batch_size if drop_remainder is True and isinstance(batch_size, int) else None
        flat = [
            TensorSpec((size, *(shape.dimensions or ())), spec.dtype) for shape, spec in zip(shapes, specs, strict=True)
        ]
        inputs = _int64(batch_size, "batch_size"), extents, fillers, convert_to_tensor(drop_remainder, dtypes.bool)
        return self._then(ops.PADDED_BATCH, *inputs, spec=nest.pack_sequence_as(self._spec, flat), name=name)

    def window(
        self, size: Any, shift: Any = None, stride: Any = 1, drop_remainder: Any = False, name: str | None = None
    ) -> Dataset:
        """Datasets of `size` elements each."""
        inputs = [_int64(size, "size"), _int64(size if shift is None else shift, "shift"), _int64(stride, "stride")]
        spec = nest.map_structure(DatasetSpec, self._spec)
        return self._then(ops.WINDOW, *inputs, convert_to_tensor(drop_remainder, dtypes.bool), spec=spec, name=name)

    def unbatch(self, name: str | None = None) -> Dataset:
        """The rows of each element."""
        spec = nest.map_structure(lambda spec: TensorSpec(_row(spec.shape), spec.dtype), self._spec)
        return self._then(ops.UNBATCH, spec=spec, name=name)

    def rebatch(self, batch_size: Any, drop_remainder: Any = False, name: str | None = None) -> Dataset:
        return self.unbatch().batch(batch_size, drop_remainder, name=name)

    def shuffle(
        self,
        buffer_size: Any,
        seed: int | None = None,
        reshuffle_each_iteration: bool | None = True,
        name: str | None = None,
    ) -> Dataset:
        """The elements in another order: each is chosen among the next buffer_size. The same seed gives TensorFlow's."""
        renews = reshuffle_each_iteration is not False
        size = len(self) if buffer_size is None else buffer_size
        inputs = _int64(size, "buffer_size"), *seeds(seed)
        return self._then(ops.SHUFFLE, *inputs, reshuffle_each_iteration=renews, name=name)

    def cache(self, filename: Any = "", name: str | None = None) -> Dataset:
        """Computes the elements once: keeps them in memory, or in a file of that name."""
        return self._then(ops.CACHE, convert_to_tensor(filename, dtypes.string, name="filename"), name=name)

    def prefetch(self, buffer_size: Any, name: str | None = None) -> Dataset:
        """Makes up to buffer_size elements before they are asked for, where that saves time."""
        return self._then(
            ops.PREFETCH, _int64(AUTOTUNE if buffer_size is None else buffer_size, "buffer_size"), name=name
        )

    # ---- options ----------------------------------------------------------------------------------------------------

    def options(self) -> Any:
        return self._given_options or Options()

    def with_options(self, options: Options, name: str | None = None) -> Dataset:
        """The same elements. Options ask for ways of execution; rillet chooses its own."""
        made = self._then(ops.OPTIONS, name=name)
        made._given_options = options
        return made  # type: ignore[no-any-return]

    # ---- TensorFlow 1 -----------------------------------------------------------------------------------------------

    def make_one_shot_iterator(self) -> Any:
        """An iterator that needs no initializer. ValueError if the dataset depends on what is fed or on variables."""
        return make_one_shot_iterator(self)

    def make_initializable_iterator(self, shared_name: str | None = None) -> Any:
        """An iterator that begins when its initializer runs."""
        return make_initializable_iterator(self, shared_name)


@functools.cache
def _kind_of(name: str) -> type[Dataset]:
    """The class of datasets that an op makes, which tells them apart when they are printed."""
    return type(f"_{re.sub('V[0-9]$', '', name)}", (Dataset,), {"__module__": Dataset.__module__})


@public("data.Options")
class Options:
    """How a dataset is to be executed. What is set is kept; rillet chooses for itself."""

    def __init__(self) -> None:
        self.__dict__["_set"] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._set:
            self._set[name] = Options() if name in _GROUPS else None
        return self._set[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._set[name] = value

    def merge(self, options: Options) -> Options:
        merged = Options()
        merged._set.update({**self._set, **options._set})
        return merged


_GROUPS = ("autotune", "experimental_optimization", "experimental_threading", "threading", "distribute",
           "experimental_distribute")  # fmt: skip
export(Options, v2=["data.ThreadingOptions", "data.experimental.OptimizationOptions"])


# ---- iterators of TensorFlow 1 --------------------------------------------------------------------------------------


@public("data.make_one_shot_iterator", v1=["data.make_one_shot_iterator"])
def make_one_shot_iterator(dataset: Dataset) -> Any:
    """See Dataset.make_one_shot_iterator."""
    tensor = dataset._variant_tensor
    if not isinstance(tensor, SymbolicTensor):
        return iter(dataset)
    factory = Function.cut("dataset_factory", (), [tensor], (), tensor.graph)
    for operation in factory.operations:
        if operation.type in ("Placeholder", "VarHandleOp", "VariableV2"):
            raise ValueError(
                "Failed to create a one-shot iterator for a dataset. `Dataset.make_one_shot_iterator()` does not support "
                "datasets that capture stateful objects, such as a `Variable` or `LookupTable`, or what is fed: "
                f"{operation.name} ({operation.type}). Use `Dataset.make_initializable_iterator()`."
            )
    structure = dataset._structure
    handle = apply_op(nodes.ONE_SHOT, (), {"dataset_factory": factory, **structure.attributes()})
    return GraphIterator(handle, structure, Dataset._element)


@public("data.make_initializable_iterator", v1=["data.make_initializable_iterator"])
def make_initializable_iterator(dataset: Dataset, shared_name: str | None = None) -> Any:
    """See Dataset.make_initializable_iterator. RuntimeError eagerly."""
    if not isinstance(dataset._variant_tensor, SymbolicTensor):
        raise RuntimeError(
            "`make_initializable_iterator()` is not supported in eager mode. Use Python-style iteration instead."
        )
    return initializable(dataset, Dataset._element, shared_name)


# ---- small things ---------------------------------------------------------------------------------------------------


def _row(shape: TensorShape) -> TensorShape:
    return TensorShape(None) if shape.dimensions is None else TensorShape(shape.dimensions[1:])


def _common(specs: Sequence[Any]) -> Any:
    """What is true of elements of all these kinds."""

    def merged(first: Any, *others: Any) -> Any:
        shape = first.shape
        for other in others:
            shape = shape.most_specific_compatible_shape(other.shape)
        return first if isinstance(first, DatasetSpec) else TensorSpec(shape, first.dtype)

    return nest.map_structure(merged, *specs)


def _padded_shape(shape: Any) -> TensorShape:
    if isinstance(shape, TensorShape):
        return shape
    extents = (
        shape.numpy().tolist() if isinstance(shape, EagerTensor) else list(np.atleast_1d(np.asarray(shape, object)))
    )
    return as_shape([None if extent in (None, -1) else int(extent) for extent in extents])


def _filler(dtype: Any) -> Any:
    return "" if dtype is dtypes.string else np.zeros((), dtype.numpy_dtype)


def _count_at_most(value: Any, edges: np.ndarray[Any, Any]) -> Any:
    """How many of the edges are no more than the value."""
    total = convert_to_tensor(0, dtypes.int64)
    for edge in edges.tolist():
        total = total + apply_op(
            REGISTRY["Cast"], (value >= convert_to_tensor(edge, value.dtype),), {"DstT": dtypes.int64}
        )
    return total


def _folded(
    function: Callable[..., Any],
    start: Any,
    element: Structure,
    name: str,
    state_of: Callable[[Any], Any],
    results: list[Any] | None = None,
) -> Traced:
    """function(state, element) as a body that returns the next state, and after it what `results` holds by then."""
    state = Structure.of_values(start)

    def checked(result: Any) -> Any:
        following = normalized(state_of(result))
        nest.assert_same_structure(start, following)
        for spec, tensor in zip(state.flat, tensors_of(following), strict=True):
            if spec.dtype is not tensor.dtype:
                raise TypeError(
                    f"The element types for the new state must match the initial state. Expected {spec.dtype!r}; got "
                    f"{tensor.dtype!r}."
                )
        if results is None:
            return following
        results[:] = [normalized(results[-1])]
        return following, results[0]

    return traced(function, [state, element], Dataset._element, name, checked)


_TOKENS = itertools.count()


def _generated(generator: Callable[..., Any], spec: Any, args: Sequence[Any], name: str | None) -> Dataset:
    """Runs of the generator, each with a number that its function asks for the next element with."""
    structure = Structure.of(spec)
    runs: dict[int, Any] = {}

    def begin(*given: Any) -> Any:
        number = next(_TOKENS)
        runs[number] = iter(generator(*given))
        return np.int64(number)

    def following(number: Any) -> list[Any]:
        value = next(runs[int(number)])
        try:
            flat = nest.flatten_up_to(spec, value)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"`generator` yielded an element that did not match the expected structure. The expected structure was "
                f"{nest.map_structure(lambda part: part.dtype, spec)!r}, but the yielded element was {value}."
            ) from error
        return [_checked(part, leaf, value) for part, leaf in zip(flat, structure.flat, strict=True)]

    def finish(number: Any) -> Any:
        run = runs.pop(int(number), None)
        close = getattr(run, "close", None)
        if close is not None:
            close()
        return np.int64(0)

    number = Structure.of(TensorSpec((), dtypes.int64))
    first = traced(lambda: numpy_function(begin, list(args), dtypes.int64), [], Dataset._element, "begin", _as_number)
    types = [leaf.dtype for leaf in structure.flat]

    def shaped(results: Any) -> Any:
        tensors = list(results) if isinstance(results, (list, tuple)) else [results]
        for tensor, leaf in zip(tensors, structure.flat, strict=True):
            tensor.set_shape(leaf.shape)
        return nest.pack_sequence_as(spec, tensors)

    second = traced(lambda n: numpy_function(following, [n], types), [number], Dataset._element, "next", shaped)
    third = traced(
        lambda n: numpy_function(finish, [n], dtypes.int64), [number], Dataset._element, "finish", _as_number
    )
    inputs = (first.captured, second.captured, third.captured)
    functions = {"init_func": first.function, "next_func": second.function, "finalize_func": third.function}
    return Dataset._of(ops.GENERATOR, inputs, spec, name, **functions)


def _as_number(tensor: Any) -> Any:
    tensor.set_shape(())
    return tensor


def _checked(part: Any, leaf: Any, value: Any) -> Any:
    """A part of what a generator gave, as an array. TypeError if it does not fit."""
    kind = leaf.dtype
    try:
        array = convert_to_tensor(part, kind)._array  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`generator` yielded an element that could not be converted to the expected type. The expected type was "
            f"{kind.name}, but the yielded element was {value}."
        ) from error
    if not leaf.shape.is_compatible_with(np.shape(array)):
        raise TypeError(
            f"`generator` yielded an element of shape {np.shape(array)} where an element of shape {leaf.shape} was expected."
        )
    return np.asarray(array, kind.numpy_dtype)
