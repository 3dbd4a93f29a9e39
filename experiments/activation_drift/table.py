"""The table and the findings of the drift of activations."""

from typing import Any

from experiments._evidence.drift import Since, layer_titles, subject, typical
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.run import all_runs, layer_names, layer_number
from experiments._evidence.table import by_measure, divergences, seeds
from experiments._evidence.verdict import decided
from experiments.activation_drift.claims import CLAIMS

_MOMENTS: dict[str, tuple[Any, bool]] = {
    "mean": ("mean", False),
    "mean in standard deviations": ("mean", True),
    "variance": ("variance", False),
    "variance as a share of it": ("variance", True),
    "W1 in standard deviations": ("wasserstein", True),
}


def since(data: dict[str, Any]) -> dict[Since, str]:
    """Describe each reference point from which drift is measured."""
    return {"successive": f"in {data['config']['schedule']['probe_every']} steps", "cumulative": "from the start"}


def summarise(data: dict[str, Any]) -> str:
    """Put the drifts into a table per layer: a row per drift, a column per net."""
    arms, nets = data["arms"], ("plain", "batch_norm")
    lines = ["", *by_measure(arms, {"test accuracy": TEST_ACCURACY.at_end()})]
    for layer in layer_names(all_runs(arms), "drift"):
        rows = {
            f"{name}, {when}": typical(layer, moment, start, relative=relative)
            for start, when in since(data).items()
            for name, (moment, relative) in _MOMENTS.items()
        }
        lines += ["", f"Layer {layer_number(layer)}, drift of", *by_measure(arms, rows, nets)]
    about = f"Absolute values, medians over units, over steps and then over {seeds(data['config'])}. W1: distance of the whole"
    return "\n".join([*lines, "", f"{about} distributions.", *divergences(arms)])


def findings(data: dict[str, Any]) -> str:
    """Describe how much steadier distributions are with batch norm, as the claims measure it."""
    config, every = data["config"], data["config"]["schedule"]["probe_every"]
    layers = layer_titles(layer_names(all_runs(data["arms"]), "drift"))
    fixed = "; with batch norm, it is the square of the norm's scale, whatever the weights before it do"
    fixed *= subject(config) == "pre-activation"
    found = (
        f"Without batch norm, the distribution of a {subject(config)} in layers {layers} moves {_far(data, 'hardly_differs')} "
        f"from where it started as with it, in units of the pooled standard deviation (median of the layers; at least "
        f"{_far(data, 'stabilised')} in each). From one measurement to the next, {every} steps, a unit's variance moves at "
        f"least {_far(data, 'variance')}, and relative to its value {_far(data, 'variance_relative')}{fixed}."
    )
    before = decided(CLAIMS, data, "drift_hardly_differs_before", unknown="")
    unset = (
        f"Before batch norm, where a layer's own bias and scale set nothing, but the scale of its outputs is arbitrary, the "
        f"raw outputs of these layers move {before} as far without it (at least {_far(data, 'stabilised_before')} in each)."
    )
    return " ".join([found, *[unset] * bool(before), *divergences(data["arms"])])


def _far(data: dict[str, Any], name: str) -> str:
    """Write a claim's median."""
    return f"{decided(CLAIMS, data, f'drift_{name}')} as far"
