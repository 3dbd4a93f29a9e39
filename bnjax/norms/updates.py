"""Infer how any normaliser updates its running statistics: which follow the batches, and the old share kept.

The share is inferred from values, not from derivatives, which a normaliser may stop, nor from the inputs that a new statistic
depends on.
"""

import functools
import operator
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Jaxpr
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import PyTree

from bnjax.norms.statistics import batch_statistics_only, no_statistic
from bnjax.types import Model, Rngs, Variables

Path = tuple[str, ...]
Leaves = dict[Path, Array]
_Move = tuple[Array, Array]  # a statistic before and after an update

_TOLERANCE = 1e-3  # relative: statistics that do not follow a rule deviate from it by more
_LEAST_DIGITS = 1e-2  # relative precision that a recovered statistic has at least


class Shares(NamedTuple):
    """The share that an update keeps of each floating-point statistic, by path.

    Attributes:
        kept: new = kept * old + (1 - kept) * the batch's own; 1 where nothing is measured, 0 where it is the batch's own.
        is_refused: whether the batch's own cannot be recovered, (): the update is not such an average, or has too few digits.
        is_pending: entries that this batch left unchanged, although other batches may move them.
    """

    kept: Leaves
    is_refused: Leaves
    is_pending: Leaves


class _Wiring(NamedTuple):
    """The roles of statistics, by path.

    Attributes:
        averages: depend on their old values.
        direct: are replaced by the batch's own.
        clocks: floats that do not depend on the inputs, but on which other statistics depend, such as a count.
        fed: depend on the inputs.
        read: affect evaluation.
    """

    averages: set[Path]
    direct: set[Path]
    clocks: set[Path]
    fed: set[Path]
    read: set[Path]


def named(batch_stats: PyTree[Array]) -> tuple[Leaves, Any]:
    """List statistics by path, in their order."""
    flat, treedef = jax.tree_util.tree_flatten_with_path(batch_stats)
    return {tuple(map(_key_name, path)): jnp.asarray(leaf) for path, leaf in flat}, treedef


def floats_of(leaves: Leaves) -> Leaves:
    """Select the floating-point statistics, without counters."""
    return {path: leaf for path, leaf in leaves.items() if jnp.issubdtype(leaf.dtype, jnp.inexact)}


def updated(
    model: Model, params: PyTree[Array], batch_stats: PyTree[Array], x: PyTree[Array], rngs: Rngs | None, floats: Leaves
) -> Leaves:
    """Return the float leaves after one update that starts from `floats`."""
    return floats_of(_applied(model, params, batch_stats, x, rngs, floats))


def find_shares(
    model: Model, params: PyTree[Array], batch_stats: PyTree[Array], x: PyTree[Array], rngs: Rngs | None
) -> Shares:
    """Find the share that an update keeps of each statistic, from updates by one batch.

    Norms that return the batch's own statistics while `batch_statistics_only` is set, such as bnjax's, keep nothing, and the
    model is not applied. Other statistics are updated from a distant start, where the batch's contribution is rounded off, from
    a nearby one, and from a negligibly small one; the three must lie on a line. Statistics that return any start unchanged are
    frozen, and keep their values in these updates.

    Raises:
        ValueError: if evaluation depends on a counter, such as one that corrects averages for their start at 0.
    """
    params = jax.lax.stop_gradient(params)
    old = floats_of(named(batch_stats)[0])
    update = partial(updated, model, params, batch_stats, x, rngs)
    with batch_statistics_only("stopped"):
        wiring = _find_wiring(model, params, batch_stats, x, rngs)
        kept = {path: jnp.full(leaf.shape, path not in wiring.direct, leaf.real.dtype) for path, leaf in old.items()}
        moving = wiring.averages | wiring.clocks
        if not moving:
            return Shares(kept, {}, {})
        nearby = {path: old[path] + 0.6 * (1 + jnp.abs(old[path])) for path in moving}
        distant = {path: jnp.full_like(old[path], 2.0 ** (jnp.finfo(old[path].dtype).maxexp // 2)) for path in moving}
        # A layer in evaluation mode returns any statistics that it is given, and the layers after it depend on them.
        given_back = [(starts, update(old | starts)) for starts in (nearby, distant)]
        is_frozen = {
            path: jnp.all(_and(after[path] == starts[path] for starts, after in given_back)) for path in moving
        }

        def start(values: Leaves) -> Leaves:
            return old | {path: jnp.where(is_frozen[path], old[path], values[path]) for path in wiring.averages}

        far, near = start(distant), start(nearby)
        nothing = start({path: jnp.full_like(old[path], no_statistic(old[path].dtype)) for path in moving})
        moves = [(values, update(values)) for values in (far, near, nothing)]
    is_refused, is_pending = {path: ~is_frozen[path] & (path in wiring.read) for path in wiring.clocks}, {}
    for path in wiring.averages | wiring.direct:
        pairs = [(before[path], after[path]) for before, after in moves]
        kept[path], is_wrong, stays = (_judge_average if path in wiring.averages else _judge_direct)(*pairs)
        is_refused[path] = jnp.any(is_wrong) & (path in wiring.read)
        is_pending[path] = stays & (path in wiring.fed)
    return Shares(kept, is_refused, is_pending)


def _judge_average(far: _Move, near: _Move, nothing: _Move) -> tuple[Array, Array, Array]:
    """Return the share that three updates keep, where they contradict it, and where they change nothing."""
    epsilon = float(jnp.finfo(near[0].dtype).eps)
    share = ((far[1] - near[1]) / (far[0] - near[0])).real
    # after = share * before + (1 - share) * batch; the last term is the update of a negligible start
    follows = _is_close(near[1], share * near[0] + nothing[1], jnp.abs(share * near[0]) + jnp.abs(nothing[1]))
    is_average = follows & (share > -_TOLERANCE) & (share < 1) & (epsilon <= _LEAST_DIGITS * (1 - share))
    is_known = jnp.isfinite(near[1]) & jnp.isfinite(nothing[1])
    stays = _and(before == after for before, after in (far, near, nothing))
    kept = jnp.where((is_average | ~is_known) & ~stays, jnp.maximum(share, 0), 1)
    return kept, is_known & ~is_average & ~stays, stays


def _judge_direct(far: _Move, near: _Move, nothing: _Move) -> tuple[Array, Array, Array]:
    """Do the same for statistics that must not depend on where they or any others start."""
    is_same = _and(_is_close(after, nothing[1], jnp.abs(nothing[1])) for _, after in (far, near))
    is_known = jnp.isfinite(near[1]) & jnp.isfinite(nothing[1])
    return jnp.zeros(near[0].shape, near[0].real.dtype), is_known & ~is_same, jnp.zeros(near[0].shape, bool)


def _is_close(one: Array, other: Array, scale: Array) -> Array:
    """Return where two numbers differ by no more than rounding."""
    return jnp.abs(one - other) <= max(_TOLERANCE, 16 * float(jnp.finfo(one.dtype).eps)) * scale


def find_stopped(
    model: Model, params: PyTree[Array], batch_stats: PyTree[Array], x: PyTree[Array], rngs: Rngs | None
) -> list[Path]:
    """List the statistics of the inputs that depend on the parameters, but whose derivative by them is stopped."""
    old = floats_of(named(batch_stats)[0])

    def new(params: PyTree[Array], x: PyTree[Array]) -> Leaves:
        return updated(model, params, batch_stats, x, rngs, old)

    def tangents(step: PyTree[Array]) -> Leaves:
        return jax.jvp(partial(new, x=x), (params,), (step,))[1]

    with batch_statistics_only("differentiable"):
        depends = _dependencies(jax.make_jaxpr(new)(params, x).jaxpr)
        derives = _dependencies(jax.make_jaxpr(tangents)(params).jaxpr)
    count, stopped = len(jax.tree.leaves(params)), []
    for path, used, own in zip(old, depends, derives, strict=True):
        if any(used[count:]) and any(used[:count]) and not any(own):
            stopped.append(path)
    return stopped


def _and(conditions: Iterable[Array]) -> Array:
    """Return where all conditions hold."""
    return functools.reduce(operator.and_, conditions)


def _applied(
    model: Model, params: PyTree[Array], batch_stats: PyTree[Array], x: PyTree[Array], rngs: Rngs | None, values: Leaves
) -> Leaves:
    """Return all leaves after one update that starts from `values`."""
    old, treedef = named(batch_stats)
    stats = treedef.unflatten([values.get(path, leaf) for path, leaf in old.items()])
    _, new = model.apply(Variables(params, stats), x, train=True, rngs=rngs)
    return dict(zip(old, jax.tree.leaves(new), strict=True))


def _find_wiring(
    model: Model, params: PyTree[Array], batch_stats: PyTree[Array], x: PyTree[Array], rngs: Rngs | None
) -> _Wiring:
    """Find what new statistics depend on, and which of them evaluation depends on."""
    old, treedef = named(batch_stats)
    paths, values, count = list(old), list(old.values()), len(old)

    def update(values: list[Array], x: PyTree[Array], params: PyTree[Array]) -> list[Array]:
        return list(_applied(model, params, batch_stats, x, rngs, dict(zip(paths, values, strict=True))).values())

    def evaluate(values: list[Array]) -> PyTree[Array]:
        return model.apply(Variables(params, treedef.unflatten(values)), x, train=False, rngs=rngs)[0]

    jaxpr = jax.make_jaxpr(update)(values, x, params).jaxpr
    uses = dict(zip(paths, _dependencies(jaxpr), strict=True))
    _, is_read = dce_jaxpr(jax.make_jaxpr(evaluate)(values).jaxpr, True)
    read = {path for path, one in zip(paths, is_read, strict=True) if one}
    averages, direct, clocks, fed = set(), set(), set(), set()
    end_of_inputs = count + len(jax.tree.leaves(x))
    for number, (path, used) in enumerate(uses.items()):
        is_fed, is_of_params = any(used[count:end_of_inputs]), any(used[end_of_inputs:])
        is_same = jaxpr.outvars[number] is jaxpr.invars[number]
        if is_fed:
            fed.add(path)
        elif is_same or is_of_params or not any(used[:count]):
            continue  # a frozen layer, or a statistic of the parameters, such as a spectral norm
        feeds = any(other[number] for name, other in uses.items() if name != path)
        if jnp.issubdtype(old[path].dtype, jnp.inexact):
            (clocks if feeds and not is_fed else averages if used[number] else direct).add(path)
        elif path in read:
            raise ValueError(
                f"batch_stats must hold no counter that evaluation depends on, got {'/'.join(path)}, as where averages are "
                "corrected for their start at 0: keep corrected averages, or use a norm of bnjax."
            )
    return _Wiring(averages, direct, clocks, fed, read)


def _dependencies(jaxpr: Jaxpr) -> list[list[bool]]:
    """Return for each output on which inputs it depends."""
    count = len(jaxpr.outvars)
    return [dce_jaxpr(jaxpr, [i == number for i in range(count)])[1] for number in range(count)]


def _key_name(key: Any) -> str:
    """Name one step of a path through a pytree."""
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))
