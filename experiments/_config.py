"""What experiments can be told; imports nothing heavy, so that the command line answers at once."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

Norm = Literal["none", "batch", "noisy_batch", "noise", "relative_noise", "l1", "l2", "linf", "huber"]
Probe = Literal["landscape", "random_direction", "successive_gradients", "shift", "dummy_shift", "drift", "percentiles"]


# Of each data set: training examples, and pixels in height and width.
_IMAGES = {"cifar10": (50_000, 32), "mnist": (60_000, 28), "digits": (1_500, 8), "synthetic": (2_000, 8)}


def check(holds: bool, name: str, rule: str, value: object) -> None:
    """Raise unless a field keeps its rule."""
    if not holds:
        raise ValueError(f"{name} must be {rule}, got {value}.")


def check_numbers(config: Any, rule: str, allowed: Any, *names: str) -> None:
    """Raise unless each of these fields is, or holds, one or more different numbers that are allowed."""
    for name in names:
        values = getattr(config, name)
        items = values if isinstance(values, tuple) else (values,)
        check(len(set(items)) == len(items) > 0 and all(map(allowed, items)), name, rule, values)


def check_images(config: Any) -> None:
    """Raise unless a data set has the examples of a batch, and its images fit: told before it is read."""
    num, size = _IMAGES[config.dataset]
    if not 1 <= config.batch_size <= num:
        raise ValueError(f"batch_size must lie between 1 and the {num} examples there are, got {config.batch_size}.")
    image_size = getattr(config, "image_size", size)
    if image_size < size:
        raise ValueError(f"image_size must be at least the images' own, {size} x {size}, got {image_size}.")


@dataclass(frozen=True)
class RunConfig:
    """How any network here is trained; what it is, and on which data, is said by its subclass.

    Attributes:
        optimizer: SGD or Adam.
        learning_rate: step size.
        momentum: of SGD.
        weight_decay: strength of the L2 penalty.
        batch_size: examples per step.
        num_steps: steps of each run.
        eval_every: steps between accuracies on the test examples; a multiple of probe_every.
        probe_every: steps between measurements.
        norm: what normalises: nothing; batch norm, plain or with noise on its output; noise without batch norm, absolute or in
            units of each unit's standard deviation; an lp norm of the batch; or the batch norm of Huber's replication, whose
            variance is too small and whose running statistics have a schedule of their own.
        norm_layers: weight layers that it follows, numbered from 1 at the input.
        norm_momentum: share of the running statistics that is kept at each step.
        norm_epsilon: added to the variance.
        norm_center_first: lp norms are taken after the mean is subtracted, so that l2 is batch norm.
        noise: kind of noise, where there is any. The source does not say whether 0.1, the spread of its factors, is a standard
            deviation (santurkar) or a variance (santurkar_variance).
        noise_strength: its factor.
        noise_in_tests: leave the noise on in evaluation: in tests, and in percentiles, which are taken on test images.
        recalibrated_tests: test a second time, with statistics of the first 10,000 training examples in place of running ones;
            training_curves shows both, and the run's log has them in any experiment.
        probes: what is measured along the way.
        step_multiples: step sizes of scans along minus the gradient, in units of the learning rate.
        probe_penalty: scan the loss with its L2 penalty.
        probe_norm: lengths of gradients and steps in scans: l2 over all parameters, or that of each array, added up.
        shift_layers: weight layers whose covariate shift is measured.
        shift_weights_only: of earlier layers the weights alone move; biases and normalisers stay.
        drift_layers: weight layers whose outputs are followed, normalised ones if they are normalised.
        drift_of: outputs before the activation or behind it.
        drift_units: units of each of these layers that are followed, drawn once.
        seeds: each gives one run.
        compute_dtype: type of activations and products; parameters, statistics, logits and losses are float32.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 128
    num_steps: int = 15_000
    eval_every: int = 1_000
    probe_every: int = 100
    norm: Norm = "batch"
    norm_layers: Literal["all"] | tuple[int, ...] = "all"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    norm_center_first: bool = False
    noise: Literal["santurkar", "santurkar_variance", "strong", "stationary"] = "santurkar"
    noise_strength: float = 1.0
    noise_in_tests: bool = False
    recalibrated_tests: bool = False
    probes: tuple[Probe, ...] = ()
    step_multiples: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    probe_penalty: bool = False
    probe_norm: Literal["global", "sum_of_layers"] = "global"
    shift_layers: tuple[int, ...] = (5, 10)
    shift_weights_only: bool = False
    drift_layers: tuple[int, ...] = (3, 8)
    drift_of: Literal["preactivations", "activations"] = "preactivations"
    drift_units: int = 8
    seeds: tuple[int, ...] = (0,)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"

    kind: ClassVar[str] = "run"

    def __post_init__(self):
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "learning_rate", "norm_epsilon")
        check_numbers(
            self, "at least 1", lambda x: x >= 1, "batch_size", "num_steps", "eval_every", "probe_every", "drift_units"
        )
        check_numbers(self, "in [0, 1)", lambda x: 0 <= x < 1, "norm_momentum", "momentum")
        check_numbers(self, ">= 0 and finite", lambda x: 0 <= x < math.inf, "weight_decay", "noise_strength")
        check(
            self.eval_every % self.probe_every == 0,
            "eval_every",
            f"a multiple of probe_every, {self.probe_every}",
            self.eval_every,
        )
        different = "one or more different numbers"
        check_numbers(self, f"{different} > 0 and finite", lambda x: 0 < x < math.inf, "step_multiples")
        check_numbers(self, f"{different} from 0 to 2147483647", lambda x: 0 <= x < 2**31, "seeds")
        check_numbers(self, f"{different} from 1", lambda x: x >= 1, "shift_layers", "drift_layers")
        check_numbers(self, f"'all' or {different} from 1", lambda x: x == "all" or x >= 1, "norm_layers")

    def identity(self) -> Self:
        """Return what determines a run's numbers, its seed apart: what is not used has its default."""
        is_linear = self.kind == "deep_linear"  # and has neither biases nor activations
        uses = {
            ("norm_layers", "norm_momentum", "norm_epsilon"): self.norm != "none",
            ("norm_center_first",): self.norm in ("l1", "l2", "linf"),
            ("noise", "noise_strength", "noise_in_tests"): "noise" in self.norm or "noisy" in self.norm,
            ("recalibrated_tests",): self.norm not in ("none", "noise", "relative_noise", "huber"),
            ("step_multiples", "probe_penalty", "probe_norm"): {"landscape", "random_direction"} & {*self.probes},
            ("shift_layers",): {"shift", "dummy_shift", "successive_gradients"} & {*self.probes},
            ("shift_weights_only",): "shift" in self.probes and not (is_linear and self.norm == "none"),
            ("drift_layers", "drift_units"): "drift" in self.probes,
            ("drift_of",): "drift" in self.probes and not is_linear,
            ("seeds",): False,
        }
        unused = [name for names, used in uses.items() if not used for name in names]
        defaults = {field.name: field.default for field in fields(self) if field.name in unused}
        return replace(self, probes=tuple(sorted(self.probes)), **defaults)


@dataclass(frozen=True)
class VGGRun(RunConfig):
    """A VGG on images.

    Attributes:
        dataset: cifar10 and mnist must be prepared in the data folder; digits and synthetic are always there.
        preprocessing: pixels to [0, 1] (unit), [-1, 1] (half), mean 0 and std 1 per channel (meanstd), or 0 and 1 (binary).
        image_size: images are enlarged to this height and width; VGG is made for 32.
        depth: 8 (A), 10 (13) or 13 (16) convolutions, and three dense layers.
        head: hidden width of the dense layers; mameli is 4096 behind a 7x7 map, with dropout.
        width: multiplies the features of every layer but the last.
        kernel_init: initialisation of the weights; biases start at 0.
    """

    dataset: Literal["cifar10", "mnist", "digits", "synthetic"] = "cifar10"
    preprocessing: Literal["unit", "half", "meanstd", "binary"] = "meanstd"
    image_size: int = 32
    depth: Literal["A", "13", "16"] = "A"
    head: Literal["512", "4096", "mameli"] = "512"
    width: float = 1.0
    kernel_init: Literal["xavier_uniform", "xavier_normal"] = "xavier_uniform"

    kind: ClassVar[str] = "vgg"

    def __post_init__(self):
        super().__post_init__()
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "width")
        check_numbers(self, "at least 1", lambda x: x >= 1, "image_size")
        check_images(self)


@dataclass(frozen=True)
class DeepLinearRun(RunConfig):
    """A product of square matrices that learns a random one, by gradient descent on all examples at once.

    The loss is half the squared error, summed over all examples: learning rates of SGD, losses and gradients are in its units;
    the L2 penalty is one of its mean.

    Attributes:
        depth: how many matrices.
        width: numbers of an input, of an output and of everything between.
        kernel_init: initialisation of the matrices.
    """

    learning_rate: float = 1e-6
    batch_size: int = 1000
    num_steps: int = 10_000
    eval_every: int = 10_000
    probe_every: int = 50
    step_multiples: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 30.0)
    shift_layers: tuple[int, ...] = (9, 17)
    drift_layers: tuple[int, ...] = (9, 17)

    depth: int = 25
    width: int = 10
    kernel_init: Literal["xavier_uniform", "xavier_normal"] = "xavier_uniform"

    kind: ClassVar[str] = "deep_linear"


@dataclass(frozen=True)
class MLPRun(RunConfig):
    """A multilayer perceptron on images, by default that of Ioffe & Szegedy 2015, Sec. 4.1.

    Attributes:
        dataset: mnist must be prepared in the data folder; digits and synthetic are always there.
        preprocessing: pixels to [0, 1] (unit), [-1, 1] (half), mean 0 and std 1 per channel (meanstd), or 0 and 1 (binary).
        hidden: features of each hidden layer, from the input on.
        activation: of the hidden layers, behind the normaliser.
        kernel_init: initialisation of the weights; biases start at 0.
        kernel_scale: multiplies the initial weights; with normal, it is their standard deviation.
    """

    learning_rate: float = 0.5
    batch_size: int = 60
    num_steps: int = 50_000
    eval_every: int = 200
    probe_every: int = 100
    norm_momentum: float = 0.99
    norm_epsilon: float = 1e-3
    shift_layers: tuple[int, ...] = (2, 3)
    drift_layers: tuple[int, ...] = (3,)

    dataset: Literal["mnist", "digits", "synthetic"] = "mnist"
    preprocessing: Literal["unit", "half", "meanstd", "binary"] = "binary"
    hidden: tuple[int, ...] = (100, 100, 100)
    activation: Literal["sigmoid", "relu", "tanh", "elu"] = "sigmoid"
    kernel_init: Literal["xavier_uniform", "xavier_normal", "he_normal", "normal"] = "normal"
    kernel_scale: float = 0.05

    kind: ClassVar[str] = "mlp"

    def __post_init__(self):
        super().__post_init__()
        check(bool(self.hidden) and min(self.hidden) >= 1, "hidden", "one or more numbers from 1", self.hidden)
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "kernel_scale")
        check_images(self)


@dataclass(frozen=True)
class Options:
    """What does not change a result.

    Attributes:
        results: folder in which every experiment, and every run, gets a folder of its own.
        figures: folder for a copy of the figure and its data.
        data_dir: folder of prepared data sets; default is TFDS_DATA_DIR, else ~/tensorflow_datasets.
        checkpoint_seconds: least time between two checkpoints of a run, in seconds; more where saving is so slow that it would
            take more than 2 % of the time. 0 is a checkpoint behind every measurement.
        parallel: how many runs train side by side, each in a thread; default is one per core.
        batching: how runs that differ in seed and learning rate alone share the machine: each in a thread, or together in one
            program, one after another (map) or at once (vmap), spread over all devices. auto is threads on a CPU, else vmap.
            sharded trains one run after another, each batch spread over all devices.
        distributed: this process is one of several, as Slurm, Open MPI, Kubernetes or a TPU pod slice starts them; the devices
            of all share each batch, and the first one writes.
    """

    results: str = "results"
    figures: str | None = None
    data_dir: str | None = None
    checkpoint_seconds: float = 20.0
    parallel: int | None = None
    batching: Literal["auto", "threads", "map", "vmap", "sharded"] = "auto"
    distributed: bool = False

    def __post_init__(self):
        check(
            not self.distributed or self.batching in ("auto", "sharded"),
            "batching",
            "sharded, or left out, where distributed is set",
            self.batching,
        )
        check(self.parallel is None or self.parallel >= 1, "parallel", "at least 1", self.parallel)
        check_numbers(self, ">= 0 and finite", lambda x: 0 <= x < math.inf, "checkpoint_seconds")
