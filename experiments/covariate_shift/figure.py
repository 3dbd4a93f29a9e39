"""The figure of internal covariate shift: a block per optimiser and learning rate, a column per layer."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments._figures import captions, style
from experiments._figures.accuracy import draw_accuracy, explain, smoothing
from experiments._figures.curves import Arms, draw_curves, log_scale_small, mark_diverged, name_block
from experiments._figures.style import INK
from experiments._numbers import curves
from experiments._numbers.shift import QUANTITIES, describe


def covariate_shift_figure(data: dict[str, Any]) -> Figure:
    """Draw training, shift, relative shift and cosine of each net, and the shift as the seed repository measures it."""
    vgg, deep_linear = (curves.settings(data[group]) for group in ("arms", "deep_linear"))
    num_blocks, num_batches = len(vgg) + len(deep_linear), smoothing(data["config"]["vgg"]["num_steps"])
    with style.style():
        figure = Figure(figsize=(13, 5.7 * num_blocks + 1.6))
        grid = figure.add_gridspec(3 * num_blocks, 3)
        rows = iter(range(0, 3 * num_blocks, 3))
        for setting, arms in vgg.items():
            _draw_vgg(figure, grid, next(rows), data, setting, arms, num_batches)
        for setting, arms in deep_linear.items():
            _draw_deep_linear(figure, grid, next(rows), data, setting, arms)
        handles = _legend(vgg, num_batches)
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=len(handles),
            fontsize=13,
            title="Internal covariate shift: a layer's gradient G, and G' when the layers before it have taken their step",
            title_fontsize=16,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _draw_vgg(
    figure: Figure, grid: Any, row: int, data: dict[str, Any], setting: str, arms: Arms, num_batches: int
) -> None:
    """Draw a VGG's block: in the first column its accuracy, and the seed repository's measure with what is left of it."""
    accuracy, difference, cosine = (figure.add_subplot(grid[row + i, 0]) for i in range(3))
    draw_accuracy(accuracy, arms, num_batches)
    name_block(accuracy, f"{captions.network(data['config']['vgg'])}: {describe(setting)}")
    for which, line in (("step", "-"), ("zero_step", "--")):
        for panel, name in ((difference, "difference"), (cosine, "cosine")):
            draw_curves(panel, arms, "dummy_shift", curves.named(f"{which}_{name}"), line, width=1.8)
    difference.set(title="Against a second net", ylabel=QUANTITIES["difference"])
    log_scale_small(difference)
    _cosine_axis(cosine)
    for panel in (accuracy, difference, cosine):
        panel.set(xlim=(0, data["config"]["vgg"]["num_steps"]), xlabel="training step" if panel is cosine else "")
        panel.tick_params(labelbottom=panel is cosine)
    _draw_layers(figure, grid, row, arms, data["config"]["vgg"])


def _draw_deep_linear(figure: Figure, grid: Any, row: int, data: dict[str, Any], setting: str, arms: Arms) -> None:
    """Draw a deep linear network's block: in the first column its loss."""
    config = data["config"]["deep_linear"]
    loss = figure.add_subplot(grid[row : row + 3, 0])
    draw_curves(loss, arms, "train", curves.named("loss"))
    loss.set(title="Training loss", xlabel="training step", ylabel="half the squared error, over all examples")
    style.log_scale(loss)
    mark_diverged(loss, arms)
    name_block(loss, f"{captions.network(config).capitalize()}: {describe(setting)}")
    _draw_layers(figure, grid, row, arms, config)


def _draw_layers(figure: Figure, grid: Any, row: int, arms: Arms, config: dict[str, Any]) -> None:
    """Draw a column per layer: shift, relative shift, cosine."""
    for column, layer in enumerate(config["shift_layers"][:2], start=1):
        panels = [figure.add_subplot(grid[row + i, column]) for i in range(3)]
        for panel, (name, label) in zip(panels, QUANTITIES.items(), strict=True):
            draw_curves(panel, arms, "shift", curves.of_layer(f"layer_{layer}", name), width=1.8)
            panel.set(ylabel=label, xlim=(0, config["num_steps"]))
            if name == "cosine":
                _cosine_axis(panel)
            else:
                log_scale_small(panel)
                panel.tick_params(labelbottom=False)
        panels[0].set_title(f"Layer {layer}")


def _cosine_axis(panel: Axes) -> None:
    """Show all cosines there can be, and that of gradients that did not turn."""
    panel.axhline(1, color=INK, linestyle=":", linewidth=1.2)
    panel.set(ylim=(-1.08, 1.08), yticks=(-1, 0, 1), ylabel="cosine", xlabel="training step")


def _legend(vgg: Mapping[str, Arms], num_batches: int) -> list[Any]:
    """Explain colours, lines and marks."""
    nets = {net: [run for arms in vgg.values() for run in arms[net]] for net in ("plain", "batch_norm")}
    still = Line2D([], [], color=INK, linestyle="--", label="second net, no step taken")
    return [*explain(nets, num_batches), still]


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say what is what, and how the numbers came about."""
    vgg, deep_linear = data["config"]["vgg"], data["config"]["deep_linear"]
    every = " and ".join(str(steps) for steps in sorted({vgg["probe_every"], deep_linear["probe_every"]}))
    return [
        [
            "second net: as in the seed repository, G' is of a net that shares only the convolutions' weights, no bias, BN or "
            "dense layer",
        ],
        [*captions.recipe(vgg, data["preset"], learning_rate=False)[:-1], f"batches of {vgg['batch_size']}"],
        [captions.deep_linear(deep_linear)],
        ["|G - G'|: l2 norm over the layer's weights, in units of the loss (of the VGG nats) per unit of weight"],
        [f"measured every {every} steps", f"lines: medians, bands: {captions.bands(vgg)}"],
        captions.origin(data),
    ]
