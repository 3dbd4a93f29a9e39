"""Calls of the table with one argument replaced by a bad value, and whether what is told of it names the argument."""

import functools
import importlib
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from calls import CALLS

BAD = {
    "None": None,
    "-1": -1,
    "0": 0,
    "nan": float("nan"),
    "inf": float("inf"),
    "a string": "x",
    "huge": 1e300,
    "a huge whole number": 10**30,
    "nothing": (),
    "an empty array": jnp.zeros(0),
    "a wrong shape": jnp.ones((2, 3, 5, 7)),
    "strings": np.array(["a", "b"]),
    "an object": object(),
}
# What an argument is called where its values are used.
ALSO = {
    ("data.load", "name"): "dataset",
    ("losses.get_loss", "name"): "loss",
    ("losses.squared_error", "targets"): "labels",
}


def _looked_up(name):
    """Return where a function of the table is looked up when it is called, its name there, and itself."""
    part, *steps, last = name.split(".")
    where = functools.reduce(getattr, steps, importlib.import_module(f"bnjax.{part}"))
    return where, last, getattr(where, last)


def _signature(function):
    """Return the signature of a function, or of what makes a module."""
    made_by = function.__init__ if inspect.isclass(function) else None
    signature = inspect.signature(function if made_by is None else made_by)
    return signature if made_by is None else signature.replace(parameters=[*signature.parameters.values()][1:])


def bad_arguments(name):
    """List the arguments of a function, and the bad values of each: (argument, what the value is, value)."""
    for parameter in _signature(_looked_up(name)[2]).parameters.values():
        is_flaxs = name.startswith("linen.") and parameter.name in ("parent", "name")
        if is_flaxs or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        for what, value in BAD.items():
            if value is not parameter.default:
                yield parameter.name, what, value


def untold(name, argument, value):
    """Call a function with a bad argument; return its error where that does not name the argument, else None."""
    where, attribute, function = _looked_up(name)
    signature = _signature(function)

    def disturbed(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.arguments[argument] = value
        return function(*bound.args, **bound.kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, attribute, disturbed)
        try:
            jax.block_until_ready(CALLS[name](1))
        except Exception as error:
            return None if _names(error, name, argument, signature.parameters) else error
    return None


def _names(error, name, argument, arguments):
    """Return whether an error names the argument, or another one which it contradicts first of all."""
    if isinstance(error, OSError):
        return bool(error.filename)  # nothing is there
    text = str(error)
    if type(error).__module__.startswith("flax."):  # what the user's own model raises is for the user
        return True
    said = {argument, ALSO.get((name, argument), argument)}
    named = any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in said)
    # A module's arguments can contradict its input, or the statistics that it made.
    contradicted = re.match(rf"({'|'.join([*arguments, 'x', 'axis', 'stats', 'scale', 'bias'])})\b[^:]* must", text)
    return isinstance(error, ValueError | TypeError) and bool(named or contradicted)
