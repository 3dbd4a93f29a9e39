"""Measures of runs, and the rules for what diverged, is missing or is not finite, on runs made by hand."""

import math

import numpy as np
import pytest
from records import make_run

from experiments._evidence.format import TIMES
from experiments._evidence.quantities import (
    CHANCE,
    LOSS_RANGE,
    RECALIBRATED_ACCURACY,
    TEST_ACCURACY,
    TRAIN_ACCURACY,
    along_random,
    edge_of_stability,
)
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import num_steps
from experiments._evidence.value import AtLeast, Missing

SCANS = {"step": [0, 10, 20, 30], "loss": [[1, 2], [1, 4], [1, 8], [1, None]]}
COSINE = Quantity("probe", "cosine", "cosine", if_diverged=math.nan)


def scanned(diverged_at=None, steps=40):
    """Make a run with four scans, the last of which is not finite."""
    return {**make_run(accuracy=[0.5] * steps, diverged_at=diverged_at), "landscape": SCANS, "random_direction": SCANS}


def reason(value):
    """Return why a number is missing."""
    assert isinstance(value, Missing)
    assert math.isnan(value)
    return value.reason


def test_medians_over_steps():
    """Only the steps asked for count, both ends included; what is not finite is infinite."""
    assert LOSS_RANGE.median().of(scanned()) == 5
    assert LOSS_RANGE.median(10, 20).of(scanned()) == 5
    assert LOSS_RANGE.median(last=0).of(scanned()) == 1
    assert LOSS_RANGE.median(first=30).of(scanned()) == math.inf
    assert LOSS_RANGE.mean(10, 20).of(scanned()) == 5
    assert LOSS_RANGE.range(0, 20).of(scanned()) == 6
    assert along_random(LOSS_RANGE).median(10, 20).of(scanned()) == 5
    assert TRAIN_ACCURACY.median(first=1).of(make_run()) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (LOSS_RANGE.median(10, 3500), "needs 3,500 steps, ran 40"),
        (LOSS_RANGE.median(first=41), "needs 41 steps, ran 40"),
        (TRAIN_ACCURACY.at(41), "needs 41 steps, ran 40"),
        (TEST_ACCURACY.at(9000), "needs 9,000 steps, ran 40"),
        (TRAIN_ACCURACY.steps_to(0.9, within=50), "needs 50 steps, ran 40"),
        (TRAIN_ACCURACY.first(after=40), "needs 41 steps, ran 40"),
        (LOSS_RANGE.median(first=40), "not recorded in these steps: largest - smallest loss of a scan"),
        (LOSS_RANGE.median(31, 39), "not recorded in these steps: largest - smallest loss of a scan"),
    ],
)
def test_a_window_is_a_requirement(measure, text):
    """A run that did not cover a window has no number, and says how many steps it needs and took."""
    assert reason(measure.of(scanned())) == text


def test_late_measurements():
    """They are a share of all, at least one; a run of any length has some."""
    run = {**scanned(), "landscape": {"step": [0, 10, 20], "loss": [[1, 2], [1, 4], [1, 8]]}}
    assert LOSS_RANGE.late(0.5).of(run) == 5
    assert LOSS_RANGE.late(0.1).of(run) == 7


def test_a_run_that_diverged_by_the_end_of_the_steps_counts_as_diverged():
    """So it does in every measure; what it had reached before, it keeps."""
    lost = scanned(diverged_at=33)
    assert LOSS_RANGE.median(0, 20).of(lost) == 3
    for measure in (LOSS_RANGE.median(), LOSS_RANGE.median(0, 3500), LOSS_RANGE.late(0.5), LOSS_RANGE.mean(0, 33)):
        assert measure.of(lost) == math.inf
    assert (
        TEST_ACCURACY.at_end().of(lost) == TRAIN_ACCURACY.at_end(50).of(lost) == TRAIN_ACCURACY.at(33).of(lost) == 0.1
    )
    assert TRAIN_ACCURACY.at(2, average=1).of(make_run(diverged_at=3)) == 0.5
    assert TEST_ACCURACY.highest().of(lost) == 0.5
    assert TEST_ACCURACY.highest().of(make_run(accuracy=[], diverged_at=0)) == 0.1
    assert TRAIN_ACCURACY.steps_to(0.5).of(lost) == 5
    assert TRAIN_ACCURACY.steps_to(0.6).of(lost) == math.inf
    assert reason(COSINE.median().of({**lost, "probe": {"step": [0], "cosine": [1]}})) == "a run diverged"


def test_accuracy_at_the_end():
    """It is the mean of the last steps, missing where nothing was recorded."""
    assert TEST_ACCURACY.at_end().of(make_run()) == 0.9
    assert TRAIN_ACCURACY.at_end(2).of(make_run()) == pytest.approx(0.7)
    assert reason(TEST_ACCURACY.at_end().of(make_run(accuracy=[]))) == "not recorded in these steps: test accuracy"
    assert (
        reason(TEST_ACCURACY.at_end().of({**make_run(), "test": {"loss": []}}))
        == "not recorded in these steps: test accuracy"
    )
    never = RECALIBRATED_ACCURACY.at_end().of(make_run())
    assert reason(never) == "not recorded in these steps: recalibrated test accuracy"


def test_accuracy_at_a_step():
    """Steps after it do not count."""
    run = make_run(accuracy=[0.1, 0.2, 0.3, 0.4])
    assert TRAIN_ACCURACY.at(3, average=2).of(run) == pytest.approx(0.25)
    assert TRAIN_ACCURACY.at(4, average=1).of(run) == 0.4
    assert TEST_ACCURACY.at(4).of(run) == 0.4
    tests = {"step": [1000, 2000, 3000, 4000], "accuracy": [0.1, 0.2, 0.3, 0.4]}
    assert TEST_ACCURACY.at(3040).of({**run, "test": tests}) == 0.3
    assert reason(TEST_ACCURACY.at(3900).of({**run, "test": tests})) == "not recorded in these steps: test accuracy"


def test_points_that_stand_for_several_steps():
    """A point counts once all of its steps are over; at least one point is averaged."""
    train = {"step": [0, 10, 20, 30], "window": 10, "accuracy": [0.1, 0.2, 0.3, 0.4]}
    run = {**make_run(), "test": {}, "train": train}
    assert num_steps(run) == 40
    assert TRAIN_ACCURACY.at(30, average=20).of(run) == pytest.approx(0.25)
    assert TRAIN_ACCURACY.at(35, average=1).of(run) == 0.3
    assert math.isnan(TRAIN_ACCURACY.at(5).of(run))
    assert TRAIN_ACCURACY.at_end(3).of(run) == 0.4
    longer = {**train, "step": range(0, 60, 10), "accuracy": [0, 0, 1, 1, 1, 1]}
    assert TRAIN_ACCURACY.steps_to(0.2).of({**run, "train": longer}) == 50


def test_steps_to_a_level():
    """It is reached when the median of five points is; else after more steps than there are, or, if it diverged, never."""
    run = make_run(accuracy=[0, 0, 1, 0, 0, 1, 1, 0, 1, 1])
    assert TRAIN_ACCURACY.steps_to(0.8).of(run) == 7
    assert TRAIN_ACCURACY.steps_to(0.8, points=1).of(run) == 3
    later = TRAIN_ACCURACY.steps_to(1.1).of(run)
    assert isinstance(later, AtLeast)
    assert TIMES.number(later) == "> 10.0"
    assert TRAIN_ACCURACY.steps_to(0.5).of(make_run(accuracy=[1, 1], diverged_at=2)) == math.inf
    assert TRAIN_ACCURACY.steps_to(1.1, within=10).of(run) == AtLeast(10)
    assert "training accuracy" in reason(TRAIN_ACCURACY.steps_to(0.8).of({**run, "train": {}}))


def test_the_first_value_and_the_best_one():
    """The first after a step; the best of all."""
    run = {**make_run(), "test": {"step": [10, 20, 30], "accuracy": [0.6, 0.5, 0.7]}}
    assert TEST_ACCURACY.first(after=10).of(run) == 0.5
    assert TEST_ACCURACY.first(after=30).of({**run, "diverged_at": 35}) == CHANCE
    assert TEST_ACCURACY.first(after=10).of({**run, "diverged_at": 35}) == 0.5
    assert TEST_ACCURACY.highest().of(run) == 0.7
    assert math.isnan(TEST_ACCURACY.highest().of({**make_run(accuracy=[]), "test": {"loss": []}}))


def test_words_and_units_come_from_the_measure():
    """What is measured, over which steps, and in which unit, are written from the same object that measures."""
    assert TRAIN_ACCURACY.median(80, 1000).words == "training accuracy, median over steps 80 to 1,000"
    assert LOSS_RANGE.median(first=9000).words == "largest - smallest loss of a scan, median from step 9,000 on"
    assert LOSS_RANGE.median(last=0).words == "largest - smallest loss of a scan, step 0"
    assert LOSS_RANGE.median().words == "largest - smallest loss of a scan, median over all steps"
    assert LOSS_RANGE.late(0.25).words.endswith("median over the last 25 % of the measurements")
    assert TRAIN_ACCURACY.at(5500, average=1000).words == "training accuracy at step 5,500, mean of 1,000 steps"
    assert TRAIN_ACCURACY.steps_to(0.5).words == "steps to 50 % training accuracy, median of 5 points"
    gap = TEST_ACCURACY.at_end() - TRAIN_ACCURACY.at_end(50)
    assert gap.words == "test accuracy at the end - training accuracy at the end, mean of 50 steps"
    assert gap.format.written(0.01) == "+1.0 points"
    assert gap.of(make_run()) == pytest.approx(0.9 - 0.5)


def test_the_edge_of_stability():
    """Gradient descent is unstable beyond 2 / learning rate; of Adam it is not known."""
    assert edge_of_stability({"optimizer": {"name": "sgd", "learning_rate": 0.1}}) == 20
    assert math.isnan(edge_of_stability({"optimizer": {"name": "adam", "learning_rate": 0.1}}))


def test_recorded_numbers_that_are_not_finite_become_nan():
    """None is JSON's word for them."""
    steps, values = COSINE.curve({**make_run(), "probe": {"step": [0, 5], "cosine": [None, 0.5]}})
    np.testing.assert_array_equal(steps, [0, 5])
    np.testing.assert_array_equal(values, [np.nan, 0.5])
