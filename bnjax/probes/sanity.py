"""Check a scan: whether its losses match its gradients, and its centre matches its start."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

# Tolerated error of a loss, in units of its type's precision, since sums are taken in different orders.
_ROUNDING = 64
# The same in units of the rounding of products' operands, whose errors hardly add up: up to 5 were measured.
_OPERAND_ROUNDING = 8


class Sanity(NamedTuple):
    """How the losses along a line fit the gradients there, in float64 on the host; stacked scans have one entry each.

    `print` shows it as one line.

    Attributes:
        start_loss: evaluated together with the first gradient.
        centre_loss: at step size 0, evaluated like any other point; NaN if 0 is not one of the points.
        tolerance: by how much these two may differ: half of the digits.
        change: by how much the loss changes from point to point, absolute values added up.
        predicted_change: the same, predicted from the slopes <g, d> alone.
        misfit: difference of the two from point to point, absolute values added up; NaN if fewer than two points are finite.
        uncertainty: of the prediction, by the changes of the slope from point to point, and by rounding.

    Example:
        >>> from bnjax import probes
        >>> scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(2), step_sizes=(0.1, 0.2))
        >>> print(scan.check().agrees, scan._replace(loss=scan.loss + jnp.array([0.0, 9.0])).check().agrees)
        True False
    """

    start_loss: Float[np.ndarray, "*scans"]
    centre_loss: Float[np.ndarray, "*scans"]
    tolerance: Float[np.ndarray, "*scans"]
    change: Float[np.ndarray, "*scans"]
    predicted_change: Float[np.ndarray, "*scans"]
    misfit: Float[np.ndarray, "*scans"]
    uncertainty: Float[np.ndarray, "*scans"]

    @property
    def is_decided(self) -> Bool[np.ndarray, "*scans"]:
        """Whether the points lie close enough together: the predicted change is known to within half of it."""
        return np.asarray(self.uncertainty <= np.maximum(self.change, self.predicted_change) / 2)

    @property
    def agrees(self) -> Bool[np.ndarray, "*scans"]:
        """Whether the centre is the start and the misfit within the uncertainty; unknown values agree."""
        moved = np.abs(self.centre_loss - self.start_loss) > self.tolerance
        return np.asarray(np.isfinite(self.start_loss) & ~moved & ~(self.misfit > self.uncertainty))

    def __str__(self) -> str:
        """Describe the scan in one line; of several scans, the one that fits worst."""
        agrees = self.agrees.ravel()
        with np.errstate(invalid="ignore", divide="ignore"):
            misfit = np.nan_to_num((self.misfit / self.uncertainty).ravel(), nan=0)
        worst = int(np.argmax(np.where(agrees, np.minimum(misfit, 1), 2 + misfit)))
        line = _line(Sanity(*(field.ravel()[worst] for field in self)))
        return line if len(agrees) == 1 else f"{agrees.sum()} of {len(agrees)} scans agree; scan {worst}: {line}"


def check_line(
    step_sizes: Array,
    loss: Array,
    slope: Array | np.ndarray,
    start_loss: Array,
    start_slope: Array | np.ndarray,
    rounding: float = 0.0,
) -> Sanity:
    """Compare how the loss changes along a line with the prediction of its gradients.

        L(b) - L(a) = integral from a to b of <g, d>, between (b - a) min(<g, d>) and (b - a) max(<g, d>)

    by the trapezoidal rule from each point to the next, whose uncertainty is how much the slope changes there times the
    distance: all of it, as gradients of nets with ReLU jump. An error of the gradient orthogonal to the line is not found.

    Args:
        step_sizes: (*scans, points), at any distances and in any order.
        loss: at these points; non-finite values are left out.
        slope: <g, d> at these points, (*scans, points).
        start_loss: at 0, (*scans).
        start_slope: at 0, (*scans).
        rounding: relative distance of the numbers that operands of products were rounded to, 0 for those of the loss's type.

    Returns:
        Sanity.
    """
    precision = max(float(jnp.finfo(values.dtype).eps) for values in (loss, slope))
    smallest = float(jnp.finfo(slope.dtype).tiny)
    lines = _stack(step_sizes, loss, slope, shape=loss.shape).reshape(3, -1, loss.shape[-1])
    starts = _stack(start_loss, start_slope, shape=start_loss.shape).reshape(2, -1)
    scans = zip(np.moveaxis(lines, 1, 0), starts.T, strict=True)
    fields = np.array([_measure(line, start, precision, rounding, smallest) for line, start in scans])
    return Sanity(*fields.T.reshape(-1, *start_loss.shape))


def _stack(*values: Array | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Stack arrays in float64."""
    return np.stack([np.broadcast_to(np.asarray(value, np.float64), shape) for value in values])


def _measure(
    line: Float[np.ndarray, "3 points"],
    start: Float[np.ndarray, "2"],
    precision: float,
    operand_rounding: float,
    smallest: float,
) -> tuple[float | np.floating, ...]:
    """Return the fields of one scan, from step sizes, losses and slopes, and loss and slope at the start."""
    is_centre = line[0] == 0
    centre = line[1, is_centre][0] if is_centre.any() else np.nan
    ends = start[0], centre, np.sqrt(max(precision, operand_rounding)) * abs(start[0])
    if not is_centre.any():
        line = np.append(line, [[0], [start[0]], [start[1]]], axis=1)
    known = line[:, np.isfinite(line).all(axis=0)]
    x, y, slope = known[:, np.argsort(known[0])]
    if len(x) < 2:
        return *ends, np.nan, np.nan, np.nan, np.inf
    # The trapezoidal rule: (b - a) (s_a + s_b) / 2, to within (b - a) |s_b - s_a|.
    change, predicted = np.diff(y), np.diff(x) * (slope[1:] + slope[:-1]) / 2
    totals = [np.abs(values).sum() for values in (change, predicted, change - predicted)]
    relative = _ROUNDING * precision + _OPERAND_ROUNDING * operand_rounding
    # A slope below the smallest number of its type is 0.
    rounding = relative * (np.abs(y).max() * len(change) + totals[1]) + smallest * np.diff(x).sum()
    return *ends, *totals, np.diff(x) @ np.abs(np.diff(slope)) + rounding


def _line(sanity: Sanity) -> str:
    """Describe one scan."""
    start, centre, _, change, _, misfit, uncertainty = sanity
    loss = f"loss {start:.6g} at the start" + ("" if np.isnan(centre) else f", {centre:.6g} at step size 0")
    if np.isnan(misfit):
        fault = "they do NOT agree" if np.isfinite(start) else "it is NOT finite"
        return f"{loss}{'' if sanity.agrees else f': {fault}'}; no gradients along the line to compare"
    verdict = "they agree" if sanity.is_decided else "too uncertain to tell"
    return (
        f"{loss}; from point to point it changes by {change:.3g}, of which its gradients miss {misfit:.2g} where "
        f"{uncertainty:.2g} is uncertain: {verdict if sanity.agrees else 'they do NOT agree'}"
    )
