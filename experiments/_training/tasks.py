"""Conversion of a run's configuration to model, optimiser, data and probes."""

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import optax
from jax.sharding import Mesh

from bnjax import data, models, train
from bnjax._host.sharding import check_shares
from bnjax.types import Model
from experiments._config import DeepLinearRun, Images, Optimizer, RunConfig, change
from experiments._config.parts import TRAINED
from experiments._config.probes import CHOICES
from experiments._config.probes import Probe as Settings
from experiments._training.description import describe_model
from experiments._training.probes import LOADING, PROBES, Probe


class Task(NamedTuple):
    """The parts of a run.

    Attributes:
        trainer: model, optimiser and loss; it makes states, which hold their learning rate.
        stepper: takes the same steps from a state; configurations that differ only in their learning rates and measurements
            share it, so that a program compiled for one of them serves the others.
        load: returns the data set of a seed.
        make_probe: makes a probe from its settings, the same one for equal settings.
        choices: the settings' classes by kind.
        loss_scale: factor from the mean over a batch to the units of the configuration.
        own_data: whether each seed has data of its own.
        together: whether its steps are so small that, on a CPU, many runs in one program take less time than threads.
    """

    trainer: train.Trainer
    stepper: train.Trainer
    load: Callable[[int], data.Dataset]
    make_probe: Callable[[Settings], Probe]
    choices: Mapping[str, type[Settings]]
    loss_scale: float = 1.0
    own_data: bool = False
    together: bool = False

    def digest(self) -> str:
        """Return the first digits of the SHA-256 of the data; for drawn data, of the data of seed 0."""
        return data.digest(self.load(0))[:16]


@cache
def make_task(config: RunConfig, data_dir: str | None, mesh: Mesh | None = None) -> Task:
    """Make the task of a configuration, the same one for equal configurations, so that nothing is compiled twice.

    Args:
        config: configuration of a net, as `RunConfig.net` returns it.
        data_dir: folder of prepared data sets.
        mesh: devices that share each batch, along its axis "batch".

    Raises:
        ValueError: if the configuration cannot be run.
    """
    batch_size = config.optimizer.batch_size
    images = getattr(config, "data", None)
    if images is not None:
        scale, load = 1.0, load_images(images, data_dir)
    else:
        scale = float(batch_size)
        load = _draw_map(batch_size, config.model.width, "moments" if _has_moments(config) else "samples")
    stepper = _make_trainer(_as_trained(config), mesh)
    trainer = stepper._replace(optimizer=_make_optimizer(config.optimizer, scale))
    check_shares(stepper.batch_size, mesh, trainer.axis)

    @cache
    def make_probe(settings: Settings) -> Probe:
        if settings.kind in LOADING:
            return LOADING[settings.kind](settings, config, stepper, scale, lambda part: load_images(part, data_dir)(0))
        return PROBES[settings.kind](settings, config, stepper, scale)

    return Task(trainer, stepper, load, make_probe, CHOICES, scale, config.is_linear, _has_moments(config))


def _as_trained(config: RunConfig) -> RunConfig:
    """Return the part of a configuration that determines a step's program: the learning rate is part of a state."""
    return change(config, optimizer={"learning_rate": 1.0})


@cache
def _make_trainer(config: RunConfig, mesh: Mesh | None) -> train.Trainer:
    """Make the trainer of all configurations that are trained in the same way."""
    model = models.make_model(describe_model(config))
    loss = "squared_error" if config.is_linear else "cross_entropy"
    optimizer, images = config.optimizer, getattr(config, "data", None)
    return train.Trainer(
        model,
        _make_optimizer(optimizer),
        config.model.width + 1 if _has_moments(config) else optimizer.batch_size,
        loss,
        mesh,
        precision=optimizer.precision,
        per_label=images.per_label if images else None,
    )


def _has_moments(config: RunConfig) -> bool:
    """Return whether a run is trained on points that have the moments of its samples."""
    return isinstance(config, DeepLinearRun) and config.inputs == "moments"


def make_quiet_model(config: RunConfig) -> Model:
    """Make the model of a run, without the noise of its normaliser."""
    return _make_trainer(_as_trained(change(config, norm={"noise": {"strength": 0.0}})), None).model


def _make_optimizer(config: Optimizer, scale: float = 1.0) -> optax.GradientTransformation:
    """Make the optimiser, with the learning rate for the loss's mean over a batch."""
    # Steps of Adam and RMSProp do not grow with the gradient.
    rate = config.learning_rate * (scale if config.name == "sgd" else 1.0)
    options = {"momentum": config.momentum, "weight_decay": config.weight_decay, "clip": config.clip / scale}
    return train.make_optimizer(
        config.name, rate, **options, half_life=config.half_life, trained=TRAINED[config.trained]
    )


_LOADING = threading.Lock()  # one of several runs that train side by side loads; the others wait


@cache
def load_images(images: Images, data_dir: str | None) -> Callable[[int], data.Dataset]:
    """Return a function that loads images, the same for every seed, once."""

    @cache
    def load() -> data.Dataset:
        found = _load_whole(images.dataset, images.preprocessing, images.image_size, data_dir)
        if images.classes is not None:
            found = data.Dataset(*(data.take_classes(split, images.classes) for split in found))
        return found._replace(train=data.take_subset(found.train, images.subset)) if images.subset else found

    def load_for(_seed: int) -> data.Dataset:
        with _LOADING:
            return load()

    return load_for


@cache
def _load_whole(name: str, preprocessing: str, image_size: int | None, data_dir: str | None) -> data.Dataset:
    """Load a data set, of which configurations may take different parts, once."""
    return data.load(name, preprocessing=preprocessing, image_size=image_size, data_dir=data_dir)


@cache
def _draw_map(num_examples: int, width: int, inputs: Any) -> Callable[[int], data.Dataset]:
    """Return a function that draws a linear map for each seed."""

    def draw(seed: int) -> data.Dataset:
        return data.draw_linear_map(jax.random.key(seed), num_examples=num_examples, width=width, inputs=inputs)

    return draw
