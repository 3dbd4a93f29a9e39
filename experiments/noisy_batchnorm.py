"""Batch norm whose outputs are disturbed by noise that changes at every step, and the same noise on the plain net.

Claim: noise that makes the distributions of activations less stable than in the plain net hardly hurts training with batch
norm, and stops the plain net from training.
Source: Santurkar et al. 2018, Sec. 2.1, Fig. 2 and 8, Algorithm 1. The noise in units of each unit's standard deviation, for
nets whose activations are small beside it, is a control of ours.
Command: TFDS_DATA_DIR=... python -m experiments noisy_batchnorm --preset cpu
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._arms import CPU, PAPER, SMOKE, arm, with_and_without
from experiments._config import Options, RunConfig, VGGRun, check_numbers


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with noise of several strengths.

    Attributes:
        noise_strengths: beside `noise_strength`, those with which the noisy nets are trained from the first seed alone.
    """

    noise_strengths: tuple[float, ...] = (0.5, 2.0, 4.0)

    def __post_init__(self):
        super().__post_init__()
        rule = f"one or more different numbers >= 0 and finite, none of them {self.noise_strength:g}"
        check_numbers(self, rule, lambda x: 0 <= x < float("inf") and x != self.noise_strength, "noise_strengths")


_PROBES: dict[str, Any] = {"probes": ("landscape", "drift"), "drift_layers": (3, 8, 10)}

PRESETS = {
    "cpu": Config(**CPU, **_PROBES),
    "smoke": Config(**SMOKE, **_PROBES, noise_strengths=(4.0,)),
    "paper": Config(**{**PAPER, **_PROBES, "drift_layers": (2, 9, 12)}, seeds=(0, 1, 2)),
}

NOISY = ("noisy_batch", "noise", "relative_noise")


def arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets with noise of the usual strength, and without noise."""
    return {**with_and_without(config), **{norm: arm(config, norm=norm) for norm in NOISY}}


def sweep(config: Config) -> dict[str, RunConfig]:
    """Name the nets with noise of other strengths, trained from one seed."""
    return {
        f"{norm}_{strength:g}": arm(config, norm=norm, noise_strength=strength, probes=(), seeds=config.seeds[:1])
        for norm in NOISY
        for strength in config.noise_strengths
    }


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net; return the data of the figure."""
    from experiments._training import train_all

    return train_all({"arms": arms(config), "sweep": sweep(config)}, options)
