"""A landscape scan of VGG-A: every way of batching its points, against PyTorch, in shares of the machine's matrix products.

Command: python -m experiments.benchmarks.scan --width 0.25 --points 16

Points lie along the gradient, batch norm takes the batch's own statistics, the batch has 128 random images. A row is one way of
evaluating all points, with the loss alone or with loss and gradient statistics; "rate" counts the multiplications and
additions of convolutions and dense layers (twice more for gradients), relative to the fastest matrix product of this machine
that was measured in the same process. PyTorch, where it is installed and has the same kind of device, evaluates one point
after another in place, as one would write it, in both of its layouts, or all of them by torch.func.vmap in groups.

All rows run in turn in one process. Only ratios of one run mean something. The row "measured", which `auto` is on accelerators,
has found before how many points are fastest together.

Measured: on two CPU cores (jax 0.10.2, PyTorch 2.13; full width on 2026-11-21, the others on another machine on 2026-12-01).
`auto` is `map` there, and the row "measured" chose it as well: in four trials neither 4 nor 16 points together were faster. Its
time per point, its rate, and PyTorch's best time in units of it:

                 loss alone                     loss and gradient
    width 1/8    17.0 ms, 18 % rate, 0.74       62.3 ms, 15 % rate, 0.80     16 points
    width 1/4    34.1 ms, 42 % rate, 0.81       104 ms,  41 % rate, 0.76     16 points
    full width   185 ms,  98 % rate, 1.01       528 ms, 103 % rate, 1.12     16 points

A rate above 100 % is possible since Winograd's algorithm needs fewer multiplications than are counted. At a quarter of the
width the next bottleneck are the passes over large maps of few channels: batch norm, ReLU, pooling, the second convolution.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import Batch, linen, models, objective, ops, probes
from bnjax.types import Params
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._timing import matrix_rate, measure
from experiments.benchmarks._torch import find_torch
from experiments.benchmarks._vgg import BATCH_SIZE, torch_vgg, useful_operations

WAYS = ("auto", "loop", "map", "vmap", "4", "measured")
CALLS_OF_A_MEASUREMENT = 8  # of one scan, after which all groups that it has room for were tried
_STEPS = (0.05, 0.4)


def make_scan(width: float, dtype: Any = None) -> tuple[objective.Objective, Params]:
    """Make the loss of a VGG-A that computes in a type, and its parameters."""
    model = models.make_model(models.VGGConfig(width=width, norm=linen.BatchNorm, dtype=dtype))
    x = jax.random.normal(jax.random.key(0), (BATCH_SIZE, 32, 32, 3))
    params, stats = jax.jit(model.init)(jax.random.key(1), x[:1])
    return objective.make_loss_fn(model, stats, Batch(x, jnp.arange(BATCH_SIZE) % 10)), params


def torch_programs(width: float, steps: np.ndarray, gradients: bool) -> dict[str, Callable[[], object]]:
    """Make PyTorch's programs, or none where it is not installed or lacks JAX's kind of device."""
    found = find_torch()
    if found is None:
        return {}
    torch, device = found
    # JAX's scans ask for full precision.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    nn = torch.nn

    def make(memory_format: Any) -> Callable[[], object]:
        net = torch_vgg(width).to(device, memory_format=memory_format)
        x = torch.randn(BATCH_SIZE, 3, 32, 32).to(device, memory_format=memory_format)
        labels = torch.arange(BATCH_SIZE, device=device) % 10
        params = list(net.parameters())
        base, direction = ([torch.randn_like(p) * 0.01 + p.detach() for p in params] for _ in range(2))
        start = [torch.randn_like(p) for p in params]

        def run() -> list[float]:
            results = []
            for step in steps:
                with torch.no_grad():
                    for p, b, d in zip(params, base, direction, strict=True):
                        p.copy_(b).add_(d, alpha=float(step))
                with torch.set_grad_enabled(gradients):
                    loss = nn.functional.cross_entropy(net(x), labels)
                results.append(loss.item())
                if gradients:
                    found = torch.autograd.grad(loss, params)
                    pairs = list(zip(found, start, strict=True))
                    results.append(float(sum(((g - s) ** 2).sum() for g, s in pairs)))
                    results.append(float(sum((g * s).sum() for g, s in pairs)))
            return results

        return run

    def make_vmap(group: int) -> Callable[[], object]:
        net, x = torch_vgg(width).to(device), torch.randn(BATCH_SIZE, 3, 32, 32, device=device)
        labels = torch.arange(BATCH_SIZE, device=device) % 10
        base = {name: p.detach() for name, p in net.named_parameters()}
        direction = {name: torch.randn_like(p) * 0.01 for name, p in base.items()}

        def point(step: Any) -> Any:
            def loss(params: Any) -> Any:
                return nn.functional.cross_entropy(torch.func.functional_call(net, params, (x,)), labels)

            params = {name: base[name] + step * direction[name] for name in base}
            if not gradients:
                return loss(params)
            found, value = torch.func.grad_and_value(loss)(params)
            return value, sum(((g - base[name]) ** 2).sum() for name, g in found.items())

        mapped = torch.func.vmap(point, chunk_size=group)

        def run() -> object:
            with torch.set_grad_enabled(gradients):
                results = mapped(torch.tensor(steps, dtype=torch.float32, device=device))
            return [each.tolist() for each in (results if gradients else [results])]

        return run

    return {
        "torch, loop": make(torch.contiguous_format),
        "torch, loop, channels last": make(torch.channels_last),
        "torch, vmap by 4": make_vmap(4),
    }


def scan_programs(
    width: float, steps: np.ndarray, gradients: bool, ways: Sequence[str], dtype: Any = None
) -> dict[str, Callable[[], object]]:
    """Make the scan in each way of batching; "16 products" is groups of 16 whose batched kernels have that form."""
    loss_fn, params = make_scan(width, dtype)
    direction = probes.directions.gradient(loss_fn, params)

    def scan(way: str) -> object:
        name, _, form = way.partition(" ")
        batching: Any = int(name) if name.isdigit() else name
        kernels: Any = form
        with ops.batched_kernels(kernels) if form else nullcontext():
            return probes.scan_line(
                loss_fn, params, direction, steps, gradients=gradients, batching=batching, show_progress=False
            ).loss

    return {f"bnjax, {way}": partial(scan, way) for way in ways}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.scan", description=__doc__)
    parser.add_argument("--width", type=positive(float), default=0.25, help="of the VGG-A (default: 0.25)")
    parser.add_argument("--points", type=positive(int), default=16, help="(default: 16)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help=f"of batching (default: {' '.join(WAYS)})")
    parser.add_argument("--rounds", type=positive(int), default=5, help="runs of each row (default: 5)")
    arguments = parser.parse_args()
    steps = np.linspace(*_STEPS, arguments.points)

    with jax.default_matmul_precision("highest"):  # as scans have it
        rate = matrix_rate()
    kind = jax.devices()[0].device_kind
    print(
        f"VGG-A, {arguments.width:g} of its width, {arguments.points} points, on {kind}, {rate / 1e9:.0f} GF/s at best"
    )
    for gradients in (False, True):
        programs = scan_programs(arguments.width, steps, gradients, arguments.ways)
        programs |= torch_programs(arguments.width, steps, gradients)
        measure(programs, rounds=1, seconds=600)
        measured = {name: program for name, program in programs.items() if name.endswith("measured")}
        measure(measured, rounds=CALLS_OF_A_MEASUREMENT, seconds=600)
        times = measure(programs, rounds=arguments.rounds, seconds=120)
        fastest = min(times.values())
        print(
            f"\n{'loss and gradient' if gradients else 'loss alone':28}{'ms per point':>14}{'relative':>10}{'rate':>8}"
        )
        for name, milliseconds in times.items():
            each = milliseconds / arguments.points
            share = useful_operations(arguments.width, gradients) / each * 1000 / rate
            print(f"{name:28}{each:14.1f}{milliseconds / fastest:10.2f}{share:8.0%}", flush=True)
        for found in probes.measured_batching()[-1:] if measured else []:
            times_by_group = ", ".join(f"{group}: {time:.1f}" for group, time in found.milliseconds.items())
            reason = f". {found.reason}" if found.reason else ""
            print(f"measured: {found.batching} together, {found.kernels}, of ms per point {times_by_group}{reason}")


if __name__ == "__main__":
    main()
