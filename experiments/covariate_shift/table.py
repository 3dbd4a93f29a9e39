"""What table and findings take from measured covariate shift: medians over training, then over seeds."""

import math
from typing import Any

from experiments._claims.claim import TIMES, Format
from experiments._claims.measures import divide, final, median_of, pairs
from experiments._numbers import curves

Runs = list[dict[str, Any]]
QUANTITIES = {"difference": "|G - G'|", "relative_difference": "|G - G'| / |G|", "cosine": "cosine of G and G'"}
_SHORT = Format("z.3g")


def describe(setting: str) -> str:
    """Write out the name of a setting: an optimiser and a learning rate, or a learning rate alone."""
    optimizer, _, rate = setting.rpartition("_")
    name = {"sgd": "SGD, ", "adam": "Adam, "}.get(optimizer, "")
    return f"{name}learning rate {Format('g').number(float(rate))}"


def layers_of(runs: Runs) -> list[str]:
    """List the layers that were measured."""
    return next((list(run["shift"]["layers"]) for run in runs if run["shift"].get("step")), [])


def typical(runs: Runs, layer: str, name: str) -> float:
    """Take the median of a quantity of one layer over training, then over seeds."""
    return curves.median([median_of("shift", curves.of_layer(layer, name))(run) for run in runs])


def times(arms: dict[str, Runs], layer: str, name: str = "difference") -> float:
    """Divide with batch norm by without, seed by seed, and take the median."""
    measure = median_of("shift", curves.of_layer(layer, name))
    return curves.median(
        [divide(measure(run), measure(other)) for run, other in pairs(arms["batch_norm"], arms["plain"])]
    )


def floor(runs: Runs) -> float:
    """Say how much of the seed repository's measure is there when no layer has moved: a ratio of medians over training."""
    moved, still = (median_of("dummy_shift", f"{which}_difference") for which in ("step", "zero_step"))
    return curves.median([divide(still(run), moved(run)) for run in runs])


def table(data: dict[str, Any]) -> str:
    """Print a block per setting: a row per layer and quantity, a column per net, and how many times it is with BN."""
    lines = ["", f"{'':34}{'without BN':>12}{'with BN':>12}{'BN / without':>14}"]
    for setting, arms in curves.settings(data["arms"]).items():
        ends = [f"{100 * curves.median([final('test')(run) for run in runs]):.1f} %" for runs in _nets(arms)]
        lines += [f"VGG, {describe(setting)}", _row("test accuracy", ends), *_layer_rows(arms)]
        for which, words in (("step", "against a second net"), ("zero_step", "  no layer has moved")):
            measure = median_of("dummy_shift", f"{which}_difference")
            lines.append(_numbers(words, [curves.median([measure(run) for run in runs]) for runs in _nets(arms)]))
    for setting, arms in curves.settings(data["deep_linear"]).items():
        ends = [curves.final(runs, "train", "loss") for runs in _nets(arms)]
        lines += [f"Deep linear network, {describe(setting)}", _numbers("training loss at the end", ends)]
        lines += _layer_rows(arms)
    config = data["config"]
    counts = ", ".join(
        curves.plural(len(config[net]["seeds"]), noun) for net, noun in (("vgg", "seed"), ("deep_linear", "draw"))
    )
    return "\n".join(
        [
            *lines,
            f"Medians over all measurements of a training, then over seeds ({counts}).",
            *curves.divergences({**data["arms"], **data["deep_linear"]}),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Say in each setting how many times as much shift there is with batch norm, and what the second net adds."""
    vgg, deep_linear = (curves.settings(data[group]) for group in ("arms", "deep_linear"))
    layer = layers_of([run for runs in data["arms"].values() for run in runs])[0]
    ratios = [f"{TIMES.number(times(arms, layer))} times ({describe(name)})" for name, arms in vgg.items()]
    floors = [100 * floor(runs) for arms in vgg.values() for runs in _nets(arms)]
    last = layers_of([run for runs in data["deep_linear"].values() for run in runs])[-1]
    cosines = [
        f"{' and '.join(_SHORT.number(typical(runs, last, 'cosine')) for runs in _nets(arms))} at {describe(name)}"
        for name, arms in deep_linear.items()
    ]
    return (
        f"With batch norm, the covariate shift of {layer.replace('_', ' ')} in the VGG is {_join(ratios)} what it is without; "
        f"against a second net with its own classifier, {min(floors):.0f} to {max(floors):.0f} % of it are there before any "
        f"layer has moved. In the deep linear network, the cosine of {last.replace('_', ' ')}'s gradients before and after the "
        f"step is {_join(cosines)}, without and with batch norm."
    )


def _nets(arms: dict[str, Runs]) -> list[Runs]:
    """List the runs without and with batch norm."""
    return [arms["plain"], arms["batch_norm"]]


def _layer_rows(arms: dict[str, Runs]) -> list[str]:
    """Print what was measured of each layer; cosines are not divided."""
    rows = []
    for layer in layers_of([*arms["plain"], *arms["batch_norm"]]):
        for name, words in QUANTITIES.items():
            values = [typical(runs, layer, name) for runs in _nets(arms)]
            ratio = math.nan if name == "cosine" else times(arms, layer, name)
            rows.append(_numbers(f"{layer.replace('_', ' ')}, {words}", values, ratio))
    return rows


def _numbers(words: str, values: list[float], ratio: float | None = None) -> str:
    """Print a row of numbers and how many times the last one is the first."""
    ratio = divide(values[1], values[0]) if ratio is None else ratio
    return _row(words, [_SHORT.number(value) for value in values]) + f"{TIMES.number(ratio):>14}"


def _row(words: str, cells: list[str]) -> str:
    """Print a row."""
    return f"  {words:32}" + "".join(f"{cell:>12}" for cell in cells)


def _join(parts: list[str]) -> str:
    """List words."""
    return ", ".join(parts[:-1]) + " and " * (len(parts) > 1) + parts[-1]
