"""The settings of the probe that finds the largest eigenvalues of the Hessian."""

from dataclasses import dataclass
from typing import Any, ClassVar

from bnjax.models.shapes import DeepLinearShape
from experiments._config.check import check, check_numbers
from experiments._config.probe import Probe


@dataclass(frozen=True)
class Eigenvalues(Probe):
    """The largest eigenvalues of the loss's Hessian, and which share of the gradient lies along their eigenvectors.

    Attributes:
        num_examples: number of the first training images, all in one batch, on which the loss is computed.
        tolerance: of a residual, relative to its eigenvalue; a pair whose residual stays larger is NaN.
        max_matvecs: largest number of Hessian products for each loss.
    """

    num_examples: int = 2048
    tolerance: float = 0.05
    max_matvecs: int = 200

    kind: ClassVar[str] = "eigenvalues"
    # The number of classes of every data set here: Ghorbani et al. 2019 find so many isolated eigenvalues.
    num: ClassVar[int] = 10

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "num_examples")
        check_numbers(self, "> 0 and < 1", lambda x: 0 < x < 1, "tolerance")
        check_numbers(self, f"at least {2 * self.num}", lambda x: x >= 2 * self.num, "max_matvecs")

    def check(self, model: Any, name: str) -> None:
        """Raise a ValueError for a deep linear network, which has no images."""
        check(not isinstance(model, DeepLinearShape), name, "left out where there are no images", self.kind)
