"""How large gradients are from layer to layer of a deep perceptron, with and without batch norm, at initialisation and later.

Claim: batch norm keeps gradients from exploding or vanishing with depth; what it does at initialisation is to make their size
independent of the scale of the weights, and to let it grow by a fifth per layer.
Source: the article "Batch normalization vs internal covariate shift" for the claim; Yang et al. 2019, in mean-field theory, and
runs of ours before this experiment for its counter-example.
Command: TFDS_DATA_DIR=... python -m experiments gradient_depth --preset cpu
Measured: preset cpu, three seeds, two cores, 4 minutes: with BN the gradient grows 1.20 times per layer at initialisation, from
weights of any scale, and 1.07 times after 100 steps. Preset paper has not been run.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from experiments._config import MLPRun, RunConfig, check, check_numbers
from experiments._nets import Setting
from experiments._presets import arm, with_and_without


@dataclass(frozen=True)
class Config(MLPRun):
    """A perceptron of several depths, and the deepest one from weights of several scales.

    Attributes:
        depths: hidden layers of each net; they take the place of `hidden`, whose first number is their width.
        scales: factors of the initial weights, 1 among them, which take the place of `kernel_scale`.
    """

    depths: tuple[int, ...] = (10, 30, 50)
    scales: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "one or more different numbers from 3", lambda x: x >= 3, "depths")
        rule = "different numbers > 0 and finite, 1 among them"
        check_numbers(self, rule, lambda x: 0 < x < float("inf") and 1 in self.scales, "scales")


_NET: Any = {"hidden": (256,), "activation": "relu", "kernel_init": "he_normal", "kernel_scale": 1.0}
_TRAINING: Any = {"preprocessing": "meanstd", "norm_epsilon": 1e-5, "learning_rate": 0.01, "batch_size": 256}
_RUN = {**_NET, **_TRAINING, "probes": ("successive_gradients",)}
# What is measured at a step is the state before it.
_STEPS: Any = {"num_steps": 101, "eval_every": 100, "probe_every": 100}
_FEW_STEPS: Any = {"num_steps": 11, "eval_every": 10, "probe_every": 10}
_SMOKE = {**_RUN, **_FEW_STEPS, "dataset": "digits", "hidden": (16,), "batch_size": 64}

PRESETS = {
    "cpu": Config(**_RUN, **_STEPS, seeds=(0, 1, 2)),
    "smoke": Config(**_SMOKE, depths=(4, 8), scales=(0.5, 1.0)),
    "paper": Config(**_RUN, **_STEPS, seeds=tuple(range(10))),
}


def setting(depth: float, scale: float = 1) -> Setting:
    """Return the setting of a depth, and of a scale of the initial weights."""
    return Setting(f"{depth:g}_{scale:g}", f"{depth:g} layers, weights x {scale:g}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets: every depth at scale 1, and the deepest net at every scale."""
    check("successive_gradients" in config.probes, "probes", "at least successive_gradients", config.probes)
    arms = {}
    for depth, scale in itertools.product(config.depths, config.scales):
        if scale == 1 or depth == max(config.depths):
            changes = {"hidden": config.hidden[:1] * depth, "shift_layers": tuple(range(1, depth + 2))}
            nets = with_and_without(arm(config, kernel_scale=scale, **changes))
            arms |= {setting(depth, scale).arm(net): run for net, run in nets.items()}
    return {"arms": arms}


def _norms(record: Any, _rank: int) -> dict[str, Any]:
    """Keep the norm of the gradient by each layer's weights, (measurements, layers)."""
    layers = [layer["previous_norm"] for name, layer in record["layers"].items() if name != "all"]
    return {"step": record["step"], "norm": [list(norms) for norms in zip(*layers, strict=True)]}


KEEP = {"arms": {"gradients": ("successive_gradients", _norms)}}
