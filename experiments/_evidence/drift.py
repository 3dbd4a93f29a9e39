"""Drift: how far the distributions of activations move, unit by unit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from experiments._evidence.format import TIMES, listing
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Data, Recorded, all_runs, array, layer_names, layer_number
from experiments._evidence.setup import config_of
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic, join
from experiments._evidence.value import Spread, median, spread
from experiments._nets import NETS

Since = Literal["successive", "cumulative"]
Moment = Literal["mean", "variance", "wasserstein"]
# The reductions over layers that claims use.
_CHOSEN = {min: "smallest of all layers", max: "largest of all layers", median: "median of the layers"}
_UNITS = {"mean": "its standard deviation", "variance": "the variance", "wasserstein": "the pooled standard deviation"}
_PLACES = {"drift": "", "drift_before_norm": ", before the norm", "drift_after_activation": ", after the activation"}
_ACTIVE = "drift_after_activation"
_SINCE = {"successive": "between measurements", "cumulative": "since the first measurement"}


def drift(
    layer: str, moment: Moment, since: Since = "successive", *, relative: bool = False, kind: str = "drift"
) -> Quantity:
    """Return how far the units of a layer have moved at each step: the median over units of the absolute change.

    Args:
        layer: name of the layer.
        moment: the mean, the variance, or the distance W1 of the whole distributions.
        since: since the measurement before, or since the first one.
        relative: in units of the unit's standard deviation, or its variance, at the earlier measurement; W1 always is in units
            of the pooled standard deviation.
        kind: kind of the probe, which determines where the distributions are taken.
    """
    name = f"relative_{moment}" if relative or moment == "wasserstein" else moment

    def value(record: Recorded) -> np.ndarray:
        changes = record["layers"][layer].get(since)  # missing if there is only one step
        rows = np.abs(array(changes[name]))[0 if since == "successive" else 1 :] if changes else []
        return np.array([np.nan, *_median_unit(np.asarray(rows))])

    subject = "distance W1" if moment == "wasserstein" else f"|change of a unit's {moment}|"
    unit = f" / {_UNITS[moment]}" * name.startswith("relative")
    return Quantity(kind, value, f"{subject} {_SINCE[since]}{unit}{_PLACES[kind]}")


def typical(
    layer: str, moment: Moment, since: Since = "successive", *, relative: bool = False, kind: str = "drift"
) -> Measure:
    """Return the median of a drift over all measurements except the first, which has no earlier one."""
    moved = drift(layer, moment, since, relative=relative, kind=kind)
    return replace(moved.median(first=1), words=f"{moved.words}, medians over units and steps")


def deepest_drift(
    data: Data, moment: Moment = "wasserstein", *, relative: bool = False, kind: str = "drift"
) -> Measure:
    """Return how far the distributions of the deepest followed layer typically move between measurements.

    Raises:
        NotInDataError: if no layer is followed.
    """
    layers = layer_names(all_runs(data.get("arms", {})), kind)
    if not layers:
        raise NotInDataError("these data have no drift")
    return typical(layers[-1], moment, relative=relative, kind=kind)


def over_layers(
    choose: Callable,
    net: str,
    other: str,
    moment: Moment,
    since: Since = "successive",
    *,
    relative: bool = False,
    kind: str = "drift",
) -> Statistic:
    """Divide the typical drifts of two nets, layer by layer and seed by seed, and choose one of the layers' ratios.

    `choose` is min, max or `median`, over the layers that were followed; `moment`, `since`, `relative`, `kind`: see `drift`.
    """

    def of(data: Data) -> BySeed:
        ratios = _ratios(data, net, other, moment, since, relative, kind)
        return join(ratios, lambda *values: float(choose(values))).of(data)

    what = typical("", moment, since, relative=relative, kind=kind).words
    who = f"{NETS[net].short} / {NETS[other].short}, {_CHOSEN[choose]}"
    arms = (f"arms/{net}", f"arms/{other}")
    return Statistic(of, what, who, arms, TIMES, part=partial(followed, kind=kind))


def before_activation(statistic: Statistic) -> Statistic:
    """Return the statistic for the drift of pre-activations only; other data raise a NotInDataError."""

    def of(data: Data) -> BySeed:
        config = config_of(data, "arms")
        if "probes" in config and subject(config) != "pre-activation":
            raise NotInDataError("needs drift measured before the activation")
        return statistic.of(data)

    return replace(statistic, of=of)


def after_activation(make: Callable[[str], Statistic], needs: tuple[str, Any, str]) -> Statistic:
    """Return a statistic of drift behind the activation: of its own probe, else of the usual one if that follows activations.

    Args:
        make: returns the statistic for a kind of probe.
        needs: where the usual probe follows activations, as for `Statistic.where`.
    """
    active, usual = make(_ACTIVE), make("drift").where(*needs)

    def is_active(data: Data) -> bool:
        return bool(layer_names(all_runs(data.get("arms", {})), _ACTIVE))

    def of(data: Data) -> BySeed:
        return (active if is_active(data) else usual).of(data)

    def part(data: Data) -> str:
        return followed(data, _ACTIVE if is_active(data) else "drift")

    return replace(active, of=of, part=part)


def ratios(
    data: Data, net: str, other: str, moment: Moment, since: Since = "successive", *, relative: bool = False
) -> Spread:
    """Return the range over layers of the ratio of two nets' typical drifts, each ratio the median over seeds."""
    statistics = _ratios(data, net, other, moment, since, relative, "drift")
    return spread(median(statistic.of(data).values()) for statistic in statistics)


def followed(data: Data, kind: str = "drift") -> str:
    """Name the layers whose drift is in the data, and the measured outputs, such as pre-activations."""
    numbers = [str(layer_number(layer)) for layer in layer_names(all_runs(data.get("arms", {})), kind)]
    config = config_of(data, "arms")
    if not numbers or "probes" not in config:
        return ""
    return f"{subject(config, kind)}s of layer{'s' * (len(numbers) > 1)} {listing(numbers)}"


def subject(config: Mapping[str, Any], kind: str = "drift") -> str:
    """Name the outputs whose distributions a probe of this kind measures."""
    names = {"activations": "activation", "unnormalised": "raw output"}
    return names.get(config["probes"].get(kind, {}).get("of"), "pre-activation")


def layer_titles(layers: Sequence[str]) -> str:
    """List the numbers of layers."""
    return ", ".join(str(layer_number(layer)) for layer in layers)


def histogram(quantiles: np.ndarray, edges: np.ndarray, smooth: float = 1.5) -> np.ndarray:
    """Rebuild a histogram from a distribution's quantiles at (i + 1/2) / n; values beyond these are left out.

    Args:
        quantiles: the quantiles, increasing.
        edges: edges of the bins.
        smooth: standard deviation of the Gaussian that smooths the steps between the quantiles, in bins.

    Returns:
        The share of all values in each bin, (bins,).
    """
    levels = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    below = np.interp(edges, quantiles, levels, left=levels[0], right=levels[-1])
    offsets = np.arange(-4 * smooth, 4 * smooth + 1).round()
    kernel = np.exp(-((offsets / smooth) ** 2) / 2)
    return np.convolve(np.diff(below), kernel / kernel.sum(), mode="same")


def _ratios(
    data: Data, net: str, other: str, moment: Moment, since: Since, relative: bool, kind: str
) -> list[Statistic]:
    """Divide the typical drifts of two nets in each of the layers that were followed."""
    arms = data.get("arms", {})
    layers = layer_names([*arms.get(net, []), *arms.get(other, [])], kind)
    if not layers:
        raise NotInDataError(f"these data have no drift of {NETS[net].short} and {NETS[other].short}")
    return [typical(layer, moment, since, relative=relative, kind=kind).over(net, other) for layer in layers]


def _median_unit(changes: np.ndarray) -> np.ndarray:
    """Return, at each step, the median over the units whose change is finite; NaN without any."""
    found = np.full(len(changes), np.nan)
    if changes.size:
        is_finite = np.isfinite(changes)
        is_whole = is_finite.all(axis=1)
        found[is_whole] = np.median(changes[is_whole], axis=1)
        for step in np.flatnonzero(~is_whole & is_finite.any(axis=1)):
            found[step] = np.median(changes[step, is_finite[step]])
    return found
