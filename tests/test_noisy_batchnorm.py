"""Noise with and without batch norm: what is published, claims, and what is told, on data made by hand."""

import math

import numpy as np
import pytest
from conftest import ROOT
from runs import NOISY_MOVES, NOISY_SPEEDS, noisy_data

from experiments._command.catalogue import claims_of
from experiments._evidence.drift import over_layers, typical
from experiments._evidence.keep import keep
from experiments._evidence.read import read_data
from experiments._evidence.run import layer_names
from experiments._evidence.verdict import judge
from experiments.noisy_batchnorm import KEEP, NOISY, PRESETS, by_strength, figure, groups, table

NOT_MEASURED = {"late", "above_plain", "test_recalibrated"}  # in runs of 1,000 steps that are tested once


def judged(data):
    """Judge every claim."""
    return {claim.name.removeprefix("noisy_"): judge(claim, data) for claim in claims_of("noisy_batchnorm")}


def verdicts(data):
    """Judge what can be measured."""
    return {name: found.verdict for name, found in judged(data).items() if found.verdict != "inconclusive"}


def test_claims_that_hold():
    """Noise that costs little with batch norm and everything without; the control with scaled noise speaks against it."""
    data = noisy_data()
    # What is tested here fits its running statistics.
    assert verdicts(data) == {
        **dict.fromkeys(set(judged(data)) - NOT_MEASURED, "supported"),
        # What is spread over more moves less far in units of its spread.
        **dict.fromkeys(("test", "distance"), "contradicted"),
    }
    values = {name: found.median for name, found in judged(data).items()}
    assert values["mean"] == pytest.approx(3)
    assert values["mean_relative"] == pytest.approx((0.3 / 1) / (0.1 / 0.2))
    assert values["variance"] == pytest.approx(3)
    assert values["variance_relative"] == pytest.approx((0.3 / 1) / (0.1 / 0.04))
    assert math.isnan(values["late"])


def test_claims_that_do_not_hold():
    """Each turns out wrong where the nets do the opposite, also because a net with noise diverges."""
    speeds = {"plain": 4.0, "batch_norm": 4.0, "noisy_batch": 1.0, "noise": 2.0, "relative_noise": 0.0}
    found = verdicts(noisy_data(speeds=speeds, moves={**NOISY_MOVES, "noisy_batch": (0.05, 0.05)}))
    assert found.pop("plain_scaled_cost") == found.pop("test") == found.pop("distance") == "supported"
    assert set(found) == set(judged(noisy_data())) - {*NOT_MEASURED, "plain_scaled_cost", "test", "distance"}
    assert set(found.values()) == {"contradicted"}
    lost = judged(noisy_data(speeds=speeds, diverged_at=30))["plain_stops"]
    assert (lost.verdict, lost.median, lost.num_diverged) == ("supported", 0.1, 3)


def test_the_remark_on_less_stable_distributions_agrees_with_the_data():
    """In the committed data: means in each layer, variances in all but the first, distributions in all but the deepest."""
    data = read_data(ROOT / "figures" / "noisy_batchnorm-cpu_long.json")
    nets, layers = ("noisy_batch", "plain"), layer_names(data["arms"]["plain"], "drift")
    assert min(over_layers(min, *nets, "mean").of(data).values()) > 1
    for moment, rest in (("variance", 0), ("wasserstein", -1)):
        ratios = {layer: typical(layer, moment).over(*nets).of(data).values() for layer in layers}
        other = ratios.pop(layers[rest])
        assert min(map(min, ratios.values())) > 1
        assert min(other) < 1


def test_long_runs_are_judged_late():
    """After 5,500 steps the training with noise is compared once more."""
    found = judged(
        noisy_data("paper", {**NOISY_SPEEDS, "plain": 20.0, "batch_norm": 40.0, "noisy_batch": 39.0}, num_steps=15_000)
    )
    assert found["late"].verdict == found["above_plain"].verdict == "supported"
    assert found["late"].median == pytest.approx(0, abs=0.01)


def test_strengths_are_sorted_and_begin_without_noise():
    """Strength 0 is the net without noise, 1 the usual one; the others come from the sweep."""
    data = noisy_data()
    strengths = by_strength(data)
    assert {strength: tuple(nets) for strength, nets in strengths.items()} == dict.fromkeys(
        ("none", "0.5", "1", "2", "4"), NOISY
    )
    assert strengths["none"]["noisy_batch"] is data["arms"]["batch_norm"]
    assert strengths["none"]["noise"] is strengths["none"]["relative_noise"] is data["arms"]["plain"]
    assert strengths["1"]["noise"] is data["arms"]["noise"]
    assert strengths["2"]["noise"] is data["sweep"]["noise_2"]


def test_what_is_published_is_small():
    """Scans are dropped, and of the sweep all but a hundred points of each curve."""
    data = noisy_data()
    for runs in data["arms"].values():
        for run in runs:
            run["landscape"] = {"step": [0], "loss": [[1.0]]}
    published = keep(data, KEEP)
    run = published["arms"]["plain"][0]
    assert "landscape" not in run
    assert np.shape(run["drift"]["layers"]["layer_8"]["successive"]["relative_mean"]) == (19, 1)
    assert len(run["train"]["step"]) == 250
    assert {len(run["train"]["step"]) for runs in published["sweep"].values() for run in runs} == {100}
    assert judged(published)["mean"].median == pytest.approx(3)


def test_words_are_computed():
    """Tables and findings have accuracies, strengths, shifts and what diverged."""
    data = noisy_data(diverged_at=30)
    lines = table.summarise(data).splitlines()
    heads = [line.split("  ")[0] for line in lines]
    assert heads[2:7] == ["without BN", "with BN", "noisy BN", "noise without BN", "scaled noise without BN"]
    assert heads[7:10] == [
        f"{noise}, strength 0.5" for noise in ("noisy BN", "noise without BN", "scaled noise without BN")
    ]
    (shifts,) = (line for line in lines if line.startswith("noisy BN") and "%" not in line)
    assert shifts.split()[2:5] == ["0.3"] * 3
    assert lines[-1] == "Diverged: noise without BN, seed 2: the loss stopped being finite at step 30."
    found = table.findings(data)
    assert "98.2 % with batch norm and 66.0 % without; the same noise leaves the plain net at 10.0 %" in found
    assert (
        "in layers 3, 8, 10 moves at least 3.0 times as far with noisy batch norm as without batch norm, but" in found
    )
    assert found.endswith("noise without BN, seed 2: the loss stopped being finite at step 30.")


def test_layers_follow_the_network():
    """The layers that are judged are those that were followed, whatever their numbers."""
    data = noisy_data("paper", num_steps=1000)
    assert layer_names(data["arms"]["plain"], "drift") == ["layer_2", "layer_9", "layer_12"]
    assert judged(data)["mean"].verdict == "supported"


def test_distributions_of_every_net_stand_on_one_axis():
    """A panel per net, where the data keep shapes; data from before they were kept have no such figure."""
    data = noisy_data()
    assert figure.more(data) == {}
    published = keep(data, KEEP)
    panels = figure.more(published)["distributions"](published).draw().axes
    assert len(panels) == len(data["arms"]) == 5
    assert len({panel.get_xlim() for panel in panels}) == 1


def test_there_may_be_no_other_strength():
    """Preset cpu_long has the usual strength alone; figure and table name no other."""
    data = noisy_data()
    del data["sweep"]
    data["config"]["noise_strengths"] = []
    assert groups(PRESETS["cpu_long"])["sweep"] == {}
    assert [*by_strength(data)] == ["none", "1"]
    assert "strength" not in table.summarise(data) + table.findings(data)
    assert figure.plot(data)
