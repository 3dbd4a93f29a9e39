"""The table and the findings of Mameli's net."""

from typing import Any

from experiments._evidence import quantities as q
from experiments._evidence.format import STEPS
from experiments._evidence.quantity import Measure
from experiments._evidence.table import by_measure, divergences, middle, seeds, written
from experiments._evidence.verdict import decided
from experiments.mameli.claims import CLAIMS
from experiments.mameli.figure import DEPTH, few_seeds
from experiments.mameli.quantities import PLATEAU, RELATIVE_SHIFT, SHIFT, successive

_ROWS: dict[str, Measure] = {
    "test accuracy": q.TEST_ACCURACY.at_end(),
    "best test accuracy": q.TEST_ACCURACY.highest(),
    "recalibrated test accuracy": q.RECALIBRATED_ACCURACY.at_end(),
    "test loss": q.TEST_LOSS.at_end(),
    "training accuracy": q.TRAIN_ACCURACY.at_end(50),
    "steps near the loss of chance": PLATEAU,
    "Mameli's shift": q.second_net().median(),
    "  without any step": q.second_net(which="zero_step").median(),
    "shift, Definition 2.1": SHIFT.median(),
    "  relative to |G|": RELATIVE_SHIFT.median(),
    "Mameli's predictiveness": successive("step_sum").median(),
    "  relative to the lengths": successive("relative_sum").median(),
    "gradient predictiveness": q.GRADIENT_CHANGE.median(),
    "Mameli's landscape": q.LOSS_AND_CHANGE.median(1),
    "loss range": q.LOSS_RANGE.median(),
    "effective smoothness": q.SMOOTHNESS.median(),
}


def summarise(data: dict[str, Any]) -> str:
    """Put both nets into a table: a row per measure, Mameli's before those of the same names, and their ratio."""
    return "\n".join(
        [
            "",
            *by_measure(data["arms"], _ROWS, ("batch_norm_4", "plain")),
            "Mameli's: distance from the gradient in a second net, with a random classifier; length of the sum of two batches'",
            "gradients; loss plus its change since the last batch. Below each: what its name stands for, gradients of layer 5",
            "before and after the layers before it are updated, and scans along the gradient, of all parameters (smaller",
            f"predicts better, and is smoother). Medians over the training, then over {seeds(data['config'])}.",
            *divergences(data["arms"]),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe the effect of one batch norm, in Mameli's measures and in the definitions they are named after."""
    arms = data["arms"]

    def of(*names: str) -> str:
        return decided(CLAIMS, data, *(f"mameli_{name}" for name in names))

    def at_end(net: str) -> str:
        return written(arms[net], q.TEST_ACCURACY.at_end())

    plateau = STEPS.written(middle(arms["plain"], PLATEAU))
    found = (
        f"After {data['config']['schedule']['num_steps']:,} steps the net reaches {at_end('batch_norm_4')} test accuracy with "
        f"one batch norm, after layer 4, and {at_end('plain')} without, whose training loss stays near that of chance for "
        f"{plateau}. With one batch norm, Mameli's covariate shift is {of('shift', 'shift_start')} that without, the shift by "
        f"Definition 2.1 {of('shift_defined')}, and its size relative to the gradient {of('shift_relative')}; Mameli's "
        f"predictiveness is {of('sum', 'sum_part')} that without, and the change of the gradient along itself "
        f"{of('gradient_change')}; Mameli's landscape is {of('loss_change', 'loss_change_part')} that without, and the range "
        f"of the loss along the gradient {of('loss_range')}. {DEPTH[0].upper()}{DEPTH[1:]}."
    )
    few = few_seeds(data)
    return " ".join([found, *([f"{few[0].upper()}{few[1:]}."] if few else []), *divergences(arms)])
