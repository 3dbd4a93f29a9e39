"""Data of a known answer: the outputs of a random matrix."""

import jax
import jax.numpy as jnp
from jax import Array

from bnjax._host.arguments import checked, whole
from bnjax.data.batches import Dataset, Split


@checked(width=whole(1))
def draw_linear_map(key: Array, *, num_examples: int = 1000, width: int = 10) -> Dataset:
    """Draw a square matrix A and standard normal inputs x; the labels are A x.

    Entries of A are standard normal too. Source: Santurkar et al. 2018, Appendix A.1, with its sizes as defaults.

    Args:
        key: of matrix and inputs.
        num_examples: how many inputs.
        width: numbers per input and per label.

    Returns:
        Dataset whose two splits are the same, since the paper has no test examples.

    Raises:
        ValueError: if a size is below 1.
    """
    matrix_key, input_key = jax.random.split(key)
    matrix = jax.random.normal(matrix_key, (width, width))
    inputs = jax.random.normal(input_key, (num_examples, width))
    split = Split(inputs, jnp.matmul(inputs, matrix.T, precision="highest"), jnp.ones(width), jnp.zeros(width))
    return Dataset(split, split)
