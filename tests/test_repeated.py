"""A head that reads one vector 49 times over, reduced: it trains, and is measured, as the whole head, in float64."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import linen, models, probes, train
from bnjax.data import from_arrays
from bnjax.models import join_copies
from bnjax.objective import make_loss_fn
from bnjax.probes import directions
from bnjax.types import Batch

LAYER, COPIES = "dense_9", 49


def assert_tight(a, b):
    """Compare numbers up to the rounding of float64."""
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def config(head, **changes):
    """Describe a tiny VGG with a head, one batch norm, and weights of which signals do not vanish."""
    changes = {"norm": linen.BatchNorm, "norm_layers": (4,), "width": 1 / 32, "kernel_init": "he_normal"} | changes
    return models.VGGConfig(head=head, **changes)


@pytest.fixture
def nets(x64):
    """Make the trainer of the whole head and that of the reduced one."""
    optimizer = train.make_optimizer("sgd", 0.05, momentum=0.9, weight_decay=0.01, clip=2.0)
    made = (models.make_model(config(head)) for head in ("mameli", "mameli_reduced"))
    return [train.Trainer(model, optimizer, batch_size=16) for model in made]


def images(num=16):
    """Draw images and labels."""
    return jax.random.normal(jax.random.key(7), (num, 8, 8, 3)), np.arange(num) % 10


def states(nets, seed):
    """Start both nets from one seed, in float64."""
    found = [train.init_state(net, jax.random.key(seed), images()[0]) for net in nets]
    double = lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf  # noqa: E731
    return [state.replace(params=jax.tree.map(double, state.params), batch_stats=state.batch_stats) for state in found]


def reduced(tree):
    """Reduce parameters, a gradient or a direction of the whole head."""
    kernel, null_norm = join_copies(tree[LAYER]["kernel"], COPIES)
    return {**tree, LAYER: {**tree[LAYER], "kernel": kernel, "null_norm": null_norm}}


def assert_same(whole, part, **tolerance):
    """Compare a tree of the whole head with one of the reduced head."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), reduced(whole), dict(part))


def loss_fns(nets, both):
    """Make the loss of one batch, in training mode with the same dropout masks, of each net."""
    batch = Batch(images()[0], jnp.asarray(images()[1]))
    return [
        make_loss_fn(net.model, state.batch_stats, batch, rngs=train.step_rngs(state))
        for net, state in zip(nets, both, strict=True)
    ]


@pytest.fixture
def pair(nets):
    """Return losses, and the parameters of the whole head after its reduction."""
    both = states(nets, 0)
    losses = loss_fns(nets, both)
    return losses, (both[0].params, reduced(both[0].params))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_starts_from_the_kernels_of_the_whole_head(nets, seed):
    """The same seed gives the sum of the 49 kernels, all other weights alike, and the same length of all."""
    whole, part = (state.params for state in states(nets, seed))
    assert_same(whole, part, rtol=1e-6, atol=1e-7)
    total = whole[LAYER]["kernel"].reshape(COPIES, -1, 128).sum(axis=0)
    np.testing.assert_allclose(math.sqrt(COPIES) * part[LAYER]["kernel"], total, rtol=1e-5, atol=1e-6)
    lengths = [float(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))) for params in (whole, part)]
    np.testing.assert_allclose(*lengths, rtol=1e-6)
    alone: Any = models.VGG(config("mameli_reduced")).init(jax.random.key(seed), images()[0], train=False)["params"][
        LAYER
    ]
    np.testing.assert_allclose(alone["kernel"].std(), part[LAYER]["kernel"].std(), rtol=0.1)
    np.testing.assert_allclose(alone["null_norm"], part[LAYER]["null_norm"], rtol=0.02)


@pytest.mark.slow
def test_loss_and_gradient(pair):
    """The loss is the same; so are length and products of gradients, and nothing moves what changes no output."""
    losses, params = pair
    whole, part = (jax.grad(loss_fn)(own) for loss_fn, own in zip(losses, params, strict=True))
    assert_tight(losses[0](params[0]), losses[1](params[1]))
    assert_same(whole, part, rtol=1e-9, atol=1e-12)
    assert part[LAYER]["null_norm"] == 0
    by_sum = part[LAYER]["kernel"] / math.sqrt(COPIES)  # the gradient by the sum of the kernels
    assert_tight((whole[LAYER]["kernel"] ** 2).sum(), COPIES * (by_sum**2).sum())


@pytest.mark.thorough
@pytest.mark.parametrize("is_random", [False, True])
def test_scans_have_the_metric_of_the_whole_head(pair, is_random):
    """Losses, distances, cosines and smoothness are the same along minus the gradient and along a random direction."""
    losses, params = pair
    along = [None, None]
    if is_random:
        drawn = directions.random(jax.random.key(3), params[0])
        along = [drawn, reduced(drawn)]
    scans = [
        probes.scan_line(loss_fn, own, direction, step_sizes=(0.01, 0.1, 0.5))
        for loss_fn, own, direction in zip(losses, params, along, strict=True)
    ]
    for name in ("loss", "gradient_distance", "gradient_cosine", "smoothness", "direction_norm", "gradient_norm"):
        np.testing.assert_allclose(*(getattr(scan, name) for scan in scans), rtol=1e-8, err_msg=name)
    assert scans[0].gradient_distance.min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_direction_has_the_length_of_all_copies(pair, seed):
    """Its kernel is the sum of 49 draws, in units of sqrt(49), and with its null part it is as long as all of them."""
    (_, loss_fn), (whole, part) = pair
    sizes = config("mameli_reduced").null_sizes
    assert sizes == {f"{LAYER}/null_norm": (COPIES - 1) * part[LAYER]["kernel"].size}
    drawn = directions.random(jax.random.key(seed), part, null_sizes=sizes)
    np.testing.assert_allclose(drawn[LAYER]["kernel"].var(), 1, rtol=0.15)
    numbers = sum(leaf.size for leaf in jax.tree.leaves(whole))
    squares = float(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(drawn)))
    # A chi-squared number of so many degrees of freedom has standard deviation sqrt(2 n).
    assert abs(squares - numbers) < 5 * math.sqrt(2 * numbers)
    scan = probes.scan_line(loss_fn, part, drawn, step_sizes=(0.1,))
    np.testing.assert_allclose(scan.direction_norm, math.sqrt(squares), rtol=1e-9)
    np.testing.assert_allclose(scan.smoothness, scan.gradient_distance / (0.1 * math.sqrt(squares)), rtol=1e-9)
    same = directions.random(jax.random.key(seed), part)
    np.testing.assert_array_equal(same[LAYER]["kernel"], drawn[LAYER]["kernel"])


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_training_steps(nets, seed):
    """With momentum, weight decay and clipping, both heads take the same steps at the same losses."""
    both = states(nets, seed)
    both[1] = both[1].replace(params=jax.tree.map(jnp.copy, reduced(both[0].params)))  # runs give away their buffers
    both = [state.replace(opt_state=net.optimizer.init(state.params)) for net, state in zip(nets, both, strict=True)]
    split, losses = from_arrays(*images(64)), []
    for i, net in enumerate(nets):
        both[i], metrics = train.run_steps(net, both[i], split, num_steps=8)
        losses.append(metrics.loss)
    np.testing.assert_allclose(*losses, rtol=1e-9)
    assert losses[0][-1] != losses[0][0]
    assert_same(both[0].params, both[1].params, rtol=1e-8, atol=1e-10)


def test_a_step_of_the_sum_is_49_times_the_rate(x64):
    """S' = S - 49 rate dL/dS, for a dense layer alone; each of the 49 kernels takes the step of the whole layer."""
    x, rate = jax.random.normal(jax.random.key(1), (5, 3)), 0.1
    kernel = jax.random.normal(jax.random.key(2), (COPIES * 3, 4))
    whole = lambda kernel: jnp.sum(jnp.tanh(jnp.tile(x, COPIES) @ kernel))  # noqa: E731
    of_sum = lambda total: jnp.sum(jnp.tanh(x @ total))  # noqa: E731
    total = kernel.reshape(COPIES, 3, 4).sum(axis=0)
    after = (kernel - rate * jax.grad(whole)(kernel)).reshape(COPIES, 3, 4).sum(axis=0)
    assert_tight(after, total - COPIES * rate * jax.grad(of_sum)(total))
    u, null_norm = join_copies(kernel, COPIES)
    assert_tight(jnp.sum(kernel**2), jnp.sum(u**2) + null_norm**2)
    layer = models.RepeatedDense(4, copies=COPIES)
    params = {"kernel": u, "null_norm": null_norm, "bias": jnp.zeros(4)}
    assert_tight(jnp.asarray(layer.apply({"params": params}, x)), jnp.tile(x, COPIES) @ kernel)


def test_larger_maps_and_other_rows_are_refused():
    """The pixels of a map are not copies of each other, nor five rows those of two equal vectors."""
    with pytest.raises(ValueError, match="copies must be a divisor of the 5 rows of the kernel, got 2"):
        join_copies(jnp.ones((5, 3)), 2)
    model = models.make_model(models.VGGConfig(head="mameli_reduced", width=1 / 64))
    with pytest.raises(ValueError, match=r'with head "mameli_reduced", the last map must have one pixel, got \(2, 2\)'):
        model.init(jax.random.key(0), jnp.ones((1, 64, 64, 3)))


def test_a_null_size_belongs_to_a_number():
    """A path that is none, one of an array, and a size below 1 are refused."""
    params = {"kernel": jnp.ones(3), "null_norm": jnp.ones(())}
    for sizes in ({"kernel": 2}, {"other": 2}, {"null_norm": 0}):
        with pytest.raises(
            ValueError, match="null_sizes must name numbers among the parameters, and sizes from 1, got"
        ):
            directions.random(jax.random.key(0), params, null_sizes=sizes)
