"""The figures of `generalisation`: the gap between training and test against sharpness, where the training loss is the same."""

from collections.abc import Callable
from functools import partial
from typing import Any

from experiments._evidence.format import Format, plural
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Scatter
from experiments.generalisation.quantities import GAP, MAIN, Name, at, by_family, levels, measure
from experiments.generalisation.table import over_nets

_PANELS: dict[Name, tuple[str, str]] = {
    "eigenvalue": ("Largest eigenvalue", "largest eigenvalue of the Hessian"),
    "trace": ("Trace", "trace of the Hessian"),
    "ascent": ("Moved along gradient", "rise of the loss (nats)"),
    "random": ("Moved at random", "rise of the loss (nats)"),
    "rate": ("Learning rate", "learning rate"),
}


def plot(data: dict[str, Any]) -> Layout:
    """Show the gap where the training loss is 0.1, or at the last level that was asked for."""
    return _layout(data, level=_main(data))


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out the other training losses."""
    return {f"loss_{level:g}": partial(_layout, level=level) for level in levels(data) if level != _main(data)}


def _main(data: dict[str, Any]) -> float:
    return MAIN if MAIN in levels(data) else levels(data)[-1]


def _layout(data: dict[str, Any], *, level: float) -> Layout:
    """Show the gap of every run against each measure, with the rank correlation over nets in the titles."""
    config, families = data["config"], by_family(data)
    panels = [
        Scatter(
            families,
            measure(name, level),
            at(GAP, level),
            title=f"{title}\nrank correlation {Format('+z.2f').number(over_nets(data, name, GAP, level))}",
            xlabel=xlabel,
            ylabel="test - training error (points)",
            scale="points",
        )
        for name, (title, xlabel) in _PANELS.items()
    ]
    settings = config["probes"]["flatness"]
    share = f"{100 * settings['radius']:g} %"
    images = f"{settings['curvature_examples']:,} training images"
    subset = config["data"].get("subset")
    hidden = sum(panel.across.of(run) <= 0 for panel in panels for runs in families.values() for run in runs)
    return make_figure(
        f"{captions.network(config)}: does a flat landscape go with a small gap?",
        [Block("", [panels[:3], panels[3:]])],
        [
            f"every net at the first measurement at which the loss of its training images is {level:g} or less",
            "a mark per learning rate, ghost size and seed",
        ],
        [
            "rank correlation: Spearman's over the nets, median over seeds; above 0, less goes with a smaller gap",
            f"sharpness: of the loss of {images}",
            f"each layer's weights are moved by {share} of their length",
            *[f"not shown: {plural(hidden, 'mark')} that {'is' if hidden == 1 else 'are'} not positive"] * bool(hidden),
        ],
        [*[f"{subset:,} training images"] * bool(subset), captions.images(config)],
        captions.recipe(config, data["preset"], learning_rate=False),
        captions.origin(data),
    )
