"""What figure, table and claims take from the data of checked theorems: numbers per run, and their names in words."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._numbers import curves

LABELS = {"plain": "BN inserted into a plain net", "batch_norm": "net trained with BN"}
ACCEPTED = 1e-8  # the largest relative error of an equality in float64

EQUALITIES = {
    "theorem_4_1": "Theorem 4.1",
    "theorem_4_2": "Theorem 4.2, first line",
    "theorem_4_4": "Theorem 4.4, white inputs",
    "theorem_c_1": "Theorem C.1, white inputs",
    "lemma_4_5": "Lemma 4.5",
    "preserved_outputs": "Obs. 4.3: outputs",
    "orthogonal": "cosine of w and ∂L/∂w",
    "rescaled_outputs": "BN(aWu) = BN(Wu)",
    "rescaled_inputs_gradient": "∂L/∂u the same at aW",
    "rescaled_weights_gradient": "∂L/∂(aW) = (1/a) ∂L/∂W",
}
STATEMENTS = {
    "gradient_not_larger": "|ĝ| ≤ |g|",
    "corrected_holds": "Theorem 4.4, corrected",
    "printed_holds": "Theorem 4.4, as printed",
    "isotropic_holds": "Theorem 4.2, 2nd line, H = cI",
    "relaxed_holds": "Theorem 4.2, 2nd line, own H",
    "c_1_as_bound_holds": "Theorem C.1, own inputs",
    "positive": "H ≥ 0 along ĝ",
    "smoother": "g·ŷ > 0 and H ≥ 0",
    "curvature_not_larger": "ĝᵀĤĝ ≤ gᵀHg",
}


def largest_error(name: str) -> Callable[[dict], float]:
    """Make a function that takes an equality's largest relative error in a run: over units, layers and steps."""

    def measure(run: dict[str, Any]) -> float:
        values = curves.array(run["probe"]["errors"][name])
        values = values[np.isfinite(values)]
        return float(values.max()) if values.size else float("nan")

    return measure


def share(name: str, of: str = "active") -> Callable[[dict], float]:
    """Make a function that takes the share of a run's (unit, step) at which a statement holds, of those with a gradient."""

    def measure(run: dict[str, Any]) -> float:
        holds, among = (np.sum(run["probe"]["counts"][key]) for key in (name, of))
        return float(holds / among) if among else float("nan")

    return measure


def share_by_step(name: str) -> Callable[[dict], np.ndarray]:
    """Make a function that takes the same share at each step of a probe."""

    def value(probe: dict[str, Any]) -> np.ndarray:
        holds, among = (np.sum(probe["counts"][key], axis=1) for key in (name, "active"))
        return holds / np.where(among, among, np.nan)

    return value


def median_ratio(name: str, layer: int) -> Callable[[dict], np.ndarray]:
    """Make a function that takes a ratio's median over the units of a layer, from 1, at each step of a probe."""
    return lambda probe: curves.array(probe["ratios"][name])[:, layer - 1, 1]


def over_runs(runs: list[dict], measure: Callable[[dict], float]) -> tuple[float, float, float]:
    """Return the smallest, the median and the largest number of some runs; NaN if none is finite."""
    values = np.array([measure(run) for run in runs])
    values = values[np.isfinite(values)]
    low, middle, high = np.quantile(values, (0, 0.5, 1)) if values.size else [np.nan] * 3
    return float(low), float(middle), float(high)


def table(data: dict[str, Any]) -> str:
    """Print errors, shares and ratios: a row each, a column per net."""
    arms = data["arms"]
    lines = ["", f"{'':32}" + "".join(f"{LABELS[arm]:>30}" for arm in arms), "Largest relative error"]
    for name, label in EQUALITIES.items():
        cells = [_cell(runs, name) for runs in arms.values()]
        lines.append(f"  {label:30}" + "".join(f"{cell:>30}" for cell in cells))
    lines.append("Share of (unit, step) at which it holds, median over seeds (smallest, largest)")
    for name, label in STATEMENTS.items():
        cells = [[100 * x for x in over_runs(runs, share(name))] for runs in arms.values()]
        lines.append(f"  {label:30}" + "".join(f"{f'{m:.1f} % ({low:.1f}, {high:.1f})':>30}" for low, m, high in cells))
    lines.append("At the last step, median over units, layer by layer")
    for name, label in (("gradient_ratio", "|ĝ| / |g|"), ("curvature_ratio", "ĝᵀĤĝ / gᵀHg")):
        cells = [_by_layer(runs, name) for runs in arms.values()]
        lines.append(f"  {label:30}" + "".join(f"{cell:>30}" for cell in cells))
    wrong = [
        f"{LABELS[arm]}, seed {run['seed']}: the loss stopped being finite at step {run['diverged_at']}."
        for arm, runs in arms.items()
        for run in runs
        if run["diverged_at"] is not None
    ]
    steps = ", ".join(map(str, data["config"]["check_steps"]))
    return "\n".join([*lines, f"{curves.count_seeds(data)}, steps {steps}, float64, epsilon 0.", *wrong])


def _cell(runs: list[dict], name: str) -> str:
    """Print an equality's largest error of all runs."""
    known = name in runs[0]["probe"]["errors"]
    return f"{over_runs(runs, largest_error(name))[2]:.1e}" if known else "-"


def _by_layer(runs: list[dict], name: str) -> str:
    """Print the medians at the last step."""
    last = np.median([curves.array(run["probe"]["ratios"][name])[-1, :, 1] for run in runs], axis=0)
    return ", ".join(f"{x:.2f}" for x in last)
