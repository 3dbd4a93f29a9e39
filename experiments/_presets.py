"""Presets that subjects share, and the nets that they compare: a configuration with a few fields changed."""

from dataclasses import fields
from typing import Any

from experiments._config import DeepLinearRun, RunConfig

# Seconds: for tests, and to see that everything works.
SMOKE: dict[str, Any] = {
    "dataset": "digits",
    "image_size": 8,
    "width": 1 / 16,
    "batch_size": 16,
    "num_steps": 40,
    "eval_every": 20,
    "probe_every": 10,
    "step_multiples": (0.5, 2.0),
}
# Minutes on two cores: a VGG-A of an eighth of its width, half the paper's batch, real images, and of the training the first
# steps, in which the nets differ most.
CPU: dict[str, Any] = {
    "width": 0.125,
    "batch_size": 64,
    "num_steps": 1000,
    "eval_every": 250,
    "probe_every": 50,
    "seeds": (0, 1, 2),
}
# Ten draws of the linear map, of which the results depend much. Measured is what any experiment takes, so that they share runs.
DEEP_LINEAR = DeepLinearRun(probes=("landscape", "random_direction", "shift"), seeds=tuple(range(10)))
# Of the VGG, activation_drift, lp_norms and noisy_batchnorm measure the same, so that they share runs.
DRIFT: dict[str, Any] = {"probes": ("landscape", "drift"), "drift_layers": (3, 8, 10)}
# The paper does not name the depth; it plots layers up to number 13. The L2 penalty is inferred from its loss curves.
PAPER: dict[str, Any] = {"depth": "13", "head": "4096", "weight_decay": 5e-4, "probe_penalty": True}
SMOKE_DEEP_LINEAR: dict[str, Any] = {
    "num_steps": 40,
    "eval_every": 40,
    "probe_every": 20,
    "batch_size": 100,
    "depth": 17,
}
# 30 epochs of 390 whole batches; batch norm follows the fourth convolution alone.
MAMELI: dict[str, Any] = {
    "preprocessing": "unit",
    "head": "mameli",
    "norm_layers": (4,),
    "learning_rate": 0.01,
    "num_steps": 30 * 390,
    "eval_every": 390,
    "probe_every": 30,
    "seeds": (0, 1, 2),
}
# A replication with Adam: 50 epochs of 390 whole batches.
ALX: dict[str, Any] = {
    "preprocessing": "half",
    "kernel_init": "xavier_normal",
    "optimizer": "adam",
    "num_steps": 50 * 390,
    "eval_every": 390,
    "probe_every": 390,
    "seeds": (0, 1, 2),
}


def arm(config: RunConfig, **changes: Any) -> Any:
    """Take the run's fields of an experiment's configuration, some of them changed; what else it has is not the run's."""
    kind = next(cls for cls in type(config).__mro__ if "kind" in vars(cls))
    return kind(**{field.name: getattr(config, field.name) for field in fields(kind)} | changes)


def with_and_without(config: RunConfig) -> dict[str, Any]:
    """Compare the net of the configuration with the same one without its normaliser."""
    return {"plain": arm(config, norm="none"), "batch_norm": arm(config)}
