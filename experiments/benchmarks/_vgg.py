"""The VGG-A that is timed: shapes, what it needs at least, and the same net in PyTorch; imports nothing heavy."""

from typing import Any

BATCH_SIZE = 128
# Features of its convolutions, and whether a 2x2 pooling follows; two hidden dense layers.
CONVOLUTIONS = (
    (64, True),
    (128, True),
    (256, False),
    (256, True),
    (512, False),
    (512, True),
    (512, False),
    (512, True),
)
HIDDEN = 512
# (side of the map, in_channels, out_channels) of the different convolutions of VGG-A, 13 and 16 on 32x32 images.
VGG_SHAPES = (
    (32, 3, 64),
    (32, 64, 64),
    (16, 64, 128),
    (16, 128, 128),
    (8, 128, 256),
    (8, 256, 256),
    (4, 256, 512),
    (4, 512, 512),
    (2, 512, 512),
)


def shapes(width: float) -> list[tuple[int, int, int]]:
    """List the shapes at a width; an image has three channels at any."""
    return [(side, c if c == 3 else int(c * width), int(f * width)) for side, c, f in VGG_SHAPES]


def useful_operations(width: float, gradients: bool) -> float:
    """Count the multiplications and additions of convolutions and dense layers for a batch."""
    side, total, channels = 32, 0.0, 3
    for features, is_pooled in CONVOLUTIONS:
        features = int(features * width)
        total += 2 * side**2 * 9 * channels * features
        channels, side = features, side // 2 if is_pooled else side
    hidden = int(HIDDEN * width)
    total += 2 * (channels * hidden + hidden * hidden + hidden * 10)
    return BATCH_SIZE * total * (3 if gradients else 1)


def torch_vgg(width: float, *, remembers: bool = False) -> Any:
    """Make the net in PyTorch, whose batch norm remembers running statistics or does not."""
    from torch import nn  # pyright: ignore[reportMissingImports]

    layers, channels = [], 3
    for features, is_pooled in CONVOLUTIONS:
        features = int(features * width)
        norm = nn.BatchNorm2d(features, track_running_stats=remembers)
        layers += [nn.Conv2d(channels, features, 3, padding=1), norm, nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if is_pooled else []
        channels = features
    hidden = int(HIDDEN * width)
    layers.append(nn.Flatten())
    for _ in range(2):
        layers += [nn.Linear(channels, hidden), nn.BatchNorm1d(hidden, track_running_stats=remembers), nn.ReLU()]
        channels = hidden
    return nn.Sequential(*layers, nn.Linear(channels, 10))
