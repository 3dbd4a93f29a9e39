"""Configurations of runs: a model, its data, a normaliser, an optimiser, a schedule and probes."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal, Self

from bnjax.models.shapes import DeepLinearShape, InceptionShape, LSTMShape, MLPShape, ResNetShape, VGGShape
from experiments._config.check import DIFFERENT, check, check_numbers
from experiments._config.norms import BatchNorm, Norm
from experiments._config.parts import Images, Optimizer, Schedule
from experiments._config.probes import (
    CHOICES,
    Drift,
    DriftAfterActivation,
    DriftBeforeNorm,
    Landscape,
    Probe,
    Probes,
    RandomDirection,
    Shift,
    SuccessiveGradients,
)


@dataclass(frozen=True)
class RunConfig:
    """A run; a subclass sets the model and its usual settings.

    Attributes:
        norm: the normaliser.
        optimizer: how steps are taken.
        schedule: how long it trains, and when it is measured and tested.
        probes: measurements during training.
        seeds: each gives one run.
    """

    norm: Norm = BatchNorm()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    probes: Probes = Probes()
    seeds: tuple[int, ...] = (0,)

    kind: ClassVar[str]
    is_linear: ClassVar[bool] = False
    # Settings of probes that differ from the defaults of the probe's class.
    usual: ClassVar[tuple[Probe, ...]]
    model: ClassVar[Any]

    def __post_init__(self):
        check_numbers(self, f"{DIFFERENT} from 0 to 2147483647", lambda x: 0 <= x < 2**31, "seeds")

    def check_layers(self, prefix: str = "") -> None:
        """Raise a ValueError unless the normalised and measured layers exist, and a batch can be normalised.

        NOTE: this is not checked at construction: a subject may change the model, and with it the layers.

        Args:
            prefix: of the names of fields.
        """
        last, layers = self.model.num_normalised, self.norm.layers
        check(
            layers == "all" or max(layers) <= last, f"{prefix}norm.layers", f"'all' or numbers from 1 to {last}", layers
        )
        self.norm.check_batch(self.optimizer.batch_size, prefix)
        self.norm.check_model(self.model, f"{prefix}norm.")
        for probe in self.probes:
            probe.check(self.model, f"{prefix}probes.{probe.kind}")

    def measuring(self, *kinds: str) -> Self:
        """Return this configuration with these probes; its own ones keep their settings, others get the usual ones."""
        known = {probe.kind: probe for probe in (*self.usual, *self.probes)}
        return replace(self, probes=Probes.of(*(known[kind] if kind in known else CHOICES[kind]() for kind in kinds)))

    def run(self) -> Any:
        """Return the run alone: a configuration without the fields that a subject has added."""
        kind = self._kind()
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind)})

    def net(self) -> Any:
        """Return the training alone: the run with the usual schedule and seed, and without probes."""
        kind = self._kind()
        return kind(**{name: getattr(self, name) for name in _trained(kind)})

    def identity(self, **facts: Any) -> Any:
        """Return a dataclass of everything that determines a run's numbers, except its seed.

        The length of training is not included, since no learning rate depends on it; nor are the measurements and their
        frequency.

        Args:
            facts: values that are not in a configuration, see `Facts`.
        """
        kind = self._kind()
        return _identity_of(kind)(**{name: getattr(self, name) for name in _trained(kind)} | facts)

    @classmethod
    def _kind(cls) -> Any:
        """Return the class of the run alone."""
        return next(base for base in cls.__mro__ if "kind" in vars(base))


@dataclass(frozen=True)
class Facts:
    """Facts that determine a run's numbers besides its configuration and its seed.

    Attributes:
        data_digest: the first digits of the SHA-256 of the data; for drawn data, of the data of seed 0.
        drawing: a version number of how weights, batches and noise are drawn, and the generator.
        x64: JAX computes in 64 bits by default.
    """

    data_digest: str = ""
    drawing: str = ""
    x64: bool = False


def _trained(kind: type[RunConfig]) -> tuple[str, ...]:
    """List the fields of a run that determine its numbers."""
    return tuple(field.name for field in fields(kind) if field.name not in ("schedule", "probes", "seeds"))


@cache
def _identity_of(kind: type[RunConfig]) -> type:
    """Make the class of the identities of such runs."""
    parts = [field for field in fields(kind) if field.name in _trained(kind)] + [*fields(Facts)]
    named = [(field.name, field.type, field.default) for field in parts]
    return make_dataclass("Identity", named, frozen=True, namespace={"kind": kind.kind})


@dataclass(frozen=True)
class _ImageRun(RunConfig):
    """A run on images."""

    data: ClassVar[Any]

    def __post_init__(self):
        super().__post_init__()
        check_batch(self.data, self.optimizer.batch_size, "optimizer.batch_size")


@dataclass(frozen=True)
class VGGRun(_ImageRun):
    """A VGG on images.

    Attributes:
        model: the VGG.
        data: the images; VGG is made for 32 x 32.
    """

    model: VGGShape = VGGShape()  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Images = Images(image_size=32)  # pyright: ignore[reportIncompatibleVariableOverride]

    kind: ClassVar[str] = "vgg"
    usual: ClassVar[tuple[Probe, ...]] = (
        SuccessiveGradients(layers=(5, 10)),
        Shift(layers=(5, 10)),
        Drift(layers=(3, 8)),
        DriftBeforeNorm(layers=(3, 8)),
        DriftAfterActivation(layers=(3, 8)),
    )

    def check_layers(self, prefix: str = "") -> None:
        """Raise a ValueError unless the layers exist, and a reduced head trains and is measured like the whole one."""
        super().check_layers(prefix)
        if not self.model.copies:
            return
        optimizer, scans = self.optimizer, [probe for probe in self.probes if isinstance(probe, Landscape)]
        rule = f"sgd with model.head {self.model.head}, which other optimisers train in another way than the whole head"
        check(optimizer.name == "sgd", f"{prefix}optimizer.name", rule, optimizer.name)
        for probe in scans:
            rule = f"global with model.head {self.model.head}, whose kernel is two arrays"
            check(probe.norm == "global", f"{prefix}probes.{probe.kind}.norm", rule, probe.norm)
            rule = f"False with model.head {self.model.head}, of whose kernel a random direction has but the length"
            has_penalty = isinstance(probe, RandomDirection) and probe.penalty
            check(not has_penalty, f"{prefix}probes.{probe.kind}.penalty", rule, probe.penalty)


@dataclass(frozen=True)
class ResNetRun(_ImageRun):
    """A pre-activation residual network on images.

    Attributes:
        model: the network.
        data: the images.
    """

    model: ResNetShape = ResNetShape()  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Images = Images()  # pyright: ignore[reportIncompatibleVariableOverride]

    kind: ClassVar[str] = "resnet"
    usual: ClassVar[tuple[Probe, ...]] = (
        SuccessiveGradients(layers=(3, 6)),
        Shift(layers=(3, 6)),
        Drift(layers=(3, 6)),
        DriftBeforeNorm(layers=(3, 6)),
        DriftAfterActivation(layers=(3, 6)),
    )


@dataclass(frozen=True)
class InceptionRun(_ImageRun):
    """BN-Inception on images.

    Attributes:
        model: the network.
        data: the images, of any size.
    """

    model: InceptionShape = InceptionShape()  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Images = Images()  # pyright: ignore[reportIncompatibleVariableOverride]

    kind: ClassVar[str] = "bn_inception"
    # The last convolution of the third branch of 3c and of 4e, after which the map is smaller.
    usual: ClassVar[tuple[Probe, ...]] = (
        SuccessiveGradients(layers=(20, 53)),
        Shift(layers=(20, 53)),
        Drift(layers=(20, 53)),
        DriftBeforeNorm(layers=(20, 53)),
        DriftAfterActivation(layers=(20, 53)),
    )


@dataclass(frozen=True)
class DeepLinearRun(RunConfig):
    """A product of square matrices that learns a random one, by gradient descent on all examples at once.

    The loss is half the squared error, summed over all examples: learning rates of SGD, losses and gradients are in its units;
    the L2 penalty is one of its mean. Without the half in the loss, steps are twice as long, as with twice the learning
    rate; with these, and `model.kernel_scale` 1.05, the published plain curves lie among the draws, and those with batch norm
    do not: `both_readings` of landscape and covariate_shift trains such nets too.

    Attributes:
        model: the matrices.
        inputs: training inputs: the samples themselves, as many as a batch has, or "moments": one point
            more than there are units, with the samples' mean and covariance (`bnjax.data.match_moments`). Without a normaliser,
            with batch norm and with the l2 norm both give the same losses and gradients, except for rounding.
    """

    optimizer: Optimizer = Optimizer(learning_rate=1e-6, batch_size=1000)
    schedule: Schedule = Schedule(num_steps=10_000, eval_every=10_000, probe_every=50)
    model: DeepLinearShape = DeepLinearShape()  # pyright: ignore[reportIncompatibleVariableOverride]
    inputs: Literal["samples", "moments"] = "samples"

    kind: ClassVar[str] = "deep_linear"
    is_linear: ClassVar[bool] = True
    usual: ClassVar[tuple[Probe, ...]] = (
        Landscape(step_multiples=(0.01, 0.1, 1.0, 10.0, 30.0)),
        RandomDirection(step_multiples=(0.01, 0.1, 1.0, 10.0, 30.0)),
        SuccessiveGradients(layers=(9, 17)),
        Shift(layers=(9, 17)),
        Drift(layers=(9, 17)),
        DriftBeforeNorm(layers=(9, 17)),
        DriftAfterActivation(layers=(9, 17)),
    )

    def check_layers(self, prefix: str = "") -> None:
        """Raise a ValueError unless the layers exist, and the normaliser and the probes can use these inputs."""
        super().check_layers(prefix)
        rule = "samples where the normaliser takes more than second moments"
        check(self.inputs == "samples" or not self.norm.needs_samples, f"{prefix}inputs", rule, self.inputs)
        for probe in self.probes:
            is_possible = self.inputs == "samples" or not probe.needs_samples
            check(is_possible, f"{prefix}inputs", f"samples, which {probe.kind} looks at", self.inputs)


@dataclass(frozen=True)
class MLPRun(_ImageRun):
    """A multilayer perceptron on images, by default the network of Ioffe & Szegedy 2015, Sec. 4.1.

    Attributes:
        model: the perceptron.
        data: the images.
    """

    norm: Norm = BatchNorm(momentum=0.99, epsilon=1e-3)
    optimizer: Optimizer = Optimizer(learning_rate=0.5, batch_size=60)
    schedule: Schedule = Schedule(num_steps=50_000, eval_every=200, probe_every=100)
    model: MLPShape = MLPShape(kernel_init="normal", kernel_scale=0.05)  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Images = Images("mnist", "binary")  # pyright: ignore[reportIncompatibleVariableOverride]

    kind: ClassVar[str] = "mlp"
    usual: ClassVar[tuple[Probe, ...]] = (
        SuccessiveGradients(layers=(2, 3)),
        Shift(layers=(2, 3)),
        Drift(layers=(3,)),
        DriftBeforeNorm(layers=(3,)),
        DriftAfterActivation(layers=(3,)),
    )


@dataclass(frozen=True)
class LSTMRun(_ImageRun):
    """An LSTM on the rows of images, one after another, trained as in Cooijmans et al. 2016, Sec. 5.1 and repository.

    Attributes:
        model: the LSTM.
        data: the images.
    """

    optimizer: Optimizer = Optimizer("rmsprop", 1e-3, clip=1.0)
    schedule: Schedule = Schedule(num_steps=46_900, eval_every=469, probe_every=469)
    model: LSTMShape = LSTMShape()  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Images = Images("mnist", "unit")  # pyright: ignore[reportIncompatibleVariableOverride]

    kind: ClassVar[str] = "lstm"
    usual: ClassVar[tuple[Probe, ...]] = (SuccessiveGradients(layers=(1, 2)), Shift(layers=(2,)))

    def check_layers(self, prefix: str = "") -> None:
        norm, model, rows = self.norm, self.model, self.data.num_rows
        check(norm.kind in _OVER_TIME, f"{prefix}norm", f"one of {', '.join(_OVER_TIME)} for an LSTM", norm.kind)
        scale = getattr(norm, "initial_scale", 1.0)
        check(scale == 1, f"{prefix}norm.initial_scale", "1 for an LSTM, which has model.norm_scale", scale)
        for kind in self.probes.kinds:
            rule = "without kinds that read inside the loop of an LSTM over time"
            check(kind not in _INSIDE, f"{prefix}probes", rule, kind)
        super().check_layers(prefix)
        rule = f"at least {rows}, the rows of an image, each of which has statistics"
        check(model.recorded_steps >= rows, f"{prefix}model.recorded_steps", rule, model.recorded_steps)


# Normalisers that an LSTM supports, and probes that it does not.
_OVER_TIME = ("none", "batch", "lp", "layer")
_INSIDE = ("drift", "drift_before_norm", "drift_after_activation", "percentiles", "moment_control")


def runs_of(config: Any, prefix: str = "") -> Iterator[tuple[str, RunConfig]]:
    """List the runs that a configuration is or holds, at any depth, each after the prefix of its fields' names."""
    if isinstance(config, RunConfig):
        yield prefix, config
    elif is_dataclass(config):
        for field in fields(config):
            yield from runs_of(getattr(config, field.name), f"{prefix}{field.name}.")


def check_batch(images: Images, batch_size: int, name: str) -> None:
    """Raise a ValueError, before a data set is read, unless it has enough examples for a batch."""
    rule = f"between 1 and {images.num_examples:,}, the examples there are"
    check(1 <= batch_size <= images.num_examples, name, rule, batch_size)
    if images.per_label:
        num_rich = sum(count >= images.per_label for count in images.class_counts)
        most = images.per_label * num_rich
        rule = f"a multiple of data.per_label, {images.per_label}, and at most {most}, which has as many images of each class"
        check(batch_size % images.per_label == 0 and batch_size <= most, name, rule, batch_size)
