"""The figure of the largest eigenvalues of the Hessian: over the training, and by rank at the last measurement."""

from functools import partial
from typing import Any

from experiments._evidence.run import Arms
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Accuracy, ByLayer, Curves, Line
from experiments._figures.panels.panel import mark
from experiments.eigenvalues.quantities import isolation, largest, last, share

_KEPT, _RANK = "o--", "eigenvalue, from the largest on"


def plot(data: dict[str, Any]) -> Layout:
    """Show how far the largest eigenvalues stand above the others, and the gradient's share along their eigenvectors."""
    config, arms = data["config"], data["arms"]
    kept = {"batch_norm": arms["batch_norm"]} if "batch_norm" in arms else {}
    panels = [
        [
            Accuracy(arms),
            _curves(arms, kept, largest, title="Largest eigenvalue", ylabel="of the Hessian"),
            _curves(arms, kept, isolation, title="Is it isolated?", ylabel="largest eigenvalue / tenth", line=1),
        ],
        [
            _curves(arms, kept, share, title="Gradient", ylabel="share along ten eigenvectors", scale="percent"),
            _ranks(arms, kept, "eigenvalues", title="At the last measurement", ylabel="eigenvalue of the Hessian"),
            _ranks(arms, kept, "shares", title="At the last measurement", ylabel="share of the gradient"),
        ],
    ]
    return make_figure(
        f"{captions.network(config)}: the largest eigenvalues of the Hessian",
        [Block("", panels)],
        captions.recipe(config, data["preset"]),
        [
            f"loss of the first {config['probes']['eigenvalues']['num_examples']:,} training images in one batch",
            f"lines: medians over {captions.seeds(config)}",
            f"bands: {captions.bands(config)}",
        ],
        captions.origin(data),
        marks=[mark("the batch's own statistics", "o", "-"), mark("running statistics, kept", "o", "--")],
    )


def _curves(arms: Arms, kept: Arms, make: Any, **look: Any) -> Curves:
    """Show a quantity over the training."""
    return Curves(arms, [Line(make(), "o-"), Line(make(frozen=True), _KEPT, kept)], **look)


def _ranks(arms: Arms, kept: Arms, name: str, **look: Any) -> ByLayer:
    """Show the last measurement for each eigenvalue, by rank."""
    lines = {"o-": (arms, partial(last, name=name)), _KEPT: (kept, partial(last, name=f"frozen_{name}"))}
    return ByLayer(lines, xlabel=_RANK, **look)
