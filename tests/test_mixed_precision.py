"""Nets that compute in bfloat16 keep parameters, statistics and losses in float32, and learn as well."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from disturbed import folder_of

from bnjax import adapters, data, linen, losses, models, probes, train
from bnjax.types import Batch, Variables
from experiments import __main__ as command_line
from experiments import quickstart
from experiments._config import DeepLinearRun, MLPRun, change
from experiments._presets import SMOKE, with_and_without
from experiments._training.tasks import make_task

IMAGES, VECTORS = jnp.zeros((4, 8, 8, 3)), jnp.zeros((4, 10))
MODELS = {
    "vgg": (models.VGGConfig, {"width": 1 / 16}, IMAGES),
    "mameli": (models.VGGConfig, {"width": 1 / 64, "head": "mameli"}, IMAGES),
    "mlp": (models.MLPConfig, {"hidden": (16, 16)}, IMAGES),
    "mlp, norm last": (models.MLPConfig, {"hidden": (16, 16), "norm_position": "after"}, IMAGES),
    "deep_linear": (models.DeepLinearConfig, {"depth": 3}, VECTORS),
}
NORMS = {
    "none": None,
    "batch": linen.BatchNorm,
    "flax": nn.BatchNorm,
    "noisy": linen.NoisyBatchNorm,
    "noise": partial(linen.Noise, relative=True),
    "lp": partial(linen.LpNorm, p="inf"),
    "ghost": partial(linen.GhostBatchNorm, ghost_size=2),
    "renorm": linen.BatchRenorm,
    "huber": models.HuberBatchNorm,
    "layer": linen.LayerNorm,
}


SINGLE, HALF = jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)
# Every model with batch norm, every normaliser in one model; the rest take longer than they tell.
CASES = [
    pytest.param(m, n, marks=() if n == "batch" or m == "mlp" else pytest.mark.thorough) for m in MODELS for n in NORMS
]


def dtypes(tree):
    """List the types of a tree's numbers, counts and keys apart."""
    return {leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_only_what_is_computed_on_the_way_is_bfloat16(name, norm):
    """Parameters, statistics, optimiser, outputs and loss are float32, before a step and after; layers are not."""
    make_config, fields, inputs = MODELS[name]
    config = make_config(**fields, norm=NORMS[norm], dtype=jnp.bfloat16)
    loss, labels = ("squared_error", VECTORS) if name == "deep_linear" else ("cross_entropy", jnp.zeros(4, jnp.int32))
    optimizer = train.make_optimizer("sgd", 0.1, momentum=0.9)
    trainer = train.Trainer(models.make_model(config), optimizer, batch_size=4, loss=loss)
    state = jax.eval_shape(partial(train.init_state, trainer), jax.random.key(0), inputs)
    after = jax.eval_shape(partial(train.train_step, trainer), state, Batch(inputs, labels))

    def evaluate(state):
        return trainer.model.apply(state.variables, inputs, train=False, rngs=train.step_rngs(state))

    def outputs_of_layers(state):
        weights = [layer for layer in state.params if layer.startswith(("conv_", "dense_"))]
        layers = sorted(weights, key=lambda layer: int(layer.split("_")[1]))[:-1]
        rngs = train.step_rngs(state)
        return probes.capture(trainer.model, state.variables, inputs, layers, train=True, rngs=rngs)

    assert dtypes((state, after, jax.eval_shape(evaluate, state))) == {SINGLE}
    assert dtypes(jax.eval_shape(outputs_of_layers, state)) == {HALF}


def gradients(config, seed):
    """Return the gradients of one batch in float32, in bfloat16, and in float32 of rounded parameters and images, each flat."""
    split = data.load("digits", image_size=8).train
    batch = data.take_batch(split, jax.random.permutation(jax.random.key(seed), len(split.labels))[:64])
    nets = [models.make_model(config(dtype=dtype)) for dtype in (jnp.float32, jnp.bfloat16)]
    module = {models.MLPConfig: models.MLP, models.VGGConfig: models.VGG}[config.func](config(dtype=jnp.float32))
    variables = jax.jit(adapters.from_linen(module).init)(jax.random.key(seed), batch.inputs)

    @partial(jax.jit, static_argnums=0)
    def gradient(net, params, inputs):
        def loss(params):
            outputs, _ = net.apply(Variables(params, variables.batch_stats), inputs, train=True)
            return jnp.mean(losses.cross_entropy(outputs, batch.labels))

        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(params))])

    given = (variables.params, batch.inputs)
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), given)
    return gradient(nets[0], *given), gradient(nets[1], *given), gradient(nets[0], *rounded)


NETS = {
    "sigmoid": partial(models.MLPConfig, hidden=(32, 32, 32)),
    "relu": partial(models.MLPConfig, hidden=(32, 32, 32), activation="relu"),
    "vgg": partial(models.VGGConfig, width=1 / 16),
}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("norm", [None, linen.BatchNorm])
@pytest.mark.parametrize("net", ["sigmoid", *(pytest.param(n, marks=pytest.mark.thorough) for n in ("relu", "vgg"))])
def test_gradients_are_those_of_float32_to_rounding(net, norm, seed):
    """Computing in bfloat16 moves the gradient at most four times as far as rounding parameters and images once does."""
    exact, ours, rounded = gradients(partial(NETS[net], norm=norm), seed)
    error, unit = (float(jnp.linalg.norm(g - exact) / jnp.linalg.norm(exact)) for g in (ours, rounded))
    assert 1e-4 < error < 4 * unit
    assert net != "sigmoid" or error < 4 * 2.0**-8  # the largest relative rounding error of one number


def results(config, seeds):
    """Train a net from several seeds and return its accuracies on test images, in percent, and its losses."""
    task = make_task(config, None)
    found = []
    for seed in seeds:
        dataset = task.load(seed)
        inputs = jnp.zeros((1, *dataset.train.images.shape[1:]))
        state = train.init_state(task.trainer, jax.random.key(seed), inputs)
        state, _ = train.run_steps(task.trainer, state, dataset.train, num_steps=config.schedule.num_steps)
        found.append(train.evaluate(task.trainer, state.variables, dataset.test))
    return np.array([100 * float(test.accuracy) for test in found]), np.array([float(test.loss) for test in found])


@pytest.mark.thorough
@pytest.mark.parametrize(
    "config",
    [
        change(MLPRun(), data={"dataset": "digits"}, model={"hidden": (32, 32)}, schedule={"num_steps": 500}),
        pytest.param(
            change(SMOKE, optimizer={"batch_size": 64}, schedule={"num_steps": 200}),
            marks=pytest.mark.thorough,
        ),
    ],
    ids=["mlp", "vgg"],
)
def test_accuracy_is_that_of_float32_within_the_noise_of_seeds(config):
    """Over six seeds, the means differ by no more than twice the standard error of their difference."""
    (single, losses), (half, half_losses) = (
        results(change(config, optimizer={"compute_dtype": d}), range(6)) for d in ("float32", "bfloat16")
    )
    noise = np.sqrt((single.var(ddof=1) + half.var(ddof=1)) / len(single))
    assert single.mean() > 75
    assert np.any(losses != half_losses)
    assert abs(single.mean() - half.mean()) <= 2 * noise


def test_a_linear_map_is_learnt():
    """The deep linear network has a loss in float32 that falls as in float32."""
    config = change(DeepLinearRun(), model={"depth": 3}, optimizer={"batch_size": 50, "compute_dtype": "bfloat16"})
    task = make_task(config, None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, 10)))
    _, metrics = train.run_steps(task.trainer, state, split, num_steps=20)
    assert metrics.loss[-1] < metrics.loss[0]


@pytest.mark.thorough
def test_the_command_line_trains_in_bfloat16(tmp_path, capsys):
    """A run in bfloat16 has a folder of its own, in which the type is written down."""
    half = ("--optimizer.compute-dtype", "bfloat16")
    command_line.main(["quickstart", "--preset", "smoke", "--results", str(tmp_path), *half])
    assert "with BN" in capsys.readouterr().out
    folders = {folder_of(arm) for arm in with_and_without(quickstart.PRESETS["smoke"]).values()}
    found = {
        path.parent.name: path.read_text().count('"compute_dtype": "bfloat16"')
        for path in tmp_path.glob("vgg-*/config.json")
    }
    assert list(found.values()) == [1, 1]
    assert not folders & found.keys()
