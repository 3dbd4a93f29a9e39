"""PNGs of few colours, a fifth to a third as large as those of all colours."""

import io
from typing import Any

import numpy as np

from bnjax.draw.style import Figure, own_style

_PALETTES = 32, 64, 128, 256  # numbers of colours
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
    """Reduce a picture to 32 colours, or to more where these are too few to look the same.

    Colours that cover few pixels, as a single mark, are kept: the palette covers all colours, whatever their share. More are
    taken if over a thousandth of the pixels are far off, or if pixels are off by more than one level on average, as on a scale
    of colours.
    """
    from PIL import Image

    smaller, exact = picture, np.asarray(picture, np.int16)
    for number in _PALETTES:
        smaller = picture.quantize(number, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        off = np.abs(np.asarray(smaller.convert("RGB"), np.int16) - exact).max(-1)
        if np.mean(off > _FAR_OFF) <= 1e-3 and off.mean() <= 1:
            break
    return smaller
