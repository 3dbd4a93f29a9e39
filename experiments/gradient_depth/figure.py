"""The figure of `gradient_depth`: the size of gradients by layer, and by what factor it grows."""

from typing import Any

from experiments._evidence.quantity import Measure
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import ByLayer, Dots
from experiments._figures.panels.panel import mark
from experiments._nets import NETS
from experiments.gradient_depth import setting
from experiments.gradient_depth.claims import GROWTH, by_setting, norms_at

_ONE_STEP = "1 step"


def plot(data: dict[str, Any]) -> Layout:
    """Show the gradient by layer of the deepest nets, at initialisation and later, and its growth in nets of all depths."""
    config, later = data["config"], data["config"]["schedule"]["probe_every"]
    scales = sorted(config["scales"], key=lambda scale: (scale != 1, scale))
    looks: dict[str, float] = dict(zip(("-", "--", ":", "-."), scales, strict=False))
    return make_figure(
        f"Perceptrons on {captions.DATASETS[config['data']['dataset']]}: how large gradients are, layer by layer",
        [
            Block("", [[_by_layer(data, "plain", 0, looks), _growth(data)]]),
            Block("", [[_by_layer(data, "batch_norm", step, looks) for step in (0, later)]], share=True),
        ],
        [
            f"{config['model']['hidden'][0]} {config['model']['activation']} units per layer",
            *captions.recipe(config, data["preset"]),
        ],
        [
            f"weights: {config['model']['kernel_init']}; orthog.: orthogonal",
            f"by layer: {max(config['depths'])} hidden layers and the output layer",
        ],
        ["lines: medians, bands: range over seeds", "growth: geometric mean from the last hidden layer to layer 2"],
        captions.origin(data),
        marks=[mark(f"weights x {scale:g}", "", look) for look, scale in looks.items()],
    )


def _by_layer(data: dict[str, Any], net: str, step: int, looks: dict[str, float]) -> ByLayer:
    """Show the gradient of the deepest net at a step, a line for each scale of the weights."""
    arms = {look: setting(max(data["config"]["depths"]), scale).arm(net) for look, scale in looks.items()}
    return ByLayer(
        {look: ({net: data["arms"][arm]}, lambda run: norms_at(run, step)) for look, arm in arms.items()},
        title=f"Net {NETS[net].label}, {_when(step)}",
        ylabel="norm of the gradient, l2 (nats / unit)",
    )


def _growth(data: dict[str, Any]) -> Dots:
    """Show the growth in every net at initialisation and, except from orthogonal weights, after one or more steps."""
    columns = {at.words.replace(" layers, weights", "\n"): arms for at, arms in by_setting(data["arms"]).items()}
    for group, words in {"orthogonal": "orthog.", "first_step": _ONE_STEP}.items():
        columns |= {f"{max(data['config']['depths'])}\n{words}": arms for arms in by_setting(data[group]).values()}
    every = data["config"]["schedule"]["probe_every"]

    def later(column: str) -> Measure:
        step = 1 if column.endswith(_ONE_STEP) else every
        return GROWTH.median(step, step)

    return Dots(
        next(iter(columns.values())),
        columns,
        {_when(0): GROWTH.median(0, 0), f"{_when(every)}, or 1 where named": later},
        title="Growth per layer, towards the input",
        xlabel="hidden layers, and scale of the initial weights",
        ylabel="factor per layer",
        scale="linear",
        line=1,
        each=True,
    )


def _when(step: int) -> str:
    return f"after {step} steps" if step else "at initialisation"
