"""The base class of the settings of probes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Probe:
    """The settings of a probe."""

    kind: ClassVar[str]
    # Whether it looks at single examples, beyond the loss and its gradients.
    needs_samples: ClassVar[bool] = False
    # Whether it is measured at every test, and so in the final state too, instead of every `probe_every` steps.
    at_tests: ClassVar[bool] = False

    def check(self, model: Any, name: str) -> None:
        """Raise a ValueError, which calls the probe `name`, if it cannot be measured on a model of this shape."""

    def used(self, run: Any) -> Self:
        """Return the settings, with those that make no difference to a run reset to their defaults."""
        return self

    def among(self, steps: Sequence[int]) -> tuple[int, ...]:
        """Select, from the steps of a run's measurements, those before which this probe is measured."""
        return tuple(steps)
