"""Dependence between layers: the second-order terms between them as a heat map, their interaction, and control of moments."""

from collections.abc import Sequence

import numpy as np

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.style import CYCLE, INK, Axes, Figure

_LINEAR = 1e-3  # shares below it are on a linear scale of colours


def dependence_figure(result: probes.LayerDependence) -> Figure:
    """Draw the second order between layers as a heat map, and the interaction ratio over the step."""
    with style.new_figure(12.5, 5.2) as figure:
        left, right = figure.subplots(1, 2)
        draw_split(left, result)
        draw_interaction(right, result)
        style.write_foot(figure, [style.describe_objective(result.objective)])
        return figure


def control_figure(result: probes.MomentControl) -> Figure:
    """Draw which updates move the moments of each layer's units."""
    with style.new_figure(8.5, max(3.2, 0.32 * len(result.layers) + 1.8)) as figure:
        draw_control(figure.subplots(), result)
        return figure


@checked()
def draw_split(ax: Axes, result: probes.LayerDependence) -> None:
    """Draw the second-order terms between layers as shares of the sum of their absolute values, in a heat map.

    Args:
        ax: the axis to draw on; its figure gets a colour bar.
        result: of one run, or of several that are stacked: then the mean of their shares.

    Raises:
        ValueError: if the result is stacked more than once.

    Example:
        >>> w = {"a": jnp.ones(2), "b": jnp.ones(2)}
        >>> found = probes.layer_dependence(lambda p: jnp.sum(p["a"] * p["b"]), w, ["a", "b"], step_sizes=[0.1])
        >>> draw.draw_split(Figure().subplots(), found)
    """
    terms = _stacked(result, result.curvature, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = terms / np.abs(terms).sum((-2, -1), keepdims=True)
    draw_shares(ax, shares.mean(0), result.layers)
    ax.set_title("Second order between layers")


def draw_shares(ax: Axes, shares: np.ndarray, layers: Sequence[str], extent: float = 1.0) -> None:
    """Draw a matrix of shares between layers; red is below 0 and blue above, on one scale for all matrices.

    Args:
        ax: the axis to draw on; its figure gets a colour bar.
        shares: (layers, layers); NaN is hatched.
        layers: names, input side first.
        extent: share at the ends of the scale.
    """
    from matplotlib import colormaps, colors

    edges, places = np.arange(len(layers) + 1) - 0.5, np.arange(len(layers))
    norm = colors.SymLogNorm(_LINEAR, vmin=-extent, vmax=extent)
    style.hatch_missing(ax)
    look = {"cmap": colormaps["RdBu"].with_extremes(bad="none"), "norm": norm, "rasterized": True}
    mesh = ax.pcolormesh(edges, edges, np.ma.masked_invalid(shares), **look)
    decades = extent * 10.0 ** -np.arange(0, 3)
    ticks, is_beyond = [*-decades, 0, *decades[::-1]], (np.abs(shares) > extent).any()
    more = {"extend": "both" if is_beyond else "neither", "pad": 0.02, "aspect": 18, "ticks": ticks}
    bar = ax.figure.colorbar(mesh, ax=ax, label="Q / Σ |Q|", **more)
    bar.ax.yaxis.set_major_formatter(style.number)
    bar.minorticks_off()
    ax.set_xticks(places, list(layers), rotation=90)
    ax.set_yticks(places, list(layers))
    ax.tick_params(length=0, labelsize=10)
    ax.set(aspect="equal", xlim=edges[[0, -1]], ylim=edges[[-1, 0]])


@checked()
def draw_interaction(ax: Axes, result: probes.LayerDependence) -> None:
    """Draw the interaction ratio over the length of the step, with its second-order approximation.

    Args:
        ax: the axis to draw on.
        result: of one run, or of several that are stacked, a line each.

    Raises:
        ValueError: if the result is stacked more than once.

    Example:
        >>> w = {"a": jnp.ones(2), "b": jnp.ones(2)}
        >>> found = probes.layer_dependence(lambda p: jnp.sum(p["a"] * p["b"]), w, ["a", "b"], step_sizes=[0.1, 0.2])
        >>> draw.draw_interaction(Figure().subplots(), found)
    """
    fields = (result.relative_distances, result.interaction_ratio, result.second_order_ratio)
    for run, (length, ratio, second) in enumerate(
        zip(*(_stacked(result, values, 1) for values in fields), strict=True)
    ):
        order = np.argsort(length)
        hidden = "_" * (run > 0)
        ax.plot(length[order], ratio[order], "o-", color=CYCLE[run % len(CYCLE)], label=f"{hidden}R")
        ax.plot(length[order], second[order], "--", color=CYCLE[run % len(CYCLE)], label=f"{hidden}to the second order")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set(title="Interaction of layers", xlabel="length of the step / length of the weights", ylabel="R")
    style.legend_above(ax)


@checked()
def draw_control(ax: Axes, result: probes.MomentControl) -> None:
    """Draw how far an update moves the moments of each layer's units, per unit of the update of earlier layers and its own.

    Args:
        ax: the axis to draw on.
        result: of one run, or of several that are stacked, a dot each.

    Raises:
        ValueError: if the result is stacked more than once.

    Example:
        >>> w = {"a": jnp.ones((3, 2)), "b": jnp.ones((2, 2))}
        >>> outputs = lambda p: {"b": jnp.eye(3) @ p["a"] @ p["b"]}
        >>> draw.draw_control(Figure().subplots(), probes.moment_control(outputs, w, w, ["a", "b"]))
    """
    looks = (("earlier_gain", "o", "by earlier layers"), ("own_gain", "s", "by its own parameters"))
    drawn = []
    for number, (name, marker, label) in enumerate(looks):
        values = _stacked(result, getattr(result, name), 1)
        places = np.broadcast_to(np.arange(len(result.layers)), values.shape)
        look = {"color": CYCLE[number], "markersize": 7, "label": label}
        ax.plot(values.ravel(), places.ravel(), marker, **look)
        drawn.append(values)
    if style.is_wide(np.concatenate(drawn)):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(style.number)
    ax.set_yticks(np.arange(len(result.layers)), list(result.layers))
    ax.set(ylim=(len(result.layers) - 0.5, -0.5), xlabel="|change of means and stds| / |update|")
    ax.set_title("What moves means and standard deviations")
    style.legend_above(ax)


def _stacked(result: probes.LayerDependence | probes.MomentControl, values: object, num_axes: int) -> np.ndarray:
    """Return values with a single leading axis of runs; raise if there are more."""
    found = np.asarray(values, float)
    if found.ndim > num_axes + 1:
        name = type(result).__name__
        raise ValueError(f"a {name} must be stacked at most once to be drawn; got shape {found.shape}.")
    return found.reshape(-1, *found.shape[found.ndim - num_axes :])
