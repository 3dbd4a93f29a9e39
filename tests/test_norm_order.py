"""Batch norm before and after the activation: the layers, units that are zero, and claims on data made by hand."""

import dataclasses
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import data, linen, models, probes, train
from bnjax.models.shared import activate
from bnjax.ops import max_pool_2x2
from experiments import norm_order
from experiments._config import BatchNorm, Images, MLPRun, NoNorm, ZeroUnits, change
from experiments._evidence.verdict import judge
from experiments._training.tasks import make_task
from experiments.norm_order import figure
from experiments.norm_order.claims import CLAIMS, DEAD_AT_END, ZERO_AT_END

ACTIVATIONS = {"relu": nn.relu, "sigmoid": nn.sigmoid, "tanh": jnp.tanh, "elu": nn.elu}


class Layer(nn.Module):
    """The normaliser, the activation and the pooling of one layer."""

    position: str
    activation: str

    @nn.compact
    def __call__(self, x):
        """Apply them in training."""
        fields = {"norm_position": self.position, "activation": self.activation, "norm_layers": "all"}
        config = SimpleNamespace(norm=linen.BatchNorm, **fields)
        return activate(config, 1, x, train=True, pool=max_pool_2x2)


@pytest.mark.parametrize("activation", norm_order.ACTIVATIONS)
def test_layers_are_the_formula(activation):
    """Pooling comes last, also where it is computed before the activation; scales may be negative."""
    x = jax.random.normal(jax.random.key(0), (5, 4, 4, 2))
    scale, bias, function = np.array([1.5, -2.0]), np.array([0.3, -0.1]), ACTIVATIONS[activation]
    params = {"norm_1": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}}
    batch_stats = {"norm_1": {"mean": jnp.zeros(2), "var": jnp.ones(2)}}

    def norm(y):
        mean, var = (of(y, axis=(0, 1, 2), keepdims=True) for of in (np.mean, np.var))
        return (y - mean) / np.sqrt(var + 1e-5) * scale + bias

    orders = {"before": lambda y: function(norm(y)), "after": lambda y: norm(np.asarray(function(y)))}
    for position, order in orders.items():
        variables = {"params": params, "batch_stats": batch_stats}
        actual, _ = Layer(position, activation).apply(variables, x, mutable=["batch_stats"])
        expected = np.asarray(order(np.asarray(x))).reshape(5, 2, 2, 2, 2, 2).max(axis=(2, 4))
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_a_vgg_normalises_what_its_activation_puts_out():
    """With batch norm after the activation, what is normalised are activations, in all hidden layers."""
    config = models.VGGConfig(width=1 / 64, norm=linen.BatchNorm, norm_position="after", activation="sigmoid")
    model, x = models.make_model(config), jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    variables = model.init(jax.random.key(0), x)
    inputs = probes.capture(model, variables, x, where="inputs")
    outputs = probes.capture(model, variables, x)
    for layer, weights in enumerate((*(f"conv_{n}" for n in range(1, 9)), "dense_9", "dense_10"), start=1):
        np.testing.assert_allclose(inputs[f"norm_{layer}"], nn.sigmoid(outputs[weights]), rtol=1e-6)
    np.testing.assert_array_equal(inputs["conv_2"], max_pool_2x2(outputs["norm_1"]))


def test_zero_share_counts():
    """Of each unit, over examples and pixels; a unit that is zero everywhere has exactly 1, whatever the number."""
    x = jnp.array([[[0.0, 1.0, -0.0], [2.0, 0.0, 0.0]], [[0.0, jnp.nan, 0.0], [0.0, 3.0, 0.0]]])
    np.testing.assert_array_equal(probes.zero_share(x), [0.75, 0.25, 1.0])
    assert np.asarray(probes.zero_share(jnp.zeros((999, 7, 1))))[0] == 1


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("position", ["before", "after"])
def test_dead_units_are_those_of_numpy(position):
    """A net computed in float64 has as many zeros, and the unit whose bias was made negative is dead."""
    model = {"hidden": (6, 5), "activation": "relu", "norm_position": position}
    config = change(MLPRun(data=Images("digits", "meanstd")), model=model)
    task, split = make_task(config.net(), None), data.load("digits", preprocessing="meanstd").test
    state = train.init_state(task.trainer, jax.random.key(3), jnp.zeros((1, 8, 8, 1)))
    name = "norm_1" if position == "before" else "dense_1"
    params = {**state.params, name: {**state.params[name], "bias": state.params[name]["bias"].at[2].set(-99.0)}}
    record = task.make_probe(ZeroUnits(images=200)).measure(state.replace(params=params), split)

    x = np.asarray(data.take_batch(split, jnp.arange(200)).inputs, np.float64).reshape(200, -1)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    shares = []
    for layer in (1, 2):
        weights, norm = params[f"dense_{layer}"], params[f"norm_{layer}"]
        x = x @ weights["kernel"] + weights["bias"]

        def normalise(y, norm=norm):
            return y / np.sqrt(1 + 1e-3) * norm["scale"] + norm["bias"]

        active = np.maximum(normalise(x) if position == "before" else x, 0)
        shares.append((active == 0).mean(axis=0))
        x = active if position == "before" else normalise(active)
    assert record["units"] == [6, 5]
    assert record["dead"] == [(share == 1).sum() for share in shares]
    assert record["dead"][0] >= 1
    np.testing.assert_allclose(record["zero"], [share.mean() for share in shares], rtol=1e-6)


def net(seed, test, dead=(0, 0)):
    """Make a run of two hidden layers of 4 and 12 units that ends at a test accuracy."""
    layers = {
        f"layer_{n}": {"units": [u], "dead": [d], "zero": [0.5]} for n, u, d in zip((2, 1), (12, 4), dead, strict=True)
    }
    curve = {"step": [*range(600)], "window": 1, "loss": [1.0] * 600, "accuracy": [test] * 600}
    measured = {
        "train": curve,
        "test": {"step": [600], "accuracy": [test]},
        "zero_units": {"step": [600], "layers": layers},
    }
    return {"seed": seed, "diverged_at": None, **measured}


def made(gain=0.02, spread=0.5, dead=(3, 0)):
    """Make data in which batch norm after the activation gains, and differs less between seeds, in the VGG alone."""
    noise = (0.0, 0.01, 0.0, 0.02, 0.0, 0.03)
    arms = {
        "before_relu": [net(seed, 0.5 + x) for seed, x in enumerate(noise)],
        "after_relu": [net(seed, 0.5 + x / 100 + gain + spread * x, dead) for seed, x in enumerate(noise)],
    }
    mlp = {name: [{**run, "test": {"step": [936], "accuracy": [0.9]}} for run in runs] for name, runs in arms.items()}
    return {"config": {}, "arms": arms, "mlp": mlp}


def judged(given):
    """Judge every claim."""
    return {claim.name.removeprefix("order_"): judge(claim, given) for claim in CLAIMS}


def test_claims():
    """Each is decided by the nets that it names; pairs of seeds are compared, and longer windows ask for more steps."""
    found = judged(made())
    assert found["before_part"].verdict == "contradicted"
    assert found["after"].reason == "needs 3,900 steps, ran 600"
    assert found["spread_part"].values == pytest.approx((0.51, 0.51, 0.51))
    assert found["spread_part"].setup.seeds == "3 seed pairs"
    assert found["dead"].values == pytest.approx((3 / 16,) * 6)
    assert found["dead"].verdict == "supported"
    assert found["relu_tanh"].reason == "these data have no runs of after, tanh"
    assert judged(made(spread=2.0))["spread_part"].verdict == "contradicted"
    assert judged(made(gain=0.1, spread=0.9))["after_part"].verdict == "contradicted"


def test_quantities_weigh_layers_by_their_units():
    """Dead units are counted; the share of zeros is a mean over units."""
    run = net(0, 0.5, dead=(6, 1))
    run["zero_units"]["layers"]["layer_1"]["zero"] = [0.9]
    assert DEAD_AT_END.of(run) == pytest.approx(7 / 16)
    assert ZERO_AT_END.of(run) == pytest.approx((12 * 0.5 + 4 * 0.9) / 16)
    np.testing.assert_allclose(figure.dead_by_layer(run), [1 / 4, 6 / 12])


def test_arms():
    """Both orders of every activation, and without scale and bias those that are named."""
    config = norm_order.PRESETS["cpu"]
    nets = norm_order.groups(config)
    assert set(nets["arms"]) == set(nets["mlp"])
    assert len(nets["arms"]) == 2 * 4 + 2
    one = nets["arms"]["after_fixed_relu"]
    assert (one.model.norm_position, one.model.activation, one.norm.affine) == ("after", "relu", False)
    module = one.norm.make()()
    assert not module.init(jax.random.key(0), jnp.ones((3, 2)), use_running_average=False).get("params")
    assert BatchNorm().make()() == linen.BatchNorm(momentum=0.9, epsilon=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activations": ()}, r"activations must be one or more of relu, sigmoid, tanh, elu, got \(\)"),
        ({"without_affine": ("relu", "relu")}, "without_affine must be different activations, got"),
        ({"vgg": {"norm": NoNorm()}}, "vgg.norm must be one that can do without scale and bias: .*, got none"),
        ({"vgg": {"model": {"activation": "gelu"}}}, "activation must be one of sigmoid, relu, tanh, elu, got 'gelu'"),
        ({"vgg": {"model": {"norm_position": "last"}}}, "norm_position must be one of before, after, got 'last'"),
    ],
)
def test_misfits(changes, message, as_a_user):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(norm_order.PRESETS["cpu"], **changes)


def test_probes_that_have_nothing_to_measure():
    """Units that are zero need an activation."""
    from experiments._config import DeepLinearRun

    with pytest.raises(
        ValueError, match=r"probes\.zero_units must be left out of nets without activations of their own"
    ):
        DeepLinearRun().measuring("zero_units").check_layers()
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        dataclasses.replace(ZeroUnits(), images=0)
