"""Accuracy, loss and activations in evaluation, by normalisation statistics, on images unlike the training images."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, PyTree

from bnjax import data, norms, probes, train
from bnjax._host.programs import compiled_once
from bnjax.losses import Loss, is_correct, loss_of_each
from bnjax.norms.population import pooled_statistics
from bnjax.types import Batch, BatchStats, Model, Rngs, Variables
from experiments._config import Evaluation, Images, RunConfig
from experiments._training.probes.probe import Probe, Record

Load = Callable[[Images], data.Dataset]
HELD_OUT = "held_out"
_NUM_COMPARED = 8  # images whose logits are compared, when the rest of their batch is replaced


class _Net(NamedTuple):
    """A net with statistics, its own or inserted ones, and where its activations are read.

    Attributes:
        model: the model with these statistics.
        variables: its parameters and its statistics, running or of training images.
        recalibrated: its statistics, pooled over training images.
        own: the net itself and its variables.
        normalised: the statistics that normalise each of its layers, by the name under which the layer is read.
        where: whether these are the moments of the layer's inputs, as of a normaliser, or of its outputs.
    """

    model: Model
    variables: Variables
    recalibrated: PyTree[Array]
    own: tuple[Model, Variables]
    normalised: dict[str, BatchStats]
    where: Any


def make_evaluation(
    settings: Evaluation, config: RunConfig, trainer: train.Trainer, loss_scale: float, load: Load
) -> Probe:
    """Measure a net on training and test images, corrupted ones, and images of classes that it was not trained on.

    "train", "clean" and "held_out" are the first images of their splits; corruptions are of other test images, a random subset
    as large, so that their accuracies differ from "clean" by the choice of images, too, unless all test images are taken. In
    training on batches sorted by label, batches of all but "held_out" are drawn in the same way.

    Statistics are the running ones, the batch's, the population's, pooled over the training images, and adapted ones, pooled
    over the tested images themselves. A net without statistics gets frozen normalisers with the moments of its training images
    after every weight layer except the last, see `norms.restandardise`.
    """
    images: Any = getattr(config, "data", None)

    def measure(state: train.TrainState, dataset: data.Dataset) -> Record:
        rngs, num = train.step_rngs(state), settings.num_examples
        net = _prepare(trainer, state, whole_batches(trainer, dataset.train, num), rngs, config.norm.is_recalibrated)
        record: Record = {"layers": [*net.normalised]}
        for shift, split in _shifts(settings, images, dataset, load):
            batches = whole_batches(trainer._replace(per_label=None) if shift == HELD_OUT else trainer, split, num)
            layers = _activations(*net.own, net.normalised, batches.inputs, net.where)
            record |= {f"{shift}_{name}": values.tolist() for name, values in layers.items()}
            metrics = {} if shift == HELD_OUT else _metrics(trainer.loss, net, batches, rngs)
            for mode, (loss, accuracy) in metrics.items():
                record |= {
                    f"{shift}_{mode}_loss": loss_scale * float(loss),
                    f"{shift}_{mode}_accuracy": float(accuracy),
                }
        changes = _changes(net.model, net.variables, dataset.test, trainer.batch_size, rngs)
        return record | {f"change_{mode}": float(change) for mode, change in changes.items()}

    return Probe(measure, split=None)


def whole_batches(trainer: train.Trainer, split: data.Split, num_examples: int) -> Batch:
    """Stack the first examples as whole batches, at least one; draw batches sorted by label if training does so.

    A batch is smaller than the training's where the split is.
    """
    size = trainer.batch_size
    if trainer.per_label:
        sizes = {"batch_size": size, "per_label": trainer.per_label}
        num = max(1, min(num_examples, len(split.labels)) // size)
        rows = data.draw_by_label(jax.random.key(0), 0, split.labels, num_steps=num, **sizes)
    else:
        rows = first_rows(len(split.labels), size, num_examples)
    return jax.vmap(lambda rows: data.take_batch(split, rows))(rows)


def first_rows(length: int, size: int, num_examples: int) -> Int[Array, "batches examples"]:
    """List the first examples of a split in whole batches, at least one, which is as large as the split at most."""
    size = min(size, length)
    num = max(1, min(num_examples, length) // size)
    return jnp.arange(num * size).reshape(num, size)


def _shifts(
    settings: Evaluation, images: Images, dataset: data.Dataset, load: Load
) -> Iterator[tuple[str, data.Split]]:
    """List the images on which the net is measured, from whose beginning batches are taken.

    Corruptions are of a random subset of the test images, drawn once, and have their own key, the same for every net.
    """
    yield from (("train", dataset.train), ("clean", dataset.test))
    largest = data.largest_pixel(images.dataset, images.preprocessing)
    first = data.take_subset(dataset.test, min(settings.num_examples, len(dataset.test.labels)))
    for number, name in enumerate(settings.shifts):
        corrupted = data.corrupt(name, jax.random.key(number), jnp.asarray(first.images, jnp.float32) / largest)
        yield name, first._replace(images=corrupted * largest)
    if images.classes:
        others = tuple(label for label in images.all_classes if label not in images.classes)
        if not others:
            return
        yield HELD_OUT, load(replace(images, classes=others, subset=None, per_label=None)).test


def _prepare(trainer: train.Trainer, state: train.TrainState, seen: Batch, rngs: Rngs, has_statistics: bool) -> _Net:
    """Collect a net's statistics, or insert normalisers that have some."""
    model, variables, where = trainer.model, state.variables, "inputs"
    if has_statistics:
        normalised = {name: BatchStats(stats["mean"], stats["var"]) for name, stats in variables.batch_stats.items()}
    else:
        names = [name for name in variables.params if name.startswith(("conv_", "dense_"))]
        names = sorted(names, key=lambda name: int(name.split("_")[1]))[:-1]
        model, variables = norms.restandardise(model, variables, list(seen.inputs), names)
        inserted = variables.batch_stats["inserted"]
        normalised, where = (
            {name: BatchStats(inserted[name]["mean"], inserted[name]["var"]) for name in names},
            "outputs",
        )
    recalibrated = _pooled(model, variables, seen.inputs, rngs)
    normalised = dict(sorted(normalised.items(), key=lambda item: int(item[0].split("_")[1])))
    return _Net(model, variables, recalibrated, (trainer.model, state.variables), normalised, where)


@compiled_once("model")
def _pooled(model: Model, variables: Variables, inputs: Array, rngs: Rngs) -> PyTree[Array]:
    """Pool the statistics of stacked batches."""
    return pooled_statistics(model, variables, [inputs], rngs)


def _metrics(loss: Loss, net: _Net, batches: Batch, rngs: Rngs) -> dict[str, train.Metrics]:
    """Average loss and accuracy with each kind of statistics."""
    adapted = _pooled(net.model, net.variables, batches.inputs, rngs)
    return {
        "running": _average(net.model, net.variables, batches, rngs, loss, False),
        "batch": _average(net.model, net.variables, batches, rngs, loss, True),
        **{
            mode: _average(net.model, Variables(net.variables.params, stats), batches, rngs, loss, False)
            for mode, stats in (("recalibrated", net.recalibrated), ("adapted", adapted))
        },
    }


@compiled_once("model", "loss", "in_training")
def _average(
    model: Model, variables: Variables, batches: Batch, rngs: Rngs, loss: Loss, in_training: bool
) -> train.Metrics:
    """Average loss and accuracy over stacked batches."""

    def of_batch(batch: Batch) -> train.Metrics:
        outputs, _ = model.apply(variables, batch.inputs, train=in_training, rngs=rngs)
        losses = loss_of_each(loss, outputs, batch)
        return train.Metrics(jnp.mean(losses), jnp.mean(is_correct(outputs, batch.labels)))

    return jax.tree.map(jnp.mean, jax.lax.map(of_batch, batches))


@compiled_once("model", "where")
def _activations(
    model: Model, variables: Variables, normalised: dict[str, BatchStats], inputs: Array, where: Any
) -> dict[str, Array]:
    """Return each layer's mismatch between running statistics and the moments here, and the size of its outputs."""
    names = sorted(normalised, key=lambda name: int(name.split("_")[1]))

    def of_batch(x: Array) -> dict[str, tuple[Array, ...]]:
        found = {}
        outputs = probes.capture(model, variables, x, names, train=False)
        taken = probes.capture(model, variables, x, names, where=where, train=False) if where == "inputs" else outputs
        for name in names:
            values, finite = taken[name].reshape(-1, taken[name].shape[-1]), jnp.isfinite(outputs[name])
            largest = jnp.max(jnp.where(finite, jnp.abs(outputs[name]), 0))
            found[name] = values.mean(0), values.var(0), largest, 1 - jnp.mean(finite)
        return found

    described = []
    for name, (means, variances, largest, not_finite) in jax.lax.map(of_batch, inputs).items():
        mean = means.mean(0)
        stats = BatchStats(mean, (variances + jnp.square(means - mean[None])).mean(0))
        described.append((name, *norms.mismatch(stats, normalised[name]), largest.max(), not_finite.mean()))
    described.sort(key=lambda row: int(row[0].split("_")[1]))
    kinds = ("distance", "log_ratio", "largest", "not_finite")
    return {kind: jnp.stack([row[i] for row in described]) for i, kind in enumerate(kinds, start=1)}


@compiled_once("model", "batch_size")
def _changes(model: Model, variables: Variables, split: data.Split, batch_size: int, rngs: Rngs) -> dict[str, Array]:
    """Return the largest change of an image's logits when the rest of its batch is replaced, by kind of statistics."""
    num = len(split.labels)
    ranks = jnp.arange(batch_size - 1)

    def of_image(i: Array) -> Array:
        batches = [jnp.concatenate([i[None], (_NUM_COMPARED + n * (batch_size - 1) + ranks) % num]) for n in (0, 1)]
        inputs = [data.take_batch(split, rows).inputs for rows in batches]
        logits = [
            [model.apply(variables, x, train=in_training, rngs=rngs)[0][0] for x in inputs]
            for in_training in (False, True)
        ]
        return jnp.stack([jnp.max(jnp.abs(first - second)) for first, second in logits])

    running, batch = jax.lax.map(of_image, jnp.arange(min(_NUM_COMPARED, num))).max(axis=0)
    return {"running": running, "batch": batch}
