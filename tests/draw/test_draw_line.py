"""Figures of line scans hold the numbers of the scan."""

import jax.numpy as jnp
import numpy as np
from drawn import SIZES, W, X, by_label, data, first, lines, quadratic, walled
from matplotlib.figure import Figure

from bnjax import probes
from bnjax.draw.line import QUANTITIES, draw_line, line_figure


def test_a_line_is_its_scan():
    """All four panels hold the scan's arrays, in the order of the step sizes; smoothness has no value at 0."""
    scan = first(lines())
    figure = line_figure(scan)
    order = np.argsort(SIZES)
    for panel, quantity in zip(figure.axes, QUANTITIES, strict=True):
        kept = order[np.array(SIZES)[order] != 0] if quantity.name == "smoothness" else order
        expected = np.column_stack([np.array(SIZES)[kept], np.asarray(getattr(scan, quantity.name))[kept]])
        np.testing.assert_allclose(data(by_label(panel, "_one scan")), expected, rtol=1e-6)
    np.testing.assert_allclose(data(by_label(figure.axes[0], "start")), [[0, scan.start_loss]])


def test_stacked_lines_are_a_band():
    """The line is the mean; the light band reaches from the smallest to the largest, and so does the start."""
    scans = lines()
    panel = Figure().subplots()
    draw_line(panel, scans)
    order = np.argsort(SIZES)
    loss = np.asarray(scans.loss)[:, order]
    np.testing.assert_allclose(data(by_label(panel, "mean of 3 scans"))[:, 1], loss.mean(0), rtol=1e-6)
    edges = panel.collections[0].get_paths()[0].vertices
    for size, low, high in zip(np.array(SIZES)[order], loss.min(0), loss.max(0), strict=True):
        here = edges[np.isclose(edges[:, 0], size), 1]
        np.testing.assert_allclose([here.min(), here.max()], [low, high], rtol=1e-6)
    np.testing.assert_allclose(data(by_label(panel, "start")), [[0, np.mean(scans.start_loss)]], rtol=1e-6)


def test_stacked_lines_have_their_standard_error():
    """The dark band lies one standard error, 1/(n-1), to either side of the mean; a single scan has none."""
    scans = lines()
    panel = Figure().subplots()
    draw_line(panel, scans)
    (dark,) = [band for band in panel.collections if band.get_label() == "± standard error"]
    edges, order = dark.get_paths()[0].vertices, np.argsort(SIZES)
    loss = np.asarray(scans.loss)[:, order]
    for size, mean, error in zip(np.array(SIZES)[order], loss.mean(0), loss.std(0, ddof=1) / 3**0.5, strict=True):
        here = edges[np.isclose(edges[:, 0], size), 1]
        np.testing.assert_allclose([here.min(), here.max()], [mean - error, mean + error], rtol=1e-5)
    for scan in (first(scans), lines(1)):
        panel = Figure().subplots()
        draw_line(panel, scan)
        assert "± standard error" not in [band.get_label() for band in panel.collections]


def test_lines_with_different_step_sizes_are_not_averaged():
    """Each scan is a line of its own."""
    scans = probes.stack_lines([first(lines()), probes.scan_line(quadratic, W, step_sizes=(0.3, 0.2, 0.1, 0.5, 0.7))])
    panel = Figure().subplots()
    draw_line(panel, scans)
    each = [line for line in panel.lines if line.get_label() == "_one scan"]
    np.testing.assert_allclose([data(line)[:, 0] for line in each], np.sort(scans.step_sizes), rtol=1e-6)


def test_what_was_not_measured_is_left_out():
    """Without gradients there is one panel."""
    scan = probes.scan_line(quadratic, W, X, SIZES, gradients=False)
    assert [panel.get_title() for panel in line_figure(scan).axes] == ["Loss along the line"]


def test_losses_that_are_not_finite_are_crosses():
    """They stand where the scan diverged, and nowhere else."""
    scan = probes.scan_line(walled, W, step_sizes=np.linspace(0, 1, 9))
    panel = Figure().subplots()
    draw_line(panel, scan)
    np.testing.assert_allclose(data(by_label(panel, "not finite"))[:, 0], scan.step_sizes[jnp.isnan(scan.loss)])
    assert len(data(by_label(panel, "not finite"))) == 4


def test_axes_are_logarithmic_where_numbers_are_far_apart():
    """Step sizes of a geometric series; not the evenly spaced ones."""
    scales = []
    for sizes in ((0.001, 0.01, 0.1, 1.0, 10.0), (0.01, 0.02, 0.03, 0.04)):
        panel = Figure().subplots()
        draw_line(panel, probes.scan_line(quadratic, W, step_sizes=sizes))
        scales.append((panel.get_xscale(), panel.get_yscale()))
    assert scales == [("log", "log"), ("linear", "linear")]
