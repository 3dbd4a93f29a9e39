"""Weights whose length does not matter: what an L2 penalty does to a VGG with batch norm, in float64.

Claim: with batch norm, the length of the weights before it changes nothing that the net computes. Their gradient is therefore
orthogonal to them and the smaller the longer they are, each step without a penalty makes them longer, and an L2 penalty does
nothing but raise the learning rate: plain SGD with it takes the same path as without it at a rate that grows exponentially.
Source: van Laarhoven 2017; Li & Arora 2019.
Command: TFDS_DATA_DIR=... python -m experiments scale_invariance --preset cpu
Measured: preset cpu, six draws, two cores beside other work, two minutes: after 50 steps the copy with an L2 penalty and that
at the growing learning rate are 9e-16 of their length apart with BN, 0.03 without, and 0.14 with BN and the usual epsilon.
Nothing is trained with the usual tools: two copies of a net take the same few steps side by side, once
with batch norm, whose epsilon is 0 except where the usual one is tried, and once without.
"""

from dataclasses import dataclass
from typing import Any

from bnjax.models.shapes import VGGShape
from experiments._config import Images, change, check, check_numbers
from experiments._config.check import DIFFERENT
from experiments._config.runs import check_batch
from experiments._evidence.keep import whole
from experiments._presets import SIX_SEEDS


@dataclass(frozen=True)
class Config:
    """Two copies of a VGG that take the same steps, one with an L2 penalty, one at a learning rate that grows instead.

    Attributes:
        model: the VGG; its weights that a normaliser can follow count as scale-invariant.
        data: the images.
        batch_size: images of each step.
        learning_rate: of SGD, with the penalty.
        weight_decay: strength of the L2 penalty; weight_decay / 2 times the squared length of the weights is added to the loss.
        momentum: of SGD, in the runs with momentum.
        num_steps: steps that both copies take.
        seeds: each is one draw of weights and batches.
    """

    model: VGGShape = VGGShape(width=1 / 16, kernel_init="he_normal")
    data: Images = Images("cifar10", "meanstd", 32)
    batch_size: int = 32
    learning_rate: float = 0.02
    weight_decay: float = 0.5
    momentum: float = 0.9
    num_steps: int = 50
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self):
        check(not self.model.dropout and self.model.head != "mameli", "model", "a VGG without dropout", self.model)
        check(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        check_batch(self.data, self.batch_size, "batch_size")
        check_numbers(self, "> 0 and finite", lambda x: 0 < x < float("inf"), "learning_rate", "weight_decay")
        shrinking = self.learning_rate * self.weight_decay
        check(shrinking < 1, "weight_decay", "below 1 / learning_rate", self.weight_decay)
        check_numbers(self, "> 0 and < 1", lambda x: 0 < x < 1, "momentum")
        check_numbers(self, "at least 2", lambda x: x >= 2, "num_steps")
        check_numbers(self, f"{DIFFERENT} from 0 to 2147483647", lambda x: 0 <= x < 2**31, "seeds")


KEEP: dict[str, Any] = {"arms": {"pair": whole, "layers": whole}}
PRESETS = {
    "cpu": Config(seeds=SIX_SEEDS),
    "smoke": change(
        Config(seeds=(0, 1, 2), num_steps=5),
        model=VGGShape(width=1 / 32, kernel_init="he_normal"),
        data=Images("digits", "meanstd", 8),
        batch_size=16,
    ),
    "paper": change(
        Config(num_steps=200, seeds=tuple(range(5))), model=VGGShape(width=0.5, kernel_init="he_normal"), batch_size=128
    ),
}
