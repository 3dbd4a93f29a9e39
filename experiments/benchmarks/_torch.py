"""PyTorch, for rows that are timed beside JAX's: on the same kind of device, or not at all."""

import os
from typing import Any

import jax


def find_torch() -> tuple[Any, str] | None:
    """Import PyTorch, and name its device that is of the kind that JAX computes on.

    Returns:
        (torch, device): the module, and "cpu" or "cuda"; None where it is not installed. Where it has no device of JAX's kind,
        a line says that its rows are left out, and it is None too: times on two kinds of devices cannot be compared.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else its threads spin while the next program runs
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    platform = jax.default_backend()
    if platform == "cpu":
        return torch, "cpu"
    if platform == "gpu" and torch.cuda.is_available():
        return torch, "cuda"
    print(f"PyTorch's rows are left out: JAX computes on a {platform}, which PyTorch does not find.", flush=True)
    return None
