"""The report: a page that shows whatever lies in a folder of data, and the tables of README files."""

import json
import shutil
import struct
import zlib

import pytest
from conftest import ROOT
from reporting import committed_report, make_data, run

from experiments import _report
from experiments._command import catalogue
from experiments._evidence.claim import Claim
from experiments._evidence.format import PERCENT, POINTS, STEPS, TIMES, two_digits
from experiments._evidence.statistic import Criterion, Statistic
from experiments._evidence.verdict import judge
from experiments._report import headlines, markdown, words
from experiments._report.load import seeds
from experiments._report.strip import strip

EVIL = "<script>alert(1)</script>\"'&"


def make_png():
    """Make a picture of two white pixels."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(b"\0\xff\xff"),
        b"IEND": b"",
    }
    parts = [struct.pack(">I", len(x)) + n + x + struct.pack(">I", zlib.crc32(n + x)) for n, x in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def figures(tmp_path):
    """A folder with the data and the picture of one experiment."""
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "landscape-cpu.json").write_text(json.dumps(make_data(scale=2)))
    (folder / "landscape-cpu.png").write_bytes(make_png())
    return folder


def test_the_page_shows_claims_and_experiments(figures, capsys, tmp_path):
    """Verdict, interval, command, time, hardware, seeds and what was scaled down are there, and so is what was not run."""
    output = tmp_path / "new" / "report.html"
    status, printed, errors = run(capsys, "report", "--figures", figures, "--output", output)
    assert (status, printed, errors) == (0, f"Written: {output}\n", "")
    page = output.read_text()
    (row,) = [row for row in page.split("<tr") if 'id="claim-landscape_predictiveness"' in row]
    for text in ("supported", "2.00 <small>times</small>", ">2.00 to 2.00<", ">3 seeds<", "Holds above 1."):
        assert text in row
    for text in (
        "<code>python -m experiments landscape</code>",
        "2 min",
        "CPU, 2 cores",
        "<dd>3</dd>",
        "2026-01-02",
    ):
        assert text in page
    assert "<li>vgg.schedule.num_steps 1,234 instead of 15,000</li>" in page
    assert "Not run yet: <code>python -m experiments quickstart</code>" in page
    assert "75&nbsp;% with 3" in page
    assert "<source" not in page  # there is no picture for a narrow screen
    places = [page.index(text) for text in ('id="answer"', 'id="headlines"', '<article id="landscape"', 'id="claims"')]
    assert places == sorted(places)
    assert page.count("data:image/png;base64,") == 1


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ("python -m experiments landscape --vgg.seeds 0", ["python -m experiments landscape --vgg.seeds 0"]),
        (
            "python -m experiments all",
            ["python -m experiments landscape --preset cpu", "python -m experiments all"],
        ),
        ("mine.py 3", ["python -m experiments landscape --preset cpu"]),
    ],
)
def test_the_page_shows_commands_that_a_reader_has(recorded, shown, figures, capsys, tmp_path):
    """A script of somebody's own that trained the nets is no command for others."""
    data = make_data()
    data["provenance"][0]["command"] = recorded
    (figures / "landscape-cpu.json").write_text(json.dumps(data))
    assert run(capsys, "report", "--figures", figures, "--output", tmp_path / "report.html")[0] == 0
    (article,) = [
        part for part in (tmp_path / "report.html").read_text().split("<article") if ' id="landscape"' in part
    ]
    assert [f"<code>{command}</code>" in article for command in shown] == [True] * len(shown)
    assert article.count("<code>python -m experiments") == len(shown)


def test_seeds_of_nets_that_were_trained():
    """A net of the configuration that has no runs is not counted."""
    assert seeds(make_data()) == "3"
    assert seeds(make_data(deep_linear={"plain": []})) == "vgg 3, deep_linear 1"


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "landscape-cpu.json cannot be read: Expecting property name"),
        ("[1]", "landscape-cpu.json cannot be read: it holds no JSON object."),
        ('{"experiment": "landscape"}', "landscape-cpu.json cannot be read: 'preset' is missing or of the wrong kind."),
        (json.dumps(make_data(experiment=EVIL)), "landscape-cpu.json cannot be read: it is the data of"),
        (json.dumps(make_data(provenance=[])), "its provenance is empty or of the wrong kind."),
        (json.dumps(make_data(seconds=float("nan"))), "its time is not finite."),
        (json.dumps(make_data(seconds=10**400)), "its time is not finite."),
        ('{"seconds": 1' + "0" * 5000 + "}", "landscape-cpu.json cannot be read: Exceeds the limit"),
        ("[" * 10**5, "landscape-cpu.json cannot be read: "),
        ('{"config": ' + '{"a": ' * 800 + "1" + "}" * 801, "landscape-cpu.json cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(text, message, figures, capsys, tmp_path):
    """On standard error and on the page, which shows the rest."""
    for name in ("json", "png"):
        shutil.copy(ROOT / "figures" / f"quickstart-cpu.{name}", figures)
    (figures / "landscape-cpu.json").write_text(text)
    status, _, errors = run(capsys, "report", "--figures", figures, "--output", tmp_path / "report.html")
    assert (status, errors.count("\n")) == (1, 1)
    assert message in errors
    page = (tmp_path / "report.html").read_text()
    assert "cannot be read" in page
    assert "alert(1)" not in page.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")
    assert page.count("data:image/png;base64,") == 1


def test_files_that_belong_to_nothing_are_told(figures, capsys, tmp_path):
    """A data file of no experiment, and a picture that is none; a second file of an experiment is no problem."""
    (figures / "nonsense.json").write_text("{}")
    shutil.copy(figures / "landscape-cpu.json", figures / "landscape-smoke.json")
    (figures / "landscape-cpu.png").write_text("no picture")
    status, _, errors = run(capsys, "report", "--figures", figures, "--output", tmp_path / "report.html")
    assert status == 1
    assert errors.splitlines() == [
        "error: nonsense.json: there is no experiment of that name.",
        "error: landscape-cpu.png, the picture of landscape-cpu.json, is not there or is not a PNG.",
    ]


def test_a_narrow_screen_shows_its_own_picture(figures, capsys, tmp_path):
    """In place of the wide one, with its own size, of the first and of further pictures; a file that is no PNG is a problem."""
    folder, output = figures / "narrow", tmp_path / "report.html"
    folder.mkdir()
    for name in ("landscape-cpu.png", "landscape-cpu-2-more.png"):
        (figures / name).write_bytes(make_png())
        (folder / name).write_bytes(make_png())
    (figures / "landscape-cpu-3-wide.png").write_bytes(make_png())
    assert run(capsys, "report", "--figures", figures, "--output", output) == (0, f"Written: {output}\n", "")
    page = output.read_text()
    shown = [picture.count('<source media="(max-width: 40rem)"') for picture in page.split("<picture>")[1:]]
    assert shown == [1, 1, 0]
    assert page.count(' class="wide"') == 1
    assert page.count('width="2" height="1"') == 5
    (folder / "landscape-cpu.png").write_text("no picture")
    status, _, errors = run(capsys, "report", "--figures", figures, "--output", output)
    message = "error: narrow/landscape-cpu.png, a picture of landscape-cpu.json, is not a PNG.\n"
    assert (status, errors, output.read_text().count("<source")) == (1, message, 1)


def test_several_files_of_an_experiment(figures):
    """The file with three seeds decides; one with fewer stands beside it, smoke does not count, and a bad one is told."""
    (figures / "landscape-paper.json").write_text(json.dumps(make_data(scale=0.5, seeds=(0,), preset="paper")))
    (figures / "landscape-smoke.json").write_text(json.dumps(make_data(scale=9, preset="smoke")))
    (figures / "landscape-0123456789.json").write_text("{")
    report = _report.load(figures)
    assert any(problem.startswith("landscape-0123456789.json cannot be read: ") for problem in report.problems)
    (entry,) = [entry for entry in report.entries if entry.name == "landscape"]
    (found,) = [pair for pair in entry.judged if pair[0].name == "landscape_predictiveness"]
    assert (entry.data["preset"], found[1].verdict, found[1].median) == ("paper", "supported", 2)
    assert words.verdict(*found) == "75 % confidence from 3 seeds"
    assert words.not_judged(*found) == ["not judged, 3,500 steps, 1 seed: 0.50 times"]
    assert words.beside(*found) == "full width, 3,500 steps, 1 seed: 0.50 times"
    table = markdown.headline_table(report)
    assert "| here | full width, 3,500 steps, 1 seed, not judged |" in table
    assert "| 2.0 times | 0.50 times | supported |" in table


def test_what_too_few_runs_say_is_in_the_answer(figures):
    """Of the loss, of the gradient, and per distance, if all three are known of the same runs."""
    (figures / "landscape-paper.json").write_text(json.dumps(make_data(scale=0.5, seeds=(0,), preset="paper")))
    (entry,) = [entry for entry in _report.load(figures).entries if entry.name == "landscape"]
    medians = {"landscape_loss_range": 4.0, "landscape_predictiveness": 2.0, "landscape_smoothness": 0.9}

    def with_beside(medians):
        """Put medians beside the claims of these names, and nothing beside the others."""
        changed = []
        for claim, judgement in entry.judged:
            kept = [other._replace(median=medians[claim.name]) for other in judgement.beside if claim.name in medians]
            changed.append((claim, judgement._replace(beside=tuple(kept))))
        return headlines.answer([entry._replace(judged=tuple(changed))]).beside

    assert with_beside(medians) == (
        "Runs at full width (3,500 steps, 1 seed) are too few for a verdict. In them, along the gradient, without batch norm, "
        "the loss varies 4.0 times and the gradient changes 2.0 times as much, but per unit distance it changes 0.90 times as "
        "much. They disagree with 1 of the 3 decided claims that they measure."
    )
    for name in medians:
        assert with_beside({other: medians[other] for other in medians if other != name}) == ""


def test_what_data_say_is_never_code(figures):
    """Everything in a data file that reaches the page is escaped."""
    data = make_data(preset=EVIL)
    data["provenance"][0].update(dict.fromkeys(("command", "device", "cpu_cores", "commit", "date", "python"), EVIL))
    data["provenance"][0]["versions"] = {EVIL: EVIL}
    data["config"] = {"num_steps": EVIL, "seeds": [EVIL], EVIL: EVIL, "vgg": {"seeds": [], EVIL: {"seeds": [1]}}}
    data["arms"] = {EVIL: data["arms"]["plain"]}
    (figures / "landscape-cpu.json").write_text(json.dumps(data))
    report = _report.load(figures)
    page = _report.render(report)
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    assert '"\'&"' not in page
    assert "<script" not in _report.claim_table(report)


def test_findings_are_the_experiments_own(figures, monkeypatch):
    """An experiment puts its data into words; where it cannot, its claim is shown, and the page says so."""
    monkeypatch.setattr("experiments.landscape.table.findings", lambda data: f"It took {data['seconds']} <s>.")
    assert "It took 130.0 &lt;s&gt;." in _report.render(_report.load(figures))
    monkeypatch.setattr("experiments.landscape.table.findings", lambda data: data["nothing"])
    report = _report.load(figures)
    assert report.problems == ["landscape-cpu.json: its findings cannot be computed (KeyError: 'nothing')."]
    assert f"The claim:</span> {catalogue.remark('landscape', 'Claim')}" in _report.render(report).replace(
        "&quot;", '"'
    )


def test_ranges_in_words_and_pictures():
    """Ends of ranges are short; the strip has a mark per value, infinite ones at its end, and none for what is not there."""

    def make(supported, values, unit=TIMES):
        statistic = Statistic(lambda data: dict(enumerate(values)), "x", "", (), unit)
        claim = Claim("S.", "s", Criterion(statistic, supported))
        return claim, judge(claim, {})

    inf, nan = float("inf"), float("nan")
    for supported, text in [
        ((1, inf), "above 1"),
        ((0, 1.5), "below 1.5"),
        ((-inf, 30), "below 30"),
        ((0.9, 1.1), "from 0.9 to 1.1"),
    ]:
        assert words.holds(make(supported, [])[0]) == text
    for supported, unit, text in (
        ((0.9999, inf), PERCENT, "above 99.99 %"),
        ((-0.02, 0.02), POINTS, "from -2 to 2 points"),
        ((0, 12_000), STEPS, "from 0 to 12,000 steps"),
        ((0.01, inf), POINTS, "above 1 point"),
    ):
        assert words.holds(make(supported, [], unit)[0]) == text
    picture = strip(*make((1, inf), [0.5, 2, inf, nan]))
    assert (picture.count("<circle"), picture.count("beyond")) == (2, 1)
    assert 'width="168' not in picture
    assert strip(*make((1, inf), [nan])) == ""
    assert strip(*make((0, inf), [0, 0])).count("beyond") == 2
    assert words.interval(*make((1, inf), [2.0])) == ""
    assert words.count(*make((1, inf), [2.0])) == "1 seed"


@pytest.mark.parametrize(
    ("file", "begin", "end", "write"),
    [
        ("README.md", markdown.BEGIN_HEADLINES, markdown.END_HEADLINES, markdown.headline_table),
        ("figures/README.md", markdown.BEGIN, markdown.END, markdown.claim_table),
        ("figures/README.md", markdown.BEGIN_SCOREBOARD, markdown.END_SCOREBOARD, markdown.scoreboard_table),
    ],
)
def test_the_readmes_have_the_tables_of_the_committed_data(file, begin, end, write):
    """What stands between the markers is what `report --readme` writes."""
    block = (ROOT / file).read_text().partition(begin)[2].partition(end)[0]
    assert block.strip() == write(committed_report()).strip(), (
        "run `python -m experiments report --readme README.md figures/README.md`"
    )


def test_tables_replace_what_is_between_the_markers(figures, capsys, tmp_path):
    """The rest of the file stays; a file without markers is told in a line, and left alone."""
    readme, both = tmp_path / "README.md", tmp_path / "BOTH.md"
    readme.write_text(f"before\n{markdown.BEGIN}earlier\n{markdown.END}after\n")
    both.write_text(f"{markdown.BEGIN_HEADLINES}{markdown.END_HEADLINES}between\n{markdown.BEGIN}{markdown.END}")
    for _ in range(2):
        assert run(capsys, "report", "--figures", figures, "--readme", readme, both)[0] == 0
        text = readme.read_text()
        assert text.startswith("before\n<!--")
        assert text.endswith("-->\nafter\n")
        assert "earlier" not in text
        assert text.count("| **supported**: 75 % confidence from 3 seeds |") > 1
        assert both.read_text().index("This is weak evidence") < both.read_text().index("between\n<!--")
    readme.write_text("none")
    status, _, errors = run(capsys, "report", "--figures", figures, "--readme", readme)
    assert (status, errors.count("\n"), readme.read_text()) == (2, 1, "none")


@pytest.mark.slow
def test_the_answer_is_computed():
    """Agreement, disagreement and no data each have their words; what is small is said to be so."""
    entries = committed_report().entries
    answer = headlines.answer(entries)
    (pair,) = [pair for entry in entries for pair in entry.judged if pair[0].name == "landscape_loss_range"]
    assert answer.outcome.startswith("Our runs agree")
    assert f"varies {two_digits(pair[1].median)} times" in answer.outcome
    assert "3 seeds" in answer.scale
    assert "not the published setting" in answer.scale

    def turned(verdict):
        changed = [(c, j._replace(verdict=verdict)) for entry in entries for c, j in entry.judged]
        return headlines.answer([entries[0]._replace(judged=tuple(changed))])

    assert turned("contradicted").outcome.startswith("Our runs disagree")
    assert turned("inconclusive").outcome.startswith("Our runs do not decide it")
    assert turned("inconclusive").but == ""
    assert headlines.answer([]).outcome == "We have no runs yet that decide it."
    assert len(headlines.judged(entries)) == len(headlines.CLAIMS) == 10


@pytest.mark.slow
def test_caveats_hold_or_do_not():
    """Nobody has to resolve that a caveat is contradicted."""
    page = _report.render(committed_report())
    rows = [row for row in page.split('<tr class="')[1:] if "is-caveat" in row.partition(">")[0]]
    assert len(rows) > 30
    for row in rows:
        assert "</i> contradicted" not in row
        assert "</i> supported" not in row


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "arguments",
    [["report", "--nonsense"], ["all", "--preset", "huge"], ["--nonsense"], ["report", "--readme", "no/such/file"]],
)
def test_wrong_arguments_are_one_line(arguments, capsys):
    """Status 2, one line on standard error."""
    status, _, errors = run(capsys, *arguments)
    assert (status, errors.count("\n"), errors[:7]) == (2, 1, "error: ")


def test_a_folder_that_is_not_there(capsys, tmp_path):
    """The page is written all the same, with every experiment as not run."""
    status, _, errors = run(capsys, "report", "--figures", tmp_path / "no", "--output", tmp_path / "report.html")
    assert (status, errors) == (1, f"error: There is no folder {tmp_path / 'no'}.\n")
    assert 'class="claim not-run' in (tmp_path / "report.html").read_text()
