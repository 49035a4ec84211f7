"""return, break and continue inside branches and loops become flags, and branches that ask for them.

if c: return a      ->   if c: result = a
...                      else: ...                   (what follows a branch that always leaves is the other branch)

while t:            ->   stop = False
    if c: break          while not stop and t:
    ...                      if c: stop = True
                             else: ...
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from rillet.frontend.autograph.nodes import assign, at, load

RETURNED = "ag__returned"  # whether the function has returned
RESULT = "ag__result"  # what it returned
_BREAK = "ag__break_"
_CONTINUE = "ag__continue_"

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_LOOPS = (ast.While, ast.For)
_JUMPS = (ast.Return, ast.Break, ast.Continue)


def is_own(name: str) -> bool:
    """Whether a variable is one of those made here."""
    return name.startswith("ag__")


def lower_jumps(function: ast.FunctionDef) -> None:
    """Rewrites the body of `function`: afterwards loops have no jumps, and a return stands at the end alone.

    Loops have an attribute `proceeds`, which an iteration of a `for` needs besides a next element: an expression or None.
    """
    lowering = _Lowering()
    if any(_jumps_out(statement) for statement in function.body):
        if not _leaves(function.body):
            function.body.append(at(ast.Return(ast.Constant(None)), function.body[-1]))
        body = lowering.block(function.body)
        start = assign(RETURNED, ast.Constant(False), function.body[0])
        function.body = [start, *body, at(ast.Return(load(RESULT)), function.body[-1])]
    else:
        function.body = lowering.block(function.body, keeps_returns=True)
    _drop_unread_flags(function)


def _jumps_out(statement: ast.AST) -> bool:
    """Whether a return stands inside of a compound statement."""
    return not isinstance(statement, ast.Return) and _finds(statement, (ast.Return,))


def _finds(node: ast.AST, kinds: tuple[type, ...], in_loop: bool = False) -> bool:
    """Whether `node` holds a jump of these kinds that leaves it."""
    if isinstance(node, _SCOPES):
        return False
    if isinstance(node, kinds):
        return not (in_loop and isinstance(node, (ast.Break, ast.Continue)))
    if isinstance(node, _LOOPS):
        inside = any(_finds(child, kinds, True) for child in node.body)
        return inside or any(_finds(child, kinds, in_loop) for child in node.orelse)
    return any(_finds(child, kinds, in_loop) for child in ast.iter_child_nodes(node))


def _leaves(block: Sequence[ast.stmt]) -> bool:
    """Whether control never reaches the end of a block."""
    if not block:
        return False
    last = block[-1]
    if isinstance(last, (*_JUMPS, ast.Raise)):
        return True
    if isinstance(last, ast.If):
        return _leaves(last.body) and _leaves(last.orelse)
    if isinstance(last, ast.With):
        return _leaves(last.body)
    if isinstance(last, ast.Try):
        handled = all(_leaves(handler.body) for handler in last.handlers)
        return _leaves(last.finalbody) or ((_leaves(last.body) or _leaves(last.orelse)) and handled)
    return False


class _Lowering:
    def __init__(self) -> None:
        self.loops: list[int] = []  # numbers of the loops around
        self.count = 0
        self.keeps_returns = False

    def block(self, statements: Sequence[ast.stmt], keeps_returns: bool = False) -> list[ast.stmt]:
        self.keeps_returns = keeps_returns or self.keeps_returns
        result: list[ast.stmt] = []
        for index, statement in enumerate(statements):
            rest = list(statements[index + 1 :])
            if isinstance(statement, _JUMPS):
                return [*result, *self._jump(statement)]
            jumps = _finds(statement, _JUMPS)
            if jumps and rest and isinstance(statement, ast.If):
                rest = _move_into(statement, rest)
            flags = [] if not rest else self._flags(statement)
            result.extend(self._lowered(statement))
            if not jumps:
                continue
            if rest:
                body = self.block(rest)
                result.append(at(ast.If(_none_of(flags), body, []), rest[0]))
            return result
        return result

    def _jump(self, statement: ast.stmt) -> list[ast.stmt]:
        if isinstance(statement, ast.Break):
            return [assign(f"{_BREAK}{self.loops[-1]}", ast.Constant(True), statement)]
        if isinstance(statement, ast.Continue):
            return [assign(f"{_CONTINUE}{self.loops[-1]}", ast.Constant(True), statement)]
        assert isinstance(statement, ast.Return)
        if self.keeps_returns:
            return [statement]
        value = statement.value or ast.Constant(None)
        return [assign(RETURNED, ast.Constant(True), statement), assign(RESULT, value, statement)]

    def _flags(self, statement: ast.AST) -> list[str]:
        """Those that tell whether `statement` was left by a jump."""
        flags = []
        if _finds(statement, (ast.Return,)):
            flags.append(RETURNED)
        if self.loops and _finds(statement, (ast.Break,)):
            flags.append(f"{_BREAK}{self.loops[-1]}")
        if self.loops and _finds(statement, (ast.Continue,)):
            flags.append(f"{_CONTINUE}{self.loops[-1]}")
        return flags

    def _lowered(self, statement: ast.stmt) -> list[ast.stmt]:
        if isinstance(statement, _LOOPS):
            return self._loop(statement)
        if isinstance(statement, _SCOPES):
            return [statement]
        flags = (
            [flag for child in statement.body for flag in self._flags(child)] if isinstance(statement, ast.Try) else []
        )
        for owner in (statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            for field in ("body", "orelse", "finalbody"):
                block = getattr(owner, field, None)
                if isinstance(block, list):
                    setattr(owner, field, self.block(block))
        if isinstance(statement, ast.Try) and flags and statement.orelse:  # a jump out of `try` passes its `else` by
            statement.orelse = [at(ast.If(_none_of(flags), statement.orelse, []), statement.orelse[0])]
        return [statement]

    def _loop(self, loop: ast.While | ast.For) -> list[ast.stmt]:
        self.count += 1
        number = self.count
        breaks = any(_finds(child, (ast.Break,)) for child in loop.body)
        flags = [f"{_BREAK}{number}"] if breaks else []
        if any(_finds(child, (ast.Return,)) for child in loop.body):
            flags.append(RETURNED)
        self.loops.append(number)
        body = self.block(loop.body)
        self.loops.pop()
        loop.body = [assign(f"{_CONTINUE}{number}", ast.Constant(False), loop), *body]
        proceeds = at(_none_of(flags), loop) if flags else None
        loop.proceeds = proceeds  # type: ignore[union-attr]
        if isinstance(loop, ast.While) and proceeds is not None:
            loop.test = at(ast.BoolOp(ast.And(), [proceeds, loop.test]), loop)
        before = [assign(flags[0], ast.Constant(False), loop)] if breaks else []
        after = self.block(loop.orelse)
        loop.orelse = []
        if after and flags:
            after = [at(ast.If(_none_of(flags), after, []), after[0])]
        return [*before, loop, *after]


def _move_into(branch: ast.If, rest: list[ast.stmt]) -> list[ast.stmt]:
    """Where one side of an `if` always leaves, what follows belongs to the other side. What remains to follow."""
    if _leaves(branch.body):
        branch.orelse = [*branch.orelse, *rest]
        return []
    if _leaves(branch.orelse):
        branch.body = [*branch.body, *rest]
        return []
    return rest


def _none_of(flags: Sequence[str]) -> ast.expr:
    tests: list[ast.expr] = [ast.UnaryOp(ast.Not(), load(flag)) for flag in flags]
    return tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)


def _drop_unread_flags(function: ast.FunctionDef) -> None:
    nodes = list(ast.walk(function))
    nodes.extend(part for node in nodes if getattr(node, "proceeds", None) for part in ast.walk(node.proceeds))  # type: ignore[attr-defined]
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}

    class Drop(ast.NodeTransformer):
        def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
            target = node.targets[0]
            is_unread = isinstance(target, ast.Name) and is_own(target.id) and target.id not in read
            return None if is_unread else node

    Drop().visit(function)
    for node in ast.walk(function):
        body = getattr(node, "body", None)
        if isinstance(body, list) and not body and not isinstance(node, ast.Module):
            node.body = [at(ast.Pass(), node if hasattr(node, "lineno") else function)]  # type: ignore[attr-defined]
