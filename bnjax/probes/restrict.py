"""A loss as a function of some of the parameters."""

from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jaxtyping import Float, PyTree

from bnjax._host.arguments import checked
from bnjax.probes.paths import path_name, selected_leaves
from bnjax.probes.points import is_pytree
from bnjax.types import LossFn, ObjectiveInfo, Params, objective_info


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RestrictedLoss:
    """A loss of selected parameters, by path, with the others fixed; a pytree if the loss is one."""

    loss_fn: Any
    params: PyTree

    def __call__(self, selected: dict[str, Array]) -> Float[Array, ""]:
        """Evaluate the loss."""
        return self.loss_fn(
            jax.tree_util.tree_map_with_path(lambda path, leaf: selected.get(path_name(path), leaf), self.params)
        )

    @property
    def info(self) -> ObjectiveInfo:
        """How the loss was made."""
        return objective_info(self.loss_fn)


@checked("loss_fn")
def restrict(loss_fn: LossFn, params: Params, pattern: str) -> tuple[LossFn, dict[str, Array]]:
    """Make a loss of only those parameters whose path a regular expression matches, for any probe.

        scan_line(*restrict(loss_fn, params, "^conv_1/"))

    scans one layer along its own gradient; directions, distances and curvature refer to the selected parameters.

    Args:
        loss_fn: scalar loss of the parameters.
        params: where the others stay.
        pattern: regular expression that matches anywhere in a path such as "conv_1/kernel".

    Returns:
        (loss, selected): a function of a dictionary of parameters by path, and the selected parameters.

    Raises:
        ValueError: if the pattern matches nothing.

    Example:
        >>> from bnjax import probes
        >>> loss_fn, selected = probes.restrict(lambda p: p["a"] * p["b"], {"a": jnp.array(2.0), "b": jnp.array(3.0)}, "^a$")
        >>> print(list(selected), loss_fn({"a": jnp.array(5.0)}))
        ['a'] 15.0
    """
    restricted = RestrictedLoss(loss_fn, params)
    return (restricted if is_pytree(loss_fn) else _Bare(restricted)), selected_leaves(params, pattern)


class _Bare:
    """A restricted loss that is not a pytree, because the loss that it calls is not one."""

    def __init__(self, loss: RestrictedLoss):
        self._loss = loss
        self.info = loss.info

    def __call__(self, selected: dict[str, Array]) -> Float[Array, ""]:
        """Evaluate the loss."""
        return self._loss(selected)
