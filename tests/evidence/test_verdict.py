"""Verdicts on values made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from records import make_run

from experiments._evidence.claim import Claim
from experiments._evidence.format import TIMES
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.statistic import Criterion, Statistic
from experiments._evidence.value import AtLeast, AtMost, Missing
from experiments._evidence.verdict import coverage, interval, judge


def make_claim(values=(), holds=(1, math.inf), arms=(), **fields):
    """Make a claim whose statistic has the given values."""
    statistic = Statistic(lambda data: dict(enumerate(values)), "x", "", arms, TIMES)
    return Claim("It is so.", "S", Criterion(statistic, holds), **fields)


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        ([2, 3, 4], "supported", ""),
        ([2, 3, math.inf], "supported", ""),
        ([0.1, 0.2, 0.9], "contradicted", ""),
        ([-math.inf, 0.2, 0.9], "contradicted", ""),
        ([0.9, 2, 3], "inconclusive", "seeds disagree"),
        ([1, 2, 3], "inconclusive", "seeds disagree"),
        ([1, 1, 1], "inconclusive", "on the edge of the range"),
        ([2, 3], "inconclusive", "2 seeds, not judged"),
        ([5], "inconclusive", "1 seed, not judged"),
        ([], "inconclusive", "0 seeds, not judged"),
        ([2, 3, math.nan, 4], "inconclusive", "nothing to measure in 1 of 4 seeds"),
        ([math.nan], "inconclusive", "nothing to measure"),
    ],
)
def test_verdicts(values, verdict, reason):
    """The whole interval inside the range supports, all values outside contradict, and anything else decides nothing."""
    judgement = judge(make_claim(values), {"arms": {}})
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


def test_ranges_are_open_and_have_two_sides():
    """Values beyond both ends contradict; an infinite end takes infinity in, a finite one keeps it out."""
    assert judge(make_claim([-5, -4, 7], (-3, 3)), {}).verdict == "contradicted"
    assert judge(make_claim([-5, 0, 7], (-3, 3)), {}).verdict == "inconclusive"
    assert judge(make_claim([-math.inf, -1, -2], (-math.inf, 0)), {}).verdict == "supported"
    assert judge(make_claim([math.inf] * 3, (0, 1e300)), {}).verdict == "contradicted"
    with pytest.raises(ValueError, match="holds must be a range from low to high"):
        make_claim(holds=(1, 1))
    with pytest.raises(ValueError, match="name must be lower-case words"):
        replace(make_claim(), name="Two words")
    statistic = make_claim().statistic
    criteria = statistic.above(1), statistic.below(1), statistic.between(1, 2), statistic.within(0.5, of=2)
    assert [criterion.holds for criterion in criteria] == [(1, math.inf), (-math.inf, 1), (1, 2), (1.5, 2.5)]


def test_the_interval_leaves_out_what_is_not_there():
    """Median and ends come from the values that could be measured."""
    judgement = judge(make_claim([4, math.nan, 1, 2]), {})
    assert (judgement.low, judgement.median, judgement.high) == (1, 2, 4)
    assert math.isnan(judge(make_claim([math.nan]), {}).median)


def test_no_data_is_not_run():
    """Without a data file nothing is measured."""
    assert judge(make_claim([2, 3, 4]), None).verdict == "not run"


def test_the_reason_is_in_words():
    """It is why values are missing, that the data lack the nets, or that they are not what they should be."""
    end = replace(make_claim(), criterion=TEST_ACCURACY.at_end().each("plain").above(1))
    for claim, data, reason in (
        (make_claim([Missing("needs 9 steps, ran 5")] * 3), {}, "needs 9 steps, ran 5"),
        (make_claim([2, Missing("why"), 3]), {}, "why in 1 of 3 seeds"),
        (end, {"arms": {}}, "these data have no runs of plain"),
        (end, {"arms": {"plain": [{}]}}, "cannot be measured in this data (KeyError: 'seed')"),
    ):
        judgement = judge(claim, data)
        assert (judgement.verdict, judgement.reason) == ("inconclusive", reason)


def test_diverged_runs_are_counted():
    """All runs of the arms that a statistic reads are counted."""
    data = {"arms": {"a": [make_run(), make_run(1, diverged_at=2)], "b": [make_run()]}, "sweep": {"c": [make_run()]}}
    data = {**data, "config": {"seeds": [0, 1]}, "provenance": [{}]}

    def counted(arms):
        judgement = judge(make_claim(arms=arms), data)
        return judgement.num_runs, judgement.num_diverged

    assert counted(("arms/a", "arms", "sweep")) == (4, 1)
    assert counted(("arms/b",)) == (1, 0)
    assert counted(("arms",)) == (3, 1)
    assert counted(("arms/a", "sweep")) == (3, 1)
    assert counted(("sweep/a", "c/a")) == (0, 0)


def test_coverage():
    """Three values enclose the median three times of four, by counting the signs."""
    assert [coverage(n) for n in (1, 2, 3, 5)] == [0, 0.5, 0.75, 0.9375]
    assert coverage(10, 1) == 1 - 2 * (1 + 10) / 1024
    draws = np.sort(np.random.default_rng(0).normal(size=(20_000, 10)), axis=1)
    assert np.mean((draws[:, 1] < 0) & (draws[:, -2] > 0)) == pytest.approx(coverage(10, 1), abs=0.005)


@pytest.mark.parametrize(("num", "left_out"), [(0, 0), (3, 0), (8, 0), (9, 1), (11, 1), (12, 2)])
def test_many_values_decide_without_the_outermost(num, left_out):
    """As many are left out at either end as still enclose the median with 95 %."""
    values = np.random.default_rng(0).permutation(num).astype(float)
    assert interval(values.tolist()) == [*range(left_out, num - left_out)]


def test_one_of_ten_draws_decides_nothing():
    """What holds in nine of ten is supported, with the interval that says so, and what holds in eight is not."""
    judgement = judge(make_claim([*range(2, 11), -7]), {})
    assert (judgement.verdict, judgement.low, judgement.high) == ("supported", 2, 9)
    assert len(judgement.values) == 10
    assert judge(make_claim([*range(2, 10), -7, -8]), {}).verdict == "inconclusive"
    assert judge(make_claim([0.5] * 9 + [7]), {}).verdict == "contradicted"


def test_bounds():
    """What a run had not come to at its end is known to be later: enough for some verdicts, and printed as what it is."""
    later, sooner = AtLeast(4), AtMost(0.5)
    for values, supported, verdict, reason in (
        ([later] * 3, (1, math.inf), "supported", ""),
        ([later, 5.0, 6.0], (0, 3), "contradicted", ""),
        ([later, 5.0, 6.0], (4.5, math.inf), "inconclusive", "runs too short"),
        ([later] * 3, (3, 5), "inconclusive", "runs too short"),
        ([sooner] * 3, (1, math.inf), "contradicted", ""),
        ([sooner] * 3, (0.4, 1), "inconclusive", "runs too short"),
    ):
        found = judge(make_claim(values, supported), {})
        assert (found.verdict, found.reason) == (verdict, reason)
    assert TIMES.number(judge(make_claim([later, 3.0, 5.0], (0, 1)), {}).median) == "> 4.00"


def test_what_can_be_needs_one_value():
    """A claim that something can be is supported by one value; seeds without a case do not refute it."""
    for values, verdict, reason in (
        ([0.5, 2, 3], "supported", ""),
        ([2, 2, 3], "inconclusive", "no case in 3 seeds"),
        ([0.5, 2], "inconclusive", "2 seeds, not judged"),
    ):
        judgement = judge(make_claim(values, (0, 1), exists=True), {})
        assert (judgement.verdict, judgement.reason) == (verdict, reason)
