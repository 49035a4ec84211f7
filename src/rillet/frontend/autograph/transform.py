"""The rewriting of a function: control flow becomes calls of `ag__`, which is the module `operators`.

    if a > 0: y = f(a)      ->   def ag__body(): nonlocal y; y = ag__.call(f)(a)
    else: y = a                  def ag__orelse(): nonlocal y; y = a
                                 ag__.if_(a > 0, ag__body, ag__orelse, ('y',), ())

The bodies share their variables with the function, as any inner function does with `nonlocal`; `operators` reads and sets
these through the closures, where it has to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from rillet.frontend.autograph.jumps import lower_jumps
from rillet.frontend.autograph.liveness import Liveness, Names, declared, own_parts, written
from rillet.frontend.autograph.nodes import at, function_def, load, parameters

RUNTIME = "ag__"
# Calls that look at the frame they stand in stay as they are.
_LOOK_AT_FRAME = frozenset(("locals", "globals", "vars", "dir", "eval", "exec", "super", RUNTIME))
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


class Unsupported(ValueError):
    """A function holds something that can't be converted."""


def transform(function: ast.FunctionDef, owner: str | None = None) -> ast.FunctionDef:
    """The converted `function`; its tree is changed. Raises Unsupported.

    owner: the name of the class whose method it is.
    """
    _check(function)
    return _Function(function, owner).result()


def as_function(node: ast.Lambda, name: str) -> ast.FunctionDef:
    """A lambda as a function of one return statement."""
    body: list[ast.stmt] = [ast.Return(node.body)]
    return at(function_def(name, node.args, body), node)


def _is_generator(node: ast.AST, top: bool = True) -> bool:
    if isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await)):
        return True
    if not top and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
        return False
    return any(_is_generator(child, False) for child in ast.iter_child_nodes(node))


def _check(function: ast.FunctionDef) -> None:
    if _is_generator(function):
        raise Unsupported(f"{function.name} is a generator")
    for node in ast.walk(function):
        final = getattr(node, "finalbody", ())
        if any(isinstance(part, (ast.Return, ast.Break, ast.Continue)) for last in final for part in ast.walk(last)):
            raise Unsupported(f"{function.name} leaves a `finally` block by a jump")


class _Function(ast.NodeTransformer):
    """Rewrites one function; the functions inside of it are rewritten by one of these each."""

    def __init__(self, function: ast.FunctionDef, owner: str | None) -> None:
        self.owner = owner
        lower_jumps(function)
        self.function = function
        self.globals = declared(function, (ast.Global,))
        self.elsewhere = declared(function, (ast.Global, ast.Nonlocal))
        self.shared: set[str] = set()  # variables that generated functions change
        self.count = 0
        Liveness(function, self.elsewhere - self.globals)

    def result(self) -> ast.FunctionDef:
        function = self.function
        function.body = self._block(function.body)
        local = sorted(self.shared - self.elsewhere - _parameters(function))
        if local:  # never runs: makes them variables of this function
            targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in local]
            never = ast.If(ast.Constant(False), [ast.Assign(targets, ast.Constant(None))], [])
            place = 1 if ast.get_docstring(function, clean=False) is not None else 0
            function.body.insert(place, at(never, function.body[0]))
        return function

    def _block(self, statements: Iterable[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for statement in statements:
            visited = self.visit(statement)
            result.extend(visited if isinstance(visited, list) else [visited])
        return result

    # ---- what is left alone -----------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self._visit_defaults(node.args)
        try:
            return transform(node, self.owner)
        except Unsupported:
            return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.target = self.visit(node.target)
        node.value = None if node.value is None else self.visit(node.value)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._visit_defaults(node.args)
        if not _is_generator(node.body):
            node.body = self.visit(node.body)
        return node

    def _visit_defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.visit(default) for default in arguments.defaults]
        arguments.kw_defaults = [default and self.visit(default) for default in arguments.kw_defaults]

    # ---- statements -------------------------------------------------------------------------------------------

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        changed = written([*node.body, *node.orelse])
        places = _places([*node.body, *node.orelse], changed)
        live = node.live_after  # type: ignore[attr-defined]
        body = self._inner("body", self._block(node.body), changed, node)
        orelse = self._inner("orelse", self._block(node.orelse) or [at(ast.Pass(), node)], changed, node)
        state = self._state(changed, live, places)
        call = self._runtime("if_", self.visit(node.test), load(body.name), load(orelse.name), *state)
        return [body, orelse, at(ast.Expr(call), node.test)]

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        changed = written([*node.body, node.test])
        places = _places(node.body, changed)
        live = node.live_after | node.live_inside  # type: ignore[attr-defined]
        options = self._options(node)
        test = self._inner("test", [at(ast.Return(self.visit(node.test)), node.test)], changed, node)
        body = self._inner("body", self._block(node.body), changed, node)
        state = self._state(changed, live, places)
        call = self._runtime("while_", load(test.name), load(body.name), *state, *options)
        return [test, body, at(ast.Expr(call), node.test)]

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        changed = written([node.target, *node.body])
        places = _places(node.body, changed)
        live = node.live_after | node.live_inside  # type: ignore[attr-defined]
        options = self._options(node)
        parameter = f"{RUNTIME}item_{self.count}"
        first = at(ast.Assign([node.target], load(parameter)), node.target)
        body = self._inner("body", [first, *self._block(node.body)], changed, node, parameter)
        proceeds = getattr(node, "proceeds", None)
        test: ast.expr = ast.Constant(None) if proceeds is None else _thunk(self.visit(proceeds))
        state = self._state(changed, live, places)
        call = self._runtime("for_", self.visit(node.iter), load(body.name), test, *state, *options)
        return [body, at(ast.Expr(call), node.iter)]

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        source = ast.Constant(ast.unparse(node.test))
        text = ast.Constant(None) if node.msg is None else _thunk(self.visit(node.msg))
        call = self._runtime("assert_", self.visit(node.test), text, source)
        return at(ast.Expr(call), node)

    def _inner(
        self, label: str, body: Sequence[ast.stmt], changed: Names, place: ast.AST, parameter: str | None = None
    ) -> ast.FunctionDef:
        """A function made of statements of this one."""
        self.count += 1
        shared, global_names = sorted(changed - self.globals), sorted(changed & self.globals)
        self.shared.update(shared)
        statements = list(body)
        if shared:
            statements.insert(0, ast.Nonlocal(shared))
        if global_names:
            statements.insert(0, ast.Global(global_names))
        arguments = parameters() if parameter is None else parameters(parameter)
        function = function_def(f"{RUNTIME}{label}_{self.count}", arguments, statements)
        return at(function, place)

    def _state(self, changed: Names, live: Names, places: Sequence[ast.expr]) -> list[ast.expr]:
        """The names of variables that a statement changes, those read later first; how many these are; and other places
        (attributes and items) that it changes."""
        kept = sorted((changed & live) - self.globals)
        rest = sorted(changed - live - self.globals)
        names: list[ast.expr] = [ast.Constant(name) for name in (*kept, *rest)]
        others: list[ast.expr] = [self._place(place) for place in places]
        return [ast.Tuple(names, ast.Load()), ast.Constant(len(kept)), ast.Tuple(others, ast.Load())]

    def _place(self, place: ast.expr) -> ast.expr:
        if isinstance(place, ast.Attribute):
            return self._runtime("Attribute", _thunk(place.value), ast.Constant(self._mangled(place.attr)))
        assert isinstance(place, ast.Subscript)
        return self._runtime("Item", _thunk(place.value), _thunk(place.slice), ast.Constant(ast.unparse(place)))

    def _mangled(self, name: str) -> str:
        """The attribute's name as Python's compiler makes it: `__x` is private to its class."""
        is_private = self.owner is not None and name.startswith("__") and not name.endswith("__")
        return f"_{self.owner.lstrip('_')}{name}" if self.owner and is_private else name

    def _options(self, loop: ast.While | ast.For) -> list[ast.expr]:
        """What the loop's calls of set_loop_options say, evaluated before the loop."""
        for statement in loop.body:
            call = statement.value if isinstance(statement, ast.Expr) else None
            function = call.func if isinstance(call, ast.Call) else None
            name = getattr(function, "attr", getattr(function, "id", None))
            if name == "set_loop_options" and isinstance(call, ast.Call):
                loop.body.remove(statement)
                loop.body = loop.body or [at(ast.Pass(), loop)]
                return [_thunk(ast.Call(load("dict"), [], [self._option(keyword) for keyword in call.keywords]))]
        return []

    def _option(self, keyword: ast.keyword) -> ast.keyword:
        """The variables of shape invariants are given by their names."""
        if keyword.arg != "shape_invariants" or not isinstance(keyword.value, (ast.List, ast.Tuple)):
            return keyword
        for pair in keyword.value.elts:
            if isinstance(pair, (ast.List, ast.Tuple)) and isinstance(pair.elts[0], (ast.Name, ast.Attribute)):
                pair.elts[0] = ast.Constant(ast.unparse(pair.elts[0]))
        return keyword

    # ---- expressions ------------------------------------------------------------------------------------------

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if _binds(node):
            return node
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        return at(self._runtime(name, *map(_thunk, node.values)), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return at(self._runtime("not_", node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1 or _binds(node):
            return node
        rest: list[ast.expr] = []
        for operation, value in zip(node.ops, node.comparators, strict=True):
            rest.extend([ast.Constant(_COMPARISONS[type(operation)]), _thunk(value)])
        return at(self._runtime("chain", node.left, *rest), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        source = ast.Constant(ast.unparse(node.test))
        self.generic_visit(node)
        if _binds(node):
            return node
        return at(self._runtime("if_exp", node.test, _thunk(node.body), _thunk(node.orelse), source), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        function = node.func
        if isinstance(function, ast.Name) and function.id == "super" and not node.args:
            first = [*self.function.args.posonlyargs, *self.function.args.args][:1]
            if first:  # said in full: the call may end up in an inner function
                node.args = [load("__class__"), load(first[0].arg)]
                return at(node, node)
        if isinstance(function, ast.Name) and function.id in _LOOK_AT_FRAME:
            return node
        node.func = at(self._runtime("call", function), function)
        return node

    def _runtime(self, name: str, *args: ast.expr) -> ast.Call:
        return ast.Call(ast.Attribute(load(RUNTIME), name, ast.Load()), list(args), [])


def _parameters(function: ast.FunctionDef) -> Names:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return frozenset(argument.arg for argument in every if argument is not None)


def _thunk(value: ast.expr) -> ast.Lambda:
    thunk = ast.Lambda(parameters(), value)
    return at(thunk, value) if hasattr(value, "lineno") else thunk


def _binds(node: ast.AST) -> bool:
    """Whether an expression sets a variable, which it could not do inside a lambda."""
    return any(isinstance(part, ast.NamedExpr) for part in ast.walk(node))


def _places(statements: Iterable[ast.stmt], changed: Names) -> list[ast.expr]:
    """Attributes and items that the statements set, of objects that they don't replace: `self.total`, `state["h"]`."""
    found: dict[str, ast.expr] = {}
    for statement in statements:
        for node in (statement, *own_parts(statement)):
            if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
                names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                if _is_path(node) and not names & changed:
                    found.setdefault(ast.unparse(node), node)
    return [found[text] for text in sorted(found)]


def _is_path(node: ast.expr) -> bool:
    """Whether an expression is made of names, attributes and plain keys alone: evaluating it has no effect."""
    if isinstance(node, ast.Attribute):
        return _is_path(node.value)
    if isinstance(node, ast.Subscript):
        return _is_path(node.value) and isinstance(node.slice, (ast.Constant, ast.Name))
    return isinstance(node, ast.Name)
