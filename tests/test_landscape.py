"""The experiment on the landscape: its table, findings and claims, on data made by hand."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from runs import landscape_data

from experiments import covariate_shift, gradient_depth, landscape, noisy_batchnorm, training_curves
from experiments._command import cli
from experiments._command.catalogue import claims_of
from experiments._config import Schedule, VGGRun
from experiments._evidence.quantities import (
    GRADIENT_CHANGE,
    HIGHEST_LOSS,
    LOSS_AND_CHANGE,
    LOWEST_LOSS,
    RELATIVE_CHANGE,
    SMOOTHNESS,
)
from experiments._evidence.verdict import judge
from experiments._training.asked import Asked
from experiments._training.log import curves as run_curves
from experiments._training.tasks import make_task
from experiments.landscape import table as tables


@pytest.fixture(scope="module")
def data():
    """Data in which everything varies four times as much without batch norm, 3,500 steps of the VGG."""
    return landscape_data("cpu", max_steps=1200, vgg_steps=3500)


def medians(data):
    """Compute the median of each claim's statistic."""
    return {claim.name.removeprefix("landscape_"): judge(claim, data).median for claim in claims_of("landscape")}


def test_table(data):
    """Both nets' numbers and their ratios, for all four groups of quantities."""
    lines = tables.summarise(data).splitlines()
    for name in (
        "loss range",
        "effective smoothness",
        "random: loss range",
        "largest loss",
        "smoothness, last quarter",
    ):
        rows = [line for line in lines if line.strip().startswith(name)]
        assert rows
        for row in rows:
            assert float(row.split()[-1]) == pytest.approx(4, rel=0.01), name
    (row,) = (line for line in lines if line.startswith("|g + g'|, layer_5"))
    assert float(row.split()[-1]) == pytest.approx(1 / 3, rel=0.01)
    assert any("with BN 210" in line for line in lines)
    assert any("10 draws" in line for line in lines)


def test_findings(data):
    """They name what claims measure; where nothing could be measured, they say so."""
    words = tables.findings(data)
    assert "varies 4.0 times as much along the gradient" in words
    assert "at step 0, 0.25 times as much with batch norm" in words
    assert "nan" not in words
    assert "an unknown number of times" in tables.findings(landscape_data("smoke"))
    assert "has not come to a plateau" in words
    assert "has not come" not in (without := tables.findings(data | {"short": {}}))
    assert without.endswith("which would show whether that step sets the value of the VGG.")


def test_claims_measure_what_they_say(data):
    """Ratios of the nets, and the smoothness in units of 2 / learning rate."""
    found = medians(data)
    for name in ("loss_range", "predictiveness", "smoothness", "random_direction", "deep_linear"):
        assert found[name] == pytest.approx(4, rel=0.01), name
    assert found["rough_start"] == pytest.approx(1 / 4, rel=0.01)
    assert found["shorter_gradient"] == found["successive_relative"] == 1
    assert found["successive_sum"] == found["successive_distance"] == pytest.approx(3, rel=0.01)
    late = [run["landscape"]["smoothness"][20:] for run in data["arms"]["batch_norm"]]
    largest = np.median([np.median(np.max(scans, axis=1)) for scans in late])
    assert found["smoothness_plateau"] == pytest.approx(largest * 0.1 / 2)
    assert found["loss_change"] < 1
    later = ("loss_range_late", "loss_range_twofold", "smoothness_late", "smoothness_falls", "smoothness_saturates")
    for name in later:
        assert math.isnan(found[name]), name


@pytest.mark.slow
def test_saturation_is_told_from_the_edge_of_stability():
    """Where the gradient vanishes behind the smallest step, half that step doubles the smoothness, and twice it halves it."""
    saturated = landscape_data("cpu", max_steps=15_000, vgg_steps=15_000)
    for group, smallest in (("arms", 0.05), ("short", 0.025)):
        for run in saturated[group]["batch_norm"]:
            sizes = np.array([0.025, 0.05, 0.1, 0.2, 0.4])
            run["landscape"]["smoothness"] = [(1 / sizes[sizes >= smallest]).tolist()] * len(run["landscape"]["step"])
    found = medians(saturated)
    assert found["smoothness_saturates"] == found["smoothness_falls"] == 2
    assert found["smoothness_plateau"] == 1


@pytest.mark.slow
def test_what_the_grid_sets_is_told_from_what_it_does_not():
    """Where the smallest step sets the smoothness, their product is 1 in both nets and grids; the net further from 1 counts."""
    data = landscape_data("cpu", max_steps=15_000, vgg_steps=15_000)
    for group, smallest in (("arms", 0.05), ("short", 0.025)):
        for runs in data[group].values():
            for run in runs:
                sizes = np.array([0.025, 0.05, 0.1, 0.2, 0.4])
                run["landscape"]["smoothness"] = [(1 / sizes[sizes >= smallest]).tolist()] * len(
                    run["landscape"]["step"]
                )
    found = medians(data)
    assert found["smoothness_grid"] == found["smoothness_grid_short"] == pytest.approx(1)
    for run in data["arms"]["plain"]:
        run["landscape"]["smoothness"] = [[14.0, 3.0, 2.0, 1.0]] * len(run["landscape"]["step"])
    assert medians(data)["smoothness_grid"] == pytest.approx(0.7)
    assert medians(data)["smoothness_grid_short"] == pytest.approx(1)


@pytest.mark.slow
def test_batch_sharpness_is_in_units_of_the_edge_of_stability():
    """Late in the training, net by net; at a learning rate of 0.1 the edge is 20."""
    data = landscape_data("cpu", max_steps=1200, vgg_steps=15_000)
    for net, late in (("plain", 20.0), ("batch_norm", 10.0)):
        for run in data["arms"][net]:
            run["batch_sharpness"] = {"step": [0, 5000, 10_000], "sharpness": [99.0, 18.0, late]}
    claims = [claim for claim in claims_of("landscape") if "_sharpness_" in claim.name]
    found = {claim.name: judge(claim, data) for claim in claims}
    assert found["landscape_sharpness_plain"].verdict == "supported"
    assert found["landscape_sharpness_batch_norm"].verdict == "contradicted"
    assert found["landscape_sharpness_batch_norm"].median == 0.5
    assert found["landscape_sharpness_plain_part"].median == pytest.approx(0.95)
    short = {claim.name: judge(claim, landscape_data("cpu")) for claim in claims}
    assert short["landscape_sharpness_plain"].reason == "needs 9,000 steps, ran 1,500"


@pytest.mark.slow
def test_long_runs_have_all_claims():
    """Nothing is left unmeasured by the paper's steps, except a plateau that is none, batch sharpness and another preset's."""
    data = landscape_data("cpu", max_steps=15_000, vgg_steps=15_000, rates_steps=3500)
    unknown = {name for name, value in medians(data).items() if math.isnan(value)}
    others = {name for name in unknown if name.startswith(("sharpness_", "unhalved"))}
    assert unknown - others == {"smoothness_saturates"}


@pytest.mark.slow
def test_deep_linear_networks_are_read_both_ways():
    """Without the half in the loss steps are twice as long, so that the edge of stability is half as high."""
    data = landscape_data("evening", max_steps=1000)
    run, other = (
        groups["plain"]
        for groups in map(landscape.groups(landscape.PRESETS["evening"]).get, ("deep_linear", "unhalved"))
    )
    assert (other.optimizer.learning_rate, other.model.kernel_scale) == (2 * run.optimizer.learning_rate, 1.05)
    claims = {claim.name.removeprefix("landscape_"): claim for claim in claims_of("landscape")}
    usual, doubled = (claims[name].statistic.of(data) for name in ("deep_linear_end", "unhalved_end"))
    assert len(doubled) == 64
    # The same scans, of steps twice as long: they change as much over twice the distance, of an edge half as high.
    assert doubled == pytest.approx(usual)
    assert judge(claims["unhalved_loss"], data).setup.words.startswith(
        "Deep linear network of 25 layers, SGD, learning rate 1e-6"
    )


def test_losses_and_their_changes():
    """Each loss and how far it is from that of the step before, which the first has not, also where steps are averaged."""
    train = {"step": [0, 1, 2], "loss": [1.0, 3.0, 2.0], "loss_change": [None, 2.0, 1.0]}
    np.testing.assert_array_equal(LOSS_AND_CHANGE.values(train), [np.nan, 5, 3])
    np.testing.assert_array_equal(RELATIVE_CHANGE.values(train), [np.nan, 2 / 3, 1 / 2])
    losses = [float(1 + i % 2) for i in range(1000)]
    log = [{"kind": "train", "step": 0, "loss": losses, "accuracy": [0.5] * 1000}]
    config = VGGRun(schedule=Schedule(num_steps=1000))
    found = run_curves(log, Asked.of(config), make_task(config.net(), None))["train"]
    assert (found["window"], set(found["loss"]), set(found["loss_change"])) == (2, {1.5}, {1.0})


def test_a_run_that_diverges_counts():
    """Its step is told, and what it varies counts as infinite."""
    data = landscape_data("cpu", diverged_at=70, max_steps=400, vgg_steps=3500)
    assert "without BN, seed 0: the loss stopped being finite at step 70." in tables.summarise(data)
    assert medians(data)["loss_range"] == math.inf
    assert "∞ times" in tables.findings(data)


def test_impossible_arguments(capsys, tmp_path):
    """Where the figure's probes are left out, or an arm cannot be, a line says so and nothing is trained."""
    for experiment, arguments, message in (
        (landscape, ["--vgg.probes", "landscape"], "vgg.probes must be at least landscape, random_direction, succ"),
        (landscape, ["--short-multiples", "0"], "short_multiples must be one or more different numbers > 0"),
        (covariate_shift, ["--deep-linear.probes", "landscape"], "deep_linear.probes must be at least shift, got"),
        (
            covariate_shift,
            ["--deep-linear-rates", "-1"],
            "deep_linear_rates must be one or more different numbers > 0 and finite, or none",
        ),
    ):
        with pytest.raises(SystemExit):
            cli.main(experiment, ["--preset", "smoke", "--results", str(tmp_path), *arguments])
        assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("experiment", "name", "values"),
    [
        (training_curves, "learning_rates", (0.1, 0.10000001)),
        (covariate_shift, "deep_linear_rates", (1e-6, 1.0000001e-6)),
        (covariate_shift, "vgg_optimizers", (("sgd", 0.1), ("adam", 0.1), ("sgd", 0.10000001))),
        (gradient_depth, "scales", (1.0, 1.0000001)),
        (noisy_batchnorm, "noise_strengths", (2.0, 2.0000001)),
    ],
)
def test_numbers_that_would_name_the_same_arm_are_refused(experiment, name, values):
    """One of the two runs would take the other's place without a word."""
    rule = f"{name} must be numbers that differ in six digits, by which arms are named, got {values}."
    with pytest.raises(ValueError, match=re.escape(rule)):
        replace(experiment.PRESETS["smoke"], **{name: values})


def test_the_usual_strength_is_not_named_twice():
    """Nor is a strength that is written like the noise's own one of the further ones."""
    with pytest.raises(ValueError, match=r"noise_strengths must be .*, none of them 1, got"):
        replace(noisy_batchnorm.PRESETS["smoke"], noise_strengths=(1.0000001,))


def test_what_is_published_of_long_scans():
    """The ends of each scan are all that figure, table and claims take of it; what is not finite stays so."""
    scans = {"step": [0, 10], "loss": [[1.0, 3.0, 2.0], [1.0, float("nan"), 2.0]]}
    scans |= {
        "gradient_distance": [[4.0, 5.0, 6.0]] * 2,
        "smoothness": [[9.0, 8.0, 7.0]] * 2,
        "gradient_norm": [1.0, 1.0],
    }
    kept = landscape.KEEP["deep_linear"].kept["landscape"](scans, 0)
    np.testing.assert_array_equal(kept["loss"], [[1, 3], [np.nan, np.nan]])
    assert kept["gradient_distance"] == [[4, 6]] * 2
    assert kept["smoothness"] == [[7, 9]] * 2
    assert set(kept) == {"step", "loss", "gradient_distance", "smoothness"}
    for quantity in (LOWEST_LOSS, HIGHEST_LOSS, GRADIENT_CHANGE, SMOOTHNESS):
        values = [quantity.curve({"landscape": record})[1] for record in (kept, scans)]
        np.testing.assert_array_equal(*values)
