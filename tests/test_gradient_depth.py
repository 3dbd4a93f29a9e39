"""The experiment on gradients and depth: its numbers, against what a library without it finds, and its claims."""

import dataclasses

import committed
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax.runs import config_dict
from experiments import gradient_depth
from experiments._config import Options, change
from experiments._evidence.keep import keep
from experiments._evidence.verdict import judge
from experiments._training.experiment import train_all
from experiments.gradient_depth import figure, table
from experiments.gradient_depth.claims import CLAIMS, GROWTH, SECOND

CONFIG = change(
    gradient_depth.PRESETS["smoke"], model={"hidden": (64,)}, depths=(12,), scales=(0.5, 1.0), seeds=(0, 1, 2)
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Nets of twelve layers on digits."""
    options = Options(results=str(tmp_path_factory.mktemp("depth")))
    found = keep(train_all(gradient_depth.groups(CONFIG), options), gradient_depth.KEEP)
    return {**found, "config": config_dict(CONFIG), "preset": "smoke"}


def at_start(quantity, runs):
    """Measure runs before their first step."""
    return [quantity.median(0, 0).of(run) for run in runs]


class Deep(nn.Module):
    """The same net in plain Flax."""

    @nn.compact
    def __call__(self, x):
        """Compute logits."""
        for layer in range(12):
            x = nn.Dense(64, kernel_init=nn.initializers.he_normal(), name=f"dense_{layer + 1}")(x)
            x = nn.relu(nn.BatchNorm(use_running_average=False, epsilon=1e-5)(x))
        return nn.Dense(10, kernel_init=nn.initializers.he_normal(), name="dense_13")(x)


@pytest.mark.thorough
def test_growth_is_that_of_flax(data):
    """A net in plain Flax, on noise, has gradients that grow as much per layer."""
    x, labels = jax.random.normal(jax.random.key(1), (64, 64)), jnp.arange(64) % 10
    growths = []
    for seed in range(3):
        variables = Deep().init(jax.random.key(seed), x)

        def loss_fn(params, variables=variables):
            logits, _ = Deep().apply({**variables, "params": params}, x, mutable=["batch_stats"])
            return -jnp.mean(jnp.take_along_axis(nn.log_softmax(logits), labels[:, None], axis=1))

        gradient = jax.grad(loss_fn)(variables["params"])
        first, last = (jnp.linalg.norm(gradient[f"dense_{layer}"]["kernel"]) for layer in (2, 12))
        growths.append(float((first / last) ** 0.1))
    found = at_start(GROWTH, data["arms"]["batch_norm_12_1"])
    np.testing.assert_allclose(np.median(found), np.median(growths), rtol=0.05)


@pytest.mark.thorough
def test_scale_is_a_factor_per_layer_without_batch_norm_alone(data):
    """Weights half as large halve the plain net's gradient at every layer; with batch norm they leave it as it is."""
    for net, factor in (("plain", 0.5), ("batch_norm", 1.0)):
        half, usual = (at_start(SECOND, data["arms"][f"{net}_12_{scale:g}"]) for scale in (0.5, 1.0))
        np.testing.assert_allclose(np.divide(half, usual) ** (1 / 12), factor, rtol=0.1)


@pytest.mark.thorough
def test_words_and_claims(data):
    """Table and findings name nets and steps; claims say where data are too shallow, too short or lack a scale."""
    assert "with BN, 12 layers, weights x 0.5" in table.summarise(data)
    assert "growth, step 10" in table.summarise(data)
    assert "of weights of 0.5 and 1 times the usual scale" in table.findings(data)
    judged = {claim.name: judge(claim, data) for claim in CLAIMS}
    assert "beyond the 10 nearest to the output" in judged["depth_growth"].reason
    assert judged["depth_later"].reason == "needs 100 steps, ran 11"
    assert judged["depth_scale"].reason == "these data have no runs of BN, 12 layers, weights x 2"
    assert len(figure.plot(data).draw().axes) == 4


def test_claims_about_scale_compare_the_deepest_net_from_weights_twice_as_large():
    """Wherever these stand among the depths and scales."""

    def runs(second, depth):
        gradients = {"step": [0], "norm": [[1.0, second, *[1.0] * (depth - 1)]]}
        return [{"seed": 0, "diverged_at": None, "gradients": gradients}]

    nets = {(4, 1): 1.0, (6, 2): 2.0**6, (6, 1): 1.0, (6, 3): 3.0**6}
    arms = {f"{net}_{n}_{s}": runs(x, n) for net in ("plain", "batch_norm") for (n, s), x in nets.items()}
    for claim in CLAIMS[-2:]:
        assert claim.statistic.of({"config": {"depths": (4, 6)}, "arms": arms}) == {0: pytest.approx(2.0)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": (2,)}, "depths must be one or more different numbers from 3, got"),
        ({"scales": (0.5, 2.0)}, "scales must be different numbers > 0 and finite, 1 among them, got"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_the_range_after_one_step_is_that_before_times_a_number():
    """Of the committed data: the second hidden layer's gradient over the last one's, after the step and before it."""
    data = committed.read("gradient_depth")
    (claim,) = (claim for claim in CLAIMS if claim.name == "depth_first_step_range")
    norms = [np.array(run["gradients"]["norm"]) for run in data["first_step"]["batch_norm_50_1"]]
    before, after = (np.array([rows[step, 1] / rows[step, -2] for rows in norms]) for step in (0, 1))
    np.testing.assert_allclose([*claim.statistic.of(data).values()], after / before)
    assert (judge(claim, data).verdict, len(norms)) == ("supported", 3)
