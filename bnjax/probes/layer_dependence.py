"""How much the steps of different layers depend on each other: their interaction, and the Hessian's blocks between them."""

import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked, whole
from bnjax._host.precision import with_precision
from bnjax._host.trees import as_float, common_type, norm, ratio
from bnjax.probes.hessian import hvp
from bnjax.probes.paths import Layers, check_alike, check_params, layer_leaves, layer_numbers
from bnjax.probes.points import compiled, is_tracing, probed_info, scalar_loss
from bnjax.probes.results import Band, LayerNames, band, load_result, register, save_result
from bnjax.types import LossFn, ObjectiveInfo, Params

_JOINT = -1  # number of the move of all layers; the move of a single layer has the layer's number


@register("interaction_ratio", "off_diagonal_share")
class LayerDependence(NamedTuple):
    """Changes of the loss by all layers together and by each alone, and the second-order terms between layers.

    Under `jax.vmap` every array gains a leading axis. u_i is the part of layer i of d / |d|, the direction at length 1.

    Attributes:
        layers: names, in the order of all axes of layers.
        step_sizes: eta, in units of the direction's length.
        joint_change: L(w + eta d) - L(w), in units of the loss.
        single_changes: L(w + eta d_i) - L(w), of each layer alone.
        slopes: <g_i, u_i>, with g the gradient; their sum is the loss's slope along the direction.
        curvature: u_iᵀ H_ij u_j, in units of the loss per squared parameter; NaN if not requested.
        start_loss: L(w).
        direction_norm: |d|, of these layers.
        param_norm: |w|, of these layers.
        objective: how the loss was made.
    """

    layers: LayerNames
    step_sizes: Float[Array, "*runs steps"]
    joint_change: Float[Array, "*runs steps"]
    single_changes: Float[Array, "*runs steps layers"]
    slopes: Float[Array, "*runs layers"]
    curvature: Float[Array, "*runs layers layers"]
    start_loss: Float[Array, "*runs"]
    direction_norm: Float[Array, "*runs"]
    param_norm: Float[Array, "*runs"]
    objective: ObjectiveInfo

    @property
    def distances(self) -> Float[Array, "*runs steps"]:
        """The length of the joint step, |eta d|, in units of the parameters."""
        return jnp.abs(self.step_sizes) * self.direction_norm[..., None]

    @property
    def relative_distances(self) -> Float[Array, "*runs steps"]:
        """Its length relative to the weights, |eta d| / |w|."""
        return ratio(self.distances, self.param_norm[..., None])

    @property
    def first_order(self) -> Float[Array, "*runs steps"]:
        """How much the joint step changes the loss to the first order, |eta <g, d>|; of d = -g it is eta |g|²."""
        return self.distances * jnp.abs(self.slopes.sum(-1))[..., None]

    @property
    def interaction_ratio(self) -> Float[Array, "*runs steps"]:
        """R = (joint change - sum of single changes) / |eta <g, d>|; 0 if layers act independently, NaN without a slope."""
        return ratio(self.joint_change - self.single_changes.sum(-1), self.first_order)

    @property
    def rounding(self) -> Float[Array, "*runs steps"]:
        """How far R may be off, since losses are rounded: (layers + 1) machine epsilons of L(w), over |eta <g, d>|."""
        unit = float(jnp.finfo(self.start_loss.dtype).eps)
        return ratio((len(self.layers) + 1) * unit * jnp.abs(self.start_loss)[..., None], self.first_order)

    @property
    def second_order(self) -> Float[Array, "*runs steps layers layers"]:
        """The second-order terms Q_ij = eta² d_iᵀ H_ij d_j; half of their sum is in the joint change."""
        return jnp.square(self.distances)[..., None, None] * self.curvature[..., None, :, :]

    @property
    def second_order_ratio(self) -> Float[Array, "*runs steps"]:
        """R of the second-order terms alone, its leading term in eta: 1/2 sum over i != j of Q_ij, over |eta <g, d>|."""
        between = self.curvature.sum((-2, -1)) - jnp.trace(self.curvature, axis1=-2, axis2=-1)
        return ratio(0.5 * self.distances * between[..., None], jnp.abs(self.slopes.sum(-1))[..., None])

    @property
    def off_diagonal_share(self) -> Float[Array, "*runs"]:
        """Sum of |Q_ij| over i != j, as a share of that over all i, j; independent of eta, 0 without dependence."""
        sizes = jnp.abs(self.curvature)
        return ratio(sizes.sum((-2, -1)) - jnp.trace(sizes, axis1=-2, axis2=-1), sizes.sum((-2, -1)))

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LayerDependence":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
@with_precision
def layer_dependence(
    loss_fn: LossFn,
    params: Params,
    layers: Layers,
    direction: Params | None = None,
    *,
    step_sizes: Float[Array | np.ndarray, " steps"] | Sequence[float],
    second_order: bool = True,
    precision: str | None = None,
) -> LayerDependence:
    """Measure how much the steps of different layers depend on each other, changing nothing.

    With w_i the parameters of layer i, d_i their part of the direction, g the gradient of the loss L and H_ij the block of its
    Hessian between two layers

        R(eta) = ([L(w + eta d) - L(w)] - sum over i of [L(w + eta d_i) - L(w)]) / |eta <g, d>|
        Q_ij(eta) = eta² d_iᵀ H_ij d_j        R(eta) = 1/2 sum over i != j of Q_ij / |eta <g, d>| + O(eta²)

    A gradient predicts how the loss changes with each layer while all others stay; R is its error once all move. Source:
    Goodfellow, Bengio & Courville 2016, Deep Learning, Sec. 8.7.1, for the terms; the ratio is this library's. For small eta
    the difference of losses drowns in their rounding, see `LayerDependence.rounding`. A Hessian does not see the kinks of ReLU
    and max-pooling, so in such nets Q need not explain R at the step sizes of training.

    It costs a loss for each layer and step size, and a Hessian product for each layer, one after another in one program.

    Args:
        loss_fn: scalar loss of the parameters; from `objective.make_loss_fn` it is compiled once for all batches of a shape,
            any other function is compiled at every call.
        params: w, floating-point.
        layers: paths or regular expressions as in `layer_leaves`, such as "conv_1", or r"^(conv|norm)_1/" for a convolution
            with its normaliser. Parameters of no layer stay where they are.
        direction: d, a tree like `params`; None is minus the gradient.
        step_sizes: eta, (steps,). To compare two nets at equal relative steps rho, take rho |w| / |d| of each.
        second_order: measure the curvature between layers, too.
        precision: of products, as in `evaluate_points`.

    Returns:
        LayerDependence.

    Raises:
        ValueError: if a pattern matches nothing, a parameter is in two layers or not floating-point, `direction` is not like
            `params`, step sizes are not a list of finite numbers, or the loss is not a scalar.

    Example:
        >>> from bnjax import probes
        >>> loss_fn = lambda params: params["a"] * params["b"]
        >>> params, d = {"a": jnp.float32(1), "b": jnp.float32(2)}, {"a": jnp.float32(-2), "b": jnp.float32(-1)}
        >>> found = probes.layer_dependence(loss_fn, params, ["a", "b"], d, step_sizes=[0.5])
        >>> print(found.interaction_ratio, found.off_diagonal_share)  # 0.5² d_a d_b over 0.5 * 5; H_aa and H_bb are 0
        [0.2] 1.0
    """
    check_params(params)
    if direction is not None:
        check_alike("direction", direction, params)
    sizes = _check_sizes(step_sizes)
    leaves = layer_leaves(params, layers)
    numbers = layer_numbers(params, leaves)
    program = compiled(_measure, loss_fn, numbers=numbers, num_layers=len(leaves), second_order=second_order)
    found = program(params, direction, sizes)
    return LayerDependence(LayerNames(leaves), sizes, *found, objective=probed_info(loss_fn, params))


@checked(num_probes=whole(1))
@with_precision
def hessian_blocks(
    loss_fn: LossFn,
    params: Params,
    layers: Layers,
    of: str,
    *,
    key: Array,
    num_probes: int = 10,
    precision: str | None = None,
) -> Band:
    """Estimate the squared Frobenius norms of the Hessian's blocks between one layer and every layer.

        |H_cj|² = E |(H v)_j|², where v is +1 or -1 in the parameters of layer c, at random, and 0 elsewhere

    They measure how much the gradient of layer j depends on the parameters of layer c, independently of the direction of their
    steps. Source: Hutchinson 1990, doi:10.1080/03610919008812866. A Hessian product for each probe.

    Args:
        loss_fn: scalar loss of the parameters.
        params: where the Hessian is taken.
        layers: as in `layer_dependence`.
        of: name of layer c.
        key: of the random vectors.
        num_probes: how many of them.
        precision: of products, as in `evaluate_points`.

    Returns:
        Band over the probes, whose arrays have an entry for each of the layers: `mean` estimates |H_cj|².

    Raises:
        ValueError: as in `layer_dependence`, or if `of` is not a layer's name, or there is no probe.

    Example:
        >>> from bnjax import probes
        >>> loss_fn = lambda params: params["a"] * params["b"] + params["b"] ** 2  # H_ba is 1, H_bb is 2
        >>> w = {"a": jnp.float32(1), "b": jnp.float32(1)}
        >>> print(probes.hessian_blocks(loss_fn, w, ["a", "b"], "b", key=jax.random.key(0)).mean)
        [1. 4.]
    """
    check_params(params)
    leaves = layer_leaves(params, layers)
    if of not in leaves:
        raise ValueError(f"of must be the name of a layer, one of {', '.join(leaves)}; got {of!r}.")
    numbers, number = layer_numbers(params, leaves), list(leaves).index(of)
    program = compiled(_block_squares, loss_fn, numbers=numbers, num_layers=len(leaves), number=number)
    return band(program(params, jax.random.split(key, num_probes)))


def _check_sizes(step_sizes: Float[Array | np.ndarray, " steps"] | Sequence[float]) -> Float[Array, " steps"]:
    """Make an array of the step sizes."""
    sizes = jnp.asarray(step_sizes, float)
    if sizes.ndim != 1 or not sizes.size:
        raise ValueError(f"step_sizes must be a list of one or more numbers, got shape {sizes.shape}.")
    if not is_tracing() and not np.isfinite(sizes).all():
        raise ValueError(f"step_sizes must be finite, got {sizes}.")
    return sizes


def _measure(
    loss_fn: LossFn,
    params: Params,
    direction: Params | None,
    sizes: Float[Array, " steps"],
    *,
    numbers: tuple[int, ...],
    num_layers: int,
    second_order: bool,
) -> tuple[Array, ...]:
    """Measure changes of the loss, slopes, curvature, the loss, and the lengths of direction and parameters."""
    gradient = jax.grad(partial(scalar_loss, loss_fn))(params)
    direction = jax.tree.map(lambda g: -g, gradient) if direction is None else direction
    direction = jax.tree.map(lambda d, w: d.astype(w.dtype), _part(direction, _JOINT, numbers), params)
    length = norm(direction)
    unit = jax.tree.map(lambda d: ratio(as_float(d), length).astype(d.dtype), direction)

    def loss_at(move: tuple[Array, Array]) -> Array:
        size, layer = move
        step = _part(direction, layer, numbers)
        return loss_fn(jax.tree.map(lambda w, d: w + size.astype(w.dtype) * d, params, step))

    # NOTE: the start is an iteration of the same loop: where nothing moves, results are bit-identical.
    layers = jnp.arange(_JOINT, num_layers)
    moves = [jnp.repeat(sizes, len(layers)), jnp.tile(layers, len(sizes))]
    start, *_ = losses = jax.lax.map(loss_at, (jnp.append(0.0, moves[0]), jnp.append(_JOINT, moves[1])))
    changes = (losses[1:] - start).reshape(len(sizes), len(layers))

    def row(layer: Array) -> Array:
        return _by_layer(unit, hvp(loss_fn, params, _part(unit, layer, numbers)), numbers, num_layers)

    slopes = _by_layer(unit, gradient, numbers, num_layers)
    unknown = jnp.full((num_layers, num_layers), jnp.nan, slopes.dtype)
    curvature = jax.lax.map(row, layers[1:]) if second_order else unknown
    return changes[:, 0], changes[:, 1:], slopes, curvature, start, length, norm(_part(params, _JOINT, numbers))


def _block_squares(
    loss_fn: LossFn, params: Params, keys: Array, *, numbers: tuple[int, ...], num_layers: int, number: int
) -> Float[Array, "probes layers"]:
    """Compute the squared norm of the Hessian product in each layer, for each random vector."""

    def squares(key: Array) -> Array:
        leaves, form = jax.tree.flatten(params)
        signs = [
            jax.random.rademacher(jax.random.fold_in(key, i), jnp.shape(w), jnp.result_type(w))
            for i, w in enumerate(leaves)
        ]
        product = hvp(loss_fn, params, _part(form.unflatten(signs), number, numbers))
        return _by_layer(product, product, numbers, num_layers)

    return jax.lax.map(squares, keys)


def _part(tree: Params, layer: Array | int, numbers: tuple[int, ...]) -> Params:
    """Keep one layer of a tree, or all layers, and set the rest to 0."""
    leaves, form = jax.tree.flatten(tree)
    return form.unflatten(
        jnp.where((number >= 0) & ((layer == _JOINT) | (layer == number)), leaf, jnp.zeros_like(leaf))
        for leaf, number in zip(leaves, numbers, strict=True)
    )


def _by_layer(a: Params, b: Params, numbers: tuple[int, ...], num_layers: int) -> Float[Array, " layers"]:
    """Take the inner product of two trees in each layer."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    dots = [jnp.vdot(as_float(x), as_float(y), precision="highest") for x, y in pairs]
    zero = jnp.zeros((), common_type(*dots))
    return jnp.stack([sum((d for d, n in zip(dots, numbers, strict=True) if n == i), zero) for i in range(num_layers)])
