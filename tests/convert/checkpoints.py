"""Checkpoints as other frameworks lay them out, with random arrays, and how tests compare them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

RNG = np.random.default_rng(0)


def draw(*shape, dtype=np.float32):
    """Draw an array, another one each time."""
    return RNG.uniform(0.1, 1, shape).astype(dtype)


def assert_same(actual, expected):
    """Compare trees of arrays to the bit, with their types and structure."""
    structures = [jax.tree.structure(tree) for tree in (actual, expected)]
    assert structures[0] == structures[1], structures
    for (path, a), b in zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype, (jax.tree_util.keystr(path), a.dtype, b.dtype)
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def torch_arrays(dtype=np.float32):
    """Make a state_dict with every kind of module, and the sizes of what is flattened."""
    state_dict = {
        "body.0.weight": draw(4, 3, 3, 2, dtype=dtype),
        "body.0.bias": draw(4, dtype=dtype),
        "body.1.weight": draw(4, dtype=dtype),
        "body.1.bias": draw(4, dtype=dtype),
        "body.1.running_mean": draw(4, dtype=dtype),
        "body.1.running_var": draw(4, dtype=dtype),
        "body.1.num_batches_tracked": np.array(7),
        "plain.running_mean": draw(4, dtype=dtype),
        "plain.running_var": draw(4, dtype=dtype),
        "plain.num_batches_tracked": np.array(7),
        "flat_norm.weight": draw(24, dtype=dtype),
        "flat_norm.bias": draw(24, dtype=dtype),
        "conv1d.weight": draw(4, 1, 3, dtype=dtype),
        "conv3d.weight": draw(4, 2, 3, 1, 2, dtype=dtype),
        "table.weight": draw(9, 5, dtype=dtype),
        "head.weight": draw(10, 24, dtype=dtype),
        "head.bias": draw(10, dtype=dtype),
    }
    return state_dict, {"flat_norm": (4, 2, 3), "head": (4, 2, 3)}


KERAS = {
    "net/conv/kernel": draw(3, 3, 3, 4),
    "net/conv/bias": draw(4),
    "net/norm/gamma": draw(4),
    "net/norm/beta": draw(4),
    "net/norm/moving_mean": draw(4),
    "net/norm/moving_variance": draw(4),
    "net/depth/kernel": draw(3, 3, 4, 2),
    "net/depth/bias": draw(8),
    "net/centre/beta": draw(8),
    "net/table/embeddings": draw(7, 5),
}


def haiku_trees(counter=3):
    """Make parameters and state as Haiku does, after `counter` batches with decay 0.9."""
    average = {"norm/~/mean_ema": draw(1, 1, 1, 4), "norm/~/var_ema": 2 * draw(1, 1, 1, 4)}
    params = {
        "net/~/conv": {"w": draw(3, 3, 3, 4), "b": draw(4)},
        "norm": {"scale": draw(1, 1, 1, 4), "offset": draw(1, 1, 1, 4)},
    }
    state = {
        name: {"average": a, "hidden": a * np.float32(1 - 0.9**counter), "counter": np.int32(counter)}
        for name, a in average.items()
    }
    return params, state


@partial(jax.tree_util.register_dataclass, data_fields=["weight", "bias", "gain"], meta_fields=["in_features"])
@dataclass
class Dense:
    """What convert reads of an Equinox dense layer, and a parameter that it knows nothing of."""

    weight: Any
    bias: Any = None
    in_features: int = 0
    gain: Any = None


@partial(jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=[])
@dataclass
class Norm:
    """What convert reads of an Equinox batch norm in the mode "batch"."""

    weight: Any
    momentum = 0.9
    batch_state_index = "statistics"
    batch_counter = "counter"


@jax.tree_util.register_dataclass
@dataclass
class State:
    """What convert uses of Equinox's state."""

    values: dict[str, Any]

    def get(self, index):
        """Look up."""
        return self.values[index]

    def set(self, index, value):
        """Return a state with another value, and spend this one."""
        values, self.values = self.values, {}
        return State(values | {index: value})
