"""The nnx BatchNorm stands in for Flax's, and the rest of the family for it."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx as flax_nnx

from bnjax import nnx, norms
from bnjax.nnx import BatchNorm

X = 2 * jax.random.normal(jax.random.key(0), (16, 4, 4, 3)) + 1
FAMILY = {
    "batch": BatchNorm,
    "cumulative": partial(BatchNorm, momentum=None),
    "l1": partial(nnx.LpNorm, p=1),
    "ghost": partial(nnx.GhostBatchNorm, ghost_size=4),
    "renorm": partial(nnx.BatchRenorm, bounds=norms.renorm_bounds),
    "noisy": nnx.NoisyBatchNorm,
    "layer": nnx.LayerNorm,
    "instance": nnx.InstanceNorm,
    "group": partial(nnx.GroupNorm, num_groups=3),
}


def make(cls=BatchNorm, num_features=3, **options):
    """Make a module."""
    return cls(num_features, rngs=flax_nnx.Rngs(0), **options)


DROP_INS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm")


@pytest.mark.parametrize("name", DROP_INS)
def test_has_the_arguments_of_flax(name):
    """The arguments, their order and their defaults are Flax's, except for the stable variance; ours come after."""
    classes = getattr(nnx, name), getattr(flax_nnx, name)
    ours, theirs = (inspect.signature(cls.__init__).parameters for cls in classes)
    assert list(ours) == [*theirs, *(["unbiased_running_var"] if name == "BatchNorm" else [])]
    assert [ours[each].kind for each in theirs] == [theirs[each].kind for each in theirs]
    changed = {name for name in theirs if ours[name].default != theirs[name].default}
    # Flax's default initialisers are made anew; these are the functions themselves.
    assert changed - {"bias_init", "scale_init"} == {"use_fast_variance"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LayerNorm", {}),
        ("LayerNorm", {"reduction_axes": (1, 2), "use_bias": False}),
        ("InstanceNorm", {"use_scale": False}),
        ("GroupNorm", {"num_groups": 3}),
        ("GroupNorm", {"num_groups": None, "group_size": 3}),
    ],
    ids=str,
)
def test_layers_of_one_example_equal_flax_in_its_fast_form(name, options):
    """With the fast variance, variables, output and gradients are Flax's own, of layer and instance norm to the bit."""

    @flax_nnx.jit
    def differentiate(module, x):
        return flax_nnx.value_and_grad(lambda module, x: jnp.sum(jnp.sin(module(x))), argnums=(0, 1))(module, x)

    results = []
    for cls in (getattr(nnx, name), getattr(flax_nnx, name)):
        module = make(cls, use_fast_variance=True, **options)
        results.append((differentiate(module, X), flax_nnx.state(module)))
    # Flax repeats the moments of a group for each of its features, which XLA fuses, and rounds, otherwise.
    tolerance = 1e-5 if name == "GroupNorm" else 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance), *results)


@pytest.mark.parametrize("options", [{"num_groups": 2}, {"num_groups": None}, {"group_size": 1}], ids=str)
def test_groups_that_do_not_fit_are_named_by_the_constructor(options):
    """As in Flax, not only by the first call."""
    with pytest.raises(ValueError, match=r"^num_groups (must divide|or group_size must be given)"):
        make(nnx.GroupNorm, **options)


@pytest.mark.parametrize("name", DROP_INS)
def test_is_found_by_the_class_of_flax(name):
    """Code that looks for Flax's layer finds ours."""
    options = {"num_groups": 3} if name == "GroupNorm" else {}
    assert isinstance(make(getattr(nnx, name), **options), getattr(flax_nnx, name))


def test_settings_and_views_by_the_class_of_flax():
    """Batch norm is frozen by Flax's class, and nnx tells what a view of it can set."""
    net = flax_nnx.Sequential(make(), make(flax_nnx.BatchNorm), make(nnx.LayerNorm))
    view = flax_nnx.view(net, only=flax_nnx.BatchNorm, use_running_average=True)
    net.set_attributes(flax_nnx.BatchNorm, use_running_average=True)
    for layers in (view.layers, net.layers):
        assert all(layer.use_running_average for layer in layers[:2])
    described = flax_nnx.view_info(make())
    assert described == flax_nnx.view_info(make(flax_nnx.BatchNorm))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"param_dtype": jnp.bfloat16},
        *(
            pytest.param(options, marks=pytest.mark.thorough)
            for options in ({"use_scale": False}, {"use_bias": False}, {"momentum": 0.5})
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("use_running_average", [True, False])
def test_equals_flax_to_the_bit_in_its_fast_form(use_running_average, options):
    """With the fast variance, classes and paths of variables, output, statistics and gradients are Flax's own."""

    @flax_nnx.jit
    def differentiate(module, x):
        def loss(module, x):
            return jnp.sum(jnp.sin(module(x, use_running_average=use_running_average)))

        return flax_nnx.value_and_grad(loss, argnums=(0, 1))(module, x), module(x)

    results = []
    for cls in (BatchNorm, flax_nnx.BatchNorm):
        module = make(cls, use_fast_variance=True, **options)
        results.append((differentiate(module, X), flax_nnx.state(module)))
    jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize(("writer", "reader"), [(flax_nnx.BatchNorm, BatchNorm), (BatchNorm, flax_nnx.BatchNorm)])
def test_states_interchange(writer, reader):
    """What one has trained, the other evaluates."""
    trained, other = make(writer), make(reader)
    trained(X)
    flax_nnx.update(other, flax_nnx.state(trained))
    for module in (trained, other):
        module.eval()
    np.testing.assert_allclose(other(X), trained(X), atol=1e-6)


def test_modes():
    """The call overrides the module; train(), eval() and view set it; without either it is one line."""
    module = make()
    module.eval()
    evaluated = module(X)
    np.testing.assert_array_equal(module.mean[...], 0)
    np.testing.assert_array_equal(evaluated, make()(X, use_running_average=True))
    module.train()
    module(X)
    assert jnp.all(module.mean[...] != 0)
    view = flax_nnx.view(make(), use_running_average=True)
    np.testing.assert_array_equal(view(X), evaluated)
    with pytest.raises(ValueError, match="use_running_average must be given to the module or in its call"):
        make(use_running_average=None)(X)


def test_keys_are_drawn_as_flax_draws_them():
    """One key for the scale, then one for the bias."""
    options = {"scale_init": jax.random.normal, "bias_init": jax.random.normal}
    mine, theirs = make(**options), make(flax_nnx.BatchNorm, **options)
    jax.tree.map(np.testing.assert_array_equal, flax_nnx.state(mine), flax_nnx.state(theirs))


def test_half_precision_never_rounds_running_statistics():
    """With dtype bfloat16 the output is; the running mean moves by what bfloat16 could not add."""
    module = make(dtype=jnp.bfloat16, momentum=0.999)
    for _ in range(3):
        assert module(X.astype(jnp.bfloat16) + 100).dtype == jnp.bfloat16
    assert module.mean[...].dtype == jnp.float32
    batch = (np.asarray(X.astype(jnp.bfloat16) + 100, np.float64)).mean((0, 1, 2))
    np.testing.assert_allclose(module.mean[...], batch * (1 - 0.999**3), rtol=1e-4)


def test_half_precision_never_rounds_the_input():
    """With dtype bfloat16 the statistics of a float32 input are its own."""
    module, x = make(dtype=jnp.bfloat16, momentum=0.0), X + 1000
    module(x)
    np.testing.assert_allclose(module.var[...], np.asarray(x, np.float64).var((0, 1, 2)), rtol=1e-5)


def test_vmapped_as_flax_vmaps():
    """A stack of modules over a stack of inputs gives what Flax's gives."""

    def run(cls):
        modules = flax_nnx.vmap(lambda rngs: cls(3, rngs=rngs), in_axes=0)(flax_nnx.Rngs(0).split(2))
        outputs = flax_nnx.vmap(lambda module, x: module(x))(modules, jnp.stack([X, 2 * X]))
        return outputs, flax_nnx.state(modules, flax_nnx.BatchStat)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), run(BatchNorm), run(flax_nnx.BatchNorm))


@pytest.mark.parametrize(
    "cls",
    [
        pytest.param(cls, id=name, marks=() if name in ("batch", "noisy", "group") else pytest.mark.thorough)
        for name, cls in FAMILY.items()
    ],
)
def test_the_family_is_called_alike(cls):
    """Under jit and grad, each normalises in training and moves what it remembers, and in evaluation nothing."""
    module = make(cls)

    @flax_nnx.jit
    def step(module, x):
        return flax_nnx.grad(lambda module: jnp.sum(jnp.sin(module(x))))(module)

    before = jax.tree.map(jnp.copy, flax_nnx.state(module, flax_nnx.BatchStat))
    gradients = step(module, X)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    after = jax.tree.map(jnp.copy, flax_nnx.state(module, flax_nnx.BatchStat))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before, after)))
    module(X, use_running_average=True)
    jax.tree.map(np.testing.assert_array_equal, flax_nnx.state(module, flax_nnx.BatchStat), after)


def test_modules_are_their_functions():
    """Arguments reach the functions of the same names."""
    stats = norms.init_batch_stats(3)
    for module, function in [
        (make(nnx.LpNorm, p="inf", center_first=True), partial(norms.lp_norm, p="inf", center_first=True)),
        (
            make(nnx.GhostBatchNorm, ghost_size=4, running_var="whole_batch"),
            partial(norms.ghost_batch_norm, ghost_size=4, running_var="whole_batch"),
        ),
        (make(nnx.BatchRenorm, r_max=1.1, d_max=0.2), partial(norms.batch_renorm, r_max=1.1, d_max=0.2)),
        (make(unbiased_running_var=True), partial(norms.batch_norm, unbiased_running_var=True)),
    ]:
        y, new = function(X, stats, jnp.ones(3), jnp.zeros(3), train=True)
        np.testing.assert_array_equal(module(X), y)
        recorded = list(flax_nnx.to_pure_dict(flax_nnx.state(module, flax_nnx.BatchStat)).values())
        np.testing.assert_array_equal(recorded, list(new))
    np.testing.assert_array_equal(
        make(nnx.LayerNorm, reduction_axes=(1, 2))(X),
        norms.layer_norm(X, jnp.ones(3), jnp.zeros(3), reduction_axes=(1, 2)),
    )


def test_noise_is_drawn_anew():
    """Each call in training draws the next key of the stream; evaluation draws none."""
    module = make(nnx.NoisyBatchNorm)
    assert jnp.max(jnp.abs(module(X) - module(X))) > 0.1
    np.testing.assert_array_equal(module(X, use_running_average=True), module(X, use_running_average=True))


@pytest.mark.parametrize(
    "name", ["BatchNorm", "LpNorm", "GhostBatchNorm", "BatchRenorm", "NoisyBatchNorm", "GroupNorm"]
)
def test_signatures_are_shown(name):
    """`inspect.signature`, and so `help`, show every argument, those of BatchNorm too; a misspelt one is refused."""
    shown = inspect.signature(getattr(nnx, name)).parameters
    assert {"num_features", "epsilon", "rngs"} <= set(shown)
    assert not {"options", "kwargs"} & set(shown)
    assert ("momentum" in shown) == (name != "GroupNorm")
    with pytest.raises(TypeError, match="epsilom"):
        make(getattr(nnx, name), epsilom=1e-3)
    assert list(inspect.signature(make(BatchNorm)).parameters) == ["x", "use_running_average", "mask"]
