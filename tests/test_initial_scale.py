"""The initial scale of a normaliser: which layers a configuration makes with it, and which nets have one of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import linen
from experiments._config import BatchNorm, LSTMRun, ResNetRun, change


def test_initial_scale_is_that_of_the_layer():
    """The factory of a usual one is as it was; equal configurations make equal layers."""
    assert BatchNorm().make()() == linen.BatchNorm(momentum=0.9, epsilon=1e-5)
    half = [BatchNorm(initial_scale=0.5).make()() for _ in range(2)]
    assert half[0] == half[1]
    params = half[0].init(jax.random.key(0), jnp.ones((3, 2)), use_running_average=False)["params"]
    np.testing.assert_array_equal(params["scale"], [0.5, 0.5])
    np.testing.assert_array_equal(params["bias"], [0.0, 0.0])


def test_an_lstm_has_its_own_initial_scale():
    """It is a field of its model; the probe of scales reads no loop over time."""
    with pytest.raises(
        ValueError, match=r"norm\.initial_scale must be 1 for an LSTM, which has model\.norm_scale, got 0\.5"
    ):
        change(LSTMRun(), norm={"initial_scale": 0.5}).check_layers()
    with pytest.raises(ValueError, match=r"probes\.scales must be left out of an LSTM, got scales"):
        LSTMRun().measuring("scales").check_layers()
    ResNetRun().measuring("scales").check_layers()
