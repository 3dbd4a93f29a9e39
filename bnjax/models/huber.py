"""The batch norm of Huber's replication (2020) of Ioffe & Szegedy 2015, mistakes included."""

from bnjax import linen, norms
from bnjax.types import BatchStats, Number


class HuberBatchNorm(linen.BatchNorm):
    """The batch norm of Huber's replication (2020), which divides the batch's variance by the batch's size once too often.

        y = (x - mean) / sqrt(var / m + epsilon) * scale + bias        var with the estimator 1 / (m - 1)

    Outputs in training start with a standard deviation of sqrt(m - 1), not 1. The running statistics, of var / m too, move with
    weight 0.99 / calls, where calls in evaluation count. For x of shape (batch, features) with at least two examples.

    Deviation: evaluation changes no state here, so that its calls are counted from a schedule.

    Attributes:
        evaluation_interval: training steps from one evaluation to the next.
        evaluation_calls: calls per evaluation; 10,000 examples in batches of 60 make 167.

    Example:
        >>> from bnjax import models
        >>> norm, x = models.HuberBatchNorm(use_running_average=False, epsilon=0.0), jnp.array([[0.0]] * 2 + [[4.0]] * 3)
        >>> y, _ = norm.apply(norm.init(jax.random.key(0), x), x, mutable=["batch_stats"])
        >>> print(y.std().round(3))  # sqrt(5 - 1)
        2.0
    """

    epsilon: Number = 1e-3
    evaluation_interval: int = 50
    evaluation_calls: int = 167

    @property
    def _counts_batches(self) -> bool:
        return True

    def _normalise(self, x, stats, scale, bias, num_batches, *, train, momentum, epsilon, **options):
        if not train:
            return norms.batch_norm(x, stats, scale, bias, train=False, epsilon=epsilon, **options)
        calls = num_batches + 1 + self.evaluation_calls * (num_batches // self.evaluation_interval)
        # var / m = biased / (m - 1): sqrt(m - 1) moves into the scale, and the running variance is multiplied by m - 1
        factor = x.shape[0] - 1
        y, new = norms.batch_norm(
            x,
            BatchStats(stats.mean, factor * stats.var),
            factor**0.5 if scale is None else factor**0.5 * scale,
            bias,
            train=True,
            momentum=1 - 0.99 / calls,
            epsilon=factor * epsilon,
            **options,
        )
        return y, BatchStats(new.mean, new.var / factor)
