"""Batch norm whose outputs are disturbed by noise that changes at every step, and the same noise on the plain net.

Claim: noise that makes the distributions of activations less stable than in the plain net hardly hurts training with batch
norm, and stops the plain net from training.
Source: Santurkar et al. 2018, Sec. 2.1, Fig. 2 and 8, Algorithm 1. The noise in units of each unit's standard deviation, for
nets whose activations are small beside it, is a control of ours.
Command: TFDS_DATA_DIR=... python -m experiments noisy_batchnorm --preset cpu
Measured: preset cpu, three seeds, 35 minutes of runs, some of them on one core: after 1,000 steps training accuracy
60 % with BN, 55 % with noisy BN, 37 % without, 24 % with noise and no BN, 35 % with noise in units of each unit's standard
deviation; over steps 80 to 1,000 the noise costs BN 4.3 to 5.1 points. In preset cpu_recalibrated, which trained the same
nets apart, it is 5.1 to 5.9 points; tested without the noise, noisy BN reaches 31 % with the running statistics of its
training, and 58 % with recomputed ones (BN: 56 and 60 %). Preset cpu_long,
batch 128, 5,500 steps, the usual strength alone, three seeds, 4.8 hours of runs, some of them on one core: at the end 86 %
with BN, 78 % with noisy BN, 73 % without, 64 % with noise and no BN, which only delays training, 41 % with scaled noise.
Over steps 4,501 to 5,500 the noise costs BN 7.4 points (7.0 to 7.5). Preset paper waits for an accelerator.
"""

from dataclasses import dataclass, replace
from typing import Any

from experiments._config import Noise, Norm, RunConfig, VGGRun, change, check_arms, check_numbers
from experiments._evidence.keep import IfMeasured, drift, training
from experiments._presets import (
    CPU,
    CPU_LONG,
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
    """A VGG with noise of several strengths.

    Attributes:
        noise: of the noisy nets.
        noise_strengths: further strengths, with which the noisy nets are trained from the first seed only; there may be none.
    """

    noise: Noise = Noise()
    noise_strengths: tuple[float, ...] = (0.5, 2.0, 4.0)

    def __post_init__(self):
        super().__post_init__()
        usual = f"{self.noise.strength:g}"
        if self.noise_strengths:
            rule = f"different numbers >= 0 and finite, none of them {usual}"
            check_numbers(self, rule, lambda x: 0 <= x < float("inf") and f"{x:g}" != usual, "noise_strengths")
            check_arms(self, "noise_strengths")


_PAPER = following(change(PAPER, seeds=(0, 1, 2), schedule={"recalibrated_tests": True}), 2, 9, 12, penalty=True)
_CPU = Config(**fields_of(following(CPU, 3, 8, 10)))
PRESETS = {
    "cpu": _CPU,
    "smoke": Config(**fields_of(following(SMOKE, 3, 8, 10, step_multiples=SMOKE_MULTIPLES)), noise_strengths=(4.0,)),
    # The initial weights differ from those of preset cpu's committed runs; a unit's distributions are kept.
    "cpu_recalibrated": change(_CPU, schedule={"recalibrated_tests": True}),
    "cpu_long": Config(**fields_of(following(CPU_LONG, 3, 8, 10)), noise_strengths=()),
    "overnight": Config(**fields_of(following_everywhere(OVERNIGHT_SHORT, 2, 3, 8, 10)), noise_strengths=(4.0,)),
    "paper": Config(**fields_of(_PAPER)),
}

NOISY = ("noisy_batch", "noise", "relative_noise")

KEEP = {
    "arms": {"train": training(250, "loss", "accuracy"), "drift": drift("successive", shapes=20)},
    "sweep": IfMeasured({"train": training(100, "loss", "accuracy")}),
}


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets with noise of the usual strength and without noise, and those with other strengths, from one seed."""

    def noisy(kind: str, noise: Noise) -> RunConfig:
        return arm(config, norm=Norm.choices()[kind].like(config.norm, noise=noise))

    sweep = {
        f"{kind}_{strength:g}": replace(
            noisy(kind, replace(config.noise, strength=strength)).measuring(), seeds=config.seeds[:1]
        )
        for kind in NOISY
        for strength in config.noise_strengths
    }
    arms = {**with_and_without(config), **{kind: noisy(kind, config.noise) for kind in NOISY}}
    return {"arms": arms, "sweep": sweep}


def by_strength(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort the runs by noise strength, ascending, then by kind of noise; none stands for the runs without noise."""
    arms, usual = data["arms"], data["config"]["noise"]["strength"]
    columns = {"none": {norm: arms["batch_norm" if norm == "noisy_batch" else "plain"] for norm in NOISY}}
    for strength in sorted({usual, *data["config"]["noise_strengths"]}):
        columns[f"{strength:g}"] = {
            norm: data.get("sweep", {}).get(f"{norm}_{strength:g}", arms[norm]) for norm in NOISY
        }
    return columns
