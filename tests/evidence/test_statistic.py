"""Statistics: nets compared seed by seed, and words that come with what is computed."""

import math

import pytest
from records import make_run

from experiments._evidence.format import PERCENT, POINTS, STEPS, TIMES, Format, listing, plural
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.statistic import NotInDataError, join, largest, smallest
from experiments._evidence.value import (
    AtLeast,
    AtMost,
    Missing,
    divide,
    largest_of,
    median,
    smallest_of,
    spread,
    subtract,
)
from experiments._nets import learning_rate

END, BEST = TEST_ACCURACY.at_end(), TEST_ACCURACY.highest()
DATA = {
    "config": {"model": {"head": "512"}},
    "arms": {
        "plain": [make_run(0, [0.8]), make_run(1, [0.6]), make_run(7, [0.2])],
        "batch_norm": [make_run(1, [0.3]), make_run(0, [0.2])],
        "batch_norm_0.1": [make_run(0, [0.4])],
    },
}


def values(statistic, data=DATA):
    """Return a statistic's numbers, without their seeds."""
    return list(statistic.of(data).values())


def test_nets_are_paired_by_seed():
    """Ratio and difference take runs of the same seed, in any order, and leave out a seed that has no partner."""
    assert END.over("plain", "batch_norm").of(DATA) == {0: 4, 1: 2}
    assert values(END.minus("plain", "batch_norm")) == pytest.approx([0.6, 0.3])
    assert values(END.each("batch_norm")) == [0.3, 0.2]
    assert values(END.over("plain", "batch_norm", group="deep_linear"), {"deep_linear": DATA["arms"]}) == [4, 2]
    assert values(END.each("batch_norm", learning_rate(0.1))) == [0.4]


def test_statistics_are_joined_by_seed():
    """Differences, ratios, the smallest and the largest are of the seeds that all of them have."""
    plain, batch_norm = END.each("plain"), END.each("batch_norm")
    assert (plain - batch_norm).of(DATA) == pytest.approx({0: 0.6, 1: 0.3})
    assert (plain / batch_norm).of(DATA) == {0: 4, 1: 2}
    assert smallest(plain, batch_norm).of(DATA) == {0: 0.2, 1: 0.3}
    assert largest(plain, batch_norm).of(DATA) == {0: 0.8, 1: 0.6}
    assert math.isnan(largest(plain, join([plain], lambda value: math.nan)).of(DATA)[0])


def test_words_unit_and_runs_come_with_the_statistic():
    """They are written from what is computed."""
    lead = END.minus("batch_norm", "plain", learning_rate(0.5))
    assert lead.words == "test accuracy at the end: BN - plain, learning rate 0.5"
    assert lead.arms == ("arms/batch_norm_0.5", "arms/plain_0.5")
    assert (lead.format, lead.per) == (POINTS, "seed")
    assert END.over("plain", "l1", group="deep_linear").per == "draw"
    growth = lead - END.minus("batch_norm", "plain", learning_rate(0.01))
    assert growth.words.endswith(": (BN - plain, learning rate 0.5) - (BN - plain, learning rate 0.01)")
    assert len(growth.arms) == 4
    assert growth.format == POINTS
    assert (
        smallest(*(END.over("plain", norm) for norm in ("l1", "l2"))).who == "the smaller of plain / l1 and plain / l2"
    )
    assert largest(*map(END.each, ("l1", "l2", "linf")), who="the three norms").who == "the largest of the three norms"
    assert (
        END.each("plain") / BEST.each("plain")
    ).words == "(test accuracy at the end: plain) / (best test accuracy: plain)"
    in_units = END.each("plain").in_units_of(lambda data: 2.0, "a half")
    assert (in_units.words, in_units.format) == ("test accuracy at the end, in units of a half: plain", TIMES)
    assert in_units.of(DATA)[0] == 0.4


def test_what_the_data_do_not_hold():
    """Nets that were not trained, and another setting, are named."""
    with pytest.raises(NotInDataError, match="these data have no runs of noisy BN"):
        END.each("noisy_batch").of(DATA)
    with pytest.raises(NotInDataError, match="needs head mameli"):
        END.each("plain").where("model.head", "mameli", "head mameli").of(DATA)
    assert END.each("plain").where("model.head", "512", "head 512").of(DATA)
    with pytest.raises(NotInDataError, match=r"needs probe penalty$"):
        END.each("plain").where("vgg.probes.landscape.penalty", True, "probe penalty").of({"config": {}})


def test_division_keeps_what_is_infinite_and_what_is_missing():
    """A run that diverged makes a ratio infinite or zero, two of them make it NaN."""
    assert divide(math.inf, 2) == math.inf
    assert divide(2, math.inf) == 0
    assert divide(2, 0) == math.inf
    assert divide(-2, 0) == -math.inf
    assert divide(math.inf, math.inf).reason == subtract(math.inf, math.inf).reason == "both numbers are infinite"
    assert divide(0, 0).reason == "both numbers are 0"
    for nothing in (divide(Missing("why"), 2), subtract(1, Missing("why")), divide(Missing("why"), Missing("how"))):
        assert nothing.reason == "why"


def test_bounds():
    """What a run had not reached at its end is later than that: so are differences and ratios with a number."""
    assert [TIMES.number(divide(*pair)) for pair in ((AtLeast(1000), 250.0), (500.0, AtLeast(1000)))] == [
        "> 4.00",
        "< 0.500",
    ]
    assert divide(AtLeast(1000), AtLeast(1000)).reason == "only a bound of both numbers is known"
    assert isinstance(subtract(AtLeast(3), 1.0), AtLeast)
    assert isinstance(subtract(3.0, AtLeast(1)), AtMost)
    assert math.isnan(subtract(AtLeast(3), AtLeast(1)))
    assert TIMES.number(median([AtLeast(4), 3.0, 5.0])) == "> 4.00"
    assert TIMES.number(median([AtLeast(1), 3.0, 5.0])) == "> 3.00"
    assert TIMES.number(median([AtMost(9), 3.0, 5.0])) == "< 5.00"
    assert median([AtLeast(9), 3.0, 5.0]) == 5
    assert not isinstance(median([AtLeast(9), 3.0, 5.0]), AtLeast)
    assert [TIMES.number(value) for value in spread([AtLeast(4), 3.0, 5.0])] == ["3.00", "> 4.00", "> 5.00"]
    assert [TIMES.number(value) for value in spread([AtMost(4), 3.0, 5.0])] == ["< 3.00", "< 4.00", "5.00"]
    assert [TIMES.number(largest_of(AtLeast(4), value)) for value in (3.0, 5.0, AtMost(5))] == ["> 4.00", "> 5.00", "-"]
    assert TIMES.number(smallest_of(AtLeast(4), 5.0)) == "> 4.00"


def test_medians_take_infinity_in_and_leave_out_what_is_missing():
    """A net that one seed of three never teaches still has a median."""
    assert spread([3.0, math.inf, 1.0, math.nan]) == (1, 3, math.inf)
    assert spread([Missing("why")]).middle.reason == "why"
    assert math.isnan(median([]))
    assert median([1.0, 2.0]) == 1.5


def test_numbers_in_print():
    """Units, signs, infinity and what is missing."""
    assert TIMES.number(2) == "2.00"
    assert POINTS.number(0.0312) == "+3.1"
    assert POINTS.number(-0.00001) == "+0.0"
    assert PERCENT.written(0.72) == "72.0 %"
    assert STEPS.written(1200.0) == "1,200 steps"
    assert Format().number(-1234567.0) == "-1.23·10⁶"
    assert Format().of_difference.of_difference.number(1.0) == "+1"
    assert [TIMES.number(x) for x in (6.214, 226.99, 1e-5)] == ["6.21", "227", "1.00·10⁻⁵"]
    assert [TIMES.written(x) for x in (math.inf, -math.inf, math.nan)] == ["∞ times", "-∞ times", "-"]
    assert (listing(["a"]), listing("abc"), plural(1, "seed"), plural(2000, "step")) == (
        "a",
        "a, b and c",
        "1 seed",
        "2,000 steps",
    )


def test_pairs_of_seeds():
    """Of two seeds the absolute difference; a seed without a partner is left out, and a ratio knows what it is of."""
    values = {"plain": (0.5, 0.6, 0.9, 0.5, 0.1), "batch_norm": (0.5, 0.45, 0.5, 0.7, 0.3)}
    data = {"arms": {net: [make_run(seed, [x]) for seed, x in enumerate(each)] for net, each in values.items()}}
    plain, batch_norm = (END.each(net).between_seeds() for net in values)
    assert plain.of(data) == {0: pytest.approx(0.1), 2: pytest.approx(0.4)}
    ratio = batch_norm / plain
    assert ratio.of(data) == {0: pytest.approx(0.5), 2: pytest.approx(0.5)}
    assert (plain.per, ratio.per, END.each("plain").per) == ("seed pair", "seed pair", "seed")
    assert ratio.words == "difference between two seeds, test accuracy at the end: BN / plain"
    missing = {"arms": {"plain": [make_run(0, [0.5]), make_run(1, ())]}}
    assert isinstance(plain.of(missing)[0], Missing)
