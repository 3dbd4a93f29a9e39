"""Training steps as pure functions, with their states, batches and keys."""

import contextlib
import functools
import inspect
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Int, PyTree

from bnjax._host.arguments import NOT_EMPTY, checked, whole
from bnjax._host.debugging import watch_loss
from bnjax._host.programs import compiled_once
from bnjax._host.sharding import everywhere, spread
from bnjax._host.trees import is_known
from bnjax.data import Split, draw_by_label, draw_indices, steps_per_epoch, take_batch
from bnjax.data.subsets import check_labels
from bnjax.losses import average
from bnjax.objective import make_loss_fn
from bnjax.probes.paths import path_name
from bnjax.train.state import STREAMS, Metrics, Trainer, TrainState, check_streams, check_trainer, judge
from bnjax.types import Batch, LossFn, Number, Params, Rngs, Variables

F = TypeVar("F", bound=Callable[..., Any])

_STREAMS = {"dropout": 2, "noise": 3}  # numbers of streams; those of others follow from their names
# Version of the random draws: incremented when equal keys give other weights, batches, masks or noise, beyond rounding.
DRAWING = 2


@checked(x=NOT_EMPTY)
@compiled_once("trainer")
def init_state(trainer: Trainer, key: Array, x: PyTree[Array]) -> TrainState:
    """Make the state before the first step; parameters, data order and random layers all follow from `key`.

    Args:
        trainer: holds the model and the optimiser.
        key: of everything random in the run.
        x: inputs of the shapes that the model will get, an array or a pytree of them; their values do not matter.

    Returns:
        TrainState at step 0, on all devices of the trainer's mesh.

    Raises:
        ValueError: if the trainer has no Model, no optimiser, or streams that are not a tuple of names.

    Example:
        >>> from bnjax import adapters, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> state = train.init_state(trainer, jax.random.key(0), jnp.ones((1, 3)))
        >>> print(state.step, state.params["kernel"].shape)
        0 (3, 2)
    """
    check_trainer(trainer)
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
        num_examples=len(split.images),
        batch_size=trainer.batch_size,
    )


@checked()
def step_rngs(state: TrainState, streams: Sequence[str] = STREAMS) -> Rngs:
    """Derive the keys of the random layers at the state's step.

    Args:
        state: gives the run's key and the step.
        streams: names of the random streams, as `Trainer.streams`.

    Returns:
        A key by name.

    Example:
        >>> from bnjax import adapters, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> print(sorted(train.step_rngs(train.init_state(trainer, jax.random.key(0), jnp.ones((1, 3))))))
        ['dropout', 'noise']
    """
    check_streams(streams)
    numbers = {name: _STREAMS.get(name, zlib.crc32(name.encode())) for name in streams}
    return {name: jax.random.fold_in(jax.random.fold_in(state.key, n), state.step) for name, n in numbers.items()}


def _with_labels_checked(function: F) -> F:
    """Decorate a compiled function, for which labels are traced, so that they are checked before the call."""

    @functools.wraps(function)
    def call(trainer: Trainer, state: TrainState, split: Split, **options: Any) -> Any:
        check_split(trainer, split)
        return function(trainer, state, split, **options)

    return call  # pyright: ignore[reportReturnType]


def check_split(trainer: Trainer, split: Split) -> None:
    """Raise a ValueError unless a trainer's batches can be drawn: by label, where labels are known; these are read once."""
    steps_per_epoch(len(split.images), trainer.batch_size)
    if trainer.per_label is not None:
        check_labels(split.labels, batch_size=trainer.batch_size, per_label=trainer.per_label)


@checked()
@_with_labels_checked
@compiled_once("trainer")
def current_batch(trainer: Trainer, state: TrainState, split: Split) -> Batch:
    """Draw the batch that the state's next step trains on.

    Args:
        trainer: gives the batch size.
        state: gives the step and the data order.
        split: the training data.

    Returns:
        Batch of trainer.batch_size examples.

    Raises:
        ValueError: if a batch cannot be drawn from the split: it is too small, or has too few examples of a label.

    Example:
        >>> from bnjax import adapters, data, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> split = data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> state = train.init_state(trainer, jax.random.key(0), split.images)
        >>> print(sorted(train.current_batch(trainer, state, split).labels.tolist()))
        [0, 0, 1, 1]
    """
    batch = take_batch(split, _draw_steps(trainer, state, split, num_steps=1)[0])
    return spread(batch, trainer.mesh, trainer.axis)


@checked()
def current_loss_fn(trainer: Trainer, state: TrainState, split: Split, *, l2: Number = 0.0) -> LossFn:
    """Make the loss that the state's next step descends, as a function of the parameters, for probes during training.

    Args:
        trainer: model and loss.
        state: gives the step, the data order and the random masks.
        split: the training data.
        l2: adds l2 / 2 * |params|².

    Returns:
        The loss of the next batch in training mode; a new batch does not compile again.

    Example:
        >>> from bnjax import adapters, data, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> split = data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> state = train.init_state(trainer, jax.random.key(0), split.images)
        >>> loss_fn = train.current_loss_fn(trainer, state, split)
        >>> print(loss_fn(jax.tree.map(jnp.zeros_like, state.params)).round(3))  # log 2: both classes are as likely
        0.693
    """
    # NOTE: inside a grid's program the trainer may hold traced numbers, so it cannot be a constant of compiled code.
    draw = current_batch if is_known(state.step) else inspect.unwrap(current_batch)
    batch = draw(trainer, state, split)
    rngs = step_rngs(state, trainer.streams)
    return make_loss_fn(trainer.model, state.batch_stats, batch, loss=trainer.loss, rngs=rngs, l2=l2)


@checked()
def train_step(trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """Take one optimiser step.

    Args:
        trainer: model, optimiser and loss.
        state: where to start.
        batch: the examples to train on.

    Returns:
        (state, metrics): the state after the step, its batch_stats moved; means over the batch before it, in training mode.

    Raises:
        ValueError: if the model draws from a random stream that the trainer does not name, a parameter is not a
            floating-point array, or the loss does not fit.

    Example:
        >>> from bnjax import Batch, adapters, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> state = train.init_state(trainer, jax.random.key(0), jnp.ones((1, 4)))
        >>> state, metrics = train.train_step(trainer, state, Batch(jnp.eye(4), jnp.arange(4) % 2))
        >>> print(state.step, metrics.loss.shape)
        1 ()
    """
    for path, leaf in jax.tree.leaves_with_path(state.params):
        if not jnp.issubdtype(dtype := jnp.result_type(leaf), jnp.inexact):
            rule = "params must be floating-point arrays: keep other numbers in a collection of their own"
            raise ValueError(f"{rule}, got {dtype} for {path_name(path)!r}.")
    batch = spread(batch, trainer.mesh, trainer.axis)

    def loss_fn(params: Params) -> tuple[Array, tuple[Array, PyTree]]:
        with _naming_streams(trainer):
            outputs, batch_stats = trainer.model.apply(
                Variables(params, state.batch_stats), batch.inputs, train=True, rngs=step_rngs(state, trainer.streams)
            )
        losses, correct = judge(trainer, outputs, batch)
        return average(losses, batch.mask), (correct, batch_stats)

    with trainer.products():
        (loss, (correct, batch_stats)), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    updates, opt_state = trainer.optimizer.update(gradient, state.opt_state, state.params)
    new_state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return new_state, Metrics(loss, average(correct, batch.mask))


@contextlib.contextmanager
def _naming_streams(trainer: Trainer) -> Iterator[None]:
    """Turn the error for a random stream without a key into one that names the trainer's field."""
    try:
        yield
    except ValueError as error:
        needed = re.match(r"rngs must hold a key for '(.*?)', from which (.*?) draws", str(error))
        if needed is None:
            raise
        name, layer = needed.groups()
        rule = f"streams must name {name!r}, from which {layer} draws"
        way_out = f"write train.Trainer(..., streams={(*trainer.streams, name)})"
        raise ValueError(f"{rule}: {way_out}, got {trainer.streams!r}.") from None


@checked(num_steps=whole(0))
@watch_loss
@_with_labels_checked
@compiled_once("trainer", "num_steps", donated="state")
def run_steps(trainer: Trainer, state: TrainState, split: Split, *, num_steps: int) -> tuple[TrainState, Metrics]:
    """Take `num_steps` steps as one compiled program, drawing batches on the device.

    Args:
        trainer: model, optimiser, batch size and loss.
        state: where to start; its buffers are donated.
        split: the training data, whole.
        num_steps: how many steps; each number compiles once, and steps are bit-identical however they are divided into calls.

    Returns:
        (state, metrics): the state after them, and metrics of each step, (num_steps,).

    Raises:
        ValueError: if batches cannot be drawn from the split: it is too small, or has too few examples of a label.

    Example:
        >>> from bnjax import adapters, data, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 1.0), batch_size=4)
        >>> split = data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> state = train.init_state(trainer, jax.random.key(0), split.images)
        >>> state, metrics = train.run_steps(trainer, state, split, num_steps=20)
        >>> print(state.step, metrics.loss.shape, metrics.accuracy[-1])
        20 (20,) 1.0
    """
    indices = _draw_steps(trainer, state, split, num_steps=num_steps)

    def step(state: TrainState, indices: Array) -> tuple[TrainState, Metrics]:
        return train_step(trainer, state, take_batch(split, indices))

    if num_steps != 1:
        return jax.lax.scan(step, state, indices)
    # NOTE: XLA would unroll a loop of one step, and round that step differently; the barrier hides the length of this loop.
    stop = jax.lax.optimization_barrier(jnp.int32(1))
    shapes = jax.eval_shape(step, state, indices[0])[1]
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    state, metrics = jax.lax.fori_loop(0, stop, lambda _, x: step(x[0], indices[0]), (state, nothing))
    return state, jax.tree.map(lambda leaf: leaf[None], metrics)
