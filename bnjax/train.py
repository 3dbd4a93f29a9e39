"""Training as pure functions: states in, states and metrics out; nothing here writes a file."""

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Float, Int, PyTree

from bnjax._host.arguments import NOT_EMPTY, between, checked, whole
from bnjax._host.debugging import watch_loss
from bnjax._host.precision import products_in
from bnjax._host.programs import compiled_once
from bnjax._host.sharding import count_shares, everywhere, spread
from bnjax._host.trees import is_known
from bnjax.data import Split, draw_by_label, draw_indices, take_batch
from bnjax.losses import average, count_only, get_loss, is_correct, total
from bnjax.objective import make_loss_fn
from bnjax.types import Batch, LossFn, Model, Number, Params, Rngs, Variables

OPTIMIZERS = ("sgd", "adam", "rmsprop")
_DECAY = 0.9  # of RMSProp's mean square
DRAWING = 2  # grows when equal keys give other weights, batches, masks or noise


class TrainState(struct.PyTreeNode):
    """Everything that a run carries from step to step; equal states continue to equal bits.

    Attributes:
        step: how many steps have been taken, ().
        params: what the optimiser changes.
        batch_stats: what the normalisers remember.
        opt_state: what the optimiser remembers, its learning rate included.
        key: from which parameters, data order and random layers follow; it never changes.
    """

    step: PyTree
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    key: PyTree

    @property
    def variables(self) -> Variables:
        """The model's side of the state."""
        return Variables(self.params, self.batch_stats)


class Metrics(NamedTuple):
    """Loss in the loss's units, and share of correct answers: means over a batch, or the sums that `eval_step` says.

    Where labels are (examples, tokens), they are means over tokens with equal weights; a mask leaves tokens out.
    """

    loss: Float[Array, "*steps"]
    accuracy: Float[Array, "*steps"]


class Trainer(NamedTuple):
    """The constant part of a run; its compiled programs are freed with its model.

    Attributes:
        model: to train.
        optimizer: makes steps of gradients.
        batch_size: examples per step.
        loss: name of a loss in `losses`.
        mesh: devices that share each batch, and take the steps that one device would, except for rounding: statistics are
            those of the whole batch. None is the device where the state is.
        axis: of the mesh, along which the examples of a batch go.
        precision: of products and convolutions in steps and tests, as `jax.default_matmul_precision` takes it: accelerators
            round operands to 7 or 10 bits by "default"; on a CPU all are the same. None is JAX's state where they are compiled.
        per_label: sort batches by label, so many of each, as `data.draw_by_label`; None draws from all examples.
    """

    model: Model
    optimizer: optax.GradientTransformation
    batch_size: int
    loss: str = "cross_entropy"
    mesh: Mesh | None = None
    axis: str = "batch"
    precision: str | None = None
    per_label: int | None = None

    def products(self) -> AbstractContextManager[object]:
        """Return the context in which its products are traced."""
        return nullcontext() if self.precision is None else products_in(self.precision)


@checked("learning_rate", "momentum", "weight_decay", "clip", momentum=between(0, 1, below=True), clip=between(0))
def make_optimizer(
    name: str, learning_rate: Number, *, momentum: Number = 0.0, weight_decay: Number = 0.0, clip: Number = 0.0
) -> optax.GradientTransformation:
    """Make SGD, Adam or RMSProp; the learning rate is part of its state, so that a new one does not compile again.

    `weight_decay` adds weight_decay * params to the gradient, for all: the gradient of an L2 penalty of
    weight_decay / 2 * |params|², as in PyTorch's SGD and Adam (not AdamW). A gradient of the loss that is longer than `clip` is
    shortened to it before.

    Args:
        name: "sgd", "adam" (b1 0.9, b2 0.999, eps 1e-8) or "rmsprop" (decay 0.9, eps 1e-8 inside the root). The numbers that
            follow may be traced, and then are not checked.
        learning_rate: step size.
        momentum: share of the last update that SGD and RMSProp repeat; 0 for Adam, which has its own.
        weight_decay: strength of the L2 penalty.
        clip: largest l2 norm of the loss's gradient by all parameters; 0 leaves it as it is.

    Returns:
        An optax transformation.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"name must be one of {', '.join(OPTIMIZERS)}, got {name!r}.")
    has_momentum, decays, clips = (not is_known(value) or value > 0 for value in (momentum, weight_decay, clip))
    if name == "adam" and has_momentum:
        raise ValueError(f"momentum must be 0 for adam, which has its own, got {momentum}.")

    @optax.inject_hyperparams
    def make(learning_rate: Array) -> optax.GradientTransformation:
        share = momentum if has_momentum else None
        steps = {
            "sgd": lambda: optax.sgd(learning_rate, share),
            "adam": lambda: optax.adam(learning_rate),
            "rmsprop": lambda: optax.rmsprop(learning_rate, decay=_DECAY, momentum=share),
        }
        before = [optax.clip_by_global_norm(clip)] * clips + [optax.add_decayed_weights(weight_decay)] * decays
        return optax.chain(*before, steps[name]()) if before else steps[name]()

    return make(learning_rate=learning_rate)


@checked(x=NOT_EMPTY)
@compiled_once("trainer")
def init_state(trainer: Trainer, key: Array, x: Float[Array, "batch *features"]) -> TrainState:
    """Make the state before the first step; parameters, data order and random layers all follow from `key`.

    Args:
        trainer: whose model and optimiser are to be started.
        key: of everything random in the run.
        x: inputs of the shape that the model will get; their values do not matter.

    Returns:
        TrainState at step 0, on all devices of the trainer's mesh.
    """
    params, batch_stats = trainer.model.init(jax.random.fold_in(key, 0), x)
    state = TrainState(jnp.zeros((), jnp.int32), params, batch_stats, trainer.optimizer.init(params), key)
    return everywhere(state, trainer.mesh)


def _draw_steps(
    trainer: Trainer, state: TrainState, split: Split, *, num_steps: int
) -> Int[Array, "num_steps batch_size"]:
    """Draw the examples of the state's next steps, in the run's own data order."""
    key = jax.random.fold_in(state.key, 1)
    if trainer.per_label is not None:
        sizes = {"batch_size": trainer.batch_size, "per_label": trainer.per_label}
        return draw_by_label(key, state.step, split.labels, num_steps=num_steps, **sizes)
    return draw_indices(
        key,
        state.step,
        num_steps=num_steps,
        num_examples=len(split.labels),
        batch_size=trainer.batch_size,
    )


@checked()
def step_rngs(state: TrainState) -> Rngs:
    """Derive the keys of the random layers at the state's step."""
    streams = {"dropout": 2, "noise": 3}
    return {name: jax.random.fold_in(jax.random.fold_in(state.key, n), state.step) for name, n in streams.items()}


@checked()
@compiled_once("trainer")
def current_batch(trainer: Trainer, state: TrainState, split: Split) -> Batch:
    """Draw the batch that the state's next step trains on.

    Args:
        trainer: whose batch size it has.
        state: which knows the step and the data order.
        split: the training data.

    Returns:
        Batch of trainer.batch_size examples.
    """
    batch = take_batch(split, _draw_steps(trainer, state, split, num_steps=1)[0])
    return spread(batch, trainer.mesh, trainer.axis)


@checked()
def current_loss_fn(trainer: Trainer, state: TrainState, split: Split, *, l2: Number = 0.0) -> LossFn:
    """Make the loss that the state's next step descends, as a function of the parameters: what a probe scans on the way.

    Args:
        trainer: model and loss.
        state: which knows the step, the data order and the random masks.
        split: the training data.
        l2: adds l2 / 2 * |params|².

    Returns:
        The loss of the next batch in training mode; a new batch does not compile again.
    """
    # NOTE: inside a grid's program the trainer may hold traced numbers, and is no constant for compiled code.
    draw = current_batch if is_known(state.step) else inspect.unwrap(current_batch)
    batch = draw(trainer, state, split)
    return make_loss_fn(trainer.model, state.batch_stats, batch, loss=trainer.loss, rngs=step_rngs(state), l2=l2)


@checked()
def train_step(trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """Take one optimiser step.

    Args:
        trainer: model, optimiser and loss.
        state: where to start.
        batch: what to train on.

    Returns:
        (state, metrics): the state after the step, its batch_stats moved; means over the batch before it, in training mode.
    """
    batch = spread(batch, trainer.mesh, trainer.axis)

    def loss_fn(params: Params) -> tuple[Array, tuple[Array, PyTree]]:
        outputs, batch_stats = trainer.model.apply(
            Variables(params, state.batch_stats), batch.inputs, train=True, rngs=step_rngs(state)
        )
        losses = get_loss(trainer.loss)(*count_only(outputs, batch.labels, batch.mask))
        return average(losses, batch.mask), (outputs, batch_stats)

    with trainer.products():
        (loss, (outputs, batch_stats)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    updates, opt_state = trainer.optimizer.update(gradient, state.opt_state, state.params)
    accuracy = average(is_correct(outputs, batch.labels), batch.mask)
    new_state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return new_state, Metrics(loss, accuracy)


@checked(num_steps=whole(0))
@watch_loss
@compiled_once("trainer", "num_steps", donated="state")
def run_steps(trainer: Trainer, state: TrainState, split: Split, *, num_steps: int) -> tuple[TrainState, Metrics]:
    """Take `num_steps` steps as one compiled program, drawing batches on the device.

    Args:
        trainer: model, optimiser, batch size and loss.
        state: where to start; its buffers are given away.
        split: the training data, whole.
        num_steps: how many steps; each number compiles once, and the steps have the same bits however they are cut.

    Returns:
        (state, metrics): the state after them, and metrics of each step, (num_steps,).
    """
    indices = _draw_steps(trainer, state, split, num_steps=num_steps)

    def step(state: TrainState, indices: Array) -> tuple[TrainState, Metrics]:
        return train_step(trainer, state, take_batch(split, indices))

    if num_steps != 1:
        return jax.lax.scan(step, state, indices)
    # NOTE: XLA would take a loop of one step apart, and round that step otherwise; how long this one is, it cannot know.
    stop = jax.lax.optimization_barrier(jnp.int32(1))
    shapes = jax.eval_shape(step, state, indices[0])[1]
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    state, metrics = jax.lax.fori_loop(0, stop, lambda _, x: step(x[0], indices[0]), (state, nothing))
    return state, jax.tree.map(lambda leaf: leaf[None], metrics)


@checked()
def eval_step(
    trainer: Trainer,
    variables: Variables,
    batch: Batch,
    weights: Float[Array, " examples"] | None = None,
    *,
    rngs: Rngs | None = None,
) -> Metrics:
    """Sum loss and correct answers over a batch, with running statistics, which stay as they are.

    Args:
        trainer: model and loss.
        variables: parameters and running statistics.
        batch: what to evaluate.
        weights: factor of each example; 0 leaves it out, whatever it holds. None is 1 for all.
        rngs: keys of layers that are random in evaluation too.

    Returns:
        Metrics that are sums, not means.
    """
    if weights is not None and jnp.size(weights) != len(batch.labels):
        raise ValueError(f"weights must have one entry per example, {len(batch.labels)}, got {jnp.size(weights)}.")
    batch = spread(batch, trainer.mesh, trainer.axis)
    with trainer.products():
        outputs, _ = trainer.model.apply(variables, batch.inputs, train=False, rngs=rngs)
    losses = get_loss(trainer.loss)(*count_only(outputs, batch.labels, batch.mask))
    weights = jnp.ones(len(batch.labels)) if weights is None else weights
    weights = weights.reshape(-1, *(1,) * (losses.ndim - 1))
    # NOTE: where, not times: a padded example must not spoil the sum with its NaN.
    weighted = (
        jnp.where(weights > 0, weights * losses, 0),
        weights * is_correct(outputs, batch.labels).astype(weights.dtype),
    )
    return Metrics(*(total(values, batch.mask)[0] for values in weighted))


@checked(batch_size=whole(1))
@watch_loss
@compiled_once("trainer", "batch_size")
def evaluate(
    trainer: Trainer, variables: Variables, split: Split, *, batch_size: int = 1000, rngs: Rngs | None = None
) -> Metrics:
    """Average loss and accuracy over every example of a split, with running statistics, which stay as they are.

    Args:
        trainer: model and loss.
        variables: parameters and running statistics.
        split: the data, whole.
        batch_size: examples at a time; no result depends on it but by rounding, unless layers are random.
        rngs: keys of layers that are random in evaluation too, such as {"noise": key}; each batch gets keys of its own.

    Returns:
        Metrics, each ().
    """
    num, labels = len(split.labels), split.labels
    has_classes = jnp.issubdtype(labels.dtype, jnp.integer)
    _, num_counted = total(jnp.ones(labels.shape if has_classes else labels.shape[:-1]), split.mask)
    batch_size = min(batch_size, num)
    batch_size += -batch_size % count_shares(trainer.mesh, trainer.axis)
    padded = -(-num // batch_size) * batch_size
    indices = jnp.arange(padded).reshape(-1, batch_size)

    def add(sums: Metrics, i: Array) -> tuple[Metrics, None]:
        keys = None if rngs is None else {name: jax.random.fold_in(key, i[0]) for name, key in rngs.items()}
        more = eval_step(trainer, variables, take_batch(split, i % num), (i < num).astype(jnp.float32), rngs=keys)
        return jax.tree.map(jnp.add, sums, more), None

    totals, _ = jax.lax.scan(add, Metrics(jnp.zeros(()), jnp.zeros(())), indices)
    return jax.tree.map(lambda sums: sums / num_counted, totals)
