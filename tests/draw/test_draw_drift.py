"""Figures of drift hold the shifts of the units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import activations, by_label, data
from matplotlib.figure import Figure

from bnjax import probes
from bnjax.draw.drift import QUANTITIES, draw_shift, drift_figure


def test_a_drift_has_a_panel_per_quantity_and_start():
    """The lines are medians over units of absolute shifts, at the steps to which these lead."""
    drift = probes.drift(activations())
    figure = drift_figure(drift, steps=[0, 5, 10, 20])
    rows = ((drift.successive, [5, 10, 20]), (drift.cumulative, [0, 5, 10, 20]))
    for panels, (shift, steps) in zip((figure.axes[:3], figure.axes[3:]), rows, strict=True):
        for panel, quantity in zip(panels, QUANTITIES, strict=True):
            sizes = np.abs(getattr(shift, quantity.name))
            expected = np.column_stack([steps, np.median(sizes, axis=1)])
            np.testing.assert_allclose(data(by_label(panel, "median of the units")), expected, rtol=1e-6)
            edges = panel.collections[0].get_paths()[0].vertices
            np.testing.assert_allclose(edges[:, 1].max(), sizes.max(), rtol=1e-6)


def test_units_without_a_value_are_left_out():
    """The median is over the others; the foot counts them."""
    shift = probes.drift(activations()).successive
    lame = jax.tree.map(lambda values: values.at[:, 0].set(jnp.nan), shift)
    panel = Figure().subplots()
    draw_shift(panel, lame)
    expected = np.median(shift.relative_wasserstein[:, 1:], axis=1)
    np.testing.assert_allclose(data(by_label(panel, "median of the units"))[:, 1], expected, rtol=1e-6)
    assert drift_figure(lame).get_supxlabel() == "8 units · 1 without a value"


def test_what_is_stacked_twice_is_refused():
    """There is no place for a third axis."""
    twice = jax.tree.map(lambda values: values[None], probes.drift(activations()))
    with pytest.raises(ValueError, match=r"shifts must be stacked at most once, over steps, to be drawn; got shape"):
        drift_figure(twice)


def test_a_drift_of_one_step_is_refused():
    """There is no shift to draw."""
    one = jax.tree.map(lambda values: values[:1], activations())
    with pytest.raises(ValueError, match="result must hold the statistics of two or more steps"):
        drift_figure(probes.drift(one))
