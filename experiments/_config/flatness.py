"""The settings of the probe of how flat the training loss is once it has fallen to certain levels."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from experiments._config.check import DIFFERENT, check, check_numbers
from experiments._config.probe import Probe


@dataclass(frozen=True)
class Flatness(Probe):
    """Curvature and sharpness of the training loss, and the generalisation gap, once the loss has reached some levels.

    The training loss is evaluated at every measurement, and all else only when it first is at or below a level.

    Attributes:
        levels: training losses.
        num_examples: number of the first training images, and of the first test images, for the training loss and the gap, cut
            to whole batches.
        curvature_examples: number of the first training images for curvature and sharpness, cut to whole batches.
        num_vectors: number of random vectors that estimate the trace.
        tolerance: of the largest eigenvalue, see `curvature.top_eigenpairs`.
        max_products: largest number of Hessian products for that eigenvalue.
        radius: how far each layer's weights move, as a share of their length.
        num_directions: number of random directions in which they move.
    """

    levels: tuple[float, ...] = (0.5, 0.1, 0.01)
    num_examples: int = 2000
    curvature_examples: int = 512
    num_vectors: int = 8
    tolerance: float = 0.1
    max_products: int = 40
    radius: float = 0.02
    num_directions: int = 8

    kind: ClassVar[str] = "flatness"

    def __post_init__(self):
        check_numbers(self, f"{DIFFERENT} > 0 and finite", lambda x: 0 < x < math.inf, "levels")
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "tolerance", "radius")
        counts = ("num_examples", "curvature_examples", "num_vectors", "max_products", "num_directions")
        check_numbers(self, "at least 1", lambda x: x >= 1, *counts)

    def check(self, model: Any, name: str) -> None:
        """Raise a ValueError unless the net is a VGG or a perceptron: weights move by layer, and images are needed."""
        rule = "left out of nets other than a VGG or a perceptron"
        check(hasattr(model, "norm_position"), name, rule, self.kind)

    def are_reached(self, loss: float, lowest: float) -> bool:
        """Return whether a training loss reaches a level that the lowest loss before it had not reached."""
        return any(loss <= level < lowest for level in self.levels)
