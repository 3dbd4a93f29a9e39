"""Figures of accuracy at several learning rates, and of noise, on data made by hand."""

import pytest
from drawn import assert_readable
from matplotlib.colors import to_hex
from runs import noisy_data, training_curves_data

from experiments._nets import NETS
from experiments.noisy_batchnorm import figure as noisy
from experiments.training_curves import figure as training_curves


def panel(figure, title):
    """Return the panel with a title."""
    (found,) = [axes for axes in figure.findobj() if getattr(axes, "get_title", str)() == title]
    return found


@pytest.mark.parametrize("diverged_at", [120, *(pytest.param(step, marks=pytest.mark.thorough) for step in (None, 3))])
def test_training_curves(diverged_at):
    """A column per learning rate, with each net's training and tests, and two panels that sum up; divergence is marked."""
    figure = training_curves.plot(training_curves_data(diverged_at=diverged_at)).draw()
    assert_readable(figure)
    for rate in ("0.01", "0.1", "0.5"):
        lines = panel(figure, f"Learning rate {rate}").lines
        assert {to_hex(line.get_color()) for line in lines} == {
            NETS[net].colour for net in ("plain", "batch_norm", "batch_norm_4")
        }
    marks = [line.get_xdata()[0] for line in panel(figure, "Learning rate 0.5").lines if line.get_marker() == "X"]
    assert marks == ([diverged_at] * 3 if diverged_at else [])
    marks = panel(figure, "Steps to a training accuracy of").lines
    assert {line.get_ydata()[0] for line in marks if line.get_marker() == "^"} >= {1000}
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[:3] == ["without BN", "with BN", "BN after layer 4 only"]
    assert ("diverged" in words) == (diverged_at is not None)


@pytest.mark.thorough
def test_one_learning_rate():
    """A single column is one that can be read."""
    assert_readable(training_curves.plot(training_curves_data("mameli")).draw())


@pytest.mark.parametrize("diverged_at", [120, *(pytest.param(step, marks=pytest.mark.thorough) for step in (None, 3))])
def test_noisy_batchnorm(diverged_at):
    """Accuracy, strength, and four panels of drift, with a mark for each net and layer."""
    figure = noisy.plot(noisy_data(diverged_at=diverged_at)).draw()
    assert_readable(figure)
    drifts = panel(figure, "Drift of the mean, relative")
    assert [label.get_text() for label in drifts.get_xticklabels()] == ["layer 3", "layer 8", "layer 10"]
    marks = {line.get_xdata()[0]: line.get_ydata()[0] for line in drifts.lines if line.get_marker() in ("o", "^")}
    assert len(marks) == 5 * 3
    assert marks[min(marks)] == pytest.approx(0.1 / 0.2)
    swept = panel(figure, "Accuracy at the end")
    assert [label.get_text() for label in swept.get_xticklabels()] == ["none", "0.5", "1", "2", "4"]
