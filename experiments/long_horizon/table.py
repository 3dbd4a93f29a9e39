"""The table and the findings of what lies ahead."""

from typing import Any

from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.run import recorded, settings
from experiments._evidence.table import by_measure, divergences, seeds
from experiments._evidence.verdict import decided
from experiments._nets import describe
from experiments.long_horizon.claims import CLAIMS
from experiments.long_horizon.quantities import FIRST, QUANTITIES, ahead, in_edges, steps_ahead

_NAMES = {
    "frozen": "loss, frozen gradient",
    "path": "loss, path",
    "cosine": "cosine of gradients",
    "largest": "step to step, largest",
    "mean": "step to step, mean",
    "recalibrated": "barrier, fresh",
    "mixed": "barrier, interpolated",
    "start": "barrier, of the start",
    "end": "barrier, of the end",
    "stale": "removed by fresh ones",
}

_UNKNOWN = "an unknown amount"


def measures(data: dict[str, Any], rate: float) -> dict[str, Measure]:
    """Name the rows of a learning rate's table: each quantity at the nearest, a middle and the farthest number of steps."""
    known = steps_ahead(data)
    places = dict.fromkeys((0, len(known) // 2, len(known) - 1))
    rows = {
        f"{_NAMES[name]}, {known[place]}": ahead(name, place, known[place]).median(FIRST)
        for name in QUANTITIES
        for place in places
    }
    return rows | {"batch sharpness": in_edges(rate).median(FIRST)}


def summarise(data: dict[str, Any]) -> str:
    """Put each learning rate into a table: a row per quantity and number of steps, a column per net, and their ratio."""
    lines = []
    for setting, arms in settings(data["arms"]).items():
        accuracy = {"training accuracy": TRAIN_ACCURACY.at_end(50), "test accuracy": TEST_ACCURACY.at_end()}
        rows = accuracy | measures(data, float(setting))
        lines += ["", describe(setting), *by_measure(arms, rows, ("batch_norm", "plain"))]
    return "\n".join(
        [
            *lines,
            "",
            "After the comma: how many steps ahead. Losses as multiples of the loss at the start: as many learning rates",
            "along the gradient there, and after as many steps. Step to step: change of the gradient per distance, over the",
            "steps up to there. Barrier between the weights now and then, by the statistics at each point: fresh, or running",
            "ones, interpolated, of the start or of the end. Batch sharpness in units of 2 / learning rate. Medians over the",
            f"training after step 0, then over {seeds(data['config'])}.",
            *_about_planes(data),
            *divergences(data["arms"]),
        ]
    )


def _about_planes(data: dict[str, Any]) -> list[str]:
    """Describe the picture of planes, if there is one."""
    arms = next(iter(settings(data["arms"]).values()))
    if not all(recorded(runs[0], "plane").get("step") for runs in arms.values()):
        return []
    ahead = data["config"]["probes"]["plane"]["steps_ahead"]
    return [
        "",
        "The picture of planes shows the loss of the same images, of the first seed: to the right along the gradient there,",
        f"upwards to the weights {ahead} steps later. Both axes are in units of the distance to these.",
    ]


def findings(data: dict[str, Any]) -> str:
    """Describe how far ahead the gradient is predictive, and the share of barriers that fresh statistics remove."""

    def of(name: str) -> str:
        return decided(CLAIMS, data, f"horizon_{name}", unknown=_UNKNOWN)

    found = (
        "At learning rate 0.1, the loss 10 learning rates along the frozen gradient, relative to the start, is "
        f"{of('frozen')} that without batch norm, and the cosine of the gradients now and 10 steps later, with batch norm "
        f"minus without, is {of('gradient')}. From step to step, the change of the gradient per distance is "
        f"{of('path_mean')} that without batch norm on average, and {of('path_largest')} at its largest. Batch sharpness is "
        f"{of('sharpness_less')} that without batch norm."
    )
    stale = of("stale")
    barrier = f"Fresh statistics remove {stale} of the barrier to the weights 100 steps later."
    return " ".join([found, *([] if stale == _UNKNOWN else [barrier]), *divergences(data["arms"])])
