"""How far the distributions of activations have moved: the median and the range over a layer's units, over training."""

from collections.abc import Sequence

import numpy as np

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.style import CYCLE, Axes, Figure, Quantity

QUANTITIES = (
    Quantity("relative_mean", "Mean", "|change| / standard deviation"),
    Quantity("relative_variance", "Variance", "|change| / variance"),
    Quantity("relative_wasserstein", "Distance W1", "W1 / standard deviation"),
)


def drift_figure(result: probes.Drift | probes.Shift, steps: Sequence[int] | None = None) -> Figure:
    """Draw the relative shifts of a layer; for a drift, those from step to step above those from the first step.

    `steps` has one step per shift, or, for a drift, every step whose statistics were stacked.
    """
    if isinstance(result, probes.Drift):
        shifts = {", step to step": result.successive, ", since the first": result.cumulative}
    else:
        shifts = {"": result}
    if not min(len(np.atleast_2d(shift.mean)) for shift in shifts.values()):
        raise ValueError(
            "result must hold the statistics of two or more steps, between which there is a shift, got one."
        )
    at = range(max(len(np.atleast_2d(shift.mean)) for shift in shifts.values())) if steps is None else steps
    with style.new_figure(13, 3.6 * len(shifts) + 1) as figure:
        panels = figure.subplots(len(shifts), 3, squeeze=False)
        for row, (since, shift) in zip(panels, shifts.items(), strict=True):
            for ax, quantity in zip(row, QUANTITIES, strict=True):
                draw_shift(ax, shift, quantity.name, at[-len(np.atleast_2d(shift.mean)) :])
                ax.set_title(f"{quantity.title}{since}")
                if steps is None:
                    ax.set_xlabel("index in the stack")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(handles))
        first = next(iter(shifts.values()))
        missing = int(np.sum(~np.isfinite(np.atleast_2d(first.relative_mean)).any(0)))
        style.write_foot(figure, [f"{first.mean.shape[-1]} units", f"{missing} without a value" if missing else ""])
        return figure


@checked()
def draw_shift(
    ax: Axes, shift: probes.Shift, quantity: str = "relative_wasserstein", steps: Sequence[int] | None = None
) -> None:
    """Draw the median over units of a shift's size, and a band from the smallest to the largest.

    Units without a finite value at a step are left out there.

    Args:
        ax: the axis to draw on.
        shift: arrays of shape (steps, units), or (units,).
        quantity: "relative_mean", "relative_variance" or "relative_wasserstein".
        steps: training steps; None counts them.

    Raises:
        ValueError: if the quantity is another one, or the shift is stacked more than once.

    Example:
        >>> samples = jnp.arange(40.0).reshape(2, 10, 2)
        >>> draw.draw_shift(Figure().subplots(), probes.shift(*map(probes.activation_statistics, samples)), "relative_mean")
    """
    name, title, label, _ = style.pick(QUANTITIES, quantity)
    style.check_stack("shifts", shift.mean)
    values = np.atleast_2d(np.abs(np.asarray(getattr(shift, name), float)))
    low, middle, high = np.transpose([_spread(row) for row in values])
    at = style.label_steps(ax, len(values), steps)
    marker = "o" if len(at) <= 25 else ""
    ax.plot(at, middle, color=CYCLE[0], marker=marker, markersize=5, label="median of the units")
    ax.fill_between(at, low, high, color=CYCLE[0], alpha=0.25, linewidth=0, label="smallest to largest")
    if len(at) == 1:
        ax.vlines(at, low, high, color=CYCLE[0], linewidth=2)
    margin = 0.05 * np.ptp(at) or 0.5
    ax.set(title=title, ylabel=label)
    ax.set(xlim=(np.min(at) - margin, np.max(at) + margin))  # also if no unit has a value
    ax.set_ylim(bottom=0)


def _spread(values: np.ndarray) -> np.ndarray:
    """Return the smallest, the median and the largest of the finite values, NaN if there are none."""
    finite = values[np.isfinite(values)]
    return np.quantile(finite, (0, 0.5, 1)) if finite.size else np.full(3, np.nan)
