"""Multilayer perceptrons of sigmoids on MNIST, with and without batch norm: accuracy, and what goes into the last sigmoids.

Claim: with batch norm the net reaches a higher test accuracy, faster, and the distributions of what goes into its sigmoids are
more stable.
Source: Ioffe & Szegedy 2015, Sec. 4.1, Fig. 1, whose learning rate and scale of weights are not stated; Huber 2020, whose nets
begin with large weights and whose batch norm divides the variance by the batch's size once too often.
Command: TFDS_DATA_DIR=... python -m experiments mnist_mlp --preset cpu
Measured: preset cpu, three seeds, two cores, 5 minutes: after 50,000 steps test accuracy
97.6 % with BN, 97.2 % without. Preset paper has not been run.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._presets import arm, with_and_without
from experiments._config import MLPRun, Options, RunConfig


@dataclass(frozen=True)
class Config:
    """A network in two settings.

    Attributes:
        ioffe: that of Ioffe & Szegedy 2015.
        huber: that of Huber's replication (2020).
    """

    ioffe: MLPRun
    huber: MLPRun


_IOFFE = MLPRun(probes=("percentiles",), seeds=(0, 1, 2))
_HUBER = MLPRun(
    probes=("percentiles",),
    seeds=(0, 1, 2),
    preprocessing="meanstd",
    kernel_scale=1.0,
    learning_rate=0.01,
    momentum=0.9,
    num_steps=10_000,
    eval_every=100,
    probe_every=50,
)
_SMOKE: dict[str, Any] = {
    "dataset": "digits",
    "hidden": (30, 30, 30),
    "num_steps": 2000,
    "eval_every": 200,
    "probe_every": 100,
    "seeds": (0,),
}
_SEEDS: dict[str, Any] = {"seeds": tuple(range(10))}

PRESETS = {
    "cpu": Config(_IOFFE, _HUBER),
    "smoke": Config(arm(_IOFFE, **_SMOKE), arm(_HUBER, **_SMOKE)),
    "paper": Config(arm(_IOFFE, **_SEEDS), arm(_HUBER, **_SEEDS)),
}


# In which percentiles are normalised: with running statistics, and with those of batches.
WAYS = ("running", "batch")
_GROUPS = {"ioffe": "Ioffe & Szegedy", "huber": "Huber"}


def huber_arms(config: Config) -> dict[str, RunConfig]:
    """Name the nets of the second setting."""
    return {**with_and_without(config.huber), "huber": arm(config.huber, norm="huber")}


def run(config: Config, options: Options, _folder: Path) -> dict[str, Any]:
    """Train every net; return the data of the figure."""
    from experiments._training.experiment import train_all

    data = train_all({"ioffe": with_and_without(config.ioffe), "huber": huber_arms(config)}, options)
    for group in _GROUPS:
        for run in (run for runs in data[group].values() for run in runs):
            _trim(run, unused="layer" if group == "ioffe" else "unit")
    return data


def _trim(run: dict[str, Any], unused: str) -> None:
    """Leave out what neither figure nor claims take: training curves, losses, and some percentiles."""
    del run["train"], run["test"]["loss"]
    for way in WAYS:
        run["percentiles"].get(way, {}).pop(unused, None)
    run["percentiles"].get("batch", {}).pop("layer", None)


def plot(data: dict[str, Any]) -> Any:
    """Draw test error, percentiles over training, and how steady their medians are."""
    from experiments._figures.mnist_mlp import mnist_figure

    return mnist_figure(data)


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table: a column per setting and net."""
    from experiments._claims.measures import at_step, final
    from experiments._claims.mnist_mlp import first_test_at, of_layer, of_units
    from experiments._numbers import curves

    names = ("range", "variation", "roughness", "spread")
    num_seeds = len(data["config"]["ioffe"]["seeds"])
    rows = {
        **{f"test accuracy, step {step:,}": (at_step("test", step), 100) for step in (1000, 4000, 10_000)},
        "test accuracy at the end": (final("test"), 100),
        "steps to 95 %": (first_test_at(0.95), 1),
        **{f"a unit's {name}, {way}": (of_units(name, way), 1) for way in WAYS for name in names},
        **{f"the layer's {name}, running": (of_layer(name), 1) for name in names},
    }
    columns = {(group, net): runs for group in _GROUPS for net, runs in data[group].items()}
    heads = ["Huber's BN" if net == "huber" else curves.LABELS[net] for _, net in columns]
    return "\n".join(
        [
            "",
            f"{'':30}" + "".join(f"{name:^{12 * len(data[group])}}" for group, name in _GROUPS.items()).rstrip(),
            f"{'':30}" + "".join(f"{head:>12}" for head in heads),
            *(
                f"{label:30}" + "".join(f"{_cell(over_seeds(runs, measure), factor):>12}" for runs in columns.values())
                for label, (measure, factor) in rows.items()
            ),
            f"Medians over {num_seeds} seed{'s' * (num_seeds != 1)}; accuracies in per cent. Below: percentiles 15, 50 and 85 "
            "of what goes into the",
            "last sigmoids, from step 500 on, of each unit (median over units) or of all units together, as running statistics",
            "or batches normalise it, the same without a normaliser: range of the 50th; its variation, the sum of its changes",
            "per 1,000 steps; its roughness, the standard deviation around its moving average over 1,000 steps; and the",
            "spread, half the distance of the outer two.",
            *(line for group in _GROUPS for line in curves.divergences(data[group])),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Say how accurate the nets are in both settings, and how far the median of a unit moves."""
    from experiments._claims.measures import at_step, final
    from experiments._claims.mnist_mlp import of_units, spread_range

    def percent(group: str, net: str, measure: Any) -> str:
        return f"{100 * over_seeds(data[group][net], measure):.1f} %"

    def moves(net: str, way: str) -> str:
        return f"{over_seeds(data['ioffe'][net], of_units('range', way)):.2g}"

    num_steps = data["config"]["ioffe"]["num_steps"]
    early = min(4000, num_steps // 2)
    with_bn, without = (
        f"{percent('ioffe', net, at_step('test', early))} and {percent('ioffe', net, final('test'))}"
        for net in ("batch_norm", "plain")
    )
    huber = {net: percent("huber", net, final("test")) for net in data["huber"]}
    widths = {net: over_seeds(runs, spread_range) for net, runs in data["huber"].items()}
    runs = [run for group in _GROUPS for runs in data[group].values() for run in runs]
    num_diverged = sum(run["diverged_at"] is not None for run in runs)
    return (
        f"In the setting of Ioffe & Szegedy, after {early:,} and {num_steps:,} steps the net answers {with_bn} of the test "
        f"images correctly with batch norm, and {without} without; the median of what goes into one of its last sigmoids "
        f"moves over {moves('batch_norm', 'batch')} with batch norm as batches normalise it, over "
        f"{moves('batch_norm', 'running')} as running averages do, which lag behind, and over {moves('plain', 'running')} "
        f"without. "
        f"In Huber's, after {data['config']['huber']['num_steps']:,} steps it is {huber['plain']} without batch norm, "
        f"{huber['huber']} with his, whose variance is too small, and {huber['batch_norm']} with the usual one, while the "
        f"spread over all units moves by {widths['plain']:.2g}, {widths['huber']:.2g} and {widths['batch_norm']:.2g}."
    ) + f" {num_diverged} of {len(runs)} runs diverged." * bool(num_diverged)


def over_seeds(runs: list[dict[str, Any]], measure: Any) -> float:
    """Take the median of a measure over the runs that have it; NaN where none has."""
    from experiments._numbers.curves import median

    return median([measure(run) for run in runs])


def _cell(value: float, factor: float) -> str:
    """Write a number of the table."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "not reached"
    return f"{factor * value:.2f}" if factor == 100 else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
