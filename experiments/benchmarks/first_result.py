"""The first result of a process: how long the first call of each part takes, compiling included, and the second.

Command: python -m experiments.benchmarks.first_result

A VGG-A of an eighth of its width with batch norm, batches of 128. Seconds are of the CPU, of all threads together, which other
work on the machine changes less than seconds of the clock. Compiled programs of before are not used.

Measured: on two idle CPU cores (2026-12-01), against the same calls before weights were one draw, a line and its start one
program, and narrow nets programs of fewer loops: init_state 1.1 s (8.1), scan_line 4.6 (52.9), run_steps 4.5 (15.3), evaluate
1.8 (4.6), recalibrate 1.9 (5.3), trace 7.5 (28.1), top_eigenpairs 13, spectral_density 9.4.
"""

import argparse
import time
from collections.abc import Callable

import jax
import numpy as np

from bnjax import linen, norms, objective, probes, train
from bnjax.data import Split
from bnjax.models import VGGConfig, make_model
from bnjax.types import Batch
from experiments.benchmarks._arguments import positive


def parts(width: float, batch_size: int) -> dict[str, Callable[[], object]]:
    """List what a process does first, by name; each needs what those before it returned."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4 * batch_size, 32, 32, 3)).astype(np.float32)
    labels = rng.integers(0, 10, 4 * batch_size).astype(np.int32)
    split = Split(jax.numpy.asarray(images), jax.numpy.asarray(labels), jax.numpy.ones(3), jax.numpy.zeros(3))
    batch = Batch(split.images[:batch_size], split.labels[:batch_size])
    model = make_model(VGGConfig(width=width, norm=linen.BatchNorm))
    trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size)

    def init() -> train.TrainState:
        return train.init_state(trainer, jax.random.key(0), split.images[:1])

    params, batch_stats = init().variables
    loss_fn = objective.make_loss_fn(model, batch_stats, batch)
    key = jax.random.key(1)
    curvature = probes.curvature
    return {
        "init_state": init,
        "scan_line, 4 points": lambda: probes.scan_line(loss_fn, params, show_progress=False).loss,
        "run_steps, 10 steps": lambda: train.run_steps(trainer, init(), split, num_steps=10)[1],
        "evaluate, 512 images": lambda: train.evaluate(trainer, init().variables, split, batch_size=2 * batch_size),
        "recalibrate": lambda: norms.recalibrate(model, init().variables, [batch.inputs]),
        "trace, 2 probes": lambda: curvature.trace(loss_fn, params, key=key, num_probes=2).trace,
        "top_eigenpairs, 20 products": lambda: (
            curvature.top_eigenpairs(loss_fn, params, key=key, max_matvecs=20).eigenvalues
        ),
        "spectral_density, 8 products": lambda: (
            curvature.spectral_density(loss_fn, params, key=key, num_matvecs=8, num_probes=1).density
        ),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.first_result", description=__doc__)
    parser.add_argument("--width", type=positive(float), default=1 / 8, help="of the VGG-A (default: 1/8)")
    parser.add_argument("--batch-size", type=positive(int), default=128, help="images (default: 128)")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)

    print(f"{'CPU seconds':30}{'first':>8}{'again':>8}")
    started = time.process_time()
    calls = parts(arguments.width, arguments.batch_size)
    first = {"init_state": time.process_time() - started}
    for name, call in calls.items():
        seconds = []
        for _ in range(2):
            started = time.process_time()
            jax.block_until_ready(call())
            seconds.append(time.process_time() - started)
        print(f"{name:30}{first.get(name, seconds[0]):8.2f}{seconds[1]:8.2f}", flush=True)


if __name__ == "__main__":
    main()
