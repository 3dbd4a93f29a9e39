"""Rules that annotations impose on arguments: a description of each type, and a test of values."""

import functools
import inspect
import itertools
import types
from collections import abc
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from bnjax._host.output import printable


class Rule(NamedTuple):
    """A rule for an argument: its description, and a test of values.

    Attributes:
        words: description that follows "must be".
        holds: returns whether a value satisfies the rule.
        is_range: the rule limits the size of a number.
    """

    words: str
    holds: Callable[[Any], bool]
    is_range: bool = False


def any_of(rules: list[Rule]) -> Rule:
    """Make a rule that holds if at least one of several rules does."""
    if len(rules) == 1:
        return rules[0]
    words = " or ".join(dict.fromkeys(rule.words for rule in rules))
    return Rule(words, lambda value: any(rule.holds(value) for rule in rules))


def alternatives(annotation: Any) -> Iterator[Rule | None]:
    """Yield the rules of which an annotation requires one; None allows any value."""
    if get_origin(annotation) not in (Union, types.UnionType):
        yield _of_type(annotation)
        return
    parts = [*get_args(annotation)]
    if {*parts} >= {*get_args(ArrayLike)}:
        yield Rule("numbers", lambda value: _kind(value) is not None)
        parts = [part for part in parts if part not in get_args(ArrayLike)]
    yield from map(_of_type, parts)


def _of_type(annotation: Any) -> Rule | None:
    """Return the rule of an annotation that is not a union; None allows any value."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in TYPES:
        return TYPES[annotation]
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
        return None if is_open else Rule("arrays in dictionaries, lists or tuples", holds_arrays)
    name = "Flax module" if annotation.__name__ == "Module" else annotation.__name__
    return Rule(f"{'an' if name[0] in 'AEIO' else 'a'} {name}", lambda value: isinstance(value, annotation))


# For lists of Python types: the words that describe them, and the kinds of arrays that are accepted in their place.
_IN_LISTS = {int: (" of whole numbers", "i"), float: (" of numbers", "if"), str: (" of strings", ""), Any: ("", "ifc")}


def _of_container(origin: type, inner: tuple[Any, ...]) -> Rule:
    """Return the rule of a container, which includes its items unless it can be iterated only once."""
    if issubclass(origin, abc.Mapping):
        return Rule("a dictionary", lambda value: isinstance(value, abc.Mapping))
    parts = [part for part in inner if part is not Ellipsis]
    items = [[*alternatives(part)] for part in parts]
    # NOTE: a list is accepted in place of a tuple.
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
    """Return the rule of an array: its rank, and whether it holds integers, booleans or numbers of any type."""
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
def kind_of(dtype: Any) -> str | None:
    """Return NumPy's kind letter of a numeric type, V for JAX's extended types such as keys, or None for any other."""
    letters = {jax.dtypes.extended: "V", jnp.floating: "f", jnp.integer: "i", jnp.complexfloating: "c", jnp.bool_: "b"}
    return next((letter for kind, letter in letters.items() if jnp.issubdtype(dtype, kind)), None)


def _kind(value: Any) -> str | None:
    """Return the kind letter of an array, or of nested lists that form one; None if the value is neither."""
    try:
        return kind_of(value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype)
    except Exception:  # NOTE: a value that NumPy cannot read, for any reason, is not an array.
        return None


def holds_arrays(tree: Any) -> bool:
    """Return whether the leaves of a tree are numbers."""
    return all(_kind(leaf) is not None for leaf in jax.tree.leaves(tree))


def is_one(value: Any, types: Any, kinds: str) -> bool:
    """Return whether a value is a Python number of the given types, or an array of shape () of the given kinds."""
    if isinstance(value, bool | int | float):
        return isinstance(value, types) and (isinstance(value, bool) <= (kinds == "b"))
    return getattr(value, "shape", None) == () and (_kind(value) or "none") in kinds


TYPES = {
    float: Rule("a number", lambda value: is_one(value, int | float, "if")),
    int: Rule("a whole number", lambda value: is_one(value, int, "i")),
    bool: Rule("True or False", lambda value: is_one(value, bool, "b") or (isinstance(value, int) and value in (0, 1))),
    str: Rule("a string", lambda value: isinstance(value, str)),
    Array: Rule("an array", lambda value: hasattr(value, "shape") and _kind(value) is not None),
    types.NoneType: Rule("None", lambda value: value is None),
}


def described(value: Any) -> str:
    """Describe a value in a few words."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None and (shape or not isinstance(value, np.generic)):
        return f"{dtype} of shape {shape}"
    if value is None or isinstance(value, str | int | float | complex | np.generic | tuple | list):
        text = printable(str(value) if isinstance(value, np.generic) else repr(value))
        return text if len(text) <= 60 else f"{text[:57]}..."
    return printable(type(value).__name__)


def is_key(value: Any) -> bool:
    """Return whether a value is one random key, typed or raw."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        return False
    return shape == () if kind_of(dtype) == "V" else dtype == np.uint32 and len(shape) == 1


def is_dtype(value: Any) -> bool:
    """Return whether a value is a numeric type that JAX arrays can have."""
    if isinstance(value, Array | np.ndarray):
        return False
    try:
        return bool(jnp.issubdtype(jnp.dtype(value), jnp.number))
    except TypeError:
        return False
