"""The batch norm of Huber's replication, step by step in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import models


def test_variance_bug_of_huber():
    """Outputs have a standard deviation of sqrt(m - 1), and statistics move as the replication's do, evaluations counted."""
    module = models.HuberBatchNorm(evaluation_interval=2, evaluation_calls=5, epsilon=1e-3)
    batches = jax.random.normal(jax.random.key(0), (4, 60, 3)) * jnp.array([[[1.0, 20.0, 0.1]]])
    variables = module.init(jax.random.key(1), batches[0], use_running_average=True)
    mean, var, calls = np.zeros(3), np.ones(3), 0
    for step, x in enumerate(np.asarray(batches, np.float64)):
        calls += 1 + (5 if step == 2 else 0)
        batch_mean, batch_var = x.mean(0), x.var(0, ddof=1) / 60
        y, changed = module.apply(variables, batches[step], use_running_average=False, mutable=["batch_stats"])
        np.testing.assert_allclose(y, (x - batch_mean) / np.sqrt(batch_var + 1e-3), rtol=1e-4, atol=1e-4)
        mean, var = (
            0.99 / calls * new + (1 - 0.99 / calls) * old for new, old in ((batch_mean, mean), (batch_var, var))
        )
        variables = {**variables, **changed}
    np.testing.assert_allclose(y[:, 1].std(), np.sqrt(59), rtol=1e-3)
    np.testing.assert_allclose(variables["batch_stats"]["mean"], mean, rtol=1e-4)
    np.testing.assert_allclose(variables["batch_stats"]["var"], var, rtol=1e-4)
    evaluated = module.apply(variables, batches[0], use_running_average=True)
    np.testing.assert_allclose(evaluated, (np.asarray(batches[0]) - mean) / np.sqrt(var + 1e-3), rtol=1e-4, atol=1e-4)
