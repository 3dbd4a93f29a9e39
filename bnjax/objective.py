"""Loss functions of the parameters alone: the only place where a model meets a probe."""

from typing import Literal, get_args

import jax.numpy as jnp
import optax
from flax import struct
from jax import Array
from jaxtyping import Float, PyTree

from bnjax.losses import get_loss
from bnjax.types import Batch, Model, ObjectiveInfo, Params, Rngs, Variables

Statistics = Literal["batch", "running"]


class Objective(struct.PyTreeNode):
    """A loss as a function of the parameters, on a fixed batch with fixed running statistics.

    It is a pytree: compiled code takes it as an argument, so that a new batch does not compile anew.
    """

    batch_stats: PyTree
    batch: PyTree
    rngs: PyTree
    l2: PyTree
    model: Model = struct.field(pytree_node=False)
    loss: str = struct.field(pytree_node=False)
    statistics: Statistics = struct.field(pytree_node=False)

    def __call__(self, params: Params) -> Float[Array, ""]:
        """Evaluate the loss; no statistics leave it."""
        variables = Variables(params, self.batch_stats)
        outputs, _ = self.model.apply(variables, self.batch.inputs, train=self.statistics == "batch", rngs=self.rngs)
        data_loss = jnp.mean(get_loss(self.loss)(outputs, self.batch.labels))
        return data_loss + 0.5 * self.l2 * optax.tree.norm(params, squared=True)

    @property
    def info(self) -> ObjectiveInfo:
        """How this loss was made."""
        return ObjectiveInfo(self.statistics, self.batch.inputs.shape[0])


def make_loss_fn(
    model: Model,
    batch_stats: PyTree[Array],
    batch: Batch,
    *,
    loss: str = "cross_entropy",
    statistics: Statistics = "batch",
    rngs: Rngs | None = None,
    l2: float | Float[Array, ""] = 0.0,
) -> Objective:
    """Bind everything but the parameters.

        loss_fn(params) = mean over the batch of loss(model(inputs), labels) + l2 / 2 * |params|²

    Args:
        model: pure functions; see `adapters` for making one.
        batch_stats: running statistics.
        batch: the examples to average over.
        loss: name of a loss in `losses`.
        statistics: "batch" normalises with the batch's own statistics at every point, "running" with `batch_stats`.
        rngs: keys for random layers, such as {"dropout": key}; the same at every point, so that the loss is a function.
        l2: strength of the L2 penalty, for landscapes of the total loss.

    Returns:
        A function of the parameters, which is also a pytree.

    Raises:
        ValueError: if `loss` or `statistics` is unknown.
    """
    get_loss(loss)
    if statistics not in get_args(Statistics):
        raise ValueError(f"statistics must be one of {', '.join(get_args(Statistics))}, got {statistics!r}.")
    return Objective(batch_stats, batch, rngs, jnp.asarray(l2, jnp.float32), model, loss, statistics)
