"""Files from elsewhere are data: nothing in them is run, and no name in them or in a configuration leads out of its folder."""

import ast
import pickle
import sys
import typing
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest
import tiny
from conftest import ROOT

from bnjax import probes
from bnjax.probes.chunks import run_chunks
from bnjax.runs import read_json, write_json
from experiments._command import catalogue
from experiments._config import Norm
from experiments._config.probes import CHOICES

# What runs, or makes objects of, what it reads.
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "jsonpickle"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}


def unsafe(source):
    """List what could run, in a source, what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from {alias.name.split(".")[0] for alias in node.names} & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom):
            yield from {(node.module or "").split(".")[0]} & UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in UNSAFE_CALLS or (name.endswith("np.load") and keywords.get("allow_pickle") != "False"):
                yield name


def test_no_source_runs_what_it_reads():
    """No module that makes objects of what it reads is imported, no text is evaluated, no archive is read with pickles."""
    for folder in ("bnjax", "experiments"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            assert not list(unsafe(file.read_text())), file
    assert list(
        unsafe("import pickle as p; from dill import load; eval('1'); np.load(f); np.load(f, allow_pickle=True)")
    ) == [*("pickle", "dill", "eval", "np.load", "np.load")]


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize(
    "read",
    [probes.load, lambda file: run_chunks(lambda x: x, np.arange(4), resume=file)],
    ids=["result", "resumed scan"],
)
@pytest.mark.parametrize("whole", [True, False])
def test_pickles_are_refused(read, whole, tmp_path):
    """A file that is a pickle, or an archive with one in every place, is told to be none of ours, and not unpickled."""
    file, trap = tmp_path / "result.npz", Trap(tmp_path / "sprung")
    if whole:
        file.write_bytes(pickle.dumps(trap))
    else:
        names = ("leaf_0", "identity", "is_done", "dtypes", "step_sizes", "class", "__class__")
        np.savez(file, **dict.fromkeys(names, np.array([trap], object)))
    with pytest.raises(ValueError, match=r"result\.npz"):
        read(file)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(trap))
    assert (tmp_path / "sprung").exists()  # the trap works


EVENTS: list[str] = []
LISTENING: list[Path] = []


def listen(event, arguments):
    """Note what is unpickled, and what is run from a folder of results."""
    if LISTENING and (
        event == "pickle.find_class" or (event in ("exec", "import") and str(LISTENING[0]) in str(arguments))
    ):
        EVENTS.append(f"{event} {arguments}")


@pytest.mark.slow
def test_a_run_from_elsewhere_is_only_read(tmp_path, monkeypatch):
    """Resuming a run, and drawing what is finished, unpickles nothing and runs nothing that lies in its folder."""
    sys.addaudithook(listen)
    results = tmp_path / "results"
    assert tiny.call(results, "--checkpoint-seconds", "0") == 0
    for name in ("config", "sitecustomize", "orbax", "conftest"):
        for folder in [results, *(file for file in results.rglob("*") if file.is_dir())]:
            (folder / f"{name}.py").write_text("raise SystemExit('run')")
    monkeypatch.setattr("sys.path", list(sys.path))
    LISTENING.append(results)
    try:
        assert tiny.call(results) == 0
        next(results.glob("mlp-*/seed0/finished.json")).unlink()
        assert tiny.call(results) == 0
        assert pickle.loads(pickle.dumps(Path("x"))) == Path("x")
    finally:
        LISTENING.clear()
    assert len(EVENTS) >= 1
    assert all("pathlib" in event for event in EVENTS), EVENTS  # those of the line that shows that the hook hears


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", ["__import__('pathlib').Path('sprung').touch()", "${PATH}", "\x1b[2J", {"__class__": "Path"}, ["x"]]
)
def test_a_configuration_from_elsewhere_is_only_compared(value, tmp_path, capsys, monkeypatch):
    """What its fields say is shown in one line of plain characters, and the run is refused."""
    monkeypatch.chdir(tmp_path)
    assert tiny.call(tmp_path / "results") == 0
    file = next((tmp_path / "results").glob("mlp-*/config.json"))
    config = read_json(file)
    write_json(file, config | {"optimizer": config["optimizer"] | {"learning_rate": value}})
    capsys.readouterr()
    assert tiny.call(tmp_path / "results") == 2
    error = capsys.readouterr().err.rpartition("\r")[2].strip()
    assert f"holds runs with optimizer.learning_rate {value!r}, this one has 0.5" in error
    assert error.isprintable()
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("finished.json", "{}"),
        ("finished.json", '{"seconds": "x\\u001b[2J", "provenance": []}'),
        ("finished.json", '{"seconds": 1, "provenance": [5]}'),
        ("metrics.jsonl", ""),
        ("metrics.jsonl", "[1, 2]\n"),
        ("metrics.jsonl", '{"kind": "train"}\n'),
        ("metrics.jsonl", '{"kind": "train", "step": 0, "loss": ["a"], "accuracy": [1]}\n'),
        ("metrics.jsonl", "\x1b[2J\n"),
    ],
)
def test_a_finished_run_that_is_none(name, content, trained, tmp_path, capsys):
    """Whatever a finished run holds in place of its results is told in one line of plain characters."""
    (run,) = trained.glob("mlp-*/seed0")
    whole = (run / name).read_bytes()
    (run / name).write_text(content)
    try:
        assert tiny.call(trained) == 2
    finally:
        (run / name).write_bytes(whole)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: The finished run in {run} cannot be read (")
    assert error.endswith("Move that folder away to train it again.")
    assert error.isprintable()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Results of a run that is finished."""
    results = tmp_path_factory.mktemp("trained")
    assert tiny.call(results) == 0
    return results


def text_fields(kind, prefix=""):
    """List the fields of a dataclass, and of those in it, that can hold any text."""
    for name, annotation in typing.get_type_hints(kind).items():
        if typing.get_origin(annotation) is typing.ClassVar:
            continue
        if is_dataclass(annotation):
            yield from text_fields(annotation, f"{prefix}{name}.")
        elif str in (annotation, *typing.get_args(annotation), *inner(annotation)):
            yield f"{prefix}{name}"


def inner(annotation):
    """List the types within those of an annotation."""
    return [kind for argument in typing.get_args(annotation) for kind in typing.get_args(argument)]


def test_no_field_of_a_configuration_can_be_a_path():
    """Whatever has letters in a configuration is one of a few words; only options, which say where files lie, are free."""
    for name in catalogue.names():
        for config in catalogue.module(name).PRESETS.values():
            assert not list(text_fields(type(config))), name
    for kind in (*Norm.choices().values(), *CHOICES.values()):
        assert not list(text_fields(kind))
    assert list(text_fields(typing.NamedTuple("Free", [("a", str), ("b", str | None), ("c", tuple[str, ...])]))) == [
        *"abc"
    ]


@pytest.mark.parametrize("dataset", ["../../digits", "/etc/passwd", "digits/.."])
def test_a_data_set_is_a_name(dataset, tmp_path, capsys):
    """A path in place of a name is refused before anything is read or written."""
    assert tiny.call(tmp_path / "results", "--data.dataset", dataset) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())
