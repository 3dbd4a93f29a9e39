"""Checkpoints of other frameworks by their layouts: what comes out, and that the way back changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoints import KERAS, Dense, Norm, State, assert_same, draw, haiku_trees, torch_arrays

from bnjax import convert
from bnjax.types import Variables


@pytest.mark.parametrize(
    "other", [np.float32([1, 2.0000002]), np.float64([1, 2]), np.float32([1]), [np.float32(1)] * 2]
)
def test_the_comparison_sees_bits_types_and_structure(other):
    """What differs by a bit, a type, a shape or a level is not the same."""
    array = np.float32([1, 2])
    assert_same({"a": array}, {"a": array.copy()})
    with pytest.raises(AssertionError):
        assert_same({"a": array}, {"a": other})


def test_torch_layouts():
    """Every kind of module comes out with Flax's names, axes and order of features."""
    arrays, flattened = torch_arrays()
    params, stats = convert.from_torch(arrays, flattened=flattened, embeddings=["table"])
    np.testing.assert_array_equal(params["body"]["0"]["kernel"][2, 1, 0, 3], arrays["body.0.weight"][3, 0, 2, 1])
    assert params["conv1d"]["kernel"].shape == (3, 1, 4)
    assert params["conv3d"]["kernel"].shape == (3, 1, 2, 2, 4)
    np.testing.assert_array_equal(params["table"]["embedding"], arrays["table.weight"])
    for leaf, name in {"mean": "running_mean", "var": "running_var"}.items():
        np.testing.assert_array_equal(stats["body"]["1"][leaf], arrays[f"body.1.{name}"])
        np.testing.assert_array_equal(stats["plain"][leaf], arrays[f"plain.{name}"])
    np.testing.assert_array_equal(params["body"]["1"]["scale"], arrays["body.1.weight"])
    np.testing.assert_array_equal(params["body"]["1"]["bias"], arrays["body.1.bias"])
    assert "plain" not in params
    assert "flat_norm" not in stats
    feature_map = draw(4, 2, 3)
    there = arrays["head.weight"] @ (arrays["flat_norm.weight"] * feature_map.reshape(-1))
    here = (params["flat_norm"]["scale"] * feature_map.transpose(1, 2, 0).reshape(-1)) @ params["head"]["kernel"]
    np.testing.assert_allclose(here, there, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
def test_torch_round_trip(dtype):
    """There and back changes no bit and no type, and the count of batches is what one says."""
    arrays, flattened = torch_arrays(dtype)
    variables = convert.from_torch(arrays, flattened=flattened, embeddings=["table"])
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(dtype)}
    state_dict = convert.to_torch(variables, flattened=flattened, num_batches_tracked=7)
    assert_same(state_dict, arrays)
    assert all(array.flags.c_contiguous and array.flags.writeable for array in state_dict.values())


def test_variables_do_not_share_memory():
    """Neither side sees what the other writes later."""
    arrays, _ = torch_arrays()
    variables = convert.from_torch(arrays)
    before = np.array(variables.batch_stats["plain"]["mean"])
    arrays["plain.running_mean"] += 1
    np.testing.assert_array_equal(variables.batch_stats["plain"]["mean"], before)
    convert.to_torch(variables)["plain.running_mean"] += 1
    np.testing.assert_array_equal(variables.batch_stats["plain"]["mean"], before)


def test_float64(x64):
    """Double precision is kept where JAX has it."""
    variables = convert.from_torch({"weight": draw(3, 2, dtype=np.float64)})
    assert variables.params["kernel"].dtype == np.float64


def test_keras_round_trip():
    """There and back changes no bit, by default paths and by given ones."""
    depthwise = {"net/depth": 2}
    layers = ("conv", "norm", "depth", "centre", "table")
    for names in (None, {f"net/{layer}": f"{layer}_0" for layer in layers}):
        variables = convert.from_keras(KERAS, names=names, depthwise=depthwise)
        assert_same(convert.to_keras(variables, names=names, depthwise=depthwise), KERAS)
    norm = variables.params["norm_0"] | variables.batch_stats["norm_0"]
    for leaf, name in {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}.items():
        np.testing.assert_array_equal(norm[leaf], KERAS[f"net/norm/{name}"])
    np.testing.assert_array_equal(
        variables.params["depth_0"]["kernel"][1, 2, 0, 5], KERAS["net/depth/kernel"][1, 2, 2, 1]
    )


def test_haiku_round_trip():
    """Averages come through to the bit in Haiku's shapes; hidden fits the counter for any decay below 1."""
    params, state = haiku_trees()
    variables = convert.from_haiku(params, state)
    for leaf in ("mean", "var"):
        average = state[f"norm/~/{leaf}_ema"]["average"]
        np.testing.assert_array_equal(variables.batch_stats["norm"][leaf], average.reshape(-1))
    np.testing.assert_array_equal(variables.params["norm"]["bias"], params["norm"]["offset"].reshape(-1))
    assert variables.params["net"]["conv"]["kernel"].shape == (3, 3, 3, 4)
    back_params, back_state = convert.to_haiku(variables, params, haiku_trees(counter=0)[1])
    jax.tree.map(np.testing.assert_array_equal, back_params, params)
    for name, ema in back_state.items():
        np.testing.assert_array_equal(ema["average"], state[name]["average"])
        debias = 1 - jnp.power(np.nextafter(np.float32(1), np.float32(0)), ema["counter"])
        np.testing.assert_array_equal(ema["hidden"] / debias, ema["average"])


@pytest.mark.parametrize("num_batches", [0, 1, 7])
def test_equinox_statistics_are_debiased(num_batches):
    """What is stored began at 0 and 1 and is divided out; what is stored on the way back is divided by 1."""
    mean, var, kept = draw(4), draw(4), np.float32(0.9) ** num_batches
    counter, divisor = jnp.int32(num_batches), 1 - kept if num_batches else 1
    state = State({"statistics": ((1 - kept) * mean, kept + (1 - kept) * var), "counter": counter})
    variables = convert.from_equinox(Norm(scale := draw(4)), state)
    np.testing.assert_allclose(variables.batch_stats["mean"], (1 - kept) * mean / divisor, rtol=1e-5)
    np.testing.assert_allclose(variables.batch_stats["var"], (kept + (1 - kept) * var) / divisor, rtol=1e-5)
    back, written = convert.to_equinox(variables, Norm(np.zeros(4, np.float32)), state)
    assert_same(back.weight, jnp.array(scale))
    assert_same(written.get("statistics"), tuple(variables.batch_stats.values()))
    assert_same(convert.from_equinox(back, written), variables)
    assert state.get("counter") == num_batches


def test_equinox_layouts_by_their_attributes():
    """Layers are found by their attributes in any pytree, and the way back keeps the template's shapes and the rest."""
    model = {"head": [Dense(draw(5, 6), draw(5, 1, 1), 6), jnp.tanh]}
    variables = convert.from_equinox(model, flattened={"head.0": (3, 2)})
    kernel = variables.params["head"]["0"]["kernel"]
    np.testing.assert_array_equal(kernel.reshape(2, 3, 5), model["head"][0].weight.T.reshape(3, 2, 5).swapaxes(0, 1))
    back, state = convert.to_equinox(variables, model, flattened={"head.0": (3, 2)})
    assert state is None
    assert back["head"][1] is jnp.tanh
    np.testing.assert_array_equal(back["head"][0].weight, model["head"][0].weight)
    np.testing.assert_array_equal(back["head"][0].bias, model["head"][0].bias)


def test_statistics_beside_an_empty_collection():
    """They have the names that they have alone."""
    stats = {"n": {"mean": jnp.zeros(4), "var": jnp.ones(4)}}
    several = Variables({}, {"batch_stats": stats, "cache": {}})
    assert {*convert.to_torch(several)} == {*convert.to_torch(Variables({}, stats))}


def test_attention_of_keras():
    """Its kernels and biases have Flax's several axes of output features, and come back as they were."""
    weights = {"q/kernel": draw(6, 2, 3), "q/bias": draw(2, 3)}
    assert_same(convert.to_keras(convert.from_keras(weights)), weights)
