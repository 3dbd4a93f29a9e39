"""The toy: a linear regression on normalised inputs, its optima in closed form, and SGD on it; in float64."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

from bnjax import norms
from bnjax._host.programs import compiled_once
from experiments._config import Options
from experiments.shuffling import Config

_KEPT = 50  # maximum number of epochs kept of a path

Arms = dict[str, list[dict[str, Any]]]


class Data(NamedTuple):
    """Inputs, (examples, features), and labels with mean 0, (examples,)."""

    inputs: Float[Array, "examples features"]
    labels: Float[Array, " examples"]


def measure(config: Config, options: Options) -> Iterator[tuple[str, Arms]]:
    """Measure the toy with batch norm and without.

    Raises:
        ValueError: if there are several processes.
    """
    if options.distributed:
        raise ValueError("distributed must be left out: a toy is measured on one device.")
    found: Arms = {"plain": [], "batch_norm": []}
    with jax.enable_x64(True):
        for seed in config.seeds:
            keys = jax.random.split(jax.random.key(seed), 4)
            toy = draw(config, keys[0])
            for net, runs in found.items():
                record = of_net(config, toy, net == "batch_norm", keys[1:])
                runs.append({"seed": seed, "diverged_at": None, **record})
    yield "arms", found


def draw(config: Config, key: Array) -> Data:
    """Draw a linear function of norm 1, normal inputs, and labels around it."""
    weights_key, inputs_key, noise_key = jax.random.split(key, 3)
    weights = jax.random.normal(weights_key, (config.num_features,), jnp.float64)
    inputs = jax.random.normal(inputs_key, (config.num_examples, config.num_features), jnp.float64)
    noise = config.noise * jax.random.normal(noise_key, (config.num_examples,), jnp.float64)
    labels = jnp.matmul(inputs, weights / jnp.linalg.norm(weights), precision="highest") + noise
    return Data(inputs, labels - jnp.mean(labels))


def of_net(config: Config, toy: Data, is_normalised: bool, keys: Array) -> dict[str, Any]:
    """Find the optima at every batch size, and follow SGD at the smallest."""
    descent = optimum(toy, jnp.arange(config.num_examples)[None, None], is_normalised)
    length, sizes = jnp.linalg.norm(descent), []
    risk = partial(excess_risk, toy, is_normalised, descent)
    for size in config.batch_sizes:
        fixed_rows = shuffles(keys[0], config.num_shuffles, config.num_examples, size)
        fixed = optimum_of_each(toy, fixed_rows, is_normalised)
        again = optimum(toy, shuffles(keys[1], config.num_averaged, config.num_examples, size), is_normalised)
        sizes.append(
            {
                "fixed": jnp.median(jnp.linalg.norm(fixed - descent[None], axis=1)) / length,
                "again": jnp.linalg.norm(again - descent) / length,
                "between": jnp.median(jnp.linalg.norm(fixed - again[None], axis=1)) / length,
                "risk_fixed": jnp.median(jax.vmap(risk)(fixed)),
                "risk_again": risk(again),
            }
        )
    smallest = min(config.batch_sizes)
    rows = shuffles(keys[0], config.num_shuffles, config.num_examples, smallest)[0]
    own = optimum(toy, rows[None], is_normalised)
    mean = optimum(toy, shuffles(keys[1], config.num_averaged, config.num_examples, smallest), is_normalised)
    new = shuffles(keys[2], config.num_epochs, config.num_examples, smallest)
    paths = {
        "fixed": descend(toy, jnp.broadcast_to(rows, new.shape), config.learning_rate, is_normalised=is_normalised),
        "again": descend(toy, new, config.learning_rate, is_normalised=is_normalised),
    }
    ends = {name: jnp.mean(path[config.num_epochs // 2 :], axis=0) for name, path in paths.items()}
    kept = np.unique(np.geomspace(1, config.num_epochs, min(config.num_epochs, _KEPT)).round().astype(int))
    steps = kept * (config.num_examples // smallest)
    away = {name: jnp.linalg.norm(path - descent[None], axis=1)[kept - 1] / length for name, path in paths.items()}
    return {
        "sizes": {"batch_size": list(config.batch_sizes)}
        | {name: _rounded([row[name] for row in sizes]) for name in sizes[0]},
        "path": {"step": steps.tolist()} | {name: _rounded(values) for name, values in away.items()},
        "ends": {
            "fixed_to_fixed": _rounded(jnp.linalg.norm(ends["fixed"] - own) / length),
            "again_to_again": _rounded(jnp.linalg.norm(ends["again"] - mean) / length),
            "fixed_to_again": _rounded(jnp.linalg.norm(ends["fixed"] - ends["again"]) / length),
            "optima": _rounded(jnp.linalg.norm(own - mean) / length),
        },
    }


def shuffles(key: Array, num: int, num_examples: int, batch_size: int) -> Int[Array, "num batches size"]:
    """Draw shuffles of the examples, cut into batches."""
    draws = jax.vmap(lambda each: jax.random.permutation(each, num_examples))(jax.random.split(key, num))
    return draws.reshape(num, num_examples // batch_size, batch_size)


def _normalised(toy: Data, rows: Array, is_normalised: bool) -> Array:
    """Return the inputs of a batch, normalised over it with epsilon 0."""
    inputs = toy.inputs[rows]
    if not is_normalised:
        return inputs
    return norms.batch_norm(inputs, norms.init_batch_stats(inputs.shape[-1]), train=True, epsilon=0.0)[0]


@compiled_once("is_normalised")
def optimum(toy: Data, rows: Int[Array, "num batches size"], is_normalised: bool) -> Float[Array, " features"]:
    """Find the weights that minimise the squared error over all batches of some shuffles.

        (sum over batches of ZᵀZ) w = sum over batches of Zᵀy, with Z the batch's inputs, normalised over it

    One shuffle gives the optimum of SGD with that fixed shuffle, many give that of SGD with new shuffles, and a shuffle into
    one batch that of gradient descent. Source: Wu, Yun & Sra 2023, arXiv:2302.12444, whose distorted risk this is, for a linear
    net of one layer.
    """

    def of_batch(batch: Array) -> tuple[Array, Array]:
        z = _normalised(toy, batch, is_normalised)
        return z.T @ z, z.T @ toy.labels[batch]

    squares, products = lax.map(lambda some: jax.tree.map(lambda x: x.sum(axis=0), jax.vmap(of_batch)(some)), rows)
    return jnp.linalg.solve(squares.sum(axis=0), products.sum(axis=0))


@compiled_once("is_normalised")
def optimum_of_each(
    toy: Data, rows: Int[Array, "num batches size"], is_normalised: bool
) -> Float[Array, "num features"]:
    """Find the optimum of each shuffle."""
    return lax.map(lambda one: optimum(toy, one[None], is_normalised), rows)


@compiled_once("is_normalised")
def descend(
    toy: Data, rows: Int[Array, "epochs batches size"], learning_rate: float, *, is_normalised: bool
) -> Float[Array, "epochs features"]:
    """Run SGD from 0 on half the mean squared error of each batch, and return the weights after each epoch."""

    def step(weights: Array, batch: Array) -> tuple[Array, None]:
        z = _normalised(toy, batch, is_normalised)
        return weights - learning_rate * (z @ weights - toy.labels[batch]) @ z / len(batch), None

    def epoch(weights: Array, batches: Array) -> tuple[Array, Array]:
        weights, _ = lax.scan(step, weights, batches)
        return weights, weights

    return lax.scan(epoch, jnp.zeros(toy.inputs.shape[-1], toy.inputs.dtype), rows)[1]


def excess_risk(toy: Data, is_normalised: bool, descent: Array, weights: Array) -> Array:
    """Return the relative excess of the squared error over that of gradient descent.

    All examples are normalised as one batch.
    """
    z = _normalised(toy, jnp.arange(len(toy.labels)), is_normalised)
    of, least = (jnp.mean((toy.labels - z @ w) ** 2) for w in (weights, descent))
    return of / least - 1


def _rounded(values: Any) -> Any:
    """Round to five significant digits."""
    return [_rounded(value) for value in values] if np.ndim(values) else float(f"{float(values):.4e}")
