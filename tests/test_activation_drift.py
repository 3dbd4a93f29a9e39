"""How far activations drift: the measures, the claims, and what is told and drawn of them, on data made by hand."""

import jax
import numpy as np
import pytest
from experiments._claims import claims_of
from experiments._claims.claim import judge
from experiments._figures.activation_drift import activation_drift_figure
from experiments._figures.ridges import finite_shapes
from experiments._numbers import drift as drift_numbers
from matplotlib import pyplot as plt

from bnjax import probes
from experiments import activation_drift
from experiments._training.probes import drift as drift_probe

STEPS = [0, 10, 20, 30, 40]
LAYERS = ("layer_3", "layer_8")


def make_layer(size, relative, seed=0, num_units=2):
    """Record units whose means and variances move by `size` a step, the means by `relative` standard deviations at first."""
    count = np.arange(len(STEPS))[:, None] * np.ones(num_units)
    mean, variance = size * count, (size / relative) ** 2 * (1 + size * count)
    quantiles = mean[:, :1] + np.sort(np.random.default_rng(seed).normal(size=40)) * np.sqrt(variance[:, :1])
    record = {
        "percentiles": np.stack([mean - 1, mean, mean + 1], axis=-1).tolist(),
        "quantiles": quantiles.tolist(),
    }
    for since, before in (("successive", slice(None, -1)), ("cumulative", slice(0, 1))):
        later = slice(1, None) if since == "successive" else slice(None)
        moved = {"mean": mean[later] - mean[before], "variance": variance[later] - variance[before]}
        moved["relative_mean"] = moved["mean"] / np.sqrt(variance[before])
        moved["relative_variance"] = moved["variance"] / variance[before]
        moved["relative_wasserstein"] = relative * (count[later] - count[before])
        record[since] = {name: values.tolist() for name, values in moved.items()}
    return record


def make_run(size, relative, seed=0, diverged_at=None):
    """Make a run as it is published."""
    drift = {"step": STEPS, "layers": {layer: make_layer(size, relative, seed) for layer in LAYERS}}
    return {
        "seed": seed,
        "train": {"step": [0, 20], "window": 20, "accuracy": [0.2, 0.4]},
        "test": {"step": [40], "accuracy": [0.5], "loss": [1.0]},
        "drift": drift_numbers.published(drift, list(LAYERS), max_shapes=0 if seed else 3),
        "diverged_at": diverged_at,
    }


def make_data(plain=(0.5, 0.2), batch_norm=(0.1, 0.1), diverged_at=None):
    """Make the data of three seeds."""
    arms = {
        "plain": [make_run(*plain, seed, diverged_at if seed == 2 else None) for seed in range(3)],
        "batch_norm": [make_run(*batch_norm, seed) for seed in range(3)],
    }
    config = {
        "seeds": [0, 1, 2],
        "dataset": "digits",
        "width": 1,
        "depth": "A",
        "head": "512",
        "norm_layers": "all",
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "batch_size": 16,
        "image_size": 8,
        "preprocessing": "unit",
        "probe_every": 10,
        "drift_units": 2,
    }
    origin = {"commit": "abc", "device": "CPU", "cpu_cores": 2, "date": "2026-01-01"}
    return {"preset": "smoke", "config": config, "arms": arms, "provenance": [origin], "seconds": 1.0}


def test_shifts_have_closed_forms():
    """A mean that moves by 1/2 a step does so in units of its own standard deviation, from the step before or the first."""
    drift = {"step": STEPS, "layers": {layer: make_layer(0.5, 0.25) for layer in LAYERS}}
    for since, expected in (("successive", [0.5] * 4), ("cumulative", [0.5, 1, 1.5, 2])):
        found = drift_numbers.shift("layer_3", "mean", since)(drift)
        np.testing.assert_allclose(found, [np.nan, *expected])
    np.testing.assert_allclose(
        drift_numbers.shift("layer_3", "mean", "cumulative", True)(drift)[1:], [0.25, 0.5, 0.75, 1]
    )
    np.testing.assert_allclose(drift_numbers.shift("layer_3", "variance", "successive")(drift)[1:], 2)
    np.testing.assert_allclose(
        drift_numbers.shift("layer_3", "variance", "successive", True)(drift)[1:], 0.5 / (1 + 0.5 * np.arange(4))
    )
    np.testing.assert_allclose(
        drift_numbers.shift("layer_8", "wasserstein", "cumulative")(drift)[1:], [0.25, 0.5, 0.75, 1]
    )


def test_units_without_a_value_are_left_out():
    """The median is that of the others; where there is none it is NaN, and a single step has none."""
    layer = {"successive": {"relative_mean": [[None, -1.5], [None, None]]}}
    assert drift_numbers.shift("a", "mean", "successive", True)({"layers": {"a": layer}})[1] == 1.5
    assert np.isnan(drift_numbers.shift("a", "mean", "successive", True)({"layers": {"a": layer}})[2])
    assert np.isnan(drift_numbers.shift("a", "mean", "successive")({"layers": {"a": {}}})).tolist() == [True]


def test_histograms_come_back_from_quantiles():
    """Of a uniform distribution they are flat, hold all but what lies outside the outermost quantiles, and follow shifts."""
    quantiles, edges = (np.arange(40) + 0.5) / 40, np.linspace(-1, 2, 65)
    shares = drift_numbers.histogram(quantiles, edges)
    assert shares.sum() == pytest.approx(1 - 1 / 40)
    np.testing.assert_allclose(shares[28:36], 3 / 64, rtol=1e-6)
    np.testing.assert_allclose(drift_numbers.histogram(quantiles + 3 / 64, edges)[1:], shares[:-1], atol=1e-12)
    assert drift_numbers.histogram(np.full(40, 0.5), edges).sum() == pytest.approx(1 - 1 / 40)


def test_what_is_published_is_small():
    """Shifts are medians over units; quantiles are the first unit's, of as many steps as were asked for."""
    runs = make_data()["arms"]["plain"]
    assert runs[0]["drift"]["layers"]["layer_3"]["shapes"]["step"] == [0, 20, 40]
    assert "shapes" not in runs[1]["drift"]["layers"]["layer_3"]
    assert np.shape(runs[0]["drift"]["layers"]["layer_3"]["percentiles"]) == (5, 3)
    layer = runs[0]["drift"]["layers"]["layer_3"]
    assert np.shape(layer["cumulative"]["variance"]) == (5, 1)
    whole = drift_numbers.shift("layer_3", "variance", "cumulative", True)(
        {"layers": {"layer_3": make_layer(0.5, 0.2)}}
    )
    np.testing.assert_allclose(
        drift_numbers.shift("layer_3", "variance", "cumulative", True)(runs[0]["drift"]), whole, rtol=1e-4
    )
    assert drift_numbers.layer_names(runs) == list(LAYERS)
    assert drift_numbers.published({}, []) == {"step": [], "layers": {}}
    steps, _ = finite_shapes({"step": [0, 1], "quantiles": [[0.0, 1.0], [None, 1.0]]})
    assert steps.tolist() == [0]


def test_collected_records_keep_the_first_unit_whole():
    """From the statistics of two steps come moments of every unit and the quantiles of the first one."""
    records = [
        {"step": step, "layer_3": jax.tree.map(lambda x: np.asarray(x).tolist(), found._asdict())}
        for step in (0, 10)
        for found in [probes.activation_statistics(jax.random.normal(jax.random.key(step), (50, 3)), num_quantiles=40)]
    ]
    layer = drift_probe._collect(records)["layers"]["layer_3"]
    assert np.shape(layer["quantiles"]) == (2, 40)
    assert layer["quantiles"][1] == pytest.approx(records[1]["layer_3"]["quantiles"][0])
    for moment in ("mean", "variance"):
        drift = {"step": [0, 10], "layers": {"layer_3": layer}}
        moved = np.median(np.abs(layer["successive"][f"relative_{moment}"]))
        assert drift_numbers.shift("layer_3", moment, "successive", True)(drift)[1] == pytest.approx(moved, rel=1e-5)


def verdicts(data):
    """Judge every claim."""
    return {claim.name: judge(claim, data).verdict for claim in claims_of("activation_drift")}


def test_claims_go_either_way():
    """Moments that are steadier with batch norm support the caveats, and less steady ones contradict them."""
    found = verdicts(make_data(plain=(0.5, 0.15), batch_norm=(0.1, 0.1)))
    assert set(found.values()) == {"supported"}
    found = verdicts(make_data(plain=(0.1, 0.1), batch_norm=(0.5, 0.3)))
    assert set(found.values()) == {"contradicted"}
    assert [claim.name for claim in claims_of("activation_drift")][-1] == "drift_stabilised"


def test_claims_count_a_run_that_diverged_before_it_was_followed():
    """It has no steady moments."""
    data = make_data()
    drift = {"step": [0], "layers": {layer: {} for layer in LAYERS}}
    data["arms"]["plain"][2] |= {"diverged_at": 3, "drift": drift}
    (claim,) = (claim for claim in claims_of("activation_drift") if claim.name == "drift_mean")
    judgement = judge(claim, data)
    assert (judgement.verdict, judgement.values[2], judgement.num_diverged) == ("supported", np.inf, 1)
    activation_drift_figure(data)
    plt.close("all")


def test_words_are_computed():
    """Table and findings have the shifts of both nets, their ratio, and the step at which a run diverged."""
    data = make_data(diverged_at=25)
    table = activation_drift.summarise(data)
    assert "  mean, in 10 steps                  0.500       0.100        5.00" in table
    assert "without BN, seed 2: the loss stopped being finite at step 25." in table
    found = activation_drift.findings(data)
    assert "of layers 3, 8 moves 5.00 to 5.00 times as far without batch norm" in found
    assert found.endswith("the loss stopped being finite at step 25.")


def test_the_figure_has_a_column_per_layer():
    """Ridges of both nets, percentiles and two curves for each of two layers, and eight panels that sum up."""
    figure = activation_drift_figure(make_data(diverged_at=25))
    panels = figure.findobj(lambda artist: isinstance(artist, plt.Axes))
    assert len(panels) == 5 * 2 + 8
    assert "Without BN: layer 3" in [panel.get_title() for panel in panels]
    assert "diverged" in [text.get_text() for text in figure.legends[0].get_texts()]
    plt.close("all")


@pytest.mark.thorough
@pytest.mark.parametrize("diverged_at", [None, 25])
def test_the_figure_can_be_laid_out(diverged_at, tmp_path):
    """Nothing is too large for its place, which would be a warning."""
    activation_drift_figure(make_data(diverged_at=diverged_at)).savefig(tmp_path / "figure.png", dpi=40)
    plt.close("all")
