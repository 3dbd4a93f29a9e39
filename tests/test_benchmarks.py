"""What benchmarks share, and what they time: random operands, the same kind of device, and nothing beside."""

import sys
import types

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import _timing, _torch, batch_norm, scan, training


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_matrices_are_random(dtype, monkeypatch):
    """Products of equal numbers are faster on a GPU, so that those of random numbers are timed."""
    timed = []

    def measure(programs):
        timed.extend(programs["product"].args)
        return {"product": 1.0}

    monkeypatch.setattr(_timing, "measure", measure)
    assert _timing.matrix_rate(dtype, [64]) == 2 * 64**3 * 1000
    a, b = timed
    assert a.dtype == b.dtype == dtype
    for matrix in (a, b):
        assert 0.9 < float(jnp.std(matrix.astype(jnp.float32))) < 1.1
    assert not jnp.array_equal(a, b)


@pytest.mark.parametrize(
    ("backend", "has_cuda", "device", "said"),
    [
        ("cpu", True, "cpu", ""),
        ("gpu", True, "cuda", ""),
        ("gpu", False, None, "PyTorch's rows are left out: JAX computes on a gpu, which PyTorch does not find.\n"),
        ("tpu", False, None, "PyTorch's rows are left out: JAX computes on a tpu, which PyTorch does not find.\n"),
    ],
)
def test_pytorch_is_timed_on_the_same_kind_of_device(backend, has_cuda, device, said, monkeypatch, capsys):
    """Where it has none, its rows are left out, and a line says so."""
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(is_available=lambda: has_cuda)  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert _torch.find_torch() == ((torch, device) if device else None)
    assert capsys.readouterr().out == said
    if device is None:
        assert scan.torch_programs(0.25, [0.1], True) == {}
        assert batch_norm.torch_programs(jnp.ones(1), jnp.ones(1)) == {}
        assert training.torch_programs(0.25, 1, None) == {}


@pytest.mark.slow
def test_chunks_of_a_training_copy_nothing(monkeypatch):
    """A timed call trains on from where the last one ended, and copies no state."""
    program = training.jax_programs(1 / 64, 2, training.make_split(), ["float32"])["bnjax, float32, chunks"]
    monkeypatch.setattr(jnp, "copy", None)
    program()
    state, _ = program()
    assert int(state.step) == 4
