"""What batch norm does to networks of random weights, before their first step.

Claim: without batch norm all examples come to lie on one line in a deep net, with it they stay apart, and in linear nets become
orthogonal; in ReLU nets all examples except one gather all the same. The Fisher matrix's largest eigenvalue grows with
the width, unless the last layer is normalised. Batch norm makes the l-th residual branch smaller by the square root of l.
The published loss of a plain VGG at step 0, 4.27 nats where chance has 2.30, seems to contain an L2 penalty.
Source: Daneshmand et al. 2020 and 2021, Nachum et al. 2024, Karakida et al. 2019, De & Smith 2020; Santurkar et al. 2018,
Fig. 4a, of the last one.
Command: TFDS_DATA_DIR=... python -m experiments initialisation --preset cpu
Measured: preset cpu, ten draws, two cores beside other work, 2.2 minutes: after 500 layers of 32 units the soft rank of a
batch is 1.0 without BN and 5 with it; in linear nets it grows 1.46 times per doubling of the width. In ReLU nets it does not
grow, and the examples do not gather in one direction either: without the odd one, their mean cosine is 0.34. The
orthogonality gap falls 0.72 times per doubling if BN does not centre (published: 0.73), hardly if it does. The largest
eigenvalue of the Fisher matrix grows 1.66 times per doubling without BN, and falls 0.70 times if every layer is normalised.
Residual branch l has 1.07 / l of the variance of its shortcut. With an L2 penalty of 0.0005 a VGG of 13 layers with dense
layers of 4,096 units starts from a loss of 4.21 nats, 2.30 of them cross-entropy; VGG-A with dense layers of 512 units from
3.16. Preset paper has not been run.
"""

import math
from dataclasses import dataclass
from typing import Any

from bnjax.models.shapes import ResNetShape, VGGShape
from experiments._config import Images, change, check, check_numbers
from experiments._config.check import DIFFERENT
from experiments._config.runs import check_batch
from experiments._evidence.keep import whole

# The VGG of Santurkar et al. 2018, as inferred from their figures and loss; and that of most experiments here.
PUBLISHED_VGG, VGG_A = VGGShape(depth="13", head="4096"), VGGShape()
_RULE = f"{DIFFERENT} from 2"


@dataclass(frozen=True)
class Representations:
    """Deep linear and ReLU nets with images as inputs.

    Attributes:
        data: the images; a net's batch size equals its width.
        widths: units per layer, one width per net.
        depth: number of layers of every net.
    """

    data: Images = Images("cifar10", "meanstd")
    widths: tuple[int, ...] = (32, 64, 128, 256)
    depth: int = 500

    def __post_init__(self):
        check_numbers(self, _RULE, lambda x: x >= 2, "widths")
        check(self.depth >= 2, "depth", "at least 2", self.depth)
        check_batch(self.data, max(self.widths), "widths")


@dataclass(frozen=True)
class Orthogonality:
    """Deep linear nets with inputs close to one line, as in Daneshmand et al. 2021.

    Attributes:
        batch_size: number of inputs.
        widths: units per layer and features per input, one width per net.
        depth: number of layers of every net.
    """

    batch_size: int = 4
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    depth: int = 500

    def __post_init__(self):
        check(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        rule = f"{DIFFERENT} from {self.batch_size}, the batch size"
        check_numbers(self, rule, lambda x: x >= self.batch_size, "widths")
        check(self.depth >= 2, "depth", "at least 2", self.depth)


@dataclass(frozen=True)
class Fisher:
    """ReLU perceptrons whose inputs are Gaussian noise, with as many features as a layer has units.

    Attributes:
        widths: units per hidden layer, one width per net; also the number of examples.
        num_hidden: number of hidden layers.
        num_outputs: units of the last layer.
        fixed_batch: number of examples in the nets for which it does not depend on the width.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    num_hidden: int = 3
    num_outputs: int = 10
    fixed_batch: int = 32

    def __post_init__(self):
        check_numbers(self, _RULE, lambda x: x >= 2, "widths")
        for name in ("num_hidden", "num_outputs"):
            check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        check(self.fixed_batch >= 2, "fixed_batch", "at least 2", self.fixed_batch)


@dataclass(frozen=True)
class Residual:
    """A pre-activation residual network with images as inputs.

    Attributes:
        model: the network; with SkipInit, it has no normaliser and a scale of 0 after each branch.
        data: the images.
        batch_size: images over which batch norm computes its statistics.
    """

    model: ResNetShape = ResNetShape(num_blocks=9)
    data: Images = Images("cifar10", "meanstd")
    batch_size: int = 32

    def __post_init__(self):
        check(not self.model.skip_init, "model.skip_init", "False, since a net of its own has it", True)
        check(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        check_batch(self.data, self.batch_size, "batch_size")


@dataclass(frozen=True)
class Penalty:
    """A plain VGG with an L2 penalty in its loss.

    Attributes:
        model: the network.
        data: the images; VGG is made for 32 x 32.
        batch_size: images over which the loss is averaged.
        weight_decay: strength of the penalty, weight_decay / 2 times the squared length of all parameters.
    """

    model: VGGShape = PUBLISHED_VGG
    data: Images = Images(image_size=32)
    batch_size: int = 128
    weight_decay: float = 5e-4

    def __post_init__(self):
        check_batch(self.data, self.batch_size, "batch_size")
        check_numbers(self, ">= 0 and finite", lambda x: 0 <= x < math.inf, "weight_decay")


@dataclass(frozen=True)
class Config:
    """Measurements on untrained networks.

    Attributes:
        representations: rank of the layers' activations, and cosines between examples.
        orthogonality: how close examples come to being orthogonal.
        fisher: the largest eigenvalue of the Fisher matrix.
        residual: size of the residual branches.
        penalty: cross-entropy and L2 penalty of a plain VGG.
        other_penalty: the same for another VGG, by default the VGG-A of most experiments at the published width.
        seeds: each is one draw of weights and inputs.
    """

    representations: Representations = Representations()
    orthogonality: Orthogonality = Orthogonality()
    fisher: Fisher = Fisher()
    residual: Residual = Residual()
    penalty: Penalty = Penalty()
    other_penalty: Penalty = Penalty(VGG_A)
    seeds: tuple[int, ...] = tuple(range(10))

    def __post_init__(self):
        check_numbers(self, f"{DIFFERENT} from 0 to 2147483647", lambda x: 0 <= x < 2**31, "seeds")


KEEP: dict[str, Any] = {
    "representations": {"widths": whole, "layers": whole},
    "orthogonality": {"widths": whole},
    "fisher": {"widths": whole},
    "residual": {"blocks": whole},
    "penalty": {"loss": whole},
    "other_penalty": {"loss": whole},
}
_SMALL = {"data": Images("digits", image_size=8), "batch_size": 16}
_PAPER = change(
    Config(),
    orthogonality={"widths": (16, 32, 64, 128, 256, 512)},
    fisher={"widths": (64, 128, 256, 512, 1024)},
    residual={"model": ResNetShape(num_blocks=18), "batch_size": 128},
    seeds=tuple(range(20)),
)
PRESETS = {
    "cpu": Config(),
    "smoke": change(
        Config(seeds=(0, 1, 2)),
        representations={"data": Images("digits"), "widths": (8, 16), "depth": 40},
        orthogonality={"widths": (8, 16), "depth": 40},
        fisher={"widths": (8, 16), "num_hidden": 2, "fixed_batch": 8},
        residual={"model": ResNetShape(num_blocks=1, width=4), "data": Images("digits"), "batch_size": 8},
        penalty={"model": {"width": 1 / 16}, **_SMALL},
        other_penalty={"model": {"width": 1 / 16}, **_SMALL},
    ),
    "paper": _PAPER,
}
