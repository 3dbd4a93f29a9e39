"""What cannot be converted is told."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoints import KERAS, Dense, Norm, draw, haiku_trees
from flax import linen as nn

from bnjax import convert
from bnjax.types import Variables

DENSE = {"weight": draw(3, 2), "bias": draw(3)}
TWO = {"a.weight": draw(3, 2), "b.weight": draw(2, 3)}
HALF = {"n.weight": draw(2), "n.bias": draw(2), "n.running_mean": draw(2)}
ATTENTION = nn.MultiHeadDotProductAttention(2, qkv_features=6).init(jax.random.key(0), jnp.ones((1, 5, 6)))["params"]
CACHED = {"batch_stats": {"n": {"mean": draw(2), "var": draw(2)}}, "cache": {"index": draw(2)}}
WITH_DEPTHWISE = convert.from_keras(KERAS, depthwise={"net/depth": 2})
MODULE = SimpleNamespace(marker="index", init=None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convert.from_torch({"a.weight_g": draw(2)}), "Arrays must be among .* got 'a.weight_g'"),
        (lambda: convert.from_torch({"weight": draw(2, dtype=np.float64)}), "^scale must have a type .* got float64"),
        (lambda: convert.from_torch({"weight": {}}), "weight must be an array that NumPy reads, got dict"),
        (lambda: convert.from_torch(TWO, names={"a": "a"}), "names must be complete, got nothing for 'b'"),
        (lambda: convert.from_torch(TWO, names={"c": "a"}), "names must be of modules that exist, got 'c'"),
        (lambda: convert.from_torch(TWO, names={"a": "x", "b": "x"}), "different layers, got 'x' for 'a'"),
        (lambda: convert.from_torch(TWO, names={"a": "x", "b": "x/kernel"}), "where another has an array"),
        (lambda: convert.from_torch(TWO, names={"a": "x/kernel", "b": "x"}), "where another has an array"),
        (lambda: convert.from_torch(TWO, flattened={"c": (1, 1, 2)}), "flattened must be of modules .* got 'c'"),
        (lambda: convert.from_torch(TWO, flattened={"a": (1, 1, 3)}), "flattened must give sizes .* 'a', got"),
        (lambda: convert.from_torch(TWO, embeddings=["c"]), "embeddings must be of modules that exist, got 'c'"),
        (
            lambda: convert.from_torch(TWO, flattened={"a": 2}),
            "flattened must give .*, whole numbers >= 1, for 'a', got 2",
        ),
        (
            lambda: convert.from_torch({"ln.weight": draw(3, 3), "ln.bias": draw(3, 3)}),
            r"'ln' must have a bias of its kernel",
        ),
        (
            lambda: convert.from_torch({"fc.weight": draw(3, 2), "fc.bias": draw(7)}),
            r"features .*, got shape \(7,\) with a kernel of shape \(2, 3\)",
        ),
        (
            lambda: convert.from_keras({"fc/kernel": draw(2, 3), "fc/bias": draw(7)}),
            "'fc' must have a bias of its kernel",
        ),
        (
            lambda: convert.from_haiku({"fc": {"w": draw(2, 3), "b": draw(7)}}, {}),
            "'fc' must have a bias of its kernel",
        ),
        (
            lambda: convert.to_torch(Variables(ATTENTION, {})),
            r"'key' must have a bias .*, got shape \(2, 3\) with a kernel of shape \(6, 2, 3\)",
        ),
        (
            lambda: convert.to_torch(Variables({}, CACHED)),
            "no arrays beside params and batch_stats, got a collection 'cache'",
        ),
        (lambda: convert.from_keras({"dw/bias": draw(4)}, depthwise={"dw": 1}), "with a kernel, got 'dw' with bias"),
        (lambda: convert.to_keras(Variables({"n": {"scale": draw(2)}}, {}), depthwise={"n": 1}), "got 'n' with scale"),
        (
            lambda: convert.to_keras(Variables({"d": {"kernel": draw(3, 3, 1, 4)}}, {}), depthwise={"d": 0}),
            "depthwise must give a multiplier of 'd', .* got 0",
        ),
        (
            lambda: convert.from_haiku({}, {"bn/~/mean_ema": {"average": draw(2)}}),
            "must have average and counter, got average",
        ),
        (lambda: convert.from_torch(HALF), "'n' must have both mean and variance, got the mean alone"),
        (lambda: convert.from_torch({"n.running_var": draw(2)}), "'n' must have both .* got the var alone"),
        (lambda: convert.from_torch({"d.bias": draw(2)}), "'d' must have a weight beside its bias, got bias"),
        (
            lambda: convert.from_torch({"n.weight": draw(2), "n.num_batches_tracked": np.array(3)}),
            "'n' must have a running_mean beside its num_batches_tracked, got weight, num_batches_tracked",
        ),
        (
            lambda: convert.from_torch({"n.weight": draw(2), "n.bias": draw(3)}),
            r"'n' must have arrays of one length, got bias of shape \(3,\), scale of shape \(2,\)",
        ),
        (lambda: convert.to_torch(Variables({}, {"n": {"mean": draw(2)}})), "'n' must have both .* the mean alone"),
        (lambda: convert.from_keras({"d/bias": draw(2)}), "'d' must have a weight to its bias, got the bias alone"),
        (lambda: convert.from_keras({"n/moving_mean": draw(2)}), "'n' must have both mean and variance"),
        (lambda: convert.to_keras(Variables({}, {"n": {"var": draw(2)}})), "'n' must have both .* the var alone"),
        (
            lambda: convert.from_haiku({}, {"n/~/mean_ema": {"average": draw(2), "counter": np.array(1)}}),
            "'n' must have both mean and variance, got the mean alone",
        ),
        (lambda: convert.to_torch(convert.from_torch(TWO), names={"a": "a"}), "got nothing for 'b'"),
        (lambda: convert.to_torch(convert.from_torch(TWO), names={"a": "a", "c": "a"}), "got 'a' for 'a'"),
        (
            lambda: convert.to_torch(Variables({"a": {"slope": jnp.ones(1)}}, {})),
            "variables must hold .* got 'a/slope'",
        ),
        (lambda: convert.to_torch(Variables({"kernel": jnp.ones(1), "scale": jnp.ones(1)}, {})), "one of"),
        (lambda: convert.from_keras({"a/pointwise_kernel": draw(2)}), "got 'a/pointwise_kernel'"),
        (lambda: convert.from_keras(KERAS, depthwise={"net/depth": 3}), "depthwise must give .* 2, got 3"),
        (lambda: convert.to_keras(WITH_DEPTHWISE, depthwise={"net/conv": 3}), "multiplier of 'net/conv'"),
        (
            lambda: convert.from_keras(KERAS),
            "'net/depth' must have .* features: name depthwise convolutions in depthwise, got shape",
        ),
        (lambda: convert.from_haiku({"a": {"u": draw(2)}}, {}), "got 'a/u'"),
        (lambda: convert.from_haiku({"a": {"scale": draw(2, 3)}}, {}), "a/scale must vary along the channels"),
        (lambda: convert.from_haiku({}, {"a/~/ema": {}}), "got 'a/~/ema'"),
        (lambda: convert.from_haiku({"a/~/b": {}, "a/b": {}}, {}), "different layers, got 'a/b'"),
        (lambda: convert.to_haiku(convert.from_torch(DENSE), *haiku_trees()), "variables must fit the template"),
        (lambda: convert.to_equinox(convert.from_torch(DENSE), Dense(draw(3, 4), draw(3), 4)), "fit the template"),
        (lambda: convert.from_equinox({"a": draw(2)}), "Arrays must be a layer's .* got 'a'"),
        (lambda: convert.from_equinox({"a": MODULE}), "Arrays must be a layer's .* got 'a'"),
        (lambda: convert.from_equinox({"a": Dense(draw(2, 2), None, 2, draw(2))}), "Arrays .* got 'a.gain'"),
        (lambda: convert.from_equinox(Norm(draw(2))), "state must be given for a model with batch norms"),
        (lambda: convert.from_equinox({"a": Dense(draw(2, 2, 2), None, 2)}), "a.weight must have 2 axes"),
    ],
)
def test_nothing_is_lost_in_silence(call, message, as_a_user):
    """What cannot be converted, or is named wrongly, is told in one line with its name."""
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
