"""How large gradients are from layer to layer of a deep perceptron, with and without batch norm, at initialisation and later.

Claim: batch norm keeps gradients from exploding or vanishing with depth; what it does at initialisation is to make their size
independent of the scale of the weights, and to let it grow by a fifth per layer.
Source: the article "Batch normalization vs internal covariate shift" for the claim; Yang et al. 2019, in mean-field theory, and
runs of ours before this experiment for its counter-example.
Command: TFDS_DATA_DIR=... python -m experiments gradient_depth --preset cpu
Measured: preset cpu, three seeds, two cores, 4 minutes: with BN the gradient grows 1.20 times per layer at initialisation, from
weights of any scale, and 1.07 times after 100 steps. Preset paper has not been run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._config import MLPRun, Options, RunConfig, check, check_numbers
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


_RUN: dict[str, Any] = {
    "preprocessing": "meanstd",
    "hidden": (256,),
    "activation": "relu",
    "kernel_init": "he_normal",
    "kernel_scale": 1.0,
    "norm_epsilon": 1e-5,
    "learning_rate": 0.01,
    "batch_size": 256,
    "probes": ("successive_gradients",),
}
# What is measured at a step is the state before it.
_STEPS: dict[str, Any] = {"num_steps": 101, "eval_every": 100, "probe_every": 100}
_SMOKE: dict[str, Any] = {
    "dataset": "digits",
    "hidden": (16,),
    "batch_size": 64,
    "num_steps": 11,
    "eval_every": 10,
    "probe_every": 10,
}

PRESETS = {
    "cpu": Config(**_RUN, **_STEPS, seeds=(0, 1, 2)),
    "smoke": Config(**{**_RUN, **_SMOKE}, depths=(4, 8), scales=(0.5, 1.0)),
    "paper": Config(**_RUN, **_STEPS, seeds=tuple(range(10))),
}


def arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets by normaliser, depth and scale: every depth at scale 1, and the deepest one at every scale.

    Raises:
        ValueError: if gradients would not be measured.
    """
    check("successive_gradients" in config.probes, "probes", "at least successive_gradients", config.probes)
    settings = [
        (depth, scale)
        for depth in config.depths
        for scale in config.scales
        if scale == 1 or depth == max(config.depths)
    ]
    return {
        f"{net}_{depth}_{scale:g}": run
        for depth, scale in settings
        for net, run in with_and_without(
            arm(
                config,
                hidden=config.hidden[:1] * depth,
                kernel_scale=scale,
                shift_layers=tuple(range(1, depth + 2)),
            )
        ).items()
    }


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net; return the data of the figure."""
    from experiments._training.experiment import train_all
    from experiments._training.run import config_errors

    with config_errors():
        nets = arms(config)
    data = train_all({"arms": nets}, options)
    for found in (found for runs in data["arms"].values() for found in runs):
        del found["train"]
        gradients = found.pop("successive_gradients")
        layers = [layer["previous_norm"] for name, layer in gradients["layers"].items() if name != "all"]
        found["gradients"] = {"step": gradients["step"], "norm": [list(norms) for norms in zip(*layers, strict=True)]}
    return data


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table, a row per net."""
    from experiments._numbers.gradient_depth import table

    return table(data)


def plot(data: dict[str, Any]) -> Any:
    """Draw the size of the gradient by layer, and its growth per layer by depth."""
    from experiments._figures.gradient_depth import gradient_depth_figure

    return gradient_depth_figure(data)


def findings(data: dict[str, Any]) -> str:
    """Say how gradients grow with batch norm, and what their size depends on without."""
    from experiments._numbers.gradient_depth import findings

    return findings(data)
