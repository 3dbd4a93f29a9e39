"""Relative sharpness: how far the loss rises where each layer moves by the same share of its own length."""

import os
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import between, checked, whole
from bnjax._host.precision import with_precision
from bnjax._host.trees import as_float, norm, ratio
from bnjax.probes import directions
from bnjax.probes.paths import Layers, check_params, layer_leaves, layer_numbers
from bnjax.probes.points import compiled, probed_info, scalar_loss
from bnjax.probes.results import LayerNames, band, load_result, register, save_result
from bnjax.types import LossFn, ObjectiveInfo, Params

_JOINT, _NONE = -1, -2  # numbers of the moves of all layers and of none; a single layer's move has its number


@register("mean", "standard_error")
class RelativeSharpness(NamedTuple):
    """How far the loss rises where layers move by a share of their own lengths, in units of the loss.

    Under `jax.vmap` every array gains a leading axis.

    Attributes:
        layers: names, in the order of all axes of layers.
        radius: rho, how far each layer moves, as a share of its length |w_l|.
        ascent: rise where all layers move along their own parts of the gradient.
        layer_ascents: rise where one layer does so and the others stay; NaN if not requested.
        random: rises where all layers move in random directions, one for each direction.
        layer_random: rise where one layer does so, mean over the directions; NaN if not requested.
        start_loss: L(w).
        layer_norms: |w_l|.
        gradient_norms: |g_l|, of the gradient's part in each layer; the same units as the loss per parameter.
        objective: how the loss was made.
    """

    layers: LayerNames
    radius: Float[Array, "*runs"]
    ascent: Float[Array, "*runs"]
    layer_ascents: Float[Array, "*runs layers"]
    random: Float[Array, "*runs directions"]
    layer_random: Float[Array, "*runs layers"]
    start_loss: Float[Array, "*runs"]
    layer_norms: Float[Array, "*runs layers"]
    gradient_norms: Float[Array, "*runs layers"]
    objective: ObjectiveInfo

    @property
    def mean(self) -> Float[Array, "*runs"]:
        """The mean rise over the random directions."""
        return band(self.random, -1).mean

    @property
    def standard_error(self) -> Float[Array, "*runs"]:
        """The standard error of that mean, with the estimator 1/(n-1) of the variance; NaN for one direction."""
        return band(self.random, -1).standard_error

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "RelativeSharpness":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked(radius=between(0, above=True), num_directions=whole(1))
@with_precision
def relative_sharpness(
    loss_fn: LossFn,
    params: Params,
    layers: Layers | None = None,
    *,
    key: Array,
    radius: float = 0.05,
    num_directions: int = 8,
    alone: bool = True,
    precision: str | None = None,
) -> RelativeSharpness:
    """Measure how far the loss rises where each layer moves by a share of its own length, changing nothing.

        ascent = L(w + rho sum over l of |w_l| g_l / |g_l|) - L(w),   g the gradient
        random = L(w + rho sum over l of |w_l| z_l / |z_l|) - L(w),   z normal, for each direction

    With one layer in the sum, it is that layer's own. Rescaling a layer whose scale the net does not depend on, such as weights
    before a normaliser, or two layers with a ReLU between them by factors that cancel, changes the Hessian's eigenvalues and
    trace, and none of these numbers, if the layers are kernels without biases. At a minimum of a quadratic loss, the mean over
    random directions is rho² / 2 sum over l of |w_l|² tr(H_ll) / n_l, with n_l the numbers in a layer.

    Source: Foret et al. 2021, arXiv:2010.01412, for the ascent; Kwon et al. 2021, arXiv:2102.11600, for sharpness that
    rescaling leaves as it is, there element by element; a length for each layer is this library's choice.

    It costs a gradient and a loss for each direction, the gradient's among them, and as many more for each layer alone; they
    are evaluated one after another in one program.

    Args:
        loss_fn: scalar loss of the parameters; from `objective.make_loss_fn` it is compiled once for all batches of a shape,
            any other function is compiled at every call.
        params: w, floating-point.
        layers: paths or regular expressions as in `layer_leaves`; None is every array by itself. Parameters of no layer stay
            where they are. For numbers that do not depend on the scale of weights, take one kernel in each layer.
        key: PRNG key of the random directions.
        radius: rho.
        num_directions: how many random ones.
        alone: move each layer alone, too.
        precision: of products, as in `evaluate_points`.

    Returns:
        RelativeSharpness; a layer of zeros does not move, and one without a gradient makes ascents NaN.

    Raises:
        ValueError: if a pattern matches nothing, a parameter is in two layers or not floating-point, an argument is out of its
            range, or the loss is not a scalar.

    Example:
        >>> from bnjax import probes
        >>> loss_fn = lambda params: params["a"] ** 2 + 10 * params["b"] ** 2
        >>> params = {"a": jnp.float32(1), "b": jnp.float32(0.5)}
        >>> found = probes.relative_sharpness(loss_fn, params, key=jax.random.key(0), radius=0.1)
        >>> print(*(f"{rise:.3f}" for rise in (found.ascent, *found.layer_ascents)))  # 0.21 times 3.5, 1 and 2.5
        0.735 0.210 0.525
    """
    check_params(params)
    leaves = layer_leaves(params, layers)
    numbers = layer_numbers(params, leaves)
    options = {"num_layers": len(leaves), "num_directions": num_directions, "alone": alone}
    rho = jnp.asarray(radius, float)
    found = compiled(_measure, loss_fn, numbers=numbers, **options)(params, key, rho)
    return RelativeSharpness(LayerNames(leaves), rho, *found, objective=probed_info(loss_fn, params))


def _measure(
    loss_fn: LossFn,
    params: Params,
    key: Array,
    rho: Array,
    *,
    numbers: tuple[int, ...],
    num_layers: int,
    num_directions: int,
    alone: bool,
) -> tuple[Array, ...]:
    """Measure rises along the gradient and along random directions, the loss, and the lengths of layers and gradient."""
    gradient = jax.grad(partial(scalar_loss, loss_fn))(params)
    lengths, gradients = (_lengths(tree, numbers, num_layers) for tree in (params, gradient))
    keys = jax.random.split(key, num_directions)

    def loss_at(move: tuple[Array, Array]) -> Array:
        """Evaluate the loss where all layers, or one, or none of them have moved; direction 0 is the gradient."""
        number, moved = move
        drawn = directions.random(keys[jnp.maximum(number - 1, 0)], params)
        direction = jax.tree.map(lambda g, z: jnp.where(number == 0, g, z), gradient, drawn)
        shares = rho * ratio(lengths, _lengths(direction, numbers, num_layers))
        leaves, form = jax.tree.flatten(params)
        # NOTE: unmoved layers are not multiplied by their share, which may be NaN.
        return loss_fn(
            form.unflatten(
                jnp.where((layer >= 0) & ((moved == _JOINT) | (moved == layer)), _moved(w, d, shares[layer]), w)
                for w, d, layer in zip(leaves, jax.tree.leaves(direction), numbers, strict=True)
            )
        )

    # NOTE: the start is an iteration of the same loop: one compiled loss, bit-identical where nothing moves.
    layers = jnp.arange(_JOINT, num_layers if alone else 0)
    which = jnp.arange(num_directions + 1)
    moves = jnp.repeat(which, len(layers)), jnp.tile(layers, len(which))
    start, *_ = losses = jax.lax.map(loss_at, (jnp.append(0, moves[0]), jnp.append(_NONE, moves[1])))
    ascents, *_ = rises = (losses[1:] - start).reshape(len(which), len(layers))
    unknown = jnp.full(num_layers, jnp.nan, rises.dtype)
    means = jnp.mean(rises[1:, 1:], axis=0) if alone else unknown
    return ascents[0], ascents[1:] if alone else unknown, rises[1:, 0], means, start, lengths, gradients


def _moved(w: Array, direction: Array, share: Array) -> Array:
    return w + (share * as_float(direction)).astype(jnp.result_type(w))


def _lengths(tree: Params, numbers: tuple[int, ...], num_layers: int) -> Float[Array, " layers"]:
    """Compute the length of each layer."""
    leaves = [*zip(jax.tree.leaves(tree), numbers, strict=True)]
    return jnp.stack([norm([leaf for leaf, number in leaves if number == i]) for i in range(num_layers)])
