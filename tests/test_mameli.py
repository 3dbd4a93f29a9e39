"""Mameli's net: presets, claims, table and figures on data made by hand, and the reduced head against the whole one."""

import numpy as np
import pytest
from drawn import assert_readable
from runs import as_read, make_dummy_shift, make_run, make_scan, make_shift, make_successive

from experiments import covariate_shift, landscape, mameli, training_curves
from experiments._command import cli
from experiments._config import NoNorm, Options, Schedule, change
from experiments._evidence.format import STEPS
from experiments._evidence.keep import check_needs, keep
from experiments._evidence.verdict import judge, judge_best
from experiments._figures.panels import Published
from experiments._training.asked import Asked, union
from experiments._training.experiment import train_all
from experiments.mameli import figure, published, table
from experiments.mameli.claims import CLAIMS

CPU = mameli.PRESETS["cpu"]


def arms(name):
    """Name the nets of a preset."""
    return mameli.groups(mameli.PRESETS[name])["arms"]


@pytest.mark.parametrize("preset", mameli.PRESETS)
def test_presets_are_his_setting(preset):
    """VGG-A, one batch norm after layer 4, pixels / 255, SGD at rate 0.01, his head; everything that is needed is measured."""
    config = mameli.PRESETS[preset]
    groups = mameli.groups(config)
    check_needs(config, groups, mameli.KEEP)
    assert [*groups["arms"]] == ["plain", "batch_norm_4"]
    assert len({change(run, norm=NoNorm()) for run in groups["arms"].values()}) == 1
    for run in groups["arms"].values():
        run.check_layers()
        assert run.model.depth == "A"
        assert run.model.head in ("mameli", "mameli_reduced")
        assert (run.data.preprocessing, run.optimizer.name, run.optimizer.learning_rate) == ("unit", "sgd", 0.01)
        assert (run.optimizer.momentum, run.optimizer.weight_decay) == (0, 0)
        if preset != "smoke":
            assert (run.data.dataset, run.optimizer.batch_size) == ("cifar10", 128)
            assert run.schedule.num_steps % 390 == run.schedule.eval_every % 390 == 0
    full = mameli.PRESETS["full_width"]
    assert (full.model.width, full.seeds, full.schedule.num_steps) == (1.0, (0,), 3900)


def test_overnight_shares_the_runs_of_other_experiments():
    """Its nets are theirs, they measure all that it asks for, at the same steps, and each long run is trained for all."""
    asked = {}
    for experiment in (training_curves, covariate_shift, landscape):
        for group in experiment.groups(experiment.PRESETS["overnight_mameli"]).values():
            for run in group.values():
                asked.setdefault(run.net(), []).append(Asked.of(run))
    for run in arms("overnight").values():
        own, others = union([Asked.of(run)]), union(asked[run.net()])
        for name, steps in own.items():
            assert {*steps} <= {*others[name]}, name
    theirs = ("training_curves", "covariate_shift", "landscape")
    assert cli.beside("mameli", "overnight") == [(name, "overnight_mameli") for name in theirs]
    for name in theirs:
        assert ("mameli", "overnight") in cli.beside(name, "overnight_mameli")
        assert ("mameli", "overnight") not in cli.beside(name, "overnight")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": NoNorm()}, "norm must be batch, whose effect is measured, got none"),
        ({"norm": {"layers": "all"}}, "norm.layers must be 4, after which the source has its only batch norm, got all"),
        ({"probes": {"shift": {"layers": (3, 5)}}}, "probes.shift.layers must be numbers of which 5 is the first"),
        ({"probes": {"dummy_shift": {"layer": 4}}}, "probes.dummy_shift.layer must be 5, the source's, got 4"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(CPU, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"name": "adam"}}, "optimizer.name must be sgd with model.head mameli_reduced"),
        ({"probes": {"landscape": {"norm": "sum_of_layers"}}}, "probes.landscape.norm must be global with model.head"),
        (
            {"probes": {"random_direction": {"penalty": True}}},
            "probes.random_direction.penalty must be False with model",
        ),
    ],
)
def test_the_reduced_head_is_refused_where_it_is_another_net(changes, message):
    """What depends on the basis of the weights, or on all of them, differs from the whole head, which is not refused."""
    run = change(arms("cpu")["batch_norm_4"], **changes)
    with pytest.raises(ValueError, match=message):
        run.check_layers()
    change(run, model={"head": "mameli"}).check_layers()


def made(preset="cpu", num_steps=12_000, factor=3.0):
    """Make data in which everything that is measured with one batch norm is so many times as large as without.

    Args:
        preset: whose configuration they have.
        num_steps: that were taken.
        factor: how many times as large.
    """
    config = change(mameli.PRESETS[preset], schedule={"num_steps": num_steps})

    def runs(name, run):
        size = factor if name == "batch_norm_4" else 1.0
        probes = {
            "shift": make_shift((5, 10), 0.3 * size, 0.8 / size),
            "dummy_shift": make_dummy_shift(size),
            "successive_gradients": make_successive(5, size),
            "landscape": make_scan(run, size, 2 * size),
            "random_direction": make_scan(run, size / 50, size / 25),
        }
        return [make_run(run, seed, 2 * size / num_steps, probes) for seed in run.seeds]

    data = as_read("mameli", preset, config, mameli.groups(config), runs)
    return keep(data, mameli.KEEP)


def verdicts(data):
    """Judge every claim."""
    return {claim.name.removeprefix("mameli_"): judge(claim, data) for claim in CLAIMS}


@pytest.mark.slow
def test_claims_go_either_way():
    """Where everything is larger with one batch norm those that say so hold, and where it is smaller the others do."""
    larger, smaller = verdicts(made()), verdicts(made(factor=1 / 3))
    up = {"accuracy", "accuracy_5_epochs", "shift", "shift_start", "shift_defined", "shift_relative", "sum", "sum_part"}
    down = {"shift_later", "gradient_change", "loss_range", "smoothness", "loss_change", "loss_change_part"}
    for name in up | {"distance"}:
        assert larger[name].verdict == "supported", name
        assert smaller[name].verdict == "contradicted", name
    # Losses fall faster with one batch norm where it is "larger".
    for name in down - {"loss_change", "loss_change_part"}:
        assert larger[name].verdict == "contradicted", name
        assert smaller[name].verdict == "supported", name
    for name in ("loss_change", "loss_change_part"):
        assert larger[name].verdict == "supported", name
        assert smaller[name].verdict == "contradicted", name
    assert larger["shift_floor"].verdict == "supported"
    np.testing.assert_allclose(larger["shift"].values, 3, rtol=0.1)
    np.testing.assert_allclose(larger["shift_floor"].values, 0.95, rtol=0.1)


@pytest.mark.slow
def test_absolute_accuracies_need_full_width():
    """At a part of the width they are not known; one seed has a value that is shown, and not judged."""
    ranges = {"one_10_epochs", "none_10_epochs", "one_30_epochs", "none_30_epochs"}
    narrow, full = verdicts(made()), verdicts(made("full_width"))
    assert {narrow[name].reason for name in ranges} == {"needs full width"}
    assert all(len(full[name].values) == 1 and full[name].verdict == "inconclusive" for name in ranges)
    assert {judgement.verdict for judgement in full.values()} == {"inconclusive"}
    claim = next(claim for claim in CLAIMS if claim.name == "mameli_sum")
    chosen, judgement = judge_best(claim, {"mameli-full_width": made("full_width"), "mameli-cpu": made()})
    assert chosen == "mameli-cpu"
    (beside,) = judgement.beside
    assert beside.setup.words == "VGG-A, full width, CIFAR-10, SGD, learning rate 0.01, batch 128, 11,700 steps, 1 seed"
    assert 3 <= beside.median < 4


def test_short_runs_say_what_they_need():
    """Five epochs decide the windows that end by then."""
    found = verdicts(made(num_steps=1950))
    assert found["sum"].reason == "needs 3,500 steps, ran 1,950"
    assert found["shift_later"].reason == "needs 9,000 steps, ran 1,950"
    for name in ("accuracy_5_epochs", "sum_part", "shift_start", "plateau", "loss_range", "direction"):
        assert len(found[name].values) == 3, name


def test_the_plateau_ends_when_the_loss_leaves_that_of_a_guess():
    """It is counted in steps, whatever a point of the curve stands for; one that has not ended is longer than the run."""
    claim = next(claim for claim in CLAIMS if claim.name == "mameli_plateau")
    run = {"seed": 0, "train": {"step": [0, 20, 40], "window": 20, "loss": [2.31, 2.29, 2.2]}, "diverged_at": None}
    still = {**run, "train": {**run["train"], "loss": [2.3] * 3}}
    lost = {**still, "diverged_at": 60}
    runs = [{**one, "seed": seed} for seed, one in enumerate((run, still, lost))]
    found = claim.statistic.of({"arms": {"plain": runs}})
    assert found[0] == found[2] == 60
    assert STEPS.written(found[1]) == "> 60 steps"
    assert np.isnan(claim.statistic.of({"arms": {"plain": [{**run, "train": {}}]}})[0])


def test_words():
    """Table and findings have the claims' numbers; one seed says that it is not judged, and the depth is named."""
    lines = table.summarise(made()).splitlines()
    (row,) = (line for line in lines if line.startswith("Mameli's shift "))
    assert 2.5 < float(row.split()[-1]) < 3.5
    found = table.findings(made())
    assert "Mameli's covariate shift is" in found
    assert "at least 13 weight layers, this one, a VGG-A as in the source, has 11." in found
    assert "not judged" not in found
    assert table.findings(made("full_width")).endswith("One seed, not judged.")


def test_published_points_end_with_the_runs():
    """Ten epochs stand beside the second notebook's accuracies, longer runs beside the first one's."""
    short, long = made(num_steps=1950)["arms"], made()["arms"]
    steps, values = published.accuracies(short).points["plain"]
    assert (steps[-1], values[-1]) == (1950, 0.309)
    assert published.accuracies(long).points["batch_norm_4"][1][-1] == 0.792
    assert published.up_to_end(published.SUM, short).points["plain"][0] == [250, 500, 750, 1000, 1500]
    assert isinstance(published.up_to_end(published.SECOND_NET, long), Published)


@pytest.mark.slow
@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("is_narrow", [False, True])
def test_pictures_can_be_read(is_narrow):
    """The four plots, and the details, with the published points on CIFAR-10."""
    data = made()
    layouts = [figure.plot(data), *(make(data) for make in figure.more(data).values())]
    assert len(layouts) == 2
    for layout in layouts:
        assert_readable(layout.draw(narrow=is_narrow))


@pytest.mark.thorough
def test_the_reduced_head_trains_and_is_measured_as_the_whole_one(tmp_path):
    """Curves and every measurement are the same up to rounding; random directions are other draws of the same lengths."""
    run = change(
        arms("smoke")["batch_norm_4"],
        model={"kernel_init": "he_normal"},
        schedule=Schedule(20, eval_every=20, probe_every=10),
        optimizer={"learning_rate": 0.05},
        probes={"successive_gradients": {"layers": (5, 9)}, "shift": {"layers": (5, 9)}},
    )
    heads = {head: change(run, model={"head": head}) for head in ("mameli", "mameli_reduced")}
    found = train_all({"arms": heads}, Options(results=tmp_path))["arms"]
    whole, part = (found[head][0] for head in heads)
    for kind in ("train", "test", "landscape", "shift", "dummy_shift", "successive_gradients"):
        np.testing.assert_allclose(
            *(np.concatenate([*map(np.ravel, _numbers(each[kind]))]) for each in (whole, part)),
            rtol=0.02,
            atol=1e-4,
            err_msg=kind,
        )
    # The norms that steps are measured by: the same gradient length, and so the same distance along any direction.
    lengths = [np.array(each["random_direction"]["gradient_distance"], float) for each in (whole, part)]
    smoothness = [np.array(each["random_direction"]["smoothness"], float) for each in (whole, part)]
    np.testing.assert_allclose(*(d / s for d, s in zip(lengths, smoothness, strict=True)), rtol=0.02)


def _numbers(record):
    """List the arrays of a record, at any depth."""
    if isinstance(record, dict):
        return [values for name in sorted(record) for values in _numbers(record[name])]
    return [np.array([np.nan if value is None else value for value in np.ravel(np.array(record, object))], float)]
