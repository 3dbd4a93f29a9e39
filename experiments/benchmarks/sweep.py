"""A grid of runs that differ in their seeds: every way of sharing the machine, against one run after another.

Command: python -m experiments.benchmarks.sweep --net mlp

A row trains all runs for as many steps: one after another with a compiled call per step, as one would write it at first; with
steps in compiled chunks; and as a grid (`bnjax.sweep`), in each of its ways. The network is that of Ioffe & Szegedy 2015 on
MNIST-sized noise (mlp), or a VGG-A on CIFAR-sized noise (vgg), with batch norm. Several CPU devices, over which runs are spread
as over accelerators, are had with XLA_FLAGS=--xla_force_host_platform_device_count=2.

All rows run in turn in one process. Only ratios of one run mean something.

Measured: on two CPU cores (2026-12-01, jax 0.10.2), times faster than one after another in chunks: eight MLPs, 300 steps, with
threads 2.02, mapped 1.02, vmapped 1.03; four VGG-As of an eighth of the width, 20 steps, with threads 1.57, mapped 1.09. `auto`
is threads there. Before (2026-11-21): eight MLPs, 500 steps, mapped on two CPU devices 1.61; a call per step took 49 times as
long as chunks of 200 steps for the MLP, since each call shuffles the data set.
"""

import argparse
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from bnjax import linen, models, sweep, train
from bnjax._host.cores import count_cores
from bnjax.data import Split
from bnjax.sweep.steps import settle_way
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._timing import measure

WAYS = ("threads", "map", "vmap", "2", "4", "measured")
_BATCH_SIZES = {"mlp": 60, "vgg": 128}


def make_trainer(net: str, width: float, learning_rate: jax.Array | float = 0.1, dtype: Any = None) -> train.Trainer:
    """Make the trainer of a network with batch norm that computes in a type."""
    options: dict[str, Any] = {"norm": linen.BatchNorm, "dtype": dtype}
    config = models.VGGConfig(width=width, **options) if net == "vgg" else models.MLPConfig(**options)
    return train.Trainer(models.make_model(config), train.make_optimizer("sgd", learning_rate), _BATCH_SIZES[net])


def make_split(net: str) -> Split:
    """Draw noise of the size of the data set."""
    shape = (60_000, 28, 28, 1) if net == "mlp" else (10_000, 32, 32, 3)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, shape, np.uint8), rng.integers(0, 10, shape[0], np.int32)
    channels = jnp.ones(shape[-1])
    return Split(jnp.asarray(images), jnp.asarray(labels), channels / 127.5, -channels)


def make_programs(
    net: str, width: float, num_runs: int, num_steps: int, ways: Sequence[str], dtype: Any = None
) -> dict[str, Callable[[], object]]:
    """Make every row."""
    split, trainer = make_split(net), make_trainer(net, width, dtype=dtype)
    runs = sweep.grid(learning_rate=(0.1,), seed=range(num_runs))
    (grid,) = sweep.programs(partial(make_trainer, net, width, dtype=dtype), runs)
    states = sweep.init_states(grid, jnp.zeros((1, *split.images.shape[1:])))
    step = jax.jit(lambda state: train.train_step(trainer, state, train.current_batch(trainer, state, split)))

    def by_steps() -> list:
        rows = [jax.tree.map(lambda leaf, i=i: leaf[i], states) for i in range(num_runs)]
        for i, _ in itertools.product(range(num_runs), range(num_steps)):
            rows[i], _ = step(rows[i])
        return rows

    def by_chunks() -> list:
        rows = [jax.tree.map(lambda leaf, i=i: leaf[i].copy(), states) for i in range(num_runs)]
        return [train.run_steps(trainer, row, split, num_steps=num_steps)[1].loss for row in rows]

    def together(way: sweep.Way) -> jax.Array:
        if way.batching == "measured":
            way = settle_way(grid, states, split, own_split=False, way=way)  # once, as before a training
        return sweep.run_steps(grid, states, split, num_steps=num_steps, way=way)[1].loss

    rows: dict[str, Callable[[], object]] = {_CALLS: by_steps, _REFERENCE: by_chunks}
    devices = Mesh(np.array(jax.devices()), ("runs",))
    for name in ways:
        batching: sweep.Batching = int(name) if name.isdigit() else name  # pyright: ignore[reportAssignmentType]
        rows[f"grid, {name}"] = partial(together, sweep.Way(batching))
        if devices.size > 1 and name != "threads":
            rows[f"grid, {name}, on {devices.size} devices"] = partial(together, sweep.Way(batching, devices))
    return rows


_CALLS = "one after another, a call per step"
_REFERENCE = "one after another, in chunks"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.sweep", description=__doc__)
    parser.add_argument("--net", choices=[*_BATCH_SIZES], default="mlp", help="(default: mlp)")
    parser.add_argument("--width", type=positive(float), default=0.25, help="of the VGG-A (default: 0.25)")
    parser.add_argument("--runs", type=positive(int), default=8, help="(default: 8)")
    parser.add_argument("--steps", type=positive(int), default=100, help="of each run (default: 100)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help=f"of sharing (default: {' '.join(WAYS)})")
    parser.add_argument("--rounds", type=positive(int), default=5, help="runs of each row (default: 5)")
    parser.add_argument(
        "--calls", action=argparse.BooleanOptionalAction, default=True, help="also a call per step, which takes minutes"
    )
    arguments = parser.parse_args()
    programs = make_programs(arguments.net, arguments.width, arguments.runs, arguments.steps, arguments.ways)
    if not arguments.calls:
        del programs[_CALLS]
    measure(programs, rounds=1, seconds=600)
    times = measure(programs, rounds=arguments.rounds, seconds=120)
    size = f", {arguments.width:g} of its width" if arguments.net == "vgg" else ""
    kind = f"{len(jax.devices())} x {jax.devices()[0].device_kind}, {count_cores()} cores"
    print(f"{arguments.runs} runs of {arguments.steps} steps, {arguments.net}{size}, on {kind}\n")
    print(f"{'':38}{'ms per step and run':>20}{'times faster':>14}")
    for name, milliseconds in times.items():
        each = milliseconds / arguments.runs / arguments.steps
        print(f"{name:38}{each:20.3f}{times[_REFERENCE] / milliseconds:14.2f}", flush=True)


if __name__ == "__main__":
    main()
