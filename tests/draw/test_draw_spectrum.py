"""Figures of curvature hold densities, nodes and eigenvalues."""

import numpy as np
import pytest
from drawn import by_label, data, density, pairs
from matplotlib.figure import Figure

from bnjax.draw.spectrum import draw_density, draw_eigenvalues


@pytest.mark.slow
def test_a_density_is_drawn_with_its_band_and_nodes():
    """Line, band and ticks hold the arrays; a band is missing for one probe."""
    result = density()
    panel = Figure().subplots()
    draw_density(panel, result)
    np.testing.assert_allclose(data(by_label(panel, "_density")), np.column_stack([result.grid, result.density]))
    np.testing.assert_allclose(data(by_label(panel, "_nodes"))[:, 0], np.ravel(result.nodes))
    (band,) = panel.collections[:1]
    highest = np.max(np.asarray(result.density + result.standard_error))
    np.testing.assert_allclose(band.get_paths()[0].vertices[:, 1].max(), highest, rtol=1e-6)
    # A single eigenvalue of three has a third of the weight.
    (height, _) = by_label(panel, "height of one eigenvalue").get_ydata()
    np.testing.assert_allclose(height, 1 / 3 / (float(result.width) * np.sqrt(2 * np.pi)), rtol=1e-6)
    panel = Figure().subplots()
    draw_density(panel, density(num_probes=1))
    assert not panel.collections


def test_eigenvalues_are_stems_that_tell_what_converged():
    """Stems end at the eigenvalues; dots are full where the pair converged."""
    few = pairs(max_matvecs=32)
    assert 0 < few.converged.sum() < 4
    panel = Figure().subplots()
    draw_eigenvalues(panel, few)
    ends = np.array([segment[1] for segment in panel.collections[0].get_segments()])
    np.testing.assert_allclose(ends, np.column_stack([np.arange(1, 5), few.eigenvalues]))
    full, empty = [line for line in panel.lines if line.get_marker() == "o"]
    assert full.get_markerfacecolor() != empty.get_markerfacecolor() == "white"
    np.testing.assert_allclose(full.get_ydata(), few.eigenvalues[few.converged])
    np.testing.assert_allclose(empty.get_ydata(), few.eigenvalues[~few.converged])
