"""The loss landscape along the gradient while a VGG trains, with and without batch norm.

Claim: along the gradient, with batch norm the loss varies less, the gradient changes less ("gradient predictiveness") and
changes less per distance ("effective smoothness"); meanwhile the net learns faster.
Source: Santurkar et al. 2018, Sec. 3.2, Fig. 1 and 4; preset mameli: the setting of Mameli's repository, whose batch norm
follows the fourth convolution alone; alx: that of a replication with Adam, which, like another one with SGD, compares runs of
several learning rates instead of points along the gradient.
Command: TFDS_DATA_DIR=... python -m experiments landscape --preset cpu
Measured: preset cpu, three seeds and ten draws, 42 minutes of runs, most on one core, 17 of them for deep linear
networks that covariate_shift and lp_norms share: in steps 80 to 1,000 the loss varies 3.0 times, the gradient 1.8 times as
much along the gradient without BN; at step 0 the net with BN is the rougher one. Preset evening, a quarter of the width,
5,000 steps, three seeds, 64 draws, two hours and a quarter beside other work, half of them for the draws: in steps 80 to 3,500
the loss varies 6.9 times, the gradient 2.7 times as much without BN (published 2.3 to 7.9, and 1.8 to 3.9); the effective
smoothness is 1.1 times as large (1.06 to 1.3). Deep linear networks of the other reading explode early, as the published one
does, 15 of 64 for good: without BN the gradient changes 10 million times as much in steps 150 to 700, and the plain net ends at
1.03 times 2 / learning rate (published 1.0); by the usual reading 130 times and 0.49 times. Preset
full_width_evening, one seed, 3,500 steps, 1.7 hours beside other work: the loss varies 4.2 times, the gradient 1.9 times as
much, and the effective smoothness is 0.97 times as large. Preset cpu_long, an eighth of the width, 15,000 steps, 3.2 hours of
runs on one core each: from step 9,000 on both nets end at the published plateau of 20, to within 5 %; scans that begin at half
the smallest step end 1.7 times as high, so that this step sets it; the loss still varies 12 times as much without BN, where
the published nets, which fit all images, end level. Presets mameli, alx and paper wait for an accelerator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments._config import DeepLinearRun, RunConfig, Schedule, VGGRun, change, check, check_arms, check_numbers
from experiments._evidence.keep import Arms, Draws, IfMeasured, by_layer, scans, training, whole
from experiments._presets import (
    ALX,
    CPU,
    CPU_WHOLE,
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
    SMOKE_MULTIPLES,
    TEN_DRAWS,
    arm,
    scanning,
    unhalved,
    with_and_without,
)


@dataclass(frozen=True)
class Config:
    """A VGG and a deep linear network.

    Attributes:
        vgg: the VGG.
        deep_linear: the deep linear network.
        short_multiples: step sizes of the runs that distinguish the edge of stability from a saturated metric; the smallest
            one is half the usual one. A plateau of the effective smoothness at 1 / smallest step then doubles; one at
            2 / learning rate stays. If empty, there are no such runs.
        short_every: steps between these scans; by default, the same as for all others.
        rates: learning rates of further VGGs with the same initial weights and the same batches; at each step, their losses
            span a band. If empty, there are no such VGGs.
        rates_steps: maximum number of steps of these VGGs; by default, the 20 epochs of the replication.
        both_readings: train the deep linear network also as the source can be read otherwise: without the half in the loss,
            from larger initial matrices.
    """

    vgg: VGGRun
    deep_linear: DeepLinearRun
    short_multiples: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    short_every: int | None = None
    rates: tuple[float, ...] = ()
    rates_steps: int = 20 * 390
    both_readings: bool = False

    def __post_init__(self):
        if self.short_multiples:
            rule = "one or more different numbers > 0 and finite, or none"
            check_numbers(self, rule, lambda x: 0 < x < float("inf"), "short_multiples")
        is_band = len(set(self.rates)) == len(self.rates) != 1
        is_usable = all(0 < rate < float("inf") for rate in self.rates)
        check(is_band and is_usable, "rates", "none, or two or more different numbers > 0 and finite", self.rates)
        check_arms(self, "rates")
        tested = self.vgg.schedule.eval_every
        is_even = self.short_every is None or (self.short_every >= 1 and tested % self.short_every == 0)
        check(is_even, "short_every", f"a divisor of vgg.schedule.eval_every, {tested}", self.short_every)
        check(self.rates_steps >= 1, "rates_steps", "at least 1", self.rates_steps)


_PROBES = ("landscape", "random_direction", "successive_gradients")
_SGD_RATES = (0.05, 0.1, 0.2)  # from Kevin-LD's replication; Adam's are from AlexeyGB's
# Adam's learning rates are a hundredth of SGD's; with these multiples the scans reach as far.
_ADAM_RATES = (1e-4, 5e-4, 1e-3, 2e-3)
_ADAM_STEPS = (50.0, 100.0, 200.0, 400.0)


def _vgg(preset: VGGRun, **changes: Any) -> VGGRun:
    return change(preset.measuring(*_PROBES), **changes)


def _long(preset: VGGRun) -> VGGRun:
    return preset.measuring(*_PROBES, "batch_sharpness")


_CPU = _vgg(CPU, schedule=Schedule(num_steps=1500, eval_every=500, probe_every=50))
_ALX = _vgg(ALX, optimizer={"learning_rate": 1e-3}, schedule={"probe_every": 130})
PRESETS = {
    "cpu": Config(_CPU, DEEP_LINEAR, rates=_SGD_RATES, rates_steps=1000),
    "smoke": Config(
        scanning(_vgg(SMOKE), step_multiples=SMOKE_MULTIPLES),
        SMOKE_DEEP_LINEAR.measuring("landscape"),
        (0.25, 2.0),
        rates=(0.05, 0.2),
    ),
    "mameli": Config(_vgg(MAMELI), MANY_DRAWS),
    "alx": Config(
        scanning(_ALX, step_multiples=_ADAM_STEPS),
        MANY_DRAWS,
        (25.0, *_ADAM_STEPS),
        rates=_ADAM_RATES,
        rates_steps=ALX.schedule.num_steps,
    ),
    "cpu_long": Config(_long(CPU_WHOLE), TEN_DRAWS, short_every=500),
    "evening": Config(_long(EVENING), MANY_DRAWS, short_multiples=(), both_readings=True),
    "overnight": Config(_long(OVERNIGHT), MANY_DRAWS, short_every=500, both_readings=True),
    "overnight_mameli": Config(_long(OVERNIGHT_MAMELI), MANY_DRAWS, short_every=390),
    "overnight_alx": Config(
        scanning(_long(OVERNIGHT_ALX), step_multiples=_ADAM_STEPS),
        MANY_DRAWS,
        (25.0, *_ADAM_STEPS),
        short_every=390,
        rates=_ADAM_RATES,
    ),
    "full_width": Config(_long(FULL_WIDTH), MANY_DRAWS, short_every=500),
    "full_width_evening": Config(_long(FULL_WIDTH_EVENING), TEN_DRAWS, short_multiples=()),
    "paper": Config(scanning(_vgg(PAPER, seeds=(0, 1, 2)), penalty=True), MANY_DRAWS, rates=_SGD_RATES),
}


def _first_and_all(record: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """Keep the first layer, and the step-to-step changes of all parameters together."""
    layers = {**by_layer(first=True)(record, rank)["layers"]}
    moved = record.get("layers", {}).get("all", {})
    changes = {name: moved[name] for name in ("step_distance", "step_length", "step_smoothness") if name in moved}
    return {**record, "layers": {**layers, "all": changes} if changes else layers}


def _read(_arms: Arms) -> tuple[Sequence[Any], Sequence[Any]]:
    from experiments.landscape.measures import CURVES_OF_LINEAR_NETS, MEASURES_OF_LINEAR_NETS

    return MEASURES_OF_LINEAR_NETS, CURVES_OF_LINEAR_NETS


_SCANS = scans("loss", "gradient_norm", "gradient_distance", "smoothness")
_ENDS = scans("loss", "gradient_distance", "smoothness", ends=True)
_DRAWS = Draws({"landscape": _ENDS, "random_direction": IfMeasured(_ENDS)}, _read)
# Parts of a run kept in the data file: of the short scans only the smoothness, of several rates the last layer's gradient.
KEEP = {
    "arms": {
        "train": training(1000, "loss", "loss_change", "accuracy"),
        "landscape": _SCANS,
        "random_direction": _SCANS,
        "successive_gradients": _first_and_all,
        "batch_sharpness": IfMeasured(whole),
    },
    "short": IfMeasured({"landscape": scans("smoothness")}),
    "deep_linear": _DRAWS,
    "unhalved": IfMeasured(_DRAWS),
    "multirun": IfMeasured(
        {"train": training(100, "loss"), "successive_gradients": by_layer("step_distance", first=True)}
    ),
}


def rate_arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets at several learning rates, by net and rate; only their last layers' gradients are compared."""
    steps = min(config.rates_steps, config.vgg.schedule.num_steps)
    last = {"layers": (config.vgg.model.num_layers,)}
    alone = config.vgg.measuring("successive_gradients")
    run = change(alone, schedule={"num_steps": steps}, probes={"successive_gradients": last})
    return {
        f"{net}_{rate:g}": arm(net_run, optimizer={"learning_rate": rate})
        for rate in config.rates
        for net, net_run in with_and_without(run).items()
    }


def short_arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets whose scans start at a smaller step; empty if no such steps are configured."""
    if not config.short_multiples:
        return {}
    short = scanning(config.vgg.measuring("landscape"), step_multiples=config.short_multiples)
    return with_and_without(
        change(short, schedule={"probe_every": config.short_every}) if config.short_every else short
    )


def groups(config: Config) -> dict[str, Mapping[str, RunConfig]]:
    """Name all nets."""
    return {
        "arms": with_and_without(config.vgg),
        "short": short_arms(config),
        "deep_linear": with_and_without(config.deep_linear),
        "unhalved": with_and_without(unhalved(config.deep_linear)) if config.both_readings else {},
        "multirun": rate_arms(config),
    }
