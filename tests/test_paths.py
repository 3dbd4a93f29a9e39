"""Parameters by path."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict

from bnjax.probes import paths

PARAMS = {"conv_1": {"kernel": jnp.ones(3), "bias": jnp.ones(2)}, "dense": [jnp.ones(4), jnp.ones(1)]}


def test_names():
    """A path is its keys joined by slashes, indices included."""
    assert list(paths.named_leaves(PARAMS)) == ["conv_1/bias", "conv_1/kernel", "dense/0", "dense/1"]


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("kernel", ["conv_1/kernel"]),
        ("^conv_1/", ["conv_1/bias", "conv_1/kernel"]),
        (r"\d$", ["dense/0", "dense/1"]),
        ("", ["conv_1/bias", "conv_1/kernel", "dense/0", "dense/1"]),
    ],
)
def test_selection(pattern, selected):
    """A pattern selects the paths that it matches anywhere; the rest becomes zero."""
    mask = paths.select(PARAMS, pattern)
    assert [path for path, chosen in paths.named_leaves(mask).items() if chosen] == selected
    for path, leaf in paths.named_leaves(paths.keep_selected(PARAMS, mask)).items():
        np.testing.assert_array_equal(leaf, 1.0 if path in selected else 0.0)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "norm",
            "pattern must match a path of the parameters, conv_1/bias, conv_1/kernel, dense/0, dense/1; got 'norm'",
        ),
        ("(", r"pattern must be a regular expression, got '\('"),
    ],
)
def test_patterns_that_select_nothing(pattern, message):
    """One line names the pattern and what there is."""
    with pytest.raises(ValueError, match=message):
        paths.select(PARAMS, pattern)


@pytest.mark.usefixtures("as_a_user")
def test_a_number_is_no_pattern():
    """Nor is anything else that is no text: the line names the argument that it is."""
    number: Any = -1
    with pytest.raises(
        ValueError, match=r"trained must be a regular expression, got -1: first argument must be string"
    ):
        paths.select(PARAMS, number, "trained")


def test_layers_are_paths_or_patterns():
    """A path is a layer up to its next "/", anything else a regular expression; without layers each array is one."""
    params = {
        "conv_1": {"bias": jnp.ones(2), "kernel": jnp.ones((3, 2))},
        "conv_10": {"kernel": jnp.ones((2, 2))},
        "norm_1": {"scale": jnp.ones(4)},
    }
    assert list(paths.layer_leaves(params)) == ["conv_1/bias", "conv_1/kernel", "conv_10/kernel", "norm_1/scale"]
    assert paths.layer_leaves(params, "conv_1") == {"conv_1": (0, 1)}
    assert paths.layer_leaves(params, ["norm_1/", "conv_1/kernel"]) == {"norm_1/": (3,), "conv_1/kernel": (1,)}
    assert paths.layer_leaves(params, {"first": r"^(conv|norm)_1/", "all": ""}) == {
        "first": (0, 1, 3),
        "all": (0, 1, 2, 3),
    }
    assert paths.layer_leaves(params, ["kernel"]) == {"kernel": (1, 2)}
    assert paths.layer_leaves(jnp.ones(2), None) == {"": (0,)}


def test_unlike_trees_are_named_by_path():
    """The first path that differs is in the message."""
    other = {**PARAMS, "dense": [jnp.ones(4)]}
    with pytest.raises(ValueError, match=r"direction must be like params, but at dense/1 params has shape \(1,\)"):
        paths.check_alike("direction", other, PARAMS)


@pytest.mark.parametrize(
    ("tree", "like", "message"),
    [
        ({"a": (1.0, 2.0)}, {"a": [1.0, 2.0]}, "but v has tuple where params has list"),
        (FrozenDict({"a": 1.0}), {"a": 1.0}, "but v has FrozenDict where params has dict"),
        ({"a": 1.0, "b": None}, {"a": 1.0}, r"but v has dict of \['a', 'b'\] where params has dict of \['a'\]"),
        ({"a/b": 1.0}, {"a": {"b": 1.0}}, r"but at a/b params has shape \(\) and v nothing"),
        ({"a": {"b": 1.0}}, {"a/b": 1.0}, r"but at 'a/b' params has shape \(\) and v nothing"),
    ],
)
def test_unlike_containers_are_named(tree, like, message):
    """Where the shapes agree, the first containers that differ are in the message, which is one line."""
    with pytest.raises(ValueError, match=rf"^v must be like params, {message}\.$"):
        paths.check_alike("v", tree, like)


def test_alike_trees_pass():
    """Equal trees raise nothing, keys with a "/" included."""
    tree = {"a/b": jnp.ones(2), "a": {"b": jnp.ones(3)}}
    paths.check_alike("v", tree, dict(reversed(tree.items())))


def test_paths_that_coincide_are_refused():
    """A key that holds a "/" must not give two arrays one name."""
    params = {"a/b": jnp.ones(2), "a": {"b": jnp.ones(2)}}
    for use in (lambda: paths.selected_leaves(params, "a"), lambda: paths.layer_leaves(params)):
        with pytest.raises(ValueError, match=r"paths of parameters must differ, got 'a/b' twice"):
            use()


def test_a_layer_that_is_no_text_is_refused(as_a_user):
    """The line names the layer."""
    layers: Any = {"first": ["conv_1"]}
    with pytest.raises(
        ValueError, match=r"layers must be strings, paths or regular expressions, got \['conv_1'\] for 'first'"
    ):
        paths.layer_leaves(PARAMS, layers)
