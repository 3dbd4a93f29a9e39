"""Eight nets with different normalisers, with noise, or with neither: do steadier distributions go with higher accuracy?

Claim: it does not. Covariate shift is meant as in Ioffe & Szegedy 2015: how far the distributions of a layer's inputs move from
one measurement to the next. They are followed after the normaliser, which sets a unit's mean and spread; so the claims speak
for neither side.
Source: the article "Batch normalization vs internal covariate shift", for which batch norm's effect is another one.
Command: TFDS_DATA_DIR=... python -m experiments drift_and_accuracy --preset cpu
Measured: preset cpu, three seeds, of runs that noisy_batchnorm and lp_norms had trained: the rank correlation of drift and
training accuracy over the eight nets is -1.0 in every seed. Preset paper waits for an accelerator.
"""

from dataclasses import dataclass
from typing import Any

from experiments._config import LpNorm, Noise, Norm, RunConfig, VGGRun, change
from experiments._evidence.keep import drift, training
from experiments._presets import (
    CPU,
    OVERNIGHT_SHORT,
    PAPER,
    SMOKE,
    SMOKE_MULTIPLES,
    arm,
    fields_of,
    following,
    following_everywhere,
    with_and_without,
)


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with each normaliser.

    Attributes:
        noise: of the noisy nets.
    """

    noise: Noise = Noise()


_PAPER = following(change(PAPER, seeds=(0, 1, 2)), 2, 9, 12, penalty=True)
PRESETS = {
    "cpu": Config(**fields_of(following(CPU, 3, 8, 10))),
    "smoke": Config(**fields_of(following(SMOKE, 3, 8, 10, step_multiples=SMOKE_MULTIPLES))),
    "overnight": Config(**fields_of(following_everywhere(OVERNIGHT_SHORT, 2, 3, 8, 10))),
    "paper": Config(**fields_of(_PAPER)),
}
NOISY, LP = ("noisy_batch", "noise", "relative_noise"), {"l1": 1, "l2": 2, "linf": "inf"}
NETS = ("plain", "batch_norm", *NOISY, *LP)

KEEP = {"arms": {"train": training(250, "accuracy"), "drift": drift("successive", deepest=True)}}


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name all nets, which are shared with noisy_batchnorm and lp_norms."""
    norms: dict[str, Any] = {kind: Norm.choices()[kind].like(config.norm, noise=config.noise) for kind in NOISY}
    norms |= {name: LpNorm.like(config.norm, p=p) for name, p in LP.items()}
    return {"arms": {**with_and_without(config), **{net: arm(config, norm=norm) for net, norm in norms.items()}}}
