"""Batch norm in training, forward and backward, against Flax's, a plain copy and PyTorch's: time, bytes moved, memory kept.

Command: python -m experiments.benchmarks.batch_norm
Measured: on two CPU cores, in half a minute for each type. In float32, at (128,32,32,64) and (128,8,8,512): bnjax's stable form
in 0.83 and 0.99 of the time of Flax's fast form in one call and in 0.69 and 0.68 of it in a scan, where it takes some twice as
long as the copy; it moves 13 inputs' worth of bytes (Flax's fast form 15, needed 8) and keeps 1 (Flax 2). PyTorch with channels
last took 0.79 and 0.42 of the time of Flax's fast form in one call. In bfloat16: 0.97 and 0.94, in a scan 0.88 and 0.85.

Each row gives output, new statistics and the gradients of input, scale and bias: in one call, whose results are newly
allocated each time, and as a step of a compiled scan, as training runs. Times are relative to Flax's fast form; below 1 is
faster. The copy moves as many bytes as batch norm cannot do without, eight times the input (x for the statistics, x and y; x
and dy for two sums; x, dy and dx). "moved" counts what the compiled call reads and writes, in inputs; "kept" is what the
forward pass leaves for the backward pass.

All rows run in turn in one process, each the median of 21 runs. Only ratios of one run mean something. PyTorch is measured
where it is installed and has the same kind of device.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from bnjax import norms
from bnjax._host.memory import predicted_memory
from experiments.benchmarks._timing import measure
from experiments.benchmarks._torch import find_torch

SHAPES = ((128, 32, 32, 64), (128, 8, 8, 512))
_TENSORS_NEEDED = 8
_SCAN_LENGTH = 4
_REFERENCE = "flax, fast variance"

Function = Callable[[Array, Array, Array], tuple[Array, Any]]


def bnjax_norm(x: Array, scale: Array, bias: Array, *, fast: bool) -> tuple[Array, Any]:
    """Normalise with bnjax."""
    return norms.batch_norm(x, norms.init_batch_stats(x.shape[-1]), scale, bias, train=True, use_fast_variance=fast)


def flax_norm(x: Array, scale: Array, bias: Array, *, fast: bool) -> tuple[Array, Any]:
    """Normalise with Flax."""
    stats = norms.init_batch_stats(x.shape[-1])
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": stats._asdict()}
    module = nn.BatchNorm(use_running_average=False, use_fast_variance=fast)
    return module.apply(variables, x, mutable=["batch_stats"])


FUNCTIONS: dict[str, Function] = {
    "bnjax": partial(bnjax_norm, fast=False),
    "bnjax, fast variance": partial(bnjax_norm, fast=True),
    "flax": partial(flax_norm, fast=False),
    _REFERENCE: partial(flax_norm, fast=True),
}


def forward_and_backward(function: Function, x: Array, scale: Array, bias: Array, dy: Array) -> Any:
    """Compute everything that a training step needs of a batch norm."""
    y, pullback, stats = jax.vjp(function, x, scale, bias, has_aux=True)
    return y, stats, pullback(dy.astype(y.dtype))


def scanned(function: Function, x: Array, scale: Array, bias: Array, dy: Array) -> Any:
    """Repeat it in a compiled loop, each output the next input, each gradient the next one."""

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Any]:
        y, stats, (dx, *gradients) = forward_and_backward(function, carry[0], scale, bias, carry[1])
        return (y.astype(x.dtype), dx), (stats, gradients)

    return lax.scan(step, (x, dy), None, length=_SCAN_LENGTH)


def copied(x: Array) -> Array:
    """Read x and write as much."""
    return x + jnp.ones((), x.dtype)


def copied_in_a_scan(x: Array, dy: Array) -> Any:
    """Read and write as much in each step as batch norm must."""

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        return (copied(carry[0]), copied(carry[1])), None

    return lax.scan(step, (x, dy), None, length=_SCAN_LENGTH * _TENSORS_NEEDED // 4)


def kept_bytes(function: Function, x: Array, scale: Array, bias: Array) -> int:
    """Count the bytes that the forward pass keeps for the backward pass."""
    keep = jax.jit(lambda *operands: jax.vjp(lambda *o: function(*o)[0], *operands)[1])
    memory = predicted_memory(keep.lower(x, scale, bias).compile())
    assert memory is not None
    return memory.outputs


def torch_programs(x: Array, dy: Array) -> dict[str, Callable[[], object]]:
    """Make PyTorch's programs in both of its layouts, or none where it is not installed or lacks JAX's kind of device."""
    found = find_torch()
    if found is None:
        return {}
    torch, device = found

    def make(memory_format: Any) -> Callable[[], object]:
        operands = [torch.from_numpy(jax.device_get(v).transpose(0, 3, 1, 2).copy()) for v in (x, dy)]
        images, gradient = (v.to(device).contiguous(memory_format=memory_format) for v in operands)
        module = torch.nn.BatchNorm2d(images.shape[1]).to(device)

        def run() -> None:
            images.requires_grad_()
            images.grad = module.weight.grad = module.bias.grad = None
            module(images).backward(gradient)
            if device != "cpu":
                torch.cuda.synchronize()

        return run

    layouts = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
    return {f"torch, {name}": make(memory_format) for name, memory_format in layouts.items()}


def compiled(function: Callable[..., Any], *operands: Array) -> Any:
    """Compile a program for its operands."""
    return jax.jit(function).lower(*operands).compile()


def compare(shape: tuple[int, ...], dtype: Any) -> None:
    """Print the table of one shape."""
    keys = jax.random.split(jax.random.key(0), 4)
    x, dy = (jax.random.normal(key, shape, dtype) for key in keys[:2])
    scale, bias = (jax.random.normal(key, shape[-1:]) for key in keys[2:])
    operands = (x, scale, bias, dy)
    once = {name: compiled(partial(forward_and_backward, function), *operands) for name, function in FUNCTIONS.items()}
    looped = {name: compiled(partial(scanned, function), *operands) for name, function in FUNCTIONS.items()}

    calls = {name: partial(program, *operands) for name, program in once.items()}
    calls["copy"] = partial(compiled(copied, x), x)
    scans = {name: partial(program, *operands) for name, program in looped.items()}
    scans["copy"] = partial(compiled(copied_in_a_scan, x, dy), x, dy)
    call_times = measured(calls | (torch_programs(x, dy) if dtype == jnp.float32 else {}))
    scan_times = {name: time / _SCAN_LENGTH for name, time in measured(scans).items()}
    call_times["copy"] *= _TENSORS_NEEDED // 2  # a copy moves two

    print(f"\n{shape}, {jnp.dtype(dtype).name}")
    print(f"{'':24}{'one call, ms':>16}{'relative':>10}{'in a scan, ms':>16}{'relative':>10}{'moved':>8}{'kept':>8}")
    for name, time in call_times.items():
        line = f"{name:24}{time:16.1f}{time / call_times[_REFERENCE]:10.2f}"
        if name in scan_times:
            line += f"{scan_times[name]:16.1f}{scan_times[name] / scan_times[_REFERENCE]:10.2f}"
        if name in once:
            moved = once[name].cost_analysis()["bytes accessed"]
            line += f"{moved / x.nbytes:8.1f}{kept_bytes(FUNCTIONS[name], x, scale, bias) / x.nbytes:8.1f}"
        elif name == "copy":
            line += f"{_TENSORS_NEEDED:8.1f}"
        print(line, flush=True)


def measured(programs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Time programs after a first round, which warms a process's threads up."""
    measure(programs, rounds=2)
    return measure(programs, rounds=21, seconds=10)


def main() -> None:
    """Print a table for each shape."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.batch_norm", description=__doc__)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="(default: float32)")
    dtype = jnp.dtype(parser.parse_args().dtype)
    print(
        f"batch norm in training, forward and backward, on {jax.devices()[0].device_kind}; times relative to {_REFERENCE}"
    )
    for shape in SHAPES:
        compare(shape, dtype)


if __name__ == "__main__":
    main()
