"""Population statistics: running statistics made anew from data, for any model."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import PyTree

from bnjax.norms.statistics import batch_statistics_only
from bnjax.progress import track
from bnjax.types import Batch, Model, Rngs, Variables

Path = tuple[str, ...]
# For each leaf, how many examples stand behind each entry, and their statistic.
_Pool = dict[Path, tuple[Any, Any]]


def recalibrate(
    model: Model,
    variables: Variables,
    batches: Iterable[Any],
    *,
    rngs: Rngs | None = None,
    show_progress: bool = True,
) -> Variables:
    """Replace running statistics by those of given data, pooled exactly over batches of any sizes.

        mean = sum n_b mean_b / N        var = sum n_b (var_b + (mean_b - mean)²) / N

    with n_b examples in batch b (of whatever size each is), N in all, and the batch's own mean and biased variance; the sums
    are taken without cancellation, in float64. Source: Chan, Golub & LeVeque 1979; for the purpose, Wu & Johnson 2021
    ("PreciseBN").

    All layers are done in one pass: each batch goes through the model in training mode, so that a layer sees what the layers
    before it make of that batch with its own statistics. Statistics other than a `mean` beside a `var` are averaged.
    A batch's statistics are exact for the norms of bnjax, up to the float32 that holds its mean. Other normalisers show only
    their running average, from which statistics are recovered to about 1e-5 of the mean, for a momentum of 0.99. Of a layer
    that is called several times, bnjax's norms record the last call.

    Args:
        model: pure functions; statistics may have any structure, those of a layer being leaves named mean and var.
        variables: parameters and running statistics; they stay as they are.
        batches: inputs, (examples, *features), or Batches, of any sizes; each size compiles once.
        rngs: keys of random layers, such as {"dropout": key}; batch b gets their fold_in with b.
        show_progress: show a bar on a terminal where it takes more than two seconds.

    Returns:
        Variables with the same parameters and new batch_stats. What no batch changes (a counter, a frozen layer) is kept.

    Raises:
        ValueError: if there is no batch, it is none, or this is called inside compiled code.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(variables)):
        raise ValueError("recalibrate must be called outside of compiled code, got traced variables.")
    if hasattr(batches, "shape") or isinstance(batches, Batch):
        raise ValueError(f"batches must be an iterable of arrays or Batches, got a single {type(batches).__name__}.")
    old, treedef = _named(variables.batch_stats)
    total: _Pool = {}
    for number, batch in enumerate(track(batches, "statistics", show=show_progress)):
        inputs = batch.inputs if isinstance(batch, Batch) else batch
        if not hasattr(inputs, "shape"):
            raise ValueError(f"batches must hold arrays or Batches, got {type(batch).__name__}.")
        x = jnp.asarray(inputs)
        keys = None if rngs is None else {name: jax.random.fold_in(key, number) for name, key in rngs.items()}
        measured = _measure_compiled(model, variables.params, variables.batch_stats, x, keys)
        total = _merge(total, jax.device_get(measured), len(x), np)
    if old and not total:
        raise ValueError("batches must hold at least one batch, got none.")
    new = [_replaced(leaf, *total[path]) if path in total else leaf for path, leaf in old.items()]
    return Variables(variables.params, treedef.unflatten(new))


def pooled_statistics(model: Model, variables: Variables, groups: Sequence[Array], rngs: Rngs | None) -> PyTree[Array]:
    """Do as `recalibrate` inside compiled code, with the derivative in the parameters.

    Args:
        model: pure functions.
        variables: parameters and running statistics.
        groups: inputs of batches, stacked where they have one size, each (batches, examples, *features).
        rngs: keys of random layers, the same for all batches.

    Returns:
        New batch_stats.
    """
    old, treedef = _named(variables.batch_stats)
    measure = partial(_measure, model, variables.params, variables.batch_stats, rngs=rngs, differentiable=True)
    total: _Pool = {path: (jnp.zeros_like(leaf), jnp.zeros_like(leaf)) for path, leaf in old.items() if _is_float(leaf)}
    for group in groups:

        def step(total: _Pool, x: Array) -> tuple[_Pool, None]:
            return _merge(total, measure(x), len(x), jnp), None

        total = step(total, group[0])[0] if len(group) == 1 else jax.lax.scan(step, total, group)[0]
    new = [_replaced(leaf, *total[path]) if path in total else leaf for path, leaf in old.items()]
    return treedef.unflatten(new)


def _named(batch_stats: PyTree[Array]) -> tuple[dict[Path, Array], Any]:
    """List statistics by path, in their order."""
    flat, treedef = jax.tree_util.tree_flatten_with_path(batch_stats)
    leaves = {tuple(map(_key_name, path)): jnp.asarray(leaf) for path, leaf in flat}
    return leaves, treedef


def _is_float(leaf: Array) -> bool:
    """Tell a statistic from a counter."""
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _key_name(key: Any) -> str:
    """Name one step of a path through a pytree."""
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))


def _measure(
    model: Model,
    params: PyTree[Array],
    batch_stats: PyTree[Array],
    x: Array,
    rngs: Rngs | None,
    differentiable: bool = False,
) -> dict[Path, tuple[Array, Array]]:
    """Return, for each float leaf, the share of it that an update keeps, and the batch's own statistic."""
    old, treedef = _named(batch_stats)
    floats = {path: leaf for path, leaf in old.items() if _is_float(leaf)}

    def updated(floats: dict[Path, Array]) -> dict[Path, Array]:
        stats = treedef.unflatten([floats.get(path, old[path]) for path in old])
        _, new = model.apply(Variables(params, stats), x, train=True, rngs=rngs)
        return {path: leaf for path, leaf in zip(old, jax.tree.leaves(new), strict=True) if path in floats}

    with batch_statistics_only("stopped"):
        # A layer that stays as it is, in evaluation, must not pass its tangent on to the layers behind it.
        is_frozen = {path: jnp.all(leaf == floats[path]) for path, leaf in updated(floats).items()}
        tangents = {path: jnp.where(is_frozen[path], 0, jnp.ones_like(leaf)) for path, leaf in floats.items()}
        _, kept = jax.jvp(updated, (floats,), (tangents,))
        kept = {path: jnp.where(is_frozen[path], 1, share) for path, share in kept.items()}
    # new = kept * old + (1 - kept) * batch, here without the first term, which would drown the second
    start = {path: jnp.where((kept[path] > 0) & (kept[path] < 1), 0, leaf) for path, leaf in floats.items()}
    with batch_statistics_only("differentiable" if differentiable else "stopped"):
        new = updated(start)
    return {path: (kept[path], new[path] / jnp.where(kept[path] == 1, 1, 1 - kept[path])) for path in floats}


_measure_compiled = jax.jit(_measure, static_argnames="model")


def _merge(total: _Pool, batch: dict[Path, tuple[Any, Any]], num_examples: int, xp: Any) -> _Pool:
    """Add a batch to the statistics of the examples so far; with NumPy for `xp` in float64, with jax.numpy as they are."""
    wide = np.float64 if xp is np else None
    batch = {path: (kept, xp.asarray(new, wide)) for path, (kept, new) in batch.items()}
    deltas = {path: new - total.get(path, (0, 0))[1] for path, (_, new) in batch.items()}
    merged = {}
    for path, (kept, new) in batch.items():
        weight, value = total.get(path, (0, 0))
        new_weight = weight + xp.where(kept == 1, 0, num_examples).astype(new.dtype)
        share = 1 - weight / xp.maximum(new_weight, 1)
        spread = weight / xp.maximum(new_weight, 1) * xp.square(deltas.get(_mean_beside(path), 0))
        merged[path] = new_weight, value + share * (deltas[path] + spread)
    return merged


def _mean_beside(path: Path) -> Path:
    """Name the mean that stands beside a variance, or nothing for other leaves."""
    if "var" not in path:
        return ()
    last = len(path) - 1 - path[::-1].index("var")
    return (*path[:last], "mean", *path[last + 1 :])


def _replaced(old: Array, weight: Any, value: Any) -> Array:
    """Put the population's statistic in the place of a running one, where any batch has measured it."""
    return jnp.where(weight > 0, value, old).astype(old.dtype)
