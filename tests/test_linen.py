"""The linen BatchNorm stands in for Flax's, and the rest of the family for it."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bnjax import linen, models, norms
from bnjax import nnx as bnjax_nnx
from bnjax.linen import BatchNorm

X = 2 * jax.random.normal(jax.random.key(0), (16, 4, 4, 3)) + 1


FAMILY = {
    "batch": BatchNorm,
    "cumulative": partial(BatchNorm, momentum=None),
    "l1": partial(linen.LpNorm, p=1),
    "linf": partial(linen.LpNorm, p="inf", center_first=True),
    "ghost": partial(linen.GhostBatchNorm, ghost_size=4),
    "renorm": partial(linen.BatchRenorm, bounds=norms.renorm_bounds),
    "noisy": linen.NoisyBatchNorm,
    "layer": linen.LayerNorm,
    "instance": linen.InstanceNorm,
    "group": partial(linen.GroupNorm, num_groups=2),
}


DROP_INS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm")


@pytest.mark.parametrize("name", DROP_INS)
def test_has_the_fields_of_flax(name):
    """The fields, their order and their defaults are Flax's, except for the choice of the stable variance; ours come after."""
    ours, theirs = (
        [(f.name, f.default) for f in dataclasses.fields(cls) if f.name not in ("parent", "name")]
        for cls in (getattr(linen, name), getattr(nn, name))
    )
    changed = {name: value for (name, value), old in zip(ours, theirs, strict=False) if (name, value) != old}
    more = ["unbiased_running_var"] if name == "BatchNorm" else []
    assert [name for name, _ in ours] == [*(name for name, _ in theirs), *more]
    assert changed == {"use_fast_variance": False}


@pytest.mark.parametrize("name", DROP_INS)
def test_is_found_by_the_class_of_flax(name):
    """Code that looks for Flax's layer finds ours."""
    assert isinstance(getattr(linen, name)(), getattr(nn, name))


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("LayerNorm", {}),
        ("LayerNorm", {"reduction_axes": [1, -1], "dtype": jnp.bfloat16, "use_bias": False}),
        ("LayerNorm", {"feature_axes": (-2, -1), "param_dtype": jnp.bfloat16}),
        ("InstanceNorm", {}),
        ("InstanceNorm", {"feature_axes": (1, 3), "use_scale": False}),
        ("GroupNorm", {"num_groups": 3}),
        ("GroupNorm", {"num_groups": None, "group_size": 3, "reduction_axes": (-2, -1)}),
    ],
    ids=str,
)
def test_layers_of_one_example_equal_flax_in_its_fast_form(name, fields):
    """With the fast variance, paths, output and gradients are Flax's own, of layer and instance norm to the bit."""
    results = []
    for cls in (getattr(linen, name), getattr(nn, name)):
        module = nn.Sequential([cls(use_fast_variance=True, **fields)])
        variables = module.init(jax.random.key(1), X)
        shifted = jax.tree.map(lambda leaf: leaf + 0.25, variables)

        def loss(variables, x, module=module):
            y = module.apply(variables, x)
            return jnp.sum(jnp.sin(y.astype(jnp.float32))), y

        results.append((variables, jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(shifted, X)))
    # Flax repeats the moments of a group for each of its features, which XLA fuses, and rounds, otherwise.
    tolerance = 1e-5 if name == "GroupNorm" else 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance), *results)


def results_of(cls, *, use_running_average, **fields):
    """Return a module's variables, and its output, statistics and gradients at other variables, compiled."""
    module = nn.Sequential([cls(use_running_average=use_running_average, use_fast_variance=True, **fields)])
    variables = module.init(jax.random.key(1), X)
    shifted = jax.tree.map(lambda leaf: leaf + 0.25, variables)

    @jax.jit
    def differentiate(params, x):
        def loss(params, x):
            y, changed = module.apply({**shifted, "params": params}, x, mutable=["batch_stats"])
            return jnp.sum(jnp.sin(y.astype(jnp.float32))), (y, changed)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x)

    return variables, differentiate(shifted.get("params", {}), X)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dtype": jnp.bfloat16},
        {"axis": (1, -1)},
        *(
            pytest.param(fields, marks=pytest.mark.thorough)
            for fields in ({"use_scale": False}, {"use_bias": False}, {"momentum": 0.5})
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("use_running_average", [True, False])
def test_equals_flax_to_the_bit_in_its_fast_form(use_running_average, fields):
    """With the fast variance, paths, output, statistics and gradients are Flax's own."""
    mine, theirs = (
        results_of(cls, use_running_average=use_running_average, **fields) for cls in (BatchNorm, nn.BatchNorm)
    )
    jax.tree.map(np.testing.assert_array_equal, mine, theirs)


@pytest.mark.parametrize(("writer", "reader"), [(nn.BatchNorm, BatchNorm), (BatchNorm, nn.BatchNorm)])
def test_variables_interchange(writer, reader):
    """What one has trained, the other evaluates, under the same automatic names."""

    def net(cls):
        class Net(nn.Module):
            @nn.compact
            def __call__(self, x, *, train):
                return cls(use_running_average=not train)(nn.Dense(5)(x))

        return Net()

    x = X.reshape(-1, 3)
    variables = net(writer).init(jax.random.key(0), x, train=False)
    _, changed = net(writer).apply(variables, x, train=True, mutable=["batch_stats"])
    trained = {**variables, **changed}
    mine, theirs = (net(cls).apply(trained, x, train=False) for cls in (reader, writer))
    np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_does_not_update_while_initialising():
    """After init the statistics are 0 and 1."""
    stats = BatchNorm(use_running_average=False).init(jax.random.key(0), X)["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], 0)
    np.testing.assert_array_equal(stats["var"], 1)


def test_training_without_mutable_statistics_is_an_error():
    """As in Flax, statistics that cannot be written raise."""
    module = BatchNorm(use_running_average=False)
    with pytest.raises(nn.module.errors.ModifyScopeVariableError):
        module.apply(module.init(jax.random.key(0), X), X)


@pytest.mark.parametrize(("attribute", "argument"), [(None, None), (True, True)])
def test_use_running_average_is_said_once(attribute, argument):
    """Saying it twice or never raises."""
    with pytest.raises(ValueError, match="use_running_average"):
        BatchNorm(use_running_average=attribute).init(jax.random.key(0), X, argument)


def test_result_type():
    """`dtype` is the result's."""
    module = BatchNorm(use_running_average=False, dtype=jnp.bfloat16)
    assert module.init_with_output(jax.random.key(0), X)[0].dtype == jnp.bfloat16


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "norm",
    [
        pytest.param(norm, id=name, marks=() if name in ("batch", "noisy", "group") else pytest.mark.thorough)
        for name, norm in FAMILY.items()
    ],
)
def test_any_normaliser_trains_a_vgg(norm):
    """Each of the family is the norm of a model: one step in training moves what it remembers, evaluation nothing."""
    model = models.make_model(models.VGGConfig(width=1 / 16, norm=norm, norm_layers=(1, 2, 3, 4)))
    x = jax.random.normal(jax.random.key(0), (8, 8, 8, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(1), x)
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1, leaf.dtype), shapes)

    @jax.jit
    def run(variables, x):
        _, moved = model.apply(variables, x, train=True, rngs={"noise": jax.random.key(2)})
        return moved, model.apply(variables, x, train=False)

    moved, (outputs, same) = run(variables, x)
    assert np.isfinite(outputs).all()
    jax.tree.map(np.testing.assert_array_equal, same, variables.batch_stats)
    changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), moved, variables.batch_stats)
    assert all(jax.tree.leaves(changed))


def test_modules_are_their_functions():
    """Fields reach the functions of the same names."""
    stats, noise = norms.init_batch_stats(3), {"noise": jax.random.key(0)}
    pairs = [
        (linen.LpNorm(p="inf", center_first=True), partial(norms.lp_norm, p="inf", center_first=True)),
        (
            linen.GhostBatchNorm(ghost_size=4, running_var="whole_batch"),
            partial(norms.ghost_batch_norm, ghost_size=4, running_var="whole_batch"),
        ),
        (linen.BatchRenorm(r_max=1.1, d_max=0.2), partial(norms.batch_renorm, r_max=1.1, d_max=0.2)),
        (BatchNorm(unbiased_running_var=True), partial(norms.batch_norm, unbiased_running_var=True)),
    ]
    for module, function in pairs:
        variables = module.init(jax.random.key(0), X, use_running_average=True)
        y, changed = module.apply(variables, X, use_running_average=False, mutable=["batch_stats"], rngs=noise)
        expected, new = function(X, stats, jnp.ones(3), jnp.zeros(3), train=True)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(list(changed["batch_stats"].values()), list(new))
    for module, function in [
        (linen.LayerNorm(reduction_axes=(1, 2)), partial(norms.layer_norm, reduction_axes=(1, 2))),
        (linen.InstanceNorm(epsilon=0.1), partial(norms.instance_norm, epsilon=0.1)),
        (linen.GroupNorm(num_groups=3), partial(norms.group_norm, num_groups=3)),
    ]:
        y, _ = module.init_with_output(jax.random.key(0), X)
        np.testing.assert_array_equal(y, function(X, jnp.ones(3), jnp.zeros(3)))


def test_the_cumulative_average_counts():
    """With momentum None the running statistics are the plain average over batches."""
    module = BatchNorm(use_running_average=False, momentum=None)
    variables = module.init(jax.random.key(0), X)
    for x in (X, X + 1, X + 5):
        _, changed = module.apply(variables, x, mutable=["batch_stats"])
        variables = {**variables, **changed}
    assert variables["batch_stats"]["num_batches"] == 3
    np.testing.assert_allclose(variables["batch_stats"]["mean"], (X + 2).mean((0, 1, 2)), rtol=1e-5)


def test_noise_needs_its_key():
    """In training without an rng, Flax says so; in evaluation none is needed."""
    module = linen.NoisyBatchNorm()
    variables = module.init(jax.random.key(0), X, use_running_average=False)
    module.apply(variables, X, use_running_average=True)
    with pytest.raises(nn.module.errors.InvalidRngError, match="noise"):
        module.apply(variables, X, use_running_average=False, mutable=["batch_stats"])


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "lift",
    [nn.remat, nn.jit, partial(nn.vmap, variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True})],
)
def test_lifted_as_flax_lifts(lift):
    """Under remat, jit and vmap, the modules give what Flax's give, with the same variables."""
    x = X if lift in (nn.remat, nn.jit) else jnp.stack([X, 2 * X])
    results = []
    for cls in (BatchNorm, nn.BatchNorm):
        module = lift(cls)(use_running_average=False)
        variables = module.init(jax.random.key(0), x)
        results.append((variables, module.apply(variables, x, mutable=["batch_stats"])))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *results)


def test_a_shared_module_moves_twice():
    """Called twice, a layer's statistics move twice, as with Flax's."""

    class Twice(nn.Module):
        cls: type

        def setup(self):
            self.norm = self.cls(use_running_average=False)

        def __call__(self, x):
            return self.norm(self.norm(x) + 3)

    results = [Twice(cls).init_with_output(jax.random.key(0), X) for cls in (BatchNorm, nn.BatchNorm)]
    moved = [Twice(cls).apply(results[0][1], X, mutable=["batch_stats"]) for cls in (BatchNorm, nn.BatchNorm)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), *moved)


@pytest.mark.parametrize("name", DROP_INS)
def test_flax_tools_see_one_layer(name):
    """`tabulate` and `capture_intermediates` show a layer as they show Flax's: no row more."""
    seen = []
    for part in (linen, nn):
        fields = (
            {"use_running_average": False} if name == "BatchNorm" else {"num_groups": 3} if name == "GroupNorm" else {}
        )
        module = getattr(part, name)(**fields)
        variables = module.init(jax.random.key(0), X)
        _, captured = module.apply(variables, X, mutable=["batch_stats", "intermediates"], capture_intermediates=True)
        seen.append(
            (jax.tree.structure(captured), module.tabulate(jax.random.key(0), X, console_kwargs={"width": 120}))
        )
    assert seen[0] == seen[1]


@pytest.mark.parametrize("cls", [linen.BatchNorm, linen.LpNorm, linen.BatchRenorm, linen.LayerNorm])
def test_modules_with_groups_of_devices_are_initialised_on_one(cls):
    """As Flax's are."""
    flag = {} if cls is linen.LayerNorm else {"use_running_average": False}
    module = cls(axis_name="devices", axis_index_groups=[[0, 1], [2, 3]], **flag)
    assert module.init(jax.random.key(0), jnp.ones((4, 3)))["params"]["scale"].shape == (3,)


@pytest.mark.parametrize("is_nnx", [False, True])
def test_a_plain_average_counts_the_batches_that_moved_it(is_nnx):
    """Neither one without examples nor one that is masked out."""
    x = jax.random.normal(jax.random.key(0), (8, 3)) + 5
    batches = ((x[:0], None), (x, jnp.zeros((8, 1), bool)), (x, None), (x + 1, jnp.ones((8, 1), bool)))
    if is_nnx:
        module = bnjax_nnx.BatchNorm(3, momentum=None, rngs=nnx.Rngs(0))
        for batch, mask in batches:
            module(batch, mask=mask)
        mean, number = module.mean[...], module.num_batches[...]
    else:
        module = linen.BatchNorm(use_running_average=False, momentum=None)
        variables = module.init(jax.random.key(0), x)
        for batch, mask in batches:
            variables = {**variables, **module.apply(variables, batch, mask=mask, mutable=["batch_stats"])[1]}
        mean, number = (variables["batch_stats"][name] for name in ("mean", "num_batches"))
    assert int(number) == 2
    np.testing.assert_allclose(mean, x.mean(0) + 0.5, rtol=1e-6)
