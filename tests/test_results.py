"""Results on disk."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from bnjax.probes.results import load_result, save_result
from bnjax.types import ObjectiveInfo


class Everything(NamedTuple):
    """A result with every kind of field."""

    values: Any
    by_layer: Any
    objective: Any
    name: Any
    seed: Any
    nothing: Any


def test_survives_its_file(tmp_path):
    """Arrays to the bit with their types, dictionaries in order, info, strings, numbers and None."""
    result = Everything(
        jnp.array([1.0, jnp.nan], jnp.float32),
        {"b/kernel": jnp.arange(3), "a": jnp.zeros((2, 2), bool)},
        ObjectiveInfo("batch", 8),
        "conv|1",
        3,
        None,
    )
    save_result(result, tmp_path / "result")
    again = load_result(Everything, tmp_path / "result")
    assert again[2:] == result[2:]
    assert list(again.by_layer) == list(result.by_layer)
    for mine, theirs in (
        (again.values, result.values),
        *zip(again.by_layer.values(), result.by_layer.values(), strict=True),
    ):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
