"""Sensitivity to learning rates and initial weights: which nets are trained, and claims on data made by hand."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import models, train
from bnjax.runs import config_dict
from experiments import sensitivity, training_curves
from experiments._config import NoNorm, change
from experiments._evidence.keep import keep
from experiments._evidence.value import AtLeast, Missing
from experiments._evidence.verdict import judge
from experiments._nets import learning_rate
from experiments._training.tasks import make_task
from experiments.sensitivity import quantities, table
from experiments.sensitivity.claims import CLAIMS

RATES = (0.01, 0.0316, 0.1, 0.316, 1.0, 3.16)
NUM_POINTS = 40


def net(seed, steps, loss, accuracy) -> Any:
    """Make a run that ends at a training loss and a test accuracy; infinity is one that diverged."""
    curve = {"step": [*range(steps)], "window": 1, "loss": [loss] * steps, "accuracy": [accuracy] * steps}
    diverged_at = None if math.isfinite(loss) else 3
    return {"seed": seed, "diverged_at": diverged_at, "train": curve, "test": {"step": [steps], "accuracy": [accuracy]}}


def line(seed, factor, lowest) -> Any:
    """Make a line search: the loss falls until a step size, then it is multiplied by a factor at each further one."""
    sizes = np.array(sensitivity.step_sizes(NUM_POINTS))
    ratios = np.where(sizes <= lowest, 1 - 0.5 * sizes / lowest, factor ** np.arange(NUM_POINTS))
    scans = {"step": [0, 3, 6], "step_sizes": [sizes.tolist()] * 3, "loss": [(2 * ratios).tolist()] * 3}
    scans["loss"][1] = [None if loss > 1e30 else loss for loss in scans["loss"][1]]
    return {"seed": seed, "diverged_at": None, "landscape": {**scans, "start_loss": [2.0] * 3}}


def made(steps=300, start_steps=150, last=0.5, step=0.0):
    """Make data of three seeds in which batch norm trains from 0.01 to 1, and the plain net at 0.0316 and 0.1 alone.

    Args:
        steps: of the nets at each learning rate.
        start_steps: of those from other initial weights.
        last: test accuracy of the single batch norm at 0.1.
        step: what batch norm's test accuracy falls by from He's weights to ten times as large ones.
    """
    losses = {"batch_norm": (2.1, 1.4, 1.2, 1.3, 1.4, 2.2), "plain": (2.3, 1.45, 1.3, 2.1, 2.3, math.inf)}
    tests = {"batch_norm": (0.3, 0.4, 0.56, 0.6, 0.5, 0.2), "plain": (0.1, 0.4, 0.42, 0.2, 0.1, 0.1)}
    arms = {
        learning_rate(rate).arm(name): [net(seed, steps, losses[name][i], tests[name][i]) for seed in range(3)]
        for name in losses
        for i, rate in enumerate(RATES)
    }
    arms |= {"batch_norm_last_0.1": [net(seed, steps, 1.4, last) for seed in range(3)]}
    starts = {}
    for name in sensitivity.STARTS:
        lost = step if name == "x10" else 0.0
        starts[f"batch_norm_{name}"] = [net(seed, start_steps, 1.0, 0.5 - lost) for seed in range(3)]
        starts[f"plain_{name}"] = [net(seed, start_steps, 1.0, 0.4 if name == "x1" else 0.1) for seed in range(3)]
    lines = {"batch_norm": [line(seed, 1.2, 0.05) for seed in range(3)], "plain": [line(0, 10.0, 1e-4)] * 3}
    lines["plain"] = [{**run, "seed": seed} for seed, run in enumerate(lines["plain"])]
    config = config_dict(
        change(sensitivity.PRESETS["cpu"], learning_rates=RATES, last_rates=(0.1,), line_points=NUM_POINTS)
    )
    return {"config": config, "preset": "cpu", "arms": arms, "starts": starts, "line": lines}


def judged(given):
    """Judge every claim."""
    return {claim.name.removeprefix("sensitivity_"): judge(claim, given) for claim in CLAIMS}


def test_claims():
    """Each is decided by the nets that it names, and longer windows ask for more steps."""
    found = judged(made())
    assert found["range_part"].values == pytest.approx((math.log10(1 / 0.0316) - math.log10(0.1 / 0.0316),) * 3)
    assert found["range_part"].verdict == "supported"
    assert found["largest_part"].values == pytest.approx((10,) * 3)
    assert found["gain_part"].values == pytest.approx((0.6 - 0.42,) * 3)
    assert found["smallest_part"].values == pytest.approx((0,) * 3)
    assert found["last_part"].values == pytest.approx(((0.5 - 0.42) / (0.56 - 0.42),) * 3)
    assert found["last_part"].verdict == "supported"
    assert judged(made(last=0.45))["last_part"].reason.startswith("the net with one batch norm does best at")
    assert found["range"].reason == "needs 1,950 steps, ran 300"
    assert found["adam_grows"].reason == "needs nets trained with Adam, as preset overnight has, ran SGD alone"
    long = judged(made(1950, 1950))
    assert long["range"].verdict == long["scale"].verdict == "supported"
    assert long["gain_part"].reason == "not recorded in these steps: test accuracy"


def test_claims_on_initial_weights():
    """Spreads are of one seed over initial weights; ten times as large weights lose accuracy, or do not."""
    found = judged(made(step=0.1))
    assert found["scale_part"].values == pytest.approx((0.1 - 0.3,) * 3)
    assert found["scale_step_part"].verdict == "supported"
    assert judged(made(step=-0.1))["scale_step_part"].verdict == "contradicted"
    assert judged(made(step=0.4))["starts_part"].reason.startswith("a net that guesses")


def test_claims_on_the_line_search():
    """A loss that is not finite has exploded; step sizes are those at which all minibatches agree."""
    given = made()
    found, sizes = judged(given), np.array(sensitivity.step_sizes(NUM_POINTS))
    assert found["lowest"].values == pytest.approx((sizes[sizes <= 0.05][-1],) * 3)
    assert found["explodes"].verdict == "supported"
    assert found["line"].verdict == "supported"
    exploding = quantities.EXPLODING.of(given["line"]["plain"][0])
    assert exploding == pytest.approx(sizes[(sizes > 1e-4) & (10.0 ** np.arange(NUM_POINTS) > 1e3)][0])
    assert isinstance(quantities.EXPLODING.of(line(0, 1.0, 0.05)), AtLeast)
    assert isinstance(quantities.EXPLODING.of(net(0, 7, 1.0, 0.5)), Missing)
    published = [line(seed, 1.1, 0.08) for seed in range(3)]
    assert judged({**given, "line": {**given["line"], "plain": published}})["explodes"].verdict == "contradicted"


def test_ranges_that_learning_rates_cut_off_are_bounds():
    """A net that trains with the largest learning rate of all trains over at least so many decades."""
    given = made()
    loss = quantities.loss_at(300)
    wide = quantities.decades("batch_norm", loss, 2.25).of(given)[0]
    assert (wide, type(wide)) == (pytest.approx(math.log10(316)), AtLeast)
    assert type(quantities.largest_rate("batch_norm", loss, 2.25).of(given)[0]) is AtLeast
    nothing = quantities.decades("plain", loss, 1.0).of(given)[0]
    assert isinstance(nothing, Missing)
    assert nothing.reason == "without BN, no learning rate leads to a training loss below 1"
    assert judged(made(last=0.5) | {"line": {}})["line"].verdict == "inconclusive"


def test_a_share_of_no_gain():
    """Where batch norm gains nothing, one batch norm has no share of it."""
    given = made()
    given["arms"]["batch_norm_0.1"] = given["arms"]["plain_0.1"]
    assert judged(given)["last_part"].reason == "batch norm gains no test accuracy"


def test_tables_and_findings_name_every_net():
    """A column for each learning rate and for each kind of initial weights."""
    given = made()
    text = table.summarise(given)
    assert all(words in text for words in ("3.16", "He x 0.1", "orthogonal", "BN after the last hidden layer only"))
    assert "without BN, learning rate 3.16, seed 2: the loss stopped being finite at step 3." in text
    found = table.findings(given)
    assert "42.0 % at 0.1 (plain); 60.0 % at 0.316 (BN); 50.0 % at 0.1 (last BN)" in found
    assert "from 10.0 % to 40.0 % (plain)" in found


def test_arms():
    """He's weights are those of the learning rate that all others share; Adam's nets are those of training_curves."""
    for preset, (num_rates, num_starts) in {"cpu": (8, 8), "cpu_long": (7, 1), "overnight": (10, 8)}.items():
        nets = sensitivity.groups(sensitivity.PRESETS[preset])
        assert sum(name.startswith("plain_") for name in nets["arms"]) == num_rates
        assert len(nets["starts"]) == 2 * num_starts
        for name in ("plain", "batch_norm"):
            same = nets["arms"][f"{name}_0.1"].net()
            assert nets["starts"][f"{name}_x1"].net() == nets["line"][name].net() == same
        assert nets["arms"]["batch_norm_last_0.1"].norm.layers == (10,)
    assert "adam" not in sensitivity.groups(sensitivity.PRESETS["cpu"])
    theirs = training_curves.groups(training_curves.PRESETS["overnight_alx"])["arms"]
    adam = sensitivity.groups(sensitivity.PRESETS["overnight"])["adam"]
    assert {run.net() for run in adam.values()} == {run.net() for run in theirs.values()}


def test_steps_fit_the_budget_of_two_cores():
    """Preset cpu takes fewer than 25,000 steps, each net once."""
    longest = {}
    for arms in sensitivity.groups(sensitivity.PRESETS["cpu"]).values():
        for run in arms.values():
            longest[run.net()] = max(longest.get(run.net(), 0), run.schedule.num_steps * len(run.seeds))
    assert sum(longest.values()) < 25_000


def test_step_sizes_are_the_published_ones_and_go_on():
    """30 from 1e-5 to 0.1, at equal ratios; the probe measures at them, before minibatches 1, 4 and 7."""
    sizes = np.array(sensitivity.step_sizes(51))
    np.testing.assert_allclose(sizes[[0, 29]], [1e-5, 0.1])
    np.testing.assert_allclose(np.diff(np.log(sizes)), np.log(1e4) / 29)
    run = sensitivity.groups(sensitivity.PRESETS["cpu"])["line"]["plain"]
    measured = np.array(run.probes.landscape.step_multiples) * run.optimizer.learning_rate
    np.testing.assert_allclose(measured, sizes)
    assert [*range(0, run.schedule.num_steps, run.schedule.probe_every)] == [0, 3, 6]


@pytest.mark.thorough
def test_the_line_search_is_that_of_the_losses():
    """L(w - eta g) / L(w) of the batch of a step, computed by itself; the data file keeps what it takes."""
    config = change(sensitivity.PRESETS["smoke"], line_points=32)
    run = sensitivity.groups(config)["line"]["plain"]
    task = make_task(run.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    record = task.make_probe(run.probes.landscape).measure(state, split)
    rows = {name: np.asarray(values)[None].tolist() for name, values in record.items()}
    given = {"line": {"plain": [{"seed": 0, "diverged_at": None, "landscape": {"step": [0], **rows}}]}}
    (kept,) = keep(given, sensitivity.KEEP)["line"]["plain"]
    sizes, ratios = quantities.relative_losses(kept)
    loss_fn = train.current_loss_fn(task.stepper, state, split)
    loss, gradient = jax.value_and_grad(loss_fn)(state.params)
    for point in (0, 15, 31):
        moved = jax.tree.map(lambda w, g, eta=sizes[point]: w - eta * g, state.params, gradient)
        np.testing.assert_allclose(ratios[0, point], loss_fn(moved) / loss, rtol=1e-3)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(("name", "variance"), [("x0.3", 0.09 * 2 / 72), ("std0.01", 1e-4), ("orthogonal", 1 / 72)])
def test_initial_weights_have_their_variance(name, variance):
    """Those of the second convolution, with 8 features of 9 pixels each."""
    weights = sensitivity.STARTS[name]
    config = models.VGGConfig(width=1 / 8, kernel_init=weights.kernel_init, kernel_scale=weights.kernel_scale)
    kernel = models.make_model(config).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3))).params["conv_2"]["kernel"]
    assert kernel.shape == (3, 3, 8, 16)
    np.testing.assert_allclose(np.mean(np.asarray(kernel) ** 2), variance, rtol=0.1)
    if name == "orthogonal":
        columns = np.asarray(kernel).reshape(72, 16)
        np.testing.assert_allclose(columns.T @ columns, np.eye(16), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": ()}, r"learning_rates must be one or more different numbers > 0 and finite, got \(\)"),
        ({"last_rates": (0.5,)}, r"last_rates must be some of learning_rates, got \(0.5,\)"),
        ({"starts": ("x1", "x2")}, "starts must be one or more different ones of x0.1, .*, got"),
        ({"adam_rates": (0.1, 0.1)}, "adam_rates must be none, or different numbers > 0 and finite, got"),
        ({"line_points": 0}, "line_points must be between 1 and 100, .*, got 0"),
        ({"vgg": {"norm": NoNorm()}}, "vgg.norm must be batch, got none"),
        ({"vgg": {"optimizer": {"name": "adam"}}}, "vgg.optimizer.name must be sgd, got adam"),
        ({"vgg": {"model": {"kernel_scale": 0.0}}}, "kernel_scale must be > 0 and finite, got 0.0"),
    ],
)
def test_misfits(changes, message, as_a_user):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(sensitivity.PRESETS["cpu"], **changes)
