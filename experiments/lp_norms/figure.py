"""The figure of the experiment `lp_norms`: five normalisers in a VGG and in the deep linear network."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments._claims.lp_norms import final_loss
from experiments._claims.measures import loss_range
from experiments._figures import captions, style
from experiments._figures.accuracy import draw_accuracy, explain, smoothing
from experiments._figures.curves import draw_curves, mark_diverged
from experiments._figures.ridges import BINS, around, draw_ridges, finite_shapes
from experiments._figures.style import COLOURS
from experiments._numbers import curves
from experiments._numbers import drift as drift_numbers
from experiments._numbers.curves import LABELS


def lp_figure(data: dict[str, Any]) -> Figure:
    """Draw accuracy and landscape of the VGGs, losses and landscape of the deep linear networks, and distributions."""
    vgg, deep = data["arms"], data["deep_linear"]
    num_batches = smoothing(data["config"]["vgg"]["num_steps"])
    with style.style(), mpl.rc_context({"axes.titlesize": 13.5}):
        figure = Figure(figsize=(13, 15.5))
        parts: Any = figure.subfigures(2, 1, height_ratios=(2.1, 1))
        panels = parts[0].subplots(2, 3)
        draw_accuracy(panels[0, 0], vgg, num_batches, "VGG: accuracy")
        _scans(panels[0, 1], vgg, loss_range)
        panels[0, 1].set(title="VGG: loss along the gradient", ylabel="largest - smallest loss (nats)")
        _scans(panels[0, 2], vgg, curves.farthest_gradient)
        panels[0, 2].set(
            title="VGG: gradient predictiveness",
            ylabel=f"change of the gradient, {captions.length(data['config']['vgg'])} (nats / unit)",
        )
        _losses(panels[1, 0], deep)
        _final_losses(panels[1, 1], deep)
        _scans(panels[1, 2], deep, curves.effective_smoothness)
        panels[1, 2].set(title="Deep linear: effective smoothness", ylabel="gradient change / distance (loss/unit²)")
        _distributions(parts[1], vgg)
        handles = explain(vgg, num_batches)
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=4,
            fontsize=13,
            title="Dividing by an lp norm of the batch: batch norm's relatives in a VGG and a deep linear network",
            title_fontsize=16,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _scans(panel: Axes, arms: dict[str, list[dict]], value: Any) -> None:
    """Draw a quantity of the scans."""
    draw_curves(panel, arms, "landscape", value)
    _mark(panel, arms)
    panel.set(xlabel="training step")
    style.log_scale(panel)


def _mark(panel: Axes, arms: dict[str, list[dict]]) -> None:
    """Mark where runs diverged, if any did."""
    mark_diverged(
        panel, {arm: runs for arm, runs in arms.items() if any(run["diverged_at"] is not None for run in runs)}
    )


def _losses(panel: Axes, arms: dict[str, list[dict]]) -> None:
    """Draw the deep linear network's loss over training."""
    draw_curves(panel, arms, "train", curves.named("loss"))
    _mark(panel, arms)
    panel.set(title="Deep linear: loss", xlabel="training step", ylabel="loss, over all examples")
    style.log_scale(panel)


def _final_losses(panel: Axes, arms: dict[str, list[dict]]) -> None:
    """Draw the final loss of every net, a line for each draw of the linear map; a cross at the top where a run diverged."""
    losses = {arm: {run["seed"]: final_loss(run) for run in runs} for arm, runs in arms.items()}
    for seed in sorted({seed for found in losses.values() for seed in found}):
        values = [found.get(seed, np.nan) for found in losses.values()]
        panel.plot(
            range(len(arms)), np.where(np.isfinite(values), values, np.nan), color="#bbbbbb", linewidth=0.9, zorder=1
        )
    for x, (arm, found) in enumerate(losses.items()):
        finite = [value for value in found.values() if np.isfinite(value)]
        panel.plot([x] * len(finite), finite, "o", color=COLOURS[arm], markersize=6, alpha=0.75, mew=0)
        if finite:
            panel.plot([x - 0.3, x + 0.3], [np.median(list(found.values()))] * 2, color=COLOURS[arm], linewidth=3)
        if len(finite) < len(found):
            panel.plot(x, 0.97, "X", color=COLOURS[arm], markersize=12, transform=panel.get_xaxis_transform())
    panel.set_xticks(range(len(arms)), [_short(arm) for arm in arms])
    panel.set(title="Deep linear: final loss, each draw", ylabel="loss, last 100 steps", xlim=(-0.5, len(arms) - 0.5))
    panel.grid(False, axis="x")
    style.log_scale(panel)


def _distributions(part: Any, arms: dict[str, list[dict]]) -> None:
    """Draw a unit's distributions over training for every net, on one axis of inputs, so that their widths compare."""
    panels = part.subplots(1, len(arms), sharey=True)
    layer = (drift_numbers.layer_names([run for runs in arms.values() for run in runs]) or [""])[-1]
    shapes = {
        arm: runs[0]["drift"]["layers"].get(layer, {}).get("shapes") if runs else None for arm, runs in arms.items()
    }
    found = [quantiles for _, quantiles in map(finite_shapes, shapes.values()) if quantiles.size]
    limits = around(np.concatenate([quantiles.ravel() for quantiles in found])) if found else None
    for panel, (arm, shape) in zip(np.atleast_1d(panels), shapes.items(), strict=True):
        draw_ridges(panel, shape, COLOURS[arm], limits)
        panel.set(title=LABELS[arm], xlabel=f"input of layer {drift_numbers.number(layer)}" if layer else "", ylabel="")
        panel.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
    np.atleast_1d(panels)[0].set_ylabel("training step")


def _short(arm: str) -> str:
    """Name a net below an axis."""
    return {"plain": "without", "batch_norm": "BN", "linf": "l∞"}.get(arm, arm)


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    vgg, deep = data["config"]["vgg"], data["config"]["deep_linear"]
    return [
        [captions.network(vgg), *captions.recipe(vgg, data["preset"])],
        [captions.images(vgg), f"scans every {vgg['probe_every']} steps", f"bands: {captions.bands(vgg)}"],
        [
            f"{captions.network(deep)}, {deep['width']} units each",
            *captions.variants(deep),
            f"{captions.seeds(deep).replace('seed', 'draw')} of the linear map",
            f"gradient descent on all {deep['batch_size']:,} examples, learning rate {deep['learning_rate']:g}",
        ],
        [
            f"loss summed over all examples; scans every {deep['probe_every']} steps, with lp norms every "
            f"{data['config'].get('lp_probe_every', deep['probe_every'])}; bands: {captions.bands(deep)}; bars: medians",
        ],
        [f"ridges: {BINS} bins, one unit, {captions.place(vgg)}, first seed"],
        captions.origin(data),
    ]
