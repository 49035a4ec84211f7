"""Which variables of a function are read later: a branch or loop has to hand on those, and no others."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Names = frozenset[str]
NONE: Names = frozenset()
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def written(nodes: Iterable[ast.AST]) -> Names:
    """Names that the nodes bind in the scope that they stand in."""
    return frozenset(name for node in nodes for name in _bound(node))


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    for child in _outside(node):
        yield from _bound(child)


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of `node` that are evaluated in the scope around it; of a comprehension those that can bind there."""
    if isinstance(node, _FUNCTIONS):
        yield from node.args.defaults
        yield from (default for default in node.args.kw_defaults if default is not None)
        yield from getattr(node, "decorator_list", ())
    elif isinstance(node, _COMPREHENSIONS):
        yield from (part for part in ast.walk(node) if isinstance(part, ast.NamedExpr))
    elif not isinstance(node, ast.ClassDef):
        yield from ast.iter_child_nodes(node)


def read(node: ast.AST | None) -> Names:
    """Names of the scope around that evaluating `node`, or calling a function made in it, may read."""
    if node is None:
        return NONE
    if isinstance(node, ast.Name):
        return NONE if isinstance(node.ctx, ast.Store) else frozenset({node.id})
    inside = NONE.union(*map(read, ast.iter_child_nodes(node)))
    if isinstance(node, _FUNCTIONS):
        return inside - _locals(node)
    if isinstance(node, _COMPREHENSIONS):
        return inside - written(generator.target for generator in node.generators)
    return inside


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Names:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = frozenset(argument.arg for argument in every if argument is not None)
    if isinstance(function, ast.Lambda):
        return names
    return names | (written(function.body) - declared(function, (ast.Global, ast.Nonlocal)))


def declared(function: ast.AST, kinds: tuple[type[ast.stmt], ...]) -> Names:
    """Names that a function (not those inside of it) declares global or nonlocal."""
    return frozenset(
        name
        for part in own_parts(function)
        if isinstance(part, kinds)
        for name in part.names  # type: ignore[attr-defined]
    )


def own_parts(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes inside of `function` that belong to no function or class inside of it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            yield from own_parts(child)


class Liveness:
    """Gives each branch and loop of a function (whose jumps are lowered) two attributes: `live_after`, what is read after
    it, and, a loop, `live_inside`, what is read after an iteration.

    always: names that count as read at any time: those declared nonlocal.
    """

    def __init__(self, function: ast.FunctionDef, always: Names) -> None:
        self.always = always
        self.captured: dict[str, Names] = {}  # by the name of a function made inside: what it reads when it is called
        for node in ast.walk(function):
            if node is not function and isinstance(node, ast.FunctionDef):
                self.captured[node.name] = self.captured.get(node.name, NONE) | read(node)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                for name in written(node.targets):
                    self.captured[name] = self.captured.get(name, NONE) | read(node.value)
        self.block(function.body, always)

    def block(self, statements: list[ast.stmt], after: Names) -> Names:
        """What is live before the statements."""
        for statement in reversed(statements):
            after = self.statement(statement, after)
        return after

    def statement(self, node: ast.stmt, after: Names) -> Names:
        visit = getattr(self, f"_{type(node).__name__.lower()}", None)
        return self._simple(node, after) if visit is None else visit(node, after)

    def _reads(self, node: ast.AST | None) -> Names:
        names = read(node)
        for name in names & self.captured.keys():
            names |= self.captured[name]
        return names

    def _simple(self, node: ast.stmt, after: Names) -> Names:
        names = self._reads(node)
        if isinstance(node, ast.AugAssign):
            names |= written([node.target])
        return (after - written([node])) | names | self.always

    def _return(self, node: ast.Return, after: Names) -> Names:
        return self._reads(node) | self.always

    def _raise(self, node: ast.Raise, after: Names) -> Names:
        return self._reads(node) | self.always

    def _if(self, node: ast.If, after: Names) -> Names:
        node.live_after = after  # type: ignore[attr-defined]
        return self._reads(node.test) | self.block(node.body, after) | self.block(node.orelse, after)

    def _while(self, node: ast.While, after: Names) -> Names:
        return self._loop(node, after | self._reads(node.test), after)

    def _for(self, node: ast.For, after: Names) -> Names:
        proceeds = self._reads(getattr(node, "proceeds", None))
        before = self._loop(node, after | proceeds, after, written([node.target]))
        return before | self._reads(node.iter) | self._reads(node.target)

    def _loop(self, node: ast.While | ast.For, head: Names, after: Names, targets: Names = NONE) -> Names:
        while True:
            node.live_after, node.live_inside = after, head  # type: ignore[union-attr]
            wider = head | (self.block(node.body, head) - targets)
            if wider == head:
                return head
            head = wider

    def _with(self, node: ast.With, after: Names) -> Names:
        live = self.block(node.body, after)
        for item in reversed(node.items):
            live = (live - written([item])) | self._reads(item)
        return live

    def _try(self, node: ast.Try, after: Names) -> Names:
        final = self.block(node.finalbody, after)
        handlers = NONE.union(*(self._handler(handler, final) for handler in node.handlers))
        outer = self.always
        self.always = outer | handlers | final  # an exception may come at any time
        live = self.block(node.body, self.block(node.orelse, final))
        self.always = outer
        return live | handlers

    _trystar = _try

    def _handler(self, handler: ast.ExceptHandler, after: Names) -> Names:
        live = self.block(handler.body, after)
        return (live - ({handler.name} if handler.name else NONE)) | self._reads(handler.type)

    def _match(self, node: ast.Match, after: Names) -> Names:
        live = after
        for case in node.cases:
            inside = self.block(case.body, after) - written([case.pattern])
            live |= inside | self._reads(case.pattern) | self._reads(case.guard)
        return live | self._reads(node.subject)
