"""Train runs side by side, in as many threads as there are cores; compiled code releases Python's lock."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import jax

from bnjax._host.batched import current_form, form_context
from bnjax._host.cores import count_cores
from bnjax.sweep.signals import Interrupted, StopRequest


def run_all(jobs: Sequence[Callable[[], None]], stop: StopRequest, parallel: int | None = None) -> None:
    """Run every job, starting them in the given order.

    If a job fails, running jobs are asked to stop, and if there are more jobs than threads, jobs that have not begun are
    skipped.

    Args:
        jobs: functions that check `stop` from time to time, and raise Interrupted when they have to stop.
        stop: checked by the jobs.
        parallel: how many at once; None is one per core if they compute on a CPU, else one.

    Raises:
        Interrupted: if a signal has stopped jobs.
    """
    num_workers = parallel or _num_workers()
    form = current_form()  # each thread has a context of its own

    def run(job: Callable[[], None]) -> None:
        with form_context(form):
            job()

    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            # NOTE: with timeouts, because a signal that another thread receives is handled only when this one wakes up.
            while wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION).not_done and not _errors(futures):
                pass
        except BaseException:  # such as Ctrl-C, if no StopRequest handles it
            stop.ask()
            raise
        finally:
            if _errors(futures):
                stop.ask()
            # NOTE: jobs that have a thread each may wait for one another, so none of them may be skipped.
            pool.shutdown(cancel_futures=num_workers < len(jobs))
    for error in sorted(_errors(futures), key=lambda error: isinstance(error, Interrupted)):
        raise error  # the failure is raised before the interruptions that it caused


def _errors(futures: Sequence[Future]) -> list[BaseException]:
    """List the exceptions of the finished jobs."""
    over = [future for future in futures if future.done() and not future.cancelled()]
    return [error for future in over if (error := future.exception())]


class SharedClock:
    """Counts the seconds of several runs such that they add up to the time during which at least one was active."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[object, float] = {}
        self._last = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], float]]:
        """Count for as long as the context lasts; yield a function that returns the seconds so far."""
        run = object()
        with self._lock:
            self._share()
            self._seconds[run] = 0.0
        try:
            yield lambda: self._read(run)
        finally:
            with self._lock:
                self._share()
                del self._seconds[run]

    def _read(self, run: object) -> float:
        """Return a run's seconds."""
        with self._lock:
            self._share()
            return self._seconds[run]

    def _share(self) -> None:
        """Share the time since the last call equally between all runs."""
        now = time.perf_counter()
        for run in self._seconds:
            self._seconds[run] += (now - self._last) / len(self._seconds)
        self._last = now


def _num_workers() -> int:
    """Count the cores that this process may use, or return 1 if it does not compute on a CPU."""
    return count_cores() if jax.default_backend() == "cpu" else 1
