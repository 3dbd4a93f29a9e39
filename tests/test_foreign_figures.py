"""Data of figures from elsewhere: what cannot be read or shown costs its own experiment, never the page."""

import copy
import json
import os
import random
import shutil
import struct
import zlib

import pytest
from conftest import ROOT
from reporting import make_data, run

from experiments import _report
from experiments._command import catalogue, costs
from experiments._evidence.verdict import judge
from experiments._report.load import png_size

pytestmark = pytest.mark.slow

EVIL = [
    10**400,
    -(10**30),
    1e308,
    float("inf"),
    None,
    True,
    "",
    "\ud800",
    "\x1b[31m\u202e",
    "<script>evil",
    [],
    {},
    [[]],
]
EVIL += [{"\ud800": "\x00"}, [10**400] * 3, {"arm": None}, [None, "x"]]


@pytest.fixture
def figures(tmp_path):
    """A folder with the data and the picture of one experiment, and a place for another one."""
    folder = tmp_path / "figures"
    folder.mkdir()
    for end in ("json", "png"):
        shutil.copy(ROOT / "figures" / f"quickstart-cpu.{end}", folder)
    shutil.copy(ROOT / "figures" / "quickstart-cpu.png", folder / "landscape-cpu.png")
    return folder


def assert_shown(figures):
    """The page and the table are there, with the other experiment; nothing in them is code, or cannot be written."""
    report = _report.load(figures)
    page = _report.render(report)
    text = page + _report.claim_table(report)
    text.encode()
    assert not [c for c in text if not c.isprintable() and c not in "\n\t\xa0"]
    assert "<script>evil" not in text
    assert 'alt="Figure: ' in page.split('<article id="quickstart"')[1].split("</article>")[0]
    return report, page


def places(value, path=()):
    """List the places in data, of lists their first entries."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(data, path, value):
    """Replace what stands at a place, or take it out."""
    if not path:
        return value
    data = copy.deepcopy(data)
    *outer, last = path
    place = data
    for key in outer:
        place = place[key]
    if value is places:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("seed", [1, 2, 3, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(4, 60))])
def test_whatever_stands_anywhere_in_a_file(seed, figures):
    """Each of many values in any place, or nothing there at all."""
    rng, data = random.Random(seed), make_data(scale=2)
    for _ in range(4):
        bad = data
        for _ in range(rng.choice([1, 1, 2])):
            bad = changed(bad, rng.choice(list(places(bad))), rng.choice([*EVIL, places]))
            bad = {} if bad is places else bad
        (figures / "landscape-cpu.json").write_text(json.dumps(bad))
        assert_shown(figures)


def test_an_arm_that_is_missing(figures):
    """The claims about it are inconclusive, and say so."""
    data = make_data(scale=2)
    del data["arms"]["plain"]
    (figures / "landscape-cpu.json").write_text(json.dumps(data))
    report, _ = assert_shown(figures)
    (judged,) = [entry.judged for entry in report.entries if entry.name == "landscape"]
    (judgement,) = [judgement for claim, judgement in judged if claim.name == "landscape_predictiveness"]
    assert judgement.verdict == "inconclusive"
    for arms in ([], {"plain": 3}, {"plain": [3]}, {"plain": [{"diverged_at": 1}, "x"]}):
        assert judge(judged[0][0], {**data, "arms": arms}).verdict == "inconclusive"


def test_numbers_beyond_floats(figures, monkeypatch):
    """A time or a value of 10**400 is no number that can be written; nor does it stop the list of experiments."""
    (figures / "landscape-cpu.json").write_text(json.dumps(make_data(seconds=10**400)))
    report, page = assert_shown(figures)
    assert report.problems == ["landscape-cpu.json cannot be read: its time is not finite."]
    assert report.problems[0] in page
    words = []
    for folder in (figures, figures / "empty"):  # as if there were none
        monkeypatch.setattr(costs, "FIGURES", folder)
        words.append([costs.cost("landscape", preset) for preset in catalogue.module("landscape").PRESETS])
    assert words[0] == words[1]
    assert "not measured" in words[0]


def test_an_experiment_that_cannot_be_shown(figures, monkeypatch):
    """It counts as not run, on the page and in the counts, and its problem stands first."""
    (figures / "landscape-cpu.json").write_text(json.dumps(make_data(scale=2)))
    monkeypatch.setattr("experiments._report.page.seeds", lambda data: str(1 / (data["experiment"] != "landscape")))
    report, page = assert_shown(figures)
    assert report.problems == ["landscape-cpu.json cannot be shown (ZeroDivisionError: division by zero)."]
    assert report.problems[0] in page
    assert "Not run yet: <code>python -m experiments landscape</code>" in page
    assert page.count('class="claim not-run') >= len(catalogue.claims_of("landscape"))


def test_files_that_are_none(figures, capsys):
    """A pipe, which would be read for ever, a folder, and a name that a terminal would obey."""
    os.mkfifo(figures / "landscape-cpu.json")
    (figures / "lp_norms-cpu.json").mkdir()
    (figures / "\x1b[31m\n.json").touch()
    status, _, errors = run(capsys, "report", "--figures", figures, "--output", figures.parent / "report.html")
    assert (status, len(errors.splitlines())) == (1, 3)
    assert "\x1b" not in errors
    assert_shown(figures)


def cut(share):
    """Return a function that leaves out the end."""
    return lambda picture: picture[: int(share * len(picture))]


def resized(picture):
    """Declare another size, without another checksum."""
    return picture[:16] + struct.pack(">II", 9, 9) + picture[24:]


def doubled(picture):
    """Declare the size twice."""
    return picture[:33] + picture[8:33] + picture[33:]


def headless(picture):
    """Leave out what declares the size."""
    return picture[:8] + picture[33:]


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize(
    "damage", [cut(0), cut(0.5), cut(0.9999), lambda _: b"\x89PNG\r\n\x1a\n\0", resized, doubled, headless]
)
def test_a_picture_that_is_not_whole(damage, figures):
    """It is left out, and said so."""
    (figures / "landscape-cpu.json").write_text(json.dumps(make_data(scale=2)))
    picture = (figures / "quickstart-cpu.png").read_bytes()
    assert png_size(picture) == struct.unpack(">II", picture[16:24])
    (figures / "landscape-cpu.png").write_bytes(damage(picture))
    report, page = assert_shown(figures)
    assert report.problems == ["landscape-cpu.png, the picture of landscape-cpu.json, is not there or is not a PNG."]
    assert "The picture is missing." in page


def test_a_part_of_a_picture_that_goes_beyond_its_end():
    """As long as 4 GB, it says."""
    head = b"IHDR" + bytes(13)
    part = struct.pack(">I", 2**32 - 1) + head + struct.pack(">I", zlib.crc32(head))
    assert png_size(b"\x89PNG\r\n\x1a\n" + part) is None
