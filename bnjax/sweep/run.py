"""One run of the loop: its state, its log and its checkpoints, resumed to the same bits."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from bnjax._host import trials
from bnjax._host.files import is_passing
from bnjax._host.processes import is_first, largest
from bnjax._host.sharding import everywhere
from bnjax.data import Dataset
from bnjax.runs import (
    CheckpointError,
    Checkpoints,
    LockedError,
    LostLogError,
    MetricsLog,
    NothingWholeError,
    Pin,
    check_no_link,
    latest_step,
    lock,
    read_json,
    read_metrics,
    read_pinned,
    write_json,
)
from bnjax.runs.json_files import finite
from bnjax.sweep.plan import Member, Plan
from bnjax.sweep.saving import Saves
from bnjax.sweep.signals import Interrupted, StopRequest
from bnjax.sweep.threads import SharedClock
from bnjax.train.steps import Metrics, Trainer, TrainState, check_split

# The fields of the last checkpoint that `finished.json` keeps.
_RECORD = ("num_steps", "diverged", "log", "seconds", "provenance", "batching")


class RunError(ValueError):
    """A run cannot be trained, or cannot be continued from its folder; the message is one line."""


class BusyError(RunError):
    """A run cannot be trained, because another process is using its folder; the message is one line."""


@contextlib.contextmanager
def run_errors() -> Iterator[None]:
    """Convert errors of a run's data or folder to RunErrors."""
    try:
        yield
    except NothingWholeError as error:
        raise RunError(f"{error} Remove that folder to train from the start.") from error
    except LockedError as error:
        raise BusyError(str(error)) from error
    except (CheckpointError, ValueError) as error:
        raise RunError(str(error)) from error


class Session(NamedTuple):
    """State shared by all runs of a call.

    Attributes:
        stop: whether runs are to stop.
        clock: measures the seconds of runs.
        saves: records which runs could not be saved.
        origin: the provenance, taken once, since files may change after this process has read them.
        save_seconds: least time between two checkpoints of a run.
        progress: called with a number of steps that are done, and words about the run.
        report: called with one line when a damaged checkpoint is skipped.
        keep_states: finished runs keep their last state.
        busy: collects an error for each run whose folder another process is using.
    """

    stop: StopRequest
    clock: SharedClock
    saves: Saves
    origin: dict[str, Any]
    save_seconds: float
    progress: Callable[[int, str], object]
    report: Callable[[str], object]
    keep_states: bool
    busy: list[BusyError]

    def check(self) -> None:
        """Raise Interrupted if runs are to stop, in all processes at once."""
        asked, signal_number = largest(self.stop.asked, self.stop.signal_number)
        if asked:
            raise Interrupted(signal_number)


class Run:
    """A run in its folder: `metrics.jsonl`, `checkpoints/`, and `finished.json` at the end.

    Checkpoints are taken between chunks only, so a killed run repeats whole chunks, bit for bit. The loop passes it new states.

    Attributes:
        state: the last one; None before the run is opened.
        step: how many steps were taken.
        finished: all steps are taken, or the run has diverged.
        diverged: a loss of the last chunk was not finite.
        dataset: its data set.
        choices: measured choices of how many runs, and points of its scans, run together.
    """

    state: TrainState | None = None
    step = 0
    finished = False
    diverged = False
    dataset: Dataset | None = None

    def __init__(self, member: Member, plan: Plan, make_trainer: Callable[[], Trainer], session: Session):
        self.member, self._plan, self._session = member, plan, session
        self.make_trainer = make_trainer
        self.choices: dict[trials.Key, trials.Trials] = {}
        self._log: MetricsLog | _MemoryLog = _MemoryLog()
        self._noted: set[str] = set()
        self._checkpoints: Checkpoints | None = None
        self._meta: dict[str, Any] = {}
        self._before = 0.0
        self._seconds: Callable[[], float] = float

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the run's folder for this process as long as the context lasts.

        Raises:
            BusyError: if another process has it.
        """
        with contextlib.ExitStack() as stack:
            if self.member.folder is not None:
                with run_errors():
                    for name in ("", "checkpoints", "metrics.jsonl", "finished.json", "lock"):
                        check_no_link(self.member.folder / name)
                    self.member.folder.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(lock(self.member.folder))
            yield

    def is_over(self) -> bool:
        """Return whether any process finds the run finished; if so, the bar advances."""
        file, steps = self._file, self._plan.num_steps
        is_over = file is not None and not self._session.keep_states and any(largest(is_finished(file, steps)))
        if file is not None and is_over:
            self._session.progress(self._plan.num_steps, "")
            with contextlib.suppress(OSError, ValueError, AttributeError):  # the error is reported when the run is read
                self.choices = trials.from_json(read_json(file).get("batching"))
        return is_over

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Load the data, and the last checkpoint if there is one; they are open as long as the context lasts.

        Raises:
            RunError: if the data are too few, or the folder holds something else.
        """
        with run_errors():
            trainer, dataset = self.make_trainer(), self.member.load()
            check_split(trainer, dataset.train)
            self.dataset = everywhere(dataset, trainer.mesh)
        self.state = self.member.start(jnp.zeros((1, *self.dataset.train.images.shape[1:])))
        with contextlib.ExitStack() as stack:
            if self.member.folder is not None:
                with run_errors():
                    self._restore(self.member.folder, stack)
            self.step, steps = int(self.state.step), self._plan.num_steps
            # NOTE: in records without "diverged", a finished run of fewer steps has diverged.
            self.diverged = self._meta.get("diverged", self._meta.get("finished", False) and self.step < steps)
            self.finished = self.diverged or self.step >= steps
            self._session.progress(self._plan.num_steps if self.finished else self.step, "")
            if self.finished:
                self._finish()
            else:
                self._seconds = stack.enter_context(self._session.clock.running())
            yield
        if not self._session.keep_states:
            self.state = self.dataset = None

    def note(self, kind: str, record: Any) -> None:
        """Log the measurements of this step.

        Raises:
            RunError: if the record does not map names to numbers.
        """
        if not isinstance(record, Mapping):
            raise RunError(f"A HostProbe must return numbers by name, {kind} returns {type(record).__name__}.")
        if {"kind", "step"} & {*record}:
            raise RunError(
                f"A probe must not return kind or step, which its log says, {kind} returns {', '.join(record)}."
            )
        values = {name: np.asarray(value).tolist() for name, value in record.items()}
        self._noted.add(kind)
        try:
            self._log.append(kind=kind, step=self.step, **values)
        except (TypeError, ValueError) as error:
            problem = f"{kind} does not: {str(error).rstrip('.')}"
            raise RunError(f"A probe must return real numbers and lists of them, {problem}.") from error

    def has(self, kind: str) -> bool:
        """Return whether measurements of this kind exist at this step."""
        return kind in self._noted

    def advance(self, state: TrainState, metrics: Metrics, loss_scale: float) -> None:
        """Move on by a chunk, and log its steps; the run is finished if a loss was not finite."""
        before, self.state = self.step, state
        losses, accuracies = (np.asarray(values) for values in metrics)
        is_finite = np.isfinite(losses)
        self._log.append(kind="train", step=before, loss=losses.tolist(), accuracy=accuracies.tolist())
        if not is_finite.all():
            self._log.append(kind="diverged", step=before + int(np.argmin(is_finite)))
        self.step, self.diverged, self._noted = before + len(losses), not is_finite.all(), set()
        self.finished = self.diverged or self.step >= self._plan.num_steps
        last = loss_scale * losses[-1] if is_finite.all() else np.nan
        done = (self._plan.num_steps if self.finished else self.step) - before
        self._session.progress(done, f"{self.member.label}: loss {last:.4g}")

    def save(self) -> None:
        """Save the state and the length of the log; if that fails, warn and continue."""
        session, known = self._session, self._meta.get("provenance", [])
        self._meta = {
            "run": self.member.name,
            "finished": self.finished,
            "num_steps": self.step,
            "diverged": bool(self.diverged),
            "measured": sorted(self._noted),
            "provenance": [*(origin for origin in known if origin != session.origin), session.origin],
            "seconds": round(self._before + self._seconds(), 3),
            **({"batching": trials.to_json(self.choices)} if self.choices else {}),
        }
        if self.member.folder is None or self._checkpoints is None:
            return
        assert isinstance(self._log, MetricsLog)
        with run_errors(), session.saves.attempt(self.member.folder):
            self._meta["log"] = _sync(self._log)._asdict()
            self._checkpoints.save(self.step, self.state, self._meta)
        if self.finished:
            self._finish()

    def is_saved(self) -> bool:
        """Return whether the run has a checkpoint."""
        return self.member.folder is not None and latest_step(self.member.folder / "checkpoints") is not None

    def failed_to_save(self) -> bool:
        """Return whether the run's last save has failed."""
        return self.member.folder is not None and self._session.saves.failed(self.member.folder)

    def records(self) -> list[dict[str, Any]]:
        """Return the lines of the run's log."""
        if self.member.folder is None:
            assert isinstance(self._log, _MemoryLog)
            return self._log.lines
        return read_metrics(self.member.folder / "metrics.jsonl")

    @property
    def _file(self) -> Path | None:
        """The file that marks a finished run."""
        return None if self.member.folder is None else self.member.folder / "finished.json"

    def _finish(self) -> None:
        """Record that the run is finished, if it is saved."""
        if self._file is not None and not self.failed_to_save():
            with self._session.saves.attempt(self._file.parent):
                write_json(self._file, {name: self._meta[name] for name in _RECORD if name in self._meta})

    def _restore(self, folder: Path, stack: contextlib.ExitStack) -> None:
        """Open checkpoints and log, and continue from the last checkpoint."""
        self._checkpoints = stack.enter_context(Checkpoints(folder / "checkpoints", report=self._session.report))
        log = folder / "metrics.jsonl"
        restored = self._checkpoints.restore(self.state, lambda meta: _problem(log, _pin(meta)))
        if restored:
            self.state, self._meta = restored.state, restored.meta
        if self._meta.get("run", self.member.name) != self.member.name:
            raise ValueError(f"{folder} holds checkpoints of {self._meta['run']!r}. Move that folder away.")
        self.choices = trials.from_json(self._meta.get("batching"))
        self._before = self._meta.get("seconds", 0.0)
        self._noted = {*self._meta.get("measured", [])}
        pin = _pin(self._meta)
        if is_first() and _says_more(folder / "finished.json", pin):
            (folder / "finished.json").unlink()  # the log is truncated, and its end will be written again
        self._log = stack.enter_context(contextlib.closing(MetricsLog(log, pin)))


class _MemoryLog:
    """The log of a run without a folder; its lines equal those read back from a file."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def append(self, **record: Any) -> None:
        """Add one line; numbers that are not finite become None."""
        self.lines.append(finite(record))


def is_finished(file: Path, num_steps: int) -> bool:
    """Return whether, according to `finished.json`, a run has taken `num_steps` steps or has diverged."""
    if not file.exists():
        return False
    try:
        record = read_json(file)
        # NOTE: in records without "num_steps", the folder belongs to a single number of steps.
        return bool(record.get("diverged")) or record.get("num_steps", num_steps) >= num_steps
    except (OSError, ValueError, TypeError, AttributeError):
        return True  # the error of the file is reported when the run is read


def _says_more(file: Path, pin: Pin) -> bool:
    """Return whether `finished.json` belongs to a log that is longer than a pin."""
    try:
        return Pin(**read_json(file)["log"]).length > pin.length
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _pin(meta: Mapping[str, Any]) -> Pin:
    """Return the extent of a checkpoint's log."""
    return Pin(**meta["log"]) if "log" in meta else Pin(meta.get("log_bytes", 0))


def _problem(log: Path, pin: Pin) -> str:
    """Describe a problem with the log of a checkpoint; empty if there is none. All processes agree whether there is.

    Raises:
        CheckpointError: if the log cannot be read for a temporary reason.
    """
    problem, is_whole = "", False
    if is_first():
        try:
            read_pinned(log, pin)
        except (OSError, ValueError) as error:
            problem, is_whole = str(error).rstrip("."), is_passing(error)
    is_bad, may_pass = largest(bool(problem), is_whole)
    problem = problem or "the first process cannot read its log" * is_bad
    if may_pass:
        raise CheckpointError(f"{log} cannot be read now: {problem}.")
    return problem


def _sync(log: MetricsLog) -> Pin:
    """Write a log to disk and return its extent; if the first process cannot, the others raise too."""
    problem, pin = None, Pin()
    try:
        pin = log.sync()
    except (OSError, LostLogError) as error:
        problem = error
    if any(largest(problem is not None)):
        raise problem or CheckpointError("The first process cannot write its log.")
    return pin
