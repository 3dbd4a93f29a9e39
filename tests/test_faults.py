"""Runs that are killed, stopped or moved go on from their last checkpoint, to the same bits."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import tiny
from conftest import ROOT
from disturbed import AT_ONCE, CONFIG, FOLDER, assert_same, at_chunk, complaints, folder_of, logged, send, steps

from experiments._config import change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "num_steps", "seeds"), [(2, 60, (0,)), pytest.param(20, 500, (0, 1), marks=pytest.mark.thorough)]
)
def test_killed_at_random_times(kills, num_steps, seeds, undisturbed, tmp_path):
    """However often it is killed, wherever it is, a run loses at most a chunk, and ends bit for bit as one left alone."""
    config = change(CONFIG, schedule={"num_steps": num_steps}, seeds=seeds)
    arguments = ("--schedule.num-steps", str(num_steps), "--seeds", *map(str, seeds))
    expected, rng = undisturbed(*arguments), random.Random(kills)
    whole, run = logged(expected), tmp_path / folder_of(config) / "seed0"
    last = 0
    for i in range(kills):
        process = tiny.start(tmp_path, *AT_ONCE, *arguments)
        target = whole * (i + rng.random()) / (kills + 1)
        while process.is_alive() and logged(tmp_path) < target:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "output").read_text()
        if run.exists() and steps(run)[0]:
            assert steps(run)[0][-1] >= last
            last = steps(run)[0][-1]
            trained = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"train"' in line]
            assert len(trained) * 10 - last in (0, 10)
    assert last > 0
    process = tiny.start(tmp_path, *arguments)
    process.join()
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert steps(run)[1] == 0
    assert_same(tmp_path, expected, config)


def wait_until_held(process, held):
    """Wait until a chunk has begun that lasts as long as the file `held` is there."""
    while process.is_alive() and not held.with_suffix(".reached").exists():
        time.sleep(0.01)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_asked_to_stop(number, status, undisturbed, tmp_path, capsys, monkeypatch):
    """A signal ends the command after the chunk at hand, which is saved; the same command continues."""
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, send(number))
        assert tiny.call(tmp_path) == status
    output, errors = capsys.readouterr()
    where = f"what was saved is in {tmp_path / FOLDER / 'seed0'}"
    assert output.endswith(f"Stopped; {where}. The same command continues.\n")
    assert "Traceback" not in errors
    assert steps(tmp_path / FOLDER / "seed0") == ([30], 0)
    assert tiny.call(tmp_path) == 0
    assert_same(tmp_path, undisturbed())


def test_stopped_before_anything_was_saved(tmp_path, capsys, monkeypatch):
    """Nothing is said to be there."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        with monkeypatch.context() as patch:
            patch.setattr("bnjax.sweep.loop.provenance", lambda number=number: send(number)() or {})
            assert tiny.call(tmp_path) == 128 + number
        assert "Stopped; nothing was saved yet." in capsys.readouterr().out


def test_a_terminal_that_closes_sends_more_than_one_signal(undisturbed, tmp_path, monkeypatch):
    """The second SIGHUP does not end the process: the chunk at hand is saved."""
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, lambda: [send(signal.SIGHUP)() for _ in range(2)])
        assert tiny.call(tmp_path) == 129
    assert steps(tmp_path / FOLDER / "seed0") == ([30], 0)
    assert tiny.call(tmp_path) == 0
    assert_same(tmp_path, undisturbed())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(number, undisturbed, tmp_path, monkeypatch):
    """Training does not stop, and the signal is ignored afterwards as well."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        at_chunk(monkeypatch, 2, lambda: os.kill(os.getpid(), number))
        assert tiny.call(tmp_path) == 0
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert_same(tmp_path, undisturbed())


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("script", "number"),
    [("echo $$; exec nohup {}", signal.SIGHUP), ("{} & echo $!; wait $!", signal.SIGINT)],
    ids=["nohup", "background"],
)
def test_what_a_shell_has_made_ignore_a_signal(script, number, undisturbed, tmp_path):
    """A command under nohup, or in the background of a script, goes on after SIGHUP or SIGINT."""
    held, results = tmp_path / "held", tmp_path / "results"
    held.touch()
    code = "import sys, tiny; from pathlib import Path; tiny.hold(Path(sys.argv[1])); sys.exit(tiny.call(Path(sys.argv[2])))"
    command = script.format(shlex.join([sys.executable, "-c", code, str(held), str(results)]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(["sh", "-c", command], cwd=ROOT, env=environment, text=True, **pipes) as process:
        pid = int(process.stdout.readline())
        while process.poll() is None and not held.with_suffix(".reached").exists():
            time.sleep(0.01)
        os.kill(pid, number)
        held.unlink()
        said = process.stdout.read()
    assert process.returncode == 0, said
    assert_same(results, undisturbed())


@pytest.mark.thorough
def test_the_main_thread_is_free_for_signals(tmp_path, monkeypatch):
    """However runs are trained: a second signal is handled at once only where the main thread does not compute."""
    threads = []
    for batching in ("threads", "map", "sharded"):
        with monkeypatch.context() as patch:
            at_chunk(patch, 0, lambda: threads.append(threading.current_thread()))
            assert tiny.call(tmp_path / batching, "--optimizer.batch-size", "32", "--batching", batching) == 0
    assert len(threads) == 3
    assert threading.main_thread() not in threads


@pytest.mark.thorough
@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_asked_to_stop_together(batching, undisturbed, tmp_path, capsys, monkeypatch):
    """Runs that take their steps as one program stop and continue together."""
    arguments = ("--batching", batching, "--seeds", "0", "1", "2")
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, send(signal.SIGTERM))
        assert tiny.call(tmp_path, *arguments) == 143
    assert capsys.readouterr().out.endswith("The same command continues.\n")
    stopped = [steps(run) for run in tmp_path.glob("mlp-*/seed*")]
    assert [(len(whole), others) for whole, others in stopped] == [(1, 0)] * 3
    assert tiny.call(tmp_path, *arguments) == 0
    assert_same(tmp_path, undisturbed(*arguments), replace(CONFIG, seeds=(0, 1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "chunks"),
    [
        (signal.SIGINT, 3),
        pytest.param(signal.SIGINT, 0, marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, 0, marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, 3, marks=pytest.mark.thorough),
    ],
)
def test_asked_twice(number, chunks, undisturbed, tmp_path):
    """A second signal ends the process at once, in the midst of its first compilation or of any chunk; nothing is lost."""
    held = tmp_path / "held"
    if not chunks:
        held.touch()
    process = tiny.start(tmp_path, *AT_ONCE, held=held)
    while process.is_alive() and logged(tmp_path) < chunks * 100:
        time.sleep(0.01)
    held.touch()
    wait_until_held(process, held)
    os.kill(process.pid, number)
    process.join(0.5)
    assert process.exitcode is None, (tmp_path / "output").read_text()
    os.kill(process.pid, number)
    process.join(60)  # its chunk is held: by itself it would not end
    assert process.exitcode == -number
    assert tiny.call(tmp_path) == 0
    assert_same(tmp_path, undisturbed())


@pytest.mark.thorough
@pytest.mark.parametrize(("before", "after"), [(8, 1), (1, 8)])
def test_another_number_of_devices(before, after, undisturbed, tmp_path):
    """A run that was stopped on one number of devices goes on with another."""
    flag = "--xla_force_host_platform_device_count="
    others = [flag_ for flag_ in os.environ["XLA_FLAGS"].split() if not flag_.startswith(flag)]
    held = tmp_path / "held"
    held.touch()
    process = tiny.start(tmp_path, held=held, flags=" ".join([*others, f"{flag}{before}"]))
    wait_until_held(process, held)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.3)
    held.unlink()
    process.join()
    assert process.exitcode == 143, (tmp_path / "output").read_text()
    assert steps(tmp_path / FOLDER / "seed0") == ([10], 0)
    process = tiny.start(tmp_path, flags=" ".join([*others, f"{flag}{after}"]))
    process.join()
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert_same(tmp_path, undisturbed())


@pytest.mark.slow
def test_two_processes_on_one_folder(undisturbed, tmp_path, capsys):
    """The second one is refused in one line, before it has touched anything; the first one does not notice."""
    held = tmp_path / "held"
    held.touch()
    process = tiny.start(tmp_path, held=held)
    wait_until_held(process, held)
    assert tiny.call(tmp_path) == 2
    (folder,) = tmp_path.glob("tiny-*")
    assert complaints(capsys) == [f"error: Another process is at work in {folder}."]
    held.unlink()
    process.join()
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert_same(tmp_path, undisturbed())


@pytest.mark.slow
def test_runs_that_another_process_is_at_work_on_come_last(undisturbed, tmp_path, capsys):
    """The other ones are trained first; then a line names the folder, or there is nothing more to do."""
    held, seeds = tmp_path / "held", ("--seeds", "0", "1")
    held.touch()
    process = tiny.start(tmp_path, held=held)
    wait_until_held(process, held)
    folder = tmp_path / FOLDER
    assert tiny.call(tmp_path, *seeds) == 2
    assert complaints(capsys) == [f"error: Another process is at work in {folder / 'seed0'}."]
    assert (folder / "seed1" / "finished.json").exists()
    assert not (folder / "seed0" / "finished.json").exists()
    held.unlink()
    process.join()
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert tiny.call(tmp_path, *seeds) == 0
    assert_same(tmp_path, undisturbed("--schedule.num-steps", "60", *seeds), replace(CONFIG, seeds=(0, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["threads", "map"])
def test_a_run_that_another_process_finishes_meanwhile(way, undisturbed, tmp_path, monkeypatch):
    """It is looked at again at the end, by itself or in a program of several, and found."""
    held, seeds = tmp_path / "held", ("--seeds", "0", "1")
    held.touch()
    process = tiny.start(tmp_path, held=held)
    wait_until_held(process, held)

    def finish():
        held.unlink()
        process.join()

    taken = [lambda: None] * 3
    at_chunk(monkeypatch, 0, *taken, finish)
    assert tiny.call(tmp_path, *seeds, "--batching", way) == 0
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert_same(tmp_path, undisturbed("--schedule.num-steps", "60", *seeds), replace(CONFIG, seeds=(0, 1)))


@pytest.mark.thorough
def test_a_backend_that_is_not_there(tmp_path):
    """It is named in one line, with what drives it."""
    command = [sys.executable, "-m", "experiments", "quickstart", "--preset", "smoke", "--results", str(tmp_path / "x")]
    environment = {**os.environ, "JAX_PLATFORMS": "cuda"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: JAX finds no device for JAX_PLATFORMS=cuda (")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_reader_that_leaves():
    """Whoever has read enough, as head has, ends the command quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 128 + signal.SIGPIPE
    process.stderr.close()


def test_a_figure_folder_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    """It is named before anything is trained."""
    at_chunk(monkeypatch, 0, pytest.fail)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "figures", "/proc/self/figures", "/proc/self"):
        assert tiny.call(tmp_path / "results", "--figures", str(folder)) == 2
        (line,) = complaints(capsys)
        assert re.fullmatch(f"error: [^:]+: {folder}", line)
    assert not (tmp_path / "results").exists()


def test_a_configuration_that_is_refused_leaves_no_folder(tmp_path, capsys):
    """Nothing is left of what could not be run, and what was there stays."""
    arguments = ("--norm.layers", "7")
    assert tiny.call(tmp_path, *arguments) == 2
    assert len(complaints(capsys)) == 1
    assert not list(tmp_path.iterdir())
