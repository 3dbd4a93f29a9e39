"""The scoreboard: which claims count for which side of an explanation, in which order, and in which words."""

import math
import re

import pytest
from reporting import committed_report

from experiments import _report
from experiments._evidence.claim import HYPOTHESES, Claim
from experiments._evidence.format import PERCENT, POINTS, TIMES, Format
from experiments._evidence.source import SANTURKAR, Source
from experiments._evidence.statistic import Criterion, Statistic
from experiments._evidence.verdict import judge
from experiments._report import markdown, scoreboard
from experiments._report.load import Entry

INF = math.inf
RE_RUN = Source("a re-run", "replication")
EXPLANATIONS = [hypothesis for hypothesis in HYPOTHESES if hypothesis != "none"]


def make(speaks, values, holds=(1, INF), form=TIMES, source=SANTURKAR, is_exploratory=False, **fields):
    """Make a judged claim about smoothness."""
    statistic = Statistic(lambda data: dict(enumerate(values)), "x", "", (), form)
    claim = Claim("S.", source, Criterion(statistic, holds), hypothesis="smoothness", speaks=speaks, **fields)
    return claim, judge(claim, {} if values else None)._replace(is_exploratory=is_exploratory)


def row_of(*pairs):
    """Return the row of smoothness of some judged claims."""
    rows = scoreboard.rows([Entry("x", "x-cpu", None, {}, "", None, pairs)])
    assert [row.hypothesis for row in rows] == EXPLANATIONS
    return rows[EXPLANATIONS.index("smoothness")]


YES, NO, MIXED = [2, 2.1, 2.2], [0.5, 0.6, 0.7], [0.5, 2, 3]


@pytest.mark.parametrize(
    ("speaks", "sides"),
    [
        ("for", ["for", None]),
        ("against", ["against", None]),
        ("for, else against", ["for", "against"]),
        ("against, else for", ["against", "for"]),
        ("neither", [None, None]),
        (None, [None, None]),
    ],
)
def test_a_claim_counts_for_a_side(speaks, sides):
    """Supported, as it says; contradicted, for the other side only if it says so; undecided or not run, for none."""
    assert [scoreboard.side(*make(speaks, values)) for values in (YES, NO)] == sides
    assert [scoreboard.side(*make(speaks, values)) for values in (MIXED, [])] == [None, None]


@pytest.mark.parametrize(
    ("values", "holds", "form", "counts"),
    [
        ([0.8, 0.81, 0.82], (0.5, INF), TIMES, False),
        ([1.8, 1.81, 1.82], (0.5, INF), TIMES, True),
        ([1.2, 1.21, 1.22], (0, 1.5), TIMES, False),
        ([0.7, 0.71, 0.72], (0, 1.5), TIMES, True),
        ([-0.01, -0.012, -0.011], (-0.03, INF), POINTS, False),
        ([0.01, 0.012, 0.011], (-INF, 0.03), POINTS, False),
        ([-0.01, -0.012, -0.011], (-INF, 0.03), POINTS, True),
        ([0.8, 0.81, 0.82], (0.5, 2), TIMES, True),
        ([0.8, 0.81, 0.82], (0.5, INF), PERCENT, True),
        ([-0.2, -0.21, -0.22], (-0.5, INF), Format("+z.2f", is_correlation=True), False),
        ([0.2, 0.21, 0.22], (-0.5, INF), Format("+z.2f", is_correlation=True), True),
    ],
)
def test_a_tolerance_is_no_evidence(values, holds, form, counts):
    """What holds only thanks to a tolerance counts for neither; a range with two ends and a share have none of that kind."""
    claim, judgement = make("against, else for", values, holds, form)
    assert judgement.verdict == "supported"
    assert scoreboard.side(claim, judgement) == ("against" if counts else None)


def test_every_claim_is_counted_once():
    """For, against, for neither, or undecided with the reason."""
    late = make("for", [])
    row = row_of(
        make("for", YES),
        make("for, else against", NO, source=RE_RUN),
        make("for", NO),
        make("neither", YES),
        make("neither", MIXED),
        make("for", MIXED),
        late,
        (late[0], late[1]._replace(verdict="inconclusive", reason="needs 15,000 steps, ran 1,000")),
    )
    assert [len(row.sides[side]) for side in scoreboard.SIDES] == [1, 1]
    assert row.num_neither == 3
    assert dict(row.num_unknown) == {"inconclusive": 1, "not run yet": 1, "need longer or other runs": 1}
    assert scoreboard.unknown(row) == "3 (1 inconclusive, 1 not run yet, 1 need longer or other runs)"
    assert scoreboard.split(row.sides["against"]) == "1 from replications; none exploratory"


def test_one_number_counts_once():
    """A claim that repeats another one counts where that is undecided, and for neither side where it is decided."""
    for values, counted in ((YES, ["whole", "other"]), (MIXED, ["part", "other"])):
        whole, part = make("for", values, name="whole"), make("for", YES, name="part", repeats="whole")
        row = row_of(whole, part, make("for", YES, name="other"))
        assert [claim.name for claim, _ in row.sides["for"]] == counted
        assert row.num_neither == (values is YES)


def test_a_chain_of_repetitions_counts_once():
    """A part of a window whose whole is undecided does not count where the claim that the whole repeats is decided."""
    for values, counted in ((YES, ["first"]), (MIXED, ["part"])):
        first, whole = make("for", values, name="first"), make("for", MIXED, name="whole", repeats="first")
        row = row_of(first, whole, make("for", YES, name="part", repeats="whole"))
        assert [claim.name for claim, _ in row.sides["for"]] == counted


def test_the_strongest_come_first():
    """Not exploratory, then more values, then further from the end of the range, in widths of the interval, if it has any."""
    pairs = {
        "wide": make("for", [1.5, 2, 3]),
        "seen": make("for", [9, 9.1, 9.2, 9.3], is_exploratory=True),
        "close": make("for", [1.1, 2, 3]),
        "many": make("for", [1.1, 2, 3, 2.5]),
        "exact": make("for", [2, 2, 2]),
        "endless": make("for", [2, 3, INF]),
    }
    row = row_of(*pairs.values())
    order = [next(name for name, own in pairs.items() if own[1] == judgement) for _, judgement in row.sides["for"]]
    assert order == ["many", "wide", "close", "endless", "exact", "seen"]
    assert scoreboard.strongest(row, "for") == row.sides["for"][:3]
    # ln 1.5 / (ln 3 - ln 1.5)
    assert scoreboard.strength(*pairs["wide"])[2] == pytest.approx(math.log(1.5) / math.log(2))
    # Contradicted: (1 - 0.8) / (0.8 - 0.4), from outside.
    below = make("for, else against", [0.4, 0.5, 0.8], (1, INF), PERCENT)
    assert scoreboard.strength(*below)[2] == pytest.approx(0.5)


FOR, AGAINST = make("for", YES), make("against", YES, source=RE_RUN)
SEEN, OPEN = make("for", YES, is_exploratory=True), make("for", MIXED)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], "No claim tests it yet."),
        ([OPEN, OPEN], "No decided claim speaks for it or against it. 2 are undecided."),
        ([make("neither", YES)], "No decided claim speaks for it or against it."),
        ([FOR], "Of 1 decided claim, 1 speaks for it (1 from papers and articles)."),
        ([FOR, FOR], "Of 2 decided claims, both speak for it (2 from papers and articles)."),
        (
            [FOR, AGAINST, AGAINST, OPEN],
            "Of 3 decided claims, 2 speak against it and 1 for it (1 from papers and articles). 1 more is undecided.",
        ),
        (
            [SEEN, SEEN, AGAINST],
            "Of 3 decided claims, 2 speak for it (2 from papers and articles) and 1 against it. "
            "2 of them are exploratory; the other speaks against it.",
        ),
        (
            [SEEN, FOR, AGAINST],
            "Of 3 decided claims, 2 speak for it (2 from papers and articles) and 1 against it. "
            "1 of them is exploratory; of the other 2, 1 speaks for it and 1 against it.",
        ),
        ([SEEN], "Of 1 decided claim, 1 speaks for it (1 from papers and articles). It is exploratory."),
    ],
)
def test_the_verdict_is_counted(pairs, words):
    """Its words follow from the numbers."""
    assert scoreboard.verdict(row_of(*pairs)) == words


@pytest.fixture(scope="module")
def report():
    """The report of the committed figures."""
    return committed_report()


@pytest.mark.slow
def test_the_page_has_a_row_per_explanation(report):
    """In order, each with its sentence, its verdict and links to claims that are on the page; it is in the contents."""
    page = _report.render(report)
    section = page.partition('<section id="scoreboard"')[2].partition("</section>")[0]
    assert '<a href="#scoreboard">' in page.partition("<nav")[2].partition("</nav>")[0]
    assert page.index('id="ratios"') < page.index('<section id="scoreboard"') < page.index('<section id="claims"')
    assert re.findall("<h3>(.*?)</h3>", section) == [name.capitalize() for name in EXPLANATIONS]
    for row in scoreboard.rows(report.entries):
        assert row.explanation.replace("'", "&#39;") in section
        assert scoreboard.verdict(row) in section
    names = re.findall('href="#claim-(.*?)"', section)
    assert len(names) > 6
    assert all(f'id="claim-{name}"' in page for name in names)


def test_all_claims_are_on_the_scoreboard(report):
    """Each that tests something, once; the table for the README has the same rows."""
    rows = scoreboard.rows(report.entries)
    numbers = [sum(map(len, row.sides.values())) + row.num_neither + row.num_unknown.total() for row in rows]
    tested = [claim.hypothesis for entry in report.entries for claim, _ in entry.judged]
    assert numbers == [tested.count(name) for name in EXPLANATIONS]
    table = markdown.scoreboard_table(report)
    assert [line.split("**")[1] for line in table.splitlines() if line.startswith("| **")] == [
        f"{name.capitalize()}." for name in EXPLANATIONS
    ]
    assert all(scoreboard.verdict(row) in table for row in rows)


def test_no_statistic_counts_twice(report):
    """Of two claims with the same numbers one counts; one that repeats another stands after it and speaks for the same side."""
    for row in scoreboard.rows(report.entries):
        for pairs in row.sides.values():
            numbers = [(claim.statistic.words, judgement.values) for claim, judgement in pairs]
            assert len({*numbers}) == len(numbers), [claim.name for claim, _ in pairs]
    judged = {claim.name: claim for entry in report.entries for claim, _ in entry.judged}
    for claim in judged.values():
        if claim.repeats:
            other = judged[claim.repeats]
            assert claim.hypothesis == other.hypothesis != "none"
            assert claim.side(holds=True) == other.side(holds=True)
            assert list(judged).index(other.name) < list(judged).index(claim.name)
