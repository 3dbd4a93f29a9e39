"""The settings of the probe of how flat the training loss is where it has fallen to certain levels."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from experiments._config.check import DIFFERENT, check, check_numbers
from experiments._config.probe import Probe


@dataclass(frozen=True)
class Flatness(Probe):
    """Curvature and relative sharpness of the training loss, and the gap to the test, where the loss has fallen to some levels.

    At every measurement the training loss is evaluated, and all else only at the first one at which it is at or below a level.

    Attributes:
        levels: training losses.
        num_examples: the first ones of the training and of the test images, as many as make whole batches, of which the
            training loss and the gap are.
        curvature_examples: the first training images, as many as make whole batches, of whose loss curvature and sharpness are.
        num_vectors: random vectors of the trace.
        tolerance: of the largest eigenvalue, see `curvature.top_eigenpairs`.
        max_products: largest number of Hessian products that it takes.
        radius: how far each layer's weights move, as a share of their length.
        num_directions: random directions in which they do.
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
        """It moves weights by layer, and needs images."""
        rule = "left out of nets other than a VGG or a perceptron"
        check(hasattr(model, "norm_position"), name, rule, self.kind)

    def are_reached(self, loss: float, lowest: float) -> bool:
        """Return whether a training loss is the first one at or below a level, if the lowest before it was another one."""
        return any(loss <= level < lowest for level in self.levels)
