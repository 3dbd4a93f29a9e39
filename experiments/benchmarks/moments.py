"""Deep linear networks trained on as few points as have the moments of 1,000 samples, against the samples themselves.

Command: python -m experiments.benchmarks.moments

Gradient descent on all examples at once, by nets of 25 layers and 10 units with different initial weights and data: plain, with
batch norm and with the l2 norm, which need no more than the inputs' mean and covariance. Each is trained on samples and on
moments, in a thread per core, one net after another in each, and all nets together in one program, as the experiments train
those on moments.

All rows run in turn in one process. Only ratios of one run mean something: a row's is against samples in their faster way.

Measured: on two CPU cores (2026-12-01, jax 0.10.2), 16 nets, 100 steps, times faster than samples side by side: moments
together 13.6 (plain), 18.1 (batch norm) and 20.8 (l2 norm), side by side 7.1, 7.4 and 12.6.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from bnjax import data, linen, models, sweep, train
from bnjax._host.cores import count_cores
from bnjax.data.regression import Inputs
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._timing import measure

NORMS = {"plain": None, "batch norm": linen.BatchNorm, "l2 norm": partial(linen.LpNorm, p=2)}
WAYS: tuple[sweep.Batching, ...] = ("threads", "vmap")
INPUTS: tuple[Inputs, ...] = ("samples", "moments")


def make_program(norm: str, inputs: Inputs, num_runs: int, num_steps: int, way: sweep.Batching) -> Callable[[], object]:
    """Make a row: train nets of different seeds, each on data of its own."""
    draws = [data.draw_linear_map(jax.random.key(seed), inputs=inputs).train for seed in range(num_runs)]
    splits = jax.tree.map(lambda *leaves: jnp.stack(leaves), *draws)
    num_examples, width = draws[0].images.shape
    model = models.make_model(models.DeepLinearConfig(norm=NORMS[norm]))
    trainer = train.Trainer(model, train.make_optimizer("sgd", 1e-3), num_examples, "squared_error")
    (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(num_runs)))
    states = sweep.init_states(program, jnp.zeros((1, width)))

    def run() -> object:
        return sweep.run_steps(program, states, splits, num_steps=num_steps, own_split=True, way=sweep.Way(way))[1]

    return run


def make_programs(norm: str, num_runs: int, num_steps: int) -> dict[str, Callable[[], object]]:
    """Make every row of a net."""
    names = {"threads": "side by side", "vmap": "together"}
    return {
        f"{norm}, {inputs}, {names[str(way)]}": make_program(norm, inputs, num_runs, num_steps, way)
        for inputs in INPUTS
        for way in WAYS
    }


def main(options: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.moments", description=__doc__)
    parser.add_argument("--runs", type=positive(int), default=16, help="nets (default: 16)")
    parser.add_argument("--steps", type=positive(int), default=200, help="of each net (default: 200)")
    parser.add_argument("--rounds", type=positive(int), default=5, help="runs of each row (default: 5)")
    arguments = parser.parse_args(options)
    kind = f"{jax.devices()[0].device_kind}, {count_cores()} cores"
    print(f"{arguments.runs} nets, {arguments.steps} steps, on {kind}\n")
    print(f"{'':36}{'microseconds per step and net':>30}{'times faster':>14}")
    for norm in NORMS:
        programs = make_programs(norm, arguments.runs, arguments.steps)
        measure(programs, rounds=1, seconds=600)
        times = measure(programs, rounds=arguments.rounds, seconds=120)
        reference = min(milliseconds for name, milliseconds in times.items() if "samples" in name)
        for name, milliseconds in times.items():
            each = 1000 * milliseconds / arguments.runs / arguments.steps
            print(f"{name:36}{each:30.1f}{reference / milliseconds:14.1f}", flush=True)


if __name__ == "__main__":
    main()
