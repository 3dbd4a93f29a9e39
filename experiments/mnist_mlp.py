"""Multilayer perceptrons of sigmoids on MNIST, with and without batch norm: accuracy, and what goes into the last sigmoids.

Claim: with batch norm the net reaches a higher test accuracy, faster, and the distributions of what goes into its sigmoids are
more stable.
Source: Ioffe & Szegedy 2015, Sec. 4.1, Fig. 1, whose learning rate and scale of weights are not stated; Huber 2020, whose nets
begin with large weights and whose batch norm divides the variance by the batch's size once too often.
Command: TFDS_DATA_DIR=... python -m experiments mnist_mlp --preset cpu
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._arms import arm, with_and_without
from experiments._config import MLPRun, Options, RunConfig


@dataclass(frozen=True)
class Config:
    """A network in two settings.

    Attributes:
        ioffe: that of Ioffe & Szegedy 2015.
        huber: that of Huber's replication (2020).
    """

    ioffe: MLPRun
    huber: MLPRun


_IOFFE = MLPRun(probes=("percentiles",), seeds=(0, 1, 2))
_HUBER = MLPRun(
    probes=("percentiles",),
    seeds=(0, 1, 2),
    preprocessing="meanstd",
    kernel_scale=1.0,
    learning_rate=0.01,
    momentum=0.9,
    num_steps=10_000,
    eval_every=100,
    probe_every=50,
)
_SMOKE: dict[str, Any] = {"dataset": "digits", "num_steps": 2000, "eval_every": 200, "probe_every": 100}
_SEEDS: dict[str, Any] = {"seeds": tuple(range(10))}

PRESETS = {
    "cpu": Config(_IOFFE, _HUBER),
    "smoke": Config(arm(_IOFFE, **_SMOKE), arm(_HUBER, **_SMOKE)),
    "paper": Config(arm(_IOFFE, **_SEEDS), arm(_HUBER, **_SEEDS)),
}


def huber_arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets of the second setting."""
    return {**with_and_without(config.huber), "huber": arm(config.huber, norm="huber")}


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net; return the data of the figure."""
    from experiments._training import train_all

    data = train_all({"ioffe": with_and_without(config.ioffe), "huber": huber_arms(config)}, options)
    for runs in (runs for group in ("ioffe", "huber") for runs in data[group].values()):
        for run in runs:
            del run["train"]  # of which neither figure nor claims take anything
    return data
