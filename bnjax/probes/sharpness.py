"""Batch sharpness: the curvature of the loss of a mini-batch along its own gradient, on average over batches."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import dot, norm, ratio
from bnjax.probes.hessian import hvp
from bnjax.probes.paths import check_params
from bnjax.probes.points import compiled, probed_info, scalar_loss
from bnjax.probes.results import band, load_result, register, save_result
from bnjax.types import LossFn, ObjectiveInfo, Params


@register()
class BatchSharpness(NamedTuple):
    """The curvature of several batches' losses, each along its own gradient, in units of the loss per squared parameter.

    Attributes:
        sharpness: mean of the samples.
        standard_error: of the mean, their standard deviation (1/(m-1)) over sqrt(m); NaN for one batch.
        samples: gᵀHg / |g|² of each batch; NaN where its gradient is zero.
        gradient_norms: |g| of each batch.
        objective: how the first batch's loss was made.
    """

    sharpness: Float[Array, "*runs"]
    standard_error: Float[Array, "*runs"]
    samples: Float[Array, "*runs batches"]
    gradient_norms: Float[Array, "*runs batches"]
    objective: ObjectiveInfo

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "BatchSharpness":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
@with_precision
def batch_sharpness(losses: Sequence[LossFn], params: Params, *, precision: str | None = None) -> BatchSharpness:
    """Measure how sharp the losses of mini-batches are along their own gradients, changing nothing.

        sharpness = mean over batches B of gᵀHg / |g|², with g the gradient and H the Hessian of the loss of B

    Source: Andreyev & Beneventano, arXiv:2412.20553, who find that SGD ends where this is 2 / learning rate. It takes one
    Hessian product for each batch, along g / |g|, whose squares neither underflow nor overflow. If the whole data set is one
    batch, it is the curvature of the loss along its gradient.

    Args:
        losses: scalar losses of the parameters, one for each batch; those from `objective.make_loss_fn` are compiled once for
            all batches of a shape, any other function is compiled at every call.
        params: where gradients and Hessians are taken.
        precision: of products, as in `evaluate_points`.

    Returns:
        BatchSharpness.

    Raises:
        ValueError: if there is no loss, one is not a scalar, there are no parameters, or one is not floating-point.

    Example:
        >>> losses = [lambda w: jnp.sum(w**2), lambda w: 3 * jnp.sum(w**2)]
        >>> found = batch_sharpness(losses, jnp.ones(4))
        >>> float(found.sharpness), found.samples.tolist()
        (4.0, [2.0, 6.0])
    """
    losses = [*losses]
    if not losses:
        raise ValueError("losses must be one or more, one for each batch, got none.")
    check_params(params)
    found = [compiled(_along_gradient, loss_fn)(params) for loss_fn in losses]
    samples, norms = (jnp.stack(values) for values in zip(*found, strict=True))
    summary = band(samples)
    return BatchSharpness(summary.mean, summary.standard_error, samples, norms, probed_info(losses[0], params))


def _along_gradient(loss_fn: LossFn, params: Params) -> tuple[Array, Array]:
    """Compute the curvature along the gradient, and the gradient's norm."""
    gradient = jax.grad(lambda at: scalar_loss(loss_fn, at))(params)
    length = norm(gradient)
    unit = jax.tree.map(lambda leaf: ratio(leaf.astype(length.dtype), length).astype(leaf.dtype), gradient)
    return dot(unit, hvp(loss_fn, params, unit)), length
