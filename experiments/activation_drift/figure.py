"""The figures of the drift of activations: distributions over training, and how far their moments move."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bnjax.draw import style
from experiments._evidence.drift import Moment, Since, drift, subject, typical
from experiments._evidence.format import capital
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.run import Arms, Run, array, layer_number, recorded
from experiments._evidence.table import written
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import BINS, Curves, Dots, Line, Panel, Percentiles, Ridges
from experiments._figures.panels.panel import mark
from experiments._nets import NETS
from experiments.activation_drift.table import since


def plot(data: dict[str, Any]) -> Layout:
    """Show the distributions of a unit over training, a column per layer."""
    ridges = [list(row) for row in zip(*(ridges for ridges, _ in _columns(data)), strict=True)]
    remark = f"ridges ({BINS} bins, rebuilt from 40 quantiles): one unit, first seed"
    scales = "every panel has its own horizontal scale"
    return _figure(data, f"{subject(data['config'])}s over training", Block("", ridges, height=4.4), [remark, scales])


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out further figures."""
    return {"means": _means, "layers": _layers}


def _means(data: dict[str, Any]) -> Layout:
    """Show percentiles, and how far the mean moves, a column per layer."""
    curves = [list(row) for row in zip(*(curves for _, curves in _columns(data)), strict=True)]
    units = f"drift: medians over {data['config']['probes']['drift']['units']} units, bands: range over seeds"
    remarks = ["percentiles 15, 50 and 85: one unit, first seed", units]
    return _figure(data, f"how far {subject(data['config'])}s move", Block("", curves, height=3.3), remarks)


def _layers(data: dict[str, Any]) -> Layout:
    """Show the typical drift of both moments by layer, a dot per seed."""
    dot = mark("one seed", "o", markersize=6, alpha=0.6, markerfacecolor=style.INK)
    units = f"medians over {data['config']['probes']['drift']['units']} units and all steps"
    remarks = [units, "std, variance: the unit's own, before the change"]
    block = Block("", _summary(data, _followed(data)), height=3.4)
    return _figure(data, f"drift of {subject(data['config'])}s by layer", block, remarks, [dot])


def _figure(data: dict[str, Any], title: str, block: Block, remarks: list[str], marks: Sequence[Any] = ()) -> Layout:
    """Show a block, and describe the nets."""
    arms, config = data["arms"], data["config"]
    tests = ", ".join(f"{NETS[net].label} {written(runs, TEST_ACCURACY.at_end())}" for net, runs in arms.items())
    normalised = ", normalised with BN" * (config["probes"]["drift"]["of"] != "unnormalised")
    return make_figure(
        f"{captions.network(config)}: {title}",
        [block],
        captions.recipe(config, data["preset"]),
        [
            captions.images(config),
            f"test accuracy {tests}",
            f"measured every {config['schedule']['probe_every']} steps",
        ],
        [f"on training batches, {captions.place(config)}{normalised}", *remarks],
        captions.origin(data),
        marks=marks,
    )


def _followed(data: dict[str, Any]) -> list[str]:
    """List the layers that are followed."""
    return [f"layer_{number}" for number in sorted(data["config"]["probes"]["drift"]["layers"])]


def _columns(data: dict[str, Any]) -> list[tuple[Sequence[Panel], Sequence[Panel]]]:
    """Show all layers followed or, since four columns do not fit, at most the first, a middle one and the last."""
    layers = _followed(data)
    shown = layers if len(layers) <= 3 else [layers[0], layers[len(layers) // 2], layers[-1]]
    return [_column(data, layer) for layer in shown]


def _column(data: dict[str, Any], layer: str) -> tuple[Sequence[Panel], Sequence[Panel]]:
    """Show a layer: the ridges of each net; percentiles, and how far the mean moves."""
    arms, unit, name = data["arms"], subject(data["config"]), f"layer {layer_number(layer)}"
    look: Any = {"xlabel": unit, "ylabel": "training step"}
    ridges = [
        Ridges(net, _kept(runs[0], layer, "shapes"), title=capital(f"{NETS[net].label}: {name}"), **look)
        for net, runs in arms.items()
    ]
    moved = [
        Curves(arms, [Line(drift(layer, "mean", at))], title=capital(f"{words}: {name}"), ylabel="|change of the mean|")
        for at, words in since(data).items()
    ]
    percentiles = Percentiles(arms, partial(_percentiles, layer=layer), title=f"Percentiles: {name}", ylabel=unit)
    return ridges, [percentiles, *moved]


def _summary(data: dict[str, Any], layers: list[str]) -> list[list[Panel]]:
    """Show the typical drift of both moments, layer by layer."""
    names = {str(layer_number(layer)): layer for layer in layers}
    arms: Arms = data["arms"]

    def dots(moment: Moment, at: Since, words: str, relative: bool) -> Panel:
        return Dots(
            arms,
            dict.fromkeys(names, arms),
            {"": lambda name: typical(names[name], moment, at, relative=relative)},
            each=True,
            title=f"{moment.capitalize()}\n{words}",
            xlabel="layer",
            ylabel="|change|" + f" / {'std' if moment == 'mean' else moment}" * relative,
        )

    moments: tuple[Moment, ...] = ("mean", "variance")
    return [
        [dots(moment, *at, relative) for at in since(data).items() for relative in (False, True)] for moment in moments
    ]


def _kept(run: Run, layer: str, name: str) -> Any:
    return recorded(run, "drift").get("layers", {}).get(layer, {}).get(name)


def _percentiles(run: Run, layer: str) -> tuple[Any, np.ndarray]:
    levels = _kept(run, layer, "percentiles")
    return (recorded(run, "drift")["step"], array(levels)) if levels else ([], np.empty((0, 3)))
