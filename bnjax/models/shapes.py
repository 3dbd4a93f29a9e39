"""The shapes of the models: each network without its normaliser.

Imports nothing heavy, so that a command line answers at once.
"""

import math
from dataclasses import dataclass
from typing import Literal

from bnjax.models.choices import Activation as Activation
from bnjax.models.choices import KernelInit as KernelInit
from bnjax.models.choices import NormPosition as NormPosition
from bnjax.models.choices import VGGInit as VGGInit
from bnjax.models.choices import XavierInit as XavierInit
from bnjax.models.choices import check_choices, check_kernel_scale, check_types, check_weights
from bnjax.models.inception_shape import InceptionShape as InceptionShape

RecurrentInit = Literal["identity", "orthogonal"]
StatisticsOverTime = Literal["per_step", "shared"]
Depth = Literal["A", "13", "16"]
Head = Literal["512", "4096", "mameli", "mameli_reduced"]

# Convolutions per stage; a stage ends with 2x2 max-pooling.
STAGES: dict[Depth, tuple[int, ...]] = {"A": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3)}
# Features of the convolutions of each stage, and of the hidden dense layers, at width 1.
STAGE_FEATURES = (64, 128, 256, 512, 512)
HIDDEN_FEATURES: dict[Head, int] = {"512": 512, "4096": 4096, "mameli": 4096, "mameli_reduced": 4096}
HAVE_DROPOUT: tuple[Head, ...] = ("mameli", "mameli_reduced")
MAMELI_PIXELS = 7 * 7  # of the map that the head "mameli" reads


@dataclass(frozen=True)
class VGGShape:
    """The shape of a VGG, a convolutional network for images.

    Attributes:
        depth: "A" has 8 convolutions, "13" has 10 and "16" has 13; three dense layers follow.
        head: hidden width of the dense layers, 512 or 4096, on the flattened map; "mameli" is 4096 on a map averaged or
            copied to 7x7, with dropout 0.5 after both hidden layers; "mameli_reduced" is the same net on maps of one pixel,
            which "mameli" copies 49 times, without the copies: see `RepeatedDense`.
        width: multiplies the number of features of every layer except the last.
        kernel_init: initialisation of convolutions and dense layers; biases start at 0. A deep VGG without a normaliser
            learns from "he_normal", whose kernels have twice the variance of Xavier's in layers of equal width; "normal" has
            standard deviation 1.
        kernel_scale: multiplies the initial weights; with "normal", it is their standard deviation.
        dropout: share of the last hidden layer's outputs that training drops, after the last normaliser, which would
            otherwise see another variance in training than in evaluation; 0.5 belongs to the heads "mameli".
        activation: of all layers except the last.
        norm_position: whether normalisers stand "before" or "after" the activation; max-pooling follows both.

    Example:
        >>> from bnjax import models
        >>> shape = models.VGGShape(depth="16", width=0.5)
        >>> print(shape.num_convolutions, shape.num_layers, shape.features[:3])
        13 16 (32, 32, 64)
    """

    depth: Depth = "A"
    head: Head = "512"
    width: float = 1.0
    kernel_init: KernelInit = "xavier_uniform"
    kernel_scale: float = 1.0
    dropout: float = 0.0
    activation: Activation = "relu"
    norm_position: NormPosition = "before"

    def __post_init__(self):
        check_types(self)
        check_choices(
            self,
            depth=Depth,
            head=Head,
            kernel_init=KernelInit,
            activation=Activation,
            norm_position=NormPosition,
        )
        check_kernel_scale(self.kernel_scale)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")
        if self.dropout and self.head in HAVE_DROPOUT:
            raise ValueError(f'dropout must be 0 with the head "{self.head}", which has its own, got {self.dropout}.')
        if not 1 <= 64 * self.width < math.inf:
            raise ValueError(
                f"width must be at least 1/64, which leaves one feature in the first layer, and finite, got {self.width}."
            )
        conv, dense = STAGE_FEATURES[-1] * self.width, HIDDEN_FEATURES[self.head] * self.width
        pixels = MAMELI_PIXELS if self.head == "mameli" else 1
        check_weights("width", self.width, max(9 * conv * conv, pixels * conv * dense, dense * dense))

    @property
    def num_convolutions(self) -> int:
        """Convolutions, which come first."""
        return sum(STAGES[self.depth])

    @property
    def num_layers(self) -> int:
        """Weight layers: convolutions and dense layers."""
        return self.num_convolutions + 3

    @property
    def num_normalised(self) -> int:
        """Weight layers that a normaliser can follow: all except the last."""
        return self.num_layers - 1

    @property
    def features(self) -> tuple[int, ...]:
        """Features of each layer that a normaliser can follow."""
        stages = zip(STAGES[self.depth], STAGE_FEATURES, strict=True)
        convolutions = (int(features * self.width) for number, features in stages for _ in range(number))
        return *convolutions, *(2 * (int(HIDDEN_FEATURES[self.head] * self.width),))

    @property
    def copies(self) -> dict[str, int]:
        """Number of equal inputs of each `RepeatedDense` layer, by layer name."""
        return {f"dense_{self.num_convolutions + 1}": MAMELI_PIXELS} if self.head == "mameli_reduced" else {}

    @property
    def null_sizes(self) -> dict[str, int]:
        """For parameters that hold a length of numbers: how many numbers, by path; see `probes.directions.random`."""
        entries = self.features[self.num_convolutions - 1] * self.features[self.num_convolutions]
        return {f"{layer}/null_norm": (copies - 1) * entries for layer, copies in self.copies.items()}


@dataclass(frozen=True)
class MLPShape:
    """The shape of a multilayer perceptron, by default that of Ioffe & Szegedy 2015, Sec. 4.1.

    The paper draws its weights from a small Gaussian: `kernel_init="normal"`, with a `kernel_scale` that it does not state
    (values from 0.03 to 0.05 reproduce its slow start). Huber's replication (2020) uses 1.

    Attributes:
        hidden: features of each hidden layer, from the input on.
        activation: of the hidden layers.
        norm_position: whether normalisers stand "before" or "after" the activation.
        kernel_init: initialisation of all dense layers; "normal" has standard deviation 1.
        kernel_scale: multiplies the initial weights; with "normal", it is their standard deviation.
        use_bias: give the hidden layers biases, from 0, which batch norm before the activation makes redundant; the last
            layer always has them.

    Example:
        >>> from bnjax import models
        >>> print(models.MLPShape().num_layers, models.MLPShape(hidden=(8, 4)).features)
        4 (8, 4)
    """

    hidden: tuple[int, ...] = (100, 100, 100)
    activation: Activation = "sigmoid"
    norm_position: NormPosition = "before"
    kernel_init: KernelInit = "xavier_uniform"
    kernel_scale: float = 1.0
    use_bias: bool = True

    def __post_init__(self):
        check_types(self)
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must hold one number of at least 1 per hidden layer, got {self.hidden}.")
        check_weights("hidden", self.hidden, max(a * b for a, b in zip((1, *self.hidden), self.hidden, strict=False)))
        check_choices(self, activation=Activation, norm_position=NormPosition, kernel_init=KernelInit)
        check_kernel_scale(self.kernel_scale)

    @property
    def num_layers(self) -> int:
        """Weight layers: the hidden ones and the last."""
        return len(self.hidden) + 1

    @property
    def num_normalised(self) -> int:
        """Weight layers that a normaliser can follow: the hidden ones."""
        return len(self.hidden)

    @property
    def features(self) -> tuple[int, ...]:
        """Features of each layer that a normaliser can follow."""
        return self.hidden


@dataclass(frozen=True)
class ResNetShape:
    """The shape of a pre-activation residual network for small images, of 6 num_blocks + 2 layers.

    Attributes:
        num_blocks: residual blocks in each of three stages, of two convolutions each: 3 make a ResNet-20, 18 a ResNet-110.
        width: features of the first stage; the other stages have two and four times as many.
        kernel_init: initialisation of all weight layers.
        use_bias: give the convolutions biases, from 0; the last layer always has them.
        skip_init: multiply each residual branch by a learned number, from 0, so that all blocks begin as the identity
            (De & Smith 2020, arXiv 2002.10444). A last normaliser's scale of 0, which does the same for other residual
            networks, would stop here, where a ReLU follows it, every gradient of its branch.

    Example:
        >>> from bnjax import models
        >>> print(models.ResNetShape().num_layers, models.ResNetShape(num_blocks=18).num_layers)
        20 110
    """

    num_blocks: int = 3
    width: int = 16
    kernel_init: VGGInit = "he_normal"
    use_bias: bool = False
    skip_init: bool = False

    def __post_init__(self):
        check_types(self)
        for name in ("num_blocks", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_weights("width", self.width, 9 * (4 * self.width) ** 2)
        check_choices(self, kernel_init=VGGInit)

    @property
    def stage_features(self) -> tuple[int, ...]:
        """Features of each stage."""
        return self.width, 2 * self.width, 4 * self.width

    @property
    def num_convolutions(self) -> int:
        """Convolutions, which come first."""
        return 6 * self.num_blocks + 1

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
        in_stages = (features for features in self.stage_features for _ in range(2 * self.num_blocks))
        return self.width, *in_stages


@dataclass(frozen=True)
class DeepLinearShape:
    """The shape of a deep linear network, a product of square matrices.

    Attributes:
        depth: number of matrices.
        width: length of an input, of an output and of everything between.
        kernel_init: initialisation of the matrices; there are no biases except the normaliser's.
        kernel_scale: multiplies the initial matrices.

    Example:
        >>> from bnjax import models
        >>> print(models.DeepLinearShape(depth=3, width=2).features)
        (2, 2, 2)
    """

    depth: int = 25
    width: int = 10
    kernel_init: XavierInit = "xavier_uniform"
    kernel_scale: float = 1.0

    def __post_init__(self):
        check_types(self)
        for name in ("depth", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_weights("width", self.width, self.width**2)
        check_weights("depth", self.depth, self.depth * self.width**2)
        check_choices(self, kernel_init=XavierInit)
        check_kernel_scale(self.kernel_scale)

    @property
    def num_layers(self) -> int:
        """Weight layers: the matrices."""
        return self.depth

    @property
    def num_normalised(self) -> int:
        """Weight layers that a normaliser can follow: all."""
        return self.depth

    @property
    def features(self) -> tuple[int, ...]:
        """Features of each layer that a normaliser can follow."""
        return (self.width,) * self.depth


@dataclass(frozen=True)
class LSTMShape:
    """The shape of an LSTM that classifies sequences, by default that of Cooijmans et al. 2016 on the rows of MNIST images.

    Weight layers are numbered: 1 from the input to the gates, 2 from the hidden state to the gates, 3 from the last hidden
    state to the logits. Weights are orthogonal, the bias of the forget gate starts at 1, other biases at 0.

    Attributes:
        features: length of the hidden state and of the cell.
        recorded_steps: time steps that have running statistics of their own; longer sequences use those of the last one.
        statistics: running statistics of each time step, or "shared" ones, averages over time.
        norm_scale: initial scale of the normalisers, which is shared over time.
        recurrent_init: initial weights from the hidden state to the candidate, "identity" or "orthogonal" as to the gates.
        initial_noise: standard deviation of the noise that training adds to the initial hidden state. Pixels that are equal in
            all images have variance 0; batch norm of the noisy state varies from image to image.

    Example:
        >>> from bnjax import models
        >>> print(models.LSTMShape().features, models.LSTMShape(features=8).num_layers)
        100 3
    """

    features: int = 100
    recorded_steps: int = 28
    statistics: StatisticsOverTime = "per_step"
    norm_scale: float = 0.1
    recurrent_init: RecurrentInit = "identity"
    initial_noise: float = 0.1

    def __post_init__(self):
        check_types(self)
        for name in ("features", "recorded_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_weights("features", self.features, 4 * self.features**2)
        check_choices(self, statistics=StatisticsOverTime, recurrent_init=RecurrentInit)
        if not 0 < self.norm_scale < math.inf:
            raise ValueError(f"norm_scale must be > 0 and finite, got {self.norm_scale}.")
        if not 0 <= self.initial_noise < math.inf:
            raise ValueError(f"initial_noise must be >= 0 and finite, got {self.initial_noise}.")

    @property
    def num_layers(self) -> int:
        """Weight layers."""
        return 3

    @property
    def num_normalised(self) -> int:
        """Weight layers that a normaliser can follow: all except the last. The cell has one if layer 2 has."""
        return 2


Shape = VGGShape | MLPShape | ResNetShape | InceptionShape | DeepLinearShape | LSTMShape
