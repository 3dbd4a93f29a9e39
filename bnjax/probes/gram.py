"""How different the examples of a batch still are in a layer: rank, orthogonality and cosines of its activations.

All three are functions of the Gram matrix of the examples, G = H Hᵀ with one row of H per example, and the same for H and a H.
Two of them are equivalent: gap² = 1 / rank - 1 / examples.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import as_float, ratio


@checked()
@with_precision
def soft_rank(activations: Float[Array, "examples *features"], *, precision: str | None = None) -> Float[Array, ""]:
    """Return the number of directions along which the examples lie, as a smooth function of the activations.

        tr(G)² / |G|_F², for the eigenvalues of G (sum)² / sum of squares

    It lies between 1, if all examples lie on one line, and the rank of the activations, which it equals if all nonzero
    eigenvalues are equal. G is not centred. Source: Daneshmand et al. 2020, arXiv:2003.01652, who bound the rank by it.

    Args:
        activations: of one layer, an example per row; further axes are features.
        precision: of products, as in `evaluate_points`.

    Returns:
        The soft rank; NaN where all activations are 0.

    Example:
        >>> from bnjax import probes
        >>> print(probes.soft_rank(jnp.eye(3)), probes.soft_rank(jnp.ones((3, 5))))
        3.0 1.0
    """
    gram = _gram(activations)
    return ratio(jnp.trace(gram) ** 2, jnp.sum(gram**2))


@checked()
@with_precision
def orthogonality_gap(
    activations: Float[Array, "examples *features"], *, precision: str | None = None
) -> Float[Array, ""]:
    """Return how far the examples are from being orthogonal and of equal length.

        | G / tr(G) - I / examples |_F

    It lies between 0 and (1 - 1 / examples)^(1/2), where all examples lie on one line. Source: Daneshmand et al. 2021,
    arXiv:2106.03970, Eq. 2.

    Args:
        activations: of one layer, an example per row; further axes are features.
        precision: of products, as in `evaluate_points`.

    Returns:
        The orthogonality gap; NaN where all activations are 0.

    Example:
        >>> from bnjax import probes
        >>> print(f"{probes.orthogonality_gap(2 * jnp.eye(4)):.3f}", f"{probes.orthogonality_gap(jnp.ones((4, 2))):.3f}")
        0.000 0.866
    """
    gram = _gram(activations)
    num = len(gram)
    return jnp.sqrt(jnp.sum((ratio(gram, jnp.trace(gram)) - jnp.eye(num, dtype=gram.dtype) / num) ** 2))


@checked()
@with_precision
def cosines(
    activations: Float[Array, "examples *features"], *, precision: str | None = None
) -> Float[Array, "examples examples"]:
    """Return the cosine of the angle between every two examples.

        G_ij / (G_ii G_jj)^(1/2)

    Args:
        activations: of one layer, an example per row; further axes are features.
        precision: of products, as in `evaluate_points`.

    Returns:
        Cosines, 1 on the diagonal; NaN in row and column of an example whose activations are all 0.

    Example:
        >>> from bnjax import probes
        >>> print(probes.cosines(jnp.array([[1.0, 0.0], [0.0, 3.0], [0.0, -2.0]])))
        [[ 1.  0.  0.]
         [ 0.  1. -1.]
         [ 0. -1.  1.]]
    """
    gram = _gram(activations)
    lengths = jnp.sqrt(jnp.diagonal(gram))
    return ratio(gram, lengths[:, None] * lengths[None])


def _gram(activations: Array) -> Float[Array, "examples examples"]:
    """Return G, divided by its largest |activation|² so that no square is lost."""
    if activations.ndim < 2 or not activations.size:
        raise ValueError(f"activations must have shape (examples, ...features), none 0, got {activations.shape}.")
    rows = as_float(activations).reshape(len(activations), -1)
    largest = jnp.max(jnp.abs(rows))
    rows = rows / jnp.where(largest > 0, largest, 1)
    return rows @ rows.T
