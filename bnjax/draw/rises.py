"""How far the loss rises where layers move by a share of their length."""

import numpy as np

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.style import CYCLE, Axes, Figure


def rises_figure(result: probes.RelativeSharpness) -> Figure:
    """Draw the rise with all layers moved, and with each."""
    with style.new_figure(9, max(3.2, 0.3 * len(result.layers) + 2.4)) as figure:
        draw_rises(figure.subplots(), result)
        moved = f"each layer moves by {100 * float(np.max(result.radius)):g} % of its length"
        directions = f"{np.shape(result.random)[-1]} random directions, dots: means over them"
        style.write_foot(figure, [moved, directions], [style.describe_objective(result.objective)])
        return figure


@checked()
def draw_rises(ax: Axes, result: probes.RelativeSharpness) -> None:
    """Draw how far the loss rises with all layers moved, at the top, and with each, along the gradient and at random.

    Args:
        ax: the axis to draw on.
        result: of one run, or of several that are stacked, a dot each.

    Example:
        >>> w = {"a": jnp.ones(3), "b": jnp.ones(2)}
        >>> found = probes.relative_sharpness(lambda p: jnp.sum(p["a"]) * jnp.sum(p["b"] ** 2), w, key=jax.random.key(0))
        >>> draw.draw_rises(Figure().subplots(), found)
    """
    names = ["all layers", *result.layers]
    series = (
        ("o", "along the gradient", result.ascent, result.layer_ascents),
        ("s", "at random", result.mean, result.layer_random),
    )
    drawn = []
    for number, (marker, label, of_all, of_each) in enumerate(series):
        values = np.concatenate([np.ravel(np.asarray(of_all, float))[:, None], style.rows(of_each)], axis=1)
        places = np.broadcast_to(np.arange(len(names)), values.shape)
        ax.plot(values.ravel(), places.ravel(), marker, color=CYCLE[number], markersize=7, label=label)
        drawn.append(values)
    if style.is_wide(np.concatenate(drawn)):
        ax.set_xscale("log")
        style.label_powers(ax, "x")
    ax.set_yticks(np.arange(len(names)), names)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="rise of the loss", title="Relative sharpness")
    style.legend_above(ax)
