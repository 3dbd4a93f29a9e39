"""The settings of the probe that trains a copy of a net further."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from experiments._config.check import check, check_numbers
from experiments._config.probe import Probe


@dataclass(frozen=True)
class Horizon(Probe):
    """The run's own next steps, taken by a copy of it: losses, gradients and barriers some steps ahead.

    Attributes:
        steps_ahead: how many steps, each number more than the one before.
        num_examples: the first training images, on which losses and gradients are measured, all of them in one batch.
        num_points: of the segment between two states, its ends included, at which a barrier is measured.
    """

    steps_ahead: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    num_examples: int = 2048
    num_points: int = 9

    kind: ClassVar[str] = "horizon"

    def __post_init__(self):
        ahead = self.steps_ahead
        rule = "one or more numbers from 1, in ascending order"
        check(bool(ahead) and min(ahead) >= 1, "steps_ahead", rule, ahead)
        check(all(first < second for first, second in pairwise(ahead)), "steps_ahead", rule, ahead)
        check_numbers(self, "at least 1", lambda x: x >= 1, "num_examples")
        check_numbers(self, "at least 3, the two ends and a point between", lambda x: x >= 3, "num_points")
