"""Fingerprints of pytrees."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def digest(tree: Any) -> str:
    """Compute the SHA-256 of a pytree's paths, types, shapes and bytes."""
    hasher = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(tree):
        array = np.asarray(_raw(leaf))
        hasher.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape} ".encode())
        hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # without a copy
    return hasher.hexdigest()


def _raw(leaf: Any) -> Any:
    """Return the raw numbers of a typed key, and anything else unchanged."""
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf
