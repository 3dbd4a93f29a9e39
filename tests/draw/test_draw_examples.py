"""Every public function of bnjax.draw has an example, and it runs."""

import doctest
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from matplotlib.figure import Figure

from bnjax import draw, probes

PUBLIC = {name: value for name, value in vars(draw).items() if inspect.isfunction(value)}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("name", ["bnjax.draw", *PUBLIC])
def test_the_example_runs(name, tmp_path, monkeypatch):
    """An example prints what it shows; it may use the names that are given here."""
    monkeypatch.chdir(tmp_path)
    names = {"draw": draw, "probes": probes, "jax": jax, "jnp": jnp, "Figure": Figure, "Path": Path}
    text = inspect.getdoc(PUBLIC.get(name, draw))
    test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert test.examples
    report = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)


def test_the_package_lists_its_functions():
    """Each public function stands in the docstring of the package, and takes an axis first if it draws a panel."""
    assert all(name in draw.__doc__ for name in PUBLIC)
    panels = {name: value for name, value in PUBLIC.items() if name not in ("figure", "draw_next")}
    assert len(panels) == 17
    assert all(next(iter(inspect.signature(function).parameters)) == "ax" for function in panels.values())


def test_an_unknown_quantity_is_named():
    """The message lists those that there are."""
    scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3))
    with pytest.raises(ValueError, match=r"quantity must be one of loss, gradient_distance, .*, got 'gradient'\."):
        draw.draw_line(Figure().subplots(), scan, "gradient")
