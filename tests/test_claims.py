"""Claims and their verdicts, on data made by hand."""

import importlib
import math

import numpy as np
import pytest
from conftest import ROOT

from bnjax.records import read_json
from experiments import __main__ as command_line
from experiments._claims import claims_of
from experiments._claims import measures as m
from experiments._claims.claim import PERCENT, POINTS, STEPS, TIMES, AtLeast, Claim, Format, coverage, interval, judge


def make_claim(values=(), supported=(1, math.inf), **fields):
    """Make a claim that measures the given values."""
    named = {"name": "demo", "statement": "It is so.", "source": "S", "statistic": "x", "published": "-"}
    return Claim(**{**named, "measure": lambda data: list(values), "supported": supported, **fields})


def make_run(seed=0, accuracy=(0.1, 0.5, 0.9), diverged_at=None, probe=None):
    """Make a run of a few steps."""
    train = {"step": list(range(len(accuracy))), "accuracy": list(accuracy)}
    test = {"step": [len(accuracy)], "accuracy": [accuracy[-1]]} if accuracy else {}
    return {"seed": seed, "train": train, "test": test, "probe": probe or {}, "diverged_at": diverged_at}


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        ([2, 3, 4], "supported", ""),
        ([2, 3, math.inf], "supported", ""),
        ([0.1, 0.2, 0.9], "contradicted", ""),
        ([-math.inf, 0.2, 0.9], "contradicted", ""),
        ([0.9, 2, 3], "inconclusive", "seeds disagree"),
        ([1, 2, 3], "inconclusive", "seeds disagree"),
        ([1, 1, 1], "inconclusive", "seeds disagree"),
        ([2, 3], "inconclusive", "2 seeds"),
        ([5], "inconclusive", "1 seed"),
        ([], "inconclusive", "0 seeds"),
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
    with pytest.raises(ValueError, match="supported must be a range from low to high"):
        make_claim(supported=(1, 1))
    with pytest.raises(ValueError, match="name must be lower-case words"):
        make_claim(name="Two words")


def test_the_interval_leaves_out_what_is_not_there():
    """Median and ends are those of the values that could be measured."""
    judgement = judge(make_claim([4, math.nan, 1, 2]), {})
    assert (judgement.low, judgement.median, judgement.high) == (1, 2, 4)
    assert math.isnan(judge(make_claim([math.nan]), {}).median)


def test_no_data_is_not_run():
    """Without a data file nothing is measured."""
    assert judge(make_claim([2, 3, 4]), None).verdict == "not run"


def test_data_that_does_not_fit_is_told_in_words():
    """A measure that fails decides nothing, and says why."""
    judgement = judge(make_claim(measure=m.each("plain", m.final("test"))), {"arms": {}})
    assert judgement.verdict == "inconclusive"
    assert judgement.reason == "cannot be measured in this data (KeyError: 'plain')"


def test_diverged_runs_are_counted():
    """Runs are found wherever they are; where a claim names its arms, only there."""
    data = {"arms": {"a": [make_run(), make_run(1, diverged_at=2)], "b": [make_run()]}, "sweep": [{"c": [make_run()]}]}
    assert judge(make_claim(), data)[-2:] == (4, 1)
    assert judge(make_claim(arms=("b",)), data)[-2:] == (1, 0)
    assert judge(make_claim(arms=("arms",)), data)[-2:] == (3, 1)
    assert judge(make_claim(arms=("arms/a", "sweep")), data)[-2:] == (3, 1)
    assert judge(make_claim(arms=("sweep/a", "c/a")), data)[-2:] == (0, 0)


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


def test_numbers_in_print():
    """Units, signs, infinity and what is not there."""
    assert TIMES.number(2) == "2.00"
    assert POINTS.number(0.0312) == "+3.1"
    assert POINTS.number(-0.00001) == "+0.0"
    assert PERCENT.number(0.72) == "72.0"
    assert STEPS.number(1200.0) == "1,200"
    assert Format().number(-1234567.0) == "-1.23·10⁶"
    assert [TIMES.number(x) for x in (6.214, 226.99, 1e-5)] == ["6.21", "227", "1.00·10⁻⁵"]
    assert [TIMES.number(x) for x in (math.inf, -math.inf, math.nan)] == ["∞", "-∞", "-"]


def test_arms_are_paired_by_seed():
    """Ratio and difference take runs of the same seed, in any order, and leave out a seed that has no partner."""
    data = {
        "arms": {
            "a": [make_run(0, [0.8]), make_run(1, [0.6]), make_run(7, [0.2])],
            "b": [make_run(1, [0.3]), make_run(0, [0.2])],
        }
    }
    assert m.ratio("a", "b", m.final("test"))(data) == [4, 2]
    assert m.difference("a", "b", m.final("test"))(data) == pytest.approx([0.6, 0.3])
    assert m.each("b", m.final("test"))(data) == [0.3, 0.2]
    assert m.ratio("a", "b", m.final("test"), group="more")({"more": data["arms"]}) == [4, 2]


def test_division_keeps_what_is_infinite():
    """A run that diverged makes a ratio infinite or zero, two of them make it NaN."""
    assert m.divide(math.inf, 2) == math.inf
    assert m.divide(2, math.inf) == 0
    assert m.divide(2, 0) == math.inf
    assert m.divide(-2, 0) == -math.inf
    assert math.isnan(m.divide(math.inf, math.inf))
    assert math.isnan(m.divide(0, 0))


def test_final_accuracy_of_a_run_that_diverged_is_a_guess():
    """Chance where it diverged, NaN where nothing was recorded, else the mean of the last steps."""
    assert m.final("test")(make_run()) == 0.9
    assert m.final("train", num_steps=2)(make_run()) == pytest.approx(0.7)
    assert m.final("test")(make_run(diverged_at=3)) == 0.1
    assert math.isnan(m.final("test")(make_run(accuracy=[])))
    assert math.isnan(m.final("test")({**make_run(), "test": {"loss": []}}))


def test_accuracy_at_a_step():
    """Steps after it do not count; a curve that ends before it has no value, unless the run diverged."""
    run = make_run(accuracy=[0.1, 0.2, 0.3, 0.4])
    assert m.at_step("train", 3, num_steps=2)(run) == pytest.approx(0.25)
    assert m.at_step("train", 4, num_steps=1)(run) == 0.4
    assert m.at_step("test", 4)(run) == 0.4
    assert math.isnan(m.at_step("train", 5)(run))
    assert m.at_step("train", 5)(make_run(diverged_at=3)) == 0.1
    assert m.at_step("train", 2, num_steps=1)(make_run(diverged_at=3)) == 0.5


def test_points_that_stand_for_several_steps():
    """A point counts once all of its steps are over; at least one point is averaged."""
    train = {"step": [0, 10, 20, 30], "window": 10, "accuracy": [0.1, 0.2, 0.3, 0.4]}
    run = {**make_run(), "train": train}
    assert m.at_step("train", 30, num_steps=20)(run) == pytest.approx(0.25)
    assert m.at_step("train", 35, num_steps=1)(run) == 0.3
    assert math.isnan(m.at_step("train", 5)(run))
    assert m.final("train", num_steps=3)(run) == 0.4
    assert m.steps_to(0.2)({**run, "train": {**train, "step": range(0, 60, 10), "accuracy": [0, 0, 1, 1, 1, 1]}}) == 50


def test_steps_to_a_level():
    """A level is reached when the median of five logs is; else after more steps than there are, or, if it diverged, never."""
    run = make_run(accuracy=[0, 0, 1, 0, 0, 1, 1, 0, 1, 1])
    assert m.steps_to(0.8)(run) == 7
    assert m.steps_to(0.8, every=2)(run) == 9
    assert m.steps_to(1.1)(run) == AtLeast(10)
    assert isinstance(m.steps_to(1.1)(run), AtLeast)
    assert m.steps_to(0.5)(make_run(accuracy=[1, 1], diverged_at=2)) == math.inf


def test_bounds():
    """What a run had not come to at its end is known to be later: enough for some verdicts, and printed as what it is."""
    later, sooner = m.divide(AtLeast(1000), 250.0), m.divide(500.0, AtLeast(1000))
    assert [TIMES.number(value) for value in (later, sooner)] == ["> 4.00", "< 0.500"]
    assert math.isnan(m.divide(AtLeast(1000), AtLeast(1000)))
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
    """A claim that something can be is supported by one value, and contradicted by none."""
    for values, verdict in (([0.5, 2, 3], "supported"), ([2, 2, 3], "contradicted"), ([0.5, 2], "inconclusive")):
        claim = make_claim(values, (0, 1), exists=True)
        assert judge(claim, {}).verdict == verdict


def test_medians_over_steps():
    """Only the steps asked for count; what is not finite is infinite, and what was never to be reached is NaN."""
    probe = {"step": [0, 10, 20, 30], "loss": [[1, 2], [1, 4], [1, 8], [1, None]]}
    run = make_run(probe=probe)
    assert m.median_of("probe", m.loss_range)(run) == 5
    assert m.median_of("probe", m.loss_range, first=10, last=20)(run) == 5
    assert m.median_of("probe", m.loss_range, last=0)(run) == 1
    assert m.median_of("probe", m.loss_range, last=20, final_share=0.5)(run) == 5
    assert m.median_of("probe", m.loss_range, last=20, final_share=0.1)(run) == 7
    assert m.median_of("probe", m.loss_range, first=30)(run) == math.inf
    assert math.isnan(m.median_of("probe", m.loss_range, first=40)(run))
    assert m.median_of("probe", m.loss_range, first=40)(make_run(probe=probe, diverged_at=33)) == math.inf
    assert m.median_of("train", "accuracy", first=1)(make_run()) == pytest.approx(0.7)


def test_claims_about_the_landscape():
    """Each of them is measured on the data that it is about, and comes out as these were made."""

    def make(seed, scale):
        scan = {
            "step": [100, 200, 300],
            "loss": [[1, 1 + scale]] * 3,
            "gradient_distance": [[1, 200 * scale]] * 3,
            "smoothness": [[2e6 * scale, 1]] * 3,
        }
        gradients = {"step": [100], "layers": {"layer_5": {"step_sum": [3 / scale], "relative_sum": [scale]}}}
        late = {**scan, "step": [200, 1000, 2000]}
        named = {"landscape": late if scale == 1 else scan, "random_direction": scan, "successive_gradients": gradients}
        return {"seed": seed, **named, "diverged_at": None}

    plain, normed = ([make(seed, scale) for seed in range(3)] for scale in (150, 1))
    data = {"config": {"deep_linear": {"learning_rate": 1e-6}}, "arms": {"plain": plain, "batch_norm": normed}}
    data = {**data, "deep_linear": data["arms"], "short": data["arms"]}
    verdicts = {claim.name.removeprefix("landscape_"): judge(claim, data) for claim in claims_of("landscape")}
    # These measure what is not made here, but for tests/test_landscape.py.
    elsewhere = ["loss_range_twofold", "loss_change", "loss_change_relative", "shorter_gradient", "successive_distance"]
    elsewhere += [
        "smoothness_plateau",
        "smoothness_late",
        "smoothness_saturates",
        "smoothness_falls",
        "penalty",
        "rates_loss",
        "rates_progress",
        "rates_predictiveness",
    ]
    assert {name: judgement.verdict for name, judgement in verdicts.items()} == {
        "loss_range": "supported",
        "loss_range_late": "inconclusive",
        "predictiveness": "supported",
        "rough_start": "inconclusive",
        "predictiveness_hundredfold": "supported",
        "smoothness": "supported",
        "random_direction": "supported",
        "successive_sum": "supported",
        "successive_relative": "supported",
        "deep_linear": "supported",
        "deep_linear_edge": "supported",
        "deep_linear_loss": "contradicted",
        "deep_linear_smoothness": "supported",
        "deep_linear_end": "contradicted",
        "deep_linear_end_plain": "contradicted",
        **dict.fromkeys(elsewhere, "inconclusive"),
    }
    assert verdicts["loss_range"].values == (150,) * 3
    assert verdicts["successive_sum"].median == pytest.approx(150)
    assert verdicts["deep_linear_edge"].values == (1,) * 3
    assert verdicts["loss_range_late"].reason == verdicts["rough_start"].reason == "nothing to measure"
    assert [verdicts[name].num_runs for name in ("loss_range", "deep_linear", "deep_linear_edge")] == [6, 6, 3]


def test_every_claim_is_one_of_a_kind_and_caveats_follow_their_claims():
    """Names are unique, experiments exist, a caveat stands behind what it is a caveat of, and statements are sentences."""
    claims = [claim for name in command_line.names() for claim in claims_of(name)]
    names = [claim.name for claim in claims]
    assert len(set(names)) == len(names) > 0
    for claim in claims:
        assert claim.statement.endswith(".")
        assert claim.caveat_of is None or claim.caveat_of in names
    files = {path.stem for path in (ROOT / "experiments" / "_claims").glob("*.py")}
    assert files - {"__init__", "claim", "measures", "landscape_rates"} <= set(command_line.names())
    parts = [path.stem for path in (ROOT / "experiments" / "_claims" / "deep_linear").glob("[a-z]*.py")]
    for part in parts:  # none is left out
        assert {*importlib.import_module(f"experiments._claims.deep_linear.{part}").CLAIMS} <= {*claims_of(part)}
    places = [claim.name for claim in claims_of("landscape")]
    assert places.index("landscape_rough_start") == places.index("landscape_predictiveness") + 1
    assert claims_of("quickstart") == claims_of("measures") == ()


def test_the_committed_data_can_be_judged():
    """Every claim whose experiment has its data measures something in them, or says that there is nothing to measure."""
    for name in command_line.names():
        file = ROOT / "figures" / f"{name}.json"
        for claim in claims_of(name) if file.exists() else ():
            data = read_json(file)
            judgement = judge(claim, data)
            assert "cannot be measured" not in judgement.reason, f"{claim.name}: {judgement.reason}"
            # Data of the landscape that were made before it had runs of several learning rates have none of them.
            assert judgement.num_runs > 0
