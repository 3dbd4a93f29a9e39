"""The largest eigenvalues of a VGG's Hessian, and the gradient's share in their space, with batch norm and without.

Claim: without batch norm, a few eigenvalues stand far above the others soon after the start of training, and the gradient
lies mostly along their eigenvectors; with batch norm, both effects are almost absent.
Source: Ghorbani et al. 2019, who take the whole training set, and ResNets as well as VGGs; here the loss is of the first
training images in one batch, whose own statistics normalise it.
Command: TFDS_DATA_DIR=... python -m experiments eigenvalues --preset cpu
Measured: preset cpu, six seeds, two cores beside other work, 8 minutes: after the start the largest eigenvalue is 6.6 times
the tenth without BN and 3.1 times with it, and 67 % and 24 % of the gradient's squared norm lie along the ten first
eigenvectors; with BN's running statistics kept, 7.8 times and 60 %. All nets start from He weights, from which the plain net
learns at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments._config import BatchNorm, RunConfig, Schedule, VGGRun, change, check
from experiments._evidence.keep import training
from experiments._presets import CPU, OVERNIGHT_SHORT, PAPER, SIX_SEEDS, SMOKE, fields_of, with_and_without


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with batch norm, and the same net without."""

    def __post_init__(self):
        super().__post_init__()
        check(type(self.norm) is BatchNorm, "norm", "batch, whose effect is measured", self.norm.kind)


def _measured(run: VGGRun, num_examples: int, **schedule: Any) -> Config:
    """Start from He weights, and measure the Hessian's eigenvalues for the loss on some images."""
    measuring = change(run, model={"kernel_init": "he_normal"}, schedule=schedule).measuring("eigenvalues")
    return Config(**fields_of(change(measuring, probes={"eigenvalues": {"num_examples": num_examples}})))


# No other subject trains these nets at preset cpu's learning rate, so they take no other measurements.
_CPU = change(
    CPU,
    optimizer={"learning_rate": 0.05},
    schedule=Schedule(num_steps=450, eval_every=150, probe_every=150),
    seeds=SIX_SEEDS,
)
PRESETS = {
    "cpu": _measured(_CPU, 256),
    "smoke": _measured(SMOKE, 32, probe_every=20),
    "overnight": _measured(OVERNIGHT_SHORT, 512, probe_every=1000),
    "paper": _measured(change(PAPER, seeds=(0, 1, 2)), 4096, probe_every=1000),
}


def _short(values: Any) -> Any:
    """Round to five significant digits, at any nesting depth."""
    return [*map(_short, values)] if isinstance(values, list) else values and float(f"{values:.5g}")


def _eigenvalues(record: Mapping[str, Any], _rank: int) -> dict[str, Any]:
    """Keep the whole record, rounded to five digits."""
    return {name: values if name == "step" else _short(values) for name, values in record.items()}


KEEP: dict[str, Any] = {"arms": {"train": training(225, "loss", "accuracy"), "eigenvalues": _eigenvalues}}


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets, with batch norm and without."""
    return {"arms": with_and_without(config)}
