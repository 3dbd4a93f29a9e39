"""Accuracy while a VGG trains: without batch norm, with it everywhere, and after the fourth convolution only.

Claim: with batch norm the net trains faster, ends with a higher test accuracy, and still trains at a learning rate at which the
plain net does not; one batch norm is enough for a good part of that.
Source: Santurkar et al. 2018, Fig. 1a, 1b and 3a; preset mameli: Mameli's repository, whose batch norm follows the fourth
convolution alone, and which mameli judges by its own numbers; alx: a replication with Adam.
Command: TFDS_DATA_DIR=... python -m experiments training_curves --preset cpu
Measured: preset cpu, three seeds, two cores beside other work, 28 minutes: after 1,500 steps at learning rate 0.1 test
accuracy 60.5 % with BN, 53.1 % with one after layer 4, 47.6 % without; at 0.5 it is 55.7, 43.1 and 22.2 %. Preset evening, a
quarter of the width, 5,000 steps at 0.1, an hour: BN is at a training accuracy of 80 % after 1,610 steps instead of 3,930;
the nets end with test accuracies of 72.1 and 71.9 %, seeds disagree, and with recalibrated statistics BN has 74.6 %. Preset
full_width_evening, one seed, 3,500 steps, 1.7 hours: 80 % after 1,190 steps instead of 2,387, and test accuracies of 76.8
(78.6 recalibrated) and 76.1 %. Preset cpu_long, an eighth of the width, 15,000 steps at 0.1, 3.1 hours of runs on one core
each, two at a time beside other work: training accuracies of 96.0 and 86.1 % over the last 1,000 steps, and test accuracies
of 70.0 (71.1 recalibrated) and 66.2 %. The other presets wait for an accelerator.
"""

from dataclasses import dataclass
from typing import Any

from experiments._config import BatchNorm, NoNorm, RunConfig, VGGRun, change, check_arms, check_numbers
from experiments._evidence.keep import whole
from experiments._presets import (
    ALX,
    CPU,
    CPU_WHOLE,
    EVENING,
    FULL_WIDTH,
    FULL_WIDTH_EVENING,
    MAMELI,
    OVERNIGHT,
    OVERNIGHT_ALX,
    OVERNIGHT_MAMELI,
    PAPER,
    SMOKE,
    arm,
    fields_of,
)


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with and without batch norm, at several learning rates.

    Attributes:
        learning_rates: each net is trained at every one of them; they replace the optimiser's.
        once: also train the net with a single batch norm, after the fourth convolution.
    """

    learning_rates: tuple[float, ...] = (0.01, 0.1, 0.5)
    once: bool = True

    def __post_init__(self):
        super().__post_init__()
        rule = "one or more different numbers > 0 and finite"
        check_numbers(self, rule, lambda x: 0 < x < float("inf"), "learning_rates")
        check_arms(self, "learning_rates")


_ALX_RATES = (1e-4, 5e-4, 1e-3, 2e-3)  # the grid of the replication with Adam, for 20 epochs
_TWICE = {"recalibrated_tests": True}
_MAMELI = change(MAMELI, norm={"layers": "all"}, schedule=_TWICE)
PRESETS = {
    "cpu": Config(**fields_of(change(CPU, schedule={"num_steps": 1500}))),
    "smoke": Config(**fields_of(SMOKE), learning_rates=(0.1, 0.5)),
    "mameli": Config(**fields_of(_MAMELI), learning_rates=(0.01,)),
    "alx": Config(**fields_of(change(ALX, schedule=_TWICE)), learning_rates=(5e-4, 1e-3, 3e-3)),
    "cpu_long": Config(**fields_of(CPU_WHOLE), learning_rates=(0.1,), once=False),
    "evening": Config(**fields_of(EVENING), learning_rates=(0.1,), once=False),
    "overnight": Config(**fields_of(OVERNIGHT)),
    "overnight_mameli": Config(**fields_of(change(OVERNIGHT_MAMELI, norm={"layers": "all"})), learning_rates=(0.01,)),
    "overnight_alx": Config(**fields_of(OVERNIGHT_ALX), learning_rates=_ALX_RATES, once=False),
    "full_width": Config(**fields_of(FULL_WIDTH), learning_rates=(0.1,), once=False),
    "full_width_evening": Config(**fields_of(FULL_WIDTH_EVENING), learning_rates=(0.1,), once=False),
    "paper": Config(**fields_of(change(PAPER, seeds=(0, 1, 2), schedule=_TWICE))),
}

NETS = ("plain", "batch_norm", "batch_norm_4")
KEEP: dict[str, Any] = {"arms": {"train": whole}}


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name every net and learning rate."""
    norms = dict(zip(NETS, (NoNorm(), config.norm, BatchNorm.like(config.norm, layers=(4,))), strict=True))
    arms = {
        f"{net}_{rate:g}": arm(config, norm=norm, optimizer={"learning_rate": rate})
        for rate in config.learning_rates
        for net, norm in norms.items()
        if net != "batch_norm_4" or config.once
    }
    return {"arms": arms}
