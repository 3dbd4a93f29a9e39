"""The report: a page that shows whatever lies in a folder of data, looked at in a browser, and the README's table."""

import json
import shutil
import struct
import sys
import zlib

import browser
import pytest
from conftest import ROOT

from bnjax.records import config_hash
from experiments import __main__ as command_line
from experiments import _all, _catalogue, _costs, _report, landscape
from experiments._claims.claim import TIMES, Claim, judge
from experiments._report import words
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


def make_data(scale=1.0, seeds=(0, 1, 2), **fields):
    """Make data of the landscape, in which a net without batch norm has `scale` times the range and change of one with it."""
    probe = {"step": [0, 100], "loss": [[1, 2]] * 2, "gradient_distance": [[1, 3]] * 2, "smoothness": [[4, 5]] * 2}
    larger = {n: [[scale * x for x in row] for row in rows] if n != "step" else rows for n, rows in probe.items()}
    arms = {
        arm: [{"seed": seed, "train": {}, "test": {}, "landscape": of_arm, "diverged_at": None} for seed in seeds]
        for arm, of_arm in (("plain", larger), ("batch_norm", probe))
    }
    origin = {"command": "python -m experiments landscape", "device": "CPU", "cpu_cores": 2, "date": "2026-01-02"}
    config = {"vgg": {"num_steps": 1234, "seeds": list(seeds)}, "deep_linear": {"seeds": [0]}}
    data = {"experiment": "landscape", "preset": "cpu", "config": config, "provenance": [origin], "seconds": 130.0}
    return {**data, "arms": arms, **fields}


@pytest.fixture
def figures(tmp_path):
    """A folder with the data and the picture of one experiment."""
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "landscape.json").write_text(json.dumps(make_data(scale=2)))
    (folder / "landscape.png").write_bytes(make_png())
    return folder


def run(capsys, *arguments):
    """Run the command line, and return its exit status, output and errors."""
    try:
        command_line.main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as stop:
        status = stop.code
    return (status, *capsys.readouterr())


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
        "<dd>vgg 3, deep_linear 1</dd>",
        "2026-01-02",
    ):
        assert text in page
    assert "<li>vgg.num_steps 1,234 instead of 15,000</li>" in page
    assert "Not run yet: <code>python -m experiments quickstart</code>" in page
    assert "75&nbsp;% with 3" in page
    assert page.index('id="claims"') < page.index('<article id="landscape"')
    assert page.count("data:image/png;base64,") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "landscape.json cannot be read: Expecting property name"),
        ("[1]", "landscape.json cannot be read: it holds no JSON object."),
        ('{"experiment": "landscape"}', "landscape.json cannot be read: 'preset' is missing or of the wrong kind."),
        (json.dumps(make_data(experiment=EVIL)), "landscape.json cannot be read: it is the data of"),
        (json.dumps(make_data(provenance=[])), "its provenance is empty or of the wrong kind."),
        (json.dumps(make_data(seconds=float("nan"))), "its time is not finite."),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(text, message, figures, capsys, tmp_path):
    """On standard error and on the page, which shows the rest."""
    for name in ("json", "png"):
        shutil.copy(ROOT / "figures" / f"quickstart.{name}", figures)
    (figures / "landscape.json").write_text(text)
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
    shutil.copy(figures / "landscape.json", figures / "landscape-cpu.json")
    (figures / "landscape.png").write_text("no picture")
    status, _, errors = run(capsys, "report", "--figures", figures, "--output", tmp_path / "report.html")
    assert status == 1
    assert errors.splitlines() == [
        "error: nonsense.json: there is no experiment of that name.",
        "error: landscape.png, the picture of landscape.json, is not there or is not a PNG.",
    ]


def test_what_data_say_is_never_code(figures):
    """Everything in a data file that reaches the page is escaped."""
    data = make_data(preset=EVIL)
    data["provenance"][0].update(dict.fromkeys(("command", "device", "cpu_cores", "commit", "date", "python"), EVIL))
    data["provenance"][0]["versions"] = {EVIL: EVIL}
    data["config"] = {"num_steps": EVIL, "seeds": [EVIL], EVIL: EVIL, "vgg": {"seeds": [], EVIL: {"seeds": [1]}}}
    data["arms"] = {EVIL: data["arms"]["plain"]}
    (figures / "landscape.json").write_text(json.dumps(data))
    report = _report.load(figures)
    page = _report.render(report)
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    assert '"\'&"' not in page
    assert "<script" not in _report.claim_table(report)


def test_findings_are_the_experiments_own(figures, monkeypatch):
    """An experiment puts its data into words; where it cannot, its claim is shown, and the page says so."""
    monkeypatch.setattr(landscape, "findings", lambda data: f"It took {data['seconds']} <s>.", raising=False)
    assert "It took 130.0 &lt;s&gt;." in _report.render(_report.load(figures))
    monkeypatch.setattr(landscape, "findings", lambda data: data["nothing"])
    report = _report.load(figures)
    assert report.problems == ["landscape.json: its findings cannot be computed (KeyError: 'nothing')."]
    assert f"The claim:</span> {_catalogue.remark('landscape', 'Claim')}" in _report.render(report).replace(
        "&quot;", '"'
    )


def test_ranges_in_words_and_pictures():
    """Ends of ranges are short; the strip has a mark per value, infinite ones at its end, and none for what is not there."""

    def make(supported, values):
        claim = Claim("c", "S.", "s", "s", "-", lambda data: values, supported, TIMES)
        return claim, judge(claim, {})

    inf, nan = float("inf"), float("nan")
    for supported, text in [
        ((1, inf), "above 1"),
        ((0, 1.5), "below 1.5"),
        ((-inf, 30), "below 30"),
        ((0.9, 1.1), "from 0.9 to 1.1"),
    ]:
        assert words.holds(make(supported, [])[0]) == text
    picture = strip(*make((1, inf), [0.5, 2, inf, nan]))
    assert (picture.count("<circle"), picture.count("beyond")) == (2, 1)
    assert 'width="168' not in picture
    assert strip(*make((1, inf), [nan])) == ""
    assert strip(*make((0, inf), [0, 0])).count("beyond") == 2
    assert words.interval(*make((1, inf), [2.0])) == ""
    assert words.count(*make((1, inf), [2.0])) == "1 seed"


def test_the_readme_has_the_table_of_the_committed_data():
    """What stands between the markers is what `report --readme` writes."""
    text = (ROOT / "README.md").read_text()
    block = text.partition(_report.markdown.BEGIN)[2].partition(_report.markdown.END)[0]
    assert block.strip() == _report.claim_table(_report.load(ROOT / "figures")).strip(), (
        "run `python -m experiments report --readme README.md`"
    )


def test_the_table_replaces_what_is_between_the_markers(figures, capsys, tmp_path):
    """The rest of the file stays; a file without markers is told in a line, and left alone."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{_report.markdown.BEGIN}old\n{_report.markdown.END}after\n")
    for _ in range(2):
        assert run(capsys, "report", "--figures", figures, "--readme", readme)[0] == 0
        text = readme.read_text()
        assert text.startswith("before\n<!--")
        assert text.endswith("-->\nafter\n")
        assert "old" not in text
        assert text.count("| **supported** |") > 1
    readme.write_text("none")
    status, _, errors = run(capsys, "report", "--figures", figures, "--readme", readme)
    assert (status, errors.count("\n"), readme.read_text()) == (2, 1, "none")


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


def test_costs_are_those_that_were_measured(tmp_path, monkeypatch):
    """The time of a preset is that of its own data, of nothing that was changed, and of no other preset."""
    monkeypatch.setattr(_costs, "FIGURES", tmp_path)
    assert _costs.expected("landscape", "cpu") == "Expected: not measured yet."
    own = json.loads(json.dumps(_costs.asdict(landscape.PRESETS["cpu"])))
    (tmp_path / "landscape.json").write_text(json.dumps(make_data(config=own)))
    assert _costs.expected("landscape", "cpu") == "Expected: about 2 min (measured on CPU, 2 cores)."
    assert _costs.cost("landscape", "cpu") == "2 min on CPU, 2 cores"
    assert _costs.cost("landscape", "paper") == "not measured"
    other = landscape.PRESETS["smoke"]
    assert _costs.expected("landscape", "cpu", other) == "Expected: not measured yet."
    (tmp_path / "landscape.json").rename(tmp_path / "landscape-cpu.json")
    assert _costs.cost("landscape", "cpu") == "2 min on CPU, 2 cores"
    (tmp_path / "landscape-cpu.json").write_text(json.dumps(make_data(config={**own, "short_multiples": [77]})))
    assert _costs.cost("landscape", "cpu") == "not measured"
    assert [_costs.duration(x) for x in (36.8, 399, 5399, 7200)] == ["37 s", "7 min", "90 min", "2.0 h"]


def test_the_list_says_how_far_each_preset_is(capsys, tmp_path):
    """Not run without a folder, partly with one, done when its data are there."""

    def state():
        _, _, listed = run(capsys, "--results", tmp_path)[1].partition("\nlandscape ")
        return listed.splitlines()[1].split("  ")[-1].strip()

    assert state() == "not run"
    folder = tmp_path / f"landscape-{config_hash(landscape.PRESETS['cpu'])}"
    folder.mkdir()
    assert state() == "partly"
    (folder / "landscape.json").write_text("{}")
    assert state() == "done"


@pytest.fixture
def stages(monkeypatch, tmp_path):
    """Replace every experiment's run by a note that it was run, and by an error or a signal where a test says so."""
    ran, ends = [], {}

    def main(experiment, arguments):
        name = experiment.__name__.split(".")[-1]
        ran.append((name, arguments))
        if name in ends:
            raise ends[name]

    monkeypatch.setattr("experiments._cli.main", main)
    return ran, ends


def test_all_goes_on_where_one_fails_and_ends_with_the_report(stages, capsys, tmp_path):
    """Every experiment with the preset is run into the same folders; failures are told at the end, with status 1."""
    ran, ends = stages
    ends.update(landscape=SystemExit(2), quickstart=ZeroDivisionError("oh"))
    status, output, errors = run(capsys, "all", "--preset", "smoke", "--results", tmp_path)
    assert status == 1
    assert [name for name, _ in ran] == [n for n in command_line.names() if "smoke" in _catalogue.module(n).PRESETS]
    shared = ["--preset", "smoke", "--results", str(tmp_path), "--figures", str(tmp_path / "figures")]
    assert all(arguments == shared for _, arguments in ran)
    assert "ZeroDivisionError: oh" in errors
    assert "error: these experiments failed: landscape, quickstart; what they said stands above." in errors
    assert (tmp_path / "report.html").exists()
    assert output.endswith(f"Written: {tmp_path / 'report.html'}\n")


@pytest.mark.parametrize("status", [130, 143])
def test_all_stops_where_a_signal_stopped_a_run(status, stages, capsys, tmp_path):
    """With the exit status of the run, at once, without a report."""
    ran, ends = stages
    ends[command_line.names()[0]] = SystemExit(status)
    assert run(capsys, "all", "--preset", "smoke", "--results", tmp_path)[0] == status
    assert len(ran) == 1
    assert not (tmp_path / "report.html").exists()


def test_all_leaves_out_what_is_done_and_keeps_what_was_published(stages, monkeypatch, tmp_path):
    """Done with its data there is skipped, done without them is run; data of the paper's setting are not replaced."""
    ran, _ = stages
    monkeypatch.setattr("experiments._catalogue.names", lambda: ["landscape"])
    folder, figures = tmp_path / f"landscape-{config_hash(landscape.PRESETS['smoke'])}", tmp_path / "figures"
    for path in (folder, figures):
        path.mkdir()
    (folder / "landscape.json").write_text("{}")
    arguments = ("smoke", tmp_path, figures, [])
    assert _all.run_all(*arguments) == []
    assert len(ran) == 1

    def publish(preset):
        config = json.loads(json.dumps(_costs.asdict(landscape.PRESETS[preset])))
        (figures / "landscape.json").write_text(json.dumps(make_data(preset=preset, config=config)))

    publish("smoke")
    assert _all.run_all(*arguments) == []
    assert len(ran) == 1
    publish("paper")
    (folder / "landscape.json").unlink()
    assert _all.run_all(*arguments) == []
    assert "--figures" not in ran[1][1]


@pytest.mark.thorough
@pytest.mark.xdist_group("smoke")
def test_all_experiments_in_seconds(capsys, tmp_path, monkeypatch):
    """The smoke presets run, the report shows them, and running again trains nothing."""
    monkeypatch.setattr(sys, "argv", ["experiments", "all"])
    arguments = ["all", "--preset", "smoke", "--results", tmp_path]
    status, _, errors = run(capsys, *arguments)
    assert status == 0, errors[-2000:]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(command_line.names())
    assert 'class="claim not-run' not in page
    monkeypatch.setattr("experiments._cli.main", None)
    status, output, _ = run(capsys, *arguments)
    assert (status, output.count(": done")) == (0, len(command_line.names()))


def test_names_and_remarks_of_experiments():
    """The order is that of the sources, and docstrings are read by their words."""
    names = command_line.names()
    assert names.index("landscape") < names.index("quickstart")
    assert _catalogue.remark("quickstart", "Command") == "python -m experiments quickstart"
    assert _catalogue.remark("quickstart", "Nonsense") == ""
    assert [_catalogue.heading(name) for name in ("mnist_mlp", "landscape")] == ["MNIST MLP", "Landscape"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser and the address of a page with the committed data."""
    program = browser.find()
    if program is None:
        pytest.skip("there is no browser: install chromium, or name one in the variable CHROME")
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(_report.render(_report.load(ROOT / "figures")))
    with browser.Browser(program, folder / "profile") as opened:
        yield opened, file.as_uri()


def test_the_browser_tells_what_a_page_does(page, tmp_path):
    """The console, errors and requests of a page are seen: so their absence elsewhere means something."""
    opened, _ = page
    file = tmp_path / "bad.html"
    file.write_text("<img src=http://127.0.0.1:9/x.png><script>console.log('hello'); oops()</script>")
    opened.open(file.as_uri())
    complaints = " ".join(opened.complaints())
    for word in ("127.0.0.1:9/x.png", "hello", "oops"):
        assert word in complaints


def test_the_page_in_a_browser(page, tmp_path):
    """No errors, no requests; the claims come first; verdicts can be filtered; nothing is wider than the window."""
    opened, address = page
    for width in (1280, 390):
        opened.open(address, width)
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        opened.screenshot(tmp_path / f"{width}.png", whole=True)
        assert (tmp_path / f"{width}.png").read_bytes().startswith(b"\x89PNG")
    assert opened.evaluate("document.querySelectorAll('tr.claim').length") > 0
    assert opened.evaluate("[...document.images].slice(0, -1).every(x => x.complete && x.naturalWidth > 100)")
    for verdict in opened.evaluate("[...document.querySelectorAll('.filter input')].slice(1).map(x => x.id.slice(5))"):
        opened.evaluate(f"document.getElementById('show-{verdict}').click()")
        shown = "[...document.querySelectorAll('tr.claim')].filter(x => x.getClientRects().length)"
        assert opened.evaluate(f"{shown}.length > 0 && {shown}.every(x => x.classList.contains('{verdict}'))")
    assert opened.complaints() == []


def test_figures_enlarge_by_keyboard(page):
    """Tab leads to a figure, Enter enlarges it, Escape closes it and leads back."""
    opened, address = page
    opened.open(address)
    for _ in range(60):
        opened.press("Tab")
        if opened.evaluate("document.activeElement.className") == "enlarge":
            break
    opened.press("Enter")
    assert opened.evaluate("document.querySelector('dialog').open")
    same = "document.querySelector('dialog img').src === document.querySelector('.enlarge img').src"
    assert opened.evaluate(same)
    opened.press("Escape")
    opened.wait_for("!document.querySelector('dialog').open")
    assert opened.evaluate("document.activeElement.className") == "enlarge"
    opened.evaluate("document.querySelector('.enlarge').click()")
    opened.evaluate("document.querySelector('.sheet').click()")
    assert not opened.evaluate("document.querySelector('dialog').open")
    assert opened.complaints() == []
