"""What is written as JSON comes back as it was: names, arrays and numbers that are not finite, in every file of a run."""

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import runs

_LAST = {"nan": float("nan"), "s": np.str_("a"), "half": jnp.bfloat16(1.5)}
GIVEN = {9: 0.5, 10: np.float32(0.25), None: jnp.int32(3), True: (1, np.arange(2)), 0.5: _LAST}
BACK = {"9": 0.5, "10": 0.25, "null": 3, "true": [1, [0, 1]], "0.5": {"nan": None, "s": "a", "half": 1.5}}


@dataclass(frozen=True)
class Config:
    """A configuration with numbers as one computes them."""

    clip: float = 1.0
    rate: Any = field(default_factory=lambda: np.float32(0.1))


def as_file(path):
    """Write a file of JSON."""
    runs.write_json(path, GIVEN)
    return runs.read_json(path)


def as_line(path):
    """Write a line of a log."""
    log = runs.MetricsLog(path)
    log.append(given=GIVEN)
    log.close()
    return runs.read_metrics(path)[0]["given"]


def as_packed(path):
    """Pack a run."""
    runs.pack(path, GIVEN, b"{}\n")
    assert runs.read_about(path) == BACK
    return runs.read_packed(path).about


@pytest.mark.parametrize("write", [as_file, as_line, as_packed])
def test_names_and_numbers(write, tmp_path, as_a_user):
    """Names are strings as `json` makes them, arrays lists; the path may be a string."""
    assert write(str(tmp_path / "file")) == BACK


def test_checkpoints_with_numbers_as_names(tmp_path):
    """A record is whole whatever the order of its names: 9 before 10, but "10" before "9"."""
    with runs.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": jnp.ones(2)}, {"accuracy": {9: 0.8, 10: np.float32(0.5)}})
    with runs.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore({"w": jnp.zeros(2)}).meta == {"accuracy": {"9": 0.8, "10": 0.5}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {"b": 1j}]}, r"value\['a'\]\[1\]\['b'\] must be a string, a number, or a list .* got 1j"),
        (
            {"a": {1: 2, "1": 3}},
            r"value\['a'\] must have strings or numbers as names, which differ as strings, got \[1, '1'\]",
        ),
        ({(1, 2): 3}, r"value must have strings or numbers as names, .* got \[\(1, 2\)\]"),
        ({"a": object}, r"value\['a'\] must be .* got type"),
    ],
)
def test_what_is_no_json(value, message, tmp_path):
    """One line names the entry."""
    with pytest.raises(ValueError, match=f"^{message}"):
        runs.write_json(tmp_path / "file.json", value)
    assert not [*tmp_path.iterdir()]


def test_a_description_that_could_not_be_read_again(tmp_path):
    """It is refused before it is written."""
    with pytest.raises(ValueError, match=r"^about must take less than 4194304 bytes as JSON, got \d+\.$"):
        runs.pack(tmp_path / "a.run", {"note": "x" * 5_000_000}, b"{}\n")
    assert not [*tmp_path.iterdir()]


def test_a_folder_of_infinite_and_computed_numbers(tmp_path):
    """It is found again."""
    config = Config(clip=float("inf"))
    assert runs.run_folder(tmp_path, "demo", config) == runs.run_folder(tmp_path, "demo", config)
    (tmp_path / runs.folder_name("demo", config) / "config.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"config.json is not JSON .* Remove that file, which is then written again\.$"
    ):
        runs.run_folder(tmp_path, "demo", config)
    with runs.lock(str(tmp_path)):
        assert runs.is_locked(str(tmp_path))
