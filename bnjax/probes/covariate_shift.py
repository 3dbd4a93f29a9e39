"""Internal covariate shift as the change of a layer's gradient by an optimiser's step in earlier layers."""

import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host import trees
from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import Scaled, ratio
from bnjax.probes.paths import Layers, check_alike, check_params, layer_leaves, layer_numbers, select
from bnjax.probes.points import compiled, probed_info, scalar_loss
from bnjax.probes.results import LayerNames, load_result, register, save_result
from bnjax.types import LossFn, ObjectiveInfo, Params


@register()
class CovariateShift(NamedTuple):
    """How the gradient of each layer changes when the layers before it take their step; l2 norms, one entry per layer.

    Under `jax.vmap` every array gains a leading axis.

    Attributes:
        layers: names of the measured layers.
        difference: |G - G'|, in units of the gradient; 0 without covariate shift.
        cosine: between G and G'; 1 without covariate shift, NaN where either is zero.
        gradient_norm: |G|.
        first_order: the limit of `difference` for small updates, |sum over earlier layers of H_ij u_j|, from which a training
            step is far in nets with ReLU; NaN if not requested.
        objective: how the loss was made: its statistics mode and batch size, unknown for a bare function; and in which
            precision it was evaluated.
    """

    layers: LayerNames
    difference: Float[Array, "*shifts layers"]
    cosine: Float[Array, "*shifts layers"]
    gradient_norm: Float[Array, "*shifts layers"]
    first_order: Float[Array, "*shifts layers"]
    objective: ObjectiveInfo

    @property
    def relative_difference(self) -> Float[Array, "*shifts layers"]:
        """|G - G'| / |G|; NaN where G is zero."""
        return ratio(self.difference, self.gradient_norm)

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "CovariateShift":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
@with_precision
def covariate_shift(
    loss_fn: LossFn,
    params: Params,
    update: Params,
    layers: Layers,
    *,
    of: Sequence[str] | None = None,
    moved: str | None = None,
    compared: str | None = None,
    first_order: bool = False,
    precision: str | None = None,
) -> CovariateShift:
    """Measure internal covariate shift as the change of each layer's gradient by the step of the layers before it.

    With w_i the parameters of layer i, u_i their update and L the loss

        G_i = dL/dw_i (w_1, ..., w_k)        G'_i = dL/dw_i (w_1 + u_1, ..., w_{i-1} + u_{i-1}, w_i, ..., w_k)

    and for small updates G'_i - G_i = sum over j < i of H_ij u_j. Source: Santurkar et al. 2018, Definition 2.1, on one batch
    in training mode. All gradients are evaluated by one program, one after another, so that memory does not grow with depth.

    Args:
        loss_fn: scalar loss of the parameters; from `objective.make_loss_fn` it is compiled once for all batches of a shape,
            any other function is compiled at every call.
        params: w, before the step.
        update: u, a tree like `params`, which the optimiser adds to them.
        layers: paths or regular expressions as in `layer_leaves`, input side first, such as "conv_1", or
            r"^(conv|norm)_1/" for a convolution with its normaliser. Parameters of no layer stay where they are, and are in
            no gradient.
        of: names of the layers to measure, one gradient each; None is all.
        moved: regular expression; of the earlier layers, only parameters whose path it matches move. With "kernel$" biases
            and scales stay. None is all.
        compared: regular expression; of the measured layers, only parameters whose path it matches are in G and G'. None is
            all.
        first_order: measure the first-order prediction too, by one Hessian-vector product per layer. A Hessian does not see
            the kinks of ReLU and max-pooling, where gradients jump: in such nets the prediction is no approximation at the
            step sizes of training, but holds only for updates that cross no kink, orders of magnitude smaller. There it
            checks a measurement; it does not replace one.
        precision: of products, as in `evaluate_points`.

    Returns:
        CovariateShift, of the layers in `of`, in its order.

    Raises:
        ValueError: if a pattern matches nothing, a parameter is in two layers or not floating-point, `update` is not like
            `params`, `of` holds an unknown name, or the loss is not a scalar.

    Example:
        >>> from bnjax import probes
        >>> def loss_fn(params):  # its gradient by b is a
        ...     return params["a"] * params["b"]
        >>> params, update = {"a": jnp.float32(1), "b": jnp.float32(1)}, {"a": jnp.float32(2), "b": jnp.float32(0)}
        >>> found = probes.covariate_shift(loss_fn, params, update, ["a", "b"])
        >>> print(found.layers, found.difference)
        ('a', 'b') [0. 2.]
    """
    check_params(params)
    check_alike("update", update, params)
    leaves = layer_leaves(params, layers)
    measured = _measured(tuple(leaves), of)
    plan = _Plan(
        layer_numbers(params, leaves),
        _selected(params, "moved", moved),
        _selected(params, "compared", compared),
        tuple(list(leaves).index(name) for name in measured),
        first_order,
    )
    difference, cosine, norm, prediction = compiled(_measure, loss_fn, plan=plan)(params, update)
    return CovariateShift(measured, difference, cosine, norm, prediction, probed_info(loss_fn, params))


class _Plan(NamedTuple):
    """The static part: per array of the parameters the number of its layer (-1 is none), whether it moves and is compared."""

    depths: tuple[int, ...]
    moved: tuple[bool, ...]
    compared: tuple[bool, ...]
    measured: tuple[int, ...]
    first_order: bool


def _measure(loss_fn: LossFn, params: Params, update: Params, *, plan: _Plan) -> tuple[Array, Array, Array, Array]:
    """Measure difference, cosine, gradient norm and first-order prediction of each layer."""
    gradient_fn = jax.grad(partial(scalar_loss, loss_fn))

    def compare(start: Params, layer: Array) -> tuple[Params, tuple[Array, Array, Array]]:
        gradient = gradient_fn(_move_earlier(params, update, layer, plan))
        start = jax.tree.map(lambda old, new: jnp.where(layer < 0, new, old), start, gradient)
        return start, _compare(start, gradient, layer, plan)

    def predict(layer: Array) -> Array:
        still = jax.tree.map(jnp.zeros_like, params)
        product = jax.jvp(gradient_fn, (params,), (_move_earlier(still, update, layer, plan),))[1]
        return _layer_dot(product, product, layer, plan).root

    # NOTE: the start is an iteration of the same loop, with no layer before it: where nothing moves, results are bit-identical.
    layers = jnp.asarray((-1, *plan.measured))
    _, compared = jax.lax.scan(compare, jax.tree.map(jnp.zeros_like, params), layers)
    difference, cosine, norm = (values[1:] for values in compared)
    prediction = jax.lax.map(predict, layers[1:]) if plan.first_order else jnp.full_like(difference, jnp.nan)
    return difference, cosine, norm, prediction


def _move_earlier(params: Params, update: Params, layer: Array, plan: _Plan) -> Params:
    """Add the update to the moving parameters of the layers before `layer`."""

    def move(leaf: Array, step: Array, depth: int, moves: bool) -> Array:
        can_move = moves and depth >= 0
        return jnp.where(depth < layer, (leaf + step).astype(leaf.dtype), leaf) if can_move else leaf

    leaves, treedef = jax.tree.flatten(params)
    steps = jax.tree.leaves(update)
    return treedef.unflatten(map(move, leaves, steps, plan.depths, plan.moved))


def _compare(start: Params, gradient: Params, layer: Array, plan: _Plan) -> tuple[Array, Array, Array]:
    """Measure difference, cosine, and the norm at the start, in one layer."""
    change = trees.difference(gradient, start)
    pairs = ((change, change), (start, start), (gradient, gradient), (gradient, start))
    squared, before, after, dot = (_layer_dot(a, b, layer, plan) for a, b in pairs)
    return squared.root, trees.cosine_of(dot, before, after), before.root


def _layer_dot(a: Params, b: Params, layer: Array, plan: _Plan) -> Scaled:
    """Return the inner product over the compared arrays of one layer; NaNs of other layers do not propagate."""
    return trees.scaled_dots(a, b).total((jnp.asarray(plan.depths) == layer) & jnp.asarray(plan.compared))


def _selected(params: Params, name: str, pattern: str | None) -> tuple[bool, ...]:
    """Return for each array whether a pattern selects it."""
    selection = jax.tree.map(lambda _: True, params) if pattern is None else select(params, pattern, name)
    return tuple(jax.tree.leaves(selection))


def _measured(names: tuple[str, ...], of: Sequence[str] | None) -> LayerNames:
    """Return the names of the layers to measure, after checking them."""
    chosen = LayerNames(names if of is None else (of,) if isinstance(of, str) else of)
    for name in chosen:
        if name not in names:
            raise ValueError(f"of must hold names of layers, {', '.join(names)}; got {name!r}.")
    if not chosen:
        raise ValueError(f"of must hold at least one of the layers, {', '.join(names)}; got none.")
    return chosen
