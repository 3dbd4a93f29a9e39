"""The table and the findings of how gradients change with depth."""

from typing import Any

from experiments._evidence.format import listing
from experiments._evidence.quantity import Measure
from experiments._evidence.table import by_net, divergences, middle, seeds
from experiments._evidence.verdict import decided
from experiments._nets import NETS
from experiments.gradient_depth import setting
from experiments.gradient_depth.claims import CLAIMS, GROWTH, LAST, SECOND, TO_SECOND, by_setting


def summarise(data: dict[str, Any]) -> str:
    """Put norms and their growth into a table, a row for each net."""
    later = data["config"]["schedule"]["probe_every"]
    columns = {"layer 2": SECOND.median(0, 0), "last hidden": LAST.median(0, 0)}
    growths = {"growth": GROWTH.median(0, 0), f"growth, step {later}": GROWTH.median(later, later)}
    lines = [
        *by_net(_named(data), {**columns, **growths}),
        "Norm of the gradient by a layer's weights before the first step, and by what factor it grows per hidden layer,",
        f"towards the input; medians over {seeds(data['config'])}.",
    ]
    return "\n".join(["", *lines, *divergences(_named(data))])


def findings(data: dict[str, Any]) -> str:
    """Describe how gradients grow with batch norm, and their size by weight scale with and without it."""
    config = data["config"]
    deepest, scales, later = max(config["depths"]), sorted(config["scales"]), config["schedule"]["probe_every"]

    def listed(measure: Measure, net: str = "batch_norm", *some: float) -> str:
        runs = [data["arms"][setting(deepest, scale).arm(net)] for scale in some or scales]
        return listing(measure.format.number(middle(of_scale, measure)) for of_scale in runs)

    found = (
        f"At initialisation, with batch norm, the gradient grows {decided(CLAIMS, data, 'depth_growth')} per layer towards the "
        f"input, beyond the ten layers nearest to the output; of all depths, and of weights of "
        f"{listing(f'{scale:g}' for scale in scales)} times the usual scale, this one is farthest from the predicted 1.211. "
        f"In a net of {deepest} layers of the usual scale it is {listed(TO_SECOND.median(0, 0), 'batch_norm', 1)} times as "
        f"large at the second layer as at the last hidden one, and "
        f"{listed(TO_SECOND.median(later, later), 'batch_norm', 1)} times after {later} steps. Without batch norm the gradient "
        f"at the second layer is {listed(SECOND.median(0, 0), 'plain')} for these scales, and with it "
        f"{listed(SECOND.median(0, 0))}."
    )
    return " ".join([found, *divergences(_named(data))])


def _named(data: dict[str, Any]) -> dict[str, Any]:
    nets = by_setting(data["arms"]).items()
    return {f"{NETS[net].label}, {at.words}": arms[net] for at, arms in nets for net in ("plain", "batch_norm")}
