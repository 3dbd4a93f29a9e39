"""The figure of `initialisation`: rank and cosines by depth and width, the Fisher matrix, and residual branches."""

from collections.abc import Mapping
from typing import Any

from experiments._evidence.format import plural
from experiments._evidence.run import Arms
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import ByLayer
from experiments._figures.panels.panel import mark
from experiments._nets import UNNAMED, Setting
from experiments.initialisation.quantities import EIGENVALUE, FIXED, GAP, LINEAR, RANK, RELU, by_width, values

_NETS = ("plain", "batch_norm")


def plot(data: dict[str, Any]) -> Layout:
    """Show how a batch changes in deep nets, the Fisher matrix in wide ones, and the size of residual branches."""
    config = data["config"]
    deep, lines, fisher, residual = (
        config[name] for name in ("representations", "orthogonality", "fisher", "residual")
    )
    return make_figure(
        "Networks of random weights, before their first step",
        [
            Block("", [[_rank_by_layer(data), _rank_by_width(data)]]),
            Block("", [[_cosines(data), _gap(data)]]),
            Block("", [[_eigenvalue(data), _branches(data)]]),
        ],
        [
            f"preset {data['preset']}",
            plural(len(config["seeds"]), "draw"),
            "lines: medians, bands: smallest to largest",
        ],
        [
            f"rank and cosines: {deep['depth']:,} layers, {captions.DATASETS[deep['data']['dataset']]}, as many examples as "
            "units",
            f"orthogonality: {lines['depth']:,} layers, {lines['batch_size']} examples close to one line",
        ],
        [
            f"Fisher matrix of squared error: {plural(fisher['num_hidden'], 'hidden layer')} of ReLU units, normal inputs as "
            "long as a layer is wide",
            f"residual net: {captions.DATASETS[residual['data']['dataset']]}, batch {residual['batch_size']}",
        ],
        captions.origin(data, "measurements"),
        marks=[mark("linear nets", "", "-"), mark("ReLU nets, after the ReLU", "", "--")],
    )


def _arms(data: dict[str, Any], group: str, nets: tuple[str, ...], at: Setting = UNNAMED) -> Arms:
    """Return the draws of some nets in a setting."""
    return {net: data[group].get(at.arm(net), []) for net in nets}


def _layers(data: dict[str, Any]) -> tuple[int, ...]:
    """Return the layers that were kept."""
    runs = data["representations"][LINEAR.arm("batch_norm")]
    return tuple(runs[0]["layers"]["layer"]) if runs else ()


def _rank_by_layer(data: dict[str, Any]) -> ByLayer:
    looks = {"-": LINEAR, "--": RELU}
    return ByLayer(
        {
            look: (_arms(data, "representations", _NETS, at), lambda run: values(run, "layers", "rank"))
            for look, at in looks.items()
        },
        _layers(data),
        title=f"Do examples stay apart? ({min(data['config']['representations']['widths'])} units per layer)",
        ylabel="soft rank of the activations",
    )


def _rank_by_width(data: dict[str, Any]) -> ByLayer:
    looks = {"o-": LINEAR, "o--": RELU}
    return _by_width(
        data,
        "representations",
        {look: (_arms(data, "representations", _NETS, at), RANK) for look, at in looks.items()},
        title="In the last layer of wider nets",
        ylabel="soft rank of the activations",
    )


def _cosines(data: dict[str, Any]) -> ByLayer:
    runs = _arms(data, "representations", ("batch_norm",), RELU)
    return ByLayer(
        {
            "--": (runs, lambda run: values(run, "layers", "others")),
            ":": (runs, lambda run: values(run, "layers", "odd")),
        },
        _layers(data),
        title="ReLU nets with BN: do all but one gather?",
        ylabel="mean cosine of the others",
        xlabel="layer (dotted: mean |cosine| of the odd example)",
        scale="linear",
        ylim=(-0.03, 1.03),
    )


def _gap(data: dict[str, Any]) -> ByLayer:
    nets = (*_NETS, "rescaled")
    return _by_width(
        data,
        "orthogonality",
        {"o-": (_arms(data, "orthogonality", nets), GAP)},
        title="Linear nets: do examples become orthogonal?",
        ylabel="orthogonality gap, mean of layers",
    )


def _eigenvalue(data: dict[str, Any]) -> ByLayer:
    own = _arms(data, "fisher", (*_NETS, "batch_norm_output"))
    fixed = _arms(data, "fisher", ("batch_norm_output",), FIXED)
    return _by_width(
        data,
        "fisher",
        {"o-": (own, EIGENVALUE), "s:": (fixed, EIGENVALUE)},
        title="Does width sharpen the loss?",
        ylabel=EIGENVALUE,
        xlabel=f"units per layer, and examples (dotted: {data['config']['fisher']['fixed_batch']} examples)",
    )


def _branches(data: dict[str, Any]) -> ByLayer:
    first = data["config"]["residual"]["model"]["num_blocks"]
    return ByLayer(
        {"o-": (_arms(data, "residual", _NETS), lambda run: values(run, "blocks", "ratio"))},
        title=f"ResNet-{6 * first + 2}: are blocks near the identity?",
        ylabel="variance of branch / of shortcut",
        xlabel=f"residual block (zero features are added at {first + 1} and {2 * first + 1})",
        line=1,
    )


def _by_width(data: dict[str, Any], group: str, lines: Mapping[str, tuple[Arms, str]], **look: Any) -> ByLayer:
    """Show a quantity of each net by its width."""
    drawn = {form: (arms, by_width(words)) for form, (arms, words) in lines.items()}
    return ByLayer(drawn, tuple(data["config"][group]["widths"]), **{"xlabel": "units per layer", **look})
