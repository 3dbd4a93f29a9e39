"""Small results of every probe, and what can be read off a figure."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from bnjax import probes
from bnjax.probes import curvature
from bnjax.probes.directions import principal

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
def planes():
    """Planes of three losses, stacked."""
    places, scales = jnp.array([-1.0, 0.0, 1.5]), jnp.array([0.5, 1.0, 1.5])
    return jax.vmap(lambda s: probes.scan_plane(lambda p: quadratic(p, s), W, X, Y, places, places))(scales)


@functools.cache
def traces():
    """The traces of three Hessians, stacked."""
    keys = jax.random.split(jax.random.key(0), 3)
    return jax.vmap(lambda key: curvature.trace(quadratic, W, key=key, num_probes=5))(keys)


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
def sharpness():
    """The sharpness of three batches, at two places."""
    batches = [Partial(quadratic, scale=scale) for scale in (0.5, 1.0, 2.0)]
    places = jax.tree.map(lambda w: jnp.stack([w, 2 * w + 1]), W)
    return jax.vmap(lambda w: probes.batch_sharpness(batches, w))(places)


@functools.cache
def rises():
    """The relative sharpness of two layers, at two places."""
    places = jax.tree.map(lambda w: jnp.stack([w, 2 * w + 1]), W)
    options = {"key": jax.random.key(0), "num_directions": 3}
    return jax.vmap(lambda w: probes.relative_sharpness(quadratic, w, ["a", "b"], **options))(places)


@functools.cache
def dependence():
    """The dependence of two coupled layers on each other, at two places."""
    places = jax.tree.map(lambda w: jnp.stack([w, 2 * w + 1]), W)
    loss_fn = lambda w: quadratic(w) * jnp.sum(w["b"])  # noqa: E731
    return jax.vmap(lambda w: probes.layer_dependence(loss_fn, w, ["a", "b"], step_sizes=jnp.array([0.01, 0.02])))(
        places
    )


@functools.cache
def control():
    """What moves the moments of two layers."""
    x = jnp.arange(6.0).reshape(3, 2)
    outputs = lambda w: {"a": x * w["a"][None], "b": x * w["a"][None] * w["b"][None]}  # noqa: E731
    return probes.moment_control(outputs, W, W, ["a", "b"])


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


@functools.cache
def dead_activations():
    """Statistics of units that are always 0."""
    return probes.ActivationStatistics.stack([probes.activation_statistics(jnp.zeros((9, 3)))] * 3)


def first(result):
    """Take the first of a stack."""
    return jax.tree.map(lambda values: values[0], result)


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


def by_label(panel, label):
    """Return the one line of a panel with this label."""
    (line,) = [line for line in panel.lines if line.get_label() == label]
    return line


def data(line):
    """Return a line's coordinates, (points, 2)."""
    return np.column_stack([np.asarray(values, float) for values in line.get_data()])
