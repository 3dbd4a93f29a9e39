"""Results on disk."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import probes
from bnjax.probes.directions import PrincipalAxes
from bnjax.probes.results import LayerNames, Word, load_result, registered, save_result
from bnjax.probes.spectra import EigenPairs, SpectralDensity, Trace
from bnjax.types import ObjectiveInfo

INFO = ObjectiveInfo("batch", 8, 16)
ROW = jnp.array([1.0, jnp.nan])
TABLE = jnp.arange(6.0).reshape(2, 3)
KEY = jax.random.key_data(jax.random.key(1))
PARAMS = {"layers": {0: {"kernel": TABLE, "bias": ROW.astype(jnp.bfloat16)}}, "rest": [ROW, (), (jnp.array(2), None)]}
NO_RESULT = r"result must be the whole file of a result, got another one or a part of one\.$"
EXAMPLES = (
    probes.LineScan(ROW, ROW, ROW, ROW, ROW[0], ROW[1], ROW[0], INFO, ROW, ROW[0]),
    probes.PlaneScan(ROW, jnp.arange(3.0), TABLE, ROW[0], ROW[0], ROW[0], ROW[1], INFO),
    probes.Barrier(ROW, ROW, ROW[0], ROW[0], ROW[1], INFO),
    probes.CovariateShift(LayerNames(("a", "b|c")), ROW, ROW, ROW, ROW, INFO),
    probes.GradientStatistics(LayerNames(("a", "b")), *(ROW,) * 7),
    probes.ActivationStatistics(jnp.arange(2), jnp.array(3), ROW, ROW, TABLE[0], TABLE, TABLE, ROW, TABLE, ROW),
    EigenPairs(ROW, {"a/b": TABLE, "c": ROW}, ROW, ROW > 0, jnp.array(7), 5, Word("top"), None, KEY, INFO),
    Trace(ROW[0], ROW[1], ROW, 5, Word("kernel|b"), KEY, INFO),
    probes.BatchSharpness(ROW[0], ROW[1], ROW, ROW, INFO),
    probes.RelativeSharpness(LayerNames(("a", "b")), ROW[0], ROW[0], ROW, TABLE[0], ROW, ROW[1], ROW, ROW, INFO),
    probes.LayerDependence(
        LayerNames(("a", "b")), ROW[:1], ROW[:1], ROW[None], ROW, jnp.eye(2), ROW[0], ROW[1], ROW[0], INFO
    ),
    probes.MomentControl(LayerNames(("a", "b")), *(ROW,) * 7),
    SpectralDensity(ROW, ROW, ROW, ROW[0], TABLE, TABLE, 5, None, KEY, INFO),
    probes.Shift(*(TABLE,) * 5, 2 * TABLE),
    probes.Drift(probes.Shift(*(ROW,) * 6), probes.Shift(*(TABLE,) * 5, 2 * TABLE)),
    PrincipalAxes(PARAMS, jax.tree.map(lambda leaf: 2 * leaf, PARAMS), TABLE.T, ROW),
)


def assert_same(a, b):
    """Compare two results: structures, names, types and, to the bit, numbers."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for mine, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert isinstance(mine, jax.Array) == isinstance(theirs, jax.Array)
        assert jnp.result_type(mine) == jnp.result_type(theirs)
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


@pytest.mark.parametrize("name", registered())
def test_every_result_survives_its_file(name, tmp_path):
    """What is loaded without saying what it is, or by its class, is what was saved, and can be mapped over."""
    (example,) = (example for example in EXAMPLES if type(example).__name__ == name)
    example.save(tmp_path / "result")
    for loaded in (probes.load(tmp_path / "result"), registered()[name].load(tmp_path / "result")):
        assert type(loaded) is type(example) is registered()[name]
        assert_same(loaded, example)


def test_every_result_is_registered():
    """Whatever a probe's module has with a `save` is found by `load`."""
    modules = [vars(module) for module in vars(probes).values() if getattr(module, "__name__", "").startswith("bnjax.")]
    found = {value for names in (vars(probes), *modules) for value in names.values() if hasattr(value, "_fields")}
    assert {cls for cls in found if hasattr(cls, "save")} == set(registered().values())


def rewritten(path, change):
    """Write an npz file again with its arrays changed."""
    with np.load(path) as file:
        arrays = change({key: file[key] for key in file.files})
    with open(path, "wb") as file:
        np.savez(file, **arrays)


class Everything(NamedTuple):
    """A result with every kind of field."""

    values: Any
    by_layer: Any
    objective: Any
    name: Any
    seed: Any
    nothing: Any


@pytest.mark.parametrize("example", EXAMPLES[:-2], ids=lambda example: type(example).__name__)
def test_a_file_from_before_classes_were_recorded(example, tmp_path):
    """Its own class reads it, newer fields unknown, another one does not, and `load` asks for the class."""
    path = tmp_path / "result"

    newer = ("_result", *example._field_defaults)
    example = example._replace(**example._field_defaults)

    def as_before(arrays):
        named = {
            key: array for key, array in arrays.items() if key not in newer and not re.search(r"\|(leaf|tree)", key)
        }
        if "eigenvectors" in example._fields:
            named |= {f"eigenvectors|key:{key}": value for key, value in example.eigenvectors.items()}
        return named

    example.save(path)
    rewritten(path, as_before)
    assert_same(type(example).load(path), example)
    other = probes.LineScan if isinstance(example, probes.PlaneScan) else probes.PlaneScan
    with pytest.raises(ValueError, match=f"must hold {other.__name__}, with the fields .*; got .*{example._fields[0]}"):
        other.load(path)
    with pytest.raises(ValueError, match=f"result must name the class of its result, got .*{example._fields[0]}"):
        probes.load(path)


def test_another_result_is_refused(tmp_path):
    """The line names the file, what is expected and what was found; so it does for a class that is not known."""
    path = tmp_path / "result"
    EXAMPLES[1].save(path)
    with pytest.raises(ValueError, match=r"result must hold LineScan, got PlaneScan\.$"):
        probes.LineScan.load(path)
    save_result(Everything(1, 2, 3, 4, 5, 6), path)
    with pytest.raises(ValueError, match=r"result must hold one of ActivationStatistics, .*, Trace, got Everything\."):
        probes.load(path)


def text(path):
    """Write something that is no archive."""
    path.write_text("step_sizes 0.1 0.2")


def cut_short(path):
    """Leave out the end."""
    path.write_bytes(path.read_bytes()[:-100])


def damage(path):
    """Change what is within."""
    content = path.read_bytes()
    path.write_bytes(content[:200] + b"#" * 50 + content[250:])


def single_array(path):
    """Write an array by itself."""
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (text, NO_RESULT),
        (cut_short, NO_RESULT),
        (lambda path: path.write_bytes(b""), NO_RESULT),
        (single_array, NO_RESULT),
        (damage, NO_RESULT),
        (lambda path: rewritten(path, lambda arrays: {"x": np.ones(2)}), "got .*fields x|fields .*; got x"),
        (lambda path: rewritten(path, lambda arrays: {}), "got .*fields |fields .*; got none"),
        (
            lambda path: rewritten(path, lambda arrays: {key: a for key, a in arrays.items() if key != "loss"}),
            "must hold PlaneScan, with the fields xs, ys, loss, .*; got xs, ys, start_loss",
        ),
    ],
)
@pytest.mark.parametrize("load", [probes.load, probes.PlaneScan.load])
def test_a_file_that_is_none_is_refused(spoil, message, load, tmp_path):
    """One line names the file and what is wrong with it."""
    path = tmp_path / "result"
    EXAMPLES[1].save(path)
    spoil(path)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_stays_missing(tmp_path):
    """It is Python's own error."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        probes.load(tmp_path / "nowhere")


def test_what_cannot_come_back_is_not_saved(tmp_path):
    """A tree of other nodes is refused by the name of its field, and what was there before stays."""
    path = tmp_path / "result"
    path.write_text("precious")
    for node in (EXAMPLES[1], {(1, 2): ROW}, [object()]):
        with pytest.raises(ValueError, match="direction_y must be an array or made of dictionaries, lists and tuples"):
            EXAMPLES[-1]._replace(direction_y={"a": ROW, "b": node}).save(path)
    assert path.read_text() == "precious"


def test_results_within_results(tmp_path):
    """A registered result comes back as one wherever it stands in a tree, and within another."""
    shift = EXAMPLES[-3]
    fields = [shift, [shift, {"a": probes.Drift(shift, shift)}], (shift._replace(mean={"b": (shift,)}),)]
    result = Everything(*fields, "", 0, None)
    save_result(result, tmp_path / "result")
    assert_same(load_result(Everything, tmp_path / "result")[:3], result[:3])


def test_newer_fields_have_their_defaults(tmp_path):
    """A file from before a field was added is read by a class that has a default for it."""

    class Newer(NamedTuple):
        values: Any
        later: Any = None

    save_result(NamedTuple("Newer", [("values", Any)])(ROW), tmp_path / "result")
    assert load_result(Newer, tmp_path / "result").later is None
