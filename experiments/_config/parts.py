"""Parts of a run besides its model, normaliser and probes: data, noise, optimiser and schedule."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from experiments._config.check import DIFFERENT, check, check_numbers

NUM_CLASSES = 10  # of every data set
# Of each data set: training examples of each class.
_COUNTS = {
    "cifar10": (5_000,) * NUM_CLASSES,
    "mnist": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "digits": (151, 151, 150, 153, 148, 152, 151, 149, 146, 149),
    "synthetic": (226, 204, 195, 198, 208, 215, 190, 178, 201, 185),
}
_PIXELS = {"cifar10": 32, "mnist": 28, "digits": 8, "synthetic": 8}  # in height and width


Preprocessing = Literal["unit", "half", "meanstd", "binary"]


@dataclass(frozen=True)
class Images:
    """Images of ten classes.

    Attributes:
        dataset: cifar10 and mnist must be prepared in the data folder; digits and synthetic are always there.
        preprocessing: pixels to [0, 1] (unit), [-1, 1] (half), mean 0 and std 1 per channel (meanstd), or 0 and 1 (binary).
        image_size: height and width to which images are enlarged; None leaves them as they are.
        subset: number of training images, the first ones in a fixed random order; None keeps all. All test images are kept.
        classes: classes of the training and test images; None keeps all. Pixels are standardised as for all classes.
        per_label: number of images of each class in a batch, whose classes are drawn for it; None draws from all images.
    """

    dataset: Literal["cifar10", "mnist", "digits", "synthetic"] = "cifar10"
    preprocessing: Preprocessing = "meanstd"
    image_size: int | None = None
    subset: int | None = None
    classes: tuple[int, ...] | None = None
    per_label: int | None = None

    def __post_init__(self):
        for name, known in (("dataset", (*_COUNTS,)), ("preprocessing", get_args(Preprocessing))):
            check(getattr(self, name) in known, name, f"one of {', '.join(known)}", repr(getattr(self, name)))
        for name in ("image_size", "subset", "per_label"):
            value = getattr(self, name)
            check(value is None or _is_whole(value), name, "a whole number, or None", repr(value))
        own = _PIXELS[self.dataset]
        rule = f"at least the images' own, {own} x {own}"
        if self.image_size is not None:
            check_numbers(self, rule, lambda x: x >= own, "image_size")
        if self.classes is not None:
            check(isinstance(self.classes, tuple), "classes", "a tuple of whole numbers, or None", repr(self.classes))
            rule = f"{DIFFERENT} from 0 to {NUM_CLASSES - 1}"
            check_numbers(self, rule, lambda x: _is_whole(x) and 0 <= x < NUM_CLASSES, "classes")
        if self.subset is not None:
            rule = f"between 1 and {self._available:,}, the examples there are"
            check_numbers(self, rule, lambda x: 1 <= x <= self._available, "subset")
        if self.per_label is not None:
            most = min(max(self.class_counts), self.num_examples)
            rule = f"between 1 and {most:,}, the images that there are of a class"
            check_numbers(self, rule, lambda x: 1 <= x <= most, "per_label")

    @property
    def all_classes(self) -> tuple[int, ...]:
        """Classes of the data set."""
        return tuple(range(NUM_CLASSES))

    @property
    def num_classes(self) -> int:
        """Number of classes in use."""
        return len(self.classes or self.all_classes)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Number of training examples of each class in use, before a subset is taken."""
        return tuple(_COUNTS[self.dataset][label] for label in self.classes or self.all_classes)

    @property
    def num_examples(self) -> int:
        """Number of training examples."""
        return self.subset or self._available

    @property
    def num_rows(self) -> int:
        """Number of rows of pixels of an image."""
        return self.image_size or _PIXELS[self.dataset]

    @property
    def _available(self) -> int:
        """Number of training examples of these classes."""
        return sum(self.class_counts)


def _is_whole(value: object) -> bool:
    """Return whether a value is a whole number of Python."""
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Noise:
    """Noise on activations, with a mean and a scale of its own for each unit and step.

    Attributes:
        name: kind of noise. The source does not say whether 0.1, the spread of its factors, is a standard deviation (santurkar)
            or a variance (santurkar_variance).
        strength: factor of the noise.
        in_tests: leave the noise on in evaluation: in tests, and in percentiles, which are taken on test images.
    """

    name: Literal["santurkar", "santurkar_variance", "strong", "stationary"] = "santurkar"
    strength: float = 1.0
    in_tests: bool = False

    def __post_init__(self):
        check_numbers(self, ">= 0 and finite", lambda x: 0 <= x < math.inf, "strength")


Trained = Literal["", "norms", "all_but_norms", "all_but_scales", "all_but_biases"]
# The regular expression that finds the paths of trained parameters, such as norm_3/scale.
TRAINED: dict[Trained, str | None] = {
    "": None,
    "norms": r"^norm_\d+/",
    "all_but_norms": r"^(?!norm_\d+/)",
    "all_but_scales": r"^(?!norm_\d+/scale$)",
    "all_but_biases": r"^(?!norm_\d+/bias$)",
}


@dataclass(frozen=True)
class Optimizer:
    """How steps are taken.

    Attributes:
        name: SGD, Adam or RMSProp.
        learning_rate: step size.
        momentum: of SGD and RMSProp.
        weight_decay: strength of the L2 penalty.
        batch_size: examples per step.
        compute_dtype: type of activations and products; parameters, statistics, logits and losses are float32.
        precision: of float32 products in training and tests: by default, a GPU rounds their operands to 10 bits, a TPU to 7; on
            a CPU all are the same. Probes always use the highest.
        clip: largest l2 norm of the loss's gradient, to which longer gradients are rescaled; 0 disables clipping.
        half_life: steps in which the learning rate, which decays exponentially, halves; 0 keeps it constant. Probes scan in
            units of the initial learning rate.
        trained: which parameters are trained; the others keep their initial values. Scales and biases are the normalisers'. An
            empty string stands for all parameters.
    """

    name: Literal["sgd", "adam", "rmsprop"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 128
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    precision: Literal["default", "high", "highest"] = "default"
    clip: float = 0.0
    half_life: float = 0.0
    trained: Trained = ""

    def __post_init__(self):
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "learning_rate")
        check_numbers(self, "in [0, 1)", lambda x: 0 <= x < 1, "momentum")
        check(self.name != "adam" or self.momentum == 0, "momentum", "0 for adam, which has its own", self.momentum)
        check_numbers(self, ">= 0 and finite", lambda x: 0 <= x < math.inf, "weight_decay", "clip", "half_life")
        check_numbers(self, "at least 1", lambda x: x >= 1, "batch_size")


@dataclass(frozen=True)
class Schedule:
    """How long a run is, and when it is measured and tested.

    Attributes:
        num_steps: steps of each run.
        eval_every: steps between accuracies on the test examples; a multiple of probe_every.
        probe_every: steps between measurements.
        recalibrated_tests: test a second time, with statistics of the first 10,000 training examples instead of running ones;
            training_curves shows both, and the run's log has them in any experiment.
    """

    num_steps: int = 15_000
    eval_every: int = 1_000
    probe_every: int = 100
    recalibrated_tests: bool = False

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "num_steps", "eval_every", "probe_every")
        rule = f"a multiple of probe_every, {self.probe_every}"
        check(self.eval_every % self.probe_every == 0, "eval_every", rule, self.eval_every)
