"""Gradients layer by layer: their norms, step sizes relative to weights, and how gradients turn from step to step."""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.debugging import nan_is_a_value
from bnjax._host.trees import Scaled, as_float, cosine_of, difference, ratio, scaled_dots
from bnjax.probes.paths import Layers, check_alike, layer_leaves
from bnjax.probes.results import LayerNames, load_result, register, save_result
from bnjax.types import Params


@register()
class GradientStatistics(NamedTuple):
    """Norms of gradients, parameters and updates, and how a gradient differs from the one before; l2, one column per layer.

    Fields without input are NaN. Stacked by `jax.lax.scan` or `jax.vmap`, every array gains a leading axis.

    Attributes:
        layers: names.
        norm: |g_t|, of the gradient.
        param_norm: |w|.
        update_norm: |u|, of the update that the optimiser adds to the parameters.
        previous_norm: |g_{t-1}|.
        step_distance: |g_t - g_{t-1}|.
        step_cosine: cosine between g_t and g_{t-1}; NaN where either is zero.
        step_sum: |g_t + g_{t-1}|, Mameli's "gradient predictiveness", which grows with the gradients themselves.
    """

    layers: LayerNames
    norm: Float[Array, "*steps layers"]
    param_norm: Float[Array, "*steps layers"]
    update_norm: Float[Array, "*steps layers"]
    previous_norm: Float[Array, "*steps layers"]
    step_distance: Float[Array, "*steps layers"]
    step_cosine: Float[Array, "*steps layers"]
    step_sum: Float[Array, "*steps layers"]

    @property
    def update_ratio(self) -> Float[Array, "*steps layers"]:
        """The length of a step relative to the weights, |u| / |w|; NaN where the parameters are all zero."""
        return ratio(self.update_norm, self.param_norm)

    @property
    def relative_sum(self) -> Float[Array, "*steps layers"]:
        """The sum norm without the gradients' size, |g_t + g_{t-1}| / (|g_t| + |g_{t-1}|); NaN where both are zero."""
        return ratio(self.step_sum, self.norm + self.previous_norm)

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "GradientStatistics":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
def gradient_statistics(
    gradient: Params,
    previous: Params | None = None,
    params: Params | None = None,
    update: Params | None = None,
    layers: Layers | None = None,
) -> GradientStatistics:
    """Measure gradients layer by layer; a pure function, for use inside a compiled training step.

    With g_t the gradient, w the parameters and u the update, each restricted to a layer

        |g_t|        |u| / |w|        |g_t - g_{t-1}|        cos(g_t, g_{t-1})        |g_t + g_{t-1}|

    Source: Santurkar et al. 2018 call the distance |g_t - g_{t-1}| gradient predictiveness; the repository of Mameli's article
    uses the sum norm for it. Where two gradients of norm r are at an angle of cosine c, the sum norm is r (2 + 2c)^(1/2).

    Args:
        gradient: g_t.
        previous: g_{t-1}, a tree like `gradient`.
        params: w, a tree like `gradient`.
        update: u, a tree like `gradient`, as an optax optimiser returns it.
        layers: the columns, as in `layer_leaves`; None is a column per array. {"all": ""} is one column for all.

    Returns:
        GradientStatistics, in float32 or better.

    Raises:
        ValueError: if there is no gradient, trees differ in structure, or a layer matches no parameter.

    Example:
        >>> from bnjax import probes
        >>> gradient, params = {"dense": {"kernel": jnp.array([3.0, 4.0])}}, {"dense": {"kernel": jnp.array([0.0, 10.0])}}
        >>> found = probes.gradient_statistics(gradient, params=params)
        >>> print(found.layers, found.norm, found.param_norm)
        ('dense/kernel',) [5.] [10.]
    """
    if not jax.tree.leaves(gradient):
        raise ValueError(f"gradient must hold at least one array, got {gradient}.")
    for name, tree in (("previous", previous), ("params", params), ("update", update)):
        if tree is not None:
            check_alike(name, tree, gradient, "gradient")
    leaves = layer_leaves(gradient, layers)
    norm = _layer_norms(gradient, leaves)
    with nan_is_a_value():
        unknown = jnp.full_like(norm, jnp.nan)
    param_norm, update_norm, previous_norm = (
        unknown if tree is None else _layer_norms(tree, leaves) for tree in (params, update, previous)
    )
    distance = cosine = total = unknown
    if previous is not None:
        distance = _layer_norms(difference(gradient, previous), leaves)
        pairs = ((gradient, previous), (gradient, gradient), (previous, previous))
        dots, squares, before = (_layer_dots(*pair, leaves) for pair in pairs)
        with nan_is_a_value():
            cosine = jnp.stack([cosine_of(*each) for each in zip(dots, squares, before, strict=True)])
        total = _layer_norms(jax.tree.map(lambda g, p: as_float(g) + as_float(p), gradient, previous), leaves)
    return GradientStatistics(LayerNames(leaves), norm, param_norm, update_norm, previous_norm, distance, cosine, total)


def _layer_dots(a: Params, b: Params, leaves: dict[str, tuple[int, ...]]) -> list[Scaled]:
    """Take the inner product of two trees in each layer."""
    dots = scaled_dots(a, b)
    return [dots.part(positions) for positions in leaves.values()]


def _layer_norms(tree: Params, leaves: dict[str, tuple[int, ...]]) -> Float[Array, " layers"]:
    """Take the l2 norm of a tree in each layer."""
    return jnp.stack([squares.root for squares in _layer_dots(tree, tree, leaves)])
