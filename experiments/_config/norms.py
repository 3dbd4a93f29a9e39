"""The normalisers of batches, and noise, one class each: its settings, and the layer that it makes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any, ClassVar, Literal, Self

from experiments._config.check import DIFFERENT, check, check_numbers
from experiments._config.parts import Noise

_BY_KIND: dict[str, type["Norm"]] = {}


@dataclass(frozen=True)
class Norm:
    """A normaliser, or a layer in its place."""

    kind: ClassVar[str]
    # Whether it has running statistics of batches, which can be taken from training examples instead.
    is_recalibrated: ClassVar[bool] = False
    # Whether a linear network with it depends on more than mean and covariance of its inputs.
    needs_samples: ClassVar[bool] = True
    layers: ClassVar[Any] = "all"

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls):
            _BY_KIND[cls.kind] = cls

    def make(self) -> Callable[..., Any] | None:
        """Return the factory of the model's normalisers; None if there are none."""
        raise NotImplementedError

    def follows(self, layer: int) -> bool:
        """Return whether a weight layer has this normaliser."""
        return self.layers == "all" or layer in self.layers

    def check_batch(self, batch_size: int, prefix: str) -> None:
        """Raise a ValueError, with the prefix of the field's name, if a batch of this size cannot be normalised."""

    def check_model(self, model: Any, prefix: str) -> None:
        """Raise a ValueError, with the prefix of the field's name, if layers of this shape cannot have it."""

    @classmethod
    def like(cls, other: "Norm", **changes: Any) -> Self:
        """Return this normaliser with the settings that it shares with another one, and some changes."""
        shared = {field.name: getattr(other, field.name) for field in fields(cls) if hasattr(other, field.name)}
        return cls(**shared | changes)

    @classmethod
    def choices(cls) -> dict[str, type["Norm"]]:
        """Return every normaliser by its kind."""
        return dict(_BY_KIND)


@dataclass(frozen=True)
class NoNorm(Norm):
    """No normaliser."""

    kind: ClassVar[str] = "none"
    needs_samples: ClassVar[bool] = False

    def make(self) -> None:
        """Return None."""

    def follows(self, layer: int) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True)
class Placed(Norm):
    """A layer that follows some of the weight layers.

    Attributes:
        layers: weight layers that it follows, numbered from 1 at the input.
    """

    layers: Literal["all"] | tuple[int, ...] = "all"  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self):
        check_numbers(self, f"'all' or {DIFFERENT} from 1", lambda x: x == "all" or x >= 1, "layers")


@dataclass(frozen=True)
class BatchNorm(Placed):
    """Batch norm.

    Attributes:
        momentum: share of the running statistics that is kept at each step.
        epsilon: added to the variance.
        affine: multiply by a learned scale and add a learned bias.
        initial_scale: initial value of each feature's scale; biases begin at 0.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    affine: bool = True
    initial_scale: float = 1.0

    kind: ClassVar[str] = "batch"
    is_recalibrated: ClassVar[bool] = True
    needs_samples: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "in [0, 1)", lambda x: 0 <= x < 1, "momentum")
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "epsilon", "initial_scale")
        check(self.affine or self.initial_scale == 1, "initial_scale", "1 without a scale", self.initial_scale)

    def make(self) -> Callable[..., Any]:
        """Return the factory of batch norms."""
        from bnjax import linen

        return partial(linen.BatchNorm, **self._statistics())

    def _statistics(self) -> dict[str, Any]:
        learned: dict[str, Any] = {} if self.affine else {"use_scale": False, "use_bias": False}
        if self.initial_scale != 1:
            learned["scale_init"] = _constant(self.initial_scale)
        return {"momentum": self.momentum, "epsilon": self.epsilon, **learned}


@dataclass(frozen=True)
class NoisyBatchNorm(BatchNorm):
    """Batch norm with noise on its output.

    Attributes:
        noise: the noise.
    """

    noise: Noise = Noise()

    kind: ClassVar[str] = "noisy_batch"
    needs_samples: ClassVar[bool] = True

    def make(self) -> Callable[..., Any]:
        """Return the factory of noisy batch norms."""
        from bnjax import linen

        return partial(linen.NoisyBatchNorm, **self._statistics(), **_fields_of(self.noise))


@dataclass(frozen=True)
class PlainNoise(Placed):
    """Noise without batch norm.

    Attributes:
        noise: the noise.
    """

    noise: Noise = Noise()

    kind: ClassVar[str] = "noise"
    is_relative: ClassVar[bool] = False

    def make(self) -> Callable[..., Any]:
        """Return the factory of layers that add noise."""
        from bnjax import linen

        return partial(linen.Noise, relative=self.is_relative, **_fields_of(self.noise))


@dataclass(frozen=True)
class RelativeNoise(PlainNoise):
    """Noise without batch norm, in units of each unit's standard deviation."""

    kind: ClassVar[str] = "relative_noise"
    is_relative: ClassVar[bool] = True


@dataclass(frozen=True)
class LpNorm(BatchNorm):
    """Division by an lp norm of the batch.

    Attributes:
        p: order of the norm.
        center_first: subtract the mean before taking the norm; with p = 2 this is batch norm.
    """

    p: Literal[1, 2, "inf"] = 2
    center_first: bool = False

    kind: ClassVar[str] = "lp"

    @property
    def needs_samples(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return whether p is not 2: the l2 norm is a second moment."""
        return self.p != 2

    def make(self) -> Callable[..., Any]:
        """Return the factory of lp norms."""
        from bnjax import linen

        return partial(linen.LpNorm, p=self.p, center_first=self.center_first, **self._statistics())


@dataclass(frozen=True)
class GhostBatchNorm(BatchNorm):
    """Batch norm in parts of a batch.

    Attributes:
        ghost_size: examples per part; it divides the batch.
        running_var: remember the mean of the parts' variances, or the variance of the whole batch.
    """

    ghost_size: int = 32
    running_var: Literal["mean_of_ghosts", "whole_batch"] = "mean_of_ghosts"

    kind: ClassVar[str] = "ghost_batch"
    needs_samples: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "at least 1", lambda x: x >= 1, "ghost_size")

    def make(self) -> Callable[..., Any]:
        """Return the factory of batch norms of parts of a batch."""
        from bnjax import linen

        ghosts = {"ghost_size": self.ghost_size, "running_var": self.running_var}
        return partial(linen.GhostBatchNorm, **ghosts, **self._statistics())

    def check_batch(self, batch_size: int, prefix: str) -> None:
        """Raise a ValueError unless the parts make up a batch."""
        rule = f"a divisor of the batch size, {batch_size:,}"
        check(batch_size % self.ghost_size == 0, f"{prefix}norm.ghost_size", rule, self.ghost_size)


@dataclass(frozen=True)
class BatchRenorm(BatchNorm):
    """Batch renormalisation.

    Attributes:
        r_max: bound of the correction of scale, at least 1.
        d_max: bound of the correction of location.
    """

    r_max: float = 3.0
    d_max: float = 5.0

    kind: ClassVar[str] = "renorm"

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, ">= 1 and finite", lambda x: 1 <= x < math.inf, "r_max")
        check_numbers(self, ">= 0 and finite", lambda x: 0 <= x < math.inf, "d_max")

    def make(self) -> Callable[..., Any]:
        """Return the factory of batch renorms."""
        from bnjax import linen

        return partial(linen.BatchRenorm, r_max=self.r_max, d_max=self.d_max, **self._statistics())


@dataclass(frozen=True)
class Dividing(Placed):
    """A layer that divides by a standard deviation.

    Attributes:
        epsilon: added to the variance.
    """

    epsilon: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "epsilon")


@dataclass(frozen=True)
class HuberNorm(Dividing):
    """The batch norm of Huber's replication: too small a variance, and running statistics on their own schedule."""

    epsilon: float = 1e-3

    kind: ClassVar[str] = "huber"

    def make(self) -> Callable[..., Any]:
        """Return the factory of Huber's batch norms."""
        from bnjax import models

        return partial(models.HuberBatchNorm, epsilon=self.epsilon)


@cache
def _constant(value: float) -> Callable[..., Any]:
    """Return the initialiser of a constant; it is cached, so that models with equal constants are equal."""
    from flax import linen as nn

    return nn.initializers.constant(value)


def _fields_of(noise: Noise) -> dict[str, Any]:
    """Return the fields of a layer that adds noise."""
    return {"noise": noise.name, "strength": noise.strength, "noise_in_evaluation": noise.in_tests}
