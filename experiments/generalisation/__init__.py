"""At similar training loss, does a flat landscape go with a small gap between training and test, and what does batch norm do?

Claim: flat minima generalise better, and batch norm's smoother landscape may lead to them; or batch norm generalises better
because it allows larger learning rates, so that at the plain net's own learning rate it should not.
Source: open after Huber 2020, "Batch normalization in 3 levels of understanding"; Keskar et al. 2017 for flat minima; Bjorck et
al. 2018 for learning rates.
Counter-examples: Kaur et al. 2023, in whose nets batch norm generalises better without smaller largest eigenvalues;
Andriushchenko et al. 2023, for whom sharpness goes with the learning rate rather than with generalisation; Dimitriou &
Arandjelovic 2020, whose ghost batch norm generalises as well on a less smooth landscape. One that is not measured here, as it
needs another way of training: Mueller et al. 2023 (arXiv 2306.04226) improve generalisation by sharpness-aware steps of the
normalisers' parameters alone, and these make the landscape sharper.
Command: TFDS_DATA_DIR=... python -m experiments generalisation --preset cpu
Measured: preset cpu, three seeds, two cores beside other work, 9 minutes: at a training loss of 0.1, over all nets, a smaller
largest eigenvalue goes with a smaller gap between test and training error (rank correlation 0.62), a smaller trace more so
(0.86); the gap is 7.5 points smaller at learning rate 0.3 than at 0.03 with BN, and at equal learning rates no smaller with BN
than without. Nets are compared at the first measurement at which the loss of their training images is 0.5, 0.1 and, beyond
preset cpu, 0.01 or less. At cpu, they learn 512 images, measured every epoch; at overnight, the nets at learning rate 0.1 are
those of regularisation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments._config import (
    BatchNorm,
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
from experiments._evidence.keep import training
from experiments._nets import Setting, learning_rate
from experiments._presets import PAPER, SMOKE, arm, fields_of


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG without batch norm, with it, and with batch norm over parts of a batch, at several learning rates.

    Attributes:
        learning_rates: of SGD, with batch norm and without; they take the place of the optimiser's.
        larger_rates: further, larger ones, with batch norm only.
        ghost_sizes: examples per part of a batch; these nets have the optimiser's learning rate.
        plain_steps: steps of the nets without batch norm, which take longer to learn their images.
    """

    learning_rates: tuple[float, ...] = (0.03, 0.1)
    larger_rates: tuple[float, ...] = (0.3, 1.0)
    ghost_sizes: tuple[int, ...] = (4, 16, 64)
    plain_steps: int = 4001

    def __post_init__(self):
        super().__post_init__()
        rates, batch = (*self.learning_rates, *self.larger_rates), self.optimizer.batch_size
        rule = "one or more different numbers > 0 and finite"
        check_numbers(self, rule, lambda x: 0 < x < float("inf"), "learning_rates")
        check_arms(self, "learning_rates")
        are_larger = all(max(self.learning_rates) < rate < float("inf") for rate in self.larger_rates)
        is_distinct = len({learning_rate(rate).suffix for rate in rates}) == len(rates)
        rule = f"none, or different numbers above {max(self.learning_rates)} and finite"
        check(are_larger and is_distinct, "larger_rates", rule, self.larger_rates)
        rule = f"one or more different divisors of the batch size, {batch:,}, and smaller"
        check_numbers(self, rule, lambda x: 1 <= x < batch and batch % x == 0, "ghost_sizes")
        check_numbers(self, "at least 1", lambda x: x >= 1, "plain_steps")
        check(type(self.norm) is BatchNorm, "norm", "batch, whose effect is measured", self.norm.kind)
        check(self.optimizer.name == "sgd", "optimizer.name", "sgd, whose learning rates vary", self.optimizer.name)
        own = self.optimizer.learning_rate
        check(own in rates, "optimizer.learning_rate", f"one of {rates}, at which ghosts are compared", own)


def _measured(run: VGGRun, **flatness: Any) -> dict[str, Any]:
    """Start from He weights, from which the plain net learns at once, and measure flatness alone."""
    run = change(run, model={"kernel_init": "he_normal"}).measuring("flatness")
    return fields_of(change(run, probes={"flatness": flatness}))


# A measurement at a step is taken before its update.
_CPU: VGGRun = change(
    VGGRun(seeds=(0, 1, 2), data=Images(image_size=32, subset=512)),
    model={"width": 0.125},
    optimizer={"batch_size": 64},
    schedule=Schedule(num_steps=640, eval_every=640, probe_every=8),
)
_SMOKE: VGGRun = change(SMOKE, data={"subset": 160}, schedule=Schedule(num_steps=40, eval_every=20, probe_every=20))
# The same nets as in regularisation.
_OVERNIGHT: VGGRun = change(
    _CPU,
    data={"subset": 10_000},
    model={"width": 0.25},
    optimizer={"batch_size": 256},
    schedule=Schedule(num_steps=4001, eval_every=4000, probe_every=50, recalibrated_tests=True),
)
_PAPER: VGGRun = change(
    PAPER,
    seeds=(0, 1, 2),
    optimizer={"batch_size": 256},
    schedule=Schedule(num_steps=15_001, eval_every=1000, probe_every=100, recalibrated_tests=True),
)
PRESETS = {
    "cpu": Config(**_measured(_CPU, levels=(0.5, 0.1), curvature_examples=128), ghost_sizes=(16, 32), plain_steps=720),
    # Untrained nets are below this level already, so that everything is measured.
    "smoke": Config(
        **_measured(_SMOKE, levels=(9.0,), num_examples=64, curvature_examples=16, num_vectors=2, num_directions=2),
        learning_rates=(0.1,),
        larger_rates=(0.3,),
        ghost_sizes=(4,),
        plain_steps=40,
    ),
    "overnight": Config(**_measured(_OVERNIGHT, num_examples=2560)),
    "paper": Config(**_measured(_PAPER, num_examples=10_240, curvature_examples=2048), plain_steps=15_001),
}


def _short(values: Iterable[Any]) -> list[Any]:
    """Round to five significant digits; None marks a number not measured."""
    return [value if value is None else float(f"{value:.5g}") for value in values]


def _flatness(record: Mapping[str, Any], _rank: int) -> dict[str, Any]:
    """Keep the whole record, rounded to five digits."""
    return {name: values if name == "step" else _short(values) for name, values in record.items()}


KEEP: dict[str, Any] = {"arms": {"train": training(100, "loss", "accuracy"), "flatness": _flatness}}


def ghosts(size: int) -> Setting:
    """Return the setting for a ghost batch size."""
    return Setting(f"{size}", f"ghosts of {size}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets, one arm each: plain and batch norm by learning rate, ghost batch norm by size, ascending."""
    rates = {net: sorted(config.learning_rates) for net in ("plain", "batch_norm")}
    rates["batch_norm"] += sorted(config.larger_rates)
    longer = {"num_steps": config.plain_steps}
    varied: dict[str, dict[str, Any]] = {"plain": {"norm": NoNorm(), "schedule": longer}, "batch_norm": {}}
    arms = {
        learning_rate(rate).arm(net): arm(config, **varied[net], optimizer={"learning_rate": rate})
        for net, own in rates.items()
        for rate in own
    }
    for size in sorted(config.ghost_sizes):
        norm = GhostBatchNorm.like(config.norm, ghost_size=size, running_var="whole_batch")
        arms[ghosts(size).arm("ghost")] = arm(config, norm=norm)
    return {"arms": arms}
