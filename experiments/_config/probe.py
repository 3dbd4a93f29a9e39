"""What the settings of all probes have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Probe:
    """The settings of a probe."""

    kind: ClassVar[str]
    # Whether it looks at single examples, beyond the loss and its gradients.
    needs_samples: ClassVar[bool] = False
    # Measured whenever the net is tested, in place of every `probe_every` steps: so there is a measurement of the final state.
    at_tests: ClassVar[bool] = False

    def check(self, model: Any, name: str) -> None:
        """Raise a ValueError, which calls the probe `name`, if it cannot be measured on a model of this shape."""

    def used(self, run: Any) -> Self:
        """Return the settings with their defaults in place of those that make no difference to a run."""
        return self

    def among(self, steps: Sequence[int]) -> tuple[int, ...]:
        """Return those of the steps of a run's measurements before which this one is made."""
        return tuple(steps)
