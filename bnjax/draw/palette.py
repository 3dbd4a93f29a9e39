"""PNGs of few colours, a third as large as those of all colours."""

import io
from typing import Any

import numpy as np

from bnjax.draw.style import Figure, own_style

_PALETTES = 64, 128, 256  # numbers of colours
_FAR_OFF = 32  # levels of 255, of one of the three colours of a pixel


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
    """Reduce a picture to 64 colours, or to 128 or 256 if more than a thousandth of its pixels are far off.

    A figure of lines and bands looks the same in 64 colours, in four fifths of the bytes of 256; a scale of colours, or text
    beside it, does not.
    """
    from PIL import Image

    smaller, exact = picture, np.asarray(picture, np.int16)
    for number in _PALETTES:
        smaller = picture.quantize(number, dither=Image.Dither.NONE)
        off = np.abs(np.asarray(smaller.convert("RGB"), np.int16) - exact).max(-1)
        if np.mean(off > _FAR_OFF) <= 1e-3:
            break
    return smaller
