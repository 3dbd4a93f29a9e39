"""The parts of a run: the constant trainer, the state that moves, and the metrics of a step."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import nnx, struct
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Float, PyTree

from bnjax._host.kinds import described
from bnjax._host.precision import products_in
from bnjax.losses import Loss, have_classes, is_correct, loss_of_each
from bnjax.types import Batch, Model, Variables

STREAMS = ("dropout", "noise")  # of random layers, unless a trainer names others


class TrainState(struct.PyTreeNode):
    """Everything that a run carries from step to step; equal states continue to equal bits.

    Attributes:
        step: how many steps have been taken, ().
        params: the parameters that the optimiser changes.
        batch_stats: the running statistics of the normalisers.
        opt_state: the state of the optimiser, including its learning rate.
        key: determines parameters, data order and random layers; it never changes.
    """

    step: PyTree
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    key: PyTree

    @property
    def variables(self) -> Variables:
        """The variables of the model."""
        return Variables(self.params, self.batch_stats)


class Metrics(NamedTuple):
    """Loss in the loss's units, and accuracy: means over a batch, or sums from `eval_step`.

    If labels are (examples, tokens), they are means over tokens with equal weights; a mask leaves tokens out. Accuracy is NaN
    where it is undefined: for regression labels, and wherever there is no array of outputs with a class for each of its rows.
    """

    loss: Float[Array, "*steps"]
    accuracy: Float[Array, "*steps"]


class Trainer(NamedTuple):
    """The constant part of a run; its compiled programs are freed with its model.

    Attributes:
        model: to train.
        optimizer: computes steps from gradients.
        batch_size: examples per step.
        loss: name of a loss in `losses`, or a function of outputs and labels, each of any structure, which returns the loss of
            each example, (examples,), or of each token, (examples, tokens), not their mean.
        mesh: devices that share each batch, and take the same steps as one device would, except for rounding: statistics are
            those of the whole batch. None is the device where the state is.
        axis: of the mesh, along which the examples of a batch are sharded.
        precision: of products and convolutions in steps and tests, as `jax.default_matmul_precision` takes it: accelerators
            round operands to 7 or 10 bits by "default"; on a CPU all are the same. None is JAX's state when they are compiled.
        per_label: sort batches by label, with this many examples of each, as `data.draw_by_label`; None draws from all
            examples.
        streams: names of the random streams from which the model's layers draw in training, as `module.make_rng("dropout")`
            does. A stream's keys depend on its name alone, not on the others.

    Example:
        >>> from bnjax import adapters, data, train
        >>> from flax import linen as nn
        >>> def loss(outputs, labels):
        ...     return abs(outputs[:, 0] - labels["low"]) + abs(outputs[:, 1] - labels["high"])
        >>> optimizer = train.make_optimizer("sgd", 0.1)
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), optimizer, batch_size=4, loss=loss)
        >>> split = data.from_arrays(jnp.eye(4), {"low": jnp.zeros(4), "high": jnp.ones(4)})
        >>> state = train.init_state(trainer, jax.random.key(0), split.images)
        >>> state, metrics = train.run_steps(trainer, state, split, num_steps=20)
        >>> print(metrics.loss[-1] < metrics.loss[0], metrics.accuracy[0])
        True nan
    """

    model: Model
    optimizer: optax.GradientTransformation
    batch_size: int
    loss: Loss = "cross_entropy"
    mesh: Mesh | None = None
    axis: str = "batch"
    precision: str | None = None
    per_label: int | None = None
    streams: tuple[str, ...] = STREAMS

    def products(self) -> AbstractContextManager[object]:
        """Return the context that sets the precision of products while they are traced."""
        return nullcontext() if self.precision is None else products_in(self.precision)


def check_trainer(trainer: Trainer) -> None:
    """Raise unless a trainer has a model, an optimiser and names of streams."""
    model, optimizer = trainer.model, trainer.optimizer
    if isinstance(model, nn.Module | nnx.Module) or not (hasattr(model, "init") and hasattr(model, "apply")):
        kind = "nnx" if isinstance(model, nnx.Module) else "linen"
        way_out = f"write adapters.from_{kind}(module) or bnjax.Model(init, apply)"
        raise ValueError(f"model must be a Model: {way_out}, got {type(model).__name__}.")
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        way_out = 'write train.make_optimizer("sgd", 0.1)'
        raise ValueError(f"optimizer must be an optax transformation: {way_out}, got {described(optimizer)}.")
    check_streams(trainer.streams)


def check_streams(streams: Any) -> None:
    """Raise unless names are in a tuple or list."""
    if isinstance(streams, str) or not all(isinstance(name, str) for name in streams):
        raise ValueError(f"streams must be a tuple of names, got {streams!r}.")


def judge(trainer: Trainer, outputs: Any, batch: Batch) -> tuple[Array, Array]:
    """Compute the loss of each example or token, and whether each answer is correct; NaN if that is undefined."""
    losses = loss_of_each(trainer.loss, outputs, batch)
    if trainer.loss == "cross_entropy" or have_classes(outputs, batch.labels):
        return losses, is_correct(outputs, batch.labels)
    return losses, jnp.full(losses.shape, jnp.nan)
