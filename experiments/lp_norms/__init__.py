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
from pathlib import Path
from typing import Any

from experiments._presets import CPU, DEEP_LINEAR, PAPER, SMOKE, SMOKE_DEEP_LINEAR, arm, with_and_without
from experiments._config import DeepLinearRun, Options, RunConfig, VGGRun, check


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
        every, rule = self.deep_linear.eval_every, "at least 1, and a divisor of deep_linear.eval_every"
        check(
            self.lp_probe_every >= 1 and every % self.lp_probe_every == 0,
            "lp_probe_every",
            f"{rule}, {every}",
            self.lp_probe_every,
        )


_PROBES: dict[str, Any] = {"probes": ("landscape", "drift"), "drift_layers": (3, 8, 10)}

PRESETS = {
    "cpu": Config(VGGRun(**CPU, **_PROBES), DEEP_LINEAR),
    "smoke": Config(VGGRun(**SMOKE, **_PROBES), DeepLinearRun(**SMOKE_DEEP_LINEAR, probes=("landscape",)), 20),
    "paper": Config(VGGRun(**{**PAPER, **_PROBES, "drift_layers": (2, 9, 11)}, seeds=(0, 1, 2)), DEEP_LINEAR),
}

NORMS = ("l1", "l2", "linf")


def arms(config: RunConfig, **changes: Any) -> dict[str, RunConfig]:
    """Name the nets by their normalisers, some fields of those with an lp norm changed."""
    return {**with_and_without(config), **{norm: arm(config, norm=norm, **changes) for norm in NORMS}}


def groups(config: Config) -> dict[str, Mapping[str, RunConfig]]:
    """Name all nets; raise ValueError where what the figure needs would not be measured."""
    measured = config.deep_linear.probes
    check("landscape" in measured, "deep_linear.probes", "at least landscape", measured)
    check({"landscape", "drift"} <= {*config.vgg.probes}, "vgg.probes", "at least landscape, drift", config.vgg.probes)
    scanned = arms(config.deep_linear, probes=("landscape",), probe_every=config.lp_probe_every)
    return {"arms": arms(config.vgg), "deep_linear": scanned}


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net; return the data of the figure."""
    from experiments._numbers import curves
    from experiments._numbers import drift as drift_numbers
    from experiments._training.experiment import train_all
    from experiments._training.run import config_errors

    with config_errors():
        nets = groups(config)
    data = train_all(nets, options)
    for runs in data["arms"].values():
        for i, found in enumerate(runs):
            found["train"] = curves.coarser(found["train"], 100, names=("accuracy",))
            found["landscape"] = _scans(found["landscape"], ("loss", "gradient_distance"))
            deepest = drift_numbers.layer_names([found])[-1:]
            found["drift"] = drift_numbers.published(found["drift"], deepest, max_shapes=0 if i else 20)
    for found in (found for runs in data["deep_linear"].values() for found in runs):
        found["train"] = curves.coarser(found["train"], 100, names=("loss",))
        found["landscape"] = _scans(found["landscape"], ("smoothness",), largest=True)
        found["test"] = {}
        for name in {"random_direction", "shift"} & {*found}:
            del found[name]
    return data


def _scans(scans: dict[str, Any], names: tuple[str, ...], largest: bool = False) -> dict[str, Any]:
    """Take some quantities of the scans, of every step size or of the largest value alone."""
    import numpy as np

    from experiments._numbers.curves import array

    kept = {name: array(scans.get(name, [])) for name in names}
    if largest:
        kept = {name: values.max(axis=1, keepdims=True) for name, values in kept.items()}
    shorter = np.vectorize(lambda value: float(f"{value:.5g}"), otypes=[float])
    return {"step": scans.get("step", []), **{name: shorter(values).tolist() for name, values in kept.items()}}


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table, a row per net."""
    from experiments._numbers.lp_norms import table

    return table(data)


def plot(data: dict[str, Any]) -> Any:
    """Draw accuracy and landscape of the VGGs, losses of the deep linear networks, and distributions of activations."""
    from experiments._figures.lp_norms import lp_figure

    return lp_figure(data)


def findings(data: dict[str, Any]) -> str:
    """Say how the three norms do beside batch norm and nothing, in both networks."""
    from experiments._numbers.lp_norms import findings

    return findings(data)
