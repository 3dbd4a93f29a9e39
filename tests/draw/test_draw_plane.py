"""Figures of planes have every loss where it was measured."""

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import by_label, data, plane, planes, quadratic, trajectory, walled
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from bnjax import probes
from bnjax.draw.grid import Scale, lift, make_grid, make_scale, mean_plane
from bnjax.draw.plane import draw_plane, plane_figure
from bnjax.draw.surface import draw_surface


def contour_lines(panel):
    """Return the contours of a panel that are lines."""
    (found,) = [c for c in panel.collections if hasattr(c, "levels") and not c.filled]
    return found


def test_contours_run_where_the_loss_has_their_level():
    """A loss that is linear in both coordinates has its level all along each contour, in units of distance."""
    scan = plane(lambda p: p["a"][0] + 10 * p["a"][1])
    panel = Figure().subplots()
    draw_plane(panel, scan)
    contours = contour_lines(panel)
    assert len(contours.levels) >= 4
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        x, y = path.vertices.T  # along unit vectors: the directions have norms 2 and 3
        assert len(x) >= 2
        np.testing.assert_allclose((1 + x) + 10 * (-2 + y), level, atol=1e-4)
    assert panel.get_xlim() == (-2, 4)
    assert panel.get_ylim() == (-6, 9)
    assert panel.get_aspect() == 1
    np.testing.assert_allclose(data(by_label(panel, "centre: loss -19")), [[0, 0]])


def test_coordinates_may_come_in_any_order():
    """A plane whose coordinates are shuffled is drawn as the one in order."""
    one, other = (plane(xs=xs, ys=(3.0, -1.0, 0.0)) for xs in ((-1.0, 0.0, 2.0), (2.0, -1.0, 0.0)))
    for a, b in zip(make_grid(one), make_grid(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_stacked_planes_are_averaged():
    """What is drawn is the mean of the losses, at the centre too, and the foot says so."""
    stacked = planes()
    mean, num = mean_plane(stacked)
    assert num == 3
    assert mean.loss.shape == stacked.loss.shape[1:]
    np.testing.assert_allclose(mean.loss, 2 * stacked.loss[0], rtol=1e-6)
    np.testing.assert_allclose(mean.start_loss, 2 * stacked.start_loss[0], rtol=1e-6)
    assert mean_plane(plane())[0] is plane()
    assert plane_figure(stacked).get_supxlabel().startswith("mean of 3 planes · 3 x 3 points")


def test_planes_with_different_coordinates_are_not_averaged():
    """They are refused."""
    stacked = planes()
    with pytest.raises(ValueError, match="stacked planes must have the same coordinates to be averaged"):
        mean_plane(stacked._replace(xs=stacked.xs.at[1, 0].add(0.1)))


def test_heights_of_a_surface():
    """At the points of the grid they are the scan's losses, between them interpolated, outside and beside NaN none."""
    scan = plane(lambda p: jnp.where(p["a"][1] > 5, jnp.nan, p["a"][0] * p["a"][1]))
    grid = make_grid(scan)
    places = np.stack(np.meshgrid(scan.xs * 2, scan.ys * 3, indexing="ij"), -1).reshape(-1, 2)
    scale = Scale(LogNorm(1, 2), np.array([]), is_log=False)
    at_points = lift(grid, scale, places).reshape(scan.loss.shape)
    np.testing.assert_allclose(at_points[:, :-2], scan.loss[:, :-2], rtol=1e-6)
    between = lift(grid, scale, np.array([[0.3, 1.7], [-2.01, 0], [0, 8.0]]))
    np.testing.assert_allclose(between, [1.3 * -0.3, np.nan, np.nan], rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "is_log"),
    [((1.0, 2.0, 20.0), False), ((1.0, 2.0, 40.0), True), ((0.0, 1.0, 40.0), True), ((-1, 1, 40), False)],
)
def test_levels_are_logarithmic_where_losses_are_far_apart(loss, is_log):
    """Only positive losses, and zeros among them, have a logarithmic scale; its levels are round."""
    scale = make_scale(np.array([[*loss, np.nan]], float))
    assert scale.is_log == isinstance(scale.norm, LogNorm) == is_log
    assert 4 <= len(scale.levels) <= 12
    assert np.all(np.diff(scale.levels) > 0)
    if is_log:
        np.testing.assert_allclose(scale.levels, [float(f"{level:.0e}") for level in scale.levels])


@pytest.mark.slow
def test_a_path_is_drawn_where_it_went():
    """Its points are those of the principal axes, its end is the centre; on the surface it has the loss of each place."""
    scan, axes = trajectory()
    figure = Figure()
    panel, surface = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="3d")
    draw_plane(panel, scan, axes)
    draw_surface(surface, scan, axes)
    np.testing.assert_array_equal(data(by_label(panel, "path of 21 points")), np.asarray(axes.path, float))
    np.testing.assert_allclose(data(by_label(panel, "start"))[0], axes.path[0], rtol=1e-6)
    assert f"{100 * float(axes.explained[0]):.3g} % of the variance" in panel.get_xlabel()
    x, y, z = (np.asarray(values) for values in surface.lines[0].get_data_3d())
    inside = (np.abs(x) <= 2) & (np.abs(y) <= 1)
    np.testing.assert_array_equal(np.isfinite(z), inside)
    assert 0 < inside.sum() < len(x)
    grid = make_grid(scan)
    np.testing.assert_allclose(z, lift(grid, make_scale(grid.z), np.column_stack([x, y])))


def test_missing_losses_are_hatched():
    """The ground is hatched where a loss is missing, and said to be; not where all are there."""
    for loss_fn, hatch in ((walled, "////"), (quadratic, None)):
        panel = Figure().subplots()
        draw_plane(panel, plane(loss_fn))
        assert panel.patch.get_hatch() == hatch
        words = [text.get_text() for text in panel.get_legend().get_texts()]
        assert ("not finite" in words) == (hatch is not None)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("num", [3, 4])
@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_a_row_of_points_is_coloured_by_its_losses(num, scale):
    """Matplotlib would read three or four numbers in a row as one colour."""
    scan = probes.scan_plane(
        lambda w: scale * jnp.sum(w**2), jnp.ones(2), *jnp.eye(2), [0.0], list(range(num)), show_progress=False
    )
    figure = plane_figure(scan)
    points = next(c for c in figure.axes[0].collections if len(c.get_offsets()) == num)
    np.testing.assert_allclose(points.get_array(), np.ravel(scan.loss))
