"""PNGs of few colours, a fifth to a third as large as those of all colours."""

import io
from typing import Any

import numpy as np

from bnjax.draw.style import Figure, own_style

_PALETTES = 64, 128  # numbers of colours
_MOST, _MEAN = 24, 0.5  # levels of 255 by which a pixel may be off, in one of its three colours, and pixels on average


def png(figure: Figure) -> bytes:
    """Draw a figure as a PNG of few colours; return its bytes."""
    from PIL import Image

    image, smaller = io.BytesIO(), io.BytesIO()
    with own_style():
        figure.savefig(image, format="png")
    with Image.open(image) as picture:
        with_palette(picture.convert("RGB")).save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def with_palette(picture: Any) -> Any:
    """Reduce a picture to 64 or 128 colours, as few as keep every pixel close to its colour, however rare.

    A colour scale, where so few colours show as bands, keeps 256; the rare ones, such as the ends of the scale, are among them.
    """
    from PIL import Image

    exact = np.asarray(picture, np.int16)

    def quantize(number: int) -> Any:
        return picture.quantize(number, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)

    for number in _PALETTES:
        smaller = quantize(number)
        off = np.abs(np.asarray(smaller.convert("RGB"), np.int16) - exact).max(-1)
        if off.max() <= _MOST and off.mean() <= _MEAN:
            return smaller
    return quantize(256)
