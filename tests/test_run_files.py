"""Files of a run that are damaged, gone, linked or of another version: nothing else is touched, and no number is false."""

import errno
import shutil
import signal

import pytest
from disturbed import at_chunk, send
from test_shared_runs import SHORT, trained, without_time

from bnjax.runs import read_json, write_json
from bnjax.sweep.signals import Interrupted
from experiments._config import change
from experiments._training.errors import ConfigError


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the run gives that nothing disturbed."""
    return {SHORT: trained(tmp_path_factory.mktemp("alone"), SHORT)[0]}


def stopped(folder, monkeypatch, chunk):
    """Stop a run before the end of a chunk, with checkpoints of the two chunks before; return its folder."""
    with monkeypatch.context() as patch:
        at_chunk(patch, chunk, send(signal.SIGTERM))
        with pytest.raises(Interrupted):
            trained(folder, SHORT)
    (run,) = folder.glob("mlp-*/seed0")
    return run


@pytest.mark.slow
@pytest.mark.parametrize("place", [0.9, 1.0])
def test_a_damaged_log_costs_a_checkpoint(place, alone, tmp_path, monkeypatch, capsys):
    """Behind the older checkpoint: the run goes on from that one, at once, to the same bits; what is short is told alike."""
    log = stopped(tmp_path, monkeypatch, 2) / "metrics.jsonl"
    content = bytearray(log.read_bytes())
    content[int(place * len(content)) - 1] ^= 1
    log.write_bytes(content if place < 1 else content[:-1])
    capsys.readouterr()
    assert without_time(trained(tmp_path, SHORT)[0]) == without_time(alone[SHORT])
    assert "Skipped the checkpoint of step 30: " in capsys.readouterr().out


def test_a_log_whose_beginning_is_damaged(tmp_path, monkeypatch):
    """No checkpoint can pin it, and the run does not quietly start over; nor is a finished one believed."""
    log = stopped(tmp_path, monkeypatch, 2) / "metrics.jsonl"
    content = log.read_bytes()
    log.write_bytes(content.replace(b'"step": 0', b'"step": 1', 1))
    with pytest.raises(ConfigError, match=r"None of the checkpoints in .* is whole: steps \[30, 20\]"):
        trained(tmp_path, SHORT)
    log.write_bytes(content)
    trained(tmp_path, SHORT)
    log.write_bytes(log.read_bytes().replace(b"0.1", b"0.2", 1))
    with pytest.raises(ConfigError, match=r"The finished run in .* its digest does not match"):
        trained(tmp_path, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_what_cannot_be_read_for_now_is_not_damaged(error, alone, tmp_path, monkeypatch):
    """Of a run that goes on, or is finished: nothing is moved aside or trained again, and nobody is told to remove anything."""

    def fails(*_arguments):
        raise error

    run = stopped(tmp_path, monkeypatch, 2)
    for place in ("bnjax.sweep.run.read_pinned", "experiments._training.store.read_pinned"):
        before = sorted(path.name for path in run.rglob("*"))
        with monkeypatch.context() as patch:
            patch.setattr(place, fails)
            with pytest.raises(MemoryError if isinstance(error, MemoryError) else ConfigError) as raised:
                trained(tmp_path, SHORT)
        said = str(raised.value)
        assert isinstance(error, MemoryError) or (
            "cannot be read now" in said and "emove" not in said and "Move" not in said
        )
        assert sorted(path.name for path in run.rglob("*")) == before
        assert without_time(trained(tmp_path, SHORT)[0]) == without_time(alone[SHORT])


def test_a_log_that_goes_while_it_is_written(tmp_path, monkeypatch):
    """It is noticed when the run is saved."""
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, lambda: next(tmp_path.glob("mlp-*/seed0/metrics.jsonl")).unlink())
        with pytest.raises(ConfigError, match=r"metrics\.jsonl was removed while it was written; remove its folder"):
            trained(tmp_path, SHORT)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("linked", ["", "seed0", "seed0/checkpoints", "seed0/metrics.jsonl", "config.json"])
def test_links_below_the_results_are_refused(linked, alone, tmp_path, monkeypatch):
    """What they lead to stays as it is; the folder of the results itself may be a link."""
    outside, results = tmp_path / "outside", tmp_path / "results"
    outside.mkdir()
    results.symlink_to(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    run = stopped(results, monkeypatch, 2)
    place = run.parent / linked
    shutil.move(place, outside / "moved")
    place.symlink_to(outside / "moved")
    before = sorted((str(file), file.stat().st_mtime_ns) for file in outside.rglob("*"))
    with pytest.raises(ConfigError, match="is a link, which a folder of results must not hold"):
        trained(results, SHORT)
    assert sorted((str(file), file.stat().st_mtime_ns) for file in outside.rglob("*")) == before
    place.unlink()
    shutil.move(outside / "moved", place)
    assert without_time(trained(results, SHORT)[0]) == without_time(alone[SHORT])


@pytest.mark.slow
def test_what_others_have_put_into_a_run_stays(alone, tmp_path):
    """Beside its checkpoints and among them, also where the run is replaced."""
    trained(tmp_path, SHORT)
    (folder,) = tmp_path.glob("mlp-*/seed0")
    for name in ("thesis", "checkpoints/bnjax_999", "checkpoints/20240501"):
        (folder / name).mkdir()
        (folder / name / "precious").write_text("my only copy")
    trained(tmp_path, change(SHORT, schedule={"num_steps": 50}))
    trained(tmp_path, change(SHORT, schedule={"num_steps": 50, "probe_every": 5, "eval_every": 5}))
    assert len([*tmp_path.rglob("precious")]) == 3
    assert sorted(path.name for path in folder.parent.glob("seed*")) == ["seed0", "seed0.others"]
    assert without_time(trained(tmp_path, SHORT)[0]) == without_time(alone[SHORT])


def test_a_record_of_other_steps_than_its_log(tmp_path):
    """It is not believed, and the way out is named."""
    trained(tmp_path, SHORT)
    (file,) = tmp_path.glob("mlp-*/seed0/finished.json")
    write_json(file, read_json(file) | {"num_steps": 70})
    with pytest.raises(ConfigError, match=r"its record says 70 steps, its log has 40.* Move that folder away"):
        trained(tmp_path, change(SHORT, schedule={"num_steps": 70}))


def test_a_configuration_is_rewritten_with_added_fields_alone(tmp_path):
    """A field that this version does not know stays in the file."""
    trained(tmp_path, SHORT)
    (file,) = tmp_path.glob("mlp-*/config.json")
    config = read_json(file)
    for known, kept in (({**config, "later": 1}, True), ({n: x for n, x in config.items() if n != "x64"}, False)):
        write_json(file, known)
        trained(tmp_path, SHORT)
        assert read_json(file) == (known if kept else config)
