"""Weights whose length does not matter: two copies of a net, their gradients, claims, and how it is run."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_readable
from faked import measured_of

from bnjax import linen, models
from bnjax.runs import config_dict
from bnjax.types import Batch, Variables
from experiments import scale_invariance
from experiments._command import cli
from experiments._config import Options, change
from experiments._evidence.verdict import judge
from experiments._report import known
from experiments._training.errors import ConfigError
from experiments.scale_invariance import figure, quantities, runs, table
from experiments.scale_invariance.claims import CLAIMS

SMOKE = scale_invariance.PRESETS["smoke"]
STEPS, RATE, PENALTY = 6, 0.1, 0.8
pytestmark = pytest.mark.xdist_group("scale_invariance")  # one worker: they share what was measured


@pytest.fixture(scope="module")
def data():
    """Preset smoke."""
    return {
        "experiment": "scale_invariance",
        "preset": "smoke",
        "config": config_dict(SMOKE),
        **measured_of("scale_invariance"),
    }


def net(epsilon):
    """Make a small perceptron in float64, with batch norm of an epsilon or without, and the batches of some steps."""
    norm = None if epsilon is None else partial(linen.BatchNorm, epsilon=epsilon)
    model = models.make_model(models.MLPConfig(hidden=(7, 6), activation="relu", kernel_init="he_normal", norm=norm))
    inputs = jax.random.normal(jax.random.key(1), (STEPS, 12, 5), jnp.float64)
    labels = jax.random.randint(jax.random.key(2), (STEPS, 12), 0, 10)
    variables = Variables(*map(runs._widen, model.init(jax.random.key(0), inputs[0, :1])))
    return model, ("dense_1/kernel", "dense_2/kernel"), variables, Batch(inputs, labels)


def rules(exponent=1, penalty=PENALTY):
    """Train with a penalty, and at a rate of the power -(2t + exponent) instead."""
    grown = RATE * (1 - RATE * penalty) ** -(2.0 * np.arange(STEPS) + exponent)
    fixed = jnp.full(STEPS, RATE)
    return runs.Rule(fixed, RATE, penalty, 0.0, 0.0), runs.Rule(jnp.asarray(grown), RATE, 0.0, 0.0, 0.0)


def test_the_rates_are_those_of_the_formula(x64):
    """The learning rate times a power of what a step of the penalty leaves of the weights."""
    config = change(SMOKE, learning_rate=RATE, weight_decay=PENALTY, num_steps=STEPS)
    (with_penalty, instead), (first, second) = runs.rules(config), rules()
    np.testing.assert_allclose(instead.rates, second.rates, rtol=1e-12)
    np.testing.assert_array_equal(with_penalty.rates, first.rates)
    assert (with_penalty.penalty, instead.penalty, with_penalty.momentum) == (PENALTY, 0, 0)
    np.testing.assert_array_equal(runs.rules(config, growing=False)[1].rates, RATE)
    assert runs.rules(config, with_momentum=True)[1].momentum == SMOKE.momentum
    assert runs.rules(config, everywhere=True)[0].penalty_elsewhere == PENALTY


@pytest.mark.slow
def test_copies_are_one_net_with_batch_norm_alone(x64):
    """With epsilon 0, their directions stay equal, and lengths differ by the power of what the penalty leaves."""
    found = runs.compare(*net(0.0), *rules())
    np.testing.assert_allclose(found["difference"], 0, atol=1e-12)
    np.testing.assert_allclose(
        found["length"][:, 0] / found["length"][:, 1], (1 - RATE * PENALTY) ** np.arange(STEPS + 1), rtol=1e-11
    )
    np.testing.assert_allclose(found["growth"], 1, rtol=1e-9)
    for epsilon in (None, 0.1):
        assert runs.compare(*net(epsilon), *rules())["difference"][-1] > 1e-3


@pytest.mark.thorough
def test_another_start_has_another_power(x64):
    """From weights (1 - rate x penalty)^(1/2) times as long, the power is -2t; from the same weights it is not."""
    model, layers, variables, batches = net(0.0)
    assert runs.compare(model, layers, variables, batches, *rules(exponent=0))["difference"][-1] > 1e-3
    half = (1 - RATE * PENALTY) ** 0.5

    def shortened(params):
        return {
            name: {**module, "kernel": half * module["kernel"]} if f"{name}/kernel" in layers else module
            for name, module in params.items()
        }

    first, second = (
        runs.compare(model, layers, Variables(params, variables.batch_stats), batches, rule, rule)
        for params, rule in zip((variables.params, shortened(variables.params)), rules(exponent=0), strict=True)
    )
    ratio = (1 - RATE * PENALTY) ** (np.arange(STEPS + 1) - 0.5)
    np.testing.assert_allclose(first["length"][:, 0] / second["length"][:, 0], ratio, rtol=1e-11)


@pytest.mark.thorough
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_a_copy_is_trained_by_sgd(momentum, x64):
    """Step by step, as in the definition: velocity, penalty on some weights, another rate for these."""
    model, layers, variables, batches = net(1e-5)
    rule = runs.Rule(jnp.linspace(0.1, 0.3, STEPS), 0.05, 0.3, 0.2, momentum)
    found = runs.compare(model, layers, variables, batches, rule, rule)
    np.testing.assert_array_equal(found["difference"], 0)
    params = variables.params
    velocity = jax.tree.map(jnp.zeros_like, params)
    for t in range(STEPS):

        def loss(params, t=t):
            outputs, _ = model.apply(Variables(params, variables.batch_stats), batches.inputs[t], train=True)
            return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(12), batches.labels[t]])

        gradient = jax.grad(loss)(params)
        for name, module in params.items():
            for leaf in module:
                own = f"{name}/{leaf}" in layers
                penalty = (0.3 if own else 0.2) * module[leaf]
                velocity[name][leaf] = momentum * velocity[name][leaf] + gradient[name][leaf] + penalty
        params = {
            name: {
                leaf: w - (rule.rates[t] if f"{name}/{leaf}" in layers else 0.05) * velocity[name][leaf]
                for leaf, w in module.items()
            }
            for name, module in params.items()
        }
    np.testing.assert_allclose(found["length"][-1], jnp.linalg.norm(params["dense_1"]["kernel"]), rtol=1e-10)


@pytest.mark.slow
def test_gradients_are_orthogonal_and_inverse_with_batch_norm_alone(x64):
    """In every layer, to rounding; without batch norm in none."""
    for epsilon, holds in ((0.0, True), (None, False)):
        model, layers, variables, batches = net(epsilon)
        found = runs.of_gradients(model, layers, variables, jax.tree.map(lambda leaf: leaf[0], batches))
        for values in found.values():
            assert values.shape == (2,)
            assert np.all(np.asarray(values) < 1e-12) == holds
            assert np.any(np.asarray(values) > 1e-4) != holds


@pytest.mark.thorough
def test_identities_hold_on_a_vgg(data):
    """All identities are supported, and so is every control at which copies part; lengths are recorded at each step."""
    found = {claim.name: judge(claim, data) for claim in CLAIMS}
    for name in ("decay", "orthogonal", "inverse", "growth"):
        assert found[f"scale_{name}"].verdict == "supported", name
    for name in ("decay_rate", "decay_momentum", "decay_all", "orthogonal_plain", "inverse_plain", "growth_plain"):
        assert found[f"scale_{name}"].verdict == "supported", name
    for runs_of_arm in data["arms"].values():
        assert all(len(run["pair"]["length_penalty"]) == SMOKE.num_steps + 1 for run in runs_of_arm)


def test_layers_are_all_but_the_last():
    """Ten weight layers of a VGG-A can be followed by a normaliser, from the input on."""
    model = runs.make_net(SMOKE.model, 0.0)
    params, _ = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    layers = runs.invariant_layers(SMOKE, params)
    assert layers[0] == "conv_1/kernel"
    assert len(layers) == SMOKE.model.num_normalised == 10
    assert all(path.endswith("/kernel") for path in layers)


@pytest.mark.thorough
def test_words_and_figure(data):
    """The table has a row for every arm, the set-up names what was trained, and both forms of the figure can be read."""
    words = table.summarise(data)
    assert "with BN, L2 penalty on all parameters" in words
    assert "exponentially, end" in table.findings(data)
    setup = judge(CLAIMS[0], data).setup.words
    assert setup.startswith(
        "VGG-A, width 1/32, digits of 8 x 8 pixels, SGD, learning rate 0.02, L2 penalty 0.5, batch 16"
    )
    assert setup.endswith("5 steps, 3 seeds")
    for narrow in (False, True):
        assert_readable(figure.plot(data).draw(narrow=narrow))


def test_what_was_not_measured_is_named():
    """A measure of layers has no number where there are none, or one is not finite."""
    measure = quantities.over_layers(quantities.COSINE)
    assert measure.of({"layers": {}}).reason.startswith("not measured: |cosine|")
    assert measure.of({"layers": {"cosine": [0.1, None]}}).reason.startswith("not finite: |cosine|")


def test_nothing_is_trained_with_runs():
    """There are no nets to train; several processes are refused; seeds do not count for what is known."""
    assert cli.nets_of(scale_invariance, SMOKE, Options()) == {}
    with pytest.raises(ConfigError, match="distributed must be left out"):
        cli._collect(scale_invariance, SMOKE, Options(distributed=True), [])


@pytest.mark.thorough
def test_draws_are_known_by_everything_but_their_seeds(data):
    """More seeds leave the identities as they are, another penalty makes others."""

    def identities(**changes):
        return known.identities("scale_invariance", {**data, "config": config_dict(change(SMOKE, **changes))})

    assert identities(seeds=(5, 6)) == identities()
    assert not {*identities(weight_decay=0.1).values()} & {*identities().values()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_decay": 50.0}, "weight_decay must be below 1 / learning_rate, got 50"),
        ({"num_steps": 1}, "num_steps must be at least 2, got 1"),
        ({"momentum": 1.0}, "momentum must be > 0 and < 1, got 1"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"model": {"dropout": 0.5}}, "model must be a VGG without dropout, got"),
        ({"seeds": (-1,)}, "seeds must be one or more different numbers from 0 to"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(SMOKE, **changes)
