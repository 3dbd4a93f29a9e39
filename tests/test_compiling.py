"""Programs that are written in a shared context are those that users have."""

import threading

import compiling
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.interpreters import mlir

pytestmark = pytest.mark.skipif(not compiling.IS_KNOWN, reason="contexts are not shared with this JAX")
TABLE = np.arange(1000.0, dtype=np.float32)


def text(power):
    """Write a gradient's program, with a constant."""
    return jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(x) ** power * TABLE))).lower(jnp.ones(1000)).as_text()


def test_programs_of_a_shared_context_are_those_of_their_own(monkeypatch):
    """Their texts are equal, also after other programs in the same context, and from a thread."""
    shared = [text(power) for power in (2, 3, 2)]
    thread = threading.Thread(target=lambda: shared.append(text(3)))
    thread.start()
    thread.join()
    monkeypatch.setattr(mlir, "make_ir_context", mlir.make_ir_context.__wrapped__)
    assert shared == [text(power) for power in (2, 3, 2, 3)]


def test_a_context_is_used_so_many_times(monkeypatch):
    """Then the next program has another one, and each thread has its own."""
    monkeypatch.setattr(mlir, "make_ir_context", lambda: object())
    compiling.share_contexts(uses=2)
    contexts = [mlir.make_ir_context() for _ in range(4)]
    assert contexts[0] is contexts[1]
    assert contexts[1] is not contexts[2]
    assert contexts[2] is contexts[3]
    thread = threading.Thread(target=lambda: contexts.append(mlir.make_ir_context()))
    thread.start()
    thread.join()
    assert contexts[4] not in contexts[:4]
