"""Hessian products, of the whole Hessian on trees or of one diagonal block on flat vectors."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import common_type
from bnjax.probes.lanczos import Matvec
from bnjax.probes.paths import check_alike, check_params, selected_leaves
from bnjax.probes.points import scalar_loss
from bnjax.probes.restrict import RestrictedLoss
from bnjax.types import LossFn, Params


@checked()
@with_precision
def hvp(loss_fn: LossFn, params: Params, vector: Params, *, precision: str | None = None) -> Params:
    """Multiply the Hessian of a loss with a vector, changing nothing.

        H v = d/dt grad L(w + t v) at t = 0, forward over reverse

    Source: Pearlmutter 1994, Fast exact multiplication by the Hessian, doi:10.1162/neco.1994.6.1.147. H is the
    Hessian of the given loss, which may be a mean. It runs operation by operation unless the caller compiles it.

    Args:
        loss_fn: scalar loss of the parameters.
        params: w, floating-point.
        vector: v, a tree like `params`; taken in the types of `params`.
        precision: of products, as in `evaluate_points`.

    Returns:
        H v, a tree like `params`.

    Raises:
        ValueError: if the loss is not a floating-point scalar, there are no parameters, one is not floating-point, or the
            vector is not like them.

    Example:
        >>> from bnjax.probes import curvature
        >>> print(curvature.hvp(lambda w: w[0] * w[1], jnp.zeros(2), jnp.array([3.0, 5.0])))  # H is [[0, 1], [1, 0]]
        [5. 3.]
    """
    check_params(params)
    check_alike("vector", vector, params)
    tangent = jax.tree.map(lambda w, v: jnp.asarray(v, jnp.result_type(w)), params, vector)
    return jax.jvp(jax.grad(partial(scalar_loss, loss_fn)), (params,), (tangent,))[1]


def select_block(params: Params, pattern: str | None) -> dict[str, Array]:
    """Return the parameters that a regular expression selects, by path; None selects all.

    Raises:
        ValueError: if there are no parameters, one that is selected is not floating-point, or the pattern matches nothing.
    """
    if pattern is None or not jax.tree.leaves(params):
        check_params(params)
    block = selected_leaves(params, pattern)
    if not sum(jnp.size(leaf) for leaf in block.values()):
        raise ValueError(f"pattern must select at least one number, got {pattern!r}, which selects empty arrays.")
    check_params(block)
    return block


def block_operator(
    loss_fn: LossFn, params: Params, pattern: str | None
) -> tuple[Matvec, Float[Array, " dim"], Callable[[Float[Array, " dim"]], dict[str, Array]]]:
    """Restrict the Hessian to the parameters that a pattern selects, on flat vectors.

    Gradients are taken for these parameters only. Vectors have the widest type of the block, at least float32; products are
    taken in the parameters' own types.

    Args:
        loss_fn: scalar loss of the parameters.
        params: parameters.
        pattern: regular expression for paths; None is all.

    Returns:
        (the product with a flat vector, the block as a flat vector, a function from a flat vector to a dictionary by path).
    """
    block = select_block(params, pattern)
    block_loss = RestrictedLoss(loss_fn, params)
    flat, unravel = ravel_pytree({p: w.astype(common_type(w.dtype, jnp.float32)) for p, w in block.items()})

    def matvec(vector: Float[Array, " dim"]) -> Float[Array, " dim"]:
        return ravel_pytree(hvp(block_loss, block, unravel(vector)))[0].astype(flat.dtype)

    return matvec, flat, unravel
