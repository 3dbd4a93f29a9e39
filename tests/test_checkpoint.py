"""Checkpoints restore to the same bits, or say which leaf or step is at fault."""

import errno
import itertools
import os
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from bnjax._host.digest import digest
from bnjax.runs import CheckpointError, Checkpoints, Restored


def make_state(scale=1.0):
    """Make a state with a key, an integer and a NaN in it."""
    return {
        "step": jnp.asarray(3),
        "key": jax.random.key(7),
        "params": {"w": jnp.arange(64.0) * scale, "n": jnp.array(jnp.nan)},
    }


def index(step):
    """Find the file that says where a step's arrays are."""
    (file,) = (step / "state" / "d").iterdir()
    return file


def largest(step):
    """Find the largest file of a step: that of its largest array, if that is large."""
    return max((file for file in step.rglob("d/*") if file.is_file()), key=lambda file: file.stat().st_size)


def damage(file):
    """Flip a bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_restores_the_newest_state_bit_for_bit(tmp_path):
    """State, step and metadata come back; types, keys and NaN included."""
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(make_state()) is None
        for step in (1, 2, 3):
            checkpoints.save(step, make_state(step), {"bytes": 10 * step})
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(make_state())
    assert (restored.step, restored.meta) == (3, {"bytes": 30})
    assert digest(restored.state) == digest(make_state(3))
    assert digest(restored.state) != digest(make_state(2))
    np.testing.assert_array_equal(jax.random.normal(restored.state["key"]), jax.random.normal(make_state()["key"]))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # orbax leaves callbacks of a failed read
@pytest.mark.parametrize(("place", "problem"), [(index, "arrays cannot be read"), (largest, "digest does not match")])
def test_a_damaged_checkpoint_is_passed_over(place, problem, tmp_path):
    """A flipped bit makes the older step come back, and the step can be saved again."""
    said, state = [], make_state() | {"large": jax.random.normal(jax.random.key(1), 4096)}
    with Checkpoints(tmp_path, report=said.append) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state)
        damage(place(tmp_path / "bnjax_2"))
        assert checkpoints.restore(state).step == 1
        assert len(said) == 1
        assert said[0].startswith(f"Skipped the checkpoint of step 2: its {problem}")
        checkpoints.save(2, state)
        assert checkpoints.restore(state).step == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_damaged_is_moved_aside(tmp_path):
    """Whoever can mend it finds it; a second one of that step lies beside it."""
    for _ in range(2):
        with Checkpoints(tmp_path, report=lambda line: None) as checkpoints:
            for step in range((checkpoints.restore(make_state()) or Restored(None, 0, {})).step + 1, 3):
                checkpoints.save(step, make_state())
            damage(index(tmp_path / "bnjax_2"))
            assert checkpoints.restore(make_state()).step == 1
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["bnjax_1", "damaged-bnjax_2", "damaged-bnjax_2-1"]


def test_what_belongs_to_others_is_left(tmp_path):
    """Folders whose names are numbers, other programs' half ones and everything else count for nothing, and stay."""
    others = ["20240501", "0", "2024", "7.orbax-checkpoint-tmp", "damaged", "record", "bnjax", "bnjax_999", "bnjax_x"]
    for name in others:
        (tmp_path / name / "more").mkdir(parents=True)
        (tmp_path / name / "thesis.txt").write_text("my only copy")
    for _ in range(2):
        with Checkpoints(tmp_path, max_to_keep=1) as checkpoints:
            restored = checkpoints.restore(make_state())
            first = restored.step + 1 if restored else 1
            for step in (first, first + 1):
                checkpoints.save(step, make_state())
    assert checkpoints.restore(make_state()).step == 4
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*others, "bnjax_4"])
    assert all((tmp_path / name / "thesis.txt").read_text() == "my only copy" for name in others)


def test_links_and_older_checkpoints_are_refused(tmp_path):
    """In one line, before anything is written."""
    with Checkpoints(tmp_path / "run") as checkpoints:
        checkpoints.save(3, make_state())
    (tmp_path / "run" / "bnjax_5").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match=r"bnjax_5 is a link, .* Move it away\."):
        Checkpoints(tmp_path / "run")
    (tmp_path / "run" / "bnjax_5").unlink()
    (tmp_path / "run" / "bnjax_3").rename(tmp_path / "run" / "3")
    with pytest.raises(CheckpointError, match=r"run/3 is a checkpoint of an older version"):
        Checkpoints(tmp_path / "run")


@pytest.mark.parametrize(("saved_as", "wanted_as"), [*itertools.product(("device", "host", "mixed"), repeat=2)])
def test_arrays_of_numpy(saved_as, wanted_as, tmp_path):
    """They are saved and restored as they are, and so is a state some of whose arrays are NumPy's."""
    on_device = {"w": jnp.arange(6.0), "step": jnp.int32(3), "half": jnp.ones(2, jnp.bfloat16)}
    on_host = jax.device_get(on_device) | {"step": np.int32(3)}
    states = {"device": on_device, "host": on_host, "mixed": on_device | {"step": on_host["step"]}}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, states[saved_as])
    with Checkpoints(tmp_path, report=pytest.fail) as checkpoints:
        restored = checkpoints.restore(states[wanted_as]).state
    assert digest(restored) == digest(on_device)
    assert {name: isinstance(leaf, jax.Array) for name, leaf in restored.items()} == {
        name: isinstance(leaf, jax.Array) for name, leaf in states[wanted_as].items()
    }


def test_nothing_whole_is_an_error(tmp_path):
    """Where every checkpoint is damaged, the run does not quietly start over."""
    with Checkpoints(tmp_path, report=lambda line: None) as checkpoints:
        checkpoints.save(1, make_state())
        damage(index(tmp_path / "bnjax_1"))
        with pytest.raises(CheckpointError, match=r"None of the checkpoints .* is whole: steps \[1\]"):
            checkpoints.restore(make_state())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "MemoryError"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        *((OSError(number, os.strerror(number)), os.strerror(number)) for number in (errno.EIO, errno.ETIMEDOUT)),
        (OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN)), os.strerror(errno.ENOTCONN)),
        (ValueError("RESOURCE_EXHAUSTED: out of memory"), "RESOURCE_EXHAUSTED"),
    ],
)
def test_what_may_pass_is_no_damage(error, reason, tmp_path, monkeypatch):
    """For want of memory or of files a checkpoint is neither passed over nor deleted."""

    def fails(*_):
        raise error

    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step))
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "_restore_state", fails)
            with pytest.raises(CheckpointError, match=f"step 2 in .* cannot be read now: .*{reason}"):
                checkpoints.restore(make_state())
        assert checkpoints.restore(make_state()).step == 2


def test_a_checkpoint_under_another_step(tmp_path):
    """A folder that was renamed is not what its name says."""
    said = []
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step))
    (tmp_path / "bnjax_2").rename(tmp_path / "bnjax_6")
    with Checkpoints(tmp_path, report=said.append) as checkpoints:
        assert checkpoints.restore(make_state()).step == 1
    assert said == ["Skipped the checkpoint of step 6: it is that of step 2."]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": jnp.zeros(3)}, r"at \['params'\]\['w'\] it holds float32\[64\], the run needs float32\[3\]"),
        ({"w": jnp.zeros(64, jnp.bfloat16)}, r"it holds float32\[64\], the run needs bfloat16\[64\]"),
        ({"extra": jnp.zeros(())}, r"at \['params'\]\['extra'\] it holds nothing"),
    ],
)
def test_a_state_of_another_kind_is_named(change, message, tmp_path):
    """A shape, type or leaf that differs raises with its path, before anything is read."""
    wanted = make_state()
    wanted["params"] = {**wanted["params"], **change}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state())
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(wanted)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "harm", [damage, lambda file: file.write_bytes(file.read_bytes()[:-1]), lambda file: file.unlink()]
)
def test_whatever_is_damaged(harm, tmp_path):
    """A flipped bit, a missing byte or a missing file, whichever it is, costs a step at most, and never changes a bit."""
    state = make_state() | {"large": jax.random.normal(jax.random.key(1), 4096)}
    with Checkpoints(tmp_path / "whole") as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state | {"step": jnp.asarray(step)}, {"log_bytes": 10 * step})
    files = [
        file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole" / "bnjax_2").rglob("*") if file.is_file()
    ]
    assert len(files) > 10
    costs = 0
    for file in files:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "copy")
        harm(tmp_path / "copy" / file)
        said = []
        with Checkpoints(tmp_path / "copy", report=said.append) as checkpoints:
            restored = checkpoints.restore(state)
        assert restored.meta == {"log_bytes": 10 * restored.step}, file
        assert digest(restored.state) == digest(state | {"step": jnp.asarray(restored.step)}), file
        assert [line.startswith("Skipped the checkpoint of step 2: its ") for line in said] == [True] * (
            2 - restored.step
        )
        costs += len(said)
    assert costs > 3


@pytest.mark.parametrize("saved_on", ["eight", "one"])
def test_another_number_of_devices(saved_on, tmp_path):
    """What was saved on some devices is restored on others, to the same bits, where it is wanted."""
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    places = {"eight": NamedSharding(mesh, PartitionSpec("batch")), "one": SingleDeviceSharding(jax.devices()[0])}
    state = {"w": jnp.arange(64.0).reshape(8, 8), "keys": jax.random.split(jax.random.key(0), 8)}
    (wanted,) = places.keys() - {saved_on}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, jax.device_put(state, places[saved_on]))
        restored = checkpoints.restore(jax.device_put(state, places[wanted]))
    assert digest(restored.state) == digest(state)
    for leaf in jax.tree.leaves(restored.state):
        assert leaf.sharding.is_equivalent_to(places[wanted], leaf.ndim)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as of a failed read
def test_what_cannot_be_written(tmp_path, capfd):
    """One line says why; the checkpoints before are there, nothing of this one is, and it can be saved later."""
    state = make_state() | {"large": jax.random.normal(jax.random.key(1), 30_000)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # as a quota
        try:
            with pytest.raises(CheckpointError) as error:
                checkpoints.save(3, state)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert str(error.value) == f"The checkpoint of step 3 could not be written to {tmp_path}: File too large."
        assert sorted(file.name for file in tmp_path.iterdir()) == ["bnjax_1", "bnjax_2"]
        assert "SignalingThread" not in capfd.readouterr().err
        checkpoints.save(3, state)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(state).step == 3


def test_steps_only_grow(tmp_path):
    """Saving at an old step is an error, not a silence."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, make_state())
        with pytest.raises(ValueError, match="step must be beyond the last checkpoint's, 2, got 2"):
            checkpoints.save(2, make_state())


STATES = {
    "slash in a name": {"net/~/linear": {"w": jnp.ones(3)}, "net": {"~": {"linear": {"w": jnp.zeros(3)}}}},
    "no entries": {"w": jnp.ones(3), "lora_a": jnp.zeros((4, 0)), "lora_b": np.zeros((0, 2), np.int16)},
    "Python numbers": {"w": jnp.ones(3), "step": 5, "rate": 0.1, "done": True},
}


@pytest.mark.parametrize("name", STATES)
def test_unusual_leaves_come_back(name, tmp_path):
    """To the same bits, and of the same Python types."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, STATES[name])
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(STATES[name]).state
    assert digest(restored) == digest(STATES[name])
    assert [type(leaf) for leaf in jax.tree.leaves(restored)] == [type(leaf) for leaf in jax.tree.leaves(STATES[name])]


def test_names_that_would_be_one_file_are_refused(tmp_path):
    """While restoring, before training has begun, and while saving; both are named."""
    state = {"a.b": jnp.zeros(3), "a": {"b": jnp.ones(3)}}
    with Checkpoints(tmp_path) as checkpoints:
        for use in (checkpoints.restore, lambda state: checkpoints.save(1, state)):
            with pytest.raises(ValueError, match=r"^state must have names that differ .* \['a'\]\['b'\] and \['a.b'\]"):
                use(state)


@pytest.mark.parametrize(
    "state", [jnp.arange(3.0), np.arange(3.0), {}, {"empty": {}}], ids=["array", "numpy", "none", "empty"]
)
def test_states_of_one_array_or_none(state, tmp_path, as_a_user):
    """They are pytrees too."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(np.int64(1), state)
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(state)
    assert restored.step == 1
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert digest(restored.state) == digest(state)


def test_steps_and_numbers_of_checkpoints(tmp_path, as_a_user):
    """Neither a step nor the number that is kept may be one that hides or deletes what was saved."""
    for number in (0, -1, 1.5):
        with pytest.raises(ValueError, match=rf"^max_to_keep must be a whole number >= 1, got {number}\.$"):
            Checkpoints(tmp_path, max_to_keep=number)
    with Checkpoints(tmp_path) as checkpoints:
        for step in (-1, 1.0, True):
            with pytest.raises(ValueError, match=rf"^step must be a whole number >= 0, got {step}\.$"):
                checkpoints.save(step, make_state())
        checkpoints.save(jnp.int32(2), make_state())
        assert checkpoints.restore(make_state()).step == 2
