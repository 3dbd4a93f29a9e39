"""The table and the findings of the dependence between layers."""

from typing import Any

from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.table import by_measure, divergences, seeds
from experiments._evidence.verdict import decided
from experiments.layer_dependence.claims import CLAIMS
from experiments.layer_dependence.quantities import PLACES, SHARE, blocks, control, interaction


def measures(data: dict[str, Any]) -> dict[str, Measure]:
    """Name the rows of the table: the median over training of each quantity measured."""
    settings, rows = data["config"]["probes"]["layer_dependence"], {}
    kinds = [(kind, size) for kind in ("step_multiples", "relative_steps") for size in settings[kind]]
    for name, words in (("ratio", "|R|"), ("second_order_ratio", "|R|, second order")):
        for place, (kind, size) in enumerate(kinds):
            where = f"{size:g} x rate" if kind == "step_multiples" else f"{size:g} x |w|"
            rows[f"{words}, {where}"] = interaction(place, kind, size, name).median()
    rows["between layers"] = SHARE.median()
    rows[f"blocks of layer {settings['layer']}"] = blocks(settings["layer"]).median()
    for place, where in PLACES.items():
        rows[f"gain, {where}"] = control(place, "earlier_gain").median()
        rows[f"relative gain, {where}"] = control(place, "relative_gain").median()
        rows[f"earlier part, {where}"] = control(place, "earlier_share").median()
    return rows


def summarise(data: dict[str, Any]) -> str:
    """Put interaction, second order and control into a table, a column for each net."""
    arms = data["arms"]
    rows = {"training accuracy": TRAIN_ACCURACY.at_end(50), "test accuracy": TEST_ACCURACY.at_end(), **measures(data)}
    return "\n".join(
        [
            "",
            *by_measure(arms, rows, ("plain", "batch_norm")),
            "R: change of the loss by the joint step along minus the gradient, less those by each layer alone, over eta |g|²;",
            "at multiples of the learning rate, and at steps of a length in units of the parameters'. Between layers: share of",
            "second-order terms |Q|; blocks: of the Frobenius norms of the Hessian's blocks in that layer's row. Gain: change",
            "of means and standard deviations of units per length of the earlier layers' step; relative: both as shares;",
            "earlier part: beside that of the layer's own step. Medians over hidden layers and the training, then over",
            f"{seeds(data['config'])}.",
            *divergences(arms),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe how the interaction of layers differs with batch norm, and who controls moments."""
    arms = data["arms"]
    found = (
        f"With batch norm the interaction of layers is {decided(CLAIMS, data, 'dependence_rate')} that without at the learning "
        f"rate of the training, and {decided(CLAIMS, data, 'dependence_relative')} that without at a step of 0.3 % of the "
        f"parameters' length. The share of the second-order terms that is between layers differs by "
        f"{decided(CLAIMS, data, 'dependence_share')}. Per unit of a step, earlier layers change the moments of units after "
        f"the activation {decided(CLAIMS, data, 'dependence_control_after')} as much as without batch norm."
    )
    return " ".join([found, *divergences(arms)])
