"""What holds for every scan in every statistics mode: ways of batching agree, and nothing changes, whatever happens."""

import functools
import itertools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import Batch, Model, Variables, adapters, linen, norms, objective, probes
from bnjax._host.digest import digest

MODES = get_args(objective.Statistics)
BATCHINGS = ("auto", "loop", "map", "vmap", 3)
STEP_SIZES = np.array([-0.1, 0.05, 0.1, 0.2, 0.4])


def cases(*quick):
    """List modes with ways of batching, all but some as thorough."""
    return [
        pytest.param(*pair, marks=() if pair in quick else pytest.mark.thorough)
        for pair in itertools.product(MODES, BATCHINGS)
    ]


class Net(nn.Module):
    """A convolution with batch norm, and a dense layer, in the type of the inputs."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        norm = linen.BatchNorm(use_running_average=not train, param_dtype=x.dtype)
        x = nn.relu(norm(nn.Conv(3, (3, 3), param_dtype=x.dtype)(x)))
        return nn.Dense(3, param_dtype=x.dtype)(x.reshape(len(x), -1))


@functools.cache
def setting():
    """Make a model, variables whose statistics are not the initial ones, batches of 6 and 4, and two directions."""
    model, rng = adapters.from_linen(Net()), np.random.default_rng(0)
    batches = [Batch(jnp.asarray(rng.normal(size=(n, 4, 4, 2))), jnp.asarray(rng.integers(3, size=n))) for n in (6, 4)]
    variables = jax.jit(model.init)(jax.random.key(0), batches[0].inputs)
    stats = jax.tree.map(lambda s: s + jnp.asarray(rng.uniform(0, 1, s.shape), s.dtype), variables.batch_stats)
    directions = [probes.directions.random(jax.random.key(i), variables.params) for i in (1, 2)]
    return model, variables._replace(batch_stats=stats), batches, directions


def make_loss(statistics):
    """Make the loss of all batches."""
    model, variables, batches, _ = setting()
    return objective.make_loss_fn(model, variables.batch_stats, batches, statistics=statistics)


def scan_both(loss_fn, batching, step_sizes=STEP_SIZES):
    """Scan a line, and a plane of six points."""
    _, (params, _), _, directions = setting()
    line = probes.scan_line(loss_fn, params, directions[0], step_sizes, batching=batching)
    return line, probes.scan_plane(loss_fn, params, *directions, (0.0, 0.1, -0.3), (0.2, 0.0), batching=batching)


@functools.cache
def alone(statistics):
    """Evaluate loss and gradient at each point of the two scans by itself, without a probe."""
    _, (params, _), _, (x, y) = setting()
    evaluate = jax.jit(jax.value_and_grad(make_loss(statistics)))
    at = lambda a, b: evaluate(jax.tree.map(lambda w, dx, dy: w + a * dx + b * dy, params, x, y))  # noqa: E731
    flat = lambda tree: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])  # noqa: E731
    losses, gradients = zip(*(at(eta, 0.0) for eta in STEP_SIZES), strict=True)
    start, gradients = flat(at(0.0, 0.0)[1]), np.stack([flat(g) for g in gradients])
    distances, norms = np.linalg.norm(gradients - start, axis=1), np.linalg.norm(gradients, axis=1)
    cosines = gradients @ start / norms / np.linalg.norm(start)
    plane = np.array([[at(a, b)[0] for b in (0.2, 0.0)] for a in (0.0, 0.1, -0.3)])
    return np.array(losses), distances, cosines, gradients @ flat(x), plane


@pytest.mark.slow
@pytest.mark.parametrize(("statistics", "batching"), cases(("batch", 3)))
def test_every_batching_is_each_point_by_itself(statistics, batching, x64):
    """Losses and gradients are those of the points one by one, to 1e-10; inputs stay as they were, bit for bit."""
    loss_fn = make_loss(statistics)
    before = digest((setting()[1:], loss_fn))
    line, plane = scan_both(loss_fn, batching)
    assert digest((setting()[1:], loss_fn)) == before
    # Re-estimated statistics are float32, whatever the parameters.
    tolerance = 1e-10 if statistics != "recalibrated" else 1e-5
    found = line.loss, line.gradient_distance, line.gradient_cosine, line.slope, plane.loss
    for mine, expected in zip(found, alone(statistics), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(plane.loss[0, 1], line.start_loss, rtol=tolerance)

    # A point without a value changes no bit of those that it is evaluated with: none sees another's statistics.
    others = STEP_SIZES != 0.1
    broken, _ = scan_both(loss_fn, batching, np.where(others, STEP_SIZES, 1e300))
    assert not np.isfinite(broken.loss[~others]).any()
    for name in ("loss", "gradient_distance", "gradient_cosine", "slope"):
        np.testing.assert_array_equal(getattr(broken, name)[others], getattr(line, name)[others])


class Trouble:
    """What is raised while a loss is traced or evaluated, and at which call; 0 is never."""

    def __init__(self, error, trace=0, call=0):
        self.error, self.left = error, {"trace": trace, "call": call}

    def step(self, kind):
        """Count, and raise when it is time."""
        self.left[kind] -= 1
        if self.left[kind] == 0:
            raise self.error("out of luck")

    def __call__(self, value):
        """Be called from within a program."""
        self.step("call")
        return np.zeros(np.shape(value), np.float32)

    def strike(self, loss_fn):
        """Make a loss that meets it; a plain function, so that each scan traces it again."""

        def disturbed(params):
            self.step("trace")
            loss = loss_fn(params)
            value = jax.lax.stop_gradient(loss).astype(jnp.float32)
            return loss + jax.pure_callback(self, value, value, vmap_method="sequential")

        return disturbed


def regress(variables, x, *, train, rngs=None):
    """Compute outputs through batch norm, with little to compile."""
    outputs, stats = norms.batch_norm(x @ variables.params["w"], variables.batch_stats, train=train)
    return outputs, stats


@pytest.mark.slow
@pytest.mark.parametrize(("statistics", "batching"), cases(("batch", "loop")))
@pytest.mark.parametrize("error", [KeyboardInterrupt, pytest.param(ZeroDivisionError, marks=pytest.mark.thorough)])
def test_whatever_happens_nothing_changes(error, statistics, batching, x64):
    """Ctrl-C or an error, while compiling or at the third point, leaves all inputs as they were, bit for bit."""
    params, direction = ({"w": jax.random.normal(jax.random.key(i), (3, 2))} for i in (0, 1))
    variables = Variables(params, norms.init_batch_stats(2))
    batches = [Batch(jax.random.normal(jax.random.key(n), (n, 3)), jnp.ones((n, 2))) for n in (6, 4)]
    loss_fn = objective.make_loss_fn(
        Model(lambda key, x: variables, regress),
        variables.batch_stats,
        batches,
        loss="squared_error",
        statistics=statistics,
    )
    before = digest((variables, batches, direction, loss_fn))
    scan = functools.partial(probes.scan_line, params=params, direction=direction, step_sizes=STEP_SIZES)
    expected = scan(loss_fn, batching=batching)
    with pytest.raises(error, match="out of luck"):
        scan(Trouble(error, trace=1).strike(loss_fn), batching=batching)
    # What is raised within a program, JAX raises as an error of its own.
    with pytest.raises((RuntimeError, ValueError), match="out of luck"):
        scan(Trouble(error, call=4).strike(loss_fn), batching=batching)
    assert digest((variables, batches, direction, loss_fn)) == before
    jax.tree.map(np.testing.assert_array_equal, scan(loss_fn, batching=batching), expected)
