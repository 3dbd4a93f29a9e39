"""What batch norm learns from one fixed shuffle of the data, and from a new one each epoch: a toy with a closed form.

Claim: with batch norm, an example's input depends on its batch. With one shuffle that stays, SGD minimises another risk than
gradient descent, and ends at other weights; with a new shuffle each epoch, it ends where the average over shuffles does, which
is closer to gradient descent. Without batch norm, all three end at the same weights.
Source: Wu, Yun & Sra 2023, On the Training Instability of Shuffling SGD with Batch Normalization.
Command: python -m experiments shuffling --preset cpu
Measured: preset cpu, ten draws, a third of a minute: at batches of 2, SGD with one shuffle and with new ones end 62 % of the
length of gradient descent's weights apart with BN, 0.8 % without. A linear regression on normalised inputs, whose optima are
solutions of linear equations.
"""

from dataclasses import dataclass
from typing import Any

from experiments._config import change, check, check_numbers
from experiments._config.check import DIFFERENT
from experiments._evidence.keep import whole


@dataclass(frozen=True)
class Config:
    """A linear regression on Gaussian inputs, with and without batch norm.

    Attributes:
        num_examples: number of examples.
        num_features: features per example.
        noise: standard deviation of the labels around a linear function of norm 1.
        batch_sizes: batch sizes at which the optima are found; SGD runs at the smallest.
        num_shuffles: number of fixed shuffles; results for a fixed shuffle are medians over them.
        num_averaged: shuffles over which the risk of new shuffles is averaged.
        learning_rate: of SGD.
        num_epochs: of SGD; the weights are averaged over the second half of them.
        seeds: each is one draw of everything.
    """

    num_examples: int = 64
    num_features: int = 16
    noise: float = 1.0
    batch_sizes: tuple[int, ...] = (2, 4, 8, 16, 32)
    num_shuffles: int = 20
    num_averaged: int = 2000
    learning_rate: float = 0.002
    num_epochs: int = 2500
    seeds: tuple[int, ...] = tuple(range(10))

    def __post_init__(self):
        check_numbers(self, "at least 1", lambda x: x >= 1, "num_features", "num_shuffles", "num_averaged")
        check_numbers(self, "at least 2", lambda x: x >= 2, "num_epochs")
        check_numbers(self, DIFFERENT, lambda x: x >= 1, "batch_sizes")
        fits = all(size >= 2 and self.num_examples % size == 0 for size in self.batch_sizes)
        check(fits, "batch_sizes", f"divisors of num_examples, {self.num_examples}, from 2", self.batch_sizes)
        # A batch of m normalised examples has m - 1 that are independent.
        known = min(self.num_examples // size * (size - 1) for size in self.batch_sizes)
        check(
            self.num_features < known, "num_features", f"below {known}, so that weights are unique", self.num_features
        )
        check(0 < self.noise < 1e6, "noise", "> 0 and finite", self.noise)
        largest = 1 / self.num_features
        check(0 < self.learning_rate < largest, "learning_rate", f"> 0 and < {largest:g}", self.learning_rate)
        check_numbers(self, f"{DIFFERENT} from 0 to 2147483647", lambda x: 0 <= x < 2**31, "seeds")


KEEP: dict[str, Any] = {"arms": {"sizes": whole, "path": whole, "ends": whole}}
PRESETS = {
    "cpu": Config(),
    "smoke": change(Config(), num_shuffles=5, num_averaged=200, num_epochs=300, learning_rate=0.005, seeds=(0, 1, 2)),
    "paper": change(Config(), num_examples=256, num_features=64, learning_rate=0.0005),
}
