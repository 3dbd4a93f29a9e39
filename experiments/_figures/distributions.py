"""The figure of a unit's distributions over training, net by net, which several subjects show."""

from textwrap import fill
from typing import Any

from experiments._evidence.drift import subject
from experiments._evidence.run import Arms, all_runs, layer_names, layer_number, recorded
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import BINS, Ridges, shared_limits
from experiments._nets import NETS

_ACROSS = 90  # characters of the titles of a row


def of_deepest_layer(arms: Arms, config: dict[str, Any], title: str, *foot: list[str]) -> Layout:
    """Show a unit of the deepest layer over training for every net, on one axis, so that widths can be compared.

    Args:
        arms: the nets, whose runs recorded the drift.
        config: configuration of the nets.
        title: description of the nets; the network's name and "distributions of a unit" come before it.
        foot: lines about the runs.
    """
    layer = (layer_names(all_runs(arms), "drift") or [""])[-1]
    found = {net: recorded(runs[0], "drift").get("layers", {}).get(layer, {}) for net, runs in arms.items()}
    limits = shared_limits(unit.get("shapes") for unit in found.values())
    xlabel = f"{subject(config)}, layer {layer_number(layer)}" if layer else ""
    axes: Any = {"xlabel": xlabel, "ylabel": "training step"}
    titles = {net: fill(NETS[net].label, _ACROSS // len(found)) for net in found}
    row = [Ridges(net, unit.get("shapes"), limits, title=titles[net], **axes) for net, unit in found.items()]
    block, ridges = Block("", [row], height=5, share=True), [f"ridges: {BINS} bins, one unit, first seed"]
    return make_figure(
        f"{captions.network(config)}: distributions of a unit, {title}", [block], *foot[:-1], ridges, foot[-1]
    )


def has_shapes(arms: Arms) -> bool:
    """Return whether the data keep a unit's distributions."""
    layers = recorded(next(iter(arms.values()))[0], "drift").get("layers", {})
    return any("shapes" in layer for layer in layers.values())
