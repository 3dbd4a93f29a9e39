"""Networks of sigmoids on MNIST: how steady percentiles are, the nets that are compared, tables, findings and figure."""

import io
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT

from bnjax import data, linen, models, train
from bnjax.runs import config_dict, config_hash
from experiments import mnist_mlp
from experiments._config import LpNorm, MLPRun, Norm, Optimizer, Percentiles, VGGRun, change
from experiments._evidence.keep import keep
from experiments._evidence.read import read_data
from experiments._evidence.value import Missing
from experiments._training.probes import PROBES
from experiments._training.probes.percentiles import SETTLED_AFTER, stability
from experiments._training.tasks import make_task
from experiments.mnist_mlp.claims import CLAIMS
from experiments.mnist_mlp.figure import plot
from experiments.mnist_mlp.percentiles import FIRST_SPREAD, SPREAD_RANGE, WIDENING, steadiness
from experiments.mnist_mlp.table import findings, summarise

STEPS = np.arange(0, 5000, 100)
LATE = STEPS[STEPS >= SETTLED_AFTER]


def around(median, spread=1.0):
    """Put outer percentiles around a median, of one unit."""
    return np.stack([median - spread, median, median + spread], axis=-1)[:, None]


@pytest.mark.parametrize(
    ("median", "expected"),
    [
        (0 * STEPS + 3.0, (0, 0, 0)),
        (STEPS / 1000, ((LATE[-1] - LATE[0]) / 1000, 1, 0)),
        (np.where(STEPS < SETTLED_AFTER, 1e3, 2.0), (0, 0, 0)),
        (0.5 * (-1.0) ** np.arange(len(STEPS)), (1, 10, 0.5 * 12 / 11)),
        (STEPS / 1000 + 0.5 * (-1.0) ** np.arange(len(STEPS)), (5.3, 10, 0.5 * 12 / 11)),
    ],
    ids=["constant", "line", "early jump", "zigzag", "zigzag on a line"],
)
def test_steadiness_of_known_curves(median, expected):
    """A zigzag varies by its height per record, and an eleventh of it is left of its average over 11; a line is smooth."""
    found = stability(STEPS, around(median, spread=0.7))
    np.testing.assert_allclose(
        [found[name][0] for name in ("range", "variation", "roughness")], expected, rtol=1e-3, atol=1e-9
    )
    np.testing.assert_allclose(found["spread"], 0.7)


def test_what_is_too_short_or_not_finite():
    """Too few steps are NaN; steps that are not finite are left out."""
    found = stability(STEPS[:5], around(STEPS[:5].astype(float)))
    assert all(np.isnan(values).all() for values in found.values())
    found = stability(STEPS[:12], around(STEPS[:12].astype(float)))
    assert found["range"] == 600
    assert np.isnan(found["roughness"])
    broken = around(STEPS.astype(float))
    broken[-1] = np.nan
    assert stability(STEPS, broken)["range"] == LATE[-2] - LATE[0]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_percentiles_are_those_of_the_last_hidden_layer(norm):
    """They are taken on the test images, in evaluation mode, before the activation."""
    config = change(MLPRun(norm=Norm.choices()[norm]()), data={"dataset": "digits"}, model={"hidden": (6, 5)})
    module = {"none": None, "batch": partial(linen.BatchNorm, epsilon=1e-3)}[norm]
    model = models.make_model(models.MLPConfig(hidden=(6, 5), norm=module))
    trainer = train.Trainer(model, train.make_optimizer("sgd", 0.5), 16)
    digits = data.load("digits")
    state = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    # running statistics that are those of no batch
    state = state.replace(batch_stats=jax.tree.map(lambda leaf: leaf + 0.3, state.batch_stats))
    probe = PROBES["percentiles"](Percentiles(), config, trainer, 1.0)
    assert probe.split == "test"
    found = probe.measure(state, digits.test)

    def normalise(x, layer):
        if norm == "none":
            return x
        stats, params = state.batch_stats[f"norm_{layer}"], state.params[f"norm_{layer}"]
        rows = (stats["mean"], stats["var"], params["scale"], params["bias"])
        mean, var, scale, bias = (np.asarray(row)[None] for row in rows)
        return (x - mean) / np.sqrt(var + 1e-3) * scale + bias

    x = digits.test.images.reshape(297, -1) / 16
    for layer in (1, 2):
        weights = state.params[f"dense_{layer}"]
        inputs = normalise(x @ weights["kernel"] + weights["bias"][None], layer)
        x = jax.nn.sigmoid(inputs)
    np.testing.assert_allclose(found["running_layer"], np.percentile(inputs, (15, 50, 85)), atol=2e-4)
    np.testing.assert_allclose(found["running_units"], np.percentile(inputs, (15, 50, 85), axis=0).T, atol=2e-4)
    assert ("batch_units" in found) == (norm == "batch")
    if norm == "batch":
        assert np.shape(found["batch_units"]) == (5, 3)
        # 18 batches of 16, each with mean 0 and standard deviation 1, less what epsilon takes
        low, _, high = found["batch_layer"]
        assert 1.5 < high - low < 2.2


def test_the_typical_unit_has_the_middle_range():
    """Of units whose medians rise at different speeds, the one in the middle is drawn."""
    probe = PROBES["percentiles"](Percentiles(), MLPRun(), None, 1.0)
    speeds = np.array([1.0, 9.0, 4.0, 2.0, 7.0])
    records = [
        {
            "step": int(step),
            "running_layer": [0, 1, 2],
            "running_units": [[9, 9, 9]] * 5,
            "batch_layer": [0, 1, 2],
            "batch_units": [[s * step - 1, s * step, s * step + 1] for s in speeds],
        }
        for step in STEPS
    ]
    found = probe.collect(records)
    assert found["typical_unit"] == 2
    assert found["batch"]["unit"][3] == [1199, 1200, 1201]
    assert found["running"]["unit"][3] == [9, 9, 9]
    assert found["batch"]["of_units"]["range"] == 4 * (LATE[-1] - LATE[0])
    assert found["batch"]["of_units"]["relative_range"] == 4 * (LATE[-1] - LATE[0])
    assert found["batch"]["of_layer"]["range"] == 0
    without = [{name: values for name, values in record.items() if "batch" not in name} for record in records]
    assert "batch" not in probe.collect(without)
    assert probe.collect([])["step"] == []
    assert probe.collect(records[:2])["typical_unit"] == 0


def test_the_nets_are_those_of_the_two_sources():
    """Settings, normalisers and initial scales are what each source says."""
    config = mnist_mlp.PRESETS["cpu"]
    ioffe, huber = mnist_mlp.groups(config).values()
    assert {net: run.norm.kind for net, run in huber.items()} == {
        "plain": "none",
        "batch_norm": "batch",
        "huber": "huber",
    }
    assert ioffe["plain"].optimizer == Optimizer("sgd", learning_rate=0.5, batch_size=60)
    assert huber["plain"].optimizer == Optimizer("sgd", learning_rate=0.01, momentum=0.9, batch_size=60)
    assert (ioffe["plain"].schedule.num_steps, huber["plain"].schedule.num_steps) == (50_000, 10_000)
    assert (ioffe["plain"].model.kernel_scale, ioffe["plain"].data.preprocessing) == (0.05, "binary")
    model = make_task(huber["huber"].net(), None).trainer.model
    params, batch_stats = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    assert params["dense_1"]["kernel"].shape == (784, 100)
    np.testing.assert_allclose(params["dense_1"]["kernel"].std(), 1, rtol=0.02)
    assert set(batch_stats) == {"norm_1", "norm_2", "norm_3"}
    assert "num_batches" in batch_stats["norm_1"]
    with pytest.raises(ValueError, match="hidden must hold one number of at least 1 per hidden layer"):
        change(MLPRun(), model={"hidden": ()})


def test_hashes_of_other_runs_stay():
    """What was added for these nets changes the folders of no others."""
    assert config_hash(VGGRun(norm=LpNorm(p=1)).measuring("drift", "landscape").identity()) == "bea86f0f9a"


def make_run(seed, accuracies, spreads, statistic, ways, diverged_at=None):
    """Make a run of 50,000 steps by hand."""
    steps = list(range(1000, 51_000, 1000)) if diverged_at is None else [1000]
    names = ("range", "variation", "roughness", "spread", "relative_range")
    outer = np.linspace(*spreads, len(steps) + 1)
    levels = np.stack([-outer, 0 * outer, outer], axis=1).tolist()
    statistics = dict.fromkeys(names, statistic if diverged_at is None else None)
    found = {"layer": levels, "unit": levels, "of_units": statistics, "of_layer": statistics}
    return {
        "seed": seed,
        "diverged_at": diverged_at,
        "train": {"step": [0], "loss": [2.3]},
        "test": {"step": steps, "accuracy": list(np.linspace(*accuracies, len(steps)))},
        "percentiles": {"step": [0, *steps], "typical_unit": 0, **dict.fromkeys(ways, found)},
    }


def make_data(diverged_at=None):
    """Make data that have everything the sources say; a plain net of the second setting may diverge."""
    nets = {
        "plain": ((0.2, 0.96), (9.0, 9.1), 2.0, ("running",)),
        "batch_norm": ((0.9, 0.98), (1.0, 1.1), 1.0, mnist_mlp.WAYS),
        "huber": ((0.88, 0.97), (8.0, 2.0), 0.5, mnist_mlp.WAYS),
    }

    def runs(net, diverged=None):
        return [make_run(seed, *nets[net], diverged if seed == 1 else None) for seed in (0, 1, 2)]

    origin = {"commit": "0", "device": "CPU", "cpu_cores": 2, "date": "2026-01-01", "command": "x"}
    return {
        "experiment": "mnist_mlp",
        "preset": "cpu",
        "config": config_dict(mnist_mlp.PRESETS["cpu"]),
        "ioffe": {net: runs(net) for net in ("plain", "batch_norm")},
        "huber": {net: runs(net, diverged_at if net == "plain" else None) for net in nets},
        "provenance": [origin],
        "seconds": 1.0,
    }


def test_measures_of_percentiles():
    """The layer's spread is half the distance of its outer percentiles, without step 0; a run that diverged is infinite."""
    run = make_data()["huber"]["huber"][0]
    assert FIRST_SPREAD.of(run) == pytest.approx(8 - 6 / 50)
    assert SPREAD_RANGE.of(run) == pytest.approx(6 - 6 / 50)
    assert steadiness("range", "running", "of_layer").of(run) == 0.5
    wide = make_data()["ioffe"]["batch_norm"][0]  # from 1 to 1.1 in 50 steps, of which the last six are late
    assert WIDENING.of(wide) == pytest.approx((1 + 0.1 * 47.5 / 50) / (1 + 0.1 / 50))
    lost = make_data(diverged_at=1500)["huber"]["plain"][1]
    assert steadiness("range").of(lost) == SPREAD_RANGE.of(lost) == np.inf
    short = make_run(0, (0, 1), (1, 1), None, ("running",))
    assert isinstance(steadiness("range").of(short), Missing)


def test_the_data_file_keeps_what_is_read():
    """Claims, table and figure are the same without what it leaves out: training curves and some percentiles."""
    data = make_data()
    kept = keep(data, mnist_mlp.KEEP)
    run = kept["ioffe"]["batch_norm"][0]
    assert "train" not in run
    assert set(run["percentiles"]["batch"]) == {"unit", "of_units", "of_layer"}
    assert "unit" not in kept["huber"]["huber"][0]["percentiles"]["running"]
    assert summarise(kept) == summarise(data)
    assert findings(kept) == findings(data)
    assert all(claim.statistic.of(kept) == claim.statistic.of(data) for claim in CLAIMS)
    plot(kept).draw()


@pytest.mark.parametrize("diverged_at", [None, 1500])
def test_table_findings_and_figure(diverged_at):
    """They show all nets, those that diverged too."""
    data = make_data(diverged_at)
    words = "without BN, seed 1: the loss stopped being finite at step 1500."
    table = summarise(data)
    assert (words in table) == (diverged_at is not None)
    assert "98.00 %" in table
    found = findings(data)
    assert found.endswith(words) == (diverged_at is not None)
    assert "98.0 % with batch norm" in found
    assert "nan" not in found
    figure = plot(data).draw()
    titles = [panel.get_title() for panel in figure.axes]
    assert titles[:2] == ["Test error, Ioffe & Szegedy", "Test error, Huber"]
    assert len(titles) == 6
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert ("diverged" in labels) == (diverged_at is not None)
    assert figure.axes[2].get_ylim() == figure.axes[3].get_ylim()
    assert (figure.axes[5].get_xscale(), figure.axes[5].get_yscale()) == ("log", "linear")


def test_runs_of_few_steps_are_drawn():
    """Where no step is late enough for a statistic, its row has no dots, and the axis is no logarithmic one."""
    found = read_data(ROOT / "figures" / "mnist_mlp-cpu.json")
    runs = [run for arms in (found["ioffe"], found["huber"]) for net in arms.values() for run in net]
    for way in (way for run in runs for way in run["percentiles"].values() if isinstance(way, dict)):
        for statistics in (way["of_units"], way["of_layer"]):
            statistics.update(dict.fromkeys(statistics, math.nan))
    plot(found).draw().savefig(io.BytesIO())
