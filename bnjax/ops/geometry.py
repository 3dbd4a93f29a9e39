"""The static parameters of a convolution."""

from typing import Any, NamedTuple

NHWC = ("NHWC", "HWIO", "NHWC")


class Geometry(NamedTuple):
    """The static parameters of a stride-1 convolution: each field is (height, width), padding (low, high) for both."""

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    precision: Any = None

    @property
    def output(self) -> tuple[int, ...]:
        """Size of the result."""
        sides = zip(self.image, self.kernel, self.padding, strict=True)
        return tuple(n + low + high - k + 1 for n, k, (low, high) in sides)

    @property
    def flipped_padding(self) -> tuple[tuple[int, int], ...]:
        """The padding with which the flipped kernel takes a gradient of the result back to the image."""
        return tuple((k - 1 - low, k - 1 - high) for k, (low, high) in zip(self.kernel, self.padding, strict=True))

    @property
    def flipped(self) -> "Geometry":
        """The geometry of the convolution with the flipped kernel."""
        return self._replace(image=self.output, padding=self.flipped_padding)

    @property
    def is_canonical(self) -> bool:
        """Whether both gradients are ordinary convolutions too: no padding below 0 or beyond the kernel."""
        paddings = (side for pads in (self.padding, self.flipped_padding) for pair in pads for side in pair)
        return min(*self.image, *self.output) > 0 and min(paddings) >= 0
