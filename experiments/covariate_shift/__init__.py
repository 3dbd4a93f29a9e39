"""Internal covariate shift: how the step of earlier layers changes a layer's gradient, with and without batch norm.

Claim: networks with batch norm have as much of it as those without, or more, and yet train better.
Source: Santurkar et al. 2018, Sec. 2.2, Fig. 3, Definition 2.1, Appendix A.1; the seed repository, which compares with a second
net of its own random classifier; a replication with Adam that finds the opposite.
Command: TFDS_DATA_DIR=... python -m experiments covariate_shift --preset cpu
Measured: preset cpu, three seeds and ten draws, two cores, 29 minutes, of which 15 are shared with landscape: layer 5 of the
VGG has 1.9 times the shift with BN at learning rate 0.1, 295 times at 0.01. Presets mameli and paper wait for an accelerator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments._presets import CPU, DEEP_LINEAR, MAMELI, PAPER, SMOKE, SMOKE_DEEP_LINEAR, arm, with_and_without
from experiments._config import DeepLinearRun, Options, RunConfig, VGGRun, check


@dataclass(frozen=True)
class Config:
    """A VGG and a deep linear network, each with several optimisers.

    Attributes:
        vgg: the VGG.
        vgg_optimizers: pairs of optimiser and learning rate, which take the place of the VGG's.
        deep_linear: the deep linear network.
        deep_linear_rates: learning rates, which take the place of the deep linear network's.
    """

    vgg: VGGRun
    deep_linear: DeepLinearRun
    vgg_optimizers: tuple[tuple[Literal["sgd", "adam"], float], ...] = (("sgd", 0.1), ("sgd", 0.01), ("adam", 1e-3))
    deep_linear_rates: tuple[float, ...] = (1e-6, 1e-7)


_VGG: dict[str, Any] = {"probes": ("shift", "dummy_shift")}

PRESETS = {
    "cpu": Config(VGGRun(**CPU, **_VGG), DEEP_LINEAR),
    "smoke": Config(
        VGGRun(**SMOKE, **_VGG), DeepLinearRun(**SMOKE_DEEP_LINEAR, probes=("shift",)), vgg_optimizers=(("sgd", 0.1),)
    ),
    "mameli": Config(VGGRun(**MAMELI, **_VGG), DEEP_LINEAR, vgg_optimizers=(("sgd", 0.01),)),
    "paper": Config(VGGRun(**PAPER, **_VGG, seeds=(0, 1, 2)), DEEP_LINEAR),
}


def vgg_arms(config: Config) -> dict[str, RunConfig]:
    """Name the VGGs, by net, optimiser and learning rate."""
    return {
        f"{net}_{optimizer}_{rate:g}": arm(run, optimizer=optimizer, learning_rate=rate)
        for optimizer, rate in config.vgg_optimizers
        for net, run in with_and_without(config.vgg).items()
    }


def deep_linear_arms(config: Config) -> dict[str, RunConfig]:
    """Name the deep linear networks, by net and learning rate; those at their own rate are other experiments', too."""
    own = config.deep_linear.learning_rate
    return {
        f"{net}_{rate:g}": run if rate == own else arm(run, learning_rate=rate, probes=("shift",))
        for rate in config.deep_linear_rates
        for net, run in with_and_without(config.deep_linear).items()
    }


def groups(config: Config) -> dict[str, Mapping[str, RunConfig]]:
    """Name all nets; raise ValueError where what the figure needs would not be measured."""
    check(
        {"shift", "dummy_shift"} <= {*config.vgg.probes}, "vgg.probes", "at least shift, dummy_shift", config.vgg.probes
    )
    check("shift" in config.deep_linear.probes, "deep_linear.probes", "at least shift", config.deep_linear.probes)
    return {"arms": vgg_arms(config), "deep_linear": deep_linear_arms(config)}


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net; return the data of the figure."""
    from experiments._numbers import curves
    from experiments._training.experiment import train_all
    from experiments._training.run import config_errors

    with config_errors():
        nets = groups(config)
    data = train_all(nets, options)
    for group, names in (("arms", ("loss", "accuracy")), ("deep_linear", ("loss",))):
        for found in (found for runs in data[group].values() for found in runs):
            found["train"] = curves.coarser(found["train"], 200, names)
            for name in {"landscape", "random_direction"} & {*found}:
                del found[name]
            for layer in found["shift"]["layers"].values():
                del layer["gradient_norm"]
    return data


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table: a row per net and layer, medians over training and then over seeds."""
    from experiments._numbers.shift import table

    return table(data)


def plot(data: dict[str, Any]) -> Any:
    """Draw training, shift and cosines."""
    from experiments._figures.covariate_shift import covariate_shift_figure

    return covariate_shift_figure(data)


def findings(data: dict[str, Any]) -> str:
    """Say how much more shift there is with batch norm, in each setting, and what the seed repository measures."""
    from experiments._numbers.shift import findings

    return findings(data)
