"""Bad arguments of every public function: each is told by its name, never from inside jax, numpy or optax."""

import inspect
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from calls import CALLS, FEATURES, KEY, SPLIT, STATS, X
from flax.nnx import Param, Rngs
from fuzzed import bad_arguments, untold

from bnjax import data, linen, losses, nnx, norms, probes, sweep, theory, train
from bnjax._host.arguments import between, checked, whole
from bnjax.types import Number

# Of these even one call takes long.
SLOW = (
    "sweep.",
    "train.",
    "probes.c",
    "norms.recalibrate",
    "probes.evaluate",
    "probes.scan",
    "probes.stack",
    "probes.directions.principal",
    "draw.",
    "linen.",
    "nnx.",
    "convert.",
)


ARRAY, DTYPE = "must be an array of numbers", "must be a type of numbers, such as jnp.float32"


@pytest.fixture(autouse=True)
def _somewhere(as_a_user, tmp_path, monkeypatch):
    """Let what is written, such as a scan to resume, be written elsewhere."""
    monkeypatch.chdir(tmp_path)


def _any(value: Any) -> Any:
    """Hide a wrong type from the type checker."""
    return value


def _sampled(name):
    """List two bad arguments of a function, always the same."""
    found = [*bad_arguments(name)]
    return random.Random(name).sample(found, min(2, len(found)))


@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith(SLOW)])
def test_bad_arguments_are_named(name):
    """Two of them, of functions that are called fast."""
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
        (lambda: norms.batch_norm(_any("x"), STATS, train=True), "x must be an array of numbers, got 'x'."),
        (lambda: norms.batch_norm(X, STATS, _any([1.0] * 6), train=True), f"scale {ARRAY} or None, got {[1.0] * 6}."),
        (
            lambda: norms.batch_norm(X, STATS, train=True, momentum=_any("x")),
            "momentum must be a number in [0, 1], got 'x'.",
        ),
        (lambda: sweep.make_plan(_any(None), 2), "num_steps must be a whole number >= 1, got None."),
        (lambda: norms.init_batch_stats(_any(2.5)), "num_features must be a whole number >= 0, got 2.5."),
        (
            lambda: norms.init_batch_stats(2**31),
            "num_features must be at most 2147483647, got 2147483648.",
        ),
        (lambda: linen.LayerNorm(epsilon=float("nan")).init(KEY, X), "epsilon must be >= 0 and finite, got nan."),
        (lambda: linen.LayerNorm(dtype="x").init(KEY, X), f"dtype {DTYPE}, got 'x'."),
        (lambda: nnx.LayerNorm(6, rngs=Rngs(0), dtype="x")(X), f"dtype {DTYPE}, got 'x'."),
        (lambda: nnx.LayerNorm(6, rngs=_any(None)), "rngs must be nnx.Rngs, got None."),
        (lambda: linen.LayerNorm(scale_init=_any(3)).init(KEY, X), "scale_init must be a function, got 3."),
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
            lambda: losses.squared_error(_any([1.0]), X),
            "outputs must be an array of numbers of shape (...examples, outputs), got [1.0].",
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
            lambda: data.take_batch(SPLIT, _any(np.array([0, 8]))),
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
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        call()
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: norms.batch_norm(X, STATS, train=True, momentum=_any(None)),
            "momentum must be a number, as norms.cumulative_momentum gives for plain averages, got None.",
        ),
        (
            lambda: norms.batch_norm(X, _any(None), train=True),
            "stats must be a BatchStats, as norms.init_batch_stats makes them, got NoneType.",
        ),
        (
            lambda: norms.batch_norm(X, STATS, train=True, axis=_any("x")),
            "axis must be a whole number or a tuple of them, got 'x'.",
        ),
        (
            lambda: norms.batch_norm(X, STATS, train=True, mask=jnp.ones((8, 1))),
            "mask must hold booleans, True where an entry counts, got float32.",
        ),
        (lambda: norms.lp_norm(X, STATS, train=True, p=_any("x")), "p must be 1, 2 or 'inf', got 'x'."),
        (
            lambda: norms.group_norm(X, FEATURES, num_groups=0),
            "num_groups must divide the number of features, 6, got 0.",
        ),
        (
            lambda: norms.ghost_batch_norm(X, STATS, train=True, ghost_size=3),
            "ghost_size must divide the number of examples, 8, got 3.",
        ),
        (
            lambda: norms.add_noise(X, _any(None)),
            "key must be a jax.random.key where noise is added, got None.",
        ),
        (
            lambda: norms.fold_batch_norm(X, None, _any(None)),
            "stats must be a BatchStats, or a dictionary with mean and var, got NoneType.",
        ),
        (
            lambda: data.steps_per_epoch(8, 0),
            "batch_size must lie between 1 and the 8 examples there are, got 0.",
        ),
        (lambda: losses.get_loss(_any(None)), "loss must be one of cross_entropy, squared_error, got None."),
        (
            lambda: theory.normalise_unit(X, X),
            "pre_activation and gradient must be vectors over the same examples, got (8, 6) and (8, 6).",
        ),
    ],
)
def test_a_function_s_own_line_wins(call, message):
    """What a function says itself, which is more, is never replaced by the rule of an argument's type."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        call()
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "call",
    [
        lambda: norms.fold_batch_norm(X, None, _any(STATS._asdict())),
        lambda: norms.fold_batch_norm(_any(Param(X)), _any(Param(FEATURES)), STATS),
        lambda: norms.batch_norm(_any(X.tolist()), STATS, train=True),
        lambda: norms.batch_norm(X, STATS, train=True, mask=_any([[True]] * 8), axis=_any([np.int64(1)])),
        lambda: norms.batch_norm(X, STATS, train=True, momentum=_any(jnp.full(6, 0.9))),
        lambda: norms.batch_renorm(X, STATS, train=True, r_max=np.inf, d_max=np.inf),
        lambda: norms.add_noise(X, jax.random.PRNGKey(0), strength=-1.0),
        lambda: norms.init_batch_stats(_any(np.int64(0)), "float16"),
        lambda: linen.LayerNorm(use_scale=False, scale_init=_any(None)).init(KEY, X),
        lambda: nnx.BatchNorm(6, use_scale=False, use_bias=False, rngs=_any(None))(X),
        lambda: jax.eval_shape(partial(norms.batch_norm, train=True), jax.ShapeDtypeStruct((8, 6), float), STATS),
        lambda: jax.eval_shape(linen.LayerNorm().init, KEY, jax.ShapeDtypeStruct((8, 6), jnp.float32)),
        lambda: probes.scan_line(lambda w: w**2, _any(1.5), step_sizes=_any((0, 1))),
    ],
)
def test_what_works_is_not_refused(call):
    """A value of another type than the annotation's is none of the table's business as long as the function takes it."""
    assert jax.tree.leaves(call())


def test_signatures_and_docstrings_stay():
    """A decorated function reads like the one that was written."""
    assert [*inspect.signature(norms.batch_norm).parameters][:2] == ["x", "stats"]
    assert norms.batch_norm.__doc__.startswith("Normalise")
    assert norms.batch_norm.__module__ == "bnjax.norms.batch"


@checked("others")
def _kept(others: tuple[float, ...]):
    """Do something later."""
    return lambda: sum(others)


@checked()
def _passed_on(x: jax.Array, loss_fn: Callable[[jax.Array], jax.Array], largest: float = 1.0):
    """Call what a user has written."""
    return loss_fn(x) * largest


def test_a_users_own_error_stays():
    """Where every argument is of its type, whatever a user's function raises comes through; want of memory always does."""

    def broken(error):
        raise error

    for error in (KeyError("mine"), MemoryError(), ValueError("mine")):
        with pytest.raises(type(error)) as raised:
            _passed_on(X, lambda x, error=error: broken(error))
        assert raised.value is error
    with pytest.raises(MemoryError):
        _passed_on(X, lambda x: broken(MemoryError()), _any("x"))


@checked(share=between(0, 1), steps=whole(2))
def _scaled(x: jax.Array, share: Number = 0.5, steps: int = 2):
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
    with pytest.raises(ValueError, match=r"x must be an array, got 'x'\."):
        jax.jit(lambda share: _scaled(_any("x"), share))(7.0)


def test_lists_pass_as_tuples_and_what_is_in_them_is_looked_at():
    """A list does where a tuple is asked for; a string in it does not where numbers are."""
    assert _kept(_any([1, 2.0]))() == 3
    with pytest.raises(ValueError, match=r"others must be a tuple of numbers, got \[1, 'x'\]"):
        _kept(_any([1, "x"]))


def test_a_function_that_names_nothing_is_found(monkeypatch):
    """The harness sees an error from elsewhere."""
    monkeypatch.setattr(losses, "get_loss", lambda name: {}[name])
    assert isinstance(untold("losses.get_loss", "name", "x"), KeyError)
