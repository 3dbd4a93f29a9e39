"""The panels of scans along minus the gradient, which several figures show."""

from collections.abc import Mapping
from typing import Any

from experiments._evidence.quantities import GRADIENT_CHANGE, HIGHEST_LOSS, LEAST_CHANGE, LOWEST_LOSS, SMOOTHNESS
from experiments._evidence.run import Arms
from experiments._figures import captions
from experiments._figures.panels import Band, Curves, Line, Panel

PREDICTIVENESS, SMOOTHER = "Gradient predictiveness (↓)", "Effective smoothness (↓)"
ARROW = "↓: smaller is more predictable, or smoother"


def along_gradient(
    arms: Arms, config: dict[str, Any], dotted: Arms | None = None, levels: Mapping[str, float] | None = None
) -> tuple[Panel, Panel, Panel]:
    """Return the panels of loss, predictiveness and smoothness; the last has levels and dotted lines of more nets."""
    change = f"change, {captions.length(config)} (nats/unit)"
    title, per_distance = SMOOTHER, "change / distance (nats/unit²)"
    lines = [Line(SMOOTHNESS, width=2.2), *([Line(SMOOTHNESS, ":", dotted)] if dotted else [])]
    return (
        Band(arms, LOWEST_LOSS, HIGHEST_LOSS, title="Loss along the gradient", ylabel=captions.loss(config)),
        Band(arms, LEAST_CHANGE, GRADIENT_CHANGE, title=PREDICTIVENESS, ylabel=change),
        Curves(arms, lines, title=title, ylabel=per_distance, levels=levels or {}),
    )
