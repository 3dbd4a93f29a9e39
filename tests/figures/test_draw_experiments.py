"""Figures of experiments with many panels, on data made by hand: every text can be read, and every net is drawn."""

import pytest
from conftest import ROOT
from drawn import assert_readable
from matplotlib.colors import to_hex
from runs import covariate_shift_data, landscape_data

from experiments._evidence.read import read_data
from experiments._figures.landscape import SMOOTHER
from experiments._nets import NETS
from experiments.covariate_shift import figure as covariate_shift
from experiments.landscape import figure as landscape

pytestmark = pytest.mark.slow


def panel(figure, title):
    """Return the panels with a title."""
    return [axes for axes in figure.axes if axes.get_title() == title]


def colours(axes):
    """List the colours of a panel's lines."""
    return [to_hex(line.get_color()) for line in axes.lines]


@pytest.mark.parametrize("diverged_at", [25, *(pytest.param(step, marks=pytest.mark.thorough) for step in (None, 3))])
def test_covariate_shift(diverged_at):
    """A figure per setting, a column per layer; a run that diverged is marked in every panel over training."""
    data = covariate_shift_data("smoke", diverged_at)
    figure = covariate_shift.plot(data).draw()
    others = {name: plot(data).draw() for name, plot in covariate_shift.more(data).items()}
    linear = next(drawn for name, drawn in others.items() if name.startswith("deep_linear"))
    for drawn in (figure, *others.values()):
        assert_readable(drawn)
    assert [len(panel(drawn, "Layer 9")) for drawn in others.values()] == [1] * len(others)
    assert len(panel(figure, "Layer 5")) == 1
    (second,) = panel(figure, "Against a second net")
    assert [line.get_linestyle() for line in second.lines[:4]] == ["-", "-", "--", "--"]
    assert colours(second)[:4] == [NETS["plain"].colour, NETS["batch_norm"].colour] * 2
    (legend,) = linear.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words[:2] == ["without BN", "with BN"]
    assert ("diverged" in words) == (diverged_at is not None)
    marks = [line for line in panel(linear, "Training loss")[0].lines if line.get_marker() == "X"]
    assert [line.get_xdata()[0] for line in marks] == [diverged_at] * (diverged_at is not None)


@pytest.mark.parametrize("diverged_at", [25, pytest.param(None, marks=pytest.mark.thorough)])
def test_landscape(diverged_at):
    """Each figure can be read; random directions are beside the gradient, and levels of the smoothness have their names."""
    data = landscape_data("smoke", diverged_at)
    drawn = {name: plot(data).draw() for name, plot in {"": landscape.plot, **landscape.more(data)}.items()}
    for figure in drawn.values():
        assert_readable(figure)
    (beside,), (linear,) = (
        panel(drawn[name], "Change of the gradient") for name in ("random_direction", "deep_linear")
    )
    assert [line.get_linestyle() for line in beside.lines][:4] == ["-", "-", "--", "--"]
    assert "--" not in [line.get_linestyle() for line in linear.lines]
    (smoothness,) = panel(drawn["step_sizes"], SMOOTHER)
    names = ["grey, 20: 2 / learning rate, 1 / smallest step", "grey, 40: 1 / smallest step of dotted scans"]
    assert smoothness.get_xlabel().splitlines() == ["training step", *names]
    levels = [line.get_ydata()[0] for line in smoothness.lines if len(set(line.get_ydata())) == 1]
    assert {20, 40} <= set(levels)
    assert len(drawn[""].axes) == 3  # nothing is published of these data


def test_what_is_published_is_beside_what_was_measured():
    """On the same axes, where data and learning rate are the published ones; scans are coloured by their step."""
    data = read_data(ROOT / "figures" / "landscape-cpu.json")
    layout = landscape.plot(data)
    figure = layout.draw()
    assert_readable(figure)
    assert len(figure.axes) == 6
    for published, measured in zip(figure.axes[:3], figure.axes[3:], strict=True):
        assert published.get_ylim() == measured.get_ylim()
        assert published.get_xlim() == pytest.approx(measured.get_xlim())
        assert published.get_title() == measured.get_title()
    below = [panel.title.rpartition(", ")[::2] for block in layout.narrow.blocks for _, panel in block.downwards()]
    assert below == [(axes.get_title(), where) for axes in figure.axes[:3] for where in ("published", "here")]
    (plain,) = panel(landscape.more(data)["step_sizes"](data).draw(), "Without BN")
    assert len(set(colours(plain)[:-1])) == len(data["arms"]["plain"][0]["landscape"]["step"])
    assert plain.lines[-1].get_marker() == "s"


@pytest.mark.parametrize("diverged_at", [25, pytest.param(None, marks=pytest.mark.thorough)])
def test_landscape_of_several_learning_rates(diverged_at):
    """Each net is a band, losses share their limits, and a net that diverged is marked; without such runs nothing is drawn."""
    data = landscape_data("smoke", diverged_at)
    figure = landscape.more(data)["rates"](data).draw()
    assert_readable(figure)
    panels = [panel(figure, f"Losses at equal {which}")[0] for which in ("steps", "rate x steps")]
    panels += panel(figure, "Change from step to step")
    for axes in panels:
        bands = [to_hex(band.get_facecolor()[0]) for band in axes.collections]
        assert bands == [NETS["plain"].colour, NETS["batch_norm"].colour]
        assert [line.get_marker() for line in axes.lines].count("X") == (diverged_at is not None)
    assert panels[0].get_ylim() == panels[1].get_ylim()
    assert panels[2].get_ylabel().startswith("|g - g'| of layer 11")
    del data["multirun"]
    assert "rates" not in landscape.more(data)
