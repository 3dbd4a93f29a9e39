"""Every public name has an example in its docstring, which runs and prints what it shows."""

import doctest
import importlib
import inspect
import pkgutil
import re
import typing

import jax
import jax.numpy as jnp
import pytest

import bnjax

MODULES = [
    module.name
    for module in pkgutil.walk_packages(bnjax.__path__, "bnjax.")
    # Those of `bnjax.draw` have a test of their own.
    if not module.name.startswith("bnjax.draw") and not module.name.endswith("__main__")
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


def public():
    """List the functions and classes that users import, by where they are imported from."""
    for part in bnjax._MODULES:
        yield from _offered(importlib.import_module(f"bnjax.{part}"))


def _offered(module):
    """List what a module offers: what it imports under its own name, `import name as name`, or defines if it is a file."""
    source, is_package = inspect.getsource(module), hasattr(module, "__path__")
    for name in sorted({*vars(module), *re.findall(r"import (\w+) as \1$", source, re.MULTILINE)}):
        value = getattr(module, name)
        is_imported = f"import {name} as {name}\n" in source
        if is_imported and inspect.ismodule(value):
            yield from _offered(value)
        elif inspect.isfunction(value) or inspect.isclass(value):
            is_own = not is_package and not name.startswith("_") and value.__module__ == module.__name__
            if is_imported or is_own:
                yield f"{module.__name__}.{name}", value


def classes_in(annotation):
    """List the classes that an annotation names, at any depth."""
    if inspect.isclass(annotation):
        yield annotation
    for part in typing.get_args(annotation):
        yield from classes_in(part)


def without_example(names):
    """List the public names that nothing shows.

    A function is shown by its docstring's example. So is a class, or it is shown where it comes from: in the example of a
    public function that returns it. Exceptions, and protocols, which describe a caller's functions, are made by no user.
    """
    shown = {value for value in names.values() if ">>>" in (value.__doc__ or "")}
    functions = filter(inspect.isfunction, shown)
    returned = {cls for function in functions for cls in classes_in(inspect.signature(function).return_annotation)}
    for name, value in names.items():
        is_exempt = inspect.isclass(value) and (issubclass(value, Exception) or getattr(value, "_is_protocol", False))
        if value not in shown | returned and not is_exempt:
            yield name


def test_every_public_name_has_an_example():
    """None is left out, and each example is among those that run here, or has a test of its own."""
    names = dict(public())
    assert len(names) > 200
    assert [*without_example(names)] == []
    shown = {f"{value.__module__}.{value.__name__}" for value in names.values() if ">>>" in (value.__doc__ or "")}
    elsewhere = ("bnjax.draw.", "bnjax._host.groups.measured_batching")
    assert [name for name in shown - {test.name for test in EXAMPLES} if not name.startswith(elsewhere)] == []


def test_a_name_without_example_is_found():
    """A function without one, and a class that only this function returns."""

    class Result(typing.NamedTuple):
        value: int

    def make() -> Result:
        return Result(1)

    assert [*without_example({"make": make, "Result": Result})] == ["make", "Result"]
    make.__doc__ = ">>> make()"
    assert [*without_example({"make": make, "Result": Result})] == []
