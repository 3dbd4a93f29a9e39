"""Dependence between layers in experiments: what is measured in training, and claims, table and figure on data made by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_readable
from runs import ORIGIN

from bnjax import probes, train
from bnjax.runs import config_dict
from experiments import layer_dependence, sensitivity
from experiments._config import MLPRun, NoNorm, Options, Schedule, change
from experiments._evidence.keep import check_needs, keep
from experiments._evidence.verdict import judge
from experiments._training.experiment import train_all
from experiments._training.tasks import make_task
from experiments.layer_dependence import figure, quantities, table
from experiments.layer_dependence.claims import CLAIMS

CPU = layer_dependence.PRESETS["cpu"]
LAYERS = [f"layer_{n}" for n in range(1, 12)]
TINY = change(
    MLPRun().measuring("layer_dependence", "moment_control"),
    data={"dataset": "digits", "preprocessing": "unit"},
    model={"hidden": (8, 8, 8), "activation": "relu", "kernel_init": "he_normal", "kernel_scale": 1.0},
    schedule=Schedule(num_steps=20, eval_every=20, probe_every=10),
    probes={"layer_dependence": {"layer": 2, "step_multiples": (0.5, 2.0), "relative_steps": (0.01,)}},
)
PATTERNS = {f"layer_{n}": rf"^(dense|norm)_{n}/" for n in range(1, 5)}


@cache
def trained(run=TINY):
    """Train the tiny net, and return its curves."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return train_all({"arms": {"net": run}}, Options(results=folder))["arms"]["net"][0]


def start(run=TINY):
    """Return the loss of the first batch and the first state of the tiny net, and its task."""
    task = make_task(run.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    return (
        train.current_loss_fn(task.trainer, state, split),
        state,
        train.current_batch(task.trainer, state, split),
        task,
    )


@pytest.mark.thorough
def test_a_run_records_the_dependence_along_its_gradient():
    """At step 0 it is that of the initial weights on the first batch, at multiples of the rate and at relative steps."""
    loss_fn, state, _, _ = start()
    recorded, rate = trained()["layer_dependence"], TINY.optimizer.learning_rate
    found = probes.layer_dependence(loss_fn, state.params, PATTERNS, step_sizes=recorded["step_sizes"][0])
    assert recorded["step"] == [0, 10]
    assert recorded["layers"] == [*PATTERNS]
    np.testing.assert_allclose(recorded["step_sizes"][0][:2], [0.5 * rate, 2 * rate], rtol=1e-6)
    np.testing.assert_allclose(recorded["relative_distance"][0][2], 0.01, rtol=1e-4)
    for name, value in {
        "ratio": found.interaction_ratio,
        "second_order_ratio": found.second_order_ratio,
        "relative_distance": found.relative_distances,
        "share": found.off_diagonal_share,
        "curvature": found.curvature,
    }.items():
        np.testing.assert_allclose(recorded[name][0], value, rtol=2e-3, atol=1e-5, err_msg=name)
    blocks = probes.hessian_blocks(loss_fn, state.params, PATTERNS, "layer_2", key=jax.random.key(1), num_probes=200)
    error = np.hypot(recorded["block_errors"][0], blocks.standard_error)
    assert (np.abs(np.array(recorded["block_squares"][0]) - np.asarray(blocks.mean)) < 5 * error).all()


@pytest.mark.thorough
@pytest.mark.parametrize("norm", [TINY.norm, NoNorm()])
def test_a_run_records_who_controls_moments(norm):
    """At three places of every hidden layer after the first, for the step of the learning rate."""
    run = change(TINY, norm=norm)
    loss_fn, state, batch, task = start(run)
    recorded = trained(run)["moment_control"]
    assert recorded["layers"] == ["layer_2", "layer_3"]
    update = jax.tree.map(lambda g: -run.optimizer.learning_rate * g, jax.grad(loss_fn)(state.params))
    after = "dense" if norm.kind == "none" else "norm"
    for place, module, activation in (
        ("unnormalised", "dense", lambda x: x),
        ("preactivations", after, lambda x: x),
        ("activations", after, jax.nn.relu),
    ):

        def outputs(params, module=module, activation=activation):
            names = [f"{module}_{n}" for n in (2, 3)]
            at = state.variables._replace(params=params)
            found = probes.capture(task.trainer.model, at, batch.inputs, names, train=True)
            return {f"layer_{name[-1]}": activation(value) for name, value in found.items()}

        found = probes.moment_control(outputs, state.params, update, PATTERNS)
        for name in ("earlier_gain", "own_gain", "relative_gain", "earlier_share"):
            value = getattr(found, name)
            np.testing.assert_allclose(recorded[f"{place}_{name}"][0], value, rtol=2e-3, atol=1e-4)
    is_free = np.array(recorded["preactivations_earlier_gain"]) < 0.05 * np.array(recorded["unnormalised_earlier_gain"])
    assert is_free.all() == (norm.kind == "batch")


@pytest.mark.parametrize("preset", layer_dependence.PRESETS)
def test_presets_can_be_trained(preset):
    """Everything that claims and pictures need is measured; the nets differ in their normaliser alone."""
    config = layer_dependence.PRESETS[preset]
    groups = layer_dependence.groups(config)
    check_needs(config, groups, layer_dependence.KEEP)
    for run in groups["arms"].values():
        run.check_layers()
    assert [*groups["arms"]] == ["plain", "batch_norm"]
    assert len({change(run, norm=NoNorm()) for run in groups["arms"].values()}) == 1
    num = config.model.num_layers
    assert config.probes.layer_dependence.layer == (num + 1) // 2
    assert {quantities.RATE, 0.1} <= {*config.probes.layer_dependence.step_multiples}
    assert quantities.RELATIVE in config.probes.layer_dependence.relative_steps


@pytest.mark.parametrize("preset", ["cpu", "overnight"])
def test_its_nets_are_those_of_sensitivity(preset):
    """At learning rate 0.1, from He weights."""
    others = sensitivity.groups(sensitivity.PRESETS[preset])["arms"]
    for net, run in layer_dependence.groups(layer_dependence.PRESETS[preset])["arms"].items():
        assert run.identity() == others[f"{net}_0.1"].identity()


def test_the_normaliser_must_be_batch_norm():
    """Its effect is what is measured."""
    with pytest.raises(ValueError, match=r"^norm must be batch, whose effect is measured, got none\.$"):
        change(CPU, norm=NoNorm())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"relative_steps": (0.0,)},
            "relative_steps must be one or more different numbers > 0 and finite, got (0.0,).",
        ),
        ({"step_multiples": ()}, "step_multiples must be one or more different numbers > 0 and finite, got ()."),
        ({"num_vectors": 0}, "num_vectors must be at least 1, got 0."),
        ({"layer": 12}, "probes.layer_dependence.layer must be between 1 and 11, the weight layers there are, got 12."),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    """They are refused in a line."""
    with pytest.raises(ValueError, match="must be") as error:
        change(CPU, probes={"layer_dependence": settings}).check_layers()
    assert str(error.value) == message


def made(factor=0.5, rounding=1e-4, gain=0.5):
    """Make data in which everything is `factor` times as large with batch norm, and gains `gain` times."""
    steps, arms = [0, 50, 100], {}
    for net, size in (("plain", 1.0), ("batch_norm", factor)):
        matrix = np.full((11, 11), 0.01 * size) + np.diag(np.full(11, 1.0))
        blocks = np.where(np.arange(11) == 5, 1.0, 0.01 * size**2)
        gains = {"earlier_gain": 1.0, "own_gain": 1.0, "relative_gain": 3.0, "earlier_share": 0.5}
        control = {
            f"{place}_{name}": [[value * (gain if net == "batch_norm" else 1)] * 9] * 3
            for place in quantities.PLACES
            for name, value in gains.items()
        }
        dependence = {
            "step_sizes": [[0.01, 0.1, 0.2, 0.6, 2.0]] * 3,
            "relative_distance": [[0.001, 0.01, 0.001, 0.003, 0.01]] * 3,
            "ratio": [[-0.02 * size, 0.2 * size, 0.02 * size, 0.06 * size, 0.2 * size]] * 3,
            "second_order_ratio": [[0.01 * size] * 5] * 3,
            "rounding": [[rounding] * 5] * 3,
            "share": [1.1 * size / (1.1 * size + 11)] * 3,
            "curvature": [matrix.tolist()] * 3,
            "block_squares": [blocks.tolist()] * 3,
            "block_errors": [[0.0] * 11] * 3,
        }
        arms[net] = [
            {
                "seed": seed,
                "diverged_at": None,
                "train": {"step": [0, 50], "window": 50, "loss": [2.0, 1.5], "accuracy": [0.2, 0.4]},
                "test": {"step": [100], "loss": [1.5], "accuracy": [0.4]},
                "layer_dependence": {"step": steps, "layers": LAYERS, **dependence},
                "moment_control": {"step": steps, "layers": LAYERS[1:-1], **control},
            }
            for seed in (0, 1, 2)
        ]
    data = {"config": config_dict(CPU), "arms": arms, "preset": "cpu", "provenance": [ORIGIN], "seconds": 9.0}
    return keep(data, layer_dependence.KEEP)


def verdicts(data):
    """Judge every claim."""
    return {claim.name.removeprefix("dependence_"): judge(claim, data) for claim in CLAIMS}


def test_claims_go_either_way():
    """Where layers interact less with batch norm the hypothesis is supported, and where they interact more contradicted."""
    less, more = verdicts(made(0.25, gain=0.05)), verdicts(made(4.0, gain=2.0))
    for name in less:
        assert less[name].verdict == "supported", name
        expected = "supported" if name == "matters" else "contradicted"
        assert more[name].verdict == expected, name
    assert less["rate"].values == pytest.approx((0.25,) * 3)
    assert less["matters"].values == pytest.approx((0.2,) * 3)
    assert less["control_after"].values == pytest.approx((0.05,) * 3)


def test_claims_count_for_the_hypothesis():
    """Comparisons speak both ways; that layers interact at all, and what batch norm's parameters set, speaks for neither."""
    sides = {claim.name: (claim.side(holds=True), claim.side(holds=False)) for claim in CLAIMS}
    assert {claim.hypothesis for claim in CLAIMS} == {"interdependence"}
    assert sides["dependence_rate"] == ("for", "against")
    assert sides["dependence_negligible"] == sides["dependence_matters"] == (None, None)
    controls = {name for name in sides if name.startswith("dependence_control")}
    assert len(controls) == 5
    assert {sides[name] for name in controls} == {(None, None)}


def test_where_losses_are_too_coarse_nothing_is_claimed():
    """R that may be off by more than a tenth is not known; the second order between layers is."""
    found = verdicts(made(rounding=0.5))
    assert found["rate"].verdict == found["relative"].verdict == "inconclusive"
    assert found["share"].verdict == "supported"


def test_steps_that_were_not_measured():
    """A claim says which step it needs."""
    data = made()
    data["config"]["probes"]["layer_dependence"]["step_multiples"] = [0.1, 0.5]
    assert verdicts(data)["rate"].reason == "needs R at a step of 1 times the learning rate"
    assert verdicts(data)["relative"].verdict == "supported"


def test_the_data_file_keeps_three_matrices():
    """At the first measurement, in the middle and at the last, as shares of the sum of absolute values."""
    (run, *_) = made()["arms"]["plain"]
    split = run["layer_dependence"]["split"]
    assert split["step"] == [0, 50, 100]
    np.testing.assert_allclose(np.abs(split["shares"]).sum((1, 2)), 1, rtol=1e-3)
    assert "curvature" not in run["layer_dependence"]
    assert quantities.split(run, 1).shape == (11, 11)
    assert quantities.by_layer(run, "activations_earlier_gain")[1:].tolist() == [1.0] * 9
    empty = {"step": [], "curvature": []}
    assert layer_dependence.KEEP["arms"]["layer_dependence"](empty, 0)["split"] == {"step": [], "shares": []}


def test_words():
    """The table has a row for each measure, with the ratio of both nets, and the findings say it in a sentence."""
    data = made()
    rows = {line.split("  ")[0]: line.split() for line in table.summarise(data).splitlines()}
    assert rows["|R|, 1 x rate"][-3:] == ["0.2", "0.1", "2.00"]
    assert rows["gain, after the activation"][-3:] == ["1", "0.5", "2.00"]
    assert "the interaction of layers is 0.50 times that without at the learning rate" in table.findings(data)


@pytest.mark.parametrize("is_narrow", [False, True])
def test_the_picture_can_be_read(is_narrow):
    """Heat maps of both nets, and everything over training and by layer."""
    drawn = figure.plot(made()).draw(narrow=is_narrow)
    assert_readable(drawn)
    titles = [axes.get_title() for axes in drawn.axes]
    assert {"Without BN, step 50", "With BN, step 50"} <= {*titles}
