"""The experiment on covariate shift: its table, findings and claims, on data made by hand."""

import math

import pytest
from runs import covariate_shift_data

from experiments._evidence.keep import keep
from experiments._evidence.quantities import SECOND_NET_FLOOR, shift
from experiments._evidence.verdict import judge
from experiments._training.probes.probe import by_layer
from experiments.covariate_shift import KEEP
from experiments.covariate_shift.claims import CLAIMS
from experiments.covariate_shift.figure import more
from experiments.covariate_shift.table import findings, summarise


@pytest.fixture(scope="module")
def data():
    """Data of three optimisers and both learning rates, 1,200 steps of each, where batch norm has more shift."""
    return covariate_shift_data("cpu", max_steps=1200)


def test_records_become_curves_of_layers():
    """A list per layer and field; nothing where nothing was recorded."""
    records = [
        {"step": 0, "layers": ["a", "b"], "cosine": [1.0, 0.5]},
        {"step": 10, "layers": ["a", "b"], "cosine": [0.9, 0.4]},
    ]
    assert by_layer(records) == {"step": [0, 10], "layers": {"a": {"cosine": [1.0, 0.9]}, "b": {"cosine": [0.5, 0.4]}}}
    assert by_layer([]) == {}


def test_table(data):
    """Every setting has its rows; the ratio is with batch norm over without, and cosines have none."""
    table = summarise(data)
    for words in ("SGD, learning rate 0.1", "Adam, learning rate 0.001", "learning rate 1e-7", "3 seeds, 10 draws"):
        assert words in table
    rows = [line.split() for line in table.splitlines() if "layer 5, |G - G'|  " in line]
    assert [row[-1] for row in rows] == ["3.00"] * 3
    assert {line.split()[-1] for line in table.splitlines() if "cosine" in line} == {"-"}
    assert "stopped being finite" not in table


def test_findings(data):
    """Each ratio, the share that is there without a step, and the cosines come from the data."""
    words, found = findings(data), {claim.name: judge(claim, data).median for claim in CLAIMS}
    assert words.count("3.0 times") == 3
    assert f"a median of {found['shift_deep_linear_fast']:+.2f} without batch norm at learning rate 1e-6" in words
    assert f"a mean of {found['shift_deep_linear']:+.2f} with batch norm at 1e-7" in words
    assert f"{100 * found['shift_second_net_floor']:.1f} % of it exists" in words
    short = findings(covariate_shift_data("smoke"))
    assert "deep linear network" not in short, "its claims begin at step 1,000"
    slow = data["arms"] | {name: [] for name in data["arms"] if name.endswith("sgd_0.01")}
    assert "second net" not in findings(data | {"arms": slow})
    assert not {"nan", "-", "known"} & {*findings(data | {"arms": slow}).split()}


def test_claims_measure_what_they_say():
    """Three times as much shift, a cosine of 0.4 instead of 0.8, and a second net that is nearly all floor."""
    data = covariate_shift_data("mameli", num_draws=3)
    found = {claim.name: judge(claim, data).median for claim in CLAIMS}
    for name in ("shift_slow_rate", "shift_slow_rate_later", "shift_second_net", "shift_second_net_later"):
        assert found[name] == pytest.approx(3, rel=0.01)
    assert found["shift_gradients_alike_slow"] == pytest.approx(-0.4, abs=0.02)
    assert found["shift_second_net_floor"] == pytest.approx(0.95, rel=0.15)
    assert found["shift_second_net_cosine"] == pytest.approx(0.125, rel=0.2)
    assert found["shift_deep_linear_plain"] == pytest.approx(0.8, abs=0.03)
    assert found["shift_deep_linear"] == pytest.approx(0.4, abs=0.03)
    assert found["shift_deep_linear_loss"] > 1


def test_of_both_nets_the_one_that_speaks_against_a_claim_decides(data):
    """Of the floor the smaller one is taken, of cosines the larger one, and of two layers the smaller cosine."""
    claims = {claim.name: claim.statistic for claim in CLAIMS}
    floors = [[SECOND_NET_FLOOR.of(run) for run in data["arms"][f"{net}_sgd_0.01"]] for net in ("batch_norm", "plain")]
    found = claims["shift_second_net_floor"].of(data)
    assert list(found.values()) == [min(pair) for pair in zip(*floors, strict=True)]
    layers = [[shift(n, "cosine").median(1000).of(run) for run in data["deep_linear"]["plain_1e-07"]] for n in (9, 17)]
    found = claims["shift_deep_linear_plain"].of(data)
    assert list(found.values()) == [min(pair) for pair in zip(*layers, strict=True)]


@pytest.mark.slow
def test_deep_linear_networks_are_read_both_ways():
    """The nets trained without the half in the loss have claims, a table and a figure of their own."""
    data = covariate_shift_data("evening", num_draws=3)
    judged = {claim.name: judge(claim, data) for claim in CLAIMS}
    assert judged["shift_unhalved_more"].median == pytest.approx(3, rel=0.01)
    assert judged["shift_unhalved_plain"].verdict == "contradicted"
    assert judged["shift_unhalved_loss"].setup.seeds == "3 draws"
    assert "Deep linear network, loss not halved and initial matrices 5 % larger" in summarise(data)
    assert [*more(data)] == ["deep_linear_1e-06", "deep_linear_unhalved"]
    (loss,) = (claim for claim in CLAIMS if claim.name == "shift_unhalved_loss")
    assert judge(loss, covariate_shift_data("cpu")).reason == "these data have no runs of plain"


def test_runs_that_diverge_count():
    """The table says at which step, the findings are written; its shift is infinite, its cosine is not known."""
    data = covariate_shift_data("smoke", diverged_at=25)
    assert "plain_sgd_0.1, seed 0: the loss stopped being finite at step 25." in summarise(data)
    assert "as a multiple of the plain net's, is unknown" in findings(data)  # after 40 steps
    (run,) = data["arms"]["plain_sgd_0.1"]
    assert shift(5).median().of(run) == math.inf
    assert math.isnan(shift(5, "cosine").median().of(run))
    assert shift(5).median(last=20).of(run) < math.inf


def test_the_data_file_keeps_what_is_read(data):
    """Verdicts and table are the same from numbers of the many draws as from their curves."""
    tested = {"step": [1200], "loss": [1.0], "accuracy": [None]}  # real runs are tested at their end
    linear = {net: [run | {"test": tested} for run in runs] for net, runs in data["deep_linear"].items()}
    data = data | {"deep_linear": linear}
    kept, whole = keep(data, KEEP), keep(data, KEEP | {"deep_linear": KEEP["deep_linear"].kept})
    assert not any("shift" in run for runs in kept["deep_linear"].values() for run in runs)
    assert summarise(kept) == summarise(whole)
    for claim in CLAIMS:
        found, expected = judge(claim, kept), judge(claim, whole)
        assert (found.verdict, found.reason) == (expected.verdict, expected.reason), claim.name
        assert found.median == pytest.approx(expected.median, rel=1e-3, nan_ok=True), claim.name
