"""The shape of BN-Inception: the table of its modules, and the fields of its configuration; imports nothing heavy."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bnjax.models.choices import (
    Activation,
    KernelInit,
    NormPosition,
    check_choices,
    check_kernel_scale,
    check_types,
    check_weights,
)

Pool = Literal["average", "max"]


class InceptionModule(NamedTuple):
    """A row of the table: features of the convolutions of each branch at width 1.

    Attributes:
        name: of the row.
        one: of the 1x1 convolution; 0 leaves the branch out.
        three: of a 1x1 convolution, which reduces, and of the 3x3 convolution after it.
        double: of a 1x1 convolution, which reduces, and of each of the two 3x3 convolutions after it.
        pool: over 3x3 pixels.
        projection: of the 1x1 convolution after the pooling; 0 passes the pooled map through, and the module has stride 2.
    """

    name: str
    one: int
    three: tuple[int, int]
    double: tuple[int, int]
    pool: Pool
    projection: int

    @property
    def stride(self) -> int:
        """Stride of the last convolution of each branch, and of the pooling."""
        return 1 if self.projection else 2

    @property
    def convolutions(self) -> tuple[int, ...]:
        """Features of all convolutions, branch by branch."""
        (reduce, three), (double_reduce, double) = self.three, self.double
        every = (self.one, reduce, three, double_reduce, double, double, self.projection)
        return tuple(features for features in every if features)

    @property
    def num_outputs(self) -> int:
        """Features of the module's own convolutions that end a branch; a map that is passed through adds its own."""
        return self.one + self.three[1] + self.double[1] + self.projection


# Ioffe & Szegedy 2015, Fig. 5. NOTE: the figure prints 576 features after 4c and 4d, and 1024 after 4e; the widths of its own
# branches add up to 608, 608 and 1056, which are used here.
INCEPTION_MODULES = (
    InceptionModule("3a", 64, (64, 64), (64, 96), "average", 32),
    InceptionModule("3b", 64, (64, 96), (64, 96), "average", 64),
    InceptionModule("3c", 0, (128, 160), (64, 96), "max", 0),
    InceptionModule("4a", 224, (64, 96), (96, 128), "average", 128),
    InceptionModule("4b", 192, (96, 128), (96, 128), "average", 128),
    InceptionModule("4c", 160, (128, 160), (128, 160), "average", 128),
    InceptionModule("4d", 96, (128, 192), (160, 192), "average", 128),
    InceptionModule("4e", 0, (128, 192), (192, 256), "max", 0),
    InceptionModule("5a", 352, (192, 320), (160, 224), "average", 128),
    InceptionModule("5b", 352, (192, 320), (192, 224), "max", 128),
)
STEM_FEATURES = 192  # of the map that enters 3a, at width 1
_FEWEST = 32  # of a convolution in the table
_WIDEST = 256  # of the 3x3 convolution with the most weights, the last one of 4e, which has as many features before it


@dataclass(frozen=True)
class InceptionShape:
    """The shape of BN-Inception (Ioffe & Szegedy 2015, Fig. 5) for small images.

    Deviation: one 3x3 convolution replaces the stem, which has stride 8 and takes images of 224x224 pixels.

    Attributes:
        width: multiplies the number of features of every convolution.
        stem_stride: of the first convolution, 1 or 2; 2 leaves a quarter of the pixels to all that follows.
        dropout: share of the averaged features that training drops before the dense layer; 0.4 in the paper's plain net.
        kernel_init: initialisation of convolutions and the dense layer; biases start at 0.
        kernel_scale: multiplies the initial weights; with "normal", it is their standard deviation.
        activation: of all layers except the last.
        norm_position: whether normalisers stand "before" or "after" the activation.

    Example:
        >>> from bnjax import models
        >>> shape = models.InceptionShape(width=1 / 8)
        >>> print(shape.num_convolutions, shape.num_layers, shape.features[:8])
        67 68 (24, 8, 8, 8, 8, 12, 12, 4)
    """

    width: float = 1.0
    stem_stride: Literal[1, 2] = 1
    dropout: float = 0.0
    kernel_init: KernelInit = "he_normal"
    kernel_scale: float = 1.0
    activation: Activation = "relu"
    norm_position: NormPosition = "before"

    def __post_init__(self):
        check_types(self)
        check_choices(self, kernel_init=KernelInit, activation=Activation, norm_position=NormPosition)
        check_kernel_scale(self.kernel_scale)
        if self.stem_stride not in (1, 2):
            raise ValueError(f"stem_stride must be 1 or 2, got {self.stem_stride}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")
        if not 1 <= _FEWEST * self.width < math.inf:
            raise ValueError(
                f"width must be at least 1/{_FEWEST}, which leaves one feature in the narrowest convolution, and finite, got "
                f"{self.width}."
            )
        check_weights("width", self.width, 9 * (_WIDEST * self.width) ** 2)

    @property
    def num_convolutions(self) -> int:
        """Number of convolutions, which come first: the stem's, then each module's, branch by branch."""
        return len(self.features)

    @property
    def num_layers(self) -> int:
        """Weight layers: convolutions and a dense layer."""
        return self.num_convolutions + 1

    @property
    def num_normalised(self) -> int:
        """Weight layers that a normaliser can follow: the convolutions."""
        return self.num_convolutions

    @property
    def features(self) -> tuple[int, ...]:
        """Features of each layer that a normaliser can follow."""
        in_modules = (features for module in INCEPTION_MODULES for features in module.convolutions)
        return tuple(int(features * self.width) for features in (STEM_FEATURES, *in_modules))
