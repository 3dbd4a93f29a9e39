"""What data files keep of a run, and the tables that are made of it."""

import math
from typing import Any

import numpy as np
from records import make_run

from experiments._evidence import curve
from experiments._evidence.keep import Draws, by_layer, drift, keep, scans, training, whole
from experiments._evidence.quantities import HIGHEST_LOSS, TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.read import read_data, write_data
from experiments._evidence.table import accuracies, by_measure, by_net, cell, divergences, grid

CURVE = {"step": [0, 2, 4, 6, 8], "window": 2, "loss": [1, 2, 3, 4, 1 / 3], "accuracy": [None, 0, 0, 1, 1]}


def test_training_curves_are_joined():
    """Neighbouring points are averaged, to five digits, and the window says of how many steps."""
    kept = training(3, "loss")(CURVE, 0)
    assert kept == {"step": [0, 4, 8], "window": 4, "loss": [1.5, 3.5, 0.33333]}
    assert math.isnan(training(3, "accuracy")(CURVE, 0)["accuracy"][0])


def test_scans_are_kept_whole_or_at_their_ends():
    """Of what is not named nothing is kept."""
    record = {"step": [0, 5], "loss": [[1, 3, 2], [4, 4, 5]], "norm": [1, 2], "seconds": [1, 1]}
    assert scans("loss", "norm")(record, 0) == {"step": [0, 5], "loss": [[1, 3, 2], [4, 4, 5]], "norm": [1, 2]}
    assert scans("loss", ends=True)(record, 0) == {"step": [0, 5], "loss": [[1, 3], [4, 5]]}
    assert scans("loss", ends=True)({}, 0) == {"step": []}
    # Losses along a random direction differ by their rounding in float32; other quantities need fewer digits.
    record = {"step": [0], "loss": [[2.3027220, 2.3027222]], "norm": [[0.1234567, 0.2]]}
    assert scans("loss", "norm", ends=True)(record, 0) == {**record, "norm": [[0.12346, 0.2]]}


def test_layers():
    """All of them or the first, and all of their quantities or some."""
    record = {"step": [0], "layers": {"layer_2": {"a": [1], "b": [2]}, "layer_3": {"a": [3], "b": [4]}}}
    assert by_layer()(record, 0) == record
    assert by_layer("a", first=True)(record, 0) == {"step": [0], "layers": {"layer_2": {"a": [1]}}}


def test_drift_is_kept_as_medians_over_units():
    """Of the first run the first unit's quantiles are kept as well."""
    moves = {name: [[1, -3, 2], [None, 5, 7]] for name in ("mean", "variance", "relative_mean", "relative_variance")}
    moves["relative_wasserstein"] = [[1, 1, 1], [2, 2, 2]]
    layer = {"successive": moves, "quantiles": [[1], [2], [3]], "percentiles": [[[1, 2, 3], [4, 5, 6]]] * 3}
    record = {"step": [0, 10, 20], "layers": {"layer_10": layer, "layer_9": layer}}
    kept = drift("successive", "cumulative", shapes=2)(record, 0)["layers"]
    assert list(kept) == ["layer_9", "layer_10"]
    assert kept["layer_9"]["successive"]["mean"] == [[2], [6]]
    assert kept["layer_9"]["shapes"] == {"step": [0, 20], "quantiles": [[1], [3]]}
    assert kept["layer_9"]["percentiles"] == [[1, 2, 3]] * 3
    later = drift("successive", deepest=True, shapes=2)(record, 1)["layers"]
    assert {name: [*layer] for name, layer in later.items()} == {"layer_10": ["successive"]}


def test_groups_keep_what_is_named_for_them():
    """Tests, seed, seconds and divergence always stay; groups that are not named stay whole."""
    run = {**make_run(), "seconds": 1.0, "landscape": SCANS}
    data = {"arms": {"plain": [run]}, "more": {"plain": [run]}, "seconds": 3}
    kept = keep(data, {"arms": {"train": whole, "drift": whole}})
    assert kept["arms"]["plain"] == [{name: run[name] for name in ("seed", "test", "diverged_at", "seconds", "train")}]
    assert kept["more"] is data["more"]
    assert kept["seconds"] == 3


SCANS = {"step": [0], "loss": [[1, 2]]}


def test_tables():
    """Columns are as wide as their widest cell; numbers have their unit, and what was not reached or is missing says so."""
    nets = {"plain": [make_run(0), make_run(1, diverged_at=2)], "batch_norm": [make_run(0, [0.1, 0.5, 0.8])] * 2}
    measures = {"test": TEST_ACCURACY.at_end(), "steps": TRAIN_ACCURACY.steps_to(0.8)}
    assert by_net({"a": nets["plain"], "b": nets["batch_norm"]}, measures) == [
        "       test  steps",
        "a    50.0 %  never",
        "b    80.0 %    > 3",
    ]
    table = by_measure(nets, {"test": TEST_ACCURACY.at_end()}, ("plain", "batch_norm"))
    assert table[0].split() == ["without", "BN", "with", "BN", "plain", "/", "BN"]
    assert table[1].split() == ["test", "50.0", "%", "80.0", "%", "1.12"]
    assert divergences(nets) == ["Diverged: without BN, seed 1: the loss stopped being finite at step 2."]
    many = {"plain": [{"seed": seed, "diverged_at": 1000 * seed or None} for seed in range(9)]}
    assert divergences(many) == [
        "Diverged: without BN, 8 of 9 runs: the loss stopped being finite at steps 1,000 to 8,000."
    ]
    assert grid(["head"], {"block": [], "row": ["1"]}) == ["         head", "block", "row         1"]
    assert [cell(x, TRAIN_ACCURACY.steps_to(0.5).format) for x in (math.inf, math.nan, 1234.0)] == [
        "never",
        "-",
        "1,234",
    ]


def test_recalibrated_tests_are_a_column_where_there_are_any():
    """And a line says what they are."""
    run = make_run()
    assert "recalibrated" not in accuracies({"a": [run]})[0]
    tested = {**run, "test": {**run["test"], "recalibrated_accuracy": [0.7]}}
    lines = accuracies({"a": [tested]})
    assert lines[0].endswith("recalibrated")
    assert lines[1].endswith("70.0 %")
    assert lines[-1].startswith("Recalibrated: ")


def test_curves_over_seeds():
    """Curves join seeds by step, leave out what is not finite, and stop where every run has diverged."""
    runs = [
        {"landscape": {"step": [0, 10, 20], "loss": [[1, 2], [3, None], [5, 6]]}},
        {"landscape": {"step": [0, 10], "loss": [[2, 4], [4, 8]]}},
    ]
    found = curve.over_seeds(runs, HIGHEST_LOSS)
    np.testing.assert_array_equal(found, [[0, 10, 20], [2, 8, 6], [3, 8, 6], [4, 8, 6]])
    np.testing.assert_array_equal(curve.over_seeds(runs, HIGHEST_LOSS, np.negative).middle, [-3, -8, -6])
    np.testing.assert_allclose(curve.rolling_mean(np.array([1.0, 2, 3, 4]), 2), [1, 1.5, 2.5, 3.5])
    assert not len(curve.over_seeds(runs, TEST_ACCURACY).step)
    assert (curve.levels(7), curve.levels(8)) == ((0, 0.5, 1), (0.25, 0.5, 0.75))


def test_many_draws_are_kept_as_numbers_and_quartiles(tmp_path):
    """What claims read of each draw, and the curves' quartiles, are as from the whole curves, also from a file."""
    level, end = TRAIN_ACCURACY.median(2, 6), TRAIN_ACCURACY.at_end(2)
    runs: list[Any] = [
        make_run(seed=seed)
        | {"train": CURVE | {"accuracy": [0, seed, seed**2, 1, seed]}, "drift": SCANS, "test": {"step": [10]}}
        for seed in range(9)
    ]
    runs[3]["diverged_at"] = 7
    draws = Draws({"train": whole}, lambda _arms: ([level, end], [TRAIN_ACCURACY]))
    kept = keep({"arms": {"plain": runs}}, {"arms": draws})
    write_data(tmp_path / "data.json", kept)
    for found in (kept, read_data(tmp_path / "data.json")):
        rows = found["arms"]["plain"]
        assert not {"train", "drift"} & {name for row in rows for name in row}
        for measure in (level, end):
            assert [measure.of(row) for row in rows] == [measure.of(run) for run in runs]
        for column, expected in zip(
            curve.over_seeds(rows, TRAIN_ACCURACY), curve.over_seeds(runs, TRAIN_ACCURACY), strict=True
        ):
            np.testing.assert_allclose(column, expected)
        assert math.isnan(TRAIN_ACCURACY.median(4, 4).of(rows[0]))  # nobody reads it
    assert "measured" in (tmp_path / "data.json").read_text().split('"arms"')[1]
