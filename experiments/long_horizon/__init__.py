"""How many steps ahead the gradient predicts a VGG's training, with batch norm and without: up to 100 steps.

Claim: along the gradient the landscape is smoother with batch norm; the sources look a few learning rates ahead, and leave
open whether that lasts over many steps, on the path that training takes.
Source: Santurkar et al. 2018, Sec. 3.2; what is asked here stands open after Huber 2020, "Batch normalization in 3 levels of
understanding". Parry-Git's repository for the path; Jordan et al. 2023 (REPAIR) for statistics that do not fit between two
nets; Andreyev & Beneventano 2024 for curvature on mini-batches, which sits at 2 / learning rate with and without batch norm.
Command: TFDS_DATA_DIR=... python -m experiments long_horizon --preset cpu
Measured: preset cpu, three seeds, two cores beside other work, 18 minutes: ten learning rates of 0.1 along the gradient, the
loss is 12 times that at the start without BN and 1.4 times with it; from step to step the gradient changes 0.41 times as much
per distance with BN; after the start, in the median, neither net has a barrier between its weights now and 100 steps later.
Preset cpu_long, learning rate 0.1 alone, 5,500 steps, batch 128, three seeds, an hour beside other work: from step 4,000 on,
batch sharpness is 0.60 of 2 / learning rate with BN, where it still rises, and 0.77 without. All nets start from He
weights, from which the plain net learns at once; those of layer_dependence at learning rate 0.1, and of sensitivity at both,
are the same nets. A picture, about which nothing is claimed, shows the loss on the plane of the gradient and the weights 100
steps later, early and late, at the first learning rate, on the same images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments._config import BatchNorm, RunConfig, VGGRun, change, check, check_arms, check_numbers
from experiments._evidence.keep import IfMeasured, training
from experiments._nets import learning_rate
from experiments._presets import CPU, CPU_LONG, OVERNIGHT_SHORT, PAPER, SMOKE, arm, fields_of, with_and_without


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with batch norm, and the same net without, at several learning rates.

    Attributes:
        learning_rates: of SGD; they take the place of the optimiser's.
    """

    learning_rates: tuple[float, ...] = (0.1, 0.01)

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "one or more different numbers > 0 and finite", lambda x: 0 < x < 1e30, "learning_rates")
        check_arms(self, "learning_rates")
        check(type(self.norm) is BatchNorm, "norm", "batch, whose effect is measured", self.norm.kind)
        rule = "sgd, whose steps are learning rates along minus the gradient"
        check(self.optimizer.name == "sgd", "optimizer.name", rule, self.optimizer.name)
        check(not self.optimizer.momentum, "optimizer.momentum", f"0: {rule}", self.optimizer.momentum)


def _measured(run: VGGRun, num_examples: int, batches: int, planes: tuple[int, ...], **further: Any) -> Config:
    """Start from He weights, look ahead on some images, scan planes at some steps, and measure some batches' sharpness.

    Further settings are keyed by probe.
    """
    measuring = change(run, model={"kernel_init": "he_normal"}).measuring("horizon", "plane", "batch_sharpness")
    probes = {
        "horizon": {"num_examples": num_examples},
        "plane": {"num_examples": num_examples, "steps": planes},
        "batch_sharpness": {"batches": batches},
    }
    return Config(**fields_of(change(change(measuring, probes=probes), probes=further)))


_FEW_AHEAD: dict[str, Any] = {
    "horizon": {"steps_ahead": (1, 2, 5), "num_points": 3},
    "plane": {"steps_ahead": 5, "num_points": 4},
}
PRESETS = {
    "cpu": _measured(change(CPU, schedule={"probe_every": 250}), 128, 8, (250, 750)),
    "cpu_long": change(
        _measured(change(CPU_LONG, schedule={"probe_every": 500}), 128, 8, (500, 5000)), learning_rates=(0.1,)
    ),
    "smoke": _measured(SMOKE, 32, 1, (10, 30), **_FEW_AHEAD),
    "overnight": _measured(change(OVERNIGHT_SHORT, schedule={"probe_every": 500}), 256, 8, (500, 5000)),
    "paper": _measured(change(PAPER, seeds=(0, 1, 2), schedule={"probe_every": 500}), 2048, 8, (500, 14_500)),
}


def _short(values: Any) -> Any:
    """Round to five significant digits, at any nesting depth."""
    return [*map(_short, values)] if isinstance(values, list) else values and float(f"{values:.5g}")


def _ahead(record: Mapping[str, Any], _rank: int) -> dict[str, Any]:
    """Keep the whole record, rounded to five digits."""
    return {name: values if name == "step" else _short(values) for name, values in record.items()}


def _sharpness(record: Mapping[str, Any], _rank: int) -> dict[str, Any]:
    """Keep only the averages over batches."""
    return {"step": record["step"], "sharpness": _short(record.get("sharpness", []))}


def _plane(record: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """Keep the planes of each net's first run only, rounded to five digits."""
    return {"step": []} if rank else _ahead(record, rank)


KEEP: dict[str, Any] = {
    "arms": {
        "train": training(250, "loss", "accuracy"),
        "horizon": _ahead,
        "batch_sharpness": _sharpness,
        "plane": IfMeasured(_plane),
    }
}


def _planes_at(run: VGGRun, config: Config) -> VGGRun:
    """Measure planes at the first learning rate only."""
    has_planes = run.optimizer.learning_rate == config.learning_rates[0]
    return run.measuring(*(kind for kind in run.probes.kinds if kind != "plane" or has_planes))


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets by learning rate, with batch norm and without."""
    return {
        "arms": {
            learning_rate(rate).arm(net): _planes_at(arm(run, optimizer={"learning_rate": rate}), config)
            for rate in config.learning_rates
            for net, run in with_and_without(config).items()
        }
    }
