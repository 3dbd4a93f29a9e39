"""What a probe is, and what all of them need."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from bnjax import objective, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split
from bnjax.types import Batch, LossFn

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
    """A measurement of a state, and what becomes of all of them.

    Attributes:
        measure: maps (state, data) to arrays by name; the batch, if it takes one, is that which the next step trains on.
        collect: maps the records of a run, steps among their fields, to lists by name.
        split: of the data set, that is given to `measure`.
    """

    measure: Callable[[train.TrainState, Split], Record]
    collect: Callable[[list[Record]], Record] = columns
    split: Literal["train", "test"] = "train"


def make_loss_fn(trainer: train.Trainer, state: train.TrainState, batch: Batch) -> LossFn:
    """Make the loss of the step about to be taken: its batch, its random masks and noise, training mode."""
    return objective.make_loss_fn(
        trainer.model, state.batch_stats, batch, loss=trainer.loss, rngs=train.step_rngs(state)
    )


take_step = compiled_once("trainer")(train.train_step)


def layer_pattern(layer: int) -> str:
    """Return the regular expression of a weight layer's parameters, its normaliser's included."""
    return rf"^(conv|dense|norm)_{layer}/"


def weight_layers(params: Any) -> list[int]:
    """List the numbers of a model's weight layers."""
    return sorted(int(name.split("_")[1]) for name in params if name.startswith(("conv_", "dense_")))


def as_lists(record: Record) -> Record:
    """Turn the arrays of a record into lists."""
    return {name: np.asarray(value).tolist() for name, value in record.items()}
