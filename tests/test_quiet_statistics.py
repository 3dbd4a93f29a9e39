"""Statistics of noisy nets are recalibrated without the noise, where tests are without it."""

import jax
import jax.numpy as jnp
import pytest

from bnjax import data, norms, train
from experiments._config import Images, MLPRun, Noise, NoisyBatchNorm, Optimizer, change
from experiments._training.evaluation import evaluate
from experiments._training.tasks import make_quiet_model, make_task

CONFIG = change(
    MLPRun(data=Images("digits"), optimizer=Optimizer(batch_size=512)),
    model={"hidden": (8, 8)},
    norm=NoisyBatchNorm(noise=Noise(strength=4.0)),
)


@pytest.mark.slow
@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("in_tests", [False, True])
def test_statistics_are_those_of_what_is_tested(in_tests):
    """Without noise in tests they are a quiet net's; with it they are the noisy net's, and differ from those."""
    config = change(CONFIG, norm={"noise": {"in_tests": in_tests}})
    task = make_task(config.net(), None)
    dataset = task.load(0)
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *dataset.train.images.shape[1:])))
    found = evaluate(config, task.trainer, state, dataset, recalibrated=True)

    num, rngs = len(dataset.train.labels), train.step_rngs(state)
    batches = [data.take_batch(dataset.train, jnp.arange(i, min(i + 512, num))) for i in range(0, num, 512)]
    losses = []
    for model in (make_quiet_model(config), task.trainer.model):
        variables = norms.recalibrate(model, state.variables, batches, rngs=rngs, show_progress=False)
        metrics = train.evaluate(task.trainer, variables, dataset.test, rngs=rngs if in_tests else None)
        losses.append(float(metrics.loss))
    assert losses[0] != pytest.approx(losses[1], rel=1e-5)
    assert found["loss"] == pytest.approx(losses[in_tests], rel=1e-7)
