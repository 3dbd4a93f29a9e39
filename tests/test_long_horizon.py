"""What lies ahead of a VGG's training: presets, and claims, table and figures on data made by hand."""

import numpy as np
import pytest
from drawn import assert_readable
from runs import ORIGIN

from bnjax.runs import config_dict
from experiments import layer_dependence, long_horizon, sensitivity
from experiments._config import NoNorm, change
from experiments._evidence.keep import check_needs, keep
from experiments._evidence.run import recorded
from experiments._evidence.verdict import judge
from experiments._training.probes.horizon import STATISTICS
from experiments.long_horizon import figure, quantities, table
from experiments.long_horizon.claims import CLAIMS

CPU = long_horizon.PRESETS["cpu"]


@pytest.mark.parametrize("preset", long_horizon.PRESETS)
def test_presets_can_be_trained(preset):
    """Everything that claims and pictures need is measured; the nets differ in normaliser and learning rate alone."""
    config = long_horizon.PRESETS[preset]
    groups = long_horizon.groups(config)
    check_needs(config, groups, long_horizon.KEEP)
    assert config.learning_rates == ((0.1,) if preset == "cpu_long" else (0.1, 0.01))
    assert [*groups["arms"]] == [f"{net}_{rate}" for rate in config.learning_rates for net in ("plain", "batch_norm")]
    for run in groups["arms"].values():
        run.check_layers()
    assert [name for name, run in groups["arms"].items() if "plane" in run.probes] == ["plain_0.1", "batch_norm_0.1"]
    measured = {*config.measuring("horizon", "batch_sharpness").probes.kinds}
    runs = {run.measuring(*measured) for run in groups["arms"].values()}
    assert len({change(run, norm=NoNorm(), optimizer={"learning_rate": 1.0}) for run in runs}) == 1
    early, late = config.probes.plane.steps
    schedule = config.schedule
    assert (early, late) == (schedule.probe_every, schedule.num_steps - schedule.probe_every)
    if preset != "smoke":
        assert {quantities.NEXT, quantities.MIDDLE, quantities.FAR} <= {*config.probes.horizon.steps_ahead}
        # After step 0 at least three measurements, and all that they need of the training's own steps.
        assert config.schedule.num_steps >= 4 * config.schedule.probe_every


@pytest.mark.parametrize("preset", ["cpu", "overnight"])
def test_its_nets_are_those_of_other_subjects(preset):
    """Those of sensitivity at both learning rates, and of layer_dependence at 0.1."""
    others = sensitivity.groups(sensitivity.PRESETS[preset])["arms"]
    arms = long_horizon.groups(long_horizon.PRESETS[preset])["arms"]
    for name, run in arms.items():
        assert run.identity() == others[name].identity()
    for net, run in layer_dependence.groups(layer_dependence.PRESETS[preset])["arms"].items():
        assert arms[f"{net}_0.1"].identity() == run.identity()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": NoNorm()}, "norm must be batch, whose effect is measured, got none"),
        ({"learning_rates": (0.1, 0.1)}, "learning_rates must be one or more different numbers > 0 and finite"),
        ({"optimizer": {"name": "adam"}}, "optimizer.name must be sgd, whose steps are learning rates along minus"),
        ({"optimizer": {"momentum": 0.9}}, "optimizer.momentum must be 0: sgd, whose steps are learning rates"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(CPU, **changes)


def made(preset="cpu", factor=0.5, turn=0.1, barrier=0.5, edges=1.0, steps=1000):
    """Make data of nets with batch norm that differ from those without.

    Args:
        preset: whose configuration they have.
        factor: of losses, smoothness and sharpness.
        turn: added to cosines.
        barrier: with fresh statistics, that is 1 without batch norm; with others, it is 1 with batch norm, too.
        edges: batch sharpness without batch norm, in units of 2 / learning rate.
        steps: that were taken.
    """
    config, arms = long_horizon.PRESETS[preset], {}
    ahead = config.probes.horizon.steps_ahead
    measured = [0, *range(250, steps, 250)]
    for rate in config.learning_rates:
        for net in ("plain", "batch_norm"):
            size, with_norm = (factor, True) if net == "batch_norm" else (1.0, False)
            values = {
                "frozen_loss": 2.0 * size,
                "path_loss": 1.0,
                "cosine": 0.5 + turn * with_norm,
                "distance": 1.0,
                "largest_smoothness": 4.0 * size,
                "mean_smoothness": 2.0 * size,
                **{f"barrier_{name}": 1.0 for name in STATISTICS},
                "barrier_recalibrated": barrier if with_norm else 1.0,
            }
            horizon = {
                name: [[99.0] * len(ahead), *[[x] * len(ahead)] * (len(measured) - 1)] for name, x in values.items()
            }
            sharpness = [99.0] + [2 / rate * edges * size] * (len(measured) - 1)
            arms[f"{net}_{rate:g}"] = [
                {
                    "seed": seed,
                    "diverged_at": None,
                    "train": {"step": [0, 50], "window": 50, "loss": [2.0, 1.5], "accuracy": [0.2, 0.4]},
                    "test": {"step": [steps], "loss": [1.5], "accuracy": [0.4]},
                    "horizon": {
                        "step": measured,
                        "start_loss": [2.0] * len(measured),
                        "gradient_norm": [1.0],
                        **horizon,
                    },
                    "plane": plane(size) if rate == config.learning_rates[0] else {},
                    "batch_sharpness": {"step": measured, "sharpness": sharpness, "samples": [], "gradient_norms": []},
                }
                for seed in (0, 1, 2)
            ]
    data = {"config": config_dict(config), "arms": arms, "preset": preset, "provenance": [ORIGIN], "seconds": 9.0}
    return keep(data, long_horizon.KEEP)


def plane(factor, steps=(250, 750)):
    """Make planes of a valley with walls of some steepness, at some steps; the last one holds a loss that is not finite."""
    xs, ys = np.linspace(-0.5, 1, 16), np.linspace(-0.3, 1.2, 16)
    losses = np.exp(factor * (6 * (xs[:, None] - 0.2) ** 2 - 0.3 * ys)).tolist()
    walled = [[None, *losses[0][1:]], *losses[1:]]
    numbers = {"start_loss": losses[5][3], "distance": 1.4, "cosine": 0.06, "step_length": 0.16}
    path = [[0.0, 0.0], [0.2, 0.4], [0.06, 0.998]]
    same = {"xs": xs.tolist(), "ys": ys.tolist(), **numbers, "path": path}
    columns = {name: [value] * len(steps) for name, value in same.items()}
    return {"step": [*steps], **columns, "loss": [*[losses] * (len(steps) - 1), walled]}


def verdicts(data):
    """Judge every claim."""
    return {claim.name.removeprefix("horizon_"): judge(claim, data) for claim in CLAIMS}


def test_claims_go_either_way():
    """Where the landscape ahead is smoother with batch norm they hold, and where it is rougher they do not."""
    smoother, rougher = verdicts(made(steps=5000)), verdicts(made(factor=2.0, turn=-0.1, barrier=2.0, steps=5000))
    both = {"path_mean", "sharpness_batch_norm", "sharpness_same"}  # within a distance of no difference
    either = {"path_plain", "path_batch_norm", "sharpness_plain"}  # of a net alone
    for name in {*smoother} - both - either:
        assert smoother[name].verdict == ("contradicted" if name == "stale" else "supported"), name
        assert rougher[name].verdict == "contradicted", name
    for name in both:
        assert smoother[name].verdict == rougher[name].verdict == "contradicted", name
    same = verdicts(made(factor=1.0, steps=5000))
    assert {same[name].verdict for name in both | {"sharpness_plain"}} == {"supported"}
    assert smoother["frozen"].values == pytest.approx((0.5,) * 3)
    assert smoother["gradient"].values == pytest.approx((0.1,) * 3)
    assert smoother["stale"].values == pytest.approx((0.5,) * 3)
    assert smoother["stale_start"].values == pytest.approx((0.25,) * 3)
    assert verdicts(made(barrier=0.1))["stale"].verdict == "supported"
    assert smoother["path_plain"].values == pytest.approx((0.5,) * 3)
    assert verdicts(made(factor=0.25))["path_batch_norm"].verdict == "contradicted"


def test_what_a_run_does_not_hold_is_named():
    """Short runs say nothing of late batch sharpness, nor a look at fewer steps of what lies farther."""
    found = verdicts(made())
    assert found["sharpness_plain"].reason == "needs 4,000 steps, ran 1,000"
    data = made("smoke")
    assert verdicts(data)["gradient_next"].verdict == "supported"
    assert verdicts(data)["gradient"].reason == "needs measurements 10 steps ahead"


def test_claims_count_for_the_hypothesis():
    """A barrier that neither net has says nothing against smoothness, nor do sharpnesses that are equal within a tolerance."""
    sides = {claim.name: (claim.side(holds=True), claim.side(holds=False)) for claim in CLAIMS}
    assert sides["horizon_frozen"] == ("for", "against")
    assert sides["horizon_barrier"] == ("for", None)
    assert sides["horizon_sharpness_same"] == (None, None)
    assert sides["horizon_stale"] == (None, None)


def test_a_net_without_a_barrier_has_no_stale_part():
    """A share of nothing is not known; a run that was not measured after step 0 has no curves."""
    heights = {"barrier_mixed": [[0.0, 1e-4, 2.0]], "barrier_recalibrated": [[0.0, 1e-3, 0.5]]}
    found = quantities.QUANTITIES["stale"].of({"step": [250], "start_loss": [1.0], **heights})
    np.testing.assert_array_equal(found, [[np.nan, np.nan, 0.75]])
    data = made()
    run = data["arms"]["plain_0.1"][0]
    assert quantities.by_steps(run, "cosine").tolist() == [0.5] * 7
    assert recorded(run, "batch_sharpness").keys() == {"step", "sharpness"}
    run["horizon"] = {"step": []}
    assert quantities.by_steps(run, "cosine").size == 0


def test_words():
    """A table for each learning rate, and findings in the claims' numbers."""
    text = table.summarise(made())
    for words in (
        "learning rate 0.1",
        "learning rate 0.01",
        "barrier, of the start, 100",
        "batch sharpness",
        "upwards to the weights 100 steps",
    ):
        assert words in text
    data = made()
    data["arms"]["plain_0.1"][0]["plane"] = {"step": []}
    assert "planes" not in table.summarise(data)
    row = next(line.split() for line in text.splitlines() if line.startswith("loss, frozen gradient, 10"))
    assert row[-3:] == ["1.00", "0.500", "0.500"]
    assert "frozen gradient, relative to the start, is 0.50 times that without batch norm" in table.findings(made())


@pytest.mark.thorough
@pytest.mark.parametrize("is_narrow", [False, True])
def test_pictures_can_be_read(is_narrow):
    """One for each learning rate, and one of planes."""
    data = made()
    more = figure.more(data)
    assert [*more] == ["rate_0.01", "plane"]
    for layout in [figure.plot(data), *(make(data) for make in more.values())]:
        assert_readable(layout.draw(narrow=is_narrow))


def test_planes_are_drawn_alike():
    """Those of the first run: a row for each step, the same axes and colours without batch norm and with."""
    data = made(factor=0.2)
    assert [run["plane"]["step"] for run in data["arms"]["plain_0.1"]] == [[250, 750], [], []]
    panels = figure.more(data)["plane"](data).draw().axes
    titles = [f"{net} BN, step {step}" for step in (250, 750) for net in ("Without", "With")]
    assert [panel.get_title() for panel in panels] == titles
    assert {(*panel.get_xlim(), *panel.get_ylim()) for panel in panels} == {(-0.5, 1.0, -0.3, 1.2)}
    filled = [panel.collections[0] for panel in panels]
    known = [x for net in ("plain", "batch_norm") for x in np.ravel(data["arms"][f"{net}_0.1"][0]["plane"]["loss"][0])]
    assert {(drawn.norm.vmin, drawn.norm.vmax) for drawn in filled} == {(min(known), figure.EXPLODED)}
    path, *_ = panels[0].lines
    np.testing.assert_allclose(np.asarray(path.get_xydata()), data["arms"]["plain_0.1"][0]["plane"]["path"][0])
    steps = np.asarray(panels[0].lines[1].get_xdata())
    np.testing.assert_allclose(steps, [0.16, 0.32, 0.8])


def test_nets_without_planes_have_no_picture_of_them():
    """Nor has one whose copy diverged any contours, or one that was stopped before the second plane a second row."""
    data = made()
    (run, *_) = data["arms"]["plain_0.1"]
    run["plane"] = plane(1.0, (250,))
    lost = {name: [None] for name in ("distance", "step_length", "cosine")}
    run["plane"] |= lost | {"loss": [[[None] * 16] * 16], "path": [[[0.0, 0.0], [None, None]]]}
    layout = figure.more(data)["plane"](data)
    assert_readable(layout.draw())
    assert len(layout.draw().axes) == 2
    run["plane"] = {"step": []}
    assert [*figure.more(data)] == ["rate_0.01"]
