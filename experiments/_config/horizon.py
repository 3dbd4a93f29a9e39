"""The settings of the probes that train a copy of a net further."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from experiments._config.check import DIFFERENT, check, check_numbers
from experiments._config.probe import Probe


@dataclass(frozen=True)
class Horizon(Probe):
    """The run's own next steps, taken by a copy of it: losses, gradients and barriers some steps ahead.

    Attributes:
        steps_ahead: numbers of steps, in ascending order.
        num_examples: the first training images, on which losses and gradients are measured, all of them in one batch.
        num_points: number of points on the segment between two states, its ends included, at which a barrier is measured.
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


@dataclass(frozen=True)
class Plane(Probe):
    """The loss on the plane through the weights that holds the gradient there and the weights some steps ahead.

    Attributes:
        steps: steps before which the plane is measured, if the run makes measurements there.
        steps_ahead: number of training steps that a copy of the net takes.
        num_examples: the first training images, on which losses are measured, all of them in one batch.
        num_points: number of points along each axis.
    """

    steps: tuple[int, ...] = (0,)
    steps_ahead: int = 100
    num_examples: int = 2048
    num_points: int = 16

    kind: ClassVar[str] = "plane"

    def __post_init__(self):
        check_numbers(self, f"{DIFFERENT} from 0", lambda x: x >= 0, "steps")
        check_numbers(self, "at least 1", lambda x: x >= 1, "steps_ahead", "num_examples")
        check_numbers(self, "at least 2", lambda x: x >= 2, "num_points")

    def among(self, steps: Sequence[int]) -> tuple[int, ...]:
        return tuple(step for step in steps if step in self.steps)
