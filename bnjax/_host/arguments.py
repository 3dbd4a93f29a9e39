"""Check the arguments of public functions: ranges by argument name, types by annotation.

A decorated function checks ranges before the call, for Python and NumPy numbers only: JAX arrays may be traced or not yet
computed, so the checks add nothing to a compiled program. Types are checked only after a call has failed, and only if no line
of bnjax raised the error: a call that works is never refused, and a function's own message is never replaced.
"""

import dis
import functools
import inspect
import itertools
import math
import types
from collections import abc
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_args

import numpy as np
from jax import Array

from bnjax._host.kinds import TYPES, Rule, alternatives, any_of, described, is_dtype, is_key

F = TypeVar("F", bound=Callable[..., Any])

# What Python, NumPy, JAX and optax raise for a bad argument, as opposed to a lack of memory, a file or a device.
_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    Warning,  # where warnings are errors
)


def checked(*kept: str, **rules: Rule | None) -> Callable[[F], F]:
    """Decorate a public function so that a bad argument raises a one-line error that names it.

    Args:
        kept: arguments that are used after the function has returned, so their types are checked before the call.
        rules: rules by argument name, which replace the default rule of the name or of the type; None disables all rules.

    Returns:
        The decorator.
    """

    def decorate(function: F) -> F:
        table = _Table(function, kept, rules)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            table.check_first(args, kwargs)
            try:
                return function(*args, **kwargs)
            except _REFUSALS as error:
                problem = None if _is_own(error) else table.problem(args, kwargs)
                if problem is None:
                    raise
                raise ValueError(problem) from None

        return call  # pyright: ignore[reportReturnType]

    return decorate


def check_number(name: str, value: float | int) -> None:
    """Check a number of a grid, while it is still concrete, by the rule for an optimiser's argument of that name."""
    for rule in (_GRIDS.get(name), *_LIMITS):
        if rule is not None and not rule.holds(value):
            raise ValueError(_problem(name, rule, value))


def between(low: float | int, high: float | int = math.inf, *, above: bool = False, below: bool = False) -> Rule:
    """Make a rule for a range: `above` excludes its lower end, `below` its upper end; infinity is always excluded."""
    words = f"{'>' if above else '>='} {low} and finite"
    if high < math.inf:
        words = f"in {'(' if above else '['}{low}, {high}{')' if below else ']'}"

    def holds(value: Any) -> bool:
        return bool(
            (low < value if above else low <= value) and (value < high if below or high == math.inf else value <= high)
        )

    return Rule(words, holds, is_range=True)


def whole(low: int) -> Rule:
    """Make a rule for integers >= `low`."""
    return Rule(f"a whole number >= {low}", lambda value: TYPES[int].holds(value) and bool(value >= low), is_range=True)


def is_filled(value: Any) -> bool:
    """Return whether a value is an array with entries along axis 0."""
    return TYPES[Array].holds(value) and 0 not in (value.shape or (0,))


NOT_EMPTY = Rule("an array with at least one entry", is_filled)


def having(words: str, *names: str) -> Rule:
    """Make a rule for objects that have the given attributes."""
    return Rule(words, lambda value: all(hasattr(value, name) for name in names))


_MOST = 2**31 - 1
_LARGEST = float(np.finfo(np.float32).max)
# Limits of what arrays can hold. JAX converts Python ints to int32, even where floats are meant.
_INT32 = Rule(f"at most {_MOST}", lambda value: not isinstance(value, int) or value <= _MOST)
_LIMITS = (
    Rule("a float where int32 cannot hold it", lambda value: not isinstance(value, int) or abs(value) <= _MOST),
    Rule(
        "at most 3.4e38, float32's largest number",
        lambda value: not isinstance(value, float) or not _LARGEST < value < math.inf,
    ),
)

# Ranges by argument name; a name means the same in every function.
_GRIDS = {
    **dict.fromkeys(("epsilon", "l2", "weight_decay"), between(0)),
    "learning_rate": between(0, above=True),
    "momentum": between(0, 1),
}
_RANGES = {
    **_GRIDS,
    **dict.fromkeys(("num_examples", "num_quantiles", "bins"), whole(1)),
    **dict.fromkeys(("num_steps", "chunk_size", "test_every"), whole(1)),
    **dict.fromkeys(("step", "num_features", "num_batches", "num_batches_tracked"), whole(0)),
}
# Types by argument name, where the annotations are less specific.
_TYPES = {
    "key": Rule("a key, as jax.random.key makes it", is_key),
    "rngs": Rule(
        "a dictionary of keys, as jax.random.key makes them",
        lambda value: isinstance(value, abc.Mapping) and all(map(is_key, value.values())),
    ),
    **dict.fromkeys(("dtype", "param_dtype"), Rule("a type of numbers, such as jnp.float32", is_dtype)),
    "ax": having("Matplotlib axes", "plot", "figure"),
}


class _Table:
    """The rules of a function's arguments."""

    def __init__(self, function: Callable[..., Any], kept: tuple[str, ...], rules: dict[str, Any]):
        self._function, self._kept, self._rules = function, kept, rules

    def check_first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise at the first concrete number that is out of range, or the first kept argument of the wrong type."""
        for name, value in itertools.chain(zip(self._positional, args, strict=False), kwargs.items()):
            if name in self._kept:
                rules = self._rules_of(name, self._parameters)
            else:
                rules = self._ranges.get(name, ()) if _is_known(value) else ()
            for rule in rules:
                if not rule.holds(value):
                    raise ValueError(_problem(name, rule, value))

    def problem(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Describe the first argument of a failed call that has the wrong type; None if there is none."""
        arguments = [*zip(self._positional, args, strict=False), *kwargs.items()]
        parameters = self._parameters
        if args and self._positional[:1] == ("self",):
            # A module's constructor arguments are checked too, except for Flax's own.
            made_of = _made_of(type(args[0]))
            names = [name for name in made_of if name not in ("parent", "name", "rngs") and hasattr(args[0], name)]
            arguments += [(name, getattr(args[0], name)) for name in names]
            parameters = {**made_of, **parameters}
        for name, value in arguments:
            for rule in self._rules_of(name, parameters):
                if not rule.holds(value):
                    return _problem(name, rule, value)
        return None

    @functools.cached_property
    def _parameters(self) -> dict[str, inspect.Parameter]:
        """Parameters by name."""
        return dict(inspect.signature(self._function).parameters)

    @functools.cached_property
    def _positional(self) -> tuple[str, ...]:
        """Names of the arguments that can be passed by position."""
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return tuple(name for name, parameter in self._parameters.items() if parameter.kind in kinds)

    @functools.cached_property
    def _ranges(self) -> dict[str, tuple[Rule, ...]]:
        """Range rules by argument name, including arguments that are passed on to other functions."""
        own = {name: rule for name, rule in self._rules.items() if rule is None or rule.is_range}
        rules = {name: rule for name, rule in (_RANGES | own).items() if rule is not None}
        return {name: (rule, *(_LIMITS if name in _GRIDS else (_INT32,))) for name, rule in rules.items()}

    def _rules_of(self, name: str, parameters: dict[str, inspect.Parameter]) -> Iterator[Rule]:
        """Yield the rules of an argument, range rules first; an argument in **kwargs has only the rules of its name."""
        if name in self._rules and self._rules[name] is None:
            return
        parameter, ranges, own = parameters.get(name), self._ranges.get(name, ()), (_TYPES | self._rules).get(name)
        yield from (
            Rule(rule.words, lambda value, rule=rule: not _is_known(value) or rule.holds(value)) for rule in ranges
        )
        annotation = inspect.Parameter.empty if parameter is None else parameter.annotation
        kinds = [*alternatives(annotation)]
        rules = [*([_INT32] if TYPES[int] in kinds else []), *(_LIMITS if TYPES[float] in kinds else ())]
        if own is not None and not own.is_range:
            rules.insert(0, own)
        elif None not in kinds:
            kind = any_of([kind for kind in kinds if kind is not None])
            rules.insert(0, kind._replace(words=_full_words(kind.words, ranges)))
        may_be_none = parameter is None or parameter.default is None or types.NoneType in get_args(annotation)
        for rule in rules:
            holds = rule.holds
            yield Rule(rule.words, lambda value, holds=holds: (may_be_none and value is None) or holds(value))


@functools.cache
def _made_of(cls: type) -> dict[str, inspect.Parameter]:
    """Return the constructor parameters of a class and of its base classes by name."""
    made_of: dict[str, inspect.Parameter] = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            made_of |= inspect.signature(base.__init__).parameters
    return made_of


def _full_words(kind: str, ranges: tuple[Rule, ...]) -> str:
    """Describe a type and its range."""
    for plain in ("a whole number", "a number"):
        if ranges and kind.startswith(plain):
            return f"{plain} {ranges[0].words.removeprefix(plain).lstrip()}{kind.removeprefix(plain)}"
    return kind


def _problem(name: str, rule: Rule, value: Any) -> str:
    """Write the error message for a bad argument."""
    return f"{name} must be {rule.words}, got {described(value)}."


def _is_known(value: Any) -> bool:
    """Return whether a value is a concrete number that can be read without blocking."""
    is_array = isinstance(value, np.ndarray) and not value.ndim and value.dtype.kind in "biuf"
    return is_array or isinstance(value, int | float | np.number | np.bool_)


def _is_own(error: BaseException) -> bool:
    """Return whether a line of bnjax outside this file raised an error, rather than a library that it called.

    NOTE: JAX removes its own frames from tracebacks, so the last frame may be a call into JAX; its bytecode decides.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not last.tb_frame.f_globals.get("__name__", "").startswith("bnjax."):
        return False
    is_raise = dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == "RAISE_VARARGS"
    return is_raise and last.tb_frame.f_globals["__name__"] != __name__
