"""The results of the checks of the theorems in each run, and their names in words.

A run's `probe`, the results at the checked steps, has four parts, each by name: `errors`, (steps,), the largest of all units
and layers; `counts` of units, (steps, layers), of which `active` are those with a gradient; `ratios`, (steps, layers, 3): two
deciles of units and the median between them; `histogram`, (steps, bins), of the units of all layers.
"""

from dataclasses import replace

import numpy as np

from experiments._evidence.format import PERCENT, Format
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Arms, Data, Recorded, Run, array, recorded
from experiments._evidence.value import Missing

ACCEPTED = 1e-8  # the largest relative error of an equality in float64
EDGES = np.logspace(-5, 0, 26)  # edges of the histogram of the removed share of the squared gradient
# The data's arms, with their names in the table of all nets.
SHOWN = {"plain": "inserted", "batch_norm": "trained"}
EQUALITIES = {
    "Theorem 4.1": "theorem_4_1",
    "Theorem 4.2, first line": "theorem_4_2",
    "Theorem 4.4, white inputs": "theorem_4_4",
    "Theorem C.1, white inputs": "theorem_c_1",
    "Lemma 4.5": "lemma_4_5",
    "Obs. 4.3: outputs": "preserved_outputs",
    "cosine of w and ∂L/∂w": "orthogonal",
    "BN(aWu) = BN(Wu)": "rescaled_outputs",
    "∂L/∂u the same at aW": "rescaled_inputs_gradient",
    "∂L/∂(aW) = (1/a) ∂L/∂W": "rescaled_weights_gradient",
}
STATEMENTS = {
    "|ĝ| ≤ |g|": "gradient_not_larger",
    "Theorem 4.4, corrected": "corrected_holds",
    "Theorem 4.4, as printed": "printed_holds",
    "Theorem 4.2, 2nd line, H = cI": "isotropic_holds",
    "Theorem 4.2, 2nd line, own H": "relaxed_holds",
    "Theorem C.1, own inputs": "c_1_as_bound_holds",
    "Theorem C.1, bound ≥ 0": "c_1_not_negative",
    "H ≥ 0 along ĝ": "positive",
    "g·ŷ > 0 and H ≥ 0": "smoother",
    "ĝᵀĤĝ ≤ gᵀHg": "curvature_not_larger",
}
RATIOS = {"|ĝ| / |g|": "gradient_ratio", "ĝᵀĤĝ / gᵀHg": "curvature_ratio"}


def shown(data: Data) -> Arms:
    """Return the runs by the name of their net in `SHOWN`."""
    return {SHOWN[arm]: runs for arm, runs in data["arms"].items()}


def largest_error(name: str) -> Measure:
    """Return the largest relative error of an equality in a run; missing if it was not checked."""
    labels = {key: label for label, key in EQUALITIES.items()}
    form = Format(".1e")
    words = f"largest relative error over units, layers and steps, {labels.get(name, name)}, float64, epsilon 0"
    errors = Quantity(
        "probe", lambda probe: array(probe["errors"].get(name, [np.nan])), f"relative error, {name}", form, np.nan
    )
    return replace(errors.highest(), words=words)


def share(name: str, of: str = "active") -> Measure:
    """Return the share of a run's (unit, step) pairs with a gradient at which a statement holds."""
    named = {key: label for label, key in STATEMENTS.items()} | {"c_1_not_negative_holds": "Theorem C.1, own inputs"}
    among = "those with a gradient" if of == "active" else f"those with {named.get(of, of)}"
    words = f"share of units and steps, of {among}, with {named.get(name, name)}"

    def value(run: Run) -> float:
        counts = recorded(run, "probe").get("counts")
        if not counts:
            return Missing("not checked at any step")
        return float(_share(recorded(run, "probe"), name, of)) if name in counts else Missing("needs another check")

    return Measure(value, words, PERCENT)


def share_by_step(name: str) -> Quantity:
    """Return the share of units with a gradient at which a statement holds, at each step."""
    return Quantity("probe", lambda probe: _share(probe, name, "active", 1), "share of units", PERCENT, np.nan)


def ratio(name: str, layer: int) -> Quantity:
    """Return the median of a ratio over the units of a layer, counted from 1."""

    def medians(probe: Recorded) -> np.ndarray:
        return array(probe["ratios"][name])[:, layer - 1, 1]

    return Quantity("probe", medians, f"{name}, layer {layer}", Format("z.2f"), np.nan)


def _share(probe: Recorded, name: str, of: str, axis: int | None = None) -> np.ndarray:
    holds, among = (np.sum(probe["counts"][key], axis) for key in (name, of))
    return holds / np.where(among, among, np.nan)
