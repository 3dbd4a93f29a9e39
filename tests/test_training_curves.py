"""Accuracy over training: measures, claims, and what is told of nets and learning rates, on data made by hand."""

import math

import pytest
from faked import data_of
from runs import CURVE_SPEEDS, training_curves_data

from experiments import training_curves
from experiments._command import pictures
from experiments._command.catalogue import claims_of
from experiments._evidence.verdict import judge
from experiments.training_curves import table

UNTESTED = {"test_recalibrated"}  # in runs that are tested once


def judged(data):
    """Judge every claim."""
    return {claim.name.removeprefix("curves_"): judge(claim, data) for claim in claims_of("training_curves")}


def measured(data):
    """Judge what can be measured."""
    return {name: found.verdict for name, found in judged(data).items() if found.verdict != "inconclusive"}


def test_short_runs_judge_directions_alone():
    """Ahead with batch norm, every direction is supported; behind, contradicted; levels at later steps say nothing."""
    directions = {"speed", "speed_best_rates", "start", "early", "early_low_rate", "test", "one"}
    both = {"speed_tolerance", "high_rate", "high_rate_plain"}
    directions |= {"early_part", "early_low_rate_part"}
    both |= {"speed_tolerance_part", "high_rate_part"}
    faster = measured(training_curves_data(num_steps=1500))
    others = {"test_gap": "supported"}
    assert faster == {**dict.fromkeys(directions | both, "supported"), **others}
    # The plain net at learning rate 0.5 guesses in either.
    slower = measured(
        training_curves_data(speeds={"plain": 4.0, "batch_norm": 0.5, "batch_norm_4": 0.2}, num_steps=1500)
    )
    others = {"test_gap": "contradicted"}
    turned = dict.fromkeys(directions, "contradicted")
    assert slower == {**turned, **others, **dict.fromkeys(both, "supported")}


def test_long_runs_judge_levels():
    """Runs of 15,000 steps reach what the paper reads off, each at its own step; nothing needs the other settings."""
    # Absolute accuracies ask for the published width, which the paper's preset has.
    found = judged(training_curves_data("paper", {"plain": 8.0, "batch_norm": 30.0, "batch_norm_4": 12.0}, 15_000))
    values = {name: judgement.median for name, judgement in found.items()}
    # Accuracy is 1 - 0.9 exp(-speed · steps / 15,000): 80 % is reached once exp is 0.2 / 0.9.
    assert values["steps_batch_norm"] == pytest.approx(math.log(4.5) / 30 * 15_000, abs=100)
    assert values["steps_plain"] == pytest.approx(math.log(4.5) / 8 * 15_000, abs=100)
    assert values["test_batch_norm"] == pytest.approx(0.9, abs=0.01)
    assert values["speed_late"] == pytest.approx(0, abs=0.01)
    silent = {name for name, value in values.items() if math.isnan(value)}
    assert silent == {name for name in values if "adam" in name} | UNTESTED


def test_one_learning_rate_is_not_the_best_of_several():
    """Data of one learning rate leave open what asks for the best, and say why."""
    found = judged(training_curves_data("evening", num_steps=1500))
    open_ones = {name: judgement.reason for name, judgement in found.items() if "best_rate" in name}
    assert set(open_ones) == {"speed_best_rates", "speed_best_rate", "speed_best_rate_part"}
    assert set(open_ones.values()) == {"needs several learning rates, ran 0.1 alone"}


def test_other_presets_judge_their_own_sources():
    """The claim about a single batch norm is judged in Mameli's setting, those about Adam with Adam."""
    mameli = judged(training_curves_data("mameli", num_steps=11_700))
    assert not math.isnan(mameli["one"].median)
    assert mameli["speed"].reason == "these data have no runs of plain, learning rate 0.1"
    adam = judged(training_curves_data("alx"))
    assert adam["adam"].verdict == "supported"
    assert adam["adam_high_rate"].verdict == "contradicted"


def test_words_are_computed():
    """Table and findings have the closed forms of accuracy and speed, and say what diverged."""
    data = training_curves_data(diverged_at=120)
    # Half is reached once exp(-4 steps / 1,000) is 0.5 / 0.9, after 147 steps: seen at the middle one of 5 points of 2 steps.
    lines = table.summarise(data).splitlines()
    (row,) = (line for line in lines if line.startswith("with BN, 0.1 "))
    assert row.split()[3:] == ["154", "382", "98.2", "%", "88.5", "%", "88.5", "%"]
    assert "Diverged: without BN, 0.5, seed 2: the loss stopped being finite at step 120." in lines
    found = table.findings(data)
    assert "at learning rate 0.01, 0.1 and 0.5" in found
    assert "88.5 %, 88.5 % and 88.5 % test accuracy with batch norm" in found
    assert (
        "40.8 %, 40.8 % and 10.0 % without; compared seed by seed at learning rate 0.1, batch norm changes it by"
        in found
    )
    assert "is reached after 154, 154 and 154 steps with batch norm" in found
    assert found.endswith("not within 1,000 steps without it. 3 of 27 runs diverged and count as guesses.")
    quick = table.findings(training_curves_data(speeds={**CURVE_SPEEDS, "plain": 4.0}))
    assert quick.endswith("after 154 and 154 steps at learning rate 0.01 and 0.1 alone without it.")


@pytest.mark.slow
def test_without_the_net_that_is_normalised_once():
    """Full width compares two nets: neither figure nor words ask for a third one."""
    data = data_of("training_curves", "--once", "False")
    assert {*data["arms"]} == {f"{net}_{rate}" for net in ("plain", "batch_norm") for rate in ("0.1", "0.5")}
    assert "layer 4" not in table.findings(data) + table.summarise(data)
    assert pictures.draw_data(training_curves, data)
