"""Examples in docstrings run, and print what they show; those of `bnjax.draw` have a test of their own."""

import doctest
import importlib
import pkgutil

import jax
import jax.numpy as jnp
import pytest

import bnjax

MODULES = [
    module.name
    for module in pkgutil.walk_packages(bnjax.__path__, "bnjax.")
    if not module.name.startswith(("bnjax.draw", "bnjax.convert")) and not module.name.endswith("__main__")
]
EXAMPLES = [
    test
    for name in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(
        importlib.import_module(name), name, extraglobs={"jax": jax, "jnp": jnp}
    )
    if test.examples
]


@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_the_example_runs(test):
    """It may use the names that are given here."""
    report = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)
