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
    call,
    cast,
    clip,
    compare,
    constants,
    contraction,
    control,
    conv,
    convolution,
    creation,
    cumulative,
    diagonal,
    dilation,
    elementwise,
    gather,
    indexing,
    join,
    list,
    loss,
    matmul,
    normalization,
    operators,
    pad,
    patches,
    pool,
    pooling,
    reduce,
    scatter,
    segment,
    select,
    sequences,
    shape,
    slicing,
    state,
    statistics,
    strings,
)
from rillet.autodiff import backprop, calls, control, gradients, tape
from rillet.frontend import collections, function, public, raw_ops, session, variable

_ENGINES = {"blockwise": _blockwise.BlockwiseEngine, "reference": _reference.ReferenceEngine}
_execution.set_eager_engine(_ENGINES[_ENGINE.value]())
