"""Every claim on its own: a sentence that needs no other one, a source that can be looked up, and a range with a day."""

import math
import re

import pytest
from committed import RUN
from conftest import ROOT
from reporting import committed_report

from experiments import _report
from experiments._command import catalogue
from experiments._evidence.claim import HYPOTHESES, SPEAKS
from experiments._evidence.read import read_data
from experiments._evidence.source import ORIGINS
from experiments._evidence.verdict import judge
from experiments._report import known, words
from experiments._report.load import by_origin

CLAIMS = {claim.name: claim for experiment in catalogue.names() for claim in catalogue.claims_of(experiment)}
NAMES = [claim.name for experiment in RUN for claim in catalogue.claims_of(experiment)]
# Words that a sentence begins with, or holds, if it is about another one.
LEANING = re.compile(
    r"^(So|It|They|That|This|These|Those|Nor|And|Only|But|There|Then|Here)\b|"
    r"\b(as many steps|as few steps|in that net|in such a net|that network|likewise|the same noise|the same range|as above)\b|"
    r"\b(its lead|the lead(?! of)|the former|the latter|that measure|by then|nor|do not\.|does so|do so)(?!\w)|, too[,.]"
)
NAMED = re.compile(r"\b(batch norm|norms?|plain|noise|without any|Huber|normalise[sr]|Batch norm|batch norms)\b|Noise")


@pytest.fixture(scope="module")
def report():
    """The report of the committed figures."""
    return committed_report()


@pytest.fixture(scope="module")
def rows(report):
    """Each claim by its name, with its experiment and its verdict."""
    found = {
        claim.name: (entry, claim, judgement)
        for entry in report.entries
        if entry.data
        for claim, judgement in entry.judged
    }
    assert list(found) == NAMES
    return found


def leans(sentence):
    """Return what a sentence leans on another one with; None if it stands alone."""
    found = LEANING.search(sentence)
    return found[0] if found else None


def test_sentences_that_lean_on_others_are_known():
    """The rule refuses what it is for, and lets a complete sentence pass."""
    for sentence in (
        "So are the variances.",
        "It does so in a net that is trained with batch norm.",
        "Nor does it gain anything at that learning rate.",
        "After as many steps, the test accuracy is higher with batch norm.",
        "In such a net it holds with the Hessian that there is, too.",
        "That measure, too, is lower with batch norm.",
        "With batch norm they do not.",
    ):
        assert leans(sentence), sentence
    assert (
        leans("At learning rate 0.1, the plain net ends at a lower test accuracy than the one with batch norm.") is None
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_is_one_sentence_by_itself(name):
    """It leans on no other one."""
    statement = CLAIMS[name].statement
    assert leans(statement) is None
    assert re.fullmatch(r"[A-Z].*[^.]\.", statement)
    assert not re.search(r"\. [A-Z]", statement)


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_says_what_it_is_about(name, rows):
    """It names its nets, and says on what it was measured, from the data that decide it."""
    entry, claim, judgement = rows[name]
    if claim.statistic.counted(entry.data):
        assert NAMED.search(claim.statement), "it has nets and names none"
    shown = words.statement(claim, judgement)
    assert shown.endswith(claim.statement)
    if judgement.setup:
        head = shown.removesuffix(claim.statement)
        assert re.search(
            r"^(VGG-A, (full width|width 1/\d+)|VGG of \d+ layers, full width|Perceptron of .+ units|"
            r"Deep linear network of \d+ layers|Deep linear network|LSTM of \d+ units|"
            r"ResNet-\d+ of width \d+|BN-Inception, width 1/\d, stem of stride \d|BN-Inception|VGG|Perceptron|LSTM|"
            r"ResNet|Linear regression)[:,] ",
            head,
        )
        assert bool(re.search(r"\d steps?, \d+ (seeds?|draws?|seed pairs?): $", head)) == bool(judgement.setup.seeds)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_has_a_source_a_day_and_a_hypothesis(name):
    """What is ours has no published value; what is not has an address, unless none is known."""
    claim = CLAIMS[name]
    assert claim.origin in ORIGINS
    assert claim.since >= "2026-11-21"
    assert claim.hypothesis in HYPOTHESES
    if claim.origin == "ours":
        assert claim.published == "-"
    elif not claim.source.address:
        assert claim.source.title.startswith("a public re-run, whose address is not known")
    assert "seed repository" not in words.source(claim)
    if claim.published != "-" and claim.source.setup:
        assert claim.source.setup in words.published(claim)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_of_a_hypothesis_says_what_it_speaks_for(name):
    """A claim of no hypothesis says nothing; one that speaks the other way if contradicted has a range for which that is so."""
    claim = CLAIMS[name]
    assert (claim.speaks is None) == (claim.hypothesis == "none"), (
        f"{name} tests {claim.hypothesis!r} and has speaks={claim.speaks!r}: give one of {', '.join(map(repr, SPEAKS))}, "
        "or None if it tests none"
    )
    if claim.side(holds=False):
        low, high = claim.holds
        least = 0 if claim.statistic.format.is_ratio else -math.inf
        assert low <= least or high == math.inf, f"{name} has a range with two ends: contradicted, it says nothing"
        middle = claim.statistic.format.no_difference
        assert middle is None or low <= middle <= high, f"{name} bounds an amount: contradicted, it says nothing"


def test_the_record_of_what_was_known_agrees_with_the_claims():
    """No range or statistic changes without its day; what was seen is in the record by identity, seeds and steps."""
    record = known.table()
    fixed = {name: {key: row[key] for key in ("holds", "statistic", "since")} for name, row in record["claims"].items()}
    assert fixed == {name: known.row(claim) for name, claim in CLAIMS.items()}
    for name, row in record["claims"].items():
        assert {*row["seen"]} <= {*record["runs"]}, name
        for label in row["seen"]:
            assert label.partition(" ")[2] <= f"{row['since']} 23:59", "it was seen before the range was fixed"
    for label, nets in record["runs"].items():
        assert label.partition(" ")[0] in catalogue.names()
        for identity, runs in nets.items():
            assert re.fullmatch(r"\w+-(\w+-)?[0-9a-f]{10}", identity)
            assert runs["seeds"]
            assert runs["steps"] >= 0


@pytest.mark.parametrize(
    ("seeds", "steps", "is_exploratory"), [((0, 1, 2), 0, True), ((0, 1, 5), 0, True), ((7, 8, 9), 0, False)]
)
def test_a_row_is_exploratory_by_runs_that_were_seen(seeds, steps, is_exploratory, rows):
    """The same seeds are known however often they are trained; three other seeds, or later steps, are new."""
    entry, claim, _ = rows["noisy_above_plain_part"]
    data = read_data(ROOT / "figures" / "noisy_batchnorm-cpu.json")
    renamed = dict(zip((0, 1, 2), seeds, strict=True))
    arms = {arm: [{**run, "seed": renamed[run["seed"]]} for run in runs] for arm, runs in data["arms"].items()}
    data = {**data, "arms": arms}
    assert known.is_exploratory(entry.name, claim, data, judge(claim, data)) == is_exploratory


def test_later_steps_and_other_nets_are_new(rows):
    """A row is not exploratory where its window ends after the steps that were seen, or where a net is another one."""
    entry, claim, _ = rows["noisy_test"]
    data = read_data(ROOT / "figures" / "noisy_batchnorm-cpu.json")
    judgement = judge(claim, data)

    def judged(**changes):
        return known.is_exploratory(entry.name, claim, {**data, **changes}, judgement)

    assert judged()
    longer = {
        arm: [{**run, "test": {**run["test"], "step": [*run["test"]["step"][:-1], 5000]}} for run in runs]
        for arm, runs in data["arms"].items()
    }
    assert not judged(arms=longer)
    wider = {**data["config"], "model": {**data["config"]["model"], "width": 1.0}}
    assert not judged(config=wider)


@pytest.mark.slow
def test_verdicts_are_counted_by_origin(report):
    """The page and the README count the claims of each kind of source."""
    counts = by_origin(report.entries)
    assert list(counts) == list(ORIGINS)
    assert sum(number.total() for number in counts.values()) == len(CLAIMS)
    table, page = _report.claim_table(report), _report.render(report)
    for origin, number in counts.items():
        assert f"| {words.WHOSE[origin]} | {number['supported']} | {number['contradicted']} |" in table
        assert f"{number.total()} from {words.WHOSE[origin]}" in page
