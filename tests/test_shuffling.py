"""Shuffles with batch norm: optima against least squares in NumPy, SGD against its own steps, claims, and how it is run."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_readable
from faked import measured_of

from bnjax.runs import config_dict
from experiments import shuffling
from experiments._command import cli
from experiments._config import Options, change
from experiments._evidence.verdict import judge
from experiments._report import known
from experiments._training.errors import ConfigError
from experiments.shuffling import figure, quantities, runs, table
from experiments.shuffling.claims import CLAIMS

SMOKE = shuffling.PRESETS["smoke"]
TINY = change(SMOKE, num_examples=12, num_features=3, batch_sizes=(2, 4), num_epochs=2000, learning_rate=0.002)
pytestmark = pytest.mark.xdist_group("shuffling")  # one worker: they share what was measured


@pytest.fixture(scope="module")
def data():
    """Preset smoke."""
    return {
        "experiment": "shuffling",
        "preset": "smoke",
        "config": config_dict(SMOKE),
        **measured_of("shuffling"),
    }


def normalised(inputs):
    """Normalise a batch, in NumPy."""
    return (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)


def least_squares(toy, batches):
    """Fit all examples, each with the inputs that it has in its batch."""
    inputs = np.concatenate([normalised(np.asarray(toy.inputs)[rows]) for rows in batches])
    labels = np.concatenate([np.asarray(toy.labels)[rows] for rows in batches])
    return np.linalg.lstsq(inputs, labels, rcond=None)[0]


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_optima_are_least_squares(seed, x64):
    """Of one shuffle, of each of several, of all together, and of all examples in one batch."""
    toy = runs.draw(TINY, jax.random.key(seed))
    rows = runs.shuffles(jax.random.key(9), 5, 12, 4)
    np.testing.assert_array_equal(np.sort(rows.reshape(5, -1)), np.broadcast_to(np.arange(12), (5, 12)))
    each = runs.optimum_of_each(toy, rows, True)
    for found, shuffle in zip(each, np.asarray(rows), strict=True):
        np.testing.assert_allclose(found, least_squares(toy, shuffle), rtol=1e-9)
    everything = np.asarray(rows).reshape(-1, 4)
    np.testing.assert_allclose(runs.optimum(toy, rows, True), least_squares(toy, everything), rtol=1e-9)
    whole = np.arange(12)[None]
    np.testing.assert_allclose(runs.optimum(toy, jnp.asarray(whole)[None], True), least_squares(toy, whole), rtol=1e-9)


def test_pairs_have_a_closed_form(x64):
    """Of two examples the larger becomes 1, the smaller -1: one weight is half the mean difference of their labels."""
    toy = runs.Data(jnp.array([[1.0], [4.0], [2.0], [7.0]]), jnp.array([0.0, 3.0, -2.0, -1.0]))
    found = {}
    for first, second in itertools.permutations(range(4), 2):
        rows = jnp.array([[[first, second], [*{0, 1, 2, 3} - {first, second}]]])
        found[frozenset((first, second))] = float(runs.optimum(toy, rows, True)[0])
    # (3 - 0) / 2 and (-1 + 2) / 2; (-2 - 0) / 2 and (-1 - 3) / 2; (-1 - 0) / 2 and (3 + 2) / 2
    assert found[frozenset((0, 1))] == pytest.approx(1.0)
    assert found[frozenset((0, 2))] == pytest.approx(-1.5)
    assert found[frozenset((0, 3))] == pytest.approx(1.0)
    many = runs.optimum(toy, runs.shuffles(jax.random.key(0), 6000, 4, 2), True)
    assert float(many[0]) == pytest.approx(0.5 / 3, abs=0.05)


def test_without_batch_norm_all_shuffles_have_one_optimum(x64):
    """That of gradient descent, to rounding."""
    toy = runs.draw(TINY, jax.random.key(0))
    descent = np.linalg.lstsq(np.asarray(toy.inputs), np.asarray(toy.labels), rcond=None)[0]
    each = runs.optimum_of_each(toy, runs.shuffles(jax.random.key(9), 4, 12, 2), False)
    np.testing.assert_allclose(each, np.broadcast_to(descent, (4, 3)), rtol=1e-9)


def test_sgd_takes_its_own_steps_and_ends_at_the_optimum(x64):
    """The first epoch as in the definition; many epochs of one shuffle end at its optimum, not at gradient descent's."""
    toy = runs.draw(TINY, jax.random.key(3))
    rows = runs.shuffles(jax.random.key(4), 1, 12, 4)
    path = runs.descend(toy, jnp.repeat(rows, TINY.num_epochs, axis=0), TINY.learning_rate, is_normalised=True)
    weights = np.zeros(3)
    for batch in np.asarray(rows[0]):
        z = normalised(np.asarray(toy.inputs)[batch])
        weights = weights - TINY.learning_rate * z.T @ (z @ weights - np.asarray(toy.labels)[batch]) / 4
    np.testing.assert_allclose(path[0], weights, rtol=1e-9)
    own, whole = runs.optimum(toy, rows, True), runs.optimum(toy, jnp.arange(12)[None, None], True)
    assert np.linalg.norm(path[-1] - own) < 0.1 * np.linalg.norm(own - whole)


def test_the_risk_of_gradient_descent_is_the_least(x64):
    """With all examples in one batch; elsewhere it grows with the square of the distance."""
    toy = runs.draw(TINY, jax.random.key(0))
    descent = runs.optimum(toy, jnp.arange(12)[None, None], True)
    risks = [float(runs.excess_risk(toy, True, descent, descent + step)) for step in (0.0, 0.1, -0.2)]
    assert risks[0] == 0
    assert risks[2] == pytest.approx(4 * risks[1])


@pytest.mark.thorough
def test_distortion_is_one_of_batch_norm(data):
    """Every claim about optima is supported, and without batch norm distances are rounding."""
    found = {claim.name: judge(claim, data) for claim in CLAIMS}
    for name in ("fixed_end", "again_end", "distinct", "distorted", "again_distorted", "risk", "larger", "apart"):
        assert found[f"shuffle_{name}"].verdict == "supported", name
    for run in data["arms"]["plain"]:
        assert max(run["sizes"]["fixed"] + run["sizes"]["again"]) < 1e-12


def test_measures_of_sizes_and_ends():
    """The smallest and the largest batch are read wherever they stand; what was not measured is named."""
    run = {"sizes": {"batch_size": [4, 2], "fixed": [0.1, 0.4]}, "ends": {"fixed_to_fixed": 0.02, "optima": 0.5}}
    assert quantities.smallest(quantities.FIXED).of(run) == 0.4
    assert quantities.change(quantities.FIXED).of(run) == 0.25
    assert quantities.at_size(quantities.FIXED, 4).of(run) == 0.1
    assert quantities.end("fixed_to_fixed", "optima").of(run) == 0.04
    assert quantities.at_size(quantities.FIXED, 8).of(run).reason.startswith("not measured: distance")
    assert quantities.change(quantities.FIXED).of({}).reason.startswith("not measured: distance")
    assert quantities.end("fixed_to_again").of(run).reason.startswith("not measured: distance of SGD")


@pytest.mark.thorough
def test_words_and_figure(data):
    """The table has a row for every optimum, the set-up names the toy, and both forms of the figure can be read."""
    words = table.summarise(data)
    assert "with BN: one shuffle" in words
    assert "as far from gradient descent's as that of new shuffles" in table.findings(data)
    setup = judge(CLAIMS[0], data).setup.words
    assert setup == "Linear regression, 64 examples of 16 features, batches of 2 to 32, float64, 9,600 steps, 3 seeds"
    for narrow in (False, True):
        assert_readable(figure.plot(data).draw(narrow=narrow))


@pytest.mark.thorough
def test_nothing_is_trained_with_runs(data):
    """There are no nets to train; several processes are refused; seeds do not count for what is known."""
    assert cli.nets_of(shuffling, SMOKE, Options()) == {}
    with pytest.raises(ConfigError, match="distributed must be left out"):
        cli._collect(shuffling, SMOKE, Options(distributed=True), [])

    def identities(**changes):
        return known.identities("shuffling", {**data, "config": config_dict(change(SMOKE, **changes))})

    assert identities(seeds=(5, 6)) == identities()
    assert not {*identities(noise=0.5).values()} & {*identities().values()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_sizes": (2, 5)}, "batch_sizes must be divisors of num_examples, 64, from 2, got"),
        ({"batch_sizes": (2, 2)}, "batch_sizes must be one or more different numbers, got"),
        ({"batch_sizes": ()}, "batch_sizes must be one or more different numbers, got"),
        ({"num_features": 32}, "num_features must be below 32, so that weights are unique, got 32"),
        ({"noise": 0.0}, "noise must be > 0 and finite, got 0"),
        ({"learning_rate": 0.1}, "learning_rate must be > 0 and < 0.0625, got 0.1"),
        ({"num_epochs": 1}, "num_epochs must be at least 2, got 1"),
        ({"seeds": (-1,)}, "seeds must be one or more different numbers from 0 to"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(SMOKE, **changes)
