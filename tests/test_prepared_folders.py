"""What is said of folders of prepared sets before anything is read: what they describe, and where they are."""

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from prepared_sets import VERSION, describe, prepare

from bnjax import data


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "cifar10"}, f"dataset_info.json must describe mnist {VERSION}, it describes cifar10 {VERSION}"),
        ({"version": "1.0.0"}, f"dataset_info.json must describe mnist {VERSION}, it describes mnist 1.0.0"),
        ({"version": None}, f"dataset_info.json must describe mnist {VERSION}, it describes mnist None"),
        *(
            ({"train": {"shardLengths": [wrong]}}, "dataset_info.json cannot be read")
            for wrong in (float("inf"), float("nan"), 3.5, 3.0, True, None, "3.5", -3, "-3", [3])
        ),
    ],
)
def test_what_a_folder_says_of_itself(fields, problem, tmp_path):
    """Another set, and files of no whole number of records, are refused."""
    describe(prepare(tmp_path / "sets"), **fields)
    with pytest.raises(data.DamagedDataError) as error:
        data.check_prepared("mnist", tmp_path / "sets")
    assert f"is damaged: {problem}. " in str(error.value)


@pytest.mark.parametrize("call", ["listdir", "stat"])
def test_a_folder_that_may_not_be_read_is_neither_missing_nor_damaged(call, tmp_path, monkeypatch):
    """Whether its list of files is closed, or the files in it."""
    prepared = prepare(tmp_path / "sets")

    def refuse(path, *_arguments, **_options):
        if prepared in (Path(path), Path(path).parent):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, *_arguments, **_options)

    original = getattr(os, call)
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(data.DataError) as error:
        data.check_prepared("mnist", tmp_path / "sets")
    assert type(error.value) is data.DataError
    assert str(error.value) == (
        f"mnist {VERSION} in {tmp_path / 'sets'} cannot be read (Permission denied). "
        "Set TFDS_DATA_DIR to a folder that can be read."
    )


@pytest.mark.parametrize(("name", "reason"), [("a" * 300, "File name too long"), ("a\0b", "embedded null byte")])
def test_a_folder_that_cannot_exist(name, reason, tmp_path):
    """One line says why."""
    with pytest.raises(data.DataError, match=rf" cannot be read \({reason}\)\. Set TFDS_DATA_DIR to a folder that can"):
        data.check_prepared("mnist", tmp_path / name)


def test_commands_are_those_of_a_shell(tmp_path):
    """A folder with a blank is one argument."""
    folder = tmp_path / "my sets; date"
    command = rf"python -m bnjax\.data prepare mnist --data-dir '{folder}'$"
    with pytest.raises(data.MissingDataError, match=command):
        data.check_prepared("mnist", folder)
    describe(prepare(folder), version="1.0.0")
    with pytest.raises(data.DamagedDataError, match=command):
        data.check_prepared("mnist", folder)


def test_a_folder_elsewhere(monkeypatch):
    """Remote folders are not read, and not called missing."""
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/sets")
    with pytest.raises(data.DataError, match=r"must be a folder of this machine, .*, got gs://bucket/sets\. Copy the"):
        data.check_prepared("mnist")
    monkeypatch.setattr(sys, "argv", ["data", "prepare", "mnist"])
    from bnjax.data import __main__ as command_line

    for module in ("importlib_resources", "tensorflow", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    with pytest.raises(SystemExit, match=r"^error: data_dir, or TFDS_DATA_DIR, must be a folder of this machine"):
        command_line.main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits",), r"^name must be one of cifar10, mnist, got 'digits'\.$"),
        (("cifar10", 3), r"^data_dir must be a string or a PathLike, got 3\.$"),
    ],
)
def test_arguments_of_a_check(arguments, message, as_a_user):
    """One line names them."""
    with pytest.raises(ValueError, match=message):
        data.check_prepared(*arguments)
