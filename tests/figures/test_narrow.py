"""Figures for narrow screens, on panels made by hand: the same panels as in the wide ones, each in a row of its own."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from drawn import assert_readable
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from experiments._command import pictures
from experiments._figures.figure import Block, make_figure
from experiments._figures.panels import Dots, Histogram, Panel


@dataclass(frozen=True)
class Points(Panel):
    """Some values, and names below them if there are any."""

    values: tuple[float, ...] = (1.0, 2.0)
    names: tuple[str, ...] = ()

    def draw_data(self, axes):
        """Draw a line."""
        axes.plot(self.values)
        if self.names:
            axes.set_xticks(range(len(self.names)), self.names)


MARK = Line2D([], [], label="a line of which the legend says more than the width of a phone has room for")
LONG = "What is measured of one net in proportion to what is measured of another one"


def layout(*rows, **look):
    """Lay out one block."""
    foot = [[f"remark {i}" for i in range(30)], ["another line"]]
    return make_figure(f"{LONG}: {LONG}", [Block("", rows, **look)], *foot, marks=[MARK])


def titles(figure):
    """List the titles of a figure's panels from top to bottom, without the ends of lines."""
    panels = sorted(figure.axes, key=lambda axes: -axes.get_position(original=False).y0)
    return [" ".join(axes.get_title().split()) for axes in panels]


def test_panels_stand_one_below_the_other():
    """Row by row, as wide as each other; long words of title, axes and legend are wrapped, and nothing is cut off."""
    panels = [Points(title=f"{LONG} {i}", ylabel=LONG, xlabel=LONG) for i in range(4)]
    figures = [layout(panels[:2], panels[2:]).draw(narrow=narrow) for narrow in (False, True)]
    assert titles(figures[1]) == [f"{LONG} {i}" for i in range(4)] == sorted(titles(figures[0]))
    assert [figure.get_figwidth() for figure in figures] == [13, 6]
    assert_readable(figures[1])
    places = [axes.get_window_extent() for axes in figures[1].axes]
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(places))
    assert {(place.x0, place.x1) for place in places} == {(places[0].x0, places[0].x1)}
    assert places[0].width > 0.7 * figures[1].bbox.width


def test_a_panel_without_a_title_follows_the_one_above_it():
    """It shares the title, as its column does on a wide page."""
    one, two, last = (Points(title=title) for title in ("one", "two", "last"))
    rows = [[one, two], [Points(ylabel="of one"), None], [last, Points(ylabel="of two")]]
    order = [panel.title or panel.ylabel for _, panel in Block("", rows).downwards()]
    assert order == ["one", "of one", "two", "of two", "last"]
    assert [axes.get_title() or axes.get_ylabel() for axes in layout(*rows).draw(narrow=True).axes] == order


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_row_that_shares_an_axis_keeps_its_limits(scale):
    """Every panel has its own numbers there, and none of them overlap; other rows have limits of their own."""
    row = [Points(title=str(values), values=values, scale=scale) for values in ((1.0, 2.0), (3.0, 400.0))]
    figures = [layout(row, row[:1], share=True).draw(narrow=narrow) for narrow in (False, True)]
    for figure in figures:
        limits = [axes.get_ylim() for axes in figure.axes]
        assert limits[0] == limits[1] != limits[2]
    assert_readable(figures[1])
    assert figures[0].axes[0].get_ylim() == figures[1].axes[0].get_ylim()
    sides = [[axes.yaxis.get_tick_params()["labelleft"] for axes in figure.axes[:2]] for figure in figures]
    assert sides == [[True, False], [True, True]]


def test_names_are_wrapped_or_turned():
    """Few names below a panel stand in lines; those of many columns are turned, and no column is lost."""
    few, many = (
        ("the first of all names", "the second", "the third and last name"),
        tuple(f"normaliser_{i}" for i in range(9)),
    )
    rows = [[Points(title="few", names=few)], [Points(title="many", names=many, values=(1.0,) * 9)]]
    figure = layout(*rows).draw(narrow=True)
    found = [axes.get_xticklabels() for axes in figure.axes]
    assert [text.get_text() for text in found[0]] == [
        "the first of\nall names",
        "the second",
        "the third and\nlast name",
    ]
    assert [text.get_text() for text in found[1]] == list(many)
    assert [{text.get_rotation() for text in texts} for texts in found] == [{0}, {40}]
    assert_readable(figure)


def test_names_beside_a_panel_take_no_width_from_others():
    """Such a panel is as high as its rows need, and its names are wrapped."""
    columns = {f"statement {i}, for every layer": {"plain": []} for i in range(9)}
    dots = Dots({"plain": []}, columns, {"": None}, horizontal=True, title="statements", xlabel=LONG)
    figure = layout([Points(title="above"), dots]).draw(narrow=True)
    above, beside = figure.axes
    assert_readable(figure)
    assert above.get_window_extent().width > 1.2 * beside.get_window_extent().width
    assert beside.get_window_extent().height > 1.5 * above.get_window_extent().height
    assert all("\n" in text.get_text() for text in beside.get_yticklabels())


def test_a_panels_own_legend_stands_above_it():
    """It hides nothing there, and says the same; one that is too long for a line stays where it is."""
    series = {f"step number {i}": (f"C{i}", np.ones(4)) for i in range(5)}
    few = Histogram(dict(list(series.items())[:2]), 10.0 ** np.arange(5), title="few")
    many = Histogram(series, 10.0 ** np.arange(5), title="many")
    figure = layout([few], [many]).draw(narrow=True)
    assert_readable(figure)
    legends = [axes.get_legend() for axes in figure.axes]
    words = [[text.get_text() for text in legend.get_texts()] for legend in legends]
    assert words == [list(series)[:2], list(series)]
    above = [
        legend.get_window_extent().y0 >= axes.get_window_extent().y1
        for legend, axes in zip(legends, figure.axes, strict=True)
    ]
    assert above == [True, False]
    colours = [to_hex(handle.get_color()) for handle in legends[0].legend_handles]
    assert colours == [to_hex(f"C{i}") for i in range(2)]


def test_headings_stand_above_their_first_panel():
    """Each once, wrapped."""
    blocks = [Block(f"{LONG} {i}", [[Points(title="one"), Points(title="two")]]) for i in range(2)]
    figure = make_figure("short", blocks, marks=[MARK]).draw(narrow=True)
    headings = [" ".join(part.get_suptitle().split()) for part in figure.subfigs]
    assert headings == [f"{LONG} 0", f"{LONG} 1"]
    assert_readable(figure)


def test_a_subject_may_lay_out_its_narrow_figure_itself():
    """It is drawn in place of the same panels in the same order."""
    other = make_figure("other", [Block("", [[Points(title="b")], [Points(title="a")]])], marks=[MARK])
    figure = make_figure("wide", [Block("", [[Points(title="a"), Points(title="b")]])], marks=[MARK], narrow=other)
    assert [axes.get_title() for axes in figure.draw().axes] == ["a", "b"]
    assert [axes.get_title() for axes in figure.draw(narrow=True).axes] == ["b", "a"]


def test_pictures_are_written_in_pairs(tmp_path):
    """By the same names in two folders; further pictures of earlier data are removed from both."""
    file = tmp_path / "quickstart-cpu.json"
    first = pictures.write(file, dict.fromkeys(["", "2-old", "3-other"], pictures.Picture(b"wide", b"narrow")))
    assert first == {"": file.with_suffix(".png")} | {
        part: tmp_path / f"quickstart-cpu-{part}.png" for part in ("2-old", "3-other")
    }
    pictures.write(file, dict.fromkeys(["", "2-other"], pictures.Picture(b"wide", b"narrow")))
    for folder, content in ((tmp_path, b"wide"), (tmp_path / "narrow", b"narrow")):
        found = {picture.name: picture.read_bytes() for picture in folder.glob("*.png")}
        assert found == dict.fromkeys(["quickstart-cpu.png", "quickstart-cpu-2-other.png"], content)
