"""Population statistics: running statistics recomputed from data, for any model."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx
from jax import Array
from jax.core import Tracer
from jaxtyping import PyTree

from bnjax._host.arguments import checked
from bnjax._host.programs import compiled_once
from bnjax._host.progress import track
from bnjax.adapters import from_linen, from_nnx
from bnjax.norms.statistics import batch_statistics_only, no_statistic
from bnjax.norms.updates import Path, Shares, find_shares, find_stopped, floats_of, named, updated
from bnjax.norms.variables import AnyVariables, read_variables, write_variables
from bnjax.types import Batch, Model, Rngs, Variables, count_examples

# For each leaf, the number of examples of each entry, and their statistic.
_Pool = dict[Path, tuple[Any, Any]]


@checked()
def recalibrate(
    model: Model | tuple[Any, Any] | nn.Module | nnx.Module,
    variables: AnyVariables,
    batches: Iterable[Any],
    *,
    rngs: Rngs | None = None,
    show_progress: bool = True,
) -> Any:
    """Replace running statistics by the statistics of given data, pooled exactly over batches of any sizes.

        mean = sum n_b mean_b / N        var = sum n_b (var_b + (mean_b - mean)²) / N

    with n_b examples in batch b (of any size), N in all, and the batch's own mean and biased variance; the sums
    are taken without cancellation, in float64. Source: Chan, Golub & LeVeque 1979; for the purpose, Wu & Johnson 2021
    ("PreciseBN").

    All layers are done in one pass: each batch goes through the model in training mode, so that a layer sees what the layers
    before it compute from that batch with its own statistics. Statistics other than a `mean` beside a `var` are averaged.
    A batch's statistics are exact for the norms of bnjax, up to the float32 that holds its mean. Other normalisers show only
    their running average, from which statistics are recovered to about 1e-5 of the mean, for a momentum of 0.99. For a
    layer that is called several times, bnjax's norms record the last call.

    The model is applied once per batch, and with normalisers other than bnjax's five times more to the first one, which shows
    which statistics are frozen, and the momenta of the others.

    Args:
        model: pure functions, or a linen or nnx module; statistics may have any structure, those of a layer being leaves
            named mean and var. A Model is compiled once, a module at every call.
        variables: parameters and running statistics, which stay as they are: Variables, a dictionary of linen's collections,
            or an nnx module, as a rule the same one.
        batches: inputs, (examples, *features), or Batches, of any sizes; each size compiles once. For a model that takes
            several arrays, dictionaries of them, or Batches.
        rngs: keys of random layers, such as {"dropout": key}; batch b gets their fold_in with b.
        show_progress: show a bar on a terminal where it takes more than two seconds.

    Returns:
        The variables with the same parameters and new batch_stats, in the given form, or as Variables for a module. Statistics
        that no batch changes (a counter, a frozen layer) are kept.

    Raises:
        ValueError: if there is no batch, an item is not a batch, model or variables are of another kind, this is called inside
            compiled code, the model moves no statistic, or a statistic that evaluation depends on cannot be recovered: it is
            not an average, it is corrected by a counter, or its type has too few digits for its momentum.

    Example:
        >>> from bnjax import adapters, linen, norms
        >>> x = jnp.array([[1.0], [2.0], [3.0], [6.0]])
        >>> call = lambda module, x, train: module(x, use_running_average=not train)
        >>> model = adapters.from_linen(linen.BatchNorm(), call)
        >>> new = norms.recalibrate(model, model.init(jax.random.key(0), x), [x[:1], x[1:]])
        >>> print({name: f"{value[0]:.4f}" for name, value in new.batch_stats.items()})
        {'mean': '3.0000', 'var': '3.5000'}
    """
    given, variables = variables, read_variables(variables)
    model = _as_model(model)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(variables)):
        raise ValueError("recalibrate must be called outside of compiled code, got traced variables.")
    if hasattr(batches, "shape") or isinstance(batches, Batch):
        raise ValueError(f"batches must be an iterable of arrays or Batches, got a single {type(batches).__name__}.")
    old, treedef = named(variables.batch_stats)
    total: _Pool = {}
    kept, is_pending = None, True
    for number, batch in enumerate(track(batches, "statistics", show=show_progress)):
        inputs = batch.inputs if isinstance(batch, Batch) else batch
        if not (hasattr(inputs, "shape") or isinstance(batch, Batch | Mapping)):
            raise ValueError(f"batches must hold arrays or Batches, got {type(batch).__name__}.")
        x = jax.tree.map(jnp.asarray, inputs)
        if not count_examples(x):
            continue
        keys = None if rngs is None else {name: jax.random.fold_in(key, number) for name, key in rngs.items()}
        if is_pending:
            shares = _find_shares_compiled(model, *variables, x, keys)
            kept = _recovered(shares, kept)
            is_pending = any(bool(leaf.any()) for leaf in shares.is_pending.values())
        total = _merge(total, jax.device_get(_measure_compiled(model, *variables, kept, x, keys)), np)
    if old and not total:
        raise ValueError("batches must hold at least one batch, got none.")
    new = [_replaced(leaf, *total[path]) if path in total else leaf for path, leaf in old.items()]
    return write_variables(Variables(variables.params, treedef.unflatten(new)), given)


def _as_model(model: Any) -> Model:
    """Make a Model of a module or a pair of functions."""
    if isinstance(model, nn.Module | nnx.Module):
        return from_linen(model) if isinstance(model, nn.Module) else from_nnx(model)
    if not (isinstance(model, tuple) and len(model) == 2 and all(map(callable, model))):
        rule = "model must be a Model, a pair of functions (init, apply), or a linen or nnx module"
        raise ValueError(f"{rule}, got {type(model).__name__}.")
    return Model(*model)


def pooled_statistics(
    model: Model, variables: Variables, groups: Sequence[PyTree[Array]], rngs: Rngs | None
) -> PyTree[Array]:
    """Recalibrate as `recalibrate` does, but inside compiled code, and differentiably in the parameters.

    Args:
        model: pure functions.
        variables: parameters and running statistics.
        groups: inputs of batches, stacked where they have one size, each (batches, examples, *features).
        rngs: keys of random layers, the same for all batches.

    Returns:
        New batch_stats. NaN where `recalibrate` raises because of values, or where the first batch, from which momenta are
        inferred, moves nothing.

    Raises:
        ValueError: if the model moves no statistic, or one is corrected by a counter; where a derivative is taken, if a
            normaliser stops it.
    """
    old, treedef = named(variables.batch_stats)
    first = jax.tree.map(lambda leaf: leaf[0], groups[0])
    shares = find_shares(model, *variables, first, rngs)
    kept = {path: _unless(shares, path, share) for path, share in shares.kept.items()}
    measure = partial(_measure, model, *variables, kept, rngs=rngs, differentiable=True)
    total: _Pool = {path: (jnp.zeros_like(leaf.real), jnp.zeros_like(leaf)) for path, leaf in floats_of(old).items()}
    for group in groups:

        def step(total: _Pool, x: PyTree[Array]) -> tuple[_Pool, None]:
            return _merge(total, measure(x), jnp), None

        # The backward pass keeps one batch's activations at a time.
        one = jax.tree.map(lambda leaf: leaf[0], group)
        is_one = count_examples(group) == 1
        total = step(total, one)[0] if is_one else jax.lax.scan(jax.checkpoint(step), total, group)[0]
    new = {path: _replaced(leaf, *total[path]) if path in total else leaf for path, leaf in old.items()}
    for path in find_stopped(model, *variables, first, rngs):
        new[path] = _underivable(new[path], variables.params, "/".join(path))
    return treedef.unflatten(list(new.values()))


def _recovered(shares: Shares, before: dict[Path, Array] | None) -> dict[Path, Array]:
    """Return the running statistics implied by this batch and the earlier ones; raise if one cannot be recovered."""
    for path, is_refused in shares.is_refused.items():
        if is_refused:
            raise ValueError(
                f"batch_stats must be averages for recalibration, keep * old + (1 - keep) * the batch's own after an "
                f"update, but {'/'.join(path)} is none to the digits that its type has: use a norm of bnjax."
            )
    return shares.kept if before is None else jax.tree.map(jnp.minimum, before, shares.kept)


def _unless(shares: Shares, path: Path, share: Array) -> Array:
    """Set unknown running statistics to NaN."""
    is_unknown = shares.is_refused.get(path, False) | shares.is_pending.get(path, False)
    return jnp.where(is_unknown, jnp.nan, share)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _underivable(statistic: Array, params: PyTree[Array], path: str) -> Array:
    """Return a statistic that depends on the parameters, but whose derivative is stopped."""
    return statistic


@_underivable.defjvp
def _raise_underivable(path: str, _primals: Any, _tangents: Any) -> Any:
    """Raise where a derivative is taken."""
    raise ValueError(
        "statistics must not be 'recalibrated' where a derivative is taken and a normaliser stops that of its statistics, "
        f"as it does at {path}: use bnjax's norm of the same name, or statistics='batch'."
    )


def _measure(
    model: Model,
    params: PyTree[Array],
    batch_stats: PyTree[Array],
    kept: dict[Path, Array],
    x: PyTree[Array],
    rngs: Rngs | None,
    differentiable: bool = False,
) -> _Pool:
    """Return, for each float leaf, how many examples the batch has measured it on, and the batch's own statistic."""
    # new = kept * old + (1 - kept) * batch, here from a negligible old value, as the first term would drown the second
    start = {
        path: jnp.where((kept[path] > 0) & (kept[path] < 1), no_statistic(leaf.dtype), leaf)
        for path, leaf in floats_of(named(batch_stats)[0]).items()
    }
    with batch_statistics_only("differentiable" if differentiable else "stopped"):
        new = updated(model, params, batch_stats, x, rngs, start)
    measured = {}
    for path, leaf in new.items():
        is_measured = (kept[path] != 1) & (leaf != no_statistic(leaf.dtype))
        measured[path] = (
            jnp.where(is_measured, count_examples(x), 0),
            leaf / jnp.where(kept[path] == 1, 1, 1 - kept[path]),
        )
    return measured


_find_shares_compiled, _measure_compiled = map(compiled_once("model"), (find_shares, _measure))


def _merge(total: _Pool, batch: _Pool, xp: Any) -> _Pool:
    """Add a batch to the statistics so far, in float64 if `xp` is NumPy, in their own types if jax.numpy."""
    if xp is np:
        wide = {path: np.result_type(new.dtype, np.float64) for path, (_, new) in batch.items()}
        batch = {path: (num_examples, np.asarray(new, wide[path])) for path, (num_examples, new) in batch.items()}
    deltas = {path: new - total.get(path, (0, 0))[1] for path, (_, new) in batch.items()}
    merged = {}
    for path, (num_examples, new) in batch.items():
        weight, value = total.get(path, (0, 0))
        new_weight = weight + num_examples.astype(new.real.dtype)
        share = 1 - weight / xp.maximum(new_weight, 1)
        spread = weight / xp.maximum(new_weight, 1) * xp.square(xp.abs(deltas.get(_mean_beside(path), 0)))
        merged[path] = new_weight, value + share * (deltas[path] + spread)
    return merged


def _mean_beside(path: Path) -> Path:
    """Return the path of the mean next to a variance; empty for other leaves."""
    if "var" not in path:
        return ()
    last = len(path) - 1 - path[::-1].index("var")
    return (*path[:last], "mean", *path[last + 1 :])


def _replaced(old: Array, weight: Any, value: Any) -> Array:
    """Replace a running statistic by the population's where at least one batch has measured it."""
    dtype = jnp.result_type(old.dtype, jnp.complex64) if jnp.iscomplexobj(value) else old.dtype
    return jnp.where(weight > 0, value, old).astype(dtype)
