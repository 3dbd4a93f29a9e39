"""Lazy checks of types refuse what jaxtyping's own refuse, also in closures, and keep nothing alive."""

import gc
import importlib
import inspect
import pkgutil
import threading
import weakref
from dataclasses import dataclass

import jax.numpy as jnp
import pytest
from beartype import beartype
from jaxtyping import Array, Float, TypeCheckError
from type_checks import _SHARED, CHECKS, jaxtyped

import bnjax

checked = jaxtyped(typechecker=beartype)


@checked
def total(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, ""]:
    """Add the sums."""
    return x.sum() + y.sum()


def make(factor, wrong=False):
    """Make a function that is checked."""

    @checked
    def scaled(x: Float[Array, "n"]) -> "Float[Array, 'n']":
        return x[:-1] if wrong else factor * x

    return scaled


def test_arguments_and_results():
    """Shapes that contradict each other, other types, and wrong results are refused at every call, right ones pass."""
    assert total(jnp.ones(3), jnp.ones(3)) == 6
    for _ in range(2):
        with pytest.raises(TypeCheckError, match=r"parameters of .*total"):
            total(jnp.ones(3), jnp.ones(2))
        with pytest.raises(TypeCheckError, match=r"parameters of .*total"):
            total(jnp.ones(3), 1.0)
        with pytest.raises(TypeCheckError, match=r"return value of .*scaled"):
            make(1, wrong=True)(jnp.ones(3))
    assert [parameter.name for parameter in inspect.signature(total).parameters.values()] == ["x", "y"]


def test_closures_share_a_check():
    """Each calls its own function, one within another and in threads too; their check is made once."""
    before = len(_SHARED)
    functions = [make(factor) for factor in (2, 3, 5)]
    results = []
    threads = [threading.Thread(target=lambda f=f: results.append(float(f(jnp.ones(2))[0]))) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [2, 3, 5]
    assert len(_SHARED) <= before + 1
    outer = make(functions[1](jnp.ones(1)))
    assert outer(functions[0](jnp.ones(1))) == 6
    with pytest.raises(TypeCheckError):
        functions[2](jnp.ones((2, 2)))
    assert functions[0](jnp.ones(1)) == 2


@pytest.mark.slow
def test_nothing_is_kept():
    """What a closure holds ends with it."""
    held = jnp.ones(3) + 1
    scaled = make(held)
    scaled(jnp.ones(3))
    held = weakref.ref(held)
    del scaled
    gc.collect()
    assert held() is None


def test_dataclasses():
    """Their fields are checked."""

    @checked
    @dataclass
    class Pair:
        x: int
        y: str

    assert Pair(1, "a").y == "a"
    with pytest.raises(TypeCheckError):
        Pair("a", "b")


@pytest.mark.thorough
def test_every_annotation_can_be_checked():
    """Those of functions that no test calls, too."""
    for module in pkgutil.walk_packages(bnjax.__path__, "bnjax."):
        importlib.import_module(module.name)
    assert len(CHECKS) > 500
    for make_check in CHECKS:
        make_check()
