"""Imports every module that defines ops or public names, in the order of the layers. Importing it fills the tables."""

from rillet.core import execution as _execution
from rillet.engines.reference import ReferenceEngine as _ReferenceEngine
from rillet.ops import call, cast, constants, creation, elementwise, matmul, operators, reduce, shape, state
from rillet.autodiff import backprop, calls, gradients, tape
from rillet.frontend import collections, function, public, session, variable

_execution.set_eager_engine(_ReferenceEngine())
