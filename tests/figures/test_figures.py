"""The experiments' figures can be read."""

import pytest
from committed import RUN, read
from drawn import assert_readable
from matplotlib.figure import Figure

from experiments._command import catalogue


def test_the_check_of_texts_sees_what_is_wrong():
    """A text that is cut off and two on top of each other are found."""
    for places in ([(-0.1, 0.5)], [(0.5, 0.5), (0.52, 0.51)]):
        figure = Figure()
        for place in places:
            figure.text(*place, "hidden")
        with pytest.raises(AssertionError):
            assert_readable(figure)


@pytest.mark.parametrize("experiment", ["quickstart", pytest.param("landscape", marks=pytest.mark.thorough)])
def test_the_experiments_figure_is_readable(experiment):
    """What lines and colours mean stands above the axes, not in them."""
    figure = catalogue.part(experiment, "figure").plot(read(experiment)).draw()
    assert_readable(figure)
    assert all(panel.get_legend() is None for panel in figure.axes)
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words[:2] == ["without BN", "with BN"]
    accuracy = experiment == "quickstart"
    assert [word.partition(",")[0] for word in words[2:]] == ["training", "test"] * accuracy


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in RUN if name != "quickstart"])
def test_every_committed_picture_tells_one_story(name):
    """Whatever is drawn of the committed data can be read, in at most nine panels, and on a narrow screen, too."""
    data = read(name)
    module = catalogue.part(name, "figure")
    for plot in (module.plot, *getattr(module, "more", lambda data: {})(data).values()):
        layout = plot(data)
        assert_readable(layout.draw(narrow=True))
        figure = layout.draw()
        assert_readable(figure)
        assert len([axes for axes in figure.axes if axes.get_label() != "<colorbar>"]) <= 9
