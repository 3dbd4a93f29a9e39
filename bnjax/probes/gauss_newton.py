"""The Gauss-Newton and Fisher matrices as Hessians, of a loss on linearised outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jaxtyping import Float, PyTree

from bnjax._host.arguments import checked
from bnjax._host.trees import linear_part
from bnjax.probes.paths import check_params
from bnjax.probes.points import is_pytree
from bnjax.types import LossFn, Params


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearisedLoss:
    """A loss of outputs that are linear in the parameters; a pytree if its functions are."""

    outputs_fn: Any
    loss_fn: Any
    start: PyTree

    def __call__(self, params: Params) -> Float[Array, ""]:
        """Evaluate the loss."""
        # f(w_0) + J (w - w_0)
        return self.loss_fn(linear_part(self.outputs_fn, self.start, params))


@checked("outputs_fn", "loss_fn")
def gauss_newton(
    outputs_fn: Callable[[Params], Any], loss_fn: Callable[[Any], Float[Array, ""]], params: Params
) -> LossFn:
    """Make the loss whose Hessian is the Gauss-Newton matrix, for every probe of curvature.

        l(f(w_0) + J (w - w_0)) has the Hessian G = Jᵀ H_l J at w_0, with J = df/dw and H_l = d²l/df² there

    Where the loss is the negative log-likelihood of an exponential family in its natural parameters, such as the cross-entropy
    of logits or half the squared error, G is the Fisher information matrix. Loss and gradient at w_0 equal l(f(w)) and its
    gradient. Source: Martens 2020, arXiv:1412.1193, Sec. 8 and 9. `objective.linearise` does this for a Flax model.

    Args:
        outputs_fn: f, of the parameters.
        loss_fn: l, scalar loss of the outputs, which may be a mean over examples: G is a mean, too.
        params: w_0, where the outputs are linearised, and where curvature will be measured.

    Returns:
        A loss function of the parameters.

    Raises:
        ValueError: if there are no parameters, or one is not floating-point.

    Example:
        >>> from bnjax.probes import curvature
        >>> outputs, half_square = (lambda w: w**2), (lambda y: 0.5 * jnp.sum((y - 3) ** 2))
        >>> w = jnp.array([1.0, 2.0])
        >>> curvature.hvp(curvature.gauss_newton(outputs, half_square, w), w, jnp.ones(2)).tolist()  # 4 w²
        [4.0, 16.0]
    """
    check_params(params)
    loss = LinearisedLoss(outputs_fn, loss_fn, params)
    return loss if is_pytree((outputs_fn, loss_fn)) else lambda at: loss(at)
