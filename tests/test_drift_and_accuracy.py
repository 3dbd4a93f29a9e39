"""Drift against accuracy over nets: rank correlations, claims, table and figure, on data made by hand."""

import json
import math

import numpy as np
import pytest
from conftest import ROOT
from drawn import assert_readable

from experiments._evidence.correlation import rank_correlation
from experiments._evidence.read import read_data
from experiments._evidence.verdict import judge
from experiments._report.known import identities
from experiments.drift_and_accuracy import NETS, figure, table
from experiments.drift_and_accuracy.claims import CLAIMS


@pytest.fixture
def data():
    """The committed data."""
    return read_data(ROOT / "figures" / "drift_and_accuracy-cpu.json")


def rearranged(data, accuracy_of):
    """Give each net another accuracy throughout, by its place."""
    data = json.loads(json.dumps(data))
    for place, net in enumerate(NETS):
        for run in data["arms"][net]:
            run["train"]["accuracy"] = [accuracy_of(place)] * len(run["train"]["accuracy"])
            run["test"]["accuracy"] = [accuracy_of(place)] * len(run["test"]["accuracy"])
            moves = run["drift"]["layers"]["layer_10"]["successive"]
            moves |= {name: [[1.0 + place]] * len(values) for name, values in moves.items()}
    return data


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rank_correlations_are_those_of_the_closed_form(seed):
    """Without ties, 1 - 6 sum d² / (n (n² - 1)); with ties ranks are shared; of a constant there is none."""
    values, others = np.random.default_rng(seed).normal(size=(2, 9))
    ranks = [np.argsort(np.argsort(x)) for x in (values, others)]
    assert rank_correlation(values, others) == pytest.approx(1 - 6 * np.sum((ranks[0] - ranks[1]) ** 2) / (9 * 80))
    assert rank_correlation(np.array([1.0, 1.0, 2.0, np.inf]), np.array([1.0, 1.0, 2.0, 3.0])) == pytest.approx(1)
    assert math.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


@pytest.mark.slow
def test_steadier_nets_that_are_better_leave_the_headline_open(data):
    """Where they are worse, or as good, it holds; else it is in doubt, as batches differ, except for changes of variances."""
    for accuracy_of, verdict, of_variances in (
        (lambda place: 0.1 + place / 20, "supported", "supported"),
        (lambda place: 0.9 - place / 20, "inconclusive", "contradicted"),
    ):
        found = {claim.name: judge(claim, rearranged(data, accuracy_of)) for claim in CLAIMS}
        assert found.pop("headline_variance").verdict == of_variances
        assert {judgement.verdict for judgement in found.values()} == {verdict}
        if verdict == "inconclusive":
            assert all(
                judgement.reason.startswith("each measurement is of another batch") for judgement in found.values()
            )
    del data["arms"]["linf"]
    assert judge(CLAIMS[0], data).reason == "these data have no runs of linf"
    assert judge(CLAIMS[0], {**data, "arms": {}}).reason == "these data have no drift"


def test_what_normalisers_set_speaks_for_nothing():
    """Whichever way drift and accuracy go together, most nets have a normaliser that sets what moves."""
    assert {claim.side(holds) for claim in CLAIMS for holds in (True, False)} == {None}


def test_the_nets_are_those_of_other_experiments(data):
    """By their identities, so that none is trained twice; and so are the numbers."""
    own = identities("drift_and_accuracy", data)
    for name in ("noisy_batchnorm", "lp_norms"):
        theirs = read_data(ROOT / "figures" / f"{name}-cpu.json")
        for arm, identity in identities(name, theirs).items():
            net = arm.removeprefix("arms/")
            if arm in own:
                assert own[arm] == identity
                assert [run["test"] for run in data["arms"][net]] == [run["test"] for run in theirs["arms"][net]]


def test_words_and_picture(data):
    """Table and findings have every net's numbers; the figure has a mark for each run."""
    assert "l-infinity norm            0.162  56.6 %  56.2 %" in table.summarise(data)
    assert "with accuracy at the end, is -1.00 in training and" in table.findings(data)
    drawn = figure.plot(data).draw()
    assert_readable(drawn)
    assert sum(len(line.get_xdata()) for line in drawn.axes[0].lines) == 3 * len(NETS)
