"""Timings that can be compared: in turn, in one process."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp

_ROUNDS = 7
_SECONDS = 4.0


def measure(
    programs: dict[str, Callable[[], object]], rounds: int = _ROUNDS, seconds: float = _SECONDS
) -> dict[str, float]:
    """Time programs in turn, each round beginning with the next one: what runs before a program may slow it down.

    Args:
        programs: what to time, by name; JAX arrays that they return are waited for.
        rounds: how often each is run.
        seconds: a program that has taken as long altogether is not run again.

    Returns:
        The median time of each, in milliseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in programs}
    names = list(programs)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if sum(times[name]) < 1000 * seconds:
                start = time.perf_counter()
                jax.block_until_ready(programs[name]())
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: median(runs) for name, runs in times.items()}


def matrix_rate(dtype: Any = jnp.float32, sizes: Sequence[int] = ()) -> float:
    """Measure the machine's fastest product of square matrices of random numbers, in operations per second.

    A GPU multiplies equal numbers faster than it multiplies any others, since it draws less power.

    Args:
        dtype: of the matrices; how float32 is rounded is JAX's state.
        sizes: of the matrices; by default, large ones for the platform.
    """
    rates = []
    for n in sizes or ((1024, 2048, 4096) if jax.default_backend() == "cpu" else (4096, 8192, 16384)):
        a, b = (jax.random.normal(key, (n, n), dtype) for key in jax.random.split(jax.random.key(0)))
        product = jax.jit(jnp.matmul).lower(a, b).compile()
        milliseconds = measure({"product": partial(product, a, b)})["product"]
        rates.append(2 * n**3 / milliseconds * 1000)
    return max(rates)


def copy_rate(num_bytes: int | None = None) -> float:
    """Measure how many bytes per second the device reads and writes while it adds 1 to a float32 array.

    Args:
        num_bytes: of the array; by default, more than any cache holds.
    """
    size = num_bytes or (2**28 if jax.default_backend() == "cpu" else 2**32)
    x = jnp.ones(size // 4, jnp.float32)
    add = jax.jit(lambda x: x + 1).lower(x).compile()
    return 2 * x.nbytes / measure({"copy": partial(add, x)})["copy"] * 1000
