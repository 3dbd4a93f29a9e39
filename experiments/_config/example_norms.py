"""The normalisers of single examples, one class each: its settings, and the layer that it makes.

Dynamic tanh, which replaces a normaliser, is among them: it is a function of each entry.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from experiments._config.check import check, check_numbers
from experiments._config.norms import Dividing, Placed


@dataclass(frozen=True)
class LayerNorm(Dividing):
    """Layer norm over the features of each position of each example."""

    epsilon: float = 1e-6

    kind: ClassVar[str] = "layer"

    def make(self) -> Callable[..., Any]:
        """Return the factory of layer norms."""
        from bnjax import linen

        return partial(linen.LayerNorm, epsilon=self.epsilon)


@dataclass(frozen=True)
class GroupNorm(Dividing):
    """Normalisation of groups of neighbouring features of each example, over their pixels too.

    Attributes:
        group_size: features per group; None makes one group of all, which papers call layer norm of a map: over height, width
            and channels.
    """

    group_size: int | None = 8

    kind: ClassVar[str] = "group"

    def __post_init__(self):
        super().__post_init__()
        if self.group_size is not None:
            check_numbers(self, "at least 1", lambda x: x >= 1, "group_size")

    def check_model(self, model: Any, prefix: str) -> None:
        """Raise a ValueError unless groups divide the features of every layer that is normalised."""
        if self.group_size is not None:
            features = sorted({n for layer, n in enumerate(model.features, start=1) if self.follows(layer)})
            rule = f"a divisor of the features of each normalised layer, {', '.join(map(str, features))}"
            check(all(n % self.group_size == 0 for n in features), f"{prefix}group_size", rule, self.group_size)

    def make(self) -> Callable[..., Any]:
        """Return the factory of group norms."""
        from bnjax import linen

        groups = {"num_groups": 1} if self.group_size is None else {"num_groups": None, "group_size": self.group_size}
        return partial(linen.GroupNorm, epsilon=self.epsilon, **groups)


@dataclass(frozen=True)
class InstanceNorm(Dividing):
    """Normalisation of each feature of each example over its pixels; the output of a dense layer would become 0."""

    kind: ClassVar[str] = "instance"

    def check_model(self, model: Any, prefix: str) -> None:
        """Raise a ValueError unless only convolutions are normalised."""
        num = getattr(model, "num_convolutions", 0)
        is_dense = any(self.follows(layer) for layer in range(num + 1, model.num_normalised + 1))
        check(not is_dense, f"{prefix}layers", f"convolutions, from 1 to {num}, for instance norm", self.layers)

    def make(self) -> Callable[..., Any]:
        """Return the factory of instance norms."""
        from bnjax import linen

        return partial(linen.InstanceNorm, epsilon=self.epsilon)


@dataclass(frozen=True)
class DyT(Placed):
    """Dynamic tanh in the place of a normaliser: scale * tanh(alpha x) + bias, without statistics.

    Attributes:
        alpha: initial value of the learned factor, which all features share.
    """

    alpha: float = 0.5

    kind: ClassVar[str] = "dyt"

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "alpha")

    def make(self) -> Callable[..., Any]:
        """Return the factory of dynamic tanhs."""
        from bnjax import linen

        return partial(linen.DyT, alpha_init=self.alpha)
