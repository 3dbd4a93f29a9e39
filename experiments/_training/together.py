"""Runs of one net take their steps together, as one program: what fills an accelerator.

Each run is in a thread of its own, with its own measurements, log and checkpoints; only for its steps it waits for the others.
"""

import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bnjax import sweep, train
from bnjax.data import Split
from bnjax.sweep.ways import stack, unstack

Stepped = tuple[train.TrainState, train.Metrics]


class Together:
    """The steps of runs that differ in their seeds and learning rates alone.

    Args:
        trainer: of any of them; a learning rate is part of a state.
        num_runs: how many there are. All of them, or those that have not left, wait for each other.
        way: how they share the machine.
        own_split: whether each of them has data of its own.
    """

    def __init__(self, trainer: train.Trainer, num_runs: int, way: sweep.Way, *, own_split: bool = False):
        self._make_trainer, self._num_runs, self._way, self._own_split = _Same(trainer), num_runs, way, own_split
        self._members = num_runs
        self._requests: list[_Request] = []
        self._changed = threading.Condition()

    def run_steps(self, _trainer: train.Trainer, state: train.TrainState, split: Split, *, num_steps: int) -> Stepped:
        """Take steps of one run, as `train.run_steps` does, when all the others want theirs."""
        request = _Request(state, split, num_steps)
        with self._changed:
            self._requests.append(request)
            self._answer()
            self._changed.wait_for(lambda: request.answer is not None)
        if isinstance(request.answer, Exception):
            raise request.answer
        assert request.answer is not None
        return request.answer

    def leave(self) -> None:
        """Wait for one run less: it is finished, or has been stopped."""
        with self._changed:
            self._members -= 1
            self._answer()

    def _answer(self) -> None:
        """Take the steps if everybody is waiting for them."""
        if not self._requests or len(self._requests) < self._members:
            return
        for num_steps in {request.num_steps for request in self._requests}:
            alike = [request for request in self._requests if request.num_steps == num_steps]
            try:
                answers = self._take(alike, num_steps)
            except Exception as error:
                answers = [error] * len(alike)
            for request, answer in zip(alike, answers, strict=True):
                request.answer = answer
        self._requests = []
        self._changed.notify_all()

    def _take(self, requests: list["_Request"], num_steps: int) -> list[Stepped]:
        """Take steps; runs that are not there are replaced by idle ones, so that nothing is compiled anew."""
        rows = np.resize(np.arange(len(requests)), self._num_runs)
        states = stack([requests[i].state for i in rows])
        found = sweep.run_steps(
            sweep.Program(tuple(rows.tolist()), self._make_trainer, {}, states.key),
            states,
            stack([requests[i].split for i in rows]) if self._own_split else requests[0].split,
            num_steps=num_steps,
            active=np.arange(self._num_runs) < len(requests),
            own_split=self._own_split,
            way=self._way,
        )
        return unstack(found)[: len(requests)]


class _Same(NamedTuple):
    """Makes a trainer that is already there; equal for equal trainers, so that compiled programs are found again."""

    trainer: train.Trainer

    def __call__(self) -> train.Trainer:
        return self.trainer


@dataclass(eq=False)
class _Request:
    """The steps that one run waits for, and what came of them."""

    state: train.TrainState
    split: Split
    num_steps: int
    answer: Stepped | Exception | None = None
