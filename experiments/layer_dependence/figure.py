"""The figure of the dependence between layers: heat maps, interaction over training, and control of moments."""

from functools import partial
from typing import Any

from experiments._evidence.format import capital
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import ByLayer, Curves, Line, Matrix
from experiments._figures.panels.panel import mark
from experiments._nets import NETS
from experiments.layer_dependence.quantities import SHARE, by_layer, interaction, split

_SHOWN = 1  # index of the kept matrix from the middle of training
_LOOKS = {"-": "unnormalised", "--": "activations"}
_WORDS = {"-": "R measured; control before the normaliser", "--": "R to second order; control after the activation"}


def plot(data: dict[str, Any]) -> Layout:
    """Show second-order terms between layers; R and the off-diagonal share over training; and control by layer."""
    config, settings = data["config"], data["config"]["probes"]["layer_dependence"]
    multiples, lengths = settings["step_multiples"], settings["relative_steps"]
    rate = (len(multiples) - 1, "step_multiples", multiples[-1])
    middle = len(lengths) // 2
    relative = (len(multiples) + middle, "relative_steps", lengths[middle])
    return make_figure(
        f"{captions.network(config)}: how much the steps of layers depend on each other",
        [
            Block("", [[_matrix(data, net) for net in ("plain", "batch_norm")]], height=5.6),
            Block("", [[_ratio(data, *rate), _ratio(data, *relative), _share(data)]]),
            Block("", [[_gains(data, "earlier_gain"), _gains(data, "relative_gain")]]),
        ],
        captions.recipe(config, data["preset"]),
        [
            "R: (change of the loss by the joint step - sum of those by each layer alone) / (eta |g|²)",
        ],
        [
            f"heat maps: second-order terms Q of a step, over the sum of their sizes, median over {captions.seeds(config)}",
            f"bands: {captions.bands(config)}",
            "by layer: medians over the training",
        ],
        captions.origin(data),
        marks=[mark(words, "", look) for look, words in _WORDS.items()],
    )


def _matrix(data: dict[str, Any], net: str) -> Matrix:
    runs = data["arms"][net]
    kept = runs[0]["layer_dependence"]["split"]["step"] if runs else []
    when = f", step {kept[min(_SHOWN, len(kept) - 1)]:,}" if kept else ""
    return Matrix(runs, partial(split, place=_SHOWN), title=f"{capital(NETS[net].label)}{when}")


def _ratio(data: dict[str, Any], place: int, kind: str, size: float) -> Curves:
    """Show |R| over training at one step size, and its second-order part."""
    lines = [Line(interaction(place, kind, size)), Line(interaction(place, kind, size, "second_order_ratio"), "--")]
    at = f"eta = {size:g} x rate" if kind == "step_multiples" else f"|step| = {size:g} |w|"
    return Curves(data["arms"], lines, title=f"Interaction, {at}", ylabel="|R|")


def _share(data: dict[str, Any]) -> Curves:
    title, ylabel = "Terms between layers", "share of Σ |Q|"
    return Curves(data["arms"], [Line(SHARE)], title=title, ylabel=ylabel, scale="share")


def _gains(data: dict[str, Any], name: str) -> ByLayer:
    """Show what earlier layers do to the moments of each layer's units, at two places."""
    titles = {
        "earlier_gain": ("What earlier layers do to means and stds", "|change| / |step|"),
        "relative_gain": ("The same, relative", "relative change / relative step"),
    }
    lines = {look: (data["arms"], partial(by_layer, name=f"{place}_{name}")) for look, place in _LOOKS.items()}
    return ByLayer(lines, title=titles[name][0], ylabel=titles[name][1])
