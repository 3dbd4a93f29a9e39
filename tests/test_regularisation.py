"""Ghost batches and dropout: the nets, what is measured of them, and what the claims make of it."""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn
from runs import as_read, make_run

from bnjax import data, linen, models, probes, train
from bnjax.adapters import from_linen
from experiments._config import BatchNorm, Generalisation, GhostBatchNorm, MLPRun, NoNorm, change
from experiments._evidence.verdict import judge
from experiments._training.probes.generalisation import make_generalisation
from experiments.regularisation import PRESETS, by_dropout, by_size, groups
from experiments.regularisation.claims import CLAIMS, gap_at
from experiments.regularisation.table import findings

KEY = jax.random.key(0)
CLAIM = {claim.name: claim for claim in CLAIMS}


class Net(nn.Module):
    """A dense layer, batch norm in ghosts, and dropout behind it."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        norm = linen.GhostBatchNorm(ghost_size=4, running_var="whole_batch", use_running_average=not train)
        x = norm(nn.Dense(6, name="dense")(x))
        return nn.Dense(3, name="logits")(nn.Dropout(0.5, deterministic=not train)(x))


def softmax_loss(logits, labels):
    """Compute cross-entropy and accuracy in float64."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return losses.mean(), (logits.argmax(axis=1) == labels).mean()


@pytest.mark.slow
def test_images_are_normalised_in_three_ways_and_nothing_is_dropped():
    """By hand, in float64: ghosts of 4 in training mode, running statistics, and the moments of all training images."""
    keys = jax.random.split(KEY, 4)
    splits = [
        data.from_arrays(jax.random.normal(k, (18, 5)) * 3 + 1, jax.random.randint(k, (18,), 0, 3)) for k in keys[:2]
    ]
    model = from_linen(Net())
    trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=8)
    state = train.init_state(trainer, KEY, splits[0].images[:1])
    stats = jax.tree.map(lambda leaf: leaf + 0.5, state.batch_stats)
    config = MLPRun(norm=GhostBatchNorm(ghost_size=4))
    probe = make_generalisation(Generalisation(num_examples=17), config, trainer, 1.0)
    found = probe.measure(state.replace(batch_stats=stats), data.Dataset(*splits))

    def wide(leaf):
        return np.asarray(leaf, np.float64)

    params = jax.tree.map(wide, state.params)
    hidden = [wide(split.images[:16]) @ params["dense"]["kernel"] + params["dense"]["bias"] for split in splits]

    def expected(h, mean, var, split):
        logits = (h - mean) / np.sqrt(var + 1e-5) @ params["logits"]["kernel"] + params["logits"]["bias"]
        return softmax_loss(logits, np.asarray(split.labels[:16]))

    def by_ghost(h, statistic):
        return statistic(h.reshape(4, 4, 6), axis=1).repeat(4, axis=0)

    (running,) = stats.values()
    # Each ghost of the training images weighs alike, so that the moments of all are those of the population.
    population = hidden[0].mean(0), hidden[0].var(0)
    wanted = {
        "train": expected(hidden[0], by_ghost(hidden[0], np.mean), by_ghost(hidden[0], np.var), splits[0]),
        "batch": expected(hidden[1], by_ghost(hidden[1], np.mean), by_ghost(hidden[1], np.var), splits[1]),
        "running": expected(hidden[1], wide(running["mean"]), wide(running["var"]), splits[1]),
        "population": expected(hidden[1], *population, splits[1]),
    }
    for images, (loss, accuracy) in wanted.items():
        np.testing.assert_allclose(found[f"{images}_loss"], loss, rtol=1e-5)
        np.testing.assert_allclose(found[f"{images}_accuracy"], accuracy, rtol=1e-6)


@pytest.mark.thorough
def test_dropout_stands_after_the_last_normaliser():
    """Behind the ReLU of the last normaliser of a VGG half of the units are dropped, and the others doubled."""
    config = models.VGGConfig(width=1 / 64, dropout=0.5, norm=partial(linen.BatchNorm, momentum=0.9))
    model, x = models.make_model(config), jax.random.normal(KEY, (16, 8, 8, 1))
    variables = model.init(KEY, x)
    found = probes.capture(model, variables, x, ["norm_10", "Dropout_0"], train=True, rngs={"dropout": KEY})
    kept, whole = np.asarray(found["Dropout_0"]), np.maximum(found["norm_10"], 0)
    np.testing.assert_allclose(kept[kept != 0], 2 * whole[kept != 0], rtol=1e-6)
    assert 0.25 < np.mean(kept[whole > 0] == 0) < 0.75
    misfits: Any = (
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0."),
        ({"dropout": 0.1, "head": "mameli"}, 'dropout must be 0 with the head "mameli", which has its own, got 0.1.'),
    )
    for settings, message in misfits:
        with pytest.raises(ValueError, match=message):
            models.VGGShape(**settings)


def test_the_nets_differ_in_one_thing_each():
    """Ghosts, no normaliser, or dropout; all take steps of the same batches, from the same images."""
    config = PRESETS["cpu"]
    found = groups(config)
    assert [*found["arms"]] == ["plain", "ghost_4", "ghost_16", "ghost_64", "batch_norm"]
    assert [*found["dropout"]] == [f"{net}_{p}" for p in (0.1, 0.3, 0.5) for net in ("plain", "batch_norm")]
    for arm, run in found["arms"].items():
        same = change(run, norm=config.norm)
        assert same == config.run(), arm
    assert found["arms"]["plain"].norm == NoNorm()
    assert found["arms"]["ghost_16"].norm == GhostBatchNorm(ghost_size=16, running_var="whole_batch")
    assert found["dropout"]["batch_norm_0.3"].model.dropout == 0.3
    assert not found["dropout"]["plain_0.3"].probes.kinds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ghost_sizes": (3,)},
            r"ghost_sizes must be one or more different divisors of the batch size, 256, .*, got \(3,\)",
        ),
        ({"ghost_sizes": (256,)}, r"ghost_sizes must be .* and smaller, got \(256,\)"),
        ({"dropout_shares": (0.0,)}, r"dropout_shares must be one or more different numbers in \(0, 1\), got \(0.0,\)"),
        ({"model": {"dropout": 0.1}}, r"model\.dropout must be 0, which is the arm without it, got 0\.1"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(PRESETS["cpu"], **changes)


def test_ghosts_that_do_not_divide_the_batch_are_one_line():
    """Whatever experiment trains them, before anything is read."""
    run = MLPRun(norm=GhostBatchNorm(ghost_size=32))
    with pytest.raises(ValueError, match=r"norm\.ghost_size must be a divisor of the batch size, 60, got 32\."):
        run.check_layers()
    MLPRun(norm=BatchNorm()).check_layers()


def made(gaps, best, fitted=0.99):
    """Make data: the gap in batches of each size, and of each net the share of dropout that is best."""
    config = PRESETS["cpu"]

    def runs(arm, run):
        net, _, number = arm.rpartition("_")
        size = int(number) if net == "ghost" else 256
        share = run.model.dropout
        found = []
        for seed in run.seeds:
            made = make_run(run, seed, 0.01, {})
            made["train"]["accuracy"] = np.full(run.schedule.num_steps, fitted)
            accuracy = 0.6 - 0.1 * abs(share - best[run.norm.kind != "none"])
            made["test"] |= {"accuracy": np.full(len(made["test"]["step"]), accuracy)}
            made["test"] |= {"recalibrated_accuracy": made["test"]["accuracy"] + 0.01 * (size == 64)}
            if run.probes.kinds:
                made |= measured(gaps.get(size, 0.2), size)
            found.append(made)
        return found

    return as_read("regularisation", "cpu", config, groups(config), runs)


def measured(gap, size):
    """Make what is measured of a net at three steps: its loss falls by a factor of ten, the gap grows to its last value."""
    losses, share = [2.0, 1.0, 0.1], {4: 0.06, 16: 0.04, 64: 0.0}.get(size, 0.01)
    gaps = np.array([0.0, gap / 2, gap])
    train, batch = np.full(3, 0.9), 0.9 - gaps
    return {
        "generalisation": {
            "step": [0, 30, 450],
            "train_loss": losses,
            "train_accuracy": train,
            "batch_accuracy": batch,
            "population_accuracy": batch - share,
        },
        "landscape": {"step": [0], "smoothness": [[10.0 if size < 256 else 8.0] * 4]},
    }


def test_what_the_claims_make_of_known_gaps():
    """Gaps that grow with the size, an intermediate best, and less dropout with batch norm: each claim says so."""
    gaps = {4: 0.10, 16: 0.12, 64: 0.13, 256: 0.16}
    found = {name: judge(claim, made(gaps, {True: 0.1, False: 0.3})) for name, claim in CLAIM.items()}
    value = {name: judgement.median for name, judgement in found.items()}
    assert value["ghost_gap"] == pytest.approx(0.06)
    assert value["ghost_gap_each"] == pytest.approx(0.01)
    # Half way from 1 to 0.1 in the logarithm, times the share that log 0.5 is of it.
    assert value["ghost_gap_half"] == pytest.approx(0.06 * (0.5 + 0.5 * np.log10(2)))
    assert value["ghost_gap_tenth"] == pytest.approx(0.06)
    # Test errors with statistics of the population: 0.26, 0.26, 0.23 and 0.27.
    assert value["ghost_best"] == pytest.approx(0.03)
    assert value["ghost_inconsistent"] == pytest.approx(-0.05)
    assert value["ghost_rough"] == pytest.approx(1.25)
    assert value["ghost_generalises"] == pytest.approx(0.01)
    assert value["dropout_less"] == value["dropout_optimum"] == pytest.approx(-0.2)
    assert value["dropout_gains"] == value["dropout_removed"] == pytest.approx(0.01)
    assert value["dropout_costs"] == pytest.approx(-0.03)
    assert {found[name].verdict for name in ("ghost_gap", "ghost_best", "dropout_less", "dropout_costs")} == {
        "supported"
    }
    assert {found[name].verdict for name in ("dropout_optimum", "dropout_removed")} == {"contradicted"}


def test_what_the_data_cannot_decide_says_what_it_needs():
    """A loss that was not reached, nets that do not fit their images, and too few sizes."""
    data = made({}, {True: 0.1, False: 0.3}, fitted=0.4)
    assert judge(CLAIM["dropout_less"], data).reason == "needs a training accuracy of 90 % without dropout, not reached"
    run = by_size(data)[4][0]
    assert getattr(gap_at(0.01).of(run), "reason", "") == "needs a loss of 0.01 on training images, not reached"
    assert gap_at(3.0).of(run) == 0
    few = {**data, "config": {**data["config"], "ghost_sizes": [4]}}
    assert judge(CLAIM["ghost_best"], few).reason == "needs batches of 3 sizes, has 2"
    assert [*by_dropout(data)] == [0.0, 0.1, 0.3, 0.5]
    assert "With statistics of 4, 16, 64 and 256 examples" in findings(data)
