"""Steps of many runs: one after another, on all cores, or together in one program."""

import contextlib
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, PyTree

from bnjax import train
from bnjax._host.arguments import NOT_EMPTY, checked, whole
from bnjax._host.programs import is_compiling
from bnjax.data import Dataset, Split, take_batch
from bnjax.data.subsets import check_labels
from bnjax.norms.population import pooled_statistics
from bnjax.sweep.grid import Fields, Program
from bnjax.sweep.ways import AUTO, Way, for_each, settle
from bnjax.train import Metrics, Trainer, TrainState
from bnjax.types import Variables

_MAX_EXAMPLES = 10_000  # from which statistics are taken
_NUM_MEASURED = 8  # steps of each call that is timed
# Batch size and examples per label of the trainers that functions make, by the function's `id`.
_sizes: dict[int, tuple[int, int | None]] = {}
MakeTrainer = Callable[..., Trainer]
Probe = Callable[[Trainer, TrainState, Any], PyTree]


@checked(x=NOT_EMPTY)
def init_states(program: Program, x: Float[Array, "batch *features"]) -> TrainState:
    """Make the states before the first step, stacked along a new first axis.

    Args:
        program: whose runs are to be started.
        x: inputs of the shape that the model will get; their values do not matter.

    Returns:
        TrainState whose leaves have an entry per run.

    Example:
        >>> from bnjax import adapters, sweep, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(3)))
        >>> print(sweep.init_states(program, jnp.ones((1, 4))).params["kernel"].shape)
        (3, 4, 2)
    """
    return for_each(_init, (program.make_trainer,), (program.numbers, program.keys), x, Way("map"))


@checked(num_steps=whole(0))
def run_steps(
    program: Program,
    states: TrainState,
    split: Split,
    *,
    num_steps: int,
    active: Bool[Array | np.ndarray, " runs"] | None = None,
    own_split: bool = False,
    way: Way = AUTO,
) -> tuple[TrainState, Metrics]:
    """Take `num_steps` steps of every run, each in its own data order.

    Args:
        program: of these runs.
        states: where to start, stacked.
        split: the training data, whole.
        num_steps: how many steps; each number compiles once.
        active: which runs are trained; the others do not change, and their metrics are NaN. None is all.
        own_split: each run has training data of its own, and `split` is a stack of them.
        way: how runs share the machine.

    Returns:
        (states, metrics): the states after the steps, and metrics of each step, (runs, num_steps).

    Raises:
        ValueError: if batches cannot be drawn from the split: it is too small, or has too few examples of a label.

    Example:
        >>> from bnjax import adapters, data, sweep, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(3)))
        >>> states, split = sweep.init_states(program, jnp.ones((1, 4))), data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> states, metrics = sweep.run_steps(program, states, split, num_steps=5)
        >>> print(states.step, metrics.loss.shape)
        [5 5 5] (3, 5)
    """
    if not own_split:
        _check_split(program, split)
    runs = (program.numbers, states, _all(states, active), split if own_split else None)
    return for_each(_steps, (program.make_trainer, num_steps), runs, None if own_split else split, way)


def _check_split(program: Program, split: Split) -> None:
    """Raise unless batches can be drawn by label, where labels are known; each program makes one trainer for that."""
    make_trainer = program.make_trainer
    if is_compiling():
        return
    sizes = _sizes.get(id(make_trainer))
    if sizes is None:
        trainer = make_trainer(**{name: values[0] for name, values in program.numbers.items()})
        sizes = trainer.batch_size, trainer.per_label
        with contextlib.suppress(TypeError):  # of functions that take no weak reference
            weakref.finalize(make_trainer, _sizes.pop, id(make_trainer), None)
            _sizes[id(make_trainer)] = sizes
    batch_size, per_label = sizes
    if per_label is not None:
        check_labels(split.labels, batch_size=batch_size, per_label=per_label)


def settle_way(program: Program, states: TrainState, split: Split, *, own_split: bool, way: Way) -> Way:
    """Measure how many runs train fastest together, on steps that are discarded; arguments are as in `run_steps`."""
    runs = (program.numbers, states, _all(states, None), split if own_split else None)
    return settle(_steps, (program.make_trainer, _NUM_MEASURED), runs, None if own_split else split, way)


@checked()
def evaluate(
    program: Program,
    states: TrainState,
    split: Split,
    *,
    active: Bool[Array | np.ndarray, " runs"] | None = None,
    way: Way = AUTO,
) -> Metrics:
    """Average loss and accuracy of every run over every example, with running statistics, which stay as they are.

    Args:
        program: of these runs.
        states: to evaluate, stacked.
        split: the data, whole.
        active: which runs are evaluated; NaN for the others. None is all.
        way: how runs share the machine.

    Returns:
        Metrics, each (runs,).

    Example:
        >>> from bnjax import adapters, data, sweep, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(3)))
        >>> states, split = sweep.init_states(program, jnp.ones((1, 4))), data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> print(sweep.evaluate(program, states, split).loss.shape)
        (3,)
    """
    return measure(average_state, program, states, split, active=active, way=way)


@checked()
def measure(
    probe: Probe,
    program: Program,
    states: TrainState,
    split: Split | Dataset,
    *,
    active: Bool[Array | np.ndarray, " runs"] | None = None,
    own_split: bool = False,
    way: Way = AUTO,
) -> PyTree:
    """Measure every run with a probe.

    Args:
        probe: a pure function of a trainer, a state and data, such as a scan along the gradient of the state's next batch; it
            is compiled once.
        program: of these runs.
        states: to measure, stacked.
        split: the data, whole.
        active: which runs are measured; the others have NaN, and 0 where numbers are whole. None is all.
        own_split: each run has data of its own, and `split` is a stack of them.
        way: how runs share the machine.

    Returns:
        What `probe` returns, with an entry per run.

    Example:
        >>> from bnjax import adapters, data, sweep, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(3)))
        >>> states, split = sweep.init_states(program, jnp.ones((1, 4))), data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> print(sweep.measure(lambda trainer, state, split: state.step, program, states, split))
        [0 0 0]
    """
    runs = (program.numbers, states, _all(states, active), split if own_split else None)
    return for_each(_measure, (program.make_trainer, probe), runs, None if own_split else split, way)


# NOTE: the functions without jit, since a trainer made from traced numbers cannot be a constant of a compiled program.
_init_state, _run_steps, _average = map(inspect.unwrap, (train.init_state, train.run_steps, train.evaluate))


def _all(states: TrainState, active: Array | np.ndarray | None) -> Array:
    """Return which runs are active."""
    return jnp.ones(states.step.shape, bool) if active is None else jnp.asarray(active)


def _init(make_trainer: MakeTrainer, run: tuple[Fields, Array], x: Array) -> TrainState:
    """Make one state."""
    numbers, key = run
    return _init_state(make_trainer(**numbers), key, x)


def _steps(
    make_trainer: MakeTrainer, num_steps: int, run: tuple[Fields, TrainState, Array, Split | None], shared: Split | None
) -> tuple[TrainState, Metrics]:
    """Train one run, if it is active."""
    numbers, state, active, own = run
    trainer, split = make_trainer(**numbers), shared if own is None else own

    def taken() -> tuple[TrainState, Metrics]:
        return _run_steps(trainer, state, split, num_steps=num_steps)

    return jax.lax.cond(active, taken, lambda: (state, _nothing(lambda: taken()[1])))


def _measure(
    make_trainer: MakeTrainer,
    probe: Probe,
    run: tuple[Fields, TrainState, Array, Split | None],
    shared: Split | Dataset | None,
) -> PyTree:
    """Measure one run, if it is active."""
    numbers, state, active, own = run
    split: Any = shared if own is None else own

    def found() -> PyTree:
        return jax.tree.map(jnp.asarray, probe(make_trainer(**numbers), state, split))

    return jax.lax.cond(active, found, lambda: _nothing(found))


def _nothing(function: Callable[[], PyTree]) -> PyTree:
    """Make a placeholder for the result of a function that is not called because its run is inactive."""

    def nothing(leaf: jax.ShapeDtypeStruct) -> Array:
        return jnp.full(leaf.shape, jnp.nan if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0, leaf.dtype)

    return jax.tree.map(nothing, jax.eval_shape(function))


def average_state(trainer: Trainer, state: TrainState, split: Split) -> Metrics:
    """Evaluate one run."""
    return _average(trainer, state.variables, split)


def recalibrated_state(trainer: Trainer, state: TrainState, dataset: Dataset) -> Metrics:
    """Evaluate one run with the pooled statistics of the first training examples, in batches of its own size."""
    num = min(_MAX_EXAMPLES, len(dataset.train.images))
    size = min(trainer.batch_size, num)
    cuts = [jnp.arange(num - num % size).reshape(-1, size)]
    cuts += [jnp.arange(num - num % size, num)[None]] if num % size else []
    groups = [jax.lax.map(lambda rows: take_batch(dataset.train, rows).inputs, cut) for cut in cuts]
    batch_stats = pooled_statistics(trainer.model, state.variables, groups, train.step_rngs(state, trainer.streams))
    return _average(trainer, Variables(state.params, batch_stats), dataset.test)
