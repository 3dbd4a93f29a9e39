"""From a run's configuration to what is trained: model, optimiser, data and probes."""

import threading
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import optax
from flax import linen as nn
from jax.sharding import Mesh

from bnjax import data, linen, models, train
from bnjax._host.sharding import check_shares
from experiments._config import DeepLinearRun, MLPRun, RunConfig, VGGRun
from experiments._training.probes import PROBES, Probe


class Task(NamedTuple):
    """What a run consists of.

    Attributes:
        trainer: model, optimiser and loss; it makes states, which know their learning rate.
        stepper: takes the same steps from a state, the same one for all configurations that are trained alike except for their
            learning rates and measurements: what is compiled for one of them is found again by the others.
        load: returns the data set of a seed.
        probes: what is measured along the way, by name.
        loss_scale: factor from the mean over a batch to the units of the configuration.
        own_data: whether each seed has data of its own.
    """

    trainer: train.Trainer
    stepper: train.Trainer
    load: Callable[[int], data.Dataset]
    probes: dict[str, Probe]
    loss_scale: float = 1.0
    own_data: bool = False


@cache
def make_task(config: RunConfig, data_dir: str | None, mesh: Mesh | None = None) -> Task:
    """Make the task of any configuration; the same one for equal configurations, so that nothing is compiled twice.

    Args:
        config: of the run.
        data_dir: folder of prepared data sets.
        mesh: devices that share each batch, along its axis "batch".

    Raises:
        ValueError: if the configuration cannot be run.
    """
    _check_layers(config)
    if isinstance(config, DeepLinearRun):
        scale = float(config.batch_size)
        load = partial(_draw, config.batch_size, config.width)
    else:
        images: Any = config
        scale = 1.0
        load = partial(_load, images.dataset, images.preprocessing, getattr(images, "image_size", None), data_dir)
    stepper = _make_trainer(_as_trained(config), mesh)
    trainer = stepper._replace(optimizer=_make_optimizer(config, scale))
    check_shares(config.batch_size, mesh, trainer.axis)
    probes = {name: PROBES[name](config, stepper, scale) for name in config.probes}
    return Task(trainer, stepper, load, probes, scale, isinstance(config, DeepLinearRun))


def _check_layers(config: RunConfig) -> None:
    """Raise unless the layers that are measured are there."""
    model = _describe_model(config)
    num_layers, num_convolutions = model.num_layers, getattr(model, "num_convolutions", 0)
    for name, probes in (("shift_layers", {"shift", "successive_gradients"}), ("drift_layers", {"drift"})):
        layers = getattr(config, name)
        if probes & {*config.probes} and max(layers) > num_layers:
            raise ValueError(f"{name} must lie between 1 and {num_layers}, the weight layers there are, got {layers}.")
    if "dummy_shift" in config.probes and config.shift_layers[0] > num_convolutions:
        raise ValueError(
            f"shift_layers must begin with one of the {num_convolutions} convolutions there are, where dummy_shift is "
            f"measured, got {config.shift_layers}."
        )


def _as_trained(config: RunConfig) -> RunConfig:
    """Take what determines the program of a step: the learning rate is part of a state, and measurements change nothing."""
    steps = {"num_steps": 1, "eval_every": 1, "probe_every": 1}
    return replace(config, **steps, learning_rate=1.0, probes=(), recalibrated_tests=False).identity()


@cache
def _make_trainer(config: RunConfig, mesh: Mesh | None) -> train.Trainer:
    """Make the trainer of all configurations that are trained alike."""
    model = models.make_model(_describe_model(config))
    loss = "squared_error" if isinstance(config, DeepLinearRun) else "cross_entropy"
    return train.Trainer(model, _make_optimizer(config), config.batch_size, loss, mesh)


def _make_optimizer(config: RunConfig, scale: float = 1.0) -> optax.GradientTransformation:
    """Make the optimiser; its learning rate is that of the mean over a batch."""
    # Steps of Adam do not grow with the gradient.
    rate = config.learning_rate * (scale if config.optimizer == "sgd" else 1.0)
    return train.make_optimizer(config.optimizer, rate, momentum=config.momentum, weight_decay=config.weight_decay)


def make_norm(config: RunConfig) -> Callable[..., nn.Module] | None:
    """Make the factory of a model's normalisers, None without any."""
    statistics = {"momentum": config.norm_momentum, "epsilon": config.norm_epsilon}
    noise = {
        "noise": config.noise,
        "strength": config.noise_strength,
        "noise_in_evaluation": config.noise_in_tests,
    }
    lp_norm = partial(linen.LpNorm, center_first=config.norm_center_first, **statistics)
    factories = {
        "none": None,
        "batch": partial(linen.BatchNorm, **statistics),
        "noisy_batch": partial(linen.NoisyBatchNorm, **statistics, **noise),
        "noise": partial(linen.Noise, **noise),
        "relative_noise": partial(linen.Noise, relative=True, **noise),
        "l1": partial(lp_norm, p=1),
        "l2": partial(lp_norm, p=2),
        "linf": partial(lp_norm, p="inf"),
        "huber": partial(models.HuberBatchNorm, epsilon=config.norm_epsilon),
    }
    return factories[config.norm]


def _describe_model(config: RunConfig) -> Any:
    """Describe a run's model: what is named alike in both configurations, its normaliser, and its type."""
    kind = _MODELS[config.kind]
    alike = {field.name: getattr(config, field.name) for field in fields(kind) if hasattr(config, field.name)}
    return kind(**{**alike, "norm": make_norm(config), "dtype": config.compute_dtype})


_LOADING = threading.Lock()  # of runs that train side by side, one loads, and the others wait
_MODELS: dict[str, Any] = {
    VGGRun.kind: models.VGGConfig,
    DeepLinearRun.kind: models.DeepLinearConfig,
    MLPRun.kind: models.MLPConfig,
}


def _load(name: str, preprocessing: str, image_size: int | None, data_dir: str | None, _seed: int) -> data.Dataset:
    """Load images, the same for every seed, once."""
    with _LOADING:
        return _load_once(name, preprocessing, image_size, data_dir)


@cache
def _load_once(name: str, preprocessing: str, image_size: int | None, data_dir: str | None) -> data.Dataset:
    """Load images."""
    return data.load(name, preprocessing=preprocessing, image_size=image_size, data_dir=data_dir)


def _draw(num_examples: int, width: int, seed: int) -> data.Dataset:
    """Draw a linear map of a seed of its own."""
    return data.draw_linear_map(jax.random.key(seed), num_examples=num_examples, width=width)
