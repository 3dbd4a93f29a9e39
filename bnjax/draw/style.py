"""The style of figures: colours, numbers on axes, hatching, legends, and the foot that says where the numbers come from."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bnjax.types import ObjectiveInfo

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.colors
    import matplotlib.figure
    import matplotlib.patches

# Types by name, so that matplotlib is imported only when something is drawn.
Axes: TypeAlias = "matplotlib.axes.Axes"
Figure: TypeAlias = "matplotlib.figure.Figure"
Normalize: TypeAlias = "matplotlib.colors.Normalize"

# From Okabe & Ito: colour-blind readers can distinguish them.
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, FAINT = "#444444", "#e4e4e4"
# How the norm of a gradient or a step is written, by its name.
LENGTHS = {"global": "l2", "sum_of_layers": "l2 of arrays, added up"}
_MISSING: dict[str, Any] = {"facecolor": "#eeeeee", "edgecolor": "#b5b5b5", "hatch": "////"}
_STYLE: dict[Any, Any] = {
    "font.size": 13,
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "figure.dpi": 130,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
}


class Quantity(NamedTuple):
    """A field or property of a result, and the words at its panel; a cosine is drawn on a scale from -1 to 1."""

    name: str
    title: str
    label: str
    is_cosine: bool = False


def pick(quantities: Sequence[Quantity], name: str) -> Quantity:
    """Return the quantity of this name.

    Raises:
        ValueError: if there is none.
    """
    names = [quantity.name for quantity in quantities]
    if name not in names:
        raise ValueError(f"quantity must be one of {', '.join(names)}, got {name!r}.")
    return quantities[names.index(name)]


@contextmanager
def new_figure(width: float | int, height: float | int) -> Iterator[Figure]:
    """Make a figure of this size in inches, and draw on it in the style of all figures, in a `with` statement.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    with own_style():
        from matplotlib import figure

        yield figure.Figure(figsize=(width, height))


@contextmanager
def own_style() -> Iterator[None]:
    """Draw and save in the style of all figures, independently of the user's settings, such as a matplotlibrc.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        raise ImportError("drawing needs matplotlib: pip install 'bnjax[draw]'", name="matplotlib") from None
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def sequential() -> "matplotlib.colors.Colormap":
    """Return viridis without its darkest third, on which lines and numbers are unreadable."""
    from matplotlib import colormaps, colors

    return colors.ListedColormap(colormaps["viridis"](np.linspace(0.3, 1, 256)), "landscape")


def write_foot(figure: Figure, *lines: Iterable[str]) -> None:
    """Write at the foot where the numbers come from: lines of remarks, without the empty ones."""
    text = "\n".join(" · ".join(filter(None, line)) for line in lines)
    if text.strip():
        figure.supxlabel(text.strip("\n"), fontsize=11, color=INK, linespacing=1.5)


def describe_objective(info: ObjectiveInfo) -> str:
    """Describe how a loss was made, as far as that is known."""
    statistics = {
        "batch": "the batch's own statistics",
        "running": "running statistics",
        "recalibrated": "statistics re-estimated at every point",
    }
    examples = f"{info.num_examples:,} examples" if info.num_examples else ""
    batches = f"in batches of {info.batch_size:,}" if 0 < info.batch_size < info.num_examples else ""
    # On a CPU no precision of products makes a difference.
    rounds = info.platform not in ("cpu", "unknown") and info.precision != "highest"
    products = f"products in {info.precision} precision on a {info.platform.upper()}" if rounds else ""
    words = (" ".join(filter(None, (examples, batches))), statistics.get(info.statistics, ""), products)
    return ", ".join(filter(None, words))


def number(value: float | int, _position: object = None) -> str:
    """Write a number in short form, with a power of ten if it would be long."""
    if not np.isfinite(value):
        return "not finite"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    digits, exponent = f"{value:.3e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    return f"${'' if digits == '1' else digits + '·'}10^{{{int(exponent)}}}$"


def span(values: Any, digits: int = 3) -> str:
    """Write the smallest and the largest of some numbers, or a single number if they are equal."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    if not finite.size:
        return "not finite"
    low, high = (f"{edge:.{digits}g}" for edge in (finite.min(), finite.max()))
    return low if low == high else f"{low} to {high}"


def rows(values: Any) -> np.ndarray:
    """Flatten the leading axes, so that each run or scan is a row."""
    array = np.asarray(values, float)
    return array.reshape(-1, array.shape[-1])


def is_wide(values: Any, ratio: float | int = 50) -> bool:
    """Return whether numbers are positive and so far apart that they need a logarithmic scale."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > ratio * finite.min())


def log_scale(ax: Axes) -> None:
    """Make the vertical axis logarithmic, with a label at a few round numbers, unless there is nothing to draw."""
    in_data = [line for line in ax.lines if line.get_transform() == ax.transData]
    if any(np.any(np.asarray(line.get_ydata(), float) > 0) for line in in_data):
        ax.set_yscale("log")
        label_powers(ax, "y")


def label_powers(ax: Axes, axis: str) -> None:
    """Label a logarithmic axis, x or y, at powers of ten, and at a few multiples of them where these are few.

    Of three to five powers, each has a label. If fewer than three labels were left otherwise, they are at equal distances.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    low, high = getattr(ax, f"get_{axis}lim")()
    powers = np.floor(np.log10(high)) - np.ceil(np.log10(low)) + 1
    # Labels beside each other take more room than those above each other.
    is_short = high < 50 * low
    between = (
        (2, 4, 6) if is_short and axis == "y" else (2, 5) if is_short or powers < 2 else (3,) if powers == 2 else ()
    )
    getattr(ax, f"{axis}axis").set_major_formatter(number)
    if 2 < powers <= 5:
        getattr(ax, f"{axis}axis").set_major_locator(LogLocator(numticks=5))
    elif num_labels(low, high, between) < 3:
        getattr(ax, f"{axis}axis").set_major_locator(MaxNLocator(4))
        getattr(ax, f"{axis}axis").set_minor_locator(NullLocator())
    label_between(ax, between, axis)


def num_labels(low: float, high: float, factors: Sequence[int]) -> int:
    """Count the powers of ten between two numbers, and these multiples of them."""
    if not 0 < low < high < np.inf:
        return 0
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    labels = np.multiply.outer(powers, [1, *factors])
    return int(np.sum((low <= labels) & (labels <= high)))


def label_between(ax: Axes, factors: Sequence[int], axis: str = "y") -> None:
    """Label a logarithmic axis, x or y, at these multiples of powers of ten as well."""
    getattr(ax, f"{axis}axis").set_minor_formatter(
        lambda value, _: number(value) if round(value / 10 ** np.floor(np.log10(value))) in factors else ""
    )


def label_steps(ax: Axes, num: int, steps: Sequence[int] | None, num_ticks: int = 5) -> np.ndarray:
    """Label the horizontal axis with the training steps of a stack, or with indices if they are None; return them."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    at = np.arange(num) if steps is None else np.asarray(steps)
    if at.shape != (num,):
        raise ValueError(f"steps must be one per entry of the stack, {num}, got {len(at)}.")
    ax.set_xlabel("index in the stack" if steps is None else "training step")
    ax.xaxis.set_major_locator(MaxNLocator(num_ticks, integer=True) if num > 1 else FixedLocator(at.tolist()))
    return at


def check_stack(what: str, values: Any) -> None:
    """Raise a ValueError if values have more than one axis before the axis of layers or units."""
    if np.ndim(values) > 2:
        raise ValueError(f"{what} must be stacked at most once, over steps, to be drawn; got shape {np.shape(values)}.")


def hatch_missing(ax: Axes) -> "matplotlib.patches.Patch":
    """Hatch the background, which shows where nothing is drawn over it; return the legend's entry for it."""
    from matplotlib import patches

    ax.grid(False)
    ax.patch.set(**_MISSING)
    return patches.Patch(label="not finite", **_MISSING)


def legend_above(ax: Axes, handles: list[Any] | None = None) -> None:
    """Put the legend between title and axes, where it hides nothing; the title must be there."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    if handles:
        ax.set_title(ax.get_title(), pad=28)
        place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": len(handles)}
        ax.legend(handles=handles, fontsize=11, borderaxespad=0.3, handletextpad=0.5, columnspacing=1.2, **place)
