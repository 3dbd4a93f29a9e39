"""The linen BatchNorm stands in for Flax's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax.linen import BatchNorm

X = 2 * jax.random.normal(jax.random.key(0), (16, 4, 4, 3)) + 1


def test_has_the_fields_of_flax():
    """Fields, their order and their defaults are Flax's, but for the choice of the stable variance."""
    ours, theirs = (
        [(f.name, f.default) for f in cls.__dataclass_fields__.values() if f.name not in ("parent", "name")]
        for cls in (BatchNorm, nn.BatchNorm)
    )
    changed = {name: value for (name, value), old in zip(ours, theirs, strict=True) if (name, value) != old}
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    assert changed == {"use_fast_variance": False}


@pytest.mark.parametrize("use_running_average", [True, False])
def test_equals_flax_to_the_bit_in_its_fast_form(use_running_average):
    """With the fast variance, output, statistics and paths are Flax's own."""
    results = []
    for cls in (BatchNorm, nn.BatchNorm):
        module = nn.Sequential([cls(use_running_average=use_running_average, use_fast_variance=True)])
        variables = module.init(jax.random.key(1), X)
        shifted = jax.tree.map(lambda leaf: leaf + 0.25, variables)
        results.append((variables, jax.jit(lambda v, m=module: m.apply(v, X, mutable=["batch_stats"]))(shifted)))
    jax.tree.map(np.testing.assert_array_equal, *results)


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
