"""Which functions are converted, and when; and the code they become, which is kept with the code they were."""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import functools
import inspect
import opcode
import os
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.errors import PACKAGE
from rillet.frontend.autograph.context import CONTEXT, converting
from rillet.frontend.autograph.nodes import at, class_def, function_def, parameters
from rillet.frontend.autograph.source import SourceUnavailable, function_node
from rillet.frontend.autograph.substitutes import substitute
from rillet.frontend.autograph.transform import RUNTIME, Unsupported, as_function, transform
from rillet.frontend.variable import Variable

# ---- what is called -------------------------------------------------------------------------------------------------


def callee(function: Any) -> Any:
    """What converted code calls in place of `function`: its converted form, if it is the user's."""
    if not CONTEXT.active:
        return function
    kind = type(function)
    if function is map or function is filter or function is functools.reduce:
        return _giving_callbacks(function)
    if kind is FunctionType:
        return converted(function) if _is_users(function) else _with_callbacks(function)
    if kind is MethodType:
        if _is_ours(function.__func__):
            return _with_callbacks(function)
        inner = callee(function.__func__)
        return function if inner is function.__func__ else MethodType(inner, function.__self__)
    if kind is functools.partial:
        inner = callee(function.func)
        return function if inner is function.func else functools.partial(inner, *function.args, **function.keywords)
    if isinstance(function, type):
        return function
    own = getattr(kind, "__call__", None)  # noqa: B004  (of the type, not the instance)
    if type(own) is FunctionType and _is_users(own):
        return functools.partial(converted(own), function)
    return function


def converted(function: Callable[..., Any], arguments_are_data: bool = False) -> Any:
    """The converted form of a function or method; itself, where there is nothing to convert, or it can't be.

    arguments_are_data: nothing among the arguments can be called.
    """
    if isinstance(function, MethodType):
        inner = converted(function.__func__, arguments_are_data)
        return function if inner is function.__func__ else MethodType(inner, function.__self__)
    if isinstance(function, functools.partial):
        inner = converted(function.func, arguments_are_data)
        same = inner is function.func
        return function if same else functools.partial(inner, *function.args, **function.keywords)
    if type(function) is not FunctionType or is_left_alone(function) or (arguments_are_data and _is_plain(function)):
        return function
    try:
        return _instance(function, _converted_code(function))
    except (SourceUnavailable, Unsupported):
        return function


def _with_callbacks(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of rillet's, whose arguments that are the user's functions are converted: it may call them."""
    is_fit = _is_ours(function) and not hasattr(function, _LEFT_ALONE)
    return _giving_callbacks(function) if is_fit else function


def _giving_callbacks(function: Callable[..., Any]) -> Callable[..., Any]:
    def caller(*args: Any, **kwargs: Any) -> Any:
        return function(*map(_callback, args), **{name: _callback(value) for name, value in kwargs.items()})

    return caller


def _callback(value: Any) -> Any:
    return callee(value) if type(value) in (FunctionType, MethodType, functools.partial) else value


def _is_ours(function: Any) -> bool:
    return getattr(function, "__code__", None) is not None and function.__code__.co_filename.startswith(PACKAGE)


def traced_form(function: Callable[..., Any], arguments_are_data: bool) -> Any:
    """What is traced in place of a function that was given to tf.function."""
    inner = getattr(function, "__func__", function)
    if type(inner) is FunctionType and _is_users(inner):
        return converted(function, arguments_are_data)
    return callee(function)


def when_converting(function: Callable[..., Any]) -> Any:
    """`function`, in its converted form while converted code runs: what library code calls that calls the user back."""
    return callee(function)


def why_not_converted(function: Any) -> str | None:
    """The reason for which a function can't be converted; None where there is none."""
    function = getattr(function, "__func__", function)
    if type(function) is not FunctionType or is_left_alone(function):
        return None
    try:
        _converted_code(function)
    except (SourceUnavailable, Unsupported) as error:
        return str(error)
    return None


_LEFT_ALONE = "_autograph_do_not_convert"


def takes_functions_as_they_are(function: Any) -> Any:
    """Decorator of a function of rillet's to which converted code gives functions unconverted."""
    setattr(function, _LEFT_ALONE, True)
    return function


def leave_alone(function: Any) -> Any:
    """A wrapper of `function`, which is not converted, nor is what it calls."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with converting(False):
            return function(*args, **kwargs)

    setattr(wrapper, _LEFT_ALONE, True)
    return wrapper


def is_left_alone(function: Any) -> bool:
    return bool(getattr(function, _LEFT_ALONE, False)) or RUNTIME in function.__code__.co_freevars


# ---- whose a function is --------------------------------------------------------------------------------------------

_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_IS_LIBRARY: dict[str, bool] = {}


def _is_users(function: FunctionType) -> bool:
    """Whether a function is the user's, or of the package whose function is being traced."""
    filename = function.__code__.co_filename
    library = _IS_LIBRARY.get(filename)
    if library is None:
        library = _IS_LIBRARY[filename] = _is_library(filename)
    return not library or (CONTEXT.home is not None and CONTEXT.home == home_of(function))


@functools.cache
def _standard_library() -> tuple[str, ...]:
    folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib")}
    return tuple(os.path.realpath(folder) + os.sep for folder in folders)


def _is_library(filename: str) -> bool:
    if filename.startswith(PACKAGE) or filename.startswith("<frozen"):
        return True
    path = os.path.realpath(filename)
    return path.startswith(_standard_library()) or any(part in path for part in _PACKAGES)


def home_of(function: Any) -> str | None:
    """The top package of an installed function."""
    module = getattr(function, "__module__", None) or ""
    top = module.partition(".")[0]
    return None if top in ("", "__main__", "rillet") else top


# ---- a quick look ---------------------------------------------------------------------------------------------------

_BRANCHES = frozenset(
    number for name, number in opcode.opmap.items() if "_IF_" in name or name in ("FOR_ITER", "UNARY_NOT")
)
_CALLS = frozenset(number for name, number in opcode.opmap.items() if name.startswith("CALL"))
_DATA = (Tensor, Variable, bool, int, float, complex, str, bytes, np.ndarray, np.generic, type(None))
_KNOWN = sys.stdlib_module_names | {"rillet", "numpy", "tensorflow", "keras", "builtins"}


def is_data(value: Any) -> bool:
    """Whether a value is nothing that can be called."""
    return isinstance(value, _DATA)


def _is_plain(function: FunctionType, seen: frozenset[CodeType] = frozenset()) -> bool:
    """A look at the instructions: whether a function neither branches nor calls what may have to be converted. (Its
    arguments are taken to be data.)"""
    code = function.__code__
    if code in seen:
        return True
    codes = [code, *_codes_inside(code)]
    used = frozenset(number for part in codes for number in part.co_code[::2])
    if used & _BRANCHES:
        return False
    if not used & _CALLS:
        return True
    seen |= {code}
    modules: list[types.ModuleType] = []
    for value in _contents(function):
        if not _is_harmless(value, seen):
            return False
    for name in dict.fromkeys(name for part in codes for name in part.co_names):
        value = _named(name, function, modules)
        if not _is_harmless(value, seen):
            return False
        if isinstance(value, types.ModuleType):
            modules.append(value)
    return True


class _Unknown:
    """What a name stands for that is an attribute of something unknown."""


def _named(name: str, function: FunctionType, modules: list[types.ModuleType]) -> Any:
    """The global value, or attribute of a module or tensor, that instructions mean by `name`."""
    if name in function.__globals__:
        return function.__globals__[name]
    if hasattr(builtins, name):
        return getattr(builtins, name)
    for owner in (*modules, Variable, SymbolicTensor):
        if hasattr(owner, name):
            return getattr(owner, name)
    return _Unknown


def _is_harmless(value: Any, seen: frozenset[CodeType]) -> bool:
    """Whether nothing that can be reached through `value` has to be converted."""
    if isinstance(value, _DATA):
        return True
    if isinstance(value, types.ModuleType):
        return _top(value.__name__) in _KNOWN
    if value is _Unknown or substitute(value) is not None or isinstance(value, (list, tuple, dict)):
        return False
    if type(value) is FunctionType and _top(value.__module__) not in _KNOWN:
        return is_left_alone(value) or _is_plain(value, seen)
    kind = value if hasattr(value, "__module__") and callable(value) else type(value)
    return _top(kind.__module__) in _KNOWN and _top(type(value).__module__) in _KNOWN


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _contents(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents


def _codes_inside(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_inside(constant)


# ---- compiling ------------------------------------------------------------------------------------------------------

# What code was converted to, or why not, by the file as well: code of two files may be equal.
_CODES: weakref.WeakKeyDictionary[CodeType, dict[str, CodeType | Exception]] = weakref.WeakKeyDictionary()
_COMPILER_FLAGS = sum(
    getattr(__future__, name).compiler_flag for name in __future__.all_feature_names if name == "annotations"
)


def _converted_code(function: FunctionType) -> CodeType:
    """The converted code of a function. Raises SourceUnavailable and Unsupported."""
    code = function.__code__
    by_file = _CODES.setdefault(code, {})
    known = by_file.get(code.co_filename)
    if known is None:
        try:
            known = _compiled(converted_tree(function), code)
        except (SourceUnavailable, Unsupported) as error:
            known = error
        by_file[code.co_filename] = known
    if isinstance(known, Exception):
        raise known
    return known


def converted_tree(function: FunctionType) -> ast.FunctionDef:
    """The syntax tree of the converted function. Raises SourceUnavailable and Unsupported."""
    code = function.__code__
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise Unsupported(f"{code.co_name} is a generator or coroutine")
    node = function_node(code)
    if isinstance(node, ast.Lambda):
        node = as_function(node, "ag__lambda")
    else:
        node = ast.copy_location(function_def(node.name, node.args, node.body), node)
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    node.args.defaults = [ast.copy_location(ast.Constant(None), default) for default in node.args.defaults]
    node.args.kw_defaults = [
        default and ast.copy_location(ast.Constant(None), default) for default in node.args.kw_defaults
    ]
    return transform(node, _owner(code))


def _owner(code: CodeType) -> str | None:
    """The name of the class that a function was defined in."""
    parts = code.co_qualname.split(".")[:-1]
    return parts[-1] if parts and parts[-1] != "<locals>" else None


def _compiled(node: ast.FunctionDef, code: CodeType) -> CodeType:
    owner = _owner(code)  # names that begin with two underscores mean what they mean in the class
    inner = node if owner is None else at(class_def(owner, [node]), node)
    name = owner or node.name
    # What is made here must not hide the global of the same name, which the function may use.
    body: list[ast.stmt] = [inner] if name in code.co_freevars else [ast.Global([name]), inner]
    arguments = parameters(*dict.fromkeys((*code.co_freevars, RUNTIME)))
    module = ast.Module([at(function_def("ag__factory", arguments, body), node)], [])
    compiled = compile(module, code.co_filename, "exec", code.co_flags & _COMPILER_FLAGS, dont_inherit=True)
    found = next(part for part in _codes_inside(compiled) if part.co_name == node.name)
    return _renamed(found, code)


def _renamed(code: CodeType, original: CodeType) -> CodeType:
    """`code`, with the functions that the conversion made called as the user's function, as tracebacks show them."""
    constants = tuple(
        _renamed(constant, original)
        if isinstance(constant, CodeType) and (constant.co_name.startswith(RUNTIME))
        else constant
        for constant in code.co_consts
    )
    return code.replace(co_consts=constants, co_name=original.co_name, co_qualname=original.co_qualname)


def _instance(function: FunctionType, code: CodeType) -> FunctionType:
    """The converted form of one function: with its globals, closure, defaults and attributes."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[RUNTIME] = RUNTIME_CELL
    closure = tuple(cells[name] for name in code.co_freevars)
    result = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    result.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(result, function)
    return result


RUNTIME_CELL: types.CellType = types.CellType()  # holds the module `operators`, which sets it
