"""The colours of PNGs: as few as nobody sees."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bnjax.draw import style
from bnjax.draw.palette import with_palette


def picture(draw):
    """Draw on a figure, and return it in all its colours."""
    with style.new_figure(6, 4) as figure:
        draw(figure.subplots())
        saved = io.BytesIO()
        figure.savefig(saved, format="png")
    return Image.open(saved).convert("RGB")


def lines(axes):
    """Draw lines and a band in the colours of the nets, and text."""
    for i, colour in enumerate(style.CYCLE[:3]):
        axes.plot(np.sin(np.arange(50) / 5 + i), color=colour)
    axes.fill_between(np.arange(50), -1, 1, color=style.CYCLE[1], alpha=0.2)
    axes.set_title("lines")


def gradient(axes):
    """Draw a plane that has every colour of a scale."""
    x = np.linspace(0, 1, 100)
    axes.imshow(np.add.outer(x, x), cmap=style.sequential())
    axes.set_title("plane")


@pytest.mark.parametrize(("draw", "least", "most"), [(lines, 2, 64), (gradient, 65, 256)])
def test_colours_are_as_few_as_nobody_sees(draw, least, most):
    """Lines have 64 at most, a scale of colours more; either way pixels are close to those of all colours."""
    whole = picture(draw)
    reduced = with_palette(whole)
    assert least <= len(reduced.getcolors()) <= most
    off = np.abs(np.asarray(reduced.convert("RGB"), int) - np.asarray(whole, int)).max(-1)
    assert off.max() <= 24
    assert off.mean() < 1


def test_a_picture_of_few_colours_keeps_them():
    """None is changed."""
    figure = Figure(figsize=(1, 1), facecolor="#0072b2")
    saved = io.BytesIO()
    figure.savefig(saved, format="png")
    whole = Image.open(saved).convert("RGB")
    np.testing.assert_array_equal(np.asarray(with_palette(whole).convert("RGB")), np.asarray(whole))


def test_the_ends_of_a_scale_keep_their_colours():
    """However few pixels have them: here a hundredth of a map of two colours that are far apart."""

    def draw(axes):
        values = np.random.default_rng(0).uniform(0.2, 1, (40, 40))
        values[:4, :4] = -np.linspace(0.2, 1, 16).reshape(4, 4)
        axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1)

    whole = picture(draw)
    off = np.abs(np.asarray(with_palette(whole).convert("RGB"), int) - np.asarray(whole, int)).max(-1)
    assert off.max() <= 24
