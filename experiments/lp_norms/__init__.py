"""Normalisers that divide by an l1, l2 or l-infinity norm of the batch, compared with batch norm and with no normaliser.

Claim: they train as well as batch norm, the l1 norm even better in the deep linear network, and make the landscape as smooth,
although they leave the first two moments uncontrolled.
Source: Santurkar et al. 2018, Sec. 3.3, Fig. 5, 6, 12 and 13.
Command: TFDS_DATA_DIR=... python -m experiments lp_norms --preset cpu
Measured: preset cpu, three seeds and ten draws, 49 minutes of runs, most on one core, shared with landscape in part: after
1,000 steps the training accuracy is 0.5, 1.7 and 3.0 points below BN's with l1, l2 and l-infinity; in the deep linear network
l1 and l2 end more than a tenth below BN in two draws of ten.
Preset evening, a quarter of the width, 5,000 steps, three seeds, an hour and a half beside other work: over steps 4,501 to
5,000 the training accuracy is 1.6, 1.0 and 3.6 points below BN's with l1, l2 and l-infinity; over steps 80 to 3,500 the loss
varies 5.9 times, the gradient 2.7 times as much in the plain net as with whichever of them varies most. Preset paper waits for
an accelerator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from experiments._config import DeepLinearRun, LpNorm, RunConfig, VGGRun, change, check
from experiments._evidence.keep import Arms, Draws, IfMeasured, drift, scans, training
from experiments._presets import (
    CPU,
    DEEP_LINEAR,
    EVENING,
    MANY_DRAWS,
    OVERNIGHT_SHORT,
    PAPER,
    SMOKE,
    SMOKE_DEEP_LINEAR,
    SMOKE_MULTIPLES,
    arm,
    following,
    following_everywhere,
    measuring_only,
    with_and_without,
)


@dataclass(frozen=True)
class Config:
    """A VGG and a deep linear network, each with every normaliser.

    Attributes:
        vgg: the VGG.
        deep_linear: the deep linear network; each seed draws a linear map of its own.
        lp_probe_every: steps between the scans of deep linear networks with an lp norm.
        sampled_draws: maximum number of draws of the deep linear networks with the l1 and the l-infinity norm, which need
            the samples, where the others need only their moments.
        center_first: subtract the mean before taking the lp norm; with p = 2 this is batch norm.
    """

    vgg: VGGRun
    deep_linear: DeepLinearRun
    lp_probe_every: int = 250
    sampled_draws: int = 10
    center_first: bool = False

    def __post_init__(self):
        every, scanned = self.deep_linear.schedule.eval_every, self.lp_probe_every
        rule = f"at least 1, and a divisor of deep_linear.schedule.eval_every, {every}"
        check(scanned >= 1 and every % scanned == 0, "lp_probe_every", rule, scanned)
        check(self.sampled_draws >= 1, "sampled_draws", "at least 1", self.sampled_draws)


_SMOKE = following(SMOKE, 3, 8, 10, step_multiples=SMOKE_MULTIPLES)
PRESETS = {
    "cpu": Config(following(CPU, 3, 8, 10), DEEP_LINEAR),
    "smoke": Config(_SMOKE, SMOKE_DEEP_LINEAR.measuring("landscape"), 20),
    "evening": Config(following_everywhere(EVENING, 2, 3, 8, 10), MANY_DRAWS),
    "overnight": Config(following_everywhere(OVERNIGHT_SHORT, 2, 3, 8, 10), MANY_DRAWS),
    "paper": Config(following(change(PAPER, seeds=(0, 1, 2)), 2, 9, 11, penalty=True), MANY_DRAWS),
}
NORMS: dict[str, Literal[1, 2, "inf"]] = {"l1": 1, "l2": 2, "linf": "inf"}


def _read(_arms: Arms) -> tuple[Sequence[Any], Sequence[Any]]:
    from experiments.lp_norms.quantities import CURVES, MEASURES

    return MEASURES, CURVES


KEEP = {
    "arms": {
        "train": training(100, "accuracy"),
        "landscape": scans("loss", "gradient_distance"),
        "drift": drift("successive", shapes=20, deepest=True),
        "drift_after_activation": IfMeasured(drift("successive", deepest=True)),
    },
    "deep_linear": Draws({"train": training(100, "loss"), "landscape": scans("smoothness", ends=True)}, _read),
}


def groups(config: Config) -> dict[str, Mapping[str, RunConfig]]:
    """Name all nets."""
    vgg, deep = config.vgg, config.deep_linear
    rarely = change(measuring_only(deep, "landscape"), schedule={"probe_every": config.lp_probe_every})
    return {
        "arms": with_and_without(vgg) | _lp(config, vgg),
        "deep_linear": with_and_without(deep) | _lp(config, rarely),
    }


def _lp(config: Config, run: RunConfig) -> dict[str, RunConfig]:
    """Name the nets with an lp norm."""
    norms = {net: LpNorm.like(run.norm, p=p, center_first=config.center_first) for net, p in NORMS.items()}
    return {net: arm(run, norm=norm, **_on_samples(config, run, norm)) for net, norm in norms.items()}


def _on_samples(config: Config, run: RunConfig, norm: LpNorm) -> dict[str, Any]:
    """Return the changes to a deep linear network on moments whose norm needs the samples: inputs and draws."""
    if getattr(run, "inputs", "samples") == "samples" or not norm.needs_samples:
        return {}
    return {"inputs": "samples", "seeds": run.seeds[: config.sampled_draws]}
