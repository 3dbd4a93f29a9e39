"""The picture of ratios on the report's page: published ones beside measured ones."""

import pytest
from reporting import committed_report

from experiments._report import forest


@pytest.mark.parametrize(
    ("text", "ratios"),
    [
        ("1.5 / 0.66 to 3.0 / 0.38, or 2.3 to 7.9 times", (2.3, 7.9)),
        ("about 1,000 / fewer than 300, or more than 3 times", (3, 3)),
        ("6870 / 4.0, 5990 / 0.92, or 1,500 times and more", (1500, 1500)),
        ("231 / 38 and 255 / 34, or 6.1 and 7.5 times", (6.1, 7.5)),
        ("60 points - 28 points, or +32 points", None),
        ("-", None),
    ],
)
def test_published_ratios_are_read(text, ratios):
    """The smallest and the largest of those that a claim names."""
    assert forest.published_ratios(text) == ratios


@pytest.mark.slow
def test_the_forest_has_one_axis():
    """Published and measured ratios stand where their logarithms do; 1 is at the same place in each row."""
    rows, ticks = forest.ratios(committed_report().entries)
    assert len(rows) > 20
    assert len({row.places["one"] for row in rows}) == 1
    for row in rows:
        places = row.places
        assert places["low"] <= places["median"] <= places["high"]
        assert 0 <= min(places.values()) <= max(places.values()) <= 100
        assert (places["median"] < places["one"]) == (row.judgement.median < 1)
    assert ticks["1"] == rows[0].places["one"]
