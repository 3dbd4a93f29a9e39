"""What public functions take: one table of rules, by the types that arguments are annotated with and by their names.

A decorated function raises, in one line that names the argument, before anything is computed. Types and shapes are looked at,
and values of Python's and NumPy's numbers; never those of JAX's arrays, which may be traced, or not computed yet. So a
compiled program does nothing for it.
"""

import functools
import inspect
import itertools
import math
import types
from collections import abc
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from bnjax._host.output import printable

F = TypeVar("F", bound=Callable[..., Any])


class Rule(NamedTuple):
    """What an argument must be, in words, and whether a value is it.

    Attributes:
        words: that follow "must be".
        holds: tells whether a value is it.
        alone: stands in the place of the rule of the argument's type; else it may rely on that.
    """

    words: str
    holds: Callable[[Any], bool]
    alone: bool = False


def checked(**rules: Rule | None) -> Callable[[F], F]:
    """Decorate a public function, whose arguments then follow their annotations and the rules of their names.

    Args:
        rules: of this function's own, in the place of those of the name; None is no rule at all.

    Returns:
        The decorator.
    """

    def decorate(function: F) -> F:
        table = _table_of(inspect.signature(function), rules)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            _check(table, itertools.chain(zip(table, args, strict=False), kwargs.items()))
            return function(*args, **kwargs)

        return call  # pyright: ignore[reportReturnType]

    return decorate


def check_fields(module: Any) -> None:
    """Check the fields of a dataclass that is a linen module by the same rules."""
    table = _fields_of(type(module))
    _check(table, ((name, getattr(module, name)) for name in table))


def check_number(name: str, value: float | int) -> None:
    """Check a number that will be the argument of that name, such as a learning rate of a grid, where it will be traced."""
    limits = [limit for kind, limit in _LIMITS if isinstance(value, kind)]
    _check({name: [*filter(None, [_BY_NAME.get(name)]), *limits]}, [(name, value)])


@functools.cache
def _fields_of(cls: type) -> dict[str, list[Rule]]:
    """List the rules of a linen module's fields, but for those of Flax's own."""
    return _table_of(inspect.signature(cls), {"parent": None, "name": None})


def _table_of(signature: inspect.Signature, rules: dict[str, Rule | None]) -> dict[str, list[Rule]]:
    """List the rules of each parameter."""
    return {name: [*_rules_of(parameter, rules)] for name, parameter in signature.parameters.items()}


def _check(table: dict[str, list[Rule]], arguments: Iterable[tuple[str, Any]]) -> None:
    """Raise at the first argument that breaks a rule."""
    for name, value in arguments:
        for rule in table.get(name, ()):
            if not rule.holds(value):
                raise ValueError(f"{name} must be {rule.words}, got {described(value)}.")


def between(low: float | int, high: float | int = math.inf, *, above: bool = False, below: bool = False) -> Rule:
    """Make the rule of a number in a range, its ends included unless it lies above or below them; infinity never is."""
    words = f"{'>' if above else '>='} {low} and finite"
    if high < math.inf:
        words = f"in {'(' if above else '['}{low}, {high}{')' if below else ']'}"

    def holds(value: Any) -> bool:
        if not _is_known(value):
            return True
        return bool(
            (low < value if above else low <= value) and (value < high if below or high == math.inf else value <= high)
        )

    return Rule(words, holds)


def whole(low: int) -> Rule:
    """Make the rule of a whole number that is not below another."""

    def holds(value: Any) -> bool:
        return _TYPES[int].holds(value) and (not _is_known(value) or bool(value >= low))

    return Rule(f"a whole number >= {low}", holds, alone=True)


NOT_EMPTY = Rule("an array with at least one entry", lambda value: 0 not in jnp.shape(value))


def having(words: str, *names: str) -> Rule:
    """Make the rule of an object that has some attributes."""
    return Rule(words, lambda value: all(hasattr(value, name) for name in names), alone=True)


def _is_known(value: Any) -> bool:
    """Return whether a value can be looked at without waiting for it."""
    return isinstance(value, int | float | np.generic) or (isinstance(value, np.ndarray) and not value.ndim)


def _is_key(value: Any) -> bool:
    """Return whether a value is one random key, typed or raw."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        return False
    return shape == () if _kind_of(dtype) == "V" else dtype == np.uint32 and len(shape) == 1


def _is_dtype(value: Any) -> bool:
    """Return whether JAX has arrays of numbers of a type."""
    if isinstance(value, Array | np.ndarray):
        return False
    try:
        return bool(jnp.issubdtype(jnp.dtype(value), jnp.number))
    except TypeError:
        return False


# Rules by the names of arguments, which mean the same wherever they stand.
_BY_NAME = {
    **dict.fromkeys(("epsilon", "strength", "l2", "weight_decay", "d_max", "tolerance", "input_norm"), between(0)),
    **dict.fromkeys(("learning_rate", "width"), between(0, above=True)),
    "momentum": between(0, 1),
    "r_max": between(1),
    **dict.fromkeys(("batch_size", "num_examples", "num_features", "num_groups", "ghost_size"), whole(1)),
    **dict.fromkeys(("num", "num_probes", "num_matvecs", "num_points", "max_matvecs", "basis_size"), whole(1)),
    **dict.fromkeys(("num_steps", "chunk_size", "test_every", "num_quantiles", "bins", "image_size"), whole(1)),
    **dict.fromkeys(("step", "num_batches", "num_batches_tracked"), whole(0)),
    "key": Rule("a key, as jax.random.key makes it", _is_key, alone=True),
    "rngs": Rule(
        "a dictionary of keys, as jax.random.key makes them",
        lambda value: isinstance(value, abc.Mapping) and all(map(_is_key, value.values())),
        alone=True,
    ),
    **dict.fromkeys(("dtype", "param_dtype"), Rule("a type of numbers, such as jnp.float32", _is_dtype, alone=True)),
    "stats": having("a BatchStats, as norms.init_batch_stats makes them", "mean", "var"),
    "ax": having("Matplotlib axes", "plot", "figure"),
}


def _rules_of(parameter: inspect.Parameter, rules: dict[str, Rule | None]) -> Iterator[Rule]:
    """List the rules of a parameter: of its type first, on which that of its name may rely; None is what it may be."""
    may_be_none = parameter.default is None or types.NoneType in get_args(parameter.annotation)
    for rule in _strict_rules_of(parameter, rules):
        yield (
            rule._replace(holds=lambda value, holds=rule.holds: value is None or holds(value)) if may_be_none else rule
        )


def _strict_rules_of(parameter: inspect.Parameter, rules: dict[str, Rule | None]) -> Iterator[Rule]:
    """List the rules of a parameter for what is not None."""
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or rules.get(name, ()) is None:
        return
    own = rules.get(name, _BY_NAME.get(name))
    alternatives = [*_alternatives(parameter.annotation)]
    if not (own and own.alone) and None not in alternatives:
        yield _any_of([rule for rule in alternatives if rule is not None])
    if own is not None:
        yield own
    yield from (limit for kind, limit in _LIMITS if _TYPES[kind] in alternatives)


def _any_of(rules: list[Rule]) -> Rule:
    """Make the rule of which one of several holds."""
    if len(rules) == 1:
        return rules[0]
    words = " or ".join(dict.fromkeys(rule.words for rule in rules))
    return Rule(words, lambda value: any(rule.holds(value) for rule in rules))


def _alternatives(annotation: Any) -> Iterator[Rule | None]:
    """List the rules one of which an annotation asks for; None is anything."""
    if get_origin(annotation) not in (Union, types.UnionType):
        yield _of_type(annotation)
        return
    parts = [*get_args(annotation)]
    if {*parts} >= {*get_args(ArrayLike)}:
        yield Rule("numbers", lambda value: _kind(value) is not None)
        parts = [part for part in parts if part not in get_args(ArrayLike)]
    yield from map(_of_type, parts)


def _of_type(annotation: Any) -> Rule | None:
    """Return what an annotation without alternatives asks for; None is anything."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _TYPES:
        return _TYPES[annotation]
    if origin is Literal:
        words = f"one of {', '.join(map(str, inner))}"
        return Rule(words, lambda value: isinstance(value, str | int | np.integer) and value in inner)
    if origin is abc.Callable or getattr(annotation, "_is_protocol", False):
        return Rule("a function", callable)
    if isinstance(origin, type):
        return _of_container(origin, inner)
    if annotation in (abc.Sequence, abc.Mapping, tuple, list, dict):
        return _of_container(annotation, (Any, ...))
    if not inspect.isclass(annotation) or annotation in (Any, inspect.Parameter.empty):
        return None
    if issubclass(annotation, jaxtyping.AbstractArray):
        return _of_array(annotation)
    if issubclass(annotation, jaxtyping.PyTree):
        is_open = getattr(annotation, "leaftype", Any) is not Array
        return None if is_open else Rule("arrays in dictionaries, lists or tuples", _holds_arrays)
    name = "Flax module" if annotation.__name__ == "Module" else annotation.__name__
    return Rule(f"{'an' if name[0] in 'AEIO' else 'a'} {name}", lambda value: isinstance(value, annotation))


# What lists of Python's types are called, and which arrays do as well.
_IN_LISTS = {int: (" of whole numbers", "i"), float: (" of numbers", "if"), str: (" of strings", ""), Any: ("", "ifc")}


def _of_container(origin: type, inner: tuple[Any, ...]) -> Rule:
    """Return the rule of a container, and of what stands in it where that can be looked at twice."""
    if issubclass(origin, abc.Mapping):
        return Rule("a dictionary", lambda value: isinstance(value, abc.Mapping))
    parts = [part for part in inner if part is not Ellipsis]
    items = [[*_alternatives(part)] for part in parts]
    # NOTE: a list does where a tuple is asked for.
    kinds, is_pair = (tuple | list, Ellipsis not in inner) if origin is tuple else (origin, False)
    what, letters = _IN_LISTS.get(parts[0], ("", "")) if len({*parts}) == 1 else ("", "")
    words = f"{'a tuple' if origin is tuple else 'a list'}{what}"

    def holds(value: Any) -> bool:
        if isinstance(value, Tracer | Array | np.ndarray):
            return origin is not tuple and value.ndim == 1 and (_kind(value) or "none") in letters
        if not isinstance(value, kinds) or isinstance(value, str | bytes):
            return False
        if not isinstance(value, abc.Collection) or (is_pair and len(value) != len(items)):
            return not isinstance(value, abc.Collection)
        each = zip(value, items if is_pair else itertools.repeat(items[0]), strict=False)
        return all(None in rules or any(rule.holds(item) for rule in rules if rule) for item, rules in each)

    return Rule(f"{words}, {len(parts)} of them" if is_pair else words, holds)


def _of_array(annotation: type[jaxtyping.AbstractArray]) -> Rule:
    """Return the rule of an array: its rank, and whether it holds whole numbers, truth values or numbers of any type."""
    dims = annotation.dim_str.split()
    fixed = [dim for dim in dims if not dim.startswith(("*", "..."))]
    names = annotation.dtypes if isinstance(annotation.dtypes, list | tuple) else ["any"]
    kinds, what = "biufcV", "numbers"
    if {*names} <= {"bool", "bool_"}:
        kinds, what = "b", "booleans"
    elif not any(name.startswith(("float", "bfloat", "any", "bool")) for name in names):
        kinds, what = "iu", "whole numbers"
    shape = f" of shape ({', '.join(dim.replace('*', '...') for dim in dims)}{',' * (len(dims) == 1)})" if fixed else ""

    def holds(value: Any) -> bool:
        if not hasattr(value, "shape") or (_kind(value) or "none") not in kinds:
            return False
        return len(value.shape) == len(fixed) if fixed == dims else len(value.shape) >= len(fixed)

    return Rule(f"an array of {what}{shape}" if dims else f"a {what.removesuffix('s')}", holds)


@functools.lru_cache(256)
def _kind_of(dtype: Any) -> str | None:
    """Return NumPy's letter for a type of numbers, V for JAX's own such as keys, or None for what holds no numbers."""
    letters = {jax.dtypes.extended: "V", jnp.floating: "f", jnp.integer: "i", jnp.complexfloating: "c", jnp.bool_: "b"}
    return next((letter for kind, letter in letters.items() if jnp.issubdtype(dtype, kind)), None)


def _kind(value: Any) -> str | None:
    """Return the kind of some numbers, of an array or of lists that make one, or None."""
    try:
        return _kind_of(value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype)
    except Exception:  # NOTE: what NumPy cannot read, for any reason, is no array.
        return None


def _holds_arrays(tree: Any) -> bool:
    """Return whether the leaves of a tree are numbers."""
    return all(_kind(leaf) is not None for leaf in jax.tree.leaves(tree))


def _is_one(value: Any, types: Any, kinds: str) -> bool:
    """Return whether a value is one number of some Python types, or an array of one, of some kinds."""
    if isinstance(value, bool | int | float):
        return isinstance(value, types) and (isinstance(value, bool) <= (kinds == "b"))
    return getattr(value, "shape", None) == () and (_kind(value) or "none") in kinds


_TYPES = {
    float: Rule("a number", lambda value: _is_one(value, int | float, "if")),
    int: Rule("a whole number", lambda value: _is_one(value, int, "i")),
    bool: Rule("True or False", lambda value: _is_one(value, bool, "b")),
    str: Rule("a string", lambda value: isinstance(value, str)),
    Array: Rule("an array", lambda value: hasattr(value, "shape") and _kind(value) is not None),
    types.NoneType: Rule("None", lambda value: value is None),
}


_LARGEST = float(np.finfo(np.float32).max)
# What arrays can hold. JAX takes Python's whole numbers as int32, also where floats are meant.
_LIMITS = (
    (int, Rule("at most 2147483647", lambda value: not isinstance(value, int) or value < 2**31)),
    (float, Rule("a float where int32 cannot hold it", lambda value: not isinstance(value, int) or abs(value) < 2**31)),
    (
        float,
        Rule(
            "at most 3.4e38, float32's largest number",
            lambda value: not isinstance(value, float) or value <= _LARGEST or value == math.inf,
        ),
    ),
)


def described(value: Any) -> str:
    """Describe a value in a few words."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None and (shape or not isinstance(value, np.generic)):
        return f"{dtype} of shape {shape}"
    if value is None or isinstance(value, str | int | float | complex | np.generic | tuple | list):
        text = printable(str(value) if isinstance(value, np.generic) else repr(value))
        return text if len(text) <= 60 else f"{text[:57]}..."
    return printable(type(value).__name__)
