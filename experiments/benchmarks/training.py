"""Training of a VGG-A with batch norm: images per second, against PyTorch, in shares of the machine's matrix products.

Command: python -m experiments.benchmarks.training --width 0.25

SGD with a batch of 128 from a data set that lies in memory, in both precisions. bnjax takes its steps in compiled chunks, each
from where the last one ended, or by a compiled call per step; PyTorch, where it is installed and has the same kind of device,
in a loop, in both of its layouts. "rate" counts the multiplications and additions of convolutions and dense layers, forward and
backward, relative to the fastest matrix product of the same precision that was measured in the same process.

All rows run in turn in one process. Only ratios of one run mean something.

Measured: on two CPU cores (2026-12-01, jax 0.10.2, PyTorch 2.13), 20 steps. At a quarter of the width bnjax in chunks 1,663
images per second at 45 % of the rate, PyTorch 1,301, with channels last 1,702, or 1.02 times bnjax's; a call per step 0.74,
bfloat16 0.70. At an eighth 2,489 images per second at 18 %, PyTorch 2,520, with channels last 2,693, or 1.08 times bnjax's.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import linen, models, train
from bnjax._host.cores import count_cores
from bnjax.data import Split
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._timing import matrix_rate, measure
from experiments.benchmarks._torch import find_torch
from experiments.benchmarks._vgg import BATCH_SIZE, torch_vgg, useful_operations

_EXAMPLES = 10_000
PRECISIONS = {"float32": None, "bfloat16": jnp.bfloat16}


def make_split() -> Split:
    """Draw noise of the size of CIFAR-10's images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_EXAMPLES, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, _EXAMPLES, np.int32)
    return Split(jnp.asarray(images), jnp.asarray(labels), jnp.full(3, 1 / 127.5), jnp.full(3, -1.0))


def jax_programs(
    width: float, num_steps: int, split: Split, precisions: Sequence[str] = tuple(PRECISIONS)
) -> dict[str, Callable[[], object]]:
    """Make bnjax's rows."""

    def make(precision: str) -> dict[str, Callable[[], object]]:
        config = models.VGGConfig(width=width, norm=linen.BatchNorm, dtype=PRECISIONS[precision])
        trainer = train.Trainer(models.make_model(config), train.make_optimizer("sgd", 0.1), BATCH_SIZE)
        start = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
        step = partial(jax.jit, static_argnums=0)(train.train_step)

        latest = [jax.tree.map(jnp.copy, start)]  # whose buffers a call takes over

        def by_chunks() -> object:
            state, latest[0] = latest[0], None  # a call that fails may have taken the buffers
            state, metrics = train.run_steps(
                trainer, state or jax.tree.map(jnp.copy, start), split, num_steps=num_steps
            )
            latest[0] = state
            return state, metrics

        def by_steps() -> object:
            state = start
            for _ in range(num_steps):
                state, _ = step(trainer, state, train.current_batch(trainer, state, split))
            return state

        return {f"bnjax, {precision}, chunks": by_chunks, f"bnjax, {precision}, calls": by_steps}

    return {name: row for precision in precisions for name, row in make(precision).items()}


def torch_programs(width: float, num_steps: int, split: Split) -> dict[str, Callable[[], object]]:
    """Make PyTorch's rows, or none where it is not installed or lacks JAX's kind of device."""
    found = find_torch()
    if found is None:
        return {}
    torch, device = found
    images = torch.from_numpy(np.array(split.images).transpose(0, 3, 1, 2).copy()).to(device)
    labels = torch.from_numpy(np.array(split.labels)).long().to(device)

    def make(memory_format: Any, precision: str) -> Callable[[], object]:
        net = torch_vgg(width, remembers=True).to(device, memory_format=memory_format)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        lower = torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")

        def run() -> object:
            total = 0.0
            for order in torch.randperm(_EXAMPLES, device=device).split(BATCH_SIZE)[:num_steps]:
                x = (images[order].float() / 127.5 - 1).contiguous(memory_format=memory_format)
                with lower:
                    loss = torch.nn.functional.cross_entropy(net(x), labels[order])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total = total + loss.detach()
            return float(total)

        return run

    layouts = {"": torch.contiguous_format, ", channels last": torch.channels_last}
    precisions = ("float32",) if device == "cpu" else tuple(PRECISIONS)
    return {f"torch, {p}{name}": make(layout, p) for p in precisions for name, layout in layouts.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.training", description=__doc__)
    parser.add_argument("--width", type=positive(float), default=0.25, help="of the VGG-A (default: 0.25)")
    parser.add_argument(
        "--steps", type=positive(int), default=20, help=f"of a row, at most {_EXAMPLES // BATCH_SIZE} (default: 20)"
    )
    parser.add_argument("--rounds", type=positive(int), default=5, help="runs of each row (default: 5)")
    arguments = parser.parse_args()
    if arguments.steps > _EXAMPLES // BATCH_SIZE:
        parser.error(f"--steps must be at most {_EXAMPLES // BATCH_SIZE}, got {arguments.steps}.")
    rates = {name: matrix_rate(dtype or jnp.float32) for name, dtype in PRECISIONS.items()}
    split = make_split()
    programs = jax_programs(arguments.width, arguments.steps, split)
    programs |= torch_programs(arguments.width, arguments.steps, split)
    measure(programs, rounds=1, seconds=600)
    times = measure(programs, rounds=arguments.rounds, seconds=120)
    best = ", ".join(f"{rate / 1e9:,.0f} GF/s in {name}" for name, rate in rates.items())
    kind = f"{jax.devices()[0].device_kind}, {count_cores()} cores"
    print(f"VGG-A, {arguments.width:g} of its width, {arguments.steps} steps, on {kind}, {best} at best\n")
    print(f"{'':32}{'images per second':>18}{'relative':>10}{'rate':>8}")
    for name, milliseconds in times.items():
        seconds = milliseconds / arguments.steps / 1000
        rate = rates["bfloat16" if "bfloat16" in name else "float32"]
        share = useful_operations(arguments.width, gradients=True) / seconds / rate
        relative = times["bnjax, float32, chunks"] / milliseconds
        print(f"{name:32}{BATCH_SIZE / seconds:18,.0f}{relative:10.2f}{share:8.0%}", flush=True)


if __name__ == "__main__":
    main()
