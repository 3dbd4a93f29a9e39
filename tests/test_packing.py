"""Finished runs outlive their folder: packed into files, counted as done, drawn without a data set."""

import errno
import json
import shutil

import pytest
import tiny
from reporting import run as command
from test_shared_runs import LONG, PROBED, SHORT, options, trained, without_time

from bnjax.runs import pack, read_about, read_packed
from experiments._command import packing as command_packing
from experiments._config import Options, change
from experiments._training.errors import ConfigError
from experiments._training.experiment import collect, list_nets
from experiments._training.nets import train_nets
from experiments._training.packing import find_packed, pack_all

pytestmark = pytest.mark.slow


def train_with(packed, results, config):
    """Train a net where packed runs count as done; return its curves, and what was said of damaged files."""
    said = []
    nets = list_nets({"arms": {"net": config}}, options(results))
    found = train_nets(nets.values(), options(results), packed=find_packed(nets.values(), packed, said.append))
    return collect(nets, found)["arms"]["net"], said


@pytest.fixture
def packed(tmp_path):
    """A folder with a packed run, of which nothing else is left, and its curves."""
    curves = trained(tmp_path / "results", PROBED)[0]
    lines = []
    assert pack_all(tmp_path / "results", tmp_path / "packed", lines.append) == 1
    assert [line.split(":")[0] for line in lines] == ["Packed"]
    shutil.rmtree(tmp_path / "results")
    return tmp_path / "packed", curves


def test_more_seeds_are_added_to_packed_runs(packed, tmp_path, monkeypatch):
    """A packed run is not trained again, with all that was measured; another seed is, and is packed beside it."""
    folder, curves = packed
    both, said = train_with(folder, tmp_path / "more", change(PROBED, seeds=(0, 1)))
    assert (both[0], said) == (curves, [])
    assert sorted(path.name for path in (tmp_path / "more").glob("mlp-*/seed*")) == ["seed1"]
    assert pack_all(tmp_path / "more", folder, [].append) == 1
    shutil.rmtree(tmp_path / "more")
    monkeypatch.setattr("bnjax.train.run_steps", None)
    assert train_with(folder, tmp_path / "none", change(PROBED, seeds=(0, 1))) == (both, [])
    assert train_with(folder, tmp_path / "none", SHORT)[0][0]["train"] == curves["train"]


@pytest.mark.thorough
def test_a_packed_run_that_is_to_be_longer(packed, tmp_path, capsys):
    """It starts at step 0, says so, and stays until the longer one is packed, with everything that it had measured."""
    folder, _ = packed
    (file,) = folder.iterdir()
    before = file.read_bytes()
    longer = train_with(folder, tmp_path / "more", LONG)[0][0]
    said = capsys.readouterr().out
    assert "is packed with 40 steps, without its checkpoints: it is trained from step 0 to 70" in said
    assert file.read_bytes() == before
    assert pack_all(tmp_path / "more", folder, [].append) == 1
    assert read_about(file)["record"]["num_steps"] == 70
    again = train_with(folder, tmp_path / "none", PROBED)[0][0]
    assert again["landscape"] == packed[1]["landscape"]
    assert without_time(train_with(folder, tmp_path / "none", LONG)[0][0]) == without_time(longer)
    assert pack_all(tmp_path / "more", folder, [].append) == 0


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
@pytest.mark.parametrize("name", ["read_about", "read_packed"])
def test_a_packed_run_that_cannot_be_read_for_now(name, error, packed, tmp_path, monkeypatch):
    """It is not trained again."""

    def fails(_path):
        raise error

    monkeypatch.setattr(f"experiments._training.packing.{name}", fails)
    monkeypatch.setattr("bnjax.train.run_steps", None)
    with pytest.raises(MemoryError if isinstance(error, MemoryError) else ConfigError, match=r"^$|cannot be read now"):
        train_with(packed[0], tmp_path / "more", PROBED)


def test_what_is_packed_with_more_stays(packed, tmp_path):
    """A run of fewer steps, or with less that was measured, does not take its place."""
    folder, _ = packed
    (file,) = folder.iterdir()
    before, lines = file.read_bytes(), []
    trained(tmp_path / "short", change(SHORT, schedule={"num_steps": 20}))
    assert pack_all(tmp_path / "short", folder, lines.append) == 0
    assert "has what this one has not" in lines[0]
    assert file.read_bytes() == before


@pytest.mark.parametrize("part", ["head", "log", "end", "other"])
def test_a_damaged_file_is_named_and_its_run_trained_again(part, packed, tmp_path):
    """Wherever a bit has flipped, and however short it is."""
    folder, curves = packed
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    start = content.index(b"\n") + 1
    place = {"head": content.index(b'"seconds"') + 12, "log": (start + len(content)) // 2, "end": -1, "other": 0}[part]
    content[place] ^= 1
    file.write_bytes(content[:-1] if part == "end" else content)
    again, said = train_with(folder, tmp_path / "more", PROBED)
    assert without_time(again[0]) == without_time(curves)
    assert len(said) == 1
    assert str(file) in said[0]


def test_a_run_of_another_version_is_not_counted(packed, tmp_path):
    """Where a default has changed since; a copy is told, and a run of something else left out."""
    folder, curves = packed
    (file,) = folder.iterdir()
    found = read_packed(file)
    (folder / "copy.run").write_bytes(file.read_bytes())
    (folder / "other.run").write_bytes(b'{"format": "bnjax run 1"}')
    pack(folder / "wrong.run", {"run": [1], "net": "x", "seed": 0}, b"")
    again, said = train_with(folder, tmp_path / "more", PROBED)
    assert again[0] == curves
    assert sorted(line.split(" is ")[1][:9] for line in said) == ["a copy of", "a copy of", "no packed", "no packed"]
    for copy in ("copy.run", "other.run", "wrong.run"):
        (folder / copy).unlink()
    identity = found.about["identity"] | {"optimizer": found.about["identity"]["optimizer"] | {"momentum": 0.1}}
    pack(file, found.about | {"identity": identity}, found.log)
    again, said = train_with(folder, tmp_path / "more", PROBED)
    assert without_time(again[0]) == without_time(curves)
    assert "is a run with optimizer.momentum 0.1, this one has 0.9: a default has changed since" in said[0]


@pytest.mark.thorough
def test_what_cannot_be_packed_is_told_and_the_rest_is_packed(packed, tmp_path):
    """Runs of an older version, or of no experiment; the same run of another machine does not take the place."""
    folder, _ = packed
    (file,) = folder.iterdir()
    before, lines = file.read_bytes(), []
    trained(tmp_path / "more", PROBED)
    (tmp_path / "more" / "grid" / "run0").mkdir(parents=True)
    (tmp_path / "more" / "grid" / "run0" / "finished.json").write_text("{}")
    assert pack_all(tmp_path / "more", folder, lines.append) == 0
    assert len(lines) == 1
    assert "run0 is no finished run of an experiment" in lines[0]
    assert file.read_bytes() == before
    (longer,) = (tmp_path / "more").glob("mlp-*/seed0")
    trained(tmp_path / "more", change(PROBED, schedule={"num_steps": 80}))
    assert longer.exists()
    assert pack_all(tmp_path / "more", folder, lines.append) == 1


def test_every_flipped_bit_is_noticed(packed):
    """In the head and in the log."""
    (file,) = packed[0].iterdir()
    content = file.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 60)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        file.write_bytes(changed)
        with pytest.raises(ValueError, match=r"seed0\.run"):
            read_packed(file)


def test_nothing_is_unpacked_beyond_what_is_declared(tmp_path):
    """A small file that would unpack to a large one is refused, as is one that declares to."""
    file = tmp_path / "bomb.run"
    pack(file, {}, bytes(10**7))
    assert file.stat().st_size < 10_000
    head, _, rest = file.read_bytes().partition(b"\n")
    for declared, message in ((100, "digest does not match"), (10**10, "declares a log of 10000000000 bytes")):
        file.write_bytes(json.dumps(json.loads(head) | {"log_bytes": declared}).encode() + b"\n" + rest)
        with pytest.raises(ValueError, match=message):
            read_packed(file)


def test_runs_of_the_same_net_on_other_data_are_told(packed, tmp_path):
    """Without the data, nobody can say which of them is meant."""
    folder, _ = packed
    (file,) = folder.iterdir()
    found = read_packed(file)
    pack(folder / "mlp-other-seed0.run", found.about | {"run": "mlp-other/seed0"}, found.log)
    nets = list_nets({"arms": {"net": PROBED}}, Options(), with_data=False)
    with pytest.raises(ValueError, match=r"are runs of the same net, with different data or weights\. Move one away\."):
        find_packed(nets.values(), folder, print)


@pytest.fixture(scope="module")
def of_quickstart(tmp_path_factory):
    """A folder of the packed runs of quickstart's smoke preset, trained by the command, and the data that it wrote."""
    root = tmp_path_factory.mktemp("quickstart")
    results = root / "results"
    arguments = ["quickstart", "--preset", "smoke", "--results", str(results), "--figures", str(root)]
    from experiments import __main__ as command_line

    command_line.main(arguments)
    command_line.main(["pack", "--results", str(results), "--packed", str(root / "runs")])
    return root / "runs", root / "quickstart-smoke.json"


@pytest.mark.thorough
def test_figures_are_drawn_of_packed_runs_without_a_data_set(of_quickstart, capsys, tmp_path, monkeypatch):
    """Data and picture of a preset, and a page, are made of packed runs alone."""
    packed, data = of_quickstart
    monkeypatch.setattr("bnjax.data.load", None)
    status, output, errors = command(capsys, "draw", tmp_path / data.name, "--packed", packed)
    assert (status, output, errors) == (0, f"{tmp_path / 'quickstart-smoke.png'}\n", "")
    assert json.loads((tmp_path / data.name).read_text()) == json.loads(data.read_text())
    page = tmp_path / "report.html"
    status, _, _ = command(capsys, "report", "--packed", packed, "--figures", tmp_path / "none", "--output", page)
    assert (status, page.read_text().count('<img src="data:image/png;base64,')) == (0, 1)
    for name, message in (("quickstart-cpu", "lacks "), ("nothing-cpu", "named after an experiment and a preset")):
        status, _, errors = command(capsys, "draw", tmp_path / f"{name}.json", "--packed", packed)
        assert (status, errors.count("\n")) == (2, 1)
        assert message in errors
    status, _, errors = command(capsys, "report", "--packed", tmp_path / "none")
    assert (status, errors) == (2, f"error: packed must be a folder of packed runs, there is no {tmp_path / 'none'}.\n")


@pytest.mark.thorough
def test_an_experiment_counts_packed_runs(of_quickstart, capsys, tmp_path, monkeypatch):
    """With the flag nothing is trained; the data are those that it wrote before."""
    packed, data = of_quickstart
    monkeypatch.setattr("bnjax.train.run_steps", None)
    arguments = ("quickstart", "--preset", "smoke", "--results", tmp_path, "--packed", packed)
    assert command(capsys, *arguments)[0] == 0
    (written,) = tmp_path.glob("quickstart-*/quickstart-smoke.json")
    assert json.loads(written.read_text()) == json.loads(data.read_text())
    with pytest.raises(command_packing.MissingRunsError, match="--preset cpu --packed"):
        command_packing.data_of("quickstart", "cpu", packed, print)


def test_other_settings_never_write_under_the_name_of_the_preset(capsys, tmp_path):
    """Their files are named after a hash."""
    assert tiny.call(tmp_path, "--seeds", "1", "--figures", str(tmp_path / "figures")) == 0
    capsys.readouterr()
    names = [file.stem for file in (tmp_path / "figures").glob("*.json")]
    assert len(names) == 1
    assert names != ["tiny-smoke"]
