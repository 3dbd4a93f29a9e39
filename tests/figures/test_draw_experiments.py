"""Figures of experiments with many panels, on data made by hand: every text can be read, and every net is drawn."""

import pytest
from drawn import assert_readable
from matplotlib.colors import to_hex
from runs import covariate_shift_data, landscape_data

from experiments._nets import NETS
from experiments.covariate_shift import figure as covariate_shift
from experiments.landscape import figure as landscape


def panel(figure, title):
    """Return the panels with a title."""
    return [axes for axes in figure.axes if axes.get_title() == title]


def colours(axes):
    """List the colours of a panel's lines."""
    return [to_hex(line.get_color()) for line in axes.lines]


@pytest.mark.parametrize("diverged_at", [25, *(pytest.param(step, marks=pytest.mark.thorough) for step in (None, 3))])
def test_covariate_shift(diverged_at):
    """Three blocks, a column per layer; a run that diverged is marked in every panel over training."""
    figure = covariate_shift.plot(covariate_shift_data("smoke", diverged_at))
    assert_readable(figure)
    assert len(panel(figure, "Layer 5")) == 1
    assert len(panel(figure, "Layer 9")) == 2
    (second,) = panel(figure, "Against a second net")
    assert [line.get_linestyle() for line in second.lines[:4]] == ["-", "-", "--", "--"]
    assert colours(second)[:4] == [NETS["plain"].colour, NETS["batch_norm"].colour] * 2
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words[:2] == ["without BN", "with BN"]
    assert ("diverged" in words) == (diverged_at is not None)
    marks = [line for line in panel(figure, "Training loss")[0].lines if line.get_marker() == "X"]
    assert [line.get_xdata()[0] for line in marks] == [diverged_at] * (diverged_at is not None)


@pytest.mark.parametrize("diverged_at", [25, pytest.param(None, marks=pytest.mark.thorough)])
def test_landscape(diverged_at):
    """Random directions are beside the gradient where they were measured, and levels of the smoothness have their names."""
    figure = landscape.plot(landscape_data("smoke", diverged_at))
    assert_readable(figure)
    beside, deep_linear = panel(figure, "Change of the gradient")
    assert [line.get_linestyle() for line in beside.lines][:4] == ["-", "-", "--", "--"]
    assert "--" not in [line.get_linestyle() for line in deep_linear.lines]
    (smoothness,) = panel(figure, "Effective smoothness (smaller is smoother)")
    names = ["grey, 20: 2 / learning rate, 1 / smallest step", "grey, 40: 1 / smallest step of dotted scans"]
    assert smoothness.get_xlabel().splitlines() == ["training step", *names]
    levels = [line.get_ydata()[0] for line in smoothness.lines if len(set(line.get_ydata())) == 1]
    assert {20, 40} <= set(levels)


@pytest.mark.parametrize("diverged_at", [25, pytest.param(None, marks=pytest.mark.thorough)])
def test_landscape_of_several_learning_rates(diverged_at):
    """Each net is a band, losses share their limits, and a net that diverged is marked; without such runs nothing is drawn."""
    data = landscape_data("smoke", diverged_at)
    figure = landscape.plot(data)
    panels = [panel(figure, f"Losses at equal {which}")[0] for which in ("steps", "rate x steps")]
    panels += panel(figure, "Change from step to step")
    for axes in panels:
        bands = [to_hex(band.get_facecolor()[0]) for band in axes.collections]
        assert bands == [NETS["plain"].colour, NETS["batch_norm"].colour]
        assert [line.get_marker() for line in axes.lines].count("X") == (diverged_at is not None)
    assert panels[0].get_ylim() == panels[1].get_ylim()
    assert panels[2].get_ylabel().startswith("|g - g'| of layer 11")
    del data["multirun"]
    assert len(landscape.plot(data).axes) == len(figure.axes) - 3
