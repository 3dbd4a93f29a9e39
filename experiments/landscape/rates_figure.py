"""The landscape as two replications draw it: bands over runs of one seed that differ in their learning rates."""

import math
from typing import Any

from matplotlib.axes import Axes

from experiments._figures import style
from experiments._figures.curves import draw_band, mark_diverged, name_block
from experiments._numbers import curves, rates

# Ten times the loss of a guess, in nats.
_EXPLODED = 10 * math.log(10)


def draw_rates(panels: list[Axes], data: dict[str, Any]) -> None:
    """Draw the losses of such runs, at equal steps and where they have come equally far, and how far gradients move."""
    bands, sizes = rates.bands(data), data["config"]["rates"]
    same_step, same_progress, gradient = panels
    for panel, kind in zip(panels, ("same_step", "same_progress", "gradient"), strict=True):
        draw_band(panel, bands, kind, curves.named("low"), curves.named("high"))
        mark_diverged(panel, bands)
        # Differences of losses are compared, as long as nothing explodes; of gradients, ratios.
        if kind == "gradient" or same_step.dataLim.y1 > _EXPLODED:
            style.log_scale(panel)
    same_step.set(title="Losses at equal steps", xlabel="training step", ylabel="cross-entropy (nats)")
    same_progress.set(title="Losses at equal rate x steps", ylabel="cross-entropy (nats)", ylim=same_step.get_ylim())
    same_progress.xaxis.set_major_formatter(lambda step, _: f"{min(sizes) * step:g}")
    same_progress.set_xlabel("learning rate x steps")
    words = f"|g - g'| of {rates.layer(data)}, l2 (nats / unit)"
    gradient.set(title="Change from step to step", xlabel="training step", ylabel=words)
    span = f"{len(sizes)} learning rates from {min(sizes):g} to {max(sizes):g}"
    name_block(same_step, f"The replications' landscape: runs at {span}")


def describe(data: dict[str, Any]) -> list[str]:
    """Say for the foot of a figure how such runs were made and what their bands are; nothing where there are none."""
    if not data.get("multirun"):
        return []
    run = rates.runs_of(data, "plain")[0]
    return [
        f"learning rates {', '.join(f'{rate:g}' for rate in data['config']['rates'])}: loss averaged over "
        f"{curves.plural(run['train']['window'], 'step')}",
        "bands from the smallest to the largest of a seed's runs, medians over seeds",
    ]
