"""Batch norm and its relatives as linen modules, which remember statistics of the batches."""

from collections.abc import Callable
from typing import Any, ClassVar

from flax import linen as nn
from jax import Array

from bnjax import norms
from bnjax.linen.shared import RunningNorm
from bnjax.types import Number


# NOTE: four fields take more here than Flax's: several axes, no momentum, traced numbers.
class BatchNorm(RunningNorm, nn.BatchNorm):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Batch normalisation with the fields, variables and paths of `flax.linen.BatchNorm`, over `norms.batch_norm`.

    Source: Ioffe & Szegedy 2015. Scale and bias are `params`, running mean and variance are `batch_stats`, each with the
    shape of the feature axes. In training mode the batch's biased statistics (1/m) normalise and the running ones move,
    except while initialising; otherwise the running ones normalise and nothing moves.

    Deviation: the variance is computed in two passes by default, where Flax's fast form loses (mean/std)² of the precision.

    Attributes:
        use_running_average: normalise with the running statistics; give it here or in the call, not both.
        axis: the feature axis or axes.
        momentum: share of the running statistics that is kept, per call; None makes them the plain average over all batches,
            which `num_batches` in `batch_stats` counts.
        epsilon: added to the variance.
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        axis_name: mapped axes whose batches count as one.
        axis_index_groups: groups of devices along them that share statistics.
        use_fast_variance: compute the variance in one pass, as Flax does: in float32, without mask and axis_name, to the bit.
        force_float32_reductions: compute statistics of half-precision inputs in float32; here they always are.
        unbiased_running_var: record the variance with the estimator 1/(m-1), as PyTorch does.

    Example:
        >>> from bnjax import linen
        >>> norm, x = linen.BatchNorm(use_running_average=False), jnp.array([[1.0], [5.0]])
        >>> variables = norm.init(jax.random.key(0), x)
        >>> y, new = norm.apply(variables, x, mutable=["batch_stats"])
        >>> print(y.ravel().round(3), new["batch_stats"]["mean"].round(3))
        [-1.  1.] [0.03]
    """

    use_fast_variance: bool = False
    force_float32_reductions: bool = True
    unbiased_running_var: bool = False

    @nn.nowrap
    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        return norms.batch_norm(
            x,
            stats,
            scale,
            bias,
            use_fast_variance=self.use_fast_variance,
            unbiased_running_var=self.unbiased_running_var,
            **options,
        )


class LpNorm(RunningNorm):
    """Normalisation by an lp norm of the batch, over `norms.lp_norm`; the fields not named here are the same as in `BatchNorm`.

    The squared norm is remembered as `norm_squared` in `batch_stats`.

    Attributes:
        p: 1, 2 or "inf".
        center_first: subtract the mean before taking the norm; with p = 2 this is batch norm.

    Example:
        >>> from bnjax import linen
        >>> norm = linen.LpNorm(p=1, use_running_average=False)
        >>> y, variables = norm.init_with_output(jax.random.key(0), jnp.array([[2.0], [6.0]]))
        >>> print(y.ravel().round(3), sorted(variables["batch_stats"]))
        [-0.5  0.5] ['mean', 'norm_squared']
    """

    p: Any = 2
    center_first: bool = False

    spread_name: ClassVar[str] = "norm_squared"

    @nn.nowrap
    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        return norms.lp_norm(x, stats, scale, bias, p=self.p, center_first=self.center_first, **options)


class GhostBatchNorm(RunningNorm):
    """Batch norm in parts of a batch, over `norms.ghost_batch_norm`; the fields not named here are the same as in `BatchNorm`.

    While initialising, the whole batch is one ghost.

    Attributes:
        ghost_size: examples per ghost; it divides the batch.
        running_var: "mean_of_ghosts" or "whole_batch".

    Example:
        >>> from bnjax import linen
        >>> norm, x = linen.GhostBatchNorm(ghost_size=2, use_running_average=False), jnp.array([[1.0], [3.0], [20.0], [60.0]])
        >>> y, _ = norm.apply(norm.init(jax.random.key(0), x), x, mutable=["batch_stats"])
        >>> print(y.ravel().round(3))
        [-1.  1. -1.  1.]
    """

    ghost_size: int = 32
    running_var: Any = "mean_of_ghosts"

    @nn.nowrap
    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        size = x.shape[0] if self.is_initializing() else self.ghost_size
        return norms.ghost_batch_norm(x, stats, scale, bias, ghost_size=size, running_var=self.running_var, **options)


class BatchRenorm(RunningNorm):
    """Batch renormalisation, over `norms.batch_renorm`; the fields not named here are the same as in `BatchNorm`.

    Attributes:
        r_max: bound of the correction of scale.
        d_max: bound of the correction of location.
        bounds: maps the number of batches trained on to (r_max, d_max), in place of the two, as `norms.renorm_bounds`
            does; `num_batches` in `batch_stats` counts the batches.

    Example:
        >>> from bnjax import linen
        >>> norm, x = linen.BatchRenorm(use_running_average=False), jnp.array([[1.0], [5.0]])
        >>> y, _ = norm.apply(norm.init(jax.random.key(0), x), x, mutable=["batch_stats"])
        >>> print(y.ravel().round(3))
        [1. 5.]
    """

    r_max: float = 3.0
    d_max: float = 5.0
    bounds: Callable[[Array], tuple[Any, Any]] | None = None

    @property
    def _counts_batches(self):
        return self.momentum is None or self.bounds is not None

    @nn.nowrap
    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        r_max, d_max = (self.r_max, self.d_max) if self.bounds is None else self.bounds(num_batches)
        return norms.batch_renorm(x, stats, scale, bias, r_max=r_max, d_max=d_max, **options)


class NoisyBatchNorm(RunningNorm):
    """Batch norm with noise on its output, over `norms.noisy_batch_norm`; the fields not named here are `BatchNorm`'s.

    The noise follows from the key called "noise" in `rngs`; none is added while initialising.

    Attributes:
        noise: kind of noise, see `norms.add_noise`.
        strength: factor of the noise.
        noise_in_evaluation: add noise in evaluation too.

    Example:
        >>> from bnjax import linen
        >>> norm, x, key = linen.NoisyBatchNorm(use_running_average=False), jnp.ones((4, 1)), jax.random.key(0)
        >>> y, _ = norm.apply(norm.init(key, x), x, mutable=["batch_stats"], rngs={"noise": key})
        >>> print(y.std() > 0)  # equal examples become unequal
        True
    """

    noise: Any = "santurkar"
    strength: Number = 1.0
    noise_in_evaluation: bool = False

    @nn.nowrap
    def _normalise(self, x, stats, scale, bias, num_batches, *, train, **options):
        if self.is_initializing() or not (train or self.noise_in_evaluation):
            return norms.batch_norm(x, stats, scale, bias, train=train, **options)
        return norms.noisy_batch_norm(
            x,
            stats,
            scale,
            bias,
            key=self.make_rng("noise"),
            train=train,
            noise=self.noise,
            strength=self.strength,
            noise_in_evaluation=self.noise_in_evaluation,
            **options,
        )
