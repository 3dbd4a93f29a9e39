"""What table and findings take from the data of the experiment `landscape`."""

import math
from typing import Any

from experiments._claims.claim import TIMES, Claim, Format, judge
from experiments._claims.landscape import CLAIMS
from experiments._claims.measures import divide, highest, loss_range, median_of
from experiments._numbers import accuracy, curves, rates

_SHORT = Format("z.3g")
_LATE = {"final_share": 0.25}
# Rows of the table: words, group of arms, and what is measured of a run.
_VGG = (
    ("smoothness, last quarter", "arms", median_of("landscape", curves.effective_smoothness, **_LATE)),
    ("  smaller smallest step", "short", median_of("landscape", curves.effective_smoothness, **_LATE)),
    ("random: loss range", "arms", median_of("random_direction", loss_range)),
    ("random: smoothness", "arms", median_of("random_direction", curves.effective_smoothness)),
)
_SUCCESSIVE = {"step_sum": "|g + g'|", "relative_sum": "  / (|g| + |g'|)", "step_distance": "|g - g'|"}
_DEEP_LINEAR = (
    ("largest loss", curves.highest_loss),
    ("change of gradient", curves.farthest_gradient),
    ("effective smoothness", curves.effective_smoothness),
)
_RATES = (
    ("range of losses", "same_step", "width"),
    ("  equal rate x steps", "same_progress", "width"),
    ("largest |g - g'|", "gradient", "high"),
)


def table(data: dict[str, Any]) -> str:
    """Print the VGG's summary, then a row per further quantity: a column per net, and their ratio."""
    lines = [curves.table({**data, "config": data["config"]["vgg"]}), "", "VGG, further"]
    lines += [_row(words, data[group], measure) for words, group, measure in _VGG]
    layer = next(iter(data["arms"]["plain"][0]["successive_gradients"]["layers"]))
    lines.append(f"VGG, {layer.replace('_', ' ')}, successive gradients g', g")
    for name, words in _SUCCESSIVE.items():
        measure = median_of("successive_gradients", curves.of_layer(layer, name))
        lines.append(_row(words, data["arms"], measure))
    draws = curves.plural(len(data["config"]["deep_linear"]["seeds"]), "draw")
    lines.append(f"Deep linear network, {draws}, scans along the gradient")
    lines += [_row(words, data["deep_linear"], median_of("landscape", value)) for words, value in _DEEP_LINEAR]
    return "\n".join([*lines, *curves.divergences(data["deep_linear"]), *_rates(data)])


def _rates(data: dict[str, Any]) -> list[str]:
    """Print what was found of runs that differ in their learning rates alone; nothing where there are none."""
    if not data.get("multirun"):
        return []
    sizes = [f"{rate:g}" for rate in data["config"]["rates"]]
    lines = [f"VGG, runs of a seed at learning rate {', '.join(sizes)}; g', g of {rates.layer(data)}"]
    lines += [_row(words, rates.bands(data), median_of(kind, name)) for words, kind, name in _RATES]
    arms = data["multirun"]
    for size in sizes:
        best = [accuracy.over_runs(arms[f"{net}_{size}"], highest("test")).middle for net in rates.NETS]
        lines.append(f"{f'best test, {size}':24}" + "".join(f"{accuracy.percent(value):>12}" for value in best))
    named = {f"{curves.LABELS[net]}, {size}": arms[f"{net}_{size}"] for net in rates.NETS for size in sizes}
    return [*lines, *curves.divergences(named)]


def findings(data: dict[str, Any]) -> str:
    """Say how much more varies without batch norm, and what the plateau of the effective smoothness is."""
    start, later = _times(data, "rough_start"), _times(data, "predictiveness")
    last = min(3500, data["config"]["vgg"]["num_steps"])
    return (
        f"In steps 80 to {last:,} the loss of the VGG varies {_times(data, 'loss_range')} as much along the gradient without "
        f"batch norm as with it, and the gradient changes {later} as much; at step 0, {start} as much with batch norm"
        f"{_findings_of_rates(data)}. "
        f"From step 1,000 on the effective smoothness with batch norm is {_times(data, 'smoothness_plateau')} 2 / learning "
        f"rate, in the deep linear network {_times(data, 'deep_linear_edge')}{_findings_of_plateau(data)}."
    )


def _findings_of_plateau(data: dict[str, Any]) -> str:
    """Say whether the VGG has come to a plateau, and if so, where that is with another smallest step."""
    claim = _claim("smoothness_saturates")
    value = judge(claim, data).median
    if math.isnan(value):
        return "; the VGG has not come to a plateau there, so that it is open whether the smallest step of the scan sets it"
    return (
        f"; in the VGG it ends {claim.format.number(value)} times as high where the smallest step of the scan is halved"
    )


def _findings_of_rates(data: dict[str, Any]) -> str:
    """Say how far apart the losses of several learning rates are; nothing where there are no such runs."""
    if not data.get("multirun"):
        return ""
    *first, last = (f"{rate:g}" for rate in data["config"]["rates"])
    return (
        f"; of runs at learning rates {', '.join(first)} and {last}, the losses at a step lie {_times(data, 'rates_loss')} as "
        f"far apart without batch norm as with it"
    )


def _claim(name: str) -> Claim:
    """Find a claim."""
    (claim,) = (claim for claim in CLAIMS if claim.name == f"landscape_{name}")
    return claim


def _times(data: dict[str, Any], name: str) -> str:
    """Write the median of a claim's statistic."""
    value = judge(_claim(name), data).median
    return "an unknown number of times" if math.isnan(value) else f"{TIMES.number(value)} times"


def _row(words: str, arms: dict[str, list[dict]], measure: Any) -> str:
    """Print medians over seeds and their ratio."""
    values = [curves.median([measure(run) for run in runs]) for runs in arms.values()]
    cells = "".join(f"{_SHORT.number(value):>12}" for value in values)
    return f"{words:24}{cells}{_SHORT.number(divide(*values)):>12}"
