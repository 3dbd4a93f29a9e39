"""Bad arguments of every public function: each is told by its name, never from inside jax, numpy or optax."""

import random
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from calls import CALLS, SPLIT, STATS, X
from fuzzed import bad_arguments, untold

from bnjax import data, linen, losses, norms, probes, sweep, theory, train
from bnjax._host.arguments import between, checked, whole
from bnjax.types import Number

# Of these even one call takes long.
SLOW = (
    "sweep.",
    "train.",
    "probes.c",
    "probes.scan",
    "probes.directions.principal",
    "draw.",
    "linen.",
    "nnx.",
    "convert.",
)


@pytest.fixture(autouse=True)
def _somewhere(as_a_user, tmp_path, monkeypatch):
    """Let what is written, such as a scan to resume, be written elsewhere."""
    monkeypatch.chdir(tmp_path)


def _any(value: Any) -> Any:
    """Hide a wrong type from the type checker."""
    return value


def _sampled(name):
    """List three bad arguments of a function, always the same."""
    found = [*bad_arguments(name)]
    return random.Random(name).sample(found, min(3, len(found)))


@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith(SLOW)])
def test_bad_arguments_are_named(name):
    """Three of them, of functions that are called fast."""
    assert not [
        (argument, what, error) for argument, what, value in _sampled(name) if (error := untold(name, argument, value))
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*CALLS])
def test_all_bad_arguments_are_named(name):
    """Every argument of every function, with every bad value."""
    told = [(argument, what, untold(name, argument, value)) for argument, what, value in bad_arguments(name)]
    assert not [case for case in told if case[2] is not None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: norms.batch_norm(X, STATS, train=True, epsilon=-1.0),
            "epsilon must be >= 0 and finite, got -1.0.",
        ),
        (lambda: norms.batch_norm(X, STATS, train=True, momentum=1.5), "momentum must be in [0, 1], got 1.5."),
        (lambda: norms.batch_norm(_any([1.0]), STATS, train=True), "x must be an array of numbers, got [1.0]."),
        (lambda: norms.init_batch_stats(_any(2.5)), "num_features must be a whole number >= 1, got 2.5."),
        (
            lambda: norms.init_batch_stats(2**31),
            "num_features must be at most 2147483647, got 2147483648.",
        ),
        (lambda: linen.BatchNorm(epsilon=float("nan")), "epsilon must be >= 0 and finite, got nan."),
        (lambda: linen.LayerNorm(dtype="x"), "dtype must be a type of numbers, such as jnp.float32, got 'x'."),
        (
            lambda: train.make_optimizer("sgd", 1e300),
            "learning_rate must be at most 3.4e38, float32's largest number, got 1e+300.",
        ),
        (
            lambda: train.make_optimizer("sgd", 10**30),
            "learning_rate must be a float where int32 cannot hold it, got 1000000000000000000000000000000.",
        ),
        (lambda: train.make_optimizer("sgd", 0.1, momentum=1.0), "momentum must be in [0, 1), got 1.0."),
        (
            lambda: losses.cross_entropy(X, jnp.ones(8)),
            "labels must be an array of whole numbers, got float32 of shape (8,).",
        ),
        (
            lambda: losses.squared_error(X[0, 0], X),
            "outputs must be an array of numbers of shape (...examples, outputs), got float32 of shape ().",
        ),
        (
            lambda: data.draw_indices(0, 0, num_steps=1, num_examples=8, batch_size=4),
            "key must be a key, as jax.random.key makes it, got 0.",
        ),
        (
            lambda: probes.scan_line(_any(None), X),
            "loss_fn must be a function, got None.",
        ),
        (
            lambda: probes.scan_line(jnp.sum, {"w": "x"}),
            "params must be arrays in dictionaries, lists or tuples, got dict.",
        ),
        (lambda: sweep.grid(seed=_any(3)), "seed must be a list of values, got 3."),
        (lambda: sweep.grid(seed=range(2), norm="lp"), "norm must be a list of values, got 'lp'."),
        (
            lambda: sweep.programs(train.Trainer, sweep.grid(seed=[0], learning_rate=[0.1, -1.0])),
            "learning_rate must be > 0 and finite, got -1.0.",
        ),
        (
            lambda: sweep.programs(train.Trainer, sweep.grid(seed=[0], factor=[1e300])),
            "factor must be at most 3.4e38, float32's largest number, got 1e+300.",
        ),
        (
            lambda: data.take_batch(SPLIT, jnp.array([0, 8])),
            "indices must lie in [-8, 8), the examples that there are, got 8.",
        ),
        (
            lambda: probes.evaluate_points(jnp.sum, X, [X], np.array([[np.nan]])),
            "coordinates must be finite, got nan.",
        ),
        (lambda: theory.gradient_bound(_any(3)), "unit must be a Unit, got 3."),
    ],
)
def test_messages(call, message):
    """One line: the argument, the rule, and the value."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


@checked(share=between(0, 1), steps=whole(2))
def _scaled(x: jax.Array, share: Number = 0.5, steps: int = 2, others: tuple[float, ...] = ()):
    """Do what any function does."""
    return x * share * steps


@pytest.mark.parametrize("share", [np.float32(0.5), np.array(0.5), jnp.array(0.5), 1, jnp.array(7.0)])
def test_numbers_of_all_kinds_pass(share):
    """Python's, NumPy's and JAX's, whose values are not waited for."""
    assert _scaled(jnp.ones(2), share).shape == (2,)


def test_traced_numbers_pass():
    """Under jit, vmap and grad only shapes and types are known."""
    x = jnp.ones(2)
    assert jax.jit(_scaled)(x, 7.0).shape == (2,)
    assert jax.vmap(_scaled, (None, 0))(x, jnp.arange(3.0)).shape == (3, 2)
    assert jax.grad(lambda share: _scaled(x, share).sum())(7.0) == 4
    with pytest.raises(ValueError, match="share must be a number, got float32 of shape \\(2,\\)"):
        jax.jit(_scaled)(x, x)


def test_lists_pass_as_tuples_and_what_is_in_them_is_looked_at():
    """A list does where a tuple is asked for; a string in it does not where numbers are."""
    assert _scaled(jnp.ones(2), others=_any([1, 2.0])).shape == (2,)
    with pytest.raises(ValueError, match=r"others must be a tuple of numbers, got \[1, 'x'\]"):
        _scaled(jnp.ones(2), others=_any([1, "x"]))


def test_a_function_that_names_nothing_is_found(monkeypatch):
    """The harness sees an error from elsewhere."""
    monkeypatch.setattr(losses, "get_loss", lambda name: {}[name])
    assert isinstance(untold("losses.get_loss", "name", "x"), KeyError)
