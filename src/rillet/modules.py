"""Imports every module that defines ops or public names, in the order of the layers. Importing it fills the tables."""

from rillet.core import execution as _execution
from rillet.config import ENGINE as _ENGINE
from rillet.engines import blockwise as _blockwise
from rillet.engines import reference as _reference
from rillet.ops import (
    activations,
    arrange,
    bias,
    bitwise,
    blocks,
    call,
    cast,
    clip,
    compare,
    constants,
    contraction,
    control,
    conv,
    convolution,
    counting,
    creation,
    cumulative,
    diagonal,
    dilation,
    dlpack,
    elementwise,
    embedding,
    fft,
    gather,
    image,
    indexing,
    join,
    linalg,
    list,
    loss,
    matmul,
    matrices,
    matrix_functions,
    normalization,
    operators,
    order,
    pad,
    partition,
    patches,
    pool,
    pooling,
    random,
    random_seed,
    reduce,
    repeat,
    scatter,
    segment,
    select,
    sequences,
    shape,
    slicing,
    special,
    state,
    statistics,
    strings,
    tridiagonal,
)
from rillet.autodiff import backprop, calls, control, gradients, tape  # noqa: F811
from rillet.frontend import collections, function, functional, public, raw_ops, session, tensor_array, variable

_ENGINES = {"blockwise": _blockwise.BlockwiseEngine, "reference": _reference.ReferenceEngine}
_execution.set_eager_engine(_ENGINES[_ENGINE.value]())
