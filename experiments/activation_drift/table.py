"""The table and the findings of the drift of activations."""

from typing import Any

from experiments._evidence.drift import Since, layer_titles, ratios, subject, typical
from experiments._evidence.format import TIMES
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.run import all_runs, layer_names, layer_number
from experiments._evidence.table import by_measure, divergences, seeds

_MOMENTS: dict[str, tuple[Any, bool]] = {
    "mean": ("mean", False),
    "mean in standard deviations": ("mean", True),
    "variance": ("variance", False),
    "variance as a share of it": ("variance", True),
    "W1 in standard deviations": ("wasserstein", True),
}


def since(data: dict[str, Any]) -> dict[Since, str]:
    """Name what drifts are measured from."""
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
    """Describe how much steadier the moments are with batch norm, in absolute units and in the units' own."""
    config, every = data["config"], data["config"]["schedule"]["probe_every"]

    def times(*moved: Any, relative: bool = False) -> str:
        low, _, high = ratios(data, "plain", "batch_norm", *moved, relative=relative)
        return f"{TIMES.number(low)} to {TIMES.number(high)} times as far"

    layers = layer_titles(layer_names(all_runs(data["arms"]), "drift"))
    found = (
        f"From one measurement to the next, {every} steps, the mean of a {subject(config)} in layers {layers} "
        f"moves {times('mean')} without batch norm as with it, and its variance {times('variance')}. In units of each unit's "
        f"standard deviation the mean moves {times('mean', relative=True)}, and the whole distribution is "
        f"{times('wasserstein', 'cumulative')} from where it started."
    )
    return " ".join([found, *divergences(data["arms"])])
