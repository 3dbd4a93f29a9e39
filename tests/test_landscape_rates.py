"""Bands over runs that differ in their learning rates alone: what they are of, their arms, table, claims and figure."""

import copy
import math

import numpy as np
import pytest
from runs import landscape_data

from experiments import landscape
from experiments._command import cli
from experiments._command.catalogue import claims_of
from experiments._config import SuccessiveGradients, change
from experiments._evidence.keep import keep
from experiments._evidence.verdict import judge
from experiments.landscape import table
from experiments.landscape.bands import NETS, bands
from experiments.landscape.bands import band as edge


def make_run(losses, moves=(1.0, 2.0), window=1, diverged_at=None):
    """Make a run of these losses, whose gradient moves so far at steps 0, 2 and so on."""
    gradients = {"step": [2 * i for i in range(len(moves))], "layers": {"layer_11": {"step_distance": list(moves)}}}
    train = {"step": [window * i for i in range(len(losses))], "window": window, "loss": list(losses)}
    return {"seed": 0, "train": train, "test": {}, "successive_gradients": gradients, "diverged_at": diverged_at}


def make_data(slow, fast):
    """Make data with a run at learning rate 0.1 and one at 0.2, the same without batch norm as with it."""
    runs = {f"{net}_{rate}": [run] for net in NETS for rate, run in (("0.1", slow), ("0.2", fast))}
    return {"multirun": runs, "config": {"rates": [0.1, 0.2]}}


@pytest.fixture(scope="module")
def data():
    """Data in which the loss is a function of learning rate x steps, except for noise."""
    return landscape_data("cpu", max_steps=1200, vgg_steps=3500, rates_steps=3500)


def reason_of(measure, run):
    """Return why a number is missing."""
    value = measure.of(run)
    assert math.isnan(value)
    return value.reason


def judged(data):
    """Judge the claims about such runs."""
    claims = (claim for claim in claims_of("landscape") if claim.statistic.arms == ("multirun",))
    return {claim.name.removeprefix("landscape_rates_"): judge(claim, data) for claim in claims}


def test_bands():
    """Smallest, largest, and their distance, at each step and each measurement."""
    (band,) = bands(make_data(make_run([3.0, 2.0, 1.0], (1.0, 5.0)), make_run([3.0, 1.5, 1.25], (2.0, 4.0))))["plain"]
    assert band["diverged_at"] is None
    same = {name: np.array(values).tolist() for name, values in band["same_step"].items()}
    assert same == {"step": [0, 1, 2], "low": [3, 1.5, 1], "high": [3, 2, 1.25], "width": [0, 0.5, 0.25]}
    moved = {name: np.array(values).tolist() for name, values in band["gradient"].items()}
    assert moved == {"step": [0, 2], "low": [1, 4], "high": [2, 5], "width": [1, 1]}


@pytest.mark.parametrize("window", [1, 10])
def test_runs_that_depend_on_rate_x_steps_alone_have_no_band(window):
    """Where each is as far as the others, their losses are the same, however many steps a point is the mean of."""
    middles = window * np.arange(40) + (window - 1) / 2
    slow, fast = (make_run(3 - 0.01 * rate * middles, window=window) for rate in (0.1, 0.2))
    (band,) = bands(make_data(slow, fast))["batch_norm"]
    np.testing.assert_allclose(band["same_step"]["width"], 0.001 * middles, atol=1e-12)
    inside = middles / 2 >= middles[0]  # before its first point, a loss is that of the first point
    np.testing.assert_allclose(np.array(band["same_progress"]["width"])[inside], 0, atol=1e-12)


def test_bands_end_where_a_run_diverges():
    """From there on they are infinite, also where its curve has other points than those of the others, or none."""
    long = make_run([2.0] * 6, (1.0, 1.0, 1.0), window=10)
    lost = make_run([2.0] * 25 + [math.nan] * 5, (1.0,), diverged_at=25)
    (band,) = bands(make_data(long, lost))["plain"]
    assert band["diverged_at"] == 25
    assert band["same_step"]["step"] == [4.5, 14.5, 24.5, 34.5, 44.5, 54.5]
    assert band["same_step"]["width"].tolist() == [0, 0, *[math.inf] * 4]
    assert band["same_progress"]["width"].tolist() == [*[0] * 5, math.inf]
    assert np.isinf(band["gradient"]["high"]).tolist() == [False, True, True]
    for other, num in ((long, 6), (make_run([math.nan], (1.0,), diverged_at=0), 0)):
        (band,) = bands(make_data(other, make_run([math.nan], (1.0,), diverged_at=0)))["plain"]
        assert np.isinf(band["same_step"]["width"]).tolist() == [True] * num


def test_bands_end_where_the_shortest_run_does():
    """What a run that is shorter than the others would have lost is not known."""
    (band,) = bands(make_data(make_run([2.0] * 6, (1.0,) * 3), make_run([1.0] * 4, (1.0,) * 2)))["plain"]
    assert band["same_step"]["step"] == [0, 1, 2, 3]
    assert band["gradient"]["step"] == [0, 2]
    assert reason_of(edge("same_step", "width").median(1, 5), band) == "needs 5 steps, ran 3"


def test_bands_of_runs_that_lack_something():
    """A seed that one rate lacks has no band, and what was not recorded is not in it."""
    lone = {**make_run([2.0] * 3), "seed": 1}
    data = make_data(make_run([2.0] * 3), make_run([1.0] * 3))
    data["multirun"]["plain_0.1"].append(lone)
    (band,) = bands(data)["plain"]
    assert band["seed"] == 0
    bare = {name: value for name, value in make_run([2.0] * 3).items() if name not in ("successive_gradients", "train")}
    (band,) = bands(make_data(bare, bare))["plain"]
    assert "not recorded" in reason_of(edge("gradient", "low").median(), band)
    assert "not recorded" in reason_of(edge("same_step", "low").median(), band)


def test_arms():
    """Each net at each learning rate, for as many steps as asked for, with the last layer's gradient."""
    config = landscape.PRESETS["cpu"]
    arms = landscape.rate_arms(config)
    assert [*arms] == [f"{net}_{rate}" for rate in (0.05, 0.1, 0.2) for net in NETS]
    for name, run in arms.items():
        assert run.norm.kind == ("batch" if name.startswith("batch_norm") else "none")
        assert f"{run.optimizer.learning_rate:g}" == name.rpartition("_")[2]
        assert (run.schedule.num_steps, run.seeds) == (1000, config.vgg.seeds)
        assert [*run.probes] == [SuccessiveGradients(layers=(11,))]
    deeper = landscape.rate_arms(change(config, vgg={"model": {"depth": "13"}, "schedule": {"num_steps": 500}}))
    found = {(run.probes.successive_gradients.layers, run.schedule.num_steps) for run in deeper.values()}
    assert found == {((13,), 500)}
    assert landscape.rate_arms(landscape.PRESETS["mameli"]) == {}


def test_what_is_published_of_such_a_run():
    """The loss, with fewer points, and how far the last layer's gradient moves."""
    found = make_run(np.arange(250.0), window=2)
    found["successive_gradients"]["layers"]["layer_11"]["norm"] = [1.0, 1.0]
    found["successive_gradients"]["layers"]["all"] = {"norm": [1.0, 1.0]}
    found["train"]["accuracy"] = [0.5] * 250
    (found,) = keep({"multirun": {"net": [found]}}, {"multirun": landscape.KEEP["multirun"]})["multirun"]["net"]
    assert found["train"] == {"step": [*range(0, 500, 6)], "window": 6, "loss": [*np.arange(1.0, 248, 3), 249.0]}
    assert found["successive_gradients"]["layers"] == {"layer_11": {"step_distance": [1.0, 2.0]}}


def test_table_and_findings(data):
    """Their rows are after the deep linear network's, and a sentence says what their claims measure."""
    _, _, rows = table.summarise(data).partition("VGG, runs of a seed at learning rates 0.05, 0.1 and 0.2\n")
    assert float(rows.splitlines()[3].split()[-1]) == pytest.approx(4, rel=0.01)
    assert [line.split()[:4] for line in rows.splitlines()[4:]] == [
        ["best", "test", "accuracy,", f"{rate}"] for rate in (0.05, 0.1, 0.2)
    ]
    words = table.findings(data)
    assert "; of runs at learning rates 0.05, 0.1 and 0.2, the losses at a step lie" in words


def test_claims(data):
    """Widths and changes are compared with batch norm's; at equal learning rate x steps, noise is all that is left."""
    found = judged(data)
    assert found["predictiveness"].values == pytest.approx([4] * 3, rel=0.01)
    assert found["progress"].verdict == "supported"
    assert {judgement.num_runs for judgement in found.values()} == {18}
    swapped = copy.deepcopy(data)
    swapped["multirun"] = {
        name.replace(*pair): runs
        for name, runs in data["multirun"].items()
        for pair in [("plain", "batch_norm") if "plain" in name else ("batch_norm", "plain")]
    }
    assert judged(swapped)["predictiveness"].verdict == "contradicted"
    assert judged(swapped)["loss"].median == pytest.approx(1 / found["loss"].median)


def test_data_without_such_runs(data):
    """Nothing is measured, said or tabled, as in data that were made before there were such runs."""
    older = {name: value for name, value in data.items() if name != "multirun"}
    for without in (older, {**older, "multirun": {}}):
        assert {judgement.reason for judgement in judged(without).values()} == {"needs runs at several learning rates"}
        assert "learning rates" not in table.findings(without)
        assert "runs of a seed" not in table.summarise(without)


def test_a_run_that_diverges_counts():
    """Its step is told, and the net without batch norm counts as infinitely rough."""
    data = landscape_data("cpu", diverged_at=70, max_steps=400, vgg_steps=3500, rates_steps=3500)
    assert "without BN, 0.2, seed 0: the loss stopped being finite at step 70." in table.summarise(data)
    found = judged(data)
    assert found["loss"].median == found["predictiveness"].median == math.inf
    assert found["loss"].num_diverged == 9


def test_edge_of_stability_is_that_of_gradient_descent(data):
    """With Adam, the smoothness is not measured in units of 2 / learning rate."""
    adam = copy.deepcopy(data)
    adam["config"]["vgg"]["optimizer"]["name"] = "adam"
    (claim,) = (claim for claim in claims_of("landscape") if claim.name == "landscape_smoothness_plateau")
    assert not math.isnan(judge(claim, data).median)
    assert judge(claim, adam).reason == "2 / learning rate is not known here"


def test_impossible_rates(capsys, tmp_path):
    """One of them spans no band."""
    for arguments, message in (
        (["--rates", "0.1"], "rates must be none, or two or more different numbers > 0 and finite, got (0.1,)."),
        (["--rates", "0.1", "0.1"], "rates must be none, or two or more different"),
        (["--rates", "0.1", "-1"], "rates must be none, or two or more different"),
        (
            ["--rates", "0.1", "0.10000001"],
            "rates must be numbers that differ in six digits, by which arms are named, got (0.1, 0.10000001).",
        ),
        (["--rates-steps", "0"], "rates_steps must be at least 1, got 0."),
    ):
        with pytest.raises(SystemExit):
            cli.main(landscape, ["--preset", "smoke", "--results", str(tmp_path), *arguments])
        assert capsys.readouterr().err.startswith(f"error: {message}")
