"""The figure of batch norm with noise: accuracy, the strength of the noise, and the stability of activations."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments._claims.measures import curve, median_of
from experiments._figures import captions, style
from experiments._figures.accuracy import draw_accuracy, explain, limit_accuracy, mark_guessing, smoothing
from experiments._figures.style import COLOURS, FAINT, INK
from experiments._numbers import curves
from experiments._numbers import drift as drift_numbers
from experiments._numbers.accuracy import MEASURES, over_runs
from experiments.noisy_batchnorm import by_strength


def noisy_figure(data: dict[str, Any]) -> Figure:
    """Draw accuracy and what the strength of the noise does to it; below, how far means and variances move."""
    num_batches = smoothing(data["config"]["num_steps"])
    with style.style():
        figure = Figure(figsize=(13, 15))
        panels = figure.subplots(3, 2)
        draw_accuracy(panels[0, 0], data["arms"], num_batches)
        _draw_sweep(panels[0, 1], data)
        for row, moment in zip(panels[1:], ("mean", "variance"), strict=True):
            for panel, relative in zip(row, (False, True), strict=True):
                _draw_shift(panel, data, moment, relative)
        figure.legend(
            handles=explain(data["arms"], num_batches),
            loc="outside upper center",
            ncols=4,
            fontsize=14,
            title=f"{captions.network(data['config'])}: noise at every step, with and without batch norm",
            title_fontsize=17,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _draw_sweep(panel: Axes, data: dict[str, Any]) -> None:
    """Draw the accuracy at the end over the strength of the noise, at equal distances."""
    strengths = by_strength(data)
    for rank, (norm, nets) in enumerate(strengths.items()):
        for name, line, fill in (("train", "o-", COLOURS[norm]), ("test", "s--", "white")):
            ranges = [over_runs(runs, MEASURES[name]) for runs in nets.values()]
            places = np.arange(len(nets)) + 0.07 * (rank - 1)
            panel.vlines(places, [found.low for found in ranges], [found.high for found in ranges], color=COLOURS[norm])
            middles = [found.middle for found in ranges]
            panel.plot(places, middles, line, color=COLOURS[norm], markerfacecolor=fill, markersize=8, linewidth=1.6)
            for place, middle, runs in zip(places, middles, nets.values(), strict=True):
                if any(run["diverged_at"] is not None for run in runs):
                    panel.plot(place, middle, "X", color=COLOURS[norm], markersize=12, zorder=5)
    mark_guessing(panel)
    labels = [f"{strength:g}" if strength else "none" for strength in strengths["noise"]]
    panel.set_xticks(range(len(labels)), labels)
    panel.set(title="Accuracy at the end", xlabel="strength of the noise", ylabel="correct answers")
    limit_accuracy(panel)
    style.legend_above(
        panel,
        [
            Line2D([], [], color=INK, marker="o", label="training, with noise"),
            Line2D([], [], color=INK, marker="s", markerfacecolor="white", linestyle="--", label="test, without"),
        ],
    )


def _draw_shift(panel: Axes, data: dict[str, Any], moment: drift_numbers.Moment, relative: bool) -> None:
    """Mark how far a moment of each layer's units moves between two measurements: median, over seeds, over steps."""
    nets = data["arms"]
    layers = drift_numbers.layer_names([run for runs in nets.values() for run in runs])
    for rank, (net, runs) in enumerate(nets.items()):
        for row, layer in enumerate(layers):
            x, value = (
                row + 0.16 * (rank - (len(nets) - 1) / 2),
                drift_numbers.shift(layer, moment, "successive", relative),
            )
            low, middle, high = over_runs(runs, median_of("drift", value, first=1))
            moves = np.concatenate([curve(run, "drift", value)[1] for run in runs])
            moves = moves[np.isfinite(moves)]
            if moves.size:
                panel.vlines(x, *np.quantile(moves, (0.1, 0.9)), color=COLOURS[net], linewidth=9, alpha=0.25)
            panel.vlines(x, low, high, color=COLOURS[net], linewidth=2.5)
            panel.plot(x, middle, "o", color=COLOURS[net], markersize=8)
    for edge in range(1, len(layers)):
        panel.axvline(edge - 0.5, color=FAINT, linewidth=1)
    style.log_scale(panel)
    panel.grid(False, axis="x")
    panel.set_xticks(range(len(layers)), [f"layer {drift_numbers.number(layer)}" for layer in layers])
    panel.set_xlim(-0.5, len(layers) - 0.5)
    unit = {"mean": "std", "variance": "variance"}[moment]
    panel.set(
        title=f"Shift of the {moment}" + ", relative" * relative,
        ylabel=f"|change of the {moment}|" + f" / {unit}" * relative,
    )


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    config = data["config"]
    when = "in training and tests" if config.get("noise_in_tests") else "in training only"
    return [
        captions.recipe(config, data["preset"]),
        [
            captions.images(config),
            f"noise '{config['noise']}' {when}, its mean and scale anew for each unit and step",
        ],
        [
            "scaled noise: in units of each unit's own std",
            f"shifts: of {drift_numbers.subject(config)} nonlinearities, noise included, between measurements "
            f"{config['probe_every']} steps apart",
        ],
        [
            "dots: median over units, steps and seeds",
            "lines: range over seeds",
            "shades: middle 80 % of the steps",
        ],
        [
            f"other strengths of the noise: {curves.plural(_seeds_of_sweep(data), 'seed')}",
            "crosses: a run diverged, and counts as a guess",
        ],
        captions.origin(data),
    ]


def _seeds_of_sweep(data: dict[str, Any]) -> int:
    """Count the seeds of the strengths that are trained for the sweep alone."""
    return max(len(runs) for runs in data["sweep"].values())
