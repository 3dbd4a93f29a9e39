"""How far activations drift: the measures, the claims, and what is told and drawn of them, on data made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnjax import norms, probes
from bnjax.runs import config_dict
from experiments._config import change
from experiments._evidence.drift import drift, histogram
from experiments._evidence.keep import drift as keep_drift
from experiments._evidence.verdict import judge
from experiments._figures.panels import Ridges
from experiments._presets import SMOKE
from experiments._training.probes import drift as drift_probe
from experiments.activation_drift.claims import CLAIMS
from experiments.activation_drift.figure import more, plot
from experiments.activation_drift.table import findings, summarise

STEPS = [0, 10, 20, 30, 40]
LAYERS = ("layer_3", "layer_8")
AFTER_ACTIVATION = {"drift_mean", "drift_mean_relative", "drift_variance_active", "drift_variance_relative_active"}
BEFORE_NORM = {"drift_stabilised_before", "drift_hardly_differs_before"}


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
    """Make a run as data files keep it."""
    record = {"step": STEPS, "layers": {layer: make_layer(size, relative, seed) for layer in LAYERS}}
    return {
        "seed": seed,
        "train": {"step": [0, 20], "window": 20, "accuracy": [0.2, 0.4]},
        "test": {"step": [40], "accuracy": [0.5], "loss": [1.0]},
        "drift": keep_drift("successive", "cumulative", shapes=3)(record, seed),
        "diverged_at": diverged_at,
    }


def make_data(plain=(0.5, 0.2), batch_norm=(0.1, 0.1), diverged_at=None):
    """Make the data of three seeds."""
    arms = {
        "plain": [make_run(*plain, seed=seed, diverged_at=diverged_at if seed == 2 else None) for seed in range(3)],
        "batch_norm": [make_run(*batch_norm, seed=seed) for seed in range(3)],
    }
    run = change(SMOKE, model={"width": 1.0}, data={"preprocessing": "unit"}, seeds=(0, 1, 2)).measuring("drift")
    config = config_dict(change(run, probes={"drift": {"units": 2}}))
    origin = {"commit": "abc", "device": "CPU", "cpu_cores": 2, "date": "2026-01-01"}
    return {"preset": "smoke", "config": config, "arms": arms, "provenance": [origin], "seconds": 1.0}


def values(moment, since, *, relative=False, layer="layer_3", **make):
    """Compute a drift of a layer that moves by 1/2 a step."""
    record = {"step": STEPS, "layers": {name: make_layer(0.5, 0.25, **make) for name in LAYERS}}
    found = drift(layer, moment, since, relative=relative).values(record)
    assert np.isnan(found[0])
    return found[1:]


def test_drifts_have_closed_forms():
    """A mean that moves by 1/2 a step does so in units of its own standard deviation, from the step before or the first."""
    np.testing.assert_allclose(values("mean", "successive"), 0.5)
    np.testing.assert_allclose(values("mean", "cumulative"), [0.5, 1, 1.5, 2])
    np.testing.assert_allclose(values("mean", "cumulative", relative=True), [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(values("variance", "successive"), 2)
    np.testing.assert_allclose(values("variance", "successive", relative=True), 0.5 / (1 + 0.5 * np.arange(4)))
    np.testing.assert_allclose(values("wasserstein", "cumulative", layer="layer_8"), [0.25, 0.5, 0.75, 1])


def test_units_without_a_value_are_left_out():
    """The median is that of the others; where there is none it is NaN, and a single step has none."""
    record = {"step": [0, 10, 20], "layers": {"a": {"successive": {"relative_mean": [[None, -1.5], [None, None]]}}}}
    np.testing.assert_equal(drift("a", "mean", relative=True).values(record), [np.nan, 1.5, np.nan])
    assert np.isnan(drift("a", "mean").values({"step": [0], "layers": {"a": {}}})).tolist() == [True]


def test_histograms_come_back_from_quantiles():
    """Of a uniform distribution they are flat, hold all but the values outside the outermost quantiles, and follow shifts."""
    quantiles, edges = (np.arange(40) + 0.5) / 40, np.linspace(-1, 2, 65)
    shares = histogram(quantiles, edges)
    assert shares.sum() == pytest.approx(1 - 1 / 40)
    np.testing.assert_allclose(shares[28:36], 3 / 64, rtol=1e-6)
    np.testing.assert_allclose(histogram(quantiles + 3 / 64, edges)[1:], shares[:-1], atol=1e-12)
    assert histogram(np.full(40, 0.5), edges).sum() == pytest.approx(1 - 1 / 40)


def test_data_files_are_small():
    """Drifts are medians over units; quantiles are the first unit's, of as many steps as were asked for."""
    first, second, _ = (run["drift"] for run in make_data()["arms"]["plain"])
    layer = first["layers"]["layer_3"]
    assert layer["shapes"]["step"] == [0, 20, 40]
    assert "shapes" not in second["layers"]["layer_3"]
    assert np.shape(layer["percentiles"]) == (5, 3)
    assert np.shape(layer["cumulative"]["variance"]) == (5, 1)
    moved = drift("layer_3", "variance", "cumulative", relative=True)
    whole = moved.values({"step": STEPS, "layers": {"layer_3": make_layer(0.5, 0.2)}})
    np.testing.assert_allclose(moved.values(first), whole, rtol=1e-4)
    assert keep_drift("successive", shapes=3)({}, 0) == {"step": [], "layers": {}}


def test_collected_records_keep_the_first_unit_whole():
    """From the statistics of two steps come moments of every unit and the quantiles of the first one."""
    records = [
        {"step": step, "layer_3": jax.tree.map(lambda x: np.asarray(x).tolist(), found._asdict())}
        for step in (0, 10)
        for found in [probes.activation_statistics(jax.random.normal(jax.random.key(step), (50, 3)), num_quantiles=40)]
    ]
    record = drift_probe._collect(records)
    layer = record["layers"]["layer_3"]
    assert np.shape(layer["quantiles"]) == (2, 40)
    assert layer["quantiles"][1] == pytest.approx(records[1]["layer_3"]["quantiles"][0])
    for moment in ("mean", "variance"):
        moved = np.median(np.abs(layer["successive"][f"relative_{moment}"]))
        assert drift("layer_3", moment, relative=True).values(record)[1] == pytest.approx(moved, rel=1e-5)


def after_activations(data):
    """Let the drift be that of activations."""
    data["config"]["probes"]["drift"]["of"] = "activations"
    return data


def measured_too(data, other, kind, of):
    """Let the drift of other data be one that a further probe of the same runs has found elsewhere."""
    for name, runs in data["arms"].items():
        for run, further in zip(runs, other["arms"][name], strict=True):
            run[kind] = further["drift"]
    data["config"]["probes"][kind] = {"of": of}
    return data


def judged(data):
    """Judge all claims except those on depth."""
    return {claim.name: judge(claim, data) for claim in CLAIMS if "amplifies" not in claim.name}


def test_claims_go_either_way():
    """Moments that are steadier with batch norm support all claims, and less steady ones contradict them."""
    for plain, batch_norm, verdict in (
        ((0.5, 0.15), (0.1, 0.1), "supported"),
        ((0.1, 0.1), (0.5, 0.3), "contradicted"),
    ):
        data = make_data(plain, batch_norm)
        for kind, of in (("drift_after_activation", "activations"), ("drift_before_norm", "unnormalised")):
            measured_too(data, make_data(plain, batch_norm), kind, of)
        assert {found.verdict for found in judged(data).values()} == {verdict}
        found = judged(after_activations(make_data(plain, batch_norm)))
        assert {found[name].verdict for name in AFTER_ACTIVATION} == {verdict}


def test_claims_need_drift_where_they_say_that_it_was_measured():
    """That of another place says nothing of it."""
    found = {name: judgement.reason for name, judgement in judged(make_data()).items()}
    assert {found[name] for name in AFTER_ACTIVATION} == {"needs drift measured after the activation"}
    assert {found[name] for name in BEFORE_NORM} == {"needs drift measured before the normaliser"}
    found = {claim.name: judge(claim, after_activations(make_data())).reason for claim in CLAIMS}
    elsewhere = found.keys() - AFTER_ACTIVATION - BEFORE_NORM
    assert {found[name] for name in elsewhere} == {"needs drift measured before the activation"}


def test_drift_after_the_activation_is_read_where_it_was_recorded():
    """Claims on activations are judged by the probe of these, whatever that of pre-activations shows."""
    usual, active = make_data((0.5, 0.15), (0.1, 0.1)), make_data((0.1, 0.1), (0.5, 0.3))
    found = judged(measured_too(usual, active, "drift_after_activation", "activations"))
    assert {name for name, judgement in found.items() if judgement.verdict == "contradicted"} == AFTER_ACTIVATION
    for name in found.keys() - BEFORE_NORM:
        judgement, of = found[name], "activations" if name in AFTER_ACTIVATION else "pre-activations"
        assert judgement.setup
        assert judgement.setup.part == f"{of} of layers 3 and 8"


def test_what_batch_norm_sets_speaks_for_nothing():
    """What it puts out, and a range that a steadier net lies in, say nothing; before it, and without it, the order counts."""
    spoken = {claim.name for claim in CLAIMS if claim.side(holds=True) == "for"}
    assert spoken == {"drift_stabilised_before", "drift_amplifies_less"}
    against = {claim.name for claim in CLAIMS if "against" in (claim.side(holds=True), claim.side(holds=False))}
    assert against == spoken


@pytest.mark.slow
def test_a_normaliser_before_the_activation_hides_what_the_weights_do():
    """Of a unit whose mean and variance move, batch norm puts out neither: only the shape of its distribution is left."""
    before = jax.random.normal(jax.random.key(0), (4, 4096, 3))
    before = before * jnp.array([1.0, 2.0, 3.0, 4.0])[:, None, None] + jnp.arange(4.0)[:, None, None]
    scale, bias = jnp.array([0.5, 1.0, 2.0]), jnp.array([1.0, 0.0, -1.0])
    after = [norms.batch_norm(batch, norms.init_batch_stats(3), scale, bias, train=True)[0] for batch in before]

    def far(batches):
        found = [probes.activation_statistics(batch, num_quantiles=40) for batch in batches]
        moved = probes.drift(jax.tree.map(lambda *values: jnp.stack(values), *found)).cumulative.relative_wasserstein
        return float(np.median(np.abs(moved)[1:]))

    assert far(before) > 20 * far(after)


@pytest.mark.slow
def test_batches_of_few_values_drift_by_themselves():
    """W1 between batches drawn from one normal distribution is as the claims on depth say."""
    for num_values, is_normalised, expected in ((128, False, 0.14), (128, True, 0.1), (32_768, False, 0.009)):
        drawn = np.random.default_rng(0).normal(size=(20, num_values, 8))
        if is_normalised:
            drawn = (drawn - drawn.mean(axis=1, keepdims=True)) / drawn.std(axis=1, keepdims=True)
        found = [probes.activation_statistics(jnp.asarray(batch, jnp.float32), num_quantiles=40) for batch in drawn]
        moved = probes.drift(jax.tree.map(lambda *values: jnp.stack(values), *found)).successive.relative_wasserstein
        assert np.median(np.abs(moved)[1:]) == pytest.approx(expected, rel=0.1)


def test_drift_by_depth():
    """The deepest layer is compared with the first, net by net; how far batches differ leaves one direction in doubt."""
    data = make_data()
    for runs in data["arms"].values():
        for run in runs:
            moved = run["drift"]["layers"][LAYERS[-1]]["successive"]["relative_wasserstein"]
            run["drift"]["layers"][LAYERS[-1]]["successive"]["relative_wasserstein"] = (3 * np.array(moved)).tolist()
    for net, verdict in (("amplifies", "supported"), ("amplifies_less", "inconclusive")):
        (claim,) = (claim for claim in CLAIMS if claim.name == f"drift_{net}")
        judgement = judge(claim, data)
        assert (judgement.verdict, judgement.median) == (verdict, pytest.approx(3))
    assert judgement.reason.startswith("each measurement is of another batch")


def test_claims_count_a_run_that_diverged_before_it_was_followed():
    """It has no steady moments, and the figure is drawn without it."""
    data = after_activations(make_data())
    data["arms"]["plain"][2] |= {"diverged_at": 3, "drift": {"step": [0], "layers": {layer: {} for layer in LAYERS}}}
    (claim,) = (claim for claim in CLAIMS if claim.name == "drift_mean")
    judgement = judge(claim, data)
    assert (judgement.verdict, judgement.values[2], judgement.num_diverged) == ("supported", np.inf, 1)
    plot(data).draw()


def test_words_are_computed():
    """Table and findings have the drifts of both nets, their ratio, and the step at which a run diverged."""
    data = make_data(diverged_at=25)
    rows = [line.split() for line in summarise(data).splitlines()]
    assert ["mean,", "in", "10", "steps", "0.5", "0.1", "5.00"] in rows
    found = findings(data)
    assert "as far from where it started as with it" in found
    assert "the square of the norm's scale" in found
    assert "the square of the norm's scale" not in findings(after_activations(make_data()))
    assert "Before batch norm" not in found
    further = findings(measured_too(data, make_data((0.5, 0.3)), "drift_before_norm", "unnormalised"))
    assert (
        "Before batch norm, where a layer's own bias and scale set nothing, but the scale of its outputs is arbitrary, the "
        "raw outputs of these layers move 3.0 times" in further
    )
    assert found.endswith("without BN, seed 2: the loss stopped being finite at step 25.")


@pytest.mark.slow
def test_the_figure_has_a_column_per_layer(tmp_path):
    """Ridges of both nets, then percentiles and two curves for each of two layers, and eight panels that sum up."""
    data = make_data(diverged_at=25)
    drawn = {name: draw(data).draw() for name, draw in {"": plot, **more(data)}.items()}
    assert {name: len(figure.axes) for name, figure in drawn.items()} == {"": 2 * 2, "means": 3 * 2, "layers": 8}
    assert "Without BN: layer 3" in [axes.get_title() for axes in drawn[""].axes]
    assert "diverged" in [text.get_text() for text in drawn["means"].legends[0].get_texts()]
    for figure in drawn.values():
        figure.savefig(tmp_path / "figure.png", dpi=40)  # text that is too large for its place would be a warning


def test_ridges_leave_out_steps_that_are_not_finite():
    """A step with a quantile that is missing has no ridge."""
    axes = Figure().subplots()
    Ridges("plain", {"step": [0, 1, 2], "quantiles": [[0.0, 1.0], [None, 1.0], [0.0, 1.0]]}).draw(axes)
    assert len(axes.lines) == 2
