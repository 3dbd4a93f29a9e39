"""Every normaliser under every transformation: what holds for all of them, from one table."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from bnjax import norms
from bnjax.norms.statistics import Reduction

FEATURES = 4
X = 2 * jax.random.normal(jax.random.key(0), (16, 3, FEATURES)) + 1
SCALE, BIAS = jax.random.normal(jax.random.key(1), (2, FEATURES))
STATS = norms.BatchStats(jnp.full(FEATURES, 0.5), jnp.full(FEATURES, 2.0))


def without_stats(norm, x, stats, *parameters, train, **options):
    """Give a normaliser without running statistics the call of one with them."""
    return norm(x, *parameters, **options), stats


BATCH_WISE = {
    "batch_norm": partial(norms.batch_norm, train=True),
    "fast": partial(norms.batch_norm, train=True, use_fast_variance=True),
    "l1": partial(norms.lp_norm, p=1, train=True),
    "l2": partial(norms.lp_norm, p=2, train=True),
    "linf": partial(norms.lp_norm, p="inf", train=True),
    "l1_centred": partial(norms.lp_norm, p=1, center_first=True, train=True),
    "linf_centred": partial(norms.lp_norm, p="inf", center_first=True, train=True),
    "renorm": partial(norms.batch_renorm, train=True, r_max=1.2, d_max=0.3),
    "noisy": partial(norms.noisy_batch_norm, key=jax.random.key(2), train=True, noise="strong"),
}
FAMILY = BATCH_WISE | {
    "ghost": partial(norms.ghost_batch_norm, ghost_size=4, train=True),
    "layer": partial(without_stats, partial(norms.layer_norm, epsilon=1e-5), train=True),
    "instance": partial(without_stats, partial(norms.instance_norm, epsilon=1e-5), train=True),
    "group": partial(without_stats, partial(norms.group_norm, num_groups=2, epsilon=1e-5), train=True),
}

QUICK = ("batch_norm", "ghost", "group")


def parametrize(norms_by_name):
    """Run a test for each of several normalisers; those that are variants of another take their time."""
    marks = {name: () if name in QUICK else pytest.mark.thorough for name in norms_by_name}
    return pytest.mark.parametrize(
        "norm", [pytest.param(norm, id=name, marks=marks[name]) for name, norm in norms_by_name.items()]
    )


every, every_batch_wise = parametrize(FAMILY), parametrize(BATCH_WISE)


def loss(norm, x=X, scale=SCALE, bias=BIAS, **options):
    """Reduce a normaliser's output to a number that is even in nothing."""
    return jnp.sum(jnp.sin(norm(x, STATS, scale, bias, **options)[0]))


def assert_close(actual, expected, tolerance=1e-5):
    """Compare trees, relative to the largest entry."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * max(1, float(np.max(np.abs(b)))))


@pytest.mark.sampled("slow")
@every
def test_jit(norm):
    """Compiled, the same comes out."""
    assert_close(jax.jit(norm)(X, STATS, SCALE, BIAS), norm(X, STATS, SCALE, BIAS))


@every
def test_vmap_over_models(norm):
    """A stack of inputs, statistics and parameters gives what one after another gives."""
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), (X, STATS, SCALE, BIAS))
    together = jax.jit(jax.vmap(norm))(*stacked)
    norm = jax.jit(norm)
    for i in range(2):
        assert_close(
            jax.tree.map(lambda leaf, i=i: leaf[i], together), norm(*jax.tree.map(lambda v, i=i: v[i], stacked))
        )


@pytest.mark.sampled("thorough")
@every
def test_jvp_and_grad_agree_with_differences(norm, x64):
    """In float64, forward mode, reverse mode and central differences agree in x, scale and bias."""
    if norm.keywords.get("r_max"):
        norm = partial(norm, r_max=1.0, d_max=0.0)  # else r and d depend on x, though no gradient passes through them
    operands = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (X, SCALE, BIAS))
    tangents = jax.tree.map(jnp.cos, operands)
    f = jax.jit(partial(loss, norm))
    _, forward = jax.jvp(f, operands, tangents)
    gradients = jax.jit(jax.grad(f, (0, 1, 2)))(*operands)
    backward = sum(jnp.vdot(g, t) for g, t in zip(gradients, tangents, strict=True))
    ahead, behind = (f(*jax.tree.map(lambda o, t, h=h: o + h * t, operands, tangents)) for h in (1e-6, -1e-6))
    np.testing.assert_allclose(forward, backward, rtol=1e-10)
    np.testing.assert_allclose(forward, (ahead - behind) / 2e-6, rtol=1e-6)


@pytest.mark.sampled("slow")
@every
def test_jacfwd_and_hessian(norm, x64):
    """The Jacobian forwards is the one backwards, and the Hessian in scale is finite and symmetric."""
    x, scale = X.astype(jnp.float64), SCALE.astype(jnp.float64)

    def output(scale):
        return norm(x, STATS, scale, BIAS)[0]

    @jax.jit
    def differentiate(scale):
        return jax.jacfwd(output)(scale), jax.jacrev(output)(scale), jax.hessian(lambda s: loss(norm, x, s))(scale)

    forward, backward, hessian = differentiate(scale)
    assert_close(forward, backward, 1e-12)
    assert np.isfinite(hessian).all()
    assert_close(hessian, hessian.T, 1e-12)


@pytest.mark.sampled("slow")
@every
def test_remat(norm):
    """Recomputed in the backward pass, gradients are the same and statistics move once."""

    def step(norm, x):
        y, stats = norm(x, STATS, SCALE, BIAS)
        return jnp.sum(jnp.sin(y)), stats

    plain, again = (
        jax.jit(jax.value_and_grad(partial(step, f), has_aux=True))(X) for f in (norm, jax.checkpoint(norm))
    )
    assert_close(again, plain)


@pytest.mark.sampled("slow")
@every
def test_scan(norm):
    """Statistics are a scan's carry."""

    def step(stats, x):
        y, stats = norm(x, stats, SCALE, BIAS)
        return stats, y

    stats, ys = lax.scan(step, STATS, jnp.stack([X, X + 1]))
    once, first = norm(X, STATS, SCALE, BIAS)[::-1]
    twice, second = norm(X + 1, once, SCALE, BIAS)[::-1]
    assert_close((stats, ys), (twice, jnp.stack([first, second])))


@every
def test_donation(norm):
    """Statistics and input may be given away."""
    expected = norm(X, STATS, SCALE, BIAS)
    given = jax.tree.map(jnp.copy, (X, STATS))
    assert_close(jax.jit(norm, donate_argnums=(0, 1))(*given, SCALE, BIAS), expected)


@every
def test_masked_rows_count_as_absent(norm):
    """NaN in rows that the mask leaves out reaches neither outputs, statistics nor gradients of the others."""
    kept = X[:12]

    def step(x, parameters, **options):
        y, stats = norm(x, STATS, *parameters, **options)
        return jnp.sum(jnp.sin(y[:12])), (y[:12], stats)

    mask = (jnp.arange(16) < 12)[:, None, None]
    differentiate = jax.jit(jax.grad(step, (0, 1), has_aux=True))
    (dx, dp), results = differentiate(X.at[12:].set(jnp.nan), (SCALE, BIAS), mask=mask)
    (expected_dx, expected_dp), expected = differentiate(kept, (SCALE, BIAS))
    np.testing.assert_array_equal(dx[12:], 0)
    assert_close((dx[:12], dp, results), (expected_dx, expected_dp, expected))


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("filler", [jnp.nan, *(pytest.param(f, marks=pytest.mark.thorough) for f in (jnp.inf, 7.0))])
@every
def test_masked_outputs_may_enter_the_loss(norm, filler, x64):
    """Then the derivative is that of the forward pass, once and twice, in which NaN that does not count is 0."""
    mask = (jnp.arange(16) < 12)[:, None, None]
    x = X.astype(jnp.float64).at[12:].set(filler)
    operands = tuple(leaf.astype(jnp.float64) for leaf in (SCALE, BIAS, X))
    # NOTE: of renorm's r and d, which depend on x, no gradient is taken; nor is one of the noise.
    moves = 0 if getattr(norm, "func", None) is norms.batch_renorm else 1

    @jax.jit
    def outputs(t):
        scale, bias, direction = operands
        y, _ = norm(x + moves * t * jnp.cos(direction), STATS, (1 + t) * scale, bias + t, mask=mask)
        return jnp.sin(y)

    def slope_of(f):
        return jax.jit(lambda t: jax.jvp(f, (t,), (1.0,))[1])

    slopes = slope_of(outputs)
    for f, derivative in ((outputs, slopes), (slopes, slope_of(slopes))):
        differences = (f(1e-6) - f(-1e-6)) / 2e-6
        np.testing.assert_allclose(derivative(0.0), differences, atol=1e-7 * max(1, np.abs(differences).max()))

    @jax.jit
    def both_ways(scale):
        def total(scale):
            return jnp.sum(jnp.sin(norm(x, STATS, scale, BIAS, mask=mask)[0]))

        return jax.jvp(total, (scale,), (scale,))[1], jnp.vdot(jax.grad(total)(scale), scale)

    forward, backward = both_ways(operands[0])
    np.testing.assert_allclose(backward, forward, rtol=1e-8)


@pytest.mark.slow
def test_a_masked_nan_is_zero_also_in_half_precision():
    """The gradient of the scale by a masked NaN is what 0 normalises to."""
    x = jnp.array([[1.0], [3.0], [jnp.nan]], jnp.bfloat16)
    mask = jnp.array([[True], [True], [False]])

    def last(scale):
        return norms.batch_norm(x, norms.init_batch_stats(1), scale, train=True, epsilon=0.0, mask=mask)[0][2, 0]

    value, gradient = jax.value_and_grad(last)(jnp.ones(1))
    np.testing.assert_allclose((value, gradient[0]), -2, rtol=1e-2)


@pytest.mark.parametrize("name", ["batch_norm", "linf", "renorm", "ghost"])
def test_nan_in_padded_rows_reaches_nothing_in_evaluation(name):
    """With running statistics too, rows that the mask leaves out spoil no gradient of the parameters."""
    norm = partial(FAMILY[name].func, **{**FAMILY[name].keywords, "train": False})
    mask = (jnp.arange(16) < 12)[:, None, None]

    def step(parameters, x, **options):
        return jnp.sum(jnp.where(mask, norm(x, STATS, *parameters, **options)[0], 0))

    padded = jax.grad(step)((SCALE, BIAS), X.at[12:].set(jnp.nan), mask=mask)
    assert_close(padded, jax.grad(step)((SCALE, BIAS), X))


MESH = jax.make_mesh((8,), ("shards",), axis_types=(AxisType.Auto,))
GRID = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))
EVERYWHERE, SPLIT = PartitionSpec(), PartitionSpec("shards")


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [MESH, GRID], ids=["one_axis", "two_axes"])
@every_batch_wise
def test_shards_equal_the_whole_batch(norm, mesh):
    """On 8 devices with unequal valid counts, one of them none: outputs, statistics and gradients of the big batch."""
    axis_name = mesh.axis_names[0] if len(mesh.axis_names) == 1 else mesh.axis_names
    split = PartitionSpec(axis_name)
    mask = (jnp.arange(2)[None] < jnp.array([2, 1, 0, 2, 2, 1, 2, 2])[:, None]).reshape(16, 1, 1)
    options = {"key": jax.random.key(2)} if "key" in norm.keywords else {}

    def step(parameters, x, mask, axis_name=None):
        y, stats = norm(x, STATS, *parameters, mask=mask, axis_name=axis_name, **options)
        total, count = jnp.sum(jnp.where(mask, jnp.sin(y), 0)), jnp.sum(mask)
        if axis_name is not None:
            total, count = lax.psum((total, count), axis_name)
        return total / count, (y, stats)

    differentiate = jax.value_and_grad(step, (0, 1), has_aux=True)
    whole = differentiate((SCALE, BIAS), X, mask)
    on_devices = jax.shard_map(
        partial(differentiate, axis_name=axis_name),
        mesh=mesh,
        in_specs=(EVERYWHERE, split, split),
        out_specs=((EVERYWHERE, (split, EVERYWHERE)), (EVERYWHERE, split)),
    )
    (value, (y, stats)), gradients = jax.jit(on_devices)((SCALE, BIAS), X, mask)
    (value_, (y_, stats_)), gradients_ = whole
    valid = jnp.broadcast_to(mask, X.shape)
    assert_close(
        (value, jnp.where(valid, y, 0), stats, gradients), (value_, jnp.where(valid, y_, 0), stats_, gradients_)
    )


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("axis_name", [("data", "model"), ("model", "data"), "data"], ids=str)
def test_one_device_of_a_mesh_gives_the_sample(axis_name):
    """Along one axis of a mesh or both, in any order, what is added up over devices is the first one's entry alone."""
    over = Reduction((0,), axis_name)
    add_up = jax.shard_map(
        lambda x: over.everywhere(over.sample(x, None))[0],
        mesh=GRID,
        in_specs=PartitionSpec(axis_name),
        out_specs=EVERYWHERE,
    )
    np.testing.assert_array_equal(add_up(X[:8]), X[:1])


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=str)
@every
def test_a_batch_spread_by_the_compiler_is_one_batch(norm, axis_type):
    """Under jit with a sharded batch, without any axis name, the statistics are those of the whole."""
    mesh = jax.make_mesh((4,), ("devices",), axis_types=(axis_type,), devices=jax.devices()[:4])
    spread = jax.device_put(X, NamedSharding(mesh, PartitionSpec("devices")))
    assert_close(jax.jit(norm)(spread, STATS, SCALE, BIAS), norm(X, STATS, SCALE, BIAS))


def test_ghosts_stay_on_their_device():
    """Sharded, each device normalises its own ghosts, and the running statistics are those of all of them."""
    norm = FAMILY["ghost"].func
    on_devices = jax.shard_map(
        lambda x: norm(x, STATS, SCALE, BIAS, ghost_size=2, train=True, axis_name="shards"),
        mesh=MESH,
        in_specs=SPLIT,
        out_specs=(SPLIT, EVERYWHERE),
    )
    assert_close(jax.jit(on_devices)(X), norm(X, STATS, SCALE, BIAS, ghost_size=2, train=True))


def test_groups_of_devices_share_statistics():
    """Devices normalise with those of their group, by valid counts."""
    mask = (jnp.arange(16) % 5 > 0)[:, None, None]
    norm = partial(norms.batch_norm, axis_name="shards", axis_index_groups=[[0, 1, 2, 3], [4, 5, 6, 7]], train=True)
    on_devices = jax.shard_map(
        lambda x, mask: norm(x, STATS, mask=mask)[0], mesh=MESH, in_specs=SPLIT, out_specs=SPLIT, check_vma=False
    )
    halves = [norms.batch_norm(X[s], STATS, mask=mask[s], train=True)[0] for s in (slice(0, 8), slice(8, 16))]
    assert_close(jax.jit(on_devices)(X, mask), jnp.concatenate(halves))
