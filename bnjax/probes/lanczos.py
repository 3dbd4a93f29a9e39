"""Lanczos iterations on a symmetric operator that is known by its products with vectors.

`matfree.decomp.tridiag_sym` computes the same basis as long as the Krylov space grows. Where it stops growing (low rank,
multiple eigenvalues, the zero operator), matfree continues with rounding errors or NaN; here it continues with a random
vector, orthogonal to all before, so that the operator's projection stays exact. The products of such vectors are dense columns,
for which the projection is kept as a matrix rather than as two diagonals; the same form supports restarts.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from bnjax._host.trees import norm

Matvec = Callable[[Float[Array, " dim"]], Float[Array, " dim"]]
Which = Literal["top", "bottom", "magnitude"]

# A value and a residual count as 0 below this many units of the precision, relative to the largest value.
_ROUNDING = 8
# The default of accelerators, TF32 or bfloat16 products, would lose orthogonality.
_matmul = partial(jnp.matmul, precision="highest")


class Krylov(NamedTuple):
    """An orthonormal basis, the operator projected on it, and the next vector.

    Attributes:
        vectors: Q, orthonormal rows; rows that are not filled yet are zero.
        projected: Q A Qᵀ; only its upper triangle is filled.
        remainder: the next row, of norm 1.
        coupling: |A q - Qᵀ Q A q| for the last row q; 0 or rounding errors where the basis spans an invariant space.
        scale: the largest |A q| over all rows so far, to which rounding errors are compared.
    """

    vectors: Float[Array, "size dim"]
    projected: Float[Array, "size size"]
    remainder: Float[Array, " dim"]
    coupling: Float[Array, ""]
    scale: Float[Array, ""]


class RitzPairs(NamedTuple):
    """Approximate eigenpairs in the requested order.

    Attributes:
        values: Ritz values.
        vectors: Ritz vectors, orthonormal rows.
        scale: the largest |Ritz value| of the last basis, an estimate of |A|.
        num_matvecs: products with the operator.
    """

    values: Float[Array, " num"]
    vectors: Float[Array, "num dim"]
    scale: Float[Array, ""]
    num_matvecs: Int[Array, ""]


class _Search(NamedTuple):
    """The state of a search for eigenpairs."""

    krylov: Krylov
    pairs: RitzPairs
    residuals: Float[Array, " num"]
    is_done: Bool[Array, ""]
    is_measured: Bool[Array, ""]


def init_krylov(start: Float[Array, " dim"], size: int) -> Krylov:
    """Make an empty basis of at most `size` vectors that begins with `start`."""
    zero = jnp.zeros((), start.dtype)
    vectors = jnp.zeros((size, start.size), start.dtype)
    return Krylov(vectors, jnp.zeros((size, size), start.dtype), start / norm(start), zero, zero)


def expand(matvec: Matvec, krylov: Krylov, first: int | Int[Array, ""], key: Array) -> Krylov:
    """Fill the rows of a basis from `first` on, with full reorthogonalisation.

    From the first row on, m rows reproduce vᵀ A^j v for j up to 2m - 1, where v is the first row. Source: Golub & Van Loan,
    Matrix Computations, Sec. 10.1; on breakdown the basis continues with a random vector, drawn from `key`.

    Args:
        matvec: the operator A, symmetric.
        krylov: the basis so far.
        first: how many rows it has.
        key: PRNG key.

    Returns:
        The basis with all rows. A NaN product makes everything after it NaN.
    """

    def add_row(index: Array, krylov: Krylov) -> Krylov:
        return _extend(krylov, index, matvec(krylov.remainder), key)

    return jax.lax.fori_loop(first, krylov.vectors.shape[0], add_row, krylov)


def _extend(krylov: Krylov, index: Array, image: Array, key: Array) -> Krylov:
    """Append the remainder, whose image is given, to the basis."""
    vectors = krylov.vectors.at[index].set(krylov.remainder)
    column, rest = _split(image, vectors)
    length = norm(rest)
    scale = jnp.maximum(krylov.scale, norm(image))
    stuck = length <= jnp.finfo(length.dtype).eps * scale
    coupling = jnp.where(stuck, 0, length)
    fresh = jax.random.normal(jax.random.fold_in(key, index), rest.shape, rest.dtype)
    rest = jnp.where(stuck, _normalise(fresh), rest / jnp.where(stuck, 1, length))
    # NOTE: the rest may be rounding errors of any direction; scaled to length 1, it can be made orthogonal.
    correction, rest = _split(rest, vectors)
    _, rest = _split(_normalise(rest), vectors)
    projected = krylov.projected.at[:, index].set(column + coupling * correction)
    return Krylov(vectors, projected, _normalise(rest), coupling, scale)


def ritz(krylov: Krylov) -> tuple[Float[Array, " size"], Float[Array, "size size"]]:
    """Return the eigenvalues and eigenvectors (columns) of a projection, in ascending order; NaN where it is not finite."""
    upper = jnp.triu(krylov.projected)
    matrix = upper + jnp.triu(upper, 1).T
    is_finite = jnp.isfinite(matrix).all()
    # NOTE: LAPACK's result for a matrix with NaN is undefined.
    values, vectors = jnp.linalg.eigh(jnp.where(is_finite, matrix, 0))
    return jnp.where(is_finite, values, jnp.nan), jnp.where(is_finite, vectors, jnp.nan)


def quadrature(
    matvec: Matvec, start: Float[Array, " dim"], key: Array, num_matvecs: int
) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Find the nodes and weights of the Gauss quadrature that belongs to an operator and a vector.

        sum over nodes of weight * f(node) = vᵀf(A)v / vᵀv for polynomials of degree up to 2 num_matvecs - 1

    Source: Golub & Meurant 2010, Matrices, Moments and Quadrature. Nodes are in ascending order. Where the Krylov space ends
    early, the formula holds for any f; the nodes of the continuation have no weight.
    """
    nodes, vectors = ritz(expand(matvec, init_krylov(start, num_matvecs), 0, key))
    return nodes, vectors[0] ** 2


def eigenpairs(
    matvec: Matvec,
    start: Float[Array, " dim"],
    key: Array,
    tolerance: Float[Array, ""],
    *,
    num: int,
    which: Which,
    basis_size: int,
    max_matvecs: int,
) -> tuple[RitzPairs, Float[Array, " num"]]:
    """Find extreme eigenpairs by Lanczos iterations that restart with the best Ritz vectors; measure their residuals.

    Source: Wu & Simon 2000, Thick-restart Lanczos, doi:10.1137/S0895479898334605. A cycle fills the basis and keeps the
    wanted half of its Ritz vectors. Cycles end when every wanted pair has |A q - value q| <= tolerance * |value|, or less than
    rounding, by the recurrence; when products run out or turn NaN; or when the basis spans the whole space.

    Args:
        matvec: the operator A, symmetric.
        start: where the iterations begin, not zero.
        key: PRNG key of the vectors that continue after a breakdown.
        tolerance: relative to each |Ritz value|.
        num: how many pairs.
        which: algebraically largest ("top"), smallest ("bottom"), or of largest absolute value ("magnitude").
        basis_size: vectors in memory, more than `num` unless that is the dimension.
        max_matvecs: limit of products, at least `basis_size`, without those of the residuals.

    Returns:
        (pairs, |A q - value q| of each).
    """
    spans_all = basis_size == start.size
    num_kept = num if spans_all else num + (basis_size - num) // 2

    first_measured = basis_size - num

    def run_cycle(state: _Search) -> _Search:
        """Fill the basis and restart; at the end measure residuals in the same loop, which holds the operator once."""
        pairs = state.pairs
        first = jnp.where(pairs.num_matvecs == 0, 0, num_kept)
        cycle_key = jax.random.fold_in(key, pairs.num_matvecs)

        def take_product(index: Array, now: tuple[Krylov, Array]) -> tuple[Krylov, Array]:
            krylov, residuals = now
            number = jnp.maximum(index - first_measured, 0)
            vector = jnp.where(state.is_done, pairs.vectors[number], krylov.remainder)
            image = matvec(vector)
            residual = norm(image - pairs.values[number] * vector)
            return jax.lax.cond(
                state.is_done,
                lambda: (krylov, residuals.at[number].set(residual)),
                lambda: (_extend(krylov, index, image, cycle_key), residuals),
            )

        begin = jnp.where(state.is_done, first_measured, first)
        krylov, residuals = jax.lax.fori_loop(begin, basis_size, take_product, (state.krylov, state.residuals))

        def restart() -> _Search:
            values, vectors = ritz(krylov)
            scale = jnp.max(jnp.abs(values))
            kept = jnp.argsort({"top": -values, "bottom": values, "magnitude": -jnp.abs(values)}[which])[:num_kept]
            errors = krylov.coupling * jnp.abs(vectors[-1, kept[:num]])
            wanted = jnp.maximum(tolerance * jnp.abs(values[kept[:num]]), jnp.finfo(scale.dtype).eps * scale)
            restarted = _restart(krylov, values[kept], vectors[:, kept])
            num_matvecs = pairs.num_matvecs + basis_size - first
            is_done = spans_all | jnp.all(errors <= wanted) | ~jnp.isfinite(scale)
            is_done |= num_matvecs + basis_size - num_kept > max_matvecs
            new = RitzPairs(values[kept[:num]], restarted.vectors[:num], scale, num_matvecs)
            return state._replace(krylov=restarted, pairs=new, is_done=is_done)

        return jax.lax.cond(
            state.is_done, lambda: state._replace(residuals=residuals, is_measured=jnp.asarray(True)), restart
        )

    krylov = init_krylov(start, basis_size)
    nothing = RitzPairs(krylov.projected[0, :num], krylov.vectors[:num], krylov.scale, jnp.zeros((), jnp.int32))
    search = _Search(krylov, nothing, jnp.zeros_like(nothing.values), jnp.asarray(False), jnp.asarray(False))
    found = jax.lax.while_loop(lambda state: ~state.is_measured, run_cycle, search)
    return found.pairs, found.residuals


def are_converged(pairs: RitzPairs, residuals: Float[Array, " num"], tolerance: Array) -> Bool[Array, " num"]:
    """Return whether residuals are small relative to their values, or both are within rounding of the largest value."""
    sizes, rounding = jnp.abs(pairs.values), _ROUNDING * jnp.finfo(residuals.dtype).eps * pairs.scale
    return (residuals <= tolerance * sizes) | (jnp.maximum(residuals, sizes) <= rounding)


def _restart(krylov: Krylov, values: Array, vectors: Array) -> Krylov:
    """Keep Ritz pairs, in a basis of the same size."""
    num_kept = values.size
    return krylov._replace(
        vectors=jnp.zeros_like(krylov.vectors).at[:num_kept].set(_matmul(vectors.T, krylov.vectors)),
        projected=jnp.zeros_like(krylov.projected).at[:num_kept, :num_kept].set(jnp.diag(values)),
    )


def _split(vector: Array, vectors: Array) -> tuple[Array, Array]:
    """Split a vector into its coefficients in a basis and the orthogonal remainder."""
    coefficients = _matmul(vectors, vector)
    return coefficients, vector - _matmul(coefficients, vectors)


def _normalise(vector: Array) -> Array:
    """Scale a vector to norm 1; zero stays zero."""
    return vector / jnp.maximum(norm(vector), jnp.finfo(vector.dtype).tiny)
