"""Internal covariate shift: how the step of earlier layers changes a layer's gradient, with and without batch norm.

Claim: networks with batch norm have as much of it as those without, or more, and yet train better.
Source: Santurkar et al. 2018, Sec. 2.2, Fig. 3, Definition 2.1, Appendix A.1; Mameli's repository, which compares with a second
net that has a random classifier of its own; a replication with Adam that finds the opposite.
Command: TFDS_DATA_DIR=... python -m experiments covariate_shift --preset cpu
Measured: preset cpu, three seeds and ten draws, 53 minutes of runs, most on one core, shared with landscape in part: layer 5
of the VGG has 2.2 times the shift with BN at learning rate 0.1, and over the first 300 steps 1,090 times at 0.01. Preset
evening, a quarter of the width, 5,000 steps, an hour that it shares with three other subjects: layer 5 has 1.0 times the shift,
layer 10 0.67 times; in the deep linear network of the other reading, the step of earlier layers turns the gradient of layer 17
(median cosine -0.89 without BN, published -0.89 to -0.98; 0.96 by the usual reading); preset full_width_evening, the whole
width, one seed, 3,500 steps: 1.5 and 0.92 times. Preset cpu_long, an eighth of the width, learning rate 0.01, batch 128, 11,000
steps, 88 minutes beside other work: 2.5 times over steps 50 to 3,500, of which the plain net stays within 0.02 of the loss of
guessing for 800, and 1.7 times from step 4,500 on.
Presets mameli and paper wait for an accelerator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from experiments._config import DeepLinearRun, RunConfig, VGGRun, change, check_arms, check_numbers
from experiments._evidence.keep import Arms, Draws, IfMeasured, by_layer, training, whole
from experiments._nets import learning_rate
from experiments._presets import (
    CPU,
    CPU_LONG,
    DEEP_LINEAR,
    EVENING,
    FULL_WIDTH,
    FULL_WIDTH_EVENING,
    MAMELI,
    MANY_DRAWS,
    OVERNIGHT,
    OVERNIGHT_ALX,
    OVERNIGHT_MAMELI,
    PAPER,
    SMOKE,
    SMOKE_DEEP_LINEAR,
    arm,
    measuring_only,
    unhalved,
    with_and_without,
)


@dataclass(frozen=True)
class Config:
    """A VGG and a deep linear network, each with several optimisers.

    Attributes:
        vgg: the VGG.
        vgg_optimizers: pairs of optimiser and learning rate, which take the place of the VGG's.
        deep_linear: the deep linear network.
        deep_linear_rates: learning rates, which take the place of the deep linear network's; if empty, there are no such nets.
        both_readings: train it also as the source can be read otherwise: without the half in the loss, from larger initial
            matrices.
    """

    vgg: VGGRun
    deep_linear: DeepLinearRun
    vgg_optimizers: tuple[tuple[Literal["sgd", "adam"], float], ...] = (("sgd", 0.1), ("sgd", 0.01), ("adam", 1e-3))
    deep_linear_rates: tuple[float, ...] = (1e-6, 1e-7)
    both_readings: bool = False

    def __post_init__(self):
        if self.deep_linear_rates:
            rule = "one or more different numbers > 0 and finite, or none"
            check_numbers(self, rule, lambda x: 0 < x < float("inf"), "deep_linear_rates")
        rule = "one or more different pairs of an optimiser and a learning rate > 0 and finite"
        check_numbers(self, rule, lambda pair: 0 < pair[1] < float("inf"), "vgg_optimizers")
        check_arms(self, "deep_linear_rates", "vgg_optimizers")


def _vgg(preset: VGGRun) -> VGGRun:
    return preset.measuring("shift", "dummy_shift")


PRESETS = {
    "cpu": Config(_vgg(CPU), DEEP_LINEAR),
    "smoke": Config(_vgg(SMOKE), SMOKE_DEEP_LINEAR.measuring("shift"), vgg_optimizers=(("sgd", 0.1),)),
    "mameli": Config(_vgg(MAMELI), MANY_DRAWS, vgg_optimizers=(("sgd", 0.01),)),
    # Only learning rate 0.01, for as many steps as were read off the published curve.
    "cpu_long": Config(
        _vgg(change(CPU_LONG, schedule={"num_steps": 11000})),
        DEEP_LINEAR,
        vgg_optimizers=(("sgd", 0.01),),
        deep_linear_rates=(),
    ),
    "evening": Config(
        _vgg(EVENING), MANY_DRAWS, vgg_optimizers=(("sgd", 0.1),), deep_linear_rates=(1e-6,), both_readings=True
    ),
    "full_width_evening": Config(
        _vgg(FULL_WIDTH_EVENING), DEEP_LINEAR, vgg_optimizers=(("sgd", 0.1),), deep_linear_rates=()
    ),
    "overnight": Config(_vgg(OVERNIGHT), MANY_DRAWS, vgg_optimizers=(("sgd", 0.1), ("sgd", 0.01)), both_readings=True),
    "overnight_mameli": Config(_vgg(OVERNIGHT_MAMELI), MANY_DRAWS, vgg_optimizers=(("sgd", 0.01),)),
    "overnight_alx": Config(_vgg(OVERNIGHT_ALX), MANY_DRAWS, vgg_optimizers=(("adam", 1e-3),)),
    "full_width": Config(_vgg(FULL_WIDTH), MANY_DRAWS, vgg_optimizers=(("sgd", 0.1),)),
    "paper": Config(_vgg(change(PAPER, seeds=(0, 1, 2))), MANY_DRAWS),
}


def _read(arms: Arms) -> tuple[Sequence[Any], Sequence[Any]]:
    from experiments.covariate_shift.quantities import of_linear_nets

    return of_linear_nets(arms)


_SHIFT = by_layer("difference", "relative_difference", "cosine")
_DRAWS = Draws({"train": training(200, "loss"), "shift": _SHIFT}, _read)
KEEP = {
    "arms": {"train": training(200, "loss", "accuracy"), "shift": _SHIFT, "dummy_shift": whole},
    "deep_linear": IfMeasured(_DRAWS),
    "unhalved": IfMeasured(_DRAWS),
}


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the VGGs by net, optimiser and learning rate, and the deep linear networks by net and learning rate."""
    vgg, linear = config.vgg, config.deep_linear
    vggs = {
        learning_rate(rate, optimizer).arm(net): arm(run, optimizer={"name": optimizer, "learning_rate": rate})
        for optimizer, rate in config.vgg_optimizers
        for net, run in with_and_without(vgg).items()
    }
    # At their own learning rate they also take the measurements of other subjects, so one training serves all.
    own, alone = linear.optimizer.learning_rate, measuring_only(linear, "shift")
    linears = {
        learning_rate(rate).arm(net): arm(run, optimizer={"learning_rate": rate})
        for rate in config.deep_linear_rates
        for net, run in with_and_without(linear if rate == own else alone).items()
    }
    others = with_and_without(unhalved(linear)) if config.both_readings else {}
    return {"arms": vggs, "deep_linear": linears, "unhalved": others}
