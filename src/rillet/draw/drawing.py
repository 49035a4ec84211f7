"""tf.draw: the picture of a graph, of what a tape recorded, of a tf.function or a model; or of a tensor."""

from __future__ import annotations

from typing import Any

from rillet.core.tensor import EagerTensor
from rillet.draw.build import Builder
from rillet.draw.names import names_in, names_in_program
from rillet.draw.page import html
from rillet.draw.picture import Picture
from rillet.draw.plain import dot, tree
from rillet.draw.subject import find_subject
from rillet.draw.svg import svg
from rillet.draw.tensors import draw_tensor


def draw(
    target: Any,
    *args: Any,
    wrt: Any = None,
    feed_dict: Any = None,
    session: Any = None,
    tape: Any = None,
    title: str = "",
    names: dict[str, Any] | None = None,
    folded: bool | None = None,
    labels: bool | None = None,
    constants: bool = False,
    **kwargs: Any,
) -> Picture:
    """A picture of how `target` is computed: operations are nodes, tensors are edges.

    target: a tensor or operation of a graph, or a list of them; a tf.Graph; a tensor that `tape` recorded; a
        tf.function, a model or another function, called with `args` and `kwargs`. An eager tensor (or variable) without a tape is
        drawn itself, as by draw_tensor.
    wrt: what to differentiate by: tensors, variables or their names, one or a list; "all" for all inputs and variables.
        With values, each node then shows the derivative of the target, each edge the local one. (Of a tape: by
        whatever was watched, unless `wrt` says less.)
    feed_dict, session: run the graph to show its values: in `session`, the default one, or a new one.
    names: {name: tensor} for what the picture calls tensors; without it, the caller's own variable names.
    folded: whether name scopes start folded; labels: whether edges have labels; None: as the size demands.
    constants: whether axes, shapes and the like are nodes too.
    Returns a Picture, with svg(), html(), dot(), text() and save(path).
    Raises TypeError for what cannot be drawn, ValueError for an eager tensor that the tape did not record and for a name
    in `wrt` that nothing has, and what the session raises.
    """
    if tape is None and has_value(target):
        return draw_tensor(target)
    called = names_in_program() if names is None else names_in(names)
    subject = find_subject(target, args, kwargs, wrt, feed_dict, session, tape, called)
    return picture_of(Builder(subject, title, constants), folded, labels)


def has_value(target: Any) -> bool:
    """Whether `target` is an eager tensor, or a variable that is no part of a graph."""
    return isinstance(getattr(target, "_source", target), EagerTensor)


def picture_of(builder: Builder, folded: bool | None = None, labels: bool | None = None) -> Picture:
    drawing = builder.build()
    return Picture(
        drawing,
        {
            "svg": lambda: svg(drawing, folded, labels),
            "html": lambda: html(drawing, folded, labels),
            "dot": lambda: dot(drawing),
            "txt": lambda: tree(drawing),
        },
    )
