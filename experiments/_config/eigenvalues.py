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
        num_examples: the first training images, all of them in one batch, whose loss it is.
        tolerance: of a residual, relative to its eigenvalue; a pair whose residual stays larger is not known.
        max_matvecs: limit of Hessian products for each loss.
    """

    num_examples: int = 2048
    tolerance: float = 0.05
    max_matvecs: int = 200

    kind: ClassVar[str] = "eigenvalues"
    # As many as there are classes in every data set here: so many are isolated in Ghorbani et al. 2019.
    num: ClassVar[int] = 10

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "num_examples")
        check_numbers(self, "> 0 and < 1", lambda x: 0 < x < 1, "tolerance")
        check_numbers(self, f"at least {2 * self.num}", lambda x: x >= 2 * self.num, "max_matvecs")

    def check(self, model: Any, name: str) -> None:
        """A deep linear network has no images."""
        check(not isinstance(model, DeepLinearShape), name, "left out where there are no images", self.kind)
