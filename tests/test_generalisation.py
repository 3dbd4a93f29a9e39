"""What goes with a small gap to the test: the probe, presets, and claims, table and figures on data made by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_readable
from flax import linen as nn
from runs import ORIGIN

from bnjax import data, linen, objective, probes, train
from bnjax.adapters import from_linen
from bnjax.runs import config_dict
from bnjax.types import Batch
from experiments import generalisation, regularisation
from experiments._config import BatchNorm, DeepLinearRun, Flatness, Generalisation, LSTMRun, MLPRun, NoNorm, change
from experiments._evidence.keep import check_needs, keep
from experiments._evidence.verdict import judge
from experiments._training.probes.flatness import REACHED, make_flatness
from experiments._training.probes.generalisation import make_generalisation, whole_batches
from experiments.generalisation import figure, quantities, table
from experiments.generalisation.claims import CLAIMS

CPU = generalisation.PRESETS["cpu"]
KEY = jax.random.key(3)
FIRST = Flatness(levels=(9.0, 0.5), num_examples=16, curvature_examples=16, num_vectors=2, num_directions=2)


class Net(nn.Module):
    """Two dense layers, named as a perceptron's, with batch norm between."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        x = nn.Dense(6, name="dense_1")(x)
        x = linen.BatchNorm(use_running_average=not train, name="norm_1")(x)
        return nn.Dense(3, name="dense_2")(nn.relu(x))


def tiny():
    """Make a trainer, its first state, and training and test images."""
    keys = jax.random.split(KEY, 4)
    splits = [
        data.from_arrays(jax.random.normal(k, (18, 5)) * 3 + 1, jax.random.randint(k, (18,), 0, 3)) for k in keys[:2]
    ]
    trainer = train.Trainer(from_linen(Net()), train.make_optimizer("sgd", 0.1), batch_size=8)
    return trainer, train.init_state(trainer, KEY, splits[0].images[:1]), data.Dataset(*splits)


@pytest.mark.thorough
def test_at_a_level_everything_is_measured():
    """By the library's own probes: two batches, each normalised by its own statistics, and the kernels of both layers."""
    trainer, state, dataset = tiny()
    found = make_flatness(FIRST, MLPRun(norm=BatchNorm()), trainer, 1.0).measure(state, dataset)
    images = make_generalisation(Generalisation(num_examples=16), MLPRun(norm=BatchNorm()), trainer, 1.0)
    for name, value in images.measure(state, dataset).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
    batches = [Batch(dataset.train.images[i : i + 8], dataset.train.labels[i : i + 8]) for i in (0, 8)]
    loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batches)
    np.testing.assert_allclose(found["sample_loss"], loss_fn(state.params), rtol=1e-5)
    np.testing.assert_allclose(found["train_loss"], loss_fn(state.params), rtol=1e-5)
    flat, unravel = jax.flatten_util.ravel_pytree(state.params)
    dense = np.asarray(jax.hessian(lambda w: loss_fn(unravel(w)))(flat), np.float64)
    largest = np.linalg.eigvalsh(dense)[-1]
    # The true eigenvalue is no further than the residual, and the tolerance is a share of it.
    assert found["residual"] <= FIRST.tolerance * found["eigenvalue"]
    np.testing.assert_allclose(found["eigenvalue"], largest, rtol=FIRST.tolerance)
    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(state.key, 7), state.step), 3)
    trace = probes.curvature.trace(loss_fn, state.params, key=keys[1], num_probes=2)
    np.testing.assert_allclose([found["trace"], found["trace_error"]], [trace.trace, trace.standard_error], rtol=1e-4)
    kernels = ["dense_1/kernel", "dense_2/kernel"]
    moved = probes.relative_sharpness(
        loss_fn, state.params, kernels, key=keys[2], radius=0.02, num_directions=2, alone=False
    )
    np.testing.assert_allclose([found["ascent"], found["random"]], [moved.ascent, moved.mean], rtol=1e-3, atol=1e-7)
    assert {*found} == {"train_loss", *REACHED}


def test_no_image_is_in_a_batch_twice():
    """A batch is as large as its split at most."""
    split = data.from_arrays(jnp.arange(5.0)[:, None], jnp.arange(5))
    for size, num, labels in ((8, 100, [[0, 1, 2, 3, 4]]), (2, 100, [[0, 1], [2, 3]]), (4, 1, [[0, 1, 2, 3]])):
        assert whole_batches(split, size, num).labels.tolist() == labels


@pytest.mark.slow
def test_only_the_first_measurement_at_a_level_counts():
    """A run that falls below a level is measured once; one that begins again, or goes on elsewhere, once more."""
    trainer, state, dataset = tiny()
    probe = make_flatness(FIRST, MLPRun(norm=BatchNorm()), trainer, 1.0)

    def measured(step, of=probe):
        found = of.measure(state.replace(step=jnp.asarray(step)), dataset)
        return found, not math.isnan(found["eigenvalue"])

    assert [measured(step)[1] for step in (0, 8, 16)] == [True, False, False]
    assert measured(0)[1], "the run begins again"
    assert not measured(8)[1]
    other = make_flatness(FIRST, MLPRun(norm=BatchNorm()), trainer, 1.0)
    records = [measured(0)[0], measured(8)[0], measured(16, other)[0]]
    assert not math.isnan(records[2]["eigenvalue"]), "measured once more where the run goes on in another process"
    kept = probe.collect([{"step": 8 * i, **record} for i, record in enumerate(records)])
    assert kept["eigenvalue"][0] == records[0]["eigenvalue"]
    assert kept["eigenvalue"][2] is None
    assert kept["train_loss"] == [record["train_loss"] for record in records]


def test_levels_are_reached_once_each():
    """A loss that skips a level reaches both; one that rises again reaches none; what is not finite, neither."""
    settings = Flatness(levels=(0.5, 0.1))
    losses, reached, lowest = [0.9, 0.4, 0.6, 0.3, 0.05, 0.2, math.nan], [], math.inf
    for loss in losses:
        reached.append(settings.are_reached(loss, lowest))
        lowest = min(lowest, loss)
    assert reached == [False, True, False, False, True, False, False]
    assert settings.are_reached(0.05, math.inf)


@pytest.mark.parametrize("preset", generalisation.PRESETS)
def test_presets_can_be_trained(preset):
    """Everything that claims and pictures need is measured, at measurements that there are."""
    config = generalisation.PRESETS[preset]
    groups = generalisation.groups(config)
    check_needs(config, groups, generalisation.KEEP)
    for run in groups["arms"].values():
        run.check_layers()
        assert run.schedule.num_steps >= config.schedule.probe_every
    alike = {
        change(run, norm=NoNorm(), optimizer={"learning_rate": 1.0}, schedule=config.schedule)
        for run in groups["arms"].values()
    }
    assert len(alike) == 1, "nets differ in normaliser, learning rate and number of steps alone"
    if preset != "smoke":
        families = [quantities.family(arm) for arm in groups["arms"]]
        assert [families.count(net) for net in ("plain", "batch_norm")] == [2, 4]
        assert quantities.MAIN in config.probes.flatness.levels
        assert {*config.probes.flatness.levels} <= {*quantities.LEVELS}


@pytest.mark.parametrize("preset", ["overnight", "paper"])
def test_some_of_its_nets_are_those_of_regularisation(preset):
    """The plain net, that with batch norm and those in ghosts, at the learning rate that these have there."""
    arms = generalisation.groups(generalisation.PRESETS[preset])["arms"]
    others = regularisation.groups(regularisation.PRESETS[preset])["arms"]
    same = {"plain_0.1": "plain", "batch_norm_0.1": "batch_norm"} | {f"ghost_{n}": f"ghost_{n}" for n in (4, 16, 64)}
    for name, other in same.items():
        assert arms[name].identity() == others[other].identity(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": NoNorm()}, "norm must be batch, whose effect is measured, got none"),
        ({"learning_rates": (0.1, 0.1)}, "learning_rates must be one or more different numbers > 0 and finite"),
        ({"larger_rates": (0.1,)}, r"larger_rates must be none, or different numbers above 0\.1 and finite, got"),
        (
            {"ghost_sizes": (5,)},
            "ghost_sizes must be one or more different divisors of the batch size, 64, and smaller",
        ),
        (
            {"optimizer": {"learning_rate": 0.2}},
            "optimizer.learning_rate must be one of .*, at which ghosts are compared",
        ),
        ({"optimizer": {"name": "adam"}}, "optimizer.name must be sgd, whose learning rates vary, got adam"),
        ({"plain_steps": 0}, "plain_steps must be at least 1, got 0"),
        ({"probes": {"flatness": {"levels": (0.5, 0.5)}}}, r"levels must be .*different.* > 0 and finite"),
        ({"probes": {"flatness": {"radius": 0.0}}}, "radius must be > 0 and finite, got 0"),
        ({"probes": {"flatness": {"num_vectors": 0}}}, "num_vectors must be at least 1, got 0"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(CPU, **changes)


# Of each net: its gap, and how much sharper it is than its gap says.
GAPS = {
    "plain_0.03": 0.70,
    "plain_0.1": 0.68,
    "batch_norm_0.03": 0.66,
    "batch_norm_0.1": 0.64,
    "batch_norm_0.3": 0.62,
    "batch_norm_1": 0.60,
    "ghost_16": 0.61,
    "ghost_32": 0.63,
}


def made(preset="cpu", sign=1.0, ghosts=1.0, lowest=0.05):
    """Make data of nets that are the sharper the larger their gap.

    Args:
        preset: whose configuration they have.
        sign: -1 makes them the flatter.
        ghosts: factor of the sharpness in ghosts.
        lowest: training loss at the last measurement.
    """
    config, arms = generalisation.PRESETS[preset], {}
    for arm in generalisation.groups(config)["arms"]:
        arms[arm] = []
        for seed in (0, 1, 2):
            gap = GAPS.get(arm, 0.65) + 0.001 * seed
            size = math.exp(sign * 20 * gap) * (ghosts if arm.startswith("ghost") else 1.0)
            at_level = {
                "train_accuracy": 0.98,
                "batch_accuracy": 0.98 - gap,
                "population_accuracy": 0.97 - gap,
                "batch_loss": 10 * gap,
                **dict.fromkeys(("eigenvalue", "trace", "ascent", "random"), size),
            }
            losses = [2.3, 0.6, 0.4, 0.3, lowest, 0.2]
            reached = [loss in (0.4, lowest) for loss in losses]
            known = {
                name: [(value if i > 2 else 2 * value) if here else None for i, here in enumerate(reached)]
                for name, value in at_level.items()
            }
            rest = dict.fromkeys({*REACHED} - {*at_level}, [None] * len(losses))
            arms[arm].append(
                {
                    "seed": seed,
                    "diverged_at": None,
                    "train": {"step": [0, 50], "window": 50, "loss": [2.0, 0.5], "accuracy": [0.2, 0.9]},
                    "test": {"step": [640], "loss": [2.5], "accuracy": [0.36]},
                    "flatness": {"step": [8 * i for i in range(len(losses))], "train_loss": losses, **known, **rest},
                }
            )
    data = {"config": config_dict(config), "arms": arms, "preset": preset, "provenance": [ORIGIN], "seconds": 9.0}
    return keep(data, generalisation.KEEP)


def verdicts(data):
    """Judge every claim."""
    return {claim.name.removeprefix("flat_"): judge(claim, data) for claim in CLAIMS}


def test_claims_go_either_way():
    """Where flat nets generalise they hold, and where sharp ones do, those of the other side."""
    flat, sharp = verdicts(made()), verdicts(made(sign=-1.0))
    for kind in ("eigenvalue", "trace", "ascent", "random"):
        assert flat[kind].values == pytest.approx((1.0,) * 3)
        assert (flat[kind].verdict, sharp[kind].verdict) == ("supported", "contradicted"), kind
        assert flat[f"{kind}_half"].verdict == "supported"
    for kind in ("eigenvalue", "ascent"):
        for name in (f"{kind}_none", f"{kind}_normed"):
            assert (flat[name].verdict, sharp[name].verdict) == ("contradicted", "supported"), name
    assert (flat["eigenvalue_loss"].verdict, sharp["eigenvalue_loss"].verdict) == ("supported", "contradicted")
    assert flat["relative"].verdict == "inconclusive", "both go with it as closely"
    assert (flat["norm"].verdict, flat["norm_not"].reason) == ("supported", "no case in 3 seeds")
    assert (flat["norm_trace"].verdict, sharp["norm_trace"].verdict) == ("supported", "contradicted")
    assert (sharp["norm"].verdict, sharp["norm_not"].verdict) == ("contradicted", "supported")
    assert (flat["norm_relative"].verdict, sharp["norm_relative"].verdict) == ("supported", "contradicted")
    assert (flat["rates_eigenvalue"].verdict, sharp["rates_eigenvalue"].verdict) == ("supported", "contradicted")
    assert flat["norm"].values == pytest.approx((math.exp(-20 * 0.04),) * 3, rel=1e-3)


def test_gaps_by_learning_rate_and_ghosts():
    """Differences of gaps by hand: with batch norm 4 points smaller at both rates, and 4 between its rates."""
    found = verdicts(made())
    for name in ("same_rate", "slow_rate", "large_rate"):
        assert found[name].values == pytest.approx((-0.04,) * 3), name
        assert found[name].verdict == "supported"
    assert found["same_rate_none"].verdict == found["slow_rate_none"].verdict == "contradicted"
    assert found["rates"].values == pytest.approx((-1.0,) * 3)
    # Smallest ratio of the eigenvalues in ghosts to that over the whole batch, whose gap is 0.64.
    assert found["ghosts"].values == pytest.approx((math.exp(-20 * 0.03),) * 3, rel=1e-3)
    assert found["ghosts"].verdict == "contradicted"
    assert verdicts(made(ghosts=3.0))["ghosts"].verdict == "supported"
    assert found["ghosts_generalise"].values == pytest.approx((0.03,) * 3)
    assert found["ghosts_generalise"].verdict == "supported"


def test_what_a_run_does_not_hold_is_named():
    """A loss that was not reached, too few nets, and a level that was never measured."""
    found = verdicts(made(lowest=0.2))
    assert found["eigenvalue"].reason == "needs a loss of 0.1 on training images, not reached"
    assert found["eigenvalue_half"].verdict == "supported"
    data = made()
    for runs in data["arms"].values():
        for run in runs:
            run["flatness"]["eigenvalue"] = [None] * 6
    assert verdicts(data)["eigenvalue"].reason == "needs a measurement at a loss of 0.1 on training images"
    few = made()
    few["arms"] = {arm: few["arms"][arm] for arm in ("plain_0.1", "batch_norm_0.1", "ghost_16")}
    assert verdicts(few)["eigenvalue"].reason == "needs 4 nets, has 3"
    few["arms"].pop("batch_norm_0.1")
    assert verdicts(few)["ghosts"].reason == "needs nets in ghosts, and one with batch norm over the whole batch"


def test_claims_count_for_the_hypothesis():
    """That rates matter speaks for learning rates; that flat nets generalise for nothing, as rates decide both."""
    sides = {claim.name: (claim.hypothesis, claim.side(holds=True), claim.side(holds=False)) for claim in CLAIMS}
    assert sides["flat_eigenvalue"] == ("smoothness", None, None)
    assert sides["flat_eigenvalue_none"] == ("smoothness", None, None)
    assert sides["flat_same_rate"] == ("regularisation", "for", "against")
    assert sides["flat_same_rate_none"] == ("learning rates", "for", None)
    assert sides["flat_large_rate"] == ("learning rates", "for", "against")
    assert sides["flat_relative"] == ("none", None, None)


def test_words():
    """A table for each training loss, rank correlations, and findings in the claims' numbers."""
    data = made()
    text = table.summarise(data)
    for words in (
        "At the first measurement with a training loss of at most 0.1:",
        "BN, ghosts of 16",
        "plain, learning rate 0.03",
    ):
        assert words in text
    rows = [line.split() for line in text.splitlines() if line.startswith("eigenvalue ")]
    assert rows[-1][1:5] == ["+1.00", "+1.00", "to", "+1.00"]
    said = table.findings(data)
    assert "+64.1 points (BN, learning rate 0.1)" in said
    assert "Hessian is +1.00, with the trace +1.00" in said
    assert "and with the learning rate" in said
    assert "∞" not in table.summarise(made("smoke"))


@pytest.mark.slow
@pytest.mark.parametrize("is_narrow", [False, True])
@pytest.mark.parametrize("preset", ["cpu", "smoke"])
def test_pictures_can_be_read(preset, is_narrow):
    """One for each training loss that was asked for."""
    data = made(preset)
    more = figure.more(data)
    assert [*more] == (["loss_0.5"] if preset == "cpu" else [])
    for layout in (figure.plot(data), *(make(data) for make in more.values())):
        assert_readable(layout.draw(narrow=is_narrow))


def test_it_moves_weights_by_layer():
    """Of a perceptron, too; other nets are refused in one line."""
    MLPRun().measuring("flatness").check_layers()
    for run in (LSTMRun(), DeepLinearRun()):
        with pytest.raises(
            ValueError, match=r"probes\.flatness must be left out of nets other than a VGG or a perceptron"
        ):
            run.measuring("flatness").check_layers()
