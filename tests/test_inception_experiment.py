"""BN-Inception's experiment: which nets are trained, how, and claims on data made by hand."""

import math
from typing import Any

import numpy as np
import pytest

from bnjax.runs import config_dict, config_hash
from experiments import inception
from experiments._command.estimates import estimated
from experiments._config import InceptionRun, NoNorm, Optimizer, change
from experiments._evidence.setup import setup
from experiments._evidence.value import AtLeast, Missing
from experiments._evidence.verdict import judge
from experiments._figures import captions
from experiments.inception import figure, quantities, table
from experiments.inception.claims import CLAIMS

STEPS = (200, 400, 600, 800, 1000)
# Test accuracies at these steps.
TESTS = {
    "plain_x1": (0.1, 0.2, 0.3, 0.42, 0.4),
    "plain_x5": (0.1, 0.1, 0.1, 0.1, 0.1),
    "plain_sigmoid": (0.1, 0.1, 0.12, 0.1, 0.1),
    "batch_norm_x1": (0.2, 0.4, 0.44, 0.44, 0.44),
    "batch_norm_x5": (0.42, 0.44, 0.45, 0.46, 0.46),
    "batch_norm_x30": (0.26, 0.42, 0.46, 0.5, 0.48),
    "batch_norm_x5_sigmoid": (0.1, 0.2, 0.3, 0.35, 0.36),
}


def net(seed, accuracies, diverged_at=None) -> Any:
    """Make a run with tests at some steps."""
    tested = [list(part) for part in zip(*zip(STEPS, accuracies, strict=False), strict=True)] or [[], []]
    curve = {"step": [*range(0, 1000, 50)], "window": 50, "loss": [1.0] * 20, "accuracy": [0.5] * 20}
    test = {"step": tested[0], "accuracy": tested[1]}
    return {"seed": seed, "diverged_at": diverged_at, "train": curve, "test": test}


def made(rate=0.01, **changed):
    """Make data of three seeds, in some of whose nets the tests are other ones, and a grid on which 0.01 is best."""
    arms = {name: [net(seed, tests) for seed in range(3)] for name, tests in (TESTS | changed).items()}
    ends = {0.001: 0.2, 0.003: 0.3, 0.01: 0.4, 0.03: 0.35, 0.1: 0.1}
    grid = {f"plain_{one:g}": [net(0, (0.1, 0.1, 0.1, 0.1, end))] for one, end in ends.items()}
    config = config_dict(change(inception.PRESETS["cpu"], optimizer={"learning_rate": rate}))
    provenance = [{"commit": "0" * 7, "device": "CPU", "cpu_cores": 2, "date": "2026-11-29"}]
    return {"config": config, "preset": "cpu", "arms": arms, "grid": grid, "seconds": 1.0, "provenance": provenance}


def judged(given):
    """Judge every claim."""
    return {claim.name.removeprefix("inception_"): judge(claim, given) for claim in CLAIMS}


def test_claims():
    """Each is decided by the nets that it names; what preset cpu leaves out is named."""
    found = judged(made())
    # The plain net's best, 0.42, is reached at 800 without, half way between 400 and 600 at x1, at 200 and at 400.
    assert found["steps"].values == pytest.approx((800 / 500,) * 3)
    assert found["steps_x5"].values == pytest.approx((500 / 200,) * 3)
    assert found["steps_x30"].values == pytest.approx((500 / 400,) * 3)
    assert found["steps_slower"].values == pytest.approx((400 / 200,) * 3)
    assert found["best"].values == pytest.approx((0.02,) * 3)
    assert found["best_x5"].values == pytest.approx((0.02,) * 3)
    assert found["best_x30"].values == pytest.approx((0.04,) * 3)
    assert found["sigmoid_below"].values == pytest.approx((-0.06,) * 3)
    supported = {name for name, one in found.items() if one.verdict == "supported"}
    needing_more = {"steps_alone", "best_alone", "plain_x30"}
    assert supported == {*found} - needing_more - {"best_googlenet"}
    assert found["best_googlenet"].verdict == "contradicted"
    assert found["plain_x30"].reason == "needs the net without BN (rate x30), as preset paper has, ran 7 other nets"
    assert {found[name].verdict for name in needing_more} == {"inconclusive"}


def test_claims_turn_with_the_data():
    """A net that does the opposite contradicts what is claimed of it."""
    found = judged(made(plain_x5=TESTS["plain_x1"], plain_sigmoid=TESTS["plain_x1"], batch_norm_x5_sigmoid=(0.1,) * 5))
    assert {found[name].verdict for name in ("plain_x5", "plain_sigmoid", "sigmoid")} == {"contradicted"}
    found = judged(made(batch_norm_x1=(0.1, 0.1, 0.2, 0.3, 0.35)))
    assert (found["steps"].verdict, found["best"].verdict) == ("contradicted", "contradicted")
    assert found["best_googlenet"].verdict == "supported"
    more = judged(made(plain_x30=(0.1,) * 5, batch_norm_x5_alone=(0.3, 0.42, 0.42, 0.42, 0.42)))
    assert more["steps_alone"].values == pytest.approx((500 / 400,) * 3)
    assert more["best_alone"].values == pytest.approx((0.04,) * 3)
    assert more["plain_x30"].verdict == "supported"


def test_a_net_that_diverges_ends_as_a_guess():
    """Its best accuracy is what it had reached before; the steps to a level that it has not reached are infinite."""
    given = made()
    given["arms"]["plain_x5"] = [net(seed, (0.3,), diverged_at=250) for seed in range(3)]
    given["arms"]["batch_norm_x30"] = [net(seed, (0.3, 0.45), diverged_at=500) for seed in range(3)]
    assert judged(given)["plain_x5"].values == pytest.approx((0.1,) * 3)
    measure = quantities.steps_to_plain(given)
    assert measure.of(given["arms"]["plain_x5"][0]) == math.inf
    assert measure.of(given["arms"]["batch_norm_x30"][0]) == pytest.approx(360)
    assert "without BN, rate x5, seed 2: the loss stopped being finite at step 250." in table.summarise(given)
    assert "6 runs diverged." in table.findings(given)


def test_steps_to_the_best_of_the_plain_net():
    """Of the same seed, along straight lines from a guess at step 0; a bound where it is not reached."""
    given = made()
    measure = quantities.steps_to_plain(given)
    assert measure.of(net(0, (0.58,))) == pytest.approx(200 * 0.32 / 0.48)
    assert measure.of(given["arms"]["plain_x1"][1]) == 800
    short = measure.of(net(0, (0.1, 0.2, 0.2, 0.2, 0.2)))
    assert (short, type(short)) == (1000, AtLeast)
    other = measure.of(net(5, (0.5,)))
    assert isinstance(other, Missing)
    assert other.reason == "the plain net has no run of that seed"
    lost = quantities.steps_to_plain(made(plain_x1=(0.1,) * 5)).of(net(0, (0.5,)))
    assert isinstance(lost, Missing)
    assert lost.reason == "the plain net does not learn"


def test_the_table_says_whether_x1_is_the_best_of_the_grid():
    """By the test accuracy at the end; and each net has a row."""
    text = table.summarise(made())
    assert "x1 is 0.01, the best of the grid." in text
    assert "x1 is 0.03, not the best of the grid, which is 0.01." in table.summarise(made(rate=0.03))
    assert all(words in text for words in ("with BN, rate x5, sigmoid units", "0 of 3", "without BN, rate x5"))
    reasons = {judge(claim, made(rate=0.03)).reason for claim in CLAIMS if "paper" not in judge(claim, made()).reason}
    assert reasons == {"needs rate x1 to be the best of the grid, 0.01, ran 0.03"}
    found = table.findings(made())
    assert "42.0 % (without BN, rate x1)" in found
    assert "1.6 times at rate x1; 4.0 times at rate x5" in found


def test_data_of_the_grid_alone():
    """Before x1 is known there are no other nets; table, findings and figure show the grid."""
    given = {**made(), "arms": {}}
    assert "x1 is 0.01, the best of the grid." in table.summarise(given)
    assert table.findings(given) == "Of the plain net's learning rates, x1 is 0.01, the best of the grid."
    assert len(figure.plot(given).blocks) == 1
    assert not figure.more(given)
    assert "arms" not in inception.groups(change(inception.PRESETS["cpu"], nets=()))


@pytest.mark.parametrize("narrow", [False, True])
def test_the_figure_shows_every_recipe(narrow):
    """A panel over training for each, in both widths."""
    layout = figure.plot(made())
    titles = [panel.title for block in layout.blocks for row in block.rows for panel in row if panel]
    assert titles[:5] == [f"Rate {words}" for words in ("x1", "x5", "x30", "x1, sigmoid units", "x5, sigmoid units")]
    drawn = layout.draw(narrow=narrow)
    assert len(drawn.axes) == 7
    (grid,) = figure.more(made()).values()
    assert [axes.get_xlabel() for axes in grid(made()).draw(narrow=narrow).axes] == ["learning rate"] * 2


def test_nets():
    """Rates are multiples of x1; the changes of the recipe belong to batch norm; the grid has x1's own run."""
    config = inception.PRESETS["paper"]
    nets = inception.groups(config)
    assert {*nets["arms"]} == {*inception.ARMS}
    base = config.optimizer
    for name, run in nets["arms"].items():
        multiple = 30 if "x30" in name else 5 if "x5" in name else 1
        assert run.optimizer.learning_rate == pytest.approx(multiple * base.learning_rate)
        is_changed = name in ("batch_norm_x5", "batch_norm_x30", "batch_norm_x5_sigmoid")
        assert run.model.dropout == (0 if is_changed else 0.4)
        assert run.optimizer.weight_decay == pytest.approx(base.weight_decay / (5 if is_changed else 1))
        assert run.optimizer.half_life == pytest.approx(base.half_life / (6 if is_changed else 1))
        assert run.model.activation == ("sigmoid" if "sigmoid" in name else "relu")
        assert (run.norm.kind == "none") == name.startswith("plain")
        assert run.seeds == (0, 1, 2)
    for preset in ("cpu", "paper"):
        nets = inception.groups(inception.PRESETS[preset])
        assert nets["grid"]["plain_0.01"].net() == nets["arms"]["plain_x1"].net()
        assert [run.seeds for run in nets["grid"].values()] == [(0,)] * 5
    assert {*inception.PRESETS} == {"smoke", "cpu", "paper"}


def test_steps_fit_the_budget_of_two_cores():
    """34 runs of 1,000 steps, since that of the grid at x1 is one of the plain net's."""
    config = inception.PRESETS["cpu"]
    runs = {
        (run.net(), seed): run.schedule.num_steps
        for nets in inception.groups(config).values()
        for run in nets.values()
        for seed in run.seeds
    }
    assert sum(runs.values()) == 34_000
    assert estimated([config], [inception]) == pytest.approx(34 * 60)


def test_what_it_was_measured_on():
    """Width and stem are named; the learning rate is not, since nets differ in it."""
    claim = next(claim for claim in CLAIMS if claim.name == "inception_steps_x5")
    words = setup(claim.statistic, made(), 3).words
    assert words == "BN-Inception, width 1/8, stem of stride 2, CIFAR-10, batch 32, 1,000 steps, 3 seeds"
    assert setup(claim.statistic, made(), 0).words == "BN-Inception, CIFAR-10"
    assert captions.network(made()["config"]) == "BN-Inception, width 1/8, on CIFAR-10"


def test_a_half_life_does_not_rename_older_runs():
    """A learning rate that stays has the identity that it had before it could fall."""
    run, falling = InceptionRun(), InceptionRun(optimizer=Optimizer(half_life=10.0))
    assert config_hash(run.identity()) == config_hash(change(run, optimizer={"half_life": 0.0}).identity())
    assert config_hash(run.identity()) != config_hash(falling.identity())
    assert np.isfinite(falling.optimizer.half_life)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid_rates": ()}, r"grid_rates must be one or more different numbers > 0 and finite, got \(\)"),
        ({"grid_rates": (0.01, 0.01 + 1e-12)}, "grid_rates must be numbers that differ in six digits"),
        ({"nets": ("plain_x2",)}, r"nets must be none, or different ones of plain_x1, .*, got \('plain_x2',\)"),
        ({"norm": NoNorm()}, "norm must be batch, got none"),
        ({"optimizer": {"name": "adam", "momentum": 0.0}}, "optimizer.name must be sgd, got adam"),
        ({"optimizer": {"half_life": -1.0}}, "half_life must be >= 0 and finite, got -1.0"),
        ({"model": {"width": 0.01}}, "width must be at least 1/32, .*, got 0.01"),
    ],
)
def test_misfits(changes, message, as_a_user):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(inception.PRESETS["cpu"], **changes)
