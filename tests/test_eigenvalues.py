"""The largest eigenvalues along a training: against a dense Hessian, and claims, table and figure on data made by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_readable
from jax.flatten_util import ravel_pytree
from runs import ORIGIN

from bnjax import objective, train
from bnjax.data import take_batch
from bnjax.runs import config_dict
from experiments import eigenvalues
from experiments._config import Eigenvalues, MLPRun, NoNorm, Schedule, change
from experiments._evidence.keep import check_needs, keep
from experiments._evidence.verdict import judge
from experiments._training.probes.eigenvalues import make_eigenvalues, top_of
from experiments._training.tasks import make_task
from experiments.eigenvalues import figure, quantities, table
from experiments.eigenvalues.claims import CLAIMS

pytestmark = pytest.mark.slow

CPU = eigenvalues.PRESETS["cpu"]
TINY = change(
    MLPRun().measuring("eigenvalues"),
    data={"dataset": "digits", "preprocessing": "unit"},
    model={"hidden": (6, 5), "activation": "relu", "kernel_init": "he_normal", "kernel_scale": 1.0},
    optimizer={"batch_size": 16, "learning_rate": 0.1},
    schedule=Schedule(num_steps=20, eval_every=20, probe_every=10),
    probes={"eigenvalues": {"num_examples": 40, "tolerance": 0.001}},
)


@pytest.mark.thorough
def test_a_quadratic_has_its_own_eigenvalues():
    """The ten largest ones, and shares that are the gradient's squared entries."""
    values = jnp.arange(1.0, 13.0)
    found, shares = top_of(lambda w: 0.5 * jnp.sum(values * w**2), jnp.ones(12), Eigenvalues(tolerance=1e-4))
    np.testing.assert_allclose(found, np.arange(12, 2, -1), rtol=1e-3)
    np.testing.assert_allclose(shares, np.arange(12, 2, -1) ** 2 / np.sum(np.arange(1, 13) ** 2), rtol=1e-2)


def test_what_has_not_converged_is_not_known():
    """With as few products as there may be, some pairs are NaN, and so is their share."""
    values = jnp.linspace(1.0, 1.1, 400)
    settings = Eigenvalues(tolerance=1e-6, max_matvecs=20)
    found, shares = top_of(lambda w: 0.5 * jnp.sum(values * w**2), jnp.ones(400), settings)
    assert np.isnan(found).any()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(shares))


@cache
def measured(has_norm):
    """Measure the tiny net at its start, and return it with what was measured."""
    run = TINY if has_norm else change(TINY, norm=NoNorm())
    task = make_task(run.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), take_batch(split, jnp.arange(1)).inputs)
    (settings,) = run.probes
    probe = make_eigenvalues(settings, run, task.trainer, 1.0)
    return task, state, split, probe.measure(state, split)


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize(("has_norm", "prefix"), [(False, ""), (True, ""), (True, "frozen_")])
def test_eigenvalues_are_those_of_the_dense_hessian(has_norm, prefix):
    """Of the first examples in one batch, with its own statistics or with running ones that stay."""
    task, state, split, record = measured(has_norm)
    batch = take_batch(split, jnp.arange(40))
    statistics = "running" if prefix else "batch"
    loss_fn = objective.make_loss_fn(task.trainer.model, state.batch_stats, batch, statistics=statistics)
    flat, unravel = ravel_pytree(state.params)
    hessian = np.asarray(jax.hessian(lambda w: loss_fn(unravel(w)))(flat), np.float64)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    np.testing.assert_allclose(record[f"{prefix}eigenvalues"], values[::-1][:10], rtol=2e-3)
    gradient = np.asarray(ravel_pytree(jax.grad(loss_fn)(state.params))[0], np.float64)
    shares = (vectors[:, ::-1][:, :10].T @ gradient) ** 2 / np.sum(gradient**2)
    assert sum(record[f"{prefix}shares"]) == pytest.approx(shares.sum(), rel=1e-2)


def test_without_statistics_there_is_one_loss():
    """A net without a normaliser has nothing that is kept."""
    assert {*measured(False)[-1]} == {"eigenvalues", "shares"}
    assert {*measured(True)[-1]} == {"eigenvalues", "shares", "frozen_eigenvalues", "frozen_shares"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_examples": 0}, "num_examples must be at least 1, got 0"),
        ({"tolerance": 1.0}, "tolerance must be > 0 and < 1, got 1"),
        ({"max_matvecs": 19}, "max_matvecs must be at least 20, got 19"),
    ],
)
def test_misfits_of_the_probe(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        Eigenvalues(**changes)


def test_the_norm_must_be_batch_norm():
    """Whose effect is measured."""
    with pytest.raises(ValueError, match="norm must be batch, whose effect is measured, got none"):
        change(CPU, norm=NoNorm())


@pytest.mark.parametrize("preset", eigenvalues.PRESETS)
def test_presets_can_be_trained(preset):
    """Everything that claims and pictures need is measured, at step 0 and after it."""
    config = eigenvalues.PRESETS[preset]
    groups = eigenvalues.groups(config)
    check_needs(config, groups, eigenvalues.KEEP)
    assert [*groups["arms"]] == ["plain", "batch_norm"]
    assert config.schedule.num_steps > config.schedule.probe_every


def made(isolation=0.5, share=0.3, start=2.0, kept=3.0, rises=True, steps=(0, 200)):
    """Make data of nets with batch norm that differ from those without.

    Args:
        isolation: of the largest eigenvalue, with batch norm over without.
        share: of the gradient, with batch norm; without it is 0.8.
        start: largest eigenvalue at step 0, with batch norm over without.
        kept: isolation with kept statistics over that with the batch's own.
        rises: whether the isolation without batch norm is larger after step 0 than at step 0.
        steps: of the measurements.
    """

    def values(largest, ratio):
        return [largest, *[largest / ratio] * 9]

    def run(seed, net):
        with_norm = net == "batch_norm"
        first = values(start if with_norm else 1.0, 5.0 if rises else 20.0)
        later = values(10.0 * (isolation if with_norm else 1.0), 10.0 * (isolation if with_norm else 1.0))
        found = {"eigenvalues": [first, later], "shares": [[0.1 * (share if with_norm else 0.8)] * 10] * 2}
        if with_norm:
            found["frozen_eigenvalues"] = [first, values(10.0 * isolation * kept, 10.0 * isolation * kept)]
            found["frozen_shares"] = [[0.05] * 10] * 2
        return {
            "seed": seed,
            "diverged_at": None,
            "train": {"step": [0, 200], "window": 200, "loss": [2.0, 1.5], "accuracy": [0.2, 0.4]},
            "test": {"step": [400], "loss": [1.5], "accuracy": [0.4]},
            "eigenvalues": {"step": [*steps], **found},
        }

    arms = {net: [run(seed, net) for seed in (0, 1, 2)] for net in ("plain", "batch_norm")}
    data = {"config": config_dict(CPU), "arms": arms, "preset": "cpu", "provenance": [ORIGIN], "seconds": 9.0}
    return keep(data, eigenvalues.KEEP)


def verdicts(data):
    """Judge every claim."""
    return {claim.name.removeprefix("eigenvalues_"): judge(claim, data) for claim in CLAIMS}


def test_claims_go_either_way():
    """Where batch norm suppresses isolated eigenvalues and the gradient's share they hold, and else they do not."""
    held = verdicts(made())
    assert {name for name, found in held.items() if found.verdict != "supported"} == set()
    other = verdicts(made(isolation=2.0, share=0.9, start=0.5, kept=0.5, rises=False))
    assert {name for name, found in other.items() if found.verdict != "contradicted"} == {"concentrated"}
    assert held["isolated"].values == pytest.approx((0.5,) * 3)
    assert held["gradient"].values == pytest.approx((0.375,) * 3)
    assert held["kept"].values == pytest.approx((3.0,) * 3)
    assert held["rapid"].values == pytest.approx((2.0,) * 3)


def test_what_was_not_found_decides_nothing():
    """A pair that did not converge leaves its claims without a number, and the others with theirs."""
    data = made()
    for run in data["arms"]["plain"]:
        run["eigenvalues"]["eigenvalues"][1][9] = run["eigenvalues"]["shares"][1][9] = None
    found = verdicts(data)
    assert found["isolated"].verdict == found["gradient"].verdict == "inconclusive"
    assert found["largest"].verdict == "supported"


def test_words_and_figure():
    """The table has a row for every quantity; both forms of the figure are drawn; nothing is said of what is missing."""
    data = made()
    words = table.summarise(data)
    for name in ("largest, step 0", "largest / tenth, later", "gradient's share, kept statistics"):
        assert any(line.startswith(name) for line in words.splitlines()), name
    assert "to the tenth is, with batch norm, 0.50 times that of the plain net" in table.findings(data)
    for narrow in (False, True):
        assert_readable(figure.plot(data).draw(narrow=narrow))
    run = data["arms"]["batch_norm"][0]
    np.testing.assert_allclose(quantities.last(run, "shares"), 0.03)
    assert quantities.last(run, "nothing").size == 0
