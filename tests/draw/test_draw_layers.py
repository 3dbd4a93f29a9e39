"""Figures over layers and units hold each one's numbers in its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import activations, data, gradients, shift
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from bnjax import draw
from bnjax.draw.layers import GRADIENTS, activations_figure, draw_layers, layers_figure


def test_a_heat_map_has_a_row_per_layer():
    """Rows are the named layers, the first at the top; columns are the steps; NaN is masked, cosines diverge around 0."""
    stacked = gradients()
    figure = layers_figure(stacked, steps=[0, 10, 20, 40, 80])
    panels = dict(zip((panel.get_title() for panel in figure.axes[:4]), figure.axes[:4], strict=True))
    for quantity in GRADIENTS:
        panel, values = panels[quantity.title], np.asarray(getattr(stacked, quantity.name))
        assert len(panel.get_yticks()) == len(stacked.layers)
        (mesh,) = panel.collections
        np.testing.assert_allclose(np.ma.filled(mesh.get_array(), np.nan), values.T)
        assert panel.get_ylim() == (len(stacked.layers) - 0.5, -0.5)
        assert panel.get_xlim() == (-5, 100)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(stacked.layers)
    (cosines,) = panels["Turn from step to step"].collections
    assert (cosines.norm.vmin, cosines.norm.vmax) == (-1, 1)
    assert np.ma.getmaskarray(cosines.get_array())[:, 0].all()


def test_zeros_lie_below_a_logarithmic_scale():
    """They are neither missing nor the smallest number."""
    panel = Figure().subplots()
    result = shift()._replace(difference=jnp.array([[0.0, 1.0], [0.0, 1e4]]))
    draw_layers(panel, result, "difference")
    (mesh,) = panel.collections
    assert isinstance(mesh.norm, LogNorm)
    assert not np.ma.getmaskarray(mesh.get_array()).any()
    np.testing.assert_array_equal(mesh.cmap(mesh.norm(mesh.get_array()[0])), [[1, 1, 1, 1]] * 2)


def test_a_single_step_is_dots():
    """Each layer's value stands in its row."""
    result = shift()
    figure = layers_figure(result)
    assert len(figure.axes) == 4
    (dots,) = figure.axes[0].lines
    np.testing.assert_allclose(data(dots), np.column_stack([result.difference, [0, 1]]))


def test_what_is_stacked_twice_is_refused():
    """There is no place for a third axis."""
    twice = jax.tree.map(lambda values: values[None], gradients())
    with pytest.raises(
        ValueError, match=r"must be stacked at most once, over steps, to be drawn; got shape \(1, 5, 2\)"
    ):
        draw.figure(twice)
    with pytest.raises(ValueError, match="statistics must be stacked at most once"):
        draw.figure(jax.tree.map(lambda values: values[None], activations()))


def test_percentiles_over_training():
    """A panel has a line per level of its unit; six units are shown."""
    stacked = activations()
    figure = activations_figure(stacked, steps=[0, 5, 10, 20])
    assert len(figure.axes) == 6
    for unit, panel in enumerate(figure.axes):
        drawn = np.array([data(line) for line in panel.lines[:3]])
        np.testing.assert_array_equal(drawn[:, :, 0], [[0, 5, 10, 20]] * 3)
        np.testing.assert_allclose(drawn[:, :, 1], stacked.percentiles[:, unit].T)
