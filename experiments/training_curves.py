"""Accuracy while a VGG trains: without batch norm, with it everywhere, and after the fourth convolution only.

Claim: with batch norm the net trains faster, ends with a higher test accuracy, and still trains at a learning rate at which the
plain net does not; one batch norm is enough for a good part of that.
Source: Santurkar et al. 2018, Fig. 1a, 1b and 3a; presets mameli: the seed repository, whose batch norm follows the fourth
convolution alone; alx: a replication with Adam.
Command: TFDS_DATA_DIR=... python -m experiments training_curves --preset cpu
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._arms import CPU, MAMELI, PAPER, SMOKE, arm
from experiments._config import Options, RunConfig, VGGRun, check_numbers


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with and without batch norm, at several learning rates.

    Attributes:
        learning_rates: of which each net is trained with every one; they take the place of `learning_rate`.
    """

    learning_rates: tuple[float, ...] = (0.01, 0.1, 0.5)

    def __post_init__(self):
        super().__post_init__()
        rule = "one or more different numbers > 0 and finite"
        check_numbers(self, rule, lambda x: 0 < x < float("inf"), "learning_rates")


PRESETS = {
    "cpu": Config(**CPU),
    "smoke": Config(**SMOKE, learning_rates=(0.1, 0.5)),
    "mameli": Config(**{**MAMELI, "norm_layers": "all"}, learning_rates=(0.01,)),
    "alx": Config(
        preprocessing="half",
        kernel_init="xavier_normal",
        optimizer="adam",
        num_steps=50 * 390,
        eval_every=390,
        probe_every=390,
        learning_rates=(5e-4, 1e-3, 3e-3),
    ),
    "paper": Config(**PAPER, seeds=(0, 1, 2)),
}

NETS = {"plain": {"norm": "none"}, "batch_norm": {}, "batch_norm_4": {"norm_layers": (4,)}}


def arms(config: Config) -> dict[str, RunConfig]:
    """Name every net and learning rate."""
    return {
        f"{net}_{rate:g}": arm(config, learning_rate=rate, **changes)
        for rate in config.learning_rates
        for net, changes in NETS.items()
    }


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net at every learning rate; return the data of the figure."""
    from experiments._training import train_all

    return train_all({"arms": arms(config)}, options)
