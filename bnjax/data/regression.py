"""Data with a known answer: the outputs of a random matrix, for all inputs or for a few with the same moments."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Shaped

from bnjax._host.arguments import checked, whole
from bnjax._host.trees import common_type
from bnjax.data.batches import Dataset, Split

Inputs = Literal["samples", "moments"]


@checked(width=whole(1))
def draw_linear_map(key: Array, *, num_examples: int = 1000, width: int = 10, inputs: Inputs = "samples") -> Dataset:
    """Draw a square matrix A and standard normal inputs x; the labels are A x.

    Entries of A are standard normal too. Source: Santurkar et al. 2018, Appendix A.1, with its sizes as defaults.

    Args:
        key: of matrix and inputs.
        num_examples: how many inputs.
        width: numbers per input and per label.
        inputs: "samples" are the inputs as they are drawn; "moments" replaces them by the width + 1 points of `match_moments`,
            with which everything that depends on mean and covariance of a linear network's features stays the same.

    Returns:
        Dataset whose two splits are the same, since the paper has no test examples.

    Raises:
        ValueError: if a size is below 1, or there are no such inputs.

    Example:
        >>> from bnjax import data
        >>> train, _ = data.draw_linear_map(jax.random.key(0), num_examples=100, width=3)
        >>> matrix, *_ = jnp.linalg.lstsq(train.images, train.labels)
        >>> print(train.labels.shape, bool(jnp.allclose(train.images @ matrix, train.labels, atol=1e-4)))
        (100, 3) True
    """
    if inputs not in ("samples", "moments"):
        raise ValueError(f"inputs must be samples or moments, got {inputs!r}.")
    matrix_key, input_key = jax.random.split(key)
    matrix = jax.random.normal(matrix_key, (width, width))
    images = jax.random.normal(input_key, (num_examples, width))
    if inputs == "moments":
        images = match_moments(images)
    split = Split(images, jnp.matmul(images, matrix.T, precision="highest"), jnp.ones(width), jnp.zeros(width))
    return Dataset(split, split)


@checked()
def match_moments(x: Shaped[Array, "examples features"]) -> Float[Array, "points features"]:
    """Return features + 1 points with the mean and the covariance of some examples, both averages over 1/m.

        p = mean + sqrt(m) C^(1/2) q        m = features + 1, q the rows of a centred, orthonormal simplex

    A linear network maps a mean and a covariance to a mean and a covariance. So a mean of squares, such as the statistics of
    batch norm and of the l2 norm or the squared error to labels that are linear in the examples, is the same for these
    points as for the examples, with its gradients. The l1 and l-infinity norms, and functions of single examples, differ.
    If the labels are not linear in the examples, match their joint moments: `match_moments` of both side by side.

    Source: the moments determine the training of a linear network (Saxe et al. 2014, arXiv:1312.6120).

    Args:
        x: examples, one or more; computed in float64.

    Returns:
        The points, of the type of x; of whole numbers, in float32 or better.

    Raises:
        ValueError: if x is not a matrix of finite, real numbers with at least one row.

    Example:
        >>> from bnjax import data
        >>> x = jax.random.normal(jax.random.key(0), (1000, 3))
        >>> points = data.match_moments(x)
        >>> points.shape, bool(jnp.allclose(jnp.cov(points.T, bias=True), jnp.cov(x.T, bias=True), atol=1e-5))
        ((4, 3), True)
    """
    dtype = jnp.result_type(x)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"x must hold real numbers, (examples, features), got {dtype} of shape {np.shape(x)}.")
    examples = np.asarray(x, np.float64)
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else common_type(dtype, jnp.float32)
    if examples.ndim != 2 or not examples.size or not np.isfinite(examples).all():
        raise ValueError(f"x must hold finite numbers, (examples, features), one row or more, got {np.shape(x)}.")
    mean, width = examples.mean(0), examples.shape[1]
    variances, axes = np.linalg.eigh(np.cov(examples.T, bias=True).reshape(width, width))
    # C^(1/2) = V diag(sqrt(variances)) V', the root that does not depend on the signs and order of V.
    root = axes * np.sqrt(np.maximum(variances, 0)) @ axes.T
    return jnp.asarray(mean + np.sqrt(width + 1) * _simplex(width) @ root, dtype)


def _simplex(width: int) -> np.ndarray:
    """Return width + 1 points whose coordinates are orthonormal and centred, (width + 1, width): Helmert contrasts."""
    points = np.zeros((width + 1, width))
    for k in range(1, width + 1):
        # q_k = (1, ..., 1, -k, 0, ..., 0) / sqrt(k (k + 1)), with k ones
        points[:k, k - 1] = 1 / np.sqrt(k * (k + 1))
        points[k, k - 1] = -k / np.sqrt(k * (k + 1))
    return points
