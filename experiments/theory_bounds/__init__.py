"""The theorems of Santurkar et al. 2018 and the invariance of Ioffe & Szegedy 2015, on networks while they are trained.

Claim: each theorem holds in a real network, to rounding where it is an equality, and in its corrected form where the printed
one has slips; the conditions under which batch norm smooths are met by a share of units and steps, which is measured.
Source: Santurkar et al. 2018, Theorems 4.1, 4.2, 4.4 and C.1, Observation 4.3, Lemma 4.5; Ioffe & Szegedy 2015, Sec. 3.3.
Command: TFDS_DATA_DIR=... python -m experiments theory_bounds --preset cpu
Measured: on two CPU cores in a minute, an MLP of three hidden layers of 100 ReLU units, MNIST, three seeds, 3,000 steps:
equalities hold to 2e-11 at worst. Batch norm inserted into the trained plain net shortens the gradient by a unit's
pre-activations by 1 % in the median; the condition for smoothing holds at 48 % of units and steps (46 % in the net trained with
batch norm), Theorem 4.4 as printed at 30 % (37 %), the second line of Theorem 4.2 at 92 % (44 %). In the net trained with batch
norm, gradient and curvature shrink at the first layer only. Preset paper has not been run.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from experiments._config import check, check_images, check_numbers


@dataclass(frozen=True)
class Config:
    """A multilayer perceptron, trained without batch norm, which is then inserted, and trained with it.

    Attributes:
        dataset: mnist must be prepared in the data folder; digits and synthetic are always there.
        preprocessing: pixels to [0, 1] (unit), to [-1, 1] (half), or to mean 0 and std 1 per channel (meanstd).
        hidden: features of each hidden layer, from the input on.
        activation: of the hidden layers, after batch norm.
        kernel_init: initialisation of the weights; biases start at 0.
        norm_momentum: share of the running statistics that is kept at each step, of the net trained with batch norm.
        norm_epsilon: added to the variance while it is trained; the theorems are checked with 0.
        learning_rate: of SGD, for both nets.
        batch_size: examples per step, and per check: the checks take the batch of the step about to be taken.
        check_steps: steps at which everything is checked, ascending from 0; the last one ends the training.
        epsilons: with each of these Theorem 4.1 is checked once more, as the inequality that it then is.
        seeds: each gives one run of each net.
    """

    dataset: Literal["mnist", "digits", "synthetic"] = "mnist"
    preprocessing: Literal["unit", "half", "meanstd"] = "meanstd"
    hidden: tuple[int, ...] = (100, 100, 100)
    activation: Literal["relu", "tanh", "sigmoid", "elu"] = "relu"
    kernel_init: Literal["he_normal", "xavier_uniform", "xavier_normal"] = "he_normal"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    learning_rate: float = 0.1
    batch_size: int = 128
    check_steps: tuple[int, ...] = (0, 10, 100, 300, 1000, 3000)
    epsilons: tuple[float, ...] = (1e-3, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self):
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < math.inf, "norm_epsilon", "learning_rate")
        check(0 <= self.norm_momentum < 1, "norm_momentum", "in [0, 1)", self.norm_momentum)
        check(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        check_images(self)
        check(bool(self.hidden) and min(self.hidden) >= 1, "hidden", "one or more numbers from 1", self.hidden)
        steps = self.check_steps
        rises = all(before < after for before, after in itertools.pairwise(steps))
        check(bool(steps) and steps[0] == 0 and rises, "check_steps", "0 and more numbers, ascending", steps)
        rule = "one or more different numbers"
        check_numbers(self, f"{rule} > 0 and finite", lambda x: 0 < x < math.inf, "epsilons")
        check_numbers(self, f"{rule} from 0 to 2147483647", lambda x: 0 <= x < 2**31, "seeds")


PRESETS = {
    "cpu": Config(),
    "smoke": Config(dataset="digits", hidden=(12, 10), batch_size=32, check_steps=(0, 5, 40), seeds=(0, 1)),
    # Twice the seeds, twenty epochs, and more checks on the way.
    "paper": Config(check_steps=(0, 3, 10, 30, 100, 300, 1000, 3000, 9360), seeds=tuple(range(6))),
}
