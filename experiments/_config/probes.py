"""The settings of the probes, one class each; `experiments._training.probes` has the probe of each kind."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, make_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from bnjax.models.shapes import DeepLinearShape, LSTMShape
from experiments._config.check import DIFFERENT, check, check_numbers
from experiments._config.dependence import LayerDependence, MomentControl
from experiments._config.eigenvalues import Eigenvalues
from experiments._config.flatness import Flatness
from experiments._config.horizon import Horizon, Plane
from experiments._config.probe import Probe


@dataclass(frozen=True)
class Landscape(Probe):
    """Loss and gradients along minus the gradient.

    Attributes:
        step_multiples: step sizes, in units of the learning rate.
        penalty: scan the loss with its L2 penalty.
        norm: lengths of gradients and steps: l2 over all parameters, or the sum of the lengths of all arrays.
    """

    step_multiples: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    penalty: bool = False
    norm: Literal["global", "sum_of_layers"] = "global"

    kind: ClassVar[str] = "landscape"

    def __post_init__(self):
        check_numbers(self, f"{DIFFERENT} > 0 and finite", lambda x: 0 < x < math.inf, "step_multiples")


@dataclass(frozen=True)
class RandomDirection(Landscape):
    """Loss and gradients along a random direction as long as the gradient."""

    kind: ClassVar[str] = "random_direction"


@dataclass(frozen=True)
class _OfLayers(Probe):
    """Measurements of some of the weight layers.

    Attributes:
        layers: weight layers that are measured, numbered from 1 at the input.
    """

    layers: tuple[int, ...] = (1,)

    def __post_init__(self):
        check_numbers(self, f"{DIFFERENT} from 1", lambda x: x >= 1, "layers")

    def check(self, model: Any, name: str) -> None:
        rule = f"between 1 and {model.num_layers}, the weight layers there are"
        check(max(self.layers) <= model.num_layers, f"{name}.layers", rule, self.layers)


@dataclass(frozen=True)
class SuccessiveGradients(_OfLayers):
    """The change of the gradient from one step to the next, for the weights of some layers and for all parameters."""

    kind: ClassVar[str] = "successive_gradients"


@dataclass(frozen=True)
class Shift(_OfLayers):
    """The internal covariate shift of some layers.

    Attributes:
        weights_only: move only the weights of earlier layers; biases and normalisers stay.
    """

    weights_only: bool = False

    kind: ClassVar[str] = "shift"

    def used(self, run: Any) -> Self:
        """Drop `weights_only` for a deep linear network without a normaliser, which has only weights."""
        return replace(self, weights_only=False) if run.is_linear and run.norm.kind == "none" else self


@dataclass(frozen=True)
class DummyShift(Probe):
    """The covariate shift of one convolution, as Mameli's repository measures it.

    Attributes:
        layer: the convolution, numbered from 1 at the input.
    """

    layer: int = 5

    kind: ClassVar[str] = "dummy_shift"

    def check(self, model: Any, name: str) -> None:
        num = getattr(model, "num_convolutions", 0)
        check(1 <= self.layer <= num, f"{name}.layer", f"one of the {num} convolutions there are", self.layer)


@dataclass(frozen=True)
class Drift(_OfLayers):
    """The distributions of some layers' outputs, normalised ones if they are normalised.

    Attributes:
        of: outputs before their normaliser, before the activation or after it.
        units: number of units that are followed in each of these layers, drawn once.
    """

    of: Literal["unnormalised", "preactivations", "activations"] = "preactivations"
    units: int = 8

    kind: ClassVar[str] = "drift"
    needs_samples: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "at least 1", lambda x: x >= 1, "units")

    def used(self, run: Any) -> Self:
        """Replace activations by pre-activations for a deep linear network, which has no activations."""
        return replace(self, of="preactivations") if run.is_linear and self.of == "activations" else self


@dataclass(frozen=True)
class DriftBeforeNorm(Drift):
    """Drift of the pre-activations before the normaliser; without one, of the outputs."""

    of: Literal["unnormalised", "preactivations", "activations"] = "unnormalised"

    kind: ClassVar[str] = "drift_before_norm"


@dataclass(frozen=True)
class DriftAfterActivation(Drift):
    """Drift of the outputs of the activations."""

    of: Literal["unnormalised", "preactivations", "activations"] = "activations"

    kind: ClassVar[str] = "drift_after_activation"


@dataclass(frozen=True)
class BatchSharpness(Probe):
    """The curvature of mini-batches' losses along their own gradients.

    Attributes:
        batches: number of batches measured at each of the steps: the next one and its successors. An average over a few
            measurements is also one over batches.
    """

    batches: int = 1

    kind: ClassVar[str] = "batch_sharpness"

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "batches")

    def used(self, run: Any) -> Self:
        """Set `batches` to 1 for a deep linear network, which has one batch of all examples."""
        return replace(self, batches=1) if run.is_linear else self


@dataclass(frozen=True)
class _OfImages(Probe):
    """Measurements on labelled images.

    Attributes:
        num_examples: number of the first training images, and of the first test images, cut to whole batches.
    """

    num_examples: int = 1000

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "num_examples")

    def check(self, model: Any, name: str) -> None:
        """Raise a ValueError for a deep linear network, which has no images."""
        check(not isinstance(model, DeepLinearShape), name, "left out where there are no images", self.kind)


# The names of `bnjax.data.CORRUPTIONS`.
Corruption = Literal["contrast", "noise_0.1", "noise_0.2", "brightness", "grey", "blur"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)


@dataclass(frozen=True)
class Evaluation(_OfImages):
    """Accuracy, loss and activations in evaluation, by normalisation statistics and by the shift of the images.

    Attributes:
        num_examples: number of the first training images, of the first test images and of the first held-out ones, and of
            the test images that are corrupted, which are a random subset, drawn once; each cut to whole batches. Training on
            batches sorted by label draws batches of these sizes instead, except for held-out images.
        shifts: corruptions of the test images.
    """

    shifts: tuple[Corruption, ...] = CORRUPTIONS

    kind: ClassVar[str] = "evaluation"

    def __post_init__(self):
        super().__post_init__()
        is_known = len({*self.shifts}) == len(self.shifts) and {*self.shifts} <= {*CORRUPTIONS}
        check(is_known, "shifts", f"different ones of {', '.join(CORRUPTIONS)}, or none", self.shifts)


@dataclass(frozen=True)
class Generalisation(_OfImages):
    """Loss and accuracy on training and test images, in training mode without dropout, and by population statistics."""

    num_examples: int = 1280

    kind: ClassVar[str] = "generalisation"


@dataclass(frozen=True)
class Percentiles(Probe):
    """Percentiles of the last hidden layer, on the same test images throughout."""

    kind: ClassVar[str] = "percentiles"
    needs_samples: ClassVar[bool] = True


@dataclass(frozen=True)
class HiddenGradients(Probe):
    """The gradient of the loss by the hidden state of an LSTM after each time step."""

    kind: ClassVar[str] = "hidden_gradients"

    def check(self, model: Any, name: str) -> None:
        check(isinstance(model, LSTMShape), name, "left out, except for an LSTM", "it")


@dataclass(frozen=True)
class ZeroUnits(Probe):
    """The units of each hidden layer that are zero on all of the first test images, and the share of zero outputs.

    Measured at each test.

    Attributes:
        images: number of the first test images, which are evaluated with running statistics.
    """

    images: int = 10_000

    kind: ClassVar[str] = "zero_units"
    at_tests: ClassVar[bool] = True

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "images")

    def check(self, model: Any, name: str) -> None:
        check(hasattr(model, "activation"), name, "left out of nets without activations of their own", self.kind)


@dataclass(frozen=True)
class Scales(Probe):
    """The scales of the normalisers, and their ratios to the standard deviations of the normalisers' inputs.

    Attributes:
        threshold: the share of scales with a smaller absolute value is measured.
    """

    threshold: float = 0.01

    kind: ClassVar[str] = "scales"

    def __post_init__(self):
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "threshold")

    def check(self, model: Any, name: str) -> None:
        """Raise a ValueError for an LSTM, which has several normalisers in a layer, inside a loop."""
        check(not isinstance(model, LSTMShape), name, "left out of an LSTM", self.kind)


CHOICES: dict[str, type[Probe]] = {
    choice.kind: choice
    for choice in (
        Landscape,
        RandomDirection,
        SuccessiveGradients,
        BatchSharpness,
        Shift,
        DummyShift,
        Drift,
        DriftBeforeNorm,
        DriftAfterActivation,
        Evaluation,
        Generalisation,
        Percentiles,
        HiddenGradients,
        Scales,
        ZeroUnits,
        LayerDependence,
        MomentControl,
        Horizon,
        Plane,
        Eigenvalues,
        Flatness,
    )
}


@dataclass(frozen=True)
class Probes:
    """The probes of a run: a field for each, called by its kind, in alphabetical order."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @staticmethod
    def of(*settings: Probe) -> "Probes":
        """Return the probes with these settings."""
        ordered = sorted(settings, key=lambda probe: probe.kind)
        return _class_of(*map(type, ordered))(*ordered)

    def __iter__(self) -> Iterator[Probe]:
        return (getattr(self, field.name) for field in fields(self))

    def __contains__(self, kind: str) -> bool:
        return kind in self.kinds

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the probes."""
        return tuple(field.name for field in fields(self))


@cache
def _class_of(*kinds: type[Probe]) -> type[Probes]:
    """Make the class that holds probes of these kinds; it is cached."""
    return make_dataclass("Probes", [(kind.kind, kind) for kind in kinds], bases=(Probes,), frozen=True)
