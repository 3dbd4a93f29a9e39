"""The theorems of Santurkar et al. 2018 and the invariance of Ioffe & Szegedy 2015, on networks while they are trained.

Claim: each theorem holds in a real network, to rounding where it is an equality, and in its corrected form where the printed
one has slips; the conditions under which batch norm smooths are met by a share of units and steps, which is measured.
Source: Santurkar et al. 2018, Theorems 4.1, 4.2, 4.4 and C.1, Observation 4.3, Lemma 4.5; Ioffe & Szegedy 2015, Sec. 3.3.
Command: TFDS_DATA_DIR=... python -m experiments theory_bounds --preset cpu
Measured: on two CPU cores beside much other work in 14 minutes, an MLP of three hidden layers of 100 ReLU units, MNIST, six
seeds, 3,000 steps: equalities hold to 2e-10 at worst. Batch norm inserted into the trained plain net shortens the gradient by a
unit's pre-activations by 1 % in the median; the condition for smoothing holds at 47 % of units and steps (46 % in the net
trained with batch norm), Theorem 4.4 as printed at 29 % (36 %), the second line of Theorem 4.2 at 92 % (44 %), and Theorem C.1
wherever its bound is not negative, which it is at 95 % (94 %). In the net trained with batch norm, gradient and curvature
shrink at the first layer only. Preset paper, 9,360 steps, six seeds, beside other work in 3 minutes: 46 % (45 %), 25 % (35 %),
92 % (44 %); of Theorem C.1's bound, where it is not negative, one unit of the nets trained with batch norm exceeds it, at
initialisation, in each of two seeds, 1.5 and 3.3 times: it bounds the curvature of white inputs, others can exceed it.
"""

import itertools
import math
from dataclasses import dataclass

from bnjax.models.shapes import MLPShape
from experiments._config import BatchNorm, Images, Optimizer, change, check, check_numbers
from experiments._config.runs import check_batch
from experiments._evidence.keep import whole


@dataclass(frozen=True)
class Config:
    """A multilayer perceptron, trained without batch norm, which the checks then insert, and trained with batch norm.

    Attributes:
        model: the perceptron; batch norm stands before the activation.
        data: the images.
        norm: of the net trained with it; the theorems are checked with epsilon 0.
        optimizer: of both nets; the checks use the next step's batch.
        check_steps: steps at which everything is checked, ascending from 0; the last one ends the training.
        epsilons: values of epsilon at which Theorem 4.1 is checked again, as it then is an inequality.
        seeds: each gives one run of each net.
    """

    model: MLPShape = MLPShape(activation="relu", kernel_init="he_normal")
    data: Images = Images("mnist")
    norm: BatchNorm = BatchNorm()
    optimizer: Optimizer = Optimizer()
    check_steps: tuple[int, ...] = (0, 10, 100, 300, 1000, 3000)
    epsilons: tuple[float, ...] = (1e-3, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self):
        check(self.model.norm_position == "before", "model.norm_position", "before", self.model.norm_position)
        check(self.norm.layers == "all", "norm.layers", "all", self.norm.layers)
        check(
            self.optimizer.compute_dtype == "float32",
            "optimizer.compute_dtype",
            "float32",
            self.optimizer.compute_dtype,
        )
        check(self.optimizer.batch_size >= 2, "optimizer.batch_size", "at least 2", self.optimizer.batch_size)
        check_batch(self.data, self.optimizer.batch_size, "optimizer.batch_size")
        steps = self.check_steps
        rises = all(before < after for before, after in itertools.pairwise(steps))
        rule = "0 and one or more other numbers, ascending"
        check(len(steps) > 1 and steps[0] == 0 and rises, "check_steps", rule, steps)
        rule = "one or more different numbers"
        check_numbers(self, f"{rule} > 0 and finite", lambda x: 0 < x < math.inf, "epsilons")
        check_numbers(self, f"{rule} from 0 to 2147483647", lambda x: 0 <= x < 2**31, "seeds")


KEEP = {"arms": {"probe": ("checks", whole)}}
PRESETS = {
    "cpu": Config(seeds=tuple(range(6))),
    "smoke": change(
        Config(check_steps=(0, 5, 40), seeds=(0, 1)),
        data={"dataset": "digits"},
        model={"hidden": (12, 10)},
        optimizer={"batch_size": 32},
    ),
    # Twenty epochs, and more checks on the way.
    "paper": Config(check_steps=(0, 3, 10, 30, 100, 300, 1000, 3000, 9360), seeds=tuple(range(6))),
}
