"""Connectionist temporal classification: the loss of label sequences that are not aligned with time, and decoders.

The classes are the labels and, as the last class, the blank. A path names a class for each time step; the sequence that
it stands for is what remains when repetitions are merged and blanks are removed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import V2, public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.join import concat, stack
from rillet.ops.reduce import reduce_max, reduce_sum
from rillet.ops.scope import scope
from rillet.ops.sequences import sequence_mask
from rillet.ops.shape import expand_dims, shape_of
from rillet.ops.windows import require_dimensions

# ---- loss: the lattice ----------------------------------------------------------------------------------------------


def _log_softmax(inputs: Any) -> Any:
    shifted = inputs - inputs.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _label_rows(indices: Any, values: Any, batch: int, blank: int, collapse: bool) -> list[list[int]]:
    """The labels of each example, up to the first that is no label. ValueError for a negative one."""
    rows: list[list[int]] = [[] for _ in range(batch)]
    for (example, _), label in zip(indices.tolist(), values.tolist(), strict=True):
        if not 0 <= example < batch:
            raise ValueError(f"labels batch index must be between 0 and {batch} but saw: {example}")
        rows[example].append(label)
    result = []
    for example, row in enumerate(rows):
        if min(row, default=0) < 0:
            raise ValueError(
                f"All labels must be nonnegative integers, batch: {example} labels: {','.join(map(str, row))}"
            )
        kept = row[: next((place for place, label in enumerate(row) if label >= blank), len(row))]
        if collapse:
            kept = [label for place, label in enumerate(kept) if place == 0 or label != kept[place - 1]]
        result.append(kept)
    return result


class _Lattice:
    """The states of all examples: label sequences with blanks between, before and behind; and the moves between them.

    A state is kept (a blank; a label too, where repetitions are merged), or left for the next one, or for the one
    behind a blank (where that is another label, or repetitions are not merged).
    """

    def __init__(self, rows: list[list[int]], blank: int, merge: bool) -> None:
        lengths = np.array([2 * len(row) + 1 for row in rows])
        width = int(lengths.max(initial=1))
        self.classes = np.full((len(rows), width), blank)
        for example, row in enumerate(rows):
            self.classes[example, 1 : 2 * len(row) : 2] = row
        is_label = np.zeros((len(rows), width), bool)
        is_label[:, 1::2] = True
        before = np.pad(self.classes, ((0, 0), (2, 0)), constant_values=-1)[:, :width]
        places = np.arange(width)
        exists = places < lengths[:, None]
        self.may_stay = np.where(exists & ~(is_label & (not merge)), 0.0, -np.inf)
        self.may_step = np.where(exists & (places >= 1), 0.0, -np.inf)
        self.may_skip = np.where(
            exists & is_label & (places >= 2) & ((before != self.classes) | (not merge)), 0.0, -np.inf
        )
        self.ends = np.where(exists & (places >= lengths[:, None] - 2), 0.0, -np.inf)
        self.starts = np.where(exists & (places <= 1), 0.0, -np.inf)

    def forward(self, scores: Any) -> Any:
        """The log probability to be in each state after each step: scores [time, batch, states] added up."""
        result = np.empty_like(scores)
        result[0] = self.starts + scores[0]
        for step in range(1, len(scores)):
            last = result[step - 1]
            stayed = last + self.may_stay
            stepped = _shifted(last, 1) + self.may_step
            skipped = _shifted(last, 2) + self.may_skip
            result[step] = np.logaddexp(np.logaddexp(stayed, stepped), skipped) + scores[step]
        return result

    def backward(self, scores: Any, lengths: Any) -> Any:
        """The log probability of all that follows, from each state after each step, of examples with `lengths` steps."""
        result = np.empty_like(scores)
        following = np.full(scores.shape[1:], -np.inf)
        for step in range(len(scores) - 1, -1, -1):
            last_step = (lengths - 1 == step)[:, None]
            following = np.where(last_step, self.ends, following)
            result[step] = following
            reached = following + scores[step]
            stayed = reached + self.may_stay
            stepped = _shifted(reached + self.may_step, -1)
            skipped = _shifted(reached + self.may_skip, -2)
            following = np.logaddexp(np.logaddexp(stayed, stepped), skipped)
        return result


def _shifted(values: Any, places: int) -> Any:
    """Columns moved to the right (left, if negative); -inf comes in."""
    result = np.full_like(values, -np.inf)
    if places > 0:
        result[:, places:] = values[:, :-places]
    else:
        result[:, :places] = values[:, -places:]
    return result


# ---- loss: the op ---------------------------------------------------------------------------------------------------


def _loss_kernel(
    inputs: Any,
    labels_indices: Any,
    labels_values: Any,
    sequence_length: Any,
    *,
    preprocess_collapse_repeated: bool,
    ctc_merge_repeated: bool,
    ignore_longer_outputs_than_inputs: bool,
) -> tuple[Any, Any]:
    steps, batch, count = inputs.shape
    if len(sequence_length) != batch:
        raise ValueError(
            f"len(sequence_length) != batch_size.  len(sequence_length):  {len(sequence_length)} batch_size: {batch}"
        )
    if len(sequence_length) and sequence_length.max() > steps:
        raise ValueError(f"sequence_length({int(np.argmax(sequence_length))}) <= {steps}")
    rows = _label_rows(labels_indices, labels_values, batch, count - 1, preprocess_collapse_repeated)
    too_long = np.array([len(row) > length for row, length in zip(rows, sequence_length.tolist(), strict=True)], bool)
    if too_long.any() and not ignore_longer_outputs_than_inputs:
        example = int(np.argmax(too_long))
        raise ValueError(
            f"Not enough time for target transition sequence (required: {len(rows[example])}, available: "
            f"{sequence_length[example]}){example}You can turn this error into a warning by using the flag "
            "ignore_longer_outputs_than_inputs"
        )
    if not steps or not batch:
        return np.zeros(batch), np.zeros(inputs.shape)
    return _loss_and_gradient(inputs, rows, sequence_length, too_long, ctc_merge_repeated)


def _loss_and_gradient(inputs: Any, rows: Any, lengths: Any, left_out: Any, merge: bool) -> tuple[Any, Any]:
    steps, batch, count = inputs.shape
    logs = _log_softmax(inputs.astype(np.float64))
    lattice = _Lattice(rows, count - 1, merge)
    examples = np.arange(batch)
    scores = logs[:, examples[:, None], lattice.classes]
    ahead, behind = lattice.forward(scores), lattice.backward(scores, lengths)
    final = ahead[np.maximum(lengths - 1, 0), examples] + lattice.ends
    total = np.logaddexp.reduce(final, axis=1)
    is_possible = np.isfinite(total)
    share = np.exp(ahead + behind - np.where(is_possible, total, np.inf)[:, None])
    spent = np.zeros(inputs.shape)
    where: Any = (slice(None), examples[:, None], lattice.classes)
    np.add.at(spent, where, share)
    counts = (np.arange(steps)[:, None] < lengths) & ~left_out
    gradient = np.where(counts[..., None], np.exp(logs) - spent, 0)
    return np.where(left_out | (lengths == 0), 0, -total), gradient


def _inputs_shape(op: Operation, lengths_index: int) -> TensorShape:
    """[time, batch, classes], the batch also as the sequence lengths tell it."""
    inputs = require_dimensions(op, 0, 3, "inputs")
    lengths = require_dimensions(op, lengths_index, 1, "sequence_length")
    steps, batch, count = inputs.dimensions or (None,) * 3
    return TensorShape([steps, (lengths.dimensions or (None,))[0] if batch is None else batch, count])


def _loss_shape(op: Operation) -> list[TensorShape]:
    inputs = _inputs_shape(op, 3)
    return [inputs[1:2], inputs]


def _loss_gradient(op: Operation, dloss: Any, dgradient: Any) -> list[Any]:
    if dgradient is not None and not (hasattr(dgradient, "op") and dgradient.op.type == "ZerosLike"):
        raise LookupError("the gradient of the CTC loss has no gradient of its own")
    return [expand_dims(dloss, -1) * op.outputs[1], None, None, None]


_loss_gradient.takes_none_eagerly = True  # type: ignore[attr-defined]

CTC_LOSS = define(
    "CTCLoss",
    "inputs: T, labels_indices: int64, labels_values: int32, sequence_length: int32 -> loss: T, gradient: T",
    "preprocess_collapse_repeated: bool = False, ctc_merge_repeated: bool = True, "
    "ignore_longer_outputs_than_inputs: bool = False, T: {float32, float64} = float32",
    reference=_loss_kernel, shape=_loss_shape, gradient=_loss_gradient,
)  # fmt: skip


def _time_major(value: Any) -> Any:
    return apply_op(REGISTRY["Transpose"], (value, [1, 0, 2]), name="transpose")


def _sparse_loss(labels: Any, inputs: Any, lengths: Any, attrs: dict[str, bool] | None = None) -> Any:
    if not hasattr(labels, "dense_shape"):
        raise TypeError(
            f"Expected argument `labels` to be a SparseTensor. Received labels={labels} of type: {type(labels)}"
        )
    return apply_op(CTC_LOSS, (inputs, labels.indices, labels.values, lengths), attrs).loss


@public(v1=["nn.ctc_loss"])
def ctc_loss_v1(
    labels: Any,
    inputs: Any = None,
    sequence_length: Any = None,
    preprocess_collapse_repeated: bool = False,
    ctc_merge_repeated: bool = True,
    ignore_longer_outputs_than_inputs: bool = False,
    time_major: bool = True,
    logits: Any = None,
) -> Any:
    """The CTC loss of label sequences; the blank is the last class.

    labels: a SparseTensor of int32, [batch, time]. inputs (or logits): float, [time, batch, classes], or [batch, time,
    classes] unless `time_major`. sequence_length: int32, [batch], the number of time steps of each example.
    preprocess_collapse_repeated: repeated labels are merged before. ctc_merge_repeated: a path may repeat labels.
    ignore_longer_outputs_than_inputs: an example with more labels than steps has loss 0 (else it is an error).
    Returns the losses, [batch].
    """
    inputs = convert_to_tensor(renamed("inputs", inputs, "logits", logits))
    if not time_major:
        inputs = _time_major(inputs)
    attrs = {
        "preprocess_collapse_repeated": bool(preprocess_collapse_repeated),
        "ctc_merge_repeated": bool(ctc_merge_repeated),
        "ignore_longer_outputs_than_inputs": bool(ignore_longer_outputs_than_inputs),
    }
    return _sparse_loss(labels, inputs, sequence_length, attrs)


@public(v2=["nn.ctc_loss"], v1=["nn.ctc_loss_v2"])
def ctc_loss(
    labels: Any,
    logits: Any,
    label_length: Any,
    logit_length: Any,
    logits_time_major: bool = True,
    unique: Any = None,
    blank_index: int | None = None,
    name: str | None = None,
) -> Any:
    """The CTC loss of label sequences.

    labels: int32, [batch, labels] with `label_length` [batch] of them each, or a SparseTensor (label_length: None).
    logits: float, [time, batch, classes], or [batch, time, classes] unless `logits_time_major`.
    logit_length: int32, [batch], the number of time steps of each example.
    blank_index: the class of the blank, counted from the end if negative; 0 unless given, which SparseTensors demand.
    unique: not needed. Returns the losses, [batch].
    """
    is_sparse = hasattr(labels, "dense_shape")
    if is_sparse and blank_index is None:
        raise ValueError("Argument `blank_index` must be provided when `labels` is a `SparseTensor`.")
    with scope(name or "ctc_loss", logits, *([labels.values] if is_sparse else [labels])):
        logits = convert_to_tensor(logits, name="logits")
        if not logits_time_major:
            logits = _time_major(logits)
        count = logits.shape.dimensions[2] if logits.shape.rank == 3 else None
        if count is None:
            raise ValueError(f"the number of classes must be known: logits have shape {logits.shape}")
        blank = (blank_index or 0) % count
        if blank != count - 1:
            logits = concat([logits[:, :, :blank], logits[:, :, blank + 1 :], logits[:, :, blank : blank + 1]], 2)
        indices, values = (labels.indices, labels.values) if is_sparse else _listed(labels, label_length)
        values = cast(values, dtypes.int32)
        behind = apply_op(REGISTRY["Greater"], (values, blank))
        values = values - cast(behind, dtypes.int32)
        inputs = (logits, cast(indices, dtypes.int64), values, cast(convert_to_tensor(logit_length), dtypes.int32))
        return apply_op(CTC_LOSS, inputs).loss


def _listed(labels: Any, lengths: Any) -> tuple[Any, Any]:
    """The indices and values of the first `lengths` entries of each row."""
    labels = convert_to_tensor(labels, name="labels")
    is_label = sequence_mask(lengths, shape_of(labels)[1])
    indices = apply_op(REGISTRY["Where"], (is_label,))
    return indices, apply_op(REGISTRY["GatherNd"], (labels, indices))


@public("nn.collapse_repeated")
def collapse_repeated(labels: Any, seq_length: Any, name: str | None = None) -> Any:
    """Merges repeated labels: (labels, lengths), shorter ones filled up with 0.

    labels: [batch, labels]; seq_length: how many of them count.
    """
    with scope(name or "collapse_repeated_labels", labels, seq_length):
        labels = convert_to_tensor(labels, name="labels")
        seq_length = convert_to_tensor(seq_length, name="seq_length")
        is_new = apply_op(REGISTRY["NotEqual"], (labels[:, 1:], labels[:, :-1]))
        first = apply_op(REGISTRY["OnesLike"], (cast(labels[:, :1], dtypes.bool),))
        counts = sequence_mask(seq_length, shape_of(labels)[1])
        is_kept = apply_op(REGISTRY["LogicalAnd"], (concat([first, is_new], 1), counts))
        lengths = reduce_sum(cast(is_kept, dtypes.int32), 1)
        width = reduce_max(lengths)
        places = apply_op(REGISTRY["Where"], (sequence_mask(lengths, width),))
        values = apply_op(REGISTRY["GatherNd"], (labels, apply_op(REGISTRY["Where"], (is_kept,))))
        shape = cast(stack([shape_of(labels)[0], width]), dtypes.int64)
        return apply_op(REGISTRY["ScatterNd"], (places, values, shape)), cast(lengths, seq_length.dtype)


# ---- decoders -------------------------------------------------------------------------------------------------------


def _as_sparse(rows: list[list[int]]) -> tuple[Any, Any, Any]:
    """Sequences as the indices, values and shape of a sparse matrix."""
    indices = [(example, place) for example, row in enumerate(rows) for place in range(len(row))]
    values = [label for row in rows for label in row]
    shape = [len(rows), max((len(row) for row in rows), default=0)]
    return np.array(indices, np.int64).reshape(-1, 2), np.array(values, np.int64), np.array(shape, np.int64)


def _without_repetitions(row: list[int]) -> list[int]:
    return [label for place, label in enumerate(row) if place == 0 or label != row[place - 1]]


def _check_lengths(inputs: Any, sequence_length: Any) -> None:
    if len(sequence_length) != inputs.shape[1]:
        raise ValueError(
            f"len(sequence_length) != batch_size. len(sequence_length): {len(sequence_length)} batch_size: {inputs.shape[1]}"
        )
    if len(sequence_length) and sequence_length.max() > len(inputs):
        raise ValueError(f"sequence_length({int(np.argmax(sequence_length))}) <= {len(inputs)}")


def _greedy_kernel(inputs: Any, sequence_length: Any, *, merge_repeated: bool, blank_index: int) -> tuple[Any, ...]:
    _check_lengths(inputs, sequence_length)
    blank = blank_index % inputs.shape[2]
    best, highest = inputs.argmax(axis=2), inputs.max(axis=2)
    rows, scores = [], []
    for example, length in enumerate(sequence_length.tolist()):
        path = best[:length, example].tolist()
        row = _without_repetitions(path) if merge_repeated else path
        rows.append([label for label in row if label != blank])
        scores.append(-highest[:length, example].sum())
    return *_as_sparse(rows), np.array(scores, inputs.dtype).reshape(-1, 1)


def _beam_kernel(
    inputs: Any, sequence_length: Any, *, beam_width: int, top_paths: int, merge_repeated: bool
) -> tuple[Any, ...]:
    _check_lengths(inputs, sequence_length)
    if top_paths > beam_width:
        raise ValueError("requested more paths than the beam width.")
    logs = _log_softmax(inputs.astype(np.float64))
    found = [
        _beam_search(logs[:length, example], beam_width) for example, length in enumerate(sequence_length.tolist())
    ]
    decoded = []
    for path in range(top_paths):
        rows = [list(beams[path][0]) if path < len(beams) else [] for beams in found]
        decoded.append(_as_sparse([_without_repetitions(row) for row in rows] if merge_repeated else rows))
    scores = [[beams[path][1] if path < len(beams) else -np.inf for path in range(top_paths)] for beams in found]
    indices, values, shapes = zip(*decoded, strict=True)
    return *indices, *values, *shapes, np.array(scores, inputs.dtype).reshape(len(found), top_paths)


def _beam_search(logs: Any, width: int) -> list[tuple[tuple[int, ...], float]]:
    """The most probable label sequences of log probabilities [time, classes], and their log probabilities.

    For each sequence two numbers are kept: of the paths that end in a blank, and of those that end in its last label.
    """
    blank = logs.shape[1] - 1
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for scores in logs.tolist():
        ends: dict[tuple[int, ...], list[float]] = {}
        for sequence, (blank_end, label_end) in beams.items():
            total = np.logaddexp(blank_end, label_end)
            _add(ends, sequence, total + scores[blank], 0)
            if sequence:
                _add(ends, sequence, label_end + scores[sequence[-1]], 1)
            for label in range(blank):
                before = blank_end if sequence and label == sequence[-1] else total
                _add(ends, (*sequence, label), before + scores[label], 1)
        ranked = sorted(ends.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))
        beams = {sequence: (both[0], both[1]) for sequence, both in ranked[:width]}
    result = [(sequence, float(np.logaddexp(*both))) for sequence, both in beams.items()]
    return sorted(result, key=lambda item: -item[1])


def _add(ends: dict[tuple[int, ...], list[float]], sequence: tuple[int, ...], score: float, which: int) -> None:
    both = ends.setdefault(sequence, [-np.inf, -np.inf])
    both[which] = float(np.logaddexp(both[which], score))


def _greedy_shape(op: Operation) -> list[TensorShape]:
    batch = _inputs_shape(op, 1)[1:2]
    return [TensorShape([None, 2]), TensorShape([None]), TensorShape([2]), batch.concatenate([1])]


def _beam_shape(op: Operation) -> list[TensorShape]:
    paths = op.attrs["top_paths"]
    parts = [TensorShape([None, 2])] * paths + [TensorShape([None])] * paths + [TensorShape([2])] * paths
    return [*parts, _inputs_shape(op, 1)[1:2].concatenate([paths])]


GREEDY = define(
    "CTCGreedyDecoder",
    "inputs: T, sequence_length: int32 -> decoded_indices: int64, decoded_values: int64, decoded_shape: int64, "
    "log_probability: T",
    "merge_repeated: bool = False, blank_index: int = -1, T: {float32, float64} = float32",
    reference=_greedy_kernel, shape=_greedy_shape, gradient=NO_GRADIENT,
)  # fmt: skip
BEAM_SEARCH = define(
    "CTCBeamSearchDecoder",
    "inputs: T, sequence_length: int32 -> decoded_indices: top_paths*int64, decoded_values: top_paths*int64, "
    "decoded_shape: top_paths*int64, log_probability: T",
    "beam_width: int, top_paths: int, merge_repeated: bool = True, T: {float32, float64} = float32",
    reference=_beam_kernel, shape=_beam_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("nn.ctc_greedy_decoder")
def ctc_greedy_decoder(
    inputs: Any, sequence_length: Any, merge_repeated: bool = True, blank_index: int | None = None
) -> Any:
    """The sequence of the best path: ([SparseTensor], the negative sum of the greatest logits [batch, 1]).

    inputs: float logits, [time, batch, classes]; sequence_length: int32, [batch].
    blank_index: the class of the blank, the last one by default.
    """
    attrs = {"merge_repeated": bool(merge_repeated), "blank_index": -1 if blank_index is None else int(blank_index)}
    result = apply_op(GREEDY, (inputs, sequence_length), attrs)
    return [V2["sparse.SparseTensor"](result[0], result[1], result[2])], result[3]


@public(v1=["nn.ctc_beam_search_decoder"])
def ctc_beam_search_decoder_v1(
    inputs: Any, sequence_length: Any, beam_width: int = 100, top_paths: int = 1, merge_repeated: bool = True
) -> Any:
    """As tf.nn.ctc_beam_search_decoder; `merge_repeated` merges repeated labels of the sequences that are found."""
    attrs = {"beam_width": int(beam_width), "top_paths": int(top_paths), "merge_repeated": bool(merge_repeated)}
    *parts, scores = apply_op(BEAM_SEARCH, (inputs, sequence_length), attrs)
    triples = zip(parts[:top_paths], parts[top_paths : 2 * top_paths], parts[2 * top_paths :], strict=True)
    return [V2["sparse.SparseTensor"](*triple) for triple in triples], scores


@public(v2=["nn.ctc_beam_search_decoder"], v1=["nn.ctc_beam_search_decoder_v2"])
def ctc_beam_search_decoder(inputs: Any, sequence_length: Any, beam_width: int = 100, top_paths: int = 1) -> Any:
    """The most probable sequences that a beam search finds: (a SparseTensor for each path, log probabilities).

    inputs: float logits, [time, batch, classes], the blank last; sequence_length: int32, [batch].
    Returns a list of `top_paths` SparseTensors [batch, labels], and [batch, top_paths].
    """
    return ctc_beam_search_decoder_v1(inputs, sequence_length, beam_width, top_paths, False)
