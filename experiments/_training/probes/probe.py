"""The type of probes, and their shared functions."""

import weakref
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from bnjax import objective, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split
from bnjax.probes import directions
from bnjax.types import Batch, LossFn, Params

Record = dict[str, Any]


def columns(records: list[Record]) -> Record:
    """Turn records with the same fields into one list per field."""
    return {name: [record[name] for record in records] for name in (records[0] if records else [])}


def by_layer(records: list[Record]) -> Record:
    """Turn records whose fields have a value per layer into one list per layer and field."""
    if not records:
        return {}
    names = [name for name in records[0] if name not in ("step", "layers")]
    return {
        "step": [record["step"] for record in records],
        "layers": {
            layer: {name: [record[name][i] for record in records] for name in names}
            for i, layer in enumerate(records[0]["layers"])
        },
    }


class Probe(NamedTuple):
    """A measurement of a state, and how the measurements of a run are collected.

    Attributes:
        measure: maps (state, data) to arrays by name; if it takes a batch, that is the next step's.
        collect: maps the records of a run, steps among their fields, to lists by name.
        split: part of the data set that `measure` gets; None passes both.
    """

    measure: Callable[[train.TrainState, Any], Record]
    collect: Callable[[list[Record]], Record] = columns
    split: Literal["train", "test"] | None = "train"


def make_loss_fn(trainer: train.Trainer, state: train.TrainState, batch: Batch) -> LossFn:
    """Make the loss of the next step: its batch, its random masks and noise, training mode."""
    return objective.make_loss_fn(
        trainer.model, state.batch_stats, batch, loss=trainer.loss, rngs=train.step_rngs(state)
    )


_take_step = compiled_once("trainer")(train.train_step)
# Cached results for states that still exist, by the state's address in memory, then by name, trainer and split.
_SHARED: dict[int, tuple[weakref.ref, dict[Any, Any]]] = {}


def advance(trainer: train.Trainer, state: train.TrainState, split: Split) -> train.TrainState:
    """Return the state after the next step, inside compiled code; the given state is unchanged."""
    return train.train_step(trainer, state, train.current_batch(trainer, state, split))[0]


def next_step(trainer: train.Trainer, state: train.TrainState, split: Split) -> tuple[Batch, train.TrainState]:
    """Return the batch of the next step, and the state after it; the step is taken once for all probes."""

    def compute() -> tuple[Batch, train.TrainState]:
        batch = train.current_batch(trainer, state, split)
        return batch, _take_step(trainer, state, batch)[0]

    return _shared("step", trainer, state, split, compute)


def descent(trainer: train.Trainer, state: train.TrainState, split: Split) -> Params:
    """Return minus the gradient of the next step; computed once for all probes."""

    def compute() -> Params:
        batch, _ = next_step(trainer, state, split)
        return directions.gradient(make_loss_fn(trainer, state, batch), state.params)

    return _shared("gradient", trainer, state, split, compute)


def _shared(
    name: str, trainer: train.Trainer, state: train.TrainState, split: Split, compute: Callable[[], Any]
) -> Any:
    """Compute a value for a state, or return the cached one; it is kept for as long as the state exists."""
    place = id(state)
    if place not in _SHARED or _SHARED[place][0]() is not state:
        _SHARED[place] = weakref.ref(state, lambda _: _SHARED.pop(place, None)), {}
    _, known = _SHARED[place]
    key = name, id(trainer), id(split)  # NOTE: both are kept with the value, so that no other object gets their place
    if key not in known:
        known[key] = trainer, split, compute()
    return known[key][-1]


def layer_pattern(layer: int) -> str:
    """Return the regular expression of a weight layer's parameters, its normaliser's included."""
    return rf"^(conv|dense|norm)_{layer}/"


def weight_layers(params: Any) -> list[int]:
    """List the numbers of a model's weight layers."""
    return sorted(int(name.split("_")[1]) for name in params if name.startswith(("conv_", "dense_")))


def as_lists(record: Record) -> Record:
    """Turn the arrays of a record into lists."""
    return {name: np.asarray(value).tolist() for name, value in record.items()}
