"""The experiment on covariate shift: its table, findings and claims, on data made by hand."""

import copy
import math

import pytest
from experiments._claims import claims_of
from experiments._claims.claim import judge
from experiments._numbers import shift as shift_numbers
from runs import covariate_shift_data

from experiments import covariate_shift
from experiments._training.probes.probe import by_layer

NETS = ("plain", "batch_norm")


@pytest.fixture(scope="module")
def data():
    """Data of three optimisers and both learning rates, 1,000 steps and more of each, where batch norm has more shift."""
    return covariate_shift_data("cpu", max_steps=1200)


def medians(data):
    """Compute the median of each claim's statistic."""
    return {claim.name: judge(claim, data).median for claim in claims_of("covariate_shift")}


def test_records_become_curves_of_layers():
    """A list per layer and field; nothing where nothing was recorded."""
    records = [
        {"step": 0, "layers": ["a", "b"], "cosine": [1.0, 0.5]},
        {"step": 10, "layers": ["a", "b"], "cosine": [0.9, 0.4]},
    ]
    assert by_layer(records) == {"step": [0, 10], "layers": {"a": {"cosine": [1.0, 0.9]}, "b": {"cosine": [0.5, 0.4]}}}
    assert by_layer([]) == {}


def test_table(data):
    """Every setting has its rows, and the ratio is with batch norm over without."""
    table = covariate_shift.summarise(data)
    for words in ("SGD, learning rate 0.1", "Adam, learning rate 0.001", "learning rate 1·10⁻⁷", "3 seeds, 10 draws"):
        assert words in table
    rows = [line.split() for line in table.splitlines() if "layer 5, |G - G'|  " in line]
    assert [row[-1] for row in rows] == ["3.00"] * 3
    assert "diverged" not in table
    assert "stopped being finite" not in table


def test_findings(data):
    """Each ratio, what is there without a step, and the cosines are those of the data."""
    words = covariate_shift.findings(data)
    assert words.count("3.00 times") == 3
    cosines = [shift_numbers.typical(data["deep_linear"][f"{net}_1e-07"], "layer_17", "cosine") for net in NETS]
    assert "{:.3g} and {:.3g} at learning rate 1·10⁻⁷".format(*cosines) in words
    floor = 100 * shift_numbers.floor(data["arms"]["plain_sgd_0.1"])
    assert f"{floor:.0f} %" in words


def test_claims_measure_what_they_say(data):
    """Three times as much shift, a cosine of 0.4 instead of 0.8, and a second net that is nearly all floor."""
    found = medians(data)
    assert found["shift_not_less"] == found["shift_adam"] == found["shift_at_start"] == pytest.approx(3, rel=0.01)
    assert found["shift_gradients_alike"] == pytest.approx(-0.4, abs=0.02)
    assert found["shift_second_net"] == pytest.approx(3, rel=0.01)
    assert found["shift_second_net_floor"] == pytest.approx(0.95, rel=0.15)
    assert found["shift_second_net_cosine"] == pytest.approx(0.125, rel=0.2)
    assert found["shift_deep_linear_plain"] == pytest.approx(0.8, abs=0.03)
    assert found["shift_deep_linear"] == pytest.approx(0.4, abs=0.03)
    assert found["shift_and_yet_better"] > 0
    assert found["shift_deep_linear_loss"] > 1
    for name in ("shift_later", "shift_slow_rate_later", "shift_second_net_later"):  # steps that are not taken
        assert math.isnan(found[name])


def test_claims_can_turn_out_otherwise(data):
    """With the nets swapped, every verdict on a direction turns."""
    swapped = copy.deepcopy(data)
    for group in ("arms", "deep_linear"):
        for setting in {arm.split("_", 1 + arm.startswith("batch"))[-1] for arm in data[group]}:
            plain, batch_norm = f"plain_{setting}", f"batch_norm_{setting}"
            swapped[group][plain], swapped[group][batch_norm] = data[group][batch_norm], data[group][plain]
    verdicts = [{c.name: judge(c, d).verdict for c in claims_of("covariate_shift")} for d in (data, swapped)]
    turned = {
        "shift_not_less",
        "shift_not_less_relative",
        "shift_and_yet_better",
        "shift_slow_rate",
        "shift_slow_rate_relative",
        "shift_adam_relative",
        "shift_gradients_alike_slow",
        "shift_adam",
        "shift_adam_dense",
        "shift_gradients_alike",
        "shift_second_net",
        "shift_deep_linear_fast_more",
        "shift_deep_linear_loss",
    }
    assert {
        name for name, verdict in verdicts[0].items() if {verdict, verdicts[1][name]} == {"supported", "contradicted"}
    } == turned


def test_runs_that_diverge_count():
    """Their step is told, findings are written, and no claim fails on them."""
    data = covariate_shift_data("smoke", diverged_at=25)
    assert "plain_sgd_0.1, seed 0: the loss stopped being finite at step 25." in covariate_shift.summarise(data)
    assert "times" in covariate_shift.findings(data)
    reasons = [judge(claim, data).reason for claim in claims_of("covariate_shift")]
    assert not [reason for reason in reasons if "sgd_0.1" in reason]
    data = covariate_shift_data("smoke", diverged_at=3)
    assert "seed 0" in covariate_shift.summarise(data)
