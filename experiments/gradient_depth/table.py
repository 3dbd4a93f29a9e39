"""How the size of gradients changes from layer to layer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._claims.claim import TIMES
from experiments._numbers import curves

Run = dict[str, Any]


def settings(data: dict[str, Any]) -> list[tuple[int, float]]:
    """List depth and scale of the nets that there are."""
    names = [arm.removeprefix("batch_norm_").split("_") for arm in data["arms"] if arm.startswith("batch_norm_")]
    return [(int(depth), float(scale)) for depth, scale in names]


def norms(run: Run, record: int = 0) -> np.ndarray:
    """Return the norm of the gradient by each layer's weights, input side first; NaN where it was not measured."""
    found = run["gradients"]["norm"]
    return curves.array(found[record]) if record < len(found) else np.full(len(found[0]), np.nan)


def over_layers(run: Run, record: int = 0) -> float:
    """Divide the second layer's norm by the last hidden layer's: between them all layers are alike."""
    found = norms(run, record)
    return float(found[1] / found[-2]) if found[-2] > 0 else float("nan")


def growth(run: Run, record: int = 0) -> float:
    """Take by what factor the norm grows per layer, towards the input: the geometric mean."""
    return float(over_layers(run, record) ** (1 / (len(norms(run)) - 3)))


def second_layer(run: Run) -> float:
    """Return the norm at the second layer, at initialisation."""
    return float(norms(run)[1])


def table(data: dict[str, Any]) -> str:
    """Write a row for each net: medians over seeds."""
    later = _later(data)
    columns: dict[str, Callable[[Run], float]] = {
        "layer 2": second_layer,
        "last hidden": lambda run: float(norms(run)[-2]),
        "growth": growth,
        f"growth, step {later}": lambda run: growth(run, 1),
    }
    rows = ["", f"{'':32}" + "".join(f"{name:>18}" for name in columns)]
    for name, runs in _named(data).items():
        cells = [TIMES.number(curves.median([measure(run) for run in runs])) for measure in columns.values()]
        rows.append(f"{name:32}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(
        [
            *rows,
            "Norm of the gradient by a layer's weights before the first step, and by what factor it grows per hidden layer,",
            f"towards the input; medians over {curves.count_seeds(data)}.",
            *curves.divergences(_named(data)),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Say how gradients grow with batch norm, and what their size depends on without."""
    deepest, scales = max(depth for depth, _ in settings(data)), sorted({scale for _, scale in settings(data)})

    def middle(net: str, scale: float, measure: Callable[[Run], float]) -> str:
        return TIMES.number(curves.median([measure(run) for run in data["arms"][f"{net}_{deepest}_{scale:g}"]]))

    def listed(net: str, measure: Callable[[Run], float]) -> str:
        *first, last = (middle(net, scale, measure) for scale in scales)
        return f"{', '.join(first)} and {last}" if first else last

    *few, most = (f"{scale:g}" for scale in scales)
    found = (
        f"With batch norm the gradient of a net of {deepest} layers grows {listed('batch_norm', growth)} times per layer "
        f"towards the input at initialisation, from weights of {', '.join(few)} and {most} times the usual scale, "
        f"{middle('batch_norm', 1, over_layers)} times from the last hidden layer to the second; after {_later(data)} steps "
        f"{middle('batch_norm', 1, lambda run: over_layers(run, 1))} times. Without it the gradient at the second layer is "
        f"{listed('plain', second_layer)} for the same weights, and with it {listed('batch_norm', second_layer)}."
    )
    return " ".join([found, *curves.divergences(_named(data))])


def _named(data: dict[str, Any]) -> dict[str, list[Run]]:
    """Name the nets in words."""
    return {
        f"{curves.LABELS[net]}, {depth} layers, scale {scale:g}": data["arms"][f"{net}_{depth}_{scale:g}"]
        for depth, scale in settings(data)
        for net in ("plain", "batch_norm")
    }


def _later(data: dict[str, Any]) -> int:
    """Return the step of the second measurement."""
    return int(data["config"]["probe_every"])
