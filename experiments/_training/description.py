"""Conversion of a run's configuration to its model's."""

from typing import Any

from bnjax import models
from experiments._config import DeepLinearRun, InceptionRun, LSTMRun, MLPRun, ResNetRun, RunConfig, VGGRun

_MODELS: dict[str, Any] = {
    VGGRun.kind: models.VGGConfig,
    DeepLinearRun.kind: models.DeepLinearConfig,
    MLPRun.kind: models.MLPConfig,
    ResNetRun.kind: models.ResNetConfig,
    InceptionRun.kind: models.InceptionConfig,
    LSTMRun.kind: models.LSTMConfig,
}


def describe_model(config: RunConfig) -> Any:
    """Describe a run's model: its shape, its normaliser, and its type."""
    added = {"norm": config.norm.make(), "norm_layers": config.norm.layers, "dtype": config.optimizer.compute_dtype}
    return _MODELS[config.kind](**vars(config.model), **added)
