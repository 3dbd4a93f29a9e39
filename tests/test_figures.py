"""Figures of what probes return: the numbers that are drawn, and whether they can be read."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.text import Text

from bnjax import probes
from bnjax.probes import curvature
from bnjax.probes.directions import principal
from bnjax.records import read_json
from experiments import __main__ as command_line
from experiments import _figures, _figures_grid, _figures_layers, _figures_line, _figures_plane, _figures_spectrum
from experiments._figures_landscape import landscape_figure
from experiments._figures_results import result_figure
from experiments._figures_surface import draw_surface

W = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([0.5])}
X, Y = {"a": jnp.array([2.0, 0.0]), "b": jnp.zeros(1)}, {"a": jnp.array([0.0, 3.0]), "b": jnp.zeros(1)}
SIZES = (0.4, -0.1, 0.1, 0.0, 0.2)


def quadratic(params, scale=1.0):
    """A loss with different curvatures."""
    return scale * (params["a"][0] ** 2 + 2 * params["a"][1] ** 2 + 3 * params["b"][0] ** 2)


def walled(params):
    """A quadratic that is NaN behind a wall."""
    return jnp.where(params["a"][0] < 0, jnp.nan, quadratic(params))


@functools.cache
def lines(num=3, sizes=SIZES):
    """Scans of several losses, stacked."""
    return probes.stack_lines(
        [probes.scan_line(lambda p, s=s: quadratic(p, s), W, step_sizes=sizes) for s in np.linspace(1, 2, num)]
    )


@functools.cache
def plane(loss_fn=quadratic, xs=(-1.0, 0.0, 0.5, 2.0), ys=(-2.0, -1.0, 0.0, 1.0, 1.5, 3.0)):
    """A plane that is neither square nor evenly spaced."""
    return probes.scan_plane(loss_fn, W, X, Y, xs, ys)


@functools.cache
def trajectory():
    """Gradient descent on the quadratic, and the plane of its principal axes, which does not hold the start."""
    points = [{"a": jnp.array([3.0, 1.0]), "b": jnp.array([2.0])}]
    for _ in range(20):
        points.append(jax.tree.map(lambda w, g: w - 0.05 * g, points[-1], jax.grad(quadratic)(points[-1])))
    axes = principal(points)
    grid = np.linspace(-2, 2, 9), np.linspace(-1, 1, 7)
    return probes.scan_plane(quadratic, points[-1], axes.direction_x, axes.direction_y, *grid), axes


@functools.cache
def density(loss_fn=quadratic, num_probes=3):
    """The spectral density of a diagonal Hessian."""
    return curvature.spectral_density(loss_fn, W, key=jax.random.key(0), num_probes=num_probes, num_points=200)


@functools.cache
def pairs(max_matvecs=40):
    """Eigenpairs of a Hessian of 50 dimensions, of which few products find some only."""
    w = {"a": jnp.linspace(1, 3, 50)}
    return curvature.top_eigenpairs(
        lambda p: jnp.sum(p["a"] ** 4),
        w,
        key=jax.random.key(0),
        num=4,
        max_matvecs=max_matvecs,
        basis_size=12,
        tolerance=1e-5,
    )


@functools.cache
def gradients(num=5):
    """Gradient statistics over the first steps of gradient descent; the first has none before it."""
    points = [W]
    for _ in range(num):
        points.append(jax.tree.map(lambda w, g: w - 0.1 * g, points[-1], jax.grad(quadratic)(points[-1])))
    first, *rest = [jax.grad(quadratic)(point) for point in points[:-1]]
    stacked = [probes.gradient_statistics(first, None, W, first)]
    stacked += [
        probes.gradient_statistics(g, h, w, g) for g, h, w in zip(rest, [first, *rest], points[1:-1], strict=False)
    ]
    return jax.tree.map(lambda *values: jnp.stack(values), *stacked)


@functools.cache
def shift():
    """Covariate shift of two coupled layers; that of the first is 0."""
    w = {"one": jnp.array([1.0, 2.0]), "two": jnp.array([0.5, -1.0])}

    def loss_fn(params):
        return jnp.vdot(params["one"], params["two"]) ** 2 + jnp.sum(params["two"] ** 2)

    return probes.covariate_shift(loss_fn, w, jax.tree.map(lambda v: -0.1 * v, w), ["one", "two"], first_order=True)


@functools.cache
def activations(num=4):
    """Statistics of eight units that drift."""
    samples = [jax.random.normal(jax.random.key(i), (50, 8)) + i for i in range(num)]
    return probes.ActivationStatistics.stack([probes.activation_statistics(sample) for sample in samples])


def first(result):
    """Take the first of a stack."""
    return jax.tree.map(lambda values: values[0], result)


def diverged():
    """A plane without any finite loss."""
    return plane(lambda p: jnp.nan * quadratic(p))


RESULTS = {
    "line": lambda: first(lines()),
    "lines": lines,
    "lines of one point": lambda: lines(sizes=(0.1,)),
    "line that diverges": lambda: probes.scan_line(walled, W, step_sizes=np.linspace(0, 1, 9)),
    "line of NaN": lambda: probes.scan_line(lambda p: jnp.nan * quadratic(p), W, W, gradients=False),
    "line over magnitudes": lambda: probes.scan_line(quadratic, W, step_sizes=np.geomspace(1e-3, 1e3, 13)),
    "plane": plane,
    "plane with a wall": lambda: plane(walled),
    "plane of one row": lambda: plane(xs=(0.5,)),
    "plane of one point": lambda: plane(xs=(0.0,), ys=(0.0,)),
    "strip": lambda: plane(ys=(-0.01, 0.01)),
    "constant plane": lambda: plane(lambda p: 0 * quadratic(p) + 5.0),
    "plane of NaN": diverged,
    "path": lambda: trajectory()[1],
    "density": density,
    "density of one probe": lambda: density(num_probes=1),
    "density of NaN": lambda: density(lambda p: jnp.nan * quadratic(p)),
    "pairs": pairs,
    "pairs that did not converge": lambda: pairs(max_matvecs=12),
    "trace": lambda: curvature.trace(quadratic, W, key=jax.random.key(0), num_probes=5),
    "gradients": gradients,
    "gradients of one step": lambda: first(gradients()),
    "shift": shift,
    "shifts": lambda: jax.tree.map(lambda v: jnp.stack([v, 2 * v, v]), shift()),
    "activations": activations,
    "activations of one step": lambda: first(activations()),
}
QUICK = ("lines", "plane with a wall", "pairs", "gradients")


def drawn_texts(figure):
    """Draw a figure, and return each text that was, with its rectangle in pixels."""
    canvas, seen = FigureCanvasAgg(figure), {}
    draw = Text.draw

    def record(text, renderer):
        seen[id(text)] = text
        draw(text, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        canvas.draw()
    shown = [text for text in seen.values() if text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent(canvas.get_renderer())) for text in shown]


def assert_readable(figure):
    """Every text lies inside of the figure, and no two upright ones overlap."""
    texts = drawn_texts(figure)
    width, height = figure.bbox.size
    for text, box in texts:
        assert min(box.x0, box.y0) >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    upright = [(text, box) for text, box in texts if text.get_rotation() in (0, 90)]
    for (one, a), (other, b) in itertools.combinations(upright, 2):
        apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
        assert apart, f"{one.get_text()!r} overlaps {other.get_text()!r}"


def test_the_check_of_texts_sees_what_is_wrong():
    """A text that is cut off and two on top of each other are found."""
    for places in ([(-0.1, 0.5)], [(0.5, 0.5), (0.52, 0.51)]):
        figure = Figure()
        for place in places:
            figure.text(*place, "hidden")
        with pytest.raises(AssertionError):
            assert_readable(figure)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.thorough) for name in RESULTS]
)
def test_every_result_has_a_readable_figure(name):
    """Stacked or not, with few points, NaN or nothing finite at all: no text is cut off or hidden."""
    assert_readable(result_figure(RESULTS[name]()))


@pytest.mark.parametrize("name", ["quickstart", pytest.param("landscape", marks=pytest.mark.thorough)])
def test_the_experiments_figure_is_readable(name):
    """What lines and colours mean stands above the axes, not in them."""
    figure = landscape_figure(read_json(ROOT / "figures" / f"{name}.json"))
    assert_readable(figure)
    assert all(panel.get_legend() is None for panel in figure.axes)
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words[:2] == ["without BN", "with BN"]
    assert words[2].startswith("training, mean of")
    assert words[3:] == ["test"]


def test_a_result_without_a_drawing():
    """What no probe returns is named."""
    with pytest.raises(ValueError, match=r"result must be one of LineScan, .*, got int\."):
        result_figure(3)


def by_label(panel, label):
    """Return the one line of a panel with this label."""
    (line,) = [line for line in panel.lines if line.get_label() == label]
    return line


def data(line):
    """Return a line's coordinates, (points, 2)."""
    return np.column_stack([np.asarray(values, float) for values in line.get_data()])


def test_a_line_is_its_scan():
    """All four panels hold the scan's arrays, in the order of the step sizes; smoothness has no value at 0."""
    scan = first(lines())
    figure = _figures_line.line_figure(scan)
    order = np.argsort(SIZES)
    for panel, quantity in zip(figure.axes, _figures_line.QUANTITIES, strict=True):
        kept = order[np.array(SIZES)[order] != 0] if quantity.name == "smoothness" else order
        expected = np.column_stack([np.array(SIZES)[kept], np.asarray(getattr(scan, quantity.name))[kept]])
        np.testing.assert_allclose(data(by_label(panel, "_one scan")), expected, rtol=1e-6)
    np.testing.assert_allclose(data(by_label(figure.axes[0], "start")), [[0, scan.start_loss]])


def test_stacked_lines_are_a_band():
    """The line is the mean; the band reaches from the smallest to the largest; so does the start."""
    scans = lines()
    panel = Figure().subplots()
    _figures_line.draw_line(panel, scans)
    order = np.argsort(SIZES)
    loss = np.asarray(scans.loss)[:, order]
    np.testing.assert_allclose(data(by_label(panel, "mean of 3 scans"))[:, 1], loss.mean(0), rtol=1e-6)
    edges = panel.collections[0].get_paths()[0].vertices
    for size, low, high in zip(np.array(SIZES)[order], loss.min(0), loss.max(0), strict=True):
        here = edges[np.isclose(edges[:, 0], size), 1]
        np.testing.assert_allclose([here.min(), here.max()], [low, high], rtol=1e-6)
    np.testing.assert_allclose(data(by_label(panel, "start")), [[0, np.mean(scans.start_loss)]], rtol=1e-6)


def test_lines_with_different_step_sizes_are_not_averaged():
    """Each scan is a line of its own."""
    scans = probes.stack_lines([first(lines()), probes.scan_line(quadratic, W, step_sizes=(0.3, 0.2, 0.1, 0.5, 0.7))])
    panel = Figure().subplots()
    _figures_line.draw_line(panel, scans)
    each = [line for line in panel.lines if line.get_label() == "_one scan"]
    np.testing.assert_allclose([data(line)[:, 0] for line in each], np.sort(scans.step_sizes), rtol=1e-6)


def test_what_was_not_measured_is_left_out():
    """Without gradients there is one panel."""
    scan = probes.scan_line(quadratic, W, X, SIZES, gradients=False)
    assert [panel.get_title() for panel in _figures_line.line_figure(scan).axes] == ["Loss along the line"]


def test_losses_that_are_not_finite_are_crosses():
    """They stand where the scan diverged, and nowhere else."""
    scan = probes.scan_line(walled, W, step_sizes=np.linspace(0, 1, 9))
    panel = Figure().subplots()
    _figures_line.draw_line(panel, scan)
    np.testing.assert_allclose(data(by_label(panel, "not finite"))[:, 0], scan.step_sizes[jnp.isnan(scan.loss)])
    assert len(data(by_label(panel, "not finite"))) == 4


def test_axes_are_logarithmic_where_numbers_are_far_apart():
    """Step sizes of a geometric series; not the evenly spaced ones."""
    scales = []
    for sizes in ((0.001, 0.01, 0.1, 1.0, 10.0), (0.01, 0.02, 0.03, 0.04)):
        panel = Figure().subplots()
        _figures_line.draw_line(panel, probes.scan_line(quadratic, W, step_sizes=sizes))
        scales.append((panel.get_xscale(), panel.get_yscale()))
    assert scales == [("log", "log"), ("linear", "linear")]


def contour_lines(panel):
    """Return the contours of a panel that are lines."""
    (found,) = [c for c in panel.collections if hasattr(c, "levels") and not c.filled]
    return found


def test_contours_run_where_the_loss_has_their_level():
    """A loss that is linear in both coordinates has its level all along each contour, in units of distance."""
    scan = plane(lambda p: p["a"][0] + 10 * p["a"][1])
    panel = Figure().subplots()
    _figures_plane.draw_plane(panel, scan)
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
    for a, b in zip(_figures_grid.make_grid(one), _figures_grid.make_grid(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_heights_of_a_surface():
    """At the points of the grid they are the scan's losses, between them interpolated, outside and beside NaN none."""
    scan = plane(lambda p: jnp.where(p["a"][1] > 5, jnp.nan, p["a"][0] * p["a"][1]))
    grid = _figures_grid.make_grid(scan)
    places = np.stack(np.meshgrid(scan.xs * 2, scan.ys * 3, indexing="ij"), -1).reshape(-1, 2)
    scale = _figures_grid.Scale(LogNorm(1, 2), np.array([]), is_log=False)
    at_points = _figures_grid.lift(grid, scale, places).reshape(scan.loss.shape)
    np.testing.assert_allclose(at_points[:, :-2], scan.loss[:, :-2], rtol=1e-6)
    between = _figures_grid.lift(grid, scale, np.array([[0.3, 1.7], [-2.01, 0], [0, 8.0]]))
    np.testing.assert_allclose(between, [1.3 * -0.3, np.nan, np.nan], rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "is_log"),
    [((1.0, 2.0, 20.0), False), ((1.0, 2.0, 40.0), True), ((0.0, 1.0, 40.0), True), ((-1, 1, 40), False)],
)
def test_levels_are_logarithmic_where_losses_are_far_apart(loss, is_log):
    """Only positive losses, and zeros among them, have a logarithmic scale; its levels are round."""
    scale = _figures_grid.make_scale(np.array([[*loss, np.nan]], float))
    assert scale.is_log == isinstance(scale.norm, LogNorm) == is_log
    assert 4 <= len(scale.levels) <= 12
    assert np.all(np.diff(scale.levels) > 0)
    if is_log:
        np.testing.assert_allclose(scale.levels, [float(f"{level:.0e}") for level in scale.levels])


def test_a_path_is_drawn_where_it_went():
    """Its points are those of the principal axes, its end is the centre; on the surface it has the loss of each place."""
    scan, axes = trajectory()
    figure = Figure()
    panel, surface = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="3d")
    _figures_plane.draw_plane(panel, scan, axes)
    draw_surface(surface, scan, axes)
    np.testing.assert_array_equal(data(by_label(panel, "path of 21 points")), np.asarray(axes.path, float))
    np.testing.assert_allclose(data(by_label(panel, "start"))[0], axes.path[0], rtol=1e-6)
    assert f"{100 * float(axes.explained[0]):.3g} % of the variance" in panel.get_xlabel()
    x, y, z = (np.asarray(values) for values in surface.lines[0].get_data_3d())
    inside = (np.abs(x) <= 2) & (np.abs(y) <= 1)
    np.testing.assert_array_equal(np.isfinite(z), inside)
    assert 0 < inside.sum() < len(x)
    grid = _figures_grid.make_grid(scan)
    np.testing.assert_allclose(z, _figures_grid.lift(grid, _figures_grid.make_scale(grid.z), np.column_stack([x, y])))


def test_missing_losses_are_hatched():
    """The ground is hatched where a loss is missing, and said to be; not where all are there."""
    for loss_fn, hatch in ((walled, "////"), (quadratic, None)):
        panel = Figure().subplots()
        _figures_plane.draw_plane(panel, plane(loss_fn))
        assert panel.patch.get_hatch() == hatch
        words = [text.get_text() for text in panel.get_legend().get_texts()]
        assert ("not finite" in words) == (hatch is not None)


def test_a_density_is_drawn_with_its_band_and_nodes():
    """Line, band and ticks hold the arrays; a band is missing for one probe."""
    result = density()
    panel = Figure().subplots()
    _figures_spectrum.draw_density(panel, result)
    np.testing.assert_allclose(data(by_label(panel, "_density")), np.column_stack([result.grid, result.density]))
    np.testing.assert_allclose(data(by_label(panel, "_nodes"))[:, 0], np.ravel(result.nodes))
    (band,) = panel.collections[:1]
    highest = np.max(np.asarray(result.density + result.standard_error))
    np.testing.assert_allclose(band.get_paths()[0].vertices[:, 1].max(), highest, rtol=1e-6)
    # A single eigenvalue of three has a third of the weight.
    (height, _) = by_label(panel, "height of one eigenvalue").get_ydata()
    np.testing.assert_allclose(height, 1 / 3 / (float(result.width) * np.sqrt(2 * np.pi)), rtol=1e-6)
    panel = Figure().subplots()
    _figures_spectrum.draw_density(panel, density(num_probes=1))
    assert not panel.collections


def test_eigenvalues_are_stems_that_tell_what_converged():
    """Stems end at the eigenvalues; dots are full where the pair converged."""
    few = pairs(max_matvecs=32)
    assert 0 < few.converged.sum() < 4
    panel = Figure().subplots()
    _figures_spectrum.draw_eigenvalues(panel, few)
    ends = np.array([segment[1] for segment in panel.collections[0].get_segments()])
    np.testing.assert_allclose(ends, np.column_stack([np.arange(1, 5), few.eigenvalues]))
    full, empty = [line for line in panel.lines if line.get_marker() == "o"]
    assert full.get_markerfacecolor() != empty.get_markerfacecolor() == "white"
    np.testing.assert_allclose(full.get_ydata(), few.eigenvalues[few.converged])
    np.testing.assert_allclose(empty.get_ydata(), few.eigenvalues[~few.converged])


def test_a_heat_map_has_a_row_per_layer():
    """Rows are the named layers, the first at the top; columns are the steps; NaN is masked, cosines diverge around 0."""
    stacked = gradients()
    figure = _figures_layers.layers_figure(stacked, steps=[0, 10, 20, 40, 80])
    panels = dict(zip((panel.get_title() for panel in figure.axes[:4]), figure.axes[:4], strict=True))
    for quantity in _figures_layers.GRADIENTS:
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
    values = np.array([[0.0, 1.0], [0.0, 1e4]])
    _figures_layers.draw_layers(panel, values, ["one", "two"], _figures_layers.SHIFTS[0])
    (mesh,) = panel.collections
    assert isinstance(mesh.norm, LogNorm)
    assert not np.ma.getmaskarray(mesh.get_array()).any()
    np.testing.assert_array_equal(mesh.cmap(mesh.norm(mesh.get_array()[0])), [[1, 1, 1, 1]] * 2)


def test_a_single_step_is_dots():
    """Each layer's value stands in its row."""
    result = shift()
    figure = _figures_layers.layers_figure(result)
    assert len(figure.axes) == 4
    (dots,) = figure.axes[0].lines
    np.testing.assert_allclose(data(dots), np.column_stack([result.difference, [0, 1]]))


def test_what_is_stacked_twice_is_refused():
    """There is no place for a third axis."""
    twice = jax.tree.map(lambda values: values[None], gradients())
    with pytest.raises(
        ValueError, match=r"must be stacked at most once, over steps, to be drawn; got shape \(1, 5, 2\)"
    ):
        result_figure(twice)
    with pytest.raises(ValueError, match="statistics must be stacked at most once"):
        result_figure(jax.tree.map(lambda values: values[None], activations()))


def test_percentiles_over_training():
    """A panel has a line per level of its unit; six units are shown."""
    stacked = activations()
    figure = _figures_layers.activations_figure(stacked, steps=[0, 5, 10, 20])
    assert len(figure.axes) == 6
    for unit, panel in enumerate(figure.axes):
        drawn = np.array([data(line) for line in panel.lines[:3]])
        np.testing.assert_array_equal(drawn[:, :, 0], [[0, 5, 10, 20]] * 3)
        np.testing.assert_allclose(drawn[:, :, 1], stacked.percentiles[:, unit].T)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0.05"),
        (1234.5, "1234"),
        (1e-4, "$10^{-4}$"),
        (-25000, "$-2.5·10^{4}$"),
        (np.inf, "not finite"),
    ],
)
def test_numbers_are_short(value, text):
    """Powers of ten where a number would be long."""
    assert _figures.number(value) == text


def test_the_command_draws_results(capsys, tmp_path):
    """Each file's picture is beside it; principal axes that follow a plane are drawn over it."""
    for name, result in zip(("plane", "axes"), trajectory(), strict=True):
        result.save(tmp_path / f"{name}.npz")
    data_files, pictures = ([tmp_path / f"{name}.{end}" for name in ("plane", "axes")] for end in ("npz", "png"))
    command_line.main(["draw", str(data_files[1]), str(data_files[0])])
    assert capsys.readouterr().out == f"{pictures[1]}\n{pictures[0]}\n"
    alone = pictures[0].read_bytes()
    pictures[1].unlink()
    command_line.main(["draw", *map(str, data_files)])
    assert capsys.readouterr().out == f"{pictures[0]}\n"
    assert not pictures[1].exists()
    assert pictures[0].read_bytes() != alone


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npz", None, "No such file or directory: "),
        ("text.npz", "text", "cannot be drawn (ValueError: "),
        ("data.json", "{}", "cannot be drawn (KeyError: 'experiment')"),
        ("data.json", "text", "cannot be drawn (JSONDecodeError: "),
        ("other.json", '{"experiment": "other"}', "is the data of 'other'; there is no such experiment here."),
        ("picture.png", "", "must be the data of a figure (.json) or the result of a probe (.npz)."),
    ],
)
def test_files_that_cannot_be_drawn_are_one_line(name, content, message, capsys, tmp_path):
    """The file is named, the exit status is 2, and no picture is made."""
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit) as stop:
        command_line.main(["draw", str(tmp_path / name)])
    output, errors = capsys.readouterr()
    assert (stop.value.code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: ")
    assert str(tmp_path / name) in errors
    assert message in errors
    assert list(tmp_path.iterdir()) == ([] if content is None else [tmp_path / name])


def test_drawing_needs_a_file(capsys):
    """Without one, it says which files there are."""
    with pytest.raises(SystemExit) as stop:
        command_line.main(["draw"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: draw needs a file: the data of a figure (.json) or the result of a probe (.npz).\n"
    )
