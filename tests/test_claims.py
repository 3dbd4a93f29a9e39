"""Every claim of every experiment: what it is made of, and that it judges the committed data."""

import math

import pytest
from committed import RUN, WAITING, read
from reporting import committed_report

from experiments._command import catalogue
from experiments._evidence.claim import Claim
from experiments._evidence.readings import OF_SET_UP
from experiments._evidence.verdict import VERDICTS, judge
from experiments._report import words

CLAIMS = {claim.name: (name, claim) for name in catalogue.names() for claim in catalogue.claims_of(name)}
JUDGED = [claim for claim, (name, _) in CLAIMS.items() if name in RUN]
# Numbers without a unit: a cosine, a correlation, and a distance or an error relative to what it is one of.
UNITLESS = ("cosine", "relative error", "rank correlation", "over its length", "| / |g(w)|", "growth of |w|²")


@pytest.fixture(scope="session")
def committed():
    """The committed data of every experiment."""
    return {name: read(name) for name in RUN}


def test_an_experiment_without_data_says_so():
    """Its description says that it has not been run; that of any other says what was measured."""
    for name in catalogue.names():
        assert ("Measured: not run yet." in (catalogue.module(name).__doc__ or "")) == (name in WAITING), name


@pytest.mark.parametrize("name", JUDGED)
def test_every_claim_judges_the_committed_data(name, committed):
    """It measures something in them, in a unit, or says what it needs; numbers, words and counted runs agree."""
    experiment, claim = CLAIMS[name]
    data, statistic = committed[experiment], claim.statistic
    judgement = judge(claim, data)
    assert judgement.verdict in VERDICTS
    assert "cannot be measured" not in judgement.reason
    assert "nothing to measure" not in judgement.reason
    assert statistic.format.unit or any(word in statistic.words for word in UNITLESS)
    assert statistic.per in ("seed", "draw", "seed pair")
    if judgement.values:
        assert 0 < judgement.num_diverged <= judgement.num_runs or judgement.num_diverged == 0 < judgement.num_runs
        assert len(judgement.values) <= judgement.num_runs
    else:
        assert judgement.reason.startswith(("needs ", "these data have no runs of "))
    known = [value for value in judgement.values if not math.isnan(value)]
    assert judgement.low <= judgement.median <= judgement.high if known else math.isnan(judgement.median)
    assert (judgement.verdict == "inconclusive") == bool(judgement.reason)
    assert words.holds(claim).startswith(("above ", "below ", "from "))


def test_every_claim_is_one_of_a_kind_and_caveats_follow_their_claims():
    """Names are unique, statements are sentences, and a caveat stands after the claim that it qualifies."""
    every = [claim for name in catalogue.names() for claim in catalogue.claims_of(name)]
    assert len(CLAIMS) == len(every) > 100
    for experiment in catalogue.names():
        own: list[Claim] = list(catalogue.claims_of(experiment))
        names = [claim.name for claim in own]
        for place, claim in enumerate(own):
            assert claim.statement.endswith(".")
            assert claim.caveat_of is None or claim.caveat_of in names[:place]
    places = [claim.name for claim in catalogue.claims_of("landscape")]
    assert places.index("landscape_rough_start") == places.index("landscape_predictiveness") + 1
    assert catalogue.claims_of("quickstart") == ()


@pytest.mark.slow
def test_supported_claims_of_a_doubtful_set_up_say_so():
    """Beside the verdict stands that the published curve of the deep linear network lies outside all draws."""
    judged = [pair for entry in committed_report().entries for pair in entry.judged]
    doubtful = [
        (claim, found) for claim, found in judged if claim.in_doubt in OF_SET_UP and found.verdict == "supported"
    ]
    assert len(doubtful) >= 5
    for claim, found in doubtful:
        assert f"but {claim.in_doubt}" in words.verdict(claim, found)
