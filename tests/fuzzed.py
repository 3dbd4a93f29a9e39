"""Calls of the table with one argument replaced by a bad value, and what is told of it."""

import importlib
import inspect
import re
from functools import partial

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
    "text": "x",
    "huge": 1e300,
    "huge whole": 10**30,
    "empty": jnp.zeros(0),
    "nothing": (),
    "wrong shape": jnp.ones((2, 3, 5, 7)),
    "wrong type": np.array(["a", "b"]),
    "an object": object(),
}


def place(name):
    """Return where a function of the table is looked up when it is called, its name there, and itself."""
    part, *rest = name.split(".")
    where = importlib.import_module(f"bnjax.{part}")
    for step in rest[:-1]:
        where = getattr(where, step)
    return where, rest[-1], getattr(where, rest[-1])


def arguments_of(name):
    """List the arguments that a call of the table has or could have."""
    _, _, function = place(name)
    if inspect.isclass(function) and name.startswith("nnx."):
        function = partial(function.__init__, None)
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("parent", "name") and name.startswith("linen."):
            continue
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            found.append(parameter.name)
    return found


def told(name, argument, value):
    """Call a function with a bad argument; return what is wrong with the answer, or None."""
    where, attribute, function = place(name)
    inner = partial(function.__init__, None) if inspect.isclass(function) and name.startswith("nnx.") else function
    signature = inspect.signature(inner)

    def disturbed(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.arguments[argument] = value
        return function(*bound.args, **bound.kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, attribute, disturbed)
        try:
            jax.block_until_ready(CALLS[name](1))
        except (ValueError, TypeError) as error:
            if not re.search(rf"\b{argument}\b", str(error)):
                return f"{type(error).__name__}: {str(error)[:200]!r}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:200]!r}"
    return None
