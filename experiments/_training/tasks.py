"""From a run's configuration to what is trained: model, optimiser, data and probes."""

import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
from flax import linen as nn
from jax.sharding import Mesh

from bnjax import data, linen, models, train
from bnjax.devices import check_shares
from experiments._config import DeepLinearRun, MLPRun, RunConfig, VGGRun
from experiments._probes import PROBES, Probe


class Task(NamedTuple):
    """What a run consists of.

    Attributes:
        trainer: model, optimiser and loss.
        load: returns the data set of a seed.
        probes: what is measured along the way, by name.
        loss_scale: factor from the mean over a batch to the units of the configuration.
    """

    trainer: train.Trainer
    load: Callable[[int], data.Dataset]
    probes: dict[str, Probe]
    loss_scale: float = 1.0


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
    model = models.make_model(_MODELS[config.kind](config, make_norm(config)))
    if isinstance(config, DeepLinearRun):
        scale, loss = float(config.batch_size), "squared_error"
        load = partial(_draw, config.batch_size, config.width)
    else:
        images: Any = config
        scale, loss = 1.0, "cross_entropy"
        load = partial(_load, images.dataset, images.preprocessing, getattr(images, "image_size", None), data_dir)
    optimizer = train.make_optimizer(
        config.optimizer, config.learning_rate * scale, momentum=config.momentum, weight_decay=config.weight_decay
    )
    trainer = train.Trainer(model, optimizer, config.batch_size, loss, mesh)
    check_shares(config.batch_size, mesh, trainer.axis)
    probes = {name: PROBES[name](config, trainer, scale) for name in config.probes}
    return Task(trainer, load, probes, scale)


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


def _vgg(config: VGGRun, norm: Any) -> models.VGGConfig:
    """Describe a VGG."""
    return models.VGGConfig(
        depth=config.depth,
        head=config.head,
        width=config.width,
        norm=norm,
        norm_layers=config.norm_layers,
        kernel_init=config.kernel_init,
        dtype=config.compute_dtype,
    )


def _deep_linear(config: DeepLinearRun, norm: Any) -> models.DeepLinearConfig:
    """Describe a deep linear network."""
    return models.DeepLinearConfig(
        depth=config.depth,
        width=config.width,
        norm=norm,
        norm_layers=config.norm_layers,
        kernel_init=config.kernel_init,
        dtype=config.compute_dtype,
    )


def _mlp(config: MLPRun, norm: Any) -> models.MLPConfig:
    """Describe a multilayer perceptron."""
    return models.MLPConfig(
        hidden=config.hidden,
        activation=config.activation,
        norm=norm,
        norm_layers=config.norm_layers,
        kernel_init=config.kernel_init,
        kernel_scale=config.kernel_scale,
        dtype=config.compute_dtype,
    )


_LOADING = threading.Lock()  # of runs that train side by side, one loads, and the others wait
_MODELS: dict[str, Callable[..., Any]] = {VGGRun.kind: _vgg, DeepLinearRun.kind: _deep_linear, MLPRun.kind: _mlp}


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
