"""Population statistics: running statistics recomputed from data, for any model."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import PyTree

from bnjax._host.programs import compiled_once
from bnjax._host.progress import track
from bnjax.norms.statistics import batch_statistics_only, no_statistic
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

    The model is applied once per batch, and twice more to the first one, which tells what is frozen and what momenta are.

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
    kept = None
    for number, batch in enumerate(track(batches, "statistics", show=show_progress)):
        inputs = batch.inputs if isinstance(batch, Batch) else batch
        if not hasattr(inputs, "shape"):
            raise ValueError(f"batches must hold arrays or Batches, got {type(batch).__name__}.")
        x = jnp.asarray(inputs)
        keys = None if rngs is None else {name: jax.random.fold_in(key, number) for name, key in rngs.items()}
        if kept is None:
            kept = _find_kept_compiled(model, *variables, x, keys)
        total = _merge(total, jax.device_get(_measure_compiled(model, *variables, kept, x, keys)), np)
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
    kept = _find_kept(model, *variables, groups[0][0], rngs)
    measure = partial(_measure, model, *variables, kept, rngs=rngs, differentiable=True)
    total: _Pool = {path: (jnp.zeros_like(leaf), jnp.zeros_like(leaf)) for path, leaf in _floats(old).items()}
    for group in groups:

        def step(total: _Pool, x: Array) -> tuple[_Pool, None]:
            return _merge(total, measure(x), jnp), None

        # The backward pass keeps one batch's activations at a time.
        total = step(total, group[0])[0] if len(group) == 1 else jax.lax.scan(jax.checkpoint(step), total, group)[0]
    new = [_replaced(leaf, *total[path]) if path in total else leaf for path, leaf in old.items()]
    return treedef.unflatten(new)


def _named(batch_stats: PyTree[Array]) -> tuple[dict[Path, Array], Any]:
    """List statistics by path, in their order."""
    flat, treedef = jax.tree_util.tree_flatten_with_path(batch_stats)
    leaves = {tuple(map(_key_name, path)): jnp.asarray(leaf) for path, leaf in flat}
    return leaves, treedef


def _floats(leaves: dict[Path, Array]) -> dict[Path, Array]:
    """Take the statistics, without counters."""
    return {path: leaf for path, leaf in leaves.items() if jnp.issubdtype(leaf.dtype, jnp.inexact)}


def _key_name(key: Any) -> str:
    """Name one step of a path through a pytree."""
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))


def _updated(
    model: Model,
    params: PyTree[Array],
    batch_stats: PyTree[Array],
    x: Array,
    rngs: Rngs | None,
    floats: dict[Path, Array],
) -> dict[Path, Array]:
    """Return the float leaves after one update, from `floats` in their place."""
    old, treedef = _named(batch_stats)
    stats = treedef.unflatten([floats.get(path, old[path]) for path in old])
    _, new = model.apply(Variables(params, stats), x, train=True, rngs=rngs)
    return {path: leaf for path, leaf in zip(old, jax.tree.leaves(new), strict=True) if path in floats}


def _find_kept(
    model: Model, params: PyTree[Array], batch_stats: PyTree[Array], x: Array, rngs: Rngs | None
) -> dict[Path, Array]:
    """Return, for each float leaf, the share of it that an update keeps: 1 where nothing is measured."""
    floats = _floats(_named(batch_stats)[0])
    update = partial(_updated, model, jax.lax.stop_gradient(params), batch_stats, x, rngs)
    with batch_statistics_only("stopped"):
        # A layer in evaluation gives back what it was given, whatever that is.
        shifted = {path: leaf + 0.6 * (1 + jnp.abs(leaf)) for path, leaf in floats.items()}
        is_frozen = {path: jnp.all(leaf == shifted[path]) for path, leaf in update(shifted).items()}
        # It must not pass its tangent on to the layers behind it.
        tangents = {path: jnp.where(is_frozen[path], 0, jnp.ones_like(leaf)) for path, leaf in floats.items()}
        _, kept = jax.jvp(update, (floats,), (tangents,))
    return {path: jnp.where(is_frozen[path], 1, share) for path, share in kept.items()}


def _measure(
    model: Model,
    params: PyTree[Array],
    batch_stats: PyTree[Array],
    kept: dict[Path, Array],
    x: Array,
    rngs: Rngs | None,
    differentiable: bool = False,
) -> _Pool:
    """Return, for each float leaf, how many examples the batch has measured it on, and the batch's own statistic."""
    # new = kept * old + (1 - kept) * batch, here with next to nothing as old, else the first term would drown the second
    start = {
        path: jnp.where((kept[path] > 0) & (kept[path] < 1), no_statistic(leaf.dtype), leaf)
        for path, leaf in _floats(_named(batch_stats)[0]).items()
    }
    with batch_statistics_only("differentiable" if differentiable else "stopped"):
        new = _updated(model, params, batch_stats, x, rngs, start)
    measured = {}
    for path, leaf in new.items():
        is_measured = (kept[path] != 1) & (leaf != no_statistic(leaf.dtype))
        measured[path] = jnp.where(is_measured, len(x), 0), leaf / jnp.where(kept[path] == 1, 1, 1 - kept[path])
    return measured


_find_kept_compiled, _measure_compiled = map(compiled_once("model"), (_find_kept, _measure))


def _merge(total: _Pool, batch: _Pool, xp: Any) -> _Pool:
    """Add a batch to the statistics of the examples so far; with NumPy for `xp` in float64, with jax.numpy as they are."""
    wide = np.float64 if xp is np else None
    batch = {path: (num_examples, xp.asarray(new, wide)) for path, (num_examples, new) in batch.items()}
    deltas = {path: new - total.get(path, (0, 0))[1] for path, (_, new) in batch.items()}
    merged = {}
    for path, (num_examples, new) in batch.items():
        weight, value = total.get(path, (0, 0))
        new_weight = weight + num_examples.astype(new.dtype)
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
