"""What experiments can be told; imports nothing heavy, so that the command line answers at once."""

import math
from dataclasses import dataclass
from typing import Literal


def _check(holds: bool, name: str, rule: str, value: object) -> None:
    """Raise unless a field keeps its rule."""
    if not holds:
        raise ValueError(f"{name} must be {rule}, got {value}.")


@dataclass(frozen=True)
class TrainingConfig:
    """A VGG, trained with and without batch norm, with the landscape probed along the way.

    Attributes:
        dataset: cifar10 and mnist must be prepared in the data folder; digits and synthetic are always there.
        preprocessing: pixels to [0, 1] (unit), to [-1, 1] (half), or to mean 0 and std 1 per channel (meanstd).
        image_size: images are enlarged to this height and width; VGG is made for 32.
        depth: 8 (A), 10 (13) or 13 (16) convolutions, and three dense layers.
        head: hidden width of the dense layers; mameli is 4096 behind a 7x7 map, with dropout.
        width: multiplies the features of every layer but the last.
        kernel_init: initialisation of the weights; biases start at 0.
        norm_layers: weight layers that batch norm follows in the normalised net, numbered from 1 at the input.
        norm_momentum: share of the running statistics that is kept at each step.
        norm_epsilon: added to the variance.
        optimizer: of both nets.
        learning_rate: of both nets.
        momentum: of SGD.
        weight_decay: strength of the L2 penalty.
        batch_size: examples per step.
        num_steps: steps of each run.
        eval_every: steps between accuracies on the test images; a multiple of probe_every.
        probe_every: steps between scans of the landscape.
        step_multiples: step sizes of a scan along minus the gradient, in units of the learning rate.
        probe_penalty: scan the loss with its L2 penalty.
        seeds: each gives one run of each net.
    """

    dataset: Literal["cifar10", "mnist", "digits", "synthetic"] = "cifar10"
    preprocessing: Literal["unit", "half", "meanstd"] = "meanstd"
    image_size: int = 32
    depth: Literal["A", "13", "16"] = "A"
    head: Literal["512", "4096", "mameli"] = "512"
    width: float = 1.0
    kernel_init: Literal["xavier_uniform", "xavier_normal"] = "xavier_uniform"
    norm_layers: Literal["all"] | tuple[int, ...] = "all"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 128
    num_steps: int = 15_000
    eval_every: int = 1_000
    probe_every: int = 100
    step_multiples: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    probe_penalty: bool = False
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self):
        for name in ("width", "norm_epsilon", "learning_rate"):
            _check(0 < getattr(self, name) < math.inf, name, "> 0 and finite", getattr(self, name))
        for name in ("image_size", "batch_size", "num_steps", "eval_every", "probe_every"):
            _check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("norm_momentum", "momentum"):
            _check(0 <= getattr(self, name) < 1, name, "in [0, 1)", getattr(self, name))
        _check(0 <= self.weight_decay < math.inf, "weight_decay", ">= 0 and finite", self.weight_decay)
        _check(
            self.eval_every % self.probe_every == 0,
            "eval_every",
            f"a multiple of probe_every, {self.probe_every}",
            self.eval_every,
        )
        for name, rule, allowed in (
            ("step_multiples", "one or more different numbers > 0 and finite", lambda x: 0 < x < math.inf),
            ("seeds", "one or more different numbers from 0 to 2147483647", lambda x: 0 <= x < 2**31),
            ("norm_layers", "'all' or one or more different numbers from 1", lambda x: x == "all" or x >= 1),
        ):
            values = getattr(self, name)
            items = (values,) if isinstance(values, str) else values
            _check(len(set(items)) == len(items) > 0 and all(map(allowed, items)), name, rule, values)


# Seconds: for tests, and to see that everything works.
SMOKE = TrainingConfig(
    dataset="digits",
    image_size=8,
    width=1 / 16,
    batch_size=16,
    num_steps=40,
    eval_every=20,
    probe_every=10,
    step_multiples=(0.5, 2.0),
)


@dataclass(frozen=True)
class Options:
    """What does not change a result.

    Attributes:
        results: folder in which every run gets a folder of its own.
        figures: folder for a copy of the figure and its data.
        data_dir: folder of prepared data sets; default is TFDS_DATA_DIR, else ~/tensorflow_datasets.
        checkpoint_seconds: least time between two checkpoints of a run, in seconds.
    """

    results: str = "results"
    figures: str | None = None
    data_dir: str | None = None
    checkpoint_seconds: float = 20.0

    def __post_init__(self):
        _check(
            0 <= self.checkpoint_seconds < math.inf, "checkpoint_seconds", ">= 0 and finite", self.checkpoint_seconds
        )
