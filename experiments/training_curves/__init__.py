"""Accuracy while a VGG trains: without batch norm, with it everywhere, and after the fourth convolution only.

Claim: with batch norm the net trains faster, ends with a higher test accuracy, and still trains at a learning rate at which the
plain net does not; one batch norm is enough for a good part of that.
Source: Santurkar et al. 2018, Fig. 1a, 1b and 3a; presets mameli: the seed repository, whose batch norm follows the fourth
convolution alone; alx: a replication with Adam.
Command: TFDS_DATA_DIR=... python -m experiments training_curves --preset cpu
Measured: preset cpu, three seeds, two cores, 8 minutes: after 1,000 steps at learning rate
0.1 test accuracy 57.8 % with BN, 48.4 % with one after layer 4, 40.5 % without; at 0.5 the net without BN guesses. The other
presets wait for an accelerator.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._presets import ALX, CPU, MAMELI, PAPER, SMOKE, arm
from experiments._config import Options, RunConfig, VGGRun, check_numbers


@dataclass(frozen=True)
class Config(VGGRun):
    """A VGG with and without batch norm, at several learning rates.

    Attributes:
        learning_rates: of which each net is trained with every one; they take the place of `learning_rate`.
    """

    learning_rates: tuple[float, ...] = (0.01, 0.1, 0.5)

    def __post_init__(self):
        super().__post_init__()
        rule = "one or more different numbers > 0 and finite"
        check_numbers(self, rule, lambda x: 0 < x < float("inf"), "learning_rates")


PRESETS = {
    "cpu": Config(**CPU),
    "smoke": Config(**SMOKE, learning_rates=(0.1, 0.5)),
    "mameli": Config(**{**MAMELI, "norm_layers": "all"}, learning_rates=(0.01,), recalibrated_tests=True),
    "alx": Config(**ALX, learning_rates=(5e-4, 1e-3, 3e-3), recalibrated_tests=True),
    "paper": Config(**PAPER, seeds=(0, 1, 2), recalibrated_tests=True),
}

NETS = {"plain": {"norm": "none"}, "batch_norm": {}, "batch_norm_4": {"norm_layers": (4,)}}


def arms(config: Config) -> dict[str, RunConfig]:
    """Name every net and learning rate."""
    return {
        f"{net}_{rate:g}": arm(config, learning_rate=rate, **changes)
        for rate in config.learning_rates
        for net, changes in NETS.items()
    }


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net at every learning rate; return the data of the figure."""
    from experiments._training.experiment import train_all

    return train_all({"arms": arms(config)}, options)


def by_rate(data: dict[str, Any]) -> dict[float, dict[str, Any]]:
    """Sort the arms: by learning rate, then by net."""
    rates = data["config"]["learning_rates"]
    return {rate: {net: data["arms"][f"{net}_{rate:g}"] for net in NETS} for rate in rates}


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table."""
    from experiments._numbers import accuracy as accuracy_numbers
    from experiments._numbers import curves

    arms = {
        f"{curves.LABELS[net]}, {rate:g}": runs for rate, nets in by_rate(data).items() for net, runs in nets.items()
    }
    return "\n".join(
        [
            "",
            *accuracy_numbers.table(arms),
            f"Each row is a net and its learning rate; medians over {curves.count_seeds(data)}. Steps: until the median of",
            "five points of the training curve is as high. Train: mean of the last 50 batches. A run that diverged guesses.",
            *curves.divergences(arms),
        ]
    )


def plot(data: dict[str, Any]) -> Any:
    """Draw accuracy over training for each learning rate, and how fast and how well each net learnt."""
    from experiments._figures.training_curves import training_figure

    return training_figure(data)


def findings(data: dict[str, Any]) -> str:
    """Say how well the nets did at each learning rate, and how fast."""
    from experiments._numbers.accuracy import MEASURES, over_runs, percent, steps

    config = data["config"]

    def listed(net: str) -> str:
        return _list(percent(over_runs(nets[net], MEASURES["test"]).middle) for nets in by_rate(data).values())

    def reached(net: str) -> str:
        counts = {rate: over_runs(nets[net], MEASURES["steps to 50 %"]).middle for rate, nets in by_rate(data).items()}
        known = {f"{rate:g}": steps(count) for rate, count in counts.items() if math.isfinite(count)}
        if not known:
            return f"not within {config['num_steps']:,} steps"
        alone = "" if len(known) == len(counts) else f" at learning rate {_list(known)} alone"
        return f"after {_list(known.values())} steps{alone}"

    rates = _list(f"{rate:g}" for rate in config["learning_rates"])
    found = (
        f"After {config['num_steps']:,} steps at learning rate {rates} the net answers {listed('batch_norm')} of the test "
        f"images correctly with batch norm, {listed('batch_norm_4')} with one after layer 4, and {listed('plain')} without. "
        f"A training accuracy of 50 % is reached {reached('batch_norm')} with batch norm, and {reached('plain')} without it."
    )
    runs = [run for runs in data["arms"].values() for run in runs]
    num_diverged = sum(run["diverged_at"] is not None for run in runs)
    return found + f" {num_diverged} of {len(runs)} runs diverged and count as guesses." * bool(num_diverged)


def _list(words: Iterable[str]) -> str:
    """Join words as a sentence does."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
