"""The subject on initialisation: every measure against a closed form or float64, its claims, and how it is run."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from faked import measured_of

from bnjax import linen, models, objective, probes
from bnjax.runs import config_dict
from bnjax.types import Variables
from experiments import initialisation
from experiments._command import cli, packing
from experiments._config import Options, change
from experiments._evidence.verdict import judge
from experiments._report import known
from experiments._training.errors import ConfigError
from experiments.initialisation import figure, quantities, runs, table
from experiments.initialisation.claims import CLAIMS

SMOKE = initialisation.PRESETS["smoke"]
pytestmark = pytest.mark.xdist_group("initialisation")  # one worker: they share what was measured


@pytest.fixture(scope="module")
def data():
    """Preset smoke."""
    return {
        "experiment": "initialisation",
        "preset": "smoke",
        "config": config_dict(SMOKE),
        **measured_of("initialisation"),
    }


def kernels(key, depth, width, fan_in):
    """Draw the weights of a deep net again."""
    keys = jax.random.split(jax.random.fold_in(key, 1), depth)
    sizes = [fan_in, *[width] * (depth - 1)]
    return [
        np.asarray(jax.random.normal(key, (size, width)) / jnp.sqrt(size), np.float64)
        for key, size in zip(keys, sizes, strict=True)
    ]


def normalised(net, z):
    """Normalise over the batch, in NumPy."""
    z = z - z.mean(axis=0) if net == "batch_norm" else z
    return z if net == "plain" else z / np.sqrt(np.mean(z**2, axis=0))


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_layers_are_products_of_random_matrices(seed):
    """In float64, of linear and ReLU nets, with batch norm, without centring, and without any; a factor plays no role."""
    key, inputs = jax.random.key(seed), jax.random.normal(jax.random.key(9), (5, 3))
    nets = tuple((net, activation) for net in ("plain", "batch_norm", "rescaled") for activation in ("linear", "relu"))
    measured = runs.by_layer(key, inputs, nets=nets, width=12, depth=6)
    for (net, activation), found in zip(nets, measured, strict=True):
        h = np.asarray(inputs, np.float64)
        for rank, kernel in zip(found["rank"], kernels(key, 6, 12, 3), strict=True):
            h = normalised(net, h @ kernel)
            h = np.maximum(h, 0) if activation == "relu" else h
            gram = h @ h.T
            np.testing.assert_allclose(rank, np.trace(gram) ** 2 / np.sum(gram**2), rtol=1e-3)


@pytest.mark.thorough
def test_a_product_of_random_matrices_collapses(data):
    """Without batch norm the soft rank is 1 after five layers per unit, of images and of inputs close to one line."""
    for activation in ("linear", "relu"):
        for run in data["representations"][f"plain_{activation}"]:
            rank = quantities.at_width(quantities.RANK, 8).of(run)
            assert np.isnan(rank) or rank == pytest.approx(1, abs=0.1)
    for run in data["orthogonality"]["plain"]:
        np.testing.assert_allclose(quantities.by_width(quantities.GAP)(run), np.sqrt(3) / 2, rtol=1e-3)


@pytest.mark.thorough
def test_centred_examples_are_not_orthogonal(data):
    """Of n examples with mean 0 the gap is at least 1 / (n (n - 1))^(1/2)."""
    for run in data["orthogonality"]["batch_norm"]:
        assert np.all(quantities.by_width(quantities.GAP)(run) > 1 / np.sqrt(12))
    found = probes.orthogonality_gap(jnp.eye(4) - 0.25)
    np.testing.assert_allclose(found, 1 / np.sqrt(12), rtol=1e-6)


def test_the_odd_example():
    """It is the one that differs from the others, wherever it stands; their cosines do not count it."""
    h = jnp.zeros((6, 4)).at[:, 0].set(2.0).at[3].set(jnp.array([0.0, 5.0, 0.0, 0.0]))
    found = runs._measured(h)
    np.testing.assert_allclose([found["others"], found["odd"]], [1, 0], atol=1e-6)
    np.testing.assert_allclose(found["rank"], (5 * 4 + 25) ** 2 / (20**2 + 25**2), rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("net", ["plain", "batch_norm", "batch_norm_output"])
def test_eigenvalues_are_those_of_the_dense_matrix(net):
    """The mean of JᵀJ over examples, with the Jacobian of the whole batch."""
    model, key = runs.make_perceptron(net, 5, 1, 2), jax.random.key(3)
    inputs = jax.random.normal(jax.random.key(4), (7, 5))
    params, batch_stats = model.init(jax.random.split(key)[0], inputs)

    def outputs(params):
        return model.apply(Variables(params, batch_stats), inputs, train=True)[0].ravel()

    jacobian = jax.tree.leaves(jax.jacrev(outputs)(params))
    flat = np.concatenate([np.asarray(leaf, np.float64).reshape(14, -1) for leaf in jacobian], axis=1)
    largest = np.linalg.eigvalsh(flat @ flat.T / 7)[-1]
    np.testing.assert_allclose(runs.largest_eigenvalue(model, inputs, 2, key), largest, rtol=1e-2)


def test_normalised_outputs_have_unit_variance():
    """Only those of the net whose last layer has batch norm."""
    inputs = jax.random.normal(jax.random.key(4), (64, 8))
    for net, is_normalised in (("batch_norm", False), ("batch_norm_output", True)):
        model = runs.make_perceptron(net, 8, 1, 2)
        outputs, _ = model.apply(model.init(jax.random.key(0), inputs), inputs, train=True)
        assert np.allclose(outputs.mean(axis=0), 0, atol=1e-5) == is_normalised
        assert np.allclose(outputs.var(axis=0), 1, atol=1e-3) == is_normalised


@pytest.mark.thorough
def test_branches_add_up_to_what_normalisers_see():
    """The shortcut of a block is what its first normaliser gets, in every stage."""
    config = models.ResNetConfig(num_blocks=2, width=3, norm=linen.BatchNorm)
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    model = models.make_model(config)
    variables = model.init(jax.random.key(0), images)
    skip, branch = runs.branch_sizes(config, variables, images)
    entering = probes.capture(model, variables, images, where="inputs")
    for block in (1, 3, 5):  # the second one of each stage, whose shortcut is the identity
        np.testing.assert_allclose(skip[block], jnp.mean(entering[f"norm_{2 * block + 1}"] ** 2), rtol=1e-5)
    assert branch.shape == (6,)
    assert np.all(branch > 0)


@pytest.mark.thorough
def test_with_skip_init_every_block_is_the_identity(data):
    """All branches are 0, to the bit; the shortcut stays within a stage."""
    for run in data["residual"]["skip_init"]:
        np.testing.assert_array_equal(run["blocks"]["ratio"], 0)
    config = models.ResNetConfig(num_blocks=3, width=2, skip_init=True)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    skip, _ = runs.branch_sizes(config, models.make_model(config).init(jax.random.key(0), images), images)
    np.testing.assert_array_equal(skip[:3], skip[0])


def glorot(shape):
    """Return the expected squared length of a VGG's weights: each has variance 2 / (fan-in + fan-out)."""
    model = models.make_model(models.VGGConfig(**vars(shape)))
    drawn = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    kernels = [layer["kernel"].shape for layer in drawn.params.values()]
    return sum(2 * math.prod(kernel) / (math.prod(kernel[:-2]) * sum(kernel[-2:])) for kernel in kernels)


@pytest.mark.slow
def test_the_penalty_is_that_of_the_objective():
    """Cross-entropy and penalty add up to the loss that scans have with an L2 penalty; lengths are added up in float64."""
    config, key = SMOKE.other_penalty, jax.random.key(3)
    batch = runs._images(None, config.data, config.batch_size, jax.random.fold_in(key, 0))
    loss = runs.penalty(config, lambda *_: batch, key)["plain"]["loss"]
    model = models.make_model(models.VGGConfig(**vars(config.model)))
    params, batch_stats = model.init(key, batch.inputs)
    assert batch.inputs.shape == (16, 8, 8, 1)
    square = sum(np.sum(np.asarray(leaf, np.float64) ** 2) for leaf in jax.tree.leaves(params))
    total = objective.make_loss_fn(model, batch_stats, batch, l2=5e-4)(params)
    logits = np.asarray(model.apply(Variables(params, batch_stats), batch.inputs, train=True)[0], np.float64)
    right = np.take_along_axis(logits, np.asarray(batch.labels)[:, None], axis=1)[:, 0]
    cross_entropy = np.mean(np.log(np.sum(np.exp(logits), axis=1)) - right)
    found = [loss[name] for name in ("cross_entropy", "squared_length", "penalty", "total")]
    np.testing.assert_allclose(found, [cross_entropy, square, 2.5e-4 * square, total], rtol=1e-4)
    np.testing.assert_allclose(square, glorot(config.model), rtol=0.02)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (initialisation.PUBLISHED_VGG, 7613),
        (dataclasses.replace(initialisation.PUBLISHED_VGG, depth="A"), 7421),
        (initialisation.VGG_A, 3439),
    ],
)
def test_expected_lengths(shape, expected):
    """Those that the claims name are sums over layers of 2 m n / (m + n)."""
    assert round(glorot(shape)) == expected


@pytest.mark.thorough
def test_the_published_loss_is_compared_with_its_own_net(data):
    """Another width, head or penalty decides nothing; the set-up comes from the data."""
    claim = next(claim for claim in CLAIMS if claim.name == "init_penalty")
    net = "VGG of 13 layers, hidden dense layers of 4,096 units"
    assert judge(claim, data).reason == f"needs a {net} at width 1"
    own = {**data["config"]["penalty"], "model": {**data["config"]["penalty"]["model"], "width": 1.0}}

    def judged(**changes):
        return judge(claim, {**data, "config": {**data["config"], "penalty": {**own, **changes}}})

    losses = [run["loss"]["total"] for run in data["penalty"]["plain"]]
    assert judged().median == np.median(losses)
    assert judged().setup.words == "VGG of 13 layers, full width, digits of 8 x 8 pixels, batch 16, 0 steps, 3 seeds"
    assert judged(weight_decay=1e-4).reason == "needs an L2 penalty of 0.0005"
    assert judged(model={**own["model"], "head": "512"}).reason == f"needs a {net} at width 1"


@pytest.mark.parametrize("power", [-0.5, 0.0, 1.0])
def test_growth_of_a_power(power):
    """Of any widths, 2 to that power; of a number that is not above 0 there is none."""
    widths = np.array([16.0, 24.0, 96.0])
    np.testing.assert_allclose(quantities.growth(widths, 3 * widths**power), 2**power, rtol=1e-12)
    assert np.isnan(quantities.growth(widths, np.array([1.0, 0.0, 1.0])))


def made(**widths):
    """Make a run of what was measured at some widths."""
    return {"seed": 0, "diverged_at": None, "widths": widths}


def test_measures_of_widths():
    """The narrowest, the widest and the growth are read wherever they stand; one width has no growth."""
    run = made(width=[64, 16], rank=[8.0, 4.0])
    assert quantities.of_width(quantities.RANK, min).of(run) == 4
    assert quantities.of_width(quantities.RANK, max).of(run) == 8
    assert quantities.per_doubling(quantities.RANK).of(run) == pytest.approx(np.sqrt(2))
    missing = quantities.per_doubling(quantities.RANK).of(made(width=[16], rank=[4.0]))
    assert missing.reason == "needs nets of two widths"
    assert quantities.of_width(quantities.RANK, min).of(made()).reason.startswith("not measured: soft rank")


def test_measures_of_blocks():
    """The first third of the blocks counts: l times the last ratio, and the geometric mean."""
    run = {"seed": 0, "diverged_at": None, "blocks": {"ratio": [1.0, 0.25, 9.0, 9.0, 9.0, 9.0]}}
    assert quantities.BRANCH.of(run) == 0.5
    assert quantities.MEAN_BRANCH.of(run) == 0.5
    assert quantities.LARGEST_BRANCH.of(run) == 9


@pytest.mark.thorough
def test_words_figure_and_claims(data, tmp_path):
    """The table has a row for every net, every claim is judged, and both forms of the figure are drawn."""
    words = table.summarise(data)
    assert "with BN, ReLU: soft rank" in words
    assert "VGG-A, hidden dense layers of 32 units" in words
    assert "per doubling of the width" in table.findings(data)
    for claim in CLAIMS:
        assert "cannot be measured" not in judge(claim, data).reason, claim.name
    for narrow in (False, True):
        figure.plot(data).draw(narrow=narrow).savefig(tmp_path / f"{narrow}.png")
        assert (tmp_path / f"{narrow}.png").stat().st_size > 10_000


@pytest.mark.thorough
def test_the_set_up_names_the_nets(data):
    """Widths, depth and examples come from the data, and no step is taken."""
    words = {claim.name: judge(claim, data).setup.words for claim in CLAIMS}
    deep = "Perceptron of 40 hidden layers of 8 to 16 units"
    assert words["init_gap_width"] == f"{deep}, 4 examples close to one line, 0 steps, 3 seeds"
    assert words["init_rank"].startswith(f"{deep}, digits of 8 x 8 pixels, as many examples as units, 0 steps")
    assert words["init_fisher_plain"].startswith("Perceptron of 2 hidden layers of 8 to 16 units, normal inputs")
    assert words["init_branch"].startswith("ResNet-8 of width 4, digits of 8 x 8 pixels, batch 8, 0 steps")


def test_nothing_is_trained_or_packed(tmp_path):
    """There are no nets to train; that nothing is packed is said in a line."""
    assert cli.nets_of(initialisation, SMOKE, Options()) == {}
    with pytest.raises(packing.MissingRunsError, match="Nothing of initialisation is packed, since it trains nothing"):
        packing.data_of("initialisation", "smoke", tmp_path, print)


def test_several_processes_are_refused():
    """In one line, before anything is measured."""
    with pytest.raises(ConfigError, match="distributed must be left out"):
        cli._collect(initialisation, SMOKE, Options(distributed=True), [])


def test_a_signal_stops_it_in_a_line(monkeypatch, tmp_path, capsys):
    """Nothing is saved on the way."""

    def measure(_config, _options):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "measure", measure)
    with pytest.raises(SystemExit) as stop:
        cli.main(initialisation, ["--preset", "smoke", "--results", str(tmp_path)])
    assert stop.value.code == 130
    assert "Stopped; nothing was saved. The same command starts again." in capsys.readouterr().out


@pytest.mark.thorough
def test_draws_are_known_by_everything_but_their_seeds(data):
    """Another width makes other draws; more seeds leave the others as they are."""

    def identities(**changes):
        config = json.loads(json.dumps(config_dict(change(SMOKE, **changes))))
        return known.identities("initialisation", {**data, "config": config})

    assert identities(seeds=(5, 6)) == identities()
    assert not {*identities(fisher={"widths": (8, 32)}).values()} & {*identities().values()}
    assert {"fisher/plain", "residual/skip_init", "representations/plain_linear"} <= {*identities()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"orthogonality": {"widths": (2,)}},
            "widths must be one or more different numbers from 4, the batch size, got",
        ),
        ({"representations": {"widths": ()}}, "widths must be one or more different numbers from 2, got"),
        ({"representations": {"depth": 1}}, "depth must be at least 2, got 1"),
        ({"representations": {"widths": (100_000,)}}, "widths must be between 1 and"),
        ({"fisher": {"fixed_batch": 1}}, "fixed_batch must be at least 2, got 1"),
        ({"residual": {"model": {"skip_init": True}}}, "skip_init must be False, since a net of its own has it, got"),
        ({"penalty": {"batch_size": 100_000}}, "batch_size must be between 1 and"),
        ({"other_penalty": {"weight_decay": -1.0}}, "weight_decay must be >= 0 and finite, got -1.0"),
        ({"seeds": (-1,)}, "seeds must be one or more different numbers from 0 to"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(SMOKE, **changes)
    assert dataclasses.replace(SMOKE) == SMOKE
