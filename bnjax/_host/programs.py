"""Compiled programs: each is compiled once, kept while it is used, and freed with the model that it belongs to.

`jax.jit` keeps programs that it compiled for constants, such as a model, for the lifetime of the process. On Linux each program
takes up to hundreds of the process's memory maps, of which there are 65,530 by default; when they run out, the compiler aborts
the process. Here every program has a `jax.jit` of its own and is freed with it. Programs are bounded in number and in memory
maps: the least recently used are freed first.
"""

import contextlib
import functools
import gc
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.extend import core
from jaxtyping import PyTree

_LARGEST_NUMBER = 256  # programs
_NUM_REMEMBERED = 32  # models
# Share of the allowed memory maps in use, by any code, above which all but this many of the last programs are freed.
_LIMITS = ((0.5, 16), (0.9, 0))
_NAME = "_bnjax_programs"  # the attribute of an owner that holds them


@jax.tree_util.register_pytree_node_class
class Bound:
    """A function with its first arguments, as a pytree: its compiled program does not depend on their values.

    Two are equal if their functions are equal and their arrays are the same objects.
    """

    def __init__(self, function: Callable[..., Any], *arguments: PyTree):
        self.function, self.arguments = function, arguments

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        return self.function(*self.arguments, *arguments, **options)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bound) or self.function != other.function:
            return False
        (mine, form), (others, other_form) = (jax.tree.flatten(bound.arguments) for bound in (self, other))
        return form == other_form and all(map(_is_same, mine, others))

    def __hash__(self) -> int:
        return hash(self.function)

    def tree_flatten(self) -> tuple[tuple[PyTree, ...], Callable[..., Any]]:
        """Flatten for JAX."""
        return self.arguments, self.function

    @classmethod
    def tree_unflatten(cls, function: Callable[..., Any], arguments: tuple[PyTree, ...]) -> "Bound":
        """Rebuild from its parts."""
        return cls(function, *arguments)


def is_compiling() -> bool:
    """Return whether this runs under `jit` tracing; an eager gradient or `vmap` does not count."""
    return core.unsafe_am_i_under_a_jit_DO_NOT_USE()  # pyright: ignore[reportPrivateImportUsage]


def jitted(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function as `jax.jit` does, on a CPU with options that save a third of the compile time.

    NOTE: JAX accepts compiler options only for whole programs, so they do not apply inside another program or a derivative.
    """
    plain = jax.jit(function, **options)

    def call(*arguments: Any) -> Any:
        if is_compiling() or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments)):
            return plain(*arguments)
        check = _check.get()
        if check is not None:
            # NOTE: JAX caches the ahead-of-time compilation and the call below reuses it, so nothing is compiled twice.
            try:
                program = whole().lower(*arguments).compile()
            except Exception as error:
                check(error)
                raise
            check(program)
        return whole()(*arguments)

    @functools.cache
    def whole() -> Any:
        return jax.jit(function, compiler_options=compiler_options(), **options)

    return call


# Called with every compiled program before it runs.
_check: ContextVar[Callable[[Any], None] | None] = ContextVar("check", default=None)


@contextlib.contextmanager
def checked_before_running(check: Callable[[Any], None]) -> Iterator[None]:
    """Compile each program that is called in the context, pass it to `check`, which may raise, and then run it.

    Args:
        check: takes the result of `jax.jit(...).lower(...).compile()`, or the exception that it raises.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


@functools.cache
def compiler_options() -> dict[str, Any] | None:
    """Return compiler options for a CPU: XLA's older loop emitters, in two thirds of the time; None elsewhere."""
    options: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:  # another version has no such option
        return None
    return options


def bound(function: Callable[..., Any]) -> Bound:
    """Wrap a function in a `Bound`, which is a pytree, unless it is one already."""
    return function if isinstance(function, Bound) else Bound(function)


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function to return the same object for equal arguments, as long as they are among the last used.

    Inside compiled code, where arguments may be traced, and for unhashable arguments the function is called every time.
    """
    cached = functools.lru_cache(_NUM_REMEMBERED)(lambda _types, *args, **kwargs: function(*args, **kwargs))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            hash((args, tuple(kwargs.items())))
        except TypeError:
            return function(*args, **kwargs)
        # NOTE: keyed by their repr as well, since equality does not distinguish 1 from 1.0.
        return function(*args, **kwargs) if is_compiling() else cached(hash(repr((args, kwargs))), *args, **kwargs)

    return call


def compiled_once(
    *constants: str, owner: Callable[..., Any] | None = None, donated: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function to be compiled once for equal constants and arguments of equal shapes.

    Args:
        constants: names of arguments that are constants of the compiled program; arrays in them are passed as arguments.
        owner: maps the constants to the owner of the program, see `run`; None takes the first model among them.
        donated: name of the argument whose buffers are donated.

    Returns:
        The decorator.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        defaults = {name: signature.parameters[name].default for name in constants}

        def call(names: tuple[str, ...], *values: Any) -> Any:
            return function(**dict(zip(names, values, strict=True)))

        @functools.wraps(function)
        def once(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            fixed = {name: given.pop(name, default) for name, default in defaults.items()}
            rest = {donated: given.pop(donated), **given} if donated else given
            options = {"owner": (owner or model_in)(*fixed.values()), "donates": donated is not None}
            return run(call, ((*fixed, *rest), *fixed.values()), tuple(rest.values()), **options)

        return once

    return decorate


def run(
    function: Callable[..., Any],
    constants: tuple[Any, ...],
    arguments: tuple[PyTree, ...],
    *,
    owner: Any = None,
    donates: bool = False,
) -> Any:
    """Call `function(*constants, *arguments)` as a compiled program; inside compiled code it is inlined.

    Args:
        function: to compile; it lives as long as the process.
        constants: pytrees; their leaves are hashable, or arrays.
        arguments: pytrees of arrays.
        owner: a function, with which the program is freed. If None or an object without attributes, the program is freed only
            when it is the least recently used.
        donates: the first argument's buffers are donated.

    Returns:
        What the function returns.
    """
    if is_compiling():
        return function(*constants, *arguments)
    leaves, form = jax.tree.flatten(constants)
    arrays = [leaf if _is_array(leaf) else None for leaf in leaves]
    fixed = tuple(None if _is_array(leaf) else leaf for leaf in leaves)
    given, kept = (arguments[:1], arguments[1:]) if donates else ((), arguments)
    (given, given_form), (kept, kept_form) = jax.tree.flatten(given), jax.tree.flatten(kept)
    given = _apart(given, [*kept, *arrays])
    shapes = tuple(None if leaf is None else jax.typeof(leaf) for leaf in (*arrays, *given, *kept))
    key = (function, form, tuple(map(type, fixed)), fixed, given_form, kept_form, donates, shapes)

    def program(given: list[Any], kept: list[Any], arrays: list[Any]) -> Any:
        whole = [leaf if array is None else array for leaf, array in zip(fixed, arrays, strict=True)]
        operands = (*jax.tree.unflatten(given_form, given), *jax.tree.unflatten(kept_form, kept))
        return function(*jax.tree.unflatten(form, whole), *operands)

    return _find(owner, key, program)(given, kept, arrays)


def _apart(given: list[Any], others: list[Any]) -> list[Any]:
    """Copy arrays that occur more than once, since their buffers cannot be donated."""
    seen, apart = {id(leaf) for leaf in others}, []
    for leaf in given:
        apart.append(leaf.copy() if id(leaf) in seen and isinstance(leaf, jax.Array) else leaf)
        seen.add(id(leaf))
    return apart


def model_in(*nodes: PyTree) -> Any:
    """Return the `apply` of the first model in some pytrees, or None; compiled programs are freed with it."""

    def function(node: Any) -> Any:
        return getattr(getattr(node, "model", node), "apply", None)

    found = map(function, jax.tree.leaves(nodes, is_leaf=lambda node: function(node) is not None))
    return next((apply for apply in found if apply is not None), None)


def _is_array(leaf: Any) -> bool:
    """Return whether compiled code takes a leaf of a constant as an argument."""
    return isinstance(leaf, jax.Array | np.ndarray)


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two leaves are the same array, or equal."""
    return one is other or (not (_is_array(one) or _is_array(other)) and bool(one == other))


class _Kept(dict[Hashable, "_Program"]):
    """The programs of an owner; a copy of the owner has none."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Kept, ()


class _Program:
    """A program, where it is kept, and when it was used."""

    def __init__(self, function: Callable[..., Any], home: _Kept, key: Hashable):
        self.call = jitted(function, donate_argnums=0)
        self.home, self.key, self.used = home, key, -1


_lock = threading.RLock()
_times = itertools.count()
_unowned = _Kept()
# All programs by the time of their last use, as weak references: their owners hold them.
_programs: "weakref.WeakValueDictionary[int, _Program]" = weakref.WeakValueDictionary()


def _find(owner: Any, key: Hashable, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the program of a key, compiled when it is first called."""
    with _lock:
        home = _home(owner)
        program = home.get(key)
        if program is None:
            _make_room()
            program = home[key] = _Program(function, home, key)
        _programs.pop(program.used, None)
        program.used = next(_times)
        _programs[program.used] = program
        return program.call


def _home(owner: Any) -> _Kept:
    """Return where an owner's programs are kept: an attribute of it, so that they are freed together."""
    owner = owner.function if isinstance(owner, Bound) else owner
    try:
        # NOTE: setting an attribute on a method would set it on the class's function.
        return _unowned if inspect.ismethod(owner) else vars(owner).setdefault(_NAME, _Kept())
    except (TypeError, AttributeError):
        return _unowned


def _make_room() -> None:
    """Free programs to make room for another one."""
    while len(_programs) >= _LARGEST_NUMBER:
        _free(1)
    for share, num_kept in _LIMITS:
        free_programs(share, num_kept)


def free_programs(share: float = 0.0, num_kept: int = 0) -> None:
    """Free compiled programs, least recently used first. They are recompiled, or read from disk, when next needed.

    Programs of others, such as a user's own jitted functions, stay.

    Args:
        share: of the memory maps that the process may have; nothing is freed while it has fewer.
        num_kept: how many of the last programs stay.
    """
    if len(_programs) <= num_kept or _mapped_share() < share:
        return
    gc.collect()  # programs that have lost their owner
    while len(_programs) > num_kept and _mapped_share() >= share:
        with _lock:
            _free(-(-(len(_programs) - num_kept) // 2))


def _free(number: int) -> None:
    """Free some programs."""
    for used in sorted(_programs.keys())[:number]:
        program = _programs.pop(used, None)
        if program is not None:
            program.home.pop(program.key, None)


def _mapped_share() -> float:
    """Return which share of its allowed memory maps this process uses; 0 if unknown."""
    try:
        limit = int(Path("/proc/sys/vm/max_map_count").read_text())
        with open("/proc/self/maps", "rb") as maps:
            return sum(1 for _ in maps) / limit
    except (OSError, ValueError):
        return 0.0
