"""Normalisers by lp norms: draws of the deep linear network, tables, findings and figure, on data made by hand."""

import numpy as np
import pytest
from committed import read
from matplotlib import pyplot as plt

from bnjax.runs import config_dict
from experiments import lp_norms
from experiments._config import DeepLinearRun, Schedule, change
from experiments._evidence.keep import keep
from experiments._evidence.verdict import judge
from experiments._presets import SMOKE
from experiments.lp_norms.claims import CLAIMS
from experiments.lp_norms.figure import more, plot
from experiments.lp_norms.table import count_below, findings, summarise

STEPS = list(range(0, 1000, 100))
ARMS = ("plain", "batch_norm", "l1", "l2", "linf")
# As in the paper: accuracy, change of the gradient, shift of the variance, and the deep linear network's final loss.
PUBLISHED = {
    "plain": (0.40, 57.0, 0.1, 1660.0),
    "batch_norm": (0.70, 26.0, 0.01, 479.0),
    "l1": (0.74, 30.0, 0.2, 97.0),
    "l2": (0.72, 25.0, 0.2, 481.0),
    "linf": (0.72, 26.0, 0.2, 986.0),
}


def make_drift(moved, controls_mean, first):
    """Record a unit whose variance moves by such a share at each step, and its mean, by more unless a norm controls it."""
    values = {
        "mean": 0.001,
        "variance": moved,
        "relative_mean": 0.001 if controls_mean else 2.0,
        "relative_variance": moved,
        "relative_wasserstein": 0.1 if controls_mean else 0.5,
    }
    layer = {"successive": {name: [[value]] * (len(STEPS) - 1) for name, value in values.items()}}
    if first:
        quantiles = np.linspace(-1, 1, 40) + 0.1 * np.arange(len(STEPS))[:, None]
        layer["shapes"] = {"step": STEPS, "quantiles": quantiles.tolist()}
    return {"step": STEPS, "layers": {"layer_10": layer}}


def make_vgg(net, seed):
    """Make a run of a VGG."""
    accuracy, change, moved, _ = PUBLISHED[net]
    scan = np.ones((len(STEPS), 2))
    return {
        "seed": seed,
        "train": {"step": STEPS, "window": 100, "accuracy": [accuracy + 0.001 * seed] * len(STEPS)},
        "test": {"step": [1000], "accuracy": [accuracy], "loss": [1.0]},
        "landscape": {
            "step": STEPS,
            "loss": (scan * [1.0, 1 + change / 20]).tolist(),
            "gradient_distance": (scan * [1.0, change]).tolist(),
        },
        "drift": make_drift(moved, net != "plain", seed == 0),
        "diverged_at": None,
    }


def make_deep(net, seed, loss=None):
    """Make a run of a deep linear network."""
    loss = PUBLISHED[net][3] if loss is None else loss
    return {
        "seed": seed,
        "train": {"step": [0, 100], "window": 100, "loss": [3e4, loss + seed]},
        "test": {},
        "landscape": {"step": [0, 100], "smoothness": [[1e9 if net == "plain" else 2e6]] * 2},
        "diverged_at": None,
    }


def make_data(num_draws=4, **losses):
    """Make data of three seeds and some draws; final losses of deep linear networks can be set."""
    vgg = change(SMOKE, schedule=Schedule(1000, 1000, 100), seeds=(0, 1, 2))
    config = lp_norms.Config(vgg.measuring("landscape"), DeepLinearRun(seeds=tuple(range(num_draws))))
    return {
        "preset": "smoke",
        "config": config_dict(config),
        "arms": {net: [make_vgg(net, seed) for seed in range(3)] for net in ARMS},
        "deep_linear": {net: [make_deep(net, seed, losses.get(net)) for seed in range(num_draws)] for net in ARMS},
        "provenance": [{"commit": "abc", "device": "CPU", "cpu_cores": 2, "date": "2026-01-01"}],
        "seconds": 1.0,
    }


def verdicts(data):
    """Judge every claim."""
    return {claim.name: judge(claim, data).verdict for claim in CLAIMS}


def test_accuracy_speaks_for_neither_side_while_its_premise_is_not_borne_out():
    """That the norms leave distributions less stable than the plain net's: in absolute units they leave them steadier."""
    committed = {claim.name: judge(claim, read("lp_norms")).verdict for claim in CLAIMS}
    assert (committed["lp_norms_shift"], committed["lp_norms_relative_shift"]) == ("contradicted", "supported")
    for claim in CLAIMS:
        if claim.hypothesis == "distributions":
            assert claim.side(holds=True) is claim.side(holds=False) is None, claim.name


def test_other_draws_support_the_caveats():
    """Where l1 ends above batch norm and l-infinity above nothing, the caveat holds; the claims stay open, and say why."""
    data = make_data(plain=6136.0, batch_norm=1390.0, l1=6995.0, linf=6624.0)
    found = verdicts(data)
    assert found["lp_norms_l1_best"] == found["lp_norms_deep_linear"] == "inconclusive"
    assert found["lp_norms_linf_no_better"] == "supported"
    reasons = {claim.name: judge(claim, data).reason for claim in CLAIMS}
    assert reasons["lp_norms_l1_best"] == "the published curve lies outside all draws of this set-up"


def test_means_after_the_activation_have_a_probe_of_their_own():
    """As the long presets measure them, beside pre-activations; data without that probe decide nothing."""
    (claim,) = (claim for claim in CLAIMS if claim.name == "lp_norms_mean_controlled")
    data = make_data()
    assert judge(claim, data).reason == "needs drift measured after the activation"
    data["config"]["vgg"]["probes"]["drift_after_activation"] = {"of": "activations"}
    for net, runs in data["arms"].items():
        for run in runs:
            run["drift_after_activation"] = make_drift(0.1, net != "plain", first=False)
    judgement = judge(claim, data)
    assert (judgement.verdict, judgement.median) == ("supported", pytest.approx(2000))
    assert judgement.setup.part == "activations of layer 10"
    assert "drift_after_activation" in lp_norms.KEEP["arms"]


def test_a_draw_that_diverged_has_an_infinite_loss():
    """It counts for its net's rivals, in claims and table."""
    data = make_data()
    data["deep_linear"]["l1"][1] |= {"diverged_at": 7}
    (claim,) = (claim for claim in CLAIMS if claim.name == "lp_norms_l1_best")
    judgement = judge(claim, data)
    assert (judgement.verdict, judgement.values[1], judgement.num_diverged) == ("inconclusive", 0, 1)
    assert judgement.num_runs == 8
    assert count_below(data["deep_linear"], "l1", "batch_norm") == "3 of 4"
    assert "l1 norm, seed 1: the loss stopped being finite at step 7." in summarise(data)


def test_words_are_computed():
    """The table has a row for each net in each network; the findings say in how many draws a net ends lower."""
    data = make_data()
    lines = summarise(data).splitlines()
    rows = [line.split() for line in lines if line.startswith("l1 norm")]
    assert rows[0][2:] == ["74.1", "%", "74.1", "%", "74.0", "%", "1.5", "30"]
    assert rows[1][2:] == ["98", "98", "to", "99", "4", "of", "4", "4", "of", "4"]
    found = findings(data)
    assert "is 74.1 % (l1 norm), 72.1 % (l2 norm), 72.1 % (l-infinity norm), against 70.1 % with batch norm" in found
    assert (
        "the l1 norm ends below batch norm in 4 of 4, and the l-infinity norm below the plain net in 4 of 4." in found
    )
    assert count_below(data["deep_linear"], "batch_norm", "l2") == "0 of 4"


def test_the_data_file_keeps_what_is_read():
    """Table and verdicts are the same without the other layers, losses and scans that it leaves out."""
    data = make_data()
    for runs in data["arms"].values():
        for run in runs:
            layers = run["drift"]["layers"]
            layers["layer_10"] |= {"quantiles": [[[0.0]]] * len(STEPS), "percentiles": [[[0.0]]] * len(STEPS)}
            layers["layer_3"] = layers["layer_10"]
            run["landscape"]["smoothness"] = [[1.0]] * len(STEPS)
    for run in (run for runs in data["deep_linear"].values() for run in runs):
        run["shift"] = {"step": []}
    kept = keep(data, lp_norms.KEEP)
    assert set(kept["arms"]["l1"][0]["drift"]["layers"]) == {"layer_10"}
    assert "smoothness" not in kept["arms"]["l1"][0]["landscape"]
    assert "shift" not in kept["deep_linear"]["l1"][0]
    assert summarise(kept) == summarise(data)
    assert verdicts(kept) == verdicts(make_data())


def test_the_figure_has_both_networks():
    """A figure of three panels each, and the distributions of five nets on one axis."""
    data = make_data()
    further = {name: draw(data).draw() for name, draw in more(data).items()}
    assert len(plot(data).draw().axes) == len(further["deep_linear"].axes) == 3
    panels = further["distributions"].axes
    assert len(panels) == len(ARMS)
    assert len({panel.get_xlim() for panel in panels}) == 1
    plt.close("all")


@pytest.mark.thorough
@pytest.mark.parametrize("diverged_at", [None, 7])
def test_the_figure_can_be_laid_out(diverged_at, tmp_path):
    """Nothing is too large for its place, which would be a warning."""
    data = make_data()
    data["deep_linear"]["l1"][1] |= {"diverged_at": diverged_at}
    for draw in (plot, *more(data).values()):
        draw(data).draw().savefig(tmp_path / "figure.png", dpi=40)
    plt.close("all")
