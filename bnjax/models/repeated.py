"""A dense layer whose input is one vector, many times over, without the repetition."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked


class RepeatedDense(nn.Module):
    """A dense layer on n equal vectors, written as a layer on one vector with the same training and measurements.

    Write W_i for the rows of the kernel W that see the i-th vector. All of them have the same gradient G, so

        y = (x, ..., x) W + b = x (W_1 + ... + W_n) + b = sqrt(n) x u + b,    u = (W_1 + ... + W_n) / sqrt(n)

    The parameter `kernel` is u: the coordinates of W along the orthonormal directions in which y changes. Hence gradients and
    steps of u are as long as those of W and have the same products, and gradient descent moves both the same way. In terms of
    the sum S = sqrt(n) u, a step is n times the rate times dL/dS; squared lengths count n times for gradients by S, and 1/n
    times for steps of S. The rest of W, in the null space of the sum, changes no output and has no gradient; lengths of weights
    and of random directions count it, so the parameter `null_norm` holds its length.

    NOTE: the equality needs an optimiser that does not depend on the basis, such as SGD with momentum, weight decay and
    clipping by the global norm. Adam and RMSProp do depend on it.

    Attributes:
        features: length of y.
        copies: n.
        kernel_init: draws W; biases start at 0. `init` alone draws it twice, independently, for u and for its length.
        dtype: in which y is computed, as in Flax.

    Example:
        >>> import jax
        >>> from bnjax.models import RepeatedDense
        >>> layer = RepeatedDense(2, copies=49)
        >>> variables = layer.init(jax.random.key(0), jnp.ones((1, 3)))
        >>> print({name: leaf.shape for name, leaf in sorted(variables["params"].items())})
        {'bias': (2,), 'kernel': (3, 2), 'null_norm': ()}
    """

    features: int
    copies: int
    kernel_init: Callable[..., Array] = nn.initializers.xavier_uniform()
    dtype: Any = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "*batch features"]) -> Float[Array, "*batch out_features"]:
        """Compute the outputs for one of the vectors."""
        shape = (self.copies * inputs.shape[-1], self.features)

        def draw(key: Array) -> tuple[Array, Array]:
            return join_copies(self.kernel_init(key, shape, jnp.float32), self.copies)

        kernel = self.param("kernel", lambda key: draw(key)[0])
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        self.param("null_norm", lambda key: draw(key)[1])
        x, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        # y = sqrt(n) x u + b
        y = math.sqrt(self.copies) * x @ kernel
        return y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


@checked()
def join_copies(
    kernel: Float[Array, "rows out_features"], copies: int
) -> tuple[Float[Array, "features out_features"], Float[Array, ""]]:
    """Split a kernel for n equal vectors into the part that changes the output, and the length of the rest.

        u = (W_1 + ... + W_n) / sqrt(n),    |W|² = |u|² + null_norm²

    Args:
        kernel: W, or a gradient, step or direction of it: the rows of one vector after those of another.
        copies: n.

    Returns:
        (u, null_norm).

    Raises:
        ValueError: if n does not divide the rows into vectors of equal length.

    Example:
        >>> from bnjax.models import join_copies
        >>> u, null_norm = join_copies(jnp.array([[3.0], [1.0]]), 2)
        >>> print(u.round(3), null_norm.round(3))
        [[2.828]] 1.414
    """
    if copies < 1 or kernel.shape[0] % copies:
        raise ValueError(f"copies must be a divisor of the {kernel.shape[0]} rows of the kernel, got {copies}.")
    blocks = kernel.reshape(copies, -1, kernel.shape[-1])
    mean = blocks.mean(axis=0, keepdims=True)
    return math.sqrt(copies) * mean[0], jnp.sqrt(jnp.sum((blocks - mean) ** 2))
