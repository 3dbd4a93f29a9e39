"""Public functions that are called outside of compiled code compile for the first call, and not for calls like it."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import pytest
from calls import CALLS, in_plain_steps
from flax import linen as nn
from flax import nnx as flax_nnx

import bnjax
from bnjax.probes import curvature, directions

# Of these the first calls take longer than a second.
SLOW = {
    "draw.draw_surface",
    "norms.recalibrate",
    "probes.curvature.top_eigenpairs",
    "probes.curvature.spectral_density",
    "probes.directions.principal",
    "sweep.run_steps",
    "train.train_step",
}
# What has no arrays, needs a file or a library that may be missing, or compiles what a caller's own function holds now.
LEFT_OUT = {
    "convert": {"from_equinox", "to_equinox"},
    "data": {"check_prepared"},
    "draw": {"draw_next"},
    "sweep": {"train_grid", "train_groups"},
    "types": {"check_flag", "check_moved", "linen_arguments", "linen_collections", "missing_key"},
    "runs": {
        "config_dict",
        "config_hash",
        "check_no_link",
        "conflicts",
        "folder_name",
        "is_locked",
        "latest_step",
        "lock",
        "pack",
        "parse_lines",
        "provenance",
        "read_about",
        "read_json",
        "read_metrics",
        "read_packed",
        "read_pinned",
        "run_folder",
        "write_json",
    },
}


def public(part):
    """List the functions and Flax modules that a part of bnjax offers."""
    package = importlib.import_module(f"bnjax.{part}")
    for name in {*vars(package), *getattr(package, "_MODULES", ()), *getattr(package, "_PLACES", ())}:
        value = getattr(package, name)
        is_ours = getattr(value, "__module__", "").startswith(f"bnjax.{part}") and not name.startswith("_")
        is_module = inspect.isclass(value) and issubclass(value, nn.Module | flax_nnx.Module) and part != "models"
        if is_ours and (inspect.isfunction(value) or is_module):
            yield f"{part}.{name}"
    if part == "probes":
        # Whose files are others.
        yield from ("probes.curvature.hvp", "probes.curvature.gauss_newton")
        yield from ("probes.directions.principal", "probes.directions.through")
        for group in (curvature, directions):
            functions = [
                name for name, value in vars(group).items() if getattr(value, "__module__", "") == group.__name__
            ]
            yield from (
                f"probes.{group.__name__.split('.')[-1]}.{name}" for name in functions if _is_public(group, name)
            )


def _is_public(group, name):
    """Return whether a name is a public function."""
    return inspect.isfunction(vars(group)[name]) and not name.startswith("_")


def test_every_public_function_is_called():
    """The table holds each, but for those that are named with a reason."""
    expected = {name for part in bnjax._MODULES for name in public(part)}
    left_out = {f"{part}.{name}" for part, names in LEFT_OUT.items() for name in names}
    assert left_out <= expected
    assert expected - left_out == {*CALLS}


def gradient(call):
    """Differentiate what a call returns by what it is given."""
    return lambda i: jax.grad(lambda t: jnp.sum(jax.tree.leaves(call(t))[0]))(float(i))


def cases():
    """List the calls, gradients of what normalises and convolves, and a training loop in which nothing is jitted."""
    layers = [
        name for name in CALLS if name.startswith(("norms.", "ops.")) and name.endswith(("norm", "dilated", "2x2"))
    ]
    gradients = {f"gradient of {name}": gradient(CALLS[name]) for name in layers if "fold" not in name}
    for name, call in {**CALLS, **gradients, "a plain loop": in_plain_steps}.items():
        yield pytest.param(call, id=name, marks=[pytest.mark.thorough] if name in SLOW else [])


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("call", [*cases()])
def test_equal_shapes_are_compiled_once(call, compilations):
    """Of five calls with other values none compiles anything after the second."""
    for i in range(1, 6):
        jax.block_until_ready(call(i))
        if i == 2:
            before = compilations()
    assert compilations() == before


def test_a_compilation_is_seen(compilations):
    """That of a function that is made anew, for one."""
    for _ in range(2):
        before = compilations()
        jax.jit(lambda x: x + 1)(jnp.ones(3))
        assert compilations() > before
