"""The tables and the findings of all normalisers."""

from collections.abc import Mapping
from typing import Any

from experiments._evidence.drift import layer_titles, subject
from experiments._evidence.format import Format
from experiments._evidence.quantities import TRAIN_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.run import all_runs, layer_names
from experiments._evidence.table import by_net, divergences, ends, grid, known_values, middle, seeds, written
from experiments._evidence.value import median
from experiments._nets import NETS
from experiments.which_norm.quantities import COMPARED, STEPS, TEST, ranked

_PERFORMANCES = {"test": TEST, "steps to 40 %": STEPS}
_LANDSCAPE = ("loss range", "gradient change", "smoothness")
_RANKS = Format("+z.2f")


def summarise(data: dict[str, Any]) -> str:
    """Write a row for each net, and the rank correlations over them."""
    nets = {NETS[net].label: runs for net, runs in data["arms"].items()}
    measures = {name: compared.of(data) for name, compared in COMPARED.items()}
    first = {"train": TRAIN_ACCURACY.at_end(50), **_PERFORMANCES} | {name: measures[name] for name in _LANDSCAPE}
    second = {name: measure for name, measure in measures.items() if name not in _LANDSCAPE}
    layers = [layer_names(all_runs(data["arms"]), kind) for kind in ("shift", "drift")]
    return "\n".join(
        [
            "",
            *by_net(nets, first),
            "Train: mean of the last 50 batches. Steps: until the median of five points of the training curve is as high; >:",
            "not in as many. Along the gradient: largest - smallest loss; largest change of the gradient, and the same per",
            "distance.",
            "",
            *by_net(nets, second),
            f"Relative shift: |G - G'| / |G|, mean of layers {layer_titles(layers[0])}. Drift between measurements, of a "
            f"{subject(data['config'])}",
            f"in layer {layer_titles(layers[1][-1:])}: distance W1; |change of the mean| and of the variance; W1 behind the "
            "activation; in units of",
            f"the spread. Medians over all measurements but the first, then over {seeds(data['config'])}.",
            "",
            *_correlations(data),
            *divergences(data["arms"]),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe what goes with performance over the normalisers."""
    arms = data["arms"]
    ordered = sorted(arms, key=lambda net: -middle(arms[net], TEST))
    said = {net: f"{written(runs, TEST)} ({NETS[net].label})" for net, runs in arms.items()}
    ranks = {name: _RANKS.number(over_nets(data, name, TEST)) for name in ("loss range", "relative shift", "drift")}
    return (
        f"Over {len(arms)} nets that differ in their normaliser alone, the highest and the lowest test accuracy are "
        f"{said[ordered[0]]} and {said[ordered[-1]]}. The accuracies' rank correlation with "
        f"the range of the loss along the gradient is {ranks['loss range']}, with covariate shift relative to the gradient "
        f"{ranks['relative shift']}, and with the drift of distributions in the deepest layer followed {ranks['drift']}: below "
        "0, less of it goes with a higher accuracy."
    )


def over_nets(data: Mapping[str, Any], name: str, performance: Measure) -> float:
    """Return the rank correlation over all nets in the data, as the median over seeds; NaN if there is none."""
    return median(known_values(ranked(name, performance, tuple(data["arms"])), data))


def _correlations(data: Mapping[str, Any]) -> list[str]:
    """Write rank correlations with both performances: over seeds, and leaving out one net at a time."""
    nets, rows = tuple(data["arms"]), {}
    for name in COMPARED:
        cells = []
        for performance in _PERFORMANCES.values():
            values = known_values(ranked(name, performance, nets), data)
            others = (ranked(name, performance, [net for net in nets if net != left]) for left in nets)
            cells += [
                _RANKS.number(median(values)),
                ends(values, _RANKS),
                ends((median(known_values(each, data)) for each in others), _RANKS),
            ]
        rows[name] = cells
    heads = [head for name in _PERFORMANCES for head in (name, "over seeds", "without one net")]
    return [
        *grid(heads, rows),
        f"Spearman's rank correlation over {len(nets)} nets, the median and the range over seeds, and the range of the median "
        "where one",
        "of the nets is left out. Where less of something is better, it is below 0 with accuracies, and above 0 with steps.",
    ]
