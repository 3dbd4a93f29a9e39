"""Normalisers that divide by an l1, l2 or l-infinity norm of the batch, beside batch norm and nothing.

Claim: they train as well as batch norm, the l1 norm even better in the deep linear network, and make the landscape as smooth,
although they leave the first two moments uncontrolled.
Source: Santurkar et al. 2018, Sec. 3.3, Fig. 5, 6, 12 and 13.
Command: TFDS_DATA_DIR=... python -m experiments lp_norms --preset cpu
Measured: preset cpu, three seeds and ten draws, two cores, 30 minutes, of which 15 are shared with landscape: every norm trains
the VGG as BN does, to within 2 points; in the deep linear network l1, l2 and BN end at the same loss in nine draws of ten.
Preset paper waits for an accelerator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments._config import DeepLinearRun, RunConfig, VGGRun, check
from experiments._evidence.keep import drift, scans, training
from experiments._presets import CPU, DEEP_LINEAR, DRIFT, PAPER, SMOKE, SMOKE_DEEP_LINEAR, arm, with_and_without


@dataclass(frozen=True)
class Config:
    """A VGG and a deep linear network, each with every normaliser.

    Attributes:
        vgg: the VGG.
        deep_linear: the deep linear network; each seed draws a linear map of its own.
        lp_probe_every: steps between the scans of deep linear networks with an lp norm.
    """

    vgg: VGGRun
    deep_linear: DeepLinearRun
    lp_probe_every: int = 250

    def __post_init__(self):
        every, scanned = self.deep_linear.eval_every, self.lp_probe_every
        rule = f"at least 1, and a divisor of deep_linear.eval_every, {every}"
        check(scanned >= 1 and every % scanned == 0, "lp_probe_every", rule, scanned)


PRESETS = {
    "cpu": Config(VGGRun(**CPU, **DRIFT), DEEP_LINEAR),
    "smoke": Config(VGGRun(**SMOKE, **DRIFT), DeepLinearRun(**SMOKE_DEEP_LINEAR, probes=("landscape",)), 20),
    "paper": Config(VGGRun(**{**PAPER, **DRIFT, "drift_layers": (2, 9, 11)}, seeds=(0, 1, 2)), DEEP_LINEAR),
}
NORMS = ("l1", "l2", "linf")

KEEP = {
    "arms": {
        "train": training(100, "accuracy"),
        "landscape": scans("loss", "gradient_distance"),
        "drift": drift("successive", shapes=20, deepest=True),
    },
    "deep_linear": {"train": training(100, "loss"), "landscape": scans("smoothness", ends=True)},
}


def groups(config: Config) -> dict[str, Mapping[str, RunConfig]]:
    """Name all nets; raise ValueError where what the figure needs would not be measured."""
    vgg, deep = config.vgg, config.deep_linear
    check("landscape" in deep.probes, "deep_linear.probes", "at least landscape", deep.probes)
    check({"landscape", "drift"} <= {*vgg.probes}, "vgg.probes", "at least landscape, drift", vgg.probes)
    return {"arms": _arms(vgg), "deep_linear": _arms(deep, probes=("landscape",), probe_every=config.lp_probe_every)}


def _arms(config: RunConfig, **changes: Any) -> dict[str, RunConfig]:
    return {**with_and_without(config), **{norm: arm(config, norm=norm, **changes) for norm in NORMS}}
