"""An experiment of seconds, and processes that run it, for tests that disturb them."""

import multiprocessing
import os
import sys
import time
from pathlib import Path
from unittest import mock

import jax
import matplotlib.figure
import sklearn.datasets  # noqa: F401  # so that processes have it when they begin

from bnjax.models import MLPShape
from bnjax.sweep.loop import Crew
from experiments._command import cli
from experiments._config import Images, MLPRun, Optimizer, Schedule

for name in ("experiments.tiny", "experiments.tiny.figure", "experiments.tiny.table"):
    sys.modules[name] = sys.modules[__name__]  # where the command line looks for them
PRESETS = {
    "smoke": MLPRun(
        model=MLPShape(hidden=(8,), activation="relu", kernel_init="normal", kernel_scale=0.05),
        data=Images("digits", "unit"),
        optimizer=Optimizer(learning_rate=0.5, momentum=0.9, batch_size=60),
        schedule=Schedule(num_steps=60, eval_every=20, probe_every=10),
    )
}


__path__ = []  # a package, of which there is nothing on disk
KEEP = {}


def groups(config):
    """Name one net."""
    return {"arms": {"net": config}}


def summarise(data):
    """Write the last loss of each seed."""
    return f"The last losses are {[run['train']['loss'][-1] for run in data['arms']['net']]}."


class Loss:
    """The layout of the first seed's loss, which is the same for every screen."""

    def __init__(self, data):
        self.loss = data["arms"]["net"][0]["train"]["loss"]

    def draw(self, *, narrow=False):
        """Draw a line."""
        figure = matplotlib.figure.Figure((1, 1))
        figure.subplots().plot(self.loss)
        return figure


plot = Loss


def hold(file: Path) -> None:
    """Let every chunk last for as long as a file is there; one more beside it, `.reached`, says that one does."""
    chunk = Crew.take_chunk

    def held(*arguments):
        while file.exists():
            file.with_suffix(".reached").touch()
            time.sleep(0.005)
        return chunk(*arguments)

    Crew.take_chunk = held


def call(results: Path, *arguments: str) -> int:
    """Run the command in this process; return its exit status."""
    try:
        cli.main(sys.modules["experiments.tiny"], ["--results", str(results), *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def start(
    results: Path, *arguments: str, held: Path | None = None, flags: str | None = None
) -> multiprocessing.process.BaseProcess:
    """Start a process of the command, forked from one that has imported everything; what it prints goes to `results/output`.

    Args:
        results: folder, made if it is not there.
        arguments: more of them.
        held: see `hold`.
        flags: of XLA, in place of those of this process.
    """
    results.mkdir(exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny"])
    process = context.Process(target=_main, args=(results, arguments, held, flags))
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        process.start()
    return process


def _main(results: Path, arguments: tuple[str, ...], held: Path | None, flags: str | None) -> None:
    """Be that process."""
    sys.stdout = sys.stderr = (results / "output").open("a", buffering=1)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if flags is not None:
        os.environ["XLA_FLAGS"] = flags
    if held:
        hold(held)
    sys.exit(call(results, *arguments))
