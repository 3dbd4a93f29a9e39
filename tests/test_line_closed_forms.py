"""Line scans against formulas in NumPy, in float64: a quadratic, a cubic, a regression through batch norm; limits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bnjax import Batch, Model, Variables, norms, objective, probes

ETAS = np.array([-0.3, -1e-3, 1e-4, 0.05, 0.4, 2.0])
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (2, 3))]


def assert_scan(scan, value_and_grad, start, direction):
    """Compare all that a scan measures with a loss and a gradient in NumPy, to 1e-10 of the largest value."""
    (loss, gradient), norm = value_and_grad(start), np.linalg.norm
    losses, gradients = map(np.stack, zip(*(value_and_grad(start + eta * direction) for eta in ETAS), strict=True))
    distances = norm(gradients - gradient, axis=1)
    expected = {
        "step_sizes": ETAS,
        "loss": losses,
        "gradient_distance": distances,
        "gradient_cosine": gradients @ gradient / norm(gradients, axis=1) / norm(gradient),
        "smoothness": distances / np.abs(ETAS) / norm(direction),
        "slope": gradients @ direction,
        "gradient_norm": norm(gradient),
        "direction_norm": norm(direction),
        "start_loss": loss,
        "start_slope": gradient @ direction,
        "effective_smoothness": (distances / np.abs(ETAS) / norm(direction)).max(),
        "loss_range": (losses.min(), losses.max()),
        "gradient_range": (distances.min(), distances.max()),
    }
    for name, values in expected.items():
        # NOTE: over a distance of 1e-4, smoothness has four digits fewer than the gradients that it is the difference of.
        tolerance = 1e-10 * np.abs(values).max() / (1e-3 if name == "smoothness" else 1)
        np.testing.assert_allclose(getattr(scan, name), values, rtol=1e-10, atol=tolerance, err_msg=name)


def split(vector):
    """Make a tree of two leaves."""
    return {"a": jnp.asarray(vector[:2]), "b": [jnp.asarray(vector[2:]).reshape(2, -1)]}


def join(tree):
    """Undo it."""
    return jnp.concatenate([tree["a"], tree["b"][0].ravel()])


def symmetric(rng, size):
    """Draw a symmetric matrix and a vector."""
    matrix = rng.normal(size=(size, size))
    return matrix + matrix.T, rng.normal(size=size)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("along_gradient", [True, False])
def test_quadratic(seed, along_gradient, x64):
    """L = w'Aw / 2 - b'w: the distance is eta |Ad|, and the smoothness |Ad| / |d| at every eta."""
    rng = np.random.default_rng(seed)
    a, b = symmetric(rng, 6)
    start, direction = rng.normal(size=(2, 6))
    direction = b - a @ start if along_gradient else direction
    given = None if along_gradient else split(direction)
    scan = probes.scan_line(lambda t: join(t) @ a @ join(t) / 2 - b @ join(t), split(start), given, ETAS)
    assert_scan(scan, lambda w: (w @ a @ w / 2 - b @ w, a @ w - b), start, direction)
    curvature = np.linalg.norm(a @ direction)
    np.testing.assert_allclose(scan.gradient_distance, np.abs(ETAS) * curvature, rtol=1e-10)
    np.testing.assert_allclose(scan.smoothness, curvature / np.linalg.norm(direction), rtol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_cubic(seed, x64):
    """L = sum c w³ / 6 + w'Aw / 2: the distance is |eta (A + diag(c w)) d + eta² c d² / 2|."""
    rng = np.random.default_rng(seed)
    (a, c), (start, direction) = symmetric(rng, 6), rng.normal(size=(2, 6))
    scan = probes.scan_line(
        lambda t: jnp.sum(c * join(t) ** 3) / 6 + join(t) @ a @ join(t) / 2, split(start), split(direction), ETAS
    )
    assert_scan(scan, lambda w: (np.sum(c * w**3) / 6 + w @ a @ w / 2, c * w**2 / 2 + a @ w), start, direction)
    moved = ETAS[:, None] * (a @ direction + c * start * direction) + ETAS[:, None] ** 2 * c * direction**2 / 2
    np.testing.assert_allclose(scan.gradient_distance, np.linalg.norm(moved, axis=1), rtol=1e-10)


class Regression:
    """Targets from inputs through one unit with batch norm, y = scale (x'w - mean) / (var + epsilon)^(1/2) + bias.

    With S and c the covariances of the inputs and of inputs and targets, and v = w'Sw + epsilon, the mean squared error over
    two is in the batch's own statistics

        2 L = scale² w'Sw / v - 2 scale c'w / v^(1/2) + (bias - mean target)² + var(targets)

    and a quadratic in w for given statistics. Its parameters are (w, scale, bias) in a row.
    """

    def __init__(self, seed, epsilon):
        rng = np.random.default_rng(seed)
        self.epsilon, self.x, self.targets = epsilon, rng.normal(size=(9, 4)), rng.normal(size=9)
        self.mean, self.var = 0.3, 1.7
        self.start = np.append(rng.normal(size=4), [1.3, -0.2])
        self.direction = rng.normal(size=6)

    def objective(self, statistics):
        """Bind the model as a user does."""

        def apply(variables, x, *, train, rngs=None):
            (w, scale, bias), stats = variables
            y, stats = norms.batch_norm(x @ w, stats, scale, bias, train=train, epsilon=self.epsilon)
            return y, stats

        stats = norms.BatchStats(jnp.full(1, self.mean), jnp.full(1, self.var))
        batch = Batch(jnp.asarray(self.x), jnp.asarray(self.targets)[:, None])
        model = Model(lambda key, x: Variables(self.tree(self.start), stats), apply)
        return objective.make_loss_fn(model, stats, batch, loss="squared_error", statistics=statistics)

    @staticmethod
    def tree(vector):
        """Return the parameters as a tree."""
        return jnp.asarray(vector[:4])[:, None], jnp.asarray(vector[4:5]), jnp.asarray(vector[5:])

    def value_and_grad(self, statistics):
        """Return loss and gradient by the formulas."""
        return self._batch if statistics == "batch" else self._running

    def _batch(self, vector):
        w, scale, bias = vector[:4], vector[4], vector[5]
        centred, num = self.x - self.x.mean(0), len(self.x)
        s, c = centred.T @ centred / num, centred.T @ self.targets / num
        v, offset = w @ s @ w + self.epsilon, bias - self.targets.mean()
        loss = (scale**2 * w @ s @ w / v - 2 * scale * c @ w / v**0.5 + offset**2 + self.targets.var()) / 2
        by_w = scale**2 * self.epsilon * s @ w / v**2 - scale * (c / v**0.5 - c @ w * s @ w / v**1.5)
        return loss, np.append(by_w, [scale * w @ s @ w / v - c @ w / v**0.5, offset])

    def _running(self, vector):
        w, scale, bias = vector[:4], vector[4], vector[5]
        normal = (self.x @ w - self.mean) / (self.var + self.epsilon) ** 0.5
        errors = scale * normal + bias - self.targets
        by_w = scale * errors @ self.x / (self.var + self.epsilon) ** 0.5 / len(self.x)
        return np.mean(errors**2) / 2, np.append(by_w, [np.mean(errors * normal), np.mean(errors)])


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("epsilon", [1e-5, pytest.param(0.5, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("along_gradient", [True, False])
def test_regression_through_batch_norm(seed, epsilon, statistics, along_gradient, x64):
    """A model in training mode and in evaluation, through all of the library, is what the formulas say."""
    case = Regression(seed, epsilon)
    formula = case.value_and_grad(statistics)
    direction = -formula(case.start)[1] if along_gradient else case.direction
    given = None if along_gradient else case.tree(direction)
    scan = probes.scan_line(case.objective(statistics), case.tree(case.start), given, ETAS)
    assert_scan(scan, formula, case.start, direction)
    assert (scan.objective.statistics, scan.objective.batch_size) == (statistics, 9)


def test_a_scale_invariant_line_is_flat(x64):
    """Along the weights themselves the loss does not change with the batch's statistics, and gradients shrink with them."""
    case, etas = Regression(1, epsilon=0.0), np.array([-0.5, 1.0, 3.0])
    params, direction = case.tree(case.start), case.tree(np.append(case.start[:4], [0.0, 0.0]))
    scan = probes.scan_line(case.objective("batch"), params, direction, etas)
    np.testing.assert_allclose(scan.loss, np.full(3, scan.start_loss), rtol=1e-12)
    np.testing.assert_allclose(scan.slope, 0, atol=1e-12)
    by_w = np.linalg.norm(case.value_and_grad("batch")(case.start)[1][:4])
    np.testing.assert_allclose(scan.gradient_distance, by_w * np.abs(1 / (1 + etas) - 1), rtol=1e-10)
    assert np.ptp(probes.scan_line(case.objective("running"), params, direction, etas).loss) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("statistics", ["batch", pytest.param("running", marks=pytest.mark.thorough)])
def test_small_steps_see_the_hessian(statistics, x64):
    """As the step size goes to 0 the smoothness goes to |Hg| / |g|, and along a top eigenvector to its |eigenvalue|."""
    case = Regression(2, epsilon=1e-5)
    loss_fn, params = case.objective(statistics), case.tree(case.start)
    gradient = probes.directions.gradient(loss_fn, params)
    product = jax.jit(probes.curvature.hvp)(loss_fn, params, gradient)
    pairs = probes.curvature.top_eigenpairs(loss_fn, params, key=jax.random.key(0), which="magnitude", tolerance=1e-10)
    expected = (optax.tree.norm(product) / optax.tree.norm(gradient), jnp.abs(pairs.eigenvalues[0]))
    for direction, curvature in zip((gradient, pairs.direction(params)), expected, strict=True):
        smoothness = probes.scan_line(loss_fn, params, direction, (1e-5, 2e-5)).smoothness
        np.testing.assert_allclose(smoothness[0], curvature, rtol=1e-3)
        # The error is linear in the step size, so that two of them tell the limit.
        np.testing.assert_allclose(2 * smoothness[0] - smoothness[1], curvature, rtol=1e-6)
