"""The settings of the probes of dependence between layers."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from experiments._config.check import DIFFERENT, check, check_numbers
from experiments._config.probe import Probe


@dataclass(frozen=True)
class LayerDependence(Probe):
    """How much the steps of the layers along minus the gradient depend on each other.

    Attributes:
        step_multiples: step sizes, in units of the learning rate.
        relative_steps: further step sizes: the step's length in units of the length of all parameters.
        layer: weight layer whose blocks of the Hessian are measured, numbered from 1 at the input.
        num_vectors: number of random vectors that estimate the norms of these blocks.
    """

    step_multiples: tuple[float, ...] = (0.1, 1.0)
    relative_steps: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    layer: int = 6
    num_vectors: int = 4

    kind: ClassVar[str] = "layer_dependence"

    def __post_init__(self):
        check_numbers(
            self, f"{DIFFERENT} > 0 and finite", lambda x: 0 < x < math.inf, "step_multiples", "relative_steps"
        )
        check_numbers(self, "at least 1", lambda x: x >= 1, "layer", "num_vectors")

    def check(self, model: Any, name: str) -> None:
        rule = f"between 1 and {model.num_layers}, the weight layers there are"
        check(self.layer <= model.num_layers, f"{name}.layer", rule, self.layer)


@dataclass(frozen=True)
class MomentControl(Probe):
    """How far the next step moves means and standard deviations of units, by earlier layers and by their own."""

    kind: ClassVar[str] = "moment_control"
    needs_samples: ClassVar[bool] = True

    def check(self, model: Any, name: str) -> None:
        """Raise a ValueError for nets whose layers are not weights, normaliser and activation."""
        rule = "left out of nets other than a VGG or a perceptron"
        check(hasattr(model, "norm_position"), name, rule, self.kind)
