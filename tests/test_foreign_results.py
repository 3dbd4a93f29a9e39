"""Results from elsewhere: nothing is unpacked that is larger than it may be, and all arrays fit together, or are refused."""

import io
import json
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import probes
from bnjax._host.archives import read_arrays

SIZES = jnp.linspace(0, 1, 4)


def line():
    """Scan a line of four points."""
    return probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=SIZES)


def rewritten(path, **arrays):
    """Write an npz file again with some arrays replaced."""
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files}
    with open(path, "wb") as file:
        np.savez(file, **kept | arrays)


def member(shape, size=0, kind="<f4"):
    """Write the header of an array, and so many bytes after it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": kind})
    return file.getvalue() + bytes(size)


def pack(path, members, compression=zipfile.ZIP_STORED):
    """Write an archive of files as they are."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def bomb(path):
    """Pack 200 MB of zeros into as many kB."""
    np.savez_compressed(path, loss=np.zeros(5 * 10**7, np.float32))


def overlapping(path):
    """Let many entries stand for the same 4 MB, as in a quine of archives."""
    pack(path, {"a.npy": member((10**6,), 4 * 10**6)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist += [archive.filelist[0]] * 100
        archive._didModify = True


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (bomb, r"must unpack to at most 67,108,864 bytes, it declares 200,000,\d+\.$"),
        (overlapping, r"must unpack to at most [\d,]+ bytes, it declares 404,"),
        (
            lambda path: pack(path, {"loss.npy": member((10**12,), 8)}),
            r"'loss' is float32\[1000000000000\] in 8 bytes\.$",
        ),
        (lambda path: pack(path, {"loss.npy": member((2,), 800)}), r"'loss' is float32\[2\] in 800 bytes\.$"),
        (lambda path: pack(path, {"\x1b[31m.npy": member((3,))}), r"'\\x1b\[31m' is float32\[3\] in 0 bytes\.$"),
    ],
)
def test_archives_are_refused_by_what_they_declare(write, problem, tmp_path, monkeypatch):
    """Before anything is unpacked, in one line; results, and scans that are resumed."""
    path = tmp_path / "line.npz"
    write(path)
    monkeypatch.setattr(np, "load", None)
    for load in (probes.load, probes.LineScan.load, read_arrays):
        with pytest.raises(ValueError, match=problem) as error:
            load(path)
        assert str(path) in str(error.value)
        assert str(error.value).isprintable()
    with pytest.raises(ValueError, match="resume must be a file that a scan has written, got "):
        probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=SIZES, resume=path)


@pytest.mark.parametrize("members", [{"a.txt": b"text"}, {"a.npy": b"\x93NUMPY\x09\x00"}, {"a.npy": member((-1,), 4)}])
def test_archives_of_something_else(members, tmp_path):
    """They hold no result."""
    path = tmp_path / "line.npz"
    pack(path, members)
    with pytest.raises(ValueError, match=r"line\.npz must "):
        probes.load(path)


def test_archives_that_are_packed_are_read(tmp_path):
    """As they may be sent, and large ones as they are."""
    path = tmp_path / "line.npz"
    line().save(path)
    with np.load(path) as file:
        np.savez_compressed(path, **{key: file[key] for key in file.files})
    np.testing.assert_array_equal(probes.load(path).loss, line().loss)
    rewritten(path, loss=np.zeros(2 * 10**7, np.float32))
    assert read_arrays(path)["loss"].nbytes == 8 * 10**7


@pytest.mark.parametrize(
    ("name", "shape"), [("loss", (3,)), ("loss", ()), ("step_sizes", (2, 4)), ("start_loss", (4,)), ("slope", (5,))]
)
def test_shapes_within_a_result_are_compared(name, shape, tmp_path):
    """One line shows them all."""
    line().save(tmp_path / "line.npz")
    rewritten(tmp_path / "line.npz", **{name: np.zeros(shape, np.float32)})
    with pytest.raises(ValueError, match="must hold arrays whose shapes fit together, got LineScan with ") as error:
        probes.load(tmp_path / "line.npz")
    assert f"{name} {shape}" in str(error.value)


def test_stacks_fit_together(tmp_path):
    """A stack of scans is one of all their arrays; what a file from before did not know fits anything."""
    path = tmp_path / "lines.npz"
    probes.stack_lines([line(), line()]).save(path)
    assert probes.load(path).loss.shape == (2, 4)
    rewritten(path, slope=np.float32(np.nan), start_slope=np.float32(np.nan))
    assert probes.load(path).slope.shape == ()
    rewritten(path, start_loss=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"start_loss \(3,\)"):
        probes.load(path)


def test_layers_and_results_within_results(tmp_path):
    """There are as many numbers as names of layers; a shift in a drift is compared as any other."""
    path, row = tmp_path / "result.npz", jnp.ones(2)
    probes.GradientStatistics(probes.gradient_statistics({"a": row}, None, {"a": row}).layers, *(row,) * 7).save(path)
    with pytest.raises(ValueError, match=r"got GradientStatistics with norm \(2,\)"):
        probes.load(path)
    shift = probes.Shift(*(row,) * 6)
    probes.Drift(shift, shift._replace(wasserstein=jnp.ones(3))).save(path)
    with pytest.raises(ValueError, match=r"got Shift with mean \(2,\), .*wasserstein \(3,\)"):
        probes.load(path)
    probes.Drift(shift, row).save(path)
    with pytest.raises(ValueError, match="must hold Drift with cumulative of type Shift, got "):
        probes.load(path)


@pytest.mark.parametrize("cls", ["\x1b[31m", ["LineScan"], {"LineScan": 1}, 3, "\ud800"])
def test_whatever_a_file_calls_its_class(cls, tmp_path):
    """It is escaped, in one line."""
    line().save(tmp_path / "line.npz")
    rewritten(tmp_path / "line.npz", _result=np.asarray(json.dumps({"class": cls, "dtypes": {}})))
    for load in (probes.load, probes.LineScan.load):
        with pytest.raises(ValueError, match="must hold ") as error:
            load(tmp_path / "line.npz")
        assert str(error.value).isprintable()
