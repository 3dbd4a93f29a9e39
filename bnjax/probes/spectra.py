"""Results of curvature probes: named tuples of arrays, with their provenance."""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, UInt32

from bnjax._host.trees import dot, norm, ratio
from bnjax.probes.paths import named_leaves, path_name
from bnjax.probes.results import load_result, register, save_result
from bnjax.types import ObjectiveInfo, Params


@register()
class EigenPairs(NamedTuple):
    """Extreme eigenpairs of H or of one of its diagonal blocks.

    Attributes:
        eigenvalues: descending for "top", ascending for "bottom", descending in absolute value for "magnitude".
        eigenvectors: by path of a selected parameter, orthonormal together, at least float32, with pairs along the first axis.
        residuals: |H v - eigenvalue v|, by one more product each; some eigenvalue of H is no further away.
        converged: residual <= tolerance * |eigenvalue|, or both 0 to within rounding of the largest |eigenvalue| seen.
        num_matvecs: Hessian products that were used.
        dimension: entries of the selected parameters.
        which: "top", "bottom" or "magnitude".
        pattern: of the selected parameters' paths; None is all.
        key: data of the PRNG key.
        objective: how the loss was made.
    """

    eigenvalues: Float[Array, "*runs num"]
    eigenvectors: dict[str, Array]
    residuals: Float[Array, "*runs num"]
    converged: Bool[Array, "*runs num"]
    num_matvecs: Int[Array, "*runs"]
    dimension: int
    which: str
    pattern: str | None
    key: UInt32[Array, "..."]
    objective: ObjectiveInfo

    def direction(self, params: Params, index: int = 0) -> Params:
        """Return one eigenvector as a tree like `params`, zero where nothing was selected: a direction to scan along.

        Raises:
            ValueError: if there is no such pair, or the eigenvectors are not of these parameters.
        """
        num = len(self.eigenvalues)
        if not -num <= index < num:
            raise ValueError(f"index must be that of one of {num} eigenpairs, got {index}.")
        if missing := self.eigenvectors.keys() - named_leaves(params).keys():
            raise ValueError(f"params must be those of the eigenvectors, but have no {min(missing)}.")

        def entries(path: Any, leaf: Array) -> Array:
            vectors = self.eigenvectors.get(path_name(path))
            return jnp.zeros_like(leaf) if vectors is None else vectors[index].astype(leaf.dtype)

        return jax.tree_util.tree_map_with_path(entries, params)

    def overlap(self, vector: Params) -> Float[Array, " num"]:
        """Return the share of a vector's squared norm along each eigenvector; their sum is the share in the space of all.

            (v_iᵀ g)² / |g|², g the selected entries of the vector

        Source: Gur-Ari et al. 2018, arXiv:1812.04754, with the gradient for g.

        Args:
            vector: a tree like the parameters, such as a gradient.

        Raises:
            ValueError: if the eigenvectors are not of such a tree.
        """
        leaves = named_leaves(vector)
        if missing := self.eigenvectors.keys() - leaves.keys():
            raise ValueError(f"vector must have the paths of the eigenvectors, but has no {min(missing)}.")
        selected = {path: jnp.asarray(leaves[path]) for path in self.eigenvectors}
        products = jax.vmap(lambda eigenvector: dot(eigenvector, selected))(self.eigenvectors)
        return ratio(products, norm(selected)) ** 2

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "EigenPairs":
        """Read what `save` wrote."""
        return load_result(cls, path)


@register()
class Trace(NamedTuple):
    """An estimate of the trace of H or of one of its diagonal blocks.

    Attributes:
        trace: mean of the samples.
        standard_error: of the mean, their standard deviation (1/(m-1)) over sqrt(m); NaN for one sample.
        samples: vᵀHv for each probe v.
        dimension: entries of the selected parameters; trace / dimension is the mean eigenvalue.
        pattern: of the selected parameters' paths; None is all.
        key: data of the PRNG key.
        objective: how the loss was made.
    """

    trace: Float[Array, "*runs"]
    standard_error: Float[Array, "*runs"]
    samples: Float[Array, "*runs probes"]
    dimension: int
    pattern: str | None
    key: UInt32[Array, "..."]
    objective: ObjectiveInfo

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Trace":
        """Read what `save` wrote."""
        return load_result(cls, path)


@register()
class SpectralDensity(NamedTuple):
    """The distribution of the eigenvalues of H or of one of its diagonal blocks, smoothed.

    Attributes:
        grid: eigenvalues, in units of the loss per squared parameter.
        density: per unit of eigenvalue, mean over the probes; its integral is 1.
        standard_error: of the density, over the probes (1/(m-1)); NaN for one probe.
        width: standard deviation of the Gaussian that each node was smoothed with.
        nodes: Ritz values of each probe, ascending.
        weights: of the nodes; they are >= 0 and sum to 1 for each probe.
        dimension: entries of the selected parameters; density * dimension counts eigenvalues.
        pattern: of the selected parameters' paths; None is all.
        key: data of the PRNG key.
        objective: how the loss was made.
    """

    grid: Float[Array, "*runs points"]
    density: Float[Array, "*runs points"]
    standard_error: Float[Array, "*runs points"]
    width: Float[Array, "*runs"]
    nodes: Float[Array, "*runs probes nodes"]
    weights: Float[Array, "*runs probes nodes"]
    dimension: int
    pattern: str | None
    key: UInt32[Array, "..."]
    objective: ObjectiveInfo

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "SpectralDensity":
        """Read what `save` wrote."""
        return load_result(cls, path)
