"""Datasets as ops: each gives a tensor of dtype variant that stands for a dataset (see dataset_values).

So a dataset is a value like others: it can be made eagerly or be a node of a graph, fed by placeholders. What a
dataset's function is, is an attribute; what the function has captured are inputs (`other_arguments`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core.function import Function
from rillet.core.opdef import NO_GRADIENT, OpDef, define
from rillet.ops import dataset_values as values
from rillet.ops.dataset_readers import CommaSeparated, FixedLengthRecords, MatchingFiles, Records, TextLines
from rillet.ops.dataset_threads import ParallelMapped, Prefetched
from rillet.ops.dataset_values import Applied, DatasetValue
from rillet.ops.families import scalar_shape

_ELEMENTS = "output_types: list(type), output_shapes: list(shape), metadata: string = ''"
_CALLED = f"f: func, Targuments: list(type), {_ELEMENTS}"


def _dataset(type_: str, inputs: str, attributes: str, reference: Any) -> OpDef:
    return define(
        type_, f"{inputs} -> handle: variant", attributes,
        reference=reference, shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


def _whole(value: Any) -> int:
    return int(np.asarray(value))


def _text(value: Any) -> str:
    value = value.item() if isinstance(value, np.ndarray) else value
    return value.decode() if isinstance(value, bytes) else str(value)


# ---- where elements come from ---------------------------------------------------------------------------------------

TENSOR = _dataset(
    "TensorDataset", "components: Toutput_types...",
    "Toutput_types: list(type), output_shapes: list(shape), metadata: string = ''",
    lambda *components: values.Single(components),
)  # fmt: skip
TENSOR_SLICE = _dataset(
    "TensorSliceDataset", "components: Toutput_types...",
    "Toutput_types: list(type), output_shapes: list(shape), is_files: bool = False, metadata: string = '', "
    "replicate_on_split: bool = False",
    lambda *components: values.Slices(components),
)  # fmt: skip
RANGE = _dataset(
    "RangeDataset", "start: int64, stop: int64, step: int64", f"{_ELEMENTS}, replicate_on_split: bool = False",
    lambda start, stop, step, *, output_types: values.Range(
        _whole(start), _whole(stop), _whole(step), output_types[0].as_numpy_dtype
    ),
)  # fmt: skip


def _generated(
    *captured: Any,
    init_func: Function,
    next_func: Function,
    finalize_func: Function,
    counts: Sequence[int],
    context: Any,
) -> DatasetValue:
    first, second = counts[0], counts[0] + counts[1]
    parts = captured[:first], captured[first:second], captured[second:]
    functions = init_func, next_func, finalize_func
    return values.Generated(
        *[Applied(context, function, part) for function, part in zip(functions, parts, strict=True)]
    )


GENERATOR = _dataset(
    "GeneratorDataset",
    "init_func_other_args: Tinit_func_args..., next_func_other_args: Tnext_func_args..., "
    "finalize_func_other_args: Tfinalize_func_args...",
    "Tinit_func_args: list(type), Tnext_func_args: list(type), Tfinalize_func_args: list(type), init_func: func, "
    f"next_func: func, finalize_func: func, {_ELEMENTS}",
    lambda *captured, init_func, next_func, finalize_func, Tinit_func_args, Tnext_func_args, context: _generated(
        *captured, init_func=init_func, next_func=next_func, finalize_func=finalize_func,
        counts=(len(Tinit_func_args), len(Tnext_func_args)), context=context,
    ),
)  # fmt: skip
RANDOM = _dataset(
    "RandomDataset", "seed: int64, seed2: int64", _ELEMENTS,
    lambda seed, seed2: values.RandomNumbers((_whole(seed), _whole(seed2))),
)  # fmt: skip
TEXT_LINE = _dataset(
    "TextLineDataset", "filenames: string, compression_type: string, buffer_size: int64", "metadata: string = ''",
    lambda filenames, compression_type, buffer_size: TextLines(filenames, _text(compression_type)),
)  # fmt: skip
RECORD = _dataset(
    "TFRecordDataset", "filenames: string, compression_type: string, buffer_size: int64", "metadata: string = ''",
    lambda filenames, compression_type, buffer_size: Records(filenames, _text(compression_type)),
)  # fmt: skip
FIXED_LENGTH_RECORD = _dataset(
    "FixedLengthRecordDatasetV2",
    "filenames: string, header_bytes: int64, record_bytes: int64, footer_bytes: int64, buffer_size: int64, "
    "compression_type: string",
    "metadata: string = ''",
    lambda filenames, header, record, footer, buffer_size, compression_type: FixedLengthRecords(
        filenames, _whole(header), _whole(record), _whole(footer), _text(compression_type)
    ),
)  # fmt: skip
COMMA_SEPARATED = _dataset(
    "CSVDataset",
    "filenames: string, compression_type: string, buffer_size: int64, header: bool, field_delim: string, "
    "use_quote_delim: bool, na_value: string, select_cols: int64, record_defaults: output_types...",
    "output_types: list(type), output_shapes: list(shape)",
    lambda filenames, compression, _, header, delimiter, quotes, missing, chosen, *defaults, output_types: CommaSeparated(
        filenames, _text(compression), bool(header), _text(delimiter), bool(quotes), _text(missing),
        [int(place) for place in chosen], defaults, [dtype.numpy_dtype for dtype in output_types],
    ),
)  # fmt: skip
MATCHING_FILES = _dataset("MatchingFilesDataset", "patterns: string", "", lambda patterns: MatchingFiles(patterns))

# ---- fewer, more, others --------------------------------------------------------------------------------------------

ZIP = _dataset(
    "ZipDataset", "input_datasets: N * variant", f"{_ELEMENTS}, N: int", lambda *inputs: values.Zipped(inputs)
)
CONCATENATE = _dataset(
    "ConcatenateDataset", "input_dataset: variant, another_dataset: variant", _ELEMENTS, values.Concatenated
)


def _counted(type_: str, name: str, make: Any) -> OpDef:
    return _dataset(
        type_, f"input_dataset: variant, {name}: int64", _ELEMENTS, lambda source, number: make(source, _whole(number))
    )


REPEAT = _counted("RepeatDataset", "count", values.Repeated)
TAKE = _counted("TakeDataset", "count", values.Taken)
SKIP = _counted("SkipDataset", "count", values.Skipped)
ASSERT_CARDINALITY = _counted("AssertCardinalityDataset", "cardinality", values.Checked)
SHARD = _dataset(
    "ShardDataset", "input_dataset: variant, num_shards: int64, index: int64",
    f"require_non_empty: bool = False, {_ELEMENTS}",
    lambda source, count, index: values.Sharded(source, _whole(count), _whole(index)),
)  # fmt: skip
UNIQUE = _dataset("UniqueDataset", "input_dataset: variant", _ELEMENTS, values.Distinct)
IGNORE_ERRORS = _dataset(
    "IgnoreErrorsDataset", "input_dataset: variant", f"{_ELEMENTS}, log_warning: bool = False",
    lambda source, *, log_warning: values.WithoutErrors(source, log_warning),
)  # fmt: skip
OPTIONS = _dataset(
    "OptionsDataset", "input_dataset: variant", f"serialized_options: string = '', {_ELEMENTS}", lambda x: x
)

# ---- functions of elements ------------------------------------------------------------------------------------------

_TO_EACH = "input_dataset: variant, other_arguments: Targuments..."
MAP = _dataset(
    "MapDataset", _TO_EACH,
    f"{_CALLED}, use_inter_op_parallelism: bool = True, preserve_cardinality: bool = False",
    lambda source, *captured, f, context: values.Mapped(source, Applied(context, f, captured)),
)  # fmt: skip
PARALLEL_MAP = _dataset(
    "ParallelMapDatasetV2", f"{_TO_EACH}, num_parallel_calls: int64",
    f"{_CALLED}, use_inter_op_parallelism: bool = True, deterministic: string = 'default', "
    "preserve_cardinality: bool = False",
    lambda source, *captured, f, context: ParallelMapped(
        source, Applied(context, f, captured[:-1]), _whole(captured[-1])
    ),
)  # fmt: skip
FLAT_MAP = _dataset(
    "FlatMapDataset", _TO_EACH, _CALLED,
    lambda source, *captured, f, context: values.FlatMapped(source, Applied(context, f, captured)),
)  # fmt: skip
INTERLEAVE = _dataset(
    "InterleaveDataset", f"{_TO_EACH}, cycle_length: int64, block_length: int64", _CALLED,
    lambda source, *captured, f, context: values.Interleaved(
        source, Applied(context, f, captured[:-2]), _whole(captured[-2]), _whole(captured[-1])
    ),
)  # fmt: skip
_PREDICATE = f"predicate: func, Targuments: list(type), {_ELEMENTS}"
FILTER = _dataset(
    "FilterDataset", _TO_EACH, _PREDICATE,
    lambda source, *captured, predicate, context: values.Filtered(source, Applied(context, predicate, captured)),
)  # fmt: skip
TAKE_WHILE = _dataset(
    "TakeWhileDataset", _TO_EACH, _PREDICATE,
    lambda source, *captured, predicate, context: values.TakenWhile(source, Applied(context, predicate, captured)),
)  # fmt: skip
_FOLDING = "input_dataset: variant, initial_state: Tstate..., other_arguments: Targuments..."
SCAN = _dataset(
    "ScanDataset", _FOLDING, f"f: func, Tstate: list(type), Targuments: list(type), {_ELEMENTS}",
    lambda source, *rest, f, Tstate, context: values.Scanned(
        source, Applied(context, f, rest[len(Tstate) :]), tuple(rest[: len(Tstate)])
    ),
)  # fmt: skip
REDUCE = define(
    "ReduceDataset", f"{_FOLDING} -> components: output_types...",
    f"f: func, Tstate: list(type), Targuments: list(type), {_ELEMENTS}, use_inter_op_parallelism: bool = True",
    reference=lambda source, *rest, f, Tstate, context: values.reduced(
        source, Applied(context, f, rest[len(Tstate) :]), tuple(rest[: len(Tstate)])
    ),
    shape=lambda op: list(op.attrs["output_shapes"]), gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
GROUP_BY_WINDOW = _dataset(
    "GroupByWindowDataset",
    "input_dataset: variant, key_func_other_arguments: Tkey_func_other_arguments..., "
    "reduce_func_other_arguments: Treduce_func_other_arguments..., "
    "window_size_func_other_arguments: Twindow_size_func_other_arguments...",
    "key_func: func, reduce_func: func, window_size_func: func, Tkey_func_other_arguments: list(type), "
    f"Treduce_func_other_arguments: list(type), Twindow_size_func_other_arguments: list(type), {_ELEMENTS}",
    lambda source, *rest, key_func, reduce_func, window_size_func, Tkey_func_other_arguments,
    Treduce_func_other_arguments, context: values.Grouped(
        source,
        Applied(context, key_func, rest[: len(Tkey_func_other_arguments)]),
        Applied(context, reduce_func, rest[len(Tkey_func_other_arguments) :][: len(Treduce_func_other_arguments)]),
        Applied(context, window_size_func, rest[len(Tkey_func_other_arguments) + len(Treduce_func_other_arguments) :]),
    ),
)  # fmt: skip
DIRECTED = _dataset(
    "DirectedInterleaveDataset", "selector_input_dataset: variant, data_input_datasets: N * variant",
    f"{_ELEMENTS}, N: int, stop_on_empty_dataset: bool = False",
    lambda selector, *inputs, stop_on_empty_dataset: values.Directed(selector, inputs, stop_on_empty_dataset),
)  # fmt: skip

# ---- several elements in one, order, time ---------------------------------------------------------------------------

BATCH = _dataset(
    "BatchDatasetV2", "input_dataset: variant, batch_size: int64, drop_remainder: bool",
    f"parallel_copy: bool = False, {_ELEMENTS}",
    lambda source, size, drops: values.Batched(source, _whole(size), bool(drops)),
)  # fmt: skip
PADDED_BATCH = _dataset(
    "PaddedBatchDatasetV2",
    "input_dataset: variant, batch_size: int64, padded_shapes: N * int64, padding_values: Toutput_types..., "
    "drop_remainder: bool",
    "parallel_copy: bool = False, Toutput_types: list(type), output_shapes: list(shape), N: int, metadata: string = ''",
    lambda source, size, *rest, N: values.PaddedBatched(
        source, _whole(size), bool(rest[-1]), rest[:N], rest[N:-1]
    ),
)  # fmt: skip
WINDOW = _dataset(
    "WindowDataset", "input_dataset: variant, size: int64, shift: int64, stride: int64, drop_remainder: bool", _ELEMENTS,
    lambda source, size, shift, stride, drops: values.Windows(
        source, _whole(size), _whole(shift), _whole(stride), bool(drops)
    ),
)  # fmt: skip
UNBATCH = _dataset("UnbatchDataset", "input_dataset: variant", _ELEMENTS, values.Unbatched)
SHUFFLE = _dataset(
    "ShuffleDataset", "input_dataset: variant, buffer_size: int64, seed: int64, seed2: int64",
    f"reshuffle_each_iteration: bool = True, {_ELEMENTS}",
    lambda source, size, seed, seed2, *, reshuffle_each_iteration: values.Shuffled(
        source, _whole(size), (_whole(seed), _whole(seed2)), reshuffle_each_iteration
    ),
)  # fmt: skip
SHUFFLE_AND_REPEAT = _dataset(
    "ShuffleAndRepeatDataset", "input_dataset: variant, buffer_size: int64, seed: int64, seed2: int64, count: int64",
    f"{_ELEMENTS}, reshuffle_each_iteration: bool = True",
    lambda source, size, seed, seed2, count, *, reshuffle_each_iteration: values.Shuffled(
        source, _whole(size), (_whole(seed), _whole(seed2)), reshuffle_each_iteration, _whole(count)
    ),
)  # fmt: skip
CACHE = _dataset(
    "CacheDataset", "input_dataset: variant, filename: string", _ELEMENTS,
    lambda source, filename: values.Cached(source, _text(filename)),
)  # fmt: skip
PREFETCH = _dataset(
    "PrefetchDataset", "input_dataset: variant, buffer_size: int64",
    f"{_ELEMENTS}, slack_period: int = 0, legacy_autotune: bool = True, buffer_size_min: int = 0",
    lambda source, size: Prefetched(source, _whole(size)),
)  # fmt: skip

CARDINALITY = define(
    "DatasetCardinality", "input_dataset: variant -> cardinality: int64", "",
    reference=lambda source: np.int64(source.cardinality()),
    shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _only_element(source: DatasetValue) -> tuple[Any, ...]:
    run = source.elements()
    element = next(run, None)
    if element is None:
        raise ValueError("Dataset was empty.")
    if next(run, None) is not None:
        raise ValueError("Dataset had more than one element.")
    return element


TO_SINGLE_ELEMENT = define(
    "DatasetToSingleElement", "dataset: variant -> components: output_types...", _ELEMENTS,
    reference=_only_element, shape=lambda op: list(op.attrs["output_shapes"]), gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
