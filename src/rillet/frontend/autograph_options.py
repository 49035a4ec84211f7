"""tf.autograph: what programs say and ask about the conversion of Python code."""

from __future__ import annotations

import ast
import enum
import functools
from collections.abc import Callable
from typing import Any

from rillet.core.export import public
from rillet.frontend.autograph.conversion import (
    converted,
    converted_tree,
    converting,
    home_of,
    leave_alone,
    takes_functions_as_they_are,
    why_not_converted,
)


@public("autograph.experimental.Feature")
class Feature(enum.Enum):
    """Parts of the conversion, for functions that take `experimental_autograph_options`."""

    ALL = "ALL"
    AUTO_CONTROL_DEPS = "AUTO_CONTROL_DEPS"
    ASSERT_STATEMENTS = "ASSERT_STATEMENTS"
    BUILTIN_FUNCTIONS = "BUILTIN_FUNCTIONS"
    EQUALITY_OPERATORS = "EQUALITY_OPERATORS"
    LISTS = "LISTS"
    NAME_SCOPES = "NAME_SCOPES"

    @classmethod
    def all(cls) -> tuple[Feature, ...]:
        return tuple(cls)

    @classmethod
    def all_but(cls, exclude: Any) -> tuple[Feature, ...]:
        left_out = exclude if isinstance(exclude, (list, tuple, set)) else [exclude]
        return tuple(feature for feature in cls if feature not in left_out)


def feature_names(options: Any) -> frozenset[str]:
    """The features that `experimental_autograph_options` asks for: one, several, or None."""
    if options is None:
        return frozenset()
    given = options if isinstance(options, (list, tuple, set, frozenset)) else [options]
    names = frozenset(Feature(feature).name for feature in given)
    return frozenset(feature.name for feature in Feature) if Feature.ALL.name in names else names


@public("autograph.experimental.do_not_convert")
@takes_functions_as_they_are
def do_not_convert(func: Callable[..., Any] | None = None) -> Any:
    """Decorator: `func` runs as it was written, and so does what it calls."""
    return do_not_convert if func is None else leave_alone(func)


@public("autograph.experimental.set_loop_options")
def set_loop_options(
    parallel_iterations: Any = None,
    swap_memory: Any = None,
    maximum_iterations: Any = None,
    shape_invariants: Any = None,
) -> None:
    """Inside a loop of a converted function: options of tf.while_loop for it. Elsewhere it does nothing.

    shape_invariants: pairs of a loop variable and its TensorShape, for variables whose shape changes.
    """


@public("autograph.to_graph")
@takes_functions_as_they_are
def to_graph(entity: Any, recursive: bool = True, experimental_optional_features: Any = None) -> Any:
    """The converted form of a function: control flow over symbolic tensors in it becomes control flow of their graph.

    Raises ValueError where there is no source, TypeError for what is no function.
    """
    reason = why_not_converted(entity)
    if reason is not None:
        raise ValueError(f"{entity} can't be converted: {reason}")
    if not callable(entity):
        raise TypeError(f"to_graph takes a function, not {entity!r}")
    form = converted(entity)
    features = feature_names(experimental_optional_features)

    @functools.wraps(entity)
    def graph_function(*args: Any, **kwargs: Any) -> Any:
        with converting(recursive, home_of(entity), features):
            return form(*args, **kwargs)

    return graph_function


@public("autograph.to_code")
@takes_functions_as_they_are
def to_code(entity: Any, recursive: bool = True, experimental_optional_features: Any = None) -> str:
    """The source of the converted form of a function. `ag__` stands for the functions that it calls.

    Raises ValueError where there is no source.
    """
    return ast.unparse(converted_tree(getattr(entity, "__func__", entity))) + "\n"


@public("autograph.set_verbosity")
def set_verbosity(level: int, alsologtostdout: bool = False) -> None:
    """How much is told of a conversion: nothing, at any level."""


@public("autograph.trace")
def trace(*args: Any) -> None:
    """Prints while a function is traced."""
    print(*args)
