"""Checks of types and shapes that are made when a function is first called, and shared by all closures of one definition.

jaxtyping's import hook makes a check of every function at its definition. Of half a second for importing bnjax it makes
four, in each process, and it makes the check of a function within a function again each time that the outer one is called.
"""

import functools
import inspect
import threading
from collections.abc import Callable
from dataclasses import is_dataclass
from types import CellType, FunctionType
from typing import Any

import jaxtyping
from jaxtyping import jaxtyped as jaxtyped_at_once

CHECKS: list[Callable[[], object]] = []  # what makes the check of each function of a module
_SIMPLE = (type(None), bool, int, float, str)
_SHARED: dict[tuple, Callable[..., Any]] = {}
_calls = threading.local()


def install(package: str, typechecker: str = "beartype.beartype") -> None:
    """Check everything in a package that is imported from here on."""
    jaxtyping.jaxtyped = jaxtyped  # where the modules that the hook has changed look it up
    jaxtyping.install_import_hook(package, typechecker)


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator that checks as `jaxtyping.jaxtyped` does, from the first call on."""

    def decorate(function: Any) -> Any:
        if inspect.isclass(function):
            if is_dataclass(function) and not hasattr(function.__init__, "make_check"):
                function.__init__ = decorate(function.__init__)
            return function
        return _lazily_checked(function, typechecker) if function.__annotations__ else function

    return decorate


def _lazily_checked(function: Callable[..., Any], typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """Check a function from its first call on."""

    @functools.cache
    def make_check() -> Callable[..., Any]:
        if "<locals>" in function.__qualname__ and (key := _definition(function)):
            if key not in _SHARED:
                _SHARED[key] = jaxtyped_at_once(_stand_in(function), typechecker=typechecker)
            return functools.partial(_call, _SHARED[key], function)
        return jaxtyped_at_once(function, typechecker=typechecker)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return (function if jaxtyping.config.jaxtyping_disable else make_check())(*args, **kwargs)

    vars(checked).update(make_check=make_check)
    if "<locals>" not in function.__qualname__:
        CHECKS.append(make_check)
    return checked


def _definition(function: Callable[..., Any]) -> tuple | None:
    """Return what the check of a function depends on; None where its defaults would be kept alive."""
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    # jaxtyping makes another class for the same shape each time, but writes it the same.
    key = (function.__code__, repr(function.__annotations__), repr(defaults))
    return key if all(isinstance(value, _SIMPLE) for value in defaults) else None


def _stand_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of the same signature that calls the one at hand, and keeps nothing that a closure holds alive."""
    calls, cells = _calls, tuple(CellType() for _ in function.__code__.co_freevars)
    definition = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    definition.__kwdefaults__ = function.__kwdefaults__
    for name in functools.WRAPPER_ASSIGNMENTS:
        setattr(definition, name, getattr(function, name))

    def call(*args: Any, **kwargs: Any) -> Any:
        return calls.stack[-1](*args, **kwargs)

    # Names in annotations are looked up where the function was defined.
    stand_in = FunctionType(call.__code__, function.__globals__, function.__name__, None, call.__closure__)
    return functools.update_wrapper(stand_in, definition, updated=())


def _call(check: Callable[..., Any], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function within the check that it shares."""
    __tracebackhide__ = True
    stack = _calls.__dict__.setdefault("stack", [])
    stack.append(function)
    depth = len(stack)
    try:
        return check(*args, **kwargs)
    finally:
        del stack[depth - 1 :]
