"""Frozen normalisers inserted into a trained net: they change nothing until their statistics are recalibrated."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import PyTree

from bnjax._host.arguments import checked
from bnjax._host.programs import remembered
from bnjax.norms.batch import batch_norm
from bnjax.norms.population import recalibrate
from bnjax.types import BatchStats, Model, Rngs, Variables

_NET, _INSERTED = "net", "inserted"  # keys of the net and of the inserted normalisers in parameters and statistics


@checked()
def restandardise(
    model: Model, variables: Variables, batches: Iterable[Any], layers: Sequence[str], *, epsilon: float = 1e-5
) -> tuple[Model, Variables]:
    """Insert a frozen normaliser after some layers of a net, with the moments that the layers' outputs have on given data.

        y = (x - mean) / sqrt(var + epsilon) * scale + bias,    scale = sqrt(var + epsilon),    bias = mean

    so that y = x, to rounding. When the statistics are replaced by those of other data, as `recalibrate` does, the outputs on
    these data have the moments that they had on the first: a control for the effect of adapting the statistics of batch norm
    (K. Jordan 2024). In training mode, an inserted normaliser uses the batch's own statistics; the net itself always runs in
    evaluation mode.

    Args:
        model: a Model of linen modules, with normalisers or without.
        variables: of the trained net; it has parameters, and may have statistics.
        batches: inputs or Batches, on which the moments of each layer are taken in the unchanged net.
        layers: paths of modules in the net, such as "conv_1", whose output is one array with the features last.
        epsilon: added to the variance.

    Returns:
        (model, variables): scale and bias are `params["inserted"]`, mean and var are `batch_stats["inserted"]`, by layer; the
        net's own are next to them under "net".

    Raises:
        ValueError: if a layer does not exist or lies inside a transformed module, no layer is given, or there are no batches.

    Example:
        >>> from flax import linen as nn
        >>> from bnjax import adapters, norms
        >>> model, x = adapters.from_linen(nn.Sequential([nn.Dense(3), nn.relu])), jax.random.normal(jax.random.key(0), (8, 2))
        >>> variables = model.init(jax.random.key(1), x)
        >>> wrapped, inserted = norms.restandardise(model, variables, [x], ["layers_0"])
        >>> gap = wrapped.apply(inserted, x, train=False)[0] - model.apply(variables, x, train=False)[0]
        >>> print(bool(jnp.abs(gap).max() < 1e-5))
        True
    """
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names:
        raise ValueError("layers must name at least one layer, got none.")
    batches = list(batches)
    if not batches:
        raise ValueError("batches must hold at least one batch, got none.")
    inputs = getattr(batches[0], "inputs", batches[0])
    shapes = _features(model, variables, inputs, names)
    start = {name: {"mean": jnp.zeros(n), "var": jnp.ones(n)} for name, n in shapes.items()}
    net = {_NET: variables.batch_stats} if jax.tree.leaves(variables.batch_stats) else {}
    observed = Variables({_NET: variables.params}, {**net, _INSERTED: start})
    try:
        found = recalibrate(_insert(model, names, float(epsilon), False), observed, batches, show_progress=False)
    except jax.errors.UnexpectedTracerError:
        rule = "layers must not lie inside a module that nn.remat, nn.jit or nn.scan transforms"
        raise ValueError(f"{rule}, got {', '.join(names)}.") from None
    stats = found.batch_stats[_INSERTED]
    affine = {name: {"scale": jnp.sqrt(s["var"] + epsilon), "bias": s["mean"]} for name, s in stats.items()}
    params = {_NET: variables.params, _INSERTED: affine}
    return _insert(model, names, float(epsilon), True), Variables(params, found.batch_stats)


def _features(model: Model, variables: Variables, inputs: PyTree, names: tuple[str, ...]) -> dict[str, int]:
    """Count the features of each layer."""
    found: dict[str, Any] = {}

    def note(path: str, outputs: Any) -> Any:
        found[path] = getattr(outputs, "shape", None)
        return outputs

    jax.eval_shape(lambda x: _run(model, variables, x, note), jax.tree.map(jnp.asarray, inputs))
    for name in names:
        if not found.get(name):
            known = ", ".join(path for path, shape in found.items() if shape)
            raise ValueError(f"layers must be among {known}, got {name!r}.")
    return {name: found[name][-1] for name in names}


def _run(model: Model, variables: Variables, x: PyTree, change: Callable[[str, Any], Any]) -> Any:
    """Run a net in evaluation, with each layer's outputs changed by a function of its path."""

    def intercept(next_fn: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        outputs = next_fn(*args, **kwargs)
        is_layer = context.method_name == "__call__" and bool(context.module.path)
        return change("/".join(context.module.path), outputs) if is_layer else outputs

    with nn.intercept_methods(intercept):
        return model.apply(variables, x, train=False)[0]


@remembered
def _insert(model: Model, names: tuple[str, ...], epsilon: float, changes: bool) -> Model:
    """Make the net with normalisers after some layers; unless `changes`, they only record the moments."""

    def init(key: Array, x: PyTree) -> Variables:
        raise ValueError(
            "init must be that of the net: normalisers are inserted into a trained one, see restandardise."
        )

    def apply(variables: Variables, x: PyTree, *, train: bool, rngs: Rngs | None = None) -> tuple[Any, PyTree[Array]]:
        params, stats = variables
        new = dict(stats[_INSERTED])

        def normalise(path: str, outputs: Any) -> Any:
            if path not in names:
                return outputs
            affine = params[_INSERTED][path] if changes else {}
            old = BatchStats(stats[_INSERTED][path]["mean"], stats[_INSERTED][path]["var"])
            scale, bias = affine.get("scale"), affine.get("bias")
            y, moved = batch_norm(outputs, old, scale, bias, train=train, momentum=0.9, epsilon=epsilon)
            new[path] = moved._asdict()
            return y.astype(outputs.dtype) if changes else outputs

        outputs = _run(model, Variables(params[_NET], stats.get(_NET, {})), x, normalise)
        return outputs, {**stats, _INSERTED: new} if train else stats

    return Model(init, apply)
