"""Population statistics: running statistics made anew from data, for any model."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from bnjax.norms.statistics import batch_statistics_only
from bnjax.progress import track
from bnjax.types import Batch, Model, Rngs, Variables

Path = tuple[str, ...]
# For each leaf, how many examples stand behind each entry, and their statistic, both in float64.
_Pool = dict[Path, tuple[Any, Any]]


def recalibrate(
    model: Model,
    variables: Variables,
    batches: Iterable[Array | Batch],
    *,
    rngs: Rngs | None = None,
    show_progress: bool = True,
) -> Variables:
    """Replace running statistics by those of given data, pooled exactly over batches of any sizes.

        mean = sum n_b mean_b / N        var = sum n_b (var_b + (mean_b - mean)²) / N

    with n_b examples in batch b, N in all, and the batch's own mean and biased variance; the sums are taken without
    cancellation, in float64. Source: Chan, Golub & LeVeque 1979; for the purpose, Wu & Johnson 2021 ("PreciseBN").

    All layers are done in one pass: each batch goes through the model in training mode, so that a layer sees what the layers
    before it make of that batch with its own statistics. Statistics other than a `mean` beside a `var` are averaged.
    A batch's statistics are exact for the norms of bnjax, up to the float32 that holds its mean. Other normalisers show only
    their running average, from which statistics are recovered to about 1e-5 of the mean, for a momentum of 0.99.

    Args:
        model: pure functions; statistics may have any structure, those of a layer being leaves named mean and var.
        variables: parameters and running statistics; they stay as they are.
        batches: inputs, (examples, *features), or Batches, of any sizes; each size compiles once.
        rngs: keys of random layers, such as {"dropout": key}; batch b gets their fold_in with b.
        show_progress: show a bar on a terminal where it takes more than two seconds.

    Returns:
        Variables with the same parameters and new batch_stats. What no batch changes (a counter, a frozen layer) is kept.

    Raises:
        ValueError: if there is no batch.
    """
    flat, treedef = jax.tree_util.tree_flatten_with_path(variables.batch_stats)
    old = {tuple(map(_key_name, path)): leaf for path, leaf in flat}
    total: _Pool = {}
    for number, batch in enumerate(track(batches, "statistics", show=show_progress)):
        x = batch.inputs if isinstance(batch, Batch) else batch
        keys = None if rngs is None else {name: jax.random.fold_in(key, number) for name, key in rngs.items()}
        total = _merge(total, _measure(model, variables.params, old, (treedef, tuple(old)), x, keys), len(x))
    if old and not total:
        raise ValueError("batches must hold at least one batch, got none.")
    new = [_replaced(leaf, *total[path]) if path in total else leaf for path, leaf in old.items()]
    return Variables(variables.params, treedef.unflatten(new))


def _key_name(key: Any) -> str:
    """Name one step of a path through a pytree."""
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))


@partial(jax.jit, static_argnames=("model", "structure"))
def _measure(
    model: Model,
    params: PyTree[Array],
    old: dict[Path, Array],
    structure: tuple[Any, tuple[Path, ...]],
    x: Array,
    rngs: Rngs | None,
) -> dict[Path, tuple[Array, Array]]:
    """Return, for each float leaf, the share of it that an update keeps, and the batch's own statistic."""
    treedef, order = structure
    floats = {path: leaf for path, leaf in old.items() if jnp.issubdtype(leaf.dtype, jnp.inexact)}

    def updated(floats: dict[Path, Array]) -> dict[Path, Array]:
        stats = treedef.unflatten([floats.get(path, old[path]) for path in order])
        _, new = model.apply(Variables(params, stats), x, train=True, rngs=rngs)
        return {path: leaf for path, leaf in zip(order, jax.tree.leaves(new), strict=True) if path in floats}

    with batch_statistics_only(True):
        new, kept = jax.jvp(updated, (floats,), (jax.tree.map(jnp.ones_like, floats),))
    # new = kept * old + (1 - kept) * batch
    return {
        path: (kept[path], (new[path] - kept[path] * leaf) / jnp.where(kept[path] == 1, 1, 1 - kept[path]))
        for path, leaf in floats.items()
    }


def _merge(total: _Pool, batch: dict[Path, tuple[Array, Array]], num_examples: int) -> _Pool:
    """Add a batch to the statistics of the examples so far, in float64."""
    merged = {}
    deltas = {path: np.asarray(new, np.float64) - total.get(path, (0, 0))[1] for path, (_, new) in batch.items()}
    for path, (kept, _) in batch.items():
        weight, value = total.get(path, (0, 0))
        new_weight = weight + np.where(np.asarray(kept) == 1, 0, num_examples)
        share = 1 - weight / np.maximum(new_weight, 1)
        spread = weight / np.maximum(new_weight, 1) * np.square(deltas.get(_mean_beside(path), 0))
        merged[path] = new_weight, value + share * (deltas[path] + spread)
    return merged


def _mean_beside(path: Path) -> Path:
    """Name the mean that stands beside a variance, or nothing for other leaves."""
    if "var" not in path:
        return ()
    last = len(path) - 1 - path[::-1].index("var")
    return (*path[:last], "mean", *path[last + 1 :])


def _replaced(old: Array, weight: np.ndarray, value: np.ndarray) -> Array:
    """Put the population's statistic in the place of a running one, where any batch has measured it."""
    return jnp.where(weight > 0, value, old).astype(old.dtype)
