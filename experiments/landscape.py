"""The loss landscape along the gradient while a VGG trains, with and without batch norm.

Claim: along the gradient, with batch norm the loss varies less, the gradient changes less ("gradient predictiveness") and
changes less per distance ("effective smoothness"); meanwhile the net learns faster.
Source: Santurkar et al. 2018, Sec. 3.1, Fig. 1 and 4; preset mameli: the setting of the seed repository, whose batch norm
follows the fourth convolution alone.
Command: TFDS_DATA_DIR=... python -m experiments landscape --preset cpu
Measured: preset cpu, three seeds, one core of a machine that other work shared, 21 minutes: in steps 80 to 1,500 the loss
varies 3.8 times, the gradient 2.3 times as much along the gradient without BN; at step 0 the net with BN is the rougher one.
Presets mameli and paper wait for an accelerator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._arms import CPU, MAMELI, PAPER, SMOKE, SMOKE_DEEP_LINEAR, arm, with_and_without
from experiments._config import DeepLinearRun, Options, RunConfig, VGGRun, check


@dataclass(frozen=True)
class Config:
    """A VGG and a deep linear network.

    Attributes:
        vgg: the VGG.
        deep_linear: the deep linear network.
        short_multiples: step sizes of the runs that tell the edge of stability from a saturated metric: their smallest one is
            half the usual one. Where the plateau of the effective smoothness is one over the smallest step, it doubles; where
            it is two over the learning rate, it stays.
    """

    vgg: VGGRun
    deep_linear: DeepLinearRun
    short_multiples: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)


_PROBES = ("landscape", "random_direction", "successive_gradients")
# Of a scan, what is published.
_KEPT = ("step", "loss", "gradient_norm", "gradient_distance", "smoothness")
_DEEP_LINEAR = DeepLinearRun(probes=("landscape", "random_direction"), seeds=(0, 1, 2))

PRESETS = {
    "cpu": Config(VGGRun(**{**CPU, "num_steps": 1500, "eval_every": 500}, probes=_PROBES), _DEEP_LINEAR),
    "smoke": Config(
        VGGRun(**SMOKE, probes=_PROBES), DeepLinearRun(**SMOKE_DEEP_LINEAR, probes=("landscape",)), (0.25, 2.0)
    ),
    "mameli": Config(VGGRun(**MAMELI, probes=_PROBES), _DEEP_LINEAR),
    "paper": Config(VGGRun(**PAPER, probes=_PROBES, seeds=(0, 1, 2)), _DEEP_LINEAR),
}


def short_arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets that are scanned from a smaller step on."""
    changes: dict[str, Any] = {"step_multiples": config.short_multiples, "probes": ("landscape",)}
    return {net: arm(run, **changes) for net, run in with_and_without(config.vgg).items()}


def groups(config: Config) -> dict[str, Mapping[str, RunConfig]]:
    """Name all nets; raise ValueError where what the figure needs would not be measured."""
    check({*_PROBES} <= {*config.vgg.probes}, "vgg.probes", f"at least {', '.join(_PROBES)}", config.vgg.probes)
    measured = config.deep_linear.probes
    check("landscape" in measured, "deep_linear.probes", "at least landscape", measured)
    return {
        "arms": with_and_without(config.vgg),
        "short": short_arms(config),
        "deep_linear": with_and_without(config.deep_linear),
    }


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train and probe every net; return the data of the figure."""
    from experiments._numbers import curves
    from experiments._training import config_errors, train_all

    with config_errors():
        nets = groups(config)
    data = train_all(nets, options)
    for found in (found for group in nets for runs in data[group].values() for found in runs):
        for name in ("landscape", "random_direction"):
            if name in found:
                found[name] = {kept: found[name][kept] for kept in _KEPT}
    for found in (found for runs in data["arms"].values() for found in runs):
        layers = found["successive_gradients"]["layers"]
        found["successive_gradients"]["layers"] = dict([*layers.items()][:1])
    for found in (found for runs in data["deep_linear"].values() for found in runs):
        found["train"] = curves.coarser(found["train"], 200, ("loss",))
        for name in {"landscape", "random_direction"} & {*found}:
            found[name] = _ends(found[name])
    for found in (found for runs in data["short"].values() for found in runs):
        del found["train"]  # that of the other runs, which differ in nothing but their scans
    return data


def _ends(scans: dict[str, Any]) -> dict[str, Any]:
    """Keep of each scan's losses and gradient distances the smallest and the largest, and the largest smoothness."""
    from experiments._numbers import curves

    kept = {
        "loss": (curves.lowest_loss, curves.highest_loss),
        "gradient_distance": (curves.nearest_gradient, curves.farthest_gradient),
        "smoothness": (curves.effective_smoothness,),
    }
    columns = {name: zip(*(end(scans).tolist() for end in ends), strict=True) for name, ends in kept.items()}
    return {"step": scans["step"], **{name: [list(ends) for ends in column] for name, column in columns.items()}}


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table."""
    from experiments._numbers.landscape import table

    return table(data)


def plot(data: dict[str, Any]) -> Any:
    """Draw accuracy, scans along the gradient and along random directions, successive gradients, the deep linear network."""
    from experiments._figures.landscape_rows import landscape_rows

    return landscape_rows(data)


def findings(data: dict[str, Any]) -> str:
    """Say how much less the landscape varies with batch norm, at the start and after, and where the smoothness ends."""
    from experiments._numbers.landscape import findings

    return findings(data)
