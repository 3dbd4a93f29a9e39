"""Batch norm as a regulariser: ghost batches of several sizes at a fixed batch of SGD, and dropout with and without it.

Claim: the noise of a batch's statistics regularises, the more so the fewer examples share them, so that the gap between
training and test error shrinks with the normalisation batch; a net with batch norm needs less dropout, or none.
Source: Ioffe & Szegedy 2015, Sec. 3.4 and 4.2.1; Wu & Johnson 2021, Sec. 4 for the sizes. Counter-examples: Dimitriou &
Arandjelovic 2020, whose ghost batch norm generalises as well on a less smooth landscape; caffenet-benchmark for dropout.
Command: TFDS_DATA_DIR=... python -m experiments regularisation --preset cpu
Measured: preset cpu, three seeds, two cores beside much other work, 90 minutes, 2,500 images, 450 steps of 256: test error
with population statistics 57.3 / 62.3 / 62.3 / 63.7 % where 4 / 16 / 64 / 256 examples share statistics, 64.8 % without batch
norm; effective smoothness 22.6 / 20.8 / 16.7 / 10.7, and 23.9 without. Presets overnight and paper have not been run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments._config import (
    GhostBatchNorm,
    Images,
    NoNorm,
    RunConfig,
    Schedule,
    VGGRun,
    change,
    check,
    check_arms,
    check_numbers,
)
from experiments._evidence.keep import IfMeasured, scans, training, whole
from experiments._nets import Setting
from experiments._presets import PAPER, SMOKE, SMOKE_MULTIPLES, arm, fields_of, scanning


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG whose batch norm takes statistics of parts of a batch, and the same net with dropout.

    Attributes:
        ghost_sizes: examples per part of a batch; the whole batch is the configuration's own batch norm.
        dropout_shares: shares of the last hidden layer that training drops, with and without batch norm.
    """

    ghost_sizes: tuple[int, ...] = (4, 16, 64)
    dropout_shares: tuple[float, ...] = (0.1, 0.3, 0.5)

    def __post_init__(self):
        super().__post_init__()
        batch = self.optimizer.batch_size
        rule = f"one or more different divisors of the batch size, {batch:,}, and smaller"
        check_numbers(self, rule, lambda x: 1 <= x < batch and batch % x == 0, "ghost_sizes")
        check_numbers(self, "one or more different numbers in (0, 1)", lambda x: 0 < x < 1, "dropout_shares")
        check_arms(self, "dropout_shares")
        check(not self.model.dropout, "model.dropout", "0, which is the arm without it", self.model.dropout)


# A measurement at a step is taken before its update.
_CPU: VGGRun = change(
    VGGRun(seeds=(0, 1, 2), data=Images(image_size=32, subset=2500)).measuring("landscape", "generalisation"),
    model={"width": 0.125, "kernel_init": "he_normal"},
    optimizer={"batch_size": 256},
    schedule=Schedule(num_steps=451, eval_every=450, probe_every=30, recalibrated_tests=True),
)
_SMOKE = change(
    scanning(SMOKE.measuring("landscape", "generalisation"), step_multiples=SMOKE_MULTIPLES),
    data={"subset": 160},
    model={"kernel_init": "he_normal"},
    probes={"generalisation": {"num_examples": 64}},
    schedule=Schedule(num_steps=41, eval_every=20, probe_every=20, recalibrated_tests=True),
)
_OVERNIGHT = change(
    _CPU,
    data={"subset": 10_000},
    model={"width": 0.25},
    probes={"generalisation": {"num_examples": 10_000}},
    schedule=Schedule(num_steps=4001, eval_every=4000, probe_every=100, recalibrated_tests=True),
)
_PAPER = change(
    PAPER.measuring("landscape", "generalisation"),
    seeds=(0, 1, 2),
    model={"kernel_init": "he_normal"},
    optimizer={"batch_size": 256},
    probes={"generalisation": {"num_examples": 10_000}},
    schedule=Schedule(num_steps=15_001, eval_every=1000, probe_every=100, recalibrated_tests=True),
)
PRESETS = {
    "cpu": Config(**fields_of(_CPU)),
    "smoke": Config(**fields_of(_SMOKE), ghost_sizes=(4,), dropout_shares=(0.5,)),
    "overnight": Config(**fields_of(_OVERNIGHT)),
    "paper": Config(**fields_of(_PAPER), ghost_sizes=(2, 4, 8, 16, 32, 64, 128)),
}

NETS = ("plain", "batch_norm")
KEEP: dict[str, Any] = {
    "arms": {
        "train": training(250, "loss", "accuracy"),
        "generalisation": whole,
        "landscape": IfMeasured(scans("loss", "gradient_distance", "smoothness")),
    },
    "dropout": {"train": training(100, "loss", "accuracy")},
}


def ghosts(size: int) -> Setting:
    """Return the setting for a ghost batch size."""
    return Setting(f"{size}", f"ghosts of {size}")


def dropping(share: float) -> Setting:
    """Return the setting for a dropout share."""
    return Setting(f"{share:g}", f"dropout {share:g}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets without dropout, with ghost batch sizes in ascending order, and those with dropout."""
    norms = {
        ghosts(size).arm("ghost"): GhostBatchNorm.like(config.norm, ghost_size=size, running_var="whole_batch")
        for size in sorted(config.ghost_sizes)
    }
    arms = {
        name: arm(config, norm=norm) for name, norm in {"plain": NoNorm(), **norms, "batch_norm": config.norm}.items()
    }
    dropped = {
        dropping(share).arm(net): change(arms[net].measuring(), model={"dropout": share})
        for share in config.dropout_shares
        for net in NETS
    }
    return {"arms": arms, "dropout": dropped}


def by_size(data: Mapping[str, Any]) -> dict[int, Any]:
    """Sort the runs with batch norm by the examples that share statistics, ascending; the whole batch is the largest."""
    config, arms = data["config"], data["arms"]
    found = {size: arms[ghosts(size).arm("ghost")] for size in sorted(config["ghost_sizes"])}
    return {**found, config["optimizer"]["batch_size"]: arms["batch_norm"]}


def by_dropout(data: Mapping[str, Any]) -> dict[float, dict[str, Any]]:
    """Sort the runs by dropout share, ascending from 0, then by net."""
    found = {0.0: {net: data["arms"][net] for net in NETS}}
    for share in sorted(data["config"]["dropout_shares"]):
        found[share] = {net: data["dropout"][dropping(share).arm(net)] for net in NETS}
    return found
